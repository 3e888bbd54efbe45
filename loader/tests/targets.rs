//! Programs that attach to what the caller names: functions of other programs, and other functions of the kernel.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};

use common::types::types_of;
use common::{load, path_of};
use rxdp_loader::btf::{Btf, Kind, TypeId};
use rxdp_loader::bytes::Endian;
use rxdp_loader::error::Error;
use rxdp_loader::features::Machine;
use rxdp_loader::load::{Input, Link, LoadError, LoadedObject};
use rxdp_loader::spec::TargetError;
use rxdp_loader::sys::{DryRun, Errno, Kernel, Linux, ProgFunctions, Recorder, Replay};
use rxdp_loader::trace::Transcript;
use rxdp_loader::uapi::XdpAction;
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::packets;
use rxdp_sandbox::testing::kernel_or_skip;

/// The types of `replaced.o`, and the number of a function in them.
fn replaced() -> (Vec<u8>, impl Fn(&str) -> TypeId) {
    let bytes = types_of("replaced.o");
    let btf = Btf::parse(&bytes, Endian::NATIVE).unwrap();
    let id = move |name: &str| btf.find(name, |kind| matches!(kind, Kind::Func { .. })).unwrap();
    (bytes, id)
}

/// A kernel where the program of `replaced.o` is.
fn kernel() -> DryRun {
    let (types, id) = replaced();
    DryRun::new().with_functions(ProgFunctions { types, functions: vec![id("guard"), id("verdict")] })
}

/// What the doubles take for a program.
fn some_fd() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

/// `replaces.o`, where only this program is loaded and attaches to a function of this one.
fn attaching(program: &str, target: OwnedFd, function: Option<&str>) -> Object {
    let mut object = Object::open(path_of("replaces.o")).unwrap();
    object.set_autoload(program, true).unwrap();
    object.set_attach_target(program, target, function).unwrap();
    object
}

fn said(object: Object, kernel: impl Kernel) -> String {
    Loader::with_kernel(kernel, Machine::NEWEST).load(object).unwrap_err().to_string()
}

/// Program, function that the caller names, function that is meant, and what is asked for.
const MEANT: &[(&str, Option<&str>, &str, &str)] = &[
    ("all_pass", None, "verdict", "prog_type=ext expected_attach_type=0"),
    ("whole", None, "guard", "prog_type=ext expected_attach_type=0"),
    ("whole", Some("guard"), "guard", "prog_type=ext expected_attach_type=0"),
    ("all_pass", Some("guard"), "guard", "prog_type=ext expected_attach_type=0"),
    ("before", None, "verdict", "prog_type=tracing expected_attach_type=trace_fentry"),
    ("before", Some("guard"), "guard", "prog_type=tracing expected_attach_type=trace_fentry"),
    ("after", None, "guard", "prog_type=tracing expected_attach_type=trace_fexit"),
    ("after", Some("verdict"), "verdict", "prog_type=tracing expected_attach_type=trace_fexit"),
];

#[test]
fn the_named_function_is_asked_for_or_the_sections_or_the_main_one() {
    let (_, id) = replaced();
    for (program, given, meant, asked) in MEANT {
        let kernel = Recorder::new(kernel());
        let loader = Loader::with_kernel(kernel, Machine::NEWEST);
        loader.load(attaching(program, some_fd(), *given)).unwrap();
        let text = loader.kernel().transcript().to_string();
        let line = text.lines().find(|line| line.contains("PROG_LOAD")).unwrap();
        let hook =
            format!(" attach_btf_id={} attach_btf_obj_fd=fd:given\\sfor\\s\"{program}\" ", id(meant).0);
        assert!(line.contains(&hook) && line.contains(asked), "{program} {given:?}: {hook} {line}");
        assert_eq!(text.matches("PROG_FUNCTIONS").count(), 1);

        let replay = Replay::new(Transcript::parse(&text).unwrap());
        let loader = Loader::with_kernel(replay, Machine::NEWEST);
        loader.load(attaching(program, some_fd(), *given)).unwrap();
        loader.kernel().finish().unwrap();
    }
}

#[test]
fn what_cannot_be_attached_to_is_said() {
    let object = || attaching("all_pass", some_fd(), Some("verdikt"));
    assert_eq!(
        said(object(), kernel()),
        "program \"all_pass\": section \"?freplace/verdict\": program given for \"all_pass\" has no function \
         \"verdikt\"; it has guard, verdict"
    );
    assert_eq!(
        said(object(), DryRun::new()),
        "program \"all_pass\": section \"?freplace/verdict\": program given for \"all_pass\" has no types (BTF) to find \
         its functions by: compile it with -g"
    );
    let (mut types, id) = replaced();
    types.truncate(40);
    let damaged = DryRun::new().with_functions(ProgFunctions { types, functions: vec![id("guard")] });
    let text = said(object(), damaged);
    assert!(text.contains("the types (BTF) of program given for \"all_pass\" cannot be read: "), "{text}");

    for program in ["all_pass", "whole"] {
        let mut nobody = Object::open(path_of("replaces.o")).unwrap();
        nobody.set_autoload(program, true).unwrap();
        let text = said(nobody, kernel());
        assert!(
            text.ends_with(
                " replaces a function of another program: name that with --target PROG=ID:FUNCTION"
            ),
            "{text}"
        );
    }
    let refused = DryRun::failing(0, Errno::EPERM);
    let text = said(object(), refused);
    assert_eq!(
        text,
        "program given for \"all_pass\", whose function is to be attached to: \
         BPF_OBJ_GET_INFO_BY_FD failed: EPERM"
    );
}

#[test]
fn a_section_for_something_else_takes_no_target() {
    let mut object = Object::open(path_of("replaces.o")).unwrap();
    let error = object.set_attach_function("whole", "vfs_read").unwrap_err();
    assert!(matches!(error, Error::Target(TargetError::ProgramOnly { .. })), "{error}");
    let mut hooks = Object::open(path_of("hooks.o")).unwrap();
    let error = hooks.set_attach_target("iterator", some_fd(), None).unwrap_err();
    assert!(matches!(error, Error::Target(TargetError::KernelOnly { .. })), "{error}");
    let mut xdp = Object::open(path_of("replaced.o")).unwrap();
    let error = xdp.set_attach_target("guard", some_fd(), None).unwrap_err();
    assert!(matches!(error, Error::Target(TargetError::Neither { .. })), "{error}");
    let error = xdp.set_attach_function("guard", "vfs_read").unwrap_err();
    assert!(matches!(error, Error::Target(TargetError::Neither { .. })), "{error}");
    let error = object.set_attach_target("nobody", some_fd(), None).unwrap_err();
    assert!(matches!(error, Error::NotInObject { .. }), "{error}");
}

/// A call's word of this key.
fn word(text: &str, program: &str, key: &str) -> String {
    let line = text.lines().find(|line| line.contains(&format!("PROG_LOAD {program} "))).unwrap();
    line.split(' ').find(|word| word.starts_with(key)).unwrap().to_string()
}

#[test]
fn another_function_of_the_kernel_is_asked_for() {
    if kernel_or_skip("another_function_of_the_kernel_is_asked_for").is_none() {
        return;
    }
    let mut object = Object::open(path_of("hooks.o")).unwrap();
    for program in ["entry", "nowhere", "leaving"] {
        object.set_autoload(program, true).unwrap();
    }
    object.set_attach_function("nowhere", "bpf_fentry_test1").unwrap();
    object.set_attach_function("leaving", "vmlinux:bpf_fentry_test2").unwrap();
    let loader = Loader::with_kernel(Recorder::new(DryRun::new()), Machine::NEWEST);
    loader.load(object).unwrap();
    let text = loader.kernel().transcript().to_string();
    assert_eq!(word(&text, "nowhere", "attach_btf_id="), word(&text, "entry", "attach_btf_id="));
    assert_ne!(word(&text, "leaving", "attach_btf_id="), word(&text, "entry", "attach_btf_id="));

    let mut object = Object::open(path_of("hooks.o")).unwrap();
    object.set_autoload("entry", true).unwrap();
    object.set_attach_function("entry", "bpf_no_such_function").unwrap();
    let text = said(object, DryRun::new());
    assert!(text.ends_with("neither the kernel nor its modules have a function \"bpf_no_such_function\""));
}

#[test]
fn the_kernel_says_what_functions_a_program_has() {
    if kernel_or_skip("the_kernel_says_what_functions_a_program_has").is_none() {
        return;
    }
    let target = load("replaced.o", &Linux).unwrap();
    let found = Linux.prog_functions(target.program("guard").unwrap().named()).unwrap();
    let btf = Btf::parse(&found.types, Endian::NATIVE).unwrap();
    let names: Vec<_> = found.functions.iter().map(|id| btf.name(*id).into_owned()).collect();
    assert_eq!(names, ["guard", "verdict"]);
    let untyped = load("tail_kern-clang14.o", &Linux).unwrap();
    let found = Linux.prog_functions(untyped.programs[0].named()).unwrap();
    assert_eq!(found, ProgFunctions::default());
}

/// A copy of a program's descriptor.
fn copy_of(object: &LoadedObject, program: &str) -> OwnedFd {
    object.program(program).unwrap().as_fd().try_clone_to_owned().unwrap()
}

/// What the program of `replaced.o` makes of a packet that begins with this byte.
fn verdict(object: &LoadedObject, first: u8) -> XdpAction {
    let mut packet = packets::udp(packets::ORIGIN, 7, b"hello");
    packet[0] = first;
    XdpAction(object.program("guard").unwrap().test_run(&Linux, &Input::packet(&packet)).unwrap().retval)
}

/// `replaces.o` with this program in the kernel, attached to what it is for; `None` where this kernel forbids that.
fn attach(target: &LoadedObject, program: &str) -> Option<(LoadedObject, Link)> {
    let object = attaching(program, copy_of(target, "guard"), None);
    let loaded = match Loader::new().load(object) {
        Ok(loaded) => loaded,
        Err(Error::Load(LoadError::ProgLoad { errno: Errno::EPERM, log, .. })) if log.text.is_empty() => {
            writeln!(
                std::io::stderr(),
                "SKIPPED {program} on a real program: this kernel forbids all that needs trampolines"
            )
            .unwrap();
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let link = loaded.attach(&Linux, program).unwrap();
    Some((loaded, link))
}

#[test]
fn functions_of_a_real_program_are_replaced_and_watched() {
    if kernel_or_skip("functions_of_a_real_program_are_replaced_and_watched").is_none() {
        return;
    }
    let target = load("replaced.o", &Linux).unwrap();
    assert_eq!((verdict(&target, 3), verdict(&target, 4)), (XdpAction::DROP, XdpAction::PASS));
    if let Some(_replaced) = attach(&target, "all_pass") {
        assert_eq!(verdict(&target, 3), XdpAction::PASS);
    }
    if let Some(_replaced) = attach(&target, "whole") {
        assert_eq!((verdict(&target, 3), verdict(&target, 4)), (XdpAction::TX, XdpAction::TX));
    }
    assert_eq!(verdict(&target, 3), XdpAction::DROP, "what replaced it is gone");
    for (program, at, expected) in [("before", 0, 5), ("after", 8, u64::from(XdpAction::DROP.0))] {
        let Some((watching, _link)) = attach(&target, program) else {
            continue;
        };
        verdict(&target, 5);
        let seen = Linux.map_lookup(watching.map("replaces.bss").unwrap().named(), &[0; 4], 16).unwrap();
        assert_eq!(u64::from_ne_bytes(seen[at..at + 8].try_into().unwrap()), expected, "{program}");
    }
}
