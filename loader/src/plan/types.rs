//! Which of an object's types the kernel must see.
//!
//! An object that includes the types of a whole kernel is mostly made of types that only the compiler needed, and the
//! kernel checks each of them when they are loaded: most of the time of a small load. So all that it will not ask about
//! become pointers to nothing. Their numbers stay, since code and other types carry numbers.

use alloc::vec;
use alloc::vec::Vec;

use crate::btf::{Btf, Kind, TypeGraph, TypeId};
use crate::link::LinkedObject;
use crate::spec::{Inner, MapSpec};

/// Tags by which the kernel finds types by name, or asks about what pointers point to. An object that has some is left as
/// it is.
const TELLING_TAGS: &[&[u8]] = &[b"contains:", b"kptr", b"percpu_kptr", b"uptr"];

/// For each type whether it is needed; `None` if all are.
pub(super) fn needed(object: &LinkedObject) -> Option<Vec<bool>> {
    let btf = object.spec.btf.as_ref()?;
    if asks_by_type(object) || btf.types.iter().any(|ty| has_telling_tag(btf, &ty.kind, ty.name)) {
        return None;
    }
    let mut search = Search {
        btf,
        needed: vec![false; btf.types.len()],
        followed: vec![false; btf.types.len()],
        open: Vec::new(),
    };
    let inner = |map: &MapSpec| match &map.inner {
        Some(Inner::Template(inner)) => Some((inner.key_type, inner.value_type)),
        Some(Inner::Like(_) | Inner::Missing(_)) | None => None,
    };
    for map in object.spec.maps.iter().filter(|map| map.struct_ops.is_none()) {
        for (key, value) in inner(map).into_iter().chain([(map.key_type, map.value_type)]) {
            search.add(key, Pointers::End);
            search.add(value, Pointers::End);
        }
    }
    let programs = object.programs.iter().flatten();
    for (_, func) in programs.flat_map(|program| &program.func_info) {
        search.add(*func, Pointers::End);
    }
    search.run();
    search.add_tags();
    Some(search.needed)
}

/// Whether code carries numbers of its own object's types: the kernel will look at those types in all detail.
fn asks_by_type(object: &LinkedObject) -> bool {
    let functions = object.spec.functions.iter();
    functions.flat_map(|function| &function.core_relos).any(|(_, record)| !record.needs_target())
}

fn has_telling_tag(btf: &Btf, kind: &Kind, name: crate::btf::StrOff) -> bool {
    let is_tag = matches!(kind, Kind::TypeTag { .. } | Kind::DeclTag { .. });
    is_tag && TELLING_TAGS.iter().any(|tag| btf.bytes_at(name).starts_with(tag))
}

/// What becomes of pointers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pointers {
    /// What they point to is not needed.
    End,
    /// What they point to is needed, but not what that points to: parameters of functions.
    Once,
}

struct Search<'b> {
    btf: &'b Btf,
    needed: Vec<bool>,
    /// Types behind which pointers were followed.
    followed: Vec<bool>,
    open: Vec<(TypeId, Pointers)>,
}

impl Search<'_> {
    fn add(&mut self, id: TypeId, pointers: Pointers) {
        self.open.push((id, pointers));
    }

    fn run(&mut self) {
        while let Some((id, pointers)) = self.open.pop() {
            let Some(kind) = self.btf.kind(id) else {
                continue;
            };
            let newly = |list: &mut Vec<bool>| {
                list.get_mut(id.index()).is_some_and(|known| !core::mem::replace(known, true))
            };
            // What was reached as a value before may now be reached as a parameter, and leads further then: once.
            let further = pointers == Pointers::Once && leads_on(kind) && newly(&mut self.followed);
            if newly(&mut self.needed) || further {
                self.follow(kind, pointers);
            }
        }
    }

    fn follow(&mut self, kind: &Kind, pointers: Pointers) {
        match kind {
            Kind::Ptr(to) if pointers == Pointers::Once => self.add(*to, Pointers::End),
            Kind::Ptr(_)
            | Kind::Void
            | Kind::Int { .. }
            | Kind::Float { .. }
            | Kind::Enum { .. }
            | Kind::Enum64 { .. }
            | Kind::Fwd { .. } => {}
            Kind::Array { element, index, .. } => {
                self.add(*element, Pointers::End);
                self.add(*index, Pointers::End);
            }
            Kind::Composite { members, .. } => {
                members.iter().for_each(|member| self.add(member.ty, Pointers::End));
            }
            Kind::Typedef(to) | Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) => {
                self.add(*to, pointers);
            }
            Kind::TypeTag { target, .. } => self.add(*target, pointers),
            Kind::DeclTag { target, .. } => self.add(*target, Pointers::End),
            Kind::Func { proto, .. } => self.add(*proto, Pointers::Once),
            Kind::FuncProto { ret, params } => {
                self.add(*ret, Pointers::Once);
                params.iter().for_each(|param| self.add(param.ty, Pointers::Once));
            }
            Kind::Var { ty, .. } => self.add(*ty, Pointers::End),
            Kind::Datasec { vars, .. } => vars.iter().for_each(|var| self.add(var.var, Pointers::End)),
        }
    }

    /// Tags stand on what they are about, and say something only if that is needed.
    fn add_tags(&mut self) {
        for (at, ty) in self.btf.types.iter().enumerate() {
            if let Kind::DeclTag { target, .. } = &ty.kind {
                let on_needed = self.needed.get(target.index()).copied().unwrap_or(false);
                if let Some(needed) = self.needed.get_mut(at) {
                    *needed = on_needed;
                }
            }
        }
    }
}

/// Kinds behind which a pointer may stand that was not followed before.
const fn leads_on(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Ptr(_)
            | Kind::Typedef(_)
            | Kind::Volatile(_)
            | Kind::Const(_)
            | Kind::Restrict(_)
            | Kind::TypeTag { .. }
    )
}
