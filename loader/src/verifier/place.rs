//! Where an instruction puts something or takes it from: registers, and the stack by distance from its frame's top.
//!
//! Reads the text of instructions, as the verifier prints them: `r2 = *(u32 *)(r1 +0)`, `w1 += 1`, `call bpf_loop#181`.

use alloc::format;
use alloc::string::String;

/// A register, or eight bytes of the stack at a multiple of eight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// A register, 0 to 10.
    Reg(u8),
    /// **Bytes** from the frame's top: -8, -16 and so on.
    Stack(i32),
}

/// What an instruction does with a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// It fills it with what stands in another place.
    Copies(Place),
    /// It changes what stands there, by what stands in a register if that is given.
    Changes(Option<u8>),
    /// It fills it with something of its own: a constant, a value from memory, what a function returns.
    Fills,
    /// It is a call, which leaves nothing in it.
    Clobbers,
    /// It compares it.
    Compares,
}

impl Place {
    /// `R3`, `R3_w`, `fp-8`, `fp-8_rw`.
    pub(super) fn read(name: &str) -> Option<Self> {
        let name = name.split('_').next()?;
        if let Some(register) = name.strip_prefix('R') {
            return register.parse().ok().filter(|number| *number <= 10).map(Self::Reg);
        }
        name.strip_prefix("fp").filter(|rest| rest.starts_with('-'))?.parse().ok().map(Self::Stack)
    }

    /// The slot of the stack that a byte lies in; `at` is counted from the frame's top.
    pub(super) const fn stack(at: i32) -> Self {
        Self::Stack(at & !7)
    }

    /// As the verifier calls it.
    pub(super) fn name(self) -> String {
        match self {
            Self::Reg(number) => format!("R{number}"),
            Self::Stack(at) => format!("fp{at}"),
        }
    }

    /// Whether a call leaves nothing in it. Source: `caller_saved`, `kernel/bpf/verifier.c`.
    pub(super) const fn is_scratch(self) -> bool {
        matches!(self, Self::Reg(1..=5))
    }

    /// Whether a function gets it from its caller.
    pub(super) const fn is_argument(self) -> bool {
        self.is_scratch()
    }
}

/// What an instruction does with a place; `None` if nothing.
pub(super) fn effect(text: &str, place: Place) -> Option<Effect> {
    if let Some(condition) = text.strip_prefix("if ") {
        let tested = condition.split_once(" goto").map_or(condition, |(tested, _)| tested);
        let names = |word: &str| register(word).map(Place::Reg) == Some(place);
        return tested.split(' ').any(names).then_some(Effect::Compares);
    }
    if text.starts_with("call ") || text.starts_with("(call) ") {
        return match place {
            Place::Reg(0) => Some(Effect::Fills),
            Place::Reg(_) => place.is_scratch().then_some(Effect::Clobbers),
            Place::Stack(_) => None,
        };
    }
    let (target, operator, value) = assignment(text)?;
    if target != place {
        return None;
    }
    if operator != "=" || is_partial(text) {
        return Some(Effect::Changes(register(value).filter(|_| operator != "=")));
    }
    match copied(value).or_else(|| memory(value)) {
        // `w1 = w1` cuts off the upper half.
        Some(from) if from == place => Some(Effect::Changes(None)),
        Some(from) => Some(Effect::Copies(from)),
        None => Some(Effect::Fills),
    }
}

/// Registers that an instruction uses: those that it goes through to memory, otherwise all that it reads.
pub(super) fn used(text: &str) -> impl Iterator<Item = u8> {
    let address = text.split_once(" *)(").and_then(|(_, address)| address.split(' ').next());
    // `r2 = 5` reads nothing, `r2 += 5` reads r2.
    let read = address.or_else(|| text.split_once(" = ").map(|(_, value)| value)).unwrap_or(text);
    read.split(' ').filter_map(register)
}

/// `r2 += r3` in its parts.
fn assignment(text: &str) -> Option<(Place, &str, &str)> {
    let (target, rest) = match text.strip_prefix('*') {
        Some(_) => {
            let (address, rest) = text.split_once(") = ")?;
            return Some((stack(address)?, "=", rest));
        }
        None => text.split_once(' ')?,
    };
    let (operator, value) = rest.split_once(' ')?;
    operator.ends_with('=').then_some((Place::Reg(register(target)?), operator, value))
}

/// A value that is nothing but a register, be it cut or sign-extended: `r3`, `w3`, `(s8)r3`.
fn copied(value: &str) -> Option<Place> {
    let bare = value.strip_prefix("(s").and_then(|rest| rest.split_once(')')).map_or(value, |(_, bare)| bare);
    register(bare).map(Place::Reg)
}

/// A slot of the stack that is read: `*(u64 *)(r10 -8)`.
fn memory(value: &str) -> Option<Place> {
    stack(value.strip_suffix(')')?)
}

/// The slot in `*(u64 *)(r10 -8`.
fn stack(address: &str) -> Option<Place> {
    let (_, distance) = address.split_once(" *)(r10 ")?;
    distance.parse().ok().map(Place::stack)
}

/// Whether an instruction writes less of the stack than a slot.
fn is_partial(text: &str) -> bool {
    text.starts_with('*') && !text.starts_with("*(u64 ")
}

/// `r3`, or its lower half `w3`.
fn register(word: &str) -> Option<u8> {
    let number = word.strip_prefix('r').or_else(|| word.strip_prefix('w'))?;
    number.trim_end_matches([',', ')']).parse().ok().filter(|number| *number <= 10)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn effects_are_read_from_text() {
        let (r1, r2, fp8) = (Place::Reg(1), Place::Reg(2), Place::Stack(-8));
        let rows: &[(&str, Place, Option<Effect>)] = &[
            ("r2 = *(u32 *)(r1 +0)", r2, Some(Effect::Fills)),
            ("r2 = *(u32 *)(r1 +0)", r1, None),
            ("r2 = *(u64 *)(r10 -8)", r2, Some(Effect::Copies(fp8))),
            ("*(u64 *)(r10 -8) = r1", fp8, Some(Effect::Copies(r1))),
            ("*(u64 *)(r10 -8) = 0", fp8, Some(Effect::Fills)),
            ("*(u32 *)(r10 -4) = r1", fp8, Some(Effect::Changes(None))),
            ("*(u64 *)(r1 +8) = r2", r2, None),
            ("r2 = r1", r2, Some(Effect::Copies(r1))),
            ("w2 = w1", r2, Some(Effect::Copies(r1))),
            ("r2 = (s16)r1", r2, Some(Effect::Copies(r1))),
            ("w2 = w2", r2, Some(Effect::Changes(None))),
            ("r2 += r1", r2, Some(Effect::Changes(Some(1)))),
            ("r2 <<= 32", r2, Some(Effect::Changes(None))),
            ("r2 s>>= 32", r2, Some(Effect::Changes(None))),
            ("r2 = 0xffff888227bdca00", r2, Some(Effect::Fills)),
            ("r2 = be16 r2", r2, Some(Effect::Fills)),
            ("if r3 > r2 goto pc+7", r2, Some(Effect::Compares)),
            ("if w2 == 0x0 goto pc-2", r2, Some(Effect::Compares)),
            ("if r3 > r2 goto pc+7", r1, None),
            ("call bpf_map_lookup_elem#1", Place::Reg(0), Some(Effect::Fills)),
            ("call bpf_map_lookup_elem#1", r1, Some(Effect::Clobbers)),
            ("call pc+5", Place::Reg(6), None),
            ("exit", Place::Reg(0), None),
        ];
        for (text, place, expected) in rows {
            assert_eq!(effect(text, *place), *expected, "{text} {place:?}");
        }
    }

    #[test]
    fn registers_that_are_used() {
        let used = |text| used(text).collect::<Vec<_>>();
        assert_eq!(used("r2 = *(u32 *)(r1 +0)"), [1]);
        assert_eq!(used("*(u8 *)(r6 +13) = r1"), [6]);
        assert_eq!(used("r2 += r1"), [2, 1]);
        assert_eq!(used("if r3 > r2 goto pc+7"), [3, 2]);
        assert_eq!(used("call bpf_loop#181"), []);
        assert_eq!(used("r2 = 5"), []);
    }
}
