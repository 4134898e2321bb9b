//! No frame can go round for long.
//!
//! While news spreads, nodes may disagree for a moment, and what they disagree about may go round;
//! the hop limit ends that. A loop that lasts is a mistake. Only hops count over which frames pass:
//! the sender stands, and its link carries. Around such a loop news spreads as frames do, so all its
//! members know what one of them knows after a bounded time.

use std::collections::{BTreeMap, BTreeSet};

use hedgerow_core::time::{Duration, Instant};

use super::{Breach, Checker, View, breach};
use crate::air::Hearing;
use crate::host::State;

/// How long a loop may last: adverts wait for their budget and are paced (1 s), the routes are
/// computed at intervals of up to a second while changes keep coming, and the slowest link takes
/// a tenth of a second; three times over, since one change may wait for the one before it.
const LASTS_MAX: Duration = Duration::from_secs(8);
/// How often the tables are walked: a loop is not overlooked for that.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who goes round with what, and since when.
#[derive(Debug, Default)]
pub struct Loops {
    looked_at: Option<Instant>,
    /// By destination and member.
    since: BTreeMap<(usize, usize), Instant>,
    longest: Duration,
}

/// The members of all loops of a function from nodes to nodes.
fn members(next: &[Option<usize>]) -> BTreeSet<usize> {
    let mut seen_from = vec![None; next.len()];
    let mut members = BTreeSet::new();
    for start in 0..next.len() {
        let mut at = start;
        while seen_from[at].is_none() {
            seen_from[at] = Some(start);
            match next[at] {
                Some(further) => at = further,
                None => break,
            }
        }
        if seen_from[at] == Some(start) && next[at].is_some() {
            // `at` was met twice on one walk.
            while members.insert(at) {
                at = next[at].expect("a loop goes on");
            }
        }
    }
    members
}

impl Loops {
    fn look(&mut self, view: &View<'_>) -> Result<(), Breach> {
        let now = view.now();
        let hosts = view.world.hosts();
        let passes = passable(view);
        let mut looping = BTreeSet::new();
        for to in 0..hosts.len() {
            let next: Vec<_> = (0..hosts.len())
                .map(|node| {
                    let stands = node != to && hosts[node].state() == State::On;
                    let next = if stands { view.next_hop(node, to) } else { None };
                    next.filter(|next| passes.contains(&(node, *next)))
                })
                .collect();
            looping.extend(members(&next).into_iter().map(|node| (to, node)));
        }
        self.since.retain(|key, _| looping.contains(key));
        for key in looping {
            let since = *self.since.entry(key).or_insert(now);
            let lasted = now.since(since);
            self.longest = self.longest.max(lasted);
            if lasted > LASTS_MAX {
                let (to, node) = key;
                let mut way = vec![node];
                while let Some(next) = view.next_hop(way[way.len() - 1], to)
                    && !way.contains(&next)
                {
                    way.push(next);
                }
                return breach!("what is for node {to} goes round {way:?} for {lasted:?}");
            }
        }
        Ok(())
    }
}

/// The hops over which frames pass now.
fn passable(view: &View<'_>) -> BTreeSet<(usize, usize)> {
    let mut passes = BTreeSet::new();
    for (_, cable) in view.world.air().cables() {
        let Some(reach) = view.world.air().reach(cable.pair) else { continue };
        let [Some(a), Some(b)] = cable.ends else { continue };
        for (from, to) in [(a.node, b.node), (b.node, a.node)] {
            let hears = reach.hearing[usize::from(from == cable.pair.high)] == Hearing::Clear;
            if hears && view.world.host(to).state() == State::On {
                passes.insert((from, to));
            }
        }
    }
    passes
}

impl Checker for Loops {
    fn name(&self) -> &'static str {
        "loops"
    }

    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        let now = view.now();
        if self.looked_at.is_some_and(|at| now.since(at) < LOOK_EVERY) {
            return Ok(());
        }
        self.looked_at = Some(now);
        self.look(view)
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("longest loop, ms", u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_loops_are_found_and_those_who_only_lead_there_are_not() {
        let to = |next: &[i32]| -> Vec<_> {
            next.iter().map(|next| usize::try_from(*next).ok()).collect()
        };
        assert_eq!(members(&to(&[1, 2, -1, 2])), BTreeSet::new());
        assert_eq!(members(&to(&[1, 0, 1, -1])), BTreeSet::from([0, 1]));
        assert_eq!(members(&to(&[1, 2, 3, 1, 5, 4, -1])), BTreeSet::from([1, 2, 3, 4, 5]));
        assert_eq!(members(&to(&[0])), BTreeSet::from([0]));
    }
}
