//! What the application does with messages and streams, and what it is told.

use bytes::Bytes;

use super::{Due, Session, at};
use crate::bus::control::Control;
use crate::bus::error::{NoSuchStream, SendError, StreamSendError};
use crate::bus::event::{BusEvent, MessageId, Reliability, StreamId, StreamOpen};
use crate::bus::reason::{RejectReason, StreamEnd};
use crate::bus::shared::Shared;
use crate::bus::stream::{LooseFinish, Name, Phase, Stream};
use crate::io::Lane;
use crate::time::{Duration, Instant};

impl Session {
    /// The largest message of a kind that both ends admit.
    pub(in crate::bus) fn bytes_max(&self, cx: &Shared, reliability: Reliability) -> usize {
        let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        match reliability {
            Reliability::Reliable => {
                let theirs = self.remote.as_ref().map(|hello| size(hello.message_bytes_max));
                cx.config.message_bytes_max.min(theirs.unwrap_or(usize::MAX))
            }
            Reliability::Unreliable => {
                let theirs = self.remote.as_ref().map(|hello| size(hello.unreliable_bytes_max));
                cx.config.unreliable_bytes_max.min(theirs.unwrap_or(usize::MAX))
            }
        }
    }

    fn held_by_messages(&self) -> u64 {
        let held = |lane| self.streams.get(&(lane, 0)).map_or(0, |s| s.outgoing.held());
        Lane::DATA.into_iter().map(held).sum()
    }

    pub(in crate::bus) fn send_reliable(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        lane: Lane,
        data: Bytes,
        give_up: Option<Duration>,
    ) -> Result<MessageId, SendError> {
        let held = self.held_by_messages();
        if held > 0 && held + data.len() as u64 > cx.config.send_bytes_max as u64 {
            self.blocked = true;
            return Err(SendError::Busy);
        }
        if cx.events.outcomes_owed >= cx.config.outcomes_max {
            self.blocked = true;
            return Err(SendError::Busy);
        }
        let messages = self.streams.get_mut(&(lane, 0)).ok_or(SendError::ControlLane)?;
        let id = MessageId(cx.next_number());
        cx.events.outcomes_owed += 1;
        messages.outgoing.write(data, Some(id));
        let due = Due::Message { lane, id, hard: give_up.is_some() };
        let entry = (now + give_up.unwrap_or(cx.config.give_up), due);
        self.deadlines.insert(entry);
        self.due_of.insert(id, entry);
        self.queue_stream((lane, 0));
        Ok(id)
    }

    pub(in crate::bus) fn send_unreliable(
        &mut self,
        cx: &Shared,
        now: Instant,
        lane: Lane,
        data: Bytes,
        deadline: Option<Duration>,
    ) -> Result<u64, SendError> {
        let departures = &mut self.lanes[at(lane)].departures;
        if !departures.has_room(data.len(), cx.config.unreliable_send_bytes_max) {
            self.blocked = true;
            return Err(SendError::Blocked);
        }
        Ok(departures.push(now, 0, data, deadline))
    }

    pub(in crate::bus) fn open_stream(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        open: StreamOpen,
    ) -> StreamId {
        let number = self.next_stream;
        self.next_stream += 2;
        let name = (open.lane, number);
        let id = StreamId(cx.next_number());
        let max = cx.config.message_bytes_max;
        let mut stream = Stream::new(Some(id), open.reliability, Phase::Opening, max);
        (stream.topic, stream.args) = (open.topic, open.args);
        self.streams.insert(name, stream);
        cx.streams.insert(id, (self.peer, name));
        self.queue_control(open.lane, Control::Open(number));
        self.deadlines.insert((now + cx.config.give_up, Due::Open(name)));
        id
    }

    pub(in crate::bus) fn has_room_for_stream(&self, cx: &Shared) -> bool {
        self.streams.len() < cx.config.streams_per_peer_max + self.lanes.len()
    }

    pub(in crate::bus) fn accept_stream(
        &mut self,
        cx: &mut Shared,
        name: Name,
        args: Bytes,
    ) -> Result<(), NoSuchStream> {
        let stream = self.streams.get_mut(&name).ok_or(NoSuchStream)?;
        if stream.phase != Phase::Offered {
            return Err(NoSuchStream);
        }
        stream.phase = Phase::Open;
        stream.args = args;
        self.queue_control(name.0, Control::Accept(name.1));
        self.queue_stream(name);
        self.tell_readable(cx, name);
        self.tell_finished(cx, name);
        Ok(())
    }

    pub(in crate::bus) fn reject_stream(
        &mut self,
        cx: &mut Shared,
        name: Name,
        reason: RejectReason,
    ) -> Result<(), NoSuchStream> {
        if self.streams.get(&name).is_none_or(|stream| stream.phase != Phase::Offered) {
            return Err(NoSuchStream);
        }
        self.queue_control(name.0, Control::Refuse(name.1, reason));
        self.close_stream(cx, name, StreamEnd::ClosedByLocal);
        Ok(())
    }

    pub(in crate::bus) fn stream_send(
        &mut self,
        cx: &Shared,
        now: Instant,
        name: Name,
        data: Bytes,
    ) -> Result<u64, StreamSendError> {
        let stream = self.streams.get(&name).ok_or(StreamSendError::Unknown)?;
        let limit = self.bytes_max(cx, stream.reliability);
        if data.len() > limit {
            return Err(StreamSendError::TooLarge { limit });
        }
        if stream.is_finishing() {
            return Err(StreamSendError::Finishing);
        }
        let reliable = stream.reliability == Reliability::Reliable;
        let room = if reliable {
            let held = stream.outgoing.held();
            // Before the handshake the peer's limit is not known.
            self.remote.is_some()
                && (held == 0 || held + data.len() as u64 <= cx.config.stream_send_bytes_max as u64)
        } else {
            let departures = &self.lanes[at(name.0)].departures;
            stream.phase == Phase::Open
                && departures.has_room(data.len(), cx.config.unreliable_send_bytes_max)
        };
        let departures = &mut self.lanes[at(name.0)].departures;
        let Some(stream) = self.streams.get_mut(&name) else {
            return Err(StreamSendError::Unknown);
        };
        if !room || stream.phase == Phase::Offered {
            stream.blocked = true;
            self.stream_blocked |= !reliable;
            return Err(StreamSendError::Blocked);
        }
        if !reliable {
            return Ok(departures.push(now, name.1, data, None));
        }
        let sequence = stream.outgoing.write(data, None);
        self.queue_stream(name);
        Ok(sequence)
    }

    pub(in crate::bus) fn stream_next(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        name: Name,
    ) -> Option<Bytes> {
        let stream = self.streams.get_mut(&name)?;
        if stream.phase != Phase::Open {
            return None;
        }
        let data = match stream.reliability {
            Reliability::Reliable => stream.incoming.next_message().map(|(sequence, data)| {
                stream.settled.settle(sequence, None);
                data
            }),
            Reliability::Unreliable => stream.loose.queue.pop_front().inspect(|data| {
                stream.loose.bytes -= data.len();
            }),
        };
        if data.is_none() {
            stream.readable_told = false;
        } else if stream.reliability == Reliability::Reliable {
            self.tell_delivered(now, name);
            self.widen(cx, now, name);
        }
        self.tell_finished(cx, name);
        data
    }

    /// Takes the next reliable single message of a lane.
    pub(in crate::bus) fn next_message(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        lane: Lane,
    ) -> Option<(u64, Bytes)> {
        let messages = self.streams.get_mut(&(lane, 0))?;
        let message = messages.incoming.next_message()?;
        messages.readable_told = false;
        self.widen(cx, now, (lane, 0));
        self.tell_readable(cx, (lane, 0));
        Some(message)
    }

    pub(in crate::bus) fn settle(
        &mut self,
        lane: Lane,
        sequence: u64,
        rejected: Option<RejectReason>,
    ) {
        let Some(messages) = self.streams.get_mut(&(lane, 0)) else { return };
        messages.settled.settle(sequence, rejected);
        let news = messages.settled.has_news();
        if let Some(reason) = rejected {
            self.queue_control(lane, Control::Rejected(sequence, reason));
        }
        if news {
            self.queue_control(lane, Control::Delivered(0, 0));
        }
    }

    pub(in crate::bus) fn stream_finish(
        &mut self,
        cx: &mut Shared,
        name: Name,
    ) -> Result<(), NoSuchStream> {
        let stream = self.streams.get_mut(&name).ok_or(NoSuchStream)?;
        if stream.phase == Phase::Offered || stream.is_finishing() {
            return Err(NoSuchStream);
        }
        match stream.reliability {
            Reliability::Reliable => {
                stream.outgoing.finish();
                self.queue_stream(name);
            }
            Reliability::Unreliable => {
                stream.loose.finish = LooseFinish::Sent;
                self.queue_control(name.0, Control::Finish(name.1));
            }
        }
        self.close_if_done(cx, name);
        Ok(())
    }

    pub(in crate::bus) fn stream_reset(
        &mut self,
        cx: &mut Shared,
        name: Name,
        code: u64,
    ) -> Result<(), NoSuchStream> {
        let stream = self.streams.get_mut(&name).ok_or(NoSuchStream)?;
        if stream.settled.has_news() {
            // What was read is delivered, whatever happens to the stream afterwards.
            let count = stream.settled.on_told();
            self.lanes[at(name.0)].control.push_back(Control::Delivered(name.1, count));
        }
        self.queue_control(name.0, Control::Reset(name.1, code));
        self.close_stream(cx, name, StreamEnd::ClosedByLocal);
        Ok(())
    }

    pub(in crate::bus) fn stream_acked(&self, name: Name) -> Option<u64> {
        self.streams.get(&name).map(|stream| stream.outgoing.delivered())
    }

    pub(super) fn close_stream(&mut self, cx: &mut Shared, name: Name, reason: StreamEnd) {
        if name.1 == 0 {
            return;
        }
        let Some(stream) = self.streams.remove(&name) else { return };
        if self.keys.is_none() {
            // The peer has never heard of it; to tell of its end, the session would wait for keys.
            self.lanes[at(name.0)].control.retain(|control| !control.is_of(name.1));
        }
        self.give_back(cx, &stream);
        cx.counters.unreliable_expired += self.lanes[at(name.0)].departures.forget(name.1);
        if let Some(id) = stream.id {
            cx.report_closed(id, reason);
        }
    }

    pub(super) fn close_if_done(&mut self, cx: &mut Shared, name: Name) {
        if name.1 != 0 && self.streams.get(&name).is_some_and(Stream::is_done) {
            self.close_stream(cx, name, StreamEnd::Finished);
        }
    }

    /// Widens a stream's credit, and tells the peer if it is worth it.
    pub(super) fn widen(&mut self, cx: &mut Shared, now: Instant, name: Name) {
        let rtt = self.smoothed_rtt();
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if stream.incoming.widen(now, rtt, &mut cx.budget).is_some() {
            self.queue_control(name.0, Control::Window(name.1));
        }
        self.count_unread(cx, name);
    }

    pub(super) fn tell_readable(&mut self, cx: &mut Shared, name: Name) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if stream.readable_told || stream.phase != Phase::Open || !stream.is_readable() {
            return;
        }
        stream.readable_told = true;
        match stream.id {
            Some(id) => cx.events.push(BusEvent::StreamReadable { id }),
            None => cx.receive_reliable(self.peer, name.0),
        }
    }

    pub(super) fn tell_finished(&mut self, cx: &mut Shared, name: Name) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if stream.finished_told || stream.phase != Phase::Open || !stream.is_read_to_end() {
            return;
        }
        if let Some(id) = stream.id {
            stream.finished_told = true;
            cx.events.push(BusEvent::StreamFinished { id });
        }
        self.close_if_done(cx, name);
    }

    pub(super) fn tell_stream_writable(&mut self, cx: &mut Shared, name: Name) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        let half = cx.config.stream_send_bytes_max as u64 / 2;
        if let (true, Some(id)) = (stream.blocked && stream.outgoing.held() <= half, stream.id) {
            stream.blocked = false;
            cx.events.push(BusEvent::StreamWritable { id });
        }
    }

    /// Wakes those who were told `Busy` or `Blocked`, once half of the room is free.
    pub(in crate::bus) fn tell_writable(&mut self, cx: &mut Shared) {
        if !self.blocked && !self.stream_blocked {
            return;
        }
        let half = cx.config.unreliable_send_bytes_max / 2;
        let free = self.lanes.iter().all(|lane| lane.departures.bytes() <= half);
        if !free {
            return;
        }
        if self.blocked
            && self.held_by_messages() <= cx.config.send_bytes_max as u64 / 2
            && cx.events.outcomes_owed <= cx.config.outcomes_max / 2
        {
            self.blocked = false;
            cx.events.push(BusEvent::Writable { peer: self.peer });
        }
        if !core::mem::take(&mut self.stream_blocked) {
            return;
        }
        for stream in self.streams.values_mut() {
            if stream.blocked
                && stream.reliability == Reliability::Unreliable
                && let Some(id) = stream.id
            {
                stream.blocked = false;
                cx.events.push(BusEvent::StreamWritable { id });
            }
        }
    }
}
