//! Which helpers a program calls, and which types of programs may call them.
//!
//! The table names the helpers that tell types apart; what it leaves out, anyone may call. It need not be exact: it only
//! decides in which order types are tried.
//!
//! Source: `*_func_proto` of `net/core/filter.c`, `kernel/trace/bpf_trace.c`, `kernel/bpf/cgroup.c`, Linux 6.18.

use crate::link::LinkedProgram;
use crate::uapi::ProgType;

/// The helpers that a program calls, by number.
pub(super) fn called(program: &LinkedProgram) -> impl Iterator<Item = i32> + '_ {
    program.insns.iter().filter(|insn| insn.is_call() && insn.src == 0).map(|insn| insn.imm)
}

/// Whether programs of a type may call a helper.
pub(super) fn may_call(ty: ProgType, helper: i32) -> bool {
    let row = TABLE.iter().find(|(from, to, _)| (*from..=*to).contains(&helper));
    row.is_none_or(|(.., groups)| groups.iter().any(|group| group.contains(&ty)))
}

const XDP: &[ProgType] = &[ProgType::XDP];
const TC: &[ProgType] = &[ProgType::SCHED_CLS, ProgType::SCHED_ACT];
const LWT_XMIT: &[ProgType] = &[ProgType::LWT_XMIT];
const LWT: &[ProgType] = &[ProgType::LWT_IN, ProgType::LWT_OUT, ProgType::LWT_XMIT, ProgType::LWT_SEG6LOCAL];
const SEG6: &[ProgType] = &[ProgType::LWT_SEG6LOCAL];
const SK_SKB: &[ProgType] = &[ProgType::SK_SKB];
const SK_MSG: &[ProgType] = &[ProgType::SK_MSG];
const FILTERS: &[ProgType] = &[ProgType::SOCKET_FILTER, ProgType::CGROUP_SKB];
const DISSECTOR: &[ProgType] = &[ProgType::FLOW_DISSECTOR];
const SOCK_OPS: &[ProgType] = &[ProgType::SOCK_OPS];
const SOCK_ADDR: &[ProgType] = &[ProgType::CGROUP_SOCK_ADDR];
const SOCKOPT: &[ProgType] = &[ProgType::CGROUP_SOCKOPT];
const SYSCTL: &[ProgType] = &[ProgType::CGROUP_SYSCTL];
const CGROUP_SKB: &[ProgType] = &[ProgType::CGROUP_SKB];
const CGROUP: &[ProgType] = &[
    ProgType::CGROUP_SOCK,
    ProgType::CGROUP_SOCK_ADDR,
    ProgType::CGROUP_SOCKOPT,
    ProgType::CGROUP_SYSCTL,
    ProgType::CGROUP_DEVICE,
];
const REUSEPORT: &[ProgType] = &[ProgType::SK_REUSEPORT];
const LOOKUP: &[ProgType] = &[ProgType::SK_LOOKUP];
const LIRC: &[ProgType] = &[ProgType::LIRC_MODE2];
const KPROBE: &[ProgType] = &[ProgType::KPROBE];
const PERF: &[ProgType] = &[ProgType::PERF_EVENT];
const RAW: &[ProgType] = &[ProgType::RAW_TRACEPOINT, ProgType::RAW_TRACEPOINT_WRITABLE];
const TRACE: &[ProgType] =
    &[ProgType::KPROBE, ProgType::TRACEPOINT, ProgType::RAW_TRACEPOINT, ProgType::PERF_EVENT];

/// Helpers from one number to another, and who may call them.
#[rustfmt::skip]
const TABLE: &[(i32, i32, &[&[ProgType]])] = &[
    (4, 4, &[TRACE, RAW]),                              // probe_read
    (9, 9, &[TC, LWT_XMIT, SK_SKB]),                    // skb_store_bytes
    (10, 11, &[TC, LWT_XMIT]),                          // l3_csum_replace, l4_csum_replace
    (13, 13, &[TC, LWT_XMIT]),                          // clone_redirect
    (14, 16, &[TRACE, RAW, CGROUP]),                    // current pid, uid, comm
    (17, 17, &[TC, LWT]),                               // get_cgroup_classid
    (18, 19, &[TC]),                                    // skb_vlan_push, skb_vlan_pop
    (20, 21, &[TC, LWT_XMIT]),                          // tunnel keys
    (22, 22, &[TRACE, RAW]),                            // perf_event_read
    (23, 23, &[TC, XDP, LWT_XMIT]),                     // redirect
    (24, 24, &[TC, LWT]),                               // get_route_realm
    (26, 26, &[TC, FILTERS, LWT, SK_SKB, DISSECTOR, REUSEPORT]), // skb_load_bytes
    (27, 27, &[TRACE, RAW]),                            // get_stackid
    (28, 28, &[TC, XDP, LWT]),                          // csum_diff
    (29, 30, &[TC, LWT_XMIT]),                          // tunnel options
    (31, 32, &[TC]),                                    // skb_change_proto, skb_change_type
    (33, 33, &[TC, LWT]),                               // skb_under_cgroup
    (34, 34, &[TC, LWT]),                               // get_hash_recalc
    (35, 37, &[TRACE, RAW]),                            // current task, probe_write_user
    (38, 39, &[TC, LWT, SK_SKB]),                       // skb_change_tail, skb_pull_data
    (40, 41, &[TC, LWT_XMIT]),                          // csum_update, set_hash_invalid
    (43, 43, &[TC, LWT_XMIT, SK_SKB]),                  // skb_change_head
    (44, 44, &[XDP]),                                   // xdp_adjust_head
    (45, 45, &[TRACE, RAW]),                            // probe_read_str
    (46, 46, &[TC, FILTERS, SK_SKB, SOCK_OPS, CGROUP, REUSEPORT]), // get_socket_cookie
    (47, 47, &[TC, FILTERS, SK_SKB]),                   // get_socket_uid
    (48, 48, &[TC]),                                    // set_hash
    (49, 49, &[SOCK_OPS, SOCK_ADDR, SOCKOPT]),          // setsockopt
    (50, 50, &[TC, SK_SKB]),                            // skb_adjust_room
    (51, 51, &[XDP]),                                   // redirect_map
    (52, 52, &[SK_SKB]),                                // sk_redirect_map
    (53, 53, &[SOCK_OPS]),                              // sock_map_update
    (54, 54, &[XDP]),                                   // xdp_adjust_meta
    (55, 55, &[TRACE, RAW]),                            // perf_event_read_value
    (56, 56, &[PERF]),                                  // perf_prog_read_value
    (57, 57, &[SOCK_OPS, SOCK_ADDR, SOCKOPT]),          // getsockopt
    (58, 58, &[KPROBE]),                                // override_return
    (59, 59, &[SOCK_OPS]),                              // sock_ops_cb_flags_set
    (60, 63, &[SK_MSG]),                                // msg_redirect_map to msg_pull_data
    (64, 64, &[SOCK_ADDR]),                             // bind
    (65, 65, &[XDP]),                                   // xdp_adjust_tail
    (66, 66, &[TC]),                                    // skb_get_xfrm_state
    (67, 67, &[TRACE, RAW]),                            // get_stack
    (68, 68, &[TC, FILTERS, REUSEPORT]),                // skb_load_bytes_relative
    (69, 69, &[TC, XDP]),                               // fib_lookup
    (70, 70, &[SOCK_OPS]),                              // sock_hash_update
    (71, 71, &[SK_MSG]),                                // msg_redirect_hash
    (72, 72, &[SK_SKB]),                                // sk_redirect_hash
    (73, 73, &[LWT]),                                   // lwt_push_encap
    (74, 76, &[SEG6]),                                  // seg6 helpers
    (77, 78, &[LIRC]),                                  // rc_repeat, rc_keydown
    (79, 79, &[TC, CGROUP_SKB]),                        // skb_cgroup_id
    (80, 80, &[TRACE, RAW, CGROUP]),                    // get_current_cgroup_id
    (81, 81, &[CGROUP, CGROUP_SKB, SOCK_OPS]),          // get_local_storage
    (82, 82, &[REUSEPORT]),                             // sk_select_reuseport
    (83, 83, &[TC, CGROUP_SKB]),                        // skb_ancestor_cgroup_id
    (84, 86, &[TC, XDP, SK_SKB, CGROUP_SKB, SOCK_ADDR, LOOKUP]), // sk_lookup_tcp to sk_release
    (90, 91, &[SK_MSG]),                                // msg_push_data, msg_pop_data
    (92, 92, &[LIRC]),                                  // rc_pointer_rel
    (95, 98, &[TC, CGROUP_SKB, SOCK_OPS, SOCKOPT]),     // sk_fullsock to get_listener_sock
    (99, 100, &[TC, XDP, SOCK_ADDR]),                   // skc_lookup_tcp, tcp_check_syncookie
    (101, 106, &[SYSCTL]),                              // sysctl helpers, strtol
    (109, 109, &[TRACE, RAW]),                          // send_signal
    (110, 110, &[TC, XDP]),                             // tcp_gen_syncookie
    (112, 115, &[TRACE, RAW]),                          // probe_read_user to probe_read_kernel_str
    (117, 117, &[TRACE, RAW]),                          // send_signal_thread
    (119, 119, &[PERF]),                                // read_branch_records
    (124, 124, &[TC, LOOKUP]),                          // sk_assign
    (142, 144, &[SOCK_OPS]),                            // load_hdr_opt to reserve_hdr_opt
    (152, 152, &[TC]),                                  // redirect_neigh
    (155, 155, &[TC]),                                  // redirect_peer
    (173, 174, &[KPROBE, PERF]),                        // get_func_ip, get_attach_cookie
    (188, 189, &[XDP]),                                 // xdp_get_buff_len, xdp_load_bytes
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_order_and_do_not_overlap() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0, "{} and {}", pair[0].0, pair[1].0);
        }
    }

    #[test]
    fn what_the_table_leaves_out_anyone_may_call() {
        const MAP_LOOKUP: i32 = 1;
        assert!(may_call(ProgType::XDP, MAP_LOOKUP));
        assert!(may_call(ProgType::SCHED_CLS, 9) && !may_call(ProgType::XDP, 9));
    }
}
