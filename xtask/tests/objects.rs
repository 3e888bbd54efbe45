//! The committed objects: each has its row and its source, carries no path of the machine that built it, and is
//! byte for byte what its source gives, in whatever folder it is built.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use xtask::manifest::OBJECTS;
use xtask::{bpf, root, toolchain};

const FOLDERS: [&str; 2] = ["bpf-progs", "tests/fixtures"];
const NOTHING: Vec<&str> = Vec::new();

/// The names of the files in our two folders that end in `.extension`, from the top of the repository.
fn committed(extension: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|found| found == extension) {
                names.insert(format!("{folder}/{name}"));
            }
        }
    }
    names
}

/// Whether the pinned compilers are here. Says what is missing past the test harness, which would hide it.
fn have_compilers(test: &str) -> bool {
    let problems = toolchain::problems();
    if problems.is_empty() {
        return true;
    }
    let notice = format!("SKIPPED {test}: {}; `cargo xtask bpf` installs them\n", problems.join(", "));
    std::io::stderr().write_all(notice.as_bytes()).unwrap();
    false
}

#[test]
fn every_object_has_its_row_and_every_row_its_object() {
    let rows = OBJECTS.iter().map(|object| object.output.to_owned()).collect();
    assert_eq!(committed("o").symmetric_difference(&rows).collect::<Vec<_>>(), NOTHING);
}

#[test]
fn every_source_gives_an_object() {
    let sources = OBJECTS.iter().map(|object| object.source.to_owned()).collect();
    assert_eq!(committed("c").symmetric_difference(&sources).collect::<Vec<_>>(), NOTHING);
}

#[test]
fn no_object_carries_a_path_of_a_machine() {
    for object in OBJECTS {
        let bytes = fs::read(root().join(object.output)).unwrap();
        for path in ["/usr/", "/home/", "/root/", root().to_str().unwrap()] {
            let found = bytes.windows(path.len()).any(|window| window == path.as_bytes());
            assert!(!found, "{} contains {path}", object.output);
        }
    }
}

#[test]
fn every_object_is_what_its_source_gives() {
    if !have_compilers("every_object_is_what_its_source_gives") {
        return;
    }
    assert_eq!(stale(root()), NOTHING, "`cargo xtask bpf` rebuilds them");
}

#[test]
fn another_folder_gives_the_same_bytes() {
    if !have_compilers("another_folder_gives_the_same_bytes") {
        return;
    }
    assert_eq!(stale(&copy_of_sources()), NOTHING);
}

/// The objects that are not what the sources in `tree` give.
fn stale(tree: &Path) -> Vec<&'static str> {
    bpf::stale(tree).unwrap().iter().map(|stale| stale.object.output).collect()
}

/// A second tree with the sources, below cargo's own folder for the leavings of tests.
fn copy_of_sources() -> PathBuf {
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("another-folder");
    for folder in FOLDERS {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
    for name in committed("c").iter().chain(&committed("h")) {
        fs::copy(root().join(name), tree.join(name)).unwrap();
    }
    tree
}
