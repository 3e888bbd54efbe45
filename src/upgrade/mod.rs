//! `--upgrade`: a new version of an object takes the place of the one that an earlier `--pin` left, and its maps with what is
//! in them.
//!
//! A map stays if it will do for the new version, down to the fields of its keys and values. Jump tables and constants are
//! always made anew: the one must be filled before it goes live, the other is what the new code was compiled with.

mod compare;
mod leaves;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rxdp_loader::btf::Btf;
use rxdp_loader::bytes::Endian;
use rxdp_loader::link::LinkedObject;
use rxdp_loader::load::{Entries, Entry, LoadedObject};
use rxdp_loader::plan::{CreateMap, LoadPlan, MapSlot, PinTarget, Step};
use rxdp_loader::spec::{MapId, MapOrigin, MapSpec, ObjectSpec};
use rxdp_loader::sys::{Kernel, Linux, MapInfo, PinKind};
use rxdp_loader::uapi::{MapType, UpdateFlags};
use serde::Serialize;

use crate::args::OnMismatch;
use crate::error::Failure;
use crate::maps::{MapError, OpenMap};
use compare::Types;
use leaves::Leaves;

/// What became of a map on the way to the new version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Carried {
    /// It is the same map.
    Kept,
    /// It is another one, and holds what the old one held.
    Migrated,
    /// It is another one, and holds what the object says.
    Anew,
}

impl Carried {
    /// What happened, behind the name of the map.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Kept => "is the map of the version before, with what is in it",
            Self::Migrated => "is new, and holds what that of the version before held",
            Self::Anew => "is new: what that of the version before held is left behind",
        }
    }
}

/// What is carried from one version to the next.
#[derive(Debug, Default)]
pub(crate) struct Upgrade {
    /// Maps that stay.
    pub(crate) kept: BTreeMap<MapId, OwnedFd>,
    /// Maps whose entries are to be copied.
    moves: BTreeMap<MapId, Old>,
    /// Maps that had a predecessor.
    pub(crate) carried: BTreeMap<MapId, Carried>,
}

/// A map of the version before.
#[derive(Debug)]
struct Old {
    map: OpenMap,
    types: Option<Btf>,
}

impl Old {
    fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let wrong = |error: MapError| Failure::Map(error);
        let Ok(found) = Linux.obj_get(path) else {
            return Ok(None);
        };
        if found.kind == PinKind::Program || found.kind == PinKind::Link {
            return Ok(None);
        }
        let map = OpenMap::new(found.fd).map_err(|errno| {
            wrong(crate::maps::refused(format!("asking about the map pinned at {}", path.display()), errno))
        })?;
        let bytes = map.details.types.and_then(|types| Linux.types_by_id(types.btf).ok());
        let types = bytes.and_then(|bytes| Btf::parse(&bytes, Endian::NATIVE).ok());
        Ok(Some(Self { map, types }))
    }

    /// Whether the next version would make one anew in any case.
    fn is_made_anew(&self) -> bool {
        self.map.info.ty == MapType::PROG_ARRAY || self.map.details.frozen
    }

    fn types(&self) -> Option<Types<'_>> {
        let ids = self.map.details.types?;
        Some(Types { btf: self.types.as_ref()?, key: ids.key, value: ids.value })
    }
}

/// Looks for each map of the plan at what is pinned under its name, and decides whether it stays.
///
/// `ours` are the pins of the version that is attached.
///
/// # Errors
/// [`Failure::UpgradeLayout`] with all that differs, unless something else is to be done then.
pub(crate) fn decide(
    object: &LinkedObject,
    plan: &LoadPlan<'_>,
    ours: &[PathBuf],
    on_mismatch: OnMismatch,
) -> Result<Upgrade, Failure> {
    let mut upgrade = Upgrade::default();
    let mut misfits = Vec::new();
    let mut left: Vec<&PathBuf> = ours.iter().collect();
    for (id, create, path) in pinned_maps(plan) {
        let Some(spec) = object.spec.map(id) else {
            continue;
        };
        let before = predecessor(spec, &path, ours);
        left.retain(|pin| Some(*pin) != before);
        let Some(old) = before.map(|path| Old::open(path)).transpose()?.flatten() else {
            continue;
        };
        if is_made_anew(spec) {
            upgrade.carried.insert(id, Carried::Anew);
            continue;
        }
        let btf = object.spec.btf.as_ref();
        let wanted = btf.map(|btf| Types { btf, key: spec.key_type, value: spec.value_type });
        let differences = compare::differences(create, wanted, &old.map.info, old.types());
        let carried = match (differences.is_empty(), on_mismatch) {
            (true, _) => {
                upgrade.kept.insert(id, old.map.fd);
                Carried::Kept
            }
            (false, OnMismatch::Recreate) => Carried::Anew,
            (false, OnMismatch::Migrate) => {
                upgrade.moves.insert(id, old);
                Carried::Migrated
            }
            (false, OnMismatch::Fail) => {
                misfits.push(format!("map {}: {}", spec.name, differences.join("; ")));
                continue;
            }
        };
        upgrade.carried.insert(id, carried);
    }
    for pin in left {
        let gone = Old::open(pin)?.filter(|old| !old.is_made_anew());
        let clause = |old: Old| {
            format!("map {}: this version has none, and what it holds would be lost", old.map.info.name)
        };
        misfits.extend(gone.filter(|_| on_mismatch == OnMismatch::Fail).map(clause));
    }
    if misfits.is_empty() { Ok(upgrade) } else { Err(Failure::UpgradeLayout { misfits }) }
}

/// The maps of a plan with where they will be pinned.
fn pinned_maps<'p>(plan: &'p LoadPlan<'_>) -> impl Iterator<Item = (MapId, &'p CreateMap, PathBuf)> {
    let path = |id: MapId| {
        plan.steps.iter().find_map(|step| {
            let Step::Pin(pin) = step else {
                return None;
            };
            (pin.what == PinTarget::Map(id)).then(|| PathBuf::from(&pin.path))
        })
    };
    plan.maps().filter_map(move |create| match create.slot {
        MapSlot::Map(id) => Some((id, create, path(id)?)),
        MapSlot::Template(_) | MapSlot::Copy(..) => None,
    })
}

/// The pin of the map that this one takes over from: the one of its name, or of its section, since maps of variables are
/// named after the file as well, which may have another name by now.
fn predecessor<'o>(spec: &MapSpec, path: &Path, ours: &'o [PathBuf]) -> Option<&'o PathBuf> {
    let same = ours.iter().find(|pin| *pin == path);
    if same.is_some() || spec.origin != MapOrigin::Internal {
        return same;
    }
    let section = spec.section.replace('.', "_");
    let of_section = |pin: &&PathBuf| pin.to_str().is_some_and(|pin| pin.ends_with(&section));
    let mut found = ours.iter().filter(of_section);
    found.next().filter(|_| found.next().is_none())
}

fn is_made_anew(spec: &MapSpec) -> bool {
    spec.ty == MapType::PROG_ARRAY || spec.frozen || spec.struct_ops.is_some()
}

impl Upgrade {
    /// Copies what the maps held whose layout is another now. Nothing is attached yet.
    ///
    /// # Errors
    /// [`Failure::UpgradeMove`]: an entry does not fit.
    pub(crate) fn migrate<K: Kernel>(
        &self,
        object: &ObjectSpec,
        loaded: &LoadedObject,
        kernel: &K,
    ) -> Result<(), Failure> {
        for (id, old) in &self.moves {
            let (Some(spec), Some(new)) = (object.map(*id), loaded.maps.iter().find(|map| map.id == *id))
            else {
                continue;
            };
            let failed = |why: String| Failure::UpgradeMove { map: spec.name.to_string(), why };
            let info = new.info(kernel).map_err(|error| failed(error.to_string()))?;
            let wanted =
                object.btf.as_ref().map(|btf| Types { btf, key: spec.key_type, value: spec.value_type });
            let shift = Shift::of(&info, wanted, &old.map.info, old.types());
            let entries = new.entries(kernel).map_err(|error| failed(error.to_string()))?;
            shift.copy(&old.map.entries()?, &entries).map_err(failed)?;
        }
        Ok(())
    }
}

/// How entries of one layout become entries of another.
struct Shift {
    key: Part,
    value: Part,
}

/// Of keys or of values.
struct Part {
    /// **Bytes** of the new one.
    size: usize,
    /// The new type and the old one; without them only the same size fits.
    leaves: Option<(Leaves, Leaves)>,
}

impl Shift {
    fn of(new: &MapInfo, wanted: Option<Types<'_>>, old: &MapInfo, there: Option<Types<'_>>) -> Self {
        let both = wanted.zip(there);
        let part = |size: u32, before: u32, of: fn(Types<'_>) -> rxdp_loader::btf::TypeId| {
            let leaves =
                both.and_then(|(new, old)| Leaves::of(new.btf, of(new)).zip(Leaves::of(old.btf, of(old))));
            // The same bytes need no types.
            let leaves = leaves.filter(|(new, old)| size != before || new != old);
            Part { size: usize::try_from(size).unwrap_or(0), leaves }
        };
        Self {
            key: part(new.key_size, old.key_size, |types| types.key),
            value: part(new.value_size, old.value_size, |types| types.value),
        }
    }

    fn copy<K: Kernel>(&self, from: &Entries<'_, Linux>, to: &Entries<'_, K>) -> Result<(), String> {
        let mut failed = None;
        let one = |entry: Entry| match self.put(&entry, to) {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => {
                failed = Some(why);
                ControlFlow::Break(())
            }
        };
        from.each(one).map_err(|error| error.to_string())?;
        failed.map_or(Ok(()), Err)
    }

    fn put<K: Kernel>(&self, entry: &Entry, to: &Entries<'_, K>) -> Result<(), String> {
        let key = self.key.of(&entry.key).ok_or("a key does not fit the new type")?;
        let values = entry.values.iter().map(|value| self.value.of(value)).collect::<Option<Vec<_>>>();
        let values = values.ok_or("a value does not fit the new type")?;
        let put = match (to.is_per_cpu(), values.as_slice()) {
            (true, values) => to.update_per_cpu(&key, values, UpdateFlags::empty()),
            (false, [value, ..]) => to.update(&key, value, UpdateFlags::empty()),
            (false, []) => return Ok(()),
        };
        put.map_err(|error| error.to_string())
    }
}

impl Part {
    fn of(&self, old: &[u8]) -> Option<Vec<u8>> {
        let Some((new, before)) = &self.leaves else {
            return (old.len() == self.size).then(|| old.to_vec());
        };
        let mut bytes = vec![0; self.size];
        new.take(&mut bytes, before, old)?;
        Some(bytes)
    }
}
