//! Messages about values: what is a pointer and what is not, what may be computed with them, what has to be returned.

use super::row;
use crate::verifier::messages::Cause;

/// Functions that may move what is in a packet. Source: `bpf_helper_changes_pkt_data`, Linux.
const MOVE_PACKETS: &[&str] = &[
    "_adjust_",
    "skb_change_",
    "skb_pull_data",
    "skb_store_bytes",
    "skb_vlan_",
    "_csum_replace",
    "clone_redirect",
    "msg_pull_data",
    "msg_push_data",
    "msg_pop_data",
    "lwt_push_encap",
    "lwt_seg6_",
    "store_hdr_opt",
    "tail_call",
];

/// Functions that give something back.
const GIVE_BACK: &[&str] = &[
    "submit",
    "discard",
    "release",
    "_drop",
    "_put",
    "_destroy",
    "kptr_xchg",
    "_unlock",
    "push_front",
    "push_back",
    "rbtree_add",
];

#[rustfmt::skip]
pub(super) const CAUSES: &[Cause] = &[
    row(
        "map-value-null",
        &["R{reg} invalid mem access 'map_value_or_null'"],
        "bpf_map_lookup_elem() returns NULL if the key is not there, and R{reg} was not compared with it",
        "check the pointer before it is used: `if (!value) return`, also for keys that are always there",
    ),
    row(
        "pointer-null",
        &["R{reg} invalid mem access '{type}_or_null'", "R{reg} invalid mem access '{type}_or_null_"],
        "R{reg} ({type}) may be NULL, and was not compared with it",
        "check the pointer before it is used: `if (!pointer) return`",
    ),
    row(
        "packet-stale",
        &["R{reg} invalid mem access 'scalar'", "R{reg} invalid mem access 'inv'", "R{reg} !read_ok"],
        "R{reg} pointed into the packet, and a call since then may have moved the packet",
        "after such a call, take data and data_end from the context again, and check again",
    )
    .was(&["pkt"])
    .ended_by(MOVE_PACKETS),
    row(
        "used-after-release",
        &["R{reg} invalid mem access 'scalar'", "R{reg} invalid mem access 'inv'", "R{reg} !read_ok"],
        "R{reg} pointed to something that the program has given back since then",
        "use it before it is submitted, discarded or released",
    )
    .was(&["ringbuf_mem", "sock", "tcp_sock", "xdp_sock", "ptr_", "mem", "alloc_mem", "dynptr", "trusted_ptr_", "rcu_ptr_"])
    .ended_by(GIVE_BACK),
    row(
        "pointer-none",
        &["R{reg} invalid mem access 'scalar'", "R{reg} invalid mem access 'inv'"],
        "R{reg} is a number to the verifier, and the program accesses memory through it",
        "read kernel memory with bpf_probe_read_kernel() or BPF_CORE_READ(), user memory with bpf_probe_read_user(); a pointer that was computed with other than + and -, or invalidated by a call, has to be taken anew",
    ),
    row(
        "pointer-end",
        &["R{reg} invalid mem access 'pkt_end'"],
        "R{reg} is data_end, which is there to compare with only",
        "access the packet through a pointer that starts from data",
    ),
    row(
        "pointer-map",
        &["R{reg} invalid mem access 'map_ptr'"],
        "R{reg} is the map itself, not a value in it",
        "look the value up with bpf_map_lookup_elem()",
    ),
    row(
        "memory-kind",
        &["R{reg} invalid mem access '{type}'"],
        "memory of type {type} cannot be accessed directly",
        "use the helpers that are for it, or bpf_probe_read_kernel()",
    ),
    row(
        "return-unset",
        &["R0 !read_ok"],
        "R0 is read before anything was put there: a function ends without a return value, or uses the result of one that has none",
        "return a value on every path",
    ),
    row(
        "register-unset",
        &["R{reg} !read_ok", "R{reg} is invalid"],
        "R{reg} is read before anything was put there on this path, or after a call took away what it held",
        "set the variable on every path; in a call, pass as many arguments as the function has",
    ),
    row(
        "return-range",
        &[
            "At program exit the register R0 has {value} should have been in {range}", "At async callback return the register R0 has {value} should have been in {range}",
            "At callback return the register R0 has {value} should have been in {range}", "At subprogram exit the register R0 has {value} should have been in {range}",
            "At program exit the register R1 has {value} should have been in {range}",
        ],
        "the program may return {value}, and only {range} is allowed: the kernel would misread other values",
        "return only values that this type of program has; check or mask what is returned if it is computed",
    ),
    row(
        "return-unknown",
        &[
            "At program exit the register R0 is not a known value", "At async callback return the register R0 is not a known value", "At callback return the register R0 is not a known value",
            "At subprogram exit the register R0 is not a scalar value", "R0 not a scalar value", "cannot return stack pointer to the caller",
            "In async callback the register R0 is not a known value",
        ],
        "what is returned is no number that the verifier knows",
        "return a number, in the range that this type of program has",
    ),
    row(
        "pointer-leak",
        &[
            "R{reg} leaks addr into {where}", "R{reg} leaks addr as return {where}", "leaking pointer from stack off {where}", "R{reg} partial copy of pointer",
            "R{reg} pointer comparison prohibited", "R{reg} sign-extension part of pointer",
        ],
        "an address of the kernel would become visible, which needs CAP_PERFMON",
        "store, return and compare numbers, not pointers, or load the program with CAP_PERFMON",
    ),
    row(
        "pointer-null-arithmetic",
        &["R{reg} pointer arithmetic on {type} prohibited, null-check it first", "R{reg} pointer arithmetic on {type}_or_null prohibited"],
        "R{reg} may be NULL, and the program computes with it",
        "compare it with NULL before anything is added",
    ),
    row(
        "pointer-fixed",
        &["R{reg} pointer arithmetic on {type} prohibited"],
        "nothing may be added to a pointer of type {type}",
        "use it as it is; what is to be read stands at constant offsets of other pointers",
    ),
    row(
        "pointer-arithmetic",
        &[
            "R{reg} bitwise operator {op} on pointer prohibited", "R{reg} pointer arithmetic with {op} operator prohibited", "R{reg} pointer {op} pointer prohibited",
            "R{reg} 32-bit pointer arithmetic prohibited{op}", "R{reg} tried to subtract pointer from scalar{op}", "R{reg} subtraction from stack pointer prohibited{op}", "R{reg} pointer arithmetic prohibited{op}",
        ],
        "only numbers may be added to and subtracted from pointers, in 64 bits; every other operation would lose what R{reg} points to",
        "compute with numbers, such as offsets, and add the result to the pointer",
    ),
    row(
        "pointer-offset",
        &["math between {type} pointer and register with unbounded min value is not allowed"],
        "a number that may be anything is added to a pointer of type {type}",
        "check the number before, against a constant, as unsigned",
    ),
    row(
        "pointer-offset-constant",
        &["math between {type} pointer and {value} is not allowed", "{type} pointer offset {value} is not allowed", "value {value} makes {type} pointer be out of bounds"],
        "the {type} pointer would be moved by {value}, which is farther than any memory reaches",
        "keep offsets small; a mask or a 32-bit computation on a pointer shows up as a huge number",
    ),
    row(
        "pointer-speculation",
        &["R{reg} has unknown scalar with mixed signed bounds", "R{reg} has pointer with unsupported alu operation", "R{reg} tried to {} from different maps", "R{reg} tried to {} beyond pointer bounds", "R{reg} could not be pushed for speculative verification", "R{reg} pointer arithmetic of map value goes out of range"],
        "without CAP_PERFMON the kernel guards pointers against speculation, and cannot for what is computed here",
        "load the program with CAP_PERFMON, or use an unsigned index with a constant limit",
    ),
];
