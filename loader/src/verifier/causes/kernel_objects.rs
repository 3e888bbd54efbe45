//! Messages about the kernel's own objects: pointers to its structures, kptrs, dynptrs, iterators, graphs.

use super::row;
use crate::verifier::messages::Cause;

#[rustfmt::skip]
pub(super) const CAUSES: &[Cause] = &[
    row(
        "struct-access",
        &["access beyond struct {struct} at off {off} size {size}", "access beyond the end of member {struct} (mend:{}) in struct {} with off {off} size {size}"],
        "{size} bytes at offset {off} lie behind the end of {struct}",
        "access fields by name, with types that fit this kernel: CO-RE moves them (`__attribute__((preserve_access_index))`)",
    ),
    row(
        "struct-readonly",
        &["only read is supported", "only read from {} is supported", "no write support to {} at off {}"],
        "the kernel's structures may only be read in this way",
        "write to your own memory, or through the helper that is for it",
    ),
    row(
        "struct-offset",
        &["R{reg} is ptr_{struct} invalid negative access: off={off}", "R{reg} is ptr_{struct} invalid variable offset: off={off}", "R{reg} is ptr_{struct} access user memory: off={off}", "R{reg} is ptr_{struct} access percpu memory: off={off}"],
        "the access does not go to a field of the kernel's struct {struct}",
        "access fields by name; user memory is read with bpf_probe_read_user(), per-CPU memory with bpf_per_cpu_ptr()",
    ),
    row(
        "struct-privilege",
        &["'struct {struct}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", "Cannot access kernel 'struct {struct}' from non-GPL compatible program"],
        "reading the kernel's struct {struct} needs CAP_PERFMON and a program under the GPL",
        "load it as root or with CAP_PERFMON, under a licence that is compatible with the GPL",
    ),
    row(
        "pointer-untrusted",
        &["R{reg} must be referenced or trusted", "R{reg} must be a rcu pointer"],
        "R{reg} may point to something that the kernel has freed meanwhile, and the call wants a pointer that cannot",
        "take a reference with the acquiring kfunc, hold bpf_rcu_read_lock(), or use the pointer that the hook gives",
    ),
    row(
        "kptr-access",
        &[
            "kptr cannot be accessed indirectly by helper", "kptr access cannot have variable offset", "kptr access misaligned expected={}", "kptr access size must be BPF_DW",
            "store to referenced kptr disallowed", "kptr in map can only be accessed using {}", "invalid kptr access, R{}", "BPF_ST imm must be 0 when storing to kptr at off={}",
            "off={} doesn't point to kptr", "off={} kptr isn't referenced kptr", "R{} has no valid kptr", "R{} doesn't have constant offset. kptr has to be at the constant offset",
        ],
        "the field of the map value holds a pointer of the kernel (kptr), and is accessed in a way that could break it",
        "read it whole, and change it with bpf_kptr_xchg()",
    ),
    row(
        "field-access",
        &["{field} cannot be accessed directly by load/store", "direct access to {field} is disallowed"],
        "the field {field} is the kernel's own, and programs may not read or write it directly",
        "use the helpers that are for it, and copy values around it",
    ),
    row(
        "field-place",
        &["off {off} doesn't point to 'struct {field}' that is at {}", "R{} doesn't have constant offset. {field} has to be at the constant offset", "{field} not found at offset={off}"],
        "the pointer that is passed does not point to the value's {field}",
        "pass the address of that very field: `&value->lock`",
    ),
    row(
        "dynptr-uninitialised",
        &["Expected an initialized dynptr as arg #{arg}", "Expected an initialized dynptr as R{arg}"],
        "argument {arg} is a dynptr that was not made, or is no longer valid",
        "make it with bpf_dynptr_from_mem(), bpf_ringbuf_reserve_dynptr() or the like before, and use it no more after its release",
    ),
    row(
        "dynptr-used",
        &["Dynptr has to be an uninitialized dynptr", "cannot overwrite referenced dynptr", "potential write to dynptr at off={} disallowed", "cannot pass pointer to const bpf_dynptr, the helper mutates it", "arg#{} expected pointer to stack or const struct bpf_dynptr", "arg#{} expected pointer to stack or dynptr_ptr", "Expected a dynptr of type {} as arg #{}", "cannot pass in dynptr at an offset={}"],
        "a dynptr is used in a way that would break it",
        "keep it in a variable of its own on the stack, release it before it is made again, and touch it only through its helpers",
    ),
    row(
        "dynptr-memory",
        &["Unsupported reg type {type} for bpf_dynptr_from_mem data"],
        "a dynptr cannot be made of memory of type {type}",
        "make it of a map value, or of memory that the kernel gave",
    ),
    row(
        "object-new",
        &["local type ID argument must be in range [0, U32_MAX]", "bpf_obj_new/bpf_percpu_obj_new {}", "bpf_percpu_obj_new type {}", "kfunc bpf_rdonly_cast type ID argument must be of a struct", "arg#{} expected for bpf_obj_drop_impl()", "arg#{} expected for bpf_percpu_obj_drop_impl()"],
        "objects are made of structures of the program's own types only",
        "give it a struct that the program defines: `bpf_obj_new(typeof(*node))`",
    ),
    row(
        "iterator-state",
        &["expected an initialized iter_{iter} as arg #{}", "expected uninitialized iter_{iter} as arg #{}", "expected valid {iter} as arg #{}"],
        "the iterator {iter} is not in the state that the call wants",
        "make it with its _new(), ask its _next() until it gives NULL, and end it with its _destroy() on every path",
    ),
    row(
        "rcu-needed",
        &["expected an RCU CS when using {call}"],
        "{call} needs the read side of RCU, and this program may sleep",
        "call bpf_rcu_read_lock() before and bpf_rcu_read_unlock() after it",
    ),
    row(
        "graph-node",
        &[
            "rbtree_remove node input must be non-owning ref", "rbtree_remove not allowed in rbtree cb", "bpf_rbtree_remove not allowed in rbtree cb", "bpf_rbtree_remove can only take non-owning or refcounted {} pointer",
            "can't spin_{lock,unlock} in rbtree cb", "arg#1 offset={}, but expected {} at offset={}", "arg#{} expected pointer to allocated object", "allocated object must be referenced",
            "held lock and object are not in the same allocation", "operation on {} expects arg#1 {}", "arg#{} expected pointer to map value or allocated object",
            "arg#{} is neither owning or non-owning ref", "arg#{} doesn't point to a type with bpf_refcount field",
        ],
        "what is passed to a list or tree operation is no node or head that the program may use so",
        "allocate nodes with bpf_obj_new(), hold the lock beside the head, and use a node no more after it was added",
    ),
    row(
        "kfunc-argument",
        &[
            "arg#{} pointer type {} must point to", "kernel function {} args#{} expected pointer to {}", "arg#{} memory, len pair leads to invalid memory access", "arg#{} arg#{} memory, len pair leads to invalid memory access",
            "arg#{} expected pointer to ctx, but got {}", "pointer in R{} isn't map pointer", "R{} is not a scalar", "Unrecognized arg#{} type {}", "R{} is of type {} but {} is expected",
            "arg#{} is {} expected {} or socket",
        ],
        "an argument of the kernel function is not of the type that its prototype says",
        "pass what its declaration in this kernel asks for",
    ),
    row(
        "timer-map",
        &["timer pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}", "workqueue pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}", "bpf_timer cannot be used for PREEMPT_RT"],
        "the timer does not stand in the map that is passed with it",
        "pass the map in whose value the timer stands",
    ),
    row(
        "map-pointer",
        &["map_ptr access not supported for map type {}", "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF", "R{} is {} invalid negative access: off={}", "no direct value access support for this map type", "invalid access to map value pointer, value_size={} off={}", "direct value offset of {} is not allowed"],
        "the map itself is accessed in a way that its type does not allow",
        "use bpf_map_lookup_elem() and its kin",
    ),
];
