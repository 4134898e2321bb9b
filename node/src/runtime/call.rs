//! What handles ask of the task.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hedgerow_core::bus::{self, Outcome, Reliability, StreamId, StreamOpen};
use hedgerow_core::counters::Counters;
use hedgerow_core::id::PeerKey;
use hedgerow_core::io::Lane;
use tokio::sync::{mpsc, oneshot};

use super::StreamState;
use crate::bus::{Candidate, ListenError, Stream};
use crate::diagnose::{PingError, Pong, Trace, TraceError};
use crate::links::{Link, Refusal, Stranger};

/// A question or an order, with the place for its answer. A handle that is dropped meanwhile
/// drops that place; nobody minds. A stream goes there as its handle, which lets go of it where
/// nobody takes it.
#[derive(Debug)]
pub(crate) enum Call {
    Links(oneshot::Sender<Vec<Link>>),
    Counters(oneshot::Sender<Counters>),
    Strangers(oneshot::Sender<Vec<Stranger>>),
    Refusals(oneshot::Sender<Vec<Refusal>>),
    Ping {
        peer: PeerKey,
        give_up: Duration,
        reply: oneshot::Sender<Result<Pong, PingError>>,
    },
    Trace {
        peer: PeerKey,
        reply: oneshot::Sender<Result<Trace, TraceError>>,
    },
    SendReliable(SendReliable),
    SendUnreliable {
        peer: PeerKey,
        lane: Lane,
        data: Bytes,
        deadline: Option<Duration>,
        reply: oneshot::Sender<Result<u64, bus::SendError>>,
    },
    OpenStream {
        peer: PeerKey,
        open: StreamOpen,
        reply: oneshot::Sender<Result<Stream, NotOpened>>,
    },
    Listen {
        topic: Bytes,
        reply: oneshot::Sender<Result<mpsc::Receiver<Candidate>, ListenError>>,
    },
    Answer {
        stream: StreamId,
        /// Arguments to accept with, or the reason to refuse.
        answer: Result<Bytes, bus::RejectReason>,
        reply: oneshot::Sender<Option<Stream>>,
    },
    StreamReset(StreamId, u64),
}

/// A reliable message on its way in.
#[derive(Debug)]
pub(crate) struct SendReliable {
    pub(crate) peer: PeerKey,
    pub(crate) lane: Lane,
    pub(crate) data: Bytes,
    pub(crate) give_up: Option<Duration>,
    pub(crate) reply: oneshot::Sender<Result<Outcome, bus::SendError>>,
}

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) id: StreamId,
    pub(crate) peer: PeerKey,
    pub(crate) topic: Bytes,
    pub(crate) reliability: Reliability,
    /// The other side's arguments.
    pub(crate) arguments: Bytes,
    pub(crate) message_bytes_max: usize,
    pub(crate) state: Arc<StreamState>,
}

/// Why a stream did not open.
#[derive(Debug)]
pub(crate) enum NotOpened {
    Refused(bus::OpenError),
    Ended(bus::StreamEnd),
}
