//! One flat stream of instructions for each program: its subprograms behind it, calls and references resolved.
//!
//! Maps stay numbers of the object: descriptors are written by [`crate::load`], when they exist. So a linked program is
//! the same on every machine and can be compared, stored and explained.
//!
//! Source: libbpf `bpf_object__relocate_calls`, `bpf_object__relocate_data`.

mod externs;
mod info;
mod layout;
mod refs;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::btf::{LineInfo, TypeId};
use crate::core_relo::CoreError;
use crate::insn::{Insn, InsnIdx};
use crate::patch::Patch;
use crate::spec::{FuncId, MapId, ObjectSpec, ProgId, ProgramSpec};
use crate::target::{Answers, KsymError};

/// An object whose programs are linked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkedObject {
    /// What the object defines.
    pub spec: ObjectSpec,
    /// What the kernel's types say to what it asks.
    pub answers: Answers,
    /// Modules whose functions it calls, as positions in [`Answers::modules`]: the descriptor of the first one's BTF
    /// stands at 1 in the `fd_array` of each program, and so on.
    pub fd_array: Vec<usize>,
    /// Its programs, by [`ProgId`]. One that cannot be linked does not stand in the others' way.
    pub programs: Vec<Result<LinkedProgram, LinkError>>,
}

/// A program as it is sent to the kernel, but for the maps' descriptors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkedProgram {
    /// Its number.
    pub id: ProgId,
    /// Its code, the entry function first.
    pub insns: Vec<Insn>,
    /// Which function stands where, in that order.
    pub layout: Vec<Span>,
    /// Slots whose immediate is to become a map's descriptor, by position.
    pub map_refs: Vec<(InsnIdx, MapId)>,
    /// Slots whose immediate is to become the descriptor of a module's BTF, by position, with the module's position in
    /// [`Answers::modules`].
    pub btf_refs: Vec<(InsnIdx, usize)>,
    /// Where each function starts, and its type. Empty unless all are known: the kernel takes all or none.
    pub func_info: Vec<(InsnIdx, TypeId)>,
    /// Source lines. Empty unless each function begins with one.
    pub line_info: Vec<(InsnIdx, LineInfo)>,
    /// Every slot that differs from what the compiler wrote.
    pub patches: Vec<Patch>,
}

/// A function's place in a linked program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The function.
    pub func: FuncId,
    /// Its first slot in the program.
    pub start: InsnIdx,
    /// Its length in **slots**.
    pub len: u32,
}

/// Why a program cannot be linked, and which of its instructions stands in the way.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("program {program:?}: {place}: {cause}")]
pub struct LinkError {
    /// The program.
    pub program: String,
    /// The instruction.
    pub place: Place,
    /// What is wrong with it.
    pub cause: Box<LinkCause>,
}

/// An instruction, as people find it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The function it stands in.
    pub function: String,
    /// Its slot, from the function's start.
    pub at: InsnIdx,
    /// The source line that made it, where the object says.
    pub line: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.function, self.at)?;
        self.line.as_ref().map_or(Ok(()), |line| write!(f, " ({line})"))
    }
}

/// What can be wrong with an instruction.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkCause {
    /// It refers to something outside of the object.
    #[error(
        "it refers to {symbol:?}, which the object does not define and which was not found in the kernel"
    )]
    Extern {
        /// The symbol.
        symbol: String,
    },
    /// It calls or loads a plain symbol that the object does not define: neither the kernel's nor its configuration's.
    #[error("it {} {symbol:?}, which the object declares and does not define: join the file that defines it with --link FILE, or declare it __ksym if it is the kernel's", if *.call { "calls" } else { "refers to" })]
    Undefined {
        /// The symbol.
        symbol: String,
        /// Whether it is called.
        call: bool,
    },
    /// It refers to something that makes no sense.
    #[error("it refers to {symbol:?}: {why}")]
    Broken {
        /// The symbol; empty for a call without one.
        symbol: String,
        /// What is wrong.
        why: String,
    },
    /// It refers to a variable or function of the kernel that cannot be used.
    #[error("it refers to {symbol:?}: {why}")]
    Ksym {
        /// The symbol.
        symbol: String,
        /// Why.
        why: KsymError,
    },
    /// It depends on types, and the kernel's give no answer.
    #[error(transparent)]
    CoreRelo(CoreError),
    /// It depends on types, and nobody looked at the kernel's.
    #[error("it depends on the kernel's types (CO-RE), and they were not looked at")]
    NotAsked,
    /// A tag names a callback that is no global function.
    #[error(
        "its tag says that {callback:?} handles its exceptions, which is no global function of the object"
    )]
    ExceptionCallback {
        /// The callback.
        callback: String,
    },
    /// It is cut off.
    #[error("it is a 64-bit load whose second half is missing")]
    HalfLoad,
    /// The program and its subprograms are longer than positions can count.
    #[error("the program has more than 2^31 instructions with its subprograms")]
    TooLong,
}

/// Links every program of an object that asks no kernel anything; those that do are errors.
pub fn link(spec: ObjectSpec) -> LinkedObject {
    link_with(spec, Answers::default())
}

/// Links every program of an object for the kernel that gave the answers.
pub fn link_with(spec: ObjectSpec, answers: Answers) -> LinkedObject {
    let fd_array = externs::fd_array(&spec, &answers);
    let outside = Outside { answers: &answers, fd_array: &fd_array };
    let programs = spec.programs.iter().enumerate();
    let programs = programs.map(|(at, program)| one(&spec, &outside, ProgId::new(at), program)).collect();
    LinkedObject { programs, spec, answers, fd_array }
}

/// What is outside of the object.
struct Outside<'a> {
    answers: &'a Answers,
    fd_array: &'a [usize],
}

fn one(
    spec: &ObjectSpec,
    outside: &Outside<'_>,
    id: ProgId,
    program: &ProgramSpec,
) -> Result<LinkedProgram, LinkError> {
    let whole = |cause| {
        let place = Place { function: program.name.clone(), at: InsnIdx(0), line: None };
        LinkError { program: program.name.clone(), place, cause: Box::new(cause) }
    };
    let no_callback = |callback| whole(LinkCause::ExceptionCallback { callback });
    let callback = program.exception_callback.clone().transpose().map_err(no_callback)?;
    let layout = layout::layout(spec, program.func, callback).ok_or_else(|| whole(LinkCause::TooLong))?;
    let mut insns = Vec::new();
    for span in &layout {
        insns.extend(spec.function(span.func).map(|f| f.insns.as_slice()).unwrap_or_default());
    }
    let refs::Resolved { patches, map_refs, btf_refs } =
        refs::resolve(spec, outside, &program.name, &layout, &mut insns)?;
    let (func_info, line_info) = info::collect(spec, &layout);
    Ok(LinkedProgram { id, insns, layout, map_refs, btf_refs, func_info, line_info, patches })
}

impl LinkedObject {
    /// The program with this number, if it could be linked.
    pub fn program(&self, id: ProgId) -> Option<&LinkedProgram> {
        self.programs.get(id.index()).and_then(|p| p.as_ref().ok())
    }
}

impl LinkedProgram {
    /// The function that an instruction belongs to, and its position in it.
    pub fn locate(&self, at: InsnIdx) -> Option<(FuncId, InsnIdx)> {
        let span = self.layout.iter().rev().find(|span| span.start <= at)?;
        Some((span.func, at.from_base(span.start)?))
    }

    /// The code as the compiler wrote it: the functions of [`Self::layout`] one after another.
    ///
    /// `None` if the patches do not describe the code, which would be a defect of this crate.
    pub fn as_compiled(&self) -> Option<Vec<Insn>> {
        crate::patch::undo(&self.insns, &self.patches)
    }
}
