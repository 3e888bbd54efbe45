//! What is to be asked of the kernel, in which order, for this machine and these wishes.
//!
//! A [`LoadPlan`] is a list of steps; each step is one kernel call, or one with its fallback written beside it. Nothing
//! is decided while it runs. Maps come first (legacy, `.maps`, internal; a map of maps behind the one that its inner maps
//! look like), then programs, both in definition order, then the entries of jump tables, whose programs must exist.

mod demand;
mod error;
pub mod fault;
mod inner;
mod map;
mod needs;
mod pins;
mod program;
mod size;
mod slots;
mod types;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::btf::TypeId;
use crate::core_relo::Location;
use crate::features::{Features, KernelVersion, Machine};
use crate::insn::Insn;
use crate::link::{LinkedObject, LinkedProgram};
use crate::patch::{self, Patch};
use crate::spec::{MapId, ProgId};
use crate::uapi::{AttachType, KernelName, MapFlags, MapType, ProgFlags, ProgType};

pub use demand::Demand;
pub use error::PlanError;
pub use fault::MapFault;
pub use needs::needs;
pub use slots::fit_one_table;
pub use types::{AllNeeded, Need, Needed, SentTypes};

/// The kernel calls that load an object.
#[derive(Clone, Debug)]
pub struct LoadPlan<'o> {
    /// What is loaded.
    pub object: &'o LinkedObject,
    /// The kernel that it is for.
    pub kernel: KernelVersion,
    /// Its page size in **bytes**.
    pub page_size: u32,
    /// What the kernel is told of the programs' license: the user's word, or what the object says; empty if nobody
    /// says.
    pub license: String,
    /// What becomes of the object's types; `None` if it has none, or the kernel takes none.
    pub types: Option<SentTypes>,
    /// The calls, in order.
    pub steps: Vec<Step>,
    /// Programs that no call can load, and why.
    pub refused: Vec<(ProgId, PlanError)>,
    /// Slots that the object asks for and that cannot be filled, and why.
    pub refused_slots: Vec<PlanError>,
    /// Maps that no call can create, and why. Programs that refer to them are among the steps all the same.
    pub refused_maps: Vec<(CreateMap, PlanError)>,
    /// Maps of maps of whose inner maps nobody says what they look like, and what else than the one among the steps to try
    /// in their place, if the kernel refuses a program that refers to them.
    pub open_inner: BTreeMap<MapId, Vec<CreateMap>>,
}

/// What the user wishes.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which programs to load.
    pub select: Select,
    /// Programs to load although their section begins with `?`.
    pub asked_for: BTreeSet<ProgId>,
    /// Types of programs whose section does not say, or says something else.
    pub types: BTreeMap<ProgId, ProgType>,
    /// Type of the other programs whose section does not say.
    pub default_type: Option<ProgType>,
    /// Whether programs whose type nobody says are tried as one type after another.
    pub try_types: bool,
    /// License of the programs, whatever the object says.
    pub license: Option<String>,
    /// Entries to put into jump tables besides those that the object gives.
    pub slots: Vec<FillSlot>,
    /// Whether maps whose definition leaves the number of entries open get one, as the loader would give that they were
    /// written for. Good for checking programs.
    pub size_maps: bool,
    /// Whether maps of maps of whose inner maps nobody says what they look like get one that is made up, and others if the
    /// kernel refuses a program with that. Good for checking programs: who loads them to run knows what they hold.
    pub make_inner: bool,
    /// Whether the kernel is given all types of the object, also those that it does not need: somebody is to read them
    /// there.
    pub all_types: bool,
    /// What to do with a jump table that programs of different kinds use.
    pub mixed_tables: MixedTables,
    /// Maps that are there already and are not created.
    pub reused: BTreeSet<MapId>,
    /// Maps of maps for which an open map comes along that their inner maps are to look like, whatever the object says.
    pub inner_given: BTreeSet<MapId>,
    /// The bpffs below which maps are pinned that ask for it, and taken from if they are there already: most often
    /// [`PIN_ROOT`]. Without it they are maps like any other.
    pub pin_root: Option<String>,
    /// A directory on a bpffs under which all maps and programs are pinned once they are loaded and filled.
    pub pin_dir: Option<String>,
}

/// Where the bpffs is that everybody knows.
pub const PIN_ROOT: &str = "/sys/fs/bpf";

/// Which programs to load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Select {
    /// Those whose section has no leading `?`.
    #[default]
    Autoload,
    /// All.
    All,
    /// This one only.
    One(ProgId),
}

/// What to do with a jump table that programs of different kinds use: the kernel gives it to the first of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MixedTables {
    /// Refuse, and name two of them.
    #[default]
    Refuse,
    /// Create the table once for each kind. Good for checking programs, not for running them.
    Copy,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// `BPF_BTF_LOAD` of these bytes. If the kernel refuses, it is asked again for its reason, unless that is a missing
    /// privilege; then everything goes on without BTF.
    LoadBtf(Vec<u8>),
    /// `BPF_MAP_CREATE`. If the kernel refuses the types, it is asked again without them.
    CreateMap(CreateMap),
    /// `BPF_MAP_UPDATE_ELEM`: the initial value of an internal map.
    SetData(MapId),
    /// mmap(2) of a map's memory, and its initial contents.
    MapMemory {
        /// The map.
        map: MapId,
        /// Where in this process; 0 for anywhere.
        address: u64,
        /// How much, in **bytes**.
        len: u64,
    },
    /// `BPF_MAP_FREEZE`: user space may only read it from now on.
    Freeze(MapId),
    /// Opens the types of a module that programs refer to, by its position in [`crate::target::Answers::modules`].
    ModuleBtf(usize),
    /// `BPF_PROG_LOAD`. If the kernel refuses, the program is tried as what else it may be; if it is none of that, the kernel
    /// is asked again for the verifier's log.
    LoadProgram(LoadProgram),
    /// `BPF_MAP_UPDATE_ELEM` of a map of programs or maps.
    FillSlot(FillSlot),
    /// mkdir(2) of a directory for pins and of those above it, where they are missing. It must be on a bpffs.
    PinDir(PinDir),
    /// `BPF_OBJ_GET` of a map that is pinned already. If there is none, it is created and `BPF_OBJ_PIN` pins it; if
    /// somebody else pinned one in between, that one is taken.
    PinnedMap(PinnedMap),
    /// `BPF_OBJ_PIN`.
    Pin(Pin),
}

/// A directory for pins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinDir {
    /// Its path.
    pub path: String,
    /// Paths in it that must be free.
    pub free: Vec<String>,
    /// Whether it is for maps that are shared by their pins, and so stays when the object goes.
    pub shared: bool,
}

/// A map that is shared by the name of its pin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinnedMap {
    /// The map.
    pub map: MapId,
    /// Where it is pinned.
    pub path: String,
    /// What makes it, if it is not there: [`Step::CreateMap`] and what fills it.
    pub make: Vec<Step>,
}

impl PinnedMap {
    /// What the map must look like.
    pub fn create(&self) -> Option<&CreateMap> {
        let creates = self
            .make
            .iter()
            .filter_map(|step| if let Step::CreateMap(create) = step { Some(create) } else { None });
        creates.into_iter().find(|create| create.slot == MapSlot::Map(self.map))
    }
}

/// Something to pin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// What.
    pub what: PinTarget,
    /// Where.
    pub path: String,
}

/// What is pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PinTarget {
    /// A program.
    Program(ProgId),
    /// A map.
    Map(MapId),
}

/// A map of this load: one of the object's, a template for inner maps, or a copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MapSlot {
    /// The object's map.
    Map(MapId),
    /// What the inner maps of this map look like; needed only while it is created. Made from the object, or given.
    Template(MapId),
    /// Another copy of a jump table, for another kind of program.
    Copy(MapId, u32),
}

/// Attributes of a map to create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateMap {
    /// Which map.
    pub slot: MapSlot,
    /// Its name in messages.
    pub name: Arc<str>,
    /// Its name in the kernel; empty where the kernel knows no names.
    pub kernel_name: KernelName,
    /// What kind of map.
    pub ty: MapType,
    /// **Bytes** of a key.
    pub key_size: u32,
    /// **Bytes** of a value.
    pub value_size: u32,
    /// Most entries, in **elements**.
    pub max_entries: u32,
    /// Flags.
    pub flags: MapFlags,
    /// NUMA node, meant with [`MapFlags::NUMA_NODE`].
    pub numa_node: u32,
    /// What some types take besides.
    pub map_extra: u64,
    /// A map that looks like its inner maps.
    pub inner: Option<MapSlot>,
    /// Types of keys and values in the object's BTF, where the kernel takes them.
    pub types: Option<(TypeId, TypeId)>,
    /// Type of the value in the kernel, for tables of functions that it calls.
    pub kernel_value: Option<Box<Location>>,
}

/// Attributes of a program to load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadProgram {
    /// Which program.
    pub program: ProgId,
    /// Its name in the kernel; empty where the kernel knows no names.
    pub kernel_name: KernelName,
    /// Its type.
    pub ty: ProgType,
    /// Its expected attach type; 0 if none.
    pub attach: AttachType,
    /// Flags.
    pub flags: ProgFlags,
    /// What it attaches to, if that is something with a type in the kernel.
    pub hook: Option<Location>,
    /// Whether that is a function of another program, which comes along with the plan.
    pub of_program: bool,
    /// The kernel version that it was built for; older kernels compare it for kprobes.
    pub kern_version: u32,
    /// Whether function types and source lines go with it.
    pub with_info: bool,
    /// Jump tables of which it uses a copy.
    pub copies: BTreeMap<MapId, u32>,
    /// Whether somebody says its type; if not, it is the most likely one.
    pub said: bool,
    /// What else to try it as, in this order, if the kernel refuses it: with jump tables of its own, since those of the object
    /// are for programs of the type that it was thought to be.
    pub others: Vec<LoadAs>,
    /// Functions that have another type on this kernel than the object's. Empty on most kernels.
    pub func_types: BTreeMap<TypeId, TypeId>,
    /// What this kernel must have otherwise in the linked program, and why. Empty on most kernels.
    pub patches: Vec<Patch>,
}

/// Another type for a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadAs {
    /// The type.
    pub ty: ProgType,
    /// The expected attach type; 0 if none.
    pub attach: AttachType,
    /// Flags.
    pub flags: ProgFlags,
}

impl LoadProgram {
    /// The same program as another type, with no more to try.
    #[must_use]
    pub fn loaded_as(&self, other: LoadAs) -> Self {
        let LoadAs { ty, attach, flags } = other;
        Self { ty, attach, flags, others: Vec::new(), ..self.clone() }
    }

    /// The linked program's code as this kernel gets it, but for descriptors.
    pub fn code<'l>(&self, linked: &'l LinkedProgram) -> Cow<'l, [Insn]> {
        let mut code = Cow::Borrowed(linked.insns.as_slice());
        if !self.patches.is_empty() {
            patch::apply(code.to_mut(), &self.patches);
        }
        code
    }
}

/// An entry of a map of programs or of maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FillSlot {
    /// The map.
    pub map: MapId,
    /// The key.
    pub key: u32,
    /// What to put there.
    pub value: SlotValue,
    /// Who says so.
    pub from: SlotSource,
}

/// What to put into a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotValue {
    /// A program.
    Program(ProgId),
    /// A map.
    Map(MapId),
}

/// Who says that a slot is to be filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotSource {
    /// The user.
    Given,
    /// `.values` in the map's definition.
    Values,
    /// The program's section: `socket/N`, `ID/KEY`.
    Section,
    /// There was only one reading.
    Inferred,
}

impl fmt::Display for SlotSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "given",
            Self::Values => "values",
            Self::Section => "section",
            Self::Inferred => "inferred",
        })
    }
}

/// Decides which calls load the object.
///
/// # Errors
/// [`PlanError`] if the object as a whole cannot be loaded. What concerns a single program or map stands in
/// [`LoadPlan::refused`] and [`LoadPlan::refused_maps`].
pub fn plan<'o>(
    object: &'o LinkedObject,
    machine: &Machine,
    options: &Options,
) -> Result<LoadPlan<'o>, PlanError> {
    program::check_endian(object)?;
    let (mut programs, refused) = program::programs(object, machine, options);
    let (mut fills, refused_slots) = slots::fills(object, machine, options, &programs, &refused)?;
    let copies = slots::separate_kinds(object, options, &mut programs, &fills)?;

    // Growing by and by would copy thousands of them again and again.
    let mut steps =
        Vec::with_capacity(object.spec.maps.len().saturating_mul(2).saturating_add(programs.len()));
    let btf = object.spec.btf.as_ref().filter(|_| machine.features.contains(Features::BTF));
    let types = btf.map(|btf| {
        let (data, sent) = types::sent(object, btf, machine.features, options.all_types, &mut programs);
        steps.push(Step::LoadBtf(data));
        sent
    });
    let ids: Vec<ProgId> = programs.iter().map(|load| load.program).collect();
    let pins = pins::all(object, options, machine.features, &ids)?;
    steps.extend(pins.dirs.into_iter().map(Step::PinDir));
    steps.extend(program::modules(object, &programs).into_iter().map(Step::ModuleBtf));
    let mut open_inner = inner::open(object, machine, options);
    let refused_maps = map::steps(object, machine, options, &copies, &mut open_inner, &mut steps);
    // Why a map is not made is said about the map, not about its slots.
    fills.retain(|fill| refused_maps.iter().all(|(create, _)| create.slot != MapSlot::Map(fill.map)));
    steps.extend(programs.into_iter().map(Step::LoadProgram));
    steps.extend(fills.into_iter().map(Step::FillSlot));
    steps.extend(pins.pins.into_iter().map(Step::Pin));
    let license = options.license.as_ref().unwrap_or(&object.spec.license).clone();
    let kernel = machine.kernel;
    let page_size = machine.page_size;
    Ok(LoadPlan {
        object,
        kernel,
        page_size,
        license,
        types,
        steps,
        refused,
        refused_slots,
        refused_maps,
        open_inner,
    })
}

impl LoadPlan<'_> {
    /// Why the plan does not load the whole object, if it does not: the first reason, maps before programs before slots.
    pub fn refusal(&self) -> Option<&PlanError> {
        self.refusals().next()
    }

    /// Why the plan does not load what it does not load, maps before programs before slots.
    pub fn refusals(&self) -> impl Iterator<Item = &PlanError> {
        let maps = self.refused_maps.iter().map(|(_, error)| error);
        maps.chain(self.refused.iter().map(|(_, error)| error)).chain(&self.refused_slots)
    }

    /// Maps that the plan creates, or would if they were not pinned already.
    pub fn maps(&self) -> impl Iterator<Item = &CreateMap> {
        self.steps.iter().filter_map(|step| {
            if let Step::PinnedMap(pinned) = step {
                return pinned.create();
            }
            if let Step::CreateMap(create) = step { Some(create) } else { None }
        })
    }

    /// Programs that the plan loads, in definition order.
    pub fn programs(&self) -> impl Iterator<Item = &LoadProgram> {
        self.steps
            .iter()
            .filter_map(|step| if let Step::LoadProgram(load) = step { Some(load) } else { None })
    }

    /// Descriptors that are open at once when the plan is carried out.
    pub fn descriptors(&self) -> usize {
        let makes = |step: &&Step| {
            matches!(
                step,
                Step::LoadBtf(_)
                    | Step::CreateMap(_)
                    | Step::PinnedMap(_)
                    | Step::ModuleBtf(_)
                    | Step::LoadProgram(_)
            )
        };
        self.steps.iter().filter(makes).count()
    }

    /// Slots that the plan fills.
    pub fn fills(&self) -> impl Iterator<Item = &FillSlot> {
        self.steps.iter().filter_map(|step| if let Step::FillSlot(fill) = step { Some(fill) } else { None })
    }
}
