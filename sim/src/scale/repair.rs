//! How long data goes astray after a link died.
//!
//! The measure is the forwarding itself: from a sample of sources to a sample of destinations the
//! next hops are followed, node by node, as a frame would go, with the frame's hop limit. A pair
//! is repaired once that leads to the destination without the dead link and stays so.

use hedgerow_core::limits::HOP_LIMIT_SLACK;
use hedgerow_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

use super::alternates;
use super::mesh::Mesh;

/// Sources and destinations looked at, each.
const SAMPLE: usize = 48;
/// How often it is looked, and until when after the loss.
const LOOKS: [(Duration, Duration); 3] = [
    (Duration::from_micros(200), Duration::from_millis(20)),
    (Duration::from_millis(1), Duration::from_secs(1)),
    (Duration::from_millis(20), Duration::from_secs(20)),
];

/// What the loss of one link did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Repair {
    /// Pairs of the sample whose way led over the link, and for which the link's end had a
    /// loop-free alternate.
    pub with_alternate: Affected,
    /// Those that it could not.
    pub without: Affected,
    /// Until every graph had lost the edge; `None` when that did not come.
    pub graphs: Option<Duration>,
}

/// Pairs of one sort.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Affected {
    /// How many.
    pub pairs: usize,
    /// The longest time until one was repaired.
    pub longest: Duration,
    /// Hops from the dead link to the farthest source.
    pub farthest: u32,
}

impl Affected {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            pairs: self.pairs + other.pairs,
            longest: self.longest.max(other.longest),
            farthest: self.farthest.max(other.farthest),
        }
    }
}

/// A way that led over the dead link.
struct Pair {
    from: usize,
    to: usize,
    has_alternate: bool,
    /// Hops from the source to the link.
    distance: u32,
    /// The first look at which it may be repaired.
    astray_until: Option<Instant>,
}

/// Severs one edge, watches until ways and graphs are in order, and mends it.
pub fn lose_one(mesh: &mut Mesh, edge: (usize, usize)) -> Repair {
    let mut pairs = affected(mesh, edge);
    mesh.sever(&[edge]);
    let lost_at = mesh.world.now();
    for (pace, until) in LOOKS {
        while mesh.world.now() < lost_at + until {
            for pair in &mut pairs {
                let way = follow(mesh, pair.from, pair.to);
                if way.is_none_or(|way| uses(&way, edge)) {
                    pair.astray_until = Some(mesh.world.now() + pace);
                }
            }
            let now = mesh.world.now();
            let is_repaired = |pair: &Pair| pair.astray_until.is_none_or(|at| at <= now);
            if until > LOOKS[0].1 && pairs.iter().all(is_repaired) {
                break;
            }
            mesh.world.run(pace);
        }
    }
    let mut repair = Repair::default();
    for pair in &pairs {
        let sort =
            if pair.has_alternate { &mut repair.with_alternate } else { &mut repair.without };
        let longest = pair.astray_until.map_or(Duration::ZERO, |at| at.since(lost_at));
        *sort = sort.with(Affected { pairs: 1, longest, farthest: pair.distance });
    }
    let is_parted = mesh.distances(edge.0, &without(mesh, edge))[edge.1].is_none();
    if !is_parted && mesh.complete(mesh.edges.len() - 1, Duration::from_secs(60)).is_some() {
        let views = mesh.world.hosts().iter().map(|host| host.view().changed_at);
        repair.graphs = views.max().map(|at| at.since(lost_at));
    }
    mesh.connect(&[edge]);
    mesh.complete(mesh.edges.len(), Duration::from_secs(60));
    mesh.world.run(Duration::from_secs(5));
    repair
}

fn without(mesh: &Mesh, edge: (usize, usize)) -> Vec<(usize, usize)> {
    mesh.edges.iter().copied().filter(|other| *other != edge).collect()
}

fn sample(nodes: usize) -> impl Iterator<Item = usize> + Clone {
    (0..nodes).step_by(nodes.div_ceil(SAMPLE).max(1))
}

/// The sampled pairs whose way leads over `edge`, and that stay connected without it.
fn affected(mesh: &Mesh, edge: (usize, usize)) -> Vec<Pair> {
    let rest = without(mesh, edge);
    let still = mesh.distances(edge.0, &rest);
    if still[edge.1].is_none() {
        return Vec::new();
    }
    let ends = [edge.0, edge.1];
    let covered = ends.map(|end| alternates::covered(mesh, end));
    let mut pairs = Vec::new();
    for to in sample(mesh.nodes()).chain(ends) {
        let key = mesh.world.host(mesh.node_at[to]).key();
        for from in sample(mesh.nodes()).chain(ends).filter(|from| *from != to) {
            let Some(way) = follow(mesh, from, to) else { continue };
            let Some(at) = way.windows(2).position(|hop| is_edge(hop, edge)) else { continue };
            let has_alternate = covered[usize::from(way[at] == edge.1)].contains(&key);
            let distance = u32::try_from(at).unwrap_or(u32::MAX);
            pairs.push(Pair { from, to, has_alternate, distance, astray_until: None });
        }
    }
    pairs
}

fn is_edge(hop: &[usize], edge: (usize, usize)) -> bool {
    hop == [edge.0, edge.1] || hop == [edge.1, edge.0]
}

fn uses(way: &[usize], edge: (usize, usize)) -> bool {
    way.windows(2).any(|hop| is_edge(hop, edge))
}

/// The places a frame would pass, both ends included; `None` when it would not arrive.
fn follow(mesh: &Mesh, from: usize, to: usize) -> Option<Vec<usize>> {
    let key = mesh.world.host(mesh.node_at[to]).key();
    let mut way = vec![from];
    let mut hops_left = usize::MAX;
    let mut at = from;
    while at != to {
        let route = mesh.world.host(mesh.node_at[at]).node()?.route(&key)?;
        if way.len() == 1 {
            hops_left = usize::from(route.hops) + usize::from(HOP_LIMIT_SLACK);
        }
        hops_left = hops_left.checked_sub(1)?;
        let next = mesh.world.owner(&route.next_hop)?;
        at = mesh.place_of[next];
        way.push(at);
    }
    Some(way)
}
