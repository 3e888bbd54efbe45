//! Tries every step of a plan and reports on each: what loads, and what does not and why.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::parallel::OnFailure;
use super::session::Session;
use super::{Given, LoadError, Note};
use crate::plan::{CreateMap, LoadPlan, LoadProgram, MapSlot, Step};
use crate::spec::{MapId, ProgId};
use crate::sys::{Kernel, MapInfo, Named, ProgInfo, files};

/// How a plan went.
#[derive(Debug)]
pub struct Report<'p> {
    /// Maps, in definition order, also those that no call could create.
    pub maps: Vec<MapReport<'p>>,
    /// Programs, in definition order, also those that no call could load.
    pub programs: Vec<ProgramReport>,
    /// Slots that could not be filled, and pins that could not be made.
    pub slots: Vec<LoadError>,
    /// What the kernel refused and went without: no errors.
    pub notes: Vec<Note>,
    /// All maps and programs, which go with the report.
    pub held: Held,
}

/// Maps and programs that were made only to see whether they can be. Dropping it closes them all, in few calls.
#[derive(Debug, Default)]
pub struct Held(Vec<OwnedFd>);

impl Drop for Held {
    fn drop(&mut self) {
        files::close_all(self.0.drain(..));
    }
}

/// How the creation of a map went.
#[derive(Debug)]
pub struct MapReport<'p> {
    /// Its number.
    pub id: MapId,
    /// What was asked for.
    pub create: &'p CreateMap,
    /// What the kernel says about it; `None` if nobody asked.
    pub result: Result<Option<Box<MapInfo>>, Box<LoadError>>,
}

impl MapReport<'_> {
    /// Why it could not be created, if it could not.
    pub fn error(&self) -> Option<&LoadError> {
        self.result.as_ref().err().map(|error| &**error)
    }
}

/// How the load of a program went.
#[derive(Debug)]
pub struct ProgramReport {
    /// Its number.
    pub id: ProgId,
    /// What the kernel took, or was asked to take; `None` if no call could be made, or if nobody says the program's type and
    /// none was found.
    pub load: Option<LoadProgram>,
    /// What the kernel says about it; `None` if nobody asked.
    pub result: Result<Option<ProgInfo>, LoadError>,
    /// Time that the kernel took.
    pub took: Duration,
}

/// Whether to ask the kernel what it made of a map or program: one call more for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Ask: the report holds ids and tags.
    Everything,
    /// Only whether it loaded.
    Nothing,
}

/// Makes all calls of a plan, and goes on after failures. Nothing stays behind when the report is dropped.
pub fn verify<'p, K: Kernel>(plan: &'p LoadPlan<'p>, kernel: &K, given: Given, ask: Ask) -> Report<'p> {
    // Beyond the hard limit, the calls that find no room say so.
    let _what_fits = super::make_room(plan);
    let mut session = Session::new(plan, kernel, given, OnFailure::GoOn);
    // Growing by and by would copy thousands of them again and again.
    let maps = Vec::with_capacity(plan.object.spec.maps.len());
    let mut report =
        Report { maps, programs: Vec::new(), slots: Vec::new(), notes: Vec::new(), held: Held::default() };
    for step in &plan.steps {
        let result = session.step(step);
        match step {
            Step::CreateMap(create) => {
                let info = || info("map", session.map(create.slot), |map| kernel.map_info(map));
                report.map(create, result.and_then(|()| ask.when_wanted(info)));
            }
            Step::SetData(id) | Step::Freeze(id) | Step::MapMemory { map: id, .. } => {
                report.map_went_on(*id, result)
            }
            Step::LoadProgram(load) => {
                let info =
                    || info("program", session.program(load.program), |program| kernel.prog_info(program));
                let result = result.and_then(|()| ask.when_wanted(info));
                let taken = session.loaded_as(load.program).cloned();
                let load_or_none = taken.or_else(|| Some(load.clone()).filter(|load| load.said));
                let took = session.took;
                report.programs.push(ProgramReport { id: load.program, load: load_or_none, result, took });
            }
            Step::PinnedMap(pinned) => {
                if let Some(create) = pinned.create() {
                    let info = || info("map", session.map(create.slot), |map| kernel.map_info(map));
                    report.map(create, result.and_then(|()| ask.when_wanted(info)));
                }
            }
            Step::FillSlot(_) => {
                report.slots.extend(result.err().filter(|error| !is_said_elsewhere(step, error)));
            }
            Step::PinDir(_) | Step::Pin(_) => report.slots.extend(result.err()),
            // Programs that need it say so.
            Step::LoadBtf(_) | Step::ModuleBtf(_) => {}
        }
    }
    (report.notes, report.held.0) = session.end();
    let refused = plan.refused.iter().map(|(id, error)| ProgramReport {
        id: *id,
        load: None,
        result: Err(error.clone().into()),
        took: Duration::ZERO,
    });
    report.programs.extend(refused);
    report.programs.sort_by_key(|program| program.id);
    for (create, error) in &plan.refused_maps {
        report.map(create, Err(error.clone().into()));
    }
    report.maps.sort_by_key(|map| map.id);
    report.slots.extend(plan.refused_slots.iter().map(|error| error.clone().into()));
    report
}

/// Whether a slot is empty because its map or program is not there: why, is said about that.
pub(super) fn is_said_elsewhere(step: &Step, error: &LoadError) -> bool {
    matches!(step, Step::FillSlot(_))
        && matches!(error, LoadError::MapMissing { .. } | LoadError::NotInPlan { .. })
}

impl<'p> Report<'p> {
    /// The first error, if anything failed.
    pub fn first_error(&self) -> Option<&LoadError> {
        let maps = self.maps.iter().filter_map(MapReport::error);
        let programs = self.programs.iter().filter_map(|program| program.result.as_ref().err());
        maps.chain(programs).chain(&self.slots).next()
    }

    fn map(&mut self, create: &'p CreateMap, result: Result<Option<MapInfo>, LoadError>) {
        // Templates and copies are our own doing; nobody asked about them.
        let MapSlot::Map(id) = create.slot else {
            return;
        };
        let result = result.map(|info| info.map(Box::new)).map_err(Box::new);
        self.maps.push(MapReport { id, create, result });
    }

    fn map_went_on(&mut self, id: MapId, result: Result<(), LoadError>) {
        let map = self.maps.iter_mut().rfind(|map| map.id == id && map.result.is_ok());
        if let (Some(map), Err(error)) = (map, result) {
            map.result = Err(Box::new(error));
        }
    }
}

impl Ask {
    fn when_wanted<T>(self, ask: impl FnOnce() -> Result<T, LoadError>) -> Result<Option<T>, LoadError> {
        match self {
            Self::Everything => ask().map(Some),
            Self::Nothing => Ok(None),
        }
    }
}

fn info<T>(
    what: &str,
    handle: Option<Named<'_>>,
    ask: impl FnOnce(Named<'_>) -> Result<T, crate::sys::Errno>,
) -> Result<T, LoadError> {
    let name = handle.map_or("?", |handle| handle.name);
    let failed = |errno| LoadError::Info {
        what: format!("{what} {name:?}"),
        command: "BPF_OBJ_GET_INFO_BY_FD",
        errno,
    };
    handle.map_or(Err(crate::sys::Errno::ENOENT), ask).map_err(failed)
}
