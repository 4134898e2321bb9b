//! One session: what runs between two incarnations of two peers (protocol 8).

mod arrive;
mod depart;
mod due;
mod pings;
mod stream_calls;

pub(super) use arrive::{Arrival, Verdict};

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use super::arrivals::Arrivals;
use super::config::Path;
use super::congestion::Congestion;
use super::control::Control;
use super::datagrams::{Assembly, Departures};
use super::event::{BusEvent, MessageId, Reliability};
use super::handshake::Hello;
use super::ping::Pings;
use super::ranges::Ranges;
use super::reason::{CloseReason, FailReason, Outcome, PingFailure, SessionEnd};
use super::recovery::{Item, Recovery};
use super::rtt::Rtt;
use super::seal::Keys;
use super::shared::Shared;
use super::stream::{Name, Phase, Stream};
use crate::id::PeerKey;
use crate::io::Lane;
use crate::limits::{
    ACK_DELAY_MAX, OLD_KEYS_KEPT, PAYLOAD_BYTES_MIN, SESSION_CHECK_AFTER, STREAM_REFUSALS_MAX,
};
use crate::time::{Duration, Instant};

/// What one lane of a session keeps.
#[derive(Debug, Default)]
struct LaneState {
    recovery: Recovery,
    arrivals: Arrivals,
    rtt: Rtt,
    control: VecDeque<Control>,
    /// Streams whose `Delivered` goes with the next packet, or alone at that time.
    told_later: VecDeque<u64>,
    tell_at: Option<Instant>,
    /// Bytes sent since an acknowledgement was asked for.
    unasked: u64,
    /// Streams with something to send, in turn.
    ready: VecDeque<u64>,
    departures: Departures,
    assembly: Assembly,
    /// Packets that may go beyond the congestion window.
    probes: u8,
    /// Whether stream data goes before unreliable messages in the next packet.
    data_first: bool,
}

/// Something that gives up at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// `hard`: whatever progress the session makes.
    Message {
        lane: Lane,
        id: MessageId,
        hard: bool,
    },
    Open(Name),
}

#[derive(Debug)]
pub(super) struct Session {
    peer: PeerKey,
    /// This node's number of it.
    pub(super) number: u64,
    /// The other end, once a handshake completed.
    pub(super) remote: Option<Hello>,
    pub(super) keys: Option<Keys>,
    /// Keys before the last change, for packets that were on their way.
    previous: Option<(Keys, Instant)>,
    lanes: [LaneState; 3],
    pub(super) pings: Pings,
    congestion: Congestion,
    streams: BTreeMap<Name, Stream>,
    next_stream: u64,
    /// Stream numbers that the peer has used.
    used: Ranges,
    deadlines: BTreeSet<(Instant, Due)>,
    due_of: BTreeMap<MessageId, (Instant, Due)>,
    last_progress: Instant,
    /// When to see whether the other end still knows of the session, if it has streams.
    check_at: Instant,
    /// Since when an answer is missing.
    waiting_since: Option<Instant>,
    /// Since when there is no path, whatever still comes in.
    pathless_since: Option<Instant>,
    /// A limit that a relay told, below the path's own.
    told_bytes_max: usize,
    /// Unread bytes in first windows.
    pub(super) unbudgeted: u64,
    /// Set when the application was refused and waits for `Writable`.
    blocked: bool,
    /// Set when an unreliable stream was refused and waits for `StreamWritable`.
    stream_blocked: bool,
    /// Set to say goodbye; the session is dropped once it is said.
    closing: Option<CloseReason>,
}

fn at(lane: Lane) -> usize {
    usize::from(lane.bits()).saturating_sub(1)
}

impl Session {
    pub(super) fn new(peer: PeerKey, number: u64, cx: &Shared, path: Option<&Path>) -> Self {
        let packet = path.map_or(PAYLOAD_BYTES_MIN, |path| path.payload_bytes_max);
        let mut session = Self {
            peer,
            number,
            remote: None,
            keys: None,
            previous: None,
            lanes: Default::default(),
            pings: Pings::default(),
            congestion: Congestion::new(packet),
            streams: BTreeMap::new(),
            next_stream: if cx.local.identity.peer_key() < peer { 2 } else { 1 },
            used: Ranges::default(),
            deadlines: BTreeSet::new(),
            due_of: BTreeMap::new(),
            last_progress: Instant::EPOCH,
            check_at: Instant::EPOCH,
            waiting_since: None,
            pathless_since: None,
            told_bytes_max: usize::MAX,
            unbudgeted: 0,
            blocked: false,
            stream_blocked: false,
            closing: None,
        };
        for lane in Lane::DATA {
            let max = cx.config.message_bytes_max;
            let messages = Stream::new(None, Reliability::Reliable, Phase::Open, max);
            session.streams.insert((lane, 0), messages);
        }
        session
    }

    pub(super) fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Whether a handshake with this other end renews this session instead of replacing it.
    pub(super) fn fits(&self, hello: &Hello) -> bool {
        self.remote.as_ref().is_none_or(|remote| {
            (remote.instance, remote.session) == (hello.instance, hello.session)
        })
    }

    /// Takes new keys into use. Returns whether they are the session's first.
    pub(super) fn take_keys(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        hello: Hello,
        mut keys: Keys,
    ) -> bool {
        self.remote = Some(hello);
        self.last_progress = now;
        self.check_at = now + SESSION_CHECK_AFTER;
        let old = self.keys.take();
        let first = old.is_none();
        if let Some(old) = old {
            keys.phase = !old.phase;
            self.previous = Some((old, now + OLD_KEYS_KEPT));
        }
        self.keys = Some(keys);
        // What the peer has not seen of the old keys' packets is asked for at once.
        for lane in &mut self.lanes {
            lane.recovery.restart_timer(now);
        }
        if first {
            self.check_sizes(cx);
        }
        first
    }

    /// Messages that were taken before the peer's limits were known, and are over them.
    fn check_sizes(&mut self, cx: &mut Shared) {
        let limit = self.bytes_max(cx, Reliability::Unreliable);
        for lane in &mut self.lanes {
            cx.counters.unreliable_too_large += lane.departures.forget_over(limit);
        }
        let limit = self.bytes_max(cx, Reliability::Reliable);
        for lane in Lane::DATA {
            let Some(messages) = self.streams.get_mut(&(lane, 0)) else { continue };
            for id in messages.outgoing.over(limit) {
                if messages.outgoing.withdraw(id) {
                    let outcome = Outcome::NotDelivered(FailReason::TooLarge { limit });
                    cx.report(id, self.peer, outcome);
                }
            }
        }
    }

    /// The index of keys that the next change of keys drops.
    pub(super) fn old_index(&self) -> Option<u32> {
        self.previous.as_ref().map(|(keys, _)| keys.local_index)
    }

    /// Drops keys whose time has passed; returns their index.
    pub(super) fn drop_old_keys(&mut self, now: Instant) -> Option<u32> {
        self.previous.take_if(|(_, until)| *until <= now).map(|(keys, _)| keys.local_index)
    }

    /// The handshake took this long to the peer and back: a first guess for every lane.
    pub(super) fn guess_rtt(&mut self, sample: Duration) {
        self.lanes.iter_mut().for_each(|lane| lane.rtt.guess(sample));
    }

    /// Makes sure that a packet goes, to prove to the peer that the keys are shared.
    pub(super) fn prove(&mut self) {
        self.lanes[at(Lane::Normal)].probes = self.lanes[at(Lane::Normal)].probes.max(1);
    }

    /// Asks the other end for an answer: one that gave the session up has forgotten it, and says so.
    pub(super) fn check(&mut self, now: Instant) {
        self.check_at = now + SESSION_CHECK_AFTER;
        if self.keys.is_some() {
            self.prove();
        }
    }

    fn has_streams(&self) -> bool {
        self.streams.keys().any(|name| name.1 != 0)
    }

    pub(super) fn expand(&self, lane: Lane, low: u32) -> u64 {
        self.lanes[at(lane)].arrivals.expand(low)
    }

    pub(super) fn is_new(&self, lane: Lane, number: u64) -> bool {
        self.lanes[at(lane)].arrivals.is_new(number)
    }

    pub(super) fn reliability(&self, name: Name) -> Option<Reliability> {
        self.streams.get(&name).map(|stream| stream.reliability)
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        self.keys.iter().chain(self.previous.iter().map(|(keys, _)| keys)).map(|k| k.local_index)
    }

    /// Whether anything waits for an answer or to be sent.
    pub(super) fn is_needed(&self) -> bool {
        self.streams
            .iter()
            .any(|(name, stream)| name.1 != 0 || stream.outgoing.pending().next().is_some())
            || self.lanes.iter().any(|lane| {
                !lane.departures.is_empty()
                    || !lane.control.is_empty()
                    || !lane.told_later.is_empty()
                    || !lane.recovery.is_idle()
            })
            || !self.pings.is_empty()
    }

    /// Whether there are keys to seal another packet with.
    pub(super) fn can_seal(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| !keys.is_spent())
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The route changed. `resend`: what was on its way went over a dead link.
    pub(super) fn on_path(&mut self, cx: &mut Shared, now: Instant, path: &Path, resend: bool) {
        self.told_bytes_max = usize::MAX;
        self.congestion.reset(path.payload_bytes_max);
        for index in 0..self.lanes.len() {
            self.lanes[index].rtt = Rtt::default();
            self.lanes[index].recovery.restart_timer(now);
            if resend {
                let lost = self.lanes[index].recovery.take_all();
                for packet in lost {
                    self.congestion.on_forgotten(packet.bytes);
                    cx.counters.packets_lost += 1;
                    self.on_lost_items(cx, Lane::DATA[index], &packet.items);
                }
            }
        }
        self.waiting_since = if self.is_outstanding() { Some(now) } else { None };
        self.pathless_since = None;
    }

    pub(super) fn on_path_size(&mut self, path: &Path) {
        self.congestion.set_packet(path.payload_bytes_max);
    }

    pub(super) fn on_path_lost(&mut self, now: Instant) {
        self.pathless_since.get_or_insert(now);
    }

    fn is_outstanding(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.recovery.is_idle())
    }

    /// A relay says that a packet was larger than `limit`. Unauthenticated: believed only for a
    /// packet that is on its way and larger than that.
    pub(super) fn on_too_big(&mut self, cx: &mut Shared, lane: Lane, low: u32, limit: usize) {
        let state = &mut self.lanes[at(lane)];
        let overhead = (crate::wire::routing::ROUTING_HEADER_BYTES + 16) as u64;
        let number = match state.recovery.find(low) {
            Some((number, sent)) if sent.bytes > limit as u64 + overhead => number,
            _ => return,
        };
        let Some(packet) = state.recovery.take(number) else { return };
        cx.counters.too_big += 1;
        self.told_bytes_max = limit.max(PAYLOAD_BYTES_MIN);
        self.congestion.on_forgotten(packet.bytes);
        self.on_lost_items(cx, lane, &packet.items);
        self.note_rest();
    }

    /// The last packet on its way may have been one that is not repeated: then no answer is due.
    fn note_rest(&mut self) {
        if !self.is_outstanding() {
            self.waiting_since = None;
        }
    }

    fn on_lost_items(&mut self, cx: &mut Shared, lane: Lane, items: &[Item]) {
        for item in items {
            match item {
                Item::Data { stream, range, fin } => {
                    if let Some(found) = self.streams.get_mut(&(lane, *stream)) {
                        found.outgoing.on_lost(range, *fin);
                        self.queue_stream((lane, *stream));
                    }
                }
                Item::Control(control) => self.queue_control(lane, *control),
                Item::Ping(id) => self.on_ping_failed(cx, *id, PingFailure::Lost),
                Item::Ack { .. } => {}
            }
        }
    }

    fn queue_stream(&mut self, name: Name) {
        if let Some(stream) = self.streams.get_mut(&name)
            && !stream.queued
            && stream.may_send()
        {
            stream.queued = true;
            self.lanes[at(name.0)].ready.push_back(name.1);
        }
    }

    /// Queues a small frame, unless the same one waits already or its reason is gone.
    fn queue_control(&mut self, lane: Lane, control: Control) {
        let name = |number| (lane, number);
        let wanted = match control {
            Control::Window(stream) => self
                .streams
                .get_mut(&name(stream))
                .is_some_and(|stream| !core::mem::replace(&mut stream.window_queued, true)),
            Control::Delivered(stream, last) => match self.streams.get_mut(&name(stream)) {
                Some(found) => !core::mem::replace(&mut found.delivered_queued, true),
                None => last > 0,
            },
            Control::Open(stream) | Control::Accept(stream) | Control::Finish(stream) => {
                self.streams.contains_key(&name(stream))
            }
            Control::Rejected(sequence, _) => self
                .streams
                .get(&name(0))
                .is_some_and(|stream| stream.settled.is_rejection_due(sequence)),
            // A peer can bring these about without end.
            Control::Refuse(..) => self.lanes[at(lane)].control.len() < STREAM_REFUSALS_MAX,
            Control::Reset(..) => true,
        };
        if wanted {
            self.lanes[at(lane)].control.push_back(control);
        }
    }

    /// Has the sender of a stream hear what was taken: with the next packet, which an answer of
    /// the application makes at once, or after a while; at once when nothing more comes.
    fn tell_delivered(&mut self, now: Instant, name: Name) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if stream.incoming.is_ending() {
            self.queue_control(name.0, Control::Delivered(name.1, 0));
        } else if !core::mem::replace(&mut stream.delivered_queued, true) {
            let state = &mut self.lanes[at(name.0)];
            state.told_later.push_back(name.1);
            state.tell_at.get_or_insert(now + ACK_DELAY_MAX);
        }
    }

    /// Ends everything that runs on the session, each with its reason.
    pub(super) fn fail(&mut self, cx: &mut Shared, end: SessionEnd) {
        self.end_pings(cx, PingFailure::SessionEnded(end));
        for (name, stream) in core::mem::take(&mut self.streams) {
            self.give_back(cx, &stream);
            for message in stream.outgoing.pending() {
                let Some(id) = message.id else { continue };
                if message.outcome == super::outgoing::Reported::Yes {
                    continue;
                }
                let reason = end.of_message();
                let outcome = if stream.outgoing.was_all_sent(message) {
                    Outcome::Unknown(reason)
                } else {
                    Outcome::NotDelivered(reason)
                };
                cx.report(id, self.peer, outcome);
            }
            if let (Some(id), true) = (stream.id, name.1 != 0) {
                cx.report_closed(id, end.of_stream());
            }
        }
        for lane in &mut self.lanes {
            cx.counters.unreliable_expired += lane.departures.forget_all();
        }
        (self.deadlines, self.due_of) = (BTreeSet::new(), BTreeMap::new());
        cx.inbox.unsettled.retain(|_, (peer, ..)| *peer != self.peer);
        cx.inbox.readable.retain(|(peer, _)| *peer != self.peer);
        if self.blocked {
            cx.events.push(BusEvent::Writable { peer: self.peer });
            self.blocked = false;
        }
        if self.keys.is_some() && self.closing.is_none() {
            cx.events.push(BusEvent::SessionDown { peer: self.peer, reason: end });
        }
    }

    /// Fails everything, and leaves one packet to say so.
    pub(super) fn close(&mut self, cx: &mut Shared, reason: CloseReason, end: SessionEnd) {
        self.fail(cx, end);
        self.closing.get_or_insert(reason);
        (self.waiting_since, self.previous) = (None, None);
        for lane in &mut self.lanes {
            *lane =
                LaneState { recovery: core::mem::take(&mut lane.recovery), ..LaneState::default() };
            lane.recovery.take_all();
        }
    }

    /// A stream is over: what it held of the node's memory is free again.
    fn give_back(&mut self, cx: &mut Shared, stream: &Stream) {
        cx.budget += stream.incoming.budgeted;
        cx.unbudgeted -= stream.incoming.counted;
        self.unbudgeted -= stream.incoming.counted;
    }

    /// Counts what a stream holds unread in its first window.
    fn count_unread(&mut self, cx: &mut Shared, name: Name) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        let unread = stream.incoming.unbudgeted();
        let before = core::mem::replace(&mut stream.incoming.counted, unread);
        cx.unbudgeted = cx.unbudgeted - before + unread;
        self.unbudgeted = self.unbudgeted - before + unread;
    }

    fn smoothed_rtt(&self) -> Duration {
        self.lanes.iter().map(|lane| lane.rtt.smoothed()).min().unwrap_or_default()
    }
}
