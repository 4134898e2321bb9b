//! One authenticated hop (protocol 3 and 4).
//!
//! A [`Link`] takes the bytes of one connection and gives what they mean; asked for bytes, it
//! pulls them from its lanes. It knows nothing of adverts, routes or sessions: those answer
//! through [`Source`] when the link asks them in turn.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod closing;
mod cost;
mod end;
mod handshake;
mod liveness;
mod meter;
mod packets;
mod seal;
mod stream;
mod transmit;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

pub(crate) use cost::LinkCost;
pub use end::{LinkEnd, Violation};
pub use handshake::HandshakeFailure;
pub use packets::{PacketFigures, PacketView};
pub use transmit::Source;

use closing::LastWords;
use handshake::{Agreed, Greeting, Progress};
use liveness::Liveness;
use meter::Meter;
use packets::{Packets, Whole};
use seal::Seals;
use stream::Stream;
use transmit::{Buffers, Cutter, Turns};

use crate::crypto::noise::Role;
use crate::entropy::Entropy;
use crate::io::LinkShape;
use crate::limits::{
    CONTROL_BYTES_MAX, FRAGMENTS_WINDOW, LINK_CONTROL_QUEUE_MAX, LINK_HANDSHAKE_TIMEOUT,
    PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MIN,
};
use crate::local::Local;
use crate::time::{Duration, Instant, earliest};
use crate::wire::control::{self, CloseCode, Control, Decoded, Keepalive};
use crate::wire::frame::{DATA_OVERHEAD_BYTES, DataFrame, Prefix};
use crate::wire::handshake::LinkHello;

/// One hop to one other node, from its first byte to its last.
#[derive(Debug)]
pub struct Link {
    role: Role,
    phase: Phase,
    carrier: Carrier,
    /// What came of the handshake and is not read yet.
    greetings: BytesMut,
    events: VecDeque<LinkEvent>,
    payload_bytes_ours: usize,
    sent: Meter,
    received: Meter,
}

/// How the link carries frames.
#[derive(Debug)]
enum Carrier {
    Stream(Stream),
    Packets(alloc::boxed::Box<Packets>),
}

#[derive(Debug)]
enum Phase {
    Greeting(alloc::boxed::Box<Greeting>),
    Up(alloc::boxed::Box<Up>),
    /// Its last words wait to be pulled, or to arrive.
    Closing {
        end: LinkEnd,
        deadline: Instant,
    },
    Closed,
}

#[derive(Debug)]
struct Up {
    seals: Seals,
    liveness: Liveness,
    /// Answers and closes, enveloped.
    control: VecDeque<Vec<u8>>,
    turns: Turns,
    buffers: Buffers,
    payload_bytes_theirs: usize,
    control_bytes_theirs: usize,
}

/// What a link tells its node.
#[derive(Debug)]
pub enum LinkEvent {
    /// The handshake is done: this is who is there.
    Established(Established),
    /// A control message. Keepalives and closes stay inside the link.
    Control(Control),
    /// A control message of a kind this build does not know.
    Skipped(u16),
    /// A data frame, its payload still sealed.
    Data(DataFrame),
    /// Nothing was heard for a while, though the peer was due or asked: it may be gone.
    Suspect,
    /// A suspect link was heard again.
    Trusted,
    /// A keepalive came back: so long was its way.
    Measured(Duration),
    /// The link is over. The driver must close it unless it reported the loss itself.
    Closed(LinkEnd),
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Established {
    /// What the peer said of itself.
    pub hello: LinkHello,
    /// The version both speak.
    pub version: u8,
    /// Equal at both ends, unique to this link: settles what only a coin could.
    pub hash: [u8; 32],
    /// The largest payload both ends take on this link, in bytes.
    pub payload_bytes_max: usize,
}

/// What a link does now, as `links` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The handshake is under way.
    Handshaking,
    /// It carries frames.
    Up,
    /// Nothing was heard for a while; the peer was asked.
    Suspect,
    /// Closing or closed.
    Closed,
}

impl Link {
    /// A new link of `shape`; `role` is `Initiator` for the side that dialled.
    pub fn new(
        now: Instant,
        local: &Local,
        entropy: &mut dyn Entropy,
        role: Role,
        shape: LinkShape,
        profile_sequence: u64,
    ) -> Self {
        let (LinkShape::Stream { frame_bytes_max, .. } | LinkShape::Packet { frame_bytes_max, .. }) =
            shape;
        let payload_bytes_ours = frame_bytes_max.clamp(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX);
        let (carrier, fragments_max) = match shape {
            LinkShape::Stream { chunk_bytes, .. } => {
                let chunk_bytes = chunk_bytes.max(payload_bytes_ours + DATA_OVERHEAD_BYTES);
                (Carrier::Stream(Stream::new(chunk_bytes)), 0)
            }
            LinkShape::Packet { packet_bytes, is_ordered, .. } => {
                let packets = Packets::new(now, packet_bytes, is_ordered, payload_bytes_ours);
                (Carrier::Packets(packets.into()), FRAGMENTS_WINDOW)
            }
        };
        let ours = handshake::hello(local, payload_bytes_ours, fragments_max, profile_sequence);
        let deadline = now + LINK_HANDSHAKE_TIMEOUT;
        let greeting = Greeting::begin(now, deadline, role, local, ours, entropy);
        Self {
            role,
            phase: Phase::Greeting(greeting.into()),
            carrier,
            greetings: BytesMut::new(),
            events: VecDeque::new(),
            payload_bytes_ours,
            sent: Meter::default(),
            received: Meter::default(),
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// Takes bytes from the driver: the next ones of a stream, or one packet.
    pub fn handle_bytes(
        &mut self,
        now: Instant,
        local: &Local,
        entropy: &mut dyn Entropy,
        data: BytesMut,
    ) {
        self.received.add(now, data.len());
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match &mut self.carrier {
            Carrier::Stream(stream) => {
                stream.push(data);
                while self.take_from_stream(now, local, entropy) {}
            }
            Carrier::Packets(packets) => {
                let whole = packets.handle_packet(now, data);
                self.take_from_packets(now, local, entropy, whole);
            }
        }
    }

    /// Takes what the stream has next; false when it is not all there, or of no interest any more.
    fn take_from_stream(&mut self, now: Instant, local: &Local, entropy: &mut dyn Entropy) -> bool {
        let Carrier::Stream(stream) = &mut self.carrier else { return false };
        match &mut self.phase {
            Phase::Greeting(_) => {
                stream.take_all(&mut self.greetings);
                let is_over = self.greet(now, local, entropy);
                if let Carrier::Stream(stream) = &mut self.carrier {
                    stream.give_back(&mut self.greetings);
                }
                is_over
            }
            Phase::Up(up) => match stream.frame(self.payload_bytes_ours) {
                Ok(Some((prefix, sealed))) => {
                    let nonce = up.seals.next_received();
                    self.on_frame(now, nonce, prefix, sealed);
                    true
                }
                Ok(None) => false,
                Err(violation) => {
                    self.violate(now, violation);
                    false
                }
            },
            Phase::Closing { .. } | Phase::Closed => false,
        }
    }

    /// Takes the frame that a packet made whole, and those that waited behind it.
    fn take_from_packets(
        &mut self,
        now: Instant,
        local: &Local,
        entropy: &mut dyn Entropy,
        mut next: Result<Option<Whole>, Violation>,
    ) {
        loop {
            let whole = match next {
                Ok(Some(whole)) => whole,
                Ok(None) => break,
                Err(violation) => {
                    // Of one that is closing anyway, only acknowledgements matter.
                    if !matches!(self.phase, Phase::Closing { .. } | Phase::Closed) {
                        self.violate(now, violation);
                    }
                    break;
                }
            };
            let lane = whole.prefix.lane;
            match &self.phase {
                Phase::Greeting(_) => {
                    self.greetings.unsplit(whole.body);
                    self.greet(now, local, entropy);
                }
                Phase::Up(_) => self.on_frame(now, whole.nonce(), whole.prefix, whole.body),
                Phase::Closing { .. } => {}
                Phase::Closed => return,
            }
            let Carrier::Packets(packets) = &mut self.carrier else { return };
            next = packets.pull(now, lane);
        }
        self.with_packets(|packets, seals| packets.shrink(seals));
        self.finish_closing();
    }

    fn with_packets<R>(
        &mut self,
        call: impl FnOnce(&mut Packets, Option<&Seals>) -> R,
    ) -> Option<R> {
        let Carrier::Packets(packets) = &mut self.carrier else { return None };
        let seals = if let Phase::Up(up) = &self.phase { Some(&up.seals) } else { None };
        Some(call(packets, seals))
    }

    /// The driver's packets have another size from now on, in bytes: see [`LinkShape::Packet`].
    pub fn handle_packet_bytes(&mut self, packet_bytes: usize) {
        self.with_packets(|packets, seals| packets.set_packet_bytes(packet_bytes, seals));
    }

    fn greet(&mut self, now: Instant, local: &Local, entropy: &mut dyn Entropy) -> bool {
        let Phase::Greeting(greeting) = &mut self.phase else { return false };
        match greeting.advance(now, local, entropy, &mut self.greetings) {
            Ok(Progress::Waiting) => false,
            Ok(Progress::Agreed(agreed)) => {
                self.establish(now, *agreed);
                true
            }
            Err(failure) => {
                let last = LastWords::Clear(core::mem::take(&mut greeting.outbox));
                self.end(now, last, LinkEnd::Handshake(failure));
                false
            }
        }
    }

    fn establish(&mut self, now: Instant, agreed: Agreed) {
        let Agreed { hello, version, seals, rtt, hash } = agreed;
        let limit = |bytes: u32, ours: usize| {
            usize::try_from(bytes).unwrap_or(ours).clamp(PAYLOAD_BYTES_MIN, ours)
        };
        let payload_bytes_theirs = limit(hello.limits.payload_bytes_max, self.payload_bytes_ours);
        let control_bytes_theirs = limit(hello.limits.control_bytes_max, CONTROL_BYTES_MAX);
        let mut turns = Turns::default();
        if let Phase::Greeting(greeting) = &mut self.phase {
            turns.first = core::mem::take(&mut greeting.outbox);
        }
        if let Carrier::Packets(packets) = &mut self.carrier {
            if !turns.first.is_empty() {
                packets.send_clear(&core::mem::take(&mut turns.first));
            }
            packets.on_established(hello.limits.fragments_max);
        }
        self.phase = Phase::Up(alloc::boxed::Box::new(Up {
            seals,
            liveness: Liveness::new(now, self.role, rtt),
            control: VecDeque::new(),
            turns,
            buffers: Buffers::default(),
            payload_bytes_theirs,
            control_bytes_theirs,
        }));
        let payload_bytes_max = payload_bytes_theirs;
        let established = Established { hello, version, hash, payload_bytes_max };
        self.events.push_back(LinkEvent::Established(established));
    }

    /// Opens a frame and acts on it.
    fn on_frame(&mut self, now: Instant, nonce: u64, prefix: Prefix, sealed: BytesMut) {
        let Phase::Up(up) = &mut self.phase else { return };
        if prefix.data {
            match up.seals.open_data(nonce, prefix, sealed) {
                Ok(frame) => {
                    if up.liveness.on_frame(now) {
                        self.events.push_back(LinkEvent::Trusted);
                    }
                    self.events.push_back(LinkEvent::Data(frame));
                }
                Err(_) => self.violate(now, Violation::SealBroken),
            }
        } else {
            match up.seals.open_control(nonce, prefix, sealed) {
                Ok(messages) => {
                    if up.liveness.on_frame(now) {
                        self.events.push_back(LinkEvent::Trusted);
                    }
                    self.on_control_frame(now, &messages);
                }
                Err(_) => self.violate(now, Violation::SealBroken),
            }
        }
    }

    fn on_control_frame(&mut self, now: Instant, mut messages: &[u8]) {
        let mut is_first = true;
        while let Some(decoded) = control::decode(&mut messages) {
            let Phase::Up(up) = &mut self.phase else { return };
            let is_alone = core::mem::take(&mut is_first) && messages.is_empty();
            match decoded {
                Decoded::Message(Control::Keepalive(keepalive)) => {
                    if let Carrier::Packets(packets) = &mut self.carrier
                        && is_alone
                        && keepalive.flags & Keepalive::REPLY == 0
                    {
                        packets.on_quiet();
                    }
                    let rtt = up.liveness.on_keepalive(now, keepalive);
                    self.events.extend(rtt.map(LinkEvent::Measured));
                }
                Decoded::Message(Control::Close(close)) => {
                    let code = CloseCode::from_byte(close.code);
                    let retry_after = Duration::from_millis(close.retry_after_ms.into());
                    self.end(now, LastWords::Heard, LinkEnd::ByPeer { code, retry_after });
                }
                Decoded::Message(message) => self.events.push_back(LinkEvent::Control(message)),
                Decoded::Skipped(kind) => self.events.push_back(LinkEvent::Skipped(kind)),
                Decoded::Malformed => self.violate(now, Violation::Malformed),
            }
        }
    }

    /// Queues a control message; false when the queue is full.
    pub fn send_control(&mut self, message: &Control) -> bool {
        let Phase::Up(up) = &mut self.phase else { return false };
        if up.control.len() >= LINK_CONTROL_QUEUE_MAX {
            return false;
        }
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        up.control.push_back(bytes);
        true
    }

    /// The bytes to send next, at most what one transmit of this link takes: some of a stream, or
    /// one packet. `None` when there is nothing.
    pub fn poll_transmit(&mut self, now: Instant, source: &mut dyn Source) -> Option<Bytes> {
        let bytes = match &mut self.carrier {
            Carrier::Stream(stream) => match &mut self.phase {
                Phase::Greeting(greeting) => core::mem::take(&mut greeting.outbox).into(),
                Phase::Up(up) => up.fill(now, stream.chunk_bytes, source),
                Phase::Closing { .. } => core::mem::take(&mut stream.last).into(),
                Phase::Closed => Bytes::new(),
            },
            Carrier::Packets(_) if matches!(self.phase, Phase::Closed) => Bytes::new(),
            Carrier::Packets(packets) => {
                if let Phase::Greeting(greeting) = &mut self.phase
                    && !greeting.outbox.is_empty()
                {
                    packets.send_clear(&core::mem::take(&mut greeting.outbox));
                }
                let up = if let Phase::Up(up) = &mut self.phase { Some(&mut **up) } else { None };
                packets.poll(now, &mut Cutter { up, source }).unwrap_or_default()
            }
        };
        self.finish_closing();
        self.sent.add(now, bytes.len());
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let stalled = self.with_packets(|packets, seals| packets.handle_timeout(now, seals));
        match &mut self.phase {
            Phase::Greeting(greeting) if now >= greeting.deadline => {
                let end = LinkEnd::Handshake(HandshakeFailure::TimedOut);
                self.end(now, LastWords::Nothing, end);
            }
            Phase::Up(up) if up.liveness.is_dead(now) => {
                self.end(now, LastWords::Nothing, LinkEnd::Silent);
            }
            Phase::Up(_) if stalled == Some(true) => {
                self.end(
                    now,
                    LastWords::Close(CloseCode::Stalled, Duration::ZERO),
                    LinkEnd::Stalled,
                );
            }
            Phase::Up(up) => {
                let doubts = up.liveness.handle_timeout(now);
                self.events.extend(doubts.then_some(LinkEvent::Suspect));
            }
            Phase::Closing { end, deadline } if now >= *deadline => {
                let end = end.clone();
                self.end(now, LastWords::Nothing, end);
            }
            _ => {}
        }
    }

    /// When to call [`Link::handle_timeout`].
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Greeting(greeting) => Some(greeting.deadline),
            Phase::Up(up) => up.liveness.next_timeout(),
            Phase::Closing { deadline, .. } => Some(*deadline),
            Phase::Closed => return None,
        };
        match &self.carrier {
            Carrier::Stream(_) => own,
            Carrier::Packets(packets) => earliest([own, packets.next_timeout()]),
        }
    }

    /// What a packet-shaped link does; `None` on a stream-shaped one.
    #[must_use]
    pub fn packets(&self) -> Option<PacketView> {
        let Carrier::Packets(packets) = &self.carrier else { return None };
        Some(packets.view())
    }

    /// Asks the other end for a sign of life at once.
    pub fn probe(&mut self) {
        if let Phase::Up(up) = &mut self.phase {
            up.liveness.probe();
        }
    }

    /// When a sealed frame last came in; `None` before the handshake is done.
    #[must_use]
    pub fn heard_at(&self) -> Option<Instant> {
        if let Phase::Up(up) = &self.phase { Some(up.liveness.heard_at()) } else { None }
    }

    /// The smoothed round trip, once the link is up.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        if let Phase::Up(up) = &self.phase { Some(up.liveness.rtt()) } else { None }
    }

    /// Bytes a second that went out, over the last seconds.
    #[must_use]
    pub fn rate_bytes_per_s(&self, now: Instant) -> u64 {
        self.sent.rate(now)
    }

    /// Bytes that went out.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.sent.total()
    }

    /// Bytes that came in.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.received.total()
    }

    /// Bytes a second that went out and came in, over the last seconds.
    pub(crate) fn load_bytes_per_s(&self, now: Instant) -> u64 {
        self.sent.rate(now).saturating_add(self.received.rate(now))
    }

    /// What the link does now.
    #[must_use]
    pub fn state(&self) -> LinkState {
        match &self.phase {
            Phase::Greeting(_) => LinkState::Handshaking,
            Phase::Up(up) if up.liveness.is_suspect() => LinkState::Suspect,
            Phase::Up(_) => LinkState::Up,
            Phase::Closing { .. } | Phase::Closed => LinkState::Closed,
        }
    }
}

#[cfg(test)]
mod tests;
