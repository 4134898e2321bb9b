//! Who gets a slot of a transport, and which link gives its own up (protocol 3.3).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::OnceCell;

use super::Node;
use super::neighbour::{LinkEntry, Neighbour};
use crate::advert::{AdvertId, Database};
use crate::dial::jitter;
use crate::dial::slots::{self, OwnLink, Reach, Redundant, ToldEdge, Verdict};
use crate::id::{Address, LinkId, PeerKey, TransportId};
use crate::io::{ConnectionType, TransportProfile};
use crate::limits::{
    DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN, SLOT_CHURN_INTERVAL, SLOT_LOST_RETRY, SLOT_NEEDED_WAIT,
    SLOT_SPARE_WAIT,
};
use crate::link::LinkState;
use crate::route::{MeshEdge, Table};
use crate::time::{Duration, Instant};
use crate::wire::advert::{AdvertKind, Cost, Edge};
use crate::wire::control::CloseCode;
use crate::wire::handshake::LinkHello;

/// Looking for a redundant link in vain is worth trying again after this.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a transport's slots go through.
#[derive(Debug, Default)]
pub(super) struct Churn {
    /// When a link was last given up for another one.
    gave_at: Option<Instant>,
    /// When no link was found to give up.
    looked_at: Option<Instant>,
    /// While all slots are taken.
    plan: Option<Plan>,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    at: Instant,
    urgency: Urgency,
}

/// Why a full node gives a redundant link up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// So that there is a slot for whoever comes. Only links off the spanning tree go.
    Spare,
    /// A peer is in sight that is out of reach. Only links off the spanning tree go, as others
    /// do the same now.
    Needed,
    /// That did not help: any redundant link goes.
    Pressing,
}

impl Churn {
    /// The first moment at which another link may be given up.
    fn may_give_at(&self) -> Instant {
        self.gave_at.map_or(Instant::EPOCH, |at| at + SLOT_CHURN_INTERVAL)
    }

    fn plan(&mut self, at: Instant, urgency: Urgency) {
        self.plan = Some(Plan { at: at.max(self.may_give_at()), urgency });
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.plan.map(|plan| plan.at)
    }
}

impl Node {
    /// Whether a newcomer gets a slot; makes room for it where that is right. Else, when it may
    /// come again.
    pub(super) fn seat(
        &mut self,
        now: Instant,
        link: LinkId,
        hello: &LinkHello,
    ) -> Result<(), Duration> {
        let (taken, links_max) = self.dialer.slots(link.transport);
        match slots::admit(links_max, taken, self.is_reachable(hello)) {
            Verdict::Admit => Ok(()),
            Verdict::Refuse => Err(DIAL_BACKOFF_MAX),
            Verdict::Displace => self.displace(now, link),
        }
    }

    /// Whether a peer can be reached without the link that it brings. The links of its former
    /// runs are none.
    fn is_reachable(&self, hello: &LinkHello) -> bool {
        let owner = hello.peer_key;
        let other_run = self.neighbours.get(&owner).is_some_and(|n| n.instance != hello.instance);
        let id = AdvertId { owner, kind: AdvertKind::Adjacency, key: 0 };
        let earlier = self.database.stamp(id).is_some_and(|stamp| stamp.epoch < hello.epoch);
        !other_run && !earlier && self.table.route(&owner).is_some()
    }

    fn displace(&mut self, now: Instant, newcomer: LinkId) -> Result<(), Duration> {
        let transport = newcomer.transport;
        let churn = self.churns.entry(transport).or_default();
        let wait = churn.may_give_at().since(now);
        if !wait.is_zero() {
            return Err(wait.max(DIAL_BACKOFF_MIN));
        }
        if churn.looked_at.is_some_and(|at| now.since(at) < LOOK_INTERVAL) {
            return Err(DIAL_BACKOFF_MAX);
        }
        let redundant = slots::most_redundant(&self.redundant(transport)).map(|r| r.link);
        if let Some(out) = redundant.or_else(|| self.greediest(newcomer)) {
            self.give_up(now, out);
            return Ok(());
        }
        self.churns.entry(transport).or_default().looked_at = Some(now);
        Err(DIAL_BACKOFF_MAX)
    }

    /// Links of a transport without which their peers stay reachable.
    fn redundant(&self, transport: TransportId) -> Vec<Redundant> {
        let links = self.own_links();
        let edges = self.table.edges(&self.database);
        let edges = edges.iter().map(|edge| self.told(edge));
        let mut redundant = slots::redundant(self.local.peer_key(), edges, &links);
        redundant.retain(|redundant| redundant.link.transport == transport);
        redundant
    }

    /// This node's links that stand.
    pub(super) fn own_links(&self) -> Vec<OwnLink<'_>> {
        self.neighbours
            .iter()
            .flat_map(|(peer, neighbour)| neighbour.links.iter().map(move |link| (*peer, *link)))
            .filter_map(|(peer, link)| {
                let entry = self.links.get(&link)?;
                let state = entry.link.state();
                let is_trusted = state == LinkState::Up;
                let cost = entry.cost().value();
                let own = OwnLink { link, peer, kind: &entry.kind, cost, is_trusted };
                (state != LinkState::Closed).then_some(own)
            })
            .collect()
    }

    /// An edge as everybody knows it.
    pub(super) fn told<'a>(&self, edge: &'a MeshEdge) -> ToldEdge<'a> {
        let cost = self.told_cost(edge).value();
        ToldEdge { a: edge.a, b: edge.b, kind: &edge.kind, cost }
    }

    /// What everybody knows an edge to cost: of this node's own not what it measured since it told.
    fn told_cost(&self, edge: &MeshEdge) -> Cost {
        let own = self.local.peer_key();
        if edge.a != own && edge.b != own {
            return edge.cost;
        }
        let claim = |of: PeerKey, to: PeerKey| {
            let edges = self.database.adjacency(&of).map_or(&[][..], |adjacency| &adjacency.edges);
            let same = |claim: &&Edge| claim.peer == to.address() && claim.kind == edge.kind;
            edges.iter().filter(same).map(|claim| claim.cost).max()
        };
        claim(edge.a, edge.b).max(claim(edge.b, edge.a)).unwrap_or(edge.cost)
    }

    fn greediest(&self, newcomer: LinkId) -> Option<LinkId> {
        let host = self.links.get(&newcomer)?.endpoint.host();
        let standing = self
            .links
            .iter()
            .filter(|(link, entry)| link.transport == newcomer.transport && entry.peer.is_some());
        let standing: Vec<_> =
            standing.map(|(link, entry)| (*link, entry.endpoint.host(), entry.since)).collect();
        slots::greediest(&standing, host)
    }

    fn give_up(&mut self, now: Instant, link: LinkId) {
        let churn = self.churns.entry(link.transport).or_default();
        (churn.gave_at, churn.plan) = (Some(now), None);
        self.counters.made_room += 1;
        self.close(now, link, CloseCode::MadeRoom, SLOT_LOST_RETRY);
    }

    /// Frees a slot of each transport where all are taken and that helps: at once nearly where a
    /// peer is in sight that is out of reach, else in time, so that one who comes finds a slot.
    pub(super) fn mind_slots(&mut self, now: Instant) {
        let transports: Vec<TransportId> = self.transports.keys().copied().collect();
        for transport in transports {
            let (taken, links_max) = self.dialer.slots(transport);
            let churn = self.churns.entry(transport).or_default();
            let mut contests = self.neighbours.values().filter_map(|neighbour| neighbour.contest);
            // A contest frees a slot by itself.
            if taken < links_max.max(1) || contests.any(|c| c.newer.transport == transport) {
                churn.plan = None;
                continue;
            }
            let needed = self.dialer.hears_unreachable(now, transport);
            let plan = match churn.plan {
                Some(plan) if needed == (plan.urgency != Urgency::Spare) => plan,
                former => {
                    let (wait, urgency) = if needed {
                        (SLOT_NEEDED_WAIT, Urgency::Needed)
                    } else {
                        (SLOT_SPARE_WAIT, Urgency::Spare)
                    };
                    let at = now + jitter(&mut self.entropy, wait);
                    let at = former.filter(|_| needed).map_or(at, |former| former.at.min(at));
                    churn.plan(at, urgency);
                    continue;
                }
            };
            if plan.at <= now {
                self.carry_out_plan(now, transport, plan.urgency);
            }
        }
    }

    fn carry_out_plan(&mut self, now: Instant, transport: TransportId, urgency: Urgency) {
        let out = slots::most_redundant(&self.redundant(transport));
        let out = out.filter(|out| out.is_off_tree || urgency == Urgency::Pressing);
        if let Some(out) = out {
            self.give_up(now, out.link);
            return;
        }
        let (wait, urgency) = match urgency {
            Urgency::Spare => (SLOT_SPARE_WAIT * 4, Urgency::Spare),
            Urgency::Needed | Urgency::Pressing => (SLOT_SPARE_WAIT, Urgency::Pressing),
        };
        let at = now + jitter(&mut self.entropy, wait);
        self.churns.entry(transport).or_default().plan(at, urgency);
    }

    /// Dials whoever is due, and gives dials up.
    pub(super) fn mind_dials(&mut self, now: Instant) {
        let view = View {
            own: self.local.peer_key(),
            transports: &self.transports,
            links: &self.links,
            neighbours: &self.neighbours,
            database: &self.database,
            table: &self.table,
            standing: OnceCell::new(),
        };
        let reach = |transport, address| view.reach(transport, address);
        let orders = self.dialer.poll(now, &mut self.entropy, &reach);
        self.order(orders);
    }
}

/// How peers are reached; what that takes is put together when it is first asked for.
struct View<'a> {
    own: PeerKey,
    transports: &'a BTreeMap<TransportId, TransportProfile>,
    links: &'a BTreeMap<LinkId, LinkEntry>,
    neighbours: &'a BTreeMap<PeerKey, Neighbour>,
    database: &'a Database,
    table: &'a Table,
    /// Whether a link that is not suspect stands to a neighbour on a transport.
    standing: OnceCell<BTreeMap<(TransportId, Address), bool>>,
}

impl<'a> View<'a> {
    fn reach(&self, transport: TransportId, address: Address) -> Reach {
        match self.standing.get_or_init(|| self.standing()).get(&(transport, address)) {
            Some(true) => return Reach::Linked,
            Some(false) => return Reach::Doubtful,
            None => {}
        }
        let peer = self.database.by_address(&address);
        let Some((peer, route)) = peer.and_then(|peer| Some((peer, self.table.route(&peer)?)))
        else {
            return Reach::Unreachable;
        };
        let kind = self.transports.get(&transport).map(|profile| &profile.kind);
        Reach::Reachable { cost: route.cost, degree: self.degree(peer, kind) }
    }

    fn standing(&self) -> BTreeMap<(TransportId, Address), bool> {
        let mut standing = BTreeMap::new();
        for link in self.neighbours.values().flat_map(|neighbour| &neighbour.links) {
            let Some(entry) = self.links.get(link) else { continue };
            let Some(peer) = entry.peer else { continue };
            let state = entry.link.state();
            if matches!(state, LinkState::Up | LinkState::Suspect) {
                let stands = standing.entry((link.transport, peer.address)).or_insert(false);
                *stands |= state == LinkState::Up;
            }
        }
        standing
    }

    /// The links that a peer has on a medium to others than this node.
    fn degree(&self, peer: PeerKey, kind: Option<&ConnectionType>) -> usize {
        let edges = self.table.edges_of(self.database, &peer);
        let to_others = |edge: &&MeshEdge| edge.a != self.own && edge.b != self.own;
        edges.iter().filter(to_others).filter(|edge| Some(&edge.kind) == kind).count()
    }
}
