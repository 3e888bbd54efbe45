//! The committed objects: each has its row and its source, carries no path of the machine that built it, and is
//! byte for byte what its source gives, in whatever folder it is built.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use xtask::manifest::{Object, objects};
use xtask::{bpf, builds, root, toolchain};

const FOLDERS: [&str; 6] = [
    "bpf-progs",
    "bpf-progs/broken",
    "tests/fixtures",
    "tests/fixtures/join",
    "tests/fixtures/large",
    "tests/fixtures/wild",
];
const NOTHING: Vec<&str> = Vec::new();

/// The folders that have committed objects, from the top of the repository.
fn folders() -> Vec<String> {
    let routes = fs::read_dir(root().join(builds::FOLDER)).unwrap();
    let name = |route: fs::DirEntry| format!("{}/{}", builds::FOLDER, route.file_name().to_str().unwrap());
    let routes = routes.map(|entry| name(entry.unwrap()));
    FOLDERS.into_iter().map(str::to_owned).chain(routes).collect()
}

/// The names of the files in our folders that end in `.extension`, from the top of the repository.
fn committed(extension: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in folders() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|found| found == extension) {
                names.insert(format!("{folder}/{name}"));
            }
        }
    }
    names
}

/// The rows to build here: those that are sampled and whose pinned compilers are here. Says what is missing past the
/// test harness, which would hide it.
fn buildable(test: &str) -> Vec<Object> {
    let sampled: Vec<_> = objects().into_iter().filter(is_sampled).collect();
    let (all, here) = (sampled.len(), toolchain::can_build(sampled));
    let problems = toolchain::problems();
    if !problems.is_empty() {
        let (some, why) = (here.len(), problems.join(", "));
        let notice =
            format!("SKIPPED {test}: only {some} of {all} objects: {why}; `cargo xtask bpf` installs them\n");
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
    }
    here
}

/// All of them take a minute. Of the builds, every program by the newest compiler and one program by every route are
/// enough to see a source that changed and a compiler that did; `cargo xtask bpf --check` compares all.
fn is_sampled(object: &Object) -> bool {
    object.output.strip_prefix(builds::FOLDER).is_none_or(|build| {
        build.ends_with("/calls.o")
            || ["/clang22/", "/clang22-g/"].iter().any(|route| build.starts_with(route))
    })
}

#[test]
fn every_object_has_its_row_and_every_row_its_object() {
    let rows = objects().into_iter().map(|object| object.output.into_owned()).collect();
    assert_eq!(committed("o").symmetric_difference(&rows).collect::<Vec<_>>(), NOTHING);
}

#[test]
fn every_source_gives_an_object() {
    let sources = objects().iter().map(|object| object.source.to_owned()).collect();
    assert_eq!(committed("c").symmetric_difference(&sources).collect::<Vec<_>>(), NOTHING);
}

#[test]
fn no_object_carries_a_path_of_a_machine() {
    for object in objects() {
        let bytes = fs::read(root().join(object.output.as_ref())).unwrap();
        for path in ["/usr/", "/home/", "/root/", root().to_str().unwrap()] {
            let found = bytes.windows(path.len()).any(|window| window == path.as_bytes());
            assert!(!found, "{} contains {path}", object.output);
        }
    }
}

/// One build for both: a second tree gives the bytes that were committed from the first.
#[test]
fn objects_are_what_their_sources_give_in_any_folder() {
    let rows = buildable("objects_are_what_their_sources_give_in_any_folder");
    let stale = bpf::stale(&rows, &copy_of_sources()).unwrap();
    let stale: Vec<&str> = stale.iter().map(|stale| stale.object.output.as_ref()).collect();
    assert_eq!(stale, NOTHING, "`cargo xtask bpf` rebuilds them");
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
