//! What there is to say about an attached program: maps, programs that it calls, statistics, who holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::AsFd;

use rxdp_loader::sys::{Linux, Named, ProgInfo, RunStats};
use serde::Serialize;

use crate::inventory::{self, Holder, Pinned, Thing};
use crate::report::NamedId;

/// What all programs are looked at against; asked for once.
#[derive(Debug)]
pub(crate) struct Scene {
    holders: BTreeMap<Thing, BTreeSet<Holder>>,
    pinned: Pinned,
    /// Whether the kernel keeps statistics for all.
    counting: bool,
}

impl Scene {
    /// As it is now.
    pub(crate) fn now() -> Self {
        // Source: kernel.bpf_stats_enabled. Since: Linux 5.1.
        let counting = fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").unwrap_or_default();
        Self {
            holders: inventory::holders(),
            pinned: inventory::pinned(None),
            counting: counting.trim() == "1",
        }
    }

    fn paths(&self, thing: Thing) -> Vec<String> {
        self.pinned.get(&thing).into_iter().flatten().map(|path| path.display().to_string()).collect()
    }
}

/// What scripts see of a program besides its name.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Program {
    /// Null while the kernel keeps no statistics and never kept some for it.
    run_count: Option<u64>,
    run_time_ns: Option<u64>,
    recursion_misses: Option<u64>,
    pinned: Vec<String>,
    processes: Vec<Holder>,
}

/// What scripts see of what a program stands on.
#[derive(Debug, Default, Serialize)]
pub(crate) struct About {
    /// Its maps, and those of the programs that it calls.
    maps: Vec<Map>,
    /// Programs that it calls through jump tables, and these through theirs.
    calls: Vec<NamedId>,
}

#[derive(Debug, Serialize)]
struct Map {
    id: u32,
    name: String,
    #[serde(rename = "type")]
    ty: String,
    pinned: Vec<String>,
}

impl Program {
    /// What there is to say about a program.
    pub(crate) fn of(info: &ProgInfo, scene: &Scene) -> Self {
        let thing = Thing::Program(info.id);
        let stats = statistics(info.id).filter(|stats| scene.counting || stats.runs > 0);
        Self {
            run_count: stats.map(|stats| stats.runs),
            run_time_ns: stats.map(|stats| stats.nanoseconds),
            recursion_misses: stats.map(|stats| stats.recursion_misses),
            pinned: scene.paths(thing),
            processes: scene.holders.get(&thing).into_iter().flatten().cloned().collect(),
        }
    }

    /// As a person reads it, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let runs = self.run_count.zip(self.run_time_ns).map(|(runs, time)| {
            let each = time.checked_div(runs).map(|each| format!(", {each} ns each")).unwrap_or_default();
            format!("ran {runs} times{each}, while statistics were kept")
        });
        let holders = self.processes.iter().map(|Holder { pid, name }| format!("{name} (pid {pid})"));
        let held = (!self.processes.is_empty())
            .then(|| format!("held by {}", holders.collect::<Vec<_>>().join(", ")));
        let pinned = (!self.pinned.is_empty()).then(|| format!("pinned at {}", self.pinned.join(", ")));
        [runs, held, pinned].into_iter().flatten().collect()
    }
}

impl About {
    /// What a program stands on.
    pub(crate) fn of(id: u32, scene: &Scene) -> Self {
        let reached = inventory::reached(&[id]);
        let maps: BTreeSet<u32> = reached.iter().flat_map(|info| &info.map_ids).copied().collect();
        let map = |id: u32| {
            let (_, info) = inventory::open_map(id)?;
            Some(Map { id, name: info.name, ty: info.ty.to_string(), pinned: scene.paths(Thing::Map(id)) })
        };
        let calls = reached.into_iter().filter(|info| info.id != id);
        Self {
            maps: maps.into_iter().filter_map(map).collect(),
            calls: calls.map(|info| NamedId { name: info.name, id: info.id }).collect(),
        }
    }

    /// As a person reads it, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let maps = self.maps.iter().map(|Map { id, name, ty, pinned }| {
            let pinned =
                if pinned.is_empty() { String::new() } else { format!(", pinned at {}", pinned.join(", ")) };
            format!("map {name} (id {id}, {ty}){pinned}")
        });
        let calls: Vec<String> =
            self.calls.iter().map(|NamedId { name, id }| format!("{name} (id {id})")).collect();
        let calls = (!calls.is_empty()).then(|| format!("calls through jump tables: {}", calls.join(", ")));
        maps.chain(calls).collect()
    }
}

/// What the kernel counted about a program.
pub(super) fn statistics(id: u32) -> Option<RunStats> {
    let (fd, _) = inventory::open_program(id)?;
    Linux.run_stats(Named { name: "program", fd: fd.as_fd() }).ok()
}
