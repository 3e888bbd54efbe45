//! `SEC("maps")`: a map as a structure of numbers, the way of all loaders before BTF.
//!
//! Every data symbol of the section is one definition; their order is the order of their offsets. A definition may
//! stop early (16 bytes: type, key, value, entries); what it leaves out is 0.
//!
//! The same section name holds three dialects. Their first five words agree; size tells iproute2's from the others.
//!
//! Source: `struct bpf_map_def` of `samples/bpf/bpf_load.h` and of libbpf before 1.0; iproute2 `bpf_elf.h`.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Inner, MapDialect, MapId, MapOrigin, MapSpec, Pinning, Slot, SlotTarget, SpecError};
use crate::bytes::{Endian, Reader};
use crate::elf::{Binding, ElfObject, Section, Symbol, SymbolKind};
use crate::uapi::{MapFlags, MapType};

/// Name of the section.
pub(super) const SECTION: &str = "maps";

/// **Bytes** of the shortest definition: type, key size, value size, number of entries.
const SHORTEST: u64 = 16;
/// **Bytes** of a definition in the kernel's samples with all its fields, and in aya's form.
const SAMPLES: usize = 28;
/// **Bytes** of iproute2's `struct bpf_elf_map`.
const IPROUTE2: usize = 36;

/// The section's maps with their offsets, by offset. `first` is the number of the first of them.
pub(super) fn maps(
    elf: &ElfObject<'_>,
    section: &Section<'_>,
    dialect: Option<MapDialect>,
    first: usize,
) -> Result<Vec<(u64, MapSpec)>, SpecError> {
    let mut symbols: Vec<_> = elf.symbols_in(section).filter(|s| names_map(s)).collect();
    symbols.dedup_by_key(|s| s.value);
    let next_start = symbols.iter().skip(1).map(|s| s.value).chain([section.size]);
    let read = symbols.iter().zip(next_start).map(|(symbol, next)| {
        let size = if symbol.size == 0 { next.saturating_sub(symbol.value) } else { symbol.size };
        Ok((symbol.value, definition(symbol, size, section, elf.endian, dialect)?))
    });
    let read = read.collect::<Result<Vec<_>, SpecError>>()?;
    let nesting = read.iter().map(|(_, d)| nesting(d, &read, first)).collect::<Result<Vec<_>, _>>()?;
    let maps = read.into_iter().zip(nesting);
    Ok(maps.map(|((offset, d), (inner, slots))| (offset, MapSpec { inner, slots, ..d.map })).collect())
}

fn names_map(symbol: &Symbol<'_>) -> bool {
    match symbol.kind {
        SymbolKind::Object => true,
        SymbolKind::None => symbol.binding != Binding::Local && !symbol.name.is_empty(),
        SymbolKind::Function | SymbolKind::Section | SymbolKind::Other => false,
    }
}

/// A definition, and what it says about other maps.
struct Definition {
    map: MapSpec,
    /// Which map its inner maps look like.
    inner: Option<InnerRef>,
    /// The slot of its outer map that it stands in itself (iproute2).
    own_slot: Option<u32>,
}

enum InnerRef {
    /// The map with this index.
    Index(u32),
    /// The map with this id.
    Id(u32),
}

fn definition(
    symbol: &Symbol<'_>,
    size: u64,
    section: &Section<'_>,
    endian: Endian,
    dialect: Option<MapDialect>,
) -> Result<Definition, SpecError> {
    let name = symbol.name.to_string();
    let wrong_size = || SpecError::MapDefinitionSize { map: name.clone(), size };
    if size < SHORTEST || size % 4 != 0 {
        return Err(wrong_size());
    }
    let start = usize::try_from(symbol.value).ok();
    let end = symbol.value.checked_add(size).and_then(|end| usize::try_from(end).ok());
    let bytes =
        start.zip(end).and_then(|(start, end)| section.data.get(start..end)).ok_or_else(wrong_size)?;
    let by_size = if bytes.len() == IPROUTE2 { MapDialect::Iproute2 } else { MapDialect::Samples };
    let dialect = dialect.unwrap_or(by_size);
    let known = if dialect == MapDialect::Iproute2 { IPROUTE2 } else { SAMPLES };
    let (known, tail) = bytes.split_at_checked(known).unwrap_or((bytes, &[]));
    if tail.iter().any(|byte| *byte != 0) {
        return Err(SpecError::MapDefinitionTail { map: name, size });
    }

    let mut words = Reader::new(known, endian);
    // What a short definition leaves out is 0.
    let mut next = || words.u32("map definition").unwrap_or(0);
    let (ty, key_size, value_size, max_entries) = (MapType(next()), next(), next(), next());
    let flags = MapFlags::from_bits_retain(next());
    let (sixth, seventh, eighth, ninth) = (next(), next(), next(), next());
    let of_maps = matches!(ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
    let numbered = dialect != MapDialect::Samples;
    let number = (numbered && sixth != 0).then_some(sixth);
    let origin = MapOrigin::Legacy(u32::try_from(size).unwrap_or(u32::MAX), dialect);
    Ok(Definition {
        inner: match dialect {
            MapDialect::Samples => of_maps.then_some(InnerRef::Index(sixth)),
            MapDialect::IdPinning => None,
            MapDialect::Iproute2 => of_maps.then_some(InnerRef::Id(eighth)),
        },
        own_slot: (dialect == MapDialect::Iproute2 && !of_maps && number.is_some() && ninth != u32::MAX)
            .then_some(ninth),
        map: MapSpec {
            ty,
            key_size,
            // The kernel wants 4 here, whatever the definition says: the value is a map's descriptor.
            value_size: if of_maps { 4 } else { value_size },
            max_entries,
            flags,
            numa_node: if numbered { 0 } else { seventh },
            pinning: if numbered { pinning(seventh) } else { Pinning::None },
            number,
            ..MapSpec::new(&name, section.name, origin)
        },
    })
}

/// Source: iproute2 `PIN_OBJECT_NS`, `PIN_GLOBAL_NS`. Other numbers are names of directories in its configuration.
fn pinning(number: u32) -> Pinning {
    match number {
        1 => Pinning::Object,
        2 => Pinning::Global,
        _ => Pinning::None,
    }
}

/// What a map's inner maps look like, and which of them stand in it from the start.
fn nesting(
    outer: &Definition,
    all: &[(u64, Definition)],
    first: usize,
) -> Result<(Option<Inner>, Vec<Slot>), SpecError> {
    let id_of = |at: usize| MapId::new(first.saturating_add(at));
    let id = match outer.inner {
        None => return Ok((None, Vec::new())),
        Some(InnerRef::Index(index)) => return Ok((Some(Inner::Like(MapId(index))), Vec::new())),
        Some(InnerRef::Id(id)) => id,
    };
    let meant = || all.iter().enumerate().filter(|(_, (_, d))| d.map.number == Some(id));
    let Some((like, _)) = meant().next() else {
        return Err(SpecError::InnerId { map: outer.map.name.clone(), id });
    };
    let slots = meant()
        .filter_map(|(at, (_, d))| Some(Slot { key: d.own_slot?, target: SlotTarget::Map(id_of(at)) }));
    Ok((Some(Inner::Like(id_of(like))), slots.collect()))
}
