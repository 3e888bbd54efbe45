//! An explanation as plain data: everything that the faces show, and nothing that they have to work out.
//!
//! Field names are stable: they are the JSON of `explain --format json`, whose schema is `docs/explain.schema.json`. New
//! fields may come; none is renamed. Parts refer to each other by index: a map by its index in `map_fd[]`, a program by its
//! index in `prog_fd[]`, a function by its index in [`Explanation::functions`].
//!
//! Positions of instructions are in **slots** of 8 bytes, as the kernel counts them; a 64-bit load takes two.

mod btf;
mod code;
mod file;
mod graph;
mod join;
mod kernel;
mod maps;
mod plan;
mod programs;

use serde::Serialize;

pub use btf::{Btf, Detail, Fate, FateKind, KindCount, TypeChange};
pub use code::{
    Change, ChangeKind, Code, Core, CoreStep, Extern, Function, Instruction, Linked, LinkedInstruction,
    Relocation, RelocationKind, SourceLine, Span,
};
pub use file::{File, HeaderField, Section, Symbol};
pub use graph::{Graph, GraphSlot, MapUse, Table, TailCall, TrailStep, Unfit};
pub use join::{Join, JoinedFile, JoinedName, JoinedPart, JoinedSection, NameMention};
pub use kernel::{
    Attachment, Kernel, LoadedMap, LoadedProgram, MachineInstruction, MessagePart, RefusedProgram,
    SlotInKernel, Xlated, XlatedInstruction,
};
pub use maps::{Attribute, Definition, Field, Map, Origin, Slot};
pub use plan::{Argument, Call, Plan};
pub use programs::{Load, Program, Rule};

/// The version of the model: it changes when a field changes its meaning.
pub const VERSION: u32 = 1;

/// How an object is loaded, from its bytes to the kernel's calls.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// [`VERSION`].
    pub version: u32,
    /// What is explained.
    pub object: Object,
    /// What it is loaded for.
    pub machine: Machine,
    /// Parts that could not be made, and why.
    pub problems: Vec<Problem>,
    /// How several files became one object, if there were several.
    pub join: Option<Join>,
    /// The file: header, sections, symbols. Of several files that were joined what they became, which has no header.
    pub file: File,
    /// Maps, by their index in `map_fd[]`.
    pub maps: Vec<Map>,
    /// Entry programs, by their index in `prog_fd[]`.
    pub programs: Vec<Program>,
    /// All functions with their code as the compiler wrote it.
    pub functions: Vec<Function>,
    /// What the object declares and does not define.
    pub externs: Vec<Extern>,
    /// Each program as it is sent to the kernel, and every change on the way there.
    pub linked: Vec<Linked>,
    /// Tail calls, jump tables, and which program uses which map.
    pub graph: Graph,
    /// The object's types, and what becomes of them on their way to the kernel.
    pub btf: Btf,
    /// The kernel calls that load it, in order.
    pub plan: Plan,
    /// What the kernel said, if it was asked (`--live`).
    pub kernel: Option<Kernel>,
}

/// What is explained.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Object {
    /// Its file, as it was given.
    pub path: String,
    /// The object's name: its file name up to the first dot. Names of internal maps begin with it.
    pub name: String,
    /// Size of the file in **bytes**.
    pub bytes: u64,
}

/// What an object is loaded for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Machine {
    /// Version of the kernel.
    pub kernel: String,
    /// Where the kernel's types are from that code is fitted to (CO-RE).
    pub types: String,
}

/// A part that could not be made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Which part.
    pub part: Part,
    /// Why.
    pub why: String,
}

/// A part of an explanation: what `--section` takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// [`Explanation::join`].
    Join,
    /// [`Explanation::file`].
    File,
    /// [`Explanation::maps`].
    Maps,
    /// [`Explanation::programs`].
    Programs,
    /// [`Explanation::functions`].
    Code,
    /// [`Explanation::linked`] and [`Explanation::externs`].
    Relocations,
    /// [`Explanation::graph`].
    Graph,
    /// [`Explanation::btf`].
    Btf,
    /// [`Explanation::plan`].
    Plan,
    /// [`Explanation::kernel`].
    Kernel,
}

impl Part {
    /// All parts, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Join,
        Self::File,
        Self::Maps,
        Self::Programs,
        Self::Code,
        Self::Relocations,
        Self::Graph,
        Self::Btf,
        Self::Plan,
        Self::Kernel,
    ];

    /// What `--section` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::File => "file",
            Self::Maps => "maps",
            Self::Programs => "programs",
            Self::Code => "code",
            Self::Relocations => "relocations",
            Self::Graph => "graph",
            Self::Btf => "btf",
            Self::Plan => "plan",
            Self::Kernel => "kernel",
        }
    }

    /// The part of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}
