//! Why the kernel refused a program, beyond the number that it gave.

use super::{Lack, Poisoned};
use crate::verifier::Refusal;

/// Why a program was refused, as far as it can be told.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Because {
    /// It refused without a word; this was found out by asking.
    Lack(Lack),
    /// The program gets to an instruction that needs what the kernel does not have.
    Poisoned(Poisoned),
    /// The verifier said so.
    Verifier(Refusal),
}
