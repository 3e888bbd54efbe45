//! `load_bpf_file`, as the kernel's samples had it: one call, then `map_fd[]` and `prog_fd[]` in definition order.
//!
//! A thin face on the pipeline, for programs that are ported from `samples/bpf/bpf_load.c` and for people who learn from
//! them. It differs where the original was wrong: an error leaves nothing behind, counts are per object, an object that
//! has only maps is fine, other people's kprobe events are left alone. `docs/bpf_load.md` lists all differences.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::error::Error;

use crate::load::slot::{self, Content};
use crate::load::{self, CodeTypes, Given, LoadError, LoadedMap, LoadedProgram};
use crate::plan::{self, Options};
use crate::spec::{Dialects, MapId, MapSpec, ObjectSpec};
use crate::sys::tracefs::{TraceInstance, TraceLine};
use crate::sys::{Linux, host};
use crate::uapi::ProgType;

/// A loaded object, as `bpf_load.c` presents it.
#[derive(Debug)]
pub struct BpfFile {
    /// Maps: `map_fd[i]` is the i-th in definition order (`SEC("maps")` by offset, then `.maps`, then internal ones).
    pub map_fd: Vec<LoadedMap>,
    /// Definitions of those maps, after the fix-up: the old `map_data[]`.
    pub map_data: Vec<MapSpec>,
    /// Programs: `prog_fd[i]` is the i-th, by section and then by offset.
    pub prog_fd: Vec<LoadedProgram>,
}

/// A map about to be created, for the fix-up callback.
#[derive(Debug)]
pub struct MapFixup<'a> {
    /// Its definition, which may be changed.
    pub def: &'a mut MapSpec,
    /// A map that is open already, to be used in its place.
    pub fd: Option<OwnedFd>,
}

/// Loads all maps and programs of an object file.
///
/// Programs whose section says nothing about their type (`prog`) are loaded as XDP.
///
/// # Errors
/// [`Error`]: what cannot be read, understood or loaded. Nothing stays behind.
pub fn load_bpf_file(path: impl AsRef<Path>) -> Result<BpfFile, Error> {
    load_bpf_file_fixup_map(path, |_, _| {})
}

/// The same, calling `fixup` with each map and its index before anything is created: it may change the definition, or
/// give a descriptor that is used instead.
///
/// # Errors
/// As [`load_bpf_file`].
pub fn load_bpf_file_fixup_map(
    path: impl AsRef<Path>,
    mut fixup: impl FnMut(&mut MapFixup<'_>, usize),
) -> Result<BpfFile, Error> {
    let path = path.as_ref();
    let bytes = crate::read_file(path)?;
    let mut spec = crate::read(&crate::object_name(path), &bytes, Dialects::default())?;
    let machine = host::machine();
    let maps = fix_up(&mut spec, &mut fixup);
    let object = load::link_for(spec, &machine, CodeTypes::Running)?;
    let options = Options {
        default_type: Some(ProgType::XDP),
        reused: maps.keys().copied().collect(),
        ..Options::default()
    };
    let machine = load::machine_for(&Linux, &object, &machine, &options);
    let plan = plan::plan(&object, &machine, &options).map_err(LoadError::from)?;
    let loaded = load::execute(&plan, &Linux, Given { maps, ..Given::default() })?;
    let map_data = object.spec.maps;
    Ok(BpfFile { map_fd: loaded.maps, map_data, prog_fd: loaded.programs })
}

fn fix_up(
    spec: &mut ObjectSpec,
    fixup: &mut impl FnMut(&mut MapFixup<'_>, usize),
) -> BTreeMap<MapId, OwnedFd> {
    let mut given = BTreeMap::new();
    for (at, def) in spec.maps.iter_mut().enumerate() {
        let mut map = MapFixup { def, fd: None };
        fixup(&mut map, at);
        if let Some(fd) = map.fd {
            given.insert(MapId::new(at), fd);
        }
    }
    given
}

impl BpfFile {
    /// The article's `jmp_table_add_prog(map_fd_id, key, prog_fd_id)`: puts a program into a jump table, reads the slot
    /// back and checks that it holds the program's **id**, which is returned.
    ///
    /// # Errors
    /// [`LoadError`]: an index that is not there, or the call that failed.
    pub fn jmp_table_add_prog(
        &self,
        map_fd_id: usize,
        key: u32,
        prog_fd_id: usize,
    ) -> Result<u32, LoadError> {
        let missing = |what: &str, at| LoadError::NotInPlan { what: format!("{what}[{at}]") };
        let map = self.map_fd.get(map_fd_id).ok_or_else(|| missing("map_fd", map_fd_id))?;
        let program = self.prog_fd.get(prog_fd_id).ok_or_else(|| missing("prog_fd", prog_fd_id))?;
        let id = slot::fill(&Linux, map.named(), key, Content::Program(program.named()))?;
        let unknown = || missing("id of prog_fd", prog_fd_id);
        id.ok_or_else(unknown)
    }
}

/// Shows what programs print with `bpf_trace_printk`, line by line as it comes, until `show` breaks.
///
/// Unlike the original it reads from an instance of its own and takes no lines from others.
///
/// # Errors
/// [`Error::Trace`] if trace output cannot be reached.
pub fn read_trace_pipe(mut show: impl FnMut(&TraceLine) -> ControlFlow<()>) -> Result<(), Error> {
    let instance = TraceInstance::new()?;
    let mut pipe = instance.pipe()?;
    while let Some(line) = pipe.next_line().map_err(Error::TraceRead)? {
        if show(&line).is_break() {
            break;
        }
    }
    Ok(())
}
