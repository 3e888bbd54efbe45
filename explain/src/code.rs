//! Code: functions as the compiler wrote them, programs as they are sent, and each change between the two.

use std::collections::BTreeMap;

use rxdp_loader::btf::Btf;
use rxdp_loader::bytes::Endian;
use rxdp_loader::insn::{Insn, InsnIdx};
use rxdp_loader::link::{LinkedObject, LinkedProgram};
use rxdp_loader::patch::{Patch, Reason};
use rxdp_loader::spec::{
    self, ExternKind, ExternValue, FuncId, ObjectSpec, ProgId, ProgramSpec, RelocTarget,
};
use rxdp_loader::target::Ksym;

use crate::disasm::{self, Refers};
use crate::model::{
    Change, ChangeKind, Code, Extern, Function, Instruction, Linked, LinkedInstruction, Relocation,
    RelocationKind, SourceLine, Span,
};
use crate::words::{code_bytes, count};
use crate::{kconfig, types};

/// All functions, as the compiler wrote them.
pub(crate) fn functions(spec: &ObjectSpec, linked: &LinkedObject) -> Vec<Function> {
    let programs: BTreeMap<FuncId, usize> =
        spec.programs.iter().enumerate().map(|(at, program)| (program.func, at)).collect();
    let function = |(at, function): (usize, &spec::Function)| {
        let id = FuncId::new(at);
        Function {
            index: id.0,
            name: function.name.clone(),
            section: function.section.clone(),
            offset: function.offset.0,
            slots: count(function.insns.len()),
            program: programs.get(&id).map(|at| count(*at)),
            lines: lines(spec, function),
            instructions: instructions(linked, id, function),
        }
    };
    spec.functions.iter().enumerate().map(function).collect()
}

fn lines(spec: &ObjectSpec, function: &spec::Function) -> Vec<SourceLine> {
    let Some(btf) = &spec.btf else {
        return Vec::new();
    };
    let line = |(at, line): &(InsnIdx, rxdp_loader::btf::LineInfo)| SourceLine {
        at: at.0,
        file: btf.string(line.file).into_owned(),
        line: line.number(),
        column: line.column(),
        text: btf.string(line.line).trim().to_string(),
    };
    function.lines.iter().map(line).collect()
}

fn instructions(linked: &LinkedObject, id: FuncId, function: &spec::Function) -> Vec<Instruction> {
    let spec = &linked.spec;
    let fixups = linked.answers.fixups_of(id);
    let mut relocs = function.relocs.iter().peekable();
    let mut records = function.core_relos.iter().enumerate().peekable();
    let mut lines = 0usize;
    let mut found = Vec::new();
    for (at, insn, second) in whole(&function.insns) {
        while function.lines.get(lines).is_some_and(|(start, _)| *start <= at) {
            lines = lines.saturating_add(1);
        }
        let reloc = relocs.next_if(|reloc| reloc.at == at);
        let record = records.next_if(|(_, (place, _))| *place == at);
        let core = record.zip(spec.btf.as_ref()).map(|((number, (_, record)), btf)| {
            types::core(btf, record, fixups.get(number), &linked.answers.modules)
        });
        found.push(Instruction {
            at: at.0,
            bytes: code_bytes(insn, second, spec.endian),
            text: disasm::text(insn, second, Refers::Nothing),
            line: lines.checked_sub(1).map(count),
            jumps_to: jump_target(at, insn),
            relocation: reloc.map(|reloc| relocation(spec, insn, &reloc.target)),
            core,
        });
    }
    found
}

/// Instructions with their positions; the second half of a 64-bit load goes with the first.
pub(crate) fn whole(insns: &[Insn]) -> impl Iterator<Item = (InsnIdx, Insn, Option<Insn>)> + '_ {
    let mut at = 0usize;
    std::iter::from_fn(move || {
        let (here, insn) = (at, *insns.get(at)?);
        let second = insn.is_ld_imm64().then(|| insns.get(here.saturating_add(1)).copied()).flatten();
        at = here.saturating_add(if second.is_some() { 2 } else { 1 });
        Some((InsnIdx(count(here)), insn, second))
    })
}

fn jump_target(at: InsnIdx, insn: Insn) -> Option<u32> {
    at.call_target(insn.jump()?).map(|to| to.0)
}

fn relocation(spec: &ObjectSpec, insn: Insn, target: &RelocTarget) -> Relocation {
    let said = |kind, symbol: &str, why: String| Relocation { kind, symbol: symbol.to_string(), why };
    match target {
        RelocTarget::Map(id) => said(
            RelocationKind::Map,
            spec.map_name(*id),
            format!("a 64-bit load, and the symbol's place is the definition of map_fd[{}]", id.0),
        ),
        RelocTarget::MapValue { map, offset } => said(
            RelocationKind::MapValue,
            spec.map_name(*map),
            format!("a 64-bit load, and the symbol's place is byte {offset} of a section of variables"),
        ),
        RelocTarget::Call(func) => said(
            RelocationKind::Call,
            spec.function_name(*func),
            "a call, and a function starts where it leads".to_string(),
        ),
        RelocTarget::FunctionAddress(func) => said(
            RelocationKind::FunctionAddress,
            spec.function_name(*func),
            "a 64-bit load, and a function starts at the symbol's place".to_string(),
        ),
        RelocTarget::Extern { name, weak } => {
            let kind = extern_kind(spec, name, insn.is_call());
            let weak = if *weak { "; the object can do without it" } else { "" };
            said(kind, name, format!("the symbol is defined nowhere in the object{weak}"))
        }
        RelocTarget::Broken { symbol, why } => said(RelocationKind::Broken, symbol, why.clone()),
    }
}

fn extern_kind(spec: &ObjectSpec, name: &str, called: bool) -> RelocationKind {
    match spec.externs.get(name).map(|external| external.kind) {
        Some(ExternKind::Kconfig { .. }) => RelocationKind::Kconfig,
        Some(ExternKind::Typed { function: true, .. }) => RelocationKind::Kfunc,
        _ if called => RelocationKind::Kfunc,
        _ => RelocationKind::Ksym,
    }
}

/// What the object declares and does not define.
pub(crate) fn externs(linked: &LinkedObject) -> Vec<Extern> {
    let external = |(name, external): (&String, &spec::Extern)| Extern {
        name: name.clone(),
        kind: match external.kind {
            ExternKind::Kconfig { .. } => "kconfig",
            ExternKind::Typed { function: true, .. } => "kfunc",
            ExternKind::Typed { .. } | ExternKind::Address => "ksym",
            ExternKind::Unknown => "unknown",
        }
        .to_string(),
        weak: external.weak,
        found: found(linked, name, external),
    };
    linked.spec.externs.iter().map(external).collect()
}

fn found(linked: &LinkedObject, name: &str, external: &spec::Extern) -> String {
    if let Some(found) = kconfig::found(&linked.spec, name, external) {
        return found;
    }
    match (linked.answers.ksyms.get(name), external.value) {
        (Some(Ksym::Found(at)), _) => {
            let module = at.module.and_then(|at| linked.answers.modules.get(at));
            format!("type {} of {}", at.id.0, module.map_or("vmlinux", String::as_str))
        }
        (Some(Ksym::Without(why)), _) => format!("not there, and the object does without: {why}"),
        (Some(Ksym::Missing(why)), _) => format!("not there: {why}"),
        (None, Some(ExternValue::Address(0))) => "not there, and its address is 0".to_string(),
        (None, Some(ExternValue::Address(_))) => "an address in the kernel (/proc/kallsyms)".to_string(),
        (None, Some(ExternValue::MapValue { map, offset })) => {
            format!("byte {offset} of {}", linked.spec.map_name(map))
        }
        (None, None) => "not known: the kernel was not asked, or does not say".to_string(),
    }
}

/// Every program as it is sent.
pub(crate) fn linked(object: &LinkedObject) -> Vec<Linked> {
    let one = |(at, program): (usize, &ProgramSpec)| {
        let id = ProgId::new(at);
        let mut linked = Linked {
            program: id.0,
            name: program.name.clone(),
            problem: None,
            layout: Vec::new(),
            instructions: Vec::new(),
            changes: Vec::new(),
        };
        match object.programs.get(id.index()) {
            Some(Ok(found)) => fill(&mut linked, object, found),
            Some(Err(error)) => linked.problem = Some(error.to_string()),
            None => {}
        }
        linked
    };
    object.spec.programs.iter().enumerate().map(one).collect()
}

fn fill(linked: &mut Linked, object: &LinkedObject, program: &LinkedProgram) {
    linked.layout = layout(object, program);
    linked.changes = changes(object, program);
    let by_place: BTreeMap<u32, u32> =
        (0u32..).zip(&linked.changes).map(|(number, change)| (change.at, number)).collect();
    let names = Names::of(object, program);
    let one = |(at, insn, second): (InsnIdx, Insn, Option<Insn>)| LinkedInstruction {
        at: at.0,
        bytes: code_bytes(insn, second, object.spec.endian),
        text: disasm::text(insn, second, names.at(at)),
        change: by_place.get(&at.0).copied(),
    };
    linked.instructions = whole(&program.insns).map(one).collect();
}

/// What the instructions of a linked program refer to, by position.
pub(crate) struct Names<'a>(BTreeMap<InsnIdx, Refers<'a>>);

impl<'a> Names<'a> {
    pub(crate) fn of(object: &'a LinkedObject, program: &'a LinkedProgram) -> Self {
        let mut names = BTreeMap::new();
        for patch in &program.patches {
            let refers = refers(object, &patch.reason);
            if refers != Refers::Nothing {
                names.entry(patch.at).or_insert(refers);
            }
        }
        Self(names)
    }

    pub(crate) fn at(&self, at: InsnIdx) -> Refers<'a> {
        self.0.get(&at).copied().unwrap_or(Refers::Nothing)
    }
}

/// What an instruction that was changed for this reason refers to.
fn refers<'a>(object: &'a LinkedObject, reason: &'a Reason) -> Refers<'a> {
    match reason {
        Reason::Map { map } => Refers::Map(map),
        Reason::MapValue { map, offset } => Refers::MapValue(map, *offset),
        Reason::Extern { name } => extern_refers(object, name),
        Reason::Call { .. } | Reason::FunctionAddress { .. } => {
            callee(reason).map_or(Refers::Nothing, Refers::Function)
        }
        Reason::CoreRelo { .. } | Reason::Poison { .. } | Reason::Helper { .. } | _ => Refers::Nothing,
    }
}

/// The subprogram that an instruction calls, or whose address it takes.
fn callee(reason: &Reason) -> Option<&str> {
    if let Reason::Call { callee } | Reason::FunctionAddress { callee } = reason {
        Some(callee)
    } else {
        None
    }
}

fn extern_refers<'a>(object: &'a LinkedObject, name: &'a str) -> Refers<'a> {
    match object.spec.externs.get(name).and_then(|external| external.value) {
        Some(ExternValue::MapValue { map, offset }) => Refers::MapValue(object.spec.map_name(map), offset),
        Some(ExternValue::Address(_)) | None => Refers::Outside(name),
    }
}

fn layout(object: &LinkedObject, program: &LinkedProgram) -> Vec<Span> {
    let spec = &object.spec;
    let calls: BTreeMap<&str, InsnIdx> =
        program.patches.iter().rev().filter_map(|patch| Some((callee(&patch.reason)?, patch.at))).collect();
    let span = |(number, span): (usize, &rxdp_loader::link::Span)| {
        let name = spec.function_name(span.func);
        let why = match (number, calls.get(name)) {
            (0, _) => "the entry program stands first".to_string(),
            (_, Some(at)) => match program.locate(*at) {
                Some((caller, at)) => {
                    format!("{}+{at} refers to it, before anything else does", spec.function_name(caller))
                }
                None => format!("slot {at} refers to it"),
            },
            (_, None) => "it handles exceptions, or is called by what does".to_string(),
        };
        Span { function: span.func.0, name: name.to_string(), start: span.start.0, slots: span.len, why }
    };
    program.layout.iter().enumerate().map(span).collect()
}

/// Every change; the two halves of a 64-bit load are one.
fn changes(object: &LinkedObject, program: &LinkedProgram) -> Vec<Change> {
    let compiled = program.as_compiled().unwrap_or_default();
    let mut patches: Vec<&Patch> = program.patches.iter().collect();
    patches.sort_by_key(|patch| patch.at);
    let mut found: Vec<Change> = Vec::new();
    let mut last: Option<InsnIdx> = None;
    for patch in patches {
        let half = |first: InsnIdx| {
            let insn = compiled.get(first.index());
            first.plus(1) == Some(patch.at) && insn.is_some_and(|insn| insn.is_ld_imm64())
        };
        if last.is_some_and(|first| first == patch.at || half(first)) {
            continue;
        }
        last = Some(patch.at);
        found.push(change(object, program, &compiled, patch));
    }
    found
}

fn change(object: &LinkedObject, program: &LinkedProgram, compiled: &[Insn], patch: &Patch) -> Change {
    let spec = &object.spec;
    let (func, function_at) = program.locate(patch.at).unwrap_or((FuncId(0), patch.at));
    let names = refers(object, &patch.reason);
    let (kind, symbol) = about(&patch.reason);
    Change {
        at: patch.at.0,
        function: spec.function_name(func).to_string(),
        function_at: function_at.0,
        line: spec.source_line(func, function_at),
        kind,
        symbol,
        reason: reason(object, patch),
        before: code(compiled, patch.at, Refers::Nothing, spec.endian),
        after: code(&program.insns, patch.at, names, spec.endian),
        later: later(spec, program, patch.at),
        core: spec.btf.as_ref().and_then(|btf| core(object, btf, func, function_at)),
    }
}

fn core(object: &LinkedObject, btf: &Btf, func: FuncId, at: InsnIdx) -> Option<crate::model::Core> {
    let records = &object.spec.function(func)?.core_relos;
    let number = records.binary_search_by_key(&at, |(place, _)| *place).ok()?;
    let (_, record) = records.get(number)?;
    let fixup = object.answers.fixups_of(func).get(number);
    Some(types::core(btf, record, fixup, &object.answers.modules))
}

fn code(insns: &[Insn], at: InsnIdx, refers: Refers<'_>, endian: Endian) -> Code {
    let Some(insn) = insns.get(at.index()).copied() else {
        return Code { bytes: String::new(), text: String::new() };
    };
    let second = at.plus(1).and_then(|at| insns.get(at.index())).copied();
    let second = second.filter(|_| insn.is_ld_imm64());
    Code { bytes: code_bytes(insn, second, endian), text: disasm::text(insn, second, refers) }
}

fn about(reason: &Reason) -> (ChangeKind, String) {
    match reason {
        Reason::Map { map } => (ChangeKind::Map, map.clone()),
        Reason::MapValue { map, .. } => (ChangeKind::MapValue, map.clone()),
        Reason::Extern { name } => (ChangeKind::Extern, name.clone()),
        Reason::Poison { .. } => (ChangeKind::Poison, String::new()),
        Reason::Call { callee } => (ChangeKind::Call, callee.clone()),
        Reason::FunctionAddress { callee } => (ChangeKind::FunctionAddress, callee.clone()),
        Reason::Helper { helper, .. } => (ChangeKind::Helper, helper.clone()),
        Reason::CoreRelo { .. } | _ => (ChangeKind::Core, String::new()),
    }
}

/// Why an instruction was changed, in one sentence for people who see this for the first time.
fn reason(object: &LinkedObject, patch: &Patch) -> String {
    let src = patch.after.src;
    match &patch.reason {
        Reason::Map { map } => format!(
            "it refers to map {map}: source register {src} (BPF_PSEUDO_MAP_FD) says that the immediate is a map's \
             descriptor, not a number"
        ),
        Reason::MapValue { map, offset } => format!(
            "it refers to byte {offset} of the value of map {map}: source register {src} (BPF_PSEUDO_MAP_VALUE) says that \
             the first half is a map's descriptor and the second an offset"
        ),
        Reason::Call { callee } => format!(
            "it calls {callee}, which now stands behind the program: the immediate is the distance in slots, minus 1"
        ),
        Reason::FunctionAddress { callee } => format!(
            "it takes the address of {callee}: source register {src} (BPF_PSEUDO_FUNC) says that the immediate is a distance"
        ),
        Reason::Extern { name } if matches!(object.answers.ksyms.get(name), Some(Ksym::Without(_))) => {
            format!("the kernel has no {name}, and the object does without: its address is 0")
        }
        Reason::Extern { name } => match object.spec.externs.get(name).map(|external| external.kind) {
            Some(ExternKind::Kconfig { .. }) => {
                format!("it reads {name} of the kernel's configuration: a place in the map .kconfig")
            }
            Some(ExternKind::Typed { function: true, .. }) if patch.before.is_call() => {
                format!("it calls the kernel's function {name}, by the number of its type")
            }
            Some(ExternKind::Typed { .. }) => {
                format!("it takes the address of {name} in the kernel, by the number of its type")
            }
            Some(ExternKind::Address | ExternKind::Unknown) | None => {
                format!("it takes the address of the kernel's symbol {name}")
            }
        },
        Reason::CoreRelo { .. } | Reason::Poison { .. } | Reason::Helper { .. } | _ => {
            patch.reason.words(object.spec.btf.as_ref())
        }
    }
}

fn later(spec: &ObjectSpec, program: &LinkedProgram, at: InsnIdx) -> Option<String> {
    // They stand by position.
    let found = program.map_refs.binary_search_by_key(&at, |(place, _)| *place).ok();
    let map = found.and_then(|found| program.map_refs.get(found)).map(|(_, map)| *map);
    let module = program.btf_refs.iter().any(|(place, _)| Some(*place) == at.plus(1));
    if module {
        return Some("the second half becomes the descriptor of the module's types".to_string());
    }
    map.map(|map| {
        format!(
            "just before BPF_PROG_LOAD the immediate becomes map_fd[{}], the descriptor of {}",
            map.0,
            spec.map_name(map)
        )
    })
}
