//! Which maps there are, what they hold, and who has them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use bytesize::ByteSize;
use rxdp_loader::sys::{Bpffs, Kernel, Linux};
use rxdp_netlink::blocking;
use serde::Serialize;

use crate::args::MapList;
use crate::error::Failure;
use crate::inventory::{self, Holder, Pinned, Thing};
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

/// What all maps are looked at against; asked for once.
struct Scene {
    pinned: Pinned,
    /// Programs that refer to a map, by its id: the kernel tells it of programs only.
    programs: BTreeMap<u32, BTreeMap<u32, String>>,
    holders: BTreeMap<Thing, BTreeSet<Holder>>,
}

/// Prints them all, or those that were asked for.
pub(crate) fn run(args: &MapList) -> Result<(), Failure> {
    args.pinned.as_deref().map_or(Ok(()), check_place)?;
    let scene = Scene {
        pinned: inventory::pinned(args.pinned.as_deref()),
        programs: programs_by_map()?,
        holders: inventory::holders(),
    };
    let maps = wanted(args, &scene.pinned)?.into_iter().filter_map(OpenMap::by_id);
    let rows: Vec<Row> = maps.map(|map| row(map, &scene)).collect();
    let mut out = io::stdout().lock();
    let written = if args.json { report::json(&mut out, &rows) } else { show(&mut out, &rows) };
    written.map_err(Failure::Output)
}

fn wanted(args: &MapList, pinned: &Pinned) -> Result<Vec<u32>, Failure> {
    if args.pinned.is_some() {
        let map = |thing: &Thing| if let Thing::Map(id) = thing { Some(*id) } else { None };
        return Ok(pinned.keys().filter_map(map).collect());
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

/// Pins are searched for only where there can be some: below other directories, all files of the machine may be.
fn check_place(dir: &Path) -> Result<(), MapError> {
    let path = dir.display().to_string();
    if !dir.is_dir() {
        return Err(MapError::NoDirectory { path });
    }
    match Linux.bpffs(Bpffs::Is(dir)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(MapError::NoBpffs { path }),
        Err(errno) => Err(refused(format!("looking at {path}"), errno)),
    }
}

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

fn row(OpenMap { info, details, .. }: OpenMap, scene: &Scene) -> Row {
    let thing = Thing::Map(info.id);
    let paths = scene.pinned.get(&thing).into_iter().flatten().map(|path| path.display().to_string());
    let users = scene.programs.get(&info.id).into_iter().flatten();
    Row {
        id: info.id,
        name: info.name,
        ty: info.ty.to_string(),
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.flags.bits(),
        memory: details.memory,
        frozen: details.frozen,
        btf: details.types.is_some(),
        pinned: paths.collect(),
        programs: users.map(|(id, name)| NamedId { name: name.clone(), id: *id }).collect(),
        processes: scene.holders.get(&thing).into_iter().flatten().cloned().collect(),
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
