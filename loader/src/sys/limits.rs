//! Limits of this process that a load can run into: open files, and before Linux 5.11 locked memory.
//!
//! They belong to the process and not to the kernel that is asked, since doubles hand out real descriptors too. One of
//! the files where `unsafe` lives. Nothing here knows what is loaded.
//!
//! Source: getrlimit(2), setrlimit(2).
#![expect(unsafe_code, reason = "system calls")]

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use super::{Errno, host};
use crate::features::KernelVersion;

/// Descriptors that are open in most processes at most: below this, nobody counts them.
const USUALLY_OPEN: u64 = 512;

/// From this version on, memory of maps and programs is charged to the cgroup and not to RLIMIT_MEMLOCK.
const MEMORY_CGROUPS: KernelVersion = KernelVersion { major: 5, minor: 11, patch: 0 };

/// Raises the soft limit of open files so that `more` descriptors can be opened.
///
/// It is never lowered again: other threads may be counting on it.
///
/// # Errors
/// The hard limit and how many are open, if `more` do not fit below it. Then nothing was changed.
pub fn make_room_for_files(more: u64) -> Result<(), TooManyFiles> {
    // What cannot be found out is left to the calls that need descriptors.
    let Ok(limit) = limit_of(libc::RLIMIT_NOFILE) else {
        return Ok(());
    };
    if more.saturating_add(USUALLY_OPEN) <= limit.rlim_cur {
        return Ok(());
    }
    let open = fs::read_dir("/proc/self/fd").map_or(USUALLY_OPEN, |fds| fds.count().try_into().unwrap_or(0));
    let needed = open.saturating_add(more);
    if needed <= limit.rlim_cur {
        return Ok(());
    }
    let raised = libc::rlimit { rlim_cur: needed, ..limit };
    if needed > limit.rlim_max || set_limit(libc::RLIMIT_NOFILE, &raised).is_err() {
        return Err(TooManyFiles { more, open, hard: limit.rlim_max });
    }
    Ok(())
}

/// Sees to it that `more` descriptors fit into the table of open files as it is.
///
/// A table that only one thread uses grows at once; one that is shared grows only after every processor has noticed, which
/// takes milliseconds. So it is done before threads start. Nothing is lost where it cannot be done.
///
/// Source: `expand_fdtable`, `fs/file.c`.
pub fn grow_file_table(more: usize) {
    let Ok(lowest) = libc::c_int::try_from(more) else {
        return;
    };
    let Ok(any) = fs::File::open("/") else {
        return;
    };
    // SAFETY: the call makes a descriptor and touches no memory.
    let high = unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) };
    if high >= 0 {
        // SAFETY: the descriptor was made here, and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(high) });
    }
}

/// More descriptors are needed than this process may open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyFiles {
    /// How many are needed.
    pub more: u64,
    /// How many are open.
    pub open: u64,
    /// RLIMIT_NOFILE's hard limit.
    pub hard: u64,
}

/// Makes a call that creates a map or loads a program; where it fails for RLIMIT_MEMLOCK, lifts that limit once for the
/// whole process and makes it again.
pub(super) fn without_memlock<T>(call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    static LIFTED: OnceLock<bool> = OnceLock::new();
    let lift = || *LIFTED.get_or_init(|| lift_memlock().is_ok());
    retry_if_lifted(host::kernel_version, lift, call)
}

/// `EPERM` says that the limit is too low, or that a privilege is missing. libbpf finds out beforehand, with a program
/// of its own; here the call itself tells, so that kernels since 5.11 pay nothing.
fn retry_if_lifted<T>(
    version: impl FnOnce() -> Option<KernelVersion>,
    lift: impl FnOnce() -> bool,
    mut call: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let result = call();
    if !matches!(result, Err(Errno::EPERM)) {
        return result;
    }
    let counts_memory = version().is_some_and(|version| version < MEMORY_CGROUPS);
    if counts_memory && lift() { call() } else { result }
}

fn lift_memlock() -> Result<(), Errno> {
    let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    set_limit(libc::RLIMIT_MEMLOCK, &none)
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn limit_of(resource: Resource) -> Result<libc::rlimit, Errno> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call fills in the structure that it is given the address of.
    if unsafe { libc::getrlimit(resource, limit.as_mut_ptr()) } != 0 {
        return Err(Errno::last());
    }
    // SAFETY: the call succeeded, so the structure is filled in.
    Ok(unsafe { limit.assume_init() })
}

fn set_limit(resource: Resource, limit: &libc::rlimit) -> Result<(), Errno> {
    // SAFETY: the call reads the structure.
    if unsafe { libc::setrlimit(resource, limit) } == 0 { Ok(()) } else { Err(Errno::last()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the call on a kernel of this version where it works once the limit is lifted, if `lifts`. Gives what each
    /// of its calls saw.
    fn load(version: (u8, u8), lifts: bool, refusal: Errno) -> (Result<(), Errno>, Vec<bool>) {
        let (mut calls, lifted) = (Vec::new(), std::cell::Cell::new(false));
        let version = KernelVersion { major: version.0, minor: version.1, patch: 0 };
        let lift = || {
            lifted.set(lifts);
            lifts
        };
        let result = retry_if_lifted(
            || Some(version),
            lift,
            || {
                calls.push(lifted.get());
                if lifted.get() { Ok(()) } else { Err(refusal) }
            },
        );
        (result, calls)
    }

    #[test]
    fn locked_memory_is_lifted_where_it_counts() {
        assert_eq!(load((5, 10), true, Errno::EPERM), (Ok(()), vec![false, true]));
        assert_eq!(load((5, 11), true, Errno::EPERM), (Err(Errno::EPERM), vec![false]));
        assert_eq!(load((5, 10), true, Errno::EINVAL), (Err(Errno::EINVAL), vec![false]));
        assert_eq!(load((5, 10), false, Errno::EPERM), (Err(Errno::EPERM), vec![false]));
    }

    #[test]
    fn a_table_of_files_grows_and_leaves_nothing_open() {
        let size = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
            line.trim().parse::<usize>().unwrap()
        };
        let more = size();
        grow_file_table(more);
        assert!(size() > more);
        assert!(fs::symlink_metadata(format!("/proc/self/fd/{more}")).is_err());
    }

    #[test]
    fn more_files_than_the_hard_limit_are_an_error_that_names_it() {
        let hard = limit_of(libc::RLIMIT_NOFILE).unwrap().rlim_max;
        let error = make_room_for_files(hard).unwrap_err();
        assert_eq!((error.more, error.hard), (hard, hard));
        assert!(error.open > 0 && make_room_for_files(1).is_ok());
    }
}
