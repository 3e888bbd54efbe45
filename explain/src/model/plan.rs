//! The kernel calls that load an object.

use serde::Serialize;

/// The kernel calls that load an object, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// The calls.
    pub calls: Vec<Call>,
    /// What cannot be loaded, and why.
    pub refused: Vec<String>,
    /// Why a slot is filled that nobody gave.
    pub inference: Option<String>,
}

/// A kernel call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Call {
    /// Its number, from 1.
    pub number: u32,
    /// The kernel's name for it: `BPF_MAP_CREATE`.
    pub command: String,
    /// What it is about: the name of a map or program.
    pub about: String,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Why it is made.
    pub why: String,
    /// What the kernel answered, if it was asked: `ok` or an errno.
    pub reply: Option<String>,
    /// What came with the answer: a new descriptor (`fd`), fields of what was asked for. Logs and code are shown where they
    /// are explained.
    pub answer: Vec<Argument>,
}

/// An argument of a call, or a part of its answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Argument {
    /// Its name, as the kernel's header has it.
    pub name: String,
    /// Its value, with units, names of types and flags, and names in place of descriptors; long values of maps are cut.
    pub value: String,
}
