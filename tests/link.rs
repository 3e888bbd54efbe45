//! Several object files as one: `verify --link`, and `--link FILE` of the main job and of `run`.
#![cfg(test)]

use std::path::Path;
use std::process::{Command, Output};

use rxdp_sandbox::testing::kernel_or_skip;
use serde_json::Value;

/// Runs the command in the folder of the files that are joined.
fn rxdp(args: &[&str]) -> (i32, String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/join");
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_rxdp-load"))
        .current_dir(folder)
        .args(args)
        .output()
        .expect("rxdp-load");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

#[test]
fn what_does_not_load_alone_loads_joined() {
    let Some(_kernel) = kernel_or_skip("what_does_not_load_alone_loads_joined") else {
        return;
    };
    let (code, out, _) = rxdp(&["verify", "main.o"]);
    assert_eq!((code, out.contains("\"add\"")), (1, true), "{out}");
    let (code, out, err) = rxdp(&["verify", "main.o", "lib.o", "--link"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out, "main.o + lib.o: ok, 7 of 7 maps, 1 of 1 programs\n");
}

#[test]
fn run_joins_too() {
    let Some(_kernel) = kernel_or_skip("run_joins_too") else {
        return;
    };
    let (code, out, err) = rxdp(&["run", "main.o", "--link", "lib.o", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let row: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&row["object"], &row["verdict"]), (&"main.o + lib.o".into(), &"XDP_DROP".into()));
}

#[test]
fn the_main_job_says_what_does_not_fit() {
    let (code, out, err) = rxdp(&["main.o", "lo", "--link", "lib-type.o"]);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert_eq!(
        err,
        "rxdp-load: main.o + lib-type.o: \"limit\" is of different types in lib-type.o and in main.o: \
         bytes of a number: 8 and 4\n"
    );
    let (code, _, err) = rxdp(&["main.o", "lo", "--link", "no-such.o"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.starts_with("rxdp-load: cannot read \"no-such.o\""), "{err}");
}
