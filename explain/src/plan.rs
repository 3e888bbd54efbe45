//! The kernel calls of a plan, from the text in which the loader records them.

use rxdp_loader::plan::SlotSource;
use rxdp_loader::spec::ObjectSpec;
use rxdp_loader::tail_calls::Conclusion;
use rxdp_loader::trace::{Call, unword};

use crate::model::Plan;
use crate::{Stages, arguments};

pub(crate) fn explain(stages: &Stages<'_>) -> Plan {
    let refused = stages.plan.map(|plan| {
        let maps = plan.refused_maps.iter().map(|(_, error)| error.to_string());
        let programs = plan.refused.iter().map(|(_, error)| error.to_string());
        let slots = plan.refused_slots.iter().map(ToString::to_string);
        maps.chain(programs).chain(slots).collect()
    });
    Plan {
        calls: calls(&stages.calls.calls, stages.linked.map(|linked| &linked.spec), false),
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

/// How a recorded command is called in the kernel, and why it is made.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("BTF_LOAD", "BPF_BTF_LOAD", "the object's types: maps and programs refer to them"),
    ("MODULE_BTF", "BPF_BTF_GET_FD_BY_ID", "opens the types of a module that programs refer to"),
    (
        "MAP_SIZES",
        "BPF_OBJ_GET_INFO_BY_FD",
        "asks how long keys and values are: the call behind it passes addresses without lengths",
    ),
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
        "asks for the program's id and tag: where it stands in a slot, that must say the same id",
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

/// Recorded calls as values; with the answers if they were real. `spec` is what they load.
pub(crate) fn calls(calls: &[Call], spec: Option<&ObjectSpec>, answered: bool) -> Vec<crate::model::Call> {
    (1u32..).zip(calls).map(|(number, call)| one(number, call, spec, answered)).collect()
}

fn one(number: u32, call: &Call, spec: Option<&ObjectSpec>, answered: bool) -> crate::model::Call {
    let mut words = call.request.split(' ');
    let recorded = words.next().unwrap_or_default();
    let known = COMMANDS.iter().find(|(name, ..)| *name == recorded);
    let about = words.next().map(|word| unword(word.strip_prefix("name=").unwrap_or(word)));
    // Fingerprints are what only a comparison of recordings needs.
    let words = words.filter(|word| word.contains('=') && !word.contains("fingerprint="));
    let (reply, answer) = if answered { arguments::answer(&call.reply) } else { Default::default() };
    crate::model::Call {
        number,
        command: known.map_or(recorded, |(_, command, _)| command).to_string(),
        about: about.unwrap_or_default(),
        arguments: words.map(|word| arguments::argument(recorded, word, spec)).collect(),
        why: why(call, known.map_or("", |(.., why)| why)).to_string(),
        reply: answered.then_some(reply),
        answer,
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
