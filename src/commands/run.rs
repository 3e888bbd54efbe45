//! Runs a program on packets, without an interface: verdict, time, what it printed and did to each packet, and what another
//! version of it makes of them.

use std::io::{self, Write};
use std::path::Path;

use rxdp_loader::load::{Input, LoadedProgram};
use rxdp_loader::sys::{Linux, host};
use rxdp_loader::trace::hex;
use rxdp_loader::uapi::ProgType;
use serde::Serialize;

use crate::args::Run;
use crate::error::Failure;
use crate::job::{self, Loaded, Purpose};
use crate::packets::{self, Packet};
use crate::runs::{self, Line, Ran, Runner, verdict};
use crate::{hexdump, report};

/// Types that run on a context alone, and refuse a packet. Source: `.test_run` of `struct bpf_prog_ops`.
const WITHOUT_PACKET: &[ProgType] = &[
    ProgType::RAW_TRACEPOINT,
    ProgType::RAW_TRACEPOINT_WRITABLE,
    ProgType::TRACING,
    ProgType::STRUCT_OPS,
    ProgType::SK_LOOKUP,
    ProgType::SYSCALL,
];

/// A run, as scripts see it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    object: &'a str,
    program: &'a str,
    section: &'a str,
    #[serde(rename = "type")]
    ty: String,
    /// Which packet, from 1; null for a program that takes none.
    packet: Option<usize>,
    source: Option<&'a str>,
    /// Null where the kernel did not run it.
    verdict: Option<String>,
    retval: Option<u32>,
    repeat: u32,
    duration_ns: Option<u32>,
    before: Option<String>,
    after: Option<String>,
    changed: Vec<usize>,
    /// What the program printed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    printed: Vec<String>,
    /// Why the kernel did not run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// With `--compare`: what the old version made of the packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Old>,
    /// With `--compare`: `verdict`, `bytes`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<Vec<&'static str>>,
}

/// What the old version made of a packet.
#[derive(Debug, Serialize)]
struct Old {
    verdict: Option<String>,
    retval: Option<u32>,
    duration_ns: Option<u32>,
    after: Option<String>,
    error: Option<String>,
}

/// Loads the object as the main job does, and runs its entry program on one packet after another.
pub(crate) fn run(args: &Run) -> Result<(), Failure> {
    let name = job::title(&args.choices.with(&args.object));
    let packets = given_packets(args)?;
    let loaded = load(args, &args.object)?;
    let program = entry(&loaded, &name)?;
    if !args.json {
        introduce(&loaded, program).map_err(Failure::Output)?;
    }
    if WITHOUT_PACKET.contains(&program.ty) {
        return run_once(&name, program, args);
    }
    let old = old_version(args)?;
    let new_runner = Runner::new(program, &loaded.spec, args.repeat);
    warn(&new_runner)?;
    let old_runner = match &old {
        Some((name, loaded)) => Some((name, Runner::unheard(entry(loaded, name)?, args.repeat))),
        None => None,
    };
    let mut lines = Vec::new();
    for packet in &packets {
        let old = match &old_runner {
            Some((name, runner)) => Some(runner.run(packet).map_err(|error| Failure::object(name, error))?),
            None => None,
        };
        // What the old version printed is not the new one's.
        new_runner.printed();
        let new = new_runner.run(packet).map_err(|error| Failure::object(&name, error))?;
        lines.push(Line { packet, new, old });
    }
    show(&name, program, &lines, args).map_err(Failure::Output)?;
    old.map_or(Ok(()), |(old, _)| conclude(&lines, old, name, args.json))
}

/// What the comparison came to.
fn conclude(lines: &[Line<'_>], old: String, new: String, json: bool) -> Result<(), Failure> {
    let (all, differ) = (lines.len(), lines.iter().filter(|line| !line.differs().is_empty()).count());
    match (differ, json) {
        (0, true) => Ok(()),
        (0, false) => {
            writeln!(io::stdout(), "{old} and {new} do the same to {}", counted(all)).map_err(Failure::Output)
        }
        _ => Err(Failure::Differ { differ, all, old, new }),
    }
}

/// The version to compare with, loaded.
fn old_version(args: &Run) -> Result<Option<(String, Loaded)>, Failure> {
    let Some(path) = args.compare.as_deref() else {
        return Ok(None);
    };
    Ok(Some((job::title(&args.choices.with(path)), load(args, path)?)))
}

fn counted(packets: usize) -> String {
    if packets == 1 { "the packet".to_string() } else { format!("all {packets} packets") }
}

fn load(args: &Run, object: &Path) -> Result<Loaded, Failure> {
    let objects = args.choices.with(object);
    let (name, machine) = (job::title(&objects), host::machine());
    let read = job::read(&Linux, &objects, &args.choices.reading, &machine)?;
    let mut wishes = job::wishes(&read, &name, &args.choices)?;
    wishes.purpose = Purpose::Run;
    job::load(&Linux, read, &name, &machine, wishes)
}

fn entry<'l>(loaded: &'l Loaded, name: &str) -> Result<&'l LoadedProgram, Failure> {
    let nothing = || Failure::NothingToRun { object: name.to_string() };
    loaded.object.program_by_id(loaded.entry).ok_or_else(nothing)
}

fn given_packets(args: &Run) -> Result<Vec<Packet>, Failure> {
    if args.packet.is_empty() {
        return Ok(vec![packets::built_in()]);
    }
    let given: Result<Vec<_>, _> = args.packet.iter().map(|given| packets::read(given)).collect();
    Ok(given?.into_iter().flatten().collect())
}

fn introduce(loaded: &Loaded, program: &LoadedProgram) -> io::Result<()> {
    let mut out = io::stdout().lock();
    report::slots(&mut out, loaded)?;
    writeln!(out, "{}, {}, SEC(\"{}\")", program.name, program.ty, program.section)
}

/// What a program prints is nothing without which it cannot be run.
fn warn(runner: &Runner<'_>) -> Result<(), Failure> {
    let Some(error) = &runner.deaf else {
        return Ok(());
    };
    let warned = writeln!(io::stderr(), "rxdp-load: what the program prints is not shown: {error}");
    warned.map_err(Failure::Output)
}

fn show(object: &str, program: &LoadedProgram, lines: &[Line<'_>], args: &Run) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        let rows = lines.iter().zip(1..);
        return rows.into_iter().try_for_each(|(line, number)| {
            report::json(&mut out, &packet_row(object, program, line, number, args.repeat))
        });
    }
    if let [line] = lines {
        return runs::single(&mut out, line, args.repeat);
    }
    runs::table(&mut out, lines)?;
    runs::details(&mut out, lines)
}

fn packet_row<'a>(
    object: &'a str,
    program: &'a LoadedProgram,
    line: &'a Line<'_>,
    number: usize,
    repeat: u32,
) -> Row<'a> {
    let (packet, ran) = (line.packet, line.new.ran());
    let after = ran.map(|ran| ran.after.as_slice());
    Row {
        packet: Some(number),
        source: Some(&packet.source),
        verdict: ran.map(|ran| ran.verdict.clone()),
        retval: ran.map(|ran| ran.retval),
        duration_ns: ran.map(|ran| ran.duration),
        before: Some(hex(&packet.bytes)),
        after: after.map(hex),
        changed: after.map(|after| hexdump::changed(&packet.bytes, after)).unwrap_or_default(),
        printed: ran.map(|ran| ran.printed.clone()).unwrap_or_default(),
        error: line.new.refusal().map(ToString::to_string),
        differs: line.old.as_ref().map(|_| line.differs()),
        old: line.old.as_ref().map(|old| {
            let ran = old.ran();
            Old {
                verdict: ran.map(|ran| ran.verdict.clone()),
                retval: ran.map(|ran| ran.retval),
                duration_ns: ran.map(|ran| ran.duration),
                after: ran.map(|Ran { after, .. }| hex(after)),
                error: old.refusal().map(ToString::to_string),
            }
        }),
        ..row(object, program, repeat)
    }
}

/// Runs a program that takes no packet. It takes no repetition either, and the kernel does not stop the time.
fn run_once(object: &str, program: &LoadedProgram, args: &Run) -> Result<(), Failure> {
    let wrong = |option, given, what| {
        let why = format!("a program of type {} takes no {what}", program.ty);
        Err(Failure::Option { option, given, why })
    };
    if let Some(packet) = args.packet.first() {
        return wrong("--packet", packet.clone(), "packet");
    }
    if args.repeat > 1 {
        return wrong("--repeat", args.repeat.to_string(), "repetition");
    }
    if let Some(old) = &args.compare {
        return wrong("--compare", old.display().to_string(), "packet, so there is nothing to compare");
    }
    let reply =
        program.test_run(&Linux, &Input::default()).map_err(|error| Failure::object(object, error))?;
    let verdict = verdict(program.ty, reply.retval);
    let mut out = io::stdout().lock();
    let written = if args.json {
        let (verdict, retval) = (Some(verdict), Some(reply.retval));
        report::json(&mut out, &Row { verdict, retval, ..row(object, program, args.repeat) })
    } else {
        writeln!(out, "without a packet: {verdict}")
    };
    written.map_err(Failure::Output)
}

fn row<'a>(object: &'a str, program: &'a LoadedProgram, repeat: u32) -> Row<'a> {
    Row {
        object,
        program: &program.name,
        section: &program.section,
        ty: program.ty.to_string(),
        packet: None,
        source: None,
        verdict: None,
        retval: None,
        repeat,
        duration_ns: None,
        before: None,
        after: None,
        changed: Vec::new(),
        printed: Vec::new(),
        error: None,
        old: None,
        differs: None,
    }
}
