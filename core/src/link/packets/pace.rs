//! How much may be under way on a packet-shaped link: what it delivers in a round trip.
//!
//! A radio loses packets whatever is sent, so a loss says nothing about congestion and does not
//! slow the link. What may be under way follows from the largest rate of delivery in the last
//! rounds (Cheng et al., draft-cheng-iccrg-delivery-rate-estimation) and the least round trip of
//! the last seconds, as BBR has it: so the pipe is full, and next to nothing waits in it that a
//! control frame would have to wait for.

use crate::limits::{FRAGMENT_ACK_DELAY, FRAGMENT_ACK_EVERY};
use crate::time::{Duration, Instant};

/// The round trip before one was measured.
const RTT_INITIAL: Duration = Duration::from_millis(100);
/// Packets that may be under way before a rate was measured.
const PACKETS_INITIAL: usize = 10;
/// Rounds whose rates are remembered.
const ROUNDS: usize = 10;
/// Rounds in which the rate grows by less than a quarter end the start.
const PLATEAU_ROUNDS: u8 = 3;
/// The least round trip is looked for anew after so long.
const RTT_MIN_LASTS: Duration = Duration::from_secs(10);
/// The longest wait between two probes.
const PROBE_MAX: Duration = Duration::from_secs(1);
/// Doublings of the wait for a probe.
const BACKOFFS_MAX: u8 = 6;

/// What is noted when a packet leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    pub(super) at: Instant,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    idle: bool,
}

/// Rate and round trips of one link.
#[derive(Debug)]
pub(super) struct Pace {
    rtt: Option<(Duration, Duration)>,
    rtt_min: Duration,
    rtt_min_at: Instant,
    /// The way is emptied until then, to see its least round trip.
    probing_until: Option<Instant>,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Until so much is delivered, what was sent was all there was.
    idle_until: u64,
    /// Largest rate of each of the last rounds, in bytes a second.
    rates: [u64; ROUNDS],
    round: usize,
    round_ends: u64,
    /// While the rate still grows: the rate to beat, rounds that did not, what may be under way.
    start: Option<Start>,
    backoffs: u8,
}

#[derive(Debug)]
struct Start {
    rate: u64,
    rounds: u8,
    window: usize,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rtt: None,
            rtt_min: RTT_INITIAL,
            rtt_min_at: now,
            probing_until: None,
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            idle_until: 0,
            rates: [0; ROUNDS],
            round: 0,
            round_ends: 0,
            start: Some(Start { rate: 0, rounds: 0, window: 0 }),
            backoffs: 0,
        }
    }

    /// A packet leaves while so many bytes are under way.
    pub(super) fn on_sent(&mut self, now: Instant, under_way: usize) -> Departure {
        if under_way == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Departure {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            idle: self.delivered < self.idle_until,
        }
    }

    /// There was nothing to send, though more could have been under way.
    pub(super) fn on_idle(&mut self, under_way: usize) {
        self.idle_until = self.delivered + under_way as u64 + 1;
    }

    /// A packet of so many bytes arrived.
    pub(super) fn on_delivered(&mut self, now: Instant, bytes: usize) {
        self.delivered += bytes as u64;
        self.delivered_at = now;
        if let Some(start) = &mut self.start {
            start.window += bytes;
        }
    }

    /// The newest packet that an acknowledgement speaks of; `first` if it was sent once.
    pub(super) fn on_newest(&mut self, now: Instant, sent: &Departure, first: bool) {
        self.backoffs = 0;
        if first {
            self.on_rtt(now, now.since(sent.at));
        }
        let sending = sent.at.since(sent.first_sent_at);
        // Nothing arrives faster than in a round trip: acknowledgements came together.
        let interval = now.since(sent.delivered_at).max(sending).max(self.rtt_min);
        self.first_sent_at = self.first_sent_at.max(sent.at);
        if sent.delivered >= self.round_ends {
            self.round_ends = self.delivered;
            self.on_round(sent.idle);
        }
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = (self.delivered - sent.delivered).saturating_mul(1_000_000) / micros;
        if (!sent.idle || rate > self.rate())
            && let Some(most) = self.rates.get_mut(self.round)
        {
            *most = rate.max(*most);
        }
    }

    fn on_round(&mut self, idle: bool) {
        let rate = self.rate();
        if let Some(start) = &mut self.start
            && !idle
        {
            if rate >= start.rate + start.rate / 4 {
                (start.rate, start.rounds) = (rate, 0);
            } else {
                start.rounds += 1;
            }
            if start.rounds >= PLATEAU_ROUNDS {
                self.start = None;
            }
        }
        // Rounds with little to send say nothing of what could have been.
        if !idle {
            self.round = (self.round + 1) % ROUNDS;
            if let Some(rate) = self.rates.get_mut(self.round) {
                *rate = 0;
            }
        }
    }

    fn on_rtt(&mut self, now: Instant, rtt: Duration) {
        let is_first = self.rtt.is_none();
        // RFC 9002, section 5.3.
        self.rtt = Some(match self.rtt {
            None => (rtt, rtt / 2),
            Some((smooth, varies)) => {
                ((smooth * 7 + rtt) / 8, (varies * 3 + smooth.abs_diff(rtt)) / 4)
            }
        });
        let emptied = self.probing_until.is_some_and(|until| now >= until);
        if is_first || rtt <= self.rtt_min || emptied {
            self.rtt_min = rtt.max(Duration::from_micros(1));
            self.rtt_min_at = now;
            self.probing_until = None;
        } else if self.probing_until.is_none() && now.since(self.rtt_min_at) >= RTT_MIN_LASTS {
            self.probing_until = Some(now + rtt);
        }
    }

    /// Bytes a second that the link delivers; 0 before it was measured.
    pub(super) fn rate(&self) -> u64 {
        self.rates.iter().copied().max().unwrap_or_default()
    }

    /// Bytes that may be under way.
    pub(super) fn window(&self, packet_bytes: usize) -> usize {
        let during = |time: Duration| {
            let bytes = u128::from(self.rate()) * time.as_micros() / 1_000_000;
            usize::try_from(bytes).unwrap_or(usize::MAX)
        };
        let trip = during(self.rtt_min);
        let batch = during(FRAGMENT_ACK_DELAY).min(usize::from(FRAGMENT_ACK_EVERY) * packet_bytes);
        let full = trip + trip / 10 + batch + 2 * packet_bytes;
        match &self.start {
            Some(start) => full.max(PACKETS_INITIAL * packet_bytes + start.window),
            None if self.probing_until.is_some() => trip / 2 + packet_bytes,
            None => full,
        }
    }

    /// The smoothed round trip.
    pub(super) fn rtt(&self) -> Duration {
        self.rtt.map_or(RTT_INITIAL, |(smooth, _)| smooth)
    }

    /// The least round trip of the last seconds.
    pub(super) fn rtt_min(&self) -> Duration {
        self.rtt_min
    }

    /// A packet is lost when a later one arrived and it is out for so long (RFC 9002, 6.1.2, whose
    /// receivers tell at once).
    pub(super) fn lost_after(&self) -> Duration {
        let rtt = self.rtt();
        rtt + rtt / 8 + FRAGMENT_ACK_DELAY
    }

    /// Without an acknowledgement for so long, the oldest packet is sent again (RFC 9002, 6.2).
    pub(super) fn probe_after(&self) -> Duration {
        let (smooth, varies) = self.rtt.unwrap_or((RTT_INITIAL, RTT_INITIAL / 2));
        let wait = smooth + (varies * 4).max(Duration::from_millis(1)) + FRAGMENT_ACK_DELAY;
        (wait * (1 << self.backoffs)).min(PROBE_MAX.max(wait))
    }

    /// The oldest packet was sent again.
    pub(super) fn on_probe(&mut self) {
        self.backoffs = (self.backoffs + 1).min(BACKOFFS_MAX);
    }
}
