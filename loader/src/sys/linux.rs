//! The running kernel: bpf(2) itself. One of the files where `unsafe` lives.
//!
//! Pointers in a request come from slices that the caller's request borrows for the whole call, so the kernel reads and
//! writes live memory of the stated length.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::attr::{self, Attr, InfoStruct};
use super::{
    Bpffs, BtfLoad, Errno, Event, Kernel, LinkCreate, Log, LogRequest, MapCreate, MapInfo, MapUpdate,
    MapValue, Mapping, MeasuredMap, Named, PinKind, Pinned, ProgCode, ProgFunctions, ProgInfo, ProgLoad,
    RawTracepoint, Reply, TestRun, TestRunReply, attach, limits, mount, perf, prog_code,
};
use crate::bytes::{unsigned, until_nul};
use crate::uapi::{MapFlags, MapType, OBJ_NAME_LEN, ProgType};

/// The running kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

/// How often a load is repeated that a signal interrupted. Source: libbpf `sys_bpf_prog_load`.
const ATTEMPTS: usize = 5;

impl Linux {
    /// `BPF_LINK_DETACH`: ends an attachment at once, whoever holds its link; the link itself stays, and holds nothing.
    /// No part of [`Kernel`]: no load needs it. Since: Linux 5.9.
    ///
    /// # Errors
    /// The errno; `EOPNOTSUPP` for links that cannot be detached.
    pub fn link_detach(&self, link: Named<'_>) -> Result<(), Errno> {
        bpf(&mut attr::LinkDetach { link_fd: raw(link) }).map(drop)
    }
}

impl Kernel for Linux {
    fn at_once(&self) -> bool {
        true
    }

    fn btf_load(&self, request: &BtfLoad<'_>) -> Reply {
        let mut log = LogBuffer::new(request.log);
        let mut attr = attr::BtfLoad {
            btf: address(request.data),
            btf_log_buf: log.address(),
            btf_size: len32(request.data),
            btf_log_size: log.size(),
            btf_log_level: request.log.map_or(0, |log| log.level),
            btf_log_true_size: 0,
        };
        let fd = bpf_fd(&mut attr);
        Reply { log: log.take(&fd), fd }
    }

    fn module_btf(&self, module: &str) -> Result<OwnedFd, Errno> {
        let mut id = 0;
        loop {
            let mut next = attr::BtfNextId { start_id: id, ..attr::BtfNextId::default() };
            bpf(&mut next)?;
            id = next.next_id;
            match bpf_fd(&mut attr::BtfById { id, ..attr::BtfById::default() }) {
                Ok(fd) if is_module_btf(&fd, module)? => return Ok(fd),
                // It may have gone in between.
                Ok(_) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn map_create(&self, request: &MapCreate<'_>) -> Result<OwnedFd, Errno> {
        let mut attr = attr::MapCreate {
            map_type: request.ty.0,
            key_size: request.key_size,
            value_size: request.value_size,
            max_entries: request.max_entries,
            map_flags: request.flags.bits(),
            inner_map_fd: request.inner.map_or(0, raw),
            numa_node: request.numa_node,
            map_name: name(request.kernel_name),
            btf_fd: request.types.map_or(0, |types| raw(types.btf)),
            btf_key_type_id: request.types.map_or(0, |types| types.key.0),
            btf_value_type_id: request.types.map_or(0, |types| types.value.0),
            map_extra: request.map_extra,
            btf_vmlinux_value_type_id: request.kernel_value.map_or(0, |value| value.id.0),
            value_type_btf_obj_fd: request.kernel_value.and_then(|value| value.of).map_or(0, raw),
            ..attr::MapCreate::default()
        };
        bpf_fd(&mut attr)
    }

    fn map_sizes<'m>(&self, map: Named<'m>) -> Result<MeasuredMap<'m>, Errno> {
        MeasuredMap::asked(map)
    }

    fn update(&self, map: MeasuredMap<'_>, request: &MapUpdate<'_>) -> Result<(), Errno> {
        let value = match request.value {
            MapValue::Bytes(bytes) => bytes.to_vec(),
            MapValue::Named(handle) => handle.fd.as_raw_fd().to_ne_bytes().to_vec(),
            MapValue::Table(bytes, programs) => attach::table(bytes, programs),
        };
        let sizes = map.room()?;
        let (key, value) = (at_least(request.key.to_vec(), sizes.key), at_least(value, sizes.value));
        let mut attr = attr::MapUpdate {
            map_fd: raw(map.map()),
            reserved: 0,
            key: address(&key),
            value: address(&value),
            flags: request.flags.bits(),
        };
        bpf(&mut attr).map(drop)
    }

    fn lookup(&self, map: MeasuredMap<'_>, key: &[u8], value_size: usize) -> Result<Vec<u8>, Errno> {
        let sizes = map.room()?;
        let key = at_least(key.to_vec(), sizes.key);
        let mut value = at_least(vec![0; value_size], sizes.value);
        let mut attr = attr::MapLookup {
            map_fd: raw(map.map()),
            reserved: 0,
            key: address(&key),
            value: room(&mut value),
            flags: 0,
        };
        bpf(&mut attr)?;
        value.truncate(value_size);
        Ok(value)
    }

    fn slot(&self, map: MeasuredMap<'_>, key: u32) -> Result<u32, Errno> {
        let value = self.lookup(map, &key.to_ne_bytes(), 4)?;
        value.try_into().map(u32::from_ne_bytes).map_err(|_wrong_length| Errno::EINVAL)
    }

    fn delete(&self, map: MeasuredMap<'_>, key: &[u8]) -> Result<(), Errno> {
        let key = at_least(key.to_vec(), map.room()?.key);
        bpf(&mut attr::MapDelete { map_fd: raw(map.map()), reserved: 0, key: address(&key) }).map(drop)
    }

    fn next_key(
        &self,
        map: MeasuredMap<'_>,
        after: Option<&[u8]>,
        key_size: usize,
    ) -> Result<Vec<u8>, Errno> {
        let size = map.room()?.key;
        let after = after.map(|key| at_least(key.to_vec(), size));
        let mut next = at_least(vec![0; key_size], size);
        let mut attr = attr::MapNextKey {
            map_fd: raw(map.map()),
            reserved: 0,
            key: after.as_deref().map_or(0, address),
            next_key: room(&mut next),
        };
        bpf(&mut attr)?;
        next.truncate(key_size);
        Ok(next)
    }

    fn map_freeze(&self, map: Named<'_>) -> Result<(), Errno> {
        bpf(&mut attr::MapFreeze { map_fd: raw(map) }).map(drop)
    }

    fn map_memory(&self, map: Named<'_>, address: u64, len: usize) -> Result<Mapping, Errno> {
        Mapping::of_map(map.fd, address, len)
    }

    fn prog_load(&self, request: &ProgLoad<'_>) -> Reply {
        let mut log = LogBuffer::new(request.log);
        let Ok(license) = CString::new(request.license) else {
            return Reply { fd: Err(Errno::EINVAL), log: Log::default() };
        };
        let insns = code(request);
        let fd_array = fd_array(request);
        let (funcs, lines) = request.info.map_or((&[][..], &[][..]), |info| (info.funcs, info.lines));
        let mut attr = attr::ProgLoad {
            prog_type: request.ty.0,
            insn_cnt: len32(request.insns),
            insns: address(&insns),
            license: license.as_ptr() as u64,
            log_level: request.log.map_or(0, |log| log.level),
            log_size: log.size(),
            log_buf: log.address(),
            kern_version: request.kern_version,
            prog_flags: request.flags.bits(),
            prog_name: name(request.kernel_name),
            expected_attach_type: request.attach.0,
            prog_btf_fd: request.info.map_or(0, |info| raw(info.btf)),
            func_info_rec_size: record_size(funcs),
            func_info: address(funcs),
            func_info_cnt: len32(funcs),
            line_info_rec_size: record_size(lines),
            line_info: address(lines),
            line_info_cnt: len32(lines),
            attach_btf_id: request.hook.map_or(0, |hook| hook.id.0),
            attach_btf_obj_fd: request.hook.and_then(|hook| hook.of).map_or(0, raw),
            fd_array: address(&fd_array),
            ..attr::ProgLoad::default()
        };
        let fd = bpf_fd(&mut attr);
        Reply { log: log.take(&fd), fd }
    }

    fn prog_test_run(&self, request: &TestRun<'_>) -> Result<TestRunReply, Errno> {
        let (mut data, mut context) = (vec![0; request.data_room], vec![0; request.context_room]);
        // The kernel writes into the given context of a syscall program, so it gets one of its own.
        let mut given = request.context.to_vec();
        let mut attr = attr::TestRun {
            prog_fd: raw(request.program),
            data_size_in: len32(request.data),
            data_size_out: len32(&data),
            data_in: address(request.data),
            data_out: room(&mut data),
            repeat: request.repeat,
            ctx_size_in: len32(&given),
            ctx_size_out: len32(&context),
            ctx_in: room(&mut given),
            ctx_out: room(&mut context),
            ..attr::TestRun::default()
        };
        bpf(&mut attr)?;
        data.truncate(crate::bytes::to_usize(attr.data_size_out));
        context.truncate(crate::bytes::to_usize(attr.ctx_size_out));
        let context = if request.context_room > 0 { context } else { given };
        Ok(TestRunReply { retval: attr.retval, duration: attr.duration, data, context })
    }

    fn map_info(&self, map: Named<'_>) -> Result<MapInfo, Errno> {
        let mut info = attr::MapInfo::default();
        info_by_fd(map, &mut info)?;
        Ok(MapInfo {
            id: info.id,
            name: until_nul(&info.name),
            ty: MapType(info.ty),
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: MapFlags::from_bits_retain(info.map_flags),
            map_extra: info.map_extra,
        })
    }

    fn prog_info(&self, program: Named<'_>) -> Result<ProgInfo, Errno> {
        let mut info = attr::ProgInfo::default();
        info_by_fd(program, &mut info)?;
        let mut map_ids = vec![0u32; crate::bytes::to_usize(info.nr_map_ids)];
        if !map_ids.is_empty() {
            // Asked again with room for the ids; the rest is the same.
            info = attr::ProgInfo { nr_map_ids: info.nr_map_ids, ..attr::ProgInfo::default() };
            info.map_ids = map_ids.as_mut_ptr() as u64;
            info_by_fd(program, &mut info)?;
            map_ids.truncate(crate::bytes::to_usize(info.nr_map_ids));
        }
        Ok(ProgInfo {
            id: info.id,
            name: until_nul(&info.name),
            ty: ProgType(info.ty),
            tag: info.tag,
            load_time: info.load_time,
            uid: info.created_by_uid,
            verified_insns: info.verified_insns,
            map_ids,
        })
    }

    fn prog_functions(&self, program: Named<'_>) -> Result<ProgFunctions, Errno> {
        attach::functions(program)
    }

    fn prog_code(&self, program: Named<'_>) -> Result<ProgCode, Errno> {
        prog_code::code(program)
    }

    fn link_create(&self, request: &LinkCreate<'_>) -> Result<OwnedFd, Errno> {
        attach::link(request)
    }

    fn raw_tracepoint_open(&self, request: &RawTracepoint<'_>) -> Result<OwnedFd, Errno> {
        attach::raw_tracepoint(request)
    }

    fn event_open(&self, event: &Event<'_>) -> Result<OwnedFd, Errno> {
        perf::open(event)
    }

    fn iter_create(&self, link: Named<'_>) -> Result<OwnedFd, Errno> {
        bpf_fd(&mut attr::IterCreate { link_fd: raw(link), flags: 0 })
    }

    fn map_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        bpf_fd(&mut attr::MapById { id, ..attr::MapById::default() })
    }

    fn prog_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        bpf_fd(&mut attr::ProgById { id, ..attr::ProgById::default() })
    }

    fn obj_pin(&self, object: Named<'_>, path: &Path) -> Result<(), Errno> {
        let path = mount::c_path(path)?;
        let pathname = path.as_ptr() as u64;
        bpf(&mut attr::ObjPin { pathname, bpf_fd: raw(object), file_flags: 0 }).map(drop)
    }

    fn obj_get(&self, path: &Path) -> Result<Pinned, Errno> {
        let path = mount::c_path(path)?;
        let pathname = path.as_ptr() as u64;
        let fd = bpf_fd(&mut attr::ObjGet { pathname, ..attr::ObjGet::default() })?;
        Ok(Pinned { kind: kind(&fd), fd })
    }

    fn bpffs(&self, call: Bpffs<'_>) -> Result<bool, Errno> {
        let failed = |error: std::io::Error| Errno::from_io(&error);
        match call {
            Bpffs::Is(path) => return mount::is_bpffs(path),
            Bpffs::Has(path) => match fs::symlink_metadata(path).map_err(failed) {
                Ok(_) => return Ok(true),
                Err(Errno::ENOENT) => return Ok(false),
                Err(errno) => return Err(errno),
            },
            Bpffs::MakeDir(path) => DirBuilder::new().mode(0o700).create(path).map_err(failed)?,
            Bpffs::Rename(from, to) => mount::rename(from, to)?,
            Bpffs::RemovePin(path) => fs::remove_file(path).map_err(failed)?,
            Bpffs::RemoveDir(path) => fs::remove_dir(path).map_err(failed)?,
            Bpffs::Mark(path, time) => mount::set_modified(path, time)?,
        }
        Ok(true)
    }
}

/// Memory of at least so many **bytes**: zeroes follow what is there.
fn at_least(mut bytes: Vec<u8>, size: usize) -> Vec<u8> {
    bytes.resize(bytes.len().max(size), 0);
    bytes
}

/// What a descriptor of bpf(2) is of: the kernel tells only by the name of its file.
fn kind(fd: &OwnedFd) -> PinKind {
    const NAMES: &[(&str, PinKind)] =
        &[("bpf-map", PinKind::Map), ("bpf-prog", PinKind::Program), ("bpf_link", PinKind::Link)];
    let name = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default();
    let name = name.to_string_lossy();
    NAMES.iter().find(|(known, _)| name.contains(known)).map_or(PinKind::Other, |(_, kind)| *kind)
}

/// Whether a descriptor is that of this module's types.
fn is_module_btf(fd: &OwnedFd, module: &str) -> Result<bool, Errno> {
    // Names of modules are shorter (MODULE_NAME_LEN).
    let mut name = [0u8; 64];
    let mut info =
        attr::BtfInfo { name: room(&mut name), name_len: len32(&name), ..attr::BtfInfo::default() };
    match info_by_fd(Named { name: module, fd: fd.as_fd() }, &mut info) {
        // What has a longer name is another one.
        Err(Errno::ENOSPC) => return Ok(false),
        other => other?,
    }
    Ok(info.kernel_btf != 0 && until_nul(&name) == module)
}

/// Descriptors of modules' types; no call uses the first place, which means the kernel.
fn fd_array(request: &ProgLoad<'_>) -> Vec<u32> {
    let fds: Vec<u32> = request.fd_array.iter().map(|module| raw(*module)).collect();
    if fds.is_empty() { fds } else { [vec![0], fds].concat() }
}

/// The code as bytes, with the maps' descriptors in their places: the only moment when they are there.
fn code(request: &ProgLoad<'_>) -> Vec<[u8; 8]> {
    let mut insns = request.insns.to_vec();
    for (at, handle) in request.maps.iter().chain(request.btfs) {
        if let Some(slot) = insns.get_mut(at.index()) {
            slot.imm = handle.fd.as_raw_fd();
        }
    }
    insns.iter().map(|insn| insn.to_native()).collect()
}

/// Makes a call; where memory may count against RLIMIT_MEMLOCK, with that limit out of the way.
pub(super) fn bpf<A: Attr>(attr: &mut A) -> Result<RawFd, Errno> {
    let counted = [attr::MapCreate::COMMAND, attr::ProgLoad::COMMAND];
    if counted.contains(&A::COMMAND) { limits::without_memlock(|| call(attr)) } else { call(attr) }
}

fn call<A: Attr>(attr: &mut A) -> Result<RawFd, Errno> {
    let mut attempts = ATTEMPTS;
    loop {
        // SAFETY: `A: Attr` fixes layout and size; addresses in it come from live slices of the stated length.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, A::COMMAND, std::ptr::from_mut(attr), size_of::<A>()) };
        if result >= 0 {
            return RawFd::try_from(result).map_err(|_too_large| Errno::EINVAL);
        }
        attempts = attempts.saturating_sub(1);
        let errno = Errno::last();
        // The verifier gives up with EAGAIN when a signal is pending; the call is worth repeating.
        if errno != Errno::EAGAIN || attempts == 0 {
            return Err(errno);
        }
    }
}

/// A command that returns a new descriptor.
pub(super) fn bpf_fd<A: Attr>(attr: &mut A) -> Result<OwnedFd, Errno> {
    let fd = bpf(attr)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(fd);
    }
    // A process with closed standard streams gets their numbers. 0 means "none" in many fields, so move away.
    // SAFETY: duplicates an open descriptor into one that the new owner alone knows.
    let moved = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
    if moved < 0 {
        return Err(Errno::last());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

pub(super) fn info_by_fd<I: InfoStruct>(handle: Named<'_>, info: &mut I) -> Result<(), Errno> {
    let mut attr = attr::Info {
        bpf_fd: raw(handle),
        info_len: u32::try_from(size_of::<I>()).unwrap_or(0),
        info: std::ptr::from_mut(info) as u64,
    };
    bpf(&mut attr).map(drop)
}

pub(super) fn raw(handle: Named<'_>) -> u32 {
    unsigned(handle.fd.as_raw_fd())
}

/// Where a slice stands; 0, which means "none", for an empty one.
pub(super) fn address<T>(slice: &[T]) -> u64 {
    if slice.is_empty() { 0 } else { slice.as_ptr() as u64 }
}

/// Where the kernel is to write; 0, which means "nowhere", without room.
pub(super) fn room(buffer: &mut [u8]) -> u64 {
    if buffer.is_empty() { 0 } else { buffer.as_mut_ptr() as u64 }
}

pub(super) fn len32<T>(slice: &[T]) -> u32 {
    u32::try_from(slice.len()).unwrap_or(u32::MAX)
}

/// Size of a record in **bytes**; 0 where there are none, as kernels before 5.0 want it.
fn record_size<T>(records: &[T]) -> u32 {
    if records.is_empty() { 0 } else { u32::try_from(size_of::<T>()).unwrap_or(0) }
}

/// A name in the kernel's 16 bytes, NUL at the end.
fn name(name: &str) -> [u8; OBJ_NAME_LEN] {
    let mut out = [0; OBJ_NAME_LEN];
    for (to, from) in out.iter_mut().take(OBJ_NAME_LEN.saturating_sub(1)).zip(name.bytes()) {
        *to = from;
    }
    out
}

/// Memory that the kernel writes its log to.
struct LogBuffer(Vec<u8>);

impl LogBuffer {
    fn new(request: Option<LogRequest>) -> Self {
        Self(vec![0; request.map_or(0, |log| crate::bytes::to_usize(log.size))])
    }

    fn address(&mut self) -> u64 {
        room(&mut self.0)
    }

    fn size(&self) -> u32 {
        len32(&self.0)
    }

    fn take(self, fd: &Result<OwnedFd, Errno>) -> Log {
        Log { text: until_nul(&self.0), truncated: matches!(fd, Err(errno) if *errno == Errno::ENOSPC) }
    }
}
