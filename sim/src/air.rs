//! The air: who is in reach of whom, and the cables between those who linked up.
//!
//! A *reach* is a pair of nodes that can see and dial each other on one medium; a *cable* is a
//! link that stands, two [`Way`]s. The air knows no node; [`crate::world`] moves things between
//! the two.

mod way;

use std::collections::BTreeMap;

use hedgerow_core::id::LinkId;
use hedgerow_core::time::Instant;
use hedgerow_netem::Shape;

pub use way::{Hearing, Piece, Way};

/// A pair of nodes on a medium: medium, lower number, higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The medium's number.
    pub medium: u8,
    /// The node with the lower number.
    pub low: usize,
    /// The node with the higher number.
    pub high: usize,
}

impl Pair {
    /// The pair of two different nodes.
    #[must_use]
    pub fn new(medium: u8, a: usize, b: usize) -> Self {
        assert_ne!(a, b, "a node is not in reach of itself");
        Self { medium, low: a.min(b), high: a.max(b) }
    }

    /// The other one of the two.
    #[must_use]
    pub fn other(&self, node: usize) -> usize {
        if node == self.low { self.high } else { self.low }
    }
}

/// Two nodes in reach of each other.
#[derive(Clone, Debug)]
pub struct Reach {
    /// What a direction of a link between them is like: from the lower, from the higher.
    pub shapes: [Shape; 2],
    /// Whether the higher hears the lower, and the lower the higher.
    pub hearing: [Hearing; 2],
}

/// Names a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CableId(pub u64);

/// One end of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The node.
    pub node: usize,
    /// The node's name of the link.
    pub link: LinkId,
}

/// A link that stands.
#[derive(Debug)]
pub struct Cable {
    /// Between whom, on which medium.
    pub pair: Pair,
    /// Both ends; the first one dialled. `None` once that end is gone.
    pub ends: [Option<End>; 2],
    /// From the first end to the second, and back.
    pub ways: [Way; 2],
    /// When each way's next event is in the world's heap.
    pub(crate) armed: [Option<Instant>; 2],
    /// When room in each way is in the world's heap.
    pub(crate) room_armed: [Option<Instant>; 2],
}

impl Cable {
    /// Which end `node` is.
    #[must_use]
    pub fn side(&self, node: usize) -> Option<usize> {
        self.ends.iter().position(|end| end.is_some_and(|end| end.node == node))
    }
}

/// All reaches and cables.
#[derive(Debug, Default)]
pub struct Air {
    reaches: BTreeMap<Pair, Reach>,
    cables: BTreeMap<CableId, Cable>,
    cables_made: u64,
}

impl Air {
    /// Puts two nodes in reach of each other.
    pub(crate) fn insert(&mut self, pair: Pair, shape: Shape) {
        let reach = Reach { shapes: [shape; 2], hearing: [Hearing::Clear; 2] };
        self.reaches.insert(pair, reach);
    }

    /// Takes two nodes out of reach of each other; says whether they were in reach.
    pub(crate) fn remove(&mut self, pair: Pair) -> bool {
        self.reaches.remove(&pair).is_some()
    }

    /// Two nodes' reach, if they are in reach of each other.
    #[must_use]
    pub fn reach(&self, pair: Pair) -> Option<&Reach> {
        self.reaches.get(&pair)
    }

    pub(crate) fn reach_mut(&mut self, pair: Pair) -> Option<&mut Reach> {
        self.reaches.get_mut(&pair)
    }

    /// All pairs in reach of each other, in order.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        self.reaches.keys().copied()
    }

    /// The pairs that `node` is one of, in order.
    #[must_use]
    pub fn pairs_of(&self, node: usize) -> Vec<Pair> {
        self.pairs().filter(|pair| pair.low == node || pair.high == node).collect()
    }

    /// Makes a cable from `ends[0]`, who dialled, to `ends[1]`.
    pub(crate) fn join(&mut self, pair: Pair, ends: [End; 2], ways: [Way; 2]) -> CableId {
        let id = CableId(self.cables_made);
        self.cables_made += 1;
        let cable =
            Cable { pair, ends: ends.map(Some), ways, armed: [None; 2], room_armed: [None; 2] };
        self.cables.insert(id, cable);
        id
    }

    /// A cable, until both its ends are gone.
    #[must_use]
    pub fn cable(&self, id: CableId) -> Option<&Cable> {
        self.cables.get(&id)
    }

    pub(crate) fn cable_mut(&mut self, id: CableId) -> Option<&mut Cable> {
        self.cables.get_mut(&id)
    }

    /// All cables, in the order in which they were made.
    pub fn cables(&self) -> impl Iterator<Item = (CableId, &Cable)> {
        self.cables.iter().map(|(id, cable)| (*id, cable))
    }

    /// The cables of a pair.
    #[must_use]
    pub fn cables_of(&self, pair: Pair) -> Vec<CableId> {
        self.cables().filter(|(_, cable)| cable.pair == pair).map(|(id, _)| id).collect()
    }

    /// Forgets a cable whose ends are both gone.
    pub(crate) fn reap(&mut self, id: CableId) {
        if self.cables.get(&id).is_some_and(|cable| cable.ends == [None; 2]) {
            self.cables.remove(&id);
        }
    }
}
