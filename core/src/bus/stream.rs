//! One stream: both halves, and what its application was told.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::event::{Reliability, StreamId};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::reason::RejectReason;
use crate::io::Lane;

/// A stream's name inside its session: its lane, and its number; 0 is the single messages of
/// the lane.
pub(super) type Name = (Lane, u64);

/// How far the opening got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// This side asked.
    Opening,
    /// The other side asked, and the application has not answered.
    Offered,
    Open,
}

/// What the application has of the received messages.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// All messages up to this sequence are accepted or rejected.
    upto: u64,
    ahead: BTreeSet<u64>,
    /// Rejections that the peer has not acknowledged.
    rejected: BTreeMap<u64, RejectReason>,
    /// What the peer was told, and what it is known to have heard.
    told: u64,
    heard: u64,
}

impl Settled {
    pub(super) fn settle(&mut self, sequence: u64, rejected: Option<RejectReason>) {
        self.ahead.insert(sequence);
        while self.ahead.remove(&(self.upto + 1)) {
            self.upto += 1;
        }
        if let Some(reason) = rejected {
            self.rejected.insert(sequence, reason);
        }
    }

    /// What may be told: a rejection must have arrived before its message counts as settled,
    /// else a lost `Rejected` would read as delivered.
    pub(super) fn tellable(&self) -> u64 {
        self.rejected.keys().next().map_or(self.upto, |first| self.upto.min(first - 1))
    }

    pub(super) fn has_news(&self) -> bool {
        self.tellable() > self.told
    }

    pub(super) fn on_told(&mut self) -> u64 {
        self.told = self.tellable();
        self.told
    }

    pub(super) fn on_heard(&mut self, count: u64) {
        self.heard = self.heard.max(count);
    }

    pub(super) fn on_rejection_heard(&mut self, sequence: u64) {
        self.rejected.remove(&sequence);
    }

    pub(super) fn is_rejection_due(&self, sequence: u64) -> bool {
        self.rejected.contains_key(&sequence)
    }

    /// Whether the peer knows of everything that was settled.
    pub(super) fn is_heard(&self) -> bool {
        self.heard == self.upto && self.ahead.is_empty() && self.rejected.is_empty()
    }
}

/// The receiving side of an unreliable stream.
#[derive(Debug, Default)]
pub(super) struct Loose {
    pub(super) queue: VecDeque<Bytes>,
    pub(super) bytes: usize,
    pub(super) remote_finished: bool,
    pub(super) finish: LooseFinish,
}

/// How far this side's end of an unreliable stream got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LooseFinish {
    #[default]
    Open,
    Sent,
    Acked,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// `None` for the single messages of a lane.
    pub(super) id: Option<StreamId>,
    pub(super) reliability: Reliability,
    pub(super) phase: Phase,
    pub(super) topic: Bytes,
    /// This side's arguments, of the offer or of the answer.
    pub(super) args: Bytes,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    pub(super) loose: Loose,
    pub(super) settled: Settled,
    /// In the lane's queue of streams with something to send.
    pub(super) queued: bool,
    pub(super) window_queued: bool,
    pub(super) delivered_queued: bool,
    /// The application was told `Blocked` and waits to hear.
    pub(super) blocked: bool,
    pub(super) readable_told: bool,
    pub(super) finished_told: bool,
}

impl Stream {
    pub(super) fn new(
        id: Option<StreamId>,
        reliability: Reliability,
        phase: Phase,
        message_bytes_max: usize,
    ) -> Self {
        Self {
            id,
            reliability,
            phase,
            topic: Bytes::new(),
            args: Bytes::new(),
            outgoing: Outgoing::new(crate::limits::WINDOW_BYTES_MIN),
            incoming: Incoming::new(message_bytes_max),
            loose: Loose::default(),
            settled: Settled::default(),
            queued: false,
            window_queued: false,
            delivered_queued: false,
            blocked: false,
            readable_told: false,
            finished_told: false,
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        match self.reliability {
            Reliability::Reliable => self.incoming.is_readable(),
            Reliability::Unreliable => !self.loose.queue.is_empty(),
        }
    }

    /// Whether the other side finished and everything was read.
    pub(super) fn is_read_to_end(&self) -> bool {
        match self.reliability {
            Reliability::Reliable => self.incoming.is_finished(),
            Reliability::Unreliable => self.loose.remote_finished && self.loose.queue.is_empty(),
        }
    }

    pub(super) fn is_finishing(&self) -> bool {
        match self.reliability {
            Reliability::Reliable => self.outgoing.is_finishing(),
            Reliability::Unreliable => self.loose.finish != LooseFinish::Open,
        }
    }

    /// Whether nothing is left to do in either direction.
    pub(super) fn is_done(&self) -> bool {
        let sent = match self.reliability {
            Reliability::Reliable => self.outgoing.is_done() && self.settled.is_heard(),
            Reliability::Unreliable => self.loose.finish == LooseFinish::Acked,
        };
        sent && self.finished_told
    }

    pub(super) fn may_send(&self) -> bool {
        self.phase == Phase::Open && self.outgoing.has_piece()
    }
}
