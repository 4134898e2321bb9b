//! How often something may be done.

use alloc::collections::BTreeMap;

use crate::id::PeerKey;
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

/// So many in a second for all neighbours together, and some that each has for itself before those:
/// what one who floods cannot take from the others.
#[derive(Debug)]
pub(crate) struct Shares {
    own: u32,
    common: u32,
    second: Instant,
    spent: u32,
    spent_by: BTreeMap<PeerKey, u32>,
}

impl Shares {
    pub(crate) fn new(own: u32, common: u32) -> Self {
        Self { own, common, second: Instant::EPOCH, spent: 0, spent_by: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, now: Instant, neighbour: PeerKey) -> bool {
        if now.since(self.second) >= Duration::from_secs(1) {
            (self.second, self.spent) = (now, 0);
            self.spent_by.clear();
        }
        let own = self.spent_by.entry(neighbour).or_default();
        let (count, limit) =
            if *own < self.own { (own, self.own) } else { (&mut self.spent, self.common) };
        let may = *count < limit;
        *count += u32::from(may);
        may
    }
}
