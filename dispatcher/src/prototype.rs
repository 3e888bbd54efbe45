//! A dispatcher that is attached nowhere: what programs are loaded for that are to be called by one.
//!
//! The kernel wants to know at load time whose function a program is to replace. Which dispatcher that will be in the end is
//! not known then, and others may change it meanwhile; a link can lead to any that is alike (Linux 5.10).

use std::os::fd::{AsFd, OwnedFd};

use rxdp_loader::load::{self, LoadError};
use rxdp_loader::spec::TargetProgram;
use rxdp_loader::sys::{Errno, Kernel, Named};

use crate::actions::Actions;
use crate::build::{self, Loaded, PASS};
use crate::component::PLACE;
use crate::config::{Config, Slot, SlotFlags, Version};
use crate::error::KernelError;
use crate::names::DISPATCHER;

/// Such a dispatcher.
#[derive(Debug)]
pub struct Prototype {
    /// Its program.
    pub fd: OwnedFd,
    /// What the loader is to know of it.
    pub program: TargetProgram,
}

impl Prototype {
    /// Loads one, and tries on it with the smallest program whether this kernel can do all this.
    ///
    /// # Errors
    /// [`KernelError::NoReplace`] if it cannot; [`KernelError::Dispatcher`].
    pub fn load<K: Kernel>(kernel: &K) -> Result<Self, KernelError> {
        let slot = Slot { priority: 0, actions: Actions::default(), flags: SlotFlags::empty() };
        let slots = vec![slot; 2];
        let config = Config { version: Version::V2, frags: false, device_bound: false, slots };
        let loaded = build::dispatcher(kernel, &config)?;
        let program = load::target_program(kernel, DISPATCHER, &loaded.fd)?;
        try_on(kernel, &loaded, &program)?;
        Ok(Self { fd: loaded.fd, program })
    }
}

/// Puts the smallest program into a place, and takes it out again.
fn try_on<K: Kernel>(kernel: &K, loaded: &Loaded, program: &TargetProgram) -> Result<(), KernelError> {
    let no = |command| move |errno| KernelError::NoReplace { command, errno };
    let target = loaded.fd.try_clone().map_err(|error| KernelError::Read {
        what: "the dispatcher's descriptor".to_string(),
        command: "fcntl(F_DUPFD_CLOEXEC)",
        errno: Errno::from_io(&error),
    })?;
    let pass = match build::pass(kernel, Some((program.clone(), target)), false) {
        Ok(pass) => pass,
        Err(LoadError::ProgLoad { errno, .. }) => return Err(no("BPF_PROG_LOAD")(errno)),
        Err(error) => return Err(error.into()),
    };
    let what = Named { name: PASS, fd: pass.as_fd() };
    build::link(kernel, loaded, what, PLACE)?.map_err(no("BPF_LINK_CREATE"))?;
    Ok(())
}
