//! The round-trip time of one lane of a path (RFC 9002, section 5).

use crate::limits::ACK_DELAY_MAX;
use crate::time::Duration;

/// Assumed before the first sample (RFC 9002, section 6.2.2).
const INITIAL: Duration = Duration::from_millis(333);
/// Probes back off no further: the mesh knows whether there is a path, and where there is one
/// silence is loss.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// Timers are never finer than this.
const GRANULARITY: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct Rtt {
    smoothed: Option<Duration>,
    variance: Duration,
    min: Duration,
    latest: Duration,
}

impl Default for Rtt {
    fn default() -> Self {
        Self { smoothed: None, variance: INITIAL / 2, min: Duration::MAX, latest: INITIAL }
    }
}

impl Rtt {
    /// Takes a sample of which `ack_delay` passed inside the peer.
    pub(super) fn update(&mut self, sample: Duration, ack_delay: Duration) {
        self.latest = sample;
        self.min = self.min.min(sample);
        let ack_delay = ack_delay.min(ACK_DELAY_MAX * 4);
        let adjusted = if sample >= self.min + ack_delay { sample - ack_delay } else { sample };
        match self.smoothed {
            None => {
                self.smoothed = Some(adjusted);
                self.variance = adjusted / 2;
            }
            Some(smoothed) => {
                self.variance = (self.variance * 3 + smoothed.abs_diff(adjusted)) / 4;
                self.smoothed = Some((smoothed * 7 + adjusted) / 8);
            }
        }
    }

    /// Takes a rough sample, if there is none yet.
    pub(super) fn guess(&mut self, sample: Duration) {
        if self.smoothed.is_none() {
            (self.smoothed, self.variance, self.latest) = (Some(sample), sample / 2, sample);
        }
    }

    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(INITIAL)
    }

    /// A packet this much older than an acknowledged later one is lost (section 6.1.2).
    pub(super) fn loss_delay(&self) -> Duration {
        (self.smoothed().max(self.latest) * 9 / 8).max(GRANULARITY)
    }

    /// How long to wait for an acknowledgement before probing (section 6.2.1).
    pub(super) fn probe_timeout(&self, tries: u32) -> Duration {
        let base = self.smoothed() + (self.variance * 4).max(GRANULARITY) + ACK_DELAY_MAX;
        (base * 2_u32.pow(tries.min(8))).min(PROBE_MAX.max(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_peers_delay_is_taken_off_but_never_below_the_minimum() {
        let mut rtt = Rtt::default();
        rtt.update(50 * MS, 10 * MS);
        assert_eq!(rtt.smoothed(), 50 * MS);
        rtt.update(60 * MS, 10 * MS);
        assert_eq!(rtt.smoothed(), 50 * MS);
        rtt.update(52 * MS, 10 * MS);
        assert!(rtt.smoothed() > 50 * MS);
    }

    #[test]
    fn probes_back_off_up_to_two_seconds() {
        let mut rtt = Rtt::default();
        rtt.update(40 * MS, Duration::ZERO);
        assert_eq!(rtt.probe_timeout(1), rtt.probe_timeout(0) * 2);
        assert_eq!(rtt.probe_timeout(60), PROBE_MAX);
    }
}
