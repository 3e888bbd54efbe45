//! Maps of maps that do not say what they hold: what they cost, and how an embedder says it for them.

#![cfg(test)]

mod common;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::{linked, path_of, plan};
use rxdp_loader::error::Error;
use rxdp_loader::load::{self, Ask, Given, Input, LoadedObject};
use rxdp_loader::sys::{DryRun, Linux};
use rxdp_loader::uapi::{MapType, UpdateFlags};
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::kernel_or_skip;

/// Source: `enum xdp_action`.
const PASS: u32 = 2;

/// The slot that the program looks into.
const SLOT: [u8; 4] = 2u32.to_ne_bytes();

fn open() -> Object {
    Object::open(path_of("inner_maps-none.o")).unwrap()
}

#[test]
fn such_a_map_costs_itself_and_the_programs_that_refer_to_it() {
    let object = linked("inner_maps-none.o");
    let plan = plan(&object).unwrap();
    let report = load::verify(&plan, &DryRun::new(), Given::default(), Ask::Nothing);

    let maps: Vec<_> = report.maps.iter().map(|map| (&*map.create.name, map.result.is_ok())).collect();
    assert_eq!(maps, [("outer", false), ("one", true), ("two", true)]);
    let errors: Vec<_> =
        report.programs.iter().map(|p| p.result.as_ref().err().map(ToString::to_string)).collect();
    let needs = "program \"count_inside\" needs map \"outer\", which could not be created";
    assert_eq!(errors, [None, Some(needs.to_string())], "drop_all has nothing to do with it");
    let error = report.first_error().unwrap().to_string();
    assert!(error.contains("\"outer\" (array_of_maps) does not say") && error.contains("`values`"));
    assert!(report.slots.is_empty(), "{:?}", report.slots);
}

#[test]
fn all_or_nothing_says_why_and_asks_the_kernel_nothing() {
    let object = linked("inner_maps-none.o");
    // Every call fails, so none is made.
    let kernel = DryRun::failing(0, rxdp_loader::sys::Errno::EPERM);
    let error = load::execute(&plan(&object).unwrap(), &kernel, Given::default()).unwrap_err();
    assert!(error.to_string().starts_with("map \"outer\" (array_of_maps) does not say"), "{error}");
}

#[test]
fn an_inner_map_is_like_another_map_of_the_object() {
    let Some(_sandbox) = kernel_or_skip("an_inner_map_is_like_another_map_of_the_object") else {
        return;
    };
    let mut object = open();
    object.set_inner_map("outer", "two").unwrap();
    counts_inside(&Loader::new().load(object).unwrap());
}

#[test]
fn an_inner_map_is_like_an_open_map() {
    let Some(_sandbox) = kernel_or_skip("an_inner_map_is_like_an_open_map") else {
        return;
    };
    for (like, fits) in [("one", true), ("first", false)] {
        let mut object = open();
        object.set_inner_map_fd("outer", open_map(like)).unwrap();
        let loaded = Loader::new().load(object).unwrap();
        let put = put_two(&loaded);
        assert_eq!(put.is_ok(), fits, "{like}: {put:?}");
        if fits {
            counts_inside(&loaded);
        }
    }
}

#[test]
fn other_maps_have_no_inner_maps() {
    let mut object = open();
    let error = object.set_inner_map("one", "two").unwrap_err();
    assert!(matches!(error, Error::HoldsNoMaps { ty: MapType::ARRAY, .. }), "{error}");
    assert!(matches!(object.set_inner_map("outer", "three"), Err(Error::NotInObject { .. })));
}

/// A map like `outer`'s inner ones, and one with other values.
fn open_map(name: &str) -> OwnedFd {
    let object = if name == "one" { "inner_maps.o" } else { "map_defs-28.o" };
    let mut loaded = Loader::new().load(Object::open(path_of(object)).unwrap()).unwrap();
    loaded.take_map(name).unwrap().fd
}

fn put_two(loaded: &LoadedObject) -> Result<(), load::LoadError> {
    let two = loaded.map("two").unwrap().as_fd().as_raw_fd().to_ne_bytes();
    loaded.map("outer").unwrap().entries(&Linux).unwrap().update(&SLOT, &two, UpdateFlags::empty())
}

/// The program adds 1 to the map that stands in its slot.
fn counts_inside(loaded: &LoadedObject) {
    put_two(loaded).unwrap();
    let run = loaded.program("count_inside").unwrap().test_run(&Linux, &Input::packet(&[0; 64])).unwrap();
    assert_eq!(run.retval, PASS);
    let two = loaded.map("two").unwrap().entries(&Linux).unwrap();
    assert_eq!(two.lookup(&[0; 4]).unwrap().unwrap(), 1u64.to_ne_bytes());
}
