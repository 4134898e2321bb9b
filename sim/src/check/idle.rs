//! An idle mesh sends keepalives, and nothing else: but for one who hears somebody that has no slot
//! for it, asks again now and then, and tells of the link and of its end.

use hedgerow_core::limits::{DIAL_BACKOFF_MAX, KEEPALIVE_INTERVAL};
use hedgerow_core::link::LinkState;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::advert::Cost;

use super::{Breach, Checker, Phase, View, breach};
use crate::air::Pair;
use crate::host::Host;
use crate::tally::{KEEPALIVE_BYTES_MAX, Sent};

/// What asking once for a slot may take, in bytes: a handshake and its end.
const KNOCK_BYTES: u64 = 512;

/// What the adverts that tell of it take on a link, in bytes: a link that came, and that went.
const KNOCK_TOLD_BYTES: u64 = 2 * 256;

/// After a link was in doubt, what that makes to tell is told within this: costs alone are told every
/// 10 s at most.
const UNREST: Duration = Duration::from_secs(20);

/// So often at most links come into doubt, or their costs change, without a reason to look for.
const DOUBTS_MAX: u32 = 2;

/// What every node had sent when the mesh fell idle.
#[derive(Debug, Default)]
pub struct Idle {
    sent: Option<Vec<Sent>>,
    since: Duration,
    links: Vec<usize>,
    /// What each link costs: where the least of twelve round trips is near a step, it takes it.
    costs: Vec<Vec<Cost>>,
    bytes: u64,
    /// A link was in doubt: it is dialled beside, and its cost is told. Rest begins anew then.
    restless_until: Instant,
    /// How often that was so: bursts are rare.
    doubts: u32,
}

/// Whether a node has a link on which nothing was heard for a while, as when losses come in bursts.
fn is_in_doubt(view: &View<'_>, host: &Host) -> bool {
    let mut links = host.node().into_iter().flat_map(|node| node.links(host.clock(view.now())));
    links.any(|link| link.state == LinkState::Suspect)
}

fn costs(view: &View<'_>) -> Vec<Vec<Cost>> {
    let of = |host: &Host| {
        let links = host.node().into_iter().flat_map(|node| node.links(host.clock(view.now())));
        links.map(|link| link.cost).collect()
    };
    view.world.hosts().iter().map(of).collect()
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
        if view.now() < self.restless_until {
            self.sent = None;
            return Ok(());
        }
        let Some(before) = &self.sent else {
            self.sent = Some(hosts.iter().map(|host| *host.sent()).collect());
            self.links = hosts.iter().map(|host| host.links().count()).collect();
            self.costs = costs(view);
            self.since = view.phase_time();
            return Ok(());
        };
        // Questions may come at both ends of the time, and may cross: then both ends answer, too.
        let rest = view.phase_time().saturating_sub(self.since);
        let each = rest.as_secs() / KEEPALIVE_INTERVAL.as_secs() + 4;
        self.bytes = 0;
        let truth = view.world.truth();
        let knocks = rest.as_secs() / DIAL_BACKOFF_MAX.as_secs() + 2;
        for (node, host) in hosts.iter().enumerate() {
            let sent = host.sent().since(&before[node]);
            self.bytes += sent.total();
            let links = self.links[node] as u64;
            let others = sent.total() - sent.keepalive.bytes;
            let island = truth.island_of(node);
            let is_other = |pair: &&Pair| island.contains(&pair.low) != island.contains(&pair.high);
            let apart_of = |node: usize| {
                view.world.air().pairs_of(node).iter().filter(is_other).count() as u64
            };
            let told = island.iter().map(|node| apart_of(*node)).sum::<u64>() * links;
            let asked = apart_of(node) * KNOCK_BYTES + told * KNOCK_TOLD_BYTES;
            let keepalives = links * each + apart_of(node) * knocks;
            let allowed = keepalives * KEEPALIVE_BYTES_MAX as u64;
            if others > knocks * asked || sent.keepalive.bytes > allowed {
                let is_unsettled = || {
                    hosts.iter().any(|host| is_in_doubt(view, host)) || self.costs != costs(view)
                };
                if self.doubts < DOUBTS_MAX && is_unsettled() {
                    self.doubts += 1;
                    self.restless_until = view.now() + UNREST;
                    return Ok(());
                }
                return breach!(
                    "node {node} with {links} links sent {sent:?} in {:?} of rest",
                    rest
                );
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("bytes at rest", self.bytes)]
    }
}
