//! Going through a kernel's types without reading them finds what reading all of them finds.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;

use common::all;
use common::types::{Types, try_types_of, types_of};
use rxdp_loader::btf::{
    Btf, BtfError, Kind, KindSet, StrOff, TargetBtf, TypeGraph, TypeId, Wanted, essential,
};
use rxdp_loader::bytes::Endian;

fn wanted(names: &[&[u8]]) -> Wanted {
    let mut wanted = Wanted::default();
    names.iter().for_each(|name| wanted.add(name, KindSet::all()));
    wanted
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<TypeId> {
    numbers.into_iter().map(TypeId).collect()
}

/// Every type by its number, and every name of `names`, is what the full parse says. Returns how many types there are.
fn agrees(bytes: &[u8], names: &[&[u8]]) -> usize {
    let whole = Btf::parse(bytes, TargetBtf::endian_of(bytes)).unwrap();
    let target = TargetBtf::scan(bytes, None, &wanted(names)).unwrap();
    assert_eq!(target.end().index(), whole.types.len());
    for id in (0u32..).zip(&whole.types).map(|(id, _)| TypeId(id)) {
        assert_eq!(target.ty(id).as_deref(), whole.get(id), "{id:?}");
    }
    assert_eq!(target.ty(target.end()), None);
    for name in names {
        let goes_by =
            |at: &TypeId| essential(whole.bytes_at(whole.types[at.index()].name)) == essential(name);
        let expected: Vec<TypeId> = ids(1..target.end().0).into_iter().filter(goes_by).collect();
        assert_eq!(target.named(name), expected, "{}", String::from_utf8_lossy(name));
    }
    whole.types.len()
}

/// Some names of a file: every so-many-th type's.
fn some_names(bytes: &[u8], step: usize) -> BTreeSet<Vec<u8>> {
    let whole = Btf::parse(bytes, TargetBtf::endian_of(bytes)).unwrap();
    let names = whole.types.iter().step_by(step).map(|ty| whole.bytes_at(ty.name).to_vec());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_type_of_every_object_is_found_by_its_number_and_name() {
    let mut tried = 0;
    for name in all() {
        let Some(bytes) = try_types_of(&name) else {
            continue;
        };
        let names = some_names(&bytes, 1);
        agrees(&bytes, &names.iter().map(Vec::as_slice).collect::<Vec<_>>());
        tried += 1;
    }
    assert!(tried > 30, "only {tried} objects have types");
}

#[test]
fn every_type_of_the_running_kernel_is_found_by_its_number() {
    let Ok(bytes) = fs::read("/sys/kernel/btf/vmlinux") else {
        assert!(std::env::var_os("RXDP_REQUIRE_KERNEL").is_none(), "the kernel shows no types");
        writeln!(
            std::io::stderr(),
            "SKIPPED every_type_of_the_running_kernel_is_found_by_its_number: no types"
        )
        .unwrap();
        return;
    };
    let mut names = some_names(&bytes, 5000);
    names.extend([b"task_struct".to_vec(), b"no_such_type_anywhere".to_vec()]);
    let types = agrees(&bytes, &names.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert!(types > 10_000, "{types}");
}

#[test]
fn both_byte_orders_say_the_same() {
    let (little, big) = (types_of("core_target.o"), types_of("core_target-bigendian.o"));
    assert_eq!(TargetBtf::endian_of(&little), Endian::Little);
    assert_eq!(TargetBtf::endian_of(&big), Endian::Big);
    let names: &[&[u8]] = &[b"widget", b"inner", b"color", b"wide", b"target"];
    let find = |bytes: &[u8]| {
        let target = TargetBtf::scan(bytes, None, &wanted(names)).unwrap();
        names.iter().map(|name| target.named(name).to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(find(&little), find(&big));
    assert!(find(&big).iter().all(|found| !found.is_empty()));
}

#[test]
fn flavours_go_by_the_name_before_them() {
    let mut types = Types::new();
    for name in ["a", "a___b", "a___b___c", "a____b", "___a", "a___", "b", "ab", "a"] {
        types.add(name, Kind::Fwd { union: false });
    }
    let bytes = types.bytes();
    let target = TargetBtf::scan(&bytes, None, &wanted(&[b"a", b"a___b___x", b"nothing", b""])).unwrap();
    assert_eq!(target.named(b"a"), ids([1, 2, 9]));
    assert_eq!(target.named(b"a___any"), ids([1, 2, 9]));
    assert_eq!(target.named(b"a___b___c"), ids([3]), "only the last one is the flavour");
    assert_eq!(target.named(b"nothing"), []);
    assert_eq!(target.find(b"a___b", |_| true), Some(TypeId(2)), "a whole name is one type");
    assert_eq!(target.find(b"a", |kind| matches!(kind, Kind::Float { .. })), None);
}

/// What is compared first are 8 bytes, in which a short name stands with some of its flavour.
#[test]
fn names_of_any_length_have_flavours() {
    let mut types = Types::new();
    let names: Vec<String> = (1..=17).map(|len| "abcdefghijklmnopq"[..len].to_string()).collect();
    for (name, flavour) in
        names.iter().flat_map(|name| ["", "___f", "___flavour", "__f"].map(|of| (name, of)))
    {
        types.add(&format!("{name}{flavour}"), Kind::Fwd { union: false });
    }
    let bytes = types.bytes();
    for (name, first) in names.iter().zip((1..).step_by(4)) {
        let target = TargetBtf::scan(&bytes, None, &wanted(&[name.as_bytes()])).unwrap();
        assert_eq!(target.named(name.as_bytes()), ids([first, first + 1, first + 2]), "{name}");
    }
}

/// A name may be the end of a longer string, which then stands in the file once.
#[test]
fn names_may_share_the_end_of_a_string() {
    let mut types = Types::new();
    let long = types.string("my_task_struct___old");
    for offset in [0, 3, 8] {
        types.push(StrOff(long.0 + offset), Kind::Fwd { union: false });
    }
    let names: &[&[u8]] = &[b"task_struct", b"struct", b"my_task_struct"];
    let bytes = types.bytes();
    agrees(&bytes, names);
    let target = TargetBtf::scan(&bytes, None, &wanted(names)).unwrap();
    assert_eq!(target.named(b"task_struct"), ids([2]));
    assert_eq!(target.named(b"struct"), ids([3]));
}

/// A module's types count on from the kernel's, in their numbers and in the positions of their names.
#[test]
fn a_modules_types_go_on_where_the_kernels_end() {
    let mut whole = Types::new();
    let int = whole.int("int", 4, true);
    let shared = whole.string("shared_name");
    let own = whole.structure("own", 4, &[("x", int, 0)]);
    let kernel = whole.clone();
    // Names of its own, a name of the kernel's, and the end of one.
    whole.structure("other", 8, &[("x", int, 0), ("own", own, 4)]);
    whole.push(shared, Kind::Typedef(own));
    whole.push(StrOff(shared.0 + 7), Kind::Typedef(int));
    let mut module = whole.clone();
    module.0.types.drain(1..kernel.0.types.len());
    module.0.strings.drain(..kernel.0.strings.len());

    let names = wanted(&[b"own", b"other", b"shared_name", b"name"]);
    let (kernel_bytes, module_bytes) = (kernel.bytes(), module.bytes());
    let base = TargetBtf::scan(&kernel_bytes, None, &names).unwrap();
    let split = TargetBtf::scan(&module_bytes, Some(&base), &names).unwrap();
    for id in ids(0..split.end().0) {
        assert_eq!(split.ty(id).as_deref(), whole.0.get(id), "{id:?}");
        let name = whole.0.types[id.index()].name;
        assert_eq!(split.bytes_at(name), whole.0.bytes_at(name), "{id:?}");
    }
    assert_eq!((base.end(), split.end()), (TypeId(3), TypeId(6)));
    assert_eq!((base.named(b"own"), split.named(b"own")), (&ids([2])[..], &[][..]), "each has its own");
    assert_eq!(split.named(b"other"), ids([3]));
    assert_eq!(split.named(b"shared_name"), ids([4]));
    assert_eq!(split.named(b"name"), ids([5]));
}

#[test]
fn what_is_no_btf_or_of_another_time_is_said() {
    let scan = |bytes: &[u8]| TargetBtf::scan(bytes, None, &Wanted::default()).unwrap_err();
    let bytes = types_of("core_target.o");
    for len in 0..bytes.len() {
        scan(&bytes[..len]);
    }
    assert!(matches!(scan(b"not types at all"), BtfError::Magic { .. }));
    let mut unknown = bytes.clone();
    unknown[24 + 7] = 31;
    assert_eq!(scan(&unknown), BtfError::UnknownKind { id: 1, kind: 31 });
}
