//! Reading a file without its debug information gives the same object, also where the file is damaged.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::fs;
use std::ops::Range;

use common::path_of;
use rxdp_loader::elf::{Outline, parse};
use rxdp_loader::spec::{Dialects, collect};

const DWARF: &str = "tail_kern-clang22-g.o";

/// The parts of a file that are needed, as `read_file` finds them.
fn needed(file: &[u8]) -> Option<Vec<Range<u64>>> {
    let part =
        |range: Range<u64>| file.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?);
    let outline = Outline::of(part(0..Outline::HEADER)?)?;
    let sections = part(outline.sections())?;
    outline.needed(sections, part(outline.names(sections)?)?)
}

/// The file with zeroes where it need not be read.
fn outlined(file: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; file.len()];
    for range in needed(file)? {
        let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(file.len());
        let range = clip(range.start)..clip(range.end);
        bytes[range.clone()].copy_from_slice(&file[range]);
    }
    Some(bytes)
}

fn meaning(file: &[u8]) -> String {
    match parse(file) {
        Ok(elf) => format!("{:?}", collect(&elf, "object", Dialects::default())),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn debug_information_is_not_read() {
    let file = fs::read(path_of(DWARF)).unwrap();
    let read: u64 = needed(&file).unwrap().iter().map(|range| range.end - range.start).sum();
    let debug: u64 =
        parse(&file).unwrap().sections.iter().filter(|s| s.name.starts_with(".debug")).map(|s| s.size).sum();
    assert!(
        debug > 1000 && read + debug / 2 < file.len() as u64,
        "{read} of {}, {debug} of debug",
        file.len()
    );
    assert_eq!(meaning(&outlined(&file).unwrap()), meaning(&file));
}

#[test]
fn a_damaged_file_means_the_same_without_what_is_not_read() {
    let file = fs::read(path_of(DWARF)).unwrap();
    let table = Outline::of(&file).unwrap().sections();
    let table = usize::try_from(table.start).unwrap()..usize::try_from(table.end).unwrap();
    let mut outlines = 0;
    for at in (0..64).chain(table) {
        for flip in [1, 4, 0x80, 0xff] {
            let mut damaged = file.clone();
            damaged[at] ^= flip;
            if let Some(outlined) = outlined(&damaged) {
                outlines += 1;
                assert_eq!(meaning(&outlined), meaning(&damaged), "byte {at:#x} ^ {flip:#x}");
            }
        }
    }
    assert!(outlines > 4000, "only {outlines} outlines");
}

#[cfg(feature = "kernel")]
#[test]
fn large_files_are_read_in_parts() {
    // What stands behind the last section is nobody's, and makes the file a large one.
    let mut file = fs::read(path_of(DWARF)).unwrap();
    let len = file.len();
    file.resize(256 << 10, 0xaa);
    let path = std::env::temp_dir().join(format!("rxdp-outline-{}.o", std::process::id()));
    fs::write(&path, &file).unwrap();
    let read = rxdp_loader::read_file(&path);
    fs::remove_file(&path).unwrap();
    let read = read.unwrap();
    assert!(read.len() == file.len() && read[len..].iter().all(|byte| *byte == 0));
    assert_eq!(meaning(&read), meaning(&file));
}
