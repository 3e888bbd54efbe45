//! What holds for every explanation: it agrees with itself and with the object.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeSet;

use common::{all, explained, path_of};
use rxdp_explain::model::{Explanation, FateKind, Linked, Part};

/// Slots that an instruction takes, by its bytes.
fn slots(bytes: &str) -> u32 {
    u32::try_from(bytes.split(' ').count() / 8).expect("few slots")
}

#[test]
fn explaining_twice_gives_the_same() {
    for name in all() {
        assert_eq!(explained(&name, None), explained(&name, None), "{name}");
    }
}

#[test]
fn indices_lead_to_what_they_mean() {
    for name in all() {
        let found = explained(&name, None);
        for (at, map) in found.maps.iter().enumerate() {
            assert_eq!(usize::try_from(map.index).ok(), Some(at), "{name}");
        }
        for program in &found.programs {
            let function = usize::try_from(program.function).expect("an index");
            assert_eq!(found.functions[function].name, program.name, "{name}");
            assert_eq!(found.functions[function].program, Some(program.index), "{name}");
        }
        assert_eq!(found.programs.len(), found.linked.len(), "{name}");
        for used in &found.graph.uses {
            let (map, program) = (usize::try_from(used.map), usize::try_from(used.program));
            assert!(map.is_ok_and(|at| at < found.maps.len()), "{name}");
            assert!(program.is_ok_and(|at| at < found.programs.len()), "{name}");
        }
    }
}

#[test]
fn instructions_follow_each_other_without_a_gap() {
    let mut seen = 0u32;
    for name in all() {
        let found = explained(&name, None);
        for function in &found.functions {
            let mut at = 0;
            for instruction in &function.instructions {
                assert_eq!(instruction.at, at, "{name}: {}", function.name);
                assert!(!instruction.text.starts_with("unknown"), "{name}: {}", instruction.text);
                at = at.saturating_add(slots(&instruction.bytes));
                seen = seen.saturating_add(1);
            }
            assert_eq!(at, function.slots, "{name}: {}", function.name);
        }
    }
    assert!(seen > 1000, "only {seen} instructions were looked at");
}

#[test]
fn bytes_are_those_of_the_file() {
    for name in all() {
        let file = std::fs::read(path_of(&name)).expect("an object");
        let found = explained(&name, None);
        for function in &found.functions {
            // Sections whose bytes are compressed have others in the file.
            let section = found.file.sections.iter().find(|section| section.name == function.section);
            let section = section.expect("the section of a function");
            if section.flags.iter().any(|flag| flag == "compressed") {
                continue;
            }
            for instruction in &function.instructions {
                let start = section.offset + u64::from(function.offset) + u64::from(instruction.at) * 8;
                let start = usize::try_from(start).expect("a place in the file");
                let words: Vec<String> =
                    file[start..].iter().take(16).map(|byte| format!("{byte:02x}")).collect();
                assert!(words.join(" ").starts_with(&instruction.bytes), "{name}: {}", function.name);
            }
        }
    }
}

/// The law of the stages, seen from here: what the compiler wrote, with every change made, is what is sent.
#[test]
fn changes_lead_from_the_compilers_code_to_the_kernels() {
    let mut changed = 0usize;
    for (name, types) in
        all().iter().map(|name| (name.as_str(), None)).chain([("core_kinds.o", Some("core_target.o"))])
    {
        let found = explained(name, types);
        for linked in found.linked.iter().filter(|linked| linked.problem.is_none()) {
            follow(name, &found, linked);
            changed = changed.saturating_add(linked.changes.len());
        }
    }
    assert!(changed > 50, "only {changed} changes were followed");
}

fn follow(name: &str, found: &Explanation, linked: &Linked) {
    let compiled = linked.layout.iter().flat_map(|span| {
        let function = &found.functions[usize::try_from(span.function).expect("an index")];
        function.instructions.iter().map(|instruction| (span.start + instruction.at, instruction))
    });
    let places: BTreeSet<u32> = linked.changes.iter().map(|change| change.at).collect();
    assert_eq!(places.len(), linked.changes.len(), "{name}: one change a place");
    for (at, compiled) in compiled {
        let sent = linked.instructions.iter().find(|instruction| instruction.at == at);
        let change = linked.changes.iter().find(|change| change.at == at);
        match (change, sent) {
            (Some(change), Some(sent)) => {
                assert_eq!(change.before.bytes, compiled.bytes, "{name}: {} at {at}", linked.name);
                assert_eq!(change.after.bytes, sent.bytes, "{name}: {} at {at}", linked.name);
                assert!(!change.reason.is_empty());
            }
            (None, Some(sent)) => assert_eq!(sent.bytes, compiled.bytes, "{name}: {} at {at}", linked.name),
            (_, None) => panic!("{name}: {}: nothing stands at {at}", linked.name),
        }
    }
}

/// Each type has one fate, and what is told of the whole is what is told of its parts.
#[test]
fn every_type_is_accounted_for() {
    let mut changed = 0;
    for name in all() {
        let btf = explained(&name, None).btf;
        let fated: u32 = btf.fates.iter().map(|fate| fate.types).sum();
        if btf.problem.is_some() {
            assert_eq!((fated, btf.sent_bytes), (0, None), "{name}");
            continue;
        }
        assert_eq!(fated, btf.types + btf.added, "{name}");
        for fate in &btf.fates {
            assert_eq!(fate.kinds.iter().map(|of| of.types).sum::<u32>(), fate.types, "{name}: {}", fate.why);
        }
        let sent: BTreeSet<u32> = btf.changes.iter().filter(|change| change.sent).map(|c| c.id).collect();
        let fated = btf.fates.iter().filter(|fate| fate.what == FateKind::Changed).map(|fate| fate.types);
        assert_eq!(u32::try_from(sent.len()), Ok(fated.sum()), "{name}");
        assert!(btf.changes.iter().all(|change| !change.details.is_empty()), "{name}: {:?}", btf.changes);
        changed += sent.len();
    }
    assert!(changed > 20, "only {changed} types were changed");
}

#[test]
fn what_cannot_be_planned_says_why() {
    let found = explained("drop_all-bigendian.o", None);
    assert!(found.plan.calls.is_empty() && found.problems.iter().any(|problem| problem.part == Part::Plan));
    assert!(!found.functions.is_empty(), "the code of another machine can be looked at");
    let found = explained("broken_maps.o", None);
    assert!(found.maps.iter().any(|map| map.problem.is_some()) && !found.plan.refused.is_empty());
}

#[test]
fn the_articles_tail_call() {
    let found = explained("tail_kern.o", None);
    let [call] = found.graph.calls.as_slice() else {
        panic!("one tail call");
    };
    assert_eq!((call.table.as_deref(), call.key), (Some("jmp_table1"), Some(78)));
    assert_eq!((call.at, call.leads_to.as_slice()), (23, ["xdp_tail_call_1".to_string()].as_slice()));
    assert_eq!(call.key_trail.iter().map(|step| step.at).collect::<Vec<_>>(), [22]);
}
