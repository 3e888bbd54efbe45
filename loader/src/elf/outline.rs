//! Which parts of a file must be read: an object compiled with `-g` is debug information (DWARF) for the most part, and
//! nobody here asks about it.
//!
//! In three looks: the first bytes of the file tell where its section table is, that tells where the names of sections are,
//! and those tell the rest. Nothing is judged here; what does not look right has no outline, and is read as a whole.

use alloc::vec::Vec;
use core::ops::Range;

use object::elf::{self, FileHeader64, SectionHeader64};
use object::endian::Endianness;
use object::pod;
use object::read::elf::{FileHeader, SectionHeader};

use crate::bytes::to_usize;

/// Where things stand in an ELF file, in **bytes** from its beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outline {
    endian: Endianness,
    sections: Range<u64>,
    count: usize,
    /// Number of the section with the names of sections.
    names: usize,
}

/// How the names of debug information begin.
const DEBUG: &[u8] = b".debug_";

/// Parts that are closer to each other than this many **bytes** are read as one.
const GAP: u64 = 64;

impl Outline {
    /// **Bytes** of the file's beginning that [`Outline::of`] looks at.
    pub const HEADER: u64 = size_of::<FileHeader64<Endianness>>() as u64;

    /// From the beginning of the file; `None` if it is no 64-bit ELF file with sections.
    pub fn of(first: &[u8]) -> Option<Self> {
        let header = FileHeader64::<Endianness>::parse(first).ok()?;
        let endian = header.endian().ok()?;
        let (start, count) = (header.e_shoff(endian), header.e_shnum(endian));
        let size = size_of::<SectionHeader64<Endianness>>() as u64;
        if start == 0 || count == 0 || u64::from(header.e_shentsize(endian)) != size {
            return None;
        }
        let sections = start..start.checked_add(size.checked_mul(u64::from(count))?)?;
        let names = usize::from(header.e_shstrndx(endian).0);
        Some(Self { endian, sections, count: usize::from(count), names })
    }

    /// Where the section table stands.
    pub fn sections(&self) -> Range<u64> {
        self.sections.clone()
    }

    /// Where the names of the sections stand, from the section table.
    pub fn names(&self, sections: &[u8]) -> Option<Range<u64>> {
        self.place(self.table(sections)?.get(self.names)?)
    }

    /// The parts of the file that must be read, in order: everything but debug information.
    pub fn needed(&self, sections: &[u8], names: &[u8]) -> Option<Vec<Range<u64>>> {
        let table = self.table(sections)?;
        let unread = |section: &SectionHeader64<Endianness>| match section.sh_type(self.endian) {
            elf::SHT_PROGBITS => self.is_debug(section, names),
            elf::SHT_REL | elf::SHT_RELA => {
                let target = table.get(to_usize(section.sh_info(self.endian)));
                target.is_some_and(|target| self.is_debug(target, names))
            }
            _ => false,
        };
        let needed =
            table.iter().filter(|section| !unread(section)).filter_map(|section| self.place(section));
        let mut parts: Vec<Range<u64>> = needed.chain([0..Self::HEADER, self.sections()]).collect();
        parts.sort_by_key(|part| part.start);
        parts.dedup_by(|next, part| {
            let close = next.start <= part.end.saturating_add(GAP);
            if close {
                part.end = part.end.max(next.end);
            }
            close
        });
        Some(parts)
    }

    /// Whether a section holds debug information, which is neither loaded nor code.
    fn is_debug(&self, section: &SectionHeader64<Endianness>, names: &[u8]) -> bool {
        let name = names.get(to_usize(section.sh_name(self.endian))..).unwrap_or_default();
        let flags = section.sh_flags(self.endian);
        let used =
            [elf::SHF_ALLOC, elf::SHF_EXECINSTR, elf::SHF_WRITE].into_iter().any(|flag| flags.contains(flag));
        !used && name.starts_with(DEBUG)
    }

    fn table<'d>(&self, sections: &'d [u8]) -> Option<&'d [SectionHeader64<Endianness>]> {
        pod::slice_from_bytes(sections, self.count).ok().map(|(table, _)| table)
    }

    /// Where a section's bytes stand; `None` if it has none.
    fn place(&self, section: &SectionHeader64<Endianness>) -> Option<Range<u64>> {
        let (offset, size) = section.file_range(self.endian)?;
        Some(offset..offset.checked_add(size)?)
    }
}
