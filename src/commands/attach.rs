//! The main job: load, fill the jump tables, attach, stay, detach.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rxdp_dispatcher::change::Added;
use rxdp_loader::features::Machine;
use rxdp_loader::sys::{Kernel, Linux, host};
use rxdp_netlink::{AttachedProgram, Attachment, Detached, Handle, Link, NetlinkError, XdpMode, XdpState};

use crate::args::Attach;
use crate::attached::{self, End, Live};
use crate::commands::status::{describe, load_time};
use crate::dispatch::{self, Interface};
use crate::error::Failure;
use crate::job::{self, ComponentOf, Loaded, Read, Wishes};
use crate::pins::Predecessor;
use crate::record::Recording;
use crate::report;
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
    let objects = args.objects();
    let object = job::title(&objects);
    let machine = host::machine();
    let read = || job::read(kernel, &objects, &args.choices.reading, &machine);
    let wishes = |read: &Read| job::wishes(read, &object, &args.choices)?.with_pins(args.pin.as_deref());
    let first = read()?;
    let wished = wishes(&first)?;
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
        machine: &machine,
        link,
        replace: args.replace,
    };
    let predecessor = job.make_room().await?;
    let (loaded, live) = match job.bring(first, wished).await {
        Err(failure) if failure.is_about_a_place_taken() && job.finds_a_dispatcher().await? => {
            let second = read()?;
            let wished = wishes(&second)?;
            job.bring(second, wished).await?
        }
        result => result?,
    };
    if let Some(dir) = &args.pin {
        live.leave();
        return job.take_over(predecessor, &loaded, dir);
    }
    let reason = tokio::select! {
        signal = signals.next() => signal,
        () = stay::after(args.stay_for) => "time is up",
        gone = watcher.wait_gone(job.link.ifindex) => { gone?; "interface gone" }
        never = stay::show_or_warn(tracing.as_mut(), args.json) => match never {},
    };
    let end = match live {
        Live::Alone(attachment) => End::Alone(attachment.detach().await?),
        Live::Component(id) => job.part(id)?,
    };
    attached::farewell(args, kernel, &job.link.name, &end, reason)
}

/// What attaching needs.
struct Job<'a, K> {
    args: &'a Attach,
    kernel: &'a K,
    recording: Option<&'a Recording>,
    object: &'a str,
    netlink: &'a Handle,
    machine: &'a Machine,
    link: Link,
    /// What `--replace` says, and with `--pin` the program that it was found to mean.
    replace: Option<Option<u32>>,
}

/// A program whose place is to be taken.
struct Old {
    id: u32,
    fd: OwnedFd,
    mode: XdpMode,
}

impl<'a, K: Kernel> Job<'a, K> {
    /// The pins of the program that is to be replaced give way to ours. From here on no other program is meant.
    async fn make_room(&mut self) -> Result<Option<Predecessor<'a, K>>, Failure> {
        let (Some(dir), Some(_)) = (&self.args.pin, self.replace) else {
            return Ok(None);
        };
        let Some(old) = self.to_replace().await? else {
            return Ok(None);
        };
        self.replace = Some(Some(old.id));
        let time = load_time(self.kernel, old.id);
        time.map(|time| Predecessor::make_room(self.kernel, time, dir)).transpose()
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

    /// Loads everything and lets it go live, alone or among others. What fails leaves nothing behind.
    async fn bring(&self, read: Read, wishes: Wishes) -> Result<(Loaded, Live), Failure> {
        let Self { args, kernel, .. } = *self;
        let shares = self.is_to_share()?;
        let mut component_of = None;
        if shares {
            let types = args.choices.reading.btf.as_deref().map(job::types).transpose()?;
            let prototype = dispatch::prototype(kernel, &self.link.name)?;
            component_of = Some(ComponentOf { prototype, types });
        }
        let mut loaded = job::load_for(kernel, read, self.object, self.machine, wishes, component_of)?;
        let live = match shares {
            true => self.join(&loaded).map(Live::Component),
            false => self.go_live(&loaded).await.map(Live::Alone),
        };
        match live {
            Ok(live) => Ok((loaded, live)),
            Err(failure) => {
                loaded.object.unpin(kernel);
                Err(failure)
            }
        }
    }

    /// Looks at the interface again: whether somebody has brought a dispatcher meanwhile, which we can join.
    async fn finds_a_dispatcher(&mut self) -> Result<bool, Failure> {
        self.link = self.netlink.link(self.link.ifindex).await?;
        self.is_to_share()
    }

    /// Whether our program is to be called by a dispatcher.
    fn is_to_share(&self) -> Result<bool, Failure> {
        let Self { args, kernel, link, .. } = self;
        if args.mode == XdpMode::Offload && args.sharing.is_asked_for() {
            let why = "a card runs one program, and no dispatcher".to_string();
            return Err(Failure::Option { option: "--mode", given: args.mode.to_string(), why });
        }
        let alone = args.mode == XdpMode::Offload || self.replace.is_some();
        Ok(!alone && dispatch::is_wanted(*kernel, &args.sharing, link)?)
    }

    /// Adds what is loaded to the programs of the interface, and says so. Gives the id of our program.
    fn join(&self, loaded: &Loaded) -> Result<u32, Failure> {
        let Self { args, kernel, .. } = *self;
        let slot = dispatch::slot(loaded, self.object, &args.sharing)?;
        let program = loaded.entry_program(args.object())?;
        self.mark_pins(loaded)?;
        let added =
            dispatch::add(kernel, &self.interface(), (&program.name, program.as_fd()), slot, args.mode)?;
        let component = added.dispatcher.components.get(added.place);
        let id = component.map(|component| component.id).unwrap_or_default();
        match self.announce(added.mode, loaded, Some(&added)) {
            Ok(()) => Ok(id),
            Err(failure) => {
                dispatch::remove(kernel, &self.interface(), id)?;
                Err(failure)
            }
        }
    }

    /// Takes our program off, whichever dispatcher calls it by now.
    fn part(&self, id: u32) -> Result<End, Failure> {
        match dispatch::remove(self.kernel, &self.interface(), id) {
            Ok(removed) => Ok(End::Component(removed)),
            Err(Failure::Netlink { source, .. }) if matches!(*source, NetlinkError::InterfaceGone { .. }) => {
                Ok(End::Alone(Detached::InterfaceGone))
            }
            Err(failure) => Err(failure),
        }
    }

    fn interface(&self) -> Interface {
        Interface::of(self.netlink, &self.link.name, self.link.ifindex)
    }

    /// Lets the pins say for which program they were made.
    fn mark_pins(&self, loaded: &Loaded) -> Result<(), Failure> {
        let failed = |error| Failure::object(self.object, error);
        let Some(program) = loaded.object.program_by_id(loaded.entry).filter(|_| self.args.pin.is_some())
        else {
            return Ok(());
        };
        let born = program.info(self.kernel).map_err(failed)?.load_time;
        loaded.object.mark_pins(self.kernel, born).map_err(failed)
    }

    /// Attaches what is loaded, and says so. What fails here takes the program off again, or gives its place back.
    async fn go_live(&self, loaded: &Loaded) -> Result<Attachment, Failure> {
        if let Some(program) = loaded.object.program_by_id(loaded.entry) {
            self.name_program(program.as_fd(), &program.name);
        }
        self.mark_pins(loaded)?;
        let (attachment, old) = self.attach(loaded).await?;
        if let Some(fd) = attachment.program() {
            let name = loaded.object.program_by_id(loaded.entry).map_or("?", |program| &program.name);
            self.name_program(fd, name);
        }
        match (self.announce(attachment.mode(), loaded, None), old) {
            (Ok(()), None) => Ok(attachment),
            (Ok(()), Some(old)) => {
                dispatch::forget(self.kernel, &self.interface(), old.id)?;
                Ok(attachment)
            }
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
        let Self { args, netlink, ref link, .. } = *self;
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
        let Self { args, kernel, netlink, ref link, .. } = *self;
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

    fn announce(
        &self,
        mode: XdpMode,
        loaded: &Loaded,
        added: Option<&Added<XdpMode>>,
    ) -> Result<(), Failure> {
        let (args, link) = (self.args, &self.link);
        if args.quiet {
            return Ok(());
        }
        let mode = mode.to_string();
        let mut report =
            report::attached(self.kernel, self.object, (&link.name, link.ifindex), mode, loaded)?;
        report.dispatcher = added.map(|added| (&added.dispatcher).into());
        let mut out = io::stdout().lock();
        let written = if args.json {
            report::json(&mut out, &report)
        } else {
            let end = outlook(args);
            let place = added.map(|added| dispatch::place_words(added, &link.name));
            report::show(&mut out, &report, loaded, args.verbose)
                .and_then(|()| place.map_or(Ok(()), |place| writeln!(out, "{place}")))
                .and_then(|()| writeln!(out, "{end}"))
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
