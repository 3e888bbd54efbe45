//! What a program reads and writes of its context, as far as straight code shows it, and which types have such a context.
//!
//! Source: `*_is_valid_access` of `net/core/filter.c` and `kernel/trace/bpf_trace.c`, Linux 6.18; registers of x86-64.

use alloc::collections::BTreeSet;

use crate::insn::{Insn, LD_IMM64};
use crate::link::LinkedProgram;
use crate::uapi::ProgType;

/// A read or write of the context.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Access {
    /// Where, in **bytes**.
    pub(super) offset: i16,
    /// How much, in **bytes**.
    pub(super) size: u8,
}

const CLASS: u8 = 0x07;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const MODE: u8 = 0xe0;
const MEM: u8 = 0x60;
const SIZE: u8 = 0x18;
const MOV64_REG: u8 = 0xbf;
/// Classes of instructions that write their destination: loads and arithmetic.
const WRITES: &[u8] = &[0, LDX, 4, 7];

/// The reads and writes of the entry function, each once.
///
/// Jumps are not followed: a register that holds the context does so on all ways that matter in what compilers write.
pub(super) fn accesses(program: &LinkedProgram) -> BTreeSet<Access> {
    let len = program.layout.first().map_or(program.insns.len(), |span| crate::bytes::to_usize(span.len));
    // Register 1 holds the context when a program starts. A bit a register.
    let mut holders: u16 = 1 << 1;
    let mut found = BTreeSet::new();
    for insn in program.insns.iter().take(len) {
        let base = match insn.code & CLASS {
            LDX => Some(insn.src),
            ST | STX => Some(insn.dst),
            _ => None,
        };
        if insn.code & MODE == MEM && base.is_some_and(|base| holders & bit(base) != 0) {
            found.insert(Access { offset: insn.off, size: size(insn.code) });
        }
        holders = after(holders, insn);
    }
    found
}

/// Which registers hold the context behind an instruction.
fn after(holders: u16, insn: &Insn) -> u16 {
    const ARGUMENTS: u16 = 0b11_1111;
    if insn.is_call() {
        return holders & !ARGUMENTS;
    }
    if insn.code == MOV64_REG && insn.off == 0 && holders & bit(insn.src) != 0 {
        return holders | bit(insn.dst);
    }
    let writes = insn.code == LD_IMM64 || (insn.code != 0 && WRITES.contains(&(insn.code & CLASS)));
    if writes { holders & !bit(insn.dst) } else { holders }
}

const fn bit(register: u8) -> u16 {
    1 << (register & 0x0f)
}

const fn size(code: u8) -> u8 {
    match code & SIZE {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// Whether a program reads where the packet begins and ends as XDP programs do, and nothing that they do not have. Others
/// have a length and a kind of packet there, which few read together.
pub(super) fn is_like_xdp(accesses: &BTreeSet<Access>) -> bool {
    let reads = |offset| accesses.contains(&Access { offset, size: 4 });
    reads(0) && reads(4) && accesses.iter().all(|access| access.fits(ProgType::XDP))
}

impl Access {
    /// Whether a type's context has something of this size there.
    pub(super) fn fits(self, ty: ProgType) -> bool {
        let Self { offset, size } = self;
        let aligned = offset >= 0 && offset.checked_rem(i16::from(size)) == Some(0);
        let below = |end: i16| aligned && offset.saturating_add(i16::from(size)) <= end;
        let words = |end: i16| size == 4 && below(end);
        match ty {
            ProgType::XDP => words(24),
            // Packets that still belong to nobody have no pointers into them.
            ProgType::SOCKET_FILTER => skb(self) && !(76..84).contains(&offset),
            ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::CGROUP_SKB
            | ProgType::LWT_IN
            | ProgType::LWT_OUT
            | ProgType::LWT_XMIT
            | ProgType::LWT_SEG6LOCAL
            | ProgType::SK_SKB => skb(self),
            ProgType::KPROBE => below(168),
            ProgType::PERF_EVENT => below(184),
            ProgType::RAW_TRACEPOINT | ProgType::RAW_TRACEPOINT_WRITABLE => size == 8 && below(96),
            // The first eight bytes are the kernel's.
            ProgType::TRACEPOINT => aligned && offset >= 8,
            ProgType::CGROUP_SOCK | ProgType::CGROUP_SOCK_ADDR | ProgType::SOCK_OPS => size < 8 || below(232),
            ProgType::SK_MSG => {
                if offset < 16 {
                    size == 8
                } else {
                    below(88)
                }
            }
            ProgType::CGROUP_DEVICE | ProgType::CGROUP_SYSCTL => below(12),
            _ => true,
        }
    }
}

/// `struct __sk_buff`: words, of which some can be read in parts, and few fields of eight bytes.
fn skb(access: Access) -> bool {
    const CB: core::ops::Range<i16> = 48..68;
    const EIGHT: &[i16] = &[144, 152, 168, 184];
    let Access { offset, size } = access;
    let wide = CB.contains(&offset) || EIGHT.contains(&offset);
    (0..192).contains(&offset) && (size < 8 || wide)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::spec::ProgId;

    fn insn(code: u8, dst: u8, src: u8, off: i16) -> Insn {
        Insn { code, dst, src, off, imm: 1 }
    }

    #[test]
    fn the_context_is_followed_through_registers_until_they_are_written() {
        const LDX_W: u8 = 0x61;
        const LDX_DW: u8 = 0x79;
        const STX_W: u8 = 0x63;
        let insns = vec![
            insn(MOV64_REG, 6, 1, 0),
            insn(MOV64_REG, 7, 1, 0),
            insn(crate::insn::CALL, 0, 0, 0),
            insn(LDX_W, 1, 1, 40),
            insn(LDX_W, 2, 6, 76),
            insn(LDX_DW, 6, 6, 152),
            insn(LDX_W, 2, 6, 8),
            insn(STX_W, 7, 2, 8),
        ];
        let program = LinkedProgram {
            id: ProgId(0),
            insns,
            layout: vec![],
            btf_refs: vec![],
            map_refs: vec![],
            func_info: vec![],
            line_info: vec![],
            patches: vec![],
        };
        let expected = [(8, 4), (76, 4), (152, 8)].map(|(offset, size)| Access { offset, size });
        assert_eq!(accesses(&program), expected.into());
    }

    #[test]
    fn contexts_differ() {
        let access = |offset, size| Access { offset, size };
        assert!(access(4, 4).fits(ProgType::XDP) && !access(76, 4).fits(ProgType::XDP));
        assert!(access(76, 4).fits(ProgType::SCHED_CLS) && !access(76, 4).fits(ProgType::SOCKET_FILTER));
        assert!(access(112, 8).fits(ProgType::KPROBE) && !access(112, 8).fits(ProgType::SCHED_CLS));
        assert!(!access(0, 8).fits(ProgType::TRACEPOINT));
    }
}
