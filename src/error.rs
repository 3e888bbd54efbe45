//! What ends a command early: the libraries' errors and the command line's own, their exit codes, and what to do.

use std::process::ExitCode;

use rxdp_loader::error::Error as LoaderError;
use rxdp_loader::load::{Blame, LoadError};
use rxdp_loader::plan::PlanError;
use rxdp_loader::sys::tracefs::TraceError;
use rxdp_loader::sys::{Errno, Log};
use rxdp_netlink::NetlinkError;
use rxdp_sandbox::SandboxError;

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
    #[error("{object}: {source}")]
    Object { object: String, source: Box<LoaderError> },
    /// Netlink, with what else is known about the program in the way.
    #[error("{source}")]
    Netlink { source: Box<NetlinkError>, owner: Option<String> },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("cannot read trace output: {0}")]
    TraceRead(Errno),
    #[error("cannot write output: {0}")]
    Output(std::io::Error),
    #[error("cannot wait for signals: {0}")]
    Wait(std::io::Error),
    #[error("{option} {given:?}: {why}")]
    Option { option: &'static str, given: String, why: String },
    #[error("{object}: it has no {what} {given:?}; it has {there_are}")]
    NotInObject { object: String, what: &'static str, given: String, there_are: String },
    #[error("{object}: it has no XDP program to attach; {there_are}")]
    NoEntry { object: String, there_are: String },
    #[error("{0}")]
    OpenTailCalls(String),
    #[error("{interface} carries program {found}, not program {expected}")]
    ReplaceOther { interface: String, expected: u32, found: String },
    #[error("only {found} of the 2 lines that prove the tail call came within {seconds} s")]
    DemoSilent { found: usize, seconds: u64 },
    /// `verify` has printed its report already; only the code is left.
    #[error("{0} did not load")]
    Verify(String, Exit),
}

impl From<NetlinkError> for Failure {
    fn from(source: NetlinkError) -> Self {
        Self::Netlink { source: Box::new(source), owner: None }
    }
}

impl Failure {
    /// A failure of the loader about this object.
    pub(crate) fn object(object: &str, source: impl Into<LoaderError>) -> Self {
        Self::Object { object: object.to_string(), source: Box::new(source.into()) }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Object { source, .. } => match source.as_ref() {
                LoaderError::Load(error) => exit_of(error),
                LoaderError::Trace(_) | LoaderError::TraceRead(_) => Exit::Refused,
                _ => Exit::Object,
            },
            Self::Netlink { source, .. } => exit_of_netlink(source),
            Self::Sandbox(SandboxError::NotPermitted { .. }) => Exit::NotPermitted,
            Self::Trace(TraceError::NoTracefs { errno } | TraceError::Instance { errno, .. })
                if matches!(*errno, Errno::EPERM | Errno::EACCES) =>
            {
                Exit::NotPermitted
            }
            Self::Option { .. }
            | Self::NotInObject { .. }
            | Self::NoEntry { .. }
            | Self::OpenTailCalls(_) => Exit::Object,
            Self::Verify(_, exit) => *exit,
            Self::Sandbox(_)
            | Self::Trace(_)
            | Self::TraceRead(_)
            | Self::Output(_)
            | Self::Wait(_)
            | Self::ReplaceOther { .. }
            | Self::DemoSilent { .. } => Exit::Refused,
        }
    }

    /// What to do about it, a line each, where the message does not say it already.
    pub(crate) fn advice(&self) -> Vec<String> {
        match self {
            Self::Netlink { owner, .. } => owner.iter().cloned().collect(),
            Self::Object { source, .. } => match source.as_ref() {
                LoaderError::Load(error) => advice_of(error),
                _ => Vec::new(),
            },
            Self::ReplaceOther { .. } => vec!["look again with `rxdp-load status`".to_string()],
            _ => Vec::new(),
        }
    }

    /// What the verifier wrote, if it was it that refused.
    pub(crate) fn log(&self) -> Option<&Log> {
        match self {
            Self::Object { source, .. } => match source.as_ref() {
                LoaderError::Load(error) => error.log(),
                _ => None,
            },
            _ => None,
        }
    }
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

fn exit_of_netlink(error: &NetlinkError) -> Exit {
    match error {
        NetlinkError::UnknownInterface { .. } | NetlinkError::UnknownMode { .. } => Exit::Object,
        NetlinkError::NotPermitted { .. } => Exit::NotPermitted,
        NetlinkError::NotSupported { .. } => Exit::OldKernel,
        _ => Exit::Refused,
    }
}

fn advice_of(error: &LoadError) -> Vec<String> {
    if error.blame() == Blame::Privilege {
        return vec![
            "it needs CAP_BPF and CAP_NET_ADMIN, as root has; a container may forbid bpf(2) besides"
                .to_string(),
        ];
    }
    match error {
        LoadError::Plan(PlanError::NoType { .. }) => {
            let types: Vec<_> = rxdp_loader::uapi::ProgType::names().skip(1).collect();
            vec![format!("types are {}", types.join(", "))]
        }
        _ => Vec::new(),
    }
}
