//! Laws that hold for every object, the committed ones and damaged ones made from them.
//!
//! Damage is made from fixed seeds, so that what fails once fails again.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::thread;

use common::bounds::bounded;
use common::damage::{Random, damaged};
use common::{all, bytes_of, link_here, old_kernel, plan, read, spec_of};
use peak_alloc::PeakAlloc;
use rxdp_loader::btf::{Btf, Kind, StrOff, Type, TypeChange, TypeId, TypeReason, undo_types};
use rxdp_loader::bytes::Endian;
use rxdp_loader::elf;
use rxdp_loader::features::FEATURES;
use rxdp_loader::insn::Insn;
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::plan::{self, LoadPlan, SentTypes, Step};
use rxdp_loader::spec::{Dialects, ObjectSpec, ProgId};
use rxdp_loader::tail_calls;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn reading_and_planning_twice_gives_the_same() {
    for name in all() {
        let (first, second) = (spec_of(&name), spec_of(&name));
        assert_eq!(first, second, "{name}");
        let (first, second) = (link::link(first), link::link(second));
        assert_eq!(first, second, "{name}");
        match (plan(&first), plan(&second)) {
            (Ok(first), Ok(second)) => {
                assert_eq!((first.steps, first.refused), (second.steps, second.refused), "{name}");
            }
            (first, second) => assert_eq!(first.err(), second.err(), "{name}"),
        }
    }
}

#[test]
fn undoing_the_patches_gives_the_compilers_instructions() {
    let patched: usize = all().iter().map(|name| undo_patches(name, &bytes_of(name))).sum();
    assert!(patched > 50, "the law was tried on {patched} patches only");
}

/// The same for a folder of other people's objects, such as the kernel's selftests: `RXDP_CORPUS=DIR`.
#[test]
fn undoing_the_patches_works_for_a_corpus() {
    let Some(folder) = std::env::var_os("RXDP_CORPUS") else {
        writeln!(std::io::stderr(), "SKIPPED undoing_the_patches_works_for_a_corpus: no RXDP_CORPUS")
            .unwrap();
        return;
    };
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (mut objects, mut patched, mut refused) = (0, 0, Vec::new());
    for path in files {
        let (name, bytes) = (path.display().to_string(), std::fs::read(&path).unwrap());
        match read(&name, &bytes) {
            Ok(_) => {
                patched += undo_patches(&name, &bytes);
                undo_type_changes(&name, &bytes);
            }
            Err(error) => refused.push(format!("{name}: {error}")),
        }
        objects += 1;
    }
    writeln!(std::io::stderr(), "{patched} patches of {objects} objects undone; refused: {refused:?}")
        .unwrap();
    assert!(patched > 0 && refused.len() * 100 < objects, "{refused:?}");
}

/// Links an object, takes every patch back, compares with the file's bytes. Returns how many patches there were.
fn undo_patches(name: &str, bytes: &[u8]) -> usize {
    let file = elf::parse(bytes).unwrap();
    let object = link_here(read(name, bytes).unwrap());
    let mut patched = 0;
    for program in object.programs.iter().flatten() {
        let mut compiled = Vec::new();
        for span in &program.layout {
            assert_eq!(compiled.len(), span.start.index(), "{name}: functions stand one after another");
            compiled.extend(code_in_file(&file, &object, span.func));
        }
        assert_eq!(program.as_compiled().unwrap(), compiled, "{name}");
        patched += program.patches.len();
    }
    patched
}

/// A function's code, straight from the bytes of its section.
fn code_in_file(
    file: &elf::ElfObject<'_>,
    object: &LinkedObject,
    func: rxdp_loader::spec::FuncId,
) -> Vec<Insn> {
    let function = object.spec.function(func).unwrap();
    let section = file.section_named(&function.section).unwrap();
    let here = |symbol: &&elf::Symbol<'_>| {
        symbol.name == function.name && symbol.value == u64::from(function.offset.0)
    };
    let symbol = file.symbols_in(section).find(here).unwrap();
    let start = usize::try_from(symbol.value).unwrap();
    let end = start + usize::try_from(symbol.size).unwrap();
    let decode = if file.endian == Endian::Big { Insn::from_be } else { Insn::from_le };
    section.data[start..end].chunks(8).map(|slot| decode(slot.try_into().unwrap())).collect()
}

#[test]
fn undoing_the_changes_gives_the_compilers_types() {
    let seen: BTreeSet<TypeReason> =
        all().iter().flat_map(|name| undo_type_changes(name, &bytes_of(name))).collect();
    let reasons = [
        TypeReason::Section,
        TypeReason::Hidden,
        TypeReason::Kconfig,
        TypeReason::Ksyms,
        TypeReason::Context,
        TypeReason::Lacking,
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), reasons, "the law was tried on every reason");
}

/// Takes every change of an object's types back, for kernels old and new. Returns the reasons.
fn undo_type_changes(name: &str, bytes: &[u8]) -> BTreeSet<TypeReason> {
    let file = elf::parse(bytes).unwrap();
    let object = link_here(read(name, bytes).unwrap());
    let (Some(section), Some(completed)) = (file.section_named(".BTF"), &object.spec.btf) else {
        return BTreeSet::new();
    };
    let compiled = Btf::parse(&section.data, file.endian).unwrap();
    assert_eq!(undone(completed, &object.spec.type_changes), compiled.types, "{name}");
    assert!(completed.strings.starts_with(&compiled.strings), "{name}: positions of names stay");
    let mut seen: BTreeSet<TypeReason> =
        object.spec.type_changes.iter().map(|change| change.reason).collect();
    for version in versions() {
        if let Ok(plan) = plan::plan(&object, &old_kernel::machine(version), &common::xdp_options()) {
            seen.extend(sent_types(name, completed, &plan));
        }
    }
    seen
}

/// Versions between which types are sent in another way.
fn versions() -> impl Iterator<Item = (u8, u8)> {
    let since = FEATURES.iter().map(|row| row.since).filter(|since| *since >= (4, 18));
    since.collect::<BTreeSet<_>>().into_iter()
}

fn undone(btf: &Btf, changes: &[TypeChange]) -> Vec<Type> {
    undo_types(btf, changes).expect("changes that describe the types").types
}

/// What the kernel gets is the object's types, but for what the plan says of them. Returns the reasons.
fn sent_types(name: &str, completed: &Btf, plan: &LoadPlan<'_>) -> Vec<TypeReason> {
    let [Step::LoadBtf(data), ..] = plan.steps.as_slice() else {
        return Vec::new();
    };
    let SentTypes { needed, changes } = plan.types.as_ref().expect("what became of them");
    let mut sent = Btf::parse(data, Endian::NATIVE).unwrap();
    let nothing = Kind::Ptr(TypeId(0));
    for (id, ty) in (0u32..).map(TypeId).zip(&mut sent.types).skip(1) {
        if !needed.contains(id) {
            assert_eq!(*ty, Type { name: StrOff(0), kind: nothing.clone() }, "{name}: type {id:?}");
            *ty = completed.get(id).unwrap().clone();
        }
    }
    for change in changes {
        assert_ne!(sent.get(change.id), change.before.as_ref(), "{name}: {change:?} is none");
        assert!(needed.contains(change.id), "{name}: {change:?}");
    }
    assert_eq!(undone(&sent, changes), completed.types, "{name}");
    changes.iter().map(|change| change.reason).collect()
}

#[test]
fn types_read_back_as_they_were_written() {
    let mut tried = 0;
    for name in all() {
        let bytes = bytes_of(&name);
        let file = elf::parse(&bytes).unwrap();
        let Some(section) = file.section_named(".BTF") else {
            continue;
        };
        let btf = Btf::parse(&section.data, file.endian).unwrap();
        assert_eq!(Btf::parse(&btf.encode(), Endian::NATIVE).as_ref(), Ok(&btf), "{name}");
        if file.endian == Endian::NATIVE {
            assert_eq!(btf.encode(), *section.data, "{name}: clang lays BTF out as the loader does");
        }
        let completed = spec_of(&name).btf.unwrap();
        assert_eq!(Btf::parse(&completed.encode(), Endian::NATIVE), Ok(completed), "{name}, completed");
        tried += 1;
    }
    assert!(tried > 15, "only {tried} objects have types");
}

#[test]
fn the_order_of_variables_does_not_matter() {
    let bytes = bytes_of("data.o");
    let file = elf::parse(&bytes).unwrap();
    let written = &*file.section_named(".BTF").unwrap().data;
    let mut types = Btf::parse(written, file.endian).unwrap();
    for ty in &mut types.types {
        if let Kind::Datasec { vars, .. } = &mut ty.kind {
            vars.reverse();
        }
    }
    let reversed = types.encode();
    assert!(reversed != written && reversed.len() == written.len());
    let start = bytes.windows(written.len()).position(|window| window == written).unwrap();
    let mut object = bytes.clone();
    object[start..start + written.len()].copy_from_slice(&reversed);
    // The kernel wants them by offset; that they are sorted is a change, and told of.
    let understood = ObjectSpec { type_changes: Vec::new(), ..read("data.o", &object).unwrap() };
    assert_eq!(understood, ObjectSpec { type_changes: Vec::new(), ..spec_of("data.o") });
}

#[test]
fn the_order_of_relocations_does_not_matter() {
    let mut tried = 0;
    for name in all() {
        let bytes = bytes_of(&name);
        let expected = spec_of(&name);
        for seed in 1..=8 {
            let mut shuffled = bytes.clone();
            let mut random = Random(seed);
            for table in relocation_tables(&bytes) {
                shuffle(&mut shuffled[table], &mut random);
            }
            tried += usize::from(shuffled != bytes);
            assert_eq!(read(&name, &shuffled).as_ref(), Ok(&expected), "{name}, seed {seed}");
        }
    }
    assert!(tried > 50, "only {tried} objects were shuffled");
}

/// Where the relocation tables (`SHT_REL`, 16 bytes an entry) of a little- or big-endian object lie that are not compressed.
fn relocation_tables(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    const SHT_REL: usize = 9;
    const SHF_COMPRESSED: usize = 0x800;
    let big = bytes[5] == 2;
    let number = |at: usize, len: usize| -> usize {
        let digits = bytes[at..at + len].iter();
        let value = |sum, byte: &u8| sum << 8 | usize::from(*byte);
        if big { digits.fold(0, value) } else { digits.rev().fold(0, value) }
    };
    let (table, count) = (number(0x28, 8), number(0x3c, 2));
    let headers = (0..count).map(|at| table + 64 * at);
    let rel = headers
        .filter(|header| number(header + 4, 4) == SHT_REL && number(header + 8, 8) & SHF_COMPRESSED == 0);
    rel.map(|header| number(header + 0x18, 8)..number(header + 0x18, 8) + number(header + 0x20, 8)).collect()
}

fn shuffle(table: &mut [u8], random: &mut Random) {
    let mut entries: Vec<[u8; 16]> = table.chunks(16).map(|entry| entry.try_into().unwrap()).collect();
    for last in (1..entries.len()).rev() {
        entries.swap(last, random.below(last + 1));
    }
    table.copy_from_slice(&entries.concat());
}

#[test]
fn an_object_cut_anywhere_is_an_error() {
    for name in [
        "tail_kern-clang14.o",
        "data-clang14.o",
        "calls-clang14.o",
        "values.o",
        "data.o",
        "drop_all-bigendian.o",
    ] {
        let bytes = bytes_of(name);
        // The section table stands at the end, so nothing can be missing.
        for len in 0..bytes.len() {
            let whole = read(name, &bytes[..len]);
            assert!(whole.is_err(), "{name} cut to {len} bytes is read as {whole:?}");
        }
    }
}

#[test]
fn damaged_objects_never_panic_and_cost_little() {
    const EACH: u64 = 2000;
    let names = all();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let outcomes: Vec<Outcomes> = thread::scope(|scope| {
        let work = |worker| {
            let mine: Vec<&String> = names.iter().skip(worker).step_by(workers).collect();
            move || mine.into_iter().map(|name| damage(name, EACH)).collect::<Vec<_>>()
        };
        let running: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |count: fn(&Outcomes) -> u64| outcomes.iter().map(count).sum::<u64>();
    let (unread, unplanned, planned) = (sum(|o| o.unread), sum(|o| o.unplanned), sum(|o| o.planned));
    assert_eq!(unread + unplanned + planned, EACH * names.len() as u64);
    // Damage that is always seen at once tries nothing behind the first stage, and the other way round.
    assert!(unread > 1000 && unplanned > 100 && planned > 1000, "{unread}, {unplanned}, {planned}");
}

#[test]
fn damaged_files_are_joined_or_refused() {
    let (main, lib) = (bytes_of("join/main.o"), bytes_of("join/lib.o"));
    let (mut refused, mut joined) = (0, 0);
    for seed in 1..=4000 {
        let (main, lib) = if seed % 2 == 0 {
            (damaged(&main, seed), lib.clone())
        } else {
            (main.clone(), damaged(&lib, seed))
        };
        let files: &[(&str, &[u8])] = &[("main.o", &main), ("lib.o", &lib)];
        let read = || {
            let spec = rxdp_loader::read_joined("whole", files, Dialects::default()).ok()?;
            Some(link::link(spec).programs.into_iter().flatten().collect::<Vec<_>>())
        };
        match bounded(&MEMORY, &format!("seed {seed}"), read) {
            Some(programs) => {
                let told = programs.iter().all(|program| program.as_compiled().is_some());
                assert!(told, "seed {seed}: patches do not describe the code");
                joined += 1;
            }
            None => refused += 1,
        }
    }
    assert!(refused > 400 && joined > 400, "{refused}, {joined}");
}

/// How far damaged objects got.
#[derive(Default)]
struct Outcomes {
    unread: u64,
    unplanned: u64,
    planned: u64,
}

fn damage(name: &str, rounds: u64) -> Outcomes {
    let bytes = bytes_of(name);
    let mut outcomes = Outcomes::default();
    for seed in 1..=rounds {
        let damaged = damaged(&bytes, seed);
        let what = format!("{name}, seed {seed}");
        match bounded(&MEMORY, &what, || through_all_stages(name, &damaged)) {
            Reached::Nothing => outcomes.unread += 1,
            Reached::Link => outcomes.unplanned += 1,
            Reached::Plan => outcomes.planned += 1,
        }
    }
    outcomes
}

enum Reached {
    Nothing,
    Link,
    Plan,
}

fn through_all_stages(name: &str, bytes: &[u8]) -> Reached {
    let Ok(spec) = read(name, bytes) else {
        return Reached::Nothing;
    };
    let object = link::link(spec);
    for program in object.programs.iter().flatten() {
        assert!(program.as_compiled().is_some(), "{name}: patches do not describe the code");
    }
    assert!(tail_calls::sites(&object).iter().all(|site| object.program(site.program).is_some()));
    let programs: Vec<ProgId> = (0..object.programs.len()).map(ProgId::new).collect();
    for entry in &programs {
        let _any = tail_calls::conclude(&object, *entry, &programs, &[], &[]);
    }
    match plan(&object) {
        Ok(_) => Reached::Plan,
        Err(_) => Reached::Link,
    }
}
