//! The table of messages: what the verifier writes, what it means, what to change.
//!
//! Data only. The first row whose message fits is taken, so narrower ones stand before wider ones, within a file and
//! between files. A message stands in the words of every version from Linux 5.4 to 6.18 that has its own.
//! docs/verifier.md is printed from this.
//!
//! Source: `kernel/bpf/verifier.c` and `kernel/bpf/btf.c` of these versions.

mod attach;
mod calls;
mod code;
mod held;
mod kernel_objects;
mod memory;
mod types;
mod values;

use super::messages::{About, Cause};

/// All rows about programs, in the order in which they are tried.
pub fn all() -> impl Iterator<Item = &'static Cause> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The rows about an object's types, in the order in which they are tried.
pub fn types() -> impl Iterator<Item = &'static Cause> {
    types::CAUSES.iter()
}

const TABLES: &[&[Cause]] = &[
    code::CAUSES,
    held::CAUSES,
    calls::CAUSES,
    attach::CAUSES,
    memory::CAUSES,
    kernel_objects::CAUSES,
    values::CAUSES,
];

/// A row about an instruction.
const fn row(
    name: &'static str,
    messages: &'static [&'static str],
    explanation: &'static str,
    advice: &'static str,
) -> Cause {
    Cause { name, messages, explanation, advice, about: About::Insn, was: &[], ended_by: &[] }
}

impl Cause {
    /// The same about a program as a whole.
    const fn of_program(self) -> Self {
        Self { about: About::Program, ..self }
    }

    /// The same about the stack that functions need together.
    const fn of_stack(self) -> Self {
        Self { about: About::Stack, ..self }
    }

    /// The same, only for a register that held one of these types before.
    const fn was(self, was: &'static [&'static str]) -> Self {
        Self { was, ..self }
    }

    /// The same about a register that lost what it held when one of these functions was called.
    const fn ended_by(self, ended_by: &'static [&'static str]) -> Self {
        Self { ended_by, ..self }
    }
}
