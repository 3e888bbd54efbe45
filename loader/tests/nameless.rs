//! Functions that the symbol table does not name, or not as functions, are found by the calls that lead to them.
#![cfg(test)]

use std::fs;
use std::path::Path;

use rxdp_loader::load::Input;
use rxdp_loader::spec::ObjectSpec;
use rxdp_loader::sys::Linux;
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::kernel_or_skip;

/// Source: `struct Elf64_Shdr`, `struct Elf64_Sym`, elf(5).
const SYMBOL: usize = 24;
const NOTYPE: u8 = 0;
const FUNC: u8 = 2;
const ABSOLUTE: [u8; 2] = 0xfff1u16.to_le_bytes();

/// `calls.o` with its symbols changed, each by its entry in the symbol table.
fn calls(name: &str, change: impl Fn(&mut [u8])) -> Object {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    let mut bytes = fs::read(path).unwrap();
    let parsed = bytes.clone();
    let elf = rxdp_loader::elf::parse(&parsed).unwrap();
    // The table is found by what stands in it: the parser tells how many symbols there are, not where.
    let number = |at: usize, len: usize| {
        let digits = bytes[at..].iter().take(len).rev();
        digits.fold(0usize, |sum, digit| sum << 8 | usize::from(*digit))
    };
    let (sections, count) = (number(0x28, 8), number(0x3c, 2));
    let headers = (0..count).filter_map(|at| sections.checked_add(at.checked_mul(64)?));
    let table =
        headers.filter_map(|at| Some((number(at.checked_add(4)?, 4), at))).find(|(kind, _)| *kind == 2);
    let (_, header) = table.expect("a symbol table");
    let start = number(header.checked_add(24).unwrap(), 8);
    let entries = bytes[start..].chunks_mut(SYMBOL).take(elf.symbols.len());
    entries.for_each(change);
    Object::from_bytes("calls", &bytes).unwrap()
}

/// Binding and type, as they share a byte.
fn is_function(symbol: &[u8]) -> bool {
    symbol[4] & 15 == FUNC
}

fn is_static(symbol: &[u8]) -> bool {
    symbol[4] >> 4 == 0
}

fn names(spec: &ObjectSpec) -> (Vec<&str>, Vec<&str>) {
    let programs = spec.programs.iter().map(|program| program.name.as_str()).collect();
    let functions = spec.functions.iter().map(|function| function.name.as_str()).collect();
    (programs, functions)
}

/// Both branches of `xdp_calls`, through all the static functions.
fn run(object: Object) {
    let loaded = Loader::new().load(object).unwrap();
    let program = loaded.program("xdp_calls").unwrap();
    let verdict = |first| program.test_run(&Linux, &Input::packet(&[first; 64])).unwrap().retval;
    assert_eq!((verdict(99), verdict(100)), (2, 1));
}

#[test]
fn functions_without_a_type() {
    let Some(_sandbox) = kernel_or_skip("functions_without_a_type") else {
        return;
    };
    for name in ["calls.o", "calls-clang14.o"] {
        let whole = calls(name, |_| {});
        let stripped = calls(name, |symbol| {
            if is_function(symbol) {
                symbol[4] = symbol[4] & 0xf0 | NOTYPE;
            }
        });
        assert_eq!(names(stripped.spec()), names(whole.spec()), "{name}");
        run(stripped);
    }
}

#[test]
fn static_functions_without_a_symbol() {
    let Some(_sandbox) = kernel_or_skip("static_functions_without_a_symbol") else {
        return;
    };
    for name in ["calls.o", "calls-clang14.o"] {
        let stripped = calls(name, |symbol| {
            if is_function(symbol) && is_static(symbol) {
                symbol[4] = NOTYPE;
                symbol[6..8].copy_from_slice(&ABSOLUTE);
            }
        });
        let (programs, functions) = names(stripped.spec());
        assert_eq!(programs, ["xdp_other", "xdp_calls"], "{name}");
        let unnamed: Vec<&str> =
            functions.into_iter().filter(|name| [".text", "xdp"].contains(name)).collect();
        assert_eq!(unnamed, [".text", "xdp"], "{name}");
        run(stripped);
    }
}

#[test]
fn functions_in_sections_of_their_own_are_no_programs() {
    let whole = calls("calls.o", |_| {});
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/calls-sections.o");
    let apart = Object::open(path).unwrap();
    assert_eq!(names(apart.spec()).0, names(whole.spec()).0);
    let Some(_sandbox) = kernel_or_skip("functions_in_sections_of_their_own_are_no_programs") else {
        return;
    };
    run(apart);
}
