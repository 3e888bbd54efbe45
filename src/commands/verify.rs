//! Loads every map and program of object files, reports on each, leaves nothing behind.

use std::borrow::Cow;
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};

use rxdp_loader::link::{LinkedObject, LinkedProgram};
use rxdp_loader::load::{self, Ask, Given, LoadError, LogPolicy, MapReport, ProgramReport, Report};
use rxdp_loader::plan::{self, LoadProgram, MixedTables, Options, Select};
use rxdp_loader::spec::ProgId;
use rxdp_loader::sys::{Linux, host};
use rxdp_loader::trace::hex;
use serde::Serialize;

use crate::args::Verify;
use crate::error::{Exit, Failure, exit_of};
use crate::refusal::{FaultRow, RefusalRow};
use crate::{job, report, select};

/// An object, as scripts see it.
#[derive(Debug, Default, Serialize)]
struct ObjectRow {
    object: String,
    ok: bool,
    error: Option<String>,
    maps: Vec<MapRow>,
    programs: Vec<ProgramRow>,
    /// What the kernel refused and went without.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MapRow {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    ok: bool,
    error: Option<String>,
    id: Option<u32>,
    /// The attribute that its type does not take, if one is known.
    fault: Option<FaultRow>,
}

#[derive(Debug, Serialize)]
struct ProgramRow {
    name: String,
    section: String,
    #[serde(rename = "type")]
    ty: Option<String>,
    expected_attach_type: Option<u32>,
    ok: bool,
    error: Option<String>,
    errno: Option<i32>,
    tag: Option<String>,
    id: Option<u32>,
    insn_count: Option<usize>,
    verified_insns: Option<u32>,
    load_us: Option<u128>,
    insns: Option<String>,
    map_refs: Option<Vec<(u32, String)>>,
    log: Option<String>,
    /// Why the verifier refused it.
    refusal: Option<RefusalRow>,
}

/// Checks one object after another; fails with the first failure's code once all are done.
pub(crate) fn run(args: &Verify) -> Result<(), Failure> {
    let mut first = None;
    let paths: Vec<&Path> = args.objects.iter().map(PathBuf::as_path).collect();
    let at_once = if args.link { paths.len() } else { 1 };
    for files in paths.chunks(at_once) {
        let object = job::title(files);
        let mut out = Vec::new();
        let last = paths.ends_with(files);
        let exit = match check(files, &object, args, last, &mut out) {
            Ok(exit) => exit,
            Err(failure) => {
                failed(&mut out, &object, &failure, args).map_err(Failure::Output)?;
                Some(failure.exit())
            }
        };
        io::stdout().lock().write_all(&out).map_err(Failure::Output)?;
        first = first.or(exit.map(|exit| (object, exit)));
    }
    match first {
        Some((object, exit)) => Err(Failure::Verify(object, exit)),
        None => Ok(()),
    }
}

fn failed(out: &mut impl Write, object: &str, failure: &Failure, args: &Verify) -> io::Result<()> {
    let words = failure.to_string();
    // The object is named already.
    let error = words.strip_prefix(&format!("{object}: ")).unwrap_or(&words);
    if !args.json {
        return writeln!(out, "{object}: {error}");
    }
    let (object, error) = (object.to_string(), Some(error.to_string()));
    report::json(out, &ObjectRow { object, error, ..ObjectRow::default() })
}

fn check(
    files: &[&Path],
    name: &str,
    args: &Verify,
    last: bool,
    out: &mut impl Write,
) -> Result<Option<Exit>, Failure> {
    let machine = host::machine();
    let job::Read { object, targets, .. } = job::read(&Linux, files, &args.reading, &machine)?;
    let only = args.prog.as_ref().map(|given| select::program(&object.spec, name, given)).transpose()?;
    let options = Options {
        select: only.map_or(Select::All, Select::One),
        types: select::types(&object.spec, name, &args.reading.types)?,
        default_type: select::default_type(&args.reading.types)?,
        try_types: true,
        size_maps: true,
        make_inner: true,
        license: args.reading.license.clone(),
        mixed_tables: MixedTables::Copy,
        ..Options::default()
    };
    let machine = load::machine_for(&Linux, &object, &machine, &options);
    let plan = plan::plan(&object, &machine, &options);
    let plan = plan.map_err(|error| Failure::object(name, LoadError::from(error)))?;
    let log = if args.log { LogPolicy::Whole } else { LogPolicy::End };
    // Ids and tags are for scripts only.
    let ask = if args.json { Ask::Everything } else { Ask::Nothing };
    let given = Given { targets: targets.programs, log, jobs: args.reading.jobs, ..Given::default() };
    let report = load::verify(&plan, &Linux, given, ask);
    let written = match args.json {
        true => report::json(out, &row(name, &object, &report, args)),
        false => show(out, name, &report, args),
    };
    written.map_err(Failure::Output)?;
    let exit = report.first_error().map(exit_of);
    if last {
        // The process ends, and all memory and descriptors with it; giving back each of them before would be a tenth of the
        // work.
        mem::forget(report);
        mem::forget(plan);
        mem::forget(object);
    }
    Ok(exit)
}

fn row(name: &str, object: &LinkedObject, report: &Report<'_>, args: &Verify) -> ObjectRow {
    ObjectRow {
        object: name.to_string(),
        ok: report.first_error().is_none(),
        error: report.slots.first().map(ToString::to_string),
        maps: report.maps.iter().map(map_row).collect(),
        programs: report.programs.iter().map(|program| program_row(object, program, args)).collect(),
        notes: report.notes.iter().map(ToString::to_string).collect(),
    }
}

fn map_row(map: &MapReport<'_>) -> MapRow {
    let create = map.create;
    MapRow {
        name: create.name.to_string(),
        ty: create.ty.to_string(),
        key_size: create.key_size,
        value_size: create.value_size,
        max_entries: create.max_entries,
        flags: create.flags.bits(),
        ok: map.result.is_ok(),
        error: map.error().map(ToString::to_string),
        id: map.result.as_ref().ok().and_then(Option::as_ref).map(|info| info.id),
        fault: map.error().and_then(LoadError::fault).map(FaultRow::of),
    }
}

fn program_row(object: &LinkedObject, program: &ProgramReport, args: &Verify) -> ProgramRow {
    let ProgramReport { id, load, result, took } = program;
    let linked = object.program(*id);
    let (name, section) = words(object, *id);
    let info = result.as_ref().ok().and_then(Option::as_ref);
    let error = result.as_ref().err();
    ProgramRow {
        name,
        section,
        ty: load.as_ref().map(|load| load.ty.to_string()),
        expected_attach_type: load.as_ref().map(|load| load.attach.0),
        ok: result.is_ok(),
        error: error.map(ToString::to_string),
        errno: error.and_then(LoadError::errno).map(|errno| errno.0),
        tag: info.map(|info| hex(&info.tag)),
        id: info.map(|info| info.id),
        insn_count: linked.map(|linked| linked.insns.len()),
        verified_insns: info.map(|info| info.verified_insns),
        load_us: load.as_ref().map(|_| took.as_micros()),
        insns: linked.filter(|_| args.insns).map(|linked| code(linked, load.as_ref())),
        map_refs: linked.filter(|_| args.insns).map(|linked| map_refs(object, linked)),
        log: error.filter(|_| args.log).and_then(LoadError::log).map(|log| log.text.clone()),
        refusal: error.and_then(LoadError::refusal).map(RefusalRow::of),
    }
}

fn words(object: &LinkedObject, id: ProgId) -> (String, String) {
    object.spec.program(id).map(|p| (p.name.clone(), p.section.clone())).unwrap_or_default()
}

/// The program as it is sent, but for descriptors: those of maps are zero.
fn code(linked: &LinkedProgram, load: Option<&LoadProgram>) -> String {
    let code = load.map_or(Cow::Borrowed(linked.insns.as_slice()), |load| load.code(linked));
    let bytes: Vec<u8> = code.iter().flat_map(|insn| insn.to_native()).collect();
    hex(&bytes)
}

fn map_refs(object: &LinkedObject, linked: &LinkedProgram) -> Vec<(u32, String)> {
    linked.map_refs.iter().map(|(at, map)| (at.0, object.spec.map_name(*map).to_string())).collect()
}

/// For people. Most objects load, and then nothing is said about each of their maps and programs.
fn show(out: &mut impl Write, object: &str, report: &Report<'_>, args: &Verify) -> io::Result<()> {
    let verdict = if report.first_error().is_none() { "ok" } else { "failed" };
    let maps = report.maps.iter().map(MapReport::error);
    let programs = report.programs.iter().map(|program| program.result.as_ref().err());
    let maps_ok = maps.clone().filter(Option::is_none).count();
    let programs_ok = programs.clone().filter(Option::is_none).count();
    let (all_maps, all_programs) = (report.maps.len(), report.programs.len());
    writeln!(
        out,
        "{object}: {verdict}, {maps_ok} of {all_maps} maps, {programs_ok} of {all_programs} programs"
    )?;
    for error in maps.flatten().chain(programs.clone().flatten()).chain(report.slots.first()) {
        writeln!(out, "  {error}")?;
        if let Some(refusal) = error.refusal() {
            report::refusal(out, refusal, "    ")?;
        }
    }
    for note in &report.notes {
        writeln!(out, "  note: {note}")?;
    }
    for log in programs.flatten().filter(|_| args.log).filter_map(LoadError::log) {
        log.text.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
    }
    Ok(())
}
