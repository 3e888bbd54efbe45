//! Requests as one line of text: what a recording shows, and what a replay compares.

use std::path::Path;

use super::{
    Bpffs, BtfLoad, Elements, Event, Hook, LinkCreate, LinkTarget, LogRequest, MapCreate, MapUpdate,
    MapValue, Named, Netfilter, PinKind, ProgLoad, RawTracepoint, TestRun,
};
use crate::insn::Insn;
use crate::trace::{fingerprint, hex, word};

/// A request that can be written down.
pub(super) trait Text {
    fn text(&self) -> String;
}

impl Text for BtfLoad<'_> {
    fn text(&self) -> String {
        let (name, size, print) = (word(self.name), self.data.len(), fingerprint(self.data));
        format!("BTF_LOAD {name} size={size} fingerprint={print:016x}{}", log(self.log))
    }
}

impl Text for MapCreate<'_> {
    fn text(&self) -> String {
        let mut text = format!(
            "MAP_CREATE {} name={} type={} key={} value={} max={} flags={:#x}",
            word(self.name),
            word(self.kernel_name),
            word(&self.ty.to_string()),
            self.key_size,
            self.value_size,
            self.max_entries,
            self.flags.bits(),
        );
        if self.numa_node != 0 {
            text += &format!(" numa={}", self.numa_node);
        }
        if self.map_extra != 0 {
            text += &format!(" extra={:#x}", self.map_extra);
        }
        if let Some(inner) = self.inner {
            text += &format!(" inner={}", word(inner.name));
        }
        if let Some(types) = self.types {
            text += &format!(" key_type={} value_type={}", types.key.0, types.value.0);
        }
        if let Some(value) = self.kernel_value {
            text += &format!(" kernel_value={}", hook(value));
        }
        text
    }
}

impl Text for MapUpdate<'_> {
    fn text(&self) -> String {
        let value = match self.value {
            MapValue::Bytes(bytes) => hex(bytes),
            MapValue::Named(handle) => format!("fd:{}", word(handle.name)),
            MapValue::Table(bytes, programs) => programs
                .iter()
                .fold(hex(bytes), |text, (at, program)| text + &format!(",{at}=fd:{}", word(program.name))),
        };
        let (map, key, flags) = (word(self.map.name), hex(self.key), self.flags.bits());
        format!("MAP_UPDATE {map} key={key} value={value} flags={flags}")
    }
}

impl Text for ProgLoad<'_> {
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.insns.iter().flat_map(|insn: &Insn| insn.to_native()).collect();
        let mut text = format!(
            "PROG_LOAD {} name={} type={} attach={} flags={:#x} license={} version={:#x} insns={}",
            word(self.name),
            word(self.kernel_name),
            word(&self.ty.to_string()),
            self.attach.0,
            self.flags.bits(),
            word(self.license),
            self.kern_version,
            hex(&bytes),
        );
        for (at, map) in self.maps {
            text += &format!(" {at}=map:{}", word(map.name));
        }
        for (at, module) in self.btfs {
            text += &format!(" {at}=btf:{}", word(module.name));
        }
        if let Some(at) = self.hook {
            text += &format!(" hook={}", hook(at));
        }
        if !self.fd_array.is_empty() {
            let names: Vec<String> = self.fd_array.iter().map(|module| word(module.name)).collect();
            text += &format!(" fd_array={}", names.join(","));
        }
        if let Some(info) = self.info {
            let lines: Vec<u8> = info.lines.iter().flatten().flat_map(|n| n.to_ne_bytes()).collect();
            let funcs: Vec<String> = info.funcs.iter().map(|[at, ty]| format!("{at}:{ty}")).collect();
            let (count, print) = (info.lines.len(), fingerprint(&lines));
            text += &format!(" funcs={} lines={count} lines_fingerprint={print:016x}", funcs.join(","));
        }
        text + &log(self.log)
    }
}

impl Text for TestRun<'_> {
    fn text(&self) -> String {
        let (program, data, context) = (word(self.program.name), hex(self.data), hex(self.context));
        let (data_room, context_room, repeat) = (self.data_room, self.context_room, self.repeat);
        format!(
            "TEST_RUN {program} data={data} room={data_room} context={context} context_room={context_room} repeat={repeat}"
        )
    }
}

impl Text for LinkCreate<'_> {
    fn text(&self) -> String {
        format!("{} attach={}{}", about("LINK_CREATE", self.what), self.attach.0, self.to.text())
    }
}

impl Text for LinkTarget<'_> {
    fn text(&self) -> String {
        let at = |returns| if returns { "return" } else { "entry" };
        match *self {
            Self::Own => String::new(),
            Self::Function { of, id } => format!(" to=prog:{} function={}", word(of.name), id.0),
            Self::File(file) => format!(" to=fd:{}", word(file.name)),
            Self::Interface(number) => format!(" to=interface:{number}"),
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

/// A type of the kernel, of a module or of a program.
fn hook(hook: Hook<'_>) -> String {
    let of = hook.of.map_or("kernel".to_string(), |of| word(of.name));
    format!("{}@{of}", hook.id.0)
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

fn log(request: Option<LogRequest>) -> String {
    request.map(|log| format!(" log={}:{}", log.level, log.size)).unwrap_or_default()
}
