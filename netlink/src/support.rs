//! What this kernel can do over netlink, and the one question that older kernels make us ask elsewhere.
//!
//! Reads `uname(2)` and `/proc/self/fdinfo`. Sends nothing.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::error::{Errno, NetlinkError};

/// How a program can be exchanged for another, or taken off, without touching a third one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplaceSupport {
    /// The kernel compares and exchanges in one step: `XDP_FLAGS_REPLACE` with `IFLA_XDP_EXPECTED_FD`.
    Atomic,
    /// The kernel cannot, so we look first and then act.
    ///
    /// Between the two someone else may attach a program, which is then overwritten. Nothing that an older kernel
    /// offers can prevent this.
    LookFirst,
}

/// The first release with `XDP_FLAGS_REPLACE`. Source: Linux commit 92234c8f15c8, in 5.7.
const FIRST_ATOMIC: (u32, u32) = (5, 7);

impl ReplaceSupport {
    /// What the running kernel can do, by its release number.
    ///
    /// A refusal would not tell: an older kernel gives `EINVAL` without a sentence, and so may a newer one for another
    /// reason. A vendor kernel with the feature and an old number is asked in the old way, which it also understands.
    #[must_use]
    pub fn of_this_kernel() -> Self {
        nix::sys::utsname::uname()
            .ok()
            .and_then(|uname| uname.release().to_str().map(Self::of_release))
            .unwrap_or(Self::Atomic)
    }

    /// What a kernel of this release can do: `6.1.0-18-cloud-amd64`. A release that is no number counts as new.
    #[must_use]
    pub fn of_release(release: &str) -> Self {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Self::Atomic;
        };
        if (major, minor) < FIRST_ATOMIC { Self::LookFirst } else { Self::Atomic }
    }
}

/// The id of the program behind a descriptor of this process. Source: `bpf_prog_show_fdinfo`, `kernel/bpf/syscall.c`.
pub(crate) fn program_id(program: BorrowedFd<'_>) -> Result<u32, NetlinkError> {
    let fd = program.as_raw_fd();
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))
        .map_err(|error| NetlinkError::ProgramId { fd, errno: Some(Errno::of(&error)) })?;
    id_line(&text).ok_or(NetlinkError::ProgramId { fd, errno: None })
}

fn id_line(text: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix("prog_id:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        use ReplaceSupport::{Atomic, LookFirst};
        let table = [
            ("4.19.0-25-amd64", LookFirst),
            ("5.4.0", LookFirst),
            ("5.6.19", LookFirst),
            ("5.7.0-rc1", Atomic),
            ("5.10.0-28-cloud-amd64", Atomic),
            ("6.18", Atomic),
            ("10.0.1", Atomic),
            ("custom", Atomic),
        ];
        for (release, support) in table {
            assert_eq!(ReplaceSupport::of_release(release), support, "{release}");
        }
    }

    #[test]
    fn id_stands_in_fdinfo() {
        assert_eq!(id_line("pos:\t0\nprog_type:\t6\nprog_id:\t314\nrun_time_ns:\t0\n"), Some(314));
        assert_eq!(id_line("pos:\t0\nflags:\t02\n"), None);
    }
}
