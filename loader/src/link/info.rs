//! Function types and source lines, moved to where their functions ended up.

use alloc::vec::Vec;

use super::Span;
use crate::btf::{LineInfo, TypeId};
use crate::insn::InsnIdx;
use crate::spec::ObjectSpec;

type FuncInfos = Vec<(InsnIdx, TypeId)>;
type LineInfos = Vec<(InsnIdx, LineInfo)>;

/// The kernel wants a type for every function or for none, and a line at the start of every function or no lines.
///
/// Source: `check_btf_func`, `check_btf_line`, `kernel/bpf/verifier.c`.
pub(super) fn collect(spec: &ObjectSpec, layout: &[Span]) -> (FuncInfos, LineInfos) {
    let funcs: Option<FuncInfos> =
        layout.iter().map(|span| Some((span.start, spec.function(span.func)?.ty?))).collect();
    let Some(funcs) = funcs else {
        return (Vec::new(), Vec::new());
    };
    let mut lines = Vec::new();
    for span in layout {
        let own = spec.function(span.func).map(|f| f.lines.as_slice()).unwrap_or_default();
        if own.first().is_none_or(|(at, _)| *at != InsnIdx(0)) {
            return (funcs, Vec::new());
        }
        lines.extend(own.iter().filter_map(|(at, line)| Some((span.start.plus(at.0)?, *line))));
    }
    lines.dedup_by_key(|(at, _)| *at);
    (funcs, lines)
}
