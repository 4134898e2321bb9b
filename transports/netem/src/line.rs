//! The line: carries one byte after the other at an exact rate.

const MICROS_PER_S: u128 = 1_000_000;

/// A line at a rate. All times are microseconds since the caller's epoch.
///
/// What is on the line is reckoned from the start of a busy period, not from item to item, so
/// that rounding never adds up: after `n` bytes without a pause exactly `n / rate` has passed.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    rate_bytes_per_s: u64,
    busy_since: u64,
    bytes: u64,
}

impl Line {
    pub(crate) fn new(rate_bytes_per_s: u64) -> Self {
        Self { rate_bytes_per_s, busy_since: 0, bytes: 0 }
    }

    /// Puts `bytes` behind what the line carries; gives the time when the last one left.
    pub(crate) fn carry(&mut self, now: u64, bytes: usize) -> u64 {
        // At the very end of a busy period the next one goes on from the exact fraction of the
        // microsecond, or a sender that wakes up just in time would lose it with each item.
        if now > self.passed(self.bytes) {
            self.busy_since = now;
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.passed(self.bytes)
    }

    /// When at most `bytes` will be left of what the line was given; may be long ago.
    pub(crate) fn drained_to(&self, bytes: usize) -> u64 {
        self.passed(self.bytes.saturating_sub(bytes as u64))
    }

    /// From now on the line carries at another rate, also what still waits for it.
    pub(crate) fn change_rate(&mut self, now: u64, rate_bytes_per_s: u64) {
        let busy_for = u128::from(now.saturating_sub(self.busy_since));
        let carried = busy_for * u128::from(self.rate_bytes_per_s) / MICROS_PER_S;
        self.bytes = self.bytes.saturating_sub(u64::try_from(carried).unwrap_or(u64::MAX));
        self.busy_since = self.busy_since.max(now);
        self.rate_bytes_per_s = rate_bytes_per_s;
    }

    /// When `bytes` of the busy period have left.
    fn passed(&self, bytes: u64) -> u64 {
        let micros = (u128::from(bytes) * MICROS_PER_S).div_ceil(self.rate_bytes_per_s.into());
        self.busy_since.saturating_add(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_does_not_add_up() {
        let mut line = Line::new(3);
        for _ in 0..3_000 {
            line.carry(0, 1);
        }
        assert_eq!(line.drained_to(0), 1_000_000_000);
    }

    #[test]
    fn a_sender_that_wakes_up_just_in_time_gets_the_whole_rate() {
        let mut line = Line::new(3_000_000);
        let mut now = 0;
        for _ in 0..3_000 {
            now = line.carry(now, 1);
        }
        assert_eq!(now, 1_000);
    }

    #[test]
    fn an_idle_line_starts_at_once() {
        let mut line = Line::new(1_000);
        line.carry(0, 10);
        assert_eq!(line.carry(50_000, 10), 60_000);
    }

    #[test]
    fn what_waits_goes_on_at_a_new_rate() {
        let mut line = Line::new(1_000);
        line.carry(0, 10);
        line.change_rate(4_000, 100);
        assert_eq!(line.drained_to(0), 64_000);
        line.change_rate(1_000_000, 1);
        assert_eq!(line.carry(1_000_000, 1), 2_000_000, "nothing was left");
    }

    #[test]
    fn drains_byte_by_byte() {
        let mut line = Line::new(1_000);
        line.carry(0, 10);
        assert_eq!(line.drained_to(4), 6_000);
        assert_eq!(line.drained_to(100), 0);
    }
}
