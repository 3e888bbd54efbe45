//! What the tests of the command stand on: `rxdp-load` as a child process that ends with its test, and the objects.
//!
//! What may not enter: interfaces, packets, the kernel.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod dispatched;
pub(crate) mod held;
pub(crate) mod wire;
pub(crate) mod witness;
pub(crate) mod xdp_loader;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rxdp_sandbox::Sandbox;
use rxdp_sandbox::testing::kernel_or_skip;
use serde_json::Value;

/// Longer than anything here takes, also on an emulated machine that others share; a wait that reaches it has failed.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(60);

/// Runs `test` on a sandbox of its own; skips aloud where there can be none.
pub(crate) fn in_sandbox(test: impl FnOnce(&Sandbox)) {
    let name = thread::current().name().unwrap_or("test").to_owned();
    if let Some(sandbox) = kernel_or_skip(&name) {
        test(&sandbox);
    }
}

/// An object of `tests/fixtures` or `bpf-progs`, by its name without `.o`.
pub(crate) fn object(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let places = ["tests/fixtures", "bpf-progs"].map(|place| root.join(place).join(format!("{name}.o")));
    let found = places.iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no {name}.o in {places:?}")).display().to_string()
}

/// `rxdp-load` with arguments, not yet started.
pub(crate) fn rxdp_load(args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rxdp-load"));
    command.args(args);
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[impl AsRef<OsStr>]) -> Ran {
    Running::start(rxdp_load(args)).end()
}

/// A started command. Killed when dropped, so also when its test fails.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("rxdp-load");
        let out = lines(child.stdout.take().expect("piped"));
        let err = lines(child.stderr.take().expect("piped"));
        Self { child, out, err }
    }

    /// The next line of standard output; waits for it.
    pub(crate) fn line(&self) -> String {
        match self.out.recv_timeout(TOO_LONG) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => panic!("it ended: {}", rest(&self.err)),
            Err(RecvTimeoutError::Timeout) => panic!("it prints no line"),
        }
    }

    /// The next line of standard output; `None` if it ends without another one.
    pub(crate) fn line_or_end(&self) -> Option<String> {
        match self.out.recv_timeout(TOO_LONG) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it prints no line and does not end"),
        }
    }

    /// The next line of standard output that is `wanted`; waits for it.
    pub(crate) fn line_with(&self, wanted: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// The next line of standard error; waits for it.
    pub(crate) fn error_line(&self) -> String {
        self.err.recv_timeout(TOO_LONG).expect("a line on standard error")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("a child that was not waited for");
    }

    /// Waits until it ends by itself. What was read with [`Running::line`] is not in the result.
    pub(crate) fn end(mut self) -> Ran {
        let (out, err) = (rest(&self.out), rest(&self.err));
        let code = self.child.wait().expect("a child").code();
        // No command may ever fail in these ways.
        for forbidden in ["Invalid argument", "panicked at"] {
            assert!(!err.contains(forbidden) && !out.contains(forbidden), "{code:?}: {out}{err}");
        }
        Ran { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; `None` after a signal that it did not handle.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// It ended with this code and these words on standard error.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in {self:#?}");
        }
    }

    /// It did what it should, without a word on standard error; what it printed.
    #[track_caller]
    pub(crate) fn done(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:#?}");
        &self.out
    }

    /// The lines of standard output, each of them JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(json).collect()
    }
}

#[track_caller]
pub(crate) fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

/// The row of the only object that was verified.
#[track_caller]
pub(crate) fn verified(ran: &Ran, code: i32) -> Value {
    assert_eq!(ran.code, Some(code), "{ran:#?}");
    let mut rows = ran.json();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// The names of a JSON object's fields.
pub(crate) fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("a JSON object").keys().map(String::as_str).collect()
}

/// Reads lines on a thread of its own, which ends with the stream.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        // A receiver that is gone has no use for the rest.
        let _ = lines.into_iter().try_for_each(|line| sender.send(line));
    });
    receiver
}

/// Everything up to the end of the stream.
fn rest(lines: &Receiver<String>) -> String {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(TOO_LONG) {
            Ok(line) => text += &(line + "\n"),
            Err(RecvTimeoutError::Disconnected) => return text,
            Err(RecvTimeoutError::Timeout) => panic!("it does not end; so far: {text}"),
        }
    }
}
