//! What an object file *means*: maps, functions, programs, and the references between them.
//!
//! [`collect`] turns the ELF view into an [`ObjectSpec`], which is owned, complete and the same on every machine:
//! nothing here knows a descriptor, a kernel version or a file. Maps, functions and programs stand in definition
//! order, and refer to each other by number.

mod btf_fixup;
mod btf_map;
mod calls;
mod collect;
mod data;
mod definition;
mod error;
mod exceptions;
mod externs;
mod function;
mod legacy_map;
mod reloc;
mod role;
pub mod section;
mod struct_ops;
mod target;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::btf::{Btf, CoreRelo, LineInfo, TypeChange, TypeId};
use crate::bytes::Endian;
use crate::insn::{ByteOff, Insn, InsnIdx};
use crate::uapi::{MapFlags, MapType};

pub(crate) use btf_map::map_definition;
pub use collect::{Types, collect, collect_with, types};
pub use definition::{Definition, Field, definitions};
pub use error::SpecError;
pub use externs::{Extern, ExternKind, ExternValue, KconfigForm, KconfigSource};
pub use role::{Role, roles};
pub use section::{SectionMatch, SectionRule, SlotHint};
pub use target::{TargetError, TargetProgram};

/// Number of a map in [`ObjectSpec::maps`]: its index in `map_fd[]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MapId(pub u32);

/// Number of a function in [`ObjectSpec::functions`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FuncId(pub u32);

/// Number of a program in [`ObjectSpec::programs`]: its index in `prog_fd[]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProgId(pub u32);

macro_rules! index_of {
    ($($id:ident),*) => {$(
        impl $id {
            /// The number as an index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// The number of the item at this index. An object cannot hold more than 32 bits count.
            pub fn new(index: usize) -> Self {
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }
        }
    )*};
}
index_of!(MapId, FuncId, ProgId);

/// Everything an object file defines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectSpec {
    /// The object's name: its file name up to the first dot.
    pub name: String,
    /// Byte order of its code.
    pub endian: Endian,
    /// What its section `license` says; empty without one.
    pub license: String,
    /// What its section `version` says (a kernel version code), if it has one.
    pub version: Option<u32>,
    /// Maps: `SEC("maps")` by offset, then `.maps`, then the internal ones by section.
    pub maps: Vec<MapSpec>,
    /// All functions, by section and offset: entry programs and subprograms.
    pub functions: Vec<Function>,
    /// Entry programs, by section and offset.
    pub programs: Vec<ProgramSpec>,
    /// What it declares but does not define, by name.
    pub externs: BTreeMap<String, Extern>,
    /// Types, with sizes, offsets and linkage filled in as the kernel wants them.
    pub btf: Option<Btf>,
    /// What was filled in there, in this order.
    pub type_changes: Vec<TypeChange>,
    /// Why the object's types cannot be understood, if nothing in it needs them: then it goes on as if it had none.
    pub btf_defect: Option<Box<SpecError>>,
}

/// A map as the object defines it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapSpec {
    /// Its name: the C variable's, or `OBJECT.SECTION` for an internal map.
    pub name: Arc<str>,
    /// The section that defines it.
    pub section: Arc<str>,
    /// How it is defined.
    pub origin: MapOrigin,
    /// What kind of map.
    pub ty: MapType,
    /// Size of a key in **bytes**.
    pub key_size: u32,
    /// Size of a value in **bytes**.
    pub value_size: u32,
    /// Most entries, in **elements**.
    pub max_entries: u32,
    /// Flags of `BPF_MAP_CREATE`.
    pub flags: MapFlags,
    /// NUMA node to allocate on, meant if [`MapFlags::NUMA_NODE`] is set.
    pub numa_node: u32,
    /// What some map types take besides. Since: Linux 5.16.
    pub map_extra: u64,
    /// Type of a key; 0 if unknown.
    pub key_type: TypeId,
    /// Type of a value; 0 if unknown.
    pub value_type: TypeId,
    /// For a map of maps: what the inner ones look like.
    pub inner: Option<Inner>,
    /// Contents that the object gives, filled in when everything is loaded.
    pub slots: Vec<Slot>,
    /// For a table of functions that the kernel calls: the functions in it.
    pub struct_ops: Option<StructOps>,
    /// What the value under key 0 starts with; `None` leaves it zero.
    pub data: Option<Vec<u8>>,
    /// Whether user space, too, may only read it once it is filled. Since: Linux 5.2.
    pub frozen: bool,
    /// Where it wants to be pinned.
    pub pinning: Pinning,
    /// The number by which sections named `ID/KEY` and outer maps mean it (iproute2).
    pub number: Option<u32>,
    /// Why its definition cannot be understood: then it cannot be created, and little else stands here.
    pub defect: Option<Box<SpecError>>,
}

/// How a map is defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapOrigin {
    /// `SEC("maps")` and its like: a structure of numbers, of this many **bytes**, with this meaning.
    Legacy(u32, MapDialect),
    /// `SEC(".maps")`: a structure whose BTF is the definition.
    Btf,
    /// A section of global variables.
    Internal,
}

/// What the words behind the fifth of a legacy definition mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapDialect {
    /// The kernel's samples: `inner_map_idx`, `numa_node`. At most 28 bytes.
    Samples,
    /// aya and early iproute2: `id`, `pinning`. At most 28 bytes, so it must be asked for.
    IdPinning,
    /// iproute2's `bpf_elf_map`: `id`, `pinning`, `inner_id`, `inner_idx`. 36 bytes.
    Iproute2,
    /// gobpf: `pinning`, and the name of a directory for it. 280 bytes.
    Gobpf,
}

/// How to read what is ambiguous in objects from before BTF.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dialects {
    /// What section names mean.
    pub section: SectionDialect,
    /// What the fields of legacy map definitions mean; `None` goes by their size.
    pub map: Option<MapDialect>,
}

/// What section names mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SectionDialect {
    /// libbpf's names, then iproute2's `ID/KEY`, then the beginnings of names that old loaders went by.
    #[default]
    Auto,
    /// libbpf's names only.
    Libbpf,
    /// The beginnings of names that `samples/bpf/bpf_load.c` knew, only.
    Samples,
    /// Names are labels: only `ID/KEY` means something.
    Iproute2,
}

/// What the inner maps of a map of maps look like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inner {
    /// Like this other map of the object (legacy `inner_map_idx`).
    Like(MapId),
    /// Like the map with this id (iproute2), and there is none.
    Missing(u32),
    /// Like this template, which is no map itself.
    Template(Box<MapSpec>),
}

/// A table of functions that the kernel calls (`SEC(".struct_ops")`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StructOps {
    /// Members, by their number in the object's structure, and the programs that they point to.
    pub programs: Vec<(u32, FuncId)>,
}

/// One entry that the object itself gives to a map of programs or of maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// The key.
    pub key: u32,
    /// What stands there.
    pub target: SlotTarget,
}

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotTarget {
    /// A program, by its function.
    Program(FuncId),
    /// A map.
    Map(MapId),
}

/// Where a map wants to be pinned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Pinning {
    /// Nowhere.
    #[default]
    None,
    /// `LIBBPF_PIN_BY_NAME`: under its name in the pin directory.
    ByName,
    /// iproute2's `PIN_OBJECT_NS`: in a directory of the object's own.
    Object,
    /// iproute2's `PIN_GLOBAL_NS`: in the directory of all, `tc/globals`.
    Global,
    /// gobpf's `PIN_GLOBAL_NS` and `PIN_CUSTOM_NS`: in this directory.
    Directory(String),
}

/// A function: the code between two function symbols.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The section it stands in.
    pub section: String,
    /// Where it starts in the section, in **bytes**.
    pub offset: ByteOff,
    /// Its code, as the compiler wrote it.
    pub insns: Vec<Insn>,
    /// What its instructions refer to, by position.
    pub relocs: Vec<Reloc>,
    /// Its `BTF_KIND_FUNC`, if the object says.
    pub ty: Option<TypeId>,
    /// Its source lines, by position.
    pub lines: Vec<(InsnIdx, LineInfo)>,
    /// Its instructions that depend on types (CO-RE), by position.
    pub core_relos: Vec<(InsnIdx, CoreRelo)>,
}

/// A reference from an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reloc {
    /// The instruction, counted from the function's start.
    pub at: InsnIdx,
    /// What it refers to.
    pub target: RelocTarget,
}

/// What an instruction refers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RelocTarget {
    /// A map.
    Map(MapId),
    /// A place in a map's value: a global variable.
    MapValue {
        /// The map.
        map: MapId,
        /// Where in the value, in **bytes**.
        offset: u32,
    },
    /// A subprogram that is called.
    Call(FuncId),
    /// A subprogram whose address is taken.
    FunctionAddress(FuncId),
    /// Something that is defined outside of the object.
    Extern {
        /// Its name.
        name: String,
        /// Whether the object can do without it.
        weak: bool,
    },
    /// Nothing that makes sense. Only programs that need this instruction cannot be linked.
    Broken {
        /// The symbol; empty for a call without one.
        symbol: String,
        /// What is wrong.
        why: String,
    },
}

/// An entry program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramSpec {
    /// Its name: the function's.
    pub name: String,
    /// Its section, with a leading `?` if it has one.
    pub section: String,
    /// Its code.
    pub func: FuncId,
    /// What the section's name says about it.
    pub kind: SectionMatch,
    /// Whether it is loaded without being asked for: the section has no leading `?`.
    pub autoload: bool,
    /// The function that the kernel calls when it throws an exception, if a tag names one; `Err` with a name that is no
    /// global function. Since: Linux 6.7.
    pub exception_callback: Option<Result<FuncId, String>>,
    /// The program whose function it attaches to, if somebody named one.
    pub of: Option<TargetProgram>,
}

impl MapSpec {
    /// A map of which nothing is known but its name and where it is defined: everything is 0 or absent.
    pub fn new(name: &str, section: impl Into<Arc<str>>, origin: MapOrigin) -> Self {
        Self {
            name: name.into(),
            section: section.into(),
            origin,
            ty: MapType::UNSPEC,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: MapFlags::empty(),
            numa_node: 0,
            map_extra: 0,
            key_type: TypeId(0),
            value_type: TypeId(0),
            inner: None,
            slots: Vec::new(),
            struct_ops: None,
            data: None,
            frozen: false,
            pinning: Pinning::None,
            number: None,
            defect: None,
        }
    }

    /// A map whose definition cannot be understood.
    fn defective(name: &str, section: impl Into<Arc<str>>, origin: MapOrigin, why: SpecError) -> Self {
        Self { defect: Some(Box::new(why)), ..Self::new(name, section, origin) }
    }
}

/// A line of C.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceLine {
    /// The file, as the compiler was given it.
    pub file: String,
    /// The number of the line, from 1.
    pub number: u32,
    /// Its text.
    pub text: String,
}

impl ObjectSpec {
    /// The map with this number.
    pub fn map(&self, id: MapId) -> Option<&MapSpec> {
        self.maps.get(id.index())
    }

    /// The function with this number.
    pub fn function(&self, id: FuncId) -> Option<&Function> {
        self.functions.get(id.index())
    }

    /// The program with this number.
    pub fn program(&self, id: ProgId) -> Option<&ProgramSpec> {
        self.programs.get(id.index())
    }

    /// The map that sections named `ID/KEY` mean by this id (iproute2).
    pub fn map_numbered(&self, id: u32) -> Option<MapId> {
        self.maps.iter().position(|map| map.number == Some(id)).map(MapId::new)
    }

    /// The number that libbpf gives to an extern, by which it marks calls of functions that are not there: those of
    /// `.kconfig` come first, then the others by name.
    pub fn extern_number(&self, name: &str) -> u32 {
        let is_kconfig = |external: &Extern| matches!(external.kind, ExternKind::Kconfig { .. });
        let before = |(other, external): &(&String, &Extern)| is_kconfig(external) || other.as_str() < name;
        u32::try_from(self.externs.iter().filter(before).count()).unwrap_or(u32::MAX)
    }

    /// Name of the map with this number.
    pub fn map_name(&self, id: MapId) -> &str {
        self.map(id).map_or("?", |m| &m.name)
    }

    /// Name of the function with this number.
    pub fn function_name(&self, id: FuncId) -> &str {
        self.function(id).map_or("?", |f| &f.name)
    }

    /// The source line that made an instruction of a function.
    pub fn source(&self, func: FuncId, at: InsnIdx) -> Option<SourceLine> {
        let (_, line) = self.function(func)?.lines.iter().rev().find(|(start, _)| *start <= at)?;
        let btf = self.btf.as_ref()?;
        let (file, text) = (btf.string(line.file).into_owned(), btf.string(line.line).trim().to_string());
        Some(SourceLine { file, number: line.number(), text })
    }

    /// The same as text: `file:line: text`.
    pub fn source_line(&self, func: FuncId, at: InsnIdx) -> Option<String> {
        let SourceLine { file, number, text } = self.source(func, at)?;
        Some(alloc::format!("{file}:{number}: {text}"))
    }
}
