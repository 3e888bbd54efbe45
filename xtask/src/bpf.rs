//! `cargo xtask bpf`: the committed objects, made again from their sources.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::thread;

use crate::manifest::{Object, objects};
use crate::{XtaskError, process, root, symbols, toolchain};

/// Builds every object and writes those that changed. Installs the compilers where they are missing.
///
/// # Errors
/// [`XtaskError::Toolchain`] without the pinned compilers; those of [`build`]; [`XtaskError::Write`].
pub fn rebuild() -> Result<(), XtaskError> {
    toolchain::install()?;
    let objects = objects();
    for Stale { object, built } in stale(&objects, root())? {
        let path = root().join(object.output.as_ref());
        let failed = |source| XtaskError::Write { path: path.clone(), source };
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        fs::write(&path, built).map_err(failed)?;
        eprintln!("xtask: wrote {}", object.output);
    }
    eprintln!("xtask: {} objects are what their sources give", objects.len());
    Ok(())
}

/// Builds every object and compares. Installs the compilers where they are missing, and changes nothing else.
///
/// # Errors
/// [`XtaskError::Stale`] with the objects that differ; otherwise as [`rebuild`].
pub fn check() -> Result<(), XtaskError> {
    toolchain::install()?;
    let all = objects();
    let objects: Vec<_> = stale(&all, root())?.iter().map(|stale| stale.object.output.to_string()).collect();
    if !objects.is_empty() {
        return Err(XtaskError::Stale { objects });
    }
    eprintln!("xtask: {} objects are what their sources give", all.len());
    Ok(())
}

/// An object whose committed bytes are not what its source gives, or which is not there.
#[derive(Debug)]
pub struct Stale<'o> {
    /// Which one.
    pub object: &'o Object,
    /// What its source gives.
    pub built: Vec<u8>,
}

/// Those of `objects` whose committed bytes are not what the sources in `tree` give, or which are not there.
///
/// Installs nothing; ask [`toolchain::can_build`] first.
///
/// # Errors
/// Those of [`build`].
pub fn stale<'o>(objects: &'o [Object], tree: &Path) -> Result<Vec<Stale<'o>>, XtaskError> {
    // Compilers take longer to start than to compile, so each processor starts its own.
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let share = objects.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let work = |part: &'o [Object]| scope.spawn(move || stale_part(part, tree));
        let workers: Vec<_> = objects.chunks(share).map(work).collect();
        let mut found = Vec::new();
        for worker in workers {
            found.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(found)
    })
}

fn stale_part<'o>(objects: &'o [Object], tree: &Path) -> Result<Vec<Stale<'o>>, XtaskError> {
    let mut found = Vec::new();
    for object in objects {
        let built = build(object, tree)?;
        if fs::read(root().join(object.output.as_ref())).ok().as_ref() != Some(&built) {
            found.push(Stale { object, built });
        }
    }
    Ok(found)
}

/// The bytes of one object, made from the sources in `tree`.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`] of the compiler, whose messages go to standard error;
/// [`XtaskError::NoObject`] if it wrote something else.
pub fn build(object: &Object, tree: &Path) -> Result<Vec<u8>, XtaskError> {
    let mut built = process::pipeline(&object.stages(), tree)?;
    if let Some(what) = object.forget() {
        symbols::forget(what, &mut built)
            .map_err(|source| XtaskError::NoObject { object: object.output.to_string(), source })?;
    }
    Ok(built)
}
