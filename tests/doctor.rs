//! `doctor` says beforehand what attaching would say afterwards, with the same exit code.
#![cfg(test)]

mod common;

use std::collections::HashSet;

use caps::{CapSet, Capability};
use rxdp_sandbox::Sandbox;
use serde_json::Value;

use common::held::{Held, attach, in_near, main_job, start};
use common::{Ran, in_sandbox};

/// What it found of one thing.
fn finding(ran: &Ran, what: &str) -> Value {
    let report = ran.json().remove(0);
    let found = report["findings"].as_array().expect("findings").iter().find(|one| one["what"] == what);
    found.unwrap_or_else(|| panic!("no {what} in {report:#}")).clone()
}

/// It says of `v0` what the main job comes to.
#[track_caller]
fn agrees(sandbox: &Sandbox, code: i32, what: &str, says: &str) {
    let doctor = in_near(sandbox, &["doctor", "v0", "--json"]);
    let job = attach(sandbox, "drop_all", &["--for", "0.01s"]);
    assert_eq!((doctor.code, job.code), (Some(code), Some(code)), "{doctor:#?}{job:#?}");
    let finding = finding(&doctor, what);
    assert!(finding["says"].as_str().expect("words").contains(says), "{finding}");
    assert_eq!(finding["state"] == "no", code != 0, "{finding}");
}

#[test]
fn it_agrees_with_the_main_job() {
    in_sandbox(|sandbox| {
        agrees(sandbox, 0, "native mode", "works");
        agrees(sandbox, 0, "place", "free");
        let held = Held::start(sandbox, "drop_all", &[]);
        agrees(sandbox, 3, "place", "xdp_drop_all");
        held.stop();
        agrees(sandbox, 0, "place", "free");
    });
}

#[test]
fn a_driver_says_what_it_can() {
    in_sandbox(|sandbox| {
        sandbox.add_bridge("br0").expect("a bridge");
        let veth = finding(&in_near(sandbox, &["doctor", "v0", "--json"]), "interface");
        assert_eq!(veth["says"], "v0 is up, veth: basic, redirect, rx-sg");
        let bridge = in_near(sandbox, &["doctor", "br0", "--json"]);
        assert_eq!(finding(&bridge, "interface")["says"], "br0 is up, bridge: no XDP of its own");
        // The kernel takes generic mode then.
        assert_eq!((bridge.code, &finding(&bridge, "native mode")["state"]), (Some(0), &Value::from("hint")));
    });
}

#[test]
fn a_link_in_the_way_is_to_be_ended_and_not_replaced() {
    in_sandbox(|sandbox| {
        let held = start(sandbox, &main_job("drop_all", &["--bpf-link"]));
        held.line_with("staying");
        let place = finding(&in_near(sandbox, &["doctor", "v0", "--json"]), "place");
        assert!(place["cures"][0].as_str().expect("a cure").starts_with("kill "), "{place}");
    });
}

#[test]
fn a_missing_capability_is_named() {
    in_sandbox(|sandbox| {
        let ran = sandbox.near(|| {
            let few = HashSet::from([Capability::CAP_BPF]);
            for right in caps::all().difference(&few) {
                caps::drop(None, CapSet::Bounding, *right).expect("rights can be given away");
            }
            common::run(&["doctor", "v0", "--json"])
        });
        assert_eq!(ran.code, Some(4));
        let missing = finding(&ran, "capabilities");
        assert_eq!((&missing["state"], &finding(&ran, "bpf(2)")["state"]), (&"no".into(), &"no".into()));
        assert!(missing["says"].as_str().expect("words").starts_with("missing: CAP_NET_ADMIN"), "{missing}");
    });
}

#[test]
fn an_interface_that_is_none_is_told_from_those_that_are() {
    in_sandbox(|sandbox| in_near(sandbox, &["doctor", "vo"]).failed(1, &["no interface \"vo\"", "v0"]));
}
