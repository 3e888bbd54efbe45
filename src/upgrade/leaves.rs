//! Two versions of a type, part by part: what differs between them, and how bytes of the one become bytes of the other. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use rxdp_loader::btf::{Btf, Kind, TypeGraph, TypeId};
use rxdp_loader::core_relo::type_words;

/// Most parts that are told apart; what is larger is one part.
const MOST: usize = 4096;

/// How deep structures may lie in each other.
const DEEPEST: usize = 32;

/// A type, down to what has no parts of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Leaves(BTreeMap<String, Leaf>);

/// A number, a pointer, an array of numbers: what is copied as one.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Leaf {
    /// Where it starts, in **bits**, and how long it is.
    bits: Range<u32>,
    /// Its type as C has it.
    ty: String,
    /// What it is to whoever copies it.
    kind: LeafKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LeafKind {
    /// An integer: a longer one can take it.
    Number { signed: bool },
    /// Elements of so many **bytes**: a longer array can take them.
    Array { element: u32 },
    /// Only the same is the same.
    Other,
}

impl Leaves {
    /// The parts of a type; `None` if it has no size, or more parts than are told apart.
    pub(crate) fn of(btf: &Btf, ty: TypeId) -> Option<Self> {
        let mut leaves = Self(BTreeMap::new());
        leaves.add(btf, ty, String::new(), 0, 0)?;
        Some(leaves)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "few of the many kinds have parts")]
    fn add(&mut self, btf: &Btf, ty: TypeId, path: String, at: u32, depth: usize) -> Option<()> {
        if depth > DEEPEST || self.0.len() >= MOST {
            return None;
        }
        let bytes = btf.size_of(ty)?;
        let (id, behind) = btf.behind(ty)?;
        match &behind.kind {
            Kind::Composite { union: false, members, .. } => {
                for member in members {
                    let name = btf.text(member.name);
                    let dot = if path.is_empty() || name.is_empty() { "" } else { "." };
                    let (path, at) = (format!("{path}{dot}{name}"), at.checked_add(member.bit_offset)?);
                    if member.bit_size == 0 {
                        self.add(btf, member.ty, path, at, depth.saturating_add(1))?;
                    } else {
                        let ty = format!("{} : {}", type_words(btf, member.ty), member.bit_size);
                        self.put(path, at, member.bit_size, ty, LeafKind::Other)?;
                    }
                }
            }
            Kind::Array { element, len, .. } => {
                let size = btf.size_of(*element)?;
                let (_, of) = btf.behind(*element)?;
                if !matches!(of.kind, Kind::Composite { .. } | Kind::Array { .. }) {
                    return self.put_bytes(
                        path,
                        at,
                        bytes,
                        type_words(btf, id),
                        LeafKind::Array { element: size },
                    );
                }
                for number in 0..*len {
                    let at = at.checked_add(number.checked_mul(size)?.checked_mul(8)?)?;
                    self.add(btf, *element, format!("{path}[{number}]"), at, depth.saturating_add(1))?;
                }
            }
            kind => self.put_bytes(path, at, bytes, type_words(btf, ty), leaf_kind(kind))?,
        }
        Some(())
    }

    fn put_bytes(&mut self, path: String, at: u32, bytes: u32, ty: String, kind: LeafKind) -> Option<()> {
        self.put(path, at, bytes.checked_mul(8)?, ty, kind)
    }

    fn put(&mut self, path: String, at: u32, bits: u32, ty: String, kind: LeafKind) -> Option<()> {
        self.0.insert(path, Leaf { bits: at..at.checked_add(bits)?, ty, kind });
        Some(())
    }

    /// What is otherwise in `self` than it was in `old`, a clause each. `what` is what it is all about: `value`.
    pub(crate) fn differences(&self, old: &Self, what: &str) -> Vec<String> {
        let name = |path: &str| if path.is_empty() { what.to_string() } else { format!("{what}.{path}") };
        let gone = old.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        let gone = gone.map(|(path, leaf)| format!("{} ({}) is gone", name(path), leaf.ty));
        let ours = self.0.iter().filter_map(|(path, leaf)| {
            let clause = match old.0.get(path) {
                None => format!("is new: {}, {}", leaf.ty, leaf.place()),
                Some(before) if before.ty != leaf.ty => format!("is {}, and was {}", leaf.ty, before.ty),
                Some(before) if before.bits != leaf.bits => {
                    format!("is {}, and was {}", leaf.place(), before.place())
                }
                Some(_) => return None,
            };
            Some(format!("{} {clause}", name(path)))
        });
        gone.chain(ours).collect()
    }

    /// Puts what both have from bytes of `old` into bytes of `self`; the rest stays as it is. `None` if something does not
    /// fit: a number that is now smaller, a pointer that is now a number.
    pub(crate) fn take(&self, bytes: &mut [u8], old: &Self, from: &[u8]) -> Option<()> {
        for (path, leaf) in &self.0 {
            let Some(before) = old.0.get(path) else {
                continue;
            };
            let (to, what) = (bytes.get_mut(leaf.bytes()?)?, from.get(before.bytes()?)?);
            copy(to, leaf, what, before)?;
        }
        Some(())
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "few of the many kinds are numbers")]
fn leaf_kind(kind: &Kind) -> LeafKind {
    const SIGNED: u32 = 1 << 24;
    match kind {
        Kind::Int { detail, .. } => LeafKind::Number { signed: detail & SIGNED != 0 },
        Kind::Enum { signed, .. } | Kind::Enum64 { signed, .. } => LeafKind::Number { signed: *signed },
        _ => LeafKind::Other,
    }
}

/// Copies a part. Numbers grow with their sign, arrays by zeroes.
fn copy(to: &mut [u8], leaf: &Leaf, from: &[u8], before: &Leaf) -> Option<()> {
    let fill = match (leaf.kind, before.kind) {
        (LeafKind::Number { .. }, LeafKind::Number { signed }) => {
            let negative = signed && last(from).is_some_and(|byte| byte & 0x80 != 0);
            if negative { 0xff } else { 0 }
        }
        (LeafKind::Array { element }, LeafKind::Array { element: before }) if element == before => 0,
        (LeafKind::Other, LeafKind::Other) if leaf.ty == before.ty => 0,
        _ => return None,
    };
    let (len, behind) = (from.len(), to.len().checked_sub(from.len())?);
    if cfg!(target_endian = "little") || !matches!(leaf.kind, LeafKind::Number { .. }) {
        to.get_mut(..len)?.copy_from_slice(from);
        to.get_mut(len..)?.fill(fill);
    } else {
        to.get_mut(behind..)?.copy_from_slice(from);
        to.get_mut(..behind)?.fill(fill);
    }
    Some(())
}

/// The byte of a number that holds its sign.
fn last(number: &[u8]) -> Option<&u8> {
    if cfg!(target_endian = "little") { number.last() } else { number.first() }
}

impl Leaf {
    fn place(&self) -> String {
        match self.bytes() {
            Some(bytes) => format!("{} bytes at byte {}", bytes.len(), bytes.start),
            None => format!("{} bits at bit {}", self.bits.len(), self.bits.start),
        }
    }

    /// Its place in **bytes**; `None` if it does not begin or end at one.
    fn bytes(&self) -> Option<Range<usize>> {
        let whole = |bits: u32| (bits % 8 == 0).then_some(usize::try_from(bits / 8).ok()?);
        Some(whole(self.bits.start)?..whole(self.bits.end)?)
    }
}
