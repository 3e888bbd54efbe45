//! Tables of functions that the kernel calls: registered, and taken back.
//!
//! A table of `SEC(".struct_ops")` is registered when its value is set, and taken back when that is deleted: it outlives
//! this process. One of `SEC(".struct_ops.link")` is registered by a link, and for as long as that is open or pinned.
//!
//! Source: libbpf `bpf_map__attach_struct_ops`, kernel `bpf_struct_ops_map_update_elem`.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{LoadError, LoadedMap, LoadedObject};
use crate::sys::{Errno, Kernel, LinkCreate, LinkTarget, MapUpdate, MapValue, Named};
use crate::target::KernelOps;
use crate::uapi::{AttachType, UpdateFlags};

/// The only key of such a map.
const KEY: &[u8] = &0u32.to_ne_bytes();

/// What is registered of a map of functions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The value, as the kernel has it.
    pub ops: KernelOps,
    /// Whether a link registers it (`SEC(".struct_ops.link")`).
    pub by_link: bool,
}

/// A table of functions that the kernel calls. Dropping it takes the table back.
#[must_use = "dropping it takes the table back"]
pub struct Registered<'k, K: Kernel> {
    kernel: &'k K,
    name: String,
    state: State,
}

/// What holds a table registered.
#[derive(Debug)]
enum State {
    /// Its value, in this map.
    Value(OwnedFd),
    /// This link.
    Link(OwnedFd),
    /// Nothing of ours any more.
    Left,
}

impl LoadedObject {
    /// Registers a table of functions (`SEC(".struct_ops")`, `SEC(".struct_ops.link")`) by its variable's name: from now
    /// on the kernel calls the programs in it, until the answer is dropped. A table can be registered once at a time.
    ///
    /// Since: Linux 5.6; by a link 6.4.
    ///
    /// # Errors
    /// [`LoadError::NoTable`] if the object has no such table or a program of it is not loaded, [`LoadError::Register`]
    /// with the errno.
    pub fn register<'k, K: Kernel>(&self, kernel: &'k K, map: &str) -> Result<Registered<'k, K>, LoadError> {
        let (map, table) = self.table(map)?;
        let failed = |command| move |errno| LoadError::Register { map: map.name.clone(), command, errno };
        let programs = table.ops.slots.iter().map(|(at, id)| {
            let missing = || no_table(&map.name, "one of its programs is not loaded, or was taken out");
            Ok((*at, self.program_by_id(*id).ok_or_else(missing)?.named()))
        });
        let programs: Vec<_> = programs.collect::<Result<_, LoadError>>()?;
        let value = MapValue::Table(&table.ops.data, &programs);
        let request = MapUpdate { map: map.named(), key: KEY, value, flags: UpdateFlags::empty() };
        match kernel.map_update(&request) {
            // A link has registered it before: its value is there, and stays.
            Err(Errno::EBUSY) if table.by_link => {}
            result => result.map_err(failed("BPF_MAP_UPDATE_ELEM"))?,
        }
        // From here on it is taken back if anything fails.
        let mut registered = Registered { kernel, name: map.name.clone(), state: State::Left };
        if table.by_link {
            let request =
                LinkCreate { what: map.named(), attach: AttachType::STRUCT_OPS, to: LinkTarget::Own };
            registered.state = State::Link(kernel.link_create(&request).map_err(failed("BPF_LINK_CREATE"))?);
            return Ok(registered);
        }
        match map.fd.try_clone() {
            Ok(fd) => registered.state = State::Value(fd),
            Err(error) => {
                // It is not registered in the end; why is said of the first failure.
                let _first_counts = kernel.map_delete(map.named(), KEY);
                return Err(failed("fcntl(2)")(Errno::from_io(&error)));
            }
        }
        Ok(registered)
    }

    fn table(&self, name: &str) -> Result<(&LoadedMap, &Table), LoadError> {
        let map = self.map(name).ok_or_else(|| no_table(name, "there is no such map"))?;
        let table = map.table.as_ref();
        let none =
            || no_table(name, "it is no variable of SEC(\".struct_ops\") or SEC(\".struct_ops.link\")");
        Ok((map, table.ok_or_else(none)?))
    }
}

fn no_table(map: &str, why: &'static str) -> LoadError {
    LoadError::NoTable { map: map.to_string(), why }
}

/// What an errno means for a table.
pub(super) fn register_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EBUSY => " (it is registered already)",
        Errno::EEXIST => " (another one of its name is registered)",
        Errno::EINVAL => {
            " (a member has a value that the kernel does not take, or one that it needs is not set)"
        }
        Errno::EPERM => {
            " (needs CAP_SYS_ADMIN, and for some tables CAP_NET_ADMIN; some kernels allow no trampolines)"
        }
        _ => "",
    }
}

impl<K: Kernel> Registered<'_, K> {
    /// The link that registers it, for tables of `SEC(".struct_ops.link")`: to be pinned, for example.
    pub fn link(&self) -> Option<BorrowedFd<'_>> {
        if let State::Link(fd) = &self.state { Some(fd.as_fd()) } else { None }
    }

    /// Takes the table back, as dropping does, and says how that went. The kernel may go on calling its programs for
    /// those who use it already.
    ///
    /// # Errors
    /// [`LoadError::Register`] with the errno.
    pub fn unregister(mut self) -> Result<(), LoadError> {
        let failed =
            |errno| LoadError::Register { map: self.name.clone(), command: "BPF_MAP_DELETE_ELEM", errno };
        take_back(self.kernel, &self.name, &self.state).map_err(failed)?;
        self.state = State::Left;
        Ok(())
    }

    /// Leaves the table registered: for good, or, where a link does it, for as long as that is open or pinned.
    pub fn leave(mut self) -> Option<OwnedFd> {
        match std::mem::replace(&mut self.state, State::Left) {
            State::Link(fd) => Some(fd),
            State::Value(_) | State::Left => None,
        }
    }
}

fn take_back(kernel: &impl Kernel, name: &str, state: &State) -> Result<(), Errno> {
    match state {
        State::Value(fd) => kernel.map_delete(Named { name, fd: fd.as_fd() }, KEY),
        // Closing the link does it.
        State::Link(_) | State::Left => Ok(()),
    }
}

impl<K: Kernel> Drop for Registered<'_, K> {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _nobody_listens = take_back(self.kernel, &self.name, &self.state);
    }
}

impl<K: Kernel> fmt::Debug for Registered<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("name", &self.name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
