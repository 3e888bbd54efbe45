//! Messages about memory: packets, map values, the stack, the context.

use super::row;
use crate::verifier::messages::Cause;

#[rustfmt::skip]
pub(super) const CAUSES: &[Cause] = &[
    row(
        "packet-bounds",
        &["invalid access to packet, off={off} size={size}, R{reg}(id={},off={},r={known})"],
        "the program accesses the packet at offset {off}, size {size}, and no check on this path shows more than the first {known} bytes to be there",
        "compare before the access: `if (pointer + length > data_end) return`, with all bytes that are accessed in length",
    ),
    row(
        "map-value-bounds",
        &["invalid access to map value, value_size={size} off={off} size={bytes}"],
        "the program may access a map value of {size} bytes at offset {off}, size {bytes}, which is not all inside",
        "check the index before, `if (index < LENGTH)`, or mask it, `index &= LENGTH - 1`, on the very variable that is used",
    ),
    row(
        "map-key-bounds",
        &["invalid access to map key, key_size={size} off={off} size={bytes}"],
        "the program may access a map key of {size} bytes at offset {off}, size {bytes}, which is not all inside",
        "stay within the key",
    ),
    row(
        "memory-bounds",
        &["invalid access to memory, mem_size={size} off={off} size={bytes}"],
        "the program may access memory of {size} bytes at offset {off}, size {bytes}, which is not all inside",
        "check the offset before, or ask for as much memory as is used",
    ),
    row(
        "index-negative",
        &["R{reg} min value is negative, either use unsigned index or do a if (index >=0) check"],
        "the index in R{reg} may be negative",
        "make the index unsigned, or check that it is not below 0",
    ),
    row(
        "index-unbounded",
        &["R{reg} unbounded memory access, make sure to bounds check any", "R{reg} unbounded memory access"],
        "the offset in R{reg} has no upper limit that the verifier knows",
        "compare the index with a constant before, `if (index < LENGTH)`, or mask it, on the very variable that is used",
    ),
    row(
        "index-range",
        &[
            "R{reg} min value is outside of the allowed memory range", "R{reg} max value is outside of the allowed memory range",
            "R{reg} min value is outside of the array range", "R{reg} max value is outside of the array range",
            "R{reg} offset is outside of the packet",
        ],
        "the offset in R{reg} may lie outside of the memory that it points into",
        "check the index before the access, with the length of what is accessed",
    ),
    row(
        "map-readonly",
        &["write into map forbidden"],
        "the map is read-only for programs, as .rodata with its constants is",
        "write to a variable that is not const, or to a map without BPF_F_RDONLY_PROG",
    ),
    row(
        "map-writeonly",
        &["read from map forbidden"],
        "the map is write-only for programs (BPF_F_WRONLY_PROG)",
        "read from another map, or create this one without the flag",
    ),
    row(
        "context-access",
        &["invalid bpf_context access off={off} size={size}"],
        "the context has nothing at offset {off}, size {size}, that programs of this type may access in this way",
        "read only fields that the type's context has, in their own size, and write only those that may be written",
    ),
    row(
        "context-modified",
        &["dereference of modified ctx ptr R{reg} off={off} disallowed", "negative offset ctx ptr R{reg} off={off} disallowed"],
        "R{reg} is the context moved by {off} bytes, and the context is accessed through its own address only",
        "access fields through the context itself; keep the compiler from computing their addresses with `*(volatile ...)` or barrier_var()",
    ),
    row(
        "context-variable",
        &["variable ctx access var_off={} disallowed"],
        "the offset into the context is not a constant",
        "access the context's fields by name, and unroll loops over them",
    ),
    row(
        "object-modified",
        &["dereference of modified {type} ptr R{reg} off={off} disallowed", "negative offset {type} ptr R{reg} off={off} disallowed", "variable {type} access var_off={} disallowed"],
        "the pointer of type {type} was moved, and may be used only as it was given",
        "keep the pointer as it was, and use a field by name",
    ),
    row(
        "packet-readonly",
        &["cannot write into packet", "the prog does not allow writes to packet data"],
        "programs of this type may not write to packets",
        "use a type that may, such as xdp or tc, or a helper",
    ),
    row(
        "atomic-memory",
        &["BPF_ATOMIC stores into R{reg} {type} is not allowed", "BPF_XADD stores into R{reg} {type} is not allowed"],
        "atomic instructions do not work on this memory ({type})",
        "use plain reads and writes there; atomics are for map values and the stack",
    ),
    row(
        "memory-readonly",
        &["R{reg} cannot write into {type}"],
        "memory of type {type} may only be read",
        "write to a copy",
    ),
    row(
        "stack-unwritten",
        &[
            "invalid indirect read from stack R{reg} off {fp}+{byte} size {size}", "invalid indirect read from stack off {fp}+{byte} size {size}",
            "invalid read from stack R{reg} off {fp}+{byte} size {size}", "invalid read from stack off {fp}+{byte} size {size}",
        ],
        "byte {byte} of the {size} bytes at fp{fp} on the stack is read, and no instruction on this path has written it",
        "set the whole variable before, with __builtin_memset(): an initialiser may leave the holes of a structure unset",
    ),
    row(
        "stack-unwritten-variable",
        &["invalid indirect read from stack R{reg} var_off", "invalid read from stack R{reg} var_off", "invalid indirect read from stack var_off"],
        "bytes of the stack are read that no instruction on this path has written",
        "set the whole array before, with __builtin_memset()",
    ),
    row(
        "stack-bounds",
        &[
            "invalid variable-offset{} stack R{reg} var_off={} off={off} size={size}", "invalid variable-offset{} stack R{reg} var_off={} size={size}",
            "invalid unbounded variable-offset{} stack R{reg}",
            "R{reg} unbounded indirect variable offset stack access", "R{reg} invalid variable stack {}", "R{reg} min value is outside of stack bound",
            "R{reg} max value is outside of stack bound",
        ],
        "the variable offset in R{reg} may lie outside of the array on the stack",
        "check the index before, `if (index < LENGTH)`, or mask it, `index &= LENGTH - 1`",
    ),
    row(
        "stack-range",
        &[
            "invalid read from stack R{reg} off={off} size={size}", "invalid write to stack R{reg} off={off} size={size}",
            "invalid indirect access to stack R{reg} off={off} size={size}",
            "invalid stack type R{reg} off={off} access_size={size}", "invalid stack off={off} size={size}",
        ],
        "{size} bytes at fp{off} do not lie on the stack, which has 512 bytes below fp0",
        "stay within the variable, and keep large ones in a map",
    ),
    row(
        "stack-variable-unprivileged",
        &["R{reg} variable stack access prohibited for !root", "R{reg}{}variable offset stack access prohibited for !root", "R{reg} stack pointer arithmetic goes out of range, prohibited for !root"],
        "variable offsets into the stack need CAP_PERFMON",
        "load the program as root or with CAP_PERFMON, or use constant offsets",
    ),
    row(
        "stack-variable-old",
        &["variable stack access var_off={} off={} size={}", "variable offset stack pointer cannot be passed into helper function"],
        "the offset into the stack is not a constant, which this kernel does not allow here",
        "use constant offsets, or keep the array in a map",
    ),
    row(
        "spill-size",
        &["invalid size of register spill", "invalid size of register fill", "attempt to corrupt spilled pointer on stack", "cannot spill pointers to stack into stack frame of the caller"],
        "a pointer is kept on the stack, and may be stored and loaded there only as a whole of 8 bytes",
        "do not mix pointers and bytes in one variable, and do not store parts of pointers",
    ),
    row(
        "buffer-variable",
        &["R{reg} invalid variable buffer offset: off={}, var_off={}"],
        "the offset into the buffer is not a constant",
        "use constant offsets, or copy the bytes to the stack first",
    ),
    row(
        "frame-pointer-write",
        &["frame pointer is read only"],
        "R10 is the address of the stack, and may not be changed",
        "change a copy of it",
    ),
    row(
        "misaligned",
        &["misaligned {}access off", "misaligned packet access off {}"],
        "the address is not a multiple of the size that is accessed",
        "access single bytes, or align the data; __builtin_memcpy() does that by itself",
    ),
    row(
        "field-bounds",
        &["invalid access to flow keys off={off} size={size}", "R{} invalid {} access off={off} size={size}", "R{} invalid {} buffer access: off={off}, size={size}"],
        "nothing at offset {off}, size {size}, may be accessed there",
        "stay within the structure",
    ),
];
