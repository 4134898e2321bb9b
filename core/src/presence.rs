//! Who is there: the graph, its changes, and the peers' metadata.
//!
//! Every node derives the graph from adverts and its own links; nobody publishes it. A peer
//! that cannot be reached stays for a grace, then leaves.

mod graph;
mod metadata;

pub use graph::{
    Change, ConnectionView, Graph, GraphInput, LeaveReason, LinkFigures, Metadata, PeerView,
    Presence,
};
pub use metadata::{Bodies, Fetch, body_hash};
