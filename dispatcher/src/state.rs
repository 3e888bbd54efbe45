//! What an interface carries: nothing, a dispatcher with its programs, or something else.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rxdp_loader::btf::Btf;
use rxdp_loader::bytes::{Endian, to_usize};
use rxdp_loader::sys::{Errno, Kernel, Named, ProgInfo};

use crate::config::Config;
use crate::error::{KernelError, Unreadable};
use crate::found::{self, Facts, MapFacts, NoDispatcher};
use crate::names::{self, Pin};
use crate::order::Component;
use crate::plan::Dispatcher;
use crate::room::{self, Room};

/// A dispatcher that was read, with what keeps it from going while it is looked at.
#[derive(Debug)]
pub struct Found {
    /// What it is.
    pub dispatcher: Dispatcher,
    /// Its program.
    pub(crate) fd: OwnedFd,
    /// Its programs, by slot.
    pub(crate) programs: Vec<OwnedFd>,
}

/// What became of reading a program.
#[derive(Debug)]
pub enum Read {
    /// It is a dispatcher.
    Dispatcher(Found),
    /// It is something else.
    Other(Unreadable),
    /// There is no such program any more.
    Gone,
}

/// Reads the program `id` that is attached to interface `ifindex`, under the lock if the directory of dispatchers is there.
///
/// # Errors
/// [`KernelError::Read`]; `EPERM` without CAP_SYS_ADMIN.
pub fn read(kernel: &impl Kernel, ifindex: u32, id: u32) -> Result<Read, KernelError> {
    // Only looked at, it can be read without the lock, too: at worst pins are gone that were there a moment ago.
    let _lock = Room::if_there().ok().flatten();
    read_in(kernel, &room::path(), ifindex, id)
}

/// Reads a program while the caller holds the lock.
pub(crate) fn read_in(kernel: &impl Kernel, room: &Path, ifindex: u32, id: u32) -> Result<Read, KernelError> {
    let what = format!("program id {id}");
    let fd = match kernel.prog_by_id(id) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Ok(Read::Gone),
        Err(errno) => return Err(failed(&what, "BPF_PROG_GET_FD_BY_ID", errno)),
    };
    let info = info(kernel, &what, &fd)?;
    let config = match configuration(kernel, &info, &fd)? {
        Ok(config) => config,
        Err(why) => return Ok(Read::Other(why.into())),
    };
    let (mut components, mut programs) = (Vec::new(), Vec::new());
    let dir = room::of(room, ifindex, id);
    for (at, slot) in config.slots.iter().enumerate() {
        let path = dir.join(Pin::Prog.of_slot(at));
        let program = match kernel.obj_get(&path) {
            Ok(pinned) => pinned.fd,
            Err(errno) => return Ok(Read::Other(Unreadable::Pin { path, errno })),
        };
        components.push(Component { slot: *slot, ..component(kernel, &program)? });
        programs.push(program);
    }
    let Config { version, frags, device_bound, .. } = config;
    let dispatcher = Dispatcher { id, version, frags, device_bound, components };
    Ok(Read::Dispatcher(Found { dispatcher, fd, programs }))
}

/// What is known of a program that is to be called, or is.
pub(crate) fn component(kernel: &impl Kernel, fd: &impl AsFd) -> Result<Component, KernelError> {
    let ProgInfo { id, name, tag, load_time, .. } = info(kernel, "a dispatcher's program", fd)?;
    // Only names that the kernel may have cut are looked for in types.
    let cut = name.len().saturating_add(1) >= rxdp_loader::uapi::OBJ_NAME_LEN;
    let types = if cut { types(kernel, fd)? } else { None };
    let slot = crate::config::Slot {
        priority: 0,
        actions: crate::actions::Actions::default(),
        flags: crate::config::SlotFlags::empty(),
    };
    Ok(Component { id, name: names::full(&name, types.as_ref()), tag, load_time, new: false, slot })
}

fn configuration(
    kernel: &impl Kernel,
    info: &ProgInfo,
    fd: &OwnedFd,
) -> Result<Result<Config, NoDispatcher>, KernelError> {
    let mut facts = Facts { name: &info.name, types: None, maps: info.map_ids.len(), map: None };
    if info.name != names::DISPATCHER {
        return Ok(found::dispatcher(&facts));
    }
    let types = types(kernel, fd)?;
    facts.types = types.as_ref();
    let [map_id] = info.map_ids.as_slice() else {
        return Ok(found::dispatcher(&facts));
    };
    let what = format!("map id {map_id} of the dispatcher");
    let map = kernel.map_by_id(*map_id);
    let map = map.map_err(|errno| failed(&what, "BPF_MAP_GET_FD_BY_ID", errno))?;
    let named = Named { name: &what, fd: map.as_fd() };
    let info = kernel.map_info(named).map_err(|errno| failed(&what, "BPF_OBJ_GET_INFO_BY_FD", errno))?;
    // Of maps of other kinds the value is not asked for: they are refused for what they are.
    let value = kernel.map_lookup(named, &[0; 4], to_usize(info.value_size)).unwrap_or_default();
    facts.map = Some(MapFacts {
        ty: info.ty,
        key_size: info.key_size,
        max_entries: info.max_entries,
        flags: info.flags,
        value: &value,
    });
    Ok(found::dispatcher(&facts))
}

fn info(kernel: &impl Kernel, what: &str, fd: &impl AsFd) -> Result<ProgInfo, KernelError> {
    let info = kernel.prog_info(Named { name: what, fd: fd.as_fd() });
    info.map_err(|errno| failed(what, "BPF_OBJ_GET_INFO_BY_FD", errno))
}

/// A program's types; none if it was loaded without, or with some that cannot be read.
pub(crate) fn types(kernel: &impl Kernel, fd: &impl AsFd) -> Result<Option<Btf>, KernelError> {
    let functions = kernel.prog_functions(Named { name: "program", fd: fd.as_fd() });
    let functions =
        functions.map_err(|errno| failed("the types of a program", "BPF_BTF_GET_FD_BY_ID", errno))?;
    Ok(Btf::parse(&functions.types, Endian::NATIVE).ok())
}

fn failed(what: &str, command: &'static str, errno: Errno) -> KernelError {
    KernelError::Read { what: what.to_string(), command, errno }
}
