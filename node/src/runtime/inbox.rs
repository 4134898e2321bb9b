//! Single messages that wait for the application.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::bus::Message;
use crate::config::{BusConfig, WhenFull};

/// The application's queue of single messages, bounded in number and bytes. *Delivered* means
/// in here.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
    messages_max: usize,
    bytes_max: usize,
    pub(crate) when_full: WhenFull,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    closed: bool,
    /// The task waits for room.
    awaited: bool,
}

impl Inbox {
    pub(super) fn new(config: &BusConfig) -> Self {
        Self {
            state: Mutex::new(State::default()),
            arrived: Notify::new(),
            messages_max: config.inbox_messages_max,
            bytes_max: config.inbox_bytes_max,
            when_full: config.when_full.unwrap_or_default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section of this lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for anything at all; if not, whoever takes the message that leaves
    /// half of the room free tells the task: one wake-up for many messages.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.state();
        let room = state.messages.len() < self.messages_max && state.bytes < self.bytes_max;
        state.awaited = !room;
        room
    }

    /// Puts a message in. What was `admitted` because there was room for anything goes in
    /// whatever its size; so does one that finds the inbox empty, so that a message larger than
    /// the inbox can be delivered at all. Nobody hears of it before [`Self::announce`].
    ///
    /// # Errors
    /// The message, when there is no room.
    pub(super) fn push(&self, message: Message, admitted: bool) -> Result<(), Message> {
        let mut state = self.state();
        let bytes = message.data.len();
        let fits =
            state.messages.len() < self.messages_max && state.bytes + bytes <= self.bytes_max;
        if !fits && !admitted && !state.messages.is_empty() {
            return Err(message);
        }
        state.bytes += bytes;
        state.messages.push_back(message);
        Ok(())
    }

    /// Wakes a taker for what was put in: one wake-up for many messages.
    pub(super) fn announce(&self) {
        self.arrived.notify_one();
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    /// The next message; `None` once the node has ended and everything was taken. Tells through
    /// `room` when the task waits for room.
    pub(crate) async fn next(&self, room: impl Fn()) -> Option<Message> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.state();
                if let Some(message) = state.messages.pop_front() {
                    state.bytes -= message.data.len();
                    let more = !state.messages.is_empty() || state.closed;
                    let half = state.messages.len() <= self.messages_max / 2
                        && state.bytes <= self.bytes_max / 2;
                    let awaited = half && std::mem::take(&mut state.awaited);
                    drop(state);
                    if more {
                        // Another taker may wait.
                        self.arrived.notify_one();
                    }
                    if awaited {
                        room();
                    }
                    return Some(message);
                }
                if state.closed {
                    drop(state);
                    self.arrived.notify_one();
                    return None;
                }
            }
            arrived.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hedgerow_core::bus::Reliability;
    use hedgerow_core::identity::Identity;

    use super::*;

    fn message(bytes: usize) -> Message {
        Message {
            from: Identity::generate(&mut crate::runtime::Entropic).peer_key(),
            reliability: Reliability::Reliable,
            sequence: 1,
            data: Bytes::from(vec![0; bytes]),
        }
    }

    fn inbox() -> Inbox {
        Inbox::new(&BusConfig {
            inbox_messages_max: 3,
            inbox_bytes_max: 100,
            ..BusConfig::default()
        })
    }

    #[test]
    fn it_is_bounded_in_number_and_in_bytes() {
        let inbox = inbox();
        assert!(inbox.push(message(60), false).is_ok());
        assert!(inbox.push(message(41), false).is_err());
        assert!(inbox.push(message(40), false).is_ok());
        assert!(!inbox.has_room());
        assert!(inbox.push(message(0), false).is_ok());
        assert!(inbox.push(message(0), false).is_err());
    }

    #[test]
    fn what_was_admitted_goes_in_whatever_its_size() {
        let inbox = inbox();
        assert!(inbox.push(message(60), true).is_ok());
        assert!(inbox.has_room());
        assert!(inbox.push(message(60), true).is_ok());
        assert!(!inbox.has_room());
    }

    #[test]
    fn an_empty_inbox_takes_one_message_of_any_size() {
        let inbox = inbox();
        assert!(inbox.push(message(1_000), false).is_ok());
        assert!(inbox.push(message(1), false).is_err());
    }

    #[tokio::test]
    async fn a_taker_tells_that_half_of_the_room_is_free_when_it_is_awaited() {
        let inbox = inbox();
        let told = std::cell::Cell::new(0);
        let room = || told.set(told.get() + 1);
        inbox.push(message(100), false).unwrap();
        inbox.next(room).await.unwrap();
        assert_eq!(told.get(), 0);
        inbox.push(message(100), false).unwrap();
        assert!(!inbox.has_room());
        inbox.next(room).await.unwrap();
        assert_eq!(told.get(), 1);
        for _ in 0..3 {
            inbox.push(message(1), false).unwrap();
        }
        assert!(!inbox.has_room());
        for expected in [1, 2, 2] {
            inbox.next(room).await.unwrap();
            assert_eq!(told.get(), expected);
        }
    }

    #[tokio::test]
    async fn takers_wake_each_other_for_what_one_word_announced() {
        let inbox = inbox();
        let takers = async { tokio::join!(inbox.next(|| ()), inbox.next(|| ())) };
        let ((first, second), ()) = tokio::join!(takers, async {
            inbox.push(message(1), false).unwrap();
            inbox.push(message(1), false).unwrap();
            inbox.announce();
        });
        assert!(first.is_some() && second.is_some());
    }

    #[tokio::test]
    async fn what_arrived_before_the_end_is_still_taken() {
        let inbox = inbox();
        inbox.push(message(1), false).unwrap();
        inbox.close();
        assert!(inbox.next(|| ()).await.is_some());
        assert!(inbox.next(|| ()).await.is_none());
        assert!(inbox.next(|| ()).await.is_none());
    }
}
