//! The end of a link: last words, and what becomes of it.

use alloc::vec::Vec;

use bytes::BytesMut;

use super::packets::Image;
use super::{Carrier, HandshakeFailure, Link, LinkEnd, LinkEvent, Phase, Violation, transmit};
use crate::io::LinkLoss;
use crate::time::{Duration, Instant};
use crate::wire::control::{Close, CloseCode, Control};
use crate::wire::lane::Lane;

/// How long a closing link waits for its last message to leave.
const CLOSING: Duration = Duration::from_secs(1);

/// What a link says before it closes.
pub(super) enum LastWords {
    Nothing,
    /// That the other end's last words arrived, where they may be lost.
    Heard,
    /// Bytes in clear, while nothing is sealed.
    Clear(Vec<u8>),
    Close(CloseCode, Duration),
}

impl Link {
    pub(super) fn violate(&mut self, now: Instant, violation: Violation) {
        let last = LastWords::Close(CloseCode::Violation, Duration::ZERO);
        self.end(now, last, LinkEnd::Violation(violation));
    }

    /// Queues the last words; false when there are none.
    fn say(&mut self, last: LastWords) -> bool {
        let mut message = match last {
            LastWords::Nothing => return false,
            LastWords::Heard => {
                let Carrier::Packets(packets) = &mut self.carrier else { return false };
                packets.send_ack();
                return !packets.is_done();
            }
            LastWords::Clear(bytes) if bytes.is_empty() => return false,
            LastWords::Clear(bytes) => {
                match &mut self.carrier {
                    Carrier::Stream(stream) => stream.last = bytes,
                    Carrier::Packets(packets) => packets.send_clear(&bytes),
                }
                return true;
            }
            LastWords::Close(code, retry_after) => {
                let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
                let mut message = Vec::new();
                Control::Close(Close { code: code as u8, retry_after_ms }).encode(&mut message);
                message
            }
        };
        let Phase::Up(up) = &mut self.phase else { return false };
        match &mut self.carrier {
            Carrier::Stream(stream) => {
                let mut last = BytesMut::from(core::mem::take(&mut up.turns.first).as_slice());
                let nonce = up.seals.next_sent();
                transmit::put_control(&up.seals, nonce, Lane::Control, &mut message, &mut last);
                stream.last = last.into();
            }
            Carrier::Packets(packets) => packets.send_last(|number, layout| {
                Image::control(&up.seals, Lane::Control, number, &mut message, layout, false)
            }),
        }
        true
    }

    pub(super) fn end(&mut self, now: Instant, last: LastWords, end: LinkEnd) {
        if self.say(last) {
            self.phase = Phase::Closing { end, deadline: now + CLOSING };
        } else {
            self.phase = Phase::Closed;
            self.events.push_back(LinkEvent::Closed(end));
        }
        if let Carrier::Stream(stream) = &mut self.carrier {
            stream.forget();
        }
        self.greetings = BytesMut::new();
    }

    /// Ends the closing once the last words are out, and where packets may be lost, acknowledged.
    pub(super) fn finish_closing(&mut self) {
        let is_said = match &self.carrier {
            Carrier::Stream(stream) => stream.last.is_empty(),
            Carrier::Packets(packets) => packets.is_done(),
        };
        if is_said
            && matches!(self.phase, Phase::Closing { .. })
            && let Phase::Closing { end, .. } = core::mem::replace(&mut self.phase, Phase::Closed)
        {
            self.events.push_back(LinkEvent::Closed(end));
        }
    }

    /// Closes the link with a reason that the peer gets to know.
    pub fn close(&mut self, now: Instant, code: CloseCode, retry_after: Duration) {
        if matches!(self.phase, Phase::Greeting(_) | Phase::Up(_)) {
            self.end(now, LastWords::Close(code, retry_after), LinkEnd::Here(code));
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
}
