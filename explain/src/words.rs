//! Numbers, bytes and names as words: what several parts need.

use rxdp_loader::bytes::Endian;
use rxdp_loader::insn::Insn;
use rxdp_loader::uapi::{MapFlags, ProgFlags};

use crate::model::{Part, RelocationKind};

/// Bytes as pairs of hexadecimal digits with blanks between them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

/// Number of bytes.
pub(crate) fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A number of things as 32 bits.
pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A slot as it stands in a file of this byte order.
pub(crate) fn slot_bytes(insn: Insn, endian: Endian) -> [u8; 8] {
    let Insn { code, dst, src, off, imm } = insn;
    let (regs, off, imm) = match endian {
        Endian::Little => (src << 4 | dst & 0x0f, off.to_le_bytes(), imm.to_le_bytes()),
        Endian::Big => (dst << 4 | src & 0x0f, off.to_be_bytes(), imm.to_be_bytes()),
    };
    let ([a, b], [c, d, e, f]) = (off, imm);
    [code, regs, a, b, c, d, e, f]
}

/// An instruction's bytes, both halves of a 64-bit load.
pub(crate) fn code_bytes(insn: Insn, second: Option<Insn>, endian: Endian) -> String {
    let mut bytes = slot_bytes(insn, endian).to_vec();
    bytes.extend(second.into_iter().flat_map(|second| slot_bytes(second, endian)));
    hex(&bytes)
}

/// Flags of a map by the kernel's names.
pub(crate) fn map_flags(flags: MapFlags) -> String {
    flags.to_string().replace('|', " | ")
}

/// Flags of a program by the kernel's names.
pub(crate) fn prog_flags(flags: ProgFlags) -> Vec<String> {
    if flags.is_empty() { Vec::new() } else { flags.to_string().split('|').map(str::to_string).collect() }
}

/// A map type by the kernel's name: `BPF_MAP_TYPE_PROG_ARRAY`.
pub(crate) fn map_type(name: &str) -> String {
    format!("BPF_MAP_TYPE_{}", name.to_uppercase())
}

/// What a part of an explanation is about.
pub(crate) const fn about(part: Part) -> &'static str {
    match part {
        Part::Join => "how several files became one object",
        Part::File => "what the compiler wrote, and what each section is to the loader",
        Part::Maps => "the bytes of each definition, what they say, and the call that follows",
        Part::Programs => "which section makes which type of program, and by which rule",
        Part::Code => "what the compiler wrote, with source lines and what it refers to",
        Part::Relocations => "every change between that code and what the kernel gets",
        Part::Graph => "tail calls, jump tables, and who uses which map",
        Part::Btf => "what becomes of the object's types on their way to the kernel",
        Part::Plan => "the kernel calls, in order",
        Part::Kernel => "what the kernel said",
    }
}

/// What an instruction refers to, in words that a name follows.
pub(crate) const fn relocation(kind: RelocationKind) -> &'static str {
    match kind {
        RelocationKind::Map => "map",
        RelocationKind::MapValue => "value of map",
        RelocationKind::Call => "call of",
        RelocationKind::FunctionAddress => "address of",
        RelocationKind::Kconfig => "kernel configuration",
        RelocationKind::Ksym => "kernel symbol",
        RelocationKind::Kfunc => "kernel function",
        RelocationKind::Broken => "makes no sense:",
    }
}
