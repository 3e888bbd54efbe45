//! Values by their types: bytes of a map's key or value become a tree that people can read, and text becomes bytes again.
//!
//! Types and bytes in, values out. `read` makes the tree, `text` writes it, `write` reads what people write, `bits` knows
//! where bits stand. What may not enter: maps, descriptors, JSON.

mod bits;
mod lexer;
mod read;
mod sum;
mod text;
mod write;

use alloc::string::String;
use alloc::vec::Vec;

use super::graph::TypeGraph;
use super::types::{Kind, Type, TypeId};
use crate::bytes::Endian;

pub use lexer::{Literal, number};
pub use read::{Unreadable, read};
pub use write::{Unwritable, write};

/// How many structures, arrays and typedefs may stand in each other. The kernel takes 32. Source: `MAX_RESOLVE_DEPTH`.
const MAX_DEPTH: usize = 64;

/// A value, as its type says to read it.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// An unsigned integer, or part of one (a bitfield).
    Unsigned(u128),
    /// A signed integer, or part of one.
    Signed(i128),
    /// A `bool`. Bytes that are neither 0 nor 1 are [`Value::Unsigned`].
    Bool(bool),
    /// A value of an enumeration: its name, if one has this number.
    Enum(Option<String>, i128),
    /// A floating-point number of 4 or 8 **bytes**.
    Float(f64),
    /// An address.
    Pointer(u64),
    /// An array of `char` that holds text: what stands before the first NUL, and nothing but NULs behind it.
    Text(String),
    /// Bytes that nobody says more about, and arrays of `unsigned char`.
    Bytes(Vec<u8>),
    /// An array.
    Array(Vec<Self>),
    /// Members of a structure or union, and variables of a section, in order. Members of a member without a name stand among
    /// them, as in C.
    Fields(Vec<Field>),
}

/// A member of a structure or union, or a variable.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// What an integer is like. Source: `BTF_INT_ENCODING`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    Unsigned,
    Signed,
    Char,
    Bool,
}

/// A type without the names and qualifiers before it, and the byte order that one of those names asks for.
struct Stripped {
    ty: Type,
    order: Endian,
}

/// Follows typedefs and qualifiers. `__be16` and its like say that the number behind them is not in this machine's order.
/// `None` if a type is missing, or the chain does not end.
#[expect(clippy::wildcard_enum_match_arm, reason = "few of the many kinds only lead to another one")]
fn strip(graph: &impl TypeGraph, mut id: TypeId, mut order: Endian) -> Option<Stripped> {
    for _ in 0..MAX_DEPTH {
        let ty = graph.ty(id)?.into_owned();
        id = match &ty.kind {
            Kind::Typedef(to) => {
                order = order_of(graph.bytes_at(ty.name)).unwrap_or(order);
                *to
            }
            Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) | Kind::Var { ty: to, .. } => *to,
            Kind::TypeTag { target, .. } => *target,
            _ => return Some(Stripped { ty, order }),
        };
    }
    None
}

/// The byte order that a name of a type asks for. Source: `include/uapi/linux/types.h`.
fn order_of(name: &[u8]) -> Option<Endian> {
    match name {
        b"__be16" | b"__be32" | b"__be64" => Some(Endian::Big),
        b"__le16" | b"__le32" | b"__le64" => Some(Endian::Little),
        _ => None,
    }
}

/// Encoding and **bits** of an integer type, from the kernel's word about it.
fn integer(graph: &impl TypeGraph, ty: &Type, detail: u32) -> (Encoding, u32) {
    let encoding = match (detail >> 24 & 0xf, detail & 0xff) {
        (4, _) => Encoding::Bool,
        (2, _) => Encoding::Char,
        // What clang calls `char` is a signed integer; it never says that it is a character.
        (0 | 1, 8) if graph.bytes_at(ty.name) == b"char" => Encoding::Char,
        (1, _) => Encoding::Signed,
        _ => Encoding::Unsigned,
    };
    (encoding, detail & 0xff)
}

/// What an array's elements are like, if they are single **bytes**.
fn byte_array(graph: &impl TypeGraph, element: TypeId) -> Option<Encoding> {
    let Stripped { ty, .. } = strip(graph, element, Endian::NATIVE)?;
    let Kind::Int { size: 1, detail } = ty.kind else {
        return None;
    };
    let (encoding, bits) = integer(graph, &ty, detail);
    (bits == 8).then_some(encoding)
}

/// What a type is called in messages.
fn type_name(graph: &impl TypeGraph, id: TypeId) -> String {
    let named = |id| graph.ty(id).map(|ty| graph.text(ty.name).into_owned()).filter(|name| !name.is_empty());
    let name = named(id).or_else(|| graph.behind(id).and_then(|(id, _)| named(id)));
    name.unwrap_or_else(|| "a type without a name".into())
}
