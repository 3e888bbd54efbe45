//! What objects leave open, and how the command has it said: licenses.
#![cfg(test)]

mod common;

use common::held::{Held, attach};
use common::{in_sandbox, object, run, verified};

#[test]
fn a_license_is_never_invented_and_can_be_given() {
    let advice = "the object has no section \"license\": if it is under the GPL, say so with --license GPL";
    in_sandbox(|sandbox| {
        let row = verified(&run(&["verify", "--json", &object("licensed-nobody")]), 3);
        let error = row["programs"][0]["error"].as_str().unwrap();
        assert!(error.contains("GPL-restricted") && error.ends_with(advice), "{error}");
        attach(sandbox, "licensed-nobody", &["--for", "1ms"]).failed(3, &[advice]);

        let given = ["--license", "GPL"];
        verified(&run(&["verify", "--json", &object("licensed-nobody"), given[0], given[1]]), 0);
        run(&["run", &object("licensed-nobody"), given[0], given[1]]).done();
        Held::start(sandbox, "licensed-nobody", &given).stop();

        // The object's word is not asked for twice, and what is given counts more.
        verified(&run(&["verify", "--json", &object("licensed")]), 0);
        let row = verified(&run(&["verify", "--json", "--license", "MIT", &object("licensed")]), 3);
        assert!(!row["programs"][0]["error"].as_str().unwrap().contains("--license"), "{row}");
    });
}
