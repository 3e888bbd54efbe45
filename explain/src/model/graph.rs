//! Tail calls, jump tables, and which program uses which map.

use serde::Serialize;

/// How programs reach each other, and what they use.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Graph {
    /// Jump tables.
    pub tables: Vec<Table>,
    /// Tail calls.
    pub calls: Vec<TailCall>,
    /// Which program uses which map, and where.
    pub uses: Vec<MapUse>,
    /// Which program is attached, and why that one.
    pub entry: Option<String>,
    /// What follows for slots that nobody filled.
    pub conclusion: Option<String>,
    /// Programs that cannot stand in a table, and why.
    pub unfit: Vec<Unfit>,
}

/// A jump table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Table {
    /// Index of the map.
    pub map: u32,
    /// Its name.
    pub name: String,
    /// How many slots it has.
    pub max_entries: u32,
    /// Slots that are filled, or asked for and empty.
    pub slots: Vec<GraphSlot>,
}

/// A slot of a jump table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GraphSlot {
    /// The key.
    pub key: u32,
    /// Index of the program that stands there; none if nobody fills it.
    pub program: Option<u32>,
    /// Its name.
    pub name: Option<String>,
    /// Who says so, or that nobody does.
    pub from: String,
}

/// A call of `bpf_tail_call`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TailCall {
    /// Index of the program that makes it.
    pub program: u32,
    /// Its name.
    pub name: String,
    /// The call, in **slots** from the start of the program.
    pub at: u32,
    /// The source line: `file:line: text`.
    pub line: Option<String>,
    /// Index of the table's map; none if it is not known.
    pub map: Option<u32>,
    /// The table's name.
    pub table: Option<String>,
    /// The key; none if it is no constant.
    pub key: Option<u32>,
    /// How the table was found, walking back from the call.
    pub table_trail: Vec<TrailStep>,
    /// How the key was found, walking back from the call.
    pub key_trail: Vec<TrailStep>,
    /// Why the table or the key is not known.
    pub unknown: Option<String>,
    /// Names of the programs that it may lead to.
    pub leads_to: Vec<String>,
    /// What becomes of it, in one sentence.
    pub outcome: String,
    /// What the verifier and the compiler to machine code do with such a call.
    pub verifier: String,
}

/// An instruction on the way back from a call to what a register holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrailStep {
    /// Its position, in **slots** from the start of the program.
    pub at: u32,
    /// Disassembled.
    pub text: String,
}

/// A program uses a map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MapUse {
    /// Index of the program.
    pub program: u32,
    /// Index of the map.
    pub map: u32,
    /// Instructions that refer to it, in **slots** from the start of the program.
    pub at: Vec<u32>,
}

/// A program that cannot stand in a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unfit {
    /// The table's name.
    pub table: String,
    /// The program's name.
    pub program: String,
    /// Why.
    pub why: String,
}
