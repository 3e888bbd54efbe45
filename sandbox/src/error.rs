//! Why a sandbox could not be made or used: the step that failed, the kernel's answer, what to do.
//!
//! Data and its words only.

use std::{fmt, time::Duration};

use nix::errno::Errno;

/// Why something in the sandbox failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// This process lacks the privilege (`EPERM` or `EACCES`).
    #[error("not permitted to {step} ({errno:?}): needs CAP_NET_ADMIN and CAP_SYS_ADMIN, run as root")]
    NotPermitted {
        /// What was being done.
        step: Step,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The kernel refused a step for any other reason.
    #[error("cannot {step} ({errno:?}, {}): {}", errno.desc().to_lowercase(), step.advice(*errno))]
    Refused {
        /// What was being done.
        step: Step,
        /// The kernel's answer.
        errno: Errno,
    },
    /// Neither end has an interface of this name.
    #[error("cannot {step}: neither near nor far has that interface, make it with add_veth")]
    NoInterface {
        /// What was being done.
        step: Step,
    },
    /// An interface did not come up in time.
    #[error(
        "interface {interface:?} has no carrier after {waited:?}: the machine may be overloaded, try again"
    )]
    NoCarrier {
        /// The interface that was waited for.
        interface: String,
        /// For how long.
        waited: Duration,
    },
    /// The netlink exchange itself broke: no reply, or one that is not understood.
    #[error("cannot {step}: the netlink exchange broke off, report it together with `uname -r`")]
    Netlink {
        /// What was being done.
        step: Step,
        /// What `rtnetlink` says.
        #[source]
        source: Box<rtnetlink::Error>,
    },
}

impl SandboxError {
    /// An error for `errno` at `step`; the two errnos that mean a lack of privilege get the variant for it.
    pub(crate) fn at(step: Step, errno: Errno) -> Self {
        if matches!(errno, Errno::EPERM | Errno::EACCES) {
            return Self::NotPermitted { step, errno };
        }
        Self::Refused { step, errno }
    }

    /// The same for an [`std::io::Error`] of a system call.
    pub(crate) fn io(step: Step, error: &std::io::Error) -> Self {
        Self::at(step, Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO)))
    }

    /// The same for a netlink request.
    pub(crate) fn netlink(step: Step, error: rtnetlink::Error) -> Self {
        match errno_of(&error) {
            Some(errno) => Self::at(step, errno),
            None => Self::Netlink { step, source: Box::new(error) },
        }
    }
}

/// The kernel's answer to a netlink request, where there was one.
pub(crate) fn errno_of(error: &rtnetlink::Error) -> Option<Errno> {
    let rtnetlink::Error::NetlinkError(message) = error else { return None };
    // The wire carries errnos negated.
    Some(Errno::from_raw(message.raw_code().saturating_neg()))
}

/// Something that is done with the kernel's help, and so can fail. Displays as "make a network namespace".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Start a thread to work in.
    StartThread,
    /// `unshare(CLONE_NEWNET)`.
    NewNetwork,
    /// `unshare(CLONE_NEWNS)`.
    NewMounts,
    /// Open the descriptor that holds a namespace.
    HoldNamespace,
    /// `setns` into one of the sandbox's namespaces.
    Enter,
    /// Cut mount propagation, so that nothing mounted in near shows outside.
    PrivateMounts,
    /// Mount the fresh bpffs.
    MountBpffs,
    /// Write the `disable_ipv6` sysctl.
    SwitchOffIpv6,
    /// Open the netlink connection.
    OpenNetlink,
    /// Create a veth pair.
    AddVeth {
        /// The interface in near.
        near: String,
        /// The interface in far.
        far: String,
    },
    /// Set an interface up.
    SetUp {
        /// The interface.
        interface: String,
    },
    /// Give an interface its IPv4 address.
    AddAddress {
        /// The interface.
        interface: String,
    },
    /// Tell an interface the MAC address of its peer.
    AddNeighbour {
        /// The interface.
        interface: String,
    },
    /// Delete an interface.
    DeleteLink {
        /// The interface.
        interface: String,
    },
    /// Add a bridge.
    AddBridge {
        /// Its name.
        interface: String,
    },
    /// Make an interface a port of a bridge.
    MakePort {
        /// The bridge.
        bridge: String,
    },
    /// Change an interface's MTU.
    SetMtu {
        /// The interface.
        interface: String,
        /// The MTU asked for, in bytes.
        mtu: u32,
    },
    /// Open a packet socket on an interface.
    OpenSocket {
        /// The interface.
        interface: String,
    },
    /// Send a frame.
    Send {
        /// The interface.
        interface: String,
        /// Length of the frame, in bytes.
        bytes: usize,
    },
    /// Receive a frame.
    Receive {
        /// The interface.
        interface: String,
    },
}

impl Step {
    /// What to do when the kernel answers `errno` here.
    fn advice(&self, errno: Errno) -> &'static str {
        match (self, errno) {
            (_, Errno::EMFILE | Errno::ENFILE) => "too many open files, raise `ulimit -n`",
            (_, Errno::ENOMEM) => "out of kernel memory, free some",
            (Self::StartThread, Errno::EAGAIN) => "too many threads, raise `ulimit -u`",
            (Self::NewNetwork | Self::NewMounts, Errno::ENOSPC) => {
                "too many namespaces, raise /proc/sys/user/max_net_namespaces and max_mnt_namespaces"
            }
            (Self::NewNetwork, Errno::EINVAL) => "this kernel is built without CONFIG_NET_NS",
            (Self::HoldNamespace, Errno::ENOENT) => "mount procfs on /proc",
            (Self::MountBpffs, Errno::ENOENT) => {
                "/sys/fs/bpf is not there, mount sysfs on /sys; a kernel without CONFIG_BPF_SYSCALL has no bpffs"
            }
            (Self::MountBpffs, Errno::ENODEV) => "this kernel is built without CONFIG_BPF_SYSCALL",
            (Self::SwitchOffIpv6, Errno::EROFS) => {
                "/proc/sys is read-only here, run outside of the container"
            }
            (Self::AddVeth { .. }, Errno::EOPNOTSUPP) => "this kernel has no veth, try `modprobe veth`",
            (Self::AddVeth { .. }, Errno::EEXIST) => "the name is taken, choose another",
            (Self::AddVeth { .. }, Errno::EINVAL | Errno::ERANGE) => {
                "a name has 1 to 15 bytes, no slash and no blank"
            }
            (Self::SetMtu { .. }, Errno::EINVAL) => "veth takes 68 to 65535 bytes",
            (Self::SetMtu { .. }, _) => "an attached XDP program limits the MTU, detach it first",
            (Self::OpenSocket { .. }, Errno::ENODEV) => "no such interface in this namespace",
            (Self::Send { .. } | Self::Receive { .. }, Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV) => {
                "the interface went down or away"
            }
            (Self::Send { .. }, Errno::EINVAL) => "a frame begins with its 14-byte Ethernet header",
            (Self::Send { .. }, Errno::EMSGSIZE) => "the frame is longer than MTU + 14 bytes, see set_mtu",
            (Self::Send { .. }, Errno::ENOBUFS) => "the interface's queue is full or it has no carrier",
            _ => "not expected here, report it together with `uname -r`",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartThread => f.write_str("start a thread"),
            Self::NewNetwork => f.write_str("make a network namespace"),
            Self::NewMounts => f.write_str("make a mount namespace"),
            Self::HoldNamespace => f.write_str("hold a namespace open"),
            Self::Enter => f.write_str("enter a namespace of the sandbox"),
            Self::PrivateMounts => f.write_str("make mounts private"),
            Self::MountBpffs => f.write_str("mount bpffs on /sys/fs/bpf"),
            Self::SwitchOffIpv6 => f.write_str("switch IPv6 off"),
            Self::OpenNetlink => f.write_str("open a netlink connection"),
            Self::AddVeth { near, far } => write!(f, "add the veth pair {near:?} and {far:?}"),
            Self::SetUp { interface } => write!(f, "set {interface:?} up"),
            Self::AddAddress { interface } => write!(f, "give {interface:?} its address"),
            Self::AddNeighbour { interface } => write!(f, "tell {interface:?} its neighbour"),
            Self::DeleteLink { interface } => write!(f, "delete interface {interface:?}"),
            Self::AddBridge { interface } => write!(f, "add bridge {interface:?}"),
            Self::MakePort { bridge } => write!(f, "make a port of bridge {bridge:?}"),
            Self::SetMtu { interface, mtu } => write!(f, "set the mtu of {interface:?} to {mtu}"),
            Self::OpenSocket { interface } => write!(f, "open a packet socket on {interface:?}"),
            Self::Send { interface, bytes } => write!(f, "send a frame of {bytes} bytes on {interface:?}"),
            Self::Receive { interface } => write!(f, "receive on {interface:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_privilege_has_its_own_variant_and_says_what_to_do() {
        let error = SandboxError::at(Step::NewNetwork, Errno::EPERM);
        assert!(matches!(error, SandboxError::NotPermitted { .. }));
        assert_eq!(
            error.to_string(),
            "not permitted to make a network namespace (EPERM): needs CAP_NET_ADMIN and CAP_SYS_ADMIN, run as root"
        );
    }

    #[test]
    fn a_refusal_says_step_errno_and_remedy_in_one_line() {
        let error = SandboxError::at(Step::SetMtu { interface: "v0".into(), mtu: 7 }, Errno::EINVAL);
        assert_eq!(
            error.to_string(),
            "cannot set the mtu of \"v0\" to 7 (EINVAL, invalid argument): veth takes 68 to 65535 bytes"
        );
    }
}
