//! The kernel's variables and functions that an object declares with their types (`__ksym`).
//!
//! Source: libbpf `bpf_object__resolve_ksym_var_btf_id`, `bpf_object__resolve_ksym_func_btf_id`.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use super::prototype::Both;
use crate::btf::{Btf, Kind, KindSet, TargetBtf, TypeGraph, TypeId, Wanted, essential};
use crate::core_relo::{KernelTypes, Location, Work};
use crate::spec::{Extern, ExternKind, ObjectSpec};

/// What became of a variable or function of the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ksym {
    /// It is there.
    Found(Location),
    /// It is not there, and the object can do without.
    Without(KsymError),
    /// It is not there, and the object needs it.
    Missing(KsymError),
}

/// Why a variable or function of the kernel cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KsymError {
    /// The kernel shows no types.
    #[error("the kernel shows no types to find it in (needs Linux 5.4 with CONFIG_DEBUG_INFO_BTF)")]
    NoTypes,
    /// It is not there.
    #[error("neither the kernel nor its modules have such a {what}")]
    NotFound {
        /// `"variable"` or `"function"`.
        what: &'static str,
    },
    /// It is of another type.
    #[error("the {what} of this name in {place} is of another type: {how}")]
    Type {
        /// `"variable"` or `"function"`.
        what: &'static str,
        /// `"vmlinux"`, or the module.
        place: String,
        /// The first thing in which they differ.
        how: String,
    },
}

/// Adds the names of the externs that the kernel's types must have.
pub(super) fn wanted(spec: &ObjectSpec, wanted: &mut Wanted) {
    for (name, external) in typed(spec) {
        let function = matches!(external.kind, ExternKind::Typed { function: true, .. });
        wanted.add(name.as_bytes(), if function { KindSet::FUNC } else { KindSet::VAR });
    }
}

fn typed(spec: &ObjectSpec) -> impl Iterator<Item = (&String, &Extern)> {
    spec.externs.iter().filter(|(_, external)| matches!(external.kind, ExternKind::Typed { .. }))
}

/// Finds all of them.
pub(super) fn answer(spec: &ObjectSpec, kernel: &KernelTypes<'_>) -> BTreeMap<String, Ksym> {
    let Some(btf) = &spec.btf else {
        return BTreeMap::new();
    };
    let work = Work::default();
    let found = typed(spec).map(|(name, external)| (name.clone(), one(btf, name, external, kernel, &work)));
    found.collect()
}

fn one(btf: &Btf, name: &str, external: &Extern, kernel: &KernelTypes<'_>, work: &Work) -> Ksym {
    let ExternKind::Typed { ty, function } = external.kind else {
        return Ksym::Missing(KsymError::NoTypes);
    };
    let what = if function { "function" } else { "variable" };
    // Several declarations of one kernel function, for kernels that differ, are told apart by flavours.
    let name = if function { essential(name.as_bytes()) } else { name.as_bytes() };
    let is_it = |kind: &Kind| match kind {
        Kind::Func { .. } => function,
        Kind::Var { .. } => !function,
        _ => false,
    };
    let found = kernel.all().find_map(|(module, btf)| Some((module, btf, btf.find(name, is_it)?)));
    let Some((module, target, id)) = found else {
        let why = if kernel.vmlinux.is_none() { KsymError::NoTypes } else { KsymError::NotFound { what } };
        return if external.weak { Ksym::Without(why) } else { Ksym::Missing(why) };
    };
    let both = Both { own: btf, other: target, kernel, module, work };
    let other = type_of(target, id);
    if other.is_some_and(|other| both.are_compatible(ty, other)) {
        return Ksym::Found(Location { module, id });
    }
    let place = module.and_then(|at| kernel.modules.get(at)).map_or("vmlinux", |(name, _)| name.as_str());
    let why = KsymError::Type {
        what,
        place: place.to_string(),
        how: both.difference(ty, other.unwrap_or_default()),
    };
    if external.weak && function { Ksym::Without(why) } else { Ksym::Missing(why) }
}

/// The type of a function or variable.
fn type_of(target: &TargetBtf<'_>, id: TypeId) -> Option<TypeId> {
    match &target.ty(id)?.kind {
        Kind::Func { proto, .. } => Some(*proto),
        Kind::Var { ty, .. } => target.behind(*ty).map(|(id, _)| id),
        _ => None,
    }
}
