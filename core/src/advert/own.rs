//! This node's own adverts: when to sign them again, and above which versions.

use alloc::vec::Vec;

use super::{AdvertId, Database};
use crate::id::{BootEpoch, Instance};
use crate::limits::{ADJACENCY_COALESCE, ADJACENCY_REFRESH, ADVERT_BYTES_MAX, EDGES_MAX};
use crate::local::Local;
use crate::time::{Duration, Instant, earliest};
use crate::wire::advert::{Adjacency, AdvertHead, AdvertKind, Edge, Profile, SignedAdvert};
use crate::wire::control::Stamp;

/// A change of cost alone is signed at most this often.
const COST_INTERVAL: Duration = Duration::from_secs(10);
/// A cost that grew by this factor is told at once: something is wrong with that link.
const MUCH_WORSE: u64 = 16;
/// A foreign live run of this node's key, twice within this time, is a duplicate key.
const DUPLICATE_WITHIN: Duration = Duration::from_secs(60);
/// The first wait before stepping above a duplicate; doubles each time.
const DAMP_MIN: Duration = Duration::from_secs(1);
/// The longest wait before stepping above a duplicate.
const DAMP_MAX: Duration = Duration::from_secs(300);
/// The longest wait before a neighbour is dialled again that prefers the duplicate: when that one
/// is gone at last, this node should be back soon.
const STAY_AWAY_MAX: Duration = Duration::from_secs(60);
/// Head, signature and length of an adjacency: what remains of an advert is for edges.
const ADJACENCY_OVERHEAD: usize = 32 + 1 + 10 + 8 + 10 + 10 + 64 + 3;

/// Signs this node's profile and adjacency.
#[derive(Debug)]
pub struct Own {
    epoch: BootEpoch,
    sequence: u64,
    profile: Statement<Profile>,
    adjacency: Statement<Adjacency>,
    profile_sequence: u64,
    duplicate: Duplicate,
    edges_left_out: usize,
}

#[derive(Debug)]
struct Statement<T> {
    value: T,
    signed: Option<Signed<T>>,
    /// When to sign `value`; `None` while what is signed says it.
    due: Option<Instant>,
    /// Others hold a version above what is signed: it must be signed again, whatever it says.
    overtaken: bool,
}

#[derive(Debug)]
struct Signed<T> {
    value: T,
    at: Instant,
    version: (BootEpoch, u64, u32),
}

/// Signs of another node with this node's key.
#[derive(Debug, Default)]
struct Duplicate {
    heard: Option<(Instance, Instant)>,
    /// When a neighbour last closed a link because another run of this key came to it.
    replaced: Option<Instant>,
    /// Before the next signing above the other's.
    hold: Damp,
    /// Before the next dial to who prefers the other. Kept apart: a neighbour that lies about it
    /// holds up nothing else.
    away: Damp,
}

/// A wait that doubles while its cause goes on.
#[derive(Debug, Default)]
struct Damp {
    wait: Duration,
    until: Instant,
}

/// What hearing a version of itself means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing: it is this run's, or older.
    Nothing,
    /// It was newer: this node steps above it. The host persists the epoch.
    Stepped {
        /// The epoch from now on.
        epoch: BootEpoch,
    },
    /// Another live node uses this key.
    DuplicateKey {
        /// Its run, if its words were heard.
        instance: Option<Instance>,
    },
}

impl Own {
    /// The adverts of a node that just started.
    #[must_use]
    pub fn new(now: Instant, epoch: BootEpoch, profile: Profile) -> Self {
        let value = Adjacency::default();
        Self {
            epoch,
            sequence: 0,
            profile: Statement { value: profile, signed: None, due: Some(now), overtaken: false },
            adjacency: Statement { value, signed: None, due: Some(now), overtaken: false },
            profile_sequence: 0,
            duplicate: Duplicate::default(),
            edges_left_out: 0,
        }
    }

    /// The profile as it is now.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile.value
    }

    /// The sequence of the profile that was signed last.
    #[must_use]
    pub fn profile_sequence(&self) -> u64 {
        self.profile_sequence
    }

    /// Links that did not fit into the adjacency: they are not used by others.
    #[must_use]
    pub fn edges_left_out(&self) -> usize {
        self.edges_left_out
    }

    /// Changes the profile; it is signed at the next publication.
    pub fn set_profile(&mut self, now: Instant, profile: Profile) {
        if self.profile.value != profile {
            self.profile.value = profile;
            self.profile.due = Some(now);
        }
    }

    /// Changes the links. New, lost and doubtful ones are signed after a moment that gathers
    /// several; another change of cost alone at most every 10 s.
    pub fn set_edges(&mut self, now: Instant, mut edges: Vec<Edge>) {
        edges.sort_unstable();
        edges.dedup_by(|a, b| (a.peer, &a.kind) == (b.peer, &b.kind));
        let wanted = edges.len();
        let room = ADVERT_BYTES_MAX - ADJACENCY_OVERHEAD;
        edges.truncate(EDGES_MAX);
        while (Adjacency { edges: edges.clone() }).encode().len() > room {
            edges.pop();
        }
        self.edges_left_out = wanted - edges.len();
        if self.adjacency.value.edges == edges {
            return;
        }
        self.adjacency.value = Adjacency { edges };
        let due = match &self.adjacency.signed {
            Some(signed) if signed.value == self.adjacency.value => None,
            Some(signed) if is_minor(&signed.value, &self.adjacency.value) => {
                Some(now.max(signed.at + COST_INTERVAL))
            }
            _ => earliest([self.adjacency.due, Some(now + ADJACENCY_COALESCE)]),
        };
        let due = due.map(|due| due.max(self.duplicate.hold.until));
        let overtaken = self.adjacency.overtaken.then_some(self.adjacency.due).flatten();
        self.adjacency.due = earliest([due, overtaken]);
    }

    /// Whether a stamp speaks of a version that this run has not signed, and that others take for
    /// newer than its own.
    #[must_use]
    pub fn is_below(&self, stamp: &Stamp) -> bool {
        let signed = match stamp.kind {
            AdvertKind::Profile => self.profile.signed.as_ref().map(|signed| signed.version),
            AdvertKind::Adjacency => self.adjacency.signed.as_ref().map(|signed| signed.version),
            AdvertKind::Unknown(_) => None,
        };
        let own = signed.unwrap_or((self.epoch, self.sequence, u32::MAX));
        (stamp.epoch, stamp.sequence, stamp.hash) > own
    }

    /// A neighbour holds a version of this node's own adverts.
    pub fn on_heard(
        &mut self,
        now: Instant,
        local: &Local,
        version: (BootEpoch, u64, u32),
        instance: Option<Instance>,
    ) -> Heard {
        let signed = [
            self.profile.signed.as_ref().map(|signed| signed.version),
            self.adjacency.signed.as_ref().map(|signed| signed.version),
        ];
        let (epoch, sequence, _) = version;
        let older = (epoch, sequence) < (self.epoch, 0);
        if signed.contains(&Some(version)) || older {
            return Heard::Nothing;
        }
        if instance == Some(local.instance) && (epoch, sequence) <= (self.epoch, self.sequence) {
            // An own advert that was replaced meanwhile.
            return Heard::Nothing;
        }
        // Without the instance (a summary tells none) only a version that this run cannot have
        // signed counts.
        if instance.is_none() && epoch == self.epoch && sequence <= self.sequence {
            return Heard::Nothing;
        }
        self.step(now, epoch, sequence);
        match instance {
            Some(instance) if instance != local.instance => self.on_foreign(now, instance),
            _ => Heard::Stepped { epoch: self.epoch },
        }
    }

    fn step(&mut self, now: Instant, epoch: BootEpoch, sequence: u64) {
        if epoch > self.epoch {
            self.epoch = epoch.saturating_add(1);
            self.sequence = 0;
        } else {
            self.sequence = self.sequence.max(sequence);
        }
        let due = now.max(self.duplicate.hold.until);
        self.profile.due = Some(due);
        self.adjacency.due = Some(due);
        (self.profile.overtaken, self.adjacency.overtaken) = (true, true);
    }

    fn on_foreign(&mut self, now: Instant, instance: Instance) -> Heard {
        let again = self
            .duplicate
            .heard
            .is_some_and(|(heard, at)| heard == instance && now.since(at) <= DUPLICATE_WITHIN);
        self.duplicate.heard = Some((instance, now));
        if !again {
            return Heard::Stepped { epoch: self.epoch };
        }
        self.duplicate.hold.slow_down(now);
        let hold_until = self.duplicate.hold.until;
        for due in [&mut self.profile.due, &mut self.adjacency.due] {
            *due = due.map(|due| due.max(hold_until));
        }
        Heard::DuplicateKey { instance: Some(instance) }
    }

    /// A neighbour closed a link because another run of this key came to it. A run that is over
    /// cannot be told so: twice within a minute, it is a duplicate, whose words need not have been
    /// heard. Tells also how long to stay away, so that both do not take turns for ever.
    pub fn on_replaced(&mut self, now: Instant) -> (Heard, Duration) {
        let recent = |at: Instant| now.since(at) <= DUPLICATE_WITHIN;
        let again = self.duplicate.replaced.replace(now).is_some_and(recent);
        if !again {
            return (Heard::Nothing, Duration::ZERO);
        }
        self.duplicate.away.slow_down(now);
        let instance = self.duplicate.heard.map(|(instance, _)| instance);
        (Heard::DuplicateKey { instance }, self.duplicate.away.wait.min(STAY_AWAY_MAX))
    }

    /// Signs what is due and puts it into the database; returns what changed.
    pub fn publish(
        &mut self,
        now: Instant,
        local: &Local,
        database: &mut Database,
    ) -> Vec<AdvertId> {
        let mut published = Vec::new();
        if self.profile.due.is_some_and(|due| due <= now) {
            let body = self.profile.value.encode();
            let advert = self.sign(local, AdvertKind::Profile, &body);
            self.profile_sequence = self.sequence;
            self.profile.signed(now, advert.version());
            published.push(database.insert_own(now, advert));
        }
        if self.adjacency_due().is_some_and(|due| due <= now) {
            let body = self.adjacency.value.encode();
            let advert = self.sign(local, AdvertKind::Adjacency, &body);
            self.adjacency.signed(now, advert.version());
            published.push(database.insert_own(now, advert));
        }
        published
    }

    fn sign(&mut self, local: &Local, kind: AdvertKind, body: &[u8]) -> SignedAdvert {
        self.sequence = self.sequence.saturating_add(1);
        let head = AdvertHead {
            owner: *local.peer_key().as_bytes(),
            kind,
            key: 0,
            instance: local.instance,
            epoch: self.epoch,
            sequence: self.sequence,
        };
        SignedAdvert::sign(&local.identity, &local.network, head, body)
    }

    fn adjacency_due(&self) -> Option<Instant> {
        let refresh = self.adjacency.signed.as_ref().map(|signed| signed.at + ADJACENCY_REFRESH);
        earliest([self.adjacency.due, refresh])
    }

    /// When to call [`Own::publish`].
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        earliest([self.profile.due, self.adjacency_due()])
    }
}

impl Damp {
    /// Doubles the wait, once for all that comes while it lasts.
    fn slow_down(&mut self, now: Instant) {
        if now >= self.until {
            self.wait = (self.wait * 2).clamp(DAMP_MIN, DAMP_MAX);
            self.until = now + self.wait;
        }
    }
}

impl<T: Clone> Statement<T> {
    fn signed(&mut self, at: Instant, version: (BootEpoch, u64, u32)) {
        self.signed = Some(Signed { value: self.value.clone(), at, version });
        (self.due, self.overtaken) = (None, false);
    }
}

/// Whether nothing but costs changed, and none for the much worse: others still send that way.
fn is_minor(before: &Adjacency, after: &Adjacency) -> bool {
    before.edges.len() == after.edges.len()
        && before.edges.iter().zip(&after.edges).all(|(before, after)| {
            (before.peer, &before.kind) == (after.peer, &after.kind)
                && after.cost.value() / MUCH_WORSE <= before.cost.value()
        })
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use super::*;
    use crate::crypto::aead::Portable;
    use crate::crypto::verifier::Strict;
    use crate::entropy::tests::Seeded;
    use crate::id::Address;
    use crate::identity::{Identity, StaticBinding};
    use crate::io::ConnectionType;
    use crate::network::Network;
    use crate::wire::advert::{Abilities, Cost};
    use crate::wire::handshake::Versions;

    struct Bench {
        local: Local,
        own: Own,
        database: Database,
    }

    const MS: fn(u64) -> Instant = Instant::from_millis;

    fn bench() -> Bench {
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
        Bench { own: Own::new(MS(0), 4, profile), local, database }
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
        assert_eq!(bench.own.next_timeout(), Some(MS(1_020)));
        assert_eq!(bench.publish(MS(1_020)), [AdvertKind::Adjacency]);
        assert_eq!(bench.own.next_timeout(), Some(MS(1_020) + ADJACENCY_REFRESH));
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
        assert_eq!(bench.own.next_timeout(), Some(MS(20) + ADJACENCY_REFRESH), "as signed");
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
        let heard = bench.own.on_heard(MS(10), &bench.local, (7, 300, 1), None);
        assert_eq!(heard, Heard::Stepped { epoch: 8 });
        bench.publish(MS(10));
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
        let instance = Some(bench.local.instance);
        assert_eq!(bench.own.on_heard(MS(5), &bench.local, version, instance), Heard::Nothing);
        assert_eq!(bench.own.on_heard(MS(5), &bench.local, (3, 99, 0), None), Heard::Nothing);
    }

    #[test]
    fn an_adjacency_that_was_overtaken_is_signed_again_though_it_says_the_same() {
        let mut bench = bench();
        bench.own.set_edges(MS(0), alloc::vec![edge(1, 5)]);
        bench.publish(MS(20));
        let other = Some(Instance::from_bytes([9; 8]));
        for sequence in [100, 200] {
            bench.own.on_heard(MS(1_000), &bench.local, (4, sequence, 1), other);
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
            assert_eq!(heard, Heard::DuplicateKey { instance: None });
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
        let other = Some(Instance::from_bytes([9; 8]));
        let mut signed = 0;
        let (mut sequence, mut reports) = (100, 0);
        for second in 1..120 {
            let now = MS(second * 1_000);
            sequence += 100;
            let heard = bench.own.on_heard(now, &bench.local, (4, sequence, 1), other);
            reports += usize::from(matches!(heard, Heard::DuplicateKey { .. }));
            signed += bench.publish(now).len();
        }
        assert!(reports > 100);
        assert!(signed <= 2 * 10, "{signed} adverts in two minutes");
    }
}
