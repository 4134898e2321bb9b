//! How far apart signings are: prompt after quiet, further apart while changes keep coming.

use crate::limits::{SIGN_QUIET, SIGN_WAIT_MAX, SIGN_WAIT_MIN};
use crate::time::{Duration, Instant};

/// When one statement may be signed again.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    wait: Duration,
}

impl Pace {
    /// When what changed may be signed, if it is not wanted before `at`.
    pub(super) fn earliest(&self, at: Instant) -> Instant {
        self.last.map_or(at, |last| at.max(last + self.wait))
    }

    /// Whether nothing was signed for so long that the next one need not wait.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.since(last) >= SIGN_QUIET)
    }

    /// It was signed: the next one waits, twice as long as the last one did unless all was quiet.
    pub(super) fn on_signed(&mut self, now: Instant) {
        self.wait =
            if self.is_quiet(now) { SIGN_WAIT_MIN } else { (self.wait * 2).min(SIGN_WAIT_MAX) };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    /// Signs as soon as may be until `end`; when that was.
    fn eager(pace: &mut Pace, mut now: Instant, end: Instant) -> Vec<u64> {
        let mut signed = Vec::new();
        loop {
            now = pace.earliest(now);
            if now >= end {
                return signed;
            }
            pace.on_signed(now);
            signed.push(now.as_micros() / 1_000);
        }
    }

    #[test]
    fn the_first_ones_are_prompt_and_the_later_ones_a_second_apart() {
        let mut pace = Pace::default();
        let signed = eager(&mut pace, MS(0), MS(5_000));
        let ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap();
        let (first, longest) = (ms(SIGN_WAIT_MIN), ms(SIGN_WAIT_MAX));
        assert_eq!(signed[..7], [0, 1, 3, 7, 15, 31, 63].map(|waits| waits * first));
        assert!(signed[6..].windows(2).all(|pair| pair[1] - pair[0] == longest), "{signed:?}");
        let after = signed[signed.len() - 1] + ms(SIGN_QUIET);
        assert_eq!(eager(&mut pace, MS(after), MS(after + 2 * first)), [after, after + first]);
    }

    #[test]
    fn no_rhythm_of_bursts_and_quiet_makes_more_than_one_a_second() {
        for quiet_ms in [0, 100, 1_000, 9_999, 10_000, 10_001, 20_000] {
            for burst_ms in [1, 50, 100, 700, 1_300, 5_000] {
                let (mut pace, mut count, mut now) = (Pace::default(), 0, 0);
                while now < 3_600_000 {
                    count += eager(&mut pace, MS(now), MS(now + burst_ms)).len();
                    now += burst_ms + quiet_ms;
                }
                assert!(count <= 3_600 + 8, "{count} of {burst_ms} ms, {quiet_ms} ms");
            }
        }
    }
}
