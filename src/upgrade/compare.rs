//! Whether a map that is there will do for a new version of an object: its attributes, and what its keys and values are made
//! of. Pure.

use rxdp_loader::btf::{Btf, TypeId};
use rxdp_loader::load;
use rxdp_loader::plan::CreateMap;
use rxdp_loader::sys::MapInfo;

use super::leaves::Leaves;

/// Types of keys and values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types<'b> {
    pub(crate) btf: &'b Btf,
    pub(crate) key: TypeId,
    pub(crate) value: TypeId,
}

/// What differs between a map that is there and the one that is wanted, a clause each. Where one of them has no types, only
/// sizes are compared.
pub(crate) fn differences(
    create: &CreateMap,
    wanted: Option<Types<'_>>,
    info: &MapInfo,
    there: Option<Types<'_>>,
) -> Vec<String> {
    let mut found = load::differences(create, info, "the pinned one");
    let Some((wanted, there)) = wanted.zip(there) else {
        return found;
    };
    for (what, new, old) in [("key", wanted.key, there.key), ("value", wanted.value, there.value)] {
        let leaves = Leaves::of(wanted.btf, new).zip(Leaves::of(there.btf, old));
        found.extend(leaves.into_iter().flat_map(|(new, old)| new.differences(&old, what)));
    }
    found
}
