//! The walls: who is inside, who is not, and what is left afterwards.

#![cfg(test)]

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Read, stdin},
    os::unix::fs::MetadataExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use rxdp_sandbox::{End, Errno, PacketSocket, Sandbox, SandboxError, testing::kernel_or_skip};

const SOON: Duration = Duration::from_secs(10);
const BPFFS: &str = "/sys/fs/bpf";

/// Set for the copy of this test program that is to be killed.
const TO_BE_KILLED: &str = "RXDP_SANDBOX_TEST_TO_BE_KILLED";

#[test]
fn the_calling_thread_stays_where_it_is() {
    let here =
        || (namespaces(), env::current_dir().unwrap(), fs::metadata(BPFFS).unwrap().dev(), host_ipv6());
    let before = here();
    let Some(sandbox) = kernel_or_skip("the_calling_thread_stays_where_it_is") else { return };
    sandbox.near(|| ());
    sandbox.far(|| ());
    sandbox.add_veth("extra", "other").unwrap();
    assert_eq!(here(), before);
    drop(sandbox);
    assert_eq!(here(), before);
}

#[test]
fn near_far_and_the_caller_are_three_places() {
    let Some(sandbox) = kernel_or_skip("near_far_and_the_caller_are_three_places") else { return };
    let [caller, near, far] = [namespaces(), sandbox.near(namespaces), sandbox.far(namespaces)];
    let networks: BTreeSet<_> = [&caller, &near, &far].map(|place| place.network.clone()).into();
    assert_eq!(networks.len(), 3);
    assert_ne!(near.mounts, caller.mounts);
    assert_eq!(far.mounts, caller.mounts);
    assert_eq!(sandbox.near(interfaces), ["lo", "v0"]);
    assert_eq!(sandbox.far(interfaces), ["lo", "v1"]);
}

#[test]
fn a_child_process_inherits_both_namespaces_and_the_directory() {
    let Some(sandbox) = kernel_or_skip("a_child_process_inherits_both_namespaces_and_the_directory") else {
        return;
    };
    let links = ["/proc/self/ns/net", "/proc/self/ns/mnt", "/proc/self/cwd"];
    // One by one: busybox reads no more than one.
    let read = |link| Command::new("readlink").arg(link).output().unwrap().stdout;
    let seen = links.map(|link| String::from_utf8(sandbox.near(|| read(link))).unwrap());
    let seen: Vec<_> = seen.iter().map(|link| PathBuf::from(link.trim_end())).collect();
    let Place { network, mounts } = sandbox.near(namespaces);
    assert_eq!(seen, [network, mounts, env::current_dir().unwrap()]);
}

#[test]
fn bpffs_in_near_is_fresh_and_shows_nowhere_else() {
    let Some(sandbox) = kernel_or_skip("bpffs_in_near_is_fresh_and_shows_nowhere_else") else { return };
    let other = Sandbox::new().unwrap();
    let pinned = Path::new(BPFFS).join("rxdp-sandbox-test");
    sandbox.near(|| {
        assert_eq!(statfs(BPFFS).unwrap().filesystem_type(), BPF_FS_MAGIC);
        assert_eq!(pins(), BTreeSet::new());
        fs::create_dir(&pinned).unwrap();
    });
    assert!(sandbox.near(|| pinned.exists()), "it stays for the next one who enters");
    assert!(!pinned.exists(), "the host sees it");
    assert!(!other.near(|| pinned.exists()), "another sandbox sees it");
    let device = || fs::metadata(BPFFS).unwrap().dev();
    let devices = BTreeSet::from([device(), sandbox.near(device), other.near(device)]);
    assert_eq!(devices.len(), 3);
}

#[test]
fn ipv6_is_off_inside_only() {
    let before = host_ipv6();
    let Some(sandbox) = kernel_or_skip("ipv6_is_off_inside_only") else { return };
    let addresses = || fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    assert_eq!(sandbox.near(addresses), "");
    assert_eq!(sandbox.far(addresses), "");
    assert_eq!(host_ipv6(), before);
}

#[test]
fn dropping_it_removes_everything() {
    for end in [End::Near, End::Far] {
        let Some(sandbox) = kernel_or_skip("dropping_it_removes_everything") else { return };
        // The socket keeps one namespace; its interface goes because the other namespace does.
        let witness = sandbox.packet_socket(end).unwrap();
        drop(sandbox);
        assert_gone(&witness);
    }
}

#[test]
fn a_panic_inside_reaches_the_caller_and_leaves_nothing() {
    let Some(sandbox) = kernel_or_skip("a_panic_inside_reaches_the_caller_and_leaves_nothing") else {
        return;
    };
    let witness = sandbox.packet_socket(End::Far).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(move || {
        sandbox.near(|| panic!("boom"));
    }))
    .unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"boom"));
    assert_gone(&witness);
}

#[test]
fn a_killed_process_leaves_nothing() {
    const NAME: &str = "a_killed_process_leaves_nothing";
    if env::var_os(TO_BE_KILLED).is_some() {
        return hold_until_killed();
    }
    let Some(_privileged) = kernel_or_skip(NAME) else { return };
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(TO_BE_KILLED, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let network = lines.find_map(|line| line.unwrap().strip_prefix("far: ").map(PathBuf::from)).unwrap();
    let witness = thread::scope(|scope| {
        let open = || {
            setns(fs::File::open(&network).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            PacketSocket::open("v1").unwrap()
        };
        scope.spawn(open).join().unwrap()
    });
    assert_eq!(witness.receive(Duration::ZERO).unwrap(), None, "alive, or the rest proves nothing");

    child.kill().unwrap();
    child.wait().unwrap();

    assert_gone(&witness);
}

#[test]
fn without_privilege_the_error_says_so() {
    // Capabilities belong to a thread, and what Sandbox::new starts inherits them from it.
    let made = thread::spawn(|| {
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
            .unwrap();
        Sandbox::new()
    });
    let error = made.join().unwrap().unwrap_err();
    assert!(matches!(error, SandboxError::NotPermitted { errno: Errno::EPERM, .. }), "{error}");
    assert!(error.to_string().ends_with("run as root"), "{error}");
}

/// Plays the part of the process that is killed: says where far is, then waits for an end that never comes.
fn hold_until_killed() {
    let sandbox = Sandbox::new().unwrap();
    sandbox.far(|| {
        let task = fs::read_link("/proc/thread-self").unwrap();
        println!("far: {}", Path::new("/proc").join(task).join("ns/net").display());
        let read = stdin().read(&mut [0]).unwrap();
        assert_eq!(read, 0, "the parent ended without killing this process");
    });
}

fn assert_gone(witness: &PacketSocket) {
    let error = witness.receive(SOON).expect_err("the interface is still there");
    assert!(matches!(error, SandboxError::Refused { errno: Errno::ENETDOWN, .. }), "{error}");
}

#[derive(Debug, PartialEq, Eq)]
struct Place {
    network: PathBuf,
    mounts: PathBuf,
}

/// Where the calling thread is.
fn namespaces() -> Place {
    let link = |kind| fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
    Place { network: link("net"), mounts: link("mnt") }
}

/// What is pinned, without the two iterators that some kernels put into every bpffs.
fn pins() -> BTreeSet<OsString> {
    let names = fs::read_dir(BPFFS).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name != "maps.debug" && name != "progs.debug").collect()
}

fn interfaces() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let mut names: Vec<_> = table.lines().filter_map(|line| line.split_once(':')).collect();
    names.sort_unstable();
    names.into_iter().map(|(name, _)| name.trim().to_owned()).collect()
}

/// The sysctls of this namespace that a sandbox must leave alone; `None` where the kernel has no IPv6.
fn host_ipv6() -> [Option<String>; 2] {
    ["all", "default"]
        .map(|scope| fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")).ok())
}
