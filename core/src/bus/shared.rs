//! What all sessions of a Bus share: events, budgets, numbers, the inbox.

use alloc::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::config::{BusConfig, Local};
use super::event::{BusEvent, Counters, IncomingMessage, MessageId, Reliability, StreamId};
use super::reason::{Outcome, StreamEnd};
use super::stream::Name;
use crate::id::PeerKey;
use crate::io::Lane;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) local: Local,
    pub(super) config: BusConfig,
    pub(super) counters: Counters,
    pub(super) events: Events,
    /// Bytes free for receiving beyond first windows.
    pub(super) budget: u64,
    /// Unread bytes in first windows, of all sessions.
    pub(super) unbudgeted: u64,
    pub(super) streams: BTreeMap<StreamId, (PeerKey, Name)>,
    pub(super) inbox: Inbox,
    next_id: u64,
}

impl Shared {
    pub(super) fn new(local: Local, config: BusConfig) -> Self {
        Self {
            local,
            budget: config.receive_bytes_max,
            unbudgeted: 0,
            config,
            counters: Counters::default(),
            events: Events::default(),
            streams: BTreeMap::new(),
            inbox: Inbox::default(),
            next_id: 0,
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn report(&mut self, id: MessageId, peer: PeerKey, outcome: Outcome) {
        if matches!(outcome, Outcome::Delivered { .. }) {
            self.counters.messages_delivered += 1;
        }
        self.events.push(BusEvent::MessageDone { id, peer, outcome });
    }

    pub(super) fn report_closed(&mut self, id: StreamId, reason: StreamEnd) {
        self.streams.remove(&id);
        self.events.push(BusEvent::StreamClosed { id, reason });
    }

    /// Puts an unreliable single message into the inbox; drops the oldest if it is full.
    pub(super) fn receive_loose(&mut self, peer: PeerKey, lane: Lane, sequence: u64, data: Bytes) {
        let id = MessageId(self.next_number());
        let reliability = Reliability::Unreliable;
        let message = IncomingMessage { id, peer, reliability, lane, sequence, data };
        self.inbox.loose_bytes += message.data.len();
        self.inbox.loose.push_back(message);
        while self.inbox.loose.len() > self.config.inbox_messages_max
            || self.inbox.loose_bytes
                > self.config.inbox_bytes_max.max(self.config.unreliable_bytes_max)
        {
            let Some(oldest) = self.inbox.loose.pop_front() else { break };
            self.inbox.loose_bytes -= oldest.data.len();
            self.counters.unreliable_inbox_full += 1;
        }
        self.announce_messages();
    }

    /// A peer's lane has a whole reliable message.
    pub(super) fn receive_reliable(&mut self, peer: PeerKey, lane: Lane) {
        self.inbox.readable.push_back((peer, lane));
        self.announce_messages();
    }

    pub(super) fn announce_messages(&mut self) {
        if !self.inbox.told {
            self.inbox.told = true;
            self.events.push(BusEvent::MessagesReadable);
        }
    }
}

/// Single messages for the application.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) loose: VecDeque<IncomingMessage>,
    pub(super) loose_bytes: usize,
    /// Lanes of peers that have whole reliable messages, each at most once.
    pub(super) readable: VecDeque<(PeerKey, Lane)>,
    /// Taken by the application and neither accepted nor rejected: peer, lane and sequence in
    /// the standing session.
    pub(super) unsettled: BTreeMap<MessageId, (PeerKey, Lane, u64)>,
    /// The next message comes from `readable`, so that neither kind starves the other.
    pub(super) reliable_next: bool,
    pub(super) told: bool,
}

/// Events that wait for the host.
///
/// Each is owed once by something that is itself bounded (a message, a stream, a session), and
/// repeats merge; so the queue is bounded without ever dropping one.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<Entry>,
    acked: BTreeMap<StreamId, u64>,
    /// Reliable messages whose outcome is open or unread.
    pub(super) outcomes_owed: usize,
    /// Pings that are under way, or whose outcome is unread.
    pub(super) pings_owed: usize,
}

#[derive(Debug)]
enum Entry {
    Event(BusEvent),
    /// The newest value stands in `acked`.
    Acked(StreamId),
}

impl Events {
    pub(super) fn push(&mut self, event: BusEvent) {
        self.queue.push_back(Entry::Event(event));
    }

    pub(super) fn push_acked(&mut self, id: StreamId, sequence: u64) {
        if self.acked.insert(id, sequence).is_none() {
            self.queue.push_back(Entry::Acked(id));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn pop(&mut self) -> Option<BusEvent> {
        let event = match self.queue.pop_front()? {
            Entry::Event(event) => event,
            Entry::Acked(id) => {
                let sequence = self.acked.remove(&id).unwrap_or_default();
                BusEvent::StreamAcked { id, sequence }
            }
        };
        if matches!(event, BusEvent::MessageDone { .. }) {
            self.outcomes_owed -= 1;
        }
        if matches!(event, BusEvent::Pong { .. } | BusEvent::PingFailed { .. }) {
            self.pings_owed -= 1;
        }
        Some(event)
    }
}
