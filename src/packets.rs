//! Packets to run a program on: hex digits of the command line, capture files, or a built-in one.
//!
//! Only reads. What a program makes of them is not known here.

mod builtin;

use std::fs;
use std::path::Path;

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use rxdp_loader::load::ETHERNET_HEADER;
use rxdp_loader::sys::Errno;
use rxdp_loader::trace::unhex;
use rxdp_sandbox::packets;

use crate::error::Failure;

/// A packet from its Ethernet header on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Packet {
    /// Where it comes from: `built-in`, `hex`, or a file's name.
    pub(crate) source: String,
    pub(crate) bytes: Vec<u8>,
    /// Its length on the wire in **bytes**, if the capture holds only its beginning.
    pub(crate) cut_from: Option<u32>,
    /// Whether it is one of a set that is not made for this program: that the kernel does not run it is no failure.
    pub(crate) is_of_a_set: bool,
}

/// What stands for the built-in set.
const BUILT_IN: &str = "builtin";

/// What stands between hex digits that people copy from somewhere.
const SEPARATORS: &[char] = &[' ', ':', '-', '\n', '\t'];

/// Payload that makes the built-in packet 64 bytes long.
const PAYLOAD: &[u8; 22] = b"a packet of 64 bytes..";

/// A datagram to the echo service.
pub(crate) fn built_in() -> Packet {
    Packet {
        source: "built-in".to_string(),
        bytes: packets::udp(packets::ORIGIN, 7, PAYLOAD),
        cut_from: None,
        is_of_a_set: false,
    }
}

/// The packets that one `--packet` means: `builtin` the built-in set, hex digits one packet, anything else a file's name.
pub(crate) fn read(given: &str) -> Result<Vec<Packet>, Failure> {
    if given == BUILT_IN {
        return Ok(builtin::all());
    }
    let wrong = |why: String| Failure::Option { option: "--packet", given: given.to_string(), why };
    let packets = match only_digits(given) {
        Ok(digits) => vec![from_hex(&digits).map_err(wrong)?],
        Err(stranger) => from_file(given, stranger).map_err(wrong)?,
    };
    for (packet, number) in packets.iter().zip(1..) {
        let len = packet.bytes.len();
        if len < ETHERNET_HEADER {
            let of =
                if packets.len() > 1 { format!("packet {number} of it") } else { "the packet".to_string() };
            return Err(wrong(format!(
                "{of} has {len} bytes; an Ethernet header alone has {ETHERNET_HEADER}"
            )));
        }
    }
    Ok(packets)
}

/// The digits, or the first character that is none.
fn only_digits(given: &str) -> Result<String, char> {
    let given = given.strip_prefix("0x").unwrap_or(given);
    let digits: String = given.chars().filter(|c| !SEPARATORS.contains(c)).collect();
    digits.chars().find(|c| !c.is_ascii_hexdigit()).map_or(Ok(digits), Err)
}

fn from_hex(digits: &str) -> Result<Packet, String> {
    if digits.is_empty() {
        return Err("it is empty".to_string());
    }
    let bytes =
        unhex(digits).ok_or_else(|| format!("{} hex digits are no whole number of bytes", digits.len()))?;
    Ok(Packet { source: "hex".to_string(), bytes, cut_from: None, is_of_a_set: false })
}

fn from_file(name: &str, stranger: char) -> Result<Vec<Packet>, String> {
    let bytes = fs::read(Path::new(name)).map_err(|error| match Errno::from_io(&error) {
        Errno::ENOENT => format!("there is no such file, and {stranger:?} is no hex digit"),
        errno => format!("the file cannot be read: {errno}"),
    })?;
    let packets = from_capture(name, &bytes)?;
    if packets.is_empty() { Err("the file holds no packets".to_string()) } else { Ok(packets) }
}

/// Packets of a capture file, of either format (pcap, pcapng) and byte order.
fn from_capture(name: &str, bytes: &[u8]) -> Result<Vec<Packet>, String> {
    let no_capture = |_error: PcapError<&[u8]>| "the file is no packet capture (pcap or pcapng)".to_string();
    let mut reader = create_reader(bytes.len().max(SMALLEST_BUFFER), bytes).map_err(no_capture)?;
    let mut packets = Vec::new();
    let mut links = Vec::new();
    loop {
        let (len, found) = match reader.next() {
            Ok((len, block)) => (len, packet(&block, &mut links)?),
            Err(PcapError::Eof) => return Ok(packets),
            // It sees the end of the file only when it asks for more.
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(no_capture)?;
                continue;
            }
            Err(_) => return Err(format!("the capture is damaged behind packet {}", packets.len())),
        };
        let new = found.map(|(bytes, cut_from)| Packet {
            source: name.to_string(),
            bytes,
            cut_from,
            is_of_a_set: false,
        });
        packets.extend(new);
        reader.consume(len);
    }
}

/// What a capture's reader wants to have at least, in **bytes**.
const SMALLEST_BUFFER: usize = 1 << 10;

/// A packet's bytes, and its length on the wire if that was more.
type Captured = (Vec<u8>, Option<u32>);

/// The packet of a block; `None` for a block of another kind. `links` holds what the capture's interfaces are.
fn packet(block: &PcapBlockOwned<'_>, links: &mut Vec<Linktype>) -> Result<Option<Captured>, String> {
    let (link, data, captured, on_wire) = match block {
        PcapBlockOwned::LegacyHeader(header) => {
            links.push(header.network);
            return Ok(None);
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            // Each section counts its interfaces anew.
            links.clear();
            return Ok(None);
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            links.push(interface.linktype);
            return Ok(None);
        }
        PcapBlockOwned::Legacy(packet) => (0, packet.data, packet.caplen, packet.origlen),
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            (packet.if_id, packet.data, packet.caplen, packet.origlen)
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => (0, packet.data, packet.origlen, packet.origlen),
        PcapBlockOwned::NG(_) => return Ok(None),
    };
    match usize::try_from(link).ok().and_then(|link| links.get(link)) {
        Some(&Linktype::ETHERNET) => {}
        Some(Linktype(other)) => {
            return Err(format!("its packets are of link type {other}, not Ethernet (1)"));
        }
        None => return Err(format!("a packet is of interface {link}, which the capture does not describe")),
    }
    // Blocks of pcapng are filled up to whole words.
    let captured = usize::try_from(captured).unwrap_or(usize::MAX);
    let bytes = data.get(..captured).unwrap_or(data).to_vec();
    let is_cut = usize::try_from(on_wire).is_ok_and(|on_wire| on_wire > bytes.len());
    Ok(Some((bytes, is_cut.then_some(on_wire))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(given: &str) -> String {
        read(given).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_packet_is_as_long_as_it_says() {
        assert_eq!(built_in().bytes.len(), 64);
    }

    #[test]
    fn hex_comes_in_many_dresses() {
        let packet = |given| read(given).unwrap().remove(0).bytes;
        let plain = packet("000102030405060708090a0b0c0d");
        assert_eq!(plain, (0..14).collect::<Vec<u8>>());
        assert_eq!(packet("0x00:01:02:03-04 05\n060708090A0B0C0D"), plain);
    }

    #[test]
    fn what_is_no_packet_is_said() {
        assert_eq!(why("abc"), "--packet \"abc\": 3 hex digits are no whole number of bytes");
        assert_eq!(why(""), "--packet \"\": it is empty");
        assert_eq!(
            why("00 01"),
            "--packet \"00 01\": the packet has 2 bytes; an Ethernet header alone has 14"
        );
        assert_eq!(why("00xy"), "--packet \"00xy\": there is no such file, and 'x' is no hex digit");
        assert!(why("src").ends_with("the file cannot be read: EISDIR"));
        assert!(why("Cargo.toml").ends_with("the file is no packet capture (pcap or pcapng)"));
    }

    #[test]
    fn a_capture_may_end_anywhere() {
        let number = |n: u32| n.to_le_bytes();
        let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
        let mut file: Vec<u8> = header.into_iter().flat_map(number).collect();
        for _ in 0..3 {
            file.extend([0, 0, 20, 99].into_iter().flat_map(number));
            file.extend([7; 20]);
        }
        for end in 0..file.len() {
            let read = from_capture("x.pcap", &file[..end]);
            // Behind a header of 24 bytes and behind each packet of 16 + 20 it is whole.
            let whole = (24..).step_by(36).take_while(|at| *at <= end).any(|at| at == end);
            assert_eq!(read.is_ok(), whole, "{end} bytes: {read:?}");
        }
        let whole = from_capture("x.pcap", &file).unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!((whole[2].bytes.as_slice(), whole[2].cut_from), ([7; 20].as_slice(), Some(99)));
    }
}
