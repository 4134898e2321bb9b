//! Adverts: their bytes and bodies, and a database that is offered true, altered, old and forged
//! ones in any order. It never goes back to an older version, never holds what its owner has not
//! signed, and takes what is new.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use hedgerow_core::advert::{AdvertId, Database, Offer};
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::id::Instance;
use hedgerow_core::limits::{ADVERT_BYTES_MAX, EDGES_MAX, PROFILE_BYTES_MAX};
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::advert::{
    Abilities, Adjacency, AdvertHead, AdvertKind, Cost, Edge, Profile, SignedAdvert,
};
use hedgerow_core::wire::control::AdvertCopy;
use hedgerow_core::wire::handshake::Versions;

use crate::headers::{again, binding};
use crate::input::{address, below, medium, number, rest, short, text, value};
use crate::people;

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // What is at its end is padded: there is no error to tell of.
    let _ = one(&mut input);
}

fn one(u: &mut Unstructured<'_>) -> Result<()> {
    match below(u, 8)? {
        0 => signed(rest(u)),
        1 => again(rest(u), Profile::decode, Profile::encode),
        2 => again(rest(u), Adjacency::decode, Adjacency::encode),
        3 => cost(value(u)?, number(u)?),
        _ => Offers::new().run(u)?,
    }
    Ok(())
}

fn signed(bytes: &[u8]) {
    let Some(advert) = SignedAdvert::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert!(bytes.len() <= ADVERT_BYTES_MAX);
    assert_eq!(advert.bytes, bytes);
    assert!(bytes[..bytes.len() - 64].ends_with(&advert.body));
    assert_eq!(SignedAdvert::decode(advert.bytes.clone()).as_ref(), Some(&advert));
    let signer = advert.verify(&Strict, people::network());
    assert!(signer.is_none_or(|key| key.as_bytes() == &advert.head.owner));
}

fn cost(code: u8, microseconds: u64) {
    let lower = Cost(code.saturating_sub(1));
    assert!(lower.value() <= Cost(code).value());
    let cost = Cost::from_microseconds(microseconds);
    assert!(cost.value() >= microseconds || cost == Cost(u8::MAX));
}

/// A profile of any content that fits.
pub(crate) fn profile(u: &mut Unstructured<'_>) -> Result<Profile> {
    Ok(Profile {
        binding: binding(u)?,
        versions: Versions { lowest: value(u)?, highest: value(u)? },
        abilities: Abilities(value(u)?),
        device_name: text(u)?.chars().take(20).collect(),
        os: value(u)?,
        sdk_version: text(u)?.chars().take(10).collect(),
        metadata_hash: [value(u)?; 32],
        metadata_bytes: number(u)? as u32,
    })
}

/// An adjacency of any content that fits.
pub(crate) fn adjacency(u: &mut Unstructured<'_>) -> Result<Adjacency> {
    let edge = |u: &mut Unstructured<'_>| {
        Ok(Edge {
            peer: address(u)?,
            kind: medium(u)?,
            cost: Cost(value(u)?),
            payload_log2: value(u)?,
        })
    };
    let count = usize::from(below(u, 24)?).min(EDGES_MAX);
    let edges = (0..count).map(|_| edge(u)).collect::<Result<_>>()?;
    Ok(Adjacency { edges })
}

/// A body of a kind, or anything.
pub(crate) fn body(u: &mut Unstructured<'_>) -> Result<(AdvertKind, Vec<u8>)> {
    Ok(match below(u, 4)? {
        0 => {
            let profile = profile(u)?;
            let bytes = profile.encode();
            assert!(bytes.len() <= PROFILE_BYTES_MAX);
            (AdvertKind::Profile, bytes)
        }
        1 => (AdvertKind::Adjacency, adjacency(u)?.encode()),
        _ => (AdvertKind::from(value::<u8>(u)?), short(u)?.to_vec()),
    })
}

/// An advert that its owner signed, of a few versions so that they meet.
pub(crate) fn advert(u: &mut Unstructured<'_>) -> Result<SignedAdvert> {
    let owner = people::identity(usize::from(value::<u8>(u)?));
    let (kind, body) = body(u)?;
    let head = AdvertHead {
        owner: *owner.peer_key().as_bytes(),
        kind,
        key: if matches!(kind, AdvertKind::Unknown(_)) { below(u, 12)?.into() } else { 0 },
        instance: Instance::from_bytes([value(u)?; 8]),
        epoch: version(u)?,
        sequence: version(u)?,
    };
    Ok(SignedAdvert::sign(owner, people::network(), head, &body))
}

fn version(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match value::<u8>(u)? {
        255 => u64::MAX,
        small => u64::from(small % 8),
    })
}

/// A copy as a neighbour tells of it, perhaps altered.
fn copy(u: &mut Unstructured<'_>, advert: &SignedAdvert) -> Result<AdvertCopy> {
    let mut bytes = advert.bytes.to_vec();
    if below(u, 4)? == 0 {
        let at = usize::from(value::<u16>(u)?) % bytes.len();
        bytes[at] ^= value::<u8>(u)?;
    }
    Ok(AdvertCopy {
        signed_age_s: value::<u16>(u)?,
        reachable_age_s: value::<u16>(u)?,
        advert: bytes.into(),
    })
}

type Version = (u64, u64, u32);

struct Offers {
    database: Database,
    now: Instant,
    signed: BTreeSet<Bytes>,
    newest: BTreeMap<AdvertId, Version>,
}

impl Offers {
    const OWN: usize = 0;

    fn new() -> Self {
        Self {
            database: Database::new(people::network().clone(), people::key(Self::OWN)),
            now: Instant::from_millis(1_000),
            signed: BTreeSet::new(),
            newest: BTreeMap::new(),
        }
    }

    fn run(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..48 {
            if u.is_empty() {
                break;
            }
            match below(u, 8)? {
                0 => {
                    self.now += Duration::from_secs(value::<u16>(u)?.into());
                    self.database.expire(self.now);
                    let held: BTreeSet<AdvertId> = self.database.ids(None).collect();
                    self.newest.retain(|id, _| held.contains(id));
                }
                1 => self.now += Duration::from_millis(value::<u16>(u)?.into()),
                _ => {
                    let advert = advert(u)?;
                    self.signed.insert(advert.bytes.clone());
                    let copy = copy(u, &advert)?;
                    self.offer(usize::from(value::<u8>(u)?), copy);
                }
            }
            self.check();
        }
        Ok(())
    }

    fn offer(&mut self, from: usize, copy: AdvertCopy) {
        let is_true = self.signed.contains(&copy.advert);
        let offered = SignedAdvert::decode(copy.advert.clone());
        let changes = self.database.changes();
        let offer = self.database.offer(self.now, people::key(from), copy);
        match offer {
            Offer::Taken(taken) => {
                assert!(is_true, "forged and taken: {offered:?}");
                let version = offered.expect("what is taken can be read").version();
                let before = self.newest.insert(taken.id, version);
                assert!(before.is_none_or(|before| before < version), "{before:?}, {version:?}");
                assert!(self.database.changes() > changes);
            }
            Offer::Known(id) => {
                assert_eq!(self.newest.get(&id), offered.map(|advert| advert.version()).as_ref());
            }
            Offer::Older(id) => {
                assert!(offered.is_some_and(|advert| advert.version() < self.newest[&id]));
            }
            Offer::Mine { .. } => assert!(is_true, "a forged advert of this node's own"),
            Offer::NoRoom { .. } => panic!("no room for {} people", people::COUNT),
            Offer::Busy { .. } | Offer::Refused(_) => {}
        }
    }

    fn check(&self) {
        let held: BTreeMap<AdvertId, Version> = self
            .database
            .ids(None)
            .map(|id| {
                let copy = self.database.copy(self.now, id).expect("what is listed is held");
                assert!(self.signed.contains(&copy.advert));
                let advert = SignedAdvert::decode(copy.advert).expect("what is held can be read");
                let stamp = self.database.stamp(id).expect("what is held has a stamp");
                let version = (stamp.epoch, stamp.sequence, stamp.hash);
                assert_eq!(advert.version(), version);
                let mut at = self.database.stamps_at(stamp.owner);
                assert!(at.any(|held| held == (stamp, id)));
                (id, version)
            })
            .collect();
        assert_eq!(held, self.newest);
    }
}
