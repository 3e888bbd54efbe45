//! `SEC("maps")`: a map as a structure of numbers, the way of all loaders before BTF.
//!
//! Every data symbol of the section is one definition; their order is the order of their offsets. A definition may
//! stop early (16 bytes: type, key, value, entries); what it leaves out is 0.
//!
//! The same section name holds four dialects. Their first five words agree; size tells iproute2's and gobpf's from the
//! others. Loaders of other languages give each map a section of its own; the symbol names the map all the same.
//!
//! Source: `struct bpf_map_def` of `samples/bpf/bpf_load.h` and of libbpf before 1.0; iproute2 `bpf_elf.h`; gobpf
//! `include/bpf_map.h`.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Inner, MapDialect, MapId, MapOrigin, MapSpec, Pinning, Slot, SlotTarget, SpecError};
use crate::bytes::{Endian, Reader, until_nul};
use crate::elf::{Binding, Content, ElfObject, Section, SectionIdx, Symbol, SymbolKind};
use crate::uapi::{MapFlags, MapType};

/// How names of such sections begin: `maps`, gobpf's and redbpf's `maps/NAME`.
const BEGINNING: &str = "maps";
/// How they may end: `lirc_mode2/maps`.
const ENDING: &str = "/maps";

/// **Bytes** of the shortest definition: type, key size, value size, number of entries.
const SHORTEST: u64 = 16;
/// **Bytes** of what all dialects agree in: the four words, and flags.
const FIVE_WORDS: usize = 20;
/// **Bytes** of a definition in the kernel's samples with all its fields, and in aya's form.
const SAMPLES: usize = 28;
/// **Bytes** of iproute2's `struct bpf_elf_map`.
const IPROUTE2: usize = 36;
/// **Bytes** of a definition up to where gobpf has a name, and the samples `numa_node`.
const SIX_WORDS: usize = 24;
/// **Bytes** of gobpf's definition: a name of 256 bytes is the directory of its pin.
const GOBPF: usize = SIX_WORDS + 256;

/// A map of these sections, and where its definition stands.
pub(super) struct Found {
    pub(super) section: SectionIdx,
    /// **Bytes** from the section's start.
    pub(super) offset: u64,
    pub(super) spec: MapSpec,
}

/// All maps, by section and offset: the first that an object has.
pub(super) fn maps(elf: &ElfObject<'_>, dialect: Option<MapDialect>) -> Vec<Found> {
    let mut read = Vec::new();
    for section in elf.sections.iter().filter(|section| holds_maps(section)) {
        for (symbol, size) in symbols(elf, section) {
            let definition = definition(symbol, size, section, elf.endian, dialect)
                .unwrap_or_else(|why| Definition::defective(symbol, size, section, why));
            read.push((section.idx, symbol.value, definition));
        }
    }
    let nesting: Vec<_> = read.iter().map(|(.., d)| nesting(d, &read)).collect();
    let found = read.into_iter().zip(nesting).map(|((section, offset, d), (inner, slots))| {
        let spec = MapSpec { inner, slots, ..d.map };
        Found { section, offset, spec }
    });
    found.collect()
}

/// All definitions in the order of [`maps`]: section, **bytes** from its start, size in **bytes**.
pub(super) fn definitions<'e, 'd>(elf: &'e ElfObject<'d>) -> Vec<(&'e Section<'d>, u64, u64)> {
    let sections = elf.sections.iter().filter(|section| holds_maps(section));
    let of =
        |section| symbols(elf, section).into_iter().map(move |(symbol, size)| (section, symbol.value, size));
    sections.flat_map(of).collect()
}

pub(super) fn holds_maps(section: &Section<'_>) -> bool {
    let named = section.name.starts_with(BEGINNING) || section.name.ends_with(ENDING);
    named && section.content == Content::Bytes && !section.executable
}

/// The section's definitions with their sizes in **bytes**, by offset.
fn symbols<'e, 'd>(elf: &'e ElfObject<'d>, section: &'e Section<'d>) -> Vec<(&'e Symbol<'d>, u64)> {
    let mut symbols: Vec<_> = elf.symbols_in(section).filter(|s| names_map(s)).collect();
    symbols.dedup_by_key(|s| s.value);
    let next_start: Vec<u64> = symbols.iter().skip(1).map(|s| s.value).chain([section.size]).collect();
    let size = |(symbol, next): (&'e Symbol<'d>, u64)| {
        let size = if symbol.size == 0 { next.saturating_sub(symbol.value) } else { symbol.size };
        (symbol, size)
    };
    symbols.into_iter().zip(next_start).map(size).collect()
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

impl Definition {
    fn defective(symbol: &Symbol<'_>, size: u64, section: &Section<'_>, why: SpecError) -> Self {
        let dialect = usize::try_from(size).map_or(MapDialect::Samples, by_size);
        let map = MapSpec::defective(symbol.name, section.name, origin(size, dialect), why);
        Self { map, inner: None, own_slot: None }
    }
}

fn origin(size: u64, dialect: MapDialect) -> MapOrigin {
    MapOrigin::Legacy(u32::try_from(size).unwrap_or(u32::MAX), dialect)
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
    if size < SHORTEST {
        return Err(wrong_size());
    }
    let start = usize::try_from(symbol.value).ok();
    let end = symbol.value.checked_add(size).and_then(|end| usize::try_from(end).ok());
    let bytes =
        start.zip(end).and_then(|(start, end)| section.data.get(start..end)).ok_or_else(wrong_size)?;
    let said = dialect.is_some();
    let dialect = dialect.unwrap_or_else(|| by_size(bytes.len()));
    let (mut known, tail) = bytes.split_at_checked(dialect.size()).unwrap_or((bytes, &[]));
    if tail.iter().any(|byte| *byte != 0) {
        if said {
            return Err(SpecError::MapDefinitionTail { map: name, size });
        }
        // A dialect that nobody told us of (Android's has an owner here, and more): only what all agree in is read.
        known = bytes.get(..FIVE_WORDS).unwrap_or(bytes);
    }

    let mut words = Reader::new(known, endian);
    // What a short definition leaves out is 0.
    let mut next = || words.u32("map definition").unwrap_or(0);
    let (ty, key_size, value_size, max_entries) = (MapType(next()), next(), next(), next());
    let flags = MapFlags::from_bits_retain(next());
    let (sixth, seventh, eighth, ninth) = (next(), next(), next(), next());
    let of_maps = matches!(ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
    let number = (dialect.has_ids() && sixth != 0).then_some(sixth);
    Ok(Definition {
        inner: match dialect {
            // What a definition leaves out is 0, but no map is meant by it.
            MapDialect::Samples => (of_maps && known.len() >= SIX_WORDS).then_some(InnerRef::Index(sixth)),
            MapDialect::IdPinning | MapDialect::Gobpf => None,
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
            numa_node: if dialect == MapDialect::Samples { seventh } else { 0 },
            pinning: match dialect {
                MapDialect::Samples => Pinning::None,
                MapDialect::IdPinning | MapDialect::Iproute2 => pinning(seventh),
                MapDialect::Gobpf => gobpf_pinning(sixth, bytes),
            },
            number,
            ..MapSpec::new(&name, section.name, origin(size, dialect))
        },
    })
}

fn by_size(size: usize) -> MapDialect {
    match size {
        IPROUTE2 => MapDialect::Iproute2,
        GOBPF => MapDialect::Gobpf,
        _ => MapDialect::Samples,
    }
}

impl MapDialect {
    /// **Bytes** of a definition with all its fields.
    const fn size(self) -> usize {
        match self {
            Self::Samples | Self::IdPinning => SAMPLES,
            Self::Iproute2 => IPROUTE2,
            Self::Gobpf => GOBPF,
        }
    }

    /// Whether the sixth word is an id and the seventh a pinning.
    const fn has_ids(self) -> bool {
        matches!(self, Self::IdPinning | Self::Iproute2)
    }
}

/// Source: iproute2 `PIN_OBJECT_NS`, `PIN_GLOBAL_NS`. Other numbers are names of directories in its configuration.
fn pinning(number: u32) -> Pinning {
    match number {
        1 => Pinning::Object,
        2 => Pinning::Global,
        _ => Pinning::None,
    }
}

/// Source: gobpf `elf/elf.go`, `getMapPath`, whose directory of all is `globals`. The name of a map's own directory
/// stands behind the six words.
fn gobpf_pinning(number: u32, definition: &[u8]) -> Pinning {
    let namespace = || definition.get(SIX_WORDS..).map(until_nul).unwrap_or_default();
    match number {
        1 => Pinning::Object,
        2 => Pinning::Directory("globals".to_string()),
        3 => Some(namespace()).filter(|name| !name.is_empty()).map_or(Pinning::None, Pinning::Directory),
        _ => Pinning::None,
    }
}

/// What a map's inner maps look like, and which of them stand in it from the start.
fn nesting(outer: &Definition, all: &[(SectionIdx, u64, Definition)]) -> (Option<Inner>, Vec<Slot>) {
    let id = match outer.inner {
        None => return (None, Vec::new()),
        Some(InnerRef::Index(index)) => return (Some(Inner::Like(MapId(index))), Vec::new()),
        Some(InnerRef::Id(id)) => id,
    };
    let meant = || all.iter().enumerate().filter(|(_, (.., d))| d.map.number == Some(id));
    let Some((like, _)) = meant().next() else {
        return (Some(Inner::Missing(id)), Vec::new());
    };
    let slots = meant()
        .filter_map(|(at, (.., d))| Some(Slot { key: d.own_slot?, target: SlotTarget::Map(MapId::new(at)) }));
    (Some(Inner::Like(MapId::new(like))), slots.collect())
}
