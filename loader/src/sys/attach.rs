//! What programs and tables of functions attach to: functions of programs that are there already, and links.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::linux::{address, bpf_fd, info_by_fd, len32, raw, room};
use super::{Errno, Named, attr, mount};
use crate::btf::TypeId;
use crate::bytes::{to_usize, unsigned};
use crate::trace::hex;
use crate::uapi::{AttachType, CgroupOrder, NetfilterFamily, NetfilterHook};

/// Functions of a program in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProgFunctions {
    /// Its types, as `BPF_BTF_LOAD` took them; empty if it was loaded without.
    pub types: Vec<u8>,
    /// Types of its functions, the main one first; none if it was loaded without.
    pub functions: Vec<TypeId>,
}

impl ProgFunctions {
    pub(super) fn text(&self) -> String {
        let ids: Vec<String> = self.functions.iter().map(|id| id.0.to_string()).collect();
        format!(" functions={} types={}", ids.join(","), hex(&self.types))
    }

    pub(super) fn of_text(types: Vec<u8>, functions: &str) -> Self {
        let ids = functions.split(',').filter_map(|id| id.parse().ok());
        Self { types, functions: ids.map(TypeId).collect() }
    }
}

/// Arguments of [`Kernel::link_create`](super::Kernel::link_create).
#[derive(Clone, Copy, Debug)]
pub struct LinkCreate<'a> {
    /// What is linked: a program, or a table of functions.
    pub what: Named<'a>,
    /// How it attaches; 0 for programs that replace a function.
    pub attach: AttachType,
    /// Where.
    pub to: LinkTarget<'a>,
}

/// Where a link attaches what it holds.
#[derive(Clone, Copy, Debug)]
pub enum LinkTarget<'a> {
    /// To the place that it was loaded or created for: a program of such a type (since: Linux 5.10), a table of functions
    /// (since: 6.4), or all that an iterator walks (since: 5.8).
    Own,
    /// To a function of this program, whatever it was loaded for: only for programs that replace one. Since: Linux 5.10.
    Function {
        /// The program.
        of: Named<'a>,
        /// The function, by the number of its type in that program's BTF.
        id: TypeId,
    },
    /// To a cgroup (since: Linux 5.7), a network namespace (since: 5.8), a perf event (since: 5.15) or a map of sockets
    /// (since: 6.10).
    File(Named<'a>),
    /// To a network interface, by its number in the namespace of the calling thread. Since: Linux 5.9.
    Interface(u32),
    /// The same for an XDP program, in the mode that the flags say, or of the kernel's choice for 0.
    /// Source: `XDP_FLAGS_MODES`. Since: Linux 5.9.
    InterfaceInMode {
        /// The interface.
        number: u32,
        /// `XDP_FLAGS_SKB_MODE`, `XDP_FLAGS_DRV_MODE`, `XDP_FLAGS_HW_MODE` or 0.
        flags: u32,
    },
    /// To functions of the kernel, where they begin or where they return. Since: Linux 5.18.
    Functions {
        /// Their names.
        names: &'a [String],
        /// Whether it is where they return.
        returns: bool,
    },
    /// To places in an executable or a library. Since: Linux 6.6.
    Places {
        /// The file.
        path: &'a Path,
        /// The places, in **bytes** from the file's beginning.
        offsets: &'a [u64],
        /// The process that is meant; all without it.
        process: Option<u32>,
        /// Whether it is where the functions that begin there return.
        returns: bool,
    },
    /// To a hook of netfilter in the network namespace of the calling thread. Since: Linux 6.4.
    Netfilter(Netfilter),
    /// To some of what an iterator walks. Since: Linux 5.9.
    Elements(Elements<'a>),
}

/// A hook of netfilter. Source: `bpf_attr.link_create.netfilter`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Netfilter {
    /// Which packets.
    pub family: NetfilterFamily,
    /// Where on their way.
    pub hook: NetfilterHook,
    /// Its place among all that are called there: lower numbers come first. The first and the last number are the
    /// kernel's.
    pub priority: i32,
    /// Whether packets are put together before (`BPF_F_NETFILTER_IP_DEFRAG`): the priority must be above -400. Since:
    /// Linux 6.6.
    pub defragment: bool,
}

/// Some of what an iterator walks. Source: `union bpf_iter_link_info`.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// The entries of this map; `iter/bpf_map_elem` and `iter/bpf_sk_storage_map` need one.
    Map(BorrowedFd<'a>),
    /// Cgroups around this one; `iter/cgroup` needs that. Since: Linux 6.1.
    Cgroups(BorrowedFd<'a>, CgroupOrder),
    /// The threads of this process. Since: Linux 6.1.
    Process(u32),
}

/// Arguments of [`Kernel::raw_tracepoint_open`](super::Kernel::raw_tracepoint_open).
#[derive(Clone, Copy, Debug)]
pub struct RawTracepoint<'a> {
    /// The program.
    pub program: Named<'a>,
    /// The tracepoint; none for programs that were loaded for one place: before Linux 5.10 there was no other way for them.
    pub name: Option<&'a str>,
}

/// `BPF_F_KPROBE_MULTI_RETURN` and `BPF_F_UPROBE_MULTI_RETURN`.
const RETURNS: u32 = 1;

/// `BPF_F_NETFILTER_IP_DEFRAG`.
const DEFRAGMENT: u32 = 1;

/// Makes a link in the running kernel.
pub(super) fn link(request: &LinkCreate<'_>) -> Result<OwnedFd, Errno> {
    let (object_fd, attach_type) = (raw(request.what), request.attach.0);
    let to = |target_fd| {
        let part = attr::LinkCreate { object_fd, target_fd, attach_type, flags: 0 };
        bpf_fd(&mut { part })
    };
    match request.to {
        LinkTarget::Own => to(0),
        LinkTarget::Function { of, id } => {
            let function = id.0;
            bpf_fd(&mut attr::LinkFunction { object_fd, target_fd: raw(of), attach_type, flags: 0, function })
        }
        LinkTarget::File(file) => to(raw(file)),
        LinkTarget::Interface(number) => to(number),
        LinkTarget::InterfaceInMode { number, flags } => {
            let part = attr::LinkCreate { object_fd, target_fd: number, attach_type, flags };
            bpf_fd(&mut { part })
        }
        LinkTarget::Functions { names, returns } => {
            let names: Vec<CString> = names.iter().map(|name| c_string(name)).collect::<Result<_, _>>()?;
            let pointers: Vec<u64> = names.iter().map(|name| name.as_ptr() as u64).collect();
            bpf_fd(&mut attr::LinkFunctions {
                object_fd,
                attach_type,
                how: if returns { RETURNS } else { 0 },
                count: len32(&pointers),
                names: address(&pointers),
                ..attr::LinkFunctions::default()
            })
        }
        LinkTarget::Places { path, offsets, process, returns } => {
            let path = mount::c_path(path)?;
            bpf_fd(&mut attr::LinkPlaces {
                object_fd,
                attach_type,
                path: path.as_ptr() as u64,
                offsets: address(offsets),
                count: len32(offsets),
                how: if returns { RETURNS } else { 0 },
                process: process.unwrap_or(0),
                ..attr::LinkPlaces::default()
            })
        }
        LinkTarget::Netfilter(Netfilter { family, hook, priority, defragment }) => {
            bpf_fd(&mut attr::LinkNetfilter {
                object_fd,
                attach_type,
                family: family.0,
                hook: hook.0,
                priority,
                how: if defragment { DEFRAGMENT } else { 0 },
                ..attr::LinkNetfilter::default()
            })
        }
        LinkTarget::Elements(elements) => {
            let words = elements.words();
            bpf_fd(&mut attr::LinkElements {
                object_fd,
                attach_type,
                elements: address(&words),
                elements_len: len32(&words).saturating_mul(4),
                ..attr::LinkElements::default()
            })
        }
    }
}

impl Elements<'_> {
    /// As `union bpf_iter_link_info` has them, without zeroes behind the last one: older kernels know fewer.
    fn words(&self) -> Vec<u32> {
        let raw = |fd: &BorrowedFd<'_>| unsigned(fd.as_raw_fd());
        match self {
            Self::Map(fd) => vec![raw(fd)],
            Self::Cgroups(fd, order) => vec![order.0, raw(fd), 0, 0],
            // No thread of its own, the process.
            Self::Process(process) => vec![0, *process, 0, 0],
        }
    }
}

/// Opens a tracepoint of the running kernel.
pub(super) fn raw_tracepoint(request: &RawTracepoint<'_>) -> Result<OwnedFd, Errno> {
    let name = request.name.map(c_string).transpose()?;
    let name = name.as_ref().map_or(0, |name| name.as_ptr() as u64);
    bpf_fd(&mut attr::RawTracepoint { name, prog_fd: raw(request.program), unused: 0 })
}

fn c_string(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_nul_inside| Errno::EINVAL)
}

/// A record of `struct bpf_func_info`: slot, type.
type FuncInfo = [u32; 2];

/// Size of a [`FuncInfo`] in **bytes**.
const FUNC_INFO: u32 = 8;

/// Asks the running kernel what functions a program has.
pub(super) fn functions(program: Named<'_>) -> Result<ProgFunctions, Errno> {
    let asked = || attr::ProgInfo { func_info_rec_size: FUNC_INFO, ..attr::ProgInfo::default() };
    let mut info = asked();
    info_by_fd(program, &mut info)?;
    if info.btf_id == 0 {
        return Ok(ProgFunctions::default());
    }
    let mut records: Vec<FuncInfo> = vec![[0; 2]; to_usize(info.nr_func_info)];
    if !records.is_empty() {
        info = attr::ProgInfo { nr_func_info: len32(&records), ..asked() };
        info.func_info = records.as_mut_ptr() as u64;
        info_by_fd(program, &mut info)?;
    }
    let btf = bpf_fd(&mut attr::BtfById { id: info.btf_id, ..attr::BtfById::default() })?;
    let functions = records.iter().map(|[_, ty]| TypeId(*ty)).collect();
    Ok(ProgFunctions { types: bytes_of(&btf)?, functions })
}

/// What was given to `BPF_BTF_LOAD`.
pub(super) fn bytes_of(btf: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let handle = Named { name: "types", fd: btf.as_fd() };
    let mut info = attr::BtfInfo::default();
    info_by_fd(handle, &mut info)?;
    let mut bytes = vec![0; to_usize(info.btf_size)];
    let mut info =
        attr::BtfInfo { btf: room(&mut bytes), btf_size: len32(&bytes), ..attr::BtfInfo::default() };
    info_by_fd(handle, &mut info)?;
    Ok(bytes)
}

/// A table of functions with the programs' descriptors in their places: the only moment when they are there. The kernel
/// reads each as a whole `long`.
pub(super) fn table(bytes: &[u8], programs: &[(u32, Named<'_>)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, program) in programs {
        let fd = i64::from(program.fd.as_raw_fd()).to_ne_bytes();
        let place = bytes.iter_mut().skip(to_usize(*at));
        place.zip(fd).for_each(|(to, from)| *to = from);
    }
    bytes
}
