//! System calls around file systems that the standard library has no words for. One of the files where `unsafe` lives.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd};

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
