//! Links come and go, and what they have to say.

use alloc::collections::BTreeMap;
use core::cmp::Reverse;

use super::Node;
use super::neighbour::LinkEntry;
use super::usage::Usage;
use crate::crypto::noise::Role;
use crate::dial::{DialOrder, Failure};
use crate::event::Event;
use crate::id::{LinkId, PeerKey};
use crate::io::{Endpoint, LinkLoss, LinkOrigin, LinkUp, TransportCommand};
use crate::limits::{
    DEMAND_REST, DIAL_FULL_BACKOFF_MAX, HANDSHAKES_PENDING_MAX, PEERS_MAX, SLOT_LOST_RETRY,
};
use crate::link::{HandshakeFailure, Link, LinkCost, LinkEnd, LinkEvent};
use crate::time::{Duration, Instant};
use crate::wire::control::CloseCode;

impl Node {
    pub(super) fn on_link_up(&mut self, now: Instant, up: LinkUp) {
        let Some(profile) = self.transports.get(&up.link.transport) else { return };
        let kind = profile.kind.clone();
        let (role, dial) = match up.origin {
            LinkOrigin::Dialled(dial) => (Role::Initiator, Some(dial)),
            LinkOrigin::Accepted => (Role::Responder, None),
        };
        if role == Role::Responder {
            self.make_room(now, &up.endpoint);
        }
        self.dialer.handle_link_up(up.link.transport, up.link, dial);
        let profile_sequence = self.own.profile_sequence();
        let link = Link::new(now, &self.local, &mut self.entropy, role, up.shape, profile_sequence);
        let entry = LinkEntry {
            link,
            kind,
            endpoint: up.endpoint,
            cost: LinkCost::new(up.estimate),
            usage: Usage::new(now),
            distance: None,
            dialled: role == Role::Initiator,
            since: now,
            peer: None,
            lost: false,
        };
        self.links.insert(up.link, entry);
    }

    /// A driver has lost a link, or is lost itself.
    pub(super) fn on_link_lost(&mut self, now: Instant, link: LinkId, reason: LinkLoss) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.lost = true;
            entry.link.handle_loss(reason);
            self.on_link_events(now, link);
        }
    }

    /// When too many accepted links have not shown who is there: closes the oldest one of the
    /// host that has most of them, the newcomer counted in.
    fn make_room(&mut self, now: Instant, newcomer: &Endpoint) {
        let pending = || self.links.iter().filter(|(_, entry)| entry.is_half_open());
        if pending().count() < HANDSHAKES_PENDING_MAX {
            return;
        }
        let mut hosts: BTreeMap<&str, usize> = BTreeMap::from([(newcomer.host(), 1)]);
        for (_, entry) in pending() {
            *hosts.entry(entry.endpoint.host()).or_default() += 1;
        }
        let greed = |entry: &LinkEntry| hosts.get(entry.endpoint.host()).copied();
        let out = pending().max_by_key(|(_, entry)| (greed(entry), Reverse(entry.since)));
        let Some((&out, entry)) = out else { return };
        let endpoint = entry.endpoint.clone();
        self.counters.handshakes_crowded_out += 1;
        if self.crowded.may_tell(now) {
            self.outputs.event(Event::Crowded { transport: out.transport, endpoint });
        }
        self.close(now, out, CloseCode::AtCapacity, Duration::ZERO);
        self.on_link_events(now, out);
    }

    /// Acts on everything a link has to say; false when it had nothing.
    pub(super) fn on_link_events(&mut self, now: Instant, link: LinkId) -> bool {
        let mut any = false;
        while let Some(event) = self.links.get_mut(&link).and_then(|entry| entry.link.poll_event())
        {
            any = true;
            match event {
                LinkEvent::Established(established) => self.on_established(now, link, established),
                LinkEvent::Control(message) => self.on_control(now, link, message),
                LinkEvent::Skipped(_) => self.counters.control_skipped += 1,
                LinkEvent::Data(frame) => {
                    let entry = self.links.get_mut(&link);
                    let from = entry.and_then(|entry| {
                        entry.usage.data_at = now;
                        entry.peer
                    });
                    if let Some(from) = from {
                        // What came with the last message of the link's handshake is answered
                        // over this very link: the routes must know it.
                        if self.stale.routes_at().is_some_and(|at| at <= now) {
                            self.refresh_routes(now);
                        }
                        self.on_data(now, link, from.key, frame);
                    }
                }
                LinkEvent::Suspect | LinkEvent::Trusted => self.on_cost(now, link),
                LinkEvent::Measured(rtt) => {
                    let entry = self.links.get_mut(&link);
                    if entry.is_some_and(|entry| entry.on_measured(now, rtt)) {
                        self.on_cost(now, link);
                    }
                }
                LinkEvent::Closed(end) => self.on_closed(now, link, end),
            }
        }
        any
    }

    /// A link's cost changed: it was measured, became suspect, or is trusted again; and with that,
    /// whether its peer may be dialled somewhere else.
    fn on_cost(&mut self, now: Instant, link: LinkId) {
        let Some(entry) = self.links.get(&link) else { return };
        if entry.peer.is_some() {
            self.dialer.handle_doubt(now, link.transport, link, entry.is_suspect());
            self.stale.links(now);
        }
    }

    /// All links of a peer that are up.
    pub(super) fn links_of(&self, key: PeerKey) -> impl Iterator<Item = (LinkId, &LinkEntry)> {
        self.links
            .iter()
            .filter(move |(_, entry)| entry.peer.is_some_and(|peer| peer.key == key))
            .map(|(link, entry)| (*link, entry))
    }

    pub(super) fn close(
        &mut self,
        now: Instant,
        link: LinkId,
        code: CloseCode,
        retry_after: Duration,
    ) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.link.close(now, code, retry_after);
        }
    }

    pub(super) fn order(&mut self, orders: alloc::vec::Vec<DialOrder>) {
        for order in orders {
            match order {
                DialOrder::Dial(transport, dial, endpoint) => {
                    self.outputs.command(transport, TransportCommand::Dial { dial, endpoint });
                }
                DialOrder::Cancel(transport, dial) => {
                    self.outputs.command(transport, TransportCommand::CancelDial(dial));
                }
            }
        }
    }

    /// Takes a link out of its neighbour; the neighbour goes with its last one.
    pub(super) fn forget_link(&mut self, now: Instant, link: LinkId) {
        let Some(peer) = self.links.get_mut(&link).and_then(|entry| entry.peer.take()) else {
            return;
        };
        let Some(neighbour) = self.neighbours.get_mut(&peer.key) else { return };
        neighbour.links.retain(|other| *other != link);
        if neighbour.contest.is_some_and(|c| c.older == link || c.newer == link) {
            neighbour.contest = None;
        }
        self.bus.handle_link_gone(link);
        self.stale.links(now);
        if !neighbour.links.is_empty() {
            self.owe_hints(peer.key);
            return;
        }
        if let Some(mut neighbour) = self.neighbours.remove(&peer.key) {
            self.counters.add_sync(neighbour.sync.figures());
            self.bodies.forget(&peer.key);
            self.traces.forget(&peer.key);
            self.forget_hints(peer.key, &neighbour);
            self.refresh_routes(now);
            for (frame, came_from) in neighbour.relay.drain(now) {
                self.forward(now, came_from, frame);
            }
        }
    }

    fn on_closed(&mut self, now: Instant, link: LinkId, end: LinkEnd) {
        let peer = self.links.get(&link).and_then(|entry| entry.peer).map(|peer| peer.key);
        self.forget_link(now, link);
        let Some(entry) = self.links.remove(&link) else { return };
        if !entry.lost {
            self.outputs.command(link.transport, TransportCommand::Close(link));
        }
        let failure = match &end {
            LinkEnd::ByPeer { code: CloseCode::Replaced, .. } => {
                let (heard, stay_away) = self.own.on_replaced(now);
                self.on_heard(heard);
                Failure::Later(stay_away)
            }
            LinkEnd::ByPeer { code: CloseCode::AtCapacity | CloseCode::MadeRoom, retry_after } => {
                Failure::Full((*retry_after).min(DIAL_FULL_BACKOFF_MAX))
            }
            LinkEnd::Here(CloseCode::AtCapacity | CloseCode::MadeRoom) => {
                Failure::Later(SLOT_LOST_RETRY)
            }
            LinkEnd::Here(CloseCode::NotNeeded) => Failure::Unneeded(DEMAND_REST),
            LinkEnd::ByPeer { code: CloseCode::NotNeeded, retry_after } => {
                Failure::Unneeded((*retry_after).min(DEMAND_REST))
            }
            LinkEnd::Here(CloseCode::Myself) | LinkEnd::ByPeer { code: CloseCode::Myself, .. } => {
                Failure::Myself
            }
            LinkEnd::Handshake(
                HandshakeFailure::Incompatible { .. }
                | HandshakeFailure::OpenAndClosed
                | HandshakeFailure::OtherNetwork
                | HandshakeFailure::NotHedgerow,
            ) => Failure::Hopeless,
            _ => Failure::Ordinary,
        };
        match &end {
            LinkEnd::Handshake(_) => self.counters.handshakes_failed += 1,
            LinkEnd::Violation(_) => self.counters.violations += 1,
            _ => {}
        }
        let (transport, whose) = (link.transport, (link, peer));
        self.dialer.note_end(link, &end);
        self.dialer.handle_link_down(now, &mut self.entropy, transport, whose, failure);
        if let Some(peer) = peer {
            if self.last_close.len() >= PEERS_MAX {
                self.last_close.pop_first();
            }
            self.last_close.insert((peer, link.transport), end.clone());
        }
        self.outputs.event(Event::LinkDown { link, peer, endpoint: entry.endpoint, end });
    }
}
