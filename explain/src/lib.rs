//! Shows how a BPF object is loaded, step by step: from its bytes to instructions to kernel calls.
//!
//! Pure: values in, values out. What is shown are the values of the loader's own stages, which carry their reasons with
//! them; nothing here works them out again. [`explain`] makes an [`Explanation`] of them, plain data that is the same for
//! every face: [`mod@text`] for a terminal, [`mod@html`] for a browser, JSON by `serde`.
#![forbid(unsafe_code)]

pub mod disasm;
pub mod html;
pub mod model;
pub mod text;

mod arguments;
mod btf;
mod code;
mod file;
mod graph;
pub mod join;
mod kconfig;
pub mod kernel;
mod machine;
mod maps;
mod message;
mod plan;
mod programs;
mod types;
mod words;
mod xlated;

use rxdp_loader::elf::ElfObject;
use rxdp_loader::features::Machine;
use rxdp_loader::link::LinkedObject;
use rxdp_loader::plan::LoadPlan;
use rxdp_loader::spec::ProgId;
use rxdp_loader::tail_calls::Conclusion;
use rxdp_loader::trace::Transcript;

use model::{Explanation, Problem};

/// What the stages of a load returned, as far as they came.
#[derive(Debug)]
pub struct Stages<'a> {
    /// The object's file, as it was given.
    pub path: &'a str,
    /// The object's name: its file name up to the first dot.
    pub name: &'a str,
    /// The bytes of the file.
    pub bytes: &'a [u8],
    /// The file, taken apart.
    pub elf: &'a ElfObject<'a>,
    /// How several files became that one, if there were several; there are no `bytes` then.
    pub joining: Option<join::Joining<'a>>,
    /// The object, linked.
    pub linked: Option<&'a LinkedObject>,
    /// The plan to load it.
    pub plan: Option<&'a LoadPlan<'a>>,
    /// The calls that the plan makes.
    pub calls: &'a Transcript,
    /// What it is loaded for.
    pub machine: &'a Machine,
    /// Where the kernel's types are from that code is fitted to.
    pub types: &'a str,
    /// The first program to run, if one can be attached to an interface.
    pub entry: Option<Entry>,
    /// Stages that failed, and why.
    pub problems: Vec<Problem>,
}

/// The program that is attached.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The program.
    pub program: ProgId,
    /// Whether the user chose it.
    pub given: bool,
    /// What its tail calls say about slots that nobody filled.
    pub conclusion: Conclusion,
}

/// Explains a load.
pub fn explain(stages: &Stages<'_>) -> Explanation {
    let mut problems = stages.problems.clone();
    let file = file::explain(stages, &mut problems);
    let linked = stages.linked;
    Explanation {
        version: model::VERSION,
        object: model::Object {
            path: stages.path.to_string(),
            name: stages.name.to_string(),
            bytes: match &stages.joining {
                Some(joining) => joining.sizes.iter().sum(),
                None => words::len(stages.bytes),
            },
        },
        machine: model::Machine {
            kernel: stages.machine.kernel.to_string(),
            types: stages.types.to_string(),
        },
        join: stages.joining.as_ref().map(|joining| join::explain(stages, joining)),
        file,
        maps: linked.map(|linked| maps::explain(stages, linked)).unwrap_or_default(),
        programs: linked.map(|linked| programs::explain(stages, linked)).unwrap_or_default(),
        functions: linked.map(|linked| code::functions(&linked.spec, linked)).unwrap_or_default(),
        externs: linked.map(code::externs).unwrap_or_default(),
        linked: linked.map(code::linked).unwrap_or_default(),
        graph: linked.map(|linked| graph::explain(stages, linked)).unwrap_or_default(),
        btf: linked.map(|linked| btf::explain(stages, linked)).unwrap_or_default(),
        plan: plan::explain(stages),
        kernel: None,
        problems,
    }
}
