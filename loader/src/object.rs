//! [`Object`]: an object file that is read and not loaded yet, to look at and to change.
//!
//! A thin face on the pipeline for programs that embed the loader. Changes are written into the object's meaning, before
//! it is linked; nothing is asked of the kernel here. [`Loader`](crate::Loader) takes it from there.

mod struct_ops;
mod targets;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::btf::{Btf, Kind, SecVar};
use crate::bytes::to_usize;
use crate::error::Error;
use crate::plan::{FillSlot, SlotSource, SlotValue};
use crate::spec::{Dialects, Inner, MapId, MapOrigin, MapSpec, ObjectSpec, Pinning, ProgId, ProgramSpec};
use crate::uapi::{MapType, ProgType};

/// An object file that is read and not loaded yet.
///
/// Maps, programs and variables go by their names in the C source; internal maps (`.data`, `.rodata`, `.bss`) also by
/// their section.
#[derive(Debug)]
pub struct Object {
    pub(crate) spec: ObjectSpec,
    pub(crate) types: BTreeMap<ProgId, ProgType>,
    pub(crate) reused: BTreeMap<MapId, OwnedFd>,
    pub(crate) inner: BTreeMap<MapId, OwnedFd>,
    pub(crate) targets: BTreeMap<ProgId, OwnedFd>,
    pub(crate) slots: Vec<FillSlot>,
}

/// The section of the kernel's configuration.
const KCONFIG: &str = ".kconfig";

/// The section of variables in an arena.
const ARENA: &str = ".addr_space.1";

/// Where a global variable stands.
struct Place {
    map: MapId,
    start: usize,
    len: usize,
}

impl Object {
    /// Reads an object file.
    ///
    /// # Errors
    /// [`Error::Open`] and [`Error::TooLarge`] if it cannot be read, [`Error::Spec`] if it cannot be understood.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = crate::read_file(path)?;
        Self::from_bytes(&crate::object_name(path), &bytes)
    }

    /// Reads an object from memory. The names of internal maps begin with `name`, as those of a file do with the file's
    /// name up to its first dot.
    ///
    /// # Errors
    /// [`Error::Spec`] if it cannot be understood.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        Self::with_dialects(name, bytes, Dialects::default())
    }

    /// Reads an object from memory whose map definitions or section names are ambiguous.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes).
    pub fn with_dialects(name: &str, bytes: &[u8], dialects: Dialects) -> Result<Self, Error> {
        Ok(Self::from(crate::read(name, bytes, dialects)?))
    }

    /// Reads object files and joins them into one: what one declares (`extern`), another defines. The whole goes by the
    /// first one's name.
    ///
    /// # Errors
    /// [`Error::Open`] if one cannot be read, [`Error::Join`] if one cannot be understood or they do not fit together.
    pub fn open_joined(paths: &[impl AsRef<Path>]) -> Result<Self, Error> {
        let read = |path: &Path| Ok((path.display().to_string(), crate::read_file(path)?));
        let files = paths.iter().map(|path| read(path.as_ref())).collect::<Result<Vec<_>, Error>>()?;
        let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), &**bytes)).collect();
        let name = paths.first().map(|path| crate::object_name(path.as_ref())).unwrap_or_default();
        Self::join(&name, &files)
    }

    /// Joins objects from memory, each given with what it is called in errors. `name` is the name of the whole, as in
    /// [`from_bytes`](Self::from_bytes).
    ///
    /// # Errors
    /// [`Error::Join`] if one cannot be understood or they do not fit together.
    pub fn join(name: &str, files: &[(&str, &[u8])]) -> Result<Self, Error> {
        Ok(Self::from(crate::read_joined(name, files, Dialects::default())?))
    }

    /// What it defines, with all changes so far.
    pub fn spec(&self) -> &ObjectSpec {
        &self.spec
    }

    /// Its maps in definition order: names, types, sections, sizes.
    pub fn maps(&self) -> &[MapSpec] {
        &self.spec.maps
    }

    /// Its programs in definition order: names, sections, and what those say about types.
    pub fn programs(&self) -> &[ProgramSpec] {
        &self.spec.programs
    }

    /// The map of this name.
    ///
    /// # Errors
    /// [`Error::NotInObject`] with the names that there are.
    pub fn map(&self, name: &str) -> Result<&MapSpec, Error> {
        let id = self.map_id(name)?;
        self.spec.map(id).ok_or_else(|| self.no_map(name))
    }

    /// The program of this name.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn program(&self, name: &str) -> Result<&ProgramSpec, Error> {
        let id = self.program_id(name)?;
        self.spec.program(id).ok_or_else(|| self.no_program(name))
    }

    /// What type a program will have: the one it was given, or the one that its section says, if it does.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn program_type(&self, name: &str) -> Result<Option<ProgType>, Error> {
        let given = self.types.get(&self.program_id(name)?).copied();
        Ok(given.or(self.program(name)?.kind.ty))
    }

    /// Lets a map have so many **elements** (**bytes** for ring buffers).
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn set_max_entries(&mut self, map: &str, max_entries: u32) -> Result<(), Error> {
        let id = self.map_id(map)?;
        if let Some(map) = self.spec.maps.get_mut(id.index()) {
            map.max_entries = max_entries;
        }
        Ok(())
    }

    /// Loads a program as this type, whatever its section says.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn set_program_type(&mut self, program: &str, ty: ProgType) -> Result<(), Error> {
        let id = self.program_id(program)?;
        self.types.insert(id, ty);
        Ok(())
    }

    /// Says what the license of its programs is, whatever the object says: some functions are for `GPL` only.
    pub fn set_license(&mut self, license: &str) {
        self.spec.license = license.to_string();
    }

    /// Says whether a program is loaded; without a word all are whose section has no leading `?`.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn set_autoload(&mut self, program: &str, autoload: bool) -> Result<(), Error> {
        let id = self.program_id(program)?;
        if let Some(program) = self.spec.programs.get_mut(id.index()) {
            program.autoload = autoload;
        }
        Ok(())
    }

    /// Puts a program into a slot of a jump table, once both are loaded.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn set_tail_call(&mut self, map: &str, key: u32, program: &str) -> Result<(), Error> {
        let (map, program) = (self.map_id(map)?, self.program_id(program)?);
        let value = SlotValue::Program(program);
        self.slots.push(FillSlot { map, key, value, from: SlotSource::Given });
        Ok(())
    }

    /// Uses an open map in place of one of the object's, which is then not created. Its type and the sizes of its keys
    /// and values must agree; that is asked when the object is loaded.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn reuse_map(&mut self, map: &str, fd: OwnedFd) -> Result<(), Error> {
        let id = self.map_id(map)?;
        self.reused.insert(id, fd);
        Ok(())
    }

    /// Lets the inner maps of a map of maps look like another map of the object, whatever the object says.
    ///
    /// # Errors
    /// As [`map`](Self::map), and [`Error::HoldsNoMaps`] if it is no map of maps.
    pub fn set_inner_map(&mut self, map: &str, like: &str) -> Result<(), Error> {
        let id = self.map_of_maps(map)?;
        let like = self.map(like)?;
        // An example is created and thrown away: what the other map holds and where it is pinned is not its own.
        let unlike = MapSpec { slots: Vec::new(), data: None, pinning: Pinning::None, ..like.clone() };
        let template = MapSpec { name: format!("{map}.inner").into(), frozen: false, ..unlike };
        if let Some(map) = self.spec.maps.get_mut(id.index()) {
            map.inner = Some(Inner::Template(Box::new(template)));
        }
        self.inner.remove(&id);
        Ok(())
    }

    /// Lets the inner maps of a map of maps look like an open map, whatever the object says. Only its properties are
    /// taken; it becomes no part of the object.
    ///
    /// Source: libbpf `bpf_map__set_inner_map_fd`.
    ///
    /// # Errors
    /// As [`set_inner_map`](Self::set_inner_map).
    pub fn set_inner_map_fd(&mut self, map: &str, fd: OwnedFd) -> Result<(), Error> {
        let id = self.map_of_maps(map)?;
        self.inner.insert(id, fd);
        Ok(())
    }

    /// What a global variable holds when the object is loaded, in this machine's byte order.
    ///
    /// # Errors
    /// [`Error::NotInObject`] if no variable goes by this name, or the object was compiled without `-g`.
    pub fn global(&self, name: &str) -> Result<Vec<u8>, Error> {
        let Place { map, start, len } = self.place_of(name)?;
        let data = self.spec.map(map).and_then(|map| map.data.as_deref()).unwrap_or_default();
        // Sections of zeroes hold none.
        let mut value: Vec<u8> = data.iter().skip(start).take(len).copied().collect();
        value.resize(len, 0);
        Ok(value)
    }

    /// Lets a global variable hold these bytes when the object is loaded; constants (`const volatile`), too.
    ///
    /// # Errors
    /// As [`global`](Self::global), and [`Error::DataSize`] if they are not as many as the variable has.
    pub fn set_global(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let Place { map, start, len } = self.place_of(name)?;
        check_size("global variable", name, len, bytes)?;
        let place = self.data_of(map).into_iter().flatten().skip(start);
        place.zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    /// Lets a whole section of global variables hold these bytes when the object is loaded. Needs no `-g`.
    ///
    /// # Errors
    /// [`Error::NotInObject`] if there is no such section of variables, [`Error::DataSize`] if the bytes are not as many
    /// as it has.
    pub fn set_section(&mut self, section: &str, bytes: &[u8]) -> Result<(), Error> {
        let id = self.section_map(section).ok_or_else(|| self.no_section(section))?;
        let len = self.spec.map(id).map_or(0, room_for_data);
        check_size("data section", section, len, bytes)?;
        let place = self.data_of(id).into_iter().flatten();
        place.zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    /// The data of a map of global variables, all of it: sections of zeroes have none until somebody writes there.
    fn data_of(&mut self, id: MapId) -> Option<&mut Vec<u8>> {
        let map = self.spec.maps.get_mut(id.index())?;
        let size = room_for_data(map);
        let data = map.data.get_or_insert_default();
        data.resize(size, 0);
        Some(data)
    }

    fn place_of(&self, name: &str) -> Result<Place, Error> {
        let btf = self.spec.btf.as_ref().ok_or_else(|| self.no_global(name))?;
        for (map, vars) in self.sections(btf) {
            let Some(var) = vars.iter().find(|var| btf.name(var.var) == name) else {
                continue;
            };
            let (start, len) = (to_usize(var.offset), to_usize(var.size));
            let room = self.spec.map(map).map_or(0, room_for_data);
            if start.checked_add(len).is_some_and(|end| end <= room) {
                return Ok(Place { map, start, len });
            }
        }
        Err(self.no_global(name))
    }

    /// Sections of global variables: their maps, and the variables in them.
    fn sections<'b>(&self, btf: &'b Btf) -> impl Iterator<Item = (MapId, &'b [SecVar])> {
        btf.types.iter().filter_map(|ty| {
            let Kind::Datasec { vars, .. } = &ty.kind else {
                return None;
            };
            Some((self.section_map(&btf.string(ty.name))?, vars.as_slice()))
        })
    }

    /// The map that holds a section of global variables; those of the kernel's configuration are the kernel's to set.
    fn section_map(&self, section: &str) -> Option<MapId> {
        let holds = |map: &MapSpec| match section {
            KCONFIG => false,
            ARENA => map.ty == MapType::ARENA && map.data.is_some(),
            _ => map.origin == MapOrigin::Internal && *map.section == *section,
        };
        self.spec.maps.iter().position(holds).map(MapId::new)
    }

    fn map_id(&self, name: &str) -> Result<MapId, Error> {
        let by_name = self.spec.maps.iter().position(|map| *map.name == *name).map(MapId::new);
        by_name.or_else(|| self.section_map(name)).ok_or_else(|| self.no_map(name))
    }

    fn map_of_maps(&self, name: &str) -> Result<MapId, Error> {
        let ty = self.map(name)?.ty;
        match ty {
            MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => self.map_id(name),
            _ => Err(Error::HoldsNoMaps { map: name.to_string(), ty }),
        }
    }

    fn program_id(&self, name: &str) -> Result<ProgId, Error> {
        let found = self.spec.programs.iter().position(|program| program.name == name);
        found.map(ProgId::new).ok_or_else(|| self.no_program(name))
    }

    fn no_map(&self, name: &str) -> Error {
        missing("map", name, self.spec.maps.iter().map(|map| map.name.to_string()))
    }

    fn no_program(&self, name: &str) -> Error {
        missing("program", name, self.spec.programs.iter().map(|program| program.name.clone()))
    }

    fn no_section(&self, name: &str) -> Error {
        let sections = self.spec.maps.iter().map(|map| &*map.section);
        let sections = sections.filter(|section| self.section_map(section).is_some());
        missing("data section", name, sections.map(String::from))
    }

    fn no_global(&self, name: &str) -> Error {
        let Some(btf) = &self.spec.btf else {
            let there_are =
                "without BTF nobody knows its variables: compile with -g, or set the whole section";
            let name = name.to_string();
            return Error::NotInObject { what: "global variable", name, there_are: there_are.to_string() };
        };
        let vars = self.sections(btf).flat_map(|(_, vars)| vars);
        missing("global variable", name, vars.map(|var| btf.name(var.var).into_owned()))
    }
}

impl From<ObjectSpec> for Object {
    /// An object that was read by hand, stage by stage.
    fn from(spec: ObjectSpec) -> Self {
        Self {
            spec,
            types: BTreeMap::new(),
            reused: BTreeMap::new(),
            inner: BTreeMap::new(),
            targets: BTreeMap::new(),
            slots: Vec::new(),
        }
    }
}

/// **Bytes** that a map of global variables holds.
fn room_for_data(map: &MapSpec) -> usize {
    match map.origin {
        MapOrigin::Internal => to_usize(map.value_size),
        MapOrigin::Btf | MapOrigin::Legacy(..) => map.data.as_ref().map_or(0, Vec::len),
    }
}

fn check_size(what: &'static str, name: &str, expected: usize, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() == expected {
        return Ok(());
    }
    Err(Error::DataSize { what, name: name.to_string(), expected, given: bytes.len() })
}

fn missing(what: &'static str, name: &str, there_are: impl Iterator<Item = String>) -> Error {
    let names: Vec<String> = there_are.collect();
    let there_are =
        if names.is_empty() { "it has none".to_string() } else { format!("it has {}", names.join(", ")) };
    Error::NotInObject { what, name: name.to_string(), there_are }
}
