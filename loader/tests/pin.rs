//! Pins: maps that are shared by name, directories of pins, and that a failed load leaves none.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use rxdp_loader::features::{Features, KernelVersion, Machine};
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::load::{self, Given, LoadError, LoadedObject};
use rxdp_loader::plan::{self, Options, PIN_ROOT, PlanError};
use rxdp_loader::spec::{Dialects, ObjectSpec, Pinning};
use rxdp_loader::sys::{DryRun, Errno, Kernel, Linux, MapInfo, MapUpdate, MapValue, Recorder, Replay};
use rxdp_loader::trace::Transcript;
use rxdp_loader::uapi::{MapFlags, MapType, ProgType, UpdateFlags};
use rxdp_sandbox::testing::kernel_or_skip;

const HITS: &str = "/sys/fs/bpf/hits";

fn spec_of(name: &str) -> ObjectSpec {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = ["tests/fixtures", "bpf-progs"].map(|folder| root.join(folder).join(name));
    let bytes = folders.iter().find_map(|path| fs::read(path).ok()).expect("a committed object");
    rxdp_loader::read(&rxdp_loader::object_name(Path::new(name)), &bytes, Dialects::default()).unwrap()
}

fn linked(name: &str) -> LinkedObject {
    link::link(spec_of(name))
}

fn by_name() -> Options {
    Options { default_type: Some(ProgType::XDP), pin_root: Some(PIN_ROOT.to_string()), ..Options::default() }
}

fn under(dir: &str) -> Options {
    Options { pin_dir: Some(dir.to_string()), ..by_name() }
}

fn load<K: Kernel>(object: &LinkedObject, kernel: &K, options: &Options) -> Result<LoadedObject, LoadError> {
    let plan = plan::plan(object, &Machine::NEWEST, options)?;
    load::execute(&plan, kernel, Given::default())
}

/// What `pinned-64.o` calls `hits`.
fn hits() -> MapInfo {
    MapInfo {
        id: 0,
        name: "hits".into(),
        ty: MapType::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 64,
        flags: MapFlags::empty(),
        map_extra: 0,
    }
}

/// Names below a place, but for those that every bpffs has.
fn names(dir: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".debug")).collect();
    names.sort();
    names
}

#[test]
fn a_map_is_pinned_by_its_name_and_used_again_with_what_it_holds() {
    let Some(sandbox) = kernel_or_skip("a_map_is_pinned_by_its_name_and_used_again_with_what_it_holds")
    else {
        return;
    };
    sandbox.near(|| {
        let object = linked("pinned-64.o");
        let first = load(&object, &Linux, &by_name()).unwrap();
        assert_eq!(names(PIN_ROOT), ["hits"]);
        let hits = first.map("hits").unwrap();
        assert!(!hits.shared.as_ref().unwrap().reused);
        let (key, value) = (0u32.to_ne_bytes(), 7u64.to_ne_bytes());
        let update = MapUpdate {
            map: hits.named(),
            key: &key,
            value: MapValue::Bytes(&value),
            flags: UpdateFlags::empty(),
        };
        Linux.map_update(&update).unwrap();
        let id = hits.info(&Linux).unwrap().id;
        drop(first);

        let second = load(&object, &Linux, &by_name()).unwrap();
        let hits = second.map("hits").unwrap();
        assert!(hits.shared.as_ref().unwrap().reused);
        assert_eq!(hits.info(&Linux).unwrap().id, id);
        assert_eq!(Linux.map_lookup(hits.named(), &key, 8).unwrap(), value);
    });
}

#[test]
fn without_a_place_for_pins_a_map_is_like_any_other() {
    let Some(sandbox) = kernel_or_skip("without_a_place_for_pins_a_map_is_like_any_other") else {
        return;
    };
    sandbox.near(|| {
        let options = Options { default_type: Some(ProgType::XDP), ..Options::default() };
        let loaded = load(&linked("pinned-64.o"), &Linux, &options).unwrap();
        assert_eq!(loaded.map("hits").unwrap().shared, None);
        assert!(names(PIN_ROOT).is_empty());
    });
}

#[test]
fn a_pinned_map_that_does_not_fit_is_an_error_that_lists_each_field() {
    let Some(sandbox) = kernel_or_skip("a_pinned_map_that_does_not_fit_is_an_error_that_lists_each_field")
    else {
        return;
    };
    sandbox.near(|| {
        load(&linked("pinned-64.o"), &Linux, &by_name()).unwrap();
        let error = load(&linked("pinned-100.o"), &Linux, &by_name()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "map \"hits\": what is pinned at /sys/fs/bpf/hits cannot be used for it: \
             max_entries is 100 in the object and 64 in /sys/fs/bpf/hits; use another name, or remove that pin"
        );
        // Every field that counts, one by one and together.
        let LoadError::PinMismatch { differences, .. } = ({
            let mut spec = spec_of("pinned-64.o");
            let map = spec.maps.iter_mut().find(|map| &*map.name == "hits").unwrap();
            (map.ty, map.key_size, map.value_size) = (MapType::HASH, 8, 16);
            (map.max_entries, map.flags, map.map_extra) = (65, MapFlags::NO_PREALLOC, 3);
            load(&link::link(spec), &Linux, &by_name()).unwrap_err()
        }) else {
            panic!("another error");
        };
        let fields: Vec<&str> = differences.iter().filter_map(|d| d.split(' ').next()).collect();
        assert_eq!(fields, ["type", "key_size", "value_size", "max_entries", "map_flags", "map_extra"]);
        assert_eq!(names(PIN_ROOT), ["hits"], "the pin of the first load is not the second's to remove");
    });
}

#[test]
fn a_devmap_fits_though_the_kernel_adds_a_flag() {
    let Some(sandbox) = kernel_or_skip("a_devmap_fits_though_the_kernel_adds_a_flag") else {
        return;
    };
    sandbox.near(|| {
        // No program of this object refers to its second table.
        let mut spec = spec_of("tail_kern.o");
        let map = spec.maps.iter_mut().find(|map| &*map.name == "jmp_table2").unwrap();
        (map.ty, map.pinning) = (MapType::DEVMAP, Pinning::ByName);
        let object = link::link(spec);
        load(&object, &Linux, &by_name()).unwrap();
        let second = load(&object, &Linux, &by_name()).unwrap();
        let map = second.map("jmp_table2").unwrap();
        assert!(map.info(&Linux).unwrap().flags.contains(MapFlags::RDONLY_PROG), "the kernel adds none");
        assert!(map.shared.as_ref().unwrap().reused);
    });
}

#[test]
fn a_program_in_the_place_of_a_map_is_called_one() {
    let Some(sandbox) = kernel_or_skip("a_program_in_the_place_of_a_map_is_called_one") else {
        return;
    };
    sandbox.near(|| {
        let other = load(&linked("drop_all.o"), &Linux, &by_name()).unwrap();
        Linux.obj_pin(other.programs[0].named(), Path::new(HITS)).unwrap();
        let error = load(&linked("pinned-64.o"), &Linux, &by_name()).unwrap_err();
        assert!(error.to_string().contains("it is a program"), "{error}");
    });
}

#[test]
fn the_words_of_iproute2_name_other_directories() {
    let mut spec = spec_of("iproute2.o");
    for (pinning, path) in
        [(Pinning::Global, "/sys/fs/bpf/tc/globals/jumps"), (Pinning::Object, "/sys/fs/bpf/iproute2/jumps")]
    {
        spec.maps[0].pinning = pinning;
        let kernel = DryRun::new();
        load(&link::link(spec.clone()), &kernel, &by_name()).unwrap();
        assert!(kernel.pins().contains(&PathBuf::from(path)), "{:?}", kernel.pins());
    }
}

#[test]
fn somebody_who_pins_in_between_wins_and_his_map_is_used() {
    let object = linked("pinned-64.o");
    let recorder = Recorder::new(DryRun::new());
    load(&object, &recorder, &by_name()).unwrap();
    let text = recorder.transcript().to_string();
    let pinned = "OBJ_PIN hits pathname=/sys/fs/bpf/hits = ";
    let found = "OBJ_GET /sys/fs/bpf/hits = ok kind=map\n\
                 MAP_INFO hits = ok id=1 name=hits type=array key_size=4 value_size=8 max_entries=64 map_flags=0\n";
    let raced = text.replace(&format!("{pinned}ok\n"), &format!("{pinned}EEXIST\n{found}"));
    assert_ne!(raced, text);
    let replay = Replay::new(Transcript::parse(&raced).unwrap());
    let loaded = load(&object, &replay, &by_name()).unwrap();
    replay.finish().unwrap();
    assert!(loaded.map("hits").unwrap().shared.as_ref().unwrap().reused);
    assert!(loaded.pins.is_empty(), "it is not ours: {:?}", loaded.pins);
}

#[test]
fn whichever_call_fails_no_pin_stays() {
    let object = linked("pinned-64.o");
    let options = under("/sys/fs/bpf/a/b");
    let whole = DryRun::new();
    let mut loaded = load(&object, &whole, &options).unwrap();
    assert_eq!(whole.pins().len(), 5, "two directories, two maps' names, a program's: {:?}", whole.pins());
    let calls = whole.calls();
    loaded.unpin(&whole);
    assert!(whole.pins().is_empty());

    let mut failures = Vec::new();
    for errno in [Errno::EPERM, Errno::ENOMEM, Errno::EINVAL, Errno::E2BIG] {
        for call in 0..calls {
            let kernel = DryRun::failing(call, errno);
            match load(&object, &kernel, &options) {
                // BTF, a map's types and a program's first try have a fallback.
                Ok(_) => assert_eq!(kernel.pins().len(), 5),
                Err(error) => {
                    failures.push(call);
                    assert!(error.to_string().contains(errno.name().unwrap()), "{error}");
                    assert!(kernel.pins().is_empty(), "call {call} failed: {:?} stay", kernel.pins());
                }
            }
        }
    }
    assert!(failures.len() > 40, "{failures:?}");
}

#[test]
fn a_failed_load_leaves_the_pins_of_others() {
    let object = linked("pinned-64.o");
    let theirs = [PathBuf::from("/sys/fs/bpf/a"), PathBuf::from("/sys/fs/bpf/a/other"), PathBuf::from(HITS)];
    let kernel = |fail| {
        let kernel = match fail {
            Some(call) => DryRun::failing(call, Errno::ENOMEM),
            None => DryRun::new(),
        };
        kernel.with_pinned_map("/sys/fs/bpf/a/other", hits()).with_pinned_map(HITS, hits())
    };
    let whole = kernel(None);
    load(&object, &whole, &under("/sys/fs/bpf/a")).unwrap();
    let mut failures = Vec::new();
    for call in 0..whole.calls() {
        let kernel = kernel(Some(call));
        if load(&object, &kernel, &under("/sys/fs/bpf/a")).is_err() {
            failures.push(call);
            assert_eq!(kernel.pins(), theirs, "call {call}");
        }
    }
    assert!(failures.len() > 5, "{failures:?}");
}

#[test]
fn a_directory_of_pins_holds_everything_under_names_that_bpffs_takes() {
    let Some(sandbox) = kernel_or_skip("a_directory_of_pins_holds_everything_under_names_that_bpffs_takes")
    else {
        return;
    };
    sandbox.near(|| {
        let dir = "/sys/fs/bpf/a/b";
        let object = linked("tail_kern.o");
        let mut loaded = load(&object, &Linux, &under(dir)).unwrap();
        let made = names(dir);
        assert_eq!(made, ["_rodata_str1_1", "jmp_table1", "jmp_table2", "xdp_prog", "xdp_tail_call_1"]);
        let error = load(&object, &Linux, &under(dir)).unwrap_err();
        assert!(matches!(&error, LoadError::PinTaken { paths } if paths.len() == made.len()), "{error}");
        assert_eq!(names(dir), made);
        loaded.unpin(&Linux);
        assert!(names(PIN_ROOT).is_empty());
    });
}

#[test]
fn pins_need_a_bpffs() {
    let Some(sandbox) = kernel_or_skip("pins_need_a_bpffs") else {
        return;
    };
    sandbox.near(|| {
        let recorder = Recorder::new(Linux);
        let error = load(&linked("drop_all.o"), &recorder, &under("/sys/kernel/nowhere")).unwrap_err();
        assert!(error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"), "{error}");
        assert!(!recorder.transcript().to_string().contains("PROG_LOAD"), "nothing is made before");
    });
}

#[test]
fn two_things_of_one_name_are_a_clash_before_any_call() {
    let mut spec = spec_of("tail_kern.o");
    spec.maps[0].name = "xdp.prog".into();
    spec.maps[1].name = "xdp_prog".into();
    let object = link::link(spec);
    let clash = plan::plan(&object, &Machine::NEWEST, &under("/sys/fs/bpf/a")).unwrap_err();
    assert!(
        matches!(&clash, PlanError::PinClash { path, .. } if path == "/sys/fs/bpf/a/xdp_prog"),
        "{clash}"
    );
}

#[test]
fn a_recording_with_pins_replays() {
    let Some(sandbox) = kernel_or_skip("a_recording_with_pins_replays") else {
        return;
    };
    let options = under("/sys/fs/bpf/a");
    let object = linked("pinned-64.o");
    let text = sandbox.near(|| {
        let recorder = Recorder::new(Linux);
        load(&object, &recorder, &options).unwrap();
        recorder.transcript().to_string()
    });
    let replay = Recorder::new(Replay::new(Transcript::parse(&text).unwrap()));
    load(&object, &replay, &options).unwrap();
    assert_eq!(replay.transcript().to_string(), text);
}

#[test]
fn verify_leaves_no_pin() {
    let object = linked("pinned-64.o");
    let plan = plan::plan(&object, &Machine::NEWEST, &under("/sys/fs/bpf/a")).unwrap();
    let kernel = DryRun::new();
    let report = load::verify(&plan, &kernel, Given::default(), load::Ask::Nothing);
    assert!(report.first_error().is_none());
    assert!(kernel.pins().is_empty(), "{:?}", kernel.pins());
}

#[test]
fn what_an_old_kernel_is_not_asked_to_make_is_not_pinned() {
    let kernel = KernelVersion { major: 4, minor: 14, patch: 0 };
    let machine = Machine { kernel, features: Features::of(kernel), ..Machine::NEWEST };
    let object = linked("tail_kern.o");
    let plan = plan::plan(&object, &machine, &under("/sys/fs/bpf/a")).unwrap();
    let kernel = DryRun::new();
    load::execute(&plan, &kernel, Given::default()).unwrap();
    let pins = kernel.pins();
    assert!(pins.contains(&PathBuf::from("/sys/fs/bpf/a/jmp_table1")), "{pins:?}");
    assert!(!pins.contains(&PathBuf::from("/sys/fs/bpf/a/_rodata_str1_1")), "{pins:?}");
}
