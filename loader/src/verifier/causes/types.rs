//! Messages about an object's types (BTF). They stand at the end of the line that describes the type.

use super::row;
use crate::verifier::messages::Cause;

#[rustfmt::skip]
pub(super) const CAUSES: &[Cause] = &[
    row(
        "btf-argument",
        &["Invalid arg#{arg}"],
        "argument {arg} of the function has no name, or a type that is not complete",
        "name every parameter in the definition, and give it a complete type; `__attribute__((naked))` functions should take none",
    ),
    row(
        "btf-name",
        &["Invalid name_offset:{}", "Invalid member name_offset:{}", "Invalid name"],
        "a name is missing, is there where none may be, or has characters that this kernel does not take in it",
        "use names that are names in C; sections with dots in their names need Linux 5.2 or later",
    ),
    row(
        "btf-linkage",
        &["Invalid func linkage", "Linkage not supported"],
        "the function or variable is visible in a way that this kernel does not know",
        "make it static or plain global",
    ),
    row(
        "btf-reference",
        &[
            "Invalid return type", "Invalid member base type", "Invalid type_id", "Invalid elem", "Invalid index", "Not a VAR kind member", "Invalid type",
            "Invalid array of int",
        ],
        "it refers to a type that is not there, or that cannot stand in this place",
        "build the object anew; if it was changed after the compiler, the change is wrong",
    ),
    row(
        "btf-kind",
        &["Invalid kind:{kind}"],
        "this kernel knows no types of kind {kind}",
        "use a newer kernel, or an older compiler for this object",
    ),
    row(
        "btf-member",
        &[
            "Member exceeds struct_size", "Member bits_offset exceeds its struct size", "Member is not byte aligned", "Member is not properly aligned", "Invalid member bits_offset",
            "Invalid member bitfield_size", "Invalid member offset", "bits_offset exceeds U32_MAX", "nr_copy_bits exceeds 128", "Invalid member",
        ],
        "a member does not lie in its structure as it has to",
        "build the object anew; packed bitfields are not known to every kernel",
    ),
    row(
        "btf-size",
        &[
            "size == 0", "size != 0", "Unexpected size", "Invalid btf_info size", "Invalid type_size", "Array size overflows U32_MAX", "nr_bits exceeds {}", "Invalid offset+size",
            "Invalid offset", "Invalid size",
        ],
        "a size or position is not what the kind of type has to have",
        "build the object anew; a section of variables whose size is 0 was not finished by its loader",
    ),
    row(
        "btf-loop",
        &["Loop detected", "Exceeded max resolving depth:{}", "Max chain length or cycle detected"],
        "the type contains itself, or is nested too deep",
        "put a pointer between a type and itself",
    ),
    row(
        "btf-tag",
        &["Invalid value", "Invalid component_idx", "Type tags don't precede modifiers"],
        "a tag is empty, or stands where none can",
        "put tags on functions, variables, structures, members, arguments and pointers only",
    ),
    row(
        "btf-info",
        &["vlen != 0", "type != 0", "Invalid btf_info kind_flag", "Invalid btf_info:{}", "Unsupported encoding", "Invalid int_data:{}", "Unsupported check_member", "Unsupported check_kflag_member", "Unsupported resolve"],
        "the description of the type has bits that this kernel does not know, or that do not go together",
        "use a newer kernel, or an older compiler for this object",
    ),
    row(
        "btf-cut",
        &["meta_left:{} meta_needed:{}"],
        "the description of the type ends too early",
        "build the object anew: the file is damaged",
    ),
    row(
        "btf-header",
        &[
            "Invalid magic", "Unsupported version", "Unsupported flags", "btf_header not found", "hdr_len not found", "Unsupported btf_header", "Unaligned type_off", "No type found",
            "String section is not at the end", "Invalid string section", "Invalid section offset", "Unsupported section found", "Section overlap found",
            "Total section length too long", "No data", "Exceeded max num of types",
        ],
        "the types as a whole are not as this kernel takes them",
        "build the object anew, without tools that rewrite .BTF",
    ),
];
