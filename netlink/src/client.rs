//! The calls themselves, each a few requests over one connection.
//!
//! Runs on the driver's thread and owns what it sends, so that a caller who stops waiting can neither cut a call in two
//! nor leave a request behind that names a descriptor which is closed by then. Knows no thread and no socket.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use futures_util::StreamExt;
use netlink_packet_core::{ErrorMessage, NLM_F_DUMP_INTR, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno as E;

use crate::error::{Errno, Interface, NetlinkError, Refusal};
use crate::exchange::{Answer, Exchange};
use crate::extack;
use crate::flags::XdpMode;
use crate::message::{self, Link, NAME_MAX, Request, SetXdp};
use crate::refusal::{self, Action};
use crate::socket::Fault;
use crate::support::{self, ReplaceSupport};

/// How taking off one certain program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detached {
    /// It was there and is off.
    Ours,
    /// It was not there any more; what is there instead stays.
    NotOurs {
        /// The id of the program that is there, in this mode or else in any.
        current: Option<u32>,
    },
    /// The interface is gone, and the program with it.
    InterfaceGone,
}

/// Sees every exchange, on the driver's thread.
pub(crate) type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// One end of a connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) requests: rtnetlink::Handle,
    pub(crate) fault: Fault,
    pub(crate) support: ReplaceSupport,
    pub(crate) observer: Option<Observer>,
}

/// A program's descriptor, kept open until the kernel has answered.
pub(crate) struct Program {
    number: RawFd,
    duplicate: OwnedFd,
}

impl Program {
    pub(crate) fn of(program: BorrowedFd<'_>) -> Result<Self, NetlinkError> {
        Ok(Self { number: program.as_raw_fd(), duplicate: duplicate(program)? })
    }

    /// The caller's number.
    const fn shown(&self) -> RawFd {
        self.number
    }

    /// The number that the kernel is given.
    fn sent(&self) -> RawFd {
        self.duplicate.as_raw_fd()
    }
}

/// A second descriptor of the same program.
pub(crate) fn duplicate(program: BorrowedFd<'_>) -> Result<OwnedFd, NetlinkError> {
    let fd = program.as_raw_fd();
    program.try_clone_to_owned().map_err(|error| NetlinkError::Descriptor { fd, errno: Errno::of(&error) })
}

/// Which of a program's two numbers stands in a request.
type Number = fn(&Program) -> RawFd;

impl Client {
    pub(crate) async fn attach(
        &self,
        ifindex: u32,
        program: &Program,
        mode: XdpMode,
    ) -> Result<XdpMode, NetlinkError> {
        let action = Action::Attach(mode);
        self.set(action, |number| SetXdp::attach(ifindex, number(program), mode)).await?;
        self.settle(action, ifindex, program).await
    }

    pub(crate) async fn replace(
        &self,
        ifindex: u32,
        program: &Program,
        expected: &Program,
        mode: XdpMode,
    ) -> Result<XdpMode, NetlinkError> {
        let action = Action::Replace(mode);
        self.exchange(action, ifindex, Some(program), expected).await?;
        self.settle(action, ifindex, program).await
    }

    pub(crate) async fn detach(
        &self,
        ifindex: u32,
        expected: &Program,
        mode: XdpMode,
    ) -> Result<Detached, NetlinkError> {
        match self.exchange(Action::Detach(mode), ifindex, None, expected).await {
            Ok(()) => Ok(Detached::Ours),
            Err(NetlinkError::InterfaceGone { .. }) => Ok(Detached::InterfaceGone),
            Err(NetlinkError::NotExpected { found, .. } | NetlinkError::HeldByLink { found, .. }) => {
                let first = found.programs.first().map(|program| program.id);
                Ok(Detached::NotOurs { current: found.program_in(mode).or(first) })
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn detach_any(&self, ifindex: u32, mode: XdpMode) -> Result<(), NetlinkError> {
        self.set(Action::DetachAny(mode), |_| SetXdp::overwrite(ifindex, None, mode)).await
    }

    pub(crate) async fn link(&self, ifindex: u32) -> Result<Link, NetlinkError> {
        let request = Request::LinkByIndex(ifindex);
        let links = self.ask(&request, request.to_message()).await;
        let links = links.map_err(|failure| self.blame(&request, failure, ifindex))?;
        links.into_iter().next().ok_or_else(|| NetlinkError::NoAnswer { request: request.to_string() })
    }

    pub(crate) async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let request = Request::Links;
        self.ask(&request, request.to_message()).await.map_err(|failure| self.blame(&request, failure, 0))
    }

    pub(crate) async fn link_by_name(&self, name: &str) -> Result<Link, NetlinkError> {
        if let Some(link) = self.link_by_short_name(name).await? {
            return Ok(link);
        }
        // Longer alternative names do not fit the request, and the error wants all names anyway.
        let links = self.links().await?;
        if let Some(link) = links.iter().find(|link| link.is_called(name)) {
            return Ok(link.clone());
        }
        let mut known: Vec<String> = links.into_iter().map(|link| link.name).collect();
        known.sort_by_cached_key(|other| distance(name, other));
        Err(NetlinkError::UnknownInterface { name: name.to_owned(), known })
    }

    async fn link_by_short_name(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
            return Ok(None);
        }
        let request = Request::LinkByName(name.to_owned());
        match self.ask(&request, request.to_message()).await {
            Ok(links) => Ok(links.into_iter().next()),
            Err(Failure::Refused(refusal)) if refusal.errno.known() == E::ENODEV => Ok(None),
            Err(failure) => Err(self.blame(&request, failure, 0)),
        }
    }

    /// Exchanges `expected` for `program`, or for nothing, the way this kernel can.
    async fn exchange(
        &self,
        action: Action,
        ifindex: u32,
        program: Option<&Program>,
        expected: &Program,
    ) -> Result<(), NetlinkError> {
        let mode = action.mode();
        match self.support {
            ReplaceSupport::Atomic => {
                self.set(action, |number| {
                    SetXdp::exchange(ifindex, program.map(number), number(expected), mode)
                })
                .await
            }
            ReplaceSupport::LookFirst => {
                self.look_first(action, ifindex, expected).await?;
                self.set(action, |number| SetXdp::overwrite(ifindex, program.map(number), mode)).await
            }
        }
    }

    /// The comparison that a kernel before 5.7 does not make.
    async fn look_first(&self, action: Action, ifindex: u32, expected: &Program) -> Result<(), NetlinkError> {
        let wanted = support::program_id(expected.duplicate.as_fd())?;
        let link = self.link(ifindex).await?;
        if link.xdp.program_in(action.mode()) == Some(wanted) {
            return Ok(());
        }
        Err(not_expected(action, link))
    }

    /// After a program went live: the mode it is in. Where that cannot be found out, the program comes off again, since
    /// no one would know how to take it off later.
    async fn settle(&self, action: Action, ifindex: u32, program: &Program) -> Result<XdpMode, NetlinkError> {
        let cause = match self.mode_found(action, ifindex).await {
            Ok(mode) => return Ok(mode),
            Err(cause) => cause,
        };
        match self.detach(ifindex, program, action.mode()).await {
            Ok(_) => Err(cause),
            Err(_) => Err(NetlinkError::LeftAttached { ifindex, cause: Box::new(cause) }),
        }
    }

    async fn mode_found(&self, action: Action, ifindex: u32) -> Result<XdpMode, NetlinkError> {
        if action.mode() != XdpMode::Auto {
            return Ok(action.mode());
        }
        let link = self.link(ifindex).await?;
        // The kernel never chooses the card by itself.
        let chosen =
            link.xdp.programs.iter().map(|program| program.mode).find(|mode| *mode != XdpMode::Offload);
        chosen.ok_or_else(|| not_expected(action, link))
    }

    /// Sends an `RTM_SETLINK` and, on a refusal, looks at the interface to say why.
    async fn set(&self, action: Action, make: impl Fn(Number) -> SetXdp) -> Result<(), NetlinkError> {
        let shown = make(Program::shown);
        let request = Request::SetXdp(shown);
        let wire = Request::SetXdp(make(Program::sent)).to_message();
        match self.ask(&request, wire).await {
            Ok(_) => Ok(()),
            Err(Failure::Lost) => Err(self.lost(&request)),
            Err(Failure::Refused(refusal)) => Err(self.explain(action, shown.ifindex, refusal).await),
        }
    }

    pub(crate) async fn explain(&self, action: Action, ifindex: u32, refusal: Refusal) -> NetlinkError {
        match self.link(ifindex).await {
            Err(NetlinkError::InterfaceGone { .. }) => {
                NetlinkError::InterfaceGone { action: action.words(), ifindex }
            }
            now => refusal::explain(action, ifindex, refusal, now.ok()),
        }
    }

    fn blame(&self, request: &Request, failure: Failure, ifindex: u32) -> NetlinkError {
        match failure {
            Failure::Lost => self.lost(request),
            Failure::Refused(refusal) => refusal::explain(Action::Look, ifindex, refusal, None),
        }
    }

    pub(crate) fn lost(&self, request: &Request) -> NetlinkError {
        NetlinkError::ConnectionLost { request: request.to_string(), errno: self.fault.errno() }
    }

    /// One request, its answers, and the observer. A dump that changes under way is taken again.
    async fn ask(
        &self,
        request: &Request,
        wire: NetlinkMessage<RouteNetlinkMessage>,
    ) -> Result<Vec<Link>, Failure> {
        for _ in 1..DUMP_TRIES {
            let answers = self.ask_once(request, wire.clone()).await?;
            if !answers.interrupted {
                return Ok(answers.links);
            }
        }
        Ok(self.ask_once(request, wire).await?.links)
    }

    async fn ask_once(
        &self,
        request: &Request,
        wire: NetlinkMessage<RouteNetlinkMessage>,
    ) -> Result<Answers, Failure> {
        let outcome = self.converse(wire).await;
        if let Some(observer) = &self.observer {
            let answer = match &outcome {
                Ok(_) => Answer::Done,
                Err(Failure::Refused(refusal)) => Answer::Refused(refusal.clone()),
                Err(Failure::Lost) => Answer::Lost,
            };
            observer(&Exchange { request: request.clone(), answer });
        }
        outcome
    }

    async fn converse(&self, wire: NetlinkMessage<RouteNetlinkMessage>) -> Result<Answers, Failure> {
        let mut stream = self.requests.clone().request(wire).map_err(|_closed| Failure::Lost)?;
        let mut answers = Answers::default();
        while let Some(message) = stream.next().await {
            if let Some(end) = answers.take(message) {
                return end.map(|()| answers);
            }
        }
        // The stream of a living connection ends with an acknowledgement, which was asked for.
        Err(Failure::Lost)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("support", &self.support)
            .field("fault", &self.fault.errno())
            .field("observed", &self.observer.is_some())
            .finish_non_exhaustive()
    }
}

/// How often a dump is taken while interfaces come and go.
const DUMP_TRIES: usize = 4;

/// Why a request brought nothing.
enum Failure {
    Refused(Refusal),
    Lost,
}

/// What a request brought so far.
#[derive(Default)]
struct Answers {
    links: Vec<Link>,
    /// Interfaces came or went while the kernel listed them.
    interrupted: bool,
}

impl Answers {
    /// Adds one message; `Some` where it was the last.
    fn take(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Result<(), Failure>> {
        let flags = message.header.flags;
        self.interrupted |= flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::Error(error) => Some(acknowledged(flags, &error)),
            NetlinkPayload::Done(done) if done.code == 0 => Some(Ok(())),
            NetlinkPayload::Done(done) => {
                let ack = extack::of_attributes(&done.extended_ack);
                Some(Err(Failure::Refused(Refusal::new(done.code, ack))))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                self.links.push(message::link(&link));
                None
            }
            // Nothing else belongs to a request of ours; the end is still to come.
            NetlinkPayload::InnerMessage(_) | NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | _ => None,
        }
    }
}

fn acknowledged(flags: u16, error: &ErrorMessage) -> Result<(), Failure> {
    match error.code {
        None => Ok(()),
        Some(code) => Err(Failure::Refused(Refusal::new(code.get(), extack::of_error(flags, error)))),
    }
}

fn not_expected(action: Action, link: Link) -> NetlinkError {
    NetlinkError::NotExpected {
        action: action.words(),
        interface: Interface { name: Some(link.name), ifindex: link.ifindex },
        mode: action.mode(),
        found: Box::new(link.xdp),
        refusal: None,
    }
}

/// How many letters must change to make one name from the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (typed, letter) in (1usize..).zip(from.chars()) {
        let mut left = typed;
        let mut diagonal = typed.saturating_sub(1);
        let mut cells = row.iter_mut();
        cells.next().into_iter().for_each(|first| *first = typed);
        for (cell, other) in cells.zip(to.chars()) {
            let swapped = diagonal.saturating_add(usize::from(letter != other));
            diagonal = *cell;
            left = swapped.min(left.saturating_add(1)).min(cell.saturating_add(1));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let table =
            [("", "", 0), ("eth0", "eth0", 0), ("eth0", "eth1", 1), ("veht0", "veth0", 2), ("", "lo", 2)];
        for (from, to, letters) in table {
            assert_eq!(distance(from, to), letters, "{from} {to}");
            assert_eq!(distance(to, from), letters, "{to} {from}");
        }
    }

    #[test]
    fn a_dump_that_ends_with_an_errno_is_a_refusal() {
        let mut done = netlink_packet_core::DoneMessage::default();
        done.code = -(E::EMSGSIZE as i32);
        let message = NetlinkMessage::new(Default::default(), NetlinkPayload::Done(done));
        let end = Answers::default().take(message);
        assert!(matches!(end, Some(Err(Failure::Refused(refusal))) if refusal.errno.known() == E::EMSGSIZE));
    }
}
