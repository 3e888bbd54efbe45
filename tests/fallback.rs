//! `--fallback`, and `--bpf-link`: other ways onto an interface.
#![cfg(test)]

mod common;

use std::path::Path;

use nix::sys::signal::Signal;
use rxdp_sandbox::Sandbox;

use common::held::{Held, NOTHING, attach, generic, in_near, native, on_v0};
use common::wire::Wire;
use common::{Ran, in_sandbox, object};

fn pin(sandbox: &Sandbox, options: &[&str]) -> Ran {
    let object = object("drop_all");
    in_near(sandbox, &[options, &["--pin", "/sys/fs/bpf/here", &object, "v0"]].concat())
}

#[test]
fn fragments_come_first_where_they_are_given_first() {
    in_sandbox(|sandbox| {
        sandbox.set_mtu("v1", 9000).expect("a large MTU");
        for (ways, mode, end) in [
            ("frags,generic", "native", "fell back to native mode with fragments"),
            ("generic,frags", "generic", "fell back to generic mode"),
        ] {
            let held = Held::start(sandbox, "drop_all", &["--fallback", ways]);
            assert_eq!(held.attached["mode"], mode, "{ways}");
            let steps = held.attached["fallback"].as_array().expect("steps");
            assert!(steps[0].as_str().expect("words").contains("Peer MTU is too large"), "{steps:?}");
            assert_eq!(steps.last().expect("an end"), end);
            held.stop();
            assert_eq!(on_v0(sandbox), NOTHING);
        }
        attach(sandbox, "drop_all", &[]).failed(3, &["Peer MTU"]);
    });
}

#[test]
fn nothing_is_said_of_a_way_that_was_not_needed() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "drop_all", &["--fallback", "frags,generic"]);
        assert_eq!((&held.attached["mode"], held.attached.get("fallback")), (&"native".into(), None));
    });
}

#[test]
fn a_link_goes_with_its_process_even_when_that_is_killed() {
    in_sandbox(|sandbox| {
        for mode in ["native", "generic"] {
            let held = Held::start(sandbox, "drop_all", &["--bpf-link", "--mode", mode]);
            let id = held.program("xdp_drop_all");
            let wanted = if mode == "native" { native(id) } else { generic(id) };
            assert_eq!(on_v0(sandbox), wanted);
            held.stop();
            assert_eq!(on_v0(sandbox), NOTHING);
        }
        let held = Held::start(sandbox, "drop_all", &["--bpf-link"]);
        held.end(Signal::SIGKILL);
        // Another one has room at once.
        Held::start(sandbox, "drop_all", &["--bpf-link"]).stop();
    });
}

#[test]
fn a_pinned_link_drops_packets_until_it_is_unloaded() {
    in_sandbox(|sandbox| {
        let wire = Wire::new(sandbox);
        let pinned = pin(sandbox, &["--bpf-link"]);
        let is_there = || sandbox.near(|| Path::new("/sys/fs/bpf/here/xdp_link").exists());
        assert_eq!((pinned.code, is_there()), (Some(0), true), "{pinned:#?}");
        wire.send(b"dropped");
        in_near(sandbox, &["unload", "v0"]).done();
        assert_eq!((on_v0(sandbox).as_slice(), is_there()), (&NOTHING[..], false));
        wire.send(b"passed");
        assert_eq!(wire.next(), b"passed");
    });
}

#[test]
fn a_link_that_cannot_be_pinned_is_not_left() {
    in_sandbox(|sandbox| {
        let first = pin(sandbox, &["--mode", "generic"]);
        assert_eq!(first.code, Some(0), "{first:#?}");
        in_near(sandbox, &["unload", "v0"]).done();
        sandbox.near(|| std::fs::create_dir_all("/sys/fs/bpf/here/xdp_link")).expect("a directory");
        pin(sandbox, &["--bpf-link"]).failed(3, &["xdp_link"]);
        assert_eq!(on_v0(sandbox), NOTHING);
        assert!(!sandbox.near(|| Path::new("/sys/fs/bpf/here/xdp_drop_all").exists()));
    });
}
