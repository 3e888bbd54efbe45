//! Programs that several threads load: the same programs in the same order, and the same error, as one after another.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::num::NonZeroUsize;

use common::{linked, plan};
use rxdp_loader::link::LinkedObject;
use rxdp_loader::load::{Ask, Given, Input, LoadedObject, execute, verify};
use rxdp_loader::sys::Linux;
use rxdp_sandbox::testing::kernel_or_skip;

/// `loops.c`'s verdicts, in definition order: drop, pass, transmit.
const VERDICTS: [u32; 3] = [1, 2, 3];

fn jobs(jobs: usize) -> Given {
    Given { jobs: NonZeroUsize::new(jobs), ..Given::default() }
}

fn load(object: &LinkedObject, at_once: usize) -> Result<LoadedObject, String> {
    execute(&plan(object).unwrap(), &Linux, jobs(at_once)).map_err(|error| error.to_string())
}

#[test]
fn programs_stand_in_definition_order_whoever_loaded_them() {
    if kernel_or_skip("programs_stand_in_definition_order_whoever_loaded_them").is_none() {
        return;
    }
    let object = linked("loops.o");
    for at_once in [1, 2, 8] {
        let loaded = load(&object, at_once).unwrap();
        let names: Vec<&str> = loaded.programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names, ["loops_drop", "loops_pass", "loops_tx"], "{at_once} jobs");
        let run = |program: &rxdp_loader::load::LoadedProgram| {
            program.test_run(&Linux, &Input::packet(&[7; 64])).unwrap().retval
        };
        assert_eq!(loaded.programs.iter().map(run).collect::<Vec<u32>>(), VERDICTS, "{at_once} jobs");
    }
}

#[test]
fn the_error_is_that_of_one_after_another() {
    if kernel_or_skip("the_error_is_that_of_one_after_another").is_none() {
        return;
    }
    let object = linked("loops-endless.o");
    let one = load(&object, 1).unwrap_err();
    assert!(one.contains("\"endless\""), "{one}");
    assert_eq!(load(&object, 4).unwrap_err(), one);

    let plan = plan(&object).unwrap();
    let report = verify(&plan, &Linux, jobs(4), Ask::Everything);
    let loads: Vec<bool> = report.programs.iter().map(|program| program.result.is_ok()).collect();
    assert_eq!(loads, [true, true, true, false]);
    assert!(report.programs.iter().all(|program| !program.took.is_zero()));
}
