//! The core's views as the public types show them.

use std::sync::Arc;

use bytes::Bytes;
use hedgerow_core::bus::BusEvent;
use hedgerow_core::event::Event;
use hedgerow_core::id::PeerKey;
use hedgerow_core::link::LinkEnd;
use hedgerow_core::node::Node;
use hedgerow_core::presence::{self as core, ConnectionView, Graph, PeerView};
use hedgerow_core::route::MeshEdge;
use hedgerow_core::time::Instant;
use hedgerow_core::wire::control::CloseCode;

use crate::presence::metadata::{self, Metadata};
use crate::presence::{
    Change, Connection, JsonObject, LeaveReason, Peer, PresenceGraph, PresenceOs, Route,
};

/// The bytes that travel for a metadata object; nothing for an empty one.
pub(super) fn body_of(metadata: &Metadata) -> Bytes {
    if metadata.object().is_empty() {
        Bytes::new()
    } else {
        Bytes::copy_from_slice(metadata.json().as_bytes())
    }
}

/// The graph as it is now.
pub(super) fn graph(node: &Node, now: Instant) -> PresenceGraph {
    let Graph { local, remote } = node.graph(now);
    let mut local_peer = peer(&local);
    local_peer.hops = Some(0);
    PresenceGraph::new(local_peer, remote.iter().map(peer).collect::<Vec<_>>())
}

fn peer(view: &PeerView) -> Peer {
    let mut peer = Peer::new(view.key, view.device_name());
    if let Some(profile) = &view.profile {
        peer.os = Some(PresenceOs::from_code(profile.os));
        peer.sdk_version = Some(profile.sdk_version.clone());
    }
    peer.is_compatible = view.is_compatible;
    peer.is_connected_to_gateway = view.is_gateway();
    peer.connections = view.connections.iter().map(connection).collect();
    peer.peer_metadata = match &view.metadata {
        core::Metadata::Body(body) => remote_metadata(view, body),
        core::Metadata::Empty | core::Metadata::Pending => JsonObject::new(),
    };
    peer.metadata_pending = view.metadata == core::Metadata::Pending;
    peer.hops = view.route.map(|route| route.hops);
    peer.route = view.route.map(|route| {
        let cost = u32::try_from(route.cost).unwrap_or(u32::MAX);
        Route::new(route.next_hop, cost)
    });
    peer.last_seen = Some(view.last_seen);
    peer
}

/// A body whose hash fits its owner's profile but that is not metadata: the owner's fault.
fn remote_metadata(view: &PeerView, body: &Bytes) -> JsonObject {
    metadata::parse_remote(body).unwrap_or_else(|error| {
        tracing::warn!(peer = %view.key, %error, "a peer's metadata is not valid, shown as empty");
        JsonObject::new()
    })
}

fn connection(view: &ConnectionView) -> Connection {
    let mut connection = Connection::new(&view.a, &view.b, view.kind.clone());
    if let Some(figures) = view.figures {
        connection.rtt = Some(figures.rtt);
        connection.rate_bytes_per_s = Some(figures.rate_bytes_per_s);
        connection.is_active = figures.is_active;
    }
    connection
}

fn edge(edge: &MeshEdge) -> Connection {
    Connection::new(&edge.a, &edge.b, edge.kind.clone())
}

/// A change as readers get it, with the peer as it is now, or as it was when it left.
pub(super) fn change(
    change: &core::Change,
    graph: &PresenceGraph,
    before: &PresenceGraph,
) -> Change {
    let find = |key: &PeerKey| {
        let mut peers = graph.peers().chain(before.peers());
        let found = peers.find(|peer| peer.peer_key == *key).cloned();
        Arc::new(found.unwrap_or_else(|| Peer::new(*key, "")))
    };
    match change {
        core::Change::PeerJoined(key) => Change::PeerJoined(find(key)),
        core::Change::PeerLeft(key, core::LeaveReason::Unreachable) => {
            Change::PeerLeft { peer: find(key), reason: LeaveReason::Unreachable }
        }
        core::Change::PeerUpdated(key) => Change::PeerUpdated(find(key)),
        core::Change::ConnectionUp(up) => Change::ConnectionUp(edge(up)),
        core::Change::ConnectionDown(down) => Change::ConnectionDown(edge(down)),
    }
}

/// Tells the log what a user can follow (`info`), what needs one (`warn`), and what a developer
/// wants (`debug`).
pub(super) fn log(event: &Event) {
    match event {
        Event::LinkUp { link, peer, endpoint } => {
            tracing::info!(%peer, ?link, %endpoint, "link up");
        }
        Event::LinkDown { link, peer: Some(peer), endpoint, end } => {
            tracing::info!(%peer, ?link, %endpoint, reason = %end, "link down");
        }
        Event::LinkDown { link, peer: None, endpoint, end } => match end {
            LinkEnd::Here(CloseCode::Myself) => {
                tracing::debug!(?link, %endpoint, "this endpoint is this very node");
            }
            _ => tracing::debug!(?link, %endpoint, reason = %end, "link closed early"),
        },
        Event::DialFailed { transport, endpoint, reason } => {
            tracing::debug!(transport = transport.0, %endpoint, %reason, "dial failed");
        }
        Event::Transport(transport, condition) if condition.detail.is_empty() => {
            tracing::info!(transport = transport.0, state = ?condition.state, "transport");
        }
        Event::Transport(transport, condition) => {
            let detail = &condition.detail;
            tracing::warn!(transport = transport.0, state = ?condition.state, detail, "transport");
        }
        Event::DuplicateKey(instance) => tracing::warn!(
            ?instance,
            "another running node uses this node's key: give one of them a home of its own"
        ),
        Event::AddressCollision(peers) => {
            tracing::warn!(?peers, "these peers share an address and cannot be reached");
        }
        Event::EpochStepped(epoch) => {
            tracing::info!(epoch, "stepped above an earlier run of this node");
        }
        Event::Overflow(lost) => tracing::warn!(lost, "events were lost, looking again"),
        Event::Presence(change) => tracing::debug!(?change, "presence"),
        Event::Bus(BusEvent::SessionUp { peer, cipher }) => {
            tracing::debug!(%peer, ?cipher, "session up");
        }
        Event::Bus(event) => tracing::trace!(?event, "bus"),
        Event::Trace(event) => tracing::trace!(?event, "trace"),
        _ => {}
    }
}
