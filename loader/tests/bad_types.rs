//! Types that are damaged, or made to hurt: reading them, comparing them and linking with what came out ends soon and
//! takes little memory, whoever wrote them.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use common::bounds::bounded;
use common::fields::with_section;
use common::types::{Types, answers, types_of};
use common::{bytes_of, read, spec_of};
use peak_alloc::PeakAlloc;
use rxdp_loader::btf::{Btf, CoreRelo, Kind, Member, Param, StrOff, TypeId};
use rxdp_loader::bytes::Endian;
use rxdp_loader::core_relo::{Answer, CoreError, Fixup};
use rxdp_loader::insn::{ByteOff, Insn, InsnIdx};
use rxdp_loader::link;
use rxdp_loader::spec::ObjectSpec;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

// Source: `enum bpf_core_relo_kind`.
const FIELD_OFFSET: u32 = 0;
const TYPE_EXISTS: u32 = 8;
const TYPE_MATCHES: u32 = 12;

/// A question: the type, the part of it, and the kind of question.
type Question<'q> = (TypeId, &'q str, u32);

/// An object of one program, whose instructions ask these questions about `types`.
fn asking(types: &Types, questions: &[Question<'_>]) -> ObjectSpec {
    let mut types = types.clone();
    let mut spec = spec_of("drop_all.o");
    let function = &mut spec.functions[0];
    let exit = *function.insns.last().unwrap();
    let mov = Insn { code: 0xb7, ..Insn::default() };
    function.insns = questions.iter().map(|_| mov).chain([exit]).collect();
    function.lines.clear();
    let mut last = ("", StrOff(0));
    for (slot, (ty, access, kind)) in (0u32..).zip(questions) {
        if last.0 != *access {
            last = (access, types.string(access));
        }
        let record = CoreRelo { at: ByteOff(slot * 8), ty: *ty, access: last.1, kind: *kind };
        function.core_relos.push((InsnIdx(slot), record));
    }
    spec.btf = Some(types.0);
    spec
}

/// Asks a kernel that has `target`, and links. Both count.
fn ask(local: &Types, target: &Types, questions: &[Question<'_>]) -> Vec<Result<Fixup, CoreError>> {
    let (spec, bytes) = (asking(local, questions), target.bytes());
    let object = bounded(&MEMORY, "these types", || {
        let answers = answers(&spec, &bytes);
        link::link_with(spec, answers)
    });
    for program in object.programs.iter().flatten() {
        assert!(program.as_compiled().is_some());
    }
    object.answers.fixups.into_iter().next().unwrap()
}

fn is_endless(fixup: &Result<Fixup, CoreError>) -> bool {
    matches!(fixup, Err(CoreError::Endless { .. }))
}

#[test]
fn a_typedef_of_itself_is_no_type() {
    let mut types = Types::new();
    types.int("int", 4, true);
    let looped = types.next();
    types.add("looped", Kind::Typedef(looped));
    let target = types.clone();
    let [exists, matches, offset] = &ask(
        &types,
        &target,
        &[(looped, "0", TYPE_EXISTS), (looped, "0", TYPE_MATCHES), (looped, "0:0", FIELD_OFFSET)],
    )[..] else {
        panic!();
    };
    assert!(is_endless(exists), "{exists:?}");
    assert!(is_endless(matches), "{matches:?}");
    assert!(matches!(offset, Err(CoreError::Record { .. })), "{offset:?}");
}

/// A structure with a member of its own type, and one whose anonymous member is itself.
#[test]
fn a_structure_in_itself_ends() {
    let mut types = Types::new();
    let int = types.int("int", 4, true);
    let inside = types.next();
    types.structure("inside", 8, &[("x", int, 0), ("again", inside, 4)]);
    let nameless = types.next();
    types.structure("nameless", 8, &[("", nameless, 4), ("x", int, 0)]);
    let steps = ["0"; 64].join(":1").replace("0:1", "0:1:").replace("::", ":");
    let deep: String = std::iter::once("0").chain(std::iter::repeat_n("1", 63)).collect::<Vec<_>>().join(":");
    assert_ne!(steps, deep);
    let found = ask(
        &types,
        &types,
        &[
            (inside, "0:0", FIELD_OFFSET),
            (inside, &deep, FIELD_OFFSET),
            (inside, "0", TYPE_MATCHES),
            (nameless, "0:1", FIELD_OFFSET),
            (nameless, "0", TYPE_MATCHES),
        ],
    );
    let Ok(Fixup { answer: Answer::Value { target: 0, .. }, .. }) = &found[0] else {
        panic!("{:?}", found[0]);
    };
    let Ok(Fixup { answer: Answer::Value { target: 252, .. }, .. }) = &found[1] else {
        panic!("{:?}", found[1]);
    };
    assert!(found[2..].iter().all(Result::is_err), "{found:?}");
}

/// Each level has two anonymous members of the level below: 2^60 members to look through.
#[test]
fn anonymous_members_that_double_are_given_up() {
    let mut local = Types::new();
    let int = local.int("int", 4, true);
    let mut target = local.clone();
    let mut level = target.structure("", 4, &[("other", int, 0)]);
    for _ in 0..60 {
        level = target.structure("", 4, &[("", level, 0), ("", level, 0)]);
    }
    target.structure("s", 4, &[("", level, 0)]);
    let s = local.structure("s", 4, &[("x", int, 0)]);
    let found = ask(&local, &target, &[(s, "0:0", FIELD_OFFSET)]);
    assert!(found[0].is_err(), "{found:?}");
}

/// Each prototype takes the one below twice: 2^30 comparisons.
#[test]
fn prototypes_that_double_are_given_up() {
    let mut types = Types::new();
    let int = types.int("int", 4, true);
    let mut level = int;
    for _ in 0..30 {
        let params = vec![Param { name: StrOff(0), ty: level }; 2];
        level = types.add("", Kind::FuncProto { ret: int, params });
        level = types.add("", Kind::Ptr(level));
    }
    let f = types.add("f", Kind::Typedef(level));
    let found = ask(&types, &types, &[(f, "0", TYPE_EXISTS), (f, "0", TYPE_MATCHES)]);
    assert!(found.iter().all(Result::is_err), "{found:?}");
}

#[test]
fn arrays_of_arrays_overflow_nothing() {
    let mut types = Types::new();
    let int = types.int("int", 4, true);
    let mut level = int;
    for _ in 0..20 {
        level = types.array(level, u32::MAX);
    }
    let s = types.structure("s", 4, &[("x", level, 0), ("y", int, 0)]);
    let found = ask(
        &types,
        &types,
        &[
            (s, "0:0:4294967294:3", FIELD_OFFSET),
            (s, "0:0", FIELD_OFFSET),
            (s, "4294967295:1", FIELD_OFFSET),
            (s, "0:1", FIELD_OFFSET),
        ],
    );
    assert!(found[..3].iter().all(Result::is_err), "{found:?}");
    assert!(found[3].is_ok(), "{found:?}");
}

/// As many members as BTF can count, all asked for, and none that the kernel has.
#[test]
fn as_many_members_as_there_can_be() {
    let mut local = Types::new();
    let int = local.int("int", 4, true);
    let s = local.structure("s", 4, &[("last", int, 0), ("none", int, 0)]);
    let mut target = local.clone();
    let (last, other) = (target.string("last"), target.string("other"));
    let member = |name| Member { name, ty: int, bit_offset: 0, bit_size: 0 };
    let mut members = vec![member(other); 65534];
    members.push(member(last));
    target.0.types.pop();
    target.add("s", Kind::Composite { union: false, size: 4, members, bitfields: false });
    let few = ask(&local, &target, &[(s, "0:0", FIELD_OFFSET), (s, "0:1", FIELD_OFFSET)]);
    assert!(matches!(few[0], Ok(Fixup { answer: Answer::Value { target: 0, .. }, .. })), "{few:?}");
    assert!(matches!(few[1], Ok(Fixup { answer: Answer::Poison { .. }, .. })), "{few:?}");
    let many = ask(&local, &target, &vec![(s, "0:1", FIELD_OFFSET); 100_000]);
    assert_eq!(many.len(), 100_000);
}

/// Every record is about another type of the object, and each of them means any of the kernel's many.
#[test]
fn many_types_of_one_name_on_both_sides() {
    let mut local = Types::new();
    let int = local.int("int", 4, true);
    let mut target = local.clone();
    let questions: Vec<TypeId> = (0..20_000).map(|_| local.structure("s", 4, &[("x", int, 0)])).collect();
    for _ in 0..10_000 {
        target.structure("s", 4, &[("x", int, 0)]);
    }
    let questions: Vec<_> = questions.into_iter().map(|ty| (ty, "0:0", FIELD_OFFSET)).collect();
    let found = ask(&local, &target, &questions);
    assert!(found[0].is_ok(), "{:?}", found[0]);
}

/// A name of a megabyte, asked about by the hundred thousand.
#[test]
fn long_names_are_not_copied_for_each_record() {
    let mut types = Types::new();
    let int = types.int("int", 4, true);
    let long = "a".repeat(1 << 20);
    let s = types.structure(&long, 4, &[(&long, int, 0)]);
    let found = ask(&types, &types, &vec![(s, "0:0", FIELD_OFFSET); 100_000]);
    assert_eq!(found.len(), 100_000);
    // The same with as many names as there are records: each begins one byte later than the one before.
    let name = types.0.types[s.index()].name;
    let kind = types.0.types[s.index()].kind.clone();
    let shifted: Vec<TypeId> = (0..20_000).map(|at| types.push(StrOff(name.0 + at), kind.clone())).collect();
    let questions: Vec<_> = shifted.into_iter().map(|ty| (ty, "0:0", FIELD_OFFSET)).collect();
    assert_eq!(ask(&types, &types, &questions).len(), 20_000);
}

/// An access string of a megabyte.
#[test]
fn long_access_strings_are_cut_short() {
    let mut types = Types::new();
    let int = types.int("int", 4, true);
    let s = types.structure("s", 4, &[("x", int, 0)]);
    let long = "0:".repeat(1 << 19) + "0";
    let found = ask(&types, &types, &vec![(s, &*long, FIELD_OFFSET); 100_000]);
    assert!(found.iter().all(Result::is_err));
}

/// A string with as many flavours as fit into it.
#[test]
fn a_name_of_nothing_but_flavours() {
    let mut types = Types::new();
    let int = types.int("int", 4, true);
    let s = types.structure(&"a___".repeat(1 << 18), 4, &[("x", int, 0)]);
    let t = types.structure(&"_".repeat(1 << 20), 4, &[("x", int, 0)]);
    let found = ask(&types, &types, &[(s, "0:0", FIELD_OFFSET), (t, "0:0", FIELD_OFFSET)]);
    assert_eq!(found.len(), 2);
}

/// The types of a committed object, to be changed and put back.
fn own_types(name: &str) -> Types {
    Types(Btf::parse(&types_of(name), Endian::NATIVE).unwrap())
}

/// One table of functions that is said to be there 60,000 times, and a megabyte long.
#[test]
fn variables_over_each_other_are_no_tables() {
    let mut types = own_types("struct_ops.o");
    let ops = types.0.find("tcp_congestion_ops", Kind::is_struct).unwrap();
    let datasec = types.0.find(".struct_ops", |kind| matches!(kind, Kind::Datasec { .. })).unwrap();
    let Kind::Composite { size, .. } = &mut types.0.types[ops.index()].kind else { panic!() };
    *size = 1 << 20;
    let Kind::Datasec { vars, .. } = &mut types.0.types[datasec.index()].kind else { panic!() };
    *vars = vec![vars[0]; 60_000];
    let object = with_section(&bytes_of("struct_ops.o"), ".BTF", &types.bytes());
    let object = with_section(&object, ".struct_ops", &vec![0; 1 << 20]);
    let error = bounded(&MEMORY, "tables", || read("struct_ops.o", &object)).unwrap_err().to_string();
    assert!(error.contains("rxdp_test") && error.contains("another"), "{error}");
}

/// A configuration value of four gigabytes.
#[test]
fn configuration_values_are_not_larger_than_the_configuration() {
    let mut types = own_types("data.o");
    let datasec = types.0.find(".data", |kind| matches!(kind, Kind::Datasec { .. })).unwrap();
    let kconfig = types.string(".kconfig");
    types.0.types[datasec.index()].name = kconfig;
    let char_ = types.int("char", 1, true);
    let text = types.array(char_, u32::MAX);
    let Kind::Datasec { vars, .. } = &types.0.types[datasec.index()].kind else { panic!() };
    let var = vars[0].var;
    let Kind::Var { ty, .. } = &mut types.0.types[var.index()].kind else { panic!() };
    *ty = text;
    let object = with_section(&bytes_of("data.o"), ".BTF", &types.bytes());
    let result = bounded(&MEMORY, "a configuration value", || read("data.o", &object));
    assert!(result.is_err(), "{:?}", result.map(|spec| spec.maps.len()));
}

/// Records for 40,000 sections, whose names are the ends of one long string.
#[test]
fn names_of_sections_are_not_copied_for_each_record() {
    let mut types = own_types("core_kinds.o");
    let long = types.string(&"s".repeat(1 << 20));
    let object = with_section(&bytes_of("core_kinds.o"), ".BTF", &types.bytes());
    let mut ext = vec![0x9f, 0xeb, 1, 0];
    let table: Vec<u32> =
        std::iter::once(8).chain((0..40_000).flat_map(|at| [long.0 + at, 1, 0, 1])).collect();
    let table: Vec<u8> = table.iter().flat_map(|word| word.to_le_bytes()).collect();
    let len = u32::try_from(table.len()).unwrap();
    ext.extend([24u32, 0, len, len, 0].iter().flat_map(|word| word.to_le_bytes()));
    ext.extend(table);
    let object = with_section(&object, ".BTF.ext", &ext);
    let spec = bounded(&MEMORY, "records", || read("core_kinds.o", &object)).unwrap();
    assert!(
        spec.functions.iter().all(|function| function.ty.is_none()),
        "none of them is for a section of this file"
    );
}

#[test]
fn the_byte_order_of_these_objects_is_this_machines() {
    assert_eq!(spec_of("drop_all.o").endian, Endian::NATIVE);
}
