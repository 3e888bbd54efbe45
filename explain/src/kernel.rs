//! What the kernel said: the code that it made of ours, the machine's, and the arrays as they ended up.

use std::collections::BTreeMap;

use rxdp_loader::insn::{Insn, InsnIdx};
use rxdp_loader::link::LinkedObject;
use rxdp_loader::plan::LoadPlan;
use rxdp_loader::spec::{MapId, ProgId};
use rxdp_loader::trace::{Call, Transcript, hex as digits, unword};
use rxdp_loader::uapi::pseudo;
use rxdp_loader::verifier;

use crate::disasm::{self, Refers};
use crate::model::{Attachment, Kernel, LoadedMap, LoadedProgram, RefusedProgram, SlotInKernel};
use crate::{machine, message, plan as recorded, xlated};

/// What a load left in the kernel, and what was said on the way.
#[derive(Debug, Default)]
pub struct Answers {
    /// Every call, with its answer.
    pub calls: Transcript,
    /// Maps, with their descriptors and ids.
    pub maps: Vec<(MapId, i32, u32)>,
    /// Programs.
    pub programs: Vec<ProgramAnswer>,
    /// Slots: map, key, name and descriptor of what was written, id that was read.
    pub slots: Vec<SlotInKernel>,
    /// How the entry program was attached.
    pub attachment: Option<Attached>,
    /// Address of `__bpf_call_base`, from which the kernel counts in calls; 0 if it is not known.
    pub call_base: u64,
    /// Names of the kernel's functions that are called, by address.
    pub functions: BTreeMap<u64, String>,
    /// Names of maps by id.
    pub map_names: BTreeMap<u32, String>,
    /// What the kernel refused and the load did without.
    pub notes: Vec<String>,
    /// Why something could not be done or shown.
    pub problems: Vec<String>,
}

/// A program in the kernel.
#[derive(Debug)]
pub struct ProgramAnswer {
    /// Its number.
    pub program: ProgId,
    /// Its descriptor.
    pub fd: i32,
    /// Its id.
    pub id: u32,
    /// The kernel's fingerprint of its instructions.
    pub tag: [u8; 8],
    /// Instructions that the verifier looked at.
    pub verified_instructions: u32,
    /// Its code as the verifier rewrote it.
    pub xlated: Vec<Insn>,
    /// Its machine code, one function after another.
    pub machine: Vec<u8>,
    /// Sizes of these functions in **bytes**.
    pub functions: Vec<u32>,
    /// Their addresses in the kernel; none if they are not known.
    pub addresses: Vec<u64>,
    /// Whether the machine code is for x86-64.
    pub x86_64: bool,
}

impl ProgramAnswer {
    /// Addresses of the kernel's functions that the program calls, as far as they can be told.
    pub fn calls(&self, call_base: u64) -> Vec<u64> {
        let calls = self.xlated.iter().filter(|insn| insn.is_call() && insn.src != 1);
        let called = calls.filter_map(|insn| called(call_base, insn.imm));
        if !self.x86_64 {
            return called.collect();
        }
        called.chain(machine::calls(&self.machine, &self.functions, &self.addresses)).collect()
    }
}

/// The address at a distance from where the kernel counts; `None` if nobody knows where that is.
fn called(call_base: u64, distance: i32) -> Option<u64> {
    call_base.checked_add_signed(distance.into()).filter(|_| call_base != 0)
}

/// How a program was attached.
#[derive(Debug)]
pub struct Attached {
    /// Name of the program.
    pub program: String,
    /// The interface.
    pub interface: String,
    /// The mode in which the kernel put it there.
    pub mode: Option<String>,
    /// The bytes of the message.
    pub message: Vec<u8>,
    /// What was answered.
    pub reply: String,
    /// The bytes of the answer.
    pub answer: Vec<u8>,
}

/// Explains what the kernel said.
pub fn explain(answers: &Answers, linked: &LinkedObject, plan: &LoadPlan<'_>) -> Kernel {
    let spec = &linked.spec;
    let map = |(id, fd, kernel_id): &(MapId, i32, u32)| LoadedMap {
        index: id.0,
        name: spec.map_name(*id).to_string(),
        fd: *fd,
        id: *kernel_id,
    };
    Kernel {
        calls: recorded::calls(&answers.calls.calls, Some(spec), true),
        map_fd: answers.maps.iter().map(map).collect(),
        prog_fd: answers.programs.iter().map(|found| program(answers, linked, plan, found)).collect(),
        refused: refused(&answers.calls.calls, linked),
        slots: answers.slots.clone(),
        attachment: answers.attachment.as_ref().map(attachment),
        notes: answers.notes.clone(),
        problems: answers.problems.clone(),
    }
}

fn program(
    answers: &Answers,
    linked: &LinkedObject,
    plan: &LoadPlan<'_>,
    found: &ProgramAnswer,
) -> LoadedProgram {
    let spec = linked.spec.program(found.program);
    let name = spec.map(|spec| spec.name.clone()).unwrap_or_default();
    let (log, log_cut) = log_of(&answers.calls.calls, &name, true);
    LoadedProgram {
        index: found.program.0,
        section: spec.map(|spec| spec.section.clone()).unwrap_or_default(),
        fd: found.fd,
        id: found.id,
        tag: digits(&found.tag),
        verified_instructions: found.verified_instructions,
        statistics: statistics(&log),
        log,
        log_cut,
        xlated: beside(answers, linked, plan, found),
        machine_code: machine_code(answers, linked, found),
        machine_bytes: crate::words::count(found.machine.len()),
        name,
    }
}

fn machine_code(
    answers: &Answers,
    linked: &LinkedObject,
    found: &ProgramAnswer,
) -> Vec<crate::model::MachineInstruction> {
    if !found.x86_64 {
        return Vec::new();
    }
    let mut names = answers.functions.clone();
    for target in machine::calls(&found.machine, &found.functions, &found.addresses) {
        let other = answers.programs.iter().find_map(|program| function_at(linked, program, target));
        names.extend(other.map(|name| (target, name)));
    }
    machine::x86_64(&found.machine, &found.functions, &found.addresses, &names)
}

/// The function of a program that this address is in: `xdp_tail_call_1+0x16`.
fn function_at(linked: &LinkedObject, program: &ProgramAnswer, address: u64) -> Option<String> {
    let starts = program.addresses.iter().zip(&program.functions).enumerate();
    let mut within = starts.filter_map(|(at, (start, size))| {
        address.checked_sub(*start).filter(|into| *into < u64::from(*size)).map(|into| (at, into))
    });
    let (at, into) = within.next()?;
    let span = linked.program(program.program)?.layout.get(at)?;
    let name = linked.spec.function_name(span.func);
    Some(if into == 0 { name.to_string() } else { format!("{name}+{into:#x}") })
}

/// Our code beside the kernel's.
fn beside(
    answers: &Answers,
    linked: &LinkedObject,
    plan: &LoadPlan<'_>,
    found: &ProgramAnswer,
) -> Vec<crate::model::Xlated> {
    let Some(program) = linked.program(found.program) else {
        return Vec::new();
    };
    let planned = plan.programs().find(|load| load.program == found.program);
    let sent = planned.map_or_else(|| program.insns.clone(), |load| load.code(program).into_owned());
    let names = crate::code::Names::of(linked, program);
    let ours = |at: InsnIdx, insn: Insn, second: Option<Insn>| disasm::text(insn, second, names.at(at));
    let kernels = |_: InsnIdx, insn: Insn, second: Option<Insn>| named(answers, insn, second);
    if found.xlated.is_empty() {
        return Vec::new();
    }
    xlated::beside(&sent, &found.xlated, ours, kernels)
}

/// An instruction of the kernel's: maps go by their ids there, helpers by their distance from a symbol.
fn named(answers: &Answers, insn: Insn, second: Option<Insn>) -> String {
    // Of a program that was compiled, a call's number is the subprogram's; the distance stands in the offset.
    // Source: `bpf_insn_prepare_dump` and `jit_subprogs`, Linux.
    let insn = match insn {
        Insn { src: pseudo::CALL, off, .. } if insn.is_call() && off != 0 => {
            Insn { imm: off.into(), off: 0, ..insn }
        }
        _ => insn,
    };
    let id = u32::from_ne_bytes(insn.imm.to_ne_bytes());
    let offset = second.map_or(0, |second| u32::from_ne_bytes(second.imm.to_ne_bytes()));
    let map = answers.map_names.get(&id).filter(|_| insn.is_ld_imm64());
    let function = called(answers.call_base, insn.imm).and_then(|at| answers.functions.get(&at));
    let function = function.filter(|_| insn.is_call());
    let refers = match (map, function, insn.src) {
        (Some(map), _, 1) => Refers::Map(map),
        (Some(map), _, 2) => Refers::MapValue(map, offset),
        // A distance within the program looks like any other number.
        (_, Some(name), src) if src != 1 => Refers::Outside(name),
        _ => Refers::Nothing,
    };
    disasm::text(insn, second, refers)
}

/// The verifier's log of the last load of a program, one that the kernel took or one that it refused; and whether it was cut.
fn log_of(calls: &[Call], program: &str, taken: bool) -> (String, bool) {
    let is_it = |call: &&Call| {
        let mut words = call.request.split(' ');
        words.next() == Some("PROG_LOAD")
            && words.next().is_some_and(|word| unword(word) == program)
            && (call.outcome() == "ok") == taken
            && call.field("log").is_some()
    };
    let found = calls.iter().rev().find(is_it);
    let log = found.and_then(|call| call.field("log")).map(unword).unwrap_or_default();
    (log, found.is_some_and(|call| call.field("truncated").is_some()))
}

/// The last lines of a log, which sum it up.
fn statistics(log: &str) -> Vec<String> {
    const BEGINNINGS: &[&str] = &["verification time", "stack depth", "processed "];
    let sums_up = |line: &&str| BEGINNINGS.iter().any(|beginning| line.starts_with(beginning));
    log.lines().filter(sums_up).map(ToString::to_string).collect()
}

/// Programs that the kernel refused, with its reasons.
fn refused(calls: &[Call], object: &LinkedObject) -> Vec<RefusedProgram> {
    let mut found: BTreeMap<String, RefusedProgram> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.request.starts_with("PROG_LOAD ")) {
        let name = call.request.split(' ').nth(1).map(unword).unwrap_or_default();
        // `ENOSPC`: the log was larger than its buffer, which says nothing about the program.
        match call.outcome() {
            "ok" => drop(found.remove(&name)),
            "ENOSPC" => {}
            errno => {
                let (log, log_cut) = log_of(calls, &name, false);
                let told = told(object, &name, &log, log_cut);
                let errno = errno.to_string();
                let refused = RefusedProgram { name: name.clone(), errno, told, log, log_cut };
                found.insert(name, refused);
            }
        }
    }
    found.into_values().collect()
}

/// What a refusal means, a line each.
fn told(object: &LinkedObject, name: &str, log: &str, cut: bool) -> Vec<String> {
    let linked = object
        .programs
        .iter()
        .flatten()
        .find(|program| object.spec.program(program.id).is_some_and(|program| program.name == name));
    let sent = linked.map(|linked| verifier::Program { spec: &object.spec, linked });
    let refusal = verifier::explain(log, cut, sent).map(|refusal| refusal.to_string());
    refusal.iter().flat_map(|text| text.lines()).map(str::to_string).collect()
}

fn attachment(attached: &Attached) -> Attachment {
    Attachment {
        program: attached.program.clone(),
        interface: attached.interface.clone(),
        mode: attached.mode.clone(),
        message: message::parts(&attached.message),
        reply: attached.reply.clone(),
        answer: message::answer(&attached.answer),
    }
}
