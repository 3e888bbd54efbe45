//! Maps as libbpf makes them: names, sizes, flags, contents and slots of every object of a corpus, compared with what an
//! oracle on libbpf says (`RXDP_CORPUS=DIR RXDP_ORACLE=PROGRAM`, as root).
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::Command;

use common::{link_here, read, xdp_options};
use rxdp_loader::btf::Kind;
use rxdp_loader::load::{Given, LoadedMap, LoadedObject, execute};
use rxdp_loader::plan;
use rxdp_loader::spec::MapOrigin;
use rxdp_loader::sys::{Kernel, Linux, Named, host};
use rxdp_loader::uapi::MapType;
use serde_json::{Value, json};

#[test]
fn maps_of_a_corpus_are_as_libbpf_makes_them() {
    let (Some(corpus), Some(oracle)) = (env::var_os("RXDP_CORPUS"), env::var_os("RXDP_ORACLE")) else {
        let notice = "SKIPPED maps_of_a_corpus_are_as_libbpf_makes_them: no RXDP_CORPUS and RXDP_ORACLE\n";
        return std::io::stderr().write_all(notice.as_bytes()).unwrap();
    };
    let mut paths: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut objects, mut maps, mut wrong) = (0, 0, Vec::new());
    for path in &paths {
        let Some(theirs) = ask(Path::new(&oracle), path) else {
            continue;
        };
        match ours(path, theirs.whole) {
            Ok(ours) => {
                let differs = |name: &&String| {
                    let mut theirs = theirs.maps[*name].clone();
                    let ours = ours.get(*name);
                    // What may hold lists is not compared: they hold addresses, which are others every time.
                    if ours.is_some_and(|ours| ours["content"].is_null()) && name.starts_with(".bss.") {
                        theirs["content"] = Value::Null;
                    }
                    ours != Some(&theirs)
                };
                wrong.extend(theirs.maps.keys().filter(differs).map(|name| {
                    let (ours, theirs) = (ours.get(name), &theirs.maps[name]);
                    format!("{}: {name}: {theirs} is here {ours:?}", path.display())
                }));
                objects += 1;
                maps += theirs.maps.len();
            }
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
        }
    }
    eprintln!("{maps} maps of {objects} objects, {} not the same", wrong.len());
    assert!(wrong.is_empty() && maps > 0, "{}", wrong.join("\n"));
}

/// What libbpf made of an object.
struct Theirs {
    /// Whether all programs loaded: only then are there slots.
    whole: bool,
    maps: BTreeMap<String, Value>,
}

/// `None` where libbpf makes no maps at all.
fn ask(oracle: &Path, path: &Path) -> Option<Theirs> {
    let output = Command::new(oracle).arg(path).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let whole = answer["ok"] == true;
    let made = answer["maps"].as_array()?.iter().filter(|map| map.get("kname").is_some());
    let maps: BTreeMap<_, _> =
        made.map(|map| (key(map["name"].as_str().unwrap()), row(map, whole))).collect();
    (!maps.is_empty()).then_some(Theirs { whole, maps })
}

/// What both sides call a map: libbpf cuts the names of sections.
fn key(name: &str) -> String {
    let len = if name.starts_with('.') { 15 } else { usize::MAX };
    name.chars().take(len).collect()
}

/// A map in the words of both sides.
fn row(map: &Value, whole: bool) -> Value {
    let mut row = json!({});
    for key in ["kname", "ktype", "kkey", "kvalue", "kmax", "kflags", "kextra", "frozen", "content"] {
        row[key] = map[key].clone();
    }
    // Programs stand in slots only once they are loaded.
    if whole {
        row["slots"] = map["slots"].clone();
    }
    row
}

fn ours(path: &Path, whole: bool) -> Result<BTreeMap<String, Value>, String> {
    let bytes = fs::read(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut spec = read(name, &bytes).map_err(|error| error.to_string())?;
    if !whole {
        spec.programs.iter_mut().for_each(|program| program.autoload = false);
        spec.maps.iter_mut().filter(|map| map.ty == MapType::PROG_ARRAY).for_each(|map| map.slots.clear());
    }
    let object = link_here(spec);
    let plan = plan::plan(&object, &host::machine(), &xdp_options()).map_err(|error| error.to_string())?;
    let loaded = execute(&plan, &Linux, Given::default()).map_err(|error| error.to_string())?;
    let internal =
        |map: &LoadedMap| object.spec.map(map.id).is_some_and(|spec| spec.origin == MapOrigin::Internal);
    let is_struct = |kind: &Kind| matches!(kind, Kind::Composite { .. });
    let has = |name| object.spec.btf.as_ref().is_some_and(|btf| btf.find(name, is_struct).is_some());
    let has_lists = has("bpf_list_head") || has("bpf_rb_root");
    let rows = loaded.maps.iter().map(|map| {
        let info = map.info(&Linux).unwrap();
        let mut row = json!({
            "kname": info.name, "ktype": info.ty.0, "kkey": info.key_size, "kvalue": info.value_size,
            "kmax": info.max_entries, "kflags": info.flags.bits(), "kextra": info.map_extra,
            "frozen": frozen(map), "content": null,
        });
        let of_its_own = map.name.starts_with(".bss.") && has_lists;
        if internal(map) && info.ty == MapType::ARRAY && !of_its_own {
            let size = usize::try_from(info.value_size).unwrap();
            let content = Linux.map_lookup(map.named(), &0u32.to_ne_bytes(), size).unwrap();
            row["content"] = format!("{:016x}", fnv(&content)).into();
        }
        if whole {
            row["slots"] = slots(map, &loaded, info.max_entries);
        }
        (key(&map.name), row)
    });
    Ok(rows.collect())
}

/// What stands in the slots of a map of programs or maps: keys and names.
fn slots(map: &LoadedMap, loaded: &LoadedObject, entries: u32) -> Value {
    let of_maps = match map.ty {
        MapType::PROG_ARRAY => false,
        MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => true,
        _ => return Value::Null,
    };
    let filled = (0..entries.min(4096)).filter_map(|key| {
        let id = Linux.slot_id(map.named(), key).ok()?;
        Some(json!([key, name_of(loaded, of_maps, id)]))
    });
    filled.collect()
}

fn name_of(loaded: &LoadedObject, of_maps: bool, id: u32) -> String {
    if !of_maps {
        let infos = loaded.programs.iter().map(|program| program.info(&Linux).unwrap());
        return infos.into_iter().find(|info| info.id == id).map_or("?".into(), |info| info.name);
    }
    let fd = Linux.map_by_id(id).unwrap();
    Linux.map_info(Named { name: "inner", fd: fd.as_fd() }).unwrap().name
}

/// 1 if user space may only read the map, as the kernel shows it.
fn frozen(map: &LoadedMap) -> i32 {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd.as_raw_fd())).unwrap();
    text.lines().find_map(|line| line.strip_prefix("frozen:")?.trim().parse().ok()).unwrap_or(-1)
}

/// The oracle's hash of contents. Source: FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
