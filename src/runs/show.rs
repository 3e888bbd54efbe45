//! Runs as a person reads them: one packet whole, several in a table and then what changed.

use std::io::{self, Write};

use super::{Outcome, Ran, differences};
use crate::packets::Packet;
use crate::{hexdump, report};

/// A packet, what became of it, and what another version made of it.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) new: Outcome,
    pub(crate) old: Option<Outcome>,
}

impl Line<'_> {
    /// In what the two versions differ.
    pub(crate) fn differs(&self) -> Vec<&'static str> {
        self.old.as_ref().map(|old| differences(old, &self.new)).unwrap_or_default()
    }

    /// What there is to compare: the packet before with what became of it, or what the two versions made of it.
    fn sides(&self) -> Option<(&[u8], &[u8])> {
        let new = self.new.ran()?;
        let before = match &self.old {
            Some(old) => old.ran()?.after.as_slice(),
            None => self.packet.bytes.as_slice(),
        };
        Some((before, &new.after))
    }
}

/// One packet: a line, and all of its bytes.
pub(crate) fn single(out: &mut impl Write, line: &Line<'_>, repeat: u32) -> io::Result<()> {
    let Line { packet, new, .. } = line;
    let Packet { source, bytes, .. } = packet;
    let cut = packet.cut_from.map(|all| format!(", the beginning of {all}")).unwrap_or_default();
    write!(out, "packet 1 ({source}), {} bytes{cut}: {}", bytes.len(), verdicts(line))?;
    match new {
        Outcome::Refused(why) => writeln!(out, ": {why}"),
        Outcome::Ran(ran) => {
            let over = if repeat > 1 { format!(" a run, over {repeat} runs") } else { String::new() };
            writeln!(out, ", {}{over}, {}", times(line), change(line))?;
            printed(out, ran)?;
            line.sides().map_or(Ok(()), |(before, after)| hexdump::write(out, before, after))
        }
    }
}

/// Several packets, a row each.
pub(crate) fn table(out: &mut impl Write, lines: &[Line<'_>]) -> io::Result<()> {
    let mut table = report::plain_table();
    for (line, number) in lines.iter().zip(1..) {
        let cut = line.packet.cut_from.map(|all| format!(" of {all}")).unwrap_or_default();
        let change = match &line.new {
            Outcome::Refused(why) => why.clone(),
            Outcome::Ran(_) => change(line),
        };
        table.add_row([
            format!("packet {number}"),
            line.packet.source.clone(),
            format!("{} bytes{cut}", line.packet.bytes.len()),
            verdicts(line),
            times(line),
            change,
        ]);
    }
    report::write_table(out, &table)
}

/// What the packets of a table printed and what changed in them: only the rows of bytes that did.
pub(crate) fn details(out: &mut impl Write, lines: &[Line<'_>]) -> io::Result<()> {
    for (line, number) in lines.iter().zip(1..) {
        let says = line.new.ran().filter(|ran| !ran.printed.is_empty());
        let sides = line.sides().filter(|(before, after)| before != after);
        if says.is_none() && sides.is_none() {
            continue;
        }
        writeln!(out, "packet {number} ({}):", line.packet.source)?;
        says.map_or(Ok(()), |ran| printed(out, ran))?;
        sides.map_or(Ok(()), |(before, after)| hexdump::write_changed(out, before, after))?;
    }
    Ok(())
}

fn printed(out: &mut impl Write, ran: &Ran) -> io::Result<()> {
    ran.printed.iter().try_for_each(|message| writeln!(out, "  prints: {message}"))
}

/// One verdict, or how it changed.
fn verdicts(line: &Line<'_>) -> String {
    let new = line.new.verdict();
    match line.old.as_ref().map(Outcome::verdict) {
        Some(old) if old != new => format!("{old} -> {new}"),
        _ => new.to_string(),
    }
}

/// Of one run, by both versions where there are two.
fn times(line: &Line<'_>) -> String {
    let time =
        |outcome: &Outcome| outcome.ran().map_or("-".to_string(), |ran| format!("{} ns", ran.duration));
    match &line.old {
        Some(old) => format!("{} -> {}", time(old), time(&line.new)),
        None => time(&line.new),
    }
}

fn change(line: &Line<'_>) -> String {
    if line.old.is_some() {
        let differs = line.differs();
        return if differs.is_empty() { "same".to_string() } else { format!("other {}", differs.join(", ")) };
    }
    let Some((before, after)) = line.sides() else {
        return String::new();
    };
    match (before.len() == after.len(), hexdump::changed(before, after).len()) {
        (true, 0) => "unchanged".to_string(),
        (true, 1) => "1 byte changed".to_string(),
        (true, changed) => format!("{changed} bytes changed"),
        (false, _) => format!("now {} bytes", after.len()),
    }
}
