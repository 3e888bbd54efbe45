//! One slot of a jump table or of a map of maps: filled, and read back.

use super::LoadError;
use crate::sys::{Errno, Kernel, MapUpdate, MapValue, Named};
use crate::uapi::UpdateFlags;

/// What a slot is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'a> {
    /// A program.
    Program(Named<'a>),
    /// A map.
    Map(Named<'a>),
}

/// Puts a program or map into a slot and reads the slot back: it must hold the **id** of what was put there, though a
/// descriptor was given. These are the article's asserts.
///
/// Returns the id; `None` on Linux before 4.13, which knows no ids.
pub(crate) fn fill<K: Kernel>(
    kernel: &K,
    table: Named<'_>,
    key: u32,
    content: Content<'_>,
) -> Result<Option<u32>, LoadError> {
    let (Content::Program(value) | Content::Map(value)) = content;
    let (map, name) = (|| table.name.to_string(), || value.name.to_string());
    let request = MapUpdate {
        map: table,
        key: &key.to_ne_bytes(),
        value: MapValue::Named(value),
        flags: UpdateFlags::empty(),
    };
    let failed = |errno| LoadError::Slot { map: map(), key, value: name(), errno };
    kernel.map_update(&request).map_err(failed)?;

    let id = match content {
        Content::Program(program) => kernel.prog_info(program).map(|info| info.id),
        Content::Map(inner) => kernel.map_info(inner).map(|info| info.id),
    };
    let expected = match id {
        Ok(id) => id,
        Err(Errno::EINVAL) => return Ok(None),
        Err(errno) => {
            let what = format!("{:?}", value.name);
            return Err(LoadError::Info { what, command: "BPF_OBJ_GET_INFO_BY_FD", errno });
        }
    };
    let failed = |errno| LoadError::Info {
        what: format!("map {:?}, key {key}", table.name),
        command: "BPF_MAP_LOOKUP_ELEM",
        errno,
    };
    let found = kernel.slot_id(table, key).map_err(failed)?;
    if found != expected {
        return Err(LoadError::SlotReadBack { map: map(), key, value: name(), expected, found });
    }
    Ok(Some(found))
}
