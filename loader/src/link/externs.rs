//! What stands in place of references to things outside of the object.
//!
//! Source: libbpf `bpf_object__relocate_data`, `poison_kfunc_call`.

use alloc::vec::Vec;

use crate::bytes::signed;
use crate::core_relo::Location;
use crate::insn::{CALL, Insn};
use crate::spec::{ExternKind, ExternValue, MapId, ObjectSpec};
use crate::target::{Answers, Ksym};
use crate::uapi::pseudo;

/// The immediate of a call of a function that is not there, plus the extern's number: if the call can be reached, the
/// verifier refuses the program. Source: libbpf `POISON_CALL_KFUNC_BASE`.
pub(super) const POISON_CALL: u32 = 2_002_000_000;

/// What takes the place of a reference: one slot for a call, two for a load.
pub(super) struct Halves {
    pub(super) first: Insn,
    pub(super) second: Option<Insn>,
    /// The map that the first is to carry.
    pub(super) map: Option<MapId>,
    /// The module whose BTF the second is to carry.
    pub(super) module: Option<usize>,
}

impl Halves {
    /// A load of a number.
    pub(super) fn number(before: Insn, number: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        let second = Insn { imm: i32::from_le_bytes([e, f, g, h]), ..Insn::default() };
        let first = Insn { imm: i32::from_le_bytes([a, b, c, d]), ..before };
        Self { first, second: Some(second), map: None, module: None }
    }

    /// A load of what an extern turned out to be.
    pub(super) fn value(before: Insn, value: ExternValue) -> Self {
        match value {
            ExternValue::Address(address) => Self::number(before, address),
            ExternValue::MapValue { map, offset } => {
                let second = Insn { imm: signed(offset), ..Insn::default() };
                let first = before.with(pseudo::MAP_VALUE, 0);
                Self { first, second: Some(second), map: Some(map), module: None }
            }
        }
    }

    /// A load of the address of something that the kernel's types name.
    pub(super) fn typed(before: Insn, at: Location) -> Self {
        let first = before.with(pseudo::BTF_ID, signed(at.id.0));
        Self { first, second: Some(Insn::default()), map: None, module: at.module }
    }

    /// A call of one of the kernel's functions.
    pub(super) fn call(before: Insn, at: Location, fd_array: &[usize]) -> Option<Self> {
        let off = match at.module {
            None => 0,
            Some(module) => fd_array.iter().position(|other| *other == module)?.checked_add(1)?,
        };
        let off = i16::try_from(off).ok()?;
        let first = Insn { off, ..before.with(pseudo::KFUNC_CALL, signed(at.id.0)) };
        Some(Self { first, second: None, map: None, module: None })
    }

    /// A call of a function that is not there.
    pub(super) fn missing_call(number: u32) -> Self {
        let imm = signed(POISON_CALL.wrapping_add(number));
        Self { first: Insn { code: CALL, imm, ..Insn::default() }, second: None, map: None, module: None }
    }
}

/// Modules whose functions the object may call, in the order of the functions' names.
pub(super) fn fd_array(spec: &ObjectSpec, answers: &Answers) -> Vec<usize> {
    let is_function = |name: &str| {
        spec.externs.get(name).is_some_and(|e| matches!(e.kind, ExternKind::Typed { function: true, .. }))
    };
    let mut modules = Vec::new();
    for (_, answer) in answers.ksyms.iter().filter(|(name, _)| is_function(name)) {
        if let Ksym::Found(Location { module: Some(module), .. }) = answer {
            if !modules.contains(module) {
                modules.push(*module);
            }
        }
    }
    modules
}
