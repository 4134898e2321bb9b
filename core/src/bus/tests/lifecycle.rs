//! Handshakes, restarts, gaps, garbage.

use super::*;

#[test]
fn both_calling_at_once_end_in_one_session() {
    for seed in 0..10 {
        let mut pair = Pair::new(seed);
        pair.pipes(|pipe| (pipe.jitter, pipe.lost_percent) = (10 * MS, 20));
        let ids = [pair.send(0, "from 0"), pair.send(1, "from 1")];
        assert!(pair.run_until(20 * SECOND, |pair| {
            (0..2).all(|end| pair.outcome(end, ids[end]).is_some())
        }));
        pair.run(20 * SECOND);
        for (end, id) in ids.into_iter().enumerate() {
            assert!(is_delivered(pair.outcome(end, id)), "seed {seed}");
            let ups = pair.events[end].iter().filter(|e| matches!(e, BusEvent::SessionUp { .. }));
            assert_eq!(ups.count(), 1, "seed {seed}");
            assert!(!pair.events[end].iter().any(|e| matches!(e, BusEvent::SessionDown { .. })));
        }
        assert_eq!(pair.texts(0), ["from 1"]);
        assert_eq!(pair.texts(1), ["from 0"]);
    }
}

#[test]
fn no_packet_counts_twice_and_a_replayed_call_disturbs_nobody() {
    let mut pair = Pair::new(1);
    pair.recorded = Some(Vec::new());
    for message in numbered(50) {
        pair.send(0, message);
    }
    pair.run(2 * SECOND);
    let recorded = pair.recorded.take().unwrap();
    for (from, frame) in recorded.iter().chain(&recorded) {
        pair.deliver(1 - from, frame.clone());
        pair.run(MS);
    }
    let id = pair.send(0, "after");
    pair.run(2 * SECOND);
    assert!(is_delivered(pair.outcome(0, id)));
    assert_eq!(pair.got[1].len(), 51);
    assert!(pair.ends[1].counters().packets_replayed > 2);
    for end in 0..2 {
        assert!(!pair.events[end].iter().any(|e| matches!(e, BusEvent::SessionDown { .. })));
    }
    // Against a node that restarted, it starts nothing either.
    pair.restart(1, 9);
    pair.pipes[1].lost_percent = 100;
    for (from, frame) in &recorded {
        if *from == 0 {
            pair.deliver(1, frame.clone());
        }
    }
    pair.run(SECOND);
    assert_eq!(pair.events[1], []);
    assert!(pair.got[1].is_empty());
}

#[test]
fn keys_change_under_traffic_and_streams_go_on() {
    let mut pair = Pair::new(2);
    pair.pipes(|pipe| (pipe.lost_percent, pipe.jitter) = (5, 5 * MS));
    let ids = pair.opened(Reliability::Reliable);
    let mut got = Vec::new();
    for (at, message) in numbered(400).into_iter().enumerate() {
        pair.ends[0].stream_send(pair.now, ids[0], message).unwrap();
        if at % 100 == 50 {
            pair.run(2 * SECOND);
            pair.now += crate::limits::REKEY_AFTER;
        }
        pair.run(10 * MS);
        let messages = pair.read_stream(1, ids[1]);
        got.extend(messages);
    }
    pair.run(5 * SECOND);
    got.extend(pair.read_stream(1, ids[1]));
    assert_eq!(got, numbered(400));
    assert!(pair.ends[0].counters().rekeys >= 4, "{:?}", pair.ends[0].counters());
    assert_eq!(pair.ends[0].counters().rekeys, pair.ends[1].counters().rekeys);
    pair.run(120 * SECOND);
    assert_eq!(pair.ends.each_ref().map(|end| end.indices.len()), [1, 1], "old keys are dropped");
}

#[test]
fn a_restarted_peer_fails_what_ran_and_a_new_session_follows() {
    let mut pair = Pair::new(3);
    let ids = pair.opened(Reliability::Reliable);
    pair.reads[1] = false;
    pair.pipes(|pipe| pipe.bytes_per_s = Some(100_000));
    let unaccepted = pair.send(0, "unaccepted");
    let large = pair.send(0, alloc::vec![0; 8_000_000]);
    pair.run(SECOND);
    pair.restart(1, 7);
    pair.reads[1] = true;
    assert!(pair.run_until(10 * SECOND, |pair| pair.outcome(0, unaccepted).is_some()));
    let reason = FailReason::PeerRestarted;
    assert_eq!(pair.outcome(0, unaccepted), Some(Outcome::Unknown(reason)));
    assert_eq!(pair.outcome(0, large), Some(Outcome::NotDelivered(reason)));
    assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::PeerRestarted));
    let again = pair.send(0, "again");
    pair.run(5 * SECOND);
    assert!(is_delivered(pair.outcome(0, again)));
    assert_eq!(pair.texts(1), ["again"]);
}

#[test]
fn a_restarted_peer_that_speaks_first_is_noticed() {
    let mut pair = Pair::new(4);
    let ids = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    pair.restart(1, 7);
    let id = pair.send(1, "I am back");
    pair.run(2 * SECOND);
    assert!(is_delivered(pair.outcome(1, id)));
    assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::PeerRestarted));
}

/// With whom the session of each number is, as it is found on the way.
type Numbers = BTreeMap<(usize, u64), (Instance, u64)>;

fn watch_numbers(pair: &Pair, seen: &mut Numbers, context: u64) {
    for end in 0..2 {
        let session =
            pair.ends[end].peers.get(&pair.keys[1 - end]).and_then(|p| p.session.as_ref());
        let Some((session, remote)) = session.and_then(|s| Some((s, s.remote?))) else { continue };
        let with = (remote.instance, remote.session);
        let before = seen.insert((end, session.number), with);
        assert!(before.is_none_or(|before| before == with), "seed {context}: {before:?}, {with:?}");
    }
}

#[test]
fn handshakes_that_cross_after_a_restart_use_no_number_twice() {
    for seed in 0..60 {
        let mut pair = Pair::new(100 + seed);
        pair.opened(Reliability::Reliable);
        pair.run(SECOND);
        let restarted = (seed % 2) as usize;
        pair.restart(restarted, 7);
        pair.pipes(|pipe| (pipe.lost_percent, pipe.jitter) = (20, 600 * MS));
        // The other end hears of the restart, and calls; so does who has something to say.
        let (now, stale, fresh) = (pair.now, 1 - restarted, pair.keys[restarted]);
        pair.ends[stale].handle_instance(now, fresh, Instance::from_bytes([7; 8]));
        let wait = pair.random(700);
        let mut numbers = Numbers::new();
        for step in 0..3_000 {
            if step == wait {
                pair.send(restarted, "at once");
            }
            pair.run(2 * MS);
            watch_numbers(&pair, &mut numbers, seed);
        }
        pair.pipes(|pipe| (pipe.lost_percent, pipe.jitter) = (0, Duration::ZERO));
        pair.run(20 * SECOND);
        watch_numbers(&pair, &mut numbers, seed);
        let id = pair.send(1 - restarted, "after");
        pair.run(2 * SECOND);
        assert!(is_delivered(pair.outcome(1 - restarted, id)), "seed {seed}");
    }
}

#[test]
fn goodbye_fails_everything_with_its_reason() {
    let mut pair = Pair::new(5);
    let ids = pair.opened(Reliability::Reliable);
    pair.reads[1] = false;
    let mine = pair.send(1, "mine");
    let theirs = pair.send(0, "theirs");
    pair.run(SECOND);
    let now = pair.now;
    assert!(is_delivered(pair.outcome(1, mine)));
    pair.ends[0].close(now);
    pair.run(SECOND);
    assert_eq!(pair.outcome(0, theirs), Some(Outcome::Unknown(FailReason::ClosedByLocal)));
    assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::ClosedByLocal));
    assert_eq!(pair.closed(1, ids[1]), Some(StreamEnd::ClosedByRemote));
    let to = pair.keys[1];
    let refused = pair.ends[0].send_reliable(now, to, Lane::Normal, Bytes::new(), None);
    assert_eq!(refused, Err(SendError::Closed));
}

#[test]
fn a_denied_peer_loses_its_session_and_gets_no_other() {
    let mut pair = Pair::new(6);
    let ids = pair.opened(Reliability::Reliable);
    let (now, other) = (pair.now, pair.keys[0]);
    pair.ends[1].handle_verdict(now, other, false);
    pair.run(SECOND);
    assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::ClosedByRemote));
    let id = pair.send(0, "let me in");
    pair.run(40 * SECOND);
    assert_eq!(pair.outcome(0, id), Some(Outcome::NotDelivered(FailReason::NoRoute)));
    let now = pair.now;
    pair.ends[1].handle_verdict(now, other, true);
    let id = pair.send(0, "and now");
    pair.run(20 * SECOND);
    assert!(is_delivered(pair.outcome(0, id)));
}

#[test]
fn goodbye_goes_on_the_normal_lane_whatever_waited() {
    let mut pair = Pair::new(6);
    pair.send(0, "x");
    pair.run(SECOND);
    let (now, other) = (pair.now, pair.keys[1]);
    let urgent = Bytes::from_static(b"urgent");
    pair.ends[0].send_unreliable(now, other, Lane::Realtime, urgent, None).unwrap();
    pair.ends[0].handle_verdict(now, other, false);
    let entropy = &mut pair.entropy;
    assert_eq!(poll(&mut pair.ends[0], now, entropy, LINK, Lane::Realtime), None);
    assert!(poll(&mut pair.ends[0], now, entropy, LINK, Lane::Normal).is_some());
    assert_eq!(pair.ends[0].sessions(), 0);
}

#[test]
fn a_stream_that_nobody_heard_of_leaves_no_session_behind() {
    let mut pair = Pair::new(6);
    pair.set_paths(None);
    let gives_up = pair.open(0, Reliability::Reliable);
    let taken_back = pair.open(0, Reliability::Unreliable);
    let now = pair.now;
    pair.ends[0].stream_finish(now, gives_up).unwrap();
    pair.ends[0].stream_reset(now, taken_back, 1).unwrap();
    pair.run(40 * SECOND);
    assert_eq!(pair.closed(0, gives_up), Some(StreamEnd::TimedOut));
    assert_eq!(pair.closed(0, taken_back), Some(StreamEnd::ClosedByLocal));
    assert_eq!(pair.ends[0].sessions(), 0);
    assert!(pair.ends[0].peers.is_empty());
}

#[test]
fn a_session_that_is_closed_without_a_path_takes_no_room() {
    let mut pair = Pair::new(6);
    pair.send(0, "x");
    pair.run(SECOND);
    pair.set_paths(None);
    let (now, other) = (pair.now, pair.keys[0]);
    pair.ends[1].handle_verdict(now, other, false);
    pair.run(60 * SECOND);
    assert_eq!(pair.ends[1].sessions(), 0);
    assert!(pair.ends[1].peers.is_empty() && pair.ends[1].indices.is_empty());
}

#[test]
fn garbage_changes_nothing() {
    let mut pair = Pair::new(7);
    pair.recorded = Some(Vec::new());
    pair.send(0, "hello");
    pair.run(SECOND);
    let recorded = pair.recorded.clone().unwrap();
    for round in 0..2_000_u64 {
        let at = pair.random(recorded.len() as u64) as usize;
        let (from, mut frame) = recorded[at].clone();
        match pair.random(5) {
            0 => frame.tag[pair.random(16) as usize] ^= 1,
            1 if !frame.payload.is_empty() => {
                let at = pair.random(frame.payload.len() as u64) as usize;
                frame.payload[at] ^= 1;
            }
            2 => frame.payload.truncate(pair.random(40) as usize),
            3 => frame.header.packet_low = frame.header.packet_low.wrapping_add(1 + round as u32),
            _ => frame.header.session ^= 1 << pair.random(32),
        }
        if pair.random(4) == 0 {
            frame.header.kind =
                [DataKind::Packet, DataKind::Handshake, DataKind::UnknownSession, DataKind::TooBig]
                    [pair.random(4) as usize];
        }
        pair.deliver(1 - from, frame);
        pair.run(MS);
    }
    let id = pair.send(0, "still here");
    pair.run(5 * SECOND);
    assert!(is_delivered(pair.outcome(0, id)));
    assert_eq!(pair.texts(1), ["hello", "still here"]);
    for end in 0..2 {
        assert!(!pair.events[end].iter().any(|e| matches!(e, BusEvent::SessionDown { .. })));
    }
}

#[test]
fn a_closed_network_needs_its_secret() {
    let mut pair = Pair::new(8);
    let secret = |byte| crate::network::NetworkSecret::from_bytes([byte; 16]);
    for (end, byte) in [(0, 1), (1, 1)] {
        let mut local = local(&pair.identities[end], end as u8);
        local.network = Network::closed("test", &secret(byte)).unwrap();
        pair.ends[end] = Bus::new(local, BusConfig::default());
    }
    pair.set_paths(Some(path(0, 1_280)));
    let id = pair.send(0, "psst");
    pair.run(SECOND);
    assert!(is_delivered(pair.outcome(0, id)));
    let mut other = local(&pair.identities[1], 1);
    other.network = Network::closed("test", &secret(2)).unwrap();
    pair.ends[1] = Bus::new(other, BusConfig::default());
    pair.set_paths(Some(path(0, 1_280)));
    pair.got[1].clear();
    let id = pair.send(0, "psst");
    pair.run(60 * SECOND);
    assert!(pair.outcome(0, id).is_some_and(|outcome| !is_delivered(Some(outcome))));
    assert!(pair.got[1].is_empty());
}

#[test]
fn an_idle_session_learns_of_a_restart_from_the_mesh() {
    let mut pair = Pair::new(9);
    let ids = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    let (now, other) = (pair.now, pair.keys[1]);
    pair.ends[0].handle_instance(now, other, Instance::from_bytes([1; 8]));
    pair.run(SECOND);
    assert_eq!(pair.closed(0, ids[0]), None, "it is the one it was");
    pair.restart(1, 7);
    let now = pair.now;
    pair.ends[0].handle_instance(now, other, Instance::from_bytes([7; 8]));
    pair.run(SECOND);
    assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::PeerRestarted));
}

#[test]
fn a_peer_that_restarts_again_and_again_does_not_pile_up_events() {
    let mut pair = Pair::new(10);
    pair.send(0, "x");
    pair.run(SECOND);
    pair.hears[0] = false;
    for _ in 0..crate::limits::EVENTS_MAX {
        pair.ends[0].cx.events.push(BusEvent::MessagesReadable);
    }
    for instance in 7..12 {
        pair.restart(1, instance);
        let (now, other) = (pair.now, pair.keys[1]);
        pair.ends[0].handle_instance(now, other, Instance::from_bytes([instance; 8]));
        pair.run(3 * SECOND);
    }
    assert_eq!(pair.ends[0].cx.events.len(), crate::limits::EVENTS_MAX);
    assert!(pair.ends[0].counters().sessions_refused > 0);
    // Once they are read, all goes on.
    pair.hears[0] = true;
    let id = pair.send(0, "y");
    pair.run(10 * SECOND);
    assert!(matches!(
        pair.outcome(0, id),
        Some(Outcome::NotDelivered(FailReason::PeerRestarted) | Outcome::Unknown(_))
    ));
    let id = pair.send(0, "z");
    assert!(pair.run_until(5 * SECOND, |pair| is_delivered(pair.outcome(0, id))));
}

#[test]
fn a_verdict_on_a_message_of_an_ended_session_touches_no_other() {
    let mut pair = Pair::new(10);
    pair.reads[1] = false;
    pair.send(0, "old");
    pair.run(SECOND);
    let now = pair.now;
    let old = pair.ends[1].next_message(now).unwrap();
    pair.restart(0, 7);
    let new = pair.send(0, "new");
    pair.run(SECOND);
    let now = pair.now;
    assert_eq!(pair.ends[1].accept_message(now, old.id), Err(NoSuchMessage));
    pair.run(SECOND);
    assert_eq!(pair.outcome(0, new), None);
    pair.reads[1] = true;
    pair.run(SECOND);
    assert!(is_delivered(pair.outcome(0, new)));
}

#[test]
fn a_message_over_the_peers_own_limit_is_not_sent() {
    let mut pair = Pair::new(11);
    let small = BusConfig { message_bytes_max: 1_000, ..BusConfig::default() };
    pair.ends[1] = Bus::new(local(&pair.identities[1], 1), small);
    pair.set_paths(Some(path(0, 1_280)));
    let long = pair.send(0, alloc::vec![0; 1_001]);
    let short = pair.send(0, alloc::vec![0; 1_000]);
    pair.run(2 * SECOND);
    let reason = FailReason::TooLarge { limit: 1_000 };
    assert_eq!(pair.outcome(0, long), Some(Outcome::NotDelivered(reason)));
    assert!(is_delivered(pair.outcome(0, short)));
}

#[test]
fn an_idle_session_outlives_the_loss_of_an_unreliable_message() {
    let mut pair = Pair::new(12);
    let ids = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    pair.pipes[0].lost_percent = 100;
    let (now, to) = (pair.now, pair.keys[1]);
    pair.ends[0].send_unreliable(now, to, Lane::Normal, "lost".into(), None).unwrap();
    pair.run(MS);
    pair.pipes[0].lost_percent = 0;
    let id = pair.send(0, "arrives");
    // Its answer is there before the lost packet counts as lost.
    assert!(pair.run_until(SECOND, |pair| is_delivered(pair.outcome(0, id))));
    pair.run(60 * SECOND);
    assert_eq!(pair.closed(0, ids[0]), None);
    assert!(!pair.events[0].iter().any(|e| matches!(e, BusEvent::SessionDown { .. })));
}
