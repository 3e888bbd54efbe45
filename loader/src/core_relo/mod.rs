//! CO-RE: instructions that depend on types are fitted to the types of the kernel that they will run on.
//!
//! clang writes down what an instruction means (`offset of task_struct.mm`) beside what it says for the types that the
//! object was compiled with. [`Resolver::resolve`] asks the same question of the kernel's types, [`apply`] puts the
//! answer into the instruction. Types come in as arguments; where they are from is not this room's business.
//!
//! Source: `enum bpf_core_relo_kind`, `include/uapi/linux/bpf.h`; libbpf `relo_core.c`. Since: Linux 5.2 (BTF).
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "questions are about few of the many kinds of types and records"
)]

mod access;
mod apply;
mod compat;
mod matching;
mod resolve;
mod value;
mod work;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::btf::{TargetBtf, TypeId};

pub use access::{PathStep, path, question, type_words};
pub use apply::{POISON, apply};
pub use compat::types_are_compatible;
pub use resolve::{Resolver, wanted};
pub use work::Work;

/// The types that a kernel has: its own, and its modules'.
#[derive(Debug, Default)]
pub struct KernelTypes<'d> {
    /// The kernel's own.
    pub vmlinux: Option<&'d TargetBtf<'d>>,
    /// Its modules', with the modules' names. They are asked only where the kernel itself has no answer.
    pub modules: Vec<(String, TargetBtf<'d>)>,
}

/// A type of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Location {
    /// The module's position in [`KernelTypes::modules`]; `None` for the kernel itself.
    pub module: Option<usize>,
    /// The type.
    pub id: TypeId,
}

impl<'d> KernelTypes<'d> {
    /// The types of the kernel or of one of its modules.
    pub fn of(&self, module: Option<usize>) -> Option<&TargetBtf<'d>> {
        match module {
            None => self.vmlinux,
            Some(at) => self.modules.get(at).map(|(_, btf)| btf),
        }
    }

    /// All of them, the kernel's first.
    pub fn all(&self) -> impl Iterator<Item = (Option<usize>, &TargetBtf<'d>)> {
        let own = self.vmlinux.into_iter().map(|btf| (None, btf));
        own.chain(self.modules.iter().enumerate().map(|(at, (_, btf))| (Some(at), btf)))
    }
}

/// What a record asks about a type. Source: `enum bpf_core_relo_kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoreKind {
    /// `bpf_core_field_offset`: where a field starts, in **bytes**.
    FieldOffset,
    /// `bpf_core_field_size`: its size in **bytes**.
    FieldSize,
    /// `bpf_core_field_exists`.
    FieldExists,
    /// Whether a field is signed.
    FieldSigned,
    /// By how many **bits** a 64-bit load of a bitfield is shifted left.
    ShiftLeft,
    /// By how many **bits** it is then shifted right.
    ShiftRight,
    /// `bpf_core_type_id_local`: the type's number in the object.
    TypeIdLocal,
    /// `bpf_core_type_id_kernel`: its number in the kernel.
    TypeIdTarget,
    /// `bpf_core_type_exists`.
    TypeExists,
    /// `bpf_core_type_size`, in **bytes**.
    TypeSize,
    /// `bpf_core_enum_value_exists`.
    EnumExists,
    /// `bpf_core_enum_value`.
    EnumValue,
    /// `bpf_core_type_matches`.
    TypeMatches,
}

use CoreKind::{
    EnumExists, EnumValue, FieldExists, FieldOffset, FieldSigned, FieldSize, ShiftLeft, ShiftRight,
    TypeExists, TypeIdLocal, TypeIdTarget, TypeMatches, TypeSize,
};

/// Every kind in the kernel's order, with what it asks.
const KINDS: &[(CoreKind, &str)] = &[
    (FieldOffset, "offset of"),
    (FieldSize, "size of"),
    (FieldExists, "existence of"),
    (FieldSigned, "signedness of"),
    (ShiftLeft, "left shift of"),
    (ShiftRight, "right shift of"),
    (TypeIdLocal, "local type id of"),
    (TypeIdTarget, "kernel's type id of"),
    (TypeExists, "existence of"),
    (TypeSize, "size of"),
    (EnumExists, "existence of"),
    (EnumValue, "value of"),
    (TypeMatches, "match of"),
];

impl CoreKind {
    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        KINDS.get(crate::bytes::to_usize(number)).map(|(kind, _)| *kind)
    }

    const fn is_about_field(self) -> bool {
        matches!(self, FieldOffset | FieldSize | FieldExists | FieldSigned | ShiftLeft | ShiftRight)
    }

    const fn is_about_type(self) -> bool {
        matches!(self, TypeIdLocal | TypeIdTarget | TypeExists | TypeSize | TypeMatches)
    }
}

impl CoreKind {
    /// What it asks, as people write it: `offset of`.
    fn words(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("?", |(_, text)| text)
    }
}

impl fmt::Display for CoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// The answer to a record: what becomes of its instruction. What was asked is said by [`question`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fixup {
    /// The answer.
    pub answer: Answer,
    /// The type of the kernel that gave it; `None` if none did.
    pub from: Option<Location>,
}

/// What becomes of an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It gets another number.
    Value {
        /// What the object's own types say, and so the instruction, if `certain`.
        local: u64,
        /// What the kernel's types say.
        target: u64,
        /// Whether the compiler must have come to the same `local`.
        certain: bool,
        /// How the size of a memory access changes.
        resize: Resize,
    },
    /// It cannot work on this kernel: if it is ever reached, the verifier is to refuse the program.
    Poison {
        /// Why: what the kernel lacks, or has otherwise.
        why: Arc<str>,
    },
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { local, target, resize, .. } => {
                write!(f, "{local} -> {target}")?;
                match resize {
                    Resize::Keep => Ok(()),
                    Resize::To { from, to } => write!(f, ", {from} bytes -> {to} bytes"),
                    Resize::Wrong { from, to } => {
                        write!(f, ", where {to} bytes cannot be read as {from}")
                    }
                }
            }
            Self::Poison { why } => write!(f, "{why}"),
        }
    }
}

/// How the size of a memory access changes with the type of the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resize {
    /// It stays.
    Keep,
    /// From so many **bytes** to so many: both are pointers or unsigned integers.
    To {
        /// **Bytes** in the object's types.
        from: u32,
        /// **Bytes** in the kernel's.
        to: u32,
    },
    /// The sizes differ, and the compiler's code for the one would be wrong for the other.
    Wrong {
        /// **Bytes** in the object's types.
        from: u32,
        /// **Bytes** in the kernel's.
        to: u32,
    },
}

/// Why a record cannot be answered at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// The record itself makes no sense.
    #[error("CO-RE relocation: {question}: the record is damaged: {why}")]
    Record {
        /// What is asked, as far as it can be told.
        question: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A kind that this crate does not know.
    #[error("CO-RE relocation of kind {kind}, which this version does not know")]
    Kind {
        /// Its number.
        kind: u32,
    },
    /// A type without a name cannot be looked for in a kernel.
    #[error("CO-RE relocation: {question}: a type without a name cannot be found in the kernel")]
    Anonymous {
        /// What is asked.
        question: String,
    },
    /// No types to compare with.
    #[error(
        "CO-RE relocation: {question}: the kernel shows no types (needs Linux 5.4 with CONFIG_DEBUG_INFO_BTF): give them with --btf FILE"
    )]
    NoTypes {
        /// What is asked.
        question: String,
    },
    /// Several types of the kernel have the name and the answers differ.
    #[error(
        "CO-RE relocation: {question}: several types of the kernel may be meant, and they disagree: {first}, {second}"
    )]
    Ambiguous {
        /// What is asked.
        question: String,
        /// One answer, and whose it is.
        first: String,
        /// Another.
        second: String,
    },
    /// The types are nested so deep that the comparison was given up.
    #[error(
        "CO-RE relocation: {question}: the types refer to each other without end, or to types that do not exist"
    )]
    Endless {
        /// What is asked.
        question: String,
    },
    /// The types are so many that the comparison was given up.
    #[error(
        "CO-RE relocation: this object's questions lead through so many types that looking at them was given up"
    )]
    TooMuch,
    /// The question has no answer for such a field.
    #[error("CO-RE relocation: {question}: {why}")]
    Unanswerable {
        /// What is asked.
        question: String,
        /// Why.
        why: &'static str,
    },
    /// The instruction is not what the record says.
    #[error("CO-RE relocation: {question}: the instruction {why}")]
    Instruction {
        /// What is asked.
        question: String,
        /// What is wrong with the instruction.
        why: String,
    },
}
