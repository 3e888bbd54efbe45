//! Programs whose section does not say their type, and what else loaders of their time knew that the objects do not say.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use std::collections::BTreeMap;

use common::{bytes_of, linked, plan, read};
use rxdp_loader::elf;
use rxdp_loader::features::Machine;
use rxdp_loader::link::LinkedObject;
use rxdp_loader::load::{Ask, Given, LoadError, Note, verify};
use rxdp_loader::plan::{
    FillSlot, LoadPlan, MixedTables, Options, PlanError, Select, SlotSource, SlotValue, Step,
};
use rxdp_loader::spec::ProgId;
use rxdp_loader::sys::{DryRun, Linux, Recorder};
use rxdp_loader::uapi::{AttachType, ProgType};
use rxdp_sandbox::testing::kernel_or_skip;

const OBJECTS: [&str; 2] = ["wild/untyped.o", "wild/untyped-clang14.o"];

fn to_verify() -> Options {
    Options {
        select: Select::All,
        try_types: true,
        size_maps: true,
        mixed_tables: MixedTables::Copy,
        ..Options::default()
    }
}

fn planned<'o>(object: &'o LinkedObject, options: &Options) -> LoadPlan<'o> {
    rxdp_loader::plan::plan(object, &Machine::NEWEST, options).unwrap()
}

fn named(object: &LinkedObject, name: &str) -> ProgId {
    let at = object.spec.programs.iter().position(|program| program.name == name);
    ProgId::new(at.unwrap_or_else(|| panic!("no program {name}")))
}

#[test]
fn the_most_likely_type_comes_first_and_no_type_is_left_out() {
    for name in OBJECTS {
        let object = linked(name);
        let plan = planned(&object, &to_verify());
        let first = |program: &str| {
            let id = named(&object, program);
            let load = plan.programs().find(|load| load.program == id).unwrap();
            assert_eq!(load.others.len(), 42, "{program}");
            (load.ty, load.said)
        };
        assert_eq!(first("in_slot"), (ProgType::SCHED_CLS, false), "as from_container, whose table it is in");
        assert_eq!(first("elsewhere"), (ProgType::SCHED_CLS, false), "by its helper");
        assert_eq!(first("from_container"), (ProgType::SCHED_CLS, false), "by its name");
        assert_eq!(first("shorten"), (ProgType::XDP, false), "by its helper");
        assert_eq!(first("probe"), (ProgType::KPROBE, false), "by its helper");
        assert_eq!(first("no_xdp"), (ProgType::XDP, true), "what its name begins with is tried first");
    }
}

#[test]
fn who_does_not_ask_gets_nothing_tried() {
    let object = linked("wild/untyped.o");
    let plan = planned(&object, &Options::default());
    assert!(plan.programs().all(|load| load.others.is_empty() && load.said));
    let untyped = plan.refused.iter().filter(|(_, error)| matches!(error, PlanError::NoType { .. })).count();
    assert_eq!(untyped, 7);
    // The user's word is not doubted, be it about one or about all.
    let all = Options { default_type: Some(ProgType::SCHED_CLS), ..to_verify() };
    assert!(planned(&object, &all).programs().all(|load| load.others.is_empty()));
    let one = Options { types: BTreeMap::from([(ProgId(0), ProgType::SCHED_ACT)]), ..to_verify() };
    let plan = planned(&object, &one);
    let load = plan.programs().next().unwrap();
    assert_eq!((load.ty, load.others.len()), (ProgType::SCHED_ACT, 0));
}

#[test]
fn names_of_old_are_not_doubted() {
    let object = linked("tail_kern.o");
    let plan = planned(&object, &to_verify());
    let loads: Vec<_> = plan.programs().map(|load| (load.ty, load.said, load.others.len())).collect();
    assert_eq!(loads, [(ProgType::XDP, true, 0); 2], "xdp/0 and xdp/1");
}

#[test]
fn attempts_cost_no_maps_until_they_are_made() {
    let object = linked("wild/untyped.o");
    let mut plan = planned(&object, &to_verify());
    let created = plan.steps.iter().filter(|step| matches!(step, Step::CreateMap(_))).count();
    assert_eq!(created, 2, "the object's own");
    assert!(
        plan.programs().all(|load| load.copies.is_empty()),
        "one kind is most likely for all of the table"
    );

    // No kernel is asked for more if the first attempt succeeds.
    let kernel = Recorder::new(DryRun::new());
    verify(&plan, &kernel, Given::default(), Ask::Nothing);
    let maps = |kernel: &Recorder<DryRun>| {
        kernel.transcript().calls.iter().filter(|call| call.request.starts_with("MAP_CREATE")).count()
    };
    assert_eq!(maps(&kernel), 2);

    // A table that was given to programs of another type is of no use to a second attempt.
    if kernel_or_skip("attempts_cost_no_maps_until_they_are_made").is_none() {
        return;
    }
    let main = named(&object, "from_container");
    for step in &mut plan.steps {
        let Step::LoadProgram(load) = step else { continue };
        if load.program == main {
            let others = std::mem::take(&mut load.others);
            let right = others.iter().position(|other| other.ty == ProgType::SCHED_ACT).unwrap();
            (load.ty, load.attach, load.others) = (ProgType::XDP, AttachType::XDP, vec![others[right]]);
        }
    }
    let report = verify(&plan, &Linux, Given::default(), Ask::Nothing);
    let taken = &report.programs[main.index()];
    assert_eq!(taken.load.as_ref().map(|load| load.ty), Some(ProgType::SCHED_ACT), "{:?}", taken.result);
}

#[test]
fn a_slot_that_cannot_be_filled_costs_itself() {
    let object = linked("wild/untyped.o");
    let plan = planned(&object, &to_verify());
    let fills: Vec<_> = plan.fills().map(|fill| (fill.key, fill.from)).collect();
    assert_eq!(fills, [(8, SlotSource::Section)], "0xab/010");
    let refused: Vec<String> = plan.refused_slots.iter().map(ToString::to_string).collect();
    assert_eq!(refused, ["map \"calls\": key 99 is out of range, it has 16 entries (0 to 15)"]);
    assert!(plan.refusal().is_some(), "all or nothing");
    assert!(plan.refused.is_empty(), "{:?}", plan.refused);
}

#[test]
fn the_kernel_finds_the_types() {
    if kernel_or_skip("the_kernel_finds_the_types").is_none() {
        return;
    }
    for name in OBJECTS {
        let object = common::linked_here(name);
        let plan = planned(&object, &to_verify());
        let report = verify(&plan, &Linux, Given::default(), Ask::Everything);
        let taken: BTreeMap<&str, Option<ProgType>> = report
            .programs
            .iter()
            .map(|program| {
                let name = object.spec.program(program.id).unwrap().name.as_str();
                let info = program.result.as_ref().ok().and_then(Option::as_ref);
                assert_eq!(info.map(|info| info.ty), program.load.as_ref().map(|load| load.ty), "{name}");
                (name, info.map(|info| info.ty))
            })
            .collect();
        let expected = [
            ("in_slot", Some(ProgType::SCHED_CLS)),
            ("beyond", Some(ProgType::SCHED_CLS)),
            ("elsewhere", Some(ProgType::SCHED_CLS)),
            ("from_container", Some(ProgType::SCHED_CLS)),
            ("no_xdp", Some(ProgType::SCHED_CLS)),
            ("shorten", Some(ProgType::XDP)),
            ("probe", Some(ProgType::KPROBE)),
            ("of_no_type", None),
        ];
        assert_eq!(taken, expected.into(), "{name}");
        let found = report.notes.iter().filter(|note| matches!(note, Note::TypeFound { .. })).count();
        assert_eq!(found, 7, "{:?}", report.notes);
        let sized = |note: &Note| matches!(note, Note::SizeGiven { map, .. } if map == "open_size");
        assert!(report.notes.iter().any(sized), "{:?}", report.notes);
        let Some(LoadError::NoTypeFits { why, .. }) =
            report.programs.iter().find_map(|program| program.result.as_ref().err())
        else {
            panic!("{:?}", report.programs);
        };
        assert!(why.log().is_some(), "the verifier's words about the most likely type");
        let slots: Vec<String> = report.slots.iter().map(ToString::to_string).collect();
        assert_eq!(slots.len(), 1, "slot 8 is filled in the table of its kind: {slots:?}");
    }
}

#[test]
fn a_slot_is_filled_in_the_copy_that_its_program_uses() {
    if kernel_or_skip("a_slot_is_filled_in_the_copy_that_its_program_uses").is_none() {
        return;
    }
    let object = common::linked_here("wild/untyped.o");
    let (first, second) = (named(&object, "in_slot"), named(&object, "from_container"));
    let map = object.spec.map_numbered(0xab).unwrap();
    let slot = FillSlot { map, key: 2, value: SlotValue::Program(second), from: SlotSource::Given };
    let types = BTreeMap::from([(first, ProgType::SCHED_ACT), (second, ProgType::SCHED_CLS)]);
    let options = Options { types, slots: vec![slot], ..to_verify() };
    let plan = planned(&object, &options);
    let load = plan.programs().find(|load| load.program == second).unwrap();
    assert!(load.copies.contains_key(&map), "the table itself is the other program's");
    let report = verify(&plan, &Linux, Given::default(), Ask::Nothing);
    let slots: Vec<String> = report.slots.iter().map(ToString::to_string).collect();
    assert!(matches!(slots.as_slice(), [only] if only.contains("key 99")), "{slots:?}");
}

#[test]
fn a_function_without_a_section_of_its_own_is_what_it_shows() {
    let object = linked("wild/only_text.o");
    let types: Vec<_> = planned(&object, &to_verify()).programs().map(|load| (load.ty, load.said)).collect();
    assert_eq!(types, [(ProgType::SCHED_CLS, false)]);
}

#[test]
fn types_that_nobody_understands_are_done_without_where_nothing_needs_them() {
    let damaged = |name: &str| {
        let mut bytes = bytes_of(name);
        let types = elf::parse(&bytes).unwrap().section_named(".BTF").unwrap().data.to_vec();
        let at = bytes.windows(types.len()).position(|window| window == types).unwrap();
        bytes[at] ^= 0xff;
        read(name, &bytes)
    };
    let spec = damaged("map_defs-28.o").unwrap();
    assert_eq!(spec.btf, None);
    let object = rxdp_loader::link::link(spec);
    let plan = planned(&object, &to_verify());
    let report = verify(&plan, &DryRun::new(), Given::default(), Ask::Nothing);
    let notes: Vec<String> = report.notes.iter().map(ToString::to_string).collect();
    assert!(notes[0].starts_with("loaded without types and source lines: malformed .BTF"), "{notes:?}");
    assert!(report.first_error().is_none(), "{:?}", report.first_error());
    assert!(damaged("calls.o").is_ok());
    assert!(damaged("inner_maps.o").is_err(), "types define its maps");
    assert!(damaged("core_kinds.o").is_err(), "unfitted code would read what is not there");
}

#[test]
fn code_that_belongs_to_no_function_is_in_no_ones_way() {
    let object = linked("wild/overridden.o");
    let entry = object.programs[0].as_ref().unwrap();
    assert_eq!((object.spec.functions.len(), entry.map_refs.len()), (2, 1));
    let mut calls = entry.insns.iter().filter(|insn| insn.is_call() && insn.src == 1);
    assert!(calls.next().is_some(), "it calls what stands behind the leftovers");
    if kernel_or_skip("code_that_belongs_to_no_function_is_in_no_ones_way").is_some() {
        common::load("wild/overridden.o", &Linux).unwrap();
    }
}

#[test]
fn a_symbol_that_nobody_defines_is_named_with_its_place() {
    let object = linked("wild/undefined.o");
    let plan = plan(&object).unwrap();
    let errors: Vec<String> = plan.refused.iter().map(|(_, error)| error.to_string()).collect();
    let [call, load] = errors.as_slice() else { panic!("{errors:?}") };
    for (error, starts, says) in [
        (call, "program \"calls\": calls+0 (", "it calls \"elsewhere\", which the object declares"),
        (load, "program \"loads\": loads+0 (", "it refers to \"counter\", which the object declares"),
    ] {
        assert!(
            error.starts_with(starts) && error.contains(says) && error.contains("--link FILE"),
            "{error}"
        );
    }
    assert_eq!(plan.programs().count(), 1, "the third program needs none of them");
}
