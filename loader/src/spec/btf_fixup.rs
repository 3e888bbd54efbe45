//! What clang leaves open in BTF and the kernel wants to know: sizes and offsets of data sections, and which
//! functions and variables are static after all.
//!
//! Source: libbpf `btf_fixup_datasec`, `bpf_object__finalize_btf`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::function::Place;
use crate::btf::{Editor, Kind, Linkage, TypeId, TypeReason};
use crate::elf::{self, Binding, ElfObject, Section, Symbol};

/// Fills in the open places.
pub(super) fn apply(types: &mut Editor<'_>, elf: &ElfObject<'_>, functions: &[Place]) {
    let symbols = ByName::of(elf.symbols.iter().filter(|s| s.binding != Binding::Local));
    let hidden: BTreeSet<&str> = functions.iter().filter(|f| f.hidden).map(|f| f.name.as_str()).collect();
    for id in (0u32..).map(TypeId).take(types.btf().types.len()) {
        // Names are looked at only where they matter: an object may have many types.
        match types.btf().kind(id) {
            Some(Kind::Datasec { .. }) => {
                // Sections of externs (`.ksyms`, `.kconfig`) are in no file.
                if let Some(section) = elf.section_named(&types.btf().name(id)) {
                    data_section(types, id, section, &symbols);
                }
            }
            Some(Kind::Func { linkage: Linkage::GLOBAL, .. })
                if hidden.contains(types.btf().name(id).as_ref()) =>
            {
                make_static(types, id);
            }
            _ => {}
        }
    }
}

fn data_section(types: &mut Editor<'_>, id: TypeId, section: &Section<'_>, symbols: &ByName<'_, '_>) {
    let Some(Kind::Datasec { size, mut vars }) = types.btf().kind(id).cloned() else {
        return;
    };
    for var in &mut vars {
        // clang writes the offsets of static variables, whose names need not be unique, and leaves out the others.
        if matches!(types.btf().kind(var.var), Some(Kind::Var { linkage: Linkage::STATIC, .. })) {
            continue;
        }
        let symbol = symbols.get(&types.btf().name(var.var));
        let Some(symbol) = symbol.filter(|s| s.place == elf::Place::Section(section.idx)) else {
            continue;
        };
        if let Ok(offset) = u32::try_from(symbol.value) {
            var.offset = offset;
        }
        if symbol.hidden {
            make_static(types, var.var);
        }
    }
    // The kernel wants them by offset; clang writes them in the order of their names' first use.
    vars.sort_by_key(|var| var.offset);
    let size = if size == 0 { u32::try_from(section.size).unwrap_or(u32::MAX) } else { size };
    types.set(id, Kind::Datasec { size, vars }, TypeReason::Section);
}

/// Hidden symbols are static for the world outside of the file, and the kernel verifies static functions with
/// what their callers know.
fn make_static(types: &mut Editor<'_>, id: TypeId) {
    types.set_linkage(id, Linkage::STATIC, TypeReason::Hidden);
}

/// Symbols by the hash of their names, then by name. Thousands of variables ask for thousands of symbols, and names that
/// begin alike are compared at length; numbers are not.
struct ByName<'s, 'd>(Vec<(u64, &'s Symbol<'d>)>);

impl<'s, 'd> ByName<'s, 'd> {
    fn of(symbols: impl Iterator<Item = &'s Symbol<'d>>) -> Self {
        let mut all: Vec<_> = symbols.map(|symbol| (hash(symbol.name), symbol)).collect();
        all.sort_by_key(|(hash, _)| *hash);
        // Different names of one hash are made on purpose, by the thousand: they must not cost more either.
        for alike in all.chunk_by_mut(|(one, _), (other, _)| one == other) {
            alike.sort_by_key(|(_, symbol)| symbol.name);
        }
        Self(all)
    }

    /// The symbol of this name; the last, if there are several.
    fn get(&self, name: &str) -> Option<&'s Symbol<'d>> {
        let wanted = (hash(name), name);
        let end = self.0.partition_point(|(hash, symbol)| (*hash, symbol.name) <= wanted);
        let (_, symbol) = self.0.get(end.checked_sub(1)?)?;
        (symbol.name == name).then_some(*symbol)
    }
}

/// Source: FNV-1a, 64 bits.
fn hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
