//! The types of a kernel or a module, found by name without reading all of them.
//!
//! A kernel has some 130,000 types, and an object asks about a few. So the bytes are gone through twice, strings and types
//! once each, looking at nothing but names; a type is read when somebody asks for it. A module's types go on where the
//! kernel's end ("split BTF"): their numbers and strings count on from the kernel's.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use super::BtfError;
use super::graph::{TypeGraph, essential};
use super::parse;
use super::types::{Kind, KindSet, StrOff, Type, TypeId, string_at};
use super::walk::{self, Places, Table};
use crate::bytes::{Endian, Reader, before_nul, to_usize};

/// Names to look for, without their flavours, and the kinds of types that go by them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    names: BTreeSet<Vec<u8>>,
    kinds: KindSet,
}

impl Wanted {
    /// Looks for types of this name and of such kinds as well. A flavour (`___x`) plays no part.
    pub fn add(&mut self, name: &[u8], kinds: KindSet) {
        if !name.is_empty() {
            self.names.insert(essential(name).to_vec());
            self.kinds |= kinds;
        }
    }

    /// Looks for these names as well.
    pub fn merge(&mut self, other: Self) {
        self.names.extend(other.names);
        self.kinds |= other.kinds;
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(Vec::as_slice)
    }
}

/// The types of a kernel, or of one of its modules.
#[derive(Clone, Debug)]
pub struct TargetBtf<'d> {
    base: Option<&'d Self>,
    types: &'d [u8],
    strings: &'d [u8],
    endian: Endian,
    /// Number of its first type: 1, or the one behind the base's last.
    first: u32,
    /// Where its types stand.
    places: Places,
    /// Types of these names without their flavours, in order.
    named: BTreeMap<Vec<u8>, Vec<TypeId>>,
}

impl<'d> TargetBtf<'d> {
    /// Goes through BTF as the kernel shows it in `/sys/kernel/btf`, looking for types by name. `base` is the kernel's for
    /// a module, and was looked through for the same names. What was not wanted may be found all the same, or not.
    ///
    /// # Errors
    /// [`BtfError`]: cut off, not BTF, or with a kind of type that this crate does not know.
    pub fn scan(data: &'d [u8], base: Option<&'d Self>, wanted: &Wanted) -> Result<Self, BtfError> {
        let endian = Self::endian_of(data);
        let (types, strings) = parse::sections(data, endian)?;
        let names: Vec<&[u8]> = wanted.names().collect();
        let mut target = Self {
            base,
            types,
            strings,
            endian,
            first: base.map_or(1, |base| base.places.end()),
            places: Places::default(),
            named: BTreeMap::new(),
        };
        target.walk(&names, wanted.kinds)?;
        Ok(target)
    }

    /// The byte order that BTF begins with; little if it does not begin like BTF.
    pub fn endian_of(data: &[u8]) -> Endian {
        if data.starts_with(&parse::MAGIC.to_be_bytes()) { Endian::Big } else { Endian::Little }
    }

    /// Types whose name is this one, flavours aside, in order; those of the base not among them.
    pub fn named(&self, name: &[u8]) -> &[TypeId] {
        self.named.get(essential(name)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The first type of exactly this name that satisfies `is`.
    pub fn find(&self, name: &[u8], is: impl Fn(&Kind) -> bool) -> Option<TypeId> {
        let fits = |ty: Cow<'_, Type>| is(&ty.kind) && self.bytes_at(ty.name) == name;
        self.named(name).iter().copied().find(|id| self.ty(*id).is_some_and(fits))
    }

    /// Number behind its last type.
    pub fn end(&self) -> TypeId {
        TypeId(self.places.end())
    }

    /// Goes through the types: where they stand, and which have a wanted name.
    ///
    /// A kernel has some 130,000 of them: what happens here for each one is the price of asking anything.
    fn walk(&mut self, names: &[&[u8]], kinds: KindSet) -> Result<(), BtfError> {
        let prefixes = names.iter().flat_map(|name| [prefix(name), flavoured_prefix(name)]);
        let likely = Filter::of(&prefixes.collect::<Vec<u64>>());
        let pick = |name| self.which(names, &likely, name);
        let places = walk::walk(self.table(kinds), |name| !self.is_end_of_another(name), pick)?;
        for (id, which) in places.picked() {
            if let Some(name) = names.get(which) {
                self.named.entry(name.to_vec()).or_default().push(id);
            }
        }
        self.places = places;
        Ok(())
    }

    fn table(&self, kinds: KindSet) -> Table<'d> {
        Table { types: self.types, endian: self.endian, first: self.first, kinds }
    }

    /// Which of the names stands at this position, flavours aside.
    fn which(&self, names: &[&[u8]], likely: &Filter, at: StrOff) -> Option<usize> {
        let prefix = prefix(self.rest_at(at));
        if !likely.has(prefix) && !has_mark_of_flavour(prefix) {
            return None;
        }
        names.binary_search(&essential(self.bytes_at(at))).ok()
    }

    /// The strings from this position on.
    fn rest_at(&self, at: StrOff) -> &[u8] {
        let string_base = self.base.map_or(0, Self::string_end);
        match (self.base, at.0.checked_sub(string_base)) {
            (Some(base), None) => base.rest_at(at),
            (_, own) => own.and_then(|own| self.strings.get(to_usize(own)..)).unwrap_or_default(),
        }
    }

    /// Whether a name is the end of a longer string, which it shares. Nobody is known to write BTF so, but all may.
    fn is_end_of_another(&self, at: StrOff) -> bool {
        match (self.base, at.0.checked_sub(self.base.map_or(0, Self::string_end))) {
            (Some(base), None) => base.is_end_of_another(at),
            (_, own) => {
                let before = own.and_then(|own| self.strings.get(to_usize(own).checked_sub(1)?));
                before.is_some_and(|byte| *byte != 0)
            }
        }
    }

    fn string_end(&self) -> u32 {
        let own = u32::try_from(self.strings.len()).unwrap_or(u32::MAX);
        self.base.map_or(0, Self::string_end).saturating_add(own)
    }

    fn read(&self, id: TypeId) -> Option<Type> {
        let at = self.places.of(self.table(KindSet::empty()), id)?;
        let rest = self.types.get(at..).filter(|rest| !rest.is_empty())?;
        parse::one(&mut Reader::new(rest, self.endian), id.index()).ok()
    }
}

impl TypeGraph for TargetBtf<'_> {
    fn ty(&self, id: TypeId) -> Option<Cow<'_, Type>> {
        match self.base {
            _ if id == TypeId(0) => Some(Cow::Owned(Type { name: StrOff(0), kind: Kind::Void })),
            Some(base) if id.0 < self.first => base.ty(id),
            _ => self.read(id).map(Cow::Owned),
        }
    }

    fn bytes_at(&self, at: StrOff) -> &[u8] {
        string_at(self.rest_at(at), 0)
    }
}

/// The first 8 bytes of a string that ends at a NUL, as a number.
fn prefix(text: &[u8]) -> u64 {
    let Some(first) = text.first_chunk() else {
        let few = before_nul(text).iter().rev();
        return few.fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    };
    let number = u64::from_le_bytes(*first);
    // The lowest bit of this is the highest of the first byte that is 0. Source: Mycroft's test for a zero byte.
    let zero = number.wrapping_sub(0x0101_0101_0101_0101) & !number & 0x8080_8080_8080_8080;
    match zero.checked_shr(7).filter(|_| zero != 0) {
        Some(zero) => number & (zero & zero.wrapping_neg()).wrapping_sub(1),
        None => number,
    }
}

/// What stands between a name and its flavour.
const MARK: u32 = u32::from_le_bytes(*b"___\0");

/// The first 8 bytes of a name with any flavour, where these are the same for all of them: where the name has 5 or more.
fn flavoured_prefix(name: &[u8]) -> u64 {
    let mark = u64::from(MARK).checked_shl(bits(name.len())).unwrap_or(0);
    prefix(name) | mark
}

/// Whether there is a [`MARK`] in the first 8 bytes of a string: it may be a name of 4 or fewer with a flavour.
fn has_mark_of_flavour(prefix: u64) -> bool {
    (1..5).any(|at| prefix >> bits(at) & 0xff_ffff == u64::from(MARK))
}

/// So many bytes in **bits**.
fn bits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).saturating_mul(8)
}

/// A set that may say yes by mistake, but is asked in a nanosecond.
struct Filter {
    bits: Vec<u64>,
    shift: u32,
}

impl Filter {
    /// A filter that is wrong once in 32 times, or more rarely.
    fn of(items: &[u64]) -> Self {
        let bits = items.len().saturating_mul(32).max(4096).next_power_of_two();
        let mut filter =
            Self { bits: vec![0; bits / 64], shift: 64u32.saturating_sub(bits.trailing_zeros()) };
        for item in items {
            let (word, bit) = filter.place(*item);
            if let Some(word) = filter.bits.get_mut(word) {
                *word |= bit;
            }
        }
        filter
    }

    /// The word and the bit in it.
    fn place(&self, item: u64) -> (usize, u64) {
        // The upper bits of a product depend on all bits of its factors. Source: Knuth, multiplicative hashing.
        let hash = item.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        (usize::try_from(hash / 64).unwrap_or(0), 1 << (hash % 64))
    }

    fn has(&self, item: u64) -> bool {
        let (word, bit) = self.place(item);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_the_nul() {
        let number = |text: &[u8]| text.iter().rev().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        assert_eq!(prefix(b"abc\0defghi"), number(b"abc"));
        assert_eq!(prefix(b"abc"), number(b"abc"));
        assert_eq!(prefix(b"abcdefghij"), number(b"abcdefgh"));
        assert_eq!(prefix(b"abcdefg\0\x01"), number(b"abcdefg"));
        assert_eq!(prefix(b"\0abcdefgh"), 0);
        assert_eq!((prefix(b""), prefix(b"\0")), (0, 0));
        assert_eq!(prefix(b"\x80\x81\x01\0\x01\x01\x01\x01\x01"), number(b"\x80\x81\x01"));
    }
}
