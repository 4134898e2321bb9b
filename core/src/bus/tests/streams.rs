//! Streams.

use super::*;
use crate::limits::ACK_DELAY_MAX;

#[test]
fn both_sides_talk_finish_and_close() {
    for seed in 0..10 {
        let mut pair = Pair::new(seed);
        pair.pipes(|pipe| (pipe.lost_percent, pipe.jitter) = (15, 10 * MS));
        let ids = pair.opened(Reliability::Reliable);
        let offer =
            pair.events[1].iter().find(|event| matches!(event, BusEvent::StreamOffered { .. }));
        let Some(BusEvent::StreamOffered { topic, args, peer, .. }) = offer else { panic!() };
        assert_eq!(
            (&topic[..], &args[..], *peer),
            (b"topic".as_slice(), b"hello".as_slice(), pair.keys[0])
        );
        let mut got = [Vec::new(), Vec::new()];
        for (at, message) in numbered(200).into_iter().enumerate() {
            for (end, id) in ids.into_iter().enumerate() {
                let sent = pair.ends[end].stream_send(pair.now, id, message.clone());
                assert_eq!(sent, Ok(at as u64 + 1));
            }
        }
        pair.ends[0].stream_finish(pair.now, ids[0]).unwrap();
        let late = pair.ends[0].stream_send(pair.now, ids[0], Bytes::new());
        assert_eq!(late, Err(StreamSendError::Finishing));
        for _ in 0..300 {
            pair.run(20 * MS);
            for (end, id) in ids.into_iter().enumerate() {
                let messages = pair.read_stream(end, id);
                got[end].extend(messages);
            }
        }
        assert_eq!(got, [numbered(200), numbered(200)]);
        assert!(pair.events[1].contains(&BusEvent::StreamFinished { id: ids[1] }));
        assert!(pair.events[0].contains(&BusEvent::StreamAcked { id: ids[0], sequence: 200 }));
        assert_eq!(pair.closed(0, ids[0]), None, "the other half is still open");
        assert_eq!(pair.ends[1].stream_send(pair.now, ids[1], Bytes::from_static(b"bye")), Ok(201));
        pair.ends[1].stream_finish(pair.now, ids[1]).unwrap();
        // Two probes, where losses while the stream opened left a rough guess of the round trip.
        pair.run(3 * SECOND);
        assert_eq!(pair.read_stream(0, ids[0]), ["bye"]);
        pair.run(5 * SECOND);
        assert_eq!([0, 1].map(|end| pair.closed(end, ids[end])), [Some(StreamEnd::Finished); 2]);
    }
}

#[test]
fn what_was_read_is_told_with_the_answer_or_soon() {
    let mut pair = Pair::new(1);
    let ids = pair.opened(Reliability::Reliable);
    pair.run(SECOND);
    let before = pair.frames;
    let mut end = 0;
    for round in 1..=100 {
        pair.ends[end].stream_send(pair.now, ids[end], Bytes::from_static(b"ping")).unwrap();
        end = 1 - end;
        let id = ids[end];
        let readable = BusEvent::StreamReadable { id };
        assert!(pair.run_until(SECOND, |pair| pair.events[end].contains(&readable)), "{round}");
        pair.events[end].clear();
        assert_eq!(pair.read_stream(end, id), ["ping"]);
        // The application thinks.
        pair.run(MS);
    }
    let frames = pair.frames - before;
    assert!(frames <= 105, "{frames} frames for 100 messages there and back");
    let sent = pair.now;
    let acked = BusEvent::StreamAcked { id: ids[1], sequence: 50 };
    assert!(pair.run_until(SECOND, |pair| pair.events[1].contains(&acked)));
    assert!(pair.now.since(sent) <= 10 * MS + ACK_DELAY_MAX, "{:?}", pair.now.since(sent));
}

#[test]
fn what_was_read_before_a_reset_counts_as_delivered() {
    for seed in 0..20 {
        let mut pair = Pair::new(seed);
        let ids = pair.opened(Reliability::Reliable);
        pair.pipes(|pipe| pipe.lost_percent = 20);
        pair.ends[0].stream_send(pair.now, ids[0], Bytes::from_static(b"read")).unwrap();
        let readable = BusEvent::StreamReadable { id: ids[1] };
        assert!(pair.run_until(9 * SECOND, |pair| pair.events[1].contains(&readable)));
        assert_eq!(pair.read_stream(1, ids[1]), ["read"]);
        pair.ends[1].stream_reset(pair.now, ids[1], 7).unwrap();
        pair.run(9 * SECOND);
        assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::Reset { code: 7 }));
        let acked = BusEvent::StreamAcked { id: ids[0], sequence: 1 };
        assert!(pair.events[0].contains(&acked), "seed {seed}");
    }
}

#[test]
fn a_refused_offer_closes_with_the_reason() {
    let mut pair = Pair::new(1);
    let id = pair.open(0, Reliability::Reliable);
    pair.run(SECOND);
    let offered = pair.offered(1).unwrap();
    let now = pair.now;
    pair.ends[1].reject_stream(now, offered, RejectReason::NoListener).unwrap();
    pair.run(SECOND);
    assert_eq!(pair.closed(0, id), Some(StreamEnd::Rejected(RejectReason::NoListener)));
    assert_eq!(pair.closed(1, offered), Some(StreamEnd::ClosedByLocal));
    let sent = pair.ends[0].stream_send(now, id, Bytes::new());
    assert_eq!(sent, Err(StreamSendError::Unknown));
}

#[test]
fn an_offer_that_nobody_answers_times_out() {
    let mut pair = Pair::new(2);
    let id = pair.open(0, Reliability::Reliable);
    pair.run(29 * SECOND);
    assert_eq!(pair.closed(0, id), None);
    pair.run(3 * SECOND);
    assert_eq!(pair.closed(0, id), Some(StreamEnd::TimedOut));
    assert_eq!(pair.closed(1, pair.offered(1).unwrap()), Some(StreamEnd::Reset { code: 0 }));
}

#[test]
fn a_reset_cuts_both_halves_and_what_was_read_is_a_prefix() {
    for seed in 0..10 {
        let mut pair = Pair::new(seed);
        pair.pipes(|pipe| (pipe.lost_percent, pipe.jitter) = (10, 10 * MS));
        let ids = pair.opened(Reliability::Reliable);
        for message in numbered(2_000) {
            pair.ends[0].stream_send(pair.now, ids[0], message).unwrap();
        }
        let mut got = Vec::new();
        for step in 0..400 {
            pair.run(5 * MS);
            let messages = pair.read_stream(1, ids[1]);
            got.extend(messages);
            if step == 8 {
                pair.ends[0].stream_reset(pair.now, ids[0], 42).unwrap();
            }
        }
        assert_eq!(got[..], numbered(2_000)[..got.len()]);
        assert_eq!(pair.closed(0, ids[0]), Some(StreamEnd::ClosedByLocal));
        assert_eq!(pair.closed(1, ids[1]), Some(StreamEnd::Reset { code: 42 }));
    }
}

#[test]
fn a_sleeping_reader_blocks_the_sender_until_it_reads() {
    let mut pair = Pair::new(3);
    let ids = pair.opened(Reliability::Reliable);
    let message = Bytes::from(alloc::vec![1; 50_000]);
    let mut sent = 0_u64;
    while pair.ends[0].stream_send(pair.now, ids[0], message.clone()).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 4 * 1_024 * 1_024 / 50_003);
    pair.run(20 * SECOND);
    assert!(!pair.events[0].contains(&BusEvent::StreamWritable { id: ids[0] }));
    assert!(pair.ends[1].counters().packets_received * 1_280 < 320_000);
    let mut got = 0;
    for _ in 0..2_000 {
        pair.run(10 * MS);
        got += pair.read_stream(1, ids[1]).len() as u64;
    }
    assert_eq!(got, sent);
    assert!(pair.events[0].contains(&BusEvent::StreamWritable { id: ids[0] }));
    assert_eq!(pair.ends[0].stream_acked(ids[0]), Some(sent));
}

#[test]
fn an_unreliable_stream_loses_but_never_doubles_and_closes() {
    let mut pair = Pair::new(4);
    let ids = pair.opened(Reliability::Unreliable);
    pair.pipes(|pipe| (pipe.lost_percent, pipe.doubled_percent, pipe.jitter) = (20, 20, 5 * MS));
    let mut got = Vec::new();
    for message in numbered(300) {
        pair.ends[0].stream_send(pair.now, ids[0], message).unwrap();
        pair.run(10 * MS);
        let messages = pair.read_stream(1, ids[1]);
        got.extend(messages);
    }
    let before = got.len();
    got.sort();
    got.dedup();
    assert_eq!(got.len(), before, "nothing comes twice");
    assert!((200..290).contains(&before), "{before}");
    for (end, id) in ids.into_iter().enumerate() {
        pair.ends[end].stream_finish(pair.now, id).unwrap();
    }
    pair.run(5 * SECOND);
    assert_eq!([0, 1].map(|end| pair.closed(end, ids[end])), [Some(StreamEnd::Finished); 2]);
}

#[test]
fn more_streams_than_allowed_are_refused_on_both_sides() {
    let config = BusConfig { streams_per_peer_max: 3, ..BusConfig::default() };
    let mut pair = Pair::with(5, config);
    let ids: Vec<StreamId> = (0..3).map(|_| pair.open(0, Reliability::Reliable)).collect();
    let open = StreamOpen {
        topic: Bytes::new(),
        reliability: Reliability::Reliable,
        lane: Lane::Normal,
        args: Bytes::new(),
    };
    let to = pair.keys[1];
    let refused = pair.ends[0].open_stream(pair.now, &mut pair.entropy, to, open);
    assert_eq!(refused, Err(OpenError::TooManyStreams { limit: 3 }));
    pair.run(SECOND);
    pair.ends[0].stream_reset(pair.now, ids[0], 0).unwrap();
    // The reset is under way when the next offer goes, so there is room again.
    let id = pair.open(0, Reliability::Reliable);
    pair.run(SECOND);
    assert_eq!(pair.closed(0, id), None);
    assert_eq!(pair.ends[1].counters().streams_refused, 0);
}

#[test]
fn the_end_of_an_unreliable_stream_comes_after_its_messages() {
    let mut pair = Pair::new(6);
    let ids = pair.opened(Reliability::Unreliable);
    let message = Bytes::from(alloc::vec![1; 10_000]);
    for _ in 0..20 {
        pair.ends[0].stream_send(pair.now, ids[0], message.clone()).unwrap();
    }
    pair.ends[0].stream_finish(pair.now, ids[0]).unwrap();
    let finished = BusEvent::StreamFinished { id: ids[1] };
    let mut got = 0;
    while !pair.events[1].contains(&finished) {
        pair.run(MS);
        got += pair.read_stream(1, ids[1]).len();
        pair.collect();
    }
    assert_eq!(got, 20);
}

#[test]
fn refusals_of_offers_do_not_pile_up() {
    let mut pair = Pair::new(15);
    pair.send(0, "x");
    pair.run(SECOND);
    let (now, peer) = (pair.now, pair.keys[0]);
    let bus = &mut pair.ends[1];
    bus.cx.config.streams_per_peer_max = 0;
    let header = bus.header(DataKind::Packet, &peer, None, 0);
    let arrival = Arrival { now, lane: Lane::Normal, header: &header, tag: &[0; 16], hops: 1 };
    for number in 1..=10_000 {
        let mut packet = BytesMut::new();
        let (topic, args) = (Bytes::new(), Bytes::new());
        let (stream, reliability) = (2 * number, Reliability::Reliable);
        frame::Frame::Open { stream, reliability, topic, args }.encode(&mut packet);
        let session = bus.peers.get_mut(&peer).unwrap().session.as_mut().unwrap();
        let verdict = session.handle_opened(&mut bus.cx, &arrival, 0, packet.freeze());
        assert_eq!(verdict, Verdict::GoesOn);
    }
    assert_eq!(bus.counters().streams_refused, 10_000);
    let before = bus.counters().packets_sent;
    bus.refresh(now, peer);
    pair.run(5 * SECOND);
    let sent = pair.ends[1].counters().packets_sent - before;
    assert!(sent < 10, "{sent} packets");
    let id = pair.send(1, "y");
    assert!(pair.run_until(SECOND, |pair| is_delivered(pair.outcome(1, id))));
}
