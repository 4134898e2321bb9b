//! Neighbours that ask and tell without end.

use super::*;

#[test]
fn questions_without_end_cost_little_and_make_nothing_grow() {
    let mut side = Side::new(0, true);
    side.hold_peers(0..2_000);
    side.carrier.rate_bytes_per_s = 20_000;
    let (mut told, mut seconds) = (0, 0);
    let mut now = START;
    for round in 0..1_000_u64 {
        let first = Address::from_bytes((round << 50).to_be_bytes());
        let parts =
            [Range::ALL.last].map(|last| Part { last, content: Content::Fingerprint([9; 8]) });
        let ranges = Ranges { first, parts: parts.to_vec() };
        side.sync.on_ranges(now, &side.database, side.own.address(), &[0; 32], &ranges);
        let before = side.sync.figures().bytes_sent;
        side.pull(now, ROOM);
        told += side.sync.figures().bytes_sent - before;
        if round % 200 == 199 {
            (now, seconds) = (now + Duration::from_secs(1), seconds + 1);
        }
    }
    let rate = side.carrier.rate_bytes_per_s / SYNC_IDLE_SHARE;
    assert!(told <= 100_000 + seconds * rate + 4_000, "{told} in {seconds} s");
}

#[test]
fn looks_at_the_tables_are_bounded_and_nothing_is_lost_by_that() {
    let mut pair = Pair::of(2_000, [&[], &[]]);
    pair.settle();
    let key = pair.sides[0].carrier.key;
    let lie = Content::Fingerprint([9; 8]);
    let parts = vec![Part { last: Range::ALL.last, content: lie }];
    let ranges = Ranges { first: Range::ALL.first, parts };
    pair.sides[0].sync.looks = Budget::new(RANGE_LOOKS_PER_S, RANGE_LOOKS_BURST);
    for _ in 0..1_000 {
        pair.sides[0].take(pair.now, &key, Control::Ranges(ranges.clone()));
    }
    // Each one looks at all adverts, the last one at more than are left.
    let each = 4_000 + 1;
    let put_off = |looks: u64| 1_000 - looks.div_ceil(each);
    assert_eq!(pair.sides[0].sync.figures().ranges_put_off, put_off(RANGE_LOOKS_BURST));
    let looks = &mut pair.sides[0].sync.looks;
    assert!(!looks.may(pair.now), "all are spent");
    let again = pair.now + Duration::from_micros(1_000_000 * each / RANGE_LOOKS_PER_S);
    assert!(looks.ready_at() <= again, "and no more than one too many");
    pair.sides[1].hold(5, AdvertKind::Adjacency, 9);
    pair.sides[1].sync.begin();
    pair.settle();
    pair.assert_equal();
}

#[test]
fn lists_of_strangers_ask_for_a_bounded_number() {
    let mut side = Side::new(0, true);
    for number in 0..3_000 {
        let kind = AdvertKind::Profile;
        let owner = owner(number).address();
        let stamp = Stamp { owner, kind, key: 0, epoch: 1, sequence: 1, hash: 1 };
        let parts = vec![Part { last: owner, content: Content::List(vec![stamp]) }];
        let ranges = Ranges { first: owner, parts };
        side.sync.on_ranges(START, &side.database, side.own.address(), &[0; 32], &ranges);
    }
    let mut wants = 0;
    loop {
        let pulled = side.pull(START, ROOM);
        wants += pulled.iter().filter(|message| matches!(message, Control::Want(_))).count();
        if pulled.is_empty() {
            break;
        }
    }
    assert_eq!(wants, crate::limits::ASKED_MAX);
}
