//! After each input: what changed is told to whoever depends on it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Node;
use super::neighbour::Neighbour;
use crate::advert::Changed;
use crate::bus::Path;
use crate::event::Event;
use crate::id::{LinkId, PeerKey};
use crate::presence::{Fetch, GraphInput};
use crate::route::{LocalEdge, Route, Schedule, Table};
use crate::time::{Instant, earliest};
use crate::wire::control::Control;

/// What no longer fits what it was derived from.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// This node's links changed: adjacency, routes.
    links: bool,
    /// When routes are computed.
    routes: Schedule,
    computed_at: Instant,
    /// The graph changed beside the routes: bodies came.
    presence: bool,
    /// Peers whose profile, route or edges changed.
    peers: BTreeSet<PeerKey>,
    /// The link that carries data to each neighbour, as the sessions were told.
    active: BTreeMap<PeerKey, LinkId>,
}

impl Stale {
    pub(super) fn links(&mut self, now: Instant) {
        self.links = true;
        self.routes.on_own_change(now);
    }

    pub(super) fn presence(&mut self) {
        self.presence = true;
    }

    pub(super) fn profile(&mut self, peer: PeerKey) {
        self.peers.insert(peer);
    }

    pub(super) fn routes_at(&self) -> Option<Instant> {
        self.routes.due()
    }

    pub(super) fn next_timeout(&self, table: &Table) -> Option<Instant> {
        let alternates = table.lacks_alternates().then_some(self.computed_at);
        earliest([self.routes.due(), alternates, table.next_timeout()])
    }
}

fn is_due(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

impl Node {
    pub(super) fn settle(&mut self, now: Instant) {
        self.judge_contests(now);
        self.publish(now);
        let routes = is_due(self.stale.routes_at(), now);
        self.follow_adverts(now);
        if routes || is_due(self.table.next_timeout(), now) {
            self.refresh_routes(now);
        } else if self.table.lacks_alternates() {
            self.table.compute_alternates();
        }
        let presence = self.stale.presence || !self.stale.peers.is_empty();
        if presence || is_due(self.presence.next_timeout(), now) {
            self.refresh_presence(now);
        }
        self.fetch(now);
        self.tell_hints();
        self.mind_idle_links(now);
        self.mind_slots(now);
        self.mind_upgrades(now);
        self.mind_dials(now);
    }

    /// Tells the topology whose edges changed. Routes are not computed in the same breath, nor are
    /// alternates: first goes what was to be passed on, so that nobody further away waits for this
    /// node's computing.
    fn follow_adverts(&mut self, now: Instant) {
        let changed = self.database.take_changed();
        if matches!(&changed, Changed::Owners(owners) if owners.is_empty()) {
            return;
        }
        self.table.update(&self.database, &changed);
        if self.table.is_stale() {
            self.stale.routes.on_change(now, self.table.peers());
        }
    }

    /// Signs what this node has to say and marks it for every neighbour.
    fn publish(&mut self, now: Instant) {
        let relinked = core::mem::take(&mut self.stale.links);
        if relinked {
            let edges: Vec<_> = self.local_edges().map(|edge| edge.claim()).collect();
            self.own.set_edges(now, edges);
        }
        for id in self.own.publish(now, &self.local, &mut self.database) {
            for neighbour in self.neighbours.values_mut() {
                neighbour.sync.mark(id, false);
            }
        }
        let steadied = self.own.take_steadied();
        if relinked || steadied {
            self.rank_all_links();
            self.stale.routes.on_own_change(now);
        }
    }

    fn local_edges(&self) -> impl Iterator<Item = LocalEdge> + '_ {
        self.neighbours.iter().flat_map(|(peer, neighbour)| {
            neighbour.links.iter().filter_map(|link| {
                let entry = self.links.get(link)?;
                Some(LocalEdge {
                    peer: *peer,
                    kind: entry.kind.clone(),
                    cost: entry.cost(),
                    payload_log2: entry.payload_log2(),
                    is_suspect: entry.is_suspect(),
                })
            })
        })
    }

    /// Computes the routes and tells the sessions whose path changed.
    pub(super) fn refresh_routes(&mut self, now: Instant) {
        let local: Vec<LocalEdge> = self.local_edges().collect();
        let failed = self.table.set_local(now, &self.database, local);
        let mut changed = self.table.compute(now);
        self.stale.routes.on_computed();
        self.stale.computed_at = now;
        self.dialer.handle_change();
        for neighbour in &failed {
            self.reroute(now, neighbour);
        }
        changed.extend(self.behind_other_links());
        for peer in &changed {
            self.tell_route(now, *peer);
        }
        self.stale.peers.extend(changed);
        self.refresh_presence(now);
    }

    /// The peers behind neighbours whose data goes by another link than the sessions know.
    fn behind_other_links(&mut self) -> Vec<PeerKey> {
        let active = |(peer, neighbour): (&PeerKey, &Neighbour)| Some((*peer, neighbour.active()?));
        let active: BTreeMap<_, _> = self.neighbours.iter().filter_map(active).collect();
        let before = core::mem::replace(&mut self.stale.active, active);
        let active = &self.stale.active;
        let is_other = |peer: &PeerKey| before.get(peer) != active.get(peer);
        if !active.keys().any(is_other) {
            return Vec::new();
        }
        let behind = self.table.routes().filter(|view| is_other(&view.route.next_hop));
        behind.map(|view| view.peer).collect()
    }

    fn tell_route(&mut self, now: Instant, peer: PeerKey) {
        if self.table.reach(&peer).is_some() && !self.database.was_reached(&peer) {
            self.database.note_reachable(now, &peer);
        }
        let path = self.table.route(&peer).and_then(|route| self.path(route));
        if let Some(path) = path {
            self.bus.handle_static_key(peer, self.database.separate_key(&peer));
            self.tell_path(now, peer, path);
        } else if self.paths.remove(&peer).is_some() {
            // Whoever is missed after a sleep was last met before it.
            let met_at = self.awake_at.min(now);
            if self.database.reachable_at(&peer) < Some(met_at) {
                self.database.note_reachable(met_at, &peer);
            }
            self.bus.handle_path(now, peer, None);
        }
    }

    /// A better path while the old link still stands leaves what is on its way to arrive. A
    /// suspect link is as good as gone.
    fn tell_path(&mut self, now: Instant, peer: PeerKey, path: Path) {
        let old = self.paths.insert(peer, path.link).filter(|old| *old != path.link);
        let stands = |link: LinkId| {
            self.links.get(&link).is_some_and(|entry| entry.peer.is_some() && !entry.is_suspect())
        };
        if old.is_some_and(stands) {
            self.bus.handle_handover(now, peer, path);
        } else {
            self.bus.handle_path(now, peer, Some(path));
        }
    }

    fn path(&self, route: &Route) -> Option<Path> {
        let link = self.neighbours.get(&route.next_hop).and_then(Neighbour::active)?;
        Some(Path {
            link,
            hops: u8::try_from(route.hops).ok()?,
            hop_limit: route.hop_limit(),
            payload_bytes_max: route.payload_bytes_max,
        })
    }

    /// Looks again at the peers for whom something changed.
    fn refresh_presence(&mut self, now: Instant) {
        self.stale.presence = false;
        let mut peers = core::mem::take(&mut self.stale.peers);
        peers.extend(self.bodies.take_arrived());
        for peer in &peers {
            if self.paths.contains_key(peer) {
                self.bus.handle_static_key(*peer, self.database.separate_key(peer));
            }
            let profile = self.table.reach(peer).and_then(|_| self.database.profile(peer));
            let body = profile.map(|profile| (profile.metadata_hash, profile.metadata_bytes));
            let body = body.and_then(|(hash, bytes)| Some((hash, usize::try_from(bytes).ok()?)));
            self.bodies.want(now, *peer, body.filter(|(_, bytes)| *bytes > 0));
        }
        while let Some((owner, bytes)) = self.bodies.poll_refused() {
            self.outputs.event(Event::MetadataRefused { owner, bytes });
        }
        let input =
            GraphInput { database: &self.database, table: &self.table, bodies: &self.bodies };
        for change in self.presence.refresh(now, &peers, &input) {
            self.outputs.event(Event::Presence(change));
        }
    }

    /// Asks the next hops for the metadata that is due.
    fn fetch(&mut self, now: Instant) {
        while let Some(Fetch { owner, want }) = self.bodies.poll_fetch(now) {
            if let Some(route) = self.table.reach(&owner) {
                self.tell(route.next_hop, &Control::BodyWant(want));
            }
        }
    }
}
