//! One direction of a link.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::fate::{Damage, Luck, Passage};
use crate::line::Line;
use crate::shape::Shape;
use crate::{micros, micros_up};

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

/// Something that came out at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<T> {
    /// What was sent, as it was sent: the pipe does not know what it is made of.
    pub item: T,
    /// What has to be done to it before it is what arrived.
    pub damage: Option<Damage>,
}

/// What a pipe has done so far, in items: `sent` + `duplicated` = `delivered` + `lost` +
/// [`Pipe::len`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Given to the line.
    pub sent: u64,
    /// Taken out at the other end.
    pub delivered: u64,
    /// Lost by chance or by a cut.
    pub lost: u64,
    /// Doubled on their way.
    pub duplicated: u64,
    /// Of those delivered: damaged.
    pub damaged: u64,
    /// Given back as larger than the MTU.
    pub too_big: u64,
    /// Given back for want of room.
    pub full: u64,
}

#[derive(Clone, Debug)]
struct InFlight<T> {
    arrives_at: u64,
    bytes: usize,
    damage: Option<Damage>,
    item: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Air {
    Whole,
    Cut,
}

/// One direction of a link: items go in, and come out later or never; in order, once and
/// unharmed where its shape is [faithful](Shape::is_faithful).
#[derive(Clone, Debug)]
pub struct Pipe<T> {
    shape: Shape,
    luck: Luck,
    line: Option<Line>,
    air: Air,
    /// By arrival; what arrives at once in the order of sending.
    in_flight: VecDeque<InFlight<T>>,
    bytes: usize,
    /// When the last item arrives of those that nothing held up.
    last_in_turn: u64,
    counters: Counters,
}

impl<T> Pipe<T> {
    /// An empty pipe; `seed` decides what chance does.
    ///
    /// # Panics
    /// When a number of the shape is out of its range.
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        shape.check();
        Self {
            shape,
            luck: Luck::new(seed),
            line: shape.rate_bytes_per_s.map(Line::new),
            air: Air::Whole,
            in_flight: VecDeque::new(),
            bytes: 0,
            last_in_turn: 0,
            counters: Counters::default(),
        }
    }

    /// The pipe is like `shape` from now on. What is on its way arrives as it would have; what
    /// still waits for the line delays what is sent from now on at the new rate.
    ///
    /// # Panics
    /// When a number of the shape is out of its range.
    pub fn set_shape(&mut self, now: Duration, shape: Shape) {
        shape.check();
        match (&mut self.line, shape.rate_bytes_per_s) {
            (Some(line), Some(rate)) => line.change_rate(micros(now), rate),
            (line, rate) => *line = rate.map(Line::new),
        }
        self.shape = shape;
    }

    /// Sends `item`, which takes `bytes_len` bytes of the line.
    pub fn send(&mut self, now: Duration, bytes_len: usize, item: T) -> Verdict<T>
    where
        T: Clone,
    {
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
        let fate = self.luck.next(&self.shape);
        if fate.is_lost || self.air == Air::Cut {
            self.counters.lost += 1;
            return Verdict::Lost;
        }
        if let Some(second) = fate.second {
            self.counters.duplicated += 1;
            self.pass(left_at, bytes_len, fate.first, item.clone());
            self.pass(left_at, bytes_len, second, item);
        } else {
            self.pass(left_at, bytes_len, fate.first, item);
        }
        Verdict::Queued
    }

    fn pass(&mut self, left_at: u64, bytes: usize, passage: Passage, item: T) {
        let arrives_at =
            left_at.saturating_add(micros_up(self.shape.delay)).saturating_add(passage.jitter);
        self.last_in_turn = self.last_in_turn.max(arrives_at);
        let arrives_at = self.last_in_turn.saturating_add(passage.late_by);
        self.bytes = self.bytes.saturating_add(bytes);
        // Mostly the end: only those that are late stand behind it.
        let place = self.in_flight.partition_point(|other| other.arrives_at <= arrives_at);
        let in_flight = InFlight { arrives_at, bytes, damage: passage.damage, item };
        self.in_flight.insert(place, in_flight);
    }

    /// The next item that has arrived by `now`, if any, for pipes that damage nothing. Call it
    /// until `None`.
    pub fn poll(&mut self, now: Duration) -> Option<T> {
        self.poll_arrival(now).map(|arrival| arrival.item)
    }

    /// What has arrived next by `now`, if anything. Call it until `None`.
    pub fn poll_arrival(&mut self, now: Duration) -> Option<Arrival<T>> {
        if self.in_flight.front()?.arrives_at > micros(now) {
            return None;
        }
        let arrived = self.in_flight.pop_front()?;
        self.bytes -= arrived.bytes;
        self.counters.delivered += 1;
        self.counters.damaged += u64::from(arrived.damage.is_some());
        Some(Arrival { item: arrived.item, damage: arrived.damage })
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
