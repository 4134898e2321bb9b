//! What the handles and the task share.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hedgerow_core::bus::StreamId;
use hedgerow_core::id::PeerKey;
use hedgerow_core::local::Local;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

use super::{Call, Inbox};
use crate::config::Config;
use crate::links::TransportStatus;
use crate::mesh::MeshClosed;
use crate::notice::Notice;
use crate::presence::metadata::Metadata;
use crate::presence::{Change, PresenceGraph};

/// Changes that a reader may lag behind before it gets a `Lagged` and a fresh graph.
const CHANGES: usize = 1_024;
/// Notices that a reader may lag behind.
const NOTICES: usize = 256;
/// Notices that are kept for readers to come.
const NOTICES_KEPT: usize = 64;

/// What the handles and the task share. Locks are held for moments, never across an await.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peer_key: PeerKey,
    pub(crate) network_name: String,
    pub(crate) open: bool,
    pub(crate) listen_addresses: Vec<SocketAddr>,
    pub(crate) observer_coalesce: Duration,
    calls: mpsc::Sender<Call>,
    pub(crate) graph: watch::Sender<PresenceGraph>,
    /// Counts the changes of the graph that are more than newer figures.
    pub(crate) revision: watch::Sender<u64>,
    pub(crate) changes: broadcast::Sender<Change>,
    notices: broadcast::Sender<Notice>,
    /// The latest notices.
    recent: Mutex<VecDeque<Notice>>,
    /// Ends with the task.
    pub(crate) transports: watch::Receiver<Arc<[TransportStatus]>>,
    pub(crate) inbox: Inbox,
    /// The node is asked to end.
    pub(crate) stop: Flag,
    /// The node has ended.
    pub(crate) ended: Flag,
    /// Something below waits for the task.
    pub(crate) attention: Notify,
    waiting: Mutex<Waiting>,
}

/// What handles leave for the task: bounded, because each kind holds one entry a stream.
#[derive(Debug, Default)]
struct Waiting {
    own_metadata: Metadata,
    metadata_changed: bool,
    /// Streams whose reader has room again.
    hungry: BTreeSet<StreamId>,
    /// Streams whose sender left messages, or has finished.
    sending: BTreeSet<StreamId>,
    /// Streams whose handles were dropped.
    dropped: BTreeSet<StreamId>,
}

/// What [`Shared::new`] is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) local: Local,
    pub(crate) metadata: Metadata,
    pub(crate) listen_addresses: Vec<SocketAddr>,
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) graph: PresenceGraph,
    pub(crate) transports: watch::Receiver<Arc<[TransportStatus]>>,
}

/// Marks the node as ended when the task is over, however that came.
pub(super) struct Ended(pub(super) Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.inbox.close();
        self.0.ended.cancel();
    }
}

/// Set once, awaited by many.
#[derive(Debug)]
pub(crate) struct Flag(watch::Sender<bool>);

impl Flag {
    fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn cancel(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) async fn cancelled(&self) {
        // The sender lives as long as `self`, so the wait can only end by the flag.
        let _ = self.0.subscribe().wait_for(|set| *set).await;
    }
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let waiting = Waiting { own_metadata: parts.metadata, ..Waiting::default() };
        Self {
            peer_key: parts.local.peer_key(),
            network_name: parts.local.network.name().to_owned(),
            open: parts.local.network.is_open(),
            listen_addresses: parts.listen_addresses,
            observer_coalesce: parts.config.presence.observer_coalesce(),
            calls: parts.calls,
            graph: watch::Sender::new(parts.graph),
            revision: watch::Sender::new(0),
            changes: broadcast::Sender::new(CHANGES),
            notices: broadcast::Sender::new(NOTICES),
            recent: Mutex::default(),
            transports: parts.transports,
            inbox: Inbox::new(&parts.config.bus),
            stop: Flag::new(),
            ended: Flag::new(),
            attention: Notify::new(),
            waiting: Mutex::new(waiting),
        }
    }

    /// Sends a call to the task, in the order of the first polls.
    pub(crate) async fn call(&self, call: Call) -> Result<(), MeshClosed> {
        // A task whose cooperative budget is spent would be told to wait without a place in the
        // queue, and a later call would overtake this one.
        tokio::task::unconstrained(self.calls.send(call)).await.map_err(|_| MeshClosed)
    }

    /// Sends a call and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        call: impl FnOnce(oneshot::Sender<T>) -> Call,
    ) -> Result<T, MeshClosed> {
        let (reply, answer) = oneshot::channel();
        self.call(call(reply)).await?;
        self.answer(answer).await.ok_or(MeshClosed)
    }

    /// The answer to a call that was sent; `None` when the task ended before.
    pub(crate) async fn answer<T>(&self, mut answer: oneshot::Receiver<T>) -> Option<T> {
        if self.calls.is_closed() {
            // The task has ended, and may have emptied its queue before this call was in it:
            // nobody would ever drop the place for the answer.
            return answer.try_recv().ok();
        }
        answer.await.ok()
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Notice>> {
        // Nothing in a critical section of this lock can panic half way.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notice(&self, notice: Notice) {
        let mut recent = self.recent();
        if recent.len() >= NOTICES_KEPT {
            recent.pop_front();
        }
        recent.push_back(notice.clone());
        // Without a reader there is nobody to tell.
        let _ = self.notices.send(notice);
    }

    /// The latest notices, and all that come after them.
    pub(crate) fn subscribe_notices(&self) -> (VecDeque<Notice>, broadcast::Receiver<Notice>) {
        let recent = self.recent();
        (recent.clone(), self.notices.subscribe())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in a critical section of this lock can panic half way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn own_metadata(&self) -> Metadata {
        self.waiting().own_metadata.clone()
    }

    /// Sets this node's metadata; of several in a row the task sees the last one.
    pub(crate) fn set_metadata(&self, metadata: Metadata) {
        {
            let mut waiting = self.waiting();
            waiting.own_metadata = metadata;
            waiting.metadata_changed = true;
        }
        self.attention.notify_one();
    }

    pub(super) fn take_metadata(&self) -> Option<Metadata> {
        let mut waiting = self.waiting();
        std::mem::take(&mut waiting.metadata_changed).then(|| waiting.own_metadata.clone())
    }

    /// A stream's reader has room again.
    pub(crate) fn note_hungry(&self, stream: StreamId) {
        self.waiting().hungry.insert(stream);
        self.attention.notify_one();
    }

    /// A stream's sender left messages, or has finished.
    pub(crate) fn note_sending(&self, stream: StreamId) {
        self.waiting().sending.insert(stream);
        self.attention.notify_one();
    }

    /// A stream's handles are gone.
    pub(crate) fn note_dropped(&self, stream: StreamId) {
        self.waiting().dropped.insert(stream);
        self.attention.notify_one();
    }

    pub(super) fn take_hungry(&self) -> BTreeSet<StreamId> {
        std::mem::take(&mut self.waiting().hungry)
    }

    pub(super) fn take_sending(&self) -> BTreeSet<StreamId> {
        std::mem::take(&mut self.waiting().sending)
    }

    pub(super) fn take_dropped(&self) -> BTreeSet<StreamId> {
        std::mem::take(&mut self.waiting().dropped)
    }
}
