//! Several files: how they became one object.

use serde::Serialize;

/// How several files became one object.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Join {
    /// The files, in order.
    pub files: Vec<JoinedFile>,
    /// Sections of the whole, and what of them is from which file.
    pub sections: Vec<JoinedSection>,
    /// Names that several files know, and those that nobody defines.
    pub names: Vec<JoinedName>,
    /// Number of names that only the file knows that defines them.
    pub other_names: u32,
    /// Number of types in all files together, without `void`.
    pub types_before: u32,
    /// Number of types of the whole: of those that are the same one is kept, and of a name what defines it.
    pub types: u32,
}

/// A file that is joined.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinedFile {
    /// Its path, as it was given.
    pub path: String,
    /// Its size in **bytes**.
    pub bytes: u64,
    /// Number of its sections that are part of what is loaded.
    pub sections: u32,
    /// Number of its symbols.
    pub symbols: u32,
    /// Number of its types, without `void`.
    pub types: u32,
}

/// A section of the whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinedSection {
    /// Its name.
    pub name: String,
    /// Its size in **bytes**.
    pub size: u64,
    /// Its parts, in order.
    pub parts: Vec<JoinedPart>,
}

/// What of a section is from one file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinedPart {
    /// Index of the file.
    pub file: u32,
    /// Where it begins, in **bytes** from the start of the section.
    pub start: u64,
    /// How many **bytes** it has.
    pub size: u64,
    /// **Bytes** of nothing before it, so that it begins where it must (`sh_addralign`).
    pub padding: u64,
    /// Whether it is left out, since an earlier file says the same: licence and version.
    pub repeated: bool,
}

/// A name that several files know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinedName {
    /// The name.
    pub name: String,
    /// Index of the file whose definition counts; none if nobody defines it.
    pub defined_in: Option<u32>,
    /// Who knows it.
    pub mentions: Vec<NameMention>,
    /// Why that is so, in a sentence.
    pub why: String,
}

/// What a file knows of a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NameMention {
    /// Index of the file.
    pub file: u32,
    /// What it does with the name: `declares`, `defines`; of weak symbols `weakly declares`, `weakly defines`.
    pub does: String,
    /// Where the definition stands in the file: section and **bytes** from its start.
    pub place: Option<String>,
    /// Whether it is a definition that another one took the place of: nothing refers to it any more.
    pub beaten: bool,
    /// Whether the file hides the name (`__hidden`): then the whole does.
    pub hidden: bool,
}
