//! Callbacks for those who want the whole graph.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::PresenceGraph;
use crate::runtime::Shared;

type Callback = Box<dyn FnMut(PresenceGraph) + Send>;

/// Keeps a callback of [`super::Presence::observe`] alive; dropping it ends the calls.
#[must_use = "the observer is cancelled when it is dropped"]
#[derive(Debug)]
pub struct PresenceObserver {
    task: AbortHandle,
}

impl PresenceObserver {
    pub(super) fn start(shared: &Arc<Shared>, callback: Callback) -> Self {
        let shared = shared.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = watch(&shared, callback) => {}
                () = shared.ended.cancelled() => {}
            }
        });
        Self { task: task.abort_handle() }
    }

    /// Ends the calls. One that runs at this moment runs to its end.
    pub fn cancel(&self) {
        self.task.abort();
    }

    /// Whether there will be no further calls.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for PresenceObserver {
    fn drop(&mut self) {
        self.cancel();
    }
}

async fn watch(shared: &Shared, mut callback: Callback) {
    let mut revisions = shared.revision.subscribe();
    loop {
        revisions.borrow_and_update();
        let graph = shared.graph.borrow().clone();
        let called = tokio::task::spawn_blocking(move || {
            // A panic is the callback's own affair; whatever state it keeps is its own too.
            let call = AssertUnwindSafe(|| callback(graph));
            if std::panic::catch_unwind(call).is_err() {
                tracing::warn!("a presence observer panicked, it will be called again");
            }
            callback
        });
        match called.await {
            Ok(back) => callback = back,
            // The runtime is shutting down.
            Err(_) => return,
        }
        tokio::time::sleep(shared.observer_coalesce).await;
        if revisions.changed().await.is_err() {
            return;
        }
    }
}
