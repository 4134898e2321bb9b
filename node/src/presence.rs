//! Who is there: the presence graph, what changes in it, and what peers say about themselves.

mod change;
mod changes;
mod connection;
mod dot;
mod graph;
mod json;
mod live;
pub mod metadata;
mod observer;
mod os;
mod peer;

pub use change::{Change, LeaveReason};
pub use changes::Changes;
pub use connection::Connection;
pub use graph::{InvalidGraph, PresenceGraph};
pub use hedgerow_core::io::ConnectionType;
pub use live::Presence;
pub use observer::PresenceObserver;
pub use os::PresenceOs;
pub use peer::{Peer, Route};

/// A JSON object: what metadata is.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use hedgerow_core::id::PeerKey;
    use hedgerow_core::identity::Identity;
    use serde_json::json;

    use super::*;

    /// The key of the `number`-th test identity: always the same.
    pub(crate) fn key(number: u8) -> PeerKey {
        let seeds = (0..=u8::MAX).map(|first| {
            let mut seed = [number; 32];
            seed[0] = first;
            seed
        });
        let identity = seeds.filter_map(|seed| Identity::from_seed(&seed).ok()).next();
        identity.expect("half of all seeds are usable").peer_key()
    }

    /// This node (key 1), a neighbour (key 2) and a third peer behind it (key 3).
    pub(crate) fn mesh() -> PresenceGraph {
        let mut near = Connection::new(&key(1), &key(2), ConnectionType::AccessPoint);
        let far = Connection::new(&key(2), &key(3), ConnectionType::Bluetooth);

        let mut neighbour = Peer::new(key(2), "neighbour");
        neighbour.connections = vec![near.clone(), far.clone()];
        neighbour.os = Some(PresenceOs::MacOS);
        neighbour.is_compatible = Some(true);
        neighbour.hops = Some(1);
        neighbour.route = Some(Route::new(key(2), 12));
        neighbour.last_seen = Some(Duration::from_millis(40));
        neighbour.metadata_pending = true;

        near.rtt = Some(Duration::from_micros(215));
        near.loss = Some(0.0);
        near.rate_bytes_per_s = Some(1_000_000);
        near.is_active = true;
        let mut local = Peer::new(key(1), "Ünïcode");
        local.connections = vec![near];
        local.os = Some(PresenceOs::Linux);
        local.sdk_version = Some("0.1.0".into());
        local.is_compatible = Some(true);
        local.hops = Some(0);
        let metadata = json!({"location": {"room": 4}, "tags": ["a", null, 1.5]});
        local.peer_metadata = metadata.as_object().unwrap().clone();

        let mut third = Peer::new(key(3), "");
        third.connections = vec![far];
        third.is_connected_to_gateway = true;
        third.identity_service_metadata.insert("role".into(), "nurse".into());
        third.hops = Some(2);
        third.route = Some(Route::new(key(2), 80));
        third.last_seen = Some(Duration::from_secs(3));
        PresenceGraph::new(local, vec![neighbour, third])
    }
}
