//! Several XDP programs on one interface: the dispatcher protocol of libxdp, so that programs of rxdp and of xdp-tools
//! live side by side, and each sees, adds and removes the other's.
//!
//! A program named `xdp_dispatcher` stands on the interface and calls up to ten others, each of which has taken the place
//! of one of its functions (freplace). The set is never changed: a new dispatcher is built beside the old one, with links
//! of all programs, old and new; the two are exchanged in one step; then the old one's pins go. `docs/dispatcher.md` has
//! the layout in bytes.
//!
//! **Above** the kernel line: what a dispatcher's value says ([`config`]), which program is one ([`found`]), what a program
//! says about itself ([`metadata`]), the order ([`order`]), the change of a set as a plan ([`plan`]), how an XDP program
//! becomes one that takes a place ([`component`]). Without the feature `kernel` that is all, and it is `no_std`.
//! **Below** it: [`state`] reads, [`change`] builds, exchanges and cleans up, under the lock that everybody takes.
//!
//! It knows no netlink: who attaches is a [`port::Port`], which the caller brings.
#![cfg_attr(not(feature = "kernel"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod actions;
pub mod component;
pub mod config;
pub mod found;
pub mod metadata;
pub mod names;
pub mod order;
pub mod plan;

#[cfg(feature = "kernel")]
mod build;
#[cfg(feature = "kernel")]
pub mod change;
#[cfg(feature = "kernel")]
pub mod error;
#[cfg(feature = "kernel")]
mod pins;
#[cfg(feature = "kernel")]
pub mod port;
#[cfg(feature = "kernel")]
pub mod prototype;
#[cfg(feature = "kernel")]
mod room;
#[cfg(feature = "kernel")]
pub mod state;
