//! The main job: load, fill the jump tables, attach, stay, detach.

use std::io::{self, Write};
use std::os::fd::AsFd;

use rxdp_loader::sys::{Kernel, Linux, host};
use rxdp_netlink::{Attachment, Detached, Handle, Link, NetlinkError, XdpMode, XdpState};

use crate::args::Attach;
use crate::commands::status::describe;
use crate::error::Failure;
use crate::job::{self, Loaded};
use crate::report::{self, DetachedEvent};
use crate::stay::{self, Signals, Tracing};

/// Runs until something ends the stay.
pub(crate) fn run(args: &Attach) -> Result<(), Failure> {
    stay::runtime()?.block_on(job(args))
}

async fn job(args: &Attach) -> Result<(), Failure> {
    let object = args.object().display().to_string();
    let machine = host::machine();
    let linked = job::read(args.object(), &args.choices.reading, &machine)?;
    let wishes = job::wishes(&linked, &object, &args.choices)?;
    let mut signals = Signals::new()?;
    let netlink = Handle::connect()?;
    let link = netlink.link_by_name(args.interface()).await?;
    let loaded = job::load(linked, &object, &machine, wishes)?;
    let mut tracing = if args.trace { Some(Tracing::start()?) } else { None };

    let attachment = attach(&netlink, &link, &loaded, args).await?;
    announce(args, &object, &link, &attachment, &loaded)?;
    let reason = tokio::select! {
        signal = signals.next() => signal,
        () = stay::after(args.stay_for) => "time is up",
        gone = netlink.wait_gone(link.ifindex) => { gone?; "interface gone" }
        shown = stay::show(tracing.as_mut()) => { shown?; "end of trace output" }
    };
    let detached = attachment.detach().await?;
    farewell(args, &detached, reason)
}

async fn attach(
    netlink: &Handle,
    link: &Link,
    loaded: &Loaded,
    args: &Attach,
) -> Result<Attachment, Failure> {
    let program = loaded.object.program_by_id(loaded.entry);
    let Some(program) = program else {
        return Err(Failure::NoEntry {
            object: args.object().display().to_string(),
            there_are: String::new(),
        });
    };
    let Some(replace) = args.replace else {
        return netlink.hold(link.ifindex, program.as_fd(), args.mode).await.map_err(name_the_owner);
    };
    let state = netlink.query(link.ifindex).await?;
    let Some(there) = state.programs.iter().find(|p| args.mode == XdpMode::Auto || p.mode == args.mode)
    else {
        if let Some(expected) = replace {
            let (interface, found) = (args.interface().to_string(), state.to_string());
            return Err(Failure::ReplaceOther { interface, expected, found });
        }
        return netlink.hold(link.ifindex, program.as_fd(), args.mode).await.map_err(name_the_owner);
    };
    if let Some(expected) = replace.filter(|expected| *expected != there.id) {
        let (interface, found) = (args.interface().to_string(), describe(there.id));
        return Err(Failure::ReplaceOther { interface, expected, found });
    }
    let Ok(old) = Linux.prog_by_id(there.id) else {
        // It went away since we looked; what is there now is for the kernel to say.
        return netlink.hold(link.ifindex, program.as_fd(), there.mode).await.map_err(name_the_owner);
    };
    let replaced = netlink.replace_and_hold(link.ifindex, program.as_fd(), old.as_fd(), there.mode).await;
    replaced.map_err(name_the_owner)
}

/// Says whose program is in the way, and how to take its place.
fn name_the_owner(error: NetlinkError) -> Failure {
    let mut owner = None;
    if let NetlinkError::Occupied { found, .. } | NetlinkError::ModeConflict { found, .. } = &error {
        owner = owners(found, true);
    }
    if let NetlinkError::HeldByLink { found, .. } | NetlinkError::NotExpected { found, .. } = &error {
        owner = owners(found, false);
    }
    Failure::Netlink { source: Box::new(error), owner }
}

fn owners(found: &XdpState, replaceable: bool) -> Option<String> {
    let programs: Vec<String> = found.programs.iter().map(|p| describe(p.id)).collect();
    let first = found.programs.first()?;
    let cure =
        if replaceable { format!("; take its place with --replace={}", first.id) } else { String::new() };
    Some(format!("in the way: {}{cure}", programs.join(" and ")))
}

fn announce(
    args: &Attach,
    object: &str,
    link: &Link,
    attachment: &Attachment,
    loaded: &Loaded,
) -> Result<(), Failure> {
    if args.quiet {
        return Ok(());
    }
    let mode = attachment.mode().to_string();
    let report = report::attached(object, (&link.name, link.ifindex), mode, loaded)?;
    let mut out = io::stdout().lock();
    let written = if args.json {
        report::json(&mut out, &report)
    } else {
        let until = match args.stay_for {
            Some(time) => format!("staying for {}; Ctrl-C detaches", humantime::format_duration(time)),
            None => "staying; Ctrl-C detaches".to_string(),
        };
        report::show(&mut out, &report, loaded, args.verbose).and_then(|()| writeln!(out, "{until}"))
    };
    written.and_then(|()| out.flush()).map_err(Failure::Output)
}

fn farewell(args: &Attach, detached: &Detached, reason: &str) -> Result<(), Failure> {
    if args.quiet {
        return Ok(());
    }
    let interface = args.interface();
    let mut out = io::stdout().lock();
    if args.json {
        let event = DetachedEvent { event: "detached", interface, reason };
        return report::json(&mut out, &event).map_err(Failure::Output);
    }
    let words = match detached {
        Detached::Ours => format!("detached from {interface} ({reason})"),
        Detached::NotOurs { current: Some(id) } => {
            format!("left {interface} alone: somebody else attached {} ({reason})", describe(*id))
        }
        Detached::NotOurs { current: None } => {
            format!("left {interface} alone: somebody else detached our program ({reason})")
        }
        Detached::InterfaceGone => format!("{interface} is gone, and our program with it"),
    };
    writeln!(out, "{words}").map_err(Failure::Output)
}
