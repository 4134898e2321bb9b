use alloc::vec;

use proptest::collection::btree_set;
use proptest::prelude::*;

use super::*;
use crate::wire::advert::AdvertKind;

const KEY: RangeKey = [7; 32];

fn address(number: u64) -> Address {
    Address::from_bytes(number.to_be_bytes())
}

fn range(first: u64, last: u64) -> Range {
    Range { first: address(first), last: address(last) }
}

/// A stamp of the `number`th advert of an owner.
fn stamp(owner: u64, number: u64) -> Stamp {
    let kind = AdvertKind::Unknown(9);
    Stamp { owner: address(owner), kind, key: number, epoch: 1, sequence: 1, hash: 1 }
}

fn within(stamps: &[Stamp], range: Range) -> Vec<Stamp> {
    let bounds = range.first..=range.last;
    stamps.iter().filter(|stamp| bounds.contains(&stamp.owner)).copied().collect()
}

#[test]
fn fingerprints_depend_on_key_content_and_order() {
    let stamps = [stamp(1, 1), stamp(2, 1)];
    let whole = fingerprint(&KEY, &stamps);
    assert_ne!(whole, fingerprint(&[8; 32], &stamps));
    assert_ne!(whole, fingerprint(&KEY, &[stamps[1], stamps[0]]));
    let mut other = stamps;
    other[1].hash += 1;
    assert_ne!(whole, fingerprint(&KEY, &other));
    assert_eq!(whole, fingerprint(&KEY, &stamps));
}

/// The block "fingerprint of A's adverts" of docs/protocol.md, 10.4.
#[test]
fn the_fingerprint_is_that_of_the_document() {
    let key = [
        0xe6, 0xd7, 0x60, 0x5b, 0x26, 0x7b, 0xbb, 0xdb, 0x97, 0x33, 0x4f, 0xf8, 0x4f, 0xfc, 0x8b,
        0xf3, 0x0b, 0x46, 0xbf, 0x2b, 0xdf, 0xb4, 0x09, 0x6e, 0x8b, 0x98, 0x9c, 0x1a, 0xb3, 0xa8,
        0x96, 0xbb,
    ];
    let owner = address(0xa019_0297_cfa3_3ebd);
    let stamp = |kind, sequence, hash| Stamp { owner, kind, key: 0, epoch: 1, sequence, hash };
    let stamps =
        [stamp(AdvertKind::Profile, 1, 0x58ea_ddfa), stamp(AdvertKind::Adjacency, 2, 0x3cfc_e2e5)];
    assert_eq!(fingerprint(&key, &stamps), 0x38ee_9dc6_d6b3_06b8_u64.to_be_bytes());
}

#[test]
fn little_is_listed_and_much_is_split_into_so_many_parts_and_no_more() {
    let stamps: Vec<_> = (0..1_000).map(|n| stamp(n << 40, 0)).collect();
    let list = opening(&KEY, Range::ALL, stamps[..4].to_vec());
    assert_eq!(
        list.parts,
        [Part { last: Range::ALL.last, content: Content::List(stamps[..4].to_vec()) }]
    );
    assert!(matches!(
        opening(&KEY, Range::ALL, stamps[..5].to_vec()).parts[..],
        [Part { content: Content::Fingerprint(_), .. }]
    ));
    let ranges = answer(&KEY, Range::ALL, stamps.clone());
    assert_eq!(ranges.parts.len(), RANGE_PARTS);
    assert!(ranges.is_about_all());
    for (range, content) in ranges.iter() {
        let held = within(&stamps, range);
        assert!((118..=125).contains(&held.len()), "{}", held.len());
        assert_eq!(content, &Content::Fingerprint(fingerprint(&KEY, &held)));
    }
}

#[test]
fn an_owner_of_many_adverts_is_not_split() {
    let many: Vec<_> = (0..20).map(|number| stamp(5, number)).collect();
    let ranges = answer(&KEY, range(1, 9), many.clone());
    assert_eq!(ranges.parts, [Part { last: address(9), content: Content::List(many.clone()) }]);
    for (stamps, why) in [
        ([vec![stamp(4, 0)], many.clone()].concat(), "behind another one"),
        ([many.clone(), vec![stamp(6, 0)]].concat(), "before another one"),
    ] {
        let ranges = answer(&KEY, range(1, 9), stamps);
        assert_eq!(ranges.parts.len(), 2, "{why}");
    }
}

#[test]
fn pending_ranges_that_touch_become_one() {
    let mut pending = Pending::default();
    let ranges = |pending: &Pending| -> Vec<Range> {
        pending.0.iter().map(|(first, last)| Range { first: *first, last: *last }).collect()
    };
    for added in [range(10, 19), range(30, 39), range(20, 29), range(30, 39), range(32, 33)] {
        pending.add(added);
    }
    assert_eq!(ranges(&pending), [range(10, 19), range(20, 29), range(30, 39)]);
    pending.add(range(15, 32));
    assert_eq!(ranges(&pending), [range(10, 39)]);
    pending.add(range(0, 4));
    pending.add(range(50, 60));
    assert_eq!(ranges(&pending), [range(0, 4), range(10, 39), range(50, 60)]);
    pending.add(Range::ALL);
    assert_eq!(ranges(&pending), [Range::ALL]);
}

#[test]
fn more_ranges_than_wait_become_coarser_and_none_is_forgotten() {
    let mut pending = Pending::default();
    for n in 0..5_000_u64 {
        // In no order.
        let first = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !7;
        pending.add(range(first, first + 3));
        assert!(pending.0.len() <= RANGES_PENDING_MAX);
    }
    for n in 0..5_000_u64 {
        let first = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !7;
        let (start, end) = pending.0.range(..=address(first)).next_back().unwrap();
        assert!(*start <= address(first) && address(first + 3) <= *end);
    }
}

/// Answers in turn until both know what differs; counts messages.
fn compare(a: &[Stamp], b: &[Stamp]) -> (Vec<Stamp>, usize) {
    let mut differs = Vec::new();
    let mut messages = 1;
    let mut asked = vec![(b, a, opening(&KEY, Range::ALL, a.to_vec()))];
    while let Some((here, there, ranges)) = asked.pop() {
        for (range, content) in ranges.iter() {
            let held = within(here, range);
            match content {
                Content::Fingerprint(theirs) if *theirs == fingerprint(&KEY, &held) => {}
                Content::Fingerprint(_) => {
                    messages += 1;
                    asked.push((there, here, answer(&KEY, range, held)));
                }
                Content::List(theirs) => {
                    differs.extend(held.iter().filter(|stamp| !theirs.contains(stamp)));
                    differs.extend(theirs.iter().filter(|stamp| !held.contains(stamp)));
                }
            }
        }
    }
    differs.sort();
    (differs, messages)
}

proptest! {
    #[test]
    fn any_two_sets_find_what_differs_in_few_messages(
        shared in btree_set((0..400_u64, 0..3_u64), 0..500),
        a in btree_set((0..400_u64, 3..5_u64), 0..40),
        b in btree_set((0..400_u64, 5..15_u64), 0..40),
        spread in prop_oneof![Just(1_u64), Just(1 << 55), Just(0x9e37_79b9_7f4a_7c15)],
    ) {
        let stamps = |set: &alloc::collections::BTreeSet<(u64, u64)>| -> Vec<Stamp> {
            set.iter().map(|(owner, n)| stamp(owner.wrapping_mul(spread), *n)).collect()
        };
        let join = |own| {
            let mut all = [stamps(&shared), stamps(own)].concat();
            all.sort();
            all.dedup();
            all
        };
        let (here, there) = (join(&a), join(&b));
        let (differs, messages) = compare(&here, &there);
        let mut expected: Vec<_> = here.iter().filter(|s| !there.contains(s)).copied().collect();
        expected.extend(there.iter().filter(|s| !here.contains(s)));
        expected.sort();
        prop_assert_eq!(&differs, &expected);
        // The opening, and for each difference one answer on each level; uneven owners make one more.
        prop_assert!(messages <= 1 + 5 * differs.len(), "{} for {}", messages, differs.len());
    }
}
