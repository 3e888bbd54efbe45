//! CO-RE above the kernel line: what other types answer to an object's questions, and what becomes of its code.
//!
//! `core_kinds.c` asks, `core_target.c` has the types otherwise; what no C compiler writes is made in the test.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use common::types::{Types, answers, linked_for, types_of};
use common::{check, render, spec_of};
use rxdp_loader::btf::{Kind, TargetBtf, Wanted};
use rxdp_loader::core_relo::{self, Answer, CoreError, Fixup, KernelTypes, POISON, Resolver};
use rxdp_loader::insn::{Insn, InsnIdx};
use rxdp_loader::link::LinkedObject;
use rxdp_loader::patch::Reason;
use rxdp_loader::spec::ObjectSpec;
use rxdp_loader::target;

/// What a function asks, and what the types of another object answer, a line a record.
fn asked(object: &str, types: &str, function: &str) -> Vec<String> {
    let spec = spec_of(object);
    let answers = answers(&spec, &types_of(types));
    let at = spec.functions.iter().position(|one| one.name == function).unwrap();
    let records = spec.functions[at].core_relos.iter().zip(&answers.fixups[at]);
    let question = |record| core_relo::question(spec.btf.as_ref().unwrap(), record);
    records
        .map(|((_, record), fixup)| format!("{}: {}", question(record), fixup.as_ref().unwrap().answer))
        .collect()
}

#[test]
fn fields_are_found_by_name_wherever_they_are() {
    let expected = [
        "existence of struct widget: 1 -> 1",
        "offset of struct widget.number: 0 -> 104",
        "offset of struct widget.name[3]: 27 -> 67",
        "offset of struct widget.table[2].high: 50 -> 88",
        // Members of anonymous members, nested otherwise in the kernel.
        "offset of struct widget.in_union: 56 -> 44",
        "offset of struct widget.deeper: 58 -> 44",
        "offset of struct widget[1].shrinks: 88 -> 152, 8 bytes -> 4 bytes",
        // Beyond the end of an array without one.
        "offset of struct widget.open[5]: 85 -> 113",
        "size of struct widget.grows: 4 -> 8",
        "size of struct widget.name: 16 -> 8",
        "existence of struct widget.gone: 1 -> 0",
        "existence of struct widget.next: 1 -> 1",
        "signedness of struct widget.signed_one: 1 -> 0",
        "signedness of struct widget.number: 0 -> 0",
        // What stands behind three underscores plays no part.
        "offset of struct widget___other.only_there: 0 -> 0",
        "existence of struct widget___other.nowhere: 1 -> 0",
        "offset of named_by_typedef.tail: 4 -> 8",
    ];
    assert_eq!(asked("core_kinds.o", "core_target.o", "fields"), expected);
    let other = asked("core_kinds-bigendian.o", "core_target-bigendian.o", "fields");
    assert_eq!(other, expected, "the byte order changes none of them");
}

#[test]
fn bitfields_are_loaded_and_shifted() {
    let both = |left: [&str; 2]| {
        [
            "existence of struct widget: 1 -> 1",
            // 9 bits from bit 128 on, where the object has 7 bits from bit 579 on.
            "offset of struct widget.flag_b: 72 -> 16",
            "size of struct widget.flag_b: 4 -> 4",
            "signedness of struct widget.flag_b: 1 -> 1",
            left[0],
            "right shift of struct widget.flag_b: 57 -> 55",
            left[1],
            "right shift of struct widget.flag_a: 61 -> 62",
            "right shift of struct widget.number: 32 -> 32",
        ]
        .map(str::to_string)
    };
    let little = both([
        "left shift of struct widget.flag_b: 54 -> 55",
        "left shift of struct widget.flag_a: 61 -> 53",
    ]);
    assert_eq!(asked("core_kinds.o", "core_target.o", "bitfields"), little);
    // There the first bit of a byte is its highest.
    let big = both([
        "left shift of struct widget.flag_b: 35 -> 32",
        "left shift of struct widget.flag_a: 56 -> 41",
    ]);
    assert_eq!(asked("core_kinds-bigendian.o", "core_target-bigendian.o", "bitfields"), big);
}

#[test]
fn types_and_values_are_asked_about_as_a_whole() {
    let target = rxdp_loader::btf::Btf::parse(&types_of("core_target.o"), spec_of("core_target.o").endian);
    let inner = target.unwrap().find("inner", Kind::is_struct).unwrap().0;
    let own = spec_of("core_kinds.o").btf.unwrap();
    let (own_inner, local) =
        (own.find("inner", Kind::is_struct).unwrap().0, own.find("local_only", Kind::is_struct));
    let (missing, local) = (own.find("missing", Kind::is_struct).unwrap().0, local.unwrap().0);
    let mut expected = vec![
        "existence of struct widget: 1 -> 1".to_string(),
        "existence of struct missing: 1 -> 0".to_string(),
        "size of struct widget: 80 -> 112".to_string(),
        "size of struct missing: 4 -> 0".to_string(),
        "size of named_by_typedef: 8 -> 16".to_string(),
        "size of number_type: 4 -> 8".to_string(),
        "match of struct inner: 1 -> 1".to_string(),
        "match of struct widget: 1 -> 0".to_string(),
        format!("local type id of struct local_only: {local} -> {local}"),
        format!("kernel's type id of struct inner: {own_inner} -> {inner}"),
        format!("kernel's type id of struct missing: {missing} -> 0"),
        "existence of enum color::GREEN: 1 -> 1".to_string(),
        "existence of enum color::BLUE: 1 -> 0".to_string(),
        "existence of enum missing_enum::MISSING_VALUE: 1 -> 0".to_string(),
        "value of enum color::GREEN: 2 -> 20".to_string(),
        format!("value of enum wide::LARGE: {} -> {}", 0x1_2345_6789_u64, 0x9_8765_4321_u64),
    ];
    let mut found = asked("core_kinds.o", "core_target.o", "whole");
    // The compiler moves some of them up; the order is none of the loader's.
    expected.sort();
    found.sort();
    found.dedup();
    assert_eq!(found, expected);
}

/// The code of a program, as slots that carry a question: what was there, what is there, and why.
#[expect(clippy::wildcard_enum_match_arm, reason = "patches with other reasons are not about types")]
fn changes(object: &LinkedObject, name: &str) -> Vec<(Insn, Insn, String)> {
    let at = object.spec.programs.iter().position(|program| program.name == name).unwrap();
    let program = object.programs[at].as_ref().unwrap();
    let by_types = program.patches.iter().filter_map(|patch| match &patch.reason {
        Reason::CoreRelo { record, .. } => {
            Some((patch.before, patch.after, core_relo::question(object.spec.btf.as_ref().unwrap(), record)))
        }
        Reason::Poison { need, .. } => Some((patch.before, patch.after, need.to_string())),
        _ => None,
    });
    by_types.collect()
}

#[test]
fn each_class_of_instruction_carries_the_answer_in_its_own_place() {
    let object = linked_for("core_kinds.o", &types_of("core_target.o"));
    let changes = changes(&object, "accesses");
    let of = |question: &str, code: u8| {
        let is_it = |(before, _, of): &&(Insn, Insn, String)| of == question && before.code == code;
        let found = changes.iter().find(is_it);
        let (before, after, _) = found.unwrap_or_else(|| panic!("{question} at {code:#x}: {changes:?}"));
        assert_eq!((before.dst, before.src), (after.dst, after.src), "registers stay");
        (before.off, before.imm, after.code, after.off, after.imm)
    };
    // mov, of a number: `if (!TYPE_EXISTS(...))`.
    assert_eq!(of("existence of struct widget", 0xb7), (0, 1, 0xb7, 0, 1));
    // *(u32 *) = 7, a number stored (BPF_ST): the offset changes, the number does not.
    assert_eq!(of("offset of struct widget.number", 0x62), (0, 7, 0x62, 104, 7));
    // *(u32 *) loaded as *(u64 *), *(u64 *) stored as *(u32 *).
    assert_eq!(of("offset of struct widget.grows", 0x61), (4, 0, 0x79, 24, 0));
    assert_eq!(of("offset of struct widget.shrinks", 0x7b), (8, 0, 0x63, 40, 0));
    assert_eq!(of("offset of struct widget.table[2].high", 0x69), (50, 0, 0x69, 88, 0));
    assert_eq!(of("offset of struct widget.table[3].low", 0x6b), (52, 0, 0x6b, 92, 0));
    assert_eq!(of("offset of struct widget.deep", 0x6a), (56, 9, 0x6a, 44, 9));
}

#[test]
fn what_cannot_be_read_is_poisoned_with_its_reason() {
    let object = linked_for("core_kinds.o", &types_of("core_target.o"));
    let program = object.programs[3].as_ref().unwrap();
    let poisoned: Vec<_> = program
        .patches
        .iter()
        .filter(|patch| matches!(patch.reason, Reason::Poison { .. }))
        .map(|patch| (patch.after, patch.reason.words(None)))
        .collect();
    let call = Insn { code: 0x85, dst: 0, src: 0, off: 0, imm: POISON };
    let why = "offset of struct widget.level: it has 8 bytes in the kernel, and what the compiler wrote for 4 is wrong \
               for them: must not be reached";
    assert_eq!(poisoned, [(call, why.to_string())]);
}

/// Both halves of a 64-bit load carry the answer, and both are poisoned where there is none.
#[test]
fn wide_loads_change_in_both_halves() {
    let load = |object: &LinkedObject, question: &str| {
        let changes = changes(object, "whole");
        changes.into_iter().filter(|(_, _, of)| of == question).map(|(_, after, _)| after).collect::<Vec<_>>()
    };
    let object = linked_for("core_kinds.o", &types_of("core_target.o"));
    let [first, second] = load(&object, "value of enum wide::LARGE")[..] else { panic!() };
    assert_eq!(
        (first.code, first.imm, second.code, second.imm),
        (0x18, i32::from_ne_bytes(0x8765_4321_u32.to_ne_bytes()), 0, 9)
    );
    let nothing = linked_for("core_kinds.o", &Types::new().bytes());
    let both = load(&nothing, "value of enum wide::LARGE");
    assert_eq!(both.iter().map(|insn| (insn.code, insn.imm)).collect::<Vec<_>>(), [(0x85, POISON); 2]);
}

#[test]
fn links() {
    let target = types_of("core_target.o");
    check("core_kinds.link", &render::link(&linked_for("core_kinds.o", &target)));
    check("core_kinds-nothing.link", &render::link(&linked_for("core_kinds.o", &Types::new().bytes())));
    let big = linked_for("core_kinds-bigendian.o", &types_of("core_target-bigendian.o"));
    check("core_kinds-bigendian.link", &render::link(&big));
}

/// Types of either byte order can be given to an object of either.
#[test]
fn the_byte_order_of_the_types_is_their_own() {
    let insns = |types: &str| {
        let object = linked_for("core_kinds.o", &types_of(types));
        object.programs.into_iter().take(1).map(|program| program.unwrap().insns).collect::<Vec<_>>()
    };
    assert_eq!(insns("core_target-bigendian.o"), insns("core_target.o"));
}

/// The answer to the first question of `fields` about a member: `offset of struct widget.number`.
fn number(spec: &ObjectSpec, kernel: &KernelTypes<'_>) -> Result<Fixup, CoreError> {
    let (_, record) = spec.functions[0].core_relos[1];
    Resolver::new(spec.btf.as_ref().unwrap(), kernel, spec.endian).resolve(&record)
}

/// Kernel types with a `struct widget` of each of these flavours, whose `number` starts at this byte.
fn widgets(flavours: &[(&str, u32)]) -> Types {
    let mut types = Types::new();
    let int = types.int("unsigned int", 4, false);
    for (flavour, byte) in flavours {
        types.structure(&format!("widget{flavour}"), byte + 4, &[("number", int, *byte)]);
    }
    types
}

fn asking_widgets(spec: &ObjectSpec, types: &Types) -> Result<Fixup, CoreError> {
    let bytes = types.bytes();
    let vmlinux = TargetBtf::scan(&bytes, None, &target::needs_of_code(spec)).unwrap();
    number(spec, &KernelTypes { vmlinux: Some(&vmlinux), modules: Vec::new() })
}

#[test]
fn types_that_disagree_are_ambiguous_and_both_are_named() {
    let spec = spec_of("core_kinds.o");
    let same = asking_widgets(&spec, &widgets(&[("", 8), ("___other", 8)])).unwrap();
    assert_eq!(same.answer.to_string(), "0 -> 8", "it makes no difference which is meant");
    let error = asking_widgets(&spec, &widgets(&[("", 8), ("___other", 12)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "CO-RE relocation: offset of struct widget.number: several types of the kernel may be meant, and they \
         disagree: struct widget of vmlinux (type 2) says 8 (byte 8), struct widget___other of vmlinux (type 3) says \
         12 (byte 12)"
    );
}

#[test]
fn candidates_without_an_answer_are_named_with_what_differs() {
    let spec = spec_of("core_kinds.o");
    let mut types = Types::new();
    let int = types.int("unsigned int", 4, false);
    let pointer = types.add("", Kind::Ptr(int));
    types.structure("widget", 4, &[("numbers", int, 0)]);
    types.structure("widget___2", 8, &[("number", pointer, 0)]);
    let array = types.array(int, 3);
    types.structure("widget___3", 12, &[("number", array, 0)]);
    types.structure("widget___4", 4, &[]);
    types.structure("widget___5", 4, &[]);
    let why = |types: &Types| match asking_widgets(&spec, types).unwrap().answer {
        Answer::Poison { why } => why.to_string(),
        other => panic!("{other}"),
    };
    assert_eq!(
        why(&types),
        "in struct widget of vmlinux (type 3), struct widget has no member number; \
         in struct widget___2 of vmlinux (type 4), member number is unsigned int * there, u32 in the object; \
         in struct widget___3 of vmlinux (type 6), member number is unsigned int[3] there, u32 in the object; \
         and so on for 2 more types"
    );
    assert_eq!(why(&Types::new()), "the kernel has no struct widget");
    // Of another kind it is no candidate.
    let mut union = Types::new();
    union.add("widget", Kind::Fwd { union: false });
    assert_eq!(why(&union), "the kernel has no struct widget");
}

/// A module's types go on where the kernel's end: numbers of types and positions of strings count on.
#[test]
fn modules_are_asked_where_the_kernel_has_no_answer() {
    let spec = spec_of("core_kinds.o");
    let mut wanted = target::needs_of_code(&spec);
    wanted.merge(Wanted::default());
    let mut kernel = Types::new();
    let int = kernel.int("unsigned int", 4, false);
    let base_bytes = kernel.bytes();
    let base = TargetBtf::scan(&base_bytes, None, &wanted).unwrap();

    // Written as if it followed the kernel's, then cut off from it.
    let mut whole = kernel.clone();
    whole.structure("widget", 24, &[("number", int, 20)]);
    let mut module = whole.clone();
    module.0.types.drain(1..kernel.0.types.len());
    module.0.strings.drain(..kernel.0.strings.len());
    let module_bytes = module.bytes();
    let module = TargetBtf::scan(&module_bytes, Some(&base), &wanted).unwrap();
    assert_eq!((base.end().0, module.end().0), (2, 3));

    let types =
        KernelTypes { vmlinux: Some(&base), modules: vec![("some_module".to_string(), module.clone())] };
    assert_eq!(number(&spec, &types).unwrap().answer.to_string(), "0 -> 20");
    // The kernel's own type is enough.
    let own_bytes = widgets(&[("", 8)]).bytes();
    let own = TargetBtf::scan(&own_bytes, None, &wanted).unwrap();
    let types = KernelTypes { vmlinux: Some(&own), modules: vec![("some_module".to_string(), module)] };
    assert_eq!(number(&spec, &types).unwrap().answer.to_string(), "0 -> 8");
}

#[test]
fn nobody_asked_and_nothing_there_are_different_errors() {
    let spec = spec_of("core_kinds.o");
    let none = number(&spec, &KernelTypes::default()).unwrap_err().to_string();
    assert!(
        none.contains("the kernel shows no types (needs Linux 5.4 with CONFIG_DEBUG_INFO_BTF)"),
        "{none}"
    );
    let not_asked = rxdp_loader::link::link(spec);
    let error = not_asked.programs[0].as_ref().unwrap_err();
    assert_eq!(error.place.at, InsnIdx(1));
    assert!(error.to_string().contains("they were not looked at"), "{error}");
}
