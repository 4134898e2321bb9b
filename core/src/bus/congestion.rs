//! How much may be on its way to a peer: one window of bytes for all lanes of a session.
//!
//! A mesh's links are mostly reliable, so loss is late and rare as a signal. What counts is
//! delay (a queue stands somewhere on the path) and the marks that relays set (RFC 8257, DCTCP).
//! Once in a round trip the window is judged; loss is answered at most once in a round trip.

use crate::time::{Duration, Instant};

/// Queueing that is always tolerated: below it a busy host's scheduling looks like a queue.
const QUEUE_MIN: Duration = Duration::from_millis(10);
/// Queueing that is never tolerated for long: what relays mark at.
const QUEUE_MAX: Duration = Duration::from_millis(60);
/// How long the lowest round trip is believed; paths change without a word.
const BASE_KEPT: Duration = Duration::from_secs(10);
/// The most a window grows to, in bytes.
const WINDOW_MAX: u64 = 16 * 1_024 * 1_024;
/// A packet with less than this is counted as so much when windows are floored.
const PACKET_MIN: u64 = 1_280;

#[derive(Clone, Debug)]
pub(super) struct Congestion {
    window: u64,
    in_flight: u64,
    packet: u64,
    slow_start: bool,
    /// Lowest round trips of this and of the last [`BASE_KEPT`].
    base: [Duration; 2],
    base_since: Option<Instant>,
    /// Loss of a packet sent before this has been answered already.
    recovery_from: Option<Instant>,
    round: Round,
    /// Share of marked packets, smoothed.
    marked_share: f32,
}

/// What one round trip showed.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Ends when a packet sent after this is acknowledged.
    since: Option<Instant>,
    lowest: Duration,
    packets: u32,
    marked: u32,
    bytes: u64,
    /// Whether the window, not the application, was the limit.
    filled: bool,
}

impl Round {
    const fn new(since: Option<Instant>) -> Self {
        Self { since, lowest: Duration::MAX, packets: 0, marked: 0, bytes: 0, filled: false }
    }
}

impl Congestion {
    /// A fresh window for packets of up to `packet` bytes.
    pub(super) fn new(packet: usize) -> Self {
        let packet = (packet as u64).max(PACKET_MIN);
        Self {
            window: (10 * packet).min((2 * packet).max(16 * 1_024)),
            in_flight: 0,
            packet,
            slow_start: true,
            base: [Duration::MAX; 2],
            base_since: None,
            recovery_from: None,
            round: Round::new(None),
            marked_share: 0.0,
        }
    }

    /// Forgets what was learnt of the old path; what is still in flight stays counted.
    pub(super) fn reset(&mut self, packet: usize) {
        *self = Self { in_flight: self.in_flight, ..Self::new(packet) };
    }

    pub(super) fn set_packet(&mut self, packet: usize) {
        self.packet = (packet as u64).max(PACKET_MIN);
        self.window = self.window.max(self.floor());
    }

    #[cfg(test)]
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Whether one more packet may go; `urgent` ones may exceed the window by a quarter.
    pub(super) fn has_room(&self, urgent: bool) -> bool {
        let extra = if urgent { self.window / 4 + 2 * self.packet } else { 0 };
        self.in_flight < self.window + extra
    }

    /// Whether a packet of `bytes` asks for an acknowledgement, after `unasked` bytes, its own
    /// included: an eighth of the window keeps its clock going, and a full one must not wait.
    pub(super) fn asks(&self, unasked: u64, bytes: u64) -> bool {
        unasked >= (self.window / 8).max(2 * self.packet) || self.in_flight + bytes >= self.window
    }

    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64) {
        self.in_flight += bytes;
        self.round.since.get_or_insert(now);
        if !self.has_room(false) {
            self.round.filled = true;
        }
    }

    /// Packets left the network otherwise than by acknowledgement or loss.
    pub(super) fn on_forgotten(&mut self, bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// A packet was acknowledged. `sample` is the round trip, where this one gives one.
    pub(super) fn on_acked(
        &mut self,
        now: Instant,
        bytes: u64,
        sent: Instant,
        sample: Option<Duration>,
    ) {
        if !self.has_room(false) {
            self.round.filled = true;
        }
        self.in_flight = self.in_flight.saturating_sub(bytes);
        self.round.packets += 1;
        self.round.bytes += bytes;
        if let Some(sample) = sample {
            self.on_sample(now, sample);
        }
        if self.slow_start && self.round.filled {
            self.window = (self.window + bytes).min(WINDOW_MAX);
            if self.queue() > self.tolerated() && self.round.packets >= 4 {
                self.leave_slow_start();
            }
        }
        if self.round.since.is_some_and(|since| sent >= since) {
            self.judge();
            self.round = Round::new(Some(now));
        }
    }

    /// Packets arrived with a congestion mark.
    pub(super) fn on_marked(&mut self, packets: u64) {
        self.round.marked =
            self.round.marked.saturating_add(u32::try_from(packets).unwrap_or(u32::MAX));
        if packets > 0 && self.slow_start {
            self.leave_slow_start();
        }
    }

    /// A packet sent at `sent` was lost.
    pub(super) fn on_lost(&mut self, now: Instant, bytes: u64, sent: Instant) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        if self.recovery_from.is_some_and(|from| sent <= from) {
            return;
        }
        self.recovery_from = Some(now);
        self.slow_start = false;
        self.window = (self.window * 7 / 10).max(self.floor());
    }

    /// Probes go unanswered: as good as nothing gets through.
    pub(super) fn on_silence(&mut self) {
        self.window = self.floor();
    }

    fn floor(&self) -> u64 {
        2 * self.packet
    }

    fn on_sample(&mut self, now: Instant, sample: Duration) {
        let since = *self.base_since.get_or_insert(now);
        if now.since(since) >= BASE_KEPT {
            self.base = [sample, self.base[0]];
            self.base_since = Some(now);
        }
        self.base[0] = self.base[0].min(sample);
        self.round.lowest = self.round.lowest.min(sample);
    }

    fn base(&self) -> Duration {
        self.base[0].min(self.base[1])
    }

    fn queue(&self) -> Duration {
        if self.round.lowest == Duration::MAX {
            return Duration::ZERO;
        }
        self.round.lowest.saturating_sub(self.base())
    }

    fn tolerated(&self) -> Duration {
        (self.base() / 2).clamp(QUEUE_MIN, QUEUE_MAX)
    }

    fn leave_slow_start(&mut self) {
        self.slow_start = false;
        // Slow start overshoots by what it sent in the round that showed it.
        self.window = (self.window * 7 / 10).max(self.floor());
    }

    /// Once a round trip: shrink to what the path holds, or grow if all of it was used.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn judge(&mut self) {
        let share = self.round.marked as f32 / self.round.packets.max(1) as f32;
        self.marked_share += (share.min(1.0) - self.marked_share) / 8.0;
        let window = self.window as f32;
        if self.round.marked > 0 {
            let share = self.marked_share.max(0.125);
            self.window = ((window * (1.0 - share / 2.0)) as u64).max(self.floor());
        } else if self.queue() > self.tolerated() && !self.slow_start {
            let fits = (self.base() + self.tolerated()).as_secs_f32();
            let share = (fits / self.round.lowest.as_secs_f32()).clamp(0.7, 0.98);
            self.window = ((window * share) as u64).max(self.floor());
        } else if self.round.filled && !self.slow_start {
            // A sixteenth a round finds a path that got wider within a few dozen round trips.
            let step = self.packet.max(self.window / 16);
            self.window = (self.window + step).min(WINDOW_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs a path of `rate` bytes a second and `base` both ways for `seconds`; returns the
    /// window at the end and the longest wait in the queue in the second half.
    fn run(rate: u64, base: Duration, packet: u64, seconds: u64) -> (u64, Duration) {
        let mut congestion = Congestion::new(packet as usize);
        let mut flight = alloc::collections::VecDeque::new();
        let (mut now, mut free, mut worst) = (Instant::EPOCH, Instant::EPOCH, Duration::ZERO);
        let end = Instant::from_millis(seconds * 1_000);
        while now < end {
            while congestion.has_room(false) {
                congestion.on_sent(now, packet);
                free = free.max(now) + Duration::from_micros(packet * 1_000_000 / rate);
                flight.push_back((now, free + base));
                if now > Instant::from_millis(seconds * 500) {
                    worst = worst.max(free.since(now));
                }
            }
            let (sent, arrival) = flight.pop_front().unwrap();
            now = arrival;
            congestion.on_acked(now, packet, sent, Some(now.since(sent)));
        }
        (congestion.window(), worst)
    }

    #[test]
    fn a_slow_path_is_filled_without_a_standing_queue_of_seconds() {
        let (window, worst) = run(20_000, 60 * MS, 1_280, 30);
        assert!(window >= 2 * 1_280, "{window}");
        assert!(worst < 400 * MS, "{worst:?}");
    }

    #[test]
    fn a_fast_path_gets_megabytes() {
        let (window, worst) = run(400_000_000, 5 * MS, 65_536, 10);
        assert!(window > 1_900_000, "{window}");
        assert!(worst < 40 * MS, "{worst:?}");
    }

    #[test]
    fn marks_and_losses_shrink_the_window_once_a_round() {
        let mut congestion = Congestion::new(1_280);
        let before = congestion.window();
        for at in 1..=5 {
            congestion.on_sent(Instant::from_millis(at), 1_280);
        }
        for at in 1..=5 {
            congestion.on_lost(Instant::from_millis(20 + at), 1_280, Instant::from_millis(at));
        }
        assert_eq!(congestion.window(), before * 7 / 10);
        congestion.on_sent(Instant::from_millis(40), 1_280);
        congestion.on_marked(1);
        congestion.on_acked(
            Instant::from_millis(60),
            1_280,
            Instant::from_millis(40),
            Some(20 * MS),
        );
        assert!(congestion.window() < before * 7 / 10);
        for _ in 0..100 {
            congestion.on_silence();
        }
        assert_eq!(congestion.window(), 2 * 1_280);
    }

    #[test]
    fn an_application_that_sends_little_does_not_inflate_the_window() {
        let mut congestion = Congestion::new(1_280);
        let before = congestion.window();
        for at in 1..1_000 {
            congestion.on_sent(Instant::from_millis(100 * at), 1_280);
            let now = Instant::from_millis(100 * at + 30);
            congestion.on_acked(now, 1_280, Instant::from_millis(100 * at), Some(30 * MS));
        }
        assert_eq!(congestion.window(), before);
    }
}
