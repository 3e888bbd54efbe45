//! Arguments and answers of recorded calls, in words: numbers with units, types and descriptors by name.

use rxdp_loader::btf::TypeId;
use rxdp_loader::spec::ObjectSpec;
use rxdp_loader::trace::{unhex, unword};
use rxdp_loader::uapi::{MapType, ProgType};

use crate::model::Argument;
use crate::types::c_type;

/// Longest value of a map that is shown, in characters: their bytes stand where the file is explained.
const LONGEST: usize = 72;

/// How a value is to be read.
#[derive(Clone, Copy)]
enum Form {
    /// A number of **bytes**.
    Bytes,
    /// A number of these.
    Many(&'static str),
    /// Flags.
    Flags,
    /// The number of a type of the object's.
    Type,
    /// The number of a type of the kernel's, a module's or another program's.
    KernelType,
    /// Descriptors of types.
    TypesFd,
    /// A key.
    Key,
    /// A value.
    Value,
    /// The code: it is shown where it is explained.
    Code,
    /// Functions, by the slot where each begins, and their types.
    Functions,
    /// A program's descriptor, in a message of netlink.
    Program,
}

/// What is not plain about attributes. Source of the names: `union bpf_attr`, `struct bpf_map_info`, `struct bpf_prog_info`.
const FORMS: &[(&str, Form)] = &[
    ("key_size", Form::Bytes),
    ("value_size", Form::Bytes),
    ("btf_size", Form::Bytes),
    ("log_size", Form::Bytes),
    ("btf_log_size", Form::Bytes),
    ("len", Form::Bytes),
    ("max_entries", Form::Many("entries")),
    ("verified_insns", Form::Many("instructions")),
    ("map_flags", Form::Flags),
    ("prog_flags", Form::Flags),
    ("flags", Form::Flags),
    ("btf_key_type_id", Form::Type),
    ("btf_value_type_id", Form::Type),
    ("btf_vmlinux_value_type_id", Form::KernelType),
    ("attach_btf_id", Form::KernelType),
    ("btf_fd", Form::TypesFd),
    ("prog_btf_fd", Form::TypesFd),
    ("fd_array", Form::TypesFd),
    ("value_type_btf_obj_fd", Form::TypesFd),
    ("key", Form::Key),
    ("value", Form::Value),
    ("insns", Form::Code),
    ("func_info", Form::Functions),
    ("IFLA_XDP_FD", Form::Program),
    ("IFLA_XDP_EXPECTED_FD", Form::Program),
];

/// Attributes of netlink messages, which a recording calls otherwise.
const NETLINK: &[(&str, &str)] =
    &[("fd", "IFLA_XDP_FD"), ("flags", "IFLA_XDP_FLAGS"), ("expected", "IFLA_XDP_EXPECTED_FD")];

/// An argument of a recorded call. `spec` is the object, whose types have names.
pub(crate) fn argument(command: &str, word: &str, spec: Option<&ObjectSpec>) -> Argument {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let value = unword(value);
    // A slot that is to hold a descriptor: `17=map:jmp_table1`.
    if let (Ok(slot), Some((what, of))) = (name.parse::<u32>(), value.split_once(':')) {
        return Argument { name: format!("insns[{slot}].imm"), value: format!("fd of {what} {of}") };
    }
    let netlink = NETLINK.iter().find(|(recorded, _)| command == "SETLINK" && *recorded == name);
    let name = netlink.map_or(name, |(_, attribute)| attribute);
    let form = FORMS.iter().find(|(of, _)| *of == name).map(|(_, form)| *form);
    let value = form.map_or_else(|| descriptor(&value, ""), |form| in_words(form, &value, spec));
    let name = if name == "insns" { "insn_cnt" } else { name };
    Argument { name: name.to_string(), value }
}

fn in_words(form: Form, value: &str, spec: Option<&ObjectSpec>) -> String {
    match form {
        Form::Bytes => many(value, "byte", "bytes"),
        Form::Many(what) => many(value, what.strip_suffix("ies").map_or(what, |_| "entry"), what),
        Form::Flags => value.replace('|', " | "),
        Form::Type => typed(value, spec),
        Form::KernelType => format!("{value}, the number of a type"),
        Form::TypesFd => descriptor(value, "the types of "),
        Form::Key => key(value),
        Form::Value => descriptor(&cut(value), ""),
        Form::Code => format!("{} slots", value.len() / 16),
        Form::Functions => functions(value, spec),
        Form::Program if value == "none" => "-1, no program".to_string(),
        Form::Program => format!("fd of {value}"),
    }
}

fn many(value: &str, one: &str, more: &str) -> String {
    let one = one.strip_suffix('s').unwrap_or(one);
    format!("{value} {}", if value == "1" { one } else { more })
}

/// Descriptors go by the name of what they stand for, in a recording behind `fd:`.
fn descriptor(value: &str, of: &str) -> String {
    let names: Option<Vec<&str>> = value.split(',').map(|word| word.strip_prefix("fd:")).collect();
    match names {
        Some(names) => format!("fd of {of}{}", names.join(", ")),
        None => value.to_string(),
    }
}

/// A type's number, and what it is.
fn typed(value: &str, spec: Option<&ObjectSpec>) -> String {
    let id = value.parse().ok().map(TypeId);
    let words = id.and_then(|id| c_type(spec?.btf.as_ref(), id));
    let name = || Some(spec?.btf.as_ref()?.name(id?).into_owned());
    match name().filter(|name| !name.is_empty()).or(words) {
        Some(words) => format!("{value} ({words})"),
        None => value.to_string(),
    }
}

/// A key of 4 bytes is most often a number.
fn key(value: &str) -> String {
    let number = unhex(value).and_then(|bytes| Some(u32::from_ne_bytes(bytes.try_into().ok()?)));
    match number.filter(|_| value.len() == 8) {
        Some(number) => format!("{value} ({number})"),
        None => value.to_string(),
    }
}

/// `0:7,12:9` are two functions.
fn functions(value: &str, spec: Option<&ObjectSpec>) -> String {
    let function = |word: &str| {
        let (slot, ty) = word.split_once(':')?;
        Some(format!("slot {slot}: type {}", typed(ty, spec)))
    };
    let functions: Option<Vec<String>> = value.split(',').map(function).collect();
    functions.map_or_else(|| value.to_string(), |functions| functions.join(", "))
}

/// What came with an answer, but for what is shown elsewhere: logs and code.
pub(crate) fn answer(reply: &str) -> (String, Vec<Argument>) {
    const ELSEWHERE: &[&str] = &["log", "xlated", "machine", "functions", "types"];
    let (mut outcome, mut values) = (Vec::new(), Vec::new());
    for word in reply.split(' ') {
        match word.split_once('=') {
            Some((name, _)) if ELSEWHERE.contains(&name) => {}
            Some((name, value)) if !name.is_empty() => values.push(value_of_answer(name, &unword(value))),
            _ => outcome.push(word),
        }
    }
    (outcome.join(" "), values)
}

fn value_of_answer(name: &str, value: &str) -> Argument {
    let form = FORMS.iter().find(|(of, _)| *of == name).map(|(_, form)| *form);
    let value = match (name, form) {
        ("value", _) => cut(value),
        ("load_time", _) => format!("{value} ns after the machine started"),
        ("id", _) => value.to_string(),
        ("type", _) => numbered(value),
        (_, Some(form)) => in_words(form, value, None),
        (_, None) => value.to_string(),
    };
    Argument { name: name.to_string(), value }
}

/// A type of maps or programs with its number, as the kernel answers it.
fn numbered(name: &str) -> String {
    let map = MapType::from_name(name).map(|ty| ty.0);
    match map.or_else(|| ProgType::from_name(name).map(|ty| ty.0)) {
        Some(number) => format!("{number} ({name})"),
        None => name.to_string(),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_string();
    }
    let beginning: String = text.chars().take(LONGEST).collect();
    format!("{beginning}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(command: &str, word: &str) -> String {
        let Argument { name, value } = argument(command, word, None);
        format!("{name}={value}")
    }

    #[test]
    fn attributes_are_told_in_words() {
        for (command, word, expected) in [
            ("MAP_CREATE", "key_size=4", "key_size=4 bytes"),
            ("MAP_CREATE", "key_size=1", "key_size=1 byte"),
            ("MAP_CREATE", "max_entries=1", "max_entries=1 entry"),
            ("MAP_CREATE", "map_flags=BPF_F_LINK|BPF_F_MMAPABLE", "map_flags=BPF_F_LINK | BPF_F_MMAPABLE"),
            ("MAP_CREATE", "btf_fd=fd:a\\sb", "btf_fd=fd of the types of a b"),
            ("PROG_LOAD", "insns=00112233445566778899aabbccddeeff", "insn_cnt=2 slots"),
            ("PROG_LOAD", "3=map:m", "insns[3].imm=fd of map m"),
            ("PROG_LOAD", "func_info=0:7,9:8", "func_info=slot 0: type 7, slot 9: type 8"),
            ("PROG_LOAD", "attach_btf_obj_fd=fd:other", "attach_btf_obj_fd=fd of other"),
            ("MAP_UPDATE", "value=fd:p", "value=fd of p"),
            ("MAP_UPDATE", "flags=BPF_ANY", "flags=BPF_ANY"),
            ("SETLINK", "fd=none", "IFLA_XDP_FD=-1, no program"),
            ("SETLINK", "flags=UPDATE_IF_NOEXIST", "IFLA_XDP_FLAGS=UPDATE_IF_NOEXIST"),
        ] {
            assert_eq!(told(command, word), expected);
        }
    }

    #[test]
    fn answers_are_whole_but_for_what_stands_elsewhere() {
        let (outcome, values) = answer("ok id=7 type=xdp map_ids=1,2 fd=5 xlated=00 log=no");
        let values: Vec<String> =
            values.into_iter().map(|Argument { name, value }| format!("{name}={value}")).collect();
        assert_eq!(
            (outcome.as_str(), values.join(" ").as_str()),
            ("ok", "id=7 type=6 (xdp) map_ids=1,2 fd=5")
        );
        assert_eq!(answer("EBUSY it is taken").0, "EBUSY it is taken");
    }
}
