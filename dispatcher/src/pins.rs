//! Pins of a dispatcher's programs and links: made all or none, and removed.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rxdp_loader::sys::{Bpffs, Errno, Kernel, Named};

use crate::config::SLOTS;
use crate::error::KernelError;
use crate::names::Pin;

/// What is pinned for a slot.
pub(crate) struct Pinned<'a> {
    pub(crate) link: BorrowedFd<'a>,
    pub(crate) program: BorrowedFd<'a>,
}

/// Pins of a dispatcher that is not attached yet. Dropping this removes them again.
pub(crate) struct Set<'k, K: Kernel> {
    kernel: &'k K,
    dir: PathBuf,
    keep: bool,
}

impl<'k, K: Kernel> Set<'k, K> {
    /// Makes the directory and all pins in it.
    pub(crate) fn make(kernel: &'k K, dir: PathBuf, slots: &[Pinned<'_>]) -> Result<Self, KernelError> {
        let failed = |path: &Path, errno| KernelError::Pin { path: path.to_path_buf(), errno };
        // Ids are not given twice before all others were; one of an earlier life of the machine's ids is debris.
        if kernel.bpffs(Bpffs::Has(&dir)).unwrap_or(false) {
            remove(kernel, &dir);
        }
        kernel.bpffs(Bpffs::MakeDir(&dir)).map_err(|errno| failed(&dir, errno))?;
        let set = Self { kernel, dir, keep: false };
        for (slot, pinned) in slots.iter().enumerate() {
            for (pin, fd) in [(Pin::Link, pinned.link), (Pin::Prog, pinned.program)] {
                let name = pin.of_slot(slot);
                let path = set.dir.join(&name);
                let made = kernel.obj_pin(Named { name: &name, fd }, &path);
                made.map_err(|errno| failed(&path, errno))?;
            }
        }
        Ok(set)
    }

    /// The dispatcher is attached: its pins are there to stay.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }
}

impl<K: Kernel> Drop for Set<'_, K> {
    fn drop(&mut self) {
        if !self.keep {
            remove(self.kernel, &self.dir);
        }
    }
}

/// Removes a directory of pins, as far as that goes: of a dispatcher that is no longer attached nothing depends on them.
pub(crate) fn remove(kernel: &impl Kernel, dir: &Path) {
    for slot in 0..SLOTS {
        for pin in [Pin::Link, Pin::Prog] {
            match kernel.bpffs(Bpffs::RemovePin(&dir.join(pin.of_slot(slot)))) {
                // The slots behind it are empty, too, or were half made.
                Err(Errno::ENOENT) | Ok(_) | Err(_) => {}
            }
        }
    }
    let _something_else_is_in_it = kernel.bpffs(Bpffs::RemoveDir(dir));
}
