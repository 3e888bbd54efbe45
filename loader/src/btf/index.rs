//! Questions about the type graph: by name, through typedefs and qualifiers, sizes.

use super::types::{Btf, Kind, StrOff, TypeId};
use crate::bytes::to_usize;

/// How many typedefs, qualifiers and arrays are followed before a chain counts as endless.
///
/// Real code stays below ten; a damaged file may hold a loop. Source: `MAX_RESOLVE_DEPTH`, libbpf `btf.c`, is 32.
const MAX_DEPTH: usize = 32;

#[expect(clippy::wildcard_enum_match_arm, reason = "a question is about few of the many kinds")]
impl Btf {
    /// The first type that satisfies `is` and goes by `name`.
    pub fn find(&self, name: &str, is: impl Fn(&Kind) -> bool) -> Option<TypeId> {
        let found = |(_, ty): &(u32, &super::Type)| is(&ty.kind) && self.is_named(ty.name, name);
        (0u32..).zip(&self.types).find(found).map(|(id, _)| TypeId(id))
    }

    /// Whether the string at this position is `text`.
    pub fn is_named(&self, at: StrOff, text: &str) -> bool {
        let rest = self.strings.get(to_usize(at.0)..).and_then(|s| s.strip_prefix(text.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Follows typedefs, qualifiers and type tags to the type behind them.
    ///
    /// `None` if a type is missing or the chain does not end.
    pub fn resolve(&self, mut id: TypeId) -> Option<TypeId> {
        for _ in 0..MAX_DEPTH {
            id = match self.kind(id)? {
                Kind::Typedef(to) | Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) => *to,
                Kind::TypeTag { target, .. } => *target,
                _ => return Some(id),
            };
        }
        None
    }

    /// What the type behind typedefs and qualifiers is.
    pub fn resolved(&self, id: TypeId) -> Option<&Kind> {
        self.kind(self.resolve(id)?)
    }

    /// Size of a value of this type in **bytes**; `None` for functions, `void` and what does not end.
    pub fn size_of(&self, id: TypeId) -> Option<u32> {
        let (mut id, mut count) = (id, 1u32);
        for _ in 0..MAX_DEPTH {
            let size = match self.resolved(id)? {
                Kind::Int { size, .. }
                | Kind::Composite { size, .. }
                | Kind::Enum { size, .. }
                | Kind::Enum64 { size, .. }
                | Kind::Datasec { size, .. }
                | Kind::Float { size } => *size,
                // Pointers of the BPF machine, whatever this machine's are.
                Kind::Ptr(_) => 8,
                Kind::Array { element, len, .. } => {
                    count = count.checked_mul(*len)?;
                    id = *element;
                    continue;
                }
                Kind::Var { ty, .. } => {
                    id = *ty;
                    continue;
                }
                _ => return None,
            };
            return size.checked_mul(count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::Type;
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
        assert_eq!(btf.resolve(TypeId(1)), None);
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
