//! Which slots of jump tables and of maps of maps are filled, and whether their programs can live together.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{FillSlot, LoadProgram, MixedTables, Options, PlanError, SlotSource, SlotValue, size};
use crate::features::Machine;
use crate::link::LinkedObject;
use crate::spec::{FuncId, MapId, MapSpec, ProgId, SlotHint, SlotTarget};
use crate::uapi::{AttachType, MapType, ProgFlags, ProgType};

/// All entries: what the object's definitions give, what its section names ask for, what the user wants.
///
/// A later entry for the same slot wins, so the user can overrule the object. What the object asks for and cannot have
/// is returned besides; what the user asks for is an error.
pub(super) fn fills(
    object: &LinkedObject,
    machine: &Machine,
    options: &Options,
    programs: &[LoadProgram],
    refused: &[(ProgId, PlanError)],
) -> Result<(Vec<FillSlot>, Vec<PlanError>), PlanError> {
    let is_refused = |fill: &FillSlot| refused.iter().any(|(id, _)| fill.value == SlotValue::Program(*id));
    let defective = |map: MapId| object.spec.map(map).is_some_and(|map| map.defect.is_some());
    let mut fills: BTreeMap<(MapId, u32), FillSlot> = BTreeMap::new();
    let (given, mut wrong) = from_definitions(object);
    let given = given.into_iter().chain(from_sections(object, programs));
    for fill in given.chain(options.slots.iter().copied()) {
        // Why it is not loaded is said about the program or the map, not about the slot.
        if is_refused(&fill) || defective(fill.map) {
            continue;
        }
        match check(object, machine, options, programs, &fill) {
            Ok(()) => drop(fills.insert((fill.map, fill.key), fill)),
            Err(error) if matches!(fill.from, SlotSource::Values | SlotSource::Section) => wrong.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((fills.into_values().collect(), wrong))
}

fn from_definitions(object: &LinkedObject) -> (Vec<FillSlot>, Vec<PlanError>) {
    let by_func: BTreeMap<FuncId, ProgId> =
        object.spec.programs.iter().enumerate().map(|(at, p)| (p.func, ProgId::new(at))).collect();
    let (mut fills, mut refused) = (Vec::new(), Vec::new());
    for (at, map) in object.spec.maps.iter().enumerate() {
        for slot in &map.slots {
            let value = match slot.target {
                SlotTarget::Map(inner) => SlotValue::Map(inner),
                SlotTarget::Program(func) => match by_func.get(&func) {
                    Some(program) => SlotValue::Program(*program),
                    None => {
                        let function = object.spec.function_name(func);
                        let why = format!("function {function:?} is no entry program");
                        refused.push(wrong(map, slot.key, why));
                        continue;
                    }
                },
            };
            fills.push(FillSlot { map: MapId::new(at), key: slot.key, value, from: SlotSource::Values });
        }
    }
    (fills, refused)
}

fn from_sections(object: &LinkedObject, programs: &[LoadProgram]) -> Vec<FillSlot> {
    let tables = object.spec.maps.iter().enumerate().filter(|(_, m)| m.ty == MapType::PROG_ARRAY);
    let last = tables.map(|(at, _)| MapId::new(at)).next_back();
    let hinted = programs.iter().filter_map(|load| {
        let (map, key) = match object.spec.program(load.program)?.kind.slot? {
            SlotHint::LastTable { key } => (last?, key),
            SlotHint::Table { id, key } => (object.spec.map_numbered(id)?, key),
        };
        Some(FillSlot { map, key, value: SlotValue::Program(load.program), from: SlotSource::Section })
    });
    hinted.collect()
}

fn wrong(map: &MapSpec, key: u32, why: impl Into<String>) -> PlanError {
    PlanError::Slot { map: map.name.to_string(), key, why: why.into() }
}

fn check(
    object: &LinkedObject,
    machine: &Machine,
    options: &Options,
    programs: &[LoadProgram],
    fill: &FillSlot,
) -> Result<(), PlanError> {
    let Some(map) = object.spec.map(fill.map) else {
        return Err(PlanError::Slot {
            map: fill.map.0.to_string(),
            key: fill.key,
            why: "there is no such map".into(),
        });
    };
    let hash = map.ty == MapType::HASH_OF_MAPS;
    let max_entries = size::max_entries(map, machine, options);
    if fill.key >= max_entries && !hash {
        return Err(PlanError::SlotRange { map: map.name.to_string(), key: fill.key, max_entries });
    }
    match fill.value {
        SlotValue::Program(_) if map.ty != MapType::PROG_ARRAY => Err(wrong(
            map,
            fill.key,
            format!("its type {} holds no programs; jump tables are prog_array", map.ty),
        )),
        SlotValue::Program(id) if programs.binary_search_by_key(&id, |load| load.program).is_err() => {
            let name = object.spec.program(id).map_or("?", |p| &p.name);
            Err(wrong(map, fill.key, format!("program {name:?} is not loaded")))
        }
        SlotValue::Map(_) if !hash && map.ty != MapType::ARRAY_OF_MAPS => {
            Err(wrong(map, fill.key, format!("its type {} holds no maps", map.ty)))
        }
        SlotValue::Program(_) | SlotValue::Map(_) => Ok(()),
    }
}

/// What programs of one jump table must agree in. Source: `__bpf_prog_map_compatible`, `kernel/bpf/core.c`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    ty: ProgType,
    attach: AttachType,
    frags: bool,
}

/// Whether two programs may use and stand in the same jump table.
pub fn fit_one_table(one: &LoadProgram, other: &LoadProgram) -> bool {
    Kind::of(one) == Kind::of(other)
}

impl Kind {
    fn of(load: &LoadProgram) -> Self {
        Self { ty: load.ty, attach: load.attach, frags: load.flags.contains(ProgFlags::XDP_HAS_FRAGS) }
    }
}

/// Sees to it that each jump table is used by one kind of program.
///
/// Returns how many more copies of each table are needed; `programs` are told which copy they use.
pub(super) fn separate_kinds(
    object: &LinkedObject,
    options: &Options,
    programs: &mut [LoadProgram],
    fills: &[FillSlot],
) -> Result<BTreeMap<MapId, u32>, PlanError> {
    let mut users: BTreeMap<MapId, Vec<(Kind, ProgId)>> = BTreeMap::new();
    // One that replaces a function counts as what the other program is, which only the kernel knows.
    for load in programs.iter_mut().filter(|load| load.ty != ProgType::EXT) {
        let kind = Kind::of(load);
        for map in tables_of(object, load.program, fills) {
            let kinds = users.entry(map).or_default();
            let known = kinds.iter().position(|(other, _)| *other == kind);
            let copy = known.unwrap_or(kinds.len());
            if known.is_none() {
                kinds.push((kind, load.program));
            }
            if copy > 0 {
                load.copies.insert(map, u32::try_from(copy).unwrap_or(u32::MAX));
            }
        }
    }
    if options.mixed_tables == MixedTables::Refuse {
        refuse_mixed(object, &users)?;
    }
    let more = |kinds: Vec<(Kind, ProgId)>| u32::try_from(kinds.len()).unwrap_or(u32::MAX).saturating_sub(1);
    Ok(users.into_iter().map(|(map, kinds)| (map, more(kinds))).collect())
}

/// Jump tables that a program refers to or stands in.
fn tables_of(object: &LinkedObject, program: ProgId, fills: &[FillSlot]) -> Vec<MapId> {
    let refs = object.program(program).map(|p| p.map_refs.as_slice()).unwrap_or_default();
    let stands_in = fills.iter().filter(|f| f.value == SlotValue::Program(program)).map(|f| f.map);
    let is_table = |map: &MapId| object.spec.map(*map).is_some_and(|m| m.ty == MapType::PROG_ARRAY);
    let mut tables: Vec<MapId> = refs.iter().map(|(_, map)| *map).chain(stands_in).filter(is_table).collect();
    tables.sort();
    tables.dedup();
    tables
}

fn refuse_mixed(
    object: &LinkedObject,
    users: &BTreeMap<MapId, Vec<(Kind, ProgId)>>,
) -> Result<(), PlanError> {
    let describe = |(kind, program): &(Kind, ProgId)| {
        let name = object.spec.program(*program).map_or("?", |p| &p.name);
        let frags = if kind.frags { ", frags" } else { "" };
        format!("program {name:?} ({}, attach type {}{frags})", kind.ty, kind.attach)
    };
    for (map, kinds) in users {
        if let [first, second, ..] = kinds.as_slice() {
            return Err(PlanError::MixedTable {
                map: object.spec.map_name(*map).to_string(),
                first: describe(first),
                second: describe(second),
            });
        }
    }
    Ok(())
}
