//! What a map costs whose definition cannot be understood: itself and the programs that refer to it.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use common::{linked, plan};
use rxdp_loader::load::{self, Ask, Given, Report};
use rxdp_loader::spec::{Dialects, MapDialect};
use rxdp_loader::sys::{DryRun, Errno};
use rxdp_loader::uapi::MapType;

/// Maps, then programs, that failed, and why.
fn failures(report: &Report<'_>) -> Vec<(String, String)> {
    let maps = report.maps.iter().filter_map(|map| {
        let error = map.result.as_ref().err()?;
        Some((map.create.name.to_string(), error.to_string()))
    });
    let programs = report.programs.iter().filter_map(|program| {
        let error = program.result.as_ref().err()?;
        Some((format!("program {}", program.id.0), error.to_string()))
    });
    maps.chain(programs).collect()
}

fn of(name: &str) -> Vec<(String, String)> {
    let object = linked(name);
    let plan = plan(&object).unwrap();
    let report = load::verify(&plan, &DryRun::new(), Given::default(), Ask::Nothing);
    assert_eq!((report.maps.len(), report.programs.len()), (4, 5));
    assert!(report.slots.is_empty(), "{:?}", report.slots);
    failures(&report)
}

#[track_caller]
fn assert_failures(found: &[(String, String)], expected: &[(&str, &str)]) {
    let what: Vec<_> = found.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(what, expected.iter().map(|(what, _)| *what).collect::<Vec<_>>(), "{found:#?}");
    for ((_, error), (_, words)) in found.iter().zip(expected) {
        assert!(error.contains(words), "no {words:?} in {error}");
    }
}

#[test]
fn each_costs_itself_and_its_program() {
    let expected = [
        (
            "outer",
            "map \"outer\" (array_of_maps) does not say what its inner maps look like, no inner map is given",
        ),
        ("pinned", "map \"pinned\" in section \".maps\": `pinning` 7 is neither"),
        ("program 0", "program \"uses_outer\" needs map \"outer\""),
        ("program 3", "program \"uses_pinned\" needs map \"pinned\""),
    ];
    assert_failures(&of("broken_maps.o"), &expected);
}

#[test]
fn without_btf_no_map_is_understood_that_is_defined_by_it() {
    let compile = "section \".maps\" needs BTF to be understood, and the object has none: compile with -g";
    let expected = [
        ("outer", "no inner map is given"),
        ("good", compile),
        ("pinned", compile),
        ("program 0", "needs map \"outer\""),
        ("program 2", "needs map \"good\""),
        ("program 3", "needs map \"pinned\""),
    ];
    assert_failures(&of("broken_maps-clang22.o"), &expected);
}

#[test]
fn of_a_dialect_that_nobody_knows_what_all_agree_in_is_read() {
    let wordy = |dialects| {
        let object = rxdp_loader::read("broken_maps", &common::bytes_of("broken_maps.o"), dialects).unwrap();
        object.maps.into_iter().find(|map| &*map.name == "wordy").unwrap()
    };
    let map = wordy(Dialects::default());
    assert_eq!((map.ty, map.key_size, map.value_size, map.max_entries), (MapType::ARRAY, 4, 4, 1));
    assert_eq!(map.defect, None);
    let said = wordy(Dialects { map: Some(MapDialect::Samples), ..Dialects::default() });
    let why = said.defect.expect("who says the dialect means it").to_string();
    assert!(why.contains("a definition of 32 bytes has words that are not zero"), "{why}");
}

#[test]
fn all_or_nothing_says_why_and_asks_the_kernel_nothing() {
    let object = linked("broken_maps.o");
    // Every call fails, so none is made.
    let kernel = DryRun::failing(0, Errno::EPERM);
    let error = load::execute(&plan(&object).unwrap(), &kernel, Given::default()).unwrap_err();
    assert!(error.to_string().starts_with("map \"outer\" (array_of_maps)"), "{error}");
}
