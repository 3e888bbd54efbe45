//! On which features of the kernel a plan depends: what must be found out before it is made.

use alloc::vec::Vec;

use super::{LoadProgram, Options, program, types};
use crate::features::{Features, Machine};
use crate::link::LinkedObject;
use crate::sanitize;
use crate::spec::{Inner, MapId, MapOrigin, MapSpec};
use crate::uapi::{AttachType, MapFlags};

/// Features that this machine is not known to have and without which the plan would be another one.
///
/// Empty, without a look at the object, for a machine that has all: most of them.
pub fn needs(object: &LinkedObject, machine: &Machine, options: &Options) -> Features {
    let missing = Features::all().difference(machine.features);
    if missing.is_empty() {
        return missing;
    }
    let (programs, _) =
        program::programs(object, &Machine { features: Features::all(), ..*machine }, options);
    let mut needs = needs_of_types(object);
    for map in created(object, options) {
        needs |= needs_of_map(map);
    }
    for load in &programs {
        needs |= needs_of_program(object, load);
    }
    needs & missing
}

fn created<'o>(object: &'o LinkedObject, options: &Options) -> Vec<&'o MapSpec> {
    let numbered = (0u32..).map(MapId).zip(&object.spec.maps);
    numbered.filter(|(id, _)| !options.reused.contains(id)).map(|(_, map)| map).collect()
}

fn needs_of_map(map: &MapSpec) -> Features {
    let mut name = sanitize::needs_of_name(&map.name);
    if let Some(Inner::Template(inner)) = &map.inner {
        name |= sanitize::needs_of_name(&inner.name);
    }
    if map.origin != MapOrigin::Internal {
        return name;
    }
    let mut needs = name | Features::GLOBAL_DATA;
    needs.set(Features::FROZEN_MAPS, map.frozen || map.flags.contains(MapFlags::RDONLY_PROG));
    needs.set(Features::MMAPABLE_ARRAYS, map.flags.contains(MapFlags::MMAPABLE));
    needs
}

fn needs_of_program(object: &LinkedObject, load: &LoadProgram) -> Features {
    let spec = object.spec.program(load.program);
    let mut needs = spec.map(|spec| sanitize::needs_of_name(&spec.name)).unwrap_or(Features::NAMES);
    needs.set(Features::ATTACH_TYPE, load.attach != AttachType(0));
    let Some(linked) = object.program(load.program) else {
        return needs;
    };
    needs.set(Features::FUNC_INFO, !linked.func_info.is_empty());
    needs | sanitize::needs_of_code(linked)
}

fn needs_of_types(object: &LinkedObject) -> Features {
    let Some(btf) = &object.spec.btf else {
        return Features::empty();
    };
    let needed = types::needed(object, btf);
    Features::BTF | sanitize::needs_of_types(btf, |id| needed.contains(id))
}
