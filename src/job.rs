//! The main job without its ends: from an object's bytes to loaded programs with filled jump tables.
//!
//! Knows no interface and prints nothing: `attach` and `demo` stand on it.

use std::fs;
use std::path::Path;

use rxdp_loader::error::Error as LoaderError;
use rxdp_loader::features::Machine;
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::load::{self, Given, LoadError, LoadedObject, LogPolicy};
use rxdp_loader::plan::{self, FillSlot, LoadPlan, LoadProgram, Options, PIN_ROOT, SlotSource, SlotValue};
use rxdp_loader::spec::{Dialects, MapId, MapSpec, ObjectSpec, Pinning, ProgId};
use rxdp_loader::sys::Kernel;
use rxdp_loader::tail_calls::{self, Conclusion, Entry, Open, Site};
use rxdp_loader::uapi::{AttachType, ProgType};

use crate::args::Reading;
use crate::error::Failure;
use crate::select;

/// What the user said about programs and tables.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) entry: Option<ProgId>,
    pub(crate) options: Options,
    pub(crate) no_infer: bool,
}

/// Programs in the kernel, and which of them is first.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) spec: ObjectSpec,
    pub(crate) object: LoadedObject,
    pub(crate) entry: ProgId,
    /// Why a slot was filled that nobody gave, as a sentence.
    pub(crate) inference: Option<String>,
}

/// Reads and links an object file for this machine.
pub(crate) fn read(path: &Path, reading: &Reading, machine: &Machine) -> Result<LinkedObject, Failure> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| Failure::object(&name, LoaderError::open(path, &error)))?;
    let dialects =
        Dialects { section: reading.section_dialect.into(), map: reading.map_dialect.map(Into::into) };
    let spec = rxdp_loader::read(&rxdp_loader::object_name(path), &bytes, dialects);
    let mut spec = spec.map_err(|error| Failure::object(&name, error))?;
    load::resolve_externs(&mut spec, machine).map_err(|error| Failure::object(&name, error))?;
    Ok(link::link(spec))
}

/// What `--prog`, `--type`, `--tail-call` and `--no-infer` say about this object.
pub(crate) fn wishes(
    object: &LinkedObject,
    name: &str,
    args: &crate::args::Attach,
) -> Result<Wishes, Failure> {
    let spec = &object.spec;
    let entry = args.prog.as_ref().map(|given| select::program(spec, name, given)).transpose()?;
    let options = Options {
        types: select::types(spec, name, &args.reading.types)?,
        default_type: Some(ProgType::XDP),
        slots: select::tail_calls(spec, name, &args.tail_call)?,
        pin_root: Some(PIN_ROOT.to_string()),
        pin_dir: args.pin.as_deref().map(pin_dir).transpose()?,
        ..Options::default()
    };
    Ok(Wishes { entry, options, no_infer: args.no_infer })
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
    object: LinkedObject,
    name: &str,
    machine: &Machine,
    wishes: Wishes,
) -> Result<Loaded, Failure> {
    let Wishes { entry, mut options, no_infer } = wishes;
    let first = plan::plan(&object, machine, &options).map_err(|error| load_failure(name, error))?;
    let entry = choose_entry(&first, name, entry)?;
    let mut inference = None;
    if !no_infer {
        match conclude(&first, entry) {
            Conclusion::Complete => {}
            Conclusion::One(one) => {
                let value = SlotValue::Program(one.program);
                options.slots.push(FillSlot {
                    map: one.map,
                    key: one.key,
                    value,
                    from: SlotSource::Inferred,
                });
                inference = Some(reason(&object.spec, &one));
            }
            Conclusion::Open(open) => return Err(Failure::OpenTailCalls(choices(&object.spec, name, &open))),
        }
    }
    let plan = plan::plan(&object, machine, &options).map_err(|error| load_failure(name, error))?;
    let given = Given { log: LogPolicy::Whole, ..Given::default() };
    let loaded = load::execute(&plan, kernel, given).map_err(|error| Failure::object(name, error))?;
    Ok(Loaded { spec: object.spec, object: loaded, entry, inference })
}

fn load_failure(name: &str, error: plan::PlanError) -> Failure {
    Failure::object(name, LoadError::from(error))
}

/// Whether a program can be attached to an interface, or tail-called from one that is.
fn is_interface_program(load: &LoadProgram) -> bool {
    // Attach type 0 is what kernels that know none are told.
    load.ty == ProgType::XDP && matches!(load.attach, AttachType::XDP | AttachType(0))
}

/// The given entry program, or the first XDP program that no section name puts into a jump table.
fn choose_entry(plan: &LoadPlan<'_>, name: &str, given: Option<ProgId>) -> Result<ProgId, Failure> {
    // A program that could not be planned is reported for what it is when the plan is carried out.
    if let Some((_, error)) = plan.refused.first() {
        return Err(load_failure(name, error.clone()));
    }
    let in_slot = |id: ProgId| plan.fills().any(|fill| fill.value == SlotValue::Program(id));
    let xdp: Vec<ProgId> =
        plan.programs().filter(|load| is_interface_program(load)).map(|load| load.program).collect();
    let candidate = || xdp.iter().copied().find(|id| !in_slot(*id)).or_else(|| xdp.first().copied());
    match given {
        Some(id) if xdp.contains(&id) => Ok(id),
        Some(_) => Err(no_entry(plan, name, "the program of --prog is none")),
        None => candidate().ok_or_else(|| no_entry(plan, name, "no program is one")),
    }
}

fn no_entry(plan: &LoadPlan<'_>, name: &str, why: &str) -> Failure {
    let spec = &plan.object.spec;
    let describe = |load: &LoadProgram| {
        let program = spec.program(load.program).map_or("?", |p| &p.name);
        format!("{program} is {} for {}", load.ty, load.attach)
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
