//! The user program of the article on tail calls, with this project's libraries in place of `bpf_load.c` and libbpf.
//!
//! `cargo run --example article -- OBJECT INTERFACE SECONDS`

#![expect(clippy::print_stdout, reason = "that is what it is for")]
#![expect(
    clippy::indexing_slicing,
    reason = "as the article has it; an object without these is none of the article's"
)]

use std::env::args;
use std::error::Error;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use rxdp_loader::bpf_load::load_bpf_file;
use rxdp_netlink::{XdpMode, blocking};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = args().skip(1).collect();
    let [object, interface, seconds] = args.as_slice() else {
        return Err("give it OBJECT INTERFACE SECONDS".into());
    };
    let stay = Duration::from_secs(seconds.parse()?);

    // Step 1: maps and programs, in definition order. An error leaves nothing behind.
    let bpf = load_bpf_file(object)?;
    for (index, map) in bpf.map_fd.iter().enumerate() {
        println!("map_fd[{index}] is {}", map.name);
    }
    for (index, program) in bpf.prog_fd.iter().enumerate() {
        println!("prog_fd[{index}] is {}", program.name);
    }

    // Step 2: program 1 goes into slot 78 of map 0. The slot is read back: it must hold the program's id.
    let id = bpf.jmp_table_add_prog(0, 78, 1)?;
    println!("slot 78 of {} holds the program with id {id}", bpf.map_fd[0].name);

    // Step 3: program 0 goes on the interface. The guard takes it off again, and no other.
    let netlink = blocking::Handle::connect()?;
    let link = netlink.link_by_name(interface)?;
    let attached = netlink.hold(link.ifindex, bpf.prog_fd[0].as_fd(), XdpMode::Auto)?;
    println!("attached to {interface} in {} mode", attached.mode());

    // The article's sleep(50): the jump table is emptied when `bpf` is dropped.
    thread::sleep(stay);
    attached.detach_blocking()?;
    println!("detached from {interface}");
    Ok(())
}
