//! The types of this machine's kernel, looked through for what an object asks of them.
//!
//! Nothing is read unless the object asks; modules are looked through only where the kernel itself has no answer.

use std::os::fd::AsFd;

use super::LoadError;
use crate::btf::{BtfError, TargetBtf, Wanted};
use crate::core_relo::KernelTypes;
use crate::externs;
use crate::features::Machine;
use crate::link::{self, LinkedObject};
use crate::spec::{ObjectSpec, TargetProgram};
use crate::sys::host::{self, BtfFile};
use crate::sys::{Kernel, Named};
use crate::target::{self, Answers};

/// Which types code is fitted to (CO-RE).
#[derive(Clone, Copy, Debug, Default)]
pub enum CodeTypes<'a> {
    /// Those of the running kernel and of its modules.
    #[default]
    Running,
    /// These, as they stand in `/sys/kernel/btf/vmlinux` of some kernel.
    Given(&'a [u8]),
}

/// Links an object for this machine: finds out what its externs are, asks the kernel's types what it asks of them.
///
/// Reads the kernel's configuration, symbols and types only if something asks for them.
///
/// # Errors
/// [`LoadError::Kconfig`] if a configuration value does not fit the object's variable, [`LoadError::Types`] if the types
/// are damaged.
pub fn link_for(
    mut spec: ObjectSpec,
    machine: &Machine,
    code: CodeTypes<'_>,
) -> Result<LinkedObject, LoadError> {
    if !spec.externs.is_empty() {
        let facts = host::facts(&externs::needs(&spec));
        externs::resolve(&mut spec, machine, &facts)?;
    }
    let answers = answers(&spec, code)?;
    Ok(link::link_with(spec, answers))
}

/// What is to be known of another program before those of an object can attach to its functions: for
/// [`ProgramSpec::of`](crate::spec::ProgramSpec::of). `name` is what it goes by in errors and recordings.
///
/// Since: Linux 5.5.
///
/// # Errors
/// [`LoadError::Info`] with the errno.
pub fn target_program<K: Kernel>(
    kernel: &K,
    name: &str,
    program: impl AsFd,
) -> Result<TargetProgram, LoadError> {
    let handle = Named { name, fd: program.as_fd() };
    let found = kernel.prog_functions(handle).map_err(|errno| LoadError::Info {
        what: format!("program {name}, whose function is to be attached to"),
        command: "BPF_OBJ_GET_INFO_BY_FD",
        errno,
    })?;
    Ok(TargetProgram { name: name.to_string(), types: found.types, functions: found.functions })
}

fn answers(spec: &ObjectSpec, code: CodeTypes<'_>) -> Result<Answers, LoadError> {
    let (mut wanted, of_kernel) = (target::needs_of_code(spec), target::needs_of_kernel(spec));
    let CodeTypes::Given(bytes) = code else {
        wanted.merge(of_kernel);
        return with_running(&wanted, |kernel| target::answer(spec, kernel, kernel));
    };
    let given = scan("the types that were given", bytes, None, &wanted)?;
    let given = KernelTypes { vmlinux: Some(&given), modules: Vec::new() };
    with_running(&of_kernel, |kernel| target::answer(spec, &given, kernel))
}

/// Calls `ask` with what the running kernel shows about these names; with nothing if there are none.
fn with_running<T>(wanted: &Wanted, ask: impl FnOnce(&KernelTypes<'_>) -> T) -> Result<T, LoadError> {
    let file = if wanted.is_empty() { None } else { host::vmlinux_btf() };
    let Some(file) = file else {
        return Ok(ask(&KernelTypes::default()));
    };
    let vmlinux = scan("vmlinux", file.bytes(), None, wanted)?;
    let mut kernel = KernelTypes { vmlinux: Some(&vmlinux), modules: Vec::new() };
    let files = if target::needs_modules(&kernel, wanted) { host::module_btfs() } else { Vec::new() };
    for (name, file) in &files {
        // One module with types that cannot be read is no reason to do without the others.
        if let Ok(btf) = scan(name, BtfFile::bytes(file), Some(&vmlinux), wanted) {
            kernel.modules.push((name.clone(), btf));
        }
    }
    Ok(ask(&kernel))
}

fn scan<'d>(
    whose: &str,
    bytes: &'d [u8],
    base: Option<&'d TargetBtf<'d>>,
    wanted: &Wanted,
) -> Result<TargetBtf<'d>, LoadError> {
    let failed = |why: BtfError| LoadError::Types { whose: whose.to_string(), why };
    TargetBtf::scan(bytes, base, wanted).map_err(failed)
}
