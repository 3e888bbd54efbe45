//! Programs that attach to something else than their section says, because the caller says so.
//!
//! Source: libbpf `bpf_program__set_attach_target`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::ProgramSpec;
use super::section::SectionFlags;
use crate::btf::TypeId;
use crate::uapi::{AttachType, ProgType};

/// A program in the kernel whose functions others can attach to, or replace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetProgram {
    /// What it goes by in errors and recordings.
    pub name: String,
    /// Its types (BTF) as bytes; empty if it was loaded without.
    pub types: Vec<u8>,
    /// Types of its functions, the main one first.
    pub functions: Vec<TypeId>,
}

/// Why a program cannot attach to what the caller names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Its section is for programs that attach to something else.
    #[error(
        "program {program:?} (section {section:?}) attaches to no function: those of fentry, fexit, fmod_ret, tp_btf, lsm, iter and freplace do"
    )]
    Neither {
        /// The program.
        program: String,
        /// Its section.
        section: String,
    },
    /// Its section is for programs that attach to the kernel.
    #[error(
        "program {program:?} (section {section:?}) attaches to the kernel only: those of fentry, fexit and freplace attach to other programs"
    )]
    KernelOnly {
        /// The program.
        program: String,
        /// Its section.
        section: String,
    },
    /// Its section is for programs that attach to other programs.
    #[error(
        "program {program:?} (section {section:?}) replaces a function of another program, not of the kernel: name that program as well"
    )]
    ProgramOnly {
        /// The program.
        program: String,
        /// Its section.
        section: String,
    },
}

/// How programs attach that can do so to other programs; those of type `ext` have no attach type.
const TO_PROGRAMS: &[AttachType] = &[
    AttachType::TRACE_FENTRY,
    AttachType::TRACE_FEXIT,
    AttachType::TRACE_FSESSION,
    AttachType::MODIFY_RETURN,
];

impl ProgramSpec {
    /// Lets it attach to this function of the kernel (`MODULE:NAME` for one of a module), tracepoint, LSM hook or
    /// iterator, whatever its section says.
    ///
    /// # Errors
    /// [`TargetError`] if its section is for programs that attach to something else.
    pub fn attach_to_kernel(&mut self, name: &str) -> Result<(), TargetError> {
        if self.kind.ty == Some(ProgType::EXT) {
            let (program, section) = self.words();
            return Err(TargetError::ProgramOnly { program, section });
        }
        self.check_attaches()?;
        self.kind.target = Some(name.to_string());
        self.of = None;
        Ok(())
    }

    /// Lets it attach to a function of another program, which [`ProgramSpec::of`] is to say before the object is linked.
    /// Without a name it is the one that its section names, or else the main one.
    ///
    /// # Errors
    /// As [`attach_to_kernel`](Self::attach_to_kernel).
    pub fn attach_to_program(&mut self, function: Option<&str>) -> Result<(), TargetError> {
        self.check_attaches()?;
        if self.kind.ty != Some(ProgType::EXT) && !TO_PROGRAMS.contains(&self.kind.attach) {
            let (program, section) = self.words();
            return Err(TargetError::KernelOnly { program, section });
        }
        if let Some(function) = function {
            self.kind.target = Some(function.to_string());
        }
        Ok(())
    }

    fn check_attaches(&self) -> Result<(), TargetError> {
        if self.kind.flags.contains(SectionFlags::ATTACH_BTF) {
            return Ok(());
        }
        let (program, section) = self.words();
        Err(TargetError::Neither { program, section })
    }

    fn words(&self) -> (String, String) {
        (self.name.clone(), self.section.clone())
    }
}
