//! What the kernel says about maps, programs and pins.

use std::os::fd::OwnedFd;

use crate::uapi::{MapFlags, MapType, ProgType};

/// What the kernel says about a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapInfo {
    /// Its id.
    pub id: u32,
    /// Its name in the kernel.
    pub name: String,
    /// Its type.
    pub ty: MapType,
    /// Size of a key in **bytes**.
    pub key_size: u32,
    /// Size of a value in **bytes**.
    pub value_size: u32,
    /// Most entries, in **elements**.
    pub max_entries: u32,
    /// Flags.
    pub flags: MapFlags,
    /// What some types take besides. Since: Linux 5.16.
    pub map_extra: u64,
}

/// What the kernel says about a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgInfo {
    /// Its id.
    pub id: u32,
    /// Its name in the kernel.
    pub name: String,
    /// Its type.
    pub ty: ProgType,
    /// The kernel's fingerprint of its instructions.
    pub tag: [u8; 8],
    /// When it was loaded, in **nanoseconds** since the machine started.
    pub load_time: u64,
    /// User that loaded it.
    pub uid: u32,
    /// Instructions that the verifier looked at. Since: Linux 5.16.
    pub verified_insns: u32,
    /// Ids of the maps that it refers to.
    pub map_ids: Vec<u32>,
}

/// What was pinned.
#[derive(Debug)]
pub struct Pinned {
    /// Its descriptor.
    pub fd: OwnedFd,
    /// What it is.
    pub kind: PinKind,
}

/// What a pin holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PinKind {
    /// A map.
    Map,
    /// A program.
    Program,
    /// A link.
    Link,
    /// Something that this crate does not know, or `/proc` does not say.
    Other,
}
