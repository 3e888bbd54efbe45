//! Which of an object's types the kernel must see.
//!
//! An object that includes the types of a whole kernel is mostly made of types that only the compiler needed, and the
//! kernel checks each of them when they are loaded: most of the time of a small load. So all that it will not ask about
//! become pointers to nothing. Their numbers stay, since code and other types carry numbers.

use alloc::vec;
use alloc::vec::Vec;

use super::{LoadProgram, program};
use crate::btf::{Btf, Kind, TypeChange, TypeGraph, TypeId};
use crate::features::Features;
use crate::link::LinkedObject;
use crate::sanitize::{self, Lowered};
use crate::spec::{Inner, MapSpec};

/// Tags by which the kernel finds types by name, or asks about what pointers point to. An object that has some is left as
/// it is.
const TELLING_TAGS: &[&[u8]] = &[b"contains:", b"kptr", b"percpu_kptr", b"uptr"];

/// What becomes of an object's types on their way to the kernel. Those in [`Step::LoadBtf`](super::Step::LoadBtf) have the
/// same numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentTypes {
    /// Which types the kernel must see. In place of the others it gets a pointer to nothing.
    pub needed: Needed,
    /// What is other about those that it sees than in [`ObjectSpec::btf`](crate::spec::ObjectSpec::btf), in the order in
    /// which it was changed.
    pub changes: Vec<TypeChange>,
}

/// Which types the kernel must see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Needed {
    /// All of them.
    All(AllNeeded),
    /// These, by their numbers. Types behind the last are needed, too.
    Some(Vec<Need>),
}

/// Why the kernel must see all types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllNeeded {
    /// The code carries numbers of types: the kernel looks at those in all detail.
    Numbers,
    /// This tag makes it look for types by name, or ask about what pointers point to.
    Tag(TypeId),
    /// Somebody wants to read them again.
    Wished,
}

/// Why the kernel must see a type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Need {
    /// It need not: it will not ask about it.
    #[default]
    Not,
    /// Keys and values of maps consist of it.
    Map,
    /// Functions of programs consist of it: what they take and return.
    Function,
    /// It is a tag on one of those.
    Tag,
}

impl Needed {
    /// Whether the kernel must see this type.
    pub fn contains(&self, id: TypeId) -> bool {
        match self {
            Self::All(_) => true,
            Self::Some(list) => list.get(id.index()).is_none_or(|need| *need != Need::Not),
        }
    }
}

/// The object's types as the kernel gets them, and what became of them. Functions whose types are others for this kernel are
/// noted with their programs.
pub(super) fn sent(
    object: &LinkedObject,
    btf: &Btf,
    features: Features,
    all: bool,
    programs: &mut [LoadProgram],
) -> (Vec<u8>, SentTypes) {
    let Lowered { types, changes } = program::context_types(object, btf, features, programs);
    let needed = if all { Needed::All(AllNeeded::Wished) } else { needed(object, btf) };
    let mut sent = SentTypes { needed, changes };
    let Lowered { types, mut changes } = sanitize::types(&types, features, |id| sent.needed.contains(id));
    sent.changes.append(&mut changes);
    (types.encode_where(|id| sent.needed.contains(id)), sent)
}

/// For each type whether it is needed.
pub(super) fn needed(object: &LinkedObject, btf: &Btf) -> Needed {
    if asks_by_type(object) {
        return Needed::All(AllNeeded::Numbers);
    }
    let mut types = (0u32..).map(TypeId).zip(&btf.types);
    if let Some((tag, _)) = types.find(|(_, ty)| has_telling_tag(btf, &ty.kind, ty.name)) {
        return Needed::All(AllNeeded::Tag(tag));
    }
    let mut search = Search {
        btf,
        need: Need::Map,
        needed: vec![Need::Not; btf.types.len()],
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
    search.run(Need::Map);
    let programs = object.programs.iter().flatten();
    for (_, func) in programs.flat_map(|program| &program.func_info) {
        search.add(*func, Pointers::End);
    }
    search.run(Need::Function);
    search.add_tags();
    Needed::Some(search.needed)
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
    /// What is looked for at the moment.
    need: Need,
    needed: Vec<Need>,
    /// Types behind which pointers were followed.
    followed: Vec<bool>,
    open: Vec<(TypeId, Pointers)>,
}

impl Search<'_> {
    fn add(&mut self, id: TypeId, pointers: Pointers) {
        self.open.push((id, pointers));
    }

    fn run(&mut self, need: Need) {
        self.need = need;
        while let Some((id, pointers)) = self.open.pop() {
            let Some(kind) = self.btf.kind(id) else {
                continue;
            };
            // What was reached as a value before may now be reached as a parameter, and leads further then: once.
            let parameter = pointers == Pointers::Once && leads_on(kind);
            let further = parameter && newly(&mut self.followed, id, true);
            if newly(&mut self.needed, id, self.need) || further {
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
                let on_needed = self.needed.get(target.index()).is_some_and(|need| *need != Need::Not);
                if let Some(needed) = self.needed.get_mut(at) {
                    *needed = if on_needed { Need::Tag } else { Need::Not };
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

/// Sets what stands at this type's place; whether that was still unset.
fn newly<T: Default + PartialEq>(list: &mut [T], id: TypeId, to: T) -> bool {
    let place = list.get_mut(id.index()).filter(|place| **place == T::default());
    place.map(|place| *place = to).is_some()
}
