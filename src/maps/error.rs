//! What goes wrong between somebody and a map that somebody else made.

use rxdp_loader::btf::value::Unwritable;
use rxdp_loader::sys::Errno;
use rxdp_loader::uapi::MapType;

use crate::error::Exit;

/// Why a map was not found, read or changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum MapError {
    #[error("there is no map {given:?}; `rxdp-load map list` shows those that there are")]
    NoSuch { given: String },
    #[error("there is no map with id {0}; `rxdp-load map list` shows those that there are")]
    NoId(u32),
    #[error("there is no program {given:?}; give its id, its name, or where it is pinned")]
    NoProgram { given: String },
    #[error("{} {what} are called {given:?}; say by id which is meant: {}", ids.len(), numbers(ids))]
    Several { what: &'static str, given: String, ids: Vec<u32> },
    #[error("{path} is not a directory")]
    NoDirectory { path: String },
    #[error("{path} is on no bpffs, so nothing is pinned below it")]
    NoBpffs { path: String },
    #[error("nothing is pinned at {path}")]
    NotPinned { path: String },
    #[error("what is pinned at {path} is {found}, not {wanted}")]
    OtherPin { path: String, wanted: &'static str, found: &'static str },
    #[error("{what} failed: {errno}{}", why(*.errno, *.because))]
    Refused { what: String, errno: Errno, because: Option<&'static str> },
    #[error("map {map:?} is a {ty}: {why}")]
    NotThis { map: String, ty: MapType, why: &'static str },
    #[error("{what} {given:?} of map {map:?}: {why}")]
    Text { map: String, what: &'static str, given: String, why: String },
    #[error("map {map:?} has no key {given}{}", if *.exists { ": --exists changes only what is there" } else { "" })]
    NoKey { map: String, given: String, exists: bool },
    #[error("map {map:?} is empty")]
    Empty { map: String },
    #[error("map {map:?} has key {given} already: --new puts in only what is not there")]
    KeyThere { map: String, given: String },
    #[error("map {map:?} has {max} entries: keys are 0 to {}, not {given}", max.saturating_sub(1))]
    BeyondEnd { map: String, given: String, max: u32 },
    #[error("map {map:?} takes {takes}; {given} were given")]
    Count { map: String, takes: &'static str, given: usize },
    #[error("map {map:?} has values for CPUs 0 to {}, not for CPU {cpu}", cpus.saturating_sub(1))]
    NoCpu { map: String, cpu: usize, cpus: usize },
    #[error("map {map:?} is a {ty}: all CPUs have the same value, so --cpu means nothing")]
    OneValue { map: String, ty: MapType },
    #[error(
        "map {map:?} has more than {most} entries, more than can be watched; map dump --limit shows some of them"
    )]
    TooMany { map: String, most: usize },
    #[error("map {map:?}: its types (BTF id {id}) cannot be read: {why}; --hex shows bytes")]
    Types { map: String, id: u32, why: String },
}

impl MapError {
    /// What is wrong with a key or value that somebody wrote.
    pub(crate) fn text(map: &str, what: &'static str, given: &str, why: &Unwritable) -> Self {
        // It says itself what was given.
        let why = if let Unwritable::Syntax { why, .. } = why { why.clone() } else { why.to_string() };
        Self::Text { map: map.to_string(), what, given: given.to_string(), why }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        // A reason that is known is not a missing privilege.
        let forbidden =
            matches!(self, Self::Refused { errno: Errno::EPERM | Errno::EACCES, because: None, .. });
        let refused = matches!(self, Self::Refused { .. } | Self::Types { .. });
        match (forbidden, refused) {
            (true, _) => Exit::NotPermitted,
            (false, true) => Exit::Refused,
            (false, false) => Exit::Object,
        }
    }
}

fn numbers(ids: &[u32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn why(errno: Errno, because: Option<&'static str>) -> String {
    match (because, errno) {
        (Some(words), _) => format!(" ({words})"),
        (None, Errno::EPERM) => {
            " (what others loaded is shown to CAP_SYS_ADMIN, that is, to root)".to_string()
        }
        (None, _) => String::new(),
    }
}
