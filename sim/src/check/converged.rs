//! After the last change everybody soon sees the mesh as it is, and goes on doing so.

use std::collections::BTreeSet;

use hedgerow_core::id::PeerKey;
use hedgerow_core::time::{Duration, Instant};

use super::{Breach, Checker, Phase, View, breach};
use crate::host::State;

/// How long it may take: a link that went silent is dead after 16 s; its endpoint is dialled after
/// a back-off of up to 10 s and half as much by chance; a dial into nothing takes 5 s; a departed
/// peer stays for 3 s of grace. What then has to spread does so in seconds, on the slowest link.
pub const CONVERGED_WITHIN: Duration = Duration::from_secs(60);

/// How long somebody may be wrong later: links that are not needed still come and go, and the news
/// of it has to spread; a link that went silent in the storm may be noticed to be dead only now.
const APART_MAX: Duration = Duration::from_secs(10);

/// Watches the phases after the storm.
#[derive(Debug, Default)]
pub struct Converged {
    took: Option<Duration>,
    /// Since when somebody is wrong again.
    apart_since: Option<Instant>,
    looked: u64,
}

/// What somebody sees that is not so, or does not see; `None` when all is well.
#[must_use]
pub fn difference(view: &View<'_>) -> Option<String> {
    let world = view.world;
    let truth = world.truth();
    let key = |node: usize| world.host(node).key();
    for &node in &truth.on {
        let island: BTreeSet<usize> = truth.island_of(node);
        let within_earshot = within_earshot(view, node);
        if island != within_earshot {
            return Some(format!(
                "node {node} hears of {within_earshot:?} by others, and has links to {island:?}"
            ));
        }
        let graph = view.graph(node)?;
        let seen: BTreeSet<PeerKey> = graph.remote.iter().map(|peer| peer.key).collect();
        let others = island.iter().filter(|other| **other != node);
        let there: BTreeSet<PeerKey> = others.map(|other| key(*other)).collect();
        let name = |key: &PeerKey| world.owner(key).unwrap_or(usize::MAX);
        if let Some(missing) = there.difference(&seen).next() {
            return Some(format!("node {node} does not see node {}", name(missing)));
        }
        if let Some(ghost) = seen.difference(&there).next() {
            return Some(format!("node {node} sees a ghost of node {}", name(ghost)));
        }
        if let Some(peer) = graph.remote.iter().find(|peer| peer.route.is_none()) {
            return Some(format!("node {node} has no route to node {}", name(&peer.key)));
        }
        if let Some(peer) = graph.remote.iter().find(|peer| peer.profile.is_none()) {
            return Some(format!("node {node} has no profile of node {}", name(&peer.key)));
        }
        let views = graph.remote.iter().chain([&graph.local]);
        let connections = views.flat_map(|peer| &peer.connections);
        let edges: BTreeSet<(usize, usize, String)> = connections
            .map(|edge| {
                let (a, b) = (name(&edge.a), name(&edge.b));
                (a.min(b), a.max(b), format!("{:?}", edge.kind))
            })
            .collect();
        let kind =
            |medium: u8| format!("{:?}", world.plan().media[usize::from(medium)].profile.kind);
        let stand = truth.edges.iter().filter(|(a, ..)| island.contains(a));
        let stand: BTreeSet<_> = stand.map(|(a, b, medium)| (*a, *b, kind(*medium))).collect();
        if let Some(edge) = stand.symmetric_difference(&edges).next() {
            let is_seen = if edges.contains(edge) { "sees" } else { "does not see" };
            return Some(format!("node {node} {is_seen} the edge {edge:?}"));
        }
        for &other in island.iter().filter(|other| **other != node) {
            if let Some(lost) = lost_on_the_way(view, node, other) {
                return Some(lost);
            }
        }
    }
    None
}

/// Who can be reached from `node` over pairs in reach of each other.
fn within_earshot(view: &View<'_>, node: usize) -> BTreeSet<usize> {
    let world = view.world;
    let mut reached = BTreeSet::from([node]);
    let mut next = vec![node];
    while let Some(node) = next.pop() {
        for pair in world.air().pairs_of(node) {
            let other = pair.other(node);
            if world.host(other).state() == State::On && reached.insert(other) {
                next.push(other);
            }
        }
    }
    reached
}

/// Follows next hops, each of which must come nearer.
fn lost_on_the_way(view: &View<'_>, from: usize, to: usize) -> Option<String> {
    let mut way = vec![from];
    while let Some(&at) = way.last().filter(|at| **at != to) {
        match view.next_hop(at, to) {
            Some(next) if !way.contains(&next) => way.push(next),
            next => return Some(format!("the way from {from} to {to} is {way:?}, then {next:?}")),
        }
    }
    None
}

impl Checker for Converged {
    fn name(&self) -> &'static str {
        "converged"
    }

    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        match view.phase {
            Phase::Storm => Ok(()),
            Phase::Calm => {
                self.took = Some(view.phase_time());
                if view.phase_time() <= CONVERGED_WITHIN {
                    return Ok(());
                }
                let difference = difference(view).unwrap_or_default();
                breach!("{:?} after the last change: {difference}", view.phase_time())
            }
            // Once a second: what has come together stays together.
            Phase::Ending | Phase::LastWords | Phase::Idle => {
                let seconds = view.phase_time().as_secs();
                if core::mem::replace(&mut self.looked, seconds) == seconds {
                    return Ok(());
                }
                let Some(difference) = difference(view) else {
                    self.apart_since = None;
                    return Ok(());
                };
                let lasted = view.now().since(*self.apart_since.get_or_insert(view.now()));
                if lasted <= APART_MAX && view.phase != Phase::Idle {
                    return Ok(());
                }
                breach!("came together, and then for {lasted:?}: {difference}")
            }
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let took = self.took.map_or(0, |took| took.as_millis());
        vec![("converged within ms", u64::try_from(took).unwrap_or(u64::MAX))]
    }
}
