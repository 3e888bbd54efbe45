//! Runs a program on packets, without an interface: verdict, time, and what it did to each packet.

use std::io::{self, Write};

use rxdp_loader::load::{ETHERNET_HEADER, Input, LoadedProgram};
use rxdp_loader::sys::{Linux, host};
use rxdp_loader::trace::hex;
use rxdp_loader::uapi::{ProgType, XdpAction};
use serde::Serialize;

use crate::args::Run;
use crate::error::Failure;
use crate::job::{self, Loaded, Purpose};
use crate::packets::{self, Packet};
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

/// Types that see the Ethernet header. For others the kernel clears it. Source: `bpf_prog_test_run_skb`.
const WITH_HEADER: &[ProgType] = &[ProgType::XDP, ProgType::SCHED_CLS, ProgType::SCHED_ACT];

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
    verdict: String,
    retval: u32,
    repeat: u32,
    duration_ns: Option<u32>,
    before: Option<String>,
    after: Option<String>,
    changed: Vec<usize>,
}

/// Loads the object as the main job does, and runs its entry program on one packet after another.
pub(crate) fn run(args: &Run) -> Result<(), Failure> {
    let objects = args.choices.with(&args.object);
    let name = job::title(&objects);
    let packets = given_packets(args)?;
    let machine = host::machine();
    let read = job::read(&Linux, &objects, &args.choices.reading, &machine)?;
    let mut wishes = job::wishes(&read, &name, &args.choices)?;
    wishes.purpose = Purpose::Run;
    let loaded = job::load(&Linux, read, &name, &machine, wishes)?;
    let Some(program) = loaded.object.program_by_id(loaded.entry) else {
        return Err(Failure::NothingToRun { object: name });
    };
    if !args.json {
        introduce(&loaded, program).map_err(Failure::Output)?;
    }
    if WITHOUT_PACKET.contains(&program.ty) {
        return run_once(&name, program, args);
    }
    for (packet, number) in packets.iter().zip(1..) {
        run_on(&name, program, packet, (number, packets.len()), args)?;
    }
    Ok(())
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

fn run_on(
    object: &str,
    program: &LoadedProgram,
    packet: &Packet,
    (number, count): (usize, usize),
    args: &Run,
) -> Result<(), Failure> {
    let input = Input { repeat: args.repeat, ..Input::packet(&packet.bytes) };
    let reply = program.test_run(&Linux, &input).map_err(|error| Failure::object(object, error))?;
    let verdict = verdict(program.ty, reply.retval);
    let after = after(program.ty, &packet.bytes, &reply.data);
    let changed = hexdump::changed(&packet.bytes, &after);
    let mut out = io::stdout().lock();
    let written = if args.json {
        let row = Row {
            packet: Some(number),
            source: Some(&packet.source),
            duration_ns: Some(reply.duration),
            before: Some(hex(&packet.bytes)),
            after: Some(hex(&after)),
            changed,
            ..row(object, program, verdict, reply.retval, args.repeat)
        };
        report::json(&mut out, &row)
    } else {
        let change = describe_change(&packet.bytes, &after, changed.len());
        let time = describe_time(reply.duration, args.repeat);
        let packet_words = describe(packet, number, count);
        writeln!(out, "{packet_words}: {verdict}, {time}, {change}")
            .and_then(|()| hexdump::write(&mut out, &packet.bytes, &after))
    };
    written.map_err(Failure::Output)
}

/// The packet as the program left it: without what the kernel did to it so that it could be run.
fn after(ty: ProgType, before: &[u8], reply: &[u8]) -> Vec<u8> {
    if ty == ProgType::FLOW_DISSECTOR {
        // It only reads the packet; the kernel hands out what it read.
        return before.to_vec();
    }
    let Some((header, rest)) = reply.split_at_checked(ETHERNET_HEADER) else {
        return reply.to_vec();
    };
    if WITH_HEADER.contains(&ty) || header.iter().any(|byte| *byte != 0) {
        return reply.to_vec();
    }
    before.iter().take(ETHERNET_HEADER).chain(rest).copied().collect()
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
    let reply =
        program.test_run(&Linux, &Input::default()).map_err(|error| Failure::object(object, error))?;
    let verdict = verdict(program.ty, reply.retval);
    let mut out = io::stdout().lock();
    let written = if args.json {
        report::json(&mut out, &row(object, program, verdict, reply.retval, args.repeat))
    } else {
        writeln!(out, "without a packet: {verdict}")
    };
    written.map_err(Failure::Output)
}

fn row<'a>(
    object: &'a str,
    program: &'a LoadedProgram,
    verdict: String,
    retval: u32,
    repeat: u32,
) -> Row<'a> {
    Row {
        object,
        program: &program.name,
        section: &program.section,
        ty: program.ty.to_string(),
        packet: None,
        source: None,
        verdict,
        retval,
        repeat,
        duration_ns: None,
        before: None,
        after: None,
        changed: Vec::new(),
    }
}

/// What a program returned, by name where the number has one.
fn verdict(ty: ProgType, retval: u32) -> String {
    if ty == ProgType::XDP { XdpAction(retval).to_string() } else { retval.to_string() }
}

fn describe(packet: &Packet, number: usize, count: usize) -> String {
    let Packet { source, bytes, cut_from } = packet;
    let of = if count > 1 { format!(" of {count}") } else { String::new() };
    let cut = cut_from.map(|all| format!(", the beginning of {all}")).unwrap_or_default();
    format!("packet {number}{of} ({source}), {} bytes{cut}", bytes.len())
}

fn describe_time(duration: u32, repeat: u32) -> String {
    let over = if repeat > 1 { format!(" a run, over {repeat} runs") } else { String::new() };
    format!("{duration} ns{over}")
}

fn describe_change(before: &[u8], after: &[u8], changed: usize) -> String {
    match (before.len() == after.len(), changed) {
        (true, 0) => "unchanged".to_string(),
        (true, 1) => "1 byte changed".to_string(),
        (true, _) => format!("{changed} bytes changed"),
        (false, _) => format!("now {} bytes", after.len()),
    }
}
