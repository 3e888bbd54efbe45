//! Which programs are dispatchers: every check, each with a program that fails only that one.
#![cfg(test)]
#![cfg(target_endian = "little")]

mod common;

use common::{Types, bytes};
use rxdp_dispatcher::config::{ConfigError, Version};
use rxdp_dispatcher::found::{Facts, MapFacts, NoDispatcher, dispatcher};
use rxdp_loader::btf::{Btf, Linkage};
use rxdp_loader::uapi::{MapFlags, MapType};

const V1: &str = "02 00 00 00 | 06 00 00 80 04 00 00 80 00 x 32 | 0a 00 00 00 32 00 00 00 00 x 32";
const V2: &str = "ec 02 01 00 | 04 00 00 80 00 x 36 | 32 00 00 00 00 x 36 | 00 x 40";

fn says(version: u32) -> Btf {
    let mut types = Types::new();
    let number = types.number(version);
    types.variable("xdp_metadata", "dispatcher_version", number, Linkage::GLOBAL);
    types.0
}

fn map(value: &[u8]) -> MapFacts<'_> {
    let (key_size, max_entries) = (4, 1);
    MapFacts { ty: MapType::ARRAY, key_size, max_entries, flags: MapFlags::RDONLY_PROG, value }
}

fn facts<'a>(types: &'a Btf, map: MapFacts<'a>) -> Facts<'a> {
    Facts { name: "xdp_dispatcher", types: Some(types), maps: 1, map: Some(map) }
}

#[test]
fn a_dispatcher_is_one() {
    let (types, value) = (says(2), bytes(V2));
    let config = dispatcher(&facts(&types, map(&value))).unwrap();
    assert_eq!((config.version, config.slots.len()), (Version::V2, 1));
    // Since version 2 the value says it, whatever the types say, and those of version 1 say nothing else.
    let nothing = Types::new().0;
    assert_eq!(dispatcher(&facts(&nothing, map(&value))).unwrap().version, Version::V2);
    let value = bytes(V1);
    assert_eq!(dispatcher(&facts(&says(1), map(&value))).unwrap().version, Version::V1);
    assert_eq!(dispatcher(&facts(&nothing, map(&value))), Err(NoDispatcher::NoVersion));
}

#[test]
fn what_fails_one_check_is_none() {
    let (types, value) = (says(2), bytes(V2));
    let good = facts(&types, map(&value));
    let refused = |facts: Facts<'_>| dispatcher(&facts).unwrap_err();
    let name = |name| refused(Facts { name, ..good });
    assert_eq!(name("xdp_dispatche"), NoDispatcher::Name("xdp_dispatche".to_string()));
    assert_eq!(name("xdp_dispatcher2"), NoDispatcher::Name("xdp_dispatcher2".to_string()));
    assert_eq!(refused(Facts { types: None, ..good }), NoDispatcher::Untyped);
    assert_eq!(refused(Facts { maps: 0, map: None, ..good }), NoDispatcher::Maps(0));
    assert_eq!(refused(Facts { maps: 2, ..good }), NoDispatcher::Maps(2));
    let other = |change: fn(&mut MapFacts<'_>)| {
        let mut map = map(&value);
        change(&mut map);
        refused(facts(&types, map))
    };
    let wrong: [fn(&mut MapFacts<'_>); 4] = [
        |map| map.ty = MapType::HASH,
        |map| map.key_size = 8,
        |map| map.max_entries = 2,
        |map| map.flags = MapFlags::empty(),
    ];
    for change in wrong {
        assert!(matches!(other(change), NoDispatcher::Map(_)));
    }
    // More flags are fine.
    let flags = MapFlags::RDONLY_PROG | MapFlags::MMAPABLE;
    assert!(dispatcher(&facts(&types, MapFacts { flags, ..map(&value) })).is_ok());
}

#[test]
fn a_version_that_nobody_knows_is_told_apart_from_a_foreign_program() {
    let types = says(2);
    for number in [0, 4, 255] {
        let mut value = bytes(V2);
        value[1] = number;
        assert_eq!(dispatcher(&facts(&types, map(&value))), Err(NoDispatcher::Unknown(number.into())));
    }
    let value = bytes(V1);
    assert_eq!(dispatcher(&facts(&says(7), map(&value))), Err(NoDispatcher::Unknown(7)));
}

#[test]
fn a_value_of_another_size_is_refused() {
    let (types, value) = (says(2), bytes(V2));
    for short in [0, 1, 2, 83, 123] {
        let found = dispatcher(&facts(&types, map(&value[..short])));
        assert!(matches!(found, Err(NoDispatcher::Config(ConfigError::Size { .. }))), "{short}: {found:?}");
    }
}
