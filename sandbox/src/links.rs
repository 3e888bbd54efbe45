//! Interfaces of both namespaces over rtnetlink: make, address, change, delete, and wait until they carry.
//!
//! One [`Session`] is two connections, one in each namespace, driven by the thread that opened it. Everything
//! async stays in this file. What may not enter: sockets for packets, mounts.

use std::{
    fs::File,
    net::IpAddr,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use futures_channel::mpsc::UnboundedReceiver;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoVeth, LinkAttribute, LinkMessage, State},
};
use nix::{errno::Errno, net::if_::if_nametoindex};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, MulticastGroup, new_multicast_connection,
    sys::SocketAddr,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{
    end::{End, PREFIX_LEN},
    error::{SandboxError, Step, errno_of},
    namespace::Namespace,
};

/// How long a veth pair may take until both ends carry. It takes milliseconds.
const CARRIER_WAIT: Duration = Duration::from_secs(10);

/// The interface indexes of a veth pair, each valid in its own namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Veth {
    /// Index of the end in near.
    pub near: u32,
    /// Index of the end in far.
    pub far: u32,
}

/// One end of a veth pair to be made.
#[derive(Clone, Copy)]
pub(crate) enum Plug<'a> {
    /// The sandbox's own, with everything fixed.
    Fixed(End),
    /// One more, with index and MAC address of the kernel's choice.
    Named(&'a str),
    /// The same, with one queue each way. That one end of a pair says a number has both ends use all queues they have.
    OneQueue(&'a str),
    /// The same, with this many queues for sending.
    Queues(&'a str, u32),
}

impl<'a> Plug<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Fixed(end) => end.interface(),
            Self::Named(name) | Self::OneQueue(name) | Self::Queues(name, _) => name,
        }
    }
}

/// Netlink in both namespaces, for the thread that opened it.
pub(crate) struct Session {
    runtime: Runtime,
    near: Wire,
    far: Wire,
}

impl Session {
    /// Opens both connections. Leaves the calling thread in `near`.
    pub(crate) fn open(near: &Namespace, far: &Namespace) -> Result<Self, SandboxError> {
        let refused = |e: &_| SandboxError::io(Step::OpenNetlink, e);
        let runtime =
            Builder::new_current_thread().enable_io().enable_time().build().map_err(|e| refused(&e))?;
        let context = runtime.enter();
        // A socket belongs for good to the namespace that its thread was in when it was made.
        far.enter()?;
        let far = Wire::open()?;
        near.enter()?;
        let near = Wire::open()?;
        drop(context);
        Ok(Self { runtime, near, far })
    }

    /// Adds a veth pair, up at both ends, and waits until both carry.
    pub(crate) fn add_veth(
        &mut self,
        near: Plug<'_>,
        far: Plug<'_>,
        far_network: &File,
    ) -> Result<Veth, SandboxError> {
        let request = veth_request(near, far, far_network.as_raw_fd());
        let Self { runtime, near: near_wire, far: far_wire } = self;
        runtime.block_on(async {
            let added = near_wire.handle.link().add(request).execute().await;
            let step = || Step::AddVeth { near: near.name().into(), far: far.name().into() };
            added.map_err(|e| SandboxError::netlink(step(), e))?;
            // Not in the same request: veth comes up only once it knows its peer.
            far_wire.set_up(far.name()).await?;
            near_wire.set_up(near.name()).await?;
            Ok(Veth {
                near: near_wire.carrying(near.name()).await?,
                far: far_wire.carrying(far.name()).await?,
            })
        })
    }

    /// Sets the loopback of `end` up.
    pub(crate) fn set_loopback_up(&self, end: End) -> Result<(), SandboxError> {
        self.runtime.block_on(self.wire(end).set_up("lo"))
    }

    /// Gives the interface `index` of `end` its address, and the MAC address of the other end.
    pub(crate) fn introduce(&self, end: End, index: u32) -> Result<(), SandboxError> {
        let interface = || end.interface().into();
        let wire = self.wire(end);
        let (own, peer) = (IpAddr::V4(end.ip()), IpAddr::V4(end.other().ip()));
        self.runtime.block_on(async {
            let added = wire.handle.address().add(index, own, PREFIX_LEN).execute().await;
            added.map_err(|e| SandboxError::netlink(Step::AddAddress { interface: interface() }, e))?;
            let neighbour = wire.handle.neighbours().add(index, peer).link_layer_address(&end.other().mac());
            let added = neighbour.execute().await;
            added.map_err(|e| SandboxError::netlink(Step::AddNeighbour { interface: interface() }, e))
        })
    }

    /// Deletes the interface called `name`, with its peer.
    pub(crate) fn delete(&self, name: &str) -> Result<(), SandboxError> {
        self.at_either_end(Step::DeleteLink { interface: name.into() }, |wire| {
            let message = LinkUnspec::new_with_name(name).build();
            self.runtime.block_on(wire.handle.link().del_with_message(message).execute())
        })
    }

    /// Sets the MTU of the interface called `name`, in bytes.
    pub(crate) fn set_mtu(&self, name: &str, mtu: u32) -> Result<(), SandboxError> {
        self.at_either_end(Step::SetMtu { interface: name.into(), mtu }, |wire| {
            let message = LinkUnspec::new_with_name(name).mtu(mtu).build();
            self.runtime.block_on(wire.handle.link().change(message).execute())
        })
    }

    /// Adds a bridge to near, up.
    pub(crate) fn add_bridge(&self, name: &str) -> Result<(), SandboxError> {
        let request = LinkBridge::new(name).up().build();
        let added = self.runtime.block_on(self.near.handle.link().add(request).execute());
        added.map_err(|e| SandboxError::netlink(Step::AddBridge { interface: name.into() }, e))
    }

    /// Makes the sandbox's own interface of `end` a port of a bridge of near, where the calling thread is.
    pub(crate) fn make_port(&self, end: End, bridge: &str) -> Result<(), SandboxError> {
        let step = || Step::MakePort { bridge: bridge.into() };
        let index = if_nametoindex(bridge).map_err(|_none| SandboxError::NoInterface { step: step() })?;
        let message = LinkUnspec::new_with_name(end.interface()).controller(index).build();
        let changed = self.runtime.block_on(self.wire(end).handle.link().change(message).execute());
        changed.map_err(|e| SandboxError::netlink(step(), e))
    }

    /// Sends a request to near and, where near has no such interface, to far.
    fn at_either_end(
        &self,
        step: Step,
        request: impl Fn(&Wire) -> Result<(), rtnetlink::Error>,
    ) -> Result<(), SandboxError> {
        for wire in [&self.near, &self.far] {
            match request(wire) {
                Err(e) if errno_of(&e) == Some(Errno::ENODEV) => {}
                other => return other.map_err(|e| SandboxError::netlink(step, e)),
            }
        }
        Err(SandboxError::NoInterface { step })
    }

    fn wire(&self, end: End) -> &Wire {
        match end {
            End::Near => &self.near,
            End::Far => &self.far,
        }
    }
}

type News = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// One connection, which also hears of every change to the links of its namespace.
struct Wire {
    handle: Handle,
    news: News,
}

impl Wire {
    /// A connection in the calling thread's network namespace. Call inside a runtime.
    fn open() -> Result<Self, SandboxError> {
        let opened = new_multicast_connection(&[MulticastGroup::Link]);
        let (connection, handle, news) = opened.map_err(|e| SandboxError::io(Step::OpenNetlink, &e))?;
        tokio::spawn(connection);
        Ok(Self { handle, news })
    }

    async fn set_up(&self, name: &str) -> Result<(), SandboxError> {
        let message = LinkUnspec::new_with_name(name).up().build();
        let changed = self.handle.link().change(message).execute().await;
        changed.map_err(|e| SandboxError::netlink(Step::SetUp { interface: name.to_owned() }, e))
    }

    /// Waits for the news that `name` carries, and gives its index.
    ///
    /// Of the two ends of a veth pair the one that came up first gets its transmit queue later, by a kernel
    /// worker; what is sent before is lost. Operational state "up" is announced after that.
    async fn carrying(&mut self, name: &str) -> Result<u32, SandboxError> {
        let news = &mut self.news;
        let up = async move {
            loop {
                // The connection lives as long as `self`: an end of the news leaves the wait to its timeout.
                let Ok((message, _)) = news.recv().await else { return std::future::pending().await };
                if let Some(index) = index_if_up(&message, name) {
                    return index;
                }
            }
        };
        let late = |_elapsed| SandboxError::NoCarrier { interface: name.to_owned(), waited: CARRIER_WAIT };
        timeout(CARRIER_WAIT, up).await.map_err(late)
    }
}

/// One request for both ends, so that no half of a pair ever exists in the wrong namespace.
fn veth_request(near: Plug<'_>, far: Plug<'_>, far_network: RawFd) -> LinkMessage {
    let peer = plug(LinkMessageBuilder::<LinkUnspec>::default(), far).setns_by_fd(far_network).build();
    plug(LinkVeth::new(near.name(), far.name()), near)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build()
}

fn plug<T>(builder: LinkMessageBuilder<T>, plug: Plug<'_>) -> LinkMessageBuilder<T> {
    match plug {
        Plug::Fixed(end) => builder.name(end.interface()).index(end.index()).address(end.mac().to_vec()),
        Plug::Named(name) => builder.name(name),
        Plug::OneQueue(name) => builder
            .name(name)
            .append_extra_attribute(LinkAttribute::NumRxQueues(1))
            .append_extra_attribute(LinkAttribute::NumTxQueues(1)),
        Plug::Queues(name, queues) => {
            builder.name(name).append_extra_attribute(LinkAttribute::NumTxQueues(queues))
        }
    }
}

fn index_if_up(message: &NetlinkMessage<RouteNetlinkMessage>, name: &str) -> Option<u32> {
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = &message.payload else {
        return None;
    };
    let has = |wanted: &LinkAttribute| link.attributes.contains(wanted);
    let up = has(&LinkAttribute::IfName(name.to_owned())) && has(&LinkAttribute::OperState(State::Up));
    up.then_some(link.header.index)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::mount::{MsFlags, mount};

    use super::*;
    use crate::{namespace::on_fresh_thread, testing::kernel_or_skip};

    /// On fresh namespaces both ends get the same index: for such a pair the kernel takes its time, up to a
    /// second, and a wait that is none shows.
    #[test]
    fn a_pair_is_up_when_add_veth_returns() {
        let Some(_privileged) = kernel_or_skip("a_pair_is_up_when_add_veth_returns") else { return };
        let state = on_fresh_thread(|| {
            let far = Namespace::with_network()?;
            let near = Namespace::with_network_and_bpffs()?;
            let mut session = Session::open(&near, &far)?;
            let veth = session.add_veth(Plug::Named("one"), Plug::Named("two"), far.network())?;
            assert_eq!(veth.near, veth.far);
            // Asking over netlink would hurry the kernel. This sysfs is near's own and goes with it.
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>).unwrap();
            Ok(fs::read_to_string("/sys/class/net/one/operstate").unwrap())
        });
        assert_eq!(state.unwrap(), "up\n");
    }
}
