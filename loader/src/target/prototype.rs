//! How a function or variable of the kernel differs from what the object declares.

use alloc::format;
use alloc::string::{String, ToString};

use crate::btf::{Btf, Kind, Param, TargetBtf, TypeGraph, TypeId};
use crate::core_relo::{KernelTypes, Location, Work, type_words, types_are_compatible};

/// The object's declaration and what the kernel has of that name.
pub(super) struct Both<'a> {
    pub(super) own: &'a Btf,
    pub(super) other: &'a TargetBtf<'a>,
    pub(super) kernel: &'a KernelTypes<'a>,
    pub(super) module: Option<usize>,
    pub(super) work: &'a Work,
}

impl Both<'_> {
    /// Whether one can stand for the other.
    pub(super) fn are_compatible(&self, own: TypeId, other: TypeId) -> bool {
        let at = Location { module: self.module, id: other };
        types_are_compatible(self.own, own, self.kernel, at, self.work) == Some(true)
    }

    /// The first thing in which they differ, as half a sentence.
    pub(super) fn difference(&self, own: TypeId, other: TypeId) -> String {
        let (Some((_, a)), Some((_, b))) = (self.own.behind(own), self.other.behind(other)) else {
            return "its type does not exist".to_string();
        };
        let (Kind::FuncProto { ret: own_ret, params: a }, Kind::FuncProto { ret: other_ret, params: b }) =
            (&a.kind, &b.kind)
        else {
            return self.words("it", "is", own, other);
        };
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            if !self.fits(a.ty, b.ty) {
                return self.words(&self.parameter(at, Some(b)), "is", a.ty, b.ty);
            }
        }
        if a.len() != b.len() {
            let at = a.len().min(b.len());
            let (whose, lacks) =
                if a.len() > b.len() { ("in the object", "there") } else { ("there", "in the object") };
            let parameter = self.parameter(at, b.get(at));
            let (there, here) = (count(b.len()), a.len());
            return format!(
                "{parameter} is {whose} and not {lacks}: it takes {there} there, {here} in the object"
            );
        }
        self.words("it", "returns", *own_ret, *other_ret)
    }

    /// As functions' parameters are compared: typedefs and qualifiers play no part.
    fn fits(&self, own: TypeId, other: TypeId) -> bool {
        let (own, other) = (self.own.behind(own), self.other.behind(other));
        own.zip(other).is_some_and(|((own, _), (other, _))| self.are_compatible(own, other))
    }

    fn words(&self, what: &str, verb: &str, own: TypeId, other: TypeId) -> String {
        let (own, other) = (type_words(self.own, own), type_words(self.other, other));
        format!("{what} {verb} {other} there, {own} in the object")
    }

    /// A parameter by its number from 1, and its name in the kernel. Declarations in objects have none: clang leaves them
    /// out.
    fn parameter(&self, at: usize, other: Option<&Param>) -> String {
        let number = at.saturating_add(1);
        let name = other.map(|param| self.other.text(param.name)).unwrap_or_default();
        if name.is_empty() { format!("parameter {number}") } else { format!("parameter {number} ({name})") }
    }
}

fn count(parameters: usize) -> String {
    format!("{parameters} parameter{}", if parameters == 1 { "" } else { "s" })
}
