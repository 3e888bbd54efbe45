//! What the machine says about itself in files and cheap calls: kernel version, CPUs, page size.

use std::fs;
use std::thread::available_parallelism;

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

/// CPUs that may ever be there: the values of a per-CPU map. Source: `/sys/devices/system/cpu/possible`.
pub fn possible_cpus() -> u32 {
    let listed =
        fs::read_to_string("/sys/devices/system/cpu/possible").ok().and_then(|list| count(list.trim()));
    listed.unwrap_or_else(|| available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)))
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
