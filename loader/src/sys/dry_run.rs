//! A kernel that says yes to everything, or to everything but one call.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::pins::Pins;
use super::script::{lock, null};
use super::{
    Bpffs, BtfLoad, Errno, Event, Kernel, LinkCreate, Log, MapCreate, MapInfo, MapUpdate, MapValue, Mapping,
    MeasuredMap, Named, PinKind, Pinned, ProgCode, ProgFunctions, ProgInfo, ProgLoad, RawTracepoint, Reply,
    TestRun, TestRunReply,
};
use crate::uapi::{MapFlags, MapType, ProgType};

/// Says yes to everything, without privilege: shows which calls a plan makes. One call can be made to fail.
///
/// Wrapped in a [`Recorder`](super::Recorder) it gives the text of those calls.
#[derive(Debug, Default)]
pub struct DryRun {
    /// The call to fail, from 0, and how.
    fail: Option<(usize, Errno)>,
    state: Mutex<Invented>,
}

#[derive(Debug, Default)]
struct Invented {
    calls: usize,
    /// Ids by name, so that what is asked twice is answered alike.
    ids: BTreeMap<String, u32>,
    /// Names of what stands in slots, by map and key.
    slots: BTreeMap<(String, Vec<u8>), String>,
    /// What the maps that were created or opened look like. A number that is used again is a new map.
    maps: BTreeMap<RawFd, MapInfo>,
    pins: Pins,
    /// What every program consists of.
    functions: ProgFunctions,
}

impl DryRun {
    /// A kernel that says yes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A kernel whose call number `call`, from 0, fails.
    pub fn failing(call: usize, errno: Errno) -> Self {
        Self { fail: Some((call, errno)), state: Mutex::default() }
    }

    /// The same kernel, where such a map is pinned already.
    #[must_use]
    pub fn with_pinned_map(self, path: impl Into<PathBuf>, map: MapInfo) -> Self {
        lock(&self.state).pins.insert(path.into(), Some(map));
        self
    }

    /// The same kernel, where programs that were there before have these functions. Without it they have no types.
    #[must_use]
    pub fn with_functions(self, functions: ProgFunctions) -> Self {
        lock(&self.state).functions = functions;
        self
    }

    /// What is pinned, and the directories that were made for it.
    pub fn pins(&self) -> Vec<PathBuf> {
        lock(&self.state).pins.all()
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        lock(&self.state).calls
    }

    fn call(&self) -> Result<MutexGuard<'_, Invented>, Errno> {
        let mut state = lock(&self.state);
        let this = state.calls;
        state.calls = this.saturating_add(1);
        match self.fail {
            Some((call, errno)) if call == this => Err(errno),
            _ => Ok(state),
        }
    }

    fn id(state: &mut Invented, name: &str) -> u32 {
        let next = u32::try_from(state.ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        *state.ids.entry(name.to_string()).or_insert(next)
    }
}

impl Kernel for DryRun {
    fn btf_load(&self, _request: &BtfLoad<'_>) -> Reply {
        Reply { fd: self.call().and_then(|_| null()), log: Log::default() }
    }

    fn module_btf(&self, _module: &str) -> Result<OwnedFd, Errno> {
        self.call().and_then(|_| null())
    }

    fn map_create(&self, request: &MapCreate<'_>) -> Result<OwnedFd, Errno> {
        let (mut state, fd) = (self.call()?, null()?);
        state.maps.insert(fd.as_raw_fd(), made(request));
        Ok(fd)
    }

    fn map_sizes<'m>(&self, map: Named<'m>) -> Result<MeasuredMap<'m>, Errno> {
        let state = match self.call() {
            Err(Errno::EINVAL) => return Ok(MeasuredMap::supposed(map, None)),
            other => other?,
        };
        let info = state.maps.get(&map.fd.as_raw_fd());
        let said = info.map_or((0, 0), |info| (info.key_size, info.value_size));
        Ok(MeasuredMap::supposed(map, Some(said)))
    }

    fn update(&self, map: MeasuredMap<'_>, request: &MapUpdate<'_>) -> Result<(), Errno> {
        let mut state = self.call()?;
        if let MapValue::Named(handle) = request.value {
            let slot = (map.map().name.to_string(), request.key.to_vec());
            state.slots.insert(slot, handle.name.to_string());
        }
        Ok(())
    }

    fn lookup(&self, _map: MeasuredMap<'_>, _key: &[u8], value_size: usize) -> Result<Vec<u8>, Errno> {
        self.call().map(|_| vec![0; value_size])
    }

    fn slot(&self, map: MeasuredMap<'_>, key: u32) -> Result<u32, Errno> {
        let mut state = self.call()?;
        let key = (map.map().name.to_string(), key.to_ne_bytes().to_vec());
        let name = state.slots.get(&key).cloned().ok_or(Errno::ENOENT)?;
        Ok(Self::id(&mut state, &name))
    }

    fn delete(&self, _map: MeasuredMap<'_>, _key: &[u8]) -> Result<(), Errno> {
        self.call().map(drop)
    }

    fn next_key(
        &self,
        _map: MeasuredMap<'_>,
        _after: Option<&[u8]>,
        _key_size: usize,
    ) -> Result<Vec<u8>, Errno> {
        self.call().and(Err(Errno::ENOENT))
    }

    fn map_freeze(&self, _map: Named<'_>) -> Result<(), Errno> {
        self.call().map(drop)
    }

    fn map_memory(&self, _map: Named<'_>, _address: u64, len: usize) -> Result<Mapping, Errno> {
        self.call().and_then(|_| Mapping::anonymous(len))
    }

    fn prog_load(&self, _request: &ProgLoad<'_>) -> Reply {
        Reply { fd: self.call().and_then(|_| null()), log: Log::default() }
    }

    fn prog_test_run(&self, request: &TestRun<'_>) -> Result<TestRunReply, Errno> {
        let (data, context) = (request.data.to_vec(), request.context.to_vec());
        self.call().map(|_| TestRunReply { retval: 0, duration: 0, data, context })
    }

    fn map_info(&self, map: Named<'_>) -> Result<MapInfo, Errno> {
        let mut state = self.call()?;
        let info = state.maps.get(&map.fd.as_raw_fd()).cloned().unwrap_or(UNKNOWN);
        Ok(MapInfo { id: Self::id(&mut state, map.name), name: map.name.to_string(), ..info })
    }

    fn prog_info(&self, program: Named<'_>) -> Result<ProgInfo, Errno> {
        let mut state = self.call()?;
        Ok(ProgInfo {
            id: Self::id(&mut state, program.name),
            name: program.name.to_string(),
            ty: ProgType::UNSPEC,
            tag: [0; 8],
            load_time: 0,
            uid: 0,
            verified_insns: 0,
            map_ids: Vec::new(),
        })
    }

    fn prog_functions(&self, _program: Named<'_>) -> Result<ProgFunctions, Errno> {
        self.call().map(|state| state.functions.clone())
    }

    fn prog_code(&self, _program: Named<'_>) -> Result<ProgCode, Errno> {
        self.call().map(|_| ProgCode::default())
    }

    fn link_create(&self, _request: &LinkCreate<'_>) -> Result<OwnedFd, Errno> {
        self.call().and_then(|_| null())
    }

    fn raw_tracepoint_open(&self, _request: &RawTracepoint<'_>) -> Result<OwnedFd, Errno> {
        self.call().and_then(|_| null())
    }

    fn event_open(&self, _event: &Event<'_>) -> Result<OwnedFd, Errno> {
        self.call().and_then(|_| null())
    }

    fn iter_create(&self, _link: Named<'_>) -> Result<OwnedFd, Errno> {
        self.call().and_then(|_| null())
    }

    fn map_by_id(&self, _id: u32) -> Result<OwnedFd, Errno> {
        self.call().and_then(|_| null())
    }

    fn prog_by_id(&self, _id: u32) -> Result<OwnedFd, Errno> {
        self.call().and_then(|_| null())
    }

    fn obj_pin(&self, object: Named<'_>, path: &Path) -> Result<(), Errno> {
        let mut state = self.call()?;
        let map = state.maps.get(&object.fd.as_raw_fd()).cloned();
        state.pins.pin(path, map)
    }

    fn obj_get(&self, path: &Path) -> Result<Pinned, Errno> {
        let (mut state, fd) = (self.call()?, null()?);
        let Some(map) = state.pins.get(path)? else {
            return Ok(Pinned { fd, kind: PinKind::Program });
        };
        state.maps.insert(fd.as_raw_fd(), map);
        Ok(Pinned { fd, kind: PinKind::Map })
    }

    fn bpffs(&self, call: Bpffs<'_>) -> Result<bool, Errno> {
        self.call()?.pins.call(call)
    }
}

/// What is said about a map that nobody made here.
const UNKNOWN: MapInfo = MapInfo {
    id: 0,
    name: String::new(),
    ty: MapType::UNSPEC,
    key_size: 0,
    value_size: 0,
    max_entries: 0,
    flags: MapFlags::empty(),
    map_extra: 0,
};

fn made(request: &MapCreate<'_>) -> MapInfo {
    MapInfo {
        ty: request.ty,
        key_size: request.key_size,
        value_size: request.value_size,
        max_entries: request.max_entries,
        flags: request.flags,
        map_extra: request.map_extra,
        ..UNKNOWN
    }
}
