//! Words in names that people give to sections and programs, and which type they have in mind.
//!
//! Source: section names of iproute2's examples, Cilium, Katran, Suricata, Falco, tracee, bcc, perf's `-e FILE.c`,
//! redbpf, gobpf, Android's bpfloader.

use alloc::string::String;
use alloc::vec::Vec;

use super::Candidate;
use crate::uapi::{AttachType, ProgType};

/// What a word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hint {
    ty: ProgType,
    /// 0 for any.
    attach: AttachType,
}

impl Hint {
    /// Whether it means this candidate.
    pub(super) fn means(self, candidate: &Candidate) -> bool {
        self.ty == candidate.ty && (self.attach.0 == 0 || self.attach == candidate.attach)
    }
}

const ANY: AttachType = AttachType(0);

/// How a word begins, and what it means; the first row that fits counts.
#[rustfmt::skip]
const WORDS: &[(&str, ProgType, AttachType)] = &[
    ("xdp", ProgType::XDP, ANY),
    ("balancer", ProgType::XDP, ANY),
    ("kprobe", ProgType::KPROBE, ANY),
    ("kretprobe", ProgType::KPROBE, ANY),
    ("uprobe", ProgType::KPROBE, ANY),
    ("uretprobe", ProgType::KPROBE, ANY),
    ("ksyscall", ProgType::KPROBE, ANY),
    ("probe", ProgType::KPROBE, ANY),
    ("func", ProgType::KPROBE, ANY),
    ("rawtracepoint", ProgType::RAW_TRACEPOINT, ANY),
    ("rawtp", ProgType::RAW_TRACEPOINT, ANY),
    ("tracepoint", ProgType::TRACEPOINT, ANY),
    ("syscalls", ProgType::TRACEPOINT, ANY),
    ("perf", ProgType::PERF_EVENT, ANY),
    ("profile", ProgType::PERF_EVENT, ANY),
    ("schedcls", ProgType::SCHED_CLS, ANY),
    ("schedact", ProgType::SCHED_ACT, ANY),
    ("cgroupskb", ProgType::CGROUP_SKB, ANY),
    ("cgroupsockaddr", ProgType::CGROUP_SOCK_ADDR, ANY),
    ("cgroupsock", ProgType::CGROUP_SOCK, ANY),
    ("cgroupdev", ProgType::CGROUP_DEVICE, ANY),
    ("streamparser", ProgType::SK_SKB, ANY),
    ("streamverdict", ProgType::SK_SKB, ANY),
    ("sockmap", ProgType::SK_SKB, ANY),
    ("skskb", ProgType::SK_SKB, ANY),
    ("skmsg", ProgType::SK_MSG, ANY),
    ("sklookup", ProgType::SK_LOOKUP, ANY),
    ("skfilter", ProgType::SOCKET_FILTER, ANY),
    ("sockops", ProgType::SOCK_OPS, ANY),
    ("socketfilter", ProgType::SOCKET_FILTER, ANY),
    ("socket", ProgType::SOCKET_FILTER, ANY),
    ("filter", ProgType::SOCKET_FILTER, ANY),
    ("loadbalancer", ProgType::SOCKET_FILTER, ANY),
    ("setsockopt", ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_SETSOCKOPT),
    ("getsockopt", ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_GETSOCKOPT),
    ("postbind4", ProgType::CGROUP_SOCK, AttachType::CGROUP_INET4_POST_BIND),
    ("postbind6", ProgType::CGROUP_SOCK, AttachType::CGROUP_INET6_POST_BIND),
    ("bind4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND),
    ("bind6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_BIND),
    ("connect4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_CONNECT),
    ("connect6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_CONNECT),
    ("sendmsg4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_SENDMSG),
    ("sendmsg6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_SENDMSG),
    ("recvmsg4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_RECVMSG),
    ("recvmsg6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_RECVMSG),
    ("getpeername4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETPEERNAME),
    ("getpeername6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETPEERNAME),
    ("getsockname4", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETSOCKNAME),
    ("getsockname6", ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETSOCKNAME),
    ("sysctl", ProgType::CGROUP_SYSCTL, ANY),
    ("device", ProgType::CGROUP_DEVICE, ANY),
    ("reuseport", ProgType::SK_REUSEPORT, ANY),
    ("dissector", ProgType::FLOW_DISSECTOR, ANY),
    ("netfilter", ProgType::NETFILTER, ANY),
    ("lirc", ProgType::LIRC_MODE2, ANY),
    ("lwtin", ProgType::LWT_IN, ANY),
    ("lwtout", ProgType::LWT_OUT, ANY),
    ("lwtxmit", ProgType::LWT_XMIT, ANY),
    ("seg6local", ProgType::LWT_SEG6LOCAL, ANY),
    ("classifier", ProgType::SCHED_CLS, ANY),
    ("clsact", ProgType::SCHED_CLS, ANY),
    ("ingress", ProgType::SCHED_CLS, ANY),
    ("egress", ProgType::SCHED_CLS, ANY),
    ("container", ProgType::SCHED_CLS, ANY),
    ("netdev", ProgType::SCHED_CLS, ANY),
    ("overlay", ProgType::SCHED_CLS, ANY),
];

/// Words that mean something only if they stand alone.
const WHOLE: &[(&str, ProgType)] = &[
    ("tp", ProgType::TRACEPOINT),
    ("tc", ProgType::SCHED_CLS),
    ("cls", ProgType::SCHED_CLS),
    ("act", ProgType::SCHED_ACT),
    ("action", ProgType::SCHED_ACT),
    ("host", ProgType::SCHED_CLS),
    ("lxc", ProgType::SCHED_CLS),
    ("tail", ProgType::SCHED_CLS),
];

/// Ways to write a whole name: perf's `NAME=FUNCTION ARGUMENTS` and `SYSTEM:EVENT`.
const SHAPES: &[(char, ProgType)] = &[('=', ProgType::KPROBE), (':', ProgType::TRACEPOINT)];

/// What a name hints at: the first of its words that means something, and two words read as one (`lwt_in`).
pub(super) fn hints(name: &str) -> Vec<Hint> {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let joined = words.windows(2).map(<[&str]>::concat);
    let singles = words.iter().map(|word| String::from(*word));
    // Two words say more than one of them: `cgroup_skb` is no `skb`.
    let found = joined.chain(singles).find_map(|word| by_word(&word));
    found.or_else(|| by_shape(name)).into_iter().collect()
}

fn by_shape(name: &str) -> Option<Hint> {
    let (_, ty) = SHAPES.iter().find(|(mark, _)| name.contains(*mark))?;
    Some(Hint { ty: *ty, attach: ANY })
}

fn by_word(word: &str) -> Option<Hint> {
    let whole = || {
        let (_, ty) = WHOLE.iter().find(|(whole, _)| *whole == word)?;
        Some(Hint { ty: *ty, attach: ANY })
    };
    let row = WORDS.iter().find(|(beginning, ..)| word.starts_with(beginning));
    row.map(|(_, ty, attach)| Hint { ty: *ty, attach: *attach }).or_else(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_to_types() {
        let ty = |name| hints(name).first().map(|hint| hint.ty);
        for (name, expected) in [
            ("from-container", Some(ProgType::SCHED_CLS)),
            ("cls_main", Some(ProgType::SCHED_CLS)),
            ("tc_entry", Some(ProgType::SCHED_CLS)),
            ("tcp_stats", None),
            ("lock_page=__lock_page page->flags", Some(ProgType::KPROBE)),
            ("raw_syscalls:sys_enter", Some(ProgType::TRACEPOINT)),
            ("sched:sched_switch", Some(ProgType::TRACEPOINT)),
            ("s_kprobe:do_nanosleep_1", Some(ProgType::KPROBE)),
            ("post_bind4/x", Some(ProgType::CGROUP_SOCK)),
            ("sk_msg", Some(ProgType::SK_MSG)),
            ("streamverdict/x", Some(ProgType::SK_SKB)),
            ("prog", None),
            (".text", None),
        ] {
            assert_eq!(ty(name), expected, "{name}");
        }
    }
}
