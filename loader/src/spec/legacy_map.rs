//! `SEC("maps")`: a map as a structure of numbers, the way of all loaders before BTF.
//!
//! Every data symbol of the section is one definition; their order is the order of their offsets. A definition may
//! stop early (16 bytes: type, key, value, entries); what it leaves out is 0.
//!
//! Source: `struct bpf_map_def` of `samples/bpf/bpf_load.h` and of libbpf before 1.0.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Inner, MapDialect, MapId, MapOrigin, MapSpec, Pinning, SpecError};
use crate::btf::TypeId;
use crate::bytes::{Endian, Reader};
use crate::elf::{Binding, ElfObject, Section, Symbol, SymbolKind};
use crate::uapi::{MapFlags, MapType};

/// Name of the section.
pub(super) const SECTION: &str = "maps";

/// **Bytes** of the shortest definition: type, key size, value size, number of entries.
const SHORTEST: u64 = 16;
/// **Bytes** of the longest definition whose fields are known.
const LONGEST: usize = 28;

/// The section's maps with their offsets, by offset.
pub(super) fn maps(elf: &ElfObject<'_>, section: &Section<'_>) -> Result<Vec<(u64, MapSpec)>, SpecError> {
    let mut symbols: Vec<_> = elf.symbols_in(section).filter(|s| names_map(s)).collect();
    symbols.dedup_by_key(|s| s.value);
    let next_start = symbols.iter().skip(1).map(|s| s.value).chain([section.size]);
    let sized = symbols.iter().zip(next_start).map(|(symbol, next)| {
        let size = if symbol.size == 0 { next.saturating_sub(symbol.value) } else { symbol.size };
        Ok((symbol.value, map(symbol, size, section, elf.endian)?))
    });
    sized.collect()
}

fn names_map(symbol: &Symbol<'_>) -> bool {
    match symbol.kind {
        SymbolKind::Object => true,
        SymbolKind::None => symbol.binding != Binding::Local && !symbol.name.is_empty(),
        SymbolKind::Function | SymbolKind::Section | SymbolKind::Other => false,
    }
}

fn map(symbol: &Symbol<'_>, size: u64, section: &Section<'_>, endian: Endian) -> Result<MapSpec, SpecError> {
    let name = symbol.name.to_string();
    let wrong_size = || SpecError::MapDefinitionSize { map: name.clone(), size };
    if size < SHORTEST || size % 4 != 0 {
        return Err(wrong_size());
    }
    let start = usize::try_from(symbol.value).ok();
    let end = symbol.value.checked_add(size).and_then(|end| usize::try_from(end).ok());
    let bytes =
        start.zip(end).and_then(|(start, end)| section.data.get(start..end)).ok_or_else(wrong_size)?;
    let (known, tail) = bytes.split_at_checked(LONGEST).unwrap_or((bytes, &[]));
    if tail.iter().any(|byte| *byte != 0) {
        return Err(SpecError::MapDefinitionTail { map: name, size });
    }

    let mut words = Reader::new(known, endian);
    let mut next = || words.u32("map definition").unwrap_or(0);
    let (ty, key_size, value_size, max_entries) = (MapType(next()), next(), next(), next());
    let (flags, inner_idx, numa_node) = (MapFlags::from_bits_retain(next()), next(), next());
    let of_maps = matches!(ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
    Ok(MapSpec {
        name,
        section: section.name.to_string(),
        origin: MapOrigin::Legacy(u32::try_from(size).unwrap_or(u32::MAX), MapDialect::Samples),
        ty,
        key_size,
        // The kernel wants 4 here, whatever the definition says: the value is a map's descriptor.
        value_size: if of_maps { 4 } else { value_size },
        max_entries,
        flags,
        numa_node,
        map_extra: 0,
        key_type: TypeId(0),
        value_type: TypeId(0),
        inner: of_maps.then_some(Inner::Like(MapId(inner_idx))),
        slots: Vec::new(),
        data: None,
        frozen: false,
        pinning: Pinning::None,
    })
}
