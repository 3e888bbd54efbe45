//! What a section's name says about its programs: the `SEC()` table.
//!
//! Data first: a name means what the first fitting row says. Order of rules: a leading `?` is dropped; the table's
//! exact and `NAME/...` rows; iproute2's `ID/KEY`; then the old loaders' habit of looking at the beginning of the
//! name only, the longest row first. What nothing fits is no error: such a program takes the type that its user
//! gives.
//!
//! Source: libbpf `section_defs[]` (1.8), the kernel's `samples/bpf/bpf_load.c`, iproute2 `lib/bpf_legacy.c`.

use alloc::string::{String, ToString};

use super::SectionDialect;
use crate::uapi::{AttachType, ProgType};

bitflags::bitflags! {
    /// What a row says besides the types.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct SectionFlags: u8 {
        /// The program attaches to something that has a BTF id in the kernel, named behind the `/`.
        const ATTACH_BTF = 1;
        /// The program may sleep.
        const SLEEPABLE = 2;
        /// The program takes packets of several buffers.
        const XDP_FRAGS = 4;
        /// Kernels that do not know the attach type do without.
        const ATTACH_OPTIONAL = 8;
    }
}

/// What a section's name says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SectionMatch {
    /// Program type; `None` if the name does not say.
    pub ty: Option<ProgType>,
    /// Expected attach type; 0 if none.
    pub attach: AttachType,
    /// The rest.
    pub flags: SectionFlags,
    /// What stands behind the `/`: a kernel function, a tracepoint.
    pub target: Option<String>,
    /// The jump-table slot that the name asks for.
    pub slot: Option<SlotHint>,
    /// Which rule decided.
    pub rule: SectionRule,
}

/// A jump-table slot that a section's name asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotHint {
    /// `socket/N`, `kprobe/N`, `sockops/N`, ...: slot N of the last jump table (`bpf_load.c`).
    LastTable {
        /// The slot.
        key: u32,
    },
    /// `ID/KEY`: a slot of the table with that id (iproute2).
    Table {
        /// The table's `id`.
        id: u32,
        /// The slot.
        key: u32,
    },
}

/// Which rule decided what a section's name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SectionRule {
    /// A row of the table, by its name.
    Row(&'static str),
    /// The name begins like this row, as old loaders matched.
    Prefix(&'static str),
    /// iproute2's `ID/KEY`.
    IdKey,
    /// None: the type must be given.
    Unknown,
}

/// How much of a section's name a row must match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Match {
    /// All of it.
    Exact,
    /// All of it, or up to a `/`.
    WithTarget,
}
use Match::{Exact, WithTarget};

#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    matches: Match,
    ty: ProgType,
    attach: AttachType,
    flags: SectionFlags,
}

const UNSET: AttachType = AttachType(0);
const NONE: u8 = 0;
const ATTACH_BTF: u8 = SectionFlags::ATTACH_BTF.bits();
const SLEEPABLE: u8 = SectionFlags::SLEEPABLE.bits();
const XDP_FRAGS: u8 = SectionFlags::XDP_FRAGS.bits();
const ATTACH_OPTIONAL: u8 = SectionFlags::ATTACH_OPTIONAL.bits();

const fn def(name: &'static str, matches: Match, ty: ProgType, attach: AttachType, flags: u8) -> Row {
    Row { name, matches, ty, attach, flags: SectionFlags::from_bits_truncate(flags) }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    def("socket", Exact, ProgType::SOCKET_FILTER, UNSET, NONE),
    def("sk_reuseport/migrate", Exact, ProgType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE, NONE),
    def("sk_reuseport", Exact, ProgType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT, NONE),
    def("kprobe", WithTarget, ProgType::KPROBE, UNSET, NONE),
    def("uprobe", WithTarget, ProgType::KPROBE, UNSET, NONE),
    def("uprobe.s", WithTarget, ProgType::KPROBE, UNSET, SLEEPABLE),
    def("kretprobe", WithTarget, ProgType::KPROBE, UNSET, NONE),
    def("uretprobe", WithTarget, ProgType::KPROBE, UNSET, NONE),
    def("uretprobe.s", WithTarget, ProgType::KPROBE, UNSET, SLEEPABLE),
    def("kprobe.multi", WithTarget, ProgType::KPROBE, AttachType::TRACE_KPROBE_MULTI, NONE),
    def("kretprobe.multi", WithTarget, ProgType::KPROBE, AttachType::TRACE_KPROBE_MULTI, NONE),
    def("kprobe.session", WithTarget, ProgType::KPROBE, AttachType::TRACE_KPROBE_SESSION, NONE),
    def("uprobe.multi", WithTarget, ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, NONE),
    def("uretprobe.multi", WithTarget, ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, NONE),
    def("uprobe.session", WithTarget, ProgType::KPROBE, AttachType::TRACE_UPROBE_SESSION, NONE),
    def("uprobe.multi.s", WithTarget, ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    def("uretprobe.multi.s", WithTarget, ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    def("uprobe.session.s", WithTarget, ProgType::KPROBE, AttachType::TRACE_UPROBE_SESSION, SLEEPABLE),
    def("ksyscall", WithTarget, ProgType::KPROBE, UNSET, NONE),
    def("kretsyscall", WithTarget, ProgType::KPROBE, UNSET, NONE),
    def("usdt", WithTarget, ProgType::KPROBE, UNSET, NONE),
    def("usdt.s", WithTarget, ProgType::KPROBE, UNSET, SLEEPABLE),
    def("tc/ingress", Exact, ProgType::SCHED_CLS, AttachType::TCX_INGRESS, NONE),
    def("tc/egress", Exact, ProgType::SCHED_CLS, AttachType::TCX_EGRESS, NONE),
    def("tcx/ingress", Exact, ProgType::SCHED_CLS, AttachType::TCX_INGRESS, NONE),
    def("tcx/egress", Exact, ProgType::SCHED_CLS, AttachType::TCX_EGRESS, NONE),
    def("tc", Exact, ProgType::SCHED_CLS, UNSET, NONE),
    def("classifier", Exact, ProgType::SCHED_CLS, UNSET, NONE),
    def("action", Exact, ProgType::SCHED_ACT, UNSET, NONE),
    def("netkit/primary", Exact, ProgType::SCHED_CLS, AttachType::NETKIT_PRIMARY, NONE),
    def("netkit/peer", Exact, ProgType::SCHED_CLS, AttachType::NETKIT_PEER, NONE),
    def("tracepoint", WithTarget, ProgType::TRACEPOINT, UNSET, NONE),
    def("tp", WithTarget, ProgType::TRACEPOINT, UNSET, NONE),
    def("tracepoint.s", WithTarget, ProgType::TRACEPOINT, UNSET, SLEEPABLE),
    def("tp.s", WithTarget, ProgType::TRACEPOINT, UNSET, SLEEPABLE),
    def("raw_tracepoint", WithTarget, ProgType::RAW_TRACEPOINT, UNSET, NONE),
    def("raw_tp", WithTarget, ProgType::RAW_TRACEPOINT, UNSET, NONE),
    def("raw_tracepoint.s", WithTarget, ProgType::RAW_TRACEPOINT, UNSET, SLEEPABLE),
    def("raw_tp.s", WithTarget, ProgType::RAW_TRACEPOINT, UNSET, SLEEPABLE),
    def("raw_tracepoint.w", WithTarget, ProgType::RAW_TRACEPOINT_WRITABLE, UNSET, NONE),
    def("raw_tp.w", WithTarget, ProgType::RAW_TRACEPOINT_WRITABLE, UNSET, NONE),
    def("tp_btf", WithTarget, ProgType::TRACING, AttachType::TRACE_RAW_TP, ATTACH_BTF),
    def("tp_btf.s", WithTarget, ProgType::TRACING, AttachType::TRACE_RAW_TP, ATTACH_BTF | SLEEPABLE),
    def("fentry", WithTarget, ProgType::TRACING, AttachType::TRACE_FENTRY, ATTACH_BTF),
    def("fmod_ret", WithTarget, ProgType::TRACING, AttachType::MODIFY_RETURN, ATTACH_BTF),
    def("fexit", WithTarget, ProgType::TRACING, AttachType::TRACE_FEXIT, ATTACH_BTF),
    def("fentry.s", WithTarget, ProgType::TRACING, AttachType::TRACE_FENTRY, ATTACH_BTF | SLEEPABLE),
    def("fmod_ret.s", WithTarget, ProgType::TRACING, AttachType::MODIFY_RETURN, ATTACH_BTF | SLEEPABLE),
    def("fexit.s", WithTarget, ProgType::TRACING, AttachType::TRACE_FEXIT, ATTACH_BTF | SLEEPABLE),
    def("fsession", WithTarget, ProgType::TRACING, AttachType::TRACE_FSESSION, ATTACH_BTF),
    def("fsession.s", WithTarget, ProgType::TRACING, AttachType::TRACE_FSESSION, ATTACH_BTF | SLEEPABLE),
    def("fsession.multi", WithTarget, ProgType::TRACING, AttachType::TRACE_FSESSION_MULTI, NONE),
    def("fsession.multi.s", WithTarget, ProgType::TRACING, AttachType::TRACE_FSESSION_MULTI, SLEEPABLE),
    def("fentry.multi", WithTarget, ProgType::TRACING, AttachType::TRACE_FENTRY_MULTI, NONE),
    def("fexit.multi", WithTarget, ProgType::TRACING, AttachType::TRACE_FEXIT_MULTI, NONE),
    def("fentry.multi.s", WithTarget, ProgType::TRACING, AttachType::TRACE_FENTRY_MULTI, SLEEPABLE),
    def("fexit.multi.s", WithTarget, ProgType::TRACING, AttachType::TRACE_FEXIT_MULTI, SLEEPABLE),
    def("freplace", WithTarget, ProgType::EXT, UNSET, ATTACH_BTF),
    def("lsm", WithTarget, ProgType::LSM, AttachType::LSM_MAC, ATTACH_BTF),
    def("lsm.s", WithTarget, ProgType::LSM, AttachType::LSM_MAC, ATTACH_BTF | SLEEPABLE),
    def("lsm_cgroup", WithTarget, ProgType::LSM, AttachType::LSM_CGROUP, ATTACH_BTF),
    def("iter", WithTarget, ProgType::TRACING, AttachType::TRACE_ITER, ATTACH_BTF),
    def("iter.s", WithTarget, ProgType::TRACING, AttachType::TRACE_ITER, ATTACH_BTF | SLEEPABLE),
    def("syscall", Exact, ProgType::SYSCALL, UNSET, SLEEPABLE),
    def("xdp.frags/devmap", Exact, ProgType::XDP, AttachType::XDP_DEVMAP, XDP_FRAGS),
    def("xdp/devmap", Exact, ProgType::XDP, AttachType::XDP_DEVMAP, NONE),
    def("xdp.frags/cpumap", Exact, ProgType::XDP, AttachType::XDP_CPUMAP, XDP_FRAGS),
    def("xdp/cpumap", Exact, ProgType::XDP, AttachType::XDP_CPUMAP, NONE),
    def("xdp.frags", Exact, ProgType::XDP, AttachType::XDP, XDP_FRAGS),
    def("xdp", Exact, ProgType::XDP, AttachType::XDP, ATTACH_OPTIONAL),
    def("perf_event", Exact, ProgType::PERF_EVENT, UNSET, NONE),
    def("lwt_in", Exact, ProgType::LWT_IN, UNSET, NONE),
    def("lwt_out", Exact, ProgType::LWT_OUT, UNSET, NONE),
    def("lwt_xmit", Exact, ProgType::LWT_XMIT, UNSET, NONE),
    def("lwt_seg6local", Exact, ProgType::LWT_SEG6LOCAL, UNSET, NONE),
    def("sockops", Exact, ProgType::SOCK_OPS, AttachType::CGROUP_SOCK_OPS, ATTACH_OPTIONAL),
    def("sk_skb/stream_parser", Exact, ProgType::SK_SKB, AttachType::SK_SKB_STREAM_PARSER, ATTACH_OPTIONAL),
    def("sk_skb/stream_verdict", Exact, ProgType::SK_SKB, AttachType::SK_SKB_STREAM_VERDICT, ATTACH_OPTIONAL),
    def("sk_skb/verdict", Exact, ProgType::SK_SKB, AttachType::SK_SKB_VERDICT, ATTACH_OPTIONAL),
    def("sk_skb", Exact, ProgType::SK_SKB, UNSET, NONE),
    def("sk_msg", Exact, ProgType::SK_MSG, AttachType::SK_MSG_VERDICT, ATTACH_OPTIONAL),
    def("lirc_mode2", Exact, ProgType::LIRC_MODE2, AttachType::LIRC_MODE2, ATTACH_OPTIONAL),
    def("flow_dissector", Exact, ProgType::FLOW_DISSECTOR, AttachType::FLOW_DISSECTOR, ATTACH_OPTIONAL),
    def("cgroup_skb/ingress", Exact, ProgType::CGROUP_SKB, AttachType::CGROUP_INET_INGRESS, ATTACH_OPTIONAL),
    def("cgroup_skb/egress", Exact, ProgType::CGROUP_SKB, AttachType::CGROUP_INET_EGRESS, ATTACH_OPTIONAL),
    def("cgroup/skb", Exact, ProgType::CGROUP_SKB, UNSET, NONE),
    def("cgroup/sock_create", Exact, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, NONE),
    def("cgroup/sock_release", Exact, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_RELEASE, NONE),
    def("cgroup/sock", Exact, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, ATTACH_OPTIONAL),
    def("cgroup/post_bind4", Exact, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET4_POST_BIND, NONE),
    def("cgroup/post_bind6", Exact, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET6_POST_BIND, NONE),
    def("cgroup/bind4", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND, NONE),
    def("cgroup/bind6", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_BIND, NONE),
    def("cgroup/connect4", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_CONNECT, NONE),
    def("cgroup/connect6", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_CONNECT, NONE),
    def("cgroup/connect_unix", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_CONNECT, NONE),
    def("cgroup/sendmsg4", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_SENDMSG, NONE),
    def("cgroup/sendmsg6", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_SENDMSG, NONE),
    def("cgroup/sendmsg_unix", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_SENDMSG, NONE),
    def("cgroup/recvmsg4", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_RECVMSG, NONE),
    def("cgroup/recvmsg6", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_RECVMSG, NONE),
    def("cgroup/recvmsg_unix", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_RECVMSG, NONE),
    def("cgroup/getpeername4", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETPEERNAME, NONE),
    def("cgroup/getpeername6", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETPEERNAME, NONE),
    def("cgroup/getpeername_unix", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETPEERNAME, NONE),
    def("cgroup/getsockname4", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETSOCKNAME, NONE),
    def("cgroup/getsockname6", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETSOCKNAME, NONE),
    def("cgroup/getsockname_unix", Exact, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETSOCKNAME, NONE),
    def("cgroup/sysctl", Exact, ProgType::CGROUP_SYSCTL, AttachType::CGROUP_SYSCTL, NONE),
    def("cgroup/getsockopt", Exact, ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_GETSOCKOPT, NONE),
    def("cgroup/setsockopt", Exact, ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_SETSOCKOPT, NONE),
    def("cgroup/dev", Exact, ProgType::CGROUP_DEVICE, AttachType::CGROUP_DEVICE, ATTACH_OPTIONAL),
    def("struct_ops", WithTarget, ProgType::STRUCT_OPS, UNSET, NONE),
    def("struct_ops.s", WithTarget, ProgType::STRUCT_OPS, UNSET, SLEEPABLE),
    def("sk_lookup", Exact, ProgType::SK_LOOKUP, AttachType::SK_LOOKUP, NONE),
    def("netfilter", Exact, ProgType::NETFILTER, AttachType::NETFILTER, NONE),
];

/// Old spellings of rows that prefix rules would take for something else. Source: libbpf before 1.0.
const ALIASES: &[(&str, &str)] = &[("xdp_devmap", "xdp/devmap"), ("xdp_cpumap", "xdp/cpumap")];

/// Names that `bpf_load.c` went by, each a beginning. Source: `samples/bpf/bpf_load.c`, `do_load_bpf_file`.
const SAMPLES: &[&str] = &[
    "kprobe/",
    "kretprobe/",
    "tracepoint/",
    "raw_tracepoint/",
    "xdp",
    "perf_event",
    "socket",
    "cgroup/skb",
    "cgroup/sock",
    "sockops",
    "sk_skb",
    "sk_msg",
];

/// Families whose `NAME/N` asked `bpf_load.c` for slot N of a jump table.
const NUMBERED: &[&str] = &["socket", "kprobe", "kretprobe", "sockops", "sk_skb", "sk_msg"];

/// What the section's name says about the programs in it. A leading `?` plays no part.
pub fn classify(section: &str, dialect: SectionDialect) -> SectionMatch {
    let name = section.strip_prefix('?').unwrap_or(section);
    let rules: &[fn(&str) -> Option<SectionMatch>] = match dialect {
        SectionDialect::Auto => &[by_row, by_id_key, by_prefix],
        SectionDialect::Libbpf => &[by_row],
        SectionDialect::Samples => &[by_sample],
        SectionDialect::Iproute2 => &[by_id_key],
    };
    rules.iter().find_map(|rule| rule(name)).unwrap_or_else(|| untyped(SectionRule::Unknown, None))
}

fn by_row(name: &str) -> Option<SectionMatch> {
    let row = ROWS.iter().find(|row| fits(row, name))?;
    Some(matched(row, name, SectionRule::Row(row.name)))
}

fn by_id_key(name: &str) -> Option<SectionMatch> {
    let (id, key) = name.split_once('/')?;
    let slot = SlotHint::Table { id: id.parse().ok()?, key: key.parse().ok()? };
    Some(untyped(SectionRule::IdKey, Some(slot)))
}

fn by_prefix(name: &str) -> Option<SectionMatch> {
    if let Some((old, now)) = ALIASES.iter().find(|(old, _)| name.starts_with(old)) {
        let row = ROWS.iter().find(|row| row.name == *now)?;
        return Some(matched(row, name, SectionRule::Prefix(old)));
    }
    let row = ROWS.iter().filter(|row| begins(row, name)).max_by_key(|row| row.name.len())?;
    Some(matched(row, name, SectionRule::Prefix(row.name)))
}

fn by_sample(name: &str) -> Option<SectionMatch> {
    let family = SAMPLES.iter().find(|family| name.starts_with(**family))?;
    let row = ROWS.iter().find(|row| row.name == family.trim_end_matches('/'))?;
    Some(matched(row, name, SectionRule::Prefix(row.name)))
}

fn matched(row: &Row, name: &str, rule: SectionRule) -> SectionMatch {
    let rest = name.strip_prefix(row.name).unwrap_or_default();
    let target = rest.strip_prefix('/').filter(|t| !t.is_empty()).map(ToString::to_string);
    let slot = target.as_deref().filter(|_| NUMBERED.contains(&row.name)).and_then(|t| t.parse().ok());
    SectionMatch {
        ty: Some(row.ty),
        attach: row.attach,
        flags: row.flags,
        target,
        slot: slot.map(|key| SlotHint::LastTable { key }),
        rule,
    }
}

fn untyped(rule: SectionRule, slot: Option<SlotHint>) -> SectionMatch {
    SectionMatch { ty: None, attach: UNSET, flags: SectionFlags::empty(), target: None, slot, rule }
}

fn fits(row: &Row, name: &str) -> bool {
    match name.strip_prefix(row.name) {
        Some("") => true,
        Some(rest) => row.matches == WithTarget && rest.starts_with('/'),
        None => false,
    }
}

/// The old loaders' rule. The two-letter rows must end at a word's end: `tcp_stats` is not a `tc` program.
fn begins(row: &Row, name: &str) -> bool {
    name.strip_prefix(row.name)
        .is_some_and(|rest| row.name.len() > 2 || !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(section: &str) -> SectionMatch {
        super::classify(section, SectionDialect::Auto)
    }

    #[test]
    fn dialects_narrow_what_a_name_may_mean() {
        let ty = |name, dialect| super::classify(name, dialect).ty;
        assert_eq!(ty("xdp_drop", SectionDialect::Libbpf), None);
        assert_eq!(ty("xdp", SectionDialect::Iproute2), None);
        assert_eq!(ty("xdp_drop", SectionDialect::Samples), Some(ProgType::XDP));
        assert_eq!(ty("classifier", SectionDialect::Samples), None);
        assert!(SAMPLES.iter().all(|name| by_sample(name).is_some()), "each has its row");
        let devmap = super::classify("xdp/devmap", SectionDialect::Samples);
        assert_eq!(devmap.attach, AttachType::XDP, "bpf_load.c knew nothing of devmaps");
    }

    #[test]
    fn every_row_is_reached_by_its_own_name() {
        for row in ROWS {
            assert_eq!(classify(row.name).rule, SectionRule::Row(row.name), "shadowed");
        }
        assert_eq!(ROWS.len(), 116);
    }

    #[test]
    fn every_xdp_spelling_is_xdp() {
        for name in ["xdp", "xdp/0", "xdp1", "xdp_drop_UDP", "xdp/foo", "?xdp", "xdp-foo", "xdpfoo"] {
            let m = classify(name);
            assert_eq!((m.ty, m.attach), (Some(ProgType::XDP), AttachType::XDP), "{name}");
            assert!(!m.flags.contains(SectionFlags::XDP_FRAGS), "{name}");
        }
    }

    #[test]
    fn longer_rows_come_before_shorter_ones() {
        let attach = |name| classify(name).attach;
        assert_eq!(attach("xdp/devmap"), AttachType::XDP_DEVMAP);
        assert_eq!(attach("xdp/cpumap/x"), AttachType::XDP_CPUMAP);
        assert_eq!(attach("xdp.frags/cpumap"), AttachType::XDP_CPUMAP);
        assert_eq!(attach("xdp_devmap/old"), AttachType::XDP_DEVMAP);
        assert_eq!(attach("xdp_cpumap"), AttachType::XDP_CPUMAP);
        assert_eq!(attach("cgroup/sock_create2"), AttachType::CGROUP_INET_SOCK_CREATE);
        assert_eq!(classify("cgroup/sock2").rule, SectionRule::Prefix("cgroup/sock"));
        assert!(classify("xdp.frags_x").flags.contains(SectionFlags::XDP_FRAGS));
        assert_eq!(classify("classifier/ingress").ty, Some(ProgType::SCHED_CLS));
    }

    #[test]
    fn what_nobody_knows_has_no_type() {
        for name in ["prog", ".text", "tcp_stats", "from-container", ""] {
            assert_eq!(classify(name).ty, None, "{name}");
        }
    }

    #[test]
    fn slots_in_names() {
        assert_eq!(classify("socket/3").slot, Some(SlotHint::LastTable { key: 3 }));
        assert_eq!(classify("kprobe/7").slot, Some(SlotHint::LastTable { key: 7 }));
        assert_eq!(classify("kprobe/sys_read").slot, None);
        assert_eq!(classify("2/1").slot, Some(SlotHint::Table { id: 2, key: 1 }));
        assert_eq!(classify("xdp/1").slot, None);
    }

    #[test]
    fn targets_stand_behind_the_slash() {
        assert_eq!(classify("fentry/bpf_prog_load").target.as_deref(), Some("bpf_prog_load"));
        assert_eq!(classify("tracepoint/sched/sched_switch").target.as_deref(), Some("sched/sched_switch"));
        assert_eq!(classify("kprobe").target, None);
    }
}
