//! Our code beside the kernel's: which of its instructions stand for which of ours.
//!
//! The verifier rewrites code in place, puts in instructions of its own and takes out what is never reached, and does not
//! tell which. The two are compared like two versions of a text, by what it leaves alone.

use std::ops::Range;

use rxdp_loader::insn::{Insn, InsnIdx, class};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::code::whole;
use crate::model::{Xlated, XlatedInstruction};
use crate::words::code_bytes;

/// An instruction with its place and the second half of a 64-bit load.
type Whole = (InsnIdx, Insn, Option<Insn>);

/// Code beside code. `ours` and `kernels` say how an instruction of either is shown.
pub(crate) fn beside(
    sent: &[Insn],
    found: &[Insn],
    ours: impl Fn(InsnIdx, Insn, Option<Insn>) -> String,
    kernels: impl Fn(InsnIdx, Insn, Option<Insn>) -> String,
) -> Vec<Xlated> {
    let (sent, found): (Vec<Whole>, Vec<Whole>) = (whole(sent).collect(), whole(found).collect());
    let keys = |code: &[Whole]| code.iter().map(|(_, insn, _)| key(*insn)).collect::<Vec<_>>();
    let sent_keys = keys(&sent);
    let found_keys = keys(&found);
    let left = |range: Range<usize>| shown(&sent, range, &ours);
    let right = |range: Range<usize>| shown(&found, range, &kernels);
    let mut rows = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &sent_keys, &found_keys) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            let pairs = left(old_index..old_index.saturating_add(len))
                .into_iter()
                .zip(right(new_index..new_index.saturating_add(len)));
            rows.extend(pairs.map(|(ours, kernel)| Xlated {
                differs: ours.bytes != kernel.bytes,
                ours: vec![ours],
                kernel: vec![kernel],
            }));
        } else {
            let (_, old, new) = op.as_tag_tuple();
            rows.push(Xlated { ours: left(old), kernel: right(new), differs: true });
        }
    }
    rows
}

fn shown(
    code: &[Whole],
    range: Range<usize>,
    text: impl Fn(InsnIdx, Insn, Option<Insn>) -> String,
) -> Vec<XlatedInstruction> {
    let part = code.get(range).unwrap_or_default();
    let one = |(at, insn, second): &Whole| XlatedInstruction {
        at: at.0,
        bytes: code_bytes(*insn, *second, rxdp_loader::bytes::Endian::NATIVE),
        text: text(*at, *insn, *second),
    };
    part.iter().map(one).collect()
}

/// What the verifier leaves alone of an instruction: not where it jumps to, since code moves; not which function it calls
/// or which descriptor it loads, since it has other numbers for them.
fn key(insn: Insn) -> (u8, u8, u8, i16, i32) {
    let Insn { code, dst, src, off, imm } = insn;
    if insn.is_call() || insn.is_ld_imm64() && src != 0 {
        return (code, dst, 0, 0, 0);
    }
    if matches!(insn.class(), class::JMP | class::JMP32) {
        (code, dst, src, 0, imm)
    } else {
        (code, dst, src, off, imm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { code, dst, src, off, imm }
    }

    fn plain(_: InsnIdx, insn: Insn, second: Option<Insn>) -> String {
        crate::disasm::text(insn, second, crate::disasm::Refers::Nothing)
    }

    #[test]
    fn what_the_kernel_put_in_stands_alone() {
        let call = insn(0x85, 0, 0, 0, 6);
        let sent = [insn(0x61, 1, 1, 0, 0), call, insn(0x95, 0, 0, 0, 0)];
        let found = [
            insn(0x79, 1, 1, 0, 0),
            insn(0x05, 0, 0, 0, 0),
            insn(0x85, 0, 0, 0, 4711),
            insn(0x95, 0, 0, 0, 0),
        ];
        let rows = beside(&sent, &found, plain, plain);
        let shape: Vec<(usize, usize, bool)> =
            rows.iter().map(|row| (row.ours.len(), row.kernel.len(), row.differs)).collect();
        assert_eq!(shape, [(1, 2, true), (1, 1, true), (1, 1, false)]);
        assert_eq!(rows[1].kernel[0].at, 2);
    }
}
