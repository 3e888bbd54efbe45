//! The async face: one connection to the kernel, and every call that can be made over it.
//!
//! Documents and delegates. What a call does stands in `client`, where it runs in `driver`.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, TokioSocket};

use crate::client::{Client, Detached, Program, duplicate};
use crate::driver::Driver;
use crate::error::{Errno, NetlinkError, Refusal};
use crate::exchange::Exchange;
use crate::extack::ExtAck;
use crate::flags::XdpMode;
use crate::gone;
use crate::guard::Attachment;
use crate::message::{Link, XdpState};
use crate::refusal::Action;
use crate::socket::Fault;
use crate::support::ReplaceSupport;

/// One rtnetlink connection, in the network namespace and with the privileges of the thread that made it.
///
/// Its calls may be awaited in any runtime: the connection has a thread and a runtime of its own, which end with the
/// last clone. Both keep what that thread had when it connected: going to another namespace, or giving up a capability
/// of one thread, later does not change them.
///
/// A call that is dropped before its end still runs to its end; only its result is lost. An attach that is given up this
/// way may leave its program attached.
#[derive(Debug, Clone)]
pub struct Handle {
    driver: Arc<Driver>,
    client: Client,
}

impl Handle {
    /// Connects, in the current network namespace of the calling thread. Needs no privilege.
    ///
    /// # Errors
    /// [`NetlinkError::Connect`] with the step that failed.
    pub fn connect() -> Result<Self, NetlinkError> {
        Self::connect_with(|| TokioSocket::new(NETLINK_ROUTE))
    }

    /// Connects over sockets of the caller's making, for doubles that fail on purpose.
    ///
    /// `open` runs on the connection's own thread, inside a tokio runtime: once at once, and once for each
    /// [`wait_gone`](Self::wait_gone).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with<S, F>(open: F) -> Result<Self, NetlinkError>
    where
        S: AsyncSocket + Send + 'static,
        F: Fn() -> io::Result<S> + Send + Sync + 'static,
    {
        let fault = Fault::default();
        let (driver, requests) = Driver::start(open, &fault)?;
        let client = Client { requests, fault, support: ReplaceSupport::of_this_kernel(), observer: None };
        Ok(Self { driver: Arc::new(driver), client })
    }

    /// The same connection, with another opinion of what the kernel can do than its release number gives.
    #[must_use]
    pub fn with_replace_support(mut self, support: ReplaceSupport) -> Self {
        self.client.support = support;
        self
    }

    /// The same connection; `observer` sees every exchange from here on, after its answer came.
    ///
    /// It runs on the connection's thread and must not call back into the handle: it would wait for itself.
    #[must_use]
    pub fn observed(mut self, observer: impl Fn(&Exchange) + Send + Sync + 'static) -> Self {
        self.client.observer = Some(Arc::new(observer));
        self
    }

    /// Attaches where nothing is attached, and says in which mode the kernel put the program.
    ///
    /// The program stays when the process ends. The kernel takes 8 to 16 ms. If the mode of an [`XdpMode::Auto`] cannot
    /// be found out afterwards, the program is taken off again.
    ///
    /// Source: `IFLA_XDP_FD` with `XDP_FLAGS_UPDATE_IF_NOEXIST`. Since: Linux 4.11; modes since 4.12.
    ///
    /// # Errors
    /// [`Occupied`](NetlinkError::Occupied), [`ModeConflict`](NetlinkError::ModeConflict),
    /// [`NotSupported`](NetlinkError::NotSupported), [`MtuTooLarge`](NetlinkError::MtuTooLarge),
    /// [`NotPermitted`](NetlinkError::NotPermitted), [`InterfaceGone`](NetlinkError::InterfaceGone),
    /// [`Refused`](NetlinkError::Refused), [`ConnectionLost`](NetlinkError::ConnectionLost),
    /// [`LeftAttached`](NetlinkError::LeftAttached).
    pub async fn attach(
        &self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<XdpMode, NetlinkError> {
        let program = Program::of(program)?;
        self.run(async move |client| client.attach(ifindex, &program, mode).await).await
    }

    /// Attaches as [`attach`](Self::attach) does, and gives a guard that takes the program off again.
    ///
    /// # Errors
    /// As [`attach`](Self::attach). Then nothing is attached, unless the error says so.
    pub async fn hold(
        &self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Attachment, NetlinkError> {
        // Before anything is attached: this may fail, and must not fail later.
        let ours = duplicate(program)?;
        let mode = self.attach(ifindex, program, mode).await?;
        Ok(Attachment::new(self.clone(), ifindex, ours, mode))
    }

    /// Exchanges `expected` for `program` without a gap, if it is `expected` that is attached. Gives the mode.
    ///
    /// Source: `XDP_FLAGS_REPLACE` with `IFLA_XDP_EXPECTED_FD`. Since: Linux 5.7; before that see
    /// [`ReplaceSupport::LookFirst`] for the race that remains.
    ///
    /// # Errors
    /// [`NotExpected`](NetlinkError::NotExpected) with what is attached instead,
    /// [`HeldByLink`](NetlinkError::HeldByLink), and those of [`attach`](Self::attach).
    pub async fn replace(
        &self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        expected: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<XdpMode, NetlinkError> {
        let (program, expected) = (Program::of(program)?, Program::of(expected)?);
        self.run(async move |client| client.replace(ifindex, &program, &expected, mode).await).await
    }

    /// Replaces as [`replace`](Self::replace) does, and gives a guard that takes the new program off again.
    ///
    /// The guard does not bring `expected` back.
    ///
    /// # Errors
    /// As [`replace`](Self::replace).
    pub async fn replace_and_hold(
        &self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        expected: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Attachment, NetlinkError> {
        let ours = duplicate(program)?;
        let mode = self.replace(ifindex, program, expected, mode).await?;
        Ok(Attachment::new(self.clone(), ifindex, ours, mode))
    }

    /// Takes `expected` off, if it is attached in `mode`; anything else stays, and is told.
    ///
    /// Source and since: as [`replace`](Self::replace).
    ///
    /// # Errors
    /// [`NotPermitted`](NetlinkError::NotPermitted), [`Refused`](NetlinkError::Refused),
    /// [`ConnectionLost`](NetlinkError::ConnectionLost).
    pub async fn detach(
        &self,
        ifindex: u32,
        expected: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Detached, NetlinkError> {
        let expected = Program::of(expected)?;
        self.run(async move |client| client.detach(ifindex, &expected, mode).await).await
    }

    /// Takes off whatever is attached in `mode`, whose-ever it is. Nothing attached is a success.
    ///
    /// # Errors
    /// [`HeldByLink`](NetlinkError::HeldByLink), [`InterfaceGone`](NetlinkError::InterfaceGone), and those of
    /// [`detach`](Self::detach).
    pub async fn detach_any(&self, ifindex: u32, mode: XdpMode) -> Result<(), NetlinkError> {
        self.run(async move |client| client.detach_any(ifindex, mode).await).await
    }

    /// Why the kernel refused a bpf_link on an interface: as an error of [`attach`](Self::attach), from the errno of
    /// `BPF_LINK_CREATE` and, where it could be had, the sentence of the tracepoint `xdp:bpf_xdp_link_attach_failed`.
    pub async fn explain_link(
        &self,
        ifindex: u32,
        mode: XdpMode,
        errno: Errno,
        message: Option<String>,
    ) -> NetlinkError {
        let refusal = Refusal { errno, ack: ExtAck { message, offset: None } };
        let explained = self.run(async move |client| {
            let action = Action::Attach(mode);
            Ok(client.explain(action, ifindex, refusal).await)
        });
        explained.await.unwrap_or_else(|error| error)
    }

    /// What an interface carries.
    ///
    /// # Errors
    /// [`InterfaceGone`](NetlinkError::InterfaceGone), [`ConnectionLost`](NetlinkError::ConnectionLost),
    /// [`NoAnswer`](NetlinkError::NoAnswer).
    pub async fn query(&self, ifindex: u32) -> Result<XdpState, NetlinkError> {
        Ok(self.link(ifindex).await?.xdp)
    }

    /// What every interface of the namespace carries that carries a program, in the order of their indexes.
    ///
    /// # Errors
    /// [`ConnectionLost`](NetlinkError::ConnectionLost), [`Refused`](NetlinkError::Refused).
    pub async fn query_all(&self) -> Result<Vec<XdpState>, NetlinkError> {
        let states = self.links().await?.into_iter().map(|link| link.xdp);
        Ok(states.filter(|state| !state.programs.is_empty()).collect())
    }

    /// The interface with this index.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn link(&self, ifindex: u32) -> Result<Link, NetlinkError> {
        self.run(async move |client| client.link(ifindex).await).await
    }

    /// The interface with this name, or with this alternative name.
    ///
    /// # Errors
    /// [`UnknownInterface`](NetlinkError::UnknownInterface) with the names there are, the most alike first, and those of
    /// [`links`](Self::links).
    pub async fn link_by_name(&self, name: &str) -> Result<Link, NetlinkError> {
        let name = name.to_owned();
        self.run(async move |client| client.link_by_name(&name).await).await
    }

    /// Every interface of the namespace.
    ///
    /// # Errors
    /// [`ConnectionLost`](NetlinkError::ConnectionLost), [`Refused`](NetlinkError::Refused).
    pub async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        self.run(async move |client| client.links().await).await
    }

    /// Waits until the interface is deleted or moved to another namespace; at once, if there is none.
    ///
    /// Does not poll, and misses nothing that happens after the call. May be dropped at any time.
    ///
    /// Source: `RTM_DELLINK` to `RTNLGRP_LINK`.
    ///
    /// # Errors
    /// [`Connect`](NetlinkError::Connect) when no socket can be opened for it,
    /// [`ConnectionLost`](NetlinkError::ConnectionLost).
    pub async fn wait_gone(&self, ifindex: u32) -> Result<(), NetlinkError> {
        let (client, subscribe) = (self.client.clone(), self.driver.subscribe());
        let end =
            self.driver.run_while_awaited(async move { gone::wait(client, &*subscribe, ifindex).await });
        end.await.unwrap_or_else(|| Err(self.thread_ended()))
    }

    async fn run<T, W>(&self, work: impl FnOnce(Client) -> W) -> Result<T, NetlinkError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, NetlinkError>> + Send + 'static,
    {
        self.driver.run(work(self.client.clone())).await.unwrap_or_else(|| Err(self.thread_ended()))
    }

    fn thread_ended(&self) -> NetlinkError {
        NetlinkError::ConnectionLost { request: "netlink".to_owned(), errno: self.client.fault.errno() }
    }
}
