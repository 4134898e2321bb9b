//! Metadata bodies (protocol 5.4): pulled in pieces from the next hop towards their owner, and
//! verified by the hash in the owner's profile.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

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
/// The wait after a broken body doubles so often: to about two minutes.
const FAILURES_MAX: u32 = 6;
/// Pieces one neighbour may have asked for and not been sent yet.
const SERVE_MAX: usize = 32;

/// The hash of a metadata body.
#[must_use]
pub fn body_hash(body: &[u8]) -> BodyHash {
    hash::digest(Domain::MetadataBody, &[body])
}

/// A body as a profile tells of it. Whoever tells of another's hash with a length of his own does
/// not get into the way of the true one.
type Told = (BodyHash, usize);

/// All bodies this node holds, fetches and serves.
#[derive(Debug, Default)]
pub struct Bodies {
    held: BTreeMap<BodyHash, Bytes>,
    own: Option<BodyHash>,
    /// What each peer's profile tells, and who tells it.
    told: BTreeMap<PeerKey, Told>,
    owners: BTreeMap<Told, BTreeSet<PeerKey>>,
    /// Owners of bodies that came since it was asked last.
    arrived: BTreeSet<PeerKey>,
    fetches: BTreeMap<Told, Fetching>,
    /// Neighbours that asked for a body this node did not have.
    waiting: BTreeMap<BodyHash, BTreeSet<PeerKey>>,
    serving: BTreeMap<PeerKey, Vec<(BodyHash, u32)>>,
    /// Bodies not fetched because they are too large or the cache is full, and how often that
    /// began.
    refused: BTreeSet<Told>,
    refusals: u64,
    /// Those of them that nobody was told of yet: whose, and how large.
    untold: Vec<(PeerKey, usize)>,
    /// Bodies that came whole and were not what their hash says.
    broken: u64,
    /// Questions of neighbours that were not noted, as too many are open.
    busy: u64,
}

#[derive(Debug)]
struct Fetching {
    owner: PeerKey,
    received: Vec<u8>,
    ask_at: Instant,
    /// How often it came whole and broken.
    failures: u32,
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
        if let Some(old) = self.own.take().filter(|old| !self.is_told(old)) {
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

    /// `owner` tells of this body from now on, by hash and bytes; `None`: of none, or it cannot be
    /// reached. What nobody tells of any more is dropped.
    pub fn want(&mut self, now: Instant, owner: PeerKey, body: Option<(BodyHash, usize)>) {
        let before = match body {
            Some(told) => self.told.insert(owner, told),
            None => self.told.remove(&owner),
        };
        if before == body {
            return;
        }
        if let Some(told) = before {
            self.release(told, owner);
        }
        if let Some(told) = body {
            self.owners.entry(told).or_default().insert(owner);
            self.fetch(now, told, owner);
        }
        if before.is_some() && !self.refused.is_empty() {
            // There may be room now.
            for told in self.refused.clone() {
                let owner = self.owners.get(&told).and_then(BTreeSet::first).copied();
                owner.into_iter().for_each(|owner| self.fetch(now, told, owner));
            }
        }
    }

    fn is_told(&self, hash: &BodyHash) -> bool {
        self.owners.range(told_of(hash)).next().is_some()
    }

    /// `owner` no longer tells of a body.
    fn release(&mut self, told: Told, owner: PeerKey) {
        let Some(owners) = self.owners.get_mut(&told) else { return };
        owners.remove(&owner);
        if let Some(other) = owners.first() {
            // Whoever has it now leads the way.
            if let Some(fetching) = self.fetches.get_mut(&told) {
                fetching.owner = *other;
            }
            return;
        }
        self.owners.remove(&told);
        self.fetches.remove(&told);
        self.refused.remove(&told);
        let (hash, _) = told;
        if !self.is_told(&hash) {
            self.waiting.remove(&hash);
            if self.own != Some(hash) {
                self.held.remove(&hash);
            }
        }
    }

    /// Begins to fetch a body, if it is not here or on its way, and there is room.
    fn fetch(&mut self, now: Instant, told: Told, owner: PeerKey) {
        let (hash, bytes) = told;
        if self.held.contains_key(&hash) || self.fetches.contains_key(&told) {
            return;
        }
        if bytes > METADATA_BYTES_MAX || self.bytes() + bytes > METADATA_CACHE_BYTES_MAX {
            if self.refused.insert(told) {
                self.refusals += 1;
                self.untold.push((owner, bytes));
            }
            return;
        }
        self.refused.remove(&told);
        let fetching = Fetching { owner, received: Vec::new(), ask_at: now, failures: 0 };
        self.fetches.insert(told, fetching);
    }

    /// The owners of bodies that came since the last call.
    pub fn take_arrived(&mut self) -> BTreeSet<PeerKey> {
        core::mem::take(&mut self.arrived)
    }

    /// Bytes held and promised.
    fn bytes(&self) -> usize {
        let held: usize = self.held.values().map(Bytes::len).sum();
        held + self.fetches.keys().map(|(_, bytes)| bytes).sum::<usize>()
    }

    /// How many bodies were not fetched because they were too large or the cache was full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refusals
    }

    /// The next body that is not fetched and that nobody was told of: whose, and how large.
    pub fn poll_refused(&mut self) -> Option<(PeerKey, usize)> {
        self.untold.pop()
    }

    /// How many bodies came whole and were not what their hash says.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// How many questions of neighbours were not noted, wholly or in part: too many were open.
    #[must_use]
    pub fn busy(&self) -> u64 {
        self.busy
    }

    /// The next question that is due.
    pub fn poll_fetch(&mut self, now: Instant) -> Option<Fetch> {
        let ((hash, _), fetching) =
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
        for (_, fetching) in self.fetches.range_mut(told_of(hash)) {
            fetching.ask_at = now;
        }
    }

    /// A piece came in. Returns the neighbours to tell when that completes the body; an empty
    /// list when it does and nobody waits, `None` when it does not.
    pub fn on_chunk(&mut self, now: Instant, chunk: &BodyChunk) -> Option<BTreeSet<PeerKey>> {
        for ((_, bytes), fetching) in self.fetches.range_mut(told_of(&chunk.hash)) {
            if !fetching.take(now, *bytes, chunk) {
                continue;
            }
            if body_hash(&fetching.received) != chunk.hash {
                // Somebody on the way lied, or the one who told the length. Start over, ever
                // later; the next hop may be another one by then.
                self.broken += 1;
                fetching.start_over(now);
                continue;
            }
            let body = core::mem::take(&mut fetching.received);
            self.held.insert(chunk.hash, body.into());
            self.fetches.retain(|(hash, _), _| *hash != chunk.hash);
            self.arrived.extend(self.owners.range(told_of(&chunk.hash)).flat_map(|(_, who)| who));
            return Some(self.waiting.remove(&chunk.hash).unwrap_or_default());
        }
        None
    }

    /// A neighbour asks. False when this node does not have the body; it will say so when it
    /// does, if it is fetching it.
    pub fn on_want(&mut self, from: PeerKey, want: &BodyWant) -> bool {
        let Some(body) = self.held.get(&want.hash) else {
            if self.fetches.range(told_of(&want.hash)).next().is_some() {
                let waiting = self.waiting.entry(want.hash).or_default();
                if waiting.len() < WAITING_MAX || waiting.contains(&from) {
                    waiting.insert(from);
                } else {
                    self.busy += 1;
                }
            }
            return false;
        };
        let serving = self.serving.entry(from).or_default();
        let mut offset = want.offset;
        for _ in 0..want.pieces {
            let inside = usize::try_from(offset).is_ok_and(|offset| offset < body.len());
            if !inside {
                break;
            }
            if serving.len() >= SERVE_MAX {
                self.busy += 1;
                break;
            }
            serving.push((want.hash, offset));
            offset = offset.saturating_add(METADATA_CHUNK_BYTES as u32);
        }
        true
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

/// Everything that is told of one hash.
fn told_of(hash: &BodyHash) -> RangeInclusive<Told> {
    (*hash, 0)..=(*hash, usize::MAX)
}

impl Fetching {
    /// Takes a piece if it is the next one; says whether that was the last.
    fn take(&mut self, now: Instant, bytes: usize, chunk: &BodyChunk) -> bool {
        let expected = usize::try_from(chunk.offset) == Ok(self.received.len());
        let room = bytes.saturating_sub(self.received.len()).min(METADATA_CHUNK_BYTES);
        if !expected || chunk.data.is_empty() || chunk.data.len() > room {
            return false;
        }
        self.received.extend_from_slice(&chunk.data);
        let asked = METADATA_CHUNK_BYTES * usize::from(PIECES_AT_ONCE);
        let all_came = self.received.len().is_multiple_of(asked);
        self.ask_at = if all_came { now } else { now + METADATA_RETRY };
        self.received.len() == bytes
    }

    fn start_over(&mut self, now: Instant) {
        self.received = Vec::new();
        self.ask_at = now + METADATA_RETRY * (1 << self.failures.min(FAILURES_MAX));
        self.failures += 1;
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
        other.want(MS(0), key(1), Some((body_hash(&body), body.len())));
        let at_once = METADATA_CHUNK_BYTES * usize::from(PIECES_AT_ONCE);
        let questions = u32::try_from(METADATA_BYTES_MAX / at_once).unwrap();
        assert_eq!(run(&mut owner, &mut other, key(2), MS(0)), questions);
        assert_eq!(other.body(&body_hash(&body)), Some(body));
    }

    #[test]
    fn a_lie_on_the_way_is_thrown_away_and_asked_for_again() {
        let (mut owner, mut other) = (Bodies::default(), Bodies::default());
        let body = body(1_500);
        let hash = body_hash(&body);
        owner.set_own(body.clone());
        other.want(MS(0), key(1), Some((hash, body.len())));
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
    fn a_false_length_for_anothers_hash_does_not_delay_the_true_one() {
        for lie in [1, 1_023, 1_024, 1_500, METADATA_BYTES_MAX] {
            let (mut owner, mut other) = (Bodies::default(), Bodies::default());
            let body = body(3_000);
            let hash = body_hash(&body);
            owner.set_own(body.clone());
            other.want(MS(0), key(9), Some((hash, lie)));
            other.want(MS(0), key(1), Some((hash, 3_000)));
            let fetches = core::iter::from_fn(|| other.poll_fetch(MS(0))).collect::<Vec<_>>();
            for fetch in fetches {
                owner.on_want(key(2), &fetch.want);
            }
            while let Some(chunk) = owner.poll_chunk(&key(2)) {
                other.on_chunk(MS(1), &chunk);
            }
            assert_eq!(other.body(&hash), Some(body), "{lie}");
            assert_eq!(other.next_timeout(), None, "the lie is not followed");
        }
    }

    #[test]
    fn a_body_that_comes_broken_is_asked_for_ever_later() {
        let mut bodies = Bodies::default();
        let hash = body_hash(b"the truth");
        bodies.want(MS(0), key(1), Some((hash, 5)));
        let mut waits = Vec::new();
        let mut now = MS(0);
        for _ in 0..9 {
            assert!(bodies.poll_fetch(now).is_some());
            let data = Bytes::from_static(b"a lie");
            assert_eq!(bodies.on_chunk(now, &BodyChunk { hash, offset: 0, data }), None);
            let next = bodies.next_timeout().unwrap();
            waits.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 128, 128]);
        assert_eq!(bodies.broken(), 9);
    }

    #[test]
    fn a_piece_that_does_not_come_is_asked_for_again() {
        let mut bodies = Bodies::default();
        bodies.want(MS(0), key(1), Some(([7; 32], 2_000)));
        let asked = bodies.poll_fetch(MS(0));
        assert!(asked.is_some());
        assert_eq!(bodies.poll_fetch(MS(0)), None);
        assert_eq!(bodies.next_timeout(), Some(MS(0) + METADATA_RETRY));
        assert_eq!(bodies.poll_fetch(MS(0) + METADATA_RETRY), asked);
        // A piece that is longer than one may be is none.
        let data = body(METADATA_CHUNK_BYTES + 1);
        bodies.on_chunk(MS(0), &BodyChunk { hash: [7; 32], offset: 0, data });
        assert_eq!(bodies.next_timeout(), Some(MS(0) + METADATA_RETRY * 2));
    }

    #[test]
    fn when_its_owner_leaves_another_who_has_the_same_leads_the_way() {
        let mut bodies = Bodies::default();
        bodies.want(MS(0), key(1), Some(([7; 32], 2_000)));
        assert_eq!(bodies.poll_fetch(MS(0)).unwrap().owner, key(1));
        bodies.want(MS(1), key(2), Some(([7; 32], 2_000)));
        bodies.want(MS(1), key(1), None);
        let at = bodies.next_timeout().unwrap();
        assert_eq!(bodies.poll_fetch(at).unwrap().owner, key(2));
    }

    #[test]
    fn a_relay_that_is_still_fetching_says_when_it_has_it() {
        let (mut owner, mut relay) = (Bodies::default(), Bodies::default());
        let body = body(2_000);
        let hash = body_hash(&body);
        owner.set_own(body.clone());
        relay.want(MS(0), key(1), Some((hash, body.len())));
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
        bodies.want(MS(0), key(1), Some(([1; 32], METADATA_BYTES_MAX + 1)));
        assert_eq!((bodies.next_timeout(), bodies.refused()), (None, 1));
        assert_eq!(bodies.poll_refused(), Some((key(1), METADATA_BYTES_MAX + 1)));
        bodies.want(MS(1), key(1), Some(([1; 32], METADATA_BYTES_MAX + 1)));
        assert_eq!(bodies.poll_refused(), None, "told once");
        for n in 0..200_u8 {
            bodies.want(MS(0), key(100 + u64::from(n)), Some(([n; 32], METADATA_BYTES_MAX)));
        }
        assert_eq!(bodies.bytes(), METADATA_CACHE_BYTES_MAX);
        assert_eq!(bodies.refused(), 1 + 200 - 128);
        // The first one leaves; the first that was refused takes its place.
        assert!(!bodies.fetches.contains_key(&([128; 32], METADATA_BYTES_MAX)));
        bodies.want(MS(1), key(100), None);
        assert!(bodies.fetches.contains_key(&([128; 32], METADATA_BYTES_MAX)));
        assert_eq!((bodies.bytes(), bodies.refused()), (METADATA_CACHE_BYTES_MAX, 73));
    }

    #[test]
    fn what_nobody_has_any_more_is_dropped() {
        let (mut owner, mut other) = (Bodies::default(), Bodies::default());
        let body = body(100);
        owner.set_own(body.clone());
        other.want(MS(0), key(1), Some((body_hash(&body), body.len())));
        run(&mut owner, &mut other, key(2), MS(0));
        other.want(MS(1), key(1), None);
        assert_eq!(other.body(&body_hash(&body)), None);
    }

    #[test]
    fn questions_beyond_what_is_noted_are_counted() {
        let neighbour = |n: u8| PeerKey::from_checked([n; 32]);
        let mut bodies = Bodies::default();
        let own = Bytes::from(alloc::vec![7; 100 * METADATA_CHUNK_BYTES]);
        bodies.set_own(own.clone());
        let want = |pieces| BodyWant { hash: body_hash(&own), offset: 0, pieces };
        assert!(bodies.on_want(neighbour(0), &want(SERVE_MAX as u8)));
        assert_eq!(bodies.busy(), 0);
        assert!(bodies.on_want(neighbour(0), &want(1)));
        assert_eq!(bodies.busy(), 1);
        // Of a body that is on its way.
        let hash = [9; 32];
        bodies.want(Instant::EPOCH, neighbour(255), Some((hash, 10)));
        let want = BodyWant { hash, offset: 0, pieces: 1 };
        for n in (0..WAITING_MAX as u8).chain([0]) {
            assert!(!bodies.on_want(neighbour(n), &want));
        }
        assert_eq!(bodies.busy(), 1);
        assert!(!bodies.on_want(neighbour(200), &want));
        assert_eq!(bodies.busy(), 2);
    }
}
