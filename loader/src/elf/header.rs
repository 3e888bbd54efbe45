//! What stands in the headers of a file, for those who want to see it: loading needs little of it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use object::elf;
use object::read::elf::{FileHeader, SectionHeader};

use super::{ElfError, compressed, header, narrow};
use crate::bytes::Endian;

/// The header of a file, and the table of its sections. Source: `Elf64_Ehdr`, `Elf64_Shdr`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers {
    /// Byte order of the file.
    pub endian: Endian,
    /// `e_type`: 1 is a relocatable object.
    pub kind: u16,
    /// `e_machine`: 247 is BPF.
    pub machine: u16,
    /// `e_shoff`: where the section table stands, in **bytes** from the file's start.
    pub sections_at: u64,
    /// `e_shstrndx`: number of the section with the names of sections.
    pub names: u32,
    /// The section table.
    pub sections: Vec<HeaderOfSection>,
}

/// A row of the section table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderOfSection {
    /// Its name.
    pub name: String,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// `sh_offset`: where its bytes stand, in **bytes** from the file's start.
    pub offset: u64,
    /// `sh_size`: how many **bytes** they are.
    pub size: u64,
    /// `sh_info`: for relocations the number of the section that they change.
    pub info: u32,
    /// How it is compressed, if it is: `zlib`, `zstd`.
    pub compression: Option<&'static str>,
}

impl HeaderOfSection {
    /// Whether it holds relocations: `SHT_REL`, `SHT_RELA`.
    pub const fn holds_relocations(&self) -> bool {
        self.kind == elf::SHT_REL.0 || self.kind == elf::SHT_RELA.0
    }

    /// Whether it holds the symbols: `SHT_SYMTAB`.
    pub const fn holds_symbols(&self) -> bool {
        self.kind == elf::SHT_SYMTAB.0
    }

    /// Whether it holds names: `SHT_STRTAB`.
    pub const fn holds_names(&self) -> bool {
        self.kind == elf::SHT_STRTAB.0
    }

    /// Its flags by name: `alloc`, `write`, `code`, `compressed`.
    pub fn flag_words(&self) -> Vec<&'static str> {
        let known = [
            (elf::SHF_ALLOC.0, "alloc"),
            (elf::SHF_WRITE.0, "write"),
            (elf::SHF_EXECINSTR.0, "code"),
            (elf::SHF_COMPRESSED.0, "compressed"),
        ];
        let set = |flag: &u64| self.flags & flag != 0;
        known.iter().filter(|(flag, _)| set(flag)).map(|(_, word)| *word).collect()
    }
}

/// Reads the headers of a file.
///
/// # Errors
/// [`ElfError`]: not an ELF file, not for BPF, or damaged.
pub fn headers(bytes: &[u8]) -> Result<Headers, ElfError> {
    let (header, endian) = header(bytes)?;
    let table = header.sections(endian, bytes).map_err(|e| ElfError::malformed("section table", e))?;
    let one = |raw: &elf::SectionHeader64<_>| {
        let name = table.section_name(endian, raw).map_err(|e| ElfError::malformed("section name", e))?;
        Ok(HeaderOfSection {
            name: core::str::from_utf8(name).unwrap_or("?").to_string(),
            kind: raw.sh_type(endian).0,
            flags: raw.sh_flags(endian).0,
            offset: raw.sh_offset(endian),
            size: raw.sh_size(endian),
            info: raw.sh_info(endian),
            compression: compressed::format(raw, endian, bytes),
        })
    };
    Ok(Headers {
        endian: super::order(endian),
        kind: header.e_type(endian).0,
        machine: header.e_machine(endian).0,
        sections_at: header.e_shoff(endian),
        names: narrow(usize::from(header.e_shstrndx(endian).0)),
        sections: table.iter().map(one).collect::<Result<_, ElfError>>()?,
    })
}
