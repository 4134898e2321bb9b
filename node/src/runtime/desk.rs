//! Where calls on the Bus meet its events.
//!
//! A call that the core cannot take yet is parked in order, never lost and never overtaken;
//! its handle awaits. A handle that is dropped leaves nothing behind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use hedgerow_core::bus::{
    self, BusEvent, MessageId, Outcome, RejectReason, StreamEnd, StreamId, StreamOpen,
    StreamSendError,
};
use hedgerow_core::id::PeerKey;
use hedgerow_core::node::Node;
use hedgerow_core::time::Instant;
use tokio::sync::{mpsc, oneshot};

use super::call::{Call, NotOpened, Opened, SendReliable};
use super::streams::weight;
use super::{Shared, StreamState};
use crate::bus::{Candidate, ListenError, Message, Stream};
use crate::config::WhenFull;

/// Offered streams that one acceptor may leave undecided; the next one is refused.
const CANDIDATES_MAX: usize = 64;
/// Reliable messages that wait for room towards one peer. Each is held by a future that awaits
/// it, so this bounds what one application does to itself.
const PARKED_MAX: usize = 65_536;
/// Parked messages that nobody may await any more before they are looked for: beside these, at
/// most as many as half of the others.
const PARKED_UNSEEN: usize = 16;

type Outcomes = oneshot::Sender<Result<Outcome, bus::SendError>>;

/// Everything that waits for the Bus.
pub(super) struct Desk {
    shared: Arc<Shared>,
    messages: BTreeMap<MessageId, Outcomes>,
    parked: BTreeMap<PeerKey, Parked>,
    streams: BTreeMap<StreamId, Slot>,
    listeners: BTreeMap<Bytes, mpsc::Sender<Candidate>>,
    events: Vec<BusEvent>,
    readable: bool,
}

/// Reliable messages that wait for room towards one peer, in order.
#[derive(Default)]
struct Parked {
    queue: VecDeque<SendReliable>,
    /// Those parked since the queue was last searched for dropped ones.
    unseen: usize,
}

impl Parked {
    /// Takes the last place; gives the message back when there is none.
    fn push(&mut self, send: SendReliable) -> Result<(), SendReliable> {
        self.unseen += 1;
        if self.unseen > PARKED_UNSEEN + self.queue.len() / 2 {
            self.unseen = 0;
            self.queue.retain(|send| !send.reply.is_closed());
        }
        if self.queue.len() >= PARKED_MAX {
            return Err(send);
        }
        self.queue.push_back(send);
        Ok(())
    }
}

/// One stream.
struct Slot {
    peer: PeerKey,
    open: StreamOpen,
    state: Arc<StreamState>,
    /// Waits for the other side to accept.
    opening: Option<oneshot::Sender<Result<Stream, NotOpened>>>,
    /// Messages that wait for credit, and the end of this half after them.
    parked: VecDeque<Bytes>,
    half: Half,
    /// Offered by the other side, neither accepted nor rejected yet.
    undecided: bool,
}

/// This side's half of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    /// To be finished once what is parked is on its way.
    Finishing,
    Finished,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            messages: BTreeMap::new(),
            parked: BTreeMap::new(),
            streams: BTreeMap::new(),
            listeners: BTreeMap::new(),
            events: Vec::new(),
            readable: false,
        }
    }

    pub(super) fn on_call(&mut self, now: Instant, node: &mut Node, call: Call) {
        match call {
            Call::SendReliable(send) => self.send_reliable(now, node, send),
            Call::SendUnreliable { peer, lane, data, deadline, reply } => {
                let sent = node
                    .with_bus(now, |bus, _| bus.send_unreliable(now, peer, lane, data, deadline));
                let _ = reply.send(sent);
            }
            Call::OpenStream { peer, open, reply } => self.open(now, node, peer, open, reply),
            Call::Listen { topic, reply } => {
                let _ = reply.send(self.listen(topic));
            }
            Call::Answer { stream, answer, reply } => {
                let _ = reply.send(self.answer(now, node, stream, answer));
            }
            Call::StreamReset(stream, code) => {
                // A stream that is gone already needs no reset.
                let _ = node.with_bus(now, |bus, _| bus.stream_reset(now, stream, code));
            }
            Call::Links(_)
            | Call::Counters(_)
            | Call::Strangers(_)
            | Call::Refusals(_)
            | Call::Ping { .. }
            | Call::Trace { .. } => {
                unreachable!("the runtime answers these itself")
            }
        }
    }

    fn send_reliable(&mut self, now: Instant, node: &mut Node, send: SendReliable) {
        let send = match self.parked.get(&send.peer) {
            // It must not overtake those that wait.
            Some(_) => Some(send),
            None => self.try_send(now, node, send),
        };
        let Some(send) = send else { return };
        if let Err(send) = self.parked.entry(send.peer).or_default().push(send) {
            let _ = send.reply.send(Err(bus::SendError::Busy));
        }
    }

    /// Gives a message to the core; returns it when there is no room.
    fn try_send(
        &mut self,
        now: Instant,
        node: &mut Node,
        send: SendReliable,
    ) -> Option<SendReliable> {
        if send.reply.is_closed() {
            return None;
        }
        let SendReliable { peer, lane, give_up, .. } = send;
        let data = send.data.clone();
        let sent = node.with_bus(now, |bus, _| bus.send_reliable(now, peer, lane, data, give_up));
        match sent {
            Ok(id) => {
                self.messages.insert(id, send.reply);
                None
            }
            Err(bus::SendError::Busy) => Some(send),
            Err(error) => {
                let _ = send.reply.send(Err(error));
                None
            }
        }
    }

    fn unpark_messages(&mut self, now: Instant, node: &mut Node, peer: PeerKey) {
        let Some(mut parked) = self.parked.remove(&peer) else { return };
        while let Some(send) = parked.queue.pop_front() {
            if let Some(send) = self.try_send(now, node, send) {
                parked.queue.push_front(send);
                self.parked.insert(peer, parked);
                return;
            }
        }
    }

    fn open(
        &mut self,
        now: Instant,
        node: &mut Node,
        peer: PeerKey,
        open: StreamOpen,
        reply: oneshot::Sender<Result<Stream, NotOpened>>,
    ) {
        let asked = open.clone();
        let opened = node.with_bus(now, |bus, entropy| bus.open_stream(now, entropy, peer, asked));
        match opened {
            Ok(id) => {
                let slot = Slot::new(peer, open, Some(reply));
                self.streams.insert(id, slot);
            }
            Err(error) => {
                let _ = reply.send(Err(NotOpened::Refused(error)));
            }
        }
    }

    fn listen(&mut self, topic: Bytes) -> Result<mpsc::Receiver<Candidate>, ListenError> {
        if self.listeners.get(&topic).is_some_and(|listener| !listener.is_closed()) {
            return Err(ListenError::TopicTaken);
        }
        let (sender, receiver) = mpsc::channel(CANDIDATES_MAX);
        self.listeners.insert(topic, sender);
        Ok(receiver)
    }

    fn answer(
        &mut self,
        now: Instant,
        node: &mut Node,
        stream: StreamId,
        answer: Result<Bytes, RejectReason>,
    ) -> Option<Stream> {
        match answer {
            Ok(arguments) => {
                node.with_bus(now, |bus, _| bus.accept_stream(now, stream, arguments)).ok()?;
                let slot = self.streams.get_mut(&stream)?;
                slot.undecided = false;
                let arguments = slot.open.args.clone();
                let opened = slot.opened(node, now, stream, arguments);
                Some(Stream::new(self.shared.clone(), opened))
            }
            Err(reason) => {
                // Refusing a stream that is gone changes nothing.
                let _ = node.with_bus(now, |bus, _| bus.reject_stream(now, stream, reason));
                self.streams.remove(&stream);
                None
            }
        }
    }

    /// Gives a stream's waiting messages to the core, in order, and then its end.
    fn unpark_stream(&mut self, now: Instant, node: &mut Node, stream: StreamId) {
        let Some(slot) = self.streams.get_mut(&stream) else { return };
        let (outgoing, is_last) = slot.state.take_outgoing();
        slot.parked.extend(outgoing);
        if is_last && slot.half == Half::Open {
            slot.half = Half::Finishing;
        }
        let parked = &mut slot.parked;
        let sent = node.with_bus(now, |bus, _| {
            let mut sent = 0;
            while let Some(message) = parked.front() {
                match bus.stream_send(now, stream, message.clone()) {
                    Err(StreamSendError::Blocked) => break,
                    // A stream that ended meanwhile takes nothing more: its end is known.
                    Ok(_) | Err(_) => sent += weight(message),
                }
                parked.pop_front();
            }
            sent
        });
        if sent > 0 {
            slot.state.note_sent(sent);
        }
        if slot.half == Half::Finishing && slot.parked.is_empty() {
            slot.half = Half::Finished;
            // A stream that ended meanwhile needs no finish: its end is known.
            let _ = node.with_bus(now, |bus, _| bus.stream_finish(now, stream));
        }
    }

    /// Handles left messages, made room, or were dropped.
    pub(super) fn on_attention(&mut self, now: Instant, node: &mut Node) {
        for stream in self.shared.take_sending() {
            self.unpark_stream(now, node, stream);
        }
        for stream in self.shared.take_hungry() {
            self.fill(now, node, stream);
        }
        for stream in self.shared.take_dropped() {
            let Some(slot) = self.streams.remove(&stream) else { continue };
            if slot.undecided {
                // A candidate that nobody decided. If it is gone already, so much the better.
                let denied = RejectReason::Denied;
                let _ = node.with_bus(now, |bus, _| bus.reject_stream(now, stream, denied));
                continue;
            }
            // With both halves finished, what is on its way still arrives.
            let over = slot.half == Half::Finished && slot.state.is_finished();
            if !over && slot.state.ended().is_none() {
                let _ = node.with_bus(now, |bus, _| bus.stream_reset(now, stream, 0));
            }
        }
        self.readable = true;
    }

    pub(super) fn on_event(&mut self, event: BusEvent) {
        self.events.push(event);
    }

    /// Acts on the Bus's events; true when there were any.
    pub(super) fn settle(&mut self, now: Instant, node: &mut Node) -> bool {
        let events = std::mem::take(&mut self.events);
        let progress = !events.is_empty() || self.readable;
        for event in events {
            self.act(now, node, event);
        }
        if std::mem::take(&mut self.readable) {
            self.take_messages(now, node);
        }
        progress
    }

    fn act(&mut self, now: Instant, node: &mut Node, event: BusEvent) {
        match event {
            BusEvent::MessageDone { id, outcome, .. } => {
                if let Some(reply) = self.messages.remove(&id) {
                    let _ = reply.send(Ok(outcome));
                }
            }
            BusEvent::MessagesReadable => self.readable = true,
            BusEvent::Writable { peer } => self.unpark_messages(now, node, peer),
            BusEvent::StreamOffered { id, peer, topic, reliability, lane, args } => {
                let open = StreamOpen { topic, reliability, lane, args };
                self.offer(now, node, id, peer, open);
            }
            BusEvent::StreamOpened { id, args } => {
                if let Some(slot) = self.streams.get_mut(&id)
                    && let Some(reply) = slot.opening.take()
                {
                    let opened = slot.opened(node, now, id, args);
                    // Where nobody waits for it any more, its handle goes, and it with it.
                    let _ = reply.send(Ok(Stream::new(self.shared.clone(), opened)));
                }
            }
            BusEvent::StreamReadable { id } => self.fill(now, node, id),
            BusEvent::StreamWritable { id } => self.unpark_stream(now, node, id),
            BusEvent::StreamAcked { id, sequence } => {
                if let Some(slot) = self.streams.get(&id) {
                    slot.state.set_acked(sequence);
                }
            }
            BusEvent::StreamFinished { id } => {
                if let Some(slot) = self.streams.get(&id) {
                    slot.state.finish();
                }
            }
            BusEvent::StreamClosed { id, reason } => self.on_closed(id, reason),
            // What depended on a session says so itself.
            _ => {}
        }
    }

    fn on_closed(&mut self, stream: StreamId, end: StreamEnd) {
        let Some(slot) = self.streams.remove(&stream) else { return };
        if let Some(reply) = slot.opening {
            let _ = reply.send(Err(NotOpened::Ended(end)));
        }
        slot.state.end(end);
    }

    fn offer(
        &mut self,
        now: Instant,
        node: &mut Node,
        stream: StreamId,
        peer: PeerKey,
        open: StreamOpen,
    ) {
        let candidate = Candidate::new(self.shared.clone(), stream, peer, &open);
        let refusal = match self.listeners.get(&open.topic) {
            None => {
                candidate.forget();
                Some(RejectReason::NoListener)
            }
            Some(listener) => match listener.try_send(candidate) {
                Ok(()) => None,
                Err(mpsc::error::TrySendError::Full(candidate)) => {
                    candidate.forget();
                    Some(RejectReason::TooManyStreams)
                }
                Err(mpsc::error::TrySendError::Closed(candidate)) => {
                    candidate.forget();
                    Some(RejectReason::NoListener)
                }
            },
        };
        match refusal {
            None => {
                let slot = Slot { undecided: true, ..Slot::new(peer, open, None) };
                self.streams.insert(stream, slot);
            }
            Some(reason) => {
                // It was offered just now, so refusing it cannot fail.
                let _ = node.with_bus(now, |bus, _| bus.reject_stream(now, stream, reason));
            }
        }
    }

    /// Moves messages of a stream from the core to its handle while that has room.
    fn fill(&mut self, now: Instant, node: &mut Node, stream: StreamId) {
        let Some(slot) = self.streams.get(&stream) else { return };
        let mut any = false;
        while slot.state.has_room() {
            let next = node.with_bus(now, |bus, _| bus.stream_next(now, stream));
            let Some(message) = next else { break };
            slot.state.push(message);
            any = true;
        }
        if any {
            slot.state.announce();
        }
    }

    /// Moves single messages from the core to the inbox while that has room.
    fn take_messages(&mut self, now: Instant, node: &mut Node) {
        let inbox = &self.shared.inbox;
        let mut any = false;
        while inbox.has_room() || inbox.when_full == WhenFull::Reject {
            let next = node.with_bus(now, |bus, _| bus.next_message(now));
            let Some(incoming) = next else { break };
            let id = incoming.id;
            let reliable = incoming.reliability == bus::Reliability::Reliable;
            let waits = inbox.when_full == WhenFull::Wait;
            let taken = inbox.push(Message::from_core(incoming), waits);
            any |= taken.is_ok();
            if !reliable {
                continue;
            }
            // The sender may have given up meanwhile: it was told so, and nobody else asks.
            let _ = node.with_bus(now, |bus, _| match taken {
                Ok(()) => bus.accept_message(now, id),
                Err(_) => bus.reject_message(now, id, RejectReason::InboxFull),
            });
        }
        if any {
            inbox.announce();
        }
    }

    /// The node ends: everything that waits is answered.
    pub(super) fn close(&mut self) {
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        for stream in streams {
            self.on_closed(stream, StreamEnd::ClosedByLocal);
        }
        let unknown = Outcome::Unknown(bus::FailReason::ClosedByLocal);
        for reply in std::mem::take(&mut self.messages).into_values() {
            let _ = reply.send(Ok(unknown));
        }
        let parked = std::mem::take(&mut self.parked).into_values();
        for send in parked.flat_map(|parked| parked.queue) {
            let _ = send.reply.send(Err(bus::SendError::Closed));
        }
        self.listeners.clear();
    }
}

impl Slot {
    fn new(
        peer: PeerKey,
        open: StreamOpen,
        opening: Option<oneshot::Sender<Result<Stream, NotOpened>>>,
    ) -> Self {
        let state = Arc::new(StreamState::default());
        Self {
            peer,
            open,
            state,
            opening,
            parked: VecDeque::new(),
            half: Half::Open,
            undecided: false,
        }
    }

    fn opened(&self, node: &mut Node, now: Instant, id: StreamId, arguments: Bytes) -> Opened {
        let message_bytes_max = node.with_bus(now, |bus, _| bus.stream_bytes_max(id));
        Opened {
            id,
            peer: self.peer,
            topic: self.open.topic.clone(),
            reliability: self.open.reliability,
            arguments,
            message_bytes_max: message_bytes_max.unwrap_or(0),
            state: self.state.clone(),
        }
    }
}
