//! What a stage changed in the code, and why.
//!
//! Every stage that rewrites instructions returns its [`Patch`]es. The law, held by tests: undoing them on the
//! stage's output gives the stage's input.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::btf::{Btf, CoreRelo};
use crate::core_relo::{self, Answer};
use crate::insn::{Insn, InsnIdx};

/// One changed slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// Which slot, counted from the start of the linked program.
    pub at: InsnIdx,
    /// What the compiler wrote.
    pub before: Insn,
    /// What stands there now.
    pub after: Insn,
    /// Why.
    pub reason: Reason,
}

/// Why a slot was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// It refers to a map: the descriptor is put in when the map exists.
    Map {
        /// The map's name.
        map: String,
    },
    /// It refers to a place in a map's value (a global variable).
    MapValue {
        /// The map's name.
        map: String,
        /// Where in the value, in **bytes**.
        offset: u32,
    },
    /// It refers to something outside of the object.
    Extern {
        /// Its name.
        name: String,
    },
    /// It depends on types, and the kernel's have this answer.
    CoreRelo {
        /// What was asked. In words it is said by [`core_relo::question`].
        record: CoreRelo,
        /// What came out.
        answer: Answer,
    },
    /// It cannot work on this kernel. If it can be reached, the verifier is to refuse the program.
    Poison {
        /// What it needs of the kernel: `offset of struct task_struct.mm`, `call of bpf_throw`.
        need: Arc<str>,
        /// Why the kernel does not have it.
        why: String,
    },
    /// It calls a subprogram.
    Call {
        /// The subprogram's name.
        callee: String,
    },
    /// It takes the address of a subprogram.
    FunctionAddress {
        /// The subprogram's name.
        callee: String,
    },
    /// It calls a helper that the kernel does not have, but one that does the same.
    Helper {
        /// The helper's name.
        helper: String,
        /// What is called in its place.
        by: String,
    },
}

impl Reason {
    /// In words, with the object's types.
    pub fn words(&self, btf: Option<&Btf>) -> String {
        match self {
            Self::Map { map } => format!("map {map}"),
            Self::MapValue { map, offset } => format!("value of map {map} at byte {offset}"),
            Self::Extern { name } => format!("extern {name}"),
            Self::CoreRelo { record, answer } => {
                let question = btf.map(|btf| core_relo::question(btf, record)).unwrap_or_default();
                format!("{question}: {answer}")
            }
            Self::Poison { need, why } => format!("{need}: {why}: must not be reached"),
            Self::Call { callee } => format!("call {callee}"),
            Self::FunctionAddress { callee } => format!("address of {callee}"),
            Self::Helper { helper, by } => format!("call {by}: this kernel has no {helper}"),
        }
    }
}

/// Makes the changes; code that they do not fit stays as it is.
pub fn apply(code: &mut [Insn], patches: &[Patch]) {
    for patch in patches {
        if let Some(slot) = code.get_mut(patch.at.index()) {
            *slot = patch.after;
        }
    }
}

/// Takes the changes back: the code as it was before the stages that made `patches`.
///
/// `None` if a patch does not describe the code, which would be a defect of the stage.
pub fn undo(code: &[Insn], patches: &[Patch]) -> Option<Vec<Insn>> {
    let mut code = code.to_vec();
    for patch in patches.iter().rev() {
        let slot = code.get_mut(patch.at.index())?;
        if *slot != patch.after {
            return None;
        }
        *slot = patch.before;
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn patch(before: Insn, after: Insn) -> Patch {
        Patch { at: InsnIdx(0), before, after, reason: Reason::Map { map: "m".to_string() } }
    }

    #[test]
    fn undo_takes_patches_back_last_first() {
        let (a, b, c) = (Insn::default().with(0, 1), Insn::default().with(0, 2), Insn::default().with(0, 3));
        assert_eq!(undo(&[c], &[patch(a, b), patch(b, c)]), Some(vec![a]));
    }

    #[test]
    fn a_patch_that_does_not_fit_the_code_is_no_explanation() {
        let (a, b) = (Insn::default().with(0, 1), Insn::default().with(0, 2));
        assert_eq!(undo(&[a], &[patch(a, b)]), None);
        assert_eq!(undo(&[], &[patch(a, b)]), None);
    }
}
