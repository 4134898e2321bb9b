//! One direction of a link.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::chance::Chance;
use crate::line::Line;
use crate::shape::{PPM, Shape};

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict<T> {
    /// It is on its way.
    Queued,
    /// It was sent and will not arrive, by chance or because the pipe is cut. A real sender
    /// would not know.
    Lost,
    /// It is larger than [`Shape::mtu_bytes`]; here it is back.
    TooBig(T),
    /// No room before [`Pipe::writable_at`]; here it is back.
    Full(T),
}

/// What a pipe has done so far, in items: `sent` = `delivered` + `lost` + [`Pipe::len`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Given to the line.
    pub sent: u64,
    /// Taken out at the other end.
    pub delivered: u64,
    /// Lost by chance or by a cut.
    pub lost: u64,
    /// Given back as larger than the MTU.
    pub too_big: u64,
    /// Given back for want of room.
    pub full: u64,
}

#[derive(Clone, Debug)]
struct InFlight<T> {
    arrives_at: u64,
    bytes: usize,
    item: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Air {
    Whole,
    Cut,
}

/// One direction of a link: items go in, and come out later, in order, or never.
#[derive(Clone, Debug)]
pub struct Pipe<T> {
    shape: Shape,
    chance: Chance,
    line: Option<Line>,
    air: Air,
    in_flight: VecDeque<InFlight<T>>,
    bytes: usize,
    last_arrival: u64,
    counters: Counters,
}

impl<T> Pipe<T> {
    /// An empty pipe; `seed` decides what is lost and how much jitter there is.
    ///
    /// # Panics
    /// When the rate is zero or the loss over [`PPM`].
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        assert!(shape.loss_ppm <= PPM, "the loss is at most {PPM} parts per million");
        Self {
            shape,
            chance: Chance::new(seed),
            line: shape.rate_bytes_per_s.map(Line::new),
            air: Air::Whole,
            in_flight: VecDeque::new(),
            bytes: 0,
            last_arrival: 0,
            counters: Counters::default(),
        }
    }

    /// Sends `item`, which takes `bytes_len` bytes of the line.
    pub fn send(&mut self, now: Duration, bytes_len: usize, item: T) -> Verdict<T> {
        let now = micros(now);
        if self.shape.mtu_bytes.is_some_and(|mtu| bytes_len > mtu) {
            self.counters.too_big += 1;
            return Verdict::TooBig(item);
        }
        if now < self.room_at(bytes_len) {
            self.counters.full += 1;
            return Verdict::Full(item);
        }
        self.counters.sent += 1;
        let left_at = self.line.as_mut().map_or(now, |line| line.carry(now, bytes_len));
        // Two draws an item, whatever becomes of it: a cut or another shape does not change the
        // luck of later items.
        let is_unlucky = self.chance.up_to(u64::from(PPM) - 1) < u64::from(self.shape.loss_ppm);
        let jitter = self.chance.up_to(micros(self.shape.jitter));
        if is_unlucky || self.air == Air::Cut {
            self.counters.lost += 1;
            return Verdict::Lost;
        }
        let arrives_at = left_at.saturating_add(micros_up(self.shape.delay)).saturating_add(jitter);
        self.last_arrival = self.last_arrival.max(arrives_at);
        self.bytes = self.bytes.saturating_add(bytes_len);
        self.in_flight.push_back(InFlight {
            arrives_at: self.last_arrival,
            bytes: bytes_len,
            item,
        });
        Verdict::Queued
    }

    /// The next item that has arrived by `now`, if any. Call it until `None`.
    pub fn poll(&mut self, now: Duration) -> Option<T> {
        if self.in_flight.front()?.arrives_at > micros(now) {
            return None;
        }
        let arrived = self.in_flight.pop_front()?;
        self.bytes -= arrived.bytes;
        self.counters.delivered += 1;
        Some(arrived.item)
    }

    /// When the next item arrives; `None` when nothing is on its way.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.in_flight.front().map(|first| Duration::from_micros(first.arrives_at))
    }

    /// From when on an item of `bytes_len` bytes is not [`Verdict::Full`]; may have passed.
    #[must_use]
    pub fn writable_at(&self, bytes_len: usize) -> Duration {
        Duration::from_micros(self.room_at(bytes_len))
    }

    fn room_at(&self, bytes_len: usize) -> u64 {
        let others_max = self.shape.queue_bytes_max.saturating_sub(bytes_len);
        self.line.as_ref().map_or(0, |line| line.drained_to(others_max))
    }

    /// Cuts this direction: what is on its way and what is sent until [`Pipe::mend`] is lost.
    pub fn cut(&mut self) {
        self.air = Air::Cut;
        self.counters.lost += self.in_flight.len() as u64;
        self.in_flight.clear();
        self.bytes = 0;
    }

    /// Ends a cut. What was lost stays lost.
    pub fn mend(&mut self) {
        self.air = Air::Whole;
    }

    /// Items on their way, or arrived and not taken out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Bytes on their way, or arrived and not taken out.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes
    }

    /// What the pipe is like.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What the pipe has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn micros_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}
