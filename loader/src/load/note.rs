//! What the kernel refused although a load could do without it.

use std::fmt;

use crate::spec::SpecError;
use crate::sys::{Errno, Log};
use crate::uapi::ProgType;
use crate::verifier::explain_types;

/// Something that the kernel refused and that the load did without.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Note {
    /// The object's types. Maps and programs were loaded without types and lines of C.
    Btf {
        /// Why.
        errno: Errno,
        /// What the kernel wrote about it.
        log: Log,
    },
    /// The object's types, which nobody could understand.
    Types {
        /// Why.
        why: SpecError,
    },
    /// The types of a map's keys and values. The map was created without them.
    MapTypes {
        /// The map.
        map: String,
        /// Why.
        errno: Errno,
    },
    /// The map's definition leaves the number of entries open.
    SizeGiven {
        /// The map.
        map: String,
        /// What it got.
        max_entries: u32,
    },
    /// Nobody says what the inner maps of a map look like, and one was made up.
    InnerMadeUp {
        /// The program for which it was, if only for one: the kernel had refused it with another.
        program: Option<String>,
        /// The outer map.
        map: String,
        /// What its inner maps look like in that case.
        inner: String,
    },
    /// Nobody said the program's type, or the kernel did not take what its section's name begins with.
    TypeFound {
        /// The program.
        program: String,
        /// Its section.
        section: String,
        /// As what the kernel took it.
        ty: ProgType,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Btf { errno, log } => {
                write!(f, "loaded without types and source lines: BPF_BTF_LOAD failed: {errno}")?;
                match explain_types(&log.text) {
                    None => Ok(()),
                    Some(refusal) if refusal.why.is_none() => write!(f, ": {refusal}"),
                    Some(refusal) => write!(f, ": {}; {refusal}", refusal.message),
                }
            }
            Self::Types { why } => write!(f, "loaded without types and source lines: {why}"),
            Self::SizeGiven { map, max_entries } => write!(
                f,
                "map {map:?}: its definition leaves the number of entries open; created with {max_entries} (--map {map}=ENTRIES says another)"
            ),
            Self::InnerMadeUp { program, map, inner } => {
                match program {
                    Some(program) => {
                        write!(f, "program {program:?} was taken with other inner maps of {map:?}")?
                    }
                    None => {
                        write!(f, "map {map:?}: its definition does not say what its inner maps look like")?;
                    }
                }
                write!(f, "; made up: {inner}")
            }
            Self::TypeFound { program, section, ty } => write!(
                f,
                "program {program:?}: section {section:?} does not say its type; found by trying: {ty} (--type {program}=TYPE says another)"
            ),
            Self::MapTypes { map, errno } => {
                write!(f, "map {map:?} was created without types: BPF_MAP_CREATE with them failed: {errno}")
            }
        }
    }
}
