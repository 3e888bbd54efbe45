//! Why files cannot be joined: one variant a cause, each with the files that it is in.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::spec::SpecError;

/// Why files cannot be joined.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No files.
    #[error("there are no files to join")]
    Nothing,
    /// One of them is no object file.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: Box<SpecError>,
    },
    /// What they became cannot be understood.
    #[error(transparent)]
    Whole(Box<SpecError>),
    /// They are for machines of different byte order.
    #[error("{one} and {other} are of different byte order: compile both for bpfel, or both for bpfeb")]
    ByteOrder {
        /// A file.
        one: String,
        /// A file of the other byte order.
        other: String,
    },
    /// Sections of one name hold different kinds of things.
    #[error("section {section:?} is {one} and {other}: give one of them another name")]
    Section {
        /// The section.
        section: String,
        /// What it is in a file.
        one: Box<Said>,
        /// What it is in another.
        other: Box<Said>,
    },
    /// They have different licences, or are for different kernel versions.
    #[error("section {section:?} says {one} and {other}: files that are joined need the same")]
    Differs {
        /// `license` or `version`.
        section: String,
        /// What a file says.
        one: Box<Said>,
        /// What another says.
        other: Box<Said>,
    },
    /// A part of a section is to be aligned so that most of the whole would be padding.
    #[error(
        "section {section:?} of {file} begins at a multiple of {align} bytes: joined, all sections together may have {limit} bytes of padding"
    )]
    Padding {
        /// The section.
        section: String,
        /// The file whose part needs too much.
        file: String,
        /// What its beginning is to be a multiple of, in **bytes**.
        align: u64,
        /// How many **bytes** of padding there may be in all sections.
        limit: u64,
    },
    /// A name is defined twice.
    #[error("{symbol:?} is defined in {one} and in {other}: make one of them static, or weak (__weak)")]
    Duplicate {
        /// The symbol.
        symbol: String,
        /// A file.
        one: String,
        /// Another file.
        other: String,
    },
    /// A name means different things.
    #[error("{symbol:?} is of different types in {one} and in {other}: {why}")]
    Type {
        /// The symbol.
        symbol: String,
        /// A file.
        one: String,
        /// Another file.
        other: String,
        /// How they differ, in this order.
        why: String,
    },
    /// A name is looked for in one section and stands in another.
    #[error("{symbol:?} belongs to section {one} and {other}: declare it with one SEC() in both")]
    Place {
        /// The symbol.
        symbol: String,
        /// Its section in a file.
        one: Box<Said>,
        /// Its section in another.
        other: Box<Said>,
    },
}

/// What a file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// The file.
    pub file: String,
    /// What it says.
    pub what: String,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.what, self.file)
    }
}

impl JoinError {
    /// The file is damaged.
    pub(super) fn file(name: &str, why: impl Into<SpecError>) -> Self {
        Self::File { file: name.into(), why: Box::new(why.into()) }
    }
}
