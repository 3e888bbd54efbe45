//! What the kernel said.

use maud::{Markup, html};

use super::log::{Fold, fold};
use super::parts::{calls, count, fact, wrap_at};
use super::places;
use crate::model::{
    Attachment, Explanation, Kernel, LoadedProgram, MessagePart, RefusedProgram, SlotInKernel, Span, Xlated,
    XlatedInstruction,
};

/// What the table of contents lists of it.
pub(super) fn entries(kernel: &Kernel) -> Vec<(String, &str)> {
    let programs = kernel.prog_fd.iter();
    programs.map(|program| (places::in_kernel(program.index), program.name.as_str())).collect()
}

pub(super) fn kernel(kernel: &Kernel, explanation: &Explanation) -> Markup {
    let spans = |name: &str| {
        let linked = explanation.linked.iter().find(|linked| linked.name == name);
        linked.map(|linked| linked.layout.as_slice()).unwrap_or_default()
    };
    html! {
        @for note in &kernel.notes { p.bad { strong { "Note: " } (note) } }
        @for problem in &kernel.problems { p.bad { strong { "Problem: " } (problem) } }
        h3 { "Calls and answers" }
        (calls(&kernel.calls))
        (arrays(kernel))
        @if let Some(attachment) = &kernel.attachment { (self::attachment(attachment)) }
        @for refused in &kernel.refused { (self::refused(refused, spans(&refused.name))) }
        @for program in &kernel.prog_fd { (self::program(program, spans(&program.name))) }
    }
}

fn arrays(kernel: &Kernel) -> Markup {
    html! {
        @if !kernel.map_fd.is_empty() || !kernel.prog_fd.is_empty() {
            h3 { "The arrays as they ended up" }
            div.wide {
                table {
                    thead { tr { th { "element" } th.n { "descriptor" } th.n { "id" } th { "name" } } }
                    tbody {
                        @for map in &kernel.map_fd {
                            tr {
                                td { code { "map_fd[" (map.index) "]" } }
                                td.n data-is="descriptor" { (map.fd) }
                                td.n data-is="id" { (map.id) }
                                td.name { a href={ "#" (places::map(map.index)) } { code { (map.name) } } }
                            }
                        }
                        @for program in &kernel.prog_fd {
                            tr {
                                td { code { "prog_fd[" (program.index) "]" } }
                                td.n data-is="descriptor" { (program.fd) }
                                td.n data-is="id" { (program.id) }
                                td.name {
                                    a href={ "#" (places::program(program.index)) } { code { (program.name) } }
                                    " SEC(\"" (program.section) "\")"
                                }
                            }
                        }
                    }
                }
            }
        }
        @for slot in &kernel.slots { (self::slot(slot)) }
    }
}

fn slot(slot: &SlotInKernel) -> Markup {
    let number = |n: Option<i64>| n.map_or("?".to_string(), |n| n.to_string());
    html! {
        p.note {
            code { (slot.map) "[" (slot.key) "]" } ": fd " (number(slot.written_fd.map(i64::from))) " of "
            code { (slot.program) } " was written, id " (number(slot.read_id.map(i64::from)))
            " is read: the kernel keeps the program or map itself and tells its id, since a descriptor means something in one process only."
        }
    }
}

fn attachment(attachment: &Attachment) -> Markup {
    html! {
        h3 { "The attachment" }
        p {
            code { (attachment.program) } " was attached to " code { (attachment.interface) } ", made for that, in "
            (attachment.mode.as_deref().unwrap_or("an unknown")) " mode."
        }
        (parts("RTM_SETLINK", &attachment.message))
        dl.facts { (fact("reply", &attachment.reply)) }
        @if !attachment.answer.is_empty() { (parts("NLMSG_ERROR", &attachment.answer)) }
    }
}

fn parts(title: &str, parts: &[MessagePart]) -> Markup {
    html! {
        div.wide {
            table.bytes {
                caption { code { (title) } ", byte by byte" }
                thead { tr { th.n { "byte" } th { "bytes" } th { "part" } th { "what it says" } } }
                tbody {
                    @for part in parts {
                        tr {
                            td.n data-is="byte" { (part.offset) }
                            td { code { (part.bytes) } }
                            td class={ "d" (part.depth.min(4)) } { code { (part.name) } }
                            td.prose { (part.meaning) }
                        }
                    }
                }
            }
        }
    }
}

fn refused(refused: &RefusedProgram, layout: &[Span]) -> Markup {
    html! {
        h3 { code { (wrap_at(&refused.name)) } " " span.kind { "was refused" } }
        p.bad { strong { "Refused: " } (refused.errno) }
        @if !refused.told.is_empty() { pre.told { @for line in &refused.told { (line) "\n" } } }
        (log(&refused.log, refused.log_cut, layout, true))
    }
}

fn program(program: &LoadedProgram, layout: &[Span]) -> Markup {
    let title = format!("{}-title", places::in_kernel(program.index));
    html! {
        article id=(places::in_kernel(program.index)) aria-labelledby=(title) {
            h3 id=(title) {
                code { (wrap_at(&program.name)) } " " span.kind { "id " (program.id) ", tag " (program.tag) }
            }
            dl.facts {
                (fact("verified", html! { (program.verified_instructions) " instructions looked at" }))
                @if !program.statistics.is_empty() { (fact("statistics", lines(&program.statistics))) }
            }
            @if !program.log.is_empty() {
                h4 { "The verifier's log" }
                (log(&program.log, program.log_cut, layout, false))
            }
            @if !program.xlated.is_empty() { (xlated(&program.xlated)) }
            @if program.machine_bytes > 0 { (machine(program)) }
        }
    }
}

fn lines(lines: &[String]) -> Markup {
    html! { @for (number, line) in lines.iter().enumerate() { @if number > 0 { br; } (line) } }
}

/// A log, folded by function. The end of a refusal says why, so it is open.
fn log(log: &str, cut: bool, layout: &[Span], refused: bool) -> Markup {
    let folds = fold(log, layout);
    let last = folds.len();
    html! {
        @if cut { p.about { "The kernel cut this log." } }
        @for (number, fold) in folds.iter().enumerate() {
            (one(fold, refused && number.saturating_add(2) >= last))
        }
    }
}

fn one(fold: &Fold<'_>, open: bool) -> Markup {
    html! {
        details.log open[open] {
            summary {
                @match fold.function {
                    Some(name) => { code { (wrap_at(name)) } }
                    None => { "about the program" }
                }
                " " span.kind { (count(fold.lines.len(), "line")) }
            }
            pre { @for line in &fold.lines { (line) "\n" } }
        }
    }
}

fn xlated(rows: &[Xlated]) -> Markup {
    html! {
        h4 { "What was sent, and what the verifier made of it" }
        div.wide {
            table.beside {
                thead { tr { th { "sent" } th { "in the kernel" } } }
                tbody {
                    @for row in rows {
                        @for at in 0..row.ours.len().max(row.kernel.len()) {
                            tr.d[row.differs] { (half(row.ours.get(at))) (half(row.kernel.get(at))) }
                        }
                    }
                }
            }
        }
    }
}

fn half(instruction: Option<&XlatedInstruction>) -> Markup {
    html! { td { @if let Some(XlatedInstruction { at, text, .. }) = instruction { b { (at) } (text) } } }
}

fn machine(program: &LoadedProgram) -> Markup {
    html! {
        details.log {
            summary { "Machine code " span.kind { (program.machine_bytes) " bytes" } }
            div.code.machine {
                @for line in &program.machine_code {
                    p { b { (format!("{:x}", line.offset)) } i { (line.bytes) } (line.text) }
                }
            }
        }
    }
}
