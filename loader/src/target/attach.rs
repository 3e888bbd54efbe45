//! Programs that attach to something with a type in the kernel: its functions, tracepoints, LSM hooks, iterators.
//!
//! Source: libbpf `libbpf_find_attach_btf_id`, `btf_get_kernel_prefix_kind`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use crate::btf::{Kind, KindSet, Wanted};
use crate::core_relo::{KernelTypes, Location};
use crate::spec::section::SectionFlags;
use crate::spec::{ObjectSpec, ProgId, ProgramSpec};
use crate::uapi::{AttachType, ProgType};

/// What a program attaches to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attach {
    /// Its type: of a function, a tracepoint's typedef, or the structure of a struct_ops member.
    pub at: Location,
    /// The member's number in that structure.
    pub member: Option<u32>,
}

/// Why a program has nothing to attach to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The section says nothing behind the `/`.
    #[error(
        "section {section:?} does not say what to attach to: write SEC(\"{section}/NAME\"), or give it when loading"
    )]
    NoName {
        /// The section.
        section: String,
    },
    /// It replaces a function of a program that nobody named.
    #[error("section {section:?} replaces a function of another program: say of which when loading")]
    NoProgram {
        /// The section.
        section: String,
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
    for program in spec.programs.iter().filter(|program| attaches(program)) {
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
    let answer = |program| one(program, kernel).map(|at| Attach { at, member: None });
    programs.map(|(at, program)| (ProgId::new(at), answer(program))).collect()
}

fn one(program: &ProgramSpec, kernel: &KernelTypes<'_>) -> Result<Location, AttachError> {
    let section = || program.section.clone();
    let Some(target) = program.kind.target.as_deref() else {
        return Err(AttachError::NoName { section: section() });
    };
    if program.kind.ty == Some(ProgType::EXT) {
        return Err(AttachError::NoProgram { section: section() });
    }
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
