//! Files that are joined: what their sources promise is run, what does not fit together is named.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use common::{all, bytes_of, plan, spec_of};
use rxdp_loader::btf::{Btf, Kind, Linkage, SecVar, StrOff, Type};
use rxdp_loader::elf;
use rxdp_loader::externs::{self, Facts};
use rxdp_loader::features::Machine;
use rxdp_loader::join::{self, JoinError};
use rxdp_loader::link;
use rxdp_loader::load::Input;
use rxdp_loader::spec::{Dialects, MapSpec, ObjectSpec, RelocTarget};
use rxdp_loader::sys::Linux;
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::kernel_or_skip;

/// Source: `enum xdp_action`.
const DROP: u32 = 1;

fn joined(names: &[&str]) -> Result<ObjectSpec, JoinError> {
    let bytes: Vec<Vec<u8>> = names.iter().map(|name| bytes_of(name)).collect();
    let files: Vec<(&str, &[u8])> = names.iter().copied().zip(bytes.iter().map(Vec::as_slice)).collect();
    rxdp_loader::read_joined("whole", &files, Dialects::default())
}

fn whole() -> ObjectSpec {
    joined(&["join/main.o", "join/lib.o"]).unwrap()
}

/// Where a variable stands in its section, in **bytes**.
fn offset_of(btf: &Btf, name: &str) -> usize {
    let sections = btf
        .types
        .iter()
        .filter_map(|ty| if let Kind::Datasec { vars, .. } = &ty.kind { Some(vars) } else { None });
    let var = sections.flatten().find(|var| btf.name(var.var) == name).unwrap();
    usize::try_from(var.offset).unwrap()
}

/// Runs the program of two files once. Returns its `results`, and `counts[0]`.
fn run(spec: ObjectSpec, results_at: usize) -> (Vec<u64>, u64) {
    let loaded = Loader::new().load(Object::from(spec)).unwrap_or_else(|error| panic!("{error}"));
    let program = loaded.program("xdp_join").unwrap();
    assert_eq!(program.test_run(&Linux, &Input::packet(&[0; 64])).unwrap().retval, DROP);
    let read = |map: &str| {
        let value = loaded.map(map).unwrap().entries(&Linux).unwrap().lookup(&[0; 4]).unwrap().unwrap();
        let words = value.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
        words.collect::<Vec<u64>>()
    };
    assert_eq!(results_at % 8, 0);
    let results = read("whole.bss").into_iter().skip(results_at / 8).take(10).collect();
    (results, read("counts")[0])
}

#[test]
fn two_files_run_as_one_program() {
    let Some(_kernel) = kernel_or_skip("two_files_run_as_one_program") else {
        return;
    };
    for (names, first) in [(["join/main.o", "join/lib.o"], 1), (["join/lib.o", "join/main.o"], 2)] {
        let spec = joined(&names).unwrap();
        let btf = spec.btf.clone().unwrap();
        let (results, count) = run(spec, offset_of(&btf, "results"));
        assert_eq!(results[..8], [42, 7, 10, 30, 2, 102, first, 1], "{names:?}");
        assert_eq!(count, 2, "{names:?}: both files mean the same map");
        assert!(results[8] > 0, "{names:?}: the kernel has a version");
        let own_type = btf.types.get(usize::try_from(results[9]).unwrap()).unwrap();
        assert_eq!(
            btf.string(own_type.name),
            "only_here",
            "{names:?}: numbers of types in code are the new ones"
        );
    }
}

#[test]
fn files_without_types_are_joined_by_their_symbols() {
    let Some(_kernel) = kernel_or_skip("files_without_types_are_joined_by_their_symbols") else {
        return;
    };
    let spec = joined(&["join/main-clang14.o", "join/lib-clang14.o"]).unwrap();
    assert_eq!(spec.btf, None);
    let bytes = bytes_of("join/main-clang14.o");
    let file = elf::parse(&bytes).unwrap();
    let results = file.symbols.iter().find(|symbol| symbol.name == "results").unwrap();
    let (results, count) = run(spec, usize::try_from(results.value).unwrap());
    assert_eq!((results, count), (vec![42, 7, 10, 30, 2, 102, 1, 1, 1, 0], 2));
}

#[test]
fn what_does_not_fit_together_is_named() {
    const CASES: &[(&[&str], &[&str])] = &[
        (&[], &["no files"]),
        (
            &["join/main.o", "join/main.o"],
            &["\"ahead\"", "defined in join/main.o and in join/main.o", "weak"],
        ),
        (
            &["join/main.o", "join/lib-type.o"],
            &["\"limit\"", "in join/lib-type.o and in join/main.o", "8 and 4"],
        ),
        (&["join/lib-map.o", "join/main.o"], &["\"counts\"", "max_entries: 8 and 2"]),
        (
            &["join/main.o", "join/lib-license.o"],
            &["license", "\"GPL\" in join/main.o", "\"MIT\" in join/lib-license.o"],
        ),
        (
            &["join/main.o", "join/lib-clang14.o"],
            &["\"counts\"", "\"maps\" in join/lib-clang14.o", "\".maps\" in join/main.o"],
        ),
        (&["drop_all.o", "drop_all-bigendian.o"], &["drop_all.o and drop_all-bigendian.o", "byte order"]),
    ];
    for (names, words) in CASES {
        let error = joined(names).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{names:?}: {error}");
        assert!(!error.contains('\n'), "{names:?}: more than one line: {error}");
    }
}

#[test]
fn a_file_that_is_damaged_is_named() {
    let main = bytes_of("join/main.o");
    let files: &[(&str, &[u8])] = &[("join/main.o", &main), ("other.o", b"#!/bin/sh\n")];
    let error = rxdp_loader::read_joined("whole", files, Dialects::default()).unwrap_err().to_string();
    assert!(error.starts_with("other.o: not an ELF file"), "{error}");
}

#[test]
fn padding_takes_no_memory_without_end() {
    // `sh_addralign` of the second file's .data.
    let mut lib = bytes_of("join/lib.o");
    let idx = elf::parse(&lib).unwrap().section_named(".data").unwrap().idx;
    let table = usize::try_from(u64::from_le_bytes(lib[0x28..0x30].try_into().unwrap())).unwrap();
    let at = table + 64 * usize::try_from(idx.0).unwrap() + 48;
    assert_eq!(lib[at..at + 8], 8u64.to_le_bytes());
    lib[at..at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let main = bytes_of("join/main.o");
    let files: &[(&str, &[u8])] = &[("main.o", &main), ("lib.o", &lib)];
    let error = rxdp_loader::read_joined("whole", files, Dialects::default()).unwrap_err().to_string();
    assert!(error.contains("\".data\" of lib.o") && error.contains("padding"), "{error}");
}

#[test]
fn a_function_that_is_beaten_is_gone_and_private_ones_stay() {
    let whole = whole();
    let named =
        |name: &str| whole.functions.iter().filter(|function| function.name == name).collect::<Vec<_>>();
    assert_eq!(named("own").len(), 2);
    let [scale] = named("scale")[..] else {
        panic!("one function goes by that name");
    };
    assert!(
        scale.relocs.iter().all(|reloc| !matches!(reloc.target, RelocTarget::Call(_))),
        "the weak one calls"
    );
    assert_eq!(whole.externs.keys().collect::<Vec<_>>(), ["LINUX_KERNEL_VERSION"]);
}

#[test]
fn a_map_of_another_file_is_none_of_this_one() {
    let maps = |spec: &ObjectSpec| {
        let maps = spec.maps.iter().filter(|map| &*map.section == ".maps");
        maps.map(|map| map.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(maps(&spec_of("join/main.o")), ["own_counts"]);
    assert_eq!(maps(&whole()), ["own_counts", "counts"]);
}

/// clang of today puts no variables into `.extern`; a later one does.
#[test]
fn a_section_of_what_is_defined_elsewhere_is_left_out() {
    let (main, lib) = (bytes_of("join/main.o"), bytes_of("join/lib.o"));
    let mut files = join::parse(&[("main.o", &main), ("lib.o", &lib)]).unwrap();
    let btf = files[0].types.btf.as_mut().unwrap();
    let var = btf.find("limit", |kind| matches!(kind, Kind::Var { .. })).unwrap();
    let name = StrOff(u32::try_from(btf.strings.len()).unwrap());
    btf.strings.extend(b".extern\0");
    let vars = vec![SecVar { var, offset: 0, size: 4 }];
    btf.types.push(Type { name, kind: Kind::Datasec { size: 0, vars } });
    let whole = join::join(&files).unwrap();
    let sections = |btf: &Btf| btf.types.iter().filter(|ty| btf.is_named(ty.name, ".extern")).count();
    assert_eq!(sections(files[0].types.btf.as_ref().unwrap()), 1);
    assert_eq!(sections(whole.types.btf.as_ref().unwrap()), 0);
}

#[test]
fn types_of_all_files_are_one_graph() {
    let whole = whole();
    let btf = whole.btf.as_ref().unwrap();
    let of = |name: &str| spec_of(name).btf.unwrap().types.len();
    assert!(btf.types.len() + 10 < of("join/main.o") + of("join/lib.o"), "{} types", btf.types.len());
    let names = |is: fn(&Kind) -> bool| {
        let mut names: Vec<_> =
            btf.types.iter().filter(|ty| is(&ty.kind)).map(|ty| btf.string(ty.name)).collect();
        names.sort();
        names
    };
    let is_extern = |kind: &Kind| {
        matches!(
            kind,
            Kind::Var { linkage: Linkage::EXTERN, .. } | Kind::Func { linkage: Linkage::EXTERN, .. }
        )
    };
    assert_eq!(names(is_extern), Vec::<&str>::new());
    let sections = names(|kind| matches!(kind, Kind::Datasec { .. }));
    assert_eq!(sections, [".bss", ".data", ".kconfig", ".maps", ".rodata", "license"]);
    let globals = names(|kind| matches!(kind, Kind::Var { linkage: Linkage::GLOBAL, .. }));
    let mut once = globals.clone();
    once.dedup();
    assert_eq!(globals, once);
    for ty in &btf.types {
        if let Kind::Datasec { vars, .. } = &ty.kind {
            let apart = vars.windows(2).all(|pair| pair[0].offset + pair[0].size <= pair[1].offset);
            assert!(apart, "{}: {vars:?}", btf.string(ty.name));
        }
    }
    let license = btf.find("license", |kind| matches!(kind, Kind::Datasec { .. })).unwrap();
    assert!(
        matches!(btf.kind(license), Some(Kind::Datasec { vars, .. }) if vars.len() == 1),
        "they say the same"
    );
    let add = btf.find("add", |kind| matches!(kind, Kind::Func { .. })).unwrap();
    assert!(matches!(btf.kind(add), Some(Kind::Func { linkage: Linkage::STATIC, .. })), "main.c hides it");
    // The kernel takes all of a program's functions and lines, or none.
    let mut whole = whole.clone();
    externs::resolve(&mut whole, &Machine::NEWEST, &Facts::default()).unwrap();
    let linked = link::link(whole);
    let program = linked.programs[0].as_ref().unwrap();
    assert_eq!(program.func_info.len(), program.layout.len());
    assert!(program.line_info.len() > 20);
}

/// What is noted of the joining is what was done: parts make up the sections, and names stand where they are said to.
#[test]
fn parts_and_names_are_noted() {
    let names = ["join/main.o", "join/lib.o"];
    let bytes = names.map(bytes_of);
    let files: Vec<(&str, &[u8])> = names.iter().copied().zip(bytes.iter().map(Vec::as_slice)).collect();
    let files = join::parse(&files).unwrap();
    let joined = join::join(&files).unwrap();
    let mut covered = vec![0; joined.elf.sections.len()];
    for ((file, own), part) in &joined.parts {
        let own = files[*file].elf.section(*own).unwrap();
        let whole = joined.elf.section(part.section).unwrap();
        assert_eq!(own.name, whole.name);
        let start = usize::try_from(part.start).unwrap();
        if whole.content == elf::Content::Bytes {
            assert_eq!(whole.data[start..start + own.data.len()], *own.data, "{}", own.name);
        }
        if !part.repeated {
            covered[usize::try_from(part.section.0).unwrap()] += own.size;
        }
    }
    for (section, covered) in joined.elf.sections.iter().zip(covered).skip(1) {
        assert!(covered <= section.size && section.size - covered < 16, "{}", section.name);
    }
    let repeated = joined.parts.values().filter(|part| part.repeated).count();
    assert_eq!(repeated, 1, "they have one licence");
    let chosen = |name: &str| {
        let global = &joined.names[name];
        let mention = global.chosen().unwrap();
        (
            names[mention.file],
            mention.defined,
            global.mentions.iter().filter(|mention| mention.defined).count(),
        )
    };
    assert_eq!(chosen("add"), ("join/lib.o", true, 1));
    assert_eq!(chosen("scale"), ("join/lib.o", true, 2), "the strong one counts");
    assert_eq!(chosen("first"), ("join/main.o", true, 2), "of weak ones the first counts");
    assert!(!chosen("LINUX_KERNEL_VERSION").1, "nobody defines it");
    for (name, global) in &joined.names {
        let symbol = joined.elf.symbols.iter().find(|symbol| symbol.name == *name).unwrap();
        let mention = global.chosen().unwrap();
        let own = files[mention.file].elf.symbol(mention.symbol).unwrap();
        assert_eq!(own.place == elf::Place::Undefined, symbol.place == elf::Place::Undefined, "{name}");
        if let (elf::Place::Section(own_section), elf::Place::Section(_)) = (own.place, symbol.place) {
            let start = joined.parts[&(mention.file, own_section)].start;
            assert_eq!(symbol.value, own.value + start, "{name}");
        }
    }
}

/// Maps without what joining may number anew.
fn shapes(spec: &ObjectSpec) -> Vec<MapSpec> {
    let shape = |map: &MapSpec| {
        let mut map = map.clone();
        (map.key_type, map.value_type) = Default::default();
        if let Some(rxdp_loader::spec::Inner::Template(inner)) = &mut map.inner {
            (inner.key_type, inner.value_type) = Default::default();
        }
        map
    };
    spec.maps.iter().map(shape).collect()
}

#[test]
fn a_file_that_is_joined_with_none_stays_what_it_is() {
    for name in all() {
        let alone = spec_of(&name);
        let bytes = bytes_of(&name);
        let joined = rxdp_loader::read_joined(&alone.name, &[(&name, &bytes)], Dialects::default()).unwrap();
        assert_eq!(shapes(&joined), shapes(&alone), "{name}");
        assert_eq!(joined.programs, alone.programs, "{name}");
        let (joined, alone) = (link::link(joined), link::link(alone));
        for (joined, alone) in joined.programs.iter().zip(&alone.programs) {
            match (joined, alone) {
                (Ok(joined), Ok(alone)) => {
                    assert_eq!((&joined.insns, &joined.map_refs), (&alone.insns, &alone.map_refs), "{name}");
                    assert_eq!(joined.func_info.len(), alone.func_info.len(), "{name}");
                    assert_eq!(joined.line_info.len(), alone.line_info.len(), "{name}");
                }
                (joined, alone) => assert_eq!(joined.is_ok(), alone.is_ok(), "{name}"),
            }
        }
        assert_eq!(plan(&joined).is_ok(), plan(&alone).is_ok(), "{name}");
    }
}
