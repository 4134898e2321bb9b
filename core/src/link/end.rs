//! How a link ends.

use super::HandshakeFailure;
use crate::io::LinkLoss;
use crate::time::Duration;
use crate::wire::control::CloseCode;

/// Why a link is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkEnd {
    /// The driver lost it.
    #[error("{0}")]
    Lost(LinkLoss),
    /// The handshake failed.
    #[error("handshake failed: {0}")]
    Handshake(HandshakeFailure),
    /// The peer closed it with a reason.
    #[error("closed by the peer: {}", reason(*code))]
    ByPeer {
        /// The reason.
        code: CloseCode,
        /// How long to wait before another try.
        retry_after: Duration,
    },
    /// This node closed it.
    #[error("closed by this node: {}", reason(*.0))]
    Here(CloseCode),
    /// Nothing was heard for too long.
    #[error("nothing heard for {} s", crate::limits::LINK_DEAD_AFTER.as_secs())]
    Silent,
    /// Frames got no further, though the other end was heard.
    #[error("nothing got through for {} s", crate::limits::FRAGMENTS_STALLED.as_secs())]
    Stalled,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(Violation),
}

/// How a peer broke the protocol on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A frame is larger than was negotiated.
    #[error("a frame larger than negotiated")]
    FrameTooLarge,
    /// A data frame is on the control lane, where a relay has no turn for it.
    #[error("a data frame on the control lane")]
    DataOnControlLane,
    /// A frame's seal is broken: altered, cut, repeated or reordered.
    #[error("a broken seal")]
    SealBroken,
    /// A control frame's contents cannot be read.
    #[error("a malformed control message")]
    Malformed,
    /// Fragments contradict each other, or a reliable link lost one.
    #[error("fragments that do not make a frame")]
    Fragments,
    /// A frame was altered on the way and has no seal of its own.
    #[error("a frame with a wrong checksum")]
    ChecksumWrong,
}

fn reason(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Shutdown => "shutting down",
        CloseCode::Duplicate => "another link to the same peer stays",
        CloseCode::AtCapacity => "no room for another link",
        CloseCode::Violation => "protocol violation",
        CloseCode::Myself => "the link led back to the same node",
        CloseCode::Replaced => "the peer has restarted",
        CloseCode::Stalled => "fragments did not get through",
        CloseCode::MadeRoom => "its slot is kept for peers that cannot be reached otherwise",
        CloseCode::NotNeeded => "not needed now",
        CloseCode::Other => "no reason this version knows",
    }
}
