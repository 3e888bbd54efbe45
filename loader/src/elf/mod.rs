//! The ELF file as BPF sees it: sections, symbols and relocations, borrowed from the file's bytes.
//!
//! The only room that imports the `object` crate; none of its types leaves. It knows what a symbol is, but not
//! what a map or a program is: giving sections a meaning is the work of [`crate::spec`].
//!
//! Source: the System V ABI, and for BPF's relocation types `Documentation/bpf/llvm_reloc.rst`.

mod compressed;
mod executable;
mod header;
mod outline;
mod relocs;
mod symbols;
mod types;

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{FileHeader, SectionHeader, SectionTable};

use crate::bytes::Endian;

use compressed::Budget;
pub use compressed::MOST_DECOMPRESSED;
pub use executable::functions;
pub use header::{HeaderOfSection, Headers, headers};
pub use outline::Outline;
pub use relocs::Reloc;
pub use symbols::{Binding, Place, Symbol, SymbolKind};
pub use types::types_of;

/// Number of a section in the file's section table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SectionIdx(pub u32);

/// Number of a symbol in the file's symbol table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SymbolIdx(pub u32);

/// A BPF object file, taken apart. Everything is borrowed from the file's bytes but what had to be decompressed, or was put
/// together from several files ([`crate::join`]).
#[derive(Clone, Debug)]
pub struct ElfObject<'d> {
    /// Byte order of the code and data in it.
    pub endian: Endian,
    /// All sections, by [`SectionIdx`]. The first is always the empty one.
    pub sections: Vec<Section<'d>>,
    /// All symbols, by [`SymbolIdx`]. The first is always the empty one.
    pub symbols: Vec<Symbol<'d>>,
}

/// One section.
#[derive(Clone, Debug)]
pub struct Section<'d> {
    /// Its place in the section table.
    pub idx: SectionIdx,
    /// Its name.
    pub name: &'d str,
    /// What it holds.
    pub content: Content,
    /// `SHF_EXECINSTR`: the section holds code.
    pub executable: bool,
    /// `SHF_WRITE`: the section may be written to.
    pub writable: bool,
    /// Its bytes, decompressed; none for [`Content::Zeroes`] and for compressed sections that nobody reads.
    pub data: Cow<'d, [u8]>,
    /// Size in **bytes**, decompressed, also where it has no bytes in the file.
    pub size: u64,
    /// Its bytes begin at a multiple of so many **bytes**; 0 and 1 leave it open.
    pub align: u64,
    /// Relocations against this section, by offset. Read only for sections that are loaded (`SHF_ALLOC`).
    pub relocs: Vec<Reloc>,
    /// The symbols defined in it, by value.
    pub symbols: Vec<SymbolIdx>,
}

/// What kind of content a section has. Source: `sh_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// `SHT_PROGBITS`: bytes.
    Bytes,
    /// `SHT_NOBITS`: zeroes that take no room in the file.
    Zeroes,
    /// Anything else: tables of the format itself, notes, nothing.
    Other,
}

/// Why a file is not a BPF object that can be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The file does not begin like an ELF file.
    #[error("not an ELF file: compile the program with `clang -target bpf -c`")]
    NotElf,
    /// A 32-bit ELF file; BPF objects are 64-bit.
    #[error("a 32-bit ELF file, but BPF objects are 64-bit: compile with `clang -target bpf`")]
    NotElf64,
    /// Machine code for something else.
    #[error("an ELF file for machine {machine}, not for BPF (247): compile with `clang -target bpf`")]
    NotBpf {
        /// `e_machine`.
        machine: u16,
    },
    /// An executable or a shared library.
    #[error("an ELF file of type {kind}, not a relocatable object (1): compile with `clang -target bpf -c`")]
    NotRelocatable {
        /// `e_type`.
        kind: u16,
    },
    /// There is no symbol table, so nothing in the file has a name.
    #[error(
        "no symbol table: the object was stripped with `strip -s`; `llvm-strip -g` keeps what loading needs"
    )]
    NoSymbolTable,
    /// An ELF file that was given for its types has none.
    #[error("it has no section \".BTF\": give a file with types, such as /sys/kernel/btf/vmlinux")]
    NoTypes,
    /// A table or section does not fit the file.
    #[error("malformed ELF file: {what}: {reason}")]
    Malformed {
        /// What was being read.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The section is compressed with something else than zlib and zstd.
    #[error(
        "section {section:?} is compressed in a way that is not known ({ty}; zlib is 1, zstd is 2): decompress it, or compile without compression"
    )]
    UnknownCompression {
        /// The section's name.
        section: String,
        /// `ch_type`.
        ty: u32,
    },
    /// What is compressed is damaged, or has another size than it says.
    #[error(
        "section {section:?} is damaged: decompressed with {format}, it does not give the {size} bytes that it says"
    )]
    Compressed {
        /// The section's name.
        section: String,
        /// How it is compressed.
        format: &'static str,
        /// The size it says, in **bytes**.
        size: usize,
    },
    /// Decompressed, the sections would need too much memory.
    #[error(
        "section {section:?} says that it has {size} bytes when decompressed; all sections together may have {MOST_DECOMPRESSED}: decompress it with `llvm-objcopy --compress-sections={section}=none`"
    )]
    Decompressed {
        /// The section's name.
        section: String,
        /// The size it says, in **bytes**.
        size: u64,
    },
}

impl ElfError {
    fn malformed(what: impl Into<String>, reason: impl core::fmt::Display) -> Self {
        Self::Malformed { what: what.into(), reason: reason.to_string() }
    }
}

/// Reads an ELF file.
///
/// # Errors
/// [`ElfError`]: not an ELF file, not for BPF, or damaged.
pub fn parse(bytes: &[u8]) -> Result<ElfObject<'_>, ElfError> {
    let (header, endian) = header(bytes)?;
    let table = header.sections(endian, bytes).map_err(|e| ElfError::malformed("section table", e))?;

    let symbols = symbols::read(&table, endian, bytes)?;
    let mut budget = Budget::new();
    let mut sections = Vec::with_capacity(table.len());
    for (idx, raw) in table.enumerate() {
        let name = table.section_name(endian, raw).map_err(|e| ElfError::malformed("section name", e))?;
        let name = core::str::from_utf8(name).map_err(|e| ElfError::malformed("section name", e))?;
        let data = data(&table, endian, name, raw, bytes, &mut budget)?;
        sections.push(section(SectionIdx(narrow(idx.0)), name, raw, endian, data));
    }
    no_overlap(&table, endian, &sections)?;
    relocs::read(&table, endian, symbols.len(), &mut sections)?;

    Ok(ElfObject::assemble(order(endian), sections, symbols))
}

impl<'d> ElfObject<'d> {
    /// An object of these sections and symbols, whose numbers are their positions.
    pub fn assemble(endian: Endian, mut sections: Vec<Section<'d>>, symbols: Vec<Symbol<'d>>) -> Self {
        symbols::sort_into(&symbols, &mut sections);
        Self { endian, sections, symbols }
    }

    /// The section with this number.
    pub fn section(&self, idx: SectionIdx) -> Option<&Section<'d>> {
        self.sections.get(crate::bytes::to_usize(idx.0))
    }

    /// The first section of this name.
    pub fn section_named(&self, name: &str) -> Option<&Section<'d>> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// The symbol with this number.
    pub fn symbol(&self, idx: SymbolIdx) -> Option<&Symbol<'d>> {
        self.symbols.get(crate::bytes::to_usize(idx.0))
    }

    /// The symbols that are defined in a section, by value.
    pub fn symbols_in(&self, section: &Section<'d>) -> impl Iterator<Item = &Symbol<'d>> {
        section.symbols.iter().filter_map(|idx| self.symbol(*idx))
    }
}

fn header(bytes: &[u8]) -> Result<(&FileHeader64<Endianness>, Endianness), ElfError> {
    if bytes.is_empty() {
        return Err(ElfError::Empty);
    }
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err(ElfError::NotElf);
    }
    if bytes.get(4) == Some(&elf::ELFCLASS32.0) {
        return Err(ElfError::NotElf64);
    }
    let malformed = |e| ElfError::malformed("file header", e);
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(malformed)?;
    let endian = header.endian().map_err(malformed)?;
    // LLVM before BPF had a machine number left it at 0 (EM_NONE); libbpf takes that too.
    let machine = header.e_machine(endian);
    if machine != elf::EM_BPF && machine != elf::EM_NONE {
        return Err(ElfError::NotBpf { machine: machine.0 });
    }
    let kind = header.e_type(endian);
    if kind != elf::ET_REL {
        return Err(ElfError::NotRelocatable { kind: kind.0 });
    }
    Ok((header, endian))
}

/// The byte order in this crate's words.
const fn order(endian: Endianness) -> Endian {
    match endian {
        Endianness::Big => Endian::Big,
        Endianness::Little => Endian::Little,
    }
}

fn section<'d>(
    idx: SectionIdx,
    name: &'d str,
    raw: &elf::SectionHeader64<Endianness>,
    endian: Endianness,
    data: Cow<'d, [u8]>,
) -> Section<'d> {
    let flags = raw.sh_flags(endian);
    let content = match raw.sh_type(endian) {
        elf::SHT_PROGBITS => Content::Bytes,
        elf::SHT_NOBITS => Content::Zeroes,
        _ => Content::Other,
    };
    Section {
        idx,
        name,
        content,
        executable: flags.contains(elf::SHF_EXECINSTR),
        writable: flags.contains(elf::SHF_WRITE),
        size: if content == Content::Zeroes { raw.sh_size(endian) } else { data.len() as u64 },
        data,
        align: raw.sh_addralign(endian),
        relocs: Vec::new(),
        symbols: Vec::new(),
    }
}

/// The bytes of a section, decompressed where somebody reads them: what is loaded, its relocations, and types.
fn data<'d>(
    table: &SectionTable<'_, FileHeader64<Endianness>>,
    endian: Endianness,
    name: &str,
    raw: &elf::SectionHeader64<Endianness>,
    bytes: &'d [u8],
    budget: &mut Budget,
) -> Result<Cow<'d, [u8]>, ElfError> {
    let flags = raw.sh_flags(endian);
    if !flags.contains(elf::SHF_COMPRESSED) {
        return raw.data(endian, bytes).map(Cow::Borrowed).map_err(|e| ElfError::malformed(name, e));
    }
    let loaded = flags.contains(elf::SHF_ALLOC);
    if loaded || name.starts_with(".BTF") || relocs::of_loaded_section(table, endian, raw) {
        return budget.decompress(name, raw, endian, bytes).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(&[]))
}

/// Sections that share bytes would be read once for each, so a small file could ask for any amount of memory.
fn no_overlap(
    table: &SectionTable<'_, FileHeader64<Endianness>>,
    endian: Endianness,
    sections: &[Section<'_>],
) -> Result<(), ElfError> {
    let there = table.iter().zip(sections).filter(|(_, s)| s.content == Content::Bytes);
    let range = |(raw, s)| (SectionHeader::sh_offset(raw, endian), SectionHeader::sh_size(raw, endian), s);
    let mut ranges: Vec<(u64, u64, &Section<'_>)> =
        there.map(range).filter(|(_, size, _)| *size > 0).collect();
    ranges.sort_by_key(|(offset, ..)| *offset);
    let mut before: Option<(u64, &str)> = None;
    for (offset, size, section) in ranges {
        if let Some((_, other)) = before.filter(|(end, _)| *end > offset) {
            let reason = alloc::format!("it overlaps section {other:?}");
            return Err(ElfError::malformed(alloc::format!("section {:?}", section.name), reason));
        }
        before = Some((offset.saturating_add(size), section.name));
    }
    Ok(())
}

/// Section and symbol numbers are 32 bits wide in the file, so nothing is lost.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_an_object_is_named() {
        assert_eq!(parse(b"").unwrap_err(), ElfError::Empty);
        assert_eq!(parse(b"#!/bin/sh\n").unwrap_err(), ElfError::NotElf);
        assert_eq!(parse(b"\x7fELF\x01\x01\x01").unwrap_err(), ElfError::NotElf64);
        assert!(matches!(parse(b"\x7fELF\x02\x01\x01").unwrap_err(), ElfError::Malformed { .. }));
    }

    #[test]
    fn machine_code_for_something_else_is_refused() {
        let mut header = [0; 64];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        header[16] = 1;
        header[18] = 62;
        assert_eq!(parse(&header).unwrap_err(), ElfError::NotBpf { machine: 62 });
        header[18] = 247;
        header[16] = 2;
        assert_eq!(parse(&header).unwrap_err(), ElfError::NotRelocatable { kind: 2 });
    }
}
