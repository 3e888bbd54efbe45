//! Goldens: what the stages above the kernel line make of the committed objects, as text.
//!
//! `UPDATE_EXPECT=1 cargo test -p rxdp-loader --test stages` rewrites them.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use common::types::{linked_for, small_kernel};
use common::{bytes_of, check, linked, read, render, spec_of, xdp_options};
use rxdp_loader::btf::{Kind, TargetBtf};
use rxdp_loader::core_relo::KernelTypes;
use rxdp_loader::features::{Features, KernelVersion, Machine};
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::load::{self, Given};
use rxdp_loader::plan::{
    self, FillSlot, MixedTables, Options, PlanError, Select, SlotSource, SlotValue, Step,
};
use rxdp_loader::spec::{Function, MapId, MapSpec, ProgId};
use rxdp_loader::sys::{DryRun, Recorder};
use rxdp_loader::target;
use rxdp_loader::uapi::ProgType;

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
fn links() {
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
    // No names, no attach type, no BTF, no global data: strings that nobody refers to are left out.
    check("tail_kern-4.14.plan", &plan_text(&linked("tail_kern.o"), &linux(4, 14), &xdp_options()));
    check("several-4.14.plan", &plan_text(&linked("several.o"), &linux(4, 14), &xdp_options()));
    // BTF, but no function types.
    check("values-4.18.plan", &plan_text(&linked("values.o"), &linux(4, 18), &xdp_options()));
    check("data-5.1.plan", &plan_text(&linked("data.o"), &linux(5, 1), &xdp_options()));
    // Global data, but none that user space can map into its memory.
    check("data-5.4.plan", &plan_text(&linked("data.o"), &linux(5, 4), &xdp_options()));
}

/// Objects that ask the kernel's types for something.
const ASKING: &[&str] = &["core_kernel.o", "hooks.o", "ksyms.o", "struct_ops.o", "throws.o"];

/// For a kernel whose types are made in the test, so that numbers stay the same.
#[test]
fn what_asks_a_kernel_is_linked_and_planned_with_its_answers() {
    let kernel = small_kernel().bytes();
    let options = Options { select: Select::All, ..xdp_options() };
    for name in ASKING {
        let object = linked_for(name, &kernel);
        check(&format!("{}.link", stem(name)), &render::link(&object));
        check(&format!("{}.plan", stem(name)), &plan_text(&object, &Machine::NEWEST, &options));
    }
}

/// What a module has is called through its BTF's descriptor: at 1 in the list that goes with each program.
#[test]
fn functions_of_modules_are_called_through_the_modules_types() {
    let spec = spec_of("ksyms.o");
    let mut wanted = target::needs_of_code(&spec);
    wanted.merge(target::needs_of_kernel(&spec));
    let (whole, mut kernel) = (small_kernel(), small_kernel());
    // The kernel ends before its first function, the module has the rest.
    let first = whole.0.types.iter().position(|ty| matches!(ty.kind, Kind::FuncProto { .. })).unwrap();
    kernel.0.types.truncate(first);
    let mut module = whole.clone();
    module.0.types.drain(1..first);
    module.0.strings.clear();
    let (kernel, module) = (kernel.bytes(), module.bytes());
    let vmlinux = TargetBtf::scan(&kernel, None, &wanted).unwrap();
    let module = TargetBtf::scan(&module, Some(&vmlinux), &wanted).unwrap();
    let modules = vec![("tasks".to_string(), module)];
    let types = KernelTypes { vmlinux: Some(&vmlinux), modules };
    let answers = target::answer(&spec, &types, &types);
    let object = link::link_with(spec, answers);
    assert_eq!((&object.fd_array[..], &object.answers.modules[..]), (&[0][..], &["tasks".to_string()][..]));
    let calls = |object: &LinkedObject| {
        let insns = &object.programs[0].as_ref().unwrap().insns;
        let calls = insns.iter().filter(|insn| insn.is_call() && insn.src == 2);
        calls.map(|insn| (insn.off, insn.imm)).collect::<Vec<_>>()
    };
    let own = calls(&linked_for("ksyms.o", &whole.bytes()));
    assert_eq!(own.len(), 2);
    assert_eq!(calls(&object), own.iter().map(|(_, imm)| (1, *imm)).collect::<Vec<_>>());
    let text = plan_text(&object, &Machine::NEWEST, &xdp_options());
    assert!(text.contains("MODULE_BTF tasks") && text.contains("fd_array=fd:tasks"), "{text}");
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

/// A wish of the user: this program into this slot.
fn given(map: u32, key: u32, program: u32) -> FillSlot {
    FillSlot { map: MapId(map), key, value: SlotValue::Program(ProgId(program)), from: SlotSource::Given }
}

fn with_slots(slots: &[FillSlot]) -> Options {
    Options { slots: slots.to_vec(), ..xdp_options() }
}

#[test]
fn a_given_slot_overrules_the_object() {
    let object = linked("values.o");
    let fills = |options: &Options| {
        let plan = plan::plan(&object, &Machine::NEWEST, options).unwrap();
        plan.fills().copied().collect::<Vec<_>>()
    };
    let [own] = fills(&xdp_options())[..] else {
        panic!("slot 5, by .values");
    };
    assert_eq!((own.key, own.value, own.from), (5, SlotValue::Program(ProgId(1)), SlotSource::Values));
    assert_eq!(fills(&with_slots(&[given(0, 5, 0)])), [given(0, 5, 0)]);
    assert_eq!(fills(&with_slots(&[given(0, 2, 0)])), [given(0, 2, 0), own]);
}

#[test]
fn a_numbered_section_means_the_last_table() {
    let mut spec = spec_of("socket_slots.o");
    spec.maps.push(MapSpec { name: "more_jumps".into(), ..spec.maps[0].clone() });
    let object = link::link(spec);
    let plan = plan::plan(&object, &Machine::NEWEST, &Options::default()).unwrap();
    let expected = FillSlot { from: SlotSource::Section, ..given(1, 3, 1) };
    assert_eq!(plan.fills().copied().collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_slot_that_cannot_be_is_refused_before_any_call() {
    let text = |name: &str, options: &Options| plan_text(&linked(name), &Machine::NEWEST, options);
    assert!(!text("tail_kern.o", &with_slots(&[given(0, 99, 1)])).starts_with("refused"));
    assert_eq!(
        text("tail_kern.o", &with_slots(&[given(0, 100, 1)])),
        "refused: map \"jmp_table1\": key 100 is out of range, it has 100 entries (0 to 99)\n"
    );
    assert_eq!(
        text("calls.o", &with_slots(&[given(0, 0, 1)])),
        "refused: map \"calls\", key 0: its type array holds no programs; jump tables are prog_array\n"
    );
    assert_eq!(
        text("values.o", &with_slots(&[given(7, 0, 1)])),
        "refused: map \"7\", key 0: there is no such map\n"
    );
    let one = Options { select: Select::One(ProgId(0)), ..with_slots(&[given(0, 78, 1)]) };
    assert_eq!(
        text("tail_kern.o", &one),
        "refused: map \"jmp_table1\", key 78: program \"xdp_tail_call_1\" is not loaded\n"
    );
}

#[test]
fn one_program_alone_can_be_planned() {
    let object = linked("several.o");
    let options = Options { select: Select::One(ProgId(1)), ..xdp_options() };
    let plan = plan::plan(&object, &Machine::NEWEST, &options).unwrap();
    assert_eq!(plan.programs().map(|load| load.program).collect::<Vec<_>>(), [ProgId(1)]);
}

#[test]
fn two_kinds_of_program_cannot_share_a_table() {
    let object = linked("tail_kern.o");
    let types = [(ProgId(1), ProgType::SOCKET_FILTER)].into();
    let options = Options { types, ..with_slots(&[given(0, 78, 1)]) };
    let Err(PlanError::MixedTable { map, first, second }) = plan::plan(&object, &Machine::NEWEST, &options)
    else {
        panic!("an XDP program and a socket filter in one table");
    };
    assert_eq!(map, "jmp_table1");
    assert_eq!(first, "program \"xdp_prog\" (xdp, attach type xdp)");
    assert!(second.starts_with("program \"xdp_tail_call_1\" (socket_filter"), "{second}");

    // To check them, each kind gets a table of its own.
    let options = Options { mixed_tables: MixedTables::Copy, ..options };
    let plan = plan::plan(&object, &Machine::NEWEST, &options).unwrap();
    let tables = plan
        .steps
        .iter()
        .filter(|step| matches!(step, Step::CreateMap(map) if map.name.starts_with("jmp_table1")));
    assert_eq!(tables.count(), 2);
    let copies: Vec<_> = plan.programs().map(|load| load.copies.get(&MapId(0)).copied()).collect();
    assert_eq!(copies, [None, Some(1)]);
}

/// Where these bytes stand first.
fn position(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

#[test]
fn a_call_is_marked_as_one_whatever_the_compiler_wrote() {
    // `call -1` with BPF_PSEUDO_CALL, as clang writes it; the relocation alone says as much.
    let mut bytes = bytes_of("calls.o");
    let call = position(&bytes, &[0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    bytes[call + 1] = 0;
    let unmarked = link::link(read("calls.o", &bytes).unwrap());
    let programs =
        |object: &LinkedObject| object.programs.iter().map(|p| p.clone().unwrap().insns).collect::<Vec<_>>();
    assert_ne!(unmarked.spec, linked("calls.o").spec);
    assert_eq!(programs(&unmarked), programs(&linked("calls.o")));
}

#[test]
fn the_kernel_gets_one_line_an_instruction() {
    let mut spec = spec_of("calls.o");
    for function in &mut spec.functions {
        function.lines = function.lines.iter().flat_map(|line| [*line, *line]).collect();
    }
    let (twice, once) = (link::link(spec), linked("calls.o"));
    let lines = |object: &LinkedObject| {
        object.programs.iter().map(|p| p.clone().unwrap().line_info).collect::<Vec<_>>()
    };
    assert_eq!(lines(&twice), lines(&once));
}

#[test]
fn types_and_lines_go_with_all_functions_or_with_none() {
    let infos = |change: fn(&mut Function)| {
        let mut spec = spec_of("calls.o");
        change(spec.functions.iter_mut().find(|function| function.name == "deepest").unwrap());
        let program = link::link(spec).programs[1].clone().unwrap();
        (program.func_info.len(), program.line_info.len())
    };
    assert_eq!(infos(|_| {}), (5, 28));
    assert_eq!(infos(|function| function.ty = None), (0, 0));
    assert_eq!(infos(|function| function.lines = function.lines[1..].to_vec()), (5, 0), "not from the start");
    assert_eq!(infos(|function| function.lines.clear()), (5, 0));
}

#[test]
fn an_address_may_lie_behind_the_last_byte_and_no_further() {
    let bytes = bytes_of("data.o");
    // `r2 = .data + 4`, where .data has 12 bytes; a loop over an array ends at its 13th.
    let load = position(&bytes, &[0x18, 0x02, 0, 0, 4, 0, 0, 0]);
    let second_half = |offset: u8| {
        let mut bytes = bytes.clone();
        bytes[load + 4] = offset;
        link::link(read("data.o", &bytes).unwrap()).programs[0].clone().map(|program| program.insns[9].imm)
    };
    assert_eq!((second_half(4), second_half(0), second_half(12)), (Ok(4), Ok(0), Ok(12)));
    let error = second_half(13).unwrap_err().to_string();
    assert!(error.starts_with("program \"xdp_data\": xdp_data+8 "), "{error}");
    assert!(error.contains("\".data\": it leads to byte 13 of a section of 12 bytes"), "{error}");
}
