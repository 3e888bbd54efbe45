//! What a load leaves open: with any call failing nothing, else the maps and programs it returns.
//!
//! Descriptors are counted for the whole process, so this file has one test.
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeSet;

use common::{linked, load, path_of, plan};
use rxdp_loader::bpf_load::{load_bpf_file, load_bpf_file_fixup_map};
use rxdp_loader::load::{Ask, Given, verify};
use rxdp_loader::sys::{DryRun, Errno, Linux};
use rxdp_sandbox::testing::{kernel_or_skip, open_descriptors};

#[test]
fn a_load_leaves_open_what_it_returns_and_nothing_else() {
    // Once for good: the sandbox's runtime keeps descriptors of its own.
    let sandbox =
        kernel_or_skip("a_load_leaves_open_what_it_returns_and_nothing_else, its part on the kernel");
    let privileged = sandbox.is_some();
    drop(sandbox);

    any_call_fails();
    if privileged {
        on_the_running_kernel();
    }
}

fn any_call_fails() {
    let mut failed = 0;
    for name in ["tail_kern.o", "tail_kern-btf_maps.o", "values.o", "data.o", "calls.o"] {
        let all = DryRun::new();
        opens(name, &all);
        for at in 0..all.calls() {
            for errno in [Errno::EPERM, Errno::ENOMEM, Errno::EINVAL, Errno::E2BIG] {
                failed += opens(name, &DryRun::failing(at, errno));
            }
        }
    }
    assert!(failed > 50, "only {failed} loads failed");
}

/// Loads and closes; 1 if the load failed.
fn opens(name: &str, kernel: &DryRun) -> usize {
    let before = open();
    let result = load(name, kernel);
    let opened = difference(&open(), &before);
    let Ok(loaded) = result else {
        assert_eq!(opened, BTreeSet::new(), "{name}, {kernel:?}");
        return 1;
    };
    assert_eq!(opened.len(), loaded.maps.len() + loaded.programs.len(), "{name}, {kernel:?}: {opened:?}");
    drop(loaded);
    assert_eq!(difference(&open(), &before), BTreeSet::new(), "{name}, {kernel:?}");
    0
}

fn on_the_running_kernel() {
    let before = open();
    let loaded = load_bpf_file(path_of("tail_kern.o")).unwrap();
    let opened = difference(&open(), &before);
    let kinds = |kind: &str| opened.iter().filter(|line| line.ends_with(kind)).count();
    assert_eq!(
        (kinds("bpf-map"), kinds("bpf-prog")),
        (loaded.map_fd.len(), loaded.prog_fd.len()),
        "{opened:?}"
    );
    assert_eq!(opened.len(), loaded.map_fd.len() + loaded.prog_fd.len(), "{opened:?}");
    drop(loaded);
    assert_eq!(difference(&open(), &before), BTreeSet::new());

    // The verifier refuses the program, after the types were loaded.
    load_bpf_file(path_of("refused.o")).unwrap_err();
    // The kernel refuses the second map, when the first is there.
    let no_entries = load_bpf_file_fixup_map(path_of("map_defs-28.o"), |map, at| {
        map.def.max_entries = if at == 1 { 0 } else { map.def.max_entries };
    });
    assert!(no_entries.unwrap_err().to_string().starts_with("map \"second\" "));
    assert_eq!(difference(&open(), &before), BTreeSet::new());

    for name in ["tail_kern.o", "data.o", "refused.o", "values.o"] {
        let object = linked(name);
        verify(&plan(&object).unwrap(), &Linux, Given::default(), Ask::Everything);
        assert_eq!(difference(&open(), &before), BTreeSet::new(), "{name}");
    }
}

fn open() -> BTreeSet<String> {
    open_descriptors().unwrap()
}

fn difference(after: &BTreeSet<String>, before: &BTreeSet<String>) -> BTreeSet<String> {
    after.difference(before).cloned().collect()
}
