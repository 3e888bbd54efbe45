//! Builds a dispatcher: loads it with its configuration, and links programs to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rxdp_loader::btf::{Btf, Kind, TypeId};
use rxdp_loader::load::{self, CodeTypes, Given, LoadError};
use rxdp_loader::plan::{self, Options, Select};
use rxdp_loader::spec::section::SectionFlags;
use rxdp_loader::spec::{Dialects, ObjectSpec, ProgId, TargetProgram};
use rxdp_loader::sys::{Errno, Kernel, LinkCreate, LinkTarget, Named, host};
use rxdp_loader::uapi::AttachType;

use crate::config::{Config, Version};
use crate::error::KernelError;
use crate::names::DISPATCHER;
use crate::plan::Build;
use crate::{component, state};

/// The smallest program there is.
pub(crate) const PASS: &str = "xdp_pass";

/// Made of `bpf-progs/xdp_dispatcher.c`, for each version that is made here.
const OBJECTS: [(Version, &[u8]); 2] = [
    (Version::V2, include_bytes!("../../bpf-progs/xdp_dispatcher.o")),
    (Version::V3, include_bytes!("../../bpf-progs/xdp_dispatcher-3.o")),
];

/// A dispatcher in the kernel that nobody has attached.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) fd: OwnedFd,
    types: Option<Btf>,
}

impl Loaded {
    /// The number of a function's type.
    fn function(&self, name: &str) -> Option<TypeId> {
        self.types.as_ref()?.find(name, |kind| matches!(kind, Kind::Func { .. }))
    }
}

/// Loads a dispatcher.
pub(crate) fn dispatcher<K: Kernel>(kernel: &K, config: &Config) -> Result<Loaded, KernelError> {
    let mut spec = object(config.version)?;
    for map in spec.maps.iter_mut().filter(|map| &*map.section == ".rodata") {
        map.data = Some(config.encode());
    }
    let id = program_of(&spec, DISPATCHER);
    if let Some(program) = spec.programs.get_mut(id.index()).filter(|_| config.frags) {
        program.kind.flags.insert(SectionFlags::XDP_FRAGS);
    }
    let fd = load_one(kernel, spec, id, None)?;
    let types = state::types(kernel, &fd)?;
    Ok(Loaded { fd, types })
}

/// Loads the smallest program, as XDP, or as what takes the place of another's function.
pub(crate) fn pass<K: Kernel>(
    kernel: &K,
    instead_of: Option<(TargetProgram, OwnedFd)>,
    frags: bool,
) -> Result<OwnedFd, LoadError> {
    let mut spec = object(Version::V2).map_err(|_damaged| LoadError::NotInPlan { what: PASS.to_string() })?;
    let id = program_of(&spec, PASS);
    let target = instead_of.map(|(program, fd)| {
        component::become_component(&mut spec, id, program);
        fd
    });
    if let Some(program) = spec.programs.get_mut(id.index()).filter(|_| frags) {
        program.kind.flags.insert(SectionFlags::XDP_FRAGS);
    }
    load_one(kernel, spec, id, target)
}

/// Puts the programs of a plan into their slots: a link each.
pub(crate) fn links<K: Kernel>(
    kernel: &K,
    dispatcher: &Loaded,
    build: &Build,
    programs: &[BorrowedFd<'_>],
) -> Result<Vec<OwnedFd>, KernelError> {
    let one = |(slot, (component, fd)): (usize, (&crate::order::Component, &BorrowedFd<'_>))| {
        let function = build.function(slot);
        link(kernel, dispatcher, Named { name: &component.name, fd: *fd }, &function)?.map_err(|errno| {
            let (name, id) = (component.name.clone(), component.id);
            KernelError::Link { name, id, function, errno }
        })
    };
    build.components.iter().zip(programs).enumerate().map(one).collect()
}

/// Puts a program into the place of a dispatcher's function, for as long as the answer is open or pinned.
pub(crate) fn link<K: Kernel>(
    kernel: &K,
    dispatcher: &Loaded,
    what: Named<'_>,
    function: &str,
) -> Result<Result<OwnedFd, Errno>, KernelError> {
    let id = dispatcher.function(function).ok_or_else(|| KernelError::NoFunction(function.to_string()))?;
    let of = Named { name: DISPATCHER, fd: dispatcher.fd.as_fd() };
    let to = LinkTarget::Function { of, id };
    Ok(kernel.link_create(&LinkCreate { what, attach: AttachType(0), to }))
}

fn object(version: Version) -> Result<ObjectSpec, KernelError> {
    let known = OBJECTS.iter().find(|(known, _)| *known == version);
    let damaged = |why: String| LoadError::NotInPlan { what: format!("the dispatcher's object: {why}") };
    let (_, bytes) = known.ok_or_else(|| damaged(format!("there is none of version {version}")))?;
    let read = rxdp_loader::read(DISPATCHER, bytes, Dialects::default());
    Ok(read.map_err(|error| damaged(error.to_string()))?)
}

fn program_of(spec: &ObjectSpec, name: &str) -> ProgId {
    ProgId::new(spec.programs.iter().position(|program| program.name == name).unwrap_or_default())
}

/// Loads one program of an object with all of its types: others read what they say.
fn load_one<K: Kernel>(
    kernel: &K,
    spec: ObjectSpec,
    program: ProgId,
    target: Option<OwnedFd>,
) -> Result<OwnedFd, LoadError> {
    let machine = host::machine();
    let linked = load::link_for(spec, &machine, CodeTypes::Running)?;
    let options = Options { select: Select::One(program), all_types: true, ..Options::default() };
    let machine = load::machine_for(kernel, &linked, &machine, &options);
    let plan = plan::plan(&linked, &machine, &options)?;
    let targets = target.map(|fd| (program, fd)).into_iter().collect();
    let mut loaded = load::execute(&plan, kernel, Given { targets, ..Given::default() })?;
    let missing = || LoadError::NotInPlan { what: format!("program {program:?}") };
    loaded.programs.pop().map(|program| program.fd).ok_or_else(missing)
}
