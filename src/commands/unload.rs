//! Takes the XDP program off an interface, whoever put it there, and removes the pins that `--pin` made for it.

use std::io::{self, Write};

use rxdp_loader::sys::Linux;
use rxdp_netlink::blocking;

use crate::args::Unload;
use crate::commands::status::{describe, load_time};
use crate::error::Failure;
use crate::pins;

/// Takes off what is attached in any mode. Nothing to take off is no error.
pub(crate) fn run(args: &Unload) -> Result<(), Failure> {
    let netlink = blocking::Handle::connect()?;
    let link = netlink.link_by_name(&args.interface)?;
    let mut out = io::stdout().lock();
    if link.xdp.programs.is_empty() {
        return writeln!(out, "{} carries no XDP program", link.name).map_err(Failure::Output);
    }
    for program in &link.xdp.programs {
        let words = describe(&Linux, program.id);
        let pins = load_time(&Linux, program.id).map(pins::made_for).unwrap_or_default();
        netlink.detach_any(link.ifindex, program.mode)?;
        writeln!(out, "took {words} off {} ({} mode)", link.name, program.mode).map_err(Failure::Output)?;
        for path in pins.remove(&Linux)? {
            writeln!(out, "removed the pin {}", path.display()).map_err(Failure::Output)?;
        }
    }
    Ok(())
}
