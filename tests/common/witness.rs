//! What programs print, told apart by who sent the packet.
//!
//! What may not enter: the command.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rxdp_loader::sys::tracefs::{TraceInstance, TraceLine};
use rxdp_sandbox::{End, PacketSocket, Sandbox, packets};

use super::TOO_LONG;

/// Sends packets and sees what the programs print that they meet.
///
/// Trace lines name no program, but the task in which it ran, and a packet over a veth runs in the task that sent it:
/// each packet is sent from a thread with a name of its own. Now and then the kernel gives the work to another thread,
/// or writes down no name; then another packet is sent.
#[derive(Debug)]
pub(crate) struct Witness {
    far: PacketSocket,
    pipe: File,
    _instance: TraceInstance,
    _alone: MutexGuard<'static, ()>,
}

impl Witness {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let alone = printing_alone();
        let instance = TraceInstance::new().unwrap();
        let far = sandbox.packet_socket(End::Far).unwrap();
        Self { far, pipe: instance.pipe_nonblocking().unwrap(), _instance: instance, _alone: alone }
    }

    /// What the programs printed that one packet met.
    pub(crate) fn lines_of_a_packet(&mut self) -> Vec<String> {
        let patience = PollTimeout::from(100u8);
        let start = Instant::now();
        while start.elapsed() < TOO_LONG {
            let sender = self.send();
            let mut printed = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
            poll(&mut printed, patience).unwrap();
            let text = self.read();
            let Some(task) = text.lines().find_map(|line| task_called(&sender, line)) else {
                continue;
            };
            let by_us = text.lines().filter(|line| line.split_whitespace().any(|word| word.ends_with(&task)));
            let lines = by_us.filter_map(TraceLine::parse);
            return lines.map(|line| line.message.trim_end().to_string()).collect();
        }
        panic!("no program prints anything");
    }

    /// Sends one packet; the name of the thread that did.
    fn send(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rx{:x}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        thread::scope(|scope| {
            let send = || self.far.send(&packets::udp(packets::ORIGIN, 9, b"witness")).unwrap();
            thread::Builder::new().name(name.clone()).spawn_scoped(scope, send).unwrap();
        });
        name
    }

    /// All that was printed since the last look.
    fn read(&mut self) -> String {
        let mut text = Vec::new();
        let end = self.pipe.read_to_end(&mut text).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::WouldBlock, "{end}");
        String::from_utf8(text).unwrap()
    }
}

/// `-4711`, where a line begins with `NAME-4711`. The kernel keeps names apart, and has not always one at hand.
fn task_called(name: &str, line: &str) -> Option<String> {
    let number = line.trim_start().strip_prefix(name)?;
    number.starts_with('-').then(|| number.split(' ').next().unwrap_or(number).to_string())
}

/// Tests whose programs print do so one at a time.
pub(crate) fn printing_alone() -> MutexGuard<'static, ()> {
    static PRINTING: Mutex<()> = Mutex::new(());
    PRINTING.lock().unwrap_or_else(PoisonError::into_inner)
}
