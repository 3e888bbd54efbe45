//! SIGKILL at any moment: an interface carries the old program or the new one, whole, and the next command goes on from there.
//!
//! Stands on a sandbox of its own; without the privilege to make one it is skipped aloud, and fails where
//! `RXDP_REQUIRE_KERNEL=1`.
#![cfg(test)]

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use rxdp_sandbox::Sandbox;
use serde_json::Value;

use common::held::{NOTHING, in_near, on_v0, start, status};
use common::{in_sandbox, object};

/// Where everything is pinned.
const DIR: &str = "/sys/fs/bpf/killed";

/// How often a command is killed, and the longest that one lives, in **microseconds**: more than any takes on a quiet machine.
const KILLS: u64 = 50;
const LONGEST: u64 = 60_000;

/// What is killed on its way, in turns.
const ON_THE_WAY: &[&[&str]] = &[&["--upgrade"], &["--replace"], &["--upgrade"]];

#[test]
fn whatever_is_killed_the_interface_carries_one_program_whole() {
    in_sandbox(|sandbox| {
        let tail = object("tail_kern");
        let job = |more: &'static [&str]| [&[tail.as_str(), "v0", "--pin", DIR], more].concat();
        let (mut early, mut done) = (0, 0);
        for round in 0..KILLS {
            // Every other round begins with nothing.
            let fresh = round % 2 == 0;
            if !fresh {
                in_near(sandbox, &job(&[])).done();
            }
            let before = on_v0(sandbox);
            let unload: &[&str] = &["unload", "v0"];
            let args = match usize::try_from(round / 2).unwrap() % 4 {
                3 => unload.to_vec(),
                _ if fresh => job(&[]),
                turn => job(ON_THE_WAY[turn]),
            };
            let running = start(sandbox, &args);
            // The moment is the point: there is no event to wait for.
            thread::sleep(Duration::from_micros(moment(round)));
            // Kills it, if it is still there.
            drop(running);

            let after = on_v0(sandbox);
            let unloads = args[0] == "unload";
            assert!(after.len() <= 1, "{args:?}: {after:?}");
            assert!(unloads || fresh || !after.is_empty(), "{args:?} left nothing of {before:?}");
            (early, done) = if after == before { (early + 1, done) } else { (early, done + 1) };
            whole(sandbox, &args);
            if !after.is_empty() {
                in_near(sandbox, unload).done();
            }
            assert_eq!(on_v0(sandbox), NOTHING, "{args:?}");
            // What nobody is attached for any more may be left; it is in nobody's way but ours.
            sandbox.near(|| {
                for pin in fs::read_dir(DIR).into_iter().flatten() {
                    fs::remove_file(pin.unwrap().path()).unwrap();
                }
            });
        }
        assert!(early > 0 && done > 0, "killed before {early} times and behind {done} times");
    });
}

/// The jump table of what is attached has its slot.
fn whole(sandbox: &Sandbox, args: &[&str]) {
    for row in status(sandbox) {
        let slots = &row["tail_tables"][0]["slots"];
        assert_eq!(slots.as_array().map(Vec::len), Some(1), "{args:?}: {row}");
        assert_ne!(slots[0]["program_id"], Value::Null, "{args:?}: {row}");
    }
}

/// Moments that look like chance and are the same every time. Source: Knuth, multiplicative hashing.
fn moment(round: u64) -> u64 {
    (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % LONGEST
}
