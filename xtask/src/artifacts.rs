//! Building with cargo, and what it built: cargo knows best where it put a program, for it may have been told by a
//! flag, the environment or a file.

use std::env::consts::ARCH;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::{XtaskError, process};

/// A program that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The folder of its package.
    pub package: PathBuf,
    /// Its name in that package.
    pub target: String,
    /// Whether it runs the target's tests, rather than being the target.
    pub is_test: bool,
    /// Where it lies.
    pub executable: PathBuf,
}

/// What a build is told beside its arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// For rustc; none leaves the environment's.
    pub rustflags: &'a [String],
    /// More of the environment.
    pub env: &'a [(&'a str, &'a Path)],
}

/// Runs `cargo` with `arguments`, which build something, and returns the programs among what it built.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`]; cargo's own words are above on standard error.
pub fn build(arguments: &[&str], settings: &Settings<'_>) -> Result<Vec<Artifact>, XtaskError> {
    let mut cargo = process::cargo();
    cargo.args(arguments).args(["--message-format", "json-render-diagnostics"]);
    if !settings.rustflags.is_empty() {
        // Flags may have blanks in them.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", settings.rustflags.join("\u{1f}"));
    }
    cargo.envs(settings.env.iter().map(|(name, value)| (name, value)));
    Ok(programs(&process::output(&mut cargo)?))
}

/// The program called `name` in what [`build`] returned.
///
/// # Errors
/// [`XtaskError::NoExecutable`].
pub fn program(built: &[Artifact], name: &'static str) -> Result<PathBuf, XtaskError> {
    let found = built.iter().find(|artifact| artifact.target == name && !artifact.is_test);
    found.map(|artifact| artifact.executable.clone()).ok_or(XtaskError::NoExecutable { name })
}

/// What rustc calls this machine with musl, the C library that makes static programs.
#[must_use]
pub fn musl() -> String {
    format!("{ARCH}-unknown-linux-musl")
}

/// Whether there is a standard library for `triple`; asks `rustup` for it where there is none.
#[must_use]
pub fn can_target(triple: &str) -> bool {
    has(triple) || add(triple)
}

fn has(triple: &str) -> bool {
    let mut rustc = Command::new("rustc");
    let output =
        rustc.args(["--print", "target-libdir", "--target", triple]).current_dir(crate::root()).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// `false` without rustup or network.
fn add(triple: &str) -> bool {
    let mut rustup = Command::new("rustup");
    process::run(rustup.args(["target", "add", triple]).current_dir(crate::root()).stdout(io::stderr()))
        .is_ok()
}

/// The part of cargo's `compiler-artifact` message that says what was built.
#[derive(Deserialize)]
struct Message {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Messages of other kinds and artifacts that are no programs are passed over.
fn programs(messages: &str) -> Vec<Artifact> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages
        .filter_map(|message| {
            Some(Artifact {
                package: message.manifest_path.parent()?.to_path_buf(),
                target: message.target.name,
                is_test: message.profile.test,
                executable: message.executable?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(target: &str, test: bool, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/x/Cargo.toml","target":{{"name":"{target}"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
        )
    }

    #[test]
    fn the_path_comes_from_cargos_own_message() {
        let messages = [
            message("xtask", false, r#""/x/xtask""#),
            "not json".to_owned(),
            message("rxdp-load", false, "null"),
            message("rxdp-load", true, r#""/x/tests-of-rxdp-load""#),
            message("rxdp-load", false, r#""/x/rxdp-load""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let built = programs(&messages.join("\n"));
        assert_eq!(program(&built, "rxdp-load").unwrap(), PathBuf::from("/x/rxdp-load"));
        assert_eq!(built[1].package, PathBuf::from("/x"));
        assert_eq!(built.len(), 3);
    }

    #[test]
    fn a_program_that_was_not_built_is_named() {
        let error = program(&[], "rxdp-load").unwrap_err();
        assert_eq!(error.to_string(), "cargo reported no executable called rxdp-load");
    }
}
