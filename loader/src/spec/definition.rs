//! Where the definition of each map stands in the file, and which of its bytes say what: for those who want to see it.
//!
//! Asked on demand, with the same readers that [`collect`](super::collect) uses; loading does not come here.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{MapDialect, MapId, MapOrigin, MapSpec, ObjectSpec, btf_map, legacy_map};
use crate::btf::{Btf, Kind, SecVar, TypeGraph, TypeId};
use crate::bytes::Reader;
use crate::elf::{ElfObject, Section, SymbolKind};

/// The definition of a map, as it stands in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition<'e> {
    /// The map.
    pub map: MapId,
    /// Where it stands, in **bytes** from the start of the map's section.
    pub offset: u64,
    /// Its bytes in the file; none for sections of zeroes.
    pub bytes: &'e [u8],
    /// What they say, by offset.
    pub fields: Vec<Field>,
}

/// A field of a definition, or a variable of a section of variables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Where it starts, in **bytes** from the start of the definition.
    pub offset: u32,
    /// Its size in **bytes**.
    pub size: u32,
    /// Its type; empty where nothing says it.
    pub ty: TypeId,
    /// The number that it says, if it says one.
    pub value: Option<u64>,
}

/// The definitions of all maps that the file defines, by [`MapId`]. `.kconfig` is defined by types only, and not among them.
pub fn definitions<'e>(elf: &'e ElfObject<'_>, spec: &ObjectSpec) -> Vec<Definition<'e>> {
    let mut found = Vec::new();
    let mut legacy = legacy_map::definitions(elf).into_iter();
    let vars = spec.btf.as_ref().map(btf_map::variables).unwrap_or_default();
    let mut vars = vars.into_iter();
    for (at, map) in spec.maps.iter().enumerate() {
        let id = MapId::new(at);
        let definition = match map.origin {
            MapOrigin::Legacy(_, dialect) => legacy.next().map(|found| by_numbers(elf, id, dialect, found)),
            MapOrigin::Btf if map.struct_ops.is_none() => spec
                .btf
                .as_ref()
                .zip(elf.section_named(btf_map::SECTION))
                .and_then(|(btf, section)| by_types(elf, btf, id, section, vars.next()?)),
            MapOrigin::Btf | MapOrigin::Internal => variables(elf, spec, id, map),
        };
        found.extend(definition);
    }
    found
}

/// The words of a definition by numbers.
fn by_numbers<'e>(
    elf: &ElfObject<'_>,
    map: MapId,
    dialect: MapDialect,
    (section, offset, size): (&'e Section<'_>, u64, u64),
) -> Definition<'e> {
    let bytes = part(section, offset, size);
    let mut words = Reader::new(bytes, elf.endian);
    let mut fields = Vec::new();
    for (name, offset) in dialect.words().iter().zip((0u32..).step_by(4)) {
        let Ok(value) = words.u32("map definition") else {
            break;
        };
        let (name, value) = (name.to_string(), Some(value.into()));
        fields.push(Field { name, offset, size: 4, ty: TypeId(0), value });
    }
    Definition { map, offset, bytes, fields }
}

/// The members of a definition by types.
fn by_types<'e>(
    elf: &ElfObject<'_>,
    btf: &Btf,
    map: MapId,
    section: &'e Section<'_>,
    var: SecVar,
) -> Option<Definition<'e>> {
    let (offset, bytes) = (u64::from(var.offset), part(section, var.offset.into(), var.size.into()));
    let Some(Kind::Var { ty, .. }) = btf.kind(var.var) else {
        return Some(Definition { map, offset, bytes, fields: Vec::new() });
    };
    let members = btf.resolved(*ty)?.members();
    let field = |member: &crate::btf::Member| Field {
        name: btf.string(member.name).into_owned(),
        offset: member.bit_offset / 8,
        size: btf.size_of(member.ty).unwrap_or(0),
        ty: member.ty,
        value: btf_map::number_in(btf, member, bytes, elf.endian),
    };
    Some(Definition { map, offset, bytes, fields: members.iter().map(field).collect() })
}

/// The variables of a section, or the members of one table of functions.
fn variables<'e>(
    elf: &'e ElfObject<'_>,
    spec: &ObjectSpec,
    id: MapId,
    map: &MapSpec,
) -> Option<Definition<'e>> {
    let section = elf.section_named(&map.section)?;
    let datasec = spec.btf.as_ref().and_then(|btf| {
        let of_vars = |kind: &Kind| matches!(kind, Kind::Datasec { .. });
        Some((btf, btf.find(&map.section, of_vars)?))
    });
    let Some((btf, datasec)) = datasec else {
        let fields = elf.symbols_in(section).filter(|symbol| symbol.kind == SymbolKind::Object);
        let field = |symbol: &crate::elf::Symbol<'_>| Field {
            name: symbol.name.to_string(),
            offset: u32::try_from(symbol.value).unwrap_or(u32::MAX),
            size: u32::try_from(symbol.size).unwrap_or(u32::MAX),
            ty: TypeId(0),
            value: None,
        };
        let fields = fields.map(field).collect();
        return Some(Definition { map: id, offset: 0, bytes: &section.data, fields });
    };
    let Some(Kind::Datasec { vars, .. }) = btf.kind(datasec) else {
        return None;
    };
    if map.struct_ops.is_some() {
        let var = vars.iter().find(|var| btf.name(var.var) == *map.name)?;
        let members = btf.resolved(map.value_type)?.members();
        let field = |member: &crate::btf::Member| Field {
            name: btf.string(member.name).into_owned(),
            offset: member.bit_offset / 8,
            size: btf.size_of(member.ty).unwrap_or(0),
            ty: member.ty,
            value: None,
        };
        let bytes = part(section, var.offset.into(), map.value_size.into());
        let fields = members.iter().map(field).collect();
        return Some(Definition { map: id, offset: var.offset.into(), bytes, fields });
    }
    let field = |var: &SecVar| Field {
        name: btf.name(var.var).into_owned(),
        offset: var.offset,
        size: var.size,
        ty: if let Some(Kind::Var { ty, .. }) = btf.kind(var.var) { *ty } else { TypeId(0) },
        value: None,
    };
    let mut fields: Vec<Field> = vars.iter().map(field).collect();
    fields.sort_by_key(|field| field.offset);
    Some(Definition { map: id, offset: 0, bytes: &section.data, fields })
}

fn part<'e>(section: &'e Section<'_>, offset: u64, size: u64) -> &'e [u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    let rest = section.data.get(start..).unwrap_or_default();
    rest.get(..len).unwrap_or(rest)
}

impl MapDialect {
    /// What the words of a definition are called, in order.
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Samples => {
                &["type", "key_size", "value_size", "max_entries", "map_flags", "inner_map_idx", "numa_node"]
            }
            Self::IdPinning => {
                &["type", "key_size", "value_size", "max_entries", "map_flags", "id", "pinning"]
            }
            Self::Iproute2 => &[
                "type",
                "key_size",
                "value_size",
                "max_entries",
                "map_flags",
                "id",
                "pinning",
                "inner_id",
                "inner_idx",
            ],
            Self::Gobpf => &["type", "key_size", "value_size", "max_entries", "map_flags", "pinning"],
        }
    }

    /// How a definition of this dialect is told from others.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Samples => {
                "struct bpf_map_def of the kernel's samples and of libbpf before 1.0: \
                 its size is neither 36 bytes (iproute2's) nor 280 (gobpf's)"
            }
            Self::IdPinning => "aya's and early iproute2's definition: somebody said so (--map-dialect)",
            Self::Iproute2 => "struct bpf_elf_map of iproute2: it has 36 bytes",
            Self::Gobpf => "struct bpf_map_def of gobpf: it has 280 bytes",
        }
    }
}
