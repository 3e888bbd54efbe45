//! [`Loader`]: brings an [`Object`] into a kernel.
//!
//! A thin face on the pipeline, without steps of its own: externs, link, plan, execute. What the object is comes from
//! [`Object`], what the kernel and the wishes are stands here.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;

use crate::error::Error;
use crate::features::Machine;
use crate::load::{self, CodeTypes, Given, LoadError, LoadedObject, LogPolicy};
use crate::object::Object;
use crate::plan::{self, Options};
use crate::spec::MapSpec;
use crate::sys::{Kernel, Linux, MapInfo, Named, host};
use crate::uapi::ProgType;

/// Brings objects into a kernel; one loader can load many.
#[derive(Clone, Debug)]
pub struct Loader<K = Linux> {
    kernel: K,
    machine: Machine,
    default_type: Option<ProgType>,
    log: LogPolicy,
    jobs: Option<NonZeroUsize>,
}

impl Loader {
    /// A loader for the running kernel.
    pub fn new() -> Self {
        Self::with_kernel(Linux, host::machine())
    }
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Kernel> Loader<K> {
    /// A loader for another kernel, such as a [`Recorder`](crate::sys::Recorder) around the running one, on a machine
    /// that can do what `machine` says.
    pub fn with_kernel(kernel: K, machine: Machine) -> Self {
        Self { kernel, machine, default_type: None, log: LogPolicy::default(), jobs: None }
    }

    /// Loads programs whose section does not say their type, such as `prog`, as this one. Without it they are an error.
    #[must_use]
    pub fn default_type(mut self, ty: ProgType) -> Self {
        self.default_type = Some(ty);
        self
    }

    /// Says how much of the verifier's log an error is to carry.
    #[must_use]
    pub fn log(mut self, log: LogPolicy) -> Self {
        self.log = log;
        self
    }

    /// Has at most so many programs verified at once; without it, as many as there are processors.
    #[must_use]
    pub fn jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// The kernel it loads into, to ask about what was loaded.
    pub fn kernel(&self) -> &K {
        &self.kernel
    }

    /// Loads an object: creates its maps with their contents, loads its programs, fills its jump tables.
    ///
    /// # Errors
    /// [`Error::Load`]: what failed, where and why. Nothing stays behind.
    pub fn load(&self, object: Object) -> Result<LoadedObject, Error> {
        let Object { mut spec, types, reused, inner, targets, slots } = object;
        for (id, fd) in &reused {
            let Some(map) = spec.maps.get_mut(id.index()) else {
                continue;
            };
            let info = self.info(map, fd)?;
            check_fit(map, &info)?;
            map.max_entries = info.max_entries;
        }
        for (id, fd) in &targets {
            if let Some(program) = spec.programs.get_mut(id.index()) {
                let name = format!("given for {:?}", program.name);
                program.of = Some(load::target_program(&self.kernel, &name, fd)?);
            }
        }
        let linked = load::link_for(spec, &self.machine, CodeTypes::Running)?;
        let options = Options {
            types,
            slots,
            default_type: self.default_type,
            reused: reused.keys().copied().collect(),
            inner_given: inner.keys().copied().collect(),
            ..Options::default()
        };
        let machine = load::machine_for(&self.kernel, &linked, &self.machine, &options);
        let plan = plan::plan(&linked, &machine, &options).map_err(LoadError::from)?;
        let given = Given { maps: reused, inner, targets, log: self.log, jobs: self.jobs };
        Ok(load::execute(&plan, &self.kernel, given)?)
    }

    fn info(&self, map: &MapSpec, fd: &impl AsFd) -> Result<MapInfo, LoadError> {
        let handle = Named { name: &map.name, fd: fd.as_fd() };
        self.kernel.map_info(handle).map_err(|errno| LoadError::Info {
            what: format!("the open map to be used for map {:?}", map.name),
            command: "BPF_OBJ_GET_INFO_BY_FD",
            errno,
        })
    }
}

/// Whether programs that were compiled for one map can use the other.
fn check_fit(map: &MapSpec, open: &MapInfo) -> Result<(), LoadError> {
    let differs = |field, found: String, expected: String| LoadError::Reuse {
        map: map.name.to_string(),
        field,
        found,
        expected,
    };
    if open.ty != map.ty {
        return Err(differs("type", open.ty.to_string(), map.ty.to_string()));
    }
    let sizes = [("key size", open.key_size, map.key_size), ("value size", open.value_size, map.value_size)];
    match sizes.into_iter().find(|(_, found, expected)| found != expected) {
        Some((field, found, expected)) => {
            Err(differs(field, format!("{found} bytes"), format!("{expected} bytes")))
        }
        None => Ok(()),
    }
}
