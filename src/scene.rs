//! Looks around after an attach or a detach failed, so that `cures` can say what to do: who is in the way, the other end of a
//! veth pair, the bridge above.

use rxdp_loader::sys::Kernel;
use rxdp_netlink::{AttachedProgram, Handle, Link, NetlinkError, XdpState, device};

use crate::commands::status::{self, describe};
use crate::cures::{self, Owner, Scene};
use crate::error::Failure;
use crate::owner;

/// The name of libxdp's dispatcher. Source: libxdp, protocol/dispatcher.
const DISPATCHER: &str = "xdp_dispatcher";

/// How a program was to be attached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// It takes fragments.
    pub(crate) frags: bool,
    /// By a link.
    pub(crate) by_link: bool,
}

/// The failure of an attach, with what to do about it.
pub(crate) async fn explain<K: Kernel>(
    kernel: &K,
    netlink: &Handle,
    link: &Link,
    wanted: Wanted,
    error: NetlinkError,
) -> Failure {
    let near = |ifindex: Option<u32>| async move { netlink.link(ifindex?).await.ok() };
    let peer = near(link.peer.filter(|_| !link.peer_elsewhere)).await;
    // A port cannot have a program while the interface above has one.
    let upper = near(link.upper).await.filter(|upper| !upper.xdp.programs.is_empty());
    let scene = Scene {
        upper: upper.map(|upper| upper.name),
        peer_queues: peer.as_ref().and_then(|peer| Some(device::queues(peer.ifindex).ok()??.tx)),
        peer: peer.map(|peer| peer.name),
        frags: wanted.frags,
        by_link: wanted.by_link,
        ..scene(kernel, link, &error)
    };
    Failure::Netlink { advice: cures::cures(&error, &scene), source: Box::new(error) }
}

/// The failure of a detach, with what to do about it.
pub(crate) fn explain_detach(kernel: &impl Kernel, link: &Link, error: NetlinkError) -> Failure {
    Failure::Netlink { advice: cures::cures(&error, &scene(kernel, link, &error)), source: Box::new(error) }
}

fn scene(kernel: &impl Kernel, link: &Link, error: &NetlinkError) -> Scene {
    let (interface, kind) = (link.name.clone(), link.kind.clone());
    Scene { interface, kind, in_the_way: in_the_way(kernel, error), ..Scene::default() }
}

/// What an interface carries, in words.
pub(crate) fn in_words(kernel: &impl Kernel, state: &XdpState) -> String {
    let programs: Vec<String> = state.programs.iter().map(|p| describe(kernel, p.id)).collect();
    if programs.is_empty() { "no program".to_string() } else { programs.join(" and ") }
}

fn in_the_way(kernel: &impl Kernel, error: &NetlinkError) -> Vec<Owner> {
    match found(error) {
        Some(state) => state.programs.iter().map(|program| owner(kernel, state.ifindex, *program)).collect(),
        None => Vec::new(),
    }
}

fn owner(kernel: &impl Kernel, ifindex: u32, program: AttachedProgram) -> Owner {
    let name = status::name(kernel, program.id);
    Owner {
        program,
        words: describe(kernel, program.id),
        is_dispatcher: name.as_deref() == Some(DISPATCHER),
        holders: owner::find(kernel, program.id, ifindex),
    }
}

/// What was there instead.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else")]
fn found(error: &NetlinkError) -> Option<&XdpState> {
    match error {
        NetlinkError::Occupied { found, .. }
        | NetlinkError::ModeConflict { found, .. }
        | NetlinkError::HeldByLink { found, .. }
        | NetlinkError::NotExpected { found, .. } => Some(found),
        _ => None,
    }
}
