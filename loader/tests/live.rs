//! What the kernel shows of programs that load: their code as it has it, and the verifier's whole log.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeSet;

use common::{linked, linked_here, plan};
use rxdp_loader::insn::{Insn, LD_IMM64};
use rxdp_loader::load::{self, Given, LoadedObject, LogPolicy};
use rxdp_loader::sys::{Kernel, Linux, ProgCode, Recorder, Replay, host};
use rxdp_loader::uapi::Helper;
use rxdp_sandbox::testing::kernel_or_skip;

fn loaded<K: Kernel>(name: &str, kernel: &K, log: LogPolicy) -> LoadedObject {
    let object = linked_here(name);
    let plan = plan(&object).unwrap();
    load::execute(&plan, kernel, Given { log, ..Given::default() }).unwrap()
}

fn code_of(object: &LoadedObject, program: &str, kernel: &impl Kernel) -> ProgCode {
    kernel.prog_code(object.program(program).unwrap().named()).unwrap()
}

#[test]
fn the_kernels_code_is_ours_with_other_numbers() {
    if kernel_or_skip("the_kernels_code_is_ours_with_other_numbers").is_none() {
        return;
    }
    let object = loaded("tail_kern.o", &Linux, LogPolicy::None);
    let code = code_of(&object, "xdp_prog", &Linux);
    let linked = linked("tail_kern.o");
    let ours = &linked.programs[0].as_ref().unwrap().insns;
    assert_eq!(code.xlated.len(), ours.len(), "nothing in it needs more instructions");
    let id = Linux.map_info(object.maps[0].named()).unwrap().id;
    for (ours, kernels) in ours.iter().zip(&code.xlated) {
        let number = |insn: &Insn| Insn { imm: 0, ..*insn };
        assert_eq!(number(kernels), number(ours));
        if ours.code == LD_IMM64 && ours.src == 1 {
            assert_eq!(kernels.imm, i32::try_from(id).unwrap(), "in place of the descriptor");
        }
    }
    assert!(code.xlated.iter().any(|insn| insn.helper() == Some(Helper::TAIL_CALL.0)));
}

#[test]
fn machine_code_has_a_place_for_each_function() {
    if kernel_or_skip("machine_code_has_a_place_for_each_function").is_none() {
        return;
    }
    let object = loaded("calls.o", &Linux, LogPolicy::None);
    let code = code_of(&object, "xdp_calls", &Linux);
    let total: u32 = code.functions.iter().sum();
    assert_eq!(usize::try_from(total).unwrap(), code.machine.len());
    // A kernel without a compiler to machine code has none of it.
    if !code.machine.is_empty() {
        assert_eq!((code.functions.len(), code.addresses.len()), (5, 5), "the program and what it calls");
        let names = host::functions_at(&code.addresses.iter().copied().collect::<BTreeSet<_>>());
        assert!(names.values().any(|name| name.starts_with("bpf_prog_")), "{names:?}");
    }
}

#[test]
fn the_log_of_a_program_that_loads_is_recorded_and_plays_back() {
    if kernel_or_skip("the_log_of_a_program_that_loads_is_recorded_and_plays_back").is_none() {
        return;
    }
    let kernel = Recorder::new(Linux);
    let object = loaded("tail_kern.o", &kernel, LogPolicy::Always);
    let code = code_of(&object, "xdp_prog", &kernel);
    let transcript = kernel.transcript();
    let loads = transcript.calls.iter().filter(|call| call.request.starts_with("PROG_LOAD "));
    let logs: Vec<&str> = loads.map(|call| call.field("log").expect("a log")).collect();
    assert_eq!(logs.len(), 2, "one call a program");
    assert!(logs.iter().all(|log| log.contains("processed\\s") && log.contains("R1\\ectx()")), "{logs:?}");

    let replay = Replay::new(transcript);
    let object = loaded("tail_kern.o", &replay, LogPolicy::Always);
    let played = code_of(&object, "xdp_prog", &replay);
    replay.finish().unwrap();
    assert_eq!(played, ProgCode { addresses: Vec::new(), ..code });
}

#[test]
fn ids_are_written_as_they_are_when_somebody_asks() {
    if kernel_or_skip("ids_are_written_as_they_are_when_somebody_asks").is_none() {
        return;
    }
    let kernel = Recorder::new(Linux).with_real_ids();
    let object = loaded("tail_kern.o", &kernel, LogPolicy::None);
    let id = kernel.prog_info(object.program("xdp_tail_call_1").unwrap().named()).unwrap().id;
    let transcript = kernel.transcript();
    let asked = transcript.calls.iter().find(|call| call.request.starts_with("PROG_INFO ")).unwrap();
    assert_eq!(asked.field("id"), Some(id.to_string().as_str()));
}
