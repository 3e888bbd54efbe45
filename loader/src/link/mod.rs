//! One flat stream of instructions for each program: its subprograms behind it, calls and references resolved.
//!
//! Maps stay numbers of the object: descriptors are written by [`crate::load`], when they exist. So a linked program is
//! the same on every machine and can be compared, stored and explained.
//!
//! Source: libbpf `bpf_object__relocate_calls`, `bpf_object__relocate_data`.

mod info;
mod layout;
mod refs;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::btf::{LineInfo, TypeId};
use crate::insn::{Insn, InsnIdx};
use crate::patch::Patch;
use crate::spec::{FuncId, MapId, ObjectSpec, ProgId, ProgramSpec};

/// An object whose programs are linked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkedObject {
    /// What the object defines.
    pub spec: ObjectSpec,
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

/// Why a program cannot be linked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It refers to something outside of the object.
    #[error("program {program:?}: {function}+{at} refers to {symbol:?}, which the object does not define{}", at_line(.line))]
    Extern {
        /// The program.
        program: String,
        /// The function that refers to it.
        function: String,
        /// Where, from the function's start.
        at: InsnIdx,
        /// The symbol.
        symbol: String,
        /// Source line of the instruction.
        line: Option<String>,
    },
    /// It must be adjusted to the kernel's types (CO-RE), which is not supported yet.
    #[error("program {program:?}: {function}+{at} needs a CO-RE relocation, which is not supported{}", at_line(.line))]
    CoreRelo {
        /// The program.
        program: String,
        /// The function with the instruction.
        function: String,
        /// Where, from the function's start.
        at: InsnIdx,
        /// Source line of the instruction.
        line: Option<String>,
    },
    /// A reference from an instruction that is cut off.
    #[error("program {program:?}: {function}+{at}: the second half of a 64-bit load is missing")]
    HalfLoad {
        /// The program.
        program: String,
        /// The function with the instruction.
        function: String,
        /// Where, from the function's start.
        at: InsnIdx,
    },
    /// More code than positions can count.
    #[error("program {program:?} has more than 2^31 instructions with its subprograms")]
    TooLong {
        /// The program.
        program: String,
    },
}

fn at_line(line: &Option<String>) -> String {
    line.as_ref().map(|line| alloc::format!(" ({line})")).unwrap_or_default()
}

/// Links every program of an object.
pub fn link(spec: ObjectSpec) -> LinkedObject {
    let programs = spec.programs.iter().enumerate();
    let programs = programs.map(|(at, program)| one(&spec, ProgId::new(at), program)).collect();
    LinkedObject { programs, spec }
}

fn one(spec: &ObjectSpec, id: ProgId, program: &ProgramSpec) -> Result<LinkedProgram, LinkError> {
    let too_long = || LinkError::TooLong { program: program.name.to_string() };
    let layout = layout::layout(spec, program.func).ok_or_else(too_long)?;
    let mut insns = Vec::new();
    for span in &layout {
        insns.extend(spec.function(span.func).map(|f| f.insns.as_slice()).unwrap_or_default());
    }
    let refs::Resolved { patches, map_refs } = refs::resolve(spec, &program.name, &layout, &mut insns)?;
    let (func_info, line_info) = info::collect(spec, &layout);
    Ok(LinkedProgram { id, insns, layout, map_refs, func_info, line_info, patches })
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
