//! The type graph: types by number, and the strings their names stand in.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::encode;
use crate::bytes::{before_nul, text, to_usize};

/// Number of a type; 0 is `void`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TypeId(pub u32);

/// Position of a string in the string section, in **bytes**; 0 is the empty string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StrOff(pub u32);

/// All types of one object, by [`TypeId`], with `void` at 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Btf {
    /// The types.
    pub types: Vec<Type>,
    /// The string section as it stands in the file.
    pub strings: Vec<u8>,
}

/// One type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Type {
    /// Its name; 0 if it has none.
    pub name: StrOff,
    /// What it is.
    pub kind: Kind,
}

/// What a type is. Source: `BTF_KIND_*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Type 0.
    Void,
    /// An integer: size in **bytes**, and the kernel's word of encoding, bit offset and bit count.
    Int {
        /// Size in **bytes**.
        size: u32,
        /// `BTF_INT_ENCODING`, `_OFFSET` and `_BITS` in one word.
        detail: u32,
    },
    /// A pointer.
    Ptr(TypeId),
    /// An array.
    Array {
        /// Type of an element.
        element: TypeId,
        /// Type of the index.
        index: TypeId,
        /// Number of elements.
        len: u32,
    },
    /// A structure or a union.
    Composite {
        /// Whether it is a union.
        union: bool,
        /// Size in **bytes**.
        size: u32,
        /// The members, in order.
        members: Vec<Member>,
        /// `kind_flag`: some member is a bitfield.
        bitfields: bool,
    },
    /// An enumeration of 32-bit values or less.
    Enum {
        /// Size in **bytes**.
        size: u32,
        /// `kind_flag`: the values are signed.
        signed: bool,
        /// Names and values.
        values: Vec<(StrOff, u32)>,
    },
    /// An enumeration of 64-bit values. Since: Linux 6.0.
    Enum64 {
        /// Size in **bytes**.
        size: u32,
        /// `kind_flag`: the values are signed.
        signed: bool,
        /// Names and values.
        values: Vec<(StrOff, u64)>,
    },
    /// A structure or union that is only declared.
    Fwd {
        /// Whether it is a union.
        union: bool,
    },
    /// Another name for a type.
    Typedef(TypeId),
    /// `volatile`.
    Volatile(TypeId),
    /// `const`.
    Const(TypeId),
    /// `restrict`.
    Restrict(TypeId),
    /// A tag on a pointed-to type. Since: Linux 5.17.
    TypeTag {
        /// The type it is on.
        target: TypeId,
        /// `kind_flag`: a plain attribute rather than a tag. Since: Linux 6.15.
        attribute: bool,
    },
    /// A tag on a declaration. Since: Linux 5.16.
    DeclTag {
        /// The declaration it is on.
        target: TypeId,
        /// Member or parameter number; -1 for the declaration itself.
        component: i32,
        /// `kind_flag`: a plain attribute rather than a tag. Since: Linux 6.15.
        attribute: bool,
    },
    /// A function.
    Func {
        /// Its prototype.
        proto: TypeId,
        /// Who can see it.
        linkage: Linkage,
    },
    /// A function's prototype.
    FuncProto {
        /// Type of what it returns.
        ret: TypeId,
        /// Its parameters.
        params: Vec<Param>,
    },
    /// A variable.
    Var {
        /// Its type.
        ty: TypeId,
        /// Who can see it.
        linkage: Linkage,
    },
    /// A section of variables. Since: Linux 5.2.
    Datasec {
        /// Size in **bytes**; clang leaves 0 and the loader fills it in.
        size: u32,
        /// The variables in it.
        vars: Vec<SecVar>,
    },
    /// A floating-point number of `size` **bytes**. Since: Linux 5.13.
    Float {
        /// Size in **bytes**.
        size: u32,
    },
}

bitflags::bitflags! {
    /// Kinds of types, a bit each: `1 << BTF_KIND_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct KindSet: u32 {
        /// Integers.
        const INT = 1 << encode::INT;
        /// Pointers.
        const PTR = 1 << encode::PTR;
        /// Arrays.
        const ARRAY = 1 << encode::ARRAY;
        /// Structures.
        const STRUCT = 1 << encode::STRUCT;
        /// Unions.
        const UNION = 1 << encode::UNION;
        /// Enumerations of either width.
        const ENUM = 1 << encode::ENUM | 1 << encode::ENUM64;
        /// Structures and unions that are only declared.
        const FWD = 1 << encode::FWD;
        /// Other names for types.
        const TYPEDEF = 1 << encode::TYPEDEF;
        /// Qualifiers and tags.
        const QUALIFIED = 1 << encode::VOLATILE | 1 << encode::CONST | 1 << encode::RESTRICT | 1 << encode::TYPE_TAG;
        /// Tags on declarations.
        const DECL_TAG = 1 << encode::DECL_TAG;
        /// Functions.
        const FUNC = 1 << encode::FUNC;
        /// Prototypes.
        const FUNC_PROTO = 1 << encode::FUNC_PROTO;
        /// Variables.
        const VAR = 1 << encode::VAR;
        /// Sections of variables.
        const DATASEC = 1 << encode::DATASEC;
        /// Floating-point numbers.
        const FLOAT = 1 << encode::FLOAT;
    }
}

/// A member of a structure or union.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Member {
    /// Its name.
    pub name: StrOff,
    /// Its type.
    pub ty: TypeId,
    /// Where it starts, in **bits**.
    pub bit_offset: u32,
    /// Width of a bitfield in **bits**; 0 if it is none.
    pub bit_size: u32,
}

/// A parameter of a function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Param {
    /// Its name.
    pub name: StrOff,
    /// Its type.
    pub ty: TypeId,
}

/// A variable's place in a section.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SecVar {
    /// The variable.
    pub var: TypeId,
    /// Where it starts, in **bytes** from the section's start.
    pub offset: u32,
    /// Its size in **bytes**.
    pub size: u32,
}

/// Who can see a function or variable. Source: `enum btf_func_linkage`; other numbers are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Linkage(pub u32);

#[expect(clippy::wildcard_enum_match_arm, reason = "each question is about few of the many kinds")]
impl Kind {
    /// Members of a structure or union; none for other kinds.
    pub fn members(&self) -> &[Member] {
        match self {
            Self::Composite { members, .. } => members,
            _ => &[],
        }
    }

    /// Whether it says who can see it.
    pub const fn has_linkage(&self) -> bool {
        matches!(self, Self::Func { .. } | Self::Var { .. })
    }

    /// Whether it is a structure.
    pub const fn is_struct(&self) -> bool {
        matches!(self, Self::Composite { union: false, .. })
    }

    /// What a pointer points to.
    pub const fn pointee(&self) -> Option<TypeId> {
        match self {
            Self::Ptr(to) => Some(*to),
            _ => None,
        }
    }

    /// The kinds that count as this one when types are compared.
    pub const fn like(&self) -> KindSet {
        match self {
            Self::Void => KindSet::empty(),
            Self::Int { .. } => KindSet::INT,
            Self::Ptr(_) => KindSet::PTR,
            Self::Array { .. } => KindSet::ARRAY,
            Self::Composite { union: false, .. } => KindSet::STRUCT,
            Self::Composite { union: true, .. } => KindSet::UNION,
            Self::Enum { .. } | Self::Enum64 { .. } => KindSet::ENUM,
            Self::Fwd { .. } => KindSet::FWD,
            Self::Typedef(_) => KindSet::TYPEDEF,
            Self::Volatile(_) | Self::Const(_) | Self::Restrict(_) | Self::TypeTag { .. } => {
                KindSet::QUALIFIED
            }
            Self::DeclTag { .. } => KindSet::DECL_TAG,
            Self::Func { .. } => KindSet::FUNC,
            Self::FuncProto { .. } => KindSet::FUNC_PROTO,
            Self::Var { .. } => KindSet::VAR,
            Self::Datasec { .. } => KindSet::DATASEC,
            Self::Float { .. } => KindSet::FLOAT,
        }
    }

    /// Number of an enumeration's values, of either width; `None` for other kinds.
    pub fn enumerators(&self) -> Option<usize> {
        match self {
            Self::Enum { values, .. } => Some(values.len()),
            Self::Enum64 { values, .. } => Some(values.len()),
            _ => None,
        }
    }

    /// Name and value number `at` of an enumeration of either width. The 32 bits of the narrow one are widened with their
    /// sign, whether it has one or not, as libbpf does.
    pub fn enumerator(&self, at: usize) -> Option<(StrOff, u64)> {
        match self {
            Self::Enum { values, .. } => values.get(at).map(|(name, value)| {
                let wide = i64::from(crate::bytes::signed(*value));
                (*name, u64::from_ne_bytes(wide.to_ne_bytes()))
            }),
            Self::Enum64 { values, .. } => values.get(at).copied(),
            _ => None,
        }
    }
}

impl TypeId {
    /// The number as an index.
    pub const fn index(self) -> usize {
        to_usize(self.0)
    }
}

impl Linkage {
    /// `static`.
    pub const STATIC: Self = Self(0);
    /// Global. Since: Linux 5.6 for functions.
    pub const GLOBAL: Self = Self(1);
    /// Declared here, defined elsewhere.
    pub const EXTERN: Self = Self(2);
}

/// Longest string that is looked at, in **bytes**; what is longer is cut, so that a file cannot make every type that
/// names one string cost as much as the file. The kernel takes no name of 512 bytes or more. Source: `KSYM_NAME_LEN`.
const MAX_STRING: usize = 1024;

/// The string that begins at this **byte**.
pub(super) fn string_at(strings: &[u8], at: usize) -> &[u8] {
    let rest = strings.get(at..).unwrap_or_default();
    before_nul(rest.get(..MAX_STRING).unwrap_or(rest))
}

impl Btf {
    /// The type with this number.
    pub fn get(&self, id: TypeId) -> Option<&Type> {
        self.types.get(id.index())
    }

    /// What the type with this number is; `None` if there is no such type.
    pub fn kind(&self, id: TypeId) -> Option<&Kind> {
        self.get(id).map(|ty| &ty.kind)
    }

    /// The string at this position; empty if there is none, cut if it is longer than 1024 **bytes**.
    pub fn string(&self, at: StrOff) -> Cow<'_, str> {
        text(string_at(&self.strings, to_usize(at.0)))
    }

    /// Name of the type with this number; empty if it has none.
    pub fn name(&self, id: TypeId) -> Cow<'_, str> {
        self.get(id).map(|ty| self.string(ty.name)).unwrap_or_default()
    }
}
