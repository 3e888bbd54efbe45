//! Several programs on one interface, for the verbs that need it: joins the dispatcher's protocol and netlink, and says in
//! words and for scripts what came of it.

use std::os::fd::{AsFd, BorrowedFd};

use rxdp_dispatcher::actions::Actions;
use rxdp_dispatcher::change::{self, Added, New, Removed};
use rxdp_dispatcher::config::{Slot, SlotFlags};
use rxdp_dispatcher::error::{Error, Unreadable};
use rxdp_dispatcher::found::NoDispatcher;
use rxdp_dispatcher::metadata::{self, RunConfig};
use rxdp_dispatcher::order::Component;
use rxdp_dispatcher::plan::Dispatcher;
use rxdp_dispatcher::port::{Outcome, Port};
use rxdp_dispatcher::prototype::Prototype;
use rxdp_dispatcher::state::{self, Read};
use rxdp_loader::sys::Kernel;
use rxdp_loader::trace::hex;
use rxdp_netlink::{Detached, Handle, Link, NetlinkError, XdpMode, XdpState, blocking};
use serde::Serialize;

use crate::args::Sharing;
use crate::commands::status::describe;
use crate::error::Failure;
use crate::job::Loaded;

/// An interface over netlink.
#[derive(Debug)]
pub(crate) struct Interface {
    netlink: blocking::Handle,
    name: String,
    ifindex: u32,
}

impl Interface {
    pub(crate) fn new(netlink: blocking::Handle, name: &str, ifindex: u32) -> Self {
        Self { netlink, name: name.to_string(), ifindex }
    }

    pub(crate) fn of(netlink: &Handle, name: &str, ifindex: u32) -> Self {
        Self::new(netlink.clone().into(), name, ifindex)
    }
}

impl Port for Interface {
    type Mode = XdpMode;
    type Error = NetlinkError;

    fn ifindex(&self) -> u32 {
        self.ifindex
    }

    fn look(&self) -> Result<Option<(u32, XdpMode)>, NetlinkError> {
        Ok(in_software(&self.netlink.query(self.ifindex)?))
    }

    fn attach(&self, new: BorrowedFd<'_>, mode: Option<XdpMode>) -> Result<Outcome<XdpMode>, NetlinkError> {
        match self.netlink.attach(self.ifindex, new, mode.unwrap_or(XdpMode::Auto)) {
            Ok(mode) => Ok(Outcome::Done(mode)),
            Err(NetlinkError::Occupied { .. } | NetlinkError::ModeConflict { .. }) => Ok(Outcome::Lost),
            Err(error) => Err(error),
        }
    }

    fn replace(
        &self,
        new: BorrowedFd<'_>,
        old: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Outcome<()>, NetlinkError> {
        match self.netlink.replace(self.ifindex, new, old, mode) {
            Ok(_) => Ok(Outcome::Done(())),
            Err(NetlinkError::NotExpected { .. } | NetlinkError::ModeConflict { .. }) => Ok(Outcome::Lost),
            Err(error) => Err(error),
        }
    }

    fn detach(&self, old: BorrowedFd<'_>, mode: XdpMode) -> Result<Outcome<()>, NetlinkError> {
        match self.netlink.detach(self.ifindex, old, mode)? {
            Detached::NotOurs { .. } => Ok(Outcome::Lost),
            Detached::Ours | Detached::InterfaceGone => Ok(Outcome::Done(())),
        }
    }
}

/// The program that the driver or the kernel runs, and how; a card may run another one.
pub(crate) fn in_software(state: &XdpState) -> Option<(u32, XdpMode)> {
    let mut programs = state.programs.iter().map(|program| (program.id, program.mode));
    programs.find(|(_, mode)| *mode != XdpMode::Offload)
}

/// The dispatcher that an interface carries, if it does and it can be read.
pub(crate) fn of(kernel: &impl Kernel, ifindex: u32, id: u32) -> Option<Dispatcher> {
    match state::read(kernel, ifindex, id) {
        Ok(Read::Dispatcher(found)) => Some(found.dispatcher),
        Ok(Read::Other(_) | Read::Gone) | Err(_) => None,
    }
}

/// Whether a program is to go into a dispatcher: it is asked for, or there is one.
///
/// What cannot be joined is said here, before anything is loaded.
pub(crate) fn is_wanted(kernel: &impl Kernel, sharing: &Sharing, link: &Link) -> Result<bool, Failure> {
    let asked = sharing.is_asked_for();
    let Some((id, _)) = in_software(&link.xdp) else {
        return Ok(asked);
    };
    match state::read(kernel, link.ifindex, id) {
        Ok(Read::Dispatcher(_)) => Ok(true),
        Ok(Read::Other(Unreadable::NoDispatcher(NoDispatcher::Name(_)))) if !asked => Ok(false),
        Ok(Read::Other(why)) => Err(failure(kernel, &link.name, Error::Occupied { id, why })),
        // What is attached by now is for netlink to say.
        Ok(Read::Gone) | Err(_) => Ok(asked),
    }
}

/// A dispatcher to load programs for, if this kernel can do that.
pub(crate) fn prototype<K: Kernel>(kernel: &K, interface: &str) -> Result<Prototype, Failure> {
    let failed = |error| failure(kernel, interface, Error::Kernel(error));
    Prototype::load(kernel).map_err(failed)
}

/// What the dispatcher is to do with a program: what the flags say, or else the object.
pub(crate) fn slot(loaded: &Loaded, object: &str, sharing: &Sharing) -> Result<Slot, Failure> {
    let name = loaded.spec.program(loaded.entry).map_or("", |program| &program.name);
    let said = loaded.spec.btf.as_ref().map(|btf| metadata::run_config(btf, name));
    let said = said.unwrap_or_else(|| Ok(RunConfig::default()));
    let said = said.map_err(|source| Failure::RunConfig { object: object.to_string(), source })?;
    let mut flags = SlotFlags::empty();
    flags.set(SlotFlags::FRAGS, loaded.takes_frags);
    let actions = sharing.chain_on.unwrap_or(said.actions);
    Ok(Slot { priority: sharing.priority.unwrap_or(said.priority), actions, flags })
}

/// Adds a program to those of an interface.
pub(crate) fn add<K: Kernel>(
    kernel: &K,
    interface: &Interface,
    program: (&str, BorrowedFd<'_>),
    slot: Slot,
    mode: XdpMode,
) -> Result<Added<XdpMode>, Failure> {
    let new = New { fd: program.1.as_fd(), name: program.0, slot };
    let mode = Some(mode).filter(|mode| *mode != XdpMode::Auto);
    change::add(kernel, interface, new, mode).map_err(|error| failure(kernel, &interface.name, error))
}

/// Takes one program off an interface.
pub(crate) fn remove<K: Kernel>(kernel: &K, interface: &Interface, id: u32) -> Result<Removed, Failure> {
    change::remove(kernel, interface, &[id]).map_err(|error| failure(kernel, &interface.name, error))
}

/// Takes a program off with `act`, and removes the pins that it has there if it is a dispatcher.
pub(crate) fn take_off<K: Kernel>(
    kernel: &K,
    interface: &Interface,
    id: u32,
    act: impl FnOnce() -> Result<(), NetlinkError>,
) -> Result<(), Failure> {
    let done = change::take_off(kernel, interface.ifindex, id, act);
    done.map_err(|error| failure(kernel, &interface.name, error))
}

/// Removes the pins of a dispatcher whose place somebody has taken.
pub(crate) fn forget<K: Kernel>(kernel: &K, interface: &Interface, id: u32) -> Result<(), Failure> {
    take_off(kernel, interface, id, || Ok(()))
}

/// Says whose program is in the way.
fn failure(kernel: &impl Kernel, interface: &str, error: Error<NetlinkError>) -> Failure {
    if let Error::Port(error) = error {
        return error.into();
    }
    let mut owner = None;
    if let Error::Occupied { id, .. } = error {
        owner = Some(format!(
            "in the way: {}; take it off with `rxdp-load unload {interface}`, or take its place with --replace={id}",
            describe(kernel, id)
        ));
    }
    let source = Box::new(error);
    Failure::Dispatcher { interface: interface.to_string(), source, owner }
}

/// A dispatcher, as scripts see it.
#[derive(Debug, Serialize)]
pub(crate) struct DispatcherRow {
    id: u32,
    /// The version of the protocol; `null` if it cannot be told.
    version: Option<u32>,
    frags: bool,
    /// Its programs, in the order in which they are called.
    pub(crate) components: Vec<ComponentRow>,
    /// Why its programs cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) defect: Option<String>,
}

/// A program that it calls.
#[derive(Debug, Serialize)]
pub(crate) struct ComponentRow {
    slot: usize,
    priority: u32,
    pub(crate) name: String,
    pub(crate) id: u32,
    tag: String,
    /// Verdicts after which the next one is called.
    chain_on: Vec<String>,
    frags: bool,
}

/// What the dispatcher of an interface is to be shown as; `None` where the program is none.
pub(crate) fn row(kernel: &impl Kernel, ifindex: u32, id: u32) -> Option<DispatcherRow> {
    let damaged = |version, why: String| DispatcherRow {
        id,
        version,
        frags: false,
        components: Vec::new(),
        defect: Some(why),
    };
    match state::read(kernel, ifindex, id).ok()? {
        Read::Gone | Read::Other(Unreadable::NoDispatcher(NoDispatcher::Name(_))) => None,
        Read::Dispatcher(found) => Some((&found.dispatcher).into()),
        Read::Other(why) => {
            let unknown = if let Unreadable::NoDispatcher(NoDispatcher::Unknown(version)) = &why {
                Some(*version)
            } else {
                None
            };
            Some(damaged(unknown, why.to_string()))
        }
    }
}

impl DispatcherRow {
    /// What it is and whom it calls, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { version, components, defect, .. } = self;
        if let Some(why) = defect {
            return vec![format!("whom it calls cannot be told: {why}")];
        }
        let version = version.map_or("?".to_string(), |version| version.to_string());
        let head = format!("a dispatcher of version {version}, which calls {}:", components.len());
        std::iter::once(head).chain(components.iter().map(ComponentRow::words)).collect()
    }
}

impl From<&Dispatcher> for DispatcherRow {
    fn from(dispatcher: &Dispatcher) -> Self {
        let components = dispatcher.components.iter().enumerate().map(ComponentRow::of);
        Self {
            id: dispatcher.id,
            version: Some(dispatcher.version.number().into()),
            frags: dispatcher.frags,
            components: components.collect(),
            defect: None,
        }
    }
}

impl ComponentRow {
    fn of((slot, component): (usize, &Component)) -> Self {
        Self {
            slot,
            priority: component.slot.priority,
            name: component.name.clone(),
            id: component.id,
            tag: hex(&component.tag),
            chain_on: component.slot.actions.names(),
            frags: component.slot.flags.contains(SlotFlags::FRAGS),
        }
    }

    /// As a person reads it.
    fn words(&self) -> String {
        let Self { slot, priority, name, id, tag, chain_on, .. } = self;
        let on = if chain_on.is_empty() { "none".to_string() } else { chain_on.join(", ") };
        format!("[{slot}] {name} (id {id}, tag {tag}): priority {priority}, the next one after {on}")
    }
}

/// Where a program stands among the others of its dispatcher.
pub(crate) fn place_words(added: &Added<XdpMode>, interface: &str) -> String {
    let Added { dispatcher, place, .. } = added;
    let (id, version, count) = (dispatcher.id, dispatcher.version, dispatcher.components.len());
    let slot = dispatcher.components.get(*place).map(|component| component.slot);
    let (priority, actions) = slot.map_or((0, Actions::default()), |slot| (slot.priority, slot.actions));
    let number = place.saturating_add(1);
    format!(
        "it is number {number} of {count} that the dispatcher of {interface} (id {id}, version {version}) calls: priority {priority}, the next one after {actions}"
    )
}
