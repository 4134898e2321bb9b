//! The newest version of every advert this node knows.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::AdvertId;
use crate::crypto::verifier::{Strict, Verifier};
use crate::id::{Address, PeerKey};
use crate::limits::{
    ADJACENCY_LIFETIME, ADVERTS_PER_OWNER_MAX, CHANGED_MAX, FLOORS_MAX, FORGET_AFTER, PEERS_MAX,
    VERIFICATIONS_OWN_PER_S, VERIFICATIONS_PER_S,
};
use crate::network::Network;
use crate::time::{Duration, Instant};
use crate::wire::advert::{Adjacency, AdvertKind, Profile, SignedAdvert};
use crate::wire::control::{AdvertCopy, Stamp};
use crate::wire::ranges::Range;

/// All adverts, by owner.
pub struct Database {
    network: Network,
    verifier: Arc<dyn Verifier>,
    own: PeerKey,
    peers: BTreeMap<PeerKey, Peer>,
    /// Who has an address; more than one peer makes it unroutable.
    addresses: BTreeMap<Address, Vec<PeerKey>>,
    /// Versions of adverts that were forgotten: nobody resurrects them.
    floors: BTreeMap<AdvertId, Floor>,
    verifications: Budget,
    /// Counts changes, so that others know when to look again.
    changes: u64,
    changed: Changed,
}

/// Owners whose edges may read otherwise than when it was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These: they said something else, came, were forgotten, or share their address with one
    /// that came or was forgotten. What others say of such an owner may mean something else, too.
    Owners(BTreeSet<PeerKey>),
    /// More than are remembered.
    Everything,
}

impl Changed {
    fn add(&mut self, owner: PeerKey) {
        if let Self::Owners(owners) = self {
            owners.insert(owner);
            if owners.len() > CHANGED_MAX {
                *self = Self::Everything;
            }
        }
    }
}

/// One owner's adverts.
#[derive(Debug, Default)]
struct Peer {
    records: BTreeMap<(AdvertKind, u64), Record>,
    profile: Option<Profile>,
    /// The Noise static key that the profile binds to the peer key beside the converted one.
    separate_key: Option<[u8; 32]>,
    adjacency: Option<Adjacency>,
    /// When the owner was last reachable, as far as anybody knows.
    reachable_at: Instant,
}

#[derive(Debug)]
struct Record {
    advert: SignedAdvert,
    /// When it was signed, on this node's clock.
    signed_at: Instant,
}

/// What stays of an advert that was forgotten.
#[derive(Clone, Copy, Debug)]
struct Floor {
    /// Its epoch and sequence.
    version: (u64, u64),
    /// It is no younger when it comes back, whatever a copy says.
    signed_at: Instant,
}

/// How old an advert is, as its copies carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// Since it was signed.
    pub signed: Duration,
    /// Since its owner was last reachable.
    pub reachable: Duration,
}

/// What became of an offered advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is news: pass it on.
    Taken(Taken),
    /// It is known.
    Known(AdvertId),
    /// A newer one is known: the neighbour should have it.
    Older(AdvertId),
    /// It is about this node itself, from another time: `Own` must step above it.
    Mine {
        /// What the copy claims.
        epoch: u64,
        /// The sequence in that epoch.
        sequence: u64,
        /// The copy's hash, to tell it from what this node signed.
        hash: u32,
        /// Which run signed it.
        instance: crate::id::Instance,
    },
    /// More signatures came than this node checks in a second; ask again.
    Busy {
        /// Whose advert it is.
        owner: Address,
    },
    /// It is not taken.
    Refused(Refusal),
    /// It is of a new owner, for whom there is no room.
    NoRoom {
        /// Whose advert it is.
        owner: Address,
    },
}

/// An advert that is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub id: AdvertId,
    /// Whether the owner was unknown before.
    pub new_peer: bool,
    /// The owner's run that signed it.
    pub instance: crate::id::Instance,
}

/// Why an advert is not taken. Each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It cannot be read.
    #[error("malformed")]
    Malformed,
    /// Its signature is not the owner's for this network.
    #[error("forged")]
    Forged,
    /// It is older than its lifetime, or than what was forgotten.
    #[error("expired")]
    Expired,
    /// Its owner has as many adverts as one peer may have.
    #[error("too many adverts of one owner")]
    TooMany,
    /// The tables are full and its owner is new.
    #[error("the table of peers is full")]
    Full,
}

/// Signature checks in this second: some for everybody, and some that each neighbour has for
/// itself, so that one who floods does not starve the others.
#[derive(Debug, Default)]
struct Budget {
    second: Instant,
    spent: u32,
    spent_by: BTreeMap<PeerKey, u32>,
}

impl Budget {
    fn spend(&mut self, now: Instant, neighbour: PeerKey) -> bool {
        if now.since(self.second) >= Duration::from_secs(1) {
            *self = Self { second: now, ..Self::default() };
        }
        let own = self.spent_by.entry(neighbour).or_default();
        let (count, limit) = if *own < VERIFICATIONS_OWN_PER_S {
            (own, VERIFICATIONS_OWN_PER_S)
        } else {
            (&mut self.spent, VERIFICATIONS_PER_S)
        };
        let may = *count < limit;
        *count += u32::from(may);
        may
    }
}

fn seconds(duration: Duration) -> u16 {
    u16::try_from(duration.as_secs()).unwrap_or(u16::MAX)
}

impl Database {
    /// An empty database of the node `own`.
    #[must_use]
    pub fn new(network: Network, own: PeerKey) -> Self {
        let mut addresses = BTreeMap::new();
        addresses.insert(own.address(), alloc::vec![own]);
        Self {
            network,
            verifier: Arc::new(Strict),
            own,
            peers: BTreeMap::new(),
            addresses,
            floors: BTreeMap::new(),
            verifications: Budget::default(),
            changes: 0,
            changed: Changed::Everything,
        }
    }

    /// Whose edges may read otherwise since the last call; at first everybody's.
    pub fn take_changed(&mut self) -> Changed {
        core::mem::replace(&mut self.changed, Changed::Owners(BTreeSet::new()))
    }

    /// The same with other checks of signatures.
    #[must_use]
    pub fn with_verifier(self, verifier: Arc<dyn Verifier>) -> Self {
        Self { verifier, ..self }
    }

    /// Grows with each change of an advert.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes a copy from a neighbour, if it is news. The signature is checked last.
    pub fn offer(&mut self, now: Instant, from: PeerKey, copy: AdvertCopy) -> Offer {
        let age = Age {
            signed: Duration::from_secs(copy.signed_age_s.into()),
            reachable: Duration::from_secs(copy.reachable_age_s.into()),
        };
        let Some(advert) = SignedAdvert::decode(copy.advert) else {
            return Offer::Refused(Refusal::Malformed);
        };
        let head = advert.head;
        if head.owner == *self.own.as_bytes() {
            if !self.verifications.spend(now, from) {
                return Offer::Busy { owner: self.own.address() };
            }
            let (epoch, sequence, hash) = advert.version();
            return if advert.is_of(self.verifier.as_ref(), &self.own, &self.network) {
                Offer::Mine { epoch, sequence, hash, instance: head.instance }
            } else {
                Offer::Refused(Refusal::Forged)
            };
        }
        if head.kind == AdvertKind::Adjacency && age.signed >= ADJACENCY_LIFETIME {
            return Offer::Refused(Refusal::Expired);
        }
        // Equal bytes of a key that is known are that key; a new one is checked below.
        let owner = PeerKey::from_checked(head.owner);
        let id = AdvertId { owner, kind: head.kind, key: head.key };
        let known = self.peers.get(&owner).and_then(|peer| peer.records.get(&(id.kind, id.key)));
        match known.map(|record| record.advert.version().cmp(&advert.version())) {
            Some(core::cmp::Ordering::Equal) => {
                self.age(now, id, age);
                return Offer::Known(id);
            }
            Some(core::cmp::Ordering::Greater) => return Offer::Older(id),
            Some(core::cmp::Ordering::Less) | None => {}
        }
        let known_kind = !matches!(head.kind, AdvertKind::Unknown(_));
        if known_kind && head.key != 0 {
            return Offer::Refused(Refusal::Malformed);
        }
        let held = self.peers.get(&owner).map_or(0, |peer| peer.records.len());
        if known.is_none() && !known_kind && held >= ADVERTS_PER_OWNER_MAX {
            return Offer::Refused(Refusal::TooMany);
        }
        // The version that was forgotten is taken again: who was away and comes back says the same.
        let Some(age) = self.age_above_floor(now, id, (head.epoch, head.sequence), age) else {
            return Offer::Refused(Refusal::Expired);
        };
        let new_peer = !self.peers.contains_key(&owner);
        if new_peer && age.reachable >= FORGET_AFTER {
            return Offer::Refused(Refusal::Expired);
        }
        if new_peer && self.peers.len() >= PEERS_MAX {
            return Offer::NoRoom { owner: owner.address() };
        }
        if !self.verifications.spend(now, from) {
            return Offer::Busy { owner: owner.address() };
        }
        let signed = if new_peer && owner != from {
            advert.verify(self.verifier.as_ref(), &self.network).is_some()
        } else {
            advert.is_of(self.verifier.as_ref(), &owner, &self.network)
        };
        if !signed {
            return Offer::Refused(Refusal::Forged);
        }
        self.insert(now, owner, advert, age);
        Offer::Taken(Taken { id, new_peer, instance: head.instance })
    }

    /// The age of a version of an advert that is not below its floor and no adjacency past its
    /// lifetime. A version that was forgotten is no younger when it comes back.
    fn age_above_floor(
        &self,
        now: Instant,
        id: AdvertId,
        version: (u64, u64),
        mut age: Age,
    ) -> Option<Age> {
        let Some(floor) = self.floors.get(&id) else { return Some(age) };
        if version == floor.version {
            age.signed = age.signed.max(now.since(floor.signed_at));
        }
        let old = id.kind == AdvertKind::Adjacency && age.signed >= ADJACENCY_LIFETIME;
        (version >= floor.version && !old).then_some(age)
    }

    /// Puts in an advert that this node has just signed itself.
    pub fn insert_own(&mut self, now: Instant, advert: SignedAdvert) -> AdvertId {
        let id = AdvertId { owner: self.own, kind: advert.head.kind, key: advert.head.key };
        let age = Age { signed: Duration::ZERO, reachable: Duration::ZERO };
        self.insert(now, self.own, advert, age);
        id
    }

    /// Takes a copy as if it were signed, so that tests can have thousands of owners.
    #[cfg(test)]
    pub(super) fn believe(&mut self, now: Instant, copy: AdvertCopy) -> Offer {
        let advert = SignedAdvert::decode(copy.advert).unwrap();
        let owner = PeerKey::from_checked(advert.head.owner);
        let id = AdvertId { owner, kind: advert.head.kind, key: advert.head.key };
        let known = self.stamp(id).map(|stamp| (stamp.epoch, stamp.sequence, stamp.hash));
        match known.map(|known| known.cmp(&advert.version())) {
            Some(core::cmp::Ordering::Equal) => return Offer::Known(id),
            Some(core::cmp::Ordering::Greater) => return Offer::Older(id),
            Some(core::cmp::Ordering::Less) | None => {}
        }
        let (new_peer, instance) = (!self.knows(&owner), advert.head.instance);
        let age = Age { signed: Duration::ZERO, reachable: Duration::ZERO };
        self.insert(now, owner, advert, age);
        Offer::Taken(Taken { id, new_peer, instance })
    }

    fn insert(&mut self, now: Instant, owner: PeerKey, advert: SignedAdvert, age: Age) {
        let is_new = !self.peers.contains_key(&owner);
        let peer = self.peers.entry(owner).or_default();
        match advert.head.kind {
            AdvertKind::Profile => {
                peer.profile = Profile::decode(&advert.body);
                let binding = peer.profile.as_ref().map(|profile| &profile.binding);
                // Checked once: routes are computed often.
                peer.separate_key = binding.and_then(|binding| binding.separate_key(&owner));
            }
            AdvertKind::Adjacency => {
                let adjacency = Adjacency::decode(&advert.body);
                if peer.adjacency != adjacency {
                    peer.adjacency = adjacency;
                    self.changed.add(owner);
                }
            }
            AdvertKind::Unknown(_) => {}
        }
        let place = (advert.head.kind, advert.head.key);
        peer.records.insert(place, Record { advert, signed_at: now - age.signed });
        // A new version proves that its owner lived; of a known one nobody's word counts.
        peer.reachable_at = peer.reachable_at.max(now - age.reachable);
        let holders = self.addresses.entry(owner.address()).or_default();
        if !holders.contains(&owner) {
            holders.push(owner);
        }
        if is_new {
            holders.iter().for_each(|holder| self.changed.add(*holder));
        }
        self.changes += 1;
    }

    /// Keeps the larger age since it was signed. When the owner was reachable is this node's own
    /// knowledge: neither is a departed peer kept by repetition, nor a present one forgotten by it.
    fn age(&mut self, now: Instant, id: AdvertId, age: Age) {
        let Some(peer) = self.peers.get_mut(&id.owner) else { return };
        if let Some(record) = peer.records.get_mut(&(id.kind, id.key)) {
            record.signed_at = record.signed_at.min(now - age.signed);
        }
    }

    /// The copy of an advert to give to a neighbour.
    #[must_use]
    pub fn copy(&self, now: Instant, id: AdvertId) -> Option<AdvertCopy> {
        let peer = self.peers.get(&id.owner)?;
        let record = peer.records.get(&(id.kind, id.key))?;
        let reachable = if id.owner == self.own { now } else { peer.reachable_at };
        Some(AdvertCopy {
            signed_age_s: seconds(now.since(record.signed_at)),
            reachable_age_s: seconds(now.since(reachable)),
            advert: record.advert.bytes.clone(),
        })
    }

    /// The peers whose adverts are known, this node among them.
    pub fn peers(&self) -> impl Iterator<Item = PeerKey> + '_ {
        self.peers.keys().copied()
    }

    /// Whether any advert of a peer is known.
    #[must_use]
    pub fn knows(&self, peer: &PeerKey) -> bool {
        self.peers.contains_key(peer)
    }

    /// A peer's newest profile.
    #[must_use]
    pub fn profile(&self, peer: &PeerKey) -> Option<&Profile> {
        self.peers.get(peer)?.profile.as_ref()
    }

    /// The Noise static key that a peer's newest profile binds to it beside the converted one.
    #[must_use]
    pub fn separate_key(&self, peer: &PeerKey) -> Option<[u8; 32]> {
        self.peers.get(peer)?.separate_key
    }

    /// A peer's newest adjacency.
    #[must_use]
    pub fn adjacency(&self, peer: &PeerKey) -> Option<&Adjacency> {
        self.peers.get(peer)?.adjacency.as_ref()
    }

    /// When a peer was last reachable, as far as anybody knows.
    #[must_use]
    pub fn reachable_at(&self, peer: &PeerKey) -> Option<Instant> {
        Some(self.peers.get(peer)?.reachable_at)
    }

    /// This node reaches `peer` now.
    pub fn note_reachable(&mut self, now: Instant, peer: &PeerKey) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.reachable_at = now;
        }
    }

    /// The one peer that has `address`; `None` if none is known or several collide.
    #[must_use]
    pub fn by_address(&self, address: &Address) -> Option<PeerKey> {
        match self.addresses.get(address)?.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// All adverts after `from`, in order.
    pub fn ids(&self, from: Option<AdvertId>) -> impl Iterator<Item = AdvertId> + '_ {
        let start = from.map_or(Bound::Unbounded, |id| Bound::Included(id.owner));
        self.peers
            .range((start, Bound::Unbounded))
            .flat_map(|(owner, peer)| {
                peer.records.keys().map(|(kind, key)| AdvertId {
                    owner: *owner,
                    kind: *kind,
                    key: *key,
                })
            })
            .filter(move |id| from.is_none_or(|from| *id > from))
    }

    /// The version of an advert, as lists carry it.
    #[must_use]
    pub fn stamp(&self, id: AdvertId) -> Option<Stamp> {
        let record = self.peers.get(&id.owner)?.records.get(&(id.kind, id.key))?;
        let (epoch, sequence, hash) = record.advert.version();
        let owner = id.owner.address();
        Some(Stamp { owner, kind: id.kind, key: id.key, epoch, sequence, hash })
    }

    /// The adverts of everybody who has an address in `range`, and their stamps in order.
    pub fn stamps(&self, range: Range) -> impl Iterator<Item = (Stamp, AdvertId)> + '_ {
        self.addresses.range(range.first..=range.last).flat_map(|(_, holders)| {
            let mut stamps: Vec<_> = holders.iter().flat_map(|owner| self.of(*owner)).collect();
            if holders.len() > 1 {
                stamps.sort_unstable();
            }
            stamps
        })
    }

    /// The adverts at one address, and their stamps.
    pub fn stamps_at(&self, owner: Address) -> impl Iterator<Item = (Stamp, AdvertId)> + '_ {
        self.stamps(Range { first: owner, last: owner })
    }

    fn of(&self, owner: PeerKey) -> impl Iterator<Item = (Stamp, AdvertId)> + '_ {
        let records = self.peers.get(&owner).into_iter().flat_map(|peer| peer.records.keys());
        records.filter_map(move |(kind, key)| {
            let id = AdvertId { owner, kind: *kind, key: *key };
            Some((self.stamp(id)?, id))
        })
    }

    /// Everybody who has an address.
    #[must_use]
    pub fn holders(&self, address: &Address) -> &[PeerKey] {
        self.addresses.get(address).map_or(&[], Vec::as_slice)
    }

    /// Whether several peers have this address: unroutable, and reported.
    #[must_use]
    pub fn is_shared(&self, address: &Address) -> bool {
        self.holders(address).len() > 1
    }

    /// Forgets what has expired: adjacencies past their lifetime, peers long unreachable. A
    /// floor outlives each.
    pub fn expire(&mut self, now: Instant) {
        let own = self.own;
        let mut forgotten = Vec::new();
        for (owner, peer) in &mut self.peers {
            if *owner == own {
                continue;
            }
            let gone = now.since(peer.reachable_at) >= FORGET_AFTER;
            peer.records.retain(|(kind, key), record| {
                let old = *kind == AdvertKind::Adjacency
                    && now.since(record.signed_at) >= ADJACENCY_LIFETIME;
                if gone || old {
                    let id = AdvertId { owner: *owner, kind: *kind, key: *key };
                    let head = record.advert.head;
                    let version = (head.epoch, head.sequence);
                    forgotten.push((id, Floor { version, signed_at: record.signed_at }));
                }
                !(gone || old)
            });
            if !peer.records.contains_key(&(AdvertKind::Adjacency, 0))
                && peer.adjacency.take().is_some()
            {
                self.changed.add(*owner);
            }
        }
        for (id, floor) in forgotten {
            if self.floors.len() >= FLOORS_MAX {
                // The tables are bounded, so the floors are: the first of the order goes, which
                // is anybody's; its adverts would have to be younger than their lifetime.
                self.floors.pop_first();
            }
            self.floors.insert(id, floor);
            self.changes += 1;
        }
        let (addresses, changed) = (&mut self.addresses, &mut self.changed);
        self.peers.retain(|owner, peer| {
            let stays = !peer.records.is_empty();
            if !stays && let Some(holders) = addresses.get_mut(&owner.address()) {
                holders.iter().for_each(|holder| changed.add(*holder));
                holders.retain(|holder| holder != owner);
            }
            stays
        });
        addresses.retain(|_, holders| !holders.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::Domain;
    use crate::entropy::tests::Seeded;
    use crate::id::Instance;
    use crate::identity::{Identity, StaticBinding};
    use crate::io::ConnectionType;
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
        assert!(
            matches!(database.offer(NOW, from(7), first.clone()), Offer::Taken(t) if t.new_peer)
        );
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
        let limit = VERIFICATIONS_PER_S + VERIFICATIONS_OWN_PER_S;
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
        for sequence in 0..1_000 {
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
        let busy = (0..1_000)
            .map(|sequence| database.offer(NOW, from(7), forged(&own, sequence)))
            .filter(|offer| matches!(offer, Offer::Busy { .. }))
            .count();
        assert_eq!(busy, 1_000 - (VERIFICATIONS_PER_S + VERIFICATIONS_OWN_PER_S) as usize);
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
        copy.signed_age_s = seconds(ADJACENCY_LIFETIME) - 10;
        assert!(matches!(database.offer(NOW, from(7), copy.clone()), Offer::Taken(_)));
        let later = NOW + Duration::from_secs(11);
        copy.signed_age_s = 0;
        database.offer(later, from(7), copy.clone());
        let id = database.ids(None).next().unwrap();
        assert!(
            database.copy(later, id).unwrap().signed_age_s > seconds(ADJACENCY_LIFETIME),
            "the larger age stays"
        );
        database.note_reachable(later, &id.owner);
        database.expire(later);
        assert_eq!(database.adjacency(&id.owner), None);
        for signed_age_s in [seconds(ADJACENCY_LIFETIME), 0] {
            copy.signed_age_s = signed_age_s;
            let again = database.offer(later, from(7), copy.clone());
            assert_eq!(again, Offer::Refused(Refusal::Expired), "also as if it were new");
        }
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
        assert!(
            matches!(database.offer(NOW, from(7), profile), Offer::Taken(_)),
            "never crowded out"
        );
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
}
