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
use super::types::{Kind, StrOff, Type, TypeId, string_at};
use crate::bytes::{Endian, Reader, before_nul, to_usize};

/// Names to look for, without their flavours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted(BTreeSet<Vec<u8>>);

impl Wanted {
    /// Looks for this name as well. A flavour (`___x`) plays no part.
    pub fn add(&mut self, name: &[u8]) {
        if !name.is_empty() {
            self.0.insert(essential(name).to_vec());
        }
    }

    /// Looks for these names as well.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
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
    /// Number behind its last type.
    end: u32,
    /// Where every [`STRIDE`]th type stands in `types`, in **bytes**.
    marks: Vec<u32>,
    /// Where wanted names stand in its strings, in the positions that types use.
    matches: Vec<(StrOff, usize)>,
    /// Types of these names without their flavours, in order.
    named: BTreeMap<Vec<u8>, Vec<TypeId>>,
}

/// Every so many types one position is kept; the others are found by walking from there.
const STRIDE: u32 = 32;

impl<'d> TargetBtf<'d> {
    /// Goes through BTF as the kernel shows it in `/sys/kernel/btf`, looking for names. `base` is the kernel's for a
    /// module, and was looked through for the same names.
    ///
    /// # Errors
    /// [`BtfError`]: cut off, not BTF, or with a kind of type that this crate does not know.
    pub fn scan(data: &'d [u8], base: Option<&'d Self>, wanted: &Wanted) -> Result<Self, BtfError> {
        let endian = Self::endian_of(data);
        let (types, strings) = parse::sections(data, endian)?;
        let names: Vec<&[u8]> = wanted.names().collect();
        let string_base = base.map_or(0, TargetBtf::string_end);
        let mut target = Self {
            base,
            types,
            strings,
            endian,
            first: base.map_or(1, |base| base.end),
            end: 0,
            marks: Vec::new(),
            matches: matches(strings, string_base, &names),
            named: BTreeMap::new(),
        };
        target.walk(&names)?;
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
        TypeId(self.end)
    }

    /// Goes through the types: where each [`STRIDE`]th stands, and which have a wanted name.
    fn walk(&mut self, names: &[&[u8]]) -> Result<(), BtfError> {
        let known: BTreeMap<StrOff, usize> =
            self.base.iter().flat_map(|base| &base.matches).chain(&self.matches).copied().collect();
        let mut likely = Filter::new(known.len());
        known.keys().for_each(|at| likely.insert(at.0.into()));
        let (mut at, mut id) = (0usize, self.first);
        while at < self.types.len() {
            if id.saturating_sub(self.first) % STRIDE == 0 {
                self.marks.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
            let head = parse::head(self.types, at, self.endian)?;
            let which = if self.is_end_of_another(head.name) {
                names.binary_search(&essential(self.bytes_at(head.name))).ok()
            } else if likely.has(head.name.0.into()) {
                known.get(&head.name).copied()
            } else {
                None
            };
            if let Some(name) = which.and_then(|which| names.get(which)) {
                self.named.entry(name.to_vec()).or_default().push(TypeId(id));
            }
            at = at.saturating_add(head.len(id)?);
            id = id.saturating_add(1);
        }
        self.end = id;
        Ok(())
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
        let number = id.0.checked_sub(self.first)?;
        let mut at = to_usize(*self.marks.get(to_usize(number / STRIDE))?);
        for _ in 0..number % STRIDE {
            at = at.checked_add(parse::head(self.types, at, self.endian).ok()?.len(id.0).ok()?)?;
        }
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
        let string_base = self.base.map_or(0, Self::string_end);
        match (self.base, at.0.checked_sub(string_base)) {
            (Some(base), None) => base.bytes_at(at),
            (_, Some(own)) => string_at(self.strings, to_usize(own)),
            (None, None) => &[],
        }
    }
}

/// Where strings of these names stand, flavours aside; positions count on from `base`.
fn matches(strings: &[u8], base: u32, names: &[&[u8]]) -> Vec<(StrOff, usize)> {
    let mut likely = Filter::new(names.len());
    names.iter().for_each(|name| likely.insert(fold(name)));
    let which = |name: &[u8]| names.binary_search(&name).ok();
    let place = |start: usize| Some(StrOff(u32::try_from(start).ok()?.checked_add(base)?));
    let mut found = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(0, strings) {
        let name = strings.get(start..end).unwrap_or_default();
        if likely.has(fold(name)) && essential(name).len() == name.len() {
            found.extend(which(name).and_then(|which| Some((place(start)?, which))));
        }
        start = end.saturating_add(1);
    }
    // Few names have a flavour, so they are looked for apart.
    let mut end = 0;
    for inside in memchr::memmem::find_iter(strings, b"___") {
        // Once a name is enough.
        if inside < end {
            continue;
        }
        let before = strings.get(..inside).unwrap_or_default();
        let start = memchr::memrchr(0, before).map_or(0, |nul| nul.saturating_add(1));
        let name = string_at(strings, start);
        end = inside.saturating_add(before_nul(strings.get(inside..).unwrap_or_default()).len());
        if essential(name).len() < name.len() {
            found.extend(which(essential(name)).and_then(|which| Some((place(start)?, which))));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A number that names rarely share: their length and both ends.
fn fold(name: &[u8]) -> u64 {
    let ends = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => u64::from_ne_bytes(*first) ^ u64::from_ne_bytes(*last).rotate_left(23),
        _ => name.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    ends ^ (name.len() as u64) << 56
}

/// A set that may say yes by mistake, but is asked in a nanosecond.
struct Filter {
    bits: Vec<u64>,
    shift: u32,
}

impl Filter {
    /// A filter that is wrong once in 32 times, or more rarely.
    fn new(items: usize) -> Self {
        let bits = items.saturating_mul(32).max(4096).next_power_of_two();
        Self { bits: vec![0; bits / 64], shift: 64u32.saturating_sub(bits.trailing_zeros()) }
    }

    /// The word and the bit in it.
    fn place(&self, item: u64) -> (usize, u64) {
        // The upper bits of a product depend on all bits of its factors. Source: Knuth, multiplicative hashing.
        let hash = item.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        (usize::try_from(hash / 64).unwrap_or(0), 1 << (hash % 64))
    }

    fn insert(&mut self, item: u64) {
        let (word, bit) = self.place(item);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= bit;
        }
    }

    fn has(&self, item: u64) -> bool {
        let (word, bit) = self.place(item);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}
