//! The maps that a load has made, with their names in messages and recordings.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use crate::plan::MapSlot;
use crate::spec::MapId;

/// Maps by their slot. Nearly all are the object's own, which have numbers from 0 on: of thousands of them, each is found
/// at once.
#[derive(Debug, Default)]
pub(super) struct MadeMaps<'p> {
    own: Vec<Option<Made<'p>>>,
    others: BTreeMap<MapSlot, Made<'p>>,
}

/// A map's name and its descriptor.
pub(super) type Made<'p> = (&'p str, OwnedFd);

impl<'p> MadeMaps<'p> {
    /// No maps yet, and room for so many of the object's.
    pub(super) fn with_room(maps: usize) -> Self {
        Self { own: Vec::with_capacity(maps), others: BTreeMap::new() }
    }

    /// Keeps a map, in place of the one that had its slot.
    pub(super) fn insert(&mut self, slot: MapSlot, made: Made<'p>) {
        let MapSlot::Map(id) = slot else {
            self.others.insert(slot, made);
            return;
        };
        if self.own.len() <= id.index() {
            self.own.resize_with(id.index().saturating_add(1), || None);
        }
        if let Some(place) = self.own.get_mut(id.index()) {
            *place = Some(made);
        }
    }

    /// The map of a slot.
    pub(super) fn get(&self, slot: MapSlot) -> Option<&Made<'p>> {
        match slot {
            MapSlot::Map(id) => self.own.get(id.index())?.as_ref(),
            MapSlot::Template(_) | MapSlot::Copy(..) => self.others.get(&slot),
        }
    }

    /// Gives up one of the object's maps, which is closed.
    pub(super) fn remove(&mut self, id: MapId) {
        if let Some(place) = self.own.get_mut(id.index()) {
            *place = None;
        }
    }

    /// The object's maps, in its order; what else was made is closed.
    pub(super) fn into_own(self) -> impl Iterator<Item = (MapId, OwnedFd)> {
        let numbered = self.own.into_iter().enumerate();
        numbered.filter_map(|(at, made)| Some((MapId::new(at), made?.1)))
    }

    /// All descriptors.
    pub(super) fn into_descriptors(self) -> impl Iterator<Item = OwnedFd> {
        self.own.into_iter().flatten().chain(self.others.into_values()).map(|(_, fd)| fd)
    }
}
