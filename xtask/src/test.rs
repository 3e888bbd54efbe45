//! `cargo xtask test`: the README's test command, with skipping made fatal.

use crate::{XtaskError, process};

/// Runs every test of the workspace. Needs root, for the tests that load programs into the kernel.
///
/// # Errors
/// [`XtaskError::Failed`] if a test failed.
pub fn run() -> Result<(), XtaskError> {
    process::run(process::cargo().args(["test", "--workspace"]).env("RXDP_REQUIRE_KERNEL", "1"))
}
