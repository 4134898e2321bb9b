//! Which notices are told, and how often.

use std::collections::{BTreeSet, HashMap};
use std::mem::Discriminant;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::id::PeerKey;
use hedgerow_core::time::Instant;

use super::Shared;
use crate::notice::{Notice, Trouble};
use crate::presence::metadata::MetadataError;

/// The same trouble is told again after this; meanwhile it is counted.
const QUIET: Duration = Duration::from_secs(60);
/// Troubles that are remembered to be told once. Strangers can make as many as they like, so half
/// of the room is not for theirs.
const REMEMBERED_MAX: usize = 256;

/// Tells the readers and the log of troubles, each once in a while.
pub(super) struct Notifier {
    shared: Arc<Shared>,
    told: Remembered,
    /// Whose metadata was invalid at the last look.
    invalid: BTreeSet<PeerKey>,
}

type Remembered = HashMap<(Discriminant<Trouble>, String), Told>;

struct Told {
    of_strangers: bool,
    at: Instant,
    repeated: u64,
}

impl Notifier {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, told: HashMap::new(), invalid: BTreeSet::new() }
    }

    pub(super) fn tell(&mut self, now: Instant, trouble: Trouble) {
        if let Some(notice) = Self::admit(&mut self.told, now, trouble) {
            tracing::warn!("{notice}");
            self.shared.notice(notice);
        }
    }

    /// Tells of invalid metadata among all that there is. It lasts, and the graph is looked at every
    /// other second: only what a look finds anew has happened.
    pub(super) fn tell_invalid(&mut self, now: Instant, found: Vec<(PeerKey, MetadataError)>) {
        for trouble in newly_invalid(&mut self.invalid, found) {
            self.tell(now, trouble);
        }
    }

    fn admit(remembered: &mut Remembered, now: Instant, trouble: Trouble) -> Option<Notice> {
        let subject = trouble.subject();
        if let Some(told) = remembered.get_mut(&subject) {
            if now.since(told.at) < QUIET {
                told.repeated += 1;
                return None;
            }
            let repeated = std::mem::take(&mut told.repeated);
            told.at = now;
            return Some(Notice { trouble, repeated });
        }
        let of_strangers = trouble.is_of_strangers();
        let is_full = |remembered: &Remembered| {
            let alike = remembered.values().filter(|told| told.of_strangers == of_strangers);
            alike.count() >= REMEMBERED_MAX / 2
        };
        if is_full(remembered) {
            remembered.retain(|_, told| now.since(told.at) < QUIET);
        }
        if is_full(remembered) {
            // So many different ones in a minute: the counters tell the rest.
            return None;
        }
        remembered.insert(subject, Told { of_strangers, at: now, repeated: 0 });
        Some(Notice { trouble, repeated: 0 })
    }
}

fn newly_invalid(
    known: &mut BTreeSet<PeerKey>,
    found: Vec<(PeerKey, MetadataError)>,
) -> Vec<Trouble> {
    let before = std::mem::replace(known, found.iter().map(|(peer, _)| *peer).collect());
    let new = found.into_iter().filter(|(peer, _)| !before.contains(peer));
    new.map(|(peer, why)| Trouble::InvalidMetadata { peer, why: Arc::new(why) }).collect()
}

#[cfg(test)]
mod tests {
    use crate::presence::tests::key;

    use super::*;

    const S: fn(u64) -> Instant = |s| Instant::from_millis(s * 1_000);

    struct Bench(Remembered);

    impl Bench {
        fn admit(&mut self, now: Instant, trouble: Trouble) -> Option<Notice> {
            Notifier::admit(&mut self.0, now, trouble)
        }
    }

    fn crowded(host: usize) -> Trouble {
        Trouble::Crowded { host: host.to_string() }
    }

    #[test]
    fn the_same_trouble_is_told_once_a_minute_with_how_often() {
        let mut bench = Bench(HashMap::new());
        assert_eq!(bench.admit(S(0), crowded(1)).unwrap().repeated, 0);
        assert_eq!(bench.admit(S(1), crowded(2)).unwrap().repeated, 0, "another host");
        for second in 1..60 {
            assert!(bench.admit(S(second), crowded(1)).is_none());
        }
        let again = bench.admit(S(60), crowded(1)).unwrap();
        assert_eq!(again.repeated, 59);
        assert!(again.to_string().ends_with("(59 more times)"), "{again}");
        assert_eq!(bench.admit(S(120), crowded(1)).unwrap().repeated, 0);
    }

    #[test]
    fn metadata_that_stays_invalid_is_one_trouble() {
        let mut known = BTreeSet::new();
        let mut look = |peers: &[u8]| {
            let found = peers
                .iter()
                .map(|peer| (key(*peer), MetadataError::NotAnObject { found: "a list" }));
            newly_invalid(&mut known, found.collect()).len()
        };
        assert_eq!([look(&[1]), look(&[1]), look(&[1, 2]), look(&[2])], [1, 0, 1, 0]);
        assert_eq!([look(&[1, 2]), look(&[])], [1, 0], "it was valid meanwhile");
    }

    #[test]
    fn strangers_cannot_drown_what_else_there_is_to_tell() {
        let mut bench = Bench(HashMap::new());
        let told = (0..10_000).filter(|host| bench.admit(S(0), crowded(*host)).is_some()).count();
        assert_eq!(told, REMEMBERED_MAX / 2);
        assert!(bench.admit(S(0), Trouble::DuplicateKey).is_some());
        assert!(bench.admit(S(60), crowded(99_999)).is_some(), "a minute later there is room");
    }
}
