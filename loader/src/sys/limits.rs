//! The limit of this process that a load can run into before Linux 5.11: locked memory. One of the files where `unsafe`
//! lives. Nothing here knows what is loaded.
//!
//! Source: getrlimit(2), setrlimit(2).
#![expect(unsafe_code, reason = "system calls")]

use std::mem::MaybeUninit;
use std::sync::OnceLock;

use super::{Errno, host};
use crate::features::KernelVersion;

/// From this version on, memory of maps and programs is charged to the cgroup and not to RLIMIT_MEMLOCK.
const MEMORY_CGROUPS: KernelVersion = KernelVersion { major: 5, minor: 11, patch: 0 };

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
pub(super) type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub(super) type Resource = libc::c_int;

pub(super) fn limit_of(resource: Resource) -> Result<libc::rlimit, Errno> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call fills in the structure that it is given the address of.
    if unsafe { libc::getrlimit(resource, limit.as_mut_ptr()) } != 0 {
        return Err(Errno::last());
    }
    // SAFETY: the call succeeded, so the structure is filled in.
    Ok(unsafe { limit.assume_init() })
}

pub(super) fn set_limit(resource: Resource, limit: &libc::rlimit) -> Result<(), Errno> {
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
}
