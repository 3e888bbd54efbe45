//! Calls of helpers that an older kernel has under another number.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::bytes::signed;
use crate::features::Features;
use crate::insn::{Insn, InsnIdx};
use crate::link::LinkedProgram;
use crate::patch::{Patch, Reason};
use crate::uapi::Helper;

/// Helpers that read memory of one of the two kinds, and the ones that guess which kind it is: on machines where an
/// address tells, as x86-64 and arm64, they guess right.
const GUESSING: &[(Helper, Helper)] = &[
    (Helper::PROBE_READ_USER, Helper::PROBE_READ),
    (Helper::PROBE_READ_KERNEL, Helper::PROBE_READ),
    (Helper::PROBE_READ_USER_STR, Helper::PROBE_READ_STR),
    (Helper::PROBE_READ_KERNEL_STR, Helper::PROBE_READ_STR),
];

/// What must change in a program's code for a kernel with these features: nothing on most.
pub fn helpers(program: &LinkedProgram, has: Features) -> Vec<Patch> {
    if has.contains(Features::PROBE_READ_KERNEL) {
        return Vec::new();
    }
    let slots = (0u32..).map(InsnIdx).zip(&program.insns);
    slots.filter_map(|(at, insn)| replaced(at, *insn)).collect()
}

/// Features on which it depends what becomes of a program's code.
pub fn needs_of_code(program: &LinkedProgram) -> Features {
    match program.insns.iter().any(|insn| guessing(*insn).is_some()) {
        true => Features::PROBE_READ_KERNEL,
        false => Features::empty(),
    }
}

fn guessing(insn: Insn) -> Option<(Helper, Helper)> {
    let called = insn.helper()?;
    GUESSING.iter().find(|(exact, _)| exact.0 == called).copied()
}

fn replaced(at: InsnIdx, before: Insn) -> Option<Patch> {
    let (helper, by) = guessing(before)?;
    let after = Insn { imm: signed(by.0), ..before };
    let reason = Reason::Helper { helper: helper.to_string(), by: by.to_string() };
    Some(Patch { at, before, after, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insn::{CALL, LD_IMM64};

    #[test]
    fn only_calls_of_helpers_are_replaced() {
        let call = |src, imm| Insn { code: CALL, src, imm, ..Insn::default() };
        let number = |insn| replaced(InsnIdx(0), insn).map(|patch| patch.after.imm);
        let numbers = [112, 113, 114, 115, 111, 4].map(|imm| number(call(0, imm)));
        assert_eq!(numbers, [Some(4), Some(4), Some(45), Some(45), None, None]);
        assert_eq!(number(call(1, 113)), None, "a subprogram 113 slots on");
        assert_eq!(number(call(2, 113)), None, "a kernel function");
        assert_eq!(number(Insn { code: LD_IMM64, imm: 113, ..Insn::default() }), None);
    }
}
