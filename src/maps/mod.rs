//! Maps that somebody made, as people name, read and change them.
//!
//! `open` finds a map by id, name or pin. `layout` says how its keys and values are to be read, `shown` and `entry` how they are shown,
//! `given` what people write for them, `rate` how fast they grow, `prefix` knows the keys of LPM tries: pure, values in and values
//! out. `names` asks who is behind an id. What may not enter: the command line.

mod entry;
mod error;
mod given;
mod layout;
mod names;
mod open;
mod prefix;
mod rate;
mod shown;

pub(crate) use entry::{EntryRow, sum};
pub(crate) use error::MapError;
pub(crate) use layout::{Layout, Shape};
pub(crate) use names::Names;
pub(crate) use open::{OpenMap, find, find_program, refused};
pub(crate) use rate::rate;
pub(crate) use shown::{Shown, Tree};
