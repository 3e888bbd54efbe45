//! `cargo xtask book`: builds the book in `docs/book` with mdBook into `target/book`.
//!
//! mdBook is a program of its own. If the one that is wanted is not there, cargo builds it into `target/tools`, once: that takes
//! some minutes, and the network. Whether the book is true is no matter of this command: `tests/book.rs` holds that.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{XtaskError, process, root};

const VERSION: &str = "0.4.52";

/// Builds the book and prints the path of its first page.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`] of cargo or mdBook.
pub fn run() -> Result<(), XtaskError> {
    let mdbook = installed()?;
    process::run(Command::new(mdbook).args(["build", "docs/book"]).current_dir(root()))?;
    let page = root().join("target/book/index.html");
    writeln!(io::stdout(), "{}", page.display()).map_err(|source| XtaskError::Print { source })
}

/// The mdBook that people have, if it is the one that is wanted, or else our own.
fn installed() -> Result<PathBuf, XtaskError> {
    let tools = root().join("target/tools");
    let ours = tools.join("bin/mdbook");
    let there = [PathBuf::from("mdbook"), ours.clone()].into_iter().find(|program| is_wanted(program));
    if let Some(program) = there {
        return Ok(program);
    }
    let wanted = ["install", "mdbook", "--locked", "--version", VERSION];
    let parts = ["--no-default-features", "--features", "search"];
    process::run(process::cargo().args(wanted).args(parts).arg("--root").arg(tools))?;
    Ok(ours)
}

fn is_wanted(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| names_version(&String::from_utf8_lossy(&output.stdout)))
}

fn names_version(printed: &str) -> bool {
    printed.trim().strip_prefix("mdbook v") == Some(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_not_wanted() {
        assert!(names_version(&format!("mdbook v{VERSION}\n")));
        assert!(!names_version(&format!("mdbook v{VERSION}0")));
        assert!(!names_version(""));
        assert!(!is_wanted(Path::new("rxdp-no-such-program")));
    }
}
