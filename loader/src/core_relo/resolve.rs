//! From a record to its answer: the types of the kernel that may be meant, and what they say.
//!
//! Source: libbpf `bpf_core_calc_relo_insn`, `bpf_core_find_cands`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::access::{self, Access, type_words};
use super::compat::same_kind;
use super::matching::{Matcher, Miss};
use super::value::{self, Value};
use super::{Answer, CoreError, CoreKind, Fixup, KernelTypes, Location, Resize, Work};
use crate::btf::{Btf, CoreRelo, StrOff, TypeGraph, TypeId, Wanted};
use crate::bytes::Endian;

/// Names of the types that these records must find in a kernel.
pub fn wanted<'r>(btf: &Btf, records: impl IntoIterator<Item = &'r CoreRelo>, wanted: &mut Wanted) {
    let mut last = None;
    for record in records.into_iter().filter(|record| record.needs_target()) {
        // Records stand by type more often than not.
        if last.replace(record.ty) != Some(record.ty) {
            if let Some(ty) = btf.get(record.ty) {
                wanted.add(btf.bytes_at(ty.name), ty.kind.like());
            }
        }
    }
}

/// Answers the records of one object, for one kernel.
#[derive(Debug)]
pub struct Resolver<'a> {
    local: &'a Btf,
    kernel: &'a KernelTypes<'a>,
    endian: Endian,
    /// Types of the kernel that a type of the object may mean. Once some of them had an answer, only those are asked
    /// again.
    candidates: BTreeMap<TypeId, Vec<Location>>,
    work: Work,
}

/// What one candidate says.
struct Said {
    access: Access,
    value: Value,
    candidate: Location,
}

impl<'a> Resolver<'a> {
    /// A resolver for records that refer to `local`, whose code is of this byte order.
    pub fn new(local: &'a Btf, kernel: &'a KernelTypes<'a>, endian: Endian) -> Self {
        Self { local, kernel, endian, candidates: BTreeMap::new(), work: Work::default() }
    }

    /// The answer to a record.
    ///
    /// # Errors
    /// [`CoreError`]: the record is damaged, or the kernel's types contradict each other.
    pub fn resolve(&mut self, record: &CoreRelo) -> Result<Fixup, CoreError> {
        let kind = CoreKind::from_number(record.kind).ok_or(CoreError::Kind { kind: record.kind })?;
        let about = || format!("{kind} {}", type_words(self.local, record.ty));
        let text = self.local.text(record.access);
        let access = access::parse(self.local, record.ty, &text, kind)
            .map_err(|why| CoreError::Record { question: about(), why })?;
        let question = access.question(self.local);
        let own = value::of(self.local, &access, self.endian);
        let own = own.map_err(|why| CoreError::Unanswerable { question: question.clone(), why })?;
        if kind == CoreKind::TypeIdLocal {
            return Ok(Fixup { question, answer: answer(own, own.number, Resize::Keep) });
        }
        let name = self.local.get(record.ty).map_or(StrOff(0), |ty| ty.name);
        if self.local.bytes_at(name).is_empty() {
            return Err(CoreError::Anonymous { question });
        }
        if self.kernel.vmlinux.is_none() {
            return Err(CoreError::NoTypes { question });
        }
        let candidates = match self.candidates.get(&record.ty) {
            Some(known) => known.clone(),
            None => self.candidates_of(record.ty),
        };
        let (said, missed) = self.ask(&access, &question, &candidates)?;
        let Some((first, rest)) = said.split_first() else {
            self.candidates.insert(record.ty, candidates);
            return Ok(Fixup { answer: self.none(&access, own, missed), question });
        };
        if let Some(other) = rest.iter().find(|other| !agree(first, other)) {
            let words = |said: &Said| format!("{} (byte {})", said.value.number, said.access.bit_offset / 8);
            return Err(CoreError::Ambiguous { question, first: words(first), second: words(other) });
        }
        self.candidates.insert(record.ty, said.iter().map(|said| said.candidate).collect());
        let resize = match self.kernel.of(first.candidate.module) {
            Some(target) => value::resize((self.local, &own), (target, &first.value)),
            None => Resize::Keep,
        };
        Ok(Fixup { question, answer: answer(own, first.value.number, resize) })
    }

    /// Types of the kernel that have the name, flavours aside, and are of the kind. Modules are asked only where the
    /// kernel itself has none.
    fn candidates_of(&self, local: TypeId) -> Vec<Location> {
        let Some(own) = self.local.get(local) else {
            return Vec::new();
        };
        let name = self.local.bytes_at(own.name);
        let fits = |target: &dyn TypeGraph, id: TypeId| {
            target.ty(id).is_some_and(|ty| same_kind(&ty.kind, &own.kind))
        };
        let mut found = Vec::new();
        for (module, target) in self.kernel.all() {
            if module.is_some() && found.iter().any(|at: &Location| at.module.is_none()) {
                break;
            }
            let named = target.named(name).iter().filter(|id| fits(target, **id));
            found.extend(named.map(|id| Location { module, id: *id }));
        }
        found
    }

    /// What the candidates say, and why those that say nothing do not.
    fn ask(
        &self,
        access: &Access,
        question: &str,
        candidates: &[Location],
    ) -> Result<(Vec<Said>, Vec<String>), CoreError> {
        let (mut said, mut missed) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let Some(target) = self.kernel.of(candidate.module) else {
                continue;
            };
            let matcher = Matcher { local: self.local, access, target, work: &self.work };
            match matcher.find(candidate.id) {
                Ok(access) => {
                    let value = value::of(target, &access, self.endian);
                    let value = value
                        .map_err(|why| CoreError::Unanswerable { question: question.to_string(), why })?;
                    said.push(Said { access, value, candidate: *candidate });
                }
                Err(Miss::Differs(why)) => missed.push(why),
                Err(Miss::Unreachable(why)) => {
                    return Err(CoreError::Unanswerable { question: question.to_string(), why });
                }
                Err(Miss::Endless) => return Err(CoreError::Endless { question: question.to_string() }),
            }
        }
        Ok((said, missed))
    }

    /// No type of the kernel has such a part.
    fn none(&self, access: &Access, own: Value, mut missed: Vec<String>) -> Answer {
        if let Some(number) = value::of_none(access.kind) {
            return answer(own, number, Resize::Keep);
        }
        if missed.is_empty() {
            missed.push(format!("the kernel has no {}", type_words(self.local, access.root)));
        }
        Answer::Poison { why: missed.join("; ") }
    }
}

fn answer(own: Value, target: u64, resize: Resize) -> Answer {
    Answer::Value { local: own.number, target, certain: own.certain, resize }
}

/// Several types may be meant only if it makes no difference which.
fn agree(a: &Said, b: &Said) -> bool {
    a.access.bit_offset == b.access.bit_offset && a.value.number == b.value.number
}
