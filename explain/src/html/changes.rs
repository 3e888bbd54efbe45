//! Every change between what the compiler wrote and what the kernel gets, as before and after.

use maud::{Markup, html};

use super::code;
use super::parts::{count, fact, maybe, wrap_at};
use super::places::{self, Places};
use crate::model::{Change, ChangeKind, Code, Explanation, Extern, Linked, Span};

pub(super) fn linked(explanation: &Explanation, places: &Places<'_>) -> Markup {
    let changed = explanation.linked.iter().any(|linked| !linked.changes.is_empty());
    html! {
        @if !explanation.externs.is_empty() { (externs(&explanation.externs)) }
        @if explanation.linked.is_empty() { p.none { "None." } }
        @if changed { (code::choice()) }
        @for linked in &explanation.linked { (one(linked, places)) }
    }
}

fn externs(externs: &[Extern]) -> Markup {
    html! {
        h3 { "Externs" }
        div.wide {
            table {
                thead { tr { th { "name" } th { "what it is" } th { "what it turned out to be" } } }
                tbody {
                    @for external in externs {
                        tr {
                            td.name { code { (external.name) } }
                            td { @if external.weak { "weak " } (external.kind) }
                            td.prose { (external.found) }
                        }
                    }
                }
            }
        }
    }
}

fn one(linked: &Linked, places: &Places<'_>) -> Markup {
    let title = format!("{}-title", places::linked(linked.program));
    let slots: u32 = linked.layout.iter().map(|span| span.slots).fold(0, u32::saturating_add);
    let (changed, same) = linked.changed();
    html! {
        article id=(places::linked(linked.program)) aria-labelledby=(title) {
            h3 id=(title) {
                span.index { "prog_fd[" (linked.program) "]" } " " code { (wrap_at(&linked.name)) } " "
                span.kind {
                    (count(changed, "instruction")) " of " (slots) " slots changed"
                    @if same > 0 { ", " (same) " right as written" }
                }
            }
            @if let Some(problem) = &linked.problem {
                p.bad { strong { "Cannot be linked: " } (problem) }
            }
            @if !linked.layout.is_empty() { (layout(&linked.layout)) }
            @for change in &linked.changes { (self::change(linked, change, places)) }
        }
    }
}

fn layout(spans: &[Span]) -> Markup {
    html! {
        dl.facts {
            @for span in spans {
                (fact(
                    &format!("slots {} to {}", span.start, span.start.saturating_add(span.slots).saturating_sub(1)),
                    html! {
                        a href={ "#" (places::function(span.function)) } { code { (wrap_at(&span.name)) } }
                        ": " (span.why)
                    },
                ))
            }
        }
    }
}

fn change(linked: &Linked, change: &Change, places: &Places<'_>) -> Markup {
    html! {
        div.change id=(places::change(linked.program, change.at)) {
            h4 {
                a href=[places.link(linked.program, change.at)] {
                    "slot " (change.at) " (" (change.function) "+" (change.function_at) ")"
                }
                " " span.kind { (kind(change.kind)) @if !change.symbol.is_empty() { " " (change.symbol) } }
            }
            @if let Some(line) = &change.line { p.source { (line) } }
            div.code {
                (code("before", &change.before))
                (code("after", &change.after))
            }
            dl.facts {
                (fact("why", &change.reason))
                @if let Some(core) = &change.core { (code::core(core)) }
                (maybe("later", change.later.as_ref()))
            }
        }
    }
}

fn code(which: &str, code: &Code) -> Markup {
    html! {
        p class=(which) { b { (which) } i { (code.bytes) } (code.text) }
    }
}

const fn kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Map => "map",
        ChangeKind::MapValue => "value of map",
        ChangeKind::Call => "call of",
        ChangeKind::FunctionAddress => "address of",
        ChangeKind::Extern => "outside of the object:",
        ChangeKind::Core => "fitted to the kernel's types",
        ChangeKind::Poison => "cannot work on this kernel",
        ChangeKind::Helper => "another helper",
    }
}
