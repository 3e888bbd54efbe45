//! `rxdp-load status`: whose a program is, what it uses, how often and how fast it runs, in this namespace and in all.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::fs::{self, File};
use std::os::fd::AsFd;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use rxdp_loader::sys::{Kernel, Linux, Named};
use rxdp_sandbox::{End, Sandbox, packets};
use serde_json::{Value, json};

use common::held::{Held, in_near, start, status};
use common::{in_sandbox, rxdp_load};

/// Lets packets come in on v0, and waits until they were counted.
fn send(sandbox: &Sandbox, held: &Held, count: u64) {
    let far = sandbox.packet_socket(End::Far).unwrap();
    let map = held.map("xdp_stats_map").to_string();
    let counted = || {
        let ran = in_near(sandbox, &["map", "dump", &map, "--json"]);
        ran.json().iter().map(|row| row["value"]["rx_packets"].as_u64().unwrap()).sum::<u64>()
    };
    let before = counted();
    for _ in 0..count {
        far.send(&packets::udp(4000, 9, b"counted")).unwrap();
    }
    let start = std::time::Instant::now();
    while counted() < before + count {
        assert!(start.elapsed() < common::TOO_LONG, "packets are counted");
    }
}

#[test]
fn maps_calls_holders_and_pins_are_told() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "typed_maps", &["--prog", "jump", "--no-infer"]);
        let (jump, count) = (held.program("jump"), held.program("count"));
        let table = held.map("table");
        let map = Linux.map_by_id(table).unwrap();
        let pin = "/sys/fs/bpf/table";
        let pinned = sandbox.near(|| Linux.obj_pin(Named { name: "table", fd: map.as_fd() }, pin.as_ref()));
        pinned.unwrap();
        let names = |row: &Value| -> Vec<String> {
            row["maps"]
                .as_array()
                .unwrap()
                .iter()
                .map(|map| map["name"].as_str().unwrap().to_string())
                .collect()
        };
        let row = &status(sandbox)[0];
        assert_eq!(row["calls"], json!([]));
        assert!(!names(row).contains(&"flows".to_string()), "{row}");
        let told = row["maps"].as_array().unwrap().iter().find(|map| map["name"] == "table").unwrap();
        assert_eq!(told, &json!({"id": table, "name": "table", "type": "prog_array", "pinned": [pin]}));
        let holder = row["program"]["processes"][0].clone();
        assert_eq!((&holder["name"], &row["program"]["id"]), (&json!("rxdp-load"), &json!(jump)));
        assert!(holder["pid"].as_u64().is_some_and(|pid| fs::exists(format!("/proc/{pid}")).unwrap()));
        assert_eq!(row["program"]["pinned"], json!([]));

        in_near(sandbox, &["map", "set", &table.to_string(), "1", &count.to_string()]).done();
        let row = &status(sandbox)[0];
        assert_eq!(row["calls"], json!([{"name": "count", "id": count}]));
        assert!(names(row).contains(&"flows".to_string()), "{row}");
        let text = in_near(sandbox, &["status", "v0"]);
        for line in [
            format!("  held by rxdp-load (pid {})", holder["pid"]),
            format!("  map table (id {table}, prog_array), pinned at {pin}"),
            format!("  calls through jump tables: count (id {count})"),
            format!("  jump table table (id {table}), 1 of 4 slots: [1] = id {count}"),
        ] {
            assert!(text.done().lines().any(|found| found == line), "{line}: {text:#?}");
        }
    });
}

#[test]
fn runs_are_told_while_somebody_keeps_statistics() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "typed_maps", &[]);
        let statistics = Linux.keep_statistics().unwrap();
        send(sandbox, &held, 4);
        drop(statistics);
        let program = &status(sandbox)[0]["program"];
        assert_eq!((&program["run_count"], &program["recursion_misses"]), (&json!(4), &json!(0)));
        assert!(program["run_time_ns"].as_u64().is_some_and(|time| time > 0), "{program}");
        let text = in_near(sandbox, &["status", "v0"]);
        assert!(text.done().contains("\n  ran 4 times, "), "{text:#?}");
    });
}

#[test]
fn watch_tells_how_fast_programs_run_and_what_they_decide() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "typed_maps", &[]);
        let watch = start(sandbox, &["status", "--watch", "--interval", "20ms", "--json"]);
        assert_eq!(watch.error_line(), "looking every 20ms; Ctrl-C ends");
        send(sandbox, &held, 3);
        let (map, program) = (held.map("xdp_stats_map"), held.program("count"));
        // Runs and verdicts are counted one after the other; both come in the end.
        let (mut ran, mut dropped) = (false, false);
        while !(ran && dropped) {
            let row = &common::json(&watch.line())[0];
            assert_eq!(
                (&row["interface"], &row["program"]),
                (&json!("v0"), &json!({"name": "count", "id": program}))
            );
            assert_eq!(row["verdicts_from"], json!({"name": "xdp_stats_map", "id": map}));
            let verdicts: Vec<&String> = row["verdicts"].as_object().unwrap().keys().collect();
            assert_eq!(verdicts, ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_REDIRECT", "XDP_TX"]);
            let rates = &row["rates"];
            assert_eq!(rates["verdicts_per_second"]["XDP_PASS"], 0.0);
            dropped |= rates["verdicts_per_second"]["XDP_DROP"].as_f64().unwrap() > 0.0;
            ran |= rates["runs_per_second"].as_f64().unwrap() > 0.0 && rates["ns_per_run"].as_u64().is_some();
        }
        watch.signal(Signal::SIGINT);
        watch.end().done();

        let watch = start(sandbox, &["status", "v0", "--watch", "--interval", "20ms"]);
        watch.error_line();
        assert!(
            watch.line().starts_with(&format!("v0: count (id {program}) in native mode: 0.0 runs a second"))
        );
        assert_eq!(
            watch.line(),
            format!("  packets a second by verdict, from map xdp_stats_map (id {map}): none")
        );
        send(sandbox, &held, 3);
        watch.line_with("): XDP_DROP ");
        watch.signal(Signal::SIGTERM);
        watch.end().done();
    });
}

#[test]
fn watch_says_where_nobody_counts_verdicts() {
    in_sandbox(|sandbox| {
        let _held = Held::start(sandbox, "udp_count", &[]);
        let watch = start(sandbox, &["status", "--watch", "--interval", "20ms"]);
        watch.error_line();
        watch.line();
        assert_eq!(
            watch.line(),
            "  by verdict: nobody counts; a program can, in an array xdp_stats_map of 5"
        );
        drop(watch);
        let watch = start(sandbox, &["status", "--watch", "--interval", "20ms", "--for", "1ms"]);
        assert_eq!(watch.end().code, Some(0));
        in_near(sandbox, &["status", "--interval", "1s"]).failed(2, &["--watch"]);
        in_near(sandbox, &["status", "nowhere", "--watch"]).failed(1, &["nowhere"]);
    });
}

/// From another namespace, whether this one has a name or only processes.
#[test]
fn all_namespaces_are_looked_into() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "typed_maps", &[]);
        let program = held.program("count");
        let near = sandbox.near(|| File::open("/proc/thread-self/ns/net").unwrap());
        let other = Sandbox::new().unwrap();
        let found = |args: &[&str]| {
            let ran = in_near(&other, &[&["status", "--json"], args].concat());
            ran.done();
            let rows = ran.json()[0].as_array().unwrap().clone();
            rows.into_iter().find(|row| row["program"]["id"] == program)
        };
        assert_eq!(found(&[]), None);
        let row = found(&["--all-namespaces"]).expect("a row");
        assert_eq!((&row["interface"], &row["mode"]), (&json!("v0"), &json!("native")));
        let name = row["namespace"].as_str().expect("a namespace");
        assert!(name.starts_with("of pid ") && name.ends_with(" (rxdp-load)"), "{name}");
        assert!(found(&["--all-namespaces", "v0"]).is_some());

        // Where only the other's processes see it.
        other.near(|| {
            const NOTHING: Option<&str> = None;
            mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
            fs::create_dir("/run/netns").unwrap();
            File::create("/run/netns/blue").unwrap();
            let place = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&near));
            mount(Some(place.as_str()), "/run/netns/blue", NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();
        });
        assert_eq!(found(&["--all-namespaces"]).expect("a row")["namespace"], "blue");
        let text = in_near(&other, &["status", "--all-namespaces"]);
        assert!(text.done().contains(&format!("blue: v0: count (id {program}, tag ")), "{text:#?}");
        // Ours has no name.
        let ours = status(sandbox);
        assert!(ours[0].get("namespace").is_none());
        in_near(&other, &["status", "--all-namespaces", "nowhere"]).failed(1, &["nowhere"]);
    });
}

#[test]
fn without_privilege_only_what_everybody_may_see_is_told() {
    use std::os::unix::process::CommandExt;

    in_sandbox(|sandbox| {
        let _held = Held::start(sandbox, "typed_maps", &[]);
        let mut command = rxdp_load(&["status", "--json"]);
        command.uid(65_534).gid(65_534);
        let ran = sandbox.near(|| common::Running::start(command).end());
        ran.done();
        let row = &ran.json()[0][0];
        assert_eq!((&row["program"]["name"], &row["program"]["run_count"]), (&Value::Null, &Value::Null));
        assert_eq!((&row["maps"], &row["calls"]), (&json!([]), &json!([])));
    });
}
