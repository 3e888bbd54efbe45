//! The sandbox itself: two namespaces and the pair between them.
//!
//! Joins `namespace` and `links`; knows no system call of its own.

use crate::{
    end::End,
    error::SandboxError,
    links::{Plug, Session, Veth},
    namespace::{Namespace, on_fresh_thread},
    socket::PacketSocket,
};

/// Two network namespaces joined by a veth pair; gone when dropped.
///
/// Descriptors are all that holds it, so a killed process leaves nothing either. What outlives the value: a
/// child process started inside keeps its namespaces until it ends, a [`PacketSocket`] its network namespace
/// until it is closed. The pair goes as soon as one of the two namespaces goes.
///
/// Near has a mount namespace too: what is mounted there shows nowhere else. `/sys/class/net` is not remounted
/// and shows the host's interfaces; `/proc/self/net` and netlink show the sandbox's.
#[derive(Debug)]
pub struct Sandbox {
    near: Namespace,
    far: Namespace,
    veth: Veth,
}

impl Sandbox {
    /// Makes the namespaces and the pair, from a thread of its own: the caller's thread stays where it is.
    ///
    /// When it returns, both ends carry: the first packet sent arrives.
    ///
    /// Source: `unshare(2)`, `veth(4)`, bpffs. Since: Linux 4.4, for bpffs.
    ///
    /// # Errors
    /// [`SandboxError::NotPermitted`] without CAP_NET_ADMIN and CAP_SYS_ADMIN; otherwise the step that failed.
    /// Nothing is left behind.
    pub fn new() -> Result<Self, SandboxError> {
        on_fresh_thread(|| {
            let far = Namespace::with_network()?;
            let near = Namespace::with_network_and_bpffs()?;
            let mut session = Session::open(&near, &far)?;
            let veth = session.add_veth(Plug::Fixed(End::Near), Plug::Fixed(End::Far), far.network())?;
            for (end, index) in [(End::Near, veth.near), (End::Far, veth.far)] {
                session.set_loopback_up(end)?;
                session.introduce(end, index)?;
            }
            Ok(Self { near, far, veth })
        })
    }

    /// Runs `work` in near's network and mount namespace, on a thread of its own, and waits for it.
    ///
    /// A process started inside inherits both. The working directory stays what it was.
    ///
    /// # Panics
    /// With the panic of `work`; and where the namespaces cannot be entered, as after giving up CAP_SYS_ADMIN.
    /// [`Sandbox::inside`] returns that as an error.
    pub fn near<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.inside_or_panic(End::Near, work)
    }

    /// Runs `work` in far's network namespace, on a thread of its own, and waits for it. Mounts are the caller's.
    ///
    /// # Panics
    /// As [`Sandbox::near`].
    pub fn far<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.inside_or_panic(End::Far, work)
    }

    /// [`Sandbox::near`] or [`Sandbox::far`] for callers who may have lost the privilege to enter.
    ///
    /// # Errors
    /// Where no thread can be started or the namespaces cannot be entered; `work` did not run then.
    ///
    /// # Panics
    /// With the panic of `work`.
    pub fn inside<R: Send>(&self, end: End, work: impl FnOnce() -> R + Send) -> Result<R, SandboxError> {
        on_fresh_thread(|| {
            self.namespace(end).enter()?;
            Ok(work())
        })
    }

    /// Interface index of `v0` in near or `v1` in far.
    pub fn ifindex(&self, end: End) -> u32 {
        match end {
            End::Near => self.veth.near,
            End::Far => self.veth.far,
        }
    }

    /// A packet socket on `v0` or `v1`, usable from any thread.
    ///
    /// # Errors
    /// As [`PacketSocket::open`] and [`Sandbox::inside`].
    pub fn packet_socket(&self, end: End) -> Result<PacketSocket, SandboxError> {
        self.inside(end, || PacketSocket::open(end.interface()))?
    }

    /// Adds another veth pair: `name` in near, `peer` in far. Both are up and carry when it returns; they have
    /// no addresses, and MAC addresses of the kernel's choice.
    ///
    /// # Errors
    /// A name that is taken or not a name; otherwise the step that failed.
    pub fn add_veth(&self, name: &str, peer: &str) -> Result<Veth, SandboxError> {
        let (near, far) = (Plug::Named(name), Plug::Named(peer));
        self.with_session(|session| session.add_veth(near, far, self.far.network()))
    }

    /// Adds a veth pair as [`add_veth`](Self::add_veth) does, whose far end has this many queues for sending in use; the
    /// near end has one for receiving.
    ///
    /// # Errors
    /// As [`add_veth`](Self::add_veth).
    pub fn add_veth_with_queues(&self, name: &str, peer: &str, queues: u32) -> Result<Veth, SandboxError> {
        let (near, far) = (Plug::OneQueue(name), Plug::Queues(peer, queues));
        self.with_session(|session| session.add_veth(near, far, self.far.network()))
    }

    /// Adds a bridge called `name` to near.
    ///
    /// # Errors
    /// A name that is taken or not a name; a kernel without bridges.
    pub fn add_bridge(&self, name: &str) -> Result<(), SandboxError> {
        self.with_session(|session| session.add_bridge(name))
    }

    /// Makes `v0` a port of the bridge called `bridge`.
    ///
    /// # Errors
    /// [`SandboxError::NoInterface`] if there is no such bridge in near; otherwise the step that failed.
    pub fn make_port_of(&self, bridge: &str) -> Result<(), SandboxError> {
        self.with_session(|session| session.make_port(End::Near, bridge))
    }

    /// Deletes the interface called `name` and its peer; looks in near first, then in far.
    ///
    /// # Errors
    /// [`SandboxError::NoInterface`] if neither has it; otherwise the step that failed.
    pub fn delete_link(&self, name: &str) -> Result<(), SandboxError> {
        self.with_session(|session| session.delete(name))
    }

    /// Sets the MTU of the interface called `name`, in bytes; looks in near first, then in far. The peer keeps
    /// its own.
    ///
    /// # Errors
    /// [`SandboxError::NoInterface`] if neither has it; the kernel's answer to an MTU it does not take.
    pub fn set_mtu(&self, name: &str, mtu: u32) -> Result<(), SandboxError> {
        self.with_session(|session| session.set_mtu(name, mtu))
    }

    #[expect(clippy::panic, reason = "documented; `inside` is there for callers who can meet the error")]
    fn inside_or_panic<R: Send>(&self, end: End, work: impl FnOnce() -> R + Send) -> R {
        self.inside(end, work).unwrap_or_else(|error| panic!("{error}"))
    }

    fn with_session<R: Send>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<R, SandboxError> + Send,
    ) -> Result<R, SandboxError> {
        on_fresh_thread(|| work(&mut Session::open(&self.near, &self.far)?))
    }

    fn namespace(&self, end: End) -> &Namespace {
        match end {
            End::Near => &self.near,
            End::Far => &self.far,
        }
    }
}
