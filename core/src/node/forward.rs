//! Data frames: for this node, or on their way to another.

use alloc::vec::Vec;

use super::Node;
use crate::id::{LinkId, PeerKey};
use crate::route;
use crate::time::Instant;
use crate::wire::frame::DataFrame;
use crate::wire::routing::DataKind;

impl Node {
    pub(super) fn on_data(&mut self, now: Instant, link: LinkId, from: PeerKey, frame: DataFrame) {
        let here = frame.header.destination == self.local.address();
        match (frame.header.kind, frame.header.hop_limit) {
            (DataKind::TraceAsk, 1) => self.on_trace_ask(now, link, &frame.header),
            // A hop before this one should have answered.
            (DataKind::TraceAsk, 0) => self.counters.dropped_hop_limit += 1,
            (DataKind::TraceAsk, _) if here => self.on_trace_ask(now, link, &frame.header),
            (DataKind::TraceTell, _) if here => self.on_trace_tell(now, &frame),
            _ if here => self.bus.handle_frame(now, &mut self.entropy, from, frame),
            _ => self.forward(now, from, frame),
        }
    }

    /// Hands a frame to the next hop: never back to where it came from, never past its hop
    /// limit.
    pub(super) fn forward(&mut self, now: Instant, came_from: PeerKey, mut frame: DataFrame) {
        let route = self.table.route_to(&frame.header.destination);
        let Some(next_hop) = route.map(|route| route.next_hop) else {
            self.counters.dropped_no_route += 1;
            return;
        };
        if next_hop == came_from {
            self.counters.dropped_backwards += 1;
            return;
        }
        let Some(hop_limit) = frame.header.hop_limit.checked_sub(1) else {
            self.counters.dropped_hop_limit += 1;
            return;
        };
        frame.header.hop_limit = hop_limit;
        let Some(neighbour) = self.neighbours.get_mut(&next_hop) else {
            self.counters.dropped_no_route += 1;
            return;
        };
        // Looked at again when its turn comes, which may be on another link. By now the host has
        // yet to pull the link that the answer takes.
        let link = neighbour.active().and_then(|link| self.links.get(&link));
        let limit = link.and_then(|entry| entry.peer).map(|peer| peer.payload_bytes_max);
        if let Some(limit) = limit.filter(|limit| frame.payload.len() > *limit) {
            self.refuse_too_big(now, &frame, limit);
            return;
        }
        match neighbour.relay.push(now, frame, came_from) {
            Ok(()) => self.counters.relayed += 1,
            Err(_) => self.counters.dropped_queue_full += 1,
        }
    }

    /// What waits for a neighbour in doubt takes another way where there is one.
    pub(super) fn reroute(&mut self, now: Instant, neighbour: &PeerKey) {
        let neighbour = self.neighbours.get_mut(neighbour);
        let waiting: Vec<_> = neighbour.into_iter().flat_map(|n| n.relay.drain(now)).collect();
        for (frame, came_from) in waiting {
            self.forward(now, came_from, frame);
        }
    }

    /// Answers the source of a frame that the next link cannot carry.
    pub(super) fn refuse_too_big(&mut self, now: Instant, frame: &DataFrame, limit: usize) {
        self.counters.dropped_too_big += 1;
        let answer = route::too_big(frame, limit);
        // From this node itself: no way is "back".
        self.forward(now, self.local.peer_key(), answer);
    }
}
