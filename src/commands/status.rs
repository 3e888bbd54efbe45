//! Which XDP programs are attached where, and whether their jump tables still have their slots.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use rxdp_loader::sys::{Kernel, Linux, Named, ProgInfo};
use rxdp_loader::trace::hex;
use rxdp_loader::uapi::MapType;
use rxdp_netlink::AttachedProgram;
use serde::Serialize;

use crate::args::Status;
use crate::dispatch::{self, DispatcherRow};
use crate::error::Failure;
use crate::report;
use crate::status::{self, About, Placed, Scene};

/// An interface's program, as scripts see it.
#[derive(Debug, Serialize)]
struct Row {
    /// The network namespace, if it is another one than ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    interface: String,
    ifindex: u32,
    mode: String,
    program: Program,
    tail_tables: Vec<TailTable>,
    #[serde(flatten)]
    about: About,
    /// The programs that it calls, if it is a dispatcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    dispatcher: Option<DispatcherRow>,
}

#[derive(Debug, Serialize)]
struct Program {
    id: u32,
    name: Option<String>,
    tag: Option<String>,
    loaded_at: Option<String>,
    loaded_by_uid: Option<u32>,
    #[serde(flatten)]
    more: status::Program,
}

/// A jump table that the program refers to.
#[derive(Debug, Serialize)]
struct TailTable {
    map: String,
    id: u32,
    /// Slots that hold a program.
    slots: Vec<Slot>,
    #[serde(skip)]
    max_entries: u32,
}

#[derive(Debug, Serialize)]
struct Slot {
    key: u32,
    program_id: u32,
}

/// Prints one interface or all.
pub(crate) fn run(args: &Status) -> Result<(), Failure> {
    if args.watch {
        return status::watch(args);
    }
    let scene = Scene::now();
    let states = status::states(args)?;
    let rows = states.iter().flat_map(|placed| placed.state.programs.iter().map(|p| row(placed, p, &scene)));
    let rows: Vec<Row> = rows.collect();
    let mut out = io::stdout().lock();
    let written = if args.json { report::json(&mut out, &rows) } else { show(&mut out, &rows, args) };
    written.map_err(Failure::Output)
}

fn row(placed: &Placed, attached: &AttachedProgram, scene: &Scene) -> Row {
    let (state, info) = (&placed.state, info(&Linux, attached.id));
    // Pins are seen from here, and numbers of interfaces count in a namespace.
    let here = placed.namespace.is_none();
    let dispatcher = here.then(|| dispatch::row(&Linux, state.ifindex, attached.id)).flatten();
    let called = dispatcher.iter().flat_map(|dispatcher| &dispatcher.components);
    let called: Vec<ProgInfo> = called.filter_map(|component| self::info(&Linux, component.id)).collect();
    Row {
        namespace: placed.namespace.clone(),
        about: About::of(attached.id, scene),
        interface: state.name.clone(),
        ifindex: state.ifindex,
        mode: attached.mode.to_string(),
        tail_tables: info.iter().chain(&called).flat_map(tail_tables).collect(),
        dispatcher,
        program: Program {
            id: attached.id,
            name: info.as_ref().map(|info| info.name.clone()),
            tag: info.as_ref().map(|info| hex(&info.tag)),
            loaded_at: info.as_ref().and_then(|info| loaded_at(info.load_time)),
            loaded_by_uid: info.as_ref().map(|info| info.uid),
            more: info.as_ref().map(|info| status::Program::of(info, scene)).unwrap_or_default(),
        },
    }
}

/// What the kernel says about a program; `None` without the privilege to ask.
fn info(kernel: &impl Kernel, id: u32) -> Option<ProgInfo> {
    let fd = kernel.prog_by_id(id).ok()?;
    kernel.prog_info(Named { name: "program", fd: fd.as_fd() }).ok()
}

fn tail_tables(info: &ProgInfo) -> Vec<TailTable> {
    info.map_ids.iter().filter_map(|id| tail_table(*id)).collect()
}

fn tail_table(id: u32) -> Option<TailTable> {
    let fd = Linux.map_by_id(id).ok()?;
    let map = Named { name: "map", fd: fd.as_fd() };
    let info = Linux.map_info(map).ok().filter(|info| info.ty == MapType::PROG_ARRAY)?;
    // One call a slot, about 2 microseconds: the kernel has no BPF_MAP_LOOKUP_BATCH for jump tables (ENOTSUPP).
    let slot = |key| Linux.slot_id(map, key).ok().map(|program_id| Slot { key, program_id });
    Some(TailTable {
        map: info.name,
        id,
        slots: (0..info.max_entries).filter_map(slot).collect(),
        max_entries: info.max_entries,
    })
}

/// A time in **nanoseconds** since the machine started as date and time.
fn loaded_at(since_start: u64) -> Option<String> {
    // Asked for one right behind the other: what lies between them moves the result.
    let (uptime, now) = (clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?, SystemTime::now());
    let started = now.checked_sub(Duration::from(uptime))?;
    let at = started.checked_add(Duration::from_nanos(since_start))?;
    Some(humantime::format_rfc3339_seconds(at).to_string())
}

fn show(out: &mut impl Write, rows: &[Row], args: &Status) -> io::Result<()> {
    if rows.is_empty() {
        let place = args.interface.as_deref().unwrap_or("no interface");
        let verb = if args.interface.is_some() { "carries no XDP program" } else { "carries an XDP program" };
        return writeln!(out, "{place} {verb}");
    }
    for row in rows {
        let place = row.namespace.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let (interface, mode, id) = (format!("{place}{}", row.interface), &row.mode, row.program.id);
        let Program { name: Some(name), tag: Some(tag), loaded_at, loaded_by_uid, .. } = &row.program else {
            writeln!(out, "{interface}: program id {id} in {mode} mode; only root sees more")?;
            continue;
        };
        let when = loaded_at.as_ref().map(|when| format!(", loaded {when}")).unwrap_or_default();
        let by = loaded_by_uid.map(|uid| format!(" by uid {uid}")).unwrap_or_default();
        writeln!(out, "{interface}: {name} (id {id}, tag {tag}) in {mode} mode{when}{by}")?;
        let shared = row.dispatcher.iter().flat_map(DispatcherRow::lines);
        for line in shared.chain(row.program.more.lines()).chain(row.about.lines()) {
            writeln!(out, "  {line}")?;
        }
        for table in &row.tail_tables {
            writeln!(out, "  {}", table_words(table))?;
        }
    }
    Ok(())
}

fn table_words(table: &TailTable) -> String {
    let TailTable { map, id, slots, max_entries } = table;
    if slots.is_empty() {
        return format!(
            "jump table {map} (id {id}) is empty, 0 of {max_entries} slots: tail calls on it do nothing. \
             It is emptied when the last process that has it open ends"
        );
    }
    let slots: Vec<String> =
        slots.iter().map(|slot| format!("[{}] = id {}", slot.key, slot.program_id)).collect();
    format!("jump table {map} (id {id}), {} of {max_entries} slots: {}", slots.len(), slots.join(", "))
}

/// When a program was loaded, in **nanoseconds** since the machine started; `None` if nobody can say.
pub(crate) fn load_time(kernel: &impl Kernel, id: u32) -> Option<u64> {
    info(kernel, id).map(|info| info.load_time).filter(|time| *time != 0)
}

/// A program's name; `None` if nobody can say.
pub(crate) fn name(kernel: &impl Kernel, id: u32) -> Option<String> {
    info(kernel, id).map(|info| info.name)
}

/// A program in words, for messages: name, id, tag, since when.
pub(crate) fn describe(kernel: &impl Kernel, id: u32) -> String {
    match info(kernel, id) {
        Some(info) => {
            let when = loaded_at(info.load_time).map(|when| format!(", loaded {when}")).unwrap_or_default();
            let by = if info.uid == 0 { String::new() } else { format!(" by uid {}", info.uid) };
            format!("program {:?} (id {id}, tag {}{when}{by})", info.name, hex(&info.tag))
        }
        None => format!("program id {id}"),
    }
}
