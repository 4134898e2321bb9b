//! The core's views as the public types show them.

use std::sync::Arc;

use bytes::Bytes;
use hedgerow_core::bus::BusEvent;
use hedgerow_core::event::Event;
use hedgerow_core::id::PeerKey;
use hedgerow_core::io::{Condition, ConditionState, ConnectionType};
use hedgerow_core::node::Node;
use hedgerow_core::presence::{self as core, ConnectionView, Graph, PeerView};
use hedgerow_core::route::MeshEdge;
use hedgerow_core::time::Instant;

use crate::links::metres;
use crate::presence::metadata::{self, Metadata, MetadataError};
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

/// Who is told of metadata whose hash fits its owner's profile but that is not metadata.
type OnInvalid<'a> = dyn FnMut(PeerKey, MetadataError) + 'a;

/// The graph as it is now. Metadata that is invalid is shown as empty, and told.
pub(super) fn graph(node: &Node, now: Instant, on_invalid: &mut OnInvalid<'_>) -> PresenceGraph {
    let Graph { local, remote } = node.graph(now);
    let mut local_peer = peer(&local, on_invalid);
    local_peer.hops = Some(0);
    let remote: Vec<Peer> = remote.iter().map(|view| peer(view, on_invalid)).collect();
    PresenceGraph::new(local_peer, remote)
}

fn peer(view: &PeerView, on_invalid: &mut OnInvalid<'_>) -> Peer {
    let mut peer = Peer::new(view.key, view.device_name());
    if let Some(profile) = &view.profile {
        peer.os = Some(PresenceOs::from_code(profile.os));
        peer.sdk_version = Some(profile.sdk_version.clone());
    }
    peer.is_compatible = view.is_compatible;
    peer.is_connected_to_gateway = view.is_gateway();
    peer.connections = view.connections.iter().map(connection).collect();
    peer.peer_metadata = match &view.metadata {
        core::Metadata::Body(body) => metadata::parse_remote(body).unwrap_or_else(|error| {
            on_invalid(view.key, error);
            JsonObject::new()
        }),
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

fn connection(view: &ConnectionView) -> Connection {
    let mut connection = Connection::new(&view.a, &view.b, view.kind.clone());
    if let Some(figures) = view.figures {
        connection.rtt = Some(figures.rtt);
        connection.rate_bytes_per_s = Some(figures.rate_bytes_per_s);
        connection.approximate_distance_in_meters = figures.distance.map(metres);
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

/// Tells the log how a transport is, whenever that changes.
pub(super) fn log_condition(transport: &ConnectionType, condition: &Condition) {
    let (transport, state, detail) = (transport.name(), condition.state, &condition.detail);
    match state {
        ConditionState::Ok => tracing::info!(transport, "works again"),
        // Somebody wants it so, or cannot have it otherwise.
        ConditionState::Disabled | ConditionState::NoHardware | ConditionState::Unsupported => {
            tracing::info!(transport, ?state, "{detail}")
        }
        _ => tracing::warn!(transport, ?state, "{detail}"),
    }
}

/// Tells the log what a user can follow (`info`) and what a developer wants (`debug`). What needs
/// somebody is a notice, or the condition of a transport.
pub(super) fn log(event: &Event) {
    match event {
        Event::LinkUp { link, peer, endpoint } => {
            tracing::info!(%peer, ?link, %endpoint, "link up");
        }
        Event::LinkDown { link, peer: Some(peer), endpoint, end } => {
            tracing::info!(%peer, ?link, %endpoint, reason = %end, "link down");
        }
        // Strangers make as many of these as they like; a notice tells of them once in a while.
        Event::LinkDown { link, peer: None, endpoint, end } => {
            tracing::debug!(?link, %endpoint, reason = %end, "no link");
        }
        Event::DialFailed { transport, endpoint, reason } => {
            tracing::debug!(transport = transport.0, %endpoint, %reason, "dial failed");
        }
        Event::EpochStepped(epoch) => {
            tracing::info!(epoch, "stepped above an earlier run of this node");
        }
        Event::Presence(change) => tracing::debug!(?change, "presence"),
        Event::Bus(BusEvent::SessionUp { peer, cipher }) => {
            tracing::debug!(%peer, ?cipher, "session up");
        }
        Event::Bus(event) => tracing::trace!(?event, "bus"),
        Event::Trace(event) => tracing::trace!(?event, "trace"),
        _ => {}
    }
}
