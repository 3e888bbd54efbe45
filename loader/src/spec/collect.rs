//! From the ELF view to the object's meaning: `collect` asks the other files of this room in turn.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::function::{self, Place, holds_code};
use super::reloc::{self, Directory};
use super::{
    Dialects, FuncId, Function, MapId, MapSpec, ObjectSpec, ProgramSpec, RelocTarget, Slot, SlotTarget,
    SpecError, btf_fixup, btf_map, data, exceptions, externs, legacy_map, section, struct_ops,
};
use crate::btf::{Btf, BtfExt, Editor};
use crate::bytes::{Reader, until_nul};
use crate::elf::{self, ElfObject};
use crate::insn::InsnIdx;
use crate::uapi::MapType;

/// The section whose functions are subprograms.
const TEXT: &str = ".text";

/// Reads everything that an object defines. `name` is the object's name: its file name up to the first dot.
///
/// # Errors
/// [`SpecError`]: the first thing that cannot be understood, and where it stands.
pub fn collect(elf: &ElfObject<'_>, name: &str, dialects: Dialects) -> Result<ObjectSpec, SpecError> {
    match types(elf) {
        Ok(types) => collect_with(elf, types, name, dialects),
        Err(why) if needs_types(elf) => Err(why),
        Err(why) => {
            let spec = collect_with(elf, Types::default(), name, dialects)?;
            Ok(ObjectSpec { btf_defect: Some(Box::new(why)), ..spec })
        }
    }
}

/// Sections whose meaning stands in types only.
const TYPED: &[&str] = &[btf_map::SECTION, ".struct_ops", data::ARENA];

/// Whether an object is nothing without its types: definitions by types, something of the kernel's that they name, or code
/// that is fitted to the kernel's types.
fn needs_types(elf: &ElfObject<'_>) -> bool {
    let typed = |name: &str| TYPED.iter().any(|beginning| name.starts_with(beginning));
    let by_name = elf.sections.iter().any(|section| section.size > 0 && typed(section.name));
    let undefined =
        |symbol: &elf::Symbol<'_>| symbol.place == elf::Place::Undefined && !symbol.name.is_empty();
    let asks = elf.section_named(".BTF.ext").is_some_and(|ext| BtfExt::may_ask(&ext.data, elf.endian));
    by_name || asks || elf.symbols.iter().any(undefined)
}

/// The same, with types that need not be those of the file's own section: [`crate::join`] makes such.
///
/// # Errors
/// As [`collect`].
pub fn collect_with(
    elf: &ElfObject<'_>,
    types: Types,
    name: &str,
    dialects: Dialects,
) -> Result<ObjectSpec, SpecError> {
    let places = function::find(elf)?;
    let Types { mut btf, ext } = types;
    let mut type_changes = Vec::new();
    if let Some(btf) = &mut btf {
        let mut types = Editor::new(btf);
        btf_fixup::apply(&mut types, elf, &places);
        type_changes = types.into_changes();
    }
    let mut dir = Directory::default();
    for (at, place) in places.iter().enumerate() {
        dir.functions.insert((place.section, u64::from(place.start)), FuncId::new(at));
    }
    let mut maps = maps(elf, name, btf.as_ref(), dialects, &mut dir)?;
    let externs = externs::collect(elf, btf.as_ref(), MapId::new(maps.len()));
    maps.extend(externs::kconfig_map(name, btf.as_ref())?);
    for struct_ops::Found { section, offset, spec } in struct_ops::maps(elf, btf.as_ref(), &dir)? {
        dir.maps.insert((section.idx, offset), MapId::new(maps.len()));
        maps.push(spec);
    }
    if let Some(btf) = &mut btf {
        let mut types = Editor::new(btf);
        externs::fix_btf(&mut types);
        type_changes.append(&mut types.into_changes());
    }
    let functions = functions(elf, &dir, &places, &ext)?;
    let mut programs = programs(elf, &places, &functions, dialects);
    if let Some(btf) = &btf {
        exceptions::assign(btf, &places, &functions, &mut programs);
    }
    Ok(ObjectSpec {
        name: name.to_string(),
        endian: elf.endian,
        license: license(elf),
        version: version(elf)?,
        maps,
        functions,
        programs,
        externs,
        btf,
        type_changes,
        btf_defect: None,
    })
}

/// The types of an object, as the compiler wrote them, and what they say about its code.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Types {
    /// `.BTF`, if it has one.
    pub btf: Option<Btf>,
    /// `.BTF.ext`.
    pub ext: BtfExt,
}

/// Reads the types of an object.
///
/// # Errors
/// [`SpecError::Btf`] if they are damaged.
pub fn types(elf: &ElfObject<'_>) -> Result<Types, SpecError> {
    let Some(section) = elf.section_named(".BTF").filter(|s| !s.data.is_empty()) else {
        return Ok(Types::default());
    };
    let btf = Btf::parse(&section.data, elf.endian)?;
    let ext = match elf.section_named(".BTF.ext").filter(|s| !s.data.is_empty()) {
        Some(section) => BtfExt::parse(&section.data, elf.endian, &btf)?,
        None => BtfExt::default(),
    };
    Ok(Types { btf: Some(btf), ext })
}

/// All maps in the order of `map_fd[]`.
fn maps(
    elf: &ElfObject<'_>,
    object: &str,
    btf: Option<&Btf>,
    dialects: Dialects,
    dir: &mut Directory,
) -> Result<Vec<MapSpec>, SpecError> {
    let mut maps: Vec<MapSpec> = Vec::new();
    for legacy_map::Found { section, offset, spec } in legacy_map::maps(elf, dialects.map) {
        dir.maps.insert((section, offset), MapId::new(maps.len()));
        maps.push(spec);
    }
    if let Some(section) = elf.section_named(btf_map::SECTION).filter(|s| s.size > 0) {
        let first = maps.len();
        let found = btf_map::maps(elf, section, btf, &mut maps);
        let ids = (first..).map(MapId::new);
        // Made at once: maps by the thousand are put in their place quicker than one by one.
        dir.maps.append(&mut found.iter().map(|map| (section.idx, map.offset)).zip(ids).collect());
        fill_slots(elf, dir, section, &found, maps.get_mut(first..).unwrap_or_default())?;
    }
    for section in &elf.sections {
        if let Some(map) = data::map(section, object, btf)? {
            dir.data.insert(section.idx, MapId::new(maps.len()));
            maps.push(map);
        }
    }
    if let Some(section) = elf.section_named(data::ARENA) {
        if let Some(at) = maps.iter().position(|map| map.ty == MapType::ARENA) {
            dir.data.insert(section.idx, MapId::new(at));
            if let Some(arena) = maps.get_mut(at).filter(|_| !section.data.is_empty()) {
                arena.data = Some(section.data.to_vec());
            }
        }
    }
    Ok(maps)
}

/// What the object puts into its maps of maps and of programs: relocations in their `values`. One that makes no sense is
/// the map's defect.
fn fill_slots(
    elf: &ElfObject<'_>,
    dir: &Directory,
    section: &elf::Section<'_>,
    places: &[btf_map::Found],
    maps: &mut [MapSpec],
) -> Result<(), SpecError> {
    for raw in &section.relocs {
        let wrong = |why: &str| SpecError::Relocation {
            section: section.name.to_string(),
            function: None,
            offset: raw.offset,
            symbol: elf.symbol(raw.symbol).map(|s| s.name.to_string()).unwrap_or_default(),
            why: why.to_string(),
        };
        let at = places.partition_point(|place| place.offset <= raw.offset).checked_sub(1);
        let Some((place, map)) = at.and_then(|at| Some((places.get(at)?, maps.get_mut(at)?))) else {
            return Err(wrong("it belongs to no map"));
        };
        match slot(elf, dir, place, raw) {
            Ok(slot) => map.slots.push(slot),
            Err(why) => {
                map.defect.get_or_insert_with(|| Box::new(wrong(why)));
            }
        }
    }
    for map in maps.iter_mut().filter(|map| map.defect.is_some()) {
        map.slots.clear();
    }
    Ok(())
}

fn slot(
    elf: &ElfObject<'_>,
    dir: &Directory,
    map: &btf_map::Found,
    raw: &elf::Reloc,
) -> Result<Slot, &'static str> {
    let values_at = map.values_at.and_then(|at| map.offset.checked_add(at));
    let bytes = values_at.and_then(|at| raw.offset.checked_sub(at)).filter(|bytes| bytes % 8 == 0);
    let key = bytes.and_then(|bytes| u32::try_from(bytes / 8).ok());
    let key = key.ok_or("it points to no entry of `values`")?;
    let place = elf.symbol(raw.symbol).and_then(|s| match s.place {
        elf::Place::Section(section) => Some((section, s.value.checked_add_signed(raw.addend)?)),
        elf::Place::Undefined | elf::Place::Elsewhere => None,
    });
    let function = place.and_then(|at| dir.functions.get(&at)).copied().map(SlotTarget::Program);
    let target = function.or_else(|| place.and_then(|at| dir.maps.get(&at)).copied().map(SlotTarget::Map));
    Ok(Slot { key, target: target.ok_or("it is neither a map nor a function")? })
}

/// All functions. Code that belongs to none is left alone, as is what it refers to: where files were joined, the weak
/// function that another one took the place of has no symbol any more, and nobody calls it.
fn functions(
    elf: &ElfObject<'_>,
    dir: &Directory,
    places: &[Place],
    ext: &BtfExt,
) -> Result<Vec<Function>, SpecError> {
    stray_relocations(elf)?;
    let mut functions = Vec::with_capacity(places.len());
    for place in places {
        let Some(section) = elf.section(place.section) else {
            continue;
        };
        let insns = function::code(section, place, elf.endian);
        let relocs = reloc::references(elf, dir, section, place, &insns)?;
        let position = |at: crate::insn::ByteOff| InsnIdx(at.0.saturating_sub(place.start) / 8);
        functions.push(Function {
            name: place.name.clone(),
            section: section.name.to_string(),
            offset: place.offset(),
            ty: inside(&ext.funcs, section.name, place, |f| f.at.0)
                .find(|f| f.at == place.offset())
                .map(|f| f.ty),
            lines: inside(&ext.lines, section.name, place, |l| l.at.0)
                .map(|l| (position(l.at), *l))
                .collect(),
            core_relos: inside(&ext.core_relos, section.name, place, |r| r.at.0)
                .map(|r| (position(r.at), *r))
                .collect(),
            insns,
            relocs,
        });
    }
    Ok(functions)
}

/// The records that lie in a function; they stand by offset.
fn inside<'e, T>(
    records: &'e BTreeMap<String, Vec<T>>,
    section: &str,
    place: &Place,
    at: impl Fn(&T) -> u32 + 'e,
) -> impl Iterator<Item = &'e T> {
    let all = records.get(section).map(Vec::as_slice).unwrap_or_default();
    let from = all.partition_point(|r| at(r) < place.start);
    let (_, rest) = all.split_at_checked(from).unwrap_or((&[], all));
    let to = rest.partition_point(|r| at(r) < place.end);
    rest.iter().take(to)
}

/// A relocation behind the end of its section would be lost in silence.
fn stray_relocations(elf: &ElfObject<'_>) -> Result<(), SpecError> {
    for section in elf.sections.iter().filter(|s| holds_code(s)) {
        let Some(raw) = section.relocs.iter().find(|raw| raw.offset >= section.size) else {
            continue;
        };
        return Err(SpecError::Relocation {
            section: section.name.to_string(),
            function: None,
            offset: raw.offset,
            symbol: elf.symbol(raw.symbol).map(|s| s.name.to_string()).unwrap_or_default(),
            why: "it lies behind the end of the section".to_string(),
        });
    }
    Ok(())
}

/// `.text`, and what `-ffunction-sections` makes of it: `.text.NAME`.
pub(super) fn is_text(section: &str) -> bool {
    section.strip_prefix(TEXT).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether all code of an object stands in `.text`.
pub(super) fn only_text(elf: &ElfObject<'_>) -> bool {
    elf.sections.iter().all(|s| !holds_code(s) || is_text(s.name))
}

/// Which functions are entry programs.
///
/// A function of a named section is one, unless it is static and somebody calls it. Functions of `.text` are
/// subprograms; only in an object whose other sections hold no code are they programs (without a type).
fn programs(
    elf: &ElfObject<'_>,
    places: &[Place],
    functions: &[Function],
    dialects: Dialects,
) -> Vec<ProgramSpec> {
    let relocs = functions.iter().flat_map(|f| &f.relocs);
    let used: BTreeSet<FuncId> = relocs
        .filter_map(|r| match r.target {
            RelocTarget::Call(func) | RelocTarget::FunctionAddress(func) => Some(func),
            RelocTarget::Map(_)
            | RelocTarget::MapValue { .. }
            | RelocTarget::Extern { .. }
            | RelocTarget::Broken { .. } => None,
        })
        .collect();
    let only_text = only_text(elf);
    let ids = (0..functions.len()).map(FuncId::new);
    let entries = ids.zip(functions).zip(places).filter(|((id, function), place)| {
        let called = used.contains(id);
        if is_text(&function.section) { only_text && !called } else { place.global || !called }
    });
    entries
        .map(|((func, function), _)| ProgramSpec {
            name: function.name.clone(),
            section: function.section.clone(),
            func,
            kind: section::classify(&function.section, dialects.section),
            autoload: !function.section.starts_with('?'),
            exception_callback: None,
            of: None,
        })
        .collect()
}

fn license(elf: &ElfObject<'_>) -> String {
    elf.section_named("license").map(|s| until_nul(&s.data)).unwrap_or_default()
}

fn version(elf: &ElfObject<'_>) -> Result<Option<u32>, SpecError> {
    let Some(section) = elf.section_named("version") else {
        return Ok(None);
    };
    let wrong_size = |_| SpecError::SectionSize {
        section: section.name.to_string(),
        size: section.size,
        expected: "but a kernel version has 4",
    };
    if section.data.len() != 4 {
        return Err(wrong_size(()));
    }
    Reader::new(&section.data, elf.endian).u32("version").map(Some).map_err(|_truncated| wrong_size(()))
}
