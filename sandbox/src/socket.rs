//! A socket for whole Ethernet frames on one interface.
//!
//! Waits with `poll`, never by sleeping. What may not enter: the contents of frames.

use std::{
    io::IoSliceMut,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recvmsg,
        send, socket,
    },
};

use crate::error::{SandboxError, Step};

/// Room for one frame, in bytes: the largest MTU, an Ethernet header and VLAN tags.
const FRAME_ROOM: usize = 65_535 + 32;

/// Sends and receives whole Ethernet frames on one interface (`AF_PACKET`, `SOCK_RAW`).
///
/// It belongs to the namespace it was opened in and works from any thread. It sees frames after native and
/// generic XDP: what a program drops never gets here.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    interface: String,
    index: usize,
}

impl PacketSocket {
    /// Opens a socket on `interface` of the calling thread's network namespace.
    ///
    /// Source: `packet(7)`. Since: Linux 5.2; before, frames that went out are not told apart.
    ///
    /// # Errors
    /// `ENODEV` if the namespace has no such interface; without CAP_NET_RAW [`SandboxError::NotPermitted`].
    pub fn open(interface: &str) -> Result<Self, SandboxError> {
        let refused = |e| SandboxError::at(Step::OpenSocket { interface: interface.to_owned() }, e);
        let address = link_address(interface).map_err(refused)?;
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
                .map_err(refused)?;
        bind(socket.as_raw_fd(), &address).map_err(refused)?;
        Ok(Self { socket, interface: interface.to_owned(), index: address.ifindex() })
    }

    /// Sends one frame, from its Ethernet header on.
    ///
    /// # Errors
    /// `EMSGSIZE` for a frame longer than MTU + 14 bytes, `EINVAL` for one shorter than 14, `ENETDOWN` or
    /// `ENXIO` once the interface is down or gone.
    pub fn send(&self, frame: &[u8]) -> Result<(), SandboxError> {
        let step = || Step::Send { interface: self.interface.clone(), bytes: frame.len() };
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty());
        sent.map(drop).map_err(|e| SandboxError::at(step(), e))
    }

    /// The next frame that came in, or `None` after `wait`. Frames that went out of this interface do not count.
    ///
    /// # Errors
    /// `ENETDOWN` when the interface goes down or away, also while waiting.
    pub fn receive(&self, wait: Duration) -> Result<Option<Vec<u8>>, SandboxError> {
        self.receive_until(wait, |_| true)
    }

    /// The next frame that came in and is `wanted`, or `None` after `wait`. Others before it are dropped.
    ///
    /// What is queued is looked at in any case: with a `wait` of zero this empties the queue up to that frame.
    ///
    /// # Errors
    /// As [`PacketSocket::receive`].
    pub fn receive_until(
        &self,
        wait: Duration,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>, SandboxError> {
        let refused = |e| SandboxError::at(Step::Receive { interface: self.interface.clone() }, e);
        let start = Instant::now();
        loop {
            let frame = self.queued_frame().map_err(refused)?.filter(|frame| wanted(frame));
            if frame.is_some() {
                return Ok(frame);
            }
            let left = wait.saturating_sub(start.elapsed());
            if !self.poll(left).map_err(refused)? {
                return Ok(None);
            }
        }
    }

    /// One frame out of the queue, without waiting. `None` if the queue is empty, and for a frame that went out.
    fn queued_frame(&self) -> Result<Option<Vec<u8>>, Errno> {
        let mut frame = vec![0; FRAME_ROOM];
        let mut room = [IoSliceMut::new(&mut frame)];
        let (length, from) =
            match recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut room, None, MsgFlags::MSG_DONTWAIT) {
                Ok(message) => (message.bytes, message.address),
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
                Err(e) => return Err(e),
            };
        frame.truncate(length);
        Ok(from.is_none_or(|from| self.came_in(&from)).then_some(frame))
    }

    /// Between `socket` and `bind` the socket hears all interfaces, hence the look at the index.
    fn came_in(&self, from: &LinkAddr) -> bool {
        from.pkttype() != libc::PACKET_OUTGOING && from.ifindex() == self.index
    }

    /// Waits until something is queued, an error included. `false` if nothing is after `left`.
    fn poll(&self, left: Duration) -> Result<bool, Errno> {
        // poll counts whole milliseconds: rounded down, the last one would be spent spinning.
        let milliseconds = left.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(e) => Err(e),
        }
    }
}

/// The address to bind to. As the kernel lists it, it has the interface's index, and protocol 0, which `bind`
/// reads as "the protocol that the socket was made with".
fn link_address(interface: &str) -> Result<LinkAddr, Errno> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address.as_ref().and_then(SockaddrStorage::as_link_addr).copied())
        .ok_or(Errno::ENODEV)
}
