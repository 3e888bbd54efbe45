//! What is concluded from tail calls: one reading is taken, two are not, and nothing is guessed.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use common::{all, linked};
use rxdp_loader::insn::{Insn, InsnIdx};
use rxdp_loader::link::{LinkedObject, LinkedProgram};
use rxdp_loader::spec::{MapId, ProgId};
use rxdp_loader::tail_calls::{Conclusion, Entry, Site, conclude, sites};

const BOTH: [ProgId; 2] = [ProgId(0), ProgId(1)];

/// The article's slot.
const ARTICLE: Entry = Entry { map: MapId(0), key: 78, program: ProgId(1) };

/// `w3 = 78` and the call behind it, in `tail_kern.o`.
const KEY: usize = 22;

fn concluded(object: &LinkedObject) -> Conclusion {
    conclude(object, ProgId(0), &BOTH, &[], &[])
}

fn is_open(conclusion: &Conclusion) -> bool {
    matches!(conclusion, Conclusion::Open(_))
}

/// `tail_kern.o` with other code where the key is loaded.
fn with_key(insn: Insn) -> LinkedObject {
    let mut object = linked("tail_kern.o");
    let program = object.programs[0].as_mut().unwrap();
    assert_eq!((program.insns[KEY].imm, program.insns[KEY].dst), (78, 3));
    program.insns[KEY] = insn;
    object
}

/// `w3 = key`.
fn constant(key: i32) -> Insn {
    Insn { code: 0xb4, dst: 3, src: 0, off: 0, imm: key }
}

/// `w3 = *(u32 *)(r1 + 0)`: nobody knows what it is.
const UNKNOWN: Insn = Insn { code: 0x61, dst: 3, src: 1, off: 0, imm: 0 };

/// `tail_kern.o` with more code where the key is loaded.
fn with_key_code(code: &[Insn]) -> LinkedObject {
    let mut object = with_key(constant(78));
    let program = object.programs[0].as_mut().unwrap();
    program.insns.splice(KEY..=KEY, code.iter().copied());
    object
}

/// `tail_kern.o` whose second program makes the first one's tail call, with another key.
fn both_jump(key: Insn) -> LinkedObject {
    let mut object = linked("tail_kern.o");
    let mut second = LinkedProgram { id: ProgId(1), ..object.programs[0].clone().unwrap() };
    second.insns[KEY] = key;
    object.programs[1] = Ok(second);
    object
}

/// `tail_kern.o` whose first program makes two tail calls, one behind the other.
fn two_calls(second_key: i32, second_map: MapId) -> LinkedObject {
    const CALL: std::ops::Range<usize> = 19..24;
    let mut object = linked("tail_kern.o");
    let program = object.programs[0].as_mut().unwrap();
    let mut again = program.insns[CALL].to_vec();
    again[KEY - CALL.start] = constant(second_key);
    program.insns.splice(CALL.end..CALL.end, again);
    assert_eq!(program.map_refs, [(InsnIdx(20), MapId(0))]);
    program.map_refs.push((InsnIdx(25), second_map));
    object
}

#[test]
fn every_tail_call_of_every_object_is_found() {
    let mut with_calls = 0;
    for name in all() {
        // The others call from their first program, through their first map.
        if name.starts_with("typed_maps") {
            let found = sites(&linked(&name));
            assert_eq!(
                found.iter().map(|site| (site.program, site.key)).collect::<Vec<_>>(),
                [(ProgId(1), Some(1))]
            );
            continue;
        }
        let expected = match name.as_str() {
            "iproute2.o" => Some((InsnIdx(3), 1)),
            "socket_slots.o" => Some((InsnIdx(3), 3)),
            "two_readings.o" => Some((InsnIdx(3), 0)),
            "values.o" => Some((InsnIdx(3), 5)),
            name if name.starts_with("tail_kern") => Some((InsnIdx(23), 78)),
            _ => None,
        };
        let site = |(at, key)| Site { program: ProgId(0), at, map: Some(MapId(0)), key: Some(key) };
        assert_eq!(sites(&linked(&name)), expected.map(site).into_iter().collect::<Vec<_>>(), "{name}");
        with_calls += usize::from(expected.is_some());
    }
    assert!(with_calls > 10);
}

#[test]
fn one_reading_is_taken() {
    for name in all().iter().filter(|name| name.starts_with("tail_kern")) {
        assert_eq!(concluded(&linked(name)), Conclusion::One(ARTICLE), "{name}");
    }
    assert_eq!(concluded(&with_key(constant(99))), Conclusion::One(Entry { key: 99, ..ARTICLE }));
    let wide = [Insn { code: 0x18, ..constant(78) }, Insn::default()];
    assert_eq!(concluded(&with_key_code(&wide)), Conclusion::One(ARTICLE));
    assert_eq!(concluded(&two_calls(78, MapId(0))), Conclusion::One(ARTICLE), "twice the same");
    // The other program may jump on, as long as it says where.
    assert_eq!(concluded(&both_jump(constant(5))), Conclusion::One(ARTICLE));
}

#[test]
fn two_readings_are_left_to_the_user() {
    let object = linked("two_readings.o");
    let three = [ProgId(0), ProgId(1), ProgId(2)];
    let Conclusion::Open(open) = conclude(&object, ProgId(0), &three, &[], &[]) else {
        panic!("either of two programs could be meant");
    };
    assert_eq!(open.unreached, three[1..]);
    assert_eq!(open.sites, sites(&object));
    // A program that is out of the question leaves one reading.
    let entry = Entry { map: MapId(0), key: 0, program: ProgId(1) };
    assert_eq!(conclude(&object, ProgId(0), &BOTH, &[], &[]), Conclusion::One(entry));
}

#[test]
fn nothing_is_concluded_from_what_is_not_known() {
    assert!(is_open(&concluded(&with_key(constant(100)))), "the table has 100 slots");
    assert!(is_open(&concluded(&with_key(constant(-1)))));
    assert!(is_open(&concluded(&with_key(UNKNOWN))));
    // if (r1 == 0) skip the next: the call can be reached without it.
    let skip = Insn { code: 0x15, dst: 1, src: 0, off: 1, imm: 0 };
    assert!(is_open(&concluded(&with_key_code(&[constant(5), skip, constant(78)]))));
    let clobbered = [constant(78), Insn { code: 0x85, dst: 0, src: 0, off: 0, imm: 7 }];
    assert!(is_open(&concluded(&with_key_code(&clobbered))), "a call leaves nothing in r3");
    assert!(is_open(&concluded(&both_jump(UNKNOWN))), "the other program could mean any slot");
    assert!(is_open(&concluded(&two_calls(79, MapId(0)))), "two slots, one program");
    assert!(is_open(&concluded(&two_calls(78, MapId(1)))), "two tables, one program");
    let fixed = conclude(&linked("tail_kern.o"), ProgId(0), &BOTH, &[], &[MapId(0)]);
    assert!(is_open(&fixed), "others use the table too");
}

#[test]
fn what_is_filled_is_not_open() {
    let object = linked("tail_kern.o");
    let filled = |entry| conclude(&object, ProgId(0), &BOTH, &[entry], &[]);
    assert_eq!(filled(ARTICLE), Conclusion::Complete);
    assert_eq!(filled(Entry { program: ProgId(0), ..ARTICLE }), Conclusion::Complete, "the user's will");
    assert_eq!(filled(Entry { key: 79, ..ARTICLE }), Conclusion::One(ARTICLE));
    assert_eq!(filled(Entry { map: MapId(1), ..ARTICLE }), Conclusion::One(ARTICLE));

    // From the second program there is nowhere to go and nothing to fill.
    assert_eq!(conclude(&object, ProgId(1), &BOTH, &[], &[]), Conclusion::Complete);
    assert_eq!(conclude(&object, ProgId(0), &BOTH[..1], &[], &[]), Conclusion::Complete);
}
