//! Packets of all kinds that a program may meet, built in: each is what its name says, whole and with right checksums unless it says
//! otherwise. From far to near of the sandbox's addresses, which are those of documentation.
//!
//! Pure. Source of the forms: RFC 826, 791, 8200, 768, 9293, 792, 4443; IEEE 802.3, 802.1Q.

use std::net::Ipv6Addr;

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header,
    Ipv6FragmentHeader, Ipv6Header, PacketBuilder, PacketBuilderStep, VlanId,
};
use rxdp_sandbox::{End, packets};

use super::Packet;

/// Addresses for documentation. Source: RFC 3849.
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const NEAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

const TTL: u8 = 64;
const DNS: u16 = 53;
const HTTPS: u16 = 443;

/// Payload of those that need none in particular.
const PAYLOAD: &[u8; 22] = b"a packet of 64 bytes..";

/// **Bytes** of headers.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;

/// **Bytes** behind the IP header of a datagram that is cut in two, and of its first part: a multiple of 8.
const WHOLE: usize = 1600;
const FIRST: usize = 1400;

/// Payload of a frame that needs an MTU of 9000.
const JUMBO: usize = 9000 - IPV4 - UDP;

/// `None` would be a mistake in this file, which its test sees.
type Made = Option<Vec<u8>>;

/// A name, and how the packet is made.
type Row = (&'static str, fn() -> Made);

/// The set, in the order in which it is shown.
const SET: &[Row] = &[
    ("arp", || Some(packets::arp_request())),
    ("ipv4-tcp", || Some(packets::tcp_syn(HTTPS))),
    ("ipv4-udp", || Some(packets::udp(packets::ORIGIN, DNS, PAYLOAD))),
    ("ipv4-icmp", || Some(packets::icmp_echo(1, PAYLOAD))),
    ("ipv4-options", || {
        udp(ethernet().ip(IpHeaders::Ipv4(with_options()?, Ipv4Extensions::default())), PAYLOAD)
    }),
    ("ipv6-tcp", || {
        written(|to| ipv6().tcp(packets::ORIGIN, HTTPS, 1, 65_535).syn().write_to_vec(to, &[]).ok())
    }),
    ("ipv6-udp", || udp(ipv6(), PAYLOAD)),
    ("ipv6-icmp", || {
        written(|to| ipv6().icmpv6_echo_request(packets::ORIGIN, 1).write_to_vec(to, PAYLOAD).ok())
    }),
    ("vlan", || udp(ethernet().single_vlan(VlanId::try_new(100).ok()?).ip(ipv4_headers()?), PAYLOAD)),
    ("vlan-in-vlan", || {
        let (outer, inner) = (VlanId::try_new(100).ok()?, VlanId::try_new(200).ok()?);
        udp(ethernet().double_vlan(outer, inner).ip(ipv4_headers()?), PAYLOAD)
    }),
    ("ipv4-fragment-first", || ipv4_fragment(0, FIRST)),
    ("ipv4-fragment-last", || ipv4_fragment(FIRST, WHOLE)),
    ("ipv6-fragment-first", || ipv6_fragment(0, FIRST)),
    ("ipv6-fragment-last", || ipv6_fragment(FIRST, WHOLE)),
    // Cut off in the middle of the IP header.
    ("cut", || packets::udp(packets::ORIGIN, DNS, PAYLOAD).get(..24).map(<[u8]>::to_vec)),
    // Nothing behind the Ethernet header, which is the least that the kernel runs a program on.
    ("runt", || packets::udp(packets::ORIGIN, DNS, PAYLOAD).get(..ETHERNET).map(<[u8]>::to_vec)),
    ("jumbo", || Some(packets::udp(packets::ORIGIN, DNS, &[0x6a; JUMBO]))),
];

/// All of them.
pub(super) fn all() -> Vec<Packet> {
    let packet = |(name, make): &Row| {
        let source = format!("built-in {name}");
        Some(Packet { source, bytes: make()?, cut_from: None, is_of_a_set: true })
    };
    SET.iter().filter_map(packet).collect()
}

fn ethernet() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2(End::Far.mac(), End::Near.mac())
}

fn ipv6() -> PacketBuilderStep<IpHeaders> {
    ethernet().ipv6(FAR.octets(), NEAR.octets(), TTL)
}

fn ipv4_header() -> Option<Ipv4Header> {
    Ipv4Header::new(0, TTL, IpNumber::UDP, End::Far.ip().octets(), End::Near.ip().octets()).ok()
}

fn ipv4_headers() -> Option<IpHeaders> {
    Some(IpHeaders::Ipv4(ipv4_header()?, Ipv4Extensions::default()))
}

/// With four options that do nothing: what stands behind the header stands where few programs look.
fn with_options() -> Option<Ipv4Header> {
    const NOTHING: [u8; 4] = [1; 4];
    let mut header = ipv4_header()?;
    header.options = NOTHING.into();
    Some(header)
}

fn udp(ip: PacketBuilderStep<IpHeaders>, payload: &[u8]) -> Made {
    written(|to| ip.udp(packets::ORIGIN, DNS).write_to_vec(to, payload).ok())
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Made {
    let mut frame = Vec::new();
    write(&mut frame).map(|()| frame)
}

/// These bytes of a datagram's IP payload, behind a header that says so.
fn ipv4_fragment(from: usize, to: usize) -> Made {
    let whole = packets::udp(packets::ORIGIN, DNS, &[0x6a; WHOLE - UDP]);
    let part = whole.get(ETHERNET.saturating_add(IPV4)..)?.get(from..to)?;
    let mut header = ipv4_header()?;
    header.total_len = u16::try_from(part.len().saturating_add(IPV4)).ok()?;
    header.identification = 1;
    header.dont_fragment = false;
    header.more_fragments = to < WHOLE;
    header.fragment_offset = offset(from)?;
    header.header_checksum = header.calc_header_checksum();
    Some([frame_of(EtherType::IPV4).as_slice(), &header.to_bytes(), part].concat())
}

fn ipv6_fragment(from: usize, to: usize) -> Made {
    let whole = udp(ipv6(), &[0x6a; WHOLE - UDP])?;
    let part = whole.get(ETHERNET.saturating_add(IPV6)..)?.get(from..to)?;
    let fragment = Ipv6FragmentHeader::new(IpNumber::UDP, offset(from)?, to < WHOLE, 1).to_bytes();
    let header = Ipv6Header {
        payload_length: u16::try_from(part.len().saturating_add(fragment.len())).ok()?,
        next_header: IpNumber::IPV6_FRAGMENTATION_HEADER,
        hop_limit: TTL,
        source: FAR.octets(),
        destination: NEAR.octets(),
        ..Ipv6Header::default()
    };
    Some([frame_of(EtherType::IPV6).as_slice(), &header.to_bytes(), &fragment, part].concat())
}

fn frame_of(ether_type: EtherType) -> [u8; ETHERNET] {
    Ethernet2Header { source: End::Far.mac(), destination: End::Near.mac(), ether_type }.to_bytes()
}

/// Fragments count in units of 8 **bytes**.
fn offset(bytes: usize) -> Option<IpFragOffset> {
    IpFragOffset::try_new(u16::try_from(bytes.checked_div(8)?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use etherparse::{InternetSlice, SlicedPacket, TransportSlice};

    use super::*;

    fn made(name: &str) -> Vec<u8> {
        let wanted = format!("built-in {name}");
        all().into_iter().find(|packet| packet.source == wanted).unwrap_or_else(|| panic!("{name}")).bytes
    }

    #[test]
    fn all_are_made() {
        assert_eq!(all().len(), SET.len());
        assert!(all().iter().all(|packet| packet.bytes.len() >= ETHERNET));
    }

    #[test]
    fn each_is_what_its_name_says() {
        for (name, transport) in [
            ("ipv4-tcp", "tcp"),
            ("ipv4-udp", "udp"),
            ("ipv4-icmp", "icmp4"),
            ("ipv4-options", "udp"),
            ("ipv6-tcp", "tcp"),
            ("ipv6-udp", "udp"),
            ("ipv6-icmp", "icmp6"),
            ("vlan", "udp"),
            ("vlan-in-vlan", "udp"),
            ("jumbo", "udp"),
        ] {
            let bytes = made(name);
            let packet = SlicedPacket::from_ethernet(&bytes).unwrap();
            let found = match packet.transport {
                Some(TransportSlice::Tcp(_)) => "tcp",
                Some(TransportSlice::Udp(_)) => "udp",
                Some(TransportSlice::Icmpv4(_)) => "icmp4",
                Some(TransportSlice::Icmpv6(_)) => "icmp6",
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(found, transport, "{name}");
            let six = matches!(packet.net, Some(InternetSlice::Ipv6(_)));
            assert_eq!(six, name.starts_with("ipv6"), "{name}");
            let tags = if name.starts_with("vlan") { name.matches("vlan").count() } else { 0 };
            assert_eq!(packet.link_exts.len(), tags, "{name}");
        }
        assert_eq!(made("arp")[12..14], [8, 6]);
        assert_eq!(made("jumbo").len(), 9014);
        assert_eq!((made("runt").len(), made("cut").len()), (14, 24));
        assert_eq!(made("ipv4-options")[14], 0x46);
    }

    /// Put together again, the parts are the datagram; its checksum holds.
    #[test]
    fn fragments_are_parts_of_one_datagram() {
        let part = |name: &str| {
            let bytes = made(name);
            let packet = SlicedPacket::from_ethernet(&bytes).unwrap();
            let payload = packet.ip_payload().unwrap();
            assert!(payload.fragmented, "{name}");
            payload.payload.to_vec()
        };
        let four = [part("ipv4-fragment-first"), part("ipv4-fragment-last")].concat();
        let whole = packets::udp(packets::ORIGIN, DNS, &[0x6a; WHOLE - UDP]);
        assert_eq!(four, whole[ETHERNET + IPV4..]);
        let six = [part("ipv6-fragment-first"), part("ipv6-fragment-last")].concat();
        assert_eq!(six, udp(ipv6(), &[0x6a; WHOLE - UDP]).unwrap()[ETHERNET + IPV6..]);
        let first = made("ipv4-fragment-first");
        let header = SlicedPacket::from_ethernet(&first).unwrap();
        let Some(InternetSlice::Ipv4(ip)) = header.net else { panic!("IPv4") };
        let header = ip.header().to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
        assert!(header.more_fragments && header.fragment_offset.value() == 0);
    }
}
