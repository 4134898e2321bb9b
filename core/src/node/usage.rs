//! What a link carries, as far as it matters to whoever asks whether another one pays.

use crate::dial::upgrade::Pressure;
use crate::time::Instant;

/// What a link carried, for whoever asks whether another one pays, or this one still does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) pressure: Pressure,
    /// When it last carried data, either way.
    pub(super) data_at: Instant,
    /// When it last took on data of others.
    pub(super) relayed_at: Option<Instant>,
    /// When it was last looked at whether it is needed.
    pub(super) looked_at: Instant,
}

/// What data left with a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Load {
    /// None.
    None,
    /// This node's own.
    Own,
    /// Of others, perhaps beside its own.
    OfOthers,
}

impl Usage {
    pub(super) fn new(now: Instant) -> Self {
        Self { pressure: Pressure::default(), data_at: now, relayed_at: None, looked_at: now }
    }
}
