//! Programs: what their sections' names say.

use maud::{Markup, html};

use super::parts::{fact, maybe, wrap_at};
use super::places;
use crate::model::{Load, Program};

pub(super) fn programs(programs: &[Program]) -> Markup {
    html! {
        @if programs.is_empty() { p.none { "None." } }
        @for program in programs { (self::program(program)) }
    }
}

fn program(program: &Program) -> Markup {
    let title = format!("{}-title", places::program(program.index));
    html! {
        article id=(places::program(program.index)) aria-labelledby=(title) {
            h3 id=(title) {
                span.index { "prog_fd[" (program.index) "]" } " " code { (wrap_at(&program.name)) } " "
                span.kind { "SEC(\"" (wrap_at(&program.section)) "\")" }
            }
            dl.facts {
                (fact("starts at", html! { "byte " (program.offset) " of section " code { (program.section) } ", " (program.slots) " slots: " a href={ "#" (places::function(program.function)) } { "its code" } }))
                (fact("index", &program.order))
                (maybe("matched", program.rule.matched.as_ref().map(|row| html! { code { (row) } })))
                (fact("rule", &program.rule.why))
                (fact("section says", said(program)))
                (maybe("behind the /", program.target.as_ref().map(|target| html! { code { (target) } ": what it attaches to, or a label where its type attaches to none" })))
                (maybe("asks for", program.slot.as_ref()))
                @if !program.autoload { (fact("autoload", "off: its section begins with ?, so it is loaded only when it is asked for")) }
                (maybe("loaded as", program.load.as_ref().map(load)))
            }
            @if let Some(problem) = &program.problem {
                p.bad { strong { "Not loaded: " } (problem) }
            }
        }
    }
}

fn said(program: &Program) -> Markup {
    html! {
        @match (&program.ty, &program.attach_type) {
            (Some(ty), Some(attach)) => { "type " (ty) ", attach type " (attach) }
            (Some(ty), None) => { "type " (ty) ", no attach type" }
            (None, _) => { "no type" }
        }
        @if !program.flags.is_empty() { " (" (program.flags.join(", ")) ")" }
    }
}

fn load(load: &Load) -> Markup {
    html! {
        "prog_type " (load.type_number) " (" (load.ty) ")"
        @if let Some(attach) = &load.attach_type {
            ", expected_attach_type " (load.attach_number) " (" (attach) ")"
        }
        @if let Some(id) = load.attach_btf_id { ", attach_btf_id " (id) }
        @if !load.flags.is_empty() { ", " (load.flags.join(" | ")) }
        ", as " code { (load.kernel_name) } "; said by " (load.from)
    }
}
