//! Maps of maps of whose inner maps nobody says what they look like, as `verify` makes them up.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use common::linked;
use rxdp_loader::features::Machine;
use rxdp_loader::load::{self, Ask, Given, Note, Report};
use rxdp_loader::plan::{self, LoadPlan, Options, PlanError, Select, Step};
use rxdp_loader::sys::{DryRun, Linux, host};
use rxdp_loader::uapi::MapType;
use rxdp_sandbox::testing::kernel_or_skip;

const OBJECTS: [&str; 2] = ["wild/open_inner.o", "wild/open_inner-clang14.o"];

fn options() -> Options {
    Options { select: Select::All, make_inner: true, ..Options::default() }
}

/// Names of programs that were not loaded.
fn failed(plan: &LoadPlan<'_>, report: &Report<'_>) -> Vec<String> {
    let failed = report.programs.iter().filter(|program| program.result.is_err());
    failed.map(|program| plan.object.spec.program(program.id).unwrap().name.clone()).collect()
}

fn says(report: &Report<'_>, program: Option<&str>, map: &str) -> Option<String> {
    report.notes.iter().find_map(|note| {
        let Note::InnerMadeUp { program: of, map: outer, inner } = note else {
            return None;
        };
        (of.as_deref() == program && outer == map).then(|| inner.clone())
    })
}

#[test]
fn each_program_gets_inner_maps_that_suit_it() {
    let Some(_sandbox) = kernel_or_skip("each_program_gets_inner_maps_that_suit_it") else {
        return;
    };
    for name in OBJECTS {
        let object = linked(name);
        let plan = plan::plan(&object, &host::machine(), &options()).unwrap();
        let report = load::verify(&plan, &Linux, Given::default(), Ask::Nothing);

        assert_eq!(failed(&plan, &report), ["is_wrong"], "{name}: {:?}", report.first_error());
        assert!(report.maps.iter().all(|map| map.result.is_ok()));
        let most = "hash, 1-byte key, 65536-byte value";
        for (program, map, inner) in [
            (None, "lru_of_cpu", most),
            (Some("balances"), "lru_of_cpu", "lru_hash, 40-byte key, 16-byte value"),
            (Some("reads_nobodys"), "by_nobody", most),
            (None, "far", most),
            (None, "put", most),
            (Some("sends"), "events", "perf_event_array, 4-byte key, 4-byte value"),
            (None, "missing", most),
        ] {
            assert_eq!(says(&report, program, map).as_deref(), Some(inner), "{name}: {program:?} {map}");
        }
        // The object says it by a number, so nothing is made up before a program asks for it.
        assert_eq!(says(&report, None, "by_nobody"), None);
        let filled = says(&report, Some("reads_one_and_fills_one"), "put").unwrap();
        assert!(filled.starts_with("hash, 1-byte key") && filled != most, "{filled}");
        assert_eq!(says(&report, Some("reads_one_and_fills_one"), "far"), None, "one is enough");
    }
}

#[test]
fn what_is_told_of_a_program_that_is_wrong_is_told_of_the_likeliest_inner_map() {
    let Some(_sandbox) = kernel_or_skip("what_is_told_of_a_program_that_is_wrong") else {
        return;
    };
    let object = linked(OBJECTS[0]);
    let plan = plan::plan(&object, &host::machine(), &options()).unwrap();
    let report = load::verify(&plan, &Linux, Given::default(), Ask::Nothing);
    let error = report.first_error().unwrap().to_string();
    assert!(error.starts_with("program \"is_wrong\"") && error.contains("invalid mem access"), "{error}");
}

#[test]
fn nothing_is_made_up_unless_it_is_asked_for() {
    let object = linked("wild/open_inner.o");
    let plan = plan::plan(&object, &Machine::NEWEST, &Options::default()).unwrap();
    assert!(plan.open_inner.is_empty());
    let refused: Vec<_> = plan.refused_maps.iter().map(|(map, _)| &*map.name).collect();
    assert_eq!(refused, ["lru_of_cpu", "far", "put", "events", "missing"]);
    assert!(matches!(plan.refusal(), Some(PlanError::NoInnerMap { .. })));
}

#[test]
fn a_map_that_no_program_refers_to_is_the_likeliest() {
    let object = linked("inner_maps-none.o");
    let plan = plan::plan(&object, &Machine::NEWEST, &options()).unwrap();
    let made: Vec<_> = plan.maps().map(|map| (&*map.name, map.ty, map.value_size)).collect();
    let array = MapType::ARRAY;
    let outer = ("outer", MapType::ARRAY_OF_MAPS, 4);
    assert_eq!(made, [("one", array, 8), outer, ("one", array, 8), ("two", array, 8)]);
    // Each of them is one call, and so are the programs: nothing is tried again that was taken.
    let kernel = DryRun::new();
    let report = load::verify(&plan, &kernel, Given::default(), Ask::Nothing);
    assert!(report.first_error().is_none());
    let templates = plan.steps.iter().filter(|step| matches!(step, Step::CreateMap(_))).count();
    assert_eq!(templates, 4);
}
