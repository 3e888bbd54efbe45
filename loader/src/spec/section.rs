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
        /// The program is attached to many places at once where the kernel can do that.
        const USDT = 16;
        /// The program is called where functions return, not where they begin.
        const RETURNS = 32;
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

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The section's name.
    pub name: &'static str,
    /// Whether the name may go on with a `/` and the thing to attach to.
    pub takes_target: bool,
    /// Type of the programs in it.
    pub ty: ProgType,
    /// Their expected attach type; 0 if none.
    pub attach: AttachType,
    /// What else is to be known.
    pub flags: SectionFlags,
}

/// The whole name must match.
const EXACT: bool = false;
/// The name may go on behind a `/`.
const TARGET: bool = true;
const UNSET: AttachType = AttachType(0);
const NONE: u8 = 0;
const ATTACH_BTF: u8 = SectionFlags::ATTACH_BTF.bits();
const SLEEPABLE: u8 = SectionFlags::SLEEPABLE.bits();
const XDP_FRAGS: u8 = SectionFlags::XDP_FRAGS.bits();
const USDT: u8 = SectionFlags::USDT.bits();
const RETURNS: u8 = SectionFlags::RETURNS.bits();
const ATTACH_OPTIONAL: u8 = SectionFlags::ATTACH_OPTIONAL.bits();

const fn def(name: &'static str, takes_target: bool, ty: ProgType, attach: AttachType, flags: u8) -> Row {
    Row { name, takes_target, ty, attach, flags: SectionFlags::from_bits_truncate(flags) }
}

/// The table: libbpf's names. Where two rows fit, the first one counts. `docs/sections.md` is printed from it.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    def("socket", EXACT, ProgType::SOCKET_FILTER, UNSET, NONE),
    def("sk_reuseport/migrate", EXACT, ProgType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE, NONE),
    def("sk_reuseport", EXACT, ProgType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT, NONE),
    def("kprobe", TARGET, ProgType::KPROBE, UNSET, NONE),
    def("uprobe", TARGET, ProgType::KPROBE, UNSET, NONE),
    def("uprobe.s", TARGET, ProgType::KPROBE, UNSET, SLEEPABLE),
    def("kretprobe", TARGET, ProgType::KPROBE, UNSET, RETURNS),
    def("uretprobe", TARGET, ProgType::KPROBE, UNSET, RETURNS),
    def("uretprobe.s", TARGET, ProgType::KPROBE, UNSET, SLEEPABLE | RETURNS),
    def("kprobe.multi", TARGET, ProgType::KPROBE, AttachType::TRACE_KPROBE_MULTI, NONE),
    def("kretprobe.multi", TARGET, ProgType::KPROBE, AttachType::TRACE_KPROBE_MULTI, RETURNS),
    def("kprobe.session", TARGET, ProgType::KPROBE, AttachType::TRACE_KPROBE_SESSION, NONE),
    def("uprobe.multi", TARGET, ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, NONE),
    def("uretprobe.multi", TARGET, ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, RETURNS),
    def("uprobe.session", TARGET, ProgType::KPROBE, AttachType::TRACE_UPROBE_SESSION, NONE),
    def("uprobe.multi.s", TARGET, ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    def("uretprobe.multi.s", TARGET, ProgType::KPROBE, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE | RETURNS),
    def("uprobe.session.s", TARGET, ProgType::KPROBE, AttachType::TRACE_UPROBE_SESSION, SLEEPABLE),
    def("ksyscall", TARGET, ProgType::KPROBE, UNSET, NONE),
    def("kretsyscall", TARGET, ProgType::KPROBE, UNSET, RETURNS),
    def("usdt", TARGET, ProgType::KPROBE, UNSET, USDT),
    def("usdt.s", TARGET, ProgType::KPROBE, UNSET, USDT | SLEEPABLE),
    def("tc/ingress", EXACT, ProgType::SCHED_CLS, AttachType::TCX_INGRESS, NONE),
    def("tc/egress", EXACT, ProgType::SCHED_CLS, AttachType::TCX_EGRESS, NONE),
    def("tcx/ingress", EXACT, ProgType::SCHED_CLS, AttachType::TCX_INGRESS, NONE),
    def("tcx/egress", EXACT, ProgType::SCHED_CLS, AttachType::TCX_EGRESS, NONE),
    def("tc", EXACT, ProgType::SCHED_CLS, UNSET, NONE),
    def("classifier", EXACT, ProgType::SCHED_CLS, UNSET, NONE),
    def("action", EXACT, ProgType::SCHED_ACT, UNSET, NONE),
    def("netkit/primary", EXACT, ProgType::SCHED_CLS, AttachType::NETKIT_PRIMARY, NONE),
    def("netkit/peer", EXACT, ProgType::SCHED_CLS, AttachType::NETKIT_PEER, NONE),
    def("tracepoint", TARGET, ProgType::TRACEPOINT, UNSET, NONE),
    def("tp", TARGET, ProgType::TRACEPOINT, UNSET, NONE),
    def("tracepoint.s", TARGET, ProgType::TRACEPOINT, UNSET, SLEEPABLE),
    def("tp.s", TARGET, ProgType::TRACEPOINT, UNSET, SLEEPABLE),
    def("raw_tracepoint", TARGET, ProgType::RAW_TRACEPOINT, UNSET, NONE),
    def("raw_tp", TARGET, ProgType::RAW_TRACEPOINT, UNSET, NONE),
    def("raw_tracepoint.s", TARGET, ProgType::RAW_TRACEPOINT, UNSET, SLEEPABLE),
    def("raw_tp.s", TARGET, ProgType::RAW_TRACEPOINT, UNSET, SLEEPABLE),
    def("raw_tracepoint.w", TARGET, ProgType::RAW_TRACEPOINT_WRITABLE, UNSET, NONE),
    def("raw_tp.w", TARGET, ProgType::RAW_TRACEPOINT_WRITABLE, UNSET, NONE),
    def("tp_btf", TARGET, ProgType::TRACING, AttachType::TRACE_RAW_TP, ATTACH_BTF),
    def("tp_btf.s", TARGET, ProgType::TRACING, AttachType::TRACE_RAW_TP, ATTACH_BTF | SLEEPABLE),
    def("fentry", TARGET, ProgType::TRACING, AttachType::TRACE_FENTRY, ATTACH_BTF),
    def("fmod_ret", TARGET, ProgType::TRACING, AttachType::MODIFY_RETURN, ATTACH_BTF),
    def("fexit", TARGET, ProgType::TRACING, AttachType::TRACE_FEXIT, ATTACH_BTF),
    def("fentry.s", TARGET, ProgType::TRACING, AttachType::TRACE_FENTRY, ATTACH_BTF | SLEEPABLE),
    def("fmod_ret.s", TARGET, ProgType::TRACING, AttachType::MODIFY_RETURN, ATTACH_BTF | SLEEPABLE),
    def("fexit.s", TARGET, ProgType::TRACING, AttachType::TRACE_FEXIT, ATTACH_BTF | SLEEPABLE),
    def("fsession", TARGET, ProgType::TRACING, AttachType::TRACE_FSESSION, ATTACH_BTF),
    def("fsession.s", TARGET, ProgType::TRACING, AttachType::TRACE_FSESSION, ATTACH_BTF | SLEEPABLE),
    def("fsession.multi", TARGET, ProgType::TRACING, AttachType::TRACE_FSESSION_MULTI, NONE),
    def("fsession.multi.s", TARGET, ProgType::TRACING, AttachType::TRACE_FSESSION_MULTI, SLEEPABLE),
    def("fentry.multi", TARGET, ProgType::TRACING, AttachType::TRACE_FENTRY_MULTI, NONE),
    def("fexit.multi", TARGET, ProgType::TRACING, AttachType::TRACE_FEXIT_MULTI, NONE),
    def("fentry.multi.s", TARGET, ProgType::TRACING, AttachType::TRACE_FENTRY_MULTI, SLEEPABLE),
    def("fexit.multi.s", TARGET, ProgType::TRACING, AttachType::TRACE_FEXIT_MULTI, SLEEPABLE),
    def("freplace", TARGET, ProgType::EXT, UNSET, ATTACH_BTF),
    def("lsm", TARGET, ProgType::LSM, AttachType::LSM_MAC, ATTACH_BTF),
    def("lsm.s", TARGET, ProgType::LSM, AttachType::LSM_MAC, ATTACH_BTF | SLEEPABLE),
    def("lsm_cgroup", TARGET, ProgType::LSM, AttachType::LSM_CGROUP, ATTACH_BTF),
    def("iter", TARGET, ProgType::TRACING, AttachType::TRACE_ITER, ATTACH_BTF),
    def("iter.s", TARGET, ProgType::TRACING, AttachType::TRACE_ITER, ATTACH_BTF | SLEEPABLE),
    def("syscall", EXACT, ProgType::SYSCALL, UNSET, SLEEPABLE),
    def("xdp.frags/devmap", EXACT, ProgType::XDP, AttachType::XDP_DEVMAP, XDP_FRAGS),
    def("xdp/devmap", EXACT, ProgType::XDP, AttachType::XDP_DEVMAP, NONE),
    def("xdp.frags/cpumap", EXACT, ProgType::XDP, AttachType::XDP_CPUMAP, XDP_FRAGS),
    def("xdp/cpumap", EXACT, ProgType::XDP, AttachType::XDP_CPUMAP, NONE),
    def("xdp.frags", EXACT, ProgType::XDP, AttachType::XDP, XDP_FRAGS),
    def("xdp", EXACT, ProgType::XDP, AttachType::XDP, ATTACH_OPTIONAL),
    def("perf_event", EXACT, ProgType::PERF_EVENT, UNSET, NONE),
    def("lwt_in", EXACT, ProgType::LWT_IN, UNSET, NONE),
    def("lwt_out", EXACT, ProgType::LWT_OUT, UNSET, NONE),
    def("lwt_xmit", EXACT, ProgType::LWT_XMIT, UNSET, NONE),
    def("lwt_seg6local", EXACT, ProgType::LWT_SEG6LOCAL, UNSET, NONE),
    def("sockops", EXACT, ProgType::SOCK_OPS, AttachType::CGROUP_SOCK_OPS, ATTACH_OPTIONAL),
    def("sk_skb/stream_parser", EXACT, ProgType::SK_SKB, AttachType::SK_SKB_STREAM_PARSER, ATTACH_OPTIONAL),
    def("sk_skb/stream_verdict", EXACT, ProgType::SK_SKB, AttachType::SK_SKB_STREAM_VERDICT, ATTACH_OPTIONAL),
    def("sk_skb/verdict", EXACT, ProgType::SK_SKB, AttachType::SK_SKB_VERDICT, ATTACH_OPTIONAL),
    def("sk_skb", EXACT, ProgType::SK_SKB, UNSET, NONE),
    def("sk_msg", EXACT, ProgType::SK_MSG, AttachType::SK_MSG_VERDICT, ATTACH_OPTIONAL),
    def("lirc_mode2", EXACT, ProgType::LIRC_MODE2, AttachType::LIRC_MODE2, ATTACH_OPTIONAL),
    def("flow_dissector", EXACT, ProgType::FLOW_DISSECTOR, AttachType::FLOW_DISSECTOR, ATTACH_OPTIONAL),
    def("cgroup_skb/ingress", EXACT, ProgType::CGROUP_SKB, AttachType::CGROUP_INET_INGRESS, ATTACH_OPTIONAL),
    def("cgroup_skb/egress", EXACT, ProgType::CGROUP_SKB, AttachType::CGROUP_INET_EGRESS, ATTACH_OPTIONAL),
    def("cgroup/skb", EXACT, ProgType::CGROUP_SKB, UNSET, NONE),
    def("cgroup/sock_create", EXACT, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, NONE),
    def("cgroup/sock_release", EXACT, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_RELEASE, NONE),
    def("cgroup/sock", EXACT, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, ATTACH_OPTIONAL),
    def("cgroup/post_bind4", EXACT, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET4_POST_BIND, NONE),
    def("cgroup/post_bind6", EXACT, ProgType::CGROUP_SOCK, AttachType::CGROUP_INET6_POST_BIND, NONE),
    def("cgroup/bind4", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND, NONE),
    def("cgroup/bind6", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_BIND, NONE),
    def("cgroup/connect4", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_CONNECT, NONE),
    def("cgroup/connect6", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_CONNECT, NONE),
    def("cgroup/connect_unix", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_CONNECT, NONE),
    def("cgroup/sendmsg4", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_SENDMSG, NONE),
    def("cgroup/sendmsg6", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_SENDMSG, NONE),
    def("cgroup/sendmsg_unix", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_SENDMSG, NONE),
    def("cgroup/recvmsg4", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_RECVMSG, NONE),
    def("cgroup/recvmsg6", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_RECVMSG, NONE),
    def("cgroup/recvmsg_unix", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_RECVMSG, NONE),
    def("cgroup/getpeername4", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETPEERNAME, NONE),
    def("cgroup/getpeername6", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETPEERNAME, NONE),
    def("cgroup/getpeername_unix", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETPEERNAME, NONE),
    def("cgroup/getsockname4", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETSOCKNAME, NONE),
    def("cgroup/getsockname6", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETSOCKNAME, NONE),
    def("cgroup/getsockname_unix", EXACT, ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETSOCKNAME, NONE),
    def("cgroup/sysctl", EXACT, ProgType::CGROUP_SYSCTL, AttachType::CGROUP_SYSCTL, NONE),
    def("cgroup/getsockopt", EXACT, ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_GETSOCKOPT, NONE),
    def("cgroup/setsockopt", EXACT, ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_SETSOCKOPT, NONE),
    def("cgroup/dev", EXACT, ProgType::CGROUP_DEVICE, AttachType::CGROUP_DEVICE, ATTACH_OPTIONAL),
    def("struct_ops", TARGET, ProgType::STRUCT_OPS, UNSET, NONE),
    def("struct_ops.s", TARGET, ProgType::STRUCT_OPS, UNSET, SLEEPABLE),
    def("sk_lookup", EXACT, ProgType::SK_LOOKUP, AttachType::SK_LOOKUP, NONE),
    def("netfilter", EXACT, ProgType::NETFILTER, AttachType::NETFILTER, NONE),
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
    let slot = SlotHint::Table { id: number(id)?, key: number(key)? };
    Some(untyped(SectionRule::IdKey, Some(slot)))
}

/// A number as C reads it (`%i`): hexadecimal behind `0x`, octal behind `0`.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match (text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")), text) {
        (Some(hex), _) => (hex, 16),
        (None, "0") => (text, 10),
        (None, _) => text.strip_prefix('0').map_or((text, 10), |octal| (octal, 8)),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
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
        Some(rest) => row.takes_target && rest.starts_with('/'),
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
        assert_eq!(classify("0xab/010").slot, Some(SlotHint::Table { id: 0xab, key: 8 }));
        assert_eq!(classify("0/0").slot, Some(SlotHint::Table { id: 0, key: 0 }));
        for name in ["0x/1", "+1/2", "1/-1", "1/2/3", "08/1", "a/1"] {
            assert_eq!(classify(name).slot, None, "{name}");
        }
        assert_eq!(classify("xdp/1").slot, None);
    }

    #[test]
    fn targets_stand_behind_the_slash() {
        assert_eq!(classify("fentry/bpf_prog_load").target.as_deref(), Some("bpf_prog_load"));
        assert_eq!(classify("tracepoint/sched/sched_switch").target.as_deref(), Some("sched/sched_switch"));
        assert_eq!(classify("kprobe").target, None);
    }
}
