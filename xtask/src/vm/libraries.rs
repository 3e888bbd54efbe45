//! The shared libraries of a program, which a machine without a system has to be given.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{XtaskError, process};

/// The libraries of a program, and what loads them; nothing for a static one.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`] of `ldd`.
pub(super) fn of(program: &Path) -> Result<Vec<PathBuf>, XtaskError> {
    Ok(paths(&process::output(Command::new("ldd").arg(program))?))
}

/// `ldd` writes `NAME => PATH (ADDRESS)`, and `PATH (ADDRESS)` for the loader. The kernel's own has no path.
fn paths(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_libraries() {
        let text = "\tlinux-vdso.so.1 (0x00007fc29495c000)\n\
            \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007fc2948a7000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007fc29495e000)\n";
        let expected = ["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(paths(text), expected);
        assert!(paths("\tstatically linked\n").is_empty());
    }
}
