//! Signs of another live node with this node's key, and how slowly they are answered.

use alloc::collections::VecDeque;

use crate::id::Instance;
use crate::time::{Duration, Instant};

/// A foreign live run of this node's key, twice within this time, is a duplicate key.
const WITHIN: Duration = Duration::from_secs(60);
/// Foreign runs that are remembered: more nodes than two may have one key.
const RUNS_MAX: usize = 4;
/// The first wait before stepping above a duplicate; doubles each time.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait before stepping above a duplicate.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// The longest wait before a neighbour is dialled again that prefers the duplicate: when that one
/// is gone at last, this node should be back soon.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// What was heard of other runs.
#[derive(Debug, Default)]
pub(super) struct Duplicate {
    /// The newest last.
    heard: VecDeque<(Instance, Instant)>,
    /// When a neighbour last closed a link because another run of this key came to it.
    replaced: Option<Instant>,
    /// Before the next signing above the other's.
    hold: Damp,
    /// Before the next dial to who prefers the other. Kept apart: a neighbour that lies about it
    /// holds up nothing else.
    away: Damp,
}

/// A wait that doubles while its cause goes on.
#[derive(Debug, Default)]
struct Damp {
    wait: Duration,
    until: Instant,
}

impl Duplicate {
    /// A foreign run signed a version above this run's. Says whether it lives: its words were
    /// heard a short while ago, and overtaken.
    pub(super) fn on_foreign(&mut self, now: Instant, instance: Instance) -> bool {
        let before = self.heard.iter().position(|(heard, _)| *heard == instance);
        let before = before.and_then(|at| self.heard.remove(at));
        if self.heard.len() >= RUNS_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back((instance, now));
        let again = before.is_some_and(|(_, at)| now.since(at) <= WITHIN);
        if again {
            self.hold.slow_down(now);
        }
        again
    }

    /// Before this nothing is signed.
    pub(super) fn held_until(&self) -> Instant {
        self.hold.until
    }

    /// A neighbour closed a link because another run of this key came to it. A run that is over
    /// cannot be told so: twice within a minute, it is a duplicate. Tells how long to stay away
    /// then, so that both do not take turns for ever, and the run whose words were heard last.
    pub(super) fn on_replaced(&mut self, now: Instant) -> Option<(Duration, Option<Instance>)> {
        let before = self.replaced.replace(now)?;
        if now.since(before) > WITHIN {
            return None;
        }
        self.away.slow_down(now);
        let instance = self.heard.back().map(|(instance, _)| *instance);
        Some((self.away.wait.min(AWAY_MAX), instance))
    }
}

impl Damp {
    /// Doubles the wait, once for all that comes while it lasts.
    fn slow_down(&mut self, now: Instant) {
        if now >= self.until {
            self.wait = (self.wait * 2).clamp(WAIT_MIN, WAIT_MAX);
            self.until = now + self.wait;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    fn run(number: u8) -> Instance {
        Instance::from_bytes([number; 8])
    }

    #[test]
    fn a_past_run_is_heard_once_and_a_live_one_again() {
        let mut duplicate = Duplicate::default();
        assert!(!duplicate.on_foreign(MS(0), run(1)));
        assert!(!duplicate.on_foreign(MS(61_000), run(1)), "long ago");
        assert_eq!(duplicate.held_until(), Instant::EPOCH);
        assert!(duplicate.on_foreign(MS(90_000), run(1)));
        assert_eq!(duplicate.held_until(), MS(91_000));
    }

    #[test]
    fn three_nodes_with_one_key_are_noticed_though_they_take_turns() {
        let mut duplicate = Duplicate::default();
        let mut again = 0;
        for second in 0..60 {
            again += usize::from(duplicate.on_foreign(MS(second * 1_000), run((second % 2) as u8)));
        }
        assert_eq!(again, 58);
        for number in 10..=200 {
            assert!(!duplicate.on_foreign(MS(60_000), run(number)), "restarts are no duplicates");
            assert!(duplicate.heard.len() <= RUNS_MAX);
        }
    }

    #[test]
    fn who_is_replaced_twice_in_a_minute_stays_away_ever_longer() {
        let mut duplicate = Duplicate::default();
        assert_eq!(duplicate.on_replaced(MS(0)), None);
        let mut now = MS(61_000);
        assert_eq!(duplicate.on_replaced(now), None, "long ago");
        let mut waits = Vec::new();
        for _ in 0..9 {
            now += Duration::from_millis(100);
            let (wait, instance) = duplicate.on_replaced(now).unwrap();
            assert_eq!(instance, None);
            waits.push(wait.as_secs());
            now += wait.min(Duration::from_secs(59));
        }
        assert_eq!(waits[..6], [1, 2, 4, 8, 16, 32]);
        assert_eq!(waits.iter().max(), Some(&60));
    }
}
