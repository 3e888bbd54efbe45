//! What ends a command early: the libraries' errors and the command line's own, their exit codes, and what to do.

use std::process::ExitCode;

use rxdp_dispatcher::error::{Error as DispatcherError, KernelError};
use rxdp_dispatcher::metadata::MetadataError;
use rxdp_loader::error::Error as LoaderError;
use rxdp_loader::load::{Blame, LoadError};
use rxdp_loader::plan::PlanError;
use rxdp_loader::sys::tracefs::TraceError;
use rxdp_loader::sys::{Errno, Log};
use rxdp_loader::uapi::ProgType;
use rxdp_loader::verifier::Refusal;
use rxdp_netlink::{NetlinkError, XdpMode};
use rxdp_sandbox::SandboxError;

use crate::maps::MapError;
use crate::privilege::Privilege;
use crate::target;

/// Exit codes of every command. 2, wrong usage, is clap's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// The object or an argument is at fault.
    Object = 1,
    /// The kernel refused: verifier, attach, busy.
    Refused = 3,
    /// Not permitted.
    NotPermitted = 4,
    /// This kernel cannot.
    OldKernel = 5,
    /// `run --compare`: the two versions differ.
    Differ = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The object cannot be read, understood or loaded.
    #[error("{}", about(object, source))]
    Object { object: String, source: Box<LoaderError> },
    /// Netlink, or a link on an interface, with what to do about it.
    #[error("{source}")]
    Netlink { source: Box<NetlinkError>, advice: Vec<String> },
    /// Several programs on one interface, with what is known about the program in the way.
    #[error("{interface}: {source}")]
    Dispatcher { interface: String, source: Box<DispatcherError<NetlinkError>>, owner: Option<String> },
    #[error("{object}: {source}")]
    RunConfig { object: String, source: MetadataError },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("cannot read trace output: {0}")]
    TraceRead(Errno),
    #[error("cannot write output: {0}")]
    Output(std::io::Error),
    #[error("cannot write the explanation to {path:?}: {source}")]
    Explanation { path: std::path::PathBuf, source: std::io::Error },
    #[error("cannot write the recording to {path:?}: {source}")]
    Record { path: std::path::PathBuf, source: std::io::Error },
    #[error("cannot pin the link at {path:?}: {errno}; nothing stays attached")]
    PinLink { path: std::path::PathBuf, errno: Errno },
    #[error("cannot remove the pin {path:?}: {errno}")]
    Unpin { path: std::path::PathBuf, errno: Errno },
    #[error(
        "the pin {path:?} of the program that is to be replaced is in the way, and cannot be renamed: {errno}"
    )]
    StepAside { path: std::path::PathBuf, errno: Errno },
    #[error("cannot set up waiting: {0}; too many open files are cured by `ulimit -n`")]
    Wait(std::io::Error),
    #[error("{option} {given:?}: {why}")]
    Option { option: &'static str, given: String, why: String },
    #[error("{object}: it has no {what} {given:?}; it has {there_are}")]
    NotInObject { object: String, what: &'static str, given: String, there_are: String },
    #[error("--target {given:?}: program id {id} cannot be opened: {errno}{}", target::id_hint(*.errno))]
    TargetId { given: String, id: u32, errno: Errno },
    #[error("{object}: it has no XDP program to attach; {there_are}")]
    NoEntry { object: String, there_are: String },
    #[error("{object}: it has no program to run")]
    NothingToRun { object: String },
    #[error("{0}")]
    OpenTailCalls(String),
    #[error(
        "{interface} carries {found}, not program id {expected}: look again with `rxdp-load status {interface}`"
    )]
    ReplaceOther { interface: String, expected: u32, found: String },
    #[error(
        "{interface} carries {found}, and replacing keeps the mode: leave --mode {mode} out, or unload it first"
    )]
    ReplaceMode { interface: String, found: String, mode: XdpMode },
    #[error(
        "{interface} carries {found}, which was not pinned under {dir}: --upgrade takes over only from that; \
         take its place with --replace, or unload it first"
    )]
    UpgradeOther { interface: String, found: String, dir: String },
    #[error(
        "the layout of what is pinned changed: {}\n  nothing was changed; --on-mismatch migrate copies field by field, \
         --on-mismatch recreate starts with empty maps", misfits.join("\n    ")
    )]
    UpgradeLayout { misfits: Vec<String> },
    #[error(
        "map {map}: its entries cannot be copied: {why}; start with an empty one: --on-mismatch recreate"
    )]
    UpgradeMove { map: String, why: String },
    #[error("only {found} of the 2 lines that prove the tail call came within {seconds} s")]
    DemoSilent { found: usize, seconds: u64 },
    #[error("{old} and {new} differ on {differ} of {all} {}", if *.all == 1 { "packet" } else { "packets" })]
    Differ { differ: usize, all: usize, old: String, new: String },
    /// `doctor` has printed its report already; only the code is left.
    #[error("the main job would not work")]
    Doctor(Exit),
    /// `verify` has printed its report already; only the code is left.
    #[error("{0} did not load")]
    Verify(String, Exit),
}

impl From<NetlinkError> for Failure {
    fn from(source: NetlinkError) -> Self {
        Self::Netlink { source: Box::new(source), advice: Vec::new() }
    }
}

impl Failure {
    /// A failure of the loader about this object.
    pub(crate) fn object(object: &str, source: impl Into<LoaderError>) -> Self {
        Self::Object { object: object.to_string(), source: Box::new(source.into()) }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        if let Some(error) = self.load_error() {
            return exit_of(error);
        }
        match self {
            Self::Netlink { source, .. } => exit_of_netlink(source),
            Self::Map(error) => error.exit(),
            Self::Differ { .. } => Exit::Differ,
            Self::Verify(_, exit) | Self::Doctor(exit) => *exit,
            Self::Dispatcher { source, .. } => exit_of_dispatcher(source),
            Self::TargetId { errno: Errno::EPERM, .. } => Exit::NotPermitted,
            Self::Object { source, .. } if is_forbidden(source) => Exit::NotPermitted,
            Self::Object { .. }
            | Self::TargetId { .. }
            | Self::TraceRead(_)
            | Self::Output(_)
            | Self::Wait(_)
            | Self::Option { .. }
            | Self::NotInObject { .. }
            | Self::RunConfig { .. }
            | Self::NoEntry { .. }
            | Self::NothingToRun { .. }
            | Self::Record { .. }
            | Self::Explanation { .. }
            | Self::UpgradeLayout { .. }
            | Self::UpgradeMove { .. }
            | Self::OpenTailCalls(_) => Exit::Object,
            Self::Sandbox(SandboxError::NotPermitted { .. }) => Exit::NotPermitted,
            Self::Trace(TraceError::NoTracefs { errno } | TraceError::Instance { errno, .. })
                if matches!(*errno, Errno::EPERM | Errno::EACCES) =>
            {
                Exit::NotPermitted
            }
            Self::Sandbox(_)
            | Self::Trace(_)
            | Self::Unpin { .. }
            | Self::PinLink { .. }
            | Self::StepAside { .. }
            | Self::ReplaceOther { .. }
            | Self::UpgradeOther { .. }
            | Self::ReplaceMode { .. }
            | Self::DemoSilent { .. } => Exit::Refused,
        }
    }

    /// Whether somebody else was faster, and has the place on the interface.
    pub(crate) fn is_about_a_place_taken(&self) -> bool {
        matches!(self, Self::Netlink { source, .. } if matches!(**source, NetlinkError::Occupied { .. }))
    }

    /// What to do about it, a line each, where the message does not say it already.
    pub(crate) fn advice(&self) -> Vec<String> {
        if self.exit() == Exit::NotPermitted {
            return Privilege::of_this_process().advice();
        }
        if let Self::Netlink { advice, .. } = self {
            return advice.clone();
        }
        if let Self::Dispatcher { owner, .. } = self {
            return owner.iter().cloned().collect();
        }
        self.load_error().map(advice_of).unwrap_or_default()
    }

    /// What the verifier wrote, if it was it that refused.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.load_error()?.log()
    }

    /// Why the verifier refused, if it did and said why.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.load_error()?.refusal()
    }

    /// The error of loading, if it came to that.
    fn load_error(&self) -> Option<&LoadError> {
        let Self::Object { source, .. } = self else {
            return None;
        };
        if let LoaderError::Load(error) = source.as_ref() { Some(error) } else { None }
    }
}

/// An error with the object's name before it, unless it names the file itself.
fn about(object: &str, error: &LoaderError) -> String {
    let names_it = matches!(error, LoaderError::Open { .. } | LoaderError::TooLarge { .. });
    if names_it { error.to_string() } else { format!("{object}: {error}") }
}

/// The exit code of a failed load.
pub(crate) fn exit_of(error: &LoadError) -> Exit {
    match error.blame() {
        Blame::Object => Exit::Object,
        Blame::Kernel => Exit::Refused,
        Blame::Privilege => Exit::NotPermitted,
        Blame::OldKernel => Exit::OldKernel,
    }
}

/// A file that may not be read.
fn is_forbidden(error: &LoaderError) -> bool {
    matches!(error, LoaderError::Open { errno, .. } if matches!(*errno, Errno::EACCES | Errno::EPERM))
}

fn exit_of_netlink(error: &NetlinkError) -> Exit {
    if matches!(error, NetlinkError::UnknownInterface { .. } | NetlinkError::UnknownMode { .. }) {
        return Exit::Object;
    }
    if matches!(error, NetlinkError::NotPermitted { .. }) {
        return Exit::NotPermitted;
    }
    if matches!(error, NetlinkError::NotSupported { .. }) { Exit::OldKernel } else { Exit::Refused }
}

fn exit_of_dispatcher(error: &DispatcherError<NetlinkError>) -> Exit {
    if let DispatcherError::Port(error) = error {
        return exit_of_netlink(error);
    }
    let DispatcherError::Kernel(error) = error else {
        return Exit::Refused;
    };
    if let KernelError::Dispatcher(error) = error {
        return exit_of(error);
    }
    if let KernelError::NoReplace { errno, .. } = error {
        let forbidden = *errno == Errno::EPERM && !is_admin();
        return if forbidden { Exit::NotPermitted } else { Exit::OldKernel };
    }
    let forbidden = matches!(error, KernelError::Read { errno: Errno::EPERM, .. });
    if forbidden { Exit::NotPermitted } else { Exit::Refused }
}

/// Whether this process may do what CAP_SYS_ADMIN allows. Source: proc_pid_status(5).
fn is_admin() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> CAP_SYS_ADMIN & 1 == 1)
}

fn advice_of(error: &LoadError) -> Vec<String> {
    if let LoadError::Plan(PlanError::NoType { .. }) = error {
        let types: Vec<_> = ProgType::names().skip(1).collect();
        return vec![format!("types are {}", types.join(", "))];
    }
    Vec::new()
}
