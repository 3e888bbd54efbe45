//! From a record to its answer: the types of the kernel that may be meant, and what they say.
//!
//! Source: libbpf `bpf_core_calc_relo_insn`, `bpf_core_find_cands`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::access::{self, Access, type_words};
use super::compat::same_kind;
use super::matching::{Matcher, Miss};
use super::value::{self, Value};
use super::work::{Metered, Work};
use super::{Answer, CoreError, CoreKind, Fixup, KernelTypes, Location, Resize};
use crate::btf::{Btf, CoreRelo, StrOff, TypeGraph, TypeId, Wanted};
use crate::bytes::Endian;

/// Names of the types that these records must find in a kernel.
pub fn wanted<'r>(btf: &Btf, records: impl IntoIterator<Item = &'r CoreRelo>, wanted: &mut Wanted) {
    let asked = records.into_iter().filter(|record| record.needs_target()).map(|record| record.ty);
    for ty in asked.collect::<BTreeSet<TypeId>>().into_iter().filter_map(|id| btf.get(id)) {
        wanted.add(btf.bytes_at(ty.name), ty.kind.like());
    }
}

/// Answers the records of one object, for one kernel.
#[derive(Debug)]
pub struct Resolver<'a> {
    local: &'a Btf,
    kernel: &'a KernelTypes<'a>,
    endian: Endian,
    /// What was asked before, by type, part and kind: positions in `answers`.
    asked: BTreeMap<(TypeId, StrOff, u32), usize>,
    answers: Vec<Result<Fixup, CoreError>>,
    /// Types of the kernel that a type of the object may mean. Once some of them had an answer, only those are asked
    /// again.
    candidates: BTreeMap<TypeId, Vec<Location>>,
    work: Work,
}

/// What the candidates say, and why others say nothing. Nearly always there is one, and it says something.
#[derive(Default)]
struct Heard {
    first: Option<Said>,
    others: Vec<Said>,
    missed: Vec<Missed>,
}

/// What one candidate says.
struct Said {
    value: Value,
    /// Where the part starts in it, in **bits**.
    bit_offset: u32,
    candidate: Location,
}

/// Why one candidate says nothing.
struct Missed {
    candidate: Location,
    why: String,
}

/// Candidates that are named when none has an answer.
const MOST_NAMED: usize = 3;

impl<'a> Resolver<'a> {
    /// A resolver for records that refer to `local`, whose code is of this byte order.
    pub fn new(local: &'a Btf, kernel: &'a KernelTypes<'a>, endian: Endian) -> Self {
        Self {
            local,
            kernel,
            endian,
            asked: BTreeMap::new(),
            answers: Vec::new(),
            candidates: BTreeMap::new(),
            work: Work::default(),
        }
    }

    /// With room for the answers to so many records: growing by and by would copy them again and again.
    #[must_use]
    pub fn with_room(mut self, records: usize) -> Self {
        self.answers.reserve(records);
        self
    }

    /// The answer to a record.
    ///
    /// # Errors
    /// [`CoreError`]: the record is damaged, or the kernel's types contradict each other.
    pub fn resolve(&mut self, record: &CoreRelo) -> Result<Fixup, CoreError> {
        let key = (record.ty, record.access, record.kind);
        if let Some(answer) = self.asked.get(&key).and_then(|at| self.answers.get(*at)) {
            return answer.clone();
        }
        if self.work.is_used_up() {
            return Err(CoreError::TooMuch);
        }
        let answer = self.answer(record);
        // What was found while nothing could be looked at any more is no answer.
        let answer = if self.work.is_used_up() { Err(CoreError::TooMuch) } else { answer };
        self.asked.insert(key, self.answers.len());
        self.answers.push(answer.clone());
        answer
    }

    fn answer(&mut self, record: &CoreRelo) -> Result<Fixup, CoreError> {
        let kind = CoreKind::from_number(record.kind).ok_or(CoreError::Kind { kind: record.kind })?;
        let local = Metered::object(self.local, &self.work);
        let about = || format!("{kind} {}", type_words(&local, record.ty));
        let access = access::parse(&local, record.ty, &local.text(record.access), kind)
            .map_err(|why| CoreError::Record { question: about(), why })?;
        // It takes longer to say than to answer.
        let question = || access.question(&local);
        let own = value::of(&local, &access, self.endian);
        let own = own.map_err(|why| CoreError::Unanswerable { question: question(), why })?;
        if kind == CoreKind::TypeIdLocal {
            return Ok(Fixup { answer: value(own, own.number, Resize::Keep), from: None });
        }
        let name = local.ty(record.ty).map_or(StrOff(0), |ty| ty.name);
        if local.bytes_at(name).is_empty() {
            return Err(CoreError::Anonymous { question: question() });
        }
        if self.kernel.vmlinux.is_none() {
            return Err(CoreError::NoTypes { question: question() });
        }
        if !self.candidates.contains_key(&record.ty) {
            self.candidates.insert(record.ty, self.candidates_of(record.ty));
        }
        let candidates = self.candidates.get(&record.ty).map(Vec::as_slice).unwrap_or_default();
        let heard = self.ask(&access, &question, candidates)?;
        let Some(first) = &heard.first else {
            return Ok(Fixup { answer: self.none(&access, own, &heard.missed), from: None });
        };
        if let Some(other) = heard.others.iter().find(|other| !agree(first, other)) {
            let words = |said: &Said| {
                let (number, byte) = (said.value.number, said.bit_offset / 8);
                format!("{} says {number} (byte {byte})", self.words(said.candidate))
            };
            return Err(CoreError::Ambiguous {
                question: question(),
                first: words(first),
                second: words(other),
            });
        }
        let resize = match self.kernel.of(first.candidate.module) {
            Some(target) => value::resize((self.local, &own), (target, &first.value)),
            None => Resize::Keep,
        };
        let answer = value(own, first.value.number, resize);
        let from = Some(first.candidate);
        if !heard.missed.is_empty() {
            let speak = heard.first.iter().chain(&heard.others).map(|said| said.candidate);
            self.candidates.insert(record.ty, speak.collect());
        }
        Ok(Fixup { answer, from })
    }

    /// Types of the kernel that have the name, flavours aside, and are of the kind. Modules are asked only where the
    /// kernel itself has none.
    fn candidates_of(&self, local: TypeId) -> Vec<Location> {
        let Some(own) = self.local.get(local) else {
            return Vec::new();
        };
        let name = self.local.bytes_at(own.name);
        let mut found = Vec::new();
        for (module, target) in self.kernel.all() {
            if module.is_some() && found.iter().any(|at: &Location| at.module.is_none()) {
                break;
            }
            let target_types = Metered::kernel(target, module, &self.work);
            let fits = |id: TypeId| target_types.ty(id).is_some_and(|ty| same_kind(&ty.kind, &own.kind));
            let named = target.named(name).iter().filter(|id| fits(**id));
            found.extend(named.map(|id| Location { module, id: *id }));
        }
        found
    }

    /// What the candidates say, and why those that say nothing do not.
    fn ask(
        &self,
        access: &Access,
        question: &dyn Fn() -> String,
        candidates: &[Location],
    ) -> Result<Heard, CoreError> {
        let mut heard = Heard::default();
        let local = Metered::object(self.local, &self.work);
        let unanswerable = |why| CoreError::Unanswerable { question: question(), why };
        for candidate in candidates {
            let Some(target) = self.kernel.of(candidate.module) else {
                continue;
            };
            let target = Metered::kernel(target, candidate.module, &self.work);
            let matcher = Matcher { local: &local, access, target: &target };
            match matcher.find(candidate.id) {
                _ if self.work.is_used_up() => return Err(CoreError::TooMuch),
                Ok(access) => {
                    let value = value::of(&target, &access, self.endian).map_err(unanswerable)?;
                    let said = Said { value, bit_offset: access.bit_offset, candidate: *candidate };
                    match heard.first {
                        None => heard.first = Some(said),
                        Some(_) => heard.others.push(said),
                    }
                }
                Err(Miss::Differs(why)) => heard.missed.push(Missed { candidate: *candidate, why }),
                Err(Miss::Unreachable(why)) => return Err(unanswerable(why)),
                Err(Miss::Endless) => return Err(CoreError::Endless { question: question() }),
            }
        }
        Ok(heard)
    }

    /// No type of the kernel has such a part.
    fn none(&self, access: &Access, own: Value, missed: &[Missed]) -> Answer {
        if let Some(number) = value::of_none(access.kind) {
            return value(own, number, Resize::Keep);
        }
        let each = |missed: &Missed| format!("in {}, {}", self.words(missed.candidate), missed.why);
        let mut reasons: Vec<String> = missed.iter().take(MOST_NAMED).map(each).collect();
        match missed.len().checked_sub(MOST_NAMED) {
            _ if missed.is_empty() => {
                reasons.push(format!("the kernel has no {}", type_words(self.local, access.root)));
            }
            None | Some(0) => {}
            Some(more) => reasons.push(format!("and so on for {more} more types")),
        }
        Answer::Poison { why: reasons.join("; ").into() }
    }

    /// A type of the kernel, as people find it again: `struct task_struct of vmlinux (type 123)`.
    fn words(&self, at: Location) -> String {
        let module = at.module.and_then(|at| self.kernel.modules.get(at));
        let place = module.map_or("vmlinux", |(name, _)| name.as_str());
        let name = self.kernel.of(at.module).map(|types| type_words(types, at.id)).unwrap_or_default();
        format!("{name} of {place} (type {})", at.id.0)
    }
}

fn value(own: Value, target: u64, resize: Resize) -> Answer {
    Answer::Value { local: own.number, target, certain: own.certain, resize }
}

/// Several types may be meant only if it makes no difference which.
fn agree(a: &Said, b: &Said) -> bool {
    a.bit_offset == b.bit_offset && a.value.number == b.value.number
}
