//! Why an object's meaning cannot be told: one variant a cause, each with its place.

use alloc::string::String;

use crate::btf::BtfError;
use crate::elf::ElfError;

/// Why an object's meaning cannot be told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// It is no BPF object file.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// Its BTF is damaged, and something needs it.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// A section of code is not made of whole instructions.
    #[error("section {section:?}: {size} bytes of code are no whole number of 8-byte instructions")]
    CodeSize {
        /// The section.
        section: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A function reaches beyond its section or into the next function, or starts in the middle of an instruction.
    #[error(
        "function {function:?} at byte {offset} of section {section:?} does not lie on instructions of its own"
    )]
    FunctionRange {
        /// The section.
        section: String,
        /// The function.
        function: String,
        /// Where it starts, in bytes.
        offset: u64,
    },
    /// A section's size makes no sense.
    #[error("section {section:?} has {size} bytes, {expected}")]
    SectionSize {
        /// The section.
        section: String,
        /// Its size in bytes.
        size: u64,
        /// What was expected.
        expected: &'static str,
    },
    /// A legacy map definition that is too short.
    #[error(
        "map {map:?}: a definition of {size} bytes in SEC(\"maps\"); it has at least 16: type, sizes of key and value, entries"
    )]
    MapDefinitionSize {
        /// The map.
        map: String,
        /// The definition's size in bytes.
        size: u64,
    },
    /// Words behind the known fields of a legacy map definition are not zero.
    #[error(
        "map {map:?}: a definition of {size} bytes has words that are not zero behind the fields that are known: an unknown dialect"
    )]
    MapDefinitionTail {
        /// The map.
        map: String,
        /// The definition's size in bytes.
        size: u64,
    },
    /// A map definition in `.maps` that cannot be understood.
    #[error("map {map:?} in section \".maps\": {why}")]
    MapDefinition {
        /// The map.
        map: String,
        /// What is wrong.
        why: String,
    },
    /// `SEC(".struct_ops")` without BTF.
    #[error("section \".struct_ops\" needs BTF to be understood, and the object has none: compile with -g")]
    StructOpsWithoutBtf,
    /// A table of functions that cannot be understood.
    #[error("map {map:?} in section {section:?}: {why}")]
    StructOps {
        /// The variable.
        map: String,
        /// Its section.
        section: String,
        /// What is wrong.
        why: String,
    },
    /// A map in `SEC(".maps")` without BTF.
    #[error(
        "map {map:?}: section \".maps\" needs BTF to be understood, and the object has none: compile with -g"
    )]
    MapWithoutBtf {
        /// The map.
        map: String,
    },
    /// A relocation that cannot be understood.
    #[error("section {section:?}, byte {offset:#x}{}: relocation against {symbol:?}: {why}", in_function(.function))]
    Relocation {
        /// The section of code.
        section: String,
        /// The function, where known.
        function: Option<String>,
        /// Where, in bytes from the section's start.
        offset: u64,
        /// The symbol it refers to.
        symbol: String,
        /// What is wrong.
        why: String,
    },
}

fn in_function(function: &Option<String>) -> String {
    function.as_ref().map(|name| alloc::format!(" (function {name:?})")).unwrap_or_default()
}
