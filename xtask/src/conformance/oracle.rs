//! Asking libbpf itself: a program on it that loads an object and prints one line of JSON.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::golden::Row;
use super::private;
use crate::XtaskError;

/// What the oracle says of an object.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    progs: Vec<Entry>,
    /// Where it stopped, if it did: among others at `timeout` and `crash-signal-N`.
    stage: Option<String>,
}

/// With `-p` a program lies one level deeper, beside how its load went.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Alone { p: Program },
    WithItsObject(Program),
}

#[derive(Debug, Deserialize)]
struct Program {
    name: String,
    #[serde(default)]
    eat: u32,
    /// Only what was loaded has one.
    tag: Option<String>,
    #[serde(default)]
    pre: String,
}

/// A row for each program of the object that libbpf loads: alone, or else together with its object.
///
/// # Errors
/// As [`private::output`]. An oracle that finds no words has loaded nothing.
pub(super) fn rows(
    oracle: &Path,
    path: &Path,
    object: &str,
    limit: Duration,
) -> Result<Vec<Row>, XtaskError> {
    let alone = ask(Command::new(oracle).arg("-p").arg(path), limit)?;
    if let Some(stage) = alone.gave_up() {
        eprintln!("xtask: the oracle gave up on {object}: {stage}");
    }
    let mut rows = BTreeMap::new();
    let all = alone.progs.len();
    add(&mut rows, alone, object);
    // What loads alone was seen; only for the rest does it matter whether it loads in company.
    if rows.len() < all || all == 0 {
        add(&mut rows, ask(Command::new(oracle).arg(path), limit)?, object);
    }
    Ok(rows.into_values().collect())
}

fn ask(command: &mut Command, limit: Duration) -> Result<Answer, XtaskError> {
    let output = private::output(command.stderr(Stdio::null()), limit)?;
    Ok(output.map(|output| read(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default())
}

impl Answer {
    /// What kept the oracle from trying all programs; a refusal by libbpf is none.
    fn gave_up(&self) -> Option<&str> {
        self.stage.as_deref().filter(|stage| *stage == "timeout" || stage.starts_with("crash"))
    }
}

fn read(text: &str) -> Answer {
    text.lines().next_back().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

fn add(rows: &mut BTreeMap<String, Row>, answer: Answer, object: &str) {
    for entry in answer.progs {
        let (Entry::Alone { p: program } | Entry::WithItsObject(program)) = entry;
        let Some(tag) = program.tag else { continue };
        rows.entry(program.name.clone()).or_insert(Row {
            object: object.to_owned(),
            program: program.name,
            expected_attach_type: program.eat,
            tag,
            pre: program.pre,
            nobtf: String::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_loads_alone_counts_as_it_loaded_alone() {
        let alone = r#"{"obj":"a.o","progs":[{"r":0,"stage":"ok","p":{"name":"one","eat":37,"tag":"aa","pre":"11"}},
            {"r":22,"stage":"load","p":{"name":"two","eat":0,"pre":"22"}}],"nprogs":2,"nok":1}"#;
        let company = r#"{"obj":"a.o","ok":true,"progs":[{"name":"one","eat":37,"tag":"bb","pre":"33"},
            {"name":"two","eat":4,"tag":"cc"}]}"#;
        let mut rows = BTreeMap::new();
        for text in [alone, company] {
            add(&mut rows, read(&text.replace('\n', "")), "a.o");
        }
        assert_eq!((&*rows["one"].tag, &*rows["one"].pre), ("aa", "11"));
        assert_eq!((&*rows["two"].tag, rows["two"].expected_attach_type, &*rows["two"].pre), ("cc", 4, ""));
    }

    #[test]
    fn an_oracle_that_crashed_or_was_too_slow_loaded_nothing_and_gave_up() {
        let stopped =
            |stage| read(&format!(r#"{{"obj":"a.o","ok":false,"errno":0,"stage":"{stage}","log":[]}}"#));
        assert_eq!(stopped("crash-signal-11").gave_up(), Some("crash-signal-11"));
        assert_eq!(stopped("timeout").gave_up(), Some("timeout"));
        assert_eq!(stopped("open").gave_up(), None);
        assert!(stopped("open").progs.is_empty());
    }

    #[test]
    fn an_oracle_that_finds_no_words_loaded_nothing() {
        for text in ["", "half a {"] {
            assert!(read(text).progs.is_empty(), "{text}");
        }
    }
}
