//! What a refusal means: from the errno, what was asked, and what was found afterwards, to one cause.
//!
//! Pure, and decides on numbers alone: the kernel's sentence is shown to people and never read here.

use nix::errno::Errno as E;

use crate::error::{Interface, NetlinkError, Refusal};
use crate::flags::XdpMode;
use crate::message::{Link, XdpState};

/// What was being done to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Look,
    Attach(XdpMode),
    Replace(XdpMode),
    /// Takes off one certain program.
    Detach(XdpMode),
    /// Takes off whatever is there.
    DetachAny(XdpMode),
}

impl Action {
    /// The words before the interface's name.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Look => "look at",
            Self::Attach(_) => "attach to",
            Self::Replace(_) => "replace on",
            Self::Detach(_) | Self::DetachAny(_) => "detach from",
        }
    }

    pub(crate) const fn mode(self) -> XdpMode {
        match self {
            Self::Look => XdpMode::Auto,
            Self::Attach(mode) | Self::Replace(mode) | Self::Detach(mode) | Self::DetachAny(mode) => mode,
        }
    }

    const fn expects_a_program(self) -> bool {
        matches!(self, Self::Replace(_) | Self::Detach(_))
    }
}

/// Names the cause. `now` is the interface as it was found after the refusal, where that could be found out.
pub(crate) fn explain(action: Action, ifindex: u32, refusal: Refusal, now: Option<Link>) -> NetlinkError {
    let (words, mode) = (action.words(), action.mode());
    let interface = Interface { name: now.as_ref().map(|link| link.name.clone()), ifindex };
    // Of a veth pair it is the MTU of the other end that counts.
    let mtu = now.as_ref().filter(|link| link.kind.as_deref() != Some("veth")).and_then(|link| link.mtu);
    #[expect(clippy::wildcard_enum_match_arm, reason = "any other errno is a refusal like any other")]
    match refusal.errno.known() {
        E::ENODEV => NetlinkError::InterfaceGone { action: words, ifindex },
        E::EPERM | E::EACCES => NetlinkError::NotPermitted { action: words, interface, refusal },
        E::EOPNOTSUPP => NetlinkError::NotSupported { action: words, interface, mode, refusal },
        // A card that cannot take programs says so in many words, or in none.
        E::EINVAL if mode == XdpMode::Offload => {
            NetlinkError::NotSupported { action: words, interface, mode, refusal }
        }
        E::ERANGE => NetlinkError::MtuTooLarge { action: words, interface, mode, mtu, refusal },
        E::EBUSY | E::EEXIST => taken(action, interface, refusal, now.map(|link| Box::new(link.xdp))),
        _ => NetlinkError::Refused { action: words, interface, refusal },
    }
}

/// `EBUSY` and `EEXIST` have several causes each; what was asked and what is attached tell them apart.
///
/// Source: the order of checks in `dev_xdp_attach`, `net/core/dev.c`.
fn taken(
    action: Action,
    interface: Interface,
    refusal: Refusal,
    found: Option<Box<XdpState>>,
) -> NetlinkError {
    let (words, mode, busy) = (action.words(), action.mode(), refusal.errno.known() == E::EBUSY);
    let Some(found) = found else {
        return NetlinkError::Refused { action: words, interface, refusal };
    };
    let is_expecting = action.expects_a_program();
    match (action, busy) {
        (_, false) if is_expecting => {
            NetlinkError::NotExpected { action: words, interface, mode, found, refusal: Some(refusal) }
        }
        // Without a program there, the cause lies elsewhere: the driver is busy, or an upper device has a program.
        _ if found.programs.is_empty() => NetlinkError::Refused { action: words, interface, refusal },
        (Action::Attach(_), true) => NetlinkError::Occupied { interface, mode, found, refusal },
        (Action::Attach(_), false) if excludes(mode, &found) => {
            NetlinkError::ModeConflict { interface, mode, found, refusal }
        }
        (_, true) => NetlinkError::HeldByLink { action: words, interface, mode, found, refusal },
        (_, false) => NetlinkError::Refused { action: words, interface, refusal },
    }
}

/// Whether a program is in the one mode that cannot be together with `mode`. `Auto` may mean either.
fn excludes(mode: XdpMode, found: &XdpState) -> bool {
    let there = |mode| found.program_in(mode).is_some();
    match mode {
        XdpMode::Native => there(XdpMode::Generic),
        XdpMode::Generic => there(XdpMode::Native),
        XdpMode::Auto => there(XdpMode::Generic) || there(XdpMode::Native),
        XdpMode::Offload => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extack::ExtAck;
    use crate::flags::Attached;
    use crate::message::AttachedProgram;

    fn link(programs: &[(XdpMode, u32)]) -> Option<Link> {
        let programs: Vec<_> = programs.iter().map(|&(mode, id)| AttachedProgram { mode, id }).collect();
        let xdp = XdpState { name: "v0".into(), ifindex: 3, attached: Attached::Native, programs };
        Some(Link {
            ifindex: 3,
            name: "v0".into(),
            alt_names: vec![],
            mtu: Some(9000),
            kind: None,
            up: true,
            peer: None,
            peer_elsewhere: false,
            upper: None,
            device: None,
            xdp,
        })
    }

    fn cause(action: Action, errno: E, sentence: &str, now: Option<Link>) -> String {
        let message = (!sentence.is_empty()).then(|| sentence.to_owned());
        let refusal = Refusal::new(errno as i32, ExtAck { message, offset: None });
        explain(action, 3, refusal, now).to_string()
    }

    /// What was asked, how it was refused, what is attached: the sentence.
    #[test]
    fn every_cause_has_its_sentence() {
        use Action::{Attach, Detach, DetachAny, Look, Replace};
        use XdpMode::{Auto, Generic, Native, Offload};
        let native = || link(&[(Native, 42)]);
        let table = [
            (
                cause(Attach(Native), E::EBUSY, "XDP program already attached", native()),
                "attach to v0 (ifindex 3) in native mode: program id 42 in native mode is there already \
                 (EBUSY, device or resource busy: \"XDP program already attached\"); \
                 replace it, or detach it first",
            ),
            (
                cause(Attach(Generic), E::EEXIST, "", native()),
                "attach to v0 (ifindex 3) in generic mode: program id 42 in native mode is there, and native and \
                 generic exclude each other (EEXIST, file exists); \
                 replace it in its own mode, or detach it first",
            ),
            (
                cause(Replace(Native), E::EEXIST, "", native()),
                "replace on v0 (ifindex 3) in native mode: the expected program is not there, program id 42 in \
                 native mode is (EEXIST, file exists); look again and decide anew",
            ),
            (
                cause(Detach(Native), E::EEXIST, "", link(&[])),
                "detach from v0 (ifindex 3) in native mode: the expected program is not there, no program is \
                 (EEXIST, file exists); look again and decide anew",
            ),
            (
                cause(DetachAny(Auto), E::EBUSY, "", native()),
                "detach from v0 (ifindex 3) in auto mode: program id 42 in native mode is held by a bpf_link, which \
                 netlink cannot change (EBUSY, device or resource busy); \
                 end the process that holds the link, or remove its pin",
            ),
            (
                cause(
                    Attach(Native),
                    E::EEXIST,
                    "Cannot attach when an upper device already has a program",
                    link(&[]),
                ),
                "attach to v0 (ifindex 3): the kernel refused with EEXIST, file exists: \"Cannot attach when an \
                 upper device already has a program\"; the kernel's sentence says what to change",
            ),
            (
                cause(Attach(Offload), E::EOPNOTSUPP, "", link(&[])),
                "attach to v0 (ifindex 3) in offload mode: the driver does not support it \
                 (EOPNOTSUPP, operation not supported on transport endpoint); use native mode, or generic",
            ),
            (
                cause(Attach(Native), E::ERANGE, "veth: Peer MTU is too large to set XDP", link(&[])),
                "attach to v0 (ifindex 3) in native mode: packets can be too large for this program at an MTU of \
                 9000 (ERANGE, math result not representable: \"veth: Peer MTU is too large to set XDP\"); lower \
                 the MTU here and on the peer, load the program with fragments (SEC(\"xdp.frags\")), or use \
                 generic mode",
            ),
            (
                cause(Attach(Auto), E::EPERM, "", None),
                "attach to ifindex 3: not permitted (EPERM, operation not permitted); \
                 it needs CAP_NET_ADMIN over this network namespace, as root has",
            ),
            (
                cause(Look, E::ENODEV, "", None),
                "look at ifindex 3: no such interface in this network namespace (any more); \
                 it was deleted, or moved to another namespace",
            ),
            (
                cause(Attach(Native), E::EINVAL, "", link(&[])),
                "attach to v0 (ifindex 3): the kernel refused with EINVAL, invalid argument; check that the \
                 descriptor is an XDP program, and one for an interface (not for a devmap, a cpumap or another \
                 device)",
            ),
            (
                cause(Attach(Native), E::EBUSY, "", link(&[])),
                "attach to v0 (ifindex 3): the kernel refused with EBUSY, device or resource busy; \
                 try again in a moment",
            ),
        ];
        for (said, expected) in table {
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn a_card_that_has_an_offloaded_program_does_not_exclude_native() {
        let offloaded = link(&[(XdpMode::Offload, 5)]);
        let refusal = Refusal::new(E::EEXIST as i32, ExtAck::default());
        let error = explain(Action::Attach(XdpMode::Native), 3, refusal, offloaded);
        assert!(matches!(error, NetlinkError::Refused { .. }), "{error}");
    }
}
