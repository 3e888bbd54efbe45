//! What can be said behind `map`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::duration;

#[derive(Debug, Args)]
pub(crate) struct Map {
    #[command(subcommand)]
    pub(crate) verb: MapVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MapVerb {
    /// Show the maps of the machine, of one interface's programs, or those pinned below a directory
    List(MapList),
    /// Show all entries of a map
    Dump(MapDump),
    /// Show the value under a key; of a queue or stack, without a key, what is next
    Get(MapGet),
    /// Put a value under a key; into a queue or stack without a key
    Set(MapSet),
    /// Take a key and its value out
    Delete(MapDelete),
    /// Show what changes in a map, and how fast, until Ctrl-C
    Watch(MapWatch),
}

#[derive(Debug, Args)]
pub(crate) struct MapList {
    /// Only maps of the programs on this interface, and of those that they call through jump tables
    #[arg(long, value_name = "IFACE", conflicts_with = "pinned")]
    pub(crate) interface: Option<String>,
    /// Only maps that are pinned below this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) pinned: Option<PathBuf>,
    /// A JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

/// How values are shown.
#[derive(Debug, Args)]
pub(crate) struct Showing {
    /// Show the value of each CPU, besides their sum
    #[arg(long)]
    pub(crate) per_cpu: bool,
    /// Show bytes, whatever the map's types say
    #[arg(long)]
    pub(crate) hex: bool,
    /// One JSON line an entry
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MapDump {
    /// The map: its id, its name if no other has it, or where it is pinned
    pub(crate) map: String,
    #[command(flatten)]
    pub(crate) showing: Showing,
    /// Show also those entries of arrays that are all zeroes
    #[arg(long)]
    pub(crate) all: bool,
    /// Show at most N entries
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct MapGet {
    /// The map: its id, its name if no other has it, or where it is pinned
    pub(crate) map: String,
    /// The key, as it is shown: a number, a name, {member = value, ...}, an address, hex:0a1b...
    #[arg(allow_negative_numbers = true)]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) showing: Showing,
}

#[derive(Debug, Args)]
pub(crate) struct MapSet {
    /// The map: its id, its name if no other has it, or where it is pinned
    pub(crate) map: String,
    /// The key and the value, as they are shown; members that are not given stay what they are. A program or map by id, name or
    /// pin; an interface by name
    #[arg(required = true, num_args = 1..=2, value_names = ["KEY", "VALUE"], allow_negative_numbers = true)]
    pub(crate) entry: Vec<String>,
    /// Only if the key is there
    #[arg(long, conflicts_with = "new")]
    pub(crate) exists: bool,
    /// Only if the key is not there
    #[arg(long)]
    pub(crate) new: bool,
    /// Only the value of this CPU [default: every CPU gets the value]
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<usize>,
    /// One JSON line with what is there now
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MapDelete {
    /// The map: its id, its name if no other has it, or where it is pinned
    pub(crate) map: String,
    /// The key, as it is shown
    #[arg(allow_negative_numbers = true)]
    pub(crate) key: String,
    /// One JSON line with what was taken out
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MapWatch {
    /// The map: its id, its name if no other has it, or where it is pinned
    pub(crate) map: String,
    #[command(flatten)]
    pub(crate) showing: Showing,
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) interval: Duration,
    /// End after this time, such as 50s or 2min
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) stay_for: Option<Duration>,
}
