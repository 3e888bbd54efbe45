//! What an observer of a connection sees: each request and its answer, as values, as text and as bytes.
//!
//! Pure. Names come from the caller, since netlink knows only numbers.

use std::fmt;
use std::os::fd::RawFd;

use crate::error::Refusal;
use crate::message::{Request, SetXdp};

/// One request and how it ended.
///
/// Descriptors are the caller's numbers; on the wire stand those of duplicates, which live until the answer is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// What was asked.
    pub request: Request,
    /// How it ended.
    pub answer: Answer,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The kernel did it.
    Done,
    /// The kernel said no.
    Refused(Refusal),
    /// No answer came.
    Lost,
}

/// Names for the numbers in a line.
pub trait Names {
    /// An interface.
    fn interface(&self, ifindex: u32) -> String {
        format!("ifindex={ifindex}")
    }

    /// A program's descriptor.
    fn program(&self, fd: RawFd) -> String {
        fd.to_string()
    }
}

/// Leaves every number as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers;

impl Names for Numbers {}

impl Exchange {
    /// One line: `SETLINK v0 xdp fd=xdp_prog flags=UPDATE_IF_NOEXIST -> ok`.
    #[must_use]
    pub fn line(&self, names: &dyn Names) -> String {
        format!("{} -> {}", self.request.line(names), self.answer)
    }

    /// The request as the bytes of one datagram, with the caller's descriptors and sequence number 0.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.request.to_bytes()
    }
}

impl Request {
    /// The request alone, as one line.
    #[must_use]
    pub fn line(&self, names: &dyn Names) -> String {
        match self {
            Self::SetXdp(set) => set.line(names),
            Self::LinkByIndex(ifindex) => format!("GETLINK {}", names.interface(*ifindex)),
            Self::LinkByName(name) => format!("GETLINK name={name}"),
            Self::Links => "GETLINK all".to_owned(),
        }
    }
}

impl SetXdp {
    fn line(&self, names: &dyn Names) -> String {
        let program = self.program.map_or_else(|| "none".to_owned(), |fd| names.program(fd));
        let expected =
            self.expected.map_or_else(String::new, |fd| format!(" expected={}", names.program(fd)));
        let flags: Vec<&str> = self.flags.iter_names().map(|(name, _)| name).collect();
        let flags = if flags.is_empty() { "0".to_owned() } else { flags.join("|") };
        format!("SETLINK {} xdp fd={program} flags={flags}{expected}", names.interface(self.ifindex))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(&Numbers))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Lost => f.write_str("connection lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extack::ExtAck;
    use crate::flags::XdpMode;

    struct Article;

    impl Names for Article {
        fn interface(&self, _: u32) -> String {
            "v0".into()
        }

        fn program(&self, fd: RawFd) -> String {
            (if fd == 8 { "xdp_prog" } else { "xdp_tail_call_1" }).into()
        }
    }

    fn line(set: SetXdp, answer: Answer) -> String {
        Exchange { request: Request::SetXdp(set), answer }.line(&Article)
    }

    #[test]
    fn lines() {
        let busy =
            Refusal::new(-16, ExtAck { message: Some("XDP program already attached".into()), offset: None });
        assert_eq!(
            line(SetXdp::attach(3, 8, XdpMode::Auto), Answer::Done),
            "SETLINK v0 xdp fd=xdp_prog flags=UPDATE_IF_NOEXIST -> ok"
        );
        assert_eq!(
            line(SetXdp::attach(3, 8, XdpMode::Native), Answer::Refused(busy)),
            "SETLINK v0 xdp fd=xdp_prog flags=UPDATE_IF_NOEXIST|DRV_MODE \
             -> EBUSY, device or resource busy: \"XDP program already attached\""
        );
        assert_eq!(
            line(SetXdp::exchange(3, Some(9), 8, XdpMode::Generic), Answer::Lost),
            "SETLINK v0 xdp fd=xdp_tail_call_1 flags=SKB_MODE|REPLACE expected=xdp_prog -> connection lost"
        );
        assert_eq!(
            line(SetXdp::overwrite(3, None, XdpMode::Auto), Answer::Done),
            "SETLINK v0 xdp fd=none flags=0 -> ok"
        );
        assert_eq!(Request::LinkByIndex(3).to_string(), "GETLINK ifindex=3");
    }
}
