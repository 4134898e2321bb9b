//! Whether the other end is there, and how far away (protocol 4.4).

use crate::crypto::noise::Role;
use crate::limits::{CLOCKS_APART_PPM, KEEPALIVE_INTERVAL, LINK_DEAD_AFTER};
use crate::time::{Duration, Instant, earliest};
use crate::wire::control::Keepalive;

/// The end that was dialled waits so long instead, so that both do not ask at once.
const KEEPALIVE_INTERVAL_DIALLED: Duration = Duration::from_millis(5_250);
/// Who asked waits so long: it is the other end's turn.
const KEEPALIVE_INTERVAL_ASKED: Duration = Duration::from_secs(6);
/// Nothing heard for so long makes a link suspect.
const SUSPECT_AFTER: Duration = Duration::from_millis(6_500);
/// It is asked so long before whether it lives. Nobody is judged who was not asked and had that
/// time: the silence may be that of this node's own sleep.
const ANSWER: Duration = Duration::from_millis(500);
/// Data went out and nothing came back for so long: the other end is asked.
const ASK_AFTER: Duration = Duration::from_secs(2);
/// It did not answer either: the link is suspect before its next keepalive is missed.
const UNANSWERED_AFTER: Duration = Duration::from_millis(3_500);

/// Keepalives of one link. Only sealed frames count as signs of life.
///
/// The ends ask by turns, and an answer stands for the keepalive that would have been due. So one
/// keepalive each way in five seconds measures the round trip at either end in ten, by its own
/// clock alone.
#[derive(Debug)]
pub(super) struct Liveness {
    /// From an answer of this end to its next question.
    interval: Duration,
    heard_at: Instant,
    keepalive_at: Instant,
    /// A keepalive waits to be sent.
    due: bool,
    /// The next keepalive asks for an answer.
    ask: bool,
    /// When the silence was answered with a question.
    asked: Option<Instant>,
    /// When data first went out since something was heard.
    unanswered_since: Option<Instant>,
    suspect: bool,
    /// Keepalives sent. The lowest byte travels as the sequence.
    sent: u64,
    /// When the last 8 keepalives were sent, by sequence modulo 8.
    sent_at: [Instant; 8],
    echo: Option<(u8, Instant)>,
    rtt: Duration,
    /// Whether `rtt` is of keepalives, not of the handshake.
    measured: bool,
}

impl Liveness {
    /// A link that just came up; asks for an answer at once, so that both ends know the round
    /// trip of the link without the handshake's cryptography in it.
    pub(super) fn new(now: Instant, role: Role, rtt: Duration) -> Self {
        let interval = match role {
            Role::Initiator => KEEPALIVE_INTERVAL,
            Role::Responder => KEEPALIVE_INTERVAL_DIALLED,
        };
        Self {
            interval,
            heard_at: now,
            keepalive_at: now + interval,
            due: true,
            ask: true,
            asked: None,
            unanswered_since: None,
            suspect: false,
            sent: 0,
            sent_at: [now; 8],
            echo: None,
            rtt,
            measured: false,
        }
    }

    /// A sealed frame came in. Says whether that ends a suspicion.
    pub(super) fn on_frame(&mut self, now: Instant) -> bool {
        self.heard_at = now;
        self.asked = None;
        self.unanswered_since = None;
        core::mem::take(&mut self.suspect)
    }

    /// A data frame goes out. Nobody need answer it, but whoever is asked will.
    pub(super) fn on_data_sent(&mut self, now: Instant) {
        self.unanswered_since.get_or_insert(now);
    }

    /// Takes a keepalive; returns the round trip that it measures, if it does.
    pub(super) fn on_keepalive(&mut self, now: Instant, keepalive: Keepalive) -> Option<Duration> {
        self.echo = Some((keepalive.sequence, now));
        self.due |= keepalive.flags & Keepalive::REPLY != 0;
        let sample = self.sample(now, &keepalive)?;
        // RFC 6298 smooths by an eighth.
        self.rtt = if self.measured { (self.rtt * 7 + sample) / 8 } else { sample };
        self.measured = true;
        Some(sample)
    }

    fn sample(&self, now: Instant, keepalive: &Keepalive) -> Option<Duration> {
        let age = u64::from(self.sequence().wrapping_sub(keepalive.echo));
        if keepalive.flags & Keepalive::ECHO == 0 || age >= self.sent.min(8) {
            return None;
        }
        let sent_at = self.sent_at.get(usize::from(keepalive.echo % 8))?;
        let held = Duration::from_micros(u64::from(keepalive.held_us));
        let sample = now.since(*sent_at).saturating_sub(held);
        // The other end's clock measured how long it held the echo: on a quick link, what that may
        // be wrong by is more than the round trip.
        let error = held / 1_000_000 * CLOCKS_APART_PPM;
        // A link whose answers took longer would be down: one of both slept.
        (sample < LINK_DEAD_AFTER && error * 4 <= sample).then_some(sample)
    }

    /// Counts from 1 and wraps.
    fn sequence(&self) -> u8 {
        self.sent.to_le_bytes()[0]
    }

    /// Asks the other end for a sign of life at once.
    pub(super) fn probe(&mut self) {
        self.ask = true;
        self.due = true;
    }

    /// The keepalive that is due, if one is.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Keepalive> {
        if !core::mem::take(&mut self.due) {
            return None;
        }
        self.keepalive_at = now + if self.ask { KEEPALIVE_INTERVAL_ASKED } else { self.interval };
        self.sent += 1;
        let sequence = self.sequence();
        if let Some(slot) = self.sent_at.get_mut(usize::from(sequence % 8)) {
            *slot = now;
        }
        let mut flags = if core::mem::take(&mut self.ask) { Keepalive::REPLY } else { 0 };
        let (echo, held) = match self.echo {
            Some((echo, at)) => {
                flags |= Keepalive::ECHO;
                (echo, now.since(at))
            }
            None => (0, Duration::ZERO),
        };
        let held_us = u32::try_from(held.as_micros()).unwrap_or(u32::MAX);
        Some(Keepalive { sequence, flags, echo, held_us })
    }

    /// Makes the next keepalive due; asks once for an answer when the silence grows long. Says
    /// whether the link has just become suspect.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if now >= self.keepalive_at {
            self.probe();
            self.keepalive_at = now + KEEPALIVE_INTERVAL_ASKED;
        }
        if now >= self.ask_at() && self.asked.is_none() {
            self.asked = Some(now);
            self.probe();
        }
        let doubtful = self.suspect_at().is_some_and(|at| now >= at);
        let becomes_suspect = doubtful && !self.suspect;
        self.suspect |= becomes_suspect;
        becomes_suspect
    }

    fn ask_at(&self) -> Instant {
        let silent = self.heard_at + (SUSPECT_AFTER - ANSWER);
        self.unanswered_since.map_or(silent, |since| silent.min(since + ASK_AFTER))
    }

    fn suspect_at(&self) -> Option<Instant> {
        let silent = self.heard_at + SUSPECT_AFTER;
        let data = self.unanswered_since.map(|since| since + UNANSWERED_AFTER);
        Some(silent.min(data.unwrap_or(silent)).max(self.asked? + ANSWER))
    }

    fn dead_at(&self) -> Option<Instant> {
        Some((self.heard_at + LINK_DEAD_AFTER).max(self.asked? + ANSWER))
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect
    }

    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.dead_at().is_some_and(|at| now >= at)
    }

    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    pub(super) fn rtt(&self) -> Duration {
        self.rtt
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let ask = self.asked.is_none().then(|| self.ask_at());
        let suspect = if self.suspect { None } else { self.suspect_at() };
        earliest([Some(self.keepalive_at), ask, suspect, self.dead_at()])
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    #[test]
    fn the_round_trip_leaves_out_how_long_the_echo_was_held() {
        let mut a = Liveness::new(MS(0), Role::Initiator, Duration::from_millis(500));
        let mut b = Liveness::new(MS(0), Role::Initiator, Duration::ZERO);
        let ask = a.poll(MS(0)).unwrap();
        b.on_keepalive(MS(30), ask);
        let answer = b.poll(MS(42)).unwrap();
        a.on_keepalive(MS(72), answer);
        assert_eq!(a.rtt(), Duration::from_millis(60));
    }

    #[test]
    fn a_long_hold_by_another_clock_does_not_measure_a_quick_link() {
        let measure = |rtt: Duration, held: Duration| {
            let mut live = Liveness::new(MS(0), Role::Initiator, Duration::ZERO);
            let echo = live.poll(MS(0)).unwrap().sequence;
            // The other end's clock is slow by as much as two clocks may differ.
            let shown = held - held / 1_000_000 * CLOCKS_APART_PPM;
            let held_us = u32::try_from(shown.as_micros()).unwrap();
            let answer = Keepalive { sequence: 1, flags: Keepalive::ECHO, echo, held_us };
            live.on_keepalive(MS(0) + rtt + held, answer)
        };
        let (quick, slow) = (Duration::from_micros(600), Duration::from_millis(60));
        let [at_once, soon, late] = [0, 100, 4_900].map(Duration::from_millis);
        assert_eq!(measure(quick, at_once), Some(quick));
        assert_eq!(measure(quick, soon), Some(quick + Duration::from_micros(50)));
        assert_eq!(measure(quick, late), None);
        assert_eq!(measure(slow, late), Some(slow + Duration::from_micros(2_450)));
    }

    #[test]
    fn silence_makes_suspect_asks_once_and_then_kills() {
        let mut live = Liveness::new(MS(0), Role::Initiator, Duration::ZERO);
        assert_eq!(live.next_timeout(), Some(MS(5_000)));
        live.poll(MS(0));
        assert_eq!(live.next_timeout(), Some(MS(6_000)), "it has asked");
        assert!(!live.handle_timeout(MS(6_000)));
        let probe = live.poll(MS(6_000)).unwrap();
        assert_eq!(probe.flags & Keepalive::REPLY, Keepalive::REPLY);
        assert!(!live.handle_timeout(MS(6_499)));
        assert!(live.handle_timeout(MS(6_500)) && live.is_suspect());
        live.handle_timeout(MS(6_600));
        assert_eq!(live.poll(MS(6_600)), None, "asked once");
        assert!(!live.handle_timeout(MS(7_000)), "told once");
        assert!(!live.is_dead(MS(15_999)));
        assert!(live.is_dead(MS(16_000)));
    }

    #[test]
    fn data_without_an_answer_makes_suspect_sooner_and_any_frame_clears_it() {
        let mut live = Liveness::new(MS(0), Role::Initiator, Duration::ZERO);
        live.poll(MS(0));
        for ms in [1_000, 1_500, 2_999] {
            live.on_data_sent(MS(ms));
        }
        assert_eq!(live.next_timeout(), Some(MS(3_000)));
        assert!(!live.handle_timeout(MS(3_000)));
        assert_eq!(live.poll(MS(3_000)).unwrap().flags, Keepalive::REPLY);
        assert_eq!(live.next_timeout(), Some(MS(4_500)));
        assert!(live.handle_timeout(MS(4_500)) && live.is_suspect());
        assert!(live.on_frame(MS(4_600)) && !live.is_suspect());
        assert!(!live.on_frame(MS(4_700)));
        assert_eq!(live.next_timeout(), Some(MS(9_000)), "the next keepalive");
    }

    #[test]
    fn after_a_sleep_the_other_end_is_asked_before_it_is_judged() {
        for hours in [0, 5] {
            let mut live = Liveness::new(MS(0), Role::Initiator, Duration::ZERO);
            live.poll(MS(0));
            live.on_data_sent(MS(1_000));
            let woke = MS(9_000 + hours * 3_600_000);
            assert!(!live.is_dead(woke) && !live.handle_timeout(woke));
            assert_eq!(live.poll(woke).unwrap().flags, Keepalive::REPLY);
            assert_eq!(live.next_timeout(), Some(woke + ANSWER));
            assert!(!live.handle_timeout(woke + ANSWER / 2));
            assert_eq!(live.is_dead(woke + ANSWER), hours > 0);
            assert!(live.handle_timeout(woke + ANSWER) && live.is_suspect());
            assert!(live.on_frame(woke + ANSWER) && !live.is_dead(woke + ANSWER));
        }
    }

    /// Two ends in an hour: what each sends, and how often each measures, over a way of `delay`.
    fn hour(delay: Duration, lost: impl Fn(usize) -> bool) -> [(usize, usize); 2] {
        let roles = [Role::Initiator, Role::Responder];
        let mut ends = roles.map(|role| Liveness::new(MS(0), role, Duration::ZERO));
        let mut flight: Vec<(Instant, usize, Keepalive)> = Vec::new();
        let mut counts = [(0, 0); 2];
        let (mut now, mut sent) = (MS(0), 0);
        while now < MS(3_600_000) {
            for (from, end) in ends.iter_mut().enumerate() {
                let Some(keepalive) = end.poll(now) else { continue };
                counts[from].0 += 1;
                sent += 1;
                if !lost(sent) {
                    flight.push((now + delay, 1 - from, keepalive));
                }
            }
            let timeouts = ends.iter().filter_map(Liveness::next_timeout);
            now = timeouts.chain(flight.iter().map(|(at, ..)| *at)).min().unwrap();
            for (_, to, keepalive) in flight.extract_if(.., |(at, ..)| *at <= now) {
                ends[to].on_frame(now);
                counts[to].1 += usize::from(ends[to].on_keepalive(now, keepalive).is_some());
            }
            for end in &mut ends {
                end.handle_timeout(now);
            }
        }
        counts
    }

    #[test]
    fn one_keepalive_each_way_in_five_seconds_measures_at_both_ends() {
        for delay in [300, 30_000, 90_000].map(Duration::from_micros) {
            for (sent, measured) in hour(delay, |_| false) {
                assert!((680..=722).contains(&sent), "{delay:?}: {sent} sent");
                assert!(measured >= 330, "{delay:?}: {measured} measured");
            }
        }
    }

    #[test]
    fn keepalives_that_are_lost_at_most_double_them_and_turns_go_on() {
        for every in [2, 3, 5, 7] {
            for (sent, measured) in hour(Duration::from_millis(30), |number| number % every == 0) {
                assert!(sent <= 1_440, "each {every}th lost: {sent} sent");
                assert!(measured >= 100, "each {every}th lost: {measured} measured");
            }
        }
    }

    #[test]
    fn a_stale_or_forged_echo_does_not_move_the_round_trip() {
        let mut live = Liveness::new(MS(0), Role::Initiator, Duration::from_millis(7));
        live.poll(MS(0));
        for echo in [0, 2, 250, 255] {
            let forged = Keepalive { sequence: 1, flags: Keepalive::ECHO, echo, held_us: 0 };
            assert_eq!(live.on_keepalive(MS(3_000), forged), None, "{echo} was never sent");
        }
        for number in 0..20 {
            live.handle_timeout(MS(number * 6_000));
            live.poll(MS(number * 6_000));
        }
        let echo = Keepalive { sequence: 1, flags: Keepalive::ECHO, echo: 3, held_us: 0 };
        live.on_keepalive(MS(120_000), echo);
        assert_eq!(live.rtt(), Duration::from_millis(7));
    }

    /// A keepalive each six seconds for an hour, answered after `rtt_ms` of it.
    fn rtts(rtt_ms: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut live = Liveness::new(MS(0), Role::Initiator, Duration::ZERO);
        let rtt = |at: u64| {
            let now = MS(at * 6_000);
            live.handle_timeout(now);
            let sent = live.poll(now).expect("a keepalive is due");
            let echo = sent.sequence;
            let answer = Keepalive { sequence: 1, flags: Keepalive::ECHO, echo, held_us: 0 };
            live.on_keepalive(now + Duration::from_millis(rtt_ms(at)), answer);
            u64::try_from(live.rtt().as_millis()).unwrap()
        };
        (0..600).map(rtt).collect()
    }

    #[test]
    fn the_round_trip_stays_smooth_when_the_sequence_wraps() {
        // The 257th keepalive has sequence 1 again.
        let rtts = rtts(|at| if at % 256 == 0 && at > 0 { 900 } else { 100 });
        assert_eq!((rtts[255], rtts[256], rtts[512]), (100, 200, 200));
        assert!(rtts.iter().all(|rtt| *rtt <= 200), "{rtts:?}");
    }

    #[test]
    fn a_keepalive_that_slept_with_its_node_measures_nothing() {
        let rtts = rtts(|at| if at == 100 { 3_600_000 } else { 100 });
        assert_eq!(rtts, [100; 600]);
    }
}
