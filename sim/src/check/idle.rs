//! An idle mesh sends keepalives, and nothing else: but for one who hears somebody that has no slot
//! for it, and asks again now and then.

use hedgerow_core::limits::{DIAL_BACKOFF_MAX, KEEPALIVE_INTERVAL};

use super::{Breach, Checker, Phase, View, breach};
use crate::air::Pair;
use crate::tally::{KEEPALIVE_BYTES_MAX, Sent};

/// What asking once for a slot may take, in bytes: a handshake and its end.
const KNOCK_BYTES: u64 = 512;

/// What every node had sent when the mesh fell idle.
#[derive(Debug, Default)]
pub struct Idle {
    sent: Option<Vec<Sent>>,
    links: Vec<usize>,
    bytes: u64,
}

impl Checker for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        if view.phase != Phase::Idle {
            return Ok(());
        }
        let hosts = view.world.hosts();
        let Some(before) = &self.sent else {
            self.sent = Some(hosts.iter().map(|host| *host.sent()).collect());
            self.links = hosts.iter().map(|host| host.links().count()).collect();
            return Ok(());
        };
        // Questions may come at both ends of the time, and may cross: then both ends answer, too.
        let each = view.phase_time().as_secs() / KEEPALIVE_INTERVAL.as_secs() + 4;
        self.bytes = 0;
        let truth = view.world.truth();
        let knocks = view.phase_time().as_secs() / DIAL_BACKOFF_MAX.as_secs() + 2;
        for (node, host) in hosts.iter().enumerate() {
            let sent = host.sent().since(&before[node]);
            self.bytes += sent.total();
            let links = self.links[node] as u64;
            let allowed = links * each * KEEPALIVE_BYTES_MAX as u64;
            let others = sent.total() - sent.keepalive.bytes;
            let island = truth.island_of(node);
            let is_other = |pair: &&Pair| island.contains(&pair.low) != island.contains(&pair.high);
            let apart = view.world.air().pairs_of(node).iter().filter(is_other).count() as u64;
            if others > apart * knocks * KNOCK_BYTES || sent.keepalive.bytes > allowed {
                return breach!(
                    "node {node} with {links} links sent {sent:?} in {:?} of rest",
                    view.phase_time()
                );
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("bytes at rest", self.bytes)]
    }
}
