//! A world of one shape, whose nodes can change places.

use hedgerow_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::medium::Medium;
use crate::plan::Plan;
use crate::tally::Sent;
use crate::topology::{self, Edges};
use crate::world::World;

/// Worlds up to this size check every signature and seal for real.
const REAL_NODES_MAX: usize = 49;
/// Neighbours of a node in random places, on average.
pub const RANDOM_DEGREE: f64 = 6.0;
/// A mesh in which nothing has changed for so long does not go on by itself.
const QUIET: Duration = Duration::from_secs(20);

/// The shape of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Shape {
    /// One after the other.
    Line,
    /// A square grid.
    Grid,
    /// Random places in a square.
    Random,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 3] = [Self::Line, Self::Grid, Self::Random];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Grid => "grid",
            Self::Random => "random",
        }
    }

    fn edges(self, nodes: usize, chance: &mut Chance) -> Edges {
        match self {
            Self::Line => topology::line(nodes),
            Self::Grid => topology::grid(nodes),
            Self::Random => topology::geometric(nodes, RANDOM_DEGREE, chance),
        }
    }
}

/// A world of one shape. Its edges are those of *places*; a node is at each place.
pub struct Mesh {
    /// The world.
    pub world: World,
    /// The shape's edges, between places.
    pub edges: Edges,
    /// Which node is at a place.
    pub node_at: Vec<usize>,
    /// At which place a node is.
    pub place_of: Vec<usize>,
}

impl Mesh {
    /// Nodes that start all at once.
    #[must_use]
    pub fn new(shape: Shape, nodes: usize, medium: Medium, seed: u64) -> Self {
        let chance = Chance::new(seed).fork(nodes as u64);
        let edges = shape.edges(nodes, &mut chance.fork(1));
        let plan = Plan::new(chance.fork(2).bits(), nodes, medium);
        let mut world = World::new(if nodes > REAL_NODES_MAX { plan.swift() } else { plan });
        world.connect_all(0, &edges);
        Self { world, edges, node_at: (0..nodes).collect(), place_of: (0..nodes).collect() }
    }

    /// How many nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.node_at.len()
    }

    /// Lets the world run until every graph has all peers and all `edges` of them; gives how long
    /// that took, or `None` when it does not come to it.
    pub fn complete(&mut self, edges: usize, limit: Duration) -> Option<Duration> {
        let (begin, nodes) = (self.world.now(), self.nodes());
        while self.world.now().since(begin) < limit {
            let end = self.world.now() + Duration::from_secs(1);
            let mut seen = 0;
            let done = self.world.run_until_true(end, |world| {
                let has_all = |node: usize| {
                    let view = world.host(node).view();
                    view.peers == nodes - 1 && view.edges == edges
                };
                // Looks at everybody again once it has been with everybody.
                while seen < nodes && has_all(seen) {
                    seen += 1;
                }
                let all = seen == nodes && (0..nodes).all(has_all);
                if seen == nodes && !all {
                    seen = 0;
                }
                all
            });
            if done {
                return Some(self.world.now().since(begin));
            }
            if self.world.now().since(self.changed_at().max(begin)) > QUIET {
                return None;
            }
        }
        None
    }

    /// When any graph last gained or lost something.
    fn changed_at(&self) -> Instant {
        let views = self.world.hosts().iter().map(|host| host.view().changed_at);
        views.max().unwrap_or_default()
    }

    /// Everything all nodes have sent so far.
    #[must_use]
    pub fn sent(&self) -> Sent {
        let hosts = self.world.hosts().iter();
        hosts.fold(Sent::default(), |sum, host| sum.plus(host.sent()))
    }

    /// The edges at a place.
    pub fn edges_at(&self, place: usize) -> Vec<(usize, usize)> {
        self.edges.iter().filter(|(a, b)| *a == place || *b == place).copied().collect()
    }

    /// Loses the links of some edges, at both ends at once, and takes them out of reach.
    pub fn sever(&mut self, edges: &[(usize, usize)]) {
        for (a, b) in edges {
            self.world.sever(0, self.node_at[*a], self.node_at[*b]);
        }
    }

    /// Puts the ends of some edges in reach of each other.
    pub fn connect(&mut self, edges: &[(usize, usize)]) {
        for (a, b) in edges {
            self.world.connect(0, self.node_at[*a], self.node_at[*b]);
        }
    }

    /// Two nodes change places: both lose all their links and are among others at once.
    pub fn swap(&mut self, a: usize, b: usize) {
        let edges = [self.edges_at(a), self.edges_at(b)].concat();
        self.sever(&edges);
        self.node_at.swap(a, b);
        self.place_of.swap(self.node_at[a], self.node_at[b]);
        self.connect(&edges);
    }

    /// Hops from a place to every place over `edges`; `None` where there is no way.
    #[must_use]
    pub fn distances(&self, from: usize, edges: &[(usize, usize)]) -> Vec<Option<u32>> {
        let mut near = vec![Vec::new(); self.nodes()];
        for (a, b) in edges {
            near[*a].push(*b);
            near[*b].push(*a);
        }
        distances(from, &near)
    }
}

/// Hops from a node to every node, given everybody's neighbours.
#[must_use]
pub fn distances(from: usize, near: &[Vec<usize>]) -> Vec<Option<u32>> {
    let mut distances = vec![None; near.len()];
    distances[from] = Some(0);
    let mut edge = vec![from];
    for hops in 1.. {
        let mut next = Vec::new();
        for other in edge.iter().flat_map(|node| &near[*node]) {
            if distances[*other].is_none() {
                distances[*other] = Some(hops);
                next.push(*other);
            }
        }
        if next.is_empty() {
            break;
        }
        edge = next;
    }
    distances
}
