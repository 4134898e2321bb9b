//! Adverts that a neighbour holds and this node wants.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::id::Address;
use crate::limits::{ADVERTS_PER_OWNER_MAX, ASK_AGAIN_AFTER, ASKED_AGAIN_PER_S, ASKED_MAX};
use crate::time::Instant;
use crate::wire::control::{AdvertName, ENVELOPE_BYTES_MAX, Want};
use crate::wire::ranges::Stamp;

/// The most bytes of a name in a Want.
const NAME_BYTES_MAX: usize = 11;

/// What is asked for at the next opportunity, and what in a moment.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// Which adverts of whom; an owner without any is asked for all.
    now: BTreeMap<Address, Vec<AdvertName>>,
    /// Owners whose adverts could not be checked in time, or whose profile did not come.
    later: BTreeSet<Address>,
    later_at: Instant,
    /// There were more than are remembered.
    more: bool,
}

impl Asking {
    /// Asks for the advert that a stamp shows; false when there is no room to remember it.
    pub(super) fn now(&mut self, stamp: &Stamp) -> bool {
        let is_new = !self.now.contains_key(&stamp.owner);
        if is_new && self.now.len() >= ASKED_MAX {
            return false;
        }
        let name = AdvertName { kind: stamp.kind, key: stamp.key };
        let names = self.now.entry(stamp.owner).or_default();
        if is_new || (!names.is_empty() && !names.contains(&name)) {
            names.push(name);
        }
        if names.len() > ADVERTS_PER_OWNER_MAX {
            names.clear();
        }
        true
    }

    /// Asks for all adverts of the peer at `owner`, in a moment.
    pub(super) fn later(&mut self, now: Instant, owner: Address) {
        if self.later.is_empty() {
            self.later_at = now + ASK_AGAIN_AFTER;
        }
        if self.later.len() < ASKED_MAX {
            self.later.insert(owner);
        } else {
            self.more = true;
        }
    }

    /// Whether there were more than are remembered, once those have been asked for.
    pub(super) fn take_more(&mut self) -> bool {
        self.later.is_empty() && core::mem::take(&mut self.more)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if now < self.later_at || self.later.is_empty() {
            return;
        }
        // As many as can be checked until the next ones are asked for.
        for _ in 0..ASKED_AGAIN_PER_S {
            let Some(owner) = self.later.pop_first() else { return };
            self.now.insert(owner, Vec::new());
        }
        self.later_at = now + ASK_AGAIN_AFTER;
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        (!self.later.is_empty()).then_some(self.later_at)
    }

    /// The next question of at most `room` bytes.
    pub(super) fn next(&mut self, room: usize) -> Option<Want> {
        let (_, which) = self.now.first_key_value()?;
        if room < ENVELOPE_BYTES_MAX + 9 + which.len() * NAME_BYTES_MAX {
            return None;
        }
        let (owner, which) = self.now.pop_first()?;
        Some(Want { owner, which })
    }
}
