//! From a log to a [`Refusal`]: which message, which instruction, which registers.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::log::{self, InsnLine, Line};
use super::messages::{About, Known, named};
use super::place::{self, Place};
use super::stack::{self, Frame};
use super::track::{Back, Found, Happened, Track, track};
use super::{Event, EventKind, Location, Program, Refusal, Register, Source};
use crate::insn::InsnIdx;

/// Most registers that are told of.
const MOST_REGISTERS: usize = 4;

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
    let teller = Teller { cut, program };
    let ending = ending(log)?;
    let first = |reg| track(Place::Reg(reg), ending.back.clone(), cut).state;
    let known = ending.message.iter().find_map(|line| Known::find(line, first));
    let about = known.as_ref().map_or(About::Insn, |known| known.cause.about);
    let (slot, insn) = (known.as_ref().and_then(|known| known.number("insn")), ending.stopped);
    let at = match (slot, insn) {
        (Some(slot), Some(insn)) if insn.slot == slot => Some(teller.location(insn, &ending.back)),
        (Some(slot), _) => Some(teller.slot(slot, log)),
        (None, Some(insn)) if about == About::Insn => Some(teller.location(insn, &ending.back)),
        (None, _) => None,
    };
    let mut tracks = if about == About::Insn { teller.tracks(&ending) } else { Vec::new() };
    let slot_of_stack = known.as_ref().and_then(|known| known.number("fp")).map(Place::stack);
    tracks.extend(slot_of_stack.map(|place| (place, track(place, ending.back.clone(), cut))));
    tracks.truncate(MOST_REGISTERS);
    let frames = program.filter(|_| about == About::Stack).map(stack::deepest).unwrap_or_default();
    let at = at.or_else(|| Some(teller.slot(stack::beyond(&frames)?.0, log)));
    let frames = frames.iter().map(|frame| teller.frame(frame, log));
    let taken = known.as_ref().and_then(|known| teller.taken(known, &ending));
    let whole = tracks.iter().all(|(_, track)| track.whole);
    let registers =
        frames.chain(taken).chain(tracks.iter().map(|(place, track)| teller.register(*place, track)));
    Some(Refusal {
        message: ending.message.iter().map(ToString::to_string).collect(),
        why: known.as_ref().map(Known::why),
        at,
        registers: registers.collect(),
        branches: teller.branches(&ending),
        whole,
    })
}

/// What a log ends with: behind the last instruction and the last state only what matters is said.
fn ending(log: &str) -> Option<Ending<'_>> {
    let mut lines = log.lines().rev();
    let mut message = Vec::new();
    let mut stopped = None;
    let mut back = Back::new(lines.clone());
    while let Some(line) = lines.next() {
        match log::read(line) {
            Line::Message(text) => message.push(text),
            Line::Insn(insn) => {
                stopped = Some(insn);
                back = Back::new(lines.clone());
                break;
            }
            Line::State(_) | Line::Begins if !message.is_empty() => {
                back = Back::new(lines.clone());
                break;
            }
            Line::State(_) | Line::Source(_) | Line::Enters | Line::Returns | Line::Begins | Line::Note => {}
        }
    }
    message.reverse();
    (!message.is_empty()).then_some(Ending { message, stopped, back })
}

struct Teller<'p> {
    cut: bool,
    program: Option<Program<'p>>,
}

impl Teller<'_> {
    /// The registers that the message names; if it names none, those that the instruction uses.
    fn tracks<'l>(&self, ending: &Ending<'l>) -> Vec<(Place, Track<'l>)> {
        let follow = |place, back: &Back<'l>| (place, track(place, back.clone(), self.cut));
        let mut registers: Vec<u8> = ending.message.iter().flat_map(|line| named(line)).collect();
        if registers.is_empty() {
            registers.extend(ending.stopped.iter().flat_map(|insn| place::used(insn.text)));
        }
        let mut tracks: Vec<(Place, Track<'l>)> = Vec::new();
        for place in registers.into_iter().map(Place::Reg).filter(|place| *place != Place::Reg(10)) {
            if tracks.iter().any(|(other, _)| *other == place) {
                continue;
            }
            let (place, found) = follow(place, &ending.back);
            // What was added to it tells more than it does itself.
            let added = found.events.iter().find_map(|event| Some((Place::Reg(event.by?), event.clone())));
            tracks.push((place, found));
            tracks.extend(added.map(|(by, event)| {
                let (by, mut track) = follow(by, &event.before);
                // The instruction that adds it leaves it as it is.
                let beside = event.insn.after.and_then(|after| after.of(by));
                track.state = beside.or(track.state);
                (by, track)
            }));
        }
        tracks
    }

    /// The last branches before the end.
    fn branches(&self, ending: &Ending<'_>) -> Vec<Event> {
        let mut back = ending.back.clone();
        let mut next = ending.stopped.map(|insn| insn.slot);
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
            history: track.events.iter().map(|happened| self.event(happened)).collect(),
        }
    }

    /// A function with what it needs of the stack.
    fn frame(&self, frame: &Frame, log: &str) -> Register {
        let function = self.program.map(|program| program.spec.function_name(frame.func));
        let called =
            |call: InsnIdx| Event { kind: EventKind::Called, at: self.slot(call.0, log), state: None };
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
    fn taken(&self, known: &Known<'_>, ending: &Ending<'_>) -> Option<Register> {
        let (id, slot): (u32, u32) = (known.number("id")?, known.number("taken")?);
        let mut back = ending.back.clone();
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
    fn slot(&self, slot: u32, log: &str) -> Location {
        let mut lines = log.lines().rev();
        let is_it = |line| match log::read(line) {
            Line::Insn(insn) => Some(insn).filter(|insn| insn.slot == slot),
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
            None => self.at_slot(slot, None, None),
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
