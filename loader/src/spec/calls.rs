//! Where calls lead: starts of functions that the symbol table does not tell.
//!
//! Old compilers leave the type of static functions open, as they do for jump labels, and `strip -x` takes their symbols
//! away. The calls are still there, and a call leads to the start of a function.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::function::holds_code;
use crate::bytes::{Endian, to_usize};
use crate::elf::{Binding, ElfObject, Place, Reloc, Section, SectionIdx, Symbol, SymbolIdx, SymbolKind};
use crate::insn::{ByteOff, Insn, InsnIdx};
use crate::uapi::pseudo;

/// Places that are called or whose address is taken, by section and offset in **bytes**.
#[derive(Debug)]
pub(super) struct Targets(BTreeSet<(SectionIdx, u64)>);

impl Targets {
    /// Looks through all code.
    pub(super) fn find(elf: &ElfObject<'_>) -> Self {
        let mut found = BTreeSet::new();
        for section in elf.sections.iter().filter(|s| holds_code(s)) {
            let relocated: BTreeSet<u64> = section.relocs.iter().map(|raw| raw.offset).collect();
            found.extend(section.relocs.iter().filter_map(|raw| relocation(elf, section, raw)));
            for (at, insn) in (0u32..).map(InsnIdx).zip(code(elf, section)) {
                let offset = ByteOff::of_slot(at).map(|off| u64::from(off.0));
                if insn.is_call()
                    && insn.src == pseudo::CALL
                    && offset.is_some_and(|at| !relocated.contains(&at))
                {
                    let target = at.call_target(insn.imm).and_then(ByteOff::of_slot);
                    found.extend(target.map(|target| (section.idx, u64::from(target.0))));
                }
            }
        }
        Self(found)
    }

    /// Whether a symbol without a type names a function.
    pub(super) fn lead_to(&self, symbol: &Symbol<'_>) -> bool {
        let untyped = symbol.kind == SymbolKind::None && !symbol.name.is_empty();
        match symbol.place {
            Place::Section(section) => untyped && self.0.contains(&(section, symbol.value)),
            Place::Undefined | Place::Elsewhere => false,
        }
    }

    /// Functions of a section that no symbol names, as symbols that go by the section's name.
    ///
    /// `named` are those with a name, by offset. A target inside of a function whose size is known is no start: such a call is broken.
    pub(super) fn unnamed<'d>(&self, section: &Section<'d>, named: &[Symbol<'d>]) -> Vec<Symbol<'d>> {
        let all = self.0.range((section.idx, 0)..=(section.idx, u64::MAX)).map(|(_, at)| *at);
        let is_start = |at: &u64| {
            let before =
                named.partition_point(|s| s.value <= *at).checked_sub(1).and_then(|last| named.get(last));
            let covered = before.is_some_and(|s| s.value == *at || s.value.saturating_add(s.size) > *at);
            *at < section.size && at % 8 == 0 && !covered
        };
        let starts: Vec<u64> = all.filter(is_start).collect();
        // Without any symbol, the section's program stands at its beginning.
        let program = (named.is_empty() && !starts.is_empty()).then_some((0, Binding::Global));
        let functions = starts.into_iter().map(|at| (at, Binding::Local));
        let symbol = |(value, binding)| Symbol {
            idx: SymbolIdx(0),
            name: section.name,
            place: Place::Section(section.idx),
            value,
            size: 0,
            kind: SymbolKind::Function,
            binding,
            hidden: false,
        };
        program.into_iter().chain(functions).map(symbol).collect()
    }
}

/// Where a relocated call or 64-bit load leads, if that is code.
fn relocation(elf: &ElfObject<'_>, section: &Section<'_>, raw: &Reloc) -> Option<(SectionIdx, u64)> {
    let symbol = elf.symbol(raw.symbol)?;
    let Place::Section(target) = symbol.place else {
        return None;
    };
    elf.section(target).filter(|target| holds_code(target))?;
    let at = to_usize(u32::try_from(raw.offset).ok()?);
    let insn = decode(elf, section.data.get(at..)?.first_chunk()?);
    let distance = match (insn.is_call(), insn.is_ld_imm64()) {
        (true, _) => i64::from(insn.imm).checked_add(1)?.checked_mul(8)?,
        (_, true) => i64::from(insn.imm),
        (false, false) => return None,
    };
    Some((target, symbol.value.checked_add_signed(distance.checked_add(raw.addend)?)?))
}

fn code(elf: &ElfObject<'_>, section: &Section<'_>) -> impl Iterator<Item = Insn> {
    section.data.chunks_exact(Insn::SIZE).filter_map(|slot| Some(decode(elf, slot.first_chunk()?)))
}

fn decode(elf: &ElfObject<'_>, slot: &[u8; 8]) -> Insn {
    if elf.endian == Endian::Big { Insn::from_be(*slot) } else { Insn::from_le(*slot) }
}
