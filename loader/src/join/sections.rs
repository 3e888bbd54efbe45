//! Sections of one name become one, each part aligned as it was in its file.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::symbols::Symbols;
use super::{File, JoinError, name_of, said};
use crate::bytes::{Endian, Reader, to_usize, until_nul};
use crate::elf::{Content, Reloc, Section, SectionIdx};

/// Most **bytes** of padding in all sections together: a number in a file must not take any amount of memory.
const MOST_PADDING: u64 = 1 << 20;

/// Every file has a licence of its own, and they are to agree.
const LICENSE: &str = "license";
/// The same for the kernel version that old objects are for.
const VERSION: &str = "version";

/// The joined sections, and where those of the files went.
pub(super) struct Parts<'d> {
    /// In the order in which they first appear; the empty one that every file begins with is the first here, too.
    pub(super) sections: Vec<Section<'d>>,
    /// The file that each was first seen in.
    owners: Vec<usize>,
    by_name: BTreeMap<&'d str, SectionIdx>,
    /// By file and section. What is not loaded went nowhere.
    pub(super) places: BTreeMap<(usize, SectionIdx), Part>,
    /// **Bytes** of padding that are still free.
    padding: u64,
}

/// Where a file's section went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The joined section.
    pub section: SectionIdx,
    /// Where the part begins there, in **bytes**.
    pub start: u64,
    /// It says what an earlier file's says, which stands for both.
    pub repeated: bool,
}

/// Puts sections of one name behind each other.
pub(super) fn join<'d>(files: &[File<'d>]) -> Result<Parts<'d>, JoinError> {
    let empty = files.iter().filter_map(|file| file.elf.sections.first()).take(1).cloned();
    let mut parts = Parts {
        sections: empty.collect(),
        owners: Vec::from([0]),
        by_name: BTreeMap::new(),
        places: BTreeMap::new(),
        padding: MOST_PADDING,
    };
    for (number, file) in files.iter().enumerate() {
        for section in file.elf.sections.iter().skip(1).filter(|section| is_loaded(section)) {
            let part = match parts.by_name.get(section.name) {
                None => parts.begin(number, section),
                Some(idx) => parts.go_on(files, *idx, number, section)?,
            };
            parts.places.insert((number, section.idx), part);
        }
    }
    Ok(parts)
}

/// Whether a section is part of what is loaded. Types are joined apart from the rest; every file has a `.text`, often an
/// empty one.
fn is_loaded(section: &Section<'_>) -> bool {
    let about_code = [".BTF", ".debug_"].iter().any(|prefix| section.name.starts_with(prefix));
    section.content != Content::Other && !about_code && !(section.executable && section.size == 0)
}

/// What a section holds, in words.
fn content(section: &Section<'_>) -> &'static str {
    match section.content {
        Content::Bytes if section.executable => "code",
        Content::Bytes => "data",
        Content::Zeroes => "zeroes",
        Content::Other => "a table",
    }
}

impl<'d> Parts<'d> {
    /// Where a file's section went.
    pub(super) fn of(&self, file: usize, section: SectionIdx) -> Option<Part> {
        self.places.get(&(file, section)).copied()
    }

    /// Name of a joined section.
    pub(super) fn name(&self, idx: SectionIdx) -> Option<&'d str> {
        self.sections.get(to_usize(idx.0)).map(|section| section.name)
    }

    /// The joined section of this name.
    pub(super) fn named(&self, name: &str) -> Option<SectionIdx> {
        self.by_name.get(name).copied()
    }

    /// A section that no file before has.
    fn begin(&mut self, file: usize, section: &Section<'d>) -> Part {
        let idx = SectionIdx(u32::try_from(self.sections.len()).unwrap_or(u32::MAX));
        self.sections.push(Section { idx, relocs: Vec::new(), symbols: Vec::new(), ..section.clone() });
        self.owners.push(file);
        self.by_name.insert(section.name, idx);
        Part { section: idx, start: 0, repeated: false }
    }

    /// A section that an earlier file has as well.
    fn go_on(
        &mut self,
        files: &[File<'d>],
        idx: SectionIdx,
        file: usize,
        section: &Section<'d>,
    ) -> Result<Part, JoinError> {
        let owner = self.owners.get(to_usize(idx.0)).copied().unwrap_or_default();
        let Some(joined) = self.sections.get_mut(to_usize(idx.0)) else {
            return Ok(self.begin(file, section));
        };
        if content(joined) != content(section) {
            return Err(JoinError::Section {
                section: section.name.to_string(),
                one: said(files, owner, content(joined)),
                other: said(files, file, content(section)),
            });
        }
        if matches!(section.name, LICENSE | VERSION) {
            let endian = files.first().map_or(Endian::NATIVE, |file| file.elf.endian);
            let (one, other) = (says(joined, endian), says(section, endian));
            if one != other {
                return Err(JoinError::Differs {
                    section: section.name.to_string(),
                    one: said(files, owner, one),
                    other: said(files, file, other),
                });
            }
            return Ok(Part { section: idx, start: 0, repeated: true });
        }
        let start = append(joined, section, &mut self.padding).ok_or_else(|| JoinError::Padding {
            section: section.name.to_string(),
            file: name_of(files, file),
            align: section.align,
            limit: MOST_PADDING,
        })?;
        Ok(Part { section: idx, start, repeated: false })
    }
}

/// Puts a section behind another. Returns where it begins, in **bytes**; `None` if that takes too much padding.
fn append(joined: &mut Section<'_>, section: &Section<'_>, padding: &mut u64) -> Option<u64> {
    let align = joined.align.max(section.align).max(1);
    let start = joined.size.checked_next_multiple_of(align)?;
    *padding = padding.checked_sub(start.checked_sub(joined.size)?)?;
    if section.content == Content::Bytes {
        let data = joined.data.to_mut();
        data.resize(usize::try_from(start).ok()?, 0);
        data.extend_from_slice(&section.data);
    }
    // Zeroes may claim to be of any size; who looks at the section says how many are too many.
    (joined.size, joined.align) = (start.saturating_add(section.size), align);
    Some(start)
}

/// What a licence or a version says.
fn says(section: &Section<'_>, endian: Endian) -> String {
    if section.name == LICENSE {
        return until_nul(&section.data);
    }
    let number = Reader::new(&section.data, endian).u32(VERSION);
    number.map_or_else(|_truncated| "nothing".to_string(), |number| number.to_string())
}

/// Gives the joined sections their relocations.
pub(super) fn relocate(files: &[File<'_>], parts: &mut Parts<'_>, symbols: &Symbols<'_>) {
    for (number, file) in files.iter().enumerate() {
        for section in &file.elf.sections {
            let Some(part) = parts.of(number, section.idx).filter(|part| !part.repeated) else {
                continue;
            };
            let moved = section.relocs.iter().filter_map(|reloc| {
                let offset = reloc.offset.checked_add(part.start)?;
                let symbol = symbols.number(number, reloc.symbol)?;
                (!symbols.is_overridden(part.section, offset)).then_some(Reloc { offset, symbol, ..*reloc })
            });
            let moved: Vec<Reloc> = moved.collect();
            if let Some(joined) = parts.sections.get_mut(to_usize(part.section.0)) {
                joined.relocs.extend(moved);
            }
        }
    }
}
