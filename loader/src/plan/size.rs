//! How large maps become: what depends on the machine, what the kernel leaves no choice in, and what a definition leaves
//! open for the loader that it was written for.
//!
//! Source: libbpf `map_set_def_max_entries`, `adjust_ringbuf_sz`; the kernel's `*_alloc_check`.

use super::Options;
use crate::features::Machine;
use crate::spec::{MapOrigin, MapSpec};
use crate::uapi::MapType;

/// Entries of a map that leaves them open, if nothing better is known.
const ENTRIES: u32 = 1024;
/// **Pages** of a ring buffer that leaves its size open.
const RING_PAGES: u32 = 64;

/// Map types whose entries loaders set to the number of CPUs: one slot of scratch memory, one buffer or queue a CPU.
const ONE_A_CPU: &[MapType] = &[MapType::ARRAY, MapType::CPUMAP];

/// Map types that must not say how many entries they have, or of which nothing is known.
const OPEN: &[MapType] = &[
    MapType::UNSPEC,
    MapType::CGROUP_STORAGE,
    MapType::PERCPU_CGROUP_STORAGE,
    MapType::SK_STORAGE,
    MapType::INODE_STORAGE,
    MapType::TASK_STORAGE,
    MapType::CGRP_STORAGE,
    MapType::STRUCT_OPS,
    MapType::ARENA,
];

/// Map types with keys and values of four bytes, whatever a definition says: it may leave them out.
const OF_DESCRIPTORS: &[MapType] =
    &[MapType::PERF_EVENT_ARRAY, MapType::PROG_ARRAY, MapType::CGROUP_ARRAY, MapType::ARRAY_OF_MAPS];

/// **Bytes** of the deepest stack that the kernel records unless it is told otherwise: 127 addresses.
/// Source: `PERF_MAX_STACK_DEPTH`.
const STACK: u32 = 127 * 8;

/// **Bytes** of a descriptor, and of an index.
const WORD: u32 = 4;

/// **Bytes** of a key.
pub(super) fn key(spec: &MapSpec) -> u32 {
    if spec.key_size == 0 && OF_DESCRIPTORS.contains(&spec.ty) { WORD } else { spec.key_size }
}

/// **Bytes** of a value.
pub(super) fn value(spec: &MapSpec, options: &Options) -> u32 {
    let word = OF_DESCRIPTORS.contains(&spec.ty) || spec.ty == MapType::HASH_OF_MAPS;
    match (spec.ty, spec.value_size) {
        (_, 0) if word => WORD,
        (MapType::STACK_TRACE, 0) if options.size_maps => STACK,
        (_, size) => size,
    }
}

/// Most entries.
pub(super) fn max_entries(spec: &MapSpec, machine: &Machine, options: &Options) -> u32 {
    match (spec.ty, spec.max_entries) {
        (MapType::PERF_EVENT_ARRAY, 0) => machine.cpus,
        (MapType::RINGBUF | MapType::USER_RINGBUF, bytes @ 1..) => {
            bytes.max(machine.page_size).checked_next_power_of_two().unwrap_or(bytes)
        }
        (_, 0) if options.size_maps && spec.origin != MapOrigin::Internal => when_open(spec, machine),
        (_, entries) => entries,
    }
}

/// What loaders most often give to a map of this type.
fn when_open(spec: &MapSpec, machine: &Machine) -> u32 {
    match spec.ty {
        ty if OPEN.contains(&ty) => 0,
        ty if ONE_A_CPU.contains(&ty) => machine.cpus,
        MapType::RINGBUF | MapType::USER_RINGBUF => machine.page_size.saturating_mul(RING_PAGES),
        _ => ENTRIES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine { cpus: 6, ..Machine::NEWEST };

    fn spec(ty: MapType, max_entries: u32) -> MapSpec {
        MapSpec { ty, max_entries, ..MapSpec::new("events", ".maps", MapOrigin::Btf) }
    }

    #[test]
    fn sizes_follow_the_machine() {
        let entries = |ty, n| max_entries(&spec(ty, n), &MACHINE, &Options::default());
        assert_eq!(entries(MapType::PERF_EVENT_ARRAY, 0), 6);
        assert_eq!(entries(MapType::PERF_EVENT_ARRAY, 2), 2);
        assert_eq!(entries(MapType::RINGBUF, 4096), 4096);
        assert_eq!(entries(MapType::RINGBUF, 5000), 8192);
        assert_eq!(entries(MapType::RINGBUF, 1), 4096);
        assert_eq!(entries(MapType::RINGBUF, 0), 0);
        assert_eq!(entries(MapType::HASH, 5000), 5000);
        assert_eq!(entries(MapType::HASH, 0), 0, "nobody asked for a guess");
    }

    #[test]
    fn what_a_definition_leaves_open_is_given_if_asked_for() {
        let options = Options { size_maps: true, ..Options::default() };
        let entries = |ty| max_entries(&spec(ty, 0), &MACHINE, &options);
        assert_eq!(entries(MapType::ARRAY), 6);
        assert_eq!(entries(MapType::HASH), ENTRIES);
        assert_eq!(entries(MapType::RINGBUF), RING_PAGES * 4096);
        assert_eq!(entries(MapType::SK_STORAGE), 0, "the kernel wants 0");
        assert_eq!(max_entries(&spec(MapType::HASH, 7), &MACHINE, &options), 7);
        let internal = MapSpec { ty: MapType::ARRAY, ..MapSpec::new("x", ".data", MapOrigin::Internal) };
        assert_eq!(max_entries(&internal, &MACHINE, &options), 0);
    }

    #[test]
    fn tables_of_descriptors_have_words() {
        let sizes = |ty| (key(&spec(ty, 1)), value(&spec(ty, 1), &Options::default()));
        assert_eq!(sizes(MapType::PERF_EVENT_ARRAY), (4, 4));
        assert_eq!(sizes(MapType::PROG_ARRAY), (4, 4));
        assert_eq!(sizes(MapType::HASH), (0, 0));
        assert_eq!(sizes(MapType::HASH_OF_MAPS), (0, 4));
        assert_eq!(sizes(MapType::STACK_TRACE), (0, 0), "nobody asked for a guess");
        let options = Options { size_maps: true, ..Options::default() };
        assert_eq!(value(&spec(MapType::STACK_TRACE, 1), &options), STACK);
    }
}
