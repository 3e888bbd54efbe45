//! perf_event_open(2), for what programs are attached to by an event: tracepoints, functions of the kernel, places in
//! executables. One of the files where `unsafe` lives.
//!
//! Source: `include/uapi/linux/perf_event.h`, perf_event_open(2), `Documentation/trace/kprobetrace.rst`.
#![expect(unsafe_code, reason = "a system call")]

use std::ffi::CString;
use std::fs;
use std::mem::{offset_of, size_of};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use super::{Errno, mount, tracefs};

/// Arguments of [`Kernel::event_open`](super::Kernel::event_open): what is to be noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A tracepoint. Since: Linux 2.6.31.
    Tracepoint {
        /// Its category, such as `sched`.
        category: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A function of the kernel. Since: Linux 4.17.
    Function {
        /// Its name.
        name: &'a str,
        /// **Bytes** from its beginning.
        offset: u64,
        /// Whether it is where it returns.
        returns: bool,
    },
    /// A place in an executable or a library. Since: Linux 4.17.
    Place {
        /// The file.
        path: &'a Path,
        /// **Bytes** from the file's beginning.
        offset: u64,
        /// The process that is meant; all without it.
        process: Option<u32>,
        /// Whether it is where the function that begins there returns.
        returns: bool,
    },
}

/// `struct perf_event_attr` as it was since Linux 2.6.39 (`PERF_ATTR_SIZE_VER1`). All flags are left zero: the event is
/// noticed from the beginning.
#[repr(C)]
#[derive(Default)]
struct Attr {
    ty: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
}
const _: () = assert!(size_of::<Attr>() == 72 && offset_of!(Attr, config1) == 56);

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;

/// `PERF_FLAG_FD_CLOEXEC`.
const CLOEXEC: libc::c_ulong = 8;

/// Opens an event in the running kernel.
pub(super) fn open(event: &Event<'_>) -> Result<OwnedFd, Errno> {
    match *event {
        Event::Tracepoint { category, name } => {
            let config = tracefs::event_id(category, name)?;
            call(&Attr { ty: TRACEPOINT, config, ..Attr::default() }, None)
        }
        Event::Function { name, offset, returns } => {
            let name = CString::new(name).map_err(|_nul_inside| Errno::EINVAL)?;
            probe("kprobe", &name, offset, returns, None)
        }
        Event::Place { path, offset, process, returns } => {
            probe("uprobe", &mount::c_path(path)?, offset, returns, process)
        }
    }
}

/// `what` is the function, or the file.
fn probe(
    kind: &str,
    what: &CString,
    offset: u64,
    returns: bool,
    process: Option<u32>,
) -> Result<OwnedFd, Errno> {
    let source = Path::new("/sys/bus/event_source/devices").join(kind);
    // A kernel that was built without them has no such source.
    let ty = read(&source.join("type"))?.trim().parse().map_err(|_no_number| Errno::EOPNOTSUPP)?;
    let config = if returns { 1u64.checked_shl(return_bit(&source)?).unwrap_or(0) } else { 0 };
    let attr = Attr { ty, config, config1: what.as_ptr() as u64, config2: offset, ..Attr::default() };
    call(&attr, process)
}

/// Which bit says that it is where functions return: `config:0` in `format/retprobe`.
fn return_bit(source: &Path) -> Result<u32, Errno> {
    let text = read(&source.join("format/retprobe"))?;
    let bit = text.trim().strip_prefix("config:").and_then(|bit| bit.parse().ok());
    bit.ok_or(Errno::EOPNOTSUPP)
}

fn read(path: &Path) -> Result<String, Errno> {
    fs::read_to_string(path).map_err(|error| match Errno::from_io(&error) {
        Errno::ENOENT => Errno::EOPNOTSUPP,
        errno => errno,
    })
}

/// Without a process the event is everybody's; then a processor must be named, and which one plays no part: programs see
/// it on all.
fn call(attr: &Attr, process: Option<u32>) -> Result<OwnedFd, Errno> {
    const NO_GROUP: libc::c_int = -1;
    let attr = Attr { size: 72, ..*attr };
    let process = process.map(libc::pid_t::try_from).transpose().map_err(|_too_large| Errno::EINVAL)?;
    let cpu: libc::c_int = if process.is_some() { -1 } else { 0 };
    // SAFETY: the structure has the size that it says; addresses in it are of strings that the callers hold.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(&attr),
            process.unwrap_or(-1),
            cpu,
            NO_GROUP,
            CLOEXEC,
        )
    };
    let fd = RawFd::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(Errno::last)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
