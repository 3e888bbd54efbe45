//! The thread that owns the sockets of one handle, with a small runtime of its own.
//!
//! Why a thread and not the caller's runtime: the kernel holds the sender for the 8 to 16 ms that an attach takes, which
//! would stall the caller's reactor; a guard must be able to detach while it is dropped, inside a runtime, after it, or
//! without one; and the thread stays in the network namespace it was started in, so that every socket is opened there
//! even if the caller goes elsewhere. Knows nothing of XDP.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::error::{Errno, NetlinkError};
use crate::extack;
use crate::socket::{Fault, Noted, OnLoss};

/// The multicast groups to bind to, a bit each. Source: `RTMGRP_LINK`, `include/uapi/linux/rtnetlink.h`.
const RTMGRP_LINK: u32 = 1;

/// The thread; ends with the last handle.
pub(crate) struct Driver {
    runtime: runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    subscribe: Arc<Subscribe>,
}

/// What the kernel announces about interfaces, as long as both halves are polled.
pub(crate) struct Announcements {
    /// Reads the socket; ends when that fails.
    pub(crate) connection: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(crate) messages: BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>,
}

/// Opens a socket for announcements. To be called on the driver's thread.
pub(crate) type Subscribe = dyn Fn() -> Result<Announcements, NetlinkError> + Send + Sync;

/// What the thread hands out when it is up.
struct Up {
    runtime: runtime::Handle,
    requests: rtnetlink::Handle,
}

impl Driver {
    /// Starts the thread. `open` is called on it: once now, and once for every wait for a deletion.
    pub(crate) fn start<S, F>(open: F, fault: &Fault) -> Result<(Self, rtnetlink::Handle), NetlinkError>
    where
        S: AsyncSocket + Send + 'static,
        F: Fn() -> io::Result<S> + Send + Sync + 'static,
    {
        let open = Arc::new(open);
        let (opened, fault) = (Arc::clone(&open), fault.clone());
        let (tell, told) = mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("rxdp-netlink".to_owned())
            .spawn(move || live(&*opened, fault, &tell, stopped))
            .map_err(|error| connect("starting a thread", &error))?;
        let Up { runtime, requests } = told.recv().unwrap_or_else(|_ended| {
            Err(NetlinkError::Connect {
                step: "running the thread",
                errno: Errno(nix::errno::Errno::ECHILD as i32),
            })
        })?;
        let subscribe: Arc<Subscribe> = Arc::new(move || subscribe(&*open));
        Ok((Self { runtime, stop: Some(stop), thread: Some(thread), subscribe }, requests))
    }

    /// Runs `work` on the thread, to its end even if the caller stops waiting. `None` if the thread ended first.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.runtime.spawn(work).await.ok()
    }

    /// Runs `work` on the thread for as long as the caller waits.
    pub(crate) async fn run_while_awaited<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let task = self.runtime.spawn(work);
        let _abort = AbortOnDrop(task.abort_handle());
        task.await.ok()
    }

    pub(crate) fn subscribe(&self) -> Arc<Subscribe> {
        Arc::clone(&self.subscribe)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        // An observer that owns the last handle is dropped on the thread itself, which cannot wait for itself.
        if thread.thread().id() == thread::current().id() {
            return;
        }
        // A panic of an observer has been printed already.
        let _ = thread.join();
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("thread", &self.thread).finish_non_exhaustive()
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The whole life of the thread.
fn live<S: AsyncSocket + Send + 'static>(
    open: &dyn Fn() -> io::Result<S>,
    fault: Fault,
    tell: &mpsc::SyncSender<Result<Up, NetlinkError>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match runtime::Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(tell.send(Err(connect("starting a runtime", &error)))),
    };
    runtime.block_on(async {
        let up = request_connection(open, fault)
            .map(|requests| Up { runtime: runtime.handle().clone(), requests });
        let is_up = up.is_ok();
        // The other end waits for this, so it is there.
        let _ = tell.send(up);
        if is_up {
            // Ends in an error when the sender is dropped, which is the signal.
            let _ = stopped.await;
        }
    });
}

fn request_connection<S: AsyncSocket + Send + 'static>(
    open: &dyn Fn() -> io::Result<S>,
    fault: Fault,
) -> Result<rtnetlink::Handle, NetlinkError> {
    let socket = open().map_err(|error| connect("opening a socket", &error))?;
    extack::switch_on(socket.socket_ref()).map_err(|error| connect("asking for extended answers", &error))?;
    let (mut connection, requests, _unsolicited) =
        rtnetlink::from_socket(Noted::new(socket, fault, OnLoss::Break));
    // Without these, a broken connection and a success look the same: the stream of answers ends.
    connection.set_forward_ack(true);
    connection.set_forward_done(true);
    tokio::spawn(connection);
    Ok(requests)
}

fn subscribe<S: AsyncSocket + Send + 'static>(
    open: &dyn Fn() -> io::Result<S>,
) -> Result<Announcements, NetlinkError> {
    let mut socket = open().map_err(|error| connect("opening a socket", &error))?;
    let groups = SocketAddr::new(0, RTMGRP_LINK);
    socket.socket_mut().bind(&groups).map_err(|error| connect("subscribing to interface changes", &error))?;
    let (connection, _requests, messages) =
        rtnetlink::from_socket(Noted::new(socket, Fault::default(), OnLoss::PassOn));
    let messages = messages.map(|(message, _from)| message).boxed();
    Ok(Announcements { connection: connection.boxed(), messages })
}

fn connect(step: &'static str, error: &io::Error) -> NetlinkError {
    NetlinkError::Connect { step, errno: Errno::of(error) }
}
