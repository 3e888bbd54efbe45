//! A program that is attached for as long as a value lives.
//!
//! Takes off its own program and no other. Knows no message and no thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::client::Detached;
use crate::error::NetlinkError;
use crate::flags::XdpMode;
use crate::handle::Handle;
use crate::park;

/// An attached program; takes it off when dropped, if it is still the one that is attached.
///
/// Made by [`Handle::hold`] and [`Handle::replace_and_hold`]. Owns a duplicate of the program's descriptor, by which the
/// kernel recognises it, and a clone of the handle. A program that someone else put in its place stays.
///
/// Dropping waits for the kernel, 8 to 16 ms, and cannot say how it went; [`detach`](Self::detach) can.
#[derive(Debug)]
#[must_use = "the program is taken off when this is dropped"]
pub struct Attachment {
    handle: Handle,
    ifindex: u32,
    mode: XdpMode,
    /// `None` once there is nothing left to take off.
    program: Option<OwnedFd>,
}

impl Attachment {
    /// Takes charge of a program that is attached already. `mode` is the one it was found in.
    pub const fn new(handle: Handle, ifindex: u32, program: OwnedFd, mode: XdpMode) -> Self {
        Self { handle, ifindex, mode, program: Some(program) }
    }

    /// The interface.
    #[must_use]
    pub const fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The mode that the kernel put the program in.
    #[must_use]
    pub const fn mode(&self) -> XdpMode {
        self.mode
    }

    /// The descriptor by which it knows its program: the number that [`Exchange`](crate::Exchange)s show.
    #[must_use]
    pub fn program(&self) -> Option<BorrowedFd<'_>> {
        self.program.as_ref().map(AsFd::as_fd)
    }

    /// Takes the program off and tells whether it was still there.
    ///
    /// Dropped before its end, it takes the program off nevertheless.
    ///
    /// # Errors
    /// As [`Handle::detach`]. It is not tried again on drop.
    pub async fn detach(mut self) -> Result<Detached, NetlinkError> {
        let Some(program) = &self.program else { return Ok(Detached::NotOurs { current: None }) };
        let outcome = self.handle.detach(self.ifindex, program.as_fd(), self.mode).await;
        // Only now: a caller who stops waiting leaves it to the drop.
        self.program = None;
        outcome
    }

    /// [`detach`](Self::detach), for those who cannot await.
    ///
    /// # Errors
    /// As [`detach`](Self::detach).
    pub fn detach_blocking(self) -> Result<Detached, NetlinkError> {
        park::block_on(self.detach())
    }

    /// Leaves the program attached for good.
    pub fn leave(mut self) {
        self.program = None;
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Some(program) = self.program.take() else { return };
        // No one is left to be told; whoever wants to know calls `detach`.
        let _ = park::block_on(self.handle.detach(self.ifindex, program.as_fd(), self.mode));
    }
}
