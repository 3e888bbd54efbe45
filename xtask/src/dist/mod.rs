//! `cargo xtask dist`: the static program that people install.
//!
//! Static, because it starts in a third of the time and runs wherever its kernel does. Built three times: it is watched at
//! work twice, and what ran is made fast and stands close together in the third one. What never ran is neither read from the
//! disk nor kept in memory.

mod profile;
mod trace;

use std::env::consts::ARCH;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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
/// Where it cannot be watched at work it is built all the same, larger and slower, and says so.
///
/// # Errors
/// [`XtaskError::Failed`] if it does not build.
pub fn run() -> Result<(), XtaskError> {
    let target = target();
    let executable = match profile::build_for_work(&target)? {
        Ok(executable) => executable,
        Err(why) => {
            eprintln!("xtask: {why}: not fitted to its work, but larger and slower");
            build(&target, &[], &crate::root().join("target"), "symbols")?
        }
    };
    let installed = crate::root().join("target").join("dist").join(PROGRAM);
    copy(&executable, &installed).map_err(|source| XtaskError::Write { path: installed.clone(), source })?;
    writeln!(io::stdout(), "{}", installed.display()).map_err(|source| XtaskError::Print { source })
}

/// Copies a program to where nobody runs one.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::copy(from, to).map(|_bytes| ())
}

/// Builds the program in this folder, without its `"symbols"` or with all (`"none"`), and returns its path.
fn build(target: &Target, rustflags: &[String], folder: &Path, strip: &str) -> Result<PathBuf, XtaskError> {
    let what = ["build", "--profile", "dist", "--package", PROGRAM, "--bin", PROGRAM];
    // The target is given always: without one, the flags would reach procedural macros, which cannot be static.
    let arguments = [&what[..], &["--target", &target.triple]].concat();
    let always = target.rustflags.iter().map(|flag| (*flag).to_owned());
    let rustflags: Vec<String> = always.chain(rustflags.iter().cloned()).collect();
    let env = [("CARGO_TARGET_DIR", folder), ("CARGO_PROFILE_DIST_STRIP", Path::new(strip))];
    let built = artifacts::build(&arguments, &Settings { rustflags: &rustflags, env: &env })?;
    artifacts::program(&built, PROGRAM)
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
