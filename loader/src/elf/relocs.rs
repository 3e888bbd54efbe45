//! Relocation tables: which place of a section refers to which symbol.

use alloc::format;
use alloc::vec::Vec;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{SectionHeader, SectionTable};

use super::{ElfError, Section, SymbolIdx};
use crate::bytes::to_usize;

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
    bytes: &[u8],
    symbols: usize,
    sections: &mut [Section<'_>],
) -> Result<(), ElfError> {
    for header in table.iter() {
        let target = header.sh_info(endian);
        let malformed = |e| ElfError::malformed("relocation section", e);
        let mut found: Vec<Reloc> = Vec::new();
        if !targets_loaded_section(table, endian, header, target) {
            continue;
        }
        if let Some((rel, _)) = header.rel(endian, bytes).map_err(malformed)? {
            found.extend(rel.iter().map(|r| Reloc {
                offset: r.r_offset.get(endian),
                symbol: SymbolIdx(r.r_sym(endian)),
                addend: 0,
            }));
        } else if let Some((rela, _)) = header.rela(endian, bytes).map_err(malformed)? {
            found.extend(rela.iter().map(|r| Reloc {
                offset: r.r_offset.get(endian),
                symbol: SymbolIdx(r.r_sym(endian, false)),
                addend: r.r_addend.get(endian),
            }));
        }
        let Some(section) = sections.get_mut(to_usize(target)) else {
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

fn targets_loaded_section(
    table: &SectionTable<'_, FileHeader64<Endianness>>,
    endian: Endianness,
    header: &elf::SectionHeader64<Endianness>,
    target: u32,
) -> bool {
    matches!(header.sh_type(endian), elf::SHT_REL | elf::SHT_RELA)
        && table
            .section(object::SectionIndex(to_usize(target)))
            .is_ok_and(|section| section.sh_flags(endian).0 & elf::SHF_ALLOC.0 != 0)
}
