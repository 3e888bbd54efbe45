//! Programs that attach to something with a type in the kernel: its functions, tracepoints, LSM hooks, iterators.
//!
//! Source: libbpf `libbpf_find_attach_btf_id`, `btf_get_kernel_prefix_kind`.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::btf::{BtfError, Kind, KindSet, TargetBtf, TypeGraph, TypeId, Wanted};
use crate::core_relo::{KernelTypes, Location};
use crate::spec::section::SectionFlags;
use crate::spec::{ObjectSpec, ProgId, ProgramSpec, TargetProgram};
use crate::uapi::{AttachType, ProgType};

/// What a program attaches to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attach {
    /// Its type: of a function, a tracepoint's typedef, or the structure of a struct_ops member.
    pub at: Location,
    /// The member's number in that structure.
    pub member: Option<u32>,
    /// Whether it is a function of another program, whose types `at` is about: those that the caller named.
    pub of_program: bool,
}

/// Why a program has nothing to attach to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The section says nothing behind the `/`.
    #[error(
        "section {section:?} does not say what to attach to: write SEC(\"{section}/NAME\"), or name it with --target PROG=NAME"
    )]
    NoName {
        /// The section.
        section: String,
    },
    /// It replaces a function of a program that nobody named.
    #[error(
        "section {section:?} replaces a function of another program: name that with --target PROG=ID:FUNCTION"
    )]
    NoProgram {
        /// The section.
        section: String,
    },
    /// The other program was loaded without types.
    #[error(
        "section {section:?}: program {program} has no types (BTF) to find its functions by: compile it with -g"
    )]
    Untyped {
        /// The section.
        section: String,
        /// The other program.
        program: String,
    },
    /// The other program's types cannot be read.
    #[error("section {section:?}: the types (BTF) of program {program} cannot be read: {why}")]
    Types {
        /// The section.
        section: String,
        /// The other program.
        program: String,
        /// Why.
        why: BtfError,
    },
    /// The other program does not have it.
    #[error("section {section:?}: program {program} has no function {name:?}; it has {}", there_are.join(", "))]
    NoFunction {
        /// The section.
        section: Box<str>,
        /// The other program.
        program: Box<str>,
        /// What is looked for.
        name: String,
        /// What it has.
        there_are: Vec<String>,
    },
    /// No map of functions has it.
    #[error(
        "section {section:?} is for programs that a SEC(\".struct_ops\") variable refers to, and none does"
    )]
    NoMap {
        /// The section.
        section: String,
    },
    /// The kernel's structure has no such member.
    #[error("the kernel's struct {structure} has no member {member}, so nobody would call it")]
    NoMember {
        /// The structure.
        structure: String,
        /// The member.
        member: String,
    },
    /// The kernel shows no types.
    #[error(
        "section {section:?}: the kernel shows no types to find {name:?} in (needs Linux 5.4 with CONFIG_DEBUG_INFO_BTF)"
    )]
    NoTypes {
        /// The section.
        section: String,
        /// What is looked for.
        name: String,
    },
    /// Neither the kernel nor a module has it.
    #[error("section {section:?}: neither the kernel nor its modules have {what} {name:?}{}", prefix(hook))]
    NotFound {
        /// The section.
        section: String,
        /// What kind of thing.
        what: &'static str,
        /// What is looked for.
        name: String,
        /// Its name among the kernel's types.
        hook: String,
    },
}

fn prefix(hook: &str) -> String {
    if hook.is_empty() { String::new() } else { format!(" (type {hook:?})") }
}

/// What attach types put before the name, and what the thing is.
const PREFIXES: &[(AttachType, &str, &str)] = &[
    (AttachType::TRACE_RAW_TP, "btf_trace_", "a tracepoint"),
    (AttachType::LSM_MAC, "bpf_lsm_", "an LSM hook"),
    (AttachType::LSM_CGROUP, "bpf_lsm_", "an LSM hook"),
    (AttachType::TRACE_ITER, "bpf_iter_", "an iterator"),
];

fn prefix_of(attach: AttachType) -> (&'static str, &'static str) {
    let found = PREFIXES.iter().find(|(of, ..)| *of == attach);
    found.map_or(("", "a function"), |(_, prefix, what)| (*prefix, *what))
}

/// Whether a program attaches to something that the kernel's types name.
fn attaches(program: &ProgramSpec) -> bool {
    program.kind.flags.contains(SectionFlags::ATTACH_BTF)
}

/// The module that `MODULE:NAME` names, and the rest.
fn split(target: &str) -> (Option<&str>, &str) {
    target.split_once(':').map_or((None, target), |(module, name)| (Some(module), name))
}

/// Adds the names of what programs attach to.
pub(super) fn wanted(spec: &ObjectSpec, wanted: &mut Wanted) {
    for program in spec.programs.iter().filter(|program| attaches(program) && program.of.is_none()) {
        if let Some(target) =
            program.kind.target.as_deref().filter(|_| program.kind.ty != Some(ProgType::EXT))
        {
            let (prefix, _) = prefix_of(program.kind.attach);
            wanted.add(format!("{prefix}{}", split(target).1).as_bytes(), KindSet::FUNC | KindSet::TYPEDEF);
        }
    }
}

/// Finds what programs attach to.
pub(super) fn answer(
    spec: &ObjectSpec,
    kernel: &KernelTypes<'_>,
) -> BTreeMap<ProgId, Result<Attach, AttachError>> {
    let programs = spec.programs.iter().enumerate().filter(|(_, program)| attaches(program));
    let answer = |program: &ProgramSpec| match &program.of {
        Some(of) => one_of(program, of),
        None => one(program, kernel).map(|at| Attach { at, member: None, of_program: false }),
    };
    programs.map(|(at, program)| (ProgId::new(at), answer(program))).collect()
}

/// Finds a function of another program: the one that is named, or the main one.
fn one_of(program: &ProgramSpec, of: &TargetProgram) -> Result<Attach, AttachError> {
    let (section, other) = (|| program.section.clone(), || of.name.clone());
    if of.types.is_empty() || of.functions.is_empty() {
        return Err(AttachError::Untyped { section: section(), program: other() });
    }
    let types = TargetBtf::scan(&of.types, None, &Wanted::default());
    let types = types.map_err(|why| AttachError::Types { section: section(), program: other(), why })?;
    let name = program.kind.target.as_deref();
    let is_it = |id: &&TypeId| name.is_none_or(|name| function_name(&types, **id).as_deref() == Some(name));
    if let Some(id) = of.functions.iter().find(is_it) {
        let at = Location { module: None, id: *id };
        return Ok(Attach { at, member: None, of_program: true });
    }
    Err(AttachError::NoFunction {
        section: section().into(),
        program: other().into(),
        name: name.unwrap_or_default().to_string(),
        there_are: of.functions.iter().filter_map(|id| function_name(&types, *id)).collect(),
    })
}

/// The name of a type that is a function's.
fn function_name(types: &TargetBtf<'_>, id: TypeId) -> Option<String> {
    let ty = types.ty(id).filter(|ty| matches!(ty.kind, Kind::Func { .. }))?;
    Some(String::from_utf8_lossy(types.bytes_at(ty.name)).into_owned())
}

fn one(program: &ProgramSpec, kernel: &KernelTypes<'_>) -> Result<Location, AttachError> {
    let section = || program.section.clone();
    if program.kind.ty == Some(ProgType::EXT) {
        return Err(AttachError::NoProgram { section: section() });
    }
    let Some(target) = program.kind.target.as_deref() else {
        return Err(AttachError::NoName { section: section() });
    };
    if kernel.vmlinux.is_none() {
        return Err(AttachError::NoTypes { section: section(), name: target.to_string() });
    }
    let (module, name) = split(target);
    let (prefix, what) = prefix_of(program.kind.attach);
    let full = format!("{prefix}{name}");
    let is_it = |kind: &Kind| match program.kind.attach {
        AttachType::TRACE_RAW_TP => matches!(kind, Kind::Typedef(_)),
        _ => matches!(kind, Kind::Func { .. }),
    };
    let asked = kernel.all().filter(|(at, _)| {
        let of = at.and_then(|at| kernel.modules.get(at)).map(|(name, _)| name.as_str());
        module.is_none_or(|module| of.unwrap_or("vmlinux") == module)
    });
    let mut found =
        asked.filter_map(|(module, btf)| Some(Location { module, id: btf.find(full.as_bytes(), is_it)? }));
    found.next().ok_or_else(|| AttachError::NotFound {
        section: section(),
        what,
        name: name.to_string(),
        hook: if prefix.is_empty() { String::new() } else { full.clone() },
    })
}
