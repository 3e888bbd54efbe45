//! What is pinned where: every name on every bpffs that this process sees.

use std::fs;
use std::path::{Path, PathBuf};

use rxdp_loader::sys::{Kernel, Linux};

use super::{Pinned, thing};
use crate::pins::bpffs_mounts;

/// Everything that is pinned below a directory, or anywhere.
pub(crate) fn pinned(below: Option<&Path>) -> Pinned {
    let mut found = Pinned::new();
    let places = below.map_or_else(|| bpffs_mounts().into_iter().collect(), |dir| vec![dir.to_path_buf()]);
    for place in places {
        search(&place, &mut found);
    }
    for paths in found.values_mut() {
        paths.sort();
        paths.dedup();
    }
    found
}

fn search(dir: &Path, found: &mut Pinned) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        // Does not follow links: they lead to what is found anyway.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let path: PathBuf = entry.path();
        if kind.is_dir() {
            search(&path, found);
        } else if kind.is_file() {
            let pin = Linux.obj_get(&path).ok();
            if let Some(thing) = pin.and_then(|pin| thing(pin.kind, &pin.fd)) {
                found.entry(thing).or_default().push(path);
            }
        }
    }
}
