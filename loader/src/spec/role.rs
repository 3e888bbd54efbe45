//! What each section of a file is to the loader, and why: for those who want to see it.
//!
//! Asked on demand, with the same questions that [`collect`](super::collect) asks; loading does not come here.

use alloc::vec::Vec;

use super::collect::{is_text, only_text};
use super::{btf_map, data, function, legacy_map, struct_ops};
use crate::elf::{ElfObject, Section};

/// What a section is to the loader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Code of entry programs.
    Programs,
    /// Code that programs call.
    Subprograms,
    /// Maps, defined by numbers.
    MapNumbers,
    /// Maps, defined by types.
    MapTypes,
    /// Tables of functions that the kernel calls.
    StructOps,
    /// Global variables that programs may write.
    Variables,
    /// Global variables that programs may only read.
    Constants,
    /// Variables that stand in an arena.
    Arena,
    /// The licence.
    License,
    /// The kernel version that the programs were built for.
    Version,
    /// Types.
    Types,
    /// Where functions, lines and CO-RE records stand in the code.
    TypesOfCode,
    /// Nothing: it is for code that programs call, and there is none.
    NoSubprograms,
    /// Nothing: there is nothing in it.
    Empty,
    /// Nothing.
    Unused,
}

impl Role {
    /// What it is, in a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Programs => "programs",
            Self::Subprograms => "subprograms",
            Self::MapNumbers => "map definitions (numbers)",
            Self::MapTypes => "map definitions (types)",
            Self::StructOps => "tables of functions",
            Self::Variables => "variables",
            Self::Constants => "constants",
            Self::Arena => "variables of the arena",
            Self::License => "licence",
            Self::Version => "kernel version",
            Self::Types => "types (BTF)",
            Self::TypesOfCode => "types of code (BTF.ext)",
            Self::NoSubprograms | Self::Empty => "empty",
            Self::Unused => "not used",
        }
    }

    /// The rule that gives a section this role.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Programs => {
                "it holds code (SHF_EXECINSTR) and is not .text: its functions are entry programs"
            }
            Self::Subprograms => "it holds code and is called .text: its functions are called by programs",
            Self::MapNumbers => {
                "its name begins with \"maps\" or ends with \"/maps\", and it holds bytes, no code: \
                 each data symbol is one map"
            }
            Self::MapTypes => {
                "its name is \".maps\": each variable is one map, and its type is the definition"
            }
            Self::StructOps => "its name is .struct_ops or .struct_ops.link: each variable is one map",
            Self::Variables => "its name begins with .data or .bss: it becomes one map with one value",
            Self::Constants => {
                "its name begins with .rodata: it becomes one map with one value, which is then frozen"
            }
            Self::Arena => "its name is .addr_space.1: it fills the beginning of the arena",
            Self::License => "its name is \"license\": the kernel is told what it says",
            Self::Version => "its name is \"version\": older kernels compare it for kprobes",
            Self::Types => "its name is .BTF: names and types of variables, functions and maps",
            Self::TypesOfCode => {
                "its name is .BTF.ext: which function, source line or CO-RE record belongs to which instruction"
            }
            Self::NoSubprograms => {
                "it is called .text, for functions that programs call, and this object has none there"
            }
            Self::Empty => "it has no bytes",
            Self::Unused => "it holds no code, and its name means nothing to the loader",
        }
    }
}

/// The roles of all sections, by their numbers.
pub fn roles(elf: &ElfObject<'_>) -> Vec<Role> {
    let only_text = only_text(elf);
    elf.sections.iter().map(|section| role(section, only_text)).collect()
}

fn role(section: &Section<'_>, only_text: bool) -> Role {
    if function::holds_code(section) {
        let text = is_text(section.name) && !only_text;
        return if text { Role::Subprograms } else { Role::Programs };
    }
    if legacy_map::holds_maps(section) {
        return Role::MapNumbers;
    }
    if struct_ops::flags_of(section).is_some() {
        return Role::StructOps;
    }
    if let Some(read_only) = data::read_only(section) {
        return if read_only { Role::Constants } else { Role::Variables };
    }
    match section.name {
        btf_map::SECTION if section.size > 0 => Role::MapTypes,
        data::ARENA => Role::Arena,
        "license" => Role::License,
        "version" => Role::Version,
        ".BTF" => Role::Types,
        ".BTF.ext" => Role::TypesOfCode,
        _ if section.size == 0 && is_text(section.name) => Role::NoSubprograms,
        _ if section.size == 0 => Role::Empty,
        _ => Role::Unused,
    }
}
