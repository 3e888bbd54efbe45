//! What the committed objects promise in their first comments, on the running kernel with real packets.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Instant;

use common::wire::{PATIENCE, Tagged, Trace, Wire, frame};
use common::{all, linked, linked_here, load, plan, xdp_options};
use rxdp_loader::features::Machine;
use rxdp_loader::load::{
    self as room, Ask, Blame, Given, LoadError, LoadedMap, LoadedObject, LogPolicy, verify,
};
use rxdp_loader::plan::{MixedTables, Options, PlanError, Select, SlotSource};
use rxdp_loader::spec::MapId;
use rxdp_loader::sys::{Errno, Kernel, Linux, MapCreate, MapUpdate, MapValue, Named, host};
use rxdp_loader::uapi::{MapFlags, MapType, UpdateFlags};
use rxdp_netlink::XdpMode;
use rxdp_sandbox::End;
use rxdp_sandbox::testing::kernel_or_skip;

fn loaded(name: &str) -> LoadedObject {
    load(name, &Linux).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `N` words of 8 bytes of what stands under this key.
fn words<const N: usize>(map: &LoadedMap, key: u32) -> [u64; N] {
    let value = Linux.map_lookup(map.named(), &key.to_ne_bytes(), 8 * N).unwrap();
    std::array::from_fn(|at| u64::from_ne_bytes(value[8 * at..8 * at + 8].try_into().unwrap()))
}

fn put(map: &LoadedMap, key: u32, value: &[u8]) -> Result<(), Errno> {
    let (map, value) = (map.named(), MapValue::Bytes(value));
    Linux.map_update(&MapUpdate { map, key: &key.to_ne_bytes(), value, flags: UpdateFlags::empty() })
}

#[test]
fn global_data_is_where_the_program_looks() {
    let Some(wire) = Wire::or_skip("global_data_is_where_the_program_looks") else {
        return;
    };
    for name in ["data.o", "data-clang14.o"] {
        let object = loaded(name);
        let base = name.strip_suffix(".o").unwrap();
        let map = |section: &str| {
            let full = format!("{}{section}", &base[..base.len().min(8)]).replace('-', "_");
            object.map(&full).unwrap_or_else(|| panic!("{full}"))
        };
        assert_eq!(words::<1>(map(".data"), 0), [42 | 1 << 32], "the beginning: answer, steps[0]");

        let mut trace = Trace::start();
        let attached = wire.attach(&object.programs[0], XdpMode::Native);
        wire.far.send(&frame(2, b"dropped")).unwrap();
        until(|| words::<1>(map(".bss"), 0) == [1]);
        trace.next(|line| line == "data: sum=45");
        let bss = Linux.map_lookup(map(".bss").named(), &0u32.to_ne_bytes(), 12).unwrap();
        assert_eq!(bss[8..], 45u32.to_ne_bytes(), "sum");

        // What user space writes is what the program reads: answer 100, steps 0 and 7.
        let data: Vec<u8> = [100u32, 0, 7].iter().flat_map(|n| n.to_ne_bytes()).collect();
        put(map(".data"), 0, &data).unwrap();
        wire.far.send(&frame(2, b"dropped as well")).unwrap();
        until(|| words::<1>(map(".bss"), 0) == [2]);
        trace.next(|line| line == "data: sum=107");
        attached.detach_blocking().unwrap();

        let last = frame(2, b"nobody is in the way");
        wire.far.send(&last).unwrap();
        assert_eq!(wire.arrived(), last, "{name}: those before were dropped");

        assert_eq!(put(map(".rodata"), 0, &2u32.to_ne_bytes()), Err(Errno::EPERM), "frozen");
        let info = map(".rodata").info(&Linux).unwrap();
        assert!(info.flags.contains(MapFlags::RDONLY_PROG), "{info:?}");
    }
}

#[test]
fn each_program_of_a_section_is_itself() {
    let Some(wire) = Wire::or_skip("each_program_of_a_section_is_itself") else {
        return;
    };
    for name in ["several.o", "several-clang14.o"] {
        let object = loaded(name);
        let names: Vec<&str> = object.programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names, ["xdp_first", "xdp_second", "xdp_third"]);
        let seen = || [0, 1, 2].map(|slot| words::<1>(&object.maps[0], slot)[0]);
        assert_eq!(seen(), [0, 0, 0]);

        let (passed, dropped, returned) = (frame(2, b"pass"), frame(2, b"drop"), frame(2, b"back"));
        // Generic mode, in which XDP_TX needs nothing of the other end.
        let attached = wire.attach(&object.programs[0], XdpMode::Generic);
        wire.far.send(&passed).unwrap();
        assert_eq!(wire.arrived(), passed);
        assert_eq!(seen(), [1, 0, 0]);
        attached.detach_blocking().unwrap();

        let attached = wire.attach(&object.programs[1], XdpMode::Generic);
        wire.far.send(&dropped).unwrap();
        until(|| seen() == [1, 1, 0]);
        attached.detach_blocking().unwrap();

        let attached = wire.attach(&object.programs[2], XdpMode::Generic);
        wire.far.send(&returned).unwrap();
        // What passed before was answered by ICMP: port unreachable.
        let back = wire.far.receive_until(PATIENCE, |frame| *frame == returned).unwrap();
        assert!(back.is_some(), "XDP_TX sends it back");
        assert_eq!(seen(), [1, 1, 1]);
        attached.detach_blocking().unwrap();

        wire.far.send(&passed).unwrap();
        assert_eq!(wire.arrived(), passed, "{name}: what was dropped or returned did not arrive");
    }
}

/// Waits for something that happens on another CPU and that nobody announces.
fn until(happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "it does not happen");
        std::thread::yield_now();
    }
}

#[test]
fn calls_reach_the_functions_they_name() {
    let Some(wire) = Wire::or_skip("calls_reach_the_functions_they_name") else {
        return;
    };
    for name in ["calls.o", "calls-clang14.o"] {
        let object = loaded(name);
        let sum = || words::<1>(&object.maps[0], 0)[0];
        let attached = wire.attach(object.program("xdp_calls").unwrap(), XdpMode::Native);
        // The program looks at the first byte of the frame: below 100 passes, the rest is dropped.
        for (first, passes) in [(200, false), (2, true), (100, false), (99, true), (99, true)] {
            let before = sum();
            let sent = frame(first, &[first]);
            wire.far.send(&sent).unwrap();
            if passes {
                assert_eq!(wire.arrived(), sent, "{name}");
            }
            until(|| sum() == before + u64::from(first));
        }
        attached.detach_blocking().unwrap();
        assert_eq!(sum(), 500);

        let attached = wire.attach(object.program("xdp_other").unwrap(), XdpMode::Native);
        let sent = frame(255, b"any byte");
        wire.far.send(&sent).unwrap();
        assert_eq!(wire.arrived(), sent, "{name}: it always passes");
        assert_eq!(sum(), 755);
        attached.detach_blocking().unwrap();
    }
}

#[test]
fn map_definitions_of_every_length_are_read() {
    let Some(wire) = Wire::or_skip("map_definitions_of_every_length_are_read") else {
        return;
    };
    for words in 4..=7 {
        let name = format!("map_defs-{}.o", 4 * words);
        let object = loaded(&name);
        let (first, second) = (object.map("first").unwrap(), object.map("second").unwrap());
        let facts = |map: &LoadedMap| {
            let info = map.info(&Linux).unwrap();
            assert_eq!((info.name.as_str(), info.key_size), (map.name.as_str(), 4));
            (info.ty, info.value_size, info.max_entries, info.flags)
        };
        let no_prealloc = if words >= 5 { MapFlags::NO_PREALLOC } else { MapFlags::empty() };
        let numa = if words >= 7 { MapFlags::NUMA_NODE } else { MapFlags::empty() };
        assert_eq!(facts(first), (MapType::ARRAY, 8, 3, numa), "{name}");
        assert_eq!(facts(second), (MapType::HASH, 16, 5, no_prealloc), "{name}");

        // The program passes what arrives as long as `first` has key 0 and `second` has not.
        let attached = wire.attach(&object.programs[0], XdpMode::Native);
        let (passed, aborted) = (frame(2, b"pass"), frame(2, b"abort"));
        wire.far.send(&passed).unwrap();
        assert_eq!(wire.arrived(), passed, "{name}");
        put(second, 0, &[1; 16]).unwrap();
        let before = wire.taken_in();
        wire.far.send(&aborted).unwrap();
        until(|| wire.taken_in() > before);
        attached.detach_blocking().unwrap();
        wire.far.send(&passed).unwrap();
        assert_eq!(wire.arrived(), passed, "{name}: what was aborted did not arrive");
    }
}

#[test]
fn slots_that_the_object_gives_hold_its_programs() {
    if kernel_or_skip("slots_that_the_object_gives_hold_its_programs").is_none() {
        return;
    }
    let table = [
        ("values.o", 5, SlotSource::Values),
        ("iproute2.o", 1, SlotSource::Section),
        ("socket_slots.o", 3, SlotSource::Section),
    ];
    for (name, key, from) in table {
        let object = loaded(name);
        let [slot] = &object.slots[..] else {
            panic!("{name}: {:?}", object.slots);
        };
        let target = object.program("target").unwrap().info(&Linux).unwrap().id;
        assert_eq!((slot.fill.key, slot.fill.from, slot.id), (key, from, Some(target)), "{name}");
        assert_eq!(Linux.slot_id(object.maps[0].named(), key), Ok(target), "{name}");
        let others = (0..4).filter(|other| *other != key);
        for other in others {
            assert_eq!(
                Linux.slot_id(object.maps[0].named(), other),
                Err(Errno::ENOENT),
                "{name}, slot {other}"
            );
        }
    }
}

#[test]
fn every_build_of_the_articles_object_jumps() {
    let Some(wire) = Wire::or_skip("every_build_of_the_articles_object_jumps") else {
        return;
    };
    let builds: Vec<String> = all().into_iter().filter(|name| name.starts_with("tail_kern")).collect();
    assert!(builds.len() >= 10, "{builds:?}");
    for name in builds {
        let bytes = Tagged::of(&name);
        let spec = common::read(&name, bytes.bytes()).unwrap();
        let object = rxdp_loader::link::link(spec);
        let object = room::execute(&plan(&object).unwrap(), &Linux, Given::default()).unwrap();
        let names: Vec<&str> = object.maps.iter().map(|map| map.name.as_str()).take(2).collect();
        assert_eq!(names, ["jmp_table1", "jmp_table2"], "{name}");

        let mut trace = Trace::start();
        let attached = wire.attach(&object.programs[0], XdpMode::Native);
        let packet = frame(2, name.as_bytes());
        wire.far.send(&packet).unwrap();
        assert_eq!(bytes.line(&mut trace), "Killroy was here! 42", "{name}");
        assert_eq!(bytes.line(&mut trace), "jmp_table empty, reached fall-through action", "{name}");
        let value = MapValue::Named(object.programs[1].named());
        let (map, key) = (object.maps[0].named(), &78u32.to_ne_bytes());
        Linux.map_update(&MapUpdate { map, key, value, flags: UpdateFlags::empty() }).unwrap();
        wire.far.send(&packet).unwrap();
        assert_eq!(bytes.line(&mut trace), "Killroy was here! 42", "{name}");
        assert_eq!(bytes.line(&mut trace), "tail call (xdp_1) id=1", "{name}");
        attached.detach_blocking().unwrap();
    }
}

/// A program with the flag fits an interface of any MTU; one without is refused there in native mode.
#[test]
fn frags_are_said_to_the_kernel() {
    let Some(wire) = Wire::or_skip("frags_are_said_to_the_kernel") else {
        return;
    };
    for end in [End::Near, End::Far] {
        wire.sandbox.set_mtu(end.interface(), 9000).unwrap();
    }
    let v0 = wire.sandbox.ifindex(End::Near);
    let without = loaded("spellings.o");
    let program = without.program("plain").unwrap();
    wire.netlink.hold(v0, program.as_fd(), XdpMode::Native).unwrap_err();
    for name in ["frags", "frags_name"] {
        wire.attach(without.program(name).unwrap(), XdpMode::Native).detach_blocking().unwrap();
    }
    let attached = wire.attach(loaded("frags.o").program("xdp_frags").unwrap(), XdpMode::Native);
    let long = frame(2, &[7; 8000]);
    wire.far.send(&long).unwrap();
    assert_eq!(wire.arrived(), long);
    attached.detach_blocking().unwrap();
}

#[test]
fn the_verifiers_refusal_carries_the_source_line() {
    if kernel_or_skip("the_verifiers_refusal_carries_the_source_line").is_none() {
        return;
    }
    let object = linked("refused.o");
    for policy in [LogPolicy::End, LogPolicy::Whole] {
        let given = Given { log: policy, ..Given::default() };
        let error = room::execute(&plan(&object).unwrap(), &Linux, given).unwrap_err();
        let LoadError::ProgLoad { program, section, errno, log, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((program.as_str(), &**section, *errno), ("xdp_unchecked", "xdp", Errno::EACCES));
        assert!(log.text.contains("return packet[13] == 0 ? XDP_DROP : XDP_PASS;"), "{}", log.text);
        assert!(!log.truncated);
        assert_eq!(error.log(), Some(log));
        assert_eq!((error.blame(), error.errno()), (Blame::Kernel, Some(Errno::EACCES)));
        let text = error.to_string();
        assert!(text.starts_with(
            "program \"xdp_unchecked\" (section \"xdp\", type xdp): BPF_PROG_LOAD failed: EACCES: "
        ));
        assert!(text.contains("packet"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}

/// Programs that do not load, by their objects.
const REFUSED: &[(&str, &str)] = &[
    ("broken_maps-clang22.o", "uses_good"),
    ("broken_maps-clang22.o", "uses_outer"),
    ("broken_maps-clang22.o", "uses_pinned"),
    ("broken_maps.o", "uses_outer"),
    ("broken_maps.o", "uses_pinned"),
    ("hooks.o", "nowhere"),
    ("inner_maps-none.o", "count_inside"),
    ("licensed-nobody.o", "xdp_prints"),
    ("loops-endless.o", "endless"),
    ("reached.o", "no_function"),
    ("reached.o", "no_member"),
    ("reached.o", "no_value"),
    ("reached.o", "other_kind"),
    ("refused.o", "xdp_unchecked"),
    ("replaces.o", "after"),
    ("replaces.o", "all_pass"),
    ("replaces.o", "before"),
    ("replaces.o", "whole"),
    ("struct_ops-link.o", "nobody_calls"),
    ("struct_ops.o", "nobody_calls"),
];

/// Programs and maps, by their objects, that older kernels refuse, and since when they are taken.
const NEWER: &[(&str, &str, (u8, u8))] = &[
    ("attached.o", "filter", (6, 4)),
    ("ksyms.o", "find", (6, 2)),
    ("struct_ops-link.o", "rxdp_test", (6, 4)),
    ("throws.o", "throws", (6, 7)),
];

/// Programs that kernels take or not, as they were built, and what those say that do not: where variables are stands in
/// `/proc/kallsyms` with CONFIG_KALLSYMS_ALL, functions are traced where the architecture and its owner allow it.
const DEPENDS: &[(&str, &str, Errno)] = &[
    ("attached.o", "change", Errno::EPERM),
    ("attached.o", "hook", Errno::EPERM),
    ("core_kernel.o", "by_variable", Errno::ENOENT),
    ("hooks.o", "entry", Errno::EPERM),
    ("hooks.o", "leaving", Errno::EPERM),
];

/// An object whose maps are refused, each for a reason of its own.
const WRONG_MAPS: &str = "refused_maps.o";

/// Each object, every program of it, and what becomes of it here.
#[test]
fn every_committed_object_loads_or_says_why_not() {
    if kernel_or_skip("every_committed_object_loads_or_says_why_not").is_none() {
        return;
    }
    let this = (host::machine().kernel.major, host::machine().kernel.minor);
    let newer: Vec<_> = NEWER.iter().filter(|(.., since)| this < *since).map(|row| (row.0, row.1)).collect();
    let refused: Vec<_> = REFUSED.iter().chain(&newer).copied().collect();
    for name in all() {
        let object = linked_here(&name);
        let options = Options { select: Select::All, mixed_tables: MixedTables::Copy, ..xdp_options() };
        let plan = match rxdp_loader::plan::plan(&object, &Machine::NEWEST, &options) {
            Ok(plan) => plan,
            Err(PlanError::ForeignEndian(..)) if name.ends_with("-bigendian.o") => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        let report = verify(&plan, &Linux, Given::default(), Ask::Everything);
        let (maps, programs) = (report.maps.len(), report.programs.len());
        assert_eq!((maps, programs), (object.spec.maps.len(), object.spec.programs.len()), "{name}");
        for program in &report.programs {
            let of = &object.spec.program(program.id).unwrap().name;
            let depends = DEPENDS.iter().find(|row| (row.0, row.1) == (&*name, &**of));
            let allowed = program.result.is_err() && depends.is_some();
            if allowed {
                assert_eq!(
                    program.result.as_ref().unwrap_err().errno(),
                    depends.map(|(.., errno)| *errno),
                    "{of}"
                );
                continue;
            }
            let refused = refused.contains(&(&name, of));
            assert_eq!(program.result.is_err(), refused, "{name}: {:?}", program.result);
            let (Ok(info), Some(load)) = (&program.result, &program.load) else {
                continue;
            };
            let info = info.as_ref().unwrap();
            assert_eq!((&*info.name, info.ty), (load.kernel_name.as_str(), load.ty), "{name}");
            let map_id = |map: MapId| report.maps[map.index()].result.as_ref().unwrap().as_ref().unwrap().id;
            let refs = &object.program(program.id).unwrap().map_refs;
            let expected: BTreeSet<u32> = refs.iter().map(|(_, map)| map_id(*map)).collect();
            assert_eq!(info.map_ids.iter().copied().collect::<BTreeSet<_>>(), expected, "{name}");
        }
        let failed = report.first_error().map(ToString::to_string);
        let all_here = !DEPENDS.iter().any(|(object, ..)| *object == name);
        let expected = refused.iter().any(|(object, _)| *object == name) || name == WRONG_MAPS;
        assert!(failed.is_some() == expected || !all_here, "{name}: {failed:?}");
    }
}

/// The kernel writes as much as the map's values have, whatever room it is told of.
#[test]
fn a_value_that_is_larger_than_asked_for_stays_inside_its_memory() {
    const LARGE: u32 = 1 << 20;
    if kernel_or_skip("a_value_that_is_larger_than_asked_for_stays_inside_its_memory").is_none() {
        return;
    }
    let create = MapCreate {
        name: "large",
        kernel_name: "large",
        ty: MapType::ARRAY,
        key_size: 4,
        value_size: LARGE,
        max_entries: 1,
        flags: MapFlags::empty(),
        numa_node: 0,
        map_extra: 0,
        inner: None,
        types: None,
        kernel_value: None,
    };
    let fd = Linux.map_create(&create).unwrap();
    let map = Named { name: "large", fd: fd.as_fd() };
    let flags = UpdateFlags::empty();
    let (key, value) = (&[0; 4], MapValue::Bytes(&[7]));
    Linux.map_update(&MapUpdate { map, key, value, flags }).unwrap();
    assert_eq!(Linux.map_lookup(map, key, 2), Ok(vec![7, 0]), "zeroes follow what was given");
    assert_eq!(Linux.map_next_key(map, None, 1), Ok(vec![0]));
}
