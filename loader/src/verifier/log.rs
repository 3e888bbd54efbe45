//! A verifier's log, line by line: what each of them is.
//!
//! Reads the words of Linux 5.4 to 6.18, which changed between them: a state has stood on a line of its own, behind its
//! instruction and behind a jump; source lines carry their place since 6.10. Nothing here knows what a message means.
//!
//! Source: `do_check`, `print_bpf_insn`, `print_verifier_state`, `print_insn_state`, `verbose_linfo`, `kernel/bpf`.

use super::state::State;

/// One line of a log, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line<'l> {
    /// An instruction that the verifier looked at.
    Insn(InsnLine<'l>),
    /// What it knew: at a slot, behind a jump, or of a function that is entered or left.
    State(StateLine<'l>),
    /// A line of C, from which the instructions behind it were made.
    Source(SourceLine<'l>),
    /// A function is entered: what stands above is its caller's.
    Enters,
    /// A function has returned: what stands above is its own.
    Returns,
    /// A function begins that is looked at by itself.
    Begins,
    /// Counts, and what it says while it works.
    Note,
    /// Anything else: why it refuses, if it is the last.
    Message(&'l str),
}

/// An instruction: `12: (61) r2 = *(u32 *)(r1 +0)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InsnLine<'l> {
    /// Its slot in the program.
    pub(super) slot: u32,
    /// Its text, without slot and code.
    pub(super) text: &'l str,
    /// What was known behind it, as far as it changed. Since: Linux 5.17 at this log level.
    pub(super) after: Option<State<'l>>,
    /// A source line of the next instruction that stands on the same line.
    pub(super) next: Option<SourceLine<'l>>,
}

/// A state: `12: R1=ctx()`, `from 12 to 20: R1=ctx()`, `frame1: R1=ctx()`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StateLine<'l> {
    /// The jump behind which it is, if it is one that was put off.
    pub(super) from: Option<u32>,
    /// What was known.
    pub(super) state: State<'l>,
}

/// A line of C: `; u8 *data = ctx->data; @ drop.c:12`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SourceLine<'l> {
    /// Its text.
    pub(super) text: &'l str,
    /// File, without folders, and line number. Since: Linux 6.10.
    pub(super) place: Option<(&'l str, u32)>,
}

/// What lines begin with that say how the work went on. `N: safe` and the like are found by their ends.
const NOTES: &[&str] = &[
    "processed ",
    "verification time",
    "stack depth ",
    "func#",
    "Func#",
    "caller:",
    "returning from callee:",
    "cur state:",
    "old state:",
    "mark_precise:",
    "force_precise:",
    "last_idx ",
    "regs=",
    "parent ",
    "propagating ",
    "frame 0: propagating",
    "-- ",
    "live regs before insn:",
    "using ",
];

/// What lines begin with that stand between functions.
const BETWEEN: &[(&str, Line<'_>)] =
    &[("callee:", Line::Enters), ("to caller at ", Line::Returns), ("Validating ", Line::Begins)];

/// What a line is.
pub(super) fn read(line: &str) -> Line<'_> {
    let line = line.trim();
    if line.is_empty() || NOTES.iter().any(|note| line.starts_with(note)) || line.ends_with(": safe") {
        return Line::Note;
    }
    let between = BETWEEN.iter().find(|(begins, _)| line.starts_with(begins));
    if let Some((_, line)) = between {
        return *line;
    }
    if let Some(comment) = line.strip_prefix(';') {
        return Line::Source(source(comment));
    }
    let read = jump(line).or_else(|| numbered(line)).or_else(|| bare(line));
    read.unwrap_or(Line::Message(without_counts(line)))
}

/// Some messages do not end their line.
fn without_counts(line: &str) -> &str {
    match line.split_once("processed ") {
        Some((message, counts)) if counts.contains(" insns (limit ") => message,
        Some(_) | None => line,
    }
}

/// `12: (61) r2 = ...` or `12: R1=...`.
fn numbered(line: &str) -> Option<Line<'_>> {
    let (slot, rest) = line.split_once(": ")?;
    let slot = slot.parse().ok()?;
    match rest.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((code, rest)) if u8::from_str_radix(code, 16).is_ok() => Some(Line::Insn(insn(slot, rest))),
        // The control flow's check shows lines of C so.
        Some(_) | None => bare(rest).or(Some(Line::Note)),
    }
}

/// `R1=ctx() R10=fp0`, with or without the number of a frame before it.
fn bare(line: &str) -> Option<Line<'_>> {
    State::read(line).map(|state| Line::State(StateLine { from: None, state }))
}

/// `from 12 to 20: R1=...`; what stands between them says why, such as `(speculative execution)`.
fn jump(line: &str) -> Option<Line<'_>> {
    let (from, rest) = line.strip_prefix("from ")?.split_once(" to ")?;
    let from = from.parse().ok()?;
    let (_to, state) = rest.split_once(": ")?;
    Some(Line::State(StateLine { from: Some(from), state: State::read(state)? }))
}

/// An instruction's text, and what else stands on its line.
fn insn(slot: u32, rest: &str) -> InsnLine<'_> {
    if let Some((text, comment)) = rest.split_once(';') {
        return match State::read(comment) {
            Some(after) => InsnLine { after: Some(after), ..plain(slot, text) },
            None if comment.trim().is_empty() => plain(slot, text),
            None => InsnLine { next: Some(source(comment)), ..plain(slot, text) },
        };
    }
    // Since Linux 5.17 the state behind a jump stands on its line: `if r1 == 0x0 goto pc+5 20: R0=1`.
    let Some((before, state)) = rest.split_once(": ") else {
        return plain(slot, rest);
    };
    match (before.trim_end().rsplit_once(' '), State::read(state)) {
        (Some((text, next)), Some(after)) if next.parse::<u32>().is_ok() => {
            InsnLine { after: Some(after), ..plain(slot, text) }
        }
        _ => plain(slot, rest),
    }
}

fn plain(slot: u32, text: &str) -> InsnLine<'_> {
    InsnLine { slot, text: text.trim(), after: None, next: None }
}

fn source(comment: &str) -> SourceLine<'_> {
    let comment = comment.trim();
    let placed = comment.rsplit_once(" @ ").and_then(|(text, place)| {
        let (file, line) = place.rsplit_once(':')?;
        Some(SourceLine { text: text.trim(), place: Some((file, line.parse().ok()?)) })
    });
    placed.unwrap_or(SourceLine { text: comment, place: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn_of(line: &str) -> InsnLine<'_> {
        let Line::Insn(insn) = read(line) else { panic!("{line}: {:?}", read(line)) };
        insn
    }

    #[test]
    fn instructions_of_all_versions() {
        let old = insn_of("12: (61) r2 = *(u32 *)(r1 +0)");
        assert_eq!((old.slot, old.text, old.after), (12, "r2 = *(u32 *)(r1 +0)", None));
        let new = insn_of("0: (61) r1 = *(u32 *)(r1 +0)          ; R1_w=pkt(off=0,r=0)");
        assert_eq!((new.text, new.after), ("r1 = *(u32 *)(r1 +0)", State::read("R1_w=pkt(off=0,r=0)")));
        let jump = insn_of("14: (16) if w1 == 0x0 goto pc+5 20: R0=1 R10=fp0");
        assert_eq!((jump.text, jump.after), ("if w1 == 0x0 goto pc+5", State::read("R0=1 R10=fp0")));
        let quiet = insn_of("9: (85) call bpf_ringbuf_submit#132   ;");
        assert_eq!((quiet.text, quiet.after, quiet.next), ("call bpf_ringbuf_submit#132", None, None));
        let source = insn_of("3: (16) if w2 == 0x0 goto pc-2 ; while (!ready) @ loop.c:10");
        let line = SourceLine { text: "while (!ready)", place: Some(("loop.c", 10)) };
        assert_eq!((source.text, source.next), ("if w2 == 0x0 goto pc-2", Some(line)));
    }

    #[test]
    fn everything_else() {
        let state = |from, text| Line::State(StateLine { from, state: State::read(text).unwrap() });
        let source = |text, place| Line::Source(SourceLine { text, place });
        let rows: &[(&str, Line<'_>)] = &[
            ("0: R1=ctx(id=0,off=0,imm=0) R10=fp0", state(None, "R1=ctx(id=0,off=0,imm=0) R10=fp0")),
            ("from 3 to 5: R0=inv(id=0) R10=fp0", state(Some(3), "R0=inv(id=0) R10=fp0")),
            (" frame1: R1_w=ctx(id=0)", state(None, "frame1: R1_w=ctx(id=0)")),
            ("; return *p; @ a.c:7", source("return *p;", Some(("a.c", 7)))),
            ("; x = y @ z", source("x = y @ z", None)),
            ("from 3 to 5: safe", Line::Note),
            ("5: safe", Line::Note),
            ("processed 4 insns (limit 1000000)", Line::Note),
            ("callee:", Line::Enters),
            ("to caller at 9:", Line::Returns),
            ("Validating f() func#1...", Line::Begins),
            ("R1 invalid mem access 'inv'", Line::Message("R1 invalid mem access 'inv'")),
            ("unreachable insn 2", Line::Message("unreachable insn 2")),
            ("cannot do itprocessed 7 insns (limit 1000000)", Line::Message("cannot do it")),
        ];
        for (line, expected) in rows {
            assert_eq!(read(line), *expected, "{line}");
        }
    }
}
