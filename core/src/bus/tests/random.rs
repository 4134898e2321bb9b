//! Random sequences of everything.

use alloc::vec;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Send(usize, u16),
    Loose(usize, u16),
    Open(usize),
    OnStream(usize, u16),
    Finish(usize),
    Ping(usize),
    Reset(usize),
    Run(u16),
    Loss(u8),
    Path(u8),
    Restart(usize),
    Reads(usize, bool),
}

fn op() -> impl Strategy<Value = Op> {
    let end = 0..2_usize;
    prop_oneof![
        6 => (end.clone(), any::<u16>()).prop_map(|(end, size)| Op::Send(end, size)),
        2 => (end.clone(), any::<u16>()).prop_map(|(end, size)| Op::Loose(end, size)),
        2 => end.clone().prop_map(Op::Open),
        6 => (end.clone(), any::<u16>()).prop_map(|(end, size)| Op::OnStream(end, size)),
        1 => end.clone().prop_map(Op::Finish),
        1 => end.clone().prop_map(Op::Ping),
        1 => end.clone().prop_map(Op::Reset),
        9 => (1..2_000_u16).prop_map(Op::Run),
        2 => (0..40_u8).prop_map(Op::Loss),
        2 => (0..4_u8).prop_map(Op::Path),
        1 => end.clone().prop_map(Op::Restart),
        1 => (end, any::<bool>()).prop_map(|(end, reads)| Op::Reads(end, reads)),
    ]
}

/// What the test knows of one run of an end.
#[derive(Default)]
struct Ledger {
    sent: Vec<(MessageId, Bytes)>,
    streams: Vec<StreamId>,
}

fn message(number: u32, size: u16) -> Bytes {
    let mut bytes = vec![0; usize::from(size) + 4];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

/// Messages carry increasing numbers: in order and once means strictly increasing.
fn assert_increasing(messages: &[Bytes]) {
    let numbers: Vec<_> = messages.iter().map(|message| &message[..4]).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
}

fn act(pair: &mut Pair, ledgers: &mut [Ledger; 2], number: u32, op: Op) {
    let (now, keys) = (pair.now, pair.keys);
    match op {
        Op::Send(end, size) => {
            let data = message(number, size);
            let sent =
                pair.ends[end].send_reliable(now, keys[1 - end], Lane::Normal, data.clone(), None);
            ledgers[end].sent.extend(sent.map(|id| (id, data)));
        }
        Op::Loose(end, size) => {
            let data = message(number, size);
            let _ = pair.ends[end].send_unreliable(now, keys[1 - end], Lane::Realtime, data, None);
        }
        Op::Open(end) => ledgers[end].streams.push(pair.open(end, Reliability::Reliable)),
        Op::OnStream(end, size) => {
            for id in ledgers[end].streams.clone() {
                let _ = pair.ends[end].stream_send(now, id, message(number, size));
            }
        }
        Op::Finish(end) => {
            for id in ledgers[end].streams.clone() {
                let _ = pair.ends[end].stream_finish(now, id);
            }
        }
        Op::Ping(end) => {
            pair.ends[end].ping(now, keys[1 - end], 10 * SECOND).unwrap();
        }
        Op::Reset(end) => {
            let id = ledgers[end].streams.last().copied();
            let _ = id.map(|id| pair.ends[end].stream_reset(now, id, 1));
        }
        Op::Run(millis) => {
            for _ in 0..4 {
                pair.run(MS * u32::from(millis) / 4);
                accept_all(pair, ledgers);
            }
        }
        Op::Loss(percent) => pair.pipes(|pipe| {
            (pipe.lost_percent, pipe.doubled_percent) = (percent.into(), 5);
            pipe.jitter = 20 * MS;
        }),
        Op::Path(0) => pair.set_paths(None),
        Op::Path(number) => {
            pair.set_paths(Some(path(number.into(), 1_280 << (2 * (number - 1)))));
        }
        Op::Restart(end) => {
            accept_all(pair, ledgers);
            check(pair, ledgers);
            ledgers[end] = Ledger::default();
            pair.restart(end, number as u8 + 2);
        }
        Op::Reads(end, reads) => pair.reads[end] = reads,
    }
}

fn accept_all(pair: &mut Pair, ledgers: &mut [Ledger; 2]) {
    for (end, ledger) in ledgers.iter_mut().enumerate() {
        let offers = pair.events[end].iter().filter_map(|event| match event {
            BusEvent::StreamOffered { id, .. } => Some(*id),
            _ => None,
        });
        for id in offers.collect::<Vec<_>>() {
            if pair.ends[end].accept_stream(pair.now, id, Bytes::new()).is_ok() {
                ledger.streams.push(id);
            }
        }
        for id in ledger.streams.clone() {
            let messages = pair.read_stream(end, id);
            assert_increasing(&messages);
        }
    }
}

fn check(pair: &Pair, ledgers: &[Ledger; 2]) {
    for end in 0..2 {
        let reliable = pair.got[end].iter().filter(|m| m.reliability == Reliability::Reliable);
        let got: Vec<_> = reliable.map(|message| message.data.clone()).collect();
        assert_increasing(&got);
        for (id, data) in &ledgers[1 - end].sent {
            match pair.outcome(1 - end, *id) {
                Some(Outcome::NotDelivered(_)) => {
                    assert!(!got.contains(data), "not delivered, yet there");
                }
                Some(Outcome::Unknown(_) | Outcome::Delivered { .. }) | None => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_doubled_reordered_or_left_open(
        seed: u64,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut pair = Pair::new(seed);
        let mut ledgers = <[Ledger; 2]>::default();
        for (number, op) in ops.into_iter().enumerate() {
            act(&mut pair, &mut ledgers, number as u32, op);
        }
        pair.pipes(|pipe| (pipe.lost_percent, pipe.doubled_percent) = (0, 0));
        pair.reads = [true; 2];
        pair.set_paths(Some(path(0, 1_280)));
        act(&mut pair, &mut ledgers, 0, Op::Run(40_000));
        act(&mut pair, &mut ledgers, 0, Op::Run(40_000));
        check(&pair, &ledgers);
        for (end, ledger) in ledgers.iter().enumerate() {
            for (id, _) in &ledger.sent {
                prop_assert!(pair.outcome(end, *id).is_some(), "message {id:?} of {end}");
            }
            prop_assert_eq!(pair.ends[end].cx.events.outcomes_owed, 0);
            prop_assert_eq!(pair.ends[end].cx.events.pings_owed, 0);
        }
    }
}
