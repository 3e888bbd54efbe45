//! How much of the types may be looked at. Real objects need a small part of it; types that are nested in each other
//! without end, or grow with every step, use it up.

use alloc::borrow::Cow;
use core::cell::Cell;

use crate::btf::{Kind, StrOff, Type, TypeGraph, TypeId};

/// What may still be looked at: types, their members, their names. `None` when it is used up.
#[derive(Debug)]
pub struct Work(Cell<Option<usize>>);

/// Enough for thousands of questions about the largest structures of a kernel, and less than a second. One is about what it
/// costs to look at a type or a member that has been read.
const MOST: usize = 4_000_000;
/// What it costs to find and read one of a kernel's types.
const READ: usize = 32;
/// How many **bytes** of a name cost as much as one.
const NAME: usize = 8;

impl Default for Work {
    fn default() -> Self {
        Self(Cell::new(Some(MOST)))
    }
}

impl Work {
    /// Whether something was not looked at any more: answers since then say nothing.
    pub fn is_used_up(&self) -> bool {
        self.0.get().is_none()
    }

    fn spend(&self, steps: usize) -> Option<()> {
        self.0.set(self.0.get().and_then(|left| left.checked_sub(steps)));
        self.0.get().map(|_| ())
    }
}

/// A graph that counts what is looked at, and shows nothing any more when the work is used up.
pub(super) struct Metered<'a> {
    pub(super) graph: &'a dyn TypeGraph,
    pub(super) work: &'a Work,
}

impl TypeGraph for Metered<'_> {
    fn ty(&self, id: TypeId) -> Option<Cow<'_, Type>> {
        self.work.spend(1)?;
        let ty = self.graph.ty(id)?;
        if let Cow::Owned(read) = &ty {
            self.work.spend(items(&read.kind).saturating_add(READ))?;
        }
        Some(ty)
    }

    fn bytes_at(&self, at: StrOff) -> &[u8] {
        let bytes = self.graph.bytes_at(at);
        self.work.spend((bytes.len() / NAME).saturating_add(1)).map_or(&[], |()| bytes)
    }
}

/// How many members, values or parameters were read with a type.
fn items(kind: &Kind) -> usize {
    match kind {
        Kind::Composite { members, .. } => members.len(),
        Kind::FuncProto { params, .. } => params.len(),
        Kind::Datasec { vars, .. } => vars.len(),
        other => other.enumerators().unwrap_or(0),
    }
}
