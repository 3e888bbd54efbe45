//! The command on the sandbox's `v0`: attached and held, looked at, ended.
//!
//! What may not enter: packets, and what programs print.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use nix::sys::signal::Signal;
use rxdp_loader::sys::{Kernel, Linux, Named};
use rxdp_sandbox::Sandbox;
use serde_json::{Value, json};

use super::{Ran, Running, json, object, rxdp_load};

/// The main job with `--json`, attached to v0.
#[derive(Debug)]
pub(crate) struct Held {
    running: Running,
    /// The line that said so.
    pub(crate) attached: Value,
}

impl Held {
    pub(crate) fn start(sandbox: &Sandbox, name: &str, options: &[&str]) -> Self {
        let running = start(sandbox, &main_job(name, &[&["--json"], options].concat()));
        let attached = json(&running.line());
        assert_eq!(attached["event"], "attached");
        Self { running, attached }
    }

    /// Ends it from outside.
    pub(crate) fn end(self, signal: Signal) -> Ran {
        self.running.signal(signal);
        self.running.end()
    }

    /// Ends it as a person does, and sees that it takes its program along.
    #[track_caller]
    pub(crate) fn stop(self) {
        let ended = self.end(Signal::SIGTERM);
        ended.done();
        assert_eq!(ended.json(), [detached("SIGTERM")]);
    }

    /// Ends it after somebody else took its program's place, and sees that it leaves that one alone.
    #[track_caller]
    pub(crate) fn stop_replaced(self) {
        let ended = self.end(Signal::SIGTERM);
        ended.done();
        let mut expected = detached("SIGTERM");
        expected["left_alone"] = "somebody replaced our program".into();
        assert_eq!(ended.json(), [expected]);
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(self) -> Ran {
        self.running.end()
    }

    /// The id of a program that it loaded.
    pub(crate) fn program(&self, name: &str) -> u32 {
        self.id_of("prog_fd", name)
    }

    /// The id of a map that it made.
    pub(crate) fn map(&self, name: &str) -> u32 {
        self.id_of("map_fd", name)
    }

    fn id_of(&self, place: &str, name: &str) -> u32 {
        let rows = self.attached[place].as_array().expect("an array");
        let row = rows.iter().find(|row| row["name"] == name);
        number(&row.unwrap_or_else(|| panic!("no {name} in {rows:?}"))["id"])
    }

    /// The program id in a slot, as the kernel tells it.
    pub(crate) fn slot(&self, table: &str, key: u32) -> u32 {
        let fd = Linux.map_by_id(self.map(table)).expect("a map");
        Linux.slot_id(Named { name: table, fd: fd.as_fd() }, key).expect("a full slot")
    }

    /// Every slot that it filled, as `MAP:KEY=PROGRAM`, and who gave it. The kernel has them all.
    pub(crate) fn filled(&self) -> Vec<(String, String)> {
        let words = |row: &Value| {
            let word = |field: &str| row[field].as_str().expect("a word").to_string();
            let (map, key, program) = (word("map"), number(&row["key"]), word("program"));
            assert_eq!(self.slot(&map, key), self.program(&program));
            (format!("{map}:{key}={program}"), word("from"))
        };
        self.attached["tail_calls"].as_array().expect("an array").iter().map(words).collect()
    }
}

/// The main job as a person runs it, attached to v0.
#[derive(Debug)]
pub(crate) struct Staying(Running);

impl Staying {
    pub(crate) fn start(sandbox: &Sandbox, name: &str) -> Self {
        let running = start(sandbox, &main_job(name, &[]));
        running.line_with("staying");
        Self(running)
    }

    pub(crate) fn end(self) -> Ran {
        self.0.signal(Signal::SIGTERM);
        self.0.end()
    }
}

/// Starts a command in near.
pub(crate) fn start(sandbox: &Sandbox, args: &[impl AsRef<OsStr> + Sync]) -> Running {
    sandbox.near(|| Running::start(rxdp_load(args)))
}

/// Runs a command in near to its end.
pub(crate) fn in_near(sandbox: &Sandbox, args: &[impl AsRef<OsStr> + Sync]) -> Ran {
    start(sandbox, args).end()
}

/// Runs the main job on v0 to its end.
pub(crate) fn attach(sandbox: &Sandbox, name: &str, options: &[&str]) -> Ran {
    in_near(sandbox, &main_job(name, options))
}

/// Arguments of the main job on v0. It ends after a while also where nobody is left to end it.
pub(crate) fn main_job(name: &str, options: &[&str]) -> Vec<String> {
    let limit: &[&str] = if options.contains(&"--for") { &[] } else { &["--for", "1min"] };
    let given = [options, limit].concat();
    [object(name), "v0".to_string()].into_iter().chain(given.into_iter().map(ToString::to_string)).collect()
}

/// The rows of `status --json`.
pub(crate) fn status(sandbox: &Sandbox) -> Vec<Value> {
    let shown = in_near(sandbox, &["status", "--json"]);
    shown.done();
    shown.json()[0].as_array().expect("an array").clone()
}

/// Mode and program id of all that is attached, as [`native`] and [`generic`] write it down.
pub(crate) fn on_v0(sandbox: &Sandbox) -> Vec<(String, u32)> {
    let mode = |row: &Value| row["mode"].as_str().expect("a mode").to_string();
    status(sandbox).iter().map(|row| (mode(row), number(&row["program"]["id"]))).collect()
}

/// An interface without a program.
pub(crate) const NOTHING: [(String, u32); 0] = [];

/// An interface with this program in native mode.
pub(crate) fn native(id: u32) -> [(String, u32); 1] {
    [("native".to_string(), id)]
}

/// An interface with this program in generic mode.
pub(crate) fn generic(id: u32) -> [(String, u32); 1] {
    [("generic".to_string(), id)]
}

/// The line that says that v0 is free again.
pub(crate) fn detached(reason: &str) -> Value {
    json!({"event": "detached", "interface": "v0", "reason": reason})
}

/// A number of JSON that is an id, a key or the like.
pub(crate) fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_else(|| panic!("{value}"))
}
