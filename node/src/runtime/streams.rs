//! What a stream's handles and the task share.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hedgerow_core::bus::StreamEnd;
use tokio::sync::Notify;

/// Messages of one stream that wait in its handle; the rest waits in the core, where it holds
/// back the sender's credit.
const MESSAGES_MAX: usize = 16;
/// Bytes of one stream that wait in its handle.
const BYTES_MAX: usize = 256 * 1_024;

/// The receiving side of one stream, and what is known of its end.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    state: Mutex<State>,
    changed: Notify,
    acked: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// More waits in the core.
    hungry: bool,
    acked: u64,
    finished: bool,
    end: Option<StreamEnd>,
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum Read {
    Message(Bytes),
    /// The other side has finished and everything was read.
    Finished,
    Ended(StreamEnd),
}

impl StreamState {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section of this lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another message may be put in; if not, the reader asks when it may.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.state();
        let room = state.messages.len() < MESSAGES_MAX && state.bytes < BYTES_MAX;
        state.hungry = !room;
        room
    }

    pub(super) fn push(&self, message: Bytes) {
        let mut state = self.state();
        state.bytes += message.len();
        state.messages.push_back(message);
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn finish(&self) {
        self.state().finished = true;
        self.changed.notify_one();
    }

    /// Whether the other side has finished.
    pub(super) fn is_finished(&self) -> bool {
        self.state().finished
    }

    pub(super) fn end(&self, end: StreamEnd) {
        self.state().end.get_or_insert(end);
        self.changed.notify_one();
        self.acked.notify_waiters();
    }

    pub(super) fn set_acked(&self, sequence: u64) {
        let mut state = self.state();
        state.acked = state.acked.max(sequence);
        drop(state);
        self.acked.notify_waiters();
    }

    /// All messages up to this sequence are in the remote application's queue.
    pub(crate) fn acked(&self) -> u64 {
        self.state().acked
    }

    /// How the stream ended, if it has.
    pub(crate) fn ended(&self) -> Option<StreamEnd> {
        self.state().end
    }

    /// The next message, or the end. `room` is called when the core holds more.
    pub(crate) async fn read(&self, room: impl Fn()) -> Read {
        loop {
            let changed = self.changed.notified();
            if let Some(read) = self.try_read(&room) {
                return read;
            }
            changed.await;
        }
    }

    fn try_read(&self, room: &impl Fn()) -> Option<Read> {
        let mut state = self.state();
        if let Some(message) = state.messages.pop_front() {
            state.bytes -= message.len();
            let hungry = state.hungry && state.messages.len() <= MESSAGES_MAX / 2;
            state.hungry &= !hungry;
            drop(state);
            if hungry {
                room();
            }
            return Some(Read::Message(message));
        }
        if state.finished {
            return Some(Read::Finished);
        }
        match state.end {
            Some(StreamEnd::Finished) => Some(Read::Finished),
            Some(end) => Some(Read::Ended(end)),
            None => None,
        }
    }

    /// Waits until everything up to `sequence` is in the remote application's queue.
    pub(crate) async fn wait_acked(&self, sequence: u64) -> Result<(), StreamEnd> {
        loop {
            let acked = self.acked.notified();
            tokio::pin!(acked);
            // Registered before the state is read: no word is missed.
            acked.as_mut().enable();
            {
                let state = self.state();
                if state.acked >= sequence || state.end == Some(StreamEnd::Finished) {
                    return Ok(());
                }
                if let Some(end) = state.end {
                    return Err(end);
                }
            }
            acked.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_handle_asks_for_more_when_half_of_it_is_read() {
        let stream = StreamState::default();
        while stream.has_room() {
            stream.push(Bytes::from_static(b"x"));
        }
        let asked = std::cell::Cell::new(0);
        for _ in 0..MESSAGES_MAX {
            stream.read(|| asked.set(asked.get() + 1)).await;
        }
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test]
    async fn what_came_before_the_end_is_read_first() {
        let stream = StreamState::default();
        stream.push(Bytes::from_static(b"x"));
        stream.end(StreamEnd::PeerLost);
        assert!(matches!(stream.read(|| ()).await, Read::Message(_)));
        assert!(matches!(stream.read(|| ()).await, Read::Ended(StreamEnd::PeerLost)));
    }

    #[tokio::test]
    async fn waiting_for_acknowledgement_ends_with_the_stream() {
        let stream = StreamState::default();
        stream.set_acked(3);
        assert_eq!(stream.wait_acked(3).await, Ok(()));
        stream.end(StreamEnd::PeerRestarted);
        assert_eq!(stream.wait_acked(4).await, Err(StreamEnd::PeerRestarted));
    }
}
