//! What the kernel tests stand on: a network namespace a test, veth pairs in it, tiny XDP programs, and a socket that
//! fails when it is told to. Everything goes with the thread or the descriptor that holds it, also when a test is
//! killed.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::BufMut;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr, TokioSocket};
use rtnetlink::{LinkBridge, LinkUnspec, LinkVeth};
use tokio::runtime::{Builder, Runtime};

/// Longer than anything here takes; a wait that reaches it has failed.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(20);

/// Runs `test` as root in a network namespace of its own, which ends with it; skips aloud where that cannot be.
pub(crate) fn in_namespace(test: impl FnOnce(&Namespace) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        return skip("needs root");
    }
    let name = thread::current().name().unwrap_or("test").to_owned();
    let thread = thread::Builder::new().name(name).spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        test(&Namespace { runtime: runtime() });
    });
    if let Err(panic) = thread.expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

/// Says on the real standard error, which no test runner hides, that a test did not run.
fn skip(why: &str) {
    let test = thread::current().name().unwrap_or("test").to_owned();
    assert!(std::env::var_os("RXDP_REQUIRE_KERNEL").is_none_or(|v| v != "1"), "{test}: {why}");
    writeln!(io::stderr(), "SKIPPED {test}: {why}").expect("standard error");
}

/// Runs `work` to its end in a runtime of its own, or fails when it takes too long.
pub(crate) fn in_time<T>(work: impl Future<Output = T>) -> T {
    until_end(&runtime(), work)
}

fn until_end<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(async { tokio::time::timeout(TOO_LONG, work).await.expect("an end in time") })
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The namespace of the current thread and of those it starts.
pub(crate) struct Namespace {
    runtime: Runtime,
}

impl Namespace {
    /// Runs `work` to its end, or fails when it takes too long.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        until_end(&self.runtime, work)
    }

    /// A pair of interfaces; their indexes.
    pub(crate) fn veth(&self, name: &str, peer: &str) -> (u32, u32) {
        self.add(LinkVeth::new(name, peer).build());
        (index(name), index(peer))
    }

    pub(crate) fn bridge(&self, name: &str) -> u32 {
        self.add(LinkBridge::new(name).build());
        index(name)
    }

    fn add(&self, message: LinkMessage) {
        self.block_on(async { connection().link().add(message).execute().await.expect("a new interface") });
    }

    pub(crate) fn set(&self, message: LinkMessage) {
        self.block_on(async {
            connection().link().change(message).execute().await.expect("a changed interface")
        });
    }

    pub(crate) fn set_mtu(&self, ifindex: u32, mtu: u32) {
        self.set(LinkUnspec::new_with_index(ifindex).mtu(mtu).build());
    }

    pub(crate) fn add_alt_name(&self, ifindex: u32, name: &str) {
        self.block_on(async {
            let names = connection().link().property_add(ifindex).alt_ifname(&[name]);
            names.execute().await.expect("an alternative name");
        });
    }

    pub(crate) fn delete(&self, ifindex: u32) {
        self.block_on(delete(ifindex));
    }
}

/// Deletes an interface from anywhere in the namespace, also from inside a runtime.
pub(crate) fn delete_from_another_thread(ifindex: u32) {
    thread::spawn(move || runtime().block_on(delete(ifindex))).join().expect("a deleted interface");
}

async fn delete(ifindex: u32) {
    connection().link().del(ifindex).execute().await.expect("a deleted interface");
}

fn connection() -> rtnetlink::Handle {
    let (connection, handle, _) = rtnetlink::new_connection().expect("a netlink connection");
    tokio::spawn(connection);
    handle
}

fn index(name: &str) -> u32 {
    // `self` would be the main thread, in another namespace.
    let text = fs::read_to_string("/proc/thread-self/net/dev").expect("the interfaces");
    assert!(text.contains(&format!("{name}:")), "{name} is not among {text}");
    rxdp_netlink::blocking::Handle::connect().unwrap().link_by_name(name).unwrap().ifindex
}

const BPF_PROG_LOAD: i64 = 5;
const BPF_LINK_CREATE: i64 = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;

/// An XDP program that lets everything pass: `r0 = 2; exit`.
pub(crate) fn xdp_pass() -> OwnedFd {
    const INSNS: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
    const LICENSE: &[u8] = b"MIT\0";
    // union bpf_attr as words of 4 bytes, up to expected_attach_type.
    let mut attr = [0u32; 18];
    attr[0] = BPF_PROG_TYPE_XDP;
    attr[1] = 2;
    put_address(&mut attr[2..4], INSNS.as_ptr().addr());
    put_address(&mut attr[4..6], LICENSE.as_ptr().addr());
    attr[17] = BPF_XDP;
    bpf(BPF_PROG_LOAD, &attr).expect("an XDP program")
}

/// Puts a program on an interface with a bpf_link, for as long as the descriptor lives.
pub(crate) fn xdp_link(program: &OwnedFd, ifindex: u32) -> OwnedFd {
    const XDP_FLAGS_DRV_MODE: u32 = 4;
    let program = u32::try_from(program.as_raw_fd()).unwrap();
    bpf(BPF_LINK_CREATE, &[program, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE]).expect("a bpf_link")
}

fn put_address(words: &mut [u32], address: usize) {
    let bytes = (address as u64).to_ne_bytes();
    words[0] = u32::from_ne_bytes(*bytes.first_chunk().unwrap());
    words[1] = u32::from_ne_bytes(*bytes.last_chunk().unwrap());
}

fn bpf(command: i64, attr: &[u32]) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the given number of bytes of `attr`, and behind its addresses what this file put there.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(attr)) };
    let fd = i32::try_from(fd).unwrap();
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the current thread, and no other, an unprivileged user.
pub(crate) fn drop_privileges_of_this_thread() {
    const NOBODY: u32 = 65534;
    // SAFETY: changes three numbers of this thread. The raw call, since libc's function changes all threads.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// The id that the kernel gave a program.
pub(crate) fn id(program: &OwnedFd) -> u32 {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd())).unwrap();
    let id = text.lines().find_map(|line| line.strip_prefix("prog_id:")).expect("a program id");
    id.trim().parse().unwrap()
}

/// When a socket fails, and with what; counts what it did. Counts start at 1, 0 is never.
#[derive(Default)]
pub(crate) struct Faults {
    send: usize,
    receive: usize,
    errno: i32,
    sent: AtomicUsize,
    /// The last send found the socket busy, and the next is the same again.
    resend: AtomicBool,
    received: AtomicUsize,
}

impl Faults {
    /// The send number `at` fails with `errno`.
    pub(crate) fn on_send(at: usize, errno: i32) -> Arc<Self> {
        Arc::new(Self { send: at, errno, ..Self::default() })
    }

    /// The receive number `at` fails with `errno`.
    pub(crate) fn on_receive(at: usize, errno: i32) -> Arc<Self> {
        Arc::new(Self { receive: at, errno, ..Self::default() })
    }

    /// Whether the fault has come to pass.
    pub(crate) fn happened(&self) -> bool {
        let reached = |at, count: &AtomicUsize| at != 0 && count.load(Ordering::SeqCst) >= at;
        reached(self.send, &self.sent) || reached(self.receive, &self.received)
    }

    fn is_due(&self, at: usize, count: &AtomicUsize) -> bool {
        count.fetch_add(1, Ordering::SeqCst).checked_add(1) == Some(at)
    }

    fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}

/// A socket that fails once: a send before it reaches the kernel, a receive after its datagram is lost.
pub(crate) struct Faulty {
    inner: TokioSocket,
    faults: Arc<Faults>,
}

impl Faulty {
    pub(crate) fn open(faults: &Arc<Faults>) -> io::Result<Self> {
        Ok(Self { inner: TokioSocket::new(NETLINK_ROUTE)?, faults: Arc::clone(faults) })
    }
}

impl AsyncSocket for Faulty {
    fn socket_ref(&self) -> &Socket {
        self.inner.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.inner.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        Ok(Self { inner: TokioSocket::new(protocol)?, faults: Arc::default() })
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.poll_send(cx, buf)
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], addr: &SocketAddr) -> Poll<io::Result<usize>> {
        let faults = &self.faults;
        let is_new = !faults.resend.swap(false, Ordering::SeqCst);
        if is_new && faults.is_due(faults.send, &faults.sent) {
            return Poll::Ready(Err(faults.error()));
        }
        let outcome = self.inner.poll_send_to(cx, buf, addr);
        faults.resend.store(outcome.is_pending(), Ordering::SeqCst);
        outcome
    }

    fn poll_recv<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<()>> {
        self.inner.poll_recv(cx, buf)
    }

    fn poll_recv_from<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<SocketAddr>> {
        let mut datagram = Vec::with_capacity(1 << 16);
        let outcome = self.inner.poll_recv_from(cx, &mut datagram);
        if outcome.is_ready() && self.faults.is_due(self.faults.receive, &self.faults.received) {
            return Poll::Ready(Err(self.faults.error()));
        }
        buf.put_slice(&datagram);
        outcome
    }

    fn poll_recv_from_full(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.inner.poll_recv_from_full(cx)
    }
}
