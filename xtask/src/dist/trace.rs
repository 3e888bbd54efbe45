//! Which functions of a program run, in the order in which they do: each one begins with a breakpoint, which is taken away
//! when it is met.
//!
//! Counters that a compiler puts in do not see the standard library and the C library, which come compiled. Source:
//! ptrace(2).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc::{PTRACE_EVENT_EXEC, c_long};
use nix::sys::ptrace::{self, AddressType, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use object::elf::{FileHeader64, SHT_SYMTAB, STT_FUNC};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader as _, Sym as _};

use crate::XtaskError;

/// `int3`.
const BREAKPOINT: u8 = 0xcc;

/// A shell that waits for us, and then becomes the program.
const WAIT_AND_RUN: &str = r#"kill -STOP $$ && exec "$0" "$@""#;

/// Where functions begin in memory, with their names; those of one address stand together.
pub(super) type Functions = BTreeMap<u64, Vec<String>>;

/// The functions of a program that stands at a fixed address.
///
/// # Errors
/// [`XtaskError::Read`]; [`XtaskError::NoObject`] if it is no program.
pub(super) fn functions(program: &Path) -> Result<Functions, XtaskError> {
    let bytes =
        std::fs::read(program).map_err(|source| XtaskError::Read { path: program.to_owned(), source })?;
    let wrong = |source| XtaskError::NoObject { object: program.display().to_string(), source };
    let sections = FileHeader64::<LittleEndian>::parse(&*bytes)
        .and_then(|header| header.sections(LittleEndian, &*bytes))
        .map_err(wrong)?;
    let symbols = sections.symbols(LittleEndian, &*bytes, SHT_SYMTAB).map_err(wrong)?;
    let mut functions = Functions::new();
    for symbol in symbols.iter().filter(|symbol| symbol.st_type() == STT_FUNC) {
        let name = symbol.name(LittleEndian, symbols.strings()).map_err(wrong)?;
        let names = functions.entry(symbol.st_value(LittleEndian)).or_default();
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Ok(functions)
}

/// Runs `verify` on an object and takes what it meets out of `functions`; returns it in the order in which it was met.
///
/// # Errors
/// [`XtaskError::Trace`].
pub(super) fn met(
    program: &Path,
    object: &Path,
    functions: &mut Functions,
) -> Result<Vec<String>, XtaskError> {
    let mut shell = Command::new("sh");
    // A second thread, which nobody watches, would die of a breakpoint.
    shell.args(["-c", WAIT_AND_RUN]).arg(program).args(["verify", "--jobs", "1"]).arg(object);
    let mut child = shell
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| XtaskError::Start { command: "sh".to_owned(), source })?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let names = watch(pid, functions);
    // It has ended, or we could not go on with it: then it must not stay.
    let _ = child.kill();
    let _ = child.wait();
    names.map_err(|errno| XtaskError::Trace { program: program.to_owned(), source: errno.into() })
}

fn watch(pid: Pid, functions: &mut Functions) -> Result<Vec<String>, Errno> {
    waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    ptrace::seize(pid, Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL)?;
    kill(pid, Signal::SIGCONT)?;
    while !matches!(waitpid(pid, None)?, WaitStatus::PtraceEvent(_, _, PTRACE_EVENT_EXEC)) {
        ptrace::cont(pid, None)?;
    }
    let mut covered = BTreeMap::new();
    for at in functions.keys() {
        covered.insert(*at, put(pid, *at, BREAKPOINT)?);
    }
    let mut names = Vec::new();
    ptrace::cont(pid, None)?;
    loop {
        match waitpid(pid, None)? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(names),
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let mut registers = ptrace::getregs(pid)?;
                let at = registers.rip.wrapping_sub(1);
                if let Some(byte) = covered.remove(&at) {
                    put(pid, at, byte)?;
                    registers.rip = at;
                    ptrace::setregs(pid, registers)?;
                    names.extend(functions.remove(&at).unwrap_or_default());
                }
                ptrace::cont(pid, None)?;
            }
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal)?,
            WaitStatus::PtraceEvent(..)
            | WaitStatus::PtraceSyscall(_)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => ptrace::cont(pid, None)?,
        }
    }
}

/// Writes a byte into the program; returns the one that stood there.
fn put(pid: Pid, at: u64, byte: u8) -> Result<u8, Errno> {
    let address = at as AddressType;
    let mut word = ptrace::read(pid, address)?.to_le_bytes();
    let before = std::mem::replace(&mut word[0], byte);
    ptrace::write(pid, address, c_long::from_le_bytes(word))?;
    Ok(before)
}
