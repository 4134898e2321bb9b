//! What a Bus tells its host, and what the host gives it.

use bytes::Bytes;

pub use super::frame::Reliability;
use super::reason::{Outcome, PingFailure, SessionEnd, StreamEnd};
use crate::crypto::cipher::Cipher;
use crate::id::PeerKey;
use crate::io::Lane;
use crate::time::Duration;

/// The number of a message, in one run of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// The number of a stream, in one run of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The number of a ping, in one run of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PingId(pub u64);

/// What to open a stream with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOpen {
    /// What the stream is for; the other side listens by topic.
    pub topic: Bytes,
    /// Whether messages are repeated until they arrive.
    pub reliability: Reliability,
    /// The lane of both directions.
    pub lane: Lane,
    /// For the other side to read before it accepts.
    pub args: Bytes,
}

/// A message for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingMessage {
    /// What to accept or reject it by.
    pub id: MessageId,
    /// Who sent it.
    pub peer: PeerKey,
    /// Reliable ones must be accepted or rejected; for others that does nothing.
    pub reliability: Reliability,
    /// The lane it came on.
    pub lane: Lane,
    /// Its number among the sender's messages of its kind on this lane, from 1.
    pub sequence: u64,
    /// The message.
    pub data: Bytes,
}

/// Something the host should know. Never carries message data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusEvent {
    /// A session with the peer is up.
    SessionUp {
        /// With whom.
        peer: PeerKey,
        /// What seals it.
        cipher: Cipher,
    },
    /// A session ended.
    SessionDown {
        /// With whom.
        peer: PeerKey,
        /// Why.
        reason: SessionEnd,
    },
    /// What became of a reliable message. Every message gets exactly one.
    MessageDone {
        /// Which message.
        id: MessageId,
        /// To whom.
        peer: PeerKey,
        /// What became of it.
        outcome: Outcome,
    },
    /// The answer to a ping. Every ping gets exactly one of this and the next.
    Pong {
        /// Which ping.
        id: PingId,
        /// Who answered.
        peer: PeerKey,
        /// From when the packet left this node to when the answer was here.
        rtt: Duration,
        /// Hops to the peer when the answer came.
        hops: u8,
    },
    /// No answer to a ping came, or comes.
    PingFailed {
        /// Which ping.
        id: PingId,
        /// Who did not answer.
        peer: PeerKey,
        /// Why.
        reason: PingFailure,
    },
    /// There are messages: call [`super::Bus::next_message`] until it gives none.
    MessagesReadable,
    /// After `Busy` or `Blocked`: single messages to this peer are taken again.
    Writable {
        /// To whom.
        peer: PeerKey,
    },
    /// A peer offers a stream: accept or reject it.
    StreamOffered {
        /// Its number here.
        id: StreamId,
        /// Who offers.
        peer: PeerKey,
        /// For what.
        topic: Bytes,
        /// Whether messages are repeated until they arrive.
        reliability: Reliability,
        /// The lane it runs on.
        lane: Lane,
        /// The offerer's arguments.
        args: Bytes,
    },
    /// The other side accepted a stream.
    StreamOpened {
        /// Which.
        id: StreamId,
        /// Its answer.
        args: Bytes,
    },
    /// There are messages: call [`super::Bus::stream_next`] until it gives none.
    StreamReadable {
        /// On which stream.
        id: StreamId,
    },
    /// After `Blocked`: the stream takes messages again.
    StreamWritable {
        /// Which.
        id: StreamId,
    },
    /// All messages up to a sequence are in the remote application's queue.
    StreamAcked {
        /// Of which stream.
        id: StreamId,
        /// The highest such sequence.
        sequence: u64,
    },
    /// The other side finished and everything was read.
    StreamFinished {
        /// Which.
        id: StreamId,
    },
    /// A stream is no more. Every stream gets exactly one.
    StreamClosed {
        /// Which.
        id: StreamId,
        /// Why.
        reason: StreamEnd,
    },
}

/// What a Bus did so far, and every limit it hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Counters {
    pub packets_sent: u64,
    pub packets_received: u64,
    pub packets_lost: u64,
    pub packets_replayed: u64,
    pub packets_broken: u64,
    pub packets_unknown_session: u64,
    pub frames_unknown: u64,
    pub frames_stale: u64,
    pub frames_other_kind: u64,
    pub handshakes_started: u64,
    pub handshakes_answered: u64,
    pub handshakes_completed: u64,
    pub handshakes_refused: u64,
    pub handshakes_over_rate: u64,
    pub hints_sent: u64,
    pub hints_over_rate: u64,
    pub replies_dropped: u64,
    pub sessions_refused: u64,
    pub sessions_over_memory: u64,
    pub verdicts_dropped: u64,
    pub rekeys: u64,
    pub protocol_errors: u64,
    pub probes: u64,
    pub pings_refused: u64,
    pub too_big: u64,
    pub messages_delivered: u64,
    pub messages_received: u64,
    pub messages_rejected: u64,
    pub unreliable_received: u64,
    pub unreliable_expired: u64,
    pub unreliable_too_large: u64,
    pub unreliable_incomplete: u64,
    pub unreliable_inbox_full: u64,
    pub streams_refused: u64,
}
