//! What clang leaves open in BTF and the kernel wants to know: sizes and offsets of data sections, and which
//! functions and variables are static after all.
//!
//! Source: libbpf `btf_fixup_datasec`, `bpf_object__finalize_btf`.

use alloc::collections::BTreeMap;

use super::function::Place;
use crate::btf::{Btf, Kind, Linkage, TypeId};
use crate::elf::{ElfObject, Symbol, SymbolKind};

/// Fills in the open places.
pub(super) fn apply(btf: &mut Btf, elf: &ElfObject<'_>, functions: &[Place]) {
    let named = elf.symbols.iter().filter(|s| matches!(s.kind, SymbolKind::Object | SymbolKind::None));
    let symbols: BTreeMap<&str, &Symbol<'_>> = named.map(|s| (s.name, s)).collect();
    let hidden: BTreeMap<&str, bool> = functions.iter().map(|f| (f.name.as_str(), f.hidden)).collect();
    for at in 0..btf.types.len() {
        let name = btf.types.get(at).map(|ty| btf.string(ty.name)).unwrap_or_default();
        match btf.types.get(at).map(|ty| &ty.kind) {
            Some(Kind::Datasec { .. }) => data_section(btf, at, &name, elf, &symbols),
            Some(Kind::Func { linkage: Linkage::GLOBAL, .. }) if hidden.get(name.as_str()) == Some(&true) => {
                set_linkage(btf, at);
            }
            _ => {}
        }
    }
}

fn data_section(
    btf: &mut Btf,
    at: usize,
    name: &str,
    elf: &ElfObject<'_>,
    symbols: &BTreeMap<&str, &Symbol<'_>>,
) {
    let Some(Kind::Datasec { size, vars }) = btf.types.get(at).map(|ty| ty.kind.clone()) else {
        return;
    };
    // Sections of externs (`.ksyms`, `.kconfig`) are in no file.
    let Some(section) = elf.section_named(name) else {
        return;
    };
    let mut vars = vars;
    for var in &mut vars {
        let Some(symbol) = symbols.get(btf.name(var.var).as_str()) else {
            continue;
        };
        if let Ok(offset) = u32::try_from(symbol.value) {
            var.offset = offset;
        }
        if symbol.hidden {
            set_linkage(btf, TypeId::index(var.var));
        }
    }
    // The kernel wants them by offset; clang writes them in the order of their names' first use.
    vars.sort_by_key(|var| var.offset);
    let size = if size == 0 { u32::try_from(section.size).unwrap_or(u32::MAX) } else { size };
    if let Some(ty) = btf.types.get_mut(at) {
        ty.kind = Kind::Datasec { size, vars };
    }
}

/// Hidden symbols are static for the world outside of the file, and the kernel verifies static functions with
/// what their callers know.
fn set_linkage(btf: &mut Btf, at: usize) {
    if let Some(Kind::Func { linkage, .. } | Kind::Var { linkage, .. }) =
        btf.types.get_mut(at).map(|t| &mut t.kind)
    {
        *linkage = Linkage::STATIC;
    }
}
