//! How often something may be done.

use crate::time::{Duration, Instant};

/// So many in a second, and as many at once.
#[derive(Debug)]
pub(crate) struct Allowance {
    per_second: u32,
    left: u32,
    refilled: Instant,
}

impl Allowance {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, left: per_second, refilled: Instant::EPOCH }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if now.since(self.refilled) >= Duration::from_secs(1) {
            (self.left, self.refilled) = (self.per_second, now);
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }

    /// When it may be done again; `None` for now.
    pub(crate) fn opens_at(&self) -> Option<Instant> {
        (self.left == 0).then(|| self.refilled + Duration::from_secs(1))
    }
}
