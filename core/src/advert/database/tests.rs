use super::*;
use crate::crypto::hash::Domain;
use crate::entropy::tests::Seeded;
use crate::id::Instance;
use crate::identity::{Identity, StaticBinding};
use crate::io::ConnectionType;
use crate::limits::{
    EVICT_AFTER, EVICT_NEVER_REACHED_AFTER, PEERS_BY_NEIGHBOUR_MAX, PEERS_FOR_NEIGHBOURS,
    PEERS_MAX, VERIFICATIONS_BURST, VERIFICATIONS_OWN_PER_S,
};
use crate::wire::advert::{Abilities, AdvertHead, Cost, Edge};
use crate::wire::handshake::Versions;

struct Owner {
    identity: Identity,
    network: Network,
}

impl Owner {
    fn new(seed: u64) -> Self {
        let identity = Identity::generate(&mut Seeded(seed));
        Self { identity, network: Network::open("test").unwrap() }
    }

    fn advert(&self, kind: AdvertKind, epoch: u64, sequence: u64, body: &[u8]) -> AdvertCopy {
        let head = AdvertHead {
            owner: *self.identity.peer_key().as_bytes(),
            kind,
            key: 0,
            instance: Instance::from_bytes([1; 8]),
            epoch,
            sequence,
        };
        let advert = SignedAdvert::sign(&self.identity, &self.network, head, body).bytes;
        AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert }
    }
}

fn database() -> Database {
    let own = Identity::generate(&mut Seeded(1)).peer_key();
    Database::new(Network::open("test").unwrap(), own)
}

const NOW: Instant = Instant::from_millis(100_000_000);

fn from(seed: u64) -> PeerKey {
    Identity::generate(&mut Seeded(seed)).peer_key()
}

fn forged(owner: &Owner, sequence: u64) -> AdvertCopy {
    let mut forged = owner.advert(AdvertKind::Profile, 1, sequence, b"");
    let mut bytes = forged.advert.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    forged.advert = bytes.into();
    forged
}

#[test]
fn the_newest_wins_and_older_ones_are_named() {
    let (mut database, owner) = (database(), Owner::new(2));
    let first = owner.advert(AdvertKind::Adjacency, 1, 5, b"\0");
    let next_epoch = owner.advert(AdvertKind::Adjacency, 2, 1, b"\0");
    assert!(matches!(database.offer(NOW, from(7), first.clone()), Offer::Taken(t) if t.new_peer));
    assert!(matches!(database.offer(NOW, from(7), first.clone()), Offer::Known(_)));
    assert!(matches!(database.offer(NOW, from(7), next_epoch), Offer::Taken(t) if !t.new_peer));
    assert!(matches!(database.offer(NOW, from(7), first), Offer::Older(_)));
}

#[test]
fn equal_versions_with_different_bytes_settle_on_the_larger_hash_everywhere() {
    let owner = Owner::new(2);
    let a = owner.advert(AdvertKind::Unknown(9), 1, 1, b"a");
    let b = owner.advert(AdvertKind::Unknown(9), 1, 1, b"b");
    let newest = |first: &AdvertCopy, second: &AdvertCopy| {
        let mut database = database();
        database.offer(NOW, from(7), first.clone());
        database.offer(NOW, from(7), second.clone());
        let id = database.ids(None).next().unwrap();
        database.copy(NOW, id).unwrap().advert
    };
    assert_eq!(newest(&a, &b), newest(&b, &a));
}

#[test]
fn a_forged_advert_changes_nothing() {
    let (mut database, owner) = (database(), Owner::new(2));
    let mut forged = owner.advert(AdvertKind::Adjacency, 1, 5, b"\0");
    let mut bytes = forged.advert.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    forged.advert = bytes.into();
    assert_eq!(database.offer(NOW, from(7), forged), Offer::Refused(Refusal::Forged));
    assert_eq!(database.peers().count(), 0);
    assert_eq!(database.changes(), 0);
}

/// Says the same of every key and signature.
struct Always(bool);

impl Verifier for Always {
    fn admits(&self, _: &[u8; 32]) -> bool {
        self.0
    }

    fn verify(&self, _: &[u8; 32], _: &[u8; 32], _: &[u8; 64]) -> bool {
        self.0
    }
}

#[test]
fn the_verifier_that_was_brought_is_the_one_that_is_asked() {
    let owner = Owner::new(2);
    let good = owner.advert(AdvertKind::Profile, 1, 1, b"");
    let mut never = database().with_verifier(Arc::new(Always(false)));
    assert_eq!(never.offer(NOW, from(7), good), Offer::Refused(Refusal::Forged));
    let mut always = database().with_verifier(Arc::new(Always(true)));
    assert!(matches!(always.offer(NOW, from(7), forged(&owner, 1)), Offer::Taken(_)));
}

#[test]
fn an_advert_of_another_network_is_forged_here() {
    let mut database = database();
    let mut owner = Owner::new(2);
    owner.network = Network::open("other").unwrap();
    let advert = owner.advert(AdvertKind::Profile, 1, 1, b"");
    assert_eq!(database.offer(NOW, from(7), advert), Offer::Refused(Refusal::Forged));
}

#[test]
fn signature_checks_are_bounded_a_second() {
    let (mut database, owner) = (database(), Owner::new(2));
    let limit = VERIFICATIONS_BURST + VERIFICATIONS_OWN_PER_S;
    let busy = (0..u64::from(limit) + 10)
        .map(|sequence| database.offer(NOW, from(7), forged(&owner, sequence)))
        .filter(|offer| matches!(offer, Offer::Busy { .. }));
    assert_eq!(busy.count(), 10);
    let good = owner.advert(AdvertKind::Profile, 2, 1, b"");
    let later = NOW + Duration::from_secs(1);
    assert!(matches!(database.offer(later, from(7), good), Offer::Taken(_)));
}

#[test]
fn who_floods_does_not_starve_the_others() {
    let (mut database, owner) = (database(), Owner::new(2));
    for sequence in 0..3_000 {
        database.offer(NOW, from(7), forged(&owner, sequence));
    }
    for seed in 0..u64::from(VERIFICATIONS_OWN_PER_S) {
        let good = Owner::new(100 + seed).advert(AdvertKind::Profile, 1, 1, b"");
        assert!(matches!(database.offer(NOW, from(8), good), Offer::Taken(_)), "{seed}");
    }
    let more = Owner::new(99).advert(AdvertKind::Profile, 1, 1, b"");
    assert!(matches!(database.offer(NOW, from(8), more), Offer::Busy { .. }));
}

#[test]
fn who_claims_to_speak_of_this_node_spends_its_checks_too() {
    let (mut database, own) = (database(), Owner::new(1));
    let busy = (0..3_000)
        .map(|sequence| database.offer(NOW, from(7), forged(&own, sequence)))
        .filter(|offer| matches!(offer, Offer::Busy { .. }))
        .count();
    assert_eq!(busy, 3_000 - (VERIFICATIONS_BURST + VERIFICATIONS_OWN_PER_S) as usize);
}

#[test]
fn when_a_peer_was_reachable_is_proven_by_a_new_version_only() {
    let (mut database, owner) = (database(), Owner::new(2));
    let key = owner.identity.peer_key();
    let mut copy = owner.advert(AdvertKind::Profile, 1, 1, b"");
    copy.reachable_age_s = 100;
    database.offer(NOW, from(7), copy.clone());
    for age in [0, 3_600] {
        copy.reachable_age_s = age;
        assert!(matches!(database.offer(NOW, from(7), copy.clone()), Offer::Known(_)));
        let kept = NOW.since(database.reachable_at(&key).unwrap());
        assert_eq!(kept, Duration::from_secs(100));
    }
    let mut newer = owner.advert(AdvertKind::Profile, 1, 2, b"");
    newer.reachable_age_s = 10;
    database.offer(NOW, from(7), newer);
    let kept = NOW.since(database.reachable_at(&key).unwrap());
    assert_eq!(kept, Duration::from_secs(10));
}

#[test]
fn what_is_forgotten_is_not_resurrected_but_a_newer_word_is_heard() {
    let (mut database, owner) = (database(), Owner::new(2));
    let older = owner.advert(AdvertKind::Profile, 1, 4, b"");
    let mut old = owner.advert(AdvertKind::Profile, 1, 5, b"");
    database.offer(NOW, from(7), old.clone());
    let later = NOW + FORGET_AFTER;
    database.expire(later);
    assert_eq!(database.peers().count(), 0);
    assert_eq!(database.by_address(&owner.identity.peer_key().address()), None);
    assert_eq!(database.offer(later, from(7), older), Offer::Refused(Refusal::Expired));
    old.reachable_age_s = 3_600;
    let expired = Offer::Refused(Refusal::Expired);
    assert_eq!(database.offer(later, from(7), old.clone()), expired, "who forgot it later");
    old.reachable_age_s = 0;
    let back = database.offer(later, from(7), old);
    assert!(matches!(back, Offer::Taken(_)), "its owner is back and says the same");
}

#[test]
fn an_adjacency_dies_of_age_whoever_repeats_it() {
    let (mut database, owner) = (database(), Owner::new(2));
    let mut copy = owner.advert(AdvertKind::Adjacency, 1, 1, b"\0");
    copy.signed_age_s = 4 * 3_600 - 10;
    assert!(matches!(database.offer(NOW, from(7), copy.clone()), Offer::Taken(_)));
    let later = NOW + Duration::from_secs(11);
    copy.signed_age_s = 0;
    database.offer(later, from(7), copy.clone());
    let id = database.ids(None).next().unwrap();
    assert!(database.copy(later, id).unwrap().signed_age_s > 4 * 3_600, "nobody makes it younger");
    database.note_reachable(later, &id.owner);
    database.expire(later);
    assert_eq!(database.adjacency(&id.owner), None);
    copy.signed_age_s = 4 * 3_600;
    assert_eq!(database.offer(later, from(7), copy), Offer::Refused(Refusal::Expired));
}

#[test]
fn the_newest_profile_tells_the_separate_key_if_its_owner_signed_it() {
    let (mut database, owner, other) = (database(), Owner::new(2), Owner::new(3));
    let key = [42; 32];
    let bound = |by: &Owner| {
        let signature = by.identity.sign(Domain::BindingSignature, &[&key]);
        let (signature_r, signature_s) = signature.split_first_chunk().unwrap();
        let signature_s = signature_s.try_into().unwrap();
        StaticBinding::Separate { key, signature_r: *signature_r, signature_s }
    };
    let bindings = [bound(&owner), bound(&other), bound(&owner), StaticBinding::Converted];
    let told = [Some(key), None, Some(key), None];
    for (sequence, (binding, told)) in (1..).zip(bindings.into_iter().zip(told)) {
        let profile = Profile {
            binding,
            versions: Versions::OURS,
            abilities: Abilities(Abilities::CHACHA20_POLY1305),
            device_name: "n".into(),
            os: 0,
            sdk_version: "1".into(),
            metadata_hash: [0; 32],
            metadata_bytes: 0,
        };
        let advert = owner.advert(AdvertKind::Profile, 1, sequence, &profile.encode());
        assert!(matches!(database.offer(NOW, from(7), advert), Offer::Taken(_)));
        assert_eq!(database.separate_key(&owner.identity.peer_key()), told);
    }
}

#[test]
fn one_owner_has_few_adverts_and_one_profile() {
    let (mut database, owner) = (database(), Owner::new(2));
    for kind in 0..20 {
        database.offer(NOW, from(7), owner.advert(AdvertKind::Unknown(100 + kind), 1, 1, b""));
    }
    assert_eq!(database.ids(None).count(), ADVERTS_PER_OWNER_MAX);
    let profile = owner.advert(AdvertKind::Profile, 1, 1, b"");
    assert!(matches!(database.offer(NOW, from(7), profile), Offer::Taken(_)), "never crowded out");
    let mut second =
        SignedAdvert::decode(owner.advert(AdvertKind::Profile, 1, 2, b"").advert).unwrap().head;
    second.key = 7;
    let advert = SignedAdvert::sign(&owner.identity, &owner.network, second, b"").bytes;
    let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert };
    assert_eq!(database.offer(NOW, from(7), copy), Offer::Refused(Refusal::Malformed));
}

#[test]
fn whose_edges_changed_is_told_once() {
    let edges = |peer: u8| {
        let edge = Edge {
            peer: Address::from_bytes([peer; 8]),
            kind: ConnectionType::AccessPoint,
            cost: Cost(1),
            payload_log2: 11,
        };
        Adjacency { edges: alloc::vec![edge] }.encode()
    };
    let (mut database, owner) = (database(), Owner::new(2));
    let key = owner.identity.peer_key();
    let none = Changed::Owners(BTreeSet::new());
    let one = Changed::Owners(BTreeSet::from([key]));
    assert_eq!(database.take_changed(), Changed::Everything, "nobody has looked yet");
    let steps = [
        (AdvertKind::Profile, 1, alloc::vec![], &one, "it came"),
        (AdvertKind::Profile, 2, alloc::vec![], &none, "a profile has no edges"),
        (AdvertKind::Adjacency, 3, edges(7), &one, "its first edges"),
        (AdvertKind::Adjacency, 4, edges(7), &none, "the same, signed again"),
        (AdvertKind::Adjacency, 5, edges(8), &one, "others"),
    ];
    for (kind, sequence, body, told, why) in steps {
        let offer = database.offer(NOW, from(7), owner.advert(kind, 1, sequence, &body));
        assert!(matches!(offer, Offer::Taken(_)), "{why}");
        assert_eq!(&database.take_changed(), told, "{why}");
        assert_eq!(database.take_changed(), none, "{why}");
    }
    database.note_reachable(NOW + ADJACENCY_LIFETIME, &key);
    database.expire(NOW + ADJACENCY_LIFETIME);
    assert_eq!(database.take_changed(), one, "its edges are too old");
    database.expire(NOW + ADJACENCY_LIFETIME + FORGET_AFTER);
    assert_eq!(database.take_changed(), one, "it is forgotten");
}

#[test]
fn more_changes_than_are_remembered_are_a_change_of_everything() {
    let mut changed = Changed::Owners(BTreeSet::new());
    let key = |n: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        PeerKey::from_checked(bytes)
    };
    (0..CHANGED_MAX).for_each(|n| changed.add(key(n)));
    changed.add(key(0));
    assert!(matches!(&changed, Changed::Owners(owners) if owners.len() == CHANGED_MAX));
    changed.add(key(CHANGED_MAX));
    assert_eq!(changed, Changed::Everything);
}

#[test]
fn ids_continue_after_a_cursor() {
    let mut database = database();
    for seed in 2..7 {
        let owner = Owner::new(seed);
        database.offer(NOW, from(7), owner.advert(AdvertKind::Profile, 1, 1, b""));
        database.offer(NOW, from(7), owner.advert(AdvertKind::Adjacency, 1, 1, b"\0"));
    }
    let all: Vec<_> = database.ids(None).collect();
    assert_eq!(all.len(), 10);
    for at in 0..all.len() {
        let rest: Vec<_> = database.ids(Some(all[at])).collect();
        assert_eq!(rest, all[at + 1..]);
    }
}

/// The key of a neighbour or an owner that nobody has.
fn nobody(number: usize) -> PeerKey {
    let mut key = [9; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    PeerKey::from_checked(key)
}

/// A profile that nobody signed.
fn unsigned(owner: PeerKey, sequence: u64) -> AdvertCopy {
    let head = AdvertHead {
        owner: *owner.as_bytes(),
        kind: AdvertKind::Profile,
        key: 0,
        instance: Instance::from_bytes([1; 8]),
        epoch: 1,
        sequence,
    };
    let mut advert = postcard::to_allocvec(&head).unwrap();
    advert.extend([0; 64]);
    AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert: advert.into() }
}

/// A database with as many owners as it takes from others than themselves: the share of one
/// neighbour, and the rest by another one.
fn crowded() -> Database {
    let mut database = database().with_verifier(Arc::new(Always(true)));
    let [greedy, other] = [1_000_001, 1_000_002].map(nobody);
    let mut now = NOW - Duration::from_secs(100);
    for number in 0..PEERS_MAX - PEERS_FOR_NEIGHBOURS {
        let from = if number < PEERS_BY_NEIGHBOUR_MAX { greedy } else { other };
        // One after the other, so that one is the oldest.
        now += Duration::from_millis(10);
        let offer = database.believe_from(now, from, unsigned(nobody(number), 1));
        assert!(matches!(offer, Offer::Taken(_)), "{number}");
        database.note_reachable(now, &nobody(number));
    }
    database
}

#[test]
fn one_neighbour_does_not_fill_the_table_with_its_strangers() {
    let mut database = database().with_verifier(Arc::new(Always(true)));
    let [greedy, other] = [1_000_001, 1_000_002].map(nobody);
    for number in 0..PEERS_BY_NEIGHBOUR_MAX {
        database.believe_from(NOW, greedy, unsigned(nobody(number), 1));
    }
    let more = nobody(PEERS_BY_NEIGHBOUR_MAX);
    let no_room = Offer::NoRoom { owner: more.address() };
    assert_eq!(database.offer(NOW, greedy, unsigned(more, 1)), no_room);
    let itself = database.offer(NOW, greedy, unsigned(greedy, 1));
    assert!(matches!(itself, Offer::Taken(_)), "its own adverts always");
    let known = database.offer(NOW, greedy, unsigned(nobody(5), 2));
    assert!(matches!(known, Offer::Taken(_)), "who is known is no new owner");
    let told = database.offer(NOW, other, unsigned(more, 1));
    assert!(matches!(told, Offer::Taken(_)), "another one has a share of its own");
    assert!(!database.has_room_again(&greedy) && database.has_room_again(&other));
}

/// At every hop: what one neighbour passes on of a flood takes no room of those that are reached.
#[test]
fn owners_that_were_never_reached_give_way_to_newcomers_of_the_same_neighbour() {
    let mut database = database().with_verifier(Arc::new(Always(true)));
    let greedy = nobody(1_000_001);
    for number in 0..PEERS_BY_NEIGHBOUR_MAX {
        database.believe_from(NOW, greedy, unsigned(nobody(number), 1));
    }
    database.note_reachable(NOW, &nobody(0));
    let new = |number: usize| nobody(2_000_000 + number);
    let later = NOW + EVICT_NEVER_REACHED_AFTER;
    let early = database.offer(later - Duration::from_micros(1), greedy, unsigned(new(0), 1));
    assert_eq!(early, Offer::NoRoom { owner: new(0).address() }, "they may still be reached");
    // What it says again and again does not keep it.
    let again = database.offer(later, greedy, unsigned(nobody(1), 2));
    assert!(matches!(again, Offer::Taken(_)));
    for number in 0..5 {
        let offer = database.offer(later, greedy, unsigned(new(number), 1));
        assert!(matches!(offer, Offer::Taken(_)), "{number}: {offer:?}");
        database.note_reachable(later, &new(number));
    }
    let known = (0..7).map(|number| database.knows(&nobody(number))).collect::<Vec<_>>();
    assert_eq!(known, [true, false, false, false, false, false, true], "the reached one stays");
    assert_eq!(database.peers().count(), PEERS_BY_NEIGHBOUR_MAX);
    let back = database.offer(later, greedy, unsigned(nobody(3), 0));
    assert!(matches!(back, Offer::Taken(_)), "what was never there leaves no floor");
}

#[test]
fn who_may_have_had_to_go_in_a_flood_is_missed_beside_those_that_are_there() {
    let mut database = database().with_verifier(Arc::new(Always(true)));
    let greedy = nobody(1_000_001);
    let peer = Owner::new(2);
    let edges = |peers: [usize; 2]| {
        let edges = peers.map(|number| Edge {
            peer: nobody(number).address(),
            kind: ConnectionType::Bluetooth,
            cost: Cost::from_microseconds(10),
            payload_log2: 12,
        });
        Adjacency { edges: edges.to_vec() }.encode()
    };
    let peer_key = peer.identity.peer_key();
    let mut named = [0, PEERS_BY_NEIGHBOUR_MAX - 1];
    named.sort_by_key(|number| nobody(*number).address());
    let advert = peer.advert(AdvertKind::Adjacency, 1, 1, &edges(named));
    database.offer(NOW, peer_key, advert);
    for number in 0..PEERS_BY_NEIGHBOUR_MAX {
        database.believe_from(NOW, greedy, unsigned(nobody(number), 1));
    }
    assert_eq!(database.missing_beside(&peer_key).count(), 0);
    let new = unsigned(nobody(2_000_000), 1);
    database.offer(NOW + EVICT_NEVER_REACHED_AFTER, greedy, new);
    let missing: Vec<_> = database.missing_beside(&peer_key).collect();
    assert_eq!(missing, [nobody(0).address()]);
    database.clear_missing();
    assert_eq!(database.missing_beside(&peer_key).count(), 0);
}

#[test]
fn a_full_table_forgets_who_is_long_unreachable_and_nobody_else() {
    let mut database = crowded();
    let other = nobody(1_000_002);
    let new = nobody(2_000_000);
    let no_room = Offer::NoRoom { owner: new.address() };
    assert_eq!(database.offer(NOW, other, unsigned(new, 1)), no_room, "all were heard lately");
    let neighbour = database.offer(NOW, other, unsigned(other, 1));
    assert!(matches!(neighbour, Offer::Taken(_)), "places are kept for neighbours");
    let later = NOW + EVICT_AFTER;
    // The two that were heard of first are reachable, the third one is not.
    let reached = [nobody(0), nobody(1), other];
    reached.iter().for_each(|peer| database.note_reachable(later, peer));
    assert!(matches!(database.offer(later, other, unsigned(new, 1)), Offer::Taken(_)));
    let known = [0, 1, 2, 3].map(|number| database.knows(&nobody(number)));
    assert_eq!(known, [true, true, false, true]);
    assert_eq!(database.by_address(&nobody(2).address()), None);
    let old = database.offer(later, other, unsigned(nobody(2), 0));
    assert_eq!(old, Offer::Refused(Refusal::Expired), "its floor stays");
}

#[test]
fn a_table_of_reachable_peers_forgets_none_of_them() {
    let mut database = crowded();
    let later = NOW + EVICT_AFTER;
    let all: Vec<_> = database.peers().collect();
    all.iter().for_each(|peer| database.note_reachable(later, peer));
    let new = unsigned(nobody(2_000_000), 1);
    let offer = database.offer(later, nobody(1_000_002), new);
    assert!(matches!(offer, Offer::NoRoom { .. }));
    assert_eq!(database.peers().collect::<Vec<_>>(), all);
}

#[test]
fn two_peers_of_one_address_are_unroutable_until_one_is_forgotten() {
    let mut database = database();
    let [a, b] = [1, 2].map(nobody);
    let address = a.address();
    database.addresses.insert(address, Holders::Several(alloc::vec![a, b]));
    database.believe(NOW, unsigned(a, 1));
    assert_eq!((database.by_address(&address), database.is_shared(&address)), (None, true));
    database.take_changed();
    database.forget_peer(NOW, &a);
    assert_eq!((database.by_address(&address), database.is_shared(&address)), (Some(b), false));
    assert_eq!(database.take_changed(), Changed::Owners(BTreeSet::from([a, b])));
}
