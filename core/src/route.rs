//! Where frames go (protocol 7): shortest paths over the adverts, the alternates of each, when to
//! compute them, and the queues of relayed frames.

mod alternate;
mod edge;
mod queue;
mod schedule;
mod spf;
mod table;
mod topology;

pub use edge::{LocalEdge, MeshEdge};
pub use queue::{Next, RelayQueue, too_big};
pub use schedule::Schedule;
pub use table::{Alternate, Route, RouteView, Table};
