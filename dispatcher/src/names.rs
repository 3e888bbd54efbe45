//! Names: of pins and their directories, and of programs, which the kernel cuts.

use alloc::format;
use alloc::string::{String, ToString};

use rxdp_loader::btf::{Btf, Kind};
use rxdp_loader::uapi::OBJ_NAME_LEN;

/// The name that every dispatcher has in the kernel.
pub const DISPATCHER: &str = "xdp_dispatcher";

/// The directory on a bpffs where all of this stands.
pub const DIRECTORY: &str = "xdp";

/// What a slot's pin holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pin {
    /// The link by which the program has taken the place of a function.
    Link,
    /// The program.
    Prog,
}

impl Pin {
    /// Its file's name: `prog0-link`.
    pub fn of_slot(self, slot: usize) -> String {
        let what = match self {
            Self::Link => "link",
            Self::Prog => "prog",
        };
        format!("prog{slot}-{what}")
    }
}

/// The directory of a dispatcher's pins: that of the program `id` on interface `ifindex`.
pub fn directory(ifindex: u32, id: u32) -> String {
    format!("dispatch-{ifindex}-{id}")
}

/// The interface and the program of such a directory; `None` if it is none.
pub fn of_directory(name: &str) -> Option<(u32, u32)> {
    let (ifindex, id) = name.strip_prefix("dispatch-")?.split_once('-')?;
    Some((ifindex.parse().ok()?, id.parse().ok()?))
}

/// The function of a dispatcher whose place the program of a slot takes.
///
/// One program alone takes the place of the dispatcher itself, so that nothing stands before it; that is what libxdp does
/// since 1.2.
pub fn function(slot: usize, programs: usize) -> String {
    if programs == 1 { DISPATCHER.to_string() } else { format!("prog{slot}") }
}

/// The whole name of a program that the kernel knows by at most 15 characters: that of its function.
pub fn full(kernel_name: &str, btf: Option<&Btf>) -> String {
    let whole = || kernel_name.to_string();
    let Some(btf) = btf.filter(|_| kernel_name.len() >= OBJ_NAME_LEN.saturating_sub(1)) else {
        return whole();
    };
    let functions = btf.types.iter().filter(|ty| matches!(ty.kind, Kind::Func { .. }));
    let mut longer = functions.map(|ty| btf.string(ty.name)).filter(|name| name.starts_with(kernel_name));
    if longer.clone().any(|name| name == kernel_name) {
        return whole();
    }
    match (longer.next(), longer.next()) {
        (Some(only), None) => only.into_owned(),
        // One of several is meant; which, nobody can say.
        _ => whole(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_named_after_interface_and_program() {
        assert_eq!(directory(3, 29), "dispatch-3-29");
        assert_eq!(of_directory("dispatch-3-29"), Some((3, 29)));
        for other in ["prog-test-link-1-4", "dispatch-3", "dispatch-3-", "dispatch--3-4", "xdispatch-3-4"] {
            assert_eq!(of_directory(other), None, "{other}");
        }
    }

    #[test]
    fn one_program_alone_takes_the_place_of_the_dispatcher() {
        assert_eq!(function(0, 1), "xdp_dispatcher");
        assert_eq!([function(0, 2), function(1, 2)], ["prog0", "prog1"]);
    }
}
