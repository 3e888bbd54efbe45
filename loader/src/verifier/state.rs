//! What the verifier knew about registers and the stack at one point: `R1=ctx() R2_w=pkt(r=14) R10=fp0 fp-8=mmmm????`.
//!
//! Values are shown as they stand there; nothing here computes with them.

use super::place::Place;

/// A state as text, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State<'l> {
    /// The frame of the call stack; 0 for the program itself.
    pub(super) frame: u32,
    items: &'l str,
}

impl<'l> State<'l> {
    /// A state, if this is one: something is known about a register or a slot of the stack.
    pub(super) fn read(text: &'l str) -> Option<Self> {
        let text = text.trim();
        let framed = text.strip_prefix("frame").and_then(|rest| {
            let (frame, items) = rest.split_once(':')?;
            Some(Self { frame: frame.parse().ok()?, items: items.trim() })
        });
        let state = framed.unwrap_or(Self { frame: 0, items: text });
        let (name, _) = Items(state.items).next()?;
        (Place::read(name).is_some() || name == "refs").then_some(state)
    }

    /// What is known about a place.
    pub(super) fn of(&self, place: Place) -> Option<&'l str> {
        Items(self.items).find(|(name, _)| Place::read(name) == Some(place)).map(|(_, value)| value)
    }
}

/// `name=value` pairs between blanks; blanks in brackets belong to a value.
struct Items<'l>(&'l str);

impl<'l> Iterator for Items<'l> {
    type Item = (&'l str, &'l str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let text = self.0.trim_start();
            if text.is_empty() {
                return None;
            }
            let (item, rest) = text.split_at(item_len(text));
            self.0 = rest;
            // `cb`, `async_cb` and the like have no value.
            if let Some((name, value)) = item.split_once('=') {
                return Some((name, value));
            }
        }
    }
}

/// **Bytes** up to the first blank that stands in no brackets.
fn item_len(text: &str) -> usize {
    let mut open = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => open = open.saturating_add(1),
            ')' => open = open.saturating_sub(1),
            ' ' if open == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str, name: &str) -> Option<String> {
        State::read(text)?.of(Place::read(name)?).map(ToString::to_string)
    }

    #[test]
    fn values_keep_their_blanks() {
        let text = "R0=map_value(ks=4,vs=64,var_off=(0x0; 0xff)) R10=fp0 fp-8=mmmm???? refs=2";
        assert_eq!(known(text, "R0").unwrap(), "map_value(ks=4,vs=64,var_off=(0x0; 0xff))");
        assert_eq!(known(text, "fp-8").unwrap(), "mmmm????");
        assert_eq!(known(text, "R1"), None);
    }

    #[test]
    fn old_and_new_names_are_one() {
        for text in ["R2_w=inv(id=0)", "R2=inv(id=0)", "frame1: R2_rw=inv(id=0)"] {
            assert_eq!(known(text, "R2").unwrap(), "inv(id=0)", "{text}");
        }
        assert_eq!(known("fp-16_w=ctx", "fp-16").unwrap(), "ctx");
    }

    #[test]
    fn sentences_are_no_states() {
        for text in ["R1 invalid mem access 'scalar'", "R2 type=scalar expected=fp", "cb", ""] {
            assert_eq!(State::read(text), None, "{text}");
        }
    }
}
