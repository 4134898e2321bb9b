//! One direction of a link: a netem pipe made a stream, reliable and in order.
//!
//! What the pipe loses is sent again after a while, what it reorders waits for its turn: loss
//! becomes delay, as under TCP. A receiver that does not read holds its sender back.

use std::collections::BTreeMap;

use bytes::Bytes;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_netem::{Pipe, Shape, Verdict};

use crate::medium::Medium;

/// What comes out of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes, in order.
    Bytes(Bytes),
    /// The other end closed the link after what came before.
    End,
}

#[derive(Clone, Debug)]
struct Segment {
    number: u64,
    piece: Piece,
}

impl Segment {
    /// Bytes on the line; an end takes a packet without data.
    fn bytes_len(&self) -> usize {
        match &self.piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::End => 1,
        }
    }
}

/// Whether what arrives is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It is.
    Clear,
    /// It waits, and so does what is sent meanwhile: the stream stalls without a word.
    Silent,
}

/// One direction of a link.
#[derive(Debug)]
pub struct Way {
    pipe: Pipe<Segment>,
    hearing: Hearing,
    repeat_after: Duration,
    window_bytes: usize,
    sent: u64,
    due: u64,
    /// Arrived before its turn, by number.
    early: BTreeMap<u64, Piece>,
    /// Lost by the pipe: when to send it again.
    lost: BTreeMap<(Instant, u64), Piece>,
    /// Sent and not handed on yet.
    under_way_bytes: usize,
}

/// netem's time.
fn pipe_time(now: Instant) -> Duration {
    now.since(Instant::EPOCH)
}

impl Way {
    /// An empty way on `medium`, shaped like `shape`.
    #[must_use]
    pub fn new(medium: &Medium, shape: Shape, seed: u64) -> Self {
        Self {
            pipe: Pipe::new(shape, seed),
            hearing: Hearing::Clear,
            repeat_after: medium.repeat_after,
            window_bytes: medium.window_bytes.max(medium.chunk_bytes()),
            sent: 0,
            due: 0,
            early: BTreeMap::new(),
            lost: BTreeMap::new(),
            under_way_bytes: 0,
        }
    }

    /// From when on there is room for `bytes` more; `None` until the receiver has read.
    #[must_use]
    pub fn room_at(&self, bytes: usize) -> Option<Instant> {
        let fits = self.under_way_bytes + bytes <= self.window_bytes;
        fits.then(|| Instant::EPOCH + self.pipe.writable_at(bytes))
    }

    /// Puts a piece on its way.
    pub fn send(&mut self, now: Instant, piece: Piece) {
        let segment = Segment { number: self.sent, piece };
        self.sent += 1;
        self.under_way_bytes += segment.bytes_len();
        self.put(now, segment);
    }

    fn put(&mut self, now: Instant, segment: Segment) {
        let bytes_len = segment.bytes_len();
        let copy = segment.clone();
        let again_at = match self.pipe.send(pipe_time(now), bytes_len, segment) {
            Verdict::Queued => return,
            // A driver's queue holds what the line has no room for.
            Verdict::Full(_) => {
                (Instant::EPOCH + self.pipe.writable_at(bytes_len)).max(now + MICROSECOND)
            }
            Verdict::Lost => now + self.repeat_after,
            Verdict::TooBig(_) => panic!("a stream has no largest piece: leave `mtu_bytes` out"),
        };
        self.lost.insert((again_at, copy.number), copy.piece);
    }

    /// The next piece in order that has arrived by `now`. Call it until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Piece> {
        if self.hearing == Hearing::Silent {
            return None;
        }
        while let Some(((at, _), _)) = self.lost.first_key_value()
            && *at <= now
        {
            let ((_, number), piece) = self.lost.pop_first()?;
            self.put(now, Segment { number, piece });
        }
        while let Some(segment) = self.pipe.poll(pipe_time(now)) {
            // A duplicate of what was handed on is nothing new.
            if segment.number >= self.due {
                self.early.insert(segment.number, segment.piece);
            }
        }
        let piece = self.early.remove(&self.due)?;
        self.due += 1;
        let bytes_len = Segment { number: 0, piece: piece.clone() }.bytes_len();
        self.under_way_bytes -= bytes_len;
        Some(piece)
    }

    /// When to call [`Way::poll`]; may have passed.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.hearing == Hearing::Silent {
            return None;
        }
        if self.early.contains_key(&self.due) {
            return Some(Instant::EPOCH);
        }
        let arrival = self.pipe.next_timeout().map(|at| Instant::EPOCH + at);
        let again = self.lost.first_key_value().map(|((at, _), _)| *at);
        arrival.into_iter().chain(again).min()
    }

    /// It is shaped like this from now on.
    pub fn reshape(&mut self, now: Instant, shape: Shape) {
        self.pipe.set_shape(pipe_time(now), shape);
    }

    /// Stalls or goes on.
    pub fn set_hearing(&mut self, hearing: Hearing) {
        self.hearing = hearing;
    }

    /// Bytes sent and not handed on yet.
    #[must_use]
    pub fn under_way_bytes(&self) -> usize {
        self.under_way_bytes
    }
}

const MICROSECOND: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static [u8]) -> Piece {
        Piece::Bytes(Bytes::from_static(text))
    }

    #[test]
    fn loss_becomes_delay() {
        let medium = Medium::radio(3);
        let shape = Shape { loss_ppm: 400_000, ..medium.shape };
        let mut way = Way::new(&medium, shape, 1);
        let sent: Vec<_> = [b"a", b"b", b"c", b"d", b"e", b"f"].map(|t| bytes(t)).to_vec();
        let mut now = Instant::from_millis(1);
        sent.iter().for_each(|piece| way.send(now, piece.clone()));
        way.send(now, Piece::End);
        let mut arrived = Vec::new();
        while let Some(at) = way.next_timeout() {
            now = now.max(at);
            arrived.extend(std::iter::from_fn(|| way.poll(now)));
        }
        assert_eq!(arrived.pop(), Some(Piece::End));
        assert_eq!(arrived, sent);
        assert!(now > Instant::from_millis(100), "something was sent again: {now:?}");
        assert_eq!(way.under_way_bytes(), 0);
    }

    #[test]
    fn a_silent_way_stalls_and_holds_its_sender_back() {
        let medium = Medium { window_bytes: 2_000, ..Medium::radio(3) };
        let mut way = Way::new(&medium, medium.shape, 1);
        let (start, late) = (Instant::from_millis(1), Instant::from_millis(9_000));
        way.set_hearing(Hearing::Silent);
        way.send(start, Piece::Bytes(Bytes::from(vec![7; 1_000])));
        assert_eq!((way.next_timeout(), way.poll(late)), (None, None));
        assert!(way.room_at(1_000).is_some() && way.room_at(1_001).is_none());
        way.set_hearing(Hearing::Clear);
        assert!(matches!(way.poll(late), Some(Piece::Bytes(_))));
        assert!(way.room_at(1_001).is_some());
    }
}
