//! From one type to the next, over all types of a kernel: where they stand, and which of them somebody picks.
//!
//! Types follow each other without a table of their places, so where one begins is known only from the one before it: 130,000
//! times a processor waits for what it has just read. Therefore a large table is gone through in two runs at once, from its
//! beginning and from a place near its middle that looks like the beginning of a type. That it is one is known when the
//! first run arrives there; if it does not, the second run is forgotten.

use alloc::vec::Vec;

use super::BtfError;
use super::parse::{self, Head};
use super::types::{KindSet, StrOff, TypeId};
use crate::bytes::Endian;

/// Every so many types one position is kept; the others are found by walking from there.
const STRIDE: u32 = 32;

/// Tables from so many **bytes** on are worth two runs.
const LARGE: usize = 256 << 10;

/// So many types in a row that look like types are thought to be some.
const LIKELY: usize = 8;

/// The types of a table, none of them read but for their heads.
#[derive(Clone, Copy)]
pub(super) struct Table<'d> {
    pub(super) types: &'d [u8],
    pub(super) endian: Endian,
    /// Number of the first type.
    pub(super) first: u32,
    /// Kinds of types that may be wanted.
    pub(super) kinds: KindSet,
}

impl Table<'_> {
    /// The head of the type at this **byte**, and its length.
    #[inline]
    fn head(self, at: usize) -> Option<(Head, usize)> {
        let head = parse::head(self.types, at, self.endian)?;
        Some((head, head.len()?))
    }
}

/// Where types stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    runs: Vec<Run>,
}

/// Types that follow each other.
#[derive(Clone, Debug)]
struct Run {
    /// Number of its first type.
    first: u32,
    /// So many types are in it.
    count: u32,
    /// Where it has arrived, in **bytes**.
    at: usize,
    /// Where every [`STRIDE`]th type stands, in **bytes**.
    marks: Vec<(usize, u32)>,
    /// Types that were picked, by their position in the run, and as what.
    picked: Vec<(u32, usize)>,
}

/// Goes through all types. `pick` says which are wanted, and as what; `is_name` whether a name may stand at a position.
///
/// # Errors
/// [`BtfError`]: the table is cut off, or has a kind of type that this crate does not know.
pub(super) fn walk(
    table: Table<'_>,
    is_name: impl Fn(StrOff) -> bool,
    pick: impl Fn(StrOff) -> Option<usize>,
) -> Result<Places, BtfError> {
    let end = table.types.len();
    let mut run = Run::new(table.first, 0);
    if let Some(middle) = guess(table, is_name) {
        let mut ahead = Run::new(0, middle);
        together(table, &mut run, &mut ahead, &pick);
        run.go_on(table, middle, &pick)?;
        // Whatever the second run has seen counts only now. What it stumbled over, the first one meets again.
        ahead.first = run.end();
        if run.at == middle && ahead.go_on(table, end, &pick).is_ok() {
            return Ok(Places { runs: Vec::from([run, ahead]) });
        }
    }
    run.go_on(table, end, &pick)?;
    Ok(Places { runs: Vec::from([run]) })
}

/// Takes both runs on, step by step, until the first is where the second began, or one of them cannot go on.
fn together(table: Table<'_>, one: &mut Run, other: &mut Run, pick: impl Fn(StrOff) -> Option<usize>) {
    let middle = other.at;
    while one.at < middle {
        let (mut batch, mut batch_ahead) = (Batch::of(one), Batch::of(other));
        let (mut cursor, mut cursor_ahead) = (batch.cursor, batch_ahead.cursor);
        let both = (0..STRIDE).all(|_| {
            cursor.at < middle && batch.step(&mut cursor, table) && batch_ahead.step(&mut cursor_ahead, table)
        });
        (batch.cursor, batch_ahead.cursor) = (cursor, cursor_ahead);
        one.take(&batch, &pick);
        other.take(&batch_ahead, &pick);
        if !both {
            return;
        }
    }
}

/// A place near the middle where a type seems to begin; `None` where two runs do not pay.
fn guess(table: Table<'_>, is_name: impl Fn(StrOff) -> bool) -> Option<usize> {
    let len = table.types.len();
    let looks_right = |at: &usize| {
        let mut at = *at;
        (0..LIKELY).all(|_| {
            let head = table.head(at).filter(|(head, _)| head.is_plain() && is_name(head.name));
            at = at.saturating_add(head.map_or(0, |(_, len)| len));
            head.is_some()
        })
    };
    // A kernel's functions stand last, and are small: as many types stand behind this place as before it.
    let start = len.saturating_sub((len / 8).saturating_mul(3)) & !3;
    (len >= LARGE).then(|| (start..len).step_by(4).take(LARGE / 4).find(looks_right))?
}

impl Run {
    fn new(first: u32, at: usize) -> Self {
        Self { first, count: 0, at, marks: Vec::new(), picked: Vec::new() }
    }

    /// Number behind its last type.
    fn end(&self) -> u32 {
        self.first.saturating_add(self.count)
    }

    /// Types that were picked, in order, and as what.
    fn picked(&self) -> impl Iterator<Item = (TypeId, usize)> {
        self.picked.iter().map(|(at, what)| (TypeId(self.first.saturating_add(*at)), *what))
    }

    /// Takes the run on to this position, or to the first behind it.
    fn go_on(
        &mut self,
        table: Table<'_>,
        end: usize,
        pick: impl Fn(StrOff) -> Option<usize>,
    ) -> Result<(), BtfError> {
        while self.at < end {
            let mut batch = Batch::of(self);
            let mut cursor = batch.cursor;
            let all = (0..STRIDE).all(|_| cursor.at >= end || batch.step(&mut cursor, table));
            batch.cursor = cursor;
            self.take(&batch, &pick);
            if !all {
                return Err(parse::no_type(table.types, self.at, table.endian, self.end()));
            }
        }
        Ok(())
    }

    /// Appends what a batch has gone through.
    fn take(&mut self, batch: &Batch, pick: impl Fn(StrOff) -> Option<usize>) {
        for (number, name) in batch.wanted.iter().take(batch.cursor.found) {
            if let Some(what) = pick(*name) {
                self.picked.push((self.count.saturating_add(*number), what));
            }
        }
        self.marks.push((self.at, self.count));
        self.at = batch.cursor.at;
        self.count = self.count.saturating_add(batch.cursor.count);
    }
}

/// The next types of a run. It takes part in no decision that a processor could guess wrong: what is wanted is looked
/// at when all of them are through.
struct Batch {
    cursor: Cursor,
    wanted: [(u32, StrOff); STRIDE as usize],
}

/// How far a batch is. Apart from what it has found, so that it stays in registers: the way to the next type leads
/// through it.
#[derive(Clone, Copy)]
struct Cursor {
    at: usize,
    count: u32,
    found: usize,
}

impl Batch {
    fn of(run: &Run) -> Self {
        let cursor = Cursor { at: run.at, count: 0, found: 0 };
        Self { cursor, wanted: [(0, StrOff(0)); STRIDE as usize] }
    }

    /// One type further; false if there is none.
    #[inline]
    fn step(&mut self, cursor: &mut Cursor, table: Table<'_>) -> bool {
        let Some((head, len)) = table.head(cursor.at) else {
            return false;
        };
        if let Some(place) = self.wanted.get_mut(cursor.found) {
            *place = (cursor.count, head.name);
        }
        cursor.found = cursor.found.wrapping_add(usize::from(head.is_one_of(table.kinds)));
        cursor.count = cursor.count.wrapping_add(1);
        // It is a position in the table, and a type is shorter than a MiB.
        cursor.at = cursor.at.wrapping_add(len);
        true
    }
}

impl Places {
    /// Number behind the last type.
    pub(super) fn end(&self) -> u32 {
        self.runs.last().map_or(0, Run::end)
    }

    /// Types that were picked, in order, and as what.
    pub(super) fn picked(&self) -> impl Iterator<Item = (TypeId, usize)> {
        self.runs.iter().flat_map(Run::picked)
    }

    /// Where a type stands, in **bytes**.
    pub(super) fn of(&self, table: Table<'_>, id: TypeId) -> Option<usize> {
        let run = self.runs.iter().rev().find(|run| run.first <= id.0)?;
        let number = id.0.checked_sub(run.first).filter(|number| *number < run.count)?;
        let mark = run.marks.partition_point(|(_, first)| *first <= number).checked_sub(1)?;
        let (mut at, first) = *run.marks.get(mark)?;
        for _ in first..number {
            at = at.checked_add(table.head(at)?.1)?;
        }
        Some(at)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking")]
mod tests {
    use alloc::vec;

    use super::*;

    const FWD: u32 = 7;
    const STRUCT: u32 = 4;

    /// A head: its name is its number.
    fn head(types: &mut Vec<u8>, name: u32, kind: u32, vlen: u32) {
        for word in [name, kind << 24 | vlen, 0] {
            types.extend(word.to_le_bytes());
        }
    }

    fn table(types: &[u8]) -> Table<'_> {
        Table { types, endian: Endian::Little, first: 1, kinds: KindSet::STRUCT }
    }

    /// Walks, and compares all places and all that is picked with what goes through one by one.
    fn check(types: &[u8]) -> Places {
        let places = walk(table(types), |_| true, |name| (name.0 % 2 == 0).then_some(7)).unwrap();
        let (mut at, mut id, mut picked) = (0, 1, Vec::new());
        while at < types.len() {
            assert_eq!(places.of(table(types), TypeId(id)), Some(at));
            let (head, len) = table(types).head(at).unwrap();
            if head.is_one_of(KindSet::STRUCT) && head.name.0 % 2 == 0 {
                picked.push((TypeId(id), 7));
            }
            (at, id) = (at + len, id + 1);
        }
        assert_eq!(places.end(), id);
        assert_eq!(places.of(table(types), TypeId(id)), None);
        assert_eq!(places.picked().collect::<Vec<_>>(), picked);
        places
    }

    #[test]
    fn a_large_table_is_gone_through_in_two_runs() {
        let mut types = Vec::new();
        for name in 0..40_000 {
            let vlen = name % 3;
            head(&mut types, name, if name % 5 == 0 { STRUCT } else { FWD }, 0);
            if name % 7 == 0 {
                head(&mut types, name, STRUCT, vlen);
                types.extend(vec![0; 12 * usize::try_from(vlen).unwrap()]);
            }
        }
        assert_eq!(check(&types).runs.len(), 2);
        assert_eq!(check(&types[..12 * 100]).runs.len(), 1);
    }

    #[test]
    fn a_wrong_guess_is_forgotten() {
        // Members that look like types, 4 bytes off: the second run never stands where the first one arrives.
        let mut types = Vec::new();
        head(&mut types, 2, STRUCT, 60_000);
        types.extend(0u32.to_le_bytes());
        (1..60_000).for_each(|name| head(&mut types, name, FWD, 0));
        types.extend([0; 8]);
        head(&mut types, 4, STRUCT, 0);
        assert!(guess(table(&types), |_| true).is_some());
        assert_eq!(check(&types).runs.len(), 1);
    }

    #[test]
    fn damage_is_found_where_it_is() {
        let mut types = Vec::new();
        (0..40_000).for_each(|name| head(&mut types, name, FWD, 0));
        for number in [5u32, 39_000] {
            let mut damaged = types.clone();
            damaged[usize::try_from(number).unwrap() * 12 + 7] = 31;
            let error = walk(table(&damaged), |_| true, |_| None).unwrap_err();
            assert_eq!(error, BtfError::UnknownKind { id: number + 1, kind: 31 });
        }
        let cut = walk(table(&types[..types.len() - 5]), |_| true, |_| None);
        assert!(matches!(cut, Err(BtfError::Truncated(_))));
    }
}
