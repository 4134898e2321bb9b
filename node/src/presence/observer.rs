//! Callbacks for those who want the whole graph.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

use super::PresenceGraph;
use crate::runtime::Shared;

type Callback = Box<dyn FnMut(PresenceGraph) + Send>;

/// Keeps a callback of [`super::Presence::observe`] alive; dropping it ends the calls.
#[must_use = "the observer is cancelled when it is dropped"]
#[derive(Debug)]
pub struct PresenceObserver {
    task: AbortHandle,
    cancelled: Arc<AtomicBool>,
}

impl PresenceObserver {
    pub(super) fn start(shared: &Arc<Shared>, callback: Callback) -> Self {
        let (shared, cancelled) = (shared.clone(), Arc::new(AtomicBool::new(false)));
        let flag = cancelled.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = watch(&shared, &flag, callback) => {}
                () = shared.ended.cancelled() => {}
            }
        });
        Self { task: task.abort_handle(), cancelled }
    }

    /// Ends the calls. One that runs at this moment runs to its end.
    pub fn cancel(&self) {
        // The task itself is gone only when it is polled next, and a call that waits for a
        // thread outlives it.
        self.cancelled.store(true, Ordering::Release);
        self.task.abort();
    }

    /// Whether there will be no further calls.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire) || self.task.is_finished()
    }
}

impl Drop for PresenceObserver {
    fn drop(&mut self) {
        self.cancel();
    }
}

async fn watch(shared: &Shared, cancelled: &Arc<AtomicBool>, mut callback: Callback) {
    let mut revisions = shared.revision.subscribe();
    loop {
        revisions.borrow_and_update();
        let graph = shared.graph.borrow().clone();
        let cancelled = cancelled.clone();
        let called = tokio::task::spawn_blocking(move || {
            if cancelled.load(Ordering::Acquire) {
                return callback;
            }
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
