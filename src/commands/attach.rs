//! The main job: load, fill the jump tables, attach, stay, detach.

use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rxdp_dispatcher::change::Added;
use rxdp_loader::features::Machine;
use rxdp_loader::load::{self, LoadError, MadePin};
use rxdp_loader::spec::section::SectionFlags;
use rxdp_loader::sys::{Bpffs, Kernel, Linux, Named, host};
use rxdp_loader::uapi::ProgType;
use rxdp_netlink::{AttachedProgram, Detached, Handle, Link, NetlinkError, XdpMode};

use crate::args::Attach;
use crate::attached::{self, End, Live};
use crate::commands::status::{describe, load_time};
use crate::dispatch::{self, Interface};
use crate::error::Failure;
use crate::fallback::Attempt;
use crate::hold::{self, Hold};
use crate::job::{self, ComponentOf, Loaded, Read, Wishes};
use crate::pins::{self, Predecessor};
use crate::record::Recording;
use crate::report;
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
    let read = || job::read(kernel, &objects, &args.choices.reading, &machine);
    let wishes = |read: &Read| job::wishes(read, &object, &args.choices)?.with_pins(args.pin.as_deref());
    let mut first = read()?;
    let mut wished = wishes(&first)?;
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
        machine: &machine,
        link,
        replace: if args.upgrade { Some(None) } else { args.replace },
        attempt: Attempt::first(args.mode),
    };
    let old = job.pins_in_the_way().await?;
    let mut upgrade = match &old {
        Some(pins) if args.upgrade => job.carry_over(&first, &wished, pins)?,
        _ => Upgrade::default(),
    };
    first.maps = mem::take(&mut upgrade.kept);
    wished.options.reused = first.maps.keys().copied().collect();
    let predecessor = old.as_ref().map(|pins| job.make_room(pins)).transpose()?;
    let mut next = Some((first, wished));
    let (loaded, live) = loop {
        let (read, wished) = match next.take() {
            Some(both) => both,
            None => again(&job.attempt, &read, &wishes)?,
        };
        let NotLive { failure, frags } = match job.bring(read, wished, &mut upgrade).await {
            Ok(both) => break both,
            Err(not) => not,
        };
        if failure.is_about_a_place_taken() && job.finds_a_dispatcher().await? {
            continue;
        }
        let next = frags.and_then(|frags| job.attempt.next(&args.fallback, &failure, frags));
        job.attempt = next.ok_or(failure)?;
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
        Live::Alone(hold) => End::Alone(hold.detach(&netlink).await?),
        Live::Component(id) => job.part(id)?,
    };
    attached::farewell(args, kernel, &job.link.name, &end, reason)
}

/// Why nothing is attached.
struct NotLive {
    failure: Failure,
    /// Whether the program takes fragments, if it was loaded.
    frags: Option<bool>,
}

impl From<Failure> for NotLive {
    fn from(failure: Failure) -> Self {
        Self { failure, frags: None }
    }
}

/// The object once more, as the next attempt wants it.
fn again(
    attempt: &Attempt,
    read: &dyn Fn() -> Result<Read, Failure>,
    wishes: &dyn Fn(&Read) -> Result<Wishes, Failure>,
) -> Result<(Read, Wishes), Failure> {
    let mut read = read()?;
    if attempt.frags {
        take_fragments(&mut read);
    }
    let wished = wishes(&read)?;
    Ok((read, wished))
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
    machine: &'a Machine,
    link: Link,
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
    fn carry_over(&self, read: &Read, wishes: &Wishes, old: &OldPins) -> Result<Upgrade, Failure> {
        let dir = self.args.pin.as_deref().unwrap_or(Path::new("")).display().to_string();
        if old.here.is_empty() {
            let (interface, found) = (self.link.name.clone(), describe(self.kernel, old.program));
            return Err(Failure::UpgradeOther { interface, found, dir });
        }
        let machine = load::machine_for(self.kernel, &read.object, self.machine, &wishes.options);
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

    /// Loads everything and lets it go live, alone or among others. What fails leaves nothing behind.
    async fn bring(
        &self,
        read: Read,
        wishes: Wishes,
        upgrade: &mut Upgrade,
    ) -> Result<(Loaded, Live), NotLive> {
        let Self { args, kernel, .. } = *self;
        let shares = self.is_to_share()?;
        let mut component_of = None;
        if shares {
            let types = args.choices.reading.btf.as_deref().map(job::types).transpose()?;
            let prototype = dispatch::prototype(kernel, &self.link.name)?;
            component_of = Some(ComponentOf { prototype, types });
        }
        let mut loaded = job::load_for(kernel, read, self.object, self.machine, wishes, component_of)?;
        loaded.carried = mem::take(&mut upgrade.carried);
        let live = match (mem::take(upgrade).migrate(&loaded.spec, &loaded.object, kernel), shares) {
            (Err(failure), _) => Err(failure),
            (Ok(()), true) => self.join(&loaded).map(Live::Component),
            (Ok(()), false) => self.go_live(&mut loaded).await.map(Live::Alone),
        };
        match live {
            Ok(live) => Ok((loaded, live)),
            Err(failure) => {
                loaded.object.unpin(kernel);
                Err(NotLive { failure, frags: Some(takes_fragments(&loaded)) })
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
        let added = dispatch::add(
            kernel,
            &self.interface(),
            (&program.name, program.as_fd()),
            slot,
            self.attempt.mode,
        )?;
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
    async fn go_live(&self, loaded: &mut Loaded) -> Result<Hold, Failure> {
        if let Some(program) = loaded.object.program_by_id(loaded.entry) {
            self.name_program(program.as_fd(), &program.name);
        }
        self.mark_pins(loaded)?;
        let (hold, old) = self.attach(loaded).await?;
        self.pin_link(&hold, loaded)?;
        if let Some(fd) = hold.program() {
            let name = loaded.object.program_by_id(loaded.entry).map_or("?", |program| &program.name);
            self.name_program(fd, name);
        }
        match (self.announce(hold.mode(), loaded, None), old) {
            (Ok(()), None) => Ok(hold),
            (Ok(()), Some(old)) => {
                dispatch::forget(self.kernel, &self.interface(), old.id)?;
                Ok(hold)
            }
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
        let Self { args, kernel, netlink, ref link, .. } = *self;
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
        let place = (link.name.as_str(), link.ifindex);
        let mut report = report::attached(self.kernel, self.object, place, mode.to_string(), loaded)?;
        report.fallback = self.attempt.notes(mode);
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
