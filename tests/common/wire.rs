//! Packets from far to near, past the stack.
//!
//! What may not enter: the command.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rxdp_sandbox::{End, PacketSocket, Sandbox, packets};

use super::TOO_LONG;

/// UDP over the cable: what no XDP program drops arrives, and in the order in which it was sent.
#[derive(Debug)]
pub(crate) struct Wire {
    far: PacketSocket,
    near: PacketSocket,
}

impl Wire {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let socket = |end| sandbox.packet_socket(end).unwrap();
        Self { far: socket(End::Far), near: socket(End::Near) }
    }

    pub(crate) fn send(&self, payload: &[u8]) {
        self.far.send(&packets::udp(4000, 9, payload)).unwrap();
    }

    /// Payload of the next packet that arrives.
    pub(crate) fn next(&self) -> Vec<u8> {
        const HEADERS: usize = 14 + 20 + 8;
        self.near.receive(TOO_LONG).unwrap().expect("a packet")[HEADERS..].to_vec()
    }

    /// Sends without a pause while `work` runs; how many. `work` can look at the count meanwhile, which is not 0.
    pub(crate) fn flood(&self, payload: &[u8], work: impl FnOnce(&AtomicU32)) -> u32 {
        // Two at once take the processors away from each other, and from what is to happen meanwhile.
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (sent, enough) = (AtomicU32::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            // Set also when `work` panics, or the scope would wait for ever.
            let _enough = OnDrop(|| enough.store(true, Ordering::Relaxed));
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    self.send(payload);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
            while sent.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            work(&sent);
        });
        sent.into_inner()
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
