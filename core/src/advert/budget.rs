//! How much one neighbour may cost: a token bucket.

use crate::time::{Duration, Instant};

/// What a unit is counted in, so that slow rates lose nothing to rounding.
const MICRO: i64 = 1_000_000;

/// So much a second in the long run, and so much at once.
///
/// Whoever has anything left may spend more than that: the debt is paid before the next time. So
/// the size of what comes next need not be known.
#[derive(Debug)]
pub(super) struct Budget {
    per_s: u64,
    burst: u64,
    /// Millionths; below zero after a large one.
    left: i64,
    at: Instant,
}

impl Budget {
    /// Full at first.
    pub(super) fn new(per_s: u64, burst: u64) -> Self {
        Self { per_s, burst, left: micros(burst), at: Instant::EPOCH }
    }

    /// Another rate from now on; what is left stays, within the new burst.
    pub(super) fn set(&mut self, now: Instant, per_s: u64, burst: u64) {
        self.refill(now);
        (self.per_s, self.burst) = (per_s, burst);
        self.left = self.left.min(micros(burst));
    }

    fn refill(&mut self, now: Instant) {
        let passed = i64::try_from(now.since(self.at).as_micros()).unwrap_or(i64::MAX);
        let gained = passed.saturating_mul(i64::try_from(self.per_s).unwrap_or(i64::MAX));
        self.left = self.left.saturating_add(gained).min(micros(self.burst));
        self.at = self.at.max(now);
    }

    /// Whether something may be spent.
    pub(super) fn may(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left > 0
    }

    pub(super) fn spend(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(micros(u64::try_from(amount).unwrap_or(u64::MAX)));
    }

    /// When something may be spent again, seen from the last time it was asked.
    pub(super) fn ready_at(&self) -> Instant {
        let per_s = i64::try_from(self.per_s.max(1)).unwrap_or(i64::MAX);
        let missing = u64::try_from(1 - self.left.min(1)).unwrap_or(0);
        self.at + Duration::from_micros(missing.div_ceil(per_s.unsigned_abs()))
    }
}

fn micros(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX).saturating_mul(MICRO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    #[test]
    fn it_gives_its_burst_and_then_its_rate() {
        let mut budget = Budget::new(1_000, 5_000);
        let spent = |budget: &mut Budget, now| {
            let may = core::iter::from_fn(|| budget.may(now).then(|| budget.spend(100)));
            may.count()
        };
        assert_eq!(spent(&mut budget, MS(0)), 50);
        assert_eq!(budget.ready_at(), Instant::from_micros(1));
        assert_eq!(spent(&mut budget, MS(1_000)), 10);
        assert_eq!(spent(&mut budget, MS(60_000)), 50, "no more than the burst");
    }

    #[test]
    fn what_was_overspent_is_paid_before_the_next_time() {
        let mut budget = Budget::new(100, 10);
        assert!(budget.may(MS(0)));
        budget.spend(1_010);
        assert!(!budget.may(MS(9_999)));
        assert!(budget.may(budget.ready_at()));
    }

    #[test]
    fn it_is_ready_when_it_says_so_and_not_before() {
        for per_s in [1, 3, 512, 1_000_003, u64::MAX] {
            let mut budget = Budget::new(per_s, 2);
            budget.spend(1_000);
            let ready = budget.ready_at();
            assert!(!budget.may(ready - Duration::from_micros(1)), "{per_s}");
            assert!(budget.may(ready), "{per_s}");
        }
    }

    #[test]
    fn another_link_brings_its_rate_and_no_second_burst() {
        let mut budget = Budget::new(1, 100);
        budget.set(MS(0), 10, 10);
        budget.spend(10);
        budget.set(MS(0), 1_000, 100);
        assert!(!budget.may(MS(0)));
        assert!(budget.may(MS(1)));
    }
}
