//! One peer.

use std::time::Duration;

use hedgerow_core::id::{Address, PeerKey};

use super::{Connection, JsonObject, PresenceOs};

/// A node of the mesh, as the presence graph shows it: this one, a neighbour, or one many hops
/// away.
///
/// In JSON what is unknown is left out, and three keys stand twice: `dittoSDKVersion` beside
/// `sdkVersion` and `isConnectedToDittoCloud` beside `isConnectedToGateway` for the viewers
/// that look for those names, and `peerKey`, deprecated, beside `peerKeyString`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// What routing headers carry for it. JSON: 16 hexadecimal digits.
    pub address: Address,
    /// Its public key. JSON: 32 numbers; readers should prefer `peerKeyString`.
    pub peer_key: PeerKey,
    /// Its public key as text: the name to use for it everywhere.
    pub peer_key_string: String,
    /// What its owner calls it; need not be unique. Empty while unknown.
    pub device_name: String,
    /// Its operating system; `None` while unknown.
    pub os: Option<PresenceOs>,
    /// The version of Hedgerow it runs; `None` while unknown.
    pub sdk_version: Option<String>,
    /// Whether the two nodes speak a common protocol version; `None` while unknown.
    pub is_compatible: Option<bool>,
    /// Whether it is connected to a gateway to the world outside the mesh.
    pub is_connected_to_gateway: bool,
    /// Its connections, to anybody.
    pub connections: Vec<Connection>,
    /// What it says about itself; signed by it, believed by nobody else.
    pub peer_metadata: JsonObject,
    /// What an identity service that this node trusts says about it; empty unless verified.
    pub identity_service_metadata: JsonObject,
    /// Hops on the route to it: 0 to itself, 1 for a neighbour; `None` without a route.
    pub hops: Option<u16>,
    /// The way to it; `None` for this node and without a route.
    pub route: Option<Route>,
    /// How long ago it was last known to be reachable, by this node's clock. JSON: `lastSeenMs`.
    pub last_seen: Option<Duration>,
    /// Whether its metadata is known to have changed and is still on its way.
    pub metadata_pending: bool,
}

/// The way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The neighbour that frames to it go to first; the peer itself when it is a neighbour.
    /// JSON: `nextHop`, its key as text.
    pub next_hop: PeerKey,
    /// The sum of the links' costs on the path: lower is better.
    pub cost: u32,
}

impl Route {
    /// A route by way of `next_hop`.
    #[must_use]
    pub const fn new(next_hop: PeerKey, cost: u32) -> Self {
        Self { next_hop, cost }
    }
}

impl Peer {
    /// A peer of which only the key and the name are known.
    #[must_use]
    pub fn new(peer_key: PeerKey, device_name: impl Into<String>) -> Self {
        Self {
            address: peer_key.address(),
            peer_key,
            peer_key_string: peer_key.to_string(),
            device_name: device_name.into(),
            os: None,
            sdk_version: None,
            is_compatible: None,
            is_connected_to_gateway: false,
            connections: Vec::new(),
            peer_metadata: JsonObject::new(),
            identity_service_metadata: JsonObject::new(),
            hops: None,
            route: None,
            last_seen: None,
            metadata_pending: false,
        }
    }
}
