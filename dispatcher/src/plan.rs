//! A change of the set of programs, as a plan: what is to be built in place of what is there.
//!
//! Values in, values out. Every refusal that needs no kernel is made here, before anything is.

use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{Config, SLOTS, SlotFlags, Version};
use crate::names;
use crate::order::{self, Component};

/// The dispatcher of an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dispatcher {
    /// Its program's id in the kernel.
    pub id: u32,
    /// Its version.
    pub version: Version,
    /// Whether it takes packets of several buffers.
    pub frags: bool,
    /// Whether it is bound to the interface.
    pub device_bound: bool,
    /// Its programs, in the order in which they are called.
    pub components: Vec<Component>,
}

/// What is to take a dispatcher's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Another dispatcher.
    Build(Build),
    /// Nothing: no program is left.
    TakeOff,
}

/// A dispatcher that is to be built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Build {
    /// What it is told.
    pub config: Config,
    /// Its programs, by slot.
    pub components: Vec<Component>,
}

impl Build {
    /// The function whose place the program of a slot takes.
    pub fn function(&self, slot: usize) -> String {
        names::function(slot, self.components.len())
    }
}

/// Why a set cannot be changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// All slots are taken.
    #[error(
        "all 10 slots of the dispatcher are taken; take one program off with `rxdp-load unload IFACE --id ID`"
    )]
    Full,
    /// A version that is not changed.
    #[error(
        "the dispatcher is of version {0}, as xdp-tools before 1.3 made it, which is read but not changed; take it off with `rxdp-load unload IFACE` and load its programs anew"
    )]
    Old(Version),
    /// The interface's own programs stand in it, and ours would have to be loaded for that interface alone.
    #[error(
        "the dispatcher is bound to the interface (BPF_F_XDP_DEV_BOUND_ONLY), which is not changed here; `xdp-loader` of xdp-tools 1.6 can, and `rxdp-load unload IFACE` takes all of it off"
    )]
    DeviceBound,
    /// No such program.
    #[error("the dispatcher has no program id {0}")]
    NotThere(u32),
}

/// The set with one more program. `frags` says whether this kernel knows programs that take packets of several buffers.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn with(found: Option<&Dispatcher>, new: Component, frags: bool) -> Result<Build, Refusal> {
    let version = found.map(changeable).transpose()?.unwrap_or(Version::V2);
    let mut components = found.map(|found| found.components.clone()).unwrap_or_default();
    components.push(Component { new: true, ..new });
    if components.len() > SLOTS {
        return Err(Refusal::Full);
    }
    Ok(build(version, components, frags))
}

/// The set without these programs, all of which must be in it.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn without(found: &Dispatcher, ids: &[u32], frags: bool) -> Result<Change, Refusal> {
    let there = |id: &u32| found.components.iter().any(|component| component.id == *id);
    if let Some(missing) = ids.iter().find(|id| !there(id)) {
        return Err(Refusal::NotThere(*missing));
    }
    let stays = |component: &&Component| !ids.contains(&component.id);
    let components: Vec<Component> = found.components.iter().filter(stays).cloned().collect();
    if components.is_empty() {
        return Ok(Change::TakeOff);
    }
    // What takes all off needs no version; what builds does.
    let version = changeable(found)?;
    Ok(Change::Build(build(version, components, frags)))
}

fn changeable(found: &Dispatcher) -> Result<Version, Refusal> {
    if found.version == Version::V1 {
        return Err(Refusal::Old(found.version));
    }
    if found.device_bound {
        return Err(Refusal::DeviceBound);
    }
    Ok(found.version)
}

fn build(version: Version, mut components: Vec<Component>, frags: bool) -> Build {
    components.sort_by(order::compare);
    let takes_frags = |component: &Component| component.slot.flags.contains(SlotFlags::FRAGS);
    let frags = frags && components.iter().all(takes_frags);
    let slots = components.iter().map(|component| component.slot).collect();
    Build { config: Config { version, frags, device_bound: false, slots }, components }
}
