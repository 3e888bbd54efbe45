//! Pins that an earlier `--pin` made: found again, and removed.
//!
//! They carry the moment in which their program was loaded as the time at which they were last changed, to the
//! nanosecond. Other people's pins carry the time at which they were made, so they cannot be taken for ours.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    for mount in mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()) {
        pins.search(&mount, load_time);
    }
    pins
}

impl Pins {
    /// Removes them, and gives the paths of the pins; directories go if they are empty.
    pub(crate) fn remove(self) -> Result<Vec<PathBuf>, Failure> {
        let mut removed = Vec::new();
        for path in self.files {
            match fs::remove_file(&path) {
                Ok(()) => removed.push(path),
                // A bpffs that is mounted in two places shows everything twice.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Failure::Unpin { path, source }),
            }
        }
        for dir in self.dirs.iter().rev() {
            // What else stands in it is not ours.
            let _not_empty = fs::remove_dir(dir);
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

fn changed_at(found: &Metadata, time: u64) -> bool {
    const SECOND: i64 = 1_000_000_000;
    let changed = found.mtime().checked_mul(SECOND).and_then(|ns| ns.checked_add(found.mtime_nsec()));
    changed.is_some() && changed == i64::try_from(time).ok()
}

/// Where a bpffs is mounted. Source: proc_pid_mountinfo(5).
fn mounts(mountinfo: &str) -> Vec<PathBuf> {
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
                    31 21 0:28 / /a\\040b rw shared:1 master:2 - bpf none rw\n";
        assert_eq!(mounts(text), [PathBuf::from("/sys/fs/bpf"), PathBuf::from("/a b")]);
    }
}
