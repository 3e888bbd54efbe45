//! From facts to findings. Values in, values out.

use rxdp_loader::features::KernelVersion;
use rxdp_loader::sys::Errno;
use rxdp_netlink::XdpMode;
use rxdp_netlink::device::XdpFeatures;

use super::{Finding, Interface, Machine, State};
use crate::error::Exit;

/// What the main job gets from later kernels. Source: the kernel's history; `docs/kernel-support.md`.
const LATER: &[((u8, u8), &str)] = &[
    ((4, 12), "modes, and the kernel's reasons for a refusal"),
    ((5, 7), "replacing a program atomically"),
    ((5, 8), "CAP_BPF in place of root"),
    ((5, 9), "--bpf-link"),
    ((5, 10), "--trace"),
    ((5, 18), "xdp.frags"),
    ((6, 3), "what a driver can, as it says itself"),
];

/// From this version on, memory is charged to the cgroup and not to RLIMIT_MEMLOCK.
const MEMORY_CGROUPS: (u8, u8) = (5, 11);

/// What of a page a packet cannot have on a veth, in **bytes**: headroom, `struct skb_shared_info`, Ethernet header.
/// Source: `veth_xdp_set`, on 64-bit machines.
const VETH_OVERHEAD: u32 = 256 + 320 + 14;

/// All that follows from what is known, in the order in which it is looked at.
pub(crate) fn findings(machine: &Machine, interface: Option<&Interface>) -> Vec<Finding> {
    let of_machine = [kernel, rights, trial, forbidden, bpffs, types, jit, tracefs, locked_memory];
    let mut found: Vec<Finding> = of_machine.iter().filter_map(|check| check(machine)).collect();
    if let Some(interface) = interface {
        let of_interface = [driver, owner, native, generic, frags, queues, lro, redirects, offload];
        found.extend(of_interface.iter().filter_map(|check| check(machine, interface)));
    }
    found
}

fn finding(what: &'static str, state: State, says: impl Into<String>, cures: &[&str]) -> Option<Finding> {
    let cures = cures.iter().map(ToString::to_string).collect();
    Some(Finding { what, state, says: says.into(), cures, exit: None })
}

fn no(what: &'static str, exit: Exit, says: impl Into<String>, cures: Vec<String>) -> Option<Finding> {
    Some(Finding { what, state: State::No, says: says.into(), cures, exit: Some(exit) })
}

fn is_older(version: Option<KernelVersion>, than: (u8, u8)) -> bool {
    version.is_some_and(|version| (version.major, version.minor) < than)
}

fn kernel(machine: &Machine) -> Option<Finding> {
    let lacks = |row: &&((u8, u8), &str)| is_older(machine.kernel, row.0);
    let lacking: Vec<String> =
        LATER.iter().filter(lacks).map(|((a, b), what)| format!("{what} ({a}.{b})")).collect();
    let release = format!("Linux {}", machine.release);
    if lacking.is_empty() {
        return finding("kernel", State::Yes, release, &[]);
    }
    let says = format!("{release}, without {}", lacking.join(", "));
    finding("kernel", State::Hint, says, &["a later kernel"])
}

fn rights(machine: &Machine) -> Option<Finding> {
    let missing = machine.privilege.missing();
    if missing.is_empty() {
        let perfmon = if machine.privilege.has_perfmon() {
            ""
        } else {
            "; without CAP_PERFMON programs may not read the kernel's memory"
        };
        return finding("capabilities", State::Yes, format!("CAP_BPF, CAP_NET_ADMIN{perfmon}"), &[]);
    }
    let names: Vec<String> = missing.iter().map(|(name, what)| format!("{name} ({what})")).collect();
    let (_, cures) = causes_and_cures(machine);
    no("capabilities", Exit::NotPermitted, format!("missing: {}", names.join(", ")), cures)
}

fn trial(machine: &Machine) -> Option<Finding> {
    match machine.trial {
        Ok(()) => finding("bpf(2)", State::Yes, "an XDP program of two instructions was loaded", &[]),
        Err(errno @ (Errno::EPERM | Errno::EACCES)) => {
            let failed = format!("loading an XDP program failed with {errno}");
            let (causes, cures) = causes_and_cures(machine);
            if !machine.privilege.missing().is_empty() {
                return no("bpf(2)", Exit::NotPermitted, failed, Vec::new());
            }
            let says = [vec![failed], causes].concat().join("; ");
            no("bpf(2)", Exit::NotPermitted, says, cures)
        }
        Err(errno) => no(
            "bpf(2)",
            Exit::OldKernel,
            format!("loading an XDP program failed with {errno}: this kernel has no BPF, or no XDP"),
            vec!["a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET".to_string()],
        ),
    }
}

/// What keeps this process from BPF, and what to do about it.
fn causes_and_cures(machine: &Machine) -> (Vec<String>, Vec<String>) {
    let advice = machine.privilege.advice();
    let is_cure = |line: &String| line.starts_with("to do: ") || line.starts_with(' ');
    let (cures, causes): (Vec<String>, Vec<String>) = advice.into_iter().partition(is_cure);
    let bare = |line: &String| line.trim_start_matches("to do: ").trim_start().to_string();
    let cures = cures.iter().map(bare).map(|line| line.trim_start_matches("or ").to_string());
    (causes, cures.collect())
}

fn forbidden(machine: &Machine) -> Option<Finding> {
    let privilege = &machine.privilege;
    let mut says = Vec::new();
    says.extend(privilege.lockdown.as_ref().map(|word| format!("the kernel is locked down ({word})")));
    says.extend(privilege.is_filtered.then(|| "a seccomp filter is on".to_string()));
    says.extend((!privilege.in_first_namespace).then(|| "this is a user namespace".to_string()));
    let unprivileged = match privilege.unprivileged_bpf_disabled {
        Some(0) => "everybody may load socket filters",
        Some(_) => "bpf(2) is for the privileged",
        None => "unprivileged_bpf_disabled is unknown",
    };
    let state = if says.is_empty() { State::Yes } else { State::Hint };
    says.push(unprivileged.to_string());
    finding("restrictions", state, says.join("; "), &[])
}

fn bpffs(machine: &Machine) -> Option<Finding> {
    let places: Vec<String> = machine.bpffs.iter().map(|path| path.display().to_string()).collect();
    if places.is_empty() {
        let says = "not mounted: --pin and maps that are pinned by name need one";
        return finding("bpffs", State::Hint, says, &["mount -t bpf bpf /sys/fs/bpf"]);
    }
    finding("bpffs", State::Yes, places.join(", "), &[])
}

fn types(machine: &Machine) -> Option<Finding> {
    if machine.has_types {
        return finding("types (BTF)", State::Yes, "/sys/kernel/btf/vmlinux", &[]);
    }
    let says = "the kernel has none of its own: objects with CO-RE need them";
    finding("types (BTF)", State::Hint, says, &["--btf FILE", "a kernel with CONFIG_DEBUG_INFO_BTF"])
}

fn jit(machine: &Machine) -> Option<Finding> {
    match machine.jit {
        Some(0) => finding(
            "JIT",
            State::Hint,
            "off: programs are interpreted",
            &["sysctl -w net.core.bpf_jit_enable=1"],
        ),
        Some(_) => finding("JIT", State::Yes, "on", &[]),
        None => None,
    }
}

fn tracefs(machine: &Machine) -> Option<Finding> {
    if machine.has_tracefs {
        return finding("tracefs", State::Yes, "mounted", &[]);
    }
    let says = "not mounted: --trace and --bpf-link mount one of their own, where they may";
    finding("tracefs", State::Hint, says, &["mount -t tracefs tracefs /sys/kernel/tracing"])
}

fn locked_memory(machine: &Machine) -> Option<Finding> {
    let limit = machine.locked_memory.filter(|_| is_older(machine.kernel, MEMORY_CGROUPS))?;
    let says = format!("{limit} bytes; rxdp-load lifts the limit where it is met, if it may");
    finding("locked memory", State::Hint, says, &["ulimit -l unlimited"])
}

fn driver(_: &Machine, interface: &Interface) -> Option<Finding> {
    let link = &interface.link;
    let driver = interface.driver.as_deref().unwrap_or("unknown driver");
    let features = interface.abilities.map_or("it does not say what it can".to_string(), |a| words(a.xdp));
    let up = if link.up { "up" } else { "down" };
    let says = format!("{} is {up}, {driver}: {features}", link.name);
    let cure = format!("ip link set {} up", link.name);
    let (state, cures) = if link.up { (State::Yes, vec![]) } else { (State::Hint, vec![cure.as_str()]) };
    finding("interface", state, says, &cures)
}

fn words(features: XdpFeatures) -> String {
    let names: Vec<String> =
        features.iter_names().map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
    if names.is_empty() { "no XDP of its own".to_string() } else { names.join(", ") }
}

fn owner(_: &Machine, interface: &Interface) -> Option<Finding> {
    let name = &interface.link.name;
    if let Some(upper) = &interface.upper {
        let says = format!("it is a port of {}, which carries a program", upper.name);
        return no("place", Exit::Refused, says, vec![format!("rxdp-load unload {}", upper.name)]);
    }
    let Some(first) = interface.link.xdp.programs.first() else {
        return finding("place", State::Yes, "free", &[]);
    };
    let says = interface.owners.join("; ").replace("  ", "");
    let replaced = || vec![format!("--replace={}", first.id), format!("rxdp-load unload {name}")];
    let cures = if interface.link_ends.is_empty() { replaced() } else { interface.link_ends.clone() };
    no("place", Exit::Refused, says, cures)
}

/// Why native mode does not work, and what to do.
fn against_native(machine: &Machine, interface: &Interface) -> Option<(String, Vec<String>)> {
    let name = &interface.link.name;
    let peer = interface.peer.as_ref();
    if interface.link.xdp.program_in(XdpMode::Generic).is_some() {
        return Some(("a program is there in generic mode".into(), vec![format!("rxdp-load unload {name}")]));
    }
    if lacks(interface, XdpFeatures::BASIC) {
        return Some(("the driver has no XDP".into(), vec!["--mode generic".into()]));
    }
    let limit = machine.page_size.saturating_sub(VETH_OVERHEAD);
    if let Some((mtu, peer)) =
        peer.and_then(|peer| Some((peer.mtu?, &peer.name))).filter(|(mtu, _)| *mtu > limit)
    {
        let says =
            format!("{peer} has an MTU of {mtu}, and without fragments packets have to fit {limit} bytes");
        let cures = vec![format!("ip link set {peer} mtu {limit}"), "--fallback frags,generic".into()];
        return Some((says, cures));
    }
    let (rx, tx) = (interface.queues?.rx, peer?.queues?.tx);
    let says = format!("{rx} queues receive what {tx} of the other end send");
    (rx < tx).then(|| (says, vec![format!("ethtool -L {name} rx {tx}"), "--fallback generic".into()]))
}

/// Whether the driver says that it cannot.
fn lacks(interface: &Interface, feature: XdpFeatures) -> bool {
    interface.abilities.is_some_and(|abilities| !abilities.xdp.contains(feature))
}

fn native(machine: &Machine, interface: &Interface) -> Option<Finding> {
    match against_native(machine, interface) {
        // Left to itself, the kernel takes generic mode only where the driver has no XDP.
        Some((says, cures)) if lacks(interface, XdpFeatures::BASIC) || !is_free(interface) => {
            let cures: Vec<&str> = cures.iter().map(String::as_str).collect();
            finding("native mode", State::Hint, says, &cures)
        }
        Some((says, cures)) => no("native mode", Exit::Refused, says, cures),
        None if interface.abilities.is_none() => finding(
            "native mode",
            State::Hint,
            "the kernel does not say whether the driver can",
            &["--fallback generic"],
        ),
        None => finding("native mode", State::Yes, "works", &[]),
    }
}

fn is_free(interface: &Interface) -> bool {
    interface.link.xdp.programs.is_empty()
}

fn generic(_: &Machine, interface: &Interface) -> Option<Finding> {
    if interface.link.xdp.program_in(XdpMode::Native).is_some() {
        return finding("generic mode", State::Hint, "a program is there in native mode", &[]);
    }
    finding("generic mode", State::Yes, "works", &[])
}

fn frags(_: &Machine, interface: &Interface) -> Option<Finding> {
    let abilities = interface.abilities?;
    if abilities.xdp.contains(XdpFeatures::RX_SG) {
        return finding("fragments", State::Yes, "xdp.frags works in native mode", &[]);
    }
    finding("fragments", State::Hint, "the driver gives none to native programs", &["--mode generic"])
}

fn queues(_: &Machine, interface: &Interface) -> Option<Finding> {
    let queues = interface.queues?;
    finding("queues", State::Yes, format!("{} to receive, {} to send", queues.rx, queues.tx), &[])
}

fn lro(_: &Machine, interface: &Interface) -> Option<Finding> {
    let offloads = interface.offloads.as_ref()?;
    let on: Vec<&str> = ["rx-lro", "rx-gro-hw"].into_iter().filter(|name| offloads.contains(*name)).collect();
    if on.is_empty() {
        return finding("LRO", State::Yes, "off", &[]);
    }
    let cure = format!("ethtool -K {} lro off rx-gro-hw off", interface.link.name);
    let says = format!(
        "{} on: the card joins packets before a program sees them, and many drivers refuse XDP then",
        on.join(", ")
    );
    finding("LRO", State::Hint, says, &[&cure])
}

/// A veth takes what is redirected to it only while its other end can receive it.
fn redirects(_: &Machine, interface: &Interface) -> Option<Finding> {
    let peer = interface.peer.as_ref()?;
    if peer.has_program || peer.has_gro {
        return finding("redirects to it", State::Yes, format!("{} takes them", peer.name), &[]);
    }
    let says = format!("dropped without a word: {} has neither a program nor GRO", peer.name);
    let cure = format!("ethtool -K {} gro on", peer.name);
    finding("redirects to it", State::Hint, says, &[&cure])
}

fn offload(_: &Machine, interface: &Interface) -> Option<Finding> {
    let can = interface.abilities?.xdp.contains(XdpFeatures::HW_OFFLOAD);
    can.then(|| finding("offload", State::Yes, "the card runs programs", &[]))?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rxdp_netlink::device::{Abilities, Queues};

    use super::super::Peer;
    use super::*;
    use crate::privilege::Privilege;

    fn machine() -> Machine {
        Machine {
            kernel: KernelVersion::parse("6.18.0"),
            release: "6.18.0".into(),
            privilege: Privilege { effective: u64::MAX, in_first_namespace: true, ..Privilege::default() },
            trial: Ok(()),
            bpffs: BTreeSet::from(["/sys/fs/bpf".into()]),
            has_types: true,
            has_tracefs: true,
            jit: Some(1),
            locked_memory: Some(65536),
            page_size: 4096,
        }
    }

    fn veth() -> Interface {
        let mut abilities = Abilities::default();
        abilities.xdp = XdpFeatures::BASIC | XdpFeatures::RX_SG;
        let mut queues = Queues::default();
        (queues.rx, queues.tx) = (1, 1);
        let (mtu, queues) = (Some(1500), Some(queues));
        let peer = Peer { name: "v1".into(), mtu, queues, has_program: false, has_gro: true };
        let mut interface =
            Interface { abilities: Some(abilities), queues, peer: Some(peer), ..Interface::default() };
        interface.link.up = true;
        interface
    }

    fn state(machine: &Machine, interface: Option<&Interface>, what: &str) -> Option<(State, Option<Exit>)> {
        let found = findings(machine, interface).into_iter().find(|finding| finding.what == what);
        found.map(|finding| (finding.state, finding.exit))
    }

    #[test]
    fn nothing_is_wrong_with_a_good_machine() {
        let found = findings(&machine(), Some(&veth()));
        let wrong: Vec<&Finding> = found.iter().filter(|finding| finding.state != State::Yes).collect();
        assert_eq!(wrong, Vec::<&Finding>::new());
    }

    #[test]
    fn each_lack_of_a_machine_has_its_line() {
        let (hint, no) = ((State::Hint, None), |exit: Exit| (State::No, Some(exit)));
        let table = [
            ("kernel", Machine { kernel: KernelVersion::parse("5.4.0"), ..machine() }, hint),
            ("locked memory", Machine { kernel: KernelVersion::parse("5.4.0"), ..machine() }, hint),
            (
                "capabilities",
                Machine { privilege: Privilege::default(), ..machine() },
                no(Exit::NotPermitted),
            ),
            ("bpf(2)", Machine { trial: Err(Errno::EPERM), ..machine() }, no(Exit::NotPermitted)),
            ("bpf(2)", Machine { trial: Err(Errno::EINVAL), ..machine() }, no(Exit::OldKernel)),
            ("bpffs", Machine { bpffs: BTreeSet::new(), ..machine() }, hint),
            ("types (BTF)", Machine { has_types: false, ..machine() }, hint),
            ("JIT", Machine { jit: Some(0), ..machine() }, hint),
            ("tracefs", Machine { has_tracefs: false, ..machine() }, hint),
        ];
        for (what, machine, expected) in table {
            assert_eq!(state(&machine, None, what), Some(expected), "{what}");
        }
    }

    #[test]
    fn native_mode_depends_on_driver_mtu_and_queues() {
        let with = |change: fn(&mut Interface)| {
            let mut interface = veth();
            change(&mut interface);
            state(&machine(), Some(&interface), "native mode").expect("a finding")
        };
        assert_eq!(with(|_| ()).0, State::Yes);
        let large = with(|i| i.peer.iter_mut().for_each(|peer| peer.mtu = Some(3507)));
        assert_eq!(large, (State::No, Some(Exit::Refused)));
        let just = with(|i| i.peer.iter_mut().for_each(|peer| peer.mtu = Some(3506)));
        assert_eq!(just, (State::Yes, None));
        let few =
            with(|i| i.peer.iter_mut().flat_map(|peer| &mut peer.queues).for_each(|queues| queues.tx = 2));
        assert_eq!(few, (State::No, Some(Exit::Refused)));
        // The kernel takes generic mode where the driver has no XDP.
        assert_eq!(with(|i| i.abilities = Some(Abilities::default())), (State::Hint, None));
        assert_eq!(with(|i| i.abilities = None), (State::Hint, None));
    }

    #[test]
    fn what_is_on_the_card_and_what_gets_lost_is_told() {
        let mut interface = veth();
        interface.offloads = Some(BTreeSet::from(["rx-lro".to_string()]));
        interface.peer.iter_mut().for_each(|peer| peer.has_gro = false);
        assert_eq!(state(&machine(), Some(&interface), "LRO"), Some((State::Hint, None)));
        assert_eq!(state(&machine(), Some(&interface), "redirects to it"), Some((State::Hint, None)));
    }
}
