//! The same calls for embedders without a runtime.
//!
//! Every call blocks its thread until the kernel has answered. Safe inside a runtime, too, at the price of its time.

use std::io;
use std::os::fd::BorrowedFd;

use rtnetlink::sys::AsyncSocket;

use crate::client::Detached;
use crate::error::NetlinkError;
use crate::exchange::Exchange;
use crate::flags::XdpMode;
use crate::guard::Attachment;
use crate::message::{Link, XdpState};
use crate::park::block_on;
use crate::support::ReplaceSupport;

/// One rtnetlink connection; see [`crate::Handle`], whose calls these are, for what each does and how it fails.
#[derive(Debug, Clone)]
pub struct Handle(crate::Handle);

impl From<crate::Handle> for Handle {
    fn from(handle: crate::Handle) -> Self {
        Self(handle)
    }
}

impl From<Handle> for crate::Handle {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl Handle {
    /// See [`crate::Handle::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect() -> Result<Self, NetlinkError> {
        crate::Handle::connect().map(Self)
    }

    /// See [`crate::Handle::connect_with`].
    ///
    /// # Errors
    /// As there.
    pub fn connect_with<S, F>(open: F) -> Result<Self, NetlinkError>
    where
        S: AsyncSocket + Send + 'static,
        F: Fn() -> io::Result<S> + Send + Sync + 'static,
    {
        crate::Handle::connect_with(open).map(Self)
    }

    /// See [`crate::Handle::with_replace_support`].
    #[must_use]
    pub fn with_replace_support(self, support: ReplaceSupport) -> Self {
        Self(self.0.with_replace_support(support))
    }

    /// See [`crate::Handle::observed`].
    #[must_use]
    pub fn observed(self, observer: impl Fn(&Exchange) + Send + Sync + 'static) -> Self {
        Self(self.0.observed(observer))
    }

    /// See [`crate::Handle::attach`].
    ///
    /// # Errors
    /// As there.
    pub fn attach(
        &self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<XdpMode, NetlinkError> {
        block_on(self.0.attach(ifindex, program, mode))
    }

    /// See [`crate::Handle::hold`].
    ///
    /// # Errors
    /// As there.
    pub fn hold(
        &self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Attachment, NetlinkError> {
        block_on(self.0.hold(ifindex, program, mode))
    }

    /// See [`crate::Handle::replace`].
    ///
    /// # Errors
    /// As there.
    pub fn replace(
        &self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        expected: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<XdpMode, NetlinkError> {
        block_on(self.0.replace(ifindex, program, expected, mode))
    }

    /// See [`crate::Handle::replace_and_hold`].
    ///
    /// # Errors
    /// As there.
    pub fn replace_and_hold(
        &self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        expected: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Attachment, NetlinkError> {
        block_on(self.0.replace_and_hold(ifindex, program, expected, mode))
    }

    /// See [`crate::Handle::detach`].
    ///
    /// # Errors
    /// As there.
    pub fn detach(
        &self,
        ifindex: u32,
        expected: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Detached, NetlinkError> {
        block_on(self.0.detach(ifindex, expected, mode))
    }

    /// See [`crate::Handle::detach_any`].
    ///
    /// # Errors
    /// As there.
    pub fn detach_any(&self, ifindex: u32, mode: XdpMode) -> Result<(), NetlinkError> {
        block_on(self.0.detach_any(ifindex, mode))
    }

    /// See [`crate::Handle::query`].
    ///
    /// # Errors
    /// As there.
    pub fn query(&self, ifindex: u32) -> Result<XdpState, NetlinkError> {
        block_on(self.0.query(ifindex))
    }

    /// See [`crate::Handle::query_all`].
    ///
    /// # Errors
    /// As there.
    pub fn query_all(&self) -> Result<Vec<XdpState>, NetlinkError> {
        block_on(self.0.query_all())
    }

    /// See [`crate::Handle::link`].
    ///
    /// # Errors
    /// As there.
    pub fn link(&self, ifindex: u32) -> Result<Link, NetlinkError> {
        block_on(self.0.link(ifindex))
    }

    /// See [`crate::Handle::link_by_name`].
    ///
    /// # Errors
    /// As there.
    pub fn link_by_name(&self, name: &str) -> Result<Link, NetlinkError> {
        block_on(self.0.link_by_name(name))
    }

    /// See [`crate::Handle::links`].
    ///
    /// # Errors
    /// As there.
    pub fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        block_on(self.0.links())
    }

    /// See [`crate::Handle::wait_gone`].
    ///
    /// # Errors
    /// As there.
    pub fn wait_gone(&self, ifindex: u32) -> Result<(), NetlinkError> {
        block_on(self.0.wait_gone(ifindex))
    }
}
