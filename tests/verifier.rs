//! What the command says when the verifier refuses: one program for each mistake of `bpf-progs/broken`, the line of C that
//! carries "refused here", and the name of the cause.
#![cfg(test)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;

use caps::{CapSet, Capability};
use serde_json::Value;

use common::{Ran, in_sandbox, object, run, verified};

/// The programs, and why each is refused. Where versions see different things in one mistake, the newest stands first.
const BROKEN: &[(&str, &[&str])] = &[
    ("code_dead", &["code-dead"]),
    ("context_write", &["context-access"]),
    ("helper_argument", &["argument-type"]),
    ("helper_licence", &["helper-licence"]),
    ("helper_type", &["helper-not-allowed"]),
    ("lock_held", &["lock-held"]),
    ("loop_endless", &["loop-endless"]),
    ("loop_long", &["too-many-insns"]),
    ("map_null", &["map-value-null"]),
    ("map_range", &["map-value-bounds"]),
    ("map_readonly", &["map-readonly"]),
    ("memory_direct", &["pointer-none"]),
    ("packet_off_by_one", &["packet-bounds"]),
    ("packet_stale", &["packet-stale"]),
    ("packet_unchecked", &["packet-bounds"]),
    ("packet_variable", &["packet-bounds"]),
    ("pointer_arithmetic", &["pointer-arithmetic"]),
    ("pointer_leak", &["pointer-leak"]),
    ("recursion", &["calls-deep", "loop-back-edge"]),
    ("reference_leak", &["reference-leak"]),
    ("reference_used", &["used-after-release"]),
    ("register_unset", &["register-unset"]),
    ("return_missing", &["return-unset"]),
    ("return_range", &["return-range"]),
    ("stack_deep", &["stack-deep"]),
    ("stack_index", &["stack-bounds"]),
    ("stack_unwritten", &["stack-unwritten"]),
];

/// Those that root may load.
const FEW_RIGHTS: &[&str] = &["pointer_leak", "stack_unwritten"];

/// The line of C with the comment "refused here", and its number.
fn marked(name: &str) -> (u64, String) {
    let text = fs::read_to_string(broken(&format!("{name}.c"))).expect("a source");
    let mut lines = text.lines().zip(1..).filter(|(line, _)| line.contains("/* refused here */"));
    let (line, number) = lines.next().unwrap_or_else(|| panic!("{name}.c: no mark"));
    assert_eq!(lines.next(), None, "{name}.c: a second mark");
    (number, line.trim().to_string())
}

fn broken(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bpf-progs/broken").join(file)
}

#[test]
fn every_broken_program_has_its_row() {
    let files = fs::read_dir(broken("")).expect("the folder");
    let names: BTreeSet<String> = files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    let rows: BTreeSet<String> = BROKEN.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, rows);
}

/// Runs `verify` with the rights that network programs take, and none of those that let programs read the kernel's memory:
/// to root the verifier allows more.
fn verify_with_few_rights(args: &[&str], name: &str) -> Ran {
    let (args, name) = (args.iter().map(ToString::to_string).collect::<Vec<_>>(), name.to_string());
    let few = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN];
    // What a thread gives away, its children do not get.
    let child = thread::spawn(move || {
        for right in caps::all().difference(&few.into()) {
            caps::drop(None, CapSet::Bounding, *right).expect("rights can be given away");
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        verify(&args, &name)
    });
    child.join().expect("a thread")
}

fn verify(args: &[&str], name: &str) -> Ran {
    let object = broken(&format!("{name}.o")).display().to_string();
    run(&[&["verify", object.as_str()], args].concat())
}

#[test]
fn every_refusal_names_the_line_of_c_and_the_cause() {
    in_sandbox(|_| {
        for (name, causes) in BROKEN {
            let verify = if FEW_RIGHTS.contains(name) { verify_with_few_rights } else { verify };
            let (number, line) = marked(name);
            let row = verified(&verify(&["--json"], name), 3);
            let refusal = &row["programs"][0]["refusal"];
            let lines = |value: &Value| value["source"]["line"].as_u64() == Some(number);
            let named = lines(refusal) || lines(&refusal["branches"][0]);
            let cause = refusal["cause"].as_str().unwrap_or_default();
            assert!(causes.contains(&cause) && named, "{name}: {refusal:#}");
            // The verifier takes seconds for this one, and its text is made as the others'.
            let text = if *name == "loop_long" { continue } else { verify(&[], name).out };
            for said in [format!("{cause}: ").as_str(), &line, "to do: "] {
                assert!(text.contains(said), "{name}: no {said:?} in {text}");
            }
        }
    });
}

#[test]
fn every_refused_map_names_the_attribute_at_fault() {
    in_sandbox(|_| {
        let row = verified(&run(&["verify", "--json", &object("refused_maps")]), 3);
        for map in row["maps"].as_array().expect("maps") {
            let name = map["name"].as_str().expect("a name");
            let attribute = map["fault"]["attribute"].as_str().unwrap_or_else(|| panic!("{name}: {map:#}"));
            assert!(name.starts_with(attribute), "{name}: {map:#}");
            let error = map["error"].as_str().expect("an error");
            assert!(
                error.contains(&format!("EINVAL; {attribute} is ")) || error.contains("ENOTSUPP"),
                "{error}"
            );
        }
        assert_eq!(row["maps"].as_array().map(Vec::len), Some(9));
    });
}

#[test]
fn refused_types_are_explained() {
    in_sandbox(|_| {
        let row = verified(&run(&["verify", "--json", &object("refused_types")]), 0);
        let note = row["notes"][0].as_str().expect("a note");
        for said in [
            "BPF_BTF_LOAD failed: EINVAL",
            "FUNC nameless_argument",
            "(btf-argument)",
            "name every parameter",
        ] {
            assert!(note.contains(said), "no {said:?} in {note}");
        }
    });
}

#[test]
fn the_documentation_has_every_broken_program() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/verifier.md");
    let page = fs::read_to_string(path).expect("docs/verifier.md");
    for (name, causes) in BROKEN {
        let (number, line) = marked(name);
        let cause = causes[0];
        let line = line.replace("/* refused here */", "");
        let row = format!("| `{name}` | {number}: `{}` | **{cause}**: ", line.trim());
        assert!(page.contains(&row), "no {row:?}");
    }
}
