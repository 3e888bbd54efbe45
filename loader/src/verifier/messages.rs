//! What the verifier says, and what it means: finds the row of the table for a message, and fills in its sentences.
//!
//! The rows stand in [`super::causes`]. A message that no row knows stays as it is.

use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use super::{Why, causes};

/// Why programs are refused: one row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cause {
    /// Its name, for scripts and for finding it in the documentation.
    pub name: &'static str,
    /// What the verifier writes, in the words of Linux 5.4 to 6.18: the beginning of a line, with `{word}` for what varies.
    pub messages: &'static [&'static str],
    /// What it means, in one sentence. `{word}` stands for what the message says there.
    pub explanation: &'static str,
    /// What to change.
    pub advice: &'static str,
    /// What it is about.
    pub about: About,
    /// What the register held before, for messages that say only what it holds no longer; empty if that does not matter.
    pub was: &'static [&'static str],
    /// Parts of the names of functions that take that away from it when they are called.
    pub ended_by: &'static [&'static str],
}

/// What a message is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// The instruction that the verifier looked at last, or the one that the message names.
    Insn,
    /// The program as a whole, or what it attaches to.
    Program,
    /// The stack that its functions need together.
    Stack,
}

/// A cause for a message, and what the message says of this case.
#[derive(Clone, Debug)]
pub(super) struct Known<'l> {
    pub(super) cause: &'static Cause,
    holes: Vec<(&'static str, &'l str)>,
}

/// Words that stand for a number.
const NUMBERS: &[&str] = &["reg", "insn", "taken"];

impl<'l> Known<'l> {
    /// The cause of a message. `held` says what the verifier knew of a register before.
    pub(super) fn find(message: &'l str, held: impl Fn(u8) -> Option<&'l str>) -> Option<Self> {
        causes::all().find_map(|cause| {
            let holes = cause.messages.iter().find_map(|pattern| read(pattern, message))?;
            let known = Self { cause, holes };
            let fits = || {
                let held = known.number("reg").and_then(&held);
                held.is_some_and(|held| cause.was.iter().any(|was| held.starts_with(was)))
            };
            (cause.was.is_empty() || fits()).then_some(known)
        })
    }

    /// The cause of a message that stands at the end of a line.
    pub(super) fn at_end(line: &'l str, causes: impl Iterator<Item = &'static Cause>) -> Option<Self> {
        let read_at_end = |pattern: &'static str| {
            let Some(Part::Text(begins)) = parts(pattern).next() else {
                return None;
            };
            read(pattern, line.get(line.rfind(begins)?..)?)
        };
        causes.into_iter().find_map(|cause| {
            let holes = cause.messages.iter().find_map(|pattern| read_at_end(pattern))?;
            Some(Self { cause, holes })
        })
    }

    /// The cause, and its sentences filled in.
    pub(super) fn why(&self) -> Why {
        let Self { cause, .. } = self;
        Why { cause, explanation: self.fill(cause.explanation), advice: self.fill(cause.advice) }
    }

    /// What the message says in this place.
    pub(super) fn number<N: FromStr>(&self, hole: &str) -> Option<N> {
        self.hole(hole)?.parse().ok()
    }

    fn hole(&self, name: &str) -> Option<&'l str> {
        self.holes.iter().find(|(hole, _)| *hole == name).map(|(_, said)| *said)
    }

    fn fill(&self, sentence: &'static str) -> String {
        parts(sentence)
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Hole(name) => self.hole(name).unwrap_or("?"),
            })
            .collect()
    }
}

/// What stands in the holes of a pattern, if the message begins as it does.
fn read<'l>(pattern: &'static str, message: &'l str) -> Option<Vec<(&'static str, &'l str)>> {
    let mut holes = Vec::new();
    let mut rest = message;
    let mut open = None;
    for part in parts(pattern) {
        let text = match part {
            Part::Hole(name) => {
                open = Some(name);
                continue;
            }
            Part::Text(text) => text,
        };
        match open.take() {
            None => rest = rest.strip_prefix(text)?,
            Some(name) => {
                let (said, behind) = rest.split_once(text)?;
                holes.push((name, said));
                rest = behind;
            }
        }
    }
    holes.extend(open.map(|name| (name, rest)));
    let is_number = |said: &str| !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit());
    let fits = holes.iter().all(|(name, said)| !NUMBERS.contains(name) || is_number(said));
    fits.then_some(holes)
}

/// A piece of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Text(&'static str),
    Hole(&'static str),
}

fn parts(pattern: &'static str) -> impl Iterator<Item = Part> {
    let pieces = pattern.split('{').flat_map(|piece| match piece.split_once('}') {
        Some((hole, text)) => [Some(Part::Hole(hole)), Some(Part::Text(text))],
        None => [None, Some(Part::Text(piece))],
    });
    pieces.flatten().filter(|part| *part != Part::Text(""))
}

/// A message as the first pattern of a cause would have it, for tests and documents.
#[cfg(test)]
fn example(pattern: &'static str) -> String {
    parts(pattern)
        .map(|part| match part {
            Part::Text(text) => text,
            Part::Hole(_) => "7",
        })
        .collect()
}

/// Registers that a message names, each once.
pub(super) fn named(message: &str) -> Vec<u8> {
    let mut found = Vec::new();
    for word in message.split(|c: char| !c.is_ascii_alphanumeric()) {
        let register = word.strip_prefix('R').and_then(|number| number.parse().ok());
        found.extend(register.filter(|number| *number <= 10 && !found.contains(number)));
    }
    found
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::format;

    use super::*;

    #[test]
    fn every_message_finds_its_own_row() {
        let patterns =
            causes::all().flat_map(|cause| cause.messages.iter().map(move |pattern| (cause, pattern)));
        let wrong = patterns.filter_map(|(cause, pattern)| {
            let message = example(pattern);
            let known = Known::find(&message, |_| cause.was.first().copied());
            let found = known.map(|known| known.cause.name);
            (found != Some(cause.name)).then(|| format!("{}: {message}: {found:?}", cause.name))
        });
        let wrong: Vec<_> = wrong.collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn sentences_ask_only_for_what_every_message_says() {
        let mut wrong = Vec::new();
        for cause in causes::all().chain(causes::types()) {
            let holes = |text| parts(text).filter(|part| matches!(part, Part::Hole(_)));
            let asked = [cause.explanation, cause.advice].into_iter().flat_map(holes);
            for (hole, pattern) in asked.flat_map(|hole| cause.messages.iter().map(move |said| (hole, said)))
            {
                if !holes(pattern).any(|said| said == hole) {
                    wrong.push((cause.name, hole, pattern));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn rows_are_whole_and_names_are_given_once() {
        let rows = || causes::all().chain(causes::types());
        let names: BTreeSet<_> = rows().map(|cause| cause.name).collect();
        assert_eq!(names.len(), rows().count());
        for cause in rows() {
            let Cause { name, messages, explanation, advice, .. } = cause;
            assert!(!messages.is_empty(), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
            for sentence in [explanation, advice] {
                assert!(!sentence.is_empty() && !sentence.ends_with('.'), "{name}: {sentence}");
                assert!(!format!("{sentence} ").contains(". "), "{name}: one sentence: {sentence}");
            }
        }
    }

    #[test]
    fn registers_are_found_in_messages() {
        assert_eq!(named("invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)"), [2]);
        assert_eq!(named("R1 type=ctx expected=fp, R10 R1 R99 XR3"), [1, 10]);
    }
}
