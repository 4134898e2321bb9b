//! Packets that leave: what goes in, and in which turn.

use alloc::vec::Vec;

use bytes::BytesMut;

use super::{LaneState, Session, at};
use crate::bus::config::{DataHead, Path};
use crate::bus::control::Control;
use crate::bus::frame::{self, DATA_HEADER_MAX, Frame};
use crate::bus::recovery::{Item, Sent};
use crate::bus::shared::Shared;
use crate::crypto::aead::TAG_BYTES;
use crate::io::Lane;
use crate::limits::{FRAME_LIFETIME, REKEY_AFTER, REKEY_PACKETS};
use crate::time::{Duration, Instant};
use crate::wire::routing::{DataKind, ROUTING_HEADER_BYTES, RoutingHeader};

/// A packet under construction, at the end of what its link sends next.
struct Packet<'a> {
    bytes: &'a mut BytesMut,
    /// Where it starts, and where it ends at the latest.
    start: usize,
    end_max: usize,
    items: Vec<Item>,
    /// How long the mesh may carry it; `None`: holds nothing that asks for an answer.
    life: Option<Duration>,
}

impl Session {
    /// Whether [`Self::poll_packet`] would give a packet, apart from sizes.
    pub(in crate::bus) fn wants(&self, now: Instant, lane: Lane) -> bool {
        if !self.can_seal() {
            return false;
        }
        if self.closing.is_some() {
            return lane == Lane::Normal;
        }
        let state = &self.lanes[at(lane)];
        let pings = lane == Lane::Realtime && self.pings.wait();
        state.arrivals.is_due(now)
            || ((pings || self.has_content(now, state)) && self.may_send(lane))
    }

    fn has_content(&self, now: Instant, state: &LaneState) -> bool {
        state.probes > 0
            || state.tell_at.is_some_and(|at| at <= now)
            || !state.control.is_empty()
            || !state.ready.is_empty()
            || !state.departures.is_empty()
    }

    /// Whether messages or data of streams wait, whatever holds them back but the other end's
    /// credit.
    pub(in crate::bus) fn has_data(&self) -> bool {
        let waits = |state: &LaneState| !state.ready.is_empty() || !state.departures.is_empty();
        self.can_seal() && self.lanes.iter().any(waits)
    }

    /// Whether some of it would go now.
    pub(in crate::bus) fn may_send_data(&self) -> bool {
        Lane::DATA.into_iter().any(|lane| {
            let state = &self.lanes[at(lane)];
            (!state.ready.is_empty() || !state.departures.is_empty()) && self.may_send(lane)
        })
    }

    /// How many bytes of it there are.
    pub(in crate::bus) fn waiting_bytes(&self) -> u64 {
        let of = |lane: Lane| {
            let state = &self.lanes[at(lane)];
            let ready = state.ready.iter().filter_map(|number| self.streams.get(&(lane, *number)));
            let streams: u64 = ready.map(|stream| stream.outgoing.waiting()).sum();
            streams + state.departures.bytes() as u64
        };
        Lane::DATA.into_iter().map(of).sum()
    }

    fn may_send(&self, lane: Lane) -> bool {
        let state = &self.lanes[at(lane)];
        let room = self.congestion.has_room(lane == Lane::Realtime) || state.probes > 0;
        room && !state.recovery.is_full()
    }

    /// The next packet of a lane, of at most `bytes_max` bytes; appended to `out`.
    pub(in crate::bus) fn poll_packet(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        path: &Path,
        lane: Lane,
        bytes_max: usize,
        out: &mut BytesMut,
    ) -> Option<DataHead> {
        let start = out.len();
        if let Some(reason) = self.closing {
            if !self.wants(now, lane) {
                return None;
            }
            Frame::Close { reason }.encode(out);
            return self.seal(cx, path, lane, &mut out[start..], FRAME_LIFETIME);
        }
        let state = &mut self.lanes[at(lane)];
        cx.counters.unreliable_expired += state.departures.expire(now);
        if !self.wants(now, lane) {
            return None;
        }
        let bytes_max = bytes_max.min(self.told_bytes_max);
        out.reserve(self.expected_bytes(lane).min(bytes_max));
        let end_max = start + bytes_max;
        let mut packet = Packet { bytes: out, start, end_max, items: Vec::new(), life: None };
        if let Some(ack) = self.lanes[at(lane)].arrivals.take_ack(now) {
            packet.items.push(Item::Ack { largest: ack.largest() });
            Frame::Ack(ack).encode(packet.bytes);
        }
        if lane == Lane::Realtime && self.pings.wait() && self.may_send(lane) {
            self.put_ping(now, &mut packet);
        } else if self.may_send(lane) {
            self.put_control(lane, &mut packet);
            self.put_payload(now, lane, &mut packet);
            self.put_request(lane, &mut packet);
        }
        if packet.bytes.len() == start {
            return None;
        }
        self.note_sent(now, lane, &mut packet);
        let life = packet.life.unwrap_or(FRAME_LIFETIME);
        self.seal(cx, path, lane, &mut out[start..], life)
    }

    /// Nothing goes beside a ping: it measures the way, not what else there is to send.
    fn put_ping(&mut self, now: Instant, packet: &mut Packet) {
        let (ids, due) = self.pings.take_waiting();
        packet.items.extend(ids.into_iter().map(Item::Ping));
        packet.life = due.map(|due| due.since(now).min(FRAME_LIFETIME));
        Frame::Ping.encode(packet.bytes);
    }

    /// Roughly what the next packet holds, so that small ones do not allocate large ones.
    fn expected_bytes(&self, lane: Lane) -> usize {
        let state = &self.lanes[at(lane)];
        let held = state.ready.iter().take(4).filter_map(|&n| self.streams.get(&(lane, n)));
        let data: u64 = held.map(|stream| stream.outgoing.held()).sum();
        usize::try_from(data).unwrap_or(usize::MAX).saturating_add(state.departures.bytes() + 256)
    }

    fn note_sent(&mut self, now: Instant, lane: Lane, packet: &mut Packet<'_>) {
        let state = &mut self.lanes[at(lane)];
        if packet.life.is_none() {
            return;
        }
        state.probes = state.probes.saturating_sub(1);
        let payload = packet.bytes.len() - packet.start;
        let bytes = (payload + TAG_BYTES + ROUTING_HEADER_BYTES) as u64;
        self.congestion.on_sent(now, bytes);
        self.waiting_since.get_or_insert(now);
        let items = core::mem::take(&mut packet.items);
        state.recovery.note(Sent { at: now, bytes, items });
    }

    fn seal(
        &mut self,
        cx: &mut Shared,
        path: &Path,
        lane: Lane,
        payload: &mut [u8],
        life: Duration,
    ) -> Option<DataHead> {
        let state = &mut self.lanes[at(lane)];
        let number = state.recovery.take_number();
        let keys = self.keys.as_mut()?;
        let tag = keys.seal(number, lane, payload);
        cx.counters.packets_sent += 1;
        let header = RoutingHeader {
            kind: DataKind::Packet,
            congested: false,
            key_phase: keys.phase,
            hop_limit: path.hop_limit,
            lifetime_ms: RoutingHeader::lifetime(life),
            source: keys.local,
            destination: keys.remote,
            session: keys.remote_index,
            #[allow(clippy::cast_possible_truncation)]
            packet_low: number as u32,
        };
        Some(DataHead { lane, header, tag })
    }

    /// Whether the keys have served long enough.
    pub(in crate::bus) fn wants_rekey(&self, now: Instant) -> bool {
        self.closing.is_none()
            && self.keys.as_ref().is_some_and(|keys| {
                keys.sealed > 0
                    && (keys.sealed >= REKEY_PACKETS || now.since(keys.made) >= REKEY_AFTER)
            })
    }

    /// Asks for an acknowledgement at once: for a probe, for each part of the window, and when
    /// the window is used up.
    fn put_request(&mut self, lane: Lane, packet: &mut Packet<'_>) {
        let state = &mut self.lanes[at(lane)];
        if packet.life.is_some() {
            let bytes = (packet.bytes.len() - packet.start) as u64;
            state.unasked += bytes;
            let asks = state.probes > 0 || self.congestion.asks(state.unasked, bytes);
            if !asks || packet.bytes.len() >= packet.end_max {
                return;
            }
        } else if state.probes == 0 {
            return;
        }
        state.unasked = 0;
        Frame::Ping.encode(packet.bytes);
        packet.life = packet.life.or(Some(FRAME_LIFETIME));
    }

    fn put_control(&mut self, lane: Lane, packet: &mut Packet<'_>) {
        let state = &mut self.lanes[at(lane)];
        state.control.extend(state.told_later.drain(..).map(|n| Control::Delivered(n, 0)));
        state.tell_at = None;
        for _ in 0..self.lanes[at(lane)].control.len() {
            let Some(control) = self.lanes[at(lane)].control.pop_front() else { return };
            if matches!(control, Control::Finish(n) if self.lanes[at(lane)].departures.holds(n)) {
                self.lanes[at(lane)].control.push_back(control);
                continue;
            }
            let Some((frame, item)) = self.frame_of(lane, control) else { continue };
            let before = packet.bytes.len();
            frame.encode(packet.bytes);
            if packet.bytes.len() > packet.end_max {
                packet.bytes.truncate(before);
                self.lanes[at(lane)].control.push_front(control);
                return;
            }
            self.mark_unqueued(lane, control);
            packet.items.push(Item::Control(item));
            packet.life = Some(FRAME_LIFETIME);
        }
    }

    fn mark_unqueued(&mut self, lane: Lane, control: Control) {
        match control {
            Control::Window(n) => {
                self.streams.get_mut(&(lane, n)).into_iter().for_each(|s| s.window_queued = false);
            }
            Control::Delivered(n, _) => {
                self.streams
                    .get_mut(&(lane, n))
                    .into_iter()
                    .for_each(|s| s.delivered_queued = false);
            }
            _ => {}
        }
    }

    /// The frame of a control with its newest value, and what to remember of it.
    fn frame_of(&mut self, lane: Lane, control: Control) -> Option<(Frame, Control)> {
        let frame = match control {
            Control::Open(stream) => {
                let found = self.streams.get(&(lane, stream))?;
                Frame::Open {
                    stream,
                    reliability: found.reliability,
                    topic: found.topic.clone(),
                    args: found.args.clone(),
                }
            }
            Control::Accept(stream) => {
                Frame::Accept { stream, args: self.streams.get(&(lane, stream))?.args.clone() }
            }
            Control::Refuse(stream, reason) => Frame::Refuse { stream, reason },
            Control::Reset(stream, code) => Frame::Reset { stream, code },
            Control::Finish(stream) => {
                self.streams.get(&(lane, stream))?;
                Frame::Finish { stream }
            }
            Control::Window(stream) => {
                let limit = self.streams.get(&(lane, stream))?.incoming.limit();
                Frame::Window { stream, limit }
            }
            Control::Delivered(stream, last) => {
                let count = match self.streams.get_mut(&(lane, stream)) {
                    Some(found) => found.settled.on_told(),
                    // The last word on a stream that was reset.
                    None if last > 0 => last,
                    None => return None,
                };
                return Some((
                    Frame::Delivered { stream, count },
                    Control::Delivered(stream, count),
                ));
            }
            Control::Rejected(sequence, reason) => Frame::Rejected { sequence, reason },
        };
        Some((frame, control))
    }

    /// Unreliable messages and stream data, which goes first in turn.
    fn put_payload(&mut self, now: Instant, lane: Lane, packet: &mut Packet<'_>) {
        let data_first = self.lanes[at(lane)].data_first;
        if data_first {
            self.put_data(now, lane, packet);
        }
        let state = &mut self.lanes[at(lane)];
        let life = state.departures.write(now, packet.bytes, packet.end_max);
        packet.life = packet.life.max(life);
        state.data_first = !data_first;
        if !data_first {
            self.put_data(now, lane, packet);
        }
    }

    fn put_data(&mut self, now: Instant, lane: Lane, packet: &mut Packet<'_>) {
        while let Some(number) = self.lanes[at(lane)].ready.pop_front() {
            let Some(stream) = self.streams.get_mut(&(lane, number)) else { continue };
            let mut served = false;
            while stream.may_send() {
                let room = packet.end_max.saturating_sub(packet.bytes.len() + DATA_HEADER_MAX);
                // Not worth a header; the next packet has room.
                if room < 16 {
                    let ready = &mut self.lanes[at(lane)].ready;
                    if served {
                        ready.push_back(number)
                    } else {
                        ready.push_front(number)
                    }
                    return;
                }
                let Some(piece) = stream.outgoing.next_piece(now, room as u64) else { break };
                let length = (piece.range.end - piece.range.start) as usize;
                frame::put_data(packet.bytes, number, piece.range.start, piece.fin, length);
                stream.outgoing.copy(&piece.range, packet.bytes);
                let item = Item::Data { stream: number, range: piece.range, fin: piece.fin };
                packet.items.push(item);
                packet.life = Some(FRAME_LIFETIME);
                served = true;
            }
            stream.queued = false;
        }
    }
}
