//! The value of a dispatcher, against bytes that libxdp was seen to write.
#![cfg(test)]
#![cfg(target_endian = "little")]

mod common;

use common::bytes;
use rxdp_dispatcher::actions::Actions;
use rxdp_dispatcher::config::{Config, ConfigError, Slot, SlotFlags, Version};

fn slot(priority: u32, actions: Actions, flags: SlotFlags) -> Slot {
    Slot { priority, actions, flags }
}

/// Debian's xdp-loader 1.3.1: `load v0 a.o` (priority 10, PASS and DROP), then `load -P 5 -A XDP_PASS,XDP_TX v0 b.o`.
fn version_2() -> (Vec<u8>, Config) {
    let text =
        "ec 02 02 00 | 0c 00 00 80  06 00 00 80  00 x 32 | 05 00 00 00  0a 00 00 00  00 x 32 | 00 x 40";
    let slots = vec![
        slot(5, Actions::PASS | Actions::TX, SlotFlags::empty()),
        slot(10, Actions::PASS | Actions::DROP, SlotFlags::empty()),
    ];
    (bytes(text), Config { version: Version::V2, frags: false, device_bound: false, slots })
}

/// xdp-tools 1.2.10.
fn version_1() -> (Vec<u8>, Config) {
    let text = "02 00 00 00 | 06 00 00 80 04 00 00 80 00 x 32 | 0a 00 00 00 32 00 00 00 00 x 32";
    let slots = vec![
        slot(10, Actions::PASS | Actions::DROP, SlotFlags::empty()),
        slot(50, Actions::PASS, SlotFlags::empty()),
    ];
    (bytes(text), Config { version: Version::V1, frags: false, device_bound: false, slots })
}

/// xdp-tools 1.6.3, bound to the device; one of the programs takes packets of several buffers.
fn version_3() -> (Vec<u8>, Config) {
    let text = "ec 03 02 01 | 04 00 00 80 04 00 00 80 00 x 32 | 32 00 00 00 32 00 00 00 00 x 32 \
                | 60 00 00 00 40 00 00 00 00 x 32 | 01 00 00 00";
    let slots = vec![
        slot(50, Actions::PASS, SlotFlags::FRAGS | SlotFlags::DEVICE_BOUND),
        slot(50, Actions::PASS, SlotFlags::DEVICE_BOUND),
    ];
    (bytes(text), Config { version: Version::V3, frags: true, device_bound: true, slots })
}

#[test]
fn what_libxdp_wrote_is_understood_and_written_alike() {
    for (value, config) in [version_1(), version_2(), version_3()] {
        assert_eq!(value.len(), config.version.size());
        assert_eq!(Config::decode(config.version, &value), Ok(config.clone()));
        assert_eq!(config.encode(), value, "version {}", config.version);
    }
}

#[test]
fn a_value_says_its_version_unless_it_is_of_the_first() {
    assert_eq!(Config::version_in(&version_1().0), None);
    assert_eq!(Config::version_in(&version_2().0), Some(2));
    assert_eq!(Config::version_in(&version_3().0), Some(3));
    assert_eq!(Config::version_in(&[236]), None);
}

#[test]
fn every_size_but_its_own_is_refused() {
    for (value, config) in [version_1(), version_2(), version_3()] {
        let version = config.version;
        for found in [0, 1, value.len() - 1, value.len() + 1, 4096] {
            let mut other = value.clone();
            other.resize(found, 0);
            let refused = ConfigError::Size { version, found, expected: value.len() };
            assert_eq!(Config::decode(version, &other), Err(refused));
        }
    }
}

#[test]
fn more_than_ten_programs_are_refused_and_ten_are_not() {
    for (value, config) in [version_1(), version_2(), version_3()] {
        let count = if config.version == Version::V1 { 0 } else { 2 };
        let with = |programs: u8| {
            let mut value = value.clone();
            value[count] = programs;
            Config::decode(config.version, &value)
        };
        assert_eq!(with(10).unwrap().slots.len(), 10);
        assert_eq!(with(0).unwrap().slots.len(), 0);
        assert_eq!(with(11), Err(ConfigError::Count(11)));
        assert!(with(255).is_err());
    }
}

#[test]
fn the_head_must_be_that_of_its_version() {
    let (two, three) = (version_2().0, version_3().0);
    for (at, byte) in [(0, 235), (1, 1), (1, 3)] {
        let mut value = two.clone();
        value[at] = byte;
        assert!(matches!(Config::decode(Version::V2, &value), Err(ConfigError::Head { .. })));
    }
    let mut value = three;
    value[1] = 2;
    assert!(matches!(Config::decode(Version::V3, &value), Err(ConfigError::Head { .. })));
    // As one of version 1 it would have 236 programs.
    assert_eq!(Config::decode(Version::V1, &two[..84]), Err(ConfigError::Count(236)));
}

#[test]
fn a_verdict_without_a_name_survives() {
    let (mut value, _) = version_2();
    value[4 + 1] = 0x02;
    let config = Config::decode(Version::V2, &value).unwrap();
    assert_eq!(config.slots[0].actions.bits(), 0x0000_020c);
    assert_eq!(config.encode(), value);
}
