//! The value by which a dispatcher is told what to do, in its three versions: bytes in, values out, and back.
//!
//! All numbers stand in this machine's byte order, each field where a C compiler puts it. Layouts and checks are facts of
//! libxdp; `docs/dispatcher.md` shows them.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use rxdp_loader::bytes::{Endian, Reader, Truncated};

use crate::actions::Actions;

/// Most programs of a dispatcher.
pub const SLOTS: usize = 10;

/// The first byte since version 2. In version 1 it is the number of programs, which is at most 10.
pub const MAGIC: u8 = 236;

bitflags::bitflags! {
    /// What is noted of a program besides. Flags that have no name here are kept.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct SlotFlags: u32 {
        /// `BPF_F_XDP_HAS_FRAGS`: it takes packets of several buffers.
        const FRAGS = 1 << 5;
        /// `BPF_F_XDP_DEV_BOUND_ONLY`: it is bound to the interface.
        const DEVICE_BOUND = 1 << 6;
        const _ = !0;
    }
}

/// A version of the protocol that is known here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Version {
    /// xdp-tools up to 1.2.10. It is read and taken off, never changed.
    V1,
    /// xdp-tools 1.3 to 1.5. What is made here, too.
    V2,
    /// xdp-tools since 1.6.
    V3,
}

impl Version {
    /// The version of this number; `None` if it is not known here.
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            _ => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// Size of the value in **bytes**.
    pub const fn size(self) -> usize {
        match self {
            Self::V1 => 84,
            Self::V2 => 124,
            Self::V3 => 128,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// What a dispatcher does with the program of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot {
    /// Its place among the others: lower numbers are called first.
    pub priority: u32,
    /// The verdicts after which the next program is called.
    pub actions: Actions,
    /// What else is noted of it. Since version 2.
    pub flags: SlotFlags,
}

/// The value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Its version.
    pub version: Version,
    /// Whether the dispatcher takes packets of several buffers. Since version 2.
    pub frags: bool,
    /// Whether the dispatcher is bound to the interface. Since version 3.
    pub device_bound: bool,
    /// Its programs, in the order in which they are called; at most [`SLOTS`].
    pub slots: Vec<Slot>,
}

/// Why bytes are no value of a dispatcher.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It has not the size of its version.
    #[error("the configuration has {found} bytes, and version {version} has {expected}")]
    Size {
        /// The version.
        version: Version,
        /// Size in bytes.
        found: usize,
        /// Size in bytes.
        expected: usize,
    },
    /// It does not begin with the magic number and its version.
    #[error("the configuration begins with {found:?}, and one of version {version} with [236, {version}]")]
    Head {
        /// The version.
        version: Version,
        /// The first two bytes.
        found: [u8; 2],
    },
    /// More programs than there are slots.
    #[error("the configuration tells of {0} programs, and there are 10 slots")]
    Count(u8),
    /// It ends early. The size was checked before, so this does not happen.
    #[error(transparent)]
    Truncated(#[from] Truncated),
}

impl Config {
    /// The version that a value says that it has; `None` if it says nothing, as those of version 1.
    pub fn version_in(value: &[u8]) -> Option<u8> {
        match value {
            [MAGIC, version, ..] => Some(*version),
            _ => None,
        }
    }

    /// Reads a value of this version.
    ///
    /// # Errors
    /// [`ConfigError`]: it is none.
    pub fn decode(version: Version, value: &[u8]) -> Result<Self, ConfigError> {
        let (found, expected) = (value.len(), version.size());
        if found != expected {
            return Err(ConfigError::Size { version, found, expected });
        }
        let mut reader = Reader::new(value, Endian::NATIVE);
        let (count, frags) = head(&mut reader, version)?;
        if usize::from(count) > SLOTS {
            return Err(ConfigError::Count(count));
        }
        let actions = words(&mut reader)?;
        let priorities = words(&mut reader)?;
        let flags = if version == Version::V1 { vec![0; SLOTS] } else { words(&mut reader)? };
        let device_bound = version >= Version::V3 && reader.u8("device binding")? != 0;
        let slots = actions.into_iter().zip(priorities).zip(flags).take(usize::from(count));
        let slot = |((actions, priority), flags)| Slot {
            priority,
            actions: Actions::of_stored(actions),
            flags: SlotFlags::from_bits_retain(flags),
        };
        Ok(Self { version, frags, device_bound, slots: slots.map(slot).collect() })
    }

    /// The bytes. Programs beyond the tenth are left out; who makes a value sees to it that there are none.
    pub fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.slots.len().min(SLOTS)).unwrap_or_default();
        let mut value = match self.version {
            Version::V1 => vec![count, 0, 0, 0],
            Version::V2 | Version::V3 => vec![MAGIC, self.version.number(), count, u8::from(self.frags)],
        };
        let mut column = |field: fn(&Slot) -> u32| {
            let used = self.slots.iter().take(SLOTS).map(field);
            let words = used.chain(core::iter::repeat(0)).take(SLOTS);
            words.for_each(|word| value.extend_from_slice(&word.to_ne_bytes()));
        };
        column(|slot| slot.actions.stored());
        column(|slot| slot.priority);
        if self.version >= Version::V2 {
            column(|slot| slot.flags.bits());
        }
        if self.version >= Version::V3 {
            value.push(u8::from(self.device_bound));
        }
        // What the compiler adds so that the next structure would stand at a multiple of four.
        value.resize(self.version.size(), 0);
        value
    }
}

/// The number of programs, and whether the dispatcher takes packets of several buffers.
fn head(reader: &mut Reader<'_>, version: Version) -> Result<(u8, bool), ConfigError> {
    let mut byte = || reader.u8("the head of a configuration");
    let found = [byte()?, byte()?, byte()?, byte()?];
    match (version, found) {
        (Version::V1, [count, ..]) => Ok((count, false)),
        (_, [MAGIC, number, count, frags]) if number == version.number() => Ok((count, frags != 0)),
        (_, [first, second, ..]) => Err(ConfigError::Head { version, found: [first, second] }),
    }
}

fn words(reader: &mut Reader<'_>) -> Result<Vec<u32>, Truncated> {
    (0..SLOTS).map(|_| reader.u32("the slots of a configuration")).collect()
}
