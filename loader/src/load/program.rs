//! One program into the kernel, and once more for the verifier's log if it is refused.

use std::os::fd::OwnedFd;

use super::session::{FIRST_LOG, Session};
use super::{LoadError, LogPolicy, poisoned};
use crate::insn::InsnIdx;
use crate::link::LinkedProgram;
use crate::plan::{LoadProgram, MapSlot};
use crate::spec::MapId;
use crate::sys::{Errno, Kernel, LogRequest, Named, ProgLoad, ProgTypes, Reply};

/// Sizes of log buffers in **bytes**: the first for [`LogPolicy::End`], all of them for [`LogPolicy::Whole`].
const LOG_SIZES: &[u32] = &[FIRST_LOG, 1 << 20, 16 << 20, 64 << 20];

impl<K: Kernel> Session<'_, '_, K> {
    pub(super) fn load_program(&self, load: &LoadProgram) -> Result<OwnedFd, LoadError> {
        let (Some(linked), Some(program)) =
            (self.plan.object.program(load.program), self.spec().program(load.program))
        else {
            return Err(LoadError::NotInPlan { what: format!("program {}", load.program.0) });
        };
        let maps = self.map_refs(load, linked, &program.name)?;
        let btfs = linked.btf_refs.iter().map(|(at, module)| Ok((*at, self.module(*module)?)));
        let btfs: Vec<_> = btfs.collect::<Result<_, LoadError>>()?;
        let fd_array = self.plan.object.fd_array.iter().map(|module| self.module(*module));
        let fd_array: Vec<_> = fd_array.collect::<Result<_, _>>()?;
        let infos = Infos::of(linked);
        let code = load.code(linked);
        let info = self.btf().filter(|_| load.with_info && !infos.funcs.is_empty());
        let request = ProgLoad {
            name: &program.name,
            kernel_name: &load.kernel_name,
            ty: load.ty,
            attach: load.attach,
            flags: load.flags,
            license: &self.plan.license,
            kern_version: load.kern_version,
            insns: &code,
            maps: &maps,
            btfs: &btfs,
            fd_array: &fd_array,
            hook: load.hook.map(|at| self.located(at)).transpose()?,
            info: info.map(|btf| ProgTypes { btf, funcs: &infos.funcs, lines: &infos.lines }),
            log: None,
        };
        let Reply { fd, mut log } = self.kernel.prog_load(&request);
        let mut errno = match fd {
            Ok(fd) => return Ok(fd),
            Err(errno) => errno,
        };
        let sizes = if self.log == LogPolicy::Whole { LOG_SIZES.len() } else { 1 };
        for size in LOG_SIZES.iter().take(sizes) {
            let reply = self
                .kernel
                .prog_load(&ProgLoad { log: Some(LogRequest { level: 1, size: *size }), ..request });
            log = reply.log;
            match reply.fd {
                // Whatever was in the way before is gone: memory, or a signal.
                Ok(fd) => return Ok(fd),
                Err(Errno::ENOSPC) => {}
                Err(with_log) => {
                    errno = with_log;
                    break;
                }
            }
        }
        Err(LoadError::ProgLoad {
            program: program.name.clone(),
            section: program.section.clone(),
            ty: load.ty,
            beyond: load.beyond(linked, self.plan.kernel).map(Box::new),
            unlicensed: self.plan.license.is_empty(),
            errno,
            poisoned: poisoned::find(self.spec(), linked, &log.text).map(Box::new),
            log,
        })
    }

    fn map_refs(
        &self,
        load: &LoadProgram,
        linked: &LinkedProgram,
        program: &str,
    ) -> Result<Vec<(InsnIdx, Named<'_>)>, LoadError> {
        let what = format!("program {program:?}");
        let handle = |(at, id): &(InsnIdx, MapId)| {
            let slot = match load.copies.get(id) {
                Some(copy) => MapSlot::Copy(*id, *copy),
                None => MapSlot::Map(*id),
            };
            Ok((*at, self.made(slot, &what)?))
        };
        linked.map_refs.iter().map(handle).collect()
    }
}

/// Function types and source lines as the kernel's records.
struct Infos {
    funcs: Vec<[u32; 2]>,
    lines: Vec<[u32; 4]>,
}

impl Infos {
    fn of(linked: &LinkedProgram) -> Self {
        let line =
            |(at, line): &(InsnIdx, crate::btf::LineInfo)| [at.0, line.file.0, line.line.0, line.line_col];
        Self {
            funcs: linked.func_info.iter().map(|(at, ty)| [at.0, ty.0]).collect(),
            lines: linked.line_info.iter().map(line).collect(),
        }
    }
}
