//! What errors say behind an errno: what it may mean, and what to do about it.

use super::{Because, ETHERNET_HEADER};
use crate::plan::{Demand, MapFault};
use crate::sys::{Errno, Log};
use crate::trace::hex;

/// What the kernel says with these numbers when it runs a program. Source: `net/bpf/test_run.c`.
pub(super) fn why_not_run(errno: Errno, packet: usize) -> &'static str {
    match errno {
        Errno::ENOTSUPP => "; the kernel cannot run programs of this type by hand",
        Errno::EINVAL if packet > 0 && packet < ETHERNET_HEADER => "; a packet has at least 14 bytes",
        Errno::EINVAL => {
            "; it runs no programs of devmaps and cpumaps, and takes no packet or context that does not fit the type"
        }
        Errno::ENOSPC => "; the program made the packet larger than there was room for",
        Errno::EINTR => "; a signal ended the run",
        _ => "",
    }
}

pub(super) fn why_no_entry(errno: Errno) -> &'static str {
    match errno {
        Errno::E2BIG => " (the map is full, or the key beyond its end)",
        Errno::EEXIST => " (the key is there already)",
        Errno::ENOENT => " (the key is not there)",
        _ => "",
    }
}

pub(super) fn of_key(key: &[u8]) -> String {
    if key.is_empty() { String::new() } else { format!(", key {}", hex(key)) }
}

/// Whether this is what an old kernel says to what it does not know: a number, a flag, an attribute behind its last one.
pub(super) fn says_unknown(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::E2BIG | Errno::ENOTSUPP)
}

/// What to do about an errno, and what it hides: something that the kernel is too old for.
pub(super) fn hint(errno: Errno, beyond: Option<&Demand>) -> String {
    if let Some(beyond) = beyond.filter(|_| says_unknown(errno)) {
        return format!("; it {beyond}");
    }
    match errno.0 {
        libc::EPERM => "; it needs CAP_BPF, and CAP_NET_ADMIN for network programs, as root has; \
                        a container may forbid bpf(2) besides"
            .to_string(),
        libc::EMFILE => "; raise the limit on open files: ulimit -n".to_string(),
        _ => String::new(),
    }
}

/// Which attribute of a map is at fault. Sizes that loaders set before they load stand as 0 in the object.
pub(super) fn map_hint(errno: Errno, max_entries: u32, fault: Option<&MapFault>) -> String {
    match fault {
        Some(MapFault { attribute: "max_entries", .. }) | None
            if errno == Errno::EINVAL && max_entries == 0 =>
        {
            "; its definition leaves the number of entries open: give it with --map NAME=ENTRIES".to_string()
        }
        Some(fault) => format!("; {fault}"),
        None => String::new(),
    }
}

pub(super) fn module_hint(errno: Errno) -> &'static str {
    if errno == Errno::EPERM { "; looking for it needs CAP_SYS_ADMIN" } else { "" }
}

/// What bpffs means by `EPERM`, besides a missing privilege.
pub(super) fn pin_hint(path: &str, errno: Errno) -> &'static str {
    let dot = path.contains('.') && errno == Errno::EPERM;
    if dot { "; bpffs takes no names with a dot" } else { "" }
}

pub(super) fn are_there(paths: &[String]) -> String {
    let are = if paths.len() == 1 { "is" } else { "are" };
    format!("{} {are}", paths.join(", "))
}

/// What the verifier says, in one line, translated where it speaks of our own numbers; where it says nothing, what the
/// errno may mean.
pub(super) fn reason(log: &Log, because: Option<&Because>, errno: Errno, beyond: Option<&Demand>) -> String {
    let said = match because {
        Some(Because::Poisoned(poisoned)) => return format!(": {poisoned}"),
        Some(Because::Lack(lack)) => return lack.to_string(),
        Some(Because::Verifier(refusal)) => Some(refusal.message.join("; ")),
        // Linux before 6.4 keeps the beginning of a log, and what is last there is no reason.
        None if log.truncated => Some("the verifier's log is longer than the room for it, and its end is cut off; verify --log shows up to 64 MiB".to_string()),
        None => log.summary().map(ToString::to_string),
    };
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    if said.is_empty() || beyond.is_some() && says_unknown(errno) {
        return said + &hint(errno, beyond);
    }
    said
}

/// Some functions and types are for programs under the GPL only, and an object without a section `license` says nothing.
pub(super) fn license_hint(log: &Log, unlicensed: bool) -> &'static str {
    // For showing: nothing else depends on what the verifier wrote.
    let about_license = log.summary().is_some_and(|line| line.contains("GPL"));
    match unlicensed && about_license {
        true => "; the object has no section \"license\": if it is under the GPL, say so with --license GPL",
        false => "",
    }
}
