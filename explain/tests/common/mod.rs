//! What the tests of this crate share: the committed objects, explained for the newest machine, which is the same on every
//! machine.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

use rxdp_explain::model::{Explanation, Problem};
use rxdp_explain::{Entry, Stages, explain};
use rxdp_loader::btf::TargetBtf;
use rxdp_loader::core_relo::KernelTypes;
use rxdp_loader::elf;
use rxdp_loader::externs::{self, Facts};
use rxdp_loader::features::Machine;
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::load::{self, Ask, Given};
use rxdp_loader::plan::{self, FillSlot, LoadPlan, Options, SlotSource, SlotValue};
use rxdp_loader::spec::{self, Dialects, ObjectSpec, ProgId};
use rxdp_loader::sys::{DryRun, Recorder};
use rxdp_loader::tail_calls::{self, Conclusion};
use rxdp_loader::target::{self, Answers};
use rxdp_loader::trace::Transcript;
use rxdp_loader::uapi::ProgType;

/// Where committed objects lie, seen from this crate.
const FOLDERS: &[&str] = &["../tests/fixtures", "../bpf-progs"];

/// The committed object of this name, such as `data.o`.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = FOLDERS.iter().map(|folder| root.join(folder).join(name));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("no committed object {name}"))
}

/// Names of all committed objects.
pub(crate) fn all() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = FOLDERS.iter().flat_map(|folder| fs::read_dir(root.join(folder)).expect("objects"));
    let names = files.map(|entry| entry.expect("a file").file_name().into_string().expect("a name"));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".o")).collect();
    names.sort();
    assert!(names.len() >= 30, "where have the objects gone? {names:?}");
    names
}

/// What the kernel is configured with.
const KCONFIG: &str =
    "CONFIG_BPF_SYSCALL=y\nCONFIG_HZ=250\nCONFIG_VETH=m\nCONFIG_DEFAULT_HOSTNAME=\"(none)\"\n";

/// An object, explained. Its code is fitted to the types of another object, if there is one.
pub(crate) fn explained(name: &str, types: Option<&str>) -> Explanation {
    explained_for(name, types, &Machine::NEWEST)
}

/// The same for another kernel.
pub(crate) fn explained_for(name: &str, types: Option<&str>, machine: &Machine) -> Explanation {
    let bytes = fs::read(path_of(name)).expect("an object");
    let elf = elf::parse(&bytes).expect("an ELF file");
    let stem = rxdp_loader::object_name(Path::new(name));
    let mut spec = spec::collect(&elf, &stem, Dialects::default()).expect("an object that means something");
    let facts = Facts { kconfig: Some(KCONFIG.to_string()), ..Facts::default() };
    externs::resolve(&mut spec, machine, &facts).expect("values that fit");
    let linked = match types {
        None => link::link(spec),
        Some(types) => {
            let answers = answers(&spec, &fs::read(path_of(types)).expect("types"));
            link::link_with(spec, answers)
        }
    };
    let (plan, entry, problems) = planned(&linked, machine);
    explain(&Stages {
        path: name,
        name: &stem,
        bytes: &bytes,
        elf: &elf,
        joining: None,
        linked: Some(&linked),
        plan: plan.as_ref(),
        calls: &plan.as_ref().map(calls).unwrap_or_default(),
        machine,
        types: types.unwrap_or("none"),
        entry,
        problems,
    })
}

fn answers(spec: &ObjectSpec, file: &[u8]) -> Answers {
    let bytes = elf::types_of(file).expect("a file with types");
    let scanned = TargetBtf::scan(&bytes, None, &target::needs_of_code(spec)).expect("types");
    let kernel = KernelTypes { vmlinux: Some(&scanned), modules: Vec::new() };
    target::answer(spec, &kernel, &KernelTypes::default())
}

/// As the command plans: XDP programs are the entry, and what has one reading is filled in.
fn planned<'o>(
    linked: &'o LinkedObject,
    machine: &Machine,
) -> (Option<LoadPlan<'o>>, Option<Entry>, Vec<Problem>) {
    let mut options = Options { default_type: Some(ProgType::XDP), ..Options::default() };
    let problem =
        |error: plan::PlanError| Problem { part: rxdp_explain::model::Part::Plan, why: error.to_string() };
    let first = match plan::plan(linked, machine, &options) {
        Ok(plan) => plan,
        Err(error) => return (None, None, vec![problem(error)]),
    };
    let programs: Vec<ProgId> =
        first.programs().filter(|load| load.ty == ProgType::XDP).map(|load| load.program).collect();
    let Some(program) = programs.first().copied() else {
        return (Some(first), None, Vec::new());
    };
    let filled: Vec<tail_calls::Entry> = first
        .fills()
        .filter_map(|fill| match fill.value {
            SlotValue::Program(program) => Some(tail_calls::Entry { map: fill.map, key: fill.key, program }),
            SlotValue::Map(_) => None,
        })
        .collect();
    let conclusion = tail_calls::conclude(linked, program, &programs, &filled, &[]);
    if let Conclusion::One(one) = &conclusion {
        let value = SlotValue::Program(one.program);
        options.slots.push(FillSlot { map: one.map, key: one.key, value, from: SlotSource::Inferred });
    }
    let plan = plan::plan(linked, machine, &options).expect("the plan with one slot more");
    (Some(plan), Some(Entry { program, given: false, conclusion }), Vec::new())
}

/// The calls that a plan makes.
fn calls(plan: &LoadPlan<'_>) -> Transcript {
    let kernel = Recorder::new(DryRun::new());
    if plan.refusal().is_none() {
        load::execute(plan, &kernel, Given::default()).expect("a kernel that says yes to everything");
    } else {
        load::verify(plan, &kernel, Given::default(), Ask::Nothing);
    }
    kernel.transcript()
}

/// Compares a text with the committed one of this name; with `UPDATE_EXPECT=1` it takes its place.
pub(crate) fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(format!("{name}.expected"));
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        fs::write(&path, text).expect("a golden file");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differing = expected.lines().zip(text.lines()).position(|(expected, found)| expected != found);
    let at = differing.unwrap_or_else(|| expected.lines().count().min(text.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_string();
    assert!(
        expected == text,
        "{} is not what comes out now (UPDATE_EXPECT=1 rewrites it), from line {} on:\n expected: {}\n found:    {}",
        path.display(),
        at.saturating_add(1),
        line(&expected),
        line(text),
    );
}
