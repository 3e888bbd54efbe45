//! `SEC(".maps")`: a map as a C structure whose *type* is the definition.
//!
//! `__uint(max_entries, 100)` declares a pointer to an array of 100, `__type(key, u32)` a pointer to `u32`,
//! `__array(values, ...)` an array of pointers. The bytes of the section are all zero; initialised `values` show as
//! relocations. In the first form, of summer 2019, the numbers are plain integers, and the bytes say them.
//!
//! Source: libbpf `parse_btf_map_def`, `bpf_helpers.h`, and its `get_map_field_int` of 0.0.4.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Inner, MapOrigin, MapSpec, Pinning, SpecError};
use crate::btf::{Btf, Kind, Linkage, Member, SecVar, TypeGraph, TypeId};
use crate::bytes::{Endian, Reader};
use crate::elf::{ElfObject, Section, Symbol, SymbolKind};
use crate::uapi::{MapFlags, MapType};

/// Name of the section.
pub(super) const SECTION: &str = ".maps";

/// Where a map of the section stands, to find it and its slots again.
#[derive(Debug)]
pub(super) struct Found {
    /// Where its variable stands, in **bytes** from the section's start.
    pub(super) offset: u64,
    /// Where its `values` begin, in **bytes** from the variable's start.
    pub(super) values_at: Option<u64>,
}

/// Appends the section's maps, by offset; says where each of them stands.
pub(super) fn maps(
    elf: &ElfObject<'_>,
    section: &Section<'_>,
    btf: Option<&Btf>,
    maps: &mut Vec<MapSpec>,
) -> Vec<Found> {
    let typed = btf.and_then(|btf| Some((btf, in_section(btf)?)));
    let Some((btf, vars)) = typed else {
        let symbols = elf.symbols_in(section).filter(|s| s.kind == SymbolKind::Object);
        return symbols.map(|symbol| untyped(symbol, maps)).collect();
    };
    maps.reserve(vars.len());
    let home: Arc<str> = SECTION.into();
    vars.iter().map(|var| map(btf, var, Values::of(elf, section, var), home.clone(), maps)).collect()
}

/// The variables that are maps, by offset: in the order of [`maps`].
pub(super) fn variables(btf: &Btf) -> Vec<SecVar> {
    in_section(btf).unwrap_or_default()
}

fn in_section(btf: &Btf) -> Option<Vec<SecVar>> {
    let id = btf.find(SECTION, |kind| matches!(kind, Kind::Datasec { .. }))?;
    let Some(Kind::Datasec { vars, .. }) = btf.kind(id) else {
        return None;
    };
    let mut vars: Vec<SecVar> = vars.iter().filter(|var| !is_extern(btf, var)).copied().collect();
    vars.sort_by_key(|var| var.offset);
    Some(vars)
}

/// A map that another file defines stands nowhere here.
fn is_extern(btf: &Btf, var: &SecVar) -> bool {
    matches!(btf.kind(var.var), Some(Kind::Var { linkage: Linkage::EXTERN, .. }))
}

fn map(
    btf: &Btf,
    var: &SecVar,
    values: Option<Values<'_>>,
    home: Arc<str>,
    maps: &mut Vec<MapSpec>,
) -> Found {
    let mut spec = MapSpec::new(&btf.name(var.var), home, MapOrigin::Btf);
    let values_at = variable(btf, var.var, values, &mut spec).unwrap_or_else(|why| {
        spec = defective(&spec.name, why);
        None
    });
    maps.push(spec);
    Found { offset: u64::from(var.offset), values_at }
}

/// A map whose definition nobody can read.
fn untyped(symbol: &Symbol<'_>, maps: &mut Vec<MapSpec>) -> Found {
    let why = SpecError::MapWithoutBtf { map: symbol.name.to_string() };
    maps.push(defective(symbol.name, why));
    Found { offset: symbol.value, values_at: None }
}

fn defective(name: &str, why: SpecError) -> MapSpec {
    MapSpec::defective(name, SECTION, MapOrigin::Btf, why)
}

/// What the type of a variable of the section says about its map.
pub(crate) fn map_definition(btf: &Btf, var: TypeId) -> Result<MapSpec, SpecError> {
    let mut spec = MapSpec::new(&btf.name(var), SECTION, MapOrigin::Btf);
    variable(btf, var, None, &mut spec).map(|_| spec)
}

/// Puts what the type of a variable says into the map; returns where in the section's bytes its values start.
fn variable(
    btf: &Btf,
    var: TypeId,
    values: Option<Values<'_>>,
    spec: &mut MapSpec,
) -> Result<Option<u64>, SpecError> {
    let Some(Kind::Var { ty, .. }) = btf.kind(var) else {
        return Err(wrong(&spec.name, "it is no variable"));
    };
    definition(btf, spec, *ty, values, Nesting::Outer)
}

/// The bytes of a definition: all zero, unless its numbers are plain integers.
#[derive(Clone, Copy)]
struct Values<'d> {
    bytes: &'d [u8],
    endian: Endian,
}

impl<'d> Values<'d> {
    fn of(elf: &ElfObject<'_>, section: &'d Section<'_>, var: &SecVar) -> Option<Self> {
        let start = usize::try_from(var.offset).ok()?;
        Some(Self { bytes: section.data.get(start..)?, endian: elf.endian })
    }

    /// The integer of this many **bytes** at this **bit**.
    fn number(self, bit_offset: u32, size: u32) -> Option<u64> {
        let all = Reader::new(self.bytes, self.endian);
        let mut field = all.range(bit_offset / 8, size, "map definition").ok()?;
        match size {
            4 => field.u32("map definition").ok().map(u64::from),
            8 => field.u64("map definition").ok(),
            _ => None,
        }
    }
}

/// Whether a definition may itself hold a definition of inner maps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outer,
    Inner,
}

fn wrong(map: &str, why: impl Into<String>) -> SpecError {
    SpecError::MapDefinition { map: map.to_string(), why: why.into() }
}

fn definition(
    btf: &Btf,
    spec: &mut MapSpec,
    ty: TypeId,
    bytes: Option<Values<'_>>,
    nesting: Nesting,
) -> Result<Option<u64>, SpecError> {
    let name = &*spec.name.clone();
    let Some(Kind::Composite { union: false, members, .. }) = btf.resolved(ty) else {
        return Err(wrong(name, "its type is no structure"));
    };
    let mut values_at = None;
    for member in members {
        let field = btf.string(member.name);
        if field == "values" {
            values_at = Some(u64::from(member.bit_offset / 8));
        }
        apply(btf, name, spec, &field, member, bytes, nesting)?;
    }
    if spec.ty == MapType::UNSPEC {
        return Err(wrong(name, "it has no `type`"));
    }
    Ok(values_at)
}

/// Puts one field of the definition into the map.
fn apply(
    btf: &Btf,
    name: &str,
    spec: &mut MapSpec,
    field: &str,
    member: &Member,
    bytes: Option<Values<'_>>,
    nesting: Nesting,
) -> Result<(), SpecError> {
    let number = || number(btf, member, bytes).ok_or_else(|| wrong(name, format!("`{field}` is no number")));
    match field {
        "type" => spec.ty = MapType(narrow(name, field, number()?)?),
        "max_entries" => spec.max_entries = narrow(name, field, number()?)?,
        "map_flags" => spec.flags |= MapFlags::from_bits_retain(narrow(name, field, number()?)?),
        "numa_node" => {
            spec.numa_node = narrow(name, field, number()?)?;
            spec.flags |= MapFlags::NUMA_NODE;
        }
        "map_extra" => spec.map_extra = number()?,
        "key_size" => spec.key_size = size(name, field, spec.key_size, narrow(name, field, number()?)?)?,
        "value_size" => {
            spec.value_size = size(name, field, spec.value_size, narrow(name, field, number()?)?)?
        }
        "key" => {
            let (ty, bytes) = pointee(btf, name, field, member.ty)?;
            spec.key_size = size(name, field, spec.key_size, bytes)?;
            spec.key_type = ty;
        }
        "value" => {
            let (ty, bytes) = pointee(btf, name, field, member.ty)?;
            spec.value_size = size(name, field, spec.value_size, bytes)?;
            spec.value_type = ty;
        }
        "pinning" => {
            spec.pinning = match number()? {
                0 => Pinning::None,
                1 => Pinning::ByName,
                other => {
                    return Err(wrong(name, format!("`pinning` {other} is neither 0 (no) nor 1 (by name)")));
                }
            }
        }
        "values" if nesting == Nesting::Inner => return Err(wrong(name, "inner maps cannot hold maps")),
        "values" => values(btf, spec, member)?,
        _ => return Err(wrong(name, format!("`{field}` is no field of a map definition"))),
    }
    Ok(())
}

/// `values`: what the entries look like, for maps of maps and of programs.
fn values(btf: &Btf, spec: &mut MapSpec, member: &Member) -> Result<(), SpecError> {
    let name = spec.name.clone();
    let element = match btf.resolved(member.ty) {
        Some(Kind::Array { element, .. }) => btf.resolved(*element),
        _ => None,
    };
    let Some(Kind::Ptr(target)) = element else {
        return Err(wrong(&name, "`values` is no array of pointers"));
    };
    // An entry is a descriptor when it is written and an id when it is read: 4 bytes.
    spec.value_size = size(&name, "values", spec.value_size, 4)?;
    match btf.resolved(*target) {
        Some(Kind::FuncProto { .. }) => Ok(()),
        Some(Kind::Composite { .. }) => {
            let mut inner = MapSpec::new(&format!("{name}.inner"), spec.section.clone(), MapOrigin::Btf);
            definition(btf, &mut inner, *target, None, Nesting::Inner)?;
            spec.inner = Some(Inner::Template(Box::new(inner)));
            Ok(())
        }
        _ => Err(wrong(&name, "`values` points neither to maps nor to functions")),
    }
}

/// The number that a member of a definition says; `bytes` are the definition's.
pub(super) fn number_in(btf: &Btf, member: &Member, bytes: &[u8], endian: Endian) -> Option<u64> {
    number(btf, member, Some(Values { bytes, endian }))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "few of the many kinds are numbers")]
/// A number: `int (*field)[N]`, an enumeration with one value (`__ulong`), or what stands in the definition's bytes.
fn number(btf: &Btf, member: &Member, bytes: Option<Values<'_>>) -> Option<u64> {
    match btf.resolved(member.ty)? {
        Kind::Ptr(to) => match btf.resolved(*to)? {
            Kind::Array { len, .. } => Some(u64::from(*len)),
            _ => None,
        },
        Kind::Int { size, .. } => bytes?.number(member.bit_offset, *size),
        Kind::Enum { values, size, .. } if values.len() > 1 => bytes?.number(member.bit_offset, *size),
        Kind::Enum { values, .. } => values.first().map(|(_, value)| u64::from(*value)),
        Kind::Enum64 { values, .. } => values.first().map(|(_, value)| *value),
        _ => None,
    }
}

fn narrow(map: &str, field: &str, value: u64) -> Result<u32, SpecError> {
    u32::try_from(value).map_err(|_too_large| wrong(map, format!("`{field}` {value} does not fit 32 bits")))
}

/// The type that a field points to, and the size of its values in **bytes**.
fn pointee(btf: &Btf, map: &str, field: &str, ty: TypeId) -> Result<(TypeId, u32), SpecError> {
    let Some(Kind::Ptr(to)) = btf.resolved(ty) else {
        return Err(wrong(map, format!("`{field}` is no pointer to a type")));
    };
    let size = btf.size_of(*to).ok_or_else(|| wrong(map, format!("`{field}` has a type without a size")))?;
    Ok((*to, size))
}

/// A size may be given twice (`key` and `key_size`), but then it must be the same.
fn size(map: &str, field: &str, before: u32, now: u32) -> Result<u32, SpecError> {
    if before != 0 && before != now {
        return Err(wrong(map, format!("`{field}` says {now} bytes, an earlier field {before}")));
    }
    Ok(now)
}
