//! What holds a program attached.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::LoadError;
use crate::sys::{Kernel, Named};

/// A program that is attached, for as long as this is open or pinned. Dropping it detaches the program, unless something
/// else holds the link.
#[derive(Debug)]
#[must_use = "dropping it detaches the program"]
pub struct Link {
    pub(super) program: String,
    pub(super) fd: OwnedFd,
}

impl Link {
    /// Name of the program that is attached.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Gives it a name on a bpffs, by which it stays attached when this is dropped: until that name is removed.
    ///
    /// Source: `BPF_OBJ_PIN`. Since: Linux 5.7; what holds a raw tracepoint before 5.8 cannot be pinned.
    ///
    /// # Errors
    /// [`LoadError::Pin`] with the errno.
    pub fn pin(&self, kernel: &impl Kernel, path: impl AsRef<Path>) -> Result<(), LoadError> {
        let path = path.as_ref();
        kernel.obj_pin(self.named(), path).map_err(|errno| LoadError::Pin {
            what: format!("link of {}", self.program),
            path: path.display().to_string(),
            errno,
        })
    }

    /// What an iterator writes, from its beginning. It can be read as often as is liked.
    ///
    /// Source: `BPF_ITER_CREATE`. Since: Linux 5.8.
    ///
    /// # Errors
    /// [`LoadError::Info`] with the errno; `EINVAL` if the program is no iterator.
    pub fn read(&self, kernel: &impl Kernel) -> Result<File, LoadError> {
        let opened = kernel.iter_create(self.named());
        opened.map(File::from).map_err(|errno| LoadError::Info {
            what: format!("the link of program {:?}, to be read", self.program),
            command: "BPF_ITER_CREATE",
            errno,
        })
    }

    /// Its descriptor: from now on that holds the program attached.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Detaches the program, as dropping does, unless something else holds the link.
    pub fn detach(self) {
        drop(self);
    }

    fn named(&self) -> Named<'_> {
        Named { name: &self.program, fd: self.fd.as_fd() }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
