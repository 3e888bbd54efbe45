//! The project's own commands, as `cargo xtask COMMAND`: one file a command.
//!
//! Runs other programs and compares files. Nothing of the product may come in here, and nothing of the product
//! may depend on it. What a person should read goes to standard error; standard output is for results.

pub mod artifacts;
pub mod book;
pub mod bpf;
pub mod browser;
pub mod builds;
pub mod check;
pub mod ci;
pub mod conformance;
pub mod debian;
pub mod dist;
mod error;
pub mod manifest;
pub mod process;
pub mod symbols;
pub mod test;
pub mod toolchain;
pub mod vm;

use std::path::Path;

pub use error::XtaskError;

/// The top folder of the repository.
#[must_use]
pub fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}
