//! Everything that can go wrong here, one variant per cause, and the small values that the variants carry.
//!
//! What happened and what to do about it, as data and as one line. Deciding which variant it is happens in `refusal`.

use std::fmt;

use nix::errno::Errno as E;

use crate::extack::ExtAck;
use crate::flags::XdpMode;
use crate::message::XdpState;

/// Why a call of this crate failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetlinkError {
    /// The word names no mode.
    #[error("{given:?} is no XDP mode; the modes are auto, native (drv), generic (skb) and offload (hw)")]
    UnknownMode {
        /// The word.
        given: String,
    },
    /// The connection to the kernel could not be made.
    #[error("netlink connection: {step} failed with {errno}; {}", connect_hint(*errno))]
    Connect {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        errno: Errno,
    },
    /// The connection ended before the answer came. Whether the kernel acted on the request is unknown.
    #[error("{request}: the netlink connection broke before the answer came{}; connect again and look whether it took effect", because(*errno))]
    ConnectionLost {
        /// What was asked, as [`Request`](crate::message::Request) prints it.
        request: String,
        /// The errno of the socket, where it had one.
        errno: Option<Errno>,
    },
    /// The kernel acknowledged the request without the interface that was asked for, or in a form that cannot be read.
    #[error(
        "{request}: the kernel acknowledged but described no interface that could be read; please report this with the kernel's version"
    )]
    NoAnswer {
        /// What was asked.
        request: String,
    },
    /// A program's descriptor could not be duplicated.
    #[error(
        "program descriptor {fd}: duplicating it failed with {errno}; raise the limit on open files or close some"
    )]
    Descriptor {
        /// Its number.
        fd: i32,
        /// Why it failed.
        errno: Errno,
    },
    /// The descriptor does not say a program's id. Only asked for before Linux 5.7.
    #[error("program descriptor {fd}: /proc/self/fdinfo gives no program id{}; it must be a BPF program, and /proc must be mounted", because(*errno))]
    ProgramId {
        /// Its number.
        fd: i32,
        /// Why reading failed; `None` where the file was readable but had no such line.
        errno: Option<Errno>,
    },
    /// No interface has this name.
    #[error("no interface {name:?} in this network namespace; {}", there_are(known))]
    UnknownInterface {
        /// The name that was asked for.
        name: String,
        /// The names there are, those most like it first.
        known: Vec<String>,
    },
    /// No interface has this index, or no longer.
    #[error(
        "{action} ifindex {ifindex}: no such interface in this network namespace (any more); it was deleted, or moved to another namespace"
    )]
    InterfaceGone {
        /// What was being done, ending in a preposition.
        action: &'static str,
        /// The index.
        ifindex: u32,
    },
    /// Something is attached in this mode already. `EBUSY`.
    #[error(
        "attach to {interface} in {mode} mode: {found} is there already ({refusal}); replace it, or detach it first"
    )]
    Occupied {
        /// Where.
        interface: Interface,
        /// The mode that was asked for.
        mode: XdpMode,
        /// What is there.
        found: Box<XdpState>,
        /// The kernel's words.
        refusal: Refusal,
    },
    /// The other of native and generic mode is in use. `EEXIST`.
    #[error(
        "attach to {interface} in {mode} mode: {found} is there, and native and generic exclude each other ({refusal}); replace it in its own mode, or detach it first"
    )]
    ModeConflict {
        /// Where.
        interface: Interface,
        /// The mode that was asked for.
        mode: XdpMode,
        /// What is there.
        found: Box<XdpState>,
        /// The kernel's words.
        refusal: Refusal,
    },
    /// Another program, or none, is attached where a certain one was expected. `EEXIST`.
    #[error("{action} {interface} in {mode} mode: the expected program is not there, {found} is{}; look again and decide anew", in_brackets(refusal.as_ref()))]
    NotExpected {
        /// What was being done, ending in a preposition.
        action: &'static str,
        /// Where.
        interface: Interface,
        /// The mode that was asked for.
        mode: XdpMode,
        /// What is there.
        found: Box<XdpState>,
        /// The kernel's words; `None` where we looked ourselves, before Linux 5.7.
        refusal: Option<Refusal>,
    },
    /// A bpf_link holds the place, and netlink cannot take it away. `EBUSY`.
    #[error(
        "{action} {interface} in {mode} mode: {found} is held by a bpf_link, which netlink cannot change ({refusal}); end the process that holds the link, or remove its pin"
    )]
    HeldByLink {
        /// What was being done, ending in a preposition.
        action: &'static str,
        /// Where.
        interface: Interface,
        /// The mode that was asked for.
        mode: XdpMode,
        /// What is there.
        found: Box<XdpState>,
        /// The kernel's words.
        refusal: Refusal,
    },
    /// `EPERM` or `EACCES`.
    #[error(
        "{action} {interface}: not permitted ({refusal}); it needs CAP_NET_ADMIN over this network namespace, as root has"
    )]
    NotPermitted {
        /// What was being done, ending in a preposition.
        action: &'static str,
        /// Where.
        interface: Interface,
        /// The kernel's words.
        refusal: Refusal,
    },
    /// The driver cannot do this mode. `EOPNOTSUPP`.
    #[error("{action} {interface} in {mode} mode: the driver does not support it ({refusal}); {}", other_mode(*mode))]
    NotSupported {
        /// What was being done, ending in a preposition.
        action: &'static str,
        /// Where.
        interface: Interface,
        /// The mode that was asked for.
        mode: XdpMode,
        /// The kernel's words.
        refusal: Refusal,
    },
    /// Packets of the interface, or of its peer, may be larger than the driver can give to this program. `ERANGE`.
    #[error("{action} {interface} in {mode} mode: packets can be too large for this program{} ({refusal}); lower the MTU here and on the peer, load the program with fragments (SEC(\"xdp.frags\")), or use generic mode", of_mtu(*mtu))]
    MtuTooLarge {
        /// What was being done, ending in a preposition.
        action: &'static str,
        /// Where.
        interface: Interface,
        /// The mode that was asked for.
        mode: XdpMode,
        /// The interface's own MTU, in bytes; `None` for an end of a veth pair, where the other end's counts.
        mtu: Option<u32>,
        /// The kernel's words.
        refusal: Refusal,
    },
    /// Any other refusal.
    #[error("{action} {interface}: the kernel refused with {refusal}; {}", hint(refusal))]
    Refused {
        /// What was being done, ending in a preposition.
        action: &'static str,
        /// Where.
        interface: Interface,
        /// The kernel's words.
        refusal: Refusal,
    },
    /// The attach took effect, a later step failed, and taking the program off again failed too.
    #[error("{cause}; the program may still be attached to ifindex {ifindex}, detach it by hand")]
    LeftAttached {
        /// Where.
        ifindex: u32,
        /// The step that failed.
        #[source]
        cause: Box<Self>,
    },
}

/// An errno of Linux, as its positive number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    pub(crate) fn of(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(E::EIO as i32))
    }

    pub(crate) fn known(self) -> E {
        E::from_raw(self.0)
    }
}

impl fmt::Display for Errno {
    /// `EBUSY, device or resource busy`, without the capital that would break a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known();
        if known == E::UnknownErrno {
            return write!(f, "errno {}", self.0);
        }
        write!(f, "{known:?}, {}", lower_first(known.desc()))
    }
}

/// What the kernel answered when it said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The errno.
    pub errno: Errno,
    /// The kernel's sentence and offset, where it gave them.
    pub ack: ExtAck,
}

impl Refusal {
    pub(crate) fn new(code: i32, ack: ExtAck) -> Self {
        // Netlink carries errnos negated.
        Self { errno: Errno(code.saturating_abs()), ack }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ack.message {
            Some(sentence) => write!(f, "{}: {sentence:?}", self.errno),
            None => self.errno.fmt(f),
        }
    }
}

/// An interface as an error names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, where it could be found out.
    pub name: Option<String>,
    /// Its index.
    pub ifindex: u32,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (ifindex {})", self.ifindex),
            None => write!(f, "ifindex {}", self.ifindex),
        }
    }
}

/// How many names an error lists before it only counts.
const NAMES_SHOWN: usize = 8;

fn there_are(known: &[String]) -> String {
    if known.is_empty() {
        return "it has none at all".to_owned();
    }
    let shown: Vec<&str> = known.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    let more = known.len().saturating_sub(NAMES_SHOWN);
    if more == 0 {
        return format!("did you mean one of: {}", shown.join(", "));
    }
    format!("did you mean one of: {} (and {more} more)", shown.join(", "))
}

fn because(errno: Option<Errno>) -> String {
    errno.map_or_else(String::new, |errno| format!(" ({errno})"))
}

fn in_brackets(refusal: Option<&Refusal>) -> String {
    refusal.map_or_else(String::new, |refusal| format!(" ({refusal})"))
}

fn of_mtu(mtu: Option<u32>) -> String {
    mtu.map_or_else(String::new, |mtu| format!(" at an MTU of {mtu}"))
}

const fn other_mode(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Native => "use generic mode, which every driver can",
        XdpMode::Offload => "use native mode, or generic",
        XdpMode::Auto | XdpMode::Generic => "use another interface",
    }
}

/// What to do about a connection that could not be made.
const CONNECT_HINTS: &[(E, &str)] = &[
    (E::EMFILE, "raise the limit on open files or close some"),
    (E::ENFILE, "raise the limit on open files or close some"),
    (E::EAGAIN, "raise the limit on threads"),
    (E::ENOMEM, "free memory and try again"),
    (E::EPERM, "a sandbox (seccomp, LSM) may forbid AF_NETLINK sockets here"),
    (E::EACCES, "a sandbox (seccomp, LSM) may forbid AF_NETLINK sockets here"),
    (E::EAFNOSUPPORT, "this kernel or sandbox has no rtnetlink"),
    (E::EPROTONOSUPPORT, "this kernel or sandbox has no rtnetlink"),
    (E::ENOPROTOOPT, "it needs Linux 4.12 or later"),
];

/// What to do about a refusal that came without a sentence.
const REFUSAL_HINTS: &[(E, &str)] = &[
    (
        E::EINVAL,
        "check that the descriptor is an XDP program, and one for an interface (not for a devmap, a cpumap or another device)",
    ),
    (E::EBADF, "check that the descriptor is open and a BPF program"),
    (E::ENOMEM, "free memory, or use fewer queues on the interface, and try again"),
    (E::ENOBUFS, "free memory, or use fewer queues on the interface, and try again"),
    (E::ENOSPC, "the driver lacks transmit queues for XDP; use fewer queues"),
    (E::EBUSY, "try again in a moment"),
    (E::EAGAIN, "try again in a moment"),
];

fn connect_hint(errno: Errno) -> &'static str {
    look_up(CONNECT_HINTS, errno).unwrap_or("nothing can be asked of the kernel without it")
}

fn hint(refusal: &Refusal) -> &'static str {
    if refusal.ack.message.is_some() {
        return "the kernel's sentence says what to change";
    }
    look_up(REFUSAL_HINTS, refusal.errno).unwrap_or("the kernel's log (dmesg) may say more")
}

fn look_up(hints: &[(E, &'static str)], errno: Errno) -> Option<&'static str> {
    let known = errno.known();
    hints.iter().find(|(hinted, _)| *hinted == known).map(|(_, hint)| *hint)
}

fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_has_its_name_and_its_words() {
        assert_eq!(Errno(16).to_string(), "EBUSY, device or resource busy");
        assert_eq!(Errno(4000).to_string(), "errno 4000");
    }

    #[test]
    fn many_names_are_counted_and_not_listed() {
        let known = (0..10).map(|n| format!("v{n}")).collect();
        let error = NetlinkError::UnknownInterface { name: "x".into(), known };
        assert_eq!(
            error.to_string(),
            "no interface \"x\" in this network namespace; \
             did you mean one of: v0, v1, v2, v3, v4, v5, v6, v7 (and 2 more)"
        );
    }
}
