//! Map definitions that are not what they are today: legacy ones in sections that are not called `maps`, and the first
//! form of typed ones.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::path::PathBuf;

use common::fields::{SH_SIZE, ST_INFO, section, symbol};
use common::{bytes_of, linked, path_of, read, spec_of};
use rxdp_loader::btf::TypeId;
use rxdp_loader::features::Machine;
use rxdp_loader::load::{self, Given, Input};
use rxdp_loader::plan::{self, Options, PIN_ROOT};
use rxdp_loader::spec::{MapDialect, MapOrigin, Pinning};
use rxdp_loader::sys::{DryRun, Linux};
use rxdp_loader::uapi::{MapFlags, MapType, ProgType};
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::kernel_or_skip;

/// Source: `enum xdp_action`.
const PASS: u32 = 2;
/// `STB_GLOBAL` and `STT_NOTYPE`. Source: elf(5).
const GLOBAL_UNTYPED: u8 = 1 << 4;

#[test]
fn each_is_read_in_the_dialect_of_its_size() {
    let spec = spec_of("map_sections.o");
    let maps: Vec<_> = spec.maps.iter().map(|map| (&*map.name, &*map.section, map.max_entries)).collect();
    let expected =
        [("counts", "maps/counts", 3), ("shared", "maps/shared", 5), ("codes", "lirc_mode2/maps", 1)];
    assert_eq!(maps, expected);
    let origins: Vec<_> = spec.maps.iter().map(|map| map.origin).collect();
    let (gobpf, samples) =
        (MapOrigin::Legacy(280, MapDialect::Gobpf), MapOrigin::Legacy(28, MapDialect::Samples));
    assert_eq!(origins, [gobpf, gobpf, samples]);
}

#[test]
fn a_section_of_code_holds_no_maps() {
    let mut bytes = bytes_of("map_sections.o");
    // Old compilers leave the type of functions open.
    let info = symbol(&bytes, "no_map") + ST_INFO;
    bytes[info] = GLOBAL_UNTYPED;
    let spec = read("map_sections.o", &bytes).unwrap();
    let names: Vec<_> = spec.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!((names, spec.maps.len()), (vec!["xdp_finds", "no_map"], 3));
}

#[test]
fn gobpf_names_directories_of_pins() {
    let object = linked("map_sections.o");
    let pinning = |at: usize| &object.spec.maps[at].pinning;
    assert_eq!(pinning(0), &Pinning::Directory("probe/v1".to_string()));
    let pin_root = Some(PIN_ROOT.to_string());
    let options = Options { pin_root, default_type: Some(ProgType::XDP), ..Options::default() };
    let kernel = DryRun::new();
    let plan = plan::plan(&object, &Machine::NEWEST, &options).unwrap();
    load::execute(&plan, &kernel, Given::default()).unwrap();
    for path in ["/sys/fs/bpf/probe/v1/counts", "/sys/fs/bpf/globals/shared"] {
        assert!(kernel.pins().contains(&PathBuf::from(path)), "{path}: {:?}", kernel.pins());
    }
}

#[test]
fn programs_find_their_maps_there() {
    let Some(_sandbox) = kernel_or_skip("programs_find_their_maps_there") else {
        return;
    };
    let object = Object::open(path_of("map_sections.o")).unwrap();
    let loaded = Loader::new().default_type(ProgType::XDP).load(object).unwrap();
    let run = loaded.program("xdp_finds").unwrap().test_run(&Linux, &Input::packet(&[0; 64])).unwrap();
    assert_eq!(run.retval, PASS);
}

#[test]
fn in_the_first_form_of_typed_definitions_bytes_say_the_numbers() {
    for name in ["first_btf_maps.o", "first_btf_maps-clang14.o"] {
        let spec = spec_of(name);
        let looks = |at: usize| {
            let map = &spec.maps[at];
            assert_eq!(map.defect, None, "{name}");
            (map.ty, map.key_size, map.value_size, map.max_entries, map.flags)
        };
        assert_eq!(looks(0), (MapType::ARRAY, 4, 8, 2, MapFlags::empty()));
        assert_ne!((spec.maps[0].key_type, spec.maps[0].value_type), (TypeId(0), TypeId(0)));
        assert_eq!(looks(1), (MapType::HASH, 2, 16, 16, MapFlags::NO_PREALLOC));
    }
}

#[test]
fn numbers_that_no_bytes_say_are_missed() {
    let mut bytes = bytes_of("first_btf_maps.o");
    let section = section(&bytes, ".maps");
    bytes[section + SH_SIZE..][..8].copy_from_slice(&4u64.to_ne_bytes());
    let spec = read("first_btf_maps.o", &bytes).unwrap();
    let why = spec.maps[0].defect.as_ref().expect("there are no such bytes").to_string();
    assert!(why.contains("\"counts\" in section \".maps\": `max_entries` is no number"), "{why}");
}

#[test]
fn programs_use_maps_of_the_first_form() {
    let Some(_sandbox) = kernel_or_skip("programs_use_maps_of_the_first_form") else {
        return;
    };
    for name in ["first_btf_maps.o", "first_btf_maps-clang14.o"] {
        let loaded = Loader::new().load(Object::open(path_of(name)).unwrap()).unwrap();
        let program = loaded.program("count_here").unwrap();
        for sum in [3, 6] {
            assert_eq!(program.test_run(&Linux, &Input::packet(&[0; 64])).unwrap().retval, sum, "{name}");
        }
    }
}
