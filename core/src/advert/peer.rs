//! What is kept of one owner: each advert once, as it travels, and what was read from it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::id::{Address, BootEpoch, PeerKey};
use crate::limits::{EVICT_AFTER, EVICT_NEVER_REACHED_AFTER};
use crate::time::Instant;
use crate::wire::advert::{Adjacency, AdvertKind, Profile, SignedAdvert};

/// One owner's adverts.
#[derive(Debug)]
pub(super) struct Peer {
    /// In order of their places.
    records: Vec<Record>,
    /// The Noise static key that the profile binds to the peer key beside the converted one.
    pub(super) separate_key: Option<Box<[u8; 32]>>,
    pub(super) adjacency: Option<Adjacency>,
    /// When the owner was last reachable, as far as anybody knows.
    pub(super) reachable_at: Instant,
    /// Whether this node ever had a way to it: nobody can make that up alone.
    pub(super) was_reached: bool,
    /// When it last said something new; until it is reached, when it was first heard of.
    pub(super) heard_at: Instant,
    /// The neighbour that told of it first.
    pub(super) by: Address,
}

/// One advert, without what its bytes say.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) kind: AdvertKind,
    pub(super) key: u64,
    pub(super) version: (BootEpoch, u64, u32),
    /// When it was signed, on this node's clock.
    pub(super) signed_at: Instant,
    /// As it travels.
    pub(super) bytes: Box<[u8]>,
}

/// Which of an owner's adverts.
type Place = (AdvertKind, u64);

impl Peer {
    pub(super) fn new(now: Instant, by: Address) -> Self {
        Self {
            records: Vec::new(),
            separate_key: None,
            adjacency: None,
            reachable_at: Instant::EPOCH,
            was_reached: false,
            heard_at: now,
            by,
        }
    }

    /// When this one may be forgotten for another one. Repetition and new versions keep nobody
    /// who was never reached.
    pub(super) fn evict_at(&self) -> Instant {
        if self.was_reached {
            self.reachable_at.max(self.heard_at) + EVICT_AFTER
        } else {
            self.heard_at + EVICT_NEVER_REACHED_AFTER
        }
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn into_records(self) -> Vec<Record> {
        self.records
    }

    fn find(&self, place: Place) -> Result<usize, usize> {
        self.records.binary_search_by_key(&place, |record| (record.kind, record.key))
    }

    pub(super) fn record(&self, place: Place) -> Option<&Record> {
        self.records.get(self.find(place).ok()?)
    }

    /// Takes a newer version. Says whether the edges read otherwise now.
    pub(super) fn put(&mut self, owner: &PeerKey, advert: &SignedAdvert, at: Instant) -> bool {
        let head = &advert.head;
        let record = Record {
            kind: head.kind,
            key: head.key,
            version: advert.version(),
            signed_at: at,
            bytes: Box::from(advert.bytes.as_ref()),
        };
        match self.find((head.kind, head.key)) {
            Ok(at) => {
                if let Some(old) = self.records.get_mut(at) {
                    *old = record;
                }
            }
            Err(at) => {
                // Most owners have two, and there are many owners.
                self.records.reserve_exact(1);
                self.records.insert(at, record);
            }
        }
        match head.kind {
            AdvertKind::Profile => {
                let profile = Profile::decode(&advert.body);
                // Checked once: routes are computed often.
                let key = profile.and_then(|profile| profile.binding.separate_key(owner));
                self.separate_key = key.map(Box::new);
                false
            }
            AdvertKind::Adjacency => {
                let adjacency = Adjacency::decode(&advert.body);
                let differs = self.adjacency != adjacency;
                self.adjacency = adjacency;
                differs
            }
            AdvertKind::Unknown(_) => false,
        }
    }

    /// The newest profile. It is read each time: kept, it would take as much as all else.
    pub(super) fn profile(&self) -> Option<Profile> {
        self.profile_bytes().and_then(Profile::decode)
    }

    /// The body of the newest profile.
    pub(super) fn profile_bytes(&self) -> Option<&[u8]> {
        SignedAdvert::body_of(&self.record((AdvertKind::Profile, 0))?.bytes)
    }

    /// Forgets the adverts that `goes` names.
    pub(super) fn forget(&mut self, goes: impl Fn(&Record) -> bool) -> Vec<Record> {
        let forgotten = self.records.extract_if(.., |record| goes(record)).collect();
        if self.record((AdvertKind::Adjacency, 0)).is_none() {
            self.adjacency = None;
        }
        forgotten
    }
}
