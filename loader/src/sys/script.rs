//! Kernels that are none: one writes down what the real one is asked, one plays that back.
//!
//! Descriptors they hand out are real (`/dev/null`), so that an `OwnedFd` is never lied to.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::text::{Text, about, path_word, pin_kind, pin_kind_of};
use super::{
    Bpffs, BtfLoad, Errno, Kernel, LinkCreate, Log, MapCreate, MapInfo, MapUpdate, Mapping, Named, Pinned,
    ProgCode, ProgFunctions, ProgInfo, ProgLoad, Reply, TestRun, TestRunReply,
};
use crate::trace::{Call, Transcript, hex, unhex, unword, word};
use crate::uapi::{MapFlags, MapType, ProgType};

/// Asks another kernel and writes down every call and its answer.
#[derive(Debug)]
pub struct Recorder<K> {
    kernel: K,
    state: Mutex<Recording>,
    /// Whether ids are written down as they are.
    real_ids: bool,
}

#[derive(Debug, Default)]
struct Recording {
    transcript: Transcript,
    /// Ids in the order of their first appearance, so that two runs give one text.
    ids: BTreeMap<u32, u32>,
}

impl<K: Kernel> Recorder<K> {
    /// Records what `kernel` is asked.
    pub fn new(kernel: K) -> Self {
        Self { kernel, state: Mutex::new(Recording::default()), real_ids: false }
    }

    /// The same, but ids are written down as they are: for people who look at the kernel at the same time. Such a recording
    /// differs from run to run.
    #[must_use]
    pub fn with_real_ids(self) -> Self {
        Self { real_ids: true, ..self }
    }

    /// What was recorded so far.
    pub fn transcript(&self) -> Transcript {
        lock(&self.state).transcript.clone()
    }

    /// Writes down a call that somebody else made, such as one over netlink.
    pub fn note(&self, request: String, reply: String) {
        lock(&self.state).transcript.calls.push(Call { request, reply });
    }

    fn note_result<T>(&self, request: String, result: &Result<T, Errno>, fields: impl FnOnce(&T) -> String) {
        let reply = match result {
            Ok(value) => format!("ok{}", fields(value)),
            Err(errno) => errno.to_string(),
        };
        self.note(request, reply);
    }

    fn note_reply(&self, request: String, reply: &Reply) {
        let outcome = reply.fd.as_ref().map_or_else(ToString::to_string, |_| "ok".to_string());
        let truncated = if reply.log.truncated { " truncated=1" } else { "" };
        let log =
            if reply.log.text.is_empty() { String::new() } else { format!(" log={}", word(&reply.log.text)) };
        self.note(request, format!("{outcome}{truncated}{log}"));
    }

    /// A number for an id that is the same in every run.
    fn stable(&self, id: u32) -> u32 {
        if self.real_ids {
            return id;
        }
        let ids = &mut lock(&self.state).ids;
        let next = u32::try_from(ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        *ids.entry(id).or_insert(next)
    }
}

impl<K: Kernel> Kernel for Recorder<K> {
    fn btf_load(&self, request: &BtfLoad<'_>) -> Reply {
        let reply = self.kernel.btf_load(request);
        self.note_reply(request.text(), &reply);
        reply
    }

    fn module_btf(&self, module: &str) -> Result<OwnedFd, Errno> {
        let result = self.kernel.module_btf(module);
        self.note_result(module_btf(module), &result, |_| String::new());
        result
    }

    fn map_create(&self, request: &MapCreate<'_>) -> Result<OwnedFd, Errno> {
        let result = self.kernel.map_create(request);
        self.note_result(request.text(), &result, |_| String::new());
        result
    }

    fn map_update(&self, request: &MapUpdate<'_>) -> Result<(), Errno> {
        let result = self.kernel.map_update(request);
        self.note_result(request.text(), &result, |()| String::new());
        result
    }

    fn map_lookup(&self, map: Named<'_>, key: &[u8], value_size: usize) -> Result<Vec<u8>, Errno> {
        let result = self.kernel.map_lookup(map, key, value_size);
        let request = format!("{} key={}", about("MAP_LOOKUP", map), hex(key));
        self.note_result(request, &result, |value| format!(" value={}", hex(value)));
        result
    }

    fn slot_id(&self, map: Named<'_>, key: u32) -> Result<u32, Errno> {
        let result = self.kernel.slot_id(map, key);
        let id = result.map(|id| self.stable(id));
        self.note_result(format!("{} key={key}", about("SLOT_ID", map)), &id, |id| format!(" id={id}"));
        result
    }

    fn map_delete(&self, map: Named<'_>, key: &[u8]) -> Result<(), Errno> {
        let result = self.kernel.map_delete(map, key);
        self.note_result(delete(map, key), &result, |()| String::new());
        result
    }

    fn map_next_key(&self, map: Named<'_>, after: Option<&[u8]>, key_size: usize) -> Result<Vec<u8>, Errno> {
        let result = self.kernel.map_next_key(map, after, key_size);
        self.note_result(next_key(map, after), &result, |key| format!(" key={}", hex(key)));
        result
    }

    fn map_freeze(&self, map: Named<'_>) -> Result<(), Errno> {
        let result = self.kernel.map_freeze(map);
        self.note_result(about("MAP_FREEZE", map), &result, |()| String::new());
        result
    }

    fn map_memory(&self, map: Named<'_>, address: u64, len: usize) -> Result<Mapping, Errno> {
        let result = self.kernel.map_memory(map, address, len);
        self.note_result(memory(map, address, len), &result, |_| String::new());
        result
    }

    fn prog_load(&self, request: &ProgLoad<'_>) -> Reply {
        let reply = self.kernel.prog_load(request);
        self.note_reply(request.text(), &reply);
        reply
    }

    fn prog_test_run(&self, request: &TestRun<'_>) -> Result<TestRunReply, Errno> {
        let result = self.kernel.prog_test_run(request);
        // Not how long it took: that differs from run to run.
        self.note_result(request.text(), &result, |reply| {
            let TestRunReply { retval, data, context, .. } = reply;
            format!(" retval={retval} data={} context={}", hex(data), hex(context))
        });
        result
    }

    fn map_info(&self, map: Named<'_>) -> Result<MapInfo, Errno> {
        let result = self.kernel.map_info(map);
        let id = result.as_ref().map_or(0, |info| self.stable(info.id));
        self.note_result(about("MAP_INFO", map), &result, |info| {
            let (name, ty, flags) = (word(&info.name), info.ty.0, info.flags.bits());
            let (key, value, max) = (info.key_size, info.value_size, info.max_entries);
            let extra =
                if info.map_extra == 0 { String::new() } else { format!(" extra={}", info.map_extra) };
            format!(" id={id} name={name} type={ty} key={key} value={value} max={max} flags={flags}{extra}")
        });
        result
    }

    fn prog_info(&self, program: Named<'_>) -> Result<ProgInfo, Errno> {
        let result = self.kernel.prog_info(program);
        let id = result.as_ref().map_or(0, |info| self.stable(info.id));
        self.note_result(about("PROG_INFO", program), &result, |info| {
            let maps: Vec<String> = info.map_ids.iter().map(|id| self.stable(*id).to_string()).collect();
            let (name, ty, tag, maps) = (word(&info.name), info.ty.0, hex(&info.tag), maps.join(","));
            format!(" id={id} name={name} type={ty} tag={tag} verified={} maps={maps}", info.verified_insns)
        });
        result
    }

    fn prog_functions(&self, program: Named<'_>) -> Result<ProgFunctions, Errno> {
        let result = self.kernel.prog_functions(program);
        self.note_result(about("PROG_FUNCTIONS", program), &result, ProgFunctions::text);
        result
    }

    fn prog_code(&self, program: Named<'_>) -> Result<ProgCode, Errno> {
        let result = self.kernel.prog_code(program);
        self.note_result(about("PROG_CODE", program), &result, ProgCode::text);
        result
    }

    fn link_create(&self, request: &LinkCreate<'_>) -> Result<OwnedFd, Errno> {
        let result = self.kernel.link_create(request);
        self.note_result(request.text(), &result, |_| String::new());
        result
    }

    fn map_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        let result = self.kernel.map_by_id(id);
        self.note_result(format!("MAP_BY_ID {}", self.stable(id)), &result, |_| String::new());
        result
    }

    fn prog_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        let result = self.kernel.prog_by_id(id);
        self.note_result(format!("PROG_BY_ID {}", self.stable(id)), &result, |_| String::new());
        result
    }

    fn obj_pin(&self, object: Named<'_>, path: &Path) -> Result<(), Errno> {
        let result = self.kernel.obj_pin(object, path);
        self.note_result(pin(object, path), &result, |()| String::new());
        result
    }

    fn obj_get(&self, path: &Path) -> Result<Pinned, Errno> {
        let result = self.kernel.obj_get(path);
        let request = format!("OBJ_GET {}", path_word(path));
        self.note_result(request, &result, |pinned| format!(" kind={}", pin_kind(pinned.kind)));
        result
    }

    fn bpffs(&self, call: Bpffs<'_>) -> Result<bool, Errno> {
        let result = self.kernel.bpffs(call);
        self.note_result(call.text(), &result, |yes| if *yes { String::new() } else { " no".to_string() });
        result
    }
}

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

    fn map_update(&self, request: &MapUpdate<'_>) -> Result<(), Errno> {
        self.outcome(request.text()).map(drop)
    }

    fn map_lookup(&self, map: Named<'_>, key: &[u8], _value_size: usize) -> Result<Vec<u8>, Errno> {
        let call = self.outcome(format!("{} key={}", about("MAP_LOOKUP", map), hex(key)))?;
        bytes(call, "value")
    }

    fn slot_id(&self, map: Named<'_>, key: u32) -> Result<u32, Errno> {
        self.outcome(format!("{} key={key}", about("SLOT_ID", map))).map(|call| number(call, "id"))
    }

    fn map_delete(&self, map: Named<'_>, key: &[u8]) -> Result<(), Errno> {
        self.outcome(delete(map, key)).map(drop)
    }

    fn map_next_key(&self, map: Named<'_>, after: Option<&[u8]>, _key_size: usize) -> Result<Vec<u8>, Errno> {
        self.outcome(next_key(map, after)).and_then(|call| bytes(call, "key"))
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
            data: bytes(call, "data")?,
            context: bytes(call, "context")?,
        })
    }

    fn map_info(&self, map: Named<'_>) -> Result<MapInfo, Errno> {
        let call = self.outcome(about("MAP_INFO", map))?;
        Ok(MapInfo {
            id: number(call, "id"),
            name: call.field("name").map(unword).unwrap_or_default(),
            ty: MapType(number(call, "type")),
            key_size: number(call, "key"),
            value_size: number(call, "value"),
            max_entries: number(call, "max"),
            flags: MapFlags::from_bits_retain(number(call, "flags")),
            map_extra: call.field("extra").and_then(|n| n.parse().ok()).unwrap_or(0),
        })
    }

    fn prog_info(&self, program: Named<'_>) -> Result<ProgInfo, Errno> {
        let call = self.outcome(about("PROG_INFO", program))?;
        let maps = call.field("maps").unwrap_or_default();
        Ok(ProgInfo {
            id: number(call, "id"),
            name: call.field("name").map(unword).unwrap_or_default(),
            ty: ProgType(number(call, "type")),
            tag: call.field("tag").and_then(unhex).and_then(|tag| tag.try_into().ok()).unwrap_or_default(),
            load_time: 0,
            uid: 0,
            verified_insns: number(call, "verified"),
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

fn pin(object: Named<'_>, path: &Path) -> String {
    format!("{} path={}", about("OBJ_PIN", object), path_word(path))
}

fn module_btf(module: &str) -> String {
    format!("MODULE_BTF {}", word(module))
}

fn memory(map: Named<'_>, address: u64, len: usize) -> String {
    format!("{} address={address:#x} len={len}", about("MAP_MEMORY", map))
}

fn delete(map: Named<'_>, key: &[u8]) -> String {
    format!("{} key={}", about("MAP_DELETE", map), hex(key))
}

fn next_key(map: Named<'_>, after: Option<&[u8]>) -> String {
    format!("{} after={}", about("MAP_NEXT_KEY", map), after.map_or("none".to_string(), hex))
}

/// A descriptor that is real and does nothing.
pub(super) fn null() -> Result<OwnedFd, Errno> {
    File::open("/dev/null").map(OwnedFd::from).map_err(|error| Errno::from_io(&error))
}

/// A thread that panicked in the middle of noting a call has noted it or not; both are fine to read.
pub(super) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
