//! Which processes have programs and maps open, as `/proc` tells it to those who may know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::Thing;

/// A process that holds something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub(crate) struct Holder {
    /// Its number, as this process sees it.
    pub(crate) pid: u32,
    /// Its name.
    pub(crate) name: String,
}

/// Who holds what. Links count as holding their program. Processes of other users are seen only by root.
pub(crate) fn holders() -> BTreeMap<Thing, BTreeSet<Holder>> {
    let mut found: BTreeMap<Thing, BTreeSet<Holder>> = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let path = process.path();
        let things = held(&path);
        if things.is_empty() {
            continue;
        }
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default().trim_end().to_string();
        for thing in things {
            found.entry(thing).or_default().insert(Holder { pid, name: name.clone() });
        }
    }
    found
}

/// What a process has open.
fn held(process: &Path) -> BTreeSet<Thing> {
    let fds = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let of_bpf = fds.filter(|fd| {
        let target = fs::read_link(fd.path()).unwrap_or_default();
        target.to_string_lossy().starts_with("anon_inode:bpf")
    });
    let info = |fd: fs::DirEntry| fs::read_to_string(process.join("fdinfo").join(fd.file_name())).ok();
    of_bpf.filter_map(info).filter_map(|text| named(&text)).collect()
}

/// What a descriptor is of. Source: `bpf_map_show_fdinfo`, `bpf_prog_show_fdinfo`, `bpf_link_show_fdinfo`.
fn named(fdinfo: &str) -> Option<Thing> {
    let number = |name: &str| {
        let value = fdinfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().parse().ok()
    };
    number("map_id").map(Thing::Map).or_else(|| number("prog_id").map(Thing::Program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_say_what_they_are_of() {
        assert_eq!(named("pos:\t0\nmap_type:\t1\nmap_id:\t7\n"), Some(Thing::Map(7)));
        assert_eq!(
            named("link_type:\txdp\nlink_id:\t3\nprog_tag:\tab\nprog_id:\t9\n"),
            Some(Thing::Program(9))
        );
        assert_eq!(named("pos:\t0\nflags:\t02\n"), None);
    }
}
