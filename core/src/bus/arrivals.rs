//! The receiving half of one lane's packet numbers: replay window and acknowledgements.

use super::frame::Ack;
use super::ranges::Ranges;
use crate::limits::{ACK_DELAY_MAX, ACK_RANGES_MAX, REPLAY_WINDOW_PACKETS};
use crate::time::{Duration, Instant};

const WORDS: usize = (REPLAY_WINDOW_PACKETS / 64) as usize;

/// An acknowledgement goes at once for so many packets that nobody asked one for.
const PACKETS_MAX: u32 = 16;

/// What a packet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asks {
    /// It holds acknowledgements only.
    Nothing,
    /// An acknowledgement within [`ACK_DELAY_MAX`].
    InTime,
    /// An acknowledgement at once: it holds a Ping.
    AtOnce,
}

/// Which packets of a lane arrived, and when to say so.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// One past the largest packet number.
    end: u64,
    /// Bit `n % 2048` stands for packet `n` of the last 2,048.
    window: [u64; WORDS],
    ranges: Ranges,
    largest_at: Instant,
    marks: u64,
    /// Packets that ask for an acknowledgement and have none yet.
    unacked: u32,
    ack_at: Option<Instant>,
    ack_now: bool,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            end: 0,
            window: [0; WORDS],
            ranges: Ranges::default(),
            largest_at: Instant::EPOCH,
            marks: 0,
            unacked: 0,
            ack_at: None,
            ack_now: false,
        }
    }
}

impl Arrivals {
    /// The whole packet number whose low 32 bits are `low` (RFC 9000, appendix A.3).
    pub(super) fn expand(&self, low: u32) -> u64 {
        const SPAN: u64 = 1 << 32;
        let candidate = (self.end & !(SPAN - 1)) | u64::from(low);
        if candidate + SPAN / 2 <= self.end {
            candidate + SPAN
        } else if candidate > self.end + SPAN / 2 && candidate >= SPAN {
            candidate - SPAN
        } else {
            candidate
        }
    }

    /// Whether `number` is neither known nor too old to know.
    pub(super) fn is_new(&self, number: u64) -> bool {
        if number >= self.end {
            return true;
        }
        number + REPLAY_WINDOW_PACKETS >= self.end && !self.bit(number)
    }

    fn bit(&self, number: u64) -> bool {
        self.window[(number / 64) as usize % WORDS] & (1 << (number % 64)) != 0
    }

    /// Notes an authentic packet, and whether it asks for an acknowledgement.
    pub(super) fn note(&mut self, now: Instant, number: u64, asks: Asks, marked: bool) {
        let in_order = number == self.end;
        if number >= self.end {
            let from = self.end.max((number + 1).saturating_sub(REPLAY_WINDOW_PACKETS));
            for skipped in from..number {
                self.window[(skipped / 64) as usize % WORDS] &= !(1 << (skipped % 64));
            }
            self.end = number + 1;
            self.largest_at = now;
        }
        self.window[(number / 64) as usize % WORDS] |= 1 << (number % 64);
        self.ranges.insert(number..number + 1);
        while self.ranges.count() > ACK_RANGES_MAX {
            self.ranges.forget_first();
        }
        self.marks += u64::from(marked);
        if asks != Asks::Nothing {
            self.unacked += 1;
            let at_once = asks == Asks::AtOnce || !in_order || marked;
            self.ack_now |= at_once || self.unacked >= PACKETS_MAX;
            self.ack_at.get_or_insert(now + ACK_DELAY_MAX);
        }
    }

    /// Whether an acknowledgement should go even alone.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.ack_now || self.ack_at.is_some_and(|at| at <= now)
    }

    /// When an acknowledgement that waits for company goes alone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ack_at
    }

    /// The acknowledgement to send, if any packet asks for one.
    pub(super) fn take_ack(&mut self, now: Instant) -> Option<Ack> {
        if self.unacked == 0 {
            return None;
        }
        (self.unacked, self.ack_at, self.ack_now) = (0, None, false);
        let delay = now.since(self.largest_at);
        let ranges = self.ranges.iter().rev().map(|range| range.start..=range.end - 1).collect();
        let delay_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        Some(Ack { delay_us, marks: self.marks, ranges })
    }

    /// The peer has an acknowledgement that named all up to `largest`: say no more of those.
    pub(super) fn on_ack_acked(&mut self, largest: u64) {
        // The largest itself stays, so that there is always one range to send.
        self.ranges.remove(&(0..largest));
    }
}

impl Ack {
    pub(super) fn largest(&self) -> u64 {
        self.ranges.first().map_or(0, |range| *range.end())
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: impl IntoIterator<Item = u64>) -> Arrivals {
        let mut arrivals = Arrivals::default();
        numbers.into_iter().for_each(|n| arrivals.note(Instant::EPOCH, n, Asks::InTime, false));
        arrivals
    }

    #[test]
    fn a_number_counts_once_and_not_after_the_window_has_passed() {
        let newest = REPLAY_WINDOW_PACKETS + 2;
        let arrivals = arrivals([0, 5, newest]);
        assert!(!arrivals.is_new(newest) && !arrivals.is_new(5) && !arrivals.is_new(0));
        assert!(arrivals.is_new(6) && arrivals.is_new(3) && !arrivals.is_new(2));
        assert!(arrivals.is_new(newest - 1) && arrivals.is_new(newest + 1));
    }

    #[test]
    fn a_jump_over_the_whole_window_clears_it() {
        let arrivals = arrivals((0..3_000).chain([100_000]));
        assert!((97_953..100_000).all(|n| arrivals.is_new(n)));
        assert!(!arrivals.is_new(97_952) && !arrivals.is_new(100_000));
    }

    #[test]
    fn low_bits_expand_to_the_nearest_number() {
        let arrivals = arrivals([0xa_82f3_0ea0]);
        for number in [0xa_82f3_0ea1_u64, 0xa_82f3_0000, 0xa_ffff_ffff, 0xa_0300_0000] {
            let low = (number & 0xffff_ffff) as u32;
            assert_eq!(arrivals.expand(low), number);
        }
        assert_eq!(arrivals.expand(0x0000_0001), 0xb_0000_0001);
        assert_eq!(super::Arrivals::default().expand(u32::MAX), u64::from(u32::MAX));
    }

    #[test]
    fn what_asks_and_every_gap_is_acknowledged_at_once() {
        let now = Instant::from_millis(1);
        let mut one = arrivals([]);
        one.note(now, 0, Asks::InTime, false);
        assert!(!one.is_due(now) && one.is_due(now + ACK_DELAY_MAX));
        one.note(now, 1, Asks::AtOnce, false);
        assert!(one.is_due(now));
        assert_eq!(one.take_ack(now).unwrap().ranges, [0..=1]);
        assert_eq!(one.take_ack(now), None);
        one.note(now, 3, Asks::InTime, false);
        assert!(one.is_due(now));
        one.on_ack_acked(1);
        assert_eq!(one.take_ack(now).unwrap().ranges, [3..=3, 1..=1]);
    }

    #[test]
    fn a_mark_and_many_packets_are_acknowledged_unasked() {
        let now = Instant::EPOCH;
        let mut few = arrivals(0..15);
        assert!(!few.is_due(now));
        few.note(now, 15, Asks::InTime, false);
        assert!(few.is_due(now));
        few.take_ack(now).unwrap();
        few.note(now, 16, Asks::InTime, true);
        assert!(few.is_due(now));
        few.take_ack(now).unwrap();
        few.note(now, 17, Asks::Nothing, false);
        assert_eq!(few.deadline(), None);
    }

    #[test]
    fn the_ranges_are_bounded() {
        let mut many = arrivals((0..1_000).map(|n| 2 * n));
        assert_eq!(many.take_ack(Instant::EPOCH).unwrap().ranges.len(), ACK_RANGES_MAX);
    }
}
