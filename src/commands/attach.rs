//! The main job: load, fill the jump tables, attach, stay, detach.

use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rxdp_loader::features::Machine;
use rxdp_loader::load::{self, LoadError, MadePin};
use rxdp_loader::spec::section::SectionFlags;
use rxdp_loader::sys::{Bpffs, Kernel, Linux, Named, host};
use rxdp_loader::uapi::ProgType;
use rxdp_netlink::{AttachedProgram, Detached, Handle, Link, XdpMode};

use crate::args::Attach;
use crate::commands::status::{describe, load_time};
use crate::error::Failure;
use crate::fallback::Attempt;
use crate::hold::{self, Hold};
use crate::job::{self, Loaded, Read, Wishes};
use crate::pins::{self, Predecessor};
use crate::record::Recording;
use crate::report::{self, DetachedEvent};
use crate::scene::{self, Wanted, in_words};
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
    let link = match netlink.link_by_name(args.interface()).await {
        Ok(link) => link,
        Err(error) => {
            return Err(scene::explain(kernel, &netlink, &Link::default(), Wanted::default(), error).await);
        }
    };
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
        attempt: Attempt::first(args.mode),
    };
    let old = job.pins_in_the_way().await?;
    let mut upgrade = match &old {
        Some(pins) if args.upgrade => job.carry_over(&read, &wishes, &machine, pins)?,
        _ => Upgrade::default(),
    };
    read.maps = mem::take(&mut upgrade.kept);
    wishes.options.reused = read.maps.keys().copied().collect();
    let predecessor = old.as_ref().map(|pins| job.make_room(pins)).transpose()?;
    let (loaded, hold) = loop {
        let mut loaded = job::load(kernel, read, &object, &machine, wishes)?;
        loaded.carried = mem::take(&mut upgrade.carried);
        let filled = mem::take(&mut upgrade).migrate(&loaded.spec, &loaded.object, kernel);
        let live = match filled {
            Ok(()) => job.go_live(&mut loaded).await,
            Err(failure) => Err(failure),
        };
        let failure = match live {
            Ok(hold) => break (loaded, hold),
            Err(failure) => failure,
        };
        loaded.object.unpin(kernel);
        let Some(next) = job.attempt.next(&args.fallback, &failure, takes_fragments(&loaded)) else {
            return Err(failure);
        };
        read = job::read(kernel, &objects, &args.choices.reading, &machine)?;
        if next.frags {
            take_fragments(&mut read);
        }
        wishes = job::wishes(&read, &object, &args.choices)?.with_pins(args.pin.as_deref())?;
        job.attempt = next;
    };
    if let Some(dir) = &args.pin {
        hold.leave();
        return job.take_over(predecessor, &loaded, dir);
    }
    let reason = tokio::select! {
        signal = signals.next() => signal,
        () = stay::after(args.stay_for) => "time is up",
        gone = watcher.wait_gone(link.ifindex) => { gone?; "interface gone" }
        never = stay::show_or_warn(tracing.as_mut(), args.json) => match never {},
    };
    let detached = hold.detach(&netlink).await?;
    farewell(args, kernel, &link.name, &detached, reason)
}

/// Has every XDP program loaded as one whose section is `xdp.frags`: a jump table takes only programs that agree. Here
/// programs whose section says nothing are XDP programs.
fn take_fragments(read: &mut Read) {
    let programs = read.object.spec.programs.iter_mut();
    for program in programs.filter(|program| program.kind.ty.is_none_or(|ty| ty == ProgType::XDP)) {
        program.kind.flags.insert(SectionFlags::XDP_FRAGS);
    }
}

/// Whether the entry program takes packets in fragments.
fn takes_fragments(loaded: &Loaded) -> bool {
    let program = loaded.spec.program(loaded.entry);
    program.is_some_and(|program| program.kind.flags.contains(SectionFlags::XDP_FRAGS))
}

/// The name of a pinned link.
const LINK_PIN: &str = "xdp_link";

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
    /// How it is attached: as the user said, or as `--fallback` goes on.
    attempt: Attempt,
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
        read: &Read,
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
    async fn go_live(&self, loaded: &mut Loaded) -> Result<Hold, Failure> {
        let failed = |error| Failure::object(self.object, error);
        if let Some(program) = loaded.object.program_by_id(loaded.entry) {
            self.name_program(program.as_fd(), &program.name);
            if self.args.pin.is_some() {
                let born = program.info(self.kernel).map_err(failed)?.load_time;
                loaded.object.mark_pins(self.kernel, born).map_err(failed)?;
            }
        }
        let (hold, old) = self.attach(loaded).await?;
        self.pin_link(&hold, loaded)?;
        if let Some(fd) = hold.program() {
            let name = loaded.object.program_by_id(loaded.entry).map_or("?", |program| &program.name);
            self.name_program(fd, name);
        }
        match (self.announce(&hold, loaded), old) {
            (Ok(()), _) => Ok(hold),
            (Err(failure), None) => Err(failure),
            (Err(failure), Some(old)) => {
                self.give_back(hold, &old).await;
                Err(failure)
            }
        }
    }

    /// Puts the program that was replaced into its place again; if that fails, ours is taken off all the same.
    async fn give_back(&self, hold: Hold, old: &Old) {
        let Some(ours) = hold.program() else {
            return;
        };
        let back = self.netlink.replace(self.link.ifindex, old.fd.as_fd(), ours, hold.mode()).await;
        if back.is_ok() {
            hold.leave();
        }
    }

    fn name_program(&self, fd: BorrowedFd<'_>, name: &str) {
        if let Some(recording) = self.recording {
            recording.name_program(fd, name);
        }
    }

    /// Attaches the entry program; what it replaced comes along.
    async fn attach(&self, loaded: &Loaded) -> Result<(Hold, Option<Old>), Failure> {
        let Self { args, kernel, netlink, link, .. } = *self;
        let program = loaded.entry_program(args.object())?;
        let (fd, mode) = (program.as_fd(), self.attempt.mode);
        let old = self.to_replace().await?;
        let attached = match &old {
            _ if args.bpf_link => {
                let program = Named { name: &program.name, fd };
                hold::link(kernel, netlink, link.ifindex, program, mode).await
            }
            Some(old) => {
                self.name_program(old.fd.as_fd(), "replaced");
                netlink.replace_and_hold(link.ifindex, fd, old.fd.as_fd(), old.mode).await.map(Hold::Netlink)
            }
            None => netlink.hold(link.ifindex, fd, mode).await.map(Hold::Netlink),
        };
        match attached {
            Ok(attached) => Ok((attached, old)),
            Err(error) => {
                let wanted = Wanted { frags: takes_fragments(loaded), by_link: args.bpf_link };
                Err(scene::explain(kernel, netlink, link, wanted, error).await)
            }
        }
    }

    /// With `--pin`, the link gets a name beside those of the programs, by which it stays.
    fn pin_link(&self, hold: &Hold, loaded: &mut Loaded) -> Result<(), Failure> {
        let (Some(link), Some(dir)) = (hold.link(), &self.args.pin) else {
            return Ok(());
        };
        let path = dir.join(LINK_PIN);
        let failed = |errno| Failure::PinLink { path: path.clone(), errno };
        self.kernel.obj_pin(Named { name: LINK_PIN, fd: link }, &path).map_err(failed)?;
        loaded.object.pins.push(MadePin { path: path.clone(), is_dir: false, shared: false });
        let program = loaded.entry_program(self.args.object())?.info(self.kernel);
        let born = program.map_err(|error| Failure::object(self.object, error))?.load_time;
        self.kernel.bpffs(Bpffs::Mark(&path, born)).map(drop).map_err(failed)
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

    fn announce(&self, hold: &Hold, loaded: &Loaded) -> Result<(), Failure> {
        let (args, link) = (self.args, self.link);
        if args.quiet {
            return Ok(());
        }
        let mode = hold.mode();
        let place = (link.name.as_str(), link.ifindex);
        let mut report = report::attached(self.kernel, self.object, place, mode.to_string(), loaded)?;
        report.fallback = self.attempt.notes(mode);
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
