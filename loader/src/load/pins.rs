//! Names on bpffs: made, compared, and removed again when the load fails.

use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::{LoadError, MadePin};
use crate::plan::{CreateMap, PinDir};
use crate::sys::{Bpffs, Errno, Kernel, MapInfo, Named, PinKind};
use crate::uapi::{MapFlags, MapType};

/// Names that a load has made so far. Dropping them removes them.
#[derive(Debug)]
pub(super) struct Pins<'k, K: Kernel> {
    kernel: &'k K,
    made: Vec<MadePin>,
}

impl<'k, K: Kernel> Pins<'k, K> {
    pub(super) fn new(kernel: &'k K) -> Self {
        Self { kernel, made: Vec::new() }
    }

    /// Leaves them where they are.
    pub(super) fn keep(mut self) -> Vec<MadePin> {
        mem::take(&mut self.made)
    }

    /// Makes a directory and those above it, where they are missing.
    pub(super) fn make_dir(&mut self, dir: &PinDir) -> Result<(), LoadError> {
        let missing = self.missing_dirs(Path::new(&dir.path))?;
        if missing.is_empty() {
            return self.check_free(&dir.free);
        }
        for path in missing {
            match self.kernel.bpffs(Bpffs::MakeDir(&path)) {
                Ok(_) => self.made.push(MadePin { path, is_dir: true, shared: dir.shared }),
                // Somebody else has just made it: theirs to remove.
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(unprepared(&path, errno)),
            }
        }
        Ok(())
    }

    /// Gives a map or program a name.
    pub(super) fn pin(&mut self, object: Named<'_>, path: &str, shared: bool) -> Result<(), LoadError> {
        let failed = |errno| LoadError::Pin { what: object.name.to_string(), path: path.to_string(), errno };
        self.kernel.obj_pin(object, Path::new(path)).map_err(failed)?;
        self.made.push(MadePin { path: PathBuf::from(path), is_dir: false, shared });
        Ok(())
    }

    /// The map that is pinned there, if there is one and it fits.
    pub(super) fn open_map(&self, create: &CreateMap, path: &str) -> Result<Option<OwnedFd>, LoadError> {
        let map = &create.name;
        let found = match self.kernel.obj_get(Path::new(path)) {
            Ok(found) => found,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => {
                return Err(LoadError::PinOpen { map: map.to_string(), path: path.to_string(), errno });
            }
        };
        let misfit = |differences| LoadError::PinMismatch {
            map: map.to_string(),
            path: path.to_string(),
            differences,
        };
        match found.kind {
            PinKind::Program => return Err(misfit(vec!["it is a program".to_string()])),
            PinKind::Link => return Err(misfit(vec!["it is a link".to_string()])),
            PinKind::Map | PinKind::Other => {}
        }
        let failed = |errno| LoadError::Info {
            what: format!("map {map:?}, pinned at {path}"),
            command: "BPF_OBJ_GET_INFO_BY_FD",
            errno,
        };
        let info = self.kernel.map_info(Named { name: map, fd: found.fd.as_fd() }).map_err(failed)?;
        let differences = differences(create, &info, path);
        if differences.is_empty() { Ok(Some(found.fd)) } else { Err(misfit(differences)) }
    }

    /// Directories to make, outermost first. Fails where they would not be on a bpffs.
    fn missing_dirs(&self, path: &Path) -> Result<Vec<PathBuf>, LoadError> {
        let mut missing = Vec::new();
        for dir in path.ancestors() {
            match self.kernel.bpffs(Bpffs::Is(dir)) {
                Ok(true) => {
                    missing.reverse();
                    return Ok(missing);
                }
                Ok(false) => break,
                Err(Errno::ENOENT) => missing.push(dir.to_path_buf()),
                Err(errno) => return Err(unprepared(dir, errno)),
            }
        }
        Err(LoadError::NotBpffs { path: path.display().to_string() })
    }

    fn check_free(&self, paths: &[String]) -> Result<(), LoadError> {
        let mut taken = Vec::new();
        for path in paths {
            let there = self.kernel.bpffs(Bpffs::Has(Path::new(path)));
            if there.map_err(|errno| unprepared(Path::new(path), errno))? {
                taken.push(path.clone());
            }
        }
        if taken.is_empty() { Ok(()) } else { Err(LoadError::PinTaken { paths: taken }) }
    }
}

impl<K: Kernel> Drop for Pins<'_, K> {
    fn drop(&mut self) {
        remove(self.kernel, &mem::take(&mut self.made));
    }
}

/// Removes names, the last that was made first.
pub(super) fn remove(kernel: &impl Kernel, made: &[MadePin]) {
    for pin in made.iter().rev() {
        let path = &pin.path;
        // What somebody else has removed or filled meanwhile is theirs.
        let _theirs = kernel.bpffs(if pin.is_dir { Bpffs::RemoveDir(path) } else { Bpffs::RemovePin(path) });
    }
}

fn unprepared(path: &Path, errno: Errno) -> LoadError {
    LoadError::PinDir { path: path.display().to_string(), errno }
}

/// What must be equal for a pinned map to be used, and is not: a clause each.
///
/// Source: libbpf `map_is_reuse_compat`. Types of keys and values are not compared.
pub fn differences(create: &CreateMap, info: &MapInfo, path: &str) -> Vec<String> {
    let mut flags = info.flags;
    if matches!(create.ty, MapType::DEVMAP | MapType::DEVMAP_HASH) {
        // The kernel sets this one itself, and refuses to be asked for it.
        flags.remove(MapFlags::RDONLY_PROG);
    }
    let hex = |flags: MapFlags| format!("{:#x}", flags.bits());
    let fields = [
        ("type", create.ty.to_string(), info.ty.to_string()),
        ("key_size", create.key_size.to_string(), info.key_size.to_string()),
        ("value_size", create.value_size.to_string(), info.value_size.to_string()),
        ("max_entries", create.max_entries.to_string(), info.max_entries.to_string()),
        ("map_flags", hex(create.flags), hex(flags)),
        ("map_extra", create.map_extra.to_string(), info.map_extra.to_string()),
    ];
    let differing = fields.into_iter().filter(|(_, ours, theirs)| ours != theirs);
    differing
        .map(|(field, ours, theirs)| format!("{field} is {ours} in the object and {theirs} in {path}"))
        .collect()
}
