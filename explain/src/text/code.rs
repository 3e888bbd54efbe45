//! Code as it was written, and every change on its way to the kernel.

use super::page::{Page, Piece, Tone, bad, code, dim, name, plain, source};
use crate::model::{Change, Core, Explanation, Function, Instruction, Linked};
use crate::words;

/// Columns of the bytes of a 64-bit load.
const BYTES: usize = 47;

pub(super) fn functions(page: &mut Page, functions: &[Function]) {
    for (number, function) in functions.iter().enumerate() {
        if number > 0 {
            page.blank();
        }
        let what =
            function.program.map_or("a subprogram".to_string(), |program| format!("prog_fd[{program}]"));
        let place = format!(
            "  {what}, section {:?} from byte {}, {} slots",
            function.section, function.offset, function.slots
        );
        page.line(2, 6, &[name(&function.name), plain(place)]);
        for group in function.instructions.chunk_by(|a, b| function.same_line(a, b)) {
            if let Some(line) = group.first().and_then(|first| function.line(first)) {
                page.line(4, 8, &[source(format!("; {}:{}: {}", line.file, line.line, line.text))]);
            }
            group.iter().for_each(|instruction| self::instruction(page, instruction));
        }
    }
}

fn instruction(page: &mut Page, instruction: &Instruction) {
    let jumps = instruction.jumps_to.map(|to| format!("  to {to}")).unwrap_or_default();
    let row = format!("{:>4}  {:<BYTES$}  ", instruction.at, instruction.bytes);
    page.line(4, 59, &[dim(row), code(&instruction.text), dim(jumps)]);
    if let Some(relocation) = &instruction.relocation {
        let what = format!("{} ", words::relocation(relocation.kind));
        page.line(10, 12, &[plain(what), name(&relocation.symbol), plain(format!(": {}", relocation.why))]);
    }
    if let Some(core) = &instruction.core {
        page.line(10, 12, &[plain("CO-RE: "), name(&core.question)]);
    }
}

pub(super) fn linked(page: &mut Page, explanation: &Explanation) {
    for external in &explanation.externs {
        let weak = if external.weak { "weak " } else { "" };
        let what = format!("  {weak}{}: {}", external.kind, external.found);
        page.line(2, 6, &[plain("extern "), name(&external.name), plain(what)]);
    }
    if !explanation.externs.is_empty() {
        page.blank();
    }
    for (number, linked) in explanation.linked.iter().enumerate() {
        if number > 0 {
            page.blank();
        }
        one(page, linked);
    }
}

fn one(page: &mut Page, linked: &Linked) {
    let slots: u32 = linked.layout.iter().map(|span| span.slots).fold(0, u32::saturating_add);
    let (changed, same) = linked.changed();
    let s = if changed == 1 { "" } else { "s" };
    let right = if same == 0 { String::new() } else { format!(", {same} right as written") };
    let title = format!("  {slots} slots, {changed} instruction{s} changed{right}");
    page.line(2, 6, &[plain(format!("prog_fd[{}]  ", linked.program)), name(&linked.name), plain(title)]);
    if let Some(problem) = &linked.problem {
        page.line(6, 8, &[bad("cannot be linked: "), plain(problem)]);
        return;
    }
    for span in &linked.layout {
        let last = span.start.saturating_add(span.slots).saturating_sub(1);
        let row = format!("slots {} to {last}  ", span.start);
        page.line(6, 21, &[dim(row), name(&span.name), plain(format!(": {}", span.why))]);
    }
    for change in &linked.changes {
        page.blank();
        self::change(page, change);
    }
}

fn change(page: &mut Page, change: &Change) {
    let place = format!("slot {} ({}+{})", change.at, change.function, change.function_at);
    let mut pieces: Vec<Piece> = vec![name(place)];
    pieces.extend(change.line.as_ref().map(|line| source(format!("  ; {line}"))));
    page.line(4, 8, &pieces);
    let row = |bytes: &str| format!("{bytes:<BYTES$}  ");
    let (before, after) = (&change.before, &change.after);
    page.line(6, 63, &[dim("before  "), (Tone::Before, row(&before.bytes)), code(&before.text)]);
    page.line(6, 63, &[dim("after   "), (Tone::After, row(&after.bytes)), code(&after.text)]);
    page.line(6, 14, &[dim("why     "), plain(&change.reason)]);
    if let Some(core) = &change.core {
        self::core(page, core);
    }
    if let Some(later) = &change.later {
        page.line(6, 14, &[dim("later   "), plain(later)]);
    }
}

fn core(page: &mut Page, core: &Core) {
    let steps: Vec<String> =
        core.path.iter().map(|step| format!("{} {} at bit {}", step.of, step.to, step.bit_offset)).collect();
    let steps = if steps.is_empty() { String::new() } else { format!(": {}", steps.join(", then ")) };
    page.line(6, 14, &[dim("path    "), plain(format!("access string {:?}{steps}", core.access))]);
    let number = |n: Option<u64>| n.map_or("?".to_string(), |n| n.to_string());
    if core.local.is_some() {
        let from = core.from.as_ref().map(|from| format!(" ({from})")).unwrap_or_default();
        let words = format!(
            "{} in the object's types, {} in the kernel's{from}",
            number(core.local),
            number(core.target)
        );
        page.line(6, 14, &[dim("answer  "), plain(words)]);
    } else {
        page.line(6, 14, &[dim("answer  "), plain(&core.answer)]);
    }
}
