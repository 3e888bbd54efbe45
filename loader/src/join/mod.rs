//! Several object files become one, as a linker makes one of them.
//!
//! Sections of one name are put behind each other, symbols find their definitions in other files, types become one
//! graph. What comes out is an [`ElfObject`] and its [`Types`], so that whatever stands behind this stage knows nothing
//! of several files. Not a byte of code changes: a symbol says where it is, and each file keeps its own symbols for what
//! is private to it.
//!
//! Source: `bpftool gen object`, libbpf `linker.c`.

mod agree;
mod error;
mod graph;
mod names;
mod sections;
mod symbols;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::elf::{self, ElfObject, SectionIdx};
use crate::spec::{self, Dialects, ObjectSpec, Types};

pub use error::{JoinError, Said};
pub use sections::Part;
pub use symbols::{Global, Mention};

/// An object file that is to be joined with others.
#[derive(Clone, Debug)]
pub struct File<'d> {
    /// What it is called in errors.
    pub name: &'d str,
    /// Its sections and symbols.
    pub elf: ElfObject<'d>,
    /// Its types.
    pub types: Types,
}

/// What files became.
#[derive(Clone, Debug)]
pub struct Joined<'d> {
    /// Sections and symbols of all of them.
    pub elf: ElfObject<'d>,
    /// Types of all of them.
    pub types: Types,
    /// Where each section of each file went, by the number of the file and that of the section in it. What is not loaded
    /// went nowhere.
    pub parts: BTreeMap<(usize, SectionIdx), Part>,
    /// Names that other files can mean, and which of those who know one counts.
    pub names: BTreeMap<&'d str, Global>,
}

impl<'d> File<'d> {
    /// Reads a file. `name` is what it is called in errors.
    ///
    /// # Errors
    /// [`JoinError::File`]: no BPF object file, or damaged.
    pub fn parse(name: &'d str, bytes: &'d [u8]) -> Result<Self, JoinError> {
        let elf = elf::parse(bytes).map_err(|why| JoinError::file(name, why))?;
        let types = spec::types(&elf).map_err(|why| JoinError::file(name, why))?;
        Ok(Self { name, elf, types })
    }
}

impl Joined<'_> {
    /// What all of it means. `name` is the name of the whole.
    ///
    /// # Errors
    /// [`JoinError::Whole`]: the first thing that cannot be understood.
    pub fn collect(self, name: &str, dialects: Dialects) -> Result<ObjectSpec, JoinError> {
        let whole = spec::collect_with(&self.elf, self.types, name, dialects);
        whole.map_err(|why| JoinError::Whole(Box::new(why)))
    }
}

/// Reads files, each with what it is called in errors.
///
/// # Errors
/// As [`File::parse`].
pub fn parse<'d>(files: &[(&'d str, &'d [u8])]) -> Result<Vec<File<'d>>, JoinError> {
    files.iter().map(|(name, bytes)| File::parse(name, bytes)).collect()
}

/// Joins files, in this order: what the first has stands first.
///
/// # Errors
/// [`JoinError`]: what does not fit together, and which files it is in.
pub fn join<'d>(files: &[File<'d>]) -> Result<Joined<'d>, JoinError> {
    let first = files.first().ok_or(JoinError::Nothing)?;
    if let Some(other) = files.iter().find(|file| file.elf.endian != first.elf.endian) {
        return Err(JoinError::ByteOrder { one: first.name.into(), other: other.name.into() });
    }
    let mut parts = sections::join(files)?;
    let symbols = symbols::join(files, &parts)?;
    let types = graph::join(files, &parts, &symbols)?;
    sections::relocate(files, &mut parts, &symbols);
    let elf = ElfObject::assemble(first.elf.endian, parts.sections, symbols.symbols);
    Ok(Joined { elf, types, parts: parts.places, names: symbols.globals })
}

/// The name of the file with this number.
fn name_of(files: &[File<'_>], number: usize) -> String {
    files.get(number).map_or("?", |file| file.name).into()
}

/// What the file with this number says.
fn said(files: &[File<'_>], number: usize, what: impl Into<String>) -> Box<Said> {
    Box::new(Said { file: name_of(files, number), what: what.into() })
}

/// One for each file, by number of the file.
type ByFile<T> = Vec<T>;
