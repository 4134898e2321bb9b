//! One hop: as this node has it, and as both ends claim it.

use crate::id::PeerKey;
use crate::io::ConnectionType;
use crate::wire::advert::{Cost, Edge};

/// One of this node's own live links, as it advertises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEdge {
    /// The neighbour.
    pub peer: PeerKey,
    /// The medium.
    pub kind: ConnectionType,
    /// Its cost.
    pub cost: Cost,
    /// The largest payload is 2 to this power, in bytes.
    pub payload_log2: u8,
    /// Nothing was heard for a while: as good as lost, for as long as there is another way.
    pub is_suspect: bool,
}

impl LocalEdge {
    /// What this node's adjacency says of it.
    #[must_use]
    pub fn claim(&self) -> Edge {
        let (kind, cost) = (self.kind.clone(), self.cost);
        Edge { peer: self.peer.address(), kind, cost, payload_log2: self.payload_log2 }
    }
}

/// An edge that both ends claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeshEdge {
    /// The end with the lower key.
    pub a: PeerKey,
    /// The end with the higher key.
    pub b: PeerKey,
    /// The medium.
    pub kind: ConnectionType,
    /// The larger of both claims.
    pub cost: Cost,
    /// The smaller of both claims.
    pub payload_log2: u8,
}
