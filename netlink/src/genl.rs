//! Generic netlink, as far as asking the kernel one thing at a time goes: a family by its name, one request, its answers.
//!
//! A blocking socket of its own a question, in the calling thread's network namespace. Knows no family.

use netlink_packet_core::{
    NLA_F_NESTED, NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use nix::errno::Errno as E;
use rtnetlink::sys::Socket;
use rtnetlink::sys::protocols::NETLINK_GENERIC;

use crate::error::Errno;

/// The family that knows all others. Source: `GENL_ID_CTRL`, `include/uapi/linux/genetlink.h`.
const CONTROLLER: u16 = 16;
/// Source: `CTRL_CMD_GETFAMILY`.
const GET_FAMILY: u8 = 3;
/// Source: `CTRL_ATTR_FAMILY_ID`.
const FAMILY_ID: u16 = 1;
/// Source: `CTRL_ATTR_FAMILY_NAME`.
const FAMILY_NAME: u16 = 2;
/// Size of `struct genlmsghdr`, in bytes.
const HEADER_LEN: usize = 4;

/// An attribute: its number and its bytes. Nested ones stand in its bytes.
pub(crate) type Attribute = (u16, Vec<u8>);

/// One message of a family.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Message {
    family: u16,
    command: u8,
    attributes: Vec<u8>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        self.attributes.len().saturating_add(HEADER_LEN)
    }

    fn serialize(&self, buffer: &mut [u8]) {
        // Command, version, and two bytes that are reserved.
        let header = [self.command, 1, 0, 0];
        let bytes = header.iter().chain(&self.attributes);
        buffer.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }
}

impl NetlinkDeserializable for Message {
    type Error = std::io::Error;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        let attributes = payload.get(HEADER_LEN..).unwrap_or_default().to_vec();
        let command = payload.first().copied().unwrap_or_default();
        Ok(Self { family: header.message_type, command, attributes })
    }
}

/// Asks one family one thing: the attributes of its answer. `None` where this kernel has no such family.
///
/// # Errors
/// The errno of the socket, or the kernel's answer.
pub(crate) fn ask(
    family: &str,
    command: u8,
    attributes: &[Attribute],
) -> Result<Option<Vec<Attribute>>, Errno> {
    let socket = open().map_err(|error| Errno::of(&error))?;
    let name = (FAMILY_NAME, [family.as_bytes(), &[0]].concat());
    let found = match exchange(&socket, CONTROLLER, GET_FAMILY, &[name]) {
        Err(errno) if errno.known() == E::ENOENT => return Ok(None),
        found => found?,
    };
    let Some(id) = value(&found, FAMILY_ID).and_then(|bytes| bytes.first_chunk()) else {
        return Ok(None);
    };
    exchange(&socket, u16::from_ne_bytes(*id), command, attributes).map(Some)
}

/// The bytes of one attribute.
pub(crate) fn value(attributes: &[Attribute], kind: u16) -> Option<&[u8]> {
    attributes.iter().find(|(number, _)| *number == kind).map(|(_, bytes)| bytes.as_slice())
}

/// A number of 4 bytes.
pub(crate) fn word(attributes: &[Attribute], kind: u16) -> Option<u32> {
    value(attributes, kind)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// A number of 8 bytes.
pub(crate) fn long(attributes: &[Attribute], kind: u16) -> Option<u64> {
    value(attributes, kind)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
}

/// The attributes in a run of bytes, as far as they can be read.
pub(crate) fn attributes(bytes: &[u8]) -> Vec<Attribute> {
    let readable = NlasIterator::new(bytes).map_while(Result::ok);
    readable.map(|attribute| (attribute.kind(), attribute.value().to_vec())).collect()
}

/// An attribute that holds others.
pub(crate) fn nest(kind: u16, inside: &[Attribute]) -> Attribute {
    (kind | NLA_F_NESTED, to_bytes(inside))
}

fn to_bytes(attributes: &[Attribute]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, value) in attributes {
        // Names and numbers: far from the 65535 bytes that an attribute holds.
        let len = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
        bytes.extend(len.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn open() -> std::io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    Ok(socket)
}

fn exchange(
    socket: &Socket,
    family: u16,
    command: u8,
    attributes: &[Attribute],
) -> Result<Vec<Attribute>, Errno> {
    let failed = |error: std::io::Error| Errno::of(&error);
    let message = Message { family, command, attributes: to_bytes(attributes) };
    let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0).map_err(failed)?;
    let mut answer = Vec::new();
    loop {
        let (datagram, _from) = socket.recv_from_full().map_err(failed)?;
        if let Some(end) = read(&datagram, &mut answer) {
            return end.map(|()| answer);
        }
    }
}

/// Adds the attributes of a datagram's messages; `Some` where one was the last.
fn read(datagram: &[u8], answer: &mut Vec<Attribute>) -> Option<Result<(), Errno>> {
    let mut rest = datagram;
    while let Ok(message) = NetlinkMessage::<Message>::deserialize(rest) {
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => answer.extend(attributes(&inner.attributes)),
            NetlinkPayload::Error(error) => {
                return Some(error.code.map_or(Ok(()), |code| Err(Errno(code.get().saturating_abs()))));
            }
            NetlinkPayload::Done(_) => return Some(Ok(())),
            NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | _ => {}
        }
        let len = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
        rest = rest.get(len.max(16)..).unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_went() {
        let nested = nest(1, &[(1, 7u32.to_ne_bytes().to_vec()), (2, b"v0\0".to_vec())]);
        let read = attributes(&to_bytes(&[nested, (9, vec![1])]));
        let inner = attributes(value(&read, 1).unwrap());
        assert_eq!((word(&inner, 1), value(&inner, 2)), (Some(7), Some(&b"v0\0"[..])));
        assert_eq!(value(&read, 9), Some(&[1][..]));
        assert_eq!((word(&read, 9), long(&read, 9)), (None, None));
    }

    #[test]
    fn the_controller_knows_itself_and_no_family_that_is_none() {
        assert!(
            ask("nlctrl", GET_FAMILY, &[(FAMILY_ID, CONTROLLER.to_ne_bytes().to_vec())]).unwrap().is_some()
        );
        assert_eq!(ask("no such family", 1, &[]), Ok(None));
    }
}
