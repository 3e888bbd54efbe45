//! Tail calls, tables, and who uses which map.

use super::page::{Page, bad, code, dim, name, plain, source};
use super::parts::fact;
use crate::model::{Graph, GraphSlot, Map, Program, TailCall, TrailStep};

pub(super) fn graph(page: &mut Page, graph: &Graph, maps: &[Map], programs: &[Program]) {
    for table in &graph.tables {
        let title = format!("  jump table of {} slots, map_fd[{}]", table.max_entries, table.map);
        page.line(2, 6, &[name(&table.name), plain(title)]);
        for slot in &table.slots {
            self::slot(page, slot);
        }
        if table.slots.is_empty() {
            page.line(6, 8, &[plain("all slots are empty: nobody fills one, and no tail call asks for one by a key that is known")]);
        }
    }
    if graph.tables.is_empty() {
        page.line(2, 4, &[plain("no jump tables")]);
    }
    for (number, call) in graph.calls.iter().enumerate() {
        page.blank();
        tail_call(page, call, number == 0);
    }
    if let Some(entry) = &graph.entry {
        page.blank();
        page.line(2, 4, &[plain(entry)]);
    }
    if let Some(conclusion) = &graph.conclusion {
        page.line(2, 4, &[plain(conclusion)]);
    }
    for unfit in &graph.unfit {
        let why = format!(" cannot stand in {}: {}", unfit.table, unfit.why);
        page.line(2, 6, &[bad(&unfit.program), plain(why)]);
    }
    if !graph.uses.is_empty() {
        page.blank();
        page.line(2, 4, &[dim("who uses which map")]);
    }
    for used in &graph.uses {
        let program = find(programs, used.program).map_or("?", |program| &program.name);
        let map = find(maps, used.map).map_or("?", |map| &map.name);
        let at: Vec<String> = used.at.iter().map(ToString::to_string).collect();
        let (slot, at) = (if at.len() == 1 { "slot" } else { "slots" }, at.join(", "));
        page.line(4, 8, &[name(program), plain(" uses "), name(map), plain(format!(" at {slot} {at}"))]);
    }
}

fn find<T>(all: &[T], index: u32) -> Option<&T> {
    all.get(usize::try_from(index).ok()?)
}

fn slot(page: &mut Page, slot: &GraphSlot) {
    let program = slot.program.map(|program| format!(" (prog_fd[{program}])")).unwrap_or_default();
    let what = slot.name.as_ref().map(|name| format!("{name}{program}, ")).unwrap_or_default();
    page.line(6, 12, &[name(format!("[{}]", slot.key)), plain(format!("  {what}{}", slot.from))]);
}

/// What the verifier does with all of them is said of the first.
fn tail_call(page: &mut Page, call: &TailCall, first: bool) {
    let table = call.table.as_deref().unwrap_or("a table that is not known");
    let key = call.key.map_or("unknown".to_string(), |key| key.to_string());
    let title = format!(" calls bpf_tail_call at slot {}: table {table}, key {key}", call.at);
    page.line(2, 6, &[name(&call.name), plain(title)]);
    if let Some(line) = &call.line {
        page.line(6, 8, &[source(format!("; {line}"))]);
    }
    trail(page, "table in r2", &call.table_trail);
    trail(page, "key in r3", &call.key_trail);
    if let Some(unknown) = &call.unknown {
        page.line(6, 21, &[bad(format!("{:<15}", "unknown")), plain(unknown)]);
    }
    fact(page, "outcome", &call.outcome);
    if first {
        fact(page, "verifier", &call.verifier);
    }
}

fn trail(page: &mut Page, what: &str, steps: &[TrailStep]) {
    for (number, step) in steps.iter().enumerate() {
        let word = if number == 0 { what } else { "" };
        page.line(
            6,
            21,
            &[dim(format!("{word:<15}")), plain(format!("slot {:>4}  ", step.at)), code(&step.text)],
        );
    }
}
