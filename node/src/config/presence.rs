//! The presence graph's pace.

use std::time::Duration;

use hedgerow_core::limits::UNREACHABLE_GRACE;
use serde::{Deserialize, Serialize};

/// How lively the presence graph is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceConfig {
    /// Changes within this time reach an observer as one graph, in milliseconds.
    pub observer_coalesce_ms: u64,
    /// How long a peer that cannot be reached stays in the graph, in milliseconds.
    pub unreachable_grace_ms: u64,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        let grace = UNREACHABLE_GRACE.as_millis();
        Self {
            observer_coalesce_ms: 100,
            unreachable_grace_ms: u64::try_from(grace).unwrap_or(u64::MAX),
        }
    }
}

impl PresenceConfig {
    /// [`PresenceConfig::observer_coalesce_ms`].
    #[must_use]
    pub const fn observer_coalesce(&self) -> Duration {
        Duration::from_millis(self.observer_coalesce_ms)
    }

    /// [`PresenceConfig::unreachable_grace_ms`].
    #[must_use]
    pub const fn unreachable_grace(&self) -> Duration {
        Duration::from_millis(self.unreachable_grace_ms)
    }
}
