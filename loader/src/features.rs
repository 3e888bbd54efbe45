//! What a kernel can do, as plain data.
//!
//! The stages above the kernel line take this as an argument, so they give the same result for the same features on
//! every machine. Which features the running kernel has is found out below the line.

use core::fmt;

/// A kernel's version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KernelVersion {
    /// The 6 of 6.18.2.
    pub major: u8,
    /// The 18 of 6.18.2.
    pub minor: u8,
    /// The 2 of 6.18.2.
    pub patch: u8,
}

impl KernelVersion {
    /// `LINUX_VERSION_CODE`, which kernels before 5.0 want to see in kprobe programs.
    pub const fn code(self) -> u32 {
        (self.major as u32) << 16 | (self.minor as u32) << 8 | self.patch as u32
    }

    /// Reads what `uname -r` says: numbers, dots, and then whatever the distribution adds.
    pub fn parse(release: &str) -> Option<Self> {
        let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
        let (numbers, _) = release.split_at_checked(end)?;
        let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
        let mut next = || parts.next().flatten().map(|n| u8::try_from(n).unwrap_or(u8::MAX));
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

bitflags::bitflags! {
    /// Capabilities of a kernel that decide how an object is loaded.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Features: u32 {
        /// Maps and programs have names.
        const NAMES = 1 << 0;
        /// A program says at load time where it will be attached.
        const ATTACH_TYPE = 1 << 1;
        /// `BPF_BTF_LOAD`.
        const BTF = 1 << 2;
        /// Function types and source lines go with a program.
        const FUNC_INFO = 1 << 3;
        /// Global variables: `BPF_PSEUDO_MAP_VALUE`.
        const GLOBAL_DATA = 1 << 4;
        /// `BPF_F_RDONLY_PROG` and `BPF_MAP_FREEZE`.
        const FROZEN_MAPS = 1 << 5;
        /// Arrays that user space can map into its memory.
        const MMAPABLE_ARRAYS = 1 << 6;
        /// `bpf_get_attach_cookie`.
        const BPF_COOKIE = 1 << 7;
        /// `BPF_TRACE_UPROBE_MULTI`: one link for many places.
        const UPROBE_MULTI = 1 << 9;
        /// System calls have wrappers (`__x64_sys_...`) that programs must attach to.
        const SYSCALL_WRAPPER = 1 << 8;
    }
}

/// Since when each feature is there, and what it is called in messages.
const SINCE: &[(Features, (u8, u8), &str)] = &[
    (Features::NAMES, (4, 15), "names of maps and programs"),
    (Features::ATTACH_TYPE, (4, 17), "an attach type at load time"),
    (Features::BTF, (4, 18), "BTF"),
    (Features::FUNC_INFO, (5, 0), "function types and source lines"),
    (Features::GLOBAL_DATA, (5, 2), "global variables"),
    (Features::FROZEN_MAPS, (5, 2), "read-only maps"),
    (Features::MMAPABLE_ARRAYS, (5, 5), "memory-mapped arrays"),
    (Features::BPF_COOKIE, (5, 15), "attach cookies"),
    (Features::UPROBE_MULTI, (6, 6), "uprobe_multi links"),
    // x86-64; arm64 followed in 4.19.
    (Features::SYSCALL_WRAPPER, (4, 17), "system call wrappers"),
];

impl Features {
    /// What a kernel of this version has at least. Distributions add features to old versions, never take them away.
    pub fn of(version: KernelVersion) -> Self {
        let has = |(_, since, _): &&(Self, (u8, u8), &str)| (version.major, version.minor) >= *since;
        SINCE.iter().filter(has).map(|(feature, ..)| *feature).collect()
    }

    /// The version that brought a single feature, such as `(5, 2)`, and its name.
    pub fn since(self) -> Option<((u8, u8), &'static str)> {
        SINCE.iter().find(|(feature, ..)| *feature == self).map(|(_, since, name)| (*since, *name))
    }
}

/// What the stages above the kernel line must know of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Machine {
    /// The running kernel.
    pub kernel: KernelVersion,
    /// What it can do.
    pub features: Features,
    /// CPUs that may ever be there: entries of a `PERF_EVENT_ARRAY` that does not say.
    pub cpus: u32,
    /// Size of a page in **bytes**: ring buffers are a power of two of them.
    pub page_size: u32,
}

impl Machine {
    /// A machine with every feature, for looking at plans without a kernel.
    pub const NEWEST: Self = Self {
        kernel: KernelVersion { major: 6, minor: 18, patch: 0 },
        features: Features::all(),
        cpus: 1,
        page_size: 4096,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions() {
        let version = |text| KernelVersion::parse(text).map(|v| (v.major, v.minor, v.patch));
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18, 44)));
        assert_eq!(version("5.4"), Some((5, 4, 0)));
        assert_eq!(version("4.19.325-1"), Some((4, 19, 255)));
        assert_eq!(version("generic"), None);
    }

    #[test]
    fn features_come_with_versions() {
        let of = |text| Features::of(KernelVersion::parse(text).unwrap());
        assert_eq!(of("4.14.0"), Features::empty());
        let later = Features::MMAPABLE_ARRAYS | Features::BPF_COOKIE | Features::UPROBE_MULTI;
        assert_eq!(of("5.2.0"), Features::all() - later);
        assert_eq!(of("6.18.0"), Features::all());
        assert!(Features::all().iter().all(|feature| feature.since().is_some()));
    }
}
