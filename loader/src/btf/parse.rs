//! From the bytes of `.BTF` to the type graph.

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
        // Growing by and by would copy thousands of them again and again; each has a head of 12 bytes at least.
        let mut parsed = Vec::with_capacity((types.remaining() / 12).saturating_add(1));
        parsed.push(Type { name: StrOff(0), kind: Kind::Void });
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

/// Reads the head of the type that `types` begin with; `None` if there are not so many **bytes**. Asked for every type of
/// a kernel, so it costs a few instructions, and who gets `None` says what is wrong.
#[inline]
pub(super) fn head<const BIG: bool>(types: &[u8]) -> Option<Head> {
    let [a, b, c, d, e, f, g, h] = *types.first_chunk()?;
    let word = if BIG { u32::from_be_bytes } else { u32::from_le_bytes };
    Some(Head { name: StrOff(word([a, b, c, d])), info: word([e, f, g, h]) })
}

/// Why the type at this **byte**, which is number `id`, has no head or does not end.
pub(super) fn no_type(types: &[u8], at: usize, endian: Endian, id: u32) -> BtfError {
    let rest = types.get(at..).unwrap_or_default();
    let head = match endian {
        Endian::Little => head::<false>(rest),
        Endian::Big => head::<true>(rest),
    };
    match head.map(|head| (head.kind(), head.len())) {
        Some((kind, UNKNOWN)) => BtfError::UnknownKind { id, kind },
        of => {
            let need = of.map_or(12, |(_, len)| len) as u64;
            Truncated { what: "type", at: at as u64, need, have: rest.len() as u64 }.into()
        }
    }
}

/// Words of 4 **bytes** behind the 12 bytes of the head, in the order of `BTF_KIND_*` from 0: always, and for each of the
/// `vlen` parts. `None`: no such kind.
const BEHIND: [Option<(u8, u8)>; 20] = [
    None,         // 0 is void, which no file has.
    Some((1, 0)), // INT
    Some((0, 0)), // PTR
    Some((3, 0)), // ARRAY
    Some((0, 3)), // STRUCT
    Some((0, 3)), // UNION
    Some((0, 2)), // ENUM
    Some((0, 0)), // FWD
    Some((0, 0)), // TYPEDEF
    Some((0, 0)), // VOLATILE
    Some((0, 0)), // CONST
    Some((0, 0)), // RESTRICT
    Some((0, 0)), // FUNC
    Some((0, 2)), // FUNC_PROTO
    Some((1, 0)), // VAR
    Some((0, 3)), // DATASEC
    Some((0, 0)), // FLOAT
    Some((1, 0)), // DECL_TAG
    Some((0, 0)), // TYPE_TAG
    Some((0, 3)), // ENUM64
];

/// More **bytes** than any type has: what stands for the length of a kind that this crate does not know.
const UNKNOWN: usize = to_usize(NO_LENGTH);
const NO_LENGTH: u32 = 1 << 31;

/// [`BEHIND`] once more, for every number that a head can hold: **bytes** of the type, and of each of its parts.
static LENGTHS: [(u32, u32); 32] = lengths();

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "the compiler runs it")]
const fn lengths() -> [(u32, u32); 32] {
    let (mut lengths, mut kind) = ([(NO_LENGTH, 0); 32], 0);
    while kind < BEHIND.len() {
        if let Some((always, each)) = BEHIND[kind] {
            lengths[kind] = (12 + 4 * always as u32, 4 * each as u32);
        }
        kind += 1;
    }
    lengths
}

impl Head {
    const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// Whether the bits that no kind uses are zero, as they always are so far.
    pub(super) const fn is_plain(self) -> bool {
        self.info & 0x60ff_0000 == 0
    }

    /// Whether the type is of one of these kinds.
    pub(super) const fn is_one_of(self, kinds: KindSet) -> bool {
        kinds.bits() >> self.kind() & 1 != 0
    }

    /// **Bytes** of the whole type; more than there can be for kinds that this crate does not know.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a kind is a number of 5 bits")]
    pub(super) fn len(self) -> usize {
        let (always, each) = LENGTHS[to_usize(self.kind())];
        // A count has 16 bits, so nothing overflows.
        to_usize(always.wrapping_add(each.wrapping_mul(self.info & 0xffff)))
    }
}

/// Reads one type, which is number `id`.
pub(super) fn one(r: &mut Reader<'_>, id: usize) -> Result<Type, BtfError> {
    let [name, info, third] = r.u32s(["type name", "type info", "type size or reference"])?;
    let name = StrOff(name);
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
            values: each(count, r, |r| {
                r.u32s(["enum name", "enum value"]).map(|[name, value]| (StrOff(name), value))
            })?,
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
                let [name, ty] = r.u32s(["parameter name", "parameter type"])?;
                Ok(Param { name: StrOff(name), ty: TypeId(ty) })
            })?,
        },
        encode::VAR => Kind::Var { ty: target, linkage: Linkage(r.u32("variable linkage")?) },
        encode::DATASEC => Kind::Datasec { size: third, vars: each(count, r, sec_var)? },
        encode::FLOAT => Kind::Float { size: third },
        _ => return Err(BtfError::UnknownKind { id: u32::try_from(id).unwrap_or(u32::MAX), kind }),
    };
    Ok(Type { name, kind })
}

/// Reads `count` items. Room is set aside for no more than there can be: a wrong count must not cost memory.
fn each<T>(
    count: u32,
    r: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Truncated>,
) -> Result<Vec<T>, Truncated> {
    let mut items = Vec::with_capacity(to_usize(count).min(r.remaining() / 8));
    for _ in 0..count {
        items.push(read(r)?);
    }
    Ok(items)
}

fn member(r: &mut Reader<'_>, bitfields: bool) -> Result<Member, Truncated> {
    let [name, ty, offset] = r.u32s(["member name", "member type", "member offset"])?;
    let (bit_offset, bit_size) = if bitfields { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
    Ok(Member { name: StrOff(name), ty: TypeId(ty), bit_offset, bit_size })
}

fn enum64_value(r: &mut Reader<'_>) -> Result<(StrOff, u64), Truncated> {
    let [name, low, high] = r.u32s(["enum name", "enum value", "enum value"])?;
    Ok((StrOff(name), u64::from(high) << 32 | u64::from(low)))
}

fn sec_var(r: &mut Reader<'_>) -> Result<SecVar, Truncated> {
    let what = ["section variable", "section variable offset", "section variable size"];
    let [var, offset, size] = r.u32s(what)?;
    Ok(SecVar { var: TypeId(var), offset, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_table() {
        for kind in 0..32 {
            let len = |vlen: u32| Head { name: StrOff(0), info: 1 << 31 | kind << 24 | vlen }.len();
            let behind = BEHIND.get(to_usize(kind)).copied().flatten();
            let expected = behind
                .map_or(UNKNOWN, |(always, each)| 12 + 4 * (usize::from(always) + 7 * usize::from(each)));
            assert_eq!(len(7), expected, "kind {kind}");
        }
    }
}
