//! How many bytes a link carries, over the last seconds.

use crate::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Counts bytes in windows of a second; the rate is the last full window's.
#[derive(Debug, Default)]
pub(super) struct Meter {
    window: Instant,
    bytes: u64,
    last: u64,
    total: u64,
}

impl Meter {
    pub(super) fn add(&mut self, now: Instant, bytes: usize) {
        if now.since(self.window) >= WINDOW {
            self.last = if now.since(self.window) < WINDOW * 2 { self.bytes } else { 0 };
            self.bytes = 0;
            self.window = now;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes += bytes;
        self.total += bytes;
    }

    /// All bytes.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes a second.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let age = now.since(self.window);
        if age >= WINDOW * 2 {
            0
        } else if age >= WINDOW {
            self.bytes
        } else {
            self.last.max(self.bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_last_second_and_falls_to_zero() {
        let mut meter = Meter::default();
        for ms in (10_000..12_000).step_by(100) {
            meter.add(Instant::from_millis(ms), 50);
        }
        assert_eq!(meter.rate(Instant::from_millis(12_100)), 500);
        assert_eq!(meter.rate(Instant::from_millis(20_000)), 0);
        assert_eq!(meter.total(), 20 * 50);
    }
}
