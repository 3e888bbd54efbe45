//! Where functions start and end, and their code.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::SpecError;
use super::calls::Targets;
use crate::bytes::{Endian, to_usize};
use crate::elf::{Binding, Content, ElfObject, Section, SectionIdx, Symbol, SymbolKind};
use crate::insn::{ByteOff, Insn};

/// A function found in the symbol table.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) section: SectionIdx,
    pub(super) name: String,
    /// **Bytes** from the section's start.
    pub(super) start: u32,
    /// First **byte** behind it.
    pub(super) end: u32,
    /// Visible outside of its file.
    pub(super) global: bool,
    /// Global, but hidden: static once the file is complete.
    pub(super) hidden: bool,
}

/// Whether a section holds programs: its flags decide, not its name.
pub(super) fn holds_code(section: &Section<'_>) -> bool {
    section.executable && section.content == Content::Bytes && !section.data.is_empty()
}

/// All functions, by section and offset.
pub(super) fn find(elf: &ElfObject<'_>) -> Result<Vec<Place>, SpecError> {
    let mut places = Vec::new();
    let targets = Targets::find(elf);
    for section in elf.sections.iter().filter(|s| holds_code(s)) {
        if section.data.len() % Insn::SIZE != 0 {
            return Err(SpecError::CodeSize { section: section.name.to_string(), size: section.size });
        }
        places.extend(in_section(elf, section, &targets)?);
    }
    Ok(places)
}

fn in_section(
    elf: &ElfObject<'_>,
    section: &Section<'_>,
    targets: &Targets,
) -> Result<Vec<Place>, SpecError> {
    let names = |s: &&Symbol<'_>| names_function(s) || targets.lead_to(s);
    let mut symbols: Vec<_> = elf.symbols_in(section).filter(names).cloned().collect();
    symbols.extend(targets.unnamed(section, &symbols));
    // Two names for one place (an alias) are one function; the global name is the one that is called.
    symbols.sort_by_key(|s| (s.value, s.binding == Binding::Local));
    symbols.dedup_by_key(|s| s.value);
    if symbols.is_empty() {
        return Ok(Vec::from([whole_section(section)]));
    }
    let next_start = symbols.iter().skip(1).map(|s| s.value).chain([section.size]);
    let mut end = 0;
    let mut places = Vec::with_capacity(symbols.len());
    for (symbol, next) in symbols.iter().zip(next_start) {
        let place = place(section, symbol, next)?;
        if place.start < end {
            return Err(out_of_range(section, symbol));
        }
        end = place.end;
        places.push(place);
    }
    Ok(places)
}

/// Old compilers leave the type of functions open; local symbols without a type are jump labels (`LBB0_1`),
/// unless somebody calls them.
fn names_function(symbol: &Symbol<'_>) -> bool {
    match symbol.kind {
        SymbolKind::Function => true,
        SymbolKind::None => symbol.binding != Binding::Local && !symbol.name.is_empty(),
        SymbolKind::Object | SymbolKind::Section | SymbolKind::Other => false,
    }
}

fn place(section: &Section<'_>, symbol: &Symbol<'_>, next: u64) -> Result<Place, SpecError> {
    let end = if symbol.size == 0 { Some(next) } else { symbol.value.checked_add(symbol.size) };
    match (u32::try_from(symbol.value), end.and_then(|end| u32::try_from(end).ok())) {
        (Ok(start), Some(end))
            if start < end && u64::from(end) <= section.size && start % 8 == 0 && end % 8 == 0 =>
        {
            Ok(Place {
                section: section.idx,
                name: symbol.name.to_string(),
                start,
                end,
                global: symbol.binding != Binding::Local,
                hidden: symbol.hidden,
            })
        }
        _ => Err(out_of_range(section, symbol)),
    }
}

fn out_of_range(section: &Section<'_>, symbol: &Symbol<'_>) -> SpecError {
    SpecError::FunctionRange {
        section: section.name.to_string(),
        function: symbol.name.to_string(),
        offset: symbol.value,
    }
}

/// A section whose function has no symbol: one program, named after the section.
fn whole_section(section: &Section<'_>) -> Place {
    Place {
        section: section.idx,
        name: section.name.to_string(),
        start: 0,
        end: u32::try_from(section.data.len()).unwrap_or(u32::MAX),
        global: true,
        hidden: false,
    }
}

/// The function's instructions.
pub(super) fn code(section: &Section<'_>, place: &Place, endian: Endian) -> Vec<Insn> {
    let decode = if endian == Endian::Big { Insn::from_be } else { Insn::from_le };
    let bytes = section.data.get(to_usize(place.start)..to_usize(place.end)).unwrap_or_default();
    bytes.chunks_exact(Insn::SIZE).filter_map(|slot| slot.try_into().ok()).map(decode).collect()
}

impl Place {
    /// Where it starts.
    pub(super) const fn offset(&self) -> ByteOff {
        ByteOff(self.start)
    }

    /// Whether this position of its section lies in it.
    pub(super) const fn contains(&self, at: u64) -> bool {
        self.start as u64 <= at && at < self.end as u64
    }
}
