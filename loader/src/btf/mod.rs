//! BTF: the C types, function prototypes and source lines that clang stores beside the code.
//!
//! `parse` reads the section `.BTF` into [`Btf`], `encode` writes it back for this machine's kernel, `ext` reads
//! `.BTF.ext`, `target` finds types in a kernel's BTF without reading all of it, `change` keeps what stages change in types. The room knows types by number and name; what they mean for a map or a program is not its business.
//!
//! Source: `Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`.

mod change;
mod dedup;
mod encode;
mod ext;
mod graph;
mod index;
mod parse;
mod parts;
mod target;
mod types;
pub mod value;
mod walk;

use alloc::string::String;

use crate::bytes::Truncated;

pub(crate) use change::Editor;
pub use change::{TypeChange, TypeReason, undo_types};
pub use ext::{BtfExt, CoreRelo, FuncInfo, LineInfo};
pub use graph::{TypeGraph, essential};
pub use target::{TargetBtf, Wanted};
pub use types::{Btf, Kind, KindSet, Linkage, Member, Param, SecVar, StrOff, Type, TypeId};

/// Why BTF could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// A table ends in the middle of something.
    #[error("malformed BTF: {0}")]
    Truncated(#[from] Truncated),
    /// The header's magic number is not 0xeb9f in the file's byte order.
    #[error("malformed {section}: magic number {found:#06x}, expected 0xeb9f")]
    Magic {
        /// `.BTF` or `.BTF.ext`.
        section: &'static str,
        /// What stands there.
        found: u16,
    },
    /// A type of a kind that this crate does not know; what follows it cannot be found.
    #[error(
        "BTF type {id} is of kind {kind}, which this version does not know: update, or rebuild with an older clang"
    )]
    UnknownKind {
        /// The type's number.
        id: u32,
        /// Its kind.
        kind: u32,
    },
    /// A number of a type that is not there.
    #[error("BTF type {id} does not exist: {context}")]
    NoSuchType {
        /// The number.
        id: u32,
        /// Who refers to it.
        context: String,
    },
    /// Records of an unexpected size.
    #[error("malformed .BTF.ext: {what} records of {size} bytes, expected at least {expected}")]
    RecordSize {
        /// What the records describe.
        what: &'static str,
        /// Size given, in bytes.
        size: u32,
        /// Smallest size that holds the known fields, in bytes.
        expected: u32,
    },
}
