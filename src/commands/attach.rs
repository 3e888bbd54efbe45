//! The main job: load, fill the jump tables, attach, stay, detach.

use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rxdp_loader::features::Machine;
use rxdp_loader::load::{self, LoadError};
use rxdp_loader::sys::{Kernel, Linux, host};
use rxdp_netlink::{AttachedProgram, Attachment, Detached, Handle, Link, NetlinkError, XdpMode, XdpState};

use crate::args::Attach;
use crate::commands::status::{describe, load_time};
use crate::error::Failure;
use crate::job::{self, Loaded, Wishes};
use crate::pins::{self, Predecessor};
use crate::record::Recording;
use crate::report::{self, DetachedEvent};
use crate::stay::{self, Signals, Tracing};
use crate::upgrade::{self, Upgrade};

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
    let objects = args.objects();
    let object = job::title(&objects);
    let machine = host::machine();
    let mut read = job::read(kernel, &objects, &args.choices.reading, &machine)?;
    let mut wishes = job::wishes(&read, &object, &args.choices)?.with_pins(args.pin.as_deref())?;
    let mut signals = Signals::new()?;
    // When the interface is looked at while waiting depends on the moment, so that is not recorded.
    let watcher = Handle::connect()?;
    let netlink = recording.map_or_else(|| watcher.clone(), |recording| recording.observe(&watcher));
    let link = netlink.link_by_name(args.interface()).await?;
    if let Some(recording) = recording {
        recording.name_interface(link.ifindex, &link.name);
    }
    let mut tracing = if args.trace { Some(Tracing::start()?) } else { None };
    let mut job = Job {
        args,
        kernel,
        recording,
        object: &object,
        netlink: &netlink,
        link: &link,
        replace: if args.upgrade { Some(None) } else { args.replace },
    };
    let old = job.pins_in_the_way().await?;
    let mut upgrade = match &old {
        Some(pins) if args.upgrade => job.carry_over(&read, &wishes, &machine, pins)?,
        _ => Upgrade::default(),
    };
    read.maps = mem::take(&mut upgrade.kept);
    wishes.options.reused = read.maps.keys().copied().collect();
    let predecessor = old.as_ref().map(|pins| job.make_room(pins)).transpose()?;
    let mut loaded = job::load(kernel, read, &object, &machine, wishes)?;
    loaded.carried = mem::take(&mut upgrade.carried);
    let filled = upgrade.migrate(&loaded.spec, &loaded.object, kernel);
    let live = match filled {
        Ok(()) => job.go_live(&loaded).await,
        Err(failure) => Err(failure),
    };
    let attachment = match live {
        Ok(attachment) => attachment,
        Err(failure) => {
            loaded.object.unpin(kernel);
            return Err(failure);
        }
    };
    if let Some(dir) = &args.pin {
        attachment.leave();
        return job.take_over(predecessor, &loaded, dir);
    }
    let reason = tokio::select! {
        signal = signals.next() => signal,
        () = stay::after(args.stay_for) => "time is up",
        gone = watcher.wait_gone(link.ifindex) => { gone?; "interface gone" }
        never = stay::show_or_warn(tracing.as_mut(), args.json) => match never {},
    };
    let detached = attachment.detach().await?;
    farewell(args, kernel, &link.name, &detached, reason)
}

/// What attaching needs.
struct Job<'a, K> {
    args: &'a Attach,
    kernel: &'a K,
    recording: Option<&'a Recording>,
    object: &'a str,
    netlink: &'a Handle,
    link: &'a Link,
    /// What `--replace` says, and with `--pin` the program that it was found to mean.
    replace: Option<Option<u32>>,
}

/// What was pinned for a program whose place is to be taken.
struct OldPins {
    program: u32,
    load_time: u64,
    /// Those in the directory of `--pin`.
    here: Vec<PathBuf>,
}

/// A program whose place is to be taken.
struct Old {
    id: u32,
    fd: OwnedFd,
    mode: XdpMode,
}

impl<'a, K: Kernel> Job<'a, K> {
    /// The pins of the program that is to be replaced, if ours are to take their place. From here on no other program is
    /// meant.
    async fn pins_in_the_way(&mut self) -> Result<Option<OldPins>, Failure> {
        let (Some(dir), Some(_)) = (&self.args.pin, self.replace) else {
            return Ok(None);
        };
        let Some(old) = self.to_replace().await? else {
            return Ok(None);
        };
        self.replace = Some(Some(old.id));
        let Some(load_time) = load_time(self.kernel, old.id) else {
            return Ok(None);
        };
        Ok(Some(OldPins { program: old.id, load_time, here: pins::made_for(load_time).in_dir(dir) }))
    }

    /// What of the maps of the version before stays.
    fn carry_over(
        &self,
        read: &job::Read,
        wishes: &Wishes,
        machine: &Machine,
        old: &OldPins,
    ) -> Result<Upgrade, Failure> {
        let dir = self.args.pin.as_deref().unwrap_or(Path::new("")).display().to_string();
        if old.here.is_empty() {
            let (interface, found) = (self.link.name.clone(), describe(self.kernel, old.program));
            return Err(Failure::UpgradeOther { interface, found, dir });
        }
        let machine = load::machine_for(self.kernel, &read.object, machine, &wishes.options);
        let planned = job::planned(&read.object, &machine, wishes.clone())
            .map_err(|error| Failure::object(self.object, LoadError::from(error)))?;
        upgrade::decide(&read.object, &planned.plan, &old.here, self.args.on_mismatch)
    }

    /// The pins of the program that is to be replaced give way to ours.
    fn make_room(&self, old: &OldPins) -> Result<Predecessor<'a, K>, Failure> {
        let dir = self.args.pin.as_deref().unwrap_or(Path::new(""));
        Predecessor::make_room(self.kernel, old.load_time, dir)
    }

    /// The pins of the program that was replaced go: ours hold what is attached.
    fn take_over(
        &self,
        predecessor: Option<Predecessor<'_, K>>,
        loaded: &Loaded,
        dir: &Path,
    ) -> Result<(), Failure> {
        let Some(predecessor) = predecessor else {
            return Ok(());
        };
        let failed = |error| Failure::object(self.object, error);
        let ours = loaded.entry_program(self.args.object())?.info(self.kernel).map_err(failed)?;
        let removed = predecessor.remove(ours.load_time, dir)?;
        if removed == 0 || self.args.quiet || self.args.json {
            return Ok(());
        }
        writeln!(io::stdout(), "removed the pins of the program that was replaced ({removed})")
            .map_err(Failure::Output)
    }

    /// Attaches what is loaded, and says so. What fails here takes the program off again, or gives its place back.
    async fn go_live(&self, loaded: &Loaded) -> Result<Attachment, Failure> {
        let failed = |error| Failure::object(self.object, error);
        if let Some(program) = loaded.object.program_by_id(loaded.entry) {
            self.name_program(program.as_fd(), &program.name);
            if self.args.pin.is_some() {
                let born = program.info(self.kernel).map_err(failed)?.load_time;
                loaded.object.mark_pins(self.kernel, born).map_err(failed)?;
            }
        }
        let (attachment, old) = self.attach(loaded).await?;
        if let Some(fd) = attachment.program() {
            let name = loaded.object.program_by_id(loaded.entry).map_or("?", |program| &program.name);
            self.name_program(fd, name);
        }
        match (self.announce(&attachment, loaded), old) {
            (Ok(()), _) => Ok(attachment),
            (Err(failure), None) => Err(failure),
            (Err(failure), Some(old)) => {
                self.give_back(attachment, &old).await;
                Err(failure)
            }
        }
    }

    /// Puts the program that was replaced into its place again; if that fails, ours is taken off all the same.
    async fn give_back(&self, attachment: Attachment, old: &Old) {
        let Some(ours) = attachment.program() else {
            return;
        };
        let back = self.netlink.replace(self.link.ifindex, old.fd.as_fd(), ours, attachment.mode()).await;
        if back.is_ok() {
            attachment.leave();
        }
    }

    fn name_program(&self, fd: BorrowedFd<'_>, name: &str) {
        if let Some(recording) = self.recording {
            recording.name_program(fd, name);
        }
    }

    /// Attaches the entry program; what it replaced comes along.
    async fn attach(&self, loaded: &Loaded) -> Result<(Attachment, Option<Old>), Failure> {
        let Self { args, netlink, link, .. } = *self;
        let program = loaded.entry_program(args.object())?.as_fd();
        let old = self.to_replace().await?;
        let attached = match &old {
            Some(old) => {
                self.name_program(old.fd.as_fd(), "replaced");
                netlink.replace_and_hold(link.ifindex, program, old.fd.as_fd(), old.mode).await
            }
            None => netlink.hold(link.ifindex, program, args.mode).await,
        };
        let attached = attached.map_err(|error| name_the_owner(self.kernel, error))?;
        Ok((attached, old))
    }

    /// The program whose place is to be taken; `None` if there is none, so that a plain attach will do.
    async fn to_replace(&self) -> Result<Option<Old>, Failure> {
        let Self { args, kernel, netlink, link, .. } = *self;
        let Some(expected) = self.replace else {
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
            (None, Some(expected)) => {
                Err(Failure::ReplaceOther { interface, expected, found: in_words(kernel, &state) })
            }
            (Some(there), _) if !in_mode(&there) => {
                Err(Failure::ReplaceMode { interface, found: there.to_string(), mode: args.mode })
            }
            // One that has just gone leaves its place free; what is there by now is for the kernel to say.
            (Some(there), _) => {
                let AttachedProgram { id, mode, .. } = *there;
                Ok(kernel.prog_by_id(id).ok().map(|fd| Old { id, fd, mode }))
            }
        }
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
    let first = found.programs.first()?;
    let cure =
        if replaceable { format!("; take its place with --replace={}", first.id) } else { String::new() };
    Some(format!("in the way: {}{cure}", in_words(kernel, found)))
}

/// The programs of an interface, by name.
fn in_words(kernel: &impl Kernel, state: &XdpState) -> String {
    let programs: Vec<String> = state.programs.iter().map(|p| describe(kernel, p.id)).collect();
    if programs.is_empty() { "no program".to_string() } else { programs.join(" and ") }
}

fn farewell(
    args: &Attach,
    kernel: &impl Kernel,
    interface: &str,
    detached: &Detached,
    reason: &str,
) -> Result<(), Failure> {
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
            format!("left {interface} alone: somebody else attached {} ({reason})", describe(kernel, *id))
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
