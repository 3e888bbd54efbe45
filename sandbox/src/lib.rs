//! A throwaway network to try XDP programs in, and what the demo and all kernel tests stand on.
//!
//! A [`Sandbox`] is two network namespaces, *near* and *far*, joined by a veth pair. An XDP program goes on the
//! near end, packets come from the far end. Near also has a bpffs of its own. Nothing of it has a name in any
//! file system: descriptors hold it, so it vanishes when the value is dropped and when the process is killed.
//!
//! ```text
//!   near: v0 192.0.2.1/24 ─────────── v1 192.0.2.2/24 :far
//!   /sys/fs/bpf, fresh                PacketSocket, packets::udp(..)
//! ```
//!
//! IPv6 is off and each end knows the other's MAC address, so only packets that somebody sent are seen.
//!
//! ```no_run
//! use std::time::Duration;
//! use rxdp_sandbox::{End, Sandbox, SandboxError, packets};
//!
//! let sandbox = Sandbox::new()?;
//! let (near, far) = (sandbox.packet_socket(End::Near)?, sandbox.packet_socket(End::Far)?);
//! let sent = packets::udp(4000, 53, b"hello");
//! far.send(&sent)?;
//! assert_eq!(near.receive(Duration::from_secs(1))?, Some(sent));
//! # Ok::<(), SandboxError>(())
//! ```
//!
//! What may not enter: BPF. This crate knows neither the loader nor XDP attachment; the tests join them.

#![deny(unsafe_code)]

mod end;
mod error;
mod links;
mod namespace;
pub mod packets;
mod sandbox;
mod socket;
pub mod testing;

pub use nix::errno::Errno;

pub use crate::{
    end::{End, PREFIX_LEN},
    error::{SandboxError, Step},
    links::Veth,
    sandbox::Sandbox,
    socket::PacketSocket,
};
