//! From one type to the next, over all types of a kernel: where they stand, and which of them somebody picks.
//!
//! Types follow each other without a table of their places, so where one begins is known only from the one before it: 130,000
//! times a processor waits for what it has just read. Therefore a large table is gone through in several runs at once, from
//! its beginning and from places that look like the beginning of a type. That they are is known when the run before arrives
//! there; if it does not, the runs behind it are forgotten.

use alloc::vec::Vec;
use core::iter;

use super::BtfError;
use super::parse::{self, Head};
use super::types::{KindSet, StrOff, TypeId};
use crate::bytes::{Endian, to_usize};

/// Every so many types one position is kept; the others are found by walking from there.
const STRIDE: u32 = 32;

/// Tables from so many **bytes** on are worth several runs.
const LARGE: usize = 256 << 10;

/// Where runs behind the first begin, in 64ths of the table: a kernel's functions stand last, and are small, so that these
/// are about quarters of its types.
const STARTS: [usize; RUNS - 1] = [23, 40, 52];
const RUNS: usize = 4;

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
    /// The head of the type at this **byte**, and where the next one stands.
    fn head(self, at: usize) -> Option<(Head, usize)> {
        let rest = self.types.get(at..)?;
        let head = match self.endian {
            Endian::Little => parse::head::<false>(rest)?,
            Endian::Big => parse::head::<true>(rest)?,
        };
        let next = at.checked_add(head.len()).filter(|next| *next <= self.types.len())?;
        Some((head, next))
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
    /// Where the next run begins, or the table ends, in **bytes**.
    end: usize,
    /// Where every [`STRIDE`]th type stands at least, in **bytes**, and how many stand before it in the run.
    marks: Vec<(u32, u32)>,
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
    match table.endian {
        Endian::Little => walk_in_order::<false>(table, is_name, pick),
        Endian::Big => walk_in_order::<true>(table, is_name, pick),
    }
}

/// [`walk`] in one byte order: to ask for it at every type would cost a tenth of the whole.
fn walk_in_order<const BIG: bool>(
    table: Table<'_>,
    is_name: impl Fn(StrOff) -> bool,
    pick: impl Fn(StrOff) -> Option<usize>,
) -> Result<Places, BtfError> {
    let mut runs = starts(table, is_name);
    if let Ok(runs) = runs.as_mut_slice().try_into() {
        together::<BIG>(table, runs, &pick);
    }
    let (mut first, mut proved) = (table.first, 0usize);
    while let Some(run) = runs.get_mut(proved) {
        run.first = first;
        if !run.go_on::<BIG>(table, &pick) {
            run.end = table.types.len();
            if !run.go_on::<BIG>(table, &pick) {
                return Err(parse::no_type(table.types, run.at, table.endian, run.behind()));
            }
        }
        first = run.behind();
        proved = proved.saturating_add(1);
        if run.end == table.types.len() {
            runs.truncate(proved);
        }
    }
    Ok(Places { runs })
}

/// Takes all runs on, a batch of types each, until one of them cannot go on so.
fn together<const BIG: bool>(
    table: Table<'_>,
    runs: &mut [Run; RUNS],
    pick: impl Fn(StrOff) -> Option<usize>,
) {
    let mut batches: [Batch; RUNS] = Default::default();
    while batch::<BIG, RUNS>(table, runs.each_ref().map(|run| run.at), &mut batches).is_some() {
        if iter::zip(&*runs, &batches).any(|(run, batch)| batch.next > run.end) {
            return;
        }
        for (run, batch) in runs.iter_mut().zip(&batches) {
            run.take(batch, &pick);
        }
    }
}

/// Types that follow each other, [`STRIDE`] of them.
#[derive(Default)]
struct Batch {
    /// Those of a kind that may be wanted: name, and position in the batch in the upper half.
    likely: [u64; STRIDE as usize],
    /// So many are in it.
    found: usize,
    /// Where the type behind them stands, in **bytes**.
    next: usize,
}

/// Goes through the next types of several runs at once; `None` if one of them has no type where one should be.
///
/// It takes part in no decision that a processor could guess wrong, and all that it must know stays in registers: what is
/// wanted is looked at when all of them are through, and if one cannot go on all are forgotten.
#[inline]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a batch has room for as many as there are steps, and a count below it cannot overflow"
)]
fn batch<const BIG: bool, const N: usize>(
    table: Table<'_>,
    mut at: [usize; N],
    batches: &mut [Batch; N],
) -> Option<()> {
    let mut found = [0; N];
    for number in 0..u64::from(STRIDE) {
        for run in 0..N {
            let head = parse::head::<BIG>(table.types.get(at[run]..)?)?;
            batches[run].likely[found[run] % STRIDE as usize] = number << 32 | u64::from(head.name.0);
            found[run] += usize::from(head.is_one_of(table.kinds));
            at[run] = at[run].wrapping_add(head.len());
        }
    }
    for ((batch, found), next) in batches.iter_mut().zip(found).zip(at) {
        (batch.found, batch.next) = (found, next);
    }
    Some(())
}

/// Runs from all places where a type seems to begin; one where several do not pay.
fn starts(table: Table<'_>, is_name: impl Fn(StrOff) -> bool) -> Vec<Run> {
    let len = table.types.len();
    let looks_right = |at: &usize| {
        let mut at = *at;
        (0..LIKELY).all(|_| {
            let head = table.head(at).filter(|(head, _)| head.is_plain() && is_name(head.name));
            at = head.map_or(at, |(_, next)| next);
            head.is_some()
        })
    };
    let guess = |part: &usize| {
        let start = (len / 64).saturating_mul(*part) & !3;
        (start..len).step_by(4).take(LARGE / 4).find(looks_right)
    };
    let guesses: Option<Vec<usize>> = STARTS.iter().map(guess).collect();
    let guesses = guesses.filter(|_| len >= LARGE).unwrap_or_default();
    let starts = iter::once(0).chain(guesses.iter().copied());
    let ends = guesses.iter().copied().chain([len]);
    starts.zip(ends).map(|(start, end)| Run::new(start, end)).collect()
}

impl Run {
    /// The number of its first type is not known before the run ahead of it has arrived.
    fn new(at: usize, end: usize) -> Self {
        Self { first: 0, count: 0, at, end, marks: Vec::new(), picked: Vec::new() }
    }

    /// Number behind its last type.
    fn behind(&self) -> u32 {
        self.first.saturating_add(self.count)
    }

    /// Types that were picked, in order, and as what.
    fn picked(&self) -> impl Iterator<Item = (TypeId, usize)> {
        self.picked.iter().map(|(at, what)| (TypeId(self.first.saturating_add(*at)), *what))
    }

    /// Takes the run on to its end; false if a type on the way ends behind it, or is no type.
    fn go_on<const BIG: bool>(&mut self, table: Table<'_>, pick: impl Fn(StrOff) -> Option<usize>) -> bool {
        let mut next = [Batch::default()];
        while batch::<BIG, 1>(table, [self.at], &mut next).is_some()
            && next.iter().all(|batch| batch.next <= self.end)
        {
            next.iter().for_each(|batch| self.take(batch, &pick));
        }
        while self.at < self.end {
            let Some((head, next)) = table.head(self.at).filter(|(_, next)| *next <= self.end) else {
                return false;
            };
            self.mark();
            if head.is_one_of(table.kinds) {
                self.consider(self.count, head.name, &pick);
            }
            (self.at, self.count) = (next, self.count.saturating_add(1));
        }
        true
    }

    /// Appends what a batch has gone through.
    fn take(&mut self, batch: &Batch, pick: impl Fn(StrOff) -> Option<usize>) {
        self.mark();
        for likely in batch.likely.iter().take(batch.found) {
            let [name, number] = halves(*likely);
            self.consider(self.count.saturating_add(number), StrOff(name), &pick);
        }
        (self.at, self.count) = (batch.next, self.count.saturating_add(STRIDE));
    }

    /// Remembers where it is.
    fn mark(&mut self) {
        // The length of a table is a number of 32 bits.
        self.marks.push((u32::try_from(self.at).unwrap_or(u32::MAX), self.count));
    }

    /// Asks whether a type is wanted.
    fn consider(&mut self, number: u32, name: StrOff, pick: impl Fn(StrOff) -> Option<usize>) {
        self.picked.extend(pick(name).map(|what| (number, what)));
    }
}

/// The lower and the upper half.
#[expect(clippy::cast_possible_truncation, reason = "a half has 32 bits")]
const fn halves(both: u64) -> [u32; 2] {
    [both as u32, (both >> 32) as u32]
}

impl Places {
    /// Number behind the last type.
    pub(super) fn end(&self) -> u32 {
        self.runs.last().map_or(0, Run::behind)
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
        let (at, first) = *run.marks.get(mark)?;
        let mut at = to_usize(at);
        for _ in first..number {
            (_, at) = table.head(at)?;
        }
        Some(at)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking")]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::bytes::Truncated;

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
            let (head, next) = table(types).head(at).unwrap();
            if head.is_one_of(KindSet::STRUCT) && head.name.0 % 2 == 0 {
                picked.push((TypeId(id), 7));
            }
            (at, id) = (next, id + 1);
        }
        assert_eq!(places.end(), id);
        assert_eq!(places.of(table(types), TypeId(id)), None);
        assert_eq!(places.picked().collect::<Vec<_>>(), picked);
        places
    }

    #[test]
    fn a_large_table_is_gone_through_in_several_runs() {
        let mut types = Vec::new();
        for name in 0..40_000 {
            let vlen = name % 3;
            head(&mut types, name, if name % 5 == 0 { STRUCT } else { FWD }, 0);
            if name % 7 == 0 {
                head(&mut types, name, STRUCT, vlen);
                types.extend(vec![0; 12 * usize::try_from(vlen).unwrap()]);
            }
        }
        assert_eq!(check(&types).runs.len(), RUNS);
        assert_eq!(check(&types[..12 * 4]).runs.len(), 1);
    }

    #[test]
    fn a_wrong_guess_is_forgotten() {
        // Members that look like types, 4 bytes off: no run stands where the one before it arrives.
        let mut types = Vec::new();
        head(&mut types, 2, STRUCT, 60_000);
        types.extend(0u32.to_le_bytes());
        (1..60_000).for_each(|name| head(&mut types, name, FWD, 0));
        types.extend([0; 8]);
        head(&mut types, 4, STRUCT, 0);
        assert_eq!(starts(table(&types), |_| true).len(), RUNS);
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
        head(&mut types, 1, STRUCT, 2);
        let cut = walk(table(&types), |_| true, |_| None);
        assert!(matches!(cut, Err(BtfError::Truncated(Truncated { need: 36, have: 12, .. }))));
    }
}
