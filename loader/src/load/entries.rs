//! Entries of a map in the kernel: look up, change, delete, walk.
//!
//! The kernel takes addresses without lengths, so every key and value is measured here against what the kernel says of
//! the map, before the call. Maps with one value a CPU speak lists of values here; the rounding to 8 bytes stays inside.

use super::{LoadError, LoadedMap};
use crate::bytes::to_usize;
use crate::sys::{Errno, Kernel, MapInfo, MapUpdate, MapValue, Named, host};
use crate::uapi::{MapType, UpdateFlags};

/// Values for the CPUs stand at multiples of so many **bytes**. Source: `bpf_map_value_size`.
const CPU_ALIGN: usize = 8;

/// Access to the entries of a map.
#[derive(Debug)]
pub struct Entries<'m, K> {
    map: Named<'m>,
    kernel: &'m K,
    ty: MapType,
    key_size: usize,
    value_size: usize,
    max_entries: u32,
    /// CPUs that have a value of their own; 0 where all have the same.
    cpus: usize,
}

impl LoadedMap {
    /// Its entries. Asks the kernel once how large keys and values are.
    ///
    /// # Errors
    /// [`LoadError::Info`] if the kernel does not say (Linux before 4.13), [`LoadError::PerCpu`] if the machine does not
    /// say how many CPUs a per-CPU map counts.
    pub fn entries<'m, K: Kernel>(&'m self, kernel: &'m K) -> Result<Entries<'m, K>, LoadError> {
        Entries::of(self.named(), &self.info(kernel)?, kernel)
    }
}

impl<'m, K: Kernel> Entries<'m, K> {
    /// The entries of an open map, whoever made it. `info` is what the kernel says about it.
    ///
    /// # Errors
    /// [`LoadError::PerCpu`] if the machine does not say how many CPUs a per-CPU map counts.
    pub fn of(map: Named<'m>, info: &MapInfo, kernel: &'m K) -> Result<Self, LoadError> {
        let mut cpus = 0;
        if info.ty.is_per_cpu() {
            let why = "/sys/devices/system/cpu/possible does not say how many values it has".to_string();
            let unknown = || LoadError::PerCpu { map: map.name.to_string(), ty: info.ty, why };
            cpus = host::listed_cpus().ok_or_else(unknown)?;
        }
        Ok(Self {
            map,
            kernel,
            ty: info.ty,
            key_size: to_usize(info.key_size),
            value_size: to_usize(info.value_size),
            max_entries: info.max_entries,
            cpus: to_usize(cpus),
        })
    }
}

impl<K: Kernel> Entries<'_, K> {
    /// Size of a key in **bytes**.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Size of a value in **bytes**; of one CPU's, if each has its own.
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// How many values an entry has: one a possible CPU for per-CPU maps, else one.
    pub fn values_per_key(&self) -> usize {
        self.cpus.max(1)
    }

    /// Most entries that it can have; of numbered maps the keys below it.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// Whether each CPU has a value of its own.
    pub fn is_per_cpu(&self) -> bool {
        self.cpus > 0
    }

    /// The value under a key; `None` if the key is not there. Of a map of programs or maps it is an **id**.
    ///
    /// # Errors
    /// [`LoadError::EntrySize`], [`LoadError::PerCpu`], or [`LoadError::Entry`] with the errno.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
        self.expect_one_value()?;
        self.lookup_bytes(key, self.value_size)
    }

    /// The values under a key of a per-CPU map, one a possible CPU; `None` if the key is not there.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn lookup_per_cpu(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, LoadError> {
        self.expect_per_cpu()?;
        let found = self.lookup_bytes(key, self.stride().saturating_mul(self.cpus))?;
        Ok(found.map(|bytes| self.split(&bytes)))
    }

    /// Puts a value under a key.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup). `EEXIST` and `ENOENT` are what `flags` ask for, `E2BIG` says that the map is full.
    pub fn update(&self, key: &[u8], value: &[u8], flags: UpdateFlags) -> Result<(), LoadError> {
        self.expect_one_value()?;
        self.check("value", value, self.value_size)?;
        self.update_bytes(key, value, flags)
    }

    /// Puts values under a key of a per-CPU map, one a possible CPU.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_per_cpu(
        &self,
        key: &[u8],
        values: &[impl AsRef<[u8]>],
        flags: UpdateFlags,
    ) -> Result<(), LoadError> {
        self.expect_per_cpu()?;
        if values.len() != self.cpus {
            let (given, cpus) = (values.len(), self.cpus);
            return Err(self.wrong_use(format!("{given} values were given, and there are {cpus} CPUs")));
        }
        let mut bytes = Vec::with_capacity(self.stride().saturating_mul(self.cpus));
        for value in values {
            let end = bytes.len().saturating_add(self.stride());
            self.check("value", value.as_ref(), self.value_size)?;
            bytes.extend_from_slice(value.as_ref());
            bytes.resize(end, 0);
        }
        self.update_bytes(key, &bytes, flags)
    }

    /// Takes a key and its value out; `false` if the key was not there.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup); `EINVAL` for arrays, whose keys are always there.
    pub fn delete(&self, key: &[u8]) -> Result<bool, LoadError> {
        self.check("key", key, self.key_size)?;
        match self.kernel.map_delete(self.map, key) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(self.failed("BPF_MAP_DELETE_ELEM", key, errno)),
        }
    }

    /// Walks the keys, in the kernel's order, one call a key.
    ///
    /// Who takes out the key that came last starts the walk anew; who changes a hash meanwhile may see keys twice or
    /// not at all. Take the keys first, then change.
    pub fn keys(&self) -> impl Iterator<Item = Result<Vec<u8>, LoadError>> {
        let mut last: Option<Vec<u8>> = None;
        let mut at_end = false;
        std::iter::from_fn(move || {
            if at_end {
                return None;
            }
            match self.kernel.map_next_key(self.map, last.as_deref(), self.key_size) {
                Ok(key) => Some(Ok(last.insert(key).clone())),
                Err(errno) => {
                    at_end = true;
                    let key = last.as_deref().unwrap_or_default();
                    let failed = || Err(self.failed("BPF_MAP_GET_NEXT_KEY", key, errno));
                    (errno != Errno::ENOENT).then(failed)
                }
            }
        })
    }

    fn lookup_bytes(&self, key: &[u8], size: usize) -> Result<Option<Vec<u8>>, LoadError> {
        self.check("key", key, self.key_size)?;
        match self.kernel.map_lookup(self.map, key, size) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.failed("BPF_MAP_LOOKUP_ELEM", key, errno)),
        }
    }

    fn update_bytes(&self, key: &[u8], value: &[u8], flags: UpdateFlags) -> Result<(), LoadError> {
        self.check("key", key, self.key_size)?;
        let request = MapUpdate { map: self.map, key, value: MapValue::Bytes(value), flags };
        self.kernel.map_update(&request).map_err(|errno| self.failed("BPF_MAP_UPDATE_ELEM", key, errno))
    }

    pub(super) fn ty(&self) -> MapType {
        self.ty
    }

    pub(super) fn map(&self) -> Named<'_> {
        self.map
    }

    pub(super) fn kernel(&self) -> &K {
        self.kernel
    }

    /// What the kernel gives for a key, as values: one, or one a CPU.
    pub(super) fn split(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        if self.cpus == 0 {
            return vec![bytes.to_vec()];
        }
        let value = |place: &[u8]| place.iter().take(self.value_size).copied().collect();
        bytes.chunks(self.stride().max(1)).map(value).collect()
    }

    /// Distance of two CPUs' values in **bytes**.
    fn stride(&self) -> usize {
        self.value_size.next_multiple_of(CPU_ALIGN)
    }

    fn check(&self, what: &'static str, bytes: &[u8], expected: usize) -> Result<(), LoadError> {
        if bytes.len() == expected {
            return Ok(());
        }
        Err(LoadError::EntrySize { map: self.map.name.to_string(), what, given: bytes.len(), expected })
    }

    fn expect_one_value(&self) -> Result<(), LoadError> {
        if self.cpus == 0 {
            Ok(())
        } else {
            Err(self.wrong_use("each CPU has a value of its own".to_string()))
        }
    }

    fn expect_per_cpu(&self) -> Result<(), LoadError> {
        if self.cpus > 0 { Ok(()) } else { Err(self.wrong_use("all CPUs have the same value".to_string())) }
    }

    fn wrong_use(&self, why: String) -> LoadError {
        LoadError::PerCpu { map: self.map.name.to_string(), ty: self.ty, why }
    }

    pub(super) fn failed(&self, command: &'static str, key: &[u8], errno: Errno) -> LoadError {
        LoadError::Entry { map: self.map.name.to_string(), command, key: key.to_vec(), errno }
    }
}
