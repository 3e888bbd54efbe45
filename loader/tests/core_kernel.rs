//! What stands on the kernel's types, on the running kernel: programs read its structures and call its functions, and
//! what they return is right only if offsets, numbers of types and functions are this kernel's.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::fs;
use std::process;

use common::types::types_of;
use common::{link_here, linked_here, load, plan, spec_of, xdp_options};
use rxdp_loader::btf::{Btf, Kind};
use rxdp_loader::bytes::Endian;
use rxdp_loader::features::Machine;
use rxdp_loader::insn::InsnIdx;
use rxdp_loader::link::LinkedObject;
use rxdp_loader::load::{
    self as room, Ask, Because, Blame, CodeTypes, Given, Input, LoadError, LoadedMap, LoadedObject, verify,
};
use rxdp_loader::plan::{Options, Select};
use rxdp_loader::spec::ProgId;
use rxdp_loader::sys::{Errno, Kernel, Linux, MapUpdate, MapValue, host};
use rxdp_loader::uapi::{MapType, UpdateFlags};
use rxdp_sandbox::packets;
use rxdp_sandbox::testing::{kernel_or_skip, needs};

/// Runs a program with a context, and says what it returned.
fn run(object: &LoadedObject, program: &str, context: &[u8]) -> u32 {
    let program = object.program(program).unwrap();
    let input = Input { context, repeat: 0, ..Input::packet(&[]) };
    program.test_run(&Linux, &input).unwrap_or_else(|error| panic!("{error}")).retval
}

fn loaded(name: &str) -> LoadedObject {
    load(name, &Linux).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn programs_read_the_kernels_structures_where_they_are() {
    if kernel_or_skip("programs_read_the_kernels_structures_where_they_are").is_none() {
        return;
    }
    let object = loaded("core_kernel.o");
    assert_eq!(run(&object, "by_address", &[]), 0b11111, "pid, tgid, comm, leader, pid in its namespace");
    assert_eq!(run(&object, "by_pointer", &[]), 0b111, "pid, pid of the leader, no member of tomorrow");
}

#[test]
fn a_large_object_is_fitted_in_all_its_places() {
    if kernel_or_skip("a_large_object_is_fitted_in_all_its_places").is_none() {
        return;
    }
    let object = loaded("large.o");
    assert_eq!(object.maps.iter().filter(|map| map.name.starts_with("map_")).count(), 192);
    assert_eq!(run(&object, "flavours", &[]), 64, "each flavour reads what the first one reads");
}

#[test]
fn functions_of_the_kernel_are_called() {
    if kernel_or_skip("functions_of_the_kernel_are_called").is_none()
        || !needs("functions_of_the_kernel_are_called", (6, 2), "bpf_task_from_pid")
    {
        return;
    }
    let object = loaded("ksyms.o");
    assert_eq!(run(&object, "find", &process::id().to_ne_bytes()), 1, "this process");
    assert_eq!(run(&object, "find", &i32::MAX.to_ne_bytes()), 0, "no process");
    assert_eq!(run(&object, "do_without", &[0; 4]), 0b111, "weak ones that are not there are not called");
}

#[test]
fn exceptions_go_to_the_function_that_the_tag_names() {
    if kernel_or_skip("exceptions_go_to_the_function_that_the_tag_names").is_none()
        || !needs("exceptions_go_to_the_function_that_the_tag_names", (6, 7), "bpf_throw")
    {
        return;
    }
    let object = loaded("throws.o");
    let verdict = |first: u8| {
        let mut packet = packets::udp(4000, 9, b"payload");
        packet[0] = first;
        let program = object.program("throws").unwrap();
        program.test_run(&Linux, &Input::packet(&packet)).unwrap().retval
    };
    assert_eq!((verdict(2), verdict(0)), (1, 42));
}

/// Nothing is registered: that would outlive a test that is killed.
#[test]
fn tables_of_functions_look_as_the_kernel_has_them() {
    if kernel_or_skip("tables_of_functions_look_as_the_kernel_has_them").is_none() {
        return;
    }
    let kernel = Btf::parse(&fs::read("/sys/kernel/btf/vmlinux").unwrap(), Endian::NATIVE).unwrap();
    let structure = |name| kernel.kind(kernel.find(name, Kind::is_struct).unwrap()).unwrap();
    let Kind::Composite { size, .. } = structure("bpf_struct_ops_tcp_congestion_ops") else { panic!() };
    let members = structure("tcp_congestion_ops").members();
    let number = |name: &str| members.iter().position(|member| kernel.string(member.name) == name).unwrap();

    let object = loaded("struct_ops.o");
    let info = object.map("rxdp_test").unwrap().info(&Linux).unwrap();
    assert_eq!((info.ty, info.value_size), (MapType::STRUCT_OPS, *size), "not the object's structure");
    let programs: Vec<(&str, usize)> = object
        .programs
        .iter()
        .map(|program| (program.name.as_str(), usize::try_from(program.attach.0).unwrap()))
        .collect();
    let expected = ["undo_cwnd", "ssthresh", "cong_avoid"].map(|name| (name, number(name)));
    assert_eq!(
        programs, expected,
        "each is checked as the member that it is; the fourth is loaded on demand"
    );

    let linked = linked_here("struct_ops.o");
    let ops = linked.answers.struct_ops.values().next().unwrap().as_ref().unwrap();
    let name = ops.data.windows(9).filter(|window| window == b"rxdp_test").count();
    assert_eq!((ops.data.len(), ops.slots.len(), name), (usize::try_from(*size).unwrap(), 3, 1));
}

/// The types of `core_target.c` are given, so `memory` is read and written as that "kernel" has it.
#[test]
fn given_types_decide_where_code_reads_and_writes() {
    if kernel_or_skip("given_types_decide_where_code_reads_and_writes").is_none() {
        return;
    }
    let types = types_of("core_target.o");
    let object = room::link_for(spec_of("core_kinds.o"), &host::machine(), CodeTypes::Given(&types)).unwrap();
    let loaded = room::execute(&plan(&object).unwrap(), &Linux, Given::default()).unwrap();
    let variable = |name: &str| place(&object, name);
    let bss = loaded.map("core_kin.bss").unwrap();
    let read = || value_of(bss);

    let mut value = read();
    let memory = variable("memory");
    value[memory + 24..memory + 32].copy_from_slice(&0x1_0000_0011_u64.to_ne_bytes()); // grows
    value[memory + 88..memory + 90].copy_from_slice(&0x2233_u16.to_ne_bytes()); // table[2].high
    put(bss, &value);
    assert_eq!(run(&loaded, "accesses", &[]), 7, "`number`, as `level` cannot be read");

    let mut expected = value.clone();
    expected[memory + 104..memory + 108].copy_from_slice(&7u32.to_ne_bytes()); // number
    expected[memory + 40..memory + 44].copy_from_slice(&0x11_u32.to_ne_bytes()); // shrinks
    expected[memory + 92..memory + 94].copy_from_slice(&0x2233_u16.to_ne_bytes()); // table[3].low
    expected[memory + 44..memory + 46].copy_from_slice(&9u16.to_ne_bytes()); // deep
    assert_eq!(read(), expected, "and nothing else");

    // What `fields` was told: see `core_relo.rs`.
    assert_eq!(run(&loaded, "fields", &[]), 1);
    let (value, answers) = (read(), variable("answers"));
    let answer = |at: usize| u64::from_ne_bytes(value[answers + 8 * at..][..8].try_into().unwrap());
    assert_eq!([0, 1, 2, 5].map(answer), [104, 67, 88, 152]);
}

/// Where a variable of `.bss` stands in its map, in **bytes**.
fn place(object: &LinkedObject, name: &str) -> usize {
    let btf = object.spec.btf.as_ref().unwrap();
    let bss = btf.find(".bss", |kind| matches!(kind, Kind::Datasec { .. })).unwrap();
    let Some(Kind::Datasec { vars, .. }) = btf.kind(bss) else { panic!() };
    let var = vars.iter().find(|var| btf.name(var.var) == name).unwrap();
    usize::try_from(var.offset).unwrap()
}

/// The one value of a map.
fn value_of(map: &LoadedMap) -> Vec<u8> {
    let size = usize::try_from(map.info(&Linux).unwrap().value_size).unwrap();
    Linux.map_lookup(map.named(), &0u32.to_ne_bytes(), size).unwrap()
}

fn put(map: &LoadedMap, value: &[u8]) {
    let (map, key, value) = (map.named(), &0u32.to_ne_bytes(), MapValue::Bytes(value));
    Linux.map_update(&MapUpdate { map, key, value, flags: UpdateFlags::empty() }).unwrap();
}

/// What is said of each program of `reached.c`, without the numbers of types, which every kernel has otherwise.
const REACHED: &[(&str, &str)] = &[
    (
        "no_member",
        "no_member+2 (./tests/fixtures/reached.c:34: return task->pid + task->no_such_member;) can be reached, and \
         needs offset of struct task_struct.no_such_member: in struct task_struct of vmlinux (type N), struct \
         task_struct has no member no_such_member",
    ),
    (
        "other_kind",
        "other_kind+1 (./tests/fixtures/reached.c:42: return FIELD_OFFSET(task->comm.pid);) can be reached, and \
         needs offset of struct task_struct.comm.pid: in struct task_struct of vmlinux (type N), member comm is \
         char[16] there, struct without a name in the object",
    ),
    (
        "no_value",
        "no_value+0 (./tests/fixtures/reached.c:48: return ENUM_VALUE(enum bpf_map_type, NO_SUCH_TYPE);) can be \
         reached, and needs value of enum bpf_map_type::NO_SUCH_TYPE: in enum bpf_map_type of vmlinux (type N), it \
         has no value NO_SUCH_TYPE",
    ),
    // In a subprogram, whose slots are counted from its own start.
    (
        "no_function",
        "second+1 (./tests/fixtures/reached.c:26: return bpf_no_such_function(number) + 1;) can be reached, and needs \
         call of bpf_no_such_function: neither the kernel nor its modules have such a function",
    ),
];

#[test]
fn what_the_verifier_refuses_is_translated_back() {
    if kernel_or_skip("what_the_verifier_refuses_is_translated_back").is_none() {
        return;
    }
    let object = linked_here("reached.o");
    let plan = plan(&object).unwrap();
    let report = verify(&plan, &Linux, Given::default(), Ask::Nothing);
    assert_eq!(report.programs.len(), REACHED.len());
    for program in &report.programs {
        let name = &object.spec.program(program.id).unwrap().name;
        let error = program.result.as_ref().unwrap_err();
        let (_, expected) = REACHED.iter().find(|(of, _)| of == name).unwrap();
        let text = error.to_string();
        let (_, said) = text.split_once("BPF_PROG_LOAD failed: EINVAL: ").unwrap();
        assert_eq!(without_numbers(said), *expected);
        assert_eq!((error.blame(), error.errno()), (Blame::Kernel, Some(Errno::EINVAL)));
        assert!(
            error.log().unwrap().text.contains("invalid func unknown#"),
            "the log stays as it is: {error:?}"
        );
    }
}

/// `(type 123)` becomes `(type N)`.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split("(type ").enumerate() {
        if at > 0 {
            out += "(type N";
        }
        out += if at > 0 { part.trim_start_matches(|c: char| c.is_ascii_digit()) } else { part };
    }
    out
}

/// A call of a function that nobody knows, written by hand: no patch of ours explains it.
#[test]
fn what_the_loader_did_not_put_there_is_not_explained() {
    if kernel_or_skip("what_the_loader_did_not_put_there_is_not_explained").is_none() {
        return;
    }
    let mut spec = spec_of("reached.o");
    let function = spec.functions.iter_mut().find(|function| function.name == "no_member").unwrap();
    function.insns[0].imm = 1_000_000;
    function.core_relos.retain(|(at, _)| *at == InsnIdx(1));
    let object = link_here(spec);
    let id = object.spec.programs.iter().position(|program| program.name == "no_member").unwrap();
    let options = Options { select: Select::One(ProgId::new(id)), ..xdp_options() };
    let plan = rxdp_loader::plan::plan(&object, &Machine::NEWEST, &options).unwrap();
    let error = room::execute(&plan, &Linux, Given::default()).unwrap_err();
    let LoadError::ProgLoad { because, .. } = &error else { panic!("{error:?}") };
    assert!(!matches!(because.as_deref(), Some(Because::Poisoned(_))), "{error:?}");
    assert!(error.to_string().ends_with("EINVAL: invalid func unknown#1000000"), "{error}");
}
