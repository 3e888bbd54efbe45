//! System calls around file systems that the standard library has no words for. One of the files where `unsafe` lives.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Errno;

/// Mounts a file system of this type without a place in the directory tree: only who holds the descriptor sees it.
///
/// Source: fsopen(2), fsconfig(2), fsmount(2). Since: Linux 5.2.
///
/// # Errors
/// The errno of the first call that failed; `EPERM` without `CAP_SYS_ADMIN`.
pub(super) fn detached(file_system: &CStr) -> Result<OwnedFd, Errno> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    // SAFETY: the name is NUL-terminated; the call returns a new descriptor or -1.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, file_system.as_ptr(), FSOPEN_CLOEXEC) })?;
    let none: *const libc::c_char = std::ptr::null();
    let raw = std::os::fd::AsRawFd::as_raw_fd(&context);
    // SAFETY: an open descriptor; this command takes neither key nor value.
    let created = unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_CMD_CREATE, none, none, 0) };
    if created < 0 {
        return Err(Errno::last());
    }
    // SAFETY: an open descriptor; the call returns a new descriptor or -1.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, raw, FSMOUNT_CLOEXEC, 0) })
}

fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = libc::c_int::try_from(result).map_err(|_too_large| Errno::EINVAL)?;
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: a call has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Bytes of a page of memory.
pub(super) fn page_size() -> libc::c_long {
    // SAFETY: no memory is involved.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }
}

/// Whether a place is on a bpffs. Source: statfs(2), `BPF_FS_MAGIC`.
pub(super) fn is_bpffs(path: &Path) -> Result<bool, Errno> {
    let path = c_path(path)?;
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is NUL-terminated; the kernel fills in the structure that it is given the address of.
    if unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(Errno::last());
    }
    // SAFETY: the call succeeded, so the structure is filled in.
    let found = unsafe { found.assume_init() };
    #[allow(clippy::useless_conversion, reason = "the types of both differ between libcs")]
    let is_bpffs = i64::try_from(found.f_type).ok() == i64::try_from(libc::BPF_FS_MAGIC).ok();
    Ok(is_bpffs)
}

/// Sets when a file was last changed, in **nanoseconds** after 1970-01-01; the last access stays. A link is not followed.
pub(super) fn set_modified(path: &Path, nanoseconds: u64) -> Result<(), Errno> {
    const SECOND: u64 = 1_000_000_000;
    let path = c_path(path)?;
    let too_large = |_too_large| Errno::EINVAL;
    let modified = libc::timespec {
        tv_sec: (nanoseconds / SECOND).try_into().map_err(too_large)?,
        tv_nsec: (nanoseconds % SECOND).try_into().map_err(too_large)?,
    };
    let times = [libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT }, modified];
    // SAFETY: the path is NUL-terminated; the call reads the two times.
    let done =
        unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) };
    if done == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// Gives a file another name, which must be free. Since: Linux 3.15.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Errno> {
    const RENAME_NOREPLACE: libc::c_uint = 1;
    let (from, to) = (c_path(from)?, c_path(to)?);
    let here = libc::AT_FDCWD;
    // SAFETY: both paths are NUL-terminated.
    let done = unsafe {
        libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), RENAME_NOREPLACE)
    };
    if done == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// A path for a system call.
pub(super) fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_nul_inside| Errno::EINVAL)
}
