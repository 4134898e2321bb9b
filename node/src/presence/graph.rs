//! The whole mesh at one moment.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Peer, dot};

/// The whole mesh at one moment, as this node sees it. Cheap to clone: the peers are shared.
///
/// ```
/// # fn example(graph: hedgerow::PresenceGraph) {
/// for peer in graph.remote_peers.iter() {
///     println!("{} is {:?} hops away", peer.device_name, peer.hops);
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PresenceGraph {
    /// This node.
    pub local_peer: Arc<Peer>,
    /// Everybody else that can be reached, directly or over many hops.
    pub remote_peers: Arc<[Peer]>,
}

/// Text that is not a presence graph.
#[derive(Debug, thiserror::Error)]
#[error("not a presence graph: {source}")]
#[non_exhaustive]
pub struct InvalidGraph {
    /// What is wrong with it, and where.
    #[from]
    pub source: serde_json::Error,
}

impl PresenceGraph {
    /// A graph of these peers.
    #[must_use]
    pub fn new(local_peer: impl Into<Arc<Peer>>, remote_peers: impl Into<Arc<[Peer]>>) -> Self {
        Self { local_peer: local_peer.into(), remote_peers: remote_peers.into() }
    }

    /// The graph as one line of JSON.
    ///
    /// # Panics
    /// Never: every field has a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a graph holds only strings as keys")
    }

    /// The graph of a JSON text. Keys that are missing or unknown do no harm, but each peer
    /// needs a valid `peerKeyString`.
    ///
    /// # Errors
    /// [`InvalidGraph`] with line and column.
    pub fn from_json(json: &str) -> Result<Self, InvalidGraph> {
        Ok(serde_json::from_str(json)?)
    }

    /// The graph as a picture for Graphviz: `hedgerow graph --dot | neato -Tsvg`.
    #[must_use]
    pub fn to_dot(&self) -> String {
        dot::draw(self)
    }

    /// This node and everybody else.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        std::iter::once(&*self.local_peer).chain(self.remote_peers.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::tests::{key, mesh};

    #[test]
    fn json_is_what_viewers_expect() {
        // The golden file's keys and values come from the documented names, not from this code;
        // only the addresses, which are hashes, were copied. Change it only with a line in
        // CHANGELOG.md.
        let golden: serde_json::Value = serde_json::from_str(include_str!("golden.json")).unwrap();
        assert_eq!(serde_json::to_value(mesh()).unwrap(), golden);
    }

    #[test]
    fn json_parses_back() {
        let graph = mesh();
        assert_eq!(PresenceGraph::from_json(&graph.to_json()).unwrap(), graph);
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let json = serde_json::to_value(Peer::new(key(1), "")).unwrap();
        let unknown = ["os", "sdkVersion", "dittoSDKVersion", "isCompatible", "hops", "route"];
        assert!(unknown.iter().all(|key| json.get(key).is_none()), "{json}");
        assert!(json.get("lastSeenMs").is_none());
        assert_eq!(json["peerMetadata"], serde_json::json!({}));
    }

    #[test]
    fn strange_keys_and_names_do_no_harm() {
        let key = key(1);
        let json = format!(
            r#"{{"localPeer":{{"peerKeyString":"{key}","os":"BeOS","mood":"good",
                "dittoSDKVersion":"4.9","isConnectedToDittoCloud":true,
                "connections":[{{"id":"x","peerKeyString1":"a","peerKeyString2":"b",
                    "connectionType":"Carrier pigeon","altitude":3}}]}},
               "remotePeers":[],"moon":"full"}}"#
        );
        let graph = PresenceGraph::from_json(&json).unwrap();
        assert_eq!(graph.local_peer.os, Some(crate::presence::PresenceOs::Unknown));
        assert_eq!(graph.local_peer.sdk_version.as_deref(), Some("4.9"));
        assert!(graph.local_peer.is_connected_to_gateway);
        assert_eq!(graph.local_peer.address, key.address());
        assert_eq!(graph.local_peer.connections[0].connection_type.name(), "Carrier pigeon");
    }

    #[test]
    fn a_peer_without_a_valid_key_is_refused_with_its_place() {
        let json = r#"{"localPeer":{"peerKeyString":"pk123"},"remotePeers":[]}"#;
        let error = PresenceGraph::from_json(json).unwrap_err().to_string();
        assert!(error.contains("line 1 column"), "{error}");
    }

    #[test]
    fn metadata_as_deep_as_allowed_parses_back() {
        let deepest = format!("{}1{}", r#"{"a":"#.repeat(64), "}".repeat(64));
        let metadata = crate::presence::metadata::validate_json_str(&deepest).unwrap();
        let mut peer = Peer::new(key(1), "deep");
        peer.peer_metadata = metadata.into_object();
        let graph = PresenceGraph::new(Peer::new(key(2), ""), vec![peer]);
        assert_eq!(PresenceGraph::from_json(&graph.to_json()).unwrap(), graph);
    }

    #[test]
    fn a_clone_shares_its_peers() {
        let graph = mesh();
        let clone = graph.clone();
        assert!(Arc::ptr_eq(&graph.local_peer, &clone.local_peer));
        assert!(Arc::ptr_eq(&graph.remote_peers, &clone.remote_peers));
    }
}
