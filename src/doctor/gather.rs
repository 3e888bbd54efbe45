//! Asks the machine. Judges nothing; what cannot be found out is `None`.

use std::fs;
use std::path::Path;

use rxdp_loader::insn::{EXIT, Insn};
use rxdp_loader::sys::{Errno, Kernel, ProgLoad, host};
use rxdp_loader::uapi::{AttachType, ProgFlags, ProgType};
use rxdp_netlink::{Link, NetlinkError, blocking, device};

use super::{Interface, Machine, Peer};
use crate::commands::status::describe;
use crate::cures;
use crate::owner;
use crate::pins;
use crate::privilege::Privilege;

/// `r0 = XDP_PASS; exit`.
const PASS: &[Insn] = &[
    Insn { code: 0xb7, dst: 0, src: 0, off: 0, imm: 2 },
    Insn { code: EXIT, dst: 0, src: 0, off: 0, imm: 0 },
];

/// The running machine.
pub(crate) fn machine(kernel: &impl Kernel) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Machine {
        kernel: host::kernel_version(),
        release: read("/proc/sys/kernel/osrelease").trim().to_string(),
        privilege: Privilege::of_this_process(),
        trial: trial(kernel),
        bpffs: pins::bpffs_mounts(),
        has_types: Path::new("/sys/kernel/btf/vmlinux").exists(),
        has_tracefs: ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"]
            .iter()
            .any(|path| Path::new(path).exists()),
        jit: read("/proc/sys/net/core/bpf_jit_enable").trim().parse().ok(),
        locked_memory: locked_memory(&read("/proc/self/limits")),
        page_size: host::machine().page_size,
    }
}

/// Loads a program that passes everything, and lets it go.
fn trial(kernel: &impl Kernel) -> Result<(), Errno> {
    let request = ProgLoad {
        name: "doctor",
        kernel_name: "",
        ty: ProgType::XDP,
        attach: AttachType(0),
        flags: ProgFlags::empty(),
        license: "GPL",
        kern_version: 0,
        insns: PASS,
        maps: &[],
        btfs: &[],
        fd_array: &[],
        hook: None,
        info: None,
        log: None,
    };
    kernel.prog_load(&request).fd.map(drop)
}

/// The soft limit. Source: proc_pid_limits(5).
fn locked_memory(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// An interface of this network namespace.
///
/// # Errors
/// [`NetlinkError`] if there is none of this name.
pub(crate) fn interface(
    kernel: &impl Kernel,
    netlink: &blocking::Handle,
    name: &str,
) -> Result<Interface, NetlinkError> {
    let link = netlink.link_by_name(name)?;
    let is_pair = link.kind.as_deref() == Some("veth") && !link.peer_elsewhere;
    let peer = link.peer.filter(|_| is_pair).and_then(|peer| netlink.link(peer).ok());
    let upper = link.upper.and_then(|upper| netlink.link(upper).ok());
    let (mut owners, mut link_ends) = (Vec::new(), Vec::new());
    for program in &link.xdp.programs {
        let holders = owner::find(kernel, program.id, link.ifindex);
        owners.push(format!("{} in {} mode", describe(kernel, program.id), program.mode));
        owners.extend(cures::held_by(&holders));
        link_ends.extend(holders.link().map(|link| cures::ends(link, &holders)).unwrap_or_default());
    }
    Ok(Interface {
        driver: driver(&link),
        abilities: device::abilities(link.ifindex).ok().flatten(),
        queues: device::queues(link.ifindex).ok().flatten(),
        offloads: device::offloads(link.ifindex).ok().flatten(),
        peer: peer.map(|peer| self::peer(&peer)),
        upper: upper.map(|upper| upper.xdp).filter(|xdp| !xdp.programs.is_empty()),
        owners,
        link_ends,
        link,
    })
}

fn peer(link: &Link) -> Peer {
    let offloads = device::offloads(link.ifindex).ok().flatten().unwrap_or_default();
    Peer {
        name: link.name.clone(),
        mtu: link.mtu,
        queues: device::queues(link.ifindex).ok().flatten(),
        has_program: !link.xdp.programs.is_empty(),
        has_gro: offloads.contains("rx-gro"),
    }
}

/// The kind of a virtual interface, else the driver of its device. `/sys/bus` is the same in every network namespace.
fn driver(link: &Link) -> Option<String> {
    if link.kind.is_some() {
        return link.kind.clone();
    }
    let (bus, device) = link.device.as_deref()?.split_once('/')?;
    let driver = fs::read_link(format!("/sys/bus/{bus}/devices/{device}/driver")).ok()?;
    driver.file_name().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_locked_memory() {
        let text = "Limit      Soft Limit  Hard Limit  Units\nMax locked memory  8388608  unlimited  bytes\n";
        assert_eq!(locked_memory(text), Some(8_388_608));
        assert_eq!(locked_memory(&text.replace("8388608", "unlimited")), None);
    }
}
