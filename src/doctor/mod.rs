//! Whether this machine, and an interface of it, can do the main job: facts, and what follows from them.
//!
//! `gather` asks the machine and judges nothing; `findings` judges and asks nothing. This file is what lies between them.

mod findings;
mod gather;

use std::collections::BTreeSet;
use std::path::PathBuf;

use rxdp_loader::features::KernelVersion;
use rxdp_loader::sys::Errno;
use rxdp_netlink::device::{Abilities, Queues};
use rxdp_netlink::{Link, XdpState};
use serde::Serialize;

use crate::error::Exit;
use crate::privilege::Privilege;

pub(crate) use findings::findings;
pub(crate) use gather::{interface, machine};

/// What a machine says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) kernel: Option<KernelVersion>,
    /// Its release as text.
    pub(crate) release: String,
    pub(crate) privilege: Privilege,
    /// How loading an XDP program of two instructions ended.
    pub(crate) trial: Result<(), Errno>,
    /// Where a bpffs is mounted.
    pub(crate) bpffs: BTreeSet<PathBuf>,
    pub(crate) has_types: bool,
    pub(crate) has_tracefs: bool,
    /// `net.core.bpf_jit_enable`, where it may be read.
    pub(crate) jit: Option<u8>,
    /// RLIMIT_MEMLOCK in **bytes**; `None` for no limit.
    pub(crate) locked_memory: Option<u64>,
    /// Size of a page in **bytes**.
    pub(crate) page_size: u32,
}

/// What there is to know about an interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interface {
    pub(crate) link: Link,
    /// The driver's name; the kind of a virtual interface.
    pub(crate) driver: Option<String>,
    pub(crate) abilities: Option<Abilities>,
    pub(crate) queues: Option<Queues>,
    /// Names of the offloads that are on; `None` where nobody says.
    pub(crate) offloads: Option<BTreeSet<String>>,
    pub(crate) peer: Option<Peer>,
    /// The interface above, with its programs.
    pub(crate) upper: Option<XdpState>,
    /// The programs that are there, and who holds them, in lines.
    pub(crate) owners: Vec<String>,
    /// What ends the links that hold them; empty where netlink can replace them.
    pub(crate) link_ends: Vec<String>,
}

/// The other end of a veth pair that is in the same network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) mtu: Option<u32>,
    pub(crate) queues: Option<Queues>,
    pub(crate) has_program: bool,
    pub(crate) has_gro: bool,
}

/// How it stands with one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Yes,
    /// The main job works, something else does not.
    Hint,
    /// The main job does not work.
    No,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) state: State,
    /// How it is, and why.
    pub(crate) says: String,
    /// What to do, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cures: Vec<String>,
    /// With what the main job would end.
    #[serde(skip)]
    pub(crate) exit: Option<Exit>,
}
