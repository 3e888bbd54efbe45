//! Where to look: an interface, all of this network namespace, or all of all namespaces.

use rxdp_netlink::{NetlinkError, XdpState, blocking};

use crate::args::Status;
use crate::error::Failure;
use crate::namespaces;

/// What an interface carries, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The network namespace; `None` for ours.
    pub(crate) namespace: Option<String>,
    pub(crate) state: XdpState,
}

/// What was asked about.
pub(crate) fn states(args: &Status) -> Result<Vec<Placed>, Failure> {
    if !args.all_namespaces {
        let states = here(args.interface.as_deref())?;
        return Ok(states.into_iter().map(|state| Placed { namespace: None, state }).collect());
    }
    let mut found = Vec::new();
    let mut missing = None;
    for namespace in namespaces::all() {
        // One that may not be entered, or goes meanwhile, is left out.
        match namespace.inside(|| here(args.interface.as_deref())) {
            Ok(Ok(states)) => {
                let placed = |state| Placed { namespace: namespace.name.clone(), state };
                found.extend(states.into_iter().map(placed));
            }
            Ok(Err(error)) if args.interface.is_some() => missing = Some(error),
            Ok(Err(_)) | Err(_) => {}
        }
    }
    match missing {
        Some(error) if found.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}

fn here(interface: Option<&str>) -> Result<Vec<XdpState>, NetlinkError> {
    let netlink = blocking::Handle::connect()?;
    match interface {
        Some(name) => netlink.link_by_name(name).map(|link| vec![link.xdp]),
        None => netlink.query_all(),
    }
}
