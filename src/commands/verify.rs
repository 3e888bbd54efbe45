//! Loads every map and program of object files, reports on each, leaves nothing behind.

use std::borrow::Cow;
use std::io::{self, Write};
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
}

/// Checks one object after another; fails with the first failure's code once all are done.
pub(crate) fn run(args: &Verify) -> Result<(), Failure> {
    let mut first = None;
    let paths: Vec<&Path> = args.objects.iter().map(PathBuf::as_path).collect();
    let at_once = if args.link { paths.len() } else { 1 };
    for files in paths.chunks(at_once) {
        let (row, exit) = match check(files, args) {
            Ok(checked) => checked,
            Err(failure) => (failed(files, &failure), Some(failure.exit())),
        };
        let mut out = io::stdout().lock();
        let written = if args.json { report::json(&mut out, &row) } else { show(&mut out, &row) };
        written.map_err(Failure::Output)?;
        first = first.or(exit.map(|exit| (row.object, exit)));
    }
    match first {
        Some((object, exit)) => Err(Failure::Verify(object, exit)),
        None => Ok(()),
    }
}

fn failed(files: &[&Path], failure: &Failure) -> ObjectRow {
    let object = job::title(files);
    let words = failure.to_string();
    // The row says which object already.
    let error = words.strip_prefix(&format!("{object}: ")).unwrap_or(&words).to_string();
    ObjectRow { object, error: Some(error), ..ObjectRow::default() }
}

fn check(files: &[&Path], args: &Verify) -> Result<(ObjectRow, Option<Exit>), Failure> {
    let name = job::title(files);
    let machine = host::machine();
    let object = job::read(files, &args.reading, &machine)?;
    let only = args.prog.as_ref().map(|given| select::program(&object.spec, &name, given)).transpose()?;
    let options = Options {
        select: only.map_or(Select::All, Select::One),
        types: select::types(&object.spec, &name, &args.reading.types)?,
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
    let plan = plan.map_err(|error| Failure::object(&name, LoadError::from(error)))?;
    let log = if args.log { LogPolicy::Whole } else { LogPolicy::End };
    // Ids and tags are for scripts only.
    let ask = if args.json { Ask::Everything } else { Ask::Nothing };
    let given = Given { log, jobs: args.reading.jobs, ..Given::default() };
    let report = load::verify(&plan, &Linux, given, ask);
    let exit = report.first_error().map(exit_of);
    Ok((row(name, &object, &report, args), exit))
}

fn row(name: String, object: &LinkedObject, report: &Report<'_>, args: &Verify) -> ObjectRow {
    ObjectRow {
        object: name,
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
        name: create.name.clone(),
        ty: create.ty.to_string(),
        key_size: create.key_size,
        value_size: create.value_size,
        max_entries: create.max_entries,
        flags: create.flags.bits(),
        ok: map.result.is_ok(),
        error: map.result.as_ref().err().map(ToString::to_string),
        id: map.result.as_ref().ok().and_then(Option::as_ref).map(|info| info.id),
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

fn show(out: &mut impl Write, row: &ObjectRow) -> io::Result<()> {
    let ObjectRow { object, ok, error, maps, programs, notes } = row;
    if let Some(error) = error.as_ref().filter(|_| maps.is_empty() && programs.is_empty()) {
        return writeln!(out, "{object}: {error}");
    }
    let loaded = |oks: usize, all: usize, what: &str| format!("{oks} of {all} {what}");
    let maps_ok = loaded(maps.iter().filter(|map| map.ok).count(), maps.len(), "maps");
    let programs_ok =
        loaded(programs.iter().filter(|program| program.ok).count(), programs.len(), "programs");
    writeln!(out, "{object}: {}, {maps_ok}, {programs_ok}", if *ok { "ok" } else { "failed" })?;
    let errors = maps.iter().filter_map(|map| map.error.as_ref());
    let errors = errors.chain(programs.iter().filter_map(|program| program.error.as_ref())).chain(error);
    for error in errors {
        writeln!(out, "  {error}")?;
    }
    for note in notes {
        writeln!(out, "  note: {note}")?;
    }
    for log in programs.iter().filter_map(|program| program.log.as_ref()) {
        log.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
    }
    Ok(())
}
