//! A bpffs that is none: what `DryRun` knows about pins. Mounted on `/sys/fs/bpf`, empty at first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Bpffs, Errno, MapInfo};

/// Where it is mounted.
const ROOT: &str = "/sys/fs/bpf";

/// Names and what stands behind them.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// What is pinned; `None` where it is no map.
    pins: BTreeMap<PathBuf, Option<MapInfo>>,
    dirs: BTreeSet<PathBuf>,
}

impl Pins {
    /// Puts a pin there without asking.
    pub(super) fn insert(&mut self, path: PathBuf, map: Option<MapInfo>) {
        let parents = path.ancestors().skip(1).filter(|dir| dir.starts_with(ROOT) && *dir != Path::new(ROOT));
        self.dirs.extend(parents.map(Path::to_path_buf));
        self.pins.insert(path, map);
    }

    /// All names.
    pub(super) fn all(&self) -> Vec<PathBuf> {
        self.dirs.iter().chain(self.pins.keys()).cloned().collect()
    }

    pub(super) fn pin(&mut self, path: &Path, map: Option<MapInfo>) -> Result<(), Errno> {
        self.free(path)?;
        self.pins.insert(path.to_path_buf(), map);
        Ok(())
    }

    pub(super) fn get(&self, path: &Path) -> Result<Option<MapInfo>, Errno> {
        self.pins.get(path).cloned().ok_or(Errno::ENOENT)
    }

    pub(super) fn call(&mut self, call: Bpffs<'_>) -> Result<bool, Errno> {
        match call {
            Bpffs::Is(path) if !path.starts_with(ROOT) => return Ok(false),
            Bpffs::Is(path) if !self.has(path) => return Err(Errno::ENOENT),
            Bpffs::Is(_) | Bpffs::Mark(..) => {}
            Bpffs::Has(path) => return Ok(self.has(path)),
            Bpffs::MakeDir(path) => {
                self.free(path)?;
                self.dirs.insert(path.to_path_buf());
            }
            Bpffs::Rename(from, to) => {
                self.free(to)?;
                let pin = self.pins.remove(from).ok_or(Errno::ENOENT)?;
                self.pins.insert(to.to_path_buf(), pin);
            }
            Bpffs::RemovePin(path) => {
                self.pins.remove(path).ok_or(Errno::ENOENT)?;
            }
            Bpffs::RemoveDir(path) => {
                if self.all().iter().any(|name| name.parent() == Some(path)) {
                    return Err(Errno(libc::ENOTEMPTY));
                }
                if !self.dirs.remove(path) {
                    return Err(Errno::ENOENT);
                }
            }
        }
        Ok(true)
    }

    fn has(&self, path: &Path) -> bool {
        path == Path::new(ROOT) || self.dirs.contains(path) || self.pins.contains_key(path)
    }

    /// Whether something can be put there: in a directory that is there, under a name that is free.
    fn free(&self, path: &Path) -> Result<(), Errno> {
        let dir = path.parent().unwrap_or(path);
        if dir != Path::new(ROOT) && !self.dirs.contains(dir) {
            return Err(Errno::ENOENT);
        }
        if self.has(path) { Err(Errno::EEXIST) } else { Ok(()) }
    }
}
