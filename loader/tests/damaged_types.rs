//! Damaged types: the object's own, what it asks about them, and the kernel's. Whatever they say, every stage ends soon,
//! takes little memory and never panics.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::thread;

use common::bounds::bounded;
use common::damage::{Random, TELLING, damaged};
use common::fields::with_section;
use common::types::{small_kernel, types_of};
use common::{bytes_of, plan, read};
use peak_alloc::PeakAlloc;
use rxdp_loader::btf::{Btf, Kind, StrOff, TargetBtf, TypeId};
use rxdp_loader::core_relo::KernelTypes;
use rxdp_loader::elf;
use rxdp_loader::link;
use rxdp_loader::spec::ObjectSpec;
use rxdp_loader::target;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Objects that ask kernels something, and the objects that have these kernels' types; `None` for [`small_kernel`].
const ASKING: &[(&str, Option<&str>)] = &[
    ("core_kernel.o", None),
    ("core_kinds.o", Some("core_target.o")),
    ("core_kinds.o", Some("core_target-bigendian.o")),
    ("hooks.o", None),
    ("ksyms.o", None),
    ("struct_ops.o", None),
    ("throws.o", None),
];

/// What is damaged.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The object's types.
    Own,
    /// What it asks about them, and where its functions and lines are.
    Records,
    /// The kernel's types.
    Kernel,
}

const PARTS: [Part; 3] = [Part::Own, Part::Records, Part::Kernel];

impl Part {
    const fn section(self) -> Option<&'static str> {
        match self {
            Self::Own => Some(".BTF"),
            Self::Records => Some(".BTF.ext"),
            Self::Kernel => None,
        }
    }
}

/// An object and the types of the kernel that it asks.
#[derive(Clone)]
struct Case {
    object: Vec<u8>,
    kernel: Vec<u8>,
}

impl Case {
    fn of(object: &str, kernel: Option<&str>) -> Self {
        Self { object: bytes_of(object), kernel: kernel.map_or_else(|| small_kernel().bytes(), types_of) }
    }

    fn part(&self, part: Part) -> Vec<u8> {
        match part.section() {
            None => self.kernel.clone(),
            Some(name) => elf::parse(&self.object).unwrap().section_named(name).unwrap().data.to_vec(),
        }
    }

    /// The same with other bytes for one part. A section moves to the end of the file.
    fn with(&self, part: Part, bytes: &[u8]) -> Self {
        let Some(name) = part.section() else {
            return Self { kernel: bytes.to_vec(), ..self.clone() };
        };
        let object = with_section(&self.object, name, bytes);
        Self { object, ..self.clone() }
    }
}

/// How far a damaged case got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reached {
    Nothing,
    Spec,
    Answers,
    Plan,
}

fn through_all_stages(name: &str, case: &Case) -> Reached {
    let Ok(spec) = read(name, &case.object) else {
        return Reached::Nothing;
    };
    let mut wanted = target::needs_of_code(&spec);
    wanted.merge(target::needs_of_kernel(&spec));
    let Ok(vmlinux) = TargetBtf::scan(&case.kernel, None, &wanted) else {
        return Reached::Spec;
    };
    // The same once more as a module's, which goes on where the kernel ends.
    let module = TargetBtf::scan(&case.kernel, Some(&vmlinux), &wanted).unwrap();
    let kernel = KernelTypes { vmlinux: Some(&vmlinux), modules: vec![("module".to_string(), module)] };
    link_and_plan(spec, &kernel)
}

fn link_and_plan(spec: ObjectSpec, kernel: &KernelTypes<'_>) -> Reached {
    let answers = target::answer(&spec, kernel, kernel);
    let object = link::link_with(spec, answers);
    for program in &object.programs {
        match program {
            Ok(program) => assert!(program.as_compiled().is_some(), "patches do not describe the code"),
            Err(error) => assert!(error.to_string().len() < 10_000, "{error}"),
        }
    }
    match plan(&object) {
        Ok(plan) if plan.refused.is_empty() => Reached::Plan,
        _ => Reached::Answers,
    }
}

/// Goes through all stages and holds them to the bounds.
fn held(name: &str, what: &str, case: &Case) -> Reached {
    bounded(&MEMORY, &format!("{name}, {what}"), || through_all_stages(name, case))
}

#[test]
fn damaged_types_never_panic_and_cost_little() {
    const EACH: u64 = 480;
    let cases = ASKING.iter().flat_map(|of| PARTS.map(|part| (*of, part)));
    let cases: Vec<_> = cases.collect();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let reached: Vec<Reached> = thread::scope(|scope| {
        let work = |worker| {
            let mine: Vec<_> = cases.iter().skip(worker).step_by(workers).collect();
            move || mine.into_iter().flat_map(|(of, part)| damage(*of, *part, EACH)).collect::<Vec<_>>()
        };
        let running: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(reached.len() as u64, EACH * cases.len() as u64);
    assert!(reached.len() > 10_000, "{}", reached.len());
    let count = |of| reached.iter().filter(|reached| **reached == of).count();
    // Damage that is always seen at once tries nothing behind the first stage, and the other way round.
    let counts = [Reached::Nothing, Reached::Spec, Reached::Answers, Reached::Plan].map(count);
    assert!(counts.iter().all(|count| *count > 300), "{counts:?}");
}

fn damage((name, kernel): (&str, Option<&str>), part: Part, rounds: u64) -> Vec<Reached> {
    let case = Case::of(name, kernel);
    let whole = case.part(part);
    assert_ne!(through_all_stages(name, &case), Reached::Nothing, "{name}");
    let one = |seed| {
        // Half of it knows what it damages.
        let knows = seed % 2 == 0 && !matches!(part, Part::Records);
        let bytes = if knows { bent(&whole, seed) } else { damaged(&whole, seed) };
        held(name, &format!("{part:?}, seed {seed}"), &case.with(part, &bytes))
    };
    (1..=rounds).map(one).collect()
}

/// The types with one to four of them changed: they refer to themselves, to others, to none; they begin elsewhere, have
/// other sizes, lengths and names, or more members than fit. Written in this machine's byte order.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest of the many kinds becomes another one")]
fn bent(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut btf = Btf::parse(bytes, TargetBtf::endian_of(bytes)).unwrap();
    let mut random = Random(seed);
    for _ in 0..=random.below(4) {
        let at = 1 + random.below(btf.types.len() - 1);
        let other = match random.below(4) {
            0 => at,
            1 => at.saturating_sub(1),
            2 => random.below(btf.types.len()),
            _ => btf.types.len() + random.below(9),
        };
        let other = TypeId(u32::try_from(other).unwrap());
        let [low, ..] = TELLING[random.below(TELLING.len())].to_le_bytes().map(u32::from);
        let number = if random.below(2) == 0 { low } else { u32::try_from(random.next() >> 32).unwrap() };
        let name = StrOff(u32::try_from(random.below(btf.strings.len() + 9)).unwrap());
        let which = random.below(5);
        let ty = &mut btf.types[at];
        if which == 0 {
            ty.name = name;
            continue;
        }
        match &mut ty.kind {
            Kind::Int { size, detail } => *(if which == 1 { size } else { detail }) = number,
            Kind::Array { element, len, .. } => match which {
                1 => *len = number,
                _ => *element = other,
            },
            Kind::Composite { size, members, .. } => match (members.len(), which) {
                (0, _) | (_, 1) => *size = number,
                (count, 2) => members[random.below(count)].bit_offset = number,
                (count, 3) => {
                    let many = members[random.below(count)];
                    members.extend(std::iter::repeat_n(many, random.below(70_000)));
                }
                (count, _) => {
                    let member = &mut members[random.below(count)];
                    (member.ty, member.name) = (other, if number % 2 == 0 { StrOff(0) } else { member.name });
                }
            },
            Kind::FuncProto { ret, params } => match params.first_mut().filter(|_| which > 2) {
                Some(param) => param.ty = other,
                None => *ret = other,
            },
            Kind::Datasec { size, vars } => match (vars.first_mut(), which) {
                (Some(var), 1) => var.offset = number,
                (Some(var), 2) => var.size = number,
                (Some(var), 3) => var.var = other,
                _ => *size = number,
            },
            Kind::Enum { size, values, .. } => match values.first_mut() {
                Some(value) if which > 2 => *value = (name, number),
                _ => *size = number,
            },
            Kind::Ptr(to)
            | Kind::Typedef(to)
            | Kind::Volatile(to)
            | Kind::Const(to)
            | Kind::Restrict(to)
            | Kind::Var { ty: to, .. }
            | Kind::Func { proto: to, .. } => *to = other,
            _ => ty.kind = Kind::Typedef(other),
        }
    }
    btf.encode()
}

#[test]
fn types_cut_anywhere_end_somewhere() {
    let case = Case::of("core_kinds.o", Some("core_target.o"));
    for part in PARTS {
        let whole = case.part(part);
        let reached: Vec<_> = (0..whole.len())
            .map(|len| {
                held("core_kinds.o", &format!("{part:?} cut to {len}"), &case.with(part, &whole[..len]))
            })
            .collect();
        let most = reached.iter().filter(|reached| **reached == Reached::Plan).count();
        // Records can be cut between tables; types cannot.
        assert!(most < 4, "{part:?}: {most} of {} cuts are not seen", whole.len());
    }
}
