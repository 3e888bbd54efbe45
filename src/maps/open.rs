//! Finds a map by what people call it: an id, a name, or where it is pinned.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rxdp_loader::btf::Btf;
use rxdp_loader::bytes::Endian;
use rxdp_loader::load::Entries;
use rxdp_loader::sys::{Errno, Kernel, Linux, MapDetails, MapInfo, MapTypeIds, Named, PinKind, ProgInfo};
use rxdp_loader::uapi::KernelName;

use super::layout::Types;
use super::{Layout, MapError};
use crate::error::Failure;
use crate::inventory;

/// A map of the kernel, opened.
#[derive(Debug)]
pub(crate) struct OpenMap {
    pub(crate) fd: OwnedFd,
    pub(crate) info: MapInfo,
    pub(crate) details: MapDetails,
}

impl OpenMap {
    fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let handle = Named { name: "map", fd: fd.as_fd() };
        let (info, details) = (Linux.map_info(handle)?, Linux.map_details(handle)?);
        Ok(Self { fd, info, details })
    }

    /// A map by its id; `None` if it is gone, or may not be opened.
    pub(crate) fn by_id(id: u32) -> Option<Self> {
        Linux.map_by_id(id).and_then(Self::new).ok()
    }

    /// Descriptor and name, to ask the kernel with.
    pub(crate) fn named(&self) -> Named<'_> {
        Named { name: &self.info.name, fd: self.fd.as_fd() }
    }

    /// Its entries.
    pub(crate) fn entries(&self) -> Result<Entries<'_, Linux>, Failure> {
        Entries::of(self.named(), &self.info, &Linux).map_err(|error| self.failed(error))
    }

    /// How its entries look. With `hex`, everything is bytes, and its types are not asked for.
    pub(crate) fn layout(&self, hex: bool) -> Result<Layout, MapError> {
        let types = match self.details.types.filter(|_| !hex) {
            Some(ids) => Some(self.types(ids)?),
            None => None,
        };
        Ok(Layout::new(&self.info, types, hex))
    }

    fn types(&self, MapTypeIds { btf, key, value }: MapTypeIds) -> Result<Types, MapError> {
        let wrong = |why| MapError::Types { map: self.info.name.clone(), id: btf, why };
        let bytes = Linux.types_by_id(btf).map_err(|errno| wrong(errno.to_string()))?;
        let types = Btf::parse(&bytes, Endian::NATIVE).map_err(|error| wrong(error.to_string()))?;
        Ok((types, key, value))
    }

    /// A failure of the loader about this map.
    pub(crate) fn failed(&self, error: rxdp_loader::load::LoadError) -> Failure {
        Failure::object(&format!("map id {}", self.info.id), error)
    }
}

/// The map that somebody means: `7`, `rxcnt`, `/sys/fs/bpf/rxcnt`.
pub(crate) fn find(given: &str) -> Result<OpenMap, MapError> {
    let fd = match reading(given) {
        Reading::Id(id) => Linux.map_by_id(id).map_err(|errno| match errno {
            Errno::ENOENT => MapError::NoId(id),
            errno => refused(format!("opening map id {id}"), errno),
        })?,
        Reading::Path(path) => pinned(path, PinKind::Map)?,
        Reading::Name(name) => by_name(name)?,
    };
    OpenMap::new(fd).map_err(|errno| refused(format!("asking about map {given}"), errno))
}

/// The program that somebody means, in the same words.
pub(crate) fn find_program(given: &str) -> Result<(OwnedFd, ProgInfo), MapError> {
    let no_such = || MapError::NoProgram { given: given.to_string() };
    let fd = match reading(given) {
        Reading::Id(id) => Linux.prog_by_id(id).map_err(|errno| match errno {
            Errno::ENOENT => no_such(),
            errno => refused(format!("opening program id {id}"), errno),
        })?,
        Reading::Path(path) => pinned(path, PinKind::Program)?,
        Reading::Name(name) => {
            let wanted = KernelName::of(name);
            let all =
                inventory::programs().map_err(|errno| refused("listing programs".to_string(), errno))?;
            let ids: Vec<u32> =
                all.iter().filter(|info| info.name == wanted.as_str()).map(|info| info.id).collect();
            match ids.as_slice() {
                [] => return Err(no_such()),
                [id] => Linux.prog_by_id(*id).map_err(|_gone| no_such())?,
                _ => return Err(MapError::Several { what: "programs", given: given.to_string(), ids }),
            }
        }
    };
    let info = Linux.prog_info(Named { name: "program", fd: fd.as_fd() });
    let info = info.map_err(|errno| refused(format!("asking about program {given}"), errno))?;
    Ok((fd, info))
}

/// What somebody calls a thing by.
#[derive(PartialEq, Eq, Debug)]
enum Reading<'a> {
    Id(u32),
    Path(&'a Path),
    Name(&'a str),
}

fn reading(given: &str) -> Reading<'_> {
    match given.parse() {
        Ok(id) => Reading::Id(id),
        Err(_) if given.contains('/') => Reading::Path(Path::new(given)),
        Err(_) => Reading::Name(given),
    }
}

fn by_name(name: &str) -> Result<OwnedFd, MapError> {
    // The kernel keeps 15 bytes of a name.
    let wanted = KernelName::of(name);
    let all = Linux.map_ids().map_err(|errno| refused("listing maps".to_string(), errno))?;
    let mut found: Vec<(u32, OwnedFd)> = Vec::new();
    for (fd, info) in all.into_iter().filter_map(inventory::open_map) {
        if info.name == wanted.as_str() {
            found.push((info.id, fd));
        }
    }
    match found.len() {
        0 => Err(MapError::NoSuch { given: name.to_string() }),
        1 => found.pop().map(|(_, fd)| fd).ok_or(MapError::NoSuch { given: name.to_string() }),
        _ => Err(MapError::Several {
            what: "maps",
            given: name.to_string(),
            ids: found.into_iter().map(|(id, _)| id).collect(),
        }),
    }
}

fn pinned(path: &Path, wanted: PinKind) -> Result<OwnedFd, MapError> {
    let shown = path.display().to_string();
    let pin = Linux.obj_get(path).map_err(|errno| match errno {
        Errno::ENOENT => MapError::NotPinned { path: shown.clone() },
        errno => refused(format!("opening what is pinned at {shown}"), errno),
    })?;
    if pin.kind == wanted {
        return Ok(pin.fd);
    }
    let name = |kind| match kind {
        PinKind::Map => "a map",
        PinKind::Program => "a program",
        PinKind::Link => "a link",
        PinKind::Other => "something else",
    };
    Err(MapError::OtherPin { path: shown, wanted: name(wanted), found: name(pin.kind) })
}

/// The kernel did not do something.
pub(crate) fn refused(what: String, errno: Errno) -> MapError {
    MapError::Refused { what, errno, because: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_an_id_and_slashes_a_path() {
        assert_eq!(reading("7"), Reading::Id(7));
        assert_eq!(reading("7a"), Reading::Name("7a"));
        assert_eq!(reading("./7"), Reading::Path(Path::new("./7")));
        assert_eq!(reading("99999999999"), Reading::Name("99999999999"));
    }
}
