//! Carries out a plan: the first room below the kernel line.
//!
//! It makes the calls of a [`LoadPlan`] in order and owns what comes back. If a call fails, everything that was made
//! before is closed again, and its pins are removed. Nothing is decided here that the plan has not written down.

mod attach;
mod because;
mod entries;
mod error;
mod hints;
mod inner;
mod lack;
mod link;
mod loaded;
mod log;
mod made;
mod note;
mod parallel;
mod pins;
mod poisoned;
mod probe;
mod program;
mod register;
mod session;
pub(crate) mod slot;
mod types;
mod verify;
mod walk;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;

use crate::plan::LoadPlan;
use crate::spec::{MapId, ProgId};
use crate::sys::{Kernel, files};

pub use attach::{Places, To};
pub use because::Because;
pub use entries::Entries;
pub use error::{Blame, ETHERNET_HEADER, LoadError};
pub use lack::Lack;
pub use link::Link;
pub use loaded::{FilledSlot, Input, LoadedMap, LoadedObject, LoadedProgram, MadePin, SharedPin};
pub use note::Note;
pub use poisoned::Poisoned;
pub use probe::machine_for;
pub use register::{Registered, Table};
pub use types::{CodeTypes, link_for, target_program};
pub use verify::{Ask, Held, MapReport, ProgramReport, Report, verify};
pub use walk::{Entry, Walk};

use parallel::OnFailure;
use session::Session;

/// What comes along with a plan.
#[derive(Debug, Default)]
pub struct Given {
    /// Maps that are there already and are used in place of the object's. The plan must know of them
    /// ([`crate::plan::Options::reused`]).
    pub maps: BTreeMap<MapId, OwnedFd>,
    /// Maps that the inner maps of these maps of maps are to look like. The plan must know of them
    /// ([`crate::plan::Options::inner_given`]).
    pub inner: BTreeMap<MapId, OwnedFd>,
    /// Programs whose functions these programs attach to: those that [`target_program`] was asked about.
    pub targets: BTreeMap<ProgId, OwnedFd>,
    /// How much of the verifier's log is wanted.
    pub log: LogPolicy,
    /// How many programs may be in the kernel's verifier at once; `None` for as many as there are processors. Threads are
    /// started only where they pay.
    pub jobs: Option<NonZeroUsize>,
}

/// How much of the verifier's log is wanted when it refuses a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogPolicy {
    /// Nothing.
    None,
    /// One more try with a buffer of 64 KiB, which holds the log's end. Before Linux 6.4 it holds the beginning; then the message
    /// is asked for alone.
    #[default]
    End,
    /// More tries with growing buffers up to 64 MiB, until the whole log fits.
    Whole,
    /// What the verifier says about every instruction, of programs that it takes, too, up to 16 MiB; of larger logs only
    /// the statistics. For those who want to see it: loading takes several times as long.
    Always,
}

/// Makes all calls of a plan, stops at the first that fails.
///
/// # Errors
/// [`LoadError`]: what failed, where and why. Nothing stays behind in the kernel.
pub fn execute<K: Kernel>(plan: &LoadPlan<'_>, kernel: &K, given: Given) -> Result<LoadedObject, LoadError> {
    if let Some(error) = plan.refusal() {
        return Err(error.clone().into());
    }
    make_room(plan)?;
    let mut session = Session::new(plan, kernel, given, OnFailure::Stop);
    for step in &plan.steps {
        session.step(step)?;
    }
    Ok(session.finish())
}

/// Makes all calls of a plan, and goes on after failures: for those who want to see everything that the kernel says. What
/// needs something that could not be made is missing, too; why, is told with the rest.
pub fn execute_all<K: Kernel>(
    plan: &LoadPlan<'_>,
    kernel: &K,
    given: Given,
) -> (LoadedObject, Vec<LoadError>) {
    let mut errors: Vec<LoadError> = plan.refusals().cloned().map(LoadError::from).collect();
    // Beyond the hard limit, the calls that find no room say so.
    errors.extend(make_room(plan).err());
    let mut session = Session::new(plan, kernel, given, OnFailure::GoOn);
    for step in &plan.steps {
        errors.extend(session.step(step).err().filter(|error| !verify::is_said_elsewhere(step, error)));
    }
    (session.finish(), errors)
}

/// Descriptors that a load needs besides those that it makes: for files of `/proc`, sockets, and the caller.
const SPARE_FILES: usize = 16;

/// Sees to it that all descriptors of a plan can be open at once.
fn make_room(plan: &LoadPlan<'_>) -> Result<(), LoadError> {
    let more = plan.descriptors().saturating_add(SPARE_FILES);
    let too_many = |files::TooManyFiles { more, open, hard }| LoadError::TooManyFiles { more, open, hard };
    files::make_room_for_files(u64::try_from(more).unwrap_or(u64::MAX)).map_err(too_many)
}
