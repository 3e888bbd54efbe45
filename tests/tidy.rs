//! Rules of the house that no compiler holds: who may import whom, where `unsafe` may stand, that the map is true.
//!
//! Works on text: it does not see through macros or glob re-exports. `cargo xtask check` holds the biggest rule with the
//! compiler: the rooms above the kernel line build without `std`.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `loader/src`, lowest first, and the rooms each may import. A room may always import itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("bytes", &[]),
    ("insn", &[]),
    ("uapi", &[]),
    ("features", &[]),
    ("trace", &[]),
    ("elf", &["bytes"]),
    ("btf", &["bytes", "insn"]),
    ("core_relo", &["btf", "bytes", "insn"]),
    ("patch", &["btf", "core_relo", "insn"]),
    ("spec", &["btf", "bytes", "elf", "insn", "uapi"]),
    ("join", &["btf", "bytes", "elf", "insn", "spec"]),
    ("externs", &["bytes", "features", "spec"]),
    ("target", &["btf", "bytes", "core_relo", "spec", "uapi"]),
    ("link", &["btf", "bytes", "core_relo", "insn", "patch", "spec", "target", "uapi"]),
    ("tail_calls", &["bytes", "insn", "link", "spec", "uapi"]),
    ("candidates", &["bytes", "insn", "link", "spec", "uapi"]),
    ("sanitize", &["btf", "bytes", "features", "insn", "link", "patch", "uapi"]),
    (
        "plan",
        &[
            "btf",
            "bytes",
            "candidates",
            "core_relo",
            "features",
            "insn",
            "link",
            "patch",
            "sanitize",
            "spec",
            "target",
            "uapi",
        ],
    ),
    ("verifier", &["insn", "link", "spec", "uapi"]),
    ("sys", &["btf", "bytes", "externs", "features", "insn", "trace", "uapi"]),
    (
        "load",
        &[
            "btf",
            "bytes",
            "core_relo",
            "elf",
            "externs",
            "features",
            "insn",
            "link",
            "patch",
            "plan",
            "spec",
            "sys",
            "target",
            "trace",
            "uapi",
            "verifier",
        ],
    ),
    ("error", &["join", "load", "spec", "sys", "uapi"]),
    ("object", &["btf", "bytes", "error", "plan", "spec", "uapi"]),
    ("loader", &["error", "features", "link", "load", "object", "plan", "spec", "sys", "uapi"]),
    ("file", &["elf", "error", "sys"]),
    ("bpf_load", &["error", "link", "load", "plan", "spec", "sys", "uapi"]),
];

/// The rooms of `dispatcher/src` that stand above the kernel line.
const DISPATCHER_ABOVE: &[&str] =
    &["actions", "component", "config", "found", "metadata", "names", "order", "plan"];

/// Rooms below the kernel line. All others are `no_std`.
const BELOW_THE_LINE: &[&str] = &["sys", "load", "error", "object", "loader", "file", "bpf_load"];

/// The files where `unsafe` may stand.
const MAY_BE_UNSAFE: &[&str] = &[
    "loader/src/sys/attr.rs",
    "loader/src/sys/files.rs",
    "loader/src/sys/limits.rs",
    "loader/src/sys/linux.rs",
    "loader/src/sys/mmap.rs",
    "loader/src/sys/mount.rs",
    "loader/src/sys/perf.rs",
    "netlink/tests/common",
];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in rust_files("loader/src") {
        let room = room_of(&file);
        if room == "lib" {
            continue;
        }
        let Some(may) = allowed.get(room.as_str()) else {
            wrong.push(format!("{}: room `{room}` is not in the table", file.display()));
            continue;
        };
        for (number, import) in imports(&file) {
            if import != room && !may.contains(&import.as_str()) {
                wrong.push(format!("{}:{number}: `{room}` may not import `{import}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle() {
    for (at, (room, imports)) in MAY_IMPORT.iter().enumerate() {
        for import in *imports {
            let below = MAY_IMPORT[..at].iter().any(|(lower, _)| lower == import);
            assert!(below, "`{room}` imports `{import}`, which does not stand before it");
        }
    }
}

#[test]
fn nothing_above_the_line_knows_std() {
    for file in rust_files("loader/src") {
        let room = room_of(&file);
        if room == "lib" || BELOW_THE_LINE.contains(&room.as_str()) {
            continue;
        }
        for (number, line) in code_lines(&file) {
            let std = line.match_indices("std::").any(|(at, _)| !line[..at].ends_with(char::is_alphanumeric));
            assert!(!std, "{}:{number}: `std` above the kernel line", file.display());
        }
    }
}

/// Where the machine is.
const MACHINE: &[&str] =
    &["std::fs", "std::io", "std::os", "std::env", "std::process", "std::net", "std::time", "sys::Linux"];

/// What is named after the machine and yet a value.
const VALUES: &[&str] =
    &["std::net::Ipv6Addr;", "std::net::{IpAddr, Ipv4Addr, Ipv6Addr}", "std::time::Duration"];

/// What `src/` has of pure rooms: values in, values out. Addresses and spans of time are values, whatever module they are in.
const PURE_IN_THE_COMMAND: &[&str] = &[
    "src/maps/given.rs",
    "src/maps/layout.rs",
    "src/maps/prefix.rs",
    "src/maps/rate.rs",
    "src/maps/shown.rs",
    "src/packets/builtin.rs",
    "src/runs/outcome.rs",
    "src/status/rates.rs",
    "src/upgrade/compare.rs",
    "src/upgrade/leaves.rs",
];

#[test]
fn the_dispatcher_has_the_same_line() {
    let above = |room: &str| DISPATCHER_ABOVE.contains(&room);
    for file in rust_files("dispatcher/src") {
        let room = file.file_stem().expect("a name").to_string_lossy().into_owned();
        for (number, line) in code_lines(&file) {
            let place = format!("{}:{number}", file.display());
            assert!(!line.contains("rxdp_netlink"), "{place}: netlink comes as a `Port`");
            if above(&room) {
                let machine = ["std::", "rxdp_loader::sys", "rxdp_loader::load"];
                let below = machine.iter().find(|path| line.contains(**path));
                assert_eq!(below, None, "{place}: above the kernel line");
            }
        }
        if above(&room) {
            let below = imports(&file).into_iter().find(|(_, import)| !above(import));
            assert_eq!(below, None, "{}: it stands above the kernel line", file.display());
        }
    }
}

#[test]
fn what_explains_touches_no_machine() {
    let files = rust_files("explain/src").into_iter().chain(PURE_IN_THE_COMMAND.iter().map(PathBuf::from));
    for file in files {
        for (number, line) in code_lines(&file) {
            let is_value = VALUES.iter().any(|path| line.contains(path));
            let outside = MACHINE.iter().find(|path| line.contains(**path)).filter(|_| !is_value);
            assert_eq!(outside, None, "{}:{number}: values in, values out", file.display());
        }
    }
}

#[test]
fn only_the_elf_room_knows_the_object_crate() {
    for file in rust_files("loader/src") {
        for (number, line) in code_lines(&file) {
            let knows = line.contains("use object::") || line.contains(" object::");
            assert!(
                !knows || room_of(&file) == "elf",
                "{}:{number}: `object` outside of elf",
                file.display()
            );
        }
    }
}

#[test]
fn unsafe_stands_only_where_it_may() {
    for folder in ["src", "dispatcher", "explain", "loader", "netlink", "sandbox", "xtask", "tests"] {
        for file in rust_files(folder) {
            let name = file.to_string_lossy().into_owned();
            if MAY_BE_UNSAFE.iter().any(|allowed| name.starts_with(allowed)) {
                continue;
            }
            for (number, line) in code_lines(&file) {
                let is_unsafe =
                    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait"].iter().any(|w| line.contains(w));
                assert!(!is_unsafe || name == "tests/tidy.rs", "{name}:{number}: `unsafe` has no place here");
            }
        }
    }
}

#[test]
fn every_path_on_the_map_exists() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(map.lines().count() <= 150, "the map is to fit two pages");
    let paths: Vec<&str> =
        map.split('`').skip(1).step_by(2).filter(|word| word.contains('/') && !word.contains(' ')).collect();
    assert!(paths.len() > 20, "the map names places");
    for path in paths {
        assert!(root().join(path).exists(), "ARCHITECTURE.md names `{path}`, which is not there");
    }
}

#[test]
fn every_room_says_what_it_is_for() {
    for folder in
        ["src", "dispatcher/src", "explain/src", "loader/src", "netlink/src", "sandbox/src", "xtask/src"]
    {
        for file in rust_files(folder) {
            let text = fs::read_to_string(root().join(&file)).expect("a source file");
            assert!(text.contains("//! "), "{}: no words about what the file is for", file.display());
        }
    }
}

#[test]
fn facts_about_the_kernel_name_their_source() {
    for file in [
        "uapi.rs",
        "sys/attr.rs",
        "sys/mod.rs",
        "spec/section.rs",
        "spec/data.rs",
        "link/mod.rs",
        "btf/mod.rs",
    ] {
        let text = fs::read_to_string(root().join("loader/src").join(file)).expect("a source file");
        assert!(text.contains("Source:") || text.contains("Source of"), "{file}: no `Source:`");
    }
}

#[test]
fn no_file_has_outgrown_its_room() {
    for folder in
        ["src", "dispatcher/src", "explain/src", "loader/src", "netlink/src", "sandbox/src", "xtask/src"]
    {
        for file in rust_files(folder) {
            let lines = fs::read_to_string(root().join(&file)).expect("a source file").lines().count();
            assert!(lines <= 500, "{}: {lines} lines are two rooms", file.display());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All `.rs` files below a folder, by path from the root.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            match entry.file_type().expect("a type").is_dir() {
                true => open.push(path),
                false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
                false => {}
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no source");
    found.sort();
    found
}

/// The room of a file of `loader/src`: its first folder, or its own name.
fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix("loader/src").expect("a file of loader/src");
    let first = inside.components().next().expect("a component").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_string()
}

/// Lines of code with their numbers: no comments.
fn code_lines(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(root().join(file)).expect("a source file");
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.map(|(at, line)| (at.saturating_add(1), line.to_string())).collect()
}

/// Modules that a file names behind `crate::`.
fn imports(file: &Path) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in code_lines(file) {
        for rest in line.split("crate::").skip(1) {
            assert!(!rest.starts_with('{'), "{}:{number}: one `use` a room, no braces", file.display());
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // Functions of the crate's root are no rooms.
            if !["read", "read_joined", "read_file", "object_name", ""].contains(&name.as_str()) {
                found.push((number, name));
            }
        }
    }
    found
}
