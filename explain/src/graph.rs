//! Tail calls with their tables and keys, how these were found, and which program uses which map.

use std::collections::BTreeMap;

use rxdp_loader::insn::InsnIdx;
use rxdp_loader::link::{LinkedObject, LinkedProgram};
use rxdp_loader::plan::{FillSlot, LoadPlan, LoadProgram, SlotSource, SlotValue, fit_one_table};
use rxdp_loader::spec::{MapId, MapSpec, ObjectSpec, ProgId};
use rxdp_loader::tail_calls::{self, Conclusion, Lost, Site, Walk};
use rxdp_loader::uapi::MapType;

use crate::code::Names;
use crate::disasm;
use crate::model::{Graph, GraphSlot, MapUse, Table, TailCall, TrailStep, Unfit};
use crate::{Entry, Stages};

pub(crate) fn explain(stages: &Stages<'_>, linked: &LinkedObject) -> Graph {
    let fills: Vec<FillSlot> = stages.plan.map(|plan| plan.fills().copied().collect()).unwrap_or_default();
    let sites = tail_calls::sites(linked);
    let calls = sites.iter().filter_map(|site| call(linked, site, &fills)).collect();
    Graph {
        tables: tables(&linked.spec, &sites, &fills),
        calls,
        uses: uses(linked),
        entry: stages.entry.as_ref().map(|entry| self::entry(&linked.spec, entry)),
        conclusion: stages.entry.as_ref().map(|entry| conclusion(&linked.spec, &entry.conclusion, &fills)),
        unfit: stages.plan.map(|plan| unfit(plan, linked)).unwrap_or_default(),
    }
}

/// Source: `check_helper_call` and `do_misc_fixups`, `kernel/bpf/verifier.c`; `bpf_insn_prepare_dump`, `kernel/bpf/syscall.c`; `emit_bpf_tail_call_direct`,
/// `arch/x86/net/bpf_jit_comp.c`.
const VERIFIER: &str = "the verifier sees to it that r1 is the program's context and r2 a jump table, and puts an instruction \
     of its own, a jump, in place of the call of helper 12. Nothing is returned: what stands behind the call \
     must not read r0 to r5. When it runs, a key beyond the table, an empty slot, or more than 33 tail calls in \
     a row make it do nothing. The kernel shows it as a call all the same when it is asked for its code";

fn program_name(spec: &ObjectSpec, id: ProgId) -> &str {
    spec.program(id).map_or("?", |program| &program.name)
}

fn jump_tables(spec: &ObjectSpec) -> impl Iterator<Item = (MapId, &MapSpec)> {
    let numbered = spec.maps.iter().enumerate().map(|(at, map)| (MapId::new(at), map));
    numbered.filter(|(_, map)| map.ty == MapType::PROG_ARRAY)
}

fn tables(spec: &ObjectSpec, sites: &[Site], fills: &[FillSlot]) -> Vec<Table> {
    let table = |(id, map): (MapId, &MapSpec)| {
        let mut slots: BTreeMap<u32, GraphSlot> = BTreeMap::new();
        for fill in fills.iter().filter(|fill| fill.map == id) {
            slots.insert(fill.key, filled(spec, fill));
        }
        let asked = sites.iter().filter(|site| site.map == Some(id)).filter_map(|site| site.key);
        for key in asked {
            slots.entry(key).or_insert_with(|| empty(map, key));
        }
        Table {
            map: id.0,
            name: map.name.to_string(),
            max_entries: map.max_entries,
            slots: slots.into_values().collect(),
        }
    };
    jump_tables(spec).map(table).collect()
}

fn filled(spec: &ObjectSpec, fill: &FillSlot) -> GraphSlot {
    let (program, name) = match fill.value {
        SlotValue::Program(id) => (Some(id.0), program_name(spec, id)),
        SlotValue::Map(id) => (None, spec.map_name(id)),
    };
    let from = match fill.from {
        SlotSource::Given => "given with --tail-call",
        SlotSource::Values => "the map's definition says so (.values)",
        SlotSource::Section => "the program's section asks for it",
        SlotSource::Inferred => "inferred: there is only one reading",
    };
    GraphSlot { key: fill.key, program, name: Some(name.to_string()), from: from.to_string() }
}

fn empty(map: &MapSpec, key: u32) -> GraphSlot {
    let from = if key < map.max_entries {
        "empty: nobody fills it, so the call falls through".to_string()
    } else {
        format!("beyond the {} entries of the table: the call always falls through", map.max_entries)
    };
    GraphSlot { key, program: None, name: None, from }
}

fn call(linked: &LinkedObject, site: &Site, fills: &[FillSlot]) -> Option<TailCall> {
    let (spec, program) = (&linked.spec, linked.program(site.program)?);
    let trail = tail_calls::trail(program, site.at);
    let leads = |fill: &&FillSlot| {
        site.map.is_none_or(|map| map == fill.map) && site.key.is_none_or(|key| key == fill.key)
    };
    let names = fills.iter().filter(leads).filter_map(|fill| match fill.value {
        SlotValue::Program(id) => Some(program_name(spec, id).to_string()),
        SlotValue::Map(_) => None,
    });
    let leads_to: Vec<String> = names.collect();
    let names = Names::of(linked, program);
    let steps = |walk: &Walk| walk.through.iter().filter_map(|at| step(program, &names, *at)).collect();
    Some(TailCall {
        program: site.program.0,
        name: program_name(spec, site.program).to_string(),
        at: site.at.0,
        line: program.locate(site.at).and_then(|(func, at)| spec.source_line(func, at)),
        map: site.map.map(|map| map.0),
        table: site.map.map(|map| spec.map_name(map).to_string()),
        key: site.key,
        table_trail: steps(&trail.table),
        key_trail: steps(&trail.key),
        unknown: unknown(site, &trail.table, &trail.key),
        outcome: outcome(spec, site, &leads_to),
        verifier: VERIFIER.to_string(),
        leads_to,
    })
}

fn step(program: &LinkedProgram, names: &Names<'_>, at: InsnIdx) -> Option<TrailStep> {
    let insn = *program.insns.get(at.index())?;
    let second = at.plus(1).and_then(|at| program.insns.get(at.index())).copied();
    let second = second.filter(|_| insn.is_ld_imm64());
    Some(TrailStep { at: at.0, text: disasm::text(insn, second, names.at(at)) })
}

fn unknown(site: &Site, table: &Walk, key: &Walk) -> Option<String> {
    let lost = |what: &str, register: &str, walk: &Walk| match walk.lost {
        Some(Lost::JoinsHere(at)) => {
            format!(
                "{what} ({register}) is not known: slot {at} can be jumped to, and {register} may differ there"
            )
        }
        Some(Lost::Beginning) => {
            format!("{what} ({register}) is not known: it comes into the function from outside")
        }
        Some(Lost::CutOff(at)) => {
            format!("{what} ({register}) is not known: no straight code leads to slot {at}")
        }
        Some(Lost::NoConstant(at)) => {
            format!("{what} ({register}) is not known: slot {at} computes it when it runs")
        }
        None => format!("{what} ({register}) is no such thing"),
    };
    let table = site.map.is_none().then(|| lost("the table", "r2", table));
    let key = site.key.is_none().then(|| lost("the key", "r3", key));
    let words: Vec<String> = table.into_iter().chain(key).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

fn outcome(spec: &ObjectSpec, site: &Site, leads_to: &[String]) -> String {
    let entries = site.map.and_then(|map| spec.map(map)).map(|map| map.max_entries);
    let next = site.at.0.saturating_add(1);
    match (site.key, entries, leads_to) {
        (Some(key), Some(entries), _) if key >= entries => format!(
            "falls through to slot {next}: the table has {entries} entries, and {key} is none of them"
        ),
        (Some(_), _, []) => format!("falls through to slot {next}: the slot is empty"),
        (Some(_), _, [one]) => {
            format!(
                "jumps to {one} and does not come back; if the slot were empty, slot {next} would be next"
            )
        }
        (_, _, []) => format!(
            "falls through to slot {next} unless somebody fills the slot: nothing is known to stand there"
        ),
        (_, _, some) => format!("may jump to {}, or fall through to slot {next}", some.join(", ")),
    }
}

fn uses(linked: &LinkedObject) -> Vec<MapUse> {
    let mut uses: BTreeMap<(ProgId, MapId), Vec<u32>> = BTreeMap::new();
    for program in linked.programs.iter().flatten() {
        for (at, map) in &program.map_refs {
            uses.entry((program.id, *map)).or_default().push(at.0);
        }
    }
    uses.into_iter().map(|((program, map), at)| MapUse { program: program.0, map: map.0, at }).collect()
}

fn entry(spec: &ObjectSpec, entry: &Entry) -> String {
    let why = if entry.given {
        "--prog says so"
    } else {
        "it is the first XDP program that the object itself puts into no jump table"
    };
    format!("{} is attached: {why}", program_name(spec, entry.program))
}

fn conclusion(spec: &ObjectSpec, found: &Conclusion, fills: &[FillSlot]) -> String {
    let inferred = fills.iter().any(|fill| fill.from == SlotSource::Inferred);
    match found {
        Conclusion::Complete => "no program waits for a slot that nobody fills".to_string(),
        Conclusion::One(one) => format!(
            "the only other program is {}, and every tail call on {} asks for slot {}: {}",
            program_name(spec, one.program),
            spec.map_name(one.map),
            one.key,
            if inferred { "so it is put there" } else { "it would be put there if nobody said otherwise" },
        ),
        Conclusion::Open(open) => {
            let names: Vec<&str> = open.unreached.iter().map(|id| program_name(spec, *id)).collect();
            format!(
                "no slot leads to {}, and there is more than one reading, or none: \
                 --tail-call MAP:KEY=PROG says it",
                names.join(", ")
            )
        }
    }
}

/// Programs that the kernel does not let into a table, because its users are of another kind.
fn unfit(plan: &LoadPlan<'_>, linked: &LinkedObject) -> Vec<Unfit> {
    let spec = &linked.spec;
    let loads: Vec<&LoadProgram> = plan.programs().collect();
    let mut found = Vec::new();
    for (id, map) in jump_tables(spec) {
        let uses = |load: &&&LoadProgram| {
            linked
                .program(load.program)
                .is_some_and(|program| program.map_refs.iter().any(|(_, map)| *map == id))
        };
        let Some(user) = loads.iter().find(uses) else {
            continue;
        };
        let others = loads.iter().filter(|load| !fit_one_table(user, load));
        found.extend(others.map(|load| Unfit {
            table: map.name.to_string(),
            program: program_name(spec, load.program).to_string(),
            why: format!(
                "it is {}, the table's user {} is {}: the kernel wants one type, attach type and frags flag",
                kind(load),
                program_name(spec, user.program),
                kind(user)
            ),
        }));
    }
    found
}

fn kind(load: &LoadProgram) -> String {
    let attach = if load.attach.0 == 0 { String::new() } else { format!(" for {}", load.attach) };
    format!("{}{attach}", load.ty)
}
