//! BPF instructions as text, in the form that the kernel's verifier writes: `r1 = *(u32 *)(r2 +4)`.
//!
//! Knows every instruction of the sets v1 to v4, and what came after (`may_goto`, casts between address spaces, atomic
//! loads and stores, indirect jumps). What it does not know is shown as bytes.
//!
//! Source of the form: `print_bpf_insn`, `kernel/bpf/disasm.c`; of the instructions: RFC 9669.

use rxdp_loader::bytes::unsigned;
use rxdp_loader::insn::{Insn, class};
use rxdp_loader::uapi::{Helper, pseudo};

/// What an instruction refers to, where that has a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refers<'a> {
    /// Nothing that is known.
    Nothing,
    /// A map.
    Map(&'a str),
    /// A place in a map's value: the map, and **bytes** from the start of the value.
    MapValue(&'a str, u32),
    /// A function of the object.
    Function(&'a str),
    /// Something of the kernel's, or of its configuration.
    Outside(&'a str),
}

/// How memory is accessed: the high three bits of loads and stores.
mod mode {
    pub(super) const IMM: u8 = 0x00;
    pub(super) const ABS: u8 = 0x20;
    pub(super) const IND: u8 = 0x40;
    pub(super) const MEM: u8 = 0x60;
    pub(super) const MEM_SIGNED: u8 = 0x80;
    /// Of the kernel alone: an access of an arena, which may fault.
    pub(super) const ARENA: u8 = 0xa0;
    pub(super) const ATOMIC: u8 = 0xc0;
}

/// Sources of `ld_imm64` that no loader of today writes, but that stand in the set.
const MAP_IDX: u8 = 5;
const MAP_IDX_VALUE: u8 = 6;

/// The second operand is a register.
const REGISTER: u8 = 0x08;

/// An instruction as text. `second` is the slot behind it, which belongs to a 64-bit load.
pub fn text(insn: Insn, second: Option<Insn>, refers: Refers<'_>) -> String {
    let known = match insn.class() {
        class::LD => load_constant(insn, second, refers),
        class::LDX => load(insn),
        class::ST => store_constant(insn),
        class::STX => store(insn),
        class::ALU => arithmetic(insn, 'w'),
        class::ALU64 => arithmetic(insn, 'r'),
        class::JMP => jump(insn, 'r', refers),
        class::JMP32 => jump(insn, 'w', refers),
        _ => None,
    };
    known.unwrap_or_else(|| format!("unknown instruction {:#04x}", insn.code))
}

/// What the sizes of memory accesses are called, by their two bits.
fn size(code: u8) -> &'static str {
    match code & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    }
}

fn load_constant(insn: Insn, second: Option<Insn>, refers: Refers<'_>) -> Option<String> {
    let Insn { code, dst, src, imm, .. } = insn;
    match code & 0xe0 {
        mode::IMM if insn.is_ld_imm64() => Some(format!("r{dst} = {}", constant(insn, second, refers))),
        mode::ABS => Some(format!("r0 = *({} *)skb[{imm}]", size(code))),
        mode::IND => Some(format!("r0 = *({} *)skb[r{src} + {imm}]", size(code))),
        _ => None,
    }
}

/// What a 64-bit load loads: a number, or what its source says that it stands for.
fn constant(insn: Insn, second: Option<Insn>, refers: Refers<'_>) -> String {
    let (low, high) = (unsigned(insn.imm), second.map_or(0, |second| unsigned(second.imm)));
    match (refers, insn.src) {
        (Refers::Map(name), pseudo::MAP_FD) => format!("map[{name}]"),
        (Refers::MapValue(name, offset), pseudo::MAP_VALUE) => format!("map[{name}][0]+{offset}"),
        (Refers::Function(name), pseudo::FUNC) => format!("function[pc{:+}] <{name}>", insn.imm),
        (Refers::Outside(name), pseudo::BTF_ID) => format!("&{name}"),
        (_, pseudo::MAP_FD) => format!("map[fd:{low}]"),
        (_, pseudo::MAP_VALUE) => format!("map[fd:{low}][0]+{high}"),
        (_, pseudo::BTF_ID) => format!("&type[{low}]"),
        (_, pseudo::FUNC) => format!("function[pc{:+}]", insn.imm),
        (_, MAP_IDX) => format!("map[idx:{low}]"),
        (_, MAP_IDX_VALUE) => format!("map[idx:{low}][0]+{high}"),
        _ => format!("{:#x}", u64::from(low) | u64::from(high) << 32),
    }
}

fn load(insn: Insn) -> Option<String> {
    let Insn { code, dst, src, off, .. } = insn;
    let place = format!("(r{src} {off:+})");
    match code & 0xe0 {
        mode::MEM => Some(format!("r{dst} = *({} *){place}", size(code))),
        mode::MEM_SIGNED => Some(format!("r{dst} = *({} *){place}", size(code).replace('u', "s"))),
        mode::ARENA => Some(format!("r{dst} = *({} *)(arena + {})", size(code), inner(&place))),
        _ => None,
    }
}

fn inner(place: &str) -> &str {
    place.trim_start_matches('(').trim_end_matches(')')
}

fn store_constant(insn: Insn) -> Option<String> {
    let Insn { code, dst, off, imm, .. } = insn;
    match code & 0xe0 {
        mode::MEM => Some(format!("*({} *)(r{dst} {off:+}) = {imm}", size(code))),
        mode::ARENA => Some(format!("*({} *)(arena + r{dst} {off:+}) = {imm}", size(code))),
        _ => None,
    }
}

fn store(insn: Insn) -> Option<String> {
    let Insn { code, dst, src, off, .. } = insn;
    match code & 0xe0 {
        mode::MEM => Some(format!("*({} *)(r{dst} {off:+}) = r{src}", size(code))),
        mode::ARENA => Some(format!("*({} *)(arena + r{dst} {off:+}) = r{src}", size(code))),
        mode::ATOMIC => atomic(insn),
        _ => None,
    }
}

/// Operations that change memory at once: the immediate says which.
fn atomic(insn: Insn) -> Option<String> {
    const FETCH: i32 = 1;
    let Insn { code, dst, src, off, imm, .. } = insn;
    let place = format!("({} *)(r{dst} {off:+})", size(code));
    let width = if code & 0x18 == 0x18 { "64" } else { "" };
    let named = |imm: i32| match imm {
        0x00 => Some(("+=", "add")),
        0x40 => Some(("|=", "or")),
        0x50 => Some(("&=", "and")),
        0xa0 => Some(("^=", "xor")),
        _ => None,
    };
    Some(match imm {
        0xe1 => format!("r{src} = atomic{width}_xchg({place}, r{src})"),
        0xf1 => format!("r0 = atomic{width}_cmpxchg({place}, r0, r{src})"),
        0x100 => format!("r{dst} = load_acquire(({} *)(r{src} {off:+}))", size(code)),
        0x110 => format!("store_release({place}, r{src})"),
        _ if imm & FETCH != 0 => {
            let (_, name) = named(imm & !FETCH)?;
            format!("r{src} = atomic{width}_fetch_{name}({place}, r{src})")
        }
        _ => format!("lock *{place} {} r{src}", named(imm)?.0),
    })
}

/// `register` is `w` for operations on the low 32 bits.
fn arithmetic(insn: Insn, register: char) -> Option<String> {
    const DIVIDE: u8 = 0x30;
    const NEGATE: u8 = 0x80;
    const MODULO: u8 = 0x90;
    const MOVE: u8 = 0xb0;
    const SWAP: u8 = 0xd0;
    let Insn { code, dst, src, off, imm } = insn;
    let second = if code & REGISTER == 0 { imm.to_string() } else { format!("{register}{src}") };
    let to = format!("{register}{dst}");
    let sign = if off == 1 { "s" } else { "" };
    Some(match code & 0xf0 {
        0x00 => format!("{to} += {second}"),
        0x10 => format!("{to} -= {second}"),
        0x20 => format!("{to} *= {second}"),
        DIVIDE => format!("{to} {sign}/= {second}"),
        0x40 => format!("{to} |= {second}"),
        0x50 => format!("{to} &= {second}"),
        0x60 => format!("{to} <<= {second}"),
        0x70 => format!("{to} >>= {second}"),
        NEGATE => format!("{to} = -{to}"),
        MODULO => format!("{to} {sign}%= {second}"),
        0xa0 => format!("{to} ^= {second}"),
        MOVE => moved(insn, register, &second),
        0xc0 => format!("{to} s>>= {second}"),
        SWAP => swapped(insn, register),
        _ => return None,
    })
}

fn moved(insn: Insn, register: char, second: &str) -> String {
    let Insn { code, dst, src, off, imm } = insn;
    let is_register = code & REGISTER != 0;
    match off {
        8 | 16 | 32 if is_register => format!("{register}{dst} = (s{off}){second}"),
        1 if is_register && register == 'r' => {
            let [a, b, c, d] = imm.to_le_bytes();
            let (to, from) = (u16::from_le_bytes([c, d]), u16::from_le_bytes([a, b]));
            format!("r{dst} = addr_space_cast(r{src}, {to}, {from})")
        }
        -1 if is_register && register == 'r' => format!("r{dst} = &(void __percpu *)(r{src})"),
        _ => format!("{register}{dst} = {second}"),
    }
}

fn swapped(insn: Insn, register: char) -> String {
    let Insn { code, dst, imm, .. } = insn;
    let to = match (register, code & REGISTER) {
        ('r', _) => "bswap",
        (_, 0) => "le",
        _ => "be",
    };
    format!("r{dst} = {to}{imm} r{dst}")
}

/// `register` is `w` for comparisons of the low 32 bits.
fn jump(insn: Insn, register: char, refers: Refers<'_>) -> Option<String> {
    const ALWAYS: u8 = 0x00;
    const CALL: u8 = 0x80;
    const EXIT: u8 = 0x90;
    const MAY: u8 = 0xe0;
    /// Of the kernel alone.
    const TAIL_CALL: u8 = 0xf0;
    let Insn { code, dst, src, off, imm } = insn;
    let wide = register == 'r';
    let is_register = code & REGISTER != 0;
    let compared = match code & 0xf0 {
        ALWAYS if wide && is_register => return Some(format!("gotox r{dst}")),
        ALWAYS if wide => return Some(format!("goto pc{off:+}")),
        ALWAYS => return Some(format!("gotol pc{imm:+}")),
        CALL if wide && is_register => return Some(format!("callx r{dst}")),
        CALL if wide => return Some(call(insn, refers)),
        EXIT if wide => return Some("exit".to_string()),
        MAY if wide => return Some(format!("may_goto pc{off:+}")),
        TAIL_CALL if wide => return Some("tail_call".to_string()),
        0x10 => "==",
        0x20 => ">",
        0x30 => ">=",
        0x40 => "&",
        0x50 => "!=",
        0x60 => "s>",
        0x70 => "s>=",
        0xa0 => "<",
        0xb0 => "<=",
        0xc0 => "s<",
        0xd0 => "s<=",
        _ => return None,
    };
    let second = if is_register { format!("{register}{src}") } else { format!("{imm:#x}") };
    Some(format!("if {register}{dst} {compared} {second} goto pc{off:+}"))
}

fn call(insn: Insn, refers: Refers<'_>) -> String {
    match (refers, insn.src) {
        (Refers::Function(name), _) => format!("call pc{:+} <{name}>", insn.imm),
        (Refers::Outside(name), _) => format!("call {name}"),
        (_, 0) => match Helper(unsigned(insn.imm)).name() {
            Some(name) => format!("call bpf_{name}#{}", insn.imm),
            None => format!("call unknown#{}", insn.imm),
        },
        (_, pseudo::CALL) => format!("call pc{:+}", insn.imm),
        (_, pseudo::KFUNC_CALL) => format!("call kernel-function type[{}]", insn.imm),
        (_, other) => format!("call {}, source {other}", insn.imm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> String {
        text(Insn { code, dst, src, off, imm }, None, Refers::Nothing)
    }

    #[test]
    fn arithmetic_in_both_widths() {
        assert_eq!(shown(0xb7, 1, 0, 0, 42), "r1 = 42");
        assert_eq!(shown(0xb4, 1, 0, 0, -1), "w1 = -1");
        assert_eq!(shown(0xbf, 6, 1, 0, 0), "r6 = r1");
        assert_eq!(shown(0x0f, 1, 2, 0, 0), "r1 += r2");
        assert_eq!(shown(0x67, 1, 0, 0, 32), "r1 <<= 32");
        assert_eq!(shown(0xc7, 1, 0, 0, 32), "r1 s>>= 32");
        assert_eq!(shown(0x87, 1, 0, 0, 0), "r1 = -r1");
        assert_eq!(shown(0x3f, 1, 2, 1, 0), "r1 s/= r2");
        assert_eq!(shown(0x94, 1, 0, 1, 5), "w1 s%= 5");
        assert_eq!(shown(0x37, 1, 0, 0, 5), "r1 /= 5");
    }

    #[test]
    fn moves_that_extend_and_cast() {
        assert_eq!(shown(0xbf, 1, 2, 8, 0), "r1 = (s8)r2");
        assert_eq!(shown(0xbc, 1, 2, 16, 0), "w1 = (s16)w2");
        assert_eq!(shown(0xbf, 1, 2, 1, 1), "r1 = addr_space_cast(r2, 0, 1)");
        assert_eq!(shown(0xbf, 1, 2, 1, 0x1_0000), "r1 = addr_space_cast(r2, 1, 0)");
        assert_eq!(shown(0xdc, 1, 0, 0, 16), "r1 = be16 r1");
        assert_eq!(shown(0xd4, 1, 0, 0, 64), "r1 = le64 r1");
        assert_eq!(shown(0xd7, 1, 0, 0, 32), "r1 = bswap32 r1");
    }

    #[test]
    fn memory() {
        assert_eq!(shown(0x61, 1, 2, 4, 0), "r1 = *(u32 *)(r2 +4)");
        assert_eq!(shown(0x91, 1, 2, -1, 0), "r1 = *(s8 *)(r2 -1)");
        assert_eq!(shown(0x7b, 10, 1, -8, 0), "*(u64 *)(r10 -8) = r1");
        assert_eq!(shown(0x6a, 10, 0, -2, 7), "*(u16 *)(r10 -2) = 7");
        assert_eq!(shown(0x28, 0, 0, 0, 12), "r0 = *(u16 *)skb[12]");
        assert_eq!(shown(0x50, 0, 6, 0, 14), "r0 = *(u8 *)skb[r6 + 14]");
    }

    #[test]
    fn atomics() {
        assert_eq!(shown(0xdb, 1, 2, 0, 0), "lock *(u64 *)(r1 +0) += r2");
        assert_eq!(shown(0xc3, 1, 2, 4, 0x51), "r2 = atomic_fetch_and((u32 *)(r1 +4), r2)");
        assert_eq!(shown(0xdb, 1, 2, 0, 0xe1), "r2 = atomic64_xchg((u64 *)(r1 +0), r2)");
        assert_eq!(shown(0xdb, 1, 2, 0, 0xf1), "r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)");
        assert_eq!(shown(0xd3, 1, 2, 0, 0x100), "r1 = load_acquire((u8 *)(r2 +0))");
        assert_eq!(shown(0xcb, 1, 2, 0, 0x110), "store_release((u16 *)(r1 +0), r2)");
    }

    #[test]
    fn jumps_and_calls() {
        assert_eq!(shown(0x05, 0, 0, 3, 0), "goto pc+3");
        assert_eq!(shown(0x06, 0, 0, 0, -9), "gotol pc-9");
        assert_eq!(shown(0xe5, 0, 0, 2, 0), "may_goto pc+2");
        assert_eq!(shown(0x15, 1, 0, 4, 0), "if r1 == 0x0 goto pc+4");
        assert_eq!(shown(0x6e, 1, 2, -4, 0), "if w1 s> w2 goto pc-4");
        assert_eq!(shown(0x45, 1, 0, 1, 16), "if r1 & 0x10 goto pc+1");
        assert_eq!(shown(0x85, 0, 0, 0, 12), "call bpf_tail_call#12");
        assert_eq!(shown(0x85, 0, 1, 0, 5), "call pc+5");
        let local = Insn { code: 0x85, dst: 0, src: 1, off: 0, imm: 5 };
        assert_eq!(text(local, None, Refers::Function("f")), "call pc+5 <f>");
        assert_eq!(shown(0x8d, 3, 0, 0, 0), "callx r3");
        assert_eq!(shown(0x0d, 3, 0, 0, 0), "gotox r3");
        assert_eq!(shown(0x95, 0, 0, 0, 0), "exit");
        assert_eq!(shown(0xff, 0, 0, 0, 0), "unknown instruction 0xff");
    }

    #[test]
    fn wide_loads_by_what_they_stand_for() {
        let load = |src, imm| Insn { code: 0x18, dst: 2, src, off: 0, imm };
        let half = |imm| Some(Insn { imm, ..Insn::default() });
        assert_eq!(text(load(0, -1), half(1), Refers::Nothing), "r2 = 0x1ffffffff");
        assert_eq!(text(load(1, 0), half(0), Refers::Map("jmp_table1")), "r2 = map[jmp_table1]");
        assert_eq!(text(load(1, 9), half(0), Refers::Nothing), "r2 = map[fd:9]");
        assert_eq!(text(load(2, 0), half(4), Refers::MapValue(".bss", 4)), "r2 = map[.bss][0]+4");
        assert_eq!(text(load(3, 77), half(0), Refers::Outside("runqueues")), "r2 = &runqueues");
        assert_eq!(text(load(4, 5), half(0), Refers::Function("callback")), "r2 = function[pc+5] <callback>");
        assert_eq!(text(load(0, 0), half(0), Refers::Map("jmp_table1")), "r2 = 0x0", "not yet a map");
    }
}
