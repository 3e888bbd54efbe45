//! Names of what stands behind numbers in maps: programs, maps, interfaces. Each is asked for once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rxdp_netlink::blocking;

use crate::inventory;

/// Something that is asked once for each number.
type Known = RefCell<BTreeMap<u32, Option<String>>>;

/// Names that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    programs: Known,
    maps: Known,
    interfaces: Known,
    /// Whether what is not known is nowhere.
    closed: bool,
}

impl Names {
    /// The name of a program.
    pub(crate) fn program(&self, id: u32) -> Option<String> {
        self.ask(&self.programs, id, |id| inventory::program(id).map(|info| info.name))
    }

    /// The name of a map.
    pub(crate) fn map(&self, id: u32) -> Option<String> {
        self.ask(&self.maps, id, |id| inventory::open_map(id).map(|(_, info)| info.name))
    }

    /// The name of an interface of this network namespace.
    pub(crate) fn interface(&self, ifindex: u32) -> Option<String> {
        self.ask(&self.interfaces, ifindex, |ifindex| {
            blocking::Handle::connect().ok()?.link(ifindex).ok().map(|link| link.name)
        })
    }

    fn ask(&self, known: &Known, number: u32, ask: impl FnOnce(u32) -> Option<String>) -> Option<String> {
        let found = known.borrow().get(&number).cloned();
        found.unwrap_or_else(|| {
            let name = if self.closed { None } else { ask(number).filter(|name| !name.is_empty()) };
            known.borrow_mut().insert(number, name.clone());
            name
        })
    }

    #[cfg(test)]
    pub(crate) fn of(programs: &[(u32, &str)], maps: &[(u32, &str)], interfaces: &[(u32, &str)]) -> Self {
        let known = |all: &[(u32, &str)]| {
            RefCell::new(all.iter().map(|(number, name)| (*number, Some((*name).to_string()))).collect())
        };
        Self { programs: known(programs), maps: known(maps), interfaces: known(interfaces), closed: true }
    }
}
