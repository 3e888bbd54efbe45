//! One program into the kernel, and once more for the verifier's log if it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::os::fd::{AsFd, OwnedFd};

use super::inner::{InnerFound, InnerToTry};
use super::session::{FIRST_LOG, Session};
use super::{Because, LoadError, LogPolicy, poisoned};
use crate::insn::InsnIdx;
use crate::link::LinkedProgram;
use crate::plan::{LoadProgram, MapSlot, SlotValue};
use crate::spec::MapId;
use crate::sys::{Errno, Kernel, Log, LogRequest, Named, ProgLoad, ProgTypes, Reply};
use crate::uapi::MapType;
use crate::verifier;

/// Sizes of log buffers in **bytes**: the first for [`LogPolicy::End`], all of them for [`LogPolicy::Whole`].
const LOG_SIZES: &[u32] = &[FIRST_LOG, 1 << 20, 16 << 20, 64 << 20];

/// Levels of the log: messages and counts without instructions (`BPF_LOG_STATS`), and with it `BPF_LOG_LEVEL2`. Since: Linux 5.2; before, all levels are one.
const STATISTICS: u32 = 4;
const EVERYTHING: u32 = STATISTICS | 2;

/// What the kernel says that another type would not change: the program is too large for the verifier, and to try that once
/// takes long enough; or memory or descriptors are short.
const WHATEVER_TYPE: &[Errno] = &[Errno::E2BIG, Errno::ENOMEM, Errno(libc::EMFILE), Errno(libc::ENFILE)];

/// How many types besides the likeliest are tried with other inner maps.
const WITH_OTHER_INNER: usize = 3;

/// Whether another type would not change what the kernel says.
fn is_final(error: &LoadError) -> bool {
    matches!(error, LoadError::ProgLoad { errno, .. } if WHATEVER_TYPE.contains(errno))
}

/// Jump tables that one program alone uses.
pub(super) type OwnTables = BTreeMap<MapId, OwnedFd>;

/// A program that the kernel took.
#[derive(Debug)]
pub(super) struct Taken {
    /// As what.
    pub(super) load: LoadProgram,
    /// Its own jump tables, if it is not what it was thought to be.
    pub(super) tables: OwnTables,
    /// What the inner maps look like of those that are maps of maps.
    pub(super) inner: InnerFound,
    /// The program.
    pub(super) fd: OwnedFd,
}

impl<K: Kernel> Session<'_, '_, K> {
    /// Loads a program, as one type after another until the kernel takes it.
    pub(super) fn load_program(&self, load: &LoadProgram) -> Result<Taken, LoadError> {
        let none = OwnTables::new();
        let taken = |fd| Taken { load: load.clone(), tables: OwnTables::new(), inner: InnerFound::new(), fd };
        let inner = self.inner_to_try(load);
        if load.others.is_empty() && inner.is_empty() {
            return self.load_as(load, self.log, &none).map(taken);
        }
        match self.load_as(load, LogPolicy::None, &none) {
            Ok(fd) => return Ok(taken(fd)),
            Err(error) if is_final(&error) => {}
            Err(LoadError::ProgLoad { .. }) => {
                if let Some(other) = self.load_otherwise(load, &inner)? {
                    return Ok(other);
                }
            }
            // No call was made; another type would not change that.
            Err(error) => return Err(error),
        }
        // Why not, is told of the most likely type.
        match self.load_as(load, self.log, &none) {
            Ok(fd) => Ok(taken(fd)),
            Err(error) if load.said => Err(error),
            Err(error) => Err(self.no_type(load, error)),
        }
    }

    /// Loads a program as what else it may be, and with what else its inner maps may look like; `None` if the kernel takes
    /// nothing of that.
    fn load_otherwise(
        &self,
        load: &LoadProgram,
        inner: &[InnerToTry<'_>],
    ) -> Result<Option<Taken>, LoadError> {
        let mut tables = self.own_tables(load)?;
        let mut attempts: Vec<LoadProgram> = load.others.iter().map(|other| load.loaded_as(*other)).collect();
        for inner in iter::once(&InnerToTry::new()).chain(inner) {
            let Some(found) = self.make_inner(inner, &mut tables) else {
                continue;
            };
            for attempt in &attempts {
                match self.load_as(attempt, LogPolicy::None, &tables) {
                    Ok(fd) => {
                        return Ok(Some(Taken { load: attempt.clone(), tables, inner: found, fd }));
                    }
                    Err(error) if is_final(&error) => return Ok(None),
                    Err(_) => {}
                }
            }
            // As what it is thought to be, it was tried with the first.
            if inner.is_empty() {
                attempts.truncate(WITH_OTHER_INNER);
                attempts.insert(0, LoadProgram { others: Vec::new(), ..load.clone() });
            }
        }
        Ok(None)
    }

    /// Jump tables for a program alone, in place of those that it refers to or stands in.
    fn own_tables(&self, load: &LoadProgram) -> Result<OwnTables, LoadError> {
        let refs = self.plan.object.program(load.program).map(|p| p.map_refs.as_slice()).unwrap_or_default();
        let is_table = |id: &MapId| self.spec().map(*id).is_some_and(|map| map.ty == MapType::PROG_ARRAY);
        let value = SlotValue::Program(load.program);
        let stands_in = self.plan.fills().filter(|fill| fill.value == value).map(|fill| fill.map);
        let tables: BTreeSet<MapId> =
            refs.iter().map(|(_, id)| *id).filter(is_table).chain(stands_in).collect();
        let wanted = self.plan.maps().filter_map(|create| match create.slot {
            MapSlot::Map(id) if tables.contains(&id) => Some((id, create)),
            MapSlot::Map(_) | MapSlot::Template(_) | MapSlot::Copy(..) => None,
        });
        wanted.map(|(id, create)| Ok((id, self.create_map(create)?.0))).collect()
    }

    fn no_type(&self, load: &LoadProgram, why: LoadError) -> LoadError {
        let program = self.spec().program(load.program);
        LoadError::NoTypeFits {
            program: program.map(|program| program.name.clone()).unwrap_or_default(),
            section: program.map(|program| program.section.clone()).unwrap_or_default(),
            why: Box::new(why),
        }
    }

    fn load_as(
        &self,
        load: &LoadProgram,
        log_policy: LogPolicy,
        tables: &OwnTables,
    ) -> Result<OwnedFd, LoadError> {
        let (Some(linked), Some(program)) =
            (self.plan.object.program(load.program), self.spec().program(load.program))
        else {
            return Err(LoadError::NotInPlan { what: format!("program {}", load.program.0) });
        };
        let maps = self.map_refs(load, linked, &program.name, tables)?;
        let btfs = linked.btf_refs.iter().map(|(at, module)| Ok((*at, self.module(*module)?)));
        let btfs: Vec<_> = btfs.collect::<Result<_, LoadError>>()?;
        let fd_array = self.plan.object.fd_array.iter().map(|module| self.module(*module));
        let fd_array: Vec<_> = fd_array.collect::<Result<_, _>>()?;
        let infos = Infos::of(linked, load);
        let code = load.code(linked);
        let info = self.btf().filter(|_| load.with_info && !infos.funcs.is_empty());
        let request = ProgLoad {
            name: &program.name,
            kernel_name: load.kernel_name.as_str(),
            ty: load.ty,
            attach: load.attach,
            flags: load.flags,
            license: &self.plan.license,
            kern_version: load.kern_version,
            insns: &code,
            maps: &maps,
            btfs: &btfs,
            fd_array: &fd_array,
            hook: self.hook(load)?,
            info: info.map(|btf| ProgTypes { btf, funcs: &infos.funcs, lines: &infos.lines }),
            log: None,
        };
        let told = if log_policy == LogPolicy::Always { self.load_telling(&request) } else { None };
        let Reply { fd, mut log } = told.unwrap_or_else(|| self.kernel.prog_load(&request));
        let mut errno = match fd {
            Ok(fd) => return Ok(fd),
            Err(errno) => errno,
        };
        let sizes = match log_policy {
            LogPolicy::None => 0,
            // Of a program that is refused, the end says why.
            LogPolicy::End | LogPolicy::Always => 1,
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
        let beyond = load.beyond(linked, self.plan.kernel);
        // Where the version says why, nothing more is asked.
        let lack = if beyond.is_none() { self.lack(load, errno, &log) } else { None };
        // What the loader itself put there says more about a refusal than the verifier can.
        let poisoned = || poisoned::find(self.spec(), linked, &log.text).map(Because::Poisoned);
        let sent = verifier::Program { spec: self.spec(), linked };
        let told = || verifier::explain(&log.text, log.truncated, Some(sent));
        let refusal = || told().or_else(|| self.message_alone(&request, &log, sent)).map(Because::Verifier);
        let because = lack.map(Because::Lack).or_else(poisoned).or_else(refusal);
        Err(LoadError::ProgLoad {
            program: program.name.clone(),
            section: program.section.as_str().into(),
            ty: load.ty,
            beyond: beyond.map(Box::new),
            unlicensed: self.plan.license.is_empty(),
            errno,
            because: because.map(Box::new),
            log,
        })
    }

    /// The verifier's message, where the log was too long and its end is missing, as before Linux 6.4: asked for without the
    /// instructions before it. The path stays unknown.
    fn message_alone(
        &self,
        request: &ProgLoad<'_>,
        log: &Log,
        sent: verifier::Program<'_>,
    ) -> Option<verifier::Refusal> {
        if !log.truncated {
            return None;
        }
        let wanted = Some(LogRequest { level: STATISTICS, size: FIRST_LOG });
        let reply = self.kernel.prog_load(&ProgLoad { log: wanted, ..*request });
        let told = verifier::explain(&reply.log.text, reply.log.truncated, Some(sent))?;
        Some(verifier::Refusal { whole: false, ..told })
    }

    /// Loads a program with a log of all that the verifier does; `None` if it fits nowhere.
    fn load_telling(&self, request: &ProgLoad<'_>) -> Option<Reply> {
        let all = LOG_SIZES.iter().skip(1).take(2).map(|size| LogRequest { level: EVERYTHING, size: *size });
        for log in all.chain([LogRequest { level: STATISTICS, size: FIRST_LOG }]) {
            let reply = self.kernel.prog_load(&ProgLoad { log: Some(log), ..*request });
            if !matches!(reply.fd, Err(Errno::ENOSPC)) {
                return Some(reply);
            }
        }
        None
    }

    fn map_refs<'s>(
        &'s self,
        load: &LoadProgram,
        linked: &LinkedProgram,
        program: &str,
        tables: &'s OwnTables,
    ) -> Result<Vec<(InsnIdx, Named<'s>)>, LoadError> {
        let what = format!("program {program:?}");
        let handle = |(at, id): &(InsnIdx, MapId)| {
            if let Some(own) = tables.get(id) {
                return Ok((*at, Named { name: self.spec().map_name(*id), fd: own.as_fd() }));
            }
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
    fn of(linked: &LinkedProgram, load: &LoadProgram) -> Self {
        let line =
            |(at, line): &(InsnIdx, crate::btf::LineInfo)| [at.0, line.file.0, line.line.0, line.line_col];
        Self {
            funcs: linked
                .func_info
                .iter()
                .map(|(at, ty)| [at.0, load.func_types.get(ty).unwrap_or(ty).0])
                .collect(),
            lines: linked.line_info.iter().map(line).collect(),
        }
    }
}
