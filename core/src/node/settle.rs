//! After each input: what changed is told to whoever depends on it.

use alloc::vec::Vec;

use super::Node;
use super::neighbour::Neighbour;
use crate::bus::Path;
use crate::event::Event;
use crate::id::{LinkId, PeerKey};
use crate::limits::{HOP_LIMIT_SLACK, PATH_HOPS_MAX};
use crate::presence::{Fetch, GraphInput};
use crate::route::{LocalEdge, Route, Table};
use crate::time::{Duration, Instant};
use crate::wire::advert::Edge;
use crate::wire::control::Control;

/// Adverts that come in within this time make one computation of the routes.
const ROUTES_COALESCE: Duration = Duration::from_millis(10);

/// What no longer fits what it was derived from.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// This node's links changed: adjacency, routes.
    links: bool,
    /// Adverts changed: routes, at this time.
    routes_at: Option<Instant>,
    /// The graph changed beside the routes.
    presence: bool,
    /// The database's count of changes when the routes were computed.
    adverts_seen: u64,
    computed_at: Instant,
}

impl Stale {
    pub(super) fn links(&mut self, now: Instant) {
        self.links = true;
        self.routes_at = Some(now);
    }

    pub(super) fn presence(&mut self) {
        self.presence = true;
    }

    pub(super) fn routes_at(&self) -> Option<Instant> {
        self.routes_at
    }
}

impl Node {
    pub(super) fn settle(&mut self, now: Instant) {
        self.judge_contests(now);
        self.publish(now);
        if self.database.changes() != self.stale.adverts_seen {
            self.stale.adverts_seen = self.database.changes();
            let at = now.max(self.stale.computed_at + ROUTES_COALESCE);
            self.stale.routes_at = Some(self.stale.routes_at.map_or(at, |due| due.min(at)));
        }
        if self.stale.routes_at.is_some_and(|at| at <= now) {
            self.refresh_routes(now);
        }
        if self.stale.presence || self.presence.next_timeout().is_some_and(|at| at <= now) {
            self.refresh_presence(now);
        }
        self.fetch(now);
        self.mind_slots(now);
        self.mind_dials(now);
    }

    /// Signs what this node has to say and marks it for every neighbour.
    fn publish(&mut self, now: Instant) {
        if core::mem::take(&mut self.stale.links) {
            let edges = self.local_edges();
            let edges = edges.map(|edge| Edge {
                peer: edge.peer.address(),
                kind: edge.kind,
                cost: edge.cost,
                payload_log2: edge.payload_log2,
            });
            let edges: Vec<Edge> = edges.collect();
            self.own.set_edges(now, edges);
        }
        for id in self.own.publish(now, &self.local, &mut self.database) {
            for neighbour in self.neighbours.values_mut() {
                neighbour.sync.mark(id, false);
            }
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
                })
            })
        })
    }

    /// Computes the routes and tells the sessions whose path changed.
    pub(super) fn refresh_routes(&mut self, now: Instant) {
        self.stale.routes_at = None;
        self.stale.computed_at = now;
        let local: Vec<LocalEdge> = self.local_edges().collect();
        let table = Table::compute(&self.database, self.local.peer_key(), &local);
        let gone = self.table.routes().map(|(peer, _)| *peer);
        let gone: Vec<PeerKey> = gone.filter(|peer| table.route(peer).is_none()).collect();
        for peer in gone {
            self.database.note_reachable(now, &peer);
            self.paths.remove(&peer);
            self.bus.handle_path(now, peer, None);
        }
        self.table = table;
        self.dialer.handle_change();
        let paths: Vec<(PeerKey, Path)> = self
            .table
            .routes()
            .filter_map(|(peer, route)| Some((*peer, self.path(route)?)))
            .collect();
        for (peer, path) in paths {
            self.bus.handle_static_key(peer, self.database.separate_key(&peer));
            self.tell_path(now, peer, path);
        }
        self.refresh_presence(now);
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
            hops: route.hops,
            hop_limit: route.hops.min(PATH_HOPS_MAX) + HOP_LIMIT_SLACK,
            payload_bytes_max: route.payload_bytes_max,
        })
    }

    fn refresh_presence(&mut self, now: Instant) {
        self.stale.presence = false;
        let members = self.table.routes().map(|(peer, _)| *peer);
        let wanted = members.filter_map(|peer| {
            let profile = self.database.profile(&peer)?;
            let bytes = usize::try_from(profile.metadata_bytes).ok().filter(|bytes| *bytes > 0)?;
            Some((peer, profile.metadata_hash, bytes))
        });
        self.bodies.want(now, wanted);
        while let Some((owner, bytes)) = self.bodies.poll_refused() {
            self.outputs.event(Event::MetadataRefused { owner, bytes });
        }
        let input =
            GraphInput { database: &self.database, table: &self.table, bodies: &self.bodies };
        for change in self.presence.refresh(now, &input) {
            self.outputs.event(Event::Presence(change));
        }
    }

    /// Asks the next hops for the metadata that is due.
    fn fetch(&mut self, now: Instant) {
        while let Some(Fetch { owner, want }) = self.bodies.poll_fetch(now) {
            if let Some(route) = self.table.route(&owner) {
                self.tell(route.next_hop, &Control::BodyWant(want));
            }
        }
    }
}
