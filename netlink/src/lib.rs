//! Attaches, replaces, detaches and queries XDP programs over rtnetlink.
//!
//! Stands on `netlink-packet-route` for the messages, `rtnetlink` for the connection and `tokio` to drive it.
//! Knows nothing of objects, maps or loading: a program comes in as a [`BorrowedFd`](std::os::fd::BorrowedFd).
//!
//! ```
//! use std::os::fd::BorrowedFd;
//!
//! use rxdp_netlink::{Detached, NetlinkError, XdpMode, blocking};
//!
//! /// Attaches a loaded program to `eth0` and takes it off again.
//! fn try_on(program: BorrowedFd<'_>) -> Result<(), NetlinkError> {
//!     let handle = blocking::Handle::connect()?;
//!     let link = handle.link_by_name("eth0")?;
//!     let attachment = handle.hold(link.ifindex, program, XdpMode::Auto)?;
//!     println!("attached in {} mode", attachment.mode());
//!     match attachment.detach_blocking()? {
//!         Detached::Ours => println!("taken off"),
//!         Detached::NotOurs { current } => println!("left alone, program id {current:?} is there now"),
//!         Detached::InterfaceGone => println!("went with its interface"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The rooms, lowest first: `flags` (words of the kernel), `message` (messages in and out, pure), `extack` (the
//! kernel's words about a refusal), `error` and `refusal` (what a refusal means), `support` (what this kernel can do),
//! `socket`, `driver` and `park` (the thread that owns the socket), `tap` (the bytes that pass), `exchange` (what an observer sees), `client` (the
//! calls themselves), `genl` and `device` (what a driver can do), `gone` (waiting for a deletion), `handle`, `blocking` and `guard` (their public faces).

#![deny(unsafe_code)]

pub mod blocking;
mod client;
pub mod device;
mod driver;
mod error;
mod exchange;
pub mod extack;
mod flags;
mod genl;
mod gone;
mod guard;
mod handle;
pub mod message;
mod park;
mod refusal;
mod socket;
mod support;
mod tap;

pub use crate::client::Detached;
pub use crate::error::{Errno, Interface, NetlinkError, Refusal};
pub use crate::exchange::{Answer, Exchange, Names, Numbers};
pub use crate::flags::{Attached, XdpFlags, XdpMode};
pub use crate::guard::Attachment;
pub use crate::handle::Handle;
pub use crate::message::{AttachedProgram, Link, XdpState};
pub use crate::support::ReplaceSupport;
pub use crate::tap::{Datagram, Tap, Tapped};
