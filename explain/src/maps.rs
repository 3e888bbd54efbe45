//! Maps: the bytes of each definition beside what was read from them, and the kernel call that follows.

use std::collections::BTreeMap;

use rxdp_loader::link::LinkedObject;
use rxdp_loader::plan::{CreateMap, LoadPlan, MapSlot, PlanError, Step};
use rxdp_loader::spec::{
    self, Inner, MapDialect, MapId, MapOrigin, MapSpec, ObjectSpec, Pinning, SlotTarget,
};
use rxdp_loader::uapi::{MapFlags, MapType};

use crate::model::{Attribute, Definition, Field, Map, Origin, Slot};
use crate::types::c_type;
use crate::words::{hex, len, map_flags, map_type};
use crate::{Stages, kconfig};

/// Where variables of the kernel's configuration are declared.
const KCONFIG: &str = ".kconfig";

/// Most **bytes** of a field that are shown.
const MOST_BYTES: usize = 16;

pub(crate) fn explain(stages: &Stages<'_>, linked: &LinkedObject) -> Vec<Map> {
    let spec = &linked.spec;
    let definitions: BTreeMap<MapId, spec::Definition<'_>> =
        spec::definitions(stages.elf, spec).into_iter().map(|found| (found.map, found)).collect();
    let planned = stages.plan.map(Planned::of).unwrap_or_default();
    let map = |(at, map): (usize, &MapSpec)| {
        let id = MapId::new(at);
        let definition = definitions.get(&id);
        Map {
            index: id.0,
            name: map.name.to_string(),
            section: map.section.to_string(),
            origin: origin(map),
            dialect: if let MapOrigin::Legacy(_, dialect) = map.origin { Some(whose(dialect)) } else { None },
            why: why(map),
            order: order(map),
            definition: definition
                .map(|found| self::definition(spec, map, found))
                .or_else(|| kconfig::definition(spec, id)),
            ty: map.ty.to_string(),
            create: planned.create(id).map(|create| attributes(spec, map, create)).unwrap_or_default(),
            inner: inner(spec, map),
            slots: map.slots.iter().map(|slot| self::slot(spec, slot)).collect(),
            contents: contents(stages.plan, map, id),
            pinning: pinning(&map.pinning),
            problem: stages.plan.and_then(|_| problem(&planned, map, id)),
        }
    };
    spec.maps.iter().enumerate().map(map).collect()
}

/// What the plan says about maps.
#[derive(Default)]
struct Planned<'p> {
    created: BTreeMap<MapId, &'p CreateMap>,
    refused: BTreeMap<MapId, &'p PlanError>,
}

impl<'p> Planned<'p> {
    fn of(plan: &'p LoadPlan<'_>) -> Self {
        let own = |create: &CreateMap| if let MapSlot::Map(id) = create.slot { Some(id) } else { None };
        let created = plan.maps().filter_map(|create| Some((own(create)?, create))).collect();
        let refused = plan.refused_maps.iter().filter_map(|(create, why)| Some((own(create)?, why)));
        Self { created, refused: refused.collect() }
    }

    fn create(&self, id: MapId) -> Option<&'p CreateMap> {
        self.created.get(&id).copied()
    }
}

fn origin(map: &MapSpec) -> Origin {
    match map.origin {
        MapOrigin::Legacy(..) => Origin::Numbers,
        MapOrigin::Btf if map.struct_ops.is_some() => Origin::StructOps,
        MapOrigin::Btf => Origin::Types,
        MapOrigin::Internal if *map.section == *KCONFIG => Origin::Kconfig,
        MapOrigin::Internal => Origin::Variables,
    }
}

fn whose(dialect: MapDialect) -> String {
    match dialect {
        MapDialect::Samples => "samples",
        MapDialect::IdPinning => "id-pinning",
        MapDialect::Iproute2 => "iproute2",
        MapDialect::Gobpf => "gobpf",
    }
    .to_string()
}

fn why(map: &MapSpec) -> String {
    match map.origin {
        MapOrigin::Legacy(size, dialect) => format!("{size} bytes: {}", dialect.why()),
        MapOrigin::Btf if map.struct_ops.is_some() => {
            "a variable of .struct_ops: the kernel calls the functions in it".to_string()
        }
        MapOrigin::Btf => {
            "a variable of .maps: its type is the definition, each member one attribute".to_string()
        }
        MapOrigin::Internal if *map.section == *KCONFIG => {
            "no section of the file: the loader makes it of the externs that the object declares in .kconfig, and fills it with \
             what the kernel is configured with"
                .to_string()
        }
        MapOrigin::Internal => {
            "a section of global variables: one map, one key, the whole section is its value".to_string()
        }
    }
}

fn order(map: &MapSpec) -> String {
    let place = match map.origin {
        MapOrigin::Legacy(..) => "SEC(\"maps\") by offset comes first",
        MapOrigin::Btf if map.struct_ops.is_some() => "tables of functions come last",
        MapOrigin::Btf => "SEC(\".maps\") by offset comes second",
        MapOrigin::Internal if *map.section == *KCONFIG => {
            "what the loader makes of externs comes behind sections of variables"
        }
        MapOrigin::Internal => "sections of variables come behind the maps that have a definition",
    };
    format!("map_fd[] holds maps in definition order: {place}")
}

fn definition(spec: &ObjectSpec, map: &MapSpec, found: &spec::Definition<'_>) -> Definition {
    let field = |field: &spec::Field| {
        let start = usize::try_from(field.offset).unwrap_or(usize::MAX);
        let rest = found.bytes.get(start..).unwrap_or_default();
        let size = usize::try_from(field.size).unwrap_or(usize::MAX);
        let bytes = rest.get(..size.min(MOST_BYTES)).unwrap_or(rest);
        Field {
            offset: field.offset,
            size: field.size,
            name: field.name.clone(),
            c_type: c_type(spec.btf.as_ref(), field.ty),
            bytes: hex(bytes),
            meaning: meaning(spec, map, field, bytes),
        }
    };
    Definition {
        offset: found.offset,
        size: size_of(map, found),
        fields: found.fields.iter().map(field).collect(),
    }
}

fn size_of(map: &MapSpec, found: &spec::Definition<'_>) -> u64 {
    match map.origin {
        MapOrigin::Internal => map.value_size.into(),
        MapOrigin::Legacy(..) | MapOrigin::Btf => len(found.bytes),
    }
}

fn meaning(spec: &ObjectSpec, map: &MapSpec, field: &spec::Field, bytes: &[u8]) -> String {
    if map.origin == MapOrigin::Internal {
        return text_of(bytes, field.size);
    }
    let unused = matches!(map.origin, MapOrigin::Legacy(..));
    match (field.name.as_str(), field.value) {
        ("type", Some(number)) => {
            let ty = MapType(u32::try_from(number).unwrap_or(u32::MAX));
            format!("{number}, {}", map_type(&ty.to_string()))
        }
        ("key_size" | "value_size", Some(bytes)) => format!("{bytes} bytes"),
        ("max_entries", Some(entries)) => format!("{entries} entries"),
        ("map_flags", Some(flags)) => {
            let flags = MapFlags::from_bits_retain(u32::try_from(flags).unwrap_or(u32::MAX));
            map_flags(flags)
        }
        ("inner_map_idx", Some(0)) if unused => "0, not used by this type".to_string(),
        ("numa_node", Some(0)) if unused => "0, not meant: BPF_F_NUMA_NODE is not set".to_string(),
        ("key", _) => format!("key_size is {}, the size of this type", map.key_size),
        ("value", _) => format!("value_size is {}, the size of this type", map.value_size),
        ("values", _) => values(spec, map),
        (name, None) => member(spec, map, name),
        (_, Some(number)) => number.to_string(),
    }
}

fn values(spec: &ObjectSpec, map: &MapSpec) -> String {
    let slots: Vec<String> = map
        .slots
        .iter()
        .map(|filled| slot(spec, filled))
        .map(|s| format!("[{}] = {}", s.key, s.value))
        .collect();
    if slots.is_empty() { "what its entries look like".to_string() } else { slots.join(", ") }
}

/// A member of a table of functions.
fn member(spec: &ObjectSpec, map: &MapSpec, name: &str) -> String {
    let Some(ops) = &map.struct_ops else {
        return String::new();
    };
    let members = spec.btf.as_ref().and_then(|btf| Some((btf, btf.resolved(map.value_type)?.members())));
    let number = members.and_then(|(btf, members)| members.iter().position(|m| btf.string(m.name) == name));
    let program = ops.programs.iter().find(|(at, _)| usize::try_from(*at).ok() == number);
    program.map(|(_, func)| format!("program {}", spec.function_name(*func))).unwrap_or_default()
}

/// Text in a variable, if it looks like one.
fn text_of(bytes: &[u8], size: u32) -> String {
    let shown: String = bytes.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    let is_text = shown.len() > 3 && shown.chars().all(|c| c.is_ascii_graphic() || c == ' ' || c == '\n');
    let cut = if usize::try_from(size).unwrap_or(usize::MAX) > bytes.len() { "..." } else { "" };
    if is_text { format!("{:?}{cut}", shown) } else { String::new() }
}

fn attributes(spec: &ObjectSpec, map: &MapSpec, create: &CreateMap) -> Vec<Attribute> {
    let defined = |same: bool, otherwise: &str| if same { String::new() } else { otherwise.to_string() };
    let row = |name: &str, value: String, from: String| Attribute { name: name.to_string(), value, from };
    let size = |name, asked: u32, defined_size: u32| {
        let why = if map.struct_ops.is_some() {
            "the size of the kernel's structure, which has places of its own around the object's"
        } else {
            "the definition leaves it out, and this type has 4"
        };
        let from = defined(asked == defined_size, why);
        row(name, asked.to_string(), from)
    };
    let entries = defined(create.max_entries == map.max_entries, "the definition leaves it open");
    let name =
        defined(create.kernel_name.as_str() == &*map.name, "at most 15 bytes: letters, digits, _ and .");
    let mut rows = vec![
        row("map_type", format!("{} ({})", create.ty.0, create.ty), String::new()),
        size("key_size", create.key_size, map.key_size),
        size("value_size", create.value_size, map.value_size),
        row("max_entries", create.max_entries.to_string(), entries),
        row("map_flags", map_flags(create.flags), why_flags(map, create.flags)),
        row("map_name", create.kernel_name.to_string(), name),
    ];
    if create.flags.contains(MapFlags::NUMA_NODE) {
        rows.push(row("numa_node", create.numa_node.to_string(), String::new()));
    }
    if create.map_extra != 0 {
        rows.push(row("map_extra", format!("{:#x}", create.map_extra), String::new()));
    }
    if let Some(inner) = create.inner {
        let name = match inner {
            MapSlot::Map(id) => spec.map_name(id).to_string(),
            MapSlot::Template(_) | MapSlot::Copy(..) => {
                "a map made only to show what inner maps look like".to_string()
            }
        };
        rows.push(row("inner_map_fd", format!("fd of {name}"), String::new()));
    }
    if let Some((key, value)) = create.types {
        let words = |ty| c_type(spec.btf.as_ref(), ty).unwrap_or_default();
        rows.push(row("btf_fd", "fd of the object's types".to_string(), String::new()));
        rows.push(row("btf_key_type_id", key.0.to_string(), words(key)));
        rows.push(row("btf_value_type_id", value.0.to_string(), words(value)));
    }
    if let Some(at) = &create.kernel_value {
        let from = "the kernel's structure, found by its name".to_string();
        rows.push(row("btf_vmlinux_value_type_id", at.id.0.to_string(), from));
    }
    rows
}

/// Where the flags of a map of variables are from: nobody wrote them down.
fn why_flags(map: &MapSpec, flags: MapFlags) -> String {
    if map.origin != MapOrigin::Internal {
        return String::new();
    }
    let known = [
        (MapFlags::RDONLY_PROG, "programs may only read constants"),
        (MapFlags::MMAPABLE, "it has variables that user space can name"),
    ];
    let words: Vec<&str> =
        known.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, why)| *why).collect();
    words.join("; ")
}

fn inner(spec: &ObjectSpec, map: &MapSpec) -> Option<String> {
    Some(match map.inner.as_ref()? {
        Inner::Like(id) => format!("like map_fd[{}], {}", id.0, spec.map_name(*id)),
        Inner::Missing(id) => format!("like the map with id {id}, and there is none"),
        Inner::Template(map) => format!(
            "{}, key {} bytes, value {} bytes, {} entries",
            map.ty, map.key_size, map.value_size, map.max_entries
        ),
    })
}

fn slot(spec: &ObjectSpec, slot: &spec::Slot) -> Slot {
    let value = match slot.target {
        SlotTarget::Program(func) => spec.function_name(func),
        SlotTarget::Map(id) => spec.map_name(id),
    };
    Slot { key: slot.key, value: value.to_string() }
}

fn contents(plan: Option<&LoadPlan<'_>>, map: &MapSpec, id: MapId) -> Option<String> {
    let steps = plan.map(|plan| plan.steps.as_slice()).unwrap_or_default();
    let made = |step: &Step| if let Step::PinnedMap(pinned) = step { pinned.make.clone() } else { vec![] };
    let pinned: Vec<Step> = steps.iter().flat_map(made).collect();
    let mut words = Vec::new();
    for step in steps.iter().chain(&pinned) {
        if *step == Step::SetData(id) {
            let whose = if *map.section == *KCONFIG { "these" } else { "the section's" };
            words.push(format!("its value under key 0 is set to {whose} {} bytes", map.value_size));
        }
        let mapped = mapped(step, id);
        words.extend(mapped.map(|len| format!("{len} bytes of it are mapped into memory and filled")));
        if *step == Step::Freeze(id) {
            words.push("it is frozen: user space, too, may only read it from then on".to_string());
        }
    }
    (!words.is_empty()).then(|| words.join("; "))
}

/// How many **bytes** of a map's memory a step maps into this process.
fn mapped(step: &Step, id: MapId) -> Option<u64> {
    let Step::MapMemory { map, len, .. } = step else {
        return None;
    };
    (*map == id).then_some(*len)
}

fn pinning(pinning: &Pinning) -> Option<String> {
    match pinning {
        Pinning::None => None,
        Pinning::ByName => Some("by its name: maps of this name are shared".to_string()),
        Pinning::Object => Some("in a directory of the object's own".to_string()),
        Pinning::Global => Some("in the directory of all, tc/globals".to_string()),
        Pinning::Directory(name) => Some(format!("in the directory {name:?}")),
    }
}

fn problem(planned: &Planned<'_>, map: &MapSpec, id: MapId) -> Option<String> {
    let refused = planned.refused.get(&id).map(ToString::to_string);
    let nobody = || {
        let table = map.struct_ops.is_some();
        let why = if table {
            "the kernel's types were not asked for its structure"
        } else {
            "this kernel has none"
        };
        planned.create(id).is_none().then(|| format!("no call creates it: {why}"))
    };
    map.defect.as_ref().map(ToString::to_string).or(refused).or_else(nobody)
}
