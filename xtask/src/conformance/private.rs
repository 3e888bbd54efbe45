//! A program among mounts of its own, with an empty bpffs: what it pins is gone with it.

use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use process_control::{ChildExt as _, Control as _, Output};

use crate::XtaskError;

const NOTHING: Option<&str> = None;

/// Runs a program to its end and returns what it wrote; `None` if it was killed because its time was over.
///
/// # Errors
/// [`XtaskError::Private`] without root, [`XtaskError::Start`], [`XtaskError::Pipe`].
pub(super) fn output(command: &mut Command, limit: Duration) -> Result<Option<Output>, XtaskError> {
    // Mounts belong to a thread, and a child inherits those of the thread that starts it. So a thread is given up for
    // each, and nothing has to be put back.
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            leave_mounts()?;
            run(command, limit)
        });
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn leave_mounts() -> Result<(), XtaskError> {
    let step = |step| move |source| XtaskError::Private { step, source };
    unshare(CloneFlags::CLONE_NEWNS).map_err(step("a mount namespace"))?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)
        .map_err(step("private mounts"))?;
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), NOTHING).map_err(step("a bpffs"))
}

fn run(command: &mut Command, limit: Duration) -> Result<Option<Output>, XtaskError> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().map_err(|source| XtaskError::Start { command: name.clone(), source })?;
    let ended = child.controlled_with_output().time_limit(limit).terminate_for_timeout().wait();
    ended.map_err(|source| XtaskError::Pipe { command: name, source })
}
