//! What `contrib/` gives a service: the capabilities that its unit names are enough, and none of them is too many.
#![cfg(test)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rxdp_sandbox::Sandbox;

use common::held::{NOTHING, on_v0};
use common::{Ran, Running, in_sandbox, object};

const NOBODY: &str = "65534";

/// The capabilities of a line of the unit, without `CAP_`, in small letters.
fn capabilities(setting: &str) -> BTreeSet<String> {
    let unit = fs::read_to_string(contrib("rxdp@.service")).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix(setting)?.strip_prefix('='));
    let words = line.unwrap_or_else(|| panic!("no {setting}=")).split(' ');
    words.map(|word| word.strip_prefix("CAP_").unwrap().to_lowercase()).collect()
}

fn contrib(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(file)
}

/// Runs the main job as the service's user, with these capabilities and no way to more.
fn as_service(sandbox: &Sandbox, capabilities: &BTreeSet<String>) -> Ran {
    let list = |sign: &str| {
        let all: Vec<String> = capabilities.iter().map(|one| format!("{sign}{one}")).collect();
        [&["-all".to_string()], &all[..]].concat().join(",")
    };
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs"])
        .args(["--inh-caps", &list("+"), "--ambient-caps", &list("+"), "--bounding-set", &list("+")])
        .arg(env!("CARGO_BIN_EXE_rxdp-load"))
        .args([&object("tail_kern"), "v0", "--for", "1ms"]);
    sandbox.near(|| Running::start(command)).end()
}

#[test]
fn the_unit_s_capabilities_are_enough() {
    let all = capabilities("AmbientCapabilities");
    assert_eq!(all, capabilities("CapabilityBoundingSet"));
    in_sandbox(|sandbox| {
        let ran = as_service(sandbox, &all);
        assert!(ran.done().contains("xdp_prog"), "{ran:?}");
        for needed in ["bpf", "net_admin"] {
            let rest: BTreeSet<String> = all.iter().filter(|one| *one != needed).cloned().collect();
            let refused = as_service(sandbox, &rest);
            refused.failed(4, &[&format!("CAP_{}", needed.to_uppercase())]);
            assert_eq!(on_v0(sandbox), NOTHING, "without {needed}");
        }
    });
}

#[test]
fn the_container_gets_what_the_unit_gets() {
    let file = fs::read_to_string(contrib("Containerfile")).unwrap();
    let added: BTreeSet<String> = file
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--cap-add="))
        .map(str::to_lowercase)
        .collect();
    assert_eq!(added, capabilities("AmbientCapabilities"));
    assert!(file.contains("--cap-drop=all") && file.contains("no-new-privileges"));
}
