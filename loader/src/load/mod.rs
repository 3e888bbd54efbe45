//! Carries out a plan: the first room below the kernel line.
//!
//! It makes the calls of a [`LoadPlan`] in order and owns what comes back. If a call fails, everything that was made
//! before is closed again. Nothing is decided here that the plan has not written down.

mod error;
mod loaded;
mod session;
mod verify;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use crate::plan::LoadPlan;
use crate::spec::MapId;
use crate::sys::Kernel;

pub use error::{Blame, LoadError};
pub use loaded::{FilledSlot, LoadedMap, LoadedObject, LoadedProgram};
pub use verify::{MapReport, ProgramReport, Report, verify};

use session::Session;

/// What comes along with a plan.
#[derive(Debug, Default)]
pub struct Given {
    /// Maps that are there already and are used in place of the object's. The plan must know of them
    /// ([`crate::plan::Options::reused`]).
    pub maps: BTreeMap<MapId, OwnedFd>,
    /// How much of the verifier's log is wanted.
    pub log: LogPolicy,
}

/// How much of the verifier's log is wanted when it refuses a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogPolicy {
    /// One more try with a buffer of 64 KiB, which holds the log's end (its beginning before Linux 6.4).
    #[default]
    End,
    /// More tries with growing buffers up to 64 MiB, until the whole log fits.
    Whole,
}

/// Makes all calls of a plan, stops at the first that fails.
///
/// # Errors
/// [`LoadError`]: what failed, where and why. Nothing stays behind in the kernel.
pub fn execute<K: Kernel>(plan: &LoadPlan<'_>, kernel: &K, given: Given) -> Result<LoadedObject, LoadError> {
    if let Some((_, error)) = plan.refused.first() {
        return Err(error.clone().into());
    }
    let mut session = Session::new(plan, kernel, given);
    for step in &plan.steps {
        session.step(step)?;
    }
    Ok(session.finish())
}
