//! Everything that can go wrong below the line, one variant per cause.

use std::path::PathBuf;

use rxdp_loader::load::LoadError;
use rxdp_loader::sys::Errno;

use crate::found::NoDispatcher;
use crate::plan::Refusal;

/// Why the programs of an interface cannot be read or changed. `E` is the error of the [`Port`](crate::port::Port).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// The interface.
    #[error("{0}")]
    Port(E),
    /// Where pins and the lock are.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Something is attached that is no dispatcher, or none that can be read.
    #[error("program id {id} is attached there, whose place cannot be shared: {why}")]
    Occupied {
        /// Its id.
        id: u32,
        /// Why it is none.
        why: Unreadable,
    },
    /// The dispatcher cannot be changed in this way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The dispatcher is attached in another mode than is asked for.
    #[error(
        "the dispatcher is attached in {found} mode, and all of its programs with it: leave --mode {wanted} out"
    )]
    Mode {
        /// How it is attached.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Others were faster, again and again.
    #[error("others changed the programs of the interface {0} times while this was at it; try again")]
    Races(usize),
}

/// Why the programs of an interface cannot be told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// The program is no dispatcher that is known here.
    #[error(transparent)]
    NoDispatcher(#[from] NoDispatcher),
    /// Its pins are not where they belong.
    #[error("it is a dispatcher, but the pin {path:?} of one of its programs cannot be opened: {errno}")]
    Pin {
        /// The pin.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

/// Why there is no place for pins, or no lock.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// No bpffs.
    #[error(
        "several programs on one interface are pinned on a bpffs, and {path:?} is none{}: mount it with `mount -t bpf bpf {}`",
        .errno.map(|errno| format!(" ({errno})")).unwrap_or_default(), path.display()
    )]
    NoBpffs {
        /// Where it should be.
        path: PathBuf,
        /// Why that cannot be told, if it cannot.
        errno: Option<Errno>,
    },
    /// The directory cannot be made or opened.
    #[error("the directory {path:?} of dispatchers cannot be {what}: {errno}")]
    Directory {
        /// Where.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
    /// Somebody holds the lock.
    #[error(
        "another program has had the lock on {path:?} for {seconds} s; `lslocks` names it, and it goes when that process ends"
    )]
    Locked {
        /// Where.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
}

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// It lets no program take the place of another's function.
    #[error(
        "this kernel does not let a program take the place of another's function (freplace), which several programs on one interface need: {command} of the smallest such program failed with {errno}{}",
        replace_hint(*errno)
    )]
    NoReplace {
        /// The call.
        command: &'static str,
        /// Why.
        errno: Errno,
    },
    /// The dispatcher could not be loaded.
    #[error("the dispatcher cannot be loaded: {0}")]
    Dispatcher(#[from] LoadError),
    /// The dispatcher that was loaded lacks one of its functions.
    #[error("the dispatcher that was loaded has no function {0:?} in its types")]
    NoFunction(String),
    /// A program does not go into a slot.
    #[error(
        "program {name:?} (id {id}) cannot take the place of {function} in a new dispatcher: BPF_LINK_CREATE failed with {errno}{}",
        link_hint(*errno)
    )]
    Link {
        /// The program.
        name: String,
        /// Its id.
        id: u32,
        /// The function.
        function: String,
        /// Why.
        errno: Errno,
    },
    /// A pin could not be made.
    #[error("cannot pin {path:?}: {errno}")]
    Pin {
        /// The pin, or the directory.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// Something could not be read.
    #[error("{what}: {command} failed with {errno}{}", if *errno == Errno::EPERM { "; it needs CAP_SYS_ADMIN" } else { "" })]
    Read {
        /// What was looked at.
        what: String,
        /// The call.
        command: &'static str,
        /// Why.
        errno: Errno,
    },
}

fn replace_hint(errno: Errno) -> &'static str {
    if errno == Errno::EPERM {
        return "; it needs CAP_SYS_ADMIN, a kernel with BPF trampolines (x86-64 since Linux 5.7, arm64 since 6.0), and that nothing locks it down";
    }
    "; it needs Linux 5.10, its JIT compiler switched on, and BPF trampolines"
}

fn link_hint(errno: Errno) -> &'static str {
    if errno == Errno::EINVAL {
        return "; it was loaded for a dispatcher of another kind, or changes packets where the old dispatcher's programs could not";
    }
    ""
}
