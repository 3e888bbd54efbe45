//! From the type graph to the bytes that `BPF_BTF_LOAD` takes, in this machine's byte order.

use alloc::vec::Vec;

use super::parse::MAGIC;
use super::types::{Btf, Kind, StrOff, Type, TypeId};
use crate::bytes::unsigned;

// `BTF_KIND_*`, `include/uapi/linux/btf.h`.
pub(super) const INT: u32 = 1;
pub(super) const PTR: u32 = 2;
pub(super) const ARRAY: u32 = 3;
pub(super) const STRUCT: u32 = 4;
pub(super) const UNION: u32 = 5;
pub(super) const ENUM: u32 = 6;
pub(super) const FWD: u32 = 7;
pub(super) const TYPEDEF: u32 = 8;
pub(super) const VOLATILE: u32 = 9;
pub(super) const CONST: u32 = 10;
pub(super) const RESTRICT: u32 = 11;
pub(super) const FUNC: u32 = 12;
pub(super) const FUNC_PROTO: u32 = 13;
pub(super) const VAR: u32 = 14;
pub(super) const DATASEC: u32 = 15;
pub(super) const FLOAT: u32 = 16;
pub(super) const DECL_TAG: u32 = 17;
pub(super) const TYPE_TAG: u32 = 18;
pub(super) const ENUM64: u32 = 19;

/// **Bytes** of `struct btf_header`.
const HEADER: u32 = 24;

impl Btf {
    /// Writes the types as the kernel reads them.
    ///
    /// Type numbers and string positions stay as they are: code carries type numbers.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_where(|_| true)
    }

    /// The same, with a pointer to nothing in place of each type that is not needed.
    pub fn encode_where(&self, is_needed: impl Fn(TypeId) -> bool) -> Vec<u8> {
        // What nearly all types take at least: growing would touch twice the memory.
        let types = self.types.len().saturating_mul(16).saturating_add(4096);
        let mut out = Words(Vec::with_capacity(self.strings.len().saturating_add(types)));
        out.0.extend(MAGIC.to_ne_bytes());
        out.0.extend([1, 0]);
        out.all(&[HEADER, 0]);
        let lengths = out.0.len();
        out.all(&[0, 0, 0]);
        let start = out.0.len();
        for (id, ty) in (0u32..).map(TypeId).zip(&self.types).skip(1) {
            match is_needed(id) {
                true => out.ty(ty),
                false => out.ty(&NOTHING),
            }
        }
        let types_len = u32::try_from(out.0.len().saturating_sub(start)).unwrap_or(u32::MAX);
        out.0.extend(&self.strings);
        let words = [types_len, types_len, len32(&self.strings)].map(u32::to_ne_bytes);
        out.0.iter_mut().skip(lengths).zip(words.as_flattened()).for_each(|(to, from)| *to = *from);
        out.0
    }
}

/// Stands in place of a type that is not needed.
const NOTHING: Type = Type { name: StrOff(0), kind: Kind::Ptr(TypeId(0)) };

/// Bytes under construction.
struct Words(Vec<u8>);

impl Words {
    fn all(&mut self, words: &[u32]) {
        for word in words {
            self.0.extend(word.to_ne_bytes());
        }
    }

    /// The three words that every type begins with.
    fn head(&mut self, ty: &Type, kind: u32, count: u32, flag: bool, third: u32) {
        self.all(&[ty.name.0, u32::from(flag) << 31 | kind << 24 | count & 0xffff, third]);
    }

    fn ty(&mut self, ty: &Type) {
        match &ty.kind {
            Kind::Void => {}
            Kind::Int { size, detail } => {
                self.head(ty, INT, 0, false, *size);
                self.all(&[*detail]);
            }
            Kind::Ptr(to) => self.head(ty, PTR, 0, false, to.0),
            Kind::Array { element, index, len } => {
                self.head(ty, ARRAY, 0, false, 0);
                self.all(&[element.0, index.0, *len]);
            }
            Kind::Composite { union, size, members, bitfields } => {
                let kind = if *union { UNION } else { STRUCT };
                self.head(ty, kind, len32(members), *bitfields, *size);
                for m in members {
                    let offset = if *bitfields { m.bit_size << 24 | m.bit_offset } else { m.bit_offset };
                    self.all(&[m.name.0, m.ty.0, offset]);
                }
            }
            Kind::Enum { size, signed, values } => {
                self.head(ty, ENUM, len32(values), *signed, *size);
                for (name, value) in values {
                    self.all(&[name.0, *value]);
                }
            }
            Kind::Enum64 { size, signed, values } => {
                self.head(ty, ENUM64, len32(values), *signed, *size);
                for (name, value) in values {
                    let (low, high) = halves(*value);
                    self.all(&[name.0, low, high]);
                }
            }
            Kind::Fwd { union } => self.head(ty, FWD, 0, *union, 0),
            Kind::Typedef(to) => self.head(ty, TYPEDEF, 0, false, to.0),
            Kind::Volatile(to) => self.head(ty, VOLATILE, 0, false, to.0),
            Kind::Const(to) => self.head(ty, CONST, 0, false, to.0),
            Kind::Restrict(to) => self.head(ty, RESTRICT, 0, false, to.0),
            Kind::TypeTag { target, attribute } => self.head(ty, TYPE_TAG, 0, *attribute, target.0),
            Kind::DeclTag { target, component, attribute } => {
                self.head(ty, DECL_TAG, 0, *attribute, target.0);
                self.all(&[unsigned(*component)]);
            }
            Kind::Func { proto, linkage } => self.head(ty, FUNC, linkage.0, false, proto.0),
            Kind::FuncProto { ret, params } => {
                self.head(ty, FUNC_PROTO, len32(params), false, ret.0);
                for p in params {
                    self.all(&[p.name.0, p.ty.0]);
                }
            }
            Kind::Var { ty: of, linkage } => {
                self.head(ty, VAR, 0, false, of.0);
                self.all(&[linkage.0]);
            }
            Kind::Datasec { size, vars } => {
                self.head(ty, DATASEC, len32(vars), false, *size);
                for v in vars {
                    self.all(&[v.var.0, v.offset, v.size]);
                }
            }
            Kind::Float { size } => self.head(ty, FLOAT, 0, false, *size),
        }
    }
}

fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Lengths come from a file whose own lengths are 32 bits wide.
fn len32<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::BtfError;
    use super::super::types::{Linkage, Member, Param, SecVar};
    use super::*;
    use crate::bytes::Endian;

    /// One of each kind, so that a kind that is read but written wrongly shows.
    fn one_of_each() -> Btf {
        let t = TypeId(1);
        let n = StrOff(1);
        let kinds = vec![
            Kind::Void,
            Kind::Int { size: 4, detail: 32 },
            Kind::Ptr(t),
            Kind::Array { element: t, index: t, len: 7 },
            Kind::Composite {
                union: false,
                size: 8,
                members: vec![Member { name: n, ty: t, bit_offset: 32, bit_size: 0 }],
                bitfields: false,
            },
            Kind::Composite {
                union: true,
                size: 4,
                members: vec![Member { name: n, ty: t, bit_offset: 3, bit_size: 5 }],
                bitfields: true,
            },
            Kind::Enum { size: 4, signed: true, values: vec![(n, u32::MAX), (n, 2)] },
            Kind::Enum64 { size: 8, signed: false, values: vec![(n, 0x1234_5678_9abc_def0)] },
            Kind::Fwd { union: true },
            Kind::Typedef(t),
            Kind::Volatile(t),
            Kind::Const(t),
            Kind::Restrict(t),
            Kind::TypeTag { target: t, attribute: false },
            Kind::DeclTag { target: t, component: -1, attribute: true },
            Kind::FuncProto { ret: t, params: vec![Param { name: n, ty: t }] },
            Kind::Func { proto: TypeId(15), linkage: Linkage::GLOBAL },
            Kind::Var { ty: t, linkage: Linkage::STATIC },
            Kind::Datasec { size: 4, vars: vec![SecVar { var: TypeId(17), offset: 0, size: 4 }] },
            Kind::Float { size: 8 },
        ];
        let types = kinds.into_iter().map(|kind| Type { name: n, kind });
        let mut btf = Btf { types: types.collect(), strings: b"\0name\0".to_vec() };
        btf.types[0].name = StrOff(0);
        btf
    }

    #[test]
    fn reading_undoes_writing() {
        let btf = one_of_each();
        assert_eq!(Btf::parse(&btf.encode(), Endian::NATIVE), Ok(btf));
    }

    #[test]
    fn cut_anywhere_it_is_an_error() {
        let bytes = one_of_each().encode();
        for len in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..len], Endian::NATIVE).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn an_unknown_kind_is_named() {
        let mut bytes = one_of_each().encode();
        bytes[24 + 7] = 31;
        assert_eq!(
            Btf::parse(&bytes, Endian::NATIVE),
            Err(BtfError::UnknownKind { id: 1, kind: 31 }),
            "the kind stands in the top byte of the second word (little-endian)"
        );
    }
}
