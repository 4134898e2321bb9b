//! Metadata bodies (protocol 5.4): pulled in pieces from the next hop towards their owner, and
//! verified by the hash in the owner's profile.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::crypto::hash::{self, Domain};
use crate::id::PeerKey;
use crate::limits::{
    METADATA_BYTES_MAX, METADATA_CACHE_BYTES_MAX, METADATA_CHUNK_BYTES, METADATA_RETRY,
};
use crate::time::{Instant, earliest};
use crate::wire::advert::BodyHash;
use crate::wire::control::{BodyChunk, BodyWant};

/// Pieces asked for at once: enough to keep a link of 60 ms busy, little enough to stop.
const PIECES_AT_ONCE: u8 = 8;
/// Neighbours that wait for one body.
const WAITING_MAX: usize = 64;
/// Pieces one neighbour may have asked for and not been sent yet.
const SERVE_MAX: usize = 32;

/// The hash of a metadata body.
#[must_use]
pub fn body_hash(body: &[u8]) -> BodyHash {
    hash::digest(Domain::MetadataBody, &[body])
}

/// All bodies this node holds, fetches and serves.
#[derive(Debug, Default)]
pub struct Bodies {
    held: BTreeMap<BodyHash, Bytes>,
    own: Option<BodyHash>,
    fetches: BTreeMap<BodyHash, Fetching>,
    /// Neighbours that asked for a body this node did not have.
    waiting: BTreeMap<BodyHash, BTreeSet<PeerKey>>,
    serving: BTreeMap<PeerKey, Vec<(BodyHash, u32)>>,
    /// Bodies not fetched because they are too large or the cache is full, and how often that
    /// began.
    refused: BTreeSet<BodyHash>,
    refusals: u64,
}

#[derive(Debug)]
struct Fetching {
    owner: PeerKey,
    bytes: usize,
    received: Vec<u8>,
    ask_at: Instant,
}

/// A question to send to the next hop towards `owner`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Whose metadata it is.
    pub owner: PeerKey,
    /// The question.
    pub want: BodyWant,
}

impl Bodies {
    /// Sets this node's own body; empty for none.
    pub fn set_own(&mut self, body: Bytes) {
        if let Some(old) = self.own.take() {
            self.held.remove(&old);
        }
        if !body.is_empty() {
            let hash = body_hash(&body);
            self.held.insert(hash, body);
            self.own = Some(hash);
        }
    }

    /// A body, if it is here whole.
    #[must_use]
    pub fn body(&self, hash: &BodyHash) -> Option<Bytes> {
        self.held.get(hash).cloned()
    }

    /// Fetches exactly the bodies `wanted` tells, `(owner, hash, bytes)`, and drops what nobody
    /// has any more.
    pub fn want(&mut self, now: Instant, wanted: impl Iterator<Item = (PeerKey, BodyHash, usize)>) {
        let wanted: BTreeMap<_, _> =
            wanted.map(|(owner, hash, bytes)| (hash, (owner, bytes))).collect();
        let own = self.own;
        self.held.retain(|hash, _| Some(*hash) == own || wanted.contains_key(hash));
        self.fetches.retain(|hash, _| wanted.contains_key(hash));
        self.waiting.retain(|hash, _| wanted.contains_key(hash));
        self.refused.retain(|hash| wanted.contains_key(hash));
        for (hash, (owner, bytes)) in wanted {
            if let Some(fetching) = self.fetches.get_mut(&hash) {
                // The first owner may have left; whoever has it now leads the way.
                fetching.owner = owner;
                continue;
            }
            if self.held.contains_key(&hash) {
                continue;
            }
            if bytes > METADATA_BYTES_MAX || self.bytes() + bytes > METADATA_CACHE_BYTES_MAX {
                self.refusals += u64::from(self.refused.insert(hash));
                continue;
            }
            let fetching = Fetching { owner, bytes, received: Vec::new(), ask_at: now };
            self.fetches.insert(hash, fetching);
        }
    }

    /// Bytes held and promised.
    fn bytes(&self) -> usize {
        let held: usize = self.held.values().map(Bytes::len).sum();
        held + self.fetches.values().map(|fetching| fetching.bytes).sum::<usize>()
    }

    /// How many bodies were not fetched because they were too large or the cache was full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refusals
    }

    /// The next question that is due.
    pub fn poll_fetch(&mut self, now: Instant) -> Option<Fetch> {
        let (hash, fetching) =
            self.fetches.iter_mut().find(|(_, fetching)| fetching.ask_at <= now)?;
        fetching.ask_at = now + METADATA_RETRY;
        let offset = u32::try_from(fetching.received.len()).unwrap_or(u32::MAX);
        let want = BodyWant { hash: *hash, offset, pieces: PIECES_AT_ONCE };
        Some(Fetch { owner: fetching.owner, want })
    }

    /// When a question is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        earliest(self.fetches.values().map(|fetching| Some(fetching.ask_at)))
    }

    /// A neighbour has a body now: ask again at once.
    pub fn on_have(&mut self, now: Instant, hash: &BodyHash) {
        if let Some(fetching) = self.fetches.get_mut(hash) {
            fetching.ask_at = now;
        }
    }

    /// A piece came in. Returns the neighbours to tell when that completes the body; an empty
    /// list when it does and nobody waits, `None` when it does not.
    pub fn on_chunk(&mut self, now: Instant, chunk: &BodyChunk) -> Option<BTreeSet<PeerKey>> {
        let fetching = self.fetches.get_mut(&chunk.hash)?;
        let expected = usize::try_from(chunk.offset) == Ok(fetching.received.len());
        let room = fetching.bytes - fetching.received.len();
        if !expected || chunk.data.is_empty() || chunk.data.len() > room.min(METADATA_CHUNK_BYTES) {
            return None;
        }
        fetching.received.extend_from_slice(&chunk.data);
        if fetching.received.len() < fetching.bytes {
            let asked = METADATA_CHUNK_BYTES * usize::from(PIECES_AT_ONCE);
            let all_came = fetching.received.len().is_multiple_of(asked);
            fetching.ask_at = if all_came { now } else { now + METADATA_RETRY };
            return None;
        }
        if body_hash(&fetching.received) != chunk.hash {
            // Somebody on the way lied. Start over; the next hop may be another one by then.
            fetching.received.clear();
            fetching.ask_at = now + METADATA_RETRY;
            return None;
        }
        let fetching = self.fetches.remove(&chunk.hash)?;
        self.held.insert(chunk.hash, fetching.received.into());
        Some(self.waiting.remove(&chunk.hash).unwrap_or_default())
    }

    /// A neighbour asks. False when this node does not have the body; it will say so when it
    /// does, if it is fetching it.
    pub fn on_want(&mut self, from: PeerKey, want: &BodyWant) -> bool {
        let Some(body) = self.held.get(&want.hash) else {
            if self.fetches.contains_key(&want.hash) {
                let waiting = self.waiting.entry(want.hash).or_default();
                if waiting.len() < WAITING_MAX {
                    waiting.insert(from);
                }
            }
            return false;
        };
        let serving = self.serving.entry(from).or_default();
        let mut offset = want.offset;
        for _ in 0..want.pieces {
            let inside = usize::try_from(offset).is_ok_and(|offset| offset < body.len());
            if !inside || serving.len() >= SERVE_MAX {
                break;
            }
            serving.push((want.hash, offset));
            offset = offset.saturating_add(METADATA_CHUNK_BYTES as u32);
        }
        true
    }

    /// Whether pieces wait to be sent to a neighbour.
    #[must_use]
    pub fn serves(&self, to: &PeerKey) -> bool {
        self.serving.get(to).is_some_and(|pieces| !pieces.is_empty())
    }

    /// The next piece for a neighbour.
    pub fn poll_chunk(&mut self, to: &PeerKey) -> Option<BodyChunk> {
        let serving = self.serving.get_mut(to)?;
        while !serving.is_empty() {
            let (hash, offset) = serving.remove(0);
            let Some(body) = self.held.get(&hash) else { continue };
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(body.len());
            let end = (start + METADATA_CHUNK_BYTES).min(body.len());
            return Some(BodyChunk { hash, offset, data: body.slice(start..end) });
        }
        None
    }

    /// A neighbour is gone.
    pub fn forget(&mut self, neighbour: &PeerKey) {
        self.serving.remove(neighbour);
        for waiting in self.waiting.values_mut() {
            waiting.remove(neighbour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::tests::Seeded;
    use crate::identity::Identity;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    fn key(seed: u64) -> PeerKey {
        Identity::generate(&mut Seeded(seed)).peer_key()
    }

    fn body(bytes: usize) -> Bytes {
        (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    fn run(from: &mut Bodies, to: &mut Bodies, asker: PeerKey, mut now: Instant) -> u32 {
        let mut questions = 0;
        while let Some(next) = to.next_timeout() {
            now = now.max(next);
            let Some(fetch) = to.poll_fetch(now) else { break };
            questions += 1;
            if !from.on_want(asker, &fetch.want) {
                break;
            }
            while let Some(chunk) = from.poll_chunk(&asker) {
                to.on_chunk(now, &chunk);
            }
        }
        questions
    }

    #[test]
    fn the_largest_body_arrives_whole() {
        let (mut owner, mut other) = (Bodies::default(), Bodies::default());
        let body = body(METADATA_BYTES_MAX);
        owner.set_own(body.clone());
        other.want(MS(0), [(key(1), body_hash(&body), body.len())].into_iter());
        assert_eq!(run(&mut owner, &mut other, key(2), MS(0)), 16);
        assert_eq!(other.body(&body_hash(&body)), Some(body));
    }

    #[test]
    fn a_lie_on_the_way_is_thrown_away_and_asked_for_again() {
        let (mut owner, mut other) = (Bodies::default(), Bodies::default());
        let body = body(1_500);
        let hash = body_hash(&body);
        owner.set_own(body.clone());
        other.want(MS(0), [(key(1), hash, body.len())].into_iter());
        let fetch = other.poll_fetch(MS(0)).unwrap();
        owner.on_want(key(2), &fetch.want);
        let mut first = owner.poll_chunk(&key(2)).unwrap();
        first.data = Bytes::from(alloc::vec![0; 1_024]);
        other.on_chunk(MS(1), &first);
        let second = owner.poll_chunk(&key(2)).unwrap();
        assert_eq!(other.on_chunk(MS(1), &second), None);
        assert_eq!(other.body(&hash), None);
        run(&mut owner, &mut other, key(2), MS(10_000));
        assert_eq!(other.body(&hash), Some(body));
    }

    #[test]
    fn a_relay_that_is_still_fetching_says_when_it_has_it() {
        let (mut owner, mut relay) = (Bodies::default(), Bodies::default());
        let body = body(2_000);
        let hash = body_hash(&body);
        owner.set_own(body.clone());
        relay.want(MS(0), [(key(1), hash, body.len())].into_iter());
        assert!(!relay.on_want(key(3), &BodyWant { hash, offset: 0, pieces: 8 }));
        let fetch = relay.poll_fetch(MS(0)).unwrap();
        owner.on_want(key(2), &fetch.want);
        let mut told = None;
        while let Some(chunk) = owner.poll_chunk(&key(2)) {
            told = relay.on_chunk(MS(1), &chunk);
        }
        assert_eq!(told, Some(BTreeSet::from([key(3)])));
    }

    #[test]
    fn a_body_beyond_the_limit_or_the_cache_is_not_fetched() {
        let mut bodies = Bodies::default();
        bodies.want(MS(0), [(key(1), [1; 32], METADATA_BYTES_MAX + 1)].into_iter());
        assert_eq!((bodies.next_timeout(), bodies.refused()), (None, 1));
        let many = (0..200_u8).map(|n| (key(1), [n; 32], METADATA_BYTES_MAX));
        bodies.want(MS(0), many);
        assert_eq!(bodies.bytes(), METADATA_CACHE_BYTES_MAX);
        assert_eq!(bodies.refused(), 1 + 200 - 128);
    }

    #[test]
    fn what_nobody_has_any_more_is_dropped() {
        let (mut owner, mut other) = (Bodies::default(), Bodies::default());
        let body = body(100);
        owner.set_own(body.clone());
        other.want(MS(0), [(key(1), body_hash(&body), body.len())].into_iter());
        run(&mut owner, &mut other, key(2), MS(0));
        other.want(MS(1), core::iter::empty());
        assert_eq!(other.body(&body_hash(&body)), None);
    }
}
