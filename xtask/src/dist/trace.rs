//! Which functions of a program run, in the order in which they do: their code is covered with breakpoints, and what is met
//! is put back.
//!
//! Counters that a compiler puts in do not see the standard library and the C library, which come compiled; and parts of
//! functions that the compiler has put apart have names of their own, but no beginning. Source: ptrace(2).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc::PTRACE_EVENT_EXEC;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use object::elf::{FileHeader64, SHT_SYMTAB, STT_FUNC, STT_NOTYPE, Sym64};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader as _, Sym as _};

use crate::XtaskError;

/// `int3`.
const BREAKPOINT: u8 = 0xcc;

/// A shell that waits for us, and then becomes the program.
const WAIT_AND_RUN: &str = r#"kill -STOP $$ && exec "$0" "$@""#;

/// Where functions and parts of functions begin in memory; of one address, all that stands there.
pub(super) type Functions = BTreeMap<u64, Function>;

/// Functions, or parts of functions, that share their code.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) names: Vec<String>,
    /// **Bytes** of its code; at least one.
    bytes: usize,
}

/// The functions of a program that stands at a fixed address.
///
/// # Errors
/// [`XtaskError::Read`]; [`XtaskError::NoObject`] if it is no program.
pub(super) fn functions(program: &Path) -> Result<Functions, XtaskError> {
    let bytes = fs::read(program).map_err(|source| XtaskError::Read { path: program.to_owned(), source })?;
    let wrong = |source| XtaskError::NoObject { object: program.display().to_string(), source };
    let sections = FileHeader64::<LittleEndian>::parse(&*bytes)
        .and_then(|header| header.sections(LittleEndian, &*bytes))
        .map_err(wrong)?;
    let symbols = sections.symbols(LittleEndian, &*bytes, SHT_SYMTAB).map_err(wrong)?;
    let mut functions = Functions::new();
    // A part that was put apart has a size, but no type.
    let is_code = |symbol: &&Sym64<LittleEndian>| match symbol.st_type() {
        STT_NOTYPE => symbol.st_size(LittleEndian) != 0,
        kind => kind == STT_FUNC,
    };
    for symbol in symbols.iter().filter(is_code) {
        let name = symbol.name(LittleEndian, symbols.strings()).map_err(wrong)?;
        let function = functions.entry(symbol.st_value(LittleEndian)).or_default();
        function.names.push(String::from_utf8_lossy(name).into_owned());
        let bytes = usize::try_from(symbol.st_size(LittleEndian)).unwrap_or(1);
        function.bytes = function.bytes.max(bytes).max(1);
    }
    Ok(functions)
}

/// Runs `verify` on an object; returns where the functions begin that it meets, in the order in which they were met.
///
/// # Errors
/// [`XtaskError::Trace`].
pub(super) fn met(program: &Path, object: &Path, functions: &Functions) -> Result<Vec<u64>, XtaskError> {
    let mut shell = Command::new("sh");
    // A second thread, which nobody watches, would die of a breakpoint.
    shell.args(["-c", WAIT_AND_RUN]).arg(program).args(["verify", "--jobs", "1"]).arg(object);
    let mut child = shell
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| XtaskError::Start { command: "sh".to_owned(), source })?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let met = watch(pid, functions);
    // It has ended, or we could not go on with it: then it must not stay.
    let _ = child.kill();
    let _ = child.wait();
    met.map_err(|source| XtaskError::Trace { program: program.to_owned(), source })
}

fn watch(pid: Pid, functions: &Functions) -> io::Result<Vec<u64>> {
    become_program(pid)?;
    let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
    let mut covered = BTreeMap::new();
    for (at, function) in functions {
        let mut code = vec![0; function.bytes];
        memory.read_exact_at(&mut code, *at)?;
        covered.insert(*at, code);
    }
    for (at, function) in functions {
        memory.write_all_at(&vec![BREAKPOINT; function.bytes], *at)?;
    }
    let mut all = Vec::new();
    ptrace::cont(pid, None)?;
    loop {
        match waitpid(pid, None)? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(all),
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let mut registers = ptrace::getregs(pid)?;
                let at = registers.rip.wrapping_sub(1);
                // Code of one name may reach into that of another: all that covers this place is put back.
                let met: Vec<u64> = covering(&covered, at).collect();
                if !met.is_empty() {
                    registers.rip = at;
                    ptrace::setregs(pid, registers)?;
                }
                for start in met {
                    let code = covered.remove(&start).unwrap_or_default();
                    memory.write_all_at(&code, start)?;
                    all.push(start);
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

/// Lets the shell go on until it has become the program.
fn become_program(pid: Pid) -> Result<(), Errno> {
    waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    ptrace::seize(pid, Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL)?;
    kill(pid, Signal::SIGCONT)?;
    while !matches!(waitpid(pid, None)?, WaitStatus::PtraceEvent(_, _, PTRACE_EVENT_EXEC)) {
        ptrace::cont(pid, None)?;
    }
    Ok(())
}

/// Where the covered code begins that this place is in.
fn covering(covered: &BTreeMap<u64, Vec<u8>>, at: u64) -> impl Iterator<Item = u64> {
    let holds = move |(start, code): &(&u64, &Vec<u8>)| {
        at.checked_sub(**start).is_some_and(|into| into < code.len() as u64)
    };
    // Functions hardly overlap: what covers this place begins among the last few before it.
    covered.range(..=at).rev().take(16).filter(holds).map(|(start, _)| *start)
}
