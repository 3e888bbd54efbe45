//! Ready-made frames from far to near, with valid checksums.
//!
//! Bytes only: sending them is [`crate::PacketSocket`]'s part.

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Ethernet2Header, IpHeaders, PacketBuilder, PacketBuilderStep,
};

use crate::end::End;

/// Source port of [`tcp_syn`], and identifier of [`icmp_echo`].
pub const ORIGIN: u16 = 40_000;

const TTL: u8 = 64;
const BROADCAST: [u8; 6] = [0xff; 6];

/// An IPv4 UDP datagram from far to near.
///
/// # Panics
/// If `payload` is longer than the 65,507 bytes that fit into IPv4.
pub fn udp(source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let packet = ipv4().udp(source_port, destination_port);
    written(|frame| packet.write_to_vec(frame, payload).is_ok())
}

/// The first segment of a TCP connection from far to `destination_port` of near.
pub fn tcp_syn(destination_port: u16) -> Vec<u8> {
    const SEQUENCE: u32 = 1;
    const WINDOW: u16 = 65_535;
    let packet = ipv4().tcp(ORIGIN, destination_port, SEQUENCE, WINDOW).syn();
    written(|frame| packet.write_to_vec(frame, &[]).is_ok())
}

/// An ICMP echo request ("ping") from far to near.
///
/// # Panics
/// If `payload` is longer than the 65,507 bytes that fit into IPv4.
pub fn icmp_echo(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let packet = ipv4().icmpv4_echo_request(ORIGIN, sequence);
    written(|frame| packet.write_to_vec(frame, payload).is_ok())
}

/// An ARP request, by broadcast: far asks who has near's address.
pub fn arp_request() -> Vec<u8> {
    let question = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: End::Far.mac(),
        sender_ipv4: End::Far.ip().octets(),
        target_mac: [0; 6],
        target_ipv4: End::Near.ip().octets(),
    };
    let packet = PacketBuilder::ethernet2(End::Far.mac(), BROADCAST).arp(question.into());
    written(|frame| packet.write_to_vec(frame).is_ok())
}

fn ethernet() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2(End::Far.mac(), End::Near.mac())
}

fn ipv4() -> PacketBuilderStep<IpHeaders> {
    ethernet().ipv4(End::Far.ip().octets(), End::Near.ip().octets(), TTL)
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> bool) -> Vec<u8> {
    let mut frame = Vec::new();
    assert!(write(&mut frame), "the payload does not fit into one IPv4 packet");
    frame
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    #[test]
    fn addresses_are_those_of_the_two_ends() {
        let frame = udp(1, 2, b"x");
        assert_eq!(&frame[..6], End::Near.mac());
        assert_eq!(&frame[6..12], End::Far.mac());
        assert_eq!(&frame[26..30], End::Far.ip().octets());
        assert_eq!(&frame[30..34], End::Near.ip().octets());
    }

    #[test]
    fn checksums_are_valid() {
        for frame in [udp(4000, 53, b"hello"), tcp_syn(80), icmp_echo(7, b"ping")] {
            assert!(checksums_hold(&frame), "{frame:02x?}");
            // Without this the check itself could be blind.
            let mut broken = frame.clone();
            *broken.last_mut().unwrap() ^= 1;
            assert!(!checksums_hold(&broken), "{broken:02x?}");
        }
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn an_overlong_payload_is_refused() {
        udp(1, 2, &vec![0; 65_508]);
    }

    fn checksums_hold(frame: &[u8]) -> bool {
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("no IPv4: {frame:02x?}") };
        let ip = ip.header();
        let header = ip.to_header();
        let transport = match packet.transport {
            Some(TransportSlice::Udp(udp)) => {
                udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap() == udp.checksum()
            }
            Some(TransportSlice::Tcp(tcp)) => {
                tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap() == tcp.checksum()
            }
            Some(TransportSlice::Icmpv4(icmp)) => {
                icmp.icmp_type().calc_checksum(icmp.payload()) == icmp.checksum()
            }
            other => panic!("no transport: {other:?}"),
        };
        transport && header.calc_header_checksum() == ip.header_checksum()
    }
}
