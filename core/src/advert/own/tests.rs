//! What a node signs of itself, and when.

use alloc::sync::Arc;

use super::*;
use crate::crypto::aead::Portable;
use crate::crypto::verifier::Strict;
use crate::entropy::tests::Seeded;
use crate::identity::{Identity, StaticBinding};
use crate::limits::SIGN_QUIET;
use crate::network::Network;
use crate::wire::advert::{Abilities, Cost};
use crate::wire::handshake::Versions;

struct Bench {
    local: Local,
    own: Own,
    database: Database,
}

const MS: fn(u64) -> Instant = Instant::from_millis;
/// Another run of the same key.
const OTHER: Instance = Instance::from_bytes([9; 8]);

fn bench() -> Bench {
    bench_of(true)
}

fn bench_of(kept: bool) -> Bench {
    let local = Local {
        identity: Identity::generate(&mut Seeded(1)),
        network: Network::open("test").unwrap(),
        instance: Instance::from_bytes([1; 8]),
        epoch: 4,
        aead: Arc::new(Portable),
        verifier: Arc::new(Strict),
    };
    let profile = Profile {
        binding: StaticBinding::Converted,
        versions: Versions::OURS,
        abilities: Abilities::default(),
        device_name: "a".into(),
        os: 0,
        sdk_version: "0".into(),
        metadata_hash: [0; 32],
        metadata_bytes: 0,
    };
    let database = Database::new(local.network.clone(), local.peer_key());
    Bench { own: Own::new(MS(0), 4, kept, profile), local, database }
}

impl Bench {
    fn publish(&mut self, now: Instant) -> Vec<AdvertKind> {
        let ids = self.own.publish(now, &self.local, &mut self.database);
        ids.iter().map(|id| id.kind).collect()
    }
}

fn edge(peer: u8, cost: u8) -> Edge {
    Edge {
        peer: Address::from_bytes([peer; 8]),
        kind: ConnectionType::AccessPoint,
        cost: Cost(cost),
        payload_log2: 16,
    }
}

#[test]
fn several_new_links_make_one_adjacency() {
    let mut bench = bench();
    bench.publish(MS(0));
    bench.own.set_edges(MS(1_000), alloc::vec![edge(1, 5)]);
    bench.own.set_edges(MS(1_010), alloc::vec![edge(2, 5), edge(1, 5)]);
    assert_eq!(bench.own.next_timeout(), Some(MS(1_000) + ADJACENCY_COALESCE));
    assert_eq!(bench.publish(MS(1_020)), [AdvertKind::Adjacency]);
    let refresh = bench.own.next_timeout().unwrap();
    assert!(refresh <= MS(1_020) + ADJACENCY_REFRESH, "{refresh:?}");
    assert!(refresh > MS(1_020) + (ADJACENCY_REFRESH - ADJACENCY_REFRESH_SPREAD));
}

#[test]
fn a_change_of_cost_waits_and_a_lost_link_does_not() {
    let mut bench = bench();
    bench.own.set_edges(MS(0), alloc::vec![edge(1, 5), edge(2, 5)]);
    bench.publish(MS(20));
    bench.own.set_edges(MS(2_000), alloc::vec![edge(1, 9), edge(2, 5)]);
    assert_eq!(bench.own.next_timeout(), Some(MS(10_020)));
    bench.own.set_edges(MS(3_000), alloc::vec![edge(2, 5)]);
    assert_eq!(bench.own.next_timeout(), Some(MS(3_020)));
    bench.own.set_edges(MS(3_000), alloc::vec![edge(1, 5), edge(2, 5)]);
    assert!(bench.own.next_timeout() > Some(MS(20) + ADJACENCY_REFRESH / 2), "as signed");
    // After quiet it waits for no other.
    let quiet = MS(20) + SIGN_QUIET;
    bench.own.set_edges(quiet, alloc::vec![edge(2, 5)]);
    assert_eq!(bench.own.next_timeout(), Some(quiet));
}

#[test]
fn an_adjacency_is_bounded_and_says_what_it_left_out() {
    let mut bench = bench();
    bench.own.set_edges(MS(0), (0..100).map(|peer| edge(peer, 5)).collect());
    bench.publish(MS(20));
    assert_eq!(bench.own.edges_left_out(), 100 - EDGES_MAX);
}

#[test]
fn a_node_that_lost_its_epoch_steps_above_its_past() {
    let mut bench = bench();
    bench.publish(MS(0));
    let heard = bench.own.on_heard(MS(10), &bench.local, (7, 300, 1), OTHER);
    assert_eq!(heard, Heard::Stepped { epoch: 8 });
    bench.publish(MS(100));
    let versions: Vec<_> = bench
        .database
        .ids(None)
        .map(|id| bench.database.stamp(id).unwrap())
        .map(|stamp| (stamp.epoch, stamp.sequence))
        .collect();
    assert_eq!(versions, [(8, 1), (8, 2)]);
}

#[test]
fn an_echo_of_its_own_words_is_nothing() {
    let mut bench = bench();
    bench.publish(MS(0));
    let id = bench.database.ids(None).next().unwrap();
    let stamp = bench.database.stamp(id).unwrap();
    let version = (stamp.epoch, stamp.sequence, stamp.hash);
    let instance = bench.local.instance;
    assert_eq!(bench.own.on_heard(MS(5), &bench.local, version, instance), Heard::Nothing);
    assert_eq!(bench.own.on_heard(MS(5), &bench.local, (3, 99, 0), OTHER), Heard::Nothing);
}

#[test]
fn an_adjacency_that_was_overtaken_is_signed_again_though_it_says_the_same() {
    let mut bench = bench();
    bench.own.set_edges(MS(0), alloc::vec![edge(1, 5)]);
    bench.publish(MS(20));
    for epoch in [4, 5] {
        bench.own.on_heard(MS(1_000), &bench.local, (epoch, 100, 1), OTHER);
    }
    assert_eq!(bench.publish(MS(1_500)).len(), 0, "held");
    bench.own.set_edges(MS(1_500), alloc::vec![]);
    bench.own.set_edges(MS(1_600), alloc::vec![edge(1, 5)]);
    assert_eq!(bench.publish(MS(2_000)).len(), 2, "profile and adjacency");
}

#[test]
fn a_stamp_of_the_same_version_with_other_bytes_is_another_nodes() {
    let mut bench = bench();
    bench.publish(MS(20));
    let stamps: Vec<Stamp> =
        bench.database.ids(None).map(|id| bench.database.stamp(id).unwrap()).collect();
    for stamp in stamps {
        assert!(!bench.own.is_below(&stamp));
        let hash = stamp.hash.wrapping_sub(1).min(stamp.hash);
        assert!(!bench.own.is_below(&Stamp { hash, ..stamp }), "ours wins");
        let hash = stamp.hash.saturating_add(1);
        assert!(bench.own.is_below(&Stamp { hash, ..stamp }));
        // The sequence counts all kinds: one that this run used for the other kind counts.
        let sequence = stamp.sequence + 1;
        assert!(bench.own.is_below(&Stamp { sequence, ..stamp }));
    }
}

#[test]
fn a_node_that_is_replaced_twice_in_a_minute_is_not_alone_and_stays_away_ever_longer() {
    let mut bench = bench();
    assert_eq!(bench.own.on_replaced(MS(0)), (Heard::Nothing, Duration::ZERO));
    let mut now = MS(61_000);
    assert_eq!(bench.own.on_replaced(now).0, Heard::Nothing, "long ago");
    let mut waits = Vec::new();
    for _ in 0..9 {
        now += Duration::from_millis(100);
        let (heard, wait) = bench.own.on_replaced(now);
        assert_eq!(heard, Heard::DuplicateKey { instance: None, epoch: None });
        waits.push(wait.as_secs());
        now += wait.min(Duration::from_secs(59));
    }
    assert_eq!(waits[..6], [1, 2, 4, 8, 16, 32]);
    assert_eq!(waits.iter().max(), Some(&60));
}

#[test]
fn a_doubtful_link_is_told_at_once_and_its_recovery_later() {
    let mut bench = bench();
    bench.own.set_edges(MS(0), alloc::vec![edge(1, 40)]);
    bench.publish(MS(20));
    bench.own.set_edges(MS(1_000), alloc::vec![edge(1, 200)]);
    assert_eq!(bench.own.next_timeout(), Some(MS(1_020)));
    bench.publish(MS(1_020));
    bench.own.set_edges(MS(2_000), alloc::vec![edge(1, 40)]);
    assert_eq!(bench.own.next_timeout(), Some(MS(11_020)));
}

#[test]
fn two_nodes_with_one_key_are_reported_and_do_not_leap_frog() {
    let mut bench = bench();
    bench.publish(MS(0));
    let (mut signed, mut reports) = (0, 0);
    for second in 1..120 {
        let now = MS(second * 1_000);
        let version = (bench.own.epoch, 100, 1);
        let heard = bench.own.on_heard(now, &bench.local, version, OTHER);
        reports += usize::from(matches!(heard, Heard::DuplicateKey { .. }));
        signed += bench.publish(now).len();
    }
    assert!(reports > 100);
    assert!(signed <= 2 * 10, "{signed} adverts in two minutes");
}

#[test]
fn a_link_that_flaps_holds_up_no_other_one() {
    let mut bench = bench();
    bench.own.set_edges(MS(0), alloc::vec![]);
    let mut signed = 0;
    for half in 0..1_200 {
        let now = MS(half * 500);
        let mut edges = if half % 2 == 0 { alloc::vec![edge(1, 5)] } else { alloc::vec![] };
        if half >= 1_000 {
            edges.push(edge(2, 5));
        }
        bench.own.set_edges(now, edges);
        for ms in (0..500).step_by(20) {
            signed += bench.publish(now + Duration::from_millis(ms)).len();
        }
        if half == 1_000 {
            assert_eq!(bench.own.adjacency.signed.as_ref().unwrap().value.edges, [edge(2, 5)]);
        }
    }
    assert!(signed < 20, "{signed} adverts in ten minutes of flapping");
    bench.own.set_edges(MS(600_000), alloc::vec![edge(1, 5), edge(2, 5)]);
    bench.publish(MS(616_000));
    bench.publish(MS(617_000));
    assert_eq!(bench.own.adjacency.signed.unwrap().value.edges, [edge(1, 5), edge(2, 5)]);
}

/// What may happen to links, at random: they come, go, fall into doubt, change their cost.
struct Weather {
    random: Seeded,
    links: Vec<Option<u8>>,
    /// No more than this passes between two changes.
    calm_ms: u64,
}

impl Weather {
    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        crate::entropy::Entropy::fill(&mut self.random, &mut byte);
        byte[0]
    }

    fn change(&mut self) {
        let (which, cost) = (usize::from(self.byte()) % self.links.len(), self.byte());
        self.links[which] = match self.byte() % 8 {
            0..=2 => None,
            3 => Some(u8::MAX - cost % 16),
            4 => Some(40 + cost % 16),
            _ => Some(40),
        };
    }

    fn edges(&self) -> Vec<Edge> {
        let stands = |(peer, cost): (usize, &Option<u8>)| cost.map(|cost| edge(peer as u8, cost));
        self.links.iter().enumerate().filter_map(stands).collect()
    }

    fn pause(&mut self) -> Duration {
        let part = u64::from(self.byte()) + 256 * u64::from(self.byte());
        Duration::from_millis(self.calm_ms * part / 65_536)
    }
}

/// Calls `publish` whenever it is asked for until `end`; how often the adjacency was signed.
fn run_until(bench: &mut Bench, mut now: Instant, end: Instant) -> usize {
    let mut signed = 0;
    loop {
        signed += bench.publish(now).iter().filter(|kind| **kind == AdvertKind::Adjacency).count();
        let due = bench.own.next_timeout().unwrap();
        assert!(due > now, "a timer in the past: {due:?} at {now:?}");
        if due >= end {
            return signed;
        }
        now = due;
    }
}

#[test]
fn whatever_links_do_for_an_hour_signings_are_few_and_the_truth_is_told_after_half_a_minute() {
    // Links, the longest pause between changes in ms, and the most signings of an hour.
    for (links, calm_ms, signings) in
        [(1, 200, 20), (1, 20_000, 250), (1, 60_000, 250), (8, 20_000, 400), (60, 1_000, 3_610)]
    {
        for seed in 0..2 {
            let mut bench = bench();
            let mut weather =
                Weather { random: Seeded(seed), links: alloc::vec![None; links], calm_ms };
            let (mut now, hour, mut signed) = (MS(0), MS(3_600_000), 0);
            while now < hour {
                weather.change();
                bench.own.set_edges(now, weather.edges());
                let next = now + weather.pause();
                signed += run_until(&mut bench, now, next);
                now = next;
            }
            assert!(signed <= signings, "{signed} signings: {links} links, {calm_ms} ms, {seed}");
            run_until(&mut bench, now, now + Duration::from_secs(30));
            let told = &bench.own.adjacency.signed.as_ref().unwrap().value.edges;
            assert_eq!(*told, weather.edges(), "{links} links, {calm_ms} ms, {seed}");
        }
    }
}

#[test]
fn a_loss_is_told_within_a_second_though_links_flap() {
    let mut bench = bench();
    let mut now = MS(0);
    for round in 0..200_u64 {
        // Another link comes each time, so none of them is a flapper.
        bench.own.set_edges(now, alloc::vec![edge(1, 5), edge((2 + round % 60) as u8, 5)]);
        run_until(&mut bench, now, now + Duration::from_millis(130));
        now += Duration::from_millis(130);
    }
    bench.own.set_edges(now, alloc::vec![]);
    run_until(&mut bench, now, now + Duration::from_millis(1_001));
    assert_eq!(bench.own.adjacency.signed.unwrap().value.edges, []);
}

#[test]
fn a_profile_that_changes_all_the_time_is_signed_once_a_second_and_is_true_in_the_end() {
    let mut bench = bench();
    let mut signed = 0;
    for tenth in 0..600_u64 {
        let now = MS(tenth * 100);
        let profile = Profile { os: (tenth % 200) as u8, ..bench.own.profile().clone() };
        bench.own.set_profile(now, profile);
        signed += bench.publish(now).iter().filter(|kind| **kind == AdvertKind::Profile).count();
    }
    assert!((50..70).contains(&signed), "{signed} in a minute");
    bench.publish(MS(61_000));
    let told = bench.own.profile.signed.as_ref().map(|signed| &signed.value);
    assert_eq!(told, Some(bench.own.profile()));
}

#[test]
fn a_node_that_does_not_know_its_epoch_asks_before_it_signs() {
    let mut bench = bench_of(false);
    assert_eq!((bench.publish(MS(0)).len(), bench.own.next_timeout()), (0, None));
    assert!(bench.own.on_neighbour(MS(1_000)));
    assert_eq!((bench.publish(MS(1_000)).len(), bench.own.next_timeout()), (0, Some(MS(3_000))));
    assert!(bench.own.on_neighbour(MS(1_500)), "another one may know more");
    bench.own.on_heard(MS(1_600), &bench.local, (41, 7, 1), OTHER);
    assert_eq!(bench.publish(MS(1_600)), [AdvertKind::Profile, AdvertKind::Adjacency]);
    assert_eq!(bench.own.epoch, 42);
    assert!(!bench.own.on_neighbour(MS(1_700)));

    let mut nobody_knows = bench_of(false);
    nobody_knows.own.on_neighbour(MS(1_000));
    assert_eq!(nobody_knows.publish(MS(3_000)).len(), 2);
    assert!(!nobody_knows.own.on_neighbour(MS(3_000)));
    assert_eq!(nobody_knows.own.epoch, 4);
}

#[test]
fn all_that_a_past_run_signed_in_an_epoch_is_older_after_one_step() {
    let mut bench = bench();
    bench.publish(MS(0));
    let heard = bench.own.on_heard(MS(10), &bench.local, (4, 300, 1), OTHER);
    assert_eq!(heard, Heard::Stepped { epoch: 5 });
    for sequence in [301, u64::MAX] {
        let heard = bench.own.on_heard(MS(20), &bench.local, (4, sequence, 1), OTHER);
        assert_eq!(heard, Heard::Nothing, "{sequence}");
    }
}

#[test]
fn a_version_that_nothing_gets_above_is_reported_and_stops_nothing() {
    for version in [(u64::MAX, u64::MAX, u32::MAX), (BOOT_EPOCH_MAX + 1, 1, 1)] {
        let mut bench = bench();
        bench.publish(MS(0));
        for second in 1..1_000 {
            let heard = bench.own.on_heard(MS(second * 1_000), &bench.local, version, OTHER);
            assert_eq!(heard, Heard::DuplicateKey { instance: Some(OTHER), epoch: None });
            assert_eq!(bench.publish(MS(second * 1_000)).len(), 0, "nothing is signed for it");
        }
        bench.own.set_edges(MS(1_000_000), alloc::vec![edge(1, 5)]);
        assert_eq!(bench.publish(MS(1_000_020)), [AdvertKind::Adjacency]);
        assert_eq!((bench.own.epoch, bench.own.sequence), (4, 3));
    }
    let mut bench = bench();
    let highest = (BOOT_EPOCH_MAX, u64::MAX, 1);
    let heard = bench.own.on_heard(MS(0), &bench.local, highest, OTHER);
    assert_eq!(heard, Heard::Stepped { epoch: BOOT_EPOCH_MAX + 1 });
}

#[test]
fn nodes_that_started_at_once_sign_again_apart() {
    let mut due: Vec<u64> = (0..60)
        .map(|number| {
            let mut bench = bench();
            bench.local.identity = Identity::generate(&mut Seeded(number));
            bench.own.set_edges(MS(0), alloc::vec![edge(1, 5)]);
            bench.publish(MS(20));
            bench.own.next_timeout().unwrap().as_micros() / 1_000_000
        })
        .collect();
    due.sort_unstable();
    let (first, last) = (due[0], due[59]);
    assert!(first > 8_400 && last <= 9_600 && last - first > 1_000, "{first} to {last} s");
    let crowd = (first..last).map(|at| due.iter().filter(|due| at.abs_diff(**due) < 30).count());
    assert!(crowd.max() < Some(12), "{due:?}");
}
