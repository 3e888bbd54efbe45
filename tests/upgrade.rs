//! `--upgrade`: a new version takes the place of the one before, and keeps what its maps hold.
//!
//! Each test stands on a sandbox of its own; without the privilege to make one it is skipped aloud, and fails where
//! `RXDP_REQUIRE_KERNEL=1`.
#![cfg(test)]

mod common;

use std::path::Path;
use std::sync::atomic::Ordering;

use rxdp_sandbox::Sandbox;
use serde_json::{Value, json};

use common::held::{NOTHING, in_near, on_v0};
use common::wire::Wire;
use common::{Ran, in_sandbox, object};

/// Where everything is pinned.
const DIR: &str = "/sys/fs/bpf/counts";

fn install(sandbox: &Sandbox, version: u32, more: &[&str]) -> Ran {
    let object = object(&format!("counts-{version}"));
    in_near(sandbox, &[&[object.as_str(), "v0", "--pin", DIR, "--json"], more].concat())
}

fn upgrade(sandbox: &Sandbox, version: u32, more: &[&str]) -> Ran {
    install(sandbox, version, &[&["--upgrade"], more].concat())
}

/// What became of the maps, in the object's order.
fn carried(ran: &Ran) -> Vec<Value> {
    ran.done();
    ran.json()[0]["map_fd"].as_array().expect("maps").iter().map(|map| map["upgrade"].clone()).collect()
}

/// What a map holds.
fn dump(sandbox: &Sandbox, map: &str) -> Vec<Value> {
    let path = format!("{DIR}/{map}");
    let ran = in_near(sandbox, &["map", "dump", path.as_str(), "--json"]);
    ran.done();
    ran.json()
}

/// How many packets the program has seen, by a variable and by an entry.
fn counted(sandbox: &Sandbox) -> (u64, u64) {
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number: {value}"));
    let seen = dump(sandbox, "counts_1_bss");
    let counts = dump(sandbox, "counts");
    (number(&seen[0]["value"]["seen"]), counts.iter().map(|entry| number(&entry["value"]["packets"])).sum())
}

#[test]
fn no_packet_passes_and_no_count_is_lost_while_versions_change() {
    const PACKETS: u32 = 100_000;
    const UPGRADES: u32 = 50;
    in_sandbox(|sandbox| {
        install(sandbox, 1, &[]).done();
        let wire = Wire::new(sandbox);
        let mut versions = [2, 1].into_iter().cycle();
        let sent = wire.flood(b"while", |sent| {
            for done in 0..UPGRADES {
                let ran = upgrade(sandbox, versions.next().unwrap(), &[]);
                assert_eq!(carried(&ran), [json!("kept"), json!("anew"), json!("kept")], "upgrade {done}");
            }
            while sent.load(Ordering::Relaxed) < PACKETS {
                std::thread::yield_now();
            }
        });
        assert_eq!(counted(sandbox), (u64::from(sent), u64::from(sent)));
        in_near(sandbox, &["unload", "v0"]).done();
        wire.send(b"after");
        assert_eq!(wire.next(), b"after", "of {sent} packets one got through");
    });
}

#[test]
fn a_layout_that_changed_is_told_field_by_field_and_nothing_happens() {
    in_sandbox(|sandbox| {
        install(sandbox, 1, &[]).done();
        let before = on_v0(sandbox);
        let refused = upgrade(sandbox, 3, &[]);
        refused.failed(
            1,
            &[
                "map counts: value_size is 32 in the object and 16 in the pinned one",
                "value.bytes is u64, and was u32",
                "value.last is new: u32, 4 bytes at byte 24",
                "value.packets is 8 bytes at byte 8, and was 8 bytes at byte 0",
                "value.sizes is u16[4], and was u16[2]",
                "--on-mismatch migrate",
            ],
        );
        assert_eq!(on_v0(sandbox), before);
        assert_eq!(upgrade(sandbox, 2, &[]).code, Some(0), "nothing of it was left in the way");
    });
}

#[test]
fn what_fits_is_copied_field_by_field() {
    in_sandbox(|sandbox| {
        install(sandbox, 1, &[]).done();
        let wire = Wire::new(sandbox);
        (0..7).for_each(|_| wire.send(b"counted"));
        upgrade(sandbox, 2, &[]).done();
        wire.send(b"counted");
        let before = dump(sandbox, "counts");
        assert_eq!(before[0]["value"], json!({"packets": 8, "bytes": 0, "sizes": [2, 0]}));

        let ran = upgrade(sandbox, 3, &["--on-mismatch", "migrate"]);
        assert_eq!(carried(&ran), [json!("migrated"), json!("anew"), json!("kept")]);
        let after = dump(sandbox, "counts");
        assert_eq!(after[0]["key"], before[0]["key"]);
        assert_eq!(after[0]["value"], json!({"bytes": 0, "packets": 8, "sizes": [2, 0, 0, 0], "last": 0}));

        // Back, a number would have to shrink.
        upgrade(sandbox, 1, &["--on-mismatch", "migrate"])
            .failed(1, &["map counts", "a value does not fit the new type", "--on-mismatch recreate"]);
        assert_eq!(dump(sandbox, "counts"), after, "and what is there stays");
        let ran = upgrade(sandbox, 1, &["--on-mismatch", "recreate"]);
        assert_eq!(carried(&ran), [json!("anew"), json!("anew"), json!("kept")]);
        assert_eq!(dump(sandbox, "counts"), Vec::<Value>::new());
    });
}

#[test]
fn a_jump_table_is_made_anew_and_filled_before_it_goes_live() {
    in_sandbox(|sandbox| {
        let tail = object("tail_kern");
        let job = |more: &[&str]| {
            in_near(sandbox, &[&[tail.as_str(), "v0", "--pin", DIR, "--json"], more].concat())
        };
        let first = job(&["--upgrade"]);
        assert!(carried(&first).iter().all(Value::is_null), "nothing was there: a first install is one, too");
        let second = job(&["--upgrade"]);
        assert_eq!(carried(&second)[..2], [json!("anew"), json!("anew")]);
        let slots = &second.json()[0]["tail_calls"][0];
        assert_eq!((&slots["key"], &slots["program"]), (&json!(78), &json!("xdp_tail_call_1")));
        assert_ne!(first.json()[0]["map_fd"][0]["id"], second.json()[0]["map_fd"][0]["id"]);
        in_near(sandbox, &["unload", "v0"]).done();
        assert_eq!(on_v0(sandbox), NOTHING);
        assert!(!sandbox.near(|| Path::new(DIR).exists()));
    });
}

#[test]
fn a_map_that_is_gone_does_not_go_without_a_word() {
    in_sandbox(|sandbox| {
        install(sandbox, 1, &[]).done();
        let before = on_v0(sandbox);
        let tail = object("tail_kern");
        let job = |more: &'static [&str]| {
            in_near(sandbox, &[&[tail.as_str(), "v0", "--pin", DIR, "--upgrade"], more].concat())
        };
        job(&[])
            .failed(1, &["map counts: this version has none", "map counts_1.bss", "--on-mismatch recreate"]);
        assert_eq!(on_v0(sandbox), before);
        job(&["--on-mismatch", "recreate"]).done();
        assert_ne!(on_v0(sandbox), before);
    });
}

#[test]
fn a_program_that_was_not_pinned_there_is_left_alone() {
    in_sandbox(|sandbox| {
        let drop_all = object("drop_all");
        in_near(sandbox, &[drop_all.as_str(), "v0", "--pin", "/sys/fs/bpf/others"]).done();
        let before = on_v0(sandbox);
        upgrade(sandbox, 1, &[]).failed(3, &["v0", "xdp_drop_all", DIR, "--replace"]);
        assert_eq!(on_v0(sandbox), before);
        assert!(!sandbox.near(|| Path::new(DIR).exists()));
    });
}
