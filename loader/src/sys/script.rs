//! A kernel that is none: it plays back what another one was asked and answered, and how the calls are written that have no
//! request of their own.
//!
//! Descriptors it hands out are real (`/dev/null`), so that an `OwnedFd` is never lied to.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::text::{Text, about, path_word, pin_kind_of};
use super::{
    Bpffs, BtfLoad, Errno, Event, Kernel, LinkCreate, Log, MapCreate, MapInfo, MapUpdate, Mapping,
    MeasuredMap, Named, Pinned, ProgCode, ProgFunctions, ProgInfo, ProgLoad, RawTracepoint, Reply, TestRun,
    TestRunReply,
};
use crate::trace::{Call, Transcript, hex, unhex, unword, word};
use crate::uapi::{MapFlags, MapType, ProgType};

/// Answers as a recording says. A request that is not the recording's next one is answered with `ENOSYS` and noted.
#[derive(Debug)]
pub struct Replay {
    calls: Vec<Call>,
    state: Mutex<Playing>,
}

#[derive(Debug, Default)]
struct Playing {
    next: usize,
    difference: Option<Difference>,
}

/// Where a replay left its recording.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("call {at} differs from the recording: asked {asked:?}, recorded {recorded:?}")]
pub struct Difference {
    /// Which call, from 1.
    pub at: usize,
    /// What was asked.
    pub asked: String,
    /// What the recording has there; `None` behind its end.
    pub recorded: Option<String>,
}

impl Replay {
    /// Plays this recording.
    pub fn new(transcript: Transcript) -> Self {
        Self { calls: transcript.calls, state: Mutex::new(Playing::default()) }
    }

    /// Whether everything that was recorded was asked, in order, and nothing else.
    ///
    /// # Errors
    /// The first [`Difference`].
    pub fn finish(&self) -> Result<(), Difference> {
        let playing = lock(&self.state);
        if let Some(difference) = &playing.difference {
            return Err(difference.clone());
        }
        match self.calls.get(playing.next) {
            None => Ok(()),
            Some(call) => Err(Difference {
                at: playing.next.saturating_add(1),
                asked: "nothing more".to_string(),
                recorded: Some(call.request.clone()),
            }),
        }
    }

    fn answer(&self, request: String) -> Result<&Call, Errno> {
        let mut playing = lock(&self.state);
        let at = playing.next;
        playing.next = at.saturating_add(1);
        match self.calls.get(at) {
            Some(call) if call.request == request => Ok(call),
            other => {
                let recorded = other.map(|call| call.request.clone());
                playing.difference.get_or_insert(Difference {
                    at: at.saturating_add(1),
                    asked: request,
                    recorded,
                });
                Err(Errno(libc::ENOSYS))
            }
        }
    }

    fn outcome(&self, request: String) -> Result<&Call, Errno> {
        let call = self.answer(request)?;
        match call.outcome() {
            "ok" => Ok(call),
            name => Err(Errno::from_name(name).unwrap_or(Errno::EINVAL)),
        }
    }

    fn reply(&self, request: String) -> Reply {
        let call = match self.answer(request) {
            Ok(call) => call,
            Err(errno) => return Reply { fd: Err(errno), log: Log::default() },
        };
        let fd = match call.outcome() {
            "ok" => null(),
            name => Err(Errno::from_name(name).unwrap_or(Errno::EINVAL)),
        };
        let text = call.field("log").map(unword).unwrap_or_default();
        Reply { fd, log: Log { text, truncated: call.field("truncated").is_some() } }
    }
}

/// A number of a recorded reply; 0 where it is not there.
fn number(call: &Call, key: &str) -> u32 {
    call.field(key).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// What goes by the name in a recorded reply; the number that stands in place of a name that was not known.
fn named<T>(call: &Call, key: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T, u32> {
    let name = call.field(key).map(unword).unwrap_or_default();
    let number = || name.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    from_name(&name).ok_or_else(number)
}

/// Bytes of a recorded reply.
fn bytes(call: &Call, key: &str) -> Result<Vec<u8>, Errno> {
    call.field(key).and_then(unhex).ok_or(Errno::EINVAL)
}

impl Kernel for Replay {
    fn btf_load(&self, request: &BtfLoad<'_>) -> Reply {
        self.reply(request.text())
    }

    fn module_btf(&self, module: &str) -> Result<OwnedFd, Errno> {
        self.outcome(module_btf(module)).and_then(|_| null())
    }

    fn map_create(&self, request: &MapCreate<'_>) -> Result<OwnedFd, Errno> {
        self.outcome(request.text()).and_then(|_| null())
    }

    fn map_sizes<'m>(&self, map: Named<'m>) -> Result<MeasuredMap<'m>, Errno> {
        let said = match self.outcome(about("MAP_SIZES", map)) {
            Ok(call) => Some((number(call, "key_size"), number(call, "value_size"))),
            Err(Errno::EINVAL) => None,
            Err(errno) => return Err(errno),
        };
        Ok(MeasuredMap::supposed(map, said))
    }

    fn update(&self, _map: MeasuredMap<'_>, request: &MapUpdate<'_>) -> Result<(), Errno> {
        self.outcome(request.text()).map(drop)
    }

    fn lookup(&self, map: MeasuredMap<'_>, key: &[u8], _value_size: usize) -> Result<Vec<u8>, Errno> {
        let call = self.outcome(format!("{} key={}", about("MAP_LOOKUP", map.map()), hex(key)))?;
        bytes(call, "value")
    }

    fn slot(&self, map: MeasuredMap<'_>, key: u32) -> Result<u32, Errno> {
        let request = format!("{} key={key}", about("SLOT_ID", map.map()));
        self.outcome(request).map(|call| number(call, "id"))
    }

    fn delete(&self, map: MeasuredMap<'_>, key: &[u8]) -> Result<(), Errno> {
        self.outcome(delete(map.map(), key)).map(drop)
    }

    fn next_key(
        &self,
        map: MeasuredMap<'_>,
        after: Option<&[u8]>,
        _key_size: usize,
    ) -> Result<Vec<u8>, Errno> {
        self.outcome(next_key(map.map(), after)).and_then(|call| bytes(call, "next_key"))
    }

    fn map_freeze(&self, map: Named<'_>) -> Result<(), Errno> {
        self.outcome(about("MAP_FREEZE", map)).map(drop)
    }

    fn map_memory(&self, map: Named<'_>, address: u64, len: usize) -> Result<Mapping, Errno> {
        self.outcome(memory(map, address, len)).and_then(|_| Mapping::anonymous(len))
    }

    fn prog_load(&self, request: &ProgLoad<'_>) -> Reply {
        self.reply(request.text())
    }

    fn prog_test_run(&self, request: &TestRun<'_>) -> Result<TestRunReply, Errno> {
        let call = self.outcome(request.text())?;
        Ok(TestRunReply {
            retval: number(call, "retval"),
            duration: 0,
            data: bytes(call, "data_out")?,
            context: bytes(call, "ctx_out")?,
        })
    }

    fn map_info(&self, map: Named<'_>) -> Result<MapInfo, Errno> {
        let call = self.outcome(about("MAP_INFO", map))?;
        Ok(MapInfo {
            id: number(call, "id"),
            name: call.field("name").map(unword).unwrap_or_default(),
            ty: named(call, "type", MapType::from_name).unwrap_or_else(MapType),
            key_size: number(call, "key_size"),
            value_size: number(call, "value_size"),
            max_entries: number(call, "max_entries"),
            flags: call.field("map_flags").and_then(MapFlags::from_words).unwrap_or_default(),
            map_extra: call.field("map_extra").and_then(|n| n.parse().ok()).unwrap_or(0),
        })
    }

    fn prog_info(&self, program: Named<'_>) -> Result<ProgInfo, Errno> {
        let call = self.outcome(about("PROG_INFO", program))?;
        let maps = call.field("map_ids").unwrap_or_default();
        Ok(ProgInfo {
            id: number(call, "id"),
            name: call.field("name").map(unword).unwrap_or_default(),
            ty: named(call, "type", ProgType::from_name).unwrap_or_else(ProgType),
            tag: call.field("tag").and_then(unhex).and_then(|tag| tag.try_into().ok()).unwrap_or_default(),
            load_time: 0,
            uid: 0,
            verified_insns: number(call, "verified_insns"),
            map_ids: maps.split(',').filter_map(|id| id.parse().ok()).collect(),
        })
    }

    fn prog_functions(&self, program: Named<'_>) -> Result<ProgFunctions, Errno> {
        let call = self.outcome(about("PROG_FUNCTIONS", program))?;
        Ok(ProgFunctions::of_text(bytes(call, "types")?, call.field("functions").unwrap_or_default()))
    }

    fn prog_code(&self, program: Named<'_>) -> Result<ProgCode, Errno> {
        let call = self.outcome(about("PROG_CODE", program))?;
        let field = |key| call.field(key).unwrap_or_default();
        ProgCode::of_text(field("xlated"), field("machine"), field("functions")).ok_or(Errno::EINVAL)
    }

    fn link_create(&self, request: &LinkCreate<'_>) -> Result<OwnedFd, Errno> {
        self.outcome(request.text()).and_then(|_| null())
    }

    fn raw_tracepoint_open(&self, request: &RawTracepoint<'_>) -> Result<OwnedFd, Errno> {
        self.outcome(request.text()).and_then(|_| null())
    }

    fn event_open(&self, event: &Event<'_>) -> Result<OwnedFd, Errno> {
        self.outcome(event.text()).and_then(|_| null())
    }

    fn iter_create(&self, link: Named<'_>) -> Result<OwnedFd, Errno> {
        self.outcome(about("ITER_CREATE", link)).and_then(|_| null())
    }

    fn map_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        self.outcome(format!("MAP_BY_ID {id}")).and_then(|_| null())
    }

    fn prog_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        self.outcome(format!("PROG_BY_ID {id}")).and_then(|_| null())
    }

    fn obj_pin(&self, object: Named<'_>, path: &Path) -> Result<(), Errno> {
        self.outcome(pin(object, path)).map(drop)
    }

    fn obj_get(&self, path: &Path) -> Result<Pinned, Errno> {
        let call = self.outcome(format!("OBJ_GET {}", path_word(path)))?;
        Ok(Pinned { fd: null()?, kind: pin_kind_of(call.field("kind").unwrap_or_default()) })
    }

    fn bpffs(&self, call: Bpffs<'_>) -> Result<bool, Errno> {
        self.outcome(call.text()).map(|call| !call.reply.ends_with(" no"))
    }
}

pub(super) fn pin(object: Named<'_>, path: &Path) -> String {
    format!("{} pathname={}", about("OBJ_PIN", object), path_word(path))
}

pub(super) fn module_btf(module: &str) -> String {
    format!("MODULE_BTF {}", word(module))
}

pub(super) fn memory(map: Named<'_>, address: u64, len: usize) -> String {
    format!("{} address={address:#x} len={len}", about("MAP_MEMORY", map))
}

pub(super) fn delete(map: Named<'_>, key: &[u8]) -> String {
    format!("{} key={}", about("MAP_DELETE", map), hex(key))
}

pub(super) fn next_key(map: Named<'_>, after: Option<&[u8]>) -> String {
    format!("{} key={}", about("MAP_NEXT_KEY", map), after.map_or("none".to_string(), hex))
}

/// A descriptor that is real and does nothing.
pub(super) fn null() -> Result<OwnedFd, Errno> {
    File::open("/dev/null").map(OwnedFd::from).map_err(|error| Errno::from_io(&error))
}

/// A thread that panicked in the middle of noting a call has noted it or not; both are fine to read.
pub(super) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
