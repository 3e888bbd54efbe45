//! A tap on a connection: the datagrams themselves, as they pass the socket in both directions.
//!
//! For those who want to see the bytes. Passes everything through; knows of a message no more than its header.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};

/// Where datagrams are written down. Clones write to the same place.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<Mutex<Vec<Datagram>>>);

/// One datagram. Most hold one message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram {
    /// Whether it went to the kernel.
    pub sent: bool,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Tap {
    /// A socket whose datagrams are written down, for [`Handle::connect_with`](crate::Handle::connect_with).
    ///
    /// # Errors
    /// As `socket(2)` gives them.
    pub fn socket(&self) -> io::Result<Tapped> {
        Ok(Tapped { inner: TokioSocket::new(NETLINK_ROUTE)?, tap: self.clone() })
    }

    /// The first message of this type that was sent, and the first that came back with its sequence number.
    #[must_use]
    pub fn conversation(&self, message_type: u16) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = seen
            .iter()
            .find(|one| one.sent && header(&one.bytes).is_some_and(|(ty, _)| ty == message_type))?;
        let sequence = header(&asked.bytes)?.1;
        let answer =
            seen.iter().find(|one| !one.sent && header(&one.bytes).is_some_and(|(_, it)| it == sequence));
        Some((asked.bytes.clone(), answer.map(|one| one.bytes.clone())))
    }

    fn note(&self, sent: bool, bytes: &[u8]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(Datagram { sent, bytes: bytes.to_vec() });
    }
}

/// Type and sequence number of a message. Source: `struct nlmsghdr`, `include/uapi/linux/netlink.h`.
fn header(bytes: &[u8]) -> Option<(u16, u32)> {
    let ty = bytes.get(4..)?.first_chunk().copied().map(u16::from_ne_bytes)?;
    let sequence = bytes.get(8..)?.first_chunk().copied().map(u32::from_ne_bytes)?;
    Some((ty, sequence))
}

/// A socket with a tap.
#[allow(missing_debug_implementations, reason = "the socket inside has none")]
pub struct Tapped {
    inner: TokioSocket,
    tap: Tap,
}

impl Tapped {
    fn sent(&self, outcome: Poll<io::Result<usize>>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(_))) {
            self.tap.note(true, bytes);
        }
        outcome
    }
}

impl AsyncSocket for Tapped {
    fn socket_ref(&self) -> &Socket {
        self.inner.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.inner.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        Ok(Self { inner: TokioSocket::new(protocol)?, tap: Tap::default() })
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.sent(self.inner.poll_send(cx, buf), buf)
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], addr: &SocketAddr) -> Poll<io::Result<usize>> {
        self.sent(self.inner.poll_send_to(cx, buf, addr), buf)
    }

    fn poll_recv<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<()>> {
        self.poll_recv_from(cx, buf).map_ok(|_from| ())
    }

    fn poll_recv_from<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<SocketAddr>> {
        let (bytes, from) = ready!(self.poll_recv_from_full(cx))?;
        buf.put_slice(&bytes);
        Poll::Ready(Ok(from))
    }

    fn poll_recv_from_full(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        let (bytes, from) = ready!(self.inner.poll_recv_from_full(cx))?;
        self.tap.note(false, &bytes);
        Poll::Ready(Ok((bytes, from)))
    }
}
