//! One BPF instruction, and the two units in which code is measured: slots and bytes.
//!
//! The room knows the encoding (`struct bpf_insn`), not what an instruction is for. It imports nothing.

use core::fmt;

/// Position or number of 8-byte instruction **slots**. A 16-byte `ld_imm64` takes two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct InsnIdx(pub u32);

/// Position in **bytes** from the start of a section.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ByteOff(pub u32);

impl InsnIdx {
    /// The slot at a byte position; `None` if that is not a multiple of 8.
    pub const fn from_bytes(off: ByteOff) -> Option<Self> {
        if off.0 % 8 == 0 { Some(Self(off.0 / 8)) } else { None }
    }

    /// The slot as an index into a slice of instructions.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// This position `by` slots later; `None` beyond `u32::MAX`.
    pub fn plus(self, by: u32) -> Option<Self> {
        self.0.checked_add(by).map(Self)
    }

    /// This position seen from `base`; `None` if it lies before it.
    pub fn from_base(self, base: Self) -> Option<Self> {
        self.0.checked_sub(base.0).map(Self)
    }

    /// The signed distance that a call or function address at `self` must carry to reach `to`.
    ///
    /// The kernel takes `target = slot + imm + 1`, so the `- 1` of every call lives here.
    pub fn call_distance(self, to: Self) -> Option<i32> {
        i32::try_from(i64::from(to.0).wrapping_sub(i64::from(self.0)).wrapping_sub(1)).ok()
    }

    /// The slot that a call at `self` carrying `imm` reaches, the reverse of [`Self::call_distance`].
    pub fn call_target(self, imm: i32) -> Option<Self> {
        let target = i64::from(self.0).checked_add(i64::from(imm))?.checked_add(1)?;
        u32::try_from(target).ok().map(Self)
    }
}

impl ByteOff {
    /// Section offset of a slot; `None` beyond 4 GiB.
    pub fn of_slot(slot: InsnIdx) -> Option<Self> {
        slot.0.checked_mul(8).map(Self)
    }
}

impl fmt::Display for InsnIdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ByteOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// One slot of BPF code. Source: `struct bpf_insn`, `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Insn {
    /// Operation: class in the low three bits.
    pub code: u8,
    /// Destination register, 0 to 15.
    pub dst: u8,
    /// Source register or pseudo source, 0 to 15.
    pub src: u8,
    /// Signed offset: jumps in slots, memory accesses in bytes.
    pub off: i16,
    /// Signed immediate.
    pub imm: i32,
}

/// `BPF_LD | BPF_IMM | BPF_DW`: the first half of a 16-byte instruction.
pub const LD_IMM64: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
pub const CALL: u8 = 0x85;
/// `BPF_JMP | BPF_EXIT`.
pub const EXIT: u8 = 0x95;
/// `BPF_JMP32 | BPF_JA`: an unconditional jump of up to 32 bits. Since: Linux 6.6.
const GOTOL: u8 = 0x06;
/// `BPF_JMP | BPF_JA | BPF_X`: a jump to where a register says. Since: Linux 6.19.
const GOTOX: u8 = 0x0d;
/// `BPF_JMP | BPF_CALL | BPF_X`: a call of the function in a register.
const CALLX: u8 = 0x8d;

/// Classes of instructions: the low three bits of an operation. Source: `BPF_CLASS`, `include/uapi/linux/bpf_common.h`.
pub mod class {
    /// `BPF_LD`: constants of 64 bits, and what packets hold.
    pub const LD: u8 = 0;
    /// `BPF_LDX`: from memory to a register.
    pub const LDX: u8 = 1;
    /// `BPF_ST`: a constant to memory.
    pub const ST: u8 = 2;
    /// `BPF_STX`: a register to memory.
    pub const STX: u8 = 3;
    /// `BPF_ALU`: arithmetic on 32 bits.
    pub const ALU: u8 = 4;
    /// `BPF_JMP`: jumps that compare 64 bits, calls, the exit.
    pub const JMP: u8 = 5;
    /// `BPF_JMP32`: jumps that compare 32 bits. Since: Linux 5.1.
    pub const JMP32: u8 = 6;
    /// `BPF_ALU64`: arithmetic on 64 bits.
    pub const ALU64: u8 = 7;
}

impl Insn {
    /// Bytes of one slot.
    pub const SIZE: usize = 8;

    /// Which of [`class`] it is.
    pub const fn class(self) -> u8 {
        self.code & 7
    }

    /// Decodes a little-endian slot.
    pub const fn from_le(raw: [u8; 8]) -> Self {
        let [code, regs, o0, o1, i0, i1, i2, i3] = raw;
        Self {
            code,
            dst: regs & 0x0f,
            src: regs >> 4,
            off: i16::from_le_bytes([o0, o1]),
            imm: i32::from_le_bytes([i0, i1, i2, i3]),
        }
    }

    /// Decodes a big-endian slot, whose two register nibbles are exchanged as well.
    pub const fn from_be(raw: [u8; 8]) -> Self {
        let [code, regs, o0, o1, i0, i1, i2, i3] = raw;
        Self {
            code,
            dst: regs >> 4,
            src: regs & 0x0f,
            off: i16::from_be_bytes([o0, o1]),
            imm: i32::from_be_bytes([i0, i1, i2, i3]),
        }
    }

    /// Encodes the slot for a kernel of this machine's byte order.
    pub const fn to_native(self) -> [u8; 8] {
        let off = self.off.to_ne_bytes();
        let imm = self.imm.to_ne_bytes();
        let regs = if cfg!(target_endian = "big") {
            self.dst << 4 | self.src & 0x0f
        } else {
            self.src << 4 | self.dst & 0x0f
        };
        [self.code, regs, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
    }

    /// Whether this is the first half of a 16-byte `ld_imm64`.
    pub const fn is_ld_imm64(self) -> bool {
        self.code == LD_IMM64
    }

    /// Whether this calls something: a helper, a kfunc or a subprogram, as `src` says.
    pub const fn is_call(self) -> bool {
        self.code == CALL
    }

    /// How far this jumps, in **slots** from the one behind it; `None` if it is no jump, or goes where a register says.
    pub const fn jump(self) -> Option<i32> {
        match (self.class(), self.code) {
            (_, CALL | EXIT | CALLX | GOTOX) => None,
            // The only jump whose distance stands in the immediate.
            (_, GOTOL) => Some(self.imm),
            (class::JMP | class::JMP32, _) => Some(self.off as i32),
            _ => None,
        }
    }

    /// Whether this jumps to an earlier instruction: the end of a loop.
    pub fn jumps_back(self) -> bool {
        self.jump().is_some_and(|distance| distance < 0)
    }

    /// The number of the helper function that this calls, if it calls one. Source: `enum bpf_func_id`.
    pub const fn helper(self) -> Option<u32> {
        if self.is_call() && self.src == 0 { Some(u32::from_ne_bytes(self.imm.to_ne_bytes())) } else { None }
    }

    /// The same slot with another pseudo source and immediate.
    pub const fn with(self, src: u8, imm: i32) -> Self {
        Self { src, imm, ..self }
    }
}

impl fmt::Debug for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x} r{} r{} {} {}", self.code, self.dst, self.src, self.off, self.imm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_give_the_same_instruction() {
        let want = Insn { code: 0x61, dst: 2, src: 1, off: -4, imm: 0x0102_0304 };
        assert_eq!(Insn::from_le([0x61, 0x12, 0xfc, 0xff, 4, 3, 2, 1]), want);
        assert_eq!(Insn::from_be([0x61, 0x21, 0xff, 0xfc, 1, 2, 3, 4]), want);
    }

    #[test]
    fn encoding_undoes_decoding() {
        let raw = [0x18, 0x21, 1, 2, 3, 4, 5, 6];
        let decode = if cfg!(target_endian = "big") { Insn::from_be } else { Insn::from_le };
        assert_eq!(decode(raw).to_native(), raw);
    }

    #[test]
    fn a_call_to_the_next_slot_carries_zero() {
        assert_eq!(InsnIdx(4).call_distance(InsnIdx(5)), Some(0));
        assert_eq!(InsnIdx(4).call_distance(InsnIdx(0)), Some(-5));
        assert_eq!(InsnIdx(4).call_target(-5), Some(InsnIdx(0)));
        assert_eq!(InsnIdx(4).call_target(-6), None);
    }

    #[test]
    fn loops_are_seen_by_their_jumps() {
        let insn = |code, off, imm| Insn { code, off, imm, ..Insn::default() };
        let jne = |off| insn(0x55, off, -1);
        assert!(jne(-3).jumps_back() && !jne(3).jumps_back());
        assert!(insn(GOTOL, 0, -9).jumps_back() && !insn(GOTOL, -9, 9).jumps_back());
        assert!(!insn(CALL, 0, -1).jumps_back() && !insn(0x7b, -8, 0).jumps_back());
    }

    #[test]
    fn only_multiples_of_eight_are_slots() {
        assert_eq!(InsnIdx::from_bytes(ByteOff(16)), Some(InsnIdx(2)));
        assert_eq!(InsnIdx::from_bytes(ByteOff(12)), None);
    }
}
