//! The kernel's numbers and their names: map types, program types, attach types, helpers, flags, pseudo registers.
//!
//! Data only. A number that these tables do not know stays usable: it is printed as a number and the kernel
//! decides. The room imports nothing.
//!
//! Source of every value: `include/uapi/linux/bpf.h`, where nothing else is said.

use core::fmt;

/// One list makes a number type, its constants, and the table of names behind `name`, `since` and `Display`.
macro_rules! kernel_numbers {
    ($(#[$doc:meta])* $type:ident, $what:literal; $($constant:ident = $number:literal, $name:literal, $since:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $type(pub u32);

        impl $type {
            $(
                #[doc = concat!("`", $name, "`. Since: Linux ", $since, ".")]
                pub const $constant: Self = Self($number);
            )*

            pub(crate) const TABLE: &'static [(u32, &'static str, &'static str)] = &[$(($number, $name, $since),)*];

            /// The name that `bpftool` and libbpf use, if the table knows the number.
            pub fn name(self) -> Option<&'static str> {
                Self::TABLE.iter().find(|(n, ..)| *n == self.0).map(|(_, name, _)| *name)
            }

            /// The first Linux version that has it, such as `"4.2"`, if the table knows the number.
            pub fn since(self) -> Option<&'static str> {
                Self::TABLE.iter().find(|(n, ..)| *n == self.0).map(|(.., since)| *since)
            }

            /// The number that goes by this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::TABLE.iter().find(|(_, n, _)| *n == name).map(|(number, ..)| Self(*number))
            }

            /// Every name of the table, in the kernel's order.
            pub fn names() -> impl Iterator<Item = &'static str> {
                Self::TABLE.iter().map(|(_, name, _)| *name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, concat!($what, " {}"), self.0),
                }
            }
        }
    };
}

kernel_numbers! {
    /// What kind of map. Source: `enum bpf_map_type`.
    MapType, "map type";
    UNSPEC = 0, "unspec", "3.18";
    HASH = 1, "hash", "3.19";
    ARRAY = 2, "array", "3.19";
    PROG_ARRAY = 3, "prog_array", "4.2";
    PERF_EVENT_ARRAY = 4, "perf_event_array", "4.3";
    PERCPU_HASH = 5, "percpu_hash", "4.6";
    PERCPU_ARRAY = 6, "percpu_array", "4.6";
    STACK_TRACE = 7, "stack_trace", "4.6";
    CGROUP_ARRAY = 8, "cgroup_array", "4.8";
    LRU_HASH = 9, "lru_hash", "4.10";
    LRU_PERCPU_HASH = 10, "lru_percpu_hash", "4.10";
    LPM_TRIE = 11, "lpm_trie", "4.11";
    ARRAY_OF_MAPS = 12, "array_of_maps", "4.12";
    HASH_OF_MAPS = 13, "hash_of_maps", "4.12";
    DEVMAP = 14, "devmap", "4.14";
    SOCKMAP = 15, "sockmap", "4.14";
    CPUMAP = 16, "cpumap", "4.15";
    XSKMAP = 17, "xskmap", "4.18";
    SOCKHASH = 18, "sockhash", "4.18";
    CGROUP_STORAGE = 19, "cgroup_storage", "4.19";
    REUSEPORT_SOCKARRAY = 20, "reuseport_sockarray", "4.19";
    PERCPU_CGROUP_STORAGE = 21, "percpu_cgroup_storage", "4.20";
    QUEUE = 22, "queue", "4.20";
    STACK = 23, "stack", "4.20";
    SK_STORAGE = 24, "sk_storage", "5.2";
    DEVMAP_HASH = 25, "devmap_hash", "5.4";
    STRUCT_OPS = 26, "struct_ops", "5.6";
    RINGBUF = 27, "ringbuf", "5.8";
    INODE_STORAGE = 28, "inode_storage", "5.10";
    TASK_STORAGE = 29, "task_storage", "5.11";
    BLOOM_FILTER = 30, "bloom_filter", "5.16";
    USER_RINGBUF = 31, "user_ringbuf", "6.1";
    CGRP_STORAGE = 32, "cgrp_storage", "6.2";
    ARENA = 33, "arena", "6.9";
    INSN_ARRAY = 34, "insn_array", "6.19";
}

kernel_numbers! {
    /// What kind of program, which decides its context and helpers. Source: `enum bpf_prog_type`.
    ProgType, "program type";
    UNSPEC = 0, "unspec", "3.18";
    SOCKET_FILTER = 1, "socket_filter", "3.19";
    KPROBE = 2, "kprobe", "4.1";
    SCHED_CLS = 3, "sched_cls", "4.1";
    SCHED_ACT = 4, "sched_act", "4.1";
    TRACEPOINT = 5, "tracepoint", "4.7";
    XDP = 6, "xdp", "4.8";
    PERF_EVENT = 7, "perf_event", "4.9";
    CGROUP_SKB = 8, "cgroup_skb", "4.10";
    CGROUP_SOCK = 9, "cgroup_sock", "4.10";
    LWT_IN = 10, "lwt_in", "4.10";
    LWT_OUT = 11, "lwt_out", "4.10";
    LWT_XMIT = 12, "lwt_xmit", "4.10";
    SOCK_OPS = 13, "sock_ops", "4.13";
    SK_SKB = 14, "sk_skb", "4.14";
    CGROUP_DEVICE = 15, "cgroup_device", "4.15";
    SK_MSG = 16, "sk_msg", "4.17";
    RAW_TRACEPOINT = 17, "raw_tracepoint", "4.17";
    CGROUP_SOCK_ADDR = 18, "cgroup_sock_addr", "4.17";
    LWT_SEG6LOCAL = 19, "lwt_seg6local", "4.18";
    LIRC_MODE2 = 20, "lirc_mode2", "4.18";
    SK_REUSEPORT = 21, "sk_reuseport", "4.19";
    FLOW_DISSECTOR = 22, "flow_dissector", "4.20";
    CGROUP_SYSCTL = 23, "cgroup_sysctl", "5.2";
    RAW_TRACEPOINT_WRITABLE = 24, "raw_tracepoint_writable", "5.2";
    CGROUP_SOCKOPT = 25, "cgroup_sockopt", "5.3";
    TRACING = 26, "tracing", "5.5";
    STRUCT_OPS = 27, "struct_ops", "5.6";
    EXT = 28, "ext", "5.6";
    LSM = 29, "lsm", "5.7";
    SK_LOOKUP = 30, "sk_lookup", "5.9";
    SYSCALL = 31, "syscall", "5.14";
    NETFILTER = 32, "netfilter", "6.4";
}

kernel_numbers! {
    /// Where a program is meant to be attached. Source: `enum bpf_attach_type`.
    AttachType, "attach type";
    CGROUP_INET_INGRESS = 0, "cgroup_inet_ingress", "4.10";
    CGROUP_INET_EGRESS = 1, "cgroup_inet_egress", "4.10";
    CGROUP_INET_SOCK_CREATE = 2, "cgroup_inet_sock_create", "4.10";
    CGROUP_SOCK_OPS = 3, "cgroup_sock_ops", "4.13";
    SK_SKB_STREAM_PARSER = 4, "sk_skb_stream_parser", "4.14";
    SK_SKB_STREAM_VERDICT = 5, "sk_skb_stream_verdict", "4.14";
    CGROUP_DEVICE = 6, "cgroup_device", "4.15";
    SK_MSG_VERDICT = 7, "sk_msg_verdict", "4.17";
    CGROUP_INET4_BIND = 8, "cgroup_inet4_bind", "4.17";
    CGROUP_INET6_BIND = 9, "cgroup_inet6_bind", "4.17";
    CGROUP_INET4_CONNECT = 10, "cgroup_inet4_connect", "4.17";
    CGROUP_INET6_CONNECT = 11, "cgroup_inet6_connect", "4.17";
    CGROUP_INET4_POST_BIND = 12, "cgroup_inet4_post_bind", "4.17";
    CGROUP_INET6_POST_BIND = 13, "cgroup_inet6_post_bind", "4.17";
    CGROUP_UDP4_SENDMSG = 14, "cgroup_udp4_sendmsg", "4.18";
    CGROUP_UDP6_SENDMSG = 15, "cgroup_udp6_sendmsg", "4.18";
    LIRC_MODE2 = 16, "lirc_mode2", "4.18";
    FLOW_DISSECTOR = 17, "flow_dissector", "4.20";
    CGROUP_SYSCTL = 18, "cgroup_sysctl", "5.2";
    CGROUP_UDP4_RECVMSG = 19, "cgroup_udp4_recvmsg", "5.2";
    CGROUP_UDP6_RECVMSG = 20, "cgroup_udp6_recvmsg", "5.2";
    CGROUP_GETSOCKOPT = 21, "cgroup_getsockopt", "5.3";
    CGROUP_SETSOCKOPT = 22, "cgroup_setsockopt", "5.3";
    TRACE_RAW_TP = 23, "trace_raw_tp", "5.5";
    TRACE_FENTRY = 24, "trace_fentry", "5.5";
    TRACE_FEXIT = 25, "trace_fexit", "5.5";
    MODIFY_RETURN = 26, "modify_return", "5.7";
    LSM_MAC = 27, "lsm_mac", "5.7";
    TRACE_ITER = 28, "trace_iter", "5.8";
    CGROUP_INET4_GETPEERNAME = 29, "cgroup_inet4_getpeername", "5.8";
    CGROUP_INET6_GETPEERNAME = 30, "cgroup_inet6_getpeername", "5.8";
    CGROUP_INET4_GETSOCKNAME = 31, "cgroup_inet4_getsockname", "5.8";
    CGROUP_INET6_GETSOCKNAME = 32, "cgroup_inet6_getsockname", "5.8";
    XDP_DEVMAP = 33, "xdp_devmap", "5.8";
    CGROUP_INET_SOCK_RELEASE = 34, "cgroup_inet_sock_release", "5.9";
    XDP_CPUMAP = 35, "xdp_cpumap", "5.9";
    SK_LOOKUP = 36, "sk_lookup", "5.9";
    XDP = 37, "xdp", "5.9";
    SK_SKB_VERDICT = 38, "sk_skb_verdict", "5.13";
    SK_REUSEPORT_SELECT = 39, "sk_reuseport_select", "5.14";
    SK_REUSEPORT_SELECT_OR_MIGRATE = 40, "sk_reuseport_select_or_migrate", "5.14";
    PERF_EVENT = 41, "perf_event", "5.15";
    TRACE_KPROBE_MULTI = 42, "trace_kprobe_multi", "5.18";
    LSM_CGROUP = 43, "lsm_cgroup", "6.0";
    STRUCT_OPS = 44, "struct_ops", "6.1";
    NETFILTER = 45, "netfilter", "6.4";
    TCX_INGRESS = 46, "tcx_ingress", "6.6";
    TCX_EGRESS = 47, "tcx_egress", "6.6";
    TRACE_UPROBE_MULTI = 48, "trace_uprobe_multi", "6.6";
    CGROUP_UNIX_CONNECT = 49, "cgroup_unix_connect", "6.7";
    CGROUP_UNIX_SENDMSG = 50, "cgroup_unix_sendmsg", "6.7";
    CGROUP_UNIX_RECVMSG = 51, "cgroup_unix_recvmsg", "6.7";
    CGROUP_UNIX_GETPEERNAME = 52, "cgroup_unix_getpeername", "6.7";
    CGROUP_UNIX_GETSOCKNAME = 53, "cgroup_unix_getsockname", "6.7";
    NETKIT_PRIMARY = 54, "netkit_primary", "6.7";
    NETKIT_PEER = 55, "netkit_peer", "6.7";
    TRACE_KPROBE_SESSION = 56, "trace_kprobe_session", "6.10";
    TRACE_UPROBE_SESSION = 57, "trace_uprobe_session", "6.13";
    TRACE_FSESSION = 58, "trace_fsession", "7.0";
    TRACE_FENTRY_MULTI = 59, "trace_fentry_multi", "7.0 or later";
    TRACE_FEXIT_MULTI = 60, "trace_fexit_multi", "7.0 or later";
    TRACE_FSESSION_MULTI = 61, "trace_fsession_multi", "7.0 or later";
}

kernel_numbers! {
    /// What an XDP program says is to become of a packet. Source: `enum xdp_action`.
    XdpAction, "XDP action";
    ABORTED = 0, "XDP_ABORTED", "4.8";
    DROP = 1, "XDP_DROP", "4.8";
    PASS = 2, "XDP_PASS", "4.8";
    TX = 3, "XDP_TX", "4.8";
    REDIRECT = 4, "XDP_REDIRECT", "4.14";
}

kernel_numbers! {
    /// Which packets a netfilter program sees. Source: `NFPROTO_*`, `include/uapi/linux/netfilter.h`.
    NetfilterFamily, "netfilter family";
    IPV4 = 2, "ipv4", "6.4";
    IPV6 = 10, "ipv6", "6.4";
}

kernel_numbers! {
    /// Where on its way a netfilter program sees a packet. Source: `enum nf_inet_hooks`, `include/uapi/linux/netfilter.h`.
    NetfilterHook, "netfilter hook";
    PRE_ROUTING = 0, "prerouting", "6.4";
    LOCAL_IN = 1, "input", "6.4";
    FORWARD = 2, "forward", "6.4";
    LOCAL_OUT = 3, "output", "6.4";
    POST_ROUTING = 4, "postrouting", "6.4";
}

kernel_numbers! {
    /// Which cgroups an iterator walks, and in which order. Source: `enum bpf_cgroup_iter_order`.
    CgroupOrder, "cgroup order";
    SELF_ONLY = 1, "self_only", "6.1";
    DESCENDANTS_PRE = 2, "descendants_pre", "6.1";
    DESCENDANTS_POST = 3, "descendants_post", "6.1";
    ANCESTORS_UP = 4, "ancestors_up", "6.1";
}

mod flags;
mod helpers;

pub use helpers::Helper;

impl MapType {
    /// Whether each CPU has a value of its own. Source: `bpf_map_value_size`, `kernel/bpf/syscall.c`.
    pub const fn is_per_cpu(self) -> bool {
        matches!(
            self,
            Self::PERCPU_HASH | Self::PERCPU_ARRAY | Self::LRU_PERCPU_HASH | Self::PERCPU_CGROUP_STORAGE
        )
    }
}

bitflags::bitflags! {
    /// Flags of `BPF_MAP_CREATE`. Bits that have no name here are kept.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MapFlags: u32 {
        /// `BPF_F_NO_PREALLOC`: allocate hash elements when they are inserted. Since: Linux 4.6.
        const NO_PREALLOC = 1 << 0;
        /// `BPF_F_NUMA_NODE`: `numa_node` is meant. Since: Linux 4.14.
        const NUMA_NODE = 1 << 2;
        /// `BPF_F_RDONLY_PROG`: programs may only read. Since: Linux 5.2.
        const RDONLY_PROG = 1 << 7;
        /// `BPF_F_MMAPABLE`: user space may map it into memory. Since: Linux 5.5.
        const MMAPABLE = 1 << 10;
        /// `BPF_F_LINK`: struct_ops that are registered by a link. Since: Linux 6.4.
        const LINK = 1 << 13;
        /// `BPF_F_VTYPE_BTF_OBJ_FD`: the value's type is a module's. Since: Linux 6.9.
        const VTYPE_BTF_OBJ_FD = 1 << 15;
        /// `BPF_F_INNER_MAP`: an array template for inner maps of any size. Since: Linux 5.10.
        const INNER_MAP = 1 << 12;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Flags of `BPF_PROG_LOAD`. Bits that have no name here are kept.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ProgFlags: u32 {
        /// `BPF_F_SLEEPABLE`. Since: Linux 5.10.
        const SLEEPABLE = 1 << 4;
        /// `BPF_F_XDP_HAS_FRAGS`: the program takes packets of several buffers. Since: Linux 5.18.
        const XDP_HAS_FRAGS = 1 << 5;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Flags of `BPF_MAP_UPDATE_ELEM`. Bits that have no name here are kept.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct UpdateFlags: u64 {
        /// `BPF_NOEXIST`: only if the key is not there.
        const NOEXIST = 1;
        /// `BPF_EXIST`: only if the key is there.
        const EXIST = 2;
        const _ = !0;
    }
}

/// What the source register of an `ld_imm64` or of a call says its immediate means.
pub mod pseudo {
    /// `BPF_PSEUDO_MAP_FD`: the immediate is a map's descriptor. Since: Linux 3.18.
    pub const MAP_FD: u8 = 1;
    /// `BPF_PSEUDO_MAP_VALUE`: descriptor, and an offset in **bytes** into the map's value. Since: Linux 5.2.
    pub const MAP_VALUE: u8 = 2;
    /// `BPF_PSEUDO_BTF_ID`: the immediate is the number of a kernel variable's type, and the second half the descriptor of
    /// its module's BTF, or 0. Since: Linux 5.10.
    pub const BTF_ID: u8 = 3;
    /// `BPF_PSEUDO_FUNC`: the distance in **slots** to a function. Since: Linux 5.13.
    pub const FUNC: u8 = 4;
    /// `BPF_PSEUDO_CALL`: a call to a subprogram, distance in **slots**. Since: Linux 4.16.
    pub const CALL: u8 = 1;
    /// `BPF_PSEUDO_KFUNC_CALL`: a call of a kernel function, by the number of its type; the offset says which descriptor
    /// of `fd_array` is its module's BTF, 0 for the kernel. Since: Linux 5.13.
    pub const KFUNC_CALL: u8 = 2;
}

/// **Bytes** of a kernel object's name, its NUL included. Source: `BPF_OBJ_NAME_LEN`. Since: Linux 4.15.
pub const OBJ_NAME_LEN: usize = 16;

/// A name as the kernel takes it: ASCII letters, digits, `_` and `.`, at most 15 **bytes**, NUL behind them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct KernelName([u8; OBJ_NAME_LEN]);

impl KernelName {
    /// The name cut off and with `_` in place of what the kernel does not take.
    pub fn of(name: &str) -> Self {
        let mut bytes = [0; OBJ_NAME_LEN];
        let room = bytes.iter_mut().take(OBJ_NAME_LEN.saturating_sub(1));
        for (to, c) in room.zip(name.chars()) {
            let allowed = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_' || *c == b'.';
            *to = u8::try_from(c).ok().filter(allowed).unwrap_or(b'_');
        }
        Self(bytes)
    }

    /// The same name without dots, which kernels before Linux 5.2 do not take.
    #[must_use]
    pub fn without_dots(self) -> Self {
        Self(self.0.map(|byte| if byte == b'.' { b'_' } else { byte }))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        core::str::from_utf8(name).unwrap_or_default()
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_complete_and_names_lead_back() {
        for table in [MapType::TABLE, ProgType::TABLE, AttachType::TABLE, Helper::TABLE] {
            for (at, (number, ..)) in table.iter().enumerate() {
                assert_eq!(at, usize::try_from(*number).unwrap());
            }
        }
        assert!(MapType::names().all(|name| MapType::from_name(name).unwrap().name() == Some(name)));
    }

    #[test]
    fn an_unknown_number_is_printed_as_a_number() {
        assert_eq!(alloc::format!("{}", MapType(4711)), "map type 4711");
        assert_eq!(alloc::format!("{}", AttachType::XDP), "xdp");
    }

    #[test]
    fn kernel_names_are_cut_and_cleaned() {
        assert_eq!(KernelName::of("a_very_long_program_name").as_str(), "a_very_long_pro");
        assert_eq!(KernelName::of("tail-kern.rodata").as_str(), "tail_kern.rodat");
        assert_eq!(KernelName::of("\u{e4}\u{20ac}.\0x").as_str(), "__._x");
        assert_eq!(KernelName::of("tail.rodata").without_dots().as_str(), "tail_rodata");
    }
}
