//! The kernel's error numbers by name.

use std::fmt;

/// An error number of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// Numbers that bpf(2), mount(2) and files answer with. `ENOTSUPP` is the kernel's own and in no libc.
const NAMES: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::ESRCH, "ESRCH"),
    (libc::EINTR, "EINTR"),
    (libc::EIO, "EIO"),
    (libc::E2BIG, "E2BIG"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::EXDEV, "EXDEV"),
    (libc::ENODEV, "ENODEV"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EISDIR, "EISDIR"),
    (libc::EINVAL, "EINVAL"),
    (libc::ENFILE, "ENFILE"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EROFS, "EROFS"),
    (libc::EDOM, "EDOM"),
    (libc::ERANGE, "ERANGE"),
    (libc::ENAMETOOLONG, "ENAMETOOLONG"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::ENOTEMPTY, "ENOTEMPTY"),
    (libc::ELOOP, "ELOOP"),
    (libc::EILSEQ, "EILSEQ"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::EKEYREJECTED, "EKEYREJECTED"),
    (Errno::ENOTSUPP.0, "ENOTSUPP"),
];

impl Errno {
    /// `EPERM`: the privilege is missing.
    pub const EPERM: Self = Self(libc::EPERM);
    /// `EACCES`: the verifier or a security module refuses.
    pub const EACCES: Self = Self(libc::EACCES);
    /// `EINVAL`.
    pub const EINVAL: Self = Self(libc::EINVAL);
    /// `EBUSY`: it is in use.
    pub const EBUSY: Self = Self(libc::EBUSY);
    /// `EEXIST`: it is there already.
    pub const EEXIST: Self = Self(libc::EEXIST);
    /// `ENOENT`: it is not there.
    pub const ENOENT: Self = Self(libc::ENOENT);
    /// `ENODEV`: there is no such device.
    pub const ENODEV: Self = Self(libc::ENODEV);
    /// `EOPNOTSUPP`: the kernel was built without it.
    pub const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);
    /// `ENOSPC`: the log did not fit its buffer.
    pub const ENOSPC: Self = Self(libc::ENOSPC);
    /// `EAGAIN`: try again, a signal came in between.
    pub const EAGAIN: Self = Self(libc::EAGAIN);
    /// `E2BIG`.
    pub const E2BIG: Self = Self(libc::E2BIG);
    /// `ENOMEM`.
    pub const ENOMEM: Self = Self(libc::ENOMEM);
    /// `EINTR`: a signal came.
    pub const EINTR: Self = Self(libc::EINTR);
    /// `ENOTSUPP`: the kernel's own "not supported".
    pub const ENOTSUPP: Self = Self(524);

    /// The errno of the call that failed last in this thread.
    pub fn last() -> Self {
        Self::from_io(&std::io::Error::last_os_error())
    }

    /// The errno in an I/O error.
    pub fn from_io(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// Its name, such as `EPERM`, if it has one here.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(number, _)| *number == self.0).map(|(_, name)| *name)
    }

    /// The number that goes by this name; also `errno4711`, as unknown ones are written.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = NAMES.iter().find(|(_, n)| *n == name).map(|(number, _)| *number);
        known.or_else(|| name.strip_prefix("errno")?.parse().ok()).map(Self)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno{}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for errno in [Errno::EPERM, Errno(524), Errno(4711)] {
            assert_eq!(Errno::from_name(&errno.to_string()), Some(errno));
        }
        assert_eq!(Errno::from_name("ok"), None);
    }
}
