//! The order of programs, and changes of a set as plans.
#![cfg(test)]

mod common;

use std::cmp::Ordering;

use common::component;
use rxdp_dispatcher::config::{SlotFlags, Version};
use rxdp_dispatcher::order::{Component, compare};
use rxdp_dispatcher::plan::{Build, Change, Dispatcher, Refusal, with, without};

fn set(components: Vec<Component>) -> Dispatcher {
    Dispatcher { id: 29, version: Version::V2, frags: false, device_bound: false, components }
}

fn names(build: &Build) -> Vec<&str> {
    build.components.iter().map(|component| component.name.as_str()).collect()
}

#[test]
fn priority_counts_before_name_before_age_before_tag_before_time() {
    let base = component(1, "m", 50);
    let first = |one: Component, other: Component| {
        assert_eq!(compare(&one, &other), Ordering::Less, "{one:?} {other:?}");
        assert_eq!(compare(&other, &one), Ordering::Greater);
    };
    let new = Component { new: true, ..base.clone() };
    first(Component { new: true, ..component(2, "z", 49) }, base.clone());
    first(Component { new: true, ..component(2, "a", 50) }, base.clone());
    // As C compares: capitals first, and a name before those that go on.
    first(component(2, "Z", 50), component(3, "a", 50));
    first(component(2, "a", 50), component(3, "ab", 50));
    first(Component { tag: [9; 8], ..base.clone() }, Component { tag: [1; 8], ..new });
    first(
        Component { load_time: 9, ..base.clone() },
        Component { tag: [0, 0, 0, 0, 0, 0, 0, 1], ..base.clone() },
    );
    first(Component { load_time: 1, ..base.clone() }, Component { load_time: 2, ..base.clone() });
    assert_eq!(compare(&base, &Component { id: 7, ..base.clone() }), Ordering::Equal);
}

#[test]
fn the_first_program_brings_a_dispatcher_of_version_2() {
    let build = with(None, component(4, "alpha", 10), true).unwrap();
    assert_eq!(build.config.version, Version::V2);
    assert_eq!((names(&build), build.function(0)), (vec!["alpha"], "xdp_dispatcher".to_string()));
}

#[test]
fn a_program_goes_where_it_belongs_and_the_version_stays() {
    let found = set(vec![component(1, "alpha", 10), component(2, "beta", 50)]);
    let build = with(Some(&found), component(3, "gamma", 5), true).unwrap();
    assert_eq!(names(&build), ["gamma", "alpha", "beta"]);
    assert_eq!([build.function(0), build.function(2)], ["prog0", "prog2"]);
    let priorities: Vec<u32> = build.config.slots.iter().map(|slot| slot.priority).collect();
    assert_eq!(priorities, [5, 10, 50]);
    let third = Dispatcher { version: Version::V3, ..found };
    assert_eq!(with(Some(&third), component(3, "gamma", 5), true).unwrap().config.version, Version::V3);
}

#[test]
fn an_eleventh_program_is_refused() {
    let ten = set((0..10).map(|id| component(id, "p", 50)).collect());
    assert_eq!(with(Some(&ten), component(11, "q", 1), true), Err(Refusal::Full));
    let nine = set((0..9).map(|id| component(id, "p", 50)).collect());
    assert_eq!(with(Some(&nine), component(11, "q", 1), true).unwrap().components.len(), 10);
}

#[test]
fn packets_of_several_buffers_need_all_programs_and_the_kernel() {
    let frags = |id| {
        let mut component = component(id, "f", 50);
        component.slot.flags = SlotFlags::FRAGS;
        component
    };
    let found = set(vec![frags(1)]);
    assert!(with(Some(&found), frags(2), true).unwrap().config.frags);
    assert!(!with(Some(&found), frags(2), false).unwrap().config.frags);
    let mixed = with(Some(&found), component(2, "g", 50), true).unwrap();
    assert!(!mixed.config.frags);
    // What was noted of the other program stays, for the day when it is alone again.
    assert_eq!(mixed.config.slots[0].flags, SlotFlags::FRAGS);
    let Ok(Change::Build(left)) = without(&set(mixed.components), &[2], true) else {
        panic!("one is left");
    };
    assert!(left.config.frags);
}

#[test]
fn programs_are_taken_out_and_the_last_takes_all_with_it() {
    let found = set(vec![component(1, "a", 1), component(2, "b", 2), component(3, "c", 3)]);
    let Ok(Change::Build(left)) = without(&found, &[2], true) else {
        panic!("two are left");
    };
    assert_eq!(names(&left), ["a", "c"]);
    let Ok(Change::Build(left)) = without(&found, &[1, 3], true) else {
        panic!("one is left");
    };
    assert_eq!((names(&left), left.function(0)), (vec!["b"], "xdp_dispatcher".to_string()));
    assert_eq!(without(&found, &[1, 2, 3], true), Ok(Change::TakeOff));
    assert_eq!(without(&found, &[2, 9], true), Err(Refusal::NotThere(9)));
}

#[test]
fn what_is_too_old_or_bound_is_taken_off_whole_only() {
    let two = vec![component(1, "a", 1), component(2, "b", 2)];
    let old = Dispatcher { version: Version::V1, ..set(two.clone()) };
    let bound = Dispatcher { version: Version::V3, device_bound: true, ..set(two) };
    for (found, refusal) in [(old, Refusal::Old(Version::V1)), (bound, Refusal::DeviceBound)] {
        assert_eq!(with(Some(&found), component(3, "c", 3), true), Err(refusal.clone()));
        assert_eq!(without(&found, &[1], true), Err(refusal));
        assert_eq!(without(&found, &[1, 2], true), Ok(Change::TakeOff));
    }
}
