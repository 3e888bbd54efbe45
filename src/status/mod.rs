//! What `status` tells besides what is attached where: whose it is, what it uses and calls, how often it runs, and how fast.
//!
//! `scope` says where to look, `about` what there is to say about a program, `verdicts` which map counts what became of packets, `rates`
//! is arithmetic, `watch` looks again and again.

mod about;
mod rates;
mod scope;
mod verdicts;
mod watch;

pub(crate) use about::{About, Program, Scene};
pub(crate) use scope::{Placed, states};
pub(crate) use watch::run as watch;
