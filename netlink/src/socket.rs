//! A socket that remembers why it failed.
//!
//! `netlink-proto` ends a connection on a socket error and only logs the reason; here it is kept for our errors.
//! Passes everything else through. Knows no message.

use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::BufMut;
use nix::errno::Errno as E;
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr};

use crate::error::Errno;

/// The first failure of a socket, seen from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Arc<OnceLock<Errno>>);

impl Fault {
    pub(crate) fn errno(&self) -> Option<Errno> {
        self.0.get().copied()
    }

    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome {
            // The first failure is the cause; what follows from it is not.
            let _ = self.0.set(Errno::of(error));
        }
        outcome
    }
}

/// What `ENOBUFS`, the loss of incoming messages, means to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnLoss {
    /// The end: a lost answer would be awaited for ever.
    Break,
    /// A message of its own: the reader looks for itself.
    PassOn,
}

/// A socket and the note of its first failure.
pub(crate) struct Noted<S> {
    inner: S,
    fault: Fault,
    on_loss: OnLoss,
}

impl<S> Noted<S> {
    pub(crate) const fn new(inner: S, fault: Fault, on_loss: OnLoss) -> Self {
        Self { inner, fault, on_loss }
    }

    fn received<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if !is_loss(&outcome) {
            return self.fault.note(outcome);
        }
        match self.on_loss {
            OnLoss::PassOn => outcome,
            // Without its number, netlink-proto takes this error for the end, as it should.
            OnLoss::Break => self.fault.note(outcome).map_err(io::Error::other),
        }
    }
}

fn is_loss<T>(outcome: &Poll<io::Result<T>>) -> bool {
    matches!(outcome, Poll::Ready(Err(error)) if error.raw_os_error() == Some(E::ENOBUFS as i32))
}

impl<S: AsyncSocket> AsyncSocket for Noted<S> {
    fn socket_ref(&self) -> &Socket {
        self.inner.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.inner.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        Ok(Self::new(S::new(protocol)?, Fault::default(), OnLoss::Break))
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.fault.note(self.inner.poll_send(cx, buf))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], addr: &SocketAddr) -> Poll<io::Result<usize>> {
        self.fault.note(self.inner.poll_send_to(cx, buf, addr))
    }

    fn poll_recv<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<()>> {
        self.received(self.inner.poll_recv(cx, buf))
    }

    fn poll_recv_from<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<SocketAddr>> {
        self.received(self.inner.poll_recv_from(cx, buf))
    }

    fn poll_recv_from_full(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.received(self.inner.poll_recv_from_full(cx))
    }
}
