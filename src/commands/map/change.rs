//! Changes entries of a map.

use std::io;
use std::os::fd::AsFd;

use rxdp_loader::load::{Entries, LoadError};
use rxdp_loader::sys::{Errno, Kernel, Linux, MapUpdate, MapValue, Named};
use rxdp_loader::uapi::{MapType, UpdateFlags};
use rxdp_netlink::blocking;

use super::look::{key, not_this, open};
use crate::args::{MapDelete, MapSet};
use crate::error::Failure;
use crate::maps::{EntryRow, Layout, MapError, Names, OpenMap, Shape, find, find_program};
use crate::report;

/// Puts a value under a key, and shows what is there then.
pub(crate) fn set(args: &MapSet) -> Result<(), Failure> {
    let (map, layout) = open(&args.map, false)?;
    let (given_key, given) = match (args.entry.as_slice(), layout.is_queue()) {
        ([value], true) => (None, value.as_str()),
        ([key, value], false) => (Some(key.as_str()), value.as_str()),
        (given, is_queue) => {
            let takes = if is_queue { "a value, and no key" } else { "a key and a value" };
            return Err(MapError::Count { map: layout.map, takes, given: given.len() }.into());
        }
    };
    let key = given_key.map_or(Ok(Vec::new()), |text| key(&args.map, &layout, text))?;
    let entries = map.entries()?;
    if let Some(cpu) = args.cpu {
        check_cpu(&layout, &entries, cpu)?;
    }
    let flags = match (args.exists, args.new) {
        (true, _) => UpdateFlags::EXIST,
        (_, true) => UpdateFlags::NOEXIST,
        _ => UpdateFlags::empty(),
    };
    let shown_key = given_key.unwrap_or_default();
    let put = Put { map: &map, layout: &layout, entries: &entries, key: &key, flags, shown_key };
    match layout.value {
        Shape::Program => {
            let (fd, info) = find_program(given)?;
            put.handle(Named { name: &info.name, fd: fd.as_fd() })?;
        }
        Shape::Map => {
            let inner = find(given)?;
            put.handle(inner.named())?;
        }
        Shape::Device => put.words(ifindex(given)?)?,
        Shape::Cpu => {
            let why = || MapError::Text {
                map: layout.map.clone(),
                what: "value",
                given: given.to_string(),
                why: "it takes the length of the CPU's queue, a number of packets".to_string(),
            };
            put.words(given.parse().map_err(|_no_number| why())?)?;
        }
        Shape::Typed(_) | Shape::Number | Shape::Bytes | Shape::Prefix => put.value(given, args)?,
    }
    let values = entries.values(&key).map_err(|error| map.failed(error))?.unwrap_or_default();
    let shown = given_key.map(|_| key.as_slice());
    let row = EntryRow::new(&layout, &Names::default(), shown, &values, args.cpu.is_some());
    let mut out = io::stdout().lock();
    let written = if args.json { report::json(&mut out, &row) } else { row.write(&mut out) };
    written.map_err(Failure::Output)
}

/// Takes a key out, and shows what was there.
pub(crate) fn delete(args: &MapDelete) -> Result<(), Failure> {
    let (map, layout) = open(&args.map, false)?;
    if layout.is_array() {
        let why = "its keys are always there; set them to 0";
        return Err(not_this(&layout, why).into());
    }
    if layout.is_queue() {
        return Err(not_this(&layout, "it has no keys, and only its users take out what is next").into());
    }
    let key = key(&args.map, &layout, &args.key)?;
    let entries = map.entries()?;
    let values = entries.values(&key).map_err(|error| map.failed(error))?;
    let gone = || MapError::NoKey { map: layout.map.clone(), given: args.key.clone(), exists: false };
    let values = values.ok_or_else(gone)?;
    let row = EntryRow::new(&layout, &Names::default(), Some(&key), &values, false);
    let deleted = entries.delete(&key);
    let deleted = deleted.map_err(|error| because(&map, &layout, &args.key, error, UpdateFlags::empty()))?;
    if !deleted {
        return Err(gone().into());
    }
    let mut out = io::stdout().lock();
    let written = if args.json { report::json(&mut out, &row) } else { row.write_deleted(&mut out) };
    written.map_err(Failure::Output)
}

/// Something to put under a key.
struct Put<'a> {
    map: &'a OpenMap,
    layout: &'a Layout,
    entries: &'a Entries<'a, Linux>,
    key: &'a [u8],
    flags: UpdateFlags,
    shown_key: &'a str,
}

impl Put<'_> {
    /// A program or a map.
    fn handle(&self, what: Named<'_>) -> Result<(), Failure> {
        let value = MapValue::Named(what);
        let request = MapUpdate { map: self.map.named(), key: self.key, value, flags: self.flags };
        let failed = |errno| LoadError::Entry {
            map: self.layout.map.clone(),
            command: "BPF_MAP_UPDATE_ELEM",
            key: self.key.to_vec(),
            errno,
        };
        Linux.map_update(&request).map_err(|errno| self.failed(failed(errno)))
    }

    /// A number, and no program behind it.
    fn words(&self, first: u32) -> Result<(), Failure> {
        let mut value = first.to_ne_bytes().to_vec();
        value.resize(self.layout.value_size, 0);
        self.entries.update(self.key, &value, self.flags).map_err(|error| self.failed(error))
    }

    /// What the map's types say; for every CPU, or for one.
    fn value(&self, given: &str, args: &MapSet) -> Result<(), Failure> {
        let known = if self.layout.is_queue() { None } else { self.before()? };
        let before = |cpu: usize| known.as_ref().filter(|_| !args.new).and_then(|all| all.get(cpu).cloned());
        if !self.entries.is_per_cpu() {
            let value = self.layout.value_bytes(given, before(0))?;
            return self.entries.update(self.key, &value, self.flags).map_err(|error| self.failed(error));
        }
        let value = |cpu: usize| match args.cpu {
            Some(only) if only != cpu => Ok(before(cpu).unwrap_or_else(|| vec![0; self.layout.value_size])),
            _ => self.layout.value_bytes(given, before(cpu)),
        };
        let values: Vec<Vec<u8>> =
            (0..self.entries.values_per_key()).map(value).collect::<Result<_, MapError>>()?;
        self.entries.update_per_cpu(self.key, &values, self.flags).map_err(|error| self.failed(error))
    }

    fn before(&self) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        self.entries.values(self.key).map_err(|error| self.map.failed(error))
    }

    fn failed(&self, error: LoadError) -> Failure {
        because(self.map, self.layout, self.shown_key, error, self.flags)
    }
}

/// What the kernel's errno means for this map.
fn because(map: &OpenMap, layout: &Layout, key: &str, error: LoadError, flags: UpdateFlags) -> Failure {
    let LoadError::Entry { command, errno, .. } = &error else {
        return map.failed(error);
    };
    let (name, given) = (layout.map.clone(), key.to_string());
    let words: Option<&'static str> = match (*errno, layout.value) {
        (Errno::EEXIST, _) if flags == UpdateFlags::NOEXIST => {
            return MapError::KeyThere { map: name, given }.into();
        }
        (Errno::ENOENT, _) if flags == UpdateFlags::EXIST => {
            return MapError::NoKey { map: name, given, exists: true }.into();
        }
        (Errno::EPERM, _) if map.details.frozen => {
            Some("the map is frozen, as constants are: nobody can change it from user space any more")
        }
        (Errno::E2BIG, _) => Some("the map is full: take something out first"),
        (Errno::EINVAL, Shape::Program) => {
            Some("a jump table takes programs of the type and kind of those that use it")
        }
        (Errno::EINVAL, Shape::Map) => Some("the map does not look like the inner maps that it takes"),
        (Errno::EINVAL, Shape::Device) => {
            Some("there is no such interface here, or the map takes none of this kind")
        }
        (Errno::EINVAL, _) if flags == UpdateFlags::NOEXIST => {
            Some("arrays have all their keys: --new cannot be")
        }
        (Errno::EINVAL, _) if layout.ty == MapType::LPM_TRIE => Some("the prefix is longer than the keys"),
        (Errno::EINVAL, _) => Some("a map of this type does not take that"),
        _ => None,
    };
    match words {
        Some(words) => {
            let what = format!("map {name:?}, key {given}: {command}");
            MapError::Refused { what, errno: *errno, because: Some(words) }.into()
        }
        None => map.failed(error),
    }
}

fn check_cpu(layout: &Layout, entries: &Entries<'_, Linux>, cpu: usize) -> Result<(), MapError> {
    let (map, cpus) = (layout.map.clone(), entries.values_per_key());
    if !entries.is_per_cpu() {
        return Err(MapError::OneValue { map, ty: layout.ty });
    }
    if cpu < cpus { Ok(()) } else { Err(MapError::NoCpu { map, cpu, cpus }) }
}

/// An interface by name or number.
fn ifindex(given: &str) -> Result<u32, Failure> {
    match given.parse() {
        Ok(number) => Ok(number),
        Err(_) => Ok(blocking::Handle::connect()?.link_by_name(given)?.ifindex),
    }
}
