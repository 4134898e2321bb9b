//! Why something on the Bus failed.

use hedgerow_core::bus::{self, FailReason, RejectReason, StreamEnd};

use crate::mesh::MeshClosed;
use crate::runtime::NotOpened;

/// What is known of a message that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is surely not in the other application's queue.
    NotDelivered,
    /// The word on it was lost: it may or may not be there.
    Unknown,
}

/// Why a single message was not, or may not have been, delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message is too large; nothing was sent.
    #[error("the message is larger than {limit} bytes; send it as a stream")]
    TooLarge {
        /// The largest size, in bytes.
        limit: usize,
    },
    /// Too much waits already; nothing was sent.
    #[error("too much waits to be sent to this peer already; try again later")]
    Blocked,
    /// Application data does not travel on the control lane.
    #[error("application data does not travel on the control lane; choose another one")]
    ControlLane,
    /// No session with the peer is possible.
    #[error("no session with this peer is possible now")]
    Refused,
    /// No way to the peer was found in time.
    #[error("no route to the peer in time; is it running, in the same network and in reach?")]
    NoRoute {
        /// What is known of the message.
        fate: Fate,
    },
    /// The peer did not acknowledge in time.
    #[error("the peer did not acknowledge in time{}", of(*fate))]
    TimedOut {
        /// What is known of the message.
        fate: Fate,
    },
    /// The receiver refused it.
    #[error("the receiver refused the message: {}", why(*reason))]
    Rejected {
        /// Why.
        reason: RejectReason,
    },
    /// The peer restarted meanwhile.
    #[error("the peer restarted{}", of(*fate))]
    PeerRestarted {
        /// What is known of the message.
        fate: Fate,
    },
    /// The connection to the peer was gone for too long.
    #[error("the peer was lost{}", of(*fate))]
    PeerLost {
        /// What is known of the message.
        fate: Fate,
    },
    /// One side closed the session.
    #[error("the session was closed{}", of(*fate))]
    Closed {
        /// What is known of the message.
        fate: Fate,
    },
    /// The node ended while the message was on its way.
    #[error("the node ended before the outcome was known")]
    Lost,
    /// The node has shut down; nothing was sent.
    #[error(transparent)]
    MeshClosed(#[from] MeshClosed),
}

const fn of(fate: Fate) -> &'static str {
    match fate {
        Fate::NotDelivered => "; the message was not delivered",
        Fate::Unknown => "; whether the message was delivered cannot be known",
    }
}

fn why(reason: RejectReason) -> String {
    match reason {
        RejectReason::InboxFull => "its inbox is full".to_owned(),
        RejectReason::NoListener => "nobody listens there".to_owned(),
        RejectReason::TooManyStreams => "it has too many streams open".to_owned(),
        RejectReason::Denied => "denied".to_owned(),
        RejectReason::Application(code) => format!("the application's reason {code}"),
        _ => "no reason given that this version knows".to_owned(),
    }
}

impl SendError {
    pub(super) fn failed(reason: FailReason, fate: Fate) -> Self {
        match reason {
            FailReason::NoRoute => Self::NoRoute { fate },
            FailReason::TimedOut => Self::TimedOut { fate },
            FailReason::Rejected(reason) => Self::Rejected { reason },
            FailReason::PeerRestarted => Self::PeerRestarted { fate },
            FailReason::PeerLost => Self::PeerLost { fate },
            _ => Self::Closed { fate },
        }
    }

    /// What is known of the message.
    #[must_use]
    pub const fn fate(&self) -> Fate {
        match self {
            Self::NoRoute { fate }
            | Self::TimedOut { fate }
            | Self::PeerRestarted { fate }
            | Self::PeerLost { fate }
            | Self::Closed { fate } => *fate,
            Self::Lost => Fate::Unknown,
            _ => Fate::NotDelivered,
        }
    }
}

impl From<bus::SendError> for SendError {
    fn from(error: bus::SendError) -> Self {
        match error {
            bus::SendError::Busy | bus::SendError::Blocked => Self::Blocked,
            bus::SendError::TooLarge { limit } => Self::TooLarge { limit },
            bus::SendError::NoRoute => Self::NoRoute { fate: Fate::NotDelivered },
            bus::SendError::ControlLane => Self::ControlLane,
            bus::SendError::Closed => Self::Closed { fate: Fate::NotDelivered },
            _ => Self::Refused,
        }
    }
}

/// Why a stream did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The other side refused it.
    #[error("the peer refused the stream: {}", why(*reason))]
    Rejected {
        /// Why.
        reason: RejectReason,
    },
    /// It ended before it was open.
    #[error("the stream ended before it was open: {}", end_of(*.0))]
    Ended(StreamEnd),
    /// Topic or arguments are too long.
    #[error("topic or arguments are longer than {limit} bytes")]
    TooLarge {
        /// The largest length, in bytes.
        limit: usize,
    },
    /// Too many streams are open.
    #[error("no more than {limit} streams at once; close some")]
    TooManyStreams {
        /// How many are admitted.
        limit: usize,
    },
    /// Streams do not run on the control lane.
    #[error("streams do not run on the control lane; choose another one")]
    ControlLane,
    /// No session with the peer is possible.
    #[error("no session with this peer is possible now")]
    Refused,
    /// The node has shut down.
    #[error(transparent)]
    MeshClosed(#[from] MeshClosed),
}

impl From<NotOpened> for OpenError {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Ended(StreamEnd::Rejected(reason)) => Self::Rejected { reason },
            NotOpened::Ended(end) => Self::Ended(end),
            NotOpened::Refused(bus::OpenError::TooManyStreams { limit }) => {
                Self::TooManyStreams { limit }
            }
            NotOpened::Refused(bus::OpenError::TooLarge { limit }) => Self::TooLarge { limit },
            NotOpened::Refused(bus::OpenError::ControlLane) => Self::ControlLane,
            NotOpened::Refused(bus::OpenError::Closed) => Self::MeshClosed(MeshClosed),
            NotOpened::Refused(_) => Self::Refused,
        }
    }
}

/// Why a topic cannot be listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another acceptor has it.
    #[error("another acceptor listens for this topic already")]
    TopicTaken,
    /// The node has shut down.
    #[error(transparent)]
    MeshClosed(#[from] MeshClosed),
}

/// Why a stream carries nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The stream has ended.
    #[error("the stream has ended: {}", end_of(*.0))]
    Ended(StreamEnd),
    /// The message is too large; nothing was sent.
    #[error("the message is larger than {limit} bytes; cut it")]
    TooLarge {
        /// The largest size, in bytes.
        limit: usize,
    },
    /// The other side gives no credit, and no more may wait for it
    /// ([`super::StreamSender::try_send`] only).
    #[error("the other side does not take more now; wait with send, or try again later")]
    Blocked,
    /// The messages of an unreliable stream are not acknowledged
    /// ([`super::StreamSender::wait_acked`] only).
    #[error("nothing is acknowledged on an unreliable stream; do not wait for it")]
    Unreliable,
    /// This side has finished.
    #[error("this side has finished the stream")]
    Finished,
    /// The node has shut down.
    #[error(transparent)]
    MeshClosed(#[from] MeshClosed),
}

fn end_of(end: StreamEnd) -> String {
    match end {
        StreamEnd::Finished => "both sides finished".to_owned(),
        StreamEnd::Reset { code } => format!("the other side reset it with code {code}"),
        StreamEnd::ClosedByLocal => "closed by this side".to_owned(),
        StreamEnd::ClosedByRemote => "closed by the other side".to_owned(),
        StreamEnd::PeerLost => "the peer was lost".to_owned(),
        StreamEnd::PeerRestarted => "the peer restarted".to_owned(),
        StreamEnd::Rejected(reason) => format!("refused, {}", why(reason)),
        StreamEnd::TimedOut => "no answer in time".to_owned(),
        _ => "for a reason this version does not know".to_owned(),
    }
}
