//! What a host can see of a node.

use super::Node;
use crate::advert::{Sync, SyncFigures};
use crate::counters::Counters;
use crate::dial::Refusal;
use crate::id::{LinkId, PeerKey};
use crate::io::{ApproximateDistance, ConnectionType, Endpoint};
use crate::link::{LinkEnd, LinkState};
use crate::presence::{Graph, GraphInput, LinkFigures};
use crate::route::{Route, RouteView};
use crate::time::{Duration, Instant};
use crate::wire::advert::Cost;

/// One link, as `links` shows it.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// The link.
    pub link: LinkId,
    /// Who is there, once the handshake is done.
    pub peer: Option<PeerKey>,
    /// The medium.
    pub kind: ConnectionType,
    /// The other end.
    pub endpoint: Endpoint,
    /// What it does now.
    pub state: LinkState,
    /// The smoothed round trip.
    pub rtt: Option<Duration>,
    /// The least round trip lately: what the cost follows.
    pub rtt_min: Option<Duration>,
    /// What the link costs now, the doubt in it counted in.
    pub cost: Cost,
    /// Bytes a second sent lately.
    pub rate_bytes_per_s: u64,
    /// Bytes sent since it came up: everything that the driver was given.
    pub bytes_sent: u64,
    /// Bytes received since it came up.
    pub bytes_received: u64,
    /// About how far away the other end is, where the medium tells.
    pub distance: Option<ApproximateDistance>,
    /// Bytes of relayed frames that wait for this neighbour.
    pub queued_bytes: usize,
    /// Adverts that this neighbour does not have yet, if this link carries them.
    pub adverts_waiting: usize,
    /// What adverts and ranges took on the way to this neighbour, if this link carries them now.
    pub sync: SyncFigures,
    /// Time since it came up.
    pub age: Duration,
    /// Whether it carries data.
    pub is_active: bool,
    /// Why the link before it to the same peer over the same transport ended.
    pub last_close: Option<LinkEnd>,
}

impl Node {
    /// The graph as it is now.
    #[must_use]
    pub fn graph(&self, now: Instant) -> Graph {
        let input =
            GraphInput { database: &self.database, table: &self.table, bodies: &self.bodies };
        self.presence.graph(now, &input, &|peer, kind| self.figures(now, peer, kind))
    }

    fn figures(&self, now: Instant, peer: &PeerKey, kind: &ConnectionType) -> Option<LinkFigures> {
        let neighbour = self.neighbours.get(peer)?;
        let entry = |link: &LinkId| self.links.get(link).filter(|entry| entry.kind == *kind);
        let (link, entry) =
            neighbour.links.iter().find_map(|link| entry(link).map(|entry| (link, entry)))?;
        Some(LinkFigures {
            rtt: entry.link.rtt()?,
            rate_bytes_per_s: entry.link.rate_bytes_per_s(now),
            distance: entry.distance,
            is_active: neighbour.active() == Some(*link),
        })
    }

    /// All links, up or coming up.
    pub fn links(&self, now: Instant) -> impl Iterator<Item = LinkView> + '_ {
        self.links.iter().map(move |(link, entry)| {
            let peer = entry.peer.map(|peer| peer.key);
            let neighbour = peer.and_then(|peer| self.neighbours.get(&peer));
            let is_active = neighbour.is_some_and(|n| n.active() == Some(*link));
            let queued = neighbour.filter(|_| is_active).map_or(0, |n| n.relay.bytes());
            let sync = neighbour.filter(|_| is_active).map(|n| &n.sync);
            let last_close = peer.and_then(|peer| self.last_close.get(&(peer, link.transport)));
            LinkView {
                link: *link,
                peer,
                kind: entry.kind.clone(),
                endpoint: entry.endpoint.clone(),
                state: entry.link.state(),
                rtt: entry.link.rtt(),
                rtt_min: entry.cost.rtt_min(),
                cost: entry.cost(),
                rate_bytes_per_s: entry.link.rate_bytes_per_s(now),
                bytes_sent: entry.link.bytes_sent(),
                bytes_received: entry.link.bytes_received(),
                distance: entry.distance,
                queued_bytes: queued,
                adverts_waiting: sync.map_or(0, Sync::waiting),
                sync: sync.map(Sync::figures).unwrap_or_default(),
                age: now.since(entry.since),
                is_active,
                last_close: last_close.cloned(),
            }
        })
    }

    /// The ways to all peers that can be reached, with their alternates.
    pub fn routes(&self) -> impl Iterator<Item = RouteView> + '_ {
        self.table.routes()
    }

    /// The way to a peer, if frames can go it.
    #[must_use]
    pub fn route(&self, peer: &PeerKey) -> Option<&Route> {
        self.table.route(peer)
    }

    /// Endpoints that do not lead to their peers for now: those whose last dial or link failed. One
    /// dialled on demand is remembered for long after it vanished.
    pub fn refusals(&self) -> impl Iterator<Item = Refusal> + '_ {
        self.dialer.refusals()
    }

    /// What was dropped, refused or skipped.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = Counters {
            edges_left_out: u64::try_from(self.own.edges_left_out()).unwrap_or(u64::MAX),
            bodies_refused: self.bodies.refused(),
            bodies_broken: self.bodies.broken(),
            bodies_busy: self.bodies.busy(),
            sightings_refused: self.dialer.refused(),
            bus: *self.bus.counters(),
            ..self.counters
        };
        self.neighbours.values().for_each(|n| counters.add_sync(n.sync.figures()));
        counters
    }
}
