//! Why a call on the Bus was refused. A refused call changes nothing.

use super::reason::StreamEnd;

/// Why a single message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too much waits for this peer already; `Writable` tells when to try again.
    #[error("too much waits for this peer already")]
    Busy,
    /// An unreliable message finds no room now; `Writable` tells when to try again.
    #[error("no room for an unreliable message now")]
    Blocked,
    /// The message is larger than this or the other node accepts.
    #[error("the message is larger than {limit} bytes")]
    TooLarge {
        /// The largest message in bytes.
        limit: usize,
    },
    /// There is no way to the peer now, and an unreliable message does not wait for one.
    #[error("no route to the peer")]
    NoRoute,
    /// Application data does not travel on the control lane.
    #[error("application data does not travel on the control lane")]
    ControlLane,
    /// This node has as many sessions as it may, or does not admit the peer.
    #[error("no session with this peer is possible now")]
    Refused,
    /// The Bus is closed.
    #[error("the bus is closed")]
    Closed,
}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This node has as many streams as it may.
    #[error("no more than {limit} streams at once")]
    TooManyStreams {
        /// The most streams.
        limit: usize,
    },
    /// Topic or arguments are too long.
    #[error("topic or arguments are longer than {limit} bytes")]
    TooLarge {
        /// The longest in bytes.
        limit: usize,
    },
    /// Streams do not run on the control lane.
    #[error("streams do not run on the control lane")]
    ControlLane,
    /// This node has as many sessions as it may, or does not admit the peer.
    #[error("no session with this peer is possible now")]
    Refused,
    /// The Bus is closed.
    #[error("the bus is closed")]
    Closed,
}

/// Why a message was not taken onto a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamSendError {
    /// No credit now; `StreamWritable` tells when to try again.
    #[error("the stream takes no message now")]
    Blocked,
    /// The message is larger than this or the other node accepts.
    #[error("the message is larger than {limit} bytes")]
    TooLarge {
        /// The largest message in bytes.
        limit: usize,
    },
    /// This side finished the stream.
    #[error("this side finished the stream")]
    Finishing,
    /// The stream is closed.
    #[error("the stream is closed: {0:?}")]
    Closed(StreamEnd),
    /// There is no such stream, or its end was reported long ago.
    #[error("no such stream")]
    Unknown,
}

/// Why a peer was not pinged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// As many pings as there may be are under way, or their outcomes are unread.
    #[error("no more than {limit} pings at once")]
    TooMany {
        /// The most pings.
        limit: usize,
    },
    /// This node has as many sessions as it may, or does not admit the peer.
    #[error("no session with this peer is possible now")]
    Refused,
    /// The Bus is closed.
    #[error("the bus is closed")]
    Closed,
}

/// There is no such stream, or it is not in a state for this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such stream, or not in a state for this call")]
pub struct NoSuchStream;

/// There is no such message, or it was accepted or rejected already, or its session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such message waits for a verdict")]
pub struct NoSuchMessage;
