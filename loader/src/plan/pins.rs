//! What is pinned where: names on bpffs, as strings. Nothing here looks whether they are there.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Options, Pin, PinDir, PinTarget, PlanError};
use crate::features::Features;
use crate::link::LinkedObject;
use crate::spec::{MapId, MapOrigin, MapSpec, ObjectSpec, Pinning, ProgId};

/// Directories to make, and what to pin when everything is loaded.
pub(super) struct Pins {
    pub(super) dirs: Vec<PinDir>,
    pub(super) pins: Vec<Pin>,
}

/// All pins of an object but those of [`of_map`], whose directories are among these.
pub(super) fn all(
    object: &LinkedObject,
    options: &Options,
    features: Features,
    programs: &[ProgId],
) -> Result<Pins, PlanError> {
    let mut dirs = own_dirs(object, options)?;
    let Some(dir) = &options.pin_dir else {
        return Ok(Pins { dirs, pins: Vec::new() });
    };
    let spec = &object.spec;
    // Without global variables their maps are not made.
    let made = |map: &MapSpec| map.origin != MapOrigin::Internal || features.contains(Features::GLOBAL_DATA);
    let maps = spec.maps.iter().enumerate().filter(|(_, map)| made(map));
    let maps = maps.map(|(at, map)| (PinTarget::Map(MapId::new(at)), &*map.name));
    let programs =
        programs.iter().filter_map(|id| Some((PinTarget::Program(*id), &*spec.program(*id)?.name)));
    let mut taken = BTreeMap::new();
    let pin = |(what, name): (PinTarget, &str)| {
        let path = join(dir, name);
        take(&mut taken, &path, described(what, name))?;
        Ok(Pin { what, path })
    };
    // A map that is shared under this very name is pinned there already.
    let shared: Vec<String> = spec.maps.iter().filter_map(|map| of_map(spec, map, options)).collect();
    let mut pins: Vec<Pin> = programs.chain(maps).map(pin).collect::<Result<_, PlanError>>()?;
    pins.retain(|pin| !shared.contains(&pin.path));
    let free = pins.iter().map(|pin| pin.path.clone()).collect();
    dirs.push(PinDir { path: dir.clone(), free, shared: false });
    Ok(Pins { dirs, pins })
}

/// Where a map is pinned that asks for it.
///
/// Source: libbpf `build_map_pin_path`; iproute2 `bpf_make_map_path`, whose directory of an object's own is named by a
/// hash of the file, and here by its name.
pub(super) fn of_map(object: &ObjectSpec, map: &MapSpec, options: &Options) -> Option<String> {
    let root = options.pin_root.as_ref()?;
    Some(join(&dir_of_map(root, object, map)?, &map.name))
}

fn dir_of_map(root: &str, object: &ObjectSpec, map: &MapSpec) -> Option<String> {
    match &map.pinning {
        Pinning::None => None,
        Pinning::ByName => Some(root.to_string()),
        Pinning::Object => Some(join(root, &object.name)),
        Pinning::Global => Some(format!("{root}/tc/globals")),
        Pinning::Directory(path) => {
            let parts = path.split('/').filter(|part| !part.is_empty());
            Some(parts.fold(root.to_string(), |dir, part| join(&dir, part)))
        }
    }
}

/// The directories of [`of_map`], each once.
fn own_dirs(object: &LinkedObject, options: &Options) -> Result<Vec<PinDir>, PlanError> {
    let (spec, mut dirs, mut taken) = (&object.spec, Vec::<PinDir>::new(), BTreeMap::new());
    for (at, map) in spec.maps.iter().enumerate() {
        let Some(root) = options.pin_root.as_ref().filter(|_| !options.reused.contains(&MapId::new(at)))
        else {
            continue;
        };
        let Some(dir) = dir_of_map(root, spec, map) else {
            continue;
        };
        take(&mut taken, &join(&dir, &map.name), described(PinTarget::Map(MapId::new(at)), &map.name))?;
        if dirs.iter().all(|known| known.path != dir) {
            dirs.push(PinDir { path: dir, free: Vec::new(), shared: true });
        }
    }
    Ok(dirs)
}

fn take(taken: &mut BTreeMap<String, String>, path: &str, by: String) -> Result<(), PlanError> {
    match taken.entry(path.to_string()) {
        Entry::Vacant(free) => {
            free.insert(by);
            Ok(())
        }
        Entry::Occupied(first) => {
            Err(PlanError::PinClash { first: first.get().clone(), second: by, path: path.to_string() })
        }
    }
}

fn described(what: PinTarget, name: &str) -> String {
    match what {
        PinTarget::Program(_) => format!("program {name:?}"),
        PinTarget::Map(_) => format!("map {name:?}"),
    }
}

/// A file of this name, with what bpffs takes: it keeps names with a dot for itself.
fn join(dir: &str, name: &str) -> String {
    let name: String = name.chars().map(|c| if matches!(c, '.' | '/' | '\0') { '_' } else { c }).collect();
    format!("{}/{name}", dir.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files() {
        assert_eq!(join("/sys/fs/bpf/", "tail_ker.rodata"), "/sys/fs/bpf/tail_ker_rodata");
        assert_eq!(join("/sys/fs/bpf/x", "../a"), "/sys/fs/bpf/x/___a");
    }

    #[test]
    fn the_same_file_twice_is_a_clash() {
        let mut taken = BTreeMap::new();
        take(&mut taken, "/x/a_b", "map \"a.b\"".into()).unwrap();
        let clash = take(&mut taken, "/x/a_b", "program \"a_b\"".into()).unwrap_err().to_string();
        assert_eq!(
            clash,
            "map \"a.b\" and program \"a_b\" would both be pinned as /x/a_b: rename one of them"
        );
    }
}
