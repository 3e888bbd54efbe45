//! `cargo xtask dist`: the static program that people install.
//!
//! Static, because it starts in a third of the time and runs wherever its kernel does.

use std::env::consts::ARCH;
use std::io::{self, Write as _};

use crate::{XtaskError, artifacts};

const PROGRAM: &str = "rxdp-load";

/// Where the product is built for, and what the compiler has to be told to make it static.
struct Target {
    triple: String,
    rustflags: Option<&'static str>,
}

/// Builds `rxdp-load` for musl, or statically for glibc where the musl target cannot be had, and prints its path.
///
/// # Errors
/// [`XtaskError::Failed`] if it does not build.
pub fn run() -> Result<(), XtaskError> {
    let Target { triple, rustflags } = target();
    let what = ["build", "--profile", "dist", "--package", PROGRAM, "--bin", PROGRAM];
    // The target is given always: without one, the flags would reach procedural macros, which cannot be static.
    let built = artifacts::build(&[&what[..], &["--target", &triple]].concat(), rustflags)?;
    let executable = artifacts::program(&built, PROGRAM)?;
    writeln!(io::stdout(), "{}", executable.display()).map_err(|source| XtaskError::Print { source })
}

fn target() -> Target {
    let musl = artifacts::musl();
    if artifacts::can_target(&musl) {
        return Target { triple: musl, rustflags: None };
    }
    eprintln!("xtask: no {musl} here, falling back to glibc");
    Target { triple: format!("{ARCH}-unknown-linux-gnu"), rustflags: Some("-Ctarget-feature=+crt-static") }
}
