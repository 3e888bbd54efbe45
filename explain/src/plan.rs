//! The kernel calls of a plan, from the text in which the loader records them.

use rxdp_loader::plan::SlotSource;
use rxdp_loader::tail_calls::Conclusion;
use rxdp_loader::trace::{Call, unword};

use crate::Stages;
use crate::model::{Argument, Plan};

pub(crate) fn explain(stages: &Stages<'_>) -> Plan {
    let refused = stages.plan.map(|plan| {
        let maps = plan.refused_maps.iter().map(|(_, error)| error.to_string());
        let programs = plan.refused.iter().map(|(_, error)| error.to_string());
        let slots = plan.refused_slots.iter().map(ToString::to_string);
        maps.chain(programs).chain(slots).collect()
    });
    Plan {
        calls: calls(&stages.calls.calls, false),
        refused: refused.unwrap_or_default(),
        inference: stages.entry.as_ref().and_then(|entry| inference(stages, &entry.conclusion)),
    }
}

fn inference(stages: &Stages<'_>, found: &Conclusion) -> Option<String> {
    let Conclusion::One(one) = found else {
        return None;
    };
    stages.plan?.fills().find(|fill| fill.from == SlotSource::Inferred)?;
    let spec = &stages.linked?.spec;
    let (map, program) = (spec.map_name(one.map), spec.program(one.program).map_or("?", |p| &p.name));
    Some(format!("{map}[{}] = {program} is inferred", one.key))
}

/// Longest argument that is shown, in characters.
const LONGEST: usize = 72;

/// How a recorded command is called in the kernel, and why it is made.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("BTF_LOAD", "BPF_BTF_LOAD", "the object's types: maps and programs refer to them"),
    ("MODULE_BTF", "BPF_BTF_GET_FD_BY_ID", "opens the types of a module that programs refer to"),
    ("MAP_CREATE", "BPF_MAP_CREATE", "creates a map; its descriptor goes into the code of programs"),
    ("MAP_UPDATE", "BPF_MAP_UPDATE_ELEM", "puts a value under a key"),
    ("MAP_LOOKUP", "BPF_MAP_LOOKUP_ELEM", "reads a value"),
    (
        "SLOT_ID",
        "BPF_MAP_LOOKUP_ELEM",
        "reads the slot back: what stands there is an id, of the program or the map, not the descriptor",
    ),
    ("MAP_DELETE", "BPF_MAP_DELETE_ELEM", "removes a key"),
    ("MAP_NEXT_KEY", "BPF_MAP_GET_NEXT_KEY", "looks for the next key"),
    (
        "MAP_FREEZE",
        "BPF_MAP_FREEZE",
        "from now on user space may only read it, so that the verifier can rely on it",
    ),
    ("MAP_MEMORY", "mmap", "maps the map's memory into this process"),
    (
        "PROG_LOAD",
        "BPF_PROG_LOAD",
        "the verifier looks at the program; if it agrees, it is compiled and gets a descriptor",
    ),
    ("TEST_RUN", "BPF_PROG_TEST_RUN", "runs a program"),
    ("MAP_INFO", "BPF_OBJ_GET_INFO_BY_FD", "asks for the map's id"),
    (
        "PROG_INFO",
        "BPF_OBJ_GET_INFO_BY_FD",
        "asks for the program's id, to compare it with what the slot says",
    ),
    ("PROG_CODE", "BPF_OBJ_GET_INFO_BY_FD", "asks for the code that the kernel made of it"),
    ("PROG_FUNCTIONS", "BPF_OBJ_GET_INFO_BY_FD", "asks for the functions of a program"),
    ("LINK_CREATE", "BPF_LINK_CREATE", "attaches"),
    ("MAP_BY_ID", "BPF_MAP_GET_FD_BY_ID", "opens a map"),
    ("PROG_BY_ID", "BPF_PROG_GET_FD_BY_ID", "opens a program"),
    ("OBJ_PIN", "BPF_OBJ_PIN", "gives it a name on bpffs"),
    ("OBJ_GET", "BPF_OBJ_GET", "opens what is pinned there"),
    (
        "SETLINK",
        "RTM_SETLINK",
        "netlink, not bpf(2): IFLA_XDP with IFLA_XDP_FD puts the program on the interface",
    ),
    ("GETLINK", "RTM_GETLINK", "netlink: asks what is attached to the interface, and in which mode"),
];

/// What the fields of `union bpf_attr` are called in a recording, by command.
const FIELDS: &[(&str, &str, &str)] = &[
    ("BTF_LOAD", "size", "btf_size"),
    ("MAP_CREATE", "name", "map_name"),
    ("MAP_CREATE", "type", "map_type"),
    ("MAP_CREATE", "key", "key_size"),
    ("MAP_CREATE", "value", "value_size"),
    ("MAP_CREATE", "max", "max_entries"),
    ("MAP_CREATE", "flags", "map_flags"),
    ("MAP_CREATE", "inner", "inner_map_fd"),
    ("MAP_CREATE", "key_type", "btf_key_type_id"),
    ("MAP_CREATE", "value_type", "btf_value_type_id"),
    ("PROG_LOAD", "name", "prog_name"),
    ("PROG_LOAD", "type", "prog_type"),
    ("PROG_LOAD", "attach", "expected_attach_type"),
    ("PROG_LOAD", "flags", "prog_flags"),
    ("PROG_LOAD", "version", "kern_version"),
    ("PROG_LOAD", "hook", "attach_btf_id"),
    ("PROG_LOAD", "funcs", "func_info"),
    ("PROG_LOAD", "lines", "line_info_cnt"),
    ("SETLINK", "fd", "IFLA_XDP_FD"),
    ("SETLINK", "flags", "IFLA_XDP_FLAGS"),
    ("SETLINK", "expected", "IFLA_XDP_EXPECTED_FD"),
];

/// Recorded calls as values; with the answers if they were real.
pub(crate) fn calls(calls: &[Call], answered: bool) -> Vec<crate::model::Call> {
    (1u32..).zip(calls).map(|(number, call)| one(number, call, answered)).collect()
}

fn one(number: u32, call: &Call, answered: bool) -> crate::model::Call {
    let mut words = call.request.split(' ');
    let recorded = words.next().unwrap_or_default();
    let known = COMMANDS.iter().find(|(name, ..)| *name == recorded);
    let about = words.next().map(|word| unword(word.strip_prefix("name=").unwrap_or(word)));
    // Names of attributes stand in it, and fingerprints that only a comparison of recordings needs.
    let words = words.filter(|word| word.contains('=') && !word.contains("fingerprint="));
    crate::model::Call {
        number,
        command: known.map_or(recorded, |(_, command, _)| command).to_string(),
        about: about.unwrap_or_default(),
        arguments: words.map(|word| argument(recorded, word)).collect(),
        why: why(call, known.map_or("", |(.., why)| why)).to_string(),
        reply: answered.then(|| reply(&call.reply)),
    }
}

/// Why a call is made: what a value is decides more than the command.
fn why<'a>(call: &Call, otherwise: &'a str) -> &'a str {
    match call.request.split(' ').find_map(|word| word.strip_prefix("value=")) {
        Some(value) if value.starts_with("fd:") => {
            "fills a slot with what a descriptor stands for: so that must be loaded already"
        }
        _ if call.request.starts_with("SETLINK ") && call.request.contains(" fd=none ") => {
            "netlink: takes the program off again, and only this one"
        }
        _ => otherwise,
    }
}

fn argument(command: &str, word: &str) -> Argument {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let value = unword(value);
    if name == "insns" {
        // 16 hexadecimal digits a slot: the code itself is shown where it is explained.
        return Argument { name: name.to_string(), value: format!("{} slots", value.len() / 16) };
    }
    // A slot that is to hold a descriptor: `17=map:jmp_table1`.
    if let (Ok(slot), Some((what, of))) = (name.parse::<u32>(), value.split_once(':')) {
        return Argument { name: format!("insns[{slot}].imm"), value: format!("fd of {what} {of}") };
    }
    let field = FIELDS.iter().find(|(of, recorded, _)| *of == command && *recorded == name);
    let name = field.map_or(name, |(.., field)| field);
    if name == "IFLA_XDP_FD" && value == "none" {
        return Argument { name: name.to_string(), value: "-1, no program".to_string() };
    }
    if name == "IFLA_XDP_FD" || name == "IFLA_XDP_EXPECTED_FD" {
        return Argument { name: name.to_string(), value: format!("fd of {value}") };
    }
    let value = value.strip_prefix("fd:").map_or_else(|| cut(&value), |of| format!("fd of {of}"));
    Argument { name: name.to_string(), value }
}

/// An answer without what is shown elsewhere: logs and code.
fn reply(text: &str) -> String {
    const ELSEWHERE: &[&str] = &["log=", "xlated=", "machine=", "functions="];
    let words: Vec<&str> =
        text.split(' ').filter(|word| !ELSEWHERE.iter().any(|key| word.starts_with(key))).collect();
    cut(&words.join(" "))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_string();
    }
    let beginning: String = text.chars().take(LONGEST).collect();
    format!("{beginning}...")
}
