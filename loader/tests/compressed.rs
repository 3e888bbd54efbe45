//! Compressed sections: what tools make is read, what lies is refused at little cost.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::io::Write as _;

use common::fields::{SH_OFFSET, SH_SIZE, number, section};
use common::{bytes_of, plan, read, spec_of};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use peak_alloc::PeakAlloc;
use rxdp_loader::elf::{self, MOST_DECOMPRESSED};
use rxdp_loader::link;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// **Bytes** that this whole test may use at once, whatever an object claims to need.
const MOST_MEMORY: usize = 256 << 20;

const ZLIB: u32 = 1;
const ZSTD: u32 = 2;
/// `Elf64_Chdr`, in **bytes**: `ch_type`, a reserved word, `ch_size`, `ch_addralign`.
const HEADER: usize = 24;
const CH_SIZE: usize = 8;

#[test]
fn a_compressed_object_means_the_same() {
    for name in ["data-zlib.o", "data-zstd.o"] {
        let bytes = bytes_of(name);
        let file = elf::parse(&bytes).unwrap();
        let smaller = |name: &str| number(&bytes, section(&bytes, name) + SH_SIZE) as u64;
        for name in ["xdp", ".relxdp", ".data", ".rodata.str1.1", "license", ".BTF", ".BTF.ext"] {
            assert_ne!(file.section_named(name).unwrap().size, smaller(name), "{name} is not compressed");
        }
        assert_eq!(read("data.o", &bytes), Ok(spec_of("data.o")), "{name}");
    }
}

/// An object, its section, what becomes of the section's bytes, and words of the error.
type Case = (&'static str, &'static str, &'static str, fn(&mut Vec<u8>), &'static [&'static str]);

const CASES: &[Case] = &[
    ("zlib cut short", "data-zlib.o", "xdp", |b| b.truncate(b.len() - 8), &["xdp", "zlib", "192 bytes"]),
    ("zstd cut short", "data-zstd.o", "xdp", |b| b.truncate(b.len() - 8), &["xdp", "zstd", "192 bytes"]),
    ("another checksum", "data-zlib.o", "xdp", |b| *b.last_mut().unwrap() ^= 1, &["xdp", "zlib"]),
    ("no zlib", "data-zlib.o", ".relxdp", |b| b[HEADER] = 0xff, &[".relxdp", "zlib"]),
    ("no zstd", "data-zstd.o", ".BTF", |b| b[HEADER] = 0xff, &[".BTF", "zstd"]),
    ("less than it says", "data-zlib.o", ".data", |b| b[CH_SIZE] += 1, &[".data", "13 bytes"]),
    ("more than it says", "data-zlib.o", ".data", |b| b[CH_SIZE] -= 1, &[".data", "11 bytes"]),
    ("less than it says", "data-zstd.o", ".data", |b| b[CH_SIZE] += 1, &[".data", "13 bytes"]),
    ("more than it says", "data-zstd.o", ".data", |b| b[CH_SIZE] -= 1, &[".data", "11 bytes"]),
    ("a huge size", "data-zlib.o", ".BTF", |b| b[CH_SIZE + 7] = 0x7f, &[".BTF", "llvm-objcopy"]),
    ("a huge size", "data-zstd.o", "license", |b| b[CH_SIZE + 3] = 1, &["license", "llvm-objcopy"]),
    ("an unknown format", "data-zlib.o", ".BTF", |b| b[0] = 7, &[".BTF", "not known (7;"]),
    ("not even a header", "data-zlib.o", ".BTF", |b| b.truncate(HEADER - 1), &[".BTF"]),
    ("nothing", "data-zstd.o", "xdp", |b| b.truncate(HEADER), &["xdp", "zstd", "192 bytes"]),
];

#[test]
fn what_lies_is_refused_in_one_line() {
    for (what, object, name, damage, words) in CASES {
        let bytes = bytes_of(object);
        let at = section(&bytes, name);
        let start = number(&bytes, at + SH_OFFSET);
        let mut content = bytes[start..start + number(&bytes, at + SH_SIZE)].to_vec();
        damage(&mut content);
        let error = read(object, &with(&bytes, name, &content)).expect_err(what).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{object}, {what}: {error}");
        assert!(!error.contains('\n'), "{object}, {what}: more than one line: {error}");
    }
}

#[test]
fn all_sections_together_have_a_limit() {
    let half = vec![0; MOST_DECOMPRESSED / 2 + 8];
    let one = with(&bytes_of("data-zlib.o"), ".data", &packed(&half));
    assert!(elf::parse(&one).is_ok());
    let error = elf::parse(&with(&one, ".rodata", &packed(&half))).unwrap_err().to_string();
    assert!(error.contains(".rodata") && error.contains(&half.len().to_string()), "{error}");
}

#[test]
fn bombs_cost_little() {
    let zeroes = vec![0; MOST_DECOMPRESSED / 2];
    for (what, section, content) in [
        ("pointers", ".BTF", packed(&pointers())),
        ("code", "xdp", packed(&[0xb7, 0, 0, 0, 0, 0, 0, 0].repeat(MOST_DECOMPRESSED / 16))),
        ("relocations", ".relxdp", packed(&zeroes)),
        ("lines", ".BTF.ext", packed(&zeroes)),
        ("zeroes without end", ".data", zstd_zeroes(1 << 30, 16)),
        ("a window of 1 GiB", ".data", zstd_zeroes(16, 1 << 30)),
    ] {
        assert!(content.len() < 1 << 17, "{what}: {} bytes are no bomb", content.len());
        let bytes = with(&bytes_of("data-zlib.o"), section, &content);
        MEMORY.reset_peak_usage();
        if let Ok(spec) = read("data.o", &bytes) {
            let _planned = plan(&link::link(spec)).is_ok();
        }
        let peak = MEMORY.peak_usage();
        assert!(peak < MOST_MEMORY, "{what}: {} MiB", peak >> 20);
    }
}

/// The object with these bytes as a section's, at the end of the file.
fn with(object: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let at = section(object, name);
    let mut out = object.to_vec();
    out.resize(out.len().next_multiple_of(8), 0);
    let start = out.len() as u64;
    out[at + SH_OFFSET..at + SH_OFFSET + 8].copy_from_slice(&start.to_le_bytes());
    out[at + SH_SIZE..at + SH_SIZE + 8].copy_from_slice(&(content.len() as u64).to_le_bytes());
    out.extend_from_slice(content);
    out
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(header(ZLIB, bytes.len()), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One frame of zstd that is `len` zeroes, said to be `said` of them by itself and 16 by the section.
///
/// Source: RFC 8878.
fn zstd_zeroes(len: usize, said: u32) -> Vec<u8> {
    const MOST_IN_A_BLOCK: usize = 128 << 10;
    let mut out = header(ZSTD, 16);
    out.extend([0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000]);
    out.extend(said.to_le_bytes());
    let blocks = len.div_ceil(MOST_IN_A_BLOCK);
    for block in 1..=blocks {
        // A block of one byte that is repeated.
        let size = u32::try_from(len.min(MOST_IN_A_BLOCK)).unwrap();
        let head = size << 3 | 1 << 1 | u32::from(block == blocks);
        out.extend(&head.to_le_bytes()[..3]);
        out.push(0);
    }
    out
}

fn header(ty: u32, size: usize) -> Vec<u8> {
    let mut header = [u64::from(ty), size as u64, 8].map(u64::to_le_bytes).concat();
    header.reserve(size / 100);
    header
}

/// As many types as fit: pointers to nothing.
fn pointers() -> Vec<u8> {
    const PTR: u32 = 2 << 24;
    const BTF_HEADER: u32 = 24;
    let count = MOST_DECOMPRESSED / 12 - 1000;
    let types = u32::try_from(count * 12).unwrap();
    let mut btf = vec![0x9f, 0xeb, 1, 0];
    btf.extend([BTF_HEADER, 0, types, types, 1].map(u32::to_le_bytes).concat());
    btf.extend([0, PTR, 0].map(u32::to_le_bytes).concat().repeat(count));
    btf.push(0);
    btf
}
