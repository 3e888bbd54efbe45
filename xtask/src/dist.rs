//! `cargo xtask dist`: the static program that people install.
//!
//! Static, because it starts in a third of the time and runs wherever its kernel does.

use std::env::consts::ARCH;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{XtaskError, process};

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
    let target = target();
    let executable = build(&target)?;
    writeln!(io::stdout(), "{}", executable.display()).map_err(|source| XtaskError::Print { source })
}

fn target() -> Target {
    let musl = format!("{ARCH}-unknown-linux-musl");
    if has(&musl) || add(&musl) {
        return Target { triple: musl, rustflags: None };
    }
    eprintln!("xtask: no {musl} here, falling back to glibc");
    Target { triple: format!("{ARCH}-unknown-linux-gnu"), rustflags: Some("-Ctarget-feature=+crt-static") }
}

/// Whether the toolchain has the target's standard library.
fn has(triple: &str) -> bool {
    let mut rustc = Command::new("rustc");
    let output =
        rustc.args(["--print", "target-libdir", "--target", triple]).current_dir(crate::root()).output();
    output.is_ok_and(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Asks `rustup` for the target. `false` without rustup or network.
fn add(triple: &str) -> bool {
    let mut rustup = Command::new("rustup");
    process::run(rustup.args(["target", "add", triple]).current_dir(crate::root()).stdout(io::stderr()))
        .is_ok()
}

fn build(target: &Target) -> Result<PathBuf, XtaskError> {
    let mut cargo = process::cargo();
    cargo.args([
        "build",
        "--profile",
        "dist",
        "--package",
        PROGRAM,
        "--bin",
        PROGRAM,
        "--target",
        &target.triple,
    ]);
    // The target is given always: without one, the flags would reach procedural macros, which cannot be static.
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.envs(target.rustflags.map(|flags| ("RUSTFLAGS", flags)));

    let messages = messages(cargo)?;
    executable(&messages).ok_or(XtaskError::NoExecutable { name: PROGRAM })
}

fn messages(mut cargo: Command) -> Result<String, XtaskError> {
    let command = format!("cargo build --profile dist --bin {PROGRAM}");
    eprintln!("xtask: {command}");
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| XtaskError::Start { command: command.clone(), source })?;
    if !output.status.success() {
        return Err(XtaskError::Failed { command, status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Cargo knows best where it put the program: it may have been told by a flag, the environment or a file.
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message.pointer("/target/name").is_some_and(|name| name == PROGRAM))
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_comes_from_cargos_own_message() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"xtask\"},\"executable\":\"/x/xtask\"}\n",
            "not json\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"rxdp-load\"},\"executable\":null}\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"rxdp-load\"},\"executable\":\"/x/rxdp-load\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/x/rxdp-load")));
        assert_eq!(executable("{\"reason\":\"build-finished\"}"), None);
    }
}
