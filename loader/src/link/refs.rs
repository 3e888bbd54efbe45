//! References become distances (calls) or map numbers (maps and variables), each with a patch that says so.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::externs::Halves;
use super::{LinkCause, LinkError, Outside, Place, Span};
use crate::bytes::signed;
use crate::core_relo::{self, CoreError, KernelTypes, Resolver};
use crate::insn::{Insn, InsnIdx};
use crate::patch::{Patch, Reason};
use crate::spec::{ExternKind, FuncId, Function, MapId, ObjectSpec, Reloc, RelocTarget};
use crate::target::Ksym;
use crate::uapi::pseudo;

/// What the code refers to, once it is resolved.
pub(super) struct Resolved {
    pub(super) patches: Vec<Patch>,
    pub(super) map_refs: Vec<(InsnIdx, MapId)>,
    pub(super) btf_refs: Vec<(InsnIdx, usize)>,
}

/// Resolves every reference of the functions in `layout`, whose code stands in `insns`.
pub(super) fn resolve(
    spec: &ObjectSpec,
    outside: &Outside<'_>,
    program: &str,
    layout: &[Span],
    insns: &mut [Insn],
) -> Result<Resolved, LinkError> {
    let starts: BTreeMap<FuncId, InsnIdx> = layout.iter().map(|span| (span.func, span.start)).collect();
    let mut resolved = Resolved { patches: Vec::new(), map_refs: Vec::new(), btf_refs: Vec::new() };
    for span in layout {
        let Some(function) = spec.function(span.func) else {
            continue;
        };
        let ctx = Context { spec, outside, program, function, span: *span };
        resolved.patches.reserve(function.core_relos.len().saturating_add(function.relocs.len()));
        ctx.fit_to_types(insns, &mut resolved)?;
        for reloc in &function.relocs {
            ctx.one(reloc, &starts, insns, &mut resolved)?;
        }
    }
    Ok(resolved)
}

/// Where the reference stands that is being resolved.
struct Context<'a> {
    spec: &'a ObjectSpec,
    outside: &'a Outside<'a>,
    program: &'a str,
    function: &'a Function,
    span: Span,
}

impl Context<'_> {
    /// Puts the answers to the function's CO-RE records into its code.
    fn fit_to_types(&self, insns: &mut [Insn], resolved: &mut Resolved) -> Result<(), LinkError> {
        let fixups = self.outside.answers.fixups_of(self.span.func);
        let nobody = KernelTypes::default();
        for (number, (at, record)) in self.function.core_relos.iter().enumerate() {
            let fixup = match (fixups.get(number), &self.spec.btf) {
                (Some(fixup), _) => fixup.clone(),
                // Nobody was asked, and the object can tell itself. The compiler's number is old where files were joined.
                (None, Some(btf)) if !record.needs_target() => {
                    Resolver::new(btf, &nobody, self.spec.endian).resolve(record)
                }
                (None, _) => return Err(self.error(*at, LinkCause::NotAsked)),
            };
            let wrong = |error| self.error(*at, LinkCause::CoreRelo(error));
            let fixup = &fixup.map_err(wrong)?;
            let half = || self.error(*at, LinkCause::HalfLoad);
            let first = self.span.start.plus(at.0).ok_or_else(half)?;
            let before = *insns.get(first.index()).ok_or_else(half)?;
            let second = at.plus(1).filter(|second| second.0 < self.span.len);
            let second = second.and_then(|_| first.plus(1)).and_then(|at| insns.get(at.index())).copied();
            let question =
                || self.spec.btf.as_ref().map(|btf| core_relo::question(btf, record)).unwrap_or_default();
            let (after, after_second) = core_relo::apply(fixup, before, second)
                .map_err(|why| wrong(CoreError::Instruction { question: question(), why }))?;
            let reason = match fixup.why_poisoned(after) {
                Some(why) => Reason::Poison { need: question().into(), why },
                None => Reason::CoreRelo { record: *record, answer: fixup.answer.clone() },
            };
            let slots = [(Some(first), Some(after)), (first.plus(1), after_second)];
            for (at, after) in slots.into_iter().filter_map(|(at, after)| at.zip(after)) {
                resolved.patch(insns, at, after, reason.clone());
            }
        }
        Ok(())
    }

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
        match &reloc.target {
            RelocTarget::Map(map) => {
                let reason = Reason::Map { map: self.spec.map_name(*map).to_string() };
                resolved.patch(insns, at, before.with(pseudo::MAP_FD, 0), reason);
                resolved.map_refs.push((at, *map));
            }
            RelocTarget::MapValue { map, offset } => {
                let second = at.plus(1).ok_or_else(half)?;
                let reason = Reason::MapValue { map: self.spec.map_name(*map).to_string(), offset: *offset };
                resolved.patch(insns, at, before.with(pseudo::MAP_VALUE, 0), reason.clone());
                let upper = Insn { imm: signed(*offset), ..Insn::default() };
                resolved.patch(insns, second, upper, reason);
                resolved.map_refs.push((at, *map));
            }
            RelocTarget::Call(func) => {
                let reason = Reason::Call { callee: self.spec.function_name(*func).to_string() };
                resolved.patch(insns, at, before.with(pseudo::CALL, distance(func)?), reason);
            }
            RelocTarget::FunctionAddress(func) => {
                let reason = Reason::FunctionAddress { callee: self.spec.function_name(*func).to_string() };
                resolved.patch(insns, at, before.with(pseudo::FUNC, distance(func)?), reason);
            }
            RelocTarget::Broken { symbol, why } => {
                return Err(
                    self.error(reloc.at, LinkCause::Broken { symbol: symbol.clone(), why: why.clone() })
                );
            }
            RelocTarget::Extern { name, .. } => {
                let Halves { first, second, map, module } = self.external(name, reloc.at, before)?;
                let reason = self.why_external(name, before);
                resolved.patch(insns, at, first, reason.clone());
                let behind = at.plus(1).ok_or_else(half)?;
                if let Some(second) = second {
                    resolved.patch(insns, behind, second, reason);
                }
                resolved.map_refs.extend(map.map(|map| (at, map)));
                resolved.btf_refs.extend(module.map(|module| (behind, module)));
            }
        }
        Ok(())
    }

    /// What takes the place of a reference to something outside of the object.
    fn external(&self, name: &str, at: InsnIdx, before: Insn) -> Result<Halves, LinkError> {
        let unresolved = || self.error(at, self.why_unresolved(name, before));
        let missing = || Halves::missing_call(self.spec.extern_number(name));
        let Some(answer) = self.outside.answers.ksyms.get(name) else {
            let value = self.spec.externs.get(name).and_then(|external| external.value);
            let value = value.ok_or_else(unresolved)?;
            return Ok(if before.is_call() { missing() } else { Halves::value(before, value) });
        };
        match answer {
            Ksym::Missing(why) => {
                Err(self.error(at, LinkCause::Ksym { symbol: name.to_string(), why: why.clone() }))
            }
            Ksym::Without(_) if before.is_call() => Ok(missing()),
            Ksym::Without(_) => Ok(Halves::number(before, 0)),
            Ksym::Found(found) if before.is_call() => {
                Halves::call(before, *found, self.outside.fd_array).ok_or_else(unresolved)
            }
            Ksym::Found(found) => Ok(Halves::typed(before, *found)),
        }
    }

    /// Why nothing can take the place of a reference.
    fn why_unresolved(&self, name: &str, before: Insn) -> LinkCause {
        let symbol = name.to_string();
        match self.spec.externs.get(name).map(|external| external.kind) {
            Some(ExternKind::Unknown) | None => LinkCause::Undefined { symbol, call: before.is_call() },
            Some(_) => LinkCause::Extern { symbol },
        }
    }

    /// Why a reference to something outside of the object was changed.
    fn why_external(&self, name: &str, before: Insn) -> Reason {
        let why = match self.outside.answers.ksyms.get(name) {
            _ if !before.is_call() => None,
            Some(Ksym::Without(why)) => Some(why.to_string()),
            Some(_) => None,
            None => Some("nothing says what type it is of, to find it in the kernel".to_string()),
        };
        match why {
            Some(why) => Reason::Poison { need: format!("call of {name}").into(), why },
            None => Reason::Extern { name: name.to_string() },
        }
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

impl Resolved {
    /// Changes a slot, and notes why. That it is there was seen before.
    fn patch(&mut self, insns: &mut [Insn], at: InsnIdx, after: Insn, reason: Reason) {
        if let Some(slot) = insns.get_mut(at.index()) {
            self.patches.push(Patch { at, before: *slot, after, reason });
            *slot = after;
        }
    }
}
