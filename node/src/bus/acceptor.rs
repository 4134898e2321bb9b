//! Streams that others open.

use std::sync::Arc;

use bytes::Bytes;
use hedgerow_core::bus::{RejectReason, Reliability, StreamId, StreamOpen};
use hedgerow_core::id::PeerKey;
use hedgerow_core::limits::OPEN_ARGS_BYTES_MAX;
use tokio::sync::mpsc;

use super::{OpenError, Stream, StreamEnd};
use crate::runtime::{Call, Shared};

/// Takes streams of one topic; see [`super::Bus::listen`]. Dropping it frees the topic.
#[derive(Debug)]
pub struct Acceptor {
    candidates: mpsc::Receiver<Candidate>,
}

/// A stream that somebody wants to open: look at it, then accept or reject it. Dropping it
/// rejects it.
#[derive(Debug)]
pub struct Candidate {
    shared: Arc<Shared>,
    id: StreamId,
    peer: PeerKey,
    topic: Bytes,
    reliability: Reliability,
    arguments: Bytes,
    decided: bool,
}

impl Acceptor {
    pub(super) fn new(candidates: mpsc::Receiver<Candidate>) -> Self {
        Self { candidates }
    }

    /// The next stream that somebody wants to open; `None` once the node has shut down.
    ///
    /// # Cancel safety
    /// Safe: no candidate is lost.
    pub async fn next(&mut self) -> Option<Candidate> {
        self.candidates.recv().await
    }
}

impl Candidate {
    pub(crate) fn new(shared: Arc<Shared>, id: StreamId, peer: PeerKey, open: &StreamOpen) -> Self {
        Self {
            shared,
            id,
            peer,
            topic: open.topic.clone(),
            reliability: open.reliability,
            arguments: open.args.clone(),
            decided: false,
        }
    }

    /// Lets go without a word: the node itself refuses it.
    pub(crate) fn forget(mut self) {
        self.decided = true;
    }

    /// Who opens it.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &[u8] {
        &self.topic
    }

    /// Whether every message arrives, in order.
    #[must_use]
    pub fn reliability(&self) -> Reliability {
        self.reliability
    }

    /// What the other side gave along.
    #[must_use]
    pub fn arguments(&self) -> &Bytes {
        &self.arguments
    }

    /// Accepts the stream.
    ///
    /// # Errors
    /// [`OpenError::Ended`] when it is gone already.
    ///
    /// # Cancel safety
    /// A stream that is dropped while it is accepted is reset.
    pub async fn accept(self) -> Result<Stream, OpenError> {
        self.accept_with(Bytes::new()).await
    }

    /// Accepts the stream with arguments for the other side, at most 768 bytes.
    ///
    /// # Errors
    /// [`OpenError::Ended`] when it is gone already; [`OpenError::TooLarge`] when the arguments
    /// are too long, and the stream is refused then.
    ///
    /// # Cancel safety
    /// As [`Candidate::accept`].
    pub async fn accept_with(mut self, arguments: Bytes) -> Result<Stream, OpenError> {
        if arguments.len() > OPEN_ARGS_BYTES_MAX {
            return Err(OpenError::TooLarge { limit: OPEN_ARGS_BYTES_MAX });
        }
        let (stream, answer) = (self.id, Ok(arguments));
        let opened = self.shared.ask(|reply| Call::Answer { stream, answer, reply }).await?;
        let stream = opened.ok_or(OpenError::Ended(StreamEnd::ClosedByRemote))?;
        self.decided = true;
        Ok(stream)
    }

    /// Rejects the stream with a reason of the application's own.
    ///
    /// # Cancel safety
    /// When it is dropped, the stream is rejected without that reason.
    pub async fn reject(mut self, reason: u32) {
        let (stream, answer) = (self.id, Err(RejectReason::Application(reason)));
        let asked = self.shared.ask(|reply| Call::Answer { stream, answer, reply }).await;
        // A node that has shut down has rejected it already.
        self.decided = asked.is_ok();
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.decided {
            self.shared.note_dropped(self.id);
        }
    }
}
