//! Objects that are damaged in one place: each is refused with one clear line that says where.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use common::fields::{
    R_INFO, REL, SH_OFFSET, SH_SIZE, SH_TYPE, SHT_NOBITS, ST_NAME, ST_SIZE, ST_VALUE, number, section, symbol,
};
use common::{bytes_of, read};

/// The first relocation against the code of `xdp/0`.
fn relocation(bytes: &[u8]) -> usize {
    number(bytes, section(bytes, ".relxdp/0") + SH_OFFSET)
}

/// A field to change: where it stands, and what to write there.
type Damage = fn(&[u8]) -> (usize, Vec<u8>);

fn long(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

const CASES: &[(&str, Damage, &[&str])] = &[
    (
        "a map definition of 7 bytes",
        |b| (symbol(b, "jmp_table1") + ST_SIZE, long(7)),
        &["jmp_table1", "7 bytes"],
    ),
    ("a map beyond its section", |b| (symbol(b, "jmp_table2") + ST_VALUE, long(1 << 40)), &["jmp_table2"]),
    (
        "a function beyond its section",
        |b| (symbol(b, "xdp_prog") + ST_SIZE, long(1 << 20)),
        &["xdp_prog", "xdp/0"],
    ),
    (
        "a function in the middle of an instruction",
        |b| (symbol(b, "xdp_prog") + ST_VALUE, long(4)),
        &["xdp_prog", "xdp/0"],
    ),
    (
        "a relocation against a symbol that is not there",
        |b| (relocation(b) + R_INFO, long(0xffff << 32 | 1)),
        &["xdp/0", "symbol 65535 does not exist"],
    ),
    ("a relocation behind the code", |b| (relocation(b), long(1 << 20)), &["xdp/0", "0x100000"]),
    (
        "a relocation into an instruction",
        |b| (relocation(b), long(4)),
        &["xdp/0", "middle of an instruction"],
    ),
    ("a name behind the strings", |b| (symbol(b, "xdp_prog") + ST_NAME, vec![0xff; 4]), &["symbol table"]),
    ("a section behind the file's end", |b| (section(b, "xdp/0") + SH_OFFSET, long(1 << 40)), &["xdp/0"]),
    ("a huge section", |b| (section(b, "xdp/1") + SH_SIZE, long(u64::MAX)), &["xdp/1"]),
    (
        "sections over each other",
        |b| (section(b, "xdp/1") + SH_OFFSET, long(number(b, section(b, "xdp/0") + SH_OFFSET) as u64)),
        &["overlaps", "xdp/"],
    ),
    ("code of 12 bytes", |b| (section(b, "xdp/1") + SH_SIZE, long(12)), &["xdp/1", "12 bytes"]),
];

#[test]
fn damage_is_named_where_it_is() {
    for (what, damage, words) in CASES {
        let mut bytes = bytes_of("tail_kern.o");
        let (at, value) = damage(&bytes);
        assert_ne!(&bytes[at..at + value.len()], value, "{what}: nothing is changed");
        bytes[at..at + value.len()].copy_from_slice(&value);
        let error = match read("tail_kern.o", &bytes) {
            Err(error) => error.to_string(),
            // A map that is not understood costs only itself.
            Ok(spec) => spec.maps.iter().find_map(|map| map.defect.as_ref()).expect(what).to_string(),
        };
        assert!(words.iter().all(|word| error.contains(word)), "{what}: {error}");
        assert!(!error.contains('\n'), "{what}: more than one line: {error}");
    }
}

#[test]
fn zeroes_without_end_take_no_memory() {
    let mut bytes = bytes_of("data.o");
    let bss = section(&bytes, ".bss");
    assert_eq!(bytes[bss + SH_TYPE..bss + SH_TYPE + 4], SHT_NOBITS.to_le_bytes());
    bytes[bss + SH_SIZE..bss + SH_SIZE + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let error = read("data.o", &bytes).unwrap_err().to_string();
    assert!(error.contains(".bss") && error.contains("4 GiB"), "{error}");
}

#[test]
fn the_relocations_that_are_damaged_are_there() {
    let bytes = bytes_of("tail_kern.o");
    let size = number(&bytes, section(&bytes, ".relxdp/0") + SH_SIZE);
    assert!(size >= REL && size % REL == 0, "{size}");
}
