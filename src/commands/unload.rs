//! Takes the XDP program off an interface, or one of several, whoever put it there, and removes the pins that were made for
//! it.

use std::io::{self, Write};
use std::os::fd::AsFd;

use rxdp_dispatcher::change::Removed;
use rxdp_dispatcher::order::Component;
use rxdp_dispatcher::plan::Dispatcher;
use rxdp_loader::sys::{Kernel, Linux, Named};
use rxdp_loader::uapi::KernelName;
use rxdp_netlink::{Link, NetlinkError, blocking};

use crate::args::Unload;
use crate::commands::status::{describe, load_time};
use crate::dispatch::{self, Interface};
use crate::error::Failure;
use crate::owner;
use crate::pins::{self, Pins};
use crate::scene;

/// Takes off what is attached in any mode, or one program. Nothing to take off is no error.
pub(crate) fn run(args: &Unload) -> Result<(), Failure> {
    let netlink = blocking::Handle::connect()?;
    let link = netlink.link_by_name(&args.interface)?;
    if args.id.is_some() || args.prog.is_some() {
        return one(args, netlink, &link);
    }
    if link.xdp.programs.is_empty() {
        return say(&format!("{} carries no XDP program", link.name));
    }
    let interface = Interface::new(netlink.clone(), &link.name, link.ifindex);
    for program in &link.xdp.programs {
        let dispatcher = dispatch::of(&Linux, link.ifindex, program.id);
        let called: Vec<u32> = dispatcher.iter().flat_map(ids).collect();
        let words: Vec<String> = called.iter().chain([&program.id]).map(|id| describe(&Linux, *id)).collect();
        let pins: Vec<Pins> = called.iter().chain([&program.id]).filter_map(|id| pins_of(*id)).collect();
        let is_pinned = pins.iter().any(|pins| !pins.is_empty());
        let detach = || netlink.detach_any(link.ifindex, program.mode);
        let taken = dispatch::take_off(&Linux, &interface, program.id, || match detach() {
            // Ours to take away, since it was pinned for this program. Removing its pin would detach it some time later.
            Err(NetlinkError::HeldByLink { .. }) if is_pinned => {
                end_links(program.id, link.ifindex);
                detach()
            }
            ended => ended,
        });
        taken.map_err(|failure| with_advice(&link, failure))?;
        for words in words {
            say(&format!("took {words} off {} ({} mode)", link.name, program.mode))?;
        }
        pins.into_iter().try_for_each(unpin)?;
    }
    Ok(())
}

/// What to do about a program that cannot be taken off.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others say what to do themselves")]
fn with_advice(link: &Link, failure: Failure) -> Failure {
    match failure {
        Failure::Netlink { source, .. } => scene::explain_detach(&Linux, link, *source),
        other => other,
    }
}

/// Ends the links that are pinned and hold a program on an interface. What stays is told when it is detached.
fn end_links(program: u32, ifindex: u32) {
    let pins = owner::find(&Linux, program, ifindex).pins;
    for pin in pins.iter().filter(|pin| pin.link.is_some()) {
        let opened = Linux.obj_get(&pin.path);
        let _stays = opened.and_then(|link| Linux.link_detach(Named { name: "link", fd: link.fd.as_fd() }));
    }
}

/// Takes one program off, of those that a dispatcher calls; of one that is alone, that one.
fn one(args: &Unload, netlink: blocking::Handle, link: &Link) -> Result<(), Failure> {
    let interface = link.name.clone();
    let (program, called) = attached(link);
    let id = wanted(args, link, program, called.as_ref())?;
    if called.is_none() && program == Some(id) {
        let whole = Unload { id: None, prog: None, interface };
        return run(&whole);
    }
    let (words, pins) = (describe(&Linux, id), pins_of(id));
    match dispatch::remove(&Linux, &Interface::new(netlink, &interface, link.ifindex), id)? {
        Removed::NotThere | Removed::Replaced { .. } => return Err(not_there(args, link)),
        Removed::Others(left) => {
            let others = left.components.len();
            say(&format!("took {words} off {interface}, where {others} more stay"))?;
        }
        Removed::All => say(&format!("took {words} off {interface}; it was the last"))?,
    }
    pins.map_or(Ok(()), unpin)
}

/// The id of the program that is meant.
fn wanted(
    args: &Unload,
    link: &Link,
    program: Option<u32>,
    called: Option<&Dispatcher>,
) -> Result<u32, Failure> {
    if let Some(id) = args.id {
        return Ok(id);
    }
    let name = args.prog.as_deref().unwrap_or_default();
    let Some(dispatcher) = called else {
        return program.filter(|id| is_called(*id, name)).ok_or_else(|| not_there(args, link));
    };
    let mut found = dispatcher.components.iter().filter(|component: &&Component| component.name == name);
    match (found.next(), found.next()) {
        (Some(component), None) => Ok(component.id),
        (None, _) => Err(not_there(args, link)),
        (Some(_), Some(_)) => Err(Failure::Option {
            option: "--prog",
            given: name.to_string(),
            why: format!("several programs of {} have this name; say which with --id", link.name),
        }),
    }
}

/// Whether a program has this name, of which the kernel knows the beginning.
fn is_called(id: u32, name: &str) -> bool {
    let info = Linux.prog_by_id(id).and_then(|fd| Linux.prog_info(Named { name: "program", fd: fd.as_fd() }));
    info.is_ok_and(|info| info.name == KernelName::of(name).as_str())
}

/// What is attached, and what that calls if it is a dispatcher.
fn attached(link: &Link) -> (Option<u32>, Option<Dispatcher>) {
    let program = dispatch::in_software(&link.xdp).map(|(id, _)| id);
    (program, program.and_then(|id| dispatch::of(&Linux, link.ifindex, id)))
}

fn ids(dispatcher: &Dispatcher) -> impl Iterator<Item = u32> {
    dispatcher.components.iter().map(|component| component.id)
}

fn not_there(args: &Unload, link: &Link) -> Failure {
    let (option, given) = match (&args.id, &args.prog) {
        (Some(id), _) => ("--id", id.to_string()),
        (None, name) => ("--prog", name.clone().unwrap_or_default()),
    };
    let there_are: Vec<String> = match attached(link) {
        (_, Some(dispatcher)) => ids(&dispatcher).map(|id| describe(&Linux, id)).collect(),
        (program, None) => program.iter().map(|id| describe(&Linux, *id)).collect(),
    };
    let there_are = if there_are.is_empty() { "no program".to_string() } else { there_are.join(", ") };
    Failure::Option {
        option,
        given,
        why: format!("{} carries no such program; it carries {there_are}", link.name),
    }
}

/// The pins that `--pin` made for a program.
fn pins_of(id: u32) -> Option<Pins> {
    load_time(&Linux, id).map(pins::made_for)
}

fn unpin(pins: Pins) -> Result<(), Failure> {
    pins.remove(&Linux)?.iter().try_for_each(|path| say(&format!("removed the pin {}", path.display())))
}

fn say(words: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{words}").map_err(Failure::Output)
}
