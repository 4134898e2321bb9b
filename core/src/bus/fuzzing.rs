//! The Bus's insides as `core/fuzz` sees them: one thin skin over each part that takes what a
//! peer sent apart or puts it together. Only builds with `--cfg fuzzing` have it.

use alloc::vec::Vec;
use core::ops::{Range, RangeInclusive};

use bytes::{Bytes, BytesMut};

use super::arrivals::{self, Asks};
use super::datagrams::{self, Assembled};
use super::handshake::{Caller, Hello};
use super::{frame, incoming, ranges, varint};
use crate::id::{Address, PeerKey};
use crate::time::{Duration, Instant};

/// It breaks the format, a limit or the credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Appends a varint.
pub fn put_varint(to: &mut BytesMut, value: u64) {
    varint::put(to, value);
}

/// Takes a varint off the front.
pub fn take_varint(from: &mut Bytes) -> Option<u64> {
    varint::take(from)
}

/// A Bus frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(frame::Frame);

impl Frame {
    /// Takes the next frame off a packet; `None` at its end.
    ///
    /// # Errors
    /// [`Refused`] for what is no frame.
    pub fn decode(from: &mut Bytes) -> Result<Option<Self>, Refused> {
        frame::Frame::decode(from).map(|frame| frame.map(Self)).map_err(|_| Refused)
    }

    /// Appends the frame.
    pub fn encode(&self, to: &mut BytesMut) {
        self.0.encode(to);
    }

    /// The ranges that an acknowledgement names.
    #[must_use]
    pub fn ack_ranges(&self) -> Option<&[RangeInclusive<u64>]> {
        if let frame::Frame::Ack(ack) = &self.0 { Some(&ack.ranges) } else { None }
    }
}

/// Reads the Hello of a session's handshake and writes it again.
#[must_use]
pub fn hello_again(bytes: &[u8]) -> Option<Vec<u8>> {
    Hello::decode(bytes).ok().map(|hello| hello.encode())
}

/// Who the first message of a session's handshake says it is from.
#[must_use]
pub fn caller(source: Address, known: Option<PeerKey>, payload: &[u8]) -> Option<PeerKey> {
    Caller::read(source, known, payload).ok().map(|caller| caller.peer)
}

/// A set of numbers kept as ranges.
#[derive(Clone, Debug, Default)]
pub struct Ranges(ranges::Ranges);

#[allow(missing_docs)]
impl Ranges {
    pub fn insert(&mut self, range: Range<u64>) {
        self.0.insert(range);
    }

    pub fn remove(&mut self, range: &Range<u64>) {
        self.0.remove(range);
    }

    pub fn take_first(&mut self, length: u64) -> Option<Range<u64>> {
        self.0.take_first(length)
    }

    pub fn forget_first(&mut self) {
        self.0.forget_first();
    }

    #[must_use]
    pub fn contains(&self, value: u64) -> bool {
        self.0.contains(value)
    }

    #[must_use]
    pub fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.0.missing(range)
    }

    #[must_use]
    pub fn to_vec(&self) -> Vec<Range<u64>> {
        self.0.iter().collect()
    }
}

/// The receiving half of a reliable stream.
#[derive(Debug)]
pub struct Incoming(incoming::Incoming);

#[allow(missing_docs)]
impl Incoming {
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self(incoming::Incoming::new(message_bytes_max))
    }

    /// # Errors
    /// [`Refused`] for what breaks the format, a limit or the credit.
    pub fn receive(&mut self, offset: u64, bytes: Bytes, fin: bool) -> Result<bool, Refused> {
        self.0.receive(offset, bytes, fin).map_err(|_| Refused)
    }

    pub fn next_message(&mut self) -> Option<(u64, Bytes)> {
        self.0.next_message()
    }

    pub fn widen(&mut self, now: Instant, rtt: Duration, budget: &mut u64) -> Option<u64> {
        self.0.widen(now, rtt, budget)
    }

    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit()
    }

    #[must_use]
    pub fn budgeted(&self) -> u64 {
        self.0.budgeted
    }

    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.0.is_readable()
    }

    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.is_cut()
    }
}

/// Unreliable messages under assembly.
#[derive(Debug, Default)]
pub struct Assembly(datagrams::Assembly);

#[allow(missing_docs)]
impl Assembly {
    /// The whole message, if this piece completes it.
    ///
    /// # Errors
    /// [`Refused`] for a piece that cannot belong to a message.
    pub fn receive(
        &mut self,
        now: Instant,
        name: (u64, u64),
        place: (u64, u64),
        bytes: Bytes,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, Refused> {
        match self.0.receive(now, name, place, bytes, bytes_max) {
            Assembled::Whole(bytes) => Ok(Some(bytes)),
            Assembled::Waiting { .. } => Ok(None),
            Assembled::Malformed => Err(Refused),
        }
    }

    pub fn expire(&mut self, now: Instant) -> u64 {
        self.0.expire(now)
    }

    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }
}

/// The receiving half of a lane's packet numbers.
#[derive(Debug, Default)]
pub struct Arrivals(arrivals::Arrivals);

#[allow(missing_docs)]
impl Arrivals {
    #[must_use]
    pub fn expand(&self, low: u32) -> u64 {
        self.0.expand(low)
    }

    #[must_use]
    pub fn is_new(&self, number: u64) -> bool {
        self.0.is_new(number)
    }

    pub fn note(&mut self, now: Instant, number: u64, at_once: bool) {
        self.0.note(now, number, if at_once { Asks::AtOnce } else { Asks::InTime }, false);
    }

    pub fn take_ack(&mut self, now: Instant) -> Option<Frame> {
        self.0.take_ack(now).map(frame::Frame::Ack).map(Frame)
    }

    pub fn on_ack_acked(&mut self, largest: u64) {
        self.0.on_ack_acked(largest);
    }
}
