//! Which function the kernel calls when a program throws an exception: a tag `exception_callback:NAME` on the program says.
//!
//! Source: libbpf `bpf_prog_assign_exc_cb`. Since: Linux 6.7.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::function::Place;
use super::{FuncId, Function, ProgramSpec};
use crate::btf::{Btf, Kind, Linkage, TypeGraph};

const TAG: &str = "exception_callback:";

/// Gives programs the callbacks that tags name.
pub(super) fn assign(btf: &Btf, places: &[Place], functions: &[Function], programs: &mut [ProgramSpec]) {
    for (tagged, callback) in tags(btf) {
        let found = places
            .iter()
            .zip(functions)
            .position(|(place, function)| function.name == callback && place.global && !place.hidden);
        let found = found.map(FuncId::new).ok_or(callback);
        for program in programs.iter_mut().filter(|program| program.name == tagged) {
            // A second tag is for the verifier to refuse; nothing is put behind the program then.
            program.exception_callback = match program.exception_callback {
                None => Some(found.clone()),
                Some(_) => None,
            };
        }
    }
}

/// Names of tagged functions, and of the callbacks that the tags name.
fn tags(btf: &Btf) -> Vec<(String, String)> {
    let tags = btf.types.iter().filter_map(|ty| {
        let Kind::DeclTag { target, component: -1, .. } = ty.kind else {
            return None;
        };
        let text = btf.text(ty.name);
        let callback = text.strip_prefix(TAG)?;
        let function = btf.get(target)?;
        let Kind::Func { linkage: Linkage::GLOBAL, .. } = function.kind else {
            return None;
        };
        Some((btf.text(function.name).into_owned(), callback.to_string()))
    });
    tags.collect()
}
