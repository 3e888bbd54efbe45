//! Programs that share v0, by our loader and by xdp-tools' own, and what both say of them.
//!
//! Needs a kernel that lets programs replace functions of others, and Debian's `xdp-loader`: both are in the machine of
//! `cargo xtask vm --kernel 6.12 dispatcher`. Elsewhere it is skipped aloud.

use std::collections::BTreeMap;
use std::io::Write;

use nix::sys::signal::Signal;
use rxdp_dispatcher::error::KernelError;
use rxdp_dispatcher::prototype::Prototype;
use rxdp_loader::sys::Linux;
use rxdp_sandbox::Sandbox;
use serde_json::Value;

use super::held::{Held, in_near, number, status};
use super::wire::Wire;
use super::xdp_loader::{self, Row};
use super::{in_sandbox, object};

/// Runs a test where programs can share an interface.
pub(crate) fn where_programs_can_share(test: impl FnOnce(&Sandbox)) {
    in_sandbox(|sandbox| match Prototype::load(&Linux) {
        Err(KernelError::NoReplace { .. }) => skip("this kernel lets no program replace another's function"),
        Err(error) => panic!("{error}"),
        Ok(_) => test(sandbox),
    });
}

/// Runs a test where programs can share an interface, and xdp-tools' loader is there.
pub(crate) fn beside_xdp_loader(test: impl FnOnce(&Sandbox)) {
    where_programs_can_share(|sandbox| match xdp_loader::is_there() {
        true => test(sandbox),
        false => skip("no xdp-loader"),
    });
}

fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    std::io::stderr().write_all(format!("SKIPPED {name}: {why}\n").as_bytes()).unwrap();
}

/// The main job on v0. On an emulated machine that others share it may take minutes until its test ends it.
pub(crate) fn held(sandbox: &Sandbox, name: &str, options: &[&str]) -> Held {
    Held::start(sandbox, name, &[&["--for", "30min"], options].concat())
}

/// What the dispatcher of v0 calls, as both tools show it; they agree.
#[track_caller]
pub(crate) fn called(sandbox: &Sandbox) -> Vec<String> {
    let ours = status(sandbox);
    let Some((id, tag, rows)) = xdp_loader::status(sandbox) else {
        assert_eq!(ours, Vec::<Value>::new(), "xdp-loader sees nothing");
        return Vec::new();
    };
    assert_eq!((number(&ours[0]["program"]["id"]), &ours[0]["program"]["tag"]), (id, &tag.into()));
    assert_eq!(components(&ours).iter().map(row).collect::<Vec<_>>(), rows);
    rows.into_iter().map(|row| row.name).collect()
}

/// The programs that the dispatcher in these rows of `status --json` calls.
#[track_caller]
pub(crate) fn components(status: &[Value]) -> Vec<Value> {
    let components = status.first().and_then(|row| row["dispatcher"]["components"].as_array());
    components.unwrap_or_else(|| panic!("no dispatcher: {status:?}")).clone()
}

/// Names and ids of the programs that the dispatcher of v0 calls; empty without one.
pub(crate) fn ids(sandbox: &Sandbox) -> BTreeMap<String, u32> {
    let status = status(sandbox);
    let rows = if status.is_empty() { Vec::new() } else { components(&status) };
    rows.iter().map(|row| (row["name"].as_str().unwrap().to_string(), number(&row["id"]))).collect()
}

/// A row of ours as xdp-loader writes it.
fn row(component: &Value) -> Row {
    let word = |field: &str| component[field].as_str().unwrap().to_string();
    let verdicts = component["chain_on"].as_array().unwrap().iter();
    Row {
        priority: number(&component["priority"]),
        name: word("name"),
        id: number(&component["id"]),
        tag: word("tag"),
        actions: verdicts.map(|name| format!("XDP_{}", name.as_str().unwrap().to_uppercase())).collect(),
    }
}

/// The letters of the programs that a packet met, in that order.
pub(crate) fn signed(wire: &Wire) -> String {
    wire.send(&[0; 32]);
    let payload = wire.next();
    payload[1..][..usize::from(payload[0])].iter().map(|letter| char::from(*letter)).collect()
}

/// What stands in the directory of dispatchers.
pub(crate) fn pins(sandbox: &Sandbox) -> Vec<String> {
    sandbox.near(|| {
        let entries = std::fs::read_dir("/sys/fs/bpf/xdp").into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    })
}

/// Nothing is attached, nothing pinned, and nobody has the lock.
#[track_caller]
pub(crate) fn is_clean(sandbox: &Sandbox) {
    assert_eq!(status(sandbox), Vec::<Value>::new());
    assert_eq!(pins(sandbox), Vec::<String>::new());
    assert!(lock_is_free(sandbox));
}

/// Whether nobody has the lock on the directory of dispatchers.
pub(crate) fn lock_is_free(sandbox: &Sandbox) -> bool {
    use nix::fcntl::{Flock, FlockArg};
    sandbox.near(|| match std::fs::File::open("/sys/fs/bpf/xdp") {
        Ok(dir) => Flock::lock(dir, FlockArg::LockExclusiveNonblock).is_ok(),
        Err(_) => true,
    })
}

/// A program that was loaded by one of the two.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) name: &'static str,
    priority: u32,
    letter: char,
    held: Option<Held>,
}

/// Who does something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Us,
    XdpLoader,
}

impl Loaded {
    /// Loads `dispatched-NAME.o`.
    pub(crate) fn load(sandbox: &Sandbox, by: By, name: &'static str, priority: Option<u32>) -> Self {
        let given = priority.map(|priority| priority.to_string());
        let file = object(&format!("dispatched-{name}"));
        let ours = match by {
            By::Us => {
                let priority = given.iter().flat_map(|priority| ["--priority", priority]);
                let options: Vec<&str> = ["--dispatcher"].into_iter().chain(priority).collect();
                Some(held(sandbox, &format!("dispatched-{name}"), &options))
            }
            By::XdpLoader => {
                let priority = given.iter().flat_map(|priority| ["-P", priority]);
                let args: Vec<&str> = ["load"].into_iter().chain(priority).chain(["v0", &file]).collect();
                xdp_loader::does(sandbox, &args);
                None
            }
        };
        let letter = match name {
            "alpha" => 'a',
            "beta" => 'b',
            "gamma" => 'c',
            other => other.chars().next().unwrap(),
        };
        // alpha says its own.
        let priority = priority.unwrap_or(if name == "alpha" { 10 } else { 50 });
        Self { name, priority, letter, held: ours }
    }

    /// Takes it off: ours by its end, or by one of the two.
    pub(crate) fn unload(self, sandbox: &Sandbox, by: Option<By>) {
        let id = ids(sandbox)[self.name].to_string();
        match by {
            Some(By::Us) => in_near(sandbox, &["unload", "v0", "--id", &id]).done().to_string(),
            Some(By::XdpLoader) => xdp_loader::does(sandbox, &["unload", "v0", "-i", &id]),
            None => String::new(),
        };
        let Some(held) = self.held else {
            return;
        };
        let ended = held.end(Signal::SIGINT);
        ended.done();
        let left_alone = &ended.json()[0]["left_alone"];
        match by {
            Some(_) => assert_eq!(left_alone, "somebody detached our program"),
            None => assert!(left_alone.is_null(), "{left_alone}"),
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

/// Both tools show these programs, in the order of their priorities and names, and packets meet them so.
#[track_caller]
pub(crate) fn are_called(sandbox: &Sandbox, wire: &Wire, loaded: &[Loaded]) {
    let mut sorted: Vec<&Loaded> = loaded.iter().collect();
    sorted.sort_by_key(|one| (one.priority, one.name));
    let names: Vec<&str> = sorted.iter().map(|one| one.name).collect();
    assert_eq!(called(sandbox), names);
    assert_eq!(signed(wire), sorted.iter().map(|one| one.letter).collect::<String>());
}
