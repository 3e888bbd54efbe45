//! Types on their way to the kernel: which it gets as they are, which otherwise, in place of which it gets nothing.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use rxdp_loader::btf::{self, Btf, Kind, SecVar, Type, TypeId, TypeReason};
use rxdp_loader::features::{FEATURES, Features, Machine};
use rxdp_loader::link::LinkedObject;
use rxdp_loader::plan::{AllNeeded, LoadPlan, Needed, SentTypes, Step};
use rxdp_loader::sanitize;

use crate::Stages;
use crate::model::{self, Detail, Fate, FateKind, KindCount, TypeChange};
use crate::words::{count, len};

use words::{NOT_NEEDED, kind, linkage, needed_for, short, type_in_words, why};

/// Most names of a fate.
const NAMES: usize = 8;
/// Most details of a change.
const DETAILS: usize = 24;
/// Most changes for an older kernel, of each reason, and of the others.
const CHANGES: usize = 200;

pub(crate) fn explain(stages: &Stages<'_>, linked: &LinkedObject) -> model::Btf {
    let Some(types) = &linked.spec.btf else {
        let defect = linked.spec.btf_defect.as_ref().map(|why| format!("they are damaged: {why}"));
        let problem = Some(defect.unwrap_or_else(|| "the object has none".to_string()));
        return model::Btf { problem, ..model::Btf::default() };
    };
    let way = Way::of(types, linked, stages);
    let (changes, more_changes) = way.changes();
    let added = way.steps.iter().filter(|step| step.before.is_none()).count();
    model::Btf {
        problem: way.problem(stages.plan),
        types: count(way.last.types.len().saturating_sub(1).saturating_sub(added)),
        added: count(added),
        file_bytes: stages.elf.section_named(".BTF").map(|section| section.size),
        sent_bytes: stages.plan.and_then(sent_bytes),
        name_bytes: len(&way.last.strings),
        all_needed: way.sent.and_then(|sent| all_needed(types, &sent.needed)),
        fates: way.fates(),
        changes,
        more_changes,
    }
}

fn sent_bytes(plan: &LoadPlan<'_>) -> Option<u64> {
    plan.steps.iter().find_map(|step| if let Step::LoadBtf(data) = step { Some(len(data)) } else { None })
}

fn all_needed(types: &Btf, needed: &Needed) -> Option<String> {
    match needed {
        Needed::Some(_) => None,
        Needed::All(AllNeeded::Wished) => Some("they are to be read again from the kernel".to_string()),
        Needed::All(AllNeeded::Numbers) => Some(
            "the code carries numbers of the object's own types (bpf_core_type_id_local): the kernel looks at those in \
             all detail"
                .to_string(),
        ),
        Needed::All(AllNeeded::Tag(tag)) => Some(format!(
            "the tag {:?}, type {}: for it the kernel looks for types by name, or asks what pointers point to",
            types.name(*tag),
            tag.0
        )),
    }
}

/// A change, with what came out of it.
struct Changed<'w> {
    id: TypeId,
    before: Option<&'w Type>,
    after: Type,
    reason: TypeReason,
}

/// The way of an object's types from the file to the kernel.
struct Way<'w> {
    /// The types as they are sent, but for placeholders.
    last: Btf,
    steps: Vec<Changed<'w>>,
    sent: Option<&'w SentTypes>,
    machine: &'w Machine,
}

impl<'w> Way<'w> {
    fn of(types: &Btf, linked: &'w LinkedObject, stages: &Stages<'w>) -> Self {
        let sent = stages.plan.and_then(|plan| plan.types.as_ref());
        let data = stages.plan.map(|plan| plan.steps.as_slice()).unwrap_or_default();
        let data =
            data.iter().find_map(|step| if let Step::LoadBtf(data) = step { Some(data) } else { None });
        let last = sent.zip(data).and_then(|(sent, data)| as_sent(types, &sent.needed, data));
        let mut way = Self {
            last: last.unwrap_or_else(|| types.clone()),
            steps: Vec::new(),
            sent,
            machine: stages.machine,
        };
        let changes = linked.spec.type_changes.iter();
        let changes: Vec<&btf::TypeChange> =
            changes.chain(sent.map(|sent| sent.changes.as_slice()).unwrap_or_default()).collect();
        // What came out of a change is what the next one of the same type began with.
        let mut now: BTreeMap<TypeId, Type> = BTreeMap::new();
        for change in changes.iter().rev() {
            let last = || way.last.get(change.id).cloned();
            let Some(after) = now.remove(&change.id).or_else(last) else {
                continue;
            };
            now.extend(change.before.clone().map(|before| (change.id, before)));
            way.steps.push(Changed {
                id: change.id,
                before: change.before.as_ref(),
                after,
                reason: change.reason,
            });
        }
        way.steps.reverse();
        way
    }

    fn problem(&self, plan: Option<&LoadPlan<'_>>) -> Option<String> {
        match plan {
            None => Some("there is no plan".to_string()),
            Some(_) if self.sent.is_none() => {
                Some(format!("Linux {} takes none: it does since 4.18", self.machine.kernel))
            }
            Some(_) => None,
        }
    }

    fn is_sent(&self, id: TypeId) -> bool {
        self.sent.is_some_and(|sent| sent.needed.contains(id))
    }

    /// What becomes of one type, and why.
    fn fate(&self, id: TypeId, changed: &BTreeMap<TypeId, &Changed<'_>>) -> (FateKind, &'static str) {
        if !self.is_sent(id) {
            return (FateKind::Placeholder, NOT_NEEDED);
        }
        if let Some(change) = changed.get(&id) {
            return (FateKind::Changed, short(change.reason));
        }
        let need = match self.sent.map(|sent| &sent.needed) {
            Some(Needed::Some(list)) => list.get(id.index()).copied().unwrap_or_default(),
            _ => return (FateKind::Kept, "the kernel must see all types"),
        };
        (FateKind::Kept, needed_for(need))
    }

    fn fates(&self) -> Vec<Fate> {
        if self.sent.is_none() {
            return Vec::new();
        }
        let changed: BTreeMap<TypeId, &Changed<'_>> = self.steps.iter().map(|step| (step.id, step)).collect();
        let mut groups: BTreeMap<(FateKind, &'static str), Vec<TypeId>> = BTreeMap::new();
        for id in (0..count(self.last.types.len())).map(TypeId).skip(1) {
            groups.entry(self.fate(id, &changed)).or_default().push(id);
        }
        groups.iter().map(|((what, why), ids)| self.group(*what, why, ids)).collect()
    }

    fn group(&self, what: FateKind, why: &str, ids: &[TypeId]) -> Fate {
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for id in ids {
            let Some(ty) = self.last.get(*id) else {
                continue;
            };
            let many = kinds.entry(kind(&ty.kind)).or_default();
            *many = many.saturating_add(1);
            if names.len() < NAMES && ty.name.0 != 0 {
                names.insert(self.last.name(*id).into_owned());
            }
        }
        let mut kinds: Vec<KindCount> =
            kinds.into_iter().map(|(kind, types)| KindCount { kind: kind.to_string(), types }).collect();
        kinds.sort_by_key(|of| std::cmp::Reverse(of.types));
        Fate {
            what,
            why: why.to_string(),
            types: count(ids.len()),
            kinds,
            names: names.into_iter().collect(),
        }
    }

    /// The changes that are shown, and how many are not.
    fn changes(&self) -> (Vec<TypeChange>, u32) {
        let mut seen: BTreeMap<(TypeReason, u32), usize> = BTreeMap::new();
        let shown: Vec<TypeChange> = self
            .steps
            .iter()
            .filter(|step| {
                let many = seen.entry((step.reason, self.lacking(step).bits())).or_default();
                *many = many.saturating_add(1);
                *many <= CHANGES
            })
            .map(|step| self.change(step))
            .collect();
        let more = self.steps.len().saturating_sub(shown.len());
        (by_reason(shown), count(more))
    }

    /// What the kernel would have to know, for this change not to be needed.
    fn lacking(&self, step: &Changed<'_>) -> Features {
        let needs = step.before.map(|before| sanitize::needs_of_type(&self.last, before));
        let needs = needs.filter(|_| step.reason == TypeReason::Lacking);
        needs.unwrap_or(Features::empty()).difference(self.machine.features)
    }

    fn change(&self, step: &Changed<'_>) -> TypeChange {
        let ty = step.before.unwrap_or(&step.after);
        let mut details = self.details(step);
        let more = details.len().saturating_sub(DETAILS);
        details.truncate(DETAILS);
        TypeChange {
            id: step.id.0,
            kind: kind(&ty.kind).to_string(),
            name: self.last.string(ty.name).into_owned(),
            reason: self.reason(step),
            details,
            more_details: count(more),
            sent: self.is_sent(step.id),
        }
    }

    fn reason(&self, step: &Changed<'_>) -> String {
        let lacking = self.lacking(step);
        if lacking.is_empty() {
            return why(step.reason).to_string();
        }
        let rows = FEATURES.iter().filter(|row| lacking.contains(row.feature));
        let words: Vec<String> = rows
            .map(|row| {
                let (major, minor) = row.since;
                format!("{} (since {major}.{minor}): {}", row.name, row.without)
            })
            .collect();
        format!("Linux {} does not know {}", self.machine.kernel, words.join("; nor "))
    }

    fn details(&self, step: &Changed<'_>) -> Vec<Detail> {
        let after = &step.after;
        let Some(before) = step.before else {
            return vec![detail("added", String::new(), type_in_words(&self.last, after))];
        };
        match (&before.kind, &after.kind) {
            (Kind::Datasec { size, vars }, Kind::Datasec { size: new_size, vars: new_vars }) => {
                let size = (size != new_size)
                    .then(|| detail("size", format!("{size} bytes"), format!("{new_size} bytes")));
                let name =
                    (before.name != after.name).then(|| detail("name", self.name(before), self.name(after)));
                size.into_iter().chain(name).chain(self.variables(vars, new_vars)).collect()
            }
            (Kind::Func { proto, linkage: was }, Kind::Func { proto: new_proto, linkage: is })
                if proto == new_proto =>
            {
                vec![detail("linkage", linkage(*was), linkage(*is))]
            }
            (Kind::Var { ty, linkage: was }, Kind::Var { ty: new_ty, linkage: is }) => {
                let ty =
                    (ty != new_ty).then(|| detail("type", self.type_words(*ty), self.type_words(*new_ty)));
                let linkage = (was != is).then(|| detail("linkage", linkage(*was), linkage(*is)));
                ty.into_iter().chain(linkage).collect()
            }
            (Kind::FuncProto { params: old, .. }, Kind::FuncProto { params: new, .. }) => {
                let named = (1u32..).zip(old.iter().zip(new)).filter(|(_, (old, new))| old.name != new.name);
                let named = named.map(|(at, (_, new))| {
                    let name = self.last.string(new.name).into_owned();
                    detail(&format!("name of parameter {at}"), "none".to_string(), name)
                });
                named.collect()
            }
            _ => vec![detail("kind", type_in_words(&self.last, before), type_in_words(&self.last, after))],
        }
    }

    /// What is other about the variables of a section.
    fn variables(&self, old: &[SecVar], new: &[SecVar]) -> Vec<Detail> {
        let name = |var: &SecVar| self.last.name(var.var).into_owned();
        let was: BTreeMap<TypeId, &SecVar> = old.iter().map(|var| (var.var, var)).collect();
        let order = |vars: &[SecVar]| vars.iter().map(|var| var.var).collect::<Vec<_>>();
        let same_variables = old.len() == new.len() && new.iter().all(|var| was.contains_key(&var.var));
        if !same_variables {
            let names = |vars: &[SecVar]| vars.iter().map(name).collect::<Vec<_>>().join(", ");
            return vec![detail("variables", names(old), names(new))];
        }
        let sorted = order(old) != order(new);
        let sorted =
            sorted.then(|| detail("order", "of their first use".to_string(), "by offset".to_string()));
        let moved = new.iter().filter_map(|var| {
            let was = was.get(&var.var).filter(|was| was.offset != var.offset)?;
            let what = format!("offset of {}", name(var));
            Some(detail(&what, was.offset.to_string(), var.offset.to_string()))
        });
        let sized = new.iter().filter_map(|var| {
            let was = was.get(&var.var).filter(|was| was.size != var.size)?;
            let what = format!("size of {}", name(var));
            Some(detail(&what, format!("{} bytes", was.size), format!("{} bytes", var.size)))
        });
        sorted.into_iter().chain(moved).chain(sized).collect()
    }

    fn name(&self, ty: &Type) -> String {
        self.last.string(ty.name).into_owned()
    }

    fn type_words(&self, id: TypeId) -> String {
        let words = crate::types::c_type(Some(&self.last), id).unwrap_or_else(|| "void".to_string());
        format!("{words} (type {})", id.0)
    }
}

/// Changes of one reason together, in the order in which the reasons come up.
fn by_reason(changes: Vec<TypeChange>) -> Vec<TypeChange> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for change in &changes {
        let next = reasons.len();
        reasons.entry(change.reason.clone()).or_insert(next);
    }
    let mut changes = changes;
    changes.sort_by_key(|change| reasons.get(&change.reason).copied());
    changes
}

/// The types as they are sent, with those of the object in place of the placeholders.
fn as_sent(types: &Btf, needed: &Needed, data: &[u8]) -> Option<Btf> {
    let mut sent = Btf::parse(data, rxdp_loader::bytes::Endian::NATIVE).ok()?;
    for (at, (ty, own)) in (0u32..).zip(sent.types.iter_mut().zip(&types.types)) {
        if !needed.contains(TypeId(at)) {
            ty.clone_from(own);
        }
    }
    Some(sent)
}

fn detail(what: &str, before: String, after: String) -> Detail {
    Detail { what: what.to_string(), before, after }
}
