//! The wire: what is sent at one end arrives at the other, and nothing else does.

#![cfg(test)]

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use nix::net::if_::if_nametoindex;
use rxdp_sandbox::{End, Errno, PacketSocket, Sandbox, SandboxError, Step, packets, testing::kernel_or_skip};

const SOON: Duration = Duration::from_secs(5);

/// Long enough for what IPv6 sends by itself when an interface comes up: its last delay is one second.
const NOISE: Duration = Duration::from_millis(1500);

#[test]
fn a_datagram_from_far_arrives_in_near() {
    let Some(sandbox) = kernel_or_skip("a_datagram_from_far_arrives_in_near") else { return };
    let server = sandbox.near(|| UdpSocket::bind((End::Near.ip(), 53)).unwrap());
    let client = sandbox.far(|| UdpSocket::bind((End::Far.ip(), 4000)).unwrap());
    server.set_read_timeout(Some(SOON)).unwrap();

    client.send_to(b"question", (End::Near.ip(), 53)).unwrap();

    let mut payload = [0; 64];
    let (length, from) = server.recv_from(&mut payload).unwrap();
    assert_eq!(&payload[..length], b"question");
    assert_eq!(from, SocketAddr::from((End::Far.ip(), 4000)));
}

#[test]
fn a_ready_made_udp_frame_reaches_a_socket() {
    let Some(sandbox) = kernel_or_skip("a_ready_made_udp_frame_reaches_a_socket") else { return };
    let server = sandbox.near(|| UdpSocket::bind((End::Near.ip(), 53)).unwrap());
    server.set_read_timeout(Some(SOON)).unwrap();

    sandbox.packet_socket(End::Far).unwrap().send(&packets::udp(4000, 53, b"question")).unwrap();

    let mut payload = [0; 64];
    let (length, from) = server.recv_from(&mut payload).unwrap();
    assert_eq!(&payload[..length], b"question");
    assert_eq!(from, SocketAddr::from((End::Far.ip(), 4000)));
}

#[test]
fn near_answers_ping_syn_and_arp() {
    let Some(sandbox) = kernel_or_skip("near_answers_ping_syn_and_arp") else { return };
    let far = sandbox.packet_socket(End::Far).unwrap();
    // Where a byte of the answer stands, and what it must be.
    let cases: [(&str, Vec<u8>, usize, u8); 3] = [
        ("echo reply", packets::icmp_echo(1, b"ping"), 34, 0),
        ("tcp reset and ack", packets::tcp_syn(80), 47, 0x14),
        ("arp reply", packets::arp_request(), 21, 2),
    ];
    for (what, question, at, expected) in cases {
        far.send(&question).unwrap();
        let answer = far.receive(SOON).unwrap().unwrap_or_else(|| panic!("no {what}"));
        assert_eq!(answer[..6], End::Far.mac(), "{what}");
        assert_eq!(answer[at], expected, "{what}: {answer:02x?}");
    }
}

#[test]
fn a_raw_frame_arrives_unchanged_and_alone() {
    let Some(sandbox) = kernel_or_skip("a_raw_frame_arrives_unchanged_and_alone") else { return };
    let near = sandbox.packet_socket(End::Near).unwrap();
    let far = sandbox.packet_socket(End::Far).unwrap();
    // An Ethernet type that no protocol of the kernel answers.
    let frame = [&End::Near.mac()[..], &End::Far.mac(), &[0x88, 0xb5], b"anything"].concat();

    far.send(&frame).unwrap();

    assert_eq!(near.receive(SOON).unwrap(), Some(frame));
    assert_eq!(near.receive(NOISE).unwrap(), None);
    assert_eq!(far.receive(Duration::ZERO).unwrap(), None, "a socket does not see what it sent");
    // The interfaces counted from their first moment on, before any socket could listen.
    assert_eq!(sandbox.near(|| traffic("v0")), Traffic { received: 1, sent: 0 });
    assert_eq!(sandbox.far(|| traffic("v1")), Traffic { received: 0, sent: 1 });
}

#[test]
fn the_first_packet_is_not_lost() {
    for round in 0..20 {
        let Some(sandbox) = kernel_or_skip("the_first_packet_is_not_lost") else { return };
        // Not packet sockets: opening one makes the kernel finish what the sandbox has to wait for.
        let open = |end: End| {
            let socket = sandbox.inside(end, || UdpSocket::bind((end.ip(), 4000)).unwrap()).unwrap();
            socket.set_read_timeout(Some(SOON)).unwrap();
            socket
        };
        let (near, far) = (open(End::Near), open(End::Far));
        far.send_to(b"ping", (End::Near.ip(), 4000)).unwrap();
        near.send_to(b"pong", (End::Far.ip(), 4000)).unwrap();
        assert_eq!(near.recv(&mut [0; 8]).expect("far to near"), 4, "round {round}");
        assert_eq!(far.recv(&mut [0; 8]).expect("near to far"), 4, "round {round}");
    }
}

#[test]
fn receive_until_passes_over_other_frames() {
    let Some(sandbox) = kernel_or_skip("receive_until_passes_over_other_frames") else { return };
    let near = sandbox.packet_socket(End::Near).unwrap();
    let far = sandbox.packet_socket(End::Far).unwrap();
    for payload in [b"one", b"two", b"six"] {
        far.send(&packets::udp(1, 2, payload)).unwrap();
    }
    let found = near.receive_until(SOON, |frame| frame.ends_with(b"two")).unwrap();
    assert_eq!(found, Some(packets::udp(1, 2, b"two")));
    let found = near.receive_until(SOON, |frame| frame.ends_with(b"six")).unwrap();
    assert_eq!(found, Some(packets::udp(1, 2, b"six")));

    let wait = Duration::from_millis(50);
    let start = Instant::now();
    assert_eq!(near.receive(wait).unwrap(), None);
    assert!(start.elapsed() >= wait);
}

#[test]
fn without_waiting_all_that_is_queued_is_looked_at() {
    let Some(sandbox) = kernel_or_skip("without_waiting_all_that_is_queued_is_looked_at") else { return };
    let server = sandbox.near(|| UdpSocket::bind((End::Near.ip(), 53)).unwrap());
    server.set_read_timeout(Some(SOON)).unwrap();
    let near = sandbox.packet_socket(End::Near).unwrap();
    let far = sandbox.packet_socket(End::Far).unwrap();
    let wanted = packets::udp(1, 53, b"wanted");
    near.send(&packets::udp(1, 53, b"own")).unwrap();
    far.send(&packets::udp(1, 2, b"other")).unwrap();
    far.send(&wanted).unwrap();
    // The kernel hands a frame to packet sockets first: once it is here, it is there.
    server.recv(&mut [0; 64]).unwrap();
    assert_eq!(near.receive_until(Duration::ZERO, |frame| frame == wanted).unwrap(), Some(wanted));
}

#[test]
fn two_sandboxes_do_not_see_each_other() {
    let Some(one) = kernel_or_skip("two_sandboxes_do_not_see_each_other") else { return };
    let two = Sandbox::new().unwrap();
    let near_of_one = one.packet_socket(End::Near).unwrap();
    let near_of_two = two.packet_socket(End::Near).unwrap();
    let frame = packets::udp(1, 2, b"for one");

    one.packet_socket(End::Far).unwrap().send(&frame).unwrap();

    assert_eq!(near_of_one.receive(SOON).unwrap(), Some(frame));
    assert_eq!(near_of_two.receive(Duration::ZERO).unwrap(), None);
    assert_eq!(two.near(|| traffic("v0")), Traffic { received: 0, sent: 0 });
}

#[test]
fn an_extra_pair_carries_and_can_be_deleted() {
    let Some(sandbox) = kernel_or_skip("an_extra_pair_carries_and_can_be_deleted") else { return };
    let veth = sandbox.add_veth("extra", "other").unwrap();
    assert_eq!(sandbox.near(|| index_of("extra")), Some(veth.near));
    assert_eq!(sandbox.far(|| index_of("other")), Some(veth.far));
    let extra = sandbox.near(|| PacketSocket::open("extra")).unwrap();
    let other = sandbox.far(|| PacketSocket::open("other")).unwrap();
    let frame = packets::udp(1, 2, b"extra");
    other.send(&frame).unwrap();
    assert_eq!(extra.receive(SOON).unwrap(), Some(frame));

    // By the name that is in far: near is looked at first, and has no such interface.
    sandbox.delete_link("other").unwrap();

    assert_gone(&extra);
    assert_gone(&other);
    assert_eq!(sandbox.near(|| index_of("extra")), None);
    assert_eq!(sandbox.near(|| index_of("v0")), Some(sandbox.ifindex(End::Near)));
}

#[test]
fn deleting_the_near_end_takes_the_far_end_along() {
    let Some(sandbox) = kernel_or_skip("deleting_the_near_end_takes_the_far_end_along") else { return };
    let far = sandbox.packet_socket(End::Far).unwrap();
    sandbox.delete_link("v0").unwrap();
    assert_gone(&far);
    assert_eq!(sandbox.far(|| index_of("v1")), None);
    assert!(matches!(sandbox.delete_link("v0"), Err(SandboxError::NoInterface { .. })));
    let error = sandbox.packet_socket(End::Far).unwrap_err();
    assert!(matches!(error, SandboxError::Refused { errno: Errno::ENODEV, .. }), "{error}");
}

#[test]
fn the_mtu_of_either_end_can_be_set() {
    let Some(sandbox) = kernel_or_skip("the_mtu_of_either_end_can_be_set") else { return };
    let near = sandbox.packet_socket(End::Near).unwrap();
    let far = sandbox.packet_socket(End::Far).unwrap();
    let jumbo = packets::udp(1, 2, &[7; 8000]);
    let error = far.send(&jumbo).unwrap_err();
    assert!(matches!(error, SandboxError::Refused { errno: Errno::EMSGSIZE, .. }), "{error}");

    sandbox.set_mtu("v0", 9000).unwrap();
    sandbox.set_mtu("v1", 9000).unwrap();
    far.send(&jumbo).unwrap();
    assert_eq!(near.receive(SOON).unwrap(), Some(jumbo));

    let error = sandbox.set_mtu("v0", 1).unwrap_err();
    assert!(
        matches!(error, SandboxError::Refused { step: Step::SetMtu { .. }, errno: Errno::EINVAL }),
        "{error}"
    );
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let Some(sandbox) = kernel_or_skip("a_name_that_is_taken_is_refused") else { return };
    let error = sandbox.add_veth("v0", "other").unwrap_err();
    assert!(matches!(error, SandboxError::Refused { errno: Errno::EEXIST, .. }), "{error}");
    assert_eq!(sandbox.far(|| index_of("other")), None, "no half of a pair is left");
}

#[derive(Debug, PartialEq, Eq)]
struct Traffic {
    received: u64,
    sent: u64,
}

/// Packets that `interface` of the calling thread's namespace has seen.
fn traffic(interface: &str) -> Traffic {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table.lines().find_map(|line| line.trim().strip_prefix(&format!("{interface}:"))).unwrap();
    let counts: Vec<u64> = line.split_whitespace().map(|count| count.parse().unwrap()).collect();
    Traffic { received: counts[1], sent: counts[9] }
}

fn index_of(interface: &str) -> Option<u32> {
    if_nametoindex(interface).ok()
}

fn assert_gone(socket: &PacketSocket) {
    let error = socket.receive(SOON).unwrap_err();
    assert!(matches!(error, SandboxError::Refused { errno: Errno::ENETDOWN, .. }), "{error}");
}
