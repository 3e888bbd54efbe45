//! Whether two files mean the same by a name: they may write its type differently, but it must not be a different one.
//!
//! Typedefs and qualifiers play no part, nor do names of parameters, lengths of arrays and, behind a pointer, what a
//! structure has in it.
//!
//! Source: libbpf `glob_sym_btf_matches`, `map_defs_match`.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;

use crate::btf::{Btf, Kind, Member, StrOff, TypeGraph, TypeId};
use crate::spec::{Inner, MapSpec, Pinning};

/// Two types that are to agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    one: TypeId,
    other: TypeId,
    /// They stand behind a pointer.
    pointed_to: bool,
}

/// How two types differ; `None` if they agree.
pub(super) fn difference(btf: &Btf, one: TypeId, other: TypeId) -> Option<String> {
    // A list stands for the recursion, since damaged types may refer to themselves or nest without end.
    let mut open = Vec::from([Pair { one, other, pointed_to: false }]);
    let mut seen = BTreeSet::new();
    while let Some(pair) = open.pop() {
        if pair.one != pair.other && seen.insert(pair) {
            if let Err(why) = compare(btf, pair, &mut open) {
                return Some(why);
            }
        }
    }
    None
}

/// Compares how two types look, and puts what they refer to on the list.
fn compare(btf: &Btf, pair: Pair, open: &mut Vec<Pair>) -> Result<(), String> {
    let Some(((_, one), (_, other))) = btf.behind(pair.one).zip(btf.behind(pair.other)) else {
        return Err("a type is missing or has no end".to_string());
    };
    let pointed_to = pair.pointed_to;
    let names = (one.name, other.name);
    let then = |one: &TypeId, other: &TypeId| Pair { one: *one, other: *other, pointed_to };
    match (&one.kind, &other.kind) {
        (Kind::Void, Kind::Void) => Ok(()),
        (Kind::Fwd { union: a }, Kind::Composite { union: b, .. })
        | (Kind::Composite { union: a, .. }, Kind::Fwd { union: b })
            if pointed_to =>
        {
            same("types", keyword(*a), keyword(*b)).and_then(|()| same_name(btf, names))
        }
        (Kind::Fwd { union: a }, Kind::Fwd { union: b }) => {
            same("types", keyword(*a), keyword(*b)).and_then(|()| same_name(btf, names))
        }
        (Kind::Int { size: a, .. }, Kind::Int { size: b, .. })
        | (Kind::Float { size: a }, Kind::Float { size: b }) => same("bytes of a number", a, b),
        (Kind::Enum { size: a, .. }, Kind::Enum { size: b, .. })
        | (Kind::Enum64 { size: a, .. }, Kind::Enum64 { size: b, .. }) => {
            same("bytes of an enumeration", a, b).and_then(|()| same_name(btf, names))
        }
        (Kind::Ptr(a), Kind::Ptr(b)) => {
            open.push(Pair { pointed_to: true, ..then(a, b) });
            Ok(())
        }
        (Kind::Array { element: a, .. }, Kind::Array { element: b, .. })
        | (Kind::Var { ty: a, .. }, Kind::Var { ty: b, .. })
        | (Kind::Func { proto: a, .. }, Kind::Func { proto: b, .. }) => {
            open.push(then(a, b));
            Ok(())
        }
        (Kind::Composite { union: a, members, .. }, Kind::Composite { union: b, members: others, .. }) => {
            same("types", keyword(*a), keyword(*b))?;
            same_name(btf, names)?;
            if !pointed_to {
                same_members(btf, names.0, members, others)?;
                open.extend(members.iter().zip(others).map(|(a, b)| then(&a.ty, &b.ty)));
            }
            Ok(())
        }
        (Kind::FuncProto { ret, params }, Kind::FuncProto { ret: other_ret, params: others }) => {
            same("parameters", &params.len(), &others.len())?;
            open.extend(params.iter().zip(others).map(|(a, b)| then(&a.ty, &b.ty)));
            open.push(then(ret, other_ret));
            Ok(())
        }
        (one, other) => same("types", word(one), word(other)),
    }
}

fn same_members(btf: &Btf, of: StrOff, members: &[Member], others: &[Member]) -> Result<(), String> {
    let of = btf.string(of);
    same(&format!("members of {of:?}"), &members.len(), &others.len())?;
    for (a, b) in members.iter().zip(others) {
        same_name(btf, (a.name, b.name))?;
        let member = btf.string(a.name);
        same(&format!("first bit of {of}.{member}"), &a.bit_offset, &b.bit_offset)?;
        same(&format!("bits of {of}.{member}"), &a.bit_size, &b.bit_size)?;
    }
    Ok(())
}

fn same_name(btf: &Btf, (one, other): (StrOff, StrOff)) -> Result<(), String> {
    same("names", &btf.string(one), &btf.string(other))
}

fn same<T: PartialEq + Display + ?Sized>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one} and {other}")) }
}

const fn keyword(union: bool) -> &'static str {
    if union { "union" } else { "struct" }
}

fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Void => "void",
        Kind::Int { .. } => "integer",
        Kind::Ptr(_) => "pointer",
        Kind::Array { .. } => "array",
        Kind::Composite { union, .. } => keyword(*union),
        Kind::Fwd { .. } => "declaration without a body",
        Kind::Enum { .. } | Kind::Enum64 { .. } => "enumeration",
        Kind::Typedef(_) => "typedef",
        Kind::Volatile(_) | Kind::Const(_) | Kind::Restrict(_) => "qualifier",
        Kind::TypeTag { .. } | Kind::DeclTag { .. } => "tag",
        Kind::Func { .. } | Kind::FuncProto { .. } => "function",
        Kind::Var { .. } => "variable",
        Kind::Datasec { .. } => "section",
        Kind::Float { .. } => "floating-point number",
    }
}

/// A field of a map's definition.
type Field = (&'static str, fn(&MapSpec) -> u64);

/// The fields that both definitions must give alike.
const FIELDS: &[Field] = &[
    ("type", |map| map.ty.0.into()),
    ("key_size", |map| map.key_size.into()),
    ("value_size", |map| map.value_size.into()),
    ("max_entries", |map| map.max_entries.into()),
    ("map_flags", |map| map.flags.bits().into()),
    ("numa_node", |map| map.numa_node.into()),
    ("map_extra", |map| map.map_extra),
    ("pinning", |map| u64::from(map.pinning != Pinning::None)),
];

/// How two definitions of a map differ; `None` if they agree. What the one says, the other must say as well.
pub(super) fn map_difference(btf: &Btf, one: &MapSpec, other: &MapSpec) -> Option<String> {
    let differs = |(name, field): &Field| same(name, &field(one), &field(other)).err();
    if let Some(why) = FIELDS.iter().find_map(differs) {
        return Some(why);
    }
    for (what, one, other) in
        [("key", one.key_type, other.key_type), ("value", one.value_type, other.value_type)]
    {
        match (one, other) {
            (TypeId(0), TypeId(0)) => {}
            (TypeId(0), _) | (_, TypeId(0)) => return Some(format!("only one gives a type to its {what}")),
            (one, other) => {
                if let Some(why) = difference(btf, one, other) {
                    return Some(format!("{what}: {why}"));
                }
            }
        }
    }
    match (&one.inner, &other.inner) {
        (Some(Inner::Template(one)), Some(Inner::Template(other))) => map_difference(btf, one, other),
        (None, None) => None,
        _ => Some("only one says what its inner maps look like".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::btf::Type;

    fn btf(kinds: &[(u32, Kind)]) -> Btf {
        let void = [(0, Kind::Void)];
        let all = void.iter().chain(kinds);
        Btf {
            types: all.map(|(name, kind)| Type { name: StrOff(*name), kind: kind.clone() }).collect(),
            strings: b"\0a\0b\0".to_vec(),
        }
    }

    fn composite(member: u32, ty: u32) -> Kind {
        let members = vec![Member { name: StrOff(member), ty: TypeId(ty), bit_offset: 0, bit_size: 0 }];
        Kind::Composite { union: false, size: 8, members, bitfields: false }
    }

    #[test]
    fn structures_count_by_value_and_not_behind_pointers() {
        let btf = btf(&[
            (1, composite(1, 0)),
            (1, composite(3, 0)),
            (0, Kind::Ptr(TypeId(1))),
            (0, Kind::Ptr(TypeId(2))),
            (1, Kind::Fwd { union: false }),
            (0, Kind::Const(TypeId(1))),
        ]);
        assert_eq!(difference(&btf, TypeId(1), TypeId(2)).as_deref(), Some("names: a and b"));
        assert_eq!(difference(&btf, TypeId(3), TypeId(4)), None);
        assert_eq!(difference(&btf, TypeId(1), TypeId(6)), None);
        assert_eq!(
            difference(&btf, TypeId(1), TypeId(5)).as_deref(),
            Some("types: struct and declaration without a body")
        );
    }

    #[test]
    fn types_that_hold_themselves_come_to_an_end() {
        let btf = btf(&[(1, composite(1, 1)), (1, composite(1, 2)), (0, Kind::Typedef(TypeId(3)))]);
        assert_eq!(difference(&btf, TypeId(1), TypeId(2)), None);
        assert!(difference(&btf, TypeId(1), TypeId(3)).unwrap().contains("no end"));
    }
}
