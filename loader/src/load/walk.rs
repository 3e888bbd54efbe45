//! All entries of a map, shown one after another, however much it changes meanwhile.
//!
//! A hash is read in batches where the kernel has them: one call for thousands of entries, and it ends. Other maps are walked key
//! by key, and a walk starts anew when the key that came last is gone, so it is bounded here.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Entries, LoadError};
use crate::bytes::to_usize;
use crate::sys::{Batch, Errno, Kernel, Linux};
use crate::uapi::MapType;

/// A key and its values: one, or one a possible CPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The values, never none.
    pub values: Vec<Vec<u8>>,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walk {
    /// All entries were seen that were there all the time.
    Whole,
    /// Whoever looked wanted to see no more.
    Stopped,
    /// The map changes faster than it can be read; some entries were not seen.
    Restless,
}

/// What a batch holds, in **bytes**, unless a single bucket of the map has more.
const BATCH: usize = 1 << 20;

/// Most entries of a batch.
const MOST: usize = 1 << 22;

/// Maps that the kernel gives in batches in such a way that reading them ends.
const IN_BATCHES: &[MapType] = &[
    MapType::HASH,
    MapType::LRU_HASH,
    MapType::PERCPU_HASH,
    MapType::LRU_PERCPU_HASH,
    MapType::ARRAY,
    MapType::PERCPU_ARRAY,
];

/// Maps whose keys are the numbers below their size.
const NUMBERED: &[MapType] = &[
    MapType::ARRAY,
    MapType::PERCPU_ARRAY,
    MapType::PROG_ARRAY,
    MapType::PERF_EVENT_ARRAY,
    MapType::CGROUP_ARRAY,
    MapType::ARRAY_OF_MAPS,
    MapType::DEVMAP,
    MapType::CPUMAP,
    MapType::SOCKMAP,
    MapType::XSKMAP,
    MapType::REUSEPORT_SOCKARRAY,
];

impl<K: Kernel> Entries<'_, K> {
    /// The values under a key: one, or one a possible CPU; `None` if the key is not there.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn values(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, LoadError> {
        if self.is_per_cpu() {
            return self.lookup_per_cpu(key);
        }
        self.lookup(key).map(|value| value.map(|value| vec![value]))
    }

    /// Shows every entry, one or two calls for each. An entry that goes in between is left out; one may be shown as it was before or
    /// after a change.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn each_by_key(&self, mut visit: impl FnMut(Entry) -> ControlFlow<()>) -> Result<Walk, LoadError> {
        let most = u64::from(self.max_entries());
        if NUMBERED.contains(&self.ty()) {
            for key in 0..self.max_entries() {
                if self.show(key.to_ne_bytes().to_vec(), &mut visit)?.is_break() {
                    return Ok(Walk::Stopped);
                }
            }
            return Ok(Walk::Whole);
        }
        let mut seen = BTreeSet::new();
        // Once around, and around again from wherever it starts anew; more is a map that nobody can follow.
        let bound = most.saturating_mul(3).saturating_add(16);
        for (key, step) in self.keys().zip(0u64..) {
            if step > bound {
                return Ok(Walk::Restless);
            }
            let key = key?;
            if seen.insert(key.clone()) && self.show(key, &mut visit)?.is_break() {
                return Ok(Walk::Stopped);
            }
        }
        Ok(Walk::Whole)
    }

    fn show(
        &self,
        key: Vec<u8>,
        visit: &mut impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LoadError> {
        let values = self.values(&key)?;
        Ok(values.map_or(ControlFlow::Continue(()), |values| visit(Entry { key, values })))
    }
}

impl Entries<'_, Linux> {
    /// Shows every entry, in batches where the kernel has them and they end, else as
    /// [`each_by_key`](Self::each_by_key) does.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn each(&self, mut visit: impl FnMut(Entry) -> ControlFlow<()>) -> Result<Walk, LoadError> {
        if !IN_BATCHES.contains(&self.ty()) {
            return self.each_by_key(visit);
        }
        let size = self.key_size().saturating_add(self.value_size().saturating_mul(self.values_per_key()));
        let mut most = BATCH.checked_div(size).unwrap_or(1).clamp(1, to_usize(self.max_entries()).max(1));
        let mut from: Option<Vec<u8>> = None;
        loop {
            let Batch { entries, next } =
                match self.kernel().map_lookup_batch(self.map(), from.as_deref(), most) {
                    Ok(batch) => batch,
                    Err(Errno::ENOSPC) if most < MOST => {
                        most = most.saturating_mul(2);
                        continue;
                    }
                    // Nothing was shown yet, so nothing is shown twice.
                    Err(Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP) if from.is_none() => {
                        return self.each_by_key(visit);
                    }
                    Err(errno) => return Err(self.failed("BPF_MAP_LOOKUP_BATCH", &[], errno)),
                };
            for (key, value) in entries {
                if visit(Entry { key, values: self.split(&value) }).is_break() {
                    return Ok(Walk::Stopped);
                }
            }
            if next.is_none() {
                return Ok(Walk::Whole);
            }
            from = next;
        }
    }
}
