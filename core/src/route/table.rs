//! The routes of this node: shortest paths, alternates, and what is used of them now.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::alternate::{FirstHop, Second, alternates};
use super::edge::{LocalEdge, MeshEdge};
use super::spf::{Distance, Reached, Search};
use super::topology::{Holder, OWN, Slot, Topology, payload_bytes};
use crate::advert::{Changed, Database};
use crate::id::{Address, PeerKey};
use crate::limits::{FAILOVER_HOLD, HOP_LIMIT_SLACK, PATH_HOPS_MAX};
use crate::time::Instant;
use crate::wire::advert::{Adjacency, Edge};

/// The way to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The neighbour to hand frames to.
    pub next_hop: PeerKey,
    /// The sum of the edges' costs, in microseconds for 1,280 bytes.
    pub cost: u64,
    /// Hops; a neighbour is 1.
    pub hops: u16,
    /// The largest payload that every hop carries, in bytes.
    pub payload_bytes_max: usize,
}

impl Route {
    /// Whether frames can be sent that far: the hop limit is a byte.
    #[must_use]
    pub fn is_in_range(&self) -> bool {
        self.hops <= u16::from(PATH_HOPS_MAX)
    }

    /// The hop limit of a frame that takes this way.
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        u8::try_from(self.hops).unwrap_or(u8::MAX).min(PATH_HOPS_MAX) + HOP_LIMIT_SLACK
    }
}

/// The way that is taken at once when the neighbour of the first one is lost. Frames on it do not
/// come back, whatever the others know by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// The way.
    pub route: Route,
    /// It holds when the neighbour itself has failed, too, and not only the link to it.
    pub protects_node: bool,
}

/// What a node knows about the way to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// Whose.
    pub peer: PeerKey,
    /// The way that frames take now.
    pub route: Route,
    /// Where they go when that neighbour is lost.
    pub alternate: Option<Alternate>,
    /// The route is an alternate in use, until the mesh has heard of the failure.
    pub is_held: bool,
}

/// All routes of this node. Told what changed, it computes when it is asked to.
#[derive(Debug)]
pub struct Table {
    own: PeerKey,
    topology: Topology,
    /// The shortest paths from this node.
    paths: Search,
    firsts: Vec<(PeerKey, FirstHop)>,
    /// The alternates are those of other routes than these.
    lacks_alternates: bool,
    /// By slot: what is used.
    entries: Vec<Entry>,
    slots: BTreeMap<PeerKey, Slot>,
    held: BTreeMap<Slot, Held>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Who is or was there.
    peer: Option<PeerKey>,
    route: Option<Route>,
    alternate: Option<Alternate>,
}

/// An alternate that is used.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Because this neighbour is lost, or its links are in doubt.
    lost: PeerKey,
    until: Instant,
}

/// What a peer's newest adjacency says.
fn claims_in<'a>(database: &'a Database) -> impl Fn(&PeerKey) -> &'a [Edge] {
    |peer| database.adjacency(peer).map_or(&[], |Adjacency { edges }| edges.as_slice())
}

/// The neighbours that are not in doubt.
fn trusted(local: &[LocalEdge]) -> BTreeSet<PeerKey> {
    local.iter().filter(|edge| !edge.is_suspect).map(|edge| edge.peer).collect()
}

impl Table {
    /// The routes of the node `own`, which knows nobody.
    #[must_use]
    pub fn new(own: PeerKey) -> Self {
        Self {
            own,
            topology: Topology::new(own),
            paths: Search::default(),
            firsts: Vec::new(),
            lacks_alternates: false,
            entries: Vec::new(),
            slots: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// Takes in whose adjacencies changed.
    pub fn update(&mut self, database: &Database, changed: &Changed) {
        match changed {
            Changed::Owners(owners) => {
                owners.iter().for_each(|owner| self.update_one(database, owner));
            }
            Changed::Everything => {
                database.peers().for_each(|owner| self.update_one(database, &owner));
                let gone: Vec<_> =
                    self.slots.keys().filter(|peer| !database.knows(peer)).copied().collect();
                gone.iter().for_each(|owner| self.update_one(database, owner));
            }
        }
    }

    fn update_one(&mut self, database: &Database, owner: &PeerKey) {
        let address = owner.address();
        let holder = match database.holders(&address) {
            [] => Holder::Nobody,
            [one] => Holder::One(*one),
            _ => Holder::Several,
        };
        self.topology.update(address, holder, &claims_in(database));
    }

    /// Takes in this node's live links. Peers behind a neighbour that has none left, or only
    /// suspect ones, are reached by their alternates from now on; tells who that is.
    pub fn set_local(
        &mut self,
        now: Instant,
        database: &Database,
        local: Vec<LocalEdge>,
    ) -> Vec<PeerKey> {
        let before = trusted(self.topology.local());
        self.topology.set_local(local, &claims_in(database));
        let after = trusted(self.topology.local());
        for back in after.difference(&before) {
            self.held.retain(|_, held| held.lost != *back);
            self.topology.set_stale();
        }
        let failed: Vec<PeerKey> = before.difference(&after).copied().collect();
        for lost in &failed {
            self.fail_over(now, *lost, &after);
        }
        failed
    }

    fn fail_over(&mut self, now: Instant, lost: PeerKey, trusted: &BTreeSet<PeerKey>) {
        self.topology.set_stale();
        for (slot, entry) in (0..).zip(&mut self.entries) {
            if entry.route.is_none_or(|route| route.next_hop != lost) {
                continue;
            }
            if self.held.remove(&slot).is_some() {
                // The way around another failure is lost, too: the routes know of both.
                continue;
            }
            let other = entry.alternate.map(|alternate| alternate.route);
            let stands = |to: &PeerKey| *to != lost && trusted.contains(to);
            if let Some(route) = other.filter(|route| stands(&route.next_hop)) {
                (entry.route, entry.alternate) = (Some(route), None);
                self.held.insert(slot, Held { lost, until: now + FAILOVER_HOLD });
                self.topology.touch(slot);
            }
        }
    }

    /// Whether anything changed since the routes were computed that they, or the graph, follow
    /// from.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.topology.is_stale() || !self.topology.touched().is_empty()
    }

    /// Computes the routes, and tells for whom something changed: route or edges. Alternates in
    /// use stay in use for their time.
    pub fn compute(&mut self, now: Instant) -> BTreeSet<PeerKey> {
        self.held.retain(|_, held| now < held.until);
        if self.topology.is_stale() {
            self.find_paths();
        }
        let mut changed = self.use_paths();
        let touched = self.topology.take_touched();
        let entries = &self.entries;
        changed.extend(touched.iter().filter_map(|slot| entries.get(*slot as usize)?.peer));
        for slot in touched {
            if self.topology.release(slot)
                && let Some(peer) = self.entries.get_mut(slot as usize).and_then(|e| e.peer.take())
            {
                self.slots.remove(&peer);
            }
        }
        changed
    }

    fn find_paths(&mut self) {
        let topology = &self.topology;
        let trusted = trusted(topology.local());
        self.firsts.clear();
        for arc in topology.arcs(OWN) {
            let Some(peer) = topology.key(arc.to) else { continue };
            // Arcs are in order: the first of each neighbour is its cheapest.
            if self.firsts.last().is_none_or(|(_, first)| first.slot != arc.to) {
                let is_suspect = !trusted.contains(&peer);
                let (cost, payload_log2) = (arc.cost, arc.payload_log2);
                let first = FirstHop { slot: arc.to, cost, payload_log2, is_suspect };
                self.firsts.push((peer, first));
            }
        }
        self.firsts.sort_unstable_by_key(|(peer, _)| *peer);
        let ranks = (0..).zip(&self.firsts);
        let start: Vec<Reached> = ranks
            .flat_map(|(rank, (_, first))| {
                let arcs = topology.arcs(OWN).iter().filter(|arc| arc.to == first.slot);
                arcs.map(move |arc| Reached {
                    distance: Distance::new(arc.cost.into(), 1, rank, arc.to),
                    payload_log2: arc.payload_log2,
                })
            })
            .collect();
        self.paths.run(topology, start.into_iter(), |slot, _| slot == OWN);
        self.topology.set_computed();
        self.lacks_alternates = true;
    }

    /// Brings what is used in line with what was found. Tells whose place another one took.
    fn use_paths(&mut self) -> BTreeSet<PeerKey> {
        let mut displaced = BTreeSet::new();
        let vacant = Entry { peer: None, route: None, alternate: None };
        self.entries.resize(self.topology.len(), vacant);
        for slot in 0..self.topology.end() {
            let found = self.paths.reached(slot).map(|reached| self.route_of(&reached));
            let peer = self.topology.key(slot);
            let Some(entry) = self.entries.get_mut(slot as usize) else { continue };
            if peer.is_some() && entry.peer != peer {
                if let Some(before) = entry.peer {
                    self.slots.remove(&before);
                    displaced.insert(before);
                }
                *entry = Entry { peer, ..vacant };
                self.slots.extend(peer.map(|peer| (peer, slot)));
            }
            // Where the shortest path goes the same way, there is nothing to wait for.
            let next_hop = |route: Option<Route>| route.map(|route| route.next_hop);
            let waits = found.is_some() && next_hop(found) != next_hop(entry.route);
            if waits && self.held.contains_key(&slot) {
                continue;
            }
            self.held.remove(&slot);
            if entry.route != found {
                entry.route = found;
                self.topology.touch(slot);
            }
            let other = entry.alternate.map(|alternate| alternate.route.next_hop);
            if other == next_hop(found) {
                entry.alternate = None;
            }
        }
        displaced
    }

    fn route_of(&self, reached: &Reached) -> Route {
        let distance = reached.distance;
        let (next_hop, _) = self.firsts[usize::from(distance.rank())];
        Route {
            next_hop,
            cost: distance.cost(),
            hops: distance.hops(),
            payload_bytes_max: payload_bytes(reached.payload_log2),
        }
    }

    /// Whether the routes were computed and the alternates not yet. What has changed since the
    /// routes were computed must not go into the alternates alone.
    #[must_use]
    pub fn lacks_alternates(&self) -> bool {
        self.lacks_alternates && !self.topology.is_stale()
    }

    /// Finds the alternate of every peer, for the routes as they were computed.
    pub fn compute_alternates(&mut self) {
        if !self.lacks_alternates() {
            return;
        }
        self.lacks_alternates = false;
        let firsts: Vec<_> = self.firsts.iter().map(|(_, first)| *first).collect();
        let found = alternates(&self.topology, &self.paths, &firsts);
        for (slot, second) in found.into_iter().enumerate() {
            let alternate = second.map(|Second { reached, protects_node }| Alternate {
                route: self.route_of(&reached),
                protects_node,
            });
            if let Some(entry) = self.entries.get_mut(slot) {
                entry.alternate = alternate.filter(|alternate| alternate.route.is_in_range());
            }
        }
    }

    /// When to compute again without any change: alternates in use have had their time.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    /// Peers that this node knows of.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.topology.count() - 1
    }

    fn entry(&self, peer: &PeerKey) -> Option<&Entry> {
        let slot = self.slots.get(peer)?;
        self.entries.get(*slot as usize)
    }

    /// The way to `peer`, if there is one that a frame can go.
    #[must_use]
    pub fn route(&self, peer: &PeerKey) -> Option<&Route> {
        self.reach(peer).filter(|route| route.is_in_range())
    }

    /// The way to `peer`, however far it is.
    #[must_use]
    pub fn reach(&self, peer: &PeerKey) -> Option<&Route> {
        self.entry(peer)?.route.as_ref()
    }

    /// The way to whoever alone has `address`, if there is one that a frame can go.
    #[must_use]
    pub fn route_to(&self, address: &Address) -> Option<&Route> {
        let entry = self.entries.get(self.topology.slot(address)? as usize)?;
        entry.route.as_ref().filter(|route| route.is_in_range())
    }

    /// The peers on the way from this node to `peer`, which is the last; empty without a route.
    /// Of ways that are equally good it names one.
    #[must_use]
    pub fn path(&self, peer: &PeerKey) -> Vec<PeerKey> {
        let mut path = Vec::new();
        let mut at = self.slots.get(peer).copied();
        // Backwards: each step leads to a node that is one hop nearer at the edge's cost less.
        while let Some(slot) = at
            && let Some(Reached { distance, .. }) = self.paths.reached(slot)
            && let Some(peer) = self.topology.key(slot)
        {
            path.push(peer);
            let before = self.topology.arcs(slot).iter().filter_map(|arc| {
                let near = self.paths.reached(arc.to)?.distance;
                let leads = near.rank() == distance.rank()
                    && near.hops() + 1 == distance.hops()
                    && near.cost() + u64::from(arc.cost) == distance.cost();
                leads.then_some((self.topology.key(arc.to)?, arc.to))
            });
            at = before.min().map(|(_, slot)| slot);
        }
        path.reverse();
        path
    }

    /// All peers that can be reached, and how.
    pub fn routes(&self) -> impl Iterator<Item = RouteView> + '_ {
        (0..).zip(&self.entries).filter_map(|(slot, entry)| {
            let is_held = self.held.contains_key(&slot);
            let Entry { peer, route, alternate } = *entry;
            Some(RouteView { peer: peer?, route: route?, alternate, is_held })
        })
    }

    /// All edges that both ends claim, each once.
    #[must_use]
    pub fn edges(&self, database: &Database) -> Vec<MeshEdge> {
        let claims = claims_in(database);
        let ends = self.slots.iter().map(|(peer, slot)| (*peer, *slot));
        core::iter::once((self.own, OWN))
            .chain(ends.filter(|(peer, _)| *peer != self.own))
            .flat_map(|(peer, slot)| {
                self.topology.edges(slot, &claims).into_iter().filter(move |edge| edge.a == peer)
            })
            .collect()
    }

    /// The edges of `peer` that both ends claim, in order.
    #[must_use]
    pub fn edges_of(&self, database: &Database, peer: &PeerKey) -> Vec<MeshEdge> {
        let slot = if *peer == self.own { Some(OWN) } else { self.slots.get(peer).copied() };
        slot.map_or_else(Vec::new, |slot| self.topology.edges(slot, &claims_in(database)))
    }
}

#[cfg(test)]
mod tests;
