//! What stages change in an object's types, and why: the counterpart of [`crate::patch`] for BTF.
//!
//! Types are changed by an [`Editor`] only, which keeps what stood there before: an owner moves, nothing is copied for it.
//! The law, held by tests: undoing the changes gives the types that the stage was given.

use alloc::vec::Vec;

use super::types::{Btf, Kind, Linkage, StrOff, Type, TypeId};
use crate::bytes::to_usize;

/// One changed type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeChange {
    /// Which type.
    pub id: TypeId,
    /// What it was before; `None` if there was none of this number.
    pub before: Option<Type>,
    /// Why.
    pub reason: TypeReason,
}

/// Why a type was changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TypeReason {
    /// The compiler leaves open how large a section of variables is and where they stand in it, and does not sort them:
    /// the file's section and its symbols say.
    Section,
    /// The symbol of the function or variable is hidden: outside of its file nobody knows it, as if it were `static`.
    Hidden,
    /// `.kconfig` is in no file, and the kernel knows no variables that are only declared: they stand where the loader puts
    /// them.
    Kconfig,
    /// `.ksyms` is in no file, and the kernel knows nothing that is only declared. What is declared becomes a definition
    /// that it accepts, since nobody reads it.
    Ksyms,
    /// A type behind the last, for the functions whose context this kernel knows by its type alone. Since Linux 6.8 a tag
    /// says it.
    Context,
    /// This kernel does not know the kind, or this use of it.
    Lacking,
}

/// Types under change.
#[derive(Debug)]
pub(crate) struct Editor<'b> {
    btf: &'b mut Btf,
    changes: Vec<TypeChange>,
}

impl<'b> Editor<'b> {
    pub(crate) const fn new(btf: &'b mut Btf) -> Self {
        Self { btf, changes: Vec::new() }
    }

    /// The types as they are now.
    pub(crate) const fn btf(&self) -> &Btf {
        self.btf
    }

    /// What was changed, in this order.
    pub(crate) fn into_changes(self) -> Vec<TypeChange> {
        self.changes
    }

    /// Makes another type of this one. Nothing happens if it is none, or the same.
    pub(crate) fn set(&mut self, id: TypeId, kind: Kind, reason: TypeReason) {
        let Some(ty) = self.btf.types.get_mut(id.index()).filter(|ty| ty.kind != kind) else {
            return;
        };
        let before = Type { name: ty.name, kind: core::mem::replace(&mut ty.kind, kind) };
        self.changes.push(TypeChange { id, before: Some(before), reason });
    }

    /// Makes a function or variable one that others can see, or cannot.
    pub(crate) fn set_linkage(&mut self, id: TypeId, to: Linkage, reason: TypeReason) {
        let Some(mut kind) = self.btf.kind(id).filter(|kind| kind.has_linkage()).cloned() else {
            return;
        };
        if let Kind::Func { linkage, .. } | Kind::Var { linkage, .. } = &mut kind {
            *linkage = to;
        }
        self.set(id, kind, reason);
    }

    /// Puts a type behind the last.
    pub(crate) fn push(&mut self, ty: Type, reason: TypeReason) -> TypeId {
        let id = TypeId(u32::try_from(self.btf.types.len()).unwrap_or(0));
        self.btf.types.push(ty);
        self.changes.push(TypeChange { id, before: None, reason });
        id
    }

    /// A name, behind the last. Nothing refers to it yet, so it is no change.
    pub(crate) fn add_name(&mut self, name: &[u8]) -> StrOff {
        let at = u32::try_from(self.btf.strings.len()).unwrap_or(0);
        self.btf.strings.extend(name);
        self.btf.strings.push(0);
        StrOff(at)
    }
}

/// The types as they were before the stages that made `changes`. Names that were added stay: nothing refers to them.
///
/// `None` if a change does not describe the types, which would be a defect of the stage.
pub fn undo_types(btf: &Btf, changes: &[TypeChange]) -> Option<Btf> {
    let mut types = btf.types.clone();
    for change in changes.iter().rev() {
        match &change.before {
            Some(before) => *types.get_mut(change.id.index())? = before.clone(),
            None if types.len() == to_usize(change.id.0).checked_add(1)? => drop(types.pop()),
            None => return None,
        }
    }
    Some(Btf { types, strings: btf.strings.clone() })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn types() -> Btf {
        let int = Type { name: StrOff(0), kind: Kind::Int { size: 4, detail: 32 } };
        let func = Kind::Func { proto: TypeId(1), linkage: Linkage::GLOBAL };
        let void = Type { name: StrOff(0), kind: Kind::Void };
        Btf { types: vec![void, int, Type { name: StrOff(0), kind: func }], strings: vec![0] }
    }

    #[test]
    fn what_is_changed_is_written_down_and_undone() {
        let mut btf = types();
        let mut editor = Editor::new(&mut btf);
        editor.set_linkage(TypeId(2), Linkage::STATIC, TypeReason::Hidden);
        let added = editor.push(Type { name: StrOff(0), kind: Kind::Ptr(TypeId(2)) }, TypeReason::Context);
        editor.set(added, Kind::Ptr(TypeId(1)), TypeReason::Lacking);
        let changes = editor.into_changes();
        assert_eq!(changes.iter().map(|change| change.id.0).collect::<Vec<_>>(), [2, 3, 3]);
        assert_ne!(btf, types());
        assert_eq!(undo_types(&btf, &changes), Some(types()));
        assert_eq!(undo_types(&types(), &changes), None, "they are not about these types");
    }

    #[test]
    fn what_stays_the_same_is_no_change() {
        let mut btf = types();
        let mut editor = Editor::new(&mut btf);
        editor.set_linkage(TypeId(2), Linkage::GLOBAL, TypeReason::Hidden);
        editor.set_linkage(TypeId(1), Linkage::STATIC, TypeReason::Hidden);
        editor.set(TypeId(9), Kind::Void, TypeReason::Section);
        assert_eq!(editor.into_changes(), []);
        assert_eq!(btf, types());
    }
}
