//! Programs that an event calls: tracepoints by category, functions of the kernel and places in executables one by one.
//!
//! The event is opened first, then linked to the program; the link keeps it, so it is closed here again.
//!
//! Source: libbpf `bpf_program__attach_kprobe_opts`, `bpf_program__attach_uprobe_opts`, `bpf_program__attach_tracepoint`.

use std::env::consts::ARCH;
use std::os::fd::AsFd;
use std::path::Path;

use super::{Attached, Attaching, Places, find};
use crate::spec::section::SectionRule;
use crate::sys::{Event, Kernel};

/// What stands behind the `/` of a section for probes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Names {
    /// `NAME+OFFSET`: a function of the kernel.
    Function,
    /// `NAME`: a system call, whose function is called otherwise on every architecture.
    SystemCall,
    /// `PATH:FUNCTION+OFFSET`: a function of an executable.
    Place,
}

/// By the row of the section.
const NAMES: &[(&str, Names)] = &[
    ("kprobe", Names::Function),
    ("kretprobe", Names::Function),
    ("ksyscall", Names::SystemCall),
    ("kretsyscall", Names::SystemCall),
    ("uprobe", Names::Place),
    ("uprobe.s", Names::Place),
    ("uretprobe", Names::Place),
    ("uretprobe.s", Names::Place),
];

/// What functions of system calls begin with, by architecture. Source: `arch/*/include/asm/syscall_wrapper.h`.
const SYSTEM_CALLS: &[(&str, &str)] = &[
    ("x86_64", "__x64_sys_"),
    ("aarch64", "__arm64_sys_"),
    ("riscv64", "__riscv_sys_"),
    ("s390x", "__s390x_sys_"),
];

impl<K: Kernel> Attaching<'_, K> {
    /// To the tracepoint of this name, `CATEGORY/NAME`.
    pub(super) fn trace_event(&self, name: &str) -> Attached {
        let Some((category, name)) = name.split_once('/') else {
            return Err(
                self.no_place(format!("tracepoint {name:?} has no category: it is called CATEGORY/NAME"))
            );
        };
        self.event(&Event::Tracepoint { category, name })
    }

    /// To what the section of a probe names.
    pub(super) fn probe(&self, target: &str) -> Attached {
        let (SectionRule::Row(row) | SectionRule::Prefix(row)) = self.program.kind.rule else {
            return Err(self.silent());
        };
        match (NAMES.iter().find(|(of, _)| *of == row), target.rsplit_once(':')) {
            (Some((_, Names::Function)), _) => self.function(target),
            (Some((_, Names::SystemCall)), _) => self.function(&system_call(target)),
            (Some((_, Names::Place)), Some((path, function))) => {
                self.place_of(Path::new(path), function, None)
            }
            (Some((_, Names::Place)) | None, _) => Err(self.silent()),
        }
    }

    /// To functions of the kernel: an event is of one.
    pub(super) fn one_function(&self, names: &[&str]) -> Attached {
        let [name] = names else {
            return Err(self.many(names.len()));
        };
        self.function(name)
    }

    /// To places in an executable: an event is of one.
    pub(super) fn one_place(&self, path: &Path, places: Places<'_>, process: Option<u32>) -> Attached {
        match places {
            Places::Offsets([offset]) => self.place(path, *offset, process),
            Places::Functions([function]) => self.place_of(path, function, process),
            Places::Offsets(offsets) => Err(self.many(offsets.len())),
            Places::Functions(functions) => Err(self.many(functions.len())),
        }
    }

    fn function(&self, target: &str) -> Attached {
        let (name, offset) = split(target);
        self.event(&Event::Function { name, offset, returns: self.returns() })
    }

    fn place_of(&self, path: &Path, function: &str, process: Option<u32>) -> Attached {
        let (function, offset) = split(function);
        let found = find::places(path, &[function]).map_err(|why| self.no_place(why))?;
        let [at] = &found[..] else {
            return Err(self.many(found.len()));
        };
        self.place(path, at.saturating_add(offset), process)
    }

    fn place(&self, path: &Path, offset: u64, process: Option<u32>) -> Attached {
        self.event(&Event::Place { path, offset, process, returns: self.returns() })
    }

    fn event(&self, event: &Event<'_>) -> Attached {
        let opened = self.kernel.event_open(event).map_err(self.failed("perf_event_open(2)"))?;
        self.file("event", opened.as_fd())
    }

    fn many(&self, number: usize) -> super::LoadError {
        self.no_place(format!(
            "it takes one place, and there are {number}: kprobe.multi and uprobe.multi take many"
        ))
    }
}

/// A name, and the **bytes** behind its `+`, as C writes numbers.
fn split(target: &str) -> (&str, u64) {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let parts = target.split_once('+').and_then(|(name, offset)| Some((name, number(offset)?)));
    parts.unwrap_or((target, 0))
}

/// The function of a system call.
fn system_call(name: &str) -> String {
    let prefix = SYSTEM_CALLS.iter().find(|(arch, _)| *arch == ARCH).map_or("sys_", |(_, prefix)| prefix);
    format!("{prefix}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::section::{ROWS, SectionFlags};
    use crate::uapi::{AttachType, ProgType};

    #[test]
    fn every_section_of_probes_says_what_it_names() {
        let unset = AttachType(0);
        let probes = ROWS.iter().filter(|row| (row.ty, row.attach) == (ProgType::KPROBE, unset));
        for row in probes.filter(|row| !row.flags.contains(SectionFlags::USDT)) {
            assert!(NAMES.iter().any(|(name, _)| *name == row.name), "{}", row.name);
        }
    }

    #[test]
    fn a_name_may_go_on_with_an_offset() {
        assert_eq!((split("a"), split("a+16"), split("a+0x10")), (("a", 0), ("a", 16), ("a", 16)));
        assert_eq!(split("a+b"), ("a+b", 0));
    }
}
