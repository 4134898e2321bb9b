//! Who is dialled when slots are few, peers are full, or many are near.

use super::*;

/// Peers of these numbers are reachable, and have so many links.
fn reachable(bench: &mut Bench, peers: core::ops::Range<u8>, degree: usize) {
    for n in peers {
        bench.reachable.insert(Address::from_bytes([n; 8]), (100, degree));
    }
}

#[test]
fn peers_out_of_reach_are_dialled_before_others_and_the_longest_way_before_shorter_ones() {
    let mut bench = Bench::new([1; 8]);
    for n in 2..5 {
        bench.sight(0, &alloc::format!("p{n}"), Some([n; 8]));
    }
    bench.reachable.insert(Address::from_bytes([2; 8]), (100, 0));
    bench.reachable.insert(Address::from_bytes([3; 8]), (200, 0));
    assert_eq!(bench.poll(0), [dial(0, "p4"), dial(1, "p3")]);
}

#[test]
fn the_last_slot_is_dialled_for_after_a_moment_one_at_a_time_and_only_for_peers_out_of_reach() {
    let mut bench = Bench::new([1; 8]);
    for n in 0..3 {
        come_in(&mut bench, n);
    }
    for n in 2..6 {
        bench.sight(0, &alloc::format!("p{n}"), Some([n; 8]));
    }
    reachable(&mut bench, 2..4, 0);
    assert_eq!(bench.poll(0), []);
    let at = bench.next_timeout().unwrap();
    let (half, most) = (DIAL_LAST_SLOT_WAIT / 2, DIAL_LAST_SLOT_WAIT * 3 / 2);
    assert!((half..=most).contains(&at.since(MS(0))), "{at:?}");
    assert_eq!(bench.poll(1_500), [dial(0, "p4")], "two of four dials are possible");
    assert_eq!(bench.poll(4_000), []);
    bench.dialer.handle_dial_failed(MS(4_000), &mut bench.entropy, LAN, DialId(0), &REFUSED);
    bench.poll(4_000);
    assert_eq!(bench.poll(5_500), [dial(1, "p5")]);
    reachable(&mut bench, 4..6, 0);
    bench.dialer.handle_dial_failed(MS(5_500), &mut bench.entropy, LAN, DialId(1), &REFUSED);
    assert_eq!((bench.poll(60_000), bench.next_timeout()), (vec![], None));
}

#[test]
fn links_that_are_not_needed_come_the_later_the_fewer_slots_are_free() {
    let mut bench = Bench::new([1; 8]);
    for n in 2..6 {
        bench.sight(0, &alloc::format!("p{n}"), Some([n; 8]));
    }
    reachable(&mut bench, 2..6, 1);
    assert_eq!(bench.poll(0), [dial(0, "p2"), dial(1, "p3")], "most slots are free");
    for n in 0..2 {
        come_in(&mut bench, n);
    }
    bench.dialer.handle_dial_failed(MS(0), &mut bench.entropy, LAN, DialId(0), &REFUSED);
    bench.dialer.handle_dial_failed(MS(0), &mut bench.entropy, LAN, DialId(1), &REFUSED);
    assert_eq!(bench.poll(0), []);
    let at = bench.next_timeout().unwrap();
    let (half, most) = (DIAL_SPARE_WAIT / 2, DIAL_SPARE_WAIT * 3 / 2);
    assert!((half..=most).contains(&at.since(MS(0))), "{at:?}");
    assert_eq!(bench.poll(3_000), [dial(2, "p4")]);
    assert_eq!(bench.poll(3_000), [], "the last slot is for others");
}

#[test]
fn a_peer_as_full_as_this_node_may_be_is_not_dialled_while_it_is_reachable() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "p", Some([2; 8]));
    reachable(&mut bench, 2..3, 3);
    assert_eq!((bench.poll(60_000), bench.next_timeout()), (vec![], None));
    reachable(&mut bench, 2..3, 2);
    assert_eq!(bench.poll(60_000), [dial(0, "p")]);
}

#[test]
fn a_peer_that_said_it_is_full_is_left_alone_until_it_loses_a_link_or_its_way() {
    for out_of_reach in [false, true] {
        let mut bench = Bench::new([1; 8]);
        let peer = Identity::generate(&mut Seeded(7)).peer_key();
        let address = *peer.address().as_bytes();
        bench.sight(0, "p", Some(address));
        bench.reachable.insert(peer.address(), (100, 1));
        let begin = bench.next_timeout().unwrap().as_micros() / 1_000 + 1;
        assert_eq!(bench.poll(begin), [dial(0, "p")]);
        bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
        bench.dialer.handle_established(MS(begin), LAN, link(1), peer);
        let full = Failure::Full(Duration::from_secs(10));
        let entropy = &mut bench.entropy;
        bench.dialer.handle_link_down(MS(begin), entropy, LAN, (link(1), Some(peer)), full);
        assert_eq!(bench.poll(300_000), [], "it has one link, and that is all it can have");
        // What it told of its links came late.
        bench.reachable.insert(peer.address(), (100, 2));
        assert_eq!(bench.poll(300_000), []);
        if out_of_reach {
            bench.reachable.clear();
        } else {
            bench.reachable.insert(peer.address(), (100, 1));
        }
        assert_eq!(bench.poll(300_000), [dial(1, "p")]);
    }
}

#[test]
fn who_is_told_to_come_back_does_so_later_each_time_and_not_when_others_do() {
    let wait = Duration::from_secs(10);
    let mut firsts = BTreeSet::new();
    for seed in 0..20 {
        let mut bench = Bench::new([1; 8]);
        bench.entropy = Seeded(seed);
        let peer = Identity::generate(&mut Seeded(7)).peer_key();
        bench.sight(0, "p", None);
        let mut now = MS(0);
        for n in 0..5 {
            assert_eq!(bench.poll(now.as_micros() / 1_000 + 1), [dial(n, "p")]);
            bench.dialer.handle_link_up(LAN, link(n), Some(DialId(n)));
            bench.dialer.handle_established(now, LAN, link(n), peer);
            let entropy = &mut bench.entropy;
            let failure = Failure::Full(wait);
            bench.dialer.handle_link_down(now, entropy, LAN, (link(n), Some(peer)), failure);
            let next = bench.next_timeout().unwrap();
            let asked = (wait * (1 << n)).min(DIAL_FULL_BACKOFF_MAX);
            let waited = next.since(now);
            assert!(waited > asked && waited <= asked + asked * 3 / 8, "{waited:?}");
            if n == 0 {
                firsts.insert(waited);
            }
            now = next;
        }
    }
    assert!(firsts.len() > 15, "they come back together");
}

#[test]
fn every_endpoint_of_a_full_peer_waits_also_if_the_peer_had_dialled() {
    let mut bench = Bench::new([1; 8]);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.linked.insert(peer.address());
    for endpoint in ["a", "b"] {
        bench.sight(0, endpoint, Some(*peer.address().as_bytes()));
    }
    bench.dialer.handle_link_up(LAN, link(1), None);
    bench.dialer.handle_established(MS(0), LAN, link(1), peer);
    assert_eq!(bench.poll(1_000), []);
    bench.linked.clear();
    let entropy = &mut bench.entropy;
    let full = Failure::Full(Duration::from_secs(10));
    bench.dialer.handle_link_down(MS(1_000), entropy, LAN, (link(1), Some(peer)), full);
    assert_eq!(bench.poll(11_000), []);
    assert!(!bench.poll(15_000).is_empty());
}

#[test]
fn dials_that_have_lost_their_slot_are_given_up_once() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "spare", Some([2; 8]));
    bench.sight(0, "needed", Some([3; 8]));
    reachable(&mut bench, 2..3, 0);
    assert_eq!(bench.poll(0).len(), 2);
    for n in 0..3 {
        come_in(&mut bench, n);
    }
    assert_eq!(bench.poll(10), [DialOrder::Cancel(LAN, DialId(1))], "three of four are taken");
    come_in(&mut bench, 3);
    assert_eq!(bench.poll(20), [DialOrder::Cancel(LAN, DialId(0))]);
    assert_eq!(bench.poll(30), []);
}

#[test]
fn a_crowd_is_dialled_over_some_time_and_a_few_at_once() {
    let mut bench = Bench::new([1; 8]);
    bench.roomy();
    for n in 0..DIAL_CROWD {
        bench.sight(0, &alloc::format!("p{n}"), Some([10 + n as u8; 8]));
    }
    assert_eq!(bench.poll(0).len(), DIAL_CROWD);
    for n in DIAL_CROWD..100 {
        bench.sight(0, &alloc::format!("p{n}"), Some([10 + n as u8; 8]));
    }
    let at_once = bench.poll(0).len();
    let spread = DIAL_CROWD_SPREAD * 100;
    assert!(at_once <= 2, "{at_once} more");
    let half = bench.poll(u64::try_from(spread.as_millis()).unwrap() / 2).len();
    assert!(half > 10, "{half}");
}

#[test]
fn so_many_dials_begin_in_a_second_and_no_more() {
    let mut bench = Bench::new([1; 8]);
    bench.roomy();
    for n in 0..SIGHTINGS_MAX {
        bench.sight(0, &alloc::format!("p{n}"), None);
    }
    let mut begun = 0;
    for second in 1..6 {
        for ms in 0..10 {
            let orders = bench.poll(second * 1_000 + ms);
            begun += orders.len();
            for order in orders {
                let DialOrder::Dial(_, dial, _) = order else { panic!("{order:?}") };
                let entropy = &mut bench.entropy;
                bench.dialer.handle_dial_failed(MS(second * 1_000), entropy, LAN, dial, &REFUSED);
            }
        }
        assert_eq!(begun, second as usize * DIALS_PER_S as usize);
        assert_eq!(bench.next_timeout(), Some(MS((second + 1) * 1_000)));
    }
}
