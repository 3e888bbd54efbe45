//! What the command says and how it exits where nothing gets attached: wrong files, wrong arguments, refusals, reports.
//!
//! Most of it needs no privilege; what does stands on a sandbox, and is skipped aloud without.
#![cfg(test)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;

use nix::sys::memfd::{MFdFlags, memfd_create};
use rxdp_loader::sys::{Errno, Kernel, Linux};
use rxdp_sandbox::testing::needs;
use serde_json::{Value, json};

use common::held::{NOTHING, attach, in_near, main_job, number, on_v0};
use common::{Running, fields, in_sandbox, object, run, rxdp_load, verified};

/// An interface that nobody has: what reads only the object and the arguments never comes to ask for it.
const NOWHERE: &str = "nosuch0";

#[test]
fn a_file_that_is_no_object_is_refused_for_what_it_is() {
    let tail_kern = fs::read(object("tail_kern")).unwrap();
    let (empty, text) = (Unnamed::new(b""), Unnamed::new(b"int main(void) { return 0; }\n"));
    let (narrow, arm) = (Unnamed::new(&with(&tail_kern, 4, 1)), Unnamed::new(&with(&tail_kern, 18, 183)));
    let (executable, shared) =
        (Unnamed::new(&with(&tail_kern, 16, 2)), Unnamed::new(&with(&tail_kern, 16, 3)));
    let table: &[(&str, &[&str])] = &[
        ("no/such/file.o", &["ENOENT", "no such file"]),
        ("/proc/self", &["EISDIR", "it is a directory"]),
        (&empty.path(), &["the file is empty"]),
        (&text.path(), &["not an ELF file", "clang -target bpf"]),
        ("/proc/self/exe", &["not for BPF", "clang -target bpf"]),
        (&arm.path(), &["machine 183", "clang -target bpf"]),
        (&narrow.path(), &["32-bit"]),
        (&executable.path(), &["not a relocatable"]),
        (&shared.path(), &["not a relocatable"]),
    ];
    for (path, words) in table {
        let refused = run(&[*path, NOWHERE]);
        refused.failed(1, &[&[*path], *words].concat());
        assert_eq!(refused.out, "", "{path}");

        let row = verified(&run(&["verify", "--json", path]), 1);
        assert_eq!((&row["ok"], &row["maps"], &row["programs"]), (&json!(false), &json!([]), &json!([])));
        let error = row["error"].as_str().unwrap();
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_truncated_object_is_refused_at_every_length() {
    let whole = fs::read(object("tail_kern")).unwrap();
    let cut: Vec<Unnamed> =
        (1..whole.len()).step_by(97).map(|length| Unnamed::new(&whole[..length])).collect();
    assert!(cut.len() > 20);
    let paths: Vec<String> = cut.iter().map(Unnamed::path).collect();
    let ran = run(&[vec!["verify".to_string(), "--json".to_string()], paths].concat());
    ran.failed(1, &[]);
    let rows = ran.json();
    assert_eq!(rows.len(), cut.len());
    for row in rows {
        let error = row["error"].as_str().unwrap_or_default();
        assert!(row["ok"] == false && !error.is_empty() && !error.contains('\n'), "{row}");
    }
}

#[test]
fn wrong_arguments_are_refused_with_what_there_is() {
    const PROGRAMS: &str = "0: xdp_prog in section xdp/0, 1: xdp_tail_call_1 in section xdp/1";
    const FORM: &str = "it is not MAP:KEY=PROG";
    const KEY: &str = "KEY is not a number";
    let table: &[(&[&str], &[&str])] = &[
        (&["--prog", "nobody"], &["no program \"nobody\"", PROGRAMS]),
        (&["--prog", "2"], &["no program \"2\"", PROGRAMS]),
        (&["--type", "xdp_prog"], &["--type \"xdp_prog\"", "it is not PROG=TYPE"]),
        (&["--type", "xdp_prog=fast"], &["no program type \"fast\"", "socket_filter", "xdp"]),
        (&["--type", "nobody=xdp"], &["no program \"nobody\"", PROGRAMS]),
        (&["--tail-call", "all"], &["--tail-call \"all\"", FORM]),
        (&["--tail-call", "0:78"], &[FORM]),
        (&["--tail-call", "0=1"], &[FORM]),
        (&["--tail-call", ":="], &[KEY]),
        (&["--tail-call", "0:x=1"], &[KEY]),
        (&["--tail-call", "0:-1=1"], &[KEY]),
        (&["--tail-call", "0:4294967296=1"], &[KEY]),
        (&["--tail-call", "x:78=1"], &["no map \"x\"", "0: jmp_table1, 1: jmp_table2"]),
        (&["--tail-call", "3:78=1"], &["no map \"3\"", "0: jmp_table1"]),
        (&["--tail-call", "0:78=9"], &["no program \"9\"", PROGRAMS]),
        (&["--tail-call", "0:78=1=1"], &["no program \"1=1\"", PROGRAMS]),
        (&[], &["no interface \"nosuch0\"", "lo"]),
    ];
    for (args, words) in table {
        let refused = run(&[&[&object("tail_kern"), NOWHERE], *args].concat());
        refused.failed(1, words);
        // What to do, where it is said, has lines of its own.
        let lines = refused.err.lines().filter(|line| !line.starts_with("  to do: ")).count();
        assert_eq!((refused.out.as_str(), lines), ("", 1), "{args:?}: {}", refused.err);
    }
    for verb in ["status", "unload"] {
        run(&[verb, NOWHERE]).failed(1, &["no interface \"nosuch0\"", "lo"]);
    }
}

#[test]
fn what_cannot_be_planned_is_refused_before_anything_is_loaded() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("tail_kern", &["--tail-call", "0:100=1"], &["jmp_table1", "key 100", "0 to 99"]),
        ("tail_kern", &["--tail-call", "0:4294967295=1"], &["jmp_table1", "key 4294967295", "0 to 99"]),
        ("tail_kern", &["--tail-call", ".rodata.str1.1:0=1"], &[".rodata.str1.1", "prog_array"]),
        ("tail_kern", &["--type", "0=kprobe", "--prog", "0"], &["no XDP program", "xdp_prog is kprobe"]),
        ("socket_slots", &[], &["no XDP program", "socket_filter"]),
        ("drop_all-bigendian", &[], &["big-endian", "clang -target bpfel"]),
        ("several", &["--prog", "xdp"], &["\"xdp\"", "xdp_first", "xdp_second", "xdp_third"]),
    ];
    in_sandbox(|sandbox| {
        for (name, args, words) in table {
            let refused = attach(sandbox, name, args);
            refused.failed(1, words);
            assert_eq!((refused.out.as_str(), on_v0(sandbox)), ("", NOTHING.to_vec()), "{name} {args:?}");
        }
    });
}

#[test]
fn wrong_usage_exits_with_2_and_says_how_to_use_it() {
    let table: &[(&[&str], &str)] = &[
        (&[], "<OBJECT>"),
        (&["tail_kern.o"], "<IFACE>"),
        (&["tail_kern.o", "v0", "more"], "more"),
        (&["tail_kern.o", "v0", "--no-such-option"], "--no-such-option"),
        (&["tail_kern.o", "v0", "--mode", "fast"], "native (drv)"),
        (&["tail_kern.o", "v0", "--for", "soon"], "soon"),
        (&["tail_kern.o", "v0", "--replace=all"], "all"),
        (&["tail_kern.o", "v0", "--section-dialect", "dutch"], "iproute2"),
        (&["tail_kern.o", "v0", "--map-dialect", "dutch"], "iproute2"),
        (&["tail_kern.o", "v0", "-q", "-v"], "--verbose"),
        (&["verify"], "<OBJECT>"),
        (&["verify", "--insns", "tail_kern.o"], "--json"),
        (&["status", "v0", "v1"], "v1"),
        (&["unload"], "<IFACE>"),
    ];
    for (args, word) in table {
        run(args).failed(2, &[word, "--help"]);
    }
}

#[test]
fn help_and_version_are_there() {
    let help = run(&["--help"]);
    for word in
        ["<OBJECT> <IFACE>", "verify", "status", "unload", "trace", "demo", "--tail-call", "--replace"]
    {
        assert!(help.done().contains(word), "no {word} in {}", help.out);
    }
    assert_eq!(run(&["--version"]).done(), concat!("rxdp-load ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_refusal_of_the_verifier_shows_its_log_with_the_line_of_c() {
    let mut words = vec!["return packet[13] == 0", "program \"xdp_unchecked\" (section \"xdp\"", "EACCES"];
    in_sandbox(|sandbox| {
        if needs("the file and number of that line", (6, 9), "files and lines in the verifier's log") {
            words.push("refused.c:10");
        }
        let refused = attach(sandbox, "refused", &[]);
        refused.failed(3, &words);
        assert_eq!((refused.out.as_str(), on_v0(sandbox)), ("", NOTHING.to_vec()));

        let verified = in_near(sandbox, &["verify", "--log", &object("refused")]);
        assert_eq!(verified.code, Some(3));
        assert!(words.iter().all(|word| verified.out.contains(word)), "{verified:?}");
    });
}

#[test]
fn verify_reports_each_map_and_program_in_json() {
    in_sandbox(|_| {
        let mut row = verified(&run(&["verify", "--json", &object("tail_kern")]), 0);
        assert_eq!(fields(&row), BTreeSet::from(["error", "maps", "notes", "object", "ok", "programs"]));
        assert_eq!((&row["object"], &row["ok"]), (&json!(object("tail_kern")), &json!(true)));

        let table = |name: &str| {
            json!({"name": name, "type": "prog_array", "key_size": 4, "value_size": 4, "max_entries": 100,
                   "flags": 0, "ok": true, "error": null, "fault": null})
        };
        for (at, name) in ["jmp_table1", "jmp_table2"].into_iter().enumerate() {
            assert!(number(&taken(&mut row["maps"][at], "id")) > 0);
            assert_eq!(row["maps"][at], table(name));
        }
        for (at, name, section) in [(0, "xdp_prog", "xdp/0"), (1, "xdp_tail_call_1", "xdp/1")] {
            let program = &mut row["programs"][at];
            let id = number(&taken(program, "id"));
            assert_eq!(Linux.prog_by_id(id).unwrap_err(), Errno::ENOENT, "left behind");
            let tag = taken(program, "tag").as_str().unwrap().to_string();
            assert!(tag.len() == 16 && tag.bytes().all(|digit| digit.is_ascii_hexdigit()), "{tag}");
            for count in ["insn_count", "verified_insns", "load_us"] {
                assert!(number(&taken(program, count)) > 0, "{name} {count}");
            }
            let rest = json!({"name": name, "section": section, "type": "xdp", "expected_attach_type": 37,
                              "ok": true, "error": null, "errno": null, "insns": null, "map_refs": null,
                              "log": null, "refusal": null});
            assert_eq!(*program, rest);
        }
    });
}

#[test]
fn types_that_the_kernel_refuses_are_said() {
    let bytes = fs::read(object("data")).unwrap();
    // A name that is no word of C.
    let name = bytes.windows(5).position(|window| window == b"\0u32\0").unwrap();
    let damaged = Unnamed::new(&with(&bytes, name + 2, b'-'));
    in_sandbox(|sandbox| {
        let row = verified(&run(&["verify", "--json", &damaged.path()]), 0);
        let notes = row["notes"].as_array().unwrap();
        let note = notes[0].as_str().unwrap();
        let expected = "loaded without types and source lines: BPF_BTF_LOAD failed: EINVAL: ";
        assert!(notes.len() == 1 && note.starts_with(expected) && note.contains("u-2"), "{row}");

        let noted = format!("note: {note}\n");
        assert!(run(&["verify", &damaged.path()]).done().contains(&noted));
        let main_job = |more: &str| in_near(sandbox, &[damaged.path().as_str(), "v0", "--for", "1ms", more]);
        assert!(main_job("-v").done().contains(&noted));
        assert_eq!(main_job("--json").json()[0]["notes"], row["notes"]);
        assert!(!main_job("--trace").done().contains("note"));

        let whole = verified(&run(&["verify", "--json", &object("data")]), 0);
        assert_eq!(whole["notes"], json!([]));
    });
}

#[test]
fn verify_shows_the_instructions_on_demand() {
    in_sandbox(|_| {
        let row = verified(&run(&["verify", "--json", "--insns", &object("tail_kern")]), 0);
        let program = &row["programs"][0];
        let code = program["insns"].as_str().unwrap();
        assert_eq!(u64::try_from(code.len()).unwrap(), program["insn_count"].as_u64().unwrap() * 16);
        let (at, map) = (program["map_refs"][0][0].as_u64().unwrap(), &program["map_refs"][0][1]);
        assert_eq!(map, "jmp_table1");
        // lddw r2 with the pseudo register of a map, and nothing where its descriptor will stand.
        let slot = &code[usize::try_from(at).unwrap() * 16..][..16];
        assert_eq!(slot, "1812000000000000");
    });
}

#[test]
fn verify_tells_refusals_apart_and_goes_on_after_them() {
    in_sandbox(|sandbox| {
        let objects = [object("refused"), "no/such/file.o".to_string(), object("unknown")];
        let ran =
            run(&[&["verify".to_string(), "--json".to_string(), "--log".to_string()], &objects[..]].concat());
        ran.failed(3, &["refused.o"]);
        let rows = ran.json();
        let oks: Vec<&Value> = rows.iter().map(|row| &row["ok"]).collect();
        assert_eq!(oks, [false, false, true]);
        let program = &rows[0]["programs"][0];
        assert_eq!(
            (&program["ok"], &program["errno"], &program["id"]),
            (&json!(false), &json!(13), &Value::Null)
        );
        assert!(program["log"].as_str().unwrap().contains("packet[13]"), "{program}");

        // The first failure's code counts.
        run(&["verify", "no/such/file.o", &object("refused")]).failed(1, &[]);
        run(&["verify", &object("refused"), "no/such/file.o"]).failed(3, &[]);

        let row =
            verified(&run(&["verify", "--json", "--type", "filter=socket_filter", &object("unknown")]), 0);
        assert_eq!(row["programs"][0]["type"], "socket_filter");
        // What a map of maps does not say is made up, and said.
        let row = verified(&run(&["verify", "--json", &object("inner_maps-none")]), 0);
        let notes = row["notes"].as_array().unwrap();
        let made_up =
            "map \"outer\": its definition does not say what its inner maps look like; made up: array";
        assert!(notes.len() == 1 && notes[0].as_str().unwrap().starts_with(made_up), "{row}");
        // A definition that nobody understands costs the map and the program that refers to it.
        let row = verified(&run(&["verify", "--json", &object("broken_maps")]), 1);
        let ok = |place: &str| row[place].as_array().unwrap().iter().map(|row| row["ok"] == true).collect();
        let (maps, programs): (Vec<bool>, Vec<bool>) = (ok("maps"), ok("programs"));
        let all_but = |at: usize, of: usize| (0..of).map(|n| n != at).collect::<Vec<_>>();
        assert_eq!((maps, programs), (all_but(3, 4), all_but(3, 5)), "{row}");
        assert_eq!((&row["maps"][2]["ok"], &row["programs"][4]["ok"]), (&json!(true), &json!(true)), "{row}");
        let refused = attach(sandbox, "inner_maps-none", &["--prog", "drop_all", "--for", "1ms"]);
        refused.failed(1, &["map \"outer\" (array_of_maps) does not say what its inner maps look like"]);

        let row = verified(&run(&["verify", "--json", "--prog", "xdp_second", &object("several")]), 0);
        let names: Vec<&Value> = row["programs"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
        assert_eq!(names, ["xdp_second"]);
        assert_eq!(on_v0(sandbox), NOTHING);
    });
}

#[test]
fn without_privilege_loading_exits_with_4_and_says_what_it_takes() {
    const NOBODY: u32 = 65534;
    in_sandbox(|sandbox| {
        let as_nobody = |args: &[String]| {
            let mut command = rxdp_load(args);
            command.uid(NOBODY);
            sandbox.near(|| Running::start(command)).end()
        };
        let refused = as_nobody(&main_job("tail_kern", &["--for", "1ms"]));
        refused.failed(4, &["EPERM", "CAP_BPF", "CAP_NET_ADMIN"]);
        let row = verified(&as_nobody(&["verify".into(), "--json".into(), object("drop_all")]), 4);
        assert_eq!(row["programs"][0]["errno"], 1);
    });
}

/// Takes a field out of a JSON object.
fn taken(value: &mut Value, field: &str) -> Value {
    value.as_object_mut().and_then(|fields| fields.remove(field)).unwrap_or_else(|| panic!("no {field}"))
}

/// The bytes of an ELF file with another byte in its header.
fn with(bytes: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = byte;
    bytes
}

/// A file without a name, which goes with its value: other processes find it among this one's descriptors.
struct Unnamed(File);

impl Unnamed {
    fn new(contents: &[u8]) -> Self {
        let mut file = File::from(memfd_create("object", MFdFlags::MFD_CLOEXEC).unwrap());
        file.write_all(contents).unwrap();
        Self(file)
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}
