//! The kernel's words for XDP over netlink: the flag word, the modes, and what it reports as attached.
//!
//! Numbers and their names only. No message, no socket.

use std::fmt;
use std::str::FromStr;

use netlink_packet_route::link::XdpAttached;

use crate::error::NetlinkError;

bitflags::bitflags! {
    /// The word behind `IFLA_XDP_FLAGS`.
    ///
    /// Source: `XDP_FLAGS_*`, `include/uapi/linux/if_link.h`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct XdpFlags: u32 {
        /// Attach only where nothing is attached. Since: Linux 4.11.
        const UPDATE_IF_NOEXIST = 1 << 0;
        /// Generic mode. Since: Linux 4.12.
        const SKB_MODE = 1 << 1;
        /// Native mode, in the driver. Since: Linux 4.12.
        const DRV_MODE = 1 << 2;
        /// Offloaded to the card. Since: Linux 4.13.
        const HW_MODE = 1 << 3;
        /// Act only if the program attached is the one behind `IFLA_XDP_EXPECTED_FD`. Since: Linux 5.7.
        const REPLACE = 1 << 4;
    }
}

/// Where on its way in a packet meets the program.
///
/// As a request, [`Auto`](Self::Auto) leaves the choice to the kernel. What a query finds is never `Auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum XdpMode {
    /// Native where the driver can, else generic. Flag word 0.
    #[default]
    Auto,
    /// In the driver, before the packet has a socket buffer. Source: `XDP_FLAGS_DRV_MODE`.
    Native,
    /// In the network core, for any driver. Source: `XDP_FLAGS_SKB_MODE`.
    Generic,
    /// On the card itself. Source: `XDP_FLAGS_HW_MODE`.
    Offload,
}

/// Every spelling of a mode, the one that is printed first.
const SPELLINGS: &[(&str, XdpMode)] = &[
    ("auto", XdpMode::Auto),
    ("native", XdpMode::Native),
    ("generic", XdpMode::Generic),
    ("offload", XdpMode::Offload),
    ("drv", XdpMode::Native),
    ("skb", XdpMode::Generic),
    ("hw", XdpMode::Offload),
];

impl XdpMode {
    /// The flag that asks for this mode; none for [`Auto`](Self::Auto).
    #[must_use]
    pub const fn flags(self) -> XdpFlags {
        match self {
            Self::Auto => XdpFlags::empty(),
            Self::Native => XdpFlags::DRV_MODE,
            Self::Generic => XdpFlags::SKB_MODE,
            Self::Offload => XdpFlags::HW_MODE,
        }
    }
}

impl FromStr for XdpMode {
    type Err = NetlinkError;

    /// Reads `auto`, `native` or `drv`, `generic` or `skb`, `offload` or `hw`.
    ///
    /// # Errors
    /// [`NetlinkError::UnknownMode`] for any other word.
    fn from_str(given: &str) -> Result<Self, NetlinkError> {
        SPELLINGS
            .iter()
            .find(|(word, _)| *word == given)
            .map(|(_, mode)| *mode)
            .ok_or_else(|| NetlinkError::UnknownMode { given: given.to_owned() })
    }
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offload => "offload",
        })
    }
}

/// What the kernel says is attached: `IFLA_XDP_ATTACHED`.
///
/// Source: `XDP_ATTACHED_*`, `include/uapi/linux/if_link.h`. Since: Linux 4.8; modes since 4.12, `Multi` since 4.19.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Attached {
    /// Nothing.
    #[default]
    None,
    /// One program, in native mode.
    Native,
    /// One program, in generic mode.
    Generic,
    /// One program, on the card.
    Offload,
    /// More than one, each in its mode.
    Multi,
    /// A number that is younger than this crate.
    Other(u8),
}

impl Attached {
    /// The mode, where there is exactly one.
    #[must_use]
    pub const fn mode(self) -> Option<XdpMode> {
        match self {
            Self::Native => Some(XdpMode::Native),
            Self::Generic => Some(XdpMode::Generic),
            Self::Offload => Some(XdpMode::Offload),
            Self::None | Self::Multi | Self::Other(_) => None,
        }
    }
}

impl From<XdpAttached> for Attached {
    fn from(wire: XdpAttached) -> Self {
        match wire {
            XdpAttached::None => Self::None,
            XdpAttached::Driver => Self::Native,
            XdpAttached::SocketBuffer => Self::Generic,
            XdpAttached::Hardware => Self::Offload,
            XdpAttached::Multiple => Self::Multi,
            XdpAttached::Other(number) => Self::Other(number),
            // The foreign enum may grow; 255 is no number of the kernel's.
            _ => Self::Other(u8::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_the_first_is_printed() {
        for (word, mode) in SPELLINGS {
            assert_eq!(word.parse::<XdpMode>().unwrap(), *mode);
        }
        for (word, mode) in &SPELLINGS[..4] {
            assert_eq!(mode.to_string(), *word);
        }
    }

    #[test]
    fn another_word_is_refused_by_name() {
        let error = "fast".parse::<XdpMode>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"fast\" is no XDP mode; the modes are auto, native (drv), generic (skb) and offload (hw)"
        );
    }

    #[test]
    fn flags_are_the_kernels_numbers() {
        let numbers =
            [XdpMode::Auto, XdpMode::Generic, XdpMode::Native, XdpMode::Offload].map(|m| m.flags().bits());
        assert_eq!(numbers, [0, 2, 4, 8]);
        assert_eq!(XdpFlags::UPDATE_IF_NOEXIST.bits(), 1);
        assert_eq!(XdpFlags::REPLACE.bits(), 16);
    }
}
