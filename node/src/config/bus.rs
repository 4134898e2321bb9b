//! The limits of messages and streams.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How patient the Bus is, and how much waits for the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// How long a session survives without any path to the peer, in milliseconds.
    pub session_gap_ms: u64,
    /// How long a message waits for a route before it fails, in milliseconds.
    pub give_up_ms: u64,
    /// Received messages that wait for the application.
    pub inbox_messages_max: usize,
    /// Bytes of received messages that wait for the application.
    pub inbox_bytes_max: usize,
    /// What happens to a message when the inbox is full; if not given, it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFull>,
}

/// What happens to a message that arrives at a full inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WhenFull {
    /// It waits, and its sender with it: back-pressure.
    #[default]
    Wait,
    /// It is refused, and its sender told so.
    Reject,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            session_gap_ms: 30_000,
            give_up_ms: 30_000,
            inbox_messages_max: 256,
            inbox_bytes_max: 4 * 1_024 * 1_024,
            when_full: None,
        }
    }
}

impl BusConfig {
    /// [`BusConfig::session_gap_ms`].
    #[must_use]
    pub const fn session_gap(&self) -> Duration {
        Duration::from_millis(self.session_gap_ms)
    }

    /// [`BusConfig::give_up_ms`].
    #[must_use]
    pub const fn give_up(&self) -> Duration {
        Duration::from_millis(self.give_up_ms)
    }
}
