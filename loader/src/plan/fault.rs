//! Which attribute of a map stands in the way where the kernel says no more than a number: what each type of map takes.
//!
//! A table of the kernel's own checks, asked only after the kernel has refused. docs/verifier.md is printed from it.
//!
//! Source: `map_create` and the `map_alloc_check` of each type, `kernel/bpf` and `net`, Linux 5.4 to 6.18.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::CreateMap;
use crate::uapi::{MapFlags, MapType};

/// An attribute of a map that its type does not take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapFault {
    /// The attribute: `key_size`, `value_size`, `max_entries`, `map_flags`, `map_extra`, `inner_map_fd` or `btf_value_type_id`.
    pub attribute: &'static str,
    /// What it is.
    pub found: String,
    /// What the type takes.
    pub takes: String,
    /// The type.
    pub ty: MapType,
}

impl fmt::Display for MapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attribute, found, takes, ty } = self;
        write!(f, "{attribute} is {found}, and a map of type {ty} takes {takes}")
    }
}

/// What sizes a type takes, in **bytes**.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Size {
    /// One of these.
    OneOf(&'static [u32]),
    /// From the first to the last.
    Between(u32, u32),
    /// At least 8, and a multiple of that.
    Words,
}

/// How many entries a type takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entries {
    Some,
    None,
    One,
    /// A power of two of whole pages, in **bytes**.
    Pages,
}

/// What types of maps take.
struct Takes {
    types: &'static [MapType],
    key: Size,
    value: Size,
    entries: Entries,
    /// Flags without which it is not taken.
    must: MapFlags,
    /// Flags that may be there besides.
    may: MapFlags,
}

const ANY: Size = Size::Between(1, u32::MAX);
const NONE: Size = Size::OneOf(&[0]);
const FOUR: Size = Size::OneOf(&[4]);
const HANDLE: Size = Size::OneOf(&[4, 8]);

const fn bits(bits: u32) -> MapFlags {
    MapFlags::from_bits_retain(bits)
}

const NO_FLAGS: MapFlags = MapFlags::empty();
const NO_COMMON_LRU: u32 = 1 << 1;
const NUMA: u32 = 1 << 2;
/// `BPF_F_RDONLY`, `BPF_F_WRONLY`: of user space.
const USER_ACCESS: u32 = 1 << 3 | 1 << 4;
const STACK_BUILD_ID: u32 = 1 << 5;
const ZERO_SEED: u32 = 1 << 6;
/// `BPF_F_RDONLY_PROG`, `BPF_F_WRONLY_PROG`.
const PROG_ACCESS: u32 = 1 << 7 | 1 << 8;
const CLONE: u32 = 1 << 9;
const MMAPABLE: u32 = 1 << 10;
const PRESERVE_ELEMS: u32 = 1 << 11;
const INNER_MAP: u32 = 1 << 12;
const LINK: u32 = 1 << 13;
const TABLE_TYPE: u32 = 1 << 15;
const TOKEN: u32 = 1 << 16;
/// `BPF_F_SEGV_ON_FAULT`, `BPF_F_NO_USER_CONV`.
const ARENA: u32 = 1 << 17 | 1 << 18;
const ACCESS: u32 = USER_ACCESS | PROG_ACCESS;

#[rustfmt::skip]
const NAMES: &[(u32, &str)] = &[
    (1, "BPF_F_NO_PREALLOC"), (1 << 1, "BPF_F_NO_COMMON_LRU"), (1 << 2, "BPF_F_NUMA_NODE"), (1 << 3, "BPF_F_RDONLY"),
    (1 << 4, "BPF_F_WRONLY"), (1 << 5, "BPF_F_STACK_BUILD_ID"), (1 << 6, "BPF_F_ZERO_SEED"), (1 << 7, "BPF_F_RDONLY_PROG"),
    (1 << 8, "BPF_F_WRONLY_PROG"), (1 << 9, "BPF_F_CLONE"), (1 << 10, "BPF_F_MMAPABLE"), (1 << 11, "BPF_F_PRESERVE_ELEMS"),
    (1 << 12, "BPF_F_INNER_MAP"), (1 << 13, "BPF_F_LINK"), (1 << 14, "BPF_F_PATH_FD"), (1 << 15, "BPF_F_VTYPE_BTF_OBJ_FD"),
    (1 << 16, "BPF_F_TOKEN_FD"), (1 << 17, "BPF_F_SEGV_ON_FAULT"), (1 << 18, "BPF_F_NO_USER_CONV"),
];

#[rustfmt::skip]
const TABLE: &[Takes] = &[
    row(&[MapType::ARRAY], FOUR, ANY, Entries::Some).may(NUMA | ACCESS | MMAPABLE | INNER_MAP),
    row(&[MapType::PERCPU_ARRAY], FOUR, ANY, Entries::Some).may(ACCESS),
    row(&[MapType::PROG_ARRAY, MapType::CGROUP_ARRAY, MapType::ARRAY_OF_MAPS], FOUR, FOUR, Entries::Some).may(NUMA | USER_ACCESS),
    row(&[MapType::PERF_EVENT_ARRAY], FOUR, FOUR, Entries::Some).may(NUMA | USER_ACCESS | PRESERVE_ELEMS),
    row(&[MapType::HASH], ANY, ANY, Entries::Some).may(1 | NUMA | ACCESS | ZERO_SEED),
    row(&[MapType::PERCPU_HASH], ANY, ANY, Entries::Some).may(1 | ACCESS | ZERO_SEED),
    row(&[MapType::LRU_HASH, MapType::LRU_PERCPU_HASH], ANY, ANY, Entries::Some).may(NO_COMMON_LRU | NUMA | ACCESS | ZERO_SEED),
    row(&[MapType::HASH_OF_MAPS], ANY, FOUR, Entries::Some).may(1 | NUMA | ACCESS | ZERO_SEED),
    row(&[MapType::LPM_TRIE], Size::Between(5, 260), ANY, Entries::Some).must(1).may(NUMA | ACCESS),
    row(&[MapType::STACK_TRACE], FOUR, Size::Words, Entries::Some).may(NUMA | USER_ACCESS | STACK_BUILD_ID),
    row(&[MapType::QUEUE, MapType::STACK], NONE, ANY, Entries::Some).may(NUMA | ACCESS),
    row(&[MapType::BLOOM_FILTER], NONE, ANY, Entries::Some).may(NUMA | ZERO_SEED | ACCESS),
    row(&[MapType::RINGBUF, MapType::USER_RINGBUF], NONE, NONE, Entries::Pages).may(NUMA),
    row(&[MapType::DEVMAP, MapType::DEVMAP_HASH], FOUR, HANDLE, Entries::Some).may(NUMA | USER_ACCESS),
    row(&[MapType::CPUMAP], FOUR, HANDLE, Entries::Some).may(NUMA),
    row(&[MapType::XSKMAP], FOUR, FOUR, Entries::Some).may(NUMA | USER_ACCESS),
    row(&[MapType::SOCKMAP], FOUR, HANDLE, Entries::Some).may(NUMA | USER_ACCESS),
    row(&[MapType::SOCKHASH], Size::Between(1, 512), HANDLE, Entries::Some).may(NUMA | USER_ACCESS),
    row(&[MapType::REUSEPORT_SOCKARRAY], FOUR, HANDLE, Entries::Some).may(NUMA | ACCESS),
    row(&[MapType::CGROUP_STORAGE, MapType::PERCPU_CGROUP_STORAGE], Size::OneOf(&[8, 16]), ANY, Entries::None).may(NUMA | ACCESS),
    row(STORAGE, FOUR, ANY, Entries::None).must(1).may(CLONE),
    row(&[MapType::STRUCT_OPS], FOUR, ANY, Entries::One).may(LINK | TABLE_TYPE),
    row(&[MapType::ARENA], NONE, NONE, Entries::Some).must(MMAPABLE).may(ARENA),
];

/// Maps that hold something for each socket, inode, task or cgroup: they need types.
const STORAGE: &[MapType] =
    &[MapType::SK_STORAGE, MapType::INODE_STORAGE, MapType::TASK_STORAGE, MapType::CGRP_STORAGE];

const fn row(types: &'static [MapType], key: Size, value: Size, entries: Entries) -> Takes {
    Takes { types, key, value, entries, must: NO_FLAGS, may: NO_FLAGS }
}

impl Takes {
    const fn must(self, flags: u32) -> Self {
        Self { must: bits(flags), ..self }
    }

    const fn may(self, flags: u32) -> Self {
        Self { may: bits(flags), ..self }
    }

    fn flags(&self) -> MapFlags {
        self.must | self.may | bits(TOKEN)
    }
}

/// An attribute, what it is, and what it should be.
type Wrong = (&'static str, String, String);

impl CreateMap {
    /// The attribute that the map's type does not take, as far as the table knows.
    ///
    /// `page_size` in **bytes**; `typed` says whether the kernel was given types of keys and values.
    pub fn fault(&self, page_size: u32, typed: bool) -> Option<MapFault> {
        let takes = TABLE.iter().find(|takes| takes.types.contains(&self.ty))?;
        let wrong = self
            .wrong_size(takes)
            .or_else(|| self.wrong_entries(takes, page_size))
            .or_else(|| self.wrong_flags(takes))
            .or_else(|| self.missing(typed))
            .or_else(|| self.wrong_extra(page_size));
        let (attribute, found, takes) = wrong?;
        Some(MapFault { attribute, found, takes, ty: self.ty })
    }

    fn wrong_size(&self, takes: &Takes) -> Option<Wrong> {
        let sizes = [("key_size", self.key_size, takes.key), ("value_size", self.value_size, takes.value)];
        let (attribute, found, size) = sizes.into_iter().find(|(_, found, size)| !size.has(*found))?;
        Some((attribute, found.to_string(), size.to_string()))
    }

    fn wrong_entries(&self, takes: &Takes, page_size: u32) -> Option<Wrong> {
        let wrong = !takes.entries.has(self.max_entries, page_size);
        wrong.then(|| ("max_entries", self.max_entries.to_string(), takes.entries.to_string()))
    }

    fn wrong_flags(&self, takes: &Takes) -> Option<Wrong> {
        let missing = takes.must.difference(self.flags);
        if !missing.is_empty() {
            return Some(("map_flags", words(self.flags), format!("{} always", words(missing))));
        }
        let unknown = self.flags.difference(takes.flags());
        (!unknown.is_empty()).then(|| ("map_flags", words(self.flags), format!("no {}", words(unknown))))
    }

    fn missing(&self, typed: bool) -> Option<Wrong> {
        let (attribute, takes) = match self.ty {
            MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS if self.inner.is_none() => {
                ("inner_map_fd", "a map that its inner maps look like")
            }
            ty if STORAGE.contains(&ty) && !typed => (
                "btf_value_type_id",
                "types: `__type(key, int)`, `__type(value, ...)`, and an object with BTF",
            ),
            _ => return None,
        };
        Some((attribute, "not given".to_string(), takes.to_string()))
    }

    fn wrong_extra(&self, page_size: u32) -> Option<Wrong> {
        let in_page = || self.map_extra.checked_rem(page_size.into()).is_some_and(|rest| rest != 0);
        let (wrong, takes) = match self.ty {
            MapType::BLOOM_FILTER => (self.map_extra > 15, "0 to 15, the number of hash functions"),
            MapType::ARENA => (in_page(), "an address at the beginning of a page"),
            _ => (self.map_extra != 0, "0"),
        };
        wrong.then(|| ("map_extra", self.map_extra.to_string(), takes.to_string()))
    }
}

/// Flags by their names, those without one as a number; 0 for none.
fn words(flags: MapFlags) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = flags.bits();
    for (flag, name) in NAMES {
        if rest & flag != 0 {
            rest &= !flag;
            words.push((*name).to_string());
        }
    }
    if rest != 0 || words.is_empty() {
        words.push(format!("{rest:#x}"));
    }
    words.join(" | ")
}

impl Size {
    fn has(self, size: u32) -> bool {
        match self {
            Self::OneOf(sizes) => sizes.contains(&size),
            Self::Between(least, most) => (least..=most).contains(&size),
            Self::Words => size >= 8 && size % 8 == 0,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf(sizes) => {
                let sizes: Vec<_> = sizes.iter().map(ToString::to_string).collect();
                f.write_str(&sizes.join(" or "))
            }
            Self::Between(1, u32::MAX) => f.write_str("at least 1"),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
            Self::Words => f.write_str("a multiple of 8"),
        }
    }
}

impl Entries {
    fn has(self, entries: u32, page_size: u32) -> bool {
        match self {
            Self::Some => entries > 0,
            Self::None => entries == 0,
            Self::One => entries == 1,
            Self::Pages => entries.is_power_of_two() && entries >= page_size,
        }
    }
}

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Some => "at least 1",
            Self::None => "0",
            Self::One => "1",
            Self::Pages => "a power of two, in bytes and at least a page",
        })
    }
}

/// What each type of map takes, a row of a table each: types, key, value, entries, flags that it needs.
pub fn table() -> impl Iterator<Item = [String; 5]> {
    TABLE.iter().map(|takes| {
        let types: Vec<_> = takes.types.iter().map(ToString::to_string).collect();
        let must = if takes.must.is_empty() { String::new() } else { words(takes.must) };
        [types.join(", "), takes.key.to_string(), takes.value.to_string(), takes.entries.to_string(), must]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::MapSlot;
    use crate::spec::MapId;
    use crate::uapi::KernelName;

    const PAGE: u32 = 4096;

    fn map(ty: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> CreateMap {
        CreateMap {
            slot: MapSlot::Map(MapId(0)),
            name: "".into(),
            kernel_name: KernelName::default(),
            ty,
            key_size,
            value_size,
            max_entries,
            flags: bits(flags),
            numa_node: 0,
            map_extra: 0,
            inner: None,
            types: None,
            kernel_value: None,
        }
    }

    fn at_fault(map: &CreateMap) -> Option<&'static str> {
        map.fault(PAGE, false).map(|fault| fault.attribute)
    }

    #[test]
    fn what_is_right_has_no_fault() {
        for map in [
            map(MapType::ARRAY, 4, 8, 1, MMAPABLE),
            map(MapType::HASH, 1, 1, 1, 1),
            map(MapType::RINGBUF, 0, 0, 2 * PAGE, 0),
            map(MapType::LPM_TRIE, 8, 1, 1, 1),
            map(MapType::CGROUP_STORAGE, 16, 8, 0, 0),
            map(MapType::ARENA, 0, 0, 1, MMAPABLE),
        ] {
            assert_eq!(at_fault(&map), None, "{map:?}");
        }
    }

    #[test]
    fn the_attribute_at_fault_is_found() {
        for (map, attribute) in [
            (map(MapType::ARRAY, 8, 8, 1, 0), "key_size"),
            (map(MapType::PROG_ARRAY, 4, 8, 1, 0), "value_size"),
            (map(MapType::STACK_TRACE, 4, 12, 1, 0), "value_size"),
            (map(MapType::RINGBUF, 0, 0, 3 * PAGE, 0), "max_entries"),
            (map(MapType::RINGBUF, 0, 0, 1024, 0), "max_entries"),
            (map(MapType::SK_STORAGE, 4, 8, 0, 0), "map_flags"),
            (map(MapType::SK_STORAGE, 4, 8, 0, 1), "btf_value_type_id"),
            (map(MapType::LRU_HASH, 4, 8, 1, 1), "map_flags"),
            (map(MapType::HASH_OF_MAPS, 4, 4, 1, 0), "inner_map_fd"),
            (CreateMap { map_extra: 16, ..map(MapType::BLOOM_FILTER, 0, 4, 1, 0) }, "map_extra"),
        ] {
            assert_eq!(at_fault(&map), Some(attribute), "{map:?}");
        }
    }
}
