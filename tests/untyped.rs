//! `verify` on objects that leave to their loader what they are: types, slots and sizes, and how a user says them.
#![cfg(test)]

mod common;

use serde_json::{Value, json};

use common::{in_sandbox, object, run, verified};

const TEST: &str = "wild/untyped";

fn row_of<'v>(row: &'v Value, place: &str, name: &str) -> &'v Value {
    let rows = row[place].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {row}"))
}

#[test]
fn types_are_found_and_said_and_nothing_is_taken_for_xdp() {
    in_sandbox(|_| {
        let row = verified(&run(&["verify", "--json", &object(TEST)]), 3);
        let ty =
            |name: &str| (&row_of(&row, "programs", name)["type"], &row_of(&row, "programs", name)["ok"]);
        assert_eq!(ty("from_container"), (&json!("sched_cls"), &json!(true)));
        assert_eq!(ty("shorten"), (&json!("xdp"), &json!(true)));
        assert_eq!(ty("of_no_type"), (&Value::Null, &json!(false)));
        let notes = row["notes"].as_array().unwrap();
        let says = |words: &str| notes.iter().any(|note| note.as_str().unwrap().contains(words));
        assert!(says("section \"prog\" does not say its type; found by trying: xdp"), "{notes:?}");
        assert!(says("map \"open_size\": its definition leaves the number of entries open"), "{notes:?}");
        assert!(row["error"].as_str().unwrap().contains("key 99 is out of range"), "{row}");

        // Without JSON, too, what loaded is counted when a slot could not be filled.
        let shown = run(&["verify", &object(TEST)]);
        assert!(shown.out.contains("2 of 2 maps, 7 of 8 programs"), "{}", shown.out);
    });
}

#[test]
fn the_users_word_is_taken_for_one_program_or_for_all() {
    in_sandbox(|_| {
        for given in ["sched_cls", "*=sched_cls"] {
            let row = verified(&run(&["verify", "--json", "--type", given, &object(TEST)]), 3);
            let loaded = |name: &str| row_of(&row, "programs", name)["ok"] == json!(true);
            assert!(loaded("in_slot") && !loaded("shorten") && !loaded("probe"), "{given}: {row}");
            // What its section's name says, stands.
            assert_eq!(row_of(&row, "programs", "no_xdp")["type"], "xdp");
        }
        let args = ["verify", "--json", "--type", "prog=sched_act", "--map", "open_size=7", &object(TEST)];
        let row = verified(&run(&args), 3);
        let shorten = row_of(&row, "programs", "shorten");
        assert_eq!((&shorten["type"], &shorten["ok"]), (&json!("sched_act"), &json!(false)));
        assert_eq!(row_of(&row, "maps", "open_size")["max_entries"], 7);
    });
}

#[test]
fn sizes_and_types_that_make_no_sense_are_refused() {
    let object = object(TEST);
    for (option, given, words) in [
        ("--map", "open_size", "it is not NAME=ENTRIES"),
        ("--map", "open_size=many", "not a number"),
        ("--map", "closed=1", "open_size"),
        ("--type", "dutch", "there is no program type \"dutch\""),
    ] {
        let refused = run(&["verify", option, given, &object]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.out.contains(words), "{option} {given}: {refused:?}");
    }
}
