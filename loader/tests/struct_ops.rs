//! Tables of functions: changed before they are loaded, registered, taken back.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::fs;
use std::io::Write as _;

use common::path_of;
use rxdp_loader::error::Error;
use rxdp_loader::features::Machine;
use rxdp_loader::load::{LoadError, LoadedObject};
use rxdp_loader::sys::{DryRun, Errno, Linux, Recorder, Replay, host};
use rxdp_loader::trace::{Transcript, hex};
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::{kernel_or_skip, needs};

/// The variable of `struct_ops.c`.
const TABLE: &str = "rxdp_test";
/// Both ways to register it.
const OBJECTS: &[&str] = &["struct_ops.o", "struct_ops-link.o"];

fn open(name: &str) -> Object {
    Object::open(path_of(name)).unwrap()
}

/// A name as the structure's member holds it.
fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// What is asked of a kernel that says yes to everything, with this kernel's types.
fn asked(object: Object, then: impl FnOnce(&LoadedObject, &Recorder<DryRun>)) -> String {
    let loader = Loader::with_kernel(Recorder::new(DryRun::new()), Machine::NEWEST);
    let loaded = loader.load(object).unwrap();
    then(&loaded, loader.kernel());
    drop(loaded);
    loader.kernel().transcript().to_string()
}

fn refused(object: Object) -> String {
    Loader::with_kernel(DryRun::new(), Machine::NEWEST).load(object).unwrap_err().to_string()
}

fn update(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("MAP_UPDATE rxdp_test")).unwrap()
}

#[test]
fn a_table_is_set_and_taken_back_by_its_value_or_by_a_link() {
    if kernel_or_skip("a_table_is_set_and_taken_back_by_its_value_or_by_a_link").is_none() {
        return;
    }
    let register = |loaded: &LoadedObject, kernel: &Recorder<DryRun>| {
        loaded.register(kernel, TABLE).unwrap().unregister().unwrap();
        drop(loaded.register(kernel, TABLE).unwrap());
    };
    let text = asked(open("struct_ops.o"), register);
    for program in ["undo_cwnd", "cong_avoid", "ssthresh"] {
        assert_eq!(update(&text).matches(&format!("=fd:{program}")).count(), 1, "{text}");
    }
    assert!(update(&text).contains(&hex(&padded("rxdp_test"))), "{text}");
    assert!(!update(&text).contains("nobody_calls") && !text.contains("LINK_CREATE"), "{text}");
    assert_eq!(text.matches("MAP_DELETE rxdp_test key=00000000 = ok").count(), 2, "{text}");

    let link = asked(open("struct_ops-link.o"), register);
    assert_eq!(update(&link), update(&text));
    assert_eq!(link.matches("LINK_CREATE rxdp_test attach_type=struct_ops = ok").count(), 2, "{link}");
    assert!(!link.contains("MAP_DELETE"), "{link}");

    let left = asked(open("struct_ops.o"), |loaded, kernel| {
        assert!(loaded.register(kernel, TABLE).unwrap().leave().is_none());
    });
    assert!(!left.contains("MAP_DELETE"), "{left}");
    let left = asked(open("struct_ops-link.o"), |loaded, kernel| {
        assert!(loaded.register(kernel, TABLE).unwrap().leave().is_some());
    });
    assert!(left.contains("LINK_CREATE"), "{left}");

    // The recording plays: the same calls, the same answers.
    let replay = Replay::new(Transcript::parse(&link).unwrap());
    let loader = Loader::with_kernel(replay, Machine::NEWEST);
    let loaded = loader.load(open("struct_ops-link.o")).unwrap();
    for _ in 0..2 {
        drop(loaded.register(loader.kernel(), TABLE).unwrap());
    }
    loader.kernel().finish().unwrap();
}

#[test]
fn a_failure_leaves_nothing_registered_and_is_said() {
    if kernel_or_skip("a_failure_leaves_nothing_registered_and_is_said").is_none() {
        return;
    }
    let load = |object| Loader::with_kernel(DryRun::new(), Machine::NEWEST).load(object).unwrap();
    let (plain, link) = (load(open("struct_ops.o")), load(open("struct_ops-link.o")));
    let text =
        |loaded: &LoadedObject, kernel: &DryRun| loaded.register(kernel, TABLE).unwrap_err().to_string();
    assert_eq!(
        text(&plain, &DryRun::failing(1, Errno::EBUSY)),
        "map \"rxdp_test\": BPF_MAP_UPDATE_ELEM of the table failed: EBUSY (it is registered already)"
    );
    assert_eq!(
        text(&link, &DryRun::failing(2, Errno::EEXIST)),
        "map \"rxdp_test\": BPF_LINK_CREATE of the table failed: EEXIST (another one of its name is registered)"
    );
    // A link registered it before; the value stays.
    drop(link.register(&DryRun::failing(1, Errno::EBUSY), TABLE).unwrap());
    // The value is put there, then taken away: each time the kernel is asked for its length first.
    let kernel = DryRun::failing(3, Errno::EINVAL);
    let error = plain.register(&kernel, TABLE).unwrap().unregister().unwrap_err();
    assert!(matches!(error, LoadError::Register { command: "BPF_MAP_DELETE_ELEM", .. }), "{error}");
    assert_eq!(kernel.calls(), 6, "dropping tries once more");

    let kernel = DryRun::new();
    let error = plain.register(&kernel, "nothing").unwrap_err().to_string();
    assert_eq!(error, "map \"nothing\" cannot be registered: there is no such map");
    let mut without = load(open("struct_ops.o"));
    without.take_program("ssthresh").unwrap();
    let error = without.register(&kernel, TABLE).unwrap_err().to_string();
    assert!(error.contains("one of its programs is not loaded"), "{error}");
    let data = load(open("data.o"));
    let error = data.register(&kernel, &data.maps[0].name).unwrap_err().to_string();
    assert!(error.contains("it is no variable of SEC(\".struct_ops\")"), "{error}");
    assert_eq!(kernel.calls(), 0);
}

#[test]
fn members_are_set_by_their_names() {
    if kernel_or_skip("members_are_set_by_their_names").is_none() {
        return;
    }
    let mut object = open("struct_ops.o");
    assert_eq!(object.struct_ops(TABLE, "name").unwrap(), padded("rxdp_test"));
    object.set_struct_ops(TABLE, "name", &padded("another")).unwrap();
    assert_eq!(object.struct_ops(TABLE, "name").unwrap(), padded("another"));
    object.set_struct_ops_program(TABLE, "undo_cwnd", None).unwrap();
    object.set_struct_ops_program(TABLE, "ssthresh", Some("undo_cwnd")).unwrap();
    let text = asked(object, |loaded, kernel| drop(loaded.register(kernel, TABLE).unwrap()));
    assert!(update(&text).contains(&hex(&padded("another"))), "{text}");
    assert_eq!(update(&text).matches("=fd:").count(), 2, "{text}");
    assert_eq!(update(&text).matches("=fd:undo_cwnd").count(), 1, "{text}");
    assert!(!text.contains("PROG_LOAD ssthresh"), "what is in no table is not loaded: {text}");

    let mut object = open("struct_ops.o");
    let said = |result: Result<(), Error>| result.unwrap_err().to_string();
    let error = said(object.set_struct_ops(TABLE, "name", &[0; 15]));
    assert_eq!(error, "member \"name\" has 16 bytes, and 15 were given");
    let error = said(object.set_struct_ops(TABLE, "nome", &[0; 16]));
    assert!(error.starts_with("it has no member of its table \"nome\"; it has name, undo_cwnd, "), "{error}");
    let error = said(object.set_struct_ops("rxdp", "name", &[0; 16]));
    assert_eq!(error, "it has no struct_ops map \"rxdp\"; it has rxdp_test");
    let error = said(object.set_struct_ops(TABLE, "ssthresh", &[0; 8]));
    assert!(error.contains("member ssthresh: programs stand there"), "{error}");
    let error = said(object.set_struct_ops_program(TABLE, "name", Some("ssthresh")));
    assert!(error.contains("member name: no program can stand there"), "{error}");
    let error = said(object.set_struct_ops_program(TABLE, "ssthresh", Some("nobody")));
    assert!(error.contains("no program \"nobody\""), "{error}");
}

/// A kernel without a member: its program is not loaded, zero is left out, and what is not zero is an error.
#[test]
fn members_that_the_kernel_does_not_have_are_left_out_if_that_changes_nothing() {
    if kernel_or_skip("members_that_the_kernel_does_not_have_are_left_out_if_that_changes_nothing").is_none()
    {
        return;
    }
    let mut object = open("struct_ops.o");
    object.set_autoload("nobody_calls", true).unwrap();
    object.set_struct_ops(TABLE, "not_in_any_kernel", &[0; 8]).unwrap();
    let text = asked(object, |loaded, kernel| drop(loaded.register(kernel, TABLE).unwrap()));
    assert!(!text.contains("nobody_calls") && text.contains("PROG_LOAD ssthresh"), "{text}");

    let mut object = open("struct_ops.o");
    object.set_struct_ops(TABLE, "not_in_any_kernel", &7u64.to_ne_bytes()).unwrap();
    assert_eq!(
        refused(object),
        "map \"rxdp_test\": member not_in_any_kernel: the kernel's structure does not have it, and it is not zero"
    );
}

/// Congestion controls that there are. Source: `Documentation/networking/ip-sysctl.rst`.
fn available() -> Vec<String> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap();
    text.split_whitespace().map(str::to_string).collect()
}

#[test]
fn a_congestion_control_is_there_while_it_is_registered() {
    if kernel_or_skip("a_congestion_control_is_there_while_it_is_registered").is_none() {
        return;
    }
    for (name, calls) in OBJECTS.iter().zip(["rxdp_plain", "rxdp_link"]) {
        if *name == "struct_ops-link.o" && !needs(name, (6, 4), "links of struct_ops") {
            continue;
        }
        let mut object = open(name);
        object.set_struct_ops(TABLE, "name", &padded(calls)).unwrap();
        let loaded = match Loader::with_kernel(Linux, host::machine()).load(object) {
            Ok(loaded) => loaded,
            Err(error) => panic!("{name}: {error}"),
        };
        let registered = match loaded.register(&Linux, TABLE) {
            Ok(registered) => registered,
            Err(LoadError::Register { errno: Errno::EPERM | Errno::ENOTSUPP, .. }) => {
                let skipped = "SKIPPED registering {name}: this kernel forbids all that needs trampolines";
                writeln!(std::io::stderr(), "{}", skipped.replace("{name}", name)).unwrap();
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        assert!(available().iter().any(|there| there == calls), "{name}: {:?}", available());
        let again = loaded.register(&Linux, TABLE).unwrap_err();
        assert!(matches!(again, LoadError::Register { .. }), "{name}: {again}");
        assert_eq!(registered.link().is_some(), *name == "struct_ops-link.o");
        registered.unregister().unwrap();
        assert!(available().iter().all(|there| there != calls), "{name}: {:?}", available());
        if *name == "struct_ops-link.o" {
            let registered = loaded.register(&Linux, TABLE).unwrap();
            assert!(available().iter().any(|there| there == calls), "{name}: once more");
            drop(registered);
        }
    }
}
