//! `cargo xtask ci`: what has to pass before a change goes in. `.ci/run` calls it.

use crate::{XtaskError, check, test};

/// Checks the sources, then runs the tests.
///
/// # Errors
/// Those of [`check::run`] and [`test::run`].
pub fn run() -> Result<(), XtaskError> {
    check::run()?;
    test::run()
}
