//! Programs attached, on kernel doubles: what is asked of the kernel for each kind, and what is said where that fails.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use common::old_kernel::OldKernel;
use common::path_of;
use rxdp_loader::features::Machine;
use rxdp_loader::load::{Blame, LoadError, LoadedObject, Places, To};
use rxdp_loader::sys::{DryRun, Elements, Errno, Netfilter, Recorder, Replay};
use rxdp_loader::trace::Transcript;
use rxdp_loader::uapi::{CgroupOrder, NetfilterFamily, NetfilterHook};
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::kernel_or_skip;

const HOOK: Netfilter = Netfilter {
    family: NetfilterFamily::IPV4,
    hook: NetfilterHook::LOCAL_IN,
    priority: -5,
    defragment: false,
};

/// `attached.o` in a kernel that says yes, with this kernel's types.
fn loaded() -> LoadedObject {
    let object = Object::open(path_of("attached.o")).unwrap();
    Loader::with_kernel(DryRun::new(), Machine::NEWEST).load(object).unwrap()
}

/// A program, what it is attached to, and what the kernel is asked.
fn table<'a>(fd: BorrowedFd<'a>) -> Vec<(&'static str, To<'a>, &'static str)> {
    let places = |places, process| To::Executable { path: Path::new("/bin/a b"), places, process };
    vec![
        ("raw", To::Section, "RAW_TRACEPOINT_OPEN raw name=sys_enter = ok"),
        ("raw", To::Tracepoint("sys_exit"), "RAW_TRACEPOINT_OPEN raw name=sys_exit = ok"),
        ("raw_somewhere", To::Tracepoint("sys_exit"), "RAW_TRACEPOINT_OPEN raw_somewhere name=sys_exit = ok"),
        ("typed", To::Section, "LINK_CREATE typed attach_type=trace_raw_tp = ok"),
        ("tasks", To::Section, "LINK_CREATE tasks attach_type=trace_iter = ok"),
        (
            "tasks",
            To::Elements(Elements::Process(7)),
            "LINK_CREATE tasks attach_type=trace_iter of=process = ok",
        ),
        (
            "elements",
            To::Elements(Elements::Map(fd)),
            "LINK_CREATE elements attach_type=trace_iter of=map = ok",
        ),
        (
            "elements",
            To::Elements(Elements::Cgroups(fd, CgroupOrder::ANCESTORS_UP)),
            "LINK_CREATE elements attach_type=trace_iter of=cgroups:ancestors_up = ok",
        ),
        (
            "functions",
            To::Functions(&["a", "b"]),
            "LINK_CREATE functions attach_type=trace_kprobe_multi entry=a,b = ok",
        ),
        (
            "returns",
            places(Places::Offsets(&[16, 32]), None),
            "LINK_CREATE returns attach_type=trace_uprobe_multi return=/bin/a\\sb:0x10,0x20 = ok",
        ),
        (
            "returns",
            places(Places::Offsets(&[16]), Some(7)),
            "LINK_CREATE returns attach_type=trace_uprobe_multi return=/bin/a\\sb:0x10 process=1 = ok",
        ),
        (
            "tracepoint",
            To::Section,
            "EVENT_OPEN tracepoint=syscalls/sys_enter_getppid = ok\nLINK_CREATE tracepoint attach_type=perf_event target_fd=fd:event = ok",
        ),
        (
            "tracepoint",
            To::Tracepoint("sched/sched_switch"),
            "EVENT_OPEN tracepoint=sched/sched_switch = ok\nLINK_CREATE tracepoint attach_type=perf_event target_fd=fd:event = ok",
        ),
        (
            "function",
            To::Section,
            "EVENT_OPEN entry=__x64_sys_getppid+0x0 = ok\nLINK_CREATE function attach_type=perf_event target_fd=fd:event = ok",
        ),
        (
            "function",
            To::Functions(&["tcp_connect+0x10"]),
            "EVENT_OPEN entry=tcp_connect+0x10 = ok\nLINK_CREATE function attach_type=perf_event target_fd=fd:event = ok",
        ),
        (
            "probe",
            places(Places::Offsets(&[16]), Some(7)),
            "EVENT_OPEN entry=/bin/a\\sb:0x10 process=1 = ok\nLINK_CREATE probe attach_type=perf_event target_fd=fd:event = ok",
        ),
        (
            "tracepoint",
            To::Event(fd),
            "LINK_CREATE tracepoint attach_type=perf_event target_fd=fd:event = ok",
        ),
        ("event", To::Event(fd), "LINK_CREATE event attach_type=perf_event target_fd=fd:event = ok"),
        ("sysctl", To::Cgroup(fd), "LINK_CREATE sysctl attach_type=cgroup_sysctl target_fd=fd:cgroup = ok"),
        ("lookup", To::Namespace(fd), "LINK_CREATE lookup attach_type=sk_lookup target_fd=fd:namespace = ok"),
        (
            "filter",
            To::Netfilter(HOOK),
            "LINK_CREATE filter attach_type=netfilter to=ipv4:input priority=-5 = ok",
        ),
        (
            "filter",
            To::Netfilter(Netfilter { defragment: true, ..HOOK }),
            "LINK_CREATE filter attach_type=netfilter to=ipv4:input priority=-5 defragment=1 = ok",
        ),
        ("ingress", To::Interface(3), "LINK_CREATE ingress attach_type=tcx_ingress target_ifindex=3 = ok"),
        ("packet", To::Interface(3), "LINK_CREATE packet attach_type=xdp target_ifindex=3 = ok"),
        (
            "message",
            To::Sockets(fd),
            "LINK_CREATE message attach_type=sk_msg_verdict target_fd=fd:sockets = ok",
        ),
    ]
}

#[test]
fn each_kind_of_program_has_its_link() {
    if kernel_or_skip("each_kind_of_program_has_its_link").is_none() {
        return;
    }
    let (object, null) = (loaded(), File::open("/dev/null").unwrap());
    for (program, to, asked) in table(null.as_fd()) {
        let kernel = Recorder::new(DryRun::new());
        let link = object.attach_to(&kernel, program, to).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(link.program(), program);
        drop(link);
        let text = kernel.transcript().to_string();
        assert_eq!(text.trim_end(), asked);
        // The recording plays.
        let replay = Replay::new(Transcript::parse(&text).unwrap());
        object.attach_to(&replay, program, to).unwrap().detach();
        replay.finish().unwrap();
    }
}

#[test]
fn a_link_is_pinned_and_an_iterator_read() {
    if kernel_or_skip("a_link_is_pinned_and_an_iterator_read").is_none() {
        return;
    }
    let (object, kernel) = (loaded(), Recorder::new(DryRun::new()));
    let link = object.attach(&kernel, "tasks").unwrap();
    link.pin(&kernel, "/sys/fs/bpf/tasks").unwrap();
    drop(link.read(&kernel).unwrap());
    let fd = link.into_fd();
    let text = kernel.transcript().to_string();
    let rest = text.split_once('\n').unwrap().1;
    assert_eq!(rest, "OBJ_PIN tasks pathname=/sys/fs/bpf/tasks = ok\nITER_CREATE tasks = ok\n");
    drop(fd);

    let link = object.attach(&DryRun::new(), "typed").unwrap();
    let failing = |errno| DryRun::failing(0, errno);
    let error = link.read(&failing(Errno::EINVAL)).unwrap_err().to_string();
    assert_eq!(error, "the link of program \"typed\", to be read: BPF_ITER_CREATE failed: EINVAL");
    let error = link.pin(&failing(Errno::EPERM), "/sys/fs/bpf/a.b").unwrap_err().to_string();
    assert!(error.starts_with("\"link of typed\": BPF_OBJ_PIN at /sys/fs/bpf/a.b failed: EPERM"), "{error}");
}

/// Linux 5.5 to 5.9 has places that programs are loaded for, and asks for them otherwise.
#[test]
fn kernels_before_5_10_are_asked_in_their_own_way() {
    if kernel_or_skip("kernels_before_5_10_are_asked_in_their_own_way").is_none() {
        return;
    }
    let object = loaded();
    for (version, first) in [((5, 4), "EINVAL"), ((5, 7), "EINVAL"), ((5, 9), "EINVAL"), ((5, 10), "ok")] {
        let kernel = Recorder::new(OldKernel::new(version));
        drop(object.attach(&kernel, "typed").unwrap());
        let text = kernel.transcript().to_string();
        let second = if first == "ok" { "" } else { "RAW_TRACEPOINT_OPEN typed = ok\n" };
        assert_eq!(
            text,
            format!("LINK_CREATE typed attach_type=trace_raw_tp = {first}\n{second}"),
            "{version:?}"
        );
    }
    // Others have no second way.
    let kernel = Recorder::new(DryRun::failing(0, Errno::EINVAL));
    let error = object.attach_to(&kernel, "ingress", To::Interface(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "program \"ingress\" (section \"tcx/ingress\"): BPF_LINK_CREATE failed: EINVAL; Linux before 6.6 has no such links, and later ones do not take every place"
    );
    assert_eq!((error.errno(), kernel.transcript().calls.len()), (Some(Errno::EINVAL), 1));
}

/// The doubles know the history of links from elsewhere than the loader's table.
#[test]
fn an_error_says_since_when_there_are_such_links() {
    if kernel_or_skip("an_error_says_since_when_there_are_such_links").is_none() {
        return;
    }
    let object = loaded();
    let null = File::open("/dev/null").unwrap();
    let versions = (3..20).map(|minor| (5, minor)).chain((0..19).map(|minor| (6, minor)));
    for (program, to, asked) in table(null.as_fd()) {
        let taken = |version: &(u8, u8)| object.attach_to(&OldKernel::new(*version), program, to).is_ok();
        let first = versions.clone().find(taken).unwrap();
        let before = OldKernel::new((first.0, first.1.saturating_sub(1)));
        let Err(error) = object.attach_to(&before, program, to) else {
            assert!(asked.starts_with("RAW_TRACEPOINT_OPEN") || program == "typed", "{program}");
            continue;
        };
        let said = format!("EINVAL; Linux before {}.{} has no such links", first.0, first.1);
        assert!(error.to_string().contains(&said) || matches!(to, To::Elements(_)), "{first:?}: {error}");
    }
}

#[test]
fn what_a_program_is_not_attached_to_is_said_before_the_kernel_is_asked() {
    if kernel_or_skip("what_a_program_is_not_attached_to_is_said_before_the_kernel_is_asked").is_none() {
        return;
    }
    let mut object = loaded();
    let null = File::open("/dev/null").unwrap();
    let kernel = DryRun::new();
    let said = |object: &LoadedObject, program, to| {
        let error = object.attach_to(&kernel, program, to).unwrap_err();
        assert!(matches!(error, LoadError::NoPlace { .. }) && error.blame() == Blame::Object, "{error}");
        error.to_string()
    };
    let table = [
        ("sysctl", To::Section, "it is attached to a cgroup, and its section does not say which: To::Cgroup"),
        (
            "raw_somewhere",
            To::Section,
            "a tracepoint, and its section does not say which: SEC(\"raw_tp/NAME\")",
        ),
        ("returns", To::Section, "functions of an executable, and its section does not say which: SEC(\"upr"),
        ("probe", To::Section, "SEC(\"uprobe/PATH:FUNCTION\")"),
        (
            "probe",
            To::Functions(&["a", "b"]),
            "it takes one place, and there are 2: kprobe.multi and uprobe.multi take",
        ),
        (
            "tracepoint",
            To::Tracepoint("sched_switch"),
            "\"sched_switch\" has no category: it is called CATEGORY/NAME",
        ),
        (
            "event",
            To::Section,
            "it is attached to a perf event, and its section does not say which: To::Event",
        ),
        ("note", To::Section, "places that an executable's notes name (USDT) are not looked for"),
        ("sysctl", To::Interface(1), "attached to a cgroup, and that is not what was given: To::Cgroup"),
        (
            "typed",
            To::Cgroup(null.as_fd()),
            "the place that it was loaded for, and that is not what was given",
        ),
        ("on_socket", To::Section, "there is no link for it: setsockopt(2) puts it on a socket"),
        ("on_socket", To::Interface(1), "there is no link for it: setsockopt(2) puts it on a socket"),
    ];
    for (program, to, words) in table {
        let text = said(&object, program, to);
        assert!(
            text.starts_with(&format!("program {program:?} (section ")) && text.contains(words),
            "{text}"
        );
    }
    object.take_program("raw").unwrap();
    assert!(said(&object, "raw", To::Section).contains("it is not loaded, or was taken out"));
    assert_eq!(kernel.calls(), 0);
}

#[test]
fn an_errno_is_explained() {
    if kernel_or_skip("an_errno_is_explained").is_none() {
        return;
    }
    let object = loaded();
    let table = [
        (Errno::EPERM, "CAP_SYS_ADMIN", Blame::Privilege),
        (Errno::ENOENT, "the kernel has no such place", Blame::Kernel),
        (Errno::EBUSY, "something else is attached there already", Blame::Kernel),
        (Errno::ENOTSUPP, "this kernel does not allow it", Blame::Kernel),
    ];
    for (errno, words, blame) in table {
        let error = object.attach(&DryRun::failing(0, errno), "raw").unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!((error.errno(), error.blame()), (Some(errno), blame));
    }
}
