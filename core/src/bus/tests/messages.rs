//! Single messages.

use super::*;

#[test]
fn a_message_is_delivered_and_an_idle_session_is_silent() {
    let mut pair = Pair::new(1);
    let id = pair.send(0, "hello");
    assert!(pair.run_until(SECOND, |pair| pair.outcome(0, id).is_some()));
    let Some(Outcome::Delivered { sequence: 1, hops: 2, rtt }) = pair.outcome(0, id) else {
        panic!("{:?}", pair.events)
    };
    assert!(rtt >= 20 * MS && rtt < 40 * MS, "{rtt:?}");
    assert_eq!(pair.texts(1), ["hello"]);
    pair.run(5 * SECOND);
    let frames = pair.frames;
    pair.run(3_600 * SECOND);
    assert_eq!(pair.frames, frames, "an idle session sends nothing");
    assert!(frames < 10, "{frames}");
}

#[test]
fn a_long_transfer_is_acknowledged_a_few_times_a_window() {
    let mut pair = Pair::new(1);
    pair.pipes(|pipe| pipe.bytes_per_s = Some(20_000_000));
    let id = pair.send(0, Bytes::from(alloc::vec![1; 8_000_000]));
    assert!(pair.run_until(5 * SECOND, |pair| pair.outcome(0, id).is_some()));
    let [sent, answers] = [0, 1].map(|end| pair.ends[end].counters().packets_sent);
    assert!(sent > 6_000 && answers < sent / 4, "{answers} answers to {sent} packets");
}

#[test]
fn exactly_once_and_in_order_under_loss_reordering_and_doubling() {
    for seed in 0..8 {
        let mut pair = Pair::new(seed);
        pair.pipes(|pipe| {
            (pipe.lost_percent, pipe.doubled_percent, pipe.jitter) = (20, 10, 15 * MS);
        });
        let ids: Vec<[MessageId; 2]> =
            numbered(500).into_iter().map(|m| [pair.send(0, m.clone()), pair.send(1, m)]).collect();
        let last = *ids.last().unwrap();
        assert!(
            pair.run_until(60 * SECOND, |pair| {
                pair.got[0].len() == 500
                    && pair.got[1].len() == 500
                    && pair.outcome(0, last[0]).is_some()
                    && pair.outcome(1, last[1]).is_some()
            }),
            "seed {seed}: {} {}",
            pair.got[0].len(),
            pair.got[1].len()
        );
        assert_eq!(pair.texts(0), numbered(500), "seed {seed}");
        assert_eq!(pair.texts(1), numbered(500), "seed {seed}");
        for (end, id) in ids.iter().flat_map(|ids| [(0, ids[0]), (1, ids[1])]) {
            assert!(is_delivered(pair.outcome(end, id)), "seed {seed}");
        }
    }
}

#[test]
fn a_large_message_needs_more_than_the_window_and_arrives_whole() {
    let mut pair = Pair::new(2);
    pair.set_paths(Some(path(0, 65_536)));
    let data: Bytes =
        (0..16 * 1_024 * 1_024_u32).map(|n| (n >> 8) as u8).collect::<Vec<_>>().into();
    let id = pair.send(0, data.clone());
    assert!(pair.run_until(60 * SECOND, |pair| pair.outcome(0, id).is_some()));
    assert!(is_delivered(pair.outcome(0, id)));
    assert_eq!(pair.texts(1), [data]);
    assert_eq!(pair.ends[1].cx.budget, pair.config.receive_bytes_max, "the grant is given back");
}

#[test]
fn over_the_limit_is_refused_before_a_byte_is_sent() {
    let mut pair = Pair::new(3);
    let to = pair.keys[1];
    let now = pair.now;
    let big = |length: usize| Bytes::from(alloc::vec![0; length]);
    let limit = 16 * 1_024 * 1_024;
    let refused = pair.ends[0].send_reliable(now, to, Lane::Normal, big(limit + 1), None);
    assert_eq!(refused, Err(SendError::TooLarge { limit }));
    let limit = 128 * 1_024;
    let refused = pair.ends[0].send_unreliable(now, to, Lane::Normal, big(limit + 1), None);
    assert_eq!(refused, Err(SendError::TooLarge { limit }));
    let refused = pair.ends[0].send_reliable(now, to, Lane::Control, big(1), None);
    assert_eq!(refused, Err(SendError::ControlLane));
    pair.run(SECOND);
    assert_eq!(pair.frames, 0);
    assert_eq!(pair.ends[0].sessions(), 0);
}

#[test]
fn no_frame_shows_a_relay_what_it_carries() {
    let mut pair = Pair::new(14);
    pair.recorded = Some(Vec::new());
    let words = Bytes::from("meet me behind the hedge ".repeat(400));
    let id = pair.send(0, words.clone());
    let to = pair.keys[1];
    let unreliable = words.slice(..1_000);
    pair.ends[0].send_unreliable(pair.now, to, Lane::Normal, unreliable, None).unwrap();
    assert!(pair.run_until(5 * SECOND, |pair| is_delivered(pair.outcome(0, id))));
    assert_eq!(pair.got[1].len(), 2);
    let frames = pair.recorded.take().unwrap();
    let bytes: usize = frames.iter().map(|(_, frame)| frame.payload.len()).sum();
    assert!(bytes > words.len(), "nothing is compressed");
    let shows = |payload: &[u8]| {
        payload.windows(8).any(|seen| words.windows(8).take(25).any(|said| said == seen))
    };
    assert!(!frames.iter().any(|(_, frame)| shows(&frame.payload)));
}

#[test]
fn many_small_messages_share_packets() {
    let mut pair = Pair::new(4);
    pair.send(0, "first");
    pair.run(SECOND);
    let before = pair.ends[0].counters().packets_sent;
    for message in numbered(200) {
        pair.send(0, message);
    }
    pair.run(SECOND);
    assert_eq!(pair.got[1].len(), 201);
    let packets = pair.ends[0].counters().packets_sent - before;
    assert!(packets <= 6, "{packets}");
}

/// Packets of the session by sender, handshakes apart.
fn packets(pair: &mut Pair) -> [usize; 2] {
    let recorded = pair.recorded.replace(Vec::new()).unwrap_or_default();
    [0, 1].map(|end| {
        let packets = recorded.iter().filter(|(from, frame)| {
            *from == end && frame.header.kind == DataKind::Packet && frame.header.session != 0
        });
        packets.count()
    })
}

#[test]
fn a_thousand_small_messages_at_once_leave_in_few_packets_and_so_do_their_answers() {
    // With the payload of a fast link they fit into one packet; 65,000 bytes need 52 small ones.
    for (payload_bytes_max, there, back) in [(65_536, 1, 1_usize), (1_280, 53, 30)] {
        let mut pair = Pair::new(5);
        pair.set_paths(Some(path(0, payload_bytes_max)));
        pair.send(0, "first");
        pair.run(SECOND);
        pair.recorded = Some(Vec::new());
        let message = Bytes::from_static(&[7; 64]);
        let ids: Vec<_> = (0..1_000).map(|_| pair.send(0, message.clone())).collect();
        assert!(pair.run_until(5 * SECOND, |pair| {
            ids.iter().all(|id| is_delivered(pair.outcome(0, *id)))
        }));
        let sent = packets(&mut pair);
        assert_eq!(pair.got[1].len(), 1_001);
        // Beside the messages, end 0 acknowledges what end 1 says of them.
        assert!(sent[0] <= there + back.div_ceil(2), "{payload_bytes_max}: {sent:?}");
        assert!(sent[1] <= back, "{payload_bytes_max}: {sent:?}");
        pair.run(SECOND);
        let after = packets(&mut pair);
        assert!(after[0] + after[1] <= 2, "{payload_bytes_max}: {after:?} when all is told");
    }
}

#[test]
fn small_messages_both_ways_carry_each_others_answers() {
    let mut pair = Pair::new(6);
    pair.set_paths(Some(path(0, 65_536)));
    exchange_of_first_messages(&mut pair);
    pair.recorded = Some(Vec::new());
    let message = Bytes::from_static(&[7; 64]);
    let ids: Vec<_> = (0..2_000).map(|at| (at % 2, pair.send(at % 2, message.clone()))).collect();
    assert!(pair.run_until(5 * SECOND, |pair| {
        ids.iter().all(|(end, id)| is_delivered(pair.outcome(*end, *id)))
    }));
    pair.run(SECOND);
    let sent = packets(&mut pair);
    assert!(sent.iter().all(|&packets| packets <= 3), "{sent:?}");
}

fn exchange_of_first_messages(pair: &mut Pair) {
    for end in 0..2 {
        pair.send(end, "first");
    }
    pair.run(2 * SECOND);
}

#[test]
fn a_rejected_message_is_not_delivered_even_when_the_word_is_lost() {
    for seed in 0..20 {
        let mut pair = Pair::new(seed);
        pair.pipes(|pipe| pipe.lost_percent = 30);
        pair.reads[1] = false;
        let ids: Vec<_> = numbered(30).into_iter().map(|message| pair.send(0, message)).collect();
        for _ in 0..2_500 {
            pair.run(10 * MS);
            let now = pair.now;
            while let Some(message) = pair.ends[1].next_message(now) {
                if message.sequence % 3 == 0 {
                    pair.ends[1].reject_message(now, message.id, RejectReason::InboxFull).unwrap();
                } else {
                    pair.ends[1].accept_message(now, message.id).unwrap();
                }
            }
        }
        for (at, id) in ids.into_iter().enumerate() {
            let outcome = pair.outcome(0, id);
            if (at + 1) % 3 == 0 {
                let reason = FailReason::Rejected(RejectReason::InboxFull);
                assert_eq!(
                    outcome,
                    Some(Outcome::NotDelivered(reason)),
                    "seed {seed} message {at}"
                );
            } else {
                assert!(is_delivered(outcome), "seed {seed} message {at}: {outcome:?}");
            }
        }
    }
}

#[test]
fn a_message_is_delivered_only_when_the_application_accepted_it() {
    let mut pair = Pair::new(5);
    pair.reads[1] = false;
    let ids = [pair.send(0, "a"), pair.send(0, "b")];
    pair.run(SECOND);
    let now = pair.now;
    let [a, b] = [(); 2].map(|()| pair.ends[1].next_message(now).unwrap());
    pair.ends[1].accept_message(now, b.id).unwrap();
    pair.run(SECOND);
    assert_eq!(pair.outcome(0, ids[1]), None, "b waits for a");
    pair.ends[1].accept_message(now, a.id).unwrap();
    assert_eq!(pair.ends[1].accept_message(now, a.id), Err(NoSuchMessage));
    pair.run(SECOND);
    assert!(ids.into_iter().all(|id| is_delivered(pair.outcome(0, id))));
}

#[test]
fn pings_do_not_prolong_the_wait_of_a_message_that_nobody_reads() {
    let mut pair = Pair::new(7);
    pair.reads[1] = false;
    let to = pair.keys[1];
    let id = pair.send(0, "a");
    for _ in 0..15 {
        assert_eq!(pair.outcome(0, id), None);
        let now = pair.now;
        pair.ends[0].ping(now, to, SECOND).unwrap();
        pair.run(2 * SECOND);
    }
    pair.run(SECOND);
    assert_eq!(pair.outcome(0, id), Some(Outcome::Unknown(FailReason::TimedOut)));
}

#[test]
fn a_sleeping_reader_stops_the_sender_and_memory_stays_bounded() {
    let mut pair = Pair::new(6);
    pair.reads[1] = false;
    let to = pair.keys[1];
    let piece = Bytes::from(alloc::vec![7; 100_000]);
    let mut taken = 0;
    let now = pair.now;
    while pair.ends[0]
        .send_reliable(now, to, Lane::Normal, piece.clone(), Some(900 * SECOND))
        .is_ok()
    {
        taken += 1;
    }
    assert_eq!(taken, 335);
    pair.run(20 * SECOND);
    let received = pair.ends[1].counters().packets_received;
    pair.run(10 * SECOND);
    assert_eq!(pair.ends[1].counters().packets_received, received, "no credit, no packets");
    assert!(received * 1_280 < 300_000, "{received}");
    assert!(!pair.events[0].contains(&BusEvent::Writable { peer: to }));
    pair.reads[1] = true;
    assert!(pair.run_until(200 * SECOND, |pair| pair.got[1].len() == taken));
    assert!(pair.events[0].contains(&BusEvent::Writable { peer: to }));
}

#[test]
fn unreliable_messages_are_cut_and_joined_and_never_come_twice() {
    let mut pair = Pair::new(7);
    pair.pipes(|pipe| (pipe.doubled_percent, pipe.jitter) = (50, 20 * MS));
    let to = pair.keys[1];
    let big: Bytes = (0..60_000_u32).map(|n| n as u8).collect::<Vec<_>>().into();
    for at in 1..=5 {
        let now = pair.now;
        let sent = pair.ends[0].send_unreliable(now, to, Lane::Realtime, big.clone(), None);
        assert_eq!(sent, Ok(at));
        pair.run(2 * SECOND);
    }
    let mut sequences: Vec<u64> = pair.got[1].iter().map(|message| message.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    assert!(pair.got[1].iter().all(|message| message.data == big));
}

#[test]
fn a_late_unreliable_message_is_dropped_and_counted_and_a_flood_is_blocked() {
    let mut pair = Pair::new(8);
    pair.pipes(|pipe| pipe.lost_percent = 100);
    let to = pair.keys[1];
    let now = pair.now;
    let mut send = |deadline| {
        let data = Bytes::from_static(&[1; 100_000]);
        pair.ends[0].send_unreliable(now, to, Lane::Realtime, data, deadline)
    };
    assert_eq!(send(Some(100 * MS)), Ok(1));
    for at in 2..=5 {
        assert_eq!(send(None), Ok(at));
    }
    assert_eq!(send(None), Err(SendError::Blocked));
    pair.run(SECOND);
    assert_eq!(pair.ends[0].counters().unreliable_expired, 1);
    pair.run(9 * SECOND);
    assert_eq!(pair.ends[0].counters().unreliable_expired, 5);
    assert!(pair.events[0].contains(&BusEvent::Writable { peer: to }));
    pair.pipes(|pipe| pipe.lost_percent = 0);
    pair.run(10 * SECOND);
    assert!(pair.got[1].is_empty());
}

#[test]
fn messages_of_a_higher_lane_overtake() {
    let mut pair = Pair::new(9);
    pair.pipes(|pipe| pipe.bytes_per_s = Some(20_000));
    let to = pair.keys[1];
    let now = pair.now;
    let bulk = Bytes::from(alloc::vec![0; 200_000]);
    pair.ends[0].send_reliable(now, to, Lane::Bulk, bulk, None).unwrap();
    pair.run(3 * SECOND);
    let now = pair.now;
    let data = Bytes::from_static(b"now");
    let id = pair.ends[0].send_reliable(now, to, Lane::Realtime, data, None).unwrap();
    assert!(pair.run_until(SECOND, |pair| is_delivered(pair.outcome(0, id))));
    assert_eq!(pair.texts(1), ["now"]);
}
