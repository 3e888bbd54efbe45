//! Asking `rxdp-load verify`, and comparing what it says of a program with what libbpf did.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use const_fnv1a_hash::{fnv1a_hash_32, fnv1a_hash_64};
use serde::Deserialize;

use super::golden::Row;
use super::private;
use crate::XtaskError;

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// What `verify --json --insns` says of an object.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    /// Why it was refused as a whole.
    pub error: Option<String>,
    #[serde(default)]
    pub programs: Vec<Program>,
}

/// What it says of a program.
#[derive(Debug, Deserialize)]
pub(super) struct Program {
    pub name: String,
    pub ok: bool,
    error: Option<String>,
    tag: Option<String>,
    expected_attach_type: Option<u32>,
    /// Hex, 8 bytes a slot, descriptors of maps as zero.
    insns: Option<String>,
    /// The slots that hold a map's descriptor, with the map's name.
    map_refs: Option<Vec<(usize, String)>>,
}

/// Why there is no answer about an object.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// It was killed by a signal, or panicked; its last words.
    Crash(String),
    /// It took too long.
    Late,
    /// It ended without a line of JSON; its last words.
    Words(String),
}

/// Has `loader` load the object at `path`.
///
/// # Errors
/// As [`private::output`].
pub(super) fn ask(
    loader: &Path,
    path: &Path,
    limit: Duration,
) -> Result<Result<Object, NoAnswer>, XtaskError> {
    let mut command = Command::new(loader);
    command.args(["verify", "--json", "--insns"]).arg(path).stderr(Stdio::piped());
    let Some(output) = private::output(&mut command, limit)? else {
        return Ok(Err(NoAnswer::Late));
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(read(output.status.into_std_lossy(), &text(&output.stdout), &text(&output.stderr)))
}

fn read(status: ExitStatus, out: &str, err: &str) -> Result<Object, NoAnswer> {
    let last = err.trim_end().lines().next_back().unwrap_or("no words").to_owned();
    if status.signal().is_some() || status.code() == Some(PANICKED) || err.contains("panicked at") {
        return Err(NoAnswer::Crash(format!("{status}, {last}")));
    }
    let object = out.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    object.ok_or(NoAnswer::Words(last))
}

impl Program {
    /// Why this is not what libbpf did; `None` if it is.
    pub(super) fn difference(&self, row: &Row) -> Option<String> {
        if !self.ok {
            return Some(self.error.clone().unwrap_or_else(|| "not loaded, without a reason".to_owned()));
        }
        if self.tag.as_deref() != Some(&row.tag) {
            return Some("the tag differs".to_owned());
        }
        if self.expected_attach_type != Some(row.expected_attach_type) {
            return Some("the expected attach type differs".to_owned());
        }
        let sent = self.digest().filter(|_| !row.pre.is_empty());
        sent.filter(|sent| *sent != row.pre)
            .map(|_| "the instructions differ in a map or an offset".to_owned())
    }

    /// A hash of the instructions as they were sent, FNV-1a of 64 bits; in the place of a map's descriptor stands the
    /// FNV-1a of 32 bits of its name. `None` if they were not said.
    pub(super) fn digest(&self) -> Option<String> {
        let mut code = hex::decode(self.insns.as_deref().filter(|insns| !insns.is_empty())?).ok()?;
        for (slot, map) in self.map_refs.as_ref()? {
            let immediate = slot.checked_mul(8)?.checked_add(4)?;
            let descriptor = code.get_mut(immediate..)?.first_chunk_mut::<4>()?;
            *descriptor = fnv1a_hash_32(map.as_bytes(), None).to_le_bytes();
        }
        Some(format!("{:016x}", fnv1a_hash_64(&code, None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(json: &str) -> Program {
        serde_json::from_str(json).unwrap()
    }

    fn row(tag: &str, expected_attach_type: u32, pre: &str) -> Row {
        Row {
            object: "a.o".to_owned(),
            program: "one".to_owned(),
            expected_attach_type,
            tag: tag.to_owned(),
            pre: pre.to_owned(),
            nobtf: String::new(),
        }
    }

    const LOADED: &str = r#"{"name":"one","ok":true,"error":null,"tag":"aa","expected_attach_type":37,
        "insns":"1811000000000000000000000000000095000000000000ff","map_refs":[[0,"hits"]]}"#;

    #[test]
    fn the_digest_covers_code_and_the_names_of_maps() {
        // By an implementation of another hand: FNV-1a 64 over the code with 0x4ab8fd9b, FNV-1a 32 of "hits", in slot 0.
        assert_eq!(program(LOADED).digest().unwrap(), "0d5216df5cdeb7d4");
        assert_ne!(program(&LOADED.replace("hits", "hit")).digest(), program(LOADED).digest());
        assert_ne!(program(&LOADED.replace("ff\"", "fe\"")).digest(), program(LOADED).digest());
    }

    #[test]
    fn a_digest_needs_instructions_and_slots_that_are_there() {
        assert_eq!(program(&LOADED.replace("[[0,", "[[3,")).digest(), None);
        assert_eq!(program(&LOADED.replace(r#"[[0,"hits"]]"#, "null")).digest(), None);
    }

    #[test]
    fn each_difference_has_its_reason() {
        let loaded = program(LOADED);
        let digest = loaded.digest().unwrap();
        assert_eq!(loaded.difference(&row("aa", 37, &digest)), None);
        assert_eq!(loaded.difference(&row("aa", 37, "")), None);
        let reason = |row| loaded.difference(&row).unwrap();
        assert_eq!(reason(row("ab", 37, &digest)), "the tag differs");
        assert_eq!(reason(row("aa", 0, &digest)), "the expected attach type differs");
        assert!(reason(row("aa", 37, "0000000000000000")).contains("a map or an offset"));
        let refused = program(r#"{"name":"one","ok":false,"error":"no such map"}"#);
        assert_eq!(refused.difference(&row("aa", 37, "")).unwrap(), "no such map");
    }

    #[test]
    fn a_crash_is_told_from_a_refusal() {
        let code = |code: i32| ExitStatus::from_raw(code << 8);
        let json = "{\"object\":\"a.o\",\"error\":\"refused\",\"programs\":[]}\n";
        assert_eq!(read(code(3), json, "a word\n").unwrap().error.unwrap(), "refused");
        assert!(matches!(read(code(1), "", "a\nb\n").unwrap_err(), NoAnswer::Words(word) if word == "b"));
        assert!(matches!(read(code(PANICKED), json, "").unwrap_err(), NoAnswer::Crash(_)));
        assert!(matches!(read(code(3), json, "thread panicked at x\n").unwrap_err(), NoAnswer::Crash(_)));
        assert!(matches!(read(ExitStatus::from_raw(11), json, "").unwrap_err(), NoAnswer::Crash(_)));
    }
}
