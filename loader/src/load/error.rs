//! What can go wrong below the line, with all that is known about it.

use super::attach::attach_hint;
use super::hints::{
    are_there, hint, license_hint, map_hint, module_hint, of_key, pin_hint, reason, says_unknown,
    why_no_entry, why_not_run,
};
use super::register::register_hint;
use super::{Because, Lack};
use crate::btf::BtfError;
use crate::externs::KconfigError;
use crate::plan::{Demand, MapFault, PlanError};
use crate::sys::{Errno, Log};
use crate::uapi::{MapType, ProgType};
use crate::verifier::Refusal;

/// Why an object could not be loaded.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No call was made: it cannot be loaded on this machine.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The kernel's configuration does not fit a variable of the object.
    #[error(transparent)]
    Kconfig(#[from] KconfigError),
    /// The kernel's types cannot be read.
    #[error("{whose}: {why}")]
    Types {
        /// `vmlinux`, or where they are from.
        whose: String,
        /// Why.
        why: BtfError,
    },
    /// The kernel made no map.
    #[error("map {map:?} ({ty}, key {key_size} bytes, value {value_size} bytes, {max_entries} entries): BPF_MAP_CREATE failed: {errno}{}{}", hint(*.errno, beyond.as_deref()), map_hint(*.errno, *.max_entries, fault.as_deref()))]
    MapCreate {
        /// The map.
        map: String,
        /// Its type.
        ty: MapType,
        /// Bytes of a key.
        key_size: u32,
        /// Bytes of a value.
        value_size: u32,
        /// Most entries.
        max_entries: u32,
        /// What it asks for and this kernel is too old for.
        beyond: Option<Box<Demand>>,
        /// The attribute that its type does not take, if one is known.
        fault: Option<Box<MapFault>>,
        /// Why.
        errno: Errno,
    },
    /// The kernel did not take a map's initial contents, did not freeze it, or did not give its memory.
    #[error("map {map:?}: {command} of its contents failed: {errno}")]
    MapData {
        /// The map.
        map: String,
        /// The command of bpf(2).
        command: &'static str,
        /// Why.
        errno: Errno,
    },
    /// What is to be registered is no table of functions, or not whole.
    #[error("map {map:?} cannot be registered: {why}")]
    NoTable {
        /// The map.
        map: String,
        /// Why.
        why: &'static str,
    },
    /// The kernel did not register a table of functions, or did not take it back.
    #[error("map {map:?}: {command} of the table failed: {errno}{}", register_hint(*errno))]
    Register {
        /// The map.
        map: String,
        /// The command of bpf(2).
        command: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A program cannot be attached, or not to what was given.
    #[error("program {program:?} (section {section:?}) cannot be attached: {why}")]
    NoPlace {
        /// The program.
        program: String,
        /// Its section.
        section: Box<str>,
        /// Why.
        why: String,
    },
    /// The kernel did not attach a program.
    #[error("program {program:?} (section {section:?}): {command} failed: {errno}{}", attach_hint(*.errno, since))]
    Attach {
        /// The program.
        program: String,
        /// Its section.
        section: Box<str>,
        /// The command of bpf(2).
        command: &'static str,
        /// The first Linux with such links.
        since: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A map that something refers to was not made.
    #[error("{what} needs map {map:?}, which could not be created")]
    MapMissing {
        /// What refers to it.
        what: String,
        /// The map.
        map: String,
    },
    /// The kernel did not open a module's types.
    #[error("module {module:?}: its types (BTF) cannot be opened: {errno}{}", module_hint(*errno))]
    ModuleBtf {
        /// The module.
        module: String,
        /// Why.
        errno: Errno,
    },
    /// A step refers to something that no earlier step made: it failed, or the plan is not whole.
    #[error("{what} is needed, but was not loaded")]
    NotInPlan {
        /// What is needed.
        what: String,
    },
    /// The verifier or the kernel refused a program.
    #[error("program {program:?} (section {section:?}, type {ty}): BPF_PROG_LOAD failed: {errno}{}{}", reason(log, because.as_deref(), *.errno, beyond.as_deref()), license_hint(log, *.unlicensed))]
    ProgLoad {
        /// The program.
        program: String,
        /// Its section.
        section: Box<str>,
        /// Its type.
        ty: ProgType,
        /// What it asks for and this kernel is too old for.
        beyond: Option<Box<Demand>>,
        /// Whether nobody says what its license is.
        unlicensed: bool,
        /// Why.
        errno: Errno,
        /// What the verifier wrote.
        log: Log,
        /// More about it, if it could be found out.
        because: Option<Box<Because>>,
    },
    /// Nobody says the program's type, and the kernel takes it as none.
    #[error(
        "program {program:?}: section {section:?} does not say its type, and the kernel takes it as none of those that were tried: give it with --type {program}=TYPE; as the most likely one: {why}"
    )]
    NoTypeFits {
        /// The program.
        program: String,
        /// Its section.
        section: String,
        /// Why the kernel refused it as the most likely type.
        why: Box<Self>,
    },
    /// The kernel did not take an entry of a jump table or of a map of maps.
    #[error("map {map:?}, key {key}: BPF_MAP_UPDATE_ELEM with {value:?} failed: {errno}")]
    Slot {
        /// The map.
        map: String,
        /// The key.
        key: u32,
        /// What was to stand there.
        value: String,
        /// Why.
        errno: Errno,
    },
    /// A slot does not hold what was put there.
    #[error(
        "map {map:?}, key {key}: holds id {found}, not id {expected} of {value:?}: somebody else changed it"
    )]
    SlotReadBack {
        /// The map.
        map: String,
        /// The key.
        key: u32,
        /// What was put there.
        value: String,
        /// Its id.
        expected: u32,
        /// The id that stands there.
        found: u32,
    },
    /// The kernel did not run a program.
    #[error("program {program:?} (type {ty}): BPF_PROG_TEST_RUN with {packet} bytes of packet and {context} bytes of context failed: {errno}{}", why_not_run(*.errno, *.packet))]
    TestRun {
        /// The program.
        program: String,
        /// Its type.
        ty: ProgType,
        /// Bytes of the packet.
        packet: usize,
        /// Bytes of the context.
        context: usize,
        /// Why.
        errno: Errno,
    },
    /// The kernel did not look up, change or walk entries of a map.
    #[error("map {map:?}{}: {command} failed: {errno}{}", of_key(key), why_no_entry(*.errno))]
    Entry {
        /// The map.
        map: String,
        /// The command of bpf(2).
        command: &'static str,
        /// The key; empty if it is about none.
        key: Vec<u8>,
        /// Why.
        errno: Errno,
    },
    /// A key or value of the wrong size: the kernel would read or write beyond it.
    #[error("map {map:?}: a {what} of {given} bytes was given, it takes {expected}")]
    EntrySize {
        /// The map.
        map: String,
        /// `"key"` or `"value"`.
        what: &'static str,
        /// Bytes that were given.
        given: usize,
        /// Bytes that the map takes.
        expected: usize,
    },
    /// A map with one value a CPU was used as if it had one, or the other way round, or with values for other CPUs.
    #[error("map {map:?} is a {ty}: {why}")]
    PerCpu {
        /// The map.
        map: String,
        /// Its type.
        ty: MapType,
        /// What is wrong.
        why: String,
    },
    /// An open map does not fit the object's map that it is to replace.
    #[error(
        "map {map:?}: the open map to be used in its place has {field} {found}, the object needs {expected}"
    )]
    Reuse {
        /// The object's map.
        map: String,
        /// What differs: `type`, `key size` or `value size`.
        field: &'static str,
        /// What the open map has.
        found: String,
        /// What the object's map has.
        expected: String,
    },
    /// The kernel did not say what something is.
    #[error("{what}: {command} failed: {errno}")]
    Info {
        /// What was asked about.
        what: String,
        /// The command of bpf(2).
        command: &'static str,
        /// Why.
        errno: Errno,
    },
    /// Something is pinned where a map wants to be, and is no such map.
    #[error("map {map:?}: what is pinned at {path} cannot be used for it: {}; use another name, or remove that pin", differences.join(", "))]
    PinMismatch {
        /// The map.
        map: String,
        /// Where it wants to be pinned.
        path: String,
        /// What differs, a clause each: `max_entries is 100 in the object and 64 in PATH`.
        differences: Vec<String>,
    },
    /// The kernel did not pin something.
    #[error("{what:?}: BPF_OBJ_PIN at {path} failed: {errno}{}", pin_hint(path, *errno))]
    Pin {
        /// What was to be pinned.
        what: String,
        /// Where.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// What is pinned cannot be opened.
    #[error("map {map:?}: BPF_OBJ_GET of {path} failed: {errno}")]
    PinOpen {
        /// The map.
        map: String,
        /// Where it wants to be pinned.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// A directory for pins cannot be made, looked at or marked.
    #[error("cannot prepare {path} for pins: {errno}{}", pin_hint(path, *errno))]
    PinDir {
        /// The path.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// Pins were asked for where there is no bpffs.
    #[error(
        "pins live on a bpffs, and {path} is on none: choose a directory below /sys/fs/bpf; if it is not mounted, `mount -t bpf bpf /sys/fs/bpf` does it"
    )]
    NotBpffs {
        /// The path.
        path: String,
    },
    /// The names to pin under are taken.
    #[error("{} there already: choose another directory, or remove {}", are_there(paths), if paths.len() == 1 { "it" } else { "them" })]
    PinTaken {
        /// Their paths.
        paths: Vec<String>,
    },
    /// The object has more maps and programs than this process may open files.
    #[error(
        "the object needs {more} descriptors besides the {open} that are open, and the hard limit of open files is {hard}: raise it with `ulimit -Hn {}`", open.saturating_add(*more)
    )]
    TooManyFiles {
        /// How many it needs.
        more: u64,
        /// How many are open.
        open: u64,
        /// RLIMIT_NOFILE's hard limit.
        hard: u64,
    },
}

/// **Bytes** of an Ethernet header, the least that a packet has. Source: `ETH_HLEN`.
pub const ETHERNET_HEADER: usize = 14;

/// Whose fault an error is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// The object's, or the caller's.
    Object,
    /// The kernel refused what it could have done.
    Kernel,
    /// The caller lacks a privilege.
    Privilege,
    /// This kernel cannot do it.
    OldKernel,
}

impl LoadError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoTypeFits { why, .. } => why.blame(),
            Self::Plan(PlanError::Unsupported { .. }) => Blame::OldKernel,
            Self::TestRun { errno: Errno::ENOTSUPP, .. } => Blame::OldKernel,
            Self::MapCreate { beyond: Some(_), errno, .. }
            | Self::ProgLoad { beyond: Some(_), errno, .. }
                if says_unknown(*errno) =>
            {
                Blame::OldKernel
            }
            Self::Plan(_)
            | Self::Kconfig(_)
            | Self::Types { .. }
            | Self::EntrySize { .. }
            | Self::PerCpu { .. }
            | Self::Reuse { .. }
            | Self::NoTable { .. }
            | Self::NoPlace { .. }
            | Self::PinMismatch { .. }
            | Self::NotBpffs { .. }
            | Self::PinTaken { .. } => Blame::Object,
            // bpffs says EPERM to names that it does not like.
            Self::PinDir { path, errno: Errno::EPERM } if path.contains('.') => Blame::Object,
            Self::MapCreate { errno, .. }
            | Self::MapData { errno, .. }
            | Self::Register { errno, .. }
            | Self::Attach { errno, .. }
            | Self::ModuleBtf { errno, .. }
            | Self::Slot { errno, .. }
            | Self::TestRun { errno, .. }
            | Self::Entry { errno, .. }
            | Self::Pin { errno, .. }
            | Self::PinOpen { errno, .. }
            | Self::PinDir { errno, .. }
            | Self::Info { errno, .. } => of_errno(*errno),
            Self::ProgLoad { because, errno, log, .. } => match because.as_deref() {
                Some(Because::Lack(Lack::Type(_) | Lack::Attach(..))) => Blame::OldKernel,
                Some(Because::Lack(Lack::Forbidden(..) | Lack::ForbiddenType(_))) => Blame::Kernel,
                // With a log it is the verifier that forbids something, not the caller who may not ask.
                Some(Because::Poisoned(_) | Because::Verifier(_)) | None if log.text.is_empty() => {
                    of_errno(*errno)
                }
                Some(Because::Poisoned(_) | Because::Verifier(_)) | None => Blame::Kernel,
            },
            Self::SlotReadBack { .. }
            | Self::MapMissing { .. }
            | Self::TooManyFiles { .. }
            | Self::NotInPlan { .. } => Blame::Kernel,
        }
    }

    /// What the verifier wrote, if it was it that refused.
    pub fn log(&self) -> Option<&Log> {
        if let Self::NoTypeFits { why, .. } = self {
            return why.log();
        }
        let Self::ProgLoad { log, .. } = self else {
            return None;
        };
        Some(log).filter(|log| !log.text.is_empty())
    }

    /// Why the verifier refused, for people, if it was it that did and said why.
    pub fn refusal(&self) -> Option<&Refusal> {
        if let Self::NoTypeFits { why, .. } = self {
            return why.refusal();
        }
        let Self::ProgLoad { because: Some(because), .. } = self else {
            return None;
        };
        if let Because::Verifier(refusal) = because.as_ref() { Some(refusal) } else { None }
    }

    /// The attribute of a map that its type does not take, if it is a map that was refused, and one is known.
    pub fn fault(&self) -> Option<&MapFault> {
        if let Self::MapCreate { fault, .. } = self { fault.as_deref() } else { None }
    }

    /// The errno, if a call failed.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::NoTypeFits { why, .. } => why.errno(),
            Self::MapCreate { errno, .. }
            | Self::MapData { errno, .. }
            | Self::Register { errno, .. }
            | Self::Attach { errno, .. }
            | Self::ModuleBtf { errno, .. }
            | Self::ProgLoad { errno, .. }
            | Self::Slot { errno, .. }
            | Self::TestRun { errno, .. }
            | Self::Entry { errno, .. }
            | Self::Pin { errno, .. }
            | Self::PinOpen { errno, .. }
            | Self::PinDir { errno, .. }
            | Self::Info { errno, .. } => Some(*errno),
            Self::Plan(_)
            | Self::Kconfig(_)
            | Self::Types { .. }
            | Self::MapMissing { .. }
            | Self::NotInPlan { .. }
            | Self::EntrySize { .. }
            | Self::PerCpu { .. }
            | Self::Reuse { .. }
            | Self::NoTable { .. }
            | Self::NoPlace { .. }
            | Self::PinMismatch { .. }
            | Self::NotBpffs { .. }
            | Self::PinTaken { .. }
            | Self::TooManyFiles { .. }
            | Self::SlotReadBack { .. } => None,
        }
    }
}

fn of_errno(errno: Errno) -> Blame {
    if errno == Errno::EPERM { Blame::Privilege } else { Blame::Kernel }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_with_a_log_is_no_missing_privilege() {
        let error = |text: &str| LoadError::ProgLoad {
            program: "p".into(),
            section: "xdp".into(),
            ty: ProgType::XDP,
            beyond: None,
            unlicensed: false,
            errno: Errno::EPERM,
            log: Log { text: text.into(), truncated: false },
            because: None,
        };
        assert_eq!(error("").blame(), Blame::Privilege);
        assert_eq!(error("R1 leaks addr\n").blame(), Blame::Kernel);
    }
}
