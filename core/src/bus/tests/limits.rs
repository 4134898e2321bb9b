//! Every limit of the Bus, reached on purpose: by a peer that knows the keys and no manners, or by
//! strangers that knock.

use super::frame::Frame;
use super::*;
use crate::limits::{
    EVENTS_MAX, OLD_KEYS_KEPT, OPEN_ARGS_BYTES_MAX, REKEY_PACKETS, SESSION_ANSWER_KEPT,
    SESSION_ANSWERS_MAX, SESSION_ANSWERS_OWN_PER_S, SESSION_ANSWERS_PER_S,
    SESSION_HANDSHAKE_RETRY_MAX, SESSION_HANDSHAKE_RETRY_MIN, SESSION_HINTS_PER_S,
    SESSION_REPLIES_MAX, STREAM_GAPS_MAX, STREAM_NUMBER_GAPS_MAX, STREAM_REFUSALS_MAX,
    TOPIC_BYTES_MAX, UNRELIABLE_PARTIAL_MAX, UNRELIABLE_WAITING_MAX,
};

impl Pair {
    /// A session, made by a message from end 0 to end 1.
    fn met(seed: u64) -> Self {
        let mut pair = Self::new(seed);
        let id = pair.send(0, "x");
        pair.run(SECOND);
        assert!(is_delivered(pair.outcome(0, id)));
        pair
    }

    /// End 0 says something that it sealed itself, whatever the rules.
    fn says(&mut self, frames: impl IntoIterator<Item = Frame>) -> Verdict {
        let mut packet = BytesMut::new();
        frames.into_iter().for_each(|frame| frame.encode(&mut packet));
        let (now, peer, bus) = (self.now, self.keys[0], &mut self.ends[1]);
        let header = bus.header(DataKind::Packet, &peer, None, 0);
        let arrival = Arrival { now, lane: Lane::Normal, header: &header, tag: &[0; 16], hops: 1 };
        let session = bus.peers.get_mut(&peer).unwrap().session.as_mut().unwrap();
        session.handle_opened(&mut bus.cx, &arrival, 0, packet.freeze())
    }

    /// All is well between the two: a message passes each way.
    fn works(&mut self) {
        let ids = [self.send(0, "still"), self.send(1, "here")];
        let outcomes = |pair: &Self| [0, 1].map(|end| pair.outcome(end, ids[end]));
        let delivered =
            self.run_until(5 * SECOND, |pair| outcomes(pair).into_iter().all(is_delivered));
        assert!(delivered, "{:?}", outcomes(self));
    }

    /// First messages of handshakes by end 0, each another one.
    fn calls(&mut self, count: usize) -> Vec<DataFrame> {
        let (now, to) = (self.now, self.keys[1]);
        let calls = (0..count).map(|number| {
            let local = local(&self.identities[0], 100 + number as u8);
            let mut bus = Bus::new(local, BusConfig::default());
            bus.handle_path(now, to, Some(path(0, 1_280)));
            bus.ping(now, to, SECOND).unwrap();
            poll(&mut bus, now, &mut self.entropy, LINK, Lane::Realtime).unwrap()
        });
        calls.collect()
    }
}

fn open(stream: u64, topic: usize, args: usize) -> Frame {
    Frame::Open {
        stream,
        reliability: Reliability::Reliable,
        topic: Bytes::from(alloc::vec![b't'; topic]),
        args: Bytes::from(alloc::vec![b'a'; args]),
    }
}

#[test]
fn topics_and_arguments_end_at_their_limits_on_both_sides() {
    let mut pair = Pair::met(1);
    let (now, to) = (pair.now, pair.keys[1]);
    for (topic, args, limit) in [
        (TOPIC_BYTES_MAX + 1, 0, TOPIC_BYTES_MAX),
        (0, OPEN_ARGS_BYTES_MAX + 1, OPEN_ARGS_BYTES_MAX),
    ] {
        let open = StreamOpen {
            topic: Bytes::from(alloc::vec![0; topic]),
            reliability: Reliability::Reliable,
            lane: Lane::Normal,
            args: Bytes::from(alloc::vec![0; args]),
        };
        let refused = pair.ends[0].open_stream(now, &mut pair.entropy, to, open);
        assert_eq!(refused, Err(OpenError::TooLarge { limit }));
    }
    assert_eq!(pair.says([open(2, TOPIC_BYTES_MAX, OPEN_ARGS_BYTES_MAX)]), Verdict::GoesOn);
    assert_eq!(pair.says([open(4, TOPIC_BYTES_MAX + 1, 0)]), Verdict::Broken);
    let mut pair = Pair::met(1);
    assert_eq!(pair.says([open(4, 0, OPEN_ARGS_BYTES_MAX + 1)]), Verdict::Broken);
}

#[test]
fn a_stream_with_more_gaps_than_a_true_sender_leaves_ends_the_session() {
    let piece = |number: u64| Frame::Data {
        stream: 0,
        offset: 2 * number + 2,
        fin: false,
        bytes: Bytes::from_static(b"x"),
    };
    let mut pair = Pair::met(2);
    let begin = 2;
    for number in begin..begin + STREAM_GAPS_MAX as u64 {
        assert_eq!(pair.says([piece(number)]), Verdict::GoesOn, "{number}");
    }
    assert_eq!(pair.says([piece(begin + STREAM_GAPS_MAX as u64)]), Verdict::Broken);
}

#[test]
fn stream_numbers_with_more_gaps_than_a_true_opener_leaves_end_the_session() {
    let mut pair = Pair::met(3);
    pair.ends[1].cx.config.streams_per_peer_max = 0;
    for number in 1..=STREAM_NUMBER_GAPS_MAX as u64 {
        assert_eq!(pair.says([open(4 * number, 0, 0)]), Verdict::GoesOn);
    }
    assert_eq!(pair.says([open(4 * STREAM_NUMBER_GAPS_MAX as u64 + 4, 0, 0)]), Verdict::Broken);
}

#[test]
fn refusals_wait_up_to_their_limit_and_each_offer_is_counted() {
    let mut pair = Pair::met(4);
    pair.ends[1].cx.config.streams_per_peer_max = 0;
    let offers = 2 * STREAM_REFUSALS_MAX as u64;
    for number in 1..=offers {
        assert_eq!(pair.says([open(2 * number, 0, 0)]), Verdict::GoesOn);
    }
    assert_eq!(pair.ends[1].counters().streams_refused, offers);
    let (now, peer) = (pair.now, pair.keys[0]);
    pair.ends[1].refresh(now, peer);
    pair.recorded = Some(Vec::new());
    pair.works();
    let refused = pair.recorded.take().unwrap().iter().map(|(_, f)| f.payload.len()).sum::<usize>();
    assert!(refused < 8 * STREAM_REFUSALS_MAX, "{refused} bytes of answers");
}

#[test]
fn unfinished_unreliable_messages_make_room_for_newer_ones_and_are_counted() {
    let mut pair = Pair::met(5);
    let piece = |message, offset| Frame::Datagram {
        stream: 0,
        message,
        total: 2,
        offset,
        bytes: Bytes::from_static(b"x"),
    };
    let newest = UNRELIABLE_PARTIAL_MAX as u64 + 10;
    for message in 1..=newest {
        assert_eq!(pair.says([piece(message, 0)]), Verdict::GoesOn);
    }
    assert_eq!(pair.ends[1].counters().unreliable_incomplete, 10);
    // The oldest are gone, the others can be finished.
    for message in [10, 11, newest] {
        assert_eq!(pair.says([piece(message, 1)]), Verdict::GoesOn);
    }
    pair.works();
    let unreliable = pair.got[1].iter().filter(|m| m.reliability == Reliability::Unreliable);
    assert_eq!(unreliable.count(), 2);
}

#[test]
fn unreliable_messages_that_wait_are_bounded_though_they_are_empty() {
    let mut pair = Pair::new(6);
    pair.pipes(|pipe| pipe.lost_percent = 100);
    let (now, to) = (pair.now, pair.keys[1]);
    let mut send = || pair.ends[0].send_unreliable(now, to, Lane::Normal, Bytes::new(), None);
    for number in 1..=UNRELIABLE_WAITING_MAX as u64 {
        assert_eq!(send(), Ok(number));
    }
    assert_eq!(send(), Err(SendError::Blocked));
    pair.pipes(|pipe| pipe.lost_percent = 0);
    pair.run(2 * SECOND);
    assert!(pair.events[0].contains(&BusEvent::Writable { peer: to }));
    assert_eq!(pair.ends[1].counters().unreliable_received, UNRELIABLE_WAITING_MAX as u64);
    pair.works();
}

#[test]
fn replaced_keys_open_what_was_on_its_way_for_so_long_and_no_longer() {
    for (late, opens) in [(OLD_KEYS_KEPT - MS, true), (OLD_KEYS_KEPT + MS, false)] {
        let mut pair = Pair::met(7);
        pair.run(3 * SECOND);
        // A packet that is long on its way.
        pair.pipes[0].lost_percent = 100;
        pair.recorded = Some(Vec::new());
        let (now, to) = (pair.now, pair.keys[1]);
        pair.ends[0].send_unreliable(now, to, Lane::Normal, "slow".into(), None).unwrap();
        pair.transmit();
        let mut recorded = pair.recorded.take().unwrap().into_iter();
        let (_, slow) = recorded.find(|(from, _)| *from == 0).unwrap();
        pair.pipes[0].lost_percent = 0;
        super::ciphers::keys(&mut pair, 0).sealed = REKEY_PACKETS;
        let rekeys = |pair: &Pair| pair.ends[1].counters().rekeys;
        pair.send(0, "new keys");
        assert!(pair.run_until(5 * SECOND, |pair| rekeys(pair) == 1));
        pair.run(late);
        let unknown = pair.ends[1].counters().packets_unknown_session;
        pair.deliver(1, slow);
        pair.run(MS);
        assert_eq!(pair.texts(1).contains(&"slow".into()), opens, "after {late:?}");
        assert_eq!(pair.ends[1].counters().packets_unknown_session - unknown, u64::from(!opens));
        pair.works();
    }
}

#[test]
fn a_call_is_repeated_ever_later_up_to_the_longest_wait() {
    let mut pair = Pair::new(8);
    pair.pipes[0].lost_percent = 100;
    pair.recorded = Some(Vec::new());
    let (now, to) = (pair.now, pair.keys[1]);
    pair.ends[0].ping(now, to, 60 * SECOND).unwrap();
    let (mut waits, mut last) = (Vec::new(), pair.now);
    while waits.len() < 7 {
        let seen = pair.recorded.as_ref().unwrap().len();
        pair.run_until(20 * SECOND, |pair| pair.recorded.as_ref().unwrap().len() > seen);
        waits.push(pair.now.since(last));
        last = pair.now;
    }
    assert_eq!(waits[1], SESSION_HANDSHAKE_RETRY_MIN);
    assert_eq!(waits[2], 2 * SESSION_HANDSHAKE_RETRY_MIN);
    assert_eq!(waits[6], SESSION_HANDSHAKE_RETRY_MAX);
}

#[test]
fn answers_to_one_peer_are_few_and_forgotten_when_nobody_proves_anything() {
    let mut pair = Pair::new(9);
    let calls = pair.calls(SESSION_ANSWERS_MAX + 3);
    calls.into_iter().for_each(|call| pair.deliver(1, call));
    let answers = |pair: &Pair| pair.ends[1].peers[&pair.keys[0]].answers.len();
    assert_eq!(answers(&pair), SESSION_ANSWERS_MAX);
    assert_eq!(pair.ends[1].indices.len(), SESSION_ANSWERS_MAX);
    pair.run(SESSION_ANSWER_KEPT - MS);
    assert_eq!(answers(&pair), SESSION_ANSWERS_MAX);
    pair.run(MS);
    assert_eq!((answers(&pair), pair.ends[1].indices.len()), (0, 0));
    pair.works();
}

#[test]
fn calls_are_answered_at_a_bounded_rate_and_counted() {
    let mut pair = Pair::new(10);
    let most = SESSION_ANSWERS_OWN_PER_S + SESSION_ANSWERS_PER_S;
    let calls = pair.calls(2 * most as usize);
    calls.into_iter().for_each(|call| pair.deliver(1, call));
    let counters = *pair.ends[1].counters();
    assert_eq!(counters.handshakes_answered, u64::from(most));
    assert_eq!(counters.handshakes_over_rate, u64::from(most));
    pair.run(SECOND);
    pair.works();
}

#[test]
fn answers_that_wait_for_their_link_are_bounded_and_counted() {
    let mut pair = Pair::new(11);
    let calls = pair.calls(SESSION_REPLIES_MAX + 20);
    for call in calls {
        pair.deliver(1, call);
        pair.now += SECOND / SESSION_ANSWERS_PER_S;
    }
    assert_eq!(pair.ends[1].replies.len(), SESSION_REPLIES_MAX);
    assert_eq!(pair.ends[1].counters().replies_dropped, 20);
    pair.works();
}

#[test]
fn hints_are_given_at_a_bounded_rate_and_counted() {
    let mut pair = Pair::met(12);
    pair.recorded = Some(Vec::new());
    pair.send(0, "y");
    pair.run(SECOND);
    let mut recorded = pair.recorded.take().unwrap().into_iter();
    let (_, mut packet) = recorded.find(|(from, _)| *from == 0).unwrap();
    let before = *pair.ends[1].counters();
    for number in 0..100 {
        packet.header.session = packet.header.session.wrapping_add(1 + number);
        pair.deliver(1, packet.clone());
    }
    let after = *pair.ends[1].counters();
    assert_eq!(after.packets_unknown_session - before.packets_unknown_session, 100);
    assert_eq!(after.hints_sent - before.hints_sent, u64::from(SESSION_HINTS_PER_S));
    assert_eq!(after.hints_over_rate, 100 - u64::from(SESSION_HINTS_PER_S));
    pair.works();
}

#[test]
fn offers_that_nobody_hears_of_stop_at_the_events_that_wait() {
    let mut pair = Pair::met(13);
    pair.hears[1] = false;
    for _ in 0..EVENTS_MAX {
        pair.ends[1].cx.events.push(BusEvent::MessagesReadable);
    }
    assert_eq!(pair.says([open(2, 1, 1)]), Verdict::GoesOn);
    assert_eq!(pair.ends[1].counters().streams_refused, 1);
    assert_eq!(pair.ends[1].cx.events.len(), EVENTS_MAX);
    pair.hears[1] = true;
    pair.works();
    assert_eq!(pair.says([open(4, 1, 1)]), Verdict::GoesOn);
    assert!(pair.run_until(SECOND, |pair| pair.offered(1).is_some()));
}

#[test]
fn what_first_windows_hold_unread_is_bounded_in_total_and_the_largest_session_ends() {
    let config = BusConfig { first_windows_bytes_max: 1 << 20, ..BusConfig::default() };
    let mut pair = Pair::with(20, config);
    let held = |pair: &Pair| pair.ends[1].cx.unbudgeted;
    // A window's worth each, in messages that are never whole.
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(pair.opened(Reliability::Reliable));
        let id = streams[streams.len() - 1][0];
        let message = Bytes::from(alloc::vec![1; 200_000]);
        pair.ends[0].stream_send(pair.now, id, message).unwrap();
        pair.run(3 * SECOND);
        pair.events.iter_mut().for_each(Vec::clear);
    }
    assert!((800_000..810_000).contains(&held(&pair)), "{}", held(&pair));
    // What is read, and what is over, holds nothing.
    let [_, read] = streams[0];
    assert_eq!(pair.read_stream(1, read).len(), 1);
    assert!((600_000..610_000).contains(&held(&pair)), "{}", held(&pair));
    let (now, [_, reset]) = (pair.now, streams[1]);
    pair.ends[1].stream_reset(now, reset, 0).unwrap();
    assert!((400_000..410_000).contains(&held(&pair)), "{}", held(&pair));
    assert_eq!(pair.ends[1].counters().sessions_over_memory, 0);
    for _ in 0..4 {
        let [id, _] = pair.opened(Reliability::Reliable);
        let message = Bytes::from(alloc::vec![1; 200_000]);
        pair.ends[0].stream_send(pair.now, id, message).unwrap();
        pair.events.iter_mut().for_each(Vec::clear);
        pair.run_until(3 * SECOND, |pair| held(pair) == 0);
        assert!(held(&pair) <= 1 << 20);
        if held(&pair) == 0 {
            break;
        }
    }
    pair.run(3 * SECOND);
    assert_eq!((held(&pair), pair.ends[1].counters().sessions_over_memory), (0, 1));
    let down = |reason| BusEvent::SessionDown { peer: pair.keys[0], reason };
    assert!(pair.events[1].contains(&down(SessionEnd::ClosedByLocal)));
    assert_eq!(pair.ends[1].cx.budget, pair.config.receive_bytes_max);
}
