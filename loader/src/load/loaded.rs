//! What is in the kernel after a load: descriptors by name and by number.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::{LoadError, Note, Table, pins};
use crate::plan::FillSlot;
use crate::spec::section::SectionMatch;
use crate::spec::{MapId, ProgId};
use crate::sys::{Bpffs, Kernel, MapInfo, Mapping, Named, ProgInfo, TestRun, TestRunReply};
use crate::uapi::{AttachType, MapType, ProgType};

/// How much longer than before a packet may be after a run, in **bytes**: no program makes a longer one.
const GROWTH: usize = 64 << 10;

/// A loaded object. Dropping it closes its descriptors; what is attached or pinned stays.
#[derive(Debug)]
pub struct LoadedObject {
    /// Its maps, by [`MapId`]: `map_fd[]`.
    pub maps: Vec<LoadedMap>,
    /// Its programs in definition order; those that were not loaded are left out.
    pub programs: Vec<LoadedProgram>,
    /// Slots that were filled, each read back.
    pub slots: Vec<FilledSlot>,
    /// Names on bpffs that this load made, in order.
    pub pins: Vec<MadePin>,
    /// What the kernel refused and went without.
    pub notes: Vec<Note>,
}

/// A name on bpffs that a load made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MadePin {
    /// Where.
    pub path: PathBuf,
    /// Whether it is a directory for pins.
    pub is_dir: bool,
    /// Whether it is there because a map asked to be shared by it, and is to stay when the object goes.
    pub shared: bool,
}

/// A map in the kernel.
#[derive(Debug)]
pub struct LoadedMap {
    /// Its number: its index in `map_fd[]`.
    pub id: MapId,
    /// Its name in the object.
    pub name: String,
    /// What kind of map.
    pub ty: MapType,
    /// Its descriptor.
    pub fd: OwnedFd,
    /// Its memory in this process, for arenas.
    pub memory: Option<Mapping>,
    /// The pin by which it is shared, if the object asked for one.
    pub shared: Option<SharedPin>,
    /// What is registered of it, if it is a table of functions that the kernel calls.
    pub table: Option<Table>,
}

/// The pin by which a map is shared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SharedPin {
    /// Where.
    pub path: String,
    /// Whether it was there already: the map holds what it held before.
    pub reused: bool,
}

/// A program in the kernel.
#[derive(Debug)]
pub struct LoadedProgram {
    /// Its number: its index in `prog_fd[]`.
    pub id: ProgId,
    /// Its name in the object.
    pub name: String,
    /// Its section.
    pub section: String,
    /// What the section says, or whoever loaded it: what it attaches to, among others.
    pub kind: SectionMatch,
    /// Its type.
    pub ty: ProgType,
    /// Its expected attach type.
    pub attach: AttachType,
    /// Its descriptor.
    pub fd: OwnedFd,
}

/// A slot of a jump table or map of maps that was filled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilledSlot {
    /// What was asked for.
    pub fill: FillSlot,
    /// Name of the map.
    pub map: String,
    /// Name of what stands there.
    pub value: String,
    /// Its **id** in the kernel, as read back from the slot. `None` before Linux 4.13, which cannot tell.
    pub id: Option<u32>,
}

impl LoadedObject {
    /// The map of this name.
    pub fn map(&self, name: &str) -> Option<&LoadedMap> {
        self.maps.iter().find(|map| map.name == name)
    }

    /// The program of this name.
    pub fn program(&self, name: &str) -> Option<&LoadedProgram> {
        self.programs.iter().find(|program| program.name == name)
    }

    /// Takes the map of this name out, with its descriptor; the others stay.
    pub fn take_map(&mut self, name: &str) -> Option<LoadedMap> {
        self.maps.iter().position(|map| map.name == name).map(|at| self.maps.remove(at))
    }

    /// Takes the program of this name out, with its descriptor; the others stay.
    pub fn take_program(&mut self, name: &str) -> Option<LoadedProgram> {
        self.programs.iter().position(|program| program.name == name).map(|at| self.programs.remove(at))
    }

    /// The program with this number, if it was loaded.
    pub fn program_by_id(&self, id: ProgId) -> Option<&LoadedProgram> {
        self.programs.iter().find(|program| program.id == id)
    }

    /// Removes the names on bpffs that this load made: those, and no others.
    pub fn unpin(&mut self, kernel: &impl Kernel) {
        pins::remove(kernel, &std::mem::take(&mut self.pins));
    }

    /// Marks the pins of [`Options::pin_dir`](crate::plan::Options::pin_dir) as belonging to the program that was
    /// loaded at this time ([`ProgInfo::load_time`]): it becomes the time at which they were last changed.
    ///
    /// Who wants to remove them later recognises them by it, to the nanosecond. `docs/pinning.md` has the reasons.
    ///
    /// # Errors
    /// [`LoadError::PinDir`] with the errno.
    pub fn mark_pins(&self, kernel: &impl Kernel, load_time: u64) -> Result<(), LoadError> {
        for pin in self.pins.iter().filter(|pin| !pin.shared) {
            let failed = |errno| LoadError::PinDir { path: pin.path.display().to_string(), errno };
            kernel.bpffs(Bpffs::Mark(&pin.path, load_time)).map_err(failed)?;
        }
        Ok(())
    }
}

impl LoadedMap {
    /// Descriptor and name, to ask the kernel with.
    pub fn named(&self) -> Named<'_> {
        Named { name: &self.name, fd: self.fd.as_fd() }
    }

    /// What the kernel says about it.
    ///
    /// # Errors
    /// [`LoadError::Info`] with the errno. Since: Linux 4.13.
    pub fn info(&self, kernel: &impl Kernel) -> Result<MapInfo, LoadError> {
        let failed = |errno| info_failed("map", &self.name, errno);
        kernel.map_info(self.named()).map_err(failed)
    }
}

impl LoadedProgram {
    /// Descriptor and name, to ask the kernel with.
    pub fn named(&self) -> Named<'_> {
        Named { name: &self.name, fd: self.fd.as_fd() }
    }

    /// What the kernel says about it.
    ///
    /// # Errors
    /// [`LoadError::Info`] with the errno. Since: Linux 4.13.
    pub fn info(&self, kernel: &impl Kernel) -> Result<ProgInfo, LoadError> {
        let failed = |errno| info_failed("program", &self.name, errno);
        kernel.prog_info(self.named()).map_err(failed)
    }
}

/// What a program is run on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// The packet, from its Ethernet header on: at least 14 **bytes**. Empty for types that take none, such as
    /// `raw_tracepoint` and `syscall`.
    pub packet: &'a [u8],
    /// The context: the structure that the program gets as its argument. Empty for one that the kernel makes up.
    pub context: &'a [u8],
    /// Room for the context as the program leaves it, in **bytes**; 0 if nobody wants to see it.
    pub context_room: usize,
    /// How often to run it; 0 counts as once. Types that take no packet take only 0.
    pub repeat: u32,
}

impl<'a> Input<'a> {
    /// This packet, once.
    pub fn packet(packet: &'a [u8]) -> Self {
        Self { packet, ..Self::default() }
    }
}

impl LoadedProgram {
    /// Runs it on a packet or a context, in this process; no interface sees anything of it.
    ///
    /// A signal ends a long run with `EINTR`; see [`Kernel::prog_test_run`].
    ///
    /// Source: `BPF_PROG_TEST_RUN`. Since: Linux 4.12.
    ///
    /// # Errors
    /// [`LoadError::TestRun`] with the errno.
    pub fn test_run(&self, kernel: &impl Kernel, input: &Input<'_>) -> Result<TestRunReply, LoadError> {
        let Input { packet, context, context_room, repeat } = *input;
        let data_room = if packet.is_empty() { 0 } else { packet.len().saturating_add(GROWTH) };
        let program = self.named();
        let request = TestRun { program, data: packet, data_room, context, context_room, repeat };
        kernel.prog_test_run(&request).map_err(|errno| LoadError::TestRun {
            program: self.name.clone(),
            ty: self.ty,
            packet: packet.len(),
            context: context.len(),
            errno,
        })
    }
}

fn info_failed(what: &str, name: &str, errno: crate::sys::Errno) -> LoadError {
    LoadError::Info { what: format!("{what} {name:?}"), command: "BPF_OBJ_GET_INFO_BY_FD", errno }
}

impl AsFd for LoadedMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for LoadedProgram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
