//! Old kernels, as doubles that refuse what they refused: everything loads as they would need it, or says which Linux it
//! needs.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use std::fmt::Write;
use std::fs;

use common::old_kernel::{LIMITS, Limits, OldKernel, machine};
use common::types::{answers, small_kernel};
use common::{check, spec_of, xdp_options};
use rxdp_loader::core_relo::KernelTypes;
use rxdp_loader::features::{FEATURES, FeatureRow, Features, KernelVersion, Machine};
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::load::{self, Ask, Given, LoadError, MapReport, Report};
use rxdp_loader::patch::undo;
use rxdp_loader::plan::{self, LoadProgram, MixedTables, Options, Select, Step};
use rxdp_loader::sys::{DryRun, Kernel, Recorder, Replay};
use rxdp_loader::target;
use rxdp_loader::uapi::{AttachType, ProgFlags, ProgType};

/// All of an object is tried.
fn options() -> Options {
    Options { select: Select::All, mixed_tables: MixedTables::Copy, ..xdp_options() }
}

/// Kernels show their types since 5.4.
fn linked_on(name: &str, version: (u8, u8)) -> LinkedObject {
    let spec = spec_of(name);
    let nothing = KernelTypes::default();
    let answers = match version >= (5, 4) {
        true => answers(&spec, &small_kernel().bytes()),
        false => target::answer(&spec, &nothing, &nothing),
    };
    link::link_with(spec, answers)
}

/// Objects of this machine's byte order.
fn objects() -> Vec<String> {
    common::all().into_iter().filter(|name| !name.contains("bigendian")).collect()
}

fn tried<'p>(plan: &'p plan::LoadPlan<'_>, kernel: &impl Kernel) -> Report<'p> {
    load::verify(plan, kernel, Given::default(), Ask::Nothing)
}

fn errors<'r>(report: &'r Report<'_>) -> Vec<&'r LoadError> {
    let maps = report.maps.iter().filter_map(MapReport::error);
    let programs = report.programs.iter().filter_map(|program| program.result.as_ref().err());
    maps.chain(programs).chain(&report.slots).collect()
}

/// What an error says that is no consequence of another one.
fn cause(error: &LoadError) -> Option<String> {
    let is_consequence = matches!(error, LoadError::MapMissing { .. } | LoadError::NotInPlan { .. });
    (!is_consequence).then(|| error.to_string())
}

/// The part of an error that names a version: `5.2 (global variables)`.
fn needs_of(name: &str, error: &str, (major, minor): (u8, u8)) -> String {
    let (_, rest) = error.split_once("needs Linux ").unwrap_or_else(|| panic!("{name}: {error}"));
    match rest.split_once(", this is Linux ") {
        Some((needs, is)) => {
            assert_eq!(is, format!("{major}.{minor}.0"));
            needs.to_string()
        }
        // Who finds no types of the kernel does not know how old it is.
        None => {
            assert!(rest.starts_with("5.4 with CONFIG_DEBUG_INFO_BTF"), "{name}: {error}");
            "5.4 (types of the kernel)".to_string()
        }
    }
}

#[test]
fn every_object_loads_or_says_which_linux_it_needs() {
    let mut text = String::new();
    for limits in LIMITS {
        let (mut loaded, (major, minor)) = (0, limits.version);
        let mut refusals = Vec::new();
        for name in objects() {
            let object = linked_on(&name, limits.version);
            let kernel = OldKernel::new(limits.version);
            let machine = load::machine_for(&kernel, &object, &kernel.machine(), &options());
            assert_eq!(machine, kernel.machine(), "{name}: the version alone told no lies");
            let Ok(plan) = plan::plan(&object, &machine, &options()) else {
                continue;
            };
            let report = tried(&plan, &kernel);
            assert_eq!(report.notes, [], "{name} on Linux {major}.{minor}: all types are taken at once");
            // What fails on a kernel that says yes fails for another reason than the kernel's age.
            let object = linked_on(&name, (6, 18));
            let newest = plan::plan(&object, &Machine::NEWEST, &options()).unwrap();
            let newest = tried(&newest, &DryRun::new());
            let everywhere: Vec<_> = errors(&newest).into_iter().map(ToString::to_string).collect();
            let own = errors(&report).into_iter().filter(|error| !everywhere.contains(&error.to_string()));
            let own: Vec<_> = own.filter_map(cause).collect();
            loaded += usize::from(errors(&report).is_empty());
            let mut needs: Vec<_> = own.iter().map(|error| needs_of(&name, error, limits.version)).collect();
            needs.sort();
            needs.dedup();
            if !needs.is_empty() {
                refusals.push(format!("  {name} needs {}\n", needs.join(", ")));
            }
        }
        let _ = writeln!(text, "Linux {major}.{minor}: {loaded} load whole");
        text += &refusals.concat();
    }
    check("doubles", &text);
}

/// Of several things that the kernel is too old for, the newest is what helps.
#[test]
fn the_newest_thing_is_named() {
    let object = linked_on("calls.o", (5, 4));
    let plan = plan::plan(&object, &Machine::NEWEST, &options()).unwrap();
    let load = plan.programs().next().unwrap().clone();
    let linked = object.program(load.program).unwrap();
    let says = |load: &LoadProgram, version| {
        let beyond = load.beyond(linked, machine(version).kernel);
        beyond.map(|beyond| beyond.to_string()).unwrap_or_default()
    };
    assert_eq!(says(&load, (4, 15)), "needs Linux 4.16 (subprograms), this is Linux 4.15.0");
    assert_eq!(says(&load, (4, 16)), "");
    let frags = LoadProgram { flags: ProgFlags::XDP_HAS_FRAGS, ..load.clone() };
    assert_eq!(says(&frags, (4, 15)), "needs Linux 5.18 (xdp.frags), this is Linux 4.15.0");
    let sleepable = |ty| LoadProgram { flags: ProgFlags::SLEEPABLE, ty, ..load.clone() };
    assert_eq!(says(&sleepable(ProgType::LSM), (5, 11)), "");
    let uprobe = says(&sleepable(ProgType::KPROBE), (5, 11));
    assert_eq!(uprobe, "needs Linux 6.0 (sleepable uprobes), this is Linux 5.11.0");
    // XDP programs may say what they like; others are refused for it.
    let attach = AttachType::CGROUP_UDP6_RECVMSG;
    assert_eq!(says(&LoadProgram { attach, ..load.clone() }, (5, 0)), "");
    let address = LoadProgram { attach, ty: ProgType::CGROUP_SOCK_ADDR, ..load.clone() };
    assert!(says(&address, (5, 0)).contains("5.2 (attach type cgroup_udp6_recvmsg)"));
}

/// What is asked to find out about a kernel, and what it says.
fn probes(name: &str, kernel: impl Kernel, machine: &Machine) -> (Machine, String) {
    let (major, minor) = (machine.kernel.major, machine.kernel.minor);
    let object = linked_on(name, (major, minor));
    let kernel = Recorder::new(kernel);
    let found = load::machine_for(&kernel, &object, machine, &options());
    (found, kernel.transcript().to_string())
}

#[test]
fn nothing_is_asked_that_the_plan_does_not_depend_on() {
    for name in objects() {
        assert_eq!(probes(&name, DryRun::new(), &Machine::NEWEST).1, "", "{name}");
    }
    let asked = |name, version| probes(name, OldKernel::new(version), &machine(version)).1;
    assert_eq!(asked("tail_kern-llc14.o", (6, 1)), "", "no types at all");
    assert_eq!(asked("data.o", (6, 1)), "", "no enumerations of 64 bits");
    check("data-5.4.probes", &asked("data.o", (5, 4)));
    check("data-4.19.probes", &asked("data.o", (4, 19)));
    check("data-4.14.probes", &asked("data.o", (4, 14)));
}

#[test]
fn who_may_not_ask_asks_once() {
    let denied = DryRun::failing(0, rxdp_loader::sys::Errno::EPERM);
    let (found, text) = probes("data.o", denied, &machine((4, 14)));
    assert_eq!((found, text.lines().count()), (machine((4, 14)), 1), "{text}");
}

/// What a kernel was asked before the load is part of the recording, and found out again from it.
#[test]
fn a_recording_of_an_old_kernel_plays_back() {
    let object = linked_on("values.o", (5, 4));
    let recorder = Recorder::new(OldKernel::new((4, 19)));
    let found = prepare_and_load(&object, &recorder);
    let replay = Replay::new(recorder.transcript());
    assert_eq!(prepare_and_load(&object, &replay), found);
    assert_eq!(replay.finish(), Ok(()));
    assert!(recorder.transcript().to_string().starts_with("BTF_LOAD probe "));
}

fn prepare_and_load(object: &LinkedObject, kernel: &impl Kernel) -> Machine {
    let found = load::machine_for(kernel, object, &machine((4, 19)), &xdp_options());
    let plan = plan::plan(object, &found, &xdp_options()).unwrap();
    load::execute(&plan, kernel, Given::default()).unwrap();
    found
}

/// A distribution's 4.18 that has what 5.15 has.
#[test]
fn what_a_distribution_added_is_found_and_used() {
    let version = (4, 18);
    let (found, _) = probes("data.o", OldKernel::new((5, 15)), &machine(version));
    let gained = Features::GLOBAL_DATA | Features::FROZEN_MAPS | Features::BTF_DATASEC | Features::FUNC_INFO;
    assert!(found.features.contains(gained), "{found:?}");
    let object = linked_on("data.o", version);
    let plan = plan::plan(&object, &found, &options()).unwrap();
    let report = tried(&plan, &OldKernel::new((5, 15)));
    assert_eq!((errors(&report).len(), report.notes.len()), (0, 0));
    // By its version alone it would be refused.
    let plan = plan::plan(&object, &machine(version), &options()).unwrap();
    assert!(plan.refusal().unwrap().to_string().contains("needs Linux 5.2"));
}

/// A value without a key is a section of variables or nothing, and a lowered section is none.
#[test]
fn maps_of_lowered_sections_have_no_types() {
    let object = linked_on("data.o", (5, 4));
    let typed = |features| {
        let plan = plan::plan(&object, &Machine { features, ..Machine::NEWEST }, &options()).unwrap();
        let typed =
            |step: &Step| if let Step::CreateMap(map) = step { Some(map.types.is_some()) } else { None };
        plan.steps.iter().filter_map(typed).collect::<Vec<_>>()
    };
    // The last one is of strings that have no type anywhere.
    assert_eq!(typed(Features::all()), [true, true, true, false]);
    assert_eq!(typed(Features::all().difference(Features::BTF_DATASEC)), [false; 4]);
}

/// If a plan changes with a feature, the feature is asked for.
#[test]
fn a_plan_depends_on_nothing_else() {
    for name in objects() {
        let object = linked_on(&name, (5, 4));
        let with = |features| Machine { features, ..Machine::NEWEST };
        let planned = |machine: &Machine| {
            let plan = plan::plan(&object, machine, &options()).unwrap();
            (plan.steps, plan.refused, plan.refused_maps)
        };
        let whole = planned(&Machine::NEWEST);
        let by_version_alone = Features::UPROBE_MULTI;
        for feature in (Features::all() - by_version_alone).iter() {
            let without = with(Features::all() - feature);
            let depends = planned(&without) != whole;
            let needs = plan::needs(&object, &without, &options());
            assert!(!depends || needs == feature, "{name} without {feature:?}: {needs:?}");
        }
        assert!(plan::needs(&object, &Machine::NEWEST, &options()).is_empty());
    }
}

#[test]
fn what_the_compiler_wrote_comes_back() {
    let mut replaced = String::new();
    for name in objects() {
        let object = linked_on(&name, (5, 4));
        let plan = plan::plan(&object, &machine((5, 4)), &options()).unwrap();
        for load in plan.programs() {
            let linked = object.program(load.program).unwrap();
            let spec = object.spec.program(load.program).unwrap();
            for patch in &load.patches {
                let _ =
                    writeln!(replaced, "{name}: {}+{}: {}", spec.name, patch.at, patch.reason.words(None));
            }
            assert_eq!(undo(&load.code(linked), &load.patches).as_ref(), Some(&linked.insns), "{name}");
        }
        let newest = plan::plan(&object, &Machine::NEWEST, &options()).unwrap();
        assert!(newest.programs().all(|load| load.patches.is_empty()), "{name}");
    }
    check("helpers-5.4", &replaced);
}

/// Every version takes every object's types, as they are for it.
#[test]
fn types_are_lowered_for_every_version() {
    let versions = (18..=20).map(|minor| (4, minor));
    let versions = versions.chain((0..=19).map(|minor| (5, minor))).chain((0..=18).map(|minor| (6, minor)));
    for (major, minor) in versions {
        let kernel = KernelVersion { major, minor, patch: 0 };
        for name in objects() {
            let object = linked_on(&name, (5, 4));
            let machine = Machine { kernel, features: Features::of(kernel), ..Machine::NEWEST };
            let plan = plan::plan(&object, &machine, &options()).unwrap();
            let report = tried(&plan, &OldKernel::new((major, minor)));
            assert_eq!(report.notes, [], "{name} on Linux {major}.{minor}");
        }
    }
}

/// The documentation's table is the loader's, and its list of doubles is ours.
#[test]
fn the_documentation_says_what_the_code_knows() {
    const HEAD: &str = "| feature | since | without it |\n|---|---|---|\n";
    let path = common::crate_dir().join("../docs/kernel-support.md");
    let page = fs::read_to_string(&path).unwrap();
    let row =
        |row: &FeatureRow| format!("| {} | {}.{} | {} |\n", row.name, row.since.0, row.since.1, row.without);
    let table: String = FEATURES.iter().map(row).collect();
    let (before, behind) = page.split_once(HEAD).unwrap();
    let (written, rest) = behind.split_at(behind.find("\n\n").map_or(0, |at| at + 1));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, [before, HEAD, &table, rest].concat()).unwrap();
        return;
    }
    assert_eq!(written, table, "UPDATE_EXPECT=1 rewrites it");
    let versions: Vec<_> = LIMITS.iter().map(|Limits { version: (a, b), .. }| format!("{a}.{b}")).collect();
    assert!(page.contains(&format!("\nDoubles: {}.\n", versions.join(", "))), "{versions:?}");
}
