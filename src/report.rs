//! What people and programs are shown: tables of what is loaded, and the JSON that scripts rely on.

use std::io::{self, Write};
use std::os::fd::AsRawFd;

use comfy_table::{Table, presets};
use rxdp_loader::load::{LoadError, LoadedMap, LoadedObject, LoadedProgram};
use rxdp_loader::plan::SlotSource;
use rxdp_loader::spec::MapSpec;
use rxdp_loader::sys::Kernel;
use rxdp_loader::verifier::Refusal;
use serde::Serialize;

use crate::dispatch::DispatcherRow;
use crate::error::Failure;
use crate::job::Loaded;
use crate::upgrade::Carried;

/// The line that says that the program is attached.
#[derive(Debug, Serialize)]
pub(crate) struct Attached {
    event: &'static str,
    pub(crate) object: String,
    pub(crate) interface: String,
    pub(crate) ifindex: u32,
    pub(crate) mode: String,
    pub(crate) program: NamedId,
    map_fd: Vec<MapFd>,
    prog_fd: Vec<ProgFd>,
    tail_calls: Vec<TailCall>,
    /// The dispatcher that calls the program, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dispatcher: Option<DispatcherRow>,
    /// Pins that were made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pins: Vec<String>,
    /// What was tried before and failed, and what it came to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fallback: Vec<String>,
    /// What the kernel refused and went without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// The line that says that it is no longer.
#[derive(Debug, Serialize)]
pub(crate) struct DetachedEvent<'a> {
    pub(crate) event: &'static str,
    pub(crate) interface: &'a str,
    pub(crate) reason: &'a str,
    /// What somebody else did with our program before; then the interface was left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left_alone: Option<&'static str>,
}

/// A line of trace output.
#[derive(Debug, Serialize)]
pub(crate) struct TraceEvent<'a> {
    pub(crate) event: &'static str,
    pub(crate) seconds: &'a Option<String>,
    pub(crate) cpu: &'a Option<u32>,
    pub(crate) message: &'a str,
}

/// A program by name and id.
#[derive(Debug, Serialize)]
pub(crate) struct NamedId {
    pub(crate) name: String,
    pub(crate) id: u32,
}

#[derive(Debug, Serialize)]
struct MapFd {
    index: usize,
    name: String,
    fd: i32,
    id: u32,
    /// What became of it, if a version before had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade: Option<Carried>,
    #[serde(skip)]
    what: String,
}

#[derive(Debug, Serialize)]
struct ProgFd {
    index: usize,
    name: String,
    section: String,
    fd: i32,
    id: u32,
    #[serde(skip)]
    what: String,
}

#[derive(Debug, Serialize)]
struct TailCall {
    map: String,
    key: u32,
    program: String,
    id: Option<u32>,
    from: String,
}

/// Everything about a load that is worth showing.
pub(crate) fn attached(
    kernel: &impl Kernel,
    object: &str,
    interface: (&str, u32),
    mode: String,
    loaded: &Loaded,
) -> Result<Attached, Failure> {
    let failed = |error: LoadError| Failure::object(object, error);
    let LoadedObject { maps, programs, slots, pins, notes } = &loaded.object;
    let map_fd = maps.iter().map(|map| map_row(kernel, map, loaded));
    let map_fd = map_fd.collect::<Result<_, _>>().map_err(failed)?;
    let prog_fd = programs.iter().map(|program| prog_row(kernel, program));
    let prog_fd: Vec<ProgFd> = prog_fd.collect::<Result<_, _>>().map_err(failed)?;
    let pins = pins.iter().filter(|pin| !pin.is_dir).map(|pin| pin.path.display().to_string());
    let entry = prog_fd.iter().find(|row| row.index == loaded.entry.index());
    let program = entry.map(|row| NamedId { name: row.name.clone(), id: row.id });
    let tail_calls = slots.iter().map(|slot| TailCall {
        map: slot.map.clone(),
        key: slot.fill.key,
        program: slot.value.clone(),
        id: slot.id,
        from: slot.fill.from.to_string(),
    });
    Ok(Attached {
        event: "attached",
        object: object.to_string(),
        interface: interface.0.to_string(),
        ifindex: interface.1,
        mode,
        program: program.unwrap_or(NamedId { name: "?".to_string(), id: 0 }),
        map_fd,
        prog_fd,
        tail_calls: tail_calls.collect(),
        dispatcher: None,
        pins: pins.collect(),
        fallback: Vec::new(),
        notes: notes.iter().map(ToString::to_string).collect(),
    })
}

fn map_row(kernel: &impl Kernel, map: &LoadedMap, loaded: &Loaded) -> Result<MapFd, LoadError> {
    let id = map.info(kernel)?.id;
    let (index, name) = (map.id.index(), map.name.clone());
    Ok(MapFd {
        index,
        name,
        fd: map.fd.as_raw_fd(),
        id,
        upgrade: loaded.carried.get(&map.id).copied(),
        what: loaded.spec.map(map.id).map(definition).unwrap_or_default(),
    })
}

fn prog_row(kernel: &impl Kernel, program: &LoadedProgram) -> Result<ProgFd, LoadError> {
    let id = program.info(kernel)?.id;
    let (index, name, section) = (program.id.index(), program.name.clone(), program.section.clone());
    Ok(ProgFd { index, name, section, fd: program.fd.as_raw_fd(), id, what: program.ty.to_string() })
}

fn definition(map: &MapSpec) -> String {
    format!("{}, key {}, value {}, {} entries", map.ty, map.key_size, map.value_size, map.max_entries)
}

/// The report as a person reads it.
pub(crate) fn show(
    out: &mut impl Write,
    report: &Attached,
    loaded: &Loaded,
    verbose: bool,
) -> io::Result<()> {
    let mut table = plain_table();
    for map in &report.map_fd {
        let what = if verbose { map.what.as_str() } else { map.what.split(',').next().unwrap_or_default() };
        table.add_row([
            format!("map_fd[{}]", map.index),
            format!("fd {}", map.fd),
            format!("id {}", map.id),
            map.name.clone(),
            what.to_string(),
        ]);
    }
    for program in &report.prog_fd {
        table.add_row([
            format!("prog_fd[{}]", program.index),
            format!("fd {}", program.fd),
            format!("id {}", program.id),
            program.name.clone(),
            format!("{}, SEC(\"{}\")", program.what, program.section),
        ]);
    }
    write_table(out, &table)?;
    for map in &loaded.object.maps {
        match &map.shared {
            Some(pin) if pin.reused => writeln!(out, "{} is the map pinned at {}", map.name, pin.path)?,
            Some(pin) => writeln!(out, "{} is new, and pinned at {}", map.name, pin.path)?,
            None => {}
        }
    }
    for map in &loaded.object.maps {
        if let Some(carried) = loaded.carried.get(&map.id) {
            writeln!(out, "{} {}", map.name, carried.words())?;
        }
    }
    slots(out, loaded)?;
    if verbose {
        report.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    }
    let NamedId { name, id } = &report.program;
    report.fallback.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    writeln!(out, "{name} (id {id}) is attached to {} in {} mode", report.interface, report.mode)
}

/// The slots of jump tables, a line each, and why they were filled.
pub(crate) fn slots(out: &mut impl Write, loaded: &Loaded) -> io::Result<()> {
    for slot in &loaded.object.slots {
        let why = match (slot.fill.from, &loaded.inference) {
            (SlotSource::Inferred, Some(reason)) => format!("inferred: {reason}"),
            (SlotSource::Inferred | SlotSource::Given, _) => "as asked".to_string(),
            (SlotSource::Values, _) => "as the map's definition says".to_string(),
            (SlotSource::Section, _) => "as its section says".to_string(),
        };
        let id = slot.id.map(|id| format!(" (id {id})")).unwrap_or_default();
        writeln!(out, "{}[{}] = {}{id}, {why}", slot.map, slot.fill.key, slot.value)?;
    }
    Ok(())
}

/// Why the verifier refused a program, each line behind `indent`.
pub(crate) fn refusal(out: &mut impl Write, refusal: &Refusal, indent: &str) -> io::Result<()> {
    refusal.to_string().lines().try_for_each(|line| writeln!(out, "{indent}{line}"))
}

/// A table without lines.
pub(crate) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

/// Writes a table without blanks at the ends of its lines.
pub(crate) fn write_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim()))
}

/// One line of JSON.
pub(crate) fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let line = serde_json::to_string(value).map_err(io::Error::from)?;
    writeln!(out, "{line}")
}
