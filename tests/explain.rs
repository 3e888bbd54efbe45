//! `explain` as people and scripts use it: its JSON is what its schema says, it needs no privilege, its plan is what the main
//! job does, and with `--live` the kernel's answers stand beside ours.
#![cfg(test)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use common::{in_sandbox, object, run, rxdp_load};
use jsonschema::Validator;
use rxdp_explain::model::Explanation;
use serde_json::Value;

/// Longer than explaining any object may take, for the program that people install: without optimisation it is no promise.
const LONGEST: Duration = Duration::from_secs(2);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(Explanation)).expect("a schema")
}

fn validator() -> Validator {
    jsonschema::validator_for(&schema()).expect("a schema that is one")
}

fn json(args: &[&str]) -> Value {
    json_and_code(args, 0)
}

fn json_and_code(args: &[&str], code: i32) -> Value {
    let ran = run(&[&["explain"], args, &["--format", "json"]].concat());
    assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
    serde_json::from_str(&ran.out).expect("JSON")
}

fn check(validator: &Validator, found: &Value, what: &str) {
    if let Err(error) = validator.validate(found) {
        panic!("{what}: at {}: {error}", error.instance_path());
    }
}

#[test]
fn the_schema_in_docs_is_the_model_s() {
    let path = root().join("docs/explain.schema.json");
    let printed = serde_json::to_string_pretty(&schema()).expect("text") + "\n";
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        fs::write(&path, &printed).expect("docs/explain.schema.json");
    }
    let written = fs::read_to_string(&path).expect("docs/explain.schema.json");
    assert!(written == printed, "print it anew with UPDATE_EXPECT=1");
}

#[test]
fn json_is_what_the_schema_says() {
    let validator = validator();
    let mut fields = json(&[&object("tail_kern")]);
    check(&validator, &fields, "tail_kern");
    // A schema that says yes to everything checks nothing.
    fields["maps"][0]["index"] = Value::from("zero");
    assert!(validator.validate(&fields).is_err(), "a name in place of a number");
    for name in objects(&root().join("tests/fixtures")) {
        let name = name.display().to_string();
        check(&validator, &json(&[&name]), &name);
    }
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut objects: Vec<PathBuf> = files.filter(|path| path.extension() == Some(OsStr::new("o"))).collect();
    objects.sort();
    assert!(objects.len() > 30, "{folder:?} holds {} objects", objects.len());
    objects
}

/// Other people's objects, such as the kernel's selftests: `RXDP_CORPUS=DIR cargo test --release`. None may fail, take long, or
/// be wider than a page.
#[test]
fn a_corpus_is_explained_in_time() {
    let Some(folder) = std::env::var_os("RXDP_CORPUS") else {
        writeln!(std::io::stderr(), "SKIPPED a_corpus_is_explained_in_time: no RXDP_CORPUS").expect("stderr");
        return;
    };
    let (objects, validator) = (objects(Path::new(&folder)), validator());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let slowest = thread::scope(|scope| {
        let (objects, validator) = (&objects, &validator);
        let work = |worker| {
            move || objects.iter().skip(worker).step_by(workers).map(|o| explain(o, validator)).max()
        };
        let running: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        running.into_iter().filter_map(|thread| thread.join().expect("no panic")).max()
    });
    writeln!(std::io::stderr(), "{} objects, the slowest in {slowest:?}", objects.len()).expect("stderr");
}

fn explain(path: &Path, validator: &Validator) -> Duration {
    let name = path.display().to_string();
    let start = Instant::now();
    let json = printed(&["explain", &name, "--format", "json"]);
    let took = start.elapsed();
    let found = serde_json::from_str(&json).expect("JSON");
    assert!(took < LONGEST || cfg!(debug_assertions), "{name}: {took:?}");
    check(validator, &found, &name);
    let text = printed(&["explain", &name]);
    let wide = text.lines().find(|line| line.chars().count() > 100);
    assert_eq!(wide, None, "{name}");
    took
}

/// What a command prints, however much that is.
fn printed(args: &[&str]) -> String {
    let output = rxdp_load(args).output().expect("rxdp-load");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn files_that_are_joined_say_how() {
    let (main, lib) = ("tests/fixtures/join/main.o", "tests/fixtures/join/lib.o");
    let found = json(&[main, "--link", lib]);
    check(&validator(), &found, "joined");
    assert_eq!(found["object"]["path"], format!("{main} + {lib}"));
    let name = |name: &str| {
        let names = found["join"]["names"].as_array().expect("names");
        names.iter().find(|of| of["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    let scale = name("scale");
    assert_eq!(
        (&scale["defined_in"], &scale["mentions"][0]["beaten"]),
        (&Value::from(1), &Value::from(true))
    );
    assert_eq!(name("LINUX_KERNEL_VERSION")["defined_in"], Value::Null);
    assert!(
        found["programs"][0]["name"] == "xdp_join" && found["file"]["header"] == Value::Array(Vec::new())
    );
    let page = run(&["explain", main, "--link", lib, "--format", "html"]);
    assert!(page.out.contains("id=\"join\""), "{}", page.err);
    assert_eq!(json(&[main])["join"], Value::Null);
    let ran = run(&["explain", main, "--link", "tests/fixtures/join/lib-type.o"]);
    assert_eq!((ran.code, ran.err.contains("limit")), (Some(1), true), "{}", ran.err);
}

#[test]
fn it_needs_no_privilege_and_changes_with_none() {
    use std::os::unix::process::CommandExt;

    let copy = std::env::temp_dir().join(format!("rxdp-explain-{}", std::process::id()));
    fs::create_dir(&copy).expect("a directory");
    let (binary, file) = (copy.join("rxdp-load"), copy.join("tail_kern.o"));
    fs::copy(env!("CARGO_BIN_EXE_rxdp-load"), &binary).expect("a copy");
    fs::copy(object("tail_kern"), &file).expect("a copy");
    let explain = |user: Option<u32>| {
        let mut command = std::process::Command::new(&binary);
        command.args(["explain", "tail_kern.o"]).current_dir(&copy);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command.output().expect("rxdp-load")
    };
    let privileged = nix::unistd::Uid::effective().is_root();
    let (own, nobody) = (explain(None), explain(privileged.then_some(65534)));
    fs::remove_dir_all(&copy).expect("what was made");
    assert!(nobody.status.success(), "{}", String::from_utf8_lossy(&nobody.stderr));
    assert_eq!(String::from_utf8_lossy(&own.stdout), String::from_utf8_lossy(&nobody.stdout));
}

#[test]
fn what_cannot_be_read_is_an_error_and_what_cannot_be_understood_is_not() {
    let ran = run(&["explain", "Cargo.toml"]);
    assert_eq!((ran.code, ran.err.contains("not an ELF file")), (Some(1), true), "{}", ran.err);
    let ran = run(&["explain", &object("tail_kern"), "--section", "map"]);
    assert_eq!((ran.code, ran.err.contains("parts are join, file, maps")), (Some(2), true), "{}", ran.err);
    let ran = run(&["explain", &object("drop_all-bigendian")]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("cannot be shown: the object is big-endian"), "{}", ran.out);
}

#[test]
fn it_writes_to_a_file() {
    let path = std::env::temp_dir().join(format!("rxdp-explain-{}.json", std::process::id()));
    let name = path.display().to_string();
    let ran = run(&["explain", &object("tail_kern"), "--format", "json", "-o", &name]);
    let written = fs::read_to_string(&path);
    fs::remove_file(&path).expect("the file");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    assert_eq!(written.expect("the file"), run(&["explain", &object("tail_kern"), "--format", "json"]).out);
    let ran = run(&["explain", &object("tail_kern"), "-o", "/no/such/place"]);
    assert_eq!((ran.code, ran.err.contains("/no/such/place")), (Some(1), true), "{}", ran.err);
}

/// The plan that is shown is what the main job does: command by command, on the same things.
#[test]
fn the_plan_is_what_the_main_job_does() {
    in_sandbox(|sandbox| {
        let path = std::env::temp_dir().join(format!("rxdp-explain-{}.calls", std::process::id()));
        let record = path.display().to_string();
        for name in ["tail_kern", "tail_kern-btf_maps", "udp_count", "rewrite", "inner_maps", "several"] {
            let object = object(name);
            let ran = sandbox.near(|| {
                run(&[&*object, "v0", "--for", "0.1s", "--quiet", "--record", &record, "--type", "xdp"])
            });
            let recorded = fs::read_to_string(&path);
            assert_eq!(ran.code, Some(0), "{name}: {}", ran.err);
            let recorded = recorded.expect("the recording");
            let asked: Vec<&str> = recorded.lines().map(request).collect();
            // The last request takes the program off again when the time is up.
            let (last, asked) = asked.split_last().expect("requests");
            assert_eq!(*last, "SETLINK v0", "{name}");
            let planned = json(&[&object, "--type", "xdp"]);
            let planned = planned["plan"]["calls"].as_array().expect("calls");
            let planned: Vec<String> = planned.iter().map(as_recorded).collect();
            assert_eq!(planned, asked, "{name}");
        }
        fs::remove_file(&path).expect("the recording");
    });
}

/// Command and object of a line of a recording.
fn request(line: &str) -> &str {
    let end = line.match_indices(' ').nth(1).map_or(line.len(), |(at, _)| at);
    &line[..end]
}

/// A planned call as a recording has it.
fn as_recorded(call: &Value) -> String {
    let (command, about) =
        (call["command"].as_str().expect("a name"), call["about"].as_str().expect("a name"));
    let about = about.replace("IFACE", "v0");
    let slot = call["arguments"].as_array().is_some_and(|all| all.iter().all(|a| a["name"] == "key"));
    let command = match command {
        "BPF_BTF_LOAD" => "BTF_LOAD",
        "BPF_MAP_CREATE" => "MAP_CREATE",
        "BPF_MAP_UPDATE_ELEM" => "MAP_UPDATE",
        "BPF_MAP_FREEZE" => "MAP_FREEZE",
        "BPF_PROG_LOAD" => "PROG_LOAD",
        "BPF_MAP_LOOKUP_ELEM" if slot => "SLOT_ID",
        "BPF_OBJ_GET_INFO_BY_FD" if call["why"].as_str().is_some_and(|why| why.contains("how long keys")) => {
            "MAP_SIZES"
        }
        "BPF_OBJ_GET_INFO_BY_FD" if call["why"].as_str().is_some_and(|why| why.contains("map's id")) => {
            "MAP_INFO"
        }
        "BPF_OBJ_GET_INFO_BY_FD" => "PROG_INFO",
        "RTM_SETLINK" => "SETLINK",
        "RTM_GETLINK" if call["number"] == 1 => return format!("GETLINK name={about}"),
        "RTM_GETLINK" => "GETLINK",
        other => other,
    };
    format!("{command} {about}")
}

#[test]
fn live_shows_what_the_kernel_says() {
    in_sandbox(|_| {
        let found = json(&[&object("tail_kern"), "--live"]);
        check(&validator(), &found, "tail_kern --live");
        let kernel = &found["kernel"];
        assert_eq!(kernel["problems"], Value::Array(Vec::new()));
        let [entry, target] = kernel["prog_fd"].as_array().expect("programs").as_slice() else {
            panic!("two programs");
        };
        let slot = &kernel["slots"][0];
        assert_eq!((&slot["read_id"], &slot["written_fd"]), (&target["id"], &target["fd"]));
        assert_ne!(slot["read_id"], slot["written_fd"], "an id is no descriptor");
        assert!(entry["log"].as_str().is_some_and(|log| log.contains("call bpf_tail_call#12")));
        let statistics = entry["statistics"].as_array().expect("lines");
        assert!(
            statistics.iter().any(|line| line.as_str().is_some_and(|line| line.starts_with("processed ")))
        );
        let created = kernel["calls"]
            .as_array()
            .expect("calls")
            .iter()
            .find(|call| call["command"] == "BPF_MAP_CREATE");
        let created = created.expect("a map is created");
        let fd = kernel["map_fd"][0]["fd"].as_i64().expect("a number").to_string();
        assert_eq!(
            (&created["reply"], &created["answer"][0]["value"]),
            (&Value::from("ok"), &Value::from(fd))
        );
        the_message_attaches(kernel, entry);
        the_codes_agree(entry);
    });
}

/// The message that attached carries a descriptor of the entry program, and its answer says that it was done.
fn the_message_attaches(kernel: &Value, entry: &Value) {
    let parts = kernel["attachment"]["message"].as_array().expect("parts");
    let at = parts.iter().position(|part| part["name"] == "IFLA_XDP_FD").expect("the attribute");
    let value = number(&parts[at.saturating_add(1)]);
    assert!(i64::from(value) > entry["fd"].as_i64().expect("a number"), "a duplicate, which is open besides");
    assert_eq!(kernel["attachment"]["reply"], "ok");
    let answer = kernel["attachment"]["answer"].as_array().expect("parts");
    let of = |parts: &[Value], name: &str| {
        number(parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("no {name}")))
    };
    assert_eq!(of(answer, "error"), 0);
    assert_eq!(of(answer, "nlmsg_seq"), of(parts, "nlmsg_seq"));
    assert_ne!(of(parts, "nlmsg_seq"), 0, "as it was on the wire");
}

/// The number that a part of a message holds.
fn number(part: &Value) -> u32 {
    let digits = part["bytes"].as_str().expect("digits").split(' ');
    let bytes: Vec<u8> = digits.map(|digits| u8::from_str_radix(digits, 16).expect("a byte")).collect();
    u32::from_ne_bytes(bytes.try_into().expect("four bytes"))
}

/// Every instruction of ours has its place, and the kernel left alone what does not name a map or a function.
fn the_codes_agree(program: &Value) {
    let rows = program["xlated"].as_array().expect("rows");
    let ours: usize = rows.iter().map(|row| row["ours"].as_array().map_or(0, Vec::len)).sum();
    assert!(ours > 30, "{ours} instructions of ours");
    for row in rows.iter().filter(|row| row["differs"] == true) {
        let text = row["ours"][0]["text"].as_str().expect("an instruction");
        assert!(text.starts_with("call ") || text.contains("map["), "{text}");
    }
    if cfg!(target_arch = "x86_64") && program["machine_bytes"] != 0 {
        let machine = program["machine_code"].as_array().expect("instructions");
        let begins = |with: &str| {
            machine.iter().any(|one| one["text"].as_str().is_some_and(|text| text.starts_with(with)))
        };
        assert!(begins("call bpf_trace_printk"), "calls have names");
        assert!(begins("jmp xdp_tail_call_1+0x"), "and so have jumps to other programs");
    }
}

#[test]
fn live_shows_why_a_program_is_refused() {
    in_sandbox(|_| {
        let found = json_and_code(&[&object("refused"), "--live"], 3);
        let refused = &found["kernel"]["refused"][0];
        assert_eq!(found["kernel"]["prog_fd"], Value::Array(Vec::new()), "nothing stays");
        assert_eq!(refused["errno"], "EACCES");
        assert!(refused["log"].as_str().is_some_and(|log| log.contains("processed ")), "{refused}");
        assert_ne!(found["kernel"]["problems"], Value::Array(Vec::new()));
    });
}

#[test]
fn live_goes_on_where_the_main_job_stops() {
    in_sandbox(|_| {
        let kernel = &json_and_code(&[&object("refused_maps"), "--live"], 3)["kernel"];
        let problems: Vec<&str> =
            kernel["problems"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(kernel["map_fd"], Value::Array(Vec::new()));
        assert_eq!(kernel["prog_fd"][0]["name"], "no_maps", "behind nine maps that the kernel refused");
        assert_eq!(problems.len(), 10, "{problems:?}");
        assert!(problems[9].starts_with("nothing was attached"), "{problems:?}");
        assert_eq!(kernel["attachment"], Value::Null);
    });
}

#[test]
fn a_page_for_a_browser_goes_to_a_file_or_to_standard_output() {
    let object = object("tail_kern");
    let printed = run(&["explain", &object, "--format", "html"]);
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert!(printed.out.starts_with("<!DOCTYPE html>") && printed.out.contains("id=\"change-0-20\""));
    let file = std::env::temp_dir().join(format!("rxdp-explain-{}.html", std::process::id()));
    let written = run(&["explain", &object, "--format", "html", "-o", &file.display().to_string()]);
    let page = fs::read_to_string(&file).expect("a page");
    fs::remove_file(&file).expect("the page is there to be removed");
    assert_eq!((written.code, written.out.as_str()), (Some(0), ""), "{}", written.err);
    assert_eq!(page, printed.out);
}
