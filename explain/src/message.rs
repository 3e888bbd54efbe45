//! A netlink message part by part: which bytes say what.
//!
//! Source: `struct nlmsghdr`, `include/uapi/linux/netlink.h`; `struct ifinfomsg`, `include/uapi/linux/rtnetlink.h`;
//! `IFLA_XDP`, `include/uapi/linux/if_link.h`.

use rxdp_loader::bytes::{Endian, Reader};

use crate::model::MessagePart;
use crate::words::hex;

/// A field of fixed size: where, how many **bytes**, name.
type FieldAt = (u32, u32, &'static str);

/// What every message begins with.
const HEADER: &[FieldAt] = &[
    (0, 4, "nlmsg_len"),
    (4, 2, "nlmsg_type"),
    (6, 2, "nlmsg_flags"),
    (8, 4, "nlmsg_seq"),
    (12, 4, "nlmsg_pid"),
];
/// What follows when an interface is changed.
const INTERFACE: &[FieldAt] = &[
    (16, 1, "ifi_family"),
    (17, 1, "padding"),
    (18, 2, "ifi_type"),
    (20, 4, "ifi_index"),
    (24, 4, "ifi_flags"),
    (28, 4, "ifi_change"),
];
/// **Bytes** of all of them.
const ATTRIBUTES_AT: u32 = 32;
/// What follows in an answer: how it ended, and the header of what is answered.
const ANSWER: &[FieldAt] = &[
    (16, 4, "error"),
    (20, 4, "nlmsg_len"),
    (24, 2, "nlmsg_type"),
    (26, 2, "nlmsg_flags"),
    (28, 4, "nlmsg_seq"),
    (32, 4, "nlmsg_pid"),
];
/// Where attributes about an error follow. Source: `enum nlmsgerr_attrs`.
const ERROR_ATTRIBUTES_AT: u32 = 36;

const NLMSG_ERROR: u32 = 2;
const RTM_SETLINK: u32 = 19;
/// Bit of an attribute's type: there are attributes in it.
const NESTED: u32 = 0x8000;
/// Attributes of a link, and those within `IFLA_XDP`.
const IFLA_XDP: u32 = 43;
const XDP_FD: u32 = 1;
const XDP_FLAGS: u32 = 3;
const XDP_EXPECTED_FD: u32 = 8;
/// Of an answer: it holds no more of the request than its header. Since: Linux 4.3.
const NLM_F_CAPPED: u32 = 0x100;

/// **Bytes** of an attribute's length and type.
const ATTRIBUTE: u32 = 4;

/// The parts of an `RTM_SETLINK` message in this machine's byte order.
pub(crate) fn parts(bytes: &[u8]) -> Vec<MessagePart> {
    let mut parts = fields(bytes, HEADER, 0);
    parts.extend(fields(bytes, INTERFACE, 0));
    let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    attributes(bytes, ATTRIBUTES_AT, end, 0, &mut parts);
    parts
}

/// The parts of the answer to a message: a header, how it ended, and the header of the message.
pub(crate) fn answer(bytes: &[u8]) -> Vec<MessagePart> {
    let mut parts = fields(bytes, HEADER, 0);
    let (error, answered) = ANSWER.split_at(1);
    parts.extend(fields(bytes, error, 0));
    parts.extend(fields(bytes, answered, 1));
    let rest = usize::try_from(ERROR_ATTRIBUTES_AT).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    if let (false, Ok(size)) = (rest.is_empty(), u32::try_from(rest.len())) {
        let words = format!("more about the error: {:?}", String::from_utf8_lossy(rest));
        parts.push(part(bytes, ERROR_ATTRIBUTES_AT, size, 0, "attributes", words));
    }
    parts
}

fn fields(bytes: &[u8], fields: &[FieldAt], depth: u32) -> Vec<MessagePart> {
    let one = |(offset, size, name): &FieldAt| {
        let value = number(bytes, *offset, *size)?;
        Some(part(bytes, *offset, *size, depth, name, meaning(name, value)))
    };
    fields.iter().map_while(one).collect()
}

/// Attributes between two places: a length and a type of 2 bytes each, and a value that ends at a multiple of 4.
fn attributes(bytes: &[u8], from: u32, end: u32, depth: u32, parts: &mut Vec<MessagePart>) {
    let mut at = from;
    while at < end {
        let (Some(len), Some(ty)) = (number(bytes, at, 2), number(bytes, at.saturating_add(2), 2)) else {
            return;
        };
        let next = at.saturating_add(len.max(ATTRIBUTE).next_multiple_of(4));
        let value = at.saturating_add(ATTRIBUTE);
        let nested = ty & !NESTED == IFLA_XDP && depth == 0;
        let name = name(ty & !NESTED, depth);
        let words = if nested { "attributes follow in it" } else { "" };
        let what = format!("an attribute of {len} bytes, type {}; {words}", ty & !NESTED);
        parts.push(part(bytes, at, ATTRIBUTE, depth, &name, what.trim_end_matches("; ").to_string()));
        let size = len.saturating_sub(ATTRIBUTE);
        if nested {
            attributes(bytes, value, at.saturating_add(len).min(end), depth.saturating_add(1), parts);
        } else if size > 0 {
            let said = number(bytes, value, 4).map(|value| meaning(&name, value)).unwrap_or_default();
            parts.push(part(bytes, value, size, depth.saturating_add(1), "value", said));
        }
        at = next;
    }
}

fn name(ty: u32, depth: u32) -> String {
    match (ty, depth) {
        (IFLA_XDP, 0) => "IFLA_XDP".to_string(),
        (XDP_FD, 1) => "IFLA_XDP_FD".to_string(),
        (XDP_FLAGS, 1) => "IFLA_XDP_FLAGS".to_string(),
        (XDP_EXPECTED_FD, 1) => "IFLA_XDP_EXPECTED_FD".to_string(),
        (other, _) => format!("attribute {other}"),
    }
}

fn meaning(name: &str, value: u32) -> String {
    match (name, value) {
        ("nlmsg_len", bytes) => format!("the whole message has {bytes} bytes"),
        ("nlmsg_type", RTM_SETLINK) => "19, RTM_SETLINK: changes an interface".to_string(),
        ("nlmsg_type", NLMSG_ERROR) => "2, NLMSG_ERROR: how a request ended".to_string(),
        ("nlmsg_flags", NLM_F_CAPPED) => {
            format!("{NLM_F_CAPPED}, NLM_F_CAPPED: only the header of the request comes back")
        }
        ("nlmsg_flags", 0) => "0".to_string(),
        ("error", 0) => "0: it was done".to_string(),
        ("error", errno) => format!("{}: it was refused", i32::from_ne_bytes(errno.to_ne_bytes())),
        ("nlmsg_flags", flags) => format!("{}: an answer is wanted in any case", request_flags(flags)),
        ("nlmsg_seq", number) => format!("{number}: the answer carries the same number"),
        ("nlmsg_pid", 0) => "0: the kernel".to_string(),
        ("nlmsg_pid", socket) => format!("{socket}: the socket that asked"),
        ("ifi_family", _) => "0, AF_UNSPEC".to_string(),
        ("padding", _) => "not used".to_string(),
        ("ifi_index", index) => format!("interface number {index}"),
        ("ifi_type" | "ifi_flags" | "ifi_change", 0) => "0: not to be changed".to_string(),
        ("IFLA_XDP_FD", fd) => format!("{fd}: a descriptor of the program, held until the answer is there"),
        ("IFLA_XDP_FLAGS", flags) => xdp_flags(flags),
        ("IFLA_XDP_EXPECTED_FD", fd) => format!("{fd}: only if this program is there"),
        (_, other) => other.to_string(),
    }
}

fn request_flags(flags: u32) -> String {
    named(flags, &[(1, "NLM_F_REQUEST"), (4, "NLM_F_ACK")])
}

fn xdp_flags(flags: u32) -> String {
    let known = [
        (1, "XDP_FLAGS_UPDATE_IF_NOEXIST"),
        (2, "XDP_FLAGS_SKB_MODE"),
        (4, "XDP_FLAGS_DRV_MODE"),
        (8, "XDP_FLAGS_HW_MODE"),
        (16, "XDP_FLAGS_REPLACE"),
    ];
    let only = if flags & 1 == 1 { ": only where no program is" } else { "" };
    format!("{}{only}", named(flags, &known))
}

fn named(flags: u32, known: &[(u32, &str)]) -> String {
    let names: Vec<&str> = known.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { flags.to_string() } else { format!("{flags}, {}", names.join(" | ")) }
}

fn number(bytes: &[u8], offset: u32, size: u32) -> Option<u32> {
    let mut field = Reader::new(bytes, Endian::NATIVE).range(offset, size, "netlink message").ok()?;
    match size {
        1 => field.u8("netlink message").ok().map(u32::from),
        2 => field.u16("netlink message").ok().map(u32::from),
        _ => field.u32("netlink message").ok(),
    }
}

fn part(bytes: &[u8], offset: u32, size: u32, depth: u32, name: &str, meaning: String) -> MessagePart {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
    let bytes = hex(bytes.get(start..end).unwrap_or_default());
    MessagePart { offset, bytes, depth, name: name.to_string(), meaning }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_program_stands_in_a_nested_attribute() {
        let mut bytes = vec![52, 0, 0, 0, 19, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([20, 0, 43, 128, 8, 0, 1, 0, 8, 0, 0, 0, 8, 0, 3, 0, 1, 0, 0, 0]);
        let parts = parts(&bytes);
        let covered: usize = parts.iter().map(|part| part.bytes.split(' ').count()).sum();
        assert_eq!(covered, bytes.len(), "every byte belongs to one part");
        let said = |name: &str| {
            let at = parts.iter().position(|part| part.name == name).unwrap();
            (parts[at].meaning.as_str(), parts.get(at + 1).map_or("", |part| part.meaning.as_str()))
        };
        assert_eq!(said("nlmsg_type").0, "19, RTM_SETLINK: changes an interface");
        assert_eq!(said("IFLA_XDP").0, "an attribute of 20 bytes, type 43; attributes follow in it");
        assert_eq!(said("IFLA_XDP_FD").1, "8: a descriptor of the program, held until the answer is there");
        assert_eq!(said("IFLA_XDP_FLAGS").1, "1, XDP_FLAGS_UPDATE_IF_NOEXIST: only where no program is");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_answer_carries_the_header_of_the_request() {
        let mut bytes = vec![36, 0, 0, 0, 2, 0, 0, 1, 7, 0, 0, 0, 9, 0, 0, 0, 240, 255, 255, 255];
        bytes.extend([52, 0, 0, 0, 19, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        let parts = answer(&bytes);
        let covered: usize = parts.iter().map(|part| part.bytes.split(' ').count()).sum();
        assert_eq!(covered, bytes.len(), "every byte belongs to one part");
        let said: Vec<_> = parts.iter().map(|part| (part.name.as_str(), part.meaning.as_str())).collect();
        assert_eq!(said[1], ("nlmsg_type", "2, NLMSG_ERROR: how a request ended"));
        assert_eq!(said[5], ("error", "-16: it was refused"));
        assert_eq!(said[7], ("nlmsg_type", "19, RTM_SETLINK: changes an interface"));
        assert_eq!(said[9], ("nlmsg_seq", "7: the answer carries the same number"));
    }
}
