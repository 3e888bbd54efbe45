//! What an older kernel takes in place of what the compiler wrote: types of kinds that it does not know, helpers that it
//! does not have, names that it does not like.
//!
//! Nothing is decided by the kernel's version here, only by its [`Features`]. A kernel that has all of them gets
//! everything as it is, and nothing is looked through for it. Numbers of types never change: code and maps carry them.
//!
//! Source: libbpf `bpf_object__sanitize_btf`, `bpf_object__sanitize_prog`.

mod code;
mod context;
mod types;

use crate::features::Features;
use crate::uapi::KernelName;

pub use code::{helpers, needs_of_code};
pub use context::Contexts;
pub use types::{Lowered, TYPE_FEATURES, is_kept, needs as needs_of_type, needs_of_types, types};

/// A name of a map or program as the kernel takes it; empty where it knows no names.
pub fn name(name: &str, has: Features) -> KernelName {
    match (has.contains(Features::NAMES), has.contains(Features::DOTS_IN_NAMES)) {
        (false, _) => KernelName::default(),
        (true, false) => KernelName::of(name).without_dots(),
        (true, true) => KernelName::of(name),
    }
}

/// Features on which it depends how a name looks to the kernel.
pub fn needs_of_name(name: &str) -> Features {
    let mut needs = Features::NAMES;
    needs.set(Features::DOTS_IN_NAMES, KernelName::of(name).as_str().contains('.'));
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_kernel_takes() {
        let old = Features::NAMES;
        assert_eq!(name("data.rodata", Features::empty()).as_str(), "");
        assert_eq!(name("data.rodata", old).as_str(), "data_rodata");
        assert_eq!(name("data.rodata", Features::all()).as_str(), "data.rodata");
        assert_eq!((needs_of_name("a"), needs_of_name("a.b")), (old, old | Features::DOTS_IN_NAMES));
        assert_eq!(needs_of_name("a_name_of_15_by.tes"), old, "the kernel does not see its dot");
    }
}
