//! `--fallback`: what is tried next after an attach that failed. Values in, values out.

use rxdp_netlink::{NetlinkError, XdpMode};

use crate::error::Failure;

/// Another way to attach.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Fallback {
    /// As if each XDP program's section were xdp.frags: cures packets that are too large for native mode
    Frags,
    /// Generic mode: cures packets that are too large, drivers that cannot, and too few queues
    Generic,
}

/// One way to attach.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) mode: XdpMode,
    /// All XDP programs are loaded as such that take fragments.
    pub(crate) frags: bool,
    /// What was tried before, and why it failed.
    pub(crate) before: Vec<String>,
    /// Which of the ways that were given come next.
    at: usize,
}

/// The errno of a driver that lacks queues. Source: asm-generic/errno-base.h.
const ENOSPC: i32 = 28;

impl Attempt {
    pub(crate) const fn first(mode: XdpMode) -> Self {
        Self { mode, frags: false, before: Vec::new(), at: 0 }
    }

    /// The next of the given ways that can cure the failure; `is_frags` says whether the program took fragments.
    pub(crate) fn next(&self, given: &[Fallback], failure: &Failure, is_frags: bool) -> Option<Self> {
        let Failure::Netlink { source, .. } = failure else {
            return None;
        };
        let (at, way) = given.iter().enumerate().skip(self.at).find(|(_, way)| match way {
            Fallback::Frags => !is_frags && matches!(source.as_ref(), NetlinkError::MtuTooLarge { .. }),
            Fallback::Generic => self.mode != XdpMode::Generic && is_cured_by_generic(source),
        })?;
        let mut before = self.before.clone();
        before.push(format!("{} failed: {source}", self.words()));
        let (mode, frags) = match way {
            Fallback::Frags => (self.mode, true),
            Fallback::Generic => (XdpMode::Generic, false),
        };
        Some(Self { mode, frags, before, at: at.saturating_add(1) })
    }

    /// What it is, in words.
    pub(crate) fn words(&self) -> String {
        let frags = if self.frags { " with fragments" } else { "" };
        format!("{} mode{frags}", self.mode)
    }

    /// What it came to, where it was not the first; a sentence each.
    pub(crate) fn notes(&self, found: XdpMode) -> Vec<String> {
        if self.before.is_empty() {
            return Vec::new();
        }
        let frags = if self.frags { " with fragments" } else { "" };
        let end = format!("fell back to {found} mode{frags}");
        self.before.iter().cloned().chain([end]).collect()
    }
}

const fn is_cured_by_generic(error: &NetlinkError) -> bool {
    if let NetlinkError::Refused { refusal, .. } = error {
        return refusal.errno.0 == ENOSPC;
    }
    matches!(error, NetlinkError::MtuTooLarge { .. } | NetlinkError::NotSupported { .. })
}

#[cfg(test)]
mod tests {
    use rxdp_netlink::extack::ExtAck;
    use rxdp_netlink::{Errno, Interface, Refusal};

    use super::*;

    fn refusal(errno: i32) -> Refusal {
        Refusal { errno: Errno(errno), ack: ExtAck::default() }
    }

    fn failure(source: NetlinkError) -> Failure {
        Failure::Netlink { source: Box::new(source), advice: Vec::new() }
    }

    fn too_large() -> Failure {
        let interface = Interface { name: None, ifindex: 3 };
        let (mode, action) = (XdpMode::Native, "attach to");
        failure(NetlinkError::MtuTooLarge { action, interface, mode, mtu: None, refusal: refusal(34) })
    }

    fn refused(errno: i32) -> Failure {
        let interface = Interface { name: None, ifindex: 3 };
        failure(NetlinkError::Refused { action: "attach to", interface, refusal: refusal(errno) })
    }

    #[test]
    fn ways_are_tried_in_the_order_given_and_each_once() {
        let ways = [Fallback::Frags, Fallback::Generic];
        let first = Attempt::first(XdpMode::Auto);
        let second = first.next(&ways, &too_large(), false).unwrap();
        assert_eq!((second.mode, second.frags), (XdpMode::Auto, true));
        let third = second.next(&ways, &refused(ENOSPC), true).unwrap();
        assert_eq!((third.mode, third.frags), (XdpMode::Generic, false));
        assert!(third.next(&ways, &too_large(), false).is_none());
        assert_eq!(third.notes(XdpMode::Generic).len(), 3);
    }

    #[test]
    fn a_way_that_does_not_cure_the_failure_is_left_out() {
        let first = Attempt::first(XdpMode::Native);
        let ways = [Fallback::Frags, Fallback::Generic];
        assert_eq!(first.next(&ways, &too_large(), true).unwrap().mode, XdpMode::Generic);
        assert!(first.next(&[Fallback::Frags], &refused(ENOSPC), false).is_none());
        assert!(first.next(&ways, &refused(16), false).is_none());
        assert!(first.next(&[], &too_large(), false).is_none());
    }
}
