//! How much of the types may be looked at. Real objects need a small part of it; types that are nested in each other
//! without end, or grow with every step, use it up.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};

use super::Location;
use crate::btf::{Kind, StrOff, Type, TypeGraph, TypeId};
use crate::bytes::to_usize;

/// What may still be looked at, and the kernel's types that were read already.
#[derive(Debug)]
pub struct Work {
    /// Types, members, names; `None` when it is used up.
    left: Cell<Option<usize>>,
    /// A list for each remainder of their numbers. Lists grow and never change, so what is in them can be lent: a structure
    /// of hundreds of members is asked about hundreds of times.
    read: Vec<Link>,
}

/// The rest of a list.
type Link = OnceCell<Box<Read>>;

/// A type that was read.
#[derive(Debug)]
struct Read {
    at: Location,
    ty: Type,
    next: Link,
}

/// So many lists of types that were read.
const LISTS: usize = 1024;

/// Enough for thousands of questions about the largest structures of a kernel, and far less than a second. One is about
/// what it costs to look at a name.
const MOST: usize = 2_000_000;
/// What it costs to look at a type.
const LOOK: usize = 4;
/// What it costs to find and read one of a kernel's types.
const READ: usize = 32;
/// What it costs to read one of its members.
const READ_ITEM: usize = 8;
/// So many members of a type that was read before cost as much as a name, and so many **bytes** of a long name.
const CHEAP: usize = 8;

impl Default for Work {
    fn default() -> Self {
        Self { left: Cell::new(Some(MOST)), read: (0..LISTS).map(|_| Link::new()).collect() }
    }
}

impl Work {
    /// Whether something was not looked at any more: answers since then say nothing.
    pub fn is_used_up(&self) -> bool {
        self.left.get().is_none()
    }

    fn spend(&self, steps: usize) -> Option<()> {
        self.left.set(self.left.get().and_then(|left| left.checked_sub(steps)));
        self.left.get().map(|_| ())
    }

    /// The type at this place, if it was read before; if not, the end of its list.
    fn again(&self, at: Location) -> Option<Result<&Type, &Link>> {
        let mut link = self.read.get(to_usize(at.id.0) % LISTS)?;
        while let Some(read) = link.get() {
            if read.at == at {
                return Some(Ok(&read.ty));
            }
            // Somebody may have seen to it that all types stand in one list.
            self.spend(1)?;
            link = &read.next;
        }
        Some(Err(link))
    }
}

/// A graph that counts what is looked at, and shows nothing any more when the work is used up.
pub(super) struct Metered<'a> {
    graph: &'a dyn TypeGraph,
    whose: Whose,
    work: &'a Work,
}

/// Whose types they are.
enum Whose {
    /// The object's, which are at hand.
    Object,
    /// The kernel's, or those of the module at this position, which must be read.
    Kernel(Option<usize>),
}

impl<'a> Metered<'a> {
    /// The object's own types.
    pub(super) const fn object(graph: &'a dyn TypeGraph, work: &'a Work) -> Self {
        Self { graph, whose: Whose::Object, work }
    }

    /// Those of the kernel, or of the module at this position. One position is always the same graph.
    pub(super) const fn kernel(graph: &'a dyn TypeGraph, module: Option<usize>, work: &'a Work) -> Self {
        Self { graph, whose: Whose::Kernel(module), work }
    }

    fn read(&self, at: Location) -> Option<&'a Type> {
        let end = match self.work.again(at)? {
            Ok(ty) => {
                self.work.spend(items(&ty.kind) / CHEAP)?;
                return Some(ty);
            }
            Err(end) => end,
        };
        let ty = self.graph.ty(at.id)?.into_owned();
        self.work.spend(items(&ty.kind).saturating_mul(READ_ITEM).saturating_add(READ))?;
        Some(&end.get_or_init(|| Box::new(Read { at, ty, next: Link::new() })).ty)
    }
}

impl TypeGraph for Metered<'_> {
    fn ty(&self, id: TypeId) -> Option<Cow<'_, Type>> {
        self.work.spend(LOOK)?;
        match self.whose {
            Whose::Object => self.graph.ty(id),
            Whose::Kernel(module) => self.read(Location { module, id }).map(Cow::Borrowed),
        }
    }

    fn bytes_at(&self, at: StrOff) -> &[u8] {
        let bytes = self.graph.bytes_at(at);
        self.work.spend((bytes.len() / CHEAP).saturating_add(1)).map_or(&[], |()| bytes)
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
