//! Which XDP programs are attached where, and whether their jump tables still have their slots.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use rxdp_loader::sys::{Kernel, Linux, Named, ProgInfo};
use rxdp_loader::trace::hex;
use rxdp_loader::uapi::MapType;
use rxdp_netlink::{AttachedProgram, XdpState, blocking};
use serde::Serialize;

use crate::args::Status;
use crate::dispatch::{self, DispatcherRow};
use crate::error::Failure;
use crate::report;

/// An interface's program, as scripts see it.
#[derive(Debug, Serialize)]
struct Row {
    interface: String,
    ifindex: u32,
    mode: String,
    program: Program,
    tail_tables: Vec<TailTable>,
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
    let netlink = blocking::Handle::connect()?;
    let states = match &args.interface {
        Some(name) => vec![netlink.link_by_name(name)?.xdp],
        None => netlink.query_all()?,
    };
    let rows: Vec<Row> =
        states.iter().flat_map(|state| state.programs.iter().map(|p| row(state, p))).collect();
    let mut out = io::stdout().lock();
    let written = if args.json { report::json(&mut out, &rows) } else { show(&mut out, &rows, args) };
    written.map_err(Failure::Output)
}

fn row(state: &XdpState, attached: &AttachedProgram) -> Row {
    let info = info(&Linux, attached.id);
    let dispatcher = dispatch::row(&Linux, state.ifindex, attached.id);
    let called = dispatcher.iter().flat_map(|dispatcher| &dispatcher.components);
    let called: Vec<ProgInfo> = called.filter_map(|component| self::info(&Linux, component.id)).collect();
    Row {
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
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime = Duration::try_from_secs_f64(uptime.split(' ').next()?.parse().ok()?).ok()?;
    let started = SystemTime::now().checked_sub(uptime)?;
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
        let (interface, mode, id) = (&row.interface, &row.mode, row.program.id);
        let Program { name: Some(name), tag: Some(tag), loaded_at, loaded_by_uid, .. } = &row.program else {
            writeln!(out, "{interface}: program id {id} in {mode} mode; only root sees more")?;
            continue;
        };
        let when = loaded_at.as_ref().map(|when| format!(", loaded {when}")).unwrap_or_default();
        let by = loaded_by_uid.map(|uid| format!(" by uid {uid}")).unwrap_or_default();
        writeln!(out, "{interface}: {name} (id {id}, tag {tag}) in {mode} mode{when}{by}")?;
        for line in row.dispatcher.iter().flat_map(DispatcherRow::lines) {
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

/// A program in words, for messages: name, id, since when.
pub(crate) fn describe(kernel: &impl Kernel, id: u32) -> String {
    match info(kernel, id) {
        Some(info) => {
            let when = loaded_at(info.load_time).map(|when| format!(", loaded {when}")).unwrap_or_default();
            let by = if info.uid == 0 { String::new() } else { format!(" by uid {}", info.uid) };
            format!("program {:?} (id {id}{when}{by})", info.name)
        }
        None => format!("program id {id}"),
    }
}
