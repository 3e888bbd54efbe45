//! What the machine says about itself in files and cheap calls: kernel version, CPUs, page size, and, if somebody asks,
//! its configuration and its symbols.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread::available_parallelism;

use flate2::read::GzDecoder;

use super::FileMapping;
use crate::externs::{Facts, Needs};
use crate::features::{Features, KernelVersion, Machine};

/// The running machine, without asking bpf(2).
///
/// Features follow from the kernel's version: a distribution's kernel may have more, never less. What cannot be read
/// counts as the oldest that makes sense.
pub fn machine() -> Machine {
    let kernel = kernel_version().unwrap_or(KernelVersion { major: 4, minor: 0, patch: 0 });
    Machine { kernel, features: Features::of(kernel), cpus: possible_cpus(), page_size: page_size() }
}

/// The running kernel's version. Source: uname(2), as `/proc` shows it.
pub fn kernel_version() -> Option<KernelVersion> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    KernelVersion::parse(release.trim())
}

/// CPUs that may ever be there: the values of a per-CPU map. Without [`listed_cpus`], those that are there now.
pub fn possible_cpus() -> u32 {
    listed_cpus()
        .unwrap_or_else(|| available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)))
}

/// CPUs that may ever be there, as the kernel lists them. Source: `/sys/devices/system/cpu/possible`.
pub fn listed_cpus() -> Option<u32> {
    count(fs::read_to_string("/sys/devices/system/cpu/possible").ok()?.trim())
}

/// What an object's externs need to know of this machine. What cannot be read counts as not there.
pub fn facts(needs: &Needs) -> Facts {
    Facts {
        kconfig: if needs.kconfig { kconfig() } else { None },
        ksyms: if needs.ksyms.is_empty() { BTreeMap::new() } else { kallsyms(&needs.ksyms) },
        kprobes: needs.kprobes && KPROBES.iter().any(|path| Path::new(path).exists()),
    }
}

/// What is there where kprobes can be attached: the kind of event that they are, or before Linux 4.17 a file of tracefs.
const KPROBES: &[&str] = &[
    "/sys/bus/event_source/devices/kprobe",
    "/sys/kernel/tracing/kprobe_events",
    "/sys/kernel/debug/tracing/kprobe_events",
];

/// The kernel's configuration. Source: `/boot/config-RELEASE`, `/proc/config.gz`, in libbpf's order.
fn kconfig() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    if let Ok(text) = fs::read_to_string(format!("/boot/config-{}", release.trim())) {
        return Some(text);
    }
    let mut text = String::new();
    GzDecoder::new(File::open("/proc/config.gz").ok()?).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Addresses of these symbols. Source: `/proc/kallsyms`, which shows 0 for all to those who may not know; the start of the
/// per-CPU variables is 0 on some machines.
///
/// A symbol with several addresses is left out: nobody knows which one is meant.
fn kallsyms(wanted: &BTreeSet<String>) -> BTreeMap<String, u64> {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut ambiguous = BTreeSet::new();
    let mut may_know = false;
    let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(_kind), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(address) = u64::from_str_radix(address, 16) else {
            continue;
        };
        may_know |= address != 0;
        // Link-time optimisation appends a suffix to static symbols.
        let name = name.split_once(".llvm.").map_or(name, |(name, _)| name);
        if !wanted.contains(name) {
            continue;
        }
        if found.insert(name.to_string(), address).is_some_and(|before| before != address) {
            ambiguous.insert(name.to_string());
        }
    }
    found.retain(|name, _| may_know && !ambiguous.contains(name));
    found
}

/// Where calls of the kernel's functions are counted from in the rewritten code of programs: the address of
/// `__bpf_call_base`, if it may be known.
pub fn call_base() -> Option<u64> {
    kallsyms(&BTreeSet::from(["__bpf_call_base".to_string()])).into_values().next()
}

/// Names of the kernel's functions at these addresses. Source: `/proc/kallsyms`. What cannot be found is left out.
pub fn functions_at(addresses: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok().filter(|at| addresses.contains(at))?;
        Some((address, words.nth(1)?.to_string()))
    });
    named.collect()
}

/// The types of the kernel or of a module, as the kernel shows them.
#[derive(Debug)]
pub enum BtfFile {
    /// Mapped into memory: only what is looked at is read. Since: Linux 6.16, for the kernel's own.
    Mapped(FileMapping),
    /// Read.
    Read(Vec<u8>),
}

impl BtfFile {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => mapping.bytes(),
            Self::Read(bytes) => bytes,
        }
    }
}

/// Where the kernel shows its types and its modules'.
const BTF_DIR: &str = "/sys/kernel/btf";

/// The kernel's types; `None` if it shows none. Source: `/sys/kernel/btf/vmlinux`. Since: Linux 5.4.
pub fn vmlinux_btf() -> Option<BtfFile> {
    let path = Path::new(BTF_DIR).join("vmlinux");
    let file = File::open(&path).ok()?;
    let len = usize::try_from(file.metadata().ok()?.len()).ok()?;
    match FileMapping::of_constant_file(file.as_fd(), len) {
        Ok(mapping) => Some(BtfFile::Mapped(mapping)),
        Err(_) => fs::read(path).ok().map(BtfFile::Read),
    }
}

/// The types of all modules that are loaded and have some, with the modules' names. Since: Linux 5.11.
pub fn module_btfs() -> Vec<(String, BtfFile)> {
    let entries = fs::read_dir(BTF_DIR).into_iter().flatten().flatten();
    let modules = entries.filter(|entry| entry.file_name() != "vmlinux");
    let mut found: Vec<_> = modules
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, BtfFile::Read(fs::read(entry.path()).ok()?)))
        })
        .collect();
    // Directories are in no order; answers are to be the same every time.
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// CPUs of a list such as `0-3,8`.
fn count(list: &str) -> Option<u32> {
    list.split(',').try_fold(0u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        last.checked_sub(first)?.checked_add(1)?.checked_add(sum)
    })
}

/// Bytes of a page of memory.
fn page_size() -> u32 {
    u32::try_from(super::mount::page_size()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count("0"), Some(1));
        assert_eq!((count("3-0"), count("")), (None, None));
    }

    #[test]
    fn this_machine_has_a_version_and_a_cpu() {
        let machine = machine();
        assert!(machine.kernel.major >= 4 && machine.cpus >= 1 && machine.page_size >= 4096);
    }
}
