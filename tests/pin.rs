//! `--pin`, `--record` and what `unload` removes, on the real kernel: in a bpffs and on interfaces of a sandbox.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rxdp_loader::features::Machine;
use rxdp_loader::link;
use rxdp_loader::load::{self, Given, LogPolicy};
use rxdp_loader::plan::{self, FillSlot, Options, PIN_ROOT, SlotSource, SlotValue};
use rxdp_loader::spec::{Dialects, MapId, ProgId};
use rxdp_loader::sys::{Replay, host};
use rxdp_loader::trace::Transcript;
use rxdp_loader::uapi::ProgType;
use rxdp_sandbox::Sandbox;
use rxdp_sandbox::testing::kernel_or_skip;

const TAIL: &str = "bpf-progs/tail_kern.o";
const DIR: &str = "/sys/fs/bpf/article";

#[test]
fn pinned_tables_stay_filled_and_unload_removes_everything() {
    let Some(sandbox) = kernel_or_skip("pinned_tables_stay_filled_and_unload_removes_everything") else {
        return;
    };
    let printed = ok(&sandbox, &["bpf-progs/tail_kern.o", "v0", "--pin", DIR]);
    assert!(printed.contains("rxdp-load unload v0"), "{printed}");
    let pins = ["_rodata_str1_1", "jmp_table1", "jmp_table2", "xdp_prog", "xdp_tail_call_1"];
    assert_eq!(sandbox.near(|| names(DIR)), pins);

    let status = ok(&sandbox, &["status", "v0"]);
    assert!(status.contains("v0: xdp_prog") && status.contains("1 of 100 slots: [78] ="), "{status}");

    let printed = ok(&sandbox, &["unload", "v0"]);
    assert!(pins.iter().all(|pin| printed.contains(&format!("removed the pin {DIR}/{pin}"))), "{printed}");
    assert!(sandbox.near(|| names(PIN_ROOT)).is_empty());
    assert!(ok(&sandbox, &["status"]).starts_with("no interface"));
}

#[test]
fn unload_leaves_other_people_s_pins() {
    let Some(sandbox) = kernel_or_skip("unload_leaves_other_people_s_pins") else {
        return;
    };
    sandbox.add_veth("other", "peer").expect("another interface");
    ok(&sandbox, &[TAIL, "v0", "--pin", DIR]);
    ok(&sandbox, &["bpf-progs/drop_all.o", "other", "--pin", DIR]);
    let theirs: Vec<String> =
        sandbox.near(|| names(DIR)).into_iter().filter(|n| n.contains("drop")).collect();
    assert_eq!(theirs.len(), 1);

    ok(&sandbox, &["unload", "v0"]);
    assert_eq!(sandbox.near(|| names(DIR)), theirs);
    ok(&sandbox, &["unload", "other"]);
    assert!(sandbox.near(|| names(DIR)).is_empty(), "the first made the directory, so it stays");
}

#[test]
fn a_failed_attach_leaves_no_pin() {
    let Some(sandbox) = kernel_or_skip("a_failed_attach_leaves_no_pin") else {
        return;
    };
    ok(&sandbox, &["bpf-progs/drop_all.o", "v0", "--pin", "/sys/fs/bpf/first"]);
    let before = sandbox.near(|| names(PIN_ROOT));
    for object in [TAIL, "tests/fixtures/pinned-64.o"] {
        let failed = run(&sandbox, &[object, "v0", "--pin", DIR]);
        assert_eq!(failed.status.code(), Some(3), "{}", errors(&failed));
        assert_eq!(sandbox.near(|| names(PIN_ROOT)), before, "{object}");
    }
    assert!(ok(&sandbox, &["status", "v0"]).contains("drop_all"), "what was attached still is");
}

#[test]
fn names_that_are_taken_and_places_without_a_bpffs_are_told() {
    let Some(sandbox) = kernel_or_skip("names_that_are_taken_and_places_without_a_bpffs_are_told") else {
        return;
    };
    ok(&sandbox, &[TAIL, "v0", "--pin", DIR]);
    for (dir, expected) in [
        (DIR, "/sys/fs/bpf/article/jmp_table1"),
        ("/sys/kernel/nowhere", "mount -t bpf bpf /sys/fs/bpf"),
        ("/sys/fs/bpf/a.b", "no names with a dot"),
    ] {
        let failed = run(&sandbox, &[TAIL, "v0", "--pin", dir]);
        assert_eq!(failed.status.code(), Some(1), "{}", errors(&failed));
        assert!(errors(&failed).contains(expected), "{}", errors(&failed));
    }
}

#[test]
fn a_map_that_asks_for_it_is_pinned_and_outlives_the_job() {
    let Some(sandbox) = kernel_or_skip("a_map_that_asks_for_it_is_pinned_and_outlives_the_job") else {
        return;
    };
    let job = |object| run(&sandbox, &[object, "v0", "--for", "1ms"]);
    let first = output(&job("tests/fixtures/pinned-64.o"));
    assert!(first.contains("hits is new, and pinned at /sys/fs/bpf/hits"), "{first}");
    assert_eq!(sandbox.near(|| names(PIN_ROOT)), ["hits"]);
    let second = output(&job("tests/fixtures/pinned-64.o"));
    assert!(second.contains("hits is the map pinned at /sys/fs/bpf/hits"), "{second}");

    let misfit = job("tests/fixtures/pinned-100.o");
    assert_eq!(misfit.status.code(), Some(1));
    let expected = "max_entries is 100 in the object and 64 in /sys/fs/bpf/hits";
    assert!(errors(&misfit).contains(expected), "{}", errors(&misfit));
    output(&run(&sandbox, &["verify", "tests/fixtures/pinned-100.o"]));
}

#[test]
fn two_recordings_are_the_same_text() {
    let Some(sandbox) = kernel_or_skip("two_recordings_are_the_same_text") else {
        return;
    };
    let recordings = [Scratch::new("same-1"), Scratch::new("same-2")];
    for recording in &recordings {
        ok(&sandbox, &[TAIL, "v0", "--pin", DIR, "--record", recording.path()]);
        ok(&sandbox, &["unload", "v0"]);
    }
    let [first, second] = recordings.map(|recording| recording.text());
    assert_eq!(first, second);
    let position = |what: &str| first.find(what).unwrap_or_else(|| panic!("no {what} in\n{first}"));
    let order = [
        "GETLINK name=v0",
        "MAP_CREATE jmp_table1",
        "PROG_LOAD xdp_prog",
        "MAP_UPDATE jmp_table1 key=4e000000 value=fd:xdp_tail_call_1",
        "OBJ_PIN jmp_table1",
        "SETLINK v0 xdp fd=xdp_prog flags=UPDATE_IF_NOEXIST = ok",
    ];
    assert!(order.map(position).is_sorted(), "{first}");
}

#[test]
fn a_recording_names_what_is_taken_off_and_its_bpf_part_replays() {
    let Some(sandbox) = kernel_or_skip("a_recording_names_what_is_taken_off_and_its_bpf_part_replays") else {
        return;
    };
    let recording = Scratch::new("replay");
    ok(&sandbox, &[TAIL, "v0", "--for", "1ms", "-q", "--record", recording.path()]);
    let text = recording.text();
    let last = text.lines().last().expect("a line");
    assert_eq!(last, "SETLINK v0 xdp fd=none flags=DRV_MODE|REPLACE expected=xdp_prog = ok");

    let transcript = Transcript::parse(&text).expect("a transcript").without_netlink();
    let bytes = fs::read(root().join(TAIL)).expect("the article's object");
    let spec = rxdp_loader::read("tail_kern", &bytes, Dialects::default()).expect("a good object");
    let object = link::link(spec);
    let inferred =
        FillSlot { map: MapId(0), key: 78, value: SlotValue::Program(ProgId(1)), from: SlotSource::Inferred };
    let options = Options { default_type: Some(ProgType::XDP), slots: vec![inferred], ..Options::default() };
    let machine: Machine = host::machine();
    let plan = plan::plan(&object, &machine, &options).expect("a plan");
    let replay = Replay::new(transcript);
    let given = Given { log: LogPolicy::Whole, ..Given::default() };
    load::execute(&plan, &replay, given).expect("the recorded load");
    replay.finish().expect("all that was recorded, and nothing else");
}

#[test]
fn a_job_that_fails_is_recorded_too() {
    let Some(sandbox) = kernel_or_skip("a_job_that_fails_is_recorded_too") else {
        return;
    };
    let refused = Scratch::new("refused");
    let failed = run(&sandbox, &["tests/fixtures/refused.o", "v0", "--record", refused.path()]);
    assert_eq!(failed.status.code(), Some(3), "{}", errors(&failed));
    let text = refused.text();
    assert!(text.lines().any(|l| l.starts_with("PROG_LOAD ") && l.contains(" = EACCES log=")), "{text}");

    ok(&sandbox, &["bpf-progs/drop_all.o", "v0", "--pin", DIR]);
    let busy = Scratch::new("busy");
    let failed = run(&sandbox, &[TAIL, "v0", "--record", busy.path()]);
    assert_eq!(failed.status.code(), Some(3), "{}", errors(&failed));
    let text = busy.text();
    assert!(text.contains("flags=UPDATE_IF_NOEXIST = EBUSY"), "{text}");
    assert!(text.contains("PROG_BY_ID "), "the owner was looked up: {text}");
}

#[test]
fn a_recording_that_cannot_be_written_stops_the_job_before_it_begins() {
    let Some(sandbox) = kernel_or_skip("a_recording_that_cannot_be_written_stops_the_job_before_it_begins")
    else {
        return;
    };
    let failed = run(&sandbox, &[TAIL, "v0", "--pin", DIR, "--record", "/no/such/folder/file"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(errors(&failed).contains("/no/such/folder/file"), "{}", errors(&failed));
    assert!(sandbox.near(|| names(PIN_ROOT)).is_empty());
}

#[test]
fn more_descriptors_than_the_soft_limit_allows_are_no_obstacle() {
    let Some(sandbox) = kernel_or_skip("more_descriptors_than_the_soft_limit_allows_are_no_obstacle") else {
        return;
    };
    // `verify` begins with three open, the main job with eleven; the object needs six.
    let printed = output(&limited(&sandbox, "ulimit -Sn 8", &["verify", TAIL]));
    assert!(printed.contains("3 of 3 maps, 2 of 2 programs"), "{printed}");
    output(&limited(&sandbox, "ulimit -Sn 20", &[TAIL, "v0", "--for", "1ms"]));

    let failed = limited(&sandbox, "ulimit -n 20", &[TAIL, "v0", "--for", "1ms"]);
    assert_eq!(failed.status.code(), Some(3), "{}", errors(&failed));
    assert!(errors(&failed).contains("the hard limit of open files is 20"), "{}", errors(&failed));
}

#[test]
fn packagers_get_completions_and_a_manual_page() {
    for shell in ["bash", "zsh", "fish"] {
        let output = command().args(["completions", shell]).output().expect("rxdp-load");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains("--tail-call") || text.contains("-l tail-call"), "{shell}: {text}");
    }
    let output = command().arg("man").output().expect("rxdp-load");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains(".TH rxdp-load 1") && text.contains("\\-\\-pin"), "{text}");
}

/// A file of a test's own, gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let file = format!("rxdp-pin-{}-{name}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(file))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).expect("a recording")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _never_written = fs::remove_file(&self.0);
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rxdp-load"));
    command.current_dir(root());
    command
}

fn run(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.near(|| command().args(args).output().expect("rxdp-load"))
}

/// Runs it with other limits than those of the tests.
fn limited(sandbox: &Sandbox, limit: &str, args: &[&str]) -> Output {
    let script = format!("{limit}; exec \"$0\" \"$@\"");
    let program = env!("CARGO_BIN_EXE_rxdp-load");
    let run = || Command::new("sh").args(["-c", &script, program]).args(args).current_dir(root()).output();
    sandbox.near(|| run().expect("sh"))
}

fn ok(sandbox: &Sandbox, args: &[&str]) -> String {
    output(&run(sandbox, args))
}

fn output(output: &Output) -> String {
    assert!(output.status.success(), "{}", errors(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Names in a directory, but for those that every bpffs has.
fn names(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.ends_with(".debug"));
    names.sort();
    names
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
