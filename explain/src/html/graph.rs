//! Tail calls, jump tables, and who uses which map: pictures first, then every call in words.

use maud::{Markup, html};

use super::parts::{fact, maybe, wrap_at};
use super::pictures;
use super::places::{self, Places};
use crate::model::{Explanation, Graph, GraphSlot, MapUse, Table, TailCall, TrailStep};

pub(super) fn graph(explanation: &Explanation, places: &Places<'_>) -> Markup {
    let graph = &explanation.graph;
    html! {
        div.pictures {
            @if !graph.tables.is_empty() || !graph.calls.is_empty() { (pictures::tail_calls(explanation)) }
            @if !graph.uses.is_empty() { (pictures::uses(explanation)) }
        }
        @for sentence in [&graph.entry, &graph.conclusion].into_iter().flatten() { p.note { (sentence) } }
        @for unfit in &graph.unfit {
            p.bad { strong { (unfit.program) } " cannot stand in " (unfit.table) ": " (unfit.why) }
        }
        @if graph.tables.is_empty() { p.none { "No jump tables." } }
        @for table in &graph.tables { (self::table(table)) }
        @for (number, call) in graph.calls.iter().enumerate() { (tail_call(call, places, number == 0)) }
        (uses(explanation, graph, places))
    }
}

fn table(table: &Table) -> Markup {
    html! {
        h3 {
            a href={ "#" (places::map(table.map)) } { code { (wrap_at(&table.name)) } } " "
            span.kind { "jump table of " (table.max_entries) " slots, map_fd[" (table.map) "]" }
        }
        @if table.slots.is_empty() {
            p.none { "All slots are empty: nobody fills one, and no tail call asks for one by a key that is known." }
        } @else {
            dl.facts { @for slot in &table.slots { (fact(&format!("[{}]", slot.key), self::slot(slot))) } }
        }
    }
}

fn slot(slot: &GraphSlot) -> Markup {
    html! {
        @if let Some(name) = &slot.name {
            @match slot.program {
                Some(program) => {
                    a href={ "#" (places::program(program)) } { code { (wrap_at(name)) } } " (prog_fd[" (program) "])"
                }
                None => { code { (wrap_at(name)) } }
            }
            ", "
        }
        (slot.from)
    }
}

/// What the verifier does with all of them is said of the first.
fn tail_call(call: &TailCall, places: &Places<'_>, first: bool) -> Markup {
    html! {
        h3 {
            code { (wrap_at(&call.name)) } " "
            span.kind {
                "calls bpf_tail_call at "
                a href=[places.link(call.program, call.at)] { "slot " (call.at) }
                ": table " (call.table.as_deref().unwrap_or("not known"))
                ", key " @match call.key { Some(key) => { (key) } None => { "not known" } }
            }
        }
        @if let Some(line) = &call.line { p.source { (line) } }
        dl.facts {
            (maybe("table in r2", trail(call, &call.table_trail, places)))
            (maybe("key in r3", trail(call, &call.key_trail, places)))
            (maybe("unknown", call.unknown.as_ref()))
            (maybe("leads to", (!call.leads_to.is_empty()).then(|| call.leads_to.join(", "))))
            (fact("outcome", &call.outcome))
            @if first { (fact("verifier", &call.verifier)) }
        }
    }
}

fn trail(call: &TailCall, steps: &[TrailStep], places: &Places<'_>) -> Option<Markup> {
    let step = |step: &TrailStep| {
        html! { a href=[places.link(call.program, step.at)] { "slot " (step.at) } " " code { (step.text) } }
    };
    let shown = html! { @for (at, each) in steps.iter().enumerate() { @if at > 0 { br; } (step(each)) } };
    (!steps.is_empty()).then_some(shown)
}

fn uses(explanation: &Explanation, graph: &Graph, places: &Places<'_>) -> Markup {
    let program = |index: u32| explanation.programs.iter().find(|program| program.index == index);
    let map = |index: u32| explanation.maps.iter().find(|map| map.index == index);
    html! {
        @if !graph.uses.is_empty() {
            h3 { "Who uses which map" }
            ul.uses {
                @for used in &graph.uses {
                    li {
                        code { (program(used.program).map_or("?", |program| program.name.as_str())) } " uses "
                        a href={ "#" (places::map(used.map)) } {
                            code { (map(used.map).map_or("?", |map| map.name.as_str())) }
                        }
                        (slots(used, places))
                    }
                }
            }
        }
    }
}

fn slots(used: &MapUse, places: &Places<'_>) -> Markup {
    html! {
        @if used.at.len() == 1 { " at slot " } @else { " at slots " }
        @for (number, at) in used.at.iter().enumerate() {
            @if number > 0 { ", " }
            a href=[places.link(used.program, *at)] { (at) }
        }
    }
}
