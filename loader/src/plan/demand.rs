//! What a call asks for and only newer kernels have. It is made all the same, since a distribution may have added it to
//! an old version; if the kernel refuses, this is said.
//!
//! Source: `include/uapi/linux/bpf.h` by version, `bpf_prog_load_check_attach_type` and `check_alu_op`,
//! `kernel/bpf`.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use super::{CreateMap, LoadProgram};
use crate::features::KernelVersion;
use crate::insn::{CALL, Insn, LD_IMM64};
use crate::link::LinkedProgram;
use crate::uapi::{Helper, MapFlags, ProgFlags, ProgType, pseudo};

/// Something that only a newer kernel has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    /// What, such as `helper ringbuf_output`.
    pub what: String,
    /// The first Linux version that has it, such as `(5, 8)`.
    pub since: (u8, u8),
    /// The running kernel.
    pub kernel: KernelVersion,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, since: (major, minor), kernel } = self;
        write!(f, "needs Linux {major}.{minor} ({what}), this is Linux {kernel}")
    }
}

impl CreateMap {
    /// What the map asks for and this kernel is too old for: of several things the newest.
    pub fn beyond(&self, kernel: KernelVersion) -> Option<Demand> {
        let mut newest = Newest { kernel, found: None };
        newest.add(self.ty.since().and_then(version), || format!("map type {}", self.ty));
        for (flag, since) in MAP_FLAGS {
            if self.flags.contains(*flag) {
                newest.add(Some(*since), || format!("map flag {:#x}", flag.bits()));
            }
        }
        if self.map_extra != 0 {
            newest.add(Some((5, 16)), || "map_extra".to_string());
        }
        newest.found
    }
}

impl LoadProgram {
    /// What the program asks for and this kernel is too old for: of several things the newest.
    pub fn beyond(&self, linked: &LinkedProgram, kernel: KernelVersion) -> Option<Demand> {
        let mut newest = Newest { kernel, found: None };
        newest.add(self.ty.since().and_then(version), || format!("program type {}", self.ty));
        if ATTACH_IS_CHECKED.contains(&self.ty) {
            newest.add(self.attach.since().and_then(version), || format!("attach type {}", self.attach));
        }
        for (flag, ty, since, name) in PROG_FLAGS {
            if self.flags.contains(*flag) && ty.is_none_or(|ty| ty == self.ty) {
                newest.add(Some(*since), || (*name).to_string());
            }
        }
        let code = self.code(linked);
        if code.len() > FEW_INSTRUCTIONS {
            newest.add(Some((5, 2)), || format!("more than {FEW_INSTRUCTIONS} instructions"));
        }
        for insn in code.iter() {
            match insn.helper().map(Helper) {
                Some(helper) => newest.add(helper.since().and_then(version), || format!("helper {helper}")),
                None => newest.add_insn(*insn),
            }
        }
        newest.found
    }
}

/// Types whose programs the kernel refuses when it does not know their attach type.
const ATTACH_IS_CHECKED: &[ProgType] = &[
    ProgType::CGROUP_SOCK,
    ProgType::CGROUP_SOCK_ADDR,
    ProgType::CGROUP_SKB,
    ProgType::CGROUP_SOCKOPT,
    ProgType::TRACING,
    ProgType::LSM,
];

const MAP_FLAGS: &[(MapFlags, (u8, u8))] = &[
    (MapFlags::NO_PREALLOC, (4, 6)),
    (MapFlags::from_bits_retain(1 << 1), (4, 10)),
    (MapFlags::NUMA_NODE, (4, 14)),
    (MapFlags::from_bits_retain(1 << 3), (4, 15)),
    (MapFlags::from_bits_retain(1 << 4), (4, 15)),
    (MapFlags::from_bits_retain(1 << 5), (4, 17)),
    (MapFlags::from_bits_retain(1 << 6), (5, 0)),
    (MapFlags::RDONLY_PROG, (5, 2)),
    (MapFlags::from_bits_retain(1 << 8), (5, 2)),
    (MapFlags::from_bits_retain(1 << 9), (5, 4)),
    (MapFlags::MMAPABLE, (5, 5)),
    (MapFlags::from_bits_retain(1 << 11), (5, 10)),
    (MapFlags::INNER_MAP, (5, 10)),
    (MapFlags::LINK, (6, 4)),
    (MapFlags::VTYPE_BTF_OBJ_FD, (6, 9)),
];

/// A flag, the only type that this is about, since when, and what it is called.
type FlagRow = (ProgFlags, Option<ProgType>, (u8, u8), &'static str);

const PROG_FLAGS: &[FlagRow] = &[
    (ProgFlags::SLEEPABLE, None, (5, 10), "sleepable programs"),
    (ProgFlags::SLEEPABLE, Some(ProgType::KPROBE), (6, 0), "sleepable uprobes"),
    (ProgFlags::XDP_HAS_FRAGS, None, (5, 18), "xdp.frags"),
];

/// Most instructions of a program before Linux 5.2. Source: `BPF_MAXINSNS`.
const FEW_INSTRUCTIONS: usize = 4096;

/// What an instruction looks like, since when the kernel knows it, and what it is.
type InsnRow = (fn(Insn) -> bool, (u8, u8), &'static str);

/// Source: `Documentation/bpf/standardization/instruction-set.rst`.
const INSNS: &[InsnRow] = &[
    (|i| i.code == CALL && i.src == pseudo::CALL, (4, 16), "subprograms"),
    (|i| i.code & 0x07 == 0x06, (5, 1), "jumps on 32 bits"),
    (|i| i.code == LD_IMM64 && i.src == pseudo::MAP_VALUE, (5, 2), "global variables"),
    (|i| i.code == LD_IMM64 && i.src == pseudo::BTF_ID, (5, 10), "typed variables of the kernel"),
    (|i| is_atomic(i) && i.imm != 0, (5, 12), "atomic operations"),
    (|i| i.code == LD_IMM64 && i.src == pseudo::FUNC, (5, 13), "addresses of functions"),
    (|i| i.code == CALL && i.src == pseudo::KFUNC_CALL, (5, 13), "functions of the kernel"),
    (|i| i.code == CALL && i.src == pseudo::KFUNC_CALL && i.off != 0, (5, 16), "functions of modules"),
    (|i| i.code == 0x06, (6, 6), "long jumps"),
    (|i| i.code & 0xe7 == 0x81, (6, 6), "loads that extend the sign"),
    (|i| matches!(i.code, 0xbc | 0xbf) && i.off != 0, (6, 6), "moves that extend the sign"),
    (|i| is_division(i) && i.off != 0, (6, 6), "signed divisions"),
    (|i| i.code == 0xd7, (6, 6), "swaps of bytes"),
    (|i| i.code == 0xe5, (6, 9), "may_goto"),
    (|i| i.code == 0xbf && i.off == 1, (6, 9), "casts between address spaces"),
    (|i| is_atomic(i) && matches!(i.imm, 0x100 | 0x110), (6, 15), "load-acquire and store-release"),
];

/// `BPF_STX | BPF_ATOMIC` of four or eight bytes.
const fn is_atomic(insn: Insn) -> bool {
    matches!(insn.code, 0xc3 | 0xdb)
}

/// `BPF_DIV` and `BPF_MOD` of either width, by a register or a number.
const fn is_division(insn: Insn) -> bool {
    matches!(insn.code, 0x34 | 0x3c | 0x37 | 0x3f | 0x94 | 0x9c | 0x97 | 0x9f)
}

/// The newest thing so far that the kernel is too old for.
struct Newest {
    kernel: KernelVersion,
    found: Option<Demand>,
}

impl Newest {
    fn add(&mut self, since: Option<(u8, u8)>, what: impl FnOnce() -> String) {
        let kernel = self.kernel;
        let known = self.found.as_ref().map_or((kernel.major, kernel.minor), |found| found.since);
        if let Some(since) = since.filter(|since| *since > known) {
            self.found = Some(Demand { what: what(), since, kernel });
        }
    }

    fn add_insn(&mut self, insn: Insn) {
        for (is, since, what) in INSNS {
            if is(insn) {
                self.add(Some(*since), || (*what).to_string());
            }
        }
    }
}

/// A version as the tables of numbers have it.
fn version(text: &str) -> Option<(u8, u8)> {
    KernelVersion::parse(text).map(|version| (version.major, version.minor))
}
