//! What goes into and comes out of `IFLA_XDP`: requests as messages, and answers as plain values.
//!
//! Pure: message in, value out. No socket, no descriptor that is owned, no clock.

use std::fmt;
use std::os::fd::RawFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, LinkXdp, Prop,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::flags::{Attached, XdpFlags, XdpMode};

/// The longest name that fits `IFLA_IFNAME`, in bytes. Source: `IFNAMSIZ` without its NUL. Longer ones are alternative
/// names.
pub const NAME_MAX: usize = 15;

/// The descriptor that stands for "no program". Source: `dev_change_xdp_fd`, any negative number.
const NO_PROGRAM: RawFd = -1;

/// One request of this crate, before it becomes bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// `RTM_SETLINK` with `IFLA_XDP`.
    SetXdp(SetXdp),
    /// `RTM_GETLINK` for one interface by its index.
    LinkByIndex(u32),
    /// `RTM_GETLINK` for one interface by its name.
    LinkByName(String),
    /// `RTM_GETLINK` for all interfaces.
    Links,
}

/// Puts a program on an interface, or takes it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetXdp {
    /// The interface.
    pub ifindex: u32,
    /// The program's descriptor; `None` takes off what is there. Source: `IFLA_XDP_FD`.
    pub program: Option<RawFd>,
    /// Act only if this program is there; needs [`XdpFlags::REPLACE`]. Source: `IFLA_XDP_EXPECTED_FD`.
    pub expected: Option<RawFd>,
    /// Source: `IFLA_XDP_FLAGS`.
    pub flags: XdpFlags,
}

impl SetXdp {
    /// Attaches where nothing is attached.
    #[must_use]
    pub fn attach(ifindex: u32, program: RawFd, mode: XdpMode) -> Self {
        let flags = mode.flags() | XdpFlags::UPDATE_IF_NOEXIST;
        Self { ifindex, program: Some(program), expected: None, flags }
    }

    /// Replaces `expected` by `program`, or takes `expected` off where `program` is `None`. Since: Linux 5.7.
    #[must_use]
    pub fn exchange(ifindex: u32, program: Option<RawFd>, expected: RawFd, mode: XdpMode) -> Self {
        let flags = mode.flags() | XdpFlags::REPLACE;
        Self { ifindex, program, expected: Some(expected), flags }
    }

    /// Overwrites whatever is there.
    #[must_use]
    pub fn overwrite(ifindex: u32, program: Option<RawFd>, mode: XdpMode) -> Self {
        Self { ifindex, program, expected: None, flags: mode.flags() }
    }

    /// The `RTM_SETLINK` body.
    #[must_use]
    pub fn to_link_message(self) -> LinkMessage {
        let mut xdp = vec![LinkXdp::Fd(self.program.unwrap_or(NO_PROGRAM))];
        if !self.flags.is_empty() {
            xdp.push(LinkXdp::Flags(self.flags.bits()));
        }
        if let Some(expected) = self.expected {
            xdp.push(LinkXdp::ExpectedFd(on_the_wire(expected)));
        }
        let mut message = LinkMessage::default();
        message.header.index = self.ifindex;
        message.attributes.push(LinkAttribute::Xdp(xdp));
        message
    }
}

impl Request {
    /// The whole message, header flags included, ready to be numbered and sent.
    ///
    /// Everything but a dump asks for an acknowledgement: its absence is then a lost connection and never a success.
    #[must_use]
    pub fn to_message(&self) -> NetlinkMessage<RouteNetlinkMessage> {
        let (inner, flags) = match self {
            Self::SetXdp(set) => (RouteNetlinkMessage::SetLink(set.to_link_message()), NLM_F_ACK),
            Self::LinkByIndex(ifindex) => (RouteNetlinkMessage::GetLink(look(*ifindex, None)), NLM_F_ACK),
            Self::LinkByName(name) => (RouteNetlinkMessage::GetLink(look(0, Some(name))), NLM_F_ACK),
            Self::Links => (RouteNetlinkMessage::GetLink(look(0, None)), NLM_F_DUMP),
        };
        let mut message = NetlinkMessage::from(inner);
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        message
    }

    /// The message as the bytes of one datagram, its sequence number 0.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let message = self.to_message();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    /// True for the one request that may be answered by many messages.
    #[must_use]
    pub const fn is_dump(&self) -> bool {
        matches!(self, Self::Links)
    }
}

/// The body of a look at one interface or at all, without counters: they are most of an answer's bytes.
fn look(ifindex: u32, name: Option<&str>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    if let Some(name) = name {
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    }
    message
}

/// The foreign type holds the expected descriptor as `u32`, the kernel reads it as `s32`: same bits.
const fn on_the_wire(descriptor: RawFd) -> u32 {
    u32::from_ne_bytes(descriptor.to_ne_bytes())
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Link {
    /// Its index, unique in its network namespace.
    pub ifindex: u32,
    /// Its name. Source: `IFLA_IFNAME`.
    pub name: String,
    /// Its other names. Source: `IFLA_ALT_IFNAME`. Since: Linux 5.5.
    pub alt_names: Vec<String>,
    /// Its MTU, in bytes. Source: `IFLA_MTU`.
    pub mtu: Option<u32>,
    /// Its kind, where it is a virtual one: `veth`, `bridge`. Source: `IFLA_INFO_KIND`.
    pub kind: Option<String>,
    /// Whether it is administratively up. Source: `IFF_UP`.
    pub up: bool,
    /// The index of the interface below it, or of the other end of a veth pair. Source: `IFLA_LINK`.
    pub peer: Option<u32>,
    /// Whether that one is in another network namespace. Source: `IFLA_LINK_NETNSID`.
    pub peer_elsewhere: bool,
    /// The index of the bridge or bond that it is a port of. Source: `IFLA_MASTER`.
    pub upper: Option<u32>,
    /// The device that it belongs to, as `BUS/DEVICE`, where it is no virtual one. Source: `IFLA_PARENT_DEV_NAME`. Since:
    /// Linux 5.14.
    pub device: Option<String>,
    /// What XDP programs it carries.
    pub xdp: XdpState,
}

impl Link {
    /// Whether `name` is one of its names.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alt_names.iter().any(|other| other == name)
    }
}

/// What XDP programs an interface carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct XdpState {
    /// The interface's name.
    pub name: String,
    /// The interface's index.
    pub ifindex: u32,
    /// The kernel's summary.
    pub attached: Attached,
    /// Each program, one a mode, in the order of the modes.
    pub programs: Vec<AttachedProgram>,
}

/// A program on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachedProgram {
    /// Its mode, never [`XdpMode::Auto`].
    pub mode: XdpMode,
    /// Its id in the kernel.
    pub id: u32,
}

impl XdpState {
    /// The id of the program in `mode`. [`XdpMode::Auto`] asks for the only program, whatever its mode.
    #[must_use]
    pub fn program_in(&self, mode: XdpMode) -> Option<u32> {
        match (mode, self.programs.as_slice()) {
            (XdpMode::Auto, [only]) => Some(only.id),
            (XdpMode::Auto, _) => None,
            (_, programs) => programs.iter().find(|program| program.mode == mode).map(|program| program.id),
        }
    }
}

impl fmt::Display for AttachedProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program id {} in {} mode", self.id, self.mode)
    }
}

impl fmt::Display for XdpState {
    /// The programs in words, without the interface.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.programs.split_first() else {
            return f.write_str("no program");
        };
        write!(f, "{first}")?;
        rest.iter().try_for_each(|program| write!(f, " and {program}"))
    }
}

/// Reads an `RTM_NEWLINK` as an interface.
///
/// Absent attributes give empty values: an interface without `IFLA_XDP` carries no program.
#[must_use]
pub fn link(message: &LinkMessage) -> Link {
    let ifindex = message.header.index;
    let mut link = Link {
        ifindex,
        up: message.header.flags.contains(LinkFlags::Up),
        device: device(&message.attributes),
        xdp: XdpState { ifindex, ..XdpState::default() },
        ..Link::default()
    };
    for attribute in &message.attributes {
        read_attribute(&mut link, attribute);
    }
    link.xdp.name.clone_from(&link.name);
    link
}

fn read_attribute(link: &mut Link, attribute: &LinkAttribute) {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an interface has some fifty attributes; these tell us something"
    )]
    match attribute {
        LinkAttribute::IfName(name) => link.name.clone_from(name),
        LinkAttribute::Mtu(mtu) => link.mtu = Some(*mtu),
        LinkAttribute::PropList(properties) => {
            link.alt_names = properties.iter().filter_map(alt_name).collect()
        }
        LinkAttribute::Link(ifindex) => link.peer = Some(*ifindex).filter(|ifindex| *ifindex != 0),
        LinkAttribute::LinkNetNsId(_) => link.peer_elsewhere = true,
        LinkAttribute::Controller(ifindex) => link.upper = Some(*ifindex).filter(|ifindex| *ifindex != 0),
        LinkAttribute::LinkInfo(infos) => link.kind = infos.iter().find_map(kind),
        LinkAttribute::Xdp(xdp) => (link.xdp.attached, link.xdp.programs) = programs(xdp),
        _ => {}
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "two of some fifty attributes")]
fn device(attributes: &[LinkAttribute]) -> Option<String> {
    let bus = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::ParentDevBusName(bus) => Some(bus),
        _ => None,
    })?;
    let name = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::ParentDevName(name) => Some(name),
        _ => None,
    })?;
    Some(format!("{bus}/{name}"))
}

fn alt_name(property: &Prop) -> Option<String> {
    let Prop::AltIfName(name) = property else { return None };
    Some(name.clone())
}

fn kind(info: &LinkInfo) -> Option<String> {
    let LinkInfo::Kind(kind) = info else { return None };
    Some(kind.to_string())
}

/// Reads `IFLA_XDP`. Kernels before 4.19 give one id and the mode apart; later ones an id a mode as well.
fn programs(attributes: &[LinkXdp]) -> (Attached, Vec<AttachedProgram>) {
    let attached = attributes.iter().find_map(attached).unwrap_or_default();
    let mut programs: Vec<_> = attributes.iter().filter_map(program_with_mode).collect();
    programs.sort_by_key(|program| program.mode);
    if programs.is_empty() {
        programs.extend(only_program(attached, attributes));
    }
    (attached, programs)
}

fn attached(attribute: &LinkXdp) -> Option<Attached> {
    let LinkXdp::Attached(wire) = attribute else { return None };
    Some(Attached::from(*wire))
}

fn program_with_mode(attribute: &LinkXdp) -> Option<AttachedProgram> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other attributes carry no mode with their id")]
    let (mode, id) = match attribute {
        LinkXdp::DrvProgId(id) => (XdpMode::Native, *id),
        LinkXdp::SkbProgId(id) => (XdpMode::Generic, *id),
        LinkXdp::HwProgId(id) => (XdpMode::Offload, *id),
        _ => return None,
    };
    Some(AttachedProgram { mode, id })
}

fn only_program(attached: Attached, attributes: &[LinkXdp]) -> Option<AttachedProgram> {
    let mode = attached.mode()?;
    let id = attributes.iter().find_map(|attribute| {
        let LinkXdp::ProgId(id) = attribute else { return None };
        Some(*id)
    })?;
    Some(AttachedProgram { mode, id })
}

/// The index of the interface that a notification declares deleted.
///
/// A bridge announces a port that leaves it with the same message type in its own address family; that port lives on.
#[must_use]
pub fn deleted(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<u32> {
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) = &message.payload else {
        return None;
    };
    (link.header.interface_family == AddressFamily::Unspec).then_some(link.header.index)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "lengths of a few bytes")]

    use super::*;

    /// `struct nlmsghdr` and `struct ifinfomsg`, little endian, as `include/uapi/linux` lays them out.
    fn datagram(kind: u16, flags: u16, family: u8, ifindex: u32, attributes: &[u8]) -> Vec<u8> {
        let len = u32::try_from(32 + attributes.len()).unwrap();
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        bytes.extend([0; 8]);
        bytes.extend([family, 0, 0, 0]);
        bytes.extend(ifindex.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend_from_slice(attributes);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn word(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    fn xdp_of(nested: &[Vec<u8>]) -> XdpState {
        let bytes = datagram(RTM_NEWLINK, 0, 0, 7, &attribute(IFLA_XDP, &nested.concat()));
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).unwrap();
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) = message.payload else {
            panic!("not a RTM_NEWLINK");
        };
        link(&message).xdp
    }

    const RTM_NEWLINK: u16 = 16;
    const RTM_DELLINK: u16 = 17;
    const RTM_GETLINK: u16 = 18;
    const RTM_SETLINK: u16 = 19;
    const IFLA_IFNAME: u16 = 3;
    const IFLA_EXT_MASK: u16 = 29;
    const IFLA_XDP: u16 = 43;
    /// `NLA_F_NESTED` is optional in this request, the foreign crate leaves it out.
    const IFLA_XDP_FD: u16 = 1;
    const IFLA_XDP_ATTACHED: u16 = 2;
    const IFLA_XDP_FLAGS: u16 = 3;
    const IFLA_XDP_PROG_ID: u16 = 4;
    const IFLA_XDP_DRV_PROG_ID: u16 = 5;
    const IFLA_XDP_SKB_PROG_ID: u16 = 6;
    const IFLA_XDP_HW_PROG_ID: u16 = 7;
    const IFLA_XDP_EXPECTED_FD: u16 = 8;

    #[test]
    fn attach_is_a_setlink_with_descriptor_and_flags() {
        let request = Request::SetXdp(SetXdp::attach(3, 9, XdpMode::Native));
        let xdp = [word(IFLA_XDP_FD, 9), word(IFLA_XDP_FLAGS, 1 | 4)].concat();
        // 5: REQUEST | ACK
        assert_eq!(request.to_bytes(), datagram(RTM_SETLINK, 5, 0, 3, &attribute(IFLA_XDP, &xdp)));
    }

    #[test]
    fn replace_names_the_expected_program() {
        let request = Request::SetXdp(SetXdp::exchange(3, Some(9), 8, XdpMode::Generic));
        let xdp =
            [word(IFLA_XDP_FD, 9), word(IFLA_XDP_FLAGS, 16 | 2), word(IFLA_XDP_EXPECTED_FD, 8)].concat();
        assert_eq!(request.to_bytes(), datagram(RTM_SETLINK, 5, 0, 3, &attribute(IFLA_XDP, &xdp)));
    }

    #[test]
    fn detach_is_descriptor_minus_one() {
        let request = Request::SetXdp(SetXdp::overwrite(3, None, XdpMode::Auto));
        let xdp = word(IFLA_XDP_FD, u32::MAX);
        assert_eq!(request.to_bytes(), datagram(RTM_SETLINK, 5, 0, 3, &attribute(IFLA_XDP, &xdp)));
    }

    #[test]
    fn looks_leave_the_counters_out() {
        let no_counters = word(IFLA_EXT_MASK, 1 << 3);
        assert_eq!(Request::LinkByIndex(3).to_bytes(), datagram(RTM_GETLINK, 5, 0, 3, &no_counters));
        // 0x301: REQUEST | DUMP
        assert_eq!(Request::Links.to_bytes(), datagram(RTM_GETLINK, 0x301, 0, 0, &no_counters));
        let by_name = [no_counters, attribute(IFLA_IFNAME, b"v0\0")].concat();
        assert_eq!(Request::LinkByName("v0".into()).to_bytes(), datagram(RTM_GETLINK, 5, 0, 0, &by_name));
    }

    #[test]
    fn one_program_with_its_mode() {
        let state = xdp_of(&[
            attribute(IFLA_XDP_ATTACHED, &[2]),
            word(IFLA_XDP_PROG_ID, 42),
            word(IFLA_XDP_SKB_PROG_ID, 42),
        ]);
        assert_eq!(state.attached, Attached::Generic);
        assert_eq!(state.programs, [AttachedProgram { mode: XdpMode::Generic, id: 42 }]);
        assert_eq!(state.program_in(XdpMode::Auto), Some(42));
        assert_eq!(state.program_in(XdpMode::Native), None);
    }

    #[test]
    fn an_old_kernel_gives_one_id_and_the_mode_apart() {
        let state = xdp_of(&[attribute(IFLA_XDP_ATTACHED, &[1]), word(IFLA_XDP_PROG_ID, 42)]);
        assert_eq!(state.programs, [AttachedProgram { mode: XdpMode::Native, id: 42 }]);
    }

    #[test]
    fn several_programs_each_in_its_mode() {
        let state = xdp_of(&[
            attribute(IFLA_XDP_ATTACHED, &[4]),
            word(IFLA_XDP_HW_PROG_ID, 9),
            word(IFLA_XDP_DRV_PROG_ID, 8),
        ]);
        assert_eq!(state.attached, Attached::Multi);
        assert_eq!(state.to_string(), "program id 8 in native mode and program id 9 in offload mode");
        assert_eq!(state.program_in(XdpMode::Auto), None);
        assert_eq!(state.program_in(XdpMode::Offload), Some(9));
    }

    #[test]
    fn nothing_attached() {
        let state = xdp_of(&[attribute(IFLA_XDP_ATTACHED, &[0])]);
        assert_eq!(
            (state.ifindex, state.attached, state.to_string().as_str()),
            (7, Attached::None, "no program")
        );
    }

    #[test]
    fn a_mode_from_the_future_is_kept_as_its_number() {
        let state = xdp_of(&[attribute(IFLA_XDP_ATTACHED, &[9]), word(IFLA_XDP_PROG_ID, 42)]);
        assert_eq!((state.attached, state.programs.len()), (Attached::Other(9), 0));
    }

    #[test]
    fn a_port_that_leaves_a_bridge_is_not_deleted() {
        const AF_BRIDGE: u8 = 7;
        let parse = |kind, family| {
            NetlinkMessage::<RouteNetlinkMessage>::deserialize(&datagram(kind, 0, family, 7, &[])).unwrap()
        };
        assert_eq!(deleted(&parse(RTM_DELLINK, 0)), Some(7));
        assert_eq!(deleted(&parse(RTM_DELLINK, AF_BRIDGE)), None);
        assert_eq!(deleted(&parse(RTM_NEWLINK, 0)), None);
    }
}
