//! Questions about an object's own types: by name, and those that all graphs answer.

use alloc::borrow::Cow;

use super::graph::TypeGraph;
use super::types::{Btf, Kind, StrOff, Type, TypeId, string_at};
use crate::bytes::to_usize;

impl Btf {
    /// The first type that satisfies `is` and goes by `name`.
    pub fn find(&self, name: &str, is: impl Fn(&Kind) -> bool) -> Option<TypeId> {
        let found = |(_, ty): &(u32, &Type)| is(&ty.kind) && self.is_named(ty.name, name);
        (0u32..).zip(&self.types).find(found).map(|(id, _)| TypeId(id))
    }

    /// Whether the string at this position is `text`.
    pub fn is_named(&self, at: StrOff, text: &str) -> bool {
        let rest = self.strings.get(to_usize(at.0)..).and_then(|s| s.strip_prefix(text.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// What the type behind typedefs and qualifiers is.
    pub fn resolved(&self, id: TypeId) -> Option<&Kind> {
        let (id, _) = self.behind(id)?;
        self.kind(id)
    }
}

impl TypeGraph for Btf {
    fn ty(&self, id: TypeId) -> Option<Cow<'_, Type>> {
        self.get(id).map(Cow::Borrowed)
    }

    fn bytes_at(&self, at: StrOff) -> &[u8] {
        string_at(&self.strings, to_usize(at.0))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn btf(kinds: &[Kind]) -> Btf {
        let all = core::iter::once(&Kind::Void).chain(kinds);
        Btf {
            types: all.map(|kind| Type { name: StrOff(1), kind: kind.clone() }).collect(),
            strings: vec![0, b'x', 0],
        }
    }

    #[test]
    fn sizes_of_arrays_multiply() {
        let btf = btf(&[
            Kind::Int { size: 4, detail: 32 },
            Kind::Typedef(TypeId(1)),
            Kind::Array { element: TypeId(2), index: TypeId(1), len: 3 },
            Kind::Array { element: TypeId(3), index: TypeId(1), len: 5 },
            Kind::Array { element: TypeId(4), index: TypeId(1), len: u32::MAX },
        ]);
        assert_eq!(btf.size_of(TypeId(4)), Some(60));
        assert_eq!(btf.size_of(TypeId(5)), None);
        assert_eq!(btf.size_of(TypeId(0)), None);
    }

    #[test]
    fn loops_end() {
        let btf =
            btf(&[Kind::Typedef(TypeId(1)), Kind::Array { element: TypeId(2), index: TypeId(2), len: 1 }]);
        assert_eq!(btf.behind(TypeId(1)), None);
        assert_eq!(btf.size_of(TypeId(2)), None);
    }

    #[test]
    fn names_match_whole() {
        let btf = btf(&[Kind::Float { size: 8 }]);
        assert_eq!(btf.find("x", |k| matches!(k, Kind::Float { .. })), Some(TypeId(1)));
        assert_eq!(btf.find("", |k| matches!(k, Kind::Float { .. })), None);
        assert_eq!(btf.find("x", |k| matches!(k, Kind::Ptr(_))), None);
    }
}
