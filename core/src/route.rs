//! Where frames go (protocol 7): shortest paths over the adverts, and the queues of relayed
//! frames.

mod queue;
mod table;

pub use queue::{Next, RelayQueue, too_big};
pub use table::{LocalEdge, MeshEdge, Route, Table};
