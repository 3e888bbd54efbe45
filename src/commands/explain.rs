//! Shows every step from an object's bytes to the kernel's calls, and why. Runs the stages and hands their values on: what
//! they mean is `rxdp-explain`'s business.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Write};

use rxdp_explain::join::Joining;
use rxdp_explain::model::{Explanation, Part, Problem};
use rxdp_explain::{Entry, Stages, html, kernel, text};
use rxdp_loader::elf::{self, ElfObject};
use rxdp_loader::features::Machine;
use rxdp_loader::join::{self, JoinError, Joined};
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::load::{self, Ask, CodeTypes, Given};
use rxdp_loader::plan::{LoadPlan, MixedTables, Step};
use rxdp_loader::spec::{self, Dialects, ObjectSpec, Pinning, ProgId, SpecError};
use rxdp_loader::sys::{DryRun, Linux, Recorder, host};
use rxdp_loader::trace::{Call, Transcript};
use rxdp_netlink::message::{Request, SetXdp};
use rxdp_netlink::{Names, XdpMode};
use rxdp_sandbox::Sandbox;

use crate::args::{Explain, Format};
use crate::error::{Exit, Failure, exit_of};
use crate::job::{self, Planned, Wishes};
use crate::{live, select, target};

/// What the main job says of tail calls that may lead anywhere.
const STOPS: &str = "what the main job does, for it stops before it attaches anything: nobody says which programs the tail \
                     calls lead to (--tail-call TABLE:KEY=PROGRAM). What follows is done with --no-infer";

/// What the main job says of an object that it does not attach.
const REFUSES: &str = "what the main job does, for it refuses this object. What follows is what `verify` asks of the kernel. Why: ";

/// What stands for the interface that nobody named.
const INTERFACE: &str = "IFACE";

pub(crate) fn run(args: &Explain) -> Result<(), Failure> {
    if args.live {
        // Who may not make one gets a refusal for every call: better to say at once what is missing.
        drop(Sandbox::new()?);
    }
    let paths = args.choices.with(&args.object);
    let mut files = Vec::new();
    for path in &paths {
        let name = path.display().to_string();
        let bytes = rxdp_loader::read_file(path).map_err(|error| Failure::object(&name, error))?;
        files.push((name, bytes));
    }
    let title = job::title(&paths);
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), &**bytes)).collect();
    let (explanation, refused) = match files.as_slice() {
        [(_, bytes)] => one_file(args, &title, bytes),
        files => several(args, &title, files),
    }?;
    write(args, &explanation)?;
    match refused {
        Some(exit) => Err(Failure::Verify(title, exit)),
        None => Ok(()),
    }
}

/// The explanation, and how the kernel's refusal counts, if it was asked and refused something.
type Explained = Result<(Explanation, Option<Exit>), Failure>;

fn one_file(args: &Explain, title: &str, bytes: &[u8]) -> Explained {
    let elf = elf::parse(bytes).map_err(|error| Failure::object(title, SpecError::from(error)))?;
    let (types, given) = code_types(args)?;
    let file = File { args, title, bytes, elf: &elf, joining: None, machine: host::machine(), types };
    let spec = spec::collect(&elf, &rxdp_loader::object_name(&args.object), dialects(args));
    file.explained(spec.map_err(|error| error.to_string()), given.as_deref())
}

/// Files that are joined: what does not fit together is no object, and cannot be explained.
fn several(args: &Explain, title: &str, files: &[(&str, &[u8])]) -> Explained {
    let failed = |error: JoinError| Failure::object(title, error);
    let parsed = join::parse(files).map_err(failed)?;
    let Joined { elf, types: joined_types, parts, names } = join::join(&parsed).map_err(failed)?;
    let sizes: Vec<u64> =
        files.iter().map(|(_, bytes)| u64::try_from(bytes.len()).unwrap_or(u64::MAX)).collect();
    let joined = joined_types.btf.as_ref().map_or(0, |btf| btf.types.len().saturating_sub(1));
    let joining = Joining {
        files: &parsed,
        sizes: &sizes,
        parts: &parts,
        names: &names,
        types: u32::try_from(joined).unwrap_or(u32::MAX),
    };
    let (types, given) = code_types(args)?;
    let machine = host::machine();
    let file = File { args, title, bytes: &[], elf: &elf, joining: Some(joining), machine, types };
    let name = rxdp_loader::object_name(&args.object);
    let spec = spec::collect_with(&elf, joined_types, &name, dialects(args));
    file.explained(spec.map_err(|error| error.to_string()), given.as_deref())
}

fn dialects(args: &Explain) -> Dialects {
    let reading = &args.choices.reading;
    Dialects { section: reading.section_dialect.into(), map: reading.map_dialect.map(Into::into) }
}

fn write(args: &Explain, explanation: &Explanation) -> Result<(), Failure> {
    let colors = args.output.is_none() && io::stdout().is_terminal();
    let shown = match args.format {
        Format::Text => text::text(explanation, &text::Style { parts: args.sections.clone(), colors }),
        Format::Json => serde_json::to_string(explanation).map_err(|e| Failure::Output(e.into()))? + "\n",
        Format::Html => html::html(explanation),
    };
    match &args.output {
        None => io::stdout().lock().write_all(shown.as_bytes()).map_err(Failure::Output),
        Some(path) => {
            fs::write(path, shown).map_err(|source| Failure::Explanation { path: path.clone(), source })
        }
    }
}

/// What is to be explained, before anybody looked at what it means.
struct File<'a> {
    args: &'a Explain,
    title: &'a str,
    bytes: &'a [u8],
    elf: &'a ElfObject<'a>,
    /// How several files became this, if there were several.
    joining: Option<Joining<'a>>,
    machine: Machine,
    /// Where the types are from that code is fitted to.
    types: String,
}

impl File<'_> {
    fn explained(&self, spec: Result<ObjectSpec, String>, given: Option<&[u8]>) -> Explained {
        match spec {
            Ok(spec) => self.understood(spec, given),
            Err(why) => Ok((self.explain(None, None, false, all_parts(&why)), None)),
        }
    }

    fn understood(&self, spec: ObjectSpec, given: Option<&[u8]>) -> Explained {
        let Self { args, title, machine, .. } = self;
        let mut problems = Vec::new();
        let read = link(args, title, spec, machine, given, &mut problems)?;
        let wishes = job::wishes(&read, title, &args.choices)?;
        let job::Read { object, targets, .. } = read;
        // Probing asks the kernel, which only --live may.
        let probed = args.live.then(|| load::machine_for(&Linux, &object, machine, &wishes.options));
        let (given, wishes_entry) = (wishes.entry.is_some(), wishes.entry);
        let planned = planned(&object, wishes, &probed.unwrap_or(*machine), &mut problems);
        if let Some(planned) = &planned {
            let why = match planned.stopped_by() {
                Some(_) => Some(STOPS.to_string()),
                None => {
                    job::refusal(planned, title, wishes_entry).map(|failure| format!("{REFUSES}{failure}"))
                }
            };
            problems.extend(why.map(|why| Problem { part: Part::Plan, why }));
            problems.extend(pins(&object, &planned.plan));
        }
        let mut explanation = self.explain(Some(&object), planned.as_ref(), given, problems);
        let Some(planned) = planned.filter(|_| args.live) else {
            return Ok((explanation, None));
        };
        let (answers, error) = live::ask(&planned.plan, targets, planned.entry);
        explanation.kernel = Some(kernel::explain(&answers, &object, &planned.plan));
        Ok((explanation, error.as_ref().map(exit_of)))
    }

    fn explain(
        &self,
        linked: Option<&LinkedObject>,
        planned: Option<&Planned<'_>>,
        given: bool,
        problems: Vec<Problem>,
    ) -> Explanation {
        let plan = planned.map(|planned| &planned.plan);
        let entry = |planned: &Planned<'_>| {
            Some(Entry { program: planned.entry?, given, conclusion: planned.conclusion.clone() })
        };
        rxdp_explain::explain(&Stages {
            path: self.title,
            name: &rxdp_loader::object_name(&self.args.object),
            bytes: self.bytes,
            elf: self.elf,
            joining: self.joining,
            linked,
            plan,
            calls: &planned.map(|planned| calls(&planned.plan, planned.entry)).unwrap_or_default(),
            machine: &self.machine,
            types: &self.types,
            entry: planned.and_then(entry),
            problems,
        })
    }
}

/// Maps that ask to be pinned: what the main job does with them depends on what is there.
fn pins(object: &LinkedObject, plan: &LoadPlan<'_>) -> Option<Problem> {
    let pinned = object.spec.maps.iter().filter(|map| map.pinning != Pinning::None);
    let names: Vec<&str> = pinned.map(|map| &*map.name).collect();
    if names.is_empty() || plan.steps.iter().any(|step| matches!(step, Step::PinnedMap(_))) {
        return None;
    }
    let why = format!(
        "a part of what the main job does: {} asks to be pinned. It takes the map that is pinned already (BPF_OBJ_GET), and if \
         there is none it pins the one that it makes (BPF_OBJ_PIN); here one is made, and nothing is pinned",
        names.join(", ")
    );
    Some(Problem { part: Part::Plan, why })
}

/// Where the types are from that code is fitted to, and those of `--btf`.
fn code_types(args: &Explain) -> Result<(String, Option<Vec<u8>>), Failure> {
    match &args.choices.reading.btf {
        Some(path) => Ok((path.display().to_string(), Some(job::types(path)?))),
        None => Ok(("those of the running kernel, where the object asks for any".to_string(), None)),
    }
}

/// An object that cannot be understood has no other parts than its file.
fn all_parts(why: &str) -> Vec<Problem> {
    let parts = Part::ALL.into_iter().filter(|part| !matches!(part, Part::Join | Part::File | Part::Kernel));
    parts.map(|part| Problem { part, why: why.to_string() }).collect()
}

fn link(
    args: &Explain,
    title: &str,
    mut spec: ObjectSpec,
    machine: &Machine,
    given: Option<&[u8]>,
    problems: &mut Vec<Problem>,
) -> Result<job::Read, Failure> {
    let reading = &args.choices.reading;
    select::size_maps(&mut spec, title, &reading.maps)?;
    let targets = target::find(&Linux, &mut spec, title, &reading.targets)?;
    let code = given.map_or(CodeTypes::Running, CodeTypes::Given);
    let object = match load::link_for(spec.clone(), machine, code) {
        Ok(object) => object,
        Err(error) => {
            problems.push(Problem { part: Part::Relocations, why: error.to_string() });
            link::link(spec)
        }
    };
    Ok(job::Read { object, targets, maps: BTreeMap::new() })
}

/// Plans as the main job does, but goes on where that would stop.
fn planned<'o>(
    object: &'o LinkedObject,
    mut wishes: Wishes,
    machine: &Machine,
    problems: &mut Vec<Problem>,
) -> Option<Planned<'o>> {
    match job::planned(object, machine, wishes.clone()) {
        Ok(planned) => return Some(planned),
        Err(error) => problems.push(Problem { part: Part::Plan, why: error.to_string() }),
    }
    // A table for programs of two kinds: nobody can load that, but it can be shown as `verify` would try it.
    wishes.options.mixed_tables = MixedTables::Copy;
    job::planned(object, machine, wishes).ok()
}

/// The calls that a plan makes, asked of a kernel that says yes to everything; and those that attach the entry program.
fn calls(plan: &LoadPlan<'_>, entry: Option<ProgId>) -> Transcript {
    let kernel = Recorder::new(DryRun::new());
    if plan.refusal().is_none() {
        // A kernel that says yes to everything leaves nothing to fail.
        let _loaded = load::execute(plan, &kernel, Given::default());
    } else {
        load::verify(plan, &kernel, Given::default(), Ask::Nothing);
    }
    let mut calls = kernel.transcript().calls;
    let entry = entry.filter(|_| plan.refusal().is_none());
    if let Some(entry) = entry.and_then(|entry| plan.object.spec.program(entry)) {
        let names = Nobody { program: &entry.name };
        let call = |request: Request| Call { request: request.line(&names), reply: "ok".to_string() };
        calls.insert(0, call(Request::LinkByName(INTERFACE.to_string())));
        calls.push(call(Request::SetXdp(SetXdp::attach(0, 0, XdpMode::Auto))));
        calls.push(call(Request::LinkByIndex(0)));
    }
    Transcript { calls }
}

/// Names for an interface and a program that are not there yet.
struct Nobody<'a> {
    program: &'a str,
}

impl Names for Nobody<'_> {
    fn interface(&self, _ifindex: u32) -> String {
        INTERFACE.to_string()
    }

    fn program(&self, _fd: std::os::fd::RawFd) -> String {
        self.program.to_string()
    }
}
