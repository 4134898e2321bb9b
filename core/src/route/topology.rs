//! Who is linked to whom: the two-way edges of the mesh, by number instead of key.
//!
//! Kept up to date by changes: an adjacency that comes, changes or goes touches its owner's edges
//! and nothing else.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::edge::{LocalEdge, MeshEdge};
use crate::id::{Address, PeerKey};
use crate::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MIN};
use crate::wire::advert::Edge;

/// The number of a node in this topology; one that is forgotten gives its number away.
pub(super) type Slot = u32;

/// This node's own number.
pub(super) const OWN: Slot = 0;

/// The edges of all nodes.
#[derive(Debug)]
pub(super) struct Topology {
    slots: BTreeMap<Address, Slot>,
    nodes: Vec<Node>,
    free: Vec<Slot>,
    /// This node's live links, by peer.
    local: Vec<LocalEdge>,
    /// Nodes whose edges or holders may have changed since they were last taken.
    touched: BTreeSet<Slot>,
    /// Whether anything changed that routes follow from.
    is_stale: bool,
}

#[derive(Debug)]
struct Node {
    address: Address,
    known: Holder,
    /// The neighbour that this node has a live link to.
    live: Option<PeerKey>,
    arcs: Vec<Arc>,
}

/// Who has an address, as the adverts tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody that is known.
    Nobody,
    /// One peer.
    One(PeerKey),
    /// Several, which cannot be told from each other: they are unroutable.
    Several,
}

/// One direction of an edge that both ends claim. Of several media between two nodes each is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arc {
    pub(super) to: Slot,
    /// At least 1, so that every hop leads away.
    pub(super) cost: u32,
    pub(super) payload_log2: u8,
}

impl Arc {
    fn new(to: Slot, mine: &Edge, theirs: Option<&Edge>) -> Self {
        let theirs = theirs.unwrap_or(mine);
        Self {
            to,
            cost: u32::try_from(mine.cost.max(theirs.cost).value()).unwrap_or(u32::MAX).max(1),
            payload_log2: mine.payload_log2.min(theirs.payload_log2),
        }
    }

    fn back(self, from: Slot) -> Self {
        Self { to: from, ..self }
    }
}

/// The largest payload an edge carries, in bytes.
pub(super) fn payload_bytes(log2: u8) -> usize {
    1_usize
        .checked_shl(log2.into())
        .unwrap_or(PAYLOAD_BYTES_MAX)
        .clamp(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX)
}

impl Node {
    fn new(address: Address) -> Self {
        Self { address, known: Holder::Nobody, live: None, arcs: Vec::new() }
    }

    /// Who is there, if that is certain.
    fn key(&self) -> Option<PeerKey> {
        match (self.known, self.live) {
            (Holder::One(known), Some(live)) => (known == live).then_some(known),
            (Holder::One(key), None) | (Holder::Nobody, Some(key)) => Some(key),
            (Holder::Several, _) | (Holder::Nobody, None) => None,
        }
    }
}

/// The claim among `edges` of a link to `peer` of the medium of `like`. Who claims one twice means
/// the dearer.
fn claim<'a>(edges: &'a [Edge], peer: &Address, like: &Edge) -> Option<&'a Edge> {
    let same = edges.iter().filter(|edge| edge.peer == *peer && edge.kind == like.kind);
    same.max_by_key(|edge| edge.cost)
}

impl Topology {
    /// The topology of a node without links that knows nobody.
    pub(super) fn new(own: PeerKey) -> Self {
        let address = own.address();
        let node = Node { known: Holder::One(own), ..Node::new(address) };
        Self {
            slots: BTreeMap::from([(address, OWN)]),
            nodes: alloc::vec![node],
            free: Vec::new(),
            local: Vec::new(),
            touched: BTreeSet::new(),
            is_stale: false,
        }
    }

    /// Nodes there are, this one among them.
    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Slots there are, forgotten ones among them.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The slot after the last one.
    pub(super) fn end(&self) -> Slot {
        Slot::try_from(self.nodes.len()).expect("peers are bounded")
    }

    pub(super) fn slot(&self, address: &Address) -> Option<Slot> {
        self.slots.get(address).copied()
    }

    fn node(&self, slot: Slot) -> &Node {
        &self.nodes[slot as usize]
    }

    /// Who is there, if that is certain.
    pub(super) fn key(&self, slot: Slot) -> Option<PeerKey> {
        self.node(slot).key()
    }

    pub(super) fn arcs(&self, slot: Slot) -> &[Arc] {
        &self.node(slot).arcs
    }

    /// This node's live links.
    pub(super) fn local(&self) -> &[LocalEdge] {
        &self.local
    }

    /// Whether anything changed that routes follow from, since they were computed.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// The routes are computed from what is here now.
    pub(super) fn set_computed(&mut self) {
        self.is_stale = false;
    }

    pub(super) fn set_stale(&mut self) {
        self.is_stale = true;
    }

    pub(super) fn touch(&mut self, slot: Slot) {
        self.touched.insert(slot);
    }

    pub(super) fn touched(&self) -> &BTreeSet<Slot> {
        &self.touched
    }

    /// The nodes whose edges may have changed since this was last called.
    pub(super) fn take_touched(&mut self) -> BTreeSet<Slot> {
        core::mem::take(&mut self.touched)
    }

    fn intern(&mut self, address: Address) -> Slot {
        if let Some(slot) = self.slots.get(&address) {
            return *slot;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.nodes[slot as usize] = Node::new(address);
                slot
            }
            None => {
                let slot = self.end();
                self.nodes.push(Node::new(address));
                slot
            }
        };
        self.slots.insert(address, slot);
        slot
    }

    /// Lets go of a node that nobody tells of, once nothing leads there any more. True if it is
    /// gone.
    pub(super) fn release(&mut self, slot: Slot) -> bool {
        let node = self.node(slot);
        if slot == OWN || node.known != Holder::Nobody || node.live.is_some() {
            return false;
        }
        let address = node.address;
        if self.slots.remove(&address).is_none() {
            return false;
        }
        self.free.push(slot);
        true
    }

    /// The adjacency of whoever has `address` changed, or who that is. `claims` tells the edges
    /// that a peer claims.
    pub(super) fn update<'a>(
        &mut self,
        address: Address,
        known: Holder,
        claims: &impl Fn(&PeerKey) -> &'a [Edge],
    ) {
        if known == Holder::Nobody && !self.slots.contains_key(&address) {
            return;
        }
        let slot = self.intern(address);
        if slot == OWN {
            // The live links speak for this node; another peer with its address is told apart by
            // nobody.
            return;
        }
        self.nodes[slot as usize].known = known;
        self.relink(slot, claims);
    }

    /// This node's live links are these now.
    pub(super) fn set_local<'a>(
        &mut self,
        mut local: Vec<LocalEdge>,
        claims: &impl Fn(&PeerKey) -> &'a [Edge],
    ) {
        // Of two links of one medium to one peer the cheaper carries data.
        local.sort_unstable_by(|a, b| (&a.peer, &a.kind, a.cost).cmp(&(&b.peer, &b.kind, b.cost)));
        local.dedup_by(|later, first| later.peer == first.peer && later.kind == first.kind);
        if self.local == local {
            return;
        }
        let before = core::mem::replace(&mut self.local, local);
        let after: Vec<PeerKey> = self.local.iter().map(|edge| edge.peer).collect();
        let mut slots = BTreeSet::new();
        for edge in &before {
            if let Some(slot) = self.slot(&edge.peer.address()) {
                self.nodes[slot as usize].live = None;
                slots.insert(slot);
            }
        }
        for peer in after {
            let slot = self.intern(peer.address());
            self.nodes[slot as usize].live = Some(peer);
            slots.insert(slot);
        }
        for slot in slots {
            self.relink(slot, claims);
        }
    }

    /// Finds the edges of a node anew.
    fn relink<'a>(&mut self, slot: Slot, claims: &impl Fn(&PeerKey) -> &'a [Edge]) {
        let mut arcs = self.two_way(slot, claims);
        arcs.sort_unstable();
        let before = core::mem::replace(&mut self.nodes[slot as usize].arcs, arcs.clone());
        self.touched.insert(slot);
        self.touched.extend(before.iter().chain(&arcs).map(|arc| arc.to));
        if before == arcs {
            return;
        }
        self.is_stale = true;
        for arc in &before {
            self.nodes[arc.to as usize].arcs.retain(|back| back.to != slot);
        }
        for arc in &arcs {
            let far = &mut self.nodes[arc.to as usize].arcs;
            let back = arc.back(slot);
            // In order, so that equal edges are equal lists.
            far.insert(far.partition_point(|other| *other < back), back);
        }
    }

    fn two_way<'a>(&self, slot: Slot, claims: &impl Fn(&PeerKey) -> &'a [Edge]) -> Vec<Arc> {
        let mut arcs = Vec::new();
        self.each_edge(slot, claims, |far, mine, theirs| arcs.push(Arc::new(far, mine, theirs)));
        arcs
    }

    /// The edges of `slot` that count: the other end, and what both claim. An edge of this node
    /// has the live link as both ends' claim, whatever the adverts say by now.
    fn each_edge<'a>(
        &self,
        slot: Slot,
        claims: &impl Fn(&PeerKey) -> &'a [Edge],
        mut each: impl FnMut(Slot, &Edge, Option<&Edge>),
    ) {
        let node = self.node(slot);
        let Some(key) = node.key() else { return };
        let own = self.node(OWN).address;
        for link in self.local.iter().filter(|link| slot == OWN || link.peer == key) {
            let mine = link.claim();
            let Some(far) = self.slot(&mine.peer) else { continue };
            if self.key(far) == Some(link.peer) {
                let theirs = claim(self.claims(far, claims), &own, &mine);
                each(if slot == OWN { far } else { OWN }, &mine, theirs);
            }
        }
        if slot == OWN {
            return;
        }
        let theirs = self.claims(slot, claims);
        let mut told = BTreeSet::new();
        for edge in theirs {
            let Some(far) = self.slot(&edge.peer).filter(|far| *far != OWN && *far != slot) else {
                continue;
            };
            let back = claim(self.claims(far, claims), &node.address, edge);
            if back.is_some() && told.insert((far, &edge.kind)) {
                each(far, claim(theirs, &edge.peer, edge).unwrap_or(edge), back);
            }
        }
    }

    /// What whoever is at `slot` claims in its advert.
    fn claims<'a>(&self, slot: Slot, claims: &impl Fn(&PeerKey) -> &'a [Edge]) -> &'a [Edge] {
        match (self.node(slot).known, self.key(slot)) {
            (Holder::One(key), Some(_)) => claims(&key),
            _ => &[],
        }
    }

    /// The edges of a node, as the graph shows them.
    pub(super) fn edges<'a>(
        &self,
        slot: Slot,
        claims: &impl Fn(&PeerKey) -> &'a [Edge],
    ) -> Vec<MeshEdge> {
        let mut edges = Vec::new();
        let Some(key) = self.key(slot) else { return edges };
        self.each_edge(slot, claims, |far, mine, theirs| {
            let Some(peer) = self.key(far) else { return };
            let theirs = theirs.unwrap_or(mine);
            edges.push(MeshEdge {
                a: key.min(peer),
                b: key.max(peer),
                kind: mine.kind.clone(),
                cost: mine.cost.max(theirs.cost),
                payload_log2: mine.payload_log2.min(theirs.payload_log2),
            });
        });
        edges.sort_unstable();
        edges
    }
}
