//! Extended acknowledgements: the sentence that the kernel adds to an errno.
//!
//! `rtnetlink` carries these bytes but does not read them. Here they are switched on and read; nothing else.

use std::io;

use netlink_packet_core::{ErrorMessage, NLM_F_ACK_TLVS, NLM_F_CAPPED, NlasIterator};
use rtnetlink::sys::Socket;

/// Source: `NLMSGERR_ATTR_MSG`, `include/uapi/linux/netlink.h`.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Source: `NLMSGERR_ATTR_OFFS`, `include/uapi/linux/netlink.h`.
const NLMSGERR_ATTR_OFFS: u16 = 2;
/// Size of `struct nlmsghdr`, in bytes.
const HEADER_LEN: usize = 16;
/// Netlink pads messages to this many bytes. Source: `NLMSG_ALIGNTO`.
const ALIGN: usize = 4;

/// What the kernel said beside the errno.
///
/// Source: `enum nlmsgerr_attrs`, `include/uapi/linux/netlink.h`. Since: Linux 4.12.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtAck {
    /// `NLMSGERR_ATTR_MSG`: one sentence for a person.
    pub message: Option<String>,
    /// `NLMSGERR_ATTR_OFFS`: where in the request the offending attribute starts, in bytes.
    pub offset: Option<u32>,
}

/// Asks the kernel to add its sentence to refusals, and not to send the whole request back with them.
///
/// Source: `NETLINK_EXT_ACK` (Linux 4.12), `NETLINK_CAP_ACK` (Linux 4.3).
///
/// # Errors
/// The errno of `setsockopt(2)`: `ENOPROTOOPT` on a kernel that is older than these options.
pub fn switch_on(socket: &Socket) -> io::Result<()> {
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)
}

/// Reads what stands behind the errno of an `NLMSG_ERROR`. `flags` are those of the netlink header that came with it.
///
/// Never fails: a malformed tail gives what was readable before it.
#[must_use]
pub fn of_error(flags: u16, error: &ErrorMessage) -> ExtAck {
    if flags & NLM_F_ACK_TLVS == 0 {
        return ExtAck::default();
    }
    let echoed = &error.header;
    let request_len = if flags & NLM_F_CAPPED != 0 { HEADER_LEN } else { echoed_len(echoed) };
    of_attributes(echoed.get(request_len..).unwrap_or_default())
}

/// Reads the attributes alone, as they also stand behind the errno of an `NLMSG_DONE`.
#[must_use]
pub fn of_attributes(bytes: &[u8]) -> ExtAck {
    let mut found = ExtAck::default();
    for attribute in NlasIterator::new(bytes).map_while(Result::ok) {
        match attribute.kind() {
            NLMSGERR_ATTR_MSG => found.message = text(attribute.value()),
            NLMSGERR_ATTR_OFFS => found.offset = number(attribute.value()),
            _ => {}
        }
    }
    found
}

/// How many bytes of the refused request came back, padding included: its header's first field.
fn echoed_len(echoed: &[u8]) -> usize {
    let claimed = number(echoed).and_then(|len| usize::try_from(len).ok()).unwrap_or(HEADER_LEN);
    claimed.max(HEADER_LEN).checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX)
}

fn text(value: &[u8]) -> Option<String> {
    let sentence = value.split(|byte| *byte == 0).next()?;
    if sentence.is_empty() {
        return None;
    }
    Some(String::from_utf8_lossy(sentence).into_owned())
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "lengths of a few bytes")]

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn error(echoed: Vec<u8>) -> ErrorMessage {
        let mut error = ErrorMessage::default();
        error.header = echoed;
        error
    }

    fn echo(len: u32) -> Vec<u8> {
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.resize(usize::try_from(len).unwrap().next_multiple_of(4), 0xee);
        bytes
    }

    const TEXT: &[u8] = b"XDP program already attached\0";

    #[test]
    fn reads_text_and_offset_behind_a_capped_header() {
        // The length field of a capped echo still tells the length of the whole request.
        let mut bytes = 64u32.to_ne_bytes().to_vec();
        bytes.resize(16, 0);
        bytes.extend(attribute(NLMSGERR_ATTR_OFFS, &52u32.to_ne_bytes()));
        bytes.extend(attribute(NLMSGERR_ATTR_MSG, TEXT));
        let found = of_error(NLM_F_ACK_TLVS | NLM_F_CAPPED, &error(bytes));
        assert_eq!(found.message.as_deref(), Some("XDP program already attached"));
        assert_eq!(found.offset, Some(52));
    }

    #[test]
    fn skips_the_whole_request_when_it_came_back_uncapped() {
        let mut bytes = echo(50);
        bytes.extend(attribute(NLMSGERR_ATTR_MSG, TEXT));
        let found = of_error(NLM_F_ACK_TLVS, &error(bytes));
        assert_eq!(found.message.as_deref(), Some("XDP program already attached"));
    }

    #[test]
    fn without_the_flag_there_is_nothing_to_read() {
        let mut bytes = echo(16);
        bytes.extend(attribute(NLMSGERR_ATTR_MSG, TEXT));
        assert_eq!(of_error(NLM_F_CAPPED, &error(bytes)), ExtAck::default());
    }

    #[test]
    fn every_truncation_gives_nothing_or_the_whole_text_and_never_panics() {
        let mut bytes = echo(16);
        bytes.extend(attribute(NLMSGERR_ATTR_MSG, TEXT));
        let whole = of_error(NLM_F_ACK_TLVS | NLM_F_CAPPED, &error(bytes.clone()));
        for len in 0..bytes.len() {
            let found = of_error(NLM_F_ACK_TLVS | NLM_F_CAPPED, &error(bytes[..len].to_vec()));
            assert!(found == ExtAck::default() || found == whole, "cut to {len} bytes: {found:?}");
        }
        assert_eq!(of_error(NLM_F_ACK_TLVS, &error(vec![0xff; 16])), ExtAck::default());
    }

    #[test]
    fn text_that_is_not_utf8_is_shown_as_far_as_it_goes() {
        let found = of_attributes(&attribute(NLMSGERR_ATTR_MSG, b"bad \xff name\0"));
        assert_eq!(found.message.as_deref(), Some("bad \u{fffd} name"));
    }
}
