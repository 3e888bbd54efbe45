//! Why an object, or a part of it, is not loaded: what is known before the kernel is asked.

use alloc::boxed::Box;
use alloc::string::String;

use crate::features::KernelVersion;
use crate::link::LinkError;
use crate::spec::SpecError;
use crate::target::{AttachError, StructOpsError};
use crate::uapi::MapType;

/// Why an object, or one of its programs, cannot be loaded on this machine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It could not be linked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The object's byte order is not the machine's.
    #[error("the object is {0}-endian and this machine is not: compile with `clang -target {1}`")]
    ForeignEndian(&'static str, &'static str),
    /// Nobody says what type the program has.
    #[error(
        "program {program:?}: section {section:?} does not say its type: give it with --type {program}=TYPE"
    )]
    NoType {
        /// The program.
        program: String,
        /// Its section.
        section: String,
    },
    /// It attaches to something that the kernel's types name, and has nothing to attach to.
    #[error("program {program:?}: {why}")]
    Attach {
        /// The program.
        program: String,
        /// Why.
        why: AttachError,
    },
    /// It attaches to something that the kernel's types name, and nobody looked at them.
    #[error("program {program:?}: section {section:?} needs the kernel's types, which were not looked at")]
    NotAsked {
        /// The program.
        program: String,
        /// Its section.
        section: String,
    },
    /// A table of functions does not fit the kernel's.
    #[error("map {map:?}: {why}")]
    StructOps {
        /// The map.
        map: String,
        /// Why.
        why: StructOpsError,
    },
    /// This kernel lacks something that the object cannot do without.
    #[error("{what} needs Linux {}.{} ({feature}), this is Linux {kernel}", since.0, since.1)]
    Unsupported {
        /// What needs it.
        what: String,
        /// What is missing.
        feature: &'static str,
        /// The version that brought it.
        since: (u8, u8),
        /// The running kernel.
        kernel: KernelVersion,
    },
    /// A map whose definition cannot be understood.
    #[error("{0}")]
    Definition(Box<SpecError>),
    /// A map of maps whose inner map is not there.
    #[error("map {map:?}: its inner maps are to look like the map with id {id}, and there is none")]
    InnerId {
        /// The outer map.
        map: String,
        /// The id that it gives.
        id: u32,
    },
    /// Inner maps that look like one that does not exist or holds maps itself.
    #[error(
        "map {map:?}: its inner maps are to look like map {inner}, which does not exist or is a map of maps itself"
    )]
    InnerMap {
        /// The outer map.
        map: String,
        /// The number that it gives.
        inner: u32,
    },
    /// A map of maps that does not say what its inner maps look like.
    #[error(
        "map {map:?} ({ty}) does not say what its inner maps look like, no inner map is given: define `values` or `inner_map_idx`, or give it one before it is loaded"
    )]
    NoInnerMap {
        /// The outer map.
        map: String,
        /// Its type.
        ty: MapType,
    },
    /// A slot beyond the end of its table.
    #[error("map {map:?}: key {key} is out of range, it has {max_entries} entries (0 to {})", .max_entries.saturating_sub(1))]
    SlotRange {
        /// The map.
        map: String,
        /// The key.
        key: u32,
        /// Its entries.
        max_entries: u32,
    },
    /// A slot of something that is no jump table, or for a program that is not loaded.
    #[error("map {map:?}, key {key}: {why}")]
    Slot {
        /// The map.
        map: String,
        /// The key.
        key: u32,
        /// What is wrong.
        why: String,
    },
    /// Two kinds of program meet in one jump table, which the kernel refuses without a reason.
    #[error(
        "jump table {map:?} cannot hold both {first} and {second}: the kernel takes only programs of one type, attach type and frags setting"
    )]
    MixedTable {
        /// The table.
        map: String,
        /// A program that uses it, with its kind.
        first: String,
        /// One of another kind.
        second: String,
    },
    /// Two things would be pinned under one name.
    #[error("{first} and {second} would both be pinned as {path}: rename one of them")]
    PinClash {
        /// The first.
        first: String,
        /// The second.
        second: String,
        /// The path.
        path: String,
    },
}
