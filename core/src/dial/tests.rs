mod demand;
mod slots;

use alloc::collections::BTreeSet;
use alloc::vec;

use super::*;
use crate::entropy::tests::Seeded;
use crate::identity::Identity;
use crate::io::{Beacon, ConnectionType, DialFailure, Dialling};
use crate::limits::{
    DIAL_CROWD, DIAL_CROWD_SPREAD, DIAL_FULL_BACKOFF_MAX, DIAL_LAST_SLOT_WAIT, DIAL_SPARE_WAIT,
    DIALS_PER_S, SIGHTINGS_EVICTED_PER_S, SIGHTINGS_MAX,
};

const LAN: TransportId = TransportId(0);
const REFUSED: DialFailure = DialFailure::Refused;
const MS: fn(u64) -> Instant = Instant::from_millis;

struct Bench {
    dialer: Dialer,
    network: Network,
    entropy: Seeded,
    linked: BTreeSet<Address>,
    /// What the way costs, and the links that the peer has.
    reachable: BTreeMap<Address, (u64, usize)>,
}

impl Bench {
    fn new(own: [u8; 8]) -> Self {
        let network = Network::open("test").unwrap();
        let mut dialer = Dialer::new(Address::from_bytes(own), network.clone());
        let profile = TransportProfile {
            kind: ConnectionType::AccessPoint,
            links_max: 4,
            dials_max: 2,
            dial_timeout: Duration::from_secs(5),
            dialled: Dialling::InSight,
        };
        dialer.add_transport(LAN, profile);
        Self {
            dialer,
            network,
            entropy: Seeded(1),
            linked: BTreeSet::new(),
            reachable: BTreeMap::new(),
        }
    }

    fn sight(&mut self, ms: u64, endpoint: &str, address: Option<[u8; 8]>) {
        let beacon = address.map(|address| {
            Beacon::new(&self.network, Address::from_bytes(address), &mut self.entropy)
        });
        let sighting = Sighting { endpoint: Endpoint::new(endpoint), beacon };
        self.dialer.handle_sighting(MS(ms), &mut self.entropy, LAN, sighting);
    }

    fn poll(&mut self, ms: u64) -> Vec<DialOrder> {
        let Self { dialer, entropy, linked, reachable, .. } = self;
        dialer.handle_change();
        dialer.poll(MS(ms), entropy, &|_, address| match reachable.get(&address) {
            _ if linked.contains(&address) => Reach::Linked,
            Some(&(cost, degree)) => Reach::Reachable { cost, degree },
            None => Reach::Unreachable,
        })
    }

    /// Slots and dials without end.
    fn roomy(&mut self) {
        let profile = TransportProfile {
            kind: ConnectionType::AccessPoint,
            links_max: 4_096,
            dials_max: 4_096,
            dial_timeout: Duration::from_secs(5),
            dialled: Dialling::InSight,
        };
        self.dialer.add_transport(LAN, profile);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.dialer.next_timeout()
    }
}

fn dial(n: u64, endpoint: &str) -> DialOrder {
    DialOrder::Dial(LAN, DialId(n), Endpoint::new(endpoint))
}

fn link(number: u64) -> LinkId {
    LinkId { transport: LAN, number }
}

/// Somebody comes in.
fn come_in(bench: &mut Bench, n: u64) {
    bench.dialer.handle_link_up(LAN, link(n), None);
    let peer = Identity::generate(&mut Seeded(n)).peer_key();
    bench.dialer.handle_established(MS(0), LAN, link(n), peer);
}

#[test]
fn the_lower_address_dials_at_once_and_the_higher_one_a_little_later() {
    let mut low = Bench::new([1; 8]);
    low.sight(0, "b", Some([2; 8]));
    assert_eq!(low.poll(0), [dial(0, "b")]);

    let mut high = Bench::new([3; 8]);
    high.sight(0, "b", Some([2; 8]));
    assert_eq!(high.poll(0), []);
    let at = high.next_timeout().unwrap();
    assert!(at >= Instant::from_micros(62_500) && at <= Instant::from_micros(187_500), "{at:?}");
    assert_eq!(high.poll(188), [dial(0, "b")]);
}

#[test]
fn strangers_and_oneself_are_not_dialled() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "self", Some([1; 8]));
    bench.network = Network::open("other").unwrap();
    bench.sight(0, "stranger", Some([2; 8]));
    assert_eq!(bench.poll(10_000), []);
}

#[test]
fn endpoints_of_one_peer_are_staggered_and_of_two_peers_are_not() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "a1", Some([2; 8]));
    bench.sight(0, "a2", Some([2; 8]));
    bench.sight(0, "b", Some([3; 8]));
    assert_eq!(bench.poll(0), [dial(0, "a1"), dial(1, "b")]);
    let failed =
        bench.dialer.handle_dial_failed(MS(10), &mut bench.entropy, LAN, DialId(1), &REFUSED);
    assert_eq!(failed, Some(Endpoint::new("b")));
    bench.dialer.handle_lost(LAN, &Endpoint::new("b"));
    assert_eq!(bench.poll(249), []);
    assert_eq!(bench.poll(250), [dial(2, "a2")]);
}

#[test]
fn an_endpoint_sighted_during_a_dial_waits_its_turn_behind_it() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "z", Some([2; 8]));
    assert_eq!(bench.poll(0), [dial(0, "z")]);
    bench.sight(1, "a", Some([2; 8]));
    bench.sight(2, "b", Some([2; 8]));
    assert_eq!(bench.poll(249), []);
    assert_eq!(bench.poll(250), [dial(1, "a")]);
}

#[test]
fn endpoints_are_tried_in_the_order_of_their_sightings_by_either_side() {
    for own in [[1; 8], [3; 8]] {
        let mut bench = Bench::new(own);
        for endpoint in ["c", "a", "b"] {
            bench.sight(0, endpoint, Some([2; 8]));
        }
        let begin = bench.next_timeout().unwrap().as_micros() / 1_000 + 1;
        assert_eq!(bench.poll(begin), [dial(0, "c")], "{own:?}");
        assert_eq!(bench.poll(begin + 249), []);
        assert_eq!(bench.poll(begin + 250), [dial(1, "a")]);
    }
}

#[test]
fn a_failure_lets_the_next_endpoint_begin_at_once() {
    let mut bench = Bench::new([1; 8]);
    for endpoint in ["c", "a", "b"] {
        bench.sight(0, endpoint, Some([2; 8]));
    }
    assert_eq!(bench.poll(0), [dial(0, "c")]);
    bench.dialer.handle_dial_failed(MS(10), &mut bench.entropy, LAN, DialId(0), &REFUSED);
    assert_eq!(bench.poll(10), [dial(1, "a")], "the next one, and that one alone");
    assert_eq!(bench.poll(259), []);
    assert_eq!(bench.poll(600), [dial(2, "b")], "before the one that failed");
}

#[test]
fn back_off_doubles_with_jitter_up_to_its_cap() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "b", None);
    let mut now = MS(0);
    let mut waits = vec![];
    for n in 0..12 {
        let orders = bench.poll(now.as_micros() / 1_000 + 1);
        assert_eq!(orders, [dial(n, "b")]);
        bench.dialer.handle_dial_failed(now, &mut bench.entropy, LAN, DialId(n), &REFUSED);
        let next = bench.next_timeout().unwrap();
        waits.push(next.since(now));
        now = next;
    }
    assert!(waits[0] >= Duration::from_millis(125) && waits[0] <= Duration::from_millis(375));
    assert!(waits[9] >= Duration::from_secs(5) && waits[9] <= DIAL_BACKOFF_MAX);
    assert_ne!(waits[10], waits[11]);
}

#[test]
fn a_peer_that_is_linked_is_not_dialled_until_its_link_is_gone() {
    let mut bench = Bench::new([1; 8]);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.sight(0, "static", None);
    assert_eq!(bench.poll(0), [dial(0, "static")]);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
    bench.dialer.handle_established(MS(5), LAN, link(1), peer);
    bench.linked.insert(peer.address());
    assert_eq!((bench.poll(60_000), bench.next_timeout()), (vec![], None));

    bench.dialer.handle_link_down(
        MS(70_000),
        &mut bench.entropy,
        LAN,
        (link(1), None),
        Failure::Ordinary,
    );
    assert_eq!(bench.poll(80_000), [], "another link to the same peer stands");
    bench.linked.clear();
    assert_eq!(bench.poll(80_000), [dial(1, "static")]);
}

#[test]
fn an_established_link_cancels_other_attempts_for_the_same_peer() {
    let mut bench = Bench::new([1; 8]);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.sight(0, "a1", Some(*peer.address().as_bytes()));
    bench.sight(0, "a2", Some(*peer.address().as_bytes()));
    bench.poll(1_000);
    bench.poll(2_000);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(1)));
    let orders = bench.dialer.handle_established(MS(2_000), LAN, link(1), peer);
    assert_eq!(orders, [DialOrder::Cancel(LAN, DialId(0))]);
}

#[test]
fn dials_and_links_stay_within_capacity() {
    let mut bench = Bench::new([1; 8]);
    for n in 2..10 {
        bench.sight(0, &alloc::format!("p{n}"), Some([n; 8]));
    }
    assert_eq!(bench.poll(0).len(), 2);
    for n in 0..3 {
        come_in(&mut bench, n);
    }
    for n in 20..60 {
        bench.dialer.handle_link_up(LAN, link(n), None);
    }
    for n in 0..2 {
        bench.dialer.handle_dial_failed(MS(0), &mut bench.entropy, LAN, DialId(n), &REFUSED);
    }
    let slots = |bench: &Bench| bench.dialer.slots(LAN);
    let mut dialled = bench.poll(20_000);
    dialled.extend(bench.poll(21_500));
    assert_eq!(dialled.len(), 1, "three links of four are taken");
    assert_eq!(slots(&bench), (3, 4));
    come_in(&mut bench, 8);
    assert_eq!(slots(&bench), (4, 4));
    let entropy = &mut bench.entropy;
    bench.dialer.handle_link_down(MS(0), entropy, LAN, (link(20), None), Failure::Ordinary);
    assert_eq!(slots(&bench), (4, 4), "it took none");
    let entropy = &mut bench.entropy;
    bench.dialer.handle_link_down(MS(0), entropy, LAN, (link(8), None), Failure::Ordinary);
    assert_eq!(slots(&bench), (3, 4));
}

#[test]
fn a_hung_dial_is_cancelled() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "b", None);
    bench.poll(0);
    assert_eq!(bench.next_timeout(), Some(MS(5_000)));
    assert_eq!(bench.poll(5_000), [DialOrder::Cancel(LAN, DialId(0))]);
}

#[test]
fn the_table_of_sightings_is_bounded_and_counts_what_it_refuses() {
    let mut bench = Bench::new([1; 8]);
    for n in 0..SIGHTINGS_MAX + 10 {
        bench.sight(0, &alloc::format!("p{n}"), Some([2; 8]));
    }
    assert_eq!(bench.dialer.refused(), 10);
}

#[test]
fn a_lost_endpoint_goes_and_a_configured_one_stays() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "seen", Some([2; 8]));
    bench.sight(0, "configured", None);
    for endpoint in ["seen", "configured"] {
        bench.dialer.handle_lost(LAN, &Endpoint::new(endpoint));
    }
    assert_eq!(bench.poll(1_000), [dial(0, "configured")]);
}

#[test]
fn an_endpoint_that_vanished_under_its_link_is_forgotten_with_the_link() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "b", Some([2; 8]));
    bench.poll(0);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
    bench.dialer.handle_lost(LAN, &Endpoint::new("b"));
    bench.dialer.handle_link_down(
        MS(100),
        &mut bench.entropy,
        LAN,
        (link(1), None),
        Failure::Ordinary,
    );
    assert_eq!(bench.poll(60_000), []);
    assert_eq!(bench.next_timeout(), None);
}

#[test]
fn both_ends_keep_the_same_of_two_links() {
    let [a, b] = [1, 2].map(|seed| Identity::generate(&mut Seeded(seed)).peer_key());
    let (low, high) = (a.min(b), a.max(b));
    let standing = |dialler, hash| Standing {
        instance: crate::id::Instance::from_bytes([0; 8]),
        dialler,
        hash: [hash; 32],
    };
    assert!(keeps_first(&standing(low, 9), &standing(high, 1)));
    assert!(!keeps_first(&standing(high, 1), &standing(low, 9)));
    assert!(keeps_first(&standing(low, 1), &standing(low, 2)));
    assert!(!keeps_first(&standing(low, 2), &standing(low, 1)));
}

#[test]
fn endpoints_that_strangers_make_up_do_not_keep_the_true_one_from_its_turn() {
    let mut bench = Bench::new([1; 8]);
    bench.sight(0, "true", Some([9; 8]));
    assert_eq!(bench.poll(0), [dial(0, "true")]);
    bench.dialer.handle_dial_failed(MS(0), &mut bench.entropy, LAN, DialId(0), &REFUSED);
    let mut again = None;
    let mut next = 1;
    for ms in (0..20_000).step_by(50) {
        bench.sight(ms, &alloc::format!("made up {ms}"), Some([9; 8]));
        for order in bench.poll(ms) {
            let DialOrder::Dial(_, dial, endpoint) = order else { panic!("{order:?}") };
            assert_eq!(dial, DialId(next));
            next += 1;
            again = again.or((endpoint.as_str() == "true").then_some(ms));
            bench.dialer.handle_dial_failed(MS(ms), &mut bench.entropy, LAN, dial, &REFUSED);
        }
    }
    assert!(again.is_some_and(|ms| ms < 1_000), "{again:?}");
}

#[test]
fn an_endpoint_that_led_to_a_peer_keeps_its_place_in_a_flood() {
    let mut bench = Bench::new([1; 8]);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.sight(0, "10.0.0.9:1", Some(*peer.address().as_bytes()));
    bench.poll(500);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
    bench.dialer.handle_established(MS(500), LAN, link(1), peer);
    let entropy = &mut bench.entropy;
    bench.dialer.handle_link_down(MS(500), entropy, LAN, (link(1), None), Failure::Ordinary);
    bench.sight(600, "10.0.0.8:1", Some([9; 8]));
    // One host that makes up ports, for some time.
    for n in 0..2_000_u64 {
        bench.sight(1_000 + n * 20, &alloc::format!("10.0.0.6:{n}"), Some([8; 8]));
    }
    let kept = |endpoint| bench.dialer.knows(LAN, &Endpoint::new(endpoint));
    assert!(kept("10.0.0.9:1") && kept("10.0.0.8:1"));
    let refused = bench.dialer.refused();
    assert!(kept("10.0.0.6:1999"), "a newcomer takes the place of one of its host's");
    // Looking for a place is bounded, too.
    for n in 0..1_000 {
        bench.sight(900_000, &alloc::format!("10.0.0.6:{}", 40_000 + n), Some([8; 8]));
    }
    let more = bench.dialer.refused() - refused;
    assert_eq!(more, 1_000 - u64::from(SIGHTINGS_EVICTED_PER_S));
}

#[test]
fn an_endpoint_that_led_to_a_peer_keeps_its_place_though_it_failed_since() {
    let mut bench = Bench::new([1; 8]);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.sight(0, "true", Some(*peer.address().as_bytes()));
    bench.poll(500);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
    bench.dialer.handle_established(MS(500), LAN, link(1), peer);
    let entropy = &mut bench.entropy;
    bench.dialer.handle_link_down(MS(500), entropy, LAN, (link(1), None), Failure::Ordinary);
    // As many others as fit, each a host of its own; one of them failed.
    bench.sight(600, "false", Some([9; 8]));
    assert_eq!(bench.poll(1_500).len(), 2);
    for n in 1..3 {
        bench.dialer.handle_dial_failed(MS(1_500), &mut bench.entropy, LAN, DialId(n), &REFUSED);
    }
    for n in 2..SIGHTINGS_MAX {
        bench.sight(1_600, &alloc::format!("p{n}"), Some([8; 8]));
    }
    bench.sight(1_600, "newcomer", Some([8; 8]));
    let knows = |endpoint| bench.dialer.knows(LAN, &Endpoint::new(endpoint));
    assert_eq!(["true", "false", "newcomer"].map(knows), [true, false, true]);
    bench.sight(1_600, "too many", Some([8; 8]));
    assert_eq!(bench.dialer.refused(), 1);
    assert!(bench.dialer.knows(LAN, &Endpoint::new("true")));
}

#[test]
fn the_endpoint_of_a_suspect_link_is_dialled_while_it_stands() {
    let mut bench = Bench::new([1; 8]);
    let peer = Identity::generate(&mut Seeded(7)).peer_key();
    bench.sight(0, "p", None);
    bench.poll(0);
    bench.dialer.handle_link_up(LAN, link(1), Some(DialId(0)));
    bench.dialer.handle_established(MS(5), LAN, link(1), peer);
    bench.linked.insert(peer.address());
    assert_eq!((bench.poll(60_000), bench.next_timeout()), (vec![], None));
    // Trusted again before anything was done.
    for suspect in [true, false] {
        bench.dialer.handle_doubt(MS(60_000), LAN, link(1), suspect);
    }
    assert_eq!((bench.poll(60_000), bench.next_timeout()), (vec![], None));
    bench.dialer.handle_doubt(MS(61_000), LAN, link(1), true);
    bench.linked.clear();
    assert_eq!(bench.poll(61_000), [dial(1, "p")]);
    // The new link comes up, the old one goes: the endpoint belongs to the new one.
    bench.dialer.handle_link_up(LAN, link(2), Some(DialId(1)));
    bench.dialer.handle_established(MS(61_000), LAN, link(2), peer);
    bench.linked.insert(peer.address());
    let entropy = &mut bench.entropy;
    bench.dialer.handle_link_down(MS(62_000), entropy, LAN, (link(1), None), Failure::Ordinary);
    assert_eq!((bench.poll(90_000), bench.next_timeout()), (vec![], None));
}

#[test]
fn the_higher_address_defers_for_as_long_as_a_radio_needs_to_connect() {
    for seconds in [20, 30] {
        let mut bench = Bench::new([3; 8]);
        let radio = TransportProfile {
            kind: ConnectionType::Bluetooth,
            links_max: 5,
            dials_max: 1,
            dial_timeout: Duration::from_secs(seconds),
            dialled: Dialling::InSight,
        };
        bench.dialer.add_transport(LAN, radio);
        bench.sight(0, "b", Some([2; 8]));
        let at = bench.next_timeout().unwrap();
        // A connection takes some advertising intervals of 100 to 250 ms; a dial that finds
        // nobody takes all of its time.
        assert!(at >= MS(250) && at <= MS(1_125), "{at:?}");
    }
}
