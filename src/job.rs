//! The main job without its ends: from an object's bytes to loaded programs with filled jump tables.
//!
//! Knows no interface and prints nothing: `attach` and `demo` stand on it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::Path;

use rxdp_dispatcher::component;
use rxdp_dispatcher::prototype::Prototype;
use rxdp_loader::btf::{TargetBtf, Wanted};
use rxdp_loader::elf;
use rxdp_loader::error::Error as LoaderError;
use rxdp_loader::features::Machine;
use rxdp_loader::link::LinkedObject;
use rxdp_loader::load::{self, CodeTypes, Given, LoadError, LoadedObject, LoadedProgram, LogPolicy};
use rxdp_loader::plan::{
    self, FillSlot, LoadPlan, LoadProgram, Options, PIN_ROOT, PlanError, SlotSource, SlotValue,
};
use rxdp_loader::spec::{Dialects, MapId, MapSpec, ObjectSpec, Pinning, ProgId, SpecError};
use rxdp_loader::sys::Kernel;
use rxdp_loader::tail_calls::{self, Conclusion, Entry, Open, Site};
use rxdp_loader::uapi::{AttachType, ProgType};

use crate::args::{Choices, Reading};
use crate::error::Failure;
use crate::select;
use crate::target::{self, Targets};
use crate::upgrade::Carried;

/// What the user said about programs and tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) entry: Option<ProgId>,
    pub(crate) options: Options,
    /// Fill no slot that nobody gave, and do not look for any.
    pub(crate) no_infer: bool,
    /// The user gave slots: fill no others.
    pub(crate) slots_given: bool,
    pub(crate) purpose: Purpose,
    /// Most programs to verify at once.
    pub(crate) jobs: Option<NonZeroUsize>,
}

/// What a program is loaded for that a dispatcher is to call.
#[derive(Debug)]
pub(crate) struct ComponentOf {
    pub(crate) prototype: Prototype,
    /// The types of `--btf`.
    pub(crate) types: Option<Vec<u8>>,
}

/// What the entry program is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Purpose {
    /// An interface: only XDP programs will do.
    #[default]
    Attach,
    /// A run by hand: any program will do.
    Run,
}

/// An object that was read, and what it is to attach to.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) object: LinkedObject,
    pub(crate) targets: Targets,
    /// Maps that are there already.
    pub(crate) maps: BTreeMap<MapId, OwnedFd>,
}

/// Programs in the kernel, and which of them is first.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) spec: ObjectSpec,
    pub(crate) object: LoadedObject,
    pub(crate) entry: ProgId,
    /// Why a slot was filled that nobody gave, as a sentence.
    pub(crate) inference: Option<String>,
    /// What became of maps that a version before had.
    pub(crate) carried: BTreeMap<MapId, Carried>,
    /// Whether the object says that the entry program takes packets of several buffers.
    pub(crate) takes_frags: bool,
}

impl Loaded {
    /// The entry program in the kernel.
    pub(crate) fn entry_program(&self, object: &Path) -> Result<&LoadedProgram, Failure> {
        self.object.program_by_id(self.entry).ok_or_else(|| Failure::NoEntry {
            object: object.display().to_string(),
            there_are: "the entry program was not loaded".to_string(),
        })
    }
}

/// Reads and links an object for this machine: one file, or several that are joined.
pub(crate) fn read(
    kernel: &impl Kernel,
    paths: &[&Path],
    reading: &Reading,
    machine: &Machine,
) -> Result<Read, Failure> {
    let title = title(paths);
    let failed = |error: LoaderError| Failure::object(&title, error);
    let dialects =
        Dialects { section: reading.section_dialect.into(), map: reading.map_dialect.map(Into::into) };
    let mut bytes = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let read = rxdp_loader::read_file(path).map_err(|error| Failure::object(&name, error))?;
        bytes.push((name, read));
    }
    let files: Vec<_> = bytes.iter().map(|(name, bytes)| (name.as_str(), &**bytes)).collect();
    let name = paths.first().map(|path| rxdp_loader::object_name(path)).unwrap_or_default();
    let spec = match files.as_slice() {
        [(_, bytes)] => rxdp_loader::read(&name, bytes, dialects).map_err(LoaderError::from),
        files => rxdp_loader::read_joined(&name, files, dialects).map_err(LoaderError::from),
    };
    let given = reading.btf.as_deref().map(types).transpose()?;
    let code = code_types(given.as_deref());
    let mut spec = spec.map_err(failed)?;
    // What the object means stands in `spec`; its bytes would only take memory from now on.
    drop(bytes);
    select::size_maps(&mut spec, &title, &reading.maps)?;
    let targets = target::find(kernel, &mut spec, &title, &reading.targets)?;
    let object = load::link_for(spec, machine, code).map_err(|error| failed(error.into()))?;
    Ok(Read { object, targets, maps: BTreeMap::new() })
}

/// The types in the file of `--btf`.
pub(crate) fn types(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display().to_string();
    let bytes = rxdp_loader::read_file(path).map_err(|error| Failure::object(&name, error))?;
    let failed = |error: SpecError| Failure::object(&name, error);
    let types = elf::types_of(&bytes).map_err(|error| failed(error.into()))?;
    TargetBtf::scan(&types, None, &Wanted::default()).map_err(|error| failed(error.into()))?;
    Ok(types.into_owned())
}

/// What an object goes by: its file, or all of them.
pub(crate) fn title(paths: &[&Path]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(" + ")
}

/// What `--prog`, `--type`, `--tail-call` and `--no-infer` say about this object.
pub(crate) fn wishes(read: &Read, name: &str, args: &Choices) -> Result<Wishes, Failure> {
    let spec = &read.object.spec;
    let entry = args.prog.as_ref().map(|given| select::program(spec, name, given)).transpose()?;
    let slots = select::tail_calls(spec, name, &args.tail_call)?;
    let in_slots = slots.iter().filter_map(|fill| match fill.value {
        SlotValue::Program(id) => Some(id),
        SlotValue::Map(_) => None,
    });
    let options = Options {
        asked_for: in_slots.chain(entry).chain(read.targets.given.iter().copied()).collect(),
        types: select::types(spec, name, &args.reading.types)?,
        default_type: Some(select::default_type(&args.reading.types)?.unwrap_or(ProgType::XDP)),
        license: args.reading.license.clone(),
        slots,
        ..Options::default()
    };
    let slots_given = !args.tail_call.is_empty();
    Ok(Wishes {
        entry,
        options,
        no_infer: args.no_infer,
        slots_given,
        jobs: args.reading.jobs,
        ..Wishes::default()
    })
}

impl Wishes {
    /// Maps that ask for it are pinned, and everything under `dir` if there is one.
    pub(crate) fn with_pins(mut self, dir: Option<&Path>) -> Result<Self, Failure> {
        self.options.pin_root = Some(PIN_ROOT.to_string());
        self.options.pin_dir = dir.map(pin_dir).transpose()?;
        Ok(self)
    }
}

fn pin_dir(given: &Path) -> Result<String, Failure> {
    let wrong = |why: String| Failure::Option { option: "--pin", given: given.display().to_string(), why };
    let dir = std::path::absolute(given).map_err(|error| wrong(error.to_string()))?;
    let dir = dir.to_str().ok_or_else(|| wrong("it is not UTF-8".to_string()))?;
    Ok(dir.trim_end_matches('/').to_string())
}

/// Loads everything, fills the slots that are given or have one reading, and reads them back.
pub(crate) fn load<K: Kernel>(
    kernel: &K,
    read: Read,
    name: &str,
    machine: &Machine,
    wishes: Wishes,
) -> Result<Loaded, Failure> {
    load_for(kernel, read, name, machine, wishes, None)
}

/// As [`load()`]; the entry program is to be called by a dispatcher, if there is one.
pub(crate) fn load_for<K: Kernel>(
    kernel: &K,
    read: Read,
    name: &str,
    machine: &Machine,
    wishes: Wishes,
    component_of: Option<ComponentOf>,
) -> Result<Loaded, Failure> {
    let Read { object, targets, maps } = read;
    let machine = &load::machine_for(kernel, &object, machine, &wishes.options);
    let (given, purpose, jobs) = (wishes.entry, wishes.purpose, wishes.jobs);
    let mut targets = targets.programs;
    let planned = planned(&object, machine, wishes).map_err(|error| load_failure(name, error))?;
    let entry = entry(&planned, name, given, purpose)?;
    if let Some(open) = planned.stopped_by() {
        return Err(Failure::OpenTailCalls(choices(&object.spec, name, open)));
    }
    let inference = planned.inferred.map(|one| reason(&object.spec, &one));
    let takes_frags = component::takes_frags(&object.spec, entry);
    let given = |targets| Given { maps, targets, log: LogPolicy::Whole, jobs, ..Given::default() };
    let failed = |error: LoadError| Failure::object(name, error);
    let Some(ComponentOf { prototype, types }) = component_of else {
        let loaded = load::execute(&planned.plan, kernel, given(targets)).map_err(failed)?;
        return Ok(Loaded {
            spec: object.spec,
            object: loaded,
            entry,
            inference,
            carried: BTreeMap::new(),
            takes_frags,
        });
    };
    // What the programs are to each other was told of XDP programs; now the first becomes something else.
    targets.insert(entry, prototype.fd);
    let mut spec = object.spec.clone();
    for load in planned.plan.programs().filter(|load| load.ty == ProgType::XDP) {
        if let Some(program) = spec.programs.get_mut(load.program.index()) {
            program.kind.ty = Some(ProgType::XDP);
        }
    }
    component::become_component(&mut spec, entry, prototype.program);
    let mut options = planned.options;
    options.types.remove(&entry);
    let object = load::link_for(spec, machine, code_types(types.as_deref())).map_err(failed)?;
    let machine = load::machine_for(kernel, &object, machine, &options);
    let plan = plan::plan(&object, &machine, &options).map_err(|error| load_failure(name, error))?;
    let loaded = load::execute(&plan, kernel, given(targets)).map_err(failed)?;
    Ok(Loaded { spec: object.spec, object: loaded, entry, inference, carried: BTreeMap::new(), takes_frags })
}

fn code_types(given: Option<&[u8]>) -> CodeTypes<'_> {
    given.map_or(CodeTypes::Running, CodeTypes::Given)
}

/// The plan of the main job, and what it rests on. It need not load.
#[derive(Debug)]
pub(crate) struct Planned<'o> {
    pub(crate) plan: LoadPlan<'o>,
    /// The program that is first, if any will do.
    pub(crate) entry: Option<ProgId>,
    /// What its tail calls say about slots that nobody filled. Those of other programs than XDP's are not looked into.
    pub(crate) conclusion: Conclusion,
    /// The slot that was filled because there is one reading.
    pub(crate) inferred: Option<Entry>,
    options: Options,
    no_infer: bool,
}

impl Planned<'_> {
    /// The tail calls for which the main job stops.
    pub(crate) fn stopped_by(&self) -> Option<&Open> {
        match &self.conclusion {
            Conclusion::Open(open) if !self.no_infer => Some(open),
            Conclusion::Complete | Conclusion::One(_) | Conclusion::Open(_) => None,
        }
    }
}

/// Plans the main job: which program is first, and which slots are filled.
///
/// # Errors
/// [`PlanError`]: the object as a whole cannot be loaded.
pub(crate) fn planned<'o>(
    object: &'o LinkedObject,
    machine: &Machine,
    wishes: Wishes,
) -> Result<Planned<'o>, PlanError> {
    let Wishes { entry, mut options, no_infer, slots_given, purpose, .. } = wishes;
    let mut plan = plan::plan(object, machine, &options)?;
    let entry = first_program(&plan, entry, purpose);
    let on_interface =
        |entry: &ProgId| plan.programs().any(|load| load.program == *entry && is_interface_program(load));
    let conclusion = entry.filter(on_interface).map_or(Conclusion::Complete, |entry| conclude(&plan, entry));
    let inferred = match &conclusion {
        Conclusion::One(one) if !no_infer && !slots_given => Some(*one),
        Conclusion::Complete | Conclusion::One(_) | Conclusion::Open(_) => None,
    };
    if let Some(one) = inferred {
        let value = SlotValue::Program(one.program);
        options.slots.push(FillSlot { map: one.map, key: one.key, value, from: SlotSource::Inferred });
        plan = plan::plan(object, machine, &options)?;
    }
    Ok(Planned { plan, entry, conclusion, inferred, options, no_infer })
}

fn load_failure(name: &str, error: PlanError) -> Failure {
    Failure::object(name, LoadError::from(error))
}

/// Whether a program can be attached to an interface, or tail-called from one that is.
fn is_interface_program(load: &LoadProgram) -> bool {
    // Attach type 0 is what kernels that know none are told.
    load.ty == ProgType::XDP && matches!(load.attach, AttachType::XDP | AttachType(0))
}

/// Why the main job attaches nothing of a plan, if it does not.
pub(crate) fn refusal(planned: &Planned<'_>, name: &str, given: Option<ProgId>) -> Option<Failure> {
    entry(planned, name, given, Purpose::Attach).err()
}

/// The entry program, or why there is none.
fn entry(
    planned: &Planned<'_>,
    name: &str,
    given: Option<ProgId>,
    purpose: Purpose,
) -> Result<ProgId, Failure> {
    let plan = &planned.plan;
    // What could not be planned is reported for what it is when the plan is carried out.
    if let Some(error) = plan.refusal() {
        return Err(load_failure(name, error.clone()));
    }
    match (planned.entry, given) {
        (Some(id), _) => Ok(id),
        (None, Some(_)) => Err(no_entry(plan, name, "the program of --prog is none", purpose)),
        (None, None) => Err(no_entry(plan, name, "no program is one", purpose)),
    }
}

/// The given entry program, or the first XDP program that the object itself puts into no jump table.
///
/// For a run by hand it may be of any type, XDP before others.
fn first_program(plan: &LoadPlan<'_>, given: Option<ProgId>, purpose: Purpose) -> Option<ProgId> {
    // What the user puts into a slot may be the entry program all the same.
    let by_object = || plan.fills().filter(|fill| fill.from != SlotSource::Given);
    let in_slot = |id: ProgId| by_object().any(|fill| fill.value == SlotValue::Program(id));
    let fits = |load: &&LoadProgram| purpose == Purpose::Run || is_interface_program(load);
    let mut fitting: Vec<&LoadProgram> = plan.programs().filter(fits).collect();
    fitting.sort_by_key(|load| (!is_interface_program(load), in_slot(load.program)));
    match given {
        Some(id) => fitting.iter().any(|load| load.program == id).then_some(id),
        None => fitting.first().map(|load| load.program),
    }
}

fn no_entry(plan: &LoadPlan<'_>, name: &str, why: &str, purpose: Purpose) -> Failure {
    if purpose == Purpose::Run {
        return Failure::NothingToRun { object: name.to_string() };
    }
    let spec = &plan.object.spec;
    let describe = |load: &LoadProgram| {
        let program = spec.program(load.program).map_or("?", |p| &p.name);
        // Of struct_ops it is the number of a member.
        let none = load.attach.0 == 0 || load.ty == ProgType::STRUCT_OPS;
        let attach = if none { String::new() } else { format!(" for {}", load.attach) };
        format!("{program} is {}{attach}", load.ty)
    };
    let programs: Vec<String> = plan.programs().map(describe).collect();
    let there_are = if programs.is_empty() { "it has no programs".to_string() } else { programs.join(", ") };
    Failure::NoEntry { object: name.to_string(), there_are: format!("{why}: {there_are}") }
}

fn conclude(plan: &LoadPlan<'_>, entry: ProgId) -> Conclusion {
    let programs: Vec<ProgId> =
        plan.programs().filter(|l| is_interface_program(l)).map(|l| l.program).collect();
    let filled: Vec<Entry> = plan
        .fills()
        .filter_map(|fill| match fill.value {
            SlotValue::Program(program) => Some(Entry { map: fill.map, key: fill.key, program }),
            SlotValue::Map(_) => None,
        })
        .collect();
    let pinned = |(_, map): &(usize, &MapSpec)| map.pinning != Pinning::None;
    let fixed: Vec<MapId> =
        plan.object.spec.maps.iter().enumerate().filter(pinned).map(|(at, _)| MapId::new(at)).collect();
    tail_calls::conclude(plan.object, entry, &programs, &filled, &fixed)
}

fn program_name(spec: &ObjectSpec, id: ProgId) -> &str {
    spec.program(id).map_or("?", |p| &p.name)
}

/// The inference as a sentence.
fn reason(spec: &ObjectSpec, entry: &Entry) -> String {
    let (map, key) = (spec.map_name(entry.map), entry.key);
    let program = program_name(spec, entry.program);
    format!("the only other program is {program}, and every tail call on {map} asks for slot {key}")
}

/// What is open, and the flags to choose from.
fn choices(spec: &ObjectSpec, name: &str, open: &Open) -> String {
    let sites: Vec<String> = open.sites.iter().map(|site| describe_site(spec, site)).collect();
    let programs: Vec<&str> = open.unreached.iter().map(|id| program_name(spec, *id)).collect();
    let mut text = format!(
        "{name}: nobody says which programs its tail calls lead to: {}; out of reach so far: {}\n  choose with:",
        sites.join(", "),
        programs.join(", "),
    );
    let mut tables: Vec<(String, String)> = open.sites.iter().map(|site| slot_words(spec, site)).collect();
    tables.sort();
    tables.dedup();
    for (table, key) in &tables {
        for program in &programs {
            text += &format!("\n    --tail-call {table}:{key}={program}");
        }
    }
    text + "\n  or attach with the slots as they are: --no-infer"
}

fn describe_site(spec: &ObjectSpec, site: &Site) -> String {
    let (table, key) = slot_words(spec, site);
    format!("{}+{} calls {table}[{key}]", program_name(spec, site.program), site.at)
}

fn slot_words(spec: &ObjectSpec, site: &Site) -> (String, String) {
    let table = site.map.map_or("MAP".to_string(), |map| spec.map_name(map).to_string());
    (table, site.key.map_or("KEY".to_string(), |key| key.to_string()))
}
