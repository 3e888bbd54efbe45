//! The symbol table: names for places in sections.

use alloc::vec::Vec;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{SectionTable, Sym};

use super::{ElfError, Section, SectionIdx, SymbolIdx, narrow};
use crate::bytes::to_usize;

/// One symbol.
#[derive(Clone, Debug)]
pub struct Symbol<'d> {
    /// Its place in the symbol table.
    pub idx: SymbolIdx,
    /// Its name; empty for most section symbols.
    pub name: &'d str,
    /// Where it is defined.
    pub place: Place,
    /// For a symbol in a section: **bytes** from the section's start.
    pub value: u64,
    /// Size in **bytes**; 0 where the compiler did not say.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Who can see it.
    pub binding: Binding,
    /// `STV_HIDDEN` or `STV_INTERNAL`: global in the file, static for everybody else.
    pub hidden: bool,
}

/// Where a symbol is defined. Source: `st_shndx`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nowhere in this file: an extern.
    Undefined,
    /// In this section.
    Section(SectionIdx),
    /// `SHN_ABS`, `SHN_COMMON` and other places that are no section.
    Elsewhere,
}

/// What a symbol names. Source: `STT_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SymbolKind {
    /// `STT_NOTYPE`: the compiler did not say (externs, labels, functions of old objects).
    None,
    /// `STT_OBJECT`: data.
    Object,
    /// `STT_FUNC`: code.
    Function,
    /// `STT_SECTION`: the section itself.
    Section,
    /// `STT_FILE` and the rest.
    Other,
}

/// Who can see a symbol. Source: `STB_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binding {
    /// `static` in C.
    Local,
    /// Visible to other files.
    Global,
    /// Visible, and may be replaced or missing.
    Weak,
}

pub(super) fn read<'d>(
    table: &SectionTable<'d, FileHeader64<Endianness>>,
    endian: Endianness,
    bytes: &'d [u8],
) -> Result<Vec<Symbol<'d>>, ElfError> {
    let malformed = |e| ElfError::malformed("symbol table", e);
    let symbols = table.symbols(endian, bytes, elf::SHT_SYMTAB).map_err(malformed)?;
    if symbols.is_empty() {
        return Err(ElfError::NoSymbolTable);
    }
    let mut read = Vec::with_capacity(symbols.len());
    for (idx, raw) in symbols.enumerate() {
        let name = symbols.symbol_name(endian, raw).map_err(malformed)?;
        let name = core::str::from_utf8(name).map_err(|e| ElfError::malformed("symbol name", e))?;
        let section = symbols.symbol_section(endian, raw, idx).map_err(malformed)?;
        read.push(Symbol {
            idx: SymbolIdx(narrow(idx.0)),
            name,
            place: match section {
                Some(section) if section.0 < table.len() => Place::Section(SectionIdx(narrow(section.0))),
                Some(_) => return Err(ElfError::malformed(name, "the symbol's section does not exist")),
                None if raw.is_undefined(endian) => Place::Undefined,
                None => Place::Elsewhere,
            },
            value: raw.st_value(endian),
            size: raw.st_size(endian),
            kind: match raw.st_type() {
                elf::STT_NOTYPE => SymbolKind::None,
                elf::STT_OBJECT => SymbolKind::Object,
                elf::STT_FUNC => SymbolKind::Function,
                elf::STT_SECTION => SymbolKind::Section,
                _ => SymbolKind::Other,
            },
            binding: match raw.st_bind() {
                elf::STB_LOCAL => Binding::Local,
                elf::STB_WEAK => Binding::Weak,
                _ => Binding::Global,
            },
            hidden: matches!(raw.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
        });
    }
    Ok(read)
}

/// Gives each section the list of its symbols, so that nobody has to search the whole table for them.
pub(super) fn sort_into(symbols: &[Symbol<'_>], sections: &mut [Section<'_>]) {
    let mut by_value: Vec<&Symbol<'_>> = symbols.iter().collect();
    by_value.sort_by_key(|symbol| symbol.value);
    for symbol in by_value {
        let Place::Section(section) = symbol.place else {
            continue;
        };
        if let Some(section) = sections.get_mut(to_usize(section.0)) {
            section.symbols.push(symbol.idx);
        }
    }
}
