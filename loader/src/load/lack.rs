//! Why the kernel refuses a program without a word: found out with a program that does nothing.
//!
//! Before the verifier looks at a program, the kernel checks what it is said to be, and answers `EINVAL` to a type that it
//! does not have, to an attach type that does not go with the type, and to other things; `EPERM` is as mute. A program
//! of two instructions that is said to be the same tells them apart.

use std::fmt;

use super::session::{FIRST_LOG, Session};
use crate::insn::{EXIT, Insn};
use crate::plan::LoadProgram;
use crate::sys::{Errno, Kernel, Log, LogRequest, ProgLoad, Reply};
use crate::uapi::{AttachType, ProgType};

/// What the kernel lacks, or forbids, that a program needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lack {
    /// Programs of this type: it is older than they are, or built without them.
    Type(ProgType),
    /// This attach type for programs of this type.
    Attach(ProgType, AttachType),
    /// Not a privilege: others of this type are let in. It forbids this attach type, or what the program attaches to.
    Forbidden(ProgType, AttachType),
    /// Not a privilege: programs of kprobes need the same and are let in. It forbids all programs of this type.
    ForbiddenType(ProgType),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(ty) => write!(f, "; this kernel has no programs of type {ty}"),
            Self::Attach(ty, attach) => {
                write!(f, "; this kernel has no attach type {attach} for programs of type {ty}")
            }
            Self::Forbidden(ty, attach) => write!(
                f,
                "; no privilege is missing, as another program of type {ty} shows: this kernel forbids attach type {attach}, or what it attaches to"
            ),
            Self::ForbiddenType(ty) => write!(
                f,
                "; no privilege is missing, as a program of type {} shows: this kernel forbids those of type {ty}",
                ProgType::KPROBE
            ),
        }
    }
}

/// `r0 = 0; exit`.
const NOTHING: &[Insn] = &[
    Insn { code: 0xb7, dst: 0, src: 0, off: 0, imm: 0 },
    Insn { code: EXIT, dst: 0, src: 0, off: 0, imm: 0 },
];

impl<K: Kernel> Session<'_, '_, K> {
    /// What the kernel lacks that refused a program with `errno` and wrote `log`, if that can be found out.
    pub(super) fn lack(&self, load: &LoadProgram, errno: Errno, log: &Log) -> Option<Lack> {
        if !log.text.is_empty() {
            return None;
        }
        let known = |attach| self.is_known(load, (load.ty, attach), errno);
        match errno {
            Errno::EINVAL if known(load.attach) => None,
            Errno::EINVAL if load.attach != AttachType(0) && known(AttachType(0)) => {
                Some(Lack::Attach(load.ty, load.attach))
            }
            Errno::EINVAL => Some(Lack::Type(load.ty)),
            Errno::EPERM if load.hook.is_some() && known(AttachType(0)) => {
                Some(Lack::Forbidden(load.ty, load.attach))
            }
            // Source: `is_perfmon_prog_type`, `is_net_admin_prog_type`.
            Errno::EPERM
                if load.of_program && self.is_known(load, (ProgType::KPROBE, AttachType(0)), errno) =>
            {
                Some(Lack::ForbiddenType(load.ty))
            }
            _ => None,
        }
    }

    /// Whether a program that does nothing comes past what refused another one, be it only as far as the verifier.
    fn is_known(&self, load: &LoadProgram, said: (ProgType, AttachType), errno: Errno) -> bool {
        let (ty, attach) = said;
        let Reply { fd, log } = self.kernel.prog_load(&ProgLoad {
            name: "nothing",
            kernel_name: "",
            ty,
            attach,
            flags: load.flags,
            license: "GPL",
            kern_version: load.kern_version,
            insns: NOTHING,
            maps: &[],
            btfs: &[],
            fd_array: &[],
            hook: None,
            info: None,
            log: Some(LogRequest { level: 1, size: FIRST_LOG }),
        });
        // What the verifier says does not matter here: that it says something does.
        fd.err() != Some(errno) || !log.text.is_empty()
    }
}
