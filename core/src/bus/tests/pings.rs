//! Pings: what they measure, and what they say when there is nothing to measure.

use super::*;
use crate::limits::PINGS_MAX;

impl Pair {
    fn ping(&mut self, from: usize, give_up: Duration) -> PingId {
        let to = self.keys[1 - from];
        self.ends[from].ping(self.now, to, give_up).unwrap()
    }

    fn ponged(&self, end: usize, ping: PingId) -> Option<Duration> {
        self.events[end].iter().find_map(|event| match event {
            BusEvent::Pong { id, rtt, hops: 2, .. } if *id == ping => Some(*rtt),
            _ => None,
        })
    }

    fn failed(&self, end: usize, ping: PingId) -> Option<PingFailure> {
        self.events[end].iter().find_map(|event| match event {
            BusEvent::PingFailed { id, reason, .. } if *id == ping => Some(*reason),
            _ => None,
        })
    }
}

#[test]
fn a_ping_makes_the_session_and_measures_the_way_alone() {
    let mut pair = Pair::new(1);
    for _ in 0..3 {
        let id = pair.ping(0, 5 * SECOND);
        assert!(pair.run_until(5 * SECOND, |pair| pair.ponged(0, id).is_some()));
        // Neither the handshake before the first one nor a delayed answer is in it.
        assert_eq!(pair.ponged(0, id), Some(20 * MS));
    }
    assert_eq!(pair.ends[0].sessions(), 1);
}

#[test]
fn a_ping_does_not_wait_behind_what_it_would_share_a_packet_with() {
    let mut pair = Pair::new(2);
    pair.pipes(|pipe| pipe.bytes_per_s = Some(20_000));
    let first = pair.ping(0, 5 * SECOND);
    assert!(pair.run_until(5 * SECOND, |pair| pair.ponged(0, first).is_some()));
    let (to, data) = (pair.keys[1], Bytes::from(alloc::vec![0; 1_000]));
    pair.ends[0].send_unreliable(pair.now, to, Lane::Realtime, data, None).unwrap();
    let id = pair.ping(0, 5 * SECOND);
    assert!(pair.run_until(5 * SECOND, |pair| pair.ponged(0, id).is_some()));
    assert!(pair.ponged(0, id).unwrap() < 30 * MS, "{:?}", pair.ponged(0, id));
}

#[test]
fn a_lost_ping_is_lost_and_not_repeated() {
    let mut pair = Pair::new(3);
    let first = pair.ping(0, 5 * SECOND);
    assert!(pair.run_until(5 * SECOND, |pair| pair.ponged(0, first).is_some()));
    pair.run(SECOND);
    let id = pair.ping(0, 5 * SECOND);
    pair.transmit();
    pair.flight.clear();
    assert!(pair.run_until(5 * SECOND, |pair| pair.failed(0, id).is_some()));
    assert_eq!(pair.failed(0, id), Some(PingFailure::Lost));
    pair.run(5 * SECOND);
    assert_eq!(pair.ponged(0, id), None, "one outcome");
}

#[test]
fn an_answer_that_comes_after_the_probes_is_an_answer() {
    let mut pair = Pair::new(6);
    let first = pair.ping(0, 5 * SECOND);
    assert!(pair.run_until(5 * SECOND, |pair| pair.ponged(0, first).is_some()));
    pair.pipes(|pipe| pipe.delay = 200 * MS);
    let probes = pair.ends[0].counters().probes;
    let id = pair.ping(0, 5 * SECOND);
    assert!(pair.run_until(5 * SECOND, |pair| pair.ponged(0, id).is_some()));
    assert_eq!(pair.ponged(0, id), Some(400 * MS));
    assert!(pair.ends[0].counters().probes > probes);
}

#[test]
fn a_ping_without_an_answer_gives_up_in_time_and_says_why() {
    let mut pair = Pair::new(4);
    pair.set_paths(None);
    let nowhere = pair.ping(0, SECOND);
    pair.run(999 * MS);
    assert_eq!(pair.failed(0, nowhere), None);
    pair.run(MS);
    assert_eq!(pair.failed(0, nowhere), Some(PingFailure::NoRoute));
    assert_eq!(pair.ends[0].sessions(), 0, "what only a ping needed is gone");

    pair.set_paths(Some(path(0, 1_280)));
    let first = pair.ping(0, 5 * SECOND);
    assert!(pair.run_until(5 * SECOND, |pair| pair.ponged(0, first).is_some()));
    pair.pipes(|pipe| pipe.lost_percent = 100);
    let unheard = pair.ping(0, 2 * SECOND);
    pair.run(2 * SECOND);
    assert_eq!(pair.failed(0, unheard), Some(PingFailure::TimedOut));

    let ended = pair.ping(0, 100 * SECOND);
    pair.run(SECOND);
    pair.ends[0].close(pair.now);
    pair.run(SECOND);
    let reason = PingFailure::SessionEnded(SessionEnd::ClosedByLocal);
    assert_eq!(pair.failed(0, ended), Some(reason));
    let to = pair.keys[1];
    assert_eq!(pair.ends[0].ping(pair.now, to, SECOND), Err(PingError::Closed));
}

#[test]
fn pings_are_bounded_until_their_outcomes_are_read() {
    let mut pair = Pair::new(5);
    let limit = PINGS_MAX;
    for _ in 0..limit {
        pair.ping(0, SECOND);
    }
    let (now, to) = (pair.now, pair.keys[1]);
    assert_eq!(pair.ends[0].ping(now, to, SECOND), Err(PingError::TooMany { limit }));
    assert_eq!(pair.ends[0].counters().pings_refused, 1);
    pair.run(SECOND);
    let pongs = pair.events[0].iter().filter(|event| matches!(event, BusEvent::Pong { .. }));
    assert_eq!(pongs.count(), limit);
    pair.ping(0, SECOND);
}

#[test]
fn a_cancelled_ping_makes_room_and_has_no_outcome() {
    let mut pair = Pair::new(7);
    let to = pair.keys[1];
    let ids: Vec<PingId> = (0..PINGS_MAX).map(|_| pair.ping(0, 60 * SECOND)).collect();
    let now = pair.now;
    assert!(pair.ends[0].ping(now, to, SECOND).is_err());
    for id in &ids {
        pair.ends[0].cancel_ping(now, to, *id);
        // Once more, and for somebody else: nothing to cancel.
        pair.ends[0].cancel_ping(now, to, *id);
        pair.ends[0].cancel_ping(now, pair.keys[0], *id);
    }
    let ids: Vec<PingId> = (0..PINGS_MAX).map(|_| pair.ping(0, 60 * SECOND)).collect();
    assert!(pair.ends[0].ping(now, to, SECOND).is_err());
    // One that is under way: its answer is passed over.
    pair.transmit();
    pair.ends[0].cancel_ping(now, to, ids[0]);
    pair.run(5 * SECOND);
    assert!(pair.ponged(0, ids[0]).is_none() && pair.failed(0, ids[0]).is_none());
    assert!(ids[1..].iter().all(|id| pair.ponged(0, *id).is_some()));
    // An outcome that is there already counts once.
    pair.ends[0].cancel_ping(now, to, ids[1]);
    assert!((0..PINGS_MAX).all(|_| pair.ends[0].ping(pair.now, to, SECOND).is_ok()));
    assert!(pair.ends[0].ping(pair.now, to, SECOND).is_err());
}
