//! Finding the same part in a type of the kernel: the same members by name, wherever they stand there.
//!
//! Source: libbpf `bpf_core_spec_match`, `bpf_core_match_member`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::CoreKind;
use super::access::{Access, Step, shown, type_words};
use super::compat::{self, At};
use crate::btf::{Kind, Type, TypeGraph, TypeId, essential};
use crate::bytes::to_usize;

/// Why a type of the kernel has no such part.
pub(super) enum Miss {
    /// The kernel's type is another one in this respect: the first thing that differs.
    Differs(String),
    /// The comparison does not end.
    Endless,
    /// The part cannot be reached, whatever the other types say.
    Unreachable(&'static str),
}

/// The object's own part, and what is needed to compare.
pub(super) struct Matcher<'a> {
    pub(super) local: &'a dyn TypeGraph,
    pub(super) access: &'a Access,
    pub(super) target: &'a dyn TypeGraph,
}

impl Matcher<'_> {
    /// The same part of the kernel's type `id`.
    pub(super) fn find(&self, id: TypeId) -> Result<Access, Miss> {
        if self.access.kind.is_about_field() {
            self.field(id)
        } else if self.access.kind.is_about_type() {
            self.whole(id)
        } else {
            self.value(id)
        }
    }

    fn here(&self, id: TypeId) -> Access {
        Access { root: id, kind: self.access.kind, steps: Vec::new(), depth: 0, bit_offset: 0 }
    }

    fn whole(&self, id: TypeId) -> Result<Access, Miss> {
        let local = At { graph: self.local, id: self.access.root };
        let target = At { graph: self.target, id };
        let (fits, word) = match self.access.kind {
            CoreKind::TypeMatches => (compat::types_match(local, target), "match"),
            _ => (compat::compatible(local, target, compat::MAX_DEPTH), "be of a kind with"),
        };
        if fits.ok_or(Miss::Endless)? {
            return Ok(self.here(id));
        }
        Err(Miss::Differs(format!("it does not {word} the object's")))
    }

    fn value(&self, id: TypeId) -> Result<Access, Miss> {
        let (id, ty) = self.target.behind(id).ok_or(Miss::Endless)?;
        let own = self.access.steps.first().and_then(|step| step.name);
        let own = essential(own.map_or(&[][..], |name| self.local.bytes_at(name)));
        let is_it = |name| essential(self.target.bytes_at(name)) == own;
        let count = ty.kind.enumerators().unwrap_or(0);
        let names = (0..count).filter_map(|at| Some((at, ty.kind.enumerator(at)?.0)));
        let found = names.into_iter().find(|(_, name)| is_it(*name));
        let missing = || Miss::Differs(format!("it has no value {}", shown(own)));
        let (at, name) = found.ok_or_else(missing)?;
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let mut access = self.here(id);
        access.steps.push(Step { ty: id, index, name: Some(name) });
        Ok(access)
    }

    fn field(&self, root: TypeId) -> Result<Access, Miss> {
        let mut found = self.here(root);
        let mut at = root;
        for (number, step) in self.access.steps.iter().enumerate() {
            let (id, ty) = self.target.behind(at).ok_or(Miss::Endless)?;
            at = match (step.name, &ty.kind) {
                (Some(_), _) => self.named(*step, id, &ty, &mut found)?,
                // The first step goes from the root to its neighbours, as if it stood in an array.
                (None, _) if number == 0 => self.element(id, step.index, &mut found)?,
                (None, Kind::Array { element, len, .. }) => {
                    let open = found.ends_in_flexible_array(self.target, *len);
                    if step.index >= *len && !open {
                        let why = format!("an array has {len} elements there, not {}", step.index);
                        return Err(Miss::Differs(why));
                    }
                    let (element, _) = self.target.behind(*element).ok_or(Miss::Endless)?;
                    self.element(element, step.index, &mut found)?
                }
                (None, _) => {
                    let name = type_words(self.target, id);
                    return Err(Miss::Differs(format!("{name} stands there, not an array")));
                }
            };
        }
        Ok(found)
    }

    fn element(&self, id: TypeId, index: u32, found: &mut Access) -> Result<TypeId, Miss> {
        found.element(self.target, id, index).map_err(Miss::Unreachable)?;
        Ok(id)
    }

    /// A member by its name; returns its type.
    fn named(&self, step: Step, id: TypeId, ty: &Type, found: &mut Access) -> Result<TypeId, Miss> {
        let own = self.local.ty(step.ty);
        let own = own.as_ref().and_then(|ty| ty.kind.members().get(to_usize(step.index)).copied());
        let own = own.ok_or(Miss::Endless)?;
        let wanted = Member { name: self.local.bytes_at(own.name), ty: own.ty };
        if let Some(next) = self.search(&wanted, id, ty, found)? {
            return Ok(next);
        }
        let (name, member) = (type_words(self.target, id), shown(wanted.name));
        Err(Miss::Differs(format!("{name} has no member {member}")))
    }

    /// Looks through the members, and through those of anonymous members. `None`: it is not there.
    fn search(
        &self,
        wanted: &Member<'_>,
        id: TypeId,
        ty: &Type,
        found: &mut Access,
    ) -> Result<Option<TypeId>, Miss> {
        let Kind::Composite { members, .. } = &ty.kind else {
            return Ok(None);
        };
        if !members.is_empty() {
            found.deeper().map_err(Miss::Unreachable)?;
        }
        let depth = found.depth;
        for (index, member) in (0u32..).zip(members) {
            let name = self.target.bytes_at(member.name);
            let before = found.bit_offset;
            found.depth = depth;
            if name.is_empty() {
                found.forward(Some(member.bit_offset)).map_err(Miss::Unreachable)?;
                let (inner, ty) = self.target.behind(member.ty).ok_or(Miss::Endless)?;
                if let Some(next) = self.search(wanted, inner, &ty, found)? {
                    return Ok(Some(next));
                }
                found.bit_offset = before;
            } else if name == wanted.name {
                found.forward(Some(member.bit_offset)).map_err(Miss::Unreachable)?;
                found.steps.push(Step { ty: id, index, name: Some(member.name) });
                return self.readable(wanted, member.ty).map(Some);
            }
        }
        Ok(None)
    }

    /// A member of the right name must be readable as the compiler reads it.
    fn readable(&self, wanted: &Member<'_>, id: TypeId) -> Result<TypeId, Miss> {
        let local = At { graph: self.local, id: wanted.ty };
        let target = At { graph: self.target, id };
        if compat::fields(local, target).ok_or(Miss::Endless)? {
            return Ok(id);
        }
        let (own, found) = (type_words(self.local, wanted.ty), type_words(self.target, id));
        Err(Miss::Differs(format!("member {} is {found} there, {own} in the object", shown(wanted.name))))
    }
}

/// A member that is looked for.
struct Member<'a> {
    name: &'a [u8],
    ty: TypeId,
}
