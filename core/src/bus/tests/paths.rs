//! Paths: gaps, hand-over, sizes, slow ones.

use super::*;

#[test]
fn a_gap_shorter_than_the_session_survives_loses_nothing() {
    let mut pair = Pair::new(1);
    let ids = pair.opened(Reliability::Reliable);
    for message in numbered(1_000) {
        pair.ends[0].stream_send(pair.now, ids[0], message).unwrap();
    }
    pair.run(5 * MS);
    pair.flight.clear();
    pair.set_paths(None);
    pair.run(29 * SECOND);
    let frames = pair.frames;
    pair.set_paths(Some(path(1, 1_280)));
    pair.run(100 * MS);
    assert!(pair.frames > frames);
    pair.run(2 * SECOND);
    assert_eq!(pair.read_stream(1, ids[1]), numbered(1_000));
    assert!((0..2).all(|end| pair.closed(end, ids[end]).is_none()));
}

#[test]
fn what_was_outstanding_over_a_dead_link_is_sent_again_at_once() {
    let mut pair = Pair::new(2);
    let ids = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    pair.ends[0].stream_send(pair.now, ids[0], Bytes::from_static(b"cut")).unwrap();
    pair.transmit();
    pair.flight.clear();
    pair.set_paths(Some(path(1, 1_280)));
    pair.run(11 * MS);
    assert_eq!(pair.read_stream(1, ids[1]), ["cut"], "one way, without waiting for a timer");
}

#[test]
fn a_handover_with_the_old_link_up_repeats_nothing() {
    let mut pair = Pair::new(3);
    let ids = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    pair.ends[0].stream_send(pair.now, ids[0], Bytes::from_static(b"cut")).unwrap();
    pair.transmit();
    let sent = pair.ends[0].counters().packets_sent;
    let (now, to) = (pair.now, pair.keys[1]);
    pair.ends[0].handle_handover(now, to, path(1, 1_280));
    pair.run(11 * MS);
    assert_eq!(pair.read_stream(1, ids[1]), ["cut"]);
    assert_eq!(pair.ends[0].counters().packets_sent, sent);
}

#[test]
fn a_gap_longer_than_the_session_survives_fails_everything() {
    let mut pair = Pair::new(4);
    let ids = pair.opened(Reliability::Reliable);
    pair.reads[1] = false;
    let sent = pair.send(0, "sent");
    pair.run(SECOND);
    pair.set_paths(None);
    let unsent = pair.send(0, "unsent");
    pair.run(31 * SECOND);
    assert_eq!([0, 1].map(|end| pair.closed(end, ids[end])), [Some(StreamEnd::PeerLost); 2]);
    assert!(matches!(pair.outcome(0, sent), Some(Outcome::Unknown(_))));
    assert!(matches!(pair.outcome(0, unsent), Some(Outcome::NotDelivered(_))));
    pair.reads[1] = true;
    pair.set_paths(Some(path(1, 1_280)));
    let after = pair.send(0, "after");
    pair.run(2 * SECOND);
    assert!(is_delivered(pair.outcome(0, after)));
    assert_eq!(pair.texts(1), ["after"]);
}

#[test]
fn an_answer_that_comes_after_the_path_was_lost_does_not_keep_the_session() {
    let mut pair = Pair::new(15);
    let ids = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    pair.ends[0].stream_send(pair.now, ids[0], Bytes::from_static(b"last")).unwrap();
    pair.transmit();
    let (now, to) = (pair.now, pair.keys[1]);
    pair.ends[0].handle_path(now, to, None);
    let received = pair.ends[0].counters().packets_received;
    pair.run(SECOND);
    assert!(pair.ends[0].counters().packets_received > received, "an answer came");
    pair.ends[0].stream_send(pair.now, ids[0], Bytes::from_static(b"more")).unwrap();
    pair.run(28 * SECOND);
    assert_eq!(pair.closed(0, ids[0]), None);
    pair.run(2 * SECOND);
    assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::PeerLost));
    assert_eq!((pair.ends[0].sessions(), pair.ends[0].next_timeout()), (0, None));
}

#[test]
fn a_session_that_comes_up_when_the_path_is_lost_already_waits_as_long_as_others() {
    let mut pair = Pair::new(16);
    let is_up = |pair: &Pair, end: usize| {
        pair.events[end].iter().any(|event| matches!(event, BusEvent::SessionUp { .. }))
    };
    pair.open(0, Reliability::Reliable);
    assert!(pair.run_until(SECOND, |pair| is_up(pair, 0)));
    let (now, to) = (pair.now, pair.keys[0]);
    pair.ends[1].handle_path(now, to, None);
    assert!(pair.run_until(SECOND, |pair| is_up(pair, 1)), "the proof was on its way");
    pair.pipes(|pipe| pipe.lost_percent = 100);
    pair.flight.clear();
    let offered = pair.offered(1).unwrap();
    pair.run(29 * SECOND);
    assert_eq!(pair.closed(1, offered), None);
    pair.run(2 * SECOND);
    assert_eq!(pair.closed(1, offered), Some(StreamEnd::PeerLost));
    assert_eq!(pair.ends[1].sessions(), 0);
}

/// End 0 finds no path for so long that it gives up; end 1 only receives, and has a path again
/// after `gap`, or all the time.
fn given_up_by_one_end(gap: Option<Duration>) -> (Pair, [StreamId; 2]) {
    let mut pair = Pair::new(14);
    let ids = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    let [to_1, to_0] = [pair.keys[1], pair.keys[0]];
    pair.ends[0].handle_path(pair.now, to_1, None);
    pair.pipes(|pipe| pipe.lost_percent = 100);
    if let Some(gap) = gap {
        pair.ends[1].handle_path(pair.now, to_0, None);
        pair.run(gap);
        pair.ends[1].handle_path(pair.now, to_0, Some(path(1, 1_280)));
    }
    pair.run(31 * SECOND - gap.unwrap_or_default());
    assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::PeerLost));
    pair.pipes(|pipe| pipe.lost_percent = 0);
    pair.ends[0].handle_path(pair.now, to_1, Some(path(0, 1_280)));
    assert_eq!(pair.closed(1, ids[1]), None);
    (pair, ids)
}

#[test]
fn who_only_receives_hears_of_a_session_given_up_when_there_is_a_path_again() {
    let (mut pair, ids) = given_up_by_one_end(Some(20 * SECOND));
    pair.run(3 * SECOND);
    assert_eq!(pair.closed(1, ids[1]), Some(StreamEnd::PeerLost));
    let id = pair.send(1, "after");
    pair.run(SECOND);
    assert!(is_delivered(pair.outcome(1, id)));
}

#[test]
fn who_only_receives_on_a_standing_path_asks_now_and_then() {
    use crate::limits::SESSION_CHECK_AFTER;
    let (mut pair, ids) = given_up_by_one_end(None);
    pair.run(SESSION_CHECK_AFTER - 33 * SECOND);
    assert_eq!(pair.closed(1, ids[1]), None);
    pair.run(4 * SECOND);
    assert_eq!(pair.closed(1, ids[1]), Some(StreamEnd::PeerLost));
    // Where all is well it costs a packet and its answer, at most from both ends at once; and
    // nothing where there are no streams.
    pair.events.iter_mut().for_each(Vec::clear);
    let [opener, accepter] = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    let frames = pair.frames;
    pair.run(10 * SESSION_CHECK_AFTER);
    assert!((18..=40).contains(&(pair.frames - frames)), "{}", pair.frames - frames);
    assert_eq!([pair.closed(0, opener), pair.closed(1, accepter)], [None, None]);
    let now = pair.now;
    pair.ends[0].stream_reset(now, opener, 0).unwrap();
    pair.run(SECOND);
    let frames = pair.frames;
    pair.run(10 * SESSION_CHECK_AFTER);
    assert_eq!(pair.frames, frames);
}

#[test]
fn silence_on_a_standing_path_fails_the_session_too() {
    let mut pair = Pair::new(5);
    let ids = pair.opened(Reliability::Reliable);
    pair.pipes(|pipe| pipe.lost_percent = 100);
    let id = pair.send(0, "anybody there?");
    pair.run(32 * SECOND);
    assert!(matches!(pair.outcome(0, id), Some(Outcome::Unknown(_))));
    assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::PeerLost));
}

#[test]
fn without_a_route_a_message_waits_until_it_gives_up() {
    let mut pair = Pair::new(6);
    pair.set_paths(None);
    let (now, to) = (pair.now, pair.keys[1]);
    let data = Bytes::from_static(b"x");
    let quick =
        pair.ends[0].send_reliable(now, to, Lane::Normal, data.clone(), Some(SECOND)).unwrap();
    let patient = pair.send(0, data.clone());
    let refused = pair.ends[0].send_unreliable(now, to, Lane::Normal, data, None);
    assert_eq!(refused, Err(SendError::NoRoute));
    pair.run(2 * SECOND);
    let failed = Some(Outcome::NotDelivered(FailReason::NoRoute));
    assert_eq!((pair.outcome(0, quick), pair.outcome(0, patient)), (failed, None));
    pair.run(30 * SECOND);
    assert_eq!((pair.outcome(0, patient), pair.ends[0].sessions()), (failed, 0));
    let patient = pair.send(0, "x");
    pair.set_paths(Some(path(0, 1_280)));
    pair.run(SECOND);
    assert!(is_delivered(pair.outcome(0, patient)));
    assert_eq!(pair.got[1].len(), 1);
}

#[test]
fn a_path_that_carries_less_is_used_with_smaller_packets() {
    let mut pair = Pair::new(7);
    pair.set_paths(Some(path(0, 16_384)));
    pair.send(0, alloc::vec![1; 2_000_000]);
    pair.run(60 * MS);
    assert!(pair.got[1].is_empty());
    pair.pipes(|pipe| pipe.payload_bytes_max = 1_280);
    pair.set_paths(Some(path(0, 1_280)));
    assert!(pair.run_until(60 * SECOND, |pair| pair.got[1].len() == 1));
}

#[test]
fn a_relay_that_says_too_big_is_believed_and_lies_do_no_harm() {
    let mut pair = Pair::new(8);
    pair.set_paths(Some(path(0, 16_384)));
    pair.pipes[0].payload_bytes_max = 2_000;
    let id = pair.send(0, alloc::vec![1; 500_000]);
    assert!(pair.run_until(30 * SECOND, |pair| is_delivered(pair.outcome(0, id))));
    let told = pair.ends[0].counters().too_big;
    assert!(told > 0);
    assert_eq!(pair.got[1].len(), 1);
}

#[test]
fn an_answer_too_big_that_was_altered_on_its_way_is_dropped() {
    let mut pair = Pair::new(8);
    pair.set_paths(Some(path(0, 16_384)));
    (pair.pipes[0].payload_bytes_max, pair.pipes[0].forged) = (2_000, true);
    pair.send(0, alloc::vec![1; 500_000]);
    pair.run_until(5 * SECOND, |_| false);
    let counters = pair.ends[0].counters();
    assert!(counters.too_big == 0 && counters.packets_broken > 0, "{counters:?}");
}

#[test]
fn a_slow_path_is_used_without_a_queue_of_seconds() {
    for marks in [false, true] {
        let mut pair = Pair::new(9);
        pair.pipes(|pipe| {
            (pipe.delay, pipe.bytes_per_s, pipe.marks) = (30 * MS, Some(20_000), marks);
        });
        let id = pair.send(0, alloc::vec![1; 600_000]);
        let begun = pair.now;
        assert!(pair.run_until(60 * SECOND, |pair| is_delivered(pair.outcome(0, id))));
        let rate = 600_000.0 / pair.now.since(begun).as_secs_f64();
        assert!(rate > 17_000.0, "{rate} B/s");
        assert!(pair.pipes[0].worst_wait < 800 * MS, "{:?}", pair.pipes[0].worst_wait);
        assert!(pair.ends[0].counters().packets_lost == 0);
    }
}

#[test]
fn a_fast_path_is_filled() {
    let mut pair = Pair::new(10);
    pair.set_paths(Some(path(0, 65_536)));
    pair.pipes(|pipe| (pipe.delay, pipe.bytes_per_s) = (2 * MS, Some(300_000_000)));
    let ids: Vec<_> = (0..5).map(|_| pair.send(0, alloc::vec![1; 6_000_000])).collect();
    let begun = pair.now;
    assert!(pair.run_until(10 * SECOND, |pair| is_delivered(pair.outcome(0, ids[4]))));
    let rate = 30.0 / pair.now.since(begun).as_secs_f64();
    assert!(rate > 100.0, "{rate} MB/s");
}

#[test]
fn peers_on_one_link_take_turns() {
    let mut entropy = Seeded(11);
    let own = Identity::generate(&mut entropy);
    let mut bus = Bus::new(local(&own, 1), BusConfig::default());
    let now = Instant::from_millis(1);
    let mut others = Vec::new();
    for _ in 0..4 {
        let other = Identity::generate(&mut entropy).peer_key();
        bus.handle_path(now, other, Some(path(0, 1_280)));
        bus.send_reliable(now, other, Lane::Normal, Bytes::from_static(b"x"), None).unwrap();
        others.push(other.address());
    }
    let calls: Vec<_> =
        core::iter::from_fn(|| poll(&mut bus, now, &mut entropy, LINK, Lane::Realtime))
            .map(|frame| frame.header.destination)
            .collect();
    assert_eq!(calls, others);
    assert!(poll(&mut bus, now, &mut entropy, LINK, Lane::Normal).is_none());
}

#[test]
fn peers_that_left_take_no_room() {
    let mut entropy = Seeded(13);
    let own = Identity::generate(&mut entropy);
    let mut bus = Bus::new(local(&own, 1), BusConfig::default());
    let now = Instant::from_millis(1);
    for _ in 0..4 {
        let other = Identity::generate(&mut entropy).peer_key();
        bus.handle_static_key(other, Some([1; 32]));
        bus.handle_path(now, other, Some(path(0, 1_280)));
        assert_eq!(bus.peers.len(), 1);
        bus.handle_path(now, other, None);
        assert!(bus.peers.is_empty() && bus.addresses.is_empty());
    }
}

#[test]
fn a_blocked_link_does_not_make_the_host_spin() {
    let mut pair = Pair::new(12);
    pair.send(0, "x");
    let mut wakes = 0;
    while let Some(at) = pair.ends[0].next_timeout()
        && at < Instant::from_millis(3_000)
    {
        pair.now = pair.now.max(at);
        pair.ends[0].handle_timeout(pair.now, &mut pair.entropy);
        wakes += 1;
        assert!(wakes < 200, "{:?}", pair.now);
    }
}

#[test]
fn handing_over_under_load_loses_and_doubles_nothing() {
    for seed in 0..5 {
        let mut pair = Pair::new(seed);
        pair.pipes(|pipe| (pipe.lost_percent, pipe.jitter) = (3, 5 * MS));
        let ids = pair.opened(Reliability::Reliable);
        let mut got = Vec::new();
        for (at, message) in numbered(1_000).into_iter().enumerate() {
            pair.ends[0].stream_send(pair.now, ids[0], message).unwrap();
            match at % 100 {
                30 => pair.set_paths(Some(path(1, 16_384))),
                50 => {
                    pair.flight.clear();
                    pair.set_paths(None);
                }
                60 => pair.set_paths(Some(path(2, 1_280))),
                90 => {
                    let (now, to) = (pair.now, pair.keys[1]);
                    pair.ends[0].handle_handover(now, to, path(3, 4_096));
                }
                _ => {}
            }
            pair.run(3 * MS);
            let messages = pair.read_stream(1, ids[1]);
            got.extend(messages);
        }
        pair.run(5 * SECOND);
        got.extend(pair.read_stream(1, ids[1]));
        assert_eq!(got, numbered(1_000), "seed {seed}");
    }
}
