//! `--record`: every call of bpf(2), of the file system for pins, and of netlink, as one text in the order of the calls.
//!
//! The text is the same for every run on the same kernel: names stand in it where the kernel has numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rxdp_loader::sys::{Linux, Recorder};
use rxdp_netlink::{Handle, Names};

use crate::error::Failure;

/// A recording under way.
#[derive(Debug)]
pub(crate) struct Recording {
    path: PathBuf,
    file: File,
    kernel: Arc<Recorder<Linux>>,
    names: Arc<Mutex<Known>>,
}

/// What numbers stand for.
#[derive(Debug, Default)]
struct Known {
    interfaces: BTreeMap<u32, String>,
    programs: BTreeMap<RawFd, String>,
}

impl Recording {
    /// Opens the file before anything is done that it is to tell of.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |source| Failure::Record { path: path.to_path_buf(), source };
        let file = File::create(path).map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            kernel: Arc::new(Recorder::new(Linux)),
            names: Arc::default(),
        })
    }

    /// The running kernel, listened to.
    pub(crate) fn kernel(&self) -> &Recorder<Linux> {
        &self.kernel
    }

    /// A netlink connection, listened to.
    pub(crate) fn observe(&self, netlink: &Handle) -> Handle {
        let (kernel, names) = (Arc::clone(&self.kernel), Arc::clone(&self.names));
        netlink.clone().observed(move |exchange| {
            let request = exchange.request.line(&*known(&names));
            // A reply is what stands behind the last " = " of a line.
            let reply = exchange.answer.to_string().replace(" = ", "=").replace('\n', " ");
            kernel.note(request, reply);
        })
    }

    /// From now on this interface goes by its name.
    pub(crate) fn name_interface(&self, ifindex: u32, name: &str) {
        known(&self.names).interfaces.insert(ifindex, name.to_string());
    }

    /// From now on this program goes by its name.
    pub(crate) fn name_program(&self, fd: BorrowedFd<'_>, name: &str) {
        known(&self.names).programs.insert(fd.as_raw_fd(), name.to_string());
    }

    /// Writes what was recorded.
    pub(crate) fn write(mut self) -> Result<(), Failure> {
        let text = self.kernel.transcript().to_string();
        let failed = |source| Failure::Record { path: self.path, source };
        self.file.write_all(text.as_bytes()).map_err(failed)
    }
}

impl Names for Known {
    fn interface(&self, ifindex: u32) -> String {
        self.interfaces.get(&ifindex).cloned().unwrap_or_else(|| format!("ifindex={ifindex}"))
    }

    fn program(&self, fd: RawFd) -> String {
        self.programs.get(&fd).cloned().unwrap_or_else(|| "?".to_string())
    }
}

/// A thread that panicked while it noted a name has noted it or not; both are fine to read.
fn known(names: &Mutex<Known>) -> MutexGuard<'_, Known> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}
