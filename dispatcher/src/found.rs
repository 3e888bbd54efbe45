//! Whether the program on an interface is a dispatcher, from what the kernel says about it.
//!
//! Facts in, a verdict out. The checks are libxdp's: what it would not take for a dispatcher is none here either.

use alloc::string::{String, ToString};

use rxdp_loader::btf::Btf;
use rxdp_loader::uapi::{MapFlags, MapType};

use crate::config::{Config, ConfigError, Version};
use crate::metadata;
use crate::names::DISPATCHER;

/// What the kernel says about a program.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its types, if it was loaded with some that can be read.
    pub types: Option<&'a Btf>,
    /// How many maps it uses.
    pub maps: usize,
    /// The one that it uses.
    pub map: Option<MapFacts<'a>>,
}

/// What the kernel says about a map.
#[derive(Clone, Copy, Debug)]
pub struct MapFacts<'a> {
    /// Its type.
    pub ty: MapType,
    /// Size of a key in **bytes**.
    pub key_size: u32,
    /// Most entries, in **elements**.
    pub max_entries: u32,
    /// Its flags.
    pub flags: MapFlags,
    /// The value under key 0.
    pub value: &'a [u8],
}

/// Why a program is no dispatcher, or none that can be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoDispatcher {
    /// It is called otherwise: an XDP program like any other.
    #[error("it is no dispatcher (those are called \"xdp_dispatcher\", it is called {0:?})")]
    Name(String),
    /// It was loaded without types.
    #[error("it has the name of a dispatcher, but was loaded without types (BTF)")]
    Untyped,
    /// It does not use one map.
    #[error("it has the name of a dispatcher, but uses {0} maps, not one")]
    Maps(usize),
    /// Its map is none of a configuration.
    #[error("it has the name of a dispatcher, but its map is {0}, not a read-only array of one element")]
    Map(String),
    /// Neither its value nor its types say a version.
    #[error("it has the name of a dispatcher, but does not say of which version")]
    NoVersion,
    /// A version that is not known here.
    #[error("it is a dispatcher of version {0}, and only 1, 2 and 3 are known")]
    Unknown(u32),
    /// Its value is none of its version.
    #[error("it is a dispatcher, but {0}")]
    Config(#[from] ConfigError),
}

/// What a dispatcher does, if the program is one.
///
/// # Errors
/// [`NoDispatcher`]: why it is none.
pub fn dispatcher(facts: &Facts<'_>) -> Result<Config, NoDispatcher> {
    if facts.name != DISPATCHER {
        return Err(NoDispatcher::Name(facts.name.to_string()));
    }
    let types = facts.types.ok_or(NoDispatcher::Untyped)?;
    let (1, Some(map)) = (facts.maps, facts.map) else {
        return Err(NoDispatcher::Maps(facts.maps));
    };
    let read_only = map.flags.contains(MapFlags::RDONLY_PROG);
    if (map.ty, map.key_size, map.max_entries) != (MapType::ARRAY, 4, 1) || !read_only {
        let (ty, entries) = (map.ty, map.max_entries);
        let read_only = if read_only { "read-only" } else { "writable" };
        return Err(NoDispatcher::Map(alloc::format!("a {read_only} {ty} of {entries} elements")));
    }
    let said = Config::version_in(map.value).map(u32::from);
    let number = said.or_else(|| metadata::version(types)).ok_or(NoDispatcher::NoVersion)?;
    let version = Version::of(number).ok_or(NoDispatcher::Unknown(number))?;
    Ok(Config::decode(version, map.value)?)
}
