//! After which verdicts of a program the next one is called: a set of verdicts.
//!
//! Values in, values out. Nothing here knows where the set is stored.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

bitflags::bitflags! {
    /// Verdicts of an XDP program, a bit each: `1 << XDP_...`.
    ///
    /// Verdicts that have no name here are kept. Source: `enum xdp_action`, `include/uapi/linux/bpf.h`.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Actions: u32 {
        /// `XDP_ABORTED`.
        const ABORTED = 1 << 0;
        /// `XDP_DROP`.
        const DROP = 1 << 1;
        /// `XDP_PASS`.
        const PASS = 1 << 2;
        /// `XDP_TX`.
        const TX = 1 << 3;
        /// `XDP_REDIRECT`.
        const REDIRECT = 1 << 4;
        const _ = !0;
    }
}

/// Names of the verdicts, in the order of their numbers.
pub const NAMES: [(Actions, &str); 5] = [
    (Actions::ABORTED, "aborted"),
    (Actions::DROP, "drop"),
    (Actions::PASS, "pass"),
    (Actions::TX, "tx"),
    (Actions::REDIRECT, "redirect"),
];

/// Stands in every stored set: what an empty slot returns.
const EMPTY: u32 = 1 << 31;

impl Actions {
    /// From the number that is stored. The bit of empty slots is left out.
    pub const fn of_stored(stored: u32) -> Self {
        Self::from_bits_retain(stored & !EMPTY)
    }

    /// The number to store.
    pub const fn stored(self) -> u32 {
        self.bits() | EMPTY
    }

    /// The verdict of this name, with or without `XDP_`, in any case of letters.
    pub fn named(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let word = lower.strip_prefix("xdp_").unwrap_or(&lower);
        NAMES.iter().find(|(_, known)| *known == word).map(|(action, _)| *action)
    }

    /// Names of the verdicts in the set; numbers for those that have none.
    pub fn names(self) -> Vec<String> {
        let name = |bit: u32| {
            let action = Self::from_bits_retain(1 << bit);
            let known = NAMES.iter().find(|(known, _)| *known == action);
            known.map_or_else(|| alloc::format!("{bit}"), |(_, name)| String::from(*name))
        };
        (0..31).filter(|bit| self.bits() >> bit & 1 == 1).map(name).collect()
    }
}

impl Default for Actions {
    /// What counts where nobody says: the next program is called after `XDP_PASS`.
    fn default() -> Self {
        Self::PASS
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.names().join(","))
    }
}

/// A word that is no verdict.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no verdict; there are aborted, drop, pass, tx, redirect, and none for an empty list")]
pub struct NoAction(pub String);

impl FromStr for Actions {
    type Err = NoAction;

    /// `pass,drop`; `none` is the empty set.
    fn from_str(text: &str) -> Result<Self, NoAction> {
        if text == "none" {
            return Ok(Self::empty());
        }
        let one = |word: &str| Self::named(word.trim()).ok_or_else(|| NoAction(word.into()));
        text.split(',').try_fold(Self::empty(), |all, word| Ok(all | one(word)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_a_set_and_a_set_words() {
        let both: Actions = "pass,drop".parse().unwrap();
        assert_eq!(both, Actions::PASS | Actions::DROP);
        assert_eq!(both.to_string(), "drop,pass");
        assert_eq!("XDP_TX, Redirect".parse(), Ok(Actions::TX | Actions::REDIRECT));
        assert_eq!("none".parse(), Ok(Actions::empty()));
        assert_eq!(Actions::empty().to_string(), "none");
        assert_eq!((Actions::PASS | Actions::from_bits_retain(1 << 9)).to_string(), "pass,9");
        for wrong in ["", "pass,", "PASSED", "xdp_"] {
            assert!(wrong.parse::<Actions>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_bit_of_empty_slots_is_stored_and_not_shown() {
        assert_eq!(Actions::default().stored(), 0x8000_0004);
        assert_eq!(Actions::of_stored(0x8000_000c), Actions::PASS | Actions::TX);
        assert_eq!(Actions::of_stored(0x8000_0000), Actions::empty());
    }
}
