//! What went wrong once, a test each.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use std::time::{Duration, Instant};

use common::{bytes_of, linked, plan, read, spec_of, xdp_options};
use rxdp_loader::btf::{CoreRelo, Kind, StrOff, Type, TypeId};
use rxdp_loader::features::{Features, KernelVersion, Machine};
use rxdp_loader::insn::{ByteOff, Insn, InsnIdx};
use rxdp_loader::link::{self, LinkedProgram};
use rxdp_loader::load::{self, Given};
use rxdp_loader::spec::{ProgId, RelocTarget};
use rxdp_loader::sys::{DryRun, Errno, Recorder};
use rxdp_loader::tail_calls::{Conclusion, conclude, sites};

const BOTH: [ProgId; 2] = [ProgId(0), ProgId(1)];

#[test]
fn the_articles_object_loads_before_linux_5_2() {
    let object = linked("tail_kern.o");
    let kernel = KernelVersion { major: 4, minor: 19, patch: 0 };
    let machine = Machine { kernel, features: Features::of(kernel), ..Machine::NEWEST };
    let plan = rxdp_loader::plan::plan(&object, &machine, &xdp_options());
    assert!(plan.is_ok(), "no program refers to .rodata.str1.1: {}", plan.unwrap_err());
}

#[test]
fn static_variables_of_one_name_keep_their_offsets() {
    let mut bytes = bytes_of("statics.o");
    let named: Vec<usize> = (0..bytes.len() - 6).filter(|at| &bytes[*at..at + 6] == b"same_b").collect();
    assert!(named.len() >= 2, "in the symbol table's strings and in BTF's");
    for at in named {
        bytes[at + 5] = b'a';
    }
    let spec = read("statics.o", &bytes).unwrap();
    let btf = spec.btf.unwrap();
    let data = btf.find(".data", |kind| matches!(kind, Kind::Datasec { .. })).unwrap();
    let Some(Kind::Datasec { vars, .. }) = btf.kind(data) else { panic!() };
    let places: Vec<_> = vars.iter().map(|var| (btf.name(var.var), var.offset, var.size)).collect();
    assert_eq!(places, [("own".into(), 0, 4), ("same_a".into(), 8, 8), ("same_a".into(), 16, 4)]);
}

#[test]
fn a_load_acquire_overwrites_the_key() {
    let mut object = linked("tail_kern.o");
    let program = object.programs[0].as_mut().unwrap();
    // w3 = 78; r3 = load_acquire((u64 *)(r1 + 0)); call tail_call
    program.insns.insert(23, Insn { code: 0xdb, dst: 3, src: 1, off: 0, imm: 0x100 });
    assert_eq!(sites(&object)[0].key, None);
}

#[test]
fn a_key_beyond_the_table_in_the_other_program_forbids_a_conclusion() {
    let mut object = linked("tail_kern.o");
    let mut second = LinkedProgram { id: ProgId(1), ..object.programs[0].clone().unwrap() };
    second.insns[22].imm = 200;
    object.programs[1] = Ok(second);
    let found = conclude(&object, ProgId(0), &BOTH, &[], &[]);
    assert!(
        matches!(found, Conclusion::Open(_)),
        "cli.md: every tail call on the table has a key below max_entries: {found:?}"
    );
}

#[test]
fn a_half_load_at_the_end_of_a_subprogram_is_an_error() {
    let mut spec = spec_of("calls.o");
    let deepest = spec.functions.iter_mut().find(|function| function.name == "deepest").unwrap();
    deepest.insns.truncate(6);
    let RelocTarget::Map(map) = deepest.relocs[0].target else { panic!("{:?}", deepest.relocs[0]) };
    deepest.relocs[0].target = RelocTarget::MapValue { map, offset: 4 };
    let object = link::link(spec);
    assert!(object.programs[1].is_err(), "the next function's first instruction is overwritten");
}

#[test]
fn a_load_whose_second_half_is_an_instruction_is_an_error() {
    let mut spec = spec_of("data.o");
    let program = &mut spec.functions[0];
    let at = program.relocs[0].at.index();
    program.insns[at + 1] = Insn { code: 0xb7, dst: 3, src: 0, off: 0, imm: 9 };
    assert!(link::link(spec).programs[0].is_err(), "`r3 = 9` vanishes");
}

#[test]
fn what_a_slot_needs_is_refused_with_its_own_reason() {
    let mut spec = spec_of("values.o");
    let target = spec.functions.iter_mut().find(|function| function.name == "target").unwrap();
    let record = CoreRelo { at: ByteOff(0), ty: TypeId(1), access: StrOff(0), kind: 0 };
    target.core_relos.push((InsnIdx(0), record));
    let object = link::link(spec);
    let planned = plan(&object);
    let error = match &planned {
        Ok(plan) => plan.refused.first().map(|(_, error)| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    assert!(error.as_ref().is_some_and(|text| text.contains("CO-RE")), "{error:?}");
}

#[test]
fn many_types_with_one_long_name_cost_little() {
    let mut spec = spec_of("data.o");
    let btf = spec.btf.as_mut().unwrap();
    let name = StrOff(u32::try_from(btf.strings.len()).unwrap());
    btf.strings.extend(std::iter::repeat_n(b'a', 400_000));
    btf.strings.push(0);
    for _ in 0..30_000 {
        btf.types.push(Type { name, kind: Kind::Fwd { union: false } });
    }
    let types = btf.encode();
    // The object with these types in place of its own, behind everything else.
    let mut bytes = bytes_of("data.o");
    let start = bytes.len();
    let table = usize::try_from(u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap())).unwrap();
    let header = |section: usize| table + 64 * section;
    let mut set = |at: usize, value: usize| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    set(header(10) + 0x18, start);
    set(header(10) + 0x20, types.len());
    bytes.extend(types);
    let begin = Instant::now();
    let _any = read("data.o", &bytes);
    assert!(begin.elapsed() < Duration::from_secs(1), "{} bytes take {:?}", bytes.len(), begin.elapsed());
}

#[test]
fn functions_may_not_overlap() {
    let mut bytes = bytes_of("several.o");
    let size = 104u64.to_le_bytes();
    // st_value 0, st_size 104: xdp_first. Make it 144 bytes long, into xdp_second.
    let symbol = bytes.windows(16).position(|window| window[..8] == [0; 8] && window[8..] == size).unwrap();
    bytes[symbol + 8] = 144;
    assert!(read("several.o", &bytes).is_err(), "40 bytes belong to two functions");
}

#[test]
fn a_template_goes_by_its_own_name_in_recordings() {
    let kernel = Recorder::new(DryRun::new());
    let object = linked("inner_maps.o");
    load::execute(&plan(&object).unwrap(), &kernel, Given::default()).unwrap();
    let text = kernel.transcript().to_string();
    assert!(text.contains(" inner_map_fd=fd:outer.inner "), "{text}");
}

#[test]
fn a_type_that_the_kernel_is_too_old_for_is_named_by_its_version() {
    let object = linked("tail_kern.o");
    let of = |major, minor| {
        let kernel = KernelVersion { major, minor, patch: 0 };
        let machine = Machine { kernel, features: Features::of(kernel), ..Machine::NEWEST };
        let plan = rxdp_loader::plan::plan(&object, &machine, &xdp_options()).unwrap();
        load::execute(&plan, &DryRun::failing(0, Errno::EINVAL), Given::default()).unwrap_err().to_string()
    };
    assert!(
        of(4, 1).contains("EINVAL; it needs Linux 4.2 (map type prog_array), this is Linux 4.1.0"),
        "{}",
        of(4, 1)
    );
    assert!(of(4, 2).ends_with("EINVAL"), "{}", of(4, 2));
}
