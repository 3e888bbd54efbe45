//! What the part says: kinds, types and reasons as words.

use rxdp_loader::btf::{Btf, Kind, Linkage, Type, TypeReason};
use rxdp_loader::plan::Need;

/// A type in a few words: `STRUCT data of 12 bytes, 2 members`.
pub(super) fn type_in_words(btf: &Btf, ty: &Type) -> String {
    let name = btf.string(ty.name);
    let named = if name.is_empty() { String::new() } else { format!(" {name}") };
    let more = match &ty.kind {
        Kind::Int { size: 1, .. } => " of 1 byte".to_string(),
        Kind::Int { size, .. } | Kind::Float { size } => format!(" of {size} bytes"),
        Kind::Composite { size, members, bitfields, .. } => {
            let bits = if *bitfields { ", some of them bitfields" } else { "" };
            format!(" of {size} bytes, {}{bits}", many(members.len(), "member"))
        }
        Kind::Enum { size, signed, values } => enumeration(*size, *signed, values.len()),
        Kind::Enum64 { size, signed, values } => enumeration(*size, *signed, values.len()),
        Kind::Datasec { size, vars } => format!(" of {size} bytes, {}", many(vars.len(), "variable")),
        Kind::Func { linkage: of, .. } | Kind::Var { linkage: of, .. } => format!(", {}", linkage(*of)),
        Kind::Ptr(to) | Kind::Typedef(to) | Kind::Const(to) | Kind::Volatile(to) | Kind::Restrict(to) => {
            format!(" of type {}", to.0)
        }
        Kind::TypeTag { target, .. } | Kind::DeclTag { target, .. } => format!(" on type {}", target.0),
        Kind::FuncProto { params, .. } => format!(" of {}", many(params.len(), "parameter")),
        Kind::Fwd { union } => (if *union { " of a union" } else { " of a structure" }).to_string(),
        Kind::Array { .. } | Kind::Void => String::new(),
    };
    format!("{}{named}{more}", kind(&ty.kind))
}

/// "1 member", "2 members".
fn many(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

fn enumeration(size: u32, signed: bool, values: usize) -> String {
    let sign = if signed { "signed" } else { "unsigned" };
    format!(" of {size} bytes, {}, {sign}", many(values, "value"))
}

pub(super) const NOT_NEEDED: &str = "the kernel will not ask about them. Their numbers stay, since code, maps and other types carry \
                          numbers";

pub(super) const fn needed_for(need: Need) -> &'static str {
    match need {
        Need::Not => NOT_NEEDED,
        Need::Map => "for keys and values of maps",
        Need::Function => "for functions of programs, what they take and return",
        Need::Tag => "tags on those",
    }
}

/// Why a change is made, in a few words.
pub(super) const fn short(reason: TypeReason) -> &'static str {
    match reason {
        TypeReason::Section => "sizes and offsets were filled in",
        TypeReason::Hidden => "hidden, so static",
        TypeReason::Kconfig => "of .kconfig",
        TypeReason::Ksyms => "of .ksyms",
        TypeReason::Context => "added for this kernel: contexts of functions",
        TypeReason::Lacking => "for this kernel",
    }
}

/// Why a change is made, in a sentence.
pub(super) const fn why(reason: TypeReason) -> &'static str {
    match reason {
        TypeReason::Section => {
            "the compiler leaves it open: the size is the section's, the offsets are its symbols', and the kernel wants \
             them in order"
        }
        TypeReason::Hidden => {
            "its symbol is hidden (__hidden): no other file can see it. The kernel verifies a static function with what its \
             callers know, a global one on its own"
        }
        TypeReason::Kconfig => {
            "the kernel knows no variables that are only declared: they stand where the loader puts them, as if the object \
             defined them"
        }
        TypeReason::Ksyms => {
            "the kernel knows nothing that is only declared: it becomes a definition that it accepts, and nobody reads"
        }
        TypeReason::Context => {
            "Linux before 6.8 does not know the tag arg:ctx: an argument is the context only if it points to the structure \
             that goes with the type of the program"
        }
        TypeReason::Lacking => "something was put in its place that refers to it",
    }
}

pub(super) fn linkage(linkage: Linkage) -> String {
    match linkage {
        Linkage::STATIC => "static".to_string(),
        Linkage::GLOBAL => "global".to_string(),
        Linkage::EXTERN => "extern".to_string(),
        Linkage(other) => other.to_string(),
    }
}

/// A kind as the kernel calls it, without `BTF_KIND_`.
pub(super) const fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Void => "VOID",
        Kind::Int { .. } => "INT",
        Kind::Ptr(_) => "PTR",
        Kind::Array { .. } => "ARRAY",
        Kind::Composite { union: false, .. } => "STRUCT",
        Kind::Composite { union: true, .. } => "UNION",
        Kind::Enum { .. } => "ENUM",
        Kind::Enum64 { .. } => "ENUM64",
        Kind::Fwd { .. } => "FWD",
        Kind::Typedef(_) => "TYPEDEF",
        Kind::Volatile(_) => "VOLATILE",
        Kind::Const(_) => "CONST",
        Kind::Restrict(_) => "RESTRICT",
        Kind::TypeTag { .. } => "TYPE_TAG",
        Kind::DeclTag { .. } => "DECL_TAG",
        Kind::Func { .. } => "FUNC",
        Kind::FuncProto { .. } => "FUNC_PROTO",
        Kind::Var { .. } => "VAR",
        Kind::Datasec { .. } => "DATASEC",
        Kind::Float { .. } => "FLOAT",
    }
}
