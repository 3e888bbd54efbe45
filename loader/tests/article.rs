//! The tail-call article's user program, line by line, through `load_bpf_file`, with its asserts.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::path_of;
use common::wire::{PATIENCE, Tagged, Trace, Wire};
use rxdp_loader::bpf_load::{BpfFile, load_bpf_file, load_bpf_file_fixup_map, read_trace_pipe};
use rxdp_loader::error::Error;
use rxdp_loader::load::LoadError;
use rxdp_loader::sys::{Errno, Kernel, Linux, MapCreate, MapUpdate, MapValue};
use rxdp_loader::uapi::{MapFlags, MapType, ProgType, UpdateFlags};
use rxdp_netlink::XdpMode;
use rxdp_sandbox::packets;
use rxdp_sandbox::testing::kernel_or_skip;

// The lines of the article's program, without the word that they begin with.
const KILLROY: &str = "Killroy was here! 42";
const TAIL_CALL: &str = "tail call (xdp_1) id=1";
const EMPTY: &str = "jmp_table empty, reached fall-through action";

/// The article's function of this name, statement for statement.
fn jmp_table_add_prog(bpf: &BpfFile, map_fd_id: usize, key: u32, prog_fd_id: usize) {
    let jmp_fd = &bpf.map_fd[map_fd_id];
    let tail_fd = &bpf.prog_fd[prog_fd_id];
    assert_ne!(tail_fd.fd.as_raw_fd(), 0, "invalid program - not loaded ?");

    let key = key.to_ne_bytes();
    let (map, value) = (jmp_fd.named(), MapValue::Named(tail_fd.named()));
    let err = Linux.map_update(&MapUpdate { map, key: &key, value, flags: UpdateFlags::empty() });
    assert_eq!(err, Ok(()), "could not update element");

    let info = Linux.prog_info(tail_fd.named()).unwrap();
    let value = Linux.map_lookup(jmp_fd.named(), &key, 4).unwrap();
    assert_eq!(u32::from_ne_bytes(value.try_into().unwrap()), info.id);
}

#[test]
fn the_articles_user_program_runs() {
    let Some(wire) = Wire::or_skip("the_articles_user_program_runs") else {
        return;
    };
    let mut trace = Trace::start();
    let object = Tagged::tail_kern();

    // if (load_bpf_file(filename)) { printf("\n error in bpf load"); return 1; }
    let bpf = load_bpf_file(object.path()).expect("error in bpf load");
    let maps: Vec<&str> = bpf.map_fd.iter().map(|map| map.name.as_str()).take(2).collect();
    assert_eq!(maps, ["jmp_table1", "jmp_table2"]);
    let sections: Vec<&str> = bpf.prog_fd.iter().map(|program| program.section.as_str()).collect();
    assert_eq!(sections, ["xdp/0", "xdp/1"]);

    // jmp_table_add_prog(0, 78, 1);
    jmp_table_add_prog(&bpf, 0, 78, 1);

    // ifindex = if_nametoindex(iface);
    let ifindex = wire.netlink.link_by_name("v0").unwrap().ifindex;
    assert_ne!(ifindex, 0, "interface name unknown");
    // if (bpf_set_link_xdp_fd(ifindex, prog_fd[0], 0) < 0) { printf("\n link set failed"); return 1; }
    let attached = wire.attach(&bpf.prog_fd[0], XdpMode::Auto);
    assert_eq!((attached.ifindex(), attached.mode()), (ifindex, XdpMode::Native));

    // sleep(50), while traffic is sent to the interface from another node.
    let packet = packets::udp(packets::ORIGIN, 7, b"hello");
    wire.far.send(&packet).unwrap();
    assert_eq!(object.line(&mut trace), KILLROY);
    assert_eq!(object.line(&mut trace), TAIL_CALL);
    assert_eq!(wire.arrived(), packet, "xdp/1 lets it pass");

    // Why the article sleeps: a jump table empties when its last descriptor closes, though a program holds it.
    drop(bpf);
    let mut tries = 0;
    loop {
        wire.far.send(&packet).unwrap();
        assert_eq!(object.line(&mut trace), KILLROY);
        match object.line(&mut trace).as_str() {
            EMPTY => break,
            line => assert_eq!(line, TAIL_CALL),
        }
        tries += 1;
        assert!(tries < 10_000, "the table keeps its slot");
    }
    attached.detach_blocking().unwrap();
}

#[test]
fn a_slot_can_be_filled_in_one_call() {
    if kernel_or_skip("a_slot_can_be_filled_in_one_call").is_none() {
        return;
    }
    let bpf = load_bpf_file(path_of("tail_kern-xdp1.o")).unwrap();
    let id = bpf.jmp_table_add_prog(0, 78, 1).unwrap();
    assert_eq!(id, bpf.prog_fd[1].info(&Linux).unwrap().id);
    assert_eq!(Linux.slot_id(bpf.map_fd[0].named(), 78), Ok(id));
    assert_eq!(Linux.slot_id(bpf.map_fd[0].named(), 77), Err(Errno::ENOENT));
    assert_eq!(Linux.slot_id(bpf.map_fd[1].named(), 78), Err(Errno::ENOENT));

    let missing = |result: Result<u32, LoadError>| result.unwrap_err().to_string();
    assert_eq!(missing(bpf.jmp_table_add_prog(9, 78, 1)), "map_fd[9] is needed, but was not loaded");
    assert_eq!(missing(bpf.jmp_table_add_prog(0, 78, 2)), "prog_fd[2] is needed, but was not loaded");
    let beyond = bpf.jmp_table_add_prog(0, 100, 1).unwrap_err();
    assert!(matches!(&beyond, LoadError::Slot { map, key: 100, .. } if map == "jmp_table1"), "{beyond}");
    assert_eq!(beyond.errno(), Some(Errno::E2BIG));
}

#[test]
fn the_fix_up_may_change_a_definition() {
    if kernel_or_skip("the_fix_up_may_change_a_definition").is_none() {
        return;
    }
    let mut seen = Vec::new();
    let bpf = load_bpf_file_fixup_map(path_of("tail_kern.o"), |map, at| {
        seen.push((at, map.def.name.clone()));
        if at == 1 {
            map.def.max_entries = 7;
        }
    });
    let bpf = bpf.unwrap();
    assert_eq!(seen[..2], [(0, "jmp_table1".into()), (1, "jmp_table2".into())]);
    assert_eq!(seen.len(), bpf.map_fd.len());
    let entries =
        |at: usize| (bpf.map_data[at].max_entries, bpf.map_fd[at].info(&Linux).unwrap().max_entries);
    assert_eq!((entries(0), entries(1)), ((100, 100), (7, 7)));
}

#[test]
fn the_fix_up_may_give_a_map_that_is_there() {
    if kernel_or_skip("the_fix_up_may_give_a_map_that_is_there").is_none() {
        return;
    }
    let mut own = Some(jump_table(100));
    let id = |fd: &OwnedFd| {
        let handle = rxdp_loader::sys::Named { name: "own", fd: std::os::fd::AsFd::as_fd(fd) };
        Linux.map_info(handle).unwrap().id
    };
    let own_id = id(own.as_ref().unwrap());
    let bpf = load_bpf_file_fixup_map(path_of("tail_kern.o"), |map, at| {
        if at == 0 {
            map.fd = own.take();
        }
    });
    let bpf = bpf.unwrap();
    assert_eq!(bpf.map_fd[0].info(&Linux).unwrap().id, own_id);
    assert_eq!(bpf.map_fd[0].name, "jmp_table1");
    assert!(bpf.prog_fd[0].info(&Linux).unwrap().map_ids.contains(&own_id), "the program refers to it");
    bpf.jmp_table_add_prog(0, 78, 1).unwrap();
}

/// A jump table that nobody loaded.
fn jump_table(max_entries: u32) -> OwnedFd {
    let create = MapCreate {
        name: "own",
        kernel_name: "own",
        ty: MapType::PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries,
        flags: MapFlags::empty(),
        numa_node: 0,
        map_extra: 0,
        inner: None,
        types: None,
        kernel_value: None,
    };
    Linux.map_create(&create).unwrap()
}

#[test]
fn trace_output_is_shown_line_by_line() {
    let Some(wire) = Wire::or_skip("trace_output_is_shown_line_by_line") else {
        return;
    };
    let object = Tagged::tail_kern();
    let bpf = load_bpf_file(object.path()).unwrap();
    let _attached = wire.attach(&bpf.prog_fd[0], XdpMode::Auto);
    let (shown, lines) = mpsc::channel();
    let last = format!("{} {EMPTY}", object.tag);
    let reader = thread::spawn(move || {
        read_trace_pipe(|line| {
            let last = line.message == last;
            shown.send(line.clone()).unwrap();
            if last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    // Nobody says when the reader is ready: send until it shows something.
    let start = Instant::now();
    let line = loop {
        wire.far.send(&packets::udp(packets::ORIGIN, 7, b"hello")).unwrap();
        match lines.recv_timeout(Duration::from_millis(20)) {
            Ok(line) if line.message.starts_with(&object.tag) && line.message.ends_with(EMPTY) => break line,
            Ok(_) | Err(_) => assert!(start.elapsed() < PATIENCE, "nothing is shown"),
        }
    };
    assert!(line.cpu.is_some() && line.seconds.is_some(), "{line:?}");
    reader.join().unwrap().unwrap();
}

#[test]
fn a_section_that_says_nothing_is_xdp() {
    if kernel_or_skip("a_section_that_says_nothing_is_xdp").is_none() {
        return;
    }
    let bpf = load_bpf_file(path_of("drop_all.o")).unwrap();
    let [program] = &bpf.prog_fd[..] else {
        panic!("{:?}", bpf.prog_fd);
    };
    assert_eq!((program.section.as_str(), program.info(&Linux).unwrap().ty), ("prog", ProgType::XDP));
}

#[test]
fn what_cannot_be_read_is_named() {
    let path = path_of("data.o").with_file_name("nothing.o");
    let error = load_bpf_file(&path).unwrap_err();
    assert!(matches!(&error, Error::Open { path: named, errno: Errno::ENOENT } if *named == path), "{error}");
    assert!(error.to_string().ends_with("nothing.o\": ENOENT (there is no such file)"), "{error}");
    let folder = path.parent().unwrap();
    assert!(load_bpf_file(folder).unwrap_err().to_string().ends_with("EISDIR (it is a directory)"));
    let source = load_bpf_file(path_of("data.c")).unwrap_err();
    assert!(matches!(source, Error::Spec(_)), "{source}");
    assert!(source.to_string().starts_with("not an ELF file"), "{source}");
}
