//! Whatever fails while a program is added or taken off, and whoever is faster: the interface carries what it carried, and
//! nothing is left of the attempt, no pin, no directory, no lock, no descriptor.
//!
//! Needs a kernel that lets programs replace functions of others, as the machine of `cargo xtask vm --kernel 6.12` has.
//! Alone in its file, since it counts the descriptors of the process.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;
#[path = "common/failing.rs"]
mod failing;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use common::spec_of;
use failing::Failing;
use rxdp_dispatcher::actions::Actions;
use rxdp_dispatcher::change::{self, Added, New, Removed};
use rxdp_dispatcher::component::become_component;
use rxdp_dispatcher::config::{Slot, SlotFlags};
use rxdp_dispatcher::error::{Error, KernelError};
use rxdp_dispatcher::plan::Dispatcher;
use rxdp_dispatcher::port::{Outcome, Port};
use rxdp_dispatcher::prototype::Prototype;
use rxdp_dispatcher::state::{self, Read};
use rxdp_loader::load::{self, CodeTypes, Given};
use rxdp_loader::plan::{self, Options};
use rxdp_loader::spec::ProgId;
use rxdp_loader::sys::{Errno, Kernel, Linux, host};
use rxdp_netlink::{Detached, NetlinkError, XdpMode, blocking};
use rxdp_sandbox::testing::{kernel_or_skip, open_descriptors};
use rxdp_sandbox::{End, Sandbox};

/// An interface, on which others are faster for the first so many changes.
struct Interface {
    netlink: blocking::Handle,
    ifindex: u32,
    lost: Cell<usize>,
}

impl Interface {
    fn new(netlink: &blocking::Handle, ifindex: u32, lost: usize) -> Self {
        Self { netlink: netlink.clone(), ifindex, lost: Cell::new(lost) }
    }

    fn is_lost(&self) -> bool {
        let left = self.lost.get();
        self.lost.set(left.saturating_sub(1));
        left > 0
    }
}

impl Port for Interface {
    type Mode = XdpMode;
    type Error = NetlinkError;

    fn ifindex(&self) -> u32 {
        self.ifindex
    }

    fn look(&self) -> Result<Option<(u32, XdpMode)>, NetlinkError> {
        Ok(self.netlink.query(self.ifindex)?.programs.first().map(|program| (program.id, program.mode)))
    }

    fn attach(&self, new: BorrowedFd<'_>, mode: Option<XdpMode>) -> Result<Outcome<XdpMode>, NetlinkError> {
        if self.is_lost() {
            return Ok(Outcome::Lost);
        }
        self.netlink.attach(self.ifindex, new, mode.unwrap_or(XdpMode::Auto)).map(Outcome::Done)
    }

    fn replace(
        &self,
        new: BorrowedFd<'_>,
        old: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Outcome<()>, NetlinkError> {
        if self.is_lost() {
            return Ok(Outcome::Lost);
        }
        self.netlink.replace(self.ifindex, new, old, mode).map(|_| Outcome::Done(()))
    }

    fn detach(&self, old: BorrowedFd<'_>, mode: XdpMode) -> Result<Outcome<()>, NetlinkError> {
        if self.is_lost() {
            return Ok(Outcome::Lost);
        }
        assert_eq!(self.netlink.detach(self.ifindex, old, mode)?, Detached::Ours);
        Ok(Outcome::Done(()))
    }
}

/// A program that can be added.
fn component(prototype: &Prototype, name: &str) -> OwnedFd {
    let mut spec = spec_of(&format!("dispatched-{name}.o"));
    become_component(&mut spec, ProgId(0), prototype.program.clone());
    let linked = load::link_for(spec, &host::machine(), CodeTypes::Running).unwrap();
    let plan = plan::plan(&linked, &host::machine(), &Options::default()).unwrap();
    let targets = [(ProgId(0), prototype.fd.try_clone().unwrap())].into();
    let mut loaded = load::execute(&plan, &Linux, Given { targets, ..Given::default() }).unwrap();
    loaded.take_program(name).unwrap().fd
}

fn add<K: Kernel>(
    kernel: &K,
    port: &Interface,
    name: &str,
    fd: &OwnedFd,
) -> Result<Added<XdpMode>, Error<NetlinkError>> {
    let slot = Slot { priority: 50, actions: Actions::PASS, flags: SlotFlags::empty() };
    change::add(kernel, port, New { fd: fd.as_fd(), name, slot }, None)
}

/// All that could be left of an attempt, or be gone after it.
#[derive(PartialEq, Eq, Debug)]
struct Everything {
    dispatcher: Option<Dispatcher>,
    pins: BTreeSet<String>,
    descriptors: BTreeSet<String>,
}

impl Everything {
    fn now(port: &Interface) -> Self {
        let dispatcher = port.look().unwrap().map(|(id, _)| match state::read(&Linux, port.ifindex, id) {
            Ok(Read::Dispatcher(found)) => found.dispatcher,
            other => panic!("{other:?}"),
        });
        let mut pins = BTreeSet::new();
        list(Path::new("/sys/fs/bpf/xdp"), &mut pins);
        Self { dispatcher, pins, descriptors: open_descriptors().unwrap() }
    }
}

fn list(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        found.insert(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), found);
        }
    }
}

fn tried(sandbox: &Sandbox, prototype: &Prototype) {
    let netlink = blocking::Handle::connect().unwrap();
    let ifindex = sandbox.ifindex(End::Near);
    let port = Interface::new(&netlink, ifindex, 0);
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(|name| component(prototype, name));
    // The directory stays when all is gone, as with libxdp.
    add(&Linux, &port, "alpha", &alpha).unwrap();
    change::remove(&Linux, &port, &[id_of(&alpha)]).unwrap();

    for others in [vec![], vec![("alpha", &alpha)], vec![("alpha", &alpha), ("beta", &beta)]] {
        for (name, fd) in &others {
            add(&Linux, &port, name, fd).unwrap();
        }
        let before = Everything::now(&port);
        let mut failures = 0;
        for at in 0.. {
            let kernel = Failing::new(at, Errno::ENOMEM);
            match add(&kernel, &port, "gamma", &gamma) {
                Err(error) => {
                    assert!(kernel.has_failed(), "call {at}: {error}");
                    failures += 1;
                }
                // Some calls only ask what the kernel can do.
                Ok(_) => {
                    assert!(change::remove(&Linux, &port, &[id_of(&gamma)]).is_ok());
                    if !kernel.has_failed() {
                        break;
                    }
                }
            }
            let now = Everything::now(&port);
            assert_eq!(
                (&now.pins.len(), &now.descriptors),
                (&before.pins.len(), &before.descriptors),
                "call {at}"
            );
            let names = |all: &Everything| all.dispatcher.as_ref().map(|found| found.components.clone());
            assert_eq!(names(&now), names(&before), "call {at}");
        }
        assert!(failures > 10, "{failures} failures");

        // And back.
        let added = add(&Linux, &port, "gamma", &gamma).unwrap();
        assert_eq!(added.place, others.len());
        let (mut before, mut failures) = (Everything::now(&port), 0);
        for at in 0.. {
            let kernel = Failing::new(at, Errno::ENOMEM);
            match change::remove(&kernel, &port, &[id_of(&gamma)]) {
                Err(_) => {
                    assert_eq!(Everything::now(&port), before, "call {at}");
                    failures += 1;
                }
                Ok(removed) => {
                    assert!(matches!(removed, Removed::All | Removed::Others(_)), "call {at}: {removed:?}");
                    if !kernel.has_failed() {
                        break;
                    }
                    add(&Linux, &port, "gamma", &gamma).unwrap();
                    before = Everything::now(&port);
                }
            }
        }
        assert!(failures > 5, "{failures} failures");
        for (_, fd) in &others {
            change::remove(&Linux, &port, &[id_of(fd)]).unwrap();
        }
        assert_eq!(Everything::now(&port).pins, BTreeSet::new());
    }

    // Others are faster a few times, or always.
    let before = Everything::now(&port);
    let unlucky = Interface::new(&netlink, ifindex, 3);
    let added = add(&Linux, &unlucky, "alpha", &alpha).unwrap();
    assert_eq!((added.dispatcher.components.len(), Everything::now(&port).pins.len()), (1, 3));
    unlucky.lost.set(3);
    assert_eq!(change::remove(&Linux, &unlucky, &[id_of(&alpha)]).unwrap(), Removed::All);
    unlucky.lost.set(usize::MAX);
    assert!(matches!(add(&Linux, &unlucky, "alpha", &alpha), Err(Error::Races(_))));
    assert_eq!(Everything::now(&port), before);
}

fn id_of(fd: &OwnedFd) -> u32 {
    Linux.prog_info(rxdp_loader::sys::Named { name: "program", fd: fd.as_fd() }).unwrap().id
}

#[test]
fn what_fails_leaves_everything_as_it_was() {
    let Some(sandbox) = kernel_or_skip("what_fails_leaves_everything_as_it_was") else {
        return;
    };
    match Prototype::load(&Linux) {
        Err(KernelError::NoReplace { .. }) => {
            let notice = "SKIPPED what_fails_leaves_everything_as_it_was: this kernel lets no program replace another's function\n";
            std::io::stderr().write_all(notice.as_bytes()).unwrap();
        }
        Err(error) => panic!("{error}"),
        Ok(prototype) => sandbox.near(|| tried(&sandbox, &prototype)),
    }
}
