//! From what people write to the bytes of a value.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::read::enumerators;
use super::{Encoding, Literal, MAX_DEPTH, Stripped, bits, byte_array, integer, number, strip, type_name};
use crate::btf::graph::TypeGraph;
use crate::btf::types::{Kind, Member, TypeId};
use crate::bytes::{Endian, to_usize};

/// Why text is no value of a type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritable {
    /// It is no value of any type.
    #[error("{text:?}: {why}")]
    Syntax {
        /// The text.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// The type takes something else.
    #[error("{ty} takes {takes}, not {given}")]
    Takes {
        /// The type.
        ty: String,
        /// What it takes.
        takes: String,
        /// What was given.
        given: String,
    },
    /// A number that the type cannot hold.
    #[error("{given} is out of range for {ty}: {low} to {high}")]
    Range {
        /// The number.
        given: String,
        /// The type, with its bits.
        ty: String,
        /// The lowest that it holds.
        low: i128,
        /// The highest.
        high: u128,
    },
    /// A name that is no member, or no value of an enumeration.
    #[error("{ty} has no {name:?}; it has {}", there_are.join(", "))]
    NoSuch {
        /// The type.
        ty: String,
        /// The name.
        name: String,
        /// Names that it has.
        there_are: Vec<String>,
    },
    /// More than fits in.
    #[error("{given} {what} were given, and {ty} takes {most}")]
    TooMany {
        /// The type.
        ty: String,
        /// Of what.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many it takes.
        most: usize,
    },
    /// The type is damaged, is none of a value, or does not end within the value's bytes.
    #[error("{0} is no type that a value can be given for")]
    NoValue(String),
}

/// Writes `text` over `bytes`, which is a value of this type: what it does not mention stays as it is. Bytes that nobody has
/// given a type are written with `None`.
///
/// # Errors
/// [`Unwritable`]; `bytes` may be half written then.
pub fn write(
    graph: &impl TypeGraph,
    ty: Option<TypeId>,
    text: &str,
    bytes: &mut [u8],
    endian: Endian,
) -> Result<(), Unwritable> {
    // What has blanks between its bytes is still one word to those who copied it.
    let spaced = |text: &str| pairs(text.trim(), ' ').map(|bytes| Literal::Word(joined(&bytes)));
    let literal = Literal::parse(text).or_else(|error| spaced(text).ok_or(error))?;
    let writer = Writing { graph, endian };
    match ty {
        Some(ty) => writer.value(ty, &literal, bytes, (0, 0), 0),
        None => writer.plain(&literal, bytes),
    }
}

struct Writing<'g, G> {
    graph: &'g G,
    endian: Endian,
}

impl<G: TypeGraph> Writing<'_, G> {
    /// Writes at a **bit**, and so many bits of it if it is a bitfield.
    fn value(
        &self,
        id: TypeId,
        given: &Literal,
        bytes: &mut [u8],
        (at, width): (u32, u32),
        depth: usize,
    ) -> Result<(), Unwritable> {
        let Some(Stripped { ty, order }) = strip(self.graph, id, self.endian).filter(|_| depth < MAX_DEPTH)
        else {
            return Err(self.no_value(id));
        };
        match &ty.kind {
            Kind::Int { size, detail } => {
                let (encoding, own) = integer(self.graph, &ty, *detail);
                let whole = size.saturating_mul(8);
                let (at, width) = match width {
                    0 if own < whole && encoding != Encoding::Bool => {
                        (at.saturating_add(detail >> 16 & 0xff), own)
                    }
                    0 => (at, whole),
                    width => (at, width),
                };
                if Self::raw(given, bytes, at, width) {
                    return Ok(());
                }
                let number = self.integer(id, given, encoding, width)?;
                bits::set(bytes, at, width, order, number).ok_or_else(|| self.no_value(id))
            }
            Kind::Enum { size, .. } | Kind::Enum64 { size, .. } => {
                let width = if width > 0 { width } else { size.saturating_mul(8) };
                let number = self.enumerator(id, &ty.kind, given, width)?;
                bits::set(bytes, at, width, order, number).ok_or_else(|| self.no_value(id))
            }
            Kind::Ptr(_) => {
                let number = self.integer(id, given, Encoding::Unsigned, 64)?;
                bits::set(bytes, at, 64, self.endian, number).ok_or_else(|| self.no_value(id))
            }
            Kind::Float { size } => {
                let number = if let Literal::Word(word) = given { word.parse::<f64>().ok() } else { None };
                let number = number.ok_or_else(|| self.takes(id, "a number", given))?;
                #[expect(clippy::cast_possible_truncation, reason = "a narrow one holds what is nearest")]
                let all =
                    if *size == 4 { (number as f32).to_bits().into() } else { u128::from(number.to_bits()) };
                bits::set(bytes, at, size.saturating_mul(8), self.endian, all)
                    .ok_or_else(|| self.no_value(id))
            }
            Kind::Array { element, len, .. } => {
                self.array(id, *element, *len, given, self.rest(bytes, at), depth)
            }
            Kind::Composite { members, size, .. } => {
                let part = self.rest(bytes, at);
                if Self::raw(given, part, 0, size.saturating_mul(8)) {
                    return Ok(());
                }
                self.members(id, members, given, part, depth)
            }
            Kind::Datasec { vars, .. } => {
                let members: Vec<Member> = vars
                    .iter()
                    .map(|var| Member {
                        name: self.graph.ty(var.var).map(|ty| ty.name).unwrap_or_default(),
                        ty: var.var,
                        bit_offset: var.offset.saturating_mul(8),
                        bit_size: 0,
                    })
                    .collect();
                self.members(id, &members, given, bytes, depth)
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
            | Kind::Var { .. } => Err(self.no_value(id)),
        }
    }

    fn members(
        &self,
        id: TypeId,
        members: &[Member],
        given: &Literal,
        bytes: &mut [u8],
        depth: usize,
    ) -> Result<(), Unwritable> {
        let depth = depth.saturating_add(1);
        let named = self.flat(members, 0, 0);
        let mut write = |member: &Member, given: &Literal| {
            self.value(member.ty, given, bytes, (member.bit_offset, member.bit_size), depth)
        };
        match (given, named.as_slice()) {
            (Literal::Fields(fields), _) => fields.iter().try_for_each(|(name, given)| {
                let wanted = |member: &&Member| self.graph.bytes_at(member.name) == name.as_bytes();
                let member = named.iter().find(wanted).ok_or_else(|| self.no_such(id, name, &named))?;
                write(member, given)
            }),
            (Literal::List(items), _) if items.len() > named.len() => Err(Unwritable::TooMany {
                ty: type_name(self.graph, id),
                what: "values",
                given: items.len(),
                most: named.len(),
            }),
            (Literal::List(items), _) => {
                named.iter().zip(items).try_for_each(|(member, given)| write(member, given))
            }
            // A structure around one thing is that thing.
            (_, [member]) => write(member, given),
            _ => Err(self.takes(id, &alloc::format!("{{{} = ...}}", self.names(&named).join(", ")), given)),
        }
    }

    /// Members with names, also those of members without one.
    fn flat(&self, members: &[Member], base: u32, depth: usize) -> Vec<Member> {
        let mut flat = Vec::new();
        for member in members {
            let bit_offset = member.bit_offset.saturating_add(base);
            if !self.graph.bytes_at(member.name).is_empty() {
                flat.push(Member { bit_offset, ..*member });
            } else if let Some((_, ty)) = self.graph.behind(member.ty).filter(|_| depth < MAX_DEPTH) {
                flat.extend(self.flat(ty.kind.members(), bit_offset, depth.saturating_add(1)));
            }
        }
        flat
    }

    fn array(
        &self,
        id: TypeId,
        element: TypeId,
        len: u32,
        given: &Literal,
        bytes: &mut [u8],
        depth: usize,
    ) -> Result<(), Unwritable> {
        let size = self.graph.size_of(element).filter(|size| *size > 0).ok_or_else(|| self.no_value(id))?;
        let there = bytes.len().checked_div(to_usize(size)).unwrap_or(0);
        let len = if len == 0 { there } else { to_usize(len) };
        if len > there {
            return Err(self.no_value(id));
        }
        let is_text = byte_array(self.graph, element);
        let part = bytes.get_mut(..len.saturating_mul(to_usize(size))).unwrap_or_default();
        let too_many =
            |what, given| Unwritable::TooMany { ty: self.array_name(element, len), what, given, most: len };
        match (given, is_text) {
            (Literal::List(items), _) if items.len() > len => Err(too_many("elements", items.len())),
            (Literal::List(items), _) => {
                part.chunks_exact_mut(to_usize(size)).zip(items).try_for_each(|(place, given)| {
                    self.value(element, given, place, (0, 0), depth.saturating_add(1))
                })
            }
            (Literal::Text(text), Some(_)) => put_text(part, text).map_err(|given| too_many("bytes", given)),
            (Literal::Word(word), Some(encoding)) => match (bytes_of(word, len), encoding) {
                (Some(all), _) if all.len() >= len => {
                    fill(part, &all).map_err(|given| too_many("bytes", given))
                }
                (None, Encoding::Char) => put_text(part, word).map_err(|given| too_many("bytes", given)),
                _ => Err(self.takes_bytes(self.array_name(element, len), len, given)),
            },
            _ => Err(Unwritable::Takes {
                ty: self.array_name(element, len),
                takes: alloc::format!("up to {len} values: [a, b, ...]"),
                given: given.shown(),
            }),
        }
    }

    /// Bytes and addresses of just the right length stand for whatever has this length.
    fn raw(given: &Literal, bytes: &mut [u8], at: u32, bits: u32) -> bool {
        let Literal::Word(word) = given else {
            return false;
        };
        let len = to_usize(bits / 8);
        let Some(all) = bytes_of(word, len).filter(|all| all.len() == len && at % 8 == 0 && bits % 8 == 0)
        else {
            return false;
        };
        let from = to_usize(at / 8);
        let place = bytes.get_mut(from..from.saturating_add(len));
        place.map(|place| place.copy_from_slice(&all)).is_some()
    }

    fn integer(
        &self,
        id: TypeId,
        given: &Literal,
        encoding: Encoding,
        bits: u32,
    ) -> Result<u128, Unwritable> {
        let word = match given {
            Literal::Word(word) => word.as_str(),
            // One character, as it stands in C between other quotes.
            Literal::Text(text) if encoding == Encoding::Char && text.len() == 1 => {
                return Ok(text.bytes().next().unwrap_or(0).into());
            }
            Literal::Text(_) | Literal::List(_) | Literal::Fields(_) => {
                return Err(self.takes(id, "a number", given));
            }
        };
        let found = match (encoding, word) {
            (Encoding::Bool, "true") => Some((false, 1)),
            (Encoding::Bool, "false") => Some((false, 0)),
            _ => number(word),
        };
        let takes = if encoding == Encoding::Bool { "true or false" } else { "a number" };
        let number = found.ok_or_else(|| self.takes(id, takes, given))?;
        let signed = matches!(encoding, Encoding::Signed | Encoding::Char);
        // A byte of text may be given as its number.
        let bits_of_value = if encoding == Encoding::Bool { 1 } else { bits };
        let (low, high) = limits(bits_of_value, signed, encoding == Encoding::Char);
        in_range(number, low, high).map(|n| n & mask(bits)).ok_or_else(|| Unwritable::Range {
            given: word.into(),
            ty: self.with_bits(id, bits),
            low,
            high,
        })
    }

    fn enumerator(&self, id: TypeId, kind: &Kind, given: &Literal, bits: u32) -> Result<u128, Unwritable> {
        let (Literal::Word(word) | Literal::Text(word)) = given else {
            return Err(self.takes(id, "one of its names, or a number", given));
        };
        let named = enumerators(kind).find(|(_, name)| self.graph.bytes_at(*name) == word.as_bytes());
        if let Some((value, _)) = named {
            return Ok(u128::from_ne_bytes(value.to_ne_bytes()) & mask(bits));
        }
        let Some(number) = number(word) else {
            let names = enumerators(kind).map(|(_, name)| self.graph.text(name).into_owned());
            let (ty, there_are) = (type_name(self.graph, id), names.collect());
            return Err(Unwritable::NoSuch { ty, name: word.clone(), there_are });
        };
        let (low, high) = limits(bits, true, true);
        in_range(number, low, high).map(|n| n & mask(bits)).ok_or_else(|| Unwritable::Range {
            given: word.clone(),
            ty: self.with_bits(id, bits),
            low,
            high,
        })
    }

    /// Bytes without a type.
    fn plain(&self, given: &Literal, bytes: &mut [u8]) -> Result<(), Unwritable> {
        let len = bytes.len();
        let ty = || alloc::format!("a value of {len} bytes without types");
        let too_many = |given| Unwritable::TooMany { ty: ty(), what: "bytes", given, most: len };
        match given {
            Literal::Text(text) => put_text(bytes, text).map_err(too_many),
            Literal::List(items) if items.len() > len => Err(too_many(items.len())),
            Literal::List(items) => bytes.iter_mut().zip(items).try_for_each(|(byte, given)| {
                let Literal::Word(word) = given else {
                    return Err(self.takes_bytes(ty(), len, given));
                };
                let number = number(word).and_then(|number| in_range(number, 0, 255));
                *byte = number
                    .and_then(|n| u8::try_from(n).ok())
                    .ok_or_else(|| self.takes_bytes(ty(), len, given))?;
                Ok(())
            }),
            Literal::Word(word) => match (bytes_of(word, len), number(word)) {
                (Some(all), _) if all.len() == len => fill(bytes, &all).map_err(too_many),
                (None, Some(number)) if matches!(len, 1 | 2 | 4 | 8 | 16) => {
                    let bits = u32::try_from(len).unwrap_or(0).saturating_mul(8);
                    let (low, high) = limits(bits, true, true);
                    let wrong = || Unwritable::Range { given: word.clone(), ty: ty(), low, high };
                    let number = in_range(number, low, high).ok_or_else(wrong)? & mask(bits);
                    bits::set(bytes, 0, bits, self.endian, number).ok_or_else(wrong)
                }
                _ => Err(self.takes_bytes(ty(), len, given)),
            },
            Literal::Fields(_) => Err(self.takes_bytes(ty(), len, given)),
        }
    }

    fn rest<'b>(&self, bytes: &'b mut [u8], at: u32) -> &'b mut [u8] {
        bytes.get_mut(to_usize(at / 8)..).unwrap_or_default()
    }

    fn names(&self, members: &[Member]) -> Vec<String> {
        members.iter().map(|member| self.graph.text(member.name).into_owned()).collect()
    }

    fn no_such(&self, id: TypeId, name: &str, members: &[Member]) -> Unwritable {
        Unwritable::NoSuch {
            ty: type_name(self.graph, id),
            name: name.into(),
            there_are: self.names(members),
        }
    }

    fn no_value(&self, id: TypeId) -> Unwritable {
        Unwritable::NoValue(type_name(self.graph, id))
    }

    fn takes(&self, id: TypeId, takes: &str, given: &Literal) -> Unwritable {
        Unwritable::Takes { ty: type_name(self.graph, id), takes: takes.into(), given: given.shown() }
    }

    fn takes_bytes(&self, ty: String, len: usize, given: &Literal) -> Unwritable {
        let mut takes = alloc::format!("{len} bytes (hex:0a1b..., or 0a:1b:...)");
        let number = matches!(len, 1 | 2 | 4 | 8 | 16);
        for also in [(len == 4, "an IPv4 address"), (len == 16, "an IPv6 address"), (number, "a number")] {
            takes += &if also.0 { alloc::format!(", {}", also.1) } else { String::new() };
        }
        Unwritable::Takes { ty, takes, given: given.shown() }
    }

    fn array_name(&self, element: TypeId, len: usize) -> String {
        alloc::format!("{}[{len}]", type_name(self.graph, element))
    }

    fn with_bits(&self, id: TypeId, bits: u32) -> String {
        alloc::format!("{} ({bits} {})", type_name(self.graph, id), if bits == 1 { "bit" } else { "bits" })
    }
}

/// The lowest and the highest number of so many bits. With `either` all that any reading of the bits gives.
fn limits(bits: u32, signed: bool, either: bool) -> (i128, u128) {
    let half = 1u128.checked_shl(bits.saturating_sub(1)).unwrap_or(0);
    let low = if signed { i128::try_from(half).map_or(i128::MIN, i128::saturating_neg) } else { 0 };
    (low, if signed && !either { half.saturating_sub(1) } else { mask(bits) })
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shr(128u32.saturating_sub(bits)).unwrap_or(0)
}

/// The number as two's complement, if it lies between the limits.
fn in_range((negative, number): (bool, u128), low: i128, high: u128) -> Option<u128> {
    if !negative || number == 0 {
        return (number <= high).then_some(number);
    }
    (number <= low.unsigned_abs()).then(|| number.wrapping_neg())
}

/// The bytes that a word names: `hex:c0000201`, `c0:00:02:01`, `192.0.2.1` and `2001:db8::1` where there is room for them.
fn bytes_of(word: &str, len: usize) -> Option<Vec<u8>> {
    if let Some(digits) = word.strip_prefix("hex:") {
        let all: Vec<char> = digits.chars().collect();
        return all.chunks(2).map(|pair| byte(&pair.iter().collect::<String>())).collect();
    }
    match len {
        4 if word.contains('.') => word.parse::<Ipv4Addr>().ok().map(|ip| ip.octets().to_vec()),
        16 if word.parse::<Ipv6Addr>().is_ok() => {
            word.parse::<Ipv6Addr>().ok().map(|ip| ip.octets().to_vec())
        }
        _ => pairs(word, ':'),
    }
}

/// Two and more bytes with something between them.
fn pairs(word: &str, between: char) -> Option<Vec<u8>> {
    word.contains(between).then(|| word.split(between).map(byte).collect())?
}

fn byte(pair: &str) -> Option<u8> {
    let is_pair = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    u8::from_str_radix(pair, 16).ok().filter(|_| is_pair)
}

fn joined(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// Text, and NULs behind it. How many bytes it has, if there is no room for them.
fn put_text(place: &mut [u8], text: &str) -> Result<(), usize> {
    fill(place, text.as_bytes())?;
    place.get_mut(text.len()..).unwrap_or_default().fill(0);
    Ok(())
}

fn fill(place: &mut [u8], bytes: &[u8]) -> Result<(), usize> {
    let given = bytes.len();
    place.get_mut(..given).ok_or(given)?.copy_from_slice(bytes);
    Ok(())
}
