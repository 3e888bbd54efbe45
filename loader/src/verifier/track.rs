//! The way back: from an instruction of a log towards the beginning of its path, and what happened to a register there.
//!
//! A path leaves a function that was called in the middle, and since Linux 5.8 a log holds one path only. Older ones hold
//! all of them, one behind the other: where one begins at a branch, the way back goes on at the jump.

use core::iter::Rev;
use core::str::Lines;

use alloc::vec::Vec;

use super::EventKind;
use super::log::{self, InsnLine, Line, SourceLine};
use super::place::{Effect, Place, effect};
use super::state::State;

/// Most events of one register: more are turns of a loop.
const MOST_EVENTS: usize = 12;

/// Most lines that are followed back for one register.
const MOST_LINES: usize = 100_000;

/// A way back through a log. Each step gives what stands there, and how many calls deeper than the start it is: above 0
/// in functions that have returned, below 0 in those that called.
#[derive(Clone, Debug)]
pub(super) struct Back<'l> {
    lines: Rev<Lines<'l>>,
    depth: i32,
    /// Where the path began, if it was seen to begin.
    pub(super) end: Option<End>,
}

/// How a way back ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// At the beginning of a function that is looked at by itself.
    Function,
    /// At the beginning of the log.
    Log,
    /// At a branch whose jump is not in the log.
    Lost,
}

/// What stands on a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'l> {
    Insn(InsnLine<'l>),
    State(State<'l>),
    Source(SourceLine<'l>),
}

impl<'l> Back<'l> {
    pub(super) fn new(lines: Rev<Lines<'l>>) -> Self {
        Self { lines, depth: 0, end: None }
    }

    /// The line of C of the instruction that stands before this position.
    pub(super) fn source(&self) -> Option<SourceLine<'l>> {
        self.clone().take(MOST_LINES).find_map(|(found, _)| match found {
            Found::Source(line) => Some(line),
            Found::Insn(InsnLine { next, .. }) => next,
            Found::State(_) => None,
        })
    }

    /// Goes to an instruction; `false` if it is not there. What lies between is another path, unless nothing lies there.
    fn skip_to(&mut self, slot: u32) -> bool {
        let mut near = true;
        loop {
            let before = self.lines.clone();
            let Some(line) = self.lines.next() else {
                return false;
            };
            match log::read(line) {
                Line::Insn(insn) if insn.slot == slot => {
                    self.lines = before;
                    return true;
                }
                Line::Insn(_) => near = false,
                Line::Returns if near => self.depth = self.depth.saturating_add(1),
                Line::Enters if near => self.depth = self.depth.saturating_sub(1),
                Line::State(_)
                | Line::Source(_)
                | Line::Enters
                | Line::Returns
                | Line::Begins
                | Line::Note
                | Line::Message(_) => {}
            }
        }
    }
}

impl<'l> Iterator for Back<'l> {
    type Item = (Found<'l>, i32);

    fn next(&mut self) -> Option<Self::Item> {
        while self.end.is_none() {
            let Some(line) = self.lines.next() else {
                self.end = Some(End::Log);
                break;
            };
            match log::read(line) {
                Line::Insn(insn) => return Some((Found::Insn(insn), self.depth)),
                Line::Source(source) => return Some((Found::Source(source), self.depth)),
                Line::State(line) => {
                    let depth = self.depth;
                    if line.from.is_some_and(|from| !self.skip_to(from)) {
                        self.end = Some(End::Lost);
                    }
                    return Some((Found::State(line.state), depth));
                }
                Line::Enters => self.depth = self.depth.saturating_sub(1),
                Line::Returns => self.depth = self.depth.saturating_add(1),
                Line::Begins => self.end = Some(End::Function),
                Line::Note | Line::Message(_) => {}
            }
        }
        None
    }
}

/// What happened to a register or a slot of the stack.
#[derive(Clone, Debug, Default)]
pub(super) struct Track<'l> {
    /// What was known about it last.
    pub(super) state: Option<&'l str>,
    /// The latest first.
    pub(super) events: Vec<Happened<'l>>,
    /// Whether it was followed to where it came from, or to the beginning of the path.
    pub(super) whole: bool,
}

/// An event, and the way back from it.
#[derive(Clone, Debug)]
pub(super) struct Happened<'l> {
    pub(super) kind: EventKind,
    pub(super) insn: InsnLine<'l>,
    pub(super) state: Option<&'l str>,
    /// A register by which it was changed.
    pub(super) by: Option<u8>,
    /// The way back from here.
    pub(super) before: Back<'l>,
}

/// Follows a register or a slot of the stack back to where its value came from.
pub(super) fn track<'l>(place: Place, start: Back<'l>, cut: bool) -> Track<'l> {
    let mut found = Track::default();
    let mut back = start;
    let mut target = place;
    let mut depth = 0;
    for _ in 0..MOST_LINES {
        let Some((line, at)) = back.next() else {
            found.whole = back.end == Some(End::Function) || (back.end == Some(End::Log) && !cut);
            break;
        };
        if at > depth {
            continue;
        }
        if at < depth {
            if !target.is_argument() {
                found.whole = true;
                break;
            }
            depth = at;
        }
        let insn = match line {
            Found::Source(_) => continue,
            Found::State(state) => {
                found.knows(state.of(target));
                continue;
            }
            Found::Insn(insn) => insn,
        };
        let state = insn.after.and_then(|after| after.of(target));
        let Some(effect) = effect(insn.text, target) else {
            found.knows(state);
            continue;
        };
        if effect != Effect::Clobbers {
            found.knows(state);
        }
        found.adds(kind_of(effect), insn, state, effect, &back);
        match effect {
            Effect::Copies(from) => target = from,
            Effect::Changes(_) | Effect::Compares => {}
            Effect::Fills | Effect::Clobbers => {
                found.whole = true;
                break;
            }
        }
    }
    found
}

impl<'l> Track<'l> {
    /// Something is known about the place. Behind the first event that tells where its value came from it is about another.
    fn knows(&mut self, state: Option<&'l str>) {
        let same = self.events.iter().all(|event| event.kind == EventKind::Compared);
        if same && self.state.is_none() {
            self.state = state;
        }
    }

    fn adds(
        &mut self,
        kind: EventKind,
        insn: InsnLine<'l>,
        state: Option<&'l str>,
        effect: Effect,
        back: &Back<'l>,
    ) {
        let again = self.events.iter().any(|event| event.insn.slot == insn.slot);
        if again || self.events.len() >= MOST_EVENTS {
            return;
        }
        let by = if let Effect::Changes(by) = effect { by } else { None };
        self.events.push(Happened { kind, insn, state, by, before: back.clone() });
    }
}

const fn kind_of(effect: Effect) -> EventKind {
    match effect {
        Effect::Copies(_) => EventKind::Copied,
        Effect::Changes(_) => EventKind::Changed,
        Effect::Fills => EventKind::Filled,
        Effect::Clobbers => EventKind::Lost,
        Effect::Compares => EventKind::Compared,
    }
}
