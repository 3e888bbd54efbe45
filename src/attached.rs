//! What the main job has attached, alone or among others, and the words for how it ended.

use std::io::{self, Write};

use rxdp_dispatcher::change::Removed;
use rxdp_loader::sys::Kernel;
use rxdp_netlink::Detached;

use crate::args::Attach;
use crate::commands::status::describe;
use crate::error::Failure;
use crate::hold::Hold;
use crate::report::{self, DetachedEvent};

/// What is attached.
#[derive(Debug)]
pub(crate) enum Live {
    /// Our program.
    Alone(Hold),
    /// A dispatcher, which calls our program: the one with this id.
    Component(u32),
}

impl Live {
    /// Stays attached when this process ends.
    pub(crate) fn leave(self) {
        match self {
            Self::Alone(hold) => hold.leave(),
            // Its pins hold it.
            Self::Component(_) => {}
        }
    }
}

/// How it came to an end.
#[derive(Debug)]
pub(crate) enum End {
    /// The program that was alone was to be taken off.
    Alone(Detached),
    /// The program was to be taken off that a dispatcher called.
    Component(Removed),
}

/// Says how it came to an end, and why.
pub(crate) fn farewell(
    args: &Attach,
    kernel: &impl Kernel,
    interface: &str,
    end: &End,
    reason: &str,
) -> Result<(), Failure> {
    if args.quiet {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    if args.json {
        let event = DetachedEvent { event: "detached", interface, reason, left_alone: left_alone(end) };
        return report::json(&mut out, &event).map_err(Failure::Output);
    }
    writeln!(out, "{}", words(kernel, interface, end, reason)).map_err(Failure::Output)
}

/// What somebody else did with our program before.
fn left_alone(end: &End) -> Option<&'static str> {
    match end {
        End::Alone(Detached::NotOurs { current: Some(_) }) | End::Component(Removed::Replaced { .. }) => {
            Some("somebody replaced our program")
        }
        End::Alone(Detached::NotOurs { current: None }) | End::Component(Removed::NotThere) => {
            Some("somebody detached our program")
        }
        End::Alone(Detached::Ours | Detached::InterfaceGone)
        | End::Component(Removed::All | Removed::Others(_)) => None,
    }
}

fn words(kernel: &impl Kernel, interface: &str, end: &End, reason: &str) -> String {
    match end {
        End::Alone(Detached::Ours) | End::Component(Removed::All) => {
            format!("detached from {interface} ({reason})")
        }
        End::Component(Removed::Others(dispatcher)) => {
            let others = dispatcher.components.len();
            format!("detached from {interface}, where {others} more stay ({reason})")
        }
        End::Alone(Detached::NotOurs { current: Some(id) })
        | End::Component(Removed::Replaced { by: id }) => {
            format!("left {interface} alone: somebody else attached {} ({reason})", describe(kernel, *id))
        }
        End::Alone(Detached::NotOurs { current: None }) | End::Component(Removed::NotThere) => {
            format!("left {interface} alone: somebody else detached our program ({reason})")
        }
        End::Alone(Detached::InterfaceGone) => {
            format!("{interface} is gone: deleted with our program, or moved away with it")
        }
    }
}
