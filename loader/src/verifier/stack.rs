//! How much of the stack a program's functions need together, and which call is one too many.
//!
//! The verifier says only the sum. Here it is found again in the code: what a function needs is its lowest access below
//! the frame's top.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Program;
use crate::insn::{Insn, InsnIdx, class};
use crate::link::Span;
use crate::spec::FuncId;
use crate::uapi::pseudo;

/// **Bytes** of stack that functions that call each other may need together. Source: `MAX_BPF_STACK`.
const MOST: u32 = 512;

/// What a frame is rounded up to, in **bytes**: 16 with a JIT, since Linux 6.9, before and without it 32.
/// Source: `round_up_stack_depth`.
const FRAME: u32 = 16;

/// The frame pointer.
const R10: u8 = 10;

/// `rX = r10` and `rX += imm`.
const COPY: u8 = 0xbf;
const ADD: u8 = 0x07;

/// A function on the way to the deepest one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    /// The function.
    pub(super) func: FuncId,
    /// **Bytes** that it needs.
    pub(super) bytes: u32,
    /// The call that leads to it; none for the program itself.
    pub(super) call: Option<InsnIdx>,
}

/// The calls that need most of the stack together, the program first.
pub(super) fn deepest(program: Program<'_>) -> Vec<Frame> {
    let main = program.linked.layout.first();
    main.map(|main| below(program, *main, &mut BTreeMap::new())).unwrap_or_default()
}

/// The first call that leads beyond what there is.
pub(super) fn beyond(way: &[Frame]) -> Option<InsnIdx> {
    let mut bytes = 0_u32;
    let over = |frame: &&Frame| {
        bytes = bytes.saturating_add(frame.rounded());
        bytes > MOST
    };
    way.iter().find(over)?.call
}

/// The deepest calls from a function on. A function that is `known` is looked at once; one that calls itself is refused
/// for that.
fn below(program: Program<'_>, span: Span, known: &mut BTreeMap<FuncId, Vec<Frame>>) -> Vec<Frame> {
    if let Some(found) = known.get(&span.func) {
        return found.clone();
    }
    known.insert(span.func, Vec::new());
    let code = code(program, span);
    let mut deepest = Vec::new();
    for (insn, at) in code.iter().zip(span.start.0..) {
        let Some(callee) = callee(program, insn, InsnIdx(at)) else {
            continue;
        };
        let mut way = below(program, callee, known);
        if let Some(first) = way.first_mut() {
            first.call = Some(InsnIdx(at));
        }
        if sum(&way) > sum(&deepest) {
            deepest = way;
        }
    }
    deepest.insert(0, Frame { func: span.func, bytes: need(code), call: None });
    known.insert(span.func, deepest.clone());
    deepest
}

fn code<'a>(program: Program<'a>, span: Span) -> &'a [Insn] {
    let end = span.start.plus(span.len).unwrap_or(span.start);
    program.linked.insns.get(span.start.index()..end.index()).unwrap_or_default()
}

/// The function of the program that an instruction calls.
fn callee(program: Program<'_>, insn: &Insn, at: InsnIdx) -> Option<Span> {
    let target = Some(at).filter(|_| insn.is_call() && insn.src == pseudo::CALL)?.call_target(insn.imm)?;
    program.linked.layout.iter().find(|span| span.start == target).copied()
}

fn sum(frames: &[Frame]) -> u32 {
    frames.iter().copied().map(Frame::rounded).fold(0, u32::saturating_add)
}

impl Frame {
    fn rounded(self) -> u32 {
        self.bytes.max(1).next_multiple_of(FRAME)
    }
}

/// How far below the frame's top a function goes.
fn need(code: &[Insn]) -> u32 {
    let direct = code.iter().filter_map(|insn| match insn.class() {
        class::LDX if insn.src == R10 => Some(i32::from(insn.off)),
        class::ST | class::STX if insn.dst == R10 => Some(i32::from(insn.off)),
        _ => None,
    });
    let by_address = code.windows(2).filter_map(|pair| match pair {
        [copy, add] if (copy.code, copy.src, add.code, add.dst) == (COPY, R10, ADD, copy.dst) => {
            Some(add.imm)
        }
        _ => None,
    });
    direct.chain(by_address).map(|at| at.min(0).unsigned_abs()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { code, dst, src, off, imm }
    }

    #[test]
    fn the_lowest_access_counts() {
        let store = insn(0x7b, R10, 1, -24, 0);
        let load = insn(0x79, 1, R10, -16, 0);
        let address = [insn(COPY, 2, R10, 0, 0), insn(ADD, 2, 0, 0, -300)];
        let elsewhere = [insn(COPY, 2, R10, 0, 0), insn(ADD, 3, 0, 0, -400)];
        assert_eq!(need(&[]), 0);
        assert_eq!(need(&[load, store]), 24);
        assert_eq!(need(&[[store, load], address, elsewhere].concat()), 300);
    }

    #[test]
    fn the_call_beyond_512_bytes_is_found() {
        let frame = |bytes, call: Option<u32>| Frame { func: FuncId(0), bytes, call: call.map(InsnIdx) };
        let way = [frame(0, None), frame(304, Some(3)), frame(300, Some(9)), frame(8, Some(20))];
        assert_eq!(beyond(&way), Some(InsnIdx(9)));
        assert_eq!(beyond(&[frame(500, None)]), None);
        assert_eq!(sum(&way), 16 + 304 + 304 + 16);
    }
}
