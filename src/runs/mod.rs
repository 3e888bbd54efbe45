//! Runs of programs on packets, without an interface: what came out, what was printed, and what another version does.
//!
//! `outcome` is values only, `runner` asks the kernel, `traced` reads what programs print, `show` is for people.

mod outcome;
mod runner;
mod show;
mod traced;

pub(crate) use outcome::{Outcome, Ran, differences, verdict};
pub(crate) use runner::Runner;
pub(crate) use show::{Line, details, single, table};
