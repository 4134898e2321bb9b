//! Streams that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hedgerow_core::bus::Reliability;
use hedgerow_core::id::PeerKey;

use super::StreamError;
use crate::mesh::MeshClosed;
use crate::runtime::{Call, NotSent, Opened, Read, Shared};

/// A bidirectional stream of messages. Dropping it before both sides have finished resets it.
#[derive(Debug)]
pub struct Stream {
    sender: StreamSender,
    receiver: StreamReceiver,
}

/// The sending half of a stream. Dropping it says nothing to the other side, which goes on
/// waiting for messages: [`StreamSender::finish`] it first. The stream is let go of with its last
/// half, as a whole [`Stream`] is.
#[derive(Debug)]
pub struct StreamSender {
    open: Arc<Open>,
    sent: u64,
}

/// The receiving half of a stream. Without it, the other side's credit runs out; the stream is
/// let go of with its last half, as a whole [`Stream`] is.
#[derive(Debug)]
pub struct StreamReceiver {
    open: Arc<Open>,
}

/// What both halves share; the last one to go lets go of the stream.
#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    opened: Opened,
    /// The task has been told already what becomes of the stream.
    released: AtomicBool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.released.load(Ordering::Relaxed) {
            self.shared.note_dropped(self.opened.id);
        }
    }
}

impl Stream {
    pub(crate) fn new(shared: Arc<Shared>, opened: Opened) -> Self {
        let open = Arc::new(Open { shared, opened, released: AtomicBool::new(false) });
        let sender = StreamSender { open: open.clone(), sent: 0 };
        Self { sender, receiver: StreamReceiver { open } }
    }

    /// The peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        self.sender.open.opened.peer
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &[u8] {
        &self.sender.open.opened.topic
    }

    /// Whether every message arrives, in order.
    #[must_use]
    pub fn reliability(&self) -> Reliability {
        self.sender.open.opened.reliability
    }

    /// What the other side gave along when the stream was opened.
    #[must_use]
    pub fn arguments(&self) -> &Bytes {
        &self.sender.open.opened.arguments
    }

    /// The largest message, in bytes.
    #[must_use]
    pub fn max_message_size(&self) -> usize {
        self.sender.open.opened.message_bytes_max
    }

    /// [`StreamSender::send`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn send(&mut self, data: impl Into<Bytes>) -> Result<u64, StreamError> {
        self.sender.send(data).await
    }

    /// [`StreamSender::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&mut self, data: impl Into<Bytes>) -> Result<u64, StreamError> {
        self.sender.try_send(data)
    }

    /// [`StreamReceiver::next`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        self.receiver.next().await
    }

    /// [`StreamSender::finish`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.sender.finish().await
    }

    /// [`StreamSender::wait_acked`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn wait_acked(&self) -> Result<(), StreamError> {
        self.sender.wait_acked().await
    }

    /// [`StreamSender::acked`].
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.sender.acked()
    }

    /// Ends both halves at once; what is on its way may be lost. The other side gets the code.
    ///
    /// # Errors
    /// [`StreamError::MeshClosed`].
    ///
    /// # Cancel safety
    /// A future that is dropped resets the stream all the same, with code 0.
    pub async fn reset(self, code: u64) -> Result<(), StreamError> {
        let call = Call::StreamReset(self.sender.open.opened.id, code);
        self.sender.open.shared.call(call).await?;
        self.sender.open.released.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Parts the stream into halves that can move to different tasks.
    #[must_use]
    pub fn split(self) -> (StreamSender, StreamReceiver) {
        (self.sender, self.receiver)
    }
}

impl StreamSender {
    /// Sends a message; waits while the other side gives no credit. Returns its number on this
    /// stream, from 1.
    ///
    /// Up to 1 MiB may wait in this node; [`StreamSender::wait_acked`] says what has arrived.
    ///
    /// # Errors
    /// [`StreamError`]; the message was not sent then.
    ///
    /// # Cancel safety
    /// A future that is dropped while it waits sends nothing.
    pub async fn send(&mut self, data: impl Into<Bytes>) -> Result<u64, StreamError> {
        let data = data.into();
        // Most messages find room: no need to be told of the node's end.
        if self.admits(&data)? {
            return Ok(self.count());
        }
        let (open, tell) = (&self.open, || self.open.shared.note_sending(self.open.opened.id));
        let sent = tokio::select! {
            biased;
            sent = open.opened.state.send(data, tell) => sent,
            () = open.shared.ended.cancelled() => return Err(MeshClosed.into()),
        };
        sent.map_err(|why| self.not_sent(why))?;
        Ok(self.count())
    }

    /// As [`StreamSender::send`], without waiting.
    ///
    /// # Errors
    /// [`StreamError::Blocked`] where `send` would wait, or as there; the message was not sent
    /// then. To have it back, give a clone: [`Bytes`] are shared, not copied.
    pub fn try_send(&mut self, data: impl Into<Bytes>) -> Result<u64, StreamError> {
        if self.admits(&data.into())? {
            Ok(self.count())
        } else if self.open.shared.ended.is_cancelled() {
            Err(MeshClosed.into())
        } else {
            Err(StreamError::Blocked)
        }
    }

    /// Leaves a message for the node; false when there is no room.
    fn admits(&self, data: &Bytes) -> Result<bool, StreamError> {
        let Open { shared, opened, .. } = &*self.open;
        let limit = opened.message_bytes_max;
        if data.len() > limit {
            return Err(StreamError::TooLarge { limit });
        }
        let tell = || shared.note_sending(opened.id);
        opened.state.try_send(data, &tell).map_err(|why| self.not_sent(why))
    }

    /// The number of the message that was sent just now.
    fn count(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    fn not_sent(&self, why: NotSent) -> StreamError {
        match why {
            _ if self.open.shared.ended.is_cancelled() => MeshClosed.into(),
            NotSent::Finished => StreamError::Finished,
            NotSent::Ended(end) => StreamError::Ended(end),
        }
    }

    /// Says that this side sends no more; what was sent still arrives. The other side may go on.
    ///
    /// # Errors
    /// [`StreamError::MeshClosed`].
    ///
    /// # Cancel safety
    /// Safe: the first poll finishes.
    #[allow(clippy::unused_async, reason = "as the other calls on a stream")]
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        let Open { shared, opened, .. } = &*self.open;
        if shared.ended.is_cancelled() {
            return Err(MeshClosed.into());
        }
        opened.state.finish_sending();
        shared.note_sending(opened.id);
        Ok(())
    }

    /// Waits until everything sent so far is in the other application's queue.
    ///
    /// # Errors
    /// [`StreamError::Ended`] when the stream ended before; [`StreamError::Unreliable`] on an
    /// unreliable stream, of which nothing is acknowledged.
    ///
    /// # Cancel safety
    /// Safe: nothing changes.
    pub async fn wait_acked(&self) -> Result<(), StreamError> {
        if self.open.opened.reliability == Reliability::Unreliable {
            return Err(StreamError::Unreliable);
        }
        tokio::select! {
            biased;
            acked = self.open.opened.state.wait_acked(self.sent) => {
                acked.map_err(StreamError::Ended)
            }
            () = self.open.shared.ended.cancelled() => Err(MeshClosed.into()),
        }
    }

    /// The number up to which all messages are in the other application's queue; 0 on an
    /// unreliable stream.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.open.opened.state.acked()
    }
}

impl StreamReceiver {
    /// The next message; `None` once the other side has finished and everything was read.
    ///
    /// # Errors
    /// [`StreamError::Ended`]; what came before the end is read first.
    ///
    /// # Cancel safety
    /// Safe: no message is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        let room = || self.open.shared.note_hungry(self.open.opened.id);
        let read = match self.open.opened.state.try_read(&room) {
            Some(read) => read,
            None => tokio::select! {
                biased;
                read = self.open.opened.state.read(room) => read,
                () = self.open.shared.ended.cancelled() => return Err(MeshClosed.into()),
            },
        };
        match read {
            Read::Message(message) => Ok(Some(message)),
            Read::Finished => Ok(None),
            Read::Ended(end) => Err(StreamError::Ended(end)),
        }
    }
}
