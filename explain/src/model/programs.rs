//! Entry programs: what their sections' names say.

use serde::Serialize;

/// An entry program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Program {
    /// Its index in `prog_fd[]`.
    pub index: u32,
    /// Its name: the function's.
    pub name: String,
    /// Its section, with a leading `?` if it has one.
    pub section: String,
    /// Where it starts in the section, in **bytes**.
    pub offset: u32,
    /// Index of its function.
    pub function: u32,
    /// Instructions of its own function, in **slots**.
    pub slots: u32,
    /// Why it has this index.
    pub order: String,
    /// Whether it is loaded without being asked for.
    pub autoload: bool,
    /// How its section's name was read.
    pub rule: Rule,
    /// Type that its section says; none if it says none.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// Attach type that its section says.
    pub attach_type: Option<String>,
    /// What the section says besides: `sleepable`, `xdp_frags`, ...
    pub flags: Vec<String>,
    /// What it attaches to: what stands behind the `/`.
    pub target: Option<String>,
    /// The jump-table slot that its section asks for.
    pub slot: Option<String>,
    /// What the kernel is asked to load it as; none if it is not loaded.
    pub load: Option<Load>,
    /// Why it is not loaded.
    pub problem: Option<String>,
}

/// How a section's name was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rule {
    /// The row of the section table, or the beginning of the name, that decided.
    pub matched: Option<String>,
    /// The rule, in words.
    pub why: String,
}

/// What the kernel is asked to load a program as.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Load {
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Number of the type. Source: `enum bpf_prog_type`.
    pub type_number: u32,
    /// Its expected attach type, if it has one.
    pub attach_type: Option<String>,
    /// Number of the attach type. Source: `enum bpf_attach_type`.
    pub attach_number: u32,
    /// Who says the type.
    pub from: String,
    /// Flags of `BPF_PROG_LOAD`.
    pub flags: Vec<String>,
    /// Its name in the kernel: at most 15 bytes.
    pub kernel_name: String,
    /// Type number of what it attaches to in the kernel's types (`attach_btf_id`).
    pub attach_btf_id: Option<u32>,
    /// Whether function types and source lines go with it.
    pub with_types: bool,
}
