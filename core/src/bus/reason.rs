//! Why messages fail, streams close and sessions end.

/// Why a receiver refused a message or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// The application's queue is full.
    InboxFull,
    /// Nobody listens for such a message or topic.
    NoListener,
    /// The receiver holds as many streams as it may.
    TooManyStreams,
    /// The receiver does not admit this peer.
    Denied,
    /// The application's own reason.
    Application(u32),
    /// A reason of a newer build.
    Other,
}

impl RejectReason {
    const APPLICATION: u64 = 16;

    pub(super) fn code(self) -> u64 {
        match self {
            Self::InboxFull => 0,
            Self::NoListener => 1,
            Self::TooManyStreams => 2,
            Self::Denied => 3,
            Self::Other => 15,
            Self::Application(code) => Self::APPLICATION + u64::from(code),
        }
    }

    pub(super) fn from_code(code: u64) -> Self {
        match code {
            0 => Self::InboxFull,
            1 => Self::NoListener,
            2 => Self::TooManyStreams,
            3 => Self::Denied,
            code => code
                .checked_sub(Self::APPLICATION)
                .and_then(|code| u32::try_from(code).ok())
                .map_or(Self::Other, Self::Application),
        }
    }
}

/// Why a message was not delivered, or nobody can know whether it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FailReason {
    /// No route to the peer, or no answer from it, within the give-up time.
    #[error("no route to the peer within the give-up time")]
    NoRoute,
    /// Not acknowledged within the give-up time.
    #[error("not acknowledged within the give-up time")]
    TimedOut,
    /// The receiver's application refused it.
    #[error("rejected by the receiver: {0:?}")]
    Rejected(RejectReason),
    /// The peer takes only smaller messages.
    #[error("the receiver takes messages of at most {limit} bytes")]
    TooLarge {
        /// The largest message in bytes.
        limit: usize,
    },
    /// The peer restarted; its new incarnation knows nothing of the old session.
    #[error("the peer restarted")]
    PeerRestarted,
    /// The peer was unreachable for longer than a session survives, or gave the session up.
    #[error("the peer was lost")]
    PeerLost,
    /// This node closed.
    #[error("closed by this node")]
    ClosedByLocal,
    /// The peer closed the session.
    #[error("closed by the peer")]
    ClosedByRemote,
}

/// What became of a reliable message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the queue of the remote application.
    Delivered {
        /// From its first byte sent to the word that it was delivered.
        rtt: crate::time::Duration,
        /// Its number among the messages of its lane to this peer, from 1.
        sequence: u64,
        /// Hops to the peer when the word came.
        hops: u8,
    },
    /// It surely never reached the remote application.
    NotDelivered(FailReason),
    /// It may have: the word was lost.
    Unknown(FailReason),
}

/// Why a ping has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PingFailure {
    /// No route to the peer, or no session with it, in time.
    #[error("no route to the peer in time")]
    NoRoute,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The packet, or the answer to it, was lost on the way.
    #[error("lost on the way")]
    Lost,
    /// The session ended meanwhile.
    #[error("the session ended: {0:?}")]
    SessionEnded(SessionEnd),
}

/// Why a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamEnd {
    /// Both ends finished, and everything was read.
    Finished,
    /// The remote application reset it.
    Reset {
        /// The application's code.
        code: u64,
    },
    /// This node reset it or closed.
    ClosedByLocal,
    /// The peer closed the session.
    ClosedByRemote,
    /// The peer was unreachable for longer than a session survives, or gave the session up.
    PeerLost,
    /// The peer restarted.
    PeerRestarted,
    /// The remote application refused it.
    Rejected(RejectReason),
    /// The remote application did not answer in time.
    TimedOut,
}

/// Why a session ends, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The node shuts down.
    Shutdown,
    /// The other end broke the protocol.
    ProtocolError,
    /// The peer is not admitted any more.
    Denied,
    /// A reason of a newer build.
    Other,
}

impl CloseReason {
    pub(super) fn code(self) -> u64 {
        match self {
            Self::Shutdown => 0,
            Self::ProtocolError => 1,
            Self::Denied => 2,
            Self::Other => 15,
        }
    }

    pub(super) fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Shutdown,
            1 => Self::ProtocolError,
            2 => Self::Denied,
            _ => Self::Other,
        }
    }
}

/// How a session ended, for everything that ran on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The peer was unreachable for longer than a session survives, or gave the session up.
    PeerLost,
    /// The peer restarted.
    PeerRestarted,
    /// This node closed it.
    ClosedByLocal,
    /// The peer closed it.
    ClosedByRemote,
}

impl SessionEnd {
    pub(super) fn of_message(self) -> FailReason {
        match self {
            Self::PeerLost => FailReason::PeerLost,
            Self::PeerRestarted => FailReason::PeerRestarted,
            Self::ClosedByLocal => FailReason::ClosedByLocal,
            Self::ClosedByRemote => FailReason::ClosedByRemote,
        }
    }

    pub(super) fn of_stream(self) -> StreamEnd {
        match self {
            Self::PeerLost => StreamEnd::PeerLost,
            Self::PeerRestarted => StreamEnd::PeerRestarted,
            Self::ClosedByLocal => StreamEnd::ClosedByLocal,
            Self::ClosedByRemote => StreamEnd::ClosedByRemote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_go_both_ways_and_unknown_ones_decode() {
        for code in 0..100 {
            let reason = RejectReason::from_code(code);
            assert!(reason.code() == code || reason == RejectReason::Other);
            let reason = CloseReason::from_code(code);
            assert!(reason.code() == code || reason == CloseReason::Other);
        }
        assert_eq!(RejectReason::from_code(u64::MAX), RejectReason::Other);
    }
}
