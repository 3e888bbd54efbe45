//! The sum of the rooms' errors, for callers who load in one go.

use std::path::{Path, PathBuf};

use crate::join::JoinError;
use crate::load::LoadError;
use crate::spec::{SpecError, TargetError};
use crate::sys::Errno;
use crate::sys::tracefs::TraceError;
use crate::uapi::MapType;

/// Why an object file could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path:?}: {errno}{}", hint(*errno))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The file is larger than any object.
    #[error("{path:?} has more than {limit} bytes, which no object file has")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How many **bytes** are read at most.
        limit: u64,
    },
    /// The file cannot be understood.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Several files cannot be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The object cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The object has nothing of this name.
    #[error("it has no {what} {name:?}; {there_are}")]
    NotInObject {
        /// `"map"`, `"program"`, `"global variable"`, `"data section"`, `"struct_ops map"` or `"member of its table"`.
        what: &'static str,
        /// The name.
        name: String,
        /// What it has.
        there_are: String,
    },
    /// A member of a table of functions that is for something else.
    #[error("map {map:?}, member {member}: {why}")]
    Member {
        /// The map.
        map: String,
        /// The member.
        member: String,
        /// Why.
        why: &'static str,
    },
    /// A program cannot attach to what was given.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Contents that do not fit a global variable or a section of them.
    #[error("{what} {name:?} has {expected} bytes, and {given} were given")]
    DataSize {
        /// `"global variable"` or `"data section"`.
        what: &'static str,
        /// The name.
        name: String,
        /// Its **bytes**.
        expected: usize,
        /// **Bytes** that were given.
        given: usize,
    },
    /// An inner map for a map that holds none.
    #[error("map {map:?} ({ty}) has no inner maps; those of type array_of_maps and hash_of_maps have")]
    HoldsNoMaps {
        /// The map.
        map: String,
        /// Its type.
        ty: MapType,
    },
    /// Trace output cannot be shown.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Trace output ended.
    #[error("cannot read trace output: {0}")]
    TraceRead(Errno),
}

impl Error {
    /// A file that could not be read.
    pub fn open(path: &Path, error: &std::io::Error) -> Self {
        Self::Open { path: path.to_path_buf(), errno: Errno::from_io(error) }
    }
}

fn hint(errno: Errno) -> &'static str {
    match errno.0 {
        libc::ENOENT => " (there is no such file)",
        libc::EISDIR => " (it is a directory)",
        libc::EACCES => " (permission denied)",
        _ => "",
    }
}
