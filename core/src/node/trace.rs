//! Traces: which hops a frame to a peer takes (protocol 7.4).
//!
//! Each hop is asked in turn by a frame whose hop limit ends there. What comes back is
//! authenticated by each link on its way, not end to end: a hop on the way can lie about itself
//! and all behind it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::BytesMut;

use super::Node;
use crate::allowance::Allowance;
use crate::counters::Counters;
use crate::crypto::hash::{self, Domain};
use crate::entropy::{self, Entropy};
use crate::event::{Event, TraceEnd, TraceEvent, TraceHop, TraceId};
use crate::id::{Address, LinkId, PeerKey};
use crate::io::ConnectionType;
use crate::limits::{TRACE_HOP_TIMEOUT, TRACE_TELLS_PER_S, TRACES_MAX};
use crate::time::{Duration, Instant};
use crate::wire::frame::DataFrame;
use crate::wire::lane::Lane;
use crate::wire::routing::{DataKind, RoutingHeader};
use crate::wire::trace::Tell;

/// Why a trace was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// There is no route to the peer now.
    #[error("no route to the peer")]
    NoRoute,
    /// As many traces as there may be are under way.
    #[error("no more than {limit} traces at once")]
    TooMany {
        /// The most traces.
        limit: usize,
    },
}

/// Traces of this node, and what it has to say in those of others.
#[derive(Debug)]
pub(super) struct Traces {
    open: BTreeMap<TraceId, Open>,
    /// At most one Ask for each open trace, and a second's worth of Tells.
    outbox: VecDeque<Waiting>,
    tells_allowed: Allowance,
}

#[derive(Debug)]
struct Open {
    peer: PeerKey,
    hop: u8,
    hops_max: u8,
    /// When the hop's time is over.
    due: Instant,
    /// When the Ask left.
    sent: Option<Instant>,
}

/// A frame that waits for the link to its next hop.
#[derive(Debug)]
struct Waiting {
    next_hop: PeerKey,
    to: Address,
    hop_limit: u8,
    trace: TraceId,
    hop: u32,
    since: Instant,
    /// For a Tell: the medium of the Ask's link.
    tell: Option<ConnectionType>,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            outbox: VecDeque::new(),
            tells_allowed: Allowance::new(TRACE_TELLS_PER_S),
        }
    }
}

impl Traces {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.open.values().map(|open| open.due).min()
    }

    /// The neighbour is gone, and what waited for it.
    pub(super) fn forget(&mut self, neighbour: &PeerKey) {
        self.outbox.retain(|waiting| waiting.next_hop != *neighbour);
    }

    fn new_id(&self, entropy: &mut dyn Entropy) -> TraceId {
        loop {
            let id = TraceId(u32::from_le_bytes(entropy::array(entropy)));
            if !self.open.contains_key(&id) {
                return id;
            }
        }
    }

    /// The next frame for a neighbour.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        own: &PeerKey,
        neighbour: &PeerKey,
        counters: &mut Counters,
    ) -> Option<DataFrame> {
        loop {
            let at = self.outbox.iter().position(|waiting| waiting.next_hop == *neighbour)?;
            let waiting = self.outbox.remove(at)?;
            let held = now.since(waiting.since);
            if held >= TRACE_HOP_TIMEOUT {
                // Nobody waits for it any more.
                counters.dropped_expired += 1;
                continue;
            }
            if waiting.tell.is_none()
                && let Some(open) = self.open.get_mut(&waiting.trace)
            {
                open.sent = Some(now);
            }
            return Some(waiting.frame(own, held));
        }
    }

    /// Takes the answer of a hop that was asked; `None` for any other frame.
    fn take(
        &mut self,
        now: Instant,
        own: &PeerKey,
        frame: &DataFrame,
    ) -> Option<(TraceId, u8, TraceHop)> {
        let DataFrame { header, tag, payload, .. } = frame;
        let trace = TraceId(header.session);
        let open = self.open.get(&trace)?;
        let (sent, number) = (open.sent?, open.hop);
        // What costs least is looked at first. The links vouch for the tag only.
        if u32::from(number) != header.packet_low
            || *tag != hash::prefix(Domain::Payload, &[payload])
        {
            return None;
        }
        let Tell { peer_key: peer, kind, held_us } = Tell::decode(payload)?;
        if peer.address() != header.source || peer == *own {
            return None;
        }
        let (rtt, held) = (now.since(sent), Duration::from_micros(held_us.into()));
        Some((trace, number, TraceHop { peer, kind, rtt, held: held.min(rtt) }))
    }
}

impl Waiting {
    fn frame(self, own: &PeerKey, held: Duration) -> DataFrame {
        let kind = if self.tell.is_some() { DataKind::TraceTell } else { DataKind::TraceAsk };
        let tell = self.tell.map(|kind| {
            let held_us = u32::try_from(held.as_micros()).unwrap_or(u32::MAX);
            Tell { peer_key: *own, kind, held_us }.encode()
        });
        let payload = tell.unwrap_or_default();
        let header = RoutingHeader {
            kind,
            congested: false,
            key_phase: false,
            hop_limit: self.hop_limit,
            lifetime_ms: RoutingHeader::lifetime(TRACE_HOP_TIMEOUT - held),
            source: own.address(),
            destination: self.to,
            session: self.trace.0,
            packet_low: self.hop,
        };
        let tag = hash::prefix(Domain::Payload, &[&payload]);
        DataFrame { lane: Lane::Realtime, header, tag, payload: BytesMut::from(&payload[..]) }
    }
}

impl Node {
    /// Asks the hops to a peer, one after the other, who they are. The answers come as
    /// [`Event::Trace`]; silent hops take 2 s each.
    ///
    /// # Errors
    /// [`TraceError`]; nothing was sent then.
    pub fn trace(&mut self, now: Instant, peer: PeerKey) -> Result<TraceId, TraceError> {
        let route = self.table.route(&peer).ok_or(TraceError::NoRoute)?;
        let hops_max = route.hop_limit();
        // One that is over counts until the host has heard of it.
        if self.traces.open.len() + self.outputs.traces_done() >= TRACES_MAX {
            self.counters.traces_refused += 1;
            return Err(TraceError::TooMany { limit: TRACES_MAX });
        }
        let id = self.traces.new_id(&mut self.entropy);
        let open = Open { peer, hop: 0, hops_max, due: now, sent: None };
        self.traces.open.insert(id, open);
        self.ask_next_hop(now, id);
        Ok(id)
    }

    /// Ends a trace without a word; one that is over already does no harm.
    pub fn cancel_trace(&mut self, trace: TraceId) {
        self.traces.open.remove(&trace);
        self.traces.outbox.retain(|waiting| waiting.tell.is_some() || waiting.trace != trace);
        self.outputs.cancel_trace(trace);
    }

    /// The peers on the way to `peer` as the graph has it, with `peer` as the last; empty
    /// without a route. What a trace finds may differ: each hop decides by its own graph.
    #[must_use]
    pub fn path_to(&self, peer: &PeerKey) -> Vec<PeerKey> {
        self.table.path(peer)
    }

    fn ask_next_hop(&mut self, now: Instant, trace: TraceId) {
        let Some(open) = self.traces.open.get_mut(&trace) else { return };
        if open.hop >= open.hops_max {
            self.end_trace(trace, TraceEnd::NoAnswer);
            return;
        }
        let (hop, to) = (open.hop + 1, open.peer.address());
        (open.hop, open.due, open.sent) = (hop, now + TRACE_HOP_TIMEOUT, None);
        let Some(route) = self.table.route(&open.peer) else {
            self.end_trace(trace, TraceEnd::NoRoute);
            return;
        };
        let next_hop = route.next_hop;
        let (hop_limit, hop) = (hop, hop.into());
        self.traces.outbox.retain(|waiting| waiting.tell.is_some() || waiting.trace != trace);
        let ask = Waiting { next_hop, to, hop_limit, trace, hop, since: now, tell: None };
        self.traces.outbox.push_back(ask);
    }

    fn end_trace(&mut self, trace: TraceId, end: TraceEnd) {
        self.cancel_trace(trace);
        self.outputs.trace_done(trace, end);
    }

    pub(super) fn expire_traces(&mut self, now: Instant) {
        let open = self.traces.open.iter();
        let due = open.filter(|(_, open)| open.due <= now).map(|(id, open)| (*id, open.hop));
        for (trace, number) in due.collect::<Vec<_>>() {
            self.outputs.event(Event::Trace(TraceEvent::Hop { trace, number, hop: None }));
            self.ask_next_hop(now, trace);
        }
    }

    /// An Ask whose hop limit ends here, or that is for this node.
    pub(super) fn on_trace_ask(&mut self, now: Instant, link: LinkId, header: &RoutingHeader) {
        let Some(route) = self.table.route_to(&header.source) else {
            self.counters.dropped_no_route += 1;
            return;
        };
        let Some(entry) = self.links.get(&link) else { return };
        // A link that takes nothing must not gather them second by second, nor keep others from
        // theirs with those that nobody waits for any more.
        let before = self.traces.outbox.len();
        self.traces.outbox.retain(|waiting| now.since(waiting.since) < TRACE_HOP_TIMEOUT);
        self.counters.dropped_expired += (before - self.traces.outbox.len()) as u64;
        let waiting = self.traces.outbox.iter().filter(|waiting| waiting.tell.is_some()).count();
        let full = u32::try_from(waiting).is_ok_and(|waiting| waiting >= TRACE_TELLS_PER_S);
        if full || !self.traces.tells_allowed.take(now) {
            self.counters.trace_tells_over_rate += 1;
            return;
        }
        self.traces.outbox.push_back(Waiting {
            next_hop: route.next_hop,
            to: header.source,
            hop_limit: route.hop_limit(),
            trace: TraceId(header.session),
            hop: header.packet_low,
            since: now,
            tell: Some(entry.kind.clone()),
        });
    }

    pub(super) fn on_trace_tell(&mut self, now: Instant, frame: &DataFrame) {
        let Some((trace, number, hop)) = self.traces.take(now, &self.local.peer_key(), frame)
        else {
            self.counters.trace_tells_ignored += 1;
            return;
        };
        let arrived = self.traces.open.get(&trace).is_some_and(|open| open.peer == hop.peer);
        self.outputs.event(Event::Trace(TraceEvent::Hop { trace, number, hop: Some(hop) }));
        if arrived {
            self.end_trace(trace, TraceEnd::Arrived);
        } else {
            self.ask_next_hop(now, trace);
        }
    }
}
