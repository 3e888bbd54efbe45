//! Requests as one line of text: what a recording shows, and what a replay compares.

use std::path::Path;

use super::{
    Bpffs, BtfLoad, Elements, Event, Hook, LinkCreate, LinkTarget, LogRequest, MapCreate, MapTypes,
    MapUpdate, MapValue, Named, Netfilter, PinKind, ProgLoad, RawTracepoint, TestRun,
};
use crate::insn::Insn;
use crate::trace::{fingerprint, hex, word};
use crate::uapi::AttachType;

/// A request that can be written down.
pub(super) trait Text {
    fn text(&self) -> String;
}

impl Text for BtfLoad<'_> {
    fn text(&self) -> String {
        let (name, size, print) = (word(self.name), self.data.len(), fingerprint(self.data));
        format!("BTF_LOAD {name} btf_size={size} fingerprint={print:016x}{}", log("btf_", self.log))
    }
}

impl Text for MapCreate<'_> {
    fn text(&self) -> String {
        let mut text = format!(
            "MAP_CREATE {} map_name={} map_type={} key_size={} value_size={} max_entries={} map_flags={}",
            word(self.name),
            word(self.kernel_name),
            word(&self.ty.to_string()),
            self.key_size,
            self.value_size,
            self.max_entries,
            self.flags,
        );
        if self.numa_node != 0 {
            text += &format!(" numa_node={}", self.numa_node);
        }
        if self.map_extra != 0 {
            text += &format!(" map_extra={:#x}", self.map_extra);
        }
        if let Some(inner) = self.inner {
            text += &format!(" inner_map_fd={}", fd(inner));
        }
        if let Some(MapTypes { btf, key, value }) = self.types {
            let (btf, key, value) = (fd(btf), key.0, value.0);
            text += &format!(" btf_fd={btf} btf_key_type_id={key} btf_value_type_id={value}");
        }
        if let Some(Hook { id, of }) = self.kernel_value {
            text += &format!(" btf_vmlinux_value_type_id={}", id.0);
            text += &of.map(|of| format!(" value_type_btf_obj_fd={}", fd(of))).unwrap_or_default();
        }
        text
    }
}

impl Text for MapUpdate<'_> {
    fn text(&self) -> String {
        let value = match self.value {
            MapValue::Bytes(bytes) => hex(bytes),
            MapValue::Named(handle) => fd(handle),
            MapValue::Table(bytes, programs) => programs
                .iter()
                .fold(hex(bytes), |text, (at, program)| text + &format!(",{at}={}", fd(*program))),
        };
        let (map, key, flags) = (word(self.map.name), hex(self.key), self.flags);
        format!("MAP_UPDATE {map} key={key} value={value} flags={flags}")
    }
}

impl Text for ProgLoad<'_> {
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.insns.iter().flat_map(|insn: &Insn| insn.to_native()).collect();
        let mut text = format!(
            "PROG_LOAD {} prog_name={} prog_type={} expected_attach_type={} prog_flags={} license={} kern_version={} insns={}",
            word(self.name),
            word(self.kernel_name),
            word(&self.ty.to_string()),
            attach_type(self.attach),
            self.flags,
            word(self.license),
            version(self.kern_version),
            hex(&bytes),
        );
        for (at, map) in self.maps {
            text += &format!(" {at}=map:{}", word(map.name));
        }
        for (at, module) in self.btfs {
            text += &format!(" {at}=btf:{}", word(module.name));
        }
        if let Some(Hook { id, of }) = self.hook {
            text += &format!(" attach_btf_id={}", id.0);
            text += &of.map(|of| format!(" attach_btf_obj_fd={}", fd(of))).unwrap_or_default();
        }
        if !self.fd_array.is_empty() {
            let names: Vec<String> = self.fd_array.iter().map(|module| fd(*module)).collect();
            text += &format!(" fd_array={}", names.join(","));
        }
        if let Some(info) = self.info {
            let lines: Vec<u8> = info.lines.iter().flatten().flat_map(|n| n.to_ne_bytes()).collect();
            let funcs: Vec<String> = info.funcs.iter().map(|[at, ty]| format!("{at}:{ty}")).collect();
            let (btf, func_count, funcs) = (fd(info.btf), funcs.len(), funcs.join(","));
            let (count, print) = (info.lines.len(), fingerprint(&lines));
            text += &format!(" prog_btf_fd={btf} func_info_cnt={func_count} func_info={funcs}");
            text += &format!(" line_info_cnt={count} line_info_fingerprint={print:016x}");
        }
        text + &log("", self.log)
    }
}

impl Text for TestRun<'_> {
    fn text(&self) -> String {
        let (program, data, context) = (word(self.program.name), hex(self.data), hex(self.context));
        let (data_room, context_room, repeat) = (self.data_room, self.context_room, self.repeat);
        format!(
            "TEST_RUN {program} data_in={data} data_size_out={data_room} ctx_in={context} ctx_size_out={context_room} \
             repeat={repeat}"
        )
    }
}

impl Text for LinkCreate<'_> {
    fn text(&self) -> String {
        let attach = attach_type(self.attach);
        format!("{} attach_type={attach}{}", about("LINK_CREATE", self.what), self.to.text())
    }
}

impl Text for LinkTarget<'_> {
    fn text(&self) -> String {
        let at = |returns| if returns { "return" } else { "entry" };
        match *self {
            Self::Own => String::new(),
            Self::Function { of, id } => format!(" target_fd={} target_btf_id={}", fd(of), id.0),
            Self::File(file) => format!(" target_fd={}", fd(file)),
            Self::Interface(number) => format!(" target_ifindex={number}"),
            Self::InterfaceInMode { number, flags } => format!(" target_ifindex={number} flags={flags}"),
            Self::Functions { names, returns } => {
                let names: Vec<String> = names.iter().map(|name| word(name)).collect();
                format!(" {}={}", at(returns), names.join(","))
            }
            Self::Places { path, offsets, process, returns } => {
                let offsets: Vec<String> = offsets.iter().map(|offset| format!("{offset:#x}")).collect();
                let process = process.map_or(String::new(), |_| " process=1".to_string());
                format!(" {}={}:{}{process}", at(returns), path_word(path), offsets.join(","))
            }
            Self::Netfilter(Netfilter { family, hook, priority, defragment }) => {
                let defragment = if defragment { " defragment=1" } else { "" };
                format!(" to={family}:{hook} priority={priority}{defragment}")
            }
            Self::Elements(Elements::Map(_)) => " of=map".to_string(),
            Self::Elements(Elements::Process(_)) => " of=process".to_string(),
            Self::Elements(Elements::Cgroups(_, order)) => format!(" of=cgroups:{order}"),
        }
    }
}

impl Text for Event<'_> {
    fn text(&self) -> String {
        let at = |returns| if returns { "return" } else { "entry" };
        match *self {
            Self::Tracepoint { category, name } => {
                format!("EVENT_OPEN tracepoint={}/{}", word(category), word(name))
            }
            Self::Function { name, offset, returns } => {
                format!("EVENT_OPEN {}={}+{offset:#x}", at(returns), word(name))
            }
            Self::Place { path, offset, process, returns } => {
                let process = process.map_or(String::new(), |_| " process=1".to_string());
                format!("EVENT_OPEN {}={}:{offset:#x}{process}", at(returns), path_word(path))
            }
        }
    }
}

impl Text for RawTracepoint<'_> {
    fn text(&self) -> String {
        let name = self.name.map_or(String::new(), |name| format!(" name={}", word(name)));
        format!("{}{name}", about("RAW_TRACEPOINT_OPEN", self.program))
    }
}

/// A descriptor, by the name of what it stands for.
fn fd(handle: Named<'_>) -> String {
    format!("fd:{}", word(handle.name))
}

/// An attach type by its name. Where there is none to be said the number is 0, which has a name of its own.
fn attach_type(attach: AttachType) -> String {
    if attach.0 == 0 { "0".to_string() } else { word(&attach.to_string()) }
}

/// A kernel's version, from its code.
fn version(code: u32) -> String {
    let [_, major, minor, patch] = code.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}

/// A command about one thing.
pub(super) fn about(command: &str, handle: Named<'_>) -> String {
    format!("{command} {}", word(handle.name))
}

/// Words for what a pin holds, as a recording has them.
const PIN_KINDS: &[(PinKind, &str)] =
    &[(PinKind::Map, "map"), (PinKind::Program, "prog"), (PinKind::Link, "link"), (PinKind::Other, "other")];

/// The word for what a pin holds.
pub(super) fn pin_kind(kind: PinKind) -> &'static str {
    PIN_KINDS.iter().find(|(known, _)| *known == kind).map_or("other", |(_, word)| word)
}

/// What a pin of this word holds.
pub(super) fn pin_kind_of(word: &str) -> PinKind {
    PIN_KINDS.iter().find(|(_, known)| *known == word).map_or(PinKind::Other, |(kind, _)| *kind)
}

/// A path as one word.
pub(super) fn path_word(path: &Path) -> String {
    word(&path.to_string_lossy())
}

impl Text for Bpffs<'_> {
    /// Without the time of a mark, which is another one in every run.
    fn text(&self) -> String {
        let (command, path) = match self {
            Self::Is(path) => ("STATFS", path),
            Self::Has(path) => ("LSTAT", path),
            Self::MakeDir(path) => ("MKDIR", path),
            Self::Rename(from, to) => return format!("RENAME {} {}", path_word(from), path_word(to)),
            Self::RemovePin(path) => ("UNLINK", path),
            Self::RemoveDir(path) => ("RMDIR", path),
            Self::Mark(path, _) => ("UTIMENSAT", path),
        };
        format!("{command} {}", path_word(path))
    }
}

fn log(prefix: &str, request: Option<LogRequest>) -> String {
    let text = |log: LogRequest| format!(" {prefix}log_level={} {prefix}log_size={}", log.level, log.size);
    request.map(text).unwrap_or_default()
}
