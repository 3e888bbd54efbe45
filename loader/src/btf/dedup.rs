//! One type for all that are the same.
//!
//! Two types are the same if they look alike and what they refer to is the same, all the way down. That question bites
//! its own tail (a list's node points to a node), so it is answered from above: at first all types that look alike count
//! as one class, then classes are split as long as members of one refer to different classes. What is never split is the
//! same. Strings must be the same where they read the same.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::types::{Btf, Kind, Type, TypeId};

/// How often classes are split before types are left as they are. Types of real code settle in less than twenty rounds;
/// a chain of pointers needs one a link.
const MOST_ROUNDS: usize = 64;

impl Btf {
    /// Keeps one of all types that are the same. `replaced` are types to be left out, each with the type that stands in
    /// for it. Returns the new numbers, by the old ones.
    ///
    /// Variables, functions and sections are things rather than types: two of them are never the same.
    pub fn dedup(&mut self, replaced: &BTreeMap<TypeId, TypeId>) -> Vec<TypeId> {
        let stand_in = |id: TypeId| replaced.get(&id).copied().unwrap_or(id);
        for ty in &mut self.types {
            ty.for_each_type(|id| *id = stand_in(*id));
        }
        let classes = classes(&self.types);
        let mut numbers = Vec::with_capacity(self.types.len());
        let mut next = 0;
        // The first of a class stands before all others of it, so its number is known by then.
        for (at, class) in ids().zip(&classes) {
            let own = at == *class && !replaced.contains_key(&at);
            let number = if own { TypeId(next) } else { number(&numbers, *class) };
            next = next.saturating_add(u32::from(own));
            numbers.push(number);
        }
        for (old, new) in replaced {
            let new = number(&numbers, *new);
            if let Some(number) = numbers.get_mut(old.index()) {
                *number = new;
            }
        }
        let kept = ids().zip(&classes).map(|(at, class)| at == *class && !replaced.contains_key(&at));
        let mut kept = kept.collect::<Vec<bool>>().into_iter();
        self.types.retain(|_| kept.next().unwrap_or(true));
        for ty in &mut self.types {
            ty.for_each_type(|id| *id = number(&numbers, *id));
        }
        numbers
    }
}

fn ids() -> impl Iterator<Item = TypeId> {
    (0u32..).map(TypeId)
}

fn number(numbers: &[TypeId], id: TypeId) -> TypeId {
    numbers.get(id.index()).copied().unwrap_or_default()
}

/// The class of each type: the number of the first in it.
fn classes(types: &[Type]) -> Vec<TypeId> {
    let own: Vec<TypeId> = ids().take(types.len()).collect();
    // Classes by looks alone: whatever types refer to counts as the same.
    let mut classes = split(types, &own, |_| TypeId(0));
    let mut count = distinct(&classes);
    for _ in 0..MOST_ROUNDS {
        let finer = split(types, &own, |id| number(&classes, id));
        let finer_count = distinct(&finer);
        if finer_count == count {
            return finer;
        }
        (classes, count) = (finer, finer_count);
    }
    own
}

/// One class for all types that are equal when they refer to classes.
fn split(types: &[Type], own: &[TypeId], class_of: impl Fn(TypeId) -> TypeId) -> Vec<TypeId> {
    let mut first: BTreeMap<Type, TypeId> = BTreeMap::new();
    let class = |(ty, id): (&Type, &TypeId)| {
        if matches!(ty.kind, Kind::Var { .. } | Kind::Func { .. } | Kind::Datasec { .. }) {
            return *id;
        }
        let mut key = ty.clone();
        key.for_each_type(|id| *id = class_of(*id));
        *first.entry(key).or_insert(*id)
    };
    types.iter().zip(own).map(class).collect()
}

fn distinct(classes: &[TypeId]) -> usize {
    ids().zip(classes).filter(|(id, class)| id == *class).count()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::types::{Linkage, Member, StrOff};
    use super::*;

    fn ty(name: u32, kind: Kind) -> Type {
        Type { name: StrOff(name), kind }
    }

    /// `struct node { struct node *next; int value; }` with number `id`, and its pointer with number `next`.
    fn node(id: u32, next: u32, value: u32) -> [Type; 2] {
        let member = |ty| Member { name: StrOff(2), ty: TypeId(ty), bit_offset: 0, bit_size: 0 };
        let members = vec![member(next), member(value)];
        let node = Kind::Composite { union: false, size: 16, members, bitfields: false };
        [ty(1, node), ty(0, Kind::Ptr(TypeId(id)))]
    }

    fn btf(types: impl IntoIterator<Item = Type>) -> Btf {
        let void = core::iter::once(ty(0, Kind::Void));
        Btf { types: void.chain(types).collect(), strings: vec![0] }
    }

    #[test]
    fn types_in_a_circle_are_the_same_only_if_all_of_them_are() {
        let int = |detail| ty(3, Kind::Int { size: 4, detail });
        let nodes = [node(3, 4, 1), node(5, 6, 1), node(7, 8, 2)].concat();
        let mut btf = btf([int(32), int(64)].into_iter().chain(nodes));
        let numbers = btf.dedup(&BTreeMap::new());
        assert_eq!(numbers, [0, 1, 2, 3, 4, 3, 4, 5, 6].map(TypeId));
        assert_eq!(btf.types.len(), 7);
        assert_eq!(btf.types[6].kind, Kind::Ptr(TypeId(5)), "the third node is another");
    }

    #[test]
    fn things_are_never_the_same_but_may_be_replaced() {
        let var = |ty_| ty(4, Kind::Var { ty: ty_, linkage: Linkage::STATIC });
        let int = || ty(3, Kind::Int { size: 4, detail: 32 });
        let types =
            [int(), var(TypeId(1)), int(), var(TypeId(3)), var(TypeId(3)), ty(0, Kind::Const(TypeId(4)))];
        let mut btf = btf(types);
        // A stand-in may stand behind what it stands in for.
        let numbers = btf.dedup(&BTreeMap::from([(TypeId(4), TypeId(5))]));
        assert_eq!(numbers, [0, 1, 2, 1, 3, 3, 4].map(TypeId));
        assert_eq!(btf.types[4].kind, Kind::Const(TypeId(3)));
    }

    #[test]
    fn a_long_chain_is_left_as_it_is() {
        let pointers = |targets: core::ops::Range<u32>| targets.map(|to| ty(0, Kind::Ptr(TypeId(to))));
        // Two chains of 100 pointers that end at `void`.
        let second = pointers(0..1).chain(pointers(101..200));
        let mut btf = btf(pointers(0..100).chain(second));
        btf.dedup(&BTreeMap::new());
        assert_eq!(btf.types.len(), 201);
    }
}
