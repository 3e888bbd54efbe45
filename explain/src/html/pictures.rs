//! The pictures: the file as a strip, tail calls, who uses which map.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::drawing::{Drawing, Edge, EdgeKind, Node};
use super::places;
use crate::model::{Explanation, File, Table};

/// Rows of a table that are drawn; the words below the picture have all.
const ROWS: usize = 24;

/// Roles of sections by how they begin, with the class that gives them a colour and the word for it.
const ROLES: &[(&str, &str, &str)] = &[
    ("programs", "c1", "programs"),
    ("subprograms", "c1", "programs"),
    ("map definitions", "c2", "maps"),
    ("constants", "c3", "variables"),
    ("variables", "c3", "variables"),
    ("types", "c4", "types"),
    ("licence", "c5", "other"),
    ("", "c5", "other"),
];

fn role(role: &str) -> (&'static str, &'static str) {
    let found = ROLES.iter().find(|(start, ..)| role.starts_with(start));
    found.map_or(("c5", "other"), |(_, class, word)| (*class, *word))
}

/// The file from its first byte to its last, each section as long as it is.
pub(super) fn strip(file: &File) -> Markup {
    let mut sections: Vec<_> =
        file.sections.iter().filter(|section| section.size > 0 && section.offset > 0).collect();
    sections.sort_by_key(|section| section.offset);
    let end = sections.iter().map(|section| section.offset.saturating_add(section.size)).max().unwrap_or(1);
    let words: BTreeSet<_> = sections.iter().map(|section| role(&section.role)).collect();
    html! {
        figure.strip {
            svg viewBox={ "0 0 " (end) " 10" } preserveAspectRatio="none" role="img"
                aria-label="The file from its first byte to its last, each section as long as it is" {
                rect.c0 x="0" y="0" width=(end) height="10" {}
                @for section in sections {
                    rect class=(role(&section.role).0) x=(section.offset) y="0" width=(section.size) height="10" {
                        title { (section.name) ": " (section.size) " bytes, " (section.role) }
                    }
                }
            }
            figcaption {
                span { span.c0 {} "header, gaps" }
                @for (class, word) in words { span { span class=(class) {} (word) } }
            }
        }
    }
}

pub(super) fn tail_calls(explanation: &Explanation) -> Markup {
    let graph = &explanation.graph;
    let calling = graph.calls.iter().map(|call| call.program);
    let standing = graph.tables.iter().flat_map(|table| table.slots.iter().filter_map(|slot| slot.program));
    let programs: BTreeSet<u32> = calling.chain(standing).collect();
    let left: Vec<u32> = programs.into_iter().collect();
    let mut right: Vec<Node> = graph.tables.iter().map(table).collect();
    let mut edges = BTreeSet::new();
    for (number, table) in graph.tables.iter().enumerate() {
        for (row, slot) in table.slots.iter().enumerate() {
            let Some(left) = slot.program.and_then(|program| position(&left, program)) else { continue };
            edges.insert(Edge { left, right: number, row: Some(row.min(ROWS)), kind: EdgeKind::Back });
        }
    }
    let unknown = graph.calls.iter().any(|call| call.map.is_none());
    for call in &graph.calls {
        let Some(left) = position(&left, call.program) else { continue };
        let table = call.map.and_then(|map| graph.tables.iter().position(|table| table.map == map));
        let row = table
            .and_then(|table| graph.tables.get(table))
            .and_then(|table| table.slots.iter().position(|slot| Some(slot.key) == call.key))
            .map(|row| row.min(ROWS));
        let kind = if row.is_some() { EdgeKind::To } else { EdgeKind::Perhaps };
        edges.insert(Edge { left, right: table.unwrap_or(right.len()), row, kind });
    }
    if unknown {
        right.push(Node { name: "a table that is not known".to_string(), ..Node::default() });
    }
    let drawing =
        Drawing { left: programs_of(explanation, &left), right, edges: edges.into_iter().collect() };
    html! {
        figure {
            figcaption { "Tail calls: programs, and the tables that lead on" }
            (drawing.svg("Tail calls: programs on the left, jump tables on the right"))
            ul.legend {
                li { span.to {} "calls with this key" }
                @if drawing.edges.iter().any(|edge| edge.kind == EdgeKind::Back) {
                    li { span.back {} "the slot leads to" }
                }
                @if unknown || drawing.edges.iter().any(|edge| edge.kind == EdgeKind::Perhaps) {
                    li { span.perhaps {} "the key or the table is not known" }
                }
            }
        }
    }
}

fn table(table: &Table) -> Node {
    let shown = table.slots.iter().take(ROWS).map(|slot| {
        if slot.program.is_some() || slot.name.is_some() {
            format!("[{}]", slot.key)
        } else {
            format!("[{}]  empty", slot.key)
        }
    });
    let more = table.slots.len().saturating_sub(ROWS);
    let more = match more {
        0 if table.slots.is_empty() => Some("all slots are empty".to_string()),
        0 => None,
        more => Some(format!("and {more} more")),
    };
    Node { name: table.name.clone(), link: places::map(table.map), rows: shown.chain(more).collect() }
}

/// Who uses which map.
pub(super) fn uses(explanation: &Explanation) -> Markup {
    let uses = &explanation.graph.uses;
    let left: Vec<u32> = uses.iter().map(|used| used.program).collect::<BTreeSet<_>>().into_iter().collect();
    let right: Vec<u32> = uses.iter().map(|used| used.map).collect::<BTreeSet<_>>().into_iter().collect();
    let edges: BTreeSet<Edge> = uses
        .iter()
        .filter_map(|used| {
            let (left, right) = (position(&left, used.program)?, position(&right, used.map)?);
            Some(Edge { left, right, row: None, kind: EdgeKind::To })
        })
        .collect();
    let maps = explanation.maps.iter().filter(|map| right.contains(&map.index));
    let drawing = Drawing {
        left: programs_of(explanation, &left),
        right: maps
            .map(|map| Node { name: map.name.clone(), link: places::map(map.index), rows: Vec::new() })
            .collect(),
        edges: edges.into_iter().collect(),
    };
    html! {
        figure {
            figcaption { "Maps: which program uses which" }
            (drawing.svg("Programs on the left, the maps that they use on the right"))
        }
    }
}

fn programs_of(explanation: &Explanation, indices: &[u32]) -> Vec<Node> {
    let programs = explanation.programs.iter().filter(|program| indices.contains(&program.index));
    programs
        .map(|program| Node {
            name: program.name.clone(),
            link: places::program(program.index),
            rows: Vec::new(),
        })
        .collect()
}

fn position(all: &[u32], index: u32) -> Option<usize> {
    all.iter().position(|other| *other == index)
}
