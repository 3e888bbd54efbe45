//! `rxdp-load map`: maps that run behind an interface, looked into and changed, as people and scripts do it.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;

use nix::sys::signal::Signal;
use rxdp_loader::sys::{Kernel, Linux, MapCreate, Named};
use rxdp_loader::uapi::{MapFlags, MapType, OBJ_NAME_LEN};
use rxdp_sandbox::{End, Sandbox, packets};
use serde_json::{Value, json};

use common::held::{Held, in_near, start};
use common::{Ran, in_sandbox};

/// `typed_maps.o` on v0, and commands about its maps.
struct Maps<'s> {
    sandbox: &'s Sandbox,
    held: Held,
}

impl<'s> Maps<'s> {
    fn start(sandbox: &'s Sandbox) -> Self {
        Self { sandbox, held: Held::start(sandbox, "typed_maps", &[]) }
    }

    fn id(&self, map: &str) -> String {
        self.held.map(map).to_string()
    }

    /// `map VERB ID REST...`
    fn run(&self, verb: &str, map: &str, rest: &[&str]) -> Ran {
        let id = self.id(map);
        in_near(self.sandbox, &[&["map", verb, id.as_str()], rest].concat())
    }

    #[track_caller]
    fn done(&self, verb: &str, map: &str, rest: &[&str]) -> String {
        self.run(verb, map, rest).done().to_string()
    }

    #[track_caller]
    fn json(&self, verb: &str, map: &str, rest: &[&str]) -> Vec<Value> {
        let ran = self.run(verb, map, &[rest, &["--json"]].concat());
        ran.done();
        ran.json()
    }

    /// Sends packets past the stack of near, and waits until the last of them was counted.
    fn send(&self, count: usize) {
        let far = self.sandbox.packet_socket(End::Far).unwrap();
        let before = self.passed_and_dropped();
        for _ in 0..count {
            far.send(&packets::udp(4000, 9, b"counted")).unwrap();
        }
        let start = std::time::Instant::now();
        while self.passed_and_dropped() < before + u64::try_from(count).unwrap() {
            assert!(start.elapsed() < common::TOO_LONG, "packets are counted");
        }
    }

    fn passed_and_dropped(&self) -> u64 {
        let rows = self.json("dump", "xdp_stats_map", &[]);
        rows.iter().map(|row| row["value"]["rx_packets"].as_u64().unwrap()).sum()
    }
}

const SETTING: &str = "{limit = 7, delta = -2, verdict = TX, name = eth0, mac = 02:00:00:00:00:01, low = 5}";

#[test]
fn entries_are_put_in_shown_and_taken_out_by_their_types() {
    in_sandbox(|sandbox| {
        let maps = Maps::start(sandbox);
        assert_eq!(maps.done("dump", "flows", &[]), "flows is empty\n");
        let key = "{address = 192.0.2.1, port = 53, protocol = 17}";
        let shown = "[{address = 3221225985, port = 53, protocol = 17, unused = 0}] = {rx_packets = 3, rx_bytes = 180}\n";
        assert_eq!(maps.done("set", "flows", &[key, "{3, 180}"]), shown);
        assert_eq!(maps.done("get", "flows", &[key]), shown);
        assert_eq!(maps.done("get", "flows", &["hex:c000020100351100"]), shown);
        assert_eq!(maps.done("dump", "flows", &[]), shown);
        assert_eq!(
            maps.json("dump", "flows", &[]),
            [json!({"key": {"address": 3_221_225_985u32, "port": 53, "protocol": 17, "unused": 0},
                "value": {"rx_packets": 3, "rx_bytes": 180}})]
        );
        assert_eq!(
            maps.done("dump", "flows", &["--hex"]),
            "[c0:00:02:01:00:35:11:00] = 03:00:00:00:00:00:00:00:b4:00:00:00:00:00:00:00\n"
        );
        // What is not given stays.
        let changed = maps.done("set", "flows", &[key, "{rx_bytes = 1}", "--exists"]);
        assert!(changed.ends_with("= {rx_packets = 3, rx_bytes = 1}\n"), "{changed}");
        assert_eq!(maps.json("delete", "flows", &[key])[0]["value"], json!({"rx_packets": 3, "rx_bytes": 1}));
        maps.run("delete", "flows", &[key]).failed(1, &["map \"flows\" has no key {address", "port = 53"]);
        maps.run("get", "flows", &[key]).failed(1, &["map \"flows\" has no key"]);
        // Another entry of the same form.
        assert!(
            maps.done("set", "flows", &["{1, 2, 3}", "{4}", "--new"])
                .contains("{rx_packets = 4, rx_bytes = 0}")
        );
        maps.run("set", "flows", &["{1, 2, 3}", "{5}", "--new"])
            .failed(1, &["map \"flows\" has key {1, 2, 3} already: --new puts in only what is not there"]);
        maps.run("set", "flows", &["{9, 9, 9}", "{5}", "--exists"])
            .failed(1, &["--exists changes only what is there"]);
    });
}

#[test]
fn every_kind_of_member_is_shown() {
    in_sandbox(|sandbox| {
        let maps = Maps::start(sandbox);
        let shown = maps.done("set", "settings", &["1", SETTING]);
        for part in [
            "[1] = {limit = 7, delta = -2, port = 0, enabled = false, letter = 0, verdict = TX, level = NORMAL",
            "name = \"eth0\", mac = 02:00:00:00:00:01, low = 5, middle = 0",
            "points = [{x = 0, y = 0}, {x = 0, y = 0}], pointer = 0x0",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(
            maps.done("dump", "settings", &[]).ends_with("1 of 2 entries are all zeroes; --all shows them\n")
        );
        assert_eq!(maps.done("dump", "settings", &["--all"]).lines().count(), 2);
        let rows = maps.json("dump", "settings", &[]);
        assert_eq!((rows.len(), &rows[1]["value"]["mac"]), (2, &json!("020000000001")));
        assert_eq!(rows[1]["value"]["verdict"], "TX");
        // Variables of a section, of which there is one entry.
        assert_eq!(maps.done("get", "typed_ma.rodata", &["0"]), "[0] = {answer = 42}\n");
        assert_eq!(
            maps.done("set", "typed_ma.data", &["0", "{greeting = hi}"]),
            "[0] = {greeting = \"hi\"}\n"
        );
    });
}

#[test]
fn what_runs_is_counted_and_cpus_are_added_up() {
    in_sandbox(|sandbox| {
        let maps = Maps::start(sandbox);
        maps.send(5);
        let row = &maps.json("get", "xdp_stats_map", &["1", "--per-cpu"])[0];
        assert_eq!(row["value"]["rx_packets"], 5);
        let by_cpu: u64 =
            row["values"].as_array().unwrap().iter().map(|value| value["rx_packets"].as_u64().unwrap()).sum();
        assert_eq!(by_cpu, 5);
        assert!(maps.json("get", "xdp_stats_map", &["1"])[0].get("values").is_none());
        let text = maps.done("get", "xdp_stats_map", &["1", "--per-cpu"]);
        assert!(
            text.starts_with("[1] = {rx_packets = 5, rx_bytes = ") && text.contains("\n  cpu 0: {"),
            "{text}"
        );
        assert_eq!(maps.json("get", "typed_ma.bss", &["0"])[0]["value"]["packets"], 5);

        // One CPU's value, then all of them.
        let cpus = u64::try_from(row["values"].as_array().unwrap().len()).unwrap();
        assert_eq!(maps.json("set", "by_cpu", &["DROP", "4"])[0]["value"], 4 * cpus);
        let set = &maps.json("set", "by_cpu", &["DROP", "1", "--cpu", "0"])[0];
        assert_eq!((&set["key"], &set["value"]), (&json!("DROP"), &json!(4 * cpus - 3)));
        maps.run("set", "by_cpu", &["DROP", "1", "--cpu", "4096"]).failed(1, &["not for CPU 4096"]);
        maps.run("set", "flows", &["{1}", "{1}", "--cpu", "0"]).failed(1, &["all CPUs have the same value"]);
        // Names have no sum, unless they are the same everywhere.
        assert_eq!(maps.done("set", "mixed", &["0", "{name = a}"]).lines().count(), 1);
        if cpus > 1 {
            let row = &maps.json("set", "mixed", &["0", "{name = b}", "--cpu", "1"])[0];
            assert_eq!(
                (&row["value"], &row["values"][0]["name"], &row["values"][1]["name"]),
                (&json!(null), &json!("a"), &json!("b"))
            );
            assert!(maps.done("get", "mixed", &["0"]).starts_with("[0] has no sum; by CPU:\n  cpu 0: {"));
        }
    });
}

#[test]
fn maps_of_all_kinds_are_read() {
    in_sandbox(|sandbox| {
        let maps = Maps::start(sandbox);
        let jump = maps.held.program("jump");
        assert_eq!(maps.done("set", "table", &["2", &jump.to_string()]), format!("[2] = jump (id {jump})\n"));
        assert_eq!(
            maps.json("dump", "table", &[]),
            [json!({"key": 2, "value": {"id": jump, "name": "jump"}})]
        );
        assert_eq!(maps.done("delete", "table", &["2"]), format!("deleted [2] = jump (id {jump})\n"));
        assert_eq!(maps.done("dump", "table", &[]), "table is empty\n");

        let inner = maps.id("inner_one");
        assert_eq!(maps.done("dump", "outer", &[]), format!("[1] = inner_one (id {inner})\n"));
        assert_eq!(maps.done("set", "outer", &["0", &inner]), format!("[0] = inner_one (id {inner})\n"));
        maps.run("set", "outer", &["0", &maps.id("flows")])
            .failed(3, &["does not look like the inner maps that it takes"]);

        let ifindex = sandbox.ifindex(End::Near);
        assert_eq!(maps.done("set", "devices", &["1", "v0"]), format!("[1] = v0, ifindex {ifindex}\n"));
        assert_eq!(maps.json("get", "devices", &["1"])[0]["value"]["interface"], "v0");
        maps.run("set", "devices", &["1", "nowhere"]).failed(1, &["nowhere"]);
        assert_eq!(maps.done("set", "processors", &["0", "192"]), "[0] = a queue of 192 packets\n");
        assert_eq!(
            maps.json("dump", "processors", &[]),
            [json!({"key": 0, "value": {"qsize": 192, "program": null}})]
        );

        maps.done("set", "routes", &["192.0.2.0/24", "7"]);
        assert_eq!(maps.done("set", "routes", &["10.0.0.0/8", "8"]), "[10.0.0.0/8] = 8\n");
        assert_eq!(maps.json("dump", "routes", &[]).len(), 2);
        // The longest prefix that fits.
        assert_eq!(maps.done("get", "routes", &["192.0.2.77"]), "[192.0.2.77/32] = 7\n");
        assert_eq!(maps.done("set", "routes6", &["2001:db8::/32", "PASS"]), "[2001:db8::/32] = PASS\n");
        maps.run("get", "routes", &["198.51.100.1"]).failed(1, &["map \"routes\" has no key 198.51.100.1"]);
        maps.run("set", "routes", &["10.0.0.0/33", "1"]).failed(1, &["/33 is more than the 32 bits"]);

        maps.run("get", "queue", &[]).failed(1, &["map \"queue\" is empty"]);
        // The kernel takes no types for them.
        maps.done("set", "queue", &["-1"]);
        maps.done("set", "queue", &["2"]);
        // Looking takes nothing out.
        for _ in 0..2 {
            assert_eq!(maps.done("get", "queue", &[]), "next = 4294967295\n");
        }
        maps.run("get", "queue", &["1"]).failed(1, &["it has no keys: leave the key out"]);
        maps.run("set", "queue", &["1", "2"])
            .failed(1, &["map \"queue\" takes a value, and no key; 2 were given"]);
        maps.run("dump", "queue", &[]).failed(1, &["`map get` shows what is next"]);
        maps.run("delete", "queue", &["1"]).failed(1, &["it has no keys"]);
        maps.run("watch", "queue", &[]).failed(1, &["it has no keys"]);

        maps.done("set", "recent", &["5", "6"]);
        assert_eq!(maps.done("dump", "recent", &[]), "[5] = 6\n");
        // No types, and no size of a number.
        assert_eq!(
            maps.done("set", "plain", &["1", "02:00:00:00:00:01"]),
            "[01:00:00:00] = 02:00:00:00:00:01\n"
        );
        for closed in ["ring", "sockets"] {
            maps.run("dump", closed, &[])
                .failed(1, &[&format!("map {closed:?} is a "), "its slots are"][..1]);
        }
    });
}

#[test]
fn what_cannot_be_is_said() {
    in_sandbox(|sandbox| {
        let maps = Maps::start(sandbox);
        let near = |args: &[&str]| in_near(sandbox, &[&["map"], args].concat());
        near(&["dump", "no_such_map_here"]).failed(1, &["there is no map \"no_such_map_here\"", "map list"]);
        near(&["dump", "4294967295"]).failed(1, &["there is no map with id 4294967295"]);
        near(&["dump", "/sys/fs/bpf/nothing"]).failed(1, &["nothing is pinned at /sys/fs/bpf/nothing"]);
        near(&["list", "--interface", "nowhere"]).failed(1, &["nowhere"]);
        near(&["list", "--pinned", "/sys/fs/bpf/nothing"])
            .failed(1, &["/sys/fs/bpf/nothing is not a directory"]);
        near(&["list", "--pinned", "/tmp"]).failed(1, &["/tmp is on no bpffs"]);
        near(&["dump", "/tmp/nothing"]).failed(1, &["nothing is pinned at /tmp/nothing"]);
        // Another one of the same name.
        let other = Held::start(sandbox, "typed_maps", &["--mode", "native", "--replace"]);
        let ids = [maps.held.map("recent"), other.map("recent")];
        near(&["dump", "recent"])
            .failed(1, &["maps are called \"recent\"", &format!("{}", ids[0]), &format!("{}", ids[1])]);

        maps.run("set", "settings", &["2", "{}"])
            .failed(1, &["map \"settings\" has 2 entries: keys are 0 to 1, not 2"]);
        maps.run("get", "settings", &["one"])
            .failed(1, &["key \"one\" of map \"settings\": u32 takes a number"]);
        maps.run("get", "settings", &[]).failed(1, &["map \"settings\" takes a key; 0 were given"]);
        maps.run("set", "settings", &["0"]).failed(1, &["takes a key and a value; 1 were given"]);
        maps.run("set", "settings", &["0", "{low = 9}"])
            .failed(1, &["9 is out of range for u16 (3 bits): 0 to 7"]);
        maps.run("set", "settings", &["0", "{lo = 9}"])
            .failed(1, &["setting has no \"lo\"; it has limit, delta"]);
        maps.run("set", "settings", &["0", "{low = 9"]).failed(1, &["'}' is missing"]);
        maps.run("set", "settings", &["0", "{}", "--new"]).failed(1, &["has key 0 already"]);
        maps.run("delete", "settings", &["0"]).failed(1, &["its keys are always there; set them to 0"]);
        maps.run("set", "typed_ma.rodata", &["0", "{answer = 43}"])
            .failed(3, &["frozen", "nobody can change it"]);
        maps.run("set", "table", &["0", "nobody_s_program"])
            .failed(1, &["there is no program \"nobody_s_program\""]);
        maps.run("set", "table", &["9", "1"]).failed(1, &["keys are 0 to 3, not 9"]);
        maps.run("set", "processors", &["0", "many"]).failed(1, &["the length of the CPU's queue"]);
        maps.run("set", "plain", &["5", "1"]).failed(1, &["a value of 6 bytes without types takes 6 bytes"]);
        for n in 0..8 {
            maps.done("set", "plain", &[&n.to_string(), "00:00:00:00:00:00"]);
        }
        maps.run("set", "plain", &["8", "00:00:00:00:00:00"]).failed(3, &["E2BIG", "the map is full"]);
        maps.run("dump", "ring", &[]).failed(1, &["map \"ring\" is a ringbuf: it is a stream"]);
    });
}

/// A map with a name that no other has.
fn lonely() -> (String, OwnedFd) {
    let name = format!("alone{}", std::process::id());
    assert!(name.len() < OBJ_NAME_LEN);
    let request = MapCreate {
        name: &name,
        kernel_name: &name,
        ty: MapType::HASH,
        key_size: 4,
        value_size: 8,
        max_entries: 3,
        flags: MapFlags::empty(),
        numa_node: 0,
        map_extra: 0,
        inner: None,
        types: None,
        kernel_value: None,
    };
    let fd = Linux.map_create(&request).expect("a map");
    (name, fd)
}

#[test]
fn a_map_without_types_is_found_by_name_pin_and_id() {
    in_sandbox(|sandbox| {
        let (name, fd) = lonely();
        let map = Named { name: &name, fd: fd.as_fd() };
        let id = Linux.map_info(map).unwrap().id;
        let pin = format!("/sys/fs/bpf/{name}");
        sandbox.near(|| Linux.obj_pin(map, pin.as_ref())).unwrap();
        let near = |args: &[&str]| in_near(sandbox, &[&["map"], args].concat());
        assert_eq!(near(&["set", &name, "192.0.2.1", "7"]).done(), "[c0:00:02:01] = 7\n");
        for called in [&name, &pin, &id.to_string()] {
            assert_eq!(
                near(&["dump", called]).done(),
                "[c0:00:02:01] = 7\nnote: the map says nothing about its values; these 8 bytes are shown as a number\n"
            );
        }
        let listed = near(&["list", "--pinned", "/sys/fs/bpf", "--json"]);
        listed.done();
        let rows = &listed.json()[0];
        let row = rows.as_array().unwrap().iter().find(|row| row["id"] == id).expect("the map");
        assert_eq!((&row["name"], &row["type"]), (&json!(name), &json!("hash")));
        assert_eq!(
            (&row["key_size"], &row["value_size"], &row["max_entries"]),
            (&json!(4), &json!(8), &json!(3))
        );
        assert_eq!(
            (&row["pinned"], &row["programs"], &row["btf"]),
            (&json!([pin]), &json!([]), &json!(false))
        );
        let me = json!({"pid": std::process::id()});
        let held = row["processes"].as_array().unwrap().iter().any(|holder| holder["pid"] == me["pid"]);
        assert!(held, "{row}");
        assert!(row["memory"].as_u64().is_some_and(|bytes| bytes > 0), "{row}");
        let text = near(&["list", "--pinned", "/sys/fs/bpf"]);
        let line = text.done().lines().find(|line| line.contains(&name)).expect("the map").to_string();
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.starts_with(&format!("id {id} {name} hash key 4 B value 8 B 3 entries ")), "{words}");
        assert!(words.ends_with(&format!("pinned at {pin}")), "{words}");
        // A program is no map.
        near(&["set", &pin, "1"]).failed(1, &["takes a key and a value"]);
    });
}

#[test]
fn list_knows_the_maps_of_an_interface_and_their_programs() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "typed_maps", &["--prog", "jump", "--no-infer"]);
        let maps = Maps { sandbox, held };
        let listed = || {
            let ran = in_near(sandbox, &["map", "list", "--interface", "v0", "--json"]);
            ran.done();
            ran.json()[0].as_array().unwrap().clone()
        };
        let named = |name: &str| listed().into_iter().find(|row| row["name"] == name);
        let recent = named("recent").expect("a map of jump's");
        assert_eq!(recent["programs"], json!([{"name": "jump", "id": maps.held.program("jump")}]));
        assert_eq!((&recent["btf"], &recent["frozen"]), (&json!(true), &json!(false)));
        assert_eq!(named("flows"), None);
        // A program behind a jump table brings its maps along.
        let count = maps.held.program("count");
        maps.done("set", "table", &["1", &count.to_string()]);
        assert_eq!(
            named("flows").expect("a map of count's")["programs"],
            json!([{"name": "count", "id": count}])
        );
        assert_eq!(named("typed_ma.rodata").expect("a map of count's")["frozen"], true);
    });
}

#[test]
fn without_privilege_nobody_s_maps_are_shown() {
    in_sandbox(|sandbox| {
        let maps = Maps::start(sandbox);
        let id = maps.id("flows");
        for args in [&["map", "list"][..], &["map", "dump", &id], &["map", "dump", "flows"]] {
            let mut command = common::rxdp_load(args);
            command.uid(65_534).gid(65_534);
            let ran = sandbox.near(|| common::Running::start(command).end());
            ran.failed(4, &["EPERM", "CAP_SYS_ADMIN"]);
        }
    });
}

#[test]
fn watch_tells_changes_as_they_come_and_ends_with_a_signal() {
    in_sandbox(|sandbox| {
        let maps = Maps::start(sandbox);
        let id = maps.id("xdp_stats_map");
        let watch = start(sandbox, &["map", "watch", &id, "--interval", "20ms", "--json"]);
        assert!(watch.error_line().starts_with(&format!("watching map xdp_stats_map (id {id}) every 20ms")));
        maps.send(3);
        // Each look may see some of them; all of them in the end.
        let mut seen = 0;
        while seen < 3 {
            let change = common::json(&watch.line());
            assert_eq!((&change["event"], &change["key"]), (&json!("changed"), &json!(1)));
            let now = change["value"]["rx_packets"].as_u64().unwrap();
            assert_eq!(change["before"]["rx_packets"], seen);
            assert!(now > seen && change["per_second"]["rx_packets"].as_f64().unwrap() > 0.0, "{change}");
            seen = now;
        }
        watch.signal(Signal::SIGINT);
        watch.end().done();

        let id = maps.id("flows");
        let watch = start(sandbox, &["map", "watch", &id, "--interval", "20ms"]);
        watch.error_line();
        maps.done("set", "flows", &["{1}", "{2}"]);
        assert!(watch.line().ends_with("] = {rx_packets = 2, rx_bytes = 0}, new"));
        maps.done("set", "flows", &["{1}", "{4}"]);
        let line = watch.line();
        assert!(
            line.contains(
                "= {rx_packets = 4, rx_bytes = 0}, was {rx_packets = 2, rx_bytes = 0}, {rx_packets = "
            ),
            "{line}"
        );
        assert!(line.ends_with(", rx_bytes = 0} a second"), "{line}");
        maps.done("delete", "flows", &["{1}"]);
        assert!(watch.line().ends_with(", removed"));
        watch.signal(Signal::SIGTERM);
        watch.end().done();

        let ended = in_near(sandbox, &["map", "watch", &id, "--for", "10ms", "--interval", "1h"]);
        assert_eq!(ended.code, Some(0));
    });
}

/// The article series' counter, while it counts.
#[test]
fn the_udp_counter_is_read_without_a_program() {
    in_sandbox(|sandbox| {
        let held = Held::start(sandbox, "udp_count", &[]);
        let map = held.map("rxcnt").to_string();
        let dump = || in_near(sandbox, &["map", "dump", &map]).done().to_string();
        assert_eq!(dump(), "256 of 256 entries are all zeroes; --all shows them\n");
        // A socket, as programs have it: UDP is protocol 17.
        sandbox.far(|| {
            let socket = UdpSocket::bind(("192.0.2.2", 0)).unwrap();
            for _ in 0..4 {
                socket.send_to(b"counted", ("192.0.2.1", 9)).unwrap();
            }
        });
        let start = std::time::Instant::now();
        while !dump().starts_with("[17] = 4\n255 of 256 entries are all zeroes; --all shows them\nnote: ") {
            assert!(start.elapsed() < common::TOO_LONG, "{}", dump());
        }
        let row = in_near(sandbox, &["map", "get", &map, "17", "--json"]);
        assert_eq!(row.done(), "{\"key\":17,\"value\":4}\n");
        assert_eq!(in_near(sandbox, &["map", "set", &map, "17", "0"]).done(), "[17] = 0\n");
    });
}
