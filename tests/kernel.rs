//! The command on a real interface with real packets: what is attached, what runs, what is left behind.
//!
//! Each test stands on a sandbox of its own; without the privilege to make one it is skipped aloud, and fails where
//! `RXDP_REQUIRE_KERNEL=1`.
#![cfg(test)]

mod common;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::time::Instant;

use nix::sys::signal::Signal;
use rxdp_loader::sys::{Kernel, Linux, Named, host};
use rxdp_sandbox::{End, Sandbox, packets};
use serde_json::{Value, json};

use common::held::{Held, NOTHING, attach, detached, in_near, main_job, native, on_v0, start, status};
use common::wire::Wire;
use common::witness::{Witness, printing_alone};
use common::{Running, TOO_LONG, fields, in_sandbox, object, run, rxdp_load};

/// The article's object, as every compiler made it.
const TAIL_KERN: [&str; 10] = [
    "tail_kern-clang14",
    "tail_kern-clang14-g",
    "tail_kern-clang22",
    "tail_kern-clang22-g",
    "tail_kern-llc14",
    "tail_kern-llc14-g",
    "tail_kern-xdp1-clang14",
    "tail_kern-xdp1",
    "tail_kern-btf_maps-clang14",
    "tail_kern-btf_maps",
];

/// What the article's programs print: first, behind the tail call, and where it leads nowhere.
const FIRST: &str = "XDP: Killroy was here! 42";
const BEHIND: &str = "XDP: tail call (xdp_1) id=1";
const NOWHERE: &str = "XDP: jmp_table empty, reached fall-through action";

#[test]
fn every_build_of_the_article_fills_its_table_and_runs() {
    in_sandbox(|sandbox| {
        let mut witness = Witness::new(sandbox);
        for name in TAIL_KERN {
            let held = Held::start(sandbox, name, &[]);
            assert_eq!(held.attached["mode"], "native", "{name}");
            assert_eq!(held.attached["tail_calls"], slot("inferred", &held), "{name}");
            assert_eq!(held.slot("jmp_table1", 78), held.program("xdp_tail_call_1"), "{name}");
            assert_eq!(witness.lines_of_a_packet(), [FIRST, BEHIND], "{name}");

            held.stop();
            assert_eq!(on_v0(sandbox), NOTHING, "{name}");
        }
    });
}

#[test]
fn a_given_slot_does_the_same() {
    let spellings: [&[&str]; 4] = [
        &["--tail-call", "0:78=1", "--no-infer"],
        &["--tail-call", "0:78=1"],
        &["--tail-call", "jmp_table1:78=xdp_tail_call_1", "--no-infer"],
        &["--tail-call", "jmp_table1:78=xdp/1"],
    ];
    in_sandbox(|sandbox| {
        let mut witness = Witness::new(sandbox);
        for options in spellings {
            let held = Held::start(sandbox, "tail_kern", options);
            assert_eq!(held.attached["tail_calls"], slot("given", &held), "{options:?}");
            assert_eq!(held.slot("jmp_table1", 78), held.program("xdp_tail_call_1"), "{options:?}");
            assert_eq!(witness.lines_of_a_packet(), [FIRST, BEHIND], "{options:?}");
            held.stop();
        }
    });
}

#[test]
fn a_slot_that_nobody_gave_stays_empty_without_inference() {
    in_sandbox(|sandbox| {
        let mut witness = Witness::new(sandbox);
        let held = Held::start(sandbox, "tail_kern", &["--no-infer"]);
        assert_eq!(held.attached["tail_calls"], json!([]));
        assert_eq!(witness.lines_of_a_packet(), [FIRST, NOWHERE]);
    });
}

#[test]
fn the_attached_line_says_everything_that_scripts_rely_on() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "tail_kern", &[]);
        let line = &held.attached;
        let expected =
            ["event", "ifindex", "interface", "map_fd", "mode", "object", "prog_fd", "program", "tail_calls"];
        assert_eq!(fields(line), BTreeSet::from(expected));
        assert_eq!(line["event"], "attached");
        assert_eq!(line["object"], object("tail_kern"));
        assert_eq!(
            (&line["interface"], &line["ifindex"]),
            (&json!("v0"), &json!(sandbox.ifindex(End::Near)))
        );
        assert_eq!(line["program"], json!({"name": "xdp_prog", "id": held.program("xdp_prog")}));
        assert_eq!(fields(&line["map_fd"][0]), BTreeSet::from(["fd", "id", "index", "name"]));
        assert_eq!(fields(&line["prog_fd"][0]), BTreeSet::from(["fd", "id", "index", "name", "section"]));
        for (place, index, name) in [
            ("map_fd", 0, "jmp_table1"),
            ("map_fd", 1, "jmp_table2"),
            ("prog_fd", 0, "xdp_prog"),
            ("prog_fd", 1, "xdp_tail_call_1"),
        ] {
            assert_eq!(line[place][index]["index"], index, "{place}");
            assert_eq!(line[place][index]["name"], name, "{place}");
        }
    });
}

#[test]
fn a_killed_loader_leaves_what_status_describes_and_unload_clears() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "tail_kern", &[]);
        let (id, table) = (held.program("xdp_prog"), held.map("jmp_table1"));
        let slots = json!([{"key": 78, "program_id": held.program("xdp_tail_call_1")}]);
        assert_eq!(status(sandbox)[0]["tail_tables"], tables(table, &slots));
        assert_eq!(held.end(Signal::SIGKILL).code, None);

        let row = &status_once_emptied(sandbox)[0];
        let expected = ["calls", "ifindex", "interface", "maps", "mode", "program", "tail_tables"];
        assert_eq!(fields(row), BTreeSet::from(expected));
        let expected = [
            "id",
            "loaded_at",
            "loaded_by_uid",
            "name",
            "pinned",
            "processes",
            "recursion_misses",
            "run_count",
            "run_time_ns",
            "tag",
        ];
        assert_eq!(fields(&row["program"]), BTreeSet::from(expected));
        assert_eq!((&row["interface"], &row["mode"]), (&json!("v0"), &json!("native")));
        assert_eq!((&row["program"]["name"], &row["program"]["id"]), (&json!("xdp_prog"), &json!(id)));
        assert_eq!(row["tail_tables"], tables(table, &json!([])));

        let words = in_near(sandbox, &["status", "v0"]);
        let empty = format!("jump table jmp_table1 (id {table}) is empty");
        assert!(words.done().contains(&empty), "{words:?}");

        let unloaded = in_near(sandbox, &["unload", "v0"]);
        assert!(unloaded.done().contains(&format!("\"xdp_prog\" (id {id}")), "{unloaded:?}");
        assert_eq!(on_v0(sandbox), NOTHING);
        assert!(in_near(sandbox, &["unload", "v0"]).done().contains("carries no XDP program"));
    });
}

#[test]
fn every_end_of_the_stay_detaches_and_gives_its_reason() {
    in_sandbox(|sandbox| {
        for (signal, reason) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
            let ended = Held::start(sandbox, "tail_kern", &[]).end(signal);
            assert_eq!((ended.code, ended.json()), (Some(0), vec![detached(reason)]));
            assert_eq!(on_v0(sandbox), NOTHING);
        }
        let by_itself = Held::start(sandbox, "tail_kern", &["--for", "200ms"]).wait();
        assert_eq!((by_itself.code, by_itself.json()), (Some(0), vec![detached("time is up")]));
        assert_eq!(on_v0(sandbox), NOTHING);

        let held = Held::start(sandbox, "tail_kern", &[]);
        sandbox.delete_link("v0").unwrap();
        let gone = held.wait();
        assert_eq!((gone.code, gone.json()), (Some(0), vec![detached("interface gone")]));
        gone.done();
    });
}

#[test]
fn drop_all_stops_packets_while_it_is_attached() {
    in_sandbox(|sandbox| {
        let wire = Wire::new(sandbox);
        wire.send(b"before");
        assert_eq!(wire.next(), b"before");

        let held = Held::start(sandbox, "drop_all", &[]);
        for _ in 0..5 {
            wire.send(b"while");
        }
        held.stop();

        wire.send(b"after");
        assert_eq!(wire.next(), b"after");
    });
}

#[test]
fn udp_count_counts_by_protocol_and_drops_udp() {
    const SENT: [(u8, u64); 3] = [(17, 5), (6, 4), (1, 2)];
    in_sandbox(|sandbox| {
        let far = sandbox.packet_socket(End::Far).unwrap();
        let near = sandbox.packet_socket(End::Near).unwrap();
        let held = Held::start(sandbox, "udp_count", &[]);
        for (protocol, times) in SENT {
            (0..times).for_each(|_| far.send(&packet(protocol)).unwrap());
        }
        // The last ones have arrived, so all were counted, and none of the first got through.
        for (protocol, times) in &SENT[1..] {
            for _ in 0..*times {
                assert_eq!(near.receive(TOO_LONG).unwrap(), Some(packet(*protocol)));
            }
        }
        let counts = Linux.map_by_id(held.map("rxcnt")).unwrap();
        for (protocol, times) in SENT {
            assert_eq!(sum_of_cpus(&counts, protocol.into()), times, "protocol {protocol}");
        }
        assert_eq!(sum_of_cpus(&counts, 47), 0);
    });
}

#[test]
fn a_rewritten_packet_arrives_at_its_new_port() {
    in_sandbox(|sandbox| {
        let socket = sandbox.near(|| UdpSocket::bind((End::Near.ip(), 7777))).unwrap();
        socket.set_read_timeout(Some(TOO_LONG)).unwrap();
        let far = sandbox.packet_socket(End::Far).unwrap();
        let _held = Held::start(sandbox, "rewrite", &[]);

        // Wrong before, wrong after: the receiver does look at the checksum.
        let mut broken = packets::udp(4000, 7, b"broken");
        *broken.last_mut().unwrap() ^= 1;
        far.send(&broken).unwrap();
        far.send(&packets::udp(4000, 7, b"hello")).unwrap();

        let mut payload = [0; 16];
        let (length, from) = socket.recv_from(&mut payload).unwrap();
        assert_eq!(&payload[..length], b"hello");
        assert_eq!(from, (End::Far.ip(), 4000).into());
    });
}

#[test]
fn the_first_program_is_the_entry_also_where_the_user_puts_it_into_a_slot() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "tail_kern", &["--tail-call", "0:78=0", "--no-infer"]);
        assert_eq!(held.attached["program"]["name"], "xdp_prog");
    });
}

#[test]
fn modes_have_their_spellings_and_status_shows_them() {
    let spellings = [
        ("auto", "native"),
        ("native", "native"),
        ("drv", "native"),
        ("generic", "generic"),
        ("skb", "generic"),
    ];
    in_sandbox(|sandbox| {
        let mut witness = Witness::new(sandbox);
        for (asked, mode) in spellings {
            let held = Held::start(sandbox, "tail_kern", &["--mode", asked]);
            assert_eq!(held.attached["mode"], mode, "{asked}");
            assert_eq!(on_v0(sandbox), [(mode.to_string(), held.program("xdp_prog"))], "{asked}");
            assert_eq!(witness.lines_of_a_packet(), [FIRST, BEHIND], "{asked}");
            held.stop();
            assert_eq!(on_v0(sandbox), NOTHING, "{asked}");
        }
    });
}

#[test]
fn tail_calls_with_several_readings_stop_before_anything_is_attached() {
    in_sandbox(|sandbox| {
        let refused = attach(sandbox, "two_readings", &[]);
        let choices = ["--tail-call jumps:0=one", "--tail-call jumps:0=two", "--no-infer"];
        refused.failed(1, &choices);
        assert_eq!((refused.out.as_str(), on_v0(sandbox)), ("", NOTHING.to_vec()));

        let slots = |options: &[&str]| {
            let held = Held::start(sandbox, "two_readings", options);
            let filled = held.filled();
            held.stop();
            filled
        };
        assert_eq!(slots(&["--no-infer"]), []);
        // Each flag that was printed can be taken as it stands, though it leaves a program without a use.
        for choice in ["jumps:0=one", "jumps:0=two"] {
            assert_eq!(slots(&["--tail-call", choice]), [(choice.to_string(), "given".to_string())]);
        }
    });
}

#[test]
fn slots_that_the_object_gives_are_filled_and_say_from_where() {
    let objects = [("values", "table:5=target", "values"), ("iproute2", "jumps:1=target", "section")];
    in_sandbox(|sandbox| {
        for (name, slot, from) in objects {
            let wire = Wire::new(sandbox);
            let held = Held::start(sandbox, name, &[]);
            assert_eq!(held.filled(), [(slot.to_string(), from.to_string())], "{name}");
            assert_eq!(held.attached["program"]["name"], "entry", "{name}");
            // `entry` alone would drop it too, but as an error that is traced; here the slot's read-back counts.
            wire.send(b"while");
            held.stop();
            wire.send(b"after");
            assert_eq!(wire.next(), b"after", "{name}");
        }
        // A table of programs that no interface takes is for `verify`.
        attach(sandbox, "socket_slots", &[]).failed(1, &["no XDP program", "socket_filter"]);
        assert!(in_near(sandbox, &["verify", &object("socket_slots")]).done().contains("2 of 2 programs"));
    });
}

#[test]
fn the_given_entry_program_is_attached() {
    let entries = [
        ("several", "xdp_second", "xdp_second"),
        ("several", "2", "xdp_third"),
        ("spellings", "xdp_drop_UDP", "underscore"),
        ("spellings", "any_type", "any_type"),
        ("spellings", "on_demand", "on_demand"),
    ];
    in_sandbox(|sandbox| {
        for (name, given, program) in entries {
            let held = Held::start(sandbox, name, &["--prog", given]);
            assert_eq!(held.attached["program"]["name"], program, "{name} {given}");
            held.stop();
        }
    });
}

#[test]
fn trace_shows_what_programs_print_and_ends_with_a_signal() {
    in_sandbox(|sandbox| {
        let mut witness = Witness::new(sandbox);
        let staying = start(sandbox, &main_job("tail_kern", &["--trace"]));
        let trace = start(sandbox, &["trace"]);
        assert!(trace.error_line().contains("Ctrl-C ends"));
        staying.line_with("staying");
        assert_eq!(witness.lines_of_a_packet(), [FIRST, BEHIND]);
        for shown in [&staying, &trace] {
            shown.line_with(FIRST);
            shown.line_with(BEHIND);
        }
        for (shown, signal) in [(staying, Signal::SIGTERM), (trace, Signal::SIGINT)] {
            shown.signal(signal);
            assert_eq!(shown.end().code, Some(0));
        }
    });
}

#[test]
fn the_demo_proves_the_tail_call() {
    in_sandbox(|_| {
        let _alone = printing_alone();
        let demo = run(&["demo"]);
        assert!(demo.done().contains(FIRST) && demo.out.contains(BEHIND), "{demo:?}");
    });
}

#[test]
fn quiet_prints_nothing() {
    in_sandbox(|sandbox| {
        let quiet = attach(sandbox, "tail_kern", &["-q", "--for", "1ms"]);
        assert_eq!((quiet.done(), on_v0(sandbox)), ("", NOTHING.to_vec()));
    });
}

#[test]
fn an_unprivileged_user_can_look_and_not_touch() {
    const NOBODY: u32 = 65534;
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "tail_kern", &[]);
        let ours = native(held.program("xdp_prog"));
        let as_nobody = |args: &[&str]| {
            let mut command = rxdp_load(args);
            command.uid(NOBODY);
            sandbox.near(|| Running::start(command)).end()
        };
        let row = &as_nobody(&["status", "--json"]).json()[0][0];
        assert_eq!((&row["program"]["id"], &row["program"]["name"]), (&json!(ours[0].1), &Value::Null));
        as_nobody(&["unload", "v0"]).failed(4, &["not permitted", "CAP_NET_ADMIN"]);
        as_nobody(&[&object("drop_all"), "v0", "--for", "1ms"]).failed(4, &["EPERM", "CAP_BPF"]);
        as_nobody(&["demo"]).failed(4, &["not permitted", "root"]);
        as_nobody(&["trace"]).failed(4, &["root"]);
        assert_eq!(on_v0(sandbox), ours);
    });
}

/// What status says once a killed loader's table is empty. The kernel empties it in a worker, and tells nobody when.
fn status_once_emptied(sandbox: &Sandbox) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let rows = status(sandbox);
        if rows[0]["tail_tables"][0]["slots"] == json!([]) {
            return rows;
        }
        assert!(start.elapsed() < TOO_LONG, "the table keeps its slots: {rows:?}");
    }
}

/// The article's slot as the attached line has it.
fn slot(from: &str, held: &Held) -> Value {
    let (program, id) = ("xdp_tail_call_1", held.program("xdp_tail_call_1"));
    json!([{"map": "jmp_table1", "key": 78, "program": program, "id": id, "from": from}])
}

/// The article's table as status has it.
fn tables(id: u32, slots: &Value) -> Value {
    json!([{"map": "jmp_table1", "id": id, "slots": slots}])
}

/// A packet of an IP protocol.
fn packet(protocol: u8) -> Vec<u8> {
    match protocol {
        1 => packets::icmp_echo(1, b"ping"),
        6 => packets::tcp_syn(80),
        17 => packets::udp(4000, 9, b"count"),
        other => panic!("no packet of protocol {other}"),
    }
}

/// A value of a per-CPU array of 64-bit numbers.
fn sum_of_cpus(map: &OwnedFd, key: u32) -> u64 {
    let size = usize::try_from(host::possible_cpus()).unwrap().checked_mul(8).unwrap();
    let map = Named { name: "rxcnt", fd: map.as_fd() };
    let values = Linux.map_lookup(map, &key.to_ne_bytes(), size).unwrap();
    values.chunks_exact(8).map(|value| u64::from_ne_bytes(value.try_into().unwrap())).sum()
}
