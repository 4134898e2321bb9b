//! No node asks for a time that has come and gone, and none keeps itself busy.

use hedgerow_core::time::{Duration, Instant};

use super::{Breach, Checker, Phase, View, breach};
use crate::world::Defect;

/// Timeouts of one node in a second while nobody has anything to say: each link sends and expects a
/// keepalive, asks and answers, and each table has a time of its own; 20 links make 8 a second.
const TIMEOUTS_IDLE_PER_S_MAX: u64 = 16;
/// Timeouts of one node in a second, whatever happens: acknowledgements wait up to 10 ms for
/// company, on three lanes of sessions with 20 peers.
const TIMEOUTS_PER_S_MAX: u64 = 6_000;

/// How often each node's time has come.
#[derive(Debug, Default)]
pub struct Timers {
    counted_at: Option<Instant>,
    counted: Vec<u64>,
    most: u64,
}

impl Checker for Timers {
    fn name(&self) -> &'static str {
        "timers"
    }

    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        match view.world.defects().first() {
            Some(Defect::StuckTimer { node, at, timer }) => {
                return breach!("node {node} at {at:?} wants {timer:?} again and again");
            }
            Some(Defect::Restless { node, at }) => {
                return breach!("node {node} at {at:?} does not come to rest");
            }
            None => {}
        }
        let now = view.now();
        let before = *self.counted_at.get_or_insert(now);
        let passed = now.since(before);
        if passed < Duration::from_secs(1) {
            return Ok(());
        }
        let counts: Vec<u64> = view.world.hosts().iter().map(|host| host.timeouts()).collect();
        let was_idle = view.phase == Phase::Idle && view.since <= before;
        let per_s_max = if was_idle { TIMEOUTS_IDLE_PER_S_MAX } else { TIMEOUTS_PER_S_MAX };
        let allowed = per_s_max * (passed.as_secs() + 1);
        self.counted.resize(counts.len(), 0);
        for (node, (count, before)) in counts.iter().zip(&self.counted).enumerate() {
            let times = count - before;
            self.most = self.most.max(times / passed.as_secs().max(1));
            if times > allowed {
                return breach!("node {node} had {times} timeouts in {passed:?}, over {allowed}");
            }
        }
        (self.counted_at, self.counted) = (Some(now), counts);
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("most timeouts a second", self.most)]
    }
}
