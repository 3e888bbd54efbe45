//! What keeps our program on an interface: netlink, with a guard that takes it off again, or a bpf_link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rxdp_loader::sys::{Errno, Kernel, LinkCreate, LinkTarget, Named, tracefs};
use rxdp_loader::uapi::AttachType;
use rxdp_netlink::{Attachment, Detached, Handle, NetlinkError, XdpMode};

/// A program on an interface.
#[derive(Debug)]
pub(crate) enum Hold {
    /// Attached over netlink: it stays until somebody takes it off.
    Netlink(Attachment),
    /// Attached by a link: it goes with the last descriptor or pin of the link.
    Link(Linked),
}

/// A link, and what it holds where.
#[derive(Debug)]
pub(crate) struct Linked {
    link: OwnedFd,
    ifindex: u32,
    /// The program's id.
    program: u32,
    mode: XdpMode,
}

impl Hold {
    /// The mode that the kernel put the program in.
    pub(crate) const fn mode(&self) -> XdpMode {
        match self {
            Self::Netlink(attachment) => attachment.mode(),
            Self::Link(linked) => linked.mode,
        }
    }

    /// The descriptor by which netlink knows the program.
    pub(crate) fn program(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Netlink(attachment) => attachment.program(),
            Self::Link(_) => None,
        }
    }

    /// The link, if there is one.
    pub(crate) fn link(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Netlink(_) => None,
            Self::Link(linked) => Some(linked.link.as_fd()),
        }
    }

    /// Leaves the program attached; one of a link stays if the link is pinned.
    pub(crate) fn leave(self) {
        if let Self::Netlink(attachment) = self {
            attachment.leave();
        }
    }

    /// Takes the program off, and tells whether it was still there.
    pub(crate) async fn detach(self, netlink: &Handle) -> Result<Detached, NetlinkError> {
        let linked = match self {
            Self::Netlink(attachment) => return attachment.detach().await,
            Self::Link(linked) => linked,
        };
        // Nobody takes a link's place but through the link; its owner can be told to let go, though.
        let found = match netlink.query(linked.ifindex).await {
            Err(NetlinkError::InterfaceGone { .. }) => return Ok(Detached::InterfaceGone),
            found => found?,
        };
        match found.program_in(linked.mode) {
            Some(id) if id == linked.program => Ok(Detached::Ours),
            current => Ok(Detached::NotOurs { current }),
        }
    }
}

/// Attaches a program by a link, where nothing is attached.
///
/// A refusal of the kernel's comes with its sentence, which is got by asking again: listening takes longer than asking.
pub(crate) async fn link<K: Kernel>(
    kernel: &K,
    netlink: &Handle,
    ifindex: u32,
    program: Named<'_>,
    mode: XdpMode,
) -> Result<Hold, NetlinkError> {
    let to = LinkTarget::InterfaceInMode { number: ifindex, flags: mode.flags().bits() };
    let request = LinkCreate { what: program, attach: AttachType::XDP, to };
    let id = kernel.prog_info(program).map(|info| info.id).unwrap_or_default();
    let link = match kernel.link_create(&request) {
        Ok(link) => link,
        Err(_) => match tracefs::link_failure(|| kernel.link_create(&request)) {
            (Ok(link), _) => link,
            (Err(Errno(errno)), sentence) => {
                return Err(netlink.explain_link(ifindex, mode, rxdp_netlink::Errno(errno), sentence).await);
            }
        },
    };
    // The link goes where this fails, and the program with it.
    let state = netlink.query(ifindex).await?;
    let found = state.programs.iter().find(|found| found.id == id).map_or(mode, |found| found.mode);
    Ok(Hold::Link(Linked { link, ifindex, program: id, mode: found }))
}
