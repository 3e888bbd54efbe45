//! Looks into maps, whoever made them, and changes them: one file for each thing that can be done.

mod change;
mod list;
mod look;
mod watch;

use crate::args::{Map, MapVerb};
use crate::error::Failure;

/// Does what was asked for.
pub(crate) fn run(args: &Map) -> Result<(), Failure> {
    match &args.verb {
        MapVerb::List(args) => list::run(args),
        MapVerb::Dump(args) => look::dump(args),
        MapVerb::Get(args) => look::get(args),
        MapVerb::Set(args) => change::set(args),
        MapVerb::Delete(args) => change::delete(args),
        MapVerb::Watch(args) => watch::run(args),
    }
}
