//! Real packets for loaded programs: a sandbox, programs on its near end, and what they print.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rxdp_loader::sys::tracefs::{TraceInstance, TraceLine};
use rxdp_netlink::{Attachment, XdpMode, blocking};
use rxdp_sandbox::testing::kernel_or_skip;
use rxdp_sandbox::{End, PacketSocket, Sandbox};

/// How long anything may take that takes microseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// `v0`, where programs go, and `v1`, where packets come from.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) netlink: blocking::Handle,
    pub(crate) near: PacketSocket,
    pub(crate) far: PacketSocket,
    pub(crate) sandbox: Sandbox,
}

impl Wire {
    /// `None`, said aloud, without the privilege to make one.
    pub(crate) fn or_skip(test: &str) -> Option<Self> {
        let sandbox = kernel_or_skip(test)?;
        Some(Self {
            netlink: sandbox.near(blocking::Handle::connect).unwrap(),
            near: sandbox.packet_socket(End::Near).unwrap(),
            far: sandbox.packet_socket(End::Far).unwrap(),
            sandbox,
        })
    }

    /// Puts a program on `v0` until the value is dropped.
    pub(crate) fn attach(&self, program: &impl AsFd, mode: XdpMode) -> Attachment {
        self.netlink.hold(self.sandbox.ifindex(End::Near), program.as_fd(), mode).unwrap()
    }

    /// Frames that `v0` has taken in, those that a program dropped among them.
    pub(crate) fn taken_in(&self) -> u64 {
        let table = self.sandbox.near(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix("v0:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The next frame that arrives at `v0`. Frames come in the order in which they were sent.
    pub(crate) fn arrived(&self) -> Vec<u8> {
        self.near.receive(PATIENCE).unwrap().expect("a frame arrives")
    }
}

/// A frame whose first byte and payload are given; the rest is a UDP datagram.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = rxdp_sandbox::packets::udp(4000, 9, payload);
    frame[0] = first;
    frame
}

/// A build of `tail_kern.o` whose lines begin with a word of their own instead of `XDP:`.
///
/// Trace output is the whole machine's, so two tests that run side by side would read each other's lines.
#[derive(Debug)]
pub(crate) struct Tagged {
    /// The word.
    pub(crate) tag: String,
    bytes: Vec<u8>,
    /// A file without a name, so nothing is left however the test ends.
    file: File,
}

impl Tagged {
    pub(crate) fn tail_kern() -> Self {
        Self::of("tail_kern.o")
    }

    /// Another build of it.
    pub(crate) fn of(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // `r1 = "XDP:...." ll`: how each of the three texts begins.
        const BEGINNING: &[u8] = b"\x18\x01\0\0XDP:";
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{:03x}{number:x}", process::id() & 0xfff);
        let mut bytes = super::bytes_of(name);
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(BEGINNING)).collect();
        assert_eq!((places.len(), tag.len()), (3, 4));
        for at in places {
            bytes[at + 4..at + 8].copy_from_slice(tag.as_bytes());
        }
        let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC).unwrap());
        file.write_all(&bytes).unwrap();
        Self { tag, bytes, file }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// The next line of this object: its text behind the tag.
    pub(crate) fn line(&self, trace: &mut Trace) -> String {
        let line = trace.next(|line| line.starts_with(&self.tag));
        line[self.tag.len()..].trim_start().to_string()
    }
}

/// What programs print, from the moment this is made. The file closes before the instance goes.
#[derive(Debug)]
pub(crate) struct Trace {
    pipe: File,
    unfinished: String,
    lines: VecDeque<String>,
    _instance: TraceInstance,
}

impl Trace {
    pub(crate) fn start() -> Self {
        let instance = TraceInstance::new().unwrap();
        let pipe = instance.pipe_nonblocking().unwrap();
        Self { pipe, unfinished: String::new(), lines: VecDeque::new(), _instance: instance }
    }

    /// The next message that is `wanted`. Other programs of this machine print here as well.
    pub(crate) fn next(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            while let Some(line) = self.lines.pop_front() {
                if wanted(&line) {
                    return line;
                }
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            assert!(!left.is_zero(), "no such line within {PATIENCE:?}");
            self.fill(left);
        }
    }

    fn fill(&mut self, wait: Duration) {
        let mut ready = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::try_from(wait.as_millis() + 1).unwrap()).unwrap();
        let mut chunk = [0; 4096];
        match self.pipe.read(&mut chunk) {
            Ok(len) => self.unfinished += &String::from_utf8_lossy(&chunk[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        while let Some((line, rest)) = self.unfinished.split_once('\n') {
            self.lines.extend(TraceLine::parse(line).map(|line| line.message));
            self.unfinished = rest.to_string();
        }
    }
}
