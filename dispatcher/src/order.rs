//! The order in which programs are called: by it everybody who builds a dispatcher sorts all of its programs.
//!
//! Source: libxdp's comparison of programs; the slots of a dispatcher are always sorted.

use alloc::string::String;
use core::cmp::Ordering;

use crate::config::Slot;

/// A program of a dispatcher, or one that is to become one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Component {
    /// Its id in the kernel.
    pub id: u32,
    /// Its whole name: that of its function.
    pub name: String,
    /// The kernel's fingerprint of its instructions.
    pub tag: [u8; 8],
    /// When it was loaded, in **nanoseconds** since the machine started.
    pub load_time: u64,
    /// Whether it is new in this set. One of the same priority and name that is there already comes first.
    pub new: bool,
    /// What the dispatcher does with it.
    pub slot: Slot,
}

/// Which of two programs is called first.
///
/// libxdp knows one more rule, between two that are both new: the shorter one first. Here one is added at a time.
pub fn compare(one: &Component, other: &Component) -> Ordering {
    let by_name = || one.name.as_bytes().cmp(other.name.as_bytes());
    let by_age = || one.new.cmp(&other.new);
    let by_time = || one.load_time.cmp(&other.load_time);
    one.slot
        .priority
        .cmp(&other.slot.priority)
        .then_with(by_name)
        .then_with(by_age)
        .then_with(|| one.tag.cmp(&other.tag))
        .then_with(by_time)
}
