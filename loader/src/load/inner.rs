//! Programs with maps of maps of whose inner maps nobody says what they look like: tried with one after another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::fd::AsFd;

use super::Note;
use super::program::OwnTables;
use super::session::Session;
use crate::plan::{CreateMap, LoadProgram, MapSlot};
use crate::spec::{Inner, MapId};
use crate::sys::{Kernel, Named};

/// How often a program is tried with other inner maps: more is no answer that somebody waits for.
const MOST_ATTEMPTS: usize = 300;
/// How many of them are the likeliest together, however many maps are others.
const LOWEST_RANKS: usize = 150;

/// Maps of maps that a program has for itself, and examples of their inner maps.
pub(super) type InnerToTry<'p> = Vec<(MapId, &'p CreateMap)>;

/// What the inner maps look like of the maps of maps that a program has for itself.
pub(super) type InnerFound = BTreeMap<MapId, String>;

impl<'p, K: Kernel> Session<'p, '_, K> {
    /// What else the inner maps of a program may look like, the likeliest first. Of two maps of maps each is tried with
    /// each of the other's.
    pub(super) fn inner_to_try(&self, load: &LoadProgram) -> Vec<InnerToTry<'p>> {
        let plan = self.plan;
        if plan.open_inner.is_empty() {
            return Vec::new();
        }
        let refs = plan.object.program(load.program).map(|p| p.map_refs.as_slice()).unwrap_or_default();
        let ids: BTreeSet<MapId> = refs.iter().map(|(_, id)| *id).collect();
        let open: Vec<_> =
            ids.iter().filter_map(|id| Some((*id, plan.open_inner.get(id)?.as_slice()))).collect();
        let ranks: Vec<usize> = open.iter().map(|(_, templates)| templates.len()).collect();
        // Rank 0 is the one that the map was made with.
        let template = |(at, rank): (usize, usize)| {
            let (id, templates) = open.get(at)?;
            Some((*id, templates.get(rank.checked_sub(1)?)?))
        };
        let ways = by_rank(&ranks).into_iter();
        ways.map(|way| way.into_iter().enumerate().filter_map(template).collect()).collect()
    }

    /// Makes maps of maps for a program alone; `None` if the kernel does not take them.
    pub(super) fn make_inner(&self, inner: &InnerToTry<'p>, tables: &mut OwnTables) -> Option<InnerFound> {
        let mut found = InnerFound::new();
        tables.retain(|id, _| !self.plan.open_inner.contains_key(id));
        for (id, template) in inner {
            let outer = self.plan.maps().find(|create| create.slot == MapSlot::Map(*id))?;
            let (example, _) = self.create_map(template).ok()?;
            let example = Named { name: &template.name, fd: example.as_fd() };
            tables.insert(*id, self.create_map_of(outer, Some(example)).ok()?.0);
            found.insert(*id, words(template));
        }
        Some(found)
    }

    /// What is to be said about an inner map that was made up.
    pub(super) fn inner_made_up(&self, create: &CreateMap) -> Option<Note> {
        let MapSlot::Template(id) = create.slot else {
            return None;
        };
        let said = |inner: &Inner| matches!(inner, Inner::Template(_));
        let spec = self.spec().map(id).filter(|spec| !spec.inner.as_ref().is_some_and(said))?;
        Some(Note::InnerMadeUp { program: None, map: spec.name.to_string(), inner: words(create) })
    }

    /// What is to be said about a program that the kernel took with other inner maps.
    pub(super) fn inner_found(&self, load: &LoadProgram, found: &InnerFound) -> Vec<Note> {
        let program = self.spec().program(load.program).map(|program| program.name.clone());
        let note = |(id, inner): (&MapId, &String)| Note::InnerMadeUp {
            program: program.clone(),
            map: self.spec().map_name(*id).to_string(),
            inner: inner.clone(),
        };
        found.iter().map(note).collect()
    }
}

/// Ways to choose a rank up to the last of each, but for 0 of all: the lowest ranks first; then those where one map alone
/// is another than the likeliest, since few programs need more; then those where all are alike.
fn by_rank(last: &[usize]) -> Vec<Vec<usize>> {
    let highest = last.iter().copied().max().unwrap_or(0);
    let alone = |rank: usize| {
        let places = last.iter().enumerate().filter(move |(_, last)| rank <= **last);
        places.map(move |(place, _)| (0..last.len()).map(|at| if at == place { rank } else { 0 }).collect())
    };
    let alike = |rank: usize| last.iter().map(|last| rank.min(*last)).collect();
    let mut ways = by_sum(last);
    ways.extend((1..=highest).flat_map(alone));
    ways.extend((1..=highest).map(alike));
    let mut seen = BTreeSet::new();
    ways.retain(|way| seen.insert(way.clone()));
    ways.truncate(MOST_ATTEMPTS);
    ways
}

/// The first of the ways, by the sum of their ranks.
fn by_sum(last: &[usize]) -> Vec<Vec<usize>> {
    let mut ways = vec![vec![0; last.len()]];
    let mut seen: BTreeSet<Vec<usize>> = ways.iter().cloned().collect();
    let mut at = 0;
    while let Some(way) = ways.get(at).cloned().filter(|_| ways.len() <= LOWEST_RANKS) {
        for (place, last) in last.iter().enumerate() {
            let mut next = way.clone();
            if let Some(rank) = next.get_mut(place).filter(|rank| **rank < *last) {
                *rank = rank.saturating_add(1);
                if seen.insert(next.clone()) {
                    ways.push(next);
                }
            }
        }
        at = at.saturating_add(1);
    }
    ways.split_off(1)
}

/// A map's looks.
fn words(map: &CreateMap) -> String {
    let mut words = map.ty.to_string();
    for (bytes, of) in [(map.key_size, "key"), (map.value_size, "value")] {
        if bytes != 0 {
            let _: Result<(), std::fmt::Error> = write!(words, ", {bytes}-byte {of}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_ways_come_first_and_none_twice() {
        assert_eq!(by_rank(&[2, 1]), [[1, 0], [0, 1], [2, 0], [1, 1], [2, 1]]);
        let both = [[1, 0], [0, 1], [2, 0], [1, 1], [0, 2], [2, 1], [1, 2], [2, 2]];
        assert_eq!(by_rank(&[2, 2]), both);
        assert!(by_rank(&[90, 90]).contains(&vec![0, 60]), "one alone, however unlikely");
        assert_eq!(by_rank(&[3]), [[1], [2], [3]]);
        assert!(by_rank(&[]).is_empty() && by_rank(&[0, 0]).is_empty());
        assert_eq!(by_rank(&[90, 90, 90]).len(), MOST_ATTEMPTS);
    }
}
