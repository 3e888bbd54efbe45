//! The kernel floor: bpf(2) as a trait, one method a command.
//!
//! It knows nothing about objects. Requests are borrowed values; descriptors in them go by the name of what they stand
//! for, so that a call can be written down and read by people. [`Linux`] asks the running kernel, [`Recorder`] writes
//! down what it asked, [`Replay`] plays a recording, [`DryRun`] says yes to everything.
//!
//! Source: `include/uapi/linux/bpf.h`, bpf(2).

mod attach;
mod attr;
mod dry_run;
mod errno;
pub mod files;
pub mod host;
mod info;
mod limits;
mod linux;
mod look;
mod measured;
mod mmap;
mod mount;
mod perf;
mod pins;
mod prog_code;
mod recorder;
mod script;
mod text;
pub mod tracefs;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::btf::TypeId;
use crate::insn::{Insn, InsnIdx};
use crate::uapi::{AttachType, MapFlags, MapType, ProgFlags, ProgType, UpdateFlags};

pub use attach::{Elements, LinkCreate, LinkTarget, Netfilter, ProgFunctions, RawTracepoint};
pub use dry_run::DryRun;
pub use errno::Errno;
pub use info::{MapInfo, PinKind, Pinned, ProgInfo};
pub use linux::Linux;
pub use look::{Batch, MapDetails, MapTypeIds, RunStats};
pub use measured::MeasuredMap;
pub use mmap::{FileMapping, Mapping, Zeroed};
pub use perf::Event;
pub use prog_code::ProgCode;
pub use recorder::Recorder;
pub use script::{Difference, Replay};

/// A kernel that can be asked.
///
/// Methods take `&self`, so that several threads can ask at once. Every error is the errno of the call.
pub trait Kernel: Sync {
    /// Whether it is worth while to ask several things at once. Not where the order of the calls is to be told.
    fn at_once(&self) -> bool {
        false
    }

    /// `BPF_BTF_LOAD`. Since: Linux 4.18.
    fn btf_load(&self, request: &BtfLoad<'_>) -> Reply;

    /// Opens the types of a module, by `BPF_BTF_GET_NEXT_ID`, `BPF_BTF_GET_FD_BY_ID` and `BPF_OBJ_GET_INFO_BY_FD`.
    /// Since: Linux 5.11.
    ///
    /// # Errors
    /// The errno; `ENOENT` if there is no such module or it has no types, `EPERM` without CAP_SYS_ADMIN.
    fn module_btf(&self, module: &str) -> Result<OwnedFd, Errno>;

    /// `BPF_MAP_CREATE`. Since: Linux 3.18.
    ///
    /// # Errors
    /// The errno. `EINVAL` also means a map type that this kernel does not know.
    fn map_create(&self, request: &MapCreate<'_>) -> Result<OwnedFd, Errno>;

    /// How long a map's keys and values are, by `BPF_OBJ_GET_INFO_BY_FD`. The kernel takes addresses of keys and values
    /// without their lengths, so this is asked before each call that has some.
    ///
    /// # Errors
    /// The errno. Linux before 4.13 does not say, which is none.
    fn map_sizes<'m>(&self, map: Named<'m>) -> Result<MeasuredMap<'m>, Errno>;

    /// [`map_update`](Self::map_update) of a map whose sizes are known; the map of the request counts for nothing.
    ///
    /// # Errors
    /// The errno.
    fn update(&self, map: MeasuredMap<'_>, request: &MapUpdate<'_>) -> Result<(), Errno>;

    /// [`map_lookup`](Self::map_lookup) in a map whose sizes are known.
    ///
    /// # Errors
    /// The errno.
    fn lookup(&self, map: MeasuredMap<'_>, key: &[u8], value_size: usize) -> Result<Vec<u8>, Errno>;

    /// [`slot_id`](Self::slot_id) of a map whose sizes are known.
    ///
    /// # Errors
    /// The errno.
    fn slot(&self, map: MeasuredMap<'_>, key: u32) -> Result<u32, Errno>;

    /// [`map_delete`](Self::map_delete) from a map whose sizes are known.
    ///
    /// # Errors
    /// The errno.
    fn delete(&self, map: MeasuredMap<'_>, key: &[u8]) -> Result<(), Errno>;

    /// [`map_next_key`](Self::map_next_key) of a map whose sizes are known.
    ///
    /// # Errors
    /// The errno.
    fn next_key(&self, map: MeasuredMap<'_>, after: Option<&[u8]>, key_size: usize)
    -> Result<Vec<u8>, Errno>;

    /// `BPF_MAP_UPDATE_ELEM`. Since: Linux 3.18.
    ///
    /// # Errors
    /// The errno.
    fn map_update(&self, request: &MapUpdate<'_>) -> Result<(), Errno> {
        self.update(self.map_sizes(request.map)?, request)
    }

    /// `BPF_MAP_LOOKUP_ELEM`: the first `value_size` **bytes** of the value, zeroes behind its end; for per-CPU maps that is
    /// 8-byte-rounded values for all possible CPUs.
    ///
    /// # Errors
    /// The errno; `ENOENT` if the key is not there.
    fn map_lookup(&self, map: Named<'_>, key: &[u8], value_size: usize) -> Result<Vec<u8>, Errno> {
        self.lookup(self.map_sizes(map)?, key, value_size)
    }

    /// `BPF_MAP_LOOKUP_ELEM` of a map of programs or maps: the **id** of what stands there. Since: Linux 4.12.
    ///
    /// # Errors
    /// The errno; `ENOENT` if the slot is empty.
    fn slot_id(&self, map: Named<'_>, key: u32) -> Result<u32, Errno> {
        self.slot(self.map_sizes(map)?, key)
    }

    /// `BPF_MAP_DELETE_ELEM`. Since: Linux 3.18.
    ///
    /// # Errors
    /// The errno; `ENOENT` if the key is not there, `EINVAL` for arrays, whose keys always are.
    fn map_delete(&self, map: Named<'_>, key: &[u8]) -> Result<(), Errno> {
        self.delete(self.map_sizes(map)?, key)
    }

    /// `BPF_MAP_GET_NEXT_KEY`: the key behind `after`, `key_size` **bytes** of it; the first one for `None`, and for a
    /// key that is not there. Since: Linux 3.18; the first one since 4.12.
    ///
    /// # Errors
    /// The errno; `ENOENT` behind the last key.
    fn map_next_key(&self, map: Named<'_>, after: Option<&[u8]>, key_size: usize) -> Result<Vec<u8>, Errno> {
        self.next_key(self.map_sizes(map)?, after, key_size)
    }

    /// `BPF_MAP_FREEZE`. Since: Linux 5.2.
    ///
    /// # Errors
    /// The errno.
    fn map_freeze(&self, map: Named<'_>) -> Result<(), Errno>;

    /// mmap(2) of `len` **bytes** of a map's memory, at `address` unless that is 0. Since: Linux 5.5.
    ///
    /// # Errors
    /// The errno.
    fn map_memory(&self, map: Named<'_>, address: u64, len: usize) -> Result<Mapping, Errno>;

    /// `BPF_PROG_LOAD`. Since: Linux 3.18.
    fn prog_load(&self, request: &ProgLoad<'_>) -> Reply;

    /// `BPF_PROG_TEST_RUN`: runs a program on a packet or on a context, in this process. Since: Linux 4.12; contexts
    /// since 5.2.
    ///
    /// A signal ends a long run with `EINTR`. The call is not repeated, nor does libbpf: whoever sent the signal wants
    /// the run to end, and another one would start from its beginning.
    ///
    /// # Errors
    /// The errno. `ENOTSUPP`: programs of this type cannot be run. `ENOSPC`: the packet grew beyond
    /// [`TestRun::data_room`]. `EINVAL`: the type takes no packet, no context or no repetition, or the packet is shorter
    /// than the 14 bytes of an Ethernet header.
    fn prog_test_run(&self, request: &TestRun<'_>) -> Result<TestRunReply, Errno>;

    /// `BPF_OBJ_GET_INFO_BY_FD` of a map. Since: Linux 4.13.
    ///
    /// # Errors
    /// The errno.
    fn map_info(&self, map: Named<'_>) -> Result<MapInfo, Errno>;

    /// `BPF_OBJ_GET_INFO_BY_FD` of a program. Since: Linux 4.13.
    ///
    /// # Errors
    /// The errno.
    fn prog_info(&self, program: Named<'_>) -> Result<ProgInfo, Errno>;

    /// Functions of a program and their types, by `BPF_OBJ_GET_INFO_BY_FD` of it and of its BTF. Since: Linux 5.0.
    ///
    /// # Errors
    /// The errno; `EPERM` without CAP_SYS_ADMIN.
    fn prog_functions(&self, program: Named<'_>) -> Result<ProgFunctions, Errno>;

    /// Code of a program as the kernel has it, by `BPF_OBJ_GET_INFO_BY_FD`. Since: Linux 4.13.
    ///
    /// # Errors
    /// The errno. Who may not see the code gets none, and no error.
    fn prog_code(&self, program: Named<'_>) -> Result<ProgCode, Errno>;

    /// `BPF_LINK_CREATE`. Since: Linux 5.7.
    ///
    /// # Errors
    /// The errno.
    fn link_create(&self, request: &LinkCreate<'_>) -> Result<OwnedFd, Errno>;

    /// `BPF_RAW_TRACEPOINT_OPEN`. What comes back holds the program attached, as a link does. Since: Linux 4.17.
    ///
    /// # Errors
    /// The errno; `ENOENT` if there is no such tracepoint.
    fn raw_tracepoint_open(&self, request: &RawTracepoint<'_>) -> Result<OwnedFd, Errno>;

    /// perf_event_open(2) of what programs are attached to: `ENOENT` if there is none, `EOPNOTSUPP` if the kernel was built
    /// without such events. Links to events since: Linux 5.15.
    ///
    /// # Errors
    /// The errno.
    fn event_open(&self, event: &Event<'_>) -> Result<OwnedFd, Errno>;

    /// `BPF_ITER_CREATE`: something to read what an iterator writes, from its beginning. Since: Linux 5.8.
    ///
    /// # Errors
    /// The errno; `EINVAL` if it is no link of an iterator.
    fn iter_create(&self, link: Named<'_>) -> Result<OwnedFd, Errno>;

    /// `BPF_MAP_GET_FD_BY_ID`. Since: Linux 4.13.
    ///
    /// # Errors
    /// The errno; `ENOENT` if there is no such map.
    fn map_by_id(&self, id: u32) -> Result<OwnedFd, Errno>;

    /// `BPF_PROG_GET_FD_BY_ID`. Since: Linux 4.13.
    ///
    /// # Errors
    /// The errno; `ENOENT` if there is no such program.
    fn prog_by_id(&self, id: u32) -> Result<OwnedFd, Errno>;

    /// `BPF_OBJ_PIN`: gives a map or program a name on bpffs, which holds it as a descriptor does. Since: Linux 4.4.
    ///
    /// # Errors
    /// The errno. `EEXIST` if the name is taken, `EPERM` also where the path is on no bpffs or has a dot in it.
    fn obj_pin(&self, object: Named<'_>, path: &Path) -> Result<(), Errno>;

    /// `BPF_OBJ_GET`: opens what is pinned there. Since: Linux 4.4.
    ///
    /// # Errors
    /// The errno; `ENOENT` if nothing is.
    fn obj_get(&self, path: &Path) -> Result<Pinned, Errno>;

    /// Looks at, makes or removes a name on bpffs.
    ///
    /// # Errors
    /// The errno of the call.
    fn bpffs(&self, call: Bpffs<'_>) -> Result<bool, Errno>;
}

/// A descriptor and the name of what it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The name, as the object gives it.
    pub name: &'a str,
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
}

/// The answer to a call that writes a log: the log comes with success and with failure.
#[derive(Debug)]
pub struct Reply {
    /// The new descriptor.
    pub fd: Result<OwnedFd, Errno>,
    /// What the kernel wrote, if a log was asked for.
    pub log: Log,
}

/// A log that the kernel wrote.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// The text, without the NUL at its end.
    pub text: String,
    /// Whether the buffer was too small. Kernels before 6.4 then keep the beginning, later ones the end.
    pub truncated: bool,
}

/// A buffer for the kernel's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRequest {
    /// 1 for what matters, 2 for every instruction.
    pub level: u32,
    /// Size of the buffer in **bytes**.
    pub size: u32,
}

/// Arguments of [`Kernel::btf_load`].
#[derive(Clone, Copy, Debug)]
pub struct BtfLoad<'a> {
    /// Name of the object that the types belong to.
    pub name: &'a str,
    /// The types in this machine's byte order.
    pub data: &'a [u8],
    /// Whether a log is wanted.
    pub log: Option<LogRequest>,
}

/// Arguments of [`Kernel::map_create`]. Sizes are in **bytes**, `max_entries` in **elements**.
#[derive(Clone, Copy, Debug)]
pub struct MapCreate<'a> {
    /// Name in the object.
    pub name: &'a str,
    /// Name for the kernel, at most 15 bytes; empty for none.
    pub kernel_name: &'a str,
    /// What kind of map.
    pub ty: MapType,
    /// Size of a key.
    pub key_size: u32,
    /// Size of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// Flags.
    pub flags: MapFlags,
    /// NUMA node, meant with [`MapFlags::NUMA_NODE`].
    pub numa_node: u32,
    /// What some types take besides.
    pub map_extra: u64,
    /// A map that looks like its inner maps.
    pub inner: Option<Named<'a>>,
    /// Types of keys and values.
    pub types: Option<MapTypes<'a>>,
    /// Type of the value in the kernel, for struct_ops.
    pub kernel_value: Option<Hook<'a>>,
}

/// Types of a map's keys and values.
#[derive(Clone, Copy, Debug)]
pub struct MapTypes<'a> {
    /// The loaded BTF that the numbers belong to.
    pub btf: Named<'a>,
    /// Type of a key.
    pub key: TypeId,
    /// Type of a value.
    pub value: TypeId,
}

/// Arguments of [`Kernel::map_update`].
#[derive(Clone, Copy, Debug)]
pub struct MapUpdate<'a> {
    /// The map.
    pub map: Named<'a>,
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: MapValue<'a>,
    /// Whether the key must be there, or must not.
    pub flags: UpdateFlags,
}

/// A value to put into a map.
#[derive(Clone, Copy, Debug)]
pub enum MapValue<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// The program or map behind a descriptor.
    Named(Named<'a>),
    /// Bytes with programs in them, at these **bytes** from the start: a table of functions for the kernel to call.
    Table(&'a [u8], &'a [(u32, Named<'a>)]),
}

/// Arguments of [`Kernel::prog_load`].
#[derive(Clone, Copy, Debug)]
pub struct ProgLoad<'a> {
    /// Name in the object.
    pub name: &'a str,
    /// Name for the kernel, at most 15 bytes; empty for none.
    pub kernel_name: &'a str,
    /// Its type.
    pub ty: ProgType,
    /// Its expected attach type.
    pub attach: AttachType,
    /// Flags.
    pub flags: ProgFlags,
    /// Its licence.
    pub license: &'a str,
    /// The kernel version it was built for.
    pub kern_version: u32,
    /// Its code; slots in `maps` get their descriptor in the immediate when the call is made.
    pub insns: &'a [Insn],
    /// Slots that refer to maps.
    pub maps: &'a [(InsnIdx, Named<'a>)],
    /// Slots that refer to types of modules, by their descriptors.
    pub btfs: &'a [(InsnIdx, Named<'a>)],
    /// Types of modules whose functions are called: the first one stands at 1 in the kernel's `fd_array`.
    pub fd_array: &'a [Named<'a>],
    /// What it attaches to.
    pub hook: Option<Hook<'a>>,
    /// Function types and source lines.
    pub info: Option<ProgTypes<'a>>,
    /// Whether a log is wanted.
    pub log: Option<LogRequest>,
}

/// Something with a type that a program attaches to.
#[derive(Clone, Copy, Debug)]
pub struct Hook<'a> {
    /// Its type.
    pub id: TypeId,
    /// Whose type: that of a module, by its BTF's descriptor, or of another program, by that program's; of the kernel
    /// without one.
    pub of: Option<Named<'a>>,
}

/// Function types and source lines of a program.
#[derive(Clone, Copy, Debug)]
pub struct ProgTypes<'a> {
    /// The loaded BTF that the numbers belong to.
    pub btf: Named<'a>,
    /// Records of `struct bpf_func_info`: slot, type.
    pub funcs: &'a [[u32; 2]],
    /// Records of `struct bpf_line_info`: slot, file, text, number and column.
    pub lines: &'a [[u32; 4]],
}

/// Arguments of [`Kernel::prog_test_run`].
#[derive(Clone, Copy, Debug)]
pub struct TestRun<'a> {
    /// The program.
    pub program: Named<'a>,
    /// The packet, from its Ethernet header on; empty for types that take none.
    pub data: &'a [u8],
    /// Room for the packet as the program leaves it, in **bytes**; 0 if nobody wants to see it.
    pub data_room: usize,
    /// The context, such as a `struct __sk_buff` or the arguments of a tracepoint; empty for none.
    pub context: &'a [u8],
    /// Room for the context as the program leaves it, in **bytes**; 0 if nobody wants to see it.
    pub context_room: usize,
    /// How often to run it; 0 counts as once. Types that take no packet take only 0.
    pub repeat: u32,
}

/// The answer to [`Kernel::prog_test_run`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestRunReply {
    /// What the program returned the last time.
    pub retval: u32,
    /// How long a run took, in **nanoseconds**, on average over all.
    pub duration: u32,
    /// The packet as the program left it, after all runs.
    pub data: Vec<u8>,
    /// The context as the program left it. Without [`TestRun::context_room`] it is the one that was given, which only
    /// `BPF_PROG_TYPE_SYSCALL` changes.
    pub context: Vec<u8>,
}

/// A call of the file system, for names on bpffs. The answer is `true` where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub enum Bpffs<'a> {
    /// statfs(2): whether this place is on a bpffs.
    Is(&'a Path),
    /// lstat(2): whether there is something of this name.
    Has(&'a Path),
    /// mkdir(2), for its owner only.
    MakeDir(&'a Path),
    /// renameat2(2) of a pin, from the first name to the second, which must be free. When it was last changed stays.
    Rename(&'a Path, &'a Path),
    /// unlink(2) of a pin. What it holds lives on while something else holds it.
    RemovePin(&'a Path),
    /// rmdir(2), of an empty directory.
    RemoveDir(&'a Path),
    /// utimensat(2): sets when it was last changed to this many **nanoseconds** after 1970-01-01.
    Mark(&'a Path, u64),
}
