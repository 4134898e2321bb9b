//! The graph as this node sees it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::metadata::Bodies;
use crate::advert::Database;
use crate::id::PeerKey;
use crate::io::{ApproximateDistance, ConnectionType};
use crate::route::{MeshEdge, Route, Table};
use crate::time::{Duration, Instant};
use crate::wire::advert::{Abilities, Profile};
use crate::wire::handshake::Versions;

/// The whole mesh at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// This node.
    pub local: PeerView,
    /// Everybody else, by peer key.
    pub remote: Vec<PeerView>,
}

/// One peer in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Its key.
    pub key: PeerKey,
    /// Its profile; `None` until it has arrived.
    pub profile: Option<Profile>,
    /// Whether its protocol versions meet this node's; `None` until its profile is there.
    pub is_compatible: Option<bool>,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its connections, one for each edge that both ends claim.
    pub connections: Vec<ConnectionView>,
    /// The way there; `None` for this node, and during the grace after it became unreachable.
    /// Further than [`crate::limits::PATH_HOPS_MAX`] a peer is seen and cannot be sent to.
    pub route: Option<Route>,
    /// Time since it was last known to be reachable.
    pub last_seen: Duration,
}

/// A peer's metadata body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// It has none.
    Empty,
    /// Its profile tells of a body that has not arrived.
    Pending,
    /// The body: JSON bytes as the owner serialised them, verified by their hash.
    Body(Bytes),
}

/// One edge of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionView {
    /// The end with the lower key.
    pub a: PeerKey,
    /// The end with the higher key.
    pub b: PeerKey,
    /// The medium.
    pub kind: ConnectionType,
    /// What this node measures of it, if it is one of its own links.
    pub figures: Option<LinkFigures>,
}

/// What a node measures of a link of its own. It is read with the graph; that it is another one is
/// no change of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkFigures {
    /// The smoothed round trip.
    pub rtt: Duration,
    /// Bytes a second, sent lately.
    pub rate_bytes_per_s: u64,
    /// About how far away the other end is, where the medium tells.
    pub distance: Option<ApproximateDistance>,
    /// Whether it carries data: the cheapest link to its peer does.
    pub is_active: bool,
}

/// A change of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A peer can be reached for the first time, or again.
    PeerJoined(PeerKey),
    /// A peer has left the graph.
    PeerLeft(PeerKey, LeaveReason),
    /// A peer's profile, metadata or route changed.
    PeerUpdated(PeerKey),
    /// A connection came up.
    ConnectionUp(MeshEdge),
    /// A connection went down.
    ConnectionDown(MeshEdge),
}

/// Why a peer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveReason {
    /// It could not be reached for the grace.
    Unreachable,
}

/// What the graph is derived from.
pub struct GraphInput<'a> {
    /// Everybody's adverts.
    pub database: &'a Database,
    /// The routes over them.
    pub table: &'a Table,
    /// The metadata bodies.
    pub bodies: &'a Bodies,
}

/// Keeps who is in the graph and tells what changed.
#[derive(Debug)]
pub struct Presence {
    own: PeerKey,
    grace: Duration,
    members: BTreeMap<PeerKey, Member>,
    /// Those who cannot be reached, by when their grace ends.
    leaving: BTreeSet<(Instant, PeerKey)>,
    /// The edges shown, each with its end of the lower key; no empty lists.
    edges: BTreeMap<PeerKey, Vec<MeshEdge>>,
}

#[derive(Debug)]
struct Member {
    /// While it cannot be reached: when the grace ends.
    leaves_at: Option<Instant>,
    last_seen: Instant,
    shown: Shown,
}

/// What a `PeerUpdated` is about.
#[derive(Debug, PartialEq, Eq, Default)]
struct Shown {
    /// As it travels: read, it would take four times the memory.
    profile: Option<Box<[u8]>>,
    metadata: bool,
    route: Option<Route>,
}

fn has_metadata(profile: &Profile, bodies: &Bodies) -> Metadata {
    if profile.metadata_bytes == 0 {
        return Metadata::Empty;
    }
    bodies.body(&profile.metadata_hash).map_or(Metadata::Pending, Metadata::Body)
}

/// Edges without what changes often.
fn ends(edge: &MeshEdge) -> (PeerKey, PeerKey, &ConnectionType) {
    (edge.a, edge.b, &edge.kind)
}

impl Presence {
    /// The presence of the node `own`; peers leave after `grace`.
    #[must_use]
    pub fn new(own: PeerKey, grace: Duration) -> Self {
        let (members, leaving, edges) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { own, grace, members, leaving, edges }
    }

    /// Looks again at `peers`, for whom something may have changed, and at who is to leave; tells
    /// what changed.
    pub fn refresh(
        &mut self,
        now: Instant,
        peers: &BTreeSet<PeerKey>,
        input: &GraphInput<'_>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let own = self.own;
        for peer in peers.iter().filter(|peer| **peer != own) {
            match input.table.reach(peer) {
                Some(route) => self.show(now, peer, *route, input, &mut changes),
                None => self.miss(now, peer, &mut changes),
            }
        }
        self.leave(now, &mut changes);
        self.connections(peers, input, &mut changes);
        changes
    }

    fn show(
        &mut self,
        now: Instant,
        peer: &PeerKey,
        route: Route,
        input: &GraphInput<'_>,
        changes: &mut Vec<Change>,
    ) {
        let profile = input.database.profile(peer);
        let metadata = profile.as_ref().is_some_and(|profile| {
            matches!(has_metadata(profile, input.bodies), Metadata::Body(_))
        });
        let profile = input.database.profile_bytes(peer).filter(|_| profile.is_some());
        let shown = Shown { profile: profile.map(Box::from), metadata, route: Some(route) };
        let Some(member) = self.members.get_mut(peer) else {
            let member = Member { leaves_at: None, last_seen: now, shown };
            self.members.insert(*peer, member);
            changes.push(Change::PeerJoined(*peer));
            return;
        };
        if let Some(at) = member.leaves_at.take() {
            self.leaving.remove(&(at, *peer));
        }
        if member.shown != shown {
            member.shown = shown;
            changes.push(Change::PeerUpdated(*peer));
        }
    }

    /// A peer cannot be reached: its grace begins, unless it is under way.
    fn miss(&mut self, now: Instant, peer: &PeerKey, changes: &mut Vec<Change>) {
        let Some(member) = self.members.get_mut(peer).filter(|m| m.leaves_at.is_none()) else {
            return;
        };
        let at = now + self.grace;
        (member.last_seen, member.leaves_at, member.shown.route) = (now, Some(at), None);
        self.leaving.insert((at, *peer));
        changes.push(Change::PeerUpdated(*peer));
    }

    fn leave(&mut self, now: Instant, changes: &mut Vec<Change>) {
        while let Some((at, peer)) = self.leaving.first().copied().filter(|(at, _)| *at <= now) {
            self.leaving.remove(&(at, peer));
            self.members.remove(&peer);
            changes.push(Change::PeerLeft(peer, LeaveReason::Unreachable));
        }
    }

    /// An edge is shown while its ends can be reached, which is both or neither.
    fn connections(
        &mut self,
        peers: &BTreeSet<PeerKey>,
        input: &GraphInput<'_>,
        changes: &mut Vec<Change>,
    ) {
        let (mut down, mut up) = (Vec::new(), Vec::new());
        for peer in peers {
            let is_there = *peer == self.own || input.table.reach(peer).is_some();
            let mut edges = Vec::new();
            if is_there {
                edges = input.table.edges_of(input.database, peer);
                edges.retain(|edge| edge.a == *peer);
            }
            let before = self.edges.remove(peer).unwrap_or_default();
            let within = |edges: &[MeshEdge], edge| edges.iter().any(|e| ends(e) == ends(edge));
            down.extend(before.iter().filter(|edge| !within(&edges, edge)).cloned());
            up.extend(edges.iter().filter(|edge| !within(&before, edge)).cloned());
            if !edges.is_empty() {
                edges.shrink_to_fit();
                self.edges.insert(*peer, edges);
            }
        }
        changes.extend(down.into_iter().map(Change::ConnectionDown));
        changes.extend(up.into_iter().map(Change::ConnectionUp));
    }

    /// When to call [`Presence::refresh`] without other reason: a grace ends.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.leaving.first().map(|(at, _)| *at)
    }

    /// Whether a peer is in the graph.
    #[must_use]
    pub fn contains(&self, peer: &PeerKey) -> bool {
        self.members.contains_key(peer)
    }

    /// Everybody else in the graph.
    pub fn members(&self) -> impl Iterator<Item = &PeerKey> {
        self.members.keys()
    }

    /// All edges between those who can be reached, this node among them; each once.
    pub fn edges(&self) -> impl Iterator<Item = &MeshEdge> {
        self.edges.values().flatten()
    }

    /// The graph as it is now. `figures` gives what is measured of this node's own links.
    #[must_use]
    pub fn graph(
        &self,
        now: Instant,
        input: &GraphInput<'_>,
        figures: &dyn Fn(&PeerKey, &ConnectionType) -> Option<LinkFigures>,
    ) -> Graph {
        let mut connections: BTreeMap<PeerKey, Vec<ConnectionView>> = BTreeMap::new();
        for edge in self.edges() {
            let other = match self.own {
                own if own == edge.a => Some(edge.b),
                own if own == edge.b => Some(edge.a),
                _ => None,
            };
            let figures = other.and_then(|peer| figures(&peer, &edge.kind));
            let view = ConnectionView { a: edge.a, b: edge.b, kind: edge.kind.clone(), figures };
            connections.entry(edge.a).or_default().push(view.clone());
            connections.entry(edge.b).or_default().push(view);
        }
        let mut view = |key: PeerKey, last_seen: Duration| {
            let profile = input.database.profile(&key);
            let meets = |profile: &Profile| Versions::OURS.highest_common(profile.versions);
            PeerView {
                key,
                is_compatible: profile.as_ref().map(|profile| meets(profile).is_some()),
                metadata: profile
                    .as_ref()
                    .map_or(Metadata::Empty, |profile| has_metadata(profile, input.bodies)),
                profile,
                connections: connections.remove(&key).unwrap_or_default(),
                route: input.table.reach(&key).copied(),
                last_seen,
            }
        };
        let local = view(self.own, Duration::ZERO);
        let seen = |member: &Member| match member.leaves_at {
            None => Duration::ZERO,
            Some(_) => now.since(member.last_seen),
        };
        let remote = self.members.iter().map(|(key, member)| view(*key, seen(member))).collect();
        Graph { local, remote }
    }
}

impl PeerView {
    /// The device name; empty until the profile is there.
    #[must_use]
    pub fn device_name(&self) -> String {
        self.profile.as_ref().map(|profile| profile.device_name.clone()).unwrap_or_default()
    }

    /// Whether the peer bridges out of the mesh.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.profile.as_ref().is_some_and(|profile| profile.abilities.has(Abilities::GATEWAY))
    }
}
