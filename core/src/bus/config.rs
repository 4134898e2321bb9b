//! What a Bus is made with.

pub use crate::local::Local;
pub use crate::wire::frame::{DataFrame, DataHead};

use crate::id::LinkId;
use crate::time::Duration;

/// Limits and times of a Bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusConfig {
    /// How long a session survives without a path or an answer.
    pub session_gap: Duration,
    /// How long a reliable message, or the opening of a stream, waits while its session makes
    /// no progress: nothing but answers to pings and checks. For one that names its own time
    /// that time counts from the call.
    pub give_up: Duration,
    /// The largest reliable message sent or accepted, in bytes.
    pub message_bytes_max: usize,
    /// The largest unreliable message sent or accepted, in bytes.
    pub unreliable_bytes_max: usize,
    /// Reliable messages to one peer that wait or are unacknowledged, in bytes. One message is
    /// always admitted.
    pub send_bytes_max: usize,
    /// The same for one stream.
    pub stream_send_bytes_max: usize,
    /// Unreliable messages to one peer that wait, in bytes of one lane.
    pub unreliable_send_bytes_max: usize,
    /// Reliable messages of this node whose outcome is still open or unread.
    pub outcomes_max: usize,
    /// Messages that wait for the application, or that it has taken and not yet accepted.
    pub inbox_messages_max: usize,
    /// Unreliable messages that wait for the application, in bytes (per stream, and for all
    /// single ones).
    pub inbox_bytes_max: usize,
    /// What all streams together may receive beyond their first windows, in bytes.
    pub receive_bytes_max: u64,
    /// What first windows may hold unread, of all sessions together, in bytes. Beyond it the session
    /// that holds most ends.
    pub first_windows_bytes_max: u64,
    /// Streams of this node, to all peers.
    pub streams_max: usize,
    /// Streams of one peer.
    pub streams_per_peer_max: usize,
    /// Sessions of this node.
    pub sessions_max: usize,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            session_gap: Duration::from_secs(30),
            give_up: Duration::from_secs(30),
            message_bytes_max: 16 * 1_024 * 1_024,
            unreliable_bytes_max: 128 * 1_024,
            send_bytes_max: 32 * 1_024 * 1_024,
            stream_send_bytes_max: 4 * 1_024 * 1_024,
            unreliable_send_bytes_max: 512 * 1_024,
            outcomes_max: 8_192,
            inbox_messages_max: 1_024,
            inbox_bytes_max: 4 * 1_024 * 1_024,
            receive_bytes_max: 128 * 1_024 * 1_024,
            first_windows_bytes_max: 64 * 1_024 * 1_024,
            streams_max: 1_024,
            streams_per_peer_max: 256,
            sessions_max: crate::limits::PEERS_MAX,
        }
    }
}

/// The way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The first link.
    pub link: LinkId,
    /// Hops to the peer; 1 for a neighbour.
    pub hops: u8,
    /// The hop limit of frames to the peer.
    pub hop_limit: u8,
    /// The largest payload that every hop carries, in bytes: ciphertext without tag.
    pub payload_bytes_max: usize,
}
