//! How long a map's keys and values are: what must be known before a call that has some.
//!
//! The kernel takes addresses without lengths. It reads and writes as much as the map says, whatever the caller thought.

use super::linux::info_by_fd;
use super::{Errno, Named, attr, host};
use crate::bytes::to_usize;
use crate::uapi::MapType;

/// A map, and how long its keys and values are. It borrows the map's descriptor, so that it stays true.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredMap<'m> {
    map: Named<'m>,
    said: Option<(u32, u32)>,
    room: Option<Room>,
}

/// How many **bytes** the running kernel reads or writes; 0 where nobody says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) key: usize,
    pub(super) value: usize,
}

impl<'m> MeasuredMap<'m> {
    /// The map.
    pub const fn map(&self) -> Named<'m> {
        self.map
    }

    /// **Bytes** of a key and of a value, as the kernel said; of a value of one CPU, where each has its own. `None` if it
    /// does not say: Linux before 4.13.
    pub const fn said(&self) -> Option<(u32, u32)> {
        self.said
    }

    /// What a kernel says that is none. The running one does not believe it.
    pub(super) const fn supposed(map: Named<'m>, said: Option<(u32, u32)>) -> Self {
        Self { map, said, room: None }
    }

    /// Asks the running kernel.
    pub(super) fn asked(map: Named<'m>) -> Result<Self, Errno> {
        let mut info = attr::MapInfo::default();
        match info_by_fd(map, &mut info) {
            // Then the caller's sizes count.
            Err(Errno::EINVAL) => {
                return Ok(Self { map, said: None, room: Some(Room { key: 0, value: 0 }) });
            }
            other => other?,
        }
        let (key, mut value) = (to_usize(info.key_size), to_usize(info.value_size));
        if MapType(info.ty).is_per_cpu() {
            let cpus = to_usize(host::listed_cpus().ok_or(Errno::EINVAL)?);
            value = value.next_multiple_of(8).saturating_mul(cpus);
        }
        Ok(Self { map, said: Some((info.key_size, info.value_size)), room: Some(Room { key, value }) })
    }

    /// How much the running kernel reads or writes; it is asked if somebody else said it.
    pub(super) fn room(&self) -> Result<Room, Errno> {
        match self.room {
            Some(room) => Ok(room),
            None => Self::asked(self.map).map(|asked| asked.room.unwrap_or(Room { key: 0, value: 0 })),
        }
    }
}
