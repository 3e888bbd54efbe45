//! Making, holding and entering namespaces, each held by a descriptor of `/proc/thread-self/ns`.
//!
//! Threads that enter a namespace are started here and end here: no thread of the caller ever changes place.
//! What may not enter: interfaces, addresses, packets.

use std::{
    env,
    fs::{self, File},
    io,
    panic::resume_unwind,
    thread,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};

use crate::error::{SandboxError, Step};

/// A network namespace and, where it was made with one, a mount namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    network: File,
    mounts: Option<File>,
}

impl Namespace {
    /// Moves the calling thread into a new network namespace without IPv6.
    pub(crate) fn with_network() -> Result<Self, SandboxError> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| SandboxError::at(Step::NewNetwork, e))?;
        switch_off_ipv6()?;
        Ok(Self { network: hold("net")?, mounts: None })
    }

    /// The same, and into a new mount namespace with a fresh bpffs on `/sys/fs/bpf`.
    pub(crate) fn with_network_and_bpffs() -> Result<Self, SandboxError> {
        let Self { network, .. } = Self::with_network()?;
        unshare(CloneFlags::CLONE_NEWNS).map_err(|e| SandboxError::at(Step::NewMounts, e))?;
        mount_bpffs()?;
        Ok(Self { network, mounts: Some(hold("mnt")?) })
    }

    /// Moves the calling thread in. It keeps its working directory where that can be reached from inside.
    pub(crate) fn enter(&self) -> Result<(), SandboxError> {
        if let Some(mounts) = &self.mounts {
            enter_mounts(mounts)?;
        }
        setns(&self.network, CloneFlags::CLONE_NEWNET).map_err(|e| SandboxError::at(Step::Enter, e))
    }

    /// The descriptor of the network namespace.
    pub(crate) fn network(&self) -> &File {
        &self.network
    }
}

/// Runs `work` on a thread of its own and waits for it. A panic in it goes on in the caller.
pub(crate) fn on_fresh_thread<R: Send>(
    work: impl FnOnce() -> Result<R, SandboxError> + Send,
) -> Result<R, SandboxError> {
    thread::scope(|scope| {
        let started = thread::Builder::new().name("sandbox".into()).spawn_scoped(scope, work);
        let worker = started.map_err(|e| SandboxError::io(Step::StartThread, &e))?;
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn hold(kind: &str) -> Result<File, SandboxError> {
    File::open(format!("/proc/thread-self/ns/{kind}")).map_err(|e| SandboxError::io(Step::HoldNamespace, &e))
}

fn enter_mounts(mounts: &File) -> Result<(), SandboxError> {
    let refused = |e| SandboxError::at(Step::Enter, e);
    let directory = env::current_dir();
    // The kernel lets no thread change mounts that shares its root and working directory with others.
    unshare(CloneFlags::CLONE_FS).map_err(refused)?;
    setns(mounts, CloneFlags::CLONE_NEWNS).map_err(refused)?;
    // setns went to the root; a directory that was deleted meanwhile leaves us there.
    let _stays_at_root = directory.and_then(env::set_current_dir);
    Ok(())
}

/// `all` covers the loopback that is already there, `default` the interfaces that will come.
///
/// `/proc/sys/net` shows each thread the sysctls of its own network namespace, so this cannot reach the host's.
fn switch_off_ipv6() -> Result<(), SandboxError> {
    for scope in ["all", "default"] {
        match fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1") {
            // This kernel has no IPv6: nothing to switch off.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|e| SandboxError::io(Step::SwitchOffIpv6, &e))?,
        }
    }
    Ok(())
}

fn mount_bpffs() -> Result<(), SandboxError> {
    const NOTHING: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, private, NOTHING)
        .map_err(|e: Errno| SandboxError::at(Step::PrivateMounts, e))?;
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), NOTHING)
        .map_err(|e: Errno| SandboxError::at(Step::MountBpffs, e))
}
