//! Two links to one peer over one transport: which of them stays.

use super::Node;
use super::neighbour::Contest;
use crate::dial::{Standing, keeps_first};
use crate::id::LinkId;
use crate::time::{Duration, Instant};
use crate::wire::control::CloseCode;

impl Node {
    /// Settles which of two links over one transport stays, where that can be told.
    pub(super) fn judge_contests(&mut self, now: Instant) {
        let contests: alloc::vec::Vec<Contest> =
            self.neighbours.values().filter_map(|neighbour| neighbour.contest).collect();
        for contest in contests {
            let standing = |link: LinkId| {
                let entry = self.links.get(&link)?;
                let peer = entry.peer?;
                let dialler = if entry.dialled { self.local.peer_key() } else { peer.key };
                Some((peer.key, Standing { instance: peer.instance, dialler, hash: peer.hash }))
            };
            let (Some((key, older)), Some((_, newer))) =
                (standing(contest.older), standing(contest.newer))
            else {
                continue;
            };
            let heard = self.links.get(&contest.older).and_then(|entry| entry.link.heard_at());
            let alive = heard.is_some_and(|heard| heard > contest.since);
            if !alive && now < contest.deadline {
                continue;
            }
            let loser =
                if alive && keeps_first(&older, &newer) { contest.newer } else { contest.older };
            if let Some(neighbour) = self.neighbours.get_mut(&key) {
                neighbour.contest = None;
            }
            self.close(now, loser, CloseCode::Duplicate, Duration::ZERO);
        }
    }
}
