//! Shows entries of a map: all of them, or one.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use rxdp_loader::load::Walk;

use crate::args::{MapDump, MapGet, Showing};
use crate::error::Failure;
use crate::maps::{EntryRow, Layout, MapError, Names, OpenMap, Shape, find};
use crate::report;

/// Shows all entries.
pub(crate) fn dump(args: &MapDump) -> Result<(), Failure> {
    let Showing { per_cpu, hex, json } = args.showing;
    let (map, layout) = open(&args.map, hex)?;
    if layout.is_queue() {
        let why = "it has no keys, and reading on takes entries out; `map get` shows what is next";
        return Err(not_this(&layout, why).into());
    }
    // Without it, every entry would be a call of its own.
    let (names, mut out) = (Names::default(), BufWriter::new(io::stdout().lock()));
    let (mut shown, mut zeroes, mut failed) = (0u64, 0u64, Ok(()));
    let walk = map.entries()?.each(|entry| {
        if layout.is_array() && !args.all && !json && entry.values.iter().flatten().all(|byte| *byte == 0) {
            zeroes = zeroes.saturating_add(1);
            return ControlFlow::Continue(());
        }
        if args.limit.is_some_and(|limit| shown >= limit) {
            return ControlFlow::Break(());
        }
        shown = shown.saturating_add(1);
        let row = EntryRow::new(&layout, &names, Some(&entry.key), &entry.values, per_cpu);
        failed = if json { report::json(&mut out, &row) } else { row.write(&mut out) };
        if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let walk = walk.map_err(|error| map.failed(error))?;
    failed.map_err(Failure::Output)?;
    if json {
        out.flush().map_err(Failure::Output)?;
        return warn(&layout, walk);
    }
    let end = |out: &mut dyn Write| {
        if shown == 0 && zeroes == 0 {
            writeln!(out, "{} is empty", layout.map)?;
        }
        if zeroes > 0 {
            let of = zeroes.saturating_add(shown);
            writeln!(out, "{zeroes} of {of} entries are all zeroes; --all shows them")?;
        }
        notes(&layout, shown).iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
        out.flush()
    };
    end(&mut out).map_err(Failure::Output)?;
    warn(&layout, walk)
}

/// Shows one entry.
pub(crate) fn get(args: &MapGet) -> Result<(), Failure> {
    let Showing { per_cpu, hex, json } = args.showing;
    let (map, layout) = open(&args.map, hex)?;
    let given = args.key.as_deref();
    let key = match (given, layout.is_queue()) {
        (Some(_), true) => return Err(not_this(&layout, "it has no keys: leave the key out").into()),
        (None, false) => {
            return Err(MapError::Count { map: layout.map, takes: "a key", given: 0 }.into());
        }
        (None, true) => Vec::new(),
        (Some(text), false) => key(args.map.as_str(), &layout, text)?,
    };
    let values = map.entries()?.values(&key).map_err(|error| map.failed(error))?;
    let Some(values) = values else {
        let (map, given) = (layout.map, given.map(ToString::to_string));
        return Err(match given {
            Some(given) => MapError::NoKey { map, given, exists: false },
            None => MapError::Empty { map },
        }
        .into());
    };
    let key = given.map(|_| key.as_slice());
    let row = EntryRow::new(&layout, &Names::default(), key, &values, per_cpu);
    let mut out = io::stdout().lock();
    let written = if json { report::json(&mut out, &row) } else { row.write(&mut out) };
    written.map_err(Failure::Output)
}

/// The map that somebody means, if it can be looked into.
pub(super) fn open(given: &str, hex: bool) -> Result<(OpenMap, Layout), MapError> {
    let map = find(given)?;
    let layout = map.layout(hex)?;
    match layout.closed() {
        Some(why) => Err(not_this(&layout, why)),
        None => Ok((map, layout)),
    }
}

/// A key, as it is shown by the map's types even where bytes are shown.
pub(super) fn key(map: &str, layout: &Layout, text: &str) -> Result<Vec<u8>, MapError> {
    if layout.key != Shape::Bytes {
        return layout.key_bytes(text);
    }
    find(map)?.layout(false)?.key_bytes(text)
}

pub(super) fn not_this(layout: &Layout, why: &'static str) -> MapError {
    MapError::NotThis { map: layout.map.clone(), ty: layout.ty, why }
}

/// What people have to know about what they see.
fn notes(layout: &Layout, shown: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if shown > 0 && layout.value == Shape::Number {
        notes.push(format!(
            "the map says nothing about its values; these {} bytes are shown as a number",
            layout.value_size
        ));
    }
    notes
}

/// A map that changed too fast was not shown whole.
fn warn(layout: &Layout, walk: Walk) -> Result<(), Failure> {
    if walk != Walk::Restless {
        return Ok(());
    }
    let map = &layout.map;
    writeln!(
        io::stderr(),
        "rxdp-load: map {map:?} changes faster than it can be read: not all of it was seen"
    )
    .map_err(Failure::Output)
}
