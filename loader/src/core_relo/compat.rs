//! When a type of the object and a type of the kernel count as the same. There are three measures, from loose to strict:
//! fields that can be read alike, types that are of a kind, types that match.
//!
//! Source: libbpf `bpf_core_fields_are_compat`, `__bpf_core_types_are_compat`, `__bpf_core_types_match`.

use alloc::vec::Vec;

use super::work::{Metered, Work};
use super::{KernelTypes, Location};
use crate::btf::{Kind, StrOff, Type, TypeGraph, TypeId, essential};

/// How deep types may be nested before they count as endless. Source: libbpf.
pub(super) const MAX_DEPTH: u32 = 32;

/// A type in its graph.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) graph: &'a dyn TypeGraph,
    pub(super) id: TypeId,
}

impl<'a> At<'a> {
    fn to(self, id: TypeId) -> Self {
        Self { id, ..self }
    }
}

/// Both are of one kind; enumerations of either width are.
pub(super) fn same_kind(a: &Kind, b: &Kind) -> bool {
    match (a, b) {
        (Kind::Enum { .. } | Kind::Enum64 { .. }, Kind::Enum { .. } | Kind::Enum64 { .. }) => true,
        (Kind::Composite { union: a, .. }, Kind::Composite { union: b, .. }) => a == b,
        _ => core::mem::discriminant(a) == core::mem::discriminant(b),
    }
}

fn essential_at<'a>(at: At<'a>, name: StrOff) -> &'a [u8] {
    essential(at.graph.bytes_at(name))
}

/// Names are the same, flavours aside.
fn same_name(local: At<'_>, a: StrOff, target: At<'_>, b: StrOff) -> bool {
    essential_at(local, a) == essential_at(target, b)
}

/// Old integers could start in the middle of a byte; they are like no others.
fn starts_at_bit_0(detail: u32) -> bool {
    detail >> 16 & 0xff == 0
}

fn is_signed(detail: u32) -> bool {
    const SIGNED: u32 = 1;
    detail >> 24 & SIGNED != 0
}

/// Whether a field of the one type can be read as the compiler reads the other. `None`: a type is missing or endless.
pub(super) fn fields(mut local: At<'_>, mut target: At<'_>) -> Option<bool> {
    for _ in 0..MAX_DEPTH {
        let ((_, a), (_, b)) = (local.graph.behind(local.id)?, target.graph.behind(target.id)?);
        if matches!((&a.kind, &b.kind), (Kind::Composite { .. }, Kind::Composite { .. })) {
            return Some(true);
        }
        if !same_kind(&a.kind, &b.kind) {
            return Some(false);
        }
        match (&a.kind, &b.kind) {
            (Kind::Ptr(_), _) | (Kind::Float { .. }, _) => return Some(true),
            (Kind::Fwd { .. } | Kind::Enum { .. } | Kind::Enum64 { .. }, _) => {
                let (a, b) = (essential_at(local, a.name), essential_at(target, b.name));
                return Some(a.is_empty() || b.is_empty() || a == b);
            }
            (Kind::Int { detail: a, .. }, Kind::Int { detail: b, .. }) => {
                return Some(starts_at_bit_0(*a) && starts_at_bit_0(*b));
            }
            (Kind::Array { element: a, .. }, Kind::Array { element: b, .. }) => {
                (local, target) = (local.to(*a), target.to(*b));
            }
            _ => return Some(false),
        }
    }
    None
}

/// Whether types are of a kind: pointers to things of a kind, functions with parameters of a kind; what is inside of
/// structures does not count. `None`: a type is missing or endless, or the work is used up.
pub fn types_are_compatible(
    local: &dyn TypeGraph,
    local_id: TypeId,
    kernel: &KernelTypes<'_>,
    at: Location,
    work: &Work,
) -> Option<bool> {
    let (local, target) =
        (Metered::object(local, work), Metered::kernel(kernel.of(at.module)?, at.module, work));
    compatible(At { graph: &local, id: local_id }, At { graph: &target, id: at.id }, MAX_DEPTH)
}

pub(super) fn compatible(mut local: At<'_>, mut target: At<'_>, level: u32) -> Option<bool> {
    let (a, b) = (local.graph.ty(local.id)?, target.graph.ty(target.id)?);
    if !same_kind(&a.kind, &b.kind) {
        return Some(false);
    }
    for _ in 0..MAX_DEPTH {
        let ((_, a), (_, b)) = (local.graph.behind(local.id)?, target.graph.behind(target.id)?);
        if !same_kind(&a.kind, &b.kind) {
            return Some(false);
        }
        match (&a.kind, &b.kind) {
            (Kind::Void | Kind::Composite { .. } | Kind::Fwd { .. }, _) => return Some(true),
            (Kind::Enum { .. } | Kind::Enum64 { .. }, _) => return Some(true),
            (Kind::Int { detail: a, .. }, Kind::Int { detail: b, .. }) => {
                return Some(starts_at_bit_0(*a) && starts_at_bit_0(*b));
            }
            (Kind::Ptr(a), Kind::Ptr(b))
            | (Kind::Array { element: a, .. }, Kind::Array { element: b, .. }) => {
                (local, target) = (local.to(*a), target.to(*b));
            }
            (Kind::FuncProto { ret: a, params: own }, Kind::FuncProto { ret: b, params: others }) => {
                if own.len() != others.len() {
                    return Some(false);
                }
                for (a, b) in own.iter().zip(others) {
                    let (a, b) = (behind(local.to(a.ty))?, behind(target.to(b.ty))?);
                    if !compatible(a, b, level.checked_sub(1)?)? {
                        return Some(false);
                    }
                }
                (local, target) = (behind(local.to(*a))?, behind(target.to(*b))?);
            }
            _ => return Some(false),
        }
    }
    None
}

fn behind(at: At<'_>) -> Option<At<'_>> {
    at.graph.behind(at.id).map(|(id, _)| at.to(id))
}

/// Whether types match: the kernel's has all that the object's has, by name, of the same size and sign.
///
/// `None`: a type is missing or endless.
fn matching(mut local: At<'_>, mut target: At<'_>, mut behind_pointer: bool, level: u32) -> Option<bool> {
    if level == 0 {
        return None;
    }
    for _ in 0..MAX_DEPTH {
        let ((_, a), (_, b)) = (local.graph.behind(local.id)?, target.graph.behind(target.id)?);
        if !same_name(local, a.name, target, b.name) {
            return Some(false);
        }
        match (&a.kind, &b.kind) {
            (Kind::Void, other) => return Some(*other == Kind::Void),
            (Kind::Fwd { union: a }, Kind::Fwd { union: b }) => return Some(a == b),
            (Kind::Fwd { union: a }, Kind::Composite { union: b, .. })
            | (Kind::Composite { union: a, .. }, Kind::Fwd { union: b }) => {
                return Some(behind_pointer && a == b);
            }
            (Kind::Composite { union: x, .. }, Kind::Composite { union: y, .. }) => {
                return if x != y {
                    Some(false)
                } else if behind_pointer {
                    Some(true)
                } else {
                    members_match(local, &a, target, &b, level)
                };
            }
            (Kind::Enum { .. } | Kind::Enum64 { .. }, Kind::Enum { .. } | Kind::Enum64 { .. }) => {
                return values_match(local, &a.kind, target, &b.kind);
            }
            (Kind::Int { size: a, detail: x }, Kind::Int { size: b, detail: y }) => {
                return Some(a == b && is_signed(*x) == is_signed(*y));
            }
            (Kind::Ptr(a), Kind::Ptr(b)) => {
                behind_pointer = true;
                (local, target) = (local.to(*a), target.to(*b));
            }
            (Kind::Array { element: a, len: x, .. }, Kind::Array { element: b, len: y, .. }) => {
                if x != y {
                    return Some(false);
                }
                (local, target) = (local.to(*a), target.to(*b));
            }
            (Kind::FuncProto { ret: a, params: own }, Kind::FuncProto { ret: b, params: others }) => {
                if own.len() != others.len() {
                    return Some(false);
                }
                for (a, b) in own.iter().zip(others) {
                    let below = level.checked_sub(1)?;
                    if !matching(local.to(a.ty), target.to(b.ty), behind_pointer, below)? {
                        return Some(false);
                    }
                }
                (local, target) = (local.to(*a), target.to(*b));
            }
            _ => return Some(false),
        }
    }
    None
}

/// A match starts here.
pub(super) fn types_match(local: At<'_>, target: At<'_>) -> Option<bool> {
    matching(local, target, false, MAX_DEPTH)
}

/// Every member of the object's structure has one of its name in the kernel's that matches.
fn members_match(local: At<'_>, a: &Type, target: At<'_>, b: &Type, level: u32) -> Option<bool> {
    let (Kind::Composite { members: own, .. }, Kind::Composite { members: others, .. }) = (&a.kind, &b.kind)
    else {
        return Some(false);
    };
    if own.len() > others.len() {
        return Some(false);
    }
    let below = level.checked_sub(1)?;
    for member in own {
        let mut found = false;
        for other in others.iter().filter(|other| same_name(local, member.name, target, other.name)) {
            if matching(local.to(member.ty), target.to(other.ty), false, below)? {
                found = true;
                break;
            }
        }
        if !found {
            return Some(false);
        }
    }
    Some(true)
}

/// Every value of the object's enumeration has one of its name in the kernel's; the numbers may differ.
fn values_match(local: At<'_>, a: &Kind, target: At<'_>, b: &Kind) -> Option<bool> {
    let names = |kind: &Kind| {
        let all = (0..kind.enumerators().unwrap_or(0)).filter_map(|at| Some(kind.enumerator(at)?.0));
        all.collect::<Vec<StrOff>>()
    };
    let (own, others) = (names(a), names(b));
    let has = |name: &StrOff| others.iter().any(|other| same_name(local, *name, target, *other));
    Some(size(a) == size(b) && own.len() <= others.len() && own.iter().all(has))
}

/// **Bytes** of an enumeration.
fn size(kind: &Kind) -> u32 {
    match kind {
        Kind::Enum { size, .. } | Kind::Enum64 { size, .. } => *size,
        _ => 0,
    }
}
