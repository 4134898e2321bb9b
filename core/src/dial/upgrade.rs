//! Whether a faster link to a neighbour pays (protocol 3.4).
//!
//! Where a link is dialled on demand, it costs seconds, power, and perhaps what the user does with
//! the radio. It pays when data waits for the link that stands, and goes on waiting.
//!
//! How much waits cannot tell that alone: an application writes into buffers of a few MiB and a
//! window of credit, and waits itself for the rest, so the end of a gigabyte looks like the end of
//! a song. How long something has waited can: a transfer keeps its buffers from running dry for as
//! long as it lasts, and talk that the link keeps up with does not. So [`Pressure`] counts time.
//! The bytes only bring the decision forward, when they alone take the link longer than the wait.
//!
//! What waits is data that the link does not take, or that a session holds back because of it:
//! frames of others in the relay queue, and what the Bus could send to peers behind the link. What
//! the far end gives no credit for does not wait for a link, and the node counts what a session's
//! window holds back on a longer way only where this link may be the narrow place: no faster
//! first hop mends the second. A relay sees no more than a frame or two, as sessions keep queues
//! short: its link counts as waited for while it carries nearly what its medium promises.

use crate::io::{LinkEstimate, Power};
use crate::limits::{
    DEMAND_IDLE, DEMAND_IDLE_ON_BATTERY, UPGRADE_DRAIN, UPGRADE_GAIN, UPGRADE_MOMENT,
    UPGRADE_ON_BATTERY, UPGRADE_WAIT,
};
use crate::link::LinkCost;
use crate::time::{Duration, Instant};
use crate::wire::advert::Cost;

/// What the user wants of links that are dialled on demand, for peers that are reachable anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpgradePolicy {
    /// None is made. Those that others make are used.
    Never,
    /// One is made when it pays, which takes more on battery; none while power is low.
    #[default]
    WhenItPays,
    /// One is made as soon as data has waited for a moment, whatever the power.
    Always,
}

impl Power {
    /// A link dialled on demand that carried no data for so long is given up.
    #[must_use]
    pub fn idle(self) -> Duration {
        match self {
            Self::Mains => DEMAND_IDLE,
            Self::Battery | Self::Low => DEMAND_IDLE_ON_BATTERY,
        }
    }
}

/// How long data may wait before a faster link pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For less than this nothing is done, however much waits: it may be over.
    moment: Duration,
    /// After that, what waits may take the link so long.
    drain: Duration,
    /// What has waited for so long goes on, however little of it is to be seen.
    wait: Duration,
}

impl Patience {
    /// By what the user wants and where the power comes from; `None`: no faster link is made.
    #[must_use]
    pub fn of(policy: UpgradePolicy, power: Power) -> Option<Self> {
        let times = |factor: u32| Self {
            moment: UPGRADE_MOMENT * factor,
            drain: UPGRADE_DRAIN * factor,
            wait: UPGRADE_WAIT * factor,
        };
        match (policy, power) {
            (UpgradePolicy::Never, _) | (UpgradePolicy::WhenItPays, Power::Low) => None,
            (UpgradePolicy::WhenItPays, Power::Mains) => Some(times(1)),
            (UpgradePolicy::WhenItPays, Power::Battery) => Some(times(UPGRADE_ON_BATTERY)),
            (UpgradePolicy::Always, _) => {
                Some(Self { wait: UPGRADE_MOMENT, drain: UPGRADE_DRAIN, moment: UPGRADE_MOMENT })
            }
        }
    }

    /// Whether it is over for what has waited for `waited` and is `bytes` now, over a link that
    /// carries `rate_bytes_per_s` lately.
    #[must_use]
    pub fn is_over(&self, waited: Duration, bytes: u64, rate_bytes_per_s: u64) -> bool {
        let drain_us = u128::from(bytes) * 1_000_000 / u128::from(rate_bytes_per_s.max(1));
        waited >= self.moment && (waited >= self.wait || drain_us > self.drain.as_micros())
    }

    /// What comes together beyond this is not counted: a little more than matters, so that an answer
    /// stays the same over a pause, and is soon forgotten.
    fn counted(&self) -> Duration {
        self.wait + self.moment
    }
}

/// For how long data has waited for a link, the time that it did not taken off: a pause as short as
/// an answer between two pieces of a transfer does not begin it anew, and a link that is busy less
/// than half of the time is never under pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    waits: bool,
    /// Since when, or since when not.
    at: Instant,
    /// What had come together by then.
    waited: Duration,
}

impl Pressure {
    /// Data waits, or does not, from now on.
    pub fn note(&mut self, now: Instant, waits: bool, patience: &Patience) {
        self.waited = self.waited(now, patience);
        (self.at, self.waits) = (now, waits);
    }

    /// The same at a later time, when nothing has changed.
    #[must_use]
    pub fn advanced(mut self, now: Instant, patience: &Patience) -> Self {
        self.note(now, self.waits, patience);
        self
    }

    /// What has come together until now.
    #[must_use]
    pub fn waited(&self, now: Instant, patience: &Patience) -> Duration {
        let time = now.since(self.at);
        let sum = if self.waits { self.waited + time } else { self.waited.saturating_sub(time) };
        sum.min(patience.counted())
    }

    /// When to ask again whether patience is over, if nothing is noted until then.
    #[must_use]
    pub fn next_look(&self, patience: &Patience) -> Option<Instant> {
        let steps = [patience.moment, patience.wait];
        let next = steps.into_iter().find(|step| self.waited < *step)?;
        self.waits.then(|| self.at + (next - self.waited))
    }
}

/// The link that carries a neighbour's data now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// What it costs.
    pub cost: Cost,
    /// Bytes a second that it carries lately: all that it can, as data waits for it.
    pub rate_bytes_per_s: u64,
}

/// Whether a link that keeps a promise would take the data over, and be worth making.
#[must_use]
pub fn gains(promise: &LinkEstimate, present: &Present) -> bool {
    // Data goes by the cheaper link, so a dearer one would be made in vain, again and again.
    LinkCost::new(*promise).told(false) < present.cost
        && promise.rate_bytes_per_s >= present.rate_bytes_per_s.saturating_mul(UPGRADE_GAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;
    const RADIO: u64 = 20_000;

    fn patience(policy: UpgradePolicy, power: Power) -> Option<Patience> {
        Patience::of(policy, power)
    }

    fn usual() -> Patience {
        Patience::of(UpgradePolicy::WhenItPays, Power::Mains).unwrap()
    }

    #[test]
    fn much_that_waits_pays_after_a_moment_and_little_after_a_while() {
        let usual = usual();
        let much = UPGRADE_DRAIN.as_secs() * RADIO + RADIO;
        assert!(usual.is_over(UPGRADE_MOMENT, much, RADIO));
        assert!(!usual.is_over(UPGRADE_MOMENT - Duration::from_millis(1), much, RADIO));
        let little = much - 2 * RADIO;
        assert!(!usual.is_over(UPGRADE_MOMENT, little, RADIO));
        // A buffer never shows more: that it does not run dry tells.
        assert!(!usual.is_over(UPGRADE_WAIT - Duration::from_millis(1), 1, RADIO));
        assert!(usual.is_over(UPGRADE_WAIT, 1, RADIO));
        // A pause in which nothing waits is part of it.
        assert!(usual.is_over(UPGRADE_WAIT, 0, RADIO));
        assert!(!usual.is_over(UPGRADE_WAIT - Duration::from_millis(1), 0, RADIO));
        // A link that carries nothing at all.
        assert!(usual.is_over(UPGRADE_MOMENT, 6, 0));
        assert!(usual.is_over(UPGRADE_MOMENT, u64::MAX, u64::MAX / 10));
    }

    #[test]
    fn power_and_the_user_decide_how_long_data_may_wait() {
        let usual = usual();
        let battery = patience(UpgradePolicy::WhenItPays, Power::Battery).unwrap();
        assert_eq!(battery.moment, usual.moment * UPGRADE_ON_BATTERY);
        assert_eq!(battery.drain, usual.drain * UPGRADE_ON_BATTERY);
        assert_eq!(battery.wait, usual.wait * UPGRADE_ON_BATTERY);
        assert_eq!(patience(UpgradePolicy::WhenItPays, Power::Low), None);
        for power in [Power::Mains, Power::Battery, Power::Low] {
            assert_eq!(patience(UpgradePolicy::Never, power), None);
            let always = patience(UpgradePolicy::Always, power).unwrap();
            assert!(always.is_over(UPGRADE_MOMENT, 1, u64::MAX));
        }
        assert_eq!(Power::Mains.idle(), DEMAND_IDLE);
        assert_eq!([Power::Battery, Power::Low].map(Power::idle), [DEMAND_IDLE_ON_BATTERY; 2]);
    }

    #[test]
    fn short_pauses_hardly_count_and_a_link_that_keeps_up_is_never_under_pressure() {
        let usual = usual();
        // Pieces that take 3 s each, with an answer of 200 ms between them.
        let mut pressure = Pressure::default();
        for piece in 0..2_u64 {
            pressure.note(MS(piece * 3_200), true, &usual);
            pressure.note(MS(piece * 3_200 + 3_000), false, &usual);
        }
        assert_eq!(pressure.waited(MS(6_400), &usual), Duration::from_millis(5_600));
        pressure.note(MS(6_400), true, &usual);
        let most = UPGRADE_WAIT + UPGRADE_MOMENT;
        assert_eq!(pressure.waited(MS(600_000), &usual), most);
        pressure.note(MS(600_000), false, &usual);
        // Nothing for a while: as if it had never been.
        assert_eq!(pressure.waited(MS(600_000) + most, &usual), Duration::ZERO);

        // Talk: the link is busy for a little less than half of the time.
        let mut pressure = Pressure::default();
        for word in 0..1_000_u64 {
            pressure.note(MS(word * 100), true, &usual);
            pressure.note(MS(word * 100 + 49), false, &usual);
            assert!(pressure.waited(MS(word * 100 + 49), &usual) < UPGRADE_MOMENT);
        }
    }

    #[test]
    fn it_is_asked_again_when_the_answer_may_change_and_not_before() {
        let usual = usual();
        let mut pressure = Pressure::default();
        assert_eq!(pressure.next_look(&usual), None);
        pressure.note(MS(10_000), true, &usual);
        for step in [UPGRADE_MOMENT, UPGRADE_WAIT] {
            let at = MS(10_000) + step;
            assert_eq!(pressure.next_look(&usual), Some(at));
            pressure.note(at, true, &usual);
            assert_eq!(pressure.waited(at, &usual), step);
        }
        assert_eq!(pressure.next_look(&usual), None, "it stays as it is");
        pressure.note(MS(15_500), false, &usual);
        assert_eq!(pressure.next_look(&usual), None, "it can only fall");
        pressure.note(MS(16_500), true, &usual);
        let lost = Duration::from_millis(500);
        assert_eq!(pressure.next_look(&usual), Some(MS(16_500) + lost));
    }

    #[test]
    fn only_a_link_that_would_take_the_data_over_and_is_much_faster_gains() {
        let group = LinkEstimate { rate_bytes_per_s: 10_000_000, delay: Duration::from_millis(3) };
        let of = |rate, delay_ms| {
            let delay = Duration::from_millis(delay_ms);
            let cost = LinkCost::new(LinkEstimate { rate_bytes_per_s: rate, delay }).told(false);
            Present { cost, rate_bytes_per_s: rate }
        };
        assert!(gains(&group, &of(RADIO, 30)));
        assert!(!gains(&group, &of(100_000_000, 1)), "slower");
        assert!(gains(&group, &of(group.rate_bytes_per_s / UPGRADE_GAIN, 30)));
        assert!(
            !gains(&group, &of(group.rate_bytes_per_s / UPGRADE_GAIN + 1, 30)),
            "hardly faster"
        );
        // A network that carries little of what it promises still looks cheaper.
        let slow = Present { rate_bytes_per_s: 1_000, ..of(100_000_000, 1) };
        assert!(!gains(&group, &slow));
    }
}
