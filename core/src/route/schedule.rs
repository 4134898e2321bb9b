//! When routes are computed: at once after quiet, ever less often while changes keep coming. In
//! the manner of RFC 8405.

use crate::limits::{ROUTES_DELAY_FIRST, ROUTES_DELAY_LONG_MAX, ROUTES_DELAY_PER_PEER};
use crate::limits::{ROUTES_DELAY_SHORT, ROUTES_LEARN, ROUTES_QUIET};
use crate::time::Instant;

/// The back-off of computing routes.
#[derive(Debug, Default)]
pub struct Schedule {
    due: Option<Instant>,
    burst: Option<Burst>,
}

/// Changes that come one after the other.
#[derive(Debug)]
struct Burst {
    began: Instant,
    last: Instant,
}

impl Schedule {
    /// Somebody else's edges changed, in a mesh of so many peers.
    pub fn on_change(&mut self, now: Instant, peers: usize) {
        let long = ROUTES_DELAY_PER_PEER * u32::try_from(peers).unwrap_or(u32::MAX);
        let long = long.clamp(ROUTES_DELAY_FIRST, ROUTES_DELAY_LONG_MAX);
        let delay = match &mut self.burst {
            Some(burst) if now.since(burst.last) < ROUTES_QUIET => {
                burst.last = now;
                let learning = now.since(burst.began) < ROUTES_LEARN;
                if learning { ROUTES_DELAY_SHORT.min(long) } else { long }
            }
            burst => {
                *burst = Some(Burst { began: now, last: now });
                ROUTES_DELAY_FIRST
            }
        };
        // A computation that is due takes this change in.
        self.due.get_or_insert(now + delay);
    }

    /// This node's own links changed: nobody knows better, and frames wait.
    pub fn on_own_change(&mut self, now: Instant) {
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// The routes are those of this moment.
    pub fn on_computed(&mut self) {
        self.due = None;
    }

    /// When to compute.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}
