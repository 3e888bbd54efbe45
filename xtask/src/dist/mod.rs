//! `cargo xtask dist`: the static program that people install.
//!
//! Static, because it starts in a third of the time and runs wherever its kernel does. Built twice: the first one is watched
//! at work, and the second one has what ran close together and made fast. What never ran is neither read from the disk nor
//! kept in memory.

mod profile;
mod trace;

use std::env::consts::ARCH;
use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::artifacts::Settings;
use crate::{XtaskError, artifacts};

const PROGRAM: &str = "rxdp-load";

/// Where the product is built for, and what the compiler has to be told to make it static.
struct Target {
    triple: String,
    rustflags: &'static [&'static str],
}

/// Builds `rxdp-load` for musl, or statically for glibc where the musl target cannot be had, and prints its path.
///
/// Without root, `llvm-profdata` or rustc's own linker it builds a program that does the same, larger and slower, and says
/// so.
///
/// # Errors
/// [`XtaskError::Failed`] if it does not build.
pub fn run() -> Result<(), XtaskError> {
    let target = target();
    let flags = match profile::take(&target)? {
        Ok(profile) => [target.flags(), profile.rustflags()].concat(),
        Err(why) => {
            eprintln!("xtask: {why}: built without a profile, larger and slower");
            target.flags()
        }
    };
    let executable = build(&target, &flags, &[])?;
    writeln!(io::stdout(), "{}", executable.display()).map_err(|source| XtaskError::Print { source })
}

/// Builds the program and returns its path.
fn build(target: &Target, rustflags: &[String], env: &[(&str, PathBuf)]) -> Result<PathBuf, XtaskError> {
    let what = ["build", "--profile", "dist", "--package", PROGRAM, "--bin", PROGRAM];
    // The target is given always: without one, the flags would reach procedural macros, which cannot be static.
    let arguments = [&what[..], &["--target", &target.triple]].concat();
    let built = artifacts::build(&arguments, &Settings { rustflags, env })?;
    artifacts::program(&built, PROGRAM)
}

impl Target {
    fn flags(&self) -> Vec<String> {
        self.rustflags.iter().map(|flag| (*flag).to_owned()).collect()
    }
}

fn target() -> Target {
    let musl = artifacts::musl();
    if artifacts::can_target(&musl) {
        // At a fixed address, constants need no fitting when the program starts: 180 KiB that are not touched.
        return Target { triple: musl, rustflags: &["-Crelocation-model=static"] };
    }
    eprintln!("xtask: no {musl} here, falling back to glibc");
    Target {
        triple: format!("{ARCH}-unknown-linux-gnu"),
        rustflags: &["-Crelocation-model=static", "-Ctarget-feature=+crt-static"],
    }
}
