//! Messages about the shape of the code: jumps, loops, what no path leads to, and how much of it there is.

use super::row;
use crate::verifier::messages::Cause;

#[rustfmt::skip]
pub(super) const CAUSES: &[Cause] = &[
    row(
        "loop-endless",
        &["infinite loop detected at insn {insn}"],
        "the loop comes back to this instruction with nothing changed that the verifier knows of, so it would never end",
        "give the loop a counter with a constant limit, or use bpf_loop(), bpf_for() or a timer to wait for something",
    ),
    row(
        "loop-back-edge",
        &["back-edge from insn {insn} to {}"],
        "the code leads back to where it was: a function calls itself, or there is a loop and this kernel is older than 5.3 or the caller has no CAP_BPF",
        "replace recursion by a loop, and loops by `#pragma unroll` or bpf_loop(), or load the program with CAP_BPF",
    ),
    row(
        "too-many-insns",
        &["BPF program is too large. Processed {count} insn"],
        "the verifier gave up after it had looked at {count} instructions: it follows every path, and every turn of a loop",
        "make loops shorter or use bpf_loop(), put what is repeated into global functions, which are looked at once, or split the program with tail calls",
    ),
    row(
        "too-many-jumps",
        &["The sequence of {count} jumps is too complex"],
        "{count} branches wait to be looked at, which is as many as the verifier keeps in mind",
        "use fewer conditions one behind the other, or put parts of the program into global functions or tail calls",
    ),
    row(
        "code-dead",
        &["unreachable insn {insn}"],
        "no path leads to this instruction, and dead code is not allowed",
        "remove the code behind the last exit or jump, or the jump around it; a compiler does so by itself at -O2",
    ),
    row(
        "code-runs-out",
        &["last insn is not an exit or jmp"],
        "the end of a function is reached without a return",
        "return a value on every path, and look for code behind a function that the compiler knows not to return",
    )
    .of_program(),
    row(
        "jump-out-of-function",
        &["jump out of range from insn {insn} to {}", "jump into the middle of ldimm64 insn {insn}"],
        "the jump leads to no instruction of this function",
        "jump within a function only; if a compiler wrote this, the object is damaged",
    ),
    row(
        "insn-invalid",
        &[
            "unknown opcode {}", "invalid BPF_LD_IMM insn", "invalid bpf_ld_imm64 insn", "unrecognized bpf_ld_imm64 insn",
            "invalid BPF_ALU opcode {}", "invalid BPF_JMP opcode {}", "invalid BPF_JMP/JMP32 opcode {}",
            "unknown insn class {}", "invalid BPF_LD mode", "BPF_ALU uses reserved fields", "BPF_MOV uses reserved fields",
            "BPF_NEG uses reserved fields", "BPF_END uses reserved fields", "BPF_JMP uses reserved fields",
            "BPF_JMP/JMP32 uses reserved fields", "BPF_CALL uses reserved fields", "BPF_JA uses reserved fields",
            "BPF_EXIT uses reserved fields", "BPF_LDX uses reserved fields", "BPF_STX uses reserved fields",
            "BPF_ST uses reserved fields", "BPF_LD_IMM64 uses reserved fields", "BPF_ATOMIC uses invalid atomic opcode {}",
            "BPF_XADD uses reserved fields",
        ],
        "this kernel does not know the instruction",
        "build for an older instruction set, such as clang -mcpu=v3 or -mcpu=v2, or use a newer kernel",
    ),
    row(
        "divide-by-zero",
        &["div by zero"],
        "the instruction divides by the constant 0",
        "divide by something else",
    ),
    row(
        "shift-invalid",
        &["invalid shift {}"],
        "the instruction shifts by more bits than the register has",
        "shift by less than 64 bits, or by less than 32 where a 32-bit register is meant",
    ),
    row(
        "stack-deep",
        &["combined stack size of {calls} calls is {bytes}. Too large"],
        "{calls} functions that call each other need {bytes} bytes of stack together, and 512 are all that there are",
        "make local arrays smaller, or keep them in a per-CPU array map",
    )
    .of_stack(),
    row(
        "stack-deep-function",
        &["stack size of subprog {} is {bytes}. Too large"],
        "a function needs {bytes} bytes of stack, and 512 are all that there are",
        "make local arrays smaller, or keep them in a per-CPU array map",
    )
    .of_stack(),
    row(
        "stack-deep-tail-call",
        &["tail_calls are not allowed when call stack of previous frames is {bytes} bytes"],
        "the functions above this tail call use {bytes} bytes of stack, and at most 256 are allowed there",
        "make the tail call in the program itself, or use less stack in the functions on the way to it",
    )
    .of_stack(),
    row(
        "calls-deep",
        &["the call stack of {frames} frames is too deep"],
        "{frames} functions call each other, and 8 are the most: the program calls too deep, or a function calls itself",
        "replace recursion by a loop, or let the compiler inline small functions",
    ),
    row(
        "functions-many",
        &["too many subprograms"],
        "the program has more than 256 functions",
        "inline small functions with `static __always_inline`, or split the program with tail calls",
    )
    .of_program(),
    row(
        "call-nowhere",
        &["call to invalid destination"],
        "the call leads to no function of the program",
        "link the object that defines the function; a call to a function that is only declared leads nowhere",
    ),
    row(
        "unprivileged-calls",
        &[
            "function calls to other bpf functions are allowed for CAP_BPF and CAP_SYS_ADMIN",
            "function calls to other bpf functions are allowed for root only",
            "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN",
        ],
        "calls of functions need CAP_BPF",
        "load the program as root or with CAP_BPF, or inline its functions",
    )
    .of_program(),
    row(
        "same-insn-types",
        &["same insn cannot be used with different pointers"],
        "one instruction would access different kinds of memory on different paths, and the kernel has to translate it for one of them",
        "access memory before the paths meet, or put `barrier_var()` between the branches so that the compiler does not merge them",
    ),
    row(
        "infos-wrong",
        &[
            "number of funcs in func_info doesn't match number of subprogs", "func_info BTF section doesn't match subprog layout",
            "Invalid line_info[{}].insn_off", "Invalid insn code at line_info[{}]", "Invalid line_info[{}].line_off",
            "missing bpf_line_info for func#{}", "missing bpf_line_info for {} funcs", "nonzero tailing record in {}",
            "invalid func info rec size {}", "invalid type id {} in func info", "same or smaller insn offset ({}) than previous func info",
            "nonzero insn_off {} for the first func info record", "Invalid core_relo[{}]",
        ],
        "the records of function types and source lines (.BTF.ext) do not fit the code",
        "build the object anew, and let nothing change its code afterwards; without .BTF.ext the kernel does not look at them",
    )
    .of_program(),
];
