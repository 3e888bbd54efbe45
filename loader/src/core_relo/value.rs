//! What is to stand in an instruction, for one part of one type.
//!
//! Source: libbpf `bpf_core_calc_field_relo`, `bpf_core_calc_type_relo`, `bpf_core_calc_enumval_relo`.

use super::access::{Access, Step};
use super::{CoreKind, Resize};
use crate::btf::{Kind, TypeGraph, TypeId};
use crate::bytes::{Endian, to_usize};

/// The answer that one side's types give.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) number: u64,
    /// Whether the compiler must have come to the same number.
    pub(super) certain: bool,
    /// For the offset of a field that is no bitfield: the size in **bytes** of what an instruction would access there,
    /// and its type.
    pub(super) accessed: Option<(u32, TypeId)>,
}

impl Value {
    const fn certain(number: u64) -> Self {
        Self { number, certain: true, accessed: None }
    }
}

/// What the record asks, answered by the types in which `access` lies.
pub(super) fn of(graph: &dyn TypeGraph, access: &Access, endian: Endian) -> Result<Value, &'static str> {
    let step = access.steps.last();
    match access.kind {
        CoreKind::FieldExists | CoreKind::TypeExists | CoreKind::TypeMatches | CoreKind::EnumExists => {
            Ok(Value::certain(1))
        }
        CoreKind::TypeIdLocal | CoreKind::TypeIdTarget => {
            // Numbers of types change when objects are joined, so what stands in the instruction says nothing.
            Ok(Value { certain: false, ..Value::certain(access.root.0.into()) })
        }
        CoreKind::TypeSize => {
            graph.size_of(access.root).map(|size| Value::certain(size.into())).ok_or(NO_SIZE)
        }
        CoreKind::EnumValue => {
            step.and_then(|step| enum_value(graph, *step)).map(Value::certain).ok_or(NO_VALUE)
        }
        CoreKind::FieldOffset
        | CoreKind::FieldSize
        | CoreKind::FieldSigned
        | CoreKind::ShiftLeft
        | CoreKind::ShiftRight => {
            let step = step.ok_or(NO_SIZE)?;
            if step.name.is_none() {
                element(graph, access, *step)
            } else {
                member(graph, access, *step, endian)
            }
        }
    }
}

/// What stands for "there is none": 0, where the question allows that answer.
pub(super) fn of_none(kind: CoreKind) -> Option<u64> {
    match kind {
        CoreKind::FieldExists
        | CoreKind::EnumExists
        | CoreKind::TypeIdLocal
        | CoreKind::TypeIdTarget
        | CoreKind::TypeExists
        | CoreKind::TypeSize
        | CoreKind::TypeMatches => Some(0),
        CoreKind::FieldOffset
        | CoreKind::FieldSize
        | CoreKind::FieldSigned
        | CoreKind::ShiftLeft
        | CoreKind::ShiftRight
        | CoreKind::EnumValue => None,
    }
}

/// How the access changes. Pointers are 8 bytes in an object and may be 4 in a kernel; unsigned integers may grow and
/// shrink, since loading them fills the register with zeroes.
pub(super) fn resize(local: (&dyn TypeGraph, &Value), target: (&dyn TypeGraph, &Value)) -> Resize {
    let (Some((from, a)), Some((to, b))) = (local.1.accessed, target.1.accessed) else {
        return Resize::Keep;
    };
    if from == to {
        return Resize::Keep;
    }
    const SIGNED: u32 = 1;
    let (a, b) = (local.0.ty(a), target.0.ty(b));
    match (a.as_deref().map(|ty| &ty.kind), b.as_deref().map(|ty| &ty.kind)) {
        (Some(Kind::Ptr(_)), Some(Kind::Ptr(_))) => Resize::To { from, to },
        (Some(Kind::Int { detail: a, .. }), Some(Kind::Int { detail: b, .. }))
            if a >> 24 != SIGNED && b >> 24 != SIGNED =>
        {
            Resize::To { from, to }
        }
        _ => Resize::Wrong { from, to },
    }
}

const NO_SIZE: &str = "the type has no size";
const NO_VALUE: &str = "the enumeration has no such value";

fn enum_value(graph: &dyn TypeGraph, step: Step) -> Option<u64> {
    let (_, value) = graph.ty(step.ty)?.kind.enumerator(to_usize(step.index))?;
    Some(value)
}

/// An element of an array.
fn element(graph: &dyn TypeGraph, access: &Access, step: Step) -> Result<Value, &'static str> {
    match access.kind {
        CoreKind::FieldOffset => {
            let accessed = Some(accessed(graph, step.ty).ok_or(NO_SIZE)?);
            Ok(Value { accessed, ..Value::certain((access.bit_offset / 8).into()) })
        }
        CoreKind::FieldSize => graph.size_of(step.ty).map(|size| Value::certain(size.into())).ok_or(NO_SIZE),
        _ => Err("that cannot be asked of an element of an array"),
    }
}

/// What an instruction accesses in a field of this type: of an array, an element.
fn accessed(graph: &dyn TypeGraph, ty: TypeId) -> Option<(u32, TypeId)> {
    let (id, _) = graph.element_behind(ty)?;
    Some((graph.size_of(id)?, id))
}

/// A member of a structure.
fn member(graph: &dyn TypeGraph, access: &Access, step: Step, endian: Endian) -> Result<Value, &'static str> {
    let ty = graph.ty(step.ty);
    let member = ty.as_deref().and_then(|ty| ty.kind.members().get(to_usize(step.index)).copied());
    let member = member.ok_or("the structure has no such member")?;
    let place = Place::of(graph, access.bit_offset, member.ty, member.bit_size)?;
    // Compilers disagree on how to load a bitfield, so only its sign and width can be compared with theirs.
    let certain = member.bit_size == 0;
    let number = match access.kind {
        CoreKind::FieldOffset => {
            let accessed = if certain { Some(accessed(graph, member.ty).ok_or(NO_SIZE)?) } else { None };
            return Ok(Value { number: place.byte.into(), certain, accessed });
        }
        CoreKind::FieldSize => place.bytes.into(),
        CoreKind::FieldSigned => return Ok(Value::certain(is_signed(graph, member.ty).into())),
        CoreKind::ShiftRight => return Ok(Value::certain(64u64.saturating_sub(place.bits.into()))),
        _ => place.shift_left(endian),
    };
    Ok(Value { certain, ..Value::certain(number) })
}

fn is_signed(graph: &dyn TypeGraph, ty: TypeId) -> bool {
    const SIGNED: u32 = 1;
    match graph.behind(ty).as_ref().map(|(_, ty)| &ty.kind) {
        Some(Kind::Int { detail, .. }) => detail >> 24 & SIGNED != 0,
        Some(Kind::Enum { signed, .. } | Kind::Enum64 { signed, .. }) => *signed,
        _ => false,
    }
}

/// Where a field is loaded from.
struct Place {
    /// First **byte** of the load.
    byte: u32,
    /// **Bytes** of the load.
    bytes: u32,
    /// Width of the field in **bits**.
    bits: u32,
    /// First **bit** of the field, from the start of the root.
    bit: u32,
}

impl Place {
    /// The smallest aligned load of 1 to 8 bytes that covers a bitfield, or the field as it is.
    fn of(graph: &dyn TypeGraph, bit: u32, ty: TypeId, bits: u32) -> Result<Self, &'static str> {
        let mut bytes = graph.size_of(ty).ok_or(NO_SIZE)?;
        if bits == 0 {
            return Ok(Self { byte: bit / 8, bytes, bits: bytes.saturating_mul(8), bit });
        }
        loop {
            let byte = (bit / 8).checked_div(bytes).ok_or(NO_SIZE)?.saturating_mul(bytes);
            let end = u64::from(bit).saturating_add(bits.into());
            if end <= u64::from(byte).saturating_add(bytes.into()).saturating_mul(8) {
                return Ok(Self { byte, bytes, bits, bit });
            }
            if bytes >= 8 {
                return Err("the bitfield does not lie in 8 aligned bytes");
            }
            bytes = bytes.saturating_mul(2);
        }
    }

    fn shift_left(&self, endian: Endian) -> u64 {
        let (byte, bytes) = (u64::from(self.byte), u64::from(self.bytes));
        let inside = u64::from(self.bit).saturating_sub(byte.saturating_mul(8));
        match endian {
            Endian::Little => 64u64.saturating_sub(inside.saturating_add(self.bits.into())),
            Endian::Big => 8u64.saturating_sub(bytes).saturating_mul(8).saturating_add(inside),
        }
    }
}
