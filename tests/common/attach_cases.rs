//! The ways in which attaching fails: a table, how each comes about, and what other programs are given in its place.
//!
//! What may not enter: the page.

use std::collections::HashSet;
use std::process::{Command, Stdio};

use caps::{CapSet, Capability};
use nix::sys::signal::Signal;
use rxdp_sandbox::Sandbox;

use crate::common::{Ran, Running, rxdp_load};
use crate::console::root;

/// One way to fail.
pub(crate) struct Case {
    pub(crate) title: &'static str,
    /// How it comes about, for people.
    pub(crate) how: &'static str,
    /// What is there before; it stays until the case ends.
    before: fn(&Sandbox) -> Vec<Running>,
    options: &'static [&'static str],
    object: &'static str,
    interface: &'static str,
    rights: Rights,
    pub(crate) code: i32,
    /// Words that name the cause and the cure.
    pub(crate) says: &'static [&'static str],
}

/// What the command may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rights {
    Root,
    /// These capabilities and no others.
    Only(&'static [Capability]),
    /// All of them, in a user namespace of its own.
    UserNamespace,
}

const DROP: &str = "bpf-progs/drop_all.o";
const ALL: Rights = Rights::Root;

const fn case(
    title: &'static str,
    how: &'static str,
    before: fn(&Sandbox) -> Vec<Running>,
    options: &'static [&'static str],
    code: i32,
    says: &'static [&'static str],
) -> Case {
    Case { title, how, before, options, object: DROP, interface: "v0", rights: ALL, code, says }
}

impl Case {
    const fn on(self, interface: &'static str) -> Self {
        Self { interface, ..self }
    }

    const fn of(self, object: &'static str) -> Self {
        Self { object, ..self }
    }

    const fn with(self, rights: Rights) -> Self {
        Self { rights, ..self }
    }

    /// The arguments, as a person types them.
    pub(crate) fn command(&self) -> String {
        let Self { options, object, interface, .. } = self;
        [*options, &[object, interface]].concat().join(" ")
    }

    /// Runs the command in this situation.
    pub(crate) fn run(&self) -> Ran {
        let command = self.command();
        self.in_place(|| {
            let mut child = rxdp_load(&command.split(' ').collect::<Vec<_>>());
            if self.rights == Rights::UserNamespace {
                child = Command::new("unshare");
                child.args(["-U", "-r", env!("CARGO_BIN_EXE_rxdp-load")]).args(command.split(' '));
            }
            child.current_dir(root());
            Running::start(child).end()
        })
    }

    /// Runs something where the case is, with its rights.
    fn in_place<R: Send>(&self, run: impl FnOnce() -> R + Send) -> R {
        let sandbox = Sandbox::new().expect("a sandbox");
        let _there = (self.before)(&sandbox);
        let rights = self.rights;
        sandbox.near(move || {
            if let Rights::Only(few) = rights {
                // What a thread gives away, its children do not get.
                for right in caps::all().difference(&few.iter().copied().collect::<HashSet<_>>()) {
                    caps::drop(None, CapSet::Bounding, *right).expect("rights can be given away");
                }
            }
            run()
        })
    }
}

const NATIVE: &[&str] = &["--mode", "native"];
const GENERIC: &[&str] = &["--mode", "generic"];

/// The table.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case("Packets are too large for native mode", "The other end of the veth pair has an MTU of 9000.",
        large, NATIVE, 3, &["Peer MTU is too large", "ip link set PEER mtu 1500", "xdp.frags", "--mode generic"]),
    case("Packets are too large, and the mode is left to the kernel", "The same. The kernel chooses native mode, and refuses it then.",
        large, &[], 3, &["Peer MTU is too large", "--fallback generic"]),
    case("The other end sends on more queues than this one receives on", "`ip link add q0 numrxqueues 1 numtxqueues 1 type veth peer name q1 numtxqueues 4`",
        queues, NATIVE, 3, &["number of rx queues", "ethtool -L q0 rx", "--mode generic"]).on("q0"),
    case("A bridge in native mode", "`ip link add br0 type bridge`",
        bridge, NATIVE, 5, &["does not support XDP in native mode", "--mode generic"]).on("br0"),
    case("The loopback in native mode", "As it is.",
        nothing, NATIVE, 5, &["does not support XDP in native mode", "--mode generic"]).on("lo"),
    case("The loopback in native mode, and a way out that is none", "As it is. Fragments do not make a driver.",
        nothing, &["--mode", "native", "--fallback", "frags"], 5, &["--mode generic"]).on("lo"),
    case("Offload to a card that is none", "A veth pair.",
        nothing, &["--mode", "offload"], 5, &["--mode native"]),
    case("Offload to a bridge", "`ip link add br0 type bridge`",
        bridge, &["--mode", "offload"], 5, &["--mode native"]).on("br0"),
    case("A program is there, and its process", "Another `rxdp-load` stays.",
        native, &[], 3, &["already", "xdp_drop_all", "has it open", "--replace=", "rxdp-load unload v0"]),
    case("A program is there, and nobody holds it", "Another `rxdp-load` was killed with SIGKILL.",
        killed, NATIVE, 3, &["already", "nobody has it open or pinned", "--replace="]),
    case("A program is there, and it is pinned", "`rxdp-load --pin /sys/fs/bpf/here` put it there.",
        pinned, &[], 3, &["already", "pinned at /sys/fs/bpf/here/xdp_drop_all", "--replace="]),
    case("Generic mode while a program is there in native mode", "Another `rxdp-load` stays.",
        native, GENERIC, 3, &["exclude each other", "--replace=", "without --mode"]),
    case("Native mode while a program is there in generic mode", "Another `rxdp-load --mode generic` stays.",
        generic, NATIVE, 3, &["exclude each other", "--replace=", "without --mode"]),
    case("A program is there in generic mode, and the mode is left to the kernel", "Another `rxdp-load --mode generic` stays.",
        generic, &[], 3, &["exclude each other", "--replace="]),
    case("A bpf_link holds the place for a process", "Another `rxdp-load --bpf-link` stays.",
        linked, &[], 3, &["bpf_link", "kill "]),
    case("A bpf_link holds the place by its pin", "`rxdp-load --bpf-link --pin /sys/fs/bpf/here` put it there.",
        linked_pin, &[], 3, &["bpf_link", "rm /sys/fs/bpf/here/xdp_link"]),
    case("A bpf_link is not replaced over netlink", "Another `rxdp-load --bpf-link` stays.",
        linked, &["--replace"], 3, &["bpf_link", "kill "]),
    case("Another program than the one to be replaced", "Another `rxdp-load` stays; its program is not 1.",
        native, &["--replace=1"], 3, &["not program id 1", "rxdp-load status v0"]),
    case("No program where one is to be replaced", "Nothing is attached.",
        nothing, &["--replace=1"], 3, &["no program", "rxdp-load status v0"]),
    case("The one to be replaced is in another mode", "Another `rxdp-load` stays, in native mode.",
        native, &["--replace", "--mode", "generic"], 3, &["leave --mode generic out"]),
    case("The bridge above has a program", "`v0` is a port of `br0`, which carries a program in generic mode.",
        port, NATIVE, 3, &["upper device", "v0 is a port of br0", "rxdp-load unload br0"]),
    case("No such interface", "A slip of the finger.",
        nothing, &[], 1, &["did you mean one of", "v0", "ip netns exec"]).on("vo"),
    case("Programs for maps of devices and processors", "An object that has no others.",
        nothing, &[], 1, &["no XDP program to attach", "devmap is xdp for xdp_devmap"]).of("tests/fixtures/redirect_targets.o"),
    case("A program of another type", "`SEC(\"prog\")` is taken for a program of tc.",
        nothing, &["--type", "sched_cls"], 1, &["no XDP program to attach", "sched_cls"]),
    case("A program that the object does not have", "A slip of the finger.",
        nothing, &["--prog", "xdp_drop"], 1, &["no program \"xdp_drop\"", "xdp_drop_all"]),
    case("No object", "A slip of the finger.",
        nothing, &[], 1, &["bpf-progs/drop.o"]).of("bpf-progs/drop.o"),
    case("Without CAP_NET_ADMIN", "CAP_BPF alone.",
        nothing, &[], 4, &["missing: CAP_NET_ADMIN", "setcap", "--cap-add NET_ADMIN"]).with(Rights::Only(&[Capability::CAP_BPF])),
    case("Without CAP_BPF", "CAP_NET_ADMIN alone.",
        nothing, &[], 4, &["missing: CAP_BPF", "setcap", "--cap-add BPF"]).with(Rights::Only(&[Capability::CAP_NET_ADMIN])),
    case("Without any capability", "As people are.",
        nothing, &[], 4, &["missing: CAP_BPF", "missing: CAP_NET_ADMIN", "sudo"]).with(Rights::Only(&[])),
    case("CAP_SYS_ADMIN loads, and does not attach", "CAP_SYS_ADMIN alone.",
        nothing, &[], 4, &["missing: CAP_NET_ADMIN"]).with(Rights::Only(&[Capability::CAP_SYS_ADMIN])),
    case("Root of a user namespace", "`unshare -U -r`, as in a rootless container.",
        nothing, &[], 4, &["user namespace"]).with(Rights::UserNamespace),
    case("A link, and packets are too large", "The other end of the veth pair has an MTU of 9000.",
        large, &["--bpf-link"], 3, &["Peer MTU is too large", "--mode generic"]),
    case("A link on a bridge in native mode", "`ip link add br0 type bridge`",
        bridge, &["--bpf-link", "--mode", "native"], 5, &["does not support XDP in native mode", "--mode generic"]).on("br0"),
    case("A link where a program is there", "Another `rxdp-load` stays.",
        native, &["--bpf-link"], 3, &["Can't replace active XDP program with BPF link", "rxdp-load unload v0", "without --bpf-link"]),
    case("A link where a link is there", "Another `rxdp-load --bpf-link` stays.",
        linked, &["--bpf-link"], 3, &["Can't replace active BPF XDP link", "kill "]),
    case("A link in generic mode while a program is there in native mode", "Another `rxdp-load` stays.",
        native, &["--bpf-link", "--mode", "generic"], 3, &["exclude each other"]),
    case("A link, and too few queues", "`ip link add q0 numrxqueues 1 numtxqueues 1 type veth peer name q1 numtxqueues 4`",
        queues, &["--bpf-link"], 3, &["number of rx queues", "ethtool -L q0 rx"]).on("q0"),
    case("Pins outside of a bpffs", "`/proc` is none.",
        nothing, &["--pin", "/proc/here"], 1, &["bpffs"]),
    case("Pins whose names are taken", "`rxdp-load --pin /sys/fs/bpf/here` was there before.",
        pinned_elsewhere, &["--pin", "/sys/fs/bpf/here"], 1, &["/sys/fs/bpf/here/xdp_drop_all", "there already"]),
];

fn nothing(_: &Sandbox) -> Vec<Running> {
    Vec::new()
}

fn large(sandbox: &Sandbox) -> Vec<Running> {
    sandbox.set_mtu("v1", 9000).expect("a large MTU");
    Vec::new()
}

fn queues(sandbox: &Sandbox) -> Vec<Running> {
    sandbox.add_veth_with_queues("q0", "q1", 4).expect("a pair");
    Vec::new()
}

fn bridge(sandbox: &Sandbox) -> Vec<Running> {
    sandbox.add_bridge("br0").expect("a bridge");
    Vec::new()
}

fn port(sandbox: &Sandbox) -> Vec<Running> {
    sandbox.add_bridge("br0").expect("a bridge");
    sandbox.make_port_of("br0").expect("a port");
    vec![staying(sandbox, &["--mode", "generic"], "br0")]
}

fn native(sandbox: &Sandbox) -> Vec<Running> {
    vec![staying(sandbox, &[], "v0")]
}

fn generic(sandbox: &Sandbox) -> Vec<Running> {
    vec![staying(sandbox, GENERIC, "v0")]
}

fn killed(sandbox: &Sandbox) -> Vec<Running> {
    let held = staying(sandbox, &[], "v0");
    held.signal(Signal::SIGKILL);
    held.end();
    Vec::new()
}

fn linked(sandbox: &Sandbox) -> Vec<Running> {
    vec![staying(sandbox, &["--bpf-link"], "v0")]
}

fn pinned(sandbox: &Sandbox) -> Vec<Running> {
    pin(sandbox, &[], "v0")
}

fn linked_pin(sandbox: &Sandbox) -> Vec<Running> {
    pin(sandbox, &["--bpf-link"], "v0")
}

fn pinned_elsewhere(sandbox: &Sandbox) -> Vec<Running> {
    pin(sandbox, GENERIC, "lo")
}

fn pin(sandbox: &Sandbox, options: &[&str], interface: &str) -> Vec<Running> {
    let args = [options, &["--pin", "/sys/fs/bpf/here", DROP, interface]].concat();
    start(sandbox, &args).end().done();
    Vec::new()
}

fn staying(sandbox: &Sandbox, options: &[&str], interface: &str) -> Running {
    let running = start(sandbox, &[options, &["--for", "1min", DROP, interface]].concat());
    running.line_with("staying");
    running
}

fn start(sandbox: &Sandbox, args: &[&str]) -> Running {
    let mut child = rxdp_load(args);
    child.current_dir(root());
    sandbox.near(|| Running::start(child))
}

/// What bpftool, ip and xdp-loader say in the same situation, one after the other.
pub(crate) fn peers(case: &Case) -> String {
    let mode =
        case.options.iter().skip_while(|option| **option != "--mode").nth(1).copied().unwrap_or("auto");
    // They replace whatever they find, have no links of their own, and take other objects.
    let is_theirs = case.options.iter().all(|option| *option == "--mode" || *option == mode);
    if !is_theirs || case.object != DROP || case.rights == Rights::UserNamespace {
        return String::new();
    }
    let [flag, word] = match mode {
        "native" => ["xdpdrv", "-m native"],
        "generic" => ["xdpgeneric", "-m skb"],
        "offload" => ["xdpoffload", "-m hw"],
        _ => ["xdp", ""],
    };
    let (object, to) = (case.object, case.interface);
    let table = [
        (
            format!("bpftool prog load {object} /sys/fs/bpf/peer type xdp"),
            format!("bpftool net attach {flag} pinned /sys/fs/bpf/peer dev {to}"),
        ),
        (String::new(), format!("ip link set dev {to} {flag} object {object} section prog")),
        (String::new(), format!("xdp-loader load {word} {to} {object}").replace("  ", " ")),
    ];
    let said = table.map(|(first, then)| {
        let shell = if first.is_empty() { then.clone() } else { format!("{first} && {then}") };
        let ran = case.in_place(|| {
            let mut child = Command::new("sh");
            child.args(["-c", &shell]).current_dir(root()).stdin(Stdio::null()).output().expect("sh")
        });
        let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        format!("# {shell}\n{said}exit code {}\n", ran.status.code().expect("no signal"))
    });
    format!("```text\n{}```", said.join(""))
}
