//! Which programs are loaded, and as what.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{LoadAs, LoadProgram, Options, PlanError, Select};
use crate::btf::Btf;
use crate::bytes::Endian;
use crate::candidates::{self, Candidate};
use crate::features::{Features, Machine};
use crate::link::LinkedObject;
use crate::sanitize::{self, Lowered};
use crate::spec::section::SectionFlags;
use crate::spec::{MapOrigin, ProgId, ProgramSpec, SectionRule, SlotHint, StructOps};
use crate::target::{Attach, AttachError};
use crate::uapi::{AttachType, ProgFlags, ProgType};

/// Code of the other byte order can be looked at, not run.
pub(super) fn check_endian(object: &LinkedObject) -> Result<(), PlanError> {
    match object.spec.endian {
        endian if endian == Endian::NATIVE => Ok(()),
        Endian::Big => Err(PlanError::ForeignEndian("big", "bpfel")),
        Endian::Little => Err(PlanError::ForeignEndian("little", "bpfeb")),
    }
}

/// The programs to load in definition order, and those that cannot be.
pub(super) fn programs(
    object: &LinkedObject,
    machine: &Machine,
    options: &Options,
) -> (Vec<LoadProgram>, Vec<(ProgId, PlanError)>) {
    let (mut loads, mut refused) = (Vec::new(), Vec::new());
    for (at, program) in object.spec.programs.iter().enumerate() {
        let id = ProgId::new(at);
        let wanted = match options.select {
            Select::Autoload => program.autoload || options.asked_for.contains(&id),
            Select::All => true,
            Select::One(one) => one == id,
        };
        if !wanted {
            continue;
        }
        match one(object, id, program, machine, options) {
            Ok(load) => loads.push(load),
            // Nobody asked for it, and the rest of its table goes without. Source: libbpf `bpf_map__init_kern_struct_ops`.
            Err(PlanError::Attach { why: AttachError::NoMember { .. }, .. })
                if options.select == Select::Autoload && !options.asked_for.contains(&id) => {}
            Err(error) => refused.push((id, error)),
        }
    }
    (loads, refused)
}

fn one(
    object: &LinkedObject,
    id: ProgId,
    program: &ProgramSpec,
    machine: &Machine,
    options: &Options,
) -> Result<LoadProgram, PlanError> {
    if let Some(Err(error)) = object.programs.get(id.index()) {
        return Err(error.clone().into());
    }
    let features = machine.features;
    check_global_data(object, id, program, machine)?;
    let kind = &program.kind;
    let hook = hook(object, id, program)?;
    let given = options.types.get(&id).copied().or(kind.ty);
    let ty = given.or_else(|| type_of_table(object, kind.slot, options)).or(options.default_type);
    let mut others = others(object, id, program, features, options);
    let said = ty.is_some();
    let first = match ty {
        Some(ty) => as_said(program, ty, hook.and_then(|hook| hook.member), features),
        None if others.is_empty() => {
            let (program, section) = (program.name.clone(), program.section.clone());
            return Err(PlanError::NoType { program, section });
        }
        None => others.remove(0),
    };
    others.retain(|other| (other.ty, other.attach) != (first.ty, first.attach));
    let LoadAs { ty, attach, flags } = first;
    let linked = object.program(id);
    Ok(LoadProgram {
        program: id,
        kernel_name: sanitize::name(&program.name, features),
        ty,
        attach,
        flags,
        hook: hook.map(|hook| hook.at),
        of_program: hook.is_some_and(|hook| hook.of_program),
        kern_version: object.spec.version.unwrap_or(machine.kernel.code()),
        with_info: features.contains(Features::FUNC_INFO) && linked.is_some_and(|l| !l.func_info.is_empty()),
        copies: BTreeMap::new(),
        func_types: BTreeMap::new(),
        said,
        others,
        patches: linked.map(|linked| sanitize::helpers(linked, features)).unwrap_or_default(),
    })
}

/// The type that somebody says, and what its section says besides.
fn as_said(program: &ProgramSpec, ty: ProgType, member: Option<u32>, features: Features) -> LoadAs {
    let kind = &program.kind;
    let mut flags = ProgFlags::empty();
    flags.set(ProgFlags::SLEEPABLE, kind.flags.contains(SectionFlags::SLEEPABLE));
    flags.set(ProgFlags::XDP_HAS_FRAGS, kind.flags.contains(SectionFlags::XDP_FRAGS));
    let attach = member.map_or_else(|| attach_type(program, ty, features), AttachType);
    LoadAs { ty, attach, flags }
}

/// What to try a program as, besides what its section says: everything if it says nothing, or if only the beginning of its
/// name was looked at.
fn others(
    object: &LinkedObject,
    id: ProgId,
    program: &ProgramSpec,
    features: Features,
    options: &Options,
) -> Vec<LoadAs> {
    let user_says = options.types.contains_key(&id) || options.default_type.is_some();
    if !options.try_types || is_plain(program) || user_says {
        return Vec::new();
    }
    let by_section = |id: ProgId| object.spec.program(id).filter(|p| is_word(p)).and_then(|p| p.kind.ty);
    let known = |id: ProgId| options.types.get(&id).copied().or_else(|| by_section(id));
    let as_other = |Candidate { ty, attach, flags }: Candidate| LoadAs {
        ty,
        attach: if features.contains(Features::ATTACH_TYPE) { attach } else { AttachType(0) },
        flags,
    };
    candidates::candidates(object, id, known).into_iter().map(as_other).collect()
}

/// What a section's name goes on with behind the beginning that gave it its type; empty if all of it did.
fn rest_of_name(program: &ProgramSpec) -> &str {
    let SectionRule::Prefix(beginning) = program.kind.rule else {
        return "";
    };
    let name = program.section.strip_prefix('?').unwrap_or(&program.section);
    name.strip_prefix(beginning).unwrap_or_default()
}

/// Whether a section's name is beyond doubt: a row, or one that goes on as names of old did, `xdp/0`, `socket2`.
fn is_plain(program: &ProgramSpec) -> bool {
    let goes_on = |c: char| c == '/' || c.is_ascii_digit();
    let rest = rest_of_name(program);
    program.kind.ty.is_some() && (rest.is_empty() || rest.starts_with(goes_on))
}

/// Whether what gave a program its type is a word of its section's name: perf's `syscalls:sys_enter_open` begins like
/// `syscall`, and is none.
fn is_word(program: &ProgramSpec) -> bool {
    !rest_of_name(program).starts_with(|c: char| c.is_ascii_alphabetic())
}

/// What the program attaches to, if that is something with a type in the kernel.
fn hook(object: &LinkedObject, id: ProgId, program: &ProgramSpec) -> Result<Option<Attach>, PlanError> {
    let kind = &program.kind;
    if !kind.flags.contains(SectionFlags::ATTACH_BTF) && kind.ty != Some(ProgType::STRUCT_OPS) {
        return Ok(None);
    }
    let (name, section) = (|| program.name.clone(), || program.section.clone());
    match object.answers.attach.get(&id) {
        Some(Ok(attach)) => Ok(Some(*attach)),
        Some(Err(why)) => Err(PlanError::Attach { program: name(), why: why.clone() }),
        None if kind.ty == Some(ProgType::STRUCT_OPS) => {
            let no_map = || {
                let why = AttachError::NoMap { section: section() };
                PlanError::Attach { program: name(), why }
            };
            Err(refused_table(object, program).unwrap_or_else(no_map))
        }
        None => Err(PlanError::NotAsked { program: name(), section: section() }),
    }
}

/// Why the table that refers to this program is refused, if one does.
fn refused_table(object: &LinkedObject, program: &ProgramSpec) -> Option<PlanError> {
    object.answers.struct_ops.iter().find_map(|(id, answer)| {
        let map = object.spec.map(*id)?;
        let refers = |ops: &StructOps| ops.programs.iter().any(|(_, func)| *func == program.func);
        let why = answer.as_ref().err().filter(|_| map.struct_ops.as_ref().is_some_and(refers))?;
        Some(PlanError::StructOps { map: map.name.to_string(), why: why.clone() })
    })
}

/// The object's types, with those that functions need whose context the kernel knows by its type alone.
pub(super) fn context_types<'b>(
    object: &LinkedObject,
    btf: &'b Btf,
    features: Features,
    programs: &mut [LoadProgram],
) -> Lowered<'b> {
    if features.contains(Features::ARG_CTX_TAG) {
        return Lowered { types: Cow::Borrowed(btf), changes: Vec::new() };
    }
    let mut contexts = sanitize::Contexts::of(btf);
    for load in programs {
        let functions = object.program(load.program).map(|program| program.func_info.as_slice());
        // The first is the program itself, whose argument is the context in any case.
        for (_, function) in functions.unwrap_or_default().iter().skip(1) {
            let other = contexts.function(*function, load.ty);
            load.func_types.extend(other.map(|other| (*function, other)));
        }
    }
    contexts.into_types()
}

/// Modules whose types the programs refer to.
pub(super) fn modules(object: &LinkedObject, programs: &[LoadProgram]) -> BTreeSet<usize> {
    let tables = object.answers.struct_ops.values().flatten().filter_map(|ops| ops.value.module);
    let hooks = programs.iter().filter_map(|load| load.hook.and_then(|hook| hook.module));
    let linked = programs.iter().filter_map(|load| object.program(load.program));
    let refs = linked.flat_map(|program| program.btf_refs.iter().map(|(_, module)| *module));
    tables.chain(hooks).chain(refs).chain(object.fd_array.iter().copied()).collect()
}

/// Global variables are in maps that old kernels cannot give to programs.
fn check_global_data(
    object: &LinkedObject,
    id: ProgId,
    program: &ProgramSpec,
    machine: &Machine,
) -> Result<(), PlanError> {
    let needed = Features::GLOBAL_DATA;
    let refs = object.program(id).map(|p| p.map_refs.as_slice()).unwrap_or_default();
    let mut maps = refs.iter().filter_map(|(_, map)| object.spec.map(*map));
    match (maps.find(|map| map.origin == MapOrigin::Internal), needed.since()) {
        (Some(map), Some((since, feature))) if !machine.features.contains(needed) => {
            Err(PlanError::Unsupported {
                what: format!("program {:?}, which refers to section {:?},", program.name, map.section),
                feature,
                since,
                kernel: machine.kernel,
            })
        }
        _ => Ok(()),
    }
}

/// A program of a section named `ID/KEY` has the type of the programs that use the table.
fn type_of_table(object: &LinkedObject, slot: Option<SlotHint>, options: &Options) -> Option<ProgType> {
    let Some(SlotHint::Table { id, .. }) = slot else {
        return None;
    };
    let table = object.spec.map_numbered(id)?;
    let uses = |at: usize| {
        object.program(ProgId::new(at)).is_some_and(|p| p.map_refs.iter().any(|(_, m)| *m == table))
    };
    let mut users = object.spec.programs.iter().enumerate().filter(|(at, _)| uses(*at));
    users.find_map(|(at, program)| options.types.get(&ProgId::new(at)).copied().or(program.kind.ty))
}

/// All XDP programs that do not say otherwise expect to be attached as XDP: on Linux 6.18 and later, programs of one
/// jump table must agree.
fn attach_type(program: &ProgramSpec, ty: ProgType, features: Features) -> AttachType {
    if !features.contains(Features::ATTACH_TYPE) {
        return AttachType(0);
    }
    let many = SectionFlags::USDT;
    match (program.kind.ty, ty) {
        _ if program.kind.flags.contains(many) && features.contains(Features::UPROBE_MULTI) => {
            AttachType::TRACE_UPROBE_MULTI
        }
        (Some(said), ty) if said == ty => program.kind.attach,
        (_, ProgType::XDP) => AttachType::XDP,
        _ => AttachType(0),
    }
}
