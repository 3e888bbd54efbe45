//! Pins that an earlier `--pin` made: found again, and removed.
//!
//! They carry the moment in which their program was loaded as the time at which they were last changed, to the
//! nanosecond. Other people's pins carry the time at which they were made, so they cannot be taken for ours.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rxdp_loader::sys::{Bpffs, Errno, Kernel};

use crate::error::Failure;

/// Names on bpffs that belong together.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    files: Vec<PathBuf>,
    /// Outer ones before inner ones.
    dirs: Vec<PathBuf>,
}

/// What was pinned for the program that was loaded at this time, in **nanoseconds** since the machine started.
pub(crate) fn made_for(load_time: u64) -> Pins {
    let mut pins = Pins::default();
    for mount in bpffs_mounts() {
        pins.search(&mount, load_time);
    }
    pins
}

/// Where a bpffs is mounted, as this process sees it.
pub(crate) fn bpffs_mounts() -> BTreeSet<PathBuf> {
    mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

impl Pins {
    /// Those that stand in this directory itself.
    pub(crate) fn in_dir(self, dir: &Path) -> Vec<PathBuf> {
        let dir = fs::canonicalize(dir).ok();
        self.files.into_iter().filter(|file| file.parent() == dir.as_deref()).collect()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Removes them, and gives the paths of the pins; directories go if they are empty.
    pub(crate) fn remove(self, kernel: &impl Kernel) -> Result<Vec<PathBuf>, Failure> {
        let mut removed = Vec::new();
        for path in self.files {
            match kernel.bpffs(Bpffs::RemovePin(&path)) {
                Ok(_) => removed.push(path),
                // A bpffs that is mounted in two places shows everything twice.
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(Failure::Unpin { path, errno }),
            }
        }
        for dir in self.dirs.iter().rev() {
            // What else stands in it is not ours.
            let _not_empty = kernel.bpffs(Bpffs::RemoveDir(dir));
        }
        Ok(removed)
    }

    fn search(&mut self, dir: &Path, load_time: u64) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        let mut entries: Vec<DirEntry> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            // Does not follow links.
            let Ok(found) = entry.metadata() else {
                continue;
            };
            let (path, ours) = (entry.path(), changed_at(&found, load_time));
            if found.is_dir() {
                if ours {
                    self.dirs.push(path.clone());
                }
                self.search(&path, load_time);
            } else if ours {
                self.files.push(path);
            }
        }
    }
}

/// The pins of a program that is to be replaced. Where their names are wanted, they have others meanwhile.
///
/// They hold the program's jump tables, so they must be there until the program is no longer attached. Dropping this
/// gives them their names back.
#[derive(Debug)]
pub(crate) struct Predecessor<'k, K: Kernel> {
    kernel: &'k K,
    load_time: u64,
    /// What its pins are called by right, and what they are called now.
    aside: Vec<(PathBuf, PathBuf)>,
    /// Directories that were made for it, outer ones first. The names made in them change when they were last changed,
    /// so they could not be found later.
    dirs: Vec<PathBuf>,
}

impl<'k, K: Kernel> Predecessor<'k, K> {
    /// Frees the names in `dir` that belong to the program that was loaded at this time.
    pub(crate) fn make_room(kernel: &'k K, load_time: u64, dir: &Path) -> Result<Self, Failure> {
        let Pins { files, dirs } = made_for(load_time);
        let mut this = Self { kernel, load_time, aside: Vec::new(), dirs };
        // A directory that is not there has no names in it.
        let dir = fs::canonicalize(dir).ok();
        for file in files.into_iter().filter(|file| file.parent() == dir.as_deref()) {
            let aside = this.step_aside(&file)?;
            this.aside.push((file, aside));
        }
        Ok(this)
    }

    /// Gives a pin the first free one of `NAME~`, `NAME~~` and so on. It is found by its mark under any name.
    fn step_aside(&self, file: &Path) -> Result<PathBuf, Failure> {
        let mut aside = file.to_path_buf();
        loop {
            aside.as_mut_os_string().push("~");
            match self.kernel.bpffs(Bpffs::Rename(file, &aside)) {
                Ok(_) => return Ok(aside),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(Failure::StepAside { path: file.to_path_buf(), errno }),
            }
        }
    }

    /// It was replaced by a program that was loaded at this time and pinned in `dir`: removes its pins, and says how
    /// many they were. What was made for it and is still needed is the other's from now on.
    pub(crate) fn remove(mut self, successor: u64, dir: &Path) -> Result<usize, Failure> {
        self.aside.clear();
        let dirs = std::mem::take(&mut self.dirs);
        let pins = Pins { files: made_for(self.load_time).files, dirs: dirs.clone() };
        let removed = pins.remove(self.kernel)?;
        let dir = fs::canonicalize(dir).unwrap_or_default();
        for needed in dirs.iter().filter(|needed| dir.starts_with(needed)) {
            // Without its mark it only stays when all is unloaded.
            let _stays = self.kernel.bpffs(Bpffs::Mark(needed, successor));
        }
        Ok(removed.len())
    }
}

impl<K: Kernel> Drop for Predecessor<'_, K> {
    fn drop(&mut self) {
        for (file, aside) in &self.aside {
            // Somebody else may have taken the name; `unload` finds the pin under the other one, too.
            let _taken = self.kernel.bpffs(Bpffs::Rename(aside, file));
        }
        for dir in &self.dirs {
            let _stays = self.kernel.bpffs(Bpffs::Mark(dir, self.load_time));
        }
    }
}

fn changed_at(found: &Metadata, time: u64) -> bool {
    const SECOND: i64 = 1_000_000_000;
    let changed = found.mtime().checked_mul(SECOND).and_then(|ns| ns.checked_add(found.mtime_nsec()));
    changed.is_some() && changed == i64::try_from(time).ok()
}

/// Every pin that can be reached, whoever made it.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs: Vec<PathBuf> = bpffs_mounts().into_iter().collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let list = if is_dir { &mut dirs } else { &mut files };
            list.push(entry.path());
        }
    }
    files
}

/// Where a bpffs is mounted, each place once: of several over each other only the last can be seen.
/// Source: proc_pid_mountinfo(5).
fn mounts(mountinfo: &str) -> BTreeSet<PathBuf> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?;
        kind.starts_with("bpf ").then(|| PathBuf::from(unescape(place)))
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// Blanks and the like stand there as octal numbers: `\040`.
fn unescape(path: &str) -> String {
    const ESCAPES: [(&str, &str); 4] = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    ESCAPES.iter().fold(path.to_string(), |path, (from, to)| path.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bpffs_mounts_are_found() {
        let text = "29 21 0:26 / /sys/fs/bpf rw,nosuid - bpf bpf rw,mode=700\n\
                    30 21 0:27 / /proc rw - proc proc rw\n\
                    31 21 0:28 / /a\\040b rw shared:1 master:2 - bpf none rw\n\
                    32 29 0:29 / /sys/fs/bpf rw - bpf bpf rw\n";
        assert_eq!(mounts(text), [PathBuf::from("/a b"), PathBuf::from("/sys/fs/bpf")].into());
    }
}
