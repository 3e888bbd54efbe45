//! Whose place is it: an interface that is taken, `--replace`, and what others do with our program meanwhile.
//!
//! Each test stands on a sandbox of its own; without the privilege to make one it is skipped aloud, and fails where
//! `RXDP_REQUIRE_KERNEL=1`.
#![cfg(test)]

mod common;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use nix::sys::signal::Signal;
use rxdp_loader::sys::{Kernel, Linux};
use rxdp_netlink::{XdpMode, blocking};
use rxdp_sandbox::{End, Sandbox};
use serde_json::json;

use common::held::{Held, NOTHING, Staying, attach, generic, in_near, native, number, on_v0, status};
use common::wire::Wire;
use common::{Ran, in_sandbox, object, rxdp_load};

#[test]
fn an_occupied_interface_is_refused_and_the_owner_named() {
    in_sandbox(|sandbox| {
        let owner = Held::start(sandbox, "tail_kern", &[]);
        let id = owner.program("xdp_prog");
        let (program, cure) = (format!("program \"xdp_prog\" (id {id}"), format!("--replace={id}"));
        attach(sandbox, "drop_all", &[]).failed(3, &["v0", "already", &program, &cure]);
        attach(sandbox, "drop_all", &["--mode", "generic"]).failed(3, &["native and generic", &program]);
        assert_eq!(on_v0(sandbox), native(id));
        assert_eq!(owner.slot("jmp_table1", 78), owner.program("xdp_tail_call_1"));
        owner.stop();
        assert_eq!(on_v0(sandbox), NOTHING);
    });
}

#[test]
fn replace_takes_the_place_and_its_former_holder_leaves_it_alone() {
    in_sandbox(|sandbox| {
        for named in [false, true] {
            let first = Held::start(sandbox, "tail_kern", &[]);
            let replace = format!("--replace={}", first.program("xdp_prog"));
            let second = Held::start(sandbox, "drop_all", &[if named { &replace } else { "--replace" }]);
            let id = second.program("xdp_drop_all");
            assert_eq!(on_v0(sandbox), native(id), "{replace}");

            first.stop_replaced();
            assert_eq!(on_v0(sandbox), native(id), "{replace}");
            second.end(Signal::SIGINT).done();
            assert_eq!(on_v0(sandbox), NOTHING, "{replace}: what was replaced does not come back");
        }
    });
}

#[test]
fn replace_of_another_program_than_expected_changes_nothing() {
    in_sandbox(|sandbox| {
        let owner = Held::start(sandbox, "tail_kern", &[]);
        let (id, other) = (owner.program("xdp_prog"), owner.program("xdp_tail_call_1"));
        let words = [format!("program \"xdp_prog\" (id {id}"), other.to_string()];
        let refused = attach(sandbox, "drop_all", &[&format!("--replace={other}")]);
        refused.failed(3, &words.each_ref().map(String::as_str));
        assert_eq!(on_v0(sandbox), native(id));

        owner.stop();
        let refused = attach(sandbox, "drop_all", &[&format!("--replace={id}")]);
        refused.failed(3, &["v0", &id.to_string()]);
        assert_eq!(on_v0(sandbox), NOTHING);
    });
}

#[test]
fn replace_with_nothing_there_attaches() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "drop_all", &["--replace"]);
        assert_eq!(on_v0(sandbox), native(held.program("xdp_drop_all")));
    });
}

#[test]
fn replacing_leaves_no_gap_for_a_packet() {
    const SWAPS: usize = 5;
    in_sandbox(|sandbox| {
        let wire = Wire::new(sandbox);
        let mut held = Held::start(sandbox, "drop_all", &[]);
        let sent = wire.flood(b"while", |sent| {
            // A swap during which nothing was sent, on a busy machine, shows nothing.
            let mut shown = 0;
            for _ in 0..10 * SWAPS {
                let before = sent.load(Ordering::Relaxed);
                let next = Held::start(sandbox, "drop_all", &["--replace"]);
                shown += usize::from(sent.load(Ordering::Relaxed) > before);
                std::mem::replace(&mut held, next).stop_replaced();
                if shown == SWAPS {
                    return;
                }
            }
            panic!("nothing was sent during most swaps");
        });
        held.stop();
        wire.send(b"after");
        assert_eq!(wire.next(), b"after", "of {sent} packets one got through");
    });
}

#[test]
fn a_program_of_others_is_not_removed_when_we_stop() {
    in_sandbox(|sandbox| {
        let held = Staying::start(sandbox, "tail_kern");
        let (v0, ours) = (sandbox.ifindex(End::Near), on_v0(sandbox)[0].1);
        // Any other XDP program will do, such as the one behind the tail call.
        let other = number(&status(sandbox)[0]["tail_tables"][0]["slots"][0]["program_id"]);
        let (old, new) = (Linux.prog_by_id(ours).unwrap(), Linux.prog_by_id(other).unwrap());
        sandbox.near(|| {
            let netlink = blocking::Handle::connect().unwrap();
            netlink.replace(v0, new.as_fd(), old.as_fd(), XdpMode::Native).unwrap();
        });
        let ended = held.end();
        let words = format!("left v0 alone: somebody else attached program \"xdp_tail_call_1\" (id {other}");
        assert!(ended.done().contains(&words), "{ended:?}");
        assert_eq!(on_v0(sandbox), native(other));
    });
}

#[test]
fn a_program_that_others_took_off_is_no_error_when_we_stop() {
    in_sandbox(|sandbox| {
        let held = Staying::start(sandbox, "tail_kern");
        in_near(sandbox, &["unload", "v0"]).done();
        let ended = held.end();
        assert!(ended.done().contains("left v0 alone: somebody else detached our program"), "{ended:?}");
    });
}

#[test]
fn a_replaced_program_is_replaced_in_its_own_mode() {
    in_sandbox(|sandbox| {
        let first = Held::start(sandbox, "tail_kern", &["--mode", "generic"]);
        attach(sandbox, "drop_all", &["--replace", "--mode", "native"])
            .failed(3, &["in generic mode", "--mode"]);
        let second = Held::start(sandbox, "drop_all", &["--replace"]);
        assert_eq!(second.attached["mode"], "generic");
        assert_eq!(on_v0(sandbox), generic(second.program("xdp_drop_all")));
        first.stop_replaced();
        assert_eq!(on_v0(sandbox).len(), 1);
    });
}

#[test]
fn a_failed_attach_leaves_the_interface_as_it_was() {
    in_sandbox(|sandbox| {
        sandbox.set_mtu("v1", 9000).unwrap();
        let too_large = ["packets can be too large", "Peer MTU is too large", "xdp.frags"];
        attach(sandbox, "drop_all", &[]).failed(3, &too_large);
        attach(sandbox, "drop_all", &["--mode", "native"]).failed(3, &too_large);
        assert_eq!(on_v0(sandbox), NOTHING);

        let held = Held::start(sandbox, "frags", &[]);
        let ours = native(held.program("xdp_frags"));
        attach(sandbox, "drop_all", &["--replace"]).failed(3, &too_large);
        assert_eq!(on_v0(sandbox), ours);
        attach(sandbox, "drop_all", &[]).failed(3, &["already"]);
        attach(sandbox, "refused", &["--replace"]).failed(3, &["offset is outside of the packet"]);
        assert_eq!(on_v0(sandbox), ours);
    });
}

/// Where the programs of these tests are pinned.
const DIR: &str = "/sys/fs/bpf/here";

#[test]
fn pinning_in_one_place_again_replaces_what_is_there_without_a_gap() {
    const SWAPS: u32 = 4;
    in_sandbox(|sandbox| {
        let wire = Wire::new(sandbox);
        pinned(sandbox, "drop_all", &["--pin", DIR]).done();
        let (pins, mut before) = (pins_in(sandbox, DIR), on_v0(sandbox));
        assert_eq!(pins, ["xdp_drop_all"]);
        let sent = wire.flood(b"while", |sent| {
            let first = sent.load(Ordering::Relaxed);
            for _ in 0..SWAPS {
                let printed = pinned(sandbox, "drop_all", &["--pin", DIR, "--replace"]);
                assert!(
                    printed.done().contains("removed the pins of the program that was replaced (1)"),
                    "{printed:?}"
                );
                let now = on_v0(sandbox);
                assert!(now != before && now.len() == 1, "{before:?}, {now:?}");
                assert_eq!(pins_in(sandbox, DIR), pins);
                before = now;
            }
            assert!(sent.load(Ordering::Relaxed) > first, "nothing was sent meanwhile");
        });
        gone_with_unload(sandbox);
        wire.send(b"after");
        assert_eq!(wire.next(), b"after", "of {sent} packets one got through");
    });
}

#[test]
fn the_pins_of_a_replaced_program_go_wherever_they_are() {
    in_sandbox(|sandbox| {
        pinned(sandbox, "tail_kern", &["--pin", "/sys/fs/bpf/deep/below"]).done();
        let former = on_v0(sandbox);
        pinned(sandbox, "drop_all", &["--pin", "/sys/fs/bpf/deep", "--replace"]).done();
        assert_eq!(pins_in(sandbox, "/sys/fs/bpf/deep"), ["xdp_drop_all"]);
        assert!(Linux.prog_by_id(former[0].1).is_err(), "nothing holds it any longer");

        // What was made for the first one goes with the last.
        let replace = format!("--replace={}", on_v0(sandbox)[0].1);
        pinned(sandbox, "tail_kern", &["--pin", DIR, &replace]).done();
        assert_eq!(pins_in(sandbox, "/sys/fs/bpf"), ["here"]);
        let slots = &status(sandbox)[0]["tail_tables"][0]["slots"];
        assert_eq!(slots[0]["key"], 78);
        gone_with_unload(sandbox);
    });
}

#[test]
fn without_a_pin_of_its_own_the_successor_leaves_pins_alone() {
    in_sandbox(|sandbox| {
        pinned(sandbox, "tail_kern", &["--pin", DIR]).done();
        let pins = pins_in(sandbox, DIR);
        attach(sandbox, "drop_all", &["--replace", "--for", "1ms"]).done();
        assert_eq!(pins_in(sandbox, DIR), pins);
    });
}

#[test]
fn a_failed_replacement_leaves_pins_and_slots_as_they_were() {
    in_sandbox(|sandbox| {
        pinned(sandbox, "tail_kern", &["--pin", DIR]).done();
        let there = || (pins_in(sandbox, DIR), status(sandbox));
        let before = there();
        let slots = &before.1[0]["tail_tables"][0]["slots"];
        assert_eq!(slots[0]["key"], json!(78), "{before:?}");

        // Before anything is loaded, while it is, and when all is done and only said.
        pinned(sandbox, "drop_all", &["--pin", DIR, "--replace=1"]).failed(3, &["id 1"]);
        assert_eq!(there(), before);
        pinned(sandbox, "refused", &["--pin", DIR, "--replace"]).failed(3, &["offset is outside"]);
        assert_eq!(there(), before);
        let mut command = rxdp_load(&[object("tail_kern").as_str(), "v0", "--pin", DIR, "--replace"]);
        let full = command.stdout(File::create("/dev/full").unwrap()).stderr(Stdio::piped());
        let unsaid = sandbox.near(|| full.output().unwrap());
        assert!(!unsaid.status.success(), "{unsaid:?}");
        assert_eq!(there(), before);

        gone_with_unload(sandbox);

        // When it is attached.
        sandbox.set_mtu("v1", 9000).unwrap();
        pinned(sandbox, "frags", &["--pin", DIR]).done();
        let before = there();
        pinned(sandbox, "tail_kern", &["--pin", DIR, "--replace"]).failed(3, &["too large"]);
        assert_eq!(there(), before);
        gone_with_unload(sandbox);
    });
}

#[test]
fn names_that_others_have_taken_stay_theirs() {
    in_sandbox(|sandbox| {
        sandbox.add_veth("other", "peer").unwrap();
        pinned(sandbox, "tail_kern", &["--pin", DIR]).done();
        in_near(sandbox, &[object("drop_all").as_str(), "other", "--pin", DIR]).done();
        let before = (pins_in(sandbox, DIR), on_v0(sandbox));

        let taken = pinned(sandbox, "drop_all", &["--pin", DIR, "--replace"]);
        taken.failed(1, &["/sys/fs/bpf/here/xdp_drop_all", "there already"]);
        assert_eq!((pins_in(sandbox, DIR), on_v0(sandbox)), before);

        pinned(sandbox, "udp_count", &["--pin", DIR, "--replace"]).done();
        let pins = pins_in(sandbox, DIR);
        assert!(pins.contains(&"xdp_drop_all".to_string()), "{pins:?}");
        assert!(!pins.contains(&"jmp_table1".to_string()) && pins.contains(&"rxcnt".to_string()), "{pins:?}");
    });
}

/// Runs the main job on v0, which pins and ends.
fn pinned(sandbox: &Sandbox, name: &str, options: &[&str]) -> Ran {
    in_near(sandbox, &[&[&*object(name), "v0"], options].concat())
}

/// Takes off what is attached to v0, and sees that no pin and no directory is left.
#[track_caller]
fn gone_with_unload(sandbox: &Sandbox) {
    in_near(sandbox, &["unload", "v0"]).done();
    assert_eq!(pins_in(sandbox, "/sys/fs/bpf"), [""; 0]);
    assert_eq!(on_v0(sandbox), NOTHING);
}

/// Names in a directory, but for those that every bpffs has.
fn pins_in(sandbox: &Sandbox, dir: &str) -> Vec<String> {
    let entries = sandbox.near(|| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()));
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with(".debug"));
    names.sort();
    names
}
