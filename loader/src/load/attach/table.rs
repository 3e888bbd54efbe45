//! What the link of a program takes besides the program: a table, by its type and its expected attach type.
//!
//! Data only. Source: kernel `link_create`, `kernel/bpf/syscall.c`; libbpf `section_defs[]`.

use crate::uapi::{AttachType, ProgType};

/// What a link takes besides the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// Nothing: the program was loaded for its place.
    Nothing,
    /// A tracepoint's name.
    Tracepoint,
    /// Functions of the kernel.
    Functions,
    /// Functions of an executable.
    Executable,
    /// All that an iterator walks, or some of it.
    Elements,
    /// A cgroup.
    Cgroup,
    /// A network namespace.
    Namespace,
    /// A map of sockets.
    Sockets,
    /// A network interface.
    Interface,
    /// A hook of netfilter.
    Netfilter,
    /// A tracepoint's name, with its category; or an event.
    TraceEvent,
    /// A function of the kernel or of an executable; or an event.
    Probe,
    /// An event.
    Event,
    /// There is no link for such programs; this is done instead.
    NoLink(&'static str),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    ty: ProgType,
    /// Its expected attach type; any other than those of the rows before without one.
    attach: Option<AttachType>,
    /// What the link takes.
    pub(super) takes: Takes,
    /// The first Linux with such links.
    pub(super) since: &'static str,
    /// The attach type of the link, where that is not the program's own.
    pub(super) by: Option<AttachType>,
}

const ANY: Option<AttachType> = None;
const UNSET: Option<AttachType> = Some(AttachType(0));

const fn row(ty: ProgType, attach: Option<AttachType>, takes: Takes, since: &'static str) -> Row {
    Row { ty, attach, takes, since, by: None }
}

/// A row of programs whose own attach type is not that of their links.
const fn row_by(
    ty: ProgType,
    attach: Option<AttachType>,
    takes: Takes,
    since: &'static str,
    by: AttachType,
) -> Row {
    Row { by: Some(by), ..row(ty, attach, takes, since) }
}

/// A type whose programs have no links.
const fn none(ty: ProgType, attach: Option<AttachType>, instead: &'static str) -> Row {
    row(ty, attach, Takes::NoLink(instead), "")
}

const SETSOCKOPT: &str = "setsockopt(2) puts it on a socket";
const ROUTE: &str = "a route names it (ip route add ... encap bpf)";
const QDISC: &str =
    "a filter of tc names it; in a section tcx/ingress or tcx/egress it is attached by a link (Linux 6.6)";

/// The table. Where two rows fit, the first one counts.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(ProgType::TRACING, Some(AttachType::TRACE_ITER), Takes::Elements, "5.8"),
    row(ProgType::TRACING, ANY, Takes::Nothing, "5.5"),
    row(ProgType::EXT, ANY, Takes::Nothing, "5.6"),
    row(ProgType::LSM, Some(AttachType::LSM_CGROUP), Takes::Cgroup, "6.0"),
    row(ProgType::LSM, ANY, Takes::Nothing, "5.7"),
    row(ProgType::RAW_TRACEPOINT, ANY, Takes::Tracepoint, "4.17"),
    row(ProgType::RAW_TRACEPOINT_WRITABLE, ANY, Takes::Tracepoint, "5.2"),
    row(ProgType::KPROBE, Some(AttachType::TRACE_KPROBE_MULTI), Takes::Functions, "5.18"),
    row(ProgType::KPROBE, Some(AttachType::TRACE_KPROBE_SESSION), Takes::Functions, "6.10"),
    row(ProgType::KPROBE, Some(AttachType::TRACE_UPROBE_MULTI), Takes::Executable, "6.6"),
    row(ProgType::KPROBE, Some(AttachType::TRACE_UPROBE_SESSION), Takes::Executable, "6.13"),
    row_by(ProgType::KPROBE, ANY, Takes::Probe, "5.15", AttachType::PERF_EVENT),
    row_by(ProgType::TRACEPOINT, ANY, Takes::TraceEvent, "5.15", AttachType::PERF_EVENT),
    row_by(ProgType::PERF_EVENT, ANY, Takes::Event, "5.15", AttachType::PERF_EVENT),
    row(ProgType::CGROUP_SKB, ANY, Takes::Cgroup, "5.7"),
    row(ProgType::CGROUP_SOCK, ANY, Takes::Cgroup, "5.7"),
    row(ProgType::CGROUP_SOCK_ADDR, ANY, Takes::Cgroup, "5.7"),
    row(ProgType::CGROUP_SOCKOPT, ANY, Takes::Cgroup, "5.7"),
    row(ProgType::CGROUP_SYSCTL, ANY, Takes::Cgroup, "5.7"),
    row(ProgType::CGROUP_DEVICE, ANY, Takes::Cgroup, "5.7"),
    row(ProgType::SOCK_OPS, ANY, Takes::Cgroup, "5.7"),
    row(ProgType::FLOW_DISSECTOR, ANY, Takes::Namespace, "5.8"),
    row(ProgType::SK_LOOKUP, ANY, Takes::Namespace, "5.9"),
    row(ProgType::SK_MSG, ANY, Takes::Sockets, "6.10"),
    row(ProgType::SK_SKB, ANY, Takes::Sockets, "6.10"),
    row(ProgType::NETFILTER, ANY, Takes::Netfilter, "6.4"),
    row(ProgType::SCHED_CLS, Some(AttachType::TCX_INGRESS), Takes::Interface, "6.6"),
    row(ProgType::SCHED_CLS, Some(AttachType::TCX_EGRESS), Takes::Interface, "6.6"),
    row(ProgType::SCHED_CLS, Some(AttachType::NETKIT_PRIMARY), Takes::Interface, "6.7"),
    row(ProgType::SCHED_CLS, Some(AttachType::NETKIT_PEER), Takes::Interface, "6.7"),
    none(ProgType::SCHED_CLS, ANY, QDISC),
    none(ProgType::SCHED_ACT, ANY, QDISC),
    row(ProgType::XDP, Some(AttachType::XDP), Takes::Interface, "5.9"),
    row_by(ProgType::XDP, UNSET, Takes::Interface, "5.9", AttachType::XDP),
    none(ProgType::XDP, ANY, "an entry of a devmap or cpumap names it"),
    none(ProgType::SOCKET_FILTER, ANY, SETSOCKOPT),
    none(ProgType::SK_REUSEPORT, ANY, SETSOCKOPT),
    none(ProgType::LWT_IN, ANY, ROUTE),
    none(ProgType::LWT_OUT, ANY, ROUTE),
    none(ProgType::LWT_XMIT, ANY, ROUTE),
    none(ProgType::LWT_SEG6LOCAL, ANY, ROUTE),
    none(ProgType::LIRC_MODE2, ANY, "BPF_PROG_ATTACH puts it on a device, and this crate does not do that"),
    none(ProgType::SYSCALL, ANY, "LoadedProgram::test_run runs it"),
    none(ProgType::STRUCT_OPS, ANY, "LoadedObject::register registers the table that it is in"),
];

/// What is not in the table is too new for this crate.
const UNKNOWN: Row = none(ProgType::UNSPEC, ANY, "this crate does not know programs of this type");

/// The row of a program.
pub(super) fn row_of(ty: ProgType, attach: AttachType) -> Row {
    let fits = |row: &&Row| row.ty == ty && row.attach.is_none_or(|of| of == attach);
    ROWS.iter().find(fits).copied().unwrap_or(UNKNOWN)
}

/// What is to be said where something is missing: what it is, and how it is given.
const WORDS: &[(Takes, &str, &str)] = &[
    (Takes::Nothing, "the place that it was loaded for", "To::Section"),
    (Takes::Tracepoint, "a tracepoint", "SEC(\"raw_tp/NAME\") or To::Tracepoint"),
    (Takes::Functions, "functions of the kernel", "SEC(\"kprobe.multi/NAME\") or To::Functions"),
    (
        Takes::Executable,
        "functions of an executable",
        "SEC(\"uprobe.multi/PATH:FUNCTION\") or To::Executable",
    ),
    (Takes::Elements, "what an iterator walks", "To::Section, or To::Elements for some of it"),
    (Takes::Cgroup, "a cgroup", "To::Cgroup"),
    (Takes::Namespace, "a network namespace", "To::Namespace"),
    (Takes::Sockets, "a map of sockets", "To::Sockets"),
    (Takes::Interface, "a network interface", "To::Interface"),
    (Takes::Netfilter, "a hook of netfilter", "To::Netfilter"),
    (Takes::TraceEvent, "a tracepoint", "SEC(\"tp/CATEGORY/NAME\"), To::Tracepoint or To::Event"),
    (
        Takes::Probe,
        "a function of the kernel or of an executable",
        "SEC(\"kprobe/NAME\"), SEC(\"uprobe/PATH:FUNCTION\"), To::Functions, To::Executable or To::Event",
    ),
    (Takes::Event, "a perf event", "To::Event"),
];

impl Takes {
    /// What it is, and how it is given.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        WORDS.iter().find(|(of, ..)| *of == self).map_or(("", ""), |(_, what, how)| (*what, *how))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::section::ROWS as SECTIONS;

    #[test]
    fn every_section_has_a_row_and_every_row_a_section() {
        let rows: Vec<Row> = SECTIONS.iter().map(|section| row_of(section.ty, section.attach)).collect();
        for (section, row) in SECTIONS.iter().zip(&rows) {
            assert_eq!(row.ty, section.ty, "{}", section.name);
        }
        let is_used = |row: &Row| rows.iter().any(|used| (used.ty, used.attach) == (row.ty, row.attach));
        let unused: Vec<&Row> = ROWS.iter().filter(|row| !is_used(row)).collect();
        // SEC("xdp") says XDP; a program whose type the caller gives says nothing. No section is LIRC's or a flow
        // dissector's alone.
        assert!(unused.iter().all(|row| row.ty == ProgType::XDP && row.attach == UNSET), "{unused:?}");
    }

    #[test]
    fn every_row_can_say_what_it_takes() {
        for row in ROWS {
            let silent = matches!(row.takes, Takes::NoLink(_));
            assert_eq!(row.takes.words() == ("", ""), silent, "{row:?}");
            assert_eq!(row.since.is_empty(), silent, "{row:?}");
        }
    }
}
