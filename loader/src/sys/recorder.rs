//! A kernel that writes down what another one is asked, and what it answers.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use super::script::{delete, lock, memory, module_btf, next_key, pin};
use super::text::{Text, about, path_word, pin_kind};
use super::{
    Bpffs, BtfLoad, Errno, Event, Kernel, LinkCreate, MapCreate, MapInfo, MapUpdate, Mapping, MeasuredMap,
    Named, Pinned, ProgCode, ProgFunctions, ProgInfo, ProgLoad, RawTracepoint, Reply, TestRun, TestRunReply,
};
use crate::trace::{Call, Transcript, hex, word};

/// Asks another kernel and writes down every call and its answer.
#[derive(Debug)]
pub struct Recorder<K> {
    kernel: K,
    state: Mutex<Recording>,
    /// Whether ids and new descriptors are written down as they are.
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

    /// The same, but ids and new descriptors are written down as they are: for people who look at the kernel at the same time. Such a recording
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
        let outcome =
            reply.fd.as_ref().map_or_else(ToString::to_string, |fd| format!("ok{}", self.descriptor(fd)));
        let truncated = if reply.log.truncated { " truncated=1" } else { "" };
        let log =
            if reply.log.text.is_empty() { String::new() } else { format!(" log={}", word(&reply.log.text)) };
        self.note(request, format!("{outcome}{truncated}{log}"));
    }

    /// A new descriptor: its number only for people who look at the same time.
    fn descriptor(&self, fd: &OwnedFd) -> String {
        if self.real_ids { format!(" fd={}", fd.as_raw_fd()) } else { String::new() }
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
        self.note_result(module_btf(module), &result, |fd| self.descriptor(fd));
        result
    }

    fn map_create(&self, request: &MapCreate<'_>) -> Result<OwnedFd, Errno> {
        let result = self.kernel.map_create(request);
        self.note_result(request.text(), &result, |fd| self.descriptor(fd));
        result
    }

    fn map_sizes<'m>(&self, map: Named<'m>) -> Result<MeasuredMap<'m>, Errno> {
        let result = self.kernel.map_sizes(map);
        let said = result.as_ref().map_err(|errno| *errno).and_then(|map| map.said().ok_or(Errno::EINVAL));
        self.note_result(about("MAP_SIZES", map), &said, |(key, value)| {
            format!(" key_size={key} value_size={value}")
        });
        result
    }

    fn update(&self, map: MeasuredMap<'_>, request: &MapUpdate<'_>) -> Result<(), Errno> {
        let result = self.kernel.update(map, request);
        self.note_result(request.text(), &result, |()| String::new());
        result
    }

    fn lookup(&self, map: MeasuredMap<'_>, key: &[u8], value_size: usize) -> Result<Vec<u8>, Errno> {
        let result = self.kernel.lookup(map, key, value_size);
        let request = format!("{} key={}", about("MAP_LOOKUP", map.map()), hex(key));
        self.note_result(request, &result, |value| format!(" value={}", hex(value)));
        result
    }

    fn slot(&self, map: MeasuredMap<'_>, key: u32) -> Result<u32, Errno> {
        let result = self.kernel.slot(map, key);
        let id = result.map(|id| self.stable(id));
        self.note_result(format!("{} key={key}", about("SLOT_ID", map.map())), &id, |id| format!(" id={id}"));
        result
    }

    fn delete(&self, map: MeasuredMap<'_>, key: &[u8]) -> Result<(), Errno> {
        let result = self.kernel.delete(map, key);
        self.note_result(delete(map.map(), key), &result, |()| String::new());
        result
    }

    fn next_key(
        &self,
        map: MeasuredMap<'_>,
        after: Option<&[u8]>,
        key_size: usize,
    ) -> Result<Vec<u8>, Errno> {
        let result = self.kernel.next_key(map, after, key_size);
        self.note_result(next_key(map.map(), after), &result, |key| format!(" next_key={}", hex(key)));
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
            format!(" retval={retval} data_out={} ctx_out={}", hex(data), hex(context))
        });
        result
    }

    fn map_info(&self, map: Named<'_>) -> Result<MapInfo, Errno> {
        let result = self.kernel.map_info(map);
        let id = result.as_ref().map_or(0, |info| self.stable(info.id));
        self.note_result(about("MAP_INFO", map), &result, |info| {
            let (name, ty, flags) = (word(&info.name), word(&info.ty.to_string()), info.flags);
            let MapInfo { key_size, value_size, max_entries, map_extra, .. } = info;
            let extra = if *map_extra == 0 { String::new() } else { format!(" map_extra={map_extra}") };
            format!(
                " id={id} name={name} type={ty} key_size={key_size} value_size={value_size} \
                 max_entries={max_entries} map_flags={flags}{extra}"
            )
        });
        result
    }

    fn prog_info(&self, program: Named<'_>) -> Result<ProgInfo, Errno> {
        let result = self.kernel.prog_info(program);
        let id = result.as_ref().map_or(0, |info| self.stable(info.id));
        self.note_result(about("PROG_INFO", program), &result, |info| {
            let maps: Vec<String> = info.map_ids.iter().map(|id| self.stable(*id).to_string()).collect();
            let (name, ty) = (word(&info.name), word(&info.ty.to_string()));
            let (tag, verified, maps) = (hex(&info.tag), info.verified_insns, maps.join(","));
            let at = if self.real_ids {
                format!(" load_time={} created_by_uid={}", info.load_time, info.uid)
            } else {
                String::new()
            };
            format!(" id={id} name={name} type={ty} tag={tag} verified_insns={verified} map_ids={maps}{at}")
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
        self.note_result(request.text(), &result, |fd| self.descriptor(fd));
        result
    }

    fn raw_tracepoint_open(&self, request: &RawTracepoint<'_>) -> Result<OwnedFd, Errno> {
        let result = self.kernel.raw_tracepoint_open(request);
        self.note_result(request.text(), &result, |fd| self.descriptor(fd));
        result
    }

    fn event_open(&self, event: &Event<'_>) -> Result<OwnedFd, Errno> {
        let result = self.kernel.event_open(event);
        self.note_result(event.text(), &result, |fd| self.descriptor(fd));
        result
    }

    fn iter_create(&self, link: Named<'_>) -> Result<OwnedFd, Errno> {
        let result = self.kernel.iter_create(link);
        self.note_result(about("ITER_CREATE", link), &result, |fd| self.descriptor(fd));
        result
    }

    fn map_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        let result = self.kernel.map_by_id(id);
        self.note_result(format!("MAP_BY_ID {}", self.stable(id)), &result, |fd| self.descriptor(fd));
        result
    }

    fn prog_by_id(&self, id: u32) -> Result<OwnedFd, Errno> {
        let result = self.kernel.prog_by_id(id);
        self.note_result(format!("PROG_BY_ID {}", self.stable(id)), &result, |fd| self.descriptor(fd));
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
        self.note_result(request, &result, |pinned| {
            format!(" kind={}{}", pin_kind(pinned.kind), self.descriptor(&pinned.fd))
        });
        result
    }

    fn bpffs(&self, call: Bpffs<'_>) -> Result<bool, Errno> {
        let result = self.kernel.bpffs(call);
        self.note_result(call.text(), &result, |yes| if *yes { String::new() } else { " no".to_string() });
        result
    }
}
