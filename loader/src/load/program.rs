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
    /// Loads a program, as one type after another until the kernel takes it. Returns as what it was taken.
    pub(super) fn load_program(&self, load: &LoadProgram) -> Result<(LoadProgram, OwnedFd), LoadError> {
        if load.others.is_empty() {
            return Ok((load.clone(), self.load_as(load, self.log)?));
        }
        let others = load.others.iter().map(|other| load.loaded_as(other));
        for attempt in std::iter::once(LoadProgram { others: Vec::new(), ..load.clone() }).chain(others) {
            match self.load_as(&attempt, LogPolicy::None) {
                Ok(fd) => return Ok((attempt, fd)),
                Err(LoadError::ProgLoad { .. }) => {}
                // No call was made; another type would not change that.
                Err(error) => return Err(error),
            }
        }
        // Why not, is told of the most likely type.
        match self.load_as(load, self.log) {
            Ok(fd) => Ok((load.clone(), fd)),
            Err(error) if load.said => Err(error),
            Err(error) => Err(self.no_type(load, error)),
        }
    }

    fn no_type(&self, load: &LoadProgram, why: LoadError) -> LoadError {
        let program = self.spec().program(load.program);
        LoadError::NoTypeFits {
            program: program.map(|program| program.name.clone()).unwrap_or_default(),
            section: program.map(|program| program.section.clone()).unwrap_or_default(),
            tried: load.others.len().saturating_add(1),
            why: Box::new(why),
        }
    }

    fn load_as(&self, load: &LoadProgram, log_policy: LogPolicy) -> Result<OwnedFd, LoadError> {
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
        let info = self.btf().filter(|_| load.with_info && !infos.funcs.is_empty());
        let request = ProgLoad {
            name: &program.name,
            kernel_name: &load.kernel_name,
            ty: load.ty,
            attach: load.attach,
            flags: load.flags,
            license: &self.plan.license,
            kern_version: load.kern_version,
            insns: &linked.insns,
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
        let sizes = match log_policy {
            LogPolicy::None => 0,
            LogPolicy::End => 1,
            LogPolicy::Whole => LOG_SIZES.len(),
        };
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
            section: program.section.as_str().into(),
            ty: load.ty,
            since: self.too_new(load.ty.since()),
            unlicensed: self.plan.license.is_empty(),
            errno,
            lack: self.lack(load, errno, &log).map(Box::new),
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
