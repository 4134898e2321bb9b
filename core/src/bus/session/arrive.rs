//! Packets that arrive, and what their frames do.

use bytes::{Bytes, BytesMut};

use super::{Due, Session, at};
use crate::bus::arrivals::Asks;
use crate::bus::control::Control;
use crate::bus::datagrams::Assembled;
use crate::bus::event::{BusEvent, Reliability, StreamId};
use crate::bus::frame::{Ack, Frame};
use crate::bus::outgoing::Reported;
use crate::bus::reason::{FailReason, Outcome, RejectReason, SessionEnd, StreamEnd};
use crate::bus::recovery::Item;
use crate::bus::shared::Shared;
use crate::bus::stream::{LooseFinish, Name, Phase, Stream};
use crate::crypto::aead::Tag;
use crate::io::Lane;
use crate::limits::{
    EVENTS_MAX, OPEN_ARGS_BYTES_MAX, SESSION_CHECK_AFTER, STREAM_NUMBER_GAPS_MAX, TOPIC_BYTES_MAX,
};
use crate::time::Instant;
use crate::wire::routing::RoutingHeader;

/// What becomes of the session after a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus) enum Verdict {
    GoesOn,
    /// The peer broke the protocol.
    Broken,
    /// The peer said goodbye.
    Ended(SessionEnd),
}

/// The peer broke the protocol.
struct Violation;

/// How a packet came.
#[derive(Clone, Copy, Debug)]
pub(in crate::bus) struct Arrival<'a> {
    pub(in crate::bus) now: Instant,
    pub(in crate::bus) lane: Lane,
    pub(in crate::bus) header: &'a RoutingHeader,
    pub(in crate::bus) tag: &'a Tag,
    pub(in crate::bus) hops: u8,
}

impl Session {
    /// Takes a packet for one of the session's indices.
    pub(in crate::bus) fn handle_packet(
        &mut self,
        cx: &mut Shared,
        arrival: &Arrival<'_>,
        mut payload: BytesMut,
    ) -> Verdict {
        let Arrival { lane, header, tag, .. } = *arrival;
        if self.closing.is_some() {
            return Verdict::GoesOn;
        }
        let number = self.lanes[at(lane)].arrivals.expand(header.packet_low);
        if !self.lanes[at(lane)].arrivals.is_new(number) {
            cx.counters.packets_replayed += 1;
            return Verdict::GoesOn;
        }
        let previous = self.previous.as_ref().map(|(keys, _)| keys);
        let keys = self.keys.iter().chain(previous).find(|keys| keys.local_index == header.session);
        let opened = keys.is_some_and(|k| k.open(number, lane, &mut payload, tag).is_ok());
        if !opened {
            cx.counters.packets_broken += 1;
            return Verdict::GoesOn;
        }
        self.handle_opened(cx, arrival, number, payload.freeze())
    }

    /// Takes a packet that is authentic.
    pub(in crate::bus) fn handle_opened(
        &mut self,
        cx: &mut Shared,
        arrival: &Arrival<'_>,
        number: u64,
        mut packet: Bytes,
    ) -> Verdict {
        let Arrival { now, lane, header, .. } = *arrival;
        cx.counters.packets_received += 1;
        self.check_at = now + SESSION_CHECK_AFTER;
        let mut asks = Asks::Nothing;
        loop {
            let frame = match Frame::decode(&mut packet) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return Verdict::Broken,
            };
            if let Frame::Close { .. } = frame {
                return Verdict::Ended(SessionEnd::ClosedByRemote);
            }
            asks = asks.max(match frame {
                Frame::Ack(_) => Asks::Nothing,
                Frame::Ping => Asks::AtOnce,
                _ => Asks::InTime,
            });
            if self.handle_frame(cx, arrival, frame).is_err() {
                return Verdict::Broken;
            }
        }
        self.lanes[at(lane)].arrivals.note(now, number, asks, header.congested);
        self.tell_writable(cx);
        Verdict::GoesOn
    }

    fn handle_frame(
        &mut self,
        cx: &mut Shared,
        arrival: &Arrival<'_>,
        frame: Frame,
    ) -> Result<(), Violation> {
        let Arrival { now, lane, hops, .. } = *arrival;
        match frame {
            Frame::Ping | Frame::Close { .. } => {}
            Frame::Skipped { .. } => cx.counters.frames_unknown += 1,
            Frame::Ack(ack) => self.on_ack(cx, arrival, &ack)?,
            Frame::Data { stream, offset, fin, bytes } => {
                self.on_data(cx, now, (lane, stream), offset, (bytes, fin))?;
            }
            Frame::Datagram { stream, message, total, offset, bytes } => {
                let name = (stream, message);
                self.on_datagram(cx, now, lane, name, (total, offset), bytes)?;
            }
            Frame::Window { stream, limit } => match self.streams.get_mut(&(lane, stream)) {
                Some(found) => {
                    found.outgoing.on_window(limit);
                    self.queue_stream((lane, stream));
                }
                None => cx.counters.frames_stale += 1,
            },
            Frame::Delivered { stream, count } => {
                self.on_delivered(cx, now, (lane, stream), count, hops)?;
            }
            Frame::Rejected { sequence, reason } => self.on_rejected(cx, lane, sequence, reason),
            Frame::Open { stream, reliability, topic, args } => {
                self.on_open(cx, (lane, stream), reliability, topic, args)?;
            }
            Frame::Accept { stream, args } => self.on_accept(cx, (lane, stream), args),
            Frame::Refuse { stream, reason } => {
                self.close_stream(cx, (lane, stream), StreamEnd::Rejected(reason));
            }
            Frame::Reset { stream, code } => {
                if self.is_remote(stream) {
                    self.note_used(stream)?;
                }
                self.close_stream(cx, (lane, stream), StreamEnd::Reset { code });
            }
            Frame::Finish { stream } => match self.streams.get_mut(&(lane, stream)) {
                Some(found) if found.reliability == Reliability::Unreliable => {
                    found.loose.remote_finished = true;
                    self.tell_finished(cx, (lane, stream));
                }
                Some(_) => return Err(Violation),
                None => cx.counters.frames_stale += 1,
            },
        }
        Ok(())
    }

    fn on_ack(
        &mut self,
        cx: &mut Shared,
        arrival: &Arrival<'_>,
        ack: &Ack,
    ) -> Result<(), Violation> {
        let Arrival { now, lane, hops, .. } = *arrival;
        let state = &mut self.lanes[at(lane)];
        let acked = state.recovery.on_ack(now, ack).map_err(|_| Violation)?;
        if let Some(sample) = acked.sample {
            state.rtt.update(sample, ack.delay());
        }
        self.congestion.on_marked(acked.marks);
        let is_answered = !acked.packets.is_empty();
        // An answer to a ping or a check tells that the other end lives, and moves nothing.
        let moves = |item: &Item| matches!(item, Item::Data { .. } | Item::Control(_));
        if acked.packets.iter().any(|packet| packet.items.iter().any(moves)) {
            self.last_progress = now;
        }
        let last = acked.packets.len().saturating_sub(1);
        for (index, packet) in acked.packets.into_iter().enumerate() {
            let sample = acked.sample.filter(|_| index == last);
            let sample = sample.map(|sample| sample.saturating_sub(ack.delay()));
            self.congestion.on_acked(now, packet.bytes, packet.at, sample);
            for item in packet.items {
                if let Item::Ping(id) = item {
                    self.on_pong(cx, id, now.since(packet.at), hops);
                } else {
                    self.on_acked_item(cx, lane, item);
                }
            }
        }
        if is_answered {
            self.lanes[at(lane)].probes = 0;
            self.detect_lost(cx, now, lane);
            self.waiting_since = self.is_outstanding().then_some(now);
        }
        Ok(())
    }

    fn on_acked_item(&mut self, cx: &mut Shared, lane: Lane, item: Item) {
        match item {
            Item::Ack { largest } => self.lanes[at(lane)].arrivals.on_ack_acked(largest),
            Item::Data { stream, range, fin } => {
                if let Some(found) = self.streams.get_mut(&(lane, stream)) {
                    found.outgoing.on_acked(&range, fin);
                    self.tell_stream_writable(cx, (lane, stream));
                    self.close_if_done(cx, (lane, stream));
                }
            }
            Item::Control(Control::Delivered(stream, count)) => {
                if let Some(found) = self.streams.get_mut(&(lane, stream)) {
                    found.settled.on_heard(count);
                    self.close_if_done(cx, (lane, stream));
                }
            }
            Item::Control(Control::Rejected(sequence, _)) => {
                if let Some(found) = self.streams.get_mut(&(lane, 0)) {
                    found.settled.on_rejection_heard(sequence);
                    if found.settled.has_news() {
                        self.queue_control(lane, Control::Delivered(0, 0));
                    }
                }
            }
            Item::Control(Control::Finish(stream)) => {
                if let Some(found) = self.streams.get_mut(&(lane, stream)) {
                    found.loose.finish = LooseFinish::Acked;
                    self.close_if_done(cx, (lane, stream));
                }
            }
            Item::Control(_) | Item::Ping(_) => {}
        }
    }

    fn on_data(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        name: Name,
        offset: u64,
        (bytes, fin): (Bytes, bool),
    ) -> Result<(), Violation> {
        let Some(stream) = self.streams.get_mut(&name) else {
            cx.counters.frames_stale += 1;
            return if self.was_used(name.1) { Ok(()) } else { Err(Violation) };
        };
        if stream.reliability == Reliability::Unreliable || (fin && name.1 == 0) {
            return Err(Violation);
        }
        let news = stream.incoming.receive(offset, bytes, fin).map_err(|_| Violation)?;
        if stream.incoming.is_cut() {
            return Err(Violation);
        }
        self.count_unread(cx, name);
        if fin {
            // The sender waits for the last word on this stream.
            let state = &mut self.lanes[at(name.0)];
            state.tell_at = state.tell_at.map(|_| now);
        }
        if news {
            self.widen(cx, now, name);
            self.tell_readable(cx, name);
            self.tell_finished(cx, name);
        }
        Ok(())
    }

    fn on_datagram(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        lane: Lane,
        (number, message): (u64, u64),
        extent: (u64, u64),
        bytes: Bytes,
    ) -> Result<(), Violation> {
        let name = (lane, number);
        match self.streams.get(&name) {
            Some(stream) if number != 0 && stream.reliability == Reliability::Reliable => {
                return Err(Violation);
            }
            Some(_) => {}
            None => {
                cx.counters.frames_stale += 1;
                return Ok(());
            }
        }
        let max = cx.config.unreliable_bytes_max;
        let assembly = &mut self.lanes[at(lane)].assembly;
        match assembly.receive(now, (number, message), extent, bytes, max) {
            Assembled::Malformed => return Err(Violation),
            Assembled::Waiting { dropped } => cx.counters.unreliable_incomplete += dropped,
            Assembled::Whole(data) => {
                cx.counters.unreliable_received += 1;
                if number == 0 {
                    cx.receive_loose(self.peer, lane, message, data);
                } else {
                    self.receive_loose(cx, name, data);
                }
            }
        }
        Ok(())
    }

    fn receive_loose(&mut self, cx: &mut Shared, name: Name, data: Bytes) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        let loose = &mut stream.loose;
        loose.bytes += data.len();
        loose.queue.push_back(data);
        while loose.queue.len() > cx.config.inbox_messages_max
            || loose.bytes > cx.config.inbox_bytes_max.max(cx.config.unreliable_bytes_max)
        {
            let Some(oldest) = loose.queue.pop_front() else { break };
            loose.bytes -= oldest.len();
            cx.counters.unreliable_inbox_full += 1;
        }
        self.tell_readable(cx, name);
    }

    fn on_delivered(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        name: Name,
        count: u64,
        hops: u8,
    ) -> Result<(), Violation> {
        let Some(stream) = self.streams.get_mut(&name) else {
            cx.counters.frames_stale += 1;
            return Ok(());
        };
        let before = stream.outgoing.delivered();
        let (peer, id) = (self.peer, stream.id);
        let due_of = &mut self.due_of;
        let deadlines = &mut self.deadlines;
        stream
            .outgoing
            .on_delivered(count, |sequence, message| {
                let Some(id) = message.id else { return };
                if let Some(due) = due_of.remove(&id) {
                    deadlines.remove(&due);
                }
                if message.outcome == Reported::No {
                    let rtt = now.since(message.first_sent.unwrap_or(now));
                    cx.report(id, peer, Outcome::Delivered { rtt, sequence, hops });
                }
            })
            .map_err(|_| Violation)?;
        if let Some(id) = id.filter(|_| stream.outgoing.delivered() > before) {
            cx.events.push_acked(id, stream.outgoing.delivered());
        }
        self.last_progress = now;
        self.close_if_done(cx, name);
        Ok(())
    }

    fn on_rejected(&mut self, cx: &mut Shared, lane: Lane, sequence: u64, reason: RejectReason) {
        let Some(stream) = self.streams.get_mut(&(lane, 0)) else { return };
        let Some(message) = stream.outgoing.pending_at(sequence) else { return };
        let Some(id) = message.id else { return };
        if core::mem::replace(&mut message.outcome, Reported::Yes) == Reported::No {
            cx.report(id, self.peer, Outcome::NotDelivered(FailReason::Rejected(reason)));
        }
        if let Some(due) = self.due_of.remove(&id) {
            self.deadlines.remove(&due);
        }
    }

    fn on_open(
        &mut self,
        cx: &mut Shared,
        name: Name,
        reliability: Reliability,
        topic: Bytes,
        args: Bytes,
    ) -> Result<(), Violation> {
        let (lane, number) = name;
        if !self.is_remote(number)
            || topic.len() > TOPIC_BYTES_MAX
            || args.len() > OPEN_ARGS_BYTES_MAX
        {
            return Err(Violation);
        }
        if self.used.contains(number / 2) {
            return Ok(());
        }
        self.note_used(number)?;
        let full = self.streams.len() >= cx.config.streams_per_peer_max + self.lanes.len();
        if full || cx.events.len() >= EVENTS_MAX || cx.streams.len() >= cx.config.streams_max {
            cx.counters.streams_refused += 1;
            self.queue_control(lane, Control::Refuse(number, RejectReason::TooManyStreams));
            return Ok(());
        }
        let id = StreamId(cx.next_number());
        let max = cx.config.message_bytes_max;
        self.streams.insert(name, Stream::new(Some(id), reliability, Phase::Offered, max));
        cx.streams.insert(id, (self.peer, name));
        // Copies, so that an offer does not hold its whole packet.
        let [topic, args] = [topic, args].map(|bytes| Bytes::copy_from_slice(&bytes));
        let peer = self.peer;
        cx.events.push(BusEvent::StreamOffered { id, peer, topic, reliability, lane, args });
        Ok(())
    }

    fn on_accept(&mut self, cx: &mut Shared, name: Name, args: Bytes) {
        let Some(stream) = self.streams.get_mut(&name) else {
            cx.counters.frames_stale += 1;
            return;
        };
        let (Phase::Opening, Some(id)) = (stream.phase, stream.id) else { return };
        stream.phase = Phase::Open;
        (stream.topic, stream.args) = (Bytes::new(), Bytes::new());
        let args = Bytes::copy_from_slice(&args);
        cx.events.push(BusEvent::StreamOpened { id, args });
        self.deadlines.retain(|(_, due)| *due != Due::Open(name));
        self.queue_stream(name);
        self.tell_stream_writable(cx, name);
        self.tell_readable(cx, name);
        self.tell_finished(cx, name);
    }

    /// Whether a stream number is one that the peer gives.
    fn is_remote(&self, number: u64) -> bool {
        number != 0 && number % 2 != self.next_stream % 2
    }

    fn was_used(&self, number: u64) -> bool {
        if self.is_remote(number) {
            self.used.contains(number / 2)
        } else {
            number != 0 && number < self.next_stream
        }
    }

    fn note_used(&mut self, number: u64) -> Result<(), Violation> {
        self.used.insert(number / 2..number / 2 + 1);
        if self.used.count() > STREAM_NUMBER_GAPS_MAX { Err(Violation) } else { Ok(()) }
    }
}
