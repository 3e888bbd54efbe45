//! Booting: qemu, emulating the processor, with the console on our standard output.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use process_control::{ChildExt as _, Control as _};

use crate::{XtaskError, debian, process};

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// A kernel that panics reboots, and qemu then ends. The BPF LSM has to be named among the modules that are on.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 lsm=bpf";

/// Installs qemu where it is missing.
///
/// # Errors
/// Those of [`debian::install`].
pub(super) fn install() -> Result<(), XtaskError> {
    if process::succeeds(Command::new(PROGRAM).arg("--version")) {
        return Ok(());
    }
    debian::install(&[PACKAGE])
}

/// Boots a machine that writes an exit code to `result`, its second serial port, and switches itself off.
///
/// # Errors
/// [`XtaskError::Job`] with that code unless it is 0; [`XtaskError::Silence`] if the machine ended without one;
/// [`XtaskError::Hang`] if it did not end.
pub(super) fn boot(
    kernel: &Path,
    initramfs: &Path,
    result: &Path,
    limit: Duration,
) -> Result<(), XtaskError> {
    let mut qemu = Command::new(PROGRAM);
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"]);
    // Not -nographic: with it the firmware writes to the console, too, and clears the screen.
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
    qemu.arg("-serial").arg(format!("file:{}", result.display()));
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs).args(["-append", COMMAND_LINE]);

    eprintln!("xtask: booting {}", kernel.display());
    let failed = |source| XtaskError::Start { command: PROGRAM.to_owned(), source };
    let mut child = qemu.stdin(Stdio::null()).spawn().map_err(failed)?;
    let ended = child.controlled().time_limit(limit).terminate_for_timeout().wait().map_err(failed)?;
    if ended.is_none() {
        return Err(XtaskError::Hang { limit });
    }
    let code = fs::read_to_string(result);
    verdict(&code.map_err(|source| XtaskError::Read { path: result.to_path_buf(), source })?)
}

fn verdict(code: &str) -> Result<(), XtaskError> {
    match code.trim().parse() {
        Ok(0) => Ok(()),
        Ok(code) => Err(XtaskError::Job { code }),
        Err(_) => Err(XtaskError::Silence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_zero_is_a_success() {
        assert!(verdict("0\r\n").is_ok());
        assert!(matches!(verdict("101\n"), Err(XtaskError::Job { code: 101 })));
        assert!(matches!(verdict(""), Err(XtaskError::Silence)));
        assert!(matches!(verdict("1 thing"), Err(XtaskError::Silence)));
    }
}
