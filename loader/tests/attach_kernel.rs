//! Programs attached by links on the running kernel: each is called while its link is there, and no longer.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Instant;

use common::path_of;
use common::wire::{PATIENCE, Wire, frame};
use nix::unistd::{getpgid, getpid};
use rxdp_loader::error::Error;
use rxdp_loader::load::{Link, LoadError, LoadedObject, Places, To};
use rxdp_loader::sys::{Elements, Errno, Kernel, Linux, MapCreate, Netfilter};
use rxdp_loader::uapi::{MapFlags, MapType, NetfilterFamily, NetfilterHook};
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::End;
use rxdp_sandbox::testing::{kernel_or_skip, needs};

/// `attached.o` with this program alone, counting for this process.
fn alone(program: &str) -> Object {
    let mut object = Object::open(path_of("attached.o")).unwrap();
    let names: Vec<String> = object.programs().iter().map(|program| program.name.clone()).collect();
    for name in names {
        object.set_autoload(&name, name == program).unwrap();
    }
    object.set_global("process", &process::id().to_ne_bytes()).unwrap();
    object
}

fn only(program: &str) -> LoadedObject {
    Loader::new().load(alone(program)).unwrap_or_else(|error| panic!("{error}"))
}

/// How often the program that counts here was called.
fn seen(object: &LoadedObject, place: usize) -> u64 {
    let bss = object.map("attached.bss").unwrap();
    let value = Linux.map_lookup(bss.named(), &[0; 4], 8 * 16).unwrap();
    u64::from_ne_bytes(value[8 * place..][..8].try_into().unwrap())
}

/// Waits for something that happens on another CPU and that nobody announces.
fn until(happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "it does not happen");
        std::thread::yield_now();
    }
}

/// The program is called by what this process does while `link` is there, and no more once it is gone.
fn is_called_while(link: Link, object: &LoadedObject, place: usize, act: impl Fn()) {
    let before = seen(object, place);
    act();
    let during = seen(object, place);
    assert!(during > before, "{} was not called", link.program());
    link.detach();
    let after = seen(object, place);
    act();
    assert_eq!(seen(object, place), after, "it is not called any more");
}

fn a_system_call() {
    black_box(parent_id());
}

#[test]
fn tracepoints() {
    if kernel_or_skip("tracepoints").is_none() {
        return;
    }
    let object = only("raw");
    is_called_while(object.attach(&Linux, "raw").unwrap(), &object, 0, a_system_call);
    let to = To::Tracepoint("sys_exit");
    is_called_while(object.attach_to(&Linux, "raw", to).unwrap(), &object, 0, a_system_call);
    let object = only("typed");
    is_called_while(object.attach(&Linux, "typed").unwrap(), &object, 1, a_system_call);

    let error = only("raw").attach_to(&Linux, "raw", To::Tracepoint("rxdp_no_such_tracepoint")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "program \"raw\" (section \"raw_tp/sys_enter\"): BPF_RAW_TRACEPOINT_OPEN failed: ENOENT; the kernel has no such place"
    );
}

#[test]
fn a_pinned_link_outlives_its_value() {
    let Some(sandbox) = kernel_or_skip("a_pinned_link_outlives_its_value") else {
        return;
    };
    let object = only("typed");
    sandbox.near(|| {
        let pin = Path::new("/sys/fs/bpf/typed");
        let link = object.attach(&Linux, "typed").unwrap();
        link.pin(&Linux, pin).unwrap();
        let error = link.pin(&Linux, "/sys/fs/bpf/no/such").unwrap_err();
        assert!(matches!(error, LoadError::Pin { errno: Errno::ENOENT, .. }), "{error}");
        drop(link);
        let before = seen(&object, 1);
        a_system_call();
        assert!(seen(&object, 1) > before);
        fs::remove_file(pin).unwrap();
        until(|| {
            let before = seen(&object, 1);
            a_system_call();
            seen(&object, 1) == before
        });
    });
    // So does its descriptor.
    let fd = object.attach(&Linux, "typed").unwrap().into_fd();
    let before = seen(&object, 1);
    a_system_call();
    assert!(seen(&object, 1) > before);
    drop(fd);
}

#[test]
fn iterators_are_read() {
    if kernel_or_skip("iterators_are_read").is_none() {
        return;
    }
    let text = |link: &Link| {
        let mut text = String::new();
        link.read(&Linux).unwrap().read_to_string(&mut text).unwrap();
        text
    };
    let object = only("tasks");
    let link = object.attach(&Linux, "tasks").unwrap();
    let all = text(&link);
    assert!(all.len() > 1 && all.bytes().all(|byte| byte == b't'), "{all:?}");
    if needs("threads of one process", (6, 1), "iterators over a process") {
        // All threads of the tests are some of all.
        let to = To::Elements(Elements::Process(process::id()));
        let mine = text(&object.attach_to(&Linux, "tasks", to).unwrap());
        assert!(!mine.is_empty() && mine.len() < text(&link).len(), "{mine:?}");
    }

    let object = only("elements");
    let entries = object.map("entries").unwrap();
    let to = To::Elements(Elements::Map(entries.as_fd()));
    let link = object.attach_to(&Linux, "elements", to).unwrap();
    assert_eq!((text(&link), text(&link)), ("eeeee".to_string(), "eeeee".to_string()));
    let error = object.attach(&Linux, "elements").unwrap_err();
    assert!(matches!(error, LoadError::Attach { .. }), "it needs a map: {error}");
}

/// A cgroup of a test's own. Those of tests that were killed are removed.
struct Cgroup(PathBuf);

impl Cgroup {
    const PREFIX: &str = "rxdp-test-";

    /// `None`, said aloud, where no cgroups of version 2 are mounted.
    fn or_skip(test: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let (place, kind) = (words.nth(1)?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(place))
        });
        let Some(root) = root else {
            let notice = format!("SKIPPED {test}: no cgroups of version 2 are mounted\n");
            std::io::stderr().write_all(notice.as_bytes()).unwrap();
            return None;
        };
        for entry in fs::read_dir(&root).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.strip_prefix(Self::PREFIX).is_some_and(|id| !Path::new("/proc").join(id).exists()) {
                // Somebody else may remove it at the same time.
                let _gone = fs::remove_dir(entry.path());
            }
        }
        let path = root.join(format!("{}{}", Self::PREFIX, process::id()));
        fs::create_dir(&path).unwrap();
        Some(Self(path))
    }

    /// Whether a process in it may read a sysctl.
    fn may_read(&self) -> bool {
        let script = "echo $$ >\"$0/cgroup.procs\" && read line </proc/sys/kernel/ostype";
        Command::new("sh").args(["-c", script]).arg(&self.0).status().unwrap().success()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that has just ended may still be in it for a moment.
        until(|| !fs::remove_dir(&self.0).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy));
    }
}

#[test]
fn a_cgroup() {
    if kernel_or_skip("a_cgroup").is_none() {
        return;
    }
    let Some(cgroup) = Cgroup::or_skip("a_cgroup") else {
        return;
    };
    let object = only("sysctl");
    assert!(cgroup.may_read());
    let directory = File::open(&cgroup.0).unwrap();
    let link = object.attach_to(&Linux, "sysctl", To::Cgroup(directory.as_fd())).unwrap();
    assert!(!cgroup.may_read());
    assert!(seen(&object, 8) > 0);
    link.detach();
    assert!(cgroup.may_read());

    let null = File::open("/dev/null").unwrap();
    let error = object.attach_to(&Linux, "sysctl", To::Cgroup(null.as_fd())).unwrap_err();
    let words = "BPF_LINK_CREATE failed: EBADF; the descriptor is not of that kind";
    assert!(error.to_string().ends_with(words), "{error}");
}

#[test]
fn a_network_namespace() {
    let Some(sandbox) = kernel_or_skip("a_network_namespace") else {
        return;
    };
    let object = only("lookup");
    sandbox.near(|| {
        let namespace = File::open("/proc/thread-self/ns/net").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).map_err(|error| error.kind());
        assert!(connect().is_ok());
        let link = object.attach_to(&Linux, "lookup", To::Namespace(namespace.as_fd())).unwrap();
        assert_eq!(connect().unwrap_err(), ErrorKind::ConnectionRefused);
        assert!(seen(&object, 9) > 0);
        link.detach();
        assert!(connect().is_ok());
    });
}

#[test]
fn a_hook_of_netfilter() {
    let Some(sandbox) = kernel_or_skip("a_hook_of_netfilter") else {
        return;
    };
    if !needs("a_hook_of_netfilter", (6, 4), "netfilter programs") {
        return;
    }
    let object = only("filter");
    sandbox.near(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let send = |text: &[u8]| socket.send_to(text, socket.local_addr().unwrap()).unwrap();
        let hook = |priority| {
            To::Netfilter(Netfilter {
                family: NetfilterFamily::IPV4,
                hook: NetfilterHook::LOCAL_IN,
                priority,
                defragment: false,
            })
        };
        let link = object.attach_to(&Linux, "filter", hook(7)).unwrap();
        let taken = object.attach_to(&Linux, "filter", hook(7)).unwrap_err();
        assert!(matches!(taken, LoadError::Attach { errno: Errno::EBUSY, .. }), "{taken}");
        send(b"dropped");
        until(|| seen(&object, 10) == 1);
        link.detach();
        send(b"arrives");
        let mut text = [0; 7];
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!((socket.recv(&mut text).unwrap(), &text), (7, b"arrives"));
        let first = object.attach_to(&Linux, "filter", hook(i32::MIN)).unwrap_err();
        assert!(first.to_string().contains("failed: ERANGE"), "the first place is the kernel's: {first}");
    });
}

#[test]
fn an_interface() {
    let Some(wire) = Wire::or_skip("an_interface") else {
        return;
    };
    let to = To::Interface(wire.sandbox.ifindex(End::Near));
    let table = [("packet", 12, (5, 9), Errno::EINVAL), ("ingress", 11, (6, 6), Errno::ENODEV)];
    for (program, place, since, nowhere) in table {
        if !needs(program, since, "links of interfaces") {
            continue;
        }
        let object = only(program);
        // The number is one of the calling thread's namespace.
        let link = wire.sandbox.near(|| object.attach_to(&Linux, program, to)).unwrap();
        let sent = frame(2, b"counted");
        wire.far.send(&sent).unwrap();
        assert_eq!(wire.arrived(), sent);
        until(|| seen(&object, place) == 1);
        link.detach();
        wire.far.send(&sent).unwrap();
        assert_eq!(wire.arrived(), sent);
        let link = wire.sandbox.near(|| object.attach_to(&Linux, program, to)).unwrap();
        wire.far.send(&sent).unwrap();
        until(|| seen(&object, place) == 2);
        drop(link);
        let error = object.attach_to(&Linux, program, To::Interface(u32::MAX >> 1)).unwrap_err();
        assert!(error.to_string().contains(&format!("failed: {nowhere}; ")), "{error}");
    }
}

#[test]
fn a_map_of_sockets() {
    if kernel_or_skip("a_map_of_sockets").is_none()
        || !needs("a_map_of_sockets", (6, 10), "links of maps of sockets")
    {
        return;
    }
    let create = MapCreate {
        name: "sockets",
        kernel_name: "sockets",
        ty: MapType::SOCKMAP,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        flags: MapFlags::empty(),
        numa_node: 0,
        map_extra: 0,
        inner: None,
        types: None,
        kernel_value: None,
    };
    let map = Linux.map_create(&create).unwrap();
    let object = only("message");
    let attach = || object.attach_to(&Linux, "message", To::Sockets(map.as_fd()));
    let link = attach().unwrap();
    let taken = attach().unwrap_err();
    assert!(matches!(taken, LoadError::Attach { errno: Errno::EBUSY, .. }), "{taken}");
    link.detach();
    drop(attach().unwrap());
}

/// What is probed: it must not become a part of its caller.
#[inline(never)]
extern "C" fn probed(number: u64) -> u64 {
    black_box(number) + 1
}

/// Where `probed` begins in the file of this program. Source: `/proc/self/maps`.
fn offset_of_probed() -> u64 {
    let address = probed as extern "C" fn(u64) -> u64 as usize as u64;
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let found = maps.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (start, end) = words.next()?.split_once('-')?;
        let offset = words.nth(1)?;
        (hex(start)..hex(end)).contains(&address).then(|| address - hex(start) + hex(offset))
    });
    found.unwrap()
}

#[test]
fn places_in_an_executable() {
    if kernel_or_skip("places_in_an_executable").is_none()
        || !needs("places_in_an_executable", (6, 6), "links of places in executables")
    {
        return;
    }
    let object = only("returns");
    let (path, offsets) = (Path::new("/proc/self/exe"), [offset_of_probed()]);
    let to = |process| To::Executable { path, places: Places::Offsets(&offsets), process };
    for process in [None, Some(process::id())] {
        let link = object.attach_to(&Linux, "returns", to(process)).unwrap();
        is_called_while(link, &object, 4, || assert_eq!(probed(1), 2));
    }
    let object = only("returns");
    let link = object.attach_to(&Linux, "returns", to(None)).unwrap();
    (0..3).for_each(|_| assert_eq!(probed(1), 2));
    assert_eq!(seen(&object, 4), 3);
    drop(link);
}

#[test]
fn events() {
    if kernel_or_skip("events").is_none() {
        return;
    }
    let object = only("tracepoint");
    is_called_while(object.attach(&Linux, "tracepoint").unwrap(), &object, 2, a_system_call);
    let to = To::Tracepoint("rxdp/no_such_tracepoint");
    let error = object.attach_to(&Linux, "tracepoint", to).unwrap_err().to_string();
    assert!(error.ends_with("perf_event_open(2) failed: ENOENT; the kernel has no such place"), "{error}");

    let object = only("probe");
    let (path, offsets) = (Path::new("/proc/self/exe"), [offset_of_probed()]);
    for process in [None, Some(process::id())] {
        let to = To::Executable { path, places: Places::Offsets(&offsets), process };
        let link = object.attach_to(&Linux, "probe", to).unwrap();
        is_called_while(link, &object, 3, || assert_eq!(probed(1), 2));
    }

    let object = only("function");
    match object.attach(&Linux, "function") {
        Ok(link) => is_called_while(link, &object, 6, a_system_call),
        Err(error) if error.to_string().contains("failed: EOPNOTSUPP") => {
            let notice = b"SKIPPED events of functions: this kernel was built without CONFIG_KPROBES\n";
            return std::io::stderr().write_all(notice).unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    let to = To::Functions(&["rxdp_no_such_function"]);
    let error = object.attach_to(&Linux, "function", to).unwrap_err().to_string();
    assert!(error.ends_with("perf_event_open(2) failed: ENOENT; the kernel has no such place"), "{error}");
}

/// What stands before a function and may refuse, by trampolines.
#[test]
fn hooks() {
    if kernel_or_skip("hooks").is_none() {
        return;
    }
    for (program, place) in [("hook", 14), ("change", 15)] {
        let object = match Loader::new().load(alone(program)) {
            Ok(object) => object,
            Err(Error::Load(LoadError::ProgLoad { errno: Errno::EPERM, log, .. })) if log.text.is_empty() => {
                let notice = format!("SKIPPED {program}: this kernel forbids all that needs trampolines\n");
                std::io::stderr().write_all(notice.as_bytes()).unwrap();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let group = || getpgid(Some(getpid()));
        assert!(group().is_ok());
        let link = object.attach(&Linux, program).unwrap();
        assert_eq!(group(), Err(nix::errno::Errno::EPERM), "{program}");
        assert_eq!(seen(&object, place), 1);
        link.detach();
        assert!(group().is_ok());
    }
}

#[test]
fn functions_of_the_kernel() {
    if kernel_or_skip("functions_of_the_kernel").is_none() {
        return;
    }
    let object = only("functions");
    let name = "__x64_sys_getppid";
    match object.attach_to(&Linux, "functions", To::Functions(&[name])) {
        Ok(link) => is_called_while(link, &object, 5, a_system_call),
        Err(error) if error.to_string().contains("failed: EOPNOTSUPP") => {
            let notice = b"SKIPPED functions_of_the_kernel: this kernel was built without CONFIG_FPROBE\n";
            return std::io::stderr().write_all(notice).unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    // The section has a pattern: of names for one address the kernel lists one.
    is_called_while(object.attach(&Linux, "functions").unwrap(), &object, 5, a_system_call);
    let error = object.attach_to(&Linux, "functions", To::Functions(&["rxdp_no_*"])).unwrap_err();
    assert!(
        error.to_string().contains("no function of the kernel that can be probed is called rxdp_no_*"),
        "{error}"
    );
}
