//! The main job: load, fill the jump tables, attach, stay, detach.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rxdp_loader::sys::{Kernel, Linux, host};
use rxdp_netlink::{Attachment, Detached, Handle, Link, NetlinkError, XdpMode, XdpState};

use crate::args::Attach;
use crate::commands::status::describe;
use crate::error::Failure;
use crate::job::{self, Loaded};
use crate::record::Recording;
use crate::report::{self, DetachedEvent};
use crate::stay::{self, Signals, Tracing};

/// Runs until something ends the stay.
pub(crate) fn run(args: &Attach) -> Result<(), Failure> {
    let runtime = stay::runtime()?;
    let Some(file) = &args.record else {
        return runtime.block_on(job(args, &Linux, None));
    };
    let recording = Recording::create(file)?;
    let result = runtime.block_on(job(args, recording.kernel(), Some(&recording)));
    let written = recording.write();
    result.and(written)
}

async fn job<K: Kernel>(args: &Attach, kernel: &K, recording: Option<&Recording>) -> Result<(), Failure> {
    let object = args.object().display().to_string();
    let machine = host::machine();
    let linked = job::read(args.object(), &args.reading, &machine)?;
    let wishes = job::wishes(&linked, &object, args)?;
    let mut signals = Signals::new()?;
    // When the interface is looked at while waiting depends on the moment, so that is not recorded.
    let watcher = Handle::connect()?;
    let netlink = recording.map_or_else(|| watcher.clone(), |recording| recording.observe(&watcher));
    let link = netlink.link_by_name(args.interface()).await?;
    if let Some(recording) = recording {
        recording.name_interface(link.ifindex, &link.name);
    }
    let mut tracing = if args.trace { Some(Tracing::start()?) } else { None };
    let mut loaded = job::load(kernel, linked, &object, &machine, wishes)?;
    let job = Job { args, kernel, recording, object: &object, netlink: &netlink, link: &link };
    let attachment = match job.go_live(&loaded).await {
        Ok(attachment) => attachment,
        Err(failure) => {
            loaded.object.unpin(kernel);
            return Err(failure);
        }
    };
    if args.pin.is_some() {
        attachment.leave();
        return Ok(());
    }
    let reason = tokio::select! {
        signal = signals.next() => signal,
        () = stay::after(args.stay_for) => "time is up",
        gone = watcher.wait_gone(link.ifindex) => { gone?; "interface gone" }
        shown = stay::show(tracing.as_mut()) => { shown?; "end of trace output" }
    };
    let detached = attachment.detach().await?;
    farewell(args, kernel, &detached, reason)
}

/// What attaching needs.
struct Job<'a, K> {
    args: &'a Attach,
    kernel: &'a K,
    recording: Option<&'a Recording>,
    object: &'a str,
    netlink: &'a Handle,
    link: &'a Link,
}

impl<K: Kernel> Job<'_, K> {
    /// Attaches what is loaded, and says so. What fails here takes the program off again.
    async fn go_live(&self, loaded: &Loaded) -> Result<Attachment, Failure> {
        let failed = |error| Failure::object(self.object, error);
        if let Some(program) = loaded.object.program_by_id(loaded.entry) {
            self.name_program(program.as_fd(), &program.name);
            if self.args.pin.is_some() {
                let born = program.info(self.kernel).map_err(failed)?.load_time;
                loaded.object.mark_pins(self.kernel, born).map_err(failed)?;
            }
        }
        let attachment = self.attach(loaded).await?;
        if let Some(fd) = attachment.program() {
            let name = loaded.object.program_by_id(loaded.entry).map_or("?", |program| &program.name);
            self.name_program(fd, name);
        }
        self.announce(&attachment, loaded)?;
        Ok(attachment)
    }

    fn name_program(&self, fd: BorrowedFd<'_>, name: &str) {
        if let Some(recording) = self.recording {
            recording.name_program(fd, name);
        }
    }

    async fn attach(&self, loaded: &Loaded) -> Result<Attachment, Failure> {
        let Self { args, kernel, netlink, link, .. } = *self;
        let name_the_owner = |error| name_the_owner(kernel, error);
        let program = loaded.object.program_by_id(loaded.entry);
        let Some(program) = program else {
            return Err(Failure::NoEntry { object: self.object.to_string(), there_are: String::new() });
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
            let (interface, found) = (args.interface().to_string(), describe(kernel, there.id));
            return Err(Failure::ReplaceOther { interface, expected, found });
        }
        let Ok(old) = kernel.prog_by_id(there.id) else {
            // It went away since we looked; what is there now is for the kernel to say.
            return netlink.hold(link.ifindex, program.as_fd(), there.mode).await.map_err(name_the_owner);
        };
        self.name_program(old.as_fd(), "replaced");
        let replaced = netlink.replace_and_hold(link.ifindex, program.as_fd(), old.as_fd(), there.mode).await;
        replaced.map_err(name_the_owner)
    }

    fn announce(&self, attachment: &Attachment, loaded: &Loaded) -> Result<(), Failure> {
        let (args, link) = (self.args, self.link);
        if args.quiet {
            return Ok(());
        }
        let mode = attachment.mode().to_string();
        let report = report::attached(self.kernel, self.object, (&link.name, link.ifindex), mode, loaded)?;
        let mut out = io::stdout().lock();
        let written = if args.json {
            report::json(&mut out, &report)
        } else {
            let end = outlook(args);
            report::show(&mut out, &report, loaded, args.verbose).and_then(|()| writeln!(out, "{end}"))
        };
        written.and_then(|()| out.flush()).map_err(Failure::Output)
    }
}

/// What comes next, in words.
fn outlook(args: &Attach) -> String {
    match (&args.pin, args.stay_for) {
        (Some(dir), _) => {
            let (dir, interface) = (dir.display(), args.interface());
            format!("pinned under {dir}, and stays; `rxdp-load unload {interface}` takes all of it away")
        }
        (None, Some(time)) => format!("staying for {}; Ctrl-C detaches", humantime::format_duration(time)),
        (None, None) => "staying; Ctrl-C detaches".to_string(),
    }
}

/// Says whose program is in the way, and how to take its place.
fn name_the_owner(kernel: &impl Kernel, error: NetlinkError) -> Failure {
    let mut owner = None;
    if let NetlinkError::Occupied { found, .. } | NetlinkError::ModeConflict { found, .. } = &error {
        owner = owners(kernel, found, true);
    }
    if let NetlinkError::HeldByLink { found, .. } | NetlinkError::NotExpected { found, .. } = &error {
        owner = owners(kernel, found, false);
    }
    Failure::Netlink { source: Box::new(error), owner }
}

fn owners(kernel: &impl Kernel, found: &XdpState, replaceable: bool) -> Option<String> {
    let programs: Vec<String> = found.programs.iter().map(|p| describe(kernel, p.id)).collect();
    let first = found.programs.first()?;
    let cure =
        if replaceable { format!("; take its place with --replace={}", first.id) } else { String::new() };
    Some(format!("in the way: {}{cure}", programs.join(" and ")))
}

fn farewell(args: &Attach, kernel: &impl Kernel, detached: &Detached, reason: &str) -> Result<(), Failure> {
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
            format!("left {interface} alone: somebody else attached {} ({reason})", describe(kernel, *id))
        }
        Detached::NotOurs { current: None } => {
            format!("left {interface} alone: somebody else detached our program ({reason})")
        }
        Detached::InterfaceGone => format!("{interface} is gone, and our program with it"),
    };
    writeln!(out, "{words}").map_err(Failure::Output)
}
