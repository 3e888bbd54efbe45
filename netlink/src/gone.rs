//! Waiting for an interface to be deleted, without polling and without a gap.
//!
//! First subscribe, then look: a deletion before the look is seen by the look, one after it is announced. Runs on the
//! driver's thread.

use std::pin::pin;

use futures_util::StreamExt;
use futures_util::future::{self, Either};
use futures_util::stream::BoxStream;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

use crate::client::Client;
use crate::driver::{Announcements, Subscribe};
use crate::error::NetlinkError;
use crate::message::{self, Request};

/// Ends when the interface is gone.
pub(crate) async fn wait(client: Client, subscribe: &Subscribe, ifindex: u32) -> Result<(), NetlinkError> {
    let Announcements { connection, messages } = subscribe()?;
    match future::select(connection, pin!(watch(&client, messages, ifindex))).await {
        // What the connection has read before it broke is still to be seen.
        Either::Left(((), watch)) => watch.await,
        Either::Right((end, _connection)) => end,
    }
}

async fn watch(
    client: &Client,
    mut messages: BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>,
    ifindex: u32,
) -> Result<(), NetlinkError> {
    if is_gone(client, ifindex).await? {
        return Ok(());
    }
    while let Some(message) = messages.next().await {
        if message::deleted(&message) == Some(ifindex) {
            return Ok(());
        }
        // The kernel had more to say than the socket could hold: only a look can tell what was missed.
        if matches!(message.payload, NetlinkPayload::Overrun(_)) && is_gone(client, ifindex).await? {
            return Ok(());
        }
    }
    Err(client.lost(&Request::LinkByIndex(ifindex)))
}

async fn is_gone(client: &Client, ifindex: u32) -> Result<bool, NetlinkError> {
    match client.link(ifindex).await {
        Ok(_) => Ok(false),
        Err(NetlinkError::InterfaceGone { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
