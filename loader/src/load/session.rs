//! A load under way: one method a step, and what the steps have made so far.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::hints::says_unknown;
use super::made::MadeMaps;
use super::parallel::{self, Ahead, OnFailure};
use super::pins::Pins;
use super::program::Taken;
use super::slot::{self, Content};
use super::{
    FilledSlot, Given, LoadError, LoadedMap, LoadedObject, LoadedProgram, LogPolicy, Note, SharedPin, Table,
};
use crate::core_relo::Location;
use crate::plan::{
    CreateMap, FillSlot, LoadPlan, LoadProgram, MapSlot, Pin, PinTarget, PinnedMap, SlotSource, SlotValue,
    Step,
};
use crate::spec::{MapId, MapSpec, ObjectSpec, ProgId};
use crate::sys::{
    BtfLoad, Errno, Hook, Kernel, LogRequest, MapCreate, MapTypes, MapUpdate, MapValue, Mapping, Named,
};
use crate::uapi::{MapFlags, MapType, UpdateFlags};

/// Size of the log buffer that is tried first, in **bytes**.
pub(super) const FIRST_LOG: u32 = 64 << 10;

/// What recordings call a map that the caller gave as an example of inner maps.
const GIVEN_INNER: &str = "given inner map";

/// A load under way. Dropping it undoes everything: descriptors and pins are all there is.
#[derive(Debug)]
pub(super) struct Session<'p, 'k, K: Kernel> {
    pub(super) plan: &'p LoadPlan<'p>,
    pub(super) kernel: &'k K,
    pub(super) log: LogPolicy,
    jobs: Option<NonZeroUsize>,
    on_failure: OnFailure,
    btf: Option<OwnedFd>,
    maps: MadeMaps<'p>,
    memory: BTreeMap<MapId, Mapping>,
    /// Types of modules that programs refer to, by position in the object's answers.
    modules: BTreeMap<usize, OwnedFd>,
    programs: BTreeMap<ProgId, Taken>,
    /// Programs whose functions those of the object attach to.
    targets: BTreeMap<ProgId, OwnedFd>,
    /// Programs that several threads have loaded before their step; `None` before the first.
    ahead: Option<Ahead>,
    /// Time that the last program took, in whichever thread.
    pub(super) took: Duration,
    slots: Vec<FilledSlot>,
    pins: Pins<'k, K>,
    /// What the kernel refused, and went without.
    notes: Vec<Note>,
    /// Maps that are shared by their pins.
    shared: BTreeMap<MapId, SharedPin>,
}

impl<'p, 'k, K: Kernel> Session<'p, 'k, K> {
    pub(super) fn new(plan: &'p LoadPlan<'p>, kernel: &'k K, given: Given, on_failure: OnFailure) -> Self {
        let spec = &plan.object.spec;
        let mut maps = MadeMaps::with_room(spec.maps.len());
        for (id, fd) in given.maps {
            maps.insert(MapSlot::Map(id), (spec.map_name(id), fd));
        }
        for (id, fd) in given.inner {
            maps.insert(MapSlot::Template(id), (GIVEN_INNER, fd));
        }
        Self {
            plan,
            kernel,
            log: given.log,
            jobs: given.jobs,
            on_failure,
            btf: None,
            maps,
            memory: BTreeMap::new(),
            modules: BTreeMap::new(),
            programs: BTreeMap::new(),
            targets: given.targets,
            ahead: None,
            took: Duration::ZERO,
            slots: Vec::new(),
            pins: Pins::new(kernel),
            notes: spec.btf_defect.iter().map(|why| Note::Types { why: (**why).clone() }).collect(),
            shared: BTreeMap::new(),
        }
    }

    /// Makes the call of one step, and its fallback where the plan has one.
    pub(super) fn step(&mut self, step: &'p Step) -> Result<(), LoadError> {
        match step {
            Step::LoadBtf(data) => self.load_btf(data),
            Step::CreateMap(create) => {
                let (fd, note) = self.create_map(create)?;
                let said = self.size_given(create).or_else(|| self.inner_made_up(create));
                self.notes.extend(note.into_iter().chain(said));
                self.maps.insert(create.slot, (&create.name, fd));
            }
            Step::SetData(map) => self.set_data(*map)?,
            Step::MapMemory { map, address, len } => {
                let memory = self.map_memory(*map, *address, *len)?;
                self.memory.insert(*map, memory);
            }
            Step::Freeze(map) => self.freeze(*map)?,
            Step::ModuleBtf(module) => {
                let fd = self.open_module(*module)?;
                self.modules.insert(*module, fd);
            }
            Step::LoadProgram(load) => {
                let taken = self.load_next(load)?;
                self.notes.extend(self.type_found(load, &taken.load));
                self.notes.extend(self.inner_found(load, &taken.inner));
                self.programs.insert(load.program, taken);
            }
            Step::FillSlot(fill) if self.holds_its_own(fill) => {}
            Step::FillSlot(fill) => {
                let filled = self.fill_slot(fill)?;
                self.slots.push(filled);
            }
            Step::PinDir(dir) => self.pins.make_dir(dir)?,
            Step::PinnedMap(pinned) => self.pinned_map(pinned)?,
            Step::Pin(pin) => self.pin(pin)?,
        }
        Ok(())
    }

    /// What was made, in the object's order.
    pub(super) fn finish(mut self) -> LoadedObject {
        let spec = &self.plan.object.spec;
        let maps = self.maps.into_own().filter_map(|(id, fd)| {
            let map = spec.map(id)?;
            let memory = self.memory.remove(&id);
            let shared = self.shared.remove(&id);
            let ops = self.plan.object.answers.struct_ops.get(&id).and_then(|ops| ops.as_ref().ok());
            let by_link = map.flags.contains(MapFlags::LINK);
            let table = ops.map(|ops| Table { ops: ops.clone(), by_link });
            Some(LoadedMap { id, name: map.name.to_string(), ty: map.ty, fd, memory, shared, table })
        });
        let programs = self.programs.into_iter().filter_map(|(id, Taken { load, fd, .. })| {
            let program = spec.program(id)?;
            let (name, section, kind) = (program.name.clone(), program.section.clone(), program.kind.clone());
            Some(LoadedProgram { id, name, section, kind, ty: load.ty, attach: load.attach, fd })
        });
        LoadedObject {
            maps: maps.collect(),
            programs: programs.collect(),
            slots: self.slots,
            pins: self.pins.keep(),
            notes: self.notes,
        }
    }

    /// What the kernel refused and went without, and everything that was made.
    pub(super) fn end(self) -> (Vec<Note>, Vec<OwnedFd>) {
        let maps = self.maps.into_descriptors();
        let programs =
            self.programs.into_values().flat_map(|taken| taken.tables.into_values().chain([taken.fd]));
        let made = maps.chain(programs).chain(self.modules.into_values()).chain(self.btf);
        (self.notes, made.collect())
    }

    /// The object.
    pub(super) fn spec(&self) -> &'p ObjectSpec {
        &self.plan.object.spec
    }

    /// The descriptor of a map that was made, with its name.
    pub(super) fn map(&self, slot: MapSlot) -> Option<Named<'_>> {
        self.maps.get(slot).map(|(name, fd)| Named { name, fd: fd.as_fd() })
    }

    /// The descriptor of a program that was loaded, with its name.
    pub(super) fn program(&self, id: ProgId) -> Option<Named<'_>> {
        let Taken { fd, .. } = self.programs.get(&id)?;
        Some(Named { name: &self.spec().program(id)?.name, fd: fd.as_fd() })
    }

    /// What is to be said about a map whose definition leaves the number of entries open.
    fn size_given(&self, create: &CreateMap) -> Option<Note> {
        let MapSlot::Map(id) = create.slot else {
            return None;
        };
        // Everybody gives a perf_event_array one entry a CPU.
        let open = |map: &&MapSpec| map.max_entries == 0 && map.ty != MapType::PERF_EVENT_ARRAY;
        self.spec().map(id).filter(open).filter(|_| create.max_entries != 0)?;
        Some(Note::SizeGiven { map: create.name.to_string(), max_entries: create.max_entries })
    }

    /// As what a program was loaded, if it was.
    pub(super) fn loaded_as(&self, id: ProgId) -> Option<&LoadProgram> {
        self.programs.get(&id).map(|taken| &taken.load)
    }

    /// What is to be said about a program's type, if nobody says it or if it is another.
    fn type_found(&self, load: &LoadProgram, taken: &LoadProgram) -> Option<Note> {
        let as_said = load.said && (load.ty, load.attach) == (taken.ty, taken.attach);
        let program = self.spec().program(load.program).filter(|_| !as_said)?;
        let (program, section) = (program.name.clone(), program.section.clone());
        Some(Note::TypeFound { program, section, ty: taken.ty })
    }

    /// The next program: already loaded by a thread, or loaded now.
    fn load_next(&mut self, load: &LoadProgram) -> Result<Taken, LoadError> {
        let mut ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => parallel::load_ahead(self, self.jobs, self.on_failure),
        };
        let loaded = ahead.remove(&load.program);
        self.ahead = Some(ahead);
        let (result, took) = loaded.unwrap_or_else(|| parallel::timed(|| self.load_program(load)));
        self.took = took;
        result
    }

    fn load_btf(&mut self, data: &[u8]) {
        let request = BtfLoad { name: &self.spec().name, data, log: None };
        // Types help people and the verifier; what cannot do without them says so when it is refused.
        let mut reply = self.kernel.btf_load(&request);
        if let Err(errno) = reply.fd {
            // Who may not ask is told nothing.
            if errno != Errno::EPERM {
                let log = Some(LogRequest { level: 1, size: FIRST_LOG });
                reply = self.kernel.btf_load(&BtfLoad { log, ..request });
            }
            if reply.fd.is_err() {
                self.notes.push(Note::Btf { errno, log: reply.log });
            }
        }
        self.btf = reply.fd.ok();
    }

    pub(super) fn btf(&self) -> Option<Named<'_>> {
        self.btf.as_ref().map(|fd| Named { name: &self.spec().name, fd: fd.as_fd() })
    }

    pub(super) fn create_map(&self, create: &CreateMap) -> Result<(OwnedFd, Option<Note>), LoadError> {
        let inner = match create.inner {
            Some(slot) => {
                Some(self.map(slot).ok_or_else(|| self.missing(&format!("map {:?}", create.name), slot))?)
            }
            None => None,
        };
        self.create_map_of(create, inner)
    }

    /// The same with this map as an example of inner maps.
    pub(super) fn create_map_of(
        &self,
        create: &CreateMap,
        inner: Option<Named<'_>>,
    ) -> Result<(OwnedFd, Option<Note>), LoadError> {
        let types = self.btf().zip(create.types).map(|(btf, (key, value))| MapTypes { btf, key, value });
        let request = MapCreate {
            name: &create.name,
            kernel_name: create.kernel_name.as_str(),
            ty: create.ty,
            key_size: create.key_size,
            value_size: create.value_size,
            max_entries: create.max_entries,
            flags: create.flags,
            numa_node: create.numa_node,
            map_extra: create.map_extra,
            inner,
            types,
            kernel_value: create.kernel_value.as_deref().map(|at| self.located(*at)).transpose()?,
        };
        let mut result = self.kernel.map_create(&request).map(|fd| (fd, None));
        let can_do_without = types.filter(|_| create.kernel_value.is_none());
        if let (Err(errno), Some(_)) = (&result, can_do_without) {
            let note = Note::MapTypes { map: create.name.to_string(), errno: *errno };
            let without = self.kernel.map_create(&MapCreate { types: None, ..request });
            result = without.map(|fd| (fd, Some(note)));
        }
        result.map_err(|errno| self.map_refused(create, types.is_some(), errno))
    }

    fn map_refused(&self, create: &CreateMap, typed: bool, errno: Errno) -> LoadError {
        let beyond = create.beyond(self.plan.kernel);
        // Where the version says why, the attributes need not.
        let asked = beyond.is_none() && says_unknown(errno);
        let fault = asked.then(|| create.fault(self.plan.page_size, typed)).flatten();
        LoadError::MapCreate {
            map: create.name.to_string(),
            ty: create.ty,
            key_size: create.key_size,
            value_size: create.value_size,
            max_entries: create.max_entries,
            beyond: beyond.map(Box::new),
            fault: fault.map(Box::new),
            errno,
        }
    }

    fn missing(&self, what: &str, slot: MapSlot) -> LoadError {
        let (MapSlot::Map(id) | MapSlot::Template(id) | MapSlot::Copy(id, _)) = slot;
        LoadError::MapMissing { what: what.to_string(), map: self.spec().map_name(id).to_string() }
    }

    /// A map that is to be filled, frozen or referred to.
    pub(super) fn made(&self, slot: MapSlot, what: &str) -> Result<Named<'_>, LoadError> {
        self.map(slot).ok_or_else(|| self.missing(what, slot))
    }

    fn set_data(&self, id: MapId) -> Result<(), LoadError> {
        let map = self.made(MapSlot::Map(id), "initial data")?;
        let data = self.spec().map(id).and_then(|map| map.data.as_deref()).unwrap_or_default();
        let (key, value) = (&0u32.to_ne_bytes(), MapValue::Bytes(data));
        let result = self.kernel.map_update(&MapUpdate { map, key, value, flags: UpdateFlags::empty() });
        let failed =
            |errno| LoadError::MapData { map: map.name.to_string(), command: "BPF_MAP_UPDATE_ELEM", errno };
        result.map_err(failed)
    }

    fn map_memory(&self, id: MapId, address: u64, len: u64) -> Result<Mapping, LoadError> {
        let map = self.made(MapSlot::Map(id), "its memory")?;
        let failed = |errno| LoadError::MapData { map: map.name.to_string(), command: "mmap(2)", errno };
        let len = usize::try_from(len).map_err(|_too_large| failed(Errno::ENOMEM))?;
        let mut memory = self.kernel.map_memory(map, address, len).map_err(failed)?;
        memory.write(self.spec().map(id).and_then(|map| map.data.as_deref()).unwrap_or_default());
        Ok(memory)
    }

    fn freeze(&self, id: MapId) -> Result<(), LoadError> {
        let map = self.made(MapSlot::Map(id), "initial data")?;
        let failed =
            |errno| LoadError::MapData { map: map.name.to_string(), command: "BPF_MAP_FREEZE", errno };
        self.kernel.map_freeze(map).map_err(failed)
    }

    fn open_module(&self, module: usize) -> Result<OwnedFd, LoadError> {
        let name = self.module_name(module);
        let failed = |errno| LoadError::ModuleBtf { module: name.to_string(), errno };
        self.kernel.module_btf(name).map_err(failed)
    }

    fn module_name(&self, module: usize) -> &'p str {
        self.plan.object.answers.modules.get(module).map_or("?", String::as_str)
    }

    pub(super) fn module(&self, module: usize) -> Result<Named<'_>, LoadError> {
        let name = self.module_name(module);
        let missing = || LoadError::NotInPlan { what: format!("module {name:?}") };
        let fd = self.modules.get(&module).ok_or_else(missing)?;
        Ok(Named { name, fd: fd.as_fd() })
    }

    pub(super) fn located(&self, at: Location) -> Result<Hook<'_>, LoadError> {
        let of = at.module.map(|module| self.module(module)).transpose()?;
        Ok(Hook { id: at.id, of })
    }

    /// What a program attaches to: a type of the kernel, of a module, or of a program that was given.
    pub(super) fn hook(&self, load: &LoadProgram) -> Result<Option<Hook<'_>>, LoadError> {
        let Some(at) = load.hook.filter(|_| load.of_program) else {
            return load.hook.map(|at| self.located(at)).transpose();
        };
        let spec = self.spec().program(load.program);
        let name = spec.and_then(|program| program.of.as_ref()).map_or("?", |of| of.name.as_str());
        let missing = || LoadError::NotInPlan { what: format!("program {name}, to attach to,") };
        let fd = self.targets.get(&load.program).ok_or_else(missing)?;
        Ok(Some(Hook { id: at.id, of: Some(Named { name, fd: fd.as_fd() }) }))
    }

    /// The table that a slot is of: the program's own, or a copy, if it uses one.
    fn table_of(&self, fill: &FillSlot) -> Result<Named<'_>, LoadError> {
        let taken = match fill.value {
            SlotValue::Program(id) => self.programs.get(&id),
            SlotValue::Map(_) => None,
        };
        if let Some(own) = taken.and_then(|taken| taken.tables.get(&fill.map)) {
            return Ok(Named { name: self.spec().map_name(fill.map), fd: own.as_fd() });
        }
        let copy = taken.and_then(|taken| taken.load.copies.get(&fill.map));
        let slot = copy.map_or(MapSlot::Map(fill.map), |copy| MapSlot::Copy(fill.map, *copy));
        self.made(slot, "a slot")
    }

    fn fill_slot(&self, fill: &FillSlot) -> Result<FilledSlot, LoadError> {
        let map = self.table_of(fill)?;
        let (content, value) = match fill.value {
            SlotValue::Map(id) => {
                let inner = self.made(MapSlot::Map(id), "a slot")?;
                (Content::Map(inner), inner)
            }
            SlotValue::Program(id) => {
                let missing = || LoadError::NotInPlan { what: format!("program {}", id.0) };
                let program = self.program(id).ok_or_else(missing)?;
                (Content::Program(program), program)
            }
        };
        let id = slot::fill(self.kernel, map, fill.key, content)?;
        Ok(FilledSlot { fill: *fill, map: map.name.to_string(), value: value.name.to_string(), id })
    }

    /// A map that was pinned already keeps what it holds; only programs are this load's to put there, as libbpf has it.
    fn holds_its_own(&self, fill: &FillSlot) -> bool {
        let of_the_object = fill.from == SlotSource::Values && matches!(fill.value, SlotValue::Map(_));
        of_the_object && self.shared.get(&fill.map).is_some_and(|pin| pin.reused)
    }

    /// Takes what is pinned, or makes the map and pins it. Somebody may pin one in between, so it is looked for twice.
    ///
    /// Source: libbpf `bpf_object__create_maps`.
    fn pinned_map(&mut self, pinned: &'p PinnedMap) -> Result<(), LoadError> {
        let missing = || LoadError::NotInPlan { what: format!("what map {} looks like", pinned.map.0) };
        let create = pinned.create().ok_or_else(missing)?;
        for last in [false, true] {
            if let Some(fd) = self.pins.open_map(create, &pinned.path)? {
                self.maps.insert(MapSlot::Map(pinned.map), (&create.name, fd));
                self.shared.insert(pinned.map, SharedPin { path: pinned.path.clone(), reused: true });
                return Ok(());
            }
            for step in &pinned.make {
                self.step(step)?;
            }
            let (_, map) = self.maps.get(MapSlot::Map(pinned.map)).ok_or_else(missing)?;
            let handle = Named { name: &create.name, fd: map.as_fd() };
            match self.pins.pin(handle, &pinned.path, true) {
                Err(LoadError::Pin { errno: Errno::EEXIST, .. }) if !last => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let pin = SharedPin { path: pinned.path.clone(), reused: false };
                    self.shared.insert(pinned.map, pin);
                    return Ok(());
                }
            }
            self.maps.remove(pinned.map);
            self.memory.remove(&pinned.map);
        }
        Ok(())
    }

    fn pin(&mut self, pin: &Pin) -> Result<(), LoadError> {
        let missing = |what| LoadError::NotInPlan { what: format!("{what} to pin as {}", pin.path) };
        let spec = self.spec();
        let handle = match pin.what {
            PinTarget::Map(id) => {
                let (_, fd) = self.maps.get(MapSlot::Map(id)).ok_or_else(|| missing("a map"))?;
                Named { name: spec.map_name(id), fd: fd.as_fd() }
            }
            PinTarget::Program(id) => {
                let Taken { fd, .. } = self.programs.get(&id).ok_or_else(|| missing("a program"))?;
                Named { name: spec.program(id).map_or("?", |program| &program.name), fd: fd.as_fd() }
            }
        };
        self.pins.pin(handle, &pin.path, false)
    }
}
