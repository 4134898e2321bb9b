//! This node's own adverts: when to sign them again, and above which versions.

mod damping;
mod duplicate;
mod pace;

use alloc::vec::Vec;

use damping::Damping;
use duplicate::Duplicate;
use pace::Pace;

use super::{AdvertId, Database};
use crate::id::{Address, BootEpoch, Instance};
use crate::io::ConnectionType;
use crate::limits::{
    ADJACENCY_COALESCE, ADJACENCY_REFRESH, ADJACENCY_REFRESH_SPREAD, ADVERT_BYTES_MAX,
    BOOT_EPOCH_MAX, EDGES_MAX, EPOCH_ASK,
};
use crate::local::Local;
use crate::time::{Duration, Instant, earliest};
use crate::wire::advert::{Adjacency, AdvertHead, AdvertKind, Edge, Profile, SignedAdvert};
use crate::wire::ranges::Stamp;

/// A change of cost alone is signed at most this often.
const COST_INTERVAL: Duration = Duration::from_secs(10);
/// A cost that grew by this factor is told at once: something is wrong with that link.
const MUCH_WORSE: u64 = 16;
/// Head, signature and length of an adjacency: what remains of an advert is for edges.
const ADJACENCY_OVERHEAD: usize = 32 + 1 + 10 + 8 + 10 + 10 + 64 + 3;

/// Signs this node's profile and adjacency.
#[derive(Debug)]
pub struct Own {
    epoch: BootEpoch,
    sequence: u64,
    past: Past,
    profile: Statement<Profile>,
    adjacency: Statement<Adjacency>,
    links: Damping,
    profile_sequence: u64,
    duplicate: Duplicate,
    edges_left_out: usize,
}

/// What this node knows of what its earlier runs signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// It is below the epoch.
    Below,
    /// Nobody has kept the epoch; the first neighbour will be asked before anything is signed.
    Unknown,
    /// Neighbours were asked, and have until then.
    Asked { until: Instant },
}

#[derive(Debug)]
struct Statement<T> {
    value: T,
    signed: Option<Signed<T>>,
    /// When to sign `value`; `None` while what is signed says it.
    due: Option<Instant>,
    /// Others hold a version above what is signed: it must be signed again, whatever it says.
    overtaken: bool,
    pace: Pace,
}

#[derive(Debug)]
struct Signed<T> {
    value: T,
    at: Instant,
    version: (BootEpoch, u64, u32),
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
        /// The epoch from now on, if this node stepped above it. The host persists it.
        epoch: Option<BootEpoch>,
    },
}

impl Own {
    /// The adverts of a node that just started. `epoch` is above that of all its earlier runs if
    /// `epoch_is_kept`; else the first neighbour is asked before anything is signed.
    #[must_use]
    pub fn new(now: Instant, epoch: BootEpoch, epoch_is_kept: bool, profile: Profile) -> Self {
        Self {
            epoch,
            sequence: 0,
            past: if epoch_is_kept { Past::Below } else { Past::Unknown },
            profile: Statement::new(now, profile),
            adjacency: Statement::new(now, Adjacency::default()),
            links: Damping::default(),
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

    /// Changes the profile; it is signed at the next publication, at most about once a second.
    pub fn set_profile(&mut self, now: Instant, profile: Profile) {
        if self.profile.value != profile {
            self.profile.value = profile;
            self.profile.due = Some(self.profile.pace.earliest(now));
        }
    }

    /// A link's handshake showed which run of its peer is there.
    pub fn on_run(&mut self, now: Instant, peer: Address, instance: Instance) {
        self.links.on_run(now, peer, instance);
    }

    /// Whether links that were held became steady since this was asked last.
    pub fn take_steadied(&mut self) -> bool {
        self.links.take_steadied()
    }

    /// Whether a link may be relied on: it is not one that broke several times lately and came
    /// back just now.
    #[must_use]
    pub fn is_steady(&self, peer: Address, kind: &ConnectionType) -> bool {
        self.links.is_steady(peer, kind)
    }

    /// Changes the links. A loss after quiet is signed at once, other losses, new and doubtful ones
    /// after a moment that gathers several, which grows to a second while changes keep coming;
    /// another change of cost alone at most every 10 s. What breaks again and again is told when it
    /// has stood for a while.
    pub fn set_edges(&mut self, now: Instant, mut edges: Vec<Edge>) {
        edges.sort_unstable();
        edges.dedup_by(|a, b| (a.peer, &a.kind) == (b.peer, &b.kind));
        self.links.set(now, edges);
        self.tell_links(now);
    }

    fn tell_links(&mut self, now: Instant) {
        let mut edges = self.links.told();
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
        let told = self.adjacency.signed.as_ref().map(|signed| &signed.value);
        let is_loss = told.is_some_and(|told| has_lost(told, &self.adjacency.value));
        let at_once = is_loss && self.adjacency.pace.is_quiet(now);
        let gathered = if at_once { now } else { now + ADJACENCY_COALESCE };
        let soon = self.adjacency.pace.earliest(gathered);
        let due = match &self.adjacency.signed {
            Some(signed) if signed.value == self.adjacency.value => None,
            Some(signed) if is_minor(&signed.value, &self.adjacency.value) => {
                Some(now.max(signed.at + COST_INTERVAL))
            }
            _ => earliest([self.adjacency.due, Some(soon)]),
        };
        let due = due.map(|due| due.max(self.duplicate.held_until()));
        let overtaken = self.adjacency.overtaken.then_some(self.adjacency.due).flatten();
        self.adjacency.due = earliest([due, overtaken]);
    }

    /// A neighbour's first link came up. Whether to ask it for this node's own adverts: nothing is
    /// signed before it had time to answer.
    pub fn on_neighbour(&mut self, now: Instant) -> bool {
        match self.past {
            Past::Below => false,
            Past::Unknown => {
                self.past = Past::Asked { until: now + EPOCH_ASK };
                true
            }
            Past::Asked { until } => now < until,
        }
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

    /// A neighbour holds a version of this node's own adverts, signed by that run of it.
    pub fn on_heard(
        &mut self,
        now: Instant,
        local: &Local,
        version: (BootEpoch, u64, u32),
        instance: Instance,
    ) -> Heard {
        let signed = [
            self.profile.signed.as_ref().map(|signed| signed.version),
            self.adjacency.signed.as_ref().map(|signed| signed.version),
        ];
        let (epoch, sequence, _) = version;
        let ours = instance == local.instance;
        let older = (epoch, sequence) < (self.epoch, 0);
        let replaced = ours && (epoch, sequence) <= (self.epoch, self.sequence);
        if signed.contains(&Some(version)) || older || replaced {
            return Heard::Nothing;
        }
        if !self.step(now, epoch, sequence, ours) {
            return Heard::DuplicateKey { instance: Some(instance), epoch: None };
        }
        let lives = !ours && self.duplicate.on_foreign(now, instance);
        let held_until = self.duplicate.held_until();
        for due in [&mut self.profile.due, &mut self.adjacency.due] {
            *due = due.map(|due| due.max(held_until));
        }
        if lives {
            return Heard::DuplicateKey { instance: Some(instance), epoch: Some(self.epoch) };
        }
        Heard::Stepped { epoch: self.epoch }
    }

    /// Steps above a version. False where that cannot be: nothing this node signs is newer then,
    /// and it goes on as if it had not heard.
    fn step(&mut self, now: Instant, epoch: BootEpoch, sequence: u64, ours: bool) -> bool {
        if epoch > BOOT_EPOCH_MAX {
            return false;
        }
        if ours && epoch == self.epoch {
            self.sequence = self.sequence.max(sequence);
        } else {
            // All that a foreign run signed in its epoch is older then, not this advert only.
            (self.epoch, self.sequence) = (epoch + 1, 0);
        }
        self.past = Past::Below;
        self.profile.overtake(now);
        self.adjacency.overtake(now);
        true
    }

    /// A neighbour closed a link because another run of this key came to it. A run that is over
    /// cannot be told so: twice within a minute, it is a duplicate, whose words need not have been
    /// heard. Tells also how long to stay away, so that both do not take turns for ever.
    pub fn on_replaced(&mut self, now: Instant) -> (Heard, Duration) {
        match self.duplicate.on_replaced(now) {
            None => (Heard::Nothing, Duration::ZERO),
            Some((wait, instance)) => (Heard::DuplicateKey { instance, epoch: None }, wait),
        }
    }

    /// Signs what is due and puts it into the database; returns what changed.
    pub fn publish(
        &mut self,
        now: Instant,
        local: &Local,
        database: &mut Database,
    ) -> Vec<AdvertId> {
        let mut published = Vec::new();
        if self.links.next_timeout().is_some_and(|due| due <= now) {
            self.links.release(now);
            self.tell_links(now);
        }
        match self.past {
            Past::Unknown => return published,
            Past::Asked { until } if now < until => return published,
            Past::Asked { .. } | Past::Below => self.past = Past::Below,
        }
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
        let refresh = self.adjacency.signed.as_ref().map(|signed| {
            // The hash is as good as a die, and another one for each owner and version.
            let part = (ADJACENCY_REFRESH_SPREAD.as_micros() * u128::from(signed.version.2)) >> 32;
            let sooner = Duration::from_micros(u64::try_from(part).unwrap_or_default());
            signed.at + (ADJACENCY_REFRESH - sooner)
        });
        earliest([self.adjacency.due, refresh])
    }

    /// When to call [`Own::publish`].
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = match self.past {
            Past::Below => earliest([self.profile.due, self.adjacency_due()]),
            Past::Unknown => None,
            Past::Asked { until } => Some(until),
        };
        earliest([due, self.links.next_timeout()])
    }
}

impl<T: Clone> Statement<T> {
    fn new(now: Instant, value: T) -> Self {
        let pace = Pace::default();
        Self { value, signed: None, due: Some(now), overtaken: false, pace }
    }

    /// Others hold what an earlier run said of it.
    fn overtake(&mut self, now: Instant) {
        (self.due, self.overtaken) = (Some(self.pace.earliest(now)), true);
    }

    fn signed(&mut self, at: Instant, version: (BootEpoch, u64, u32)) {
        self.signed = Some(Signed { value: self.value.clone(), at, version });
        (self.due, self.overtaken) = (None, false);
        self.pace.on_signed(at);
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

/// Whether an edge is gone.
fn has_lost(before: &Adjacency, after: &Adjacency) -> bool {
    let stands =
        |old: &Edge| after.edges.iter().any(|new| (new.peer, &new.kind) == (old.peer, &old.kind));
    !before.edges.iter().all(stands)
}

#[cfg(test)]
mod tests;
