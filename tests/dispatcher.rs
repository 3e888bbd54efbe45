//! Several programs on one interface: side by side with those of xdp-tools' own loader, each sees, adds and removes the
//! other's, and packets say in which order the programs are called.
#![cfg(test)]

mod common;

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::signal::Signal;
use rxdp_dispatcher::prototype::Prototype;
use rxdp_loader::load::{self, CodeTypes, Given};
use rxdp_loader::plan::{self, Options, Select};
use rxdp_loader::spec::{Dialects, ProgId};
use rxdp_loader::sys::{Linux, host};
use rxdp_netlink::{XdpMode, blocking};
use rxdp_sandbox::{End, Sandbox};
use serde_json::json;

use common::dispatched::{
    By, Loaded, are_called, beside_xdp_loader, called, components, held, ids, is_clean, pins, signed,
    where_programs_can_share,
};
use common::held::{Held, attach, in_near, native, number, on_v0, status};
use common::wire::Wire;
use common::witness::Witness;
use common::{in_sandbox, object, xdp_loader};

/// All orders of three things.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Three programs are loaded, the last one to be called first; then they are taken off in every order, by each of the
/// ways there are.
fn side_by_side(sandbox: &Sandbox, loaders: [By; 3]) {
    let wire = Wire::new(sandbox);
    let mut ways = [Some(By::Us), Some(By::XdpLoader), None].into_iter().cycle();
    for order in ORDERS {
        let mut loaded = Vec::new();
        let wanted = [("alpha", None), ("beta", None), ("gamma", Some(5))];
        for (by, (name, priority)) in loaders.into_iter().zip(wanted) {
            loaded.push(Loaded::load(sandbox, by, name, priority));
            are_called(sandbox, &wire, &loaded);
        }
        assert_eq!(called(sandbox), ["gamma", "alpha", "beta"]);
        // Another way for each program in each order.
        ways.next();
        for name in order.map(|at| wanted[at].0) {
            let at = loaded.iter().position(|one| one.name == name).unwrap();
            let one = loaded.remove(at);
            // Only ours end by themselves.
            let by = ways.next().flatten().or(if one.is_held() { None } else { Some(By::Us) });
            one.unload(sandbox, by);
            if !loaded.is_empty() {
                are_called(sandbox, &wire, &loaded);
            }
        }
        is_clean(sandbox);
        assert_eq!(signed(&wire), "");
    }
}

#[test]
fn ours_join_a_dispatcher_of_xdp_loader() {
    beside_xdp_loader(|sandbox| side_by_side(sandbox, [By::XdpLoader, By::Us, By::Us]));
}

#[test]
fn xdp_loader_joins_our_dispatcher() {
    beside_xdp_loader(|sandbox| side_by_side(sandbox, [By::Us, By::XdpLoader, By::XdpLoader]));
}

#[test]
fn ours_live_side_by_side() {
    beside_xdp_loader(|sandbox| side_by_side(sandbox, [By::Us, By::Us, By::Us]));
}

#[test]
fn one_alone_is_attached_directly_and_joins_what_it_finds() {
    where_programs_can_share(|sandbox| {
        let wire = Wire::new(sandbox);
        let alone = held(sandbox, "dispatched-alpha", &[]);
        assert_eq!(status(sandbox)[0]["program"]["name"], "alpha");
        assert!(status(sandbox)[0]["dispatcher"].is_null());
        // It cannot be shared with, and says how it could.
        let words = ["alpha", "no dispatcher", "rxdp-load unload v0", "--replace="];
        attach(sandbox, "dispatched-beta", &["--dispatcher"]).failed(3, &words);
        attach(sandbox, "dispatched-beta", &[]).failed(3, &["alpha", "--replace="]);
        alone.stop();

        let first = held(sandbox, "dispatched-alpha", &["--dispatcher"]);
        assert_eq!(first.attached["dispatcher"]["version"], 2);
        let joins = in_near(sandbox, &[&*object("dispatched-beta"), "v0", "--for", "10ms"]);
        let words = "it is number 2 of 2 that the dispatcher of v0 (id ";
        assert!(joins.done().contains(words), "{joins:?}");
        assert!(joins.out.contains("detached from v0, where 1 more stay (time is up)"), "{joins:?}");
        assert_eq!(signed(&wire), "a");
        first.stop();
        is_clean(sandbox);
    });
}

#[test]
fn verdicts_lead_on_or_end_as_the_flags_and_the_object_say() {
    where_programs_can_share(|sandbox| {
        let wire = Wire::new(sandbox);
        let last = held(sandbox, "dispatched-beta", &["--dispatcher", "--priority", "90"]);
        // Its verdict is XDP_DROP, and the next one is called after XDP_PASS only: what is sent does not arrive.
        let drops = held(sandbox, "dispatched-drop", &[]);
        wire.send(&[0; 32]);
        drops.stop();
        assert_eq!(signed(&wire), "b");
        let leads_on = held(sandbox, "dispatched-drop", &["--chain-on", "drop,pass"]);
        assert_eq!(signed(&wire), "db");
        assert_eq!(components(&status(sandbox))[0]["chain_on"], json!(["drop", "pass"]));
        leads_on.stop();
        // Nothing leads on from this one.
        let ends = held(sandbox, "dispatched-alpha", &["--chain-on", "none"]);
        assert_eq!(signed(&wire), "a");
        ends.stop();
        last.stop();
        is_clean(sandbox);
    });
}

#[test]
fn objects_without_types_and_such_that_shorten_packets_join_too() {
    beside_xdp_loader(|sandbox| {
        let wire = Wire::new(sandbox);
        let untyped = held(sandbox, "dispatched-untyped", &["--dispatcher"]);
        assert_eq!(called(sandbox), ["untyped"]);
        xdp_loader::does(sandbox, &["load", "v0", &object("dispatched-alpha")]);
        assert_eq!((called(sandbox), signed(&wire)), (vec!["alpha".into(), "untyped".into()], "au".into()));
        let shortens = held(sandbox, "dispatched-shorten", &["--priority", "1"]);
        assert_eq!(called(sandbox), ["shorten", "alpha", "untyped"]);
        assert_eq!(signed(&wire), "sau");
        wire.send(&[0; 32]);
        assert_eq!(wire.next().len(), 31);
        shortens.stop();
        untyped.stop();
        assert_eq!(called(sandbox), ["alpha"]);
        in_near(sandbox, &["unload", "v0", "--prog", "alpha"]).done();
        is_clean(sandbox);
    });
}

#[test]
fn tail_calls_lead_on_from_a_program_among_others() {
    where_programs_can_share(|sandbox| {
        let first = held(sandbox, "dispatched-alpha", &["--dispatcher"]);
        let tail = held(sandbox, "tail_kern", &[]);
        assert_eq!(tail.slot("jmp_table1", 78), tail.program("xdp_tail_call_1"));
        // What the tables of a dispatcher's programs hold is shown as that of programs that are alone.
        let tables = status(sandbox)[0]["tail_tables"].clone();
        let full = tables.as_array().unwrap().iter().find(|table| table["map"] == "jmp_table1").unwrap();
        assert_eq!(number(&full["slots"][0]["program_id"]), tail.program("xdp_tail_call_1"));
        assert_eq!(Witness::new(sandbox).lines_of_a_packet().len(), 2);
        tail.stop();
        first.stop();
        is_clean(sandbox);
    });
}

#[test]
fn packets_of_several_buffers_need_programs_that_all_take_them() {
    where_programs_can_share(|sandbox| {
        let mtu = |mtu| ["v0", "v1"].map(|end| sandbox.set_mtu(end, mtu).unwrap());
        mtu(9000);
        let wire = Wire::new(sandbox);
        let takes = held(sandbox, "dispatched-frags", &["--dispatcher"]);
        assert_eq!(status(sandbox)[0]["dispatcher"]["frags"], true);
        assert_eq!(components(&status(sandbox))[0]["frags"], true);
        // With a program that takes them in one buffer only, the dispatcher would take them so, too: they do not fit.
        attach(sandbox, "dispatched-beta", &[]).failed(3, &["too large", "xdp.frags"]);
        assert_eq!(signed(&wire), "f");
        assert_eq!(pins(sandbox).len(), 1);
        mtu(1500);
        let other = held(sandbox, "dispatched-beta", &[]);
        assert_eq!(status(sandbox)[0]["dispatcher"]["frags"], false);
        assert_eq!(signed(&wire), "bf");
        other.stop();
        assert_eq!(status(sandbox)[0]["dispatcher"]["frags"], true);
        takes.stop();
        is_clean(sandbox);
    });
}

#[test]
fn pinned_programs_stay_among_others_and_are_unloaded_with_their_pins() {
    where_programs_can_share(|sandbox| {
        let wire = Wire::new(sandbox);
        let first = held(sandbox, "dispatched-alpha", &["--dispatcher"]);
        let pin = |name: &str| {
            let at = format!("/sys/fs/bpf/{name}");
            in_near(sandbox, &[object(name), "v0".into(), "--pin".into(), at]).done().to_string()
        };
        assert!(pin("dispatched-beta").contains("and stays"));
        assert!(pin("dispatched-gamma").contains("number 3 of 3"));
        assert_eq!(signed(&wire), "abc");
        let out = in_near(sandbox, &["unload", "v0", "--prog", "beta"]);
        assert!(out.done().contains("removed the pin /sys/fs/bpf/dispatched-beta/beta"), "{out:?}");
        assert_eq!(signed(&wire), "ac");
        let out = in_near(sandbox, &["unload", "v0"]);
        assert!(out.done().contains("removed the pin /sys/fs/bpf/dispatched-gamma/gamma"), "{out:?}");
        let ended = first.end(Signal::SIGINT);
        assert_eq!(ended.json()[0]["left_alone"], "somebody detached our program");
        is_clean(sandbox);
        sandbox.near(|| assert!(!fs::exists("/sys/fs/bpf/dispatched-gamma").unwrap()));
    });
}

#[test]
fn the_mode_is_that_of_the_dispatcher() {
    where_programs_can_share(|sandbox| {
        let first = held(sandbox, "dispatched-alpha", &["--dispatcher", "--mode", "generic"]);
        let refused = attach(sandbox, "dispatched-beta", &["--mode", "native"]);
        refused.failed(3, &["generic mode", "--mode native"]);
        let second = held(sandbox, "dispatched-beta", &[]);
        assert_eq!(second.attached["mode"], "generic");
        let third = held(sandbox, "dispatched-gamma", &["--mode", "generic"]);
        assert_eq!(ids(sandbox).len(), 3);
        [first, second, third].into_iter().for_each(Held::stop);
        is_clean(sandbox);
    });
}

#[test]
fn ten_programs_fit_and_an_eleventh_does_not() {
    where_programs_can_share(|sandbox| {
        let wire = Wire::new(sandbox);
        let ten: Vec<Held> =
            (0..10).map(|at| held(sandbox, "dispatched-beta", &["--priority", &at.to_string()])).collect();
        assert_eq!(signed(&wire), "b".repeat(10));
        attach(sandbox, "dispatched-beta", &[]).failed(3, &["all 10 slots", "--id"]);
        let words = ["several programs of v0 have this name", "--id"];
        in_near(sandbox, &["unload", "v0", "--prog", "beta"]).failed(1, &words);
        in_near(sandbox, &["unload", "v0", "--prog", "delta"]).failed(1, &["no such program", "\"beta\""]);
        ten.into_iter().for_each(Held::stop);
        is_clean(sandbox);
    });
}

#[test]
fn replacing_a_dispatcher_takes_all_of_it_away() {
    where_programs_can_share(|sandbox| {
        let first = held(sandbox, "dispatched-alpha", &["--dispatcher"]);
        let other = held(sandbox, "dispatched-beta", &["--replace"]);
        assert_eq!(on_v0(sandbox), native(other.program("beta")));
        assert_eq!(pins(sandbox), Vec::<String>::new());
        first.stop_replaced();
        other.stop();
        is_clean(sandbox);
    });
}

/// Attaches a dispatcher that calls nothing, of the version that an object is compiled for.
fn attach_empty(sandbox: &Sandbox, name: &str, head: &[u8]) {
    let bytes = fs::read(object(name)).unwrap();
    let mut spec = rxdp_loader::read("xdp_dispatcher", &bytes, Dialects::default()).unwrap();
    let data = spec.maps[0].data.as_mut().unwrap();
    data[..head.len()].copy_from_slice(head);
    let linked = load::link_for(spec, &host::machine(), CodeTypes::Running).unwrap();
    let options = Options { select: Select::One(ProgId(0)), all_types: true, ..Options::default() };
    let plan = plan::plan(&linked, &host::machine(), &options).unwrap();
    let loaded = load::execute(&plan, &Linux, Given::default()).unwrap();
    let v0 = sandbox.ifindex(End::Near);
    sandbox.near(|| {
        let netlink = blocking::Handle::connect().unwrap();
        netlink.attach(v0, loaded.program("xdp_dispatcher").unwrap().as_fd(), XdpMode::Native).unwrap();
    });
}

#[test]
fn the_version_that_is_found_is_kept() {
    where_programs_can_share(|sandbox| {
        let wire = Wire::new(sandbox);
        attach_empty(sandbox, "xdp_dispatcher-3", &[236, 3]);
        let first = held(sandbox, "dispatched-alpha", &[]);
        let second = held(sandbox, "dispatched-beta", &[]);
        assert_eq!(status(sandbox)[0]["dispatcher"]["version"], 3);
        assert_eq!(signed(&wire), "ab");
        first.stop();
        assert_eq!(status(sandbox)[0]["dispatcher"]["version"], 3);
        second.stop();
        is_clean(sandbox);
    });
}

#[test]
fn a_version_that_is_too_old_or_unknown_is_told_and_can_be_taken_off() {
    in_sandbox(|sandbox| {
        let too_old = "version 1, as xdp-tools before 1.3 made it";
        let unknown = "a dispatcher of version 4, and only 1, 2 and 3 are known";
        let can_share = Prototype::load(&Linux).is_ok();
        for (name, head, version, words) in
            [("dispatcher-1", &[][..], 1, too_old), ("dispatcher-4", &[236, 4][..], 4, unknown)]
        {
            attach_empty(sandbox, name, head);
            assert_eq!(status(sandbox)[0]["dispatcher"]["version"], version);
            if can_share || version == 4 {
                attach(sandbox, "dispatched-beta", &[]).failed(3, &["v0", words]);
            }
            in_near(sandbox, &["unload", "v0", "--id", "1"])
                .failed(if version == 4 { 3 } else { 1 }, &["v0"]);
            in_near(sandbox, &["unload", "v0"]).done();
            is_clean(sandbox);
        }
    });
}

/// Where programs cannot share: what is said, and that nothing is left.
#[test]
fn a_kernel_that_cannot_says_so_and_nothing_stays() {
    in_sandbox(|sandbox| {
        let Err(error) = Prototype::load(&Linux) else {
            return;
        };
        let error = error.to_string();
        let words = ["v0", "freplace", &error];
        attach(sandbox, "dispatched-alpha", &["--dispatcher"]).failed(5, &words);
        attach(sandbox, "dispatched-alpha", &["--priority", "3"]).failed(5, &words);
        attach(sandbox, "dispatched-alpha", &["--chain-on", "none"]).failed(5, &words);
        let file = object("dispatched-alpha");
        let pin = "/sys/fs/bpf/alpha";
        in_near(sandbox, &[&*file, "v0", "--dispatcher", "--pin", pin]).failed(5, &words);
        sandbox.near(|| assert!(!Path::new(pin).exists()));
        sandbox.near(|| assert!(!Path::new("/sys/fs/bpf/xdp").exists()));
        is_clean(sandbox);
    });
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    in_sandbox(|sandbox| {
        attach(sandbox, "dispatched-alpha", &["--dispatcher", "--replace"]).failed(2, &["--dispatcher"]);
        attach(sandbox, "dispatched-alpha", &["--chain-on", "passed"]).failed(2, &["passed", "redirect"]);
        let offload = ["--dispatcher", "--mode", "offload"];
        attach(sandbox, "dispatched-alpha", &offload).failed(1, &["offload", "no dispatcher"]);
        in_near(sandbox, &["unload", "v0", "--id", "1", "--prog", "x"]).failed(2, &["--id"]);
        in_near(sandbox, &["unload", "v0", "--prog", "x"]).failed(1, &["v0", "no such program"]);
        is_clean(sandbox);
    });
}
