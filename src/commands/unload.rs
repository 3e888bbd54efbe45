//! Takes the XDP program off an interface, whoever put it there.

use std::io::{self, Write};

use rxdp_netlink::blocking;

use crate::args::Unload;
use crate::commands::status::describe;
use crate::error::Failure;

/// Takes off what is attached in any mode. Nothing to take off is no error.
pub(crate) fn run(args: &Unload) -> Result<(), Failure> {
    let netlink = blocking::Handle::connect()?;
    let link = netlink.link_by_name(&args.interface)?;
    let mut out = io::stdout().lock();
    if link.xdp.programs.is_empty() {
        return writeln!(out, "{} carries no XDP program", link.name).map_err(Failure::Output);
    }
    for program in &link.xdp.programs {
        let words = describe(program.id);
        netlink.detach_any(link.ifindex, program.mode)?;
        writeln!(out, "took {words} off {} ({} mode)", link.name, program.mode).map_err(Failure::Output)?;
    }
    Ok(())
}
