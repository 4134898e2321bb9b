//! When routes are computed: at once after quiet, ever less often while changes keep coming. In
//! the manner of RFC 8405.

use crate::limits::{ROUTES_DELAY_LONG_MAX, ROUTES_DELAY_PER_PEER, ROUTES_DELAY_SECOND};
use crate::limits::{ROUTES_DELAY_SHORT, ROUTES_LEARN, ROUTES_QUIET};
use crate::time::{Duration, Instant};

/// The back-off of computing routes.
#[derive(Debug, Default)]
pub struct Schedule {
    due: Option<Instant>,
    burst: Option<Burst>,
}

/// Changes that come one after the other.
#[derive(Debug)]
struct Burst {
    began: Instant,
    last: Instant,
    /// Computations since it began.
    computed: u32,
}

impl Schedule {
    /// Somebody else's edges changed, in a mesh of so many peers.
    pub fn on_change(&mut self, now: Instant, peers: usize) {
        let long = ROUTES_DELAY_PER_PEER * u32::try_from(peers).unwrap_or(u32::MAX);
        let long = long.clamp(ROUTES_DELAY_SECOND, ROUTES_DELAY_LONG_MAX);
        let delay = match &mut self.burst {
            Some(burst) if now.since(burst.last) < ROUTES_QUIET => {
                burst.last = now;
                match burst.computed {
                    0 | 1 => ROUTES_DELAY_SECOND,
                    _ if now.since(burst.began) < ROUTES_LEARN => ROUTES_DELAY_SHORT.min(long),
                    _ => long,
                }
            }
            burst => {
                *burst = Some(Burst { began: now, last: now, computed: 0 });
                Duration::ZERO
            }
        };
        // A computation that is due takes this change in.
        self.due.get_or_insert(now + delay);
    }

    /// This node's own links changed: nobody knows better, and frames wait.
    pub fn on_own_change(&mut self, now: Instant) {
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// The routes are those of this moment.
    pub fn on_computed(&mut self) {
        self.due = None;
        if let Some(burst) = &mut self.burst {
            burst.computed = burst.computed.saturating_add(1);
        }
    }

    /// When to compute.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;
    /// Enough for the longest wait.
    const MANY: usize = 2_000;

    fn ms(limit: Duration) -> u64 {
        u64::try_from(limit.as_millis()).unwrap()
    }

    /// Runs a schedule over changes that come every `every_ms` until `end_ms`; when it computed.
    fn computed(peers: usize, every_ms: u64, end_ms: u64) -> Vec<u64> {
        let (mut schedule, mut at) = (Schedule::default(), Vec::new());
        for now in 0..end_ms + 2_000 {
            if now < end_ms && now.is_multiple_of(every_ms) {
                schedule.on_change(MS(now), peers);
            }
            if schedule.due().is_some_and(|due| due <= MS(now)) {
                schedule.on_computed();
                at.push(now);
            }
        }
        at
    }

    #[test]
    fn the_first_change_is_computed_at_once_and_what_follows_together() {
        assert_eq!(computed(MANY, 1_000, 1), [0]);
        assert_eq!(computed(MANY, 2, 8), [0, 2 + ms(ROUTES_DELAY_SECOND)]);
    }

    #[test]
    fn while_changes_keep_coming_the_waits_grow_to_the_longest() {
        let at = computed(MANY, 1, 6_000);
        let waits: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let short = ms(ROUTES_DELAY_SHORT);
        let learning = usize::try_from(ms(ROUTES_LEARN) / short).unwrap();
        let about = |wait: &u64, limit| (limit..=limit + 2).contains(wait);
        assert!(about(&waits[0], ms(ROUTES_DELAY_SECOND)), "{waits:?}");
        assert!(waits[1..learning - 2].iter().all(|wait| about(wait, short)), "{waits:?}");
        let long = ms(ROUTES_DELAY_LONG_MAX);
        assert!(waits[learning + 1..].iter().all(|wait| about(wait, long)), "{waits:?}");
        assert!(at.len() <= learning + 6 + 2, "{at:?}");
        assert!(at[at.len() - 1] >= 6_000, "the last change is computed");
    }

    #[test]
    fn a_small_mesh_never_waits_long() {
        for (peers, longest) in [(49, 49 * ms(ROUTES_DELAY_PER_PEER)), (3, ms(ROUTES_DELAY_SECOND))]
        {
            let at = computed(peers, 1, 3_000);
            assert!(at.windows(2).all(|pair| pair[1] - pair[0] <= longest + 1), "{at:?}");
        }
    }

    #[test]
    fn after_quiet_it_is_quick_again() {
        let mut schedule = Schedule::default();
        let quiet = ms(ROUTES_QUIET);
        let mut at = 0;
        for (wait, delay) in [(0, 0), (quiet - 1, 10), (quiet - 1, 1_000), (quiet, 0)] {
            at += wait;
            schedule.on_change(MS(at), MANY);
            assert_eq!(schedule.due(), Some(MS(at) + Duration::from_millis(delay)));
            schedule.on_computed();
        }
    }

    #[test]
    fn own_links_do_not_wait() {
        let mut schedule = Schedule::default();
        for now in 0..1_000 {
            schedule.on_change(MS(now), MANY);
            if schedule.due().is_some_and(|due| due <= MS(now)) {
                schedule.on_computed();
            }
        }
        assert!(schedule.due() > Some(MS(1_400)), "the wait is long by now");
        schedule.on_own_change(MS(1_000));
        assert_eq!(schedule.due(), Some(MS(1_000)));
        schedule.on_computed();
        schedule.on_change(MS(1_001), MANY);
        assert_eq!(schedule.due(), Some(MS(2_001)), "the burst of the others goes on");
    }
}
