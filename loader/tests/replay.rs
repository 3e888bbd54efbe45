//! Recordings of kernel calls: made on the running kernel, played without one, and with any call failing.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use std::fs;
use std::path::Path;

use common::{bytes_of, linked, load, plan, read};
use rxdp_loader::elf;
use rxdp_loader::features::Machine;
use rxdp_loader::link;
use rxdp_loader::load::{self as room, Blame, Given, LoadError, LoadedObject, LogPolicy};
use rxdp_loader::plan::{FillSlot, Options, SlotSource, SlotValue, Step};
use rxdp_loader::spec::{MapId, ProgId};
use rxdp_loader::sys::{DryRun, Errno, Linux, Recorder, Replay};
use rxdp_loader::trace::{Call, Transcript, word};
use rxdp_sandbox::testing::kernel_or_skip;

/// `tail_kern.o` on Linux 6.18, with its jump table filled.
const RECORDING: &str = "tests/recordings/tail_kern-6.18.txt";

/// What the article does by hand: `xdp/1` into slot 78 of the first table.
const SLOT: FillSlot =
    FillSlot { map: MapId(0), key: 78, value: SlotValue::Program(ProgId(1)), from: SlotSource::Given };

fn recording() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING)).unwrap()
}

/// Loads these bytes as `tail_kern.o` and fills the article's slot.
fn load_tail_kern(
    bytes: &[u8],
    kernel: &impl rxdp_loader::sys::Kernel,
) -> Option<Result<LoadedObject, LoadError>> {
    let object = link::link(read("tail_kern.o", bytes).ok()?);
    let options = Options { slots: vec![SLOT], ..Options::default() };
    let plan = rxdp_loader::plan::plan(&object, &Machine::NEWEST, &options).ok()?;
    Some(room::execute(&plan, kernel, Given::default()))
}

#[test]
fn two_recordings_of_the_running_kernel_are_one_text_and_play_back() {
    if kernel_or_skip("two_recordings_of_the_running_kernel_are_one_text_and_play_back").is_none() {
        return;
    }
    let record = || {
        let kernel = Recorder::new(Linux);
        let loaded = load_tail_kern(&bytes_of("tail_kern.o"), &kernel).unwrap().unwrap();
        // Both stay open until the other is made, so that ids and descriptors differ.
        (kernel.transcript().to_string(), loaded)
    };
    let (first, second) = (record(), record());
    assert_eq!(first.0, second.0);
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING), &first.0).unwrap();
    }
    plays(&first.0);
}

#[test]
fn the_committed_recording_plays_without_privilege() {
    plays(&recording());
}

fn plays(text: &str) {
    let transcript = Transcript::parse(text).unwrap();
    assert_eq!(transcript.to_string(), text);
    let replay = Recorder::new(Replay::new(transcript.clone()));
    let loaded = load_tail_kern(&bytes_of("tail_kern.o"), &replay).unwrap().unwrap();
    assert_eq!(replay.transcript().to_string(), text, "what is played is recorded again, byte for byte");

    let replay = Replay::new(transcript);
    assert_eq!(load_tail_kern(&bytes_of("tail_kern.o"), &replay).unwrap().unwrap().slots, loaded.slots);
    assert_eq!(replay.finish(), Ok(()));
    let names: Vec<&str> = loaded.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["xdp_prog", "xdp_tail_call_1"]);
    let [slot] = &loaded.slots[..] else {
        panic!("{:?}", loaded.slots);
    };
    assert_eq!((slot.map.as_str(), slot.value.as_str()), ("jmp_table1", "xdp_tail_call_1"));
    assert!(slot.id.is_some_and(|id| id > 0));
}

#[test]
fn a_recording_that_is_not_played_to_its_end_says_so() {
    let text = recording();
    let replay = Replay::new(Transcript::parse(&text).unwrap());
    let difference = replay.finish().unwrap_err();
    assert_eq!(difference.at, 1);
    assert!(difference.recorded.unwrap().starts_with("BTF_LOAD tail_kern "));

    // One call too few in the recording: the load asks for more than was recorded.
    let shorter = text.lines().count() - 1;
    let shorter: String = text.lines().take(shorter).map(|line| format!("{line}\n")).collect();
    let replay = Replay::new(Transcript::parse(&shorter).unwrap());
    let error = load_tail_kern(&bytes_of("tail_kern.o"), &replay).unwrap().unwrap_err();
    assert_eq!(error.errno(), Some(Errno(libc_enosys())));
    assert_eq!(replay.finish().unwrap_err().recorded, None);
}

/// `ENOSYS` by its name, as libc is no dependency of tests.
fn libc_enosys() -> i32 {
    Errno::from_name("ENOSYS").unwrap().0
}

/// Whatever byte of code, maps, licence or section data changes, the calls change, or there is no call at all.
#[test]
fn a_changed_byte_of_the_object_shows_as_a_difference() {
    let bytes = bytes_of("tail_kern.o");
    let file = elf::parse(&bytes).unwrap();
    let mut played = 0;
    for name in ["xdp/0", "xdp/1", "maps", "license", ".rodata.str1.1"] {
        let section = file.section_named(name).unwrap();
        let start = bytes.windows(section.data.len()).position(|window| *window == *section.data).unwrap();
        // The sixth word of a definition says which inner maps it has; jump tables have none.
        let means_something = |at: &usize| name != "maps" || (at - start) % 28 / 4 != 5;
        for at in (start..start + section.data.len()).filter(means_something) {
            let mut changed = bytes.clone();
            // Not the source register of a map reference, which linking writes itself.
            changed[at] ^= 0x01;
            let replay = Replay::new(Transcript::parse(&recording()).unwrap());
            let Some(loaded) = load_tail_kern(&changed, &replay) else {
                continue;
            };
            played += 1;
            assert!(loaded.is_err(), "{name}, byte {}: it loads all the same", at - start);
            let difference = replay.finish().unwrap_err();
            assert_ne!(Some(&difference.asked), difference.recorded.as_ref());
        }
    }
    assert!(played > 600, "only {played} changed objects came as far as the kernel");
}

/// What becomes of a load when a certain call fails.
#[derive(PartialEq, Eq, Debug)]
enum Fate {
    /// It goes on; the same is asked again in other words, of which these are none.
    Again(&'static [&'static str]),
    /// It goes on without.
    Without,
    /// It goes on as if nothing had failed: Linux before 4.13 does not say how long keys and values are.
    Unknown,
    /// It ends; the error names this.
    Ends(String),
}

/// What the plan says about a failure of this call. Source: the comments on `plan::Step`.
fn fate(call: &Call, errno: Errno) -> Fate {
    let mut words = call.request.split(' ');
    let (command, name) = (words.next().unwrap(), words.next().unwrap().to_string());
    let typed = call.request.contains(" btf_key_type_id=");
    match command {
        "BTF_LOAD" if errno == Errno::EPERM => Fate::Without,
        "BTF_LOAD" => Fate::Again(&[]),
        "MAP_CREATE" if typed => Fate::Again(&[" btf_fd=", " btf_key_type_id=", " btf_value_type_id="]),
        "PROG_LOAD" => Fate::Again(&[]),
        // Before Linux 4.13, which knows no ids, slots cannot be read back.
        "PROG_INFO" if errno == Errno::EINVAL => Fate::Without,
        "MAP_SIZES" if errno == Errno::EINVAL => Fate::Unknown,
        "MAP_SIZES" | "MAP_CREATE" | "MAP_UPDATE" | "MAP_FREEZE" | "PROG_INFO" | "SLOT_ID" => {
            Fate::Ends(name)
        }
        other => panic!("nobody said what a failing {other} means"),
    }
}

const ERRNOS: [Errno; 4] = [Errno::EPERM, Errno::ENOMEM, Errno::EINVAL, Errno::E2BIG];

#[test]
fn any_call_may_fail() {
    let mut ended = 0;
    for name in ["tail_kern.o", "tail_kern-btf_maps.o", "values.o", "data.o", "calls.o"] {
        let all = Recorder::new(DryRun::new());
        load(name, &all).unwrap();
        let all = all.transcript().calls;
        for (at, failing) in all.iter().enumerate() {
            for errno in ERRNOS {
                let kernel = Recorder::new(DryRun::failing(at, errno));
                let result = load(name, &kernel);
                let calls = kernel.transcript().calls;
                let case = format!("{name}, call {at} ({}), {errno}", failing.request);
                assert_eq!(calls[at].reply, errno.to_string(), "{case}");
                assert_eq!(calls[..at], all[..at], "{case}");
                match fate(failing, errno) {
                    Fate::Ends(what) => {
                        ended += 1;
                        let error = result.unwrap_err();
                        assert!(error.to_string().contains(&format!("{what:?}")), "{case}: {error}");
                        assert!(error.to_string().contains(&errno.to_string()), "{case}: {error}");
                        assert_eq!(error.errno(), Some(errno), "{case}");
                        let blame = if errno == Errno::EPERM { Blame::Privilege } else { Blame::Kernel };
                        assert_eq!(error.blame(), blame, "{case}");
                        assert_eq!(calls.len(), at + 1, "{case}: it asks on");
                    }
                    Fate::Without => {
                        let loaded = result.unwrap_or_else(|error| panic!("{case}: {error}"));
                        goes_on_without(&case, failing, &calls[at + 1..], &loaded);
                    }
                    Fate::Unknown => {
                        result.unwrap_or_else(|error| panic!("{case}: {error}"));
                        assert_eq!(calls[at + 1..], all[at + 1..], "{case}");
                    }
                    Fate::Again(dropped) => {
                        result.unwrap_or_else(|error| panic!("{case}: {error}"));
                        asked_again(&case, &failing.request, &calls[at + 1].request, dropped);
                        assert_eq!(calls[at + 2..], all[at + 1..], "{case}");
                    }
                }
            }
        }
    }
    assert!(ended > 50, "only {ended} loads ended");
}

fn goes_on_without(case: &str, failed: &Call, rest: &[Call], loaded: &LoadedObject) {
    if failed.request.starts_with("PROG_INFO") {
        assert!(loaded.slots.iter().all(|slot| slot.id.is_none()), "{case}");
        assert!(rest.is_empty(), "{case}: {rest:?}");
        return;
    }
    assert!(!rest.is_empty() && loaded.notes.len() == 1, "{case}: {:?}", loaded.notes);
    for call in rest {
        for typed in [" btf_key_type_id=", " btf_value_type_id=", " func_info=", " line_info_cnt="] {
            assert!(!call.request.contains(typed), "{case}: {}", call.request);
        }
    }
}

/// The same words, without some, and for types and programs with the wish for a log.
fn asked_again(case: &str, before: &str, again: &str, dropped: &[&str]) {
    let is_kept = |word: &&str| !dropped.iter().any(|dropped| word.starts_with(dropped.trim_start()));
    let mut expected: Vec<&str> = before.split(' ').filter(is_kept).collect();
    if before.starts_with("PROG_LOAD") {
        expected.push("log_level=1 log_size=65536");
    }
    if before.starts_with("BTF_LOAD") {
        expected.push("btf_log_level=1 btf_log_size=65536");
    }
    assert_eq!(again, expected.join(" "), "{case}");
}

/// A kernel that answers as the recorded one did, but refuses the call at `at`, with these lines for later calls.
fn refusing(calls: &[Call], at: usize, replies: &[(&str, &str)]) -> Replay {
    let mut calls = calls[..=at].to_vec();
    let request = calls.pop().unwrap().request;
    for (more, reply) in replies {
        calls.push(Call { request: format!("{request}{more}"), reply: (*reply).to_string() });
    }
    Replay::new(Transcript { calls })
}

fn calls_of(name: &str) -> Vec<Call> {
    let kernel = Recorder::new(DryRun::new());
    load(name, &kernel).unwrap();
    kernel.transcript().calls
}

fn position(calls: &[Call], start: &str) -> usize {
    calls.iter().position(|call| call.request.starts_with(start)).unwrap()
}

#[test]
fn a_program_refused_twice_ends_the_load_with_the_verifiers_words() {
    let calls = calls_of("calls.o");
    let at = position(&calls, "PROG_LOAD xdp_calls ");
    let log = "0: R1=ctx()\n; return packet[13] = 0; @ x.c:9\nR2 invalid mem access\nprocessed 4 insns\n";
    let refusal = format!("EACCES log={}", word(log));
    // The first answer has no log and another errno: the second one counts.
    let kernel = refusing(&calls, at, &[("", "EINVAL"), (" log_level=1 log_size=65536", &refusal)]);
    let error = load("calls.o", &kernel).unwrap_err();
    kernel.finish().unwrap();
    assert_eq!(
        error.to_string(),
        "program \"xdp_calls\" (section \"xdp\", type xdp): BPF_PROG_LOAD failed: EACCES: R2 invalid mem access"
    );
    assert_eq!(error.log().unwrap().text, log);
    assert_eq!((error.errno(), error.blame()), (Some(Errno::EACCES), Blame::Kernel));

    // No word of the verifier: the privilege is missing.
    let kernel = refusing(&calls, at, &[("", "EPERM"), (" log_level=1 log_size=65536", "EPERM")]);
    let error = load("calls.o", &kernel).unwrap_err();
    assert_eq!((error.log(), error.blame()), (None, Blame::Privilege));
}

#[test]
fn a_log_that_does_not_fit_is_cut_or_asked_for_again() {
    let calls = calls_of("calls.o");
    let at = position(&calls, "PROG_LOAD xdp_other ");
    let replies = [
        ("", "EACCES"),
        (" log_level=1 log_size=65536", "ENOSPC truncated=1 log=the\\send\\nprocessed\\s9\\sinsns"),
        (" log_level=1 log_size=1048576", "ENOSPC truncated=1 log=more\\sof\\sit"),
        (" log_level=1 log_size=16777216", "EACCES log=all\\sof\\sit"),
    ];
    let object = linked("calls.o");
    let load_with = |log, kernel: &Replay| {
        let error =
            room::execute(&plan(&object).unwrap(), kernel, Given { log, ..Given::default() }).unwrap_err();
        kernel.finish().unwrap();
        error
    };
    let end = load_with(LogPolicy::End, &refusing(&calls, at, &replies[..2]));
    let log = end.log().unwrap();
    assert_eq!((log.text.as_str(), log.truncated), ("the end\nprocessed 9 insns", true));
    assert_eq!(end.errno(), Some(Errno::EACCES), "ENOSPC is about the log, not about the program");

    // Before Linux 6.4 it is the end that does not fit, and the message is asked for alone.
    let beginning = [
        replies[0],
        (" log_level=1 log_size=65536", "ENOSPC truncated=1 log=0:\\s(b7)\\sr1\\s=\\s0"),
        (" log_level=4 log_size=65536", "EACCES log=R0\\s!read_ok\\nprocessed\\s9\\sinsns"),
    ];
    let told = load_with(LogPolicy::End, &refusing(&calls, at, &beginning));
    let refusal = told.refusal().unwrap();
    assert_eq!((refusal.message.join("; ").as_str(), refusal.whole), ("R0 !read_ok", false));
    assert!(told.to_string().ends_with("EACCES: R0 !read_ok"), "{told}");

    let whole = load_with(LogPolicy::Whole, &refusing(&calls, at, &replies));
    let log = whole.log().unwrap();
    assert_eq!((log.text.as_str(), log.truncated), ("all of it", false));
}

#[test]
fn a_typed_map_refused_twice_is_an_error_of_the_map() {
    let calls = calls_of("data.o");
    let at = position(&calls, "MAP_CREATE data.bss ");
    let mut calls = calls[..=at].to_vec();
    calls[at].reply = "EINVAL".to_string();
    let untyped = calls[at].request.split(" btf_fd=").next().unwrap().to_string();
    calls.push(Call { request: untyped, reply: "E2BIG".to_string() });
    let kernel = Replay::new(Transcript { calls });
    let error = load("data.o", &kernel).unwrap_err();
    kernel.finish().unwrap();
    assert_eq!(
        error.to_string(),
        "map \"data.bss\" (array, key 4 bytes, value 12 bytes, 1 entries): BPF_MAP_CREATE failed: E2BIG"
    );
}

#[test]
fn a_slot_that_holds_something_else_is_an_error() {
    let calls = calls_of("values.o");
    let at = position(&calls, "SLOT_ID table ");
    let mut calls = calls[..=at].to_vec();
    calls[at].reply = "ok id=4711".to_string();
    let kernel = Replay::new(Transcript { calls });
    let error = load("values.o", &kernel).unwrap_err();
    let expected = LoadError::SlotReadBack {
        map: "table".to_string(),
        key: 5,
        value: "target".to_string(),
        expected: 1,
        found: 4711,
    };
    assert_eq!(error.to_string(), expected.to_string());
}

/// The plan is the only place that decides: what it does not list is not asked.
#[test]
fn every_call_belongs_to_a_step() {
    for name in common::all() {
        let object = linked(&name);
        let Some(mut plan) = plan(&object).ok().filter(|plan| plan.refused_maps.is_empty()) else {
            continue;
        };
        plan.refused.clear();
        let kernel = Recorder::new(DryRun::new());
        room::execute(&plan, &kernel, Given::default()).unwrap();
        let commands = plan.steps.iter().flat_map(|step| match step {
            Step::LoadBtf(_) => vec!["BTF_LOAD"],
            Step::CreateMap(_) => vec!["MAP_CREATE"],
            Step::ModuleBtf(_) => vec!["MODULE_BTF"],
            Step::SetData(_) => vec!["MAP_SIZES", "MAP_UPDATE"],
            Step::MapMemory { .. } => vec!["MAP_MEMORY"],
            Step::Freeze(_) => vec!["MAP_FREEZE"],
            Step::PinDir(_) | Step::PinnedMap(_) | Step::Pin(_) => panic!("nothing is pinned here"),
            Step::LoadProgram(_) => vec!["PROG_LOAD"],
            Step::FillSlot(fill) => match fill.value {
                SlotValue::Program(_) => vec!["MAP_SIZES", "MAP_UPDATE", "PROG_INFO", "MAP_SIZES", "SLOT_ID"],
                SlotValue::Map(_) => vec!["MAP_SIZES", "MAP_UPDATE", "MAP_INFO", "MAP_SIZES", "SLOT_ID"],
            },
        });
        let asked = kernel.transcript().calls;
        let asked = asked.iter().map(|call| call.request.split(' ').next().unwrap());
        assert!(commands.eq(asked), "{name}");
    }
}
