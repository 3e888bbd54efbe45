//! Code as the compiler wrote it, with the source lines between and what became of each instruction behind it.
//!
//! An instruction is the smallest thing on the page and there are thousands: its markup is three short elements.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::parts::{fact, maybe, wrap_at};
use super::places::{self, Changed, Places};
use crate::model::{Change, Core, Explanation, Function, Instruction, SourceLine};
use crate::words;

pub(super) fn functions(explanation: &Explanation, places: &Places<'_>) -> Markup {
    html! {
        @if explanation.functions.is_empty() { p.none { "None." } }
        @else { (choice()) }
        @for function in &explanation.functions { (self::function(function, places)) }
    }
}

/// What the listings show. The script makes it work, and visible.
pub(super) fn choice() -> Markup {
    html! {
        p.choice hidden role="group" aria-label="Which code is shown" {
            @for (view, word) in [("both", "before and after"), ("before", "before"), ("after", "after")] {
                button type="button" data-view=(view) aria-pressed=(view == "both") { (word) }
            }
        }
    }
}

fn function(function: &Function, places: &Places<'_>) -> Markup {
    let title = format!("{}-title", places::function(function.index));
    let targets: BTreeSet<u32> =
        function.instructions.iter().filter_map(|instruction| instruction.jumps_to).collect();
    let listing = Listing { function, places, targets, files: short_names(&function.lines) };
    let rows = function.instructions.len().saturating_add(function.lines.len());
    let files: BTreeSet<&str> = function.lines.iter().map(|line| line.file.as_str()).collect();
    html! {
        article.function id=(places::function(function.index)) aria-labelledby=(title) style={ "--rows:" (rows) } {
            h3 id=(title) {
                code { (wrap_at(&function.name)) } " "
                span.kind {
                    @match function.program {
                        Some(program) => { a href={ "#" (places::program(program)) } { "prog_fd[" (program) "]" } }
                        None => { "a subprogram" }
                    }
                }
            }
            p.about {
                "section " code { (function.section) } " from byte " (function.offset) ", " (function.slots) " slots"
                @for file in files { br; "from " code { (wrap_at(file)) } }
            }
            div.code {
                @for group in function.instructions.chunk_by(|a, b| listing.function.same_line(a, b)) {
                    (listing.group(group))
                }
            }
        }
    }
}

/// What a file is called in a listing: its last part, unless two files share it.
fn short_names(lines: &[SourceLine]) -> Vec<(&str, &str)> {
    let files: BTreeSet<&str> = lines.iter().map(|line| line.file.as_str()).collect();
    let short = |file: &'_ str| file.rsplit('/').next().map_or(0, str::len);
    let last = |file: &str| file.get(file.len().saturating_sub(short(file))..).map(str::to_string);
    files
        .iter()
        .map(|file| {
            let shared = files.iter().filter(|other| last(other) == last(file)).count() > 1;
            let name = if shared { file } else { file.rsplit('/').next().unwrap_or(file) };
            (*file, name)
        })
        .collect()
}

struct Listing<'a> {
    function: &'a Function,
    places: &'a Places<'a>,
    /// Instructions that are jumped to.
    targets: BTreeSet<u32>,
    /// Files and what they are called here.
    files: Vec<(&'a str, &'a str)>,
}

impl Listing<'_> {
    fn line(&self, of: &Instruction) -> Option<&SourceLine> {
        self.function.line(of)
    }

    /// The instructions of a source line.
    fn group(&self, instructions: &[Instruction]) -> Markup {
        let line = instructions.first().and_then(|first| self.line(first));
        html! {
            div {
                @if let Some(line) = line {
                    p.s { b { (self.short(&line.file)) ":" (line.line) } (line.text) }
                }
                @for instruction in instructions { (self.instruction(instruction)) }
            }
        }
    }

    fn short(&self, file: &str) -> &str {
        self.files.iter().find(|(long, _)| *long == file).map_or("?", |(_, short)| short)
    }

    fn instruction(&self, instruction: &Instruction) -> Markup {
        let changes = self.places.changes(self.function.index, instruction.at);
        if instruction.relocation.is_some() || instruction.core.is_some() || !changes.is_empty() {
            return self.special(instruction, changes);
        }
        let wanted = self.targets.contains(&instruction.at)
            || self.places.is_wanted(self.function.index, instruction.at);
        html! {
            p id=[wanted.then(|| self.id(instruction.at))] { (self.row(instruction, &instruction.bytes, &instruction.text)) }
        }
    }

    fn id(&self, at: u32) -> String {
        places::instruction(self.function.index, at)
    }

    fn row(&self, instruction: &Instruction, bytes: &str, text: &str) -> Markup {
        html! {
            b { (instruction.at) } i { (bytes) } (text)
            @if let Some(to) = instruction.jumps_to {
                " " a href={ "#" (self.id(to)) } { "to " (to) }
            }
        }
    }

    /// An instruction that refers to something, or that was changed.
    fn special(&self, instruction: &Instruction, changes: &[Changed<'_>]) -> Markup {
        let after = different(changes);
        html! {
            details id=(self.id(instruction.at)) {
                summary {
                    span.before[!after.is_empty()] { (self.row(instruction, &instruction.bytes, &instruction.text)) }
                    @for change in &after {
                        span.after { (self.row(instruction, &change.after.bytes, &change.after.text)) }
                    }
                    em { (mark(instruction, changes)) }
                }
                dl.facts { (self.facts(instruction, changes)) }
            }
        }
    }

    fn facts(&self, instruction: &Instruction, changes: &[Changed<'_>]) -> Markup {
        let line = self.line(instruction);
        html! {
            @if let Some(relocation) = &instruction.relocation {
                (fact("symbol", html! { code { (wrap_at(&relocation.symbol)) } }))
                (fact("relocation", html! { (words::relocation(relocation.kind)) ": " (relocation.why) }))
            }
            @if let Some(core) = &instruction.core {
                // Where there is a change, it says the rest.
                @if changes.is_empty() { (self::core(core)) } @else { (fact("question", &core.question)) }
                (fact("in short", &core.answer))
            }
            (maybe("source", line.map(|line| html! { code.source { (line.text) } })))
            @for (linked, change) in changes {
                (fact("changed", html! {
                    a href={ "#" (places::change(linked.program, change.at)) } { "slot " (change.at) " of " (linked.name) }
                }))
            }
        }
    }
}

/// Changes that make different bytes, and others than there were.
fn different<'e>(changes: &[Changed<'e>]) -> Vec<&'e Change> {
    let mut seen: Vec<&Change> = Vec::new();
    for (_, change) in changes {
        let new = !seen.iter().any(|other| other.after.bytes == change.after.bytes);
        if new && change.after.bytes != change.before.bytes {
            seen.push(change);
        }
    }
    seen
}

/// What an instruction is about, in a few words.
fn mark(instruction: &Instruction, changes: &[Changed<'_>]) -> Markup {
    html! {
        @if let Some(relocation) = &instruction.relocation {
            (words::relocation(relocation.kind)) " " (relocation.symbol)
        } @else if let Some(core) = &instruction.core {
            "CO-RE: " (core.question)
        } @else if let Some((_, change)) = changes.first() {
            (change.reason)
        }
    }
}

/// The question and the answer of CO-RE; stands in a `dl.facts`.
pub(super) fn core(core: &Core) -> Markup {
    let number = |n: Option<u64>| n.map_or("?".to_string(), |n| n.to_string());
    html! {
        (fact("question", &core.question))
        (fact("path", html! {
            "access string " code { (core.access) }
            @for (at, step) in core.path.iter().enumerate() {
                @if at == 0 { ": " } @else { ", then " }
                (step.of) " " code { (step.to) } " at bit " (step.bit_offset)
            }
        }))
        @if core.local.is_some() {
            (fact("answer", html! {
                (number(core.local)) " in the object's types, " (number(core.target)) " in the kernel's"
                @if let Some(from) = &core.from { " (" (from) ")" }
            }))
        } @else {
            (fact("answer", &core.answer))
        }
    }
}
