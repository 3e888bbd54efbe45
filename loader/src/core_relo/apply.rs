//! Puts an answer into an instruction: each class of instructions has its number in another place.
//!
//! Source: libbpf `bpf_core_patch_insn`.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Answer, Fixup, Resize};
use crate::bytes::{signed, unsigned};
use crate::insn::{CALL, Insn, class};

/// The immediate of a call that no kernel knows: it stands for what cannot work on this kernel. The verifier refuses the
/// program if it can be reached. Source: libbpf, `0xbad2310`, "bad relo".
pub const POISON: i32 = 195_896_080;

/// What stands in place of an instruction that cannot work.
const POISONED: Insn = Insn { code: CALL, dst: 0, src: 0, off: 0, imm: POISON };

impl Fixup {
    /// Why its instruction, which became `after`, must not be reached; `None` if it may.
    pub fn why_poisoned(&self, after: Insn) -> Option<String> {
        match &self.answer {
            Answer::Poison { why } => Some(why.to_string()),
            Answer::Value { resize: Resize::Wrong { from, to }, .. } if after == POISONED => Some(format!(
                "it has {to} bytes in the kernel, and what the compiler wrote for {from} is wrong for them"
            )),
            Answer::Value { .. } => None,
        }
    }
}

/// `BPF_X`: the second operand is a register.
const SOURCE_REGISTER: u8 = 8;
/// `BPF_SIZE`: the bits that say how many bytes are accessed.
const SIZE_BITS: u8 = 0x18;
/// Codes of `BPF_SIZE` and the **bytes** that they stand for.
const SIZES: &[(u8, u32)] = &[(0x00, 4), (0x08, 2), (0x10, 1), (0x18, 8)];

/// The instruction, and the second half of a 64-bit load, as they are to be; `second` is what stands behind it.
///
/// # Errors
/// In words, why it is not the one that the record describes: for [`CoreError::Instruction`].
///
/// [`CoreError::Instruction`]: super::CoreError::Instruction
pub fn apply(fixup: &Fixup, insn: Insn, second: Option<Insn>) -> Result<(Insn, Option<Insn>), String> {
    let wide = insn.is_ld_imm64();
    let poisoned = (POISONED, second.filter(|_| wide).map(|_| POISONED));
    let Answer::Value { local, target, certain, resize } = &fixup.answer else {
        return Ok(poisoned);
    };
    let expected = |found: i64| {
        if !*certain || u64::from_ne_bytes(found.to_ne_bytes()) == *local {
            return Ok(());
        }
        Err(format!("{insn:?} carries {found}, the object's own types say {local}"))
    };
    match insn.class() {
        class::ALU | class::ALU64 if insn.code & SOURCE_REGISTER == 0 => {
            expected(insn.imm.into())?;
            Ok((Insn { imm: low(*target), ..insn }, None))
        }
        class::LDX | class::ST | class::STX => {
            expected(insn.off.into())?;
            let off = i16::try_from(*target)
                .map_err(|_too_large| format!("cannot reach byte {target}: offsets end at 32767"))?;
            match resize {
                Resize::Wrong { .. } => Ok(poisoned),
                Resize::Keep => Ok((Insn { off, ..insn }, None)),
                Resize::To { from, to } => {
                    let code = resized(insn.code, *from, *to).ok_or_else(|| {
                        format!("{insn:?} does not access {from} bytes, or cannot access {to}")
                    })?;
                    Ok((Insn { code, off, ..insn }, None))
                }
            }
        }
        class::LD if wide && insn.src == 0 && insn.off == 0 => {
            let plain = |second: &Insn| Insn { imm: 0, ..*second } == Insn::default();
            let second = second.filter(plain);
            let second = second.ok_or("is a 64-bit load without a second half")?;
            let carried = u64::from(unsigned(insn.imm)) | u64::from(unsigned(second.imm)) << 32;
            expected(i64::from_ne_bytes(carried.to_ne_bytes()))?;
            Ok((Insn { imm: low(*target), ..insn }, Some(Insn { imm: low(*target >> 32), ..second })))
        }
        _ => Err(format!("{insn:?} is of a class that takes no such number")),
    }
}

/// The lower 32 bits.
fn low(number: u64) -> i32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    signed(u32::from_le_bytes([a, b, c, d]))
}

/// The code of the same access with another size.
fn resized(code: u8, from: u32, to: u32) -> Option<u8> {
    let size_of = |bytes: u32| SIZES.iter().find(|(_, size)| *size == bytes).map(|(bits, _)| *bits);
    if code & SIZE_BITS != size_of(from)? {
        return None;
    }
    Some(code & !SIZE_BITS | size_of(to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixup(local: u64, target: u64, resize: Resize) -> Fixup {
        Fixup { answer: Answer::Value { local, target, certain: true, resize }, from: None }
    }

    fn insn(code: u8, off: i16, imm: i32) -> Insn {
        Insn { code, dst: 1, src: 0, off, imm }
    }

    #[test]
    fn each_class_has_its_place() {
        let keep = fixup(4, 9, Resize::Keep);
        assert_eq!(apply(&keep, insn(0xb7, 0, 4), None), Ok((insn(0xb7, 0, 9), None)));
        assert_eq!(apply(&keep, insn(0x61, 4, 0), None), Ok((insn(0x61, 9, 0), None)));
        let wide = fixup(4, 0x1_0000_0009, Resize::Keep);
        let (first, second) = apply(&wide, insn(0x18, 0, 4), Some(Insn::default())).unwrap();
        assert_eq!((first.imm, second.unwrap().imm), (9, 1));
        assert!(apply(&keep, insn(0xbf, 0, 4), None).is_err(), "a register has no number");
        assert!(apply(&keep, insn(0x18, 0, 4), None).is_err(), "half a load");
    }

    #[test]
    fn what_the_compiler_wrote_is_checked() {
        assert!(apply(&fixup(4, 9, Resize::Keep), insn(0x61, 5, 0), None).is_err());
        assert!(apply(&fixup(4, 40000, Resize::Keep), insn(0x61, 4, 0), None).is_err(), "beyond 32767");
    }

    #[test]
    fn accesses_change_their_size_or_are_poisoned() {
        let (load4, load8) = (insn(0x61, 4, 0), insn(0x79, 8, 0));
        assert_eq!(apply(&fixup(4, 8, Resize::To { from: 4, to: 8 }), load4, None), Ok((load8, None)));
        assert!(apply(&fixup(4, 8, Resize::To { from: 8, to: 4 }), load4, None).is_err());
        let (poisoned, _) = apply(&fixup(4, 8, Resize::Wrong { from: 4, to: 8 }), load4, None).unwrap();
        assert_eq!(poisoned, POISONED);
    }

    #[test]
    fn both_halves_of_a_load_are_poisoned() {
        let poison = Fixup { answer: Answer::Poison { why: "".into() }, from: None };
        let both = apply(&poison, insn(0x18, 0, 4), Some(Insn::default()));
        assert_eq!(both, Ok((POISONED, Some(POISONED))));
        assert_eq!(apply(&poison, insn(0x61, 0, 0), Some(Insn::default())), Ok((POISONED, None)));
    }
}
