//! What a relocation means: a map, a variable, a function, or something outside of the object.
//!
//! The instruction and the symbol's section decide, never the relocation's number, which LLVM changed over time.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::function::Place;
use super::{FuncId, MapId, Reloc, RelocTarget, SpecError};
use crate::bytes::to_usize;
use crate::elf::{self, Binding, ElfObject, Section, SectionIdx, Symbol};
use crate::insn::{ByteOff, Insn, InsnIdx};
use crate::uapi::pseudo;

/// What stands where in the object.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// Maps by section and offset in **bytes**.
    pub(super) maps: BTreeMap<(SectionIdx, u64), MapId>,
    /// Sections that are maps as a whole.
    pub(super) data: BTreeMap<SectionIdx, MapId>,
    /// Functions by section and offset in **bytes**.
    pub(super) functions: BTreeMap<(SectionIdx, u64), FuncId>,
}

/// The references of one function's code: from relocations, and from calls that the compiler resolved itself.
pub(super) fn references(
    elf: &ElfObject<'_>,
    dir: &Directory,
    section: &Section<'_>,
    place: &Place,
    code: &[Insn],
) -> Result<Vec<Reloc>, SpecError> {
    let start = section.relocs.partition_point(|r| r.offset < u64::from(place.start));
    let here = section.relocs.iter().skip(start).take_while(|r| place.contains(r.offset));
    let mut found = BTreeMap::new();
    for raw in here {
        let (at, target) = one(elf, dir, section, place, code, raw)?;
        found.insert(at, target);
    }
    let calls = calls_inside_section(dir, section, place, code, &found);
    found.extend(calls);
    Ok(found.into_iter().map(|(at, target)| Reloc { at, target }).collect())
}

fn one(
    elf: &ElfObject<'_>,
    dir: &Directory,
    section: &Section<'_>,
    place: &Place,
    code: &[Insn],
    raw: &elf::Reloc,
) -> Result<(InsnIdx, RelocTarget), SpecError> {
    let symbol = elf.symbol(raw.symbol);
    let wrong = |why: String| SpecError::Relocation {
        section: section.name.to_string(),
        function: Some(place.name.clone()),
        offset: raw.offset,
        symbol: symbol.map(|s| display_name(elf, s)).unwrap_or_default(),
        why,
    };
    let Some(symbol) = symbol else {
        return Err(wrong("the symbol does not exist".to_string()));
    };
    let in_function = raw.offset.saturating_sub(u64::from(place.start));
    let at = u32::try_from(in_function).ok().and_then(|off| InsnIdx::from_bytes(ByteOff(off)));
    let Some((at, insn)) = at.and_then(|at| Some((at, *code.get(at.index())?))) else {
        return Err(wrong("it points into the middle of an instruction".to_string()));
    };
    let target = if insn.is_call() {
        call(dir, symbol, insn, raw)
    } else if insn.is_ld_imm64() {
        address(elf, dir, symbol, insn, raw)
    } else {
        Err(format!("the instruction {insn:?} is neither a call nor a 64-bit load"))
    };
    let symbol = display_name(elf, symbol);
    Ok((at, target.unwrap_or_else(|why| RelocTarget::Broken { symbol, why })))
}

/// A call carries the distance from the symbol in its immediate, minus one slot.
fn call(dir: &Directory, symbol: &Symbol<'_>, insn: Insn, raw: &elf::Reloc) -> Result<RelocTarget, String> {
    let elf::Place::Section(section) = symbol.place else {
        return external(symbol);
    };
    let slots = i64::from(insn.imm).saturating_add(1);
    let offset = slots.checked_mul(8).and_then(|bytes| bytes.checked_add(raw.addend));
    let target = offset.and_then(|off| symbol.value.checked_add_signed(off));
    let func = target.and_then(|target| dir.functions.get(&(section, target)));
    func.map(|func| RelocTarget::Call(*func))
        .ok_or_else(|| "no function starts where the call leads".to_string())
}

/// A 64-bit load carries the distance from the symbol in **bytes** in its immediate.
fn address(
    elf: &ElfObject<'_>,
    dir: &Directory,
    symbol: &Symbol<'_>,
    insn: Insn,
    raw: &elf::Reloc,
) -> Result<RelocTarget, String> {
    let elf::Place::Section(section) = symbol.place else {
        return external(symbol);
    };
    let addend = i64::from(insn.imm).saturating_add(raw.addend);
    let Some(offset) = symbol.value.checked_add_signed(addend) else {
        return Err("it leads before the section's start".to_string());
    };
    if let Some(map) = dir.maps.get(&(section, offset)) {
        return Ok(RelocTarget::Map(*map));
    }
    if let Some(map) = dir.data.get(&section) {
        let size = elf.section(section).map_or(0, |s| s.size);
        // One byte behind the last one is where a loop over an array ends.
        return match u32::try_from(offset) {
            Ok(offset) if u64::from(offset) <= size => Ok(RelocTarget::MapValue { map: *map, offset }),
            _ => Err(format!("it leads to byte {offset} of a section of {size} bytes")),
        };
    }
    if let Some(func) = dir.functions.get(&(section, offset)) {
        return Ok(RelocTarget::FunctionAddress(*func));
    }
    let name = elf.section(section).map_or("?", |s| s.name);
    Err(format!("byte {offset} of section {name:?} is neither a map, nor a variable, nor a function"))
}

fn external(symbol: &Symbol<'_>) -> Result<RelocTarget, String> {
    match symbol.place {
        elf::Place::Undefined if !symbol.name.is_empty() => {
            Ok(RelocTarget::Extern { name: symbol.name.to_string(), weak: symbol.binding == Binding::Weak })
        }
        elf::Place::Undefined | elf::Place::Section(_) | elf::Place::Elsewhere => {
            Err("the symbol is defined nowhere".to_string())
        }
    }
}

/// Calls to static functions of the same section have no relocation: the compiler knew the distance.
fn calls_inside_section(
    dir: &Directory,
    section: &Section<'_>,
    place: &Place,
    code: &[Insn],
    relocated: &BTreeMap<InsnIdx, RelocTarget>,
) -> Vec<(InsnIdx, RelocTarget)> {
    let mut calls = Vec::new();
    for (at, insn) in (0u32..).map(InsnIdx).zip(code) {
        if !insn.is_call() || insn.src != pseudo::CALL || relocated.contains_key(&at) {
            continue;
        }
        let here = at.plus(place.start / 8);
        let target = here.and_then(|here| here.call_target(insn.imm)).and_then(ByteOff::of_slot);
        let func = target.and_then(|off| dir.functions.get(&(section.idx, u64::from(off.0))));
        let nowhere =
            || RelocTarget::Broken { symbol: String::new(), why: "no function starts there".to_string() };
        calls.push((at, func.map_or_else(nowhere, |func| RelocTarget::Call(*func))));
    }
    calls
}

/// Section symbols have no name of their own.
fn display_name(elf: &ElfObject<'_>, symbol: &Symbol<'_>) -> String {
    let section = match symbol.place {
        elf::Place::Section(idx) => elf.sections.get(to_usize(idx.0)),
        elf::Place::Undefined | elf::Place::Elsewhere => None,
    };
    let name = if symbol.name.is_empty() { section.map_or("", |s| s.name) } else { symbol.name };
    name.to_string()
}
