//! One program by many compilers (`tests/fixtures/builds`): each of them runs on a packet, and does what its source says.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use common::plan;
use rxdp_loader::link::{LinkedObject, link};
use rxdp_loader::load::{self, Given, Input, LoadedMap, LoadedObject};
use rxdp_loader::spec::{Dialects, MapDialect};
use rxdp_loader::sys::{Kernel, Linux, MapUpdate, MapValue};
use rxdp_loader::uapi::UpdateFlags;
use rxdp_sandbox::packets;
use rxdp_sandbox::testing::kernel_or_skip;

/// Source: `enum xdp_action`.
const ABORTED: u32 = 0;
const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

/// What a program of type `socket` takes of a packet, when it takes all of it.
const ALL: u32 = u32::MAX;

/// In a frame: the first byte, the protocol of its IPv4 header, the port of its UDP header that it goes to.
const FIRST: usize = 0;
const PROTOCOL: usize = 23;
const PORT: usize = 36;

/// One program, in how many builds it is there, and what is done to each of them.
struct Row {
    object: &'static str,
    builds: usize,
    steps: &'static [Step],
}

/// Something that is done, or that is so afterwards.
#[derive(Debug)]
enum Step {
    /// The program returns this for a UDP packet in which one byte is another.
    Run(&'static str, (usize, u8), u32),
    /// As [`Step::Run`], and the packet comes out with this port.
    Port(&'static str, u16),
    /// The value under this key of the map has this number in it, as one of its words. Numbers stand where the compiler
    /// likes.
    Has(&'static str, u32, u32),
    /// This number is put under this key of the map.
    Put(&'static str, u32, u32),
    /// The program or map of the last name is put into a slot of the map.
    Fill(&'static str, u32, &'static str),
}

use Step::{Fill, Has, Port, Put, Run};

/// Any packet.
const ANY: (usize, u8) = (FIRST, 2);

/// By clang and by `clang | llc`, each of six releases; four more with a symbol table as compilers of old wrote it.
const WITHOUT_BTF: usize = 6 * 2 + 4;
const WITH_BTF: usize = 6 * 2;
const BOTH: usize = WITHOUT_BTF + WITH_BTF;

const MAP_DEFS: &[Step] =
    &[Run("xdp_maps", ANY, PASS), Put("second", 0, 1), Run("xdp_maps", ANY, ABORTED), Has("second", 0, 1)];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // `jumps_show` has made the second program's verdict another than the first one's.
    Row { object: "tail_kern", builds: BOTH, steps: &[
        Run("xdp_prog", ANY, PASS), Fill("jmp_table1", 78, "xdp_tail_call_1"), Run("xdp_prog", ANY, DROP),
    ] },
    Row { object: "drop_all", builds: WITHOUT_BTF, steps: &[Run("xdp_drop_all", ANY, DROP)] },
    Row { object: "udp_count", builds: WITHOUT_BTF, steps: &[
        Run("xdp_count_udp", (PROTOCOL, 17), DROP), Run("xdp_count_udp", (PROTOCOL, 6), PASS),
    ] },
    Row { object: "rewrite", builds: WITHOUT_BTF, steps: &[Port("xdp_rewrite", 7777)] },

    Row { object: "calls", builds: BOTH, steps: &[
        Run("xdp_calls", (FIRST, 99), PASS), Run("xdp_calls", (FIRST, 100), DROP), Has("calls", 0, 199),
        Run("xdp_other", (FIRST, 1), PASS), Has("calls", 0, 200),
    ] },
    Row { object: "callbacks", builds: WITH_BTF, steps: &[Run("add_up", ANY, PASS), Has("callback.bss", 0, 9)] },
    Row { object: "data", builds: BOTH, steps: &[
        Run("xdp_data", ANY, DROP), Run("xdp_data", ANY, DROP),
        Has("data.bss", 0, 2), Has("data.bss", 0, 45), Has("data.data", 0, 42),
    ] },
    Row { object: "several", builds: WITHOUT_BTF, steps: &[
        Run("xdp_first", ANY, PASS), Run("xdp_second", ANY, DROP), Run("xdp_second", ANY, DROP),
        Run("xdp_third", ANY, TX), Run("xdp_third", ANY, TX), Run("xdp_third", ANY, TX),
        Has("seen", 0, 1), Has("seen", 1, 2), Has("seen", 2, 3),
    ] },
    // From 1, 2 and 3, each runs past the others' first values.
    Row { object: "statics", builds: BOTH, steps: &[
        Run("statics", ANY, PASS), Run("statics", ANY, PASS), Run("statics", ANY, PASS),
        Has("statics.data", 0, 4), Has("statics.data", 0, 5), Has("statics.data", 0, 6),
    ] },

    Row { object: "map_defs-16", builds: WITHOUT_BTF, steps: MAP_DEFS },
    Row { object: "map_defs-20", builds: WITHOUT_BTF, steps: MAP_DEFS },
    Row { object: "map_defs-24", builds: WITHOUT_BTF, steps: MAP_DEFS },
    Row { object: "map_defs-28", builds: WITHOUT_BTF, steps: MAP_DEFS },
    Row { object: "iproute2", builds: BOTH, steps: &[Run("entry", ANY, DROP)] },
    Row { object: "id_maps", builds: WITHOUT_BTF, steps: &[Run("entry", ANY, DROP)] },
    Row { object: "inner_by_index", builds: WITHOUT_BTF, steps: &[
        Run("look_inside", ANY, ABORTED), Fill("outer", 1, "inner"), Put("inner", 0, TX), Run("look_inside", ANY, TX),
    ] },
    Row { object: "inner_by_id", builds: WITHOUT_BTF, steps: &[Put("inner", 0, TX), Run("look_inside", ANY, TX)] },
    Row { object: "socket_slots", builds: WITHOUT_BTF, steps: &[Run("entry", ANY, ALL)] },
    Row { object: "inner_maps", builds: WITH_BTF, steps: &[Run("count_inside", ANY, PASS), Has("two", 0, 1)] },
    Row { object: "values", builds: WITH_BTF, steps: &[Run("entry", ANY, DROP)] },
];

#[test]
fn every_build_does_what_its_source_says() {
    let Some(_sandbox) = kernel_or_skip("every_build_does_what_its_source_says") else {
        return;
    };
    let builds = builds();
    let mut failures = Vec::new();
    for row in ROWS {
        let paths = &builds[row.object];
        assert_eq!(paths.len(), row.builds, "{}: {paths:?}", row.object);
        failures.extend(paths.iter().filter_map(|path| run(path, row).err()));
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn no_build_is_left_out() {
    let builds = builds();
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.object).collect();
    assert_eq!(builds.keys().map(String::as_str).collect::<BTreeSet<_>>(), rows);
    assert_eq!(ROWS.len(), rows.len(), "one row each");
}

/// In the reading that goes by size, the last two words of aya's definitions are a template and a NUMA node.
#[test]
fn definitions_of_28_bytes_have_no_id_unless_the_user_says_so() {
    let Some(_sandbox) = kernel_or_skip("definitions_of_28_bytes_have_no_id_unless_the_user_says_so") else {
        return;
    };
    for path in &builds()["id_maps"] {
        let loaded = load(&linked(path, Dialects::default())).unwrap();
        assert_eq!(verdict(&loaded, "entry", ANY).0, ABORTED, "{}: nobody fills the slot", path.display());
    }
}

/// The paths of all builds, by the name of the object.
fn builds() -> BTreeMap<String, Vec<PathBuf>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/builds");
    let folder = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for path in folder(&top).flat_map(|route| folder(&route)) {
        found.entry(rxdp_loader::object_name(&path)).or_default().push(path);
    }
    found
}

/// Loads one build and does to it what its row says.
fn run(path: &Path, row: &Row) -> Result<(), String> {
    // Nothing in the bytes says that the two last words are an id and a pinning.
    let map = (row.object == "id_maps").then_some(MapDialect::IdPinning);
    let mut object = linked(path, Dialects { map, ..Dialects::default() });
    if row.object == "tail_kern" {
        jumps_show(&mut object);
    }
    let loaded = load(&object).map_err(|why| format!("{}: {why}", path.display()))?;
    for (at, step) in row.steps.iter().enumerate() {
        step.done(&loaded).map_err(|found| format!("{}: step {at}, {step:?}: {found}", path.display()))?;
    }
    Ok(())
}

fn linked(path: &Path, dialects: Dialects) -> LinkedObject {
    let spec = rxdp_loader::read(&rxdp_loader::object_name(path), &fs::read(path).unwrap(), dialects);
    link(spec.unwrap_or_else(|why| panic!("{}: {why}", path.display())))
}

fn load(object: &LinkedObject) -> Result<LoadedObject, String> {
    let plan = plan(object).map_err(|why| why.to_string())?;
    load::execute(&plan, &Linux, Given::default()).map_err(|why| why.to_string())
}

/// Both programs of the article end with XDP_PASS: makes the second one end with XDP_DROP.
fn jumps_show(object: &mut LinkedObject) {
    let code = &mut object.programs[1].as_mut().unwrap().insns;
    let [.., verdict, exit] = &mut code[..] else {
        panic!("two instructions");
    };
    let imm = |verdict| i32::try_from(verdict).unwrap();
    assert_eq!((verdict.dst, verdict.imm, exit.code), (0, imm(PASS), 0x95), "`return XDP_PASS`");
    verdict.imm = imm(DROP);
}

impl Step {
    /// The error is what was found in place of what should be.
    fn done(&self, loaded: &LoadedObject) -> Result<(), String> {
        match *self {
            Run(program, byte, expected) => same(verdict(loaded, program, byte).0, expected),
            Port(program, port) => {
                let (_, packet) = verdict(loaded, program, ANY);
                same(u16::from_be_bytes([packet[PORT], packet[PORT + 1]]), port)
            }
            Has(name, key, number) => {
                let value = map(loaded, name)?.entries(&Linux).unwrap().lookup(&key.to_ne_bytes());
                let value = value.unwrap().ok_or("no such key")?;
                let words: Vec<u32> =
                    value.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect();
                if words.contains(&number) { Ok(()) } else { Err(format!("{words:?}")) }
            }
            Put(name, key, number) => {
                let entries = map(loaded, name)?.entries(&Linux).unwrap();
                let mut value = number.to_ne_bytes().to_vec();
                value.resize(entries.value_size(), 0);
                entries
                    .update(&key.to_ne_bytes(), &value, UpdateFlags::empty())
                    .map_err(|why| why.to_string())
            }
            Fill(name, key, what) => {
                let program = loaded.program(what).map(|program| program.named());
                let handle = program.or_else(|| Some(loaded.map(what)?.named())).ok_or("no such name")?;
                let (map, value) = (map(loaded, name)?.named(), MapValue::Named(handle));
                let request = MapUpdate { map, key: &key.to_ne_bytes(), value, flags: UpdateFlags::empty() };
                Linux.map_update(&request).map_err(|errno| errno.to_string())
            }
        }
    }
}

fn same<T: Copy + PartialEq + Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
}

fn map<'o>(loaded: &'o LoadedObject, name: &str) -> Result<&'o LoadedMap, String> {
    let names = || loaded.maps.iter().map(|map| map.name.as_str()).collect::<Vec<_>>();
    loaded.map(name).ok_or_else(|| format!("no map {name} among {:?}", names()))
}

/// What the program returns for a datagram to the echo service in which one byte is another, and what becomes of it.
fn verdict(loaded: &LoadedObject, program: &str, (at, byte): (usize, u8)) -> (u32, Vec<u8>) {
    let mut packet = packets::udp(4000, 7, b"any payload");
    packet[at] = byte;
    let program = loaded.program(program).unwrap_or_else(|| panic!("no program {program}"));
    let reply = program.test_run(&Linux, &Input::packet(&packet)).unwrap();
    (reply.retval, reply.data)
}
