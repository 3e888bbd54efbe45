//! What is in the kernel, whoever put it there: programs, where things are pinned, which processes hold them.
//!
//! Only looks, and only where it may: what cannot be seen is left out. What may not enter: what anybody is shown.

mod pins;
mod processes;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rxdp_loader::sys::{Errno, Kernel, Linux, MapInfo, Named, PinKind, ProgInfo};
use rxdp_loader::uapi::MapType;

pub(crate) use pins::pinned;
pub(crate) use processes::{Holder, holders};

/// A program or a map by its id, as it is pinned and held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Thing {
    Program(u32),
    Map(u32),
}

/// Where things are pinned.
pub(crate) type Pinned = BTreeMap<Thing, Vec<PathBuf>>;

/// Every program of the machine, in order of their ids; those that went meanwhile are left out.
pub(crate) fn programs() -> Result<Vec<ProgInfo>, Errno> {
    Ok(Linux.prog_ids()?.into_iter().filter_map(program).collect())
}

/// What the kernel says about a program.
pub(crate) fn program(id: u32) -> Option<ProgInfo> {
    open_program(id).map(|(_, info)| info)
}

/// A program, opened.
pub(crate) fn open_program(id: u32) -> Option<(OwnedFd, ProgInfo)> {
    let fd = Linux.prog_by_id(id).ok()?;
    let info = Linux.prog_info(Named { name: "program", fd: fd.as_fd() }).ok()?;
    Some((fd, info))
}

/// A map, opened.
pub(crate) fn open_map(id: u32) -> Option<(OwnedFd, MapInfo)> {
    let fd = Linux.map_by_id(id).ok()?;
    let info = Linux.map_info(Named { name: "map", fd: fd.as_fd() }).ok()?;
    Some((fd, info))
}

/// What a descriptor is of, by its id.
fn thing(kind: PinKind, fd: &OwnedFd) -> Option<Thing> {
    let handle = Named { name: "pin", fd: fd.as_fd() };
    match kind {
        PinKind::Map => Linux.map_info(handle).ok().map(|info| Thing::Map(info.id)),
        PinKind::Program => Linux.prog_info(handle).ok().map(|info| Thing::Program(info.id)),
        PinKind::Link | PinKind::Other => None,
    }
}

/// These programs, and those that they call through jump tables, and so on; each once.
pub(crate) fn reached(entries: &[u32]) -> Vec<ProgInfo> {
    let mut found: BTreeMap<u32, ProgInfo> = BTreeMap::new();
    let mut open: Vec<u32> = entries.to_vec();
    while let Some(id) = open.pop() {
        if found.contains_key(&id) {
            continue;
        }
        let Some(info) = program(id) else {
            continue;
        };
        open.extend(info.map_ids.iter().flat_map(|map| jump_targets(*map)));
        found.insert(id, info);
    }
    found.into_values().collect()
}

/// Programs in the slots of a map, if it is a jump table.
fn jump_targets(map: u32) -> Vec<u32> {
    let Some((fd, info)) = open_map(map).filter(|(_, info)| info.ty == MapType::PROG_ARRAY) else {
        return Vec::new();
    };
    let table = Named { name: "map", fd: fd.as_fd() };
    (0..info.max_entries).filter_map(|slot| Linux.slot_id(table, slot).ok()).collect()
}
