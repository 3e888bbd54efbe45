//! The directory on bpffs where pins of dispatchers stand, and the lock that everybody takes who changes them.
//!
//! libxdp takes the lock for each step alone; here it is held from the first look to the last unpin, so that no pin of
//! the program that is attached can go in between.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno as NixErrno;
use nix::fcntl::{Flock, FlockArg};
use rxdp_loader::plan::PIN_ROOT;
use rxdp_loader::sys::{Bpffs, Errno, Kernel};

use crate::error::RoomError;
use crate::names;

/// The variable that says where the bpffs is. Source: libxdp.
const BPFFS: &str = "LIBXDP_BPFFS";

/// How long the lock is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long between two tries to take it.
const PAUSE: Duration = Duration::from_millis(2);

/// Where the directory is, whether or not it is there.
pub(crate) fn path() -> PathBuf {
    let root = env::var_os(BPFFS).map_or_else(|| PathBuf::from(PIN_ROOT), PathBuf::from);
    root.join(names::DIRECTORY)
}

/// The directory, locked for as long as this is there.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) path: PathBuf,
    _lock: Flock<File>,
}

impl Room {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn enter(kernel: &impl Kernel) -> Result<Self, RoomError> {
        let path = path();
        let root = path.parent().unwrap_or(&path);
        let no_bpffs = |errno| RoomError::NoBpffs { path: root.to_path_buf(), errno };
        match kernel.bpffs(Bpffs::Is(root)) {
            Ok(true) => {}
            Ok(false) => return Err(no_bpffs(None)),
            Err(errno) => return Err(no_bpffs(Some(errno))),
        }
        match kernel.bpffs(Bpffs::MakeDir(&path)) {
            Ok(_) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(RoomError::Directory { path, what: "made", errno }),
        }
        Self::lock(path)
    }

    /// Locks the directory if it is there and this process may open it: who may not cannot have made it.
    pub(crate) fn if_there() -> Result<Option<Self>, RoomError> {
        match Self::lock(path()) {
            Ok(room) => Ok(Some(room)),
            Err(RoomError::Directory { errno: Errno::ENOENT | Errno::EACCES, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits in small steps, not in the kernel: a process that sleeps there for ever could not say why.
    fn lock(path: PathBuf) -> Result<Self, RoomError> {
        let failed = |what, errno| RoomError::Directory { path: path.clone(), what, errno };
        let mut dir = File::open(&path).map_err(|error| failed("opened", Errno::from_io(&error)))?;
        let start = Instant::now();
        loop {
            match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Self { path, _lock: lock }),
                Err((back, NixErrno::EWOULDBLOCK | NixErrno::EINTR)) => dir = back,
                Err((_, errno)) => return Err(failed("locked", Errno(errno as i32))),
            }
            if start.elapsed() > PATIENCE {
                return Err(RoomError::Locked { path, seconds: PATIENCE.as_secs() });
            }
            thread::sleep(PAUSE);
        }
    }

    /// The directory of a dispatcher's pins.
    pub(crate) fn of(&self, ifindex: u32, id: u32) -> PathBuf {
        of(&self.path, ifindex, id)
    }
}

/// The directory of a dispatcher's pins.
pub(crate) fn of(room: &Path, ifindex: u32, id: u32) -> PathBuf {
    room.join(names::directory(ifindex, id))
}
