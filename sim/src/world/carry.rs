//! What happens between nodes: dials, links, bytes.

use bytes::BytesMut;
use hedgerow_core::id::{DialId, LinkId, TransportId};
use hedgerow_core::io::{DialFailure, Endpoint, LinkLoss, LinkOrigin, LinkUp, TransportEvent};
use hedgerow_core::time::Instant;

use super::World;
use crate::air::{CableId, End, Hearing, Pair, Piece, Way};
use crate::host::State;
use crate::log::{What, digest};
use crate::queue::Due;
use crate::tally::Tally;

/// Links that a driver takes beyond those it promises, so that the node can tell a newcomer that
/// it is full.
const SEATS_EXTRA: usize = 2;

/// Where a node can be dialled.
pub(super) fn endpoint(node: usize) -> Endpoint {
    Endpoint::new(&format!("node-{node}:4040"))
}

/// Who can be dialled there.
fn node_at(endpoint: &Endpoint) -> Option<usize> {
    endpoint.host().strip_prefix("node-")?.parse().ok()
}

impl World {
    pub(super) fn dial(&mut self, node: usize, medium: u8, dial: DialId, endpoint: &Endpoint) {
        let Some(target) = node_at(endpoint).filter(|to| *to != node && *to < self.hosts.len())
        else {
            let reason = DialFailure::InvalidEndpoint;
            self.tell_soon(node, medium, TransportEvent::DialFailed { dial, reason });
            return;
        };
        let time = self.medium(medium).dial;
        let at = self.now + time + self.luck.within(time);
        let host = &mut self.hosts[node];
        host.dials.insert((medium, dial), target);
        host.dials_made += 1;
        self.queue.push(at, Due::Dialled { node, run: host.runs, medium, dial });
    }

    pub(super) fn on_dialled(&mut self, node: usize, run: u64, medium: u8, dial: DialId) {
        let host = &self.hosts[node];
        let Some(&target) = host.dials.get(&(medium, dial)).filter(|_| host.runs == run) else {
            return;
        };
        let pair = Pair::new(medium, node, target);
        let is_heard =
            self.air.reach(pair).is_some_and(|reach| reach.hearing == [Hearing::Clear; 2]);
        if !is_heard || host.state == State::Asleep || self.hosts[target].state == State::Asleep {
            // Nobody answers: the core gives up when its time is over.
            return;
        }
        self.hosts[node].dials.remove(&(medium, dial));
        let failure = if self.hosts[target].state == State::Off || !self.has_seat(target, medium) {
            Some(DialFailure::Refused)
        } else if !self.has_seat(node, medium) {
            Some(DialFailure::Unavailable("all links it can hold are taken".to_owned()))
        } else {
            None
        };
        match failure {
            Some(reason) => self.tell(node, medium, TransportEvent::DialFailed { dial, reason }),
            None => self.join(pair, node, dial),
        }
    }

    fn has_seat(&self, node: usize, medium: u8) -> bool {
        let links = self.hosts[node].links.keys();
        let taken = links.filter(|link| link.transport.0 == medium).count();
        taken < self.medium(medium).profile.links_max + SEATS_EXTRA
    }

    fn join(&mut self, pair: Pair, dialler: usize, dial: DialId) {
        let nodes = [dialler, pair.other(dialler)];
        let ends = nodes.map(|node| {
            let host = &mut self.hosts[node];
            host.links_made += 1;
            let link = LinkId { transport: TransportId(pair.medium), number: host.links_made };
            End { node, link }
        });
        let shapes = self.air.reach(pair).expect("who is joined is in reach").shapes;
        let seeds = [self.luck.bits(), self.luck.bits()];
        let way = |from, seed| {
            Way::new(self.medium(pair.medium), shapes[usize::from(from == pair.high)], seed)
        };
        let ways = [way(nodes[0], seeds[0]), way(nodes[1], seeds[1])];
        let id = self.air.join(pair, ends, ways);
        for (side, end) in ends.into_iter().enumerate() {
            let host = &mut self.hosts[end.node];
            host.links.insert(end.link, id);
            host.tallies.insert(end.link, Tally::new(side == 0));
            let origin = if side == 0 { LinkOrigin::Dialled(dial) } else { LinkOrigin::Accepted };
            let medium = self.medium(pair.medium);
            let up = LinkUp {
                link: end.link,
                origin,
                shape: medium.link_shape,
                endpoint: endpoint(pair.other(end.node)),
                estimate: medium.estimate,
            };
            self.tell(end.node, pair.medium, TransportEvent::LinkUp(up));
        }
    }

    /// Puts the next event of every way from `node` into the heap.
    pub(super) fn arm_ways_of(&mut self, node: usize) {
        let cables: Vec<CableId> = self.hosts[node].links.values().copied().collect();
        for cable in cables {
            self.arm(cable);
        }
    }

    pub(super) fn arm(&mut self, id: CableId) {
        let Some(cable) = self.air.cable_mut(id) else { return };
        for side in 0..2 {
            let Some(at) = cable.ways[side].next_timeout() else { continue };
            let at = at.max(self.now);
            if cable.armed[side].is_none_or(|armed| at < armed) {
                cable.armed[side] = Some(at);
                self.queue.push(at, Due::Arrive(id, side));
            }
        }
    }

    pub(super) fn on_arrive(&mut self, at: Instant, id: CableId, side: usize) {
        let Some(cable) = self.air.cable_mut(id) else { return };
        if cable.armed[side] != Some(at) {
            return;
        }
        cable.armed[side] = None;
        let receiver = cable.ends[1 - side];
        if receiver.is_some_and(|end| self.hosts[end.node].state == State::Asleep) {
            return;
        }
        let chunk = self.plan.media[usize::from(cable.pair.medium)].chunk_bytes();
        let was_held_back = cable.ways[side].room_at(chunk).is_none();
        let sender = cable.ends[side];
        while let Some(piece) = self.air.cable_mut(id).and_then(|c| c.ways[side].poll(self.now)) {
            if let Some(end) = self.air.cable(id).and_then(|cable| cable.ends[1 - side]) {
                self.receive(id, end, piece);
            }
        }
        if let Some(end) = sender.filter(|_| was_held_back) {
            // Reading made room.
            self.turn_soon(end.node);
        }
        self.arm(id);
    }

    fn receive(&mut self, id: CableId, end: End, piece: Piece) {
        let (link, medium) = (end.link, end.link.transport.0);
        match piece {
            Piece::Bytes(bytes) => {
                let what = What::Received(id, bytes.len(), digest(&bytes));
                self.log.note(self.now, Some(end.node), what);
                // What a driver reads into is the node's.
                let its_own = self.hosts[end.node].account.enter();
                let data = BytesMut::from(&bytes[..]);
                drop(its_own);
                self.tell(end.node, medium, TransportEvent::Received { link, data });
            }
            Piece::End => {
                self.drop_end(end.node, link);
                let reason = LinkLoss::ClosedByRemote;
                self.tell(end.node, medium, TransportEvent::LinkDown { link, reason });
            }
        }
    }

    pub(super) fn on_room(&mut self, id: CableId, side: usize) {
        let Some(cable) = self.air.cable_mut(id) else { return };
        cable.room_armed[side] = None;
        if let Some(end) = cable.ends[side] {
            self.turn_soon(end.node);
        }
    }

    /// A node closes its end: the other end hears of it behind what was sent. Whether there was
    /// an end to close.
    pub(super) fn close_end(&mut self, node: usize, link: LinkId) -> bool {
        let Some(id) = self.hosts[node].links.get(&link).copied() else { return false };
        if let Some(cable) = self.air.cable_mut(id)
            && let Some(side) = cable.side(node)
        {
            cable.ways[side].send(self.now, Piece::End);
        }
        self.drop_end(node, link);
        self.arm(id);
        true
    }

    /// An end of a cable is gone, without a word to the other one.
    pub(super) fn drop_end(&mut self, node: usize, link: LinkId) {
        let host = &mut self.hosts[node];
        host.tallies.remove(&link);
        let Some(id) = host.links.remove(&link) else { return };
        if let Some(cable) = self.air.cable_mut(id)
            && let Some(side) = cable.side(node)
        {
            cable.ends[side] = None;
        }
        self.air.reap(id);
    }

    /// A cable is lost: both ends are told at once.
    pub fn cut(&mut self, id: CableId, reason: &LinkLoss) {
        let Some(cable) = self.air.cable(id) else { return };
        for end in cable.ends.into_iter().flatten() {
            self.drop_end(end.node, end.link);
            let (link, reason) = (end.link, reason.clone());
            let event = TransportEvent::LinkDown { link, reason };
            self.tell(end.node, link.transport.0, event);
        }
    }
}
