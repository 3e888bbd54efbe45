//! `cargo xtask bpf`: the committed objects, made again from their sources.

use std::fs;
use std::path::Path;

use crate::manifest::{OBJECTS, Object};
use crate::{XtaskError, process, root, toolchain};

/// Builds every object and writes those that changed. Installs the compilers where they are missing.
///
/// # Errors
/// [`XtaskError::Toolchain`] without the pinned compilers; those of [`build`]; [`XtaskError::Write`].
pub fn rebuild() -> Result<(), XtaskError> {
    toolchain::install()?;
    for Stale { object, built } in stale(root())? {
        let path = root().join(object.output);
        fs::write(&path, built).map_err(|source| XtaskError::Write { path, source })?;
        eprintln!("xtask: wrote {}", object.output);
    }
    eprintln!("xtask: {} objects are what their sources give", OBJECTS.len());
    Ok(())
}

/// Builds every object and compares. Installs the compilers where they are missing, and changes nothing else.
///
/// # Errors
/// [`XtaskError::Stale`] with the objects that differ; otherwise as [`rebuild`].
pub fn check() -> Result<(), XtaskError> {
    toolchain::install()?;
    let objects: Vec<_> = stale(root())?.iter().map(|stale| stale.object.output).collect();
    if !objects.is_empty() {
        return Err(XtaskError::Stale { objects });
    }
    eprintln!("xtask: {} objects are what their sources give", OBJECTS.len());
    Ok(())
}

/// An object whose committed bytes are not what its source gives, or which is not there.
#[derive(Debug)]
pub struct Stale {
    /// Which one.
    pub object: &'static Object,
    /// What its source gives.
    pub built: Vec<u8>,
}

/// The objects whose committed bytes are not what the sources in `tree` give, or which are not there.
///
/// Installs nothing; ask [`toolchain::problems`] first.
///
/// # Errors
/// Those of [`build`].
pub fn stale(tree: &Path) -> Result<Vec<Stale>, XtaskError> {
    let mut found = Vec::new();
    for object in OBJECTS {
        let built = build(object, tree)?;
        if fs::read(root().join(object.output)).ok().as_ref() != Some(&built) {
            found.push(Stale { object, built });
        }
    }
    Ok(found)
}

/// The bytes of one object, made from the sources in `tree`.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`] of the compiler; its messages go to standard error.
pub fn build(object: &Object, tree: &Path) -> Result<Vec<u8>, XtaskError> {
    process::pipeline(&object.stages(), tree)
}
