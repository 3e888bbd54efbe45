//! Which map counts what became of packets, if one does: only what says so itself is believed.
//!
//! The programs of xdp-tools and of xdp-tutorial count in an array that is called `xdp_stats_map`, whose keys are verdicts and whose
//! values begin with a number of packets. Source: `xdp_stats_kern_user.h` of both.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use rxdp_loader::load::Entries;
use rxdp_loader::sys::{Linux, MapInfo, Named};
use rxdp_loader::uapi::{MapType, XdpAction};

use crate::inventory;

/// What the map is called.
pub(super) const NAME: &str = "xdp_stats_map";

/// Verdicts that there are: keys of the map.
const VERDICTS: u32 = 5;

/// Packets by verdict.
pub(super) type Counts = BTreeMap<String, u64>;

/// The map of these that counts verdicts.
pub(super) fn counter(maps: &[MapInfo]) -> Option<&MapInfo> {
    maps.iter().find(|info| {
        let array = matches!(info.ty, MapType::ARRAY | MapType::PERCPU_ARRAY);
        array && info.name == NAME && info.max_entries == VERDICTS && info.value_size >= 8
    })
}

/// What it counted so far; `None` if it is gone.
pub(super) fn counts(id: u32) -> Option<Counts> {
    let (fd, info) = inventory::open_map(id)?;
    let entries = Entries::of(Named { name: NAME, fd: fd.as_fd() }, &info, &Linux).ok()?;
    let count = |verdict: u32| {
        let values = entries.values(&verdict.to_ne_bytes()).ok()??;
        Some((XdpAction(verdict).to_string(), packets(&values)))
    };
    (0..VERDICTS).map(count).collect()
}

/// The number at the beginning of each value, added up.
fn packets(values: &[Vec<u8>]) -> u64 {
    let first = |value: &Vec<u8>| value.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
    values.iter().filter_map(first).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use rxdp_loader::uapi::MapFlags;

    use super::*;

    #[test]
    fn only_a_map_that_says_so_counts_verdicts() {
        let map = |name: &str, ty, max_entries, value_size| MapInfo {
            id: 1,
            name: name.to_string(),
            ty,
            key_size: 4,
            value_size,
            max_entries,
            flags: MapFlags::empty(),
            map_extra: 0,
        };
        let right = map(NAME, MapType::PERCPU_ARRAY, 5, 16);
        let wrong = [
            map("rxcnt", MapType::PERCPU_ARRAY, 5, 16),
            map(NAME, MapType::HASH, 5, 16),
            map(NAME, MapType::ARRAY, 256, 8),
            map(NAME, MapType::ARRAY, 5, 4),
        ];
        assert_eq!(counter(&wrong), None);
        assert_eq!(counter(&[wrong.to_vec(), vec![right.clone()]].concat()), Some(&right));
    }

    #[test]
    fn packets_of_all_cpus_are_added_up() {
        let value = |packets: u64, bytes: u64| [packets.to_ne_bytes(), bytes.to_ne_bytes()].concat();
        assert_eq!(packets(&[value(3, 1000), value(4, 1)]), 7);
        assert_eq!(packets(&[vec![1, 2]]), 0);
    }
}
