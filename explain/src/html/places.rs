//! Where things stand on the page: the names that links use.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Change, Explanation, Linked};

pub(super) fn map(index: u32) -> String {
    format!("map-{index}")
}

pub(super) fn program(index: u32) -> String {
    format!("program-{index}")
}

pub(super) fn function(index: u32) -> String {
    format!("f{index}")
}

pub(super) fn instruction(function: u32, at: u32) -> String {
    format!("f{function}-{at}")
}

pub(super) fn linked(program: u32) -> String {
    format!("linked-{program}")
}

pub(super) fn change(program: u32, at: u32) -> String {
    format!("change-{program}-{at}")
}

pub(super) fn in_kernel(program: u32) -> String {
    format!("kernel-program-{program}")
}

/// A change, and the program that it is a change of.
pub(super) type Changed<'e> = (&'e Linked, &'e Change);

/// Which instruction of a function is which of a program.
#[derive(Debug)]
pub(super) struct Places<'e> {
    linked: BTreeMap<u32, &'e Linked>,
    changes: BTreeMap<(u32, u32), Vec<Changed<'e>>>,
    /// Instructions that something else than their own function links to.
    wanted: BTreeSet<(u32, u32)>,
}

impl<'e> Places<'e> {
    pub(super) fn new(explanation: &'e Explanation) -> Self {
        let linked: BTreeMap<u32, &Linked> =
            explanation.linked.iter().map(|linked| (linked.program, linked)).collect();
        let mut places = Self { linked, changes: BTreeMap::new(), wanted: BTreeSet::new() };
        for linked in &explanation.linked {
            for change in &linked.changes {
                let Some(place) = places.find(linked.program, change.at) else { continue };
                places.changes.entry(place).or_default().push((linked, change));
            }
        }
        let calls = explanation.graph.calls.iter().flat_map(|call| {
            let trails = call.table_trail.iter().chain(&call.key_trail).map(|step| step.at);
            trails.chain([call.at]).map(|at| (call.program, at))
        });
        let uses =
            explanation.graph.uses.iter().flat_map(|used| used.at.iter().map(|at| (used.program, *at)));
        places.wanted = calls.chain(uses).filter_map(|(program, at)| places.find(program, at)).collect();
        places
    }

    /// The function of a slot of a program, and the slot in it.
    pub(super) fn find(&self, program: u32, at: u32) -> Option<(u32, u32)> {
        let spans = &self.linked.get(&program)?.layout;
        spans.iter().find_map(|span| {
            let inside = at.checked_sub(span.start)?;
            (inside < span.slots).then_some((span.function, inside))
        })
    }

    /// The link to a slot of a program, in the code that the compiler wrote.
    pub(super) fn link(&self, program: u32, at: u32) -> Option<String> {
        let (function, at) = self.find(program, at)?;
        Some(format!("#{}", instruction(function, at)))
    }

    /// What becomes of an instruction, in each program that it is in.
    pub(super) fn changes(&self, function: u32, at: u32) -> &[Changed<'e>] {
        self.changes.get(&(function, at)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether something links to an instruction.
    pub(super) fn is_wanted(&self, function: u32, at: u32) -> bool {
        self.wanted.contains(&(function, at))
    }
}
