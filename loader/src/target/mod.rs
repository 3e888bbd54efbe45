//! What an object asks of the types of the kernel that it is to run on, and the answers.
//!
//! [`needs_of_code`] and [`needs_of_kernel`] say which names must be looked for, [`answer`] gives every question its answer: instructions that depend on
//! types (CO-RE), functions and hooks to attach to, the kernel's variables and functions. The types come in as an
//! argument. A question without an answer stands in the way of the programs that ask it, not of the others.
#![expect(clippy::wildcard_enum_match_arm, reason = "questions are about few of the many kinds of types")]

mod attach;
mod ksyms;
mod prototype;
mod struct_ops;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::btf::Wanted;
use crate::core_relo::{self, CoreError, Fixup, KernelTypes, Resolver};
use crate::spec::{FuncId, MapId, ObjectSpec, ProgId};

pub use attach::{Attach, AttachError};
pub use ksyms::{Ksym, KsymError};
pub use struct_ops::{KernelOps, StructOpsError};

/// The answers for one object and one kernel. By default nobody was asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// For each function, in the object's order, an answer to each of its CO-RE records.
    pub fixups: Vec<Vec<Result<Fixup, CoreError>>>,
    /// Where programs attach that need a type of the kernel for it.
    pub attach: BTreeMap<ProgId, Result<Attach, AttachError>>,
    /// What tables of functions look like in the kernel.
    pub struct_ops: BTreeMap<MapId, Result<KernelOps, StructOpsError>>,
    /// The kernel's variables and functions, by the name in the object.
    pub ksyms: BTreeMap<String, Ksym>,
    /// Modules that an answer refers to, by name: [`core_relo::Location::module`] is the position here.
    pub modules: Vec<String>,
}

impl Answers {
    /// The answers for a function's records; none if nobody was asked.
    pub fn fixups_of(&self, func: FuncId) -> &[Result<Fixup, CoreError>] {
        self.fixups.get(func.index()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Names that must be looked for in the types that code is fitted to. Empty: they need not be read.
pub fn needs_of_code(spec: &ObjectSpec) -> Wanted {
    let mut wanted = Wanted::default();
    let records =
        spec.functions.iter().flat_map(|function| function.core_relos.iter().map(|(_, record)| record));
    if let Some(btf) = &spec.btf {
        core_relo::wanted(btf, records, &mut wanted);
    }
    wanted
}

/// Names that must be looked for in the types of the running kernel: those of what the object attaches to, calls and
/// reads. Empty: they need not be read.
pub fn needs_of_kernel(spec: &ObjectSpec) -> Wanted {
    let mut wanted = Wanted::default();
    attach::wanted(spec, &mut wanted);
    ksyms::wanted(spec, &mut wanted);
    struct_ops::wanted(spec, &mut wanted);
    wanted
}

/// Whether some of the names are not in the kernel itself, so that its modules must be looked through.
pub fn needs_modules(kernel: &KernelTypes<'_>, wanted: &Wanted) -> bool {
    kernel.vmlinux.is_some_and(|btf| wanted.names().any(|name| btf.named(name).is_empty()))
}

/// Answers all questions. `code` are the types that code is fitted to: those of the running kernel, or others that
/// somebody gave.
pub fn answer(spec: &ObjectSpec, code: &KernelTypes<'_>, kernel: &KernelTypes<'_>) -> Answers {
    let mut attach = attach::answer(spec, kernel);
    Answers {
        struct_ops: struct_ops::answer(spec, kernel, &mut attach),
        attach,
        fixups: fixups(spec, code),
        ksyms: ksyms::answer(spec, kernel),
        modules: kernel.modules.iter().map(|(name, _)| name.clone()).collect(),
    }
}

fn fixups(spec: &ObjectSpec, kernel: &KernelTypes<'_>) -> Vec<Vec<Result<Fixup, CoreError>>> {
    let Some(btf) = &spec.btf else {
        return Vec::new();
    };
    let records = spec.functions.iter().map(|function| function.core_relos.len()).sum();
    let mut resolver = Resolver::new(btf, kernel, spec.endian).with_room(records);
    let mut of = |records: &[(_, _)]| records.iter().map(|(_, record)| resolver.resolve(record)).collect();
    spec.functions.iter().map(|function| of(&function.core_relos)).collect()
}
