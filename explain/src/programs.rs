//! Entry programs: which section rule gave them their type, and what the kernel is asked to load them as.

use rxdp_loader::link::LinkedObject;
use rxdp_loader::plan::LoadProgram;
use rxdp_loader::spec::section::SectionFlags;
use rxdp_loader::spec::{ProgId, ProgramSpec, SectionMatch, SectionRule, SlotHint};
use rxdp_loader::uapi::{AttachType, ProgType};

use crate::Stages;
use crate::model::{Load, Program, Rule};
use crate::words::{count, prog_flags};

pub(crate) fn explain(stages: &Stages<'_>, linked: &LinkedObject) -> Vec<Program> {
    let spec = &linked.spec;
    let program = |(at, program): (usize, &ProgramSpec)| {
        let id = ProgId::new(at);
        let function = spec.function(program.func);
        let load = stages.plan.and_then(|plan| plan.programs().find(|load| load.program == id));
        Program {
            index: id.0,
            name: program.name.clone(),
            section: program.section.clone(),
            offset: function.map_or(0, |function| function.offset.0),
            function: program.func.0,
            slots: function.map_or(0, |function| count(function.insns.len())),
            order: order(stages, program, function.map_or(0, |function| function.offset.0)),
            autoload: program.autoload,
            rule: rule(&program.section, &program.kind),
            ty: program.kind.ty.map(|ty| ty.to_string()),
            attach_type: attach(program.kind.attach),
            flags: flags(program.kind.flags),
            target: program.kind.target.clone(),
            slot: program.kind.slot.map(slot),
            load: load.map(|load| as_loaded(program, load)),
            problem: problem(stages, linked, id, program, load),
        }
    };
    spec.programs.iter().enumerate().map(program).collect()
}

fn order(stages: &Stages<'_>, program: &ProgramSpec, offset: u32) -> String {
    let section = stages.elf.section_named(&program.section).map_or(0, |section| section.idx.0);
    format!(
        "prog_fd[] holds entry programs by section, then by offset: this one is in section {section} at byte {offset}"
    )
}

fn rule(section: &str, kind: &SectionMatch) -> Rule {
    let name = section.strip_prefix('?').unwrap_or(section);
    match kind.rule {
        SectionRule::Row(row) if row == name => Rule {
            matched: Some(row.to_string()),
            why: format!("the row \"{row}\" of the section table is this name"),
        },
        SectionRule::Row(row) => Rule {
            matched: Some(row.to_string()),
            why: format!(
                "the row \"{row}/...\" of the section table: what stands behind the / is what it attaches to"
            ),
        },
        SectionRule::Prefix(beginning) => Rule {
            matched: Some(beginning.to_string()),
            why: format!(
                "no row of the section table is \"{name}\", but it begins with \"{beginning}\", \
                 which was enough for bpf_load.c and libbpf before 1.0"
            ),
        },
        SectionRule::IdKey => Rule {
            matched: None,
            why: "two numbers, ID/KEY: iproute2's slot KEY of the table with that id".to_string(),
        },
        SectionRule::Unknown => {
            Rule { matched: None, why: "no rule knows this name: it says no type".to_string() }
        }
    }
}

fn attach(attach: AttachType) -> Option<String> {
    (attach.0 != 0).then(|| attach.to_string())
}

fn flags(flags: SectionFlags) -> Vec<String> {
    let known = [
        (SectionFlags::ATTACH_BTF, "attaches by type number"),
        (SectionFlags::SLEEPABLE, "may sleep"),
        (SectionFlags::XDP_FRAGS, "takes packets of several buffers"),
        (SectionFlags::ATTACH_OPTIONAL, "attach type may be left out"),
        (SectionFlags::USDT, "attaches to many places"),
    ];
    known.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, words)| (*words).to_string()).collect()
}

fn slot(slot: SlotHint) -> String {
    match slot {
        SlotHint::LastTable { key } => format!("slot {key} of the last jump table (bpf_load.c)"),
        SlotHint::Table { id, key } => format!("slot {key} of the table with id {id} (iproute2)"),
    }
}

fn as_loaded(program: &ProgramSpec, load: &LoadProgram) -> Load {
    let from = match (program.kind.ty, load.said) {
        (Some(ty), _) if ty == load.ty => "its section",
        (_, true) => "--type, or the command: what does not say its type is XDP",
        (_, false) => "nobody: it is tried as one type after another",
    };
    Load {
        ty: load.ty.to_string(),
        type_number: load.ty.0,
        attach_type: match load.ty {
            ProgType::STRUCT_OPS => Some("the number of the member that it is for".to_string()),
            _ => attach(load.attach),
        },
        attach_number: load.attach.0,
        from: from.to_string(),
        flags: prog_flags(load.flags),
        kernel_name: load.kernel_name.to_string(),
        attach_btf_id: load.hook.map(|hook| hook.id.0),
        with_types: load.with_info,
    }
}

fn problem(
    stages: &Stages<'_>,
    linked: &LinkedObject,
    id: ProgId,
    program: &ProgramSpec,
    load: Option<&LoadProgram>,
) -> Option<String> {
    if let Some(Err(error)) = linked.programs.get(id.index()) {
        return Some(error.to_string());
    }
    let plan = stages.plan?;
    if let Some((_, error)) = plan.refused.iter().find(|(other, _)| *other == id) {
        return Some(error.to_string());
    }
    match load {
        Some(_) => None,
        None if !program.autoload => {
            Some("its section begins with ?: it is loaded when it is asked for (--prog)".to_string())
        }
        None => Some("nothing that is loaded needs it".to_string()),
    }
}
