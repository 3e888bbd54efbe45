//! Which part of a type a record is about: from `0:1:3` to a path of members and elements.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::CoreKind;
use crate::btf::{CoreRelo, Kind, StrOff, TypeGraph, TypeId};
use crate::bytes::{text, to_usize};

/// Most steps of a path. Source: `BPF_CORE_SPEC_MAX_LEN`, libbpf.
pub(super) const MAX_STEPS: usize = 64;

/// A part of a type.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// The type it starts from.
    pub(super) root: TypeId,
    /// What is asked about it.
    pub(super) kind: CoreKind,
    /// The way there: members with a name and elements; anonymous members are passed through. For a type as a whole it
    /// is empty, for an enumeration's value it has the one step.
    pub(super) steps: Vec<Step>,
    /// Members and elements on the way, those without a name among them.
    pub(super) depth: usize,
    /// Where the part starts, in **bits** from the start of the root.
    pub(super) bit_offset: u32,
}

/// One step of the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The structure, or the element's type.
    pub(super) ty: TypeId,
    /// Which member or element.
    pub(super) index: u32,
    /// Name of the member or of the enumeration's value; `None` for elements.
    pub(super) name: Option<StrOff>,
}

/// Reads a record's access string against the object's own types.
pub(super) fn parse(
    graph: &dyn TypeGraph,
    root: TypeId,
    text: &str,
    kind: CoreKind,
) -> Result<Access, &'static str> {
    let mut access = Access { root, kind, steps: Vec::new(), depth: 0, bit_offset: 0 };
    if kind.is_about_type() {
        return if text == "0" { Ok(access) } else { Err("a type as a whole is asked for with \"0\"") };
    }
    let mut words = text.split(':');
    let first = number(words.next().unwrap_or_default())?;
    let (id, ty) = graph.behind(root).ok_or("its type does not exist")?;
    if !kind.is_about_field() {
        let value = ty.kind.enumerator(to_usize(first)).filter(|_| words.next().is_none());
        let name = value.map(|(name, _)| name).ok_or("there is no such value of an enumeration")?;
        access.steps.push(Step { ty: id, index: first, name: Some(name) });
        return Ok(access);
    }
    access.element(graph, id, first)?;
    let mut at = id;
    for word in words {
        at = access.step(graph, at, number(word)?)?;
    }
    Ok(access)
}

fn number(word: &str) -> Result<u32, &'static str> {
    word.parse().map_err(|_no_number| "its access string is not made of numbers")
}

/// A step of the way that a record's access string describes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathStep {
    /// The structure, or the element's type.
    pub of: TypeId,
    /// Name of the member or of the enumeration's value; none for elements and members without a name.
    pub name: Option<StrOff>,
    /// Which member, element or value.
    pub index: u32,
    /// Where it starts in the object's own types, in **bits** from the start of the whole.
    pub bit_offset: u32,
}

/// The way that a record's access string describes, in the object's own types: for those who want to see it. Empty for a
/// type as a whole; it ends where it makes no sense.
pub fn path(graph: &dyn TypeGraph, root: TypeId, text: &str, kind: CoreKind) -> Vec<PathStep> {
    if kind.is_about_type() {
        return Vec::new();
    }
    let ends = text.match_indices(':').map(|(at, _)| at).chain([text.len()]);
    let mut steps = Vec::new();
    let mut from = root;
    for end in ends {
        let Some(text) = text.get(..end) else {
            break;
        };
        let last = text.rsplit(':').next().and_then(|index| index.parse().ok());
        let (Ok(access), Some(index)) = (parse(graph, root, text, kind), last) else {
            break;
        };
        let named = access.steps.last().filter(|step| step.index == index);
        steps.push(PathStep {
            of: named.map_or(from, |step| step.ty),
            name: named.and_then(|step| step.name),
            index,
            bit_offset: access.bit_offset,
        });
        from = named.map_or(from, |step| step.ty);
    }
    steps
}

/// What a record asks, as people write it: `offset of struct task_struct.mm`.
pub fn question(graph: &dyn TypeGraph, record: &CoreRelo) -> String {
    let Some(kind) = CoreKind::from_number(record.kind) else {
        return format!("question {} about {}", record.kind, type_words(graph, record.ty));
    };
    match parse(graph, record.ty, &graph.text(record.access), kind) {
        Ok(access) => access.question(graph),
        Err(_) => format!("{kind} {}", type_words(graph, record.ty)),
    }
}

impl Access {
    /// Goes to an element of an array, or from the root to one of its neighbours.
    pub(super) fn element(
        &mut self,
        graph: &dyn TypeGraph,
        ty: TypeId,
        index: u32,
    ) -> Result<(), &'static str> {
        let size = graph.size_of(ty).ok_or("its type has no size")?;
        let bits = index.checked_mul(size).and_then(|bytes| bytes.checked_mul(8));
        self.deeper()?;
        self.forward(bits)?;
        self.steps.push(Step { ty, index, name: None });
        Ok(())
    }

    /// Goes one level deeper.
    pub(super) fn deeper(&mut self) -> Result<(), &'static str> {
        if self.depth == MAX_STEPS {
            return Err("it lies deeper than 64 levels");
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    /// Moves on by so many **bits**.
    pub(super) fn forward(&mut self, bits: Option<u32>) -> Result<(), &'static str> {
        let offset = bits.and_then(|bits| self.bit_offset.checked_add(bits));
        self.bit_offset = offset.ok_or("it leads beyond 512 MiB")?;
        Ok(())
    }

    /// Goes to a member or element; returns its type.
    fn step(&mut self, graph: &dyn TypeGraph, from: TypeId, index: u32) -> Result<TypeId, &'static str> {
        let (id, ty) = graph.behind(from).ok_or("a type on its way does not exist")?;
        match &ty.kind {
            Kind::Composite { members, .. } => {
                let member = members.get(to_usize(index)).ok_or("a structure has not so many members")?;
                self.deeper()?;
                self.forward(Some(member.bit_offset))?;
                if member.name != StrOff(0) {
                    self.steps.push(Step { ty: id, index, name: Some(member.name) });
                }
                Ok(member.ty)
            }
            Kind::Array { element, len, .. } => {
                let (element, _) = graph.behind(*element).ok_or("an array's elements have no type")?;
                if index >= *len && !self.ends_in_flexible_array(graph, *len) {
                    return Err("an array has not so many elements");
                }
                self.element(graph, element, index)?;
                Ok(element)
            }
            _ => Err("a type on its way is neither structure nor array"),
        }
    }

    /// Whether the array that was reached is the open end of a structure: `struct { int n; char data[]; }`.
    pub(super) fn ends_in_flexible_array(&self, graph: &dyn TypeGraph, len: u32) -> bool {
        let Some(Step { ty, index, name: Some(_) }) = self.steps.last().copied() else {
            return false;
        };
        let members = graph.ty(ty).map_or(0, |ty| ty.kind.members().len());
        len == 0 && to_usize(index).checked_add(1) == Some(members)
    }

    /// What is asked, as people write it: `offset of struct task_struct.mm`.
    pub(super) fn question(&self, graph: &dyn TypeGraph) -> String {
        let mut text = String::with_capacity(MOST_SHOWN);
        text.push_str(self.kind.words());
        text.push(' ');
        write_type(&mut text, graph, self.root);
        for (at, step) in self.steps.iter().enumerate() {
            match step.name {
                _ if text.len() > MOST_SHOWN => {
                    text.push_str("...");
                    break;
                }
                Some(name) => {
                    text.push_str(if self.kind.is_about_field() { "." } else { "::" });
                    text.push_str(&name_of(graph, name));
                }
                None if at == 0 && step.index == 0 => {}
                // Writing to a string does not fail.
                None => _ = write!(text, "[{}]", step.index),
            }
        }
        text
    }
}

/// Longest text of names that is shown, in **bytes**.
const MOST_SHOWN: usize = 200;

/// A name for people.
pub(super) fn shown(name: &[u8]) -> Cow<'_, str> {
    text(name.get(..MOST_SHOWN).unwrap_or(name))
}

fn name_of(graph: &dyn TypeGraph, at: StrOff) -> Cow<'_, str> {
    shown(graph.bytes_at(at))
}

/// How many pointers and arrays around a type are shown.
const MOST_WORDS: usize = 4;

/// A type as C has it: `struct task_struct *`, `char[16]`.
pub fn type_words(graph: &dyn TypeGraph, id: TypeId) -> String {
    let mut text = String::new();
    write_type(&mut text, graph, id);
    text
}

fn write_type(text: &mut String, graph: &dyn TypeGraph, mut id: TypeId) {
    let mut behind = String::new();
    for _ in 0..MOST_WORDS {
        let Some(ty) = graph.ty(id) else {
            return text.push_str("a type that does not exist");
        };
        let word = match &ty.kind {
            Kind::Ptr(to) => {
                behind.insert(0, '*');
                id = *to;
                continue;
            }
            Kind::Array { element, len, .. } => {
                // Writing to a string does not fail.
                let _ = write!(behind, "[{len}]");
                id = *element;
                continue;
            }
            Kind::Const(to) | Kind::Volatile(to) | Kind::Restrict(to) | Kind::TypeTag { target: to, .. } => {
                id = *to;
                continue;
            }
            Kind::Void => return text.extend(["void", blank(&behind), &behind]),
            Kind::FuncProto { .. } => return text.extend(["a function", blank(&behind), &behind]),
            Kind::Composite { union: false, .. } | Kind::Fwd { union: false } => "struct ",
            Kind::Composite { union: true, .. } | Kind::Fwd { union: true } => "union ",
            Kind::Enum { .. } | Kind::Enum64 { .. } => "enum ",
            _ => "",
        };
        let name = name_of(graph, ty.name);
        let name = if name.is_empty() { "without a name" } else { &name };
        text.push_str(word);
        text.push_str(name);
        if !behind.is_empty() {
            text.extend([blank(&behind), &behind]);
        }
        return;
    }
    text.push_str("a type behind many pointers");
}

/// Stars stand apart from a name, brackets do not.
fn blank(behind: &str) -> &'static str {
    if behind.starts_with('*') { " " } else { "" }
}
