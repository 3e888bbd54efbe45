//! Tail calls: where they stand, which slots they ask for, and what can be concluded from that.
//!
//! A tail call's table and key are arguments of a helper call, so they are found by walking back from the call through
//! straight code. What that does not show is said to be unknown, never guessed.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::bytes::unsigned;
use crate::insn::{CALL, EXIT, Insn, InsnIdx, LD_IMM64};
use crate::link::{LinkedObject, LinkedProgram};
use crate::spec::{MapId, ProgId};
use crate::uapi::{Helper, pseudo};

/// One tail call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site {
    /// The program that makes it.
    pub program: ProgId,
    /// The call, from the program's start.
    pub at: InsnIdx,
    /// The table; `None` if it is not the same on every way there.
    pub map: Option<MapId>,
    /// The slot; `None` if it is not a constant.
    pub key: Option<u32>,
}

/// An entry of a jump table, as far as tail calls are concerned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// The table.
    pub map: MapId,
    /// The slot.
    pub key: u32,
    /// What stands there.
    pub program: ProgId,
}

/// What the tail calls of an object say about slots that nobody filled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conclusion {
    /// Every program can be reached, or no open tail call is left.
    Complete,
    /// There is one reading: this entry.
    One(Entry),
    /// Programs are out of reach, and there is more than one reading, or none.
    Open(Open),
}

/// Slots to fill and programs to choose from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Tail calls to slots that are empty, or that are not known.
    pub sites: Vec<Site>,
    /// Programs that no slot leads to.
    pub unreached: Vec<ProgId>,
}

/// All tail calls of all programs.
pub fn sites(object: &LinkedObject) -> Vec<Site> {
    object.programs.iter().flatten().flat_map(sites_of).collect()
}

/// What to make of slots that nobody filled, if `entry` is the first program to run.
///
/// `programs` are those that tail calls may lead to (the entry among them), `filled` the slots that are known,
/// `fixed` the tables that nothing may be concluded about because others use them too.
pub fn conclude(
    object: &LinkedObject,
    entry: ProgId,
    programs: &[ProgId],
    filled: &[Entry],
    fixed: &[MapId],
) -> Conclusion {
    let sites: Vec<Site> =
        sites(object).into_iter().filter(|site| programs.contains(&site.program)).collect();
    let reached = reached(entry, &sites, filled);
    let unreached: Vec<ProgId> = programs.iter().copied().filter(|p| !reached.contains(p)).collect();
    let is_filled = |site: &Site| filled.iter().any(|e| Some(e.map) == site.map && Some(e.key) == site.key);
    let open: Vec<Site> =
        sites.iter().copied().filter(|s| reached.contains(&s.program) && !is_filled(s)).collect();
    if unreached.is_empty() || open.is_empty() {
        return Conclusion::Complete;
    }
    match single_reading(object, programs, &sites, &open, &unreached, fixed) {
        Some(entry) => Conclusion::One(entry),
        None => Conclusion::Open(Open { sites: open, unreached }),
    }
}

/// The one entry that makes sense: the object has the entry program and one other, and all tail calls on the table
/// ask for one and the same slot, which exists.
fn single_reading(
    object: &LinkedObject,
    programs: &[ProgId],
    sites: &[Site],
    open: &[Site],
    unreached: &[ProgId],
    fixed: &[MapId],
) -> Option<Entry> {
    let ([first, ..], [other], 2) = (open, unreached, programs.len()) else {
        return None;
    };
    let (map, key) = (first.map?, first.key?);
    let on_table = |site: &&Site| site.map.is_none() || site.map == Some(map);
    let one_slot = open.iter().all(|site| site.map == Some(map) && site.key == Some(key));
    let entries = object.spec.map(map).map_or(0, |spec| spec.max_entries);
    let in_range = |site: &Site| site.map.is_some() && site.key.is_some_and(|key| key < entries);
    let constant = sites.iter().filter(on_table).all(in_range);
    (one_slot && constant && !fixed.contains(&map)).then_some(Entry { map, key, program: *other })
}

/// Programs that run at some time if `entry` runs. A tail call with an unknown key may lead anywhere in its table.
fn reached(entry: ProgId, sites: &[Site], filled: &[Entry]) -> BTreeSet<ProgId> {
    let leads = |site: &Site, e: &Entry| {
        site.map.is_none_or(|map| map == e.map) && site.key.is_none_or(|key| key == e.key)
    };
    let mut reached = BTreeSet::from([entry]);
    let mut open = Vec::from([entry]);
    while let Some(program) = open.pop() {
        for site in sites.iter().filter(|site| site.program == program) {
            for e in filled.iter().filter(|e| leads(site, e)) {
                if reached.insert(e.program) {
                    open.push(e.program);
                }
            }
        }
    }
    reached
}

fn sites_of(program: &LinkedProgram) -> Vec<Site> {
    let is_tail_call = |insn: &Insn| insn.helper() == Some(Helper::TAIL_CALL.0);
    let calls: Vec<InsnIdx> = (0u32..)
        .map(InsnIdx)
        .zip(&program.insns)
        .filter(|(_, i)| is_tail_call(i))
        .map(|(at, _)| at)
        .collect();
    if calls.is_empty() {
        return Vec::new();
    }
    let targets = jump_targets(&program.insns);
    let nobody = &mut |_| ();
    let mut site = |at: InsnIdx| {
        let map = match value_of(program, &targets, at, TABLE, nobody) {
            Ok(Value::Map(map)) => Some(map),
            Ok(Value::Number(_)) | Err(_) => None,
        };
        let key = match value_of(program, &targets, at, KEY, nobody) {
            Ok(Value::Number(key)) => Some(key),
            Ok(Value::Map(_)) | Err(_) => None,
        };
        Site { program: program.id, at, map, key }
    };
    calls.into_iter().map(&mut site).collect()
}

/// How the arguments of a tail call were found, or why they were not: for those who want to see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trail {
    /// How the table was looked for, in `r2`.
    pub table: Walk,
    /// How the key was looked for, in `r3`.
    pub key: Walk,
}

/// A walk back from a call in search of what a register holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk {
    /// Instructions that write the register, or the one it was copied from: last one first.
    pub through: Vec<InsnIdx>,
    /// Why it is not known; `None` if it is.
    pub lost: Option<Lost>,
}

/// Why a walk back did not find what a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// A jump leads to this instruction: on another way there the register may hold something else.
    JoinsHere(InsnIdx),
    /// The program begins, and the register holds what it was called with.
    Beginning,
    /// What stands before this instruction does not go on to it.
    CutOff(InsnIdx),
    /// This instruction writes the register, and it is no constant.
    NoConstant(InsnIdx),
}

/// How the arguments of the tail call at `at` were found.
pub fn trail(program: &LinkedProgram, at: InsnIdx) -> Trail {
    let targets = jump_targets(&program.insns);
    let walk = |register| {
        let mut through = Vec::new();
        let found = value_of(program, &targets, at, register, &mut |at| through.push(at));
        Walk { through, lost: found.err() }
    };
    Trail { table: walk(TABLE), key: walk(KEY) }
}

/// Second and third argument of `bpf_tail_call`.
const TABLE: u8 = 2;
const KEY: u8 = 3;

/// What a register holds.
#[derive(Clone, Copy)]
enum Value {
    Map(MapId),
    Number(u32),
}

const CLASS: u8 = 0x07;
const ST: u8 = 2;
const STX: u8 = 3;
const MODE: u8 = 0xe0;
const ATOMIC: u8 = 0xc0;
/// `BPF_LOAD_ACQ`, an atomic that writes its destination. Since: Linux 6.15.
const LOAD_ACQUIRE: i32 = 0x100;
const JMP: u8 = 5;
const JMP32: u8 = 6;
const JA32: u8 = 0x06;
const MOV64_IMM: u8 = 0xb7;
const MOV32_IMM: u8 = 0xb4;
const MOV64_REG: u8 = 0xbf;
const MOV32_REG: u8 = 0xbc;

/// What `register` holds before the instruction at `at`, if straight code says so.
///
/// A slot that can be jumped to ends the walk: on another way there the register may hold something else.
fn value_of(
    program: &LinkedProgram,
    targets: &BTreeSet<InsnIdx>,
    at: InsnIdx,
    register: u8,
    writes_at: &mut dyn FnMut(InsnIdx),
) -> Result<Value, Lost> {
    let mut register = register;
    let mut at = at;
    while !targets.contains(&at) {
        let behind = at;
        at = InsnIdx(at.0.checked_sub(1).ok_or(Lost::Beginning)?);
        let insn = program.insns.get(at.index()).ok_or(Lost::CutOff(behind))?;
        // The second half of a 64-bit load stands behind its first.
        if insn.code == 0 {
            continue;
        }
        let writes = match insn.code & CLASS {
            JMP | JMP32 if insn.code == CALL => register <= 5,
            JMP | JMP32 if insn.code == EXIT || insn.code & 0xf0 == 0 => {
                return Err(Lost::CutOff(behind));
            }
            ST | JMP | JMP32 => false,
            STX if insn.code & MODE != ATOMIC => false,
            STX if insn.imm == LOAD_ACQUIRE => insn.dst == register,
            // Those that fetch write their source register, or R0.
            STX => insn.src == register || register == 0,
            _ => insn.dst == register,
        };
        if !writes {
            continue;
        }
        writes_at(at);
        match insn.code {
            MOV64_REG | MOV32_REG if insn.off == 0 => register = insn.src,
            MOV64_IMM | MOV32_IMM => return Ok(Value::Number(unsigned(insn.imm))),
            LD_IMM64 if insn.src == pseudo::MAP_FD => {
                let found = program.map_refs.iter().find(|(slot, _)| *slot == at);
                return found.map(|(_, map)| Value::Map(*map)).ok_or(Lost::NoConstant(at));
            }
            LD_IMM64 if insn.src == 0 => return Ok(Value::Number(unsigned(insn.imm))),
            _ => return Err(Lost::NoConstant(at)),
        }
    }
    Err(Lost::JoinsHere(at))
}

/// Slots that some jump leads to.
fn jump_targets(insns: &[Insn]) -> BTreeSet<InsnIdx> {
    let jumps = (0u32..).zip(insns).filter(|(_, insn)| {
        matches!(insn.code & CLASS, JMP | JMP32) && insn.code != CALL && insn.code != EXIT
    });
    let target = |(at, insn): (u32, &Insn)| {
        let distance = if insn.code == JA32 { insn.imm } else { i32::from(insn.off) };
        InsnIdx(at).call_target(distance)
    };
    jumps.filter_map(target).collect()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { code, dst, src, off, imm }
    }

    fn program(insns: Vec<Insn>, map_refs: Vec<(InsnIdx, MapId)>) -> LinkedProgram {
        LinkedProgram {
            id: ProgId(0),
            insns,
            layout: vec![],
            btf_refs: Vec::new(),
            map_refs,
            func_info: vec![],
            line_info: vec![],
            patches: vec![],
        }
    }

    const TAIL_CALL: Insn = Insn { code: CALL, dst: 0, src: 0, off: 0, imm: 12 };
    const TABLE_LOAD: Insn = Insn { code: LD_IMM64, dst: 2, src: pseudo::MAP_FD, off: 0, imm: 0 };
    const HALF: Insn = Insn { code: 0, dst: 0, src: 0, off: 0, imm: 0 };

    #[test]
    fn a_constant_key_is_found_through_a_saved_register() {
        let p = program(
            vec![
                insn(MOV64_IMM, 6, 0, 0, 78),
                insn(CALL, 0, 0, 0, 7),
                TABLE_LOAD,
                HALF,
                insn(MOV64_REG, 3, 6, 0, 0),
                TAIL_CALL,
            ],
            vec![(InsnIdx(2), MapId(4))],
        );
        let site = Site { program: ProgId(0), at: InsnIdx(5), map: Some(MapId(4)), key: Some(78) };
        assert_eq!(sites_of(&p), [site]);
        let Trail { table, key } = trail(&p, InsnIdx(5));
        assert_eq!((table.through, table.lost), (vec![InsnIdx(2)], None));
        assert_eq!((key.through, key.lost), (vec![InsnIdx(4), InsnIdx(0)], None));
    }

    #[test]
    fn what_depends_on_the_way_is_unknown() {
        // if (r1) r3 = 1 else r3 = 2: the call can be jumped to.
        let p = program(
            vec![
                insn(MOV64_IMM, 3, 0, 0, 1),
                insn(0x15, 1, 0, 1, 0),
                insn(MOV64_IMM, 3, 0, 0, 2),
                TABLE_LOAD,
                HALF,
                TAIL_CALL,
            ],
            vec![(InsnIdx(3), MapId(0))],
        );
        assert_eq!((sites_of(&p)[0].map, sites_of(&p)[0].key), (Some(MapId(0)), None));
        assert_eq!(trail(&p, InsnIdx(5)).key.lost, Some(Lost::JoinsHere(InsnIdx(3))));
    }

    #[test]
    fn a_call_clobbers_arguments_and_loads_are_unknown() {
        let clobbered = program(vec![insn(MOV64_IMM, 3, 0, 0, 1), insn(CALL, 0, 0, 0, 7), TAIL_CALL], vec![]);
        assert_eq!(sites_of(&clobbered)[0].key, None);
        let loaded = program(vec![insn(0x61, 3, 1, 0, 0), TAIL_CALL], vec![]);
        assert_eq!(sites_of(&loaded)[0].key, None);
        assert_eq!(trail(&clobbered, InsnIdx(2)).key.lost, Some(Lost::NoConstant(InsnIdx(1))));
        assert_eq!(trail(&loaded, InsnIdx(1)).key.lost, Some(Lost::NoConstant(InsnIdx(0))));
    }
}
