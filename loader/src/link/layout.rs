//! Which functions a program needs, and in which order they stand behind it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Span;
use crate::insn::InsnIdx;
use crate::spec::{FuncId, ObjectSpec, RelocTarget};

/// The entry function, then every subprogram that it reaches, each once.
///
/// Order is libbpf's, so that the kernel's tag of a program is the same: a subprogram is put behind everything that is
/// there when its first call is met, and its own calls are followed before those after it. A list stands for the
/// recursion, since an object may nest calls as deep as it likes.
///
/// Nobody calls the function for exceptions, so it and what it calls stand at the end.
///
/// `None` if positions overflow.
pub(super) fn layout(spec: &ObjectSpec, entry: FuncId, exceptions: Option<FuncId>) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    let mut placed = BTreeSet::new();
    let mut end = InsnIdx(0);
    let mut open: Vec<Open> = Vec::new();
    let mut next = Some(entry);
    let mut last = exceptions;
    loop {
        if let Some(func) = next.filter(|func| placed.insert(*func)) {
            let len = u32::try_from(spec.function(func)?.insns.len()).ok()?;
            spans.push(Span { func, start: end, len });
            end = end.plus(len).filter(|end| end.0 <= i32::MAX.unsigned_abs())?;
            open.push(Open { func, next_reloc: 0 });
        }
        let Some(top) = open.last_mut() else {
            next = last.take();
            if next.is_none() {
                return Some(spans);
            }
            continue;
        };
        next = top.next_callee(spec);
        if next.is_none() {
            open.pop();
        }
    }
}

/// A function whose references are being followed.
struct Open {
    func: FuncId,
    next_reloc: usize,
}

impl Open {
    fn next_callee(&mut self, spec: &ObjectSpec) -> Option<FuncId> {
        let relocs = &spec.function(self.func)?.relocs;
        while let Some(reloc) = relocs.get(self.next_reloc) {
            self.next_reloc = self.next_reloc.saturating_add(1);
            if let RelocTarget::Call(func) | RelocTarget::FunctionAddress(func) = reloc.target {
                return Some(func);
            }
        }
        None
    }
}
