//! After the last change everybody soon sees the mesh as it is, and goes on doing so.

use std::collections::BTreeSet;
use std::fmt;

use hedgerow_core::id::{LinkId, PeerKey};
use hedgerow_core::limits::{FLAP_BREAKS_MAX, FLAP_HOLD_MIN};
use hedgerow_core::presence::{ConnectionView, Graph};
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::advert::Cost;

use super::{Breach, Checker, Phase, View, breach};
use crate::air::Pair;
use crate::host::State;
use crate::world::Truth;

/// How long it may take: a link that went silent is dead after 16 s; its endpoint is dialled after
/// a back-off of up to 10 s and half as much by chance; a dial into nothing takes 5 s; a departed
/// peer stays for 3 s of grace. What then has to spread does so in seconds, on the slowest link.
pub const CONVERGED_WITHIN: Duration = Duration::from_secs(60);

/// How long it takes after a change until everybody knows: news waits to be signed for up to 1 s,
/// routes for as long, and each slow hop takes a tenth of a second.
const NEWS_WITHIN: Duration = Duration::from_secs(5);

/// How long a link that broke again and again may stand before it is told.
const HELD_MAX: Duration = FLAP_HOLD_MIN.saturating_mul(1 << (FLAP_BREAKS_MAX - 2));

/// Watches the phases after the storm.
#[derive(Debug, Default)]
pub struct Converged {
    took: Option<Duration>,
    looked: u64,
    truth: Truth,
    /// Links made so far, those among them that one end turned away at once: the other end had
    /// them for a moment, and sees its peer for the grace.
    links_made: u64,
    /// When the last one was made, to the moment.
    made_at: Instant,
    /// What the links of each node cost.
    costs: Vec<(usize, LinkId, Cost)>,
    /// When links that both ends have or nodes last came or went, or a cost changed: when that was
    /// looked for and found.
    changed_at: Instant,
    /// How long somebody was wrong or ignorant after a change.
    wrong: Duration,
    ignorant: Duration,
}

/// How somebody's view differs from what is so, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Something is not known, or not used, that is there.
    Missing(String),
    /// Something is believed that is not so.
    Wrong(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(words) | Self::Wrong(words)) = self;
        f.write_str(words)
    }
}

/// What somebody sees that is not so, or does not see; `None` when all is well. What is not so
/// goes first: it must end sooner.
#[must_use]
pub fn difference(view: &View<'_>) -> Option<Difference> {
    let truth = view.world.truth();
    let wrong = truth.on.iter().find_map(|node| ghost(view, &truth, *node));
    let missing = || truth.on.iter().find_map(|node| gap(view, &truth, *node));
    wrong.map(Difference::Wrong).or_else(|| missing().map(Difference::Missing))
}

fn name(view: &View<'_>, key: &PeerKey) -> usize {
    view.world.owner(key).unwrap_or(usize::MAX)
}

fn seen_edges(view: &View<'_>, graph: &Graph) -> BTreeSet<(usize, usize, String)> {
    let views = graph.remote.iter().chain([&graph.local]);
    let connections = views.flat_map(|peer| &peer.connections);
    let edge = |edge: &ConnectionView| {
        let (a, b) = (name(view, &edge.a), name(view, &edge.b));
        (a.min(b), a.max(b), format!("{:?}", edge.kind))
    };
    connections.map(edge).collect()
}

fn standing_edges(view: &View<'_>, truth: &Truth) -> BTreeSet<(usize, usize, String)> {
    let media = &view.world.plan().media;
    let kind = |medium: u8| format!("{:?}", media[usize::from(medium)].profile.kind);
    truth.edges.iter().map(|(a, b, medium)| (*a, *b, kind(*medium))).collect()
}

/// A peer or an edge that `node` sees and that is not there.
fn ghost(view: &View<'_>, truth: &Truth, node: usize) -> Option<String> {
    let graph = view.graph(node)?;
    let island = truth.island_of(node);
    let is_there = |key: &PeerKey| {
        let other = name(view, key);
        island.contains(&other) && view.world.host(other).key() == *key
    };
    if let Some(ghost) = graph.remote.iter().find(|peer| !is_there(&peer.key)) {
        return Some(format!("node {node} sees a ghost of node {}", name(view, &ghost.key)));
    }
    let stand = standing_edges(view, truth);
    let edge = seen_edges(view, &graph).into_iter().find(|edge| !stand.contains(edge))?;
    Some(format!("node {node} sees the edge {edge:?}"))
}

/// What `node` does not see, or cannot reach.
fn gap(view: &View<'_>, truth: &Truth, node: usize) -> Option<String> {
    let world = view.world;
    let graph = view.graph(node)?;
    let island = truth.island_of(node);
    if let Some(pair) = apart(view, truth, &island) {
        let Pair { medium, low, high } = pair;
        return Some(format!(
            "nodes {low} and {high} hear each other on medium {medium}, and nothing leads from one \
             to the other"
        ));
    }
    let seen: BTreeSet<PeerKey> = graph.remote.iter().map(|peer| peer.key).collect();
    let mut others = island.iter().filter(|other| **other != node);
    if let Some(missing) = others.find(|other| !seen.contains(&world.host(**other).key())) {
        return Some(format!("node {node} does not see node {missing}"));
    }
    let name = |key: &PeerKey| name(view, key);
    if let Some(peer) = graph.remote.iter().find(|peer| peer.route.is_none()) {
        return Some(format!("node {node} has no route to node {}", name(&peer.key)));
    }
    if let Some(peer) = graph.remote.iter().find(|peer| peer.profile.is_none()) {
        return Some(format!("node {node} has no profile of node {}", name(&peer.key)));
    }
    let seen = seen_edges(view, &graph);
    let mut stand = standing_edges(view, truth).into_iter();
    if let Some(edge) = stand.find(|edge| island.contains(&edge.0) && !seen.contains(edge)) {
        return Some(format!("node {node} does not see the edge {edge:?}"));
    }
    let mut others = island.iter().filter(|other| **other != node);
    others.find_map(|other| lost_on_the_way(view, node, *other))
}

/// A pair that hear each other, one of them on the island and one not, though both have a slot for
/// the other one, or a link in it without which its island stays whole.
fn apart(view: &View<'_>, truth: &Truth, island: &BTreeSet<usize>) -> Option<Pair> {
    let is_on = |node: usize| view.world.host(node).state() == State::On;
    let mut pairs = view.world.air().pairs();
    pairs.find(|pair| {
        island.contains(&pair.low) != island.contains(&pair.high)
            && [pair.low, pair.high]
                .into_iter()
                .all(|node| is_on(node) && has_room(view, truth, node, pair.medium))
    })
}

fn has_room(view: &View<'_>, truth: &Truth, node: usize, medium: u8) -> bool {
    let links = view.world.host(node).links();
    let taken = links.filter(|(link, ..)| link.transport.0 == medium).count();
    if taken < view.world.plan().media[usize::from(medium)].profile.links_max {
        return true;
    }
    let island = truth.island_of(node).len();
    let own = |edge: &&(usize, usize, u8)| edge.2 == medium && (edge.0 == node || edge.1 == node);
    truth.edges.iter().filter(own).any(|edge| {
        let mut without = truth.clone();
        without.edges.remove(edge);
        without.island_of(node).len() == island
    })
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

impl Converged {
    /// Counts the links. Looked for at every moment: one that is turned away is gone before the
    /// next second, and what its dialler sees ends by the grace from then on.
    fn count_links(&mut self, view: &View<'_>) {
        let made = view.world.hosts().iter().map(|host| host.links_and_dials_made().0).sum();
        if self.links_made != made {
            (self.links_made, self.made_at) = (made, view.now());
        }
    }

    fn follow(&mut self, view: &View<'_>) -> Result<(), Breach> {
        let (now, truth) = (view.now(), view.world.truth());
        let hosts = truth.on.iter().map(|node| (*node, view.world.host(*node)));
        let costs: Vec<_> = hosts
            .filter_map(|(node, host)| Some((node, host.node()?.links(host.clock(now)))))
            .flat_map(|(node, links)| links.map(move |link| (node, link.link, link.cost)))
            .collect();
        if self.truth != truth || self.costs != costs {
            (self.truth, self.costs, self.changed_at) = (truth, costs, now);
        }
        let Some(difference) = difference(view) else { return Ok(()) };
        let lasted = now.since(self.changed_at.max(self.made_at));
        let is_wrong = matches!(difference, Difference::Wrong(_));
        let (longest, most) = match difference {
            Difference::Wrong(_) => (&mut self.wrong, NEWS_WITHIN),
            Difference::Missing(_) => (&mut self.ignorant, NEWS_WITHIN + HELD_MAX),
        };
        *longest = lasted.max(*longest);
        // At rest nothing changes, but for one who asks where all slots are taken. It asks by its
        // own clock, so rest may begin while it still sees whom it asked: what it sees, and nothing
        // else, may be left from before.
        let was_asked = is_wrong && now.since(self.made_at) <= most;
        let is_recent = view.phase != Phase::Idle || lasted < view.phase_time() || was_asked;
        if lasted <= most && is_recent {
            return Ok(());
        }
        breach!(
            "came together, and {lasted:?} after a link last came, went or changed: {difference}"
        )
    }
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
                let Some(difference) = difference(view) else { return Ok(()) };
                breach!("{:?} after the last change: {difference}", view.phase_time())
            }
            // Once a second: what has come together stays together, and follows every change.
            Phase::Ending | Phase::LastWords | Phase::Idle => {
                self.count_links(view);
                let seconds = view.phase_time().as_secs();
                if core::mem::replace(&mut self.looked, seconds) == seconds {
                    return Ok(());
                }
                self.follow(view)
            }
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        vec![
            ("converged within ms", ms(self.took.unwrap_or_default())),
            ("wrong for ms", ms(self.wrong)),
            ("ignorant for ms", ms(self.ignorant)),
        ]
    }
}
