//! Programs attached: by a link, which holds each where it is for as long as it is open or pinned.
//!
//! What a link takes besides the program is a table ([`table`]). Nothing is decided here but who says it: the section, or
//! the caller.
//!
//! Source: libbpf `bpf_program__attach` and its kin, kernel `link_create`.

mod event;
mod find;
mod table;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use super::{Link, LoadError, LoadedObject, LoadedProgram};
use crate::spec::section::SectionFlags;
use crate::sys::{Elements, Errno, Kernel, LinkCreate, LinkTarget, Named, Netfilter, RawTracepoint};
use table::{Row, Takes, row_of};

/// What a program is attached to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum To<'a> {
    /// What its section says, or whoever loaded it: a function of the kernel or of another program, a tracepoint, an LSM
    /// hook, all that an iterator walks.
    Section,
    /// A tracepoint: its name for `raw_tp`, `CATEGORY/NAME` for `tracepoint`.
    Tracepoint(&'a str),
    /// Functions of the kernel, for `kprobe.multi` and `kprobe.session`. In a name, `*` stands for any characters and `?`
    /// for any one. One function for `kprobe`, whose name may go on with `+BYTES`.
    Functions(&'a [&'a str]),
    /// Places in an executable or a library, for `uprobe.multi` and `uprobe.session`; one place for `uprobe`.
    Executable {
        /// The file.
        path: &'a Path,
        /// Where in it.
        places: Places<'a>,
        /// The process that is meant; all that run the file without it.
        process: Option<u32>,
    },
    /// Some of what an iterator walks.
    Elements(Elements<'a>),
    /// A cgroup, by its open directory: version 2 of cgroups.
    Cgroup(BorrowedFd<'a>),
    /// A network namespace, by its open file (`/proc/PID/ns/net`).
    Namespace(BorrowedFd<'a>),
    /// A map of sockets.
    Sockets(BorrowedFd<'a>),
    /// A network interface of the calling thread's namespace, by its number. `rxdp-netlink` attaches XDP programs without
    /// a link.
    Interface(u32),
    /// A hook of netfilter in the calling thread's network namespace.
    Netfilter(Netfilter),
    /// An open perf event, such as one that is sampled. The caller enables it.
    Event(BorrowedFd<'a>),
}

/// Places in an executable.
#[derive(Clone, Copy, Debug)]
pub enum Places<'a> {
    /// Functions, by name; `*` and `?` as in [`To::Functions`]. The file must still say where they are: `strip` leaves
    /// those of libraries that others call.
    Functions(&'a [&'a str]),
    /// Instructions, in **bytes** from the file's beginning.
    Offsets(&'a [u64]),
}

impl LoadedObject {
    /// Attaches a program to what its section says, or whoever loaded it, as [`attach_to`](Self::attach_to) with
    /// [`To::Section`].
    ///
    /// # Errors
    /// As [`attach_to`](Self::attach_to).
    pub fn attach<K: Kernel>(&self, kernel: &K, program: &str) -> Result<Link, LoadError> {
        self.attach_to(kernel, program, To::Section)
    }

    /// Attaches a program. It stays attached until the answer is dropped.
    ///
    /// # Errors
    /// [`LoadError::NoPlace`] if there is no such program in the kernel, if such programs are not attached by links, or if
    /// this is not what they are attached to; [`LoadError::Attach`] with the errno.
    pub fn attach_to<K: Kernel>(&self, kernel: &K, program: &str, to: To<'_>) -> Result<Link, LoadError> {
        let missing = || LoadError::NoPlace {
            program: program.to_string(),
            section: Box::default(),
            why: "it is not loaded, or was taken out".to_string(),
        };
        self.program(program).ok_or_else(missing)?.attach_to(kernel, to)
    }
}

impl LoadedProgram {
    /// Attaches the program, as [`LoadedObject::attach_to`].
    ///
    /// # Errors
    /// As [`LoadedObject::attach_to`].
    pub fn attach_to<K: Kernel>(&self, kernel: &K, to: To<'_>) -> Result<Link, LoadError> {
        let attaching = Attaching { kernel, program: self, row: row_of(self.ty, self.attach) };
        let fd = attaching.to(to)?;
        Ok(Link { program: self.name.clone(), fd })
    }
}

/// A program on its way to its place.
struct Attaching<'p, K: Kernel> {
    kernel: &'p K,
    program: &'p LoadedProgram,
    row: Row,
}

/// What holds the program attached.
type Attached = Result<OwnedFd, LoadError>;

impl<K: Kernel> Attaching<'_, K> {
    fn to(&self, to: To<'_>) -> Attached {
        match (self.row.takes, to) {
            (Takes::NoLink(instead), _) => Err(self.no_place(format!("there is no link for it: {instead}"))),
            (Takes::Nothing, To::Section) => self.own(),
            (Takes::Elements, To::Section) => self.link(LinkTarget::Own),
            (_, To::Section) => self.section(),
            (Takes::Tracepoint, To::Tracepoint(name)) => self.raw_tracepoint(Some(name)),
            (Takes::Functions, To::Functions(names)) => self.functions(names),
            (Takes::Executable, To::Executable { path, places, process }) => {
                self.executable(path, places, process)
            }
            (Takes::Elements, To::Elements(elements)) => self.link(LinkTarget::Elements(elements)),
            (Takes::Interface, To::Interface(number)) => self.link(LinkTarget::Interface(number)),
            (Takes::Netfilter, To::Netfilter(hook)) => self.link(LinkTarget::Netfilter(hook)),
            (Takes::Cgroup, To::Cgroup(fd)) => self.file("cgroup", fd),
            (Takes::Namespace, To::Namespace(fd)) => self.file("namespace", fd),
            (Takes::Sockets, To::Sockets(fd)) => self.file("sockets", fd),
            (Takes::TraceEvent, To::Tracepoint(name)) => self.trace_event(name),
            (Takes::Probe, To::Functions(names)) => self.one_function(names),
            (Takes::Probe, To::Executable { path, places, process }) => self.one_place(path, places, process),
            (Takes::TraceEvent | Takes::Probe | Takes::Event, To::Event(fd)) => self.file("event", fd),
            (takes, _) => {
                let (what, how) = takes.words();
                Err(self.no_place(format!("it is attached to {what}, and that is not what was given: {how}")))
            }
        }
    }

    /// To what the section names.
    fn section(&self) -> Attached {
        let kind = &self.program.kind;
        if kind.flags.contains(SectionFlags::USDT) {
            return Err(
                self.no_place("places that an executable's notes name (USDT) are not looked for".into())
            );
        }
        let target = kind.target.as_deref();
        let file = target.and_then(|target| target.rsplit_once(':'));
        match (self.row.takes, target, file) {
            (Takes::Tracepoint, Some(name), _) => self.raw_tracepoint(Some(name)),
            (Takes::Functions, Some(name), _) => self.functions(&[name]),
            (Takes::Executable, _, Some((path, function))) => {
                self.executable(Path::new(path), Places::Functions(&[function]), None)
            }
            (Takes::TraceEvent, Some(name), _) => self.trace_event(name),
            (Takes::Probe, Some(target), _) => self.probe(target),
            _ => Err(self.silent()),
        }
    }

    /// To the place that it was loaded for. Linux before 5.10 knows links for those places, but not how to ask for one.
    fn own(&self) -> Attached {
        let request = self.request(LinkTarget::Own);
        match self.kernel.link_create(&request) {
            Err(Errno::EINVAL) => self.raw_tracepoint(None),
            result => result.map_err(self.failed("BPF_LINK_CREATE")),
        }
    }

    fn raw_tracepoint(&self, name: Option<&str>) -> Attached {
        let request = RawTracepoint { program: self.program.named(), name };
        self.kernel.raw_tracepoint_open(&request).map_err(self.failed("BPF_RAW_TRACEPOINT_OPEN"))
    }

    fn functions(&self, patterns: &[&str]) -> Attached {
        let names = find::kernel_functions(patterns).map_err(|why| self.no_place(why))?;
        self.link(LinkTarget::Functions { names: &names, returns: self.returns() })
    }

    fn executable(&self, path: &Path, places: Places<'_>, process: Option<u32>) -> Attached {
        let offsets = match places {
            Places::Functions(patterns) => find::places(path, patterns).map_err(|why| self.no_place(why))?,
            Places::Offsets(offsets) => offsets.to_vec(),
        };
        self.link(LinkTarget::Places { path, offsets: &offsets, process, returns: self.returns() })
    }

    fn file(&self, name: &str, fd: BorrowedFd<'_>) -> Attached {
        self.link(LinkTarget::File(Named { name, fd }))
    }

    fn link(&self, to: LinkTarget<'_>) -> Attached {
        self.kernel.link_create(&self.request(to)).map_err(self.failed("BPF_LINK_CREATE"))
    }

    fn request<'a>(&'a self, to: LinkTarget<'a>) -> LinkCreate<'a> {
        LinkCreate { what: self.program.named(), attach: self.row.by.unwrap_or(self.program.attach), to }
    }

    /// Whether its section is for places where functions return.
    fn returns(&self) -> bool {
        self.program.kind.flags.contains(SectionFlags::RETURNS)
    }

    /// The section does not say to what, or not all of it.
    fn silent(&self) -> LoadError {
        let (what, how) = self.row.takes.words();
        self.no_place(format!("it is attached to {what}, and its section does not say which: {how}"))
    }

    fn no_place(&self, why: String) -> LoadError {
        LoadError::NoPlace {
            program: self.program.name.clone(),
            section: self.program.section.as_str().into(),
            why,
        }
    }

    fn failed(&self, command: &'static str) -> impl FnOnce(Errno) -> LoadError {
        let (program, section) = (self.program.name.clone(), self.program.section.as_str().into());
        let since = self.row.since;
        move |errno| LoadError::Attach { program, section, command, since, errno }
    }
}

/// What an errno means for a program that is to be attached.
pub(super) fn attach_hint(errno: Errno, since: &str) -> String {
    const HINTS: &[(i32, &str)] = &[
        (libc::EPERM, "it needs CAP_SYS_ADMIN, or CAP_BPF with CAP_NET_ADMIN or CAP_PERFMON"),
        (libc::ENOENT, "the kernel has no such place"),
        (libc::ESRCH, "the kernel has no such function, or it cannot be probed"),
        (libc::ENODEV, "there is no such interface"),
        (libc::EBADF, "the descriptor is not of that kind"),
        (libc::EBUSY, "something else is attached there already"),
        (libc::EEXIST, "something is attached there already"),
        (libc::EOPNOTSUPP, "this kernel was built without it"),
        (Errno::ENOTSUPP.0, "this kernel does not allow it"),
    ];
    if errno == Errno::EINVAL {
        return format!("; Linux before {since} has no such links, and later ones do not take every place");
    }
    HINTS.iter().find(|(number, _)| *number == errno.0).map_or(String::new(), |(_, hint)| format!("; {hint}"))
}
