//! What the kernel said.

use super::page::{Page, Piece, bad, code, dim, name, plain};
use super::parts::{calls, fact};
use crate::model::{
    Attachment, Kernel, LoadedProgram, MachineInstruction, MessagePart, RefusedProgram, Xlated,
    XlatedInstruction,
};

/// Columns of one of two instructions that stand beside each other.
const HALF: usize = 45;

pub(super) fn kernel(page: &mut Page, kernel: &Kernel) {
    calls(page, &kernel.calls);
    for note in &kernel.notes {
        page.line(2, 4, &[bad("note: "), plain(note)]);
    }
    for problem in &kernel.problems {
        page.line(2, 4, &[bad("problem: "), plain(problem)]);
    }
    arrays(page, kernel);
    if let Some(attachment) = &kernel.attachment {
        page.blank();
        self::attachment(page, attachment);
    }
    for refused in &kernel.refused {
        page.blank();
        self::refused(page, refused);
    }
    for program in &kernel.prog_fd {
        page.blank();
        self::program(page, program);
    }
}

fn arrays(page: &mut Page, kernel: &Kernel) {
    if !kernel.map_fd.is_empty() || !kernel.prog_fd.is_empty() {
        page.blank();
        page.line(2, 4, &[dim("the arrays as they ended up")]);
    }
    for map in &kernel.map_fd {
        let row = format!("map_fd[{}] = {:<4} id {:<6} ", map.index, map.fd, map.id);
        page.line(4, 8, &[plain(row), name(&map.name)]);
    }
    for program in &kernel.prog_fd {
        let row = format!("prog_fd[{}] = {:<3} id {:<6} ", program.index, program.fd, program.id);
        let section = format!("  SEC({:?})", program.section);
        page.line(4, 8, &[plain(row), name(&program.name), plain(section)]);
    }
    for slot in &kernel.slots {
        let number = |n: Option<i64>| n.map_or("?".to_string(), |n| n.to_string());
        let (fd, id) = (number(slot.written_fd.map(i64::from)), number(slot.read_id.map(i64::from)));
        let words =
            format!("{}[{}]: fd {fd} of {} was written, {id} is read:", slot.map, slot.key, slot.program);
        page.line(4, 8, &[plain(words)]);
        page.line(8, 8, &[plain(WHY_AN_ID)]);
    }
}

/// On a line of its own, so that long ids wrap nothing.
const WHY_AN_ID: &str = "the kernel keeps the program or map itself and tells its id, since a descriptor means something in one process only";

fn attachment(page: &mut Page, attachment: &Attachment) {
    let mode = attachment.mode.as_deref().unwrap_or("an unknown");
    let title = format!(" was attached to {}, made for that, in {mode} mode", attachment.interface);
    page.line(2, 4, &[name(&attachment.program), plain(title)]);
    parts(page, &attachment.message);
    fact(page, "reply", &attachment.reply);
    parts(page, &attachment.answer);
}

fn parts(page: &mut Page, parts: &[MessagePart]) {
    for part in parts {
        let indent = "  ".repeat(usize::try_from(part.depth).unwrap_or(0));
        let title = format!("{indent}{}", part.name);
        let row = format!("{:>3}  {:<12}  {title:<22}", part.offset, part.bytes);
        page.line(4, 45, &[plain(row), dim(&part.meaning)]);
    }
}

fn refused(page: &mut Page, refused: &RefusedProgram) {
    page.line(2, 4, &[name(&refused.name), bad(format!(" was refused: {}", refused.errno))]);
    for line in &refused.told {
        page.line(4, 8, &[plain(line)]);
    }
    log(page, &refused.log, refused.log_cut);
}

fn log(page: &mut Page, log: &str, cut: bool) {
    if cut {
        page.line(6, 6, &[dim("(the kernel cut this log)")]);
    }
    for line in log.lines() {
        page.line(6, 8, &[plain(line)]);
    }
}

fn program(page: &mut Page, program: &LoadedProgram) {
    let title = format!(": id {}, tag {}", program.id, program.tag);
    page.line(2, 4, &[name(&program.name), plain(title)]);
    fact(page, "verified", &format!("{} instructions looked at", program.verified_instructions));
    for line in &program.statistics {
        fact(page, "statistics", line);
    }
    if !program.log.is_empty() {
        page.line(4, 6, &[dim("the verifier's log")]);
        log(page, &program.log, program.log_cut);
    }
    if !program.xlated.is_empty() {
        page.line(4, 6, &[dim(format!("{:<HALF$}  what the verifier made of it (*: other bytes)", "sent"))]);
    }
    for row in &program.xlated {
        beside(page, row);
    }
    if program.machine_bytes > 0 {
        page.line(4, 6, &[dim(format!("machine code, {} bytes", program.machine_bytes))]);
    }
    for MachineInstruction { offset, bytes, text } in &program.machine_code {
        page.line(4, 44, &[dim(format!("{offset:>5x}  {bytes:<32} ")), code(text)]);
    }
}

fn beside(page: &mut Page, row: &Xlated) {
    let rows = row.ours.len().max(row.kernel.len());
    for at in 0..rows {
        let left = row.ours.get(at).map(shown).unwrap_or_default();
        let right = row.kernel.get(at).map(shown).unwrap_or_default();
        let mark = if row.differs { "* " } else { "  " };
        let left: String = left.chars().take(HALF).collect();
        let right: Piece = if row.differs { (super::page::Tone::After, right) } else { plain(right) };
        page.line(4, HALF.saturating_add(8), &[plain(format!("{left:<HALF$}")), bad(mark), right]);
        if row.differs {
            let bytes = |side: &[XlatedInstruction]| side.get(at).map(first_slot).unwrap_or_default();
            let (left, right) = (bytes(&row.ours), bytes(&row.kernel));
            page.line(4, HALF.saturating_add(8), &[dim(format!("{left:<HALF$}  ")), dim(right)]);
        }
    }
}

/// The bytes of an instruction under its text; of a wide one the first half, which says what it refers to.
fn first_slot(instruction: &XlatedInstruction) -> String {
    const DIGITS: usize = 8 * 3 - 1;
    let wide = if instruction.bytes.len() > DIGITS { " ..." } else { "" };
    format!("      {}{wide}", instruction.bytes.get(..DIGITS).unwrap_or(&instruction.bytes))
}

fn shown(instruction: &XlatedInstruction) -> String {
    format!("{:>4}  {}", instruction.at, instruction.text)
}
