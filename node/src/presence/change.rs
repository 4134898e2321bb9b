//! What changed between two graphs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Connection, Peer, PresenceGraph};

/// One change of the presence graph.
///
/// JSON: an object with the key `event` (`"peerJoined"`, `"connectionUp"` ...) and beside it the
/// keys of the peer, the connection or the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Change {
    /// A peer can be reached that could not be before.
    PeerJoined(Arc<Peer>),
    /// A peer left the graph.
    PeerLeft {
        /// The peer, as it was last known.
        #[serde(flatten)]
        peer: Arc<Peer>,
        /// Why.
        reason: LeaveReason,
    },
    /// Something that a peer says about itself, or the way to it, changed.
    PeerUpdated(Arc<Peer>),
    /// Two peers are connected.
    ConnectionUp(Connection),
    /// Two peers are not connected any more.
    ConnectionDown(Connection),
    /// The reader was too slow and missed changes; what it missed is in the graph.
    Lagged {
        /// How many changes were missed.
        missed: u64,
        /// The graph after all of them: go on from here.
        #[serde(flatten)]
        graph: PresenceGraph,
    },
}

/// Why a peer left the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LeaveReason {
    /// It said goodbye.
    Goodbye,
    /// No path leads to it any more, and the grace is over.
    Unreachable,
    /// This node's own handler revoked its admission.
    Revoked,
    /// One that this build does not know.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use hedgerow_core::io::ConnectionType;

    use super::*;
    use crate::presence::tests::{key, mesh};

    fn json(change: &Change) -> serde_json::Value {
        let json = serde_json::to_value(change).unwrap();
        assert_eq!(serde_json::from_value::<Change>(json.clone()).unwrap(), *change);
        json
    }

    #[test]
    fn each_change_is_an_event_with_the_keys_of_what_changed() {
        let peer = Arc::new(mesh().remote_peers[0].clone());
        let name = &peer.peer_key_string;
        for (change, event) in [
            (Change::PeerJoined(peer.clone()), "peerJoined"),
            (Change::PeerUpdated(peer.clone()), "peerUpdated"),
            (Change::PeerLeft { peer: peer.clone(), reason: LeaveReason::Goodbye }, "peerLeft"),
        ] {
            let json = json(&change);
            assert_eq!(json["event"], event);
            assert_eq!(json["peerKeyString"], name.as_str());
            assert_eq!(json.get("reason").is_some(), event == "peerLeft");
        }

        let connection = Connection::new(&key(1), &key(2), ConnectionType::P2PWiFi);
        let up = json(&Change::ConnectionUp(connection.clone()));
        assert_eq!((&up["event"], &up["id"]), (&"connectionUp".into(), &connection.id.into()));

        let lagged = json(&Change::Lagged { missed: 7, graph: mesh() });
        assert_eq!((&lagged["event"], &lagged["missed"]), (&"lagged".into(), &7.into()));
        assert!(lagged["localPeer"].is_object() && lagged["remotePeers"].is_array());
    }

    #[test]
    fn a_new_reason_is_unknown() {
        let reason = serde_json::from_str::<LeaveReason>("\"gotBored\"").unwrap();
        assert_eq!(reason, LeaveReason::Unknown);
    }
}
