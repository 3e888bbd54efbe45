//! `rxdp-load run` as people and scripts use it: packets from hex, from captures, and what is no packet.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use rxdp_sandbox::packets;
use rxdp_sandbox::testing::kernel_or_skip;
use serde_json::Value;

/// Linux's number for Ethernet in captures. Source: `LINKTYPE_ETHERNET`, pcap-linktype(7).
const ETHERNET: u32 = 1;

/// What a run of the command came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(args: &[&str]) -> Ran {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_rxdp-load")).arg("run").args(args).output().expect("rxdp-load");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: status.code().expect("an exit code"), out: text(stdout), err: text(stderr) }
}

fn json(args: &[&str]) -> Vec<Value> {
    let ran = run(&[args, &["--json"]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn object(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let places = ["tests/fixtures", "bpf-progs"].map(|folder| root.join(folder).join(name));
    places.iter().find(|path| path.is_file()).expect(name).display().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that is gone when its test ends, however it ends.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, bytes).expect("a file");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("a name")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = fs::remove_file(&self.0);
    }
}

/// A capture in the old format, of either byte order. Source: draft-ietf-opsawg-pcap.
fn pcap(packets: &[&[u8]], link: u32, number: fn(u32) -> [u8; 4]) -> Vec<u8> {
    let versions = if number(1) == 1u32.to_be_bytes() { 0x0002_0004 } else { 0x0004_0002 };
    let mut file: Vec<u8> =
        [0xa1b2_c3d4, versions, 0, 0, 65_535, link].into_iter().flat_map(number).collect();
    for packet in packets {
        let len = u32::try_from(packet.len()).expect("a length");
        file.extend([0, 0, len, len].into_iter().flat_map(number));
        file.extend(*packet);
    }
    file
}

/// A capture in the new format. Source: draft-ietf-opsawg-pcapng.
fn pcapng(packets: &[&[u8]]) -> Vec<u8> {
    let block = |kind: u32, body: Vec<u8>| {
        let len = u32::try_from(body.len()).expect("a length").checked_add(12).expect("a length");
        [kind.to_le_bytes().to_vec(), len.to_le_bytes().to_vec(), body, len.to_le_bytes().to_vec()].concat()
    };
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut file = block(0x0a0d_0d0a, words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    file.extend(block(1, words(&[ETHERNET, 65_535])));
    for packet in packets {
        let len = u32::try_from(packet.len()).expect("a length");
        let mut body = words(&[0, 0, 0, len, len]);
        body.extend(*packet);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, body));
    }
    file
}

#[test]
fn a_hex_packet_is_rewritten() {
    let Some(_sandbox) = kernel_or_skip("a_hex_packet_is_rewritten") else {
        return;
    };
    let (before, after) = (packets::udp(4000, 7, b"hello"), packets::udp(4000, 7777, b"hello"));
    let rows = json(&[&object("rewrite.o"), "--packet", &hex(&before)]);
    let [row] = rows.as_slice() else {
        panic!("one line: {rows:?}");
    };
    assert_eq!((row["before"].as_str(), row["after"].as_str()), (Some(&*hex(&before)), Some(&*hex(&after))));
    assert_eq!(row["changed"], serde_json::json!([36, 37, 40, 41]));
    assert_eq!((row["verdict"].as_str(), row["retval"].as_u64()), (Some("XDP_PASS"), Some(2)));
    let words = ["program", "section", "type", "source"].map(|key| row[key].as_str().expect(key));
    assert_eq!(words, ["xdp_rewrite", "xdp", "xdp", "hex"]);
    assert_eq!((row["packet"].as_u64(), row["repeat"].as_u64()), (Some(1), Some(1)));
    assert!(row["duration_ns"].as_u64().is_some_and(|ns| ns > 0), "{row}");

    let ran = run(&[&object("rewrite.o"), "--packet", &hex(&before)]);
    assert!(
        ran.out.starts_with("xdp_rewrite, xdp, SEC(\"xdp\")\npacket 1 (hex), 47 bytes: XDP_PASS, "),
        "{}",
        ran.out
    );
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines.contains(&"- 0020  02 01 0f a0 00 07 00 0d  28 57 68 65 6c 6c 6f     ........(Whello"),
        "{}",
        ran.out
    );
}

#[test]
fn the_built_in_packet_goes_where_the_program_sends_it() {
    let Some(_sandbox) = kernel_or_skip("the_built_in_packet_goes_where_the_program_sends_it") else {
        return;
    };
    for (name, program, verdict) in [
        ("drop_all.o", None, "XDP_DROP"),
        ("several.o", None, "XDP_PASS"),
        ("several.o", Some("xdp_second"), "XDP_DROP"),
        ("several.o", Some("2"), "XDP_TX"),
        // Through a jump table: from the definition, from the section's name.
        ("values.o", None, "XDP_DROP"),
        ("iproute2.o", None, "XDP_DROP"),
        // -1 as the kernel returns it: all of the packet.
        ("socket_slots.o", None, "4294967295"),
    ] {
        let object = object(name);
        let mut args = vec![object.as_str(), "--repeat", "7"];
        args.extend(program.into_iter().flat_map(|program| ["--prog", program]));
        let rows = json(&args);
        assert_eq!(rows.len(), 1, "{name}");
        assert_eq!(rows[0]["verdict"], verdict, "{name} {program:?}");
        assert_eq!((&rows[0]["source"], &rows[0]["repeat"]), (&"built-in".into(), &7.into()), "{name}");
        assert_eq!(rows[0]["before"].as_str().map(str::len), Some(128), "{name}");
        assert_eq!(
            (&rows[0]["after"], &rows[0]["changed"]),
            (&rows[0]["before"], &serde_json::json!([])),
            "{name}"
        );
    }
}

#[test]
fn every_packet_of_a_capture_is_reported() {
    let Some(_sandbox) = kernel_or_skip("every_packet_of_a_capture_is_reported") else {
        return;
    };
    let (echo, dns, ping) =
        (packets::udp(1, 7, b"x"), packets::udp(1, 53, b"xy"), packets::icmp_echo(1, b"xyz"));
    let all: [&[u8]; 3] = [&echo, &dns, &ping];
    let captures = [
        ("three.pcap", pcap(&all, ETHERNET, u32::to_le_bytes)),
        ("three-bigendian.pcap", pcap(&all, ETHERNET, u32::to_be_bytes)),
        ("three.pcapng", pcapng(&all)),
    ];
    for (name, bytes) in captures {
        let file = File::new(name, &bytes);
        let rows = json(&[&object("rewrite.o"), "--packet", file.name()]);
        let changes: Vec<(u64, bool)> =
            rows.iter().map(|row| (row["packet"].as_u64().unwrap(), row["before"] != row["after"])).collect();
        assert_eq!(changes, [(1, true), (2, false), (3, false)], "{name}");
        let before: Vec<&str> = rows.iter().map(|row| row["before"].as_str().unwrap()).collect();
        assert_eq!(before, all.map(hex), "{name}");
        assert!(rows.iter().all(|row| row["source"] == file.name()), "{name}");

        let ran = run(&[&object("udp_count.o"), "--packet", file.name(), "--packet", &hex(&ping)]);
        let verdicts: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("packet ")).collect();
        assert_eq!(verdicts.len(), 4, "{}", ran.out);
        assert!(verdicts[3].starts_with("packet 4  hex "), "{}", verdicts[3]);
        let drops: Vec<bool> = verdicts.iter().map(|line| line.contains("  XDP_DROP  ")).collect();
        assert_eq!(drops, [true, true, false, false], "{}", ran.out);
        assert!(verdicts.iter().all(|line| line.ends_with("  unchanged")), "{}", ran.out);

        // What changed is shown behind the table, and only that.
        let ran = run(&[&object("rewrite.o"), "--packet", file.name()]);
        let lines: Vec<&str> = ran.out.lines().skip(1).collect();
        assert!(lines[0].starts_with("packet 1  ") && lines[0].ends_with("  4 bytes changed"), "{}", ran.out);
        assert_eq!(lines[3], format!("packet 1 ({}):", file.name()));
        assert_eq!((lines[4], &lines[5][..6], &lines[6][..6]), ("  ...", "- 0020", "+ 0020"), "{}", ran.out);
        assert_eq!(lines.len(), 8, "{}", ran.out);
    }
}

/// The names of the built-in set, in order.
const SET: [&str; 17] = [
    "arp",
    "ipv4-tcp",
    "ipv4-udp",
    "ipv4-icmp",
    "ipv4-options",
    "ipv6-tcp",
    "ipv6-udp",
    "ipv6-icmp",
    "vlan",
    "vlan-in-vlan",
    "ipv4-fragment-first",
    "ipv4-fragment-last",
    "ipv6-fragment-first",
    "ipv6-fragment-last",
    "cut",
    "runt",
    "jumbo",
];

#[test]
fn the_built_in_set_has_packets_of_all_kinds() {
    let Some(_sandbox) = kernel_or_skip("the_built_in_set_has_packets_of_all_kinds") else {
        return;
    };
    let rows = json(&[&object("udp_count.o"), "--packets", "builtin"]);
    let names: Vec<String> = rows.iter().map(|row| row["source"].as_str().unwrap().to_string()).collect();
    assert_eq!(names, SET.map(|name| format!("built-in {name}")));
    // What the program drops is UDP over IPv4, as its counter sees it: fragments, too, and no VLAN.
    let dropped: Vec<&str> =
        rows.iter().zip(SET).filter(|(row, _)| row["verdict"] == "XDP_DROP").map(|(_, name)| name).collect();
    // Before Linux 5.18 no packet of several pages is run.
    let jumbo = rows[16]["error"].is_null().then_some("jumbo");
    let expected = ["ipv4-udp", "ipv4-options", "ipv4-fragment-first", "ipv4-fragment-last"];
    assert_eq!(dropped, expected.into_iter().chain(jumbo).collect::<Vec<_>>());
    let len = |name: &str| {
        rows[SET.iter().position(|one| *one == name).unwrap()]["before"].as_str().unwrap().len() / 2
    };
    assert_eq!((len("runt"), len("cut"), len("ipv4-udp"), len("jumbo")), (14, 24, 64, 9014));
}

#[test]
fn two_versions_are_compared_packet_by_packet() {
    let Some(_sandbox) = kernel_or_skip("two_versions_are_compared_packet_by_packet") else {
        return;
    };
    let (pass, drop, rewrite) = (object("several.o"), object("udp_count.o"), object("rewrite.o"));
    // The same program does the same.
    let ran = run(&[&drop, "--compare", &drop, "--packets", "builtin"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(ran.out.ends_with(&format!("{drop} and {drop} do the same to all 17 packets\n")), "{}", ran.out);
    let ran = run(&[&drop, "--compare", &drop]);
    assert!(ran.out.ends_with(" do the same to the packet\n"), "{}", ran.out);

    // Other bytes: one packet, to the port that is rewritten.
    let (echo, dns) = (hex(&packets::udp(1, 7, b"x")), hex(&packets::udp(1, 53, b"x")));
    let ran = run(&[&rewrite, "--compare", &pass, "--packet", &echo, "--packet", &dns]);
    assert_eq!(ran.code, 6, "{}{}", ran.out, ran.err);
    assert_eq!(ran.err, format!("rxdp-load: {pass} and {rewrite} differ on 1 of 2 packets\n"));
    let lines: Vec<&str> = ran.out.lines().skip(1).collect();
    assert!(lines[0].ends_with("  other bytes") && lines[1].ends_with("  same"), "{}", ran.out);
    assert_eq!(lines[2], "packet 1 (hex):");

    // Another verdict, and which way.
    let ran = run(&[&drop, "--compare", &pass, "--packet", &echo]);
    assert!(ran.code == 6 && ran.out.contains(": XDP_PASS -> XDP_DROP, "), "{}{}", ran.out, ran.err);
    let ran = run(&[&pass, "--compare", &drop, "--packet", &echo, "--json"]);
    assert_eq!(ran.code, 6);
    let row: Value = serde_json::from_str(ran.out.trim()).expect("JSON");
    assert_eq!((&row["verdict"], &row["old"]["verdict"]), (&"XDP_PASS".into(), &"XDP_DROP".into()));
    assert_eq!((&row["differs"], &row["old"]["after"]), (&serde_json::json!(["verdict"]), &row["after"]));
    assert!(row["old"]["duration_ns"].as_u64().is_some() && row["old"]["error"].is_null(), "{row}");
    // Without a comparison there is nothing of it.
    let rows = json(&[&pass, "--packet", &echo]);
    assert!(rows[0].get("old").is_none() && rows[0].get("differs").is_none());

    let ran = run(&[&pass, "--compare", "no/such.o"]);
    assert!(ran.code == 1 && ran.err.contains("no/such.o"), "{}", ran.err);
    let ran = run(&[&pass, "--prog", "xdp_third", "--compare", &drop]);
    assert!(ran.code == 1 && ran.err.contains(&drop) && ran.err.contains("xdp_third"), "{}", ran.err);
    let ran = run(&[&object("unknown.o"), "--type", "filter=raw_tracepoint", "--compare", &pass]);
    assert!(ran.code == 1 && ran.err.contains("so there is nothing to compare"), "{}", ran.err);
}

#[test]
fn what_programs_print_is_shown_with_the_packet() {
    let Some(_sandbox) = kernel_or_skip("what_programs_print_is_shown_with_the_packet") else {
        return;
    };
    const FIRST: &str = "XDP: Killroy was here! 42";
    const BEHIND: &str = "XDP: tail call (xdp_1) id=1";
    let article = object("tail_kern.o");
    let echo = hex(&packets::udp(1, 7, b"x"));
    let rows = json(&[&article, "--packet", &echo, "--packet", &echo]);
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["printed"], serde_json::json!([FIRST, BEHIND]));
    }
    let ran = run(&[&article]);
    let lines: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("  prints: ")).collect();
    assert_eq!(lines, [format!("  prints: {FIRST}"), format!("  prints: {BEHIND}")], "{}", ran.out);
    // One that prints nothing has no such field.
    assert!(json(&[&object("drop_all.o")])[0].get("printed").is_none());
    // The old version's words are not the new one's.
    let rows = json(&[&article, "--compare", &article, "--packet", &echo]);
    assert_eq!(rows[0]["printed"], serde_json::json!([FIRST, BEHIND]));
}

#[test]
fn jump_tables_are_filled_as_in_the_main_job() {
    let Some(_sandbox) = kernel_or_skip("jump_tables_are_filled_as_in_the_main_job") else {
        return;
    };
    let ran = run(&[&object("tail_kern.o")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("jmp_table1[78] = xdp_tail_call_1 (id "), "{}", ran.out);
    assert!(ran.out.contains("inferred: the only other program is xdp_tail_call_1"), "{}", ran.out);
    let ran = run(&[&object("tail_kern.o"), "--no-infer"]);
    assert!(ran.code == 0 && ran.out.starts_with("xdp_prog, xdp"), "{}{}", ran.out, ran.err);

    let two = object("two_readings.o");
    let ran = run(&[&two]);
    assert!(ran.code == 1 && ran.err.contains("--tail-call jumps:0=one"), "{}", ran.err);
    let verdict = |given| json(&[&two, "--tail-call", given])[0]["retval"].as_u64().unwrap();
    assert_ne!(verdict("jumps:0=one"), verdict("jumps:0=two"));
}

#[test]
fn a_type_can_be_given() {
    let Some(_sandbox) = kernel_or_skip("a_type_can_be_given") else {
        return;
    };
    let rows = json(&[&object("unknown.o"), "--type", "filter=sched_cls"]);
    assert_eq!((&rows[0]["type"], &rows[0]["verdict"]), (&"sched_cls".into(), &"2".into()));
    // Types that take no packet run without one, and refuse what is meant for packets.
    let raw = ["--type", "filter=raw_tracepoint"];
    let rows = json(&[&[object("unknown.o").as_str()], raw.as_slice()].concat());
    assert_eq!(
        (&rows[0]["verdict"], &rows[0]["packet"], &rows[0]["before"]),
        (&"2".into(), &Value::Null, &Value::Null)
    );
    let ran = run(&[&object("unknown.o"), raw[0], raw[1], "--repeat", "2"]);
    let expected = "rxdp-load: --repeat \"2\": a program of type raw_tracepoint takes no repetition\n";
    assert_eq!((ran.code, ran.err.as_str()), (1, expected));
    // And some cannot be run at all.
    let ran = run(&[&object("unknown.o"), "--type", "filter=perf_event"]);
    assert!(ran.code == 5 && ran.err.contains("the kernel cannot run programs of this type"), "{}", ran.err);
}

#[test]
fn what_is_no_packet_gets_one_line_and_exit_code_1() {
    let short = File::new("short.pcap", &pcap(&[&[0; 60], &[0; 13]], ETHERNET, u32::to_le_bytes));
    let empty = File::new("empty.pcap", &pcap(&[], ETHERNET, u32::to_le_bytes));
    let wifi = File::new("wifi.pcap", &pcap(&[&[0; 60]], 105, u32::to_le_bytes));
    let text = File::new("text.pcap", b"no capture at all, but a text that is long enough for one");
    let nothing = File::new("nothing.pcap", b"");
    let mut whole = pcap(&[&[0; 60], &[0; 60]], ETHERNET, u32::to_le_bytes);
    whole.truncate(whole.len().checked_sub(1).expect("bytes"));
    let cut = File::new("cut.pcap", &whole);
    for (packet, why) in [
        ("0011223", "7 hex digits are no whole number of bytes"),
        ("00112233", "the packet has 4 bytes; an Ethernet header alone has 14"),
        ("", "it is empty"),
        ("no/such.pcap", "there is no such file, and 'n' is no hex digit"),
        ("tests", "the file cannot be read: EISDIR"),
        (short.name(), "packet 2 of it has 13 bytes; an Ethernet header alone has 14"),
        (empty.name(), "the file holds no packets"),
        (wifi.name(), "its packets are of link type 105, not Ethernet (1)"),
        (text.name(), "the file is no packet capture (pcap or pcapng)"),
        (nothing.name(), "the file is no packet capture (pcap or pcapng)"),
        (cut.name(), "the capture is damaged behind packet 1"),
    ] {
        let ran = run(&[&object("drop_all.o"), "--packet", packet]);
        let expected = format!("rxdp-load: --packet {packet:?}: {why}\n");
        assert_eq!((ran.code, ran.out.as_str(), ran.err), (1, "", expected));
    }
    // Usage is clap's.
    assert_eq!(run(&[&object("drop_all.o"), "--repeat", "0"]).code, 2);
    let ran = run(&["no/such.o"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("no/such.o"), "{}", ran.err);
}
