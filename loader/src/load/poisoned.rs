//! What a refused instruction is, if the loader put it there to be refused.
//!
//! Where the kernel lacks something, the linker leaves an instruction that the verifier refuses if it can be reached
//! ([`Reason::Poison`]). The verifier knows such an instruction only by its number; here it is translated back. Its log is
//! read for that, to show something, never to decide.

use std::fmt;
use std::sync::Arc;

use crate::insn::InsnIdx;
use crate::link::{LinkedProgram, Place};
use crate::patch::{Patch, Reason};
use crate::spec::ObjectSpec;

/// An instruction that needs what the kernel does not have, and that can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poisoned {
    /// The instruction.
    pub place: Place,
    /// What it needs: `offset of struct task_struct.mm`, `call of bpf_throw`.
    pub need: Arc<str>,
    /// Why the kernel does not have it.
    pub why: String,
}

impl fmt::Display for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, need, why } = self;
        write!(f, "{place} can be reached, and needs {need}: {why}")
    }
}

/// How the verifier names a call of a function that it does not know, before and behind the function's number.
/// Source: `check_helper_call`, `kernel/bpf/verifier.c`.
const REFUSAL: (&str, char) = ("invalid func ", '#');

/// The poisoned instruction at which the verifier stopped; `None` if it stopped for another reason.
pub(super) fn find(spec: &ObjectSpec, program: &LinkedProgram, log: &str) -> Option<Poisoned> {
    let lines = || log.lines().map(str::trim);
    let number = lines().rev().find_map(|line| line.strip_prefix(REFUSAL.0)?.split_once(REFUSAL.1))?.1;
    let number: i32 = number.parse().ok()?;
    let poisoned = |patch: &&Patch| {
        matches!(patch.reason, Reason::Poison { .. }) && patch.after.is_call() && patch.after.imm == number
    };
    let all = || program.patches.iter().filter(poisoned);
    let reached = lines().rev().find_map(slot);
    // Without its slot it is told only if there is no other like it.
    let patch = all()
        .find(|patch| Some(patch.at) == reached)
        .or_else(|| all().next().filter(|_| all().count() == 1))?;
    let Reason::Poison { need, why } = &patch.reason else {
        return None;
    };
    let (func, at) = program.locate(patch.at)?;
    let function = spec.function_name(func).to_string();
    let place = Place { function, at, line: spec.source_line(func, at) };
    Some(Poisoned { place, need: need.clone(), why: why.clone() })
}

/// The slot of an instruction in the verifier's log: `12: (85) call ...`.
fn slot(line: &str) -> Option<InsnIdx> {
    let (slot, rest) = line.split_once(": (")?;
    rest.starts_with("85)").then_some(())?;
    slot.parse().ok().map(InsnIdx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_from_calls_only() {
        assert_eq!(slot("12: (85) call unknown#195896080"), Some(InsnIdx(12)));
        assert_eq!(slot("12: (b7) r0 = 1"), None);
        assert_eq!(slot("; call (85) me"), None);
        assert_eq!(slot("from 3 to 5: (85) call"), None);
    }
}
