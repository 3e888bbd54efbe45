//! What is in the running kernel, whoever put it there: ids of all programs and maps, types of a map's values, statistics,
//! many entries at once.
//!
//! Only who looks asks for it. It plays no part in loading, so it is not in [`Kernel`](super::Kernel): no recording has it, and
//! no kernel that is none answers it.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use super::linux::{address, bpf, bpf_fd, info_by_fd, raw, room};
use super::measured::{MeasuredMap, Room};
use super::{Errno, Linux, Named, attach, attr};
use crate::btf::TypeId;
use crate::bytes::to_usize;

/// Where the types of a map's keys and values are described.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapTypeIds {
    /// The id of the BTF that the two numbers are of.
    pub btf: u32,
    /// Type of a key; 0, `void`, where none was given.
    pub key: TypeId,
    /// Type of a value; a section of variables for `.data` and its like.
    pub value: TypeId,
}

/// More about a map than [`MapInfo`](super::MapInfo) says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MapDetails {
    /// Types of its keys and values, if somebody gave them. Since: Linux 4.18.
    pub types: Option<MapTypeIds>,
    /// Memory that it takes, in **bytes**; before Linux 6.4 roughly. `None` if `/proc` does not say.
    pub memory: Option<u64>,
    /// Whether nobody can change it from user space any more. Since: Linux 5.2.
    pub frozen: bool,
}

/// How often and how long a program ran, while the kernel kept statistics. Since: Linux 5.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunStats {
    /// Runs.
    pub runs: u64,
    /// Time of all runs, in **nanoseconds**.
    pub nanoseconds: u64,
    /// Runs that did not happen because the program was running already. Since: Linux 5.12.
    pub recursion_misses: u64,
}

/// Some entries of a map.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Keys and their values; of per-CPU maps the values of all CPUs, each rounded up to 8 **bytes**.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where to go on; `None` if these were the last.
    pub next: Option<Vec<u8>>,
}

/// `BPF_STATS_RUN_TIME`.
const RUN_TIME: u32 = 0;

/// Room for the kernel's mark of where to go on, in **bytes**, for keys that are shorter. Source: a bucket's number in hashes, a key
/// elsewhere.
const MARK: usize = 8;

impl Linux {
    /// Ids of all maps, in order. Since: Linux 4.13.
    ///
    /// # Errors
    /// The errno; `EPERM` without CAP_SYS_ADMIN.
    pub fn map_ids(&self) -> Result<Vec<u32>, Errno> {
        all(|start_id| {
            let mut next = attr::MapNextId { start_id, ..attr::MapNextId::default() };
            bpf(&mut next).map(|_| next.next_id)
        })
    }

    /// Ids of all programs, in order. Since: Linux 4.13.
    ///
    /// # Errors
    /// The errno; `EPERM` without CAP_SYS_ADMIN.
    pub fn prog_ids(&self) -> Result<Vec<u32>, Errno> {
        all(|start_id| {
            let mut next = attr::ProgNextId { start_id, ..attr::ProgNextId::default() };
            bpf(&mut next).map(|_| next.next_id)
        })
    }

    /// More about a map. Source: `struct bpf_map_info`, `bpf_map_show_fdinfo`.
    ///
    /// # Errors
    /// The errno.
    pub fn map_details(&self, map: Named<'_>) -> Result<MapDetails, Errno> {
        let mut info = attr::MapInfo::default();
        info_by_fd(map, &mut info)?;
        let (key, value) = (TypeId(info.btf_key_type_id), TypeId(info.btf_value_type_id));
        let types = MapTypeIds { btf: info.btf_id, key, value };
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd.as_raw_fd()));
        let text = text.unwrap_or_default();
        Ok(MapDetails {
            types: (info.btf_id != 0 && value != TypeId(0)).then_some(types),
            memory: field(&text, "memlock"),
            frozen: field(&text, "frozen").is_some_and(|frozen| frozen != 0),
        })
    }

    /// The types with this id, as they were given to `BPF_BTF_LOAD`. Since: Linux 4.18.
    ///
    /// # Errors
    /// The errno; `EPERM` without CAP_SYS_ADMIN, `ENOENT` if there are none.
    pub fn types_by_id(&self, id: u32) -> Result<Vec<u8>, Errno> {
        attach::bytes_of(&bpf_fd(&mut attr::BtfById { id, ..attr::BtfById::default() })?)
    }

    /// How often and how long a program ran. All is 0 while the kernel keeps no statistics, and stands still then.
    ///
    /// # Errors
    /// The errno.
    pub fn run_stats(&self, program: Named<'_>) -> Result<RunStats, Errno> {
        let mut info = attr::ProgInfo::default();
        info_by_fd(program, &mut info)?;
        let attr::ProgInfo { run_cnt, run_time_ns, recursion_misses, .. } = info;
        Ok(RunStats { runs: run_cnt, nanoseconds: run_time_ns, recursion_misses })
    }

    /// `BPF_ENABLE_STATS`: the kernel keeps statistics of all programs as long as this is open. It costs each run some
    /// nanoseconds. Since: Linux 5.8.
    ///
    /// # Errors
    /// The errno; `EPERM` without CAP_SYS_ADMIN.
    pub fn keep_statistics(&self) -> Result<OwnedFd, Errno> {
        bpf_fd(&mut attr::EnableStats { what: RUN_TIME })
    }

    /// `BPF_MAP_LOOKUP_BATCH`: up to `most` entries of a map, from its beginning or from where another batch ended. A hash gives
    /// all entries of a bucket or none, so nothing that stays in the map is missed, and the end is reached however much
    /// it changes. Since: Linux 5.6.
    ///
    /// # Errors
    /// The errno. `ENOSPC`: a bucket has more entries than `most`. `ENOTSUPP`, `EINVAL`: not for this type of map, or not on this
    /// kernel.
    pub fn map_lookup_batch(&self, map: Named<'_>, from: Option<&[u8]>, most: usize) -> Result<Batch, Errno> {
        let Room { key, value } = MeasuredMap::asked(map)?.room()?;
        let mut keys = vec![0; key.saturating_mul(most)];
        let mut values = vec![0; value.saturating_mul(most)];
        let mut next = vec![0; key.max(MARK)];
        let from = from.map(|from| padded(from, next.len()));
        let mut attr = attr::MapBatch {
            in_batch: from.as_deref().map_or(0, address),
            out_batch: room(&mut next),
            keys: room(&mut keys),
            values: room(&mut values),
            count: u32::try_from(most).unwrap_or(u32::MAX),
            map_fd: raw(map),
            ..attr::MapBatch::default()
        };
        let at_end = match bpf(&mut attr) {
            Ok(_) => false,
            Err(Errno::ENOENT) => true,
            Err(errno) => return Err(errno),
        };
        let pairs = keys.chunks_exact(key.max(1)).zip(values.chunks_exact(value.max(1)));
        let entries = pairs.take(to_usize(attr.count)).map(|(key, value)| (key.to_vec(), value.to_vec()));
        Ok(Batch { entries: entries.collect(), next: (!at_end).then_some(next) })
    }
}

/// All ids, from a call that gives the one behind another. `ENOENT` is the end.
fn all(next: impl Fn(u32) -> Result<u32, Errno>) -> Result<Vec<u32>, Errno> {
    let mut ids = Vec::new();
    loop {
        match next(ids.last().copied().unwrap_or(0)) {
            Ok(id) => ids.push(id),
            Err(Errno::ENOENT) => return Ok(ids),
            Err(errno) => return Err(errno),
        }
    }
}

/// A number of `/proc/self/fdinfo`.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

fn padded(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(len.max(bytes.len()), 0);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "map_type:\t1\nmemlock:\t4096\nfrozen:\t1\n";
        assert_eq!((field(text, "memlock"), field(text, "frozen")), (Some(4096), Some(1)));
        assert_eq!((field(text, "map"), field(text, "mem")), (None, None));
    }

    #[test]
    fn ids_end_with_the_last_one_or_the_first_error() {
        let three = |after| if after < 30 { Ok(after + 10) } else { Err(Errno::ENOENT) };
        assert_eq!(all(three), Ok(vec![10, 20, 30]));
        assert_eq!(all(|_| Err(Errno::EPERM)), Err(Errno::EPERM));
    }
}
