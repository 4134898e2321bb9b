//! Transports that are dialled on demand.

use super::*;
use crate::dial::upgrade::Present;
use crate::io::LinkEstimate;
use crate::limits::{DEMAND_BACKOFF_MAX, DEMAND_BACKOFF_MIN, DEMAND_REACH_WAIT, DEMAND_REST};
use crate::wire::advert::Cost;

const PEER: [u8; 8] = [2; 8];
const MINUTE_MS: u64 = 60_000;

fn on_demand(own: [u8; 8], links_max: usize) -> Bench {
    let mut bench = Bench::new(own);
    let promise = LinkEstimate { rate_bytes_per_s: 10_000_000, delay: Duration::from_millis(3) };
    let profile = TransportProfile {
        kind: ConnectionType::other("Group"),
        links_max,
        dials_max: 2,
        dial_timeout: Duration::from_secs(20),
        dialled: Dialling::OnDemand { promise },
    };
    bench.dialer.add_transport(LAN, profile);
    bench
}

/// The peer is reachable, and this waits for the link to it.
fn wants(bench: &mut Bench, rate_bytes_per_s: u64) {
    let address = Address::from_bytes(PEER);
    bench.reachable.insert(address, (94_000, 0));
    let present = Present { cost: Cost::from_microseconds(94_000), rate_bytes_per_s };
    bench.dialer.handle_wanted(&BTreeMap::from([(address, present)]));
}

fn refusal(bench: &Bench) -> Option<Refusal> {
    let mut refusals = bench.dialer.refusals();
    let first = refusals.next();
    assert_eq!(refusals.next(), None);
    first
}

/// Fails the dials of `p` from now on until one has failed so often; when the last one did, and how
/// long the next one waits.
fn fail(bench: &mut Bench, mut ms: u64, times: u32) -> (u64, Duration) {
    loop {
        if let [DialOrder::Dial(_, id, _)] = bench.poll(ms)[..] {
            bench.dialer.handle_dial_failed(MS(ms), &mut bench.entropy, LAN, id, &REFUSED);
            let refusal = refusal(bench).unwrap();
            if refusal.failures == times {
                return (ms, refusal.next_try.unwrap().since(MS(ms)));
            }
        }
        ms = bench.next_timeout().unwrap().as_micros().div_ceil(1_000).max(ms + 1);
    }
}

#[test]
fn a_peer_that_is_reachable_is_dialled_only_when_a_faster_link_pays() {
    let mut bench = on_demand([1; 8], 4);
    bench.sight(0, "p", Some(PEER));
    bench.reachable.insert(Address::from_bytes(PEER), (94_000, 0));
    assert_eq!((bench.poll(MINUTE_MS), bench.next_timeout()), (vec![], None), "no spare link");
    // What the group promises is no gain for a link that carries so much.
    wants(&mut bench, 5_000_000);
    assert_eq!((bench.poll(MINUTE_MS), bench.next_timeout()), (vec![], None));
    wants(&mut bench, 20_000);
    assert_eq!(bench.poll(MINUTE_MS), [dial(0, "p")]);
    // Nothing waits any more: the dial that runs goes on, and no other one follows.
    bench.dialer.handle_wanted(&BTreeMap::new());
    assert_eq!(bench.poll(MINUTE_MS), []);
    let entropy = &mut bench.entropy;
    bench.dialer.handle_dial_failed(MS(MINUTE_MS), entropy, LAN, DialId(0), &REFUSED);
    assert_eq!((bench.poll(60 * MINUTE_MS), bench.next_timeout()), (vec![], None));
}

#[test]
fn the_last_slot_is_for_peers_out_of_reach_and_no_faster_link_takes_it() {
    let mut bench = on_demand([1; 8], 1);
    bench.sight(0, "p", Some(PEER));
    wants(&mut bench, 20_000);
    assert_eq!((bench.poll(MINUTE_MS), bench.next_timeout()), (vec![], None));
    bench.reachable.clear();
    bench.poll(MINUTE_MS);
    assert_eq!(bench.poll(2 * MINUTE_MS), [dial(0, "p")]);
}

#[test]
fn a_peer_out_of_reach_is_dialled_once_others_had_time_to_reach_it() {
    for is_reached_meanwhile in [false, true] {
        let mut bench = on_demand([1; 8], 4);
        bench.sight(0, "p", Some(PEER));
        assert_eq!(bench.poll(0), []);
        let at = bench.next_timeout().unwrap();
        let (half, most) = (DEMAND_REACH_WAIT / 2, DEMAND_REACH_WAIT * 3 / 2);
        assert!((half..=most).contains(&at.since(MS(0))), "{at:?}");
        if is_reached_meanwhile {
            bench.reachable.insert(Address::from_bytes(PEER), (94_000, 0));
            assert_eq!((bench.poll(MINUTE_MS), bench.next_timeout()), (vec![], None));
        } else {
            assert_eq!(bench.poll(4_500), [dial(0, "p")]);
        }
    }
}

#[test]
fn of_two_ends_for_whose_data_a_link_pays_the_higher_address_dials_later() {
    let mut bench = on_demand([3; 8], 4);
    bench.sight(0, "p", Some(PEER));
    wants(&mut bench, 20_000);
    assert_eq!(bench.poll(MINUTE_MS), []);
    let at = bench.next_timeout().unwrap();
    assert!((250..=750).contains(&at.since(MS(MINUTE_MS)).as_millis()), "{at:?}");
    assert_eq!(bench.poll(MINUTE_MS + 750), [dial(0, "p")]);
}

#[test]
fn what_failed_waits_longer_and_longer_and_can_be_seen() {
    let mut bench = on_demand([1; 8], 4);
    assert_eq!(refusal(&bench), None);
    bench.sight(0, "p", Some(PEER));
    wants(&mut bench, 20_000);
    let mut ms = 0;
    for failures in 1..12 {
        let mean = (DEMAND_BACKOFF_MIN * (1 << (failures - 1))).min(DEMAND_BACKOFF_MAX);
        let (failed_at, wait) = fail(&mut bench, ms, failures);
        let most = (mean * 3 / 2).min(DEMAND_BACKOFF_MAX);
        assert!((mean / 2..=most).contains(&wait), "{wait:?} after {failures}");
        ms = failed_at;
    }
    let refusal = refusal(&bench).unwrap();
    assert_eq!((refusal.transport, refusal.endpoint), (LAN, Endpoint::new("p")));
    assert_eq!(refusal.address, Some(Address::from_bytes(PEER)));
    assert_eq!(refusal.reason, RefusalReason::Dial(DialFailure::Refused));
    assert_eq!(alloc::string::ToString::to_string(&refusal.reason), "refused");
}

#[test]
fn sightings_do_not_shorten_the_wait() {
    let mut bench = on_demand([1; 8], 4);
    bench.sight(0, "p", Some(PEER));
    wants(&mut bench, 20_000);
    let (ms, wait) = fail(&mut bench, 0, 3);
    let before = refusal(&bench);
    bench.sight(ms + 1, "p", Some(PEER));
    assert_eq!(refusal(&bench), before);
    // It vanishes and comes back, as devices that look for groups do.
    bench.dialer.handle_lost(LAN, &Endpoint::new("p"));
    assert_eq!((bench.poll(ms + 2), bench.next_timeout()), (vec![], None));
    bench.sight(ms + 3, "p", Some(PEER));
    assert_eq!((bench.poll(ms + 3), refusal(&bench)), (vec![], before));
    // And shows somebody else's beacon.
    bench.sight(ms + 4, "p", Some([9; 8]));
    bench.sight(ms + 5, "p", Some(PEER));
    let waits = u64::try_from(wait.as_millis()).unwrap();
    assert_eq!(bench.poll(ms + waits), []);
    assert_eq!(bench.poll(ms + waits + 1), [dial(3, "p")]);
}

#[test]
fn what_vanished_is_forgotten_in_the_end_and_never_dialled() {
    let mut bench = on_demand([1; 8], 4);
    bench.sight(0, "p", Some(PEER));
    wants(&mut bench, 20_000);
    let (ms, wait) = fail(&mut bench, 0, 1);
    bench.dialer.handle_lost(LAN, &Endpoint::new("p"));
    bench.reachable.clear();
    let over = MS(ms) + wait + DEMAND_BACKOFF_MAX;
    let over_ms = over.as_micros() / 1_000;
    assert_eq!((bench.poll(over_ms), bench.next_timeout()), (vec![], None));
    assert!(refusal(&bench).is_some());
    assert!(!bench.dialer.hears_unreachable(MS(over_ms), LAN));
    assert_eq!(bench.poll(over_ms + 1), []);
    assert!(!bench.dialer.knows(LAN, &Endpoint::new("p")));
}

#[test]
fn a_link_that_lasted_clears_what_failed_before_it() {
    let mut bench = on_demand([1; 8], 4);
    bench.sight(0, "p", None);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    let (ms, wait) = fail(&mut bench, 0, 4);
    let at = ms + 3 * MINUTE_MS;
    assert!(wait < Duration::from_millis(3 * MINUTE_MS));
    bench.poll(at);
    let [DialOrder::Dial(_, id, _)] = bench.poll(at + 5_000)[..] else { panic!("no dial") };
    bench.dialer.handle_link_up(LAN, link(1), Some(id));
    bench.dialer.handle_established(MS(at + 5_000), LAN, link(1), peer);
    assert_eq!(refusal(&bench), None);
    let down = MS(at + 20_000);
    let end = LinkEnd::Silent;
    bench.dialer.note_end(link(1), &end);
    let whose = (link(1), Some(peer));
    bench.dialer.handle_link_down(down, &mut bench.entropy, LAN, whose, Failure::Ordinary);
    let refusal = refusal(&bench).unwrap();
    assert_eq!((refusal.failures, refusal.reason), (1, RefusalReason::Link(end)));
    assert!(refusal.next_try.unwrap().since(down) <= DEMAND_BACKOFF_MIN * 3 / 2);
}

#[test]
fn a_link_that_was_not_needed_is_no_failure_and_is_made_again_as_soon_as_it_pays() {
    let mut bench = on_demand([0; 8], 4);
    bench.sight(0, "p", None);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.poll(0);
    assert_eq!(bench.poll(4_500), [dial(0, "p")]);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
    bench.dialer.handle_established(MS(4_500), LAN, link(1), peer);
    bench.dialer.note_end(link(1), &LinkEnd::Silent);
    let unneeded = Failure::Unneeded(DEMAND_REST);
    let (now, whose) = (MS(5_000), (link(1), Some(peer)));
    bench.dialer.handle_link_down(now, &mut bench.entropy, LAN, whose, unneeded);
    assert_eq!(refusal(&bench), None);
    bench.reachable.insert(peer.address(), (94_000, 0));
    assert_eq!((bench.poll(5_000), bench.next_timeout()), (vec![], None));
    let present = Present { cost: Cost::from_microseconds(94_000), rate_bytes_per_s: 20_000 };
    bench.dialer.handle_wanted(&BTreeMap::from([(peer.address(), present)]));
    assert_eq!(bench.poll(5_000), [dial(1, "p")]);
}

/// The other end may know the same medium as a dear one.
#[test]
fn who_is_told_in_sight_that_a_link_is_not_needed_makes_no_spare_one_for_a_while() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "p", None);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    assert_eq!(bench.poll(0), [dial(0, "p")]);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
    bench.dialer.handle_established(MS(0), LAN, link(1), peer);
    let unneeded = Failure::Unneeded(DEMAND_REST);
    let (now, whose) = (MS(5_000), (link(1), Some(peer)));
    bench.dialer.handle_link_down(now, &mut bench.entropy, LAN, whose, unneeded);
    bench.reachable.insert(peer.address(), (100, 0));
    let rested = now + DEMAND_REST;
    assert_eq!((bench.poll(5_000), bench.next_timeout()), (vec![], Some(rested)));
    assert_eq!(bench.poll(5_000 + 59_999), []);
    assert_eq!(bench.poll(5_000 + 60_000), [dial(1, "p")]);
}

#[test]
fn a_suspect_link_is_replaced_on_demand_as_well() {
    let mut bench = on_demand([1; 8], 4);
    bench.sight(0, "p", None);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.poll(0);
    assert_eq!(bench.poll(4_500), [dial(0, "p")]);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
    bench.dialer.handle_established(MS(4_500), LAN, link(1), peer);
    bench.linked.insert(peer.address());
    assert_eq!((bench.poll(60_000), bench.next_timeout()), (vec![], None));
    bench.dialer.handle_doubt(MS(60_000), LAN, link(1), true);
    bench.linked.clear();
    let orders = bench.dialer.poll(MS(60_000), &mut bench.entropy, &|_, _| Reach::Doubtful);
    assert_eq!(orders, [dial(1, "p")]);
}

#[test]
fn a_link_that_the_other_end_made_proves_the_way() {
    let mut bench = on_demand([1; 8], 4);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.sight(0, "p", Some(*peer.address().as_bytes()));
    let (ms, _) = fail(&mut bench, 0, 5);
    bench.dialer.handle_link_up(LAN, link(1), None);
    bench.dialer.handle_established(MS(ms), LAN, link(1), peer);
    assert_eq!(refusal(&bench), None);
    let unneeded = Failure::Unneeded(DEMAND_REST);
    let whose = (link(1), Some(peer));
    bench.dialer.handle_link_down(MS(ms + 1), &mut bench.entropy, LAN, whose, unneeded);
    // Whoever is out of reach then is dialled however unneeded the link was.
    bench.poll(ms + 1);
    assert!(matches!(bench.poll(ms + 6_000)[..], [DialOrder::Dial(..)]));
}
