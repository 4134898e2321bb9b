//! Typed changes of the graph.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Change;
use crate::runtime::Shared;

/// A reader of changes; see [`super::Presence::changes`].
#[derive(Debug)]
pub struct Changes {
    shared: Arc<Shared>,
    changes: broadcast::Receiver<Change>,
}

impl Changes {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let changes = shared.changes.subscribe();
        Self { shared, changes }
    }

    /// The next change; `None` once the node has shut down and everything was read.
    ///
    /// # Cancel safety
    /// Safe: no change is lost.
    pub async fn next(&mut self) -> Option<Change> {
        let next = tokio::select! {
            biased;
            next = self.changes.recv() => next,
            () = self.shared.ended.cancelled() => self.changes.try_recv().map_err(|error| {
                match error {
                    broadcast::error::TryRecvError::Lagged(missed) => RecvError::Lagged(missed),
                    _ => RecvError::Closed,
                }
            }),
        };
        match next {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(missed)) => {
                // The fresh graph contains everything so far: what still waits is in it.
                self.changes = self.shared.changes.subscribe();
                Some(Change::Lagged { missed, graph: self.shared.graph.borrow().clone() })
            }
            Err(RecvError::Closed) => None,
        }
    }
}
