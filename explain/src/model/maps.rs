//! Maps: their definition byte by byte, and what the kernel is asked for.

use serde::Serialize;

/// A map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Map {
    /// Its index in `map_fd[]`.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The section that defines it.
    pub section: String,
    /// How it is defined.
    pub origin: Origin,
    /// For definitions by numbers: whose structure it is.
    pub dialect: Option<String>,
    /// By which rule it is a map, and its definition read so.
    pub why: String,
    /// Why it has this index.
    pub order: String,
    /// Its definition in the file; for variables of the kernel's configuration what stands in its value.
    pub definition: Option<Definition>,
    /// Its type: `prog_array`.
    #[serde(rename = "type")]
    pub ty: String,
    /// What it takes to create it: the attributes of `BPF_MAP_CREATE`. Empty if it is not created.
    pub create: Vec<Attribute>,
    /// What its inner maps look like, for a map of maps.
    pub inner: Option<String>,
    /// What the object itself puts into its slots.
    pub slots: Vec<Slot>,
    /// What it is filled with before programs are loaded.
    pub contents: Option<String>,
    /// Where it wants to be pinned.
    pub pinning: Option<String>,
    /// Why it cannot be created.
    pub problem: Option<String>,
}

/// How a map is defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// By numbers in `SEC("maps")`.
    Numbers,
    /// By types in `SEC(".maps")`.
    Types,
    /// A section of global variables.
    Variables,
    /// A table of functions that the kernel calls.
    StructOps,
    /// Variables of the kernel's configuration: the loader makes it of externs.
    Kconfig,
}

/// The definition of a map in the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Definition {
    /// Where it starts, in **bytes** from the start of its section.
    pub offset: u64,
    /// Its size in **bytes**.
    pub size: u64,
    /// What stands in it, by offset.
    pub fields: Vec<Field>,
}

/// A field of a definition, or a variable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Field {
    /// Where it starts, in **bytes** from the start of the definition.
    pub offset: u32,
    /// Its size in **bytes**.
    pub size: u32,
    /// Its name.
    pub name: String,
    /// Its type in C, where the object says it.
    pub c_type: Option<String>,
    /// Its bytes as hexadecimal digits, at most 16 of them; empty in sections of zeroes.
    pub bytes: String,
    /// What they say.
    pub meaning: String,
}

/// An attribute of a kernel call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attribute {
    /// Its name in `union bpf_attr`: `max_entries`.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where the value is from; empty where that is plain.
    pub from: String,
}

/// A slot that the object itself fills.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slot {
    /// The key.
    pub key: u32,
    /// Name of what stands there.
    pub value: String,
}
