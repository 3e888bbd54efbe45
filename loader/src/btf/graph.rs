//! Questions that an object's own types and a kernel's answer alike: through typedefs and qualifiers, sizes, names.

use alloc::borrow::Cow;

use super::types::{Kind, StrOff, Type, TypeId};
use crate::bytes::text;

/// How many typedefs, qualifiers and arrays are followed before a chain counts as endless.
///
/// Real code stays below ten; a damaged file may hold a loop. Source: `MAX_RESOLVE_DEPTH`, libbpf `btf.c`, is 32.
const MAX_DEPTH: usize = 32;

/// A graph of C types that are known by number.
#[expect(clippy::wildcard_enum_match_arm, reason = "a question is about few of the many kinds")]
pub trait TypeGraph {
    /// The type with this number; `None` if there is none, or it is damaged.
    fn ty(&self, id: TypeId) -> Option<Cow<'_, Type>>;

    /// The bytes of the string at this position; empty if there is none, cut if it is longer than 1024 **bytes**.
    fn bytes_at(&self, at: StrOff) -> &[u8];

    /// The string at this position, for people: what is not UTF-8 is shown as U+FFFD.
    fn text(&self, at: StrOff) -> Cow<'_, str> {
        text(self.bytes_at(at))
    }

    /// Follows typedefs, qualifiers and type tags to the type behind them, and its number.
    ///
    /// `None` if a type is missing or the chain does not end.
    fn behind(&self, mut id: TypeId) -> Option<(TypeId, Cow<'_, Type>)> {
        for _ in 0..MAX_DEPTH {
            let ty = self.ty(id)?;
            id = match &ty.kind {
                Kind::Typedef(to) | Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) => *to,
                Kind::TypeTag { target, .. } => *target,
                _ => return Some((id, ty)),
            };
        }
        None
    }

    /// As [`behind`](Self::behind), and then through arrays to the type of their elements.
    fn element_behind(&self, mut id: TypeId) -> Option<(TypeId, Cow<'_, Type>)> {
        for _ in 0..MAX_DEPTH {
            let (found, ty) = self.behind(id)?;
            let Kind::Array { element, .. } = &ty.kind else {
                return Some((found, ty));
            };
            id = *element;
        }
        None
    }

    /// Size of a value of this type in **bytes**; `None` for functions, `void` and what does not end.
    fn size_of(&self, id: TypeId) -> Option<u32> {
        let (mut id, mut count) = (id, 1u32);
        for _ in 0..MAX_DEPTH {
            let (_, ty) = self.behind(id)?;
            let size = match &ty.kind {
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

/// A name without its flavour: `task_struct___old` means some version of `task_struct`.
///
/// A flavour is what stands behind the last three underscores with a letter on both sides.
/// Source: libbpf `bpf_core_essential_name_len`.
pub fn essential(name: &[u8]) -> &[u8] {
    let other = |at: Option<usize>| at.and_then(|at| name.get(at)).is_some_and(|byte| *byte != b'_');
    let mut before = name;
    while let Some(at) = memchr::memmem::rfind(before, b"___") {
        if other(at.checked_sub(1)) && other(at.checked_add(3)) {
            return name.get(..at).unwrap_or(name);
        }
        before = name.get(..at.saturating_add(2)).unwrap_or_default();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::essential;

    #[test]
    fn flavours_are_left_out() {
        assert_eq!(essential(b"task_struct___v5_10"), b"task_struct");
        assert_eq!(essential(b"a___b___c"), b"a___b");
        assert_eq!(essential(b"a____b"), b"a____b");
        assert_eq!(essential(b"___a"), b"___a");
        assert_eq!(essential(b"a___"), b"a___");
        assert_eq!(essential(b""), b"");
    }
}
