//! One authenticated hop (protocol 3 and 4).
//!
//! A [`Link`] takes the bytes of one connection and gives what they mean; asked for bytes, it
//! pulls them from its lanes. It knows nothing of adverts, routes or sessions: those answer
//! through [`Source`] when the link asks them in turn.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cost;
mod end;
mod handshake;
mod liveness;
mod meter;
mod seal;
mod transmit;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

pub(crate) use cost::LinkCost;
pub use end::{LinkEnd, Violation};
pub use handshake::HandshakeFailure;
pub use transmit::Source;

use handshake::{Agreed, Greeting, Progress};
use liveness::Liveness;
use meter::Meter;
use seal::Seals;
use transmit::{Buffers, Turns};

use crate::crypto::noise::Role;
use crate::entropy::Entropy;
use crate::io::{LinkLoss, LinkShape};
use crate::limits::{
    CONTROL_BYTES_MAX, LINK_CONTROL_QUEUE_MAX, LINK_HANDSHAKE_TIMEOUT, PAYLOAD_BYTES_MAX,
    PAYLOAD_BYTES_MIN,
};
use crate::local::Local;
use crate::time::{Duration, Instant};
use crate::wire::control::{self, Close, CloseCode, Control, Decoded};
use crate::wire::frame::{CONTROL_OVERHEAD_BYTES, DATA_OVERHEAD_BYTES, DataFrame};
use crate::wire::frame::{PREFIX_BYTES, Prefix};
use crate::wire::handshake::LinkHello;
use crate::wire::lane::Lane;

/// How long a closing link waits for its last message to leave.
const CLOSING: Duration = Duration::from_secs(1);

/// One hop to one other node, from its first byte to its last.
#[derive(Debug)]
pub struct Link {
    role: Role,
    phase: Phase,
    inbox: BytesMut,
    events: VecDeque<LinkEvent>,
    chunk_bytes: usize,
    payload_bytes_ours: usize,
    sent: Meter,
    received: Meter,
}

#[derive(Debug)]
enum Phase {
    Greeting(alloc::boxed::Box<Greeting>),
    Up(alloc::boxed::Box<Up>),
    /// Its last bytes wait to be pulled.
    Closing {
        last: Vec<u8>,
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
        let LinkShape::Stream { chunk_bytes, frame_bytes_max } = shape;
        let payload_bytes_ours = frame_bytes_max.clamp(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX);
        let ours = handshake::hello(local, payload_bytes_ours, profile_sequence);
        let deadline = now + LINK_HANDSHAKE_TIMEOUT;
        let greeting = Greeting::begin(now, deadline, role, local, ours, entropy);
        Self {
            role,
            phase: Phase::Greeting(greeting.into()),
            inbox: BytesMut::new(),
            events: VecDeque::new(),
            chunk_bytes: chunk_bytes.max(payload_bytes_ours + DATA_OVERHEAD_BYTES),
            payload_bytes_ours,
            sent: Meter::default(),
            received: Meter::default(),
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// Takes bytes from the driver, in order.
    pub fn handle_bytes(
        &mut self,
        now: Instant,
        local: &Local,
        entropy: &mut dyn Entropy,
        mut data: BytesMut,
    ) {
        self.received.add(now, data.len());
        while !matches!(self.phase, Phase::Closing { .. } | Phase::Closed) {
            if self.inbox.is_empty() {
                core::mem::swap(&mut self.inbox, &mut data);
            } else {
                // Only the frame that straddles two chunks is copied together.
                let missing = self.missing().min(data.len());
                self.inbox.unsplit(data.split_to(missing));
            }
            let took = match &self.phase {
                Phase::Greeting(_) => self.greet(now, local, entropy),
                _ => self.take_frame(now),
            };
            if !took && data.is_empty() {
                return;
            }
        }
    }

    /// Bytes that complete the frame at the front of the inbox, or its prefix.
    fn missing(&self) -> usize {
        let Some(prefix) = self.inbox.first_chunk().copied() else {
            return PREFIX_BYTES - self.inbox.len();
        };
        match self.phase {
            Phase::Up(_) => {
                (PREFIX_BYTES + Prefix::decode(prefix).length).saturating_sub(self.inbox.len())
            }
            _ => usize::MAX,
        }
    }

    fn greet(&mut self, now: Instant, local: &Local, entropy: &mut dyn Entropy) -> bool {
        let Phase::Greeting(greeting) = &mut self.phase else { return false };
        match greeting.advance(now, local, entropy, &mut self.inbox) {
            Ok(Progress::Waiting) => false,
            Ok(Progress::Agreed(agreed)) => {
                self.establish(now, *agreed);
                true
            }
            Err(failure) => {
                let last = core::mem::take(&mut greeting.outbox);
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

    /// Takes one frame off the inbox; false when it is not all there.
    fn take_frame(&mut self, now: Instant) -> bool {
        let Phase::Up(up) = &mut self.phase else { return false };
        let Some(prefix) = self.inbox.first_chunk().copied() else { return false };
        let prefix = Prefix::decode(prefix);
        if prefix.data && prefix.lane == Lane::Control {
            self.violate(now, Violation::DataOnControlLane);
            return false;
        }
        let most = if prefix.data {
            self.payload_bytes_ours + DATA_OVERHEAD_BYTES - PREFIX_BYTES
        } else {
            CONTROL_BYTES_MAX + CONTROL_OVERHEAD_BYTES - PREFIX_BYTES
        };
        if prefix.length > most {
            self.violate(now, Violation::FrameTooLarge);
            return false;
        }
        if self.inbox.len() < PREFIX_BYTES + prefix.length {
            return false;
        }
        let mut frame = self.inbox.split_to(PREFIX_BYTES + prefix.length);
        let sealed = frame.split_off(PREFIX_BYTES);
        if prefix.data {
            match up.seals.open_data(prefix, sealed) {
                Ok(frame) => {
                    if up.liveness.on_frame(now) {
                        self.events.push_back(LinkEvent::Trusted);
                    }
                    self.events.push_back(LinkEvent::Data(frame));
                }
                Err(_) => self.violate(now, Violation::SealBroken),
            }
        } else {
            match up.seals.open_control(prefix, sealed) {
                Ok(messages) => {
                    if up.liveness.on_frame(now) {
                        self.events.push_back(LinkEvent::Trusted);
                    }
                    self.on_control_frame(now, &messages);
                }
                Err(_) => self.violate(now, Violation::SealBroken),
            }
        }
        true
    }

    fn on_control_frame(&mut self, now: Instant, mut messages: &[u8]) {
        while let Some(decoded) = control::decode(&mut messages) {
            let Phase::Up(up) = &mut self.phase else { return };
            match decoded {
                Decoded::Message(Control::Keepalive(keepalive)) => {
                    let rtt = up.liveness.on_keepalive(now, keepalive);
                    self.events.extend(rtt.map(LinkEvent::Measured));
                }
                Decoded::Message(Control::Close(close)) => {
                    let code = CloseCode::from_byte(close.code);
                    let retry_after = Duration::from_millis(close.retry_after_ms.into());
                    self.end(now, Vec::new(), LinkEnd::ByPeer { code, retry_after });
                }
                Decoded::Message(message) => self.events.push_back(LinkEvent::Control(message)),
                Decoded::Skipped(kind) => self.events.push_back(LinkEvent::Skipped(kind)),
                Decoded::Malformed => self.violate(now, Violation::Malformed),
            }
        }
    }

    fn violate(&mut self, now: Instant, violation: Violation) {
        let last = self.last_words(CloseCode::Violation, Duration::ZERO);
        self.end(now, last, LinkEnd::Violation(violation));
    }

    /// The sealed bytes of a close; nothing while there is no seal.
    fn last_words(&mut self, code: CloseCode, retry_after: Duration) -> Vec<u8> {
        let Phase::Up(up) = &mut self.phase else { return Vec::new() };
        let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
        let mut message = Vec::new();
        Control::Close(Close { code: code as u8, retry_after_ms }).encode(&mut message);
        let mut last = BytesMut::from(core::mem::take(&mut up.turns.first).as_slice());
        up.seals.seal_control(Lane::Control, &mut message, &mut last);
        last.into()
    }

    fn end(&mut self, now: Instant, last: Vec<u8>, end: LinkEnd) {
        if last.is_empty() {
            self.phase = Phase::Closed;
            self.events.push_back(LinkEvent::Closed(end));
        } else {
            self.phase = Phase::Closing { last, end, deadline: now + CLOSING };
        }
        self.inbox = BytesMut::new();
    }

    /// Closes the link with a reason that the peer gets to know.
    pub fn close(&mut self, now: Instant, code: CloseCode, retry_after: Duration) {
        if matches!(self.phase, Phase::Greeting(_) | Phase::Up(_)) {
            let last = self.last_words(code, retry_after);
            self.end(now, last, LinkEnd::Here(code));
        }
    }

    /// The driver lost the link.
    pub fn handle_loss(&mut self, loss: LinkLoss) {
        let end = match core::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closed => return,
            Phase::Closing { end, .. } => end,
            Phase::Greeting(greeting) if greeting.awaits_answer() && loss.is_by_remote() => {
                LinkEnd::Handshake(HandshakeFailure::HungUp)
            }
            Phase::Greeting(_) | Phase::Up(_) => LinkEnd::Lost(loss),
        };
        self.events.push_back(LinkEvent::Closed(end));
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

    /// The bytes to send next, at most what one transmit of this link takes; `None` when there
    /// is nothing.
    pub fn poll_transmit(&mut self, now: Instant, source: &mut dyn Source) -> Option<Bytes> {
        let bytes: Bytes = match &mut self.phase {
            Phase::Greeting(greeting) => core::mem::take(&mut greeting.outbox).into(),
            Phase::Up(up) => up.fill(now, self.chunk_bytes, source),
            Phase::Closing { last, .. } => core::mem::take(last).into(),
            Phase::Closed => Bytes::new(),
        };
        if matches!(&self.phase, Phase::Closing { last, .. } if last.is_empty())
            && let Phase::Closing { end, .. } = core::mem::replace(&mut self.phase, Phase::Closed)
        {
            self.events.push_back(LinkEvent::Closed(end));
        }
        self.sent.add(now, bytes.len());
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Greeting(greeting) if now >= greeting.deadline => {
                let end = LinkEnd::Handshake(HandshakeFailure::TimedOut);
                self.end(now, Vec::new(), end);
            }
            Phase::Up(up) if up.liveness.is_dead(now) => {
                self.end(now, Vec::new(), LinkEnd::Silent);
            }
            Phase::Up(up) => {
                let doubts = up.liveness.handle_timeout(now);
                self.events.extend(doubts.then_some(LinkEvent::Suspect));
            }
            Phase::Closing { last, end, deadline } if now >= *deadline => {
                last.clear();
                let end = end.clone();
                self.end(now, Vec::new(), end);
            }
            _ => {}
        }
    }

    /// When to call [`Link::handle_timeout`].
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Greeting(greeting) => Some(greeting.deadline),
            Phase::Up(up) => up.liveness.next_timeout(),
            Phase::Closing { deadline, .. } => Some(*deadline),
            Phase::Closed => None,
        }
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
