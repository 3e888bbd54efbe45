//! Types (BTF): what becomes of them between the file and the kernel.

use serde::Serialize;

/// The object's types, and what becomes of them on their way to the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Btf {
    /// Why none are sent; none if they are.
    pub problem: Option<String>,
    /// Number of types in the object, without `void`.
    pub types: u32,
    /// Number of types that the loader puts behind them.
    pub added: u32,
    /// **Bytes** of the section `.BTF`; none if there is no such section.
    pub file_bytes: Option<u64>,
    /// **Bytes** that the kernel gets, if it gets any.
    pub sent_bytes: Option<u64>,
    /// **Bytes** of names and source lines among them.
    pub name_bytes: u64,
    /// Why all types are needed, if they are.
    pub all_needed: Option<String>,
    /// What becomes of how many types, and why. Together they are all types.
    pub fates: Vec<Fate>,
    /// Types that are changed, those for one reason together: first what is changed for every kernel, then what this one
    /// needs otherwise.
    pub changes: Vec<TypeChange>,
    /// Number of changes that are left out.
    pub more_changes: u32,
}

/// What becomes of some of the types.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fate {
    /// What.
    pub what: FateKind,
    /// Why.
    pub why: String,
    /// How many types.
    pub types: u32,
    /// Of which kinds, most first.
    pub kinds: Vec<KindCount>,
    /// Names of some of them.
    pub names: Vec<String>,
}

/// What becomes of a type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FateKind {
    /// The kernel gets it as the compiler wrote it.
    Kept,
    /// The kernel gets it, but not as the compiler wrote it.
    Changed,
    /// The kernel gets a pointer to `void` in its place.
    Placeholder,
}

/// How many types are of a kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KindCount {
    /// The kind: `STRUCT`. Source: `BTF_KIND_*`.
    pub kind: String,
    /// How many.
    pub types: u32,
}

/// A type that was changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TypeChange {
    /// Its number.
    pub id: u32,
    /// Its kind before; after, if it was added.
    pub kind: String,
    /// Its name; empty if it has none.
    pub name: String,
    /// Why, in a sentence.
    pub reason: String,
    /// What is other about it.
    pub details: Vec<Detail>,
    /// Number of details that are left out.
    pub more_details: u32,
    /// Whether the kernel gets it; if not, a placeholder stands there after all.
    pub sent: bool,
}

/// What is other about a changed type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Detail {
    /// What: `size`, `offset of counter`, `linkage`.
    pub what: String,
    /// What it was; empty where there was nothing.
    pub before: String,
    /// What it is.
    pub after: String,
}
