//! Variables and functions that the object declares but does not define, and how BTF must speak of them.
//!
//! `.kconfig` variables get a map of their own, laid out here. The kernel knows no extern variables in BTF, so they are
//! declared as if they were defined; `.ksyms` become dummies, as nothing reads them.
//!
//! Source: libbpf `bpf_object__collect_externs`.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{MapId, MapOrigin, MapSpec, SpecError, data};
use crate::btf::{Btf, Editor, Kind, Linkage, SecVar, StrOff, Type, TypeGraph, TypeId, TypeReason};
use crate::bytes::to_usize;
use crate::elf::{Binding, ElfObject, Place};
use crate::uapi::{MapFlags, MapType};

/// Something that the object declares and the kernel, or its configuration, defines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extern {
    /// Whether the object can do without it.
    pub weak: bool,
    /// What it is.
    pub kind: ExternKind,
    /// What it turned out to be; `None` until [`crate::externs::resolve`] has found out, and if it could not.
    pub value: Option<ExternValue>,
    /// Who said what a variable of `.kconfig` is; `None` until somebody was asked.
    pub said: Option<KconfigSource>,
}

/// Who says what a variable of `.kconfig` is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KconfigSource {
    /// The kernel's configuration: what stands there behind `=`.
    Configuration(String),
    /// The loader knows it of the kernel.
    Loader,
    /// Nobody: the configuration does not mention it, or could not be read.
    Nobody {
        /// Whether the object can do without it. Then it stays 0.
        weak: bool,
    },
}

/// What an extern is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExternKind {
    /// A variable of `.kconfig`.
    Kconfig {
        /// The map of these variables.
        map: MapId,
        /// Where it stands in the map's value, in **bytes**.
        offset: u32,
        /// Its size in **bytes**.
        size: u32,
        /// What its type is.
        form: KconfigForm,
    },
    /// `const void NAME __ksym`: the address of a kernel symbol.
    Address,
    /// A kernel variable with a type, or a kernel function: found in the kernel's BTF.
    Typed {
        /// The variable's type behind typedefs and qualifiers, or the function's prototype.
        ty: TypeId,
        /// Whether it is a function.
        function: bool,
    },
    /// Nothing says what it is.
    Unknown,
}

/// What the type of a `.kconfig` variable is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KconfigForm {
    /// `bool`.
    Bool,
    /// `char`.
    Char {
        /// Whether it is signed.
        signed: bool,
    },
    /// A larger integer.
    Int {
        /// Whether it is signed.
        signed: bool,
    },
    /// `enum libbpf_tristate`.
    Tristate,
    /// An array of `char`.
    Chars,
}

/// What an extern turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExternValue {
    /// A place in a map's value.
    MapValue {
        /// The map.
        map: MapId,
        /// Where in the value, in **bytes**.
        offset: u32,
    },
    /// An address in the kernel; 0 for what is weak and not there.
    Address(u64),
}

const KCONFIG: &str = ".kconfig";
const KSYMS: &str = ".ksyms";

/// All undefined symbols by name, with what BTF says about them. Kconfig variables are to stand in map `next`.
pub(super) fn collect(elf: &ElfObject<'_>, btf: Option<&Btf>, next: MapId) -> BTreeMap<String, Extern> {
    let kconfig = layout(btf);
    let ksyms = vars(btf, KSYMS);
    let undefined = elf.symbols.iter().filter(|s| s.place == Place::Undefined && !s.name.is_empty());
    let externs = undefined.map(|symbol| {
        let kind = match (kconfig.get(symbol.name), btf, ksyms.get(symbol.name)) {
            (Some(k), ..) => ExternKind::Kconfig { map: next, offset: k.offset, size: k.size, form: k.form },
            (None, Some(btf), Some(var)) => ksym(btf, *var),
            (None, ..) => ExternKind::Unknown,
        };
        let weak = symbol.binding == Binding::Weak;
        (symbol.name.to_string(), Extern { weak, kind, value: None, said: None })
    });
    externs.collect()
}

/// Most **bytes** of kconfig variables: the whole configuration of a kernel has a third of it.
const MOST_KCONFIG: u32 = 1 << 20;

/// The map that holds the kconfig variables; `None` if there are none.
pub(super) fn kconfig_map(object: &str, btf: Option<&Btf>) -> Result<Option<MapSpec>, SpecError> {
    let vars = layout(btf);
    let Some(size) = vars.values().map(|v| v.offset.saturating_add(v.size)).max() else {
        return Ok(None);
    };
    if size > MOST_KCONFIG {
        let expected = "and no kernel's configuration is that long";
        return Err(SpecError::SectionSize { section: KCONFIG.to_string(), size: size.into(), expected });
    }
    let value_type = btf.and_then(|btf| btf.find(KCONFIG, |kind| matches!(kind, Kind::Datasec { .. })));
    Ok(Some(MapSpec {
        ty: MapType::ARRAY,
        key_size: 4,
        value_size: size,
        max_entries: 1,
        flags: MapFlags::RDONLY_PROG | MapFlags::MMAPABLE,
        value_type: value_type.unwrap_or_default(),
        data: Some(vec![0; to_usize(size)]),
        frozen: true,
        ..MapSpec::new(&data::map_name(object, KCONFIG), KCONFIG, MapOrigin::Internal)
    }))
}

/// Makes BTF's sections of externs such as the kernel takes.
pub(super) fn fix_btf(types: &mut Editor<'_>) {
    let kconfig = layout(Some(types.btf()));
    let dummies = has_ksyms(types.btf()).then(|| Dummies::new(types));
    let mut dummy_var = None;
    for id in (0u32..).map(TypeId).take(types.btf().types.len()) {
        let Some(Type { name, kind: Kind::Datasec { vars, .. } }) = types.btf().get(id) else {
            continue;
        };
        let (section, vars) = (types.btf().string(*name).into_owned(), vars.clone());
        let (fixed, reason) = match (section.as_str(), dummies) {
            (KCONFIG, _) => (fix_kconfig(types, vars, &kconfig), TypeReason::Kconfig),
            (KSYMS, Some(dummies)) => (fix_ksyms(types, vars, dummies, &mut dummy_var), TypeReason::Ksyms),
            _ => continue,
        };
        let end = |var: &SecVar| var.offset.saturating_add(var.size);
        let size = fixed.iter().map(end).max().unwrap_or(0);
        types.set(id, Kind::Datasec { size, vars: fixed }, reason);
    }
}

fn fix_kconfig(
    types: &mut Editor<'_>,
    vars: Vec<SecVar>,
    layout: &BTreeMap<String, Variable>,
) -> Vec<SecVar> {
    let mut fixed: Vec<SecVar> = vars
        .into_iter()
        .map(|var| {
            types.set_linkage(var.var, Linkage::GLOBAL, TypeReason::Kconfig);
            let place = layout.get(types.btf().name(var.var).as_ref());
            place.map_or(var, |v| SecVar { var: var.var, offset: v.offset, size: v.size })
        })
        .collect();
    fixed.sort_by_key(|var| var.offset);
    fixed
}

/// Functions in `.ksyms` become one dummy variable, variables become integers: all that counts is that it is valid.
fn fix_ksyms(
    types: &mut Editor<'_>,
    vars: Vec<SecVar>,
    Dummies { int, name }: Dummies,
    dummy_var: &mut Option<TypeId>,
) -> Vec<SecVar> {
    let mut fixed = Vec::with_capacity(vars.len());
    for (at, var) in (0u32..).zip(vars) {
        let offset = at.saturating_mul(4);
        let integer = Kind::Var { ty: int, linkage: Linkage::GLOBAL };
        let stands_for = match types.btf().kind(var.var) {
            Some(Kind::Func { proto, .. }) => {
                name_parameters(types, *proto, name);
                types.set_linkage(var.var, Linkage::GLOBAL, TypeReason::Ksyms);
                *dummy_var.get_or_insert_with(|| types.push(Type { name, kind: integer }, TypeReason::Ksyms))
            }
            Some(Kind::Var { .. }) => {
                types.set(var.var, integer, TypeReason::Ksyms);
                var.var
            }
            _ => var.var,
        };
        fixed.push(SecVar { var: stands_for, offset, size: 4 });
    }
    fixed
}

/// The kernel wants names for the parameters of functions that are defined, as these now pretend to be.
fn name_parameters(types: &mut Editor<'_>, proto: TypeId, dummy: StrOff) {
    let Some(Kind::FuncProto { ret, mut params }) = types.btf().kind(proto).cloned() else {
        return;
    };
    for param in params.iter_mut().filter(|p| p.ty != TypeId(0) && p.name == StrOff(0)) {
        param.name = dummy;
    }
    types.set(proto, Kind::FuncProto { ret, params }, TypeReason::Ksyms);
}

/// What stands for what nobody reads.
#[derive(Clone, Copy)]
struct Dummies {
    /// A 4-byte integer.
    int: TypeId,
    /// A name for what has none.
    name: StrOff,
}

impl Dummies {
    /// The object's own, or new ones.
    fn new(types: &mut Editor<'_>) -> Self {
        const NAME: &[u8] = b"dummy_ksym";
        let there = types.btf().strings.windows(NAME.len().saturating_add(1));
        let there = there.into_iter().position(|w| w.strip_prefix(NAME) == Some(&[0]));
        let name = match there.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => StrOff(at),
            None => types.add_name(NAME),
        };
        let int = types.btf().types.iter().position(|t| matches!(t.kind, Kind::Int { size: 4, .. }));
        let int = match int.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => TypeId(at),
            None => types.push(Type { name, kind: Kind::Int { size: 4, detail: 32 } }, TypeReason::Ksyms),
        };
        Self { int, name }
    }
}

fn has_ksyms(btf: &Btf) -> bool {
    btf.find(KSYMS, |kind| matches!(kind, Kind::Datasec { .. })).is_some()
}

/// The variables of a section of externs, by name.
fn vars(btf: Option<&Btf>, section: &str) -> BTreeMap<String, TypeId> {
    let found = btf.and_then(|btf| {
        let id = btf.find(section, |kind| matches!(kind, Kind::Datasec { .. }))?;
        let Kind::Datasec { vars, .. } = btf.kind(id)? else {
            return None;
        };
        Some(vars.iter().map(|v| (btf.name(v.var).into_owned(), v.var)).collect())
    });
    found.unwrap_or_default()
}

/// `extern const void NAME __ksym` asks for an address only, others are looked for in the kernel's types.
fn ksym(btf: &Btf, of: TypeId) -> ExternKind {
    match btf.kind(of) {
        Some(Kind::Var { ty, .. }) => match btf.behind(*ty) {
            Some((TypeId(0), _)) => ExternKind::Address,
            Some((ty, _)) => ExternKind::Typed { ty, function: false },
            None => ExternKind::Unknown,
        },
        Some(Kind::Func { proto, .. }) => ExternKind::Typed { ty: *proto, function: true },
        _ => ExternKind::Unknown,
    }
}

/// A kconfig variable's place in its map.
#[derive(Clone, Copy)]
struct Variable {
    offset: u32,
    size: u32,
    align: u32,
    form: KconfigForm,
}

/// Where each kconfig variable stands: by falling alignment, then size, then name, as libbpf has them.
fn layout(btf: Option<&Btf>) -> BTreeMap<String, Variable> {
    let Some(btf) = btf else {
        return BTreeMap::new();
    };
    let mut variables: Vec<(String, Variable)> = vars(Some(btf), KCONFIG)
        .into_iter()
        .filter_map(|(name, var)| Some((name, variable(btf, var)?)))
        .collect();
    variables.sort_by(|(a_name, a), (b_name, b)| {
        b.align.cmp(&a.align).then(a.size.cmp(&b.size)).then_with(|| a_name.cmp(b_name))
    });
    let mut end = 0u32;
    for (_, variable) in &mut variables {
        variable.offset = end.checked_next_multiple_of(variable.align.max(1)).unwrap_or(end);
        end = variable.offset.saturating_add(variable.size);
    }
    variables.into_iter().collect()
}

fn variable(btf: &Btf, var: TypeId) -> Option<Variable> {
    let Kind::Var { ty, .. } = btf.kind(var)? else {
        return None;
    };
    let size = btf.size_of(*ty)?;
    let (form, align) = form(btf, *ty, size)?;
    Some(Variable { offset: 0, size, align, form })
}

/// What a kconfig variable is, and its alignment in **bytes**. Source: libbpf `find_kcfg_type`.
#[expect(clippy::wildcard_enum_match_arm, reason = "few of the many kinds can be configured")]
fn form(btf: &Btf, ty: TypeId, size: u32) -> Option<(KconfigForm, u32)> {
    const SIGNED: u32 = 1;
    const BOOL: u32 = 4;
    let (id, found) = btf.behind(ty)?;
    let form = match &found.kind {
        Kind::Int { detail, .. } => {
            let encoding = detail >> 24;
            let signed = encoding & SIGNED != 0;
            match (encoding & BOOL != 0, size) {
                (true, 1) => KconfigForm::Bool,
                (true, _) => return None,
                (false, 1) => KconfigForm::Char { signed },
                (false, 2 | 4 | 8) => KconfigForm::Int { signed },
                (false, _) => return None,
            }
        }
        Kind::Enum { .. } if size == 4 && btf.name(id) == "libbpf_tristate" => KconfigForm::Tristate,
        Kind::Array { element, len, .. } if *len > 0 => {
            let element_size = btf.size_of(*element)?;
            match form(btf, *element, element_size)? {
                (KconfigForm::Char { .. }, _) => return Some((KconfigForm::Chars, 1)),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((form, size))
}
