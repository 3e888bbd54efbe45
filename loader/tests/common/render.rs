//! Stage results as text for people: what a golden file shows.

use std::fmt::Write;

use rxdp_loader::btf::{Btf, Kind, Linkage};
use rxdp_loader::insn::{Insn, InsnIdx};
use rxdp_loader::link::{LinkedObject, LinkedProgram};
use rxdp_loader::plan::{LoadPlan, SlotValue};
use rxdp_loader::spec::{
    Function, Inner, MapOrigin, MapSpec, ObjectSpec, ProgramSpec, RelocTarget, SlotHint, SlotTarget,
};
use rxdp_loader::trace::hex;

/// A slot as it stands in a little-endian object: `18 01 0000 00000000` without the blanks.
pub(crate) fn slot(insn: Insn) -> String {
    let mut raw = vec![insn.code, insn.src << 4 | insn.dst];
    raw.extend(insn.off.to_le_bytes());
    raw.extend(insn.imm.to_le_bytes());
    hex(&raw)
}

/// What an object defines.
pub(crate) fn spec(spec: &ObjectSpec) -> String {
    let version = spec.version.map_or("none".to_string(), |version| format!("{version:#x}"));
    let types = spec.btf.as_ref().map_or("no types".to_string(), |btf| format!("{} types", btf.types.len()));
    let mut out = format!(
        "object {:?}: {:?}-endian, license {:?}, version {version}, {types}\n",
        spec.name, spec.endian, spec.license
    );
    for (at, one) in spec.maps.iter().enumerate() {
        map(&mut out, &format!("map {at}"), spec, one);
    }
    for (at, one) in spec.functions.iter().enumerate() {
        function(&mut out, at, spec, one);
    }
    for (at, one) in spec.programs.iter().enumerate() {
        program(&mut out, at, spec, one);
    }
    if let Some(btf) = &spec.btf {
        self::types(&mut out, btf);
    }
    out
}

/// The types that the loader completes: functions, and sections with their variables.
fn types(out: &mut String, btf: &Btf) {
    out.push('\n');
    let seen_by = |linkage: Linkage| match linkage {
        Linkage::STATIC => "static",
        Linkage::GLOBAL => "global",
        _ => "extern",
    };
    for (at, ty) in btf.types.iter().enumerate() {
        let name = btf.string(ty.name);
        if let Kind::Func { linkage, .. } = ty.kind {
            let _ = writeln!(out, "type {at}: {} function {name:?}", seen_by(linkage));
        }
        let Kind::Datasec { size, vars } = &ty.kind else {
            continue;
        };
        let _ = writeln!(out, "type {at}: section {name:?}, {size} bytes");
        for var in vars {
            let Some(Kind::Var { linkage, .. } | Kind::Func { linkage, .. }) = btf.kind(var.var) else {
                panic!("{name:?} holds what is neither a variable nor a function");
            };
            let (scope, name) = (seen_by(*linkage), btf.name(var.var));
            let _ = writeln!(out, "  {scope} {name:?} at {}, {} bytes", var.offset, var.size);
        }
    }
}

fn map(out: &mut String, title: &str, spec: &ObjectSpec, map: &MapSpec) {
    let origin = match map.origin {
        MapOrigin::Legacy(bytes, dialect) => format!("{bytes} bytes, dialect {dialect:?}"),
        MapOrigin::Btf => "by type".to_string(),
        MapOrigin::Internal => "variables".to_string(),
    };
    let _ = writeln!(out, "\n{title}: {:?} in section {:?} ({origin})", map.name, map.section);
    let _ = writeln!(
        out,
        "  {}, key {} bytes, value {} bytes, {} entries, flags {:#x}, numa node {}, extra {:#x}",
        map.ty,
        map.key_size,
        map.value_size,
        map.max_entries,
        map.flags.bits(),
        map.numa_node,
        map.map_extra,
    );
    let number = map.number.map_or("none".to_string(), |number| number.to_string());
    let _ = writeln!(
        out,
        "  types: key {}, value {}; pinning {:?}; number {number}; frozen {}",
        map.key_type.0, map.value_type.0, map.pinning, map.frozen
    );
    if let Some(defect) = &map.defect {
        let _ = writeln!(out, "  not understood: {defect}");
    }
    if let Some(data) = &map.data {
        let _ = writeln!(out, "  data {}", hex(data));
    }
    for filled in &map.slots {
        let target = match filled.target {
            SlotTarget::Program(func) => format!("function {:?}", spec.function_name(func)),
            SlotTarget::Map(id) => format!("map {:?}", spec.map_name(id)),
        };
        let _ = writeln!(out, "  slot {}: {target}", filled.key);
    }
    match &map.inner {
        Some(Inner::Like(id)) => {
            let _ = writeln!(out, "  inner maps like {:?}", spec.map_name(*id));
        }
        Some(Inner::Missing(id)) => {
            let _ = writeln!(out, "  inner maps like the one with id {id}, which is missing");
        }
        Some(Inner::Template(template)) => self::map(out, "  inner maps like this", spec, template),
        None => {}
    }
}

fn function(out: &mut String, at: usize, spec: &ObjectSpec, function: &Function) {
    let ty = function.ty.map_or("no type".to_string(), |ty| format!("type {}", ty.0));
    let _ = writeln!(
        out,
        "\nfunction {at}: {:?} at {} of section {:?}, {} slots, {ty}, {} lines, {} CO-RE",
        function.name,
        function.offset,
        function.section,
        function.insns.len(),
        function.lines.len(),
        function.core_relos.len(),
    );
    for reloc in &function.relocs {
        let target = match &reloc.target {
            RelocTarget::Map(map) => format!("map {:?}", spec.map_name(*map)),
            RelocTarget::MapValue { map, offset } => {
                format!("byte {offset} of the value of map {:?}", spec.map_name(*map))
            }
            RelocTarget::Call(func) => format!("call of {:?}", spec.function_name(*func)),
            RelocTarget::FunctionAddress(func) => format!("address of {:?}", spec.function_name(*func)),
            RelocTarget::Broken { symbol, why } => format!("broken: {symbol:?}: {why}"),
            RelocTarget::Extern { name, weak } => format!("extern {name:?}, weak {weak}"),
        };
        let _ = writeln!(out, "  +{}: {target}", reloc.at);
    }
}

fn program(out: &mut String, at: usize, spec: &ObjectSpec, program: &ProgramSpec) {
    let kind = &program.kind;
    let ty = kind.ty.map_or("no type".to_string(), |ty| ty.to_string());
    let target = kind.target.as_ref().map(|target| format!(", target {target:?}")).unwrap_or_default();
    let slot = match kind.slot {
        Some(SlotHint::LastTable { key }) => format!(", wants slot {key} of the last table"),
        Some(SlotHint::Table { id, key }) => format!(", wants slot {key} of table {id}"),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "\nprogram {at}: {:?}, function {} in section {:?}, loaded {}\n  {ty}, attach type {} ({}), {:?}, rule {:?}{target}{slot}",
        program.name,
        program.func.0,
        program.section,
        if program.autoload { "always" } else { "on demand" },
        kind.attach.0,
        kind.attach,
        kind.flags,
        kind.rule,
    );
    assert_eq!(spec.function_name(program.func), program.name);
}

/// Linked programs: layout, code, changes, function types and source lines.
pub(crate) fn link(object: &LinkedObject) -> String {
    let mut out = String::new();
    for (at, result) in object.programs.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        match result {
            Ok(program) => linked_program(&mut out, object, program),
            Err(error) => {
                let _ = writeln!(out, "program {at}: {error}");
            }
        }
    }
    out
}

fn linked_program(out: &mut String, object: &LinkedObject, program: &LinkedProgram) {
    let spec = &object.spec;
    let name = &spec.program(program.id).unwrap().name;
    let _ = writeln!(out, "program {}: {name:?}, {} slots", program.id.0, program.insns.len());
    let changed = |at: u32| program.patches.iter().find(|patch| patch.at == InsnIdx(at));
    let map_at = |at: u32| program.map_refs.iter().find(|(slot, _)| *slot == InsnIdx(at));
    for (at, insn) in (0u32..).zip(&program.insns) {
        if let Some(span) = program.layout.iter().find(|span| span.start == InsnIdx(at)) {
            let _ = writeln!(out, "{}: ; {} slots", spec.function_name(span.func), span.len);
        }
        for (_, ty) in program.func_info.iter().filter(|(start, _)| *start == InsnIdx(at)) {
            let _ = writeln!(out, "  ; function type {} {:?}", ty.0, spec.btf.as_ref().unwrap().name(*ty));
        }
        for (_, line) in program.line_info.iter().filter(|(start, _)| *start == InsnIdx(at)) {
            let btf = spec.btf.as_ref().unwrap();
            let (file, text) = (btf.string(line.file), btf.string(line.line));
            let _ = writeln!(out, "  ; {file}:{}:{}: {}", line.number(), line.column(), text.trim());
        }
        let _ = write!(out, "{at:5}  {}", slot(*insn));
        if let Some(patch) = changed(at) {
            let _ = write!(out, "  was {}: {}", slot(patch.before), patch.reason.words(spec.btf.as_ref()));
        }
        if let Some((_, map)) = map_at(at) {
            let _ = write!(out, "  <- map {}", map.0);
        }
        out.push('\n');
    }
}

/// What a plan refuses and fills, and then the calls that it makes of a kernel that says yes.
pub(crate) fn plan(plan: &LoadPlan<'_>, calls: &str) -> String {
    let spec = &plan.object.spec;
    let mut out = String::new();
    for (create, error) in &plan.refused_maps {
        let _ = writeln!(out, "map {:?} refused: {error}", create.slot);
    }
    for (id, error) in &plan.refused {
        let _ = writeln!(out, "program {} refused: {error}", id.0);
    }
    for fill in plan.fills() {
        let value = match fill.value {
            SlotValue::Program(id) => format!("program {:?}", spec.program(id).unwrap().name),
            SlotValue::Map(id) => format!("map {:?}", spec.map_name(id)),
        };
        let _ = writeln!(out, "slot {} of {:?}: {value} ({})", fill.key, spec.map_name(fill.map), fill.from);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out + calls
}
