//! Types of kinds that an older kernel does not know, as the nearest of those that it knows.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::btf::{
    Btf, Kind, Linkage, Member, SecVar, StrOff, Type, TypeChange, TypeGraph, TypeId, TypeReason,
};
use crate::features::Features;

/// Features on which it depends how types look to the kernel.
pub const TYPE_FEATURES: Features = Features::FUNC_INFO
    .union(Features::BTF_KIND_FLAG)
    .union(Features::BTF_DATASEC)
    .union(Features::BTF_EMPTY_SECTION)
    .union(Features::BTF_FUNC_GLOBAL)
    .union(Features::BTF_FLOAT)
    .union(Features::BTF_DECL_TAG)
    .union(Features::BTF_TYPE_TAG)
    .union(Features::BTF_ENUM64)
    .union(Features::BTF_QUESTION_MARK)
    .union(Features::BTF_ATTRIBUTES);

/// An integer of one byte, in place of what has no counterpart: larger ones may not fit where the type stands.
const BYTE: Kind = Kind::Int { size: 1, detail: 8 };

/// Types for a kernel, and what is other about them.
#[derive(Debug)]
pub struct Lowered<'b> {
    /// The types.
    pub types: Cow<'b, Btf>,
    /// What was changed, in this order.
    pub changes: Vec<TypeChange>,
}

/// The types as a kernel with these features takes them; those that are not needed stay as they are. A type keeps its
/// number; some are added behind the last.
pub fn types(btf: &Btf, has: Features, is_needed: impl Fn(TypeId) -> bool) -> Lowered<'_> {
    if has.contains(TYPE_FEATURES) {
        return Lowered { types: Cow::Borrowed(btf), changes: Vec::new() };
    }
    let mut out = Lowering { btf, has, strings: btf.strings.clone(), byte: None };
    let mut types = Vec::with_capacity(btf.types.len());
    let mut changes = Vec::new();
    let mut note = |id, before| changes.push(TypeChange { id, before, reason: TypeReason::Lacking });
    for (id, ty) in (0u32..).map(TypeId).zip(&btf.types) {
        let lowered = if is_needed(id) { out.lowered(ty) } else { ty.clone() };
        if lowered != *ty {
            note(id, Some(ty.clone()));
        }
        types.push(lowered);
    }
    if let Some(id) = out.byte {
        types.push(Type { name: StrOff(0), kind: BYTE });
        note(id, None);
    }
    Lowered { types: Cow::Owned(Btf { types, strings: out.strings }), changes }
}

/// Features on which it depends how these types look to the kernel.
pub fn needs_of_types(btf: &Btf, is_needed: impl Fn(TypeId) -> bool) -> Features {
    let types = (0u32..).map(TypeId).zip(&btf.types).filter(|(id, _)| is_needed(*id));
    types.map(|(_, ty)| needs(btf, ty)).collect()
}

/// Whether a kernel with these features takes this type as it is.
pub fn is_kept(btf: &Btf, id: TypeId, has: Features) -> bool {
    btf.get(id).is_some_and(|ty| has.contains(needs(btf, ty)))
}

/// What a kernel must have to take this type as it is.
pub fn needs(btf: &Btf, ty: &Type) -> Features {
    let attribute = |is: &bool| if *is { Features::BTF_ATTRIBUTES } else { Features::empty() };
    match &ty.kind {
        Kind::Var { .. } => Features::BTF_DATASEC,
        Kind::Datasec { vars, .. } => {
            let mut needs = Features::BTF_DATASEC;
            needs.set(Features::BTF_QUESTION_MARK, btf.bytes_at(ty.name).starts_with(b"?"));
            needs.set(Features::BTF_EMPTY_SECTION, vars.is_empty());
            needs
        }
        Kind::FuncProto { .. } | Kind::Func { linkage: Linkage::STATIC, .. } => Features::FUNC_INFO,
        Kind::Func { .. } => Features::FUNC_INFO | Features::BTF_FUNC_GLOBAL,
        Kind::Float { .. } => Features::BTF_FLOAT,
        Kind::DeclTag { attribute: is, .. } => Features::BTF_DECL_TAG | attribute(is),
        Kind::TypeTag { attribute: is, .. } => Features::BTF_TYPE_TAG | attribute(is),
        Kind::Enum64 { .. } | Kind::Enum { signed: true, .. } => Features::BTF_ENUM64,
        Kind::Composite { bitfields: true, .. } | Kind::Fwd { union: true } => Features::BTF_KIND_FLAG,
        Kind::Void
        | Kind::Int { .. }
        | Kind::Ptr(_)
        | Kind::Array { .. }
        | Kind::Composite { .. }
        | Kind::Enum { .. }
        | Kind::Fwd { .. }
        | Kind::Typedef(_)
        | Kind::Volatile(_)
        | Kind::Const(_)
        | Kind::Restrict(_) => Features::empty(),
    }
}

struct Lowering<'b> {
    btf: &'b Btf,
    has: Features,
    /// The strings, with new names behind the old ones: parts of old ones may be names of something else.
    strings: Vec<u8>,
    /// The type behind the last one, for members of unions that were enumerations, once there are some.
    byte: Option<TypeId>,
}

impl Lowering<'_> {
    fn lowered(&mut self, ty: &Type) -> Type {
        let missing = needs(self.btf, ty).difference(self.has);
        if missing.is_empty() {
            return ty.clone();
        }
        let named = |kind| Type { name: ty.name, kind };
        let nameless = |kind| Type { name: StrOff(0), kind };
        match &ty.kind {
            Kind::Var { .. } | Kind::DeclTag { .. } => named(BYTE),
            Kind::Datasec { size, vars } if missing != Features::BTF_QUESTION_MARK => {
                let kind = self.structure(*size, vars);
                Type { name: self.identifier(ty.name), kind }
            }
            Kind::Datasec { .. } => Type { name: self.without_question_mark(ty.name), kind: ty.kind.clone() },
            // Its parameters may have no names, which enumerators must have.
            Kind::FuncProto { .. } => nameless(Kind::Enum { size: 4, signed: false, values: Vec::new() }),
            Kind::Func { proto, .. } if missing.contains(Features::FUNC_INFO) => named(Kind::Typedef(*proto)),
            Kind::Func { proto, .. } => named(Kind::Func { proto: *proto, linkage: Linkage::STATIC }),
            // `double` is no name for a structure.
            Kind::Float { size } => nameless(empty(false, *size)),
            Kind::TypeTag { target, .. } => nameless(Kind::Const(*target)),
            Kind::Enum { size, values, .. } => {
                named(Kind::Enum { size: *size, signed: false, values: values.clone() })
            }
            Kind::Enum64 { size, values, .. } => named(self.union(*size, values)),
            Kind::Composite { union, size, .. } => named(empty(*union, *size)),
            Kind::Fwd { .. } => named(Kind::Fwd { union: false }),
            Kind::Void
            | Kind::Int { .. }
            | Kind::Ptr(_)
            | Kind::Array { .. }
            | Kind::Typedef(_)
            | Kind::Volatile(_)
            | Kind::Const(_)
            | Kind::Restrict(_) => ty.clone(),
        }
    }

    /// A section of variables as a structure.
    fn structure(&mut self, size: u32, vars: &[SecVar]) -> Kind {
        let member = |var: &SecVar| Member {
            // `static` variables of functions have the function's name and a dot before their own.
            name: self.identifier(self.btf.get(var.var).map_or(StrOff(0), |ty| ty.name)),
            ty: var.var,
            bit_offset: var.offset.saturating_mul(8),
            bit_size: 0,
        };
        let members = vars.iter().map(member).collect();
        Kind::Composite { union: false, size, members, bitfields: false }
    }

    /// A wide enumeration as a union: nothing that old kernels know has names for 64-bit values.
    fn union(&mut self, size: u32, values: &[(StrOff, u64)]) -> Kind {
        let behind = TypeId(u32::try_from(self.btf.types.len()).unwrap_or(u32::MAX));
        let ty = *self.byte.get_or_insert(behind);
        let member = |(name, _): &(StrOff, u64)| Member { name: *name, ty, bit_offset: 0, bit_size: 0 };
        let members = values.iter().map(member).collect();
        Kind::Composite { union: true, size, members, bitfields: false }
    }

    /// The name with underscores in place of what no name in C has: `.rodata` is no name for a structure.
    fn identifier(&mut self, name: StrOff) -> StrOff {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let text = self.btf.string(name);
        if text.chars().all(fits) {
            return name;
        }
        let text: String = text.chars().map(|c| if fits(c) { c } else { '_' }).collect();
        self.add(&text)
    }

    fn without_question_mark(&mut self, name: StrOff) -> StrOff {
        let text = self.btf.string(name).replacen('?', "_", 1);
        self.add(&text)
    }

    fn add(&mut self, text: &str) -> StrOff {
        let at = u32::try_from(self.strings.len()).unwrap_or(0);
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        StrOff(at)
    }
}

/// A structure or union of which only the size is known.
const fn empty(union: bool, size: u32) -> Kind {
    Kind::Composite { union, size, members: Vec::new(), bitfields: false }
}
