//! What to do about a refusal of netlink or of a link: from the error and what is known about the scene to lines of advice.
//!
//! Values in, values out: who holds what was found out before, in `owner` and over netlink.

use rxdp_netlink::{AttachedProgram, NetlinkError, XdpMode};

use crate::owner::Holders;

/// What is known about an attach that failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    pub(crate) interface: String,
    /// `veth`, `bridge`.
    pub(crate) kind: Option<String>,
    /// The interface that this one is a port of, if that one carries a program.
    pub(crate) upper: Option<String>,
    /// The other end of a veth pair, where it can be seen.
    pub(crate) peer: Option<String>,
    /// How many queues for sending it has.
    pub(crate) peer_queues: Option<u32>,
    /// The program takes fragments.
    pub(crate) frags: bool,
    /// It was to be attached by a link, which replaces nothing.
    pub(crate) by_link: bool,
    pub(crate) in_the_way: Vec<Owner>,
}

/// A program that is in the way.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) program: AttachedProgram,
    /// Its name, id, tag, and since when.
    pub(crate) words: String,
    /// It is the dispatcher of libxdp, with other programs in it.
    pub(crate) is_dispatcher: bool,
    pub(crate) holders: Holders,
}

/// The errnos that have causes of their own. Source: asm-generic/errno-base.h.
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

/// What to do, a line each.
pub(crate) fn cures(error: &NetlinkError, scene: &Scene) -> Vec<String> {
    let interface = &scene.interface;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the message of the others says it all")]
    match error {
        NetlinkError::Occupied { .. }
        | NetlinkError::ModeConflict { .. }
        | NetlinkError::HeldByLink { .. }
        | NetlinkError::NotExpected { .. } => scene.in_the_way.iter().flat_map(|owner| in_the_way(error, owner, scene)).collect(),
        NetlinkError::MtuTooLarge { mode, .. } => too_large(*mode, scene),
        NetlinkError::NotSupported { mode: XdpMode::Native, .. } => {
            vec!["to do: --mode generic; --fallback generic tries native mode first".to_string()]
        }
        NetlinkError::NotSupported { mode: XdpMode::Offload, .. } => {
            vec![format!("to do: --mode native, or --mode generic; `rxdp-load doctor {interface}` says what the driver can")]
        }
        NetlinkError::UnknownInterface { .. } => vec![
            "to do: look at the names with `ip link`; for another network namespace: ip netns exec NAME rxdp-load ..."
                .to_string(),
        ],
        NetlinkError::Refused { refusal, .. } => match refusal.errno.0 {
            ENOSPC => queues(scene),
            EEXIST => scene.upper.iter().map(|upper| upper_device(upper, interface)).collect(),
            EINVAL if !scene.in_the_way.is_empty() => vec![format!("to do: rxdp-load unload {interface}")],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn in_the_way(error: &NetlinkError, owner: &Owner, scene: &Scene) -> Vec<String> {
    let interface = &scene.interface;
    let mut lines = vec![format!("in the way: {}", owner.words)];
    lines.extend(held_by(&owner.holders));
    let id = owner.program.id;
    if let Some(link) = owner.holders.link() {
        lines.extend(end_the_link(link, &owner.holders));
        return lines;
    }
    if matches!(error, NetlinkError::HeldByLink { .. }) {
        lines.push("to do: find out who holds its link, as root: bpftool link show".to_string());
        return lines;
    }
    if owner.is_dispatcher {
        lines.push(format!(
            "it is the dispatcher of libxdp and holds several programs: look with `xdp-loader status {interface}`"
        ));
    }
    if scene.by_link {
        lines.push(format!(
            "to do: take it off: rxdp-load unload {interface}; or take its place without --bpf-link: --replace={id}"
        ));
        return lines;
    }
    let how = if matches!(error, NetlinkError::ModeConflict { .. }) { ", in its mode" } else { "" };
    let mode = if how.is_empty() { "" } else { " without --mode" };
    lines.push(format!(
        "to do: take its place{how}: --replace={id}{mode}; or take it off: rxdp-load unload {interface}"
    ));
    lines
}

/// Who holds a program, a line each.
pub(crate) fn held_by(holders: &Holders) -> Vec<String> {
    let what = |link: Option<u32>| link.map_or("it".to_string(), |id| format!("its bpf_link {id}"));
    let processes = holders.processes.iter().map(|process| {
        format!("  process {} ({}) has {} open", process.pid, process.name, what(process.link))
    });
    let pins =
        holders.pins.iter().map(|pin| format!("  {} is pinned at {}", what(pin.link), pin.path.display()));
    let lines: Vec<String> = processes.chain(pins).collect();
    if lines.is_empty() {
        return vec!["  nobody has it open or pinned: it stays until somebody takes it off".to_string()];
    }
    lines
}

/// A link is not replaced over netlink: whoever holds it has to let go.
fn end_the_link(link: u32, holders: &Holders) -> Vec<String> {
    let all = ends(link, holders).join("; ");
    vec![format!("to do: netlink cannot take it away; let go of the link: {all}")]
}

/// The commands after which nobody holds a link.
pub(crate) fn ends(link: u32, holders: &Holders) -> Vec<String> {
    let processes = holders.processes.iter().filter(|process| process.link == Some(link));
    let pins = holders.pins.iter().filter(|pin| pin.link == Some(link));
    let processes = processes.map(|process| format!("kill {}", process.pid));
    processes.chain(pins.map(|pin| format!("rm {}", pin.path.display()))).collect()
}

fn too_large(mode: XdpMode, scene: &Scene) -> Vec<String> {
    let interface = &scene.interface;
    let is_veth = scene.kind.as_deref() == Some("veth");
    let mut lines = Vec::new();
    if is_veth {
        lines.push("a packet has to fit a page, about 3500 bytes; it is the MTU of the other end of the pair that counts".to_string());
    }
    let which = if is_veth { scene.peer.as_deref().unwrap_or("PEER") } else { interface };
    lines.push(format!("to do: ip link set {which} mtu 1500"));
    if !scene.frags {
        lines.push(
            "       or SEC(\"xdp.frags\") in the object; --fallback frags has it taken for such".to_string(),
        );
    }
    if mode != XdpMode::Generic {
        lines.push("       or --mode generic; --fallback generic tries native mode first".to_string());
    }
    lines
}

fn queues(scene: &Scene) -> Vec<String> {
    let interface = &scene.interface;
    let number = scene.peer_queues.map_or("N".to_string(), |queues| queues.to_string());
    vec![
        format!(
            "to do: as many queues for receiving as the other end has for sending: ethtool -L {interface} rx {number}"
        ),
        "       or --mode generic".to_string(),
    ]
}

fn upper_device(upper: &str, interface: &str) -> String {
    format!(
        "to do: {interface} is a port of {upper}, which carries a program: rxdp-load unload {upper}; or attach to {upper} alone"
    )
}
