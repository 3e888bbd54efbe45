//! xdp-tools' own loader, for tests of living side by side with it.
//!
//! What may not enter: our command.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use rxdp_sandbox::Sandbox;

/// Where it is, in the machines of `cargo xtask vm` and where Debian's package is installed.
const PROGRAM: &str = "/usr/sbin/xdp-loader";

/// Whether it is there.
pub(crate) fn is_there() -> bool {
    Path::new(PROGRAM).exists()
}

/// Runs it in near. Version 1.3.1 cannot run twice at once, whatever the interface.
pub(crate) fn xdp_loader(sandbox: &Sandbox, args: &[&str]) -> Output {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    sandbox.near(|| Command::new(PROGRAM).args(args).output().expect("xdp-loader"))
}

/// Runs it, and sees that it does what it is told.
#[track_caller]
pub(crate) fn does(sandbox: &Sandbox, args: &[&str]) -> String {
    let output = xdp_loader(sandbox, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A program that a dispatcher calls, as `xdp-loader status` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) priority: u32,
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) tag: String,
    pub(crate) actions: Vec<String>,
}

/// What it shows of v0: id and tag of the program there, and what that calls; `None` for nothing.
pub(crate) fn status(sandbox: &Sandbox) -> Option<(u32, String, Vec<Row>)> {
    let text = does(sandbox, &["status", "v0"]);
    let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("{word:?} in {text}"));
    let (mut first, mut rows) = (None, Vec::new());
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["=>", priority, name, id, tag, actions @ ..] => rows.push(Row {
                priority: number(priority),
                name: (*name).to_string(),
                id: number(id),
                tag: (*tag).to_string(),
                actions: actions.iter().flat_map(|all| all.split(',')).map(ToString::to_string).collect(),
            }),
            ["v0", _, _, id, tag] => first = Some((number(id), (*tag).to_string())),
            _ => {}
        }
    }
    first.map(|(id, tag)| (id, tag, rows))
}
