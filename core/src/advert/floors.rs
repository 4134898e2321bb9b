//! Versions below which nothing is taken any more: what was forgotten is not resurrected.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::AdvertId;
use crate::id::{Address, BootEpoch};
use crate::limits::{FLOOR_LIFETIME, FLOORS_MAX};
use crate::time::Instant;
use crate::wire::advert::AdvertKind;

/// Floors of adverts that were forgotten, for a while.
#[derive(Debug, Default)]
pub(super) struct Floors(BTreeMap<(Address, AdvertKind, u64), Floor>);

#[derive(Debug)]
struct Floor {
    version: (BootEpoch, u64),
    at: Instant,
}

fn place(id: &AdvertId) -> (Address, AdvertKind, u64) {
    (id.owner.address(), id.kind, id.key)
}

impl Floors {
    pub(super) fn add(&mut self, now: Instant, id: &AdvertId, version: (BootEpoch, u64)) {
        if self.0.len() >= FLOORS_MAX {
            self.drop_oldest();
        }
        self.0.insert(place(id), Floor { version, at: now });
    }

    /// Makes room for a while: an eighth goes at once, so that a flood of departures does not
    /// look for the oldest one each time.
    fn drop_oldest(&mut self) {
        let mut ages: Vec<Instant> = self.0.values().map(|floor| floor.at).collect();
        let (_, newest_to_go, _) = ages.select_nth_unstable(FLOORS_MAX / 8);
        let newest_to_go = *newest_to_go;
        let mut left = FLOORS_MAX / 8;
        self.0.retain(|_, floor| {
            let goes = left > 0 && floor.at <= newest_to_go;
            left -= usize::from(goes);
            !goes
        });
    }

    /// Whether a version is below the floor of its advert. The version that was forgotten is taken
    /// again: who was away and comes back says the same.
    pub(super) fn refuses(&self, id: &AdvertId, version: (BootEpoch, u64)) -> bool {
        !self.0.is_empty() && self.0.get(&place(id)).is_some_and(|floor| version < floor.version)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, floor| now.since(floor.at) < FLOOR_LIFETIME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerKey;
    use crate::time::Duration;

    fn id(number: usize) -> AdvertId {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        AdvertId { owner: PeerKey::from_checked(key), kind: AdvertKind::Profile, key: 0 }
    }

    #[test]
    fn beyond_the_limit_the_oldest_go_first() {
        let mut floors = Floors::default();
        for number in 0..FLOORS_MAX + 1_000 {
            floors.add(Instant::from_millis(number as u64), &id(number), (1, 5));
            assert!(floors.0.len() <= FLOORS_MAX);
        }
        assert!(floors.0.len() > FLOORS_MAX / 2);
        let (oldest, newest) = (id(0), id(FLOORS_MAX + 999));
        assert!(!floors.refuses(&oldest, (1, 4)) && floors.refuses(&newest, (1, 4)));
        assert!(!floors.refuses(&newest, (1, 5)) && !floors.refuses(&newest, (2, 1)));
    }

    #[test]
    fn floors_of_one_moment_are_bounded_too() {
        let mut floors = Floors::default();
        (0..2 * FLOORS_MAX).for_each(|number| floors.add(Instant::EPOCH, &id(number), (1, 5)));
        assert!(floors.0.len() <= FLOORS_MAX);
        assert!(floors.refuses(&id(2 * FLOORS_MAX - 1), (1, 4)), "the newest one stays");
    }

    #[test]
    fn a_floor_is_forgotten_at_last() {
        let mut floors = Floors::default();
        floors.add(Instant::EPOCH, &id(1), (1, 5));
        floors.expire(Instant::EPOCH + FLOOR_LIFETIME - Duration::from_secs(1));
        assert!(floors.refuses(&id(1), (1, 4)));
        floors.expire(Instant::EPOCH + FLOOR_LIFETIME);
        assert!(!floors.refuses(&id(1), (1, 4)));
    }
}
