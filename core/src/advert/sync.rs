//! What one neighbour has not seen yet (protocol 6).
//!
//! On link-up both ends send the list of what they hold; from then on each change is marked
//! dirty for each neighbour and sent, newest version only, when the link has room. A slow
//! neighbour lags and coalesces; it never makes a queue grow.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;

use super::{AdvertId, Database, Offer};
use crate::id::{Address, PeerKey};
use crate::time::{Duration, Instant};
use crate::wire::control::{Control, ENVELOPE_BYTES_MAX, Stamp, Summary};

/// The most bytes of one stamp: address, kind, and four numbers as varints.
const STAMP_BYTES_MAX: usize = 8 + 1 + 10 + 10 + 10 + 5;
/// Stamps of one neighbour that are remembered while its summary comes in.
const MENTIONED_MAX: usize = 4 * crate::limits::PEERS_MAX;

/// One neighbour's view of the adverts.
#[derive(Debug)]
pub struct Sync {
    summary: SummaryOut,
    /// What the neighbour's summary named so far; `None` once it is complete.
    mentioned: Option<BTreeSet<AdvertId>>,
    dirty: BTreeSet<AdvertId>,
    /// Where the last pull stopped: every dirty advert gets its turn.
    cursor: Option<AdvertId>,
    /// The neighbour's tables are full: it wants no owners it does not know.
    full: bool,
    known: BTreeSet<PeerKey>,
    /// Owners whose adverts could not be checked in time, to be asked for again.
    again: BTreeSet<Address>,
    again_at: Instant,
    /// It is time to ask.
    again_due: bool,
}

/// How long to wait before asking again for an advert that could not be checked in time.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Owners that are remembered to be asked for again; the summary of the next link-up covers
/// what is beyond.
const AGAIN_MAX: usize = 1_024;

#[derive(Debug)]
enum SummaryOut {
    From(Option<AdvertId>),
    Done,
}

impl Default for Sync {
    fn default() -> Self {
        Self::new()
    }
}

impl Sync {
    /// The state of a neighbour whose first link just came up.
    #[must_use]
    pub fn new() -> Self {
        Self {
            summary: SummaryOut::From(None),
            mentioned: Some(BTreeSet::new()),
            dirty: BTreeSet::new(),
            cursor: None,
            full: false,
            known: BTreeSet::new(),
            again: BTreeSet::new(),
            again_at: Instant::EPOCH,
            again_due: false,
        }
    }

    /// The link that carried adverts is gone while another one stands: what it carried last may
    /// not have arrived. Everything is offered again; the neighbour's summary, which follows
    /// for the same reason, takes out what it has.
    pub fn restart(&mut self, database: &Database) {
        self.summary = SummaryOut::From(None);
        self.mentioned = None;
        self.dirty.extend(database.ids(None));
    }

    /// An advert changed: the neighbour should have it.
    pub fn mark(&mut self, id: AdvertId) {
        if !self.full || self.known.contains(&id.owner) {
            self.dirty.insert(id);
        }
    }

    /// All adverts of the peer at `address` that are known: the neighbour asked.
    pub fn on_want(&mut self, database: &Database, address: Address) {
        if let Some(owner) = database.by_address(&address) {
            let wanted = database.ids(None).filter(|id| id.owner == owner);
            self.dirty.extend(wanted);
        }
    }

    /// The neighbour's tables are full.
    pub fn on_full(&mut self) {
        self.full = true;
        let known = &self.known;
        self.dirty.retain(|id| known.contains(&id.owner));
    }

    /// The neighbour offered a copy of an advert, and this became of it.
    pub fn on_offer(&mut self, now: Instant, offer: Offer) {
        match offer {
            Offer::Taken(super::Taken { id, .. }) | Offer::Known(id) => {
                self.known.insert(id.owner);
                self.dirty.remove(&id);
            }
            Offer::Older(id) => {
                self.known.insert(id.owner);
                self.dirty.insert(id);
            }
            Offer::Busy { owner } => self.ask_for(now, owner),
            Offer::Mine { .. } | Offer::Refused(_) => {}
        }
    }

    /// Asks for all adverts of the peer at `owner`, in a moment.
    pub fn ask_for(&mut self, now: Instant, owner: Address) {
        if self.again.is_empty() {
            self.again_at = now + AGAIN_AFTER;
        }
        if self.again.len() < AGAIN_MAX {
            self.again.insert(owner);
        }
    }

    /// Forgets owners that the database has forgotten.
    pub fn forget(&mut self, database: &Database) {
        self.known.retain(|owner| database.knows(owner));
        self.dirty.retain(|id| database.knows(&id.owner));
    }

    /// A part of the neighbour's summary came in.
    pub fn on_summary(
        &mut self,
        database: &Database,
        own: Address,
        summary: &Summary,
    ) -> Vec<Stamp> {
        let mut mine = Vec::new();
        for stamp in &summary.stamps {
            if stamp.owner == own {
                mine.push(*stamp);
            }
            let Some(id) = database.id_of(stamp) else { continue };
            self.known.insert(id.owner);
            let Some(ours) = database.stamp(id) else { continue };
            if let Some(mentioned) = &mut self.mentioned
                && mentioned.len() < MENTIONED_MAX
            {
                mentioned.insert(id);
            }
            let version = |stamp: &Stamp| (stamp.epoch, stamp.sequence, stamp.hash);
            match version(&ours).cmp(&version(stamp)) {
                core::cmp::Ordering::Greater => {
                    self.dirty.insert(id);
                }
                core::cmp::Ordering::Equal => {
                    self.dirty.remove(&id);
                }
                core::cmp::Ordering::Less => {}
            }
        }
        if summary.last
            && let Some(mentioned) = self.mentioned.take()
        {
            let missing = database.ids(None).filter(|id| !mentioned.contains(id));
            self.dirty.extend(missing);
        }
        mine
    }

    /// Makes due what was put off.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.again_due |= !self.again.is_empty() && now >= self.again_at;
    }

    /// When there will be something to send without further input.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        (!self.again.is_empty() && !self.again_due).then_some(self.again_at)
    }

    fn has_adverts(&self) -> bool {
        // Until the neighbour's summary is complete, most of what is dirty may be known there.
        self.mentioned.is_none() && !self.dirty.is_empty()
    }

    /// Appends what fits into `room` bytes: the summary first, then dirty adverts.
    pub fn fill(&mut self, now: Instant, database: &Database, room: usize, out: &mut Vec<u8>) {
        while let Some(message) = self.next(now, database, room.saturating_sub(out.len())) {
            message.encode(out);
        }
    }

    fn next(&mut self, now: Instant, database: &Database, room: usize) -> Option<Control> {
        if let SummaryOut::From(from) = self.summary {
            return self.next_summary(database, from, room);
        }
        if self.again_due
            && room >= 8 + ENVELOPE_BYTES_MAX
            && let Some(owner) = self.again.pop_first()
        {
            self.again_due = !self.again.is_empty();
            return Some(Control::Want(owner));
        }
        while self.has_adverts() {
            let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.dirty.range((after, Bound::Unbounded)).next().copied();
            let Some(id) = next.or_else(|| self.dirty.first().copied()) else { break };
            let Some(copy) = database.copy(now, id) else {
                self.dirty.remove(&id);
                continue;
            };
            // Two ages and the length of the advert: at most 3 bytes each.
            if copy.advert.len() + 9 + ENVELOPE_BYTES_MAX > room {
                return None;
            }
            self.dirty.remove(&id);
            self.cursor = Some(id);
            self.known.insert(id.owner);
            return Some(Control::Advert(copy));
        }
        None
    }

    fn next_summary(
        &mut self,
        database: &Database,
        from: Option<AdvertId>,
        room: usize,
    ) -> Option<Control> {
        let count = room.saturating_sub(ENVELOPE_BYTES_MAX + 4) / STAMP_BYTES_MAX;
        if count == 0 {
            return None;
        }
        let ids: Vec<_> = database.ids(from).take(count).collect();
        let last = ids.len() < count;
        let stamps = ids.iter().filter_map(|id| database.stamp(*id)).collect();
        self.summary = if last { SummaryOut::Done } else { SummaryOut::From(ids.last().copied()) };
        Some(Control::Summary(Summary { last, stamps }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::tests::Seeded;
    use crate::id::Instance;
    use crate::identity::Identity;
    use crate::network::Network;
    use crate::wire::advert::{AdvertHead, AdvertKind, SignedAdvert};
    use crate::wire::control::{AdvertCopy, Decoded, decode};

    const NOW: Instant = Instant::from_millis(1_000);

    fn copy(seed: u64, sequence: u64) -> AdvertCopy {
        let identity = Identity::generate(&mut Seeded(seed));
        let head = AdvertHead {
            owner: *identity.peer_key().as_bytes(),
            kind: AdvertKind::Profile,
            key: 0,
            instance: Instance::from_bytes([1; 8]),
            epoch: 1,
            sequence,
        };
        let network = Network::open("test").unwrap();
        let advert = SignedAdvert::sign(&identity, &network, head, b"").bytes;
        AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert }
    }

    fn neighbour() -> PeerKey {
        Identity::generate(&mut Seeded(5)).peer_key()
    }

    struct Side {
        database: Database,
        sync: Sync,
        sent: usize,
    }

    impl Side {
        fn new(seed: u64, holds: &[(u64, u64)]) -> Self {
            let own = Identity::generate(&mut Seeded(seed)).peer_key();
            let mut database = Database::new(Network::open("test").unwrap(), own);
            for (seed, sequence) in holds {
                database.offer(NOW, neighbour(), copy(*seed, *sequence));
            }
            Self { database, sync: Sync::new(), sent: 0 }
        }

        fn pull(&mut self, room: usize) -> Vec<Control> {
            let mut bytes = Vec::new();
            self.sync.fill(NOW, &self.database, room, &mut bytes);
            assert!(bytes.len() <= room);
            let mut rest = bytes.as_slice();
            core::iter::from_fn(|| decode(&mut rest))
                .map(|decoded| match decoded {
                    Decoded::Message(message) => message,
                    other => panic!("{other:?}"),
                })
                .collect()
        }

        fn take(&mut self, message: Control) {
            match message {
                Control::Summary(summary) => {
                    let own = Address::from_bytes([0; 8]);
                    self.sync.on_summary(&self.database, own, &summary);
                }
                Control::Advert(copy) => {
                    let offer = self.database.offer(NOW, neighbour(), copy);
                    self.sync.on_offer(NOW, offer);
                }
                Control::Want(address) => self.sync.on_want(&self.database, address),
                other => panic!("{other:?}"),
            }
        }

        fn stamps(&self) -> Vec<Stamp> {
            self.database.ids(None).filter_map(|id| self.database.stamp(id)).collect()
        }
    }

    fn settle(a: &mut Side, b: &mut Side, room: usize) {
        loop {
            let (to_b, to_a) = (a.pull(room), b.pull(room));
            if to_a.is_empty() && to_b.is_empty() {
                return;
            }
            for message in to_b {
                a.sent += usize::from(matches!(message, Control::Advert(_)));
                b.take(message);
            }
            for message in to_a {
                b.sent += usize::from(matches!(message, Control::Advert(_)));
                a.take(message);
            }
        }
    }

    #[test]
    fn both_ends_get_the_newest_and_only_differences_travel() {
        let shared: Vec<_> = (10..40).map(|seed| (seed, 1)).collect();
        let mut a = Side::new(1, &[&shared[..], &[(50, 2), (60, 7)]].concat());
        let mut b = Side::new(2, &[&shared[..], &[(50, 3), (70, 1)]].concat());
        settle(&mut a, &mut b, 1_280);
        assert_eq!(a.stamps(), b.stamps());
        assert_eq!((a.sent, b.sent), (1, 2));
    }

    #[test]
    fn a_change_during_the_summary_is_not_lost() {
        let mut a = Side::new(1, &[]);
        let mut b = Side::new(2, &(10..80).map(|seed| (seed, 1)).collect::<Vec<_>>());
        let first = a.pull(1_280);
        let Offer::Taken(taken) = a.database.offer(NOW, neighbour(), copy(99, 1)) else { panic!() };
        a.sync.mark(taken.id);
        first.into_iter().for_each(|message| b.take(message));
        settle(&mut a, &mut b, 1_280);
        assert_eq!(a.stamps(), b.stamps());
    }

    #[test]
    fn a_slow_neighbour_gets_the_newest_version_only() {
        let (mut a, mut b) = (Side::new(1, &[]), Side::new(2, &[]));
        settle(&mut a, &mut b, 1_280);
        for sequence in 1..100 {
            let Offer::Taken(taken) = a.database.offer(NOW, neighbour(), copy(9, sequence)) else {
                panic!()
            };
            a.sync.mark(taken.id);
        }
        assert_eq!(a.sync.dirty.len(), 1);
        settle(&mut a, &mut b, 1_280);
        assert_eq!((a.sent, a.stamps()), (1, b.stamps()));
    }

    #[test]
    fn what_could_not_be_checked_in_time_is_asked_for_again() {
        let mut a = Side::new(1, &[]);
        let mut b = Side::new(2, &[(9, 1)]);
        settle(&mut a, &mut b, 1_280);
        let owner = Identity::generate(&mut Seeded(9)).peer_key().address();
        a.sync.on_offer(Instant::EPOCH, Offer::Busy { owner });
        assert_eq!(a.sync.next_timeout(), Some(NOW));
        a.sync.handle_timeout(NOW);
        assert_eq!(a.sync.next_timeout(), None, "due, not in the past");
        settle(&mut a, &mut b, 1_280);
        assert_eq!(b.sent, 2, "sent again though it was sent before");
        assert_eq!(a.sync.next_timeout(), None);
    }

    #[test]
    fn owners_that_are_forgotten_are_forgotten_here_too() {
        let mut a = Side::new(1, &[]);
        let mut b = Side::new(2, &(10..20).map(|seed| (seed, 1)).collect::<Vec<_>>());
        settle(&mut a, &mut b, 1_280);
        assert_eq!((a.sync.known.len(), b.sync.known.len()), (10, 10));
        let stays = Identity::generate(&mut Seeded(12)).peer_key();
        let later = NOW + crate::limits::FORGET_AFTER;
        for side in [&mut a, &mut b] {
            side.database.note_reachable(later, &stays);
            side.database.expire(later);
            side.sync.forget(&side.database);
            assert_eq!(side.sync.known.iter().collect::<Vec<_>>(), [&stays]);
        }
    }

    #[test]
    fn a_full_neighbour_is_offered_no_new_owners() {
        let (mut a, mut b) = (Side::new(1, &[]), Side::new(2, &[(9, 1)]));
        settle(&mut a, &mut b, 1_280);
        a.sync.on_full();
        for (seed, sequence) in [(9, 2), (10, 1)] {
            let Offer::Taken(taken) = a.database.offer(NOW, neighbour(), copy(seed, sequence))
            else {
                panic!()
            };
            a.sync.mark(taken.id);
        }
        settle(&mut a, &mut b, 1_280);
        assert_eq!(a.sent, 1);
    }
}
