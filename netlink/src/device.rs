//! What an interface's driver can do, and how it is set up: XDP features, queues, offloads.
//!
//! Questions to the generic families `netdev` and `ethtool`, about interfaces of the calling thread's network namespace.
//! They need no privilege. `None` always means that this kernel, or this driver, does not say.

use std::collections::BTreeSet;

use nix::errno::Errno as E;

use crate::error::Errno;
use crate::genl::{self, Attribute};

bitflags::bitflags! {
    /// What a driver can do for XDP.
    ///
    /// Source: `enum netdev_xdp_act`, `include/uapi/linux/netdev.h`. Since: Linux 6.3.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct XdpFeatures: u64 {
        /// Programs in native mode, with the verdicts ABORTED, DROP, PASS and TX.
        const BASIC = 1 << 0;
        /// The verdict REDIRECT.
        const REDIRECT = 1 << 1;
        /// Can be the target of a redirect. On some drivers only while a program is attached.
        const NDO_XMIT = 1 << 2;
        /// AF_XDP without copying.
        const XSK_ZEROCOPY = 1 << 3;
        /// Programs on the card.
        const HW_OFFLOAD = 1 << 4;
        /// Programs that take fragments receive them.
        const RX_SG = 1 << 5;
        /// Can be the target of a redirect of packets in fragments.
        const NDO_XMIT_SG = 1 << 6;
    }

    /// What a driver can tell a device-bound program about a packet.
    ///
    /// Source: `enum netdev_xdp_rx_metadata`. Since: Linux 6.7, the VLAN tag since 6.8.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct RxMetadata: u64 {
        /// When it came: `bpf_xdp_metadata_rx_timestamp`.
        const TIMESTAMP = 1 << 0;
        /// Its hash: `bpf_xdp_metadata_rx_hash`.
        const HASH = 1 << 1;
        /// Its VLAN tag: `bpf_xdp_metadata_rx_vlan_tag`.
        const VLAN_TAG = 1 << 2;
    }
}

/// What the family `netdev` says of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Abilities {
    /// What its driver can do now.
    pub xdp: XdpFeatures,
    /// What it can tell programs.
    pub metadata: RxMetadata,
}

/// How many queues an interface has in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Queues {
    /// For receiving, those for both ways included.
    pub rx: u32,
    /// For sending, those for both ways included.
    pub tx: u32,
    /// The most that there can be for receiving.
    pub rx_max: u32,
}

/// Source: `NETDEV_CMD_DEV_GET`, `include/uapi/linux/netdev.h`.
const DEV_GET: u8 = 1;
/// Source: `NETDEV_A_DEV_IFINDEX`, `NETDEV_A_DEV_XDP_FEATURES`, `NETDEV_A_DEV_XDP_RX_METADATA_FEATURES`.
const DEV_IFINDEX: u16 = 1;
const DEV_XDP_FEATURES: u16 = 3;
const DEV_RX_METADATA: u16 = 5;

/// Source: `ETHTOOL_MSG_FEATURES_GET`, `ETHTOOL_MSG_CHANNELS_GET`, `include/uapi/linux/ethtool_netlink.h`.
const FEATURES_GET: u8 = 11;
const CHANNELS_GET: u8 = 17;
/// Source: `ETHTOOL_A_FEATURES_HEADER` and its kin, `ETHTOOL_A_HEADER_DEV_INDEX`.
const HEADER: u16 = 1;
const HEADER_INDEX: u16 = 1;
/// Source: `ETHTOOL_A_FEATURES_ACTIVE`, `ETHTOOL_A_BITSET_BITS`, `ETHTOOL_A_BITSET_BIT_NAME`.
const FEATURES_ACTIVE: u16 = 4;
const BITSET_BITS: u16 = 3;
const BIT_NAME: u16 = 2;
/// Source: `ETHTOOL_A_CHANNELS_RX_MAX` and its kin.
const RX_MAX: u16 = 2;
const COMBINED_MAX: u16 = 5;
const RX_COUNT: u16 = 6;
const TX_COUNT: u16 = 7;
const COMBINED_COUNT: u16 = 9;

/// What an interface's driver can do for XDP. Since: Linux 6.3.
///
/// # Errors
/// The errno; `ENODEV` where there is no such interface.
pub fn abilities(ifindex: u32) -> Result<Option<Abilities>, Errno> {
    let asked = (DEV_IFINDEX, ifindex.to_ne_bytes().to_vec());
    let Some(said) = unless_unsupported(genl::ask("netdev", DEV_GET, &[asked]))? else {
        return Ok(None);
    };
    let bits = |kind| genl::long(&said, kind).unwrap_or_default();
    Ok(Some(Abilities {
        xdp: XdpFeatures::from_bits_retain(bits(DEV_XDP_FEATURES)),
        metadata: RxMetadata::from_bits_retain(bits(DEV_RX_METADATA)),
    }))
}

/// How many queues an interface has in use. Since: Linux 5.7.
///
/// # Errors
/// As [`abilities`].
pub fn queues(ifindex: u32) -> Result<Option<Queues>, Errno> {
    let Some(said) = unless_unsupported(genl::ask("ethtool", CHANNELS_GET, &[header(ifindex)]))? else {
        return Ok(None);
    };
    let count = |kind| genl::word(&said, kind).unwrap_or_default();
    let both = count(COMBINED_COUNT);
    Ok(Some(Queues {
        rx: count(RX_COUNT).saturating_add(both),
        tx: count(TX_COUNT).saturating_add(both),
        rx_max: count(RX_MAX).saturating_add(count(COMBINED_MAX)),
    }))
}

/// The names of an interface's offloads that are on: `rx-lro`, `rx-gro`. Since: Linux 5.7.
///
/// # Errors
/// As [`abilities`].
pub fn offloads(ifindex: u32) -> Result<Option<BTreeSet<String>>, Errno> {
    let Some(said) = unless_unsupported(genl::ask("ethtool", FEATURES_GET, &[header(ifindex)]))? else {
        return Ok(None);
    };
    let active = genl::attributes(genl::value(&said, FEATURES_ACTIVE).unwrap_or_default());
    let bits = genl::attributes(genl::value(&active, BITSET_BITS).unwrap_or_default());
    Ok(Some(bits.iter().filter_map(|(_, bit)| name(bit)).collect()))
}

fn header(ifindex: u32) -> Attribute {
    genl::nest(HEADER, &[(HEADER_INDEX, ifindex.to_ne_bytes().to_vec())])
}

fn name(bit: &[u8]) -> Option<String> {
    let bit = genl::attributes(bit);
    let name = genl::value(&bit, BIT_NAME)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// A driver or a kernel that has no such thing is no error.
fn unless_unsupported<T>(said: Result<Option<T>, Errno>) -> Result<Option<T>, Errno> {
    match said {
        Err(errno) if errno.known() == E::EOPNOTSUPP => Ok(None),
        said => said,
    }
}
