//! A refusal as people read it: some lines, the most telling first.

use core::fmt;

use super::{Event, EventKind, Location, Refusal, Register, Source};

/// Most events of one register that are shown.
const MOST_EVENTS: usize = 4;

/// Most characters of a state that are shown.
const MOST_STATE: usize = 110;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.why {
            writeln!(f, "{}: {}", why.cause.name, why.explanation)?;
        }
        let near = self.at.as_ref().and_then(|at| at.source.as_ref());
        if let Some(at) = &self.at {
            write_stop(f, at)?;
        }
        // A return has no registers to speak of, and its line is often the function's last: the way there tells more.
        if self.at.as_ref().is_some_and(|at| at.insn.as_deref() == Some("exit")) {
            self.branches.iter().take(1).try_for_each(|event| write_event(f, event, near))?;
        }
        self.registers.iter().try_for_each(|register| write_register(f, register, near))?;
        if !self.whole {
            writeln!(f, "(the kernel cut the log: what was before is not known)")?;
        }
        self.why.as_ref().map_or(Ok(()), |why| writeln!(f, "to do: {}", why.advice))
    }
}

fn write_stop(f: &mut fmt::Formatter<'_>, at: &Location) -> fmt::Result {
    if let Some(source) = &at.source {
        writeln!(f, "at {source}")?;
    }
    write!(f, "insn {}", at.slot)?;
    if let Some((function, inside)) = &at.function {
        write!(f, " ({function}+{inside})")?;
    }
    match &at.insn {
        Some(insn) => writeln!(f, ": {insn}"),
        None => writeln!(f),
    }
}

fn write_register(f: &mut fmt::Formatter<'_>, register: &Register, near: Option<&Source>) -> fmt::Result {
    let Register { name, state, history } = register;
    match state {
        Some(state) => writeln!(f, "{name} = {}", Short(state))?,
        None if history.is_empty() => writeln!(f, "{name}: nothing in this log sets it")?,
        None => writeln!(f, "{name}:")?,
    }
    history.iter().take(MOST_EVENTS).try_for_each(|event| write_event(f, event, near))
}

/// An event; its line of C is left out if it is the one that is shown already.
fn write_event(f: &mut fmt::Formatter<'_>, event: &Event, near: Option<&Source>) -> fmt::Result {
    let Event { kind, at, .. } = event;
    write!(f, "  {kind} at insn {}", at.slot)?;
    if let Some(insn) = &at.insn {
        write!(f, ": {insn}")?;
    }
    match (&at.source, near) {
        (None, _) => writeln!(f),
        (Some(source), Some(near)) if source == near => writeln!(f),
        (Some(Source { file, line: Some(line), text }), Some(near)) if *file == near.file => {
            writeln!(f, "   // line {line}: {text}")
        }
        (Some(source), _) => writeln!(f, "   // {source}"),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl EventKind {
    /// Its name: `set`, `copied`, `changed` and so on.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filled => "set",
            Self::Copied => "copied",
            Self::Changed => "changed",
            Self::Compared => "compared",
            Self::Lost => "lost",
            Self::Ended => "ended",
            Self::Taken => "taken",
            Self::Called => "called",
            Self::Jumped => "jumped",
            Self::Passed => "passed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A state that is not too long for a line.
struct Short<'s>(&'s str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MOST_STATE) {
            Some((end, _)) => write!(f, "{}...", self.0.get(..end).unwrap_or(self.0)),
            None => f.write_str(self.0),
        }
    }
}
