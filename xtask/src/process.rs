//! Running other programs: with their output passed on, or as a pipeline that gives bytes.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::XtaskError;

/// The cargo that runs us, so that all steps use one toolchain; working in the top folder of the repository.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(crate::root());
    cargo
}

/// Says what it runs, runs it, and passes its output on.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`].
pub fn run(command: &mut Command) -> Result<(), XtaskError> {
    let text = text(command);
    eprintln!("xtask: {text}");
    let status = command.status().map_err(|source| XtaskError::Start { command: text.clone(), source })?;
    if !status.success() {
        return Err(XtaskError::Failed { command: text, status });
    }
    Ok(())
}

/// Says what it runs, runs it, and returns what it wrote to standard output.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`].
pub fn output(command: &mut Command) -> Result<String, XtaskError> {
    let text = text(command);
    eprintln!("xtask: {text}");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| XtaskError::Start { command: text.clone(), source })?;
    if !output.status.success() {
        return Err(XtaskError::Failed { command: text, status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the command can be run and succeeds. Its output is thrown away.
#[must_use]
pub fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs `stages` in `folder`, each reading what the one before wrote, and returns what the last one wrote.
///
/// A stage has to read all of its input before it writes: compilers do.
///
/// # Errors
/// [`XtaskError::Start`], [`XtaskError::Pipe`] or [`XtaskError::Failed`] of the first stage that fails.
pub fn pipeline(stages: &[Vec<String>], folder: &Path) -> Result<Vec<u8>, XtaskError> {
    stages.iter().try_fold(Vec::new(), |input, stage| filter(stage, folder, &input))
}

fn filter(stage: &[String], folder: &Path, input: &[u8]) -> Result<Vec<u8>, XtaskError> {
    let command = stage.join(" ");
    let mut words = stage.iter();
    let mut child = Command::new(words.next().map_or("", String::as_str))
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| XtaskError::Start { command: command.clone(), source })?;

    // A program that ends early breaks the pipe; how it ended says more than that.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let output =
        child.wait_with_output().map_err(|source| XtaskError::Pipe { command: command.clone(), source })?;
    if !output.status.success() {
        return Err(XtaskError::Failed { command, status: output.status });
    }
    written.map_err(|source| XtaskError::Pipe { command, source })?;
    Ok(output.stdout)
}

fn text(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stage_reads_what_the_one_before_wrote() {
        let stages = [stage(&["printf", "abc"]), stage(&["tr", "a", "b"]), stage(&["tr", "b", "x"])];
        assert_eq!(pipeline(&stages, Path::new("/")).unwrap(), b"xxc");
    }

    #[test]
    fn a_failing_stage_is_named_though_it_read_nothing() {
        let stages = [stage(&["head", "-c", "1000000", "/dev/zero"]), stage(&["false"])];
        let error = pipeline(&stages, Path::new("/")).unwrap_err();
        assert!(matches!(&error, XtaskError::Failed { command, .. } if command == "false"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = pipeline(&[stage(&["rxdp-no-such-program", "-x"])], Path::new("/")).unwrap_err();
        assert_eq!(error.to_string(), "`rxdp-no-such-program -x` cannot be started");
    }
}
