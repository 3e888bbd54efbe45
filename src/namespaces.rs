//! Network namespaces: which there are, and work in one of them.
//!
//! Those with a name stand in `/run/netns`, others only in `/proc`, with the processes in them. A thread that enters one is started here
//! and ends here: no thread of the caller ever changes place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns};
use rxdp_loader::sys::Errno;

/// Where `ip netns add` puts names.
const NAMED: &str = "/run/netns";

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// What people call it: its name, or a process in it; `None` for the one that this process is in.
    pub(crate) name: Option<String>,
    file: File,
}

/// The namespace of this process, then those with a name, then those of processes; each once. What may not be seen is left out.
pub(crate) fn all() -> Vec<Namespace> {
    let mut found = BTreeMap::new();
    let mut order = Vec::new();
    let mut add = |path: &Path, name: &dyn Fn() -> Option<String>| {
        let Ok(file) = File::open(path) else {
            return;
        };
        // A file of the kind that a namespace is; a name without one is a plain file.
        let Some(place) = file.metadata().ok().map(|meta| (meta.dev(), meta.ino())) else {
            return;
        };
        found.entry(place).or_insert_with(|| {
            order.push(Namespace { name: name(), file });
        });
    };
    add(Path::new("/proc/self/ns/net"), &|| None);
    for entry in sorted(NAMED) {
        add(&entry.path(), &|| Some(entry.file_name().to_string_lossy().into_owned()));
    }
    for entry in sorted("/proc") {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let name = || {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            Some(format!("of pid {pid} ({})", name.trim_end()))
        };
        add(&entry.path().join("ns/net"), &name);
    }
    order
}

impl Namespace {
    /// Does something inside.
    pub(crate) fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, Errno> {
        thread::scope(|scope| {
            let entered = || {
                if self.name.is_some() {
                    setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| Errno(errno as i32))?;
                }
                Ok(work())
            };
            let thread = thread::Builder::new().name("namespace".to_string()).spawn_scoped(scope, entered);
            let thread = thread.map_err(|error| Errno::from_io(&error))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// What stands in a directory, by name.
fn sorted(dir: &str) -> Vec<fs::DirEntry> {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(|entry| {
        let name = entry.file_name();
        (name.len(), name)
    });
    entries
}
