//! Walks over maps of the running kernel: every entry once, in batches and key by key, and an end whatever happens meanwhile.
//! And what else only lookers ask: ids, types, statistics.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};

use common::load;
use rxdp_loader::btf::Btf;
use rxdp_loader::btf::value::read;
use rxdp_loader::bytes::Endian;
use rxdp_loader::load::{Entries, Entry, Input, Walk};
use rxdp_loader::sys::{Batch, Errno, Kernel, Linux, MapCreate, MapDetails, Named, RunStats, host};
use rxdp_loader::uapi::{MapFlags, MapType, UpdateFlags};
use rxdp_sandbox::packets;
use rxdp_sandbox::testing::kernel_or_skip;

/// A new map.
fn map(ty: MapType, key_size: u32, value_size: u32, max_entries: u32) -> OwnedFd {
    let flags = if ty == MapType::LPM_TRIE { MapFlags::NO_PREALLOC } else { MapFlags::empty() };
    let (name, kernel_name) = ("walked", "walked");
    let request = MapCreate {
        name,
        kernel_name,
        ty,
        key_size,
        value_size,
        max_entries,
        flags,
        numa_node: 0,
        map_extra: 0,
        inner: None,
        types: None,
        kernel_value: None,
    };
    Linux.map_create(&request).expect("a map")
}

fn named(fd: &OwnedFd) -> Named<'_> {
    Named { name: "walked", fd: fd.as_fd() }
}

fn entries(fd: &OwnedFd) -> Entries<'_, Linux> {
    Entries::of(named(fd), &Linux.map_info(named(fd)).unwrap(), &Linux).unwrap()
}

/// Key number `n`.
fn key(n: u32) -> [u8; 4] {
    n.to_ne_bytes()
}

/// All that a walk shows, by key; no key comes twice.
fn seen(
    walk: impl FnOnce(&mut dyn FnMut(Entry) -> ControlFlow<()>) -> Walk,
) -> (Walk, BTreeMap<Vec<u8>, Vec<Vec<u8>>>) {
    let mut seen = BTreeMap::new();
    let walk = walk(&mut |Entry { key, values }| {
        assert_eq!(seen.insert(key, values), None, "twice");
        ControlFlow::Continue(())
    });
    (walk, seen)
}

#[test]
fn every_entry_is_seen_once() {
    let Some(_sandbox) = kernel_or_skip("every_entry_is_seen_once") else {
        return;
    };
    const COUNT: u32 = 3000;
    let cpus = usize::try_from(host::possible_cpus()).unwrap();
    for (ty, per_cpu) in [
        (MapType::HASH, false),
        (MapType::LRU_HASH, false),
        (MapType::ARRAY, false),
        (MapType::PERCPU_HASH, true),
        (MapType::LRU_PERCPU_HASH, true),
        (MapType::PERCPU_ARRAY, true),
    ] {
        // An LRU map throws out before it is full.
        let fd = map(
            ty,
            4,
            12,
            COUNT * if ty == MapType::LRU_HASH || ty == MapType::LRU_PERCPU_HASH { 8 } else { 1 },
        );
        let entries = entries(&fd);
        let mut expected = BTreeMap::new();
        for n in 0..COUNT {
            let values: Vec<Vec<u8>> = (0..if per_cpu { cpus } else { 1 })
                .map(|cpu| [key(n), key(n + 1), [u8::try_from(cpu % 256).unwrap(); 4]].concat())
                .collect();
            if per_cpu {
                entries.update_per_cpu(&key(n), &values, UpdateFlags::empty()).unwrap();
            } else {
                entries.update(&key(n), &values[0], UpdateFlags::empty()).unwrap();
            }
            expected.insert(key(n).to_vec(), values);
        }
        for (how, (walk, mut seen)) in [
            ("each", seen(|visit| entries.each(visit).unwrap())),
            ("by key", seen(|visit| entries.each_by_key(visit).unwrap())),
        ] {
            seen.retain(|key, _| u32::from_ne_bytes(key[..].try_into().unwrap()) < COUNT);
            assert_eq!((walk, seen.len()), (Walk::Whole, expected.len()), "{ty} {how}");
            assert!(seen == expected, "{ty} {how}");
        }
        let first = entries.each(|_| ControlFlow::Break(())).unwrap();
        assert_eq!(first, Walk::Stopped, "{ty}");
    }
}

/// Values so large that a batch has room for few of them, and buckets with more than those.
#[test]
fn buckets_that_are_larger_than_a_batch_are_read() {
    let Some(_sandbox) = kernel_or_skip("buckets_that_are_larger_than_a_batch_are_read") else {
        return;
    };
    let fd = map(MapType::HASH, 4, 600 << 10, 24);
    let entries = entries(&fd);
    for n in 0..24 {
        entries.update(&key(n), &vec![key(n)[0]; 600 << 10], UpdateFlags::empty()).unwrap();
    }
    let too_small = Linux.map_lookup_batch(named(&fd), None, 1);
    let (walk, seen) = seen(|visit| entries.each(visit).unwrap());
    assert_eq!((walk, seen.len()), (Walk::Whole, 24));
    assert!(seen.iter().all(|(key, values)| values[0].iter().all(|byte| *byte == key[0])));
    // Without a bucket of two the test shows nothing; 24 keys in 32 buckets without one are a chance in millions.
    let mut from: Option<Vec<u8>> = None;
    let mut refused = too_small == Err(Errno::ENOSPC);
    while let Ok(Batch { next: Some(next), .. }) = Linux.map_lookup_batch(named(&fd), from.as_deref(), 1) {
        from = Some(next);
    }
    refused |= Linux.map_lookup_batch(named(&fd), from.as_deref(), 1) == Err(Errno::ENOSPC);
    assert!(refused);
}

#[test]
fn a_map_that_changes_all_the_time_ends() {
    let Some(_sandbox) = kernel_or_skip("a_map_that_changes_all_the_time_ends") else {
        return;
    };
    for (ty, key_size) in [(MapType::LPM_TRIE, 8), (MapType::HASH, 8)] {
        let fd = map(ty, key_size, 4, 64);
        let entries = entries(&fd);
        let key = |n: u32| [32u32.to_ne_bytes(), n.to_be_bytes()].concat();
        let mut last = 0;
        for n in 0..40 {
            entries.update(&key(n), &[0; 4], UpdateFlags::empty()).unwrap();
            last = n;
        }
        // Whatever is shown is taken out, and something else comes in: the walk starts anew each time.
        let mut shown = 0;
        let walk = entries.each_by_key(|entry| {
            shown += 1;
            last += 1;
            assert!(entries.delete(&entry.key).unwrap());
            entries.update(&key(last), &[0; 4], UpdateFlags::empty()).unwrap();
            ControlFlow::Continue(())
        });
        assert_eq!(walk.unwrap(), Walk::Restless, "{ty}");
        assert!(shown < 64 * 4, "{ty}: {shown}");
    }
}

#[test]
fn a_map_says_what_it_is_made_of() {
    let Some(_sandbox) = kernel_or_skip("a_map_says_what_it_is_made_of") else {
        return;
    };
    let object = load("typed_maps.o", &Linux).unwrap();
    let details = |name: &str| Linux.map_details(object.map(name).expect(name).named()).unwrap();
    let id = |name: &str| object.map(name).unwrap().info(&Linux).unwrap().id;
    assert!(Linux.map_ids().unwrap().contains(&id("flows")));
    let program = object.program("count").unwrap();
    assert!(Linux.prog_ids().unwrap().contains(&program.info(&Linux).unwrap().id));

    let MapDetails { types, memory, frozen } = details("settings");
    let types = types.expect("types");
    assert!(memory.is_some_and(|bytes| bytes >= 256) && !frozen, "{memory:?} {frozen}");
    let btf = Btf::parse(&Linux.types_by_id(types.btf).unwrap(), Endian::NATIVE).unwrap();
    assert_eq!((btf.name(types.key).as_ref(), btf.name(types.value).as_ref()), ("u32", "setting"));
    assert_eq!(details("plain").types, None);

    let constants = details("typed_ma.rodata");
    assert!(constants.frozen);
    let value = object.map("typed_ma.rodata").unwrap().entries(&Linux).unwrap().lookup(&[0; 4]).unwrap();
    let shown = read(&btf, constants.types.unwrap().value, &value.unwrap(), Endian::NATIVE).unwrap();
    assert_eq!(shown.to_string(), "{answer = 42}");

    // Statistics count while somebody wants them.
    let packet = packets::udp(1, 2, b"x");
    let run = |repeat| program.test_run(&Linux, &Input { repeat, ..Input::packet(&packet) }).unwrap();
    let statistics = Linux.keep_statistics().unwrap();
    let RunStats { runs: before, .. } = Linux.run_stats(program.named()).unwrap();
    run(5);
    let RunStats { runs, nanoseconds, .. } = Linux.run_stats(program.named()).unwrap();
    assert_eq!(runs, before + 5);
    assert!(nanoseconds > 0);
    drop(statistics);
}
