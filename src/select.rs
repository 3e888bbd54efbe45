//! From words of the command line to things of the object: programs and maps by name, section or index.

use std::collections::{BTreeMap, BTreeSet};

use rxdp_loader::plan::{FillSlot, SlotSource, SlotValue};
use rxdp_loader::spec::{MapId, ObjectSpec, ProgId, SectionDialect, section};
use rxdp_loader::uapi::ProgType;

use crate::error::Failure;

/// The program that goes by this name, section or index.
pub(crate) fn program(spec: &ObjectSpec, object: &str, given: &str) -> Result<ProgId, Failure> {
    let ids = || (0..spec.programs.len()).map(ProgId::new).zip(&spec.programs);
    let by_name = || ids().find(|(_, p)| p.name == given);
    let by_section = || {
        let mut found = ids().filter(|(_, p)| p.section == given);
        found.next().filter(|_| found.next().is_none())
    };
    let by_index = || given.parse().ok().and_then(|at: usize| ids().nth(at));
    match by_name().or_else(by_section).or_else(by_index) {
        Some((id, _)) => Ok(id),
        None => Err(Failure::NotInObject {
            object: object.to_string(),
            what: "program",
            given: given.to_string(),
            there_are: list(
                spec.programs
                    .iter()
                    .enumerate()
                    .map(|(at, p)| format!("{at}: {} in section {}", p.name, p.section)),
            ),
        }),
    }
}

/// The map that goes by this name or index.
pub(crate) fn map(spec: &ObjectSpec, object: &str, given: &str) -> Result<MapId, Failure> {
    let by_name = spec.maps.iter().position(|m| *m.name == *given);
    let by_index = || given.parse().ok().filter(|at: &usize| *at < spec.maps.len());
    by_name.or_else(by_index).map(MapId::new).ok_or_else(|| Failure::NotInObject {
        object: object.to_string(),
        what: "map",
        given: given.to_string(),
        there_are: list(spec.maps.iter().enumerate().map(|(at, m)| format!("{at}: {}", m.name))),
    })
}

/// `--map NAME=ENTRIES`, all of them.
pub(crate) fn size_maps(spec: &mut ObjectSpec, object: &str, given: &[String]) -> Result<(), Failure> {
    for text in given {
        let wrong =
            |why: &str| Failure::Option { option: "--map", given: text.clone(), why: why.to_string() };
        let (name, entries) = text.rsplit_once('=').ok_or_else(|| wrong("it is not NAME=ENTRIES"))?;
        let number = "its ENTRIES is not a number from 0 to 4294967295";
        let entries = entries.parse().map_err(|_not_a_number| wrong(number))?;
        let id = map(spec, object, name)?;
        if let Some(map) = spec.maps.get_mut(id.index()) {
            map.max_entries = entries;
        }
    }
    Ok(())
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none".to_string() } else { items.join(", ") }
}

/// `--type PROG=TYPE`, all of them.
pub(crate) fn types(
    spec: &ObjectSpec,
    object: &str,
    given: &[String],
) -> Result<BTreeMap<ProgId, ProgType>, Failure> {
    let one = |text: &String| match type_and_program(text) {
        (Some(prog), ty) => Some(named_type(text, ty).and_then(|ty| Ok((program(spec, object, prog)?, ty)))),
        (None, _) => None,
    };
    given.iter().filter_map(one).collect()
}

/// `--type TYPE` and `--type '*=TYPE'`: the type of all programs that have none; the last one counts.
pub(crate) fn default_type(given: &[String]) -> Result<Option<ProgType>, Failure> {
    let of_all = given.iter().rev().find(|text| type_and_program(text).0.is_none());
    of_all.map(|text| named_type(text, type_and_program(text).1)).transpose()
}

/// The program of a `--type`, if it is about one, and the name of the type.
fn type_and_program(text: &str) -> (Option<&str>, &str) {
    text.rsplit_once('=').map_or((None, text), |(prog, ty)| (Some(prog).filter(|prog| *prog != "*"), ty))
}

fn named_type(text: &str, ty: &str) -> Result<ProgType, Failure> {
    // A word of section names will do as well: `tc`, `socket`, `kprobe`.
    let by_section = || section::classify(ty, SectionDialect::Libbpf).ty;
    ProgType::from_name(ty).or_else(by_section).ok_or_else(|| {
        let known: Vec<_> = ProgType::names().skip(1).collect();
        let alone = if text.contains('=') { "" } else { "it is not PROG=TYPE, and " };
        let why = format!("{alone}there is no program type {ty:?}; there are {}", known.join(", "));
        Failure::Option { option: "--type", given: text.to_string(), why }
    })
}

/// `--tail-call MAP:KEY=PROG`, all of them.
pub(crate) fn tail_calls(
    spec: &ObjectSpec,
    object: &str,
    given: &[String],
) -> Result<Vec<FillSlot>, Failure> {
    let one = |text: &String| {
        let wrong =
            |why: &str| Failure::Option { option: "--tail-call", given: text.clone(), why: why.to_string() };
        let (slot, prog) = text.split_once('=').ok_or_else(|| wrong("it is not MAP:KEY=PROG"))?;
        let (table, key) = slot.rsplit_once(':').ok_or_else(|| wrong("it is not MAP:KEY=PROG"))?;
        let key =
            key.parse().map_err(|_not_a_number| wrong("its KEY is not a number from 0 to 4294967295"))?;
        let value = SlotValue::Program(program(spec, object, prog)?);
        let map = map(spec, object, table)?;
        // A definition may leave the number open.
        if let Some(entries) = spec.map(map).map(|map| map.max_entries).filter(|all| (1..=key).contains(all))
        {
            let (name, last) = (spec.map_name(map), entries.saturating_sub(1));
            return Err(wrong(&format!("key {key} is out of range: {name} has the slots 0 to {last}")));
        }
        Ok(FillSlot { map, key, value, from: SlotSource::Given })
    };
    let fills: Vec<FillSlot> = given.iter().map(one).collect::<Result<_, Failure>>()?;
    let mut seen = BTreeSet::new();
    match fills.iter().zip(given).find(|(fill, _)| !seen.insert((fill.map, fill.key))) {
        Some((_, text)) => Err(Failure::Option {
            option: "--tail-call",
            given: text.clone(),
            why: "its slot is given twice".to_string(),
        }),
        None => Ok(fills),
    }
}
