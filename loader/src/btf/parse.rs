//! From the bytes of `.BTF` to the type graph.

use alloc::vec;
use alloc::vec::Vec;

use super::types::{Btf, Kind, KindSet, Linkage, Member, Param, SecVar, StrOff, Type, TypeId};
use super::{BtfError, encode};
use crate::bytes::{Endian, Reader, Truncated, to_usize};

/// `BTF_MAGIC`.
pub(super) const MAGIC: u16 = 0xeb9f;

impl Btf {
    /// Reads the section `.BTF`.
    ///
    /// Source: `struct btf_header`. Header fields beyond those known are skipped, as their length says.
    ///
    /// # Errors
    /// [`BtfError`]: cut off, not BTF, or with a kind of type that this crate does not know.
    pub fn parse(data: &[u8], endian: Endian) -> Result<Self, BtfError> {
        let (types, strings) = sections(data, endian)?;
        let mut types = Reader::new(types, endian);
        let mut parsed = vec![Type { name: StrOff(0), kind: Kind::Void }];
        while !types.is_empty() {
            parsed.push(one(&mut types, parsed.len())?);
        }
        Ok(Self { types: parsed, strings: strings.to_vec() })
    }
}

/// The bytes of the types and of the strings.
pub(super) fn sections(data: &[u8], endian: Endian) -> Result<(&[u8], &[u8]), BtfError> {
    let mut r = Reader::new(data, endian);
    let magic = r.u16("magic number")?;
    if magic != MAGIC {
        return Err(BtfError::Magic { section: ".BTF", found: magic });
    }
    r.u16("version and flags")?;
    let header = to_usize(r.u32("header length")?);
    let (type_off, type_len) = (r.u32("type offset")?, r.u32("type length")?);
    let (str_off, str_len) = (r.u32("string offset")?, r.u32("string length")?);
    let mut body = Reader::new(data, endian);
    body.bytes(header, "header")?;
    let body = body.sub(body.remaining(), "types and strings")?;
    let mut types = body.range(type_off, type_len, "types")?;
    let mut strings = body.range(str_off, str_len, "strings")?;
    Ok((types.bytes(to_usize(type_len), "types")?, strings.bytes(to_usize(str_len), "strings")?))
}

/// What the first words of a type say: its name, its kind, and where the next type begins.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) name: StrOff,
    info: u32,
}

/// Reads the head of the type at this **byte**; `None` if there are not so many. Asked for every type of a kernel, so it
/// costs a few instructions, and who gets `None` says what is wrong.
#[inline]
pub(super) fn head(types: &[u8], at: usize, endian: Endian) -> Option<Head> {
    let [a, b, c, d, e, f, g, h] = *types.get(at..)?.first_chunk()?;
    let (name, info) = ([a, b, c, d], [e, f, g, h]);
    Some(match endian {
        Endian::Little => Head { name: StrOff(u32::from_le_bytes(name)), info: u32::from_le_bytes(info) },
        Endian::Big => Head { name: StrOff(u32::from_be_bytes(name)), info: u32::from_be_bytes(info) },
    })
}

/// Why the type at this **byte**, which is number `id`, has no head or no length.
pub(super) fn no_type(types: &[u8], at: usize, endian: Endian, id: u32) -> BtfError {
    match head(types, at, endian) {
        Some(head) => BtfError::UnknownKind { id, kind: head.kind() },
        None => {
            let have = types.len().saturating_sub(at) as u64;
            Truncated { what: "type", at: at as u64, need: 12, have }.into()
        }
    }
}

/// **Bytes** behind the 12 of the head, in the order of `BTF_KIND_*` from 0: always, and for each of the `vlen` parts.
/// `None`: no such kind.
const BEHIND: &[Option<(u8, u8)>] = &[
    None,          // 0 is void, which no file has.
    Some((4, 0)),  // INT
    Some((0, 0)),  // PTR
    Some((12, 0)), // ARRAY
    Some((0, 12)), // STRUCT
    Some((0, 12)), // UNION
    Some((0, 8)),  // ENUM
    Some((0, 0)),  // FWD
    Some((0, 0)),  // TYPEDEF
    Some((0, 0)),  // VOLATILE
    Some((0, 0)),  // CONST
    Some((0, 0)),  // RESTRICT
    Some((0, 0)),  // FUNC
    Some((0, 8)),  // FUNC_PROTO
    Some((4, 0)),  // VAR
    Some((0, 12)), // DATASEC
    Some((0, 0)),  // FLOAT
    Some((4, 0)),  // DECL_TAG
    Some((0, 0)),  // TYPE_TAG
    Some((0, 12)), // ENUM64
];

/// Kinds of types that are a head of 12 **bytes** and no more: most of a kernel's.
const HEAD_ONLY: KindSet = KindSet::PTR
    .union(KindSet::FWD)
    .union(KindSet::TYPEDEF)
    .union(KindSet::QUALIFIED)
    .union(KindSet::FUNC)
    .union(KindSet::FLOAT);

impl Head {
    const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// Whether the type is of one of these kinds.
    pub(super) const fn is_one_of(self, kinds: KindSet) -> bool {
        kinds.bits() >> self.kind() & 1 != 0
    }

    /// **Bytes** of the whole type; `None` for kinds that this crate does not know.
    ///
    /// Where a type begins is known only from the one before. A processor goes on ahead where the length does not depend on
    /// what it has still to read.
    #[inline]
    pub(super) fn len(self) -> Option<usize> {
        if self.is_one_of(HEAD_ONLY) {
            return Some(12);
        }
        let (always, each) = (*BEHIND.get(to_usize(self.kind()))?)?;
        // A count has 16 bits, so nothing overflows.
        let parts = to_usize(self.info & 0xffff).wrapping_mul(usize::from(each));
        Some(12usize.wrapping_add(usize::from(always)).wrapping_add(parts))
    }
}

/// Reads one type, which is number `id`.
pub(super) fn one(r: &mut Reader<'_>, id: usize) -> Result<Type, BtfError> {
    let name = StrOff(r.u32("type name")?);
    let info = r.u32("type info")?;
    let third = r.u32("type size or reference")?;
    let (count, kind, flag) = (info & 0xffff, info >> 24 & 0x1f, info >> 31 == 1);
    let target = TypeId(third);
    let kind = match kind {
        encode::INT => Kind::Int { size: third, detail: r.u32("integer")? },
        encode::PTR => Kind::Ptr(target),
        encode::ARRAY => Kind::Array {
            element: TypeId(r.u32("array element")?),
            index: TypeId(r.u32("array index")?),
            len: r.u32("array length")?,
        },
        encode::STRUCT | encode::UNION => Kind::Composite {
            union: kind == encode::UNION,
            size: third,
            members: each(count, r, |r| member(r, flag))?,
            bitfields: flag,
        },
        encode::ENUM => Kind::Enum {
            size: third,
            signed: flag,
            values: each(count, r, |r| Ok((StrOff(r.u32("enum name")?), r.u32("enum value")?)))?,
        },
        encode::ENUM64 => Kind::Enum64 { size: third, signed: flag, values: each(count, r, enum64_value)? },
        encode::FWD => Kind::Fwd { union: flag },
        encode::TYPEDEF => Kind::Typedef(target),
        encode::VOLATILE => Kind::Volatile(target),
        encode::CONST => Kind::Const(target),
        encode::RESTRICT => Kind::Restrict(target),
        encode::TYPE_TAG => Kind::TypeTag { target, attribute: flag },
        encode::DECL_TAG => Kind::DeclTag { target, component: r.i32("tag component")?, attribute: flag },
        encode::FUNC => Kind::Func { proto: target, linkage: Linkage(count) },
        encode::FUNC_PROTO => Kind::FuncProto {
            ret: target,
            params: each(count, r, |r| {
                Ok(Param { name: StrOff(r.u32("parameter name")?), ty: TypeId(r.u32("parameter type")?) })
            })?,
        },
        encode::VAR => Kind::Var { ty: target, linkage: Linkage(r.u32("variable linkage")?) },
        encode::DATASEC => Kind::Datasec { size: third, vars: each(count, r, sec_var)? },
        encode::FLOAT => Kind::Float { size: third },
        _ => return Err(BtfError::UnknownKind { id: u32::try_from(id).unwrap_or(u32::MAX), kind }),
    };
    Ok(Type { name, kind })
}

/// Reads `count` items. Room is not set aside beforehand: a wrong count must not cost memory.
fn each<T>(
    count: u32,
    r: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Truncated>,
) -> Result<Vec<T>, Truncated> {
    (0..count).map(|_| read(r)).collect()
}

fn member(r: &mut Reader<'_>, bitfields: bool) -> Result<Member, Truncated> {
    let (name, ty) = (StrOff(r.u32("member name")?), TypeId(r.u32("member type")?));
    let offset = r.u32("member offset")?;
    let (bit_offset, bit_size) = if bitfields { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
    Ok(Member { name, ty, bit_offset, bit_size })
}

fn enum64_value(r: &mut Reader<'_>) -> Result<(StrOff, u64), Truncated> {
    let name = StrOff(r.u32("enum name")?);
    let (low, high) = (r.u32("enum value")?, r.u32("enum value")?);
    Ok((name, u64::from(high) << 32 | u64::from(low)))
}

fn sec_var(r: &mut Reader<'_>) -> Result<SecVar, Truncated> {
    Ok(SecVar {
        var: TypeId(r.u32("section variable")?),
        offset: r.u32("section variable offset")?,
        size: r.u32("section variable size")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_are_a_head_only_have_nothing_behind_it() {
        for (kind, behind) in (0u32..).zip(BEHIND) {
            let head = Head { name: StrOff(0), info: kind << 24 };
            assert_eq!(head.is_one_of(HEAD_ONLY), *behind == Some((0, 0)), "kind {kind}");
        }
    }
}
