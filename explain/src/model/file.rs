//! The file: header, sections, symbols.

use serde::Serialize;

/// What stands in the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct File {
    /// Fields of the header that matter, in order.
    pub header: Vec<HeaderField>,
    /// What its section `license` says.
    pub license: Option<String>,
    /// All sections.
    pub sections: Vec<Section>,
    /// Symbols that name a map, a variable, a function or something outside; not labels, files and sections.
    pub symbols: Vec<Symbol>,
    /// Number of symbols that are left out.
    pub other_symbols: u32,
}

/// A field of the ELF header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeaderField {
    /// Its name: `e_machine`.
    pub name: String,
    /// Where it stands, in **bytes** from the file's start.
    pub offset: u32,
    /// Its bytes, as hexadecimal digits.
    pub bytes: String,
    /// What they say.
    pub meaning: String,
}

/// A section, and what it is to the loader.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Section {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Where its bytes stand, in **bytes** from the file's start.
    pub offset: u64,
    /// How many **bytes** they are.
    pub size: u64,
    /// How many **bytes** they are decompressed, if they were compressed.
    pub decompressed: Option<u64>,
    /// Flags: `alloc`, `write`, `code`, `compressed`.
    pub flags: Vec<String>,
    /// What it is to the loader.
    pub role: String,
    /// By which rule.
    pub why: String,
    /// How many relocations change it.
    pub relocations: u32,
}

/// A symbol that matters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Symbol {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The section that it is defined in; none for externs.
    pub section: Option<String>,
    /// **Bytes** from the section's start.
    pub value: u64,
    /// Its size in **bytes**; 0 where the compiler did not say.
    pub size: u64,
    /// `function`, `object` or `none`.
    pub kind: String,
    /// `local`, `global` or `weak`.
    pub binding: String,
    /// What it names: `map_fd[0]`, `prog_fd[1]`, a variable, an extern.
    pub names: String,
}
