//! Messages about what a program is and attaches to, before its first instruction is looked at.

use super::row;
use crate::verifier::messages::Cause;

#[rustfmt::skip]
pub(super) const CAUSES: &[Cause] = &[
    row(
        "attach-no-function",
        &["attach_btf_id {} is not a function", "attach_btf_id {} is invalid", "attach_btf_id {} is not a typedef", "Tracing program doesn't have a valid attach_btf_id", "attach_btf_id {} is not a supported struct", "Cannot find the target"],
        "what the program is to attach to is no function or hook of this kernel",
        "look for the name in the kernel's types (`bpftool btf dump file /sys/kernel/btf/vmlinux`), and mind that it may differ by version",
    )
    .of_program(),
    row(
        "attach-prototype",
        &["func '{function}' doesn't have {}-th argument", "func '{function}' arg{} has type {} and cannot be", "func '{function}' arg{} type {} is not a struct", "The function {function} has {} arguments"],
        "{function} has other arguments than the program reads",
        "take the arguments as this kernel declares them",
    ),
    row(
        "attach-not-allowed",
        &[
            "{function}() is not modifiable", "{function} is not sleepable", "{function} is not modifiable", "{function}() is not sleepable",
            "can't modify return codes of BPF programs", "Attaching fexit/fmod_ret to __noreturn functions is rejected", "points to disabled hook",
            "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value",
        ],
        "the kernel does not let programs of this kind attach there",
        "attach to a function that may be changed or may sleep, or use fentry instead",
    )
    .of_program(),
    row(
        "attach-recursive",
        &["Cannot recursively attach", "Cannot extend fentry/fexit", "Cannot replace kernel functions", "Cannot replace extension of another program", "Trying to attach to a program"],
        "a program may not attach to a program of this kind",
        "attach to the program that is at the end of the chain",
    )
    .of_program(),
    row(
        "sleepable-type",
        &["Only fentry/fexit/fmod_ret, lsm{}programs can be sleepable", "Only fentry/fexit/fmod_ret and lsm programs can be sleepable", "Syscall programs can only be sleepable", "Sleepable programs can only use {}"],
        "programs of this type, or with these maps, cannot be sleepable",
        "leave `.s` away in the section's name, or use other maps",
    )
    .of_program(),
    row(
        "struct-ops-target",
        &["struct ops programs must have a GPL compatible license", "attach to invalid member {}", "attach to unsupported member {}", "struct_ops module {} is not found"],
        "the table of functions that the program is for is not as the program takes it",
        "license it as \"GPL\", and implement members that this kernel's structure has",
    )
    .of_program(),
    row(
        "exception-callback",
        &["exception callback {}", "multiple exception callback tags for main subprog", "invalid exception callback insn_off in func_info", "exception cb only supports single integer argument", "bpf_throw kfunc (insn {}) cannot be called from callback subprog {}", "insn {} cannot call exception cb directly"],
        "what is to handle exceptions is not as it has to be",
        "name one global function with one integer argument as exception callback, and throw only outside of callbacks",
    )
    .of_program(),
    row(
        "map-in-program",
        &[
            "fd {} is not pointing to valid bpf_map", "bpf_struct_ops map cannot be used in prog", "only one cgroup storage of each type is allowed",
            "Only one arena per program", "The total number of maps per program has reached the limit of {}", "offload device mismatch between prog and map",
        ],
        "the program refers to a map that it cannot use",
        "refer to maps that exist and that this type of program may use, at most 64 of them",
    ),
    row(
        "kernel-symbol",
        &["ldimm64 failed to find the address for kernel symbol '{symbol}'", "ldimm64 unable to resolve the size of type '{symbol}'", "pseudo btf_id {} in ldimm64 isn't KIND_VAR or KIND_FUNC", "cannot find address for kernel function {symbol}", "kernel function btf_id {} does not have a valid func_proto", "kernel btf_id {} is not a function"],
        "the kernel's variable or function that the program refers to cannot be found there",
        "declare it __ksym __weak, and do without it where its address is 0",
    ),
];
