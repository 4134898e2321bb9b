//! What a stream's handles and the task share.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hedgerow_core::bus::StreamEnd;
use tokio::sync::Notify;

/// What a message that waits takes beside its bytes.
const MESSAGE_OVERHEAD: usize = 64;

/// What a message counts for while it waits: empty ones take memory, too.
pub(super) fn weight(message: &Bytes) -> usize {
    MESSAGE_OVERHEAD + message.len()
}
/// Weight of received messages of one stream that wait in its handle: the application works on
/// while the task has its turn. The rest waits in the core, where it holds back the sender's
/// credit; a peer that opens many streams must not take much here.
const WEIGHT_MAX: usize = 256 * 1_024;
/// The same of messages to send. Only the application itself can fill it.
const OUTGOING_WEIGHT_MAX: usize = 1_024 * 1_024;

/// What waits between one stream's handles and the task, and what is known of its end.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    state: Mutex<State>,
    changed: Notify,
    acked: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Bytes>,
    weight: usize,
    /// More waits in the core.
    hungry: bool,
    /// Messages that the task has not taken yet.
    outgoing: VecDeque<Bytes>,
    /// The weight of messages that the core has not taken yet.
    outgoing_weight: usize,
    /// The task was told of `outgoing`.
    told: bool,
    /// This side sends no more.
    finishing: bool,
    acked: u64,
    finished: bool,
    end: Option<StreamEnd>,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// This side has finished.
    Finished,
    Ended(StreamEnd),
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
        let room = state.weight < WEIGHT_MAX;
        state.hungry = !room;
        room
    }

    /// Puts a message in; the reader hears of it by [`Self::announce`].
    pub(super) fn push(&self, message: Bytes) {
        let mut state = self.state();
        state.weight += weight(&message);
        state.messages.push_back(message);
    }

    /// Wakes the reader for what was put in: one wake-up for many messages.
    pub(super) fn announce(&self) {
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
        let mut state = self.state();
        state.end.get_or_insert(end);
        // Nobody will send these any more.
        state.outgoing = VecDeque::new();
        drop(state);
        self.changed.notify_one();
        self.acked.notify_waiters();
        self.room.notify_one();
    }

    /// Leaves a message for the task; waits while there is no room. Tells through `tell` when
    /// the task does not know yet.
    pub(crate) async fn send(&self, data: Bytes, tell: impl Fn()) -> Result<(), NotSent> {
        loop {
            let room = self.room.notified();
            if self.try_send(&data, &tell)? {
                return Ok(());
            }
            room.await;
        }
    }

    /// As [`Self::send`]; false when there is no room.
    pub(crate) fn try_send(&self, data: &Bytes, tell: &impl Fn()) -> Result<bool, NotSent> {
        let mut state = self.state();
        if state.finishing {
            return Err(NotSent::Finished);
        }
        if let Some(end) = state.end {
            return Err(NotSent::Ended(end));
        }
        if state.outgoing_weight > 0 && state.outgoing_weight + weight(data) > OUTGOING_WEIGHT_MAX {
            return Ok(false);
        }
        state.outgoing_weight += weight(data);
        state.outgoing.push_back(data.clone());
        let tells = !std::mem::replace(&mut state.told, true);
        drop(state);
        if tells {
            tell();
        }
        Ok(true)
    }

    /// This side sends no more.
    pub(crate) fn finish_sending(&self) {
        self.state().finishing = true;
    }

    /// What handles left since the last time, and whether nothing comes after it.
    pub(super) fn take_outgoing(&self) -> (VecDeque<Bytes>, bool) {
        let mut state = self.state();
        state.told = false;
        (std::mem::take(&mut state.outgoing), state.finishing)
    }

    /// The core took messages of this weight.
    pub(super) fn note_sent(&self, weight: usize) {
        self.state().outgoing_weight -= weight;
        self.room.notify_one();
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

    /// As [`Self::read`]; `None` when there is nothing.
    pub(crate) fn try_read(&self, room: &impl Fn()) -> Option<Read> {
        let mut state = self.state();
        if let Some(message) = state.messages.pop_front() {
            state.weight -= weight(&message);
            let hungry = state.hungry && state.weight <= WEIGHT_MAX / 2;
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
        let mut messages = 0;
        while stream.has_room() {
            stream.push(Bytes::from_static(&[0; 1_024]));
            messages += 1;
        }
        let asked = std::cell::Cell::new(0);
        for at in 0..messages {
            let half = at > messages / 2;
            assert_eq!(asked.get(), usize::from(half), "after {at} of {messages}");
            stream.read(|| asked.set(asked.get() + 1)).await;
        }
    }

    #[tokio::test]
    async fn a_sender_waits_for_the_core_and_tells_the_task_once() {
        let stream = StreamState::default();
        let told = std::cell::Cell::new(0);
        let tell = || told.set(told.get() + 1);
        let half = Bytes::from(vec![0; OUTGOING_WEIGHT_MAX / 2 - MESSAGE_OVERHEAD]);
        for _ in 0..2 {
            stream.send(half.clone(), tell).await.unwrap();
        }
        assert_eq!(stream.try_send(&half, &tell), Ok(false));
        assert_eq!((stream.take_outgoing().0.len(), told.get()), (2, 1));
        assert_eq!(stream.try_send(&half, &tell), Ok(false), "the core has not taken it yet");
        stream.note_sent(weight(&half));
        assert_eq!(stream.try_send(&half, &tell), Ok(true));
        assert_eq!((stream.take_outgoing().0.len(), told.get()), (1, 2));
    }

    #[tokio::test]
    async fn a_sender_that_waits_hears_of_the_end() {
        let stream = StreamState::default();
        let large = Bytes::from(vec![0; 2 * OUTGOING_WEIGHT_MAX]);
        stream.send(large.clone(), || ()).await.unwrap();
        let (sent, ()) = tokio::join!(stream.send(large.clone(), || ()), async {
            stream.end(StreamEnd::PeerLost);
        });
        assert_eq!(sent, Err(NotSent::Ended(StreamEnd::PeerLost)));
        stream.finish_sending();
        assert_eq!(stream.send(large, || ()).await, Err(NotSent::Finished));
        assert!(stream.take_outgoing().1, "nothing comes any more");
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
