//! Goldens: what the stages above the kernel line make of the committed objects, as text.
//!
//! `UPDATE_EXPECT=1 cargo test -p rxdp-loader --test stages` rewrites them.

mod common;

use common::{check, linked, render, spec_of, xdp_options};
use rxdp_loader::features::{Features, KernelVersion, Machine};
use rxdp_loader::link::LinkedObject;
use rxdp_loader::load::{self, Given};
use rxdp_loader::plan::{self, Options, Select};
use rxdp_loader::sys::{DryRun, Recorder};

/// Objects whose meaning and code are shown in full.
const SHOWN: &[&str] = &[
    "tail_kern.o",
    "tail_kern-btf_maps.o",
    "tail_kern-llc14.o",
    "data.o",
    "calls.o",
    "several.o",
    "map_defs-16.o",
    "map_defs-20.o",
    "map_defs-24.o",
    "map_defs-28.o",
    "iproute2.o",
    "values.o",
    "spellings.o",
    "redirect_targets.o",
    "version.o",
];

fn stem(name: &str) -> &str {
    name.strip_suffix(".o").unwrap()
}

/// The plan as text: what it refuses and fills, and the calls it makes of a kernel that says yes.
fn plan_text(object: &LinkedObject, machine: &Machine, options: &Options) -> String {
    let mut plan = match plan::plan(object, machine, options) {
        Ok(plan) => plan,
        Err(error) => return format!("refused: {error}\n"),
    };
    let kernel = Recorder::new(DryRun::new());
    // Programs that cannot be loaded are part of the text; `execute` would stop at them.
    let refused = std::mem::take(&mut plan.refused);
    load::execute(&plan, &kernel, Given::default()).unwrap();
    plan.refused = refused;
    render::plan(&plan, &kernel.transcript().to_string())
}

/// A machine with what a kernel of this version has.
fn linux(major: u8, minor: u8) -> Machine {
    let kernel = KernelVersion { major, minor, patch: 0 };
    Machine { kernel, features: Features::of(kernel), ..Machine::NEWEST }
}

#[test]
fn spec() {
    for name in SHOWN.iter().chain(&["drop_all-bigendian.o"]) {
        check(&format!("{}.spec", stem(name)), &render::spec(&spec_of(name)));
    }
}

#[test]
fn link() {
    for name in SHOWN {
        check(&format!("{}.link", stem(name)), &render::link(&linked(name)));
    }
}

#[test]
fn plan() {
    for name in SHOWN {
        let text = plan_text(&linked(name), &Machine::NEWEST, &xdp_options());
        check(&format!("{}.plan", stem(name)), &text);
    }
}

#[test]
fn plan_of_all_programs_without_a_default_type() {
    let options = Options { select: Select::All, ..Options::default() };
    check("spellings-all.plan", &plan_text(&linked("spellings.o"), &Machine::NEWEST, &options));
}

#[test]
fn plan_for_kernels_that_lack_something() {
    // No names, no attach type, no BTF, no global data.
    check("tail_kern-4.14.plan", &plan_text(&linked("tail_kern.o"), &linux(4, 14), &xdp_options()));
    // BTF, but no function types.
    check("values-4.18.plan", &plan_text(&linked("values.o"), &linux(4, 18), &xdp_options()));
    check("data-5.1.plan", &plan_text(&linked("data.o"), &linux(5, 1), &xdp_options()));
    // Global data, but none that user space can map into its memory.
    check("data-5.4.plan", &plan_text(&linked("data.o"), &linux(5, 4), &xdp_options()));
}

#[test]
#[cfg(target_endian = "little")]
fn plan_refuses_the_other_byte_order() {
    let text = plan_text(&linked("drop_all-bigendian.o"), &Machine::NEWEST, &xdp_options());
    assert_eq!(
        text,
        "refused: the object is big-endian and this machine is not: compile with `clang -target bpfel`\n"
    );
}
