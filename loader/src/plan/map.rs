//! Which maps are created, how, and what they are filled with.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::inner::is_of_maps;
use super::{CreateMap, MapSlot, Options, PinnedMap, PlanError, Step, pins, size};
use crate::btf::TypeId;
use crate::features::{Features, Machine};
use crate::link::LinkedObject;
use crate::sanitize;
use crate::spec::{Inner, MapId, MapOrigin, MapSpec};
use crate::target::KernelOps;
use crate::uapi::{MapFlags, MapType};

/// Map types that take no types of keys and values: the kernel answers ENOTSUPP.
///
/// Source: libbpf `bpf_object__create_map`.
const UNTYPED: &[MapType] = &[
    MapType::PERF_EVENT_ARRAY,
    MapType::CGROUP_ARRAY,
    MapType::STACK_TRACE,
    MapType::ARRAY_OF_MAPS,
    MapType::HASH_OF_MAPS,
    MapType::DEVMAP,
    MapType::DEVMAP_HASH,
    MapType::CPUMAP,
    MapType::XSKMAP,
    MapType::SOCKMAP,
    MapType::SOCKHASH,
    MapType::QUEUE,
    MapType::STACK,
    MapType::ARENA,
];

/// Appends the steps for all maps; `copies` says how many more of a jump table are needed, `open` what inner maps may look
/// like of which nobody says it: the first of them is taken where there is nothing else. Returns the maps that cannot be
/// created, and why.
pub(super) fn steps(
    object: &LinkedObject,
    machine: &Machine,
    options: &Options,
    copies: &BTreeMap<MapId, u32>,
    open: &mut BTreeMap<MapId, Vec<CreateMap>>,
    steps: &mut Vec<Step>,
) -> Vec<(CreateMap, PlanError)> {
    let mut refused = Vec::new();
    let maps = &object.spec.maps;
    // One for all maps: there may be thousands.
    let mut make = Vec::new();
    for (id, spec) in in_order(maps) {
        if options.reused.contains(&id) {
            continue;
        }
        // Programs that refer to global variables are refused there; strings that nobody refers to are in no one's way.
        if spec.origin == MapOrigin::Internal && !machine.features.contains(Features::GLOBAL_DATA) {
            continue;
        }
        if let Some(why) = &spec.defect {
            let why = PlanError::Definition(why.clone());
            refused.push((create(spec, MapSlot::Map(id), None, machine, options), why));
            continue;
        }
        make.clear();
        let made_up = open.get_mut(&id).filter(|templates| !templates.is_empty());
        let inner = match (inner(spec, id, maps, options), made_up) {
            (Ok(inner), _) => inner,
            (Err(_), Some(templates)) => {
                make.push(Step::CreateMap(templates.remove(0)));
                Some(MapSlot::Template(id))
            }
            (Err(error), None) => {
                refused.push((create(spec, MapSlot::Map(id), None, machine, options), error));
                continue;
            }
        };
        if let (Some(Inner::Template(template)), false) = (&spec.inner, options.inner_given.contains(&id)) {
            make.push(Step::CreateMap(create(template, MapSlot::Template(id), None, machine, options)));
        }
        let mut map = create(spec, MapSlot::Map(id), inner, machine, options);
        if spec.origin == MapOrigin::Internal && !section_is_kept(object, spec, machine.features) {
            map.types = None;
        }
        match object.answers.struct_ops.get(&id) {
            Some(Ok(ops)) => as_kernel_has_it(&mut map, ops),
            Some(Err(why)) => {
                refused.push((map, PlanError::StructOps { map: spec.name.to_string(), why: why.clone() }));
                continue;
            }
            None if spec.struct_ops.is_some() => continue,
            None => {}
        }
        for copy in 1..=copies.get(&id).copied().unwrap_or(0) {
            let name = format!("{}.copy{copy}", map.name).into();
            make.push(Step::CreateMap(CreateMap { slot: MapSlot::Copy(id, copy), name, ..map.clone() }));
        }
        make.push(Step::CreateMap(map));
        contents(spec, id, machine, &mut make);
        match pins::of_map(&object.spec, spec, options) {
            Some(path) => {
                let make = core::mem::take(&mut make);
                steps.push(Step::PinnedMap(PinnedMap { map: id, path, make }));
            }
            None => steps.append(&mut make),
        }
    }
    refused
}

/// Whether the kernel sees the section of variables as one: a value without a key can be nothing else.
fn section_is_kept(object: &LinkedObject, spec: &MapSpec, has: Features) -> bool {
    object.spec.btf.as_ref().is_some_and(|btf| sanitize::is_kept(btf, spec.value_type, has))
}

/// The value of a table of functions is the kernel's structure, not the object's.
fn as_kernel_has_it(map: &mut CreateMap, ops: &KernelOps) {
    map.value_size = u32::try_from(ops.data.len()).unwrap_or(u32::MAX);
    map.kernel_value = Some(Box::new(ops.value));
    map.flags.set(MapFlags::VTYPE_BTF_OBJ_FD, ops.value.module.is_some());
    // The kernel wants some BTF with it, and no types of it.
    map.types = Some((TypeId(0), TypeId(0)));
}

/// As they are defined, but a map of maps behind the one that its inner maps look like: who names that by an id, as
/// iproute2 does, may define it later.
fn in_order(maps: &[MapSpec]) -> impl Iterator<Item = (MapId, &MapSpec)> {
    let numbered = || maps.iter().enumerate().map(|(at, spec)| (MapId::new(at), spec));
    let waits =
        |(id, spec): &(MapId, &MapSpec)| matches!(spec.inner, Some(Inner::Like(other)) if other > *id);
    numbered().filter(move |map| !waits(map)).chain(numbered().filter(waits))
}

/// Appends what fills a map that was created.
fn contents(spec: &MapSpec, id: MapId, machine: &Machine, steps: &mut Vec<Step>) {
    if spec.ty == MapType::ARENA {
        // Programs may use an arena only once it has a place in some process.
        let len = u64::from(spec.max_entries).saturating_mul(machine.page_size.into());
        steps.push(Step::MapMemory { map: id, address: spec.map_extra, len });
    } else if spec.data.is_some() && spec.struct_ops.is_none() {
        // A table of functions is filled when it is registered: its programs must exist.
        steps.push(Step::SetData(id));
    }
    if spec.frozen && machine.features.contains(Features::FROZEN_MAPS) {
        steps.push(Step::Freeze(id));
    }
}

fn inner(
    spec: &MapSpec,
    id: MapId,
    maps: &[MapSpec],
    options: &Options,
) -> Result<Option<MapSlot>, PlanError> {
    match &spec.inner {
        _ if options.inner_given.contains(&id) => Ok(Some(MapSlot::Template(id))),
        Some(Inner::Template(_)) => Ok(Some(MapSlot::Template(id))),
        Some(Inner::Like(other)) => match maps.get(other.index()) {
            Some(like) if !is_of_maps(like) => Ok(Some(MapSlot::Map(*other))),
            _ => Err(PlanError::InnerMap { map: spec.name.to_string(), inner: other.0 }),
        },
        Some(Inner::Missing(inner)) => Err(PlanError::InnerId { map: spec.name.to_string(), id: *inner }),
        None if is_of_maps(spec) => Err(PlanError::NoInnerMap { map: spec.name.to_string(), ty: spec.ty }),
        None => Ok(None),
    }
}

/// What the kernel is asked for to get this map.
pub(super) fn create(
    spec: &MapSpec,
    slot: MapSlot,
    inner: Option<MapSlot>,
    machine: &Machine,
    options: &Options,
) -> CreateMap {
    let features = machine.features;
    let internal = spec.origin == MapOrigin::Internal;
    let mut flags = spec.flags;
    if internal {
        flags.remove(missing_flags(features));
    }
    let typed = spec.key_type.0 != 0 || spec.value_type.0 != 0;
    let takes_types = features.contains(Features::BTF) && !UNTYPED.contains(&spec.ty);
    CreateMap {
        slot,
        name: spec.name.clone(),
        kernel_name: sanitize::name(&spec.name, features),
        ty: spec.ty,
        key_size: size::key(spec),
        value_size: size::value(spec, options),
        max_entries: size::max_entries(spec, machine, options),
        flags,
        numa_node: spec.numa_node,
        map_extra: spec.map_extra,
        inner,
        types: (typed && takes_types).then_some((spec.key_type, spec.value_type)),
        kernel_value: None,
    }
}

/// Flags of maps of global variables that the kernel does not know. The object's own flags are its own business.
fn missing_flags(has: Features) -> MapFlags {
    let mut missing = MapFlags::empty();
    missing.set(MapFlags::MMAPABLE, !has.contains(Features::MMAPABLE_ARRAYS));
    missing.set(MapFlags::RDONLY_PROG, !has.contains(Features::FROZEN_MAPS));
    missing
}

#[cfg(test)]
mod tests {

    use super::*;

    fn spec(ty: MapType, max_entries: u32) -> MapSpec {
        MapSpec { ty, max_entries, ..MapSpec::new("events", ".maps", MapOrigin::Btf) }
    }

    #[test]
    fn a_map_of_maps_must_say_what_is_inside() {
        let options = Options::default();
        let given = Options { inner_given: [MapId(0)].into(), ..Options::default() };
        let all = [spec(MapType::ARRAY_OF_MAPS, 1), spec(MapType::ARRAY, 1)];
        let outer = |inner| MapSpec { inner, ..all[0].clone() };
        let like = |like: Option<u32>, options| {
            let like = like.map(|number| Inner::Like(MapId(number)));
            inner(&outer(like), MapId(0), &all, options)
        };
        assert!(matches!(like(None, &options), Err(PlanError::NoInnerMap { .. })));
        assert_eq!(like(None, &given), Ok(Some(MapSlot::Template(MapId(0)))));
        assert!(matches!(like(Some(0), &options), Err(PlanError::InnerMap { .. })), "itself");
        assert!(matches!(like(Some(2), &options), Err(PlanError::InnerMap { .. })), "nobody");
        assert_eq!(like(Some(1), &options), Ok(Some(MapSlot::Map(MapId(1)))));
    }

    #[test]
    fn a_map_comes_behind_the_one_that_it_asks_for() {
        let like =
            |number| MapSpec { inner: Some(Inner::Like(MapId(number))), ..spec(MapType::ARRAY_OF_MAPS, 1) };
        let plain = || spec(MapType::ARRAY, 1);
        let order = |maps: &[MapSpec]| in_order(maps).map(|(id, _)| id.0).collect::<Vec<_>>();
        assert_eq!(order(&[plain(), like(0), plain()]), [0, 1, 2], "nobody has to wait");
        assert_eq!(order(&[like(2), plain(), plain(), like(1)]), [1, 2, 3, 0]);
    }
}
