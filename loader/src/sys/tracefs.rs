//! What programs print with `bpf_trace_printk`, read from a trace instance of our own.
//!
//! The global `trace_pipe` belongs to whoever reads first, so reading it would take lines from others. An instance has
//! a ring buffer of its own and shows the same lines.
//!
//! Source: `Documentation/trace/ftrace.rst`. Since: Linux 5.10 (the event `bpf_trace/bpf_trace_printk`).

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Errno, mount};

/// Where distributions mount the file system.
const USUAL_PLACES: &[&str] = &["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Beginning of our instances' names; the process id and a number follow.
const PREFIX: &str = "rxdp-";

/// How many names are tried.
const MOST_INSTANCES: u32 = 1000;

/// A trace instance that shows what BPF programs print. It is removed when the value is dropped.
#[derive(Debug)]
pub struct TraceInstance {
    path: PathBuf,
    /// Keeps a detached mount alive.
    _mount: Option<OwnedFd>,
}

/// Why trace output cannot be shown.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// There is no tracefs, and none can be mounted.
    #[error(
        "cannot reach tracefs: {errno}; run as root, or mount it: mount -t tracefs tracefs /sys/kernel/tracing"
    )]
    NoTracefs {
        /// Why mounting failed.
        errno: Errno,
    },
    /// A step of setting up the instance failed.
    #[error("cannot {step} trace instance {path:?}: {errno}{}", hint(*errno))]
    Instance {
        /// The step.
        step: &'static str,
        /// The instance.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM | Errno::EACCES => "; run as root",
        Errno::ENOENT => "; this kernel may lack CONFIG_BPF_EVENTS or be older than 5.10",
        _ => "",
    }
}

impl TraceInstance {
    /// Makes an instance and switches the event for `bpf_trace_printk` on in it.
    ///
    /// # Errors
    /// [`TraceError`] if tracefs cannot be reached or the instance cannot be made.
    pub fn new() -> Result<Self, TraceError> {
        Self::with_event("bpf_trace/bpf_trace_printk")
    }

    /// Makes an instance and switches one event on in it, by `CATEGORY/NAME`.
    fn with_event(event: &'static str) -> Result<Self, TraceError> {
        let (root, mount) = tracefs()?;
        let instances = root.join("instances");
        remove_abandoned(&instances);
        let path = create(&instances)?;
        let failed = |step| {
            let path = path.clone();
            move |error: std::io::Error| TraceError::Instance { step, path, errno: Errno::from_io(&error) }
        };
        let instance = Self { path: path.clone(), _mount: mount };
        fs::write(path.join("events").join(event).join("enable"), "1")
            .map_err(failed("switch an event on in"))?;
        // Wake up readers at the first line, not when half the buffer is full. Kernels before 5.0 always do.
        let _always = fs::write(path.join("buffer_percent"), "0");
        Ok(instance)
    }

    /// Opens the instance's pipe: reading waits for the next line and takes it.
    ///
    /// # Errors
    /// [`TraceError`] if it cannot be opened.
    pub fn pipe(&self) -> Result<TracePipe, TraceError> {
        Ok(TracePipe { lines: BufReader::new(self.open(0)?) })
    }

    /// Opens the pipe for an event loop: where there is nothing to read, reading fails with `EAGAIN` instead of
    /// waiting. Its lines are for [`TraceLine::parse`].
    ///
    /// # Errors
    /// [`TraceError`] if it cannot be opened.
    pub fn pipe_nonblocking(&self) -> Result<File, TraceError> {
        self.open(libc::O_NONBLOCK)
    }

    fn open(&self, flags: i32) -> Result<File, TraceError> {
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(self.path.join("trace_pipe"));
        let failed = |error| TraceError::Instance {
            step: "read",
            path: self.path.clone(),
            errno: Errno::from_io(&error),
        };
        opened.map_err(failed)
    }
}

impl Drop for TraceInstance {
    fn drop(&mut self) {
        // A tracefs directory is removed whole. It fails only while somebody still reads from it; once this process
        // has ended, the next one to make an instance removes it.
        let _still_read = fs::remove_dir(&self.path);
    }
}

/// Lines that programs print, as they come.
#[derive(Debug)]
pub struct TracePipe {
    lines: BufReader<File>,
}

impl TracePipe {
    /// The next line; waits for it. `None` at the end, which a trace pipe does not have.
    ///
    /// # Errors
    /// The errno of reading.
    pub fn next_line(&mut self) -> Result<Option<TraceLine>, Errno> {
        let mut raw = String::new();
        while self.lines.read_line(&mut raw).map_err(|error| Errno::from_io(&error))? > 0 {
            if let Some(line) = TraceLine::parse(&raw) {
                return Ok(Some(line));
            }
            raw.clear();
        }
        Ok(None)
    }
}

/// One line of trace output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceLine {
    /// The line as the kernel wrote it.
    pub raw: String,
    /// What the program printed.
    pub message: String,
    /// The CPU it ran on.
    pub cpu: Option<u32>,
    /// Seconds since the machine started, as the kernel wrote them.
    pub seconds: Option<String>,
}

impl TraceLine {
    /// Takes a line apart: `TASK-PID [CPU] FLAGS SECONDS: bpf_trace_printk: MESSAGE`.
    ///
    /// `None` for an empty one: messages that end in a line break, as old kernels need them, leave such behind.
    pub fn parse(raw: &str) -> Option<Self> {
        let raw = raw.trim_end().to_string();
        if raw.is_empty() {
            return None;
        }
        let (head, message) = match raw.split_once(": bpf_trace_printk: ") {
            Some((head, message)) => (head, message.to_string()),
            None => ("", raw.clone()),
        };
        let cpu = head.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(cpu, _)| cpu);
        Some(Self {
            cpu: cpu.and_then(|cpu| cpu.parse().ok()),
            seconds: head.rsplit(' ').next().filter(|s| s.contains('.')).map(ToString::to_string),
            message,
            raw,
        })
    }
}

/// A new instance of a name that nobody has. Another process may have our number, in another PID namespace.
fn create(instances: &Path) -> Result<PathBuf, TraceError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = instances.join(format!("{PREFIX}{}-{number}", process::id()));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < MOST_INSTANCES => {}
            Err(error) => {
                return Err(TraceError::Instance { step: "create", path, errno: Errno::from_io(&error) });
            }
        }
    }
}

/// Runs `attach`, which makes an XDP link, and gives what it gave with the sentence that the kernel had for its failure:
/// `BPF_LINK_CREATE` itself has only an errno.
///
/// `None` where the kernel said nothing, or tracefs cannot be reached. Only the calling thread's failures count.
///
/// Source: `trace_bpf_xdp_link_attach_failed`, `net/core/dev.c`. Since: Linux 6.6.
pub fn link_failure<T>(attach: impl FnOnce() -> T) -> (T, Option<String>) {
    let instance = TraceInstance::with_event("xdp/bpf_xdp_link_attach_failed");
    let result = attach();
    let sentence = instance.and_then(|instance| instance.pipe_nonblocking()).ok().and_then(|pipe| {
        let lines = BufReader::new(pipe).lines().map_while(Result::ok);
        let thread = format!("-{} ", thread_id());
        lines.filter(|line| line.contains(&thread)).find_map(|line| sentence_of(&line))
    });
    (result, sentence)
}

/// Of `TASK-PID [CPU] FLAGS SECONDS: bpf_xdp_link_attach_failed: errmsg=SENTENCE`.
fn sentence_of(line: &str) -> Option<String> {
    let (_, sentence) = line.split_once("bpf_xdp_link_attach_failed: errmsg=")?;
    Some(sentence.trim().to_string()).filter(|sentence| !sentence.is_empty() && sentence != "(null)")
}

/// The number of the calling thread. Source: `/proc/thread-self`.
fn thread_id() -> u32 {
    let path = fs::read_link("/proc/thread-self").unwrap_or_default();
    path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or_else(process::id)
}

/// A mounted tracefs, or one of our own that nobody else sees.
fn tracefs() -> Result<(PathBuf, Option<OwnedFd>), TraceError> {
    let mounted = USUAL_PLACES.iter().map(Path::new).find(|place| place.join("instances").is_dir());
    if let Some(place) = mounted {
        return Ok((place.to_path_buf(), None));
    }
    let mount = mount::detached(c"tracefs").map_err(|errno| TraceError::NoTracefs { errno })?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
    Ok((path, Some(mount)))
}

/// Names of the kernel's functions that can be probed, of its modules' too, each once.
///
/// Source: `available_filter_functions` of tracefs.
///
/// # Errors
/// [`TraceError::NoTracefs`] if tracefs cannot be reached, or has no such list.
pub fn functions() -> Result<BTreeSet<String>, TraceError> {
    let (root, _mount) = tracefs()?;
    let listed = fs::read_to_string(root.join("available_filter_functions"));
    let listed = listed.map_err(|error| TraceError::NoTracefs { errno: Errno::from_io(&error) })?;
    // `NAME [MODULE]`; some stand for places that have no name any more.
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| !name.starts_with("__ftrace_invalid_address__")).map(str::to_string).collect())
}

/// The number of a tracepoint's event. Source: `events/CATEGORY/NAME/id`.
pub(super) fn event_id(category: &str, name: &str) -> Result<u64, Errno> {
    let (root, _mount) = tracefs().map_err(|error| match error {
        TraceError::NoTracefs { errno } | TraceError::Instance { errno, .. } => errno,
    })?;
    let id = fs::read_to_string(root.join("events").join(category).join(name).join("id"));
    let id = id.map_err(|error| Errno::from_io(&error))?;
    id.trim().parse().map_err(|_no_number| Errno::EINVAL)
}

/// Removes instances of processes that were killed.
fn remove_abandoned(instances: &Path) {
    let Ok(entries) = fs::read_dir(instances) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Somebody else may remove it at the same time.
            let _gone = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let raw = "          <idle>-0       [001] ..s2.   123.456789: bpf_trace_printk: XDP: tail call: 1\n";
        let line = TraceLine::parse(raw).unwrap();
        assert_eq!(line.message, "XDP: tail call: 1");
        assert_eq!((line.cpu, line.seconds.as_deref()), (Some(1), Some("123.456789")));
    }

    #[test]
    fn the_sentence_of_a_refused_link() {
        let line = " rxdp-load-77  [001] ..... 9.1: bpf_xdp_link_attach_failed: errmsg=veth: Peer MTU is too large to set XDP";
        assert_eq!(sentence_of(line).as_deref(), Some("veth: Peer MTU is too large to set XDP"));
        assert_eq!(sentence_of(" x-1 [0] .. 1.0: bpf_xdp_link_attach_failed: errmsg="), None);
        assert_eq!(sentence_of(" x-1 [0] .. 1.0: bpf_trace_printk: errmsg=no"), None);
    }

    #[test]
    fn a_line_of_another_form_is_shown_whole() {
        let lost = TraceLine::parse("CPU:0 [LOST 5 EVENTS]\n").unwrap();
        assert_eq!((lost.message.as_str(), lost.cpu), ("CPU:0 [LOST 5 EVENTS]", None));
        assert_eq!(TraceLine::parse("\n"), None);
    }
}
