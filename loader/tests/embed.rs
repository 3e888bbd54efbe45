//! The embedders' way through: open, look, change, load, run, read and write maps. On the running kernel.
//!
//! What the fixtures' sources promise is run here, not only loaded.

#![cfg(test)]

use std::path::{Path, PathBuf};

use rxdp_loader::error::Error;
use rxdp_loader::features::Machine;
use rxdp_loader::load::{Input, LoadError, LoadedObject};
use rxdp_loader::spec::section::SectionFlags;
use rxdp_loader::sys::{DryRun, Errno, Kernel, Linux, Recorder, Replay, host};
use rxdp_loader::trace::Transcript;
use rxdp_loader::uapi::{MapType, ProgType, UpdateFlags};
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::kernel_or_skip;

/// Source: `enum xdp_action`.
const ABORTED: u32 = 0;
const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

fn path(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let places = ["tests/fixtures", "bpf-progs"].map(|folder| root.join(folder).join(name));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("no object {name}"))
}

fn open(name: &str) -> Object {
    Object::open(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn load(object: Object) -> LoadedObject {
    Loader::new().load(object).unwrap_or_else(|error| panic!("{error}"))
}

/// What a program returns for a packet of 64 bytes that begins with `first`.
fn run(loaded: &LoadedObject, program: &str, first: u8) -> u32 {
    let mut packet = [0; 64];
    packet[0] = first;
    let program = loaded.program(program).unwrap_or_else(|| panic!("no program {program}"));
    program.test_run(&Linux, &Input::packet(&packet)).unwrap().retval
}

fn u64_at(loaded: &LoadedObject, map: &str, key: u32) -> u64 {
    let map = loaded.map(map).unwrap_or_else(|| panic!("no map {map}"));
    let value = map.entries(&Linux).unwrap().lookup(&key.to_ne_bytes()).unwrap().unwrap();
    u64::from_ne_bytes(value.try_into().unwrap())
}

/// Numbers of 4 bytes each.
fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
}

/// The value of an internal map.
fn data(loaded: &LoadedObject, map: &str) -> Vec<u8> {
    let map = loaded.map(map).unwrap_or_else(|| panic!("no map {map}"));
    map.entries(&Linux).unwrap().lookup(&[0; 4]).unwrap().unwrap()
}

#[test]
fn global_data_holds_what_the_source_says() {
    let Some(_sandbox) = kernel_or_skip("global_data_holds_what_the_source_says") else {
        return;
    };
    for name in ["data.o", "data-clang14.o"] {
        let loaded = load(open(name));
        let bss = loaded.maps.iter().find(|map| map.name.ends_with(".bss")).unwrap().name.clone();
        assert_eq!(run(&loaded, "xdp_data", 0), DROP, "{name}");
        assert_eq!(run(&loaded, "xdp_data", 0), DROP, "{name}");
        // `runs` and `sum`, in the order that the compiler chose.
        let bss = words(&data(&loaded, &bss));
        assert!(bss.contains(&2) && bss.contains(&45), "{name}: two runs, sum 45: {bss:?}");
    }
}

#[test]
fn calls_lead_where_the_source_says() {
    let Some(_sandbox) = kernel_or_skip("calls_lead_where_the_source_says") else {
        return;
    };
    for name in ["calls.o", "calls-clang14.o"] {
        let loaded = load(open(name));
        assert_eq!((run(&loaded, "xdp_calls", 99), run(&loaded, "xdp_calls", 100)), (PASS, DROP), "{name}");
        assert_eq!(u64_at(&loaded, "calls", 0), 199, "{name}");
        assert_eq!(run(&loaded, "xdp_other", 1), PASS, "{name}");
        assert_eq!(u64_at(&loaded, "calls", 0), 200, "{name}");
    }
}

#[test]
fn programs_of_one_section_are_cut_apart() {
    let Some(_sandbox) = kernel_or_skip("programs_of_one_section_are_cut_apart") else {
        return;
    };
    for name in ["several.o", "several-clang14.o"] {
        let loaded = load(open(name));
        for (program, verdict) in
            [("xdp_first", PASS), ("xdp_second", DROP), ("xdp_third", TX), ("xdp_third", TX)]
        {
            assert_eq!(run(&loaded, program, 0), verdict, "{name}: {program}");
        }
        let seen = [0, 1, 2].map(|key| u64_at(&loaded, "seen", key));
        assert_eq!(seen, [1, 1, 2], "{name}");
    }
}

#[test]
fn map_definitions_of_all_lengths_reach_the_right_maps() {
    let Some(_sandbox) = kernel_or_skip("map_definitions_of_all_lengths_reach_the_right_maps") else {
        return;
    };
    for words in [16, 20, 24, 28] {
        let loaded = load(open(&format!("map_defs-{words}.o")));
        assert_eq!(run(&loaded, "xdp_maps", 0), PASS, "{words}");
        // The program looks into the second one, too.
        let second = loaded.map("second").unwrap().entries(&Linux).unwrap();
        second.update(&[0; 4], &[1; 16], UpdateFlags::empty()).unwrap();
        assert_eq!(run(&loaded, "xdp_maps", 0), ABORTED, "{words}");
    }
}

#[test]
fn slots_of_the_definition_lead_to_their_programs() {
    let Some(_sandbox) = kernel_or_skip("slots_of_the_definition_lead_to_their_programs") else {
        return;
    };
    let loaded = load(open("values.o"));
    assert_eq!(run(&loaded, "entry", 0), DROP);
    // Without the slot the tail call falls through.
    let table = loaded.map("table").unwrap().entries(&Linux).unwrap();
    assert!(table.delete(&5u32.to_ne_bytes()).unwrap());
    assert!(!table.delete(&5u32.to_ne_bytes()).unwrap());
    assert_eq!(run(&loaded, "entry", 0), ABORTED);
}

#[test]
fn a_given_slot_is_filled() {
    let Some(_sandbox) = kernel_or_skip("a_given_slot_is_filled") else {
        return;
    };
    let mut object = open("tail_kern.o");
    object.set_tail_call("jmp_table1", 78, "xdp_tail_call_1").unwrap();
    let loaded = load(object);
    assert_eq!(loaded.slots.len(), 1);
    assert_eq!(run(&loaded, "xdp_prog", 0), PASS);
    let error = Loader::new().load({
        let mut object = open("tail_kern.o");
        object.set_tail_call("jmp_table1", 100, "xdp_tail_call_1").unwrap();
        object
    });
    assert!(error.unwrap_err().to_string().contains("key 100 is out of range"));
}

#[test]
fn a_global_changes_the_result() {
    let Some(_sandbox) = kernel_or_skip("a_global_changes_the_result") else {
        return;
    };
    let mut object = open("data.o");
    assert_eq!(object.global("verdict").unwrap(), DROP.to_ne_bytes());
    assert_eq!(object.global("runs").unwrap(), [0; 8]);
    object.set_global("verdict", &TX.to_ne_bytes()).unwrap();
    object.set_global("answer", &100u32.to_ne_bytes()).unwrap();
    object.set_global("runs", &u64::MAX.to_ne_bytes()).unwrap();
    assert_eq!(object.global("verdict").unwrap(), TX.to_ne_bytes());
    let loaded = load(object);
    assert_eq!(run(&loaded, "xdp_data", 0), TX);
    let bss = words(&data(&loaded, "data.bss"));
    // `runs` went from all ones to zero.
    assert!(bss.contains(&103) && !bss.contains(&u32::MAX), "{bss:?}");
}

#[test]
fn a_section_changes_without_types() {
    let Some(_sandbox) = kernel_or_skip("a_section_changes_without_types") else {
        return;
    };
    let mut object = open("data-clang14.o");
    let error = object.set_global("verdict", &TX.to_ne_bytes()).unwrap_err();
    assert!(error.to_string().contains("compile with -g"), "{error}");
    let rodata = object.map(".rodata").unwrap().data.clone().unwrap();
    // `steps` may have become a constant; `verdict` is the only 1 or the first of them.
    let changed: Vec<u8> = rodata.iter().map(|byte| if *byte == 1 { 2 } else { *byte }).collect();
    object.set_section(".rodata", &changed).unwrap();
    assert_eq!(run(&load(object), "xdp_data", 0), PASS);
}

#[test]
fn wrong_names_and_sizes_are_said() {
    let mut object = open("data.o");
    let error = object.set_global("verdict", &[1]).unwrap_err();
    assert_eq!(error.to_string(), "global variable \"verdict\" has 4 bytes, and 1 were given");
    let error = object.set_global("virdict", &[1]).unwrap_err().to_string();
    assert!(error.starts_with("it has no global variable \"virdict\"; it has "), "{error}");
    assert!(error.contains("verdict") && error.contains("answer"), "{error}");
    let error = object.set_max_entries("calls", 1).unwrap_err();
    assert!(matches!(error, Error::NotInObject { what: "map", .. }), "{error}");
    let error = object.set_autoload("xdp", false).unwrap_err();
    assert_eq!(error.to_string(), "it has no program \"xdp\"; it has xdp_data");
    let error = object.set_section(".text", &[]).unwrap_err().to_string();
    assert!(error.contains("data section \".text\"") && error.contains(".rodata"), "{error}");
    let error = Object::open("no/such.o").unwrap_err();
    assert_eq!(error.to_string(), "cannot read \"no/such.o\": ENOENT (there is no such file)");
    assert!(matches!(Object::from_bytes("text", b"hello").unwrap_err(), Error::Spec(_)));
}

#[test]
fn what_is_changed_before_is_loaded() {
    let Some(_sandbox) = kernel_or_skip("what_is_changed_before_is_loaded") else {
        return;
    };
    let mut object = open("several.o");
    assert_eq!(object.maps().len(), 1);
    assert_eq!(object.map("seen").unwrap().ty, MapType::ARRAY);
    let sections: Vec<&str> = object.programs().iter().map(|program| program.section.as_str()).collect();
    assert_eq!(sections, ["xdp", "xdp", "xdp"]);
    assert_eq!(object.program_type("xdp_first").unwrap(), Some(ProgType::XDP));

    object.set_max_entries("seen", 77).unwrap();
    object.set_autoload("xdp_second", false).unwrap();
    let loaded = load(object);
    assert_eq!(loaded.map("seen").unwrap().info(&Linux).unwrap().max_entries, 77);
    let names: Vec<&str> = loaded.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["xdp_first", "xdp_third"]);
}

#[test]
fn a_license_can_be_given() {
    let Some(_sandbox) = kernel_or_skip("a_license_can_be_given") else {
        return;
    };
    let mut object = open("licensed-nobody.o");
    object.set_license("GPL");
    assert_eq!(run(&load(object), "xdp_prints", 0), PASS);
}

#[test]
fn a_type_can_be_given() {
    let Some(_sandbox) = kernel_or_skip("a_type_can_be_given") else {
        return;
    };
    let object = || {
        let mut object = open("unknown.o");
        let name = object.programs()[0].name.clone();
        assert_eq!(object.program_type(&name).unwrap(), None);
        object.set_program_type(&name, ProgType::SOCKET_FILTER).unwrap();
        assert_eq!(object.program_type(&name).unwrap(), Some(ProgType::SOCKET_FILTER));
        object
    };
    let loaded = load(object());
    assert_eq!(loaded.programs[0].info(&Linux).unwrap().ty, ProgType::SOCKET_FILTER);
    let error = Loader::new().load(open("unknown.o")).unwrap_err();
    assert!(error.to_string().contains("does not say its type"), "{error}");
    let loaded = Loader::new().default_type(ProgType::XDP).load(open("unknown.o")).unwrap();
    assert_eq!(loaded.programs[0].info(&Linux).unwrap().ty, ProgType::XDP);
}

#[test]
fn two_objects_share_a_reused_map() {
    let Some(_sandbox) = kernel_or_skip("two_objects_share_a_reused_map") else {
        return;
    };
    let mut first = load(open("several.o"));
    assert_eq!(run(&first, "xdp_first", 0), PASS);
    let seen = first.take_map("seen").unwrap();
    let id = seen.info(&Linux).unwrap().id;
    assert!(first.map("seen").is_none());

    let mut object = open("several-clang14.o");
    object.reuse_map("seen", seen.fd).unwrap();
    let second = load(object);
    assert_eq!(second.map("seen").unwrap().info(&Linux).unwrap().id, id);
    assert_eq!(run(&second, "xdp_first", 0), PASS);
    // One run of each object.
    assert_eq!(run(&first, "xdp_first", 0), PASS);
    assert_eq!(u64_at(&second, "seen", 0), 3);
}

#[test]
fn a_map_that_does_not_fit_is_not_reused() {
    let Some(_sandbox) = kernel_or_skip("a_map_that_does_not_fit_is_not_reused") else {
        return;
    };
    let reuse = |name| {
        let mut maps = load(open("map_defs-28.o"));
        let mut object = open("several.o");
        object.reuse_map("seen", maps.take_map(name).unwrap().fd).unwrap();
        Loader::new().load(object)
    };
    let error = reuse("second").unwrap_err().to_string();
    assert_eq!(
        error,
        "map \"seen\": the open map to be used in its place has type hash, the object needs array"
    );
    // An array of three 8-byte values, as `seen` is.
    assert_eq!(run(&reuse("first").unwrap(), "xdp_third", 0), TX);

    let mut object = open("calls.o");
    object.reuse_map("calls", load(open("udp_count.o")).maps.remove(0).fd).unwrap();
    assert!(matches!(Loader::new().load(object).unwrap_err(), Error::Load(LoadError::Reuse { .. })));
}

#[test]
fn keys_are_walked_changed_and_deleted() {
    let Some(_sandbox) = kernel_or_skip("keys_are_walked_changed_and_deleted") else {
        return;
    };
    let loaded = load(open("map_defs-28.o"));
    let entries = loaded.map("second").unwrap().entries(&Linux).unwrap();
    assert_eq!((entries.key_size(), entries.value_size(), entries.values_per_key()), (4, 16, 1));
    assert_eq!(entries.keys().count(), 0);
    for key in 0..5u32 {
        entries.update(&key.to_ne_bytes(), &[u8::try_from(key).unwrap(); 16], UpdateFlags::NOEXIST).unwrap();
    }
    let mut keys: Vec<u32> = entries.keys().flat_map(|key| words(&key.unwrap())).collect();
    keys.sort();
    assert_eq!(keys, [0, 1, 2, 3, 4]);
    assert_eq!(entries.lookup(&3u32.to_ne_bytes()).unwrap().unwrap(), [3; 16]);
    assert_eq!(entries.lookup(&9u32.to_ne_bytes()).unwrap(), None);

    let errno = |result: Result<(), LoadError>| result.unwrap_err().errno().unwrap();
    assert_eq!(errno(entries.update(&9u32.to_ne_bytes(), &[0; 16], UpdateFlags::empty())), Errno::E2BIG);
    assert_eq!(errno(entries.update(&3u32.to_ne_bytes(), &[0; 16], UpdateFlags::NOEXIST)), Errno::EEXIST);
    assert_eq!(errno(entries.update(&9u32.to_ne_bytes(), &[0; 16], UpdateFlags::EXIST)), Errno::ENOENT);

    assert!(entries.delete(&3u32.to_ne_bytes()).unwrap());
    assert_eq!(entries.keys().count(), 4);
    let array = loaded.map("first").unwrap().entries(&Linux).unwrap();
    let error = array.delete(&[0; 4]).unwrap_err().to_string();
    assert_eq!(error, "map \"first\", key 00000000: BPF_MAP_DELETE_ELEM failed: EINVAL");
}

#[test]
fn wrong_sizes_never_reach_the_kernel() {
    let Some(_sandbox) = kernel_or_skip("wrong_sizes_never_reach_the_kernel") else {
        return;
    };
    let loaded = load(open("map_defs-28.o"));
    let entries = loaded.map("second").unwrap().entries(&Linux).unwrap();
    let error = entries.lookup(&[0; 3]).unwrap_err().to_string();
    assert_eq!(error, "map \"second\": a key of 3 bytes was given, it takes 4");
    let error = entries.update(&[0; 4], &[0; 15], UpdateFlags::empty()).unwrap_err().to_string();
    assert_eq!(error, "map \"second\": a value of 15 bytes was given, it takes 16");
    assert!(entries.delete(&[]).is_err());
    assert!(
        entries.lookup_per_cpu(&[0; 4]).unwrap_err().to_string().contains("all CPUs have the same value")
    );
    let none: [[u8; 16]; 0] = [];
    assert!(entries.update_per_cpu(&[0; 4], &none, UpdateFlags::empty()).is_err());
}

#[test]
fn each_cpu_has_its_value() {
    let Some(_sandbox) = kernel_or_skip("each_cpu_has_its_value") else {
        return;
    };
    let mut object = open("udp_count.o");
    let map = object.maps()[0].name.clone();
    assert_eq!(object.map(&map).unwrap().ty, MapType::PERCPU_ARRAY);
    object.set_max_entries(&map, 2).unwrap();
    let loaded = load(object);
    let entries = loaded.map(&map).unwrap().entries(&Linux).unwrap();
    let cpus = usize::try_from(host::possible_cpus()).unwrap();
    assert_eq!(entries.values_per_key(), cpus);
    let size = entries.value_size();
    let values: Vec<Vec<u8>> = (1..=cpus).map(|cpu| vec![u8::try_from(cpu).unwrap(); size]).collect();
    entries.update_per_cpu(&1u32.to_ne_bytes(), &values, UpdateFlags::empty()).unwrap();
    assert_eq!(entries.lookup_per_cpu(&1u32.to_ne_bytes()).unwrap().unwrap(), values);
    assert_eq!(entries.lookup_per_cpu(&0u32.to_ne_bytes()).unwrap().unwrap(), vec![vec![0; size]; cpus]);
    let none: [[u8; 8]; 0] = [];
    let error = entries.update_per_cpu(&[0; 4], &none, UpdateFlags::empty()).unwrap_err().to_string();
    assert!(error.ends_with(&format!("0 values were given, and there are {cpus} CPUs")), "{error}");
    assert!(entries.lookup(&[0; 4]).unwrap_err().to_string().contains("each CPU has a value of its own"));
}

#[test]
fn values_of_cpus_stand_at_multiples_of_8_bytes() {
    let Some(_sandbox) = kernel_or_skip("values_of_cpus_stand_at_multiples_of_8_bytes") else {
        return;
    };
    let mut spec = open("udp_count.o").spec().clone();
    spec.maps[0].value_size = 5;
    let mut object = Object::from(spec);
    // It counts in 8 bytes.
    object.set_autoload("xdp_count_udp", false).unwrap();
    let loaded = load(object);
    let map = &loaded.maps[0];
    let entries = map.entries(&Linux).unwrap();
    let values: Vec<[u8; 5]> =
        (1..=host::possible_cpus()).map(|cpu| [u8::try_from(cpu).unwrap(); 5]).collect();
    entries.update_per_cpu(&[0; 4], &values, UpdateFlags::empty()).unwrap();
    assert_eq!(entries.lookup_per_cpu(&[0; 4]).unwrap().unwrap(), values);
    let raw = Linux.map_lookup(map.named(), &[0; 4], values.len().checked_mul(8).unwrap()).unwrap();
    let raw: Vec<&[u8]> = raw.chunks(8).map(|place| &place[..5]).collect();
    assert_eq!(raw, values, "as the kernel hands them out");
}

#[test]
fn each_cpu_counts_for_itself() {
    let Some(_sandbox) = kernel_or_skip("each_cpu_counts_for_itself") else {
        return;
    };
    let loaded = load(open("udp_count.o"));
    let count = loaded.program("xdp_count_udp").unwrap();
    let packet = rxdp_sandbox::packets::udp(1, 2, b"x");
    let reply = count.test_run(&Linux, &Input { repeat: 5, ..Input::packet(&packet) }).unwrap();
    assert_eq!(reply.retval, DROP);
    let entries = loaded.map("rxcnt").unwrap().entries(&Linux).unwrap();
    let counts = entries.lookup_per_cpu(&17u32.to_ne_bytes()).unwrap().unwrap();
    assert_eq!(counts.into_iter().map(|n| u64::from_ne_bytes(n.try_into().unwrap())).sum::<u64>(), 5);
}

#[test]
fn programs_that_take_no_packet_run_on_a_context() {
    let Some(_sandbox) = kernel_or_skip("programs_that_take_no_packet_run_on_a_context") else {
        return;
    };
    let mut spec = open("version.o").spec().clone();
    // What sleeps and what does not is the section's to say.
    spec.programs[0].kind.flags = SectionFlags::SLEEPABLE;
    let mut object = Object::from(spec);
    object.set_program_type("xdp_version", ProgType::SYSCALL).unwrap();
    let loaded = load(object);
    let program = &loaded.programs[0];
    let reply = program.test_run(&Linux, &Input { context: &[9; 16], ..Input::default() }).unwrap();
    assert_eq!((reply.retval, reply.data, reply.context), (PASS, vec![], vec![9; 16]));
    let error = program.test_run(&Linux, &Input::packet(&[0; 64])).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL));

    let mut object = open("version.o");
    object.set_program_type("xdp_version", ProgType::PERF_EVENT).unwrap();
    let error = load(object).programs[0].test_run(&Linux, &Input::packet(&[0; 64])).unwrap_err();
    assert!(
        error.to_string().ends_with("ENOTSUPP; the kernel cannot run programs of this type by hand"),
        "{error}"
    );
}

#[test]
fn a_packet_comes_back_changed() {
    let Some(_sandbox) = kernel_or_skip("a_packet_comes_back_changed") else {
        return;
    };
    let loaded = load(open("rewrite.o"));
    let rewrite = loaded.program("xdp_rewrite").unwrap();
    let packet = rxdp_sandbox::packets::udp(4000, 7, b"hello");
    let reply = rewrite.test_run(&Linux, &Input { repeat: 3, ..Input::packet(&packet) }).unwrap();
    assert_eq!((reply.retval, &reply.data), (PASS, &rxdp_sandbox::packets::udp(4000, 7777, b"hello")));

    let error = rewrite.test_run(&Linux, &Input::packet(&[0; 13])).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL));
    assert!(error.to_string().ends_with("a packet has at least 14 bytes"), "{error}");
}

/// What a session asks of a kernel, and what it is told.
fn session<K: Kernel>(loader: &Loader<K>) -> Vec<u32> {
    let loaded = loader.load(open("several.o")).unwrap();
    let kernel = loader.kernel();
    let third = loaded.program("xdp_third").unwrap();
    let mut told = vec![third.test_run(kernel, &Input::packet(&[7; 64])).unwrap().retval];
    let entries = loaded.map("seen").unwrap().entries(kernel).unwrap();
    told.extend(entries.keys().flat_map(|key| words(&key.unwrap())));
    told.extend(words(&entries.lookup(&2u32.to_ne_bytes()).unwrap().unwrap()));
    assert_eq!(entries.delete(&[0; 4]).unwrap_err().errno(), Some(Errno::EINVAL));
    told
}

#[test]
fn a_session_is_recorded_and_replayed() {
    let Some(_sandbox) = kernel_or_skip("a_session_is_recorded_and_replayed") else {
        return;
    };
    let live = Loader::with_kernel(Recorder::new(Linux), host::machine());
    let told = session(&live);
    assert_eq!(told, [TX, 0, 1, 2, 1, 0]);

    let text = live.kernel().transcript().to_string();
    let run = format!(
        "TEST_RUN xdp_third data_in={} data_size_out=65600 ctx_in= ctx_size_out=0 repeat=0",
        "07".repeat(64)
    );
    assert!(text.contains(&format!("{run} = ok retval=3 data_out={} ctx_out=\n", "07".repeat(64))), "{text}");
    assert!(text.contains("MAP_NEXT_KEY seen key=none = ok next_key=00000000\n"), "{text}");
    assert!(text.contains("MAP_NEXT_KEY seen key=02000000 = ENOENT\n"), "{text}");
    assert!(text.contains("MAP_DELETE seen key=00000000 = EINVAL\n"), "{text}");

    let replay = Loader::with_kernel(Replay::new(Transcript::parse(&text).unwrap()), host::machine());
    assert_eq!(session(&replay), told);
    replay.kernel().finish().unwrap();
}

#[test]
fn a_kernel_that_says_yes_runs_everything() {
    let loader = Loader::with_kernel(DryRun::new(), Machine::NEWEST);
    let loaded = loader.load(open("rewrite.o")).unwrap();
    let run = loaded.programs[0].test_run(loader.kernel(), &Input::packet(&[1; 20])).unwrap();
    assert_eq!((run.retval, run.data), (0, vec![1; 20]));
}
