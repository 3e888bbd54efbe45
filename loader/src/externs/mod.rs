//! Externs that need no kernel BTF: what the kernel was configured with, and where its symbols are.
//!
//! [`needs`] says what must be known of the machine, [`resolve`] puts it into the object. Nothing is read here: the
//! facts come in as an argument ([`crate::sys::host`] gathers them).
//!
//! Source: libbpf `bpf_object__resolve_externs`, `set_kcfg_value`.

mod kconfig;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::features::{Features, Machine};
use crate::spec::{ExternKind, ExternValue, KconfigSource, ObjectSpec};

pub use kconfig::KconfigError;

/// What must be known to resolve an object's externs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// The kernel's configuration.
    pub kconfig: bool,
    /// Addresses of these kernel symbols.
    pub ksyms: BTreeSet<String>,
    /// Whether there are kprobes.
    pub kprobes: bool,
}

/// What is known of the machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The kernel's configuration as text, `CONFIG_X=y` a line; `None` if it could not be read.
    pub kconfig: Option<String>,
    /// Addresses of kernel symbols. One that is not here does not exist.
    pub ksyms: BTreeMap<String, u64>,
    /// Whether kprobes can be attached.
    pub kprobes: bool,
}

impl Needs {
    /// Whether nothing must be known.
    pub fn is_empty(&self) -> bool {
        !self.kconfig && !self.kprobes && self.ksyms.is_empty()
    }
}

/// What must be known to resolve this object's externs.
pub fn needs(spec: &ObjectSpec) -> Needs {
    let mut needs = Needs::default();
    for (name, external) in &spec.externs {
        match external.kind {
            ExternKind::Kconfig { .. } => {
                needs.kconfig |= name.starts_with("CONFIG_");
                needs.kprobes |= name == kconfig::SYSCALL_WRAPPER;
            }
            ExternKind::Address => {
                needs.ksyms.insert(name.clone());
            }
            ExternKind::Typed { .. } | ExternKind::Unknown => {}
        }
    }
    needs
}

/// Gives every extern its value, as far as the facts go.
///
/// One that has none, and is not weak, stands in the way of the programs that refer to it, not of the others.
///
/// # Errors
/// [`KconfigError`] if a configuration value does not fit the type that the object declares for it.
pub fn resolve(spec: &mut ObjectSpec, machine: &Machine, facts: &Facts) -> Result<(), KconfigError> {
    let config = facts.kconfig.as_deref().map(kconfig::Config::parse).unwrap_or_default();
    let mut machine = *machine;
    // Wrappers are for kprobes: libbpf looks for them by attaching one.
    machine.features.set(
        Features::SYSCALL_WRAPPER,
        machine.features.contains(Features::SYSCALL_WRAPPER) && facts.kprobes,
    );
    let mut written = Vec::new();
    for (name, external) in &mut spec.externs {
        external.value = match &external.kind {
            ExternKind::Kconfig { map, offset, form, size } => {
                let found = kconfig::value(name, *form, *size, &config, &machine)?;
                let known = found.is_some() || external.weak;
                let (bytes, said) = found.unzip();
                external.said = Some(said.unwrap_or(KconfigSource::Nobody { weak: external.weak }));
                written.extend(bytes.map(|bytes| (*map, *offset, bytes)));
                known.then_some(ExternValue::MapValue { map: *map, offset: *offset })
            }
            ExternKind::Address => match facts.ksyms.get(name) {
                Some(address) => Some(ExternValue::Address(*address)),
                None => external.weak.then_some(ExternValue::Address(0)),
            },
            // Found in the kernel's types, not here.
            ExternKind::Typed { .. } => None,
            ExternKind::Unknown => external.weak.then_some(ExternValue::Address(0)),
        };
    }
    for (map, offset, bytes) in written {
        let data = spec.maps.get_mut(map.index()).and_then(|map| map.data.as_mut());
        let room = data.and_then(|data| data.get_mut(crate::bytes::to_usize(offset)..));
        if let Some(room) = room.and_then(|room| room.get_mut(..bytes.len())) {
            room.copy_from_slice(&bytes);
        }
    }
    Ok(())
}
