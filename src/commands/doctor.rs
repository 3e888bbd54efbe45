//! Says whether the main job would work, here and on an interface, and what to do where it would not.

use std::io::{self, Write};

use rxdp_loader::sys::Linux;
use rxdp_netlink::blocking;
use serde::Serialize;

use crate::args::Doctor;
use crate::doctor::{self, Finding, State};
use crate::error::Failure;
use crate::report;

/// What scripts see.
#[derive(Debug, Serialize)]
struct Report<'a> {
    interface: Option<&'a str>,
    ok: bool,
    /// The code that the main job would end with.
    exit: u8,
    findings: &'a [Finding],
}

/// Looks at everything, and ends with the code that the main job would end with.
pub(crate) fn run(args: &Doctor) -> Result<(), Failure> {
    let machine = doctor::machine(&Linux);
    let interface = match &args.interface {
        Some(name) => Some(doctor::interface(&Linux, &blocking::Handle::connect()?, name)?),
        None => None,
    };
    let findings = doctor::findings(&machine, interface.as_ref());
    let exit = findings.iter().find_map(|finding| finding.exit);
    let mut out = io::stdout().lock();
    let interface = args.interface.as_deref();
    let written = if args.json {
        let exit = exit.map_or(0, |exit| exit as u8);
        report::json(&mut out, &Report { interface, ok: exit == 0, exit, findings: &findings })
    } else {
        show(&mut out, &findings, exit.is_none(), interface)
    };
    written.and_then(|()| out.flush()).map_err(Failure::Output)?;
    exit.map_or(Ok(()), |exit| Err(Failure::Doctor(exit)))
}

fn show(out: &mut impl Write, findings: &[Finding], ok: bool, interface: Option<&str>) -> io::Result<()> {
    for finding in findings {
        let mark = match finding.state {
            State::Yes => "ok  ",
            State::Hint => "note",
            State::No => "NO  ",
        };
        writeln!(out, "{mark} {:<16} {}", finding.what, finding.says)?;
        finding.cures.iter().try_for_each(|cure| writeln!(out, "     {:<16} to do: {cure}", ""))?;
    }
    let place = interface.map_or("here".to_string(), |name| format!("on {name}"));
    let end = if ok { "would work" } else { "would not work" };
    writeln!(out, "the main job {end} {place}")
}
