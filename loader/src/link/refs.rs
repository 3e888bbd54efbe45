//! References become distances (calls) or map numbers (maps and variables), each with a patch that says so.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{LinkCause, LinkError, Place, Span};
use crate::bytes::signed;
use crate::insn::{Insn, InsnIdx};
use crate::patch::{Patch, Reason};
use crate::spec::{ExternValue, FuncId, Function, MapId, ObjectSpec, Reloc, RelocTarget};
use crate::uapi::pseudo;

/// What the code refers to, once it is resolved.
pub(super) struct Resolved {
    pub(super) patches: Vec<Patch>,
    pub(super) map_refs: Vec<(InsnIdx, MapId)>,
}

/// Resolves every reference of the functions in `layout`, whose code stands in `insns`.
pub(super) fn resolve(
    spec: &ObjectSpec,
    program: &str,
    layout: &[Span],
    insns: &mut [Insn],
) -> Result<Resolved, LinkError> {
    let starts: BTreeMap<FuncId, InsnIdx> = layout.iter().map(|span| (span.func, span.start)).collect();
    let mut resolved = Resolved { patches: Vec::new(), map_refs: Vec::new() };
    for span in layout {
        let Some(function) = spec.function(span.func) else {
            continue;
        };
        let ctx = Context { spec, program, function, span: *span };
        if let Some(at) = function.core_relos.first() {
            return Err(ctx.error(*at, LinkCause::CoreRelo));
        }
        for reloc in &function.relocs {
            ctx.one(reloc, &starts, insns, &mut resolved)?;
        }
    }
    Ok(resolved)
}

/// Where the reference stands that is being resolved.
struct Context<'a> {
    spec: &'a ObjectSpec,
    program: &'a str,
    function: &'a Function,
    span: Span,
}

impl Context<'_> {
    fn one(
        &self,
        reloc: &Reloc,
        starts: &BTreeMap<FuncId, InsnIdx>,
        insns: &mut [Insn],
        resolved: &mut Resolved,
    ) -> Result<(), LinkError> {
        let half = || self.error(reloc.at, LinkCause::HalfLoad);
        let at = self.span.start.plus(reloc.at.0).ok_or_else(half)?;
        let before = *insns.get(at.index()).ok_or_else(half)?;
        if before.is_ld_imm64() && !self.has_second_half(reloc.at) {
            return Err(half());
        }
        let distance = |func: &FuncId| starts.get(func).and_then(|to| at.call_distance(*to)).ok_or_else(half);
        let mut patch = |at: InsnIdx, after: Insn, reason: Reason| -> Result<(), LinkError> {
            let slot = insns.get_mut(at.index()).ok_or_else(half)?;
            resolved.patches.push(Patch { at, before: *slot, after, reason });
            *slot = after;
            Ok(())
        };
        match &reloc.target {
            RelocTarget::Map(map) => {
                let reason = Reason::Map { map: self.spec.map_name(*map).to_string() };
                patch(at, before.with(pseudo::MAP_FD, 0), reason)?;
                resolved.map_refs.push((at, *map));
            }
            RelocTarget::MapValue { map, offset } => {
                let second = at.plus(1).ok_or_else(half)?;
                let reason = Reason::MapValue { map: self.spec.map_name(*map).to_string(), offset: *offset };
                patch(at, before.with(pseudo::MAP_VALUE, 0), reason.clone())?;
                let upper = Insn { imm: signed(*offset), ..Insn::default() };
                patch(second, upper, reason)?;
                resolved.map_refs.push((at, *map));
            }
            RelocTarget::Call(func) => {
                let reason = Reason::Call { callee: self.spec.function_name(*func).to_string() };
                patch(at, before.with(pseudo::CALL, distance(func)?), reason)?;
            }
            RelocTarget::FunctionAddress(func) => {
                let reason = Reason::FunctionAddress { callee: self.spec.function_name(*func).to_string() };
                patch(at, before.with(pseudo::FUNC, distance(func)?), reason)?;
            }
            RelocTarget::Broken { symbol, why } => {
                return Err(
                    self.error(reloc.at, LinkCause::Broken { symbol: symbol.clone(), why: why.clone() })
                );
            }
            RelocTarget::Extern { name, .. } => {
                let unresolved = || self.error(reloc.at, LinkCause::Extern { symbol: name.clone() });
                let known = self.spec.externs.get(name).and_then(|external| external.value);
                let (first, upper, map) = extern_halves(known.ok_or_else(unresolved)?, before);
                let second = at.plus(1).ok_or_else(half)?;
                let reason = Reason::Extern { name: name.clone() };
                patch(at, first, reason.clone())?;
                patch(second, upper, reason)?;
                resolved.map_refs.extend(map.map(|map| (at, map)));
            }
        }
        Ok(())
    }

    /// The second half of a 64-bit load is a slot of the same function that is no instruction.
    fn has_second_half(&self, at: InsnIdx) -> bool {
        let second = at.plus(1).and_then(|at| self.function.insns.get(at.index()));
        second.is_some_and(|insn| Insn { imm: 0, ..*insn } == Insn::default())
    }

    fn error(&self, at: InsnIdx, cause: LinkCause) -> LinkError {
        let line = self.spec.source_line(self.span.func, at);
        let place = Place { function: self.function.name.clone(), at, line };
        LinkError { program: self.program.to_string(), place, cause: Box::new(cause) }
    }
}

/// Both halves of a 64-bit load of an extern, and the map it refers to, if any.
fn extern_halves(value: ExternValue, before: Insn) -> (Insn, Insn, Option<MapId>) {
    match value {
        ExternValue::MapValue { map, offset } => {
            let upper = Insn { imm: signed(offset), ..Insn::default() };
            (before.with(pseudo::MAP_VALUE, 0), upper, Some(map))
        }
        ExternValue::Address(address) => {
            let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
            let upper = Insn { imm: i32::from_le_bytes([e, f, g, h]), ..Insn::default() };
            (Insn { imm: i32::from_le_bytes([a, b, c, d]), ..before }, upper, None)
        }
    }
}
