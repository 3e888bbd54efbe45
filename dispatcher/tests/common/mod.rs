//! What the tests share: types made in the test, committed objects, programs of a set.
//!
//! Values only: nothing here talks to a kernel.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

use std::path::PathBuf;

use rxdp_dispatcher::actions::Actions;
use rxdp_dispatcher::config::{Slot, SlotFlags};
use rxdp_dispatcher::order::Component;
use rxdp_loader::btf::{Btf, Kind, Linkage, Member, SecVar, StrOff, Type, TypeId};
use rxdp_loader::spec::{Dialects, ObjectSpec};

/// Bytes as hex with blanks; `00 x 4` stands for four of them, and `|` for nothing.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "|").collect();
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let byte = u8::from_str_radix(words[at], 16).unwrap();
        let times = if words.get(at + 1) == Some(&"x") { words[at + 2].parse().unwrap() } else { 1 };
        bytes.extend(std::iter::repeat_n(byte, times));
        at += if words.get(at + 1) == Some(&"x") { 3 } else { 1 };
    }
    bytes
}

/// A committed object's meaning.
pub(crate) fn spec_of(name: &str) -> ObjectSpec {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let places = ["tests/fixtures", "bpf-progs"].map(|place| root.join(place).join(name));
    let path = places.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {name}"));
    rxdp_loader::read("object", &std::fs::read(path).unwrap(), Dialects::default()).unwrap()
}

/// A program of a set, with the defaults.
pub(crate) fn component(id: u32, name: &str, priority: u32) -> Component {
    let slot = Slot { priority, actions: Actions::PASS, flags: SlotFlags::empty() };
    Component { id, name: name.to_string(), tag: [0; 8], load_time: 0, new: false, slot }
}

/// A graph of types under construction.
pub(crate) struct Types(pub(crate) Btf);

impl Types {
    pub(crate) fn new() -> Self {
        Self(Btf { types: vec![Type { name: StrOff(0), kind: Kind::Void }], strings: vec![0] })
    }

    pub(crate) fn string(&mut self, text: &str) -> StrOff {
        let at = self.0.strings.len();
        self.0.strings.extend(text.as_bytes());
        self.0.strings.push(0);
        StrOff(u32::try_from(at).unwrap())
    }

    pub(crate) fn add(&mut self, name: &str, kind: Kind) -> TypeId {
        let name = if name.is_empty() { StrOff(0) } else { self.string(name) };
        self.0.types.push(Type { name, kind });
        TypeId(u32::try_from(self.0.types.len() - 1).unwrap())
    }

    /// `__uint`: a type that says a number.
    pub(crate) fn number(&mut self, len: u32) -> TypeId {
        let int = self.add("int", Kind::Int { size: 4, detail: 1 << 24 | 32 });
        let array = self.add("", Kind::Array { element: int, index: int, len });
        self.add("", Kind::Ptr(array))
    }

    pub(crate) fn structure(&mut self, members: &[(&str, TypeId)]) -> TypeId {
        let member = |types: &mut Self, name: &str, ty| Member {
            name: types.string(name),
            ty,
            bit_offset: 0,
            bit_size: 0,
        };
        let members = members.iter().map(|(name, ty)| member(self, name, *ty)).collect();
        self.add("", Kind::Composite { union: false, size: 8, members, bitfields: false })
    }

    /// A variable in a section of its own.
    pub(crate) fn variable(&mut self, section: &str, name: &str, ty: TypeId, linkage: Linkage) {
        let var = self.add(name, Kind::Var { ty, linkage });
        self.add(section, Kind::Datasec { size: 0, vars: vec![SecVar { var, offset: 0, size: 8 }] });
    }
}
