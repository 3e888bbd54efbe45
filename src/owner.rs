//! Who keeps a program attached: processes that have it or its link open, and pins.
//!
//! What may not enter: interfaces, and advice.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rxdp_loader::sys::Kernel;

use crate::pins;

/// All that holds one program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Holders {
    /// Processes that have it open, each once or, with a link, twice; in the order of their ids.
    pub(crate) processes: Vec<Process>,
    /// Names on bpffs.
    pub(crate) pins: Vec<Pin>,
}

/// A process that has the program or its link open.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
    /// The bpf_link that it holds; `None` for the program itself.
    pub(crate) link: Option<u32>,
}

/// A pin of the program or of its link.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pin {
    pub(crate) path: PathBuf,
    pub(crate) link: Option<u32>,
}

impl Holders {
    /// The link that holds it on an interface, where somebody shows one.
    pub(crate) fn link(&self) -> Option<u32> {
        let of_processes = self.processes.iter().find_map(|process| process.link);
        of_processes.or_else(|| self.pins.iter().find_map(|pin| pin.link))
    }
}

/// Looks for all that holds program `id` on the interface `ifindex`. What this process may not see is not found.
///
/// Source: proc_pid_fdinfo(5), `bpf_prog_show_fdinfo`, `bpf_link_show_fdinfo`.
pub(crate) fn find(kernel: &impl Kernel, id: u32, ifindex: u32) -> Holders {
    let wanted =
        |held: &Held| held.program == Some(id) && held.interface.is_none_or(|other| other == ifindex);
    let mut processes: Vec<Process> = numbers("/proc")
        .filter(|pid| *pid != std::process::id())
        .flat_map(|pid| open_in(pid).filter(wanted).map(move |held| process(pid, held.link)))
        .collect();
    processes.sort();
    processes.dedup();
    let mut pins: Vec<Pin> = pins::files()
        .into_iter()
        .filter_map(|path| {
            let held = pinned(kernel, &path).filter(wanted)?;
            Some(Pin { path, link: held.link })
        })
        .collect();
    pins.sort();
    Holders { processes, pins }
}

/// What a descriptor stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Held {
    program: Option<u32>,
    link: Option<u32>,
    /// Where a link holds it.
    interface: Option<u32>,
}

impl Held {
    /// From a file in `/proc/PID/fdinfo`; `None` where it is of no program.
    fn of(fdinfo: &str) -> Option<Self> {
        let number = |name: &str| {
            let mut rest = fdinfo.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            rest.next()?.trim().parse().ok()
        };
        let held = Self { program: number("prog_id"), link: number("link_id"), interface: number("ifindex") };
        held.program.is_some().then_some(held)
    }
}

fn open_in(pid: u32) -> impl Iterator<Item = Held> {
    let dir = format!("/proc/{pid}/fdinfo");
    numbers(&dir)
        .filter_map(move |fd| Held::of(&fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?))
}

fn process(pid: u32, link: Option<u32>) -> Process {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Process { pid, name: name.trim_end().to_string(), link }
}

fn pinned(kernel: &impl Kernel, path: &Path) -> Option<Held> {
    let opened = kernel.obj_get(path).ok()?;
    Held::of(&fs::read_to_string(format!("/proc/self/fdinfo/{}", opened.fd.as_raw_fd())).ok()?)
}

/// The entries of a directory whose names are numbers.
fn numbers(dir: &str) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_programs_and_links_are_told_from_others() {
        let program = "pos:\t0\nflags:\t02000002\nprog_type:\t6\nprog_tag:\tb30cf65b7e0fa9c7\nprog_id:\t42\n";
        let link = "link_type:\txdp\nlink_id:\t7\nprog_tag:\tb30cf65b7e0fa9c7\nprog_id:\t42\nifindex:\t3\n";
        let map = "map_type:\t2\nmap_id:\t5\n";
        assert_eq!(Held::of(program), Some(Held { program: Some(42), link: None, interface: None }));
        assert_eq!(Held::of(link), Some(Held { program: Some(42), link: Some(7), interface: Some(3) }));
        assert_eq!(Held::of(map), None);
    }
}
