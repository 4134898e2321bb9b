//! What one neighbour has not seen yet (protocol 6).
//!
//! On link-up both ends compare what they hold, by ranges; from then on each change is marked
//! dirty for each neighbour and sent, newest version only, when the link has room and the
//! neighbour's budget allows. A slow neighbour lags and coalesces; it never makes a queue grow.

mod asking;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use asking::Asking;

use super::budget::Budget;
use super::ranges::{Pending, RangeKey, answer, fingerprint, opening};
use super::{AdvertId, Database, Offer};
use crate::id::{Address, PeerKey};
use crate::limits::{
    CONTROL_BYTES_MAX, OPENING_PATIENCE, RANGE_LOOKS_BURST, RANGE_LOOKS_PER_S, REFUSED_OWNERS_MAX,
    SYNC_BURST, SYNC_BURST_BYTES_MAX, SYNC_BURST_BYTES_MIN, SYNC_BYTES_PER_S_MIN, SYNC_IDLE_AFTER,
    SYNC_IDLE_SHARE, SYNC_SHARE,
};
use crate::time::{Instant, earliest};
use crate::wire::control::{AdvertName, Control, ENVELOPE_BYTES_MAX, Want, encode_advert};
use crate::wire::ranges::{Content, Range, Ranges, Stamp};

/// What an answer may take at most, so that it fits a frame behind a keepalive.
const ANSWER_BYTES_MAX: usize = CONTROL_BYTES_MAX - 64;
/// What may go ahead of data that comes just then.
const FRAME_BYTES: u64 = CONTROL_BYTES_MAX as u64;
/// Room without which no answer is worked out.
const ANSWER_BYTES_MIN: usize = 320;

/// The link that carries adverts to a neighbour now.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    /// Its handshake hash, which keys fingerprints.
    pub key: RangeKey,
    /// The rate its medium promises.
    pub rate_bytes_per_s: u64,
    /// Whether this node has the lower peer key: it begins comparisons.
    pub begins: bool,
}

/// One neighbour's view of the adverts.
#[derive(Debug)]
pub struct Sync {
    /// What carried adverts last: what the link before it swallowed is not known.
    carrier: Option<RangeKey>,
    opening: Opening,
    /// Whether the neighbour has begun a comparison.
    was_opened: bool,
    pending: Pending,
    dirty: BTreeMap<AdvertId, News>,
    /// Where the last pull stopped: every dirty advert gets its turn.
    cursor: Option<AdvertId>,
    asking: Asking,
    /// The neighbour has no room for owners that it does not know; some of those.
    full: Option<BTreeSet<Address>>,
    /// The neighbour was told that there is no room here.
    told_full: bool,
    budget: Budget,
    /// Beside that, while the link carries no data.
    idle: Budget,
    /// From when on it is taken to carry none.
    idle_at: Instant,
    looks: Budget,
    figures: SyncFigures,
    /// The budget was empty when something was to be sent, and has not been refilled.
    waits: bool,
}

/// What adverts and ranges took on the way to a neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncFigures {
    /// Bytes of messages sent.
    pub bytes_sent: u64,
    /// Of these, adverts; the rest is the comparison of what both ends have.
    pub advert_bytes_sent: u64,
    /// How often there was something to send and the budget was empty.
    pub budget_empty: u64,
    /// The neighbour's ranges that came too fast to be looked at; they are compared later.
    pub ranges_put_off: u64,
    /// Owners that it refused and that were too many to remember; they are offered again.
    pub refusals_forgotten: u64,
}

/// Whether this node begins a comparison of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Due,
    /// If the neighbour does not.
    At(Instant),
    Done,
}

/// Why an advert is dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// The neighbour is not known to lack its owner.
    Version,
    /// The neighbour does not know its owner.
    Owner,
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
            carrier: None,
            opening: Opening::Done,
            was_opened: false,
            pending: Pending::default(),
            dirty: BTreeMap::new(),
            cursor: None,
            asking: Asking::default(),
            full: None,
            told_full: false,
            budget: Budget::new(SYNC_BYTES_PER_S_MIN, SYNC_BURST_BYTES_MAX),
            idle: Budget::new(1, FRAME_BYTES),
            idle_at: Instant::EPOCH,
            looks: Budget::new(RANGE_LOOKS_PER_S, RANGE_LOOKS_BURST),
            figures: SyncFigures::default(),
            waits: false,
        }
    }

    /// Compares everything once more.
    pub fn begin(&mut self) {
        self.opening = Opening::Due;
    }

    /// An advert changed: the neighbour should have it.
    pub fn mark(&mut self, id: AdvertId, new_owner: bool) {
        self.add(id, if new_owner { News::Owner } else { News::Version });
    }

    fn add(&mut self, id: AdvertId, news: News) {
        if let Some(refused) = &self.full
            && (news == News::Owner || refused.contains(&id.owner.address()))
        {
            return;
        }
        let why = self.dirty.entry(id).or_insert(news);
        if news == News::Version {
            *why = news;
        }
    }

    /// The neighbour asked for adverts.
    pub fn on_want(&mut self, database: &Database, want: &Want) {
        for (stamp, id) in database.stamps_at(want.owner) {
            let name = AdvertName { kind: stamp.kind, key: stamp.key };
            if want.which.is_empty() || want.which.contains(&name) {
                self.dirty.insert(id, News::Version);
            }
        }
    }

    /// The neighbour has no room for `owner`, nor for others that it does not know. That ends
    /// when it begins a comparison.
    pub fn on_full(&mut self, owner: Address) {
        let refused = self.full.get_or_insert_default();
        refused.insert(owner);
        if refused.len() > REFUSED_OWNERS_MAX {
            // It will be offered again when it says something new, and refused again.
            refused.pop_first();
            self.figures.refusals_forgotten += 1;
        }
        self.dirty.retain(|id, news| *news == News::Version && id.owner.address() != owner);
    }

    /// The neighbour offered a copy of an advert, and this became of it.
    pub fn on_offer(&mut self, now: Instant, offer: Offer) {
        match offer {
            Offer::Taken(super::Taken { id, .. }) | Offer::Known(id) => {
                self.dirty.remove(&id);
            }
            Offer::Older(id) => self.add(id, News::Version),
            Offer::Busy { owner } => self.asking.later(now, owner),
            Offer::NoRoom { .. } => self.told_full = true,
            Offer::Mine { .. } | Offer::Refused(_) => {}
        }
    }

    /// Asks for all adverts of the peer at `owner`, in a moment.
    pub fn ask_for(&mut self, now: Instant, owner: Address) {
        self.asking.later(now, owner);
    }

    /// Forgets owners that the database has forgotten. When there is room again for what
    /// `neighbour` tells of, it hears so by a comparison.
    pub fn forget(&mut self, database: &Database, neighbour: &PeerKey) {
        self.dirty.retain(|id, _| database.knows(&id.owner));
        if self.told_full && database.has_room_again(neighbour) {
            self.told_full = false;
            self.begin();
        }
    }

    /// The neighbour told what it holds in some ranges, on the link with `key`. Names what it
    /// holds of this node itself that the database does not.
    pub fn on_ranges(
        &mut self,
        now: Instant,
        database: &Database,
        own: Address,
        key: &RangeKey,
        ranges: &Ranges,
    ) -> Vec<Stamp> {
        if ranges.is_about_all() {
            self.was_opened = true;
            self.full = None;
            if matches!(self.opening, Opening::At(_)) {
                self.opening = Opening::Done;
            }
        }
        let mut mine = Vec::new();
        for (range, content) in ranges.iter() {
            if !self.looks.may(now) {
                // Its turn comes when it is answered.
                self.pending.add(range);
                self.figures.ranges_put_off += 1;
                continue;
            }
            let (held, ids): (Vec<_>, Vec<_>) = database.stamps(range).unzip();
            self.looks.spend(held.len() + 1);
            match content {
                Content::Fingerprint(theirs) => {
                    if fingerprint(key, &held) != *theirs {
                        self.pending.add(range);
                    }
                }
                Content::List(theirs) => {
                    self.looks.spend(theirs.len());
                    self.offer_missing(&held, &ids, theirs);
                    for stamp in newer(&held, theirs) {
                        if stamp.owner == own {
                            mine.push(*stamp);
                        } else if !self.asking.now(stamp) {
                            self.pending.add(range);
                        }
                    }
                }
            }
        }
        mine
    }

    /// Marks what this node holds and a list of the neighbour does not show, or shows older.
    fn offer_missing(&mut self, held: &[Stamp], ids: &[AdvertId], theirs: &[Stamp]) {
        for (stamp, id) in held.iter().zip(ids) {
            if is_news(stamp, held, theirs) {
                let knows = theirs.binary_search_by_key(&stamp.owner, |other| other.owner).is_ok();
                self.add(*id, if knows { News::Version } else { News::Owner });
            } else {
                self.dirty.remove(id);
            }
        }
    }

    /// The link that carries adverts carries data, too: they are left their share of it.
    pub fn on_data(&mut self, now: Instant) {
        self.idle_at = now + SYNC_IDLE_AFTER;
    }

    /// Makes due what was put off.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.asking.handle_timeout(now);
        if self.asking.take_more() {
            self.begin();
        }
        if matches!(self.opening, Opening::At(at) if now >= at) {
            self.opening = Opening::Due;
        }
        if self.waits && self.may_tell(now) && (self.pending.is_empty() || self.looks.may(now)) {
            self.waits = false;
        }
    }

    /// When there will be something to send without further input.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let opening = if let Opening::At(at) = self.opening { Some(at) } else { None };
        let looks = (!self.pending.is_empty()).then(|| self.looks.ready_at());
        let ready_at = self.budget.ready_at().min(self.idle.ready_at().max(self.idle_at));
        let budget = self.waits.then(|| looks.max(Some(ready_at))).flatten();
        earliest([self.asking.next_timeout(), opening, budget])
    }

    /// What adverts and ranges took so far.
    #[must_use]
    pub fn figures(&self) -> SyncFigures {
        self.figures
    }

    /// Adverts that the neighbour does not have yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.dirty.len()
    }

    /// Appends what fits into `room` bytes: questions first, then ranges, then dirty adverts.
    pub fn fill(
        &mut self,
        now: Instant,
        database: &Database,
        carrier: &Carrier,
        room: usize,
        out: &mut Vec<u8>,
    ) {
        if self.carrier != Some(carrier.key) {
            self.on_carrier(now, carrier);
        }
        while let Some(want) = self.asking.next(room.saturating_sub(out.len())) {
            Control::Want(want).encode(out);
        }
        loop {
            let before = out.len();
            let room = room.saturating_sub(before);
            if !self.has_work() {
                return;
            }
            if !self.may_tell(now) {
                self.figures.budget_empty += u64::from(!self.waits);
                self.waits = true;
                return;
            }
            self.waits = false;
            self.tell_range(now, database, carrier, room, out);
            let ranges = out.len() - before;
            if ranges == 0 {
                self.tell_advert(now, database, room, out);
            }
            let told = out.len() - before;
            if told == 0 {
                return;
            }
            self.spend(now, told);
            self.figures.bytes_sent += u64::try_from(told).unwrap_or(u64::MAX);
            self.figures.advert_bytes_sent += u64::try_from(told - ranges).unwrap_or(u64::MAX);
        }
    }

    fn may_tell(&mut self, now: Instant) -> bool {
        self.budget.may(now) || (now >= self.idle_at && self.idle.may(now))
    }

    fn spend(&mut self, now: Instant, told: usize) {
        let from = if self.budget.may(now) { &mut self.budget } else { &mut self.idle };
        from.spend(told);
    }

    fn has_work(&self) -> bool {
        self.opening == Opening::Due || !self.pending.is_empty() || !self.dirty.is_empty()
    }

    /// Another link carries adverts now: what was sent on the one before may not arrive.
    fn on_carrier(&mut self, now: Instant, carrier: &Carrier) {
        let burst = carrier.rate_bytes_per_s.saturating_mul(SYNC_BURST.as_secs()) / 2;
        let burst = burst.clamp(SYNC_BURST_BYTES_MIN, SYNC_BURST_BYTES_MAX);
        let share = (carrier.rate_bytes_per_s / SYNC_SHARE).max(SYNC_BYTES_PER_S_MIN);
        self.budget.set(now, share, burst);
        let idle = (carrier.rate_bytes_per_s / SYNC_IDLE_SHARE).saturating_sub(share).max(1);
        self.idle.set(now, idle, FRAME_BYTES);
        let is_first = self.carrier.replace(carrier.key).is_none();
        self.opening = if carrier.begins {
            Opening::Due
        } else if is_first && self.was_opened {
            Opening::Done
        } else {
            Opening::At(now + OPENING_PATIENCE)
        };
    }

    /// Appends the opening that is due, or the answer to the first range that waits for one.
    fn tell_range(
        &mut self,
        now: Instant,
        database: &Database,
        carrier: &Carrier,
        room: usize,
        out: &mut Vec<u8>,
    ) {
        let opens = self.opening == Opening::Due;
        let range = if opens { Some(Range::ALL) } else { self.pending.first() };
        let Some(range) = range.filter(|_| room >= ANSWER_BYTES_MIN) else { return };
        if !self.looks.may(now) {
            self.waits = true;
            return;
        }
        let held: Vec<Stamp> = database.stamps(range).map(|(stamp, _)| stamp).collect();
        self.looks.spend(held.len() + 1);
        let make = if opens { opening } else { answer };
        let start = out.len();
        Control::Ranges(make(&carrier.key, range, held)).encode(out);
        if out.len() - start > room && out.len() - start <= ANSWER_BYTES_MAX {
            // It fits the next frame.
            out.truncate(start);
            return;
        }
        if out.len() - start > ANSWER_BYTES_MAX {
            // More adverts at one address than a frame can list: both sides tell all of them.
            out.truncate(start);
            Control::Want(Want::all_of(range.first)).encode(out);
            self.on_want(database, &Want::all_of(range.first));
        }
        if opens {
            self.opening = Opening::Done;
            // What was asked before is part of it.
            self.pending.clear();
        } else {
            self.pending.pop();
        }
    }

    /// Appends the next dirty advert.
    fn tell_advert(&mut self, now: Instant, database: &Database, room: usize, out: &mut Vec<u8>) {
        loop {
            let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.dirty.range((after, Bound::Unbounded)).next().map(|(id, _)| *id);
            let Some(id) = next.or_else(|| self.dirty.keys().next().copied()) else { return };
            let Some((signed_age_s, reachable_age_s, advert)) = database.told(now, id) else {
                self.dirty.remove(&id);
                continue;
            };
            // Two ages and the length of the advert: at most 3 bytes each.
            if advert.len() + 9 + ENVELOPE_BYTES_MAX > room {
                return;
            }
            self.dirty.remove(&id);
            self.cursor = Some(id);
            return encode_advert(signed_age_s, reachable_age_s, advert, out);
        }
    }
}

/// The stamps of `theirs` that are newer than what is held, or not held.
fn newer<'a>(held: &[Stamp], theirs: &'a [Stamp]) -> impl Iterator<Item = &'a Stamp> {
    theirs.iter().filter(|stamp| is_news(stamp, theirs, held))
}

/// Whether a side that holds `there` lacks `stamp`, which one that holds `here` has. Two owners
/// of one address cannot be told apart: where there may be two, all that is not equal is news.
fn is_news(stamp: &Stamp, here: &[Stamp], there: &[Stamp]) -> bool {
    match (named(here, stamp), named(there, stamp)) {
        (_, []) => true,
        ([_], [other]) => other < stamp,
        (_, others) => !others.contains(stamp),
    }
}

/// Those of `stamps`, which are in order, that have the name of `stamp`.
fn named<'a>(stamps: &'a [Stamp], stamp: &Stamp) -> &'a [Stamp] {
    let name = |stamp: &Stamp| (stamp.owner, stamp.kind, stamp.key);
    let start = stamps.partition_point(|other| name(other) < name(stamp));
    let end = stamps.partition_point(|other| name(other) <= name(stamp));
    stamps.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
