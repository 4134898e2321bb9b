//! What the layers have to send over one link.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::Node;
use super::neighbour::Neighbour;
use super::trace::Traces;
use super::usage::Load;
use crate::advert::{Carrier, Database};
use crate::bus::Bus;
use crate::counters::Counters;
use crate::entropy::Entropy;
use crate::id::{LinkId, PeerKey};
use crate::link::Source;
use crate::presence::Bodies;
use crate::route::Next;
use crate::time::Instant;
use crate::wire::control::{Control, ENVELOPE_BYTES_MAX};
use crate::wire::frame::{DataFrame, DataHead};
use crate::wire::lane::Lane;

/// The most bytes of an enveloped piece of metadata.
const CHUNK_BYTES: usize = ENVELOPE_BYTES_MAX + 32 + 5 + 3 + 1_024;

/// The answers of adverts, metadata, relayed frames and the Bus, for the link that carries a
/// neighbour's data.
struct Layers<'a> {
    now: Instant,
    link: LinkId,
    peer: PeerKey,
    database: &'a Database,
    carrier: Carrier,
    neighbour: &'a mut Neighbour,
    bodies: &'a mut Bodies,
    bus: &'a mut Bus,
    own_key: PeerKey,
    traces: &'a mut Traces,
    entropy: &'a mut dyn Entropy,
    counters: &'a mut Counters,
    too_big: Vec<(DataFrame, usize)>,
    /// The data that was given.
    load: Load,
}

/// A link that carries nothing but its own keepalives: it is ready, another one is cheaper.
struct Idle;

impl Source for Idle {
    fn control(&mut self, _: Lane, _: usize, _: &mut Vec<u8>) {}

    fn data(&mut self, _: Lane, _: usize, _: &mut BytesMut) -> Option<DataHead> {
        None
    }
}

impl Source for Layers<'_> {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        match lane {
            Lane::Control => {
                self.neighbour.sync.fill(self.now, self.database, &self.carrier, room, out);
            }
            Lane::Bulk => {
                if room >= CHUNK_BYTES
                    && let Some(chunk) = self.bodies.poll_chunk(&self.peer)
                {
                    Control::BodyChunk(chunk).encode(out);
                }
            }
            Lane::Realtime | Lane::Normal => {}
        }
    }

    fn data(
        &mut self,
        lane: Lane,
        payload_bytes_max: usize,
        out: &mut BytesMut,
    ) -> Option<DataHead> {
        self.neighbour.relay_turn = !self.neighbour.relay_turn;
        let head = if self.neighbour.relay_turn {
            self.relayed(lane, payload_bytes_max, out)
                .or_else(|| self.own(lane, payload_bytes_max, out))
        } else {
            self.own(lane, payload_bytes_max, out)
                .or_else(|| self.relayed(lane, payload_bytes_max, out))
        }?;
        self.neighbour.sync.on_data(self.now);
        self.load = self.load.max(Load::Own);
        Some(head)
    }
}

impl Layers<'_> {
    fn own(
        &mut self,
        lane: Lane,
        payload_bytes_max: usize,
        out: &mut BytesMut,
    ) -> Option<DataHead> {
        if lane == Lane::Realtime
            && let Some(frame) =
                self.traces.poll(self.now, &self.own_key, &self.peer, self.counters)
        {
            return Some(frame.write(out));
        }
        self.bus.poll_transmit(self.now, self.entropy, self.link, lane, payload_bytes_max, out)
    }

    fn relayed(
        &mut self,
        lane: Lane,
        payload_bytes_max: usize,
        out: &mut BytesMut,
    ) -> Option<DataHead> {
        loop {
            match self.neighbour.relay.pop(self.now, lane, payload_bytes_max)? {
                Next::Frame(frame) => {
                    self.load = Load::OfOthers;
                    return Some(frame.write(out));
                }
                Next::Expired => self.counters.dropped_expired += 1,
                Next::TooBig(frame) => self.too_big.push((frame, payload_bytes_max)),
            }
        }
    }
}

impl Node {
    pub(super) fn pull(&mut self, now: Instant, link: LinkId) -> Option<Bytes> {
        let peer = self.links.get(&link)?.peer;
        let neighbour = peer.and_then(|peer| self.neighbours.get_mut(&peer.key));
        let entry = self.links.get_mut(&link)?;
        let (Some(peer), Some(neighbour)) = (peer, neighbour) else {
            return entry.link.poll_transmit(now, &mut Idle);
        };
        if neighbour.active() != Some(link) {
            let bytes = entry.link.poll_transmit(now, &mut Idle);
            self.note_pull(now, link, Load::None);
            return bytes;
        }
        let own_key = self.local.peer_key();
        let carrier = Carrier {
            key: peer.hash,
            rate_bytes_per_s: entry.cost.rate_bytes_per_s(),
            begins: own_key < peer.key,
        };
        let mut layers = Layers {
            now,
            link,
            peer: peer.key,
            carrier,
            database: &self.database,
            neighbour,
            bodies: &mut self.bodies,
            bus: &mut self.bus,
            own_key,
            traces: &mut self.traces,
            entropy: &mut self.entropy,
            counters: &mut self.counters,
            too_big: Vec::new(),
            load: Load::None,
        };
        let bytes = entry.link.poll_transmit(now, &mut layers);
        let (too_big, load) = (core::mem::take(&mut layers.too_big), layers.load);
        self.note_pull(now, link, load);
        for (frame, limit) in too_big {
            self.refuse_too_big(now, &frame, limit);
        }
        bytes
    }
}
