//! A verifier log, folded: lines that stand together and are about the same function.

use crate::model::Span;

/// Lines of a log that are about one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fold<'a> {
    /// The function; none where the verifier speaks of the program.
    pub(super) function: Option<&'a str>,
    /// The lines.
    pub(super) lines: Vec<&'a str>,
}

/// A log, folded. Nothing is left out and nothing changes its place.
///
/// A line about an instruction starts with its slot in the program, which says the function. Source lines stand before the
/// instruction that they are of, and all else behind.
pub(super) fn fold<'a>(log: &'a str, layout: &'a [Span]) -> Vec<Fold<'a>> {
    let mut folds: Vec<Fold<'a>> = Vec::new();
    let mut waiting: Vec<&str> = Vec::new();
    for line in log.lines() {
        if is_ahead(line) {
            waiting.push(line);
            continue;
        }
        let function = match slot(line) {
            Some(slot) => function_at(layout, slot),
            None if is_about_the_program(line) => None,
            None => folds.last().and_then(|fold| fold.function),
        };
        let lines = waiting.drain(..).chain([line]);
        match folds.last_mut().filter(|fold| fold.function == function) {
            Some(fold) => fold.lines.extend(lines),
            None => folds.push(Fold { function, lines: lines.collect() }),
        }
    }
    if !waiting.is_empty() {
        folds.push(Fold { function: None, lines: waiting });
    }
    folds
}

/// Whether a line is about what comes after it.
fn is_ahead(line: &str) -> bool {
    line.starts_with(';') || line.starts_with("Validating ") || line.is_empty()
}

/// Whether a line ends what was said about a function.
fn is_about_the_program(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth ", "func#", "Func#", "insns processed "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// The slot that a line is about: `12: (bf) r6 = r1`, `from 12 to 15: R0=...`.
fn slot(line: &str) -> Option<u32> {
    let line = match line.strip_prefix("from ") {
        Some(rest) => rest.split_once(" to ")?.1,
        None => line,
    };
    let (digits, _) = line.split_once(':')?;
    digits.parse().ok()
}

fn function_at(layout: &[Span], slot: u32) -> Option<&str> {
    let inside = |span: &&Span| slot.checked_sub(span.start).is_some_and(|inside| inside < span.slots);
    layout.iter().find(inside).map(|span| span.name.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

    use super::*;

    fn span(name: &str, start: u32, slots: u32) -> Span {
        Span { function: 0, name: name.to_string(), start, slots, why: String::new() }
    }

    const LOG: &str = "func#0 @0\nfunc#1 @3\n0: R1=ctx() R10=fp0\n; int x = f(1); @ a.c:3\n0: (b7) r1 = 1\n1: (85) call pc+1\n\
                       caller:\n R10=fp0\ncallee:\n frame1: R1=1 R10=fp0\n; return x + 1; @ a.c:9\n3: (bf) r0 = r1\n4: (95) exit\n\
                       returning from callee:\n frame1: R0=1\nfrom 4 to 2: R0=1\n2: (95) exit\n\
                       processed 5 insns (limit 1000000) max_states_per_insn 0\nstack depth 0+0\n";

    #[test]
    fn lines_stand_with_their_function() {
        let layout = [span("main", 0, 3), span("sub", 3, 2)];
        let folds = fold(LOG, &layout);
        let found: Vec<(Option<&str>, usize)> =
            folds.iter().map(|fold| (fold.function, fold.lines.len())).collect();
        assert_eq!(found, [(None, 2), (Some("main"), 8), (Some("sub"), 5), (Some("main"), 2), (None, 2)]);
        assert_eq!(folds[2].lines[0], "; return x + 1; @ a.c:9", "a source line stands with its instruction");
    }

    #[test]
    fn nothing_is_lost() {
        for layout in [vec![], vec![span("main", 0, 3), span("sub", 3, 2)]] {
            let lines: Vec<&str> = fold(LOG, &layout).into_iter().flat_map(|fold| fold.lines).collect();
            assert_eq!(lines, LOG.lines().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_log_that_ends_early_keeps_its_end() {
        let folds = fold("0: (b7) r0 = 0\n; the next line", &[]);
        assert_eq!(folds.last().map(|fold| fold.lines.last().copied()), Some(Some("; the next line")));
    }
}
