//! Versions below which nothing is taken any more: what was forgotten is not resurrected.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::AdvertId;
use super::peer::Record;
use crate::id::{Address, BootEpoch, PeerKey};
use crate::limits::{FLOOR_LIFETIME, FLOORS_MAX};
use crate::time::{Duration, Instant};
use crate::wire::advert::AdvertKind;

/// Floors of adverts that were forgotten, for a while.
#[derive(Debug, Default)]
pub(super) struct Floors(BTreeMap<(Address, AdvertKind, u64), Floor>);

#[derive(Debug)]
struct Floor {
    version: (BootEpoch, u64),
    /// It is no younger when it comes back, whatever a copy says.
    signed_at: Instant,
    at: Instant,
}

fn place(id: &AdvertId) -> (Address, AdvertKind, u64) {
    (id.owner.address(), id.kind, id.key)
}

impl Floors {
    pub(super) fn add(&mut self, now: Instant, owner: PeerKey, record: &Record) {
        let id = AdvertId { owner, kind: record.kind, key: record.key };
        let (epoch, sequence, _) = record.version;
        self.put(now, &id, (epoch, sequence), record.signed_at);
    }

    fn put(&mut self, now: Instant, id: &AdvertId, version: (BootEpoch, u64), signed_at: Instant) {
        if self.0.len() >= FLOORS_MAX {
            self.drop_oldest();
        }
        self.0.insert(place(id), Floor { version, signed_at, at: now });
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

    /// How long ago a version was signed whose copy says `signed`; `None` if it is below its floor.
    /// The version that was forgotten is taken again, no younger than it was: who was away and
    /// comes back says the same, and so does a neighbour who lies about it.
    pub(super) fn age(
        &self,
        now: Instant,
        id: &AdvertId,
        version: (BootEpoch, u64),
        signed: Duration,
    ) -> Option<Duration> {
        match self.0.get(&place(id)) {
            Some(floor) if version < floor.version => None,
            Some(floor) if version == floor.version => Some(signed.max(now.since(floor.signed_at))),
            _ => Some(signed),
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, floor| now.since(floor.at) < FLOOR_LIFETIME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Floors {
        fn refuse(&self, id: &AdvertId, version: (BootEpoch, u64)) -> bool {
            self.age(Instant::EPOCH, id, version, Duration::ZERO).is_none()
        }
    }

    fn id(number: usize) -> AdvertId {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        AdvertId { owner: PeerKey::from_checked(key), kind: AdvertKind::Profile, key: 0 }
    }

    #[test]
    fn beyond_the_limit_the_oldest_go_first() {
        let mut floors = Floors::default();
        for number in 0..FLOORS_MAX + 1_000 {
            floors.put(Instant::from_millis(number as u64), &id(number), (1, 5), Instant::EPOCH);
            assert!(floors.0.len() <= FLOORS_MAX);
        }
        assert!(floors.0.len() > FLOORS_MAX / 2);
        let (oldest, newest) = (id(0), id(FLOORS_MAX + 999));
        assert!(!floors.refuse(&oldest, (1, 4)) && floors.refuse(&newest, (1, 4)));
        assert!(!floors.refuse(&newest, (1, 5)) && !floors.refuse(&newest, (2, 1)));
    }

    #[test]
    fn floors_of_one_moment_are_bounded_too() {
        let mut floors = Floors::default();
        (0..2 * FLOORS_MAX)
            .for_each(|number| floors.put(Instant::EPOCH, &id(number), (1, 5), Instant::EPOCH));
        assert!(floors.0.len() <= FLOORS_MAX);
        assert!(floors.refuse(&id(2 * FLOORS_MAX - 1), (1, 4)), "the newest one stays");
    }

    #[test]
    fn a_floor_is_forgotten_at_last() {
        let mut floors = Floors::default();
        floors.put(Instant::EPOCH, &id(1), (1, 5), Instant::EPOCH);
        floors.expire(Instant::EPOCH + FLOOR_LIFETIME - Duration::from_secs(1));
        assert!(floors.refuse(&id(1), (1, 4)));
        floors.expire(Instant::EPOCH + FLOOR_LIFETIME);
        assert!(!floors.refuse(&id(1), (1, 4)));
    }

    #[test]
    fn what_was_forgotten_comes_back_no_younger() {
        let mut floors = Floors::default();
        let (signed_at, now) = (Instant::from_millis(1_000), Instant::from_millis(9_000));
        floors.put(now, &id(1), (1, 5), signed_at);
        let age = |version, signed| floors.age(now, &id(1), version, Duration::from_secs(signed));
        assert_eq!(age((1, 5), 0), Some(Duration::from_secs(8)));
        assert_eq!(age((1, 5), 20), Some(Duration::from_secs(20)), "older is believed");
        assert_eq!(age((1, 6), 0), Some(Duration::ZERO), "a newer one proves that its owner lived");
    }
}
