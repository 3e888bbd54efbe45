//! Messages about what a program takes and has to give back: references, locks, read sides, preemption.

use super::row;
use crate::verifier::messages::Cause;

#[rustfmt::skip]
pub(super) const CAUSES: &[Cause] = &[
    row(
        "reference-leak",
        &["Unreleased reference id={id} alloc_insn={taken}"],
        "a path ends, or calls another program, with reference {id} that was taken at instruction {taken} and not given back",
        "release it on every path: submit or discard a ring buffer's record, bpf_sk_release() a socket, and so on",
    ),
    row(
        "tail-call-reference",
        &["tail_call would lead to reference leak"],
        "a tail call does not return, and the program still holds a reference",
        "release it before the tail call",
    ),
    row(
        "lock-held",
        &[
            "bpf_spin_unlock is missing", "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region",
            "BPF_EXIT instruction cannot be used inside bpf_spin_lock-ed region", "bpf_throw cannot be used inside bpf_spin_lock-ed region",
        ],
        "the program ends with a spin lock held",
        "call bpf_spin_unlock() on every path before the return",
    ),
    row(
        "lock-held-call",
        &["function calls are not allowed while holding a lock", "global function calls are not allowed while holding a lock"],
        "a function is called with a spin lock held",
        "call it before the lock or after the unlock, or inline it with `static __always_inline`",
    ),
    row(
        "lock-held-tail-call",
        &[
            "tail_call cannot be used inside bpf_spin_lock-ed region", "BPF_LD_[ABS|IND] cannot be used inside bpf_spin_lock-ed region",
            "tail_call cannot be used inside bpf_rcu_read_lock-ed region", "tail_call cannot be used inside bpf_preempt_disable-ed region",
            "BPF_LD_[ABS|IND] cannot be used inside bpf_rcu_read_lock-ed region", "BPF_LD_[ABS|IND] cannot be used inside bpf_preempt_disable-ed region",
            "tail_call cannot be used inside bpf_local_irq_save-ed region",
        ],
        "the instruction may leave the program, and a lock is held or a region is open",
        "leave the region before it",
    ),
    row(
        "lock-twice",
        &["Locking two bpf_spin_locks are not allowed"],
        "a second spin lock is taken, and only one may be held",
        "unlock the first one before",
    ),
    row(
        "lock-not-held",
        &["bpf_spin_unlock without taking a lock", "bpf_spin_unlock of different lock", "{}unlock of different lock", "bpf_spin_lock at off={} must be held for {}"],
        "this needs a spin lock that is not held here",
        "lock and unlock the lock of the same map value or object, on every path",
    ),
    row(
        "lock-type",
        &[
            "map '{map}' has to have BTF in order to use bpf_spin_lock", "map '{map}' has no valid bpf_spin_lock",
            "map '{map}' has to have BTF in order to use bpf_timer", "map '{map}' has no valid bpf_timer",
            "map '{map}' has to have BTF in order to use bpf_kptr_xchg", "map '{map}' has to have BTF in order to use {}",
        ],
        "the type of map {map}'s values does not say that such a field is in them",
        "define the map in SEC(\".maps\") with __type(value, struct ...), and keep the object's BTF",
    ),
    row(
        "rcu-unbalanced",
        &[
            "bpf_throw cannot be used inside bpf_rcu_read_lock-ed region", "nested rcu read lock", "unmatched rcu read unlock", "bpf_rcu_read_unlock is missing",
            "BPF_EXIT instruction in main prog cannot be used inside bpf_rcu_read_lock-ed region",
        ],
        "bpf_rcu_read_lock() and bpf_rcu_read_unlock() are not paired on this path",
        "pair them on every path, and do not nest them",
    ),
    row(
        "preempt-unbalanced",
        &[
            "bpf_throw cannot be used inside bpf_preempt_disable-ed region", "{} bpf_preempt_enable is missing", "{} bpf_preempt_enable(s) are missing", "unmatched attempt to enable preemption",
            "BPF_EXIT instruction in main prog cannot be used inside bpf_preempt_disable-ed region",
            "BPF_EXIT instruction in main prog cannot be used inside bpf_local_irq_save-ed region",
        ],
        "preemption or interrupts are not given back on this path as they were taken",
        "pair the calls on every path",
    ),
    row(
        "sleeps-in-atomic",
        &[
            "sleepable helper {call} in rcu_read_lock region", "sleepable helper {call} in non-preemptible region",
            "kernel func {call} is sleepable within rcu_read_lock region", "kernel func {call} is sleepable within non-preemptible region",
            "kernel func {call} is sleepable within IRQ-disabled region", "sleepable helper {call} in IRQ-disabled region",
        ],
        "{call} may sleep, and nothing may sleep here",
        "call it outside of the region",
    ),
    row(
        "release-unowned",
        &[
            "func {} reference has not been acquired before", "kfunc {} reference has not been acquired before",
            "R{reg} must be referenced when passed to release function", "arg {} is an unacquired reference",
            "release kernel function {} expects refcounted PTR_TO_BTF_ID", "cannot release unowned const bpf_dynptr",
        ],
        "the call gives back something that the program does not own",
        "pass the pointer that the acquiring call returned, once, and unchanged",
    ),
    row(
        "release-moved",
        &["R{reg} must have zero offset when passed to release func"],
        "R{reg} no longer points to the start of what is to be given back",
        "keep the pointer that the acquiring call returned, and move a copy",
    ),
    row(
        "map-type-in-tracing",
        &[
            "tracing progs cannot use bpf_spin_lock yet", "tracing progs cannot use bpf_timer yet", "tracing progs cannot use bpf_wq yet",
            "tracing progs cannot use bpf_{list_head,rb_root} yet", "socket filter progs cannot use bpf_spin_lock yet",
        ],
        "programs of this type may not use a map whose values have such a field",
        "leave the lock or timer out of the values of maps that this program uses",
    )
    .of_program(),
];
