//! The main job: load, fill the jump tables, attach, stay, detach.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rxdp_loader::sys::{Kernel, Linux, host};
use rxdp_netlink::{AttachedProgram, Attachment, Detached, Handle, Link, NetlinkError, XdpMode, XdpState};

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
        never = stay::show_or_warn(tracing.as_mut(), args.json) => match never {},
    };
    let detached = attachment.detach().await?;
    farewell(args, &link.name, &detached, reason)
}

async fn attach(
    netlink: &Handle,
    link: &Link,
    loaded: &Loaded,
    args: &Attach,
) -> Result<Attachment, Failure> {
    let program = loaded.entry_program(args.object())?.as_fd();
    let attached = match to_replace(netlink, link, args).await? {
        Some((old, mode)) => netlink.replace_and_hold(link.ifindex, program, old.as_fd(), mode).await,
        None => netlink.hold(link.ifindex, program, args.mode).await,
    };
    attached.map_err(name_the_owner)
}

/// The program whose place is to be taken, and its mode; `None` if there is none, so that a plain attach will do.
async fn to_replace(
    netlink: &Handle,
    link: &Link,
    args: &Attach,
) -> Result<Option<(OwnedFd, XdpMode)>, Failure> {
    let Some(expected) = args.replace else {
        return Ok(None);
    };
    let state = netlink.query(link.ifindex).await?;
    let in_mode = |p: &&AttachedProgram| args.mode == XdpMode::Auto || p.mode == args.mode;
    let there = match expected {
        Some(id) => state.programs.iter().find(|p| p.id == id),
        None => state.programs.iter().find(in_mode).or_else(|| state.programs.first()),
    };
    let interface = link.name.clone();
    match (there, expected) {
        (None, None) => Ok(None),
        (None, Some(expected)) => Err(Failure::ReplaceOther { interface, expected, found: in_words(&state) }),
        (Some(there), _) if !in_mode(&there) => {
            Err(Failure::ReplaceMode { interface, found: there.to_string(), mode: args.mode })
        }
        // One that has just gone leaves its place free; what is there by now is for the kernel to say.
        (Some(there), _) => Ok(Linux.prog_by_id(there.id).ok().map(|old| (old, there.mode))),
    }
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
    let first = found.programs.first()?;
    let cure =
        if replaceable { format!("; take its place with --replace={}", first.id) } else { String::new() };
    Some(format!("in the way: {}{cure}", in_words(found)))
}

/// The programs of an interface, by name.
fn in_words(state: &XdpState) -> String {
    let programs: Vec<String> = state.programs.iter().map(|p| describe(p.id)).collect();
    if programs.is_empty() { "no program".to_string() } else { programs.join(" and ") }
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

fn farewell(args: &Attach, interface: &str, detached: &Detached, reason: &str) -> Result<(), Failure> {
    if args.quiet {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    if args.json {
        let left_alone = match detached {
            Detached::Ours | Detached::InterfaceGone => None,
            Detached::NotOurs { current: Some(_) } => Some("somebody replaced our program"),
            Detached::NotOurs { current: None } => Some("somebody detached our program"),
        };
        let event = DetachedEvent { event: "detached", interface, reason, left_alone };
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
        Detached::InterfaceGone => {
            format!("{interface} is gone: deleted with our program, or moved away with it")
        }
    };
    writeln!(out, "{words}").map_err(Failure::Output)
}
