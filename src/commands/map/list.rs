//! Which maps there are, what they hold, and who has them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use bytesize::ByteSize;
use rxdp_loader::sys::Linux;
use rxdp_netlink::blocking;
use serde::Serialize;

use crate::args::MapList;
use crate::error::Failure;
use crate::inventory::{self, Holder, Thing};
use crate::maps::{MapError, OpenMap, refused};
use crate::report::{self, NamedId};

/// A map, as scripts see it. Sizes are in **bytes**.
#[derive(Debug, Serialize)]
struct Row {
    id: u32,
    name: String,
    #[serde(rename = "type")]
    ty: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    memory: Option<u64>,
    frozen: bool,
    /// Whether keys and values can be shown by their types.
    btf: bool,
    pinned: Vec<String>,
    programs: Vec<NamedId>,
    processes: Vec<Holder>,
}

/// Prints them all, or those that were asked for.
pub(crate) fn run(args: &MapList) -> Result<(), Failure> {
    let pinned = inventory::pinned(args.pinned.as_deref());
    let wanted = wanted(args, &pinned)?;
    let programs = programs_by_map()?;
    let holders = inventory::holders();
    let rows: Vec<Row> = wanted
        .into_iter()
        .filter_map(OpenMap::by_id)
        .map(|map| {
            let thing = Thing::Map(map.info.id);
            let paths = pinned.get(&thing).into_iter().flatten().map(|path| path.display().to_string());
            let users = programs.get(&map.info.id).into_iter().flatten();
            row(
                &map,
                Row {
                    pinned: paths.collect(),
                    programs: users.map(|(id, name)| NamedId { name: name.clone(), id: *id }).collect(),
                    processes: holders.get(&thing).into_iter().flatten().cloned().collect(),
                    ..empty()
                },
            )
        })
        .collect();
    let mut out = io::stdout().lock();
    let written = if args.json { report::json(&mut out, &rows) } else { show(&mut out, &rows) };
    written.map_err(Failure::Output)
}

fn wanted(args: &MapList, pinned: &inventory::Pinned) -> Result<Vec<u32>, Failure> {
    if let Some(dir) = &args.pinned {
        return below(dir, pinned).map_err(Failure::from);
    }
    if let Some(name) = &args.interface {
        let link = blocking::Handle::connect()?.link_by_name(name)?;
        let entries: Vec<u32> = link.xdp.programs.iter().map(|program| program.id).collect();
        let maps: BTreeSet<u32> =
            inventory::reached(&entries).into_iter().flat_map(|info| info.map_ids).collect();
        return Ok(maps.into_iter().collect());
    }
    Linux.map_ids().map_err(|errno| refused("listing maps".to_string(), errno).into())
}

/// Maps that are pinned below a directory.
fn below(dir: &Path, pinned: &inventory::Pinned) -> Result<Vec<u32>, MapError> {
    if !dir.is_dir() {
        return Err(MapError::NoDirectory { path: dir.display().to_string() });
    }
    let map = |thing: &Thing| if let Thing::Map(id) = thing { Some(*id) } else { None };
    Ok(pinned.keys().filter_map(map).collect())
}

/// Programs that refer to a map, by its id: the kernel tells it of programs only.
fn programs_by_map() -> Result<BTreeMap<u32, BTreeMap<u32, String>>, Failure> {
    let all = inventory::programs().map_err(|errno| refused("listing programs".to_string(), errno))?;
    let mut by_map: BTreeMap<u32, BTreeMap<u32, String>> = BTreeMap::new();
    for program in all {
        for map in program.map_ids {
            by_map.entry(map).or_default().insert(program.id, program.name.clone());
        }
    }
    Ok(by_map)
}

fn row(map: &OpenMap, rest: Row) -> Row {
    Row {
        id: map.info.id,
        name: map.info.name.clone(),
        ty: map.info.ty.to_string(),
        key_size: map.info.key_size,
        value_size: map.info.value_size,
        max_entries: map.info.max_entries,
        flags: map.info.flags.bits(),
        memory: map.details.memory,
        frozen: map.details.frozen,
        btf: map.details.types.is_some(),
        ..rest
    }
}

fn empty() -> Row {
    Row {
        id: 0,
        name: String::new(),
        ty: String::new(),
        key_size: 0,
        value_size: 0,
        max_entries: 0,
        flags: 0,
        memory: None,
        frozen: false,
        btf: false,
        pinned: Vec::new(),
        programs: Vec::new(),
        processes: Vec::new(),
    }
}

fn show(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no maps");
    }
    let mut table = report::plain_table();
    for row in rows {
        let memory = row.memory.map(|bytes| ByteSize(bytes).display().iec().to_string());
        table.add_row([
            format!("id {}", row.id),
            if row.name.is_empty() { "(no name)".to_string() } else { row.name.clone() },
            row.ty.clone(),
            format!("key {} B", row.key_size),
            format!("value {} B", row.value_size),
            format!("{} entries", row.max_entries),
            memory.unwrap_or_default(),
            owners(row),
        ]);
    }
    report::write_table(out, &table)
}

/// Who has a map, in words.
fn owners(row: &Row) -> String {
    let programs = row.programs.iter().map(|NamedId { name, id }| format!("{name} (id {id})"));
    let processes = row.processes.iter().map(|Holder { pid, name }| format!("{name} (pid {pid})"));
    let lists = [
        ("used by", programs.collect::<Vec<_>>()),
        ("open in", processes.collect()),
        ("pinned at", row.pinned.clone()),
    ];
    let said = lists.into_iter().filter(|(_, all)| !all.is_empty());
    let frozen = row.frozen.then(|| "frozen".to_string());
    let words = said.map(|(words, all)| format!("{words} {}", all.join(", "))).chain(frozen);
    words.collect::<Vec<_>>().join("; ")
}
