//! A kernel double that refuses what an older kernel refuses, with the errno that it gave, and says yes to the rest.
//!
//! It knows what a kernel of its version reads of a request: numbers, flags, names, sizes of attributes, kinds of types.
//! It verifies no program. What it knows was written down from the kernel's history, apart from the tables of the loader.
//!
//! Source: `include/uapi/linux/bpf.h`, `kernel/bpf/{syscall,btf,verifier}.c` of each version.

#![allow(clippy::wildcard_enum_match_arm, reason = "a question is about few of the many kinds")]

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;

use rxdp_loader::btf::{Btf, Kind, Linkage, StrOff, Type, TypeGraph, TypeId};
use rxdp_loader::bytes::Endian;
use rxdp_loader::features::{Features, KernelVersion, Machine};
use rxdp_loader::insn::Insn;
use rxdp_loader::sys::{
    Bpffs, BtfLoad, DryRun, Errno, Event, Kernel, LinkCreate, LinkTarget, Log, MapCreate, MapInfo, MapTypes,
    MapUpdate, Mapping, MeasuredMap, Named, Pinned, ProgCode, ProgFunctions, ProgInfo, ProgLoad,
    RawTracepoint, Reply, TestRun, TestRunReply,
};
use rxdp_loader::uapi::{MapType, ProgFlags, ProgType};

/// What one version knows: the last numbers of its lists, its flags, and how many **bytes** of attributes it reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) version: (u8, u8),
    map_type: u32,
    prog_type: u32,
    helper: u32,
    map_flags: u32,
    prog_flags: u32,
    /// `BPF_MAP_CREATE_LAST_FIELD` ends here.
    map_attr: usize,
    /// `BPF_PROG_LOAD_LAST_FIELD` ends here.
    prog_attr: usize,
    /// `sizeof(union bpf_attr)`.
    attr: usize,
}

/// The kernels that are kept for years, and what people still run.
pub(crate) const LIMITS: &[Limits] = &[
    Limits {
        version: (4, 14),
        map_type: 15,
        prog_type: 14,
        helper: 53,
        map_flags: 0x7,
        prog_flags: 0x1,
        map_attr: 28,
        prog_attr: 48,
        attr: 48,
    },
    Limits {
        version: (4, 19),
        map_type: 20,
        prog_type: 21,
        helper: 83,
        map_flags: 0x3f,
        prog_flags: 0x1,
        map_attr: 60,
        prog_attr: 72,
        attr: 72,
    },
    Limits {
        version: (5, 4),
        map_type: 25,
        prog_type: 25,
        helper: 110,
        map_flags: 0x3ff,
        prog_flags: 0xf,
        map_attr: 60,
        prog_attr: 108,
        attr: 112,
    },
    Limits {
        version: (5, 10),
        map_type: 28,
        prog_type: 30,
        helper: 155,
        map_flags: 0x1fff,
        prog_flags: 0x1f,
        map_attr: 64,
        prog_attr: 116,
        attr: 120,
    },
    Limits {
        version: (5, 15),
        map_type: 29,
        prog_type: 31,
        helper: 175,
        map_flags: 0x1fff,
        prog_flags: 0x1f,
        map_attr: 64,
        prog_attr: 128,
        attr: 128,
    },
    Limits {
        version: (6, 1),
        map_type: 31,
        prog_type: 31,
        helper: 209,
        map_flags: 0x1fff,
        prog_flags: 0x3f,
        map_attr: 72,
        prog_attr: 140,
        attr: 144,
    },
];

/// How an instruction is told, and the version that brought it.
type InsnRow = (fn(&Insn) -> bool, (u8, u8));

/// What an instruction that only later kernels know looks like, and since when they do.
const INSNS: &[InsnRow] = &[
    (|i| i.code == 0x85 && i.src == 1, (4, 16)),
    (|i| i.code & 7 == 6, (5, 1)),
    (|i| i.code == 0x18 && i.src == 2, (5, 2)),
    (|i| i.code == 0x18 && i.src == 3, (5, 10)),
    (|i| matches!(i.code, 0xc3 | 0xdb) && i.imm != 0, (5, 12)),
    (|i| i.code == 0x18 && i.src == 4, (5, 13)),
    (|i| i.code == 0x85 && i.src == 2, (5, 13)),
];

/// Since when there are such links.
fn link_since(request: &LinkCreate<'_>) -> (u8, u8) {
    match (request.to, request.attach.0) {
        (LinkTarget::Own, 28) => (5, 8),
        (LinkTarget::Own, 44) => (6, 4),
        (LinkTarget::Own, _) | (LinkTarget::Function { .. }, _) => (5, 10),
        (LinkTarget::Elements(_), _) => (5, 9),
        (LinkTarget::File(_), 17) => (5, 8),
        (LinkTarget::File(_), 36) => (5, 9),
        (LinkTarget::File(_), 41) => (5, 15),
        (LinkTarget::File(_), 43) => (6, 0),
        (LinkTarget::File(_), 4 | 5 | 7 | 38) => (6, 10),
        (LinkTarget::File(_), _) => (5, 7),
        (LinkTarget::Interface(_) | LinkTarget::InterfaceInMode { .. }, 37) => (5, 9),
        (LinkTarget::Interface(_), 46 | 47) => (6, 6),
        (LinkTarget::Interface(_) | LinkTarget::InterfaceInMode { .. }, _) => (6, 7),
        (LinkTarget::Functions { .. }, 56) => (6, 10),
        (LinkTarget::Functions { .. }, _) => (5, 18),
        (LinkTarget::Places { .. }, 57) => (6, 13),
        (LinkTarget::Places { .. }, _) => (6, 6),
        (LinkTarget::Netfilter(_), _) => (6, 4),
    }
}

#[derive(Debug)]
pub(crate) struct OldKernel {
    version: (u8, u8),
    limits: Limits,
    yes: DryRun,
    /// The types that were loaded last.
    types: Mutex<Option<Btf>>,
}

impl OldKernel {
    /// The double of a version; lists and attributes are those of the last version before it that the table has.
    pub(crate) fn new(version: (u8, u8)) -> Self {
        let limits = *LIMITS.iter().rfind(|limits| limits.version <= version).unwrap();
        Self { version, limits, yes: DryRun::new(), types: Mutex::default() }
    }

    /// The machine as this kernel's version describes it.
    pub(crate) fn machine(&self) -> Machine {
        machine(self.version)
    }

    fn since(&self, since: (u8, u8)) -> Result<(), Errno> {
        if self.version >= since { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn check_attr(&self, used: usize, known: usize) -> Result<(), Errno> {
        match used {
            _ if used > self.limits.attr => Err(Errno::E2BIG),
            _ if used > known => Err(Errno::EINVAL),
            _ => Ok(()),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Errno> {
        let dots = self.version >= (5, 2);
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || dots && c == '.';
        if name.len() < 16 && name.chars().all(fits) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn check_map(&self, request: &MapCreate<'_>) -> Result<(), Errno> {
        let used = [
            (request.map_extra != 0, 72),
            (request.kernel_value.is_some(), 64),
            (request.types.is_some(), 60),
            (!request.kernel_name.is_empty(), 44),
        ];
        let used = used.iter().find(|(is, _)| *is).map_or(28, |(_, end)| *end);
        self.check_attr(used, self.limits.map_attr)?;
        self.check_name(request.kernel_name)?;
        refuse(request.ty.0 > self.limits.map_type || request.flags.bits() & !self.limits.map_flags != 0)?;
        // Tables of functions have the kernel's types.
        let types = request.types.filter(|_| request.kernel_value.is_none());
        types.map_or(Ok(()), |types| self.check_map_types(request, types))
    }

    fn check_map_types(&self, request: &MapCreate<'_>, types: MapTypes<'_>) -> Result<(), Errno> {
        let loaded = self.types.lock().unwrap();
        let btf = loaded.as_ref().ok_or(Errno::EINVAL)?;
        let size = |id: TypeId| btf.size_of(id).ok_or(Errno::EINVAL);
        refuse(size(types.value)? != request.value_size)?;
        if types.key != TypeId(0) {
            return refuse(size(types.key)? != request.key_size);
        }
        if request.ty == MapType::BLOOM_FILTER {
            return Ok(());
        }
        let section = matches!(btf.kind(types.value), Some(Kind::Datasec { .. }));
        refuse(!section || request.ty != MapType::ARRAY || request.max_entries != 1)
    }

    fn check_program(&self, request: &ProgLoad<'_>) -> Result<(), Errno> {
        let used = [
            (!request.fd_array.is_empty(), 128),
            (request.hook.is_some_and(|hook| hook.of.is_some()), 116),
            (request.hook.is_some(), 112),
            (request.info.is_some(), 108),
            (request.attach.0 != 0, 72),
            (!request.kernel_name.is_empty(), 64),
        ];
        let used = used.iter().find(|(is, _)| *is).map_or(48, |(_, end)| *end);
        self.check_attr(used, self.limits.prog_attr)?;
        self.check_name(request.kernel_name)?;
        refuse(request.ty.0 > self.limits.prog_type || request.flags.bits() & !self.limits.prog_flags != 0)?;
        if request.flags.contains(ProgFlags::SLEEPABLE) && request.ty == ProgType::KPROBE {
            self.since((6, 0))?;
        }
        if self.version < (5, 2) && request.insns.len() > 4096 {
            return Err(Errno::E2BIG);
        }
        if self.version < (5, 0) && request.ty == ProgType::KPROBE {
            refuse(request.kern_version != self.machine().kernel.code())?;
        }
        for insn in request.insns {
            let later = INSNS.iter().find(|(is, _)| is(insn));
            later.map_or(Ok(()), |(_, since)| self.since(*since))?;
            refuse(self.unknown_helper(insn).is_some())?;
        }
        let loaded = self.types.lock().unwrap();
        let is_func =
            |id: u32| matches!(loaded.as_ref().and_then(|btf| btf.kind(TypeId(id))), Some(Kind::Func { .. }));
        refuse(request.info.is_some_and(|info| !info.funcs.iter().all(|[_, ty]| is_func(*ty))))
    }

    /// The number of a helper that only later kernels have. What is no helper anywhere is poison, which a verifier refuses
    /// only if it can be reached.
    fn unknown_helper(&self, insn: &Insn) -> Option<u32> {
        insn.helper().filter(|number| (self.limits.helper + 1..1000).contains(number))
    }

    fn check_types(&self, data: &[u8]) -> Result<Btf, String> {
        let btf = Btf::parse(data, Endian::NATIVE).map_err(|error| error.to_string())?;
        for (at, ty) in btf.types.iter().enumerate().skip(1) {
            let knows = kind_since(&btf, ty).is_some_and(|since| self.version >= since);
            if !knows || (self.version >= (5, 0) && !has_a_fit_name(&btf, ty)) || !fits(&btf, ty) {
                return Err(format!("[{at}] {:?} {:?}", btf.string(ty.name), ty.kind));
            }
        }
        Ok(btf)
    }
}

/// The machine that a version describes, before anybody asks its kernel.
pub(crate) fn machine((major, minor): (u8, u8)) -> Machine {
    let kernel = KernelVersion { major, minor, patch: 0 };
    Machine { kernel, features: Features::of(kernel), ..Machine::NEWEST }
}

fn refuse(wrong: bool) -> Result<(), Errno> {
    if wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The version that takes such a type; `None` if none does.
fn kind_since(btf: &Btf, ty: &Type) -> Option<(u8, u8)> {
    Some(match &ty.kind {
        Kind::DeclTag { attribute: true, .. } | Kind::TypeTag { attribute: true, .. } => (6, 15),
        Kind::Datasec { .. } if btf.string(ty.name).starts_with('?') => (6, 9),
        Kind::Datasec { vars, .. } if vars.is_empty() => (5, 12),
        Kind::Enum64 { .. } | Kind::Enum { signed: true, .. } => (6, 0),
        Kind::TypeTag { .. } => (5, 17),
        Kind::DeclTag { .. } => (5, 16),
        Kind::Float { .. } => (5, 13),
        Kind::Func { linkage: Linkage::GLOBAL, .. } => (5, 6),
        Kind::Func { linkage: Linkage::STATIC, .. } | Kind::FuncProto { .. } => (5, 0),
        Kind::Func { .. } | Kind::Void => return None,
        Kind::Var { .. } | Kind::Datasec { .. } => (5, 2),
        Kind::Composite { bitfields: true, .. } | Kind::Fwd { union: true } => (5, 0),
        _ => (4, 18),
    })
}

fn is_identifier(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(fits) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// Names as kernels check them since 5.0.
fn has_a_fit_name(btf: &Btf, ty: &Type) -> bool {
    let (name, none) = (btf.string(ty.name), ty.name == StrOff(0));
    let optional = |at: StrOff| at == StrOff(0) || is_identifier(&btf.string(at));
    let own = match &ty.kind {
        Kind::Ptr(_)
        | Kind::Array { .. }
        | Kind::Const(_)
        | Kind::Volatile(_)
        | Kind::Restrict(_)
        | Kind::FuncProto { .. } => none,
        Kind::Composite { .. } | Kind::Enum { .. } | Kind::Enum64 { .. } => optional(ty.name),
        Kind::Typedef(_) | Kind::Fwd { .. } | Kind::Func { .. } => is_identifier(&name),
        // `static` variables of functions.
        Kind::Var { .. } => is_identifier(&name.replace('.', "_")),
        Kind::Datasec { .. } => !none && name.chars().skip(1).all(|c| c.is_ascii_graphic()),
        Kind::TypeTag { .. } | Kind::DeclTag { .. } => !none,
        Kind::Int { .. } | Kind::Float { .. } | Kind::Void => true,
    };
    let within = match &ty.kind {
        Kind::Composite { members, .. } => members.iter().all(|member| optional(member.name)),
        Kind::Enum { values, .. } => values.iter().all(|(name, _)| is_identifier(&btf.string(*name))),
        _ => true,
    };
    own && within
}

/// Whether what it refers to is there, and fits into it.
fn fits(btf: &Btf, ty: &Type) -> bool {
    let there = |id: TypeId| btf.get(id).is_some();
    match &ty.kind {
        Kind::Composite { size, members, .. } => members.iter().all(|member| {
            let bits = match member.bit_size {
                0 => btf.size_of(member.ty).map(|bytes| u64::from(bytes) * 8),
                bits => Some(u64::from(bits)),
            };
            bits.is_some_and(|bits| u64::from(member.bit_offset) + bits <= u64::from(*size) * 8)
        }),
        Kind::Datasec { size, vars } => vars.iter().all(|var| {
            let is_var = matches!(btf.kind(var.var), Some(Kind::Var { .. } | Kind::Func { .. }));
            is_var && u64::from(var.offset) + u64::from(var.size) <= u64::from(*size)
        }),
        Kind::Func { proto, .. } => matches!(btf.kind(*proto), Some(Kind::FuncProto { .. })),
        Kind::Array { element, index, .. } => there(*element) && there(*index),
        Kind::Ptr(to)
        | Kind::Typedef(to)
        | Kind::Const(to)
        | Kind::Volatile(to)
        | Kind::Restrict(to)
        | Kind::TypeTag { target: to, .. }
        | Kind::DeclTag { target: to, .. }
        | Kind::Var { ty: to, .. } => there(*to),
        Kind::FuncProto { ret, params } => there(*ret) && params.iter().all(|param| there(param.ty)),
        _ => true,
    }
}

impl Kernel for OldKernel {
    fn btf_load(&self, request: &BtfLoad<'_>) -> Reply {
        if let Err(errno) = self.since((4, 18)) {
            return Reply { fd: Err(errno), log: Log::default() };
        }
        match self.check_types(request.data) {
            Ok(btf) => {
                *self.types.lock().unwrap() = Some(btf);
                self.yes.btf_load(request)
            }
            Err(text) => {
                let text = if request.log.is_some() { text } else { String::new() };
                Reply { fd: Err(Errno::EINVAL), log: Log { text, truncated: false } }
            }
        }
    }

    fn module_btf(&self, module: &str) -> Result<OwnedFd, Errno> {
        self.since((5, 11)).and_then(|()| self.yes.module_btf(module))
    }

    fn map_create(&self, request: &MapCreate<'_>) -> Result<OwnedFd, Errno> {
        self.check_map(request).and_then(|()| self.yes.map_create(request))
    }

    fn map_sizes<'m>(&self, map: Named<'m>) -> Result<MeasuredMap<'m>, Errno> {
        self.yes.map_sizes(map)
    }

    fn update(&self, map: MeasuredMap<'_>, request: &MapUpdate<'_>) -> Result<(), Errno> {
        self.yes.update(map, request)
    }

    fn lookup(&self, map: MeasuredMap<'_>, key: &[u8], value_size: usize) -> Result<Vec<u8>, Errno> {
        self.yes.lookup(map, key, value_size)
    }

    fn slot(&self, map: MeasuredMap<'_>, key: u32) -> Result<u32, Errno> {
        self.yes.slot(map, key)
    }

    fn delete(&self, map: MeasuredMap<'_>, key: &[u8]) -> Result<(), Errno> {
        self.yes.delete(map, key)
    }

    fn next_key(
        &self,
        map: MeasuredMap<'_>,
        after: Option<&[u8]>,
        key_size: usize,
    ) -> Result<Vec<u8>, Errno> {
        self.yes.next_key(map, after, key_size)
    }

    fn map_freeze(&self, map: Named<'_>) -> Result<(), Errno> {
        self.since((5, 2)).and_then(|()| self.yes.map_freeze(map))
    }

    fn map_memory(&self, map: Named<'_>, address: u64, len: usize) -> Result<Mapping, Errno> {
        // ENODEV: their descriptors had no mmap.
        self.since((5, 5))
            .map_err(|_always_einval| Errno(19))
            .and_then(|()| self.yes.map_memory(map, address, len))
    }

    fn prog_load(&self, request: &ProgLoad<'_>) -> Reply {
        match self.check_program(request) {
            Ok(()) => self.yes.prog_load(request),
            Err(errno) => {
                let unknown = request.insns.iter().find_map(|insn| self.unknown_helper(insn));
                let unknown = unknown.filter(|_| request.log.is_some());
                let text = unknown.map(|number| format!("invalid func unknown#{number}\n"));
                Reply { fd: Err(errno), log: Log { text: text.unwrap_or_default(), truncated: false } }
            }
        }
    }

    fn prog_test_run(&self, request: &TestRun<'_>) -> Result<TestRunReply, Errno> {
        self.yes.prog_test_run(request)
    }

    fn map_info(&self, map: Named<'_>) -> Result<MapInfo, Errno> {
        self.yes.map_info(map)
    }

    fn prog_info(&self, program: Named<'_>) -> Result<ProgInfo, Errno> {
        self.yes.prog_info(program)
    }

    fn prog_functions(&self, program: Named<'_>) -> Result<ProgFunctions, Errno> {
        self.since((5, 0)).and_then(|()| self.yes.prog_functions(program))
    }

    fn prog_code(&self, program: Named<'_>) -> Result<ProgCode, Errno> {
        self.since((4, 13)).and_then(|()| self.yes.prog_code(program))
    }

    fn link_create(&self, request: &LinkCreate<'_>) -> Result<OwnedFd, Errno> {
        self.since(link_since(request)).and_then(|()| self.yes.link_create(request))
    }

    fn raw_tracepoint_open(&self, request: &RawTracepoint<'_>) -> Result<OwnedFd, Errno> {
        self.since((4, 17)).and_then(|()| self.yes.raw_tracepoint_open(request))
    }

    fn event_open(&self, event: &Event<'_>) -> Result<OwnedFd, Errno> {
        self.since((4, 17)).and_then(|()| self.yes.event_open(event))
    }

    fn iter_create(&self, link: Named<'_>) -> Result<OwnedFd, Errno> {
        self.since((5, 8)).and_then(|()| self.yes.iter_create(link))
    }

    fn map_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        self.yes.map_by_id(id)
    }

    fn prog_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        self.yes.prog_by_id(id)
    }

    fn obj_pin(&self, object: Named<'_>, path: &Path) -> Result<(), Errno> {
        self.yes.obj_pin(object, path)
    }

    fn obj_get(&self, path: &Path) -> Result<Pinned, Errno> {
        self.yes.obj_get(path)
    }

    fn bpffs(&self, call: Bpffs<'_>) -> Result<bool, Errno> {
        self.yes.bpffs(call)
    }
}
