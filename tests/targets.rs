//! `--target`: what programs attach to, said on the command line.
#![cfg(test)]

mod common;

use std::io::Write;

use rxdp_loader::load::LoadedObject;
use rxdp_loader::sys::Linux;
use rxdp_loader::{Loader, Object};

use common::{in_sandbox, object, run, verified};

#[test]
fn a_target_that_cannot_be_is_said_without_asking_the_kernel() {
    const FORM: &str = "it is not PROG=ID:FUNCTION, PROG=ID or PROG=FUNCTION of the kernel";
    let table: &[(&str, &[&str], &[&str])] = &[
        ("replaces", &["before"], &[FORM]),
        ("replaces", &["before="], &[FORM]),
        ("replaces", &["before=7:"], &[FORM]),
        (
            "replaces",
            &["nobody=vfs_read"],
            &["no program \"nobody\"", "2: before in section ?fentry/verdict"],
        ),
        ("replaces", &["before=vfs_read", "2=vfs_read"], &["--target \"2=vfs_read\"", "given twice"]),
        ("replaces", &["whole=vfs_read"], &["replaces a function of another program, not of the kernel"]),
        ("hooks", &["iterator=7"], &["attaches to the kernel only"]),
        ("tail_kern", &["xdp_prog=7"], &["attaches to no function", "fentry"]),
        ("tail_kern", &["xdp_prog=vfs_read"], &["attaches to no function", "freplace"]),
    ];
    for (name, targets, words) in table {
        let options: Vec<&str> = targets.iter().flat_map(|target| ["--target", *target]).collect();
        for verb in ["verify", "run"] {
            let ran = run(&[&[verb, &object(name)], &*options].concat());
            let text = ran.out.clone() + &ran.err;
            assert!(
                ran.code == Some(1) && words.iter().all(|word| text.contains(word)),
                "{targets:?}: {text}"
            );
        }
    }
}

/// The program of `replaced.o` in the kernel, and its id.
fn target(name: &str) -> (LoadedObject, u32) {
    let loaded = Loader::new().load(Object::open(object(name)).unwrap()).unwrap();
    let id = loaded.programs[0].info(&Linux).unwrap().id;
    (loaded, id)
}

#[test]
fn an_id_that_is_none_and_functions_that_are_not_there_are_said() {
    in_sandbox(|_sandbox| {
        let verify =
            |target: &str| run(&["verify", &object("replaces"), "--prog", "all_pass", "--target", target]);
        let ran = verify("all_pass=4294967295");
        assert!(
            ran.code == Some(1)
                && ran
                    .out
                    .contains("program id 4294967295 cannot be opened: ENOENT (there is no such program; "),
            "{}",
            ran.out
        );
        let (_with, id) = target("replaced");
        let ran = verify(&format!("all_pass={id}:verdikt"));
        let words = format!("program id {id} has no function \"verdikt\"; it has guard, verdict");
        assert!(ran.code == Some(1) && ran.out.contains(&words), "{}", ran.out);
        let (_without, id) = target("tail_kern-clang14");
        let ran = verify(&format!("all_pass={id}"));
        let words =
            format!("program id {id} has no types (BTF) to find its functions by: compile it with -g");
        assert!(ran.code == Some(1) && ran.out.contains(&words), "{}", ran.out);
        let ran = run(&["verify", &object("replaces"), "--prog", "all_pass"]);
        assert!(ran.code == Some(1) && ran.out.contains("--target PROG=ID:FUNCTION"), "{}", ran.out);
    });
}

/// Whether the kernel allows it is the kernel's to say: all that is not allowed is what needs trampolines.
#[test]
fn a_function_of_a_program_in_the_kernel_is_found() {
    in_sandbox(|_sandbox| {
        let (_target, id) = target("replaced");
        for (program, given) in [
            ("all_pass", format!("{id}")),
            ("whole", format!("{id}:guard")),
            ("after", format!("{id}:verdict")),
        ] {
            let target = format!("{program}={given}");
            let ran = run(&["verify", "--json", &object("replaces"), "--prog", program, "--target", &target]);
            if ran.code == Some(0) {
                assert_eq!(verified(&ran, 0)["programs"][0]["ok"], true);
                continue;
            }
            let row = verified(&ran, 3);
            let error = row["programs"][0]["error"].as_str().unwrap();
            assert!(
                error.contains("no privilege is missing, as ") && error.contains(": this kernel forbids "),
                "{error}"
            );
            writeln!(std::io::stderr(), "SKIPPED {target}: this kernel forbids all that needs trampolines")
                .unwrap();
        }
    });
}
