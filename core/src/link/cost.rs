//! What a link costs (protocol 5.5): what its medium promises, corrected by what is measured.
//!
//! Every change of a cost is a signature that the whole mesh passes on, and moves traffic, which
//! changes what is measured next. So a cost follows the way and not the load on it: it takes the
//! least of the last round trips, those under load only if they lower it, and changes only when
//! the difference is large and lasts.

use core::cmp::Ordering;

use crate::io::LinkEstimate;
use crate::limits::{LINK_COST_LASTS, LINK_COST_STEP_CODES, LINK_RTT_SAMPLES};
use crate::time::{Duration, Instant};
use crate::wire::advert::Cost;

/// What a link in doubt costs above its own: any way around it is cheaper.
const DETOUR: Duration = Duration::from_secs(60);
/// What a link costs: the time that this many bytes take.
const COST_BYTES: u64 = 1_280;
/// A link that carries more than this part of its promised rate is loaded: the round trip measures
/// its queues as well.
const LOADED_PART: u64 = 8;

/// The cost of one link, as it is told to others.
#[derive(Debug)]
pub(crate) struct LinkCost {
    promise: LinkEstimate,
    rtts: Window,
    told: Cost,
    /// On which side of what is told the measured cost is, far from it, and since when.
    apart: Option<(Ordering, Instant)>,
}

/// The last round trips, in turn.
#[derive(Debug, Default)]
struct Window {
    samples: [Option<Duration>; LINK_RTT_SAMPLES],
    next: usize,
}

impl LinkCost {
    /// Of a link that just came up: what its medium promises.
    pub(crate) fn new(promise: LinkEstimate) -> Self {
        let told = cost(&promise, Duration::ZERO);
        Self { promise, rtts: Window::default(), told, apart: None }
    }

    /// A round trip was measured while the link carried `load` bytes a second both ways. Says
    /// whether the cost changed.
    pub(crate) fn on_rtt(&mut self, now: Instant, rtt: Duration, load: u64) -> bool {
        if load > self.promise.rate_bytes_per_s / LOADED_PART {
            self.rtts.lower(rtt);
        } else {
            self.rtts.push(rtt);
        }
        let measured = cost(&self.promise, self.rtts.least().unwrap_or_default() / 2);
        if measured.0.abs_diff(self.told.0) < LINK_COST_STEP_CODES {
            self.apart = None;
            return false;
        }
        let side = measured.cmp(&self.told);
        // The least of a few round trips may have met a queue each.
        if side == Ordering::Greater && !self.rtts.is_full() {
            self.apart = None;
            return false;
        }
        let since =
            self.apart.filter(|(before, _)| *before == side).map_or(now, |(_, since)| since);
        self.apart = Some((side, since));
        let lasts = now.since(since) >= LINK_COST_LASTS;
        if lasts {
            (self.told, self.apart) = (measured, None);
        }
        lasts
    }

    /// The cost now; one in doubt costs more than any way around it.
    pub(crate) fn told(&self, in_doubt: bool) -> Cost {
        if in_doubt { self.told.in_doubt() } else { self.told }
    }

    /// Bytes a second that the medium promises.
    pub(crate) fn rate_bytes_per_s(&self) -> u64 {
        self.promise.rate_bytes_per_s
    }

    /// The least of the last round trips.
    pub(crate) fn rtt_min(&self) -> Option<Duration> {
        self.rtts.least()
    }
}

impl Cost {
    /// The same while the link is in doubt.
    pub(crate) fn in_doubt(self) -> Self {
        if self.is_in_doubt() {
            return self;
        }
        let detour = u64::try_from(DETOUR.as_micros()).unwrap_or(u64::MAX);
        Self::from_microseconds(self.value().saturating_add(detour))
    }

    /// Whether this is the cost of a link in doubt. One that is so slow by nature is as well
    /// avoided.
    pub(crate) fn is_in_doubt(self) -> bool {
        u128::from(self.value()) >= DETOUR.as_micros()
    }
}

impl Window {
    fn push(&mut self, rtt: Duration) {
        if let Some(slot) = self.samples.get_mut(self.next) {
            *slot = Some(rtt);
        }
        self.next = (self.next + 1) % LINK_RTT_SAMPLES;
    }

    /// Takes a sample only as a bound: it stands in for the last one if it is less.
    fn lower(&mut self, rtt: Duration) {
        if self.least().is_some_and(|least| rtt < least) {
            self.next = (self.next + LINK_RTT_SAMPLES - 1) % LINK_RTT_SAMPLES;
            self.push(rtt);
        }
    }

    fn is_full(&self) -> bool {
        self.samples.iter().all(Option::is_some)
    }

    fn least(&self) -> Option<Duration> {
        self.samples.iter().flatten().min().copied()
    }
}

/// The delay, or the way that was measured if it is longer, and the time the bytes take.
fn cost(promise: &LinkEstimate, one_way: Duration) -> Cost {
    let carry = COST_BYTES.saturating_mul(1_000_000) / promise.rate_bytes_per_s.max(1);
    let delay = u64::try_from(promise.delay.max(one_way).as_micros()).unwrap_or(u64::MAX);
    Cost::from_microseconds(delay.saturating_add(carry))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::entropy::Entropy;
    use crate::entropy::tests::Seeded;

    const PROMISE: LinkEstimate =
        LinkEstimate { rate_bytes_per_s: 1_280_000, delay: Duration::from_millis(4) };

    /// A keepalive each five seconds, from the given second on; the seconds at which the cost
    /// changed.
    fn feed(cost: &mut LinkCost, from: u64, rtts_ms: &[u64]) -> Vec<u64> {
        let seconds = (0..).map(|at| from + 5 * at);
        seconds
            .zip(rtts_ms)
            .filter(|(second, ms)| {
                let now = Instant::from_millis(second * 1_000);
                cost.on_rtt(now, Duration::from_millis(**ms), 0)
            })
            .map(|(second, _)| second)
            .collect()
    }

    #[test]
    fn a_new_link_costs_what_its_medium_promises_and_a_faster_answer_makes_it_no_cheaper() {
        let mut cost = LinkCost::new(PROMISE);
        assert_eq!(cost.told(false), Cost::from_microseconds(5_000));
        assert_eq!(feed(&mut cost, 0, &[0; 100]), []);
        assert_eq!(cost.told(false), Cost::from_microseconds(5_000));
        assert_eq!(cost.rtt_min(), Some(Duration::ZERO));
    }

    #[test]
    fn a_link_that_is_further_than_promised_costs_so_once_that_has_lasted() {
        let mut cost = LinkCost::new(PROMISE);
        assert_eq!(feed(&mut cost, 0, &[80; 100]), [5 * (LINK_RTT_SAMPLES as u64 - 1) + 30]);
        assert_eq!(cost.told(false), Cost::from_microseconds(41_000));
        // One round trip in a minute that shows the true way is enough to keep it.
        let mut waits = [400; 200];
        waits.iter_mut().step_by(LINK_RTT_SAMPLES).for_each(|ms| *ms = 80);
        assert_eq!(feed(&mut cost, 500, &waits), []);
    }

    #[test]
    fn a_way_that_grows_longer_for_good_is_told_when_the_window_has_passed_and_back_sooner() {
        let mut cost = LinkCost::new(PROMISE);
        feed(&mut cost, 0, &[8; 20]);
        let told = feed(&mut cost, 100, &[100; 40]);
        assert_eq!(told, [100 + 5 * (LINK_RTT_SAMPLES as u64 - 1) + 30]);
        assert_eq!(feed(&mut cost, 300, &[8; 40]), [330]);
    }

    #[test]
    fn less_than_twice_is_no_change() {
        let mut cost = LinkCost::new(PROMISE);
        assert_eq!(feed(&mut cost, 0, &[15; 100]), []);
        // What swings across the step starts anew each time.
        let swing: Vec<u64> = (0..400).map(|at| if at % 40 < 16 { 30 } else { 8 }).collect();
        assert_eq!(feed(&mut cost, 500, &swing), []);
    }

    #[test]
    fn round_trips_under_load_make_a_link_cheaper_but_never_dearer() {
        let mut cost = LinkCost::new(PROMISE);
        let load = PROMISE.rate_bytes_per_s / 2;
        let mut rtt = |second: u64, ms, load| {
            cost.on_rtt(Instant::from_millis(second * 1_000), Duration::from_millis(ms), load);
            (cost.rtt_min(), cost.told(false))
        };
        let promised = Cost::from_microseconds(5_000);
        assert_eq!(rtt(0, 300, load), (None, promised), "nothing to lower");
        for second in (5..65).step_by(5) {
            rtt(second, 60, 0);
        }
        for second in (65..2_000).step_by(5) {
            rtt(second, 300, load);
        }
        assert_eq!(
            rtt(2_000, 300, load),
            (Some(Duration::from_millis(60)), Cost::from_microseconds(31_000))
        );
        rtt(2_005, 8, load);
        assert_eq!(rtt(2_040, 8, load), (Some(Duration::from_millis(8)), promised));
    }

    #[test]
    fn whatever_is_measured_in_an_hour_the_cost_changes_twice_a_minute_at_most() {
        for seed in 0..200 {
            let (mut cost, mut random) = (LinkCost::new(PROMISE), Seeded(seed));
            let (mut now, mut changes, mut last) = (Instant::EPOCH, 0, None);
            while now < Instant::from_millis(3_600_000) {
                let mut bytes = [0; 4];
                random.fill(&mut bytes);
                let [gap, rtt, load, far] = bytes;
                now += Duration::from_millis(u64::from(gap) * 20);
                let rtt = Duration::from_millis(u64::from(rtt) << (far % 6));
                let load = if load < 64 { PROMISE.rate_bytes_per_s } else { 0 };
                let before = cost.told(false);
                if cost.on_rtt(now, rtt, load) {
                    changes += 1;
                    let after = cost.told(false);
                    assert!(before.0.abs_diff(after.0) >= LINK_COST_STEP_CODES);
                    assert!(last.is_none_or(|last| now.since(last) >= LINK_COST_LASTS));
                    last = Some(now);
                } else {
                    assert_eq!(cost.told(false), before);
                }
            }
            assert!(changes <= 120, "{changes} changes with seed {seed}");
        }
    }

    #[test]
    fn a_link_in_doubt_costs_more_than_any_way_around_it_and_keeps_its_own_cost() {
        let cost = LinkCost::new(PROMISE);
        assert!(cost.told(true).is_in_doubt() && !cost.told(false).is_in_doubt());
        assert!(cost.told(true).value() >= 60_005_000);
        let slow = LinkCost::new(LinkEstimate { rate_bytes_per_s: 0, delay: Duration::MAX });
        assert_eq!((slow.told(false), slow.told(true)), (Cost(u8::MAX), Cost(u8::MAX)));
    }
}
