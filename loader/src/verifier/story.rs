//! From a log to a [`Refusal`]: which message, which instruction, which registers.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;

use super::log::{self, InsnLine, Line, StateLine};
use super::messages::{About, Known, named};
use super::place::{self, Place};
use super::stack::{self, Frame};
use super::track::{Back, Found, Happened, Track, track};
use super::{Event, EventKind, Location, Program, Refusal, Register, Source};
use crate::insn::InsnIdx;

/// Most registers that are told of.
const MOST_REGISTERS: usize = 4;

/// Most lines of counts at the end of a log.
const LAST_COUNTS: usize = 4;

/// It points to the top of the stack, and nothing happens to it.
const FRAME_POINTER: Place = Place::Reg(10);

/// Most branches that are told of.
const MOST_BRANCHES: usize = 3;

/// The last words of a log, and the way back from them.
struct Ending<'l> {
    /// What the verifier said last.
    message: Vec<&'l str>,
    /// The instruction at which it said it.
    stopped: Option<InsnLine<'l>>,
    /// The way back from that instruction.
    back: Back<'l>,
}

pub(super) fn tell(log: &str, cut: bool, program: Option<Program<'_>>) -> Option<Refusal> {
    let ending = Some(log).filter(|log| !cut || has_end(log)).and_then(ending)?;
    let held = |reg| track(Place::Reg(reg), ending.back.clone(), cut).state;
    let known = ending.message.iter().find_map(|line| Known::find(line, held));
    let about = known.as_ref().map_or(About::Insn, |known| known.cause.about);
    let frames = program.filter(|_| about == About::Stack).map(stack::deepest).unwrap_or_default();
    let teller = Teller { log, cut, program, ending, known, about };
    let tracks = teller.tracks();
    let registers = tracks.iter().map(|(place, track)| teller.register(*place, track));
    let frames_and_reference = frames.iter().map(|frame| teller.frame(frame)).chain(teller.taken());
    Some(Refusal {
        message: teller.ending.message.iter().map(ToString::to_string).collect(),
        why: teller.known.as_ref().map(Known::why),
        at: teller.at().or_else(|| Some(teller.slot(stack::beyond(&frames)?))),
        registers: frames_and_reference.chain(registers).collect(),
        branches: teller.branches(),
        whole: tracks.iter().all(|(_, track)| track.whole),
    })
}

/// Whether a log that was cut has its end. The last words are counts.
fn has_end(log: &str) -> bool {
    log.lines().rev().take(LAST_COUNTS).any(|line| line.starts_with("processed "))
}

/// What a log ends with: all that is said behind the last instruction, or behind the last branch.
fn ending(log: &str) -> Option<Ending<'_>> {
    let mut lines = log.lines().rev();
    let mut message = Vec::new();
    let mut stopped = None;
    for line in lines.by_ref() {
        match log::read(line) {
            Line::Message(text) => message.push(text),
            Line::Insn(insn) => {
                stopped = Some(insn);
                break;
            }
            Line::State(StateLine { from: Some(_), .. }) | Line::Begins if !message.is_empty() => break,
            Line::State(_) | Line::Source(_) | Line::Enters | Line::Returns | Line::Begins | Line::Note => {}
        }
    }
    message.reverse();
    (!message.is_empty()).then_some(Ending { message, stopped, back: Back::new(lines) })
}

struct Teller<'l, 'p> {
    log: &'l str,
    cut: bool,
    program: Option<Program<'p>>,
    ending: Ending<'l>,
    known: Option<Known<'l>>,
    about: About,
}

impl<'l> Teller<'l, '_> {
    /// What the message says in this place.
    fn number<N: FromStr>(&self, hole: &str) -> Option<N> {
        self.known.as_ref()?.number(hole)
    }

    /// The instruction that the message names, or at which it was said.
    fn at(&self) -> Option<Location> {
        let Ending { stopped, back, .. } = &self.ending;
        match (self.number("insn"), stopped) {
            (Some(slot), Some(insn)) if insn.slot == slot => Some(self.location(*insn, back)),
            (Some(slot), _) => Some(self.slot(InsnIdx(slot))),
            (None, Some(insn)) if self.about == About::Insn => Some(self.location(*insn, back)),
            (None, _) => None,
        }
    }

    /// The registers and the slot of the stack that the message names; if it names none, the registers that the instruction
    /// uses. What was added to one stands behind it: it tells more than the register does itself.
    fn tracks(&self) -> Vec<(Place, Track<'l>)> {
        if self.about != About::Insn {
            return Vec::new();
        }
        let Ending { message, stopped, back } = &self.ending;
        let mut places: Vec<u8> = message.iter().flat_map(|line| named(line)).collect();
        if places.is_empty() {
            places.extend(stopped.iter().flat_map(|insn| place::used(insn.text)));
        }
        let on_stack = self.number("fp").map(Place::stack);
        let mut tracks: Vec<(Place, Track<'l>)> = Vec::new();
        for place in
            places.into_iter().map(Place::Reg).filter(|place| *place != FRAME_POINTER).chain(on_stack)
        {
            if tracks.iter().all(|(other, _)| *other != place) {
                let found = track(place, back.clone(), self.cut);
                let added = found.events.iter().find_map(|event| self.added(event));
                tracks.push((place, found));
                tracks.extend(added);
            }
        }
        tracks.truncate(MOST_REGISTERS);
        tracks
    }

    /// The register by which another one was changed.
    fn added(&self, event: &Happened<'l>) -> Option<(Place, Track<'l>)> {
        let by = Place::Reg(event.by?);
        let mut found = track(by, event.before.clone(), self.cut);
        // The instruction that adds it leaves it as it is.
        let beside = event.insn.after.and_then(|after| after.of(by));
        found.state = beside.or(found.state);
        Some((by, found))
    }

    /// The last branches before the end.
    fn branches(&self) -> Vec<Event> {
        let mut back = self.ending.back.clone();
        let mut next = self.ending.stopped.map(|insn| insn.slot);
        let mut found = Vec::new();
        while let (Some((line, _)), true) = (back.next(), found.len() < MOST_BRANCHES) {
            let Found::Insn(insn) = line else {
                continue;
            };
            if insn.text.starts_with("if ") {
                let straight = next == insn.slot.checked_add(1);
                let kind = if straight { EventKind::Passed } else { EventKind::Jumped };
                found.push(Event { kind, at: self.location(insn, &back), state: None });
            }
            next = Some(insn.slot);
        }
        found
    }

    fn register(&self, place: Place, track: &Track<'_>) -> Register {
        Register {
            name: place.name(),
            state: track.state.map(ToString::to_string),
            history: self
                .ended(track)
                .into_iter()
                .chain(track.events.iter().map(|event| self.event(event)))
                .collect(),
        }
    }

    /// The call since which a register is no longer what it was, where the message is about that: the last one behind what
    /// happened to it itself.
    fn ended(&self, track: &Track<'_>) -> Option<Event> {
        let names = self.known.as_ref()?.cause.ended_by;
        let until = track.events.first()?.insn.slot;
        let mut back = self.ending.back.clone();
        while let (Some((line, _)), false) = (back.next(), names.is_empty()) {
            let Found::Insn(insn) = line else {
                continue;
            };
            if insn.slot == until {
                break;
            }
            let called = insn.text.strip_prefix("call ");
            if called.is_some_and(|function| names.iter().any(|name| function.contains(name))) {
                return Some(Event { kind: EventKind::Ended, at: self.location(insn, &back), state: None });
            }
        }
        None
    }

    /// A function with what it needs of the stack.
    fn frame(&self, frame: &Frame) -> Register {
        let function = self.program.map(|program| program.spec.function_name(frame.func));
        let called = |call: InsnIdx| Event { kind: EventKind::Called, at: self.slot(call), state: None };
        Register {
            name: format!("stack of {}", function.unwrap_or("?")),
            state: Some(format!("{} bytes", frame.bytes)),
            history: frame.call.map(called).into_iter().collect(),
        }
    }

    fn event(&self, happened: &Happened<'_>) -> Event {
        Event {
            kind: happened.kind,
            at: self.location(happened.insn, &happened.before),
            state: happened.state.map(ToString::to_string),
        }
    }

    /// The reference that was not given back, and where it was taken.
    fn taken(&self) -> Option<Register> {
        let (id, slot): (u32, u32) = (self.number("id")?, self.number("taken")?);
        let mut back = self.ending.back.clone();
        let at = loop {
            match back.next() {
                Some((Found::Insn(insn), _)) if insn.slot == slot => break self.location(insn, &back),
                Some(_) => {}
                None => break self.at_slot(slot, None, None),
            }
        };
        let history = Vec::from([Event { kind: EventKind::Taken, at, state: None }]);
        Some(Register { name: format!("reference {id}"), state: None, history })
    }

    fn location(&self, insn: InsnLine<'_>, back: &Back<'_>) -> Location {
        let source = || {
            let line = back.source()?;
            let (file, number) = line.place.unzip();
            Some(Source { file: file.map(ToString::to_string), line: number, text: line.text.to_string() })
        };
        self.at_slot(insn.slot, Some(insn.text.to_string()), source())
    }

    /// An instruction that the message names, wherever in the log it stands.
    fn slot(&self, slot: InsnIdx) -> Location {
        let mut lines = self.log.lines().rev();
        let is_it = |line| match log::read(line) {
            Line::Insn(insn) => Some(insn).filter(|insn| insn.slot == slot.0),
            Line::State(_)
            | Line::Source(_)
            | Line::Enters
            | Line::Returns
            | Line::Begins
            | Line::Note
            | Line::Message(_) => None,
        };
        match lines.find_map(is_it) {
            Some(insn) => self.location(insn, &Back::new(lines)),
            None => self.at_slot(slot.0, None, None),
        }
    }

    /// The object's own line is preferred: the log leaves it out where it was shown on another path.
    fn at_slot(&self, slot: u32, insn: Option<String>, logged: Option<Source>) -> Location {
        let slot = InsnIdx(slot);
        let found = self.program.and_then(|program| Some((program.spec, program.linked.locate(slot)?)));
        let own = found.and_then(|(spec, (func, at))| spec.source(func, at));
        let own = own.map(|line| Source { file: Some(line.file), line: Some(line.number), text: line.text });
        let function = found.map(|(spec, (func, at))| (spec.function_name(func).to_string(), at));
        Location { slot, function, insn, source: own.or(logged) }
    }
}
