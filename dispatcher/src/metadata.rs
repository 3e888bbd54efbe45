//! What types (BTF) say: the version of a dispatcher, and how a program wants to be called.
//!
//! Numbers stand in types as lengths of arrays: a variable that points to an array of seven elements says 7, whatever it
//! holds. `.xdp_run_config` is read here and nowhere else; no map is ever made of that section.
//!
//! Source: what xdp-tools' macros `XDP_RUN_CONFIG` and `__uint` make the compiler write.

use alloc::format;
use alloc::string::{String, ToString};

use rxdp_loader::btf::{Btf, Kind, Linkage, TypeGraph, TypeId};

use crate::actions::{Actions, NAMES};

/// The section that says how programs want to be called.
pub const RUN_CONFIG: &str = ".xdp_run_config";

/// The section that says of which version a dispatcher is.
const METADATA: &str = "xdp_metadata";

/// The variable that does.
const VERSION: &str = "dispatcher_version";

/// How a program wants to be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunConfig {
    /// Its place among the others: lower numbers are called first.
    pub priority: u32,
    /// The verdicts after which the next program is called.
    pub actions: Actions,
}

impl Default for RunConfig {
    /// What counts where nobody says: priority 50, and on after `XDP_PASS`.
    fn default() -> Self {
        Self { priority: 50, actions: Actions::default() }
    }
}

/// Why a program does not say how it wants to be called.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The variable is no structure.
    #[error(
        "variable {variable:?} in section \".xdp_run_config\" is no structure: declare it with XDP_RUN_CONFIG"
    )]
    NoStructure {
        /// The variable.
        variable: String,
    },
    /// A member that means nothing.
    #[error(
        "variable {variable:?} in section \".xdp_run_config\" has a member {member:?}, which means nothing; there are priority, XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX and XDP_REDIRECT"
    )]
    UnknownMember {
        /// The variable.
        variable: String,
        /// The member.
        member: String,
    },
    /// A member whose type says no number.
    #[error(
        "variable {variable:?} in section \".xdp_run_config\": the type of member {member:?} says no number; write __uint({member}, NUMBER)"
    )]
    NoNumber {
        /// The variable.
        variable: String,
        /// The member.
        member: String,
    },
}

/// The version of a dispatcher with these types; `None` if they do not say.
pub fn version(btf: &Btf) -> Option<u32> {
    let ty = variable(btf, METADATA, VERSION)?;
    number(btf, ty)
}

/// How the program of this function wants to be called; the defaults where it does not say.
///
/// # Errors
/// [`MetadataError`]: it says something that cannot be understood.
pub fn run_config(btf: &Btf, function: &str) -> Result<RunConfig, MetadataError> {
    let name = format!("_{function}");
    let Some(ty) = variable(btf, RUN_CONFIG, &name) else {
        return Ok(RunConfig::default());
    };
    let variable = || name.clone();
    let Some((_, ty)) = btf.behind(ty) else {
        return Err(MetadataError::NoStructure { variable: variable() });
    };
    let Kind::Composite { union: false, members, .. } = &ty.kind else {
        return Err(MetadataError::NoStructure { variable: variable() });
    };
    let mut config = RunConfig::default();
    for member in members {
        let name = btf.string(member.name);
        let value = number(btf, member.ty)
            .ok_or_else(|| MetadataError::NoNumber { variable: variable(), member: name.to_string() })?;
        match verdict(&name) {
            Some(action) => config.actions.set(action, value != 0),
            None if name == "priority" => config.priority = value,
            None => {
                return Err(MetadataError::UnknownMember { variable: variable(), member: name.into_owned() });
            }
        }
    }
    Ok(config)
}

/// The verdict of a member: `XDP_PASS` and its like, in these letters.
fn verdict(member: &str) -> Option<Actions> {
    let name = member.strip_prefix("XDP_")?;
    NAMES.iter().find(|(_, known)| known.to_ascii_uppercase() == name).map(|(action, _)| *action)
}

/// The type of a variable in a section. One that is only declared is none.
fn variable(btf: &Btf, section: &str, name: &str) -> Option<TypeId> {
    let section = btf.find(section, |kind| matches!(kind, Kind::Datasec { .. }))?;
    let Some(Kind::Datasec { vars, .. }) = btf.kind(section) else {
        return None;
    };
    vars.iter().find_map(|var| {
        let found = btf.get(var.var)?;
        let Kind::Var { ty, linkage: Linkage::STATIC | Linkage::GLOBAL } = found.kind else {
            return None;
        };
        btf.is_named(found.name, name).then_some(ty)
    })
}

/// The number that a type says: a pointer to an array says its length.
fn number(btf: &Btf, ty: TypeId) -> Option<u32> {
    let (_, pointer) = btf.behind(ty)?;
    let Kind::Ptr(to) = pointer.kind else {
        return None;
    };
    if let Kind::Array { len, .. } = btf.behind(to)?.1.kind { Some(len) } else { None }
}
