//! Messages about calls: which functions a program may call, and with what.

use super::row;
use crate::verifier::messages::Cause;

#[rustfmt::skip]
pub(super) const CAUSES: &[Cause] = &[
    row(
        "helper-not-allowed",
        &["program of this type cannot use helper {helper}", "unknown func {helper}", "func {helper} not supported for program type {}", "func {helper} supported only for {}"],
        "programs of this type may not call {helper}, or this kernel does not let them yet",
        "use what this type has for it, or give the program another type; with less than CAP_PERFMON some helpers are missing too",
    ),
    row(
        "helper-unknown",
        &["invalid func {helper}"],
        "this kernel has no helper {helper}",
        "use a newer kernel, or ask for the helper with bpf_core_enum_value_exists() and do without it",
    ),
    row(
        "helper-licence",
        &["cannot call GPL-restricted function from non-GPL compatible program", "cannot call GPL only function from proprietary program", "cannot call kernel function from non-GPL compatible program"],
        "this function is for programs under the GPL only, and the object's licence is another one",
        "license the program as \"GPL\" or \"Dual MIT/GPL\" if you may, or do without the function",
    ),
    row(
        "helper-sleeps",
        &["helper call might sleep in a non-sleepable prog", "program must be sleepable to call sleepable kfunc {}"],
        "the function may sleep, and this program may not",
        "make the program sleepable, such as SEC(\"fentry.s/...\") or SEC(\"lsm.s/...\"), where its type can be",
    ),
    row(
        "helper-in-probe",
        &["helper call is not allowed in probe"],
        "the probed function is one in which this helper would wait for itself",
        "attach elsewhere, or do without the helper",
    ),
    row(
        "kfunc-not-allowed",
        &["calling kernel function {kfunc} is not allowed"],
        "programs of this type may not call the kernel function {kfunc}",
        "give the program a type that may, or use a helper instead",
    ),
    row(
        "kfunc-no-kernel",
        &[
            "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF", "JIT is required for calling kernel function",
            "JIT does not support calling kernel function", "calling kernel functions are not allowed in non-JITed programs",
            "callbacks are not allowed in non-JITed programs", "JIT doesn't support bpf-to-bpf calls",
            "tail_calls are not allowed in non-JITed programs with bpf-to-bpf calls", "JIT does not support calling kfunc {}",
        ],
        "this kernel cannot do such calls as it is built or set up",
        "turn the JIT on with `sysctl net.core.bpf_jit_enable=1`; kernel functions need CONFIG_DEBUG_INFO_BTF besides",
    ),
    row(
        "map-wrong-for-helper",
        &["cannot pass map_type {} into func {helper}"],
        "{helper} does not work on maps of this type",
        "use a map of a type that the helper is for, or the helper for this type",
    ),
    row(
        "argument-null",
        &[
            "R{reg} type={got}_or_null expected={want}", "Possibly NULL pointer passed to helper arg{}", "Possibly NULL pointer passed to trusted arg{}",
            "NULL pointer passed to trusted arg{}",
        ],
        "the pointer that is passed may be null",
        "compare it with NULL before, and return if it is",
    ),
    row(
        "argument-type",
        &["R{reg} type={got} expected={want}"],
        "R{reg} is of type {got}, and the call wants one of: {want}",
        "pass what the function wants in this place: the address of a variable where it wants memory, not its value",
    ),
    row(
        "argument-range-low",
        &["R{reg} min value is negative, either use unsigned or 'var &= const'"],
        "the size in R{reg} may be negative",
        "make the variable unsigned, or check that it is not below 0",
    ),
    row(
        "argument-range-high",
        &["R{reg} unbounded memory access, use 'var &= const' or 'if (var < const)'"],
        "the size in R{reg} has no upper limit that the verifier knows",
        "compare it with a constant before the call, or mask it: `size &= 63`",
    ),
    row(
        "argument-size-zero",
        &["R{reg} invalid zero-sized read", "invalid zero-sized read", "invalid zero-sized indirect access to stack"],
        "the size may be 0, and the call wants at least one byte",
        "check that the size is not 0 before the call",
    ),
    row(
        "argument-constant",
        &["R{reg} must be a known constant", "R{reg} is not a known constant", "R{reg} is not a const", "R{reg} is not a constant address"],
        "R{reg} has to be a constant here",
        "pass a number that is known when the program is compiled, not a variable",
    ),
    row(
        "argument-string",
        &["R{reg} does not point to a readonly map", "string is not zero-terminated", "arg#{} doesn't point to a const string", "Invalid format string"],
        "the call wants a constant string with a zero at its end",
        "use a string literal or a `static const char[]`, which lie in .rodata",
    ),
    row(
        "argument-packet",
        &["helper access to the packet is not allowed"],
        "this helper takes no pointer into the packet",
        "copy the bytes to the stack, and pass their address",
    ),
    row(
        "function-argument",
        &["Caller passes invalid args into func#{func}"],
        "what is passed to function {func} of the program is not what its prototype says",
        "pass values of the types that the function declares, checked for NULL; a pointer argument may be tagged with __arg_ctx, __arg_nonnull and the like",
    ),
    row(
        "function-argument-memory",
        &["arg#{arg} reference type('{type}') size cannot be determined", "arg#{arg} reference type({type}) size cannot be determined"],
        "argument {arg} of a global function points to {type}, whose size is unknown",
        "point to a complete type, or make the function static",
    ),
    row(
        "function-prototype",
        &[
            "Global function {function}() doesn't return scalar", "Global function {function}() with {} args", "Arg#{} type {} in {function}() is not supported yet",
            "Arg#{} type {} in {function} is not supported", "{function}() is not a global function",
        ],
        "a global function has an argument or a return value of a type that cannot be checked by itself",
        "return an integer and take at most five integers or pointers, or make the function static",
    )
    .of_program(),
    row(
        "callback-invalid",
        &["callback function not static", "callback function cannot be the main program", "missing btf func_info", "callback function not allowed for map", "arg{} expected pointer to func", "kfunc {} failed callback verification"],
        "what is passed as callback is no static function of the program",
        "pass a static function with the prototype that the call wants, and keep the object's BTF",
    ),
    row(
        "tail-call-map",
        &["tail_call abusing map_ptr"],
        "one tail call may get different tables on different paths",
        "make one tail call for each table",
    ),
    row(
        "helper-writes",
        &["{helper}() may write into memory pointed by R{reg} type={type}"],
        "{helper}() writes to what it is given, and memory of type {type} may only be read",
        "pass memory of your own: a variable on the stack, or a map value",
    ),
    row(
        "helper-flags",
        &["get_local_storage() doesn't support non-zero flags"],
        "the helper takes no flags",
        "pass 0",
    ),
    row(
        "device-bound",
        &["metadata kfuncs require device-bound program", "program is bound to device {}"],
        "the function reads what a device says of a packet, and the program is not bound to a device",
        "load the program for one device (BPF_F_XDP_DEV_BOUND_ONLY), or do without the function",
    ),
    row(
        "socket-update",
        &["cannot update sockmap in this context"],
        "programs of this type may not change maps of sockets",
        "change them from user space, or in a program of type sk_skb, sockops or the like",
    ),
    row(
        "packet-load",
        &[
            "BPF_LD_[ABS|IND] instructions not allowed for this program type", "at the time of BPF_LD_ABS|IND R6 != pointer to skb",
            "BPF_LD_[ABS|IND] cannot be mixed with socket references", "cannot use BPF_LD_[ABS|IND] within callback",
            "LD_ABS is not allowed in subprogs without BTF", "LD_ABS is only allowed in functions that return 'int'",
        ],
        "the old instructions that load from a packet are not allowed here",
        "read the packet through data and data_end, or with bpf_skb_load_bytes()",
    ),
    row(
        "tail-call-function",
        &["tail_call is not allowed in subprogs without BTF", "tail_call is only allowed in functions that return 'int'"],
        "a function that makes a tail call has to return int, and its type has to be known",
        "let the function return int and keep the object's BTF, or make the tail call in the program itself",
    ),
];
