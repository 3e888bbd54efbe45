//! Relocation tables: which place of a section refers to which symbol.

use alloc::format;
use alloc::vec::Vec;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{SectionHeader, SectionTable};

use super::{ElfError, Section, SymbolIdx, order};
use crate::bytes::{Endian, Reader, Truncated, to_usize};

/// One relocation.
///
/// The relocation's *type* is left out on purpose: LLVM renumbered them (in LLVM 13) and the instruction at the
/// place says everything that the type says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reloc {
    /// Where, in **bytes** from the section's start.
    pub offset: u64,
    /// What the place refers to.
    pub symbol: SymbolIdx,
    /// What is added to the symbol's value, in **bytes**; 0 where the addend stands in the place itself (`SHT_REL`).
    pub addend: i64,
}

/// Reads the tables for sections that are loaded. Those for debug information are many and nobody asks.
pub(super) fn read(
    table: &SectionTable<'_, FileHeader64<Endianness>>,
    endian: Endianness,
    symbols: usize,
    sections: &mut [Section<'_>],
) -> Result<(), ElfError> {
    for (at, header) in table.iter().enumerate() {
        if !of_loaded_section(table, endian, header) {
            continue;
        }
        let has_addends = header.sh_type(endian) == elf::SHT_RELA;
        let mut found = match sections.get(at) {
            Some(section) => entries(section, order(endian), has_addends)?,
            None => continue,
        };
        let Some(section) = sections.get_mut(to_usize(header.sh_info(endian))) else {
            continue;
        };
        if let Some(bad) = found.iter().find(|r| to_usize(r.symbol.0) >= symbols) {
            let what = format!("relocation of section {:?} at {:#x}", section.name, bad.offset);
            return Err(ElfError::malformed(what, format!("symbol {} does not exist", bad.symbol.0)));
        }
        section.relocs.append(&mut found);
        section.relocs.sort_by_key(|r| r.offset);
    }
    Ok(())
}

/// Whether a section is a table of relocations against a section that is loaded.
pub(super) fn of_loaded_section(
    table: &SectionTable<'_, FileHeader64<Endianness>>,
    endian: Endianness,
    header: &elf::SectionHeader64<Endianness>,
) -> bool {
    let target = object::SectionIndex(to_usize(header.sh_info(endian)));
    matches!(header.sh_type(endian), elf::SHT_REL | elf::SHT_RELA)
        && table.section(target).is_ok_and(|section| section.sh_flags(endian).contains(elf::SHF_ALLOC))
}

/// The entries of a table, from the section's bytes: those in the file may be compressed.
fn entries(section: &Section<'_>, endian: Endian, with_addends: bool) -> Result<Vec<Reloc>, ElfError> {
    let mut reader = Reader::new(&section.data, endian);
    let mut found = Vec::new();
    while !reader.is_empty() {
        found.push(entry(&mut reader, with_addends).map_err(|e| ElfError::malformed(section.name, e))?);
    }
    Ok(found)
}

fn entry(reader: &mut Reader<'_>, with_addend: bool) -> Result<Reloc, Truncated> {
    let offset = reader.u64("a relocation's place")?;
    let symbol = reader.u64("a relocation's symbol")? >> 32;
    let addend = if with_addend { reader.i64("a relocation's addend")? } else { 0 };
    Ok(Reloc { offset, symbol: SymbolIdx(u32::try_from(symbol).unwrap_or(u32::MAX)), addend })
}
