//! The newest version of every advert this node knows.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::AdvertId;
use super::census::{Census, Room};
use super::floors::Floors;
use super::holders::Holders;
use super::peer::Peer;
use super::verifications::Verifications;
use crate::crypto::verifier::{Strict, Verifier};
use crate::id::{Address, PeerKey};
use crate::limits::{ADJACENCY_LIFETIME, ADVERTS_PER_OWNER_MAX, CHANGED_MAX, FORGET_AFTER};
use crate::network::Network;
use crate::time::{Duration, Instant};
use crate::wire::advert::{Adjacency, AdvertKind, Profile, SignedAdvert};
use crate::wire::control::AdvertCopy;
use crate::wire::ranges::{Range, Stamp};

/// All adverts, by owner.
pub struct Database {
    network: Network,
    verifier: Arc<dyn Verifier>,
    own: PeerKey,
    peers: BTreeMap<PeerKey, Peer>,
    addresses: BTreeMap<Address, Holders>,
    /// Versions of adverts that were forgotten: nobody resurrects them.
    floors: Floors,
    census: Census,
    /// Owners that were never reached were forgotten for others: whom others claim to be linked
    /// with may have been among them.
    evicted: bool,
    verifications: Verifications,
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

fn seconds(duration: Duration) -> u16 {
    u16::try_from(duration.as_secs()).unwrap_or(u16::MAX)
}

impl Database {
    /// An empty database of the node `own`.
    #[must_use]
    pub fn new(network: Network, own: PeerKey) -> Self {
        let mut addresses = BTreeMap::new();
        addresses.insert(own.address(), Holders::One(own));
        Self {
            network,
            verifier: Arc::new(Strict),
            own,
            peers: BTreeMap::new(),
            addresses,
            floors: Floors::default(),
            census: Census::default(),
            evicted: false,
            verifications: Verifications::default(),
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
            return self.offer_own(now, from, &advert);
        }
        let is_old =
            |age: Age| head.kind == AdvertKind::Adjacency && age.signed >= ADJACENCY_LIFETIME;
        if is_old(age) {
            return Offer::Refused(Refusal::Expired);
        }
        // Equal bytes of a key that is known are that key; a new one is checked below.
        let owner = PeerKey::from_checked(head.owner);
        let id = AdvertId { owner, kind: head.kind, key: head.key };
        let known = self.peers.get(&owner).and_then(|peer| peer.record((id.kind, id.key)));
        match known.map(|record| record.version.cmp(&advert.version())) {
            // Nobody's word makes it older or younger: its age is what it was when it was taken,
            // and the time since.
            Some(core::cmp::Ordering::Equal) => return Offer::Known(id),
            Some(core::cmp::Ordering::Greater) => return Offer::Older(id),
            Some(core::cmp::Ordering::Less) | None => {}
        }
        let known_kind = !matches!(head.kind, AdvertKind::Unknown(_));
        if known_kind && head.key != 0 {
            return Offer::Refused(Refusal::Malformed);
        }
        let held = self.peers.get(&owner).map_or(0, |peer| peer.records().len());
        if known.is_none() && !known_kind && held >= ADVERTS_PER_OWNER_MAX {
            return Offer::Refused(Refusal::TooMany);
        }
        let version = (head.epoch, head.sequence);
        let signed = self.floors.age(now, &id, version, age.signed);
        let Some(age) = signed.map(|signed| Age { signed, ..age }).filter(|age| !is_old(*age))
        else {
            return Offer::Refused(Refusal::Expired);
        };
        let new_peer = !self.peers.contains_key(&owner);
        if new_peer && age.reachable >= FORGET_AFTER {
            return Offer::Refused(Refusal::Expired);
        }
        let room = match new_peer {
            true => self.census.room(now, from.address(), from == owner),
            false => Room::Free,
        };
        if room == Room::None {
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
        if !self.make_room(now, room) {
            return Offer::NoRoom { owner: owner.address() };
        }
        self.insert(now, from.address(), owner, &advert, age);
        Offer::Taken(Taken { id, new_peer, instance: head.instance })
    }

    /// A copy of an advert in the name of this node.
    fn offer_own(&mut self, now: Instant, from: PeerKey, advert: &SignedAdvert) -> Offer {
        if !self.verifications.spend(now, from) {
            return Offer::Busy { owner: self.own.address() };
        }
        let (epoch, sequence, hash) = advert.version();
        if advert.is_of(self.verifier.as_ref(), &self.own, &self.network) {
            Offer::Mine { epoch, sequence, hash, instance: advert.head.instance }
        } else {
            Offer::Refused(Refusal::Forged)
        }
    }

    /// Whether a neighbour that was told of a lack of room should tell of new owners again.
    #[must_use]
    pub fn has_room_again(&self, neighbour: &PeerKey) -> bool {
        self.census.has_room_again(neighbour.address())
    }

    fn make_room(&mut self, now: Instant, room: Room) -> bool {
        match room {
            Room::Free => true,
            Room::ForAnother => self.forget_another(now, None),
            Room::ForAnotherOf(neighbour) => self.forget_another(now, Some(neighbour)),
            Room::None => false,
        }
    }

    /// Forgets the owner, of those that a neighbour told of or of all, that can be done without for
    /// longest: one that was never reached before others, and never a reachable one.
    fn forget_another(&mut self, now: Instant, share: Option<Address>) -> bool {
        let of_share = |peer: &Peer| share.is_none_or(|by| peer.by == by);
        let others = self.peers.iter();
        let others = others.filter(|(owner, peer)| **owner != self.own && of_share(peer));
        let order = |(owner, peer): (&PeerKey, &Peer)| {
            let (at, was_reached) = (peer.evict_at(), peer.was_reached);
            (at > now, at <= now && was_reached, at, *owner)
        };
        let Some((is_later, was_reached, at, owner)) = others.map(order).min() else {
            return false;
        };
        if is_later {
            self.census.set_full(share, at);
            return false;
        }
        if was_reached {
            self.forget_peer(now, &owner);
        } else {
            // It was never part of the mesh: there is nothing to keep from coming back.
            self.evicted = true;
            self.remove_peer(&owner);
        }
        true
    }

    fn forget_peer(&mut self, now: Instant, owner: &PeerKey) {
        let records = self.remove_peer(owner).map(Peer::into_records);
        for record in records.iter().flatten() {
            self.floors.add(now, *owner, record);
        }
    }

    fn remove_peer(&mut self, owner: &PeerKey) -> Option<Peer> {
        let peer = self.peers.remove(owner)?;
        self.census.remove(peer.by);
        let address = owner.address();
        let holders = self.holders(&address).to_vec();
        holders.iter().for_each(|holder| self.changed.add(*holder));
        self.addresses.remove(&address);
        let left = holders.into_iter().filter(|holder| holder != owner).collect();
        if let Some(left) = Holders::from_vec(left) {
            self.addresses.insert(address, left);
        }
        self.changes += 1;
        Some(peer)
    }

    /// Whom `peer` claims to be linked with and nobody here knows, after owners that were never
    /// reached had to go: they may have been true.
    pub fn missing_beside(&self, peer: &PeerKey) -> impl Iterator<Item = Address> + '_ {
        let edges = self.adjacency(peer).map_or(&[][..], |adjacency| &adjacency.edges);
        let beside = edges.iter().map(|edge| edge.peer);
        beside.filter(|address| self.evicted && self.holders(address).is_empty())
    }

    /// Puts in an advert that this node has just signed itself.
    pub fn insert_own(&mut self, now: Instant, advert: SignedAdvert) -> AdvertId {
        let id = AdvertId { owner: self.own, kind: advert.head.kind, key: advert.head.key };
        let age = Age { signed: Duration::ZERO, reachable: Duration::ZERO };
        self.insert(now, self.own.address(), self.own, &advert, age);
        id
    }

    /// Takes a copy as if it were signed, so that tests can have thousands of owners.
    #[cfg(test)]
    pub(super) fn believe(&mut self, now: Instant, copy: AdvertCopy) -> Offer {
        self.believe_from(now, self.own, copy)
    }

    #[cfg(test)]
    fn believe_from(&mut self, now: Instant, from: PeerKey, copy: AdvertCopy) -> Offer {
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
        self.insert(now, from.address(), owner, &advert, age);
        Offer::Taken(Taken { id, new_peer, instance })
    }

    fn insert(
        &mut self,
        now: Instant,
        by: Address,
        owner: PeerKey,
        advert: &SignedAdvert,
        age: Age,
    ) {
        if !self.peers.contains_key(&owner) {
            if owner != self.own {
                self.census.add(by);
            }
            self.peers.insert(owner, Peer::new(now, by));
            self.add_holder(owner);
        }
        let Some(peer) = self.peers.get_mut(&owner) else { return };
        if peer.put(&owner, advert, now - age.signed) {
            self.changed.add(owner);
        }
        // A new version proves that its owner lived; of a known one nobody's word counts.
        peer.reachable_at = peer.reachable_at.max(now - age.reachable);
        if peer.was_reached {
            peer.heard_at = now;
        }
        self.changes += 1;
    }

    fn add_holder(&mut self, owner: PeerKey) {
        let address = owner.address();
        let mut holders = self.holders(&address).to_vec();
        if !holders.contains(&owner) {
            holders.push(owner);
        }
        holders.iter().for_each(|holder| self.changed.add(*holder));
        if let Some(holders) = Holders::from_vec(holders) {
            self.addresses.insert(address, holders);
        }
    }

    /// What an Advert message says: both ages, and the signed bytes.
    pub(super) fn told(&self, now: Instant, id: AdvertId) -> Option<(u16, u16, &[u8])> {
        let peer = self.peers.get(&id.owner)?;
        let record = peer.record((id.kind, id.key))?;
        let reachable = if id.owner == self.own { now } else { peer.reachable_at };
        let [signed_age_s, reachable_age_s] =
            [record.signed_at, reachable].map(|since| seconds(now.since(since)));
        Some((signed_age_s, reachable_age_s, &record.bytes))
    }

    /// The copy of an advert to give to a neighbour.
    #[must_use]
    pub fn copy(&self, now: Instant, id: AdvertId) -> Option<AdvertCopy> {
        let (signed_age_s, reachable_age_s, advert) = self.told(now, id)?;
        let advert = bytes::Bytes::copy_from_slice(advert);
        Some(AdvertCopy { signed_age_s, reachable_age_s, advert })
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
    pub fn profile(&self, peer: &PeerKey) -> Option<Profile> {
        self.peers.get(peer)?.profile()
    }

    /// The body of a peer's newest profile, as it travels.
    #[must_use]
    pub fn profile_bytes(&self, peer: &PeerKey) -> Option<&[u8]> {
        self.peers.get(peer)?.profile_bytes()
    }

    /// The Noise static key that a peer's newest profile binds to it beside the converted one.
    #[must_use]
    pub fn separate_key(&self, peer: &PeerKey) -> Option<[u8; 32]> {
        self.peers.get(peer)?.separate_key.as_deref().copied()
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

    /// Whether this node ever had a way to `peer`, as far as is remembered.
    #[must_use]
    pub fn was_reached(&self, peer: &PeerKey) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.was_reached)
    }

    /// This node reaches `peer` now.
    pub fn note_reachable(&mut self, now: Instant, peer: &PeerKey) {
        if let Some(peer) = self.peers.get_mut(peer) {
            (peer.reachable_at, peer.was_reached) = (now, true);
        }
    }

    /// The one peer that has `address`; `None` if none is known or several collide.
    #[must_use]
    pub fn by_address(&self, address: &Address) -> Option<PeerKey> {
        match self.holders(address) {
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
                peer.records().iter().map(|record| AdvertId {
                    owner: *owner,
                    kind: record.kind,
                    key: record.key,
                })
            })
            .filter(move |id| from.is_none_or(|from| *id > from))
    }

    /// The version of an advert, as lists carry it.
    #[must_use]
    pub fn stamp(&self, id: AdvertId) -> Option<Stamp> {
        let record = self.peers.get(&id.owner)?.record((id.kind, id.key))?;
        let (epoch, sequence, hash) = record.version;
        let owner = id.owner.address();
        Some(Stamp { owner, kind: id.kind, key: id.key, epoch, sequence, hash })
    }

    /// The adverts of everybody who has an address in `range`, and their stamps in order.
    pub fn stamps(&self, range: Range) -> impl Iterator<Item = (Stamp, AdvertId)> + '_ {
        self.addresses.range(range.first..=range.last).flat_map(|(address, holders)| {
            let holders = holders.as_slice();
            let stamps = holders.iter().flat_map(|owner| self.stamps_of(*address, *owner));
            let mut stamps: Vec<_> = stamps.collect();
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

    fn stamps_of(
        &self,
        address: Address,
        owner: PeerKey,
    ) -> impl Iterator<Item = (Stamp, AdvertId)> + '_ {
        self.peers.get(&owner).into_iter().flat_map(Peer::records).map(move |record| {
            let (kind, key, (epoch, sequence, hash)) = (record.kind, record.key, record.version);
            let stamp = Stamp { owner: address, kind, key, epoch, sequence, hash };
            (stamp, AdvertId { owner, kind, key })
        })
    }

    /// Everybody who has an address.
    #[must_use]
    pub fn holders(&self, address: &Address) -> &[PeerKey] {
        self.addresses.get(address).map_or(&[], Holders::as_slice)
    }

    /// Whether several peers have this address: unroutable, and reported.
    #[must_use]
    pub fn is_shared(&self, address: &Address) -> bool {
        self.holders(address).len() > 1
    }

    /// Those who were missed have been asked for.
    pub fn clear_missing(&mut self) {
        self.evicted = false;
    }

    /// Forgets what has expired: adjacencies past their lifetime, peers long unreachable. A
    /// floor outlives each.
    pub fn expire(&mut self, now: Instant) {
        self.floors.expire(now);
        let mut gone = Vec::new();
        for (owner, peer) in self.peers.iter_mut().filter(|(owner, _)| **owner != self.own) {
            if now.since(peer.reachable_at) >= FORGET_AFTER {
                gone.push(*owner);
                continue;
            }
            let had_edges = peer.adjacency.is_some();
            let old = peer.forget(|record| {
                record.kind == AdvertKind::Adjacency
                    && now.since(record.signed_at) >= ADJACENCY_LIFETIME
            });
            for record in &old {
                self.floors.add(now, *owner, record);
                self.changes += 1;
            }
            if had_edges && peer.adjacency.is_none() {
                self.changed.add(*owner);
            }
            if peer.records().is_empty() {
                gone.push(*owner);
            }
        }
        gone.iter().for_each(|owner| self.forget_peer(now, owner));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
