//! What the inner maps of a map of maps may look like, where its definition leaves that to a loader that made them when
//! it ran.
//!
//! The verifier looks at one inner map only, and that one must suit the program: keys no longer than what the program
//! has for them, values no shorter than what it reads of them, a type that its helpers take. A hash with a short key and
//! a long value suits nearly all programs that only look something up; for the others there are more to try.
//!
//! Source: the kernel's `bpf_map_meta_alloc`, `check_map_func_compatibility`, `check_func_arg`.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::map::create;
use super::{CreateMap, MapSlot, Options};
use crate::features::Machine;
use crate::link::LinkedObject;
use crate::spec::{Inner, MapDialect, MapId, MapOrigin, MapSpec};
use crate::uapi::{Helper, MapFlags, MapType};

/// **Bytes** of a value that is long enough for whatever a program reads of it.
const LONG: u32 = 64 << 10;
/// **Bytes** of a value that there is one of for each CPU: the kernel takes 32 KiB at most.
const LONG_PER_CPU: u32 = 8 << 10;
/// **Bytes** of a stack with 127 addresses.
const STACK: u32 = 127 * 8;

/// **Bytes** of values that a program may have on its stack, which has 512, when it puts them into a map: those that are
/// most common first, since of two maps each is tried with each of the other's.
const ON_STACK: &[u32] = &[
    8, 16, 4, 24, 32, 12, 20, 64, 40, 48, 128, 256, 512, 28, 36, 56, 44, 52, 60, 72, 80, 88, 96, 112, 192,
    384, 2, 1,
];

/// Types that the kernel takes no inner maps of, or whose maps belong to one process or one program.
/// Source: `map_meta_equal` of each type's `struct bpf_map_ops`.
const NEVER_INNER: &[MapType] = &[
    MapType::UNSPEC,
    MapType::PROG_ARRAY,
    MapType::CGROUP_STORAGE,
    MapType::PERCPU_CGROUP_STORAGE,
    MapType::STRUCT_OPS,
    MapType::ARENA,
];

/// What suits nearly all programs.
const MOST: Shape = Shape(MapType::HASH, 1, LONG);

/// A type, and **bytes** of a key and of a value.
#[derive(Clone, Copy)]
struct Shape(MapType, u32, u32);

/// What the helpers take that take no hash.
#[rustfmt::skip]
const BY_HELPER: &[(&[Helper], &[Shape])] = &[
    (&[Helper::REDIRECT_MAP], &[
        Shape(MapType::DEVMAP, 4, 4),
        Shape(MapType::DEVMAP_HASH, 4, 4),
        Shape(MapType::CPUMAP, 4, 4),
        Shape(MapType::XSKMAP, 4, 4),
    ]),
    (
        &[
            Helper::PERF_EVENT_OUTPUT,
            Helper::PERF_EVENT_READ,
            Helper::PERF_EVENT_READ_VALUE,
            Helper::SKB_OUTPUT,
            Helper::XDP_OUTPUT,
        ],
        &[Shape(MapType::PERF_EVENT_ARRAY, 4, 4)],
    ),
    (&[Helper::RINGBUF_OUTPUT, Helper::RINGBUF_RESERVE, Helper::RINGBUF_QUERY], &[
        Shape(MapType::RINGBUF, 0, 0),
    ]),
    (&[Helper::GET_STACKID], &[Shape(MapType::STACK_TRACE, 4, STACK)]),
    (&[Helper::SKB_UNDER_CGROUP, Helper::CURRENT_TASK_UNDER_CGROUP], &[
        Shape(MapType::CGROUP_ARRAY, 4, 4),
    ]),
    (&[Helper::SK_SELECT_REUSEPORT], &[Shape(MapType::REUSEPORT_SOCKARRAY, 4, 8)]),
    (&[Helper::SK_REDIRECT_MAP, Helper::MSG_REDIRECT_MAP, Helper::SOCK_MAP_UPDATE], &[
        Shape(MapType::SOCKMAP, 4, 4),
    ]),
    (&[Helper::SK_REDIRECT_HASH, Helper::MSG_REDIRECT_HASH, Helper::SOCK_HASH_UPDATE], &[
        Shape(MapType::SOCKHASH, 1, 4),
    ]),
    (&[Helper::MAP_LOOKUP_PERCPU_ELEM], &[Shape(MapType::PERCPU_HASH, 1, LONG_PER_CPU)]),
];

/// Helpers that take a value from the program, and the map that they put it into.
#[rustfmt::skip]
const TAKE_VALUES: &[(&[Helper], MapType, u32)] = &[
    (&[Helper::MAP_UPDATE_ELEM], MapType::HASH, 1),
    (&[Helper::MAP_PUSH_ELEM, Helper::MAP_POP_ELEM, Helper::MAP_PEEK_ELEM], MapType::QUEUE, 0),
];

/// For each map of maps that leaves its inner maps open: what to make in their place, the likeliest first.
pub(super) fn open(
    object: &LinkedObject,
    machine: &Machine,
    options: &Options,
) -> BTreeMap<MapId, Vec<CreateMap>> {
    let maps = &object.spec.maps;
    if !options.make_inner {
        return BTreeMap::new();
    }
    let numbered = maps.iter().enumerate().map(|(at, spec)| (MapId::new(at), spec));
    let open = numbered.filter(|(id, spec)| leaves_open(spec, maps) && !options.inner_given.contains(id));
    open.map(|(id, _)| {
        let templates = templates(object, id, machine);
        let made = |spec: &MapSpec| create(spec, MapSlot::Template(id), None, machine, options);
        (id, templates.iter().map(made).collect())
    })
    .collect()
}

/// The kernel knows no deeper nesting: such a map is no template of inner maps.
pub(super) fn is_of_maps(spec: &MapSpec) -> bool {
    matches!(spec.ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS)
}

/// Whether nobody says what the inner maps of a map look like. The number 0 is what stands there if nobody wrote one.
fn leaves_open(spec: &MapSpec, maps: &[MapSpec]) -> bool {
    let in_words = matches!(spec.origin, MapOrigin::Legacy(_, MapDialect::Samples));
    let unsaid = match &spec.inner {
        None | Some(Inner::Missing(_)) => true,
        Some(Inner::Like(MapId(0))) if in_words => true,
        Some(Inner::Like(other)) => maps.get(other.index()).is_none_or(is_of_maps),
        Some(Inner::Template(_)) => false,
    };
    is_of_maps(spec) && unsaid && spec.defect.is_none()
}

fn templates(object: &LinkedObject, outer: MapId, machine: &Machine) -> Vec<MapSpec> {
    let programs = || object.programs.iter().flatten();
    let used: BTreeSet<MapId> =
        programs().flat_map(|program| program.map_refs.iter().map(|(_, id)| *id)).collect();
    let of_outer = programs().filter(|program| program.map_refs.iter().any(|(_, id)| *id == outer));
    let helpers: BTreeSet<u32> = of_outer.flat_map(|p| &p.insns).filter_map(|insn| insn.helper()).collect();
    let calls = |some: &[Helper]| some.iter().any(|helper| helpers.contains(&helper.0));

    // A map that no program looks at is there for its looks; the others may have timers and locks that nobody can guess.
    let numbered = object.spec.maps.iter().enumerate().map(|(at, spec)| (MapId::new(at), spec));
    let (used, unused): (Vec<_>, Vec<_>) =
        numbered.filter(|(_, spec)| can_be_inner(spec)).partition(|(id, _)| used.contains(id));
    let like = |(_, spec): (MapId, &MapSpec)| spec.to_owned();
    let by_helper = BY_HELPER.iter().filter(|(some, _)| calls(some)).flat_map(|(_, shapes)| *shapes);
    let values = TAKE_VALUES.iter().filter(|(some, ..)| calls(some));
    let values = values.flat_map(|(_, ty, key)| ON_STACK.iter().map(|value| Shape(*ty, *key, *value)));
    let made = [MOST].into_iter().chain(by_helper.copied()).chain(values);
    let made = made.map(|shape| shape.spec(machine));

    let mut all: Vec<MapSpec> = unused.into_iter().map(like).chain(made).collect();
    // Behind what suits most, before what is many.
    let behind =
        all.iter().position(|map| *map.section == *MADE_UP).map_or(all.len(), |at| at.saturating_add(1));
    let rest = all.split_off(behind);
    all.extend(used.into_iter().map(like).chain(rest));
    let mut seen = Vec::new();
    all.retain(|map| {
        let looks = (map.ty, map.key_size, map.value_size, map.flags, map.value_type);
        let is_new = !seen.contains(&looks);
        seen.push(looks);
        is_new
    });
    all
}

/// Where maps stand that stand in no object.
const MADE_UP: &str = "";

fn can_be_inner(spec: &MapSpec) -> bool {
    let is_own = spec.origin != MapOrigin::Internal && spec.defect.is_none();
    is_own && !is_of_maps(spec) && !NEVER_INNER.contains(&spec.ty)
}

impl Shape {
    fn spec(self, machine: &Machine) -> MapSpec {
        let Self(ty, key_size, value_size) = self;
        let max_entries = if ty == MapType::RINGBUF { machine.page_size } else { 1 };
        let flags = MapFlags::empty();
        MapSpec {
            ty,
            key_size,
            value_size,
            max_entries,
            flags,
            ..MapSpec::new("made_up", MADE_UP, MapOrigin::Internal)
        }
    }
}
