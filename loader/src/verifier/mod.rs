//! Why the verifier refused a program, for people: what it said in one sentence, the line of C, the instruction, the
//! registers and how they came to be so, and what to change.
//!
//! Reads the text of a log, of Linux 5.4 to 6.18, and gives values ([`Refusal`]), which show themselves. Nothing is decided
//! by it, and no kernel is asked: a log from anywhere will do. With the program at hand ([`Program`]) instructions are found
//! in it, with the object's own source lines; without it, the log's must do.
//!
//! What may not enter: a kernel, and any choice that depends on what a log says.

pub mod causes;
mod log;
mod messages;
mod place;
mod stack;
mod state;
mod story;
mod text;
mod track;
mod types;

use alloc::string::String;
use alloc::vec::Vec;

use crate::insn::InsnIdx;
use crate::link::LinkedProgram;
use crate::spec::ObjectSpec;

pub use messages::{About, Cause};
pub use types::{TypesRefusal, explain_types};

/// The program that a log is about.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The object that it is from.
    pub spec: &'a ObjectSpec,
    /// The program as it was sent to the kernel.
    pub linked: &'a LinkedProgram,
}

/// Why the verifier refused a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What the verifier said, a line each. Never empty.
    pub message: Vec<String>,
    /// What that means; `None` for a message that is not in the table.
    pub why: Option<Why>,
    /// The instruction that it is about, if it is about one.
    pub at: Option<Location>,
    /// The registers that the message is about or that the instruction uses, and how they came to be so.
    pub registers: Vec<Register>,
    /// The last branches on the way to it, the latest first.
    pub branches: Vec<Event>,
    /// Whether the path to the instruction is in the log as far as it was followed. If not, what is missing stood in the
    /// part that the kernel cut off.
    pub whole: bool,
}

/// What a message means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// Its row of the table.
    pub cause: &'static Cause,
    /// What it means in this case, in one sentence.
    pub explanation: String,
    /// What to change.
    pub advice: String,
}

/// An instruction, and the line of C that made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// Its slot in the program as it was sent to the kernel.
    pub slot: InsnIdx,
    /// The function that it stands in and its slot there, if the program is at hand.
    pub function: Option<(String, InsnIdx)>,
    /// The instruction, in the verifier's words; `None` if the log does not show it.
    pub insn: Option<String>,
    /// The line of C that made it.
    pub source: Option<Source>,
}

/// A line of C.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The file; the log alone says only its name, and that since Linux 6.10.
    pub file: Option<String>,
    /// The number of the line, from 1.
    pub line: Option<u32>,
    /// Its text.
    pub text: String,
}

/// A register or something else that a message is about, and how it came to be what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// In the verifier's words: `R1`, `fp-8`; or `reference 2`, or `stack of FUNCTION`.
    pub name: String,
    /// What the verifier knew about it last, in its own words. Before Linux 5.17 it says so only at branches.
    pub state: Option<String>,
    /// What happened to it on the path, the latest first.
    pub history: Vec<Event>,
}

/// Something that happened to a register, or on the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Where.
    pub at: Location,
    /// What was known behind it.
    pub state: Option<String>,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// It was filled: with a constant, a value from memory, what a call returned.
    Filled,
    /// It was filled with what stood in another register or in a slot of the stack.
    Copied,
    /// It was changed.
    Changed,
    /// It was compared.
    Compared,
    /// A call took away what it held.
    Lost,
    /// What it pointed to may be gone since this call.
    Ended,
    /// A reference was taken.
    Taken,
    /// A function was called.
    Called,
    /// A branch, at which the path jumped.
    Jumped,
    /// A branch, at which the path went straight on.
    Passed,
}

/// Explains a refusal from the verifier's log; `None` if the log has no message, as when its end was cut off.
///
/// `cut` says that the kernel had no room for all of it. Linux before 6.4 then keeps its beginning, later ones its end.
pub fn explain(log: &str, cut: bool, program: Option<Program<'_>>) -> Option<Refusal> {
    story::tell(log, cut, program)
}
