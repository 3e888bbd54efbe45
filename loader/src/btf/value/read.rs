//! From bytes to a value.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Encoding, Field, MAX_DEPTH, Stripped, Value, bits, byte_array, integer, strip, type_name};
use crate::btf::graph::TypeGraph;
use crate::btf::types::{Kind, Member, TypeId};
use crate::bytes::{Endian, before_nul, to_usize};

/// Why bytes cannot be read as a value of a type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The type, or one in it, is not there, or leads to itself.
    #[error("BTF type {0} is missing, or leads to itself")]
    NoType(u32),
    /// No value has this type: a function, `void`, a structure that is only declared.
    #[error("{0} is no type of a value")]
    NoValue(String),
    /// The type is larger than what there is.
    #[error("{ty} does not end within the {have} bytes that there are")]
    TooShort {
        /// The type.
        ty: String,
        /// **Bytes** there.
        have: usize,
    },
    /// Unions in unions give more values than anybody reads.
    #[error("the type has more than {0} parts")]
    TooMany(usize),
}

/// Reads bytes as a value of this type. Bytes behind its end are left out, but for an array without a length at the end of a
/// structure, which takes all that there are.
///
/// # Errors
/// [`Unreadable`].
pub fn read(graph: &impl TypeGraph, ty: TypeId, bytes: &[u8], endian: Endian) -> Result<Value, Unreadable> {
    // A damaged type must not cost more than its bytes are worth.
    let most = bytes.len().saturating_mul(4).saturating_add(1 << 16);
    let mut reader = Reading { graph, endian, most, left: most };
    reader.value(ty, bytes, Place::default(), 0)
}

/// Where a value stands: from which **bit** on, and how many bits of it, if it is a bitfield.
#[derive(Clone, Copy, Default)]
struct Place {
    at: u32,
    bits: u32,
}

struct Reading<'g, G> {
    graph: &'g G,
    endian: Endian,
    most: usize,
    left: usize,
}

impl<G: TypeGraph> Reading<'_, G> {
    fn value(&mut self, id: TypeId, bytes: &[u8], place: Place, depth: usize) -> Result<Value, Unreadable> {
        self.left = self.left.checked_sub(1).ok_or(Unreadable::TooMany(self.most))?;
        let missing = Unreadable::NoType(id.0);
        let Some(Stripped { ty, order }) = strip(self.graph, id, self.endian).filter(|_| depth < MAX_DEPTH)
        else {
            return Err(missing);
        };
        match &ty.kind {
            Kind::Int { size, detail } => {
                let (encoding, width) = integer(self.graph, &ty, *detail);
                let whole = size.saturating_mul(8);
                // Old compilers say in the type which bits of it a bitfield has.
                let (at, width) = match place.bits {
                    0 if width < whole && !matches!(encoding, Encoding::Bool) => {
                        (place.at.saturating_add(detail >> 16 & 0xff), width)
                    }
                    0 => (place.at, whole),
                    bits => (place.at, bits),
                };
                let number = bits::get(bytes, at, width, order).ok_or_else(|| self.short(id, bytes))?;
                Ok(match (encoding, number) {
                    (Encoding::Bool, 0 | 1) => Value::Bool(number == 1),
                    (Encoding::Unsigned | Encoding::Bool, _) => Value::Unsigned(number),
                    (Encoding::Signed | Encoding::Char, _) => Value::Signed(bits::signed(number, width)),
                })
            }
            Kind::Enum { size, signed, .. } | Kind::Enum64 { size, signed, .. } => {
                let width = if place.bits > 0 { place.bits } else { size.saturating_mul(8) };
                let number = bits::get(bytes, place.at, width, order).ok_or_else(|| self.short(id, bytes))?;
                let signed_number = bits::signed(number, width);
                // Narrow ones that say they have no sign may hold -1 all the same: the names decide.
                let plain = if *signed { signed_number } else { i128::try_from(number).unwrap_or(i128::MAX) };
                Ok(
                    match self
                        .enumerator(&ty.kind, plain)
                        .or_else(|| self.enumerator(&ty.kind, signed_number))
                    {
                        Some((name, number)) => Value::Enum(Some(name), number),
                        None => Value::Enum(None, plain),
                    },
                )
            }
            Kind::Ptr(_) => {
                let number =
                    bits::get(bytes, place.at, 64, self.endian).ok_or_else(|| self.short(id, bytes))?;
                Ok(Value::Pointer(u64::try_from(number).unwrap_or(u64::MAX)))
            }
            Kind::Float { size } => self.float(id, *size, bytes, place),
            Kind::Array { element, len, .. } => self.array(id, *element, *len, bytes, place, depth),
            Kind::Composite { members, size, .. } => {
                let bytes = self.part(id, bytes, place.at, *size)?;
                let mut fields = Vec::new();
                for member in members {
                    self.member(member, bytes, depth, &mut fields)?;
                }
                Ok(Value::Fields(fields))
            }
            Kind::Datasec { vars, .. } => {
                let mut fields = Vec::new();
                for var in vars {
                    let name = self.graph.ty(var.var).map(|ty| self.graph.text(ty.name).into_owned());
                    let bytes = self.part(id, bytes, var.offset.saturating_mul(8), var.size)?;
                    let value = self.value(var.var, bytes, Place::default(), depth.saturating_add(1))?;
                    fields.push(Field { name: name.unwrap_or_default(), value });
                }
                Ok(Value::Fields(fields))
            }
            Kind::Void
            | Kind::Fwd { .. }
            | Kind::Typedef(_)
            | Kind::Volatile(_)
            | Kind::Const(_)
            | Kind::Restrict(_)
            | Kind::TypeTag { .. }
            | Kind::DeclTag { .. }
            | Kind::Func { .. }
            | Kind::FuncProto { .. }
            | Kind::Var { .. } => Err(Unreadable::NoValue(type_name(self.graph, id))),
        }
    }

    /// Adds a member; one without a name adds its own members, or nothing.
    fn member(
        &mut self,
        member: &Member,
        bytes: &[u8],
        depth: usize,
        fields: &mut Vec<Field>,
    ) -> Result<(), Unreadable> {
        let name = self.graph.text(member.name).into_owned();
        let place = Place { at: member.bit_offset, bits: member.bit_size };
        let inside = || self.graph.behind(member.ty).map(|(_, ty)| matches!(ty.kind, Kind::Composite { .. }));
        if name.is_empty() && inside() != Some(true) {
            // Bits that only fill up.
            return Ok(());
        }
        let value = self.value(member.ty, bytes, place, depth.saturating_add(1))?;
        if let (Value::Fields(inner), true) = (&value, name.is_empty()) {
            fields.extend_from_slice(inner);
        } else {
            fields.push(Field { name, value });
        }
        Ok(())
    }

    fn array(
        &mut self,
        id: TypeId,
        element: TypeId,
        len: u32,
        bytes: &[u8],
        place: Place,
        depth: usize,
    ) -> Result<Value, Unreadable> {
        let from = to_usize(place.at / 8);
        let rest = bytes.get(from..).unwrap_or_default();
        let size = self.graph.size_of(element).ok_or(Unreadable::NoType(element.0))?;
        // Elements of no size are no values.
        let Some(there) = rest.len().checked_div(to_usize(size)) else {
            return Ok(Value::Array(Vec::new()));
        };
        let len = if len == 0 { there } else { to_usize(len) };
        if len > there {
            return Err(self.short(id, bytes));
        }
        match byte_array(self.graph, element) {
            Some(Encoding::Char) => return Ok(characters(rest.get(..len).unwrap_or_default())),
            Some(Encoding::Unsigned) => {
                return Ok(Value::Bytes(rest.get(..len).unwrap_or_default().to_vec()));
            }
            _ => {}
        }
        let element = |part: &[u8]| self.value(element, part, Place::default(), depth.saturating_add(1));
        rest.chunks_exact(to_usize(size)).take(len).map(element).collect::<Result<_, _>>().map(Value::Array)
    }

    fn float(&self, id: TypeId, size: u32, bytes: &[u8], place: Place) -> Result<Value, Unreadable> {
        let part = self.part(id, bytes, place.at, size)?;
        let number = bits::get(part, 0, size.saturating_mul(8), self.endian);
        let (narrow, wide) =
            (number.and_then(|n| u32::try_from(n).ok()), number.and_then(|n| u64::try_from(n).ok()));
        Ok(match (size, narrow, wide) {
            (4, Some(bits), _) => Value::Float(f32::from_bits(bits).into()),
            (8, _, Some(bits)) => Value::Float(f64::from_bits(bits)),
            _ => Value::Bytes(part.to_vec()),
        })
    }

    /// The `size` **bytes** from bit `at` on. A structure may be followed by what its last member has no length for.
    fn part<'b>(&self, id: TypeId, bytes: &'b [u8], at: u32, size: u32) -> Result<&'b [u8], Unreadable> {
        let rest = bytes.get(to_usize(at / 8)..).filter(|rest| rest.len() >= to_usize(size));
        let rest = rest.ok_or_else(|| self.short(id, bytes))?;
        let open = self.has_open_end(id);
        Ok(if open { rest } else { rest.get(..to_usize(size)).unwrap_or(rest) })
    }

    /// Whether a structure's last member is an array without a length.
    fn has_open_end(&self, id: TypeId) -> bool {
        let Some((_, ty)) = self.graph.behind(id) else {
            return false;
        };
        let last = ty.kind.members().last().and_then(|member| self.graph.behind(member.ty));
        last.is_some_and(|(_, ty)| matches!(ty.kind, Kind::Array { len: 0, .. }))
    }

    fn enumerator(&self, kind: &Kind, number: i128) -> Option<(String, i128)> {
        let (_, name) = enumerators(kind).find(|(value, _)| *value == number)?;
        Some((self.graph.text(name).into_owned(), number))
    }

    fn short(&self, id: TypeId, bytes: &[u8]) -> Unreadable {
        Unreadable::TooShort { ty: type_name(self.graph, id), have: bytes.len() }
    }
}

/// Numbers and names of an enumeration of either width.
pub(super) fn enumerators(kind: &Kind) -> impl Iterator<Item = (i128, crate::btf::types::StrOff)> {
    let unsigned = matches!(kind, Kind::Enum { signed: false, .. } | Kind::Enum64 { signed: false, .. });
    let narrow = matches!(kind, Kind::Enum { .. });
    (0..kind.enumerators().unwrap_or(0)).filter_map(move |at| {
        let (name, wide) = kind.enumerator(at)?;
        let signed = i64::from_ne_bytes(wide.to_ne_bytes());
        Some((
            match (unsigned, narrow) {
                (false, _) => signed.into(),
                // Widened with its sign, whether it has one or not.
                (true, true) => (wide & u64::from(u32::MAX)).into(),
                (true, false) => wide.into(),
            },
            name,
        ))
    })
}

/// An array of characters: text, if it is some.
fn characters(bytes: &[u8]) -> Value {
    let text = before_nul(bytes);
    let rest = bytes.get(text.len()..).unwrap_or_default();
    match core::str::from_utf8(text) {
        Ok(text) if rest.iter().all(|byte| *byte == 0) => Value::Text(text.into()),
        _ => Value::Bytes(bytes.to_vec()),
    }
}
