//! Adds a program to those of an interface, or takes some off: look, plan, build, exchange, clean up, under the lock.
//!
//! Whoever is slower than others looks again and decides anew. What was built for nothing goes again before that: links
//! and programs with their descriptors, pins when their set is dropped.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rxdp_loader::sys::Kernel;

use crate::build;
use crate::config::{Slot, SlotFlags};
use crate::error::{Error, Unreadable};
use crate::found::NoDispatcher;
use crate::order::Component;
use crate::pins::{self, Pinned};
use crate::plan::{self, Build, Change, Dispatcher, Refusal};
use crate::port::{Outcome, Port};
use crate::room::{self, Room};
use crate::state::{self, Found, Read};

/// How often a lost race is run again.
const TRIES: usize = 20;

/// A program that is to be called by the interface's dispatcher, loaded for a
/// [`Prototype`](crate::prototype::Prototype).
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// It.
    pub fd: BorrowedFd<'a>,
    /// Its whole name.
    pub name: &'a str,
    /// What the dispatcher is to do with it.
    pub slot: Slot,
}

/// A program was added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Added<M> {
    /// The dispatcher that is attached now.
    pub dispatcher: Dispatcher,
    /// The place of the new program in it.
    pub place: usize,
    /// How the dispatcher is attached.
    pub mode: M,
}

/// Programs were to be taken off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Removed {
    /// They are off; the others go on.
    Others(Dispatcher),
    /// They are off, and were the last: nothing is attached any more.
    All,
    /// None of them is there: others took them off. Nothing was changed.
    NotThere,
    /// A program that is no dispatcher has taken the place of all. Nothing was changed.
    Replaced {
        /// Its id.
        by: u32,
    },
}

/// Adds a program to those of an interface; the first one brings the dispatcher. `mode` is meant if nothing is attached
/// yet; otherwise it must be the one that is found.
///
/// # Errors
/// [`Error`]. Then the interface carries what it carried, and nothing is left of the new.
pub fn add<K: Kernel, P: Port>(
    kernel: &K,
    port: &P,
    new: New<'_>,
    mode: Option<P::Mode>,
) -> Result<Added<P::Mode>, Error<P::Error>> {
    let component = state::component(kernel, &new.fd)?;
    let component = Component { name: new.name.to_string(), slot: new.slot, ..component };
    for _ in 0..TRIES {
        let room = Room::enter(kernel)?;
        let (found, attached) = match look(kernel, port, &room.path)? {
            Look::Nothing => (None, None),
            Look::Again => continue,
            Look::Other { id, why } => return Err(Error::Occupied { id, why }),
            Look::Dispatcher(found, attached) => (Some(found), Some(attached)),
        };
        if let (Some(attached), Some(wanted)) = (attached, mode) {
            if attached != wanted {
                return Err(Error::Mode { found: attached.to_string(), wanted: wanted.to_string() });
            }
        }
        let frags = component.slot.flags.contains(SlotFlags::FRAGS) && knows_frags(kernel);
        let build = plan::with(found.as_ref().map(|found| &found.dispatcher), component.clone(), frags)?;
        let room = &room.path;
        let exchange = Exchange { kernel, port, room, found: found.as_ref(), new: Some(new.fd) };
        let mode = attached.or(mode);
        if let Outcome::Done((dispatcher, mode)) = exchange.build(&build, component.id, mode)? {
            let place = dispatcher.components.iter().position(|one| one.id == component.id);
            return Ok(Added { dispatcher, place: place.unwrap_or_default(), mode });
        }
    }
    Err(Error::Races(TRIES))
}

/// Takes programs off that an interface's dispatcher calls, whichever dispatcher that is by now.
///
/// # Errors
/// [`Error`]. Then the interface carries what it carried.
pub fn remove<K: Kernel, P: Port>(kernel: &K, port: &P, ids: &[u32]) -> Result<Removed, Error<P::Error>> {
    for _ in 0..TRIES {
        // Where there is no directory there is no dispatcher, and none is made to find that out.
        let room = Room::if_there()?;
        let path = room.as_ref().map_or_else(room::path, |room| room.path.clone());
        let (found, mode) = match look(kernel, port, &path)? {
            Look::Nothing => return Ok(Removed::NotThere),
            Look::Again => continue,
            Look::Other { id, why: Unreadable::NoDispatcher(NoDispatcher::Name(_)) } => {
                return Ok(Removed::Replaced { by: id });
            }
            Look::Other { id, why } => return Err(Error::Occupied { id, why }),
            Look::Dispatcher(found, mode) => (found, mode),
        };
        let there = |id: &u32| found.dispatcher.components.iter().any(|component| component.id == *id);
        if !ids.iter().any(there) {
            return Ok(Removed::NotThere);
        }
        let frags = found.dispatcher.components.iter().any(|one| one.slot.flags.contains(SlotFlags::FRAGS));
        let change = plan::without(&found.dispatcher, ids, frags && knows_frags(kernel))?;
        let exchange = Exchange { kernel, port, room: &path, found: Some(&found), new: None };
        match change {
            Change::Build(build) => {
                if let Outcome::Done((dispatcher, _)) = exchange.build(&build, 0, Some(mode))? {
                    return Ok(Removed::Others(dispatcher));
                }
            }
            Change::TakeOff => {
                if let Outcome::Done(()) = port.detach(found.fd.as_fd(), mode).map_err(Error::Port)? {
                    pins::remove(kernel, &room::of(&path, port.ifindex(), found.dispatcher.id));
                    return Ok(Removed::All);
                }
            }
        }
    }
    Err(Error::Races(TRIES))
}

/// Calls `act`, which is to take the program `id` off the interface, and removes the pins that a dispatcher of this id has
/// there.
///
/// # Errors
/// What `act` says, and [`Error::Room`] if it cannot be called: the lock is held by somebody. Then the pins stay.
pub fn take_off<T, E>(
    kernel: &impl Kernel,
    ifindex: u32,
    id: u32,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, Error<E>> {
    let room = Room::if_there()?;
    let done = act().map_err(Error::Port)?;
    if let Some(dir) = room.as_ref().map(|room| room.of(ifindex, id)).filter(|dir| dir.exists()) {
        pins::remove(kernel, &dir);
    }
    Ok(done)
}

/// What an interface carries.
enum Look<M> {
    Nothing,
    /// What was there has gone while it was looked at.
    Again,
    Other {
        id: u32,
        why: Unreadable,
    },
    Dispatcher(Found, M),
}

fn look<K: Kernel, P: Port>(kernel: &K, port: &P, room: &Path) -> Result<Look<P::Mode>, Error<P::Error>> {
    let Some((id, mode)) = port.look().map_err(Error::Port)? else {
        return Ok(Look::Nothing);
    };
    match state::read_in(kernel, room, port.ifindex(), id)? {
        Read::Dispatcher(found) => Ok(Look::Dispatcher(found, mode)),
        Read::Gone => Ok(Look::Again),
        Read::Other(why) => {
            // Pins may have gone with a dispatcher that was exchanged under our eyes.
            let still = port.look().map_err(Error::Port)?.map(|(id, _)| id);
            if still == Some(id) { Ok(Look::Other { id, why }) } else { Ok(Look::Again) }
        }
    }
}

/// Whether this kernel knows programs that take packets of several buffers.
fn knows_frags(kernel: &impl Kernel) -> bool {
    build::pass(kernel, None, true).is_ok()
}

/// One exchange of a dispatcher for another.
struct Exchange<'a, K: Kernel, P: Port> {
    kernel: &'a K,
    port: &'a P,
    room: &'a Path,
    found: Option<&'a Found>,
    new: Option<BorrowedFd<'a>>,
}

/// The dispatcher that is attached now, and how.
type Exchanged<M> = Outcome<(Dispatcher, M)>;

impl<K: Kernel, P: Port> Exchange<'_, K, P> {
    /// Builds a dispatcher, lets it take the place of what was found, and removes the pins of that.
    fn build(
        &self,
        build: &Build,
        new_id: u32,
        mode: Option<P::Mode>,
    ) -> Result<Exchanged<P::Mode>, Error<P::Error>> {
        let kernel = self.kernel;
        let loaded = build::dispatcher(kernel, &build.config)?;
        // All of them, or a slot would hold another one's program.
        let program = |one: &Component| self.program(one, new_id).ok_or(Refusal::NotThere(one.id));
        let programs: Vec<BorrowedFd<'_>> =
            build.components.iter().map(program).collect::<Result<_, Refusal>>()?;
        let links = build::links(kernel, &loaded, build, &programs)?;
        let id = state::component(kernel, &loaded.fd)?.id;
        let pinned = links.iter().zip(&programs);
        let pinned: Vec<Pinned<'_>> =
            pinned.map(|(link, program)| Pinned { link: link.as_fd(), program: *program }).collect();
        let set = pins::Set::make(kernel, room::of(self.room, self.port.ifindex(), id), &pinned)?;
        let outcome = match (self.found, mode) {
            (Some(found), Some(mode)) => {
                let outcome = self.port.replace(loaded.fd.as_fd(), found.fd.as_fd(), mode);
                outcome.map(|outcome| match outcome {
                    Outcome::Done(()) => Outcome::Done(mode),
                    Outcome::Lost => Outcome::Lost,
                })
            }
            (_, mode) => self.port.attach(loaded.fd.as_fd(), mode),
        };
        let Outcome::Done(mode) = outcome.map_err(Error::Port)? else {
            return Ok(Outcome::Lost);
        };
        set.keep();
        if let Some(found) = self.found {
            pins::remove(kernel, &room::of(self.room, self.port.ifindex(), found.dispatcher.id));
        }
        let components = build.components.iter().map(|one| Component { new: false, ..one.clone() }).collect();
        let (version, frags) = (build.config.version, build.config.frags);
        let dispatcher = Dispatcher { id, version, frags, device_bound: false, components };
        Ok(Outcome::Done((dispatcher, mode)))
    }

    /// The descriptor of a program of the new set.
    fn program(&self, component: &Component, new_id: u32) -> Option<BorrowedFd<'_>> {
        if let Some(new) = self.new.filter(|_| component.new && component.id == new_id) {
            return Some(new);
        }
        let found = self.found?;
        let at = found.dispatcher.components.iter().position(|old| old.id == component.id)?;
        found.programs.get(at).map(AsFd::as_fd)
    }
}
