//! Takes the XDP program off an interface, whoever put it there, and removes the pins that `--pin` made for it.

use std::io::{self, Write};
use std::os::fd::AsFd;

use rxdp_loader::sys::{Kernel, Linux, Named};
use rxdp_netlink::{NetlinkError, blocking};

use crate::args::Unload;
use crate::commands::status::{describe, load_time};
use crate::error::Failure;
use crate::owner;
use crate::pins;
use crate::scene;

/// Takes off what is attached in any mode. Nothing to take off is no error.
pub(crate) fn run(args: &Unload) -> Result<(), Failure> {
    let netlink = blocking::Handle::connect()?;
    let link = netlink.link_by_name(&args.interface)?;
    let mut out = io::stdout().lock();
    if link.xdp.programs.is_empty() {
        return writeln!(out, "{} carries no XDP program", link.name).map_err(Failure::Output);
    }
    let failed = |error| scene::explain_detach(&Linux, &link, error);
    for program in &link.xdp.programs {
        let words = describe(&Linux, program.id);
        let pins = load_time(&Linux, program.id).map(pins::made_for).unwrap_or_default();
        match netlink.detach_any(link.ifindex, program.mode) {
            // Ours to take away, since it was pinned for this program. Removing its pin would detach it some time later.
            Err(NetlinkError::HeldByLink { .. }) if !pins.is_empty() => {
                end_links(program.id, link.ifindex);
                netlink.detach_any(link.ifindex, program.mode).map_err(failed)?;
            }
            ended => ended.map_err(failed)?,
        }
        writeln!(out, "took {words} off {} ({} mode)", link.name, program.mode).map_err(Failure::Output)?;
        for path in pins.remove(&Linux)? {
            writeln!(out, "removed the pin {}", path.display()).map_err(Failure::Output)?;
        }
    }
    Ok(())
}

/// Ends the links that are pinned and hold a program on an interface. What stays is told when it is detached.
fn end_links(program: u32, ifindex: u32) {
    let pins = owner::find(&Linux, program, ifindex).pins;
    for pin in pins.iter().filter(|pin| pin.link.is_some()) {
        let opened = Linux.obj_get(&pin.path);
        let _stays = opened.and_then(|link| Linux.link_detach(Named { name: "link", fd: link.fd.as_fd() }));
    }
}
