//! Where the fields of an ELF file's tables stand, for tests that damage them.
//!
//! Source: `Elf64_Ehdr`, `Elf64_Shdr`, `Elf64_Sym`, `Elf64_Rel`. All numbers are **bytes**; files are little-endian.

use rxdp_loader::elf;

const SECTION: usize = 64;
pub(crate) const SH_TYPE: usize = 4;
pub(crate) const SH_OFFSET: usize = 24;
pub(crate) const SH_SIZE: usize = 32;
const SYMBOL: usize = 24;
pub(crate) const ST_NAME: usize = 0;
pub(crate) const ST_INFO: usize = 4;
pub(crate) const ST_VALUE: usize = 8;
pub(crate) const ST_SIZE: usize = 16;
pub(crate) const REL: usize = 16;
pub(crate) const R_INFO: usize = 8;
const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_NOBITS: u32 = 8;

/// The 64-bit number that stands there.
pub(crate) fn number(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
}

/// The header of the section of this name.
pub(crate) fn section(bytes: &[u8], name: &str) -> usize {
    let idx = elf::parse(bytes).unwrap().section_named(name).unwrap().idx;
    sections(bytes) + usize::try_from(idx.0).unwrap() * SECTION
}

/// The entry of the symbol of this name.
pub(crate) fn symbol(bytes: &[u8], name: &str) -> usize {
    let ty = |at: usize| u32::from_le_bytes(bytes[at + SH_TYPE..at + SH_TYPE + 4].try_into().unwrap());
    let symtab = (0..).map(|n| sections(bytes) + n * SECTION).find(|at| ty(*at) == SHT_SYMTAB).unwrap();
    let idx = elf::parse(bytes).unwrap().symbols.iter().find(|s| s.name == name).unwrap().idx;
    number(bytes, symtab + SH_OFFSET) + usize::try_from(idx.0).unwrap() * SYMBOL
}

/// The object with other bytes in one section, which moves to the end of the file.
pub(crate) fn with_section(object: &[u8], name: &str, bytes: &[u8]) -> Vec<u8> {
    let header = section(object, name);
    let mut out = object.to_vec();
    for (field, value) in [(SH_OFFSET, object.len()), (SH_SIZE, bytes.len())] {
        out[header + field..][..8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    out.extend(bytes);
    out
}

fn sections(bytes: &[u8]) -> usize {
    number(bytes, 0x28)
}
