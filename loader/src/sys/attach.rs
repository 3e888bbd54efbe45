//! What programs and tables of functions attach to: functions of programs that are there already, and links.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::attr;
use super::linux::{bpf_fd, info_by_fd, len32, room};
use super::{Errno, Named};
use crate::btf::TypeId;
use crate::bytes::to_usize;
use crate::trace::hex;
use crate::uapi::AttachType;

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
    /// What is linked to the place that it was loaded or created for: a program of such a type (since: Linux 5.10), or a
    /// table of functions (since: Linux 6.4).
    pub what: Named<'a>,
    /// How it attaches; 0 for programs that replace a function.
    pub attach: AttachType,
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
fn bytes_of(btf: &OwnedFd) -> Result<Vec<u8>, Errno> {
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
