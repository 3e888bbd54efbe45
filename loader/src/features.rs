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
        /// Function types and source lines go with a program; `BTF_KIND_FUNC` and `BTF_KIND_FUNC_PROTO`.
        const FUNC_INFO = 1 << 3;
        /// Global variables: `BPF_PSEUDO_MAP_VALUE`.
        const GLOBAL_DATA = 1 << 4;
        /// `BPF_F_RDONLY_PROG` and `BPF_MAP_FREEZE`.
        const FROZEN_MAPS = 1 << 5;
        /// Arrays that user space can map into its memory.
        const MMAPABLE_ARRAYS = 1 << 6;
        /// `bpf_get_attach_cookie`.
        const BPF_COOKIE = 1 << 7;
        /// System calls have wrappers (`__x64_sys_...`) that programs must attach to.
        const SYSCALL_WRAPPER = 1 << 8;
        /// `BPF_TRACE_UPROBE_MULTI`: one link for many places.
        const UPROBE_MULTI = 1 << 9;
        /// Names may have dots.
        const DOTS_IN_NAMES = 1 << 10;
        /// `bpf_probe_read_kernel`, `bpf_probe_read_user` and their `_str`.
        const PROBE_READ_KERNEL = 1 << 11;
        /// `kind_flag` of structures, unions and declarations: bitfields.
        const BTF_KIND_FLAG = 1 << 12;
        /// `BTF_KIND_VAR` and `BTF_KIND_DATASEC`.
        const BTF_DATASEC = 1 << 13;
        /// `BTF_FUNC_GLOBAL`: functions that are verified on their own.
        const BTF_FUNC_GLOBAL = 1 << 14;
        /// `BTF_KIND_FLOAT`.
        const BTF_FLOAT = 1 << 15;
        /// `BTF_KIND_DECL_TAG`.
        const BTF_DECL_TAG = 1 << 16;
        /// `BTF_KIND_TYPE_TAG`.
        const BTF_TYPE_TAG = 1 << 17;
        /// `BTF_KIND_ENUM64`, and `kind_flag` of the narrow ones.
        const BTF_ENUM64 = 1 << 18;
        /// Names of `BTF_KIND_DATASEC` may begin with a question mark.
        const BTF_QUESTION_MARK = 1 << 19;
        /// `kind_flag` of tags.
        const BTF_ATTRIBUTES = 1 << 20;
        /// `BTF_KIND_DATASEC` without variables.
        const BTF_EMPTY_SECTION = 1 << 21;
        /// The tag `arg:ctx` says which argument of a global function is the context.
        const ARG_CTX_TAG = 1 << 22;
    }
}

/// What is known of one feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeatureRow {
    /// The feature.
    pub feature: Features,
    /// The first Linux version that has it, such as `(5, 2)`.
    pub since: (u8, u8),
    /// What it is called in messages.
    pub name: &'static str,
    /// What becomes of an object on a kernel without it.
    pub without: &'static str,
}

const fn row(feature: Features, since: (u8, u8), name: &'static str, without: &'static str) -> FeatureRow {
    FeatureRow { feature, since, name, without }
}

/// All features, oldest first: what another one stands on comes before it.
pub const FEATURES: &[FeatureRow] = &[
    row(Features::NAMES, (4, 15), "names of maps and programs", "left out"),
    row(Features::ATTACH_TYPE, (4, 17), "an attach type at load time", "left out"),
    // x86-64; arm64 followed in 4.19.
    row(
        Features::SYSCALL_WRAPPER,
        (4, 17),
        "system call wrappers",
        "`LINUX_HAS_SYSCALL_WRAPPER` is 0, as where there are no kprobes; the version alone decides",
    ),
    row(
        Features::BTF,
        (4, 18),
        "BTF",
        "left out, as where the kernel refuses it (`verify`, `-v` and `notes` in JSON say so); `.maps` still works, \
         its definitions are read here",
    ),
    row(
        Features::FUNC_INFO,
        (5, 0),
        "function types and source lines",
        "left out; verifier messages then carry no C lines. In BTF a prototype becomes an enumeration without \
         values and a function another name for it",
    ),
    row(
        Features::BTF_KIND_FLAG,
        (5, 0),
        "bitfields in BTF",
        "a structure or union that has some keeps its size and loses its members; a declared union becomes a \
         structure",
    ),
    row(
        Features::GLOBAL_DATA,
        (5, 2),
        "global variables",
        "programs that refer to them are an error that says so; sections that none refers to are left out",
    ),
    row(Features::FROZEN_MAPS, (5, 2), "read-only maps", "not frozen, and programs may write to `.rodata`"),
    row(Features::DOTS_IN_NAMES, (5, 2), "dots in names of maps and programs", "underscores in their place"),
    row(
        Features::BTF_DATASEC,
        (5, 2),
        "variables and their sections in BTF",
        "a section becomes a structure, a variable an integer of one byte; maps of global variables have no types",
    ),
    row(Features::MMAPABLE_ARRAYS, (5, 5), "memory-mapped arrays", "the flag is left out"),
    row(
        Features::PROBE_READ_KERNEL,
        (5, 5),
        "`bpf_probe_read_kernel` and its kin",
        "`bpf_probe_read` and `bpf_probe_read_str` are called instead",
    ),
    row(
        Features::BTF_FUNC_GLOBAL,
        (5, 6),
        "global functions in BTF",
        "all are static: verified where they are called",
    ),
    row(
        Features::BTF_EMPTY_SECTION,
        (5, 12),
        "sections without variables in BTF",
        "a structure without members; the map of such a section has no types",
    ),
    row(
        Features::BTF_FLOAT,
        (5, 13),
        "floating-point numbers in BTF",
        "a nameless structure of the same size without members",
    ),
    row(
        Features::BPF_COOKIE,
        (5, 15),
        "attach cookies",
        "`LINUX_HAS_BPF_COOKIE` is 0; the version alone decides",
    ),
    row(Features::BTF_DECL_TAG, (5, 16), "tags on declarations in BTF", "an integer of one byte"),
    row(Features::BTF_TYPE_TAG, (5, 17), "tags on types in BTF", "`const`"),
    row(
        Features::BTF_ENUM64,
        (6, 0),
        "64-bit and signed enumerations in BTF",
        "a union of the same size whose members have the values' names; narrow ones count as unsigned",
    ),
    row(
        Features::UPROBE_MULTI,
        (6, 6),
        "uprobe_multi links",
        "USDT programs are loaded for one place each; the version alone decides",
    ),
    row(
        Features::ARG_CTX_TAG,
        (6, 8),
        "tags on arguments that are the context",
        "the argument gets the type by which the kernel knows it; the version alone decides",
    ),
    row(
        Features::BTF_QUESTION_MARK,
        (6, 9),
        "sections in BTF whose name begins with a question mark",
        "an underscore in its place",
    ),
    row(Features::BTF_ATTRIBUTES, (6, 15), "attributes in BTF", "as tags where there are no tags"),
];

impl Features {
    /// What a kernel of this version has at least. Distributions add features to old versions, never take them away.
    pub fn of(version: KernelVersion) -> Self {
        let has = |row: &&FeatureRow| (version.major, version.minor) >= row.since;
        FEATURES.iter().filter(has).map(|row| row.feature).collect()
    }

    /// The version that brought a single feature, such as `(5, 2)`, and its name.
    pub fn since(self) -> Option<((u8, u8), &'static str)> {
        FEATURES.iter().find(|row| row.feature == self).map(|row| (row.since, row.name))
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
        assert_eq!(
            of("5.2.0") - of("5.1.0"),
            Features::GLOBAL_DATA | Features::FROZEN_MAPS | Features::DOTS_IN_NAMES | Features::BTF_DATASEC
        );
        assert_eq!(of("6.14.0"), Features::all() - Features::BTF_ATTRIBUTES);
        assert_eq!(of("6.18.0"), Features::all());
        assert!(Features::all().iter().all(|feature| feature.since().is_some()));
        assert!(FEATURES.is_sorted_by_key(|row| row.since), "what another one stands on comes first");
    }
}
