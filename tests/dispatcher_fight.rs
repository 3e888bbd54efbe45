//! Two of ours and xdp-tools' own loader fight for one interface: each loads a program at the same moment, and each takes it
//! off again at the same moment. Whoever says that its program is there has it there, whoever does not has not; nothing is
//! left in the end.
//!
//! A few rounds; `RXDP_ROUNDS` says how many. Shown once with 200:
//! `cargo xtask vm --kernel 6.12 --set RXDP_ROUNDS=200 dispatcher_fight`.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::thread;

use nix::sys::signal::Signal;
use rxdp_sandbox::{End, Sandbox};
use serde_json::Value;

use common::dispatched::{beside_xdp_loader, components, is_clean, lock_is_free, pins, signed};
use common::held::{in_near, main_job, number, start, status};
use common::wire::Wire;
use common::xdp_loader::xdp_loader;
use common::{Running, object};

/// Rounds that do not take minutes on an emulated machine.
const ROUNDS: usize = 4;

/// Until the round is over.
const STAY: &[&str] = &["--json", "--for", "30min"];

/// How often each came to its program, and how often its loader took it off at the first try.
#[derive(Default, Debug)]
struct Count {
    rounds: usize,
    alone: usize,
    beta: usize,
    gamma: usize,
    alpha: usize,
    alpha_off: usize,
}

/// Ours, if it came to its program; what it says if not.
fn outcome(running: Running) -> Result<Running, String> {
    if running.line_or_end().is_some() {
        return Ok(running);
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    Err(ended.err)
}

/// The interface carries exactly the programs of those who say so, packets meet them, and the pins are those of what is
/// attached. Gives the ids of the programs, and whether one is alone.
fn belongs_to(sandbox: &Sandbox, wire: &Wire, successes: &[&str]) -> (BTreeMap<String, u32>, bool) {
    let rows = status(sandbox);
    let [row] = rows.as_slice() else {
        panic!("one program, or one dispatcher: {rows:?}");
    };
    let (program, alone) = (&row["program"], row["dispatcher"].is_null());
    let programs = if alone { vec![program.clone()] } else { components(&rows) };
    let named = |row: &Value| (row["name"].as_str().unwrap().to_string(), number(&row["id"]));
    let ids: BTreeMap<String, u32> = programs.iter().map(named).collect();
    assert!(ids.keys().eq(successes.iter().copied().collect::<BTreeSet<_>>()), "{ids:?}, not {successes:?}");
    let met: BTreeSet<char> = signed(wire).chars().collect();
    let letter = |name: &&str| if *name == "gamma" { 'c' } else { name.chars().next().unwrap() };
    assert_eq!(met, successes.iter().map(letter).collect());
    let directory = format!("dispatch-{}-{}", sandbox.ifindex(End::Near), number(&program["id"]));
    assert_eq!(pins(sandbox), if alone { vec![] } else { vec![directory] });
    assert!(lock_is_free(sandbox));
    (ids, alone)
}

fn round(sandbox: &Sandbox, wire: &Wire, count: &mut Count) {
    // Every other time one wants to be alone, if it can.
    let beta: &[&str] = if count.rounds % 2 == 0 { &["--dispatcher"] } else { &[] };
    let file = object("dispatched-alpha");
    let (beta, gamma, alpha) = thread::scope(|scope| {
        let alpha = scope.spawn(|| xdp_loader(sandbox, &["load", "v0", &file]));
        let beta = start(sandbox, &main_job("dispatched-beta", &[STAY, beta].concat()));
        let gamma = start(sandbox, &main_job("dispatched-gamma", &[STAY, &["--dispatcher"]].concat()));
        (outcome(beta), outcome(gamma), alpha.join().unwrap())
    });
    let alpha = alpha.status.success();
    let mut successes = Vec::new();
    for (name, came) in [("alpha", alpha), ("beta", beta.is_ok()), ("gamma", gamma.is_ok())] {
        successes.extend(came.then_some(name));
    }
    assert!(!successes.is_empty(), "nobody came to a program: {beta:?} {gamma:?}");
    let (ids, alone) = belongs_to(sandbox, wire, &successes);
    count.rounds += 1;
    count.alone += usize::from(alone);
    count.alpha += usize::from(alpha);
    count.beta += usize::from(beta.is_ok());
    count.gamma += usize::from(gamma.is_ok());

    let id = ids.get("alpha").map(ToString::to_string);
    let ours: Vec<Running> = [beta, gamma].into_iter().flatten().collect();
    let off = thread::scope(|scope| {
        let alpha = id.map(|id| scope.spawn(move || xdp_loader(sandbox, &["unload", "v0", "-i", &id])));
        ours.iter().for_each(|running| running.signal(Signal::SIGINT));
        for running in ours {
            let ended = running.end();
            ended.done();
            assert!(ended.json()[0]["left_alone"].is_null(), "{ended:?}");
        }
        alpha.is_none_or(|alpha| alpha.join().unwrap().status.success())
    });
    if off {
        count.alpha_off += usize::from(alpha);
    } else {
        // It says that it could not, so its program is there.
        belongs_to(sandbox, wire, &["alpha"]);
        in_near(sandbox, &["unload", "v0"]).done();
    }
    is_clean(sandbox);
}

#[test]
fn whoever_says_that_its_program_is_there_has_it_there() {
    beside_xdp_loader(|sandbox| {
        let rounds = std::env::var("RXDP_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
        let wire = Wire::new(sandbox);
        let mut count = Count::default();
        for _ in 0..rounds.unwrap_or(ROUNDS) {
            round(sandbox, &wire, &mut count);
            // It takes its time, and says how far it is.
            if count.rounds % 10 == 0 || Some(count.rounds) == rounds {
                std::io::stderr().write_all(format!("{count:?}\n").as_bytes()).unwrap();
            }
        }
    });
}
